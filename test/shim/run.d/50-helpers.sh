# version, usage, xattr helpers, cgroup.

is "version" "$("$SHIM" version)" "jetpack-shim $(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$here/../../package.json" | head -n 1) plan 1"
"$SHIM" frobnicate 2>/dev/null
is "an unknown command is 125" $? 125
"$SHIM" 2>/dev/null
is "no command is 125" $? 125

tree=$WORK/tree
mkdir -p "$tree/dir"
echo x >"$tree/dir/file"
ln -s /etc/passwd "$tree/link"
ln -s "$canary" "$tree/out"
{
    rec x dir/file user.note 68656c6c6f
    rec x dir/file security.capability 0100000200040000000000000000000000000000
    rec x dir trusted.empty ''
    rec node dir/null c 438 1 3
    rec node pipe p 384 0 0
} | "$SHIM" xattr-apply "$tree"
is "attributes and nodes are made" $? 0
is "the dump is sorted, one record for each" "$("$SHIM" xattr-dump "$tree" | tr '\0\n' '| ')" \
    'x|3|dir|trusted.empty|| x|3|dir/file|security.capability|0100000200040000000000000000000000000000| x|3|dir/file|user.note|68656c6c6f| '
is "nodes are there" "$(stat -c '%F %a %t:%T' "$tree/dir/null" "$tree/pipe" | tr '\n' ' ')" 'character special file 666 1:3 fifo 600 0:0 '
copy=$WORK/tree2
mkdir -p "$copy/dir"
echo x >"$copy/dir/file"
"$SHIM" xattr-dump "$tree" | "$SHIM" xattr-apply "$copy"
is "a dump can be applied" "$("$SHIM" xattr-dump "$copy" | md5sum)" "$("$SHIM" xattr-dump "$tree" | md5sum)"
{
    rec strip dir/file
    rec strip dir
    rec strip .
    rec x dir user.new 00
} | "$SHIM" xattr-apply "$copy"
is "attributes are stripped, and there can be new ones" "$? $("$SHIM" xattr-dump "$copy" | tr '\0\n' '| ')" '0 x|3|dir|user.new|00| '
rec strip out/file | "$SHIM" xattr-apply "$tree" 2>/dev/null
is "nothing is stripped through a link" $? 1
rec x out/file user.note 00 | "$SHIM" xattr-apply "$tree" 2>/dev/null
is "no link is walked through" $? 1
rec x ../canary/file user.note 00 | "$SHIM" xattr-apply "$tree" 2>/dev/null
is "nothing above is reached" $? 1
rec x .. user.note 00 | "$SHIM" xattr-apply "$tree" 2>/dev/null
is "not even the parent" $? 1
out=$(rec x link user.note 00 | "$SHIM" xattr-apply "$tree" 2>&1)
is "the last component is not followed" $? 1
has "path and attribute are named" "$out" 'link (user.note)'
is "a broken record is refused" "$(printf 'x\0003\0a\0' | "$SHIM" xattr-apply "$tree" 2>/dev/null; echo $?)" 1
is "so is bad hex" "$(rec x dir user.a 0g | "$SHIM" xattr-apply "$tree" 2>/dev/null; echo $?)" 1
if mkdir -p "$WORK/proc" && mount -t mqueue none "$WORK/proc" 2>/dev/null; then
    : >"$WORK/proc/q"
    out=$({ rec x q user.a 00; rec x q user.b 00; } | "$SHIM" xattr-apply "$WORK/proc" 2>&1)
    is "what a file system does not take is 3" $? 3
    is "each is told" "$(echo "$out" | grep -c 'takes no such attribute')" 2
    umount "$WORK/proc"
else
    skip "what a file system does not take is 3" "cannot mount"
fi

unified=
for d in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ -z "$unified" ] && [ -e "$d/cgroup.procs" ] && [ -e "$d/cgroup.controllers" ] && unified=$d
done
if [ -n "$unified" ] && mkdir "$unified/jetpack-test-$$" 2>/dev/null; then
    rmdir "$unified/jetpack-test-$$"
    group() { rec cgroup "$unified/jetpack-test-$$"; }
    POD_MORE=group
    out=$("$SHIM" run "$(plan_of e sh -c 'cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs; grep cgroup2 /proc/mounts')")
    is "a pod runs in its cgroup" $? 0
    has "which is the root of its view" "$out" '0::/
'
    has "mounted read-only" "$out" 'cgroup2 /sys/fs/cgroup cgroup2 ro,'
    ok "and is removed" absent "$unified/jetpack-test-$$"
    "$SHIM" run --detach "$(plan_of e payload --daemon 100 --sleep 100)" >/dev/null
    is "the app is below it" "$(sed -n 's/^0:://p' "/proc/$(status_of e pid web)/cgroup")" "/jetpack-test-$$/web"
    is "init beside it" "$(sed -n 's/^0:://p' "/proc/$(status_of e init .pod)/cgroup")" "/jetpack-test-$$/_init"
    has "who enters is in the app's" "$("$SHIM" enter "$WORK/e.plan" web -- cat /proc/self/cgroup)" '0::/'
    kill -KILL "$(status_of e supervisor .pod)"
    sleep 0.3
    is "a killed supervisor's cgroup does not hinder the next run" "$("$SHIM" run "$(plan_of e payload --stdout fine)")" fine
    ok "and is removed by it" absent "$unified/jetpack-test-$$"
    unset POD_MORE
else
    skip "a pod runs in its cgroup" "no writable cgroup v2"
fi

mkdir -p "$WORK/one" "$WORK/the other"
# A host without FUSE has no zfs-fuse either.
if [ -c /dev/fuse ]; then
    "$SLEEPY" "$WORK/one" "$WORK/the other" >"$WORK/sleepy" &
    sleepy=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -s "$WORK/sleepy" ] || sleep 0.1
    done
    is "both file systems are there" "$(cat "$WORK/sleepy")" mounted
    timeout 0.3 stat -f "$WORK/one" >/dev/null 2>&1
    is "one does not answer before the other is used" $? 124
    is "wake says nothing" "$("$SHIM" wake "$WORK/one" 2>&1)" ""
    timeout 3 stat -f "$WORK/one" >/dev/null 2>&1
    is "and it answers" $? 0
    "$SHIM" wake "$WORK/one"
    is "what answers is left alone" $? 0
    umount "$WORK/one"
    umount "$WORK/the other"
    wait "$sleepy"
    is "the daemon ends" $? 0
fi
"$SHIM" wake "$WORK/nothing there"
is "what is not there answers, too" $? 0
"$SHIM" wake 2>/dev/null
is "wake needs a folder" $? 125
