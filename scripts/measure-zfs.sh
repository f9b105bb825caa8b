#!/bin/sh
# measure-zfs.sh POOL [FOLDER]: run every zfs command that jetpack depends on, in good and in bad situations, and print
# its exit status, time and words. docs/tools.md is written from its output. POOL is a pool that may be written to; it is
# not harmed, all happens below POOL/measure. A second, tiny pool is made on a file in FOLDER (default /var/tmp).
set -u
pool=$1
dir=$(mktemp -d "${2:-/var/tmp}/measure.XXXXXX")
root=$pool/measure
export LC_ALL=C

cleanup() {
  cd /
  kill "${holder:-}" 2>/dev/null
  zpool destroy -f measure0 2>/dev/null
  zfs destroy -R "$root" 2>/dev/null || { sleep 1; zfs destroy -R "$root" 2>/dev/null; }
  rm -rf --one-file-system "$dir"
}
trap cleanup EXIT

# m LABEL COMMAND…: run it, print status, milliseconds, and both outputs.
m() {
  label=$1; shift
  t0=$(date +%s%N)
  "$@" >"$dir.out" 2>"$dir.err" </dev/null; status=$?
  t1=$(date +%s%N)
  printf '## %s\n$ %s\n-> status %s, %s ms\n' "$label" "$*" "$status" $(((t1 - t0) / 1000000))
  sed -n '1,12s/^/out| /p' "$dir.out"; sed -n '1,12s/^/err| /p' "$dir.err"
  rm -f "$dir.out" "$dir.err"
}
q() { "$@" >/dev/null 2>&1; }

uname -sr; cat /sys/module/zfs/version 2>/dev/null; date -u +%F
m version zfs version
m 'clean start' zfs create -o mountpoint=none "$root"
zfs set mountpoint="$dir/mnt" "$root"

m 'create mounted' zfs create "$root/a"
m 'create with properties' zfs create -o mountpoint=legacy -o devices=off -o io.jetpack:role=x "$root/legacy"
m 'create exists' zfs create "$root/a"
m 'create without parent' zfs create "$root/no/such"
m 'create -p existing' zfs create -p "$root/a"
m 'create bad property' zfs create -o nosuch=1 "$root/b"
m 'create bad value' zfs create -o compression=nosuch "$root/b"
m 'create bad user property' zfs create -o 'io.jetpack:Role x=1' "$root/b"
m 'create compression=lz4' zfs create -o compression=lz4 "$root/lz4"
m 'create xattr=sa' zfs create -o xattr=sa "$root/sa"
m 'create -u' zfs create -u "$root/u"
m 'create bad name' zfs create "$root/b c%"
long=$(printf '%0255d' 0)
m 'create long name' zfs create "$root/$long"
m 'create missing pool' zfs create nosuchpool/a
m 'create read-only parent' sh -c "zfs create -o readonly=on $root/ro && zfs create -o readonly=off $root/ro/child"
m 'create mount folder not empty' sh -c "mkdir -p $dir/mnt/full && touch $dir/mnt/full/x && zfs create $root/full"
m 'did it exist after all?' zfs list -H -o name,mounted "$root/full"
m 'create user property too long' zfs create -o "io.jetpack:x=$(printf '%09000d' 0)" "$root/b"

echo data >"$dir/mnt/a/file"
m snapshot zfs snapshot "$root/a@s"
m 'snapshot exists' zfs snapshot "$root/a@s"
m 'snapshot missing' zfs snapshot "$root/nosuch@s"
m clone zfs clone "$root/a@s" "$root/c1"
m 'clone with properties' zfs clone -o mountpoint=legacy -o io.jetpack:app=web "$root/a@s" "$root/c2"
m 'clone exists' zfs clone "$root/a@s" "$root/c1"
m 'clone missing snapshot' zfs clone "$root/a@nosuch" "$root/c3"
m 'clone missing parent' zfs clone "$root/a@s" "$root/x/y"
m 'clone -p' zfs clone -p -o mountpoint=legacy "$root/a@s" "$root/p/q"
m 'what clone -p made' zfs list -H -r -o name,mounted,mountpoint "$root/p"
m 'clone -p exists' zfs clone -p "$root/a@s" "$root/p/q"
m 'clone -u' zfs clone -u "$root/a@s" "$root/c4"
m 'clone across pools' zfs clone "$root/a@s" "nosuchpool/c"

m 'rename' zfs rename "$root/c1" "$root/c1b"
m 'rename -u' zfs rename -u "$root/c1b" "$root/c1"
q zfs rename "$root/c1b" "$root/c1"
m 'rename missing' zfs rename "$root/nosuch" "$root/x"
m 'rename to existing' zfs rename "$root/c1" "$root/a"
m 'rename to missing parent' zfs rename "$root/c1" "$root/x/y"
m 'rename across pools' zfs rename "$root/c1" "nosuchpool/y"
m 'where' zfs list -H -o name,mounted,mountpoint "$root/c1"
zfs create -o mountpoint=none -o readonly=on "$root/none"
m 'rename mounted below mountpoint=none' zfs rename "$root/c1" "$root/none/c1"
m 'where' zfs list -H -o name,mounted,mountpoint,readonly "$root/none/c1"
m 'rename while busy' sh -c "zfs create $root/busy; cd $dir/mnt/busy && zfs rename $root/busy $root/none/busy"
m 'where' zfs list -H -r -o name,mounted,mountpoint "$root/busy" "$root/none/busy"

m 'destroy with clones' zfs destroy "$root/a@s"
m 'destroy -r with clones' zfs destroy -r "$root/a"
m 'destroy with snapshots' zfs destroy "$root/a"
zfs create -p "$root/t/u/v"
m 'destroy with children' zfs destroy "$root/t"
m 'destroy -r' zfs destroy -r "$root/t"
m 'again' zfs destroy -r "$root/t"
m 'destroy missing' zfs destroy "$root/nosuch"
m 'destroy missing snapshot' zfs destroy "$root/a@nosuch"
m 'destroy two' zfs destroy "$root/lz4" "$root/sa"
m 'destroy unmounted clone' zfs destroy "$root/c2"
m 'destroy missing pool' zfs destroy nosuchpool/a
zfs create "$root/inuse"
m 'destroy with a process inside' sh -c "cd $dir/mnt/inuse && zfs destroy $root/inuse"
m 'destroy -f with a process inside' sh -c "cd $dir/mnt/inuse && zfs destroy -f $root/inuse"
q zfs destroy "$root/inuse"; sleep 1; q zfs destroy "$root/inuse"
zfs create "$root/ns"
unshare -m --propagation private sleep 60 & holder=$!
sleep 0.3
m 'unmount, another namespace has a copy' zfs unmount "$root/ns"
m 'destroy, another namespace has a copy' zfs destroy "$root/ns"
kill $holder; sleep 0.3
m 'destroy, the namespace is gone' zfs destroy "$root/ns"
zfs create "$root/ns2"
unshare -m --propagation private sh -c "cd $dir/mnt/ns2 && exec sleep 60" & holder=$!
sleep 0.3
m 'unmount, a process in another namespace inside' zfs unmount "$root/ns2"
m 'destroy, same' zfs destroy "$root/ns2"
m 'destroy, same, second try' zfs destroy "$root/ns2"
m 'rename, same' zfs rename "$root/ns2" "$root/none/ns2"
kill $holder; sleep 0.3
q zfs destroy "$root/ns2"; q zfs destroy "$root/none/ns2"
m 'destroy -d held snapshot' sh -c "zfs snapshot $root/a@h && zfs hold t $root/a@h && zfs destroy -d $root/a@h"
m 'after' zfs list -H -t snapshot -r -o name,used "$root/a"
m 'hold' zfs hold t2 "$root/a@h"
m 'hold twice' zfs hold t2 "$root/a@h"
m 'hold missing' zfs hold t2 "$root/a@nosuch"
m 'holds' zfs holds -H "$root/a@h"
m 'destroy held' zfs destroy "$root/a@h"
m 'destroy -r with held' zfs destroy -r "$root/a"
m 'release' zfs release t "$root/a@h"
m 'release again' zfs release t "$root/a@h"
m 'release last (deferred)' zfs release t2 "$root/a@h"
m 'after' zfs list -H -t snapshot -r -o name,used "$root/a"

m 'mount mounted' zfs mount "$root/a"
m 'unmount' zfs unmount "$root/a"
m 'unmount again' zfs unmount "$root/a"
m 'mount' zfs mount "$root/a"
m 'mount legacy' zfs mount "$root/legacy"
m 'mount none' zfs mount "$root/none"
m 'mount canmount=off' sh -c "zfs create -o canmount=off $root/off && zfs mount $root/off"
m 'mount missing' zfs mount "$root/nosuch"
m 'unmount busy' sh -c "cd $dir/mnt/a && zfs unmount $root/a"
m 'unmount -f busy' sh -c "cd $dir/mnt/a && zfs unmount -f $root/a"
q zfs mount "$root/a"
mkdir -p "$dir/legacy"
m 'mount(2) type zfs' mount -t zfs "$root/legacy" "$dir/legacy"
q umount "$dir/legacy"
m 'mount(2) of a mountpoint=path one' mount -t zfs -o zfsutil "$root/ro" "$dir/legacy"
q umount "$dir/legacy"

m 'get' zfs get -H -o property,value,source mountpoint,readonly,io.jetpack:role,type "$root/legacy"
m 'get -p' zfs get -Hp -o property,value available,used,creation "$root"
m 'get snapshot' zfs get -Hp -o property,value type,creation,used,userrefs,defer_destroy "$root/a@s"
m 'get missing' zfs get -H -o value type "$root/nosuch"
m 'get bad property' zfs get -H -o value nosuch "$root"
m 'set' zfs set io.jetpack:a=b "$root/a"
m 'set two' zfs set io.jetpack:a=b io.jetpack:c=d "$root/a"
m 'set missing' zfs set io.jetpack:a=b "$root/nosuch"
m 'set read-only property' zfs set used=1 "$root/a"
m 'inherit' zfs inherit io.jetpack:a "$root/a"
m 'set value with tab and newline' zfs set "io.jetpack:t=$(printf 'x\ty\nz')" "$root/a"
m 'get it' zfs get -H -o property,value io.jetpack:t "$root/a"

m 'list' zfs list -H -r -o name,type,origin,used,refer,creation,mountpoint,mounted "$root/a"
m 'list with snapshots' zfs list -H -r -t filesystem,snapshot -o name,type,origin,used,refer,creation,mountpoint,mounted "$root/a"
m 'list -p' zfs list -Hp -r -t filesystem,snapshot -o name,type,origin,used,refer,creation,mountpoint,mounted "$root/a"
m 'list -t all' zfs list -H -t all -r -o name "$root/a"
m 'list -d 1' zfs list -H -d 1 -o name "$root/none"
m 'list missing' zfs list -H -o name "$root/nosuch"
m 'list missing pool' zfs list -H -o name nosuchpool/x
m 'list -j' zfs list -j "$root/a"
m 'diff' zfs diff "$root/a@s" "$root/a"
m 'program' sh -c "echo 'return 1' >$dir/p.lua && zfs program $pool $dir/p.lua"
m 'rollback' zfs rollback "$root/a@s"
m 'promote' zfs promote "$root/p/q"
q zfs promote "$root/a"
m 'send | receive' sh -c "zfs send $root/a@s | zfs receive -u $root/recv"
m 'xattr' sh -c "command -v setfattr >/dev/null && setfattr -n user.x -v y $dir/mnt/a/file && getfattr -n user.x $dir/mnt/a/file"
m 'no permission' setpriv --reuid 65534 --clear-groups zfs create "$root/perm"
m 'no permission, list' setpriv --reuid 65534 --clear-groups zfs list -H -o name "$root"

truncate -s 64M "$dir/img"
m 'zpool create' zpool create -m none -O atime=off measure0 "$dir/img"
m 'zpool create again' zpool create -m none measure0 "$dir/img"
m 'zpool create on a missing file' zpool create -m none measure1 "$dir/nosuch"
m 'zpool create -o cachefile=none' sh -c "truncate -s 64M $dir/img2 && zpool create -o cachefile=none -m none measure1 $dir/img2; zpool destroy measure1"
m 'zpool list' zpool list -H -o name,size,health
m 'zpool export' zpool export measure0
m 'zpool export again' zpool export measure0
m 'zpool import -d' zpool import -d "$dir" measure0
m 'zpool import again' zpool import -d "$dir" measure0
m 'zpool import missing' zpool import -d "$dir" nosuchpool
zfs create -o mountpoint="$dir/m0" measure0/f; zfs snapshot measure0/f@s
m 'fill' dd if=/dev/urandom of="$dir/m0/fill" bs=1M
sync
m 'create in a full pool' zfs create measure0/g
m 'clone in a full pool' zfs clone measure0/f@s measure0/h
m 'snapshot in a full pool' zfs snapshot measure0/f@s2
m 'set in a full pool' zfs set io.jetpack:a=b measure0/f
m 'rename in a full pool' zfs rename measure0/f measure0/f2
m 'destroy in a full pool' zfs destroy -r measure0/f2
q zfs destroy -r measure0/f; sleep 1; q zfs destroy -r measure0/f
zfs create -o mountpoint="$dir/m1" -o quota=4M measure0/quota
m 'write over quota' dd if=/dev/urandom of="$dir/m1/fill" bs=1M
m 'available' zfs get -Hp -o value available measure0/quota
m 'snapshot over quota' zfs snapshot measure0/quota@s
m 'create over quota' zfs create measure0/quota/x
m 'zpool export busy' sh -c "cd $dir/m1 && zpool export measure0"
m 'zpool destroy' zpool destroy -f measure0

i=0
while [ $i -lt 500 ]; do zfs create -o mountpoint=none "$root/none/n$i"; i=$((i + 1)); done
m 'list 500' zfs list -H -r -o name,type,origin,used,refer,creation,mountpoint,mounted "$root/none"
m 'list one of 500' zfs list -H -o name "$root/none/n77"
m 'create among 500' zfs create -o mountpoint=none "$root/none/more"
m 'destroy -r 500' zfs destroy -r "$root/none"
echo 'all measured'
