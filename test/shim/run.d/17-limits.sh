# Kernel parameters of the pod, and labels of a security module.

parameters() {
    rec sysctl kernel.shmmni 4000
    rec sysctl kernel.sem '100 3200 50 60'
    rec sysctl fs.mqueue.msg_max 20
    rec sysctl net.ipv4.ip_default_ttl 33
}
shown='cat /proc/sys/kernel/shmmni /proc/sys/kernel/sem /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/ip_default_ttl'
before=$($shown)
POD_MORE=parameters
out=$("$SHIM" run "$(plan_of l sh -c "$shown" | tr -d '\n')" | tr '\t\n' '  ')
is "a pod has its own kernel parameters" "$out" '4000 100 3200 50 60 20 33 '
is "those of the host are as they were" "$($shown)" "$before"

as_pods_are() { rec readonly /proc/sys; }
MORE=as_pods_are
out=$("$SHIM" run "$(plan_of l sh -c 'echo 5 >/proc/sys/kernel/shmmni')" 2>&1)
has "they are set where the app cannot write to them" "$out" 'Read-only file system'
unset MORE

wrong() { rec sysctl kernel.shmmni many; }
POD_MORE=wrong
out=$("$SHIM" run "$(plan_of l payload --stdout started)" 2>&1)
is "a value that the kernel does not take fails the pod" $? 125
is "and is named" "$out" "jetpack: cannot set the kernel parameter kernel.shmmni: Invalid argument
  try: does this kernel have it, and is the value one that it takes?"
absent_one() { rec sysctl net.ipv4.there_is_no_such 1; }
POD_MORE=absent_one
has "so is a parameter that is not there" "$("$SHIM" run "$(plan_of l payload)" 2>&1)" \
    'net.ipv4.there_is_no_such: no such file or folder'
unset POD_MORE

# Where the kernel has no such module, nothing may start without its label.
apparmor() { rec exec-label apparmor there-is-no-such-profile; }
selinux() { rec exec-label selinux a:b:c; }
for MORE in apparmor selinux; do
    out=$("$SHIM" run "$(plan_of l payload --stdout started)" 2>&1)
    is "an app does not start without its $MORE label" $? 125
    has "and the label is named" "$out" 'the kernel does not give the program the label'
done
unset MORE

# The bandwidth of a network that is joined: what is asked of tc and nft, by programs that write it down.
unshare --net sleep 1000 &
keeper=$!
until_true test "$(stat -Lc %i "/proc/$keeper/ns/net")" != "$(stat -Lc %i /proc/self/ns/net)"
touch "$WORK/netns"
mount --bind "/proc/$keeper/ns/net" "$WORK/netns"
kill $keeper
wait $keeper 2>/dev/null
nsenter --net="$WORK/netns" ip link add dev one type veth peer name two
for tool in tc nft; do
    printf '#!/bin/sh\necho "%s $*" >>%s/said\ncase "$*" in *"$(cat %s/fail 2>/dev/null || echo never)"*) echo "No such luck" >&2; exit 1 ;; esac\n' \
        $tool "$WORK" "$WORK" >"$WORK/$tool"
    chmod 755 "$WORK/$tool"
done
# Some kernels put tunnels of their own into every new namespace.
said() { grep -vE " dev (sit0|tunl0|ip6tnl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6gre0) " "$WORK/said"; }
NET="ns $WORK/netns"
slow() { rec net-rate "$WORK/tc" "$WORK/nft" 100000; }
POD_MORE=slow
undo="nft delete table inet jetpack_01234567
tc qdisc del dev two root handle 0123:
tc qdisc del dev one root handle 0123:"
rules='nft table inet jetpack_01234567 {
chain in {
type filter hook prerouting priority -310
iifname != "lo" limit rate over 100000 bytes/second burst 65536 bytes drop
}
}
'
queue() { echo "tc qdisc add dev $1 root handle 0123: tbf rate 100000bps burst 65536 latency 400ms"; }
is "an app on a limited network runs" "$("$SHIM" run "$(plan_of l payload --stdout started)")" started
is "what was left is taken away, both ways are limited on all interfaces but loopback, and freed at the end" \
    "$(said)" "$undo
$rules
$(queue two)
$(queue one)
$undo"
: >"$WORK/said"
echo 'add dev one' >"$WORK/fail"
out=$("$SHIM" run "$(plan_of l payload --stdout started)" 2>&1)
is "an interface that cannot be limited fails the pod" $? 125
is "with the tool's own words" "$out" \
    "jetpack: cannot limit the bandwidth of the network: No such luck
  try: look at \`tc qdisc show\` in the namespace: another may be limiting it already"
has "and those that were are freed" "$(said)" "$(queue one)
$undo"
rm "$WORK/fail" "$WORK/nft"
has "so does a tool that is not there" "$("$SHIM" run "$(plan_of l payload --stdout started)" 2>&1)" 'cannot limit the bandwidth'
unset POD_MORE NET
umount "$WORK/netns"
