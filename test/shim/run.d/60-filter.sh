# The default filter: what must work under it, in the host's own system as a read-only root, and
# what must not.

filtered() {
    rec seccomp "$BPF"
    rec mount bind "$WORK/vol2" /tmp -
    [ -z "${TOOL:-}" ] || rec mount bind "$TOOL" "$TOOL" ro
}
MORE=filtered MODE=ro ROOT=/
under() { "$SHIM" run "$(plan_of f "$@")" 2>&1; }
if [ -d /var/lib/dpkg ]; then
    has "dpkg works" "$(under /usr/bin/dpkg-query -W libc6)" libc6
    has "apt works" "$(under /usr/bin/apt-cache policy dpkg)" Installed
else
    skip "dpkg and apt work" "no Debian"
fi
for tool in node python3 java perl; do
    path=$(command -v $tool) || {
        echo "# no $tool here"
        continue
    }
    path=$(readlink -f "$path")
    wanted=42
    # One that is on a file system of its own is not in a bind of the root.
    TOOL=
    [ "$(stat -c %d "$path")" = "$(stat -c %d /)" ] || TOOL=$(dirname "$path")
    case $tool in
    node) out=$(under "$path" -e 'new (require("worker_threads").Worker)("console.log(6*7)",{eval:true})') ;;
    python3) out=$(under "$path" -c 'import threading,subprocess; t=threading.Thread(target=lambda: print(subprocess.run(["/bin/echo","42"],capture_output=True).stdout)); t.start(); t.join()') ;;
    java) out=$(under "$path" -version) wanted='build ' ;;
    perl) out=$(under "$path" -e 'print 6*7 if fork() == 0; wait') ;;
    esac
    has "$tool works, with threads and processes" "$out" "$wanted"
done
TOOL=
if [ -x /usr/bin/su ]; then
    has "su works" "$(under /usr/bin/su -s /bin/sh nobody -c id)" nobody
else
    skip "su works" "no su"
fi
has "unshare is refused" "$(under /usr/bin/unshare -m true)" 'Operation not permitted'
has "a user namespace, too" "$(under /usr/bin/unshare -U true)" 'Operation not permitted'
has "mount is refused" "$(under /bin/mount -t tmpfs none /tmp)" 'denied'
unset MORE MODE ROOT
