#!/bin/sh
# test-in-vm.sh shim|integration [VITEST ARGUMENT…]: the guest's side of test-vm.sh. A pool on the blank disk, a delegated
# cgroup v2, then the tests. Leaves `versions` and `counts` in /run/vm/out.
set -eu
suite=$1
shift
project=$(cd "$(dirname "$0")/.." && pwd)
out=/run/vm/out
PATH=$project/node_modules/.bin:$PATH
export PATH
cd "$project"

[ -e /dev/zfs ] || modprobe zfs
pool=vmtest
zpool create -f -m none -O atime=off "$pool" "${VM_DISKS%% *}"

# A cgroup that hands out controllers may hold no processes: those that are in the root go one down.
cgroup=/sys/fs/cgroup
if [ ! -d "$cgroup/system.slice" ]; then
  mkdir -p "$cgroup/init"
  while read -r pid; do echo "$pid" >"$cgroup/init/cgroup.procs" 2>/dev/null || :; done <"$cgroup/cgroup.procs"
  for controller in cpu io memory pids; do
    echo "+$controller" >"$cgroup/cgroup.subtree_control" 2>/dev/null || :
  done
fi

{
  printf 'kernel=%s\n' "$(uname -sr)"
  printf 'OpenZFS=%s\n' "$(cat /sys/module/zfs/version)"
  printf 'cgroup v2 controllers=%s\n' "$(cat "$cgroup/cgroup.subtree_control")"
  printf 'distribution=%s\n' "$(. /etc/os-release && echo "$PRETTY_NAME")"
  printf 'node=%s\n' "$(node --version)"
} >"$out/versions"

JETPACK_TEST_POOL=$pool
JETPACK_MUST_WORK=1
JETPACK_MUST_LIMIT=1
JETPACK_WITHOUT_PEERS=1
export JETPACK_TEST_POOL JETPACK_MUST_WORK JETPACK_MUST_LIMIT JETPACK_WITHOUT_PEERS

failed=0
case $suite in
  shim)
    # User-Mode Linux has no room for AddressSanitizer's shadow; npm test runs that build on the host.
    rm -f shim/build/unit
    make -C shim check SANITIZE= >"$out/shim.tap" 2>&1 || failed=1
    cat "$out/shim.tap"
    shim_failed=$(grep -c '^not ok ' "$out/shim.tap" || :)
    if [ "$failed" = 1 ] && [ "$shim_failed" = 0 ]; then shim_failed=1; fi
    printf 'shim %s %s\n' "$(grep -c '^ok ' "$out/shim.tap" || :)" "$shim_failed" >"$out/counts"
    ;;
  integration)
    vitest run --project integration --reporter=default --reporter=json --outputFile.json="$out/vitest.json" "$@" ||
      failed=1
    printf 'integration %s\n' "$(node scripts/count-tests.mjs "$out/vitest.json" || echo 0 1)" >"$out/counts"
    ;;
esac
exit "$failed"
