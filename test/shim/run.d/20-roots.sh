# Mounts, read-only and hostile roots.

MODE=ro
out=$("$SHIM" run "$(plan_of b payload --write-file /tmp/x)" 2>&1)
is "a read-only root is read-only (EROFS)" $? 30
unset MODE
"$SHIM" run "$(plan_of b payload --write-file /tmp/x)"
is "another one is not" $? 0
rm -f "$WORK/root/tmp/x"

mkdir -p "$WORK/vol/sub" "$WORK/vol2"
echo inside >"$WORK/vol/file"
volumes() {
    rec mount bind "$WORK/vol" /data/deep/er ro,nosuid,noexec,nodev
    rec mount bind "$WORK/vol/file" /etc/new/name -
    rec mount bind "$WORK/vol2" /data/rw -
}
MORE=volumes MODE=ro
report=$("$SHIM" run "$(plan_of b payload)")
has "a volume has its options" "$report" '"target":"/data/deep/er","root":"'
has "they are these" "$report" '"options":"ro,nosuid,nodev,noexec,relatime"'
is "a file is mounted on a file" "$("$SHIM" run "$(plan_of b cat /etc/new/name)")" inside
is "missing folders are root:root 0755" "$(stat -c '%a %u %g' "$WORK/root/data/deep")" '755 0 0'
"$SHIM" run "$(plan_of b payload --write-file /data/rw/x)"
is "a writable volume in a read-only root is writable" "$?$(cat "$WORK/vol2/x")" 0written
"$SHIM" run "$(plan_of b payload --write-file /data/deep/er/x)"
is "a read-only one is not" $? 30
unset MODE
ln -sfn "$WORK/vol" "$WORK/link"
volumes() { rec mount bind "$WORK/link" /data -; }
out=$("$SHIM" run "$(plan_of b payload)" 2>&1)
is "a symbolic link as source is refused" $? 125
has "and named" "$out" "$WORK/link"
volumes() { rec mount bind "$WORK/absent" /data -; }
out=$("$SHIM" run --json "$(plan_of b payload)" 2>&1)
has "so is a missing one" "$out" '"code":"VOLUME_SOURCE"'
echo old >"$WORK/root/etc/replaced"
volumes() { rec mount bind "$WORK/vol" /etc/replaced -; }
out=$("$SHIM" run "$(plan_of b cat /etc/replaced/file)" 2>&1)
is "a file of the image gives way to a volume that is a folder" $? 0
has "whose content is there" "$out" inside
has "which is told" "$out" "a volume takes the place of the image's file /etc/replaced"
rm -rf "$WORK/root/etc/replaced"
volumes() { rec mount bind "$WORK/vol/file" /home/joe -; }
out=$("$SHIM" run "$(plan_of b payload)" 2>&1)
is "a file on a folder is refused" $? 125
mkdir -p "$WORK/root/full" && echo x >"$WORK/root/full/x"
volumes() {
    rec mount bind "$WORK/vol" /full -
    rec mount bind "$WORK/vol2" /home/joe -
}
out=$("$SHIM" run "$(plan_of b true)" 2>&1)
has "a volume that hides something of the image is told" "$out" "a volume hides what the image has at /full"
lacks "one over an empty folder is not" "$out" /home/joe
rm -rf "$WORK/root/full"

# Links of an image to what is not there yet: made where they lead, inside the root.
mkdir -p "$WORK/root/var"
ln -s ../run/resolve/stub.conf "$WORK/root/etc/relative"
ln -s /run/other/../absolute.conf "$WORK/root/etc/absolute"
ln -s ../../../../../escape/file "$WORK/root/etc/above"
ln -s /later "$WORK/root/var/folder"
ln -s loop2 "$WORK/root/etc/loop1"
ln -s loop1 "$WORK/root/etc/loop2"
volumes() {
    for name in relative absolute above; do rec mount bind "$WORK/vol/file" "/etc/$name" ro; done
    rec mount bind "$WORK/vol" /var/folder/sub -
}
out=$("$SHIM" run "$(plan_of b cat /etc/relative /run/resolve/stub.conf /etc/absolute /run/absolute.conf /etc/above /escape/file /var/folder/sub/file)" 2>&1)
is "a link that leads nowhere is followed to where a target can be made" "$(echo $out)" \
    "inside inside inside inside inside inside inside"
is "which is inside the root" "$(ls -d /escape "$WORK/escape" 2>/dev/null)" ""
volumes() { rec mount bind "$WORK/vol/file" /etc/loop1 ro; }
out=$("$SHIM" run --json "$(plan_of b true)" 2>&1)
has "a loop of links is an error" "$out" '"code":"VOLUME_TARGET"'
rm -rf "$WORK/root/etc/relative" "$WORK/root/etc/absolute" "$WORK/root/etc/above" "$WORK/root/etc/loop1" \
    "$WORK/root/etc/loop2" "$WORK/root/var" "$WORK/root/run" "$WORK/root/escape" "$WORK/root/later"

# Links of an image to what is mounted there: a target is made, emptied or covered in the app's own root alone.
for to in /proc /proc/sys /proc/self/attr /sys /dev /dev/null; do
    ln -sfn $to "$WORK/root/etc/across"
    volumes() { rec mount bind "$WORK/vol" /etc/across -; }
    out=$("$SHIM" run --json "$(plan_of b true)" 2>&1)
    is "a target that a link leads to $to is refused" "$?$(echo "$out" | grep -c '"code":"VOLUME_TARGET".*/etc/across')" 1251
done
ln -sfn /data/shared "$WORK/root/etc/across"
for name in file sub/new; do
    volumes() {
        rec mount bind "$WORK/vol" /data/shared -
        rec mount bind "$WORK/vol2" /etc/across/$name -
    }
    "$SHIM" run "$(plan_of b true)" >/dev/null 2>&1
    is "so is one that a link leads into another volume, $name" $? 125
done
is "where nothing is taken away or made" "$(cat "$WORK/vol/file")$(ls "$WORK/vol/sub")" inside
for to in /proc/self/status /dev/null /proc/sys/kernel/hostname; do
    ln -sfn $to "$WORK/root/etc/across"
    volumes() { rec mount bind "$WORK/vol/file" /etc/across ro; }
    is "a file takes the place of a link to $to" \
        "$("$SHIM" run "$(plan_of b cat /etc/across)" 2>&1 | sort | tr '\n' ' ' | grep -c '^inside .*takes the place of .*/etc/across')" 1
    rm -f "$WORK/root/etc/across"
done
volumes() { rec mount bind "$WORK/vol" /dev/shm -; }
is "/dev/shm is a target that says so itself" "$("$SHIM" run "$(plan_of b cat /dev/shm/file)" 2>/dev/null)" inside
rm -rf "$WORK/root/etc/across" "$WORK/root/data"

# `missing`: only where the image has nothing, or an empty file.
echo theirs >"$WORK/root/etc/own"
: >"$WORK/root/etc/empty"
ln -s nowhere "$WORK/root/etc/dangling"
volumes() {
    for name in own empty none; do rec mount bind "$WORK/vol/file" /etc/$name ro,missing; done
}
is "a file of the image stays, an empty or missing one is filled" \
    "$("$SHIM" run "$(plan_of b cat /etc/own /etc/empty /etc/none)" | tr '\n' ' ')" 'theirs inside inside '
is "the same at the next start" \
    "$("$SHIM" run "$(plan_of b cat /etc/own /etc/empty /etc/none)" | tr '\n' ' ')" 'theirs inside inside '
rm -f "$WORK/root/etc/own" "$WORK/root/etc/empty" "$WORK/root/etc/none" "$WORK/root/etc/dangling"

# `copy`: an empty volume begins with what the image has at its place.
seed=$WORK/root/seed
mkdir -p "$seed/sub/deep" "$WORK/fresh"
echo one >"$seed/a" && ln "$seed/a" "$seed/sub/b" && ln -s ../a "$seed/sub/link"
mkfifo "$seed/pipe"
chown 1000:50 "$seed/a" "$seed/sub" && chmod 2750 "$seed/sub" && chmod 1777 "$seed"
touch -d '2001-02-03 04:05:06' "$seed/a" "$seed/sub/deep"
setfattr -n user.mark -v yes "$seed/a" 2>/dev/null && mark=yes || mark=
cp "$PAYLOAD" "$seed/tool" && setcap cap_net_raw+ep "$seed/tool" 2>/dev/null && cap=yes || cap=
listing() { (cd "$1" && find . -printf '%p %y %m %U %G %n %s %l\n' | sort && stat -c %Y a sub/deep); }
volumes() { rec mount bind "$WORK/fresh" /seed copy; }
out=$("$SHIM" run "$(plan_of b true)" 2>&1)
is "a volume is seeded" "$?$out" 0
is "with everything, and its owners, modes, times and links" "$(listing "$WORK/fresh")" "$(listing "$seed")"
is "hard links are links again" "$(stat -c %i "$WORK/fresh/a")" "$(stat -c %i "$WORK/fresh/sub/b")"
[ -z "$mark" ] || is "with attributes" "$(getfattr --only-values -n user.mark "$WORK/fresh/a")" yes
[ -z "$cap" ] || has "and file capabilities" "$(getcap "$WORK/fresh/tool")" cap_net_raw
echo changed >"$WORK/fresh/a"
rm "$WORK/fresh/pipe"
"$SHIM" run "$(plan_of b true)"
is "a volume with content is left alone" "$(cat "$WORK/fresh/sub/b")$(ls "$WORK/fresh/pipe" 2>&1 | grep -c No)" changed1
(umask 077 && : >"$WORK/fresh/.jetpack-seeding")
"$SHIM" run "$(plan_of b true)"
is "one that a killed start left half-done is made anew" "$(listing "$WORK/fresh")" "$(listing "$seed")"
echo changed >"$WORK/fresh/a"
for mark in 'file 1000 600' 'file 0 644' 'link 0 777'; do
    set -- $mark
    rm -f "$WORK/fresh/.jetpack-seeding"
    if [ "$1" = link ]; then ln -s a "$WORK/fresh/.jetpack-seeding"; else : >"$WORK/fresh/.jetpack-seeding"; fi
    chown -h "$2" "$WORK/fresh/.jetpack-seeding"
    [ "$1" = link ] || chmod "$3" "$WORK/fresh/.jetpack-seeding"
    "$SHIM" run "$(plan_of b true)"
    is "a volume in which an app left such a mark ($mark) is left alone" "$?$(cat "$WORK/fresh/a")" 0changed
done
rm -rf "$WORK/fresh" && mkdir "$WORK/fresh"
echo theirs >"$seed/.jetpack-seeding"
"$SHIM" run "$(plan_of b true)"
is "nor does an image that has one keep its volume from being seeded" "$?$(cat "$WORK/fresh/a")$(ls -A "$WORK/fresh" | grep -c seeding)" 0one0
rm -rf "$WORK/fresh" "$seed/.jetpack-seeding" && mkdir "$WORK/fresh"
mknod "$seed/device" c 1 3
out=$("$SHIM" run --json "$(plan_of b true)" 2>&1)
is "a device is not copied" $? 125
has "and that is told" "$out" '"code":"VOLUME_COPY"'
rm -rf "$seed" "$WORK/fresh"

volumes() {
    rec mask /etc/passwd
    rec mask /home
    rec mask /proc/kcore
    rec mask /absent/at/all
    rec readonly /tmp
    rec readonly /proc/sys
}
APP_USER=0 APP_GROUP=0
"$SHIM" run "$(plan_of b test -s /etc/passwd)"
is "a hidden file is empty" $? 1
"$SHIM" run "$(plan_of b test -d /home/joe)"
is "a hidden folder is empty" $? 1
"$SHIM" run "$(plan_of b payload --write-file /tmp/x)"
is "a read-only path is read-only" $? 30
"$SHIM" run "$(plan_of b payload --write-file /proc/sys/kernel/hostname)"
is "one of /proc, too" $? 30
unset MORE APP_USER APP_GROUP

# Descriptors that lead out (CVE-2024-21626): none is open when the app's own words are resolved.
ways=0
for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    CWD=/proc/self/fd/$fd "$SHIM" run "$(CWD=/proc/self/fd/$fd plan_of b true)" 2>/dev/null
    [ $? = 125 ] || ways=$((ways + 1))
    "$SHIM" run "$(plan_of b /proc/self/fd/$fd/../../../../bin/true)" 2>/dev/null && ways=$((ways + 1))
done
is "no descriptor leads out" $ways 0

# Devices: those of /dev work; others can be neither made nor, on any file system of the app, opened.
has "/dev/zero gives zeros" "$("$SHIM" run "$(plan_of b sh -c 'busybox head -c 3 /dev/zero | busybox wc -c')")" 3
"$SHIM" run "$(plan_of b sh -c 'busybox mknod /dev/mine c 1 3 && busybox mknod /tmp/mine c 1 3')"
is "the nodes of /dev can be made elsewhere" $? 0
for place in /dev /tmp /dev/shm; do
    "$SHIM" run "$(plan_of b sh -c "busybox mknod $place/mine c 1 3; echo x >$place/mine")" 2>/dev/null
    is "but not opened: $place" $? 1
done
with_filter() { rec seccomp "$BPF"; }
MORE=with_filter
"$SHIM" run "$(plan_of b sh -c 'busybox mknod /tmp/disk b 7 0 || busybox mknod /tmp/fuse c 10 229 || busybox mknod /tmp/mem c 1 1')" 2>/dev/null
is "those of the host cannot be made" $? 1
"$SHIM" run "$(plan_of b sh -c 'busybox mknod /tmp/null2 c 1 3 && busybox mkfifo /tmp/fifo2')"
is "the filter lets harmless ones be made" $? 0
unset MORE

# A root that wants to lead us out
evil=$WORK/evil
canary=$WORK/canary
mkdir -p "$canary/sub"
echo untouched >"$canary/file"
fresh_evil() {
    rm -rf "$evil"
    new_root "$evil"
    ROOT=$evil
}
untouched() {
    [ "$(find "$canary" | sort | tr '\n' ' ')" = "$canary $canary/file $canary/sub " ] &&
        [ "$(cat "$canary/file")" = untouched ]
}
for name in proc sys dev; do
    fresh_evil
    ln -s "$canary" "$evil/$name"
    out=$(timeout 10 "$SHIM" run "$(plan_of b payload)" 2>&1)
    is "a link as /$name is refused" $? 125
    has "and named" "$out" "/$name"
    fresh_evil
    mkfifo "$evil/$name"
    timeout 10 "$SHIM" run "$(plan_of b payload)" >/dev/null 2>&1
    is "a FIFO as /$name is refused" $? 125
done
fresh_evil
ln -s "$canary" "$evil/data"
ln -s ../../../../../../../../../../.."$canary" "$evil/data2"
mkdir "$evil/data3"
ln -s /proc/self/root"$canary" "$evil/data3/x"
volumes() {
    rec mount bind "$WORK/vol" /data/a/b -
    rec mount bind "$WORK/vol" /data2/c -
}
MORE=volumes
timeout 10 "$SHIM" run "$(plan_of b payload)" >/dev/null 2>&1
ok "links in a target stay inside the root" untouched
ok "they were resolved inside it" test -d "$evil$canary/a/b" -o ! -e "$canary/a"
volumes() { rec mount bind "$WORK/vol" /data3/x/sub -; }
out=$(timeout 10 "$SHIM" run "$(plan_of b payload)" 2>&1)
is "a magic link is not followed" $? 125
ok "and nothing was made outside" untouched
volumes() {
    rec mask /data/file
    rec readonly /data2/file
}
timeout 10 "$SHIM" run "$(plan_of b payload)" >/dev/null 2>&1
ok "masks stay inside" untouched
unset MORE
for kind in fifo zero proc; do
    fresh_evil
    rm -f "$evil/etc/passwd"
    case $kind in
    fifo) mkfifo "$evil/etc/passwd" ;;
    zero) ln -s /dev/zero "$evil/etc/passwd" ;;
    proc) ln -s /proc/1/environ "$evil/etc/passwd" ;;
    esac
    APP_USER=joe
    timeout 10 "$SHIM" run "$(plan_of b payload)" >/dev/null 2>&1
    is "a passwd that is $kind neither hangs nor helps" $? 125
    APP_USER=1000
    timeout 10 "$SHIM" run "$(plan_of b payload --exit 0)" >/dev/null 2>&1
    is "and does not matter for a number" $? 0
    unset APP_USER
done
fresh_evil
head -c 9000000 /dev/zero | tr '\0' 'x' >"$evil/etc/passwd"
printf '\njoe:x:1000:100::/:/bin/sh\n' >>"$evil/etc/passwd"
APP_USER=joe
timeout 10 "$SHIM" run "$(plan_of b payload)" >/dev/null 2>&1
is "a passwd of nine megabytes is refused" $? 125
printf '%5000s\njoe:x:1000:100::/:/bin/sh\n' x >"$evil/etc/passwd"
timeout 10 "$SHIM" run "$(plan_of b payload)" >/dev/null 2>&1
is "an overlong line is stepped over" $? 0
unset APP_USER
is "a root that is no folder is refused" "$(ROOT=$canary/file; "$SHIM" run --json "$(plan_of b payload)" 2>&1 | grep -o ROOTFS_FAILED)" ROOTFS_FAILED
unset ROOT
