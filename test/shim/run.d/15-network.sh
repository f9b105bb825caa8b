# A network namespace that somebody else made.

# Kept by a process of ours: no name in /run/netns that a failed test would leave behind.
unshare --net sleep 1000 &
keeper=$!
until_true test "$(stat -Lc %i "/proc/$keeper/ns/net")" != "$(stat -Lc %i /proc/self/ns/net)"
other=$(stat -Lc %i "/proc/$keeper/ns/net")
touch "$WORK/netns"
mount --bind "/proc/$keeper/ns/net" "$WORK/netns"
kill $keeper
wait $keeper 2>/dev/null

NET="ns $WORK/netns"
report=$("$SHIM" run "$(plan_of n payload)")
is "a pod in a namespace that is there runs" $? 0
has "and is in that one" "$report" "\"net\":$other,"
has "its /sys is that of the namespace" "$("$SHIM" run "$(plan_of n sh -c 'ls /sys/class/net')")" lo
ok "loopback is up there" sh -c "nsenter --net='$WORK/netns' ip link show lo | grep -q UP"
is "the namespace stays" "$(stat -Lc %i "$WORK/netns")" "$other"
NNP=1
"$SHIM" run --detach "$(plan_of n payload --sleep 100)" >/dev/null
has "what enters is in it, too" "$("$SHIM" enter "$WORK/n.plan" web -- payload)" "\"net\":$other,"
"$PROBE" ctl "$WORK/pods/n" 'stop 100' >/dev/null
unset NNP
ln -s netns "$WORK/link"
NET="ns $WORK/link"
"$SHIM" run "$(plan_of n payload --exit 4)"
is "a symbolic link leads to it" $? 4
umount "$WORK/netns"

for case in "$WORK/netns|not a network namespace" "/proc/self/ns/uts|not a network namespace" \
    "/proc/self/ns/net|the network namespace of the host" "$WORK/missing|no such file" "/dev/zero|not a network namespace"; do
    NET="ns ${case%%|*}"
    out=$("$SHIM" run --json "$(plan_of n payload)" 2>&1)
    is "${case%%|*} is refused with 125" $? 125
    has "and the reason told" "$out" "${case#*|}"
    is "the pod is exited" "$(marker_of n)" exited
done
mkfifo "$WORK/fifo"
NET="ns $WORK/fifo"
timeout 10 "$SHIM" run "$(plan_of n payload)" 2>/dev/null
is "a FIFO of that name does not hold it" $? 125
unset NET
