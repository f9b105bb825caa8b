#!/bin/sh
# test-vm.sh (npm run test:vm): the integration tests and the shim's on the kernel's OpenZFS and a unified cgroup v2, in
# a virtual machine, for hosts that have neither. Writes what was tested with which versions into docs/tested.md.
#
#   JETPACK_VM_TOOLS=FOLDER   the folder of build-vm.sh and run-in-vm.sh
#   VM_CACHE=FOLDER           where the guest is kept (default ~/.cache/zfs-vm); outside the repository
#   VM_SUITE=SUITE            the guest's Debian: trixie (OpenZFS 2.3) or bookworm (2.1)
#
# The guest sees this folder, node_modules and its node included, at the same path; what it writes is forgotten.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/setup.sh
. "$project/scripts/setup.sh"
work=
trap 'rm -rf "$setup_log" "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

tools=${JETPACK_VM_TOOLS:-}
results=${JETPACK_TEST_RESULTS:-}
VM_CACHE=${VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/zfs-vm}
VM_PACKAGES=$(package_list vm | tr '\n' ' ')
export VM_CACHE VM_PACKAGES

[ -n "$tools" ] || die 'JETPACK_VM_TOOLS is not set: it names the folder of build-vm.sh and run-in-vm.sh' \
  'they build a Debian guest with OpenZFS for User-Mode Linux or qemu and run a command in it' \
  'on machines of this project: JETPACK_VM_TOOLS=../shared/tools/vm npm run test:vm' \
  'elsewhere run the same tests on any host with kernel ZFS: npm test'
for tool in build-vm.sh run-in-vm.sh; do
  [ -x "$tools/$tool" ] || die "$tools has no $tool" 'is JETPACK_VM_TOOLS right?'
done
tools=$(cd "$tools" && pwd)

say '[1/5] Debian packages'
ensure_packages run build test
say '[2/5] Node packages'
ensure_node_modules
say '[3/5] Build'
ensure_build
make -C shim payload >/dev/null
say '[4/5] The guest'
"$tools/build-vm.sh"
say '[5/5] Tests in the guest'
cd "$project"
# The guest has no network and sees this folder only: the whole distribution that the tests import comes along, and so do
# the tools of appc.
cache=/var/cache/jetpack-test
[ -e "$cache/debian-minbase.aci" ] || sh scripts/make-debian-aci.sh "$cache/debian-minbase.aci"
if ! [ -e "$cache/ace-validator" ] || ! [ -e "$cache/actool" ]; then sh scripts/make-appc-tools.sh "$cache"; fi
mkdir -p .cache
cp "$cache/debian-minbase.aci" "$cache/ace-validator" "$cache/actool" .cache/
JETPACK_TEST_CACHE=$project/.cache
VM_ENV=JETPACK_TEST_CACHE
export JETPACK_TEST_CACHE VM_ENV
work=$(mktemp -d)
: >"$work/counts"
# in_guest SUITE [ARGUMENT…]: each in a guest of its own, so that one that brings it down does not take the other along.
# The kernel of User-Mode Linux panics now and then when a process is killed in the middle of its fork(2). No test has
# failed then, and none has passed: the guest starts once more, three times at most.
in_guest() {
  for attempt in 1 2 3; do
    rm -rf "${work:?}/$1"
    mkdir "$work/$1"
    echo 0 >"$work/status"
    { "$tools/run-in-vm.sh" -d 8G -m 3072 -t 3600 -o "$work/$1" -- sh scripts/test-in-vm.sh "$@" 2>&1 || echo $? >"$work/status"; } |
      tee "$work/console"
    status=$(cat "$work/status")
    if [ -e "$work/$1/counts" ] || ! grep -q '^Kernel panic' "$work/console"; then break; fi
    printf 'the kernel of the guest panicked (start %s of 3)\n' "$attempt" >&2
  done
  if [ -e "$work/$1/counts" ]; then cat "$work/$1/counts" >>"$work/counts"
  else
    printf 'the guest left no result (exit status %s)\n' "$status" >&2
    printf '%s 0 1\n' "$1" >>"$work/counts"
  fi
  if [ -e "$work/$1/versions" ]; then cp "$work/$1/versions" "$work/versions"; fi
}
# Arguments are for vitest: whoever gives some wants those tests.
[ $# -gt 0 ] || in_guest shim
in_guest integration "$@"

[ -e "$work/versions" ] || die 'no guest left a result'
passed=$(awk '{ sum += $2 } END { print sum + 0 }' "$work/counts")
failed=$(awk '{ sum += $3 } END { print sum + 0 }' "$work/counts")
if [ $# -eq 0 ]; then
  {
    # shellcheck disable=SC2016
    printf '# Tested on kernel ZFS\n\nWritten by `npm run test:vm`: the integration and shim tests in a virtual machine.\n\n'
    printf '| What | Value |\n|---|---|\n| date | %s |\n| commit | %s |\n' "$(date -u +%F)" "$(git rev-parse --short HEAD 2>/dev/null)"
    sed 's/^\([^=]*\)=\(.*\)$/| \1 | \2 |/' "$work/versions"
    awk '{ printf "| %s tests | %s passed, %s failed |\n", $1, $2, $3 }' "$work/counts"
  } >docs/tested.md
fi
if [ -n "$results" ]; then printf 'test-vm %s %s\n' "$passed" "$failed" >>"$results/counts"; fi
printf 'test-vm: %s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
