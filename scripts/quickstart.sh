#!/bin/sh
# quickstart.sh [--pool NAME] [--remove]: from a fresh clone to a running pod. As root on Debian, with git, node and npm:
#
#   npm run quickstart                    set everything up, then import an image and run it
#   npm run quickstart -- --pool tank     the same in a pool that is there already
#   npm run quickstart -- --remove        take away all that it made (not the Debian packages)
#
# It keeps a record of what it made in /var/lib/jetpack-quickstart/made, and removes nothing that is not in there. A
# second run finds everything in place and takes seconds.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/setup.sh
. "$project/scripts/setup.sh"

home=/var/lib/jetpack-quickstart
made=$home/made
pool_file=$home/pool/jetpack.img
own_pool=jetpack
launcher=/usr/local/bin/jetpack
config=/etc/jetpack/jetpack.conf
steps=9
current=0
pool=
remove=

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  exit "$1"
}
while [ $# -gt 0 ]; do
  case $1 in
    --pool) pool=${2:?--pool needs the name of a pool}; shift 2 ;;
    --pool=*) pool=${1#--pool=}; shift ;;
    --remove) remove=1; shift ;;
    -h | --help) usage 0 ;;
    *) printf 'quickstart.sh: unknown argument %s\n' "$1" >&2; usage 2 >&2 ;;
  esac
done

finish() {
  status=$?
  rm -rf "$setup_log" "${work:-}"
  if [ $status -ne 0 ] && [ $current -gt 0 ]; then
    printf '\nStopped in step %s of %s. Mend what is said above and run it again: it goes on where it was.\n' \
      $current $steps >&2
  fi
  exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step() {
  current=$((current + 1))
  printf '[%s/%s] %s\n' $current $steps "$*"
}

# record WHAT [VALUE]: WHAT is about to be made.
record() {
  is_recorded "$1" && return 0
  mkdir -p "$home"
  printf '%s %s\n' "$1" "${2:-}" >>"$made"
}
is_recorded() { [ -e "$made" ] && grep -q "^$1 " "$made"; }
recorded() { sed -n "s/^$1 //p" "$made"; }

has_pool() { zpool list -H -o name 2>/dev/null </dev/null | grep -qx "$1"; }
root_dataset() { sed -n 's/^root\.zfs *= *//p' "$config" 2>/dev/null || :; }
root_folder() { sed -n 's/^root\.mountpoint *= *//p' "$config" 2>/dev/null || :; }

# --- the steps ----------------------------------------------------------------------------------------------------------

write_launcher() {
  wanted=$(printf '#!/bin/sh\nexec "%s" "%s" "$@"' "$project/node_modules/node/bin/node" "$project/dist/main.cjs")
  if [ -e "$launcher" ]; then
    if [ "$(cat "$launcher")" = "$wanted" ]; then
      note "$launcher is there"
      return 0
    fi
    grep -q '/dist/main\.cjs" "\$@"$' "$launcher" ||
      die "$launcher is there already and is not this project's" 'move it away and run this again'
    note "$launcher pointed to another clone"
  fi
  record launcher
  printf '%s\n' "$wanted" >"$launcher.new"
  chmod 0755 "$launcher.new"
  mv "$launcher.new" "$launcher"
  note "$launcher -> $project/dist/main.cjs"
}

# Room for the pool's file: sparse, but never more than the disk could give.
pool_size() {
  mkdir -p "$(dirname "$pool_file")"
  free_mb=$(df -Pm "$(dirname "$pool_file")" | awk 'NR == 2 { print $4 }')
  if [ "$free_mb" -gt 12288 ]; then printf '10G\n'
  elif [ "$free_mb" -gt 1536 ]; then printf '%sM\n' $((free_mb * 3 / 4))
  else die "only $free_mb MB are free for a pool" 'make room in /var/lib, or name a pool with --pool'
  fi
}

initialise() {
  getent group _jetpack >/dev/null || record group
  getent passwd _jetpack >/dev/null || record user
  if [ -e "$config" ] && ! is_recorded config; then
    note "using $config, which was there"
    [ -z "$pool" ] || note "warning: --pool $pool is not used"
    jetpack init
    return
  fi
  if [ -n "$pool" ]; then
    has_pool "$pool" || die "there is no pool named $pool" "these are imported: $(zpool list -H -o name | tr '\n' ' ')"
    dataset=$pool/jetpack
    set --
  else
    if ! is_recorded pool; then
      ! has_pool "$own_pool" || die "a pool named $own_pool is there already" "use it with: npm run quickstart -- --pool $own_pool"
      record pool "$own_pool"
    fi
    dataset=$own_pool/jetpack
    size=$(pool_size)
    set -- --pool-file "$pool_file" --pool-size "$size" --pool-name "$own_pool"
  fi
  if [ -e "$config" ] && [ "$(root_dataset)" != "$dataset" ]; then
    [ -z "$pool" ] || die "an earlier run has chosen $(root_dataset)" 'remove it first: npm run quickstart -- --remove'
    dataset=$(root_dataset)
    set --
  fi
  zfs list -H -o name "$dataset" >/dev/null 2>&1 </dev/null || record dataset "$dataset"
  record config
  jetpack init -o "root.zfs=$dataset" "$@"
}

import_busybox() {
  if jetpack image show busybox >/dev/null 2>&1; then
    note 'the image busybox is in the store'
    return 0
  fi
  work=$(mktemp -d)
  sh "$project/scripts/make-busybox-aci.sh" "$work/busybox.aci"
  note "made busybox.aci ($(wc -c <"$work/busybox.aci") bytes) from Debian's busybox-static"
  # It is our own and not signed: the only reason to import without a signature.
  jetpack import --insecure-options=image "$work/busybox.aci"
  rm -rf "$work"
}

set_up() {
  need_root npm run quickstart
  step 'Debian packages'
  ensure_packages run build
  step 'Node packages'
  ensure_node_modules
  step 'Build'
  ensure_build
  step 'ZFS'
  ensure_zfs
  step 'The jetpack command'
  write_launcher
  step 'jetpack init: pool, datasets, folders, accounts, configuration'
  initialise
  step 'An image'
  import_busybox
  step 'A pod: where is it?'
  # shellcheck disable=SC2016
  jetpack run --rm --net=none busybox -- sh -c \
    'echo "hello from a pod: host $(hostname), process $$, user $(id -u)"; echo "root file system: $(ls / | tr "\n" " ")"; echo "network: $(ls /sys/class/net 2>/dev/null | tr "\n" " ")"'
  step 'What is there now'
  jetpack images
  jetpack list
  printf '\nDone. Now try:  jetpack run --rm --net=none busybox -- echo hi\nTake it away:   npm run quickstart -- --remove\n'
}

# --- remove -------------------------------------------------------------------------------------------------------------

end_pods() {
  pods=$("$launcher" list --all -q 2>/dev/null </dev/null) || return 0
  [ -z "$pods" ] || note "pods: $(printf '%s\n' "$pods" | wc -l)"
  for pod in $pods; do "$launcher" rm --force "$pod" >/dev/null 2>&1 </dev/null || :; done
}

remove_dataset() {
  dataset=$1
  zfs list -H -o name "$dataset" >/dev/null 2>&1 </dev/null || return 0
  # -R takes clones along, so there must be none outside.
  outside=$(zfs list -H -o name,origin -t filesystem,volume </dev/null |
    awk -v root="$dataset/" 'index($2, root) == 1 && index($1, root) != 1 { print $1 }')
  [ -z "$outside" ] || die "these are clones of what is in $dataset: $outside" 'destroy or promote them first'
  tries=0
  until zfs destroy -R "$dataset" >/dev/null 2>&1 </dev/null; do
    zfs list -H -o name "$dataset" >/dev/null 2>&1 </dev/null || break
    tries=$((tries + 1))
    [ $tries -lt 100 ] || die "cannot destroy $dataset" "$(zfs destroy -R "$dataset" 2>&1 </dev/null | head -n 1)"
    sleep 0.1
  done
}

remove_all() {
  need_root npm run quickstart -- --remove
  if [ ! -e "$made" ]; then
    say 'Nothing to remove: no record of anything that was made here.'
    return 0
  fi
  PATH=$PATH:/usr/sbin:/sbin
  folder=$(root_folder)
  zfs_answers || start_zfs_fuse_if_ours
  if is_recorded dataset; then
    say 'removing pods and datasets'
    end_pods
    if is_recorded pool && ! has_pool "$(recorded pool)" && [ -e "$pool_file" ]; then
      zpool import -d "$(dirname "$pool_file")" "$(recorded pool)" </dev/null 2>/dev/null || :
    fi
    remove_dataset "$(recorded dataset)"
    [ -z "$folder" ] || rmdir "$folder" 2>/dev/null || :
  fi
  if is_recorded pool; then
    say 'removing the pool and its file'
    remove_pool "$(recorded pool)" "$pool_file" || die 'the pool cannot be removed yet' 'try again when nothing uses it'
    rmdir "$(dirname "$pool_file")" 2>/dev/null || :
  fi
  if is_recorded config; then
    say "removing $config"
    rm -f "$config"
    rmdir "$(dirname "$config")" 2>/dev/null || :
  fi
  if is_recorded launcher; then
    say "removing $launcher"
    rm -f "$launcher"
  fi
  if is_recorded user && getent passwd _jetpack >/dev/null; then userdel _jetpack; fi
  # userdel may have taken the group of the same name along.
  if is_recorded group && getent group _jetpack >/dev/null; then groupdel _jetpack; fi
  if is_recorded zfs-fuse-daemon && zfs_answers; then
    if [ -z "$(zpool list -H -o name </dev/null)" ]; then
      say 'stopping the zfs-fuse daemon'
      stop_zfs_fuse
    else
      say "the zfs-fuse daemon stays: it serves $(zpool list -H -o name </dev/null | tr '\n' ' ')"
    fi
  fi
  if is_recorded zfs-fuse-xattr; then sed -i 's/^enable-xattr$/# enable-xattr/' "$zfs_fuse_config"; fi
  if is_recorded mtab; then rm -f /etc/mtab; fi
  cd "$project"
  if is_recorded shim-build; then rm -rf shim/build; fi
  if is_recorded dist; then rm -rf dist; fi
  if is_recorded node-modules; then rm -rf node_modules; fi
  rm -f "$made"
  rmdir "$home" 2>/dev/null || :
  say 'Removed. The Debian packages stay; npm run quickstart makes all of it again.'
}

# After a reboot the daemon is away, and with it the pool that must be destroyed.
start_zfs_fuse_if_ours() {
  if is_recorded zfs-fuse-daemon && have zfs-fuse; then start_zfs_fuse; fi
}

if [ -n "$remove" ]; then remove_all; else set_up; fi
