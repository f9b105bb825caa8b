# shellcheck shell=sh disable=SC2154
# setup.sh - the steps that make a fresh machine ready, for quickstart.sh, test.sh and check.sh, which source it.
# Every step is idempotent: what is there already costs a look and nothing else. They need root and Debian's apt-get
# where something is missing; nothing is downloaded that is there.
#
# The caller sets `project` (the folder of the clone) first. A caller that keeps a record of what was made defines
# `record WHAT [VALUE]`; it is called before the thing is made, so that a kill in between leaves a record too much and
# never one too few.

zfs_fuse_pidfile=/run/zfs-fuse.pid
zfs_fuse_config=/etc/zfs/zfsrc
zfs_fuse_socket=/run/zfs/zfs_socket

say() { printf '%s\n' "$*"; }
note() { printf '      %s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  shift
  for line; do printf '  %s\n' "$line" >&2; done
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Overridden by callers that keep a record.
record() { :; }

need_root() {
  [ "$(id -u)" = 0 ] || die 'this needs root: it installs packages, mounts file systems and makes namespaces' "sudo $*"
}

# --- Debian packages ----------------------------------------------------------------------------------------------------

# The words of the lists NAME…, without comments.
package_list() {
  for list; do sed 's/#.*//' "$project/scripts/packages/$list.txt"; done
}

missing_packages() {
  for package in $(package_list "$@"); do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
  done
}

# ensure_packages LIST…: installs what is missing of the lists in scripts/packages.
ensure_packages() {
  if ! have apt-get; then
    note "no apt-get here: install yourself what these lists name: $*"
    return 0
  fi
  missing=$(missing_packages "$@" | sort -u | tr '\n' ' ')
  if [ -z "$missing" ]; then
    note "all there ($*)"
    return 0
  fi
  need_root "$0"
  note "installing: $missing"
  # The tests start registries of their own; the package would start one for the whole network.
  case " $missing" in
    *' docker-registry '*)
      [ ! -d /run/systemd/system ] || systemctl mask docker-registry.service >"$setup_log" 2>&1 || :
      ;;
  esac
  # A fresh machine has no lists at all, an old one lists of versions that are gone; otherwise there is nothing to update.
  # shellcheck disable=SC2086
  { has_package_lists && apt_install $missing; } || { apt_update && apt_install $missing; } || {
    tail -n 10 "$setup_log" >&2
    die 'apt-get could not install the packages' 'its last words are above'
  }
}

has_package_lists() { [ -n "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ]; }
apt_update() { DEBIAN_FRONTEND=noninteractive apt-get update -qq >"$setup_log" 2>&1 </dev/null; }
apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$setup_log" 2>&1 </dev/null
}

# --- Node ---------------------------------------------------------------------------------------------------------------

ensure_node_modules() {
  have node || die 'node is missing (20 or newer; the project brings a newer one for itself)' 'https://nodejs.org'
  have npm || die 'npm is missing' 'https://nodejs.org'
  cd "$project" || exit 1
  if node scripts/modules-match.mjs; then
    note 'node_modules is as package-lock.json says'
  else
    [ -d node_modules ] || record node-modules
    note 'npm ci (some 400 packages)'
    npm ci --no-audit --no-fund >"$setup_log" 2>&1 </dev/null ||
      { grep -m 15 '^npm error' "$setup_log" >&2; die 'npm ci failed' 'its first words are above'; }
    node scripts/modules-match.mjs ||
      die 'npm ci ran, but node_modules is not what package-lock.json says' \
        'does this npm skip install scripts? The package "node" needs its own: npm rebuild node'
  fi
  PATH=$project/node_modules/.bin:$PATH
  export PATH
}

# --- Build --------------------------------------------------------------------------------------------------------------

is_built() {
  [ -e "$project/dist/main.cjs" ] &&
    [ -z "$(find "$project/src" "$project/package.json" "$project/scripts/build.mjs" -newer "$project/dist/main.cjs" -print -quit)" ]
}

ensure_build() {
  cd "$project" || exit 1
  if is_built; then
    note 'dist/ is up to date'
  else
    [ -d dist ] || record dist
    note 'TypeScript -> dist/'
    node scripts/build.mjs >"$setup_log" 2>&1 || { cat "$setup_log" >&2; die 'the build failed'; }
  fi
  [ -d shim/build ] || record shim-build
  note 'C -> shim/build/'
  make -C shim all >"$setup_log" 2>&1 || { cat "$setup_log" >&2; die 'the build of the shim failed'; }
}

# --- ZFS ----------------------------------------------------------------------------------------------------------------

zfs_answers() { have zpool && zpool list -H -o name >/dev/null 2>&1 </dev/null; }
kernel_has_zfs() {
  grep -qw zfs /proc/filesystems && return 0
  have modprobe && modprobe -q zfs 2>/dev/null
  grep -qw zfs /proc/filesystems && [ -e /dev/zfs ]
}

# ensure_zfs: afterwards zfs and zpool answer.
ensure_zfs() {
  PATH=$PATH:/usr/sbin:/sbin
  if kernel_has_zfs; then
    have zpool || ensure_packages zfs-kernel
    zfs_answers || die 'the kernel has ZFS, but zpool list fails' "$(zpool list 2>&1 | head -n 1)"
    note "the kernel's OpenZFS $(cat /sys/module/zfs/version 2>/dev/null)"
    return 0
  fi
  ensure_zfs_fuse
  note "zfs-fuse (the kernel has no ZFS)"
}

ensure_zfs_fuse() {
  fuse_is_new=
  if ! have zfs-fuse; then
    if dpkg-query -W -f '${db:Status-Status}' zfsutils-linux 2>/dev/null | grep -qx installed; then
      die 'zfsutils-linux is installed, but the kernel module cannot be loaded' \
        'load it with: modprobe zfs' 'or make room for zfs-fuse with: apt-get remove zfsutils-linux'
    fi
    fuse_is_new=1
  fi
  ensure_packages zfs-fuse
  [ -e /dev/fuse ] || { have modprobe && modprobe -q fuse; } || :
  [ -e /dev/fuse ] || die 'there is no /dev/fuse' 'give this machine the device, or a kernel with ZFS'
  # Where services may start, the package has started its daemon by now, without extended attributes.
  if [ -n "$fuse_is_new" ] && zfs_answers && ! fuse_keeps_xattrs && [ -z "$(zpool list -H -o name)" ]; then
    note 'switching extended attributes on in the daemon that the package has started'
    enable_fuse_xattrs
    restart_zfs_fuse
  fi
  zfs_answers || start_zfs_fuse
  fuse_keeps_xattrs ||
    note "warning: zfs-fuse runs without extended attributes (capabilities of files are lost):" \
      "put enable-xattr into $zfs_fuse_config and restart it"
}

fuse_pid() {
  [ -s "$zfs_fuse_pidfile" ] || return 1
  read -r pid <"$zfs_fuse_pidfile" || :
  case $pid in '' | *[!0-9]*) return 1 ;; esac
  # A process of another name has got the number since: the daemon died without a word.
  grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null && return 1
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = zfs-fuse ] && printf '%s\n' "$pid"
}

fuse_keeps_xattrs() {
  pid=$(fuse_pid) || return 0
  grep -q '^enable-xattr' "$zfs_fuse_config" 2>/dev/null && return 0
  tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxE -e '-x|--enable-xattr'
}

enable_fuse_xattrs() {
  grep -q '^enable-xattr' "$zfs_fuse_config" && return 0
  record zfs-fuse-xattr
  if grep -q '^# enable-xattr$' "$zfs_fuse_config"; then
    sed -i 's/^# enable-xattr$/enable-xattr/' "$zfs_fuse_config"
  else
    printf 'enable-xattr\n' >>"$zfs_fuse_config"
  fi
}

has_systemd() { [ -d /run/systemd/system ]; }

restart_zfs_fuse() {
  if has_systemd; then systemctl restart zfs-fuse
  else
    stop_zfs_fuse
    start_zfs_fuse
  fi
  wait_for_zfs || die 'the zfs-fuse daemon does not answer after its restart'
}

start_zfs_fuse() {
  need_root "$0"
  # One that is just ending answers no more, and is gone in some seconds; one that is just starting will answer.
  tries=0
  while [ "$tries" -lt 150 ] && fuse_pid >/dev/null && ! zfs_answers; do
    sleep 0.2
    tries=$((tries + 1))
  done
  if ! fuse_pid >/dev/null; then
    # It refuses to start beside a pid file, even of a dead one.
    rm -f "$zfs_fuse_pidfile"
    if has_systemd; then
      note 'starting zfs-fuse by systemd'
      enable_fuse_xattrs
      record zfs-fuse-daemon
      systemctl restart zfs-fuse || die 'systemctl restart zfs-fuse failed' 'see: journalctl -u zfs-fuse'
    else
      note 'starting the zfs-fuse daemon'
      record zfs-fuse-daemon
      # What an init system would have made; without it the daemon ends without a word.
      mkdir -p "$(readlink -m /var/lock)"
      [ -e /etc/mtab ] || { record mtab; ln -s ../proc/self/mounts /etc/mtab; }
      # No descriptor of ours may stay open in it: whoever reads our output would wait for its end.
      zfs-fuse --enable-xattr --pidfile "$zfs_fuse_pidfile" </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- ||
        die 'zfs-fuse did not start' 'try it in the foreground: zfs-fuse --no-daemon'
    fi
  fi
  wait_for_zfs || die 'the zfs-fuse daemon does not answer' "is it still running? Its socket is $zfs_fuse_socket"
  # Pools that it knew before are imported, but nothing of them is mounted.
  zfs mount -a >/dev/null 2>&1 </dev/null || note 'warning: not every file system could be mounted (zfs mount -a)'
}

wait_for_zfs() {
  tries=0
  until zfs_answers; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || return 1
    sleep 0.2
  done
}

stop_zfs_fuse() {
  pid=$(fuse_pid) || return 0
  zfs unmount -a >/dev/null 2>&1 </dev/null || :
  if has_systemd; then systemctl stop zfs-fuse || :; fi
  kill "$pid" 2>/dev/null || :
  tries=0
  while kill -0 "$pid" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { note "warning: the zfs-fuse daemon (process $pid) does not end"; return 0; }
    sleep 0.2
  done
  rm -f "$zfs_fuse_pidfile"
  rmdir /zfs-kstat 2>/dev/null || :
}

# --- Pools on files -----------------------------------------------------------------------------------------------------

# remove_pool NAME FILE: gone when it returns, with retries: a mount namespace that is just ending keeps a pool busy.
remove_pool() {
  tries=0
  while zpool list -H -o name 2>/dev/null </dev/null | grep -qx "$1"; do
    zpool destroy -f "$1" 2>/dev/null </dev/null && break
    tries=$((tries + 1))
    [ $tries -lt 40 ] || { note "warning: the pool $1 stays busy: $(zpool destroy -f "$1" 2>&1 </dev/null | head -n 1)"; return 1; }
    sleep 0.25
  done
  rm -f "$2"
}

setup_log=$(mktemp "${TMPDIR:-/tmp}/jetpack-setup.XXXXXX")
