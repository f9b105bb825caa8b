# What enters an app is confined as the app itself, and a hostile app gains nothing by being entered:
# the attacks on the enter and exec of others, each with a sign that it was really tried.

ctl() { "$PROBE" ctl "$WORK/pods/e" "$1"; }
begin() { "$SHIM" run --detach "$(plan_of e "$@")" >/dev/null; }
finish() {
    ctl 'stop 100' >/dev/null
    until_true test "$(marker_of e)" = exited
}
enter() { timeout 20 "$SHIM" enter "$@"; }
log_of() { cut -d' ' -f4- "$WORK/pods/e/logs/web"; }
host_hash() { md5sum <"$SHIM"; }
before=$(host_hash)

# -- the same confinement
# All that the kernel tells of a process and that is not its own number. In the pod, by busybox.
traits='cd /proc/$$; cat limits; grep -E "^(Cap|Seccomp|NoNewPrivs|Groups|Uid|Gid|Umask|Cpus_allowed:|Mems_allowed:|Sig(Blk|Ign))" status
echo oom $(cat oom_score_adj) nice $(cut -d" " -f19 stat) policy $(cut -d" " -f40,41 stat) tty $(cut -d" " -f7 stat)
ls -l ns | sed "s/.* //" | sort; grep "^0::" cgroup; tr "\0" "\n" <environ | sort; cat attr/current 2>/dev/null
sed "s/^[0-9]* [0-9]* //" mountinfo; set -- fd/*; echo fds $#; cat timerslack_ns 2>/dev/null; echo end'
confined() {
    rec seccomp "$BPF"
    rec oom-score-adj 77
}
compare() {
    rm -rf "$WORK/pods/e/logs"
    (
        ulimit -c 11
        ulimit -f 100000
        ulimit -n 700
        taskset 1 nice -n 3 "$SHIM" run --detach "$(plan_of e sh -c "$traits; sleep 100")" >/dev/null
    )
    until_true grep -q 'F end$' "$WORK/pods/e/logs/web"
    (
        # Soft ones: without CAP_SYS_RESOURCE what is lower for good stays so.
        ulimit -S -c 0
        ulimit -S -n 100
        exec 7</ 8<"$WORK" 9</etc/passwd
        echo 500 >/proc/self/oom_score_adj
        HOSTILE=1 taskset 2 nice -n 9 "$SHIM" enter "$WORK/e.plan" web -- sh -c "$traits; sleep 0.1" >"$WORK/entered"
    )
    is "$1" "$(cat "$WORK/entered")" "$(log_of)"
    finish
}
# On one processor there is nothing to choose.
taskset 2 true 2>/dev/null || taskset() { shift && "$@"; }
compare "what enters has every trait of the app"
MORE=confined NNP=1
compare "with a filter, no_new_privs and a score of its own"
APP_USER=joe APP_GROUP=staff GROUPS_OF='7 8' CAPS='00000000a80425fb 0000000000000400' PASSWD_ENV=1 MODE=ro CWD=/home/joe
chown 1000:100 "$WORK/root/home/joe"
compare "as another user, on a read-only root"
is "which were more than forty" "$(test "$(wc -l <"$WORK/entered")" -gt 40 && echo yes)" yes
unset MORE NNP APP_USER APP_GROUP GROUPS_OF CAPS PASSWD_ENV MODE CWD

# -- keys of whoever is logged in
cp "$INTRUDER" "$WORK/root/bin/intruder"
if [ "$("$INTRUDER" --with-key jetpack-test "$INTRUDER" --find-key jetpack-test)" = 'key found' ]; then
    begin payload --sleep 100
    is "what enters has no key of the caller" "$("$INTRUDER" --with-key jetpack-test "$SHIM" enter "$WORK/e.plan" web -- intruder --find-key jetpack-test)" 'key not found'
    finish
    is "nor has what runs" "$("$INTRUDER" --with-key jetpack-test "$SHIM" run "$(plan_of e intruder --find-key jetpack-test)")" 'key not found'
else
    skip "no key of the caller comes along" "this kernel has no keyrings"
fi

# -- CVE-2019-5736: the program that enters is overwritten through /proc/PID/exe
printf '#!/proc/self/exe\n' >"$WORK/root/bin/selfexe"
printf '#!/proc/self/exe version\n' >"$WORK/root/bin/selfrun"
chmod 755 "$WORK/root/bin/selfexe" "$WORK/root/bin/selfrun"
ln -sf /proc/self/exe "$WORK/root/bin/shell"
# A build with sanitizers needs a loader, which no image has for it: it cannot run in the pod at all.
dynamic_shim=$(ldd "$SHIM" 2>/dev/null | grep '=>')
hunted() {
    n=${2:-12}
    begin intruder --hunt 4
    app=$(status_of e pid web)
    while [ "$n" -gt 0 ] && ! gone "$app"; do
        for program in selfexe selfrun shell "true" /proc/self/exe /proc/1/exe; do
            enter "$WORK/e.plan" web -- $program >/dev/null 2>&1
        done
        n=$((n - 1))
    done
    until_true test "$(marker_of e)" = exited
    hunt=$(log_of | grep '^hunted')
    told() { echo "$hunt" | sed "s/.* $1 \([0-9]*\).*/\1/"; }
    [ -n "$dynamic_shim" ] || ok "$1: the hunter saw the program that enters, and opened it" test "$(told shims)" -gt 0 -a "$(told opened)" -gt 0
    is "$1: it could write nothing" "$(told written)" 0
    ok "$1: what is stronger kept it away" test "$(told refused)" -gt 0
    is "$1: it attached to nothing stronger" "$(told stronger)" 0
    is "$1: no descriptor led out" "$(told foreign)" 0
    is "$1: the program of the host is as it was" "$(host_hash)" "$before"
}
hunted "as root"
NNP=1 APP_USER=joe APP_GROUP=staff
hunted "as a user"
unset NNP APP_USER APP_GROUP
if [ -z "$dynamic_shim" ]; then
    begin payload --sleep 100
    enter "$WORK/e.plan" web -- selfexe >"$WORK/out" 2>&1
    is "a script whose interpreter is /proc/self/exe runs a copy that knows no such command" $? 125
    has "in the pod, not in the host" "$(cat "$WORK/out")" 'unknown command /bin/selfexe'
    printf 'joe:x:1000:100::/home/joe:/proc/self/exe\n' >"$WORK/root/etc/passwd"
    enter --user joe "$WORK/e.plan" web </dev/null >"$WORK/out" 2>&1
    is "so does a shell of that name" $? 125
    printf 'root:x:0:0:root:/root:/bin/sh\njoe:x:1000:100::/home/joe:/bin/sh' >"$WORK/root/etc/passwd"
    finish
fi

# -- CVE-2024-21626: the working directory, or a path, through a descriptor
secret=$WORK/secret
echo secret >"$secret"
begin payload --sleep 100
mkdir -p "$WORK/root/w"
for n in 3 4 5 6 7 8 9 10 11 12; do ln -sfn "/proc/self/fd/$n" "$WORK/root/w/$n"; done
leaked=0 came=0
for n in 3 4 5 6 7 8 9 10 11 12; do
    for cwd in "/proc/self/fd/$n" "/w/$n" "/proc/1/root" "/proc/1/cwd" "/proc/self/root"; do
        out=$(exec 3</ 4</ 5</ 6<"$WORK" 7</ 8</ 9</ && enter --cwd "$cwd" "$WORK/e.plan" web -- intruder --out "$secret" 2>&1)
        case $out in
        'out 0') came=$((came + 1)) ;;
        'out '*) leaked=$((leaked + 1)) ;;
        esac
    done
done
is "no working directory leads to the host" "$leaked" 0
ok "some are folders of the app" test "$came" -gt 0
is "outside, the same attack finds its way" "$(cd / && exec 6<"$WORK" && "$INTRUDER" --out "$secret" | sed 's/out 0/nothing/; s/out .*/found/')" found
out=$(exec 3</ 9</ && exec 8<"$WORK" && enter "$WORK/e.plan" web -- intruder --out "$secret")
is "no descriptor of the caller comes along" "$out" 'out 0'
is "there are three" "$(exec 3</ 9</ && exec 8<"$WORK" && enter "$WORK/e.plan" web -- sh -c 'ls /proc/self/fd | wc -l')" 4
for program in /proc/self/fd/3/bin/sh /proc/self/fd/9/bin/sh /proc/1/root/bin/sh; do
    (exec 3</ 9</ && enter "$WORK/e.plan" web -- $program -c true) 2>/dev/null
    ok "$program is not run" test $? -ge 125
done
for who in --user --group; do
    out=$(exec 9</ && enter $who "/proc/self/fd/9/etc/passwd" "$WORK/e.plan" web -- true 2>&1)
    is "$who by a file behind a descriptor is refused" $? 125
done
finish

# -- CVE-2019-14271, CVE-2019-10144, 10145, 10147: a hostile image's loader, libraries and names
dynamic=$WORK/root/bin/dynamic
cp "$PROBE" "$dynamic"
for library in $(ldd "$PROBE" | grep -o '/[^ )]*'); do
    mkdir -p "$WORK/root${library%/*}"
    cp -L "$library" "$WORK/root$library"
done
mkdir -p "$WORK/root/lib"
for name in libnss_files.so.2 libnss_compat.so.2 libnss_dns.so.2 evil.so; do cp "$EVIL" "$WORK/root/lib/$name"; done
echo /lib/evil.so >"$WORK/root/etc/ld.so.preload"
printf 'passwd: files compat\ngroup: files compat\n' >"$WORK/root/etc/nsswitch.conf"
printf 'root:x:0:0::/root:/bin/sh\njoe:x:1000:100::/home/joe:/bin/sh' >"$WORK/root/etc/passwd"
rm -f /var/tmp/jetpack-evil-was-here
: >"$WORK/root/tmp/evil.log"
chmod 666 "$WORK/root/tmp/evil.log"
begin payload --sleep 100
mnt=$(stat -Lc %i "/proc/$(status_of e pid web)/ns/mnt")
for who in root joe; do
    enter --user $who --env LD_PRELOAD=/lib/evil.so --env LD_LIBRARY_PATH=/lib "$WORK/e.plan" web -- dynamic >/dev/null 2>&1
done
enter --user joe --group staff "$WORK/e.plan" web -- "true"
is "the library was loaded, by the program that was asked for only" "$(cut -d' ' -f1,2 "$WORK/root/tmp/evil.log" | sort -u | tr '\n' ' ')" '/bin/dynamic 0 /bin/dynamic 1000 '
is "with the app's capabilities" "$(cut -d' ' -f3 "$WORK/root/tmp/evil.log" | sort -u | tr '\n' ' ')" '0000000000000000 00000000a80425fb '
is "in the app's mount namespace" "$(cut -d' ' -f4 "$WORK/root/tmp/evil.log" | sort -u)" "$mnt"
ok "it left nothing in the host" absent /var/tmp/jetpack-evil-was-here
LD_PRELOAD=$EVIL LD_LIBRARY_PATH=$WORK/root/lib enter "$WORK/e.plan" web -- "true" 2>/dev/null
ok "not even by the environment of the caller" sh -c "! grep -q shim '$WORK/root/tmp/evil.log' && ! grep -q shim /tmp/evil.log 2>/dev/null"
LD_PRELOAD=$EVIL "$PROBE" >/dev/null 2>&1
ok "outside, the same library does what it wants" exists /var/tmp/jetpack-evil-was-here
rm -f /var/tmp/jetpack-evil-was-here /tmp/evil.log "$WORK/root/etc/ld.so.preload" "$WORK/root/bin/dynamic" "$WORK"/root/lib/libnss_* "$WORK/root/lib/evil.so"

# -- passwd and group that are odd, endless, or not there at all
etc=$WORK/root/etc
passwd_is() { # TITLE WANTED-STATUS [USER]
    start=$(date +%s)
    enter --user "${3:-joe}" "$WORK/e.plan" web -- sh -c 'id -u' >"$WORK/out" 2>"$WORK/err"
    is "passwd: $1" $? "$2"
    ok "passwd: $1: at once" test $(($(date +%s) - start)) -lt 10
}
bad_passwd() {
    passwd_is "$1" 125
    has "passwd: $1: is told" "$(cat "$WORK/err")" "cannot read the image's /etc/passwd"
    rm -rf "$etc/passwd"
}
for link in /proc/kmsg /proc/self/environ /proc/1/environ /proc/self/mem /dev/zero /dev/tty /proc/self/fd/0 /sys/kernel/uevent_seqnum; do
    ln -sfn $link "$etc/passwd"
    bad_passwd "a link to $link"
done
mkfifo "$etc/passwd"
bad_passwd "a FIFO"
mkdir "$etc/passwd"
bad_passwd "a folder"
ln -s passwd "$etc/passwd"
bad_passwd "a link to itself"
truncate -s 1G "$etc/passwd"
bad_passwd "a gigabyte of zeros"
printf 'joe:x:1234:0::/:/bin/sh\n' >"$WORK/secret-passwd"
ln -s "../../../../../../../..$WORK/secret-passwd" "$etc/passwd"
passwd_is "a link to a file of the host finds none" 125
has "passwd: a link to a file of the host: no such user" "$(cat "$WORK/err")" 'no such user joe'
rm "$etc/passwd"
for line in 'joe:x:-1:0::/:/bin/sh' 'joe:x:4294967295:0::/:/bin/sh' 'joe:x:4294967296:0::/:/bin/sh' 'joe:x:0x0:0::/:/bin/sh' 'joe:x: 0:0::/:/bin/sh' 'joe:x::0::/:/bin/sh' 'joe:x' 'joe' ':joe:x:0:0' '+joe:x:0:0::/:' "joe:x:1$(head -c 5000 /dev/zero | tr '\0' 1):0::/:/bin/sh"; do
    printf '%s\n' "$line" >"$etc/passwd"
    passwd_is "the line $(echo "$line" | head -c 40)" 125
done
{ head -c 3000000 /dev/zero | tr '\0' x; printf '\njoe:x:1000:100::/home/joe:/bin/sh\njoe:x:0:0::/:/bin/sh\n'; } >"$etc/passwd"
passwd_is "after an endless line the first joe counts" 0
is "who is 1000" "$(cat "$WORK/out")" 1000
printf 'joe\0:x:0:0::/:/bin/sh\njoe:x:1001:100::/home/joe:/bin/sh\n' >"$etc/passwd"
passwd_is "a line with a zero byte is none" 0
is "so joe is 1001" "$(cat "$WORK/out")" 1001
rm "$etc/passwd"
passwd_is "without the file a number will do" 0 1002
is "which it is" "$(cat "$WORK/out")" 1002
ln -sfn /proc/kmsg "$etc/group"
out=$(enter --user 0 --group staff "$WORK/e.plan" web -- "true" 2>&1)
is "a group file that is a link to /proc/kmsg is refused" $? 125
rm "$etc/group"
printf 'root:x:0:0:root:/root:/bin/sh\njoe:x:1000:100::/home/joe:/bin/sh' >"$etc/passwd"
printf 'root:x:0:\nstaff:x:50:\n' >"$etc/group"
finish

# -- CVE-2019-19921 and like ones: an app that may mount puts something in the place of /proc, /dev
mounts() { rec oom-score-adj 50; }
MORE=mounts CAPS='00000000a82425fb 0000000000000000'
begin sh -c 'echo x >/tmp/fake; chmod 666 /tmp/fake; mount -o bind /tmp/fake /proc/self/oom_score_adj; mount -t tmpfs t /proc; mkdir -p /proc/self; cp /tmp/fake /proc/self/oom_score_adj; echo done; sleep 100'
until_true grep -q done "$WORK/pods/e/logs/web"
enter "$WORK/e.plan" web -- "true" 2>"$WORK/err"
is "a false /proc is refused" $? 125
has "and told" "$(cat "$WORK/err")" 'cannot set oom-score-adj'
finish
unset MORE
begin sh -c 'echo x >/tmp/fake; mount -o bind /tmp/fake /dev/null && echo done; sleep 100'
until_true grep -q done "$WORK/pods/e/logs/web"
enter "$WORK/e.plan" web -- "true" 2>"$WORK/err"
is "a false /dev/null is refused" $? 125
is "nothing was written to it" "$(cat "$WORK/root/tmp/fake")" x
finish
begin sh -c 'mount -t tmpfs t /dev/pts && ln -s /tmp/fake /dev/pts/ptmx; echo done; sleep 100'
until_true grep -q done "$WORK/pods/e/logs/web"
out=$("$PROBE" pty '' "$SHIM" enter --tty "$WORK/e.plan" web -- "true")
is "a false terminal is refused" $? 125
finish
unset CAPS

# -- what is typed into the terminal of the user (TIOCSTI)
begin payload --sleep 100
pushed=$WORK/pushed
on_terminal() { # COMMAND: run by a shell on a terminal, which then does what was typed meanwhile
    rm -f "$pushed"
    "$PROBE" pty '' "$(command -v busybox)" sh -c "$1; IFS= read -r -t 1 line && eval \"\$line\"" >"$WORK/out" 2>&1
    sed -i 's/\r$//' "$WORK/out"
}
attack="intruder --push 'touch $pushed\\n'"
on_terminal "$INTRUDER --push 'touch $pushed\\n'"
if [ -e "$pushed" ]; then
    ok "outside, what is pushed into a terminal is done by its shell" true
    for how in '' '--interactive' '--tty' '--tty --interactive'; do
        on_terminal "$SHIM enter $how $WORK/e.plan web -- $attack"
        ok "entered (${how:-plain}) it never reaches the user's" absent "$pushed"
        has "entered (${how:-plain}) it was tried" "$(cat "$WORK/out")" 'pushed '
    done
    has "on a terminal of the pod it lands there" "$(cat "$WORK/out")" "pushed $((4 * ${#pushed} + 4 * 7))"
    finish
    p=$(plan_of e intruder --push "touch $pushed\\n")
    for how in '' '--interactive' '--tty'; do
        on_terminal "$SHIM run $how $p"
        ok "run (${how:-plain}) it never reaches the user's" absent "$pushed"
        has "run (${how:-plain}) it was tried" "$(cat "$WORK/out")" 'pushed '
    done
    "$SHIM" run --detach --tty "$(plan_of e sh -c "sleep 1; intruder --push 'touch $pushed\\n'; sleep 1")" >/dev/null
    on_terminal "$SHIM attach --tty $WORK/pods/e web"
    ok "attached it never reaches the user's" absent "$pushed"
    has "attached it was tried" "$(cat "$WORK/out")" 'pushed '
    until_true test "$(marker_of e)" = exited
else
    skip "what is typed into a terminal stays in the pod" "this kernel has no TIOCSTI"
    finish
fi
rm -rf "$WORK/root/w"
is "the program of the host is as it was, after all that" "$(host_hash)" "$before"
