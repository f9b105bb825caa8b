# The relay to the host's metadata service.

PORT=18411
cp "$HTTP" "$WORK/root/bin/http"
relay_pid() { # of the supervisor $1: its child that is a relay
    for c in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        [ "$(cat "/proc/$c/comm" 2>/dev/null)" = jetpack-relay ] && echo "$c"
    done
}
has_relay() { [ -n "$(relay_pid "$1")" ]; }
no_relay() { [ -z "$(relay_pid "$1")" ]; }
# `env` stands once: the plan is edited
with_url() { sed -i "s|\(env\x00\)2\x00PATH=/bin:/usr/bin\x00TEST=1\x00|\13\x00PATH=/bin:/usr/bin\x00TEST=1\x00AC_METADATA_URL=http://127.0.0.1:$PORT/t\x00|" "$1"; }
metadata() { rec metadata $PORT 12345 23456 1; }

POD_MORE=metadata
plan=$(plan_of meta1 http GET /x -)
with_url "$plan"
out=$("$SHIM" run "$plan" 2>&1)
has "a service that does not answer is told" "$out" \
    "jetpack: warning: the metadata service does not answer at 127.0.0.1:$PORT; start it with"
has "and the app hears so too" "$out" "503	text/plain; charset=us-ascii	the metadata service does not answer."
has "the warning is an object with --json" \
    "$(: >"$WORK/pods/meta1/prepared"; rm -f "$WORK/pods/meta1/exited"; "$SHIM" run --json "$plan" 2>&1)" '{"warning":{"message":"the metadata service does not'

"$HTTP" --serve $PORT 0123456789 >"$WORK/serve.out" 2>&1 &
service=$!
until_true grep -q ready "$WORK/serve.out"
plan=$(plan_of meta2 http GET /x - GET /y -)
with_url "$plan"
out=$("$SHIM" run "$plan" 2>&1)
is "a pod without any network calls the service, as 127.0.0.2" "$(printf '%s\n' "$out" | cut -c1-26 | sort -u)" "200	x	127.0.0.2 0123456789"
is "and gets all of its answer" "$(printf '%s\n' "$out" | head -n1 | wc -c)" 20017
is "nothing else is said" "$(printf '%s\n' "$out" | grep -vc '^200')" 0

plan=$(plan_of meta3 http --hold 40 3)
with_url "$plan"
: >"$WORK/hold.out"
"$SHIM" run "$plan" >"$WORK/hold.out" 2>&1 &
pod=$!
until_true grep -q held "$WORK/hold.out"
relay=$(relay_pid $pod)
ok "a relay runs while there are callers" [ -n "$relay" ]
status=$(cat "/proc/$relay/status")
field() { printf '%s\n' "$status" | sed -n "s/^$1:[[:space:]]*//p" | tr '\t' ' '; }
is "as the user of the plan" "$(field Uid)" "12345 12345 12345 12345"
is "and its group, with no other" "$(field Gid)/$(field Groups | tr -d ' ')" "23456 23456 23456 23456/"
is "without capabilities" "$(field CapInh)$(field CapPrm)$(field CapEff)$(field CapBnd)$(field CapAmb)" \
    "$(printf '%080d' 0)"
is "with no_new_privs" "$(field NoNewPrivs)" 1
case $SHIM in
*asan*) ;; # the sanitizers make calls of their own
*) is "and a filter" "$(field Seccomp)" 2 ;;
esac
is "it holds the listener, at most 16 callers and their ways to the service, and no file" \
    "$(ls "/proc/$relay/fd" | wc -l) $(readlink /proc/"$relay"/fd/* | grep -vc '^socket:\|^/dev/null')" "35 0"
is "in the network of the host" "$(readlink "/proc/$relay/ns/net")" "$(readlink /proc/self/ns/net)"
wait $pod
ok "it ends with the pod" gone "$relay"

# A relay that nobody needs ends, and comes again.
plan=$(plan_of meta4 sh -c 'http GET /x -; while [ ! -e /tmp/go ]; do sleep 0.1; done; http GET /x -')
with_url "$plan"
rm -f "$WORK/root/tmp/go"
"$SHIM" run "$plan" >"$WORK/twice.out" 2>&1 &
pod=$!
until_true grep -q '^200' "$WORK/twice.out"
ok "a relay is there after a call" has_relay $pod
ok "and goes when there are no more" until_true no_relay $pod
: >"$WORK/root/tmp/go"
wait $pod
is "the next call brings another" "$(grep -c '^200' "$WORK/twice.out")" 2
rm -f "$WORK/root/tmp/go"

# Killed, it is started again; killed with the supervisor, it is gone.
plan=$(plan_of meta5 sh -c 'http GET /x -; sleep 1; http GET /x -; sleep 30')
with_url "$plan"
"$SHIM" run "$plan" >"$WORK/killed.out" 2>&1 &
pod=$!
until_true has_relay $pod
relay=$(relay_pid $pod)
kill -KILL "$relay"
two() { [ "$(grep -c '^200' "$WORK/killed.out")" = 2 ]; }
ok "a relay that is killed is started again" until_true two
relay=$(relay_pid $pod)
kill -KILL $pod
wait $pod
ok "a relay dies with the supervisor" until_true gone "$relay"

# In a namespace that pods share each has its own; where the address is taken, a note.
if ip netns add jpshim$$ 2>/dev/null; then
    NET=host
    plan=$(plan_of meta6 http GET /x -)
    with_url "$plan"
    sed -i "s|net\x001\x00host\x00|net\x002\x00ns\x00/run/netns/jpshim$$\x00|" "$plan"
    plan2=$(plan_of meta7 sh -c 'http GET /x -; sleep 2')
    with_url "$plan2"
    sed -i "s|net\x001\x00host\x00|net\x002\x00ns\x00/run/netns/jpshim$$\x00|" "$plan2"
    "$SHIM" run "$plan2" >"$WORK/shared.out" 2>&1 &
    pod=$!
    until_true grep -q '^200' "$WORK/shared.out"
    out=$("$SHIM" run "$plan" 2>&1)
    has "two pods in one network both have their relay" "$out" "200	x	127.0.0.2"
    is "and nobody complains" "$(printf '%s' "$out" | grep -c note)" 0
    wait $pod
    ip netns exec jpshim$$ "$HTTP" --serve $PORT other >"$WORK/other.out" &
    other=$!
    until_true grep -q ready "$WORK/other.out"
    plan=$(plan_of meta8 true)
    sed -i "s|net\x001\x00host\x00|net\x002\x00ns\x00/run/netns/jpshim$$\x00|" "$plan"
    out=$("$SHIM" run "$plan" 2>&1)
    is "an address that is taken is a note, and the pod runs" "$?/$(printf "%s" "$out" | sed "s|[^:]*$||")" \
        "0/jetpack: note: no relay to the metadata service: 127.0.0.1 in the pod's network:"
    kill $other
    wait $other
    ip netns del jpshim$$
    unset NET
else
    skip "pods in one network" "no ip netns"
fi
kill $service
wait $service 2>/dev/null
