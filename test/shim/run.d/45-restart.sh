# Restart policies and the order of a stop.

ctl() { "$PROBE" ctl "$WORK/pods/$1" "$2"; }
lines() { [ "$(cat "$WORK/root/$1" 2>/dev/null | wc -l)" -ge "$2" ]; }
state_is() { [ "$(status_of r state web 2>/dev/null)" = "$1" ]; }
ms() { echo $(($(date +%s%N) / 1000000)); }
hooked() {
    rec pre-start sh -c 'echo pre >>/said'
    rec post-stop sh -c 'echo post >>/said'
}

RESTART='on-failure 3'
rm -f "$WORK/root/said"
MORE=hooked
from=$(ms)
timeout 20 "$SHIM" run "$(plan_of r sh -c 'echo main >>/said; exit 4')" 2>"$WORK/err"
is "on-failure gives up after so many starts in a row, with the status of the last" $? 4
took=$(($(ms) - from))
is "handlers run around every start" "$(tr '\n' ' ' <"$WORK/root/said")" \
    'pre main post pre main post pre main post pre main post '
ok "the pauses are 100, 200, 400 ms" [ $took -ge 700 -a $took -lt 3000 ]
is "the status counts the restarts" "$(status_of r restarts web) $(status_of r state web) $(status_of r exit web)" '3 exited 4'
unset MORE

rm -f "$WORK/root/said"
timeout 20 "$SHIM" run "$(plan_of r sh -c 'echo x >>/said; [ $(wc -l </said) -ge 3 ]')"
is "on-failure is content with a success" "$? $(wc -l <"$WORK/root/said")" '0 3'
is "and records it" "$(status_of r restarts web) $(status_of r exit web) $(status_of r signal web)" '2 0 0'

RESTART=no
rm -f "$WORK/root/said"
"$SHIM" run "$(plan_of r sh -c 'echo x >>/said; exit 3')"
is "no starts nothing again" "$? $(wc -l <"$WORK/root/said")" '3 1'

RESTART=always
rm -f "$WORK/root/said"
"$SHIM" run "$(plan_of r sh -c 'echo x >>/said; exit 0')" &
pid=$!
until_true lines said 4
until_true state_is waiting
is "always starts a successful app again, and tells that it waits" \
    "$(ctl r status | grep -c -e '^state=waiting' -e '^exit=0' -e '^restarts=[3-9]' -e '^pid=')" 3
from=$(ms)
kill -TERM $pid
wait $pid
is "TERM ends the pause" $? 0
ok "at once" [ $(($(ms) - from)) -lt 1500 ]
before=$(wc -l <"$WORK/root/said")
is "and nothing is started after it" "$(sleep 1; wc -l <"$WORK/root/said")" "$before"

rm -f "$WORK/root/said"
"$SHIM" run "$(plan_of r sh -c 'echo x >>/said; exec payload --sleep 100')" &
pid=$!
until_true lines said 1
until_true state_is running
ctl r 'kill 9' >/dev/null
until_true lines said 2
ok "what a signal ended is started again" lines said 2
until_true state_is running
is "its status says since when it runs, and not when it ended" \
    "$(status_of r restarts web):$(status_of r finished web)" 1:
kill -INT $pid
wait $pid
is "INT to the supervisor is the end" "$? $(wc -l <"$WORK/root/said")" '130 2'

rm -f "$WORK/root/said"
"$SHIM" run --detach "$(plan_of r sh -c 'echo up; echo x >>/said; exec payload --sleep 100')" >/dev/null
until_true state_is running
timeout 10 "$SHIM" attach "$WORK/pods/r" web >"$WORK/out" &
client=$!
sleep 0.3
ctl r 'kill 15' >/dev/null
until_true lines said 2
until_true state_is running
sleep 0.3
ctl r 'stop 1000' >/dev/null
wait $client
is "who is attached stays so, and gets the last status" "$? $(cat "$WORK/out")" '143 up'
has "the log has all starts" "$(grep -c ' up$' "$WORK/pods/r/logs/web")" 2

rm -f "$WORK/root/said"
timeout 10 "$SHIM" run "$(plan_of r nope)" 2>/dev/null
is "what cannot be run is not tried again" $? 127

RESTART='on-failure 2'
failing_pre() { rec pre-start sh -c 'echo x >>/said; exit 1'; }
MORE=failing_pre
timeout 10 "$SHIM" run "$(plan_of r true)" 2>"$WORK/err"
is "a failing pre-start handler counts as a failed start" "$? $(wc -l <"$WORK/root/said")" '125 3'
is "told each time" "$(grep -c 'it is tried again' "$WORK/err")$(grep -c 'exit status 1$' "$WORK/err")" 21
unset MORE

RESTART=always
timeout 20 "$PROBE" pty 'exit 3\n\ntest -t 0 && echo terminal again; kill -INT $PPID\n' "$SHIM" run --tty "$(plan_of r sh)" >"$WORK/out" &
pid=$!
until_true grep -q 'terminal again' "$WORK/out"
ok "an app on a terminal gets it back" grep -q 'terminal again' "$WORK/out"
ctl r 'stop 100' >/dev/null
wait $pid
unset RESTART

# The others of a pod that stops: in reverse order, each with its handler before the next.
logs_its_end() {
    cat <<'SCRIPT'
trap 'sleep 0.2; echo "$AC_APP_NAME ends" >>/said; exit 0' TERM
echo "$AC_APP_NAME runs" >>/said
while :; do sleep 0.05; done
SCRIPT
}
app_named() {
    name=$1
    shift
    app_records "$name" "$@" | sed "s/TEST=1/AC_APP_NAME=$name/"
    rec post-stop sh -c 'echo "$AC_APP_NAME is over" >>/said'
}
three() {
    file=$WORK/r.plan
    {
        pod_head r
        app_named one sh -c "$(logs_its_end)"
        app_named two sh -c "$(logs_its_end)"
        app_named three sh -c "${THIRD:-$(logs_its_end)}"
        rec end
    } >"$file"
    chmod 600 "$file"
    rm -f "$WORK/root/said"
    echo "$file"
}
order() { grep -v runs "$WORK/root/said" | tr '\n' ','; }
"$SHIM" run --detach "$(three)" >/dev/null
until_true lines said 3
is "stop is clean" "$(ctl r 'stop 5000' | tail -n 1)" exit=0
is "apps stop in reverse order, each with its handler" "$(order)" \
    'three ends,three is over,two ends,two is over,one ends,one is over,'

"$SHIM" run --detach "$(THIRD='trap "" TERM; echo runs >>/said; while :; do sleep 1; done' three)" >/dev/null
until_true lines said 3
from=$(ms)
is "an app that ignores its signal is killed" "$(ctl r 'stop 3000' | tail -n 1)" exit=137
took=$(($(ms) - from))
is "after the others had their time" "$(order)" 'two ends,two is over,one ends,one is over,three is over,'
ok "and all of it is within the grace" [ $took -ge 2900 -a $took -lt 5000 ]

timeout 10 "$SHIM" run "$(THIRD='while [ "$(wc -l </said)" -lt 2 ]; do sleep 0.05; done; exit 9' three)" 2>/dev/null
is "an app that fails ends the pod with its status" $? 9
is "and the others are stopped in order" "$(order)" 'three is over,two ends,two is over,one ends,one is over,'

"$SHIM" run --detach "$(three)" >/dev/null
until_true lines said 3
from=$(ms)
is "no grace is a kill" "$(ctl r 'stop 0' | tail -n 1)" exit=137
ok "at once" [ $(($(ms) - from)) -lt 2500 ]

"$SHIM" run --detach "$(three)" >/dev/null
until_true lines said 3
ctl r 'stop 86400000' >/dev/null &
waiter=$!
sleep 0.1
is "a shorter grace replaces a longer one" "$(ctl r 'stop 300' | tail -n 1 | cut -c 1-5)" exit=
wait $waiter

"$SHIM" run --detach "$(THIRD='trap "" TERM; echo runs >>/said; while :; do sleep 1; done' three)" >/dev/null
until_true lines said 3
ctl r 'stop 86400000' >/dev/null &
waiter=$!
sleep 0.3
ctl r 'stop 3000' >/dev/null
is "and the others still have their turns in it" "$(order)" 'two ends,two is over,one ends,one is over,three is over,'
wait $waiter
