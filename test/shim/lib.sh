# Helpers of the shell tests: plans, roots, TAP. Needs SHIM, PAYLOAD, PROBE, BPF, SERVICE, MANAGER and WORK.

count=0
failed=0
UUID=01234567-89ab-cdef-0123-456789abcdef

# ok TITLE COMMAND...: one test, from the command's status
ok() {
    title=$1
    shift
    count=$((count + 1))
    if "$@"; then
        echo "ok $count - $title"
    else
        echo "not ok $count - $title"
        failed=$((failed + 1))
    fi
}

# is TITLE GOT WANTED
is() {
    count=$((count + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $count - $1"
    else
        echo "not ok $count - $1"
        printf '%s\n' "got: $2" "wanted: $3" | sed 's/^/# /'
        failed=$((failed + 1))
    fi
}

# has TITLE TEXT PART: the part stands somewhere in the text
has() {
    count=$((count + 1))
    case $2 in
    *"$3"*) echo "ok $count - $1" ;;
    *)
        echo "not ok $count - $1"
        printf '%s\n' "wanted: $3" "in: $2" | head -n 40 | sed 's/^/# /'
        failed=$((failed + 1))
        ;;
    esac
}

# lacks TITLE TEXT PART: the part stands nowhere in the text
lacks() {
    case $2 in
    *"$3"*) is "$1" "$2" "without $3" ;;
    *) ok "$1" true ;;
    esac
}

# What this machine cannot do is no success: with JETPACK_MUST_WORK=1 it fails.
skip() {
    count=$((count + 1))
    if [ "${JETPACK_MUST_WORK:-0}" = 1 ]; then
        echo "not ok $count - $1 # must work: $2"
        failed=$((failed + 1))
    else
        echo "ok $count - $1 # SKIP $2"
    fi
}

done_testing() {
    echo "1..$count"
    [ "$failed" -eq 0 ]
}

# until_true COMMAND...: within ten seconds
until_true() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -gt 200 ] && return 1
        sleep 0.05
    done
}

gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
exists() { [ -e "$1" ]; }
absent() { [ ! -e "$1" ]; }

rec() {
    key=$1
    shift
    printf '%s\0%s\0' "$key" $#
    [ $# -eq 0 ] || printf '%s\0' "$@"
    printf '\n'
}

new_root() {
    mkdir -p "$1/bin" "$1/etc" "$1/home/joe" "$1/tmp"
    chmod 1777 "$1/tmp"
    cp "$PAYLOAD" "$1/bin/payload"
    cp "$SERVICE" "$1/bin/service"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for applet in sh true false sleep cat echo ls id mount env ps stty tty kill test rm su wc; do
        ln -sf busybox "$1/bin/$applet"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\njoe:x:1000:100::/home/joe:/bin/sh' >"$1/etc/passwd"
    printf 'root:x:0:\nstaff:x:50:\n' >"$1/etc/group"
}

# pod_head NAME: the pod's folder, prepared, and the pod's records
pod_head() {
    pod_folder "$1"
    pod_records "$1"
}
pod_folder() {
    rm -rf "$WORK/pods/$1"
    mkdir -p "$WORK/pods/$1"
    : >"$WORK/pods/$1/prepared"
}
pod_records() {
    rec jetpack-plan 1
    rec uuid $UUID
    rec dir "$WORK/pods/$1"
    rec hostname testpod
    # shellcheck disable=SC2086  # `ns PATH` are two fields
    rec net ${NET:-none}
    rec log-max "${LOG_MAX:-1000000}"
    rec log-keep "${LOG_KEEP:-2}"
    rec stop-grace "${GRACE:-2000}"
}

# app_records NAME ARGV...: an app, as the variables say
app_records() {
    name=$1
    shift
    rec app "$name"
    rec rootfs dir "${ROOT:-$WORK/root}" "${MODE:-rw}"
    rec exec "$@"
    rec env PATH=/bin:/usr/bin TEST=1
    rec passwd-env "${PASSWD_ENV:-0}"
    rec cwd "${CWD:-/}"
    rec user "${APP_USER:-root}"
    rec group "${APP_GROUP:-root}"
    rec groups ${GROUPS_OF:-}
    rec caps ${CAPS:-00000000a80425fb 0000000000000000}
    rec no-new-privs "${NNP:-0}"
    rec stop-signal "${STOP:-15}"
    [ -z "${RESTART:-}" ] || rec restart $RESTART
}

# plan_of NAME ARGV...: a whole plan of one app; its path. MORE is a function that adds app records.
plan_of() {
    name_of=$1
    shift
    file=$WORK/$name_of.plan
    {
        pod_head "$name_of"
        [ -z "${POD_MORE:-}" ] || $POD_MORE
        app_records web "$@"
        [ -z "${MORE:-}" ] || $MORE
        rec end
    } >"$file"
    chmod 600 "$file"
    echo "$file"
}

status_of() { sed -n "s/^$2=//p" "$WORK/pods/$1/status/$3"; }
marker_of() {
    for m in prepared running exited deleting; do
        [ -e "$WORK/pods/$1/$m" ] && echo "$m"
    done
}
