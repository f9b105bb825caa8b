#!/bin/sh
# Writes seed plans for the fuzzer: seeds.sh FOLDER
set -eu
WORK=$1
mkdir -p "$WORK"
. "$(dirname "$0")/lib.sh"
plan_of plain /bin/true >/dev/null
rich_pod() {
    rec cgroup /sys/fs/cgroup/x
    rec cgroup-set memory.max 1000
    rec sysctl net.core.somaxconn 5
    rec metadata 1104 999 995 1
    rec mutable 1
    rec reap /bin/a b c
    rec remove /bin/d
}
rich_app() {
    rec seccomp /f
    rec oom-score-adj -5
    rec exec-label apparmor web
    rec cgroup-set pids.max 5
    rec mask /a
    rec readonly /b
    rec mount bind /a /b ro,rec,nosuid,noexec,nodev
    rec mount zfs pool/a /c copy,missing
    rec pre-start /a b
    rec post-stop /c
    rec restart on-failure 3
    rec notify 1
    rec listen http tcp 80
    app_records two sh -c 'echo x'
}
POD_MORE=rich_pod MORE=rich_app plan_of rich sh -c 'a
b' >/dev/null
printf '\000\000\003abc\003\000\004\000\041\000\115' >"$WORK/frames.plan"
printf 'MAINPID=5\nSTATUS=up\nREADY=1' >"$WORK/notice.plan"
rm -rf "$WORK/pods"
