# The launcher of the metadata service, with a program in its place that tries to change anything.

PORT=18412
mkdir -p "$WORK/mds/bin" "$WORK/mds/data/pods" "$WORK/mds/data/key"
cp "$WRITER" "$WORK/mds/bin/writer"
cp "$HTTP" "$WORK/mds/bin/http"
echo secret >"$WORK/mds/data/key/hmac"
chown 12345 "$WORK/mds/data/key/hmac"
chmod 400 "$WORK/mds/data/key/hmac"
chmod 777 "$WORK/mds/data/pods"
echo pod >"$WORK/mds/data/pods/manifest"
chmod 666 "$WORK/mds/data/pods/manifest"
mkdir "$WORK/mds/free"
has "the program finds what it can change, where nothing keeps it from that" "$(unshare -m "$WRITER" 1 "$WORK/mds/free")" \
    "DID create $WORK/mds/free/.writer"
rm -rf "$WORK/mds/free"
before=$(ls -lRn "$WORK/mds" && cat "$WORK/mds/data/pods/manifest")
launch() { "$SHIM" mds --uid 12345 --gid 23456 --port $PORT --listen 127.0.0.1 --listen 127.0.0.5 "$@" \
    --program "$WORK/mds/bin" --data "$WORK/mds/data" -- "$WORK/mds/bin/writer" 1; }

out=$(launch 2>&1 | cat)
is "whatever it tries, it changes nothing" "$(printf '%s\n' "$out" | grep '^DID')" ""
has "and it has tried" "$out" "attempts many"
is "the files, writable to all or its own, are as they were" \
    "$(ls -lRn "$WORK/mds" && cat "$WORK/mds/data/pods/manifest")" "$before"
has "it is the user, with one group" "$out" "uid 12345 12345 12345 gid 23456 23456 23456 groups 0"
has "without a way back" "$out" "no_new_privs 1 securebits eb core 0"
has "it has its sockets and nothing else open" "$out" "fds 0 1 2 3:socket 4:socket
LISTEN_FDS=2 LISTEN_PID=own"

out=$(launch --listen 0.0.0.0 2>&1)
is "it refuses to listen everywhere" "$?" 125
has "and says so" "$out" "jetpack: mds: not an address to listen on: 0.0.0.0"
out=$(launch --listen :: 2>&1)
has "in the other family too" "$out" "not an address to listen on: ::"
out=$(launch --listen ::ffff:0.0.0.0 2>&1)
has "and in disguise" "$out" "not an address to listen on: ::ffff:0.0.0.0"
out=$(launch --listen 192.0.2.77 2>&1)
has "an address that is not there yet is a note" "$out" "note: not listening (yet) on 192.0.2.77:"
has "and the others are served" "$out" "LISTEN_FDS=2"
for wrong in "--uid 0" "--gid 0" "--port 0" "--port 65536" "--data relative" "--data /a/../b" "--colour red"; do
    # shellcheck disable=SC2086
    launch $wrong >/dev/null 2>&1
    is "$wrong is refused" $? 125
done
"$HTTP" --serve $PORT busy >"$WORK/busy.out" &
busy=$!
until_true grep -q ready "$WORK/busy.out"
out=$(launch 2>&1)
has "a port that is taken is told, with what to do" "$out" "jetpack: cannot listen on 127.0.0.1: "
has "with what to do" "$out" "try: is it running already? see \`jetpack info\`"
kill $busy
wait $busy 2>/dev/null

# From outside: what the kernel says of the process.
"$SHIM" mds --uid 12345 --gid 23456 --port $PORT --listen 127.0.0.1 --program "$WORK/mds/bin" \
    --data "$WORK/mds/data" -- "$WORK/mds/bin/http" --serve 18413 x >"$WORK/outside.out" 2>&1 &
mds=$!
until_true grep -q "ready\|listen" "$WORK/outside.out"
# The kernel of User-Mode Linux is built without.
case $(uname -r) in
*uml*) ;;
*)
    has "a service cannot even listen on another port, where the kernel has Landlock" "$(cat "$WORK/outside.out")" \
        "$([ "$(uname -r | cut -d. -f1)" -ge 6 ] && echo "Permission denied")"
    ;;
esac
kill $mds 2>/dev/null
wait $mds 2>/dev/null
"$SHIM" mds --uid 12345 --gid 23456 --port $PORT --listen 127.0.0.1 --program "$(dirname "$(command -v busybox)")" \
    --data "$WORK/mds/data" -- "$(command -v busybox)" sleep 30 >/dev/null 2>&1 &
mds=$!
named() { [ "$(cat "/proc/$1/comm")" = "$2" ]; }
until_true named $mds busybox
caps=$(sed -n 's/^Cap[A-Z][a-z]*:[[:space:]]*//p' /proc/$mds/status | sort -u)
is "no capability in any set" "$caps" 0000000000000000
is "no mount that is not read-only" "$(awk '$6 !~ /^ro/' /proc/$mds/mountinfo | wc -l)" 0
is "and of the host's folders only those" \
    "$(awk '{print $5}' /proc/$mds/mountinfo | grep -v '^/lib\|^/usr/lib\|^/usr/local/lib\|^/etc/ld.so.cache' | sort | tr '\n' ' ')" \
    "$(printf '%s\n' / "$WORK/mds/data" "$(dirname "$(command -v busybox)")" | sort | tr '\n' ' ')"
kill $mds
wait $mds 2>/dev/null
