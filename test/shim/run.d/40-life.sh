# Signals, detach, control socket, attach, enter, and sudden deaths.

ctl() { "$PROBE" ctl "$WORK/pods/d" "$1"; }
started() { [ "$(status_of d state web 2>/dev/null)" = running ]; }
detached() { "$SHIM" run --detach "$@" >/dev/null; }

for sig in 2 15 1 3 10 12; do
    "$SHIM" run "$(plan_of d payload --sleep 100)" &
    pid=$!
    until_true started
    kill -$sig $pid
    wait $pid
    is "signal $sig reaches the app" $? $((128 + sig))
done
GRACE=300
"$SHIM" run "$(plan_of d payload --ignore-term --stdout ready --sleep 100)" >"$WORK/out" &
pid=$!
until_true test -s "$WORK/out"
kill -TERM $pid
wait $pid
is "an app that ignores SIGTERM is killed after the grace" $? 137
STOP=10
"$SHIM" run "$(plan_of d payload --sleep 100)" &
pid=$!
until_true started
kill -TERM $pid
wait $pid
is "SIGTERM becomes the app's stop signal" $? 138
unset GRACE STOP

is "--detach prints the uuid" "$("$SHIM" run --detach "$(plan_of d payload --on-term 0 --sleep 100)")" "$UUID"
sup=$(status_of d supervisor .pod)
is "the pod runs" "$(marker_of d) $(status_of d state web)" 'running running'
is "the daemon holds nothing of ours" "$(readlink /proc/$sup/cwd /proc/$sup/fd/0 /proc/$sup/fd/1 /proc/$sup/fd/2 | tr '\n' ' ')" '/ /dev/null /dev/null /dev/null '
is "it has a session of its own" "$(cut -d' ' -f6 /proc/$sup/stat)" "$sup"
is "init is named so, and the host's environment wiped" "$(tr '\0' ' ' </proc/$(status_of d init .pod)/cmdline | sed 's/ *$//')$(tr -d '\0' <"/proc/$(status_of d init .pod)/environ" | wc -c)" jetpack-init0
is "init has no mount of the host" "$(wc -l <"/proc/$(status_of d init .pod)/mounts")" 1
is "the app has none either" "$(grep -c "$WORK" "/proc/$(status_of d pid web)/mounts")" 0
out=$("$SHIM" run "$WORK/d.plan" 2>&1)
is "a second run is refused" $? 125
has "with words" "$out" 'the pod runs already'
has "status tells the pod" "$(ctl status)" "supervisor=$sup"
has "and the app" "$(ctl status)" 'app=web
state=running
pid='
has "an unknown request is an error" "$(ctl 'frobnicate')" error
has "an unknown app is an error" "$(ctl 'attach nobody')" 'error no such app'
has "signal 0 is an error" "$(ctl 'kill 0')" error
has "two spaces are an error" "$(ctl 'kill  15')" error
has "a long request is an error" "$(ctl "$(printf '%05000d' 0)")" 'error'
"$PROBE" raw "$WORK/pods/d" 00ff000a 2 >"$WORK/out"
has "binary is an error" "$(cat "$WORK/out")" error
"$PROBE" ctl "$WORK/pods/d" wait >"$WORK/waited" &
waiter=$!
sleep 0.2
is "stop answers when the pod has ended" "$(ctl 'stop 2000')" 'ok
exit=0'
wait $waiter
is "so does wait" "$(cat "$WORK/waited")" exit=0
until_true gone "$sup"
is "the socket is gone" "$(ls "$WORK/pods/d" | tr '\n' ' ')" 'exited logs status '

"$SHIM" run --detach "$(plan_of d nope)" 2>"$WORK/err"
is "a detached pod that cannot start is 127 here" $? 127
has "with words" "$(cat "$WORK/err")" 'cannot run nope'

# attach
detached "$(plan_of d sh -c 'while sleep 0.1; do echo tick; done')"
timeout 2 "$SHIM" attach "$WORK/pods/d" web >"$WORK/out"
ok "attach shows the output" grep -q tick "$WORK/out"
"$PROBE" hang "$WORK/pods/d" 'attach web' 3 &
hanging=$!
"$SHIM" attach "$WORK/pods/d" web >"$WORK/out" &
client=$!
sleep 0.5
has "a client that does not read holds nobody" "$(ctl 'kill 9')" ok
wait $client
is "attach passes the status" $? 137
wait $hanging
detached --interactive "$(plan_of d payload --read-stdin --exit 3)"
is "attach passes the input" "$(seq 20000 | "$SHIM" attach "$WORK/pods/d" web | md5sum)" "$(seq 20000 | md5sum)"
until_true test "$(marker_of d)" = exited
detached --tty "$(plan_of d sh)"
has "attach --tty has the terminal of the app" "$("$PROBE" pty 'stty size\nexit 5\n' "$SHIM" attach --tty "$WORK/pods/d" web)" '33 77'
detached --tty "$(plan_of d sh)"
out=$("$PROBE" pty '\035\035\035' "$SHIM" attach --tty "$WORK/pods/d" web)
is "three Ctrl-] leave it" $? 0
has "as it was" "$out" cooked
ctl 'stop 100' >/dev/null
detached "$(plan_of d payload --write-lines 100000 --sleep 100)"
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32; do
    "$PROBE" hang "$WORK/pods/d" wait 3 &
done
sleep 0.7
has "connections are bounded" "$(ctl status)" 'too many'
sleep 3
has "and come back" "$(ctl status)" 'app=web'
ctl 'stop 100' >/dev/null

# enter
APP_USER=joe APP_GROUP=staff CAPS='00000000a80425fb 0000000000000400' NNP=1
filtered() { rec seccomp "$BPF"; rec oom-score-adj 100; }
MORE=filtered
detached "$(plan_of d payload --sleep 100)"
enter() { "$SHIM" enter "$@"; }
own=$("$SHIM" enter "$WORK/d.plan" web -- payload)
for want in '"uid":1000,"euid":1000,"gid":50' '"capEffective":"0000000000000400","capBounding":"00000000a80425fb","capAmbient":"0000000000000400","seccomp":"2","noNewPrivs":"1"' \
    '"hostname":"testpod"' '"ppid":0' '"controllingTty":false,"oomScoreAdj":100' '"env":["PATH=/bin:/usr/bin","TEST=1"]'; do
    has "what enters has $want" "$own" "$want"
done
app=$(status_of d pid web)
for kind in mnt pid uts ipc net cgroup; do
    has "it is in the app's $kind namespace" "$own" "\"$kind\":$(stat -Lc %i "/proc/$app/ns/$kind")"
done
"$SHIM" enter "$WORK/d.plan" web -- payload --exit 6
is "its status is ours" $? 6
"$SHIM" enter "$WORK/d.plan" web -- payload --crash 9
is "its signal, too" $? 137
out=$("$SHIM" enter "$WORK/d.plan" web -- nope 2>&1)
is "a missing program is 127" $? 127
out=$("$SHIM" enter --user root --group 0 --cwd /tmp --env TEST=2 --env NEW=x "$WORK/d.plan" web -- payload)
has "user, group, cwd can be chosen" "$out" '"uid":0,"euid":0,"gid":0'
has "and the environment" "$out" '"env":["PATH=/bin:/usr/bin","TEST=2","NEW=x"]'
is "stdin is passed on" "$(seq 20000 | "$SHIM" enter --interactive "$WORK/d.plan" web -- payload --read-stdin | md5sum)" "$(seq 20000 | md5sum)"
is "without a command it is the user's shell" "$(echo 'echo $0' | "$SHIM" enter --interactive "$WORK/d.plan" web)" /bin/sh
out=$("$PROBE" pty 'tty; stty size; exit 8\n' "$SHIM" enter --tty "$WORK/d.plan" web -- sh)
is "enter --tty passes the status" $? 8
has "on a terminal of the pod" "$out" /dev/pts/0
has "of our size" "$out" '33 77'
has "ours is restored" "$out" cooked
out=$("$SHIM" enter "$WORK/d.plan" nobody 2>&1)
is "an unknown app is 125" $? 125
"$SHIM" enter "$WORK/d.plan" web -- payload --sleep 100 &
entered=$!
sleep 0.3
kill -KILL $entered
wait $entered 2>/dev/null
sleep 0.2
is "killing enter kills what it started" "$("$SHIM" enter "$WORK/d.plan" web -- ps | grep -c 'sleep 100')" 1
ctl 'stop 100' >/dev/null
until_true test "$(marker_of d)" = exited
out=$("$SHIM" enter "$WORK/d.plan" web -- true 2>&1)
is "nobody enters what has ended" $? 125
unset MORE APP_USER APP_GROUP CAPS NNP

# A kernel that refuses namespaces ends the run; it does not hang.
p=$(plan_of d true)
timeout 10 setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$SHIM" run "$p" 2>/dev/null
is "without namespaces it ends with 125" $? 125
# sudden deaths
pauses='0 0.001 0.002 0.003 0.004 0.005 0.006 0.008 0.01 0.02 0.1'
# The kernel of User-Mode Linux 6.12 panics when a clone3(2) with namespaces is killed half-way.
case $(uname -r) in *uml*) pauses='0.5 1' ;; esac
for pause in $pauses; do
    p=$(plan_of d payload --daemon 100 --sleep 100)
    "$SHIM" run "$p" &
    pid=$!
    sleep $pause
    kill -KILL $pid
    wait $pid 2>/dev/null
    init=$(status_of d init .pod 2>/dev/null)
    [ -z "$init" ] || until_true gone "$init"
done 2>/dev/null
sleep 0.3
is "a killed supervisor leaves no process" "$(grep -la 'payload' /proc/[0-9]*/cmdline 2>/dev/null | grep -v self | while read -r f; do tr '\0' ' ' 2>/dev/null <"$f" | grep '^payload --daemon'; done 2>/dev/null)" ''
p=$(plan_of d payload --daemon 100 --sleep 100)
"$SHIM" run "$p" 2>/dev/null &
pid=$!
until_true started
kill -KILL "$(status_of d init .pod)"
wait $pid
is "a killed init ends the pod" $? 137
is "which is recorded" "$(marker_of d) $(status_of d exit web) $(status_of d signal web)" 'exited 137 9'
detached "$(plan_of d payload --sleep 100)"
sup=$(status_of d supervisor .pod)
kill -KILL "$sup"
until_true gone "$sup"
is "after a killed supervisor the marker says running" "$(marker_of d)" running
ok "and control refuses" sh -c "! '$PROBE' ctl '$WORK/pods/d' status >/dev/null 2>&1"

# two at once
for n in 1 2 3 4 5; do
    p=$(plan_of d payload --sleep 1)
    "$SHIM" run "$p" 2>/dev/null & one=$!
    "$SHIM" run "$p" 2>/dev/null & two=$!
    wait $one; a=$?
    wait $two; b=$?
    is "of two runs one wins ($n)" "$(printf '%s\n' $a $b | sort -n | tr '\n' ' ')" '0 125 '
done

# reap and remove
lists() {
    rec reap /bin/sh -c "echo \"\$PATH|\$LC_ALL|\$HOME\" >$WORK/reaped; ls $WORK/pods/d >>$WORK/reaped"
    rec reap /bin/touch "$WORK/reaped2"
    rec remove /bin/rm -rf "$WORK/pods/d"
}
POD_MORE=lists
"$SHIM" run "$(plan_of d payload --exit 2)"
is "reap runs after the end, with little environment" "$(head -n 2 "$WORK/reaped" | tr '\n' ' ')" '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|C| exited '
ok "all of it" exists "$WORK/reaped2"
is "remove does not without --remove" "$(marker_of d)" exited
"$SHIM" run --remove "$(plan_of d payload --exit 2)"
is "with --remove the status stays" $? 2
ok "and the pod is gone" absent "$WORK/pods/d"
lists() {
    rec reap /bin/false
    rec reap /bin/touch "$WORK/never"
}
err=$("$SHIM" run "$(plan_of d payload --exit 2)" 2>&1)
is "a failing reap does not change the status" $? 2
has "it is told" "$err" 'reap /bin/false'
ok "and the rest left to gc" absent "$WORK/never"
unset POD_MORE
