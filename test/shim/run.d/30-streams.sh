# Logs, terminals, back-pressure.

log() { cut -d' ' -f2- "$WORK/pods/c/logs/web"; }

"$SHIM" run "$(plan_of c payload --stdout 'a
b' --stderr err)" >/dev/null 2>&1
is "lines and pieces are logged with their stream" "$(log | sort)" 'stderr F err
stdout F a
stdout P b'
ok "with a time" grep -Eq '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}Z stdout F a$' "$WORK/pods/c/logs/web"
LOG_MAX=10000000
is "our stdout is the app's" "$("$SHIM" run "$(plan_of c payload --write-lines 20000)" 2>/dev/null | md5sum)" "$(seq -f 'line %.0f' 20000 | md5sum)"
is "the log has all of it" "$(log | sed 's/^stdout . //' | wc -l)" "$(log | wc -l)"
is "joined pieces are the app's bytes" \
    "$(awk '{ t = substr($0, length($1) + length($2) + 5); printf "%s%s", t, $3 == "F" ? "\n" : "" }' "$WORK/pods/c/logs/web" | md5sum)" \
    "$(seq -f 'line %.0f' 20000 | md5sum)"
LOG_MAX=20000 LOG_KEEP=2
"$SHIM" run "$(plan_of c payload --write-lines 3000)" >/dev/null
is "logs are rotated" "$(ls "$WORK/pods/c/logs" | tr '\n' ' ')" 'web web.1 web.2 '
ok "and stay below the limit" test -z "$(find "$WORK/pods/c/logs" -size +20000c)"
is "the newest line is in the newest file" "$(tail -n 1 "$WORK/pods/c/logs/web" | cut -d' ' -f4-)" 'line 3000'
unset LOG_MAX LOG_KEEP

got=$("$SHIM" run "$(plan_of c payload --write-lines 50000)" 2>/dev/null | { sleep 1; md5sum; })
is "a slow reader loses nothing" "$got" "$(seq -f 'line %.0f' 50000 | md5sum)"
"$SHIM" run "$(plan_of c payload --write-lines 50000 --exit 4)" 2>/dev/null | head -n 1 >/dev/null
is "a reader that leaves ends nothing" "$(status_of c exit web)" 4
is "and the log goes on" "$(tail -n 1 "$WORK/pods/c/logs/web" | cut -d' ' -f4-)" 'line 50000'
"$SHIM" run "$(plan_of c payload --write-lines 10)" >&- 2>&-
is "closed stdout and stderr do no harm" $? 0

is "stdin is passed on, and its end" "$(seq 30000 | "$SHIM" run --interactive "$(plan_of c payload --read-stdin)" | md5sum)" "$(seq 30000 | md5sum)"
is "without --interactive it is empty" "$(echo x | "$SHIM" run "$(plan_of c payload --read-stdin)")" ''
is "an app that does not read does not hold us" "$(seq 100000 | "$SHIM" run --interactive "$(plan_of c payload --stdout done)")" 'done'

if mkdir -p "$WORK/small" && mount -t tmpfs -o size=64k none "$WORK/small"; then
    p=$(plan_of c payload --write-lines 20000 --exit 6)
    mkdir -p "$WORK/pods/c/logs"
    mount --bind "$WORK/small" "$WORK/pods/c/logs"
    err=$("$SHIM" run "$p" 2>&1 >/dev/null)
    is "a full log file system does not end the app" $? 6
    is "it is told once" "$(echo "$err" | grep -c 'cannot write the log')" 1
    umount "$WORK/pods/c/logs" "$WORK/small"
else
    skip "a full log file system does not end the app" "cannot mount a tmpfs"
fi

out=$("$PROBE" pty '' "$SHIM" run --tty "$(plan_of c sh -c 'tty; stty size; echo $((6 * 7)); payload | tr , "\n" | grep -i -A3 tty')")
has "--tty gives a terminal" "$out" /dev/pts/0
has "of our size" "$out" '33 77'
has "it controls the app" "$out" '"controllingTty":true'
has "ours is as it was" "$out" '[33 x 77 cooked]'
out=$("$PROBE" pty 'echo $((20 + 22))\nexit 9\n' "$SHIM" run --tty "$(plan_of c sh)")
is "what is typed reaches the app, whose status is ours" $? 9
has "and is answered" "$out" 42
out=$("$PROBE" pty '\003' "$SHIM" run --tty "$(plan_of c payload --sleep 100)")
is "^C goes to the app as a signal of its terminal" $? 130
has "ours is restored after a failure" "$("$PROBE" pty '' "$SHIM" run --tty "$(plan_of c nope)")" 'cooked]'
