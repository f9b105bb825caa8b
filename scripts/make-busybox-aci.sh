#!/bin/sh
# make-busybox-aci.sh FILE [BUSYBOX]: an app container image (ACI) named busybox, from Debian's busybox-static: one
# program, its links, and the few files that programs expect. The same input gives the same bytes. Its app is
# `busybox sh`, so that arguments after `--` name an applet: `jetpack run busybox -- echo hi`.
set -eu
out=${1:?usage: make-busybox-aci.sh FILE [BUSYBOX]}
busybox=${2:-$(command -v busybox)}

case $(uname -m) in
  x86_64 | amd64) arch=amd64 ;;
  aarch64) arch=aarch64 ;;
  i?86) arch=i386 ;;
  armv7l) arch=armv7l ;;
  ppc64le) arch=ppc64le ;;
  s390x) arch=s390x ;;
  *) printf 'make-busybox-aci.sh: no appc name is known for the machine %s\n' "$(uname -m)" >&2; exit 1 ;;
esac
version=$("$busybox" | sed -n '1s/^BusyBox v\([0-9.]*\).*/\1/p')

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

root=$tree/rootfs
mkdir -p "$root/bin" "$root/etc" "$root/root" "$root/tmp" "$root/var/tmp"
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
  [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
cat >"$root/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
PASSWD
cat >"$root/etc/group" <<'GROUP'
root:x:0:
nogroup:x:65534:
GROUP
cat >"$tree/manifest" <<MANIFEST
{
  "acKind": "ImageManifest",
  "acVersion": "0.8.11",
  "name": "busybox",
  "labels": [
    { "name": "version", "value": "$version" },
    { "name": "os", "value": "linux" },
    { "name": "arch", "value": "$arch" }
  ],
  "app": {
    "exec": ["/bin/busybox", "sh"],
    "user": "0",
    "group": "0",
    "workingDirectory": "/",
    "environment": [{ "name": "PATH", "value": "/bin" }]
  }
}
MANIFEST
find "$tree" -type d -exec chmod 0755 {} +
chmod 0755 "$root/bin/busybox"
chmod 0644 "$root/etc/passwd" "$root/etc/group" "$tree/manifest"
chmod 0700 "$root/root"
chmod 1777 "$root/tmp" "$root/var/tmp"

tar --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$tree" -cf - manifest rootfs |
  gzip -9 -n >"$out.part"
mv "$out.part" "$out"
