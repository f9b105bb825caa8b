#!/bin/sh
# test.sh [VITEST ARGUMENT…] (npm test): sets up whatever is missing, then runs every test: the shim's own, and the
# projects unit, operation, cli and integration, on a ZFS pool of its own that is gone afterwards, however this ends.
# With JETPACK_TEST_RESULTS=FOLDER it leaves the counts there for .ci/run, one line `NAME PASSED FAILED` per suite.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/setup.sh
. "$project/scripts/setup.sh"

results=${JETPACK_TEST_RESULTS:-}
pool=jptest$$
work=
waker=

# shellcheck disable=SC2317
finish() {
  status=$?
  trap - EXIT INT TERM HUP
  cd /
  if [ -n "$waker" ]; then kill "$waker" 2>/dev/null || :; fi
  if [ -n "$work" ]; then
    remove_pool "$pool" "$work/pool.img" || status=1
    rm -rf --one-file-system "$work"
  fi
  rm -f "$setup_log"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# count NAME PASSED FAILED
count() {
  printf '%s: %s passed, %s failed\n' "$1" "$2" "$3"
  if [ -n "$results" ]; then printf '%s %s %s\n' "$1" "$2" "$3" >>"$results/counts"; fi
}

need_root npm test
say '[1/7] Debian packages'
ensure_packages run build test
say '[2/7] Node packages'
ensure_node_modules
say '[3/7] Build'
ensure_build
say '[4/7] ZFS'
ensure_zfs

say '[5/7] A pool for the tests'
work=$(mktemp -d "${TMPDIR:-/var/tmp}/jetpack-test.XXXXXX")
truncate -s 8G "$work/pool.img"
zpool create -m none -O atime=off "$pool" "$work/pool.img" </dev/null
note "$pool on $work/pool.img (sparse)"
JETPACK_TEST_POOL=$pool
JETPACK_MUST_WORK=1
export JETPACK_TEST_POOL JETPACK_MUST_WORK

# Tests use file systems right after they have killed who wrote to others: what every command of jetpack does first on
# zfs-fuse (docs/tools.md), the tests cannot do before each of their own calls.
keep_awake() {
  while sleep 10; do
    mounted=$(awk '$3 ~ /^fuse/ { print $2; exit }' /proc/self/mounts)
    if [ -n "$mounted" ]; then "$project/shim/build/jetpack-shim" wake "$mounted" || :; fi
  done
}
if [ ! -e /dev/zfs ]; then
  keep_awake </dev/null >/dev/null 2>&1 &
  waker=$!
fi

failed=0
say '[6/7] The shim'
# A pipe would hide the exit status.
if make -C shim check >"$work/shim.tap" 2>&1; then shim_status=0; else shim_status=$?; fi
cat "$work/shim.tap"
shim_passed=$(grep -c '^ok ' "$work/shim.tap" || :)
shim_failed=$(grep -c '^not ok ' "$work/shim.tap" || :)
if [ "$shim_status" -ne 0 ] && [ "$shim_failed" -eq 0 ]; then shim_failed=1; fi
[ "$shim_failed" -eq 0 ] || failed=1

say '[7/7] unit, operation, cli, integration'
vitest run --reporter=default --reporter=json --outputFile.json="$work/vitest.json" "$@" || failed=1

count shim "$shim_passed" "$shim_failed"
if [ -e "$work/vitest.json" ]; then
  # shellcheck disable=SC2046
  count vitest $(node scripts/count-tests.mjs "$work/vitest.json")
else
  count vitest 0 1
fi
exit "$failed"
