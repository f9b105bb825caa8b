#!/bin/sh
# check.sh (npm run check): every linter, one after the other; all of them run even when one fails.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/setup.sh
. "$project/scripts/setup.sh"
trap 'rm -f "$setup_log"' EXIT

results=${JETPACK_TEST_RESULTS:-}
passed=0
failed=0

# check NAME COMMAND…
check() {
  name=$1
  shift
  if "$@" >"$setup_log" 2>&1 </dev/null; then
    passed=$((passed + 1))
    printf 'ok      %s\n' "$name"
  else
    failed=$((failed + 1))
    printf 'FAILED  %s (%s)\n' "$name" "$*"
    sed -n '1,80s/^/        /p' "$setup_log"
  fi
}

# Tools that are not of the project: where one is missing, it is said, and in CI it is a failure.
check_with() {
  tool=$1
  if have "$tool"; then
    shift
    check "$@"
  elif [ "${JETPACK_MUST_WORK:-}" = 1 ]; then
    check "$2" false "$tool is not installed"
  else
    printf 'SKIPPED %s: %s is not installed\n' "$2" "$tool"
  fi
}

if [ "$(id -u)" = 0 ] && have apt-get; then ensure_packages build check; fi
ensure_node_modules
cd "$project"

check types tsc --noEmit
check eslint eslint --max-warnings=0 .
check prettier prettier --check .
check knip knip
check publint publint --strict
check 'generated documentation' node scripts/generate-docs.mjs --check
check_with shellcheck 'shell scripts' shellcheck scripts/*.sh .ci/run
check_with make 'C linters' make -C shim lint

printf 'check: %s passed, %s failed\n' "$passed" "$failed"
if [ -n "$results" ]; then printf 'check %s %s\n' "$passed" "$failed" >>"$results/counts"; fi
[ "$failed" -eq 0 ]
