# Readiness by sd_notify(3), sockets by sd_listen_fds(3).

state_of() { status_of s state web 2>/dev/null; }
runs() { [ "$(state_of)" = running ]; }
ctl() { "$PROBE" ctl "$WORK/pods/s" "$1"; }
ready_of() { status_of s ready .pod; }
is_ready() { [ -n "$(ready_of)" ]; }
in_log() { grep -q "$1" "$WORK/pods/s/logs/web" 2>/dev/null; }
heard() { grep -c "^$1\$" "$WORK/heard"; }
has_heard() { [ "$(heard "$1")" -gt 0 ]; }

# -- without a word of the app
"$SHIM" run --detach "$(plan_of s service --sleep 100)" >/dev/null
until_true is_ready
is "a pod whose apps do not tell is ready when they run" "$(ctl wait-ready)" ready
is "that is written down for the pod and for the app" "$(status_of s ready .pod | wc -l) $(status_of s ready web | wc -l)" '1 1'
has "and told by status" "$(ctl status)" "ready=$(ready_of)"
ctl 'stop 100' >/dev/null

# -- the app tells
notifies() { rec notify 1; }
MORE=notifies
env=$("$SHIM" run "$(plan_of s env)")
has "an app that tells finds the socket in its environment" "$env" NOTIFY_SOCKET=/dev/notify
is "it is any user's" "$("$SHIM" run "$(plan_of s sh -c 'ls -l /dev/notify')" | cut -c1-10)" srw-rw-rw-
replaced() {
    rec notify 1
    rec pre-start env
    rec post-stop env
}
MORE=replaced
is "its handlers do not" "$("$SHIM" run "$(plan_of s true)" | grep -c NOTIFY)" 0
MORE=notifies
"$SHIM" run --detach "$(plan_of s service --stdout up --sleep 1 --notify 'STATUS=soon\nREADY=1' --stdout told --sleep 100)" >/dev/null
until_true in_log up
is "until it says so the pod is not ready" "$(ready_of)" ''
is "a client that waits is told then" "$(ctl wait-ready)" ready
until_true in_log told
ok "which is when the app said it" in_log told
ctl 'stop 100' >/dev/null

for who in joe root; do
    for mode in rw ro; do
        APP_USER=$who MODE=$mode
        "$SHIM" run --detach "$(plan_of s service --child-notify READY=1 --sleep 100)" >/dev/null
        is "a child of $who that is gone again may tell, root $mode" "$(ctl wait-ready)" ready
        ctl 'stop 100' >/dev/null
    done
done
unset APP_USER MODE
empty=$WORK/empty-root
mkdir -p "$empty"
cp "$SERVICE" "$empty/service"
ROOT=$empty APP_USER=0 APP_GROUP=0
"$SHIM" run --detach "$(plan_of s /service --notify READY=1 --sleep 100)" >/dev/null
is "a root without any folder is enough" "$(ctl wait-ready)" ready
ctl 'stop 100' >/dev/null
unset ROOT APP_USER APP_GROUP

"$SHIM" run "$(plan_of s service --notify READY=1)"
ok "an app that ends right after it told was ready" is_ready
"$PROBE" ctl "$WORK/pods/s" wait-ready >/dev/null 2>&1
"$SHIM" run --detach "$(plan_of s service --sleep 1 --exit 3)" >/dev/null
is "a pod that ends before it is ready says how" "$(ctl wait-ready)" exit=3
is "and was never ready" "$(ready_of)" ''
out=$("$SHIM" run "$(plan_of s service --barrier)")
is "descriptors that come along are closed at once" "$out" barrier
"$SHIM" run --detach "$(plan_of s service --big 5000 --notify READY=0 --notify 'xREADY=1' --notify READY=11 --notify '' --stdout up --sleep 100)" >/dev/null
until_true in_log up
sleep 0.3
is "what is too long, or another word, makes nobody ready" "$(ready_of)" ''
app=$(status_of s pid web)
"$MANAGER" say "/proc/$app/root/dev/notify" READY=1
sleep 0.3
is "nor does a process outside of the pod" "$(ready_of)" ''
"$SHIM" enter "$WORK/s.plan" web -- sh -c '[ -z "$NOTIFY_SOCKET" ] || echo has it'
"$SHIM" enter --env NOTIFY_SOCKET=/dev/notify "$WORK/s.plan" web -- service --notify READY=1
is "one that entered it does" "$(ctl wait-ready)" ready
ctl 'stop 100' >/dev/null
"$SHIM" run --detach "$(plan_of s service --flood 20000 --notify READY=1 --sleep 100)" >/dev/null
is "a flood of words is carried, and the last one counts" "$(ctl wait-ready)" ready
ctl 'stop 100' >/dev/null

second() {
    rec notify 1
    app_records two service --stdout up --sleep 100
    app_records three service --sleep 1 --notify READY=1 --sleep 100
    rec notify 1
}
MORE=second
"$SHIM" run --detach "$(plan_of s service --notify READY=1 --sleep 100)" >/dev/null
is "a pod of several apps is ready" "$(ctl wait-ready)" ready
is "when the last of them is" "$(for app in web two three; do status_of s ready $app; done | sort | tail -n 1 | cut -c1-19)" "$(ready_of | cut -c1-19)"
ctl 'stop 100' >/dev/null
restarted() {
    rec notify 1
    rec restart always
}
MORE=restarted
"$SHIM" run --detach "$(plan_of s sh -c '[ -e /tmp/second ] && exec service --notify READY=1 --sleep 100; touch /tmp/second; exit 3')" >/dev/null
is "an app that is ready at its second start makes the pod ready" "$(ctl wait-ready)" ready
rm -f "$WORK/root/tmp/second"
ctl 'stop 100' >/dev/null
until_true test "$(marker_of s)" = exited
MORE=second
ends() {
    rec notify 1
    app_records two service --sleep 100
}
MORE=ends
for delay in 0 1; do
    "$SHIM" run --detach "$(plan_of s service --sleep $delay)" >/dev/null
    is "an app that ends well without a word is told to who waits, before or after ($delay)" "$(ctl wait-ready)" 'error app web has ended before it was ready'
    ctl 'stop 100' >/dev/null
    until_true test "$(marker_of s)" = exited
done
for n in 1 2 3 4 5; do
    "$SHIM" run --detach "$(plan_of s service --notify READY=1)" >/dev/null
    is "one that ends right after its word was ready ($n)" "$(ctl wait-ready)" ready
    ctl 'stop 100' >/dev/null
    until_true test "$(marker_of s)" = exited
done
MORE=second
for n in 1 2 3 4; do
    "$SHIM" run --detach "$(plan_of s service --sleep 100)" >/dev/null
    "$PROBE" ctl "$WORK/pods/s" wait-ready >"$WORK/waited" &
    waiter=$!
    sleep 0.05
    ctl 'stop 100' >/dev/null
    wait $waiter
    has "a stop ends the wait ($n)" "$(cat "$WORK/waited")" exit=
done

# -- the service manager hears
MORE=notifies
: >"$WORK/heard"
for manager in "$WORK/manager" "@jetpack-test-$$"; do
    : >"$WORK/heard"
    "$MANAGER" hear "$manager" "$WORK/heard" &
    hearing=$!
    sleep 0.2
    NOTIFY_SOCKET=$manager "$SHIM" run "$(plan_of s service --notify 'STATUS=one\nMAINPID=1\nWATCHDOG=1' --sleep 1 --notify "READY=1" --sleep 1 --notify 'STATUS=a	tab\nX=2')" 2>"$WORK/err"
    until_true has_heard STOPPING=1
    is "a manager at ${manager%%[/j]*}… hears it all, in order" "$(cat "$WORK/heard")" 'STATUS=one
READY=1
STATUS=a\x09tab
STOPPING=1'
    kill $hearing
    wait $hearing 2>/dev/null
done
rm -f "$WORK/manager"
"$MANAGER" hear "$WORK/manager" "$WORK/heard2" &
hearing=$!
until_true exists "$WORK/manager"
unset MORE
NOTIFY_SOCKET=$WORK/manager "$SHIM" run "$(plan_of s service --sleep 1)"
is "without apps that tell it hears of their start" "$(cat "$WORK/heard2")" 'READY=1
STOPPING=1'
is "nothing of it gets into the pod" "$(NOTIFY_SOCKET=$WORK/manager LISTEN_PID=1 "$SHIM" run "$(plan_of s env)" | grep -c -e NOTIFY -e LISTEN)" 0
NOTIFY_SOCKET=$WORK/manager "$SHIM" run --detach "$(plan_of s service --sleep 100)" >/dev/null
is "nor into the supervisor's or init's environment" "$(cat "/proc/$(status_of s supervisor .pod)/environ" "/proc/$(status_of s init .pod)/environ" | tr -d '\0')" ''
ctl 'stop 100' >/dev/null
MORE=notifies
: >"$WORK/heard2"
NOTIFY_SOCKET=$WORK/manager "$SHIM" run "$(plan_of s service --flood 5000)"
ok "a flood of words does not flood the manager" test "$(grep -c flood "$WORK/heard2")" -lt 100
second() {
    rec notify 1
    app_records two service --notify 'STATUS=of two' --sleep 1
    rec notify 1
}
MORE=second
: >"$WORK/heard2"
NOTIFY_SOCKET=$WORK/manager "$SHIM" run "$(plan_of s service --sleep 1 --notify STOPPING=1)"
is "several apps are told apart" "$(cat "$WORK/heard2")" 'STATUS=two: of two
STOPPING=1'
kill $hearing
wait $hearing 2>/dev/null
unset MORE
err=$(NOTIFY_SOCKET=$WORK/nowhere "$SHIM" run "$(plan_of s service)" 2>&1)
is "a manager that is not there stops nobody" $? 0
is "and is told once" "$(echo "$err" | grep -c 'cannot tell the service manager')" 1

# -- sockets
at=127.77.3.1
port=$((20000 + $$ % 20000))
listens() { rec listen http tcp $port; }
MORE=listens
for net in none host; do
    NET=$net
    "$MANAGER" activate tcp:$at:$port -- "$SHIM" run "$(plan_of s service --sockets --serve 2)" >"$WORK/out" 2>"$WORK/err" &
    pid=$!
    is "with net $net the app answers on its socket" "$("$MANAGER" tell tcp $at $port hello)" 'http: hello'
    is "again" "$("$MANAGER" tell tcp $at $port again)" 'http: again'
    wait $pid
    is "and ends" $? 0
    is "it was told by its own process number" "$(cat "$WORK/out")" "own pid
3 tcp $port http"
    is "without a note" "$(cat "$WORK/err")" ''
done
unset NET
is "no other descriptor comes along" "$("$MANAGER" activate tcp:$at:$port -- "$SHIM" run "$(plan_of s payload)" | sed 's/.*"fds":{\([^}]*\)}.*/\1/' | tr ',' '\n' | sed 's/:\[*[0-9]*\]*"$//; s/:"pipe$//' | cut -d: -f1 | tr '\n' ' ')" '"0" "1" "2" "3" '
overridden() {
    rec listen http tcp $port
    rec pre-start service --sockets
    rec post-stop service --sockets
}
MORE=overridden
is "handlers get none" "$("$MANAGER" activate tcp:$at:$port -- "$SHIM" run "$(plan_of s service --sockets)" | tr '\n' ' ')" "no pid own pid 3 tcp $port http no pid "
MORE=listens
"$MANAGER" activate tcp:$at:$port -- "$SHIM" run --detach "$(plan_of s service --sockets --serve 1)" >/dev/null
sup=$(status_of s supervisor .pod)
socket=$(readlink "/proc/$(status_of s pid web)/fd/3")
ok "init keeps the socket for another start" sh -c "ls -l /proc/$(status_of s init .pod)/fd | grep -qF '$socket'"
is "the supervisor does not" "$(ls -l "/proc/$sup/fd" | grep -cF "$socket")" 0
is "what enters gets none" "$("$SHIM" enter "$WORK/s.plan" web -- payload | sed 's/.*"fds":{\([^}]*\)}.*/\1/' | tr ',' '\n' | wc -l)" 3
is "a detached pod answers, too" "$("$MANAGER" tell tcp $at $port x)" 'http: x'
until_true test "$(marker_of s)" = exited

several() {
    rec listen dns udp $port
    rec listen http tcp $port
    app_records two service --sockets
    rec listen http tcp $port
    rec listen admin tcp $((port + 1))
}
MORE=several
"$MANAGER" activate tcp:$at:$((port + 1)) tcp:$at:$port tcp:127.77.3.2:$port udp:$at:$port -- "$SHIM" run "$(plan_of s service --sockets)" >"$WORK/out" 2>"$WORK/err"
is "each app gets what it wants, by protocol and port, every address of it" "$(cut -d' ' -f4- "$WORK/pods/s/logs/web" | tr '\n' ' ')/ $(cut -d' ' -f4- "$WORK/pods/s/logs/two" | tr '\n' ' ')" \
    "own pid 3 udp $port dns 4 tcp $port http 5 tcp $port http / own pid 3 tcp $port http 4 tcp $port http 5 tcp $((port + 1)) admin "
MORE=listens
"$MANAGER" activate udp:$at:$port tcp:$at:$port -- "$SHIM" run "$(plan_of s service --sockets)" >"$WORK/out" 2>"$WORK/err"
has "what nobody wants is told" "$(cat "$WORK/err")" "a passed socket is closed: udp port $port"
"$MANAGER" activate unix pipe unbound tcp:$at:$port -- "$SHIM" run --json "$(plan_of s service --sockets)" >"$WORK/out" 2>"$WORK/err"
is "as is what is no such socket" "$(grep -c 'no listening TCP and no UDP socket' "$WORK/err")" 3
is "and the right one becomes the first" "$(tail -n 1 "$WORK/out")" "3 tcp $port http"
again() {
    rec listen http tcp $port
    rec restart always
}
MORE=again
"$MANAGER" activate tcp:$at:$port -- "$SHIM" run --detach "$(plan_of s service --sockets --serve 1)" >/dev/null
for n in 1 2 3; do
    is "an app that is started again gets the same sockets ($n)" "$("$MANAGER" tell tcp $at $port $n)" "http: $n"
done
until_true test "$(cut -d' ' -f4- "$WORK/pods/s/logs/web" | tail -n 2 | head -n 1)" = 'own pid'
ok "each time under its own number" sh -c "! grep -q 'no pid' '$WORK/pods/s/logs/web'"
ctl 'stop 100' >/dev/null
until_true test "$(marker_of s)" = exited
udp() { rec listen dns udp $port; }
MORE=udp
"$MANAGER" activate udp:$at:$port -- "$SHIM" run "$(plan_of s service --serve 1)" &
pid=$!
is "a datagram is answered" "$("$MANAGER" tell udp $at $port ping)" 'dns: ping'
wait $pid
MORE=listens
for how in JETPACK_TEST=1 "LISTEN_FDS=1 LISTEN_PID=1" "LISTEN_FDS=1 LISTEN_PID=x" "LISTEN_FDS=3 LISTEN_PID=\$\$"; do
    p=$(plan_of s service --sockets)
    out=$(sh -c "export $how; exec '$SHIM' run '$p'" 2>&1)
    is "without a socket ($how) it is 125" $? 125
    has "and the port named" "$out" "no listening socket was passed for app web, port http (tcp port $port)"
    is "and the pod left prepared" "$(marker_of s)" prepared
done
out=$(LISTEN_FDS=1 LISTEN_PID=$$ JETPACK_LISTEN_HOLDER=1 "$SHIM" run "$p" 2>&1)
is "nobody's descriptors are taken by a forged variable" $? 125

# As stage0 does it, since Node cannot pass a descriptor on.
held='"$SHIM" hold & export JETPACK_LISTEN_HOLDER=$!; exec 3<&-; exec "$SHIM" run "$0"'
is "a child may hold the sockets" "$("$MANAGER" activate tcp:$at:$port -- sh -c "$held" "$p" 2>&1 | tail -n 1)" "3 tcp $port http"
is "and is gone then" "$(grep -la "^$SHIM" /proc/[0-9]*/cmdline 2>/dev/null | while read -r f; do tr '\0' ' ' 2>/dev/null <"$f" | grep ' hold $'; done)" ''
if command -v systemd-socket-activate >/dev/null; then
    systemd-socket-activate -l $at:$port "$SHIM" run "$(plan_of s service --serve 1)" 2>/dev/null &
    pid=$!
    is "systemd's own activator does as well" "$("$MANAGER" tell tcp $at $port hi)" 'http: hi'
    wait $pid
else
    skip "systemd's own activator does as well" "no systemd-socket-activate"
fi
unset MORE

# An app that joins a mutable pod tells, too
pod_folder s
{
    pod_records s
    rec mutable 1
    rec end
} >"$WORK/pods/s/plan"
chmod 600 "$WORK/pods/s/plan"
"$SHIM" run --detach "$WORK/pods/s/plan" >/dev/null
is "a mutable pod without apps is ready" "$("$PROBE" ctl "$WORK/pods/s" wait-ready)" ready
{
    pod_records s
    rec mutable 1
    app_records joins service --stdout up --sleep 1 --notify 'READY=1' --sleep 100
    rec notify 1
    rec end
} >"$WORK/pods/s/plan.new"
chmod 600 "$WORK/pods/s/plan.new"
mv "$WORK/pods/s/plan.new" "$WORK/pods/s/plan"
is "an app that joins may notify" "$("$PROBE" ctl "$WORK/pods/s" 'app-start joins')$(status_of s ready joins)" ok
app_is_ready() { [ -n "$(status_of s ready joins)" ]; }
until_true app_is_ready
ok "and is ready when it says so" app_is_ready
"$PROBE" ctl "$WORK/pods/s" 'app-stop 1000 joins' >/dev/null
is "again when it is started again" "$("$PROBE" ctl "$WORK/pods/s" 'app-start joins')$(status_of s ready joins)" ok
until_true app_is_ready
ok "it has to say it again" app_is_ready
"$PROBE" ctl "$WORK/pods/s" 'stop 1000' >/dev/null

# -- apps that join
joining() { # FUNCTION: adds the apps to the plan of a mutable pod
    {
        pod_records s
        rec mutable 1
        $1
        rec end
    } >"$WORK/pods/s/plan.new"
    chmod 600 "$WORK/pods/s/plan.new"
    mv "$WORK/pods/s/plan.new" "$WORK/pods/s/plan"
}
none() { :; }
pod_folder s
joining none
"$SHIM" run --detach "$WORK/pods/s/plan" >/dev/null
joins() {
    app_records one service --sleep 100
    rec listen http tcp $port
}
joining joins
has "an app that joins cannot be passed a socket" "$(ctl 'app-start one')" 'error sockets are passed to the apps that the pod was started with'
joins() {
    app_records one service --notify READY=1 --sleep 100
    rec notify 1
}
joining joins
is "but it can tell that it is ready" "$(ctl 'app-start one')" ok
is_told() { [ -n "$(status_of s ready one)" ]; }
until_true is_told
ok "which is written down" is_told
ctl 'stop 100' >/dev/null
until_true test "$(marker_of s)" = exited
