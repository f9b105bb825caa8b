# What an app finds, and what its end becomes.

report=$("$SHIM" run "$(plan_of a payload)")
is "a pod that ends well exits 0" $? 0
is "and is exited" "$(marker_of a)" exited
for want in '"uid":0,"euid":0,"gid":0,"egid":0,"groups":[]' '"capInheritable":"00000000a80425fb"' \
    '"capPermitted":"00000000a80425fb","capEffective":"00000000a80425fb","capBounding":"00000000a80425fb","capAmbient":"00000000a80425fb"' \
    '"seccomp":"0","noNewPrivs":"0","cwd":"/","argv":["payload"],"env":["PATH=/bin:/usr/bin","TEST=1"],"hostname":"testpod","umask":"0022","pid":2,"ppid":1,"sid":2' \
    '"controllingTty":false' '"ignoredSignals":[],"blockedSignals":"0000000000000000"' '"nofile":[1024,' \
    '"null":"c 1:3 0666 0:0"' '"zero":"c 1:5 0666' '"full":"c 1:7 0666' '"random":"c 1:8 0666' '"urandom":"c 1:9 0666' \
    '"tty":"c 5:0 0666' '"console":"c 1:3' '"ptmx":"-> pts/ptmx"' '"stdin":"-> /proc/self/fd/0"' '"fds":{"0":"/dev/null","1":"pipe:'; do
    has "the app sees $want" "$report" "$want"
done
is "no other descriptor is open" "$(echo "$report" | sed 's/.*"fds":{\([^}]*\)}.*/\1/' | tr ',' '\n' | wc -l)" 3
for kind in mnt pid uts ipc net cgroup; do
    own=$(stat -Lc %i /proc/self/ns/$kind)
    theirs=$(echo "$report" | sed "s/.*\"namespaces\":{[^}]*\"$kind\":\([0-9]*\).*/\1/")
    ok "the $kind namespace is the pod's own" test "$own" != "$theirs"
done
for mount in '"target":"/proc","root":"/","options":"rw,nosuid,nodev,noexec,relatime","type":"proc"' \
    '"target":"/sys","root":"/","options":"ro,nosuid,nodev,noexec,relatime","type":"sysfs"' \
    '"target":"/dev","root":"/","options":"rw,nosuid,nodev,relatime","type":"tmpfs"' \
    '"target":"/dev/pts","root":"/","options":"rw,nosuid,noexec,relatime","type":"devpts"' \
    '"target":"/dev/shm"' '"target":"/dev/mqueue"'; do
    has "it has $mount" "$report" "$mount"
done
is "it has seven mounts, one for each device, and no more" "$(echo "$report" | grep -o '"target"' | wc -l)" 14
has "the root is nodev" "$report" '"target":"/","root":"'
is "no mount is shared with the host" "$(echo "$report" | grep -o '"propagation":"[^"]*"' | sort -u)" '"propagation":"private"'

NET=host
report=$("$SHIM" run "$(plan_of a payload)")
has "with net host the network namespace is the host's" "$report" "\"net\":$(stat -Lc %i /proc/self/ns/net)"
NET=none

APP_USER=joe APP_GROUP=staff GROUPS_OF='7 8' CAPS='00000000a80425fb 0000000000000400' PASSWD_ENV=1 NNP=1 CWD=/home/joe
report=$("$SHIM" run "$(plan_of a payload)")
has "a user and a group are found by name" "$report" '"uid":1000,"euid":1000,"gid":50,"egid":50,"groups":[7,8]'
has "the second mask is what a user has" "$report" \
    '"capInheritable":"0000000000000400","capPermitted":"0000000000000400","capEffective":"0000000000000400","capBounding":"00000000a80425fb","capAmbient":"0000000000000400"'
has "no_new_privs is set" "$report" '"noNewPrivs":"1","cwd":"/home/joe"'
has "passwd-env adds what the environment lacks" "$report" '"TEST=1","USER=joe","LOGNAME=joe","HOME=/home/joe","SHELL=/bin/sh"]'
unset APP_USER APP_GROUP GROUPS_OF CAPS NNP CWD PASSWD_ENV
printf 'more:x:60:root,joe\nother:x:61:joey,oe,jo\nlast:x:62:joe\n' >>"$WORK/root/etc/group"
APP_USER=joe APP_GROUP=: GROUPS_OF=7
report=$("$SHIM" run "$(plan_of a payload)")
has "a user's own groups are those of passwd and group" "$report" '"uid":1000,"euid":1000,"gid":100,"egid":100,"groups":[7,60,62]'
APP_USER=1000
report=$("$SHIM" run "$(plan_of a payload)")
has "also of a user by number" "$report" '"uid":1000,"euid":1000,"gid":100,"egid":100,"groups":[7,60,62]'
APP_USER=4242
report=$("$SHIM" run "$(plan_of a payload)")
has "who has no line there is in group 0 alone" "$report" '"uid":4242,"euid":4242,"gid":0,"egid":0,"groups":[7]'
unset GROUPS_OF
APP_USER=/home/joe APP_GROUP=/home/joe
chown 77:78 "$WORK/root/home/joe"
report=$("$SHIM" run "$(plan_of a payload)")
has "a path stands for its owner" "$report" '"uid":77,"euid":77,"gid":78'
APP_USER=4000000000 APP_GROUP=4000000000
report=$("$SHIM" run "$(plan_of a payload)")
has "a large number is a user" "$report" '"uid":4000000000,'
APP_USER=nobody APP_GROUP=root
out=$("$SHIM" run "$(plan_of a payload)" 2>&1)
is "an unknown user is the shim's failure" $? 125
has "and named" "$out" 'no such user nobody'
APP_USER=root APP_GROUP=nogroup
out=$("$SHIM" run --json "$(plan_of a payload)" 2>&1)
has "an unknown group, in JSON" "$out" '{"error":{"code":"GROUP_NOT_FOUND","message":"app web: no such group nogroup","remedies":['
unset APP_USER APP_GROUP

seccomp_record() { rec seccomp "$BPF"; }
MORE=seccomp_record
for NNP in 0 1; do
    report=$("$SHIM" run "$(plan_of a payload)")
    has "the filter is installed, no_new_privs $NNP" "$report" "\"seccomp\":\"2\",\"noNewPrivs\":\"$NNP\""
    has "and no capability is left over for it" "$report" '"capPermitted":"00000000a80425fb"'
done
APP_USER=joe
report=$("$SHIM" run "$(plan_of a payload)")
has "a user gets it, too" "$report" '"capEffective":"0000000000000000","capBounding":"00000000a80425fb","capAmbient":"0000000000000000","seccomp":"2"'
unset APP_USER NNP MORE

"$SHIM" run "$(plan_of a payload --exit 7)"
is "an app's status is the pod's" $? 7
is "and recorded" "$(status_of a exit web)" 7
"$SHIM" run "$(plan_of a payload --crash 11)"
is "a signal is 128 + n" $? 139
is "and recorded" "$(status_of a signal web)" 11
out=$("$SHIM" run "$(plan_of a nope)" 2>&1)
is "a missing program is 127" $? 127
has "with words" "$out" 'jetpack: app web: cannot run nope: no such file in the image
  try: '
out=$("$SHIM" run "$(plan_of a /etc/passwd)" 2>&1)
is "a file without the x bit is 126" $? 126
printf '#!/not/there\n' >"$WORK/root/bin/script"
chmod 755 "$WORK/root/bin/script"
out=$("$SHIM" run "$(plan_of a script)" 2>&1)
is "a missing interpreter is 127" $? 127
has "and explained" "$out" interpreter
printf 'x' >"$WORK/root/bin/junk"
chmod 755 "$WORK/root/bin/junk"
out=$("$SHIM" run --json "$(plan_of a junk)" 2>&1)
is "junk is 126" $? 126
has "its code is stable" "$out" '"code":"EXEC_DENIED"'
CWD=/nowhere
out=$("$SHIM" run "$(plan_of a payload)" 2>&1)
is "a missing working directory is 125" $? 125
has "and named" "$out" 'cannot enter the working directory /nowhere'
unset CWD

p=$(plan_of a payload --exit 0)
"$SHIM" run "$p"
"$SHIM" run "$p"
is "an exited pod can be run again" $? 0
rm "$WORK/pods/a/exited"
out=$("$SHIM" run "$p" 2>&1)
is "one that is in no such state cannot" $? 125
: >"$WORK/pods/a/prepared"
chmod 666 "$p"
out=$("$SHIM" run "$p" 2>&1)
is "a plan that others can write is refused" $? 125
has "and the reason told" "$out" 'writable by you alone'
is "and the pod left alone" "$(marker_of a)" prepared

"$SHIM" run "$(plan_of a payload --fork-zombies 50 --sleep 1)"
is "orphans are reaped and do no harm" $? 0
"$SHIM" run "$(plan_of a payload --daemon 100)"
is "what a main process leaves behind does not hold the pod" $? 0

# Handlers and several apps
handlers() {
    rec pre-start /bin/payload --stdout 'pre '
    rec post-stop /bin/payload --stdout post
}
MORE=handlers
is "handlers run around the app" "$("$SHIM" run "$(plan_of a payload --stdout 'main ')")" 'pre main post'
is "and after a failure" "$("$SHIM" run "$(plan_of a payload --exit 3)")" 'pre post'
handlers() { rec pre-start /bin/payload --exit 9; }
out=$("$SHIM" run "$(plan_of a payload --stdout never)" 2>&1)
is "a pre-start handler that fails is 125" $? 125
has "and told" "$out" 'the pre-start handler failed /bin/payload: exit status 9'
unset MORE
second() {
    app_records two payload --sleep 100
    app_records three payload --ignore-term --sleep 100
}
MORE=second GRACE=300
"$SHIM" run "$(plan_of a payload --sleep 1 --exit 5)"
is "an app that fails ends the pod" $? 5
is "the others were stopped" "$(status_of a signal two)" 15
is "or killed" "$(status_of a signal three)" 9
second() { app_records two payload --sleep 1 --exit 0; }
"$SHIM" run "$(plan_of a payload --exit 0)"
is "an app that exits 0 does not" $? 0
is "the other one ran to its end" "$(status_of a exit two)" 0
second() { app_records two nope; }
"$SHIM" run "$(plan_of a payload --sleep 100)" 2>/dev/null
is "an app that cannot be run ends the pod" $? 127
unset MORE GRACE
