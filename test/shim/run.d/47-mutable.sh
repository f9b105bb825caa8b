# Mutable pods: apps come, start, stop and go while the pod runs.

ctl() { "$PROBE" ctl "$WORK/pods/m" "$1"; }
state_of() { status_of m state "$1" 2>/dev/null; }
state_is() { [ "$(state_of "$1")" = "$2" ]; }
# The pod's plan as stage0 leaves it: replaced as a whole. mutable_plan FUNCTION: adds the apps
mutable_plan() {
    {
        pod_records m
        rec mutable 1
        [ -z "${POD_MORE:-}" ] || $POD_MORE
        $1
        rec end
    } >"$WORK/pods/m/plan.new"
    chmod 600 "$WORK/pods/m/plan.new"
    mv "$WORK/pods/m/plan.new" "$WORK/pods/m/plan"
}
fresh() {
    pod_folder m
    rm -f "$WORK/root/said"
    mutable_plan "$1"
    "$SHIM" run --detach "$WORK/pods/m/plan"
}
supervisor() { status_of m supervisor .pod; }
init() { status_of m init .pod; }
no_app() { :; }
one() { app_records one payload --stdout up --sleep 100; }

is "a pod without apps is refused unless it is mutable" \
    "$(pod_folder m; { pod_records m; rec end; } >"$WORK/m.plan"; chmod 600 "$WORK/m.plan"; "$SHIM" run "$WORK/m.plan" 2>/dev/null; echo $?)" 125
is "a mutable pod starts without apps" "$(fresh no_app)" "$UUID"
sup=$(supervisor)
is "and lives" "$(marker_of m)" running
is "an app that is nowhere cannot be started" "$(ctl 'app-start one')" 'error no such app'

mutable_plan one
is "an app of the plan as it is now starts" "$(ctl 'app-start one')" ok
is "it runs" "$(state_of one)" running
pid=$(status_of m pid one)
for kind in pid uts ipc net; do
    is "in the pod's $kind namespace" "$(stat -Lc %i "/proc/$pid/ns/$kind")" "$(stat -Lc %i "/proc/$(init)/ns/$kind")"
done
ok "in a mount namespace of its own" [ "$(stat -Lc %i "/proc/$pid/ns/mnt")" != "$(stat -Lc %i "/proc/$(init)/ns/mnt")" -a "$(stat -Lc %i "/proc/$pid/ns/mnt")" != "$(stat -Lc %i /proc/self/ns/mnt)" ]
is "init has no mount of the host, still" "$(wc -l <"/proc/$(init)/mounts")" 1
is "nor does the app" "$(grep -c "$WORK" "/proc/$pid/mounts")" 0
is "init holds no namespace but that of the app" "$(ls -l "/proc/$(init)/fd" | grep -c 'mnt:')" 1
is "the app has only its own descriptors" "$(ls "/proc/$pid/fd" | tr '\n' ' ')" '0 1 2 '
until_true test -s "$WORK/pods/m/logs/one"
has "its output is logged" "$(cat "$WORK/pods/m/logs/one")" ' stdout P up'
is "a second start is refused" "$(ctl 'app-start one')" 'error the app runs already'
is "a running app is not forgotten" "$(ctl 'app-forget one')" 'error the app runs'

# The same confinement as for an app of the start
two() {
    one
    APP_USER=joe APP_GROUP=staff CAPS='00000000a80425fb 0000000000000400' NNP=1 CWD=/tmp
    app_records two payload --report --sleep 100
    rec seccomp "$BPF"
    rec oom-score-adj 100
    rec mask /home
    rec mount bind "$WORK/given" /given ro
    unset APP_USER CAPS NNP CWD APP_GROUP
}
mkdir -p "$WORK/given"
echo given >"$WORK/given/file"
mutable_plan two
is "another app joins" "$(ctl 'app-start two')" ok
until_true grep -q capEffective "$WORK/pods/m/logs/two"
own=$(cat "$WORK/pods/m/logs/two")
for want in '"uid":1000,"euid":1000,"gid":50' '"capEffective":"0000000000000400","capBounding":"00000000a80425fb","capAmbient":"0000000000000400","seccomp":"2","noNewPrivs":"1"' \
    '"hostname":"testpod"' 'oomScoreAdj":100' '"env":["PATH=/bin:/usr/bin","TEST=1"]'; do
    has "an app that joined has $want" "$own" "$want"
done
is "its volume is there, read-only" "$("$SHIM" enter --user 0 "$WORK/pods/m/plan" two -- sh -c 'cat /given/file; echo x 2>/dev/null >/given/file || echo refused')" 'given
refused'
is "what the plan hides is hidden" "$("$SHIM" enter --user 0 "$WORK/pods/m/plan" two -- ls /home)" ''
has "status lists both" "$(ctl status | grep '^app=' | tr '\n' ' ')" 'app=one app=two'

is "one app is stopped alone" "$(ctl 'app-stop 2000 one')" 'ok
exit=143'
is "the other goes on" "$(state_of one) $(state_of two) $(marker_of m)" 'exited running running'
is "a stop of what does not run is refused" "$(ctl 'app-stop 2000 one')" 'error the app does not run'
is "an exited app starts again" "$(ctl 'app-start one')" ok
until_true state_is one running
ok "as another process" [ "$(status_of m pid one)" != "$pid" ]
ctl 'kill 9 one' >/dev/null
until_true state_is one exited
is "an app that is killed does not end the pod" "$(marker_of m) $(status_of m exit one)" 'running 137'
is "nor does it forget the others" "$(state_of two)" running

# Leaving
"$PROBE" ctl "$WORK/pods/m" 'app-start one' >/dev/null
until_true state_is one running
"$SHIM" enter "$WORK/pods/m/plan" one -- payload --daemon 100 >/dev/null 2>&1 &
space=$(stat -Lc %i "/proc/$(status_of m pid one)/ns/mnt")
in_space() { for p in /proc/[0-9]*; do [ "$(stat -Lc %i "$p/ns/mnt" 2>/dev/null)" = "$space" ] && echo "$p"; done | wc -l; }
sleep 0.5
ctl 'app-stop 100 one' >/dev/null
ok "an app may leave processes behind" [ "$(in_space)" -ge 1 ]
is "an app is forgotten" "$(ctl 'app-forget one')" ok
none_left() { [ "$(in_space)" = 0 ]; }
until_true none_left
is "with whatever it left" "$(in_space)" 0
is "and is not listed any more" "$(ctl status | grep -c '^app=one')" 0
is "its namespace is gone from init" "$(ls -l "/proc/$(init)/fd" | grep -c 'mnt:')" 1

# Whoever waits for an app that goes away before it runs is told. Init stands still until all have
# asked, so the stop comes while the app is built.
kill -STOP "$(init)"
timeout 10 "$PROBE" ctl "$WORK/pods/m" 'app-start one' >"$WORK/start.said" &
starter=$!
until_true state_is one created
timeout 10 "$PROBE" ctl "$WORK/pods/m" 'app-stop 1000 one' >"$WORK/stop.said" &
stopper=$!
timeout 10 "$PROBE" ctl "$WORK/pods/m" 'attach one' >"$WORK/attach.said" &
watcher=$!
sleep 0.3
kill -CONT "$(init)"
wait "$starter"
wait "$stopper"
is "a stop of an app that is being built is answered" "$? $(cat "$WORK/stop.said")" '0 ok
exit=0'
wait "$watcher"
is "and an attached client is let go" $? 0
is "its start is answered, too" "$(cat "$WORK/start.said")" 'error the app was stopped'
is "nothing of it is left" "$(ctl status | grep -c '^app=one')" 0

fds=$(ls "/proc/$sup/fd" | wc -l)
maps=$(wc -l <"/proc/$sup/maps")
ifds=$(ls "/proc/$(init)/fd" | wc -l)
imaps=$(wc -l <"/proc/$(init)/maps")
for n in 1 2 3 4 5 6 7 8 9 10; do
    ctl 'app-start one' >/dev/null
    ctl 'app-stop 1000 one' >/dev/null
    ctl 'app-forget one' >/dev/null
done
is "ten apps that came and went left nothing" \
    "$(ls "/proc/$sup/fd" | wc -l) $(wc -l <"/proc/$sup/maps") $(ls "/proc/$(init)/fd" | wc -l) $(wc -l <"/proc/$(init)/maps")" \
    "$fds $maps $ifds $imaps"

# What cannot be started
bad() {
    two
    app_records nope nope
    app_records badmount payload
    rec mount bind "$WORK/nowhere" /x -
    app_records badpre payload
    rec pre-start false
    rec restart on-failure 1
    app_records badfilter payload
    rec seccomp "$WORK/nowhere"
}
mutable_plan bad
has "a program that is missing is told" "$(ctl 'app-start nope')" 'error app nope: cannot run nope: no such file in the image'
is "with its status" "$(status_of m exit nope) $(state_of nope)" '127 exited'
has "a volume that is missing, too" "$(ctl 'app-start badmount')" "error app badmount: cannot use the volume's source"
is "and nothing of it stays" "$(ctl status | grep -c '^app=badmount')" 0
has "a filter that is missing, too" "$(ctl 'app-start badfilter')" 'error cannot open the seccomp filter: no such file'
has "a pre-start handler that fails, too" "$(ctl 'app-start badpre')" 'error app badpre: the pre-start handler failed'
is "the pod goes on" "$(marker_of m) $(state_of two)" 'running running'
mkdir "$WORK/nowhere"
is "what was missing can be tried again" "$(ctl 'app-start badmount')" ok
printf 'garbage' >"$WORK/pods/m/plan.bad"
chmod 600 "$WORK/pods/m/plan.bad"
mv "$WORK/pods/m/plan.bad" "$WORK/pods/m/plan"
has "a broken plan is told" "$(ctl 'app-start three')" 'error the plan'
mutable_plan two
chmod 622 "$WORK/pods/m/plan"
has "a plan that others may write is not read" "$(ctl 'app-start three')" 'error cannot read the plan'
is "stop ends it with 0" "$(ctl 'stop 2000' | tail -n 1)" exit=0
until_true test "$(marker_of m)" = exited
chmod 600 "$WORK/pods/m/plan"

# Again, with what the plan has now
is "a second run has the apps that the pod has then" "$("$SHIM" run --detach "$WORK/pods/m/plan" >/dev/null; echo "$(state_of one) $(state_of two)")" 'running running'
ctl 'stop 1000' >/dev/null
until_true test "$(marker_of m)" = exited

many() { for n in $(seq 64); do app_records "a$n" payload --sleep 100; done; app_records b payload --sleep 100; }
almost() { for n in $(seq 64); do app_records "a$n" payload --sleep 100; done; }
fresh no_app >/dev/null
mutable_plan almost
for n in $(seq 64); do ctl "app-start a$n"; done >"$WORK/out"
is "64 apps join" "$(grep -c '^ok$' "$WORK/out")" 64
some() { app_records b payload --sleep 100; }
mutable_plan some
is "not one more" "$(ctl 'app-start b')" 'error the pod has 64 apps already'
ctl 'app-stop 1000 a7' >/dev/null
ctl 'app-forget a7' >/dev/null
is "unless one leaves" "$(ctl 'app-start b')" ok
pids=$(cat "$WORK/pods/m/status/"* | sed -n 's/^pid=//p')
kill -KILL "$(supervisor)"
all_gone() { for p in $pids; do gone "$p" || return 1; done; }
until_true all_gone
ok "killing the supervisor ends them all" all_gone

# In the foreground
pod_folder m
mutable_plan no_app
"$SHIM" run "$WORK/pods/m/plan" &
pid=$!
until_true test -e "$WORK/pods/m/control"
until_true test "$(marker_of m)" = running
kill -INT $pid
wait $pid
is "INT stops a mutable pod in the foreground" "$?" 0
is "--interactive needs one that is not" "$("$SHIM" run --interactive "$WORK/pods/m/plan" 2>&1 | head -n 1)" \
    'jetpack: --tty and --interactive need a pod that is not mutable'
always() { RESTART=always; app_records web sh -c 'exit 3'; unset RESTART; }
fresh no_app >/dev/null
mutable_plan always
ctl 'app-start web' >/dev/null
# Long enough a pause that it is not over before the request
long_pause() { state_is web waiting && [ "$(status_of m restarts web)" -ge 3 ]; }
until_true long_pause
is "a stop of one app ends its restarts" "$(ctl 'app-stop 1000 web')" 'ok
exit=3'
is "and it stays so" "$(sleep 0.5; state_of web)" exited
ctl 'stop 1000' >/dev/null
"$SHIM" run --detach "$(plan_of d payload --sleep 100)" >/dev/null
is "an ordinary pod takes no apps" "$("$PROBE" ctl "$WORK/pods/d" 'app-start x')" 'error the pod was not started with --mutable'
"$PROBE" ctl "$WORK/pods/d" 'stop 1000' >/dev/null
