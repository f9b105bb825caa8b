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
