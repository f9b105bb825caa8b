#!/bin/sh
# The tests of jetpack-shim, as TAP: run.sh BUILD. Root, Linux, busybox (static).
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
SHIM=$build/jetpack-shim PAYLOAD=$build/payload HTTP=$build/http WRITER=$build/writer PROBE=$build/probe BPF=$build/seccomp-default.bpf
SERVICE=$build/service MANAGER=$build/manager INTRUDER=$build/intruder SLEEPY=$build/sleepy EVIL=$build/evil.so
WORK=$(mktemp -d /tmp/jetpack-shim-test.XXXXXX)
export SHIM PAYLOAD HTTP WRITER PROBE BPF SERVICE MANAGER INTRUDER SLEEPY EVIL WORK
. "$here/lib.sh"
# Only our own files: mounts would have been left in /proc/self/mounts, which the last test reads.
trap 'rm -rf --one-file-system "$WORK"' EXIT

if [ "$(id -u)" -ne 0 ] || ! command -v busybox >/dev/null; then
    skip "the shim runs pods" "needs root and a static busybox"
    done_testing
    exit
fi
new_root "$WORK/root"

for part in "$here"/run.d/${ONLY:-}*.sh; do
    echo "# ${part##*/}"
    . "$part"
    unset MORE POD_MORE MODE ROOT APP_USER APP_GROUP GROUPS_OF CAPS NNP STOP NET LOG_MAX LOG_KEEP GRACE CWD PASSWD_ENV RESTART
done

echo "# the end"
is "no mount is left on the host" "$(grep -c "$WORK" /proc/self/mounts)" 0
left=
for p in /proc/[0-9]*; do
    case $({ tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null) in
    *"$WORK"* | jetpack-init*) left="$left ${p##*/}" ;;
    esac
done
for p in $left; do
    # Another pod of this machine may be somebody else's: only those below our folder count.
    case $(readlink "/proc/$p/exe" 2>/dev/null)$({ tr '\0' ' ' <"/proc/$p/cmdline"; } 2>/dev/null) in
    *"$WORK"*) ok "no process is left: $p" false ;;
    esac
done
done_testing
