#!/bin/sh
# make-debian-aci.sh FILE [SUITE]: makes an ACI named `debian` of Debian's minimal system (SUITE: bookworm), some 200 MB.
# Needs root, debootstrap and a Debian mirror (the host's own configuration decides which).
set -eu
out=${1:?usage: make-debian-aci.sh FILE [SUITE]}
suite=${2:-bookworm}
case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=aarch64 ;;
  *) arch=$(uname -m) ;;
esac

mkdir -p "$(dirname "$out")"
tree=$(mktemp -d "$(dirname "$out")/debian.XXXXXX")
trap 'rm -rf --one-file-system "$tree"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 0755 "$tree"

debootstrap --variant=minbase "$suite" "$tree/rootfs" >"$tree/log" 2>&1 || {
  tail -n 20 "$tree/log" >&2
  echo "make-debian-aci.sh: debootstrap failed" >&2
  exit 1
}
cat >"$tree/manifest" <<MANIFEST
{
  "acKind": "ImageManifest",
  "acVersion": "0.8.11",
  "name": "debian",
  "labels": [
    { "name": "version", "value": "$suite" },
    { "name": "os", "value": "linux" },
    { "name": "arch", "value": "$arch" }
  ],
  "app": { "exec": ["/bin/bash"], "user": "0", "group": "0" }
}
MANIFEST
chmod 0644 "$tree/manifest"
tar -C "$tree" --numeric-owner --xattrs --xattrs-include='*' -czf "$out.part" manifest rootfs
mv "$out.part" "$out"
