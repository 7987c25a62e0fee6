# Attaching: streams, several clients, terminals, keys.
load helpers

# The container's terminal as process 1 of it sees it.
attach_start()
{
	terminal_start "stty rows 30 cols 90; $(kist_command) attach $*"
	TTY=
	terminal_known()
	{
		local child
		child=$(pgrep -P "$TERMINAL" | head -n 1) && TTY=$(readlink "/proc/$child/fd/0") && [[ $TTY == /dev/pts/* ]]
	}
	until_true 10 terminal_known || fail 'no terminal'
}

# ends CODE PID WHAT: of a job of this shell, which 'run' could not wait for.
ends()
{
	local code=0
	wait "$2" || code=$?
	equal "$1" "$code" "exit code of ${3:-it}"
}

terminal_exits()
{
	local code=0
	terminal_end || code=$?
	equal "$1" "$code" 'exit code on the terminal'
}

@test "attach: two clients see the output, stdin is passed on and its end too, both get the exit code" {
	kist run -d -i --name c busybox sh -c 'while read -r line; do echo "out $line"; echo "err $line" >&2; done; echo end; exit 5'
	mkfifo "$STORE/in"
	kist attach c <"$STORE/in" >"$STORE/one" 2>"$STORE/one.err" 3>&- & one=$!
	exec 8>"$STORE/in"
	kist attach --no-stdin --latest </dev/null >"$STORE/two" 2>&1 3>&- 8>&- & two=$!
	# Until both are attached a line may reach one alone.
	both_see() { echo ping >&8; grep -q 'out ping' "$STORE/one" && grep -q 'out ping' "$STORE/two"; }
	until_true 10 both_see || fail 'they do not see the output'
	echo last >&8
	exec 8>&-
	ends 5 "$one" 'the first'
	ends 5 "$two" 'the second'
	contains "$(cat "$STORE/one")" $'out last\nend'
	contains "$(cat "$STORE/two")" 'end'
	contains "$(cat "$STORE/one.err")" 'err last'
	lacks "$(cat "$STORE/one")" 'err'
	engine_error kist attach c
	contains "$stderr" 'start it first'
	engine_error kist attach nothing
	engine_error kist attach --detach-keys ctrl-1 c
	# Without a terminal too, where they would mean nothing.
	kist run -d --name plain busybox sleep 1000 >/dev/null
	kist create --name new busybox true >/dev/null
	engine_error kist attach --detach-keys ctrl-1 plain
	engine_error kist exec --detach-keys ctrl-1 plain true
	engine_error kist start -a --detach-keys ctrl-1 new
	equal created "$(state_of new)"
	kist rm -f -t 0 plain new >/dev/null
}

@test "attach: signals are passed on, or not; a client that is killed changes nothing; start -a of what runs attaches" {
	kist run -d --name c busybox sh -c 'trap "echo got it" USR1; trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done'
	until_true 10 log_has c ready
	$(kist_command) attach --sig-proxy=false --no-stdin c >"$STORE/quiet" 2>&1 3>&- & quiet=$!
	$(kist_command) start -a c >"$STORE/loud" 2>&1 3>&- & loud=$!
	# Until it is attached a signal would end the command itself.
	proxies() { grep -q '^SigBlk:.*[2367abef]..$' "/proc/$1/status"; }
	until_true 10 proxies "$loud" || fail 'start -a does not take signals'
	kill -USR1 "$loud"
	until_true 10 grep -q 'got it' "$STORE/loud" || fail 'no signal reached the container'
	kill -TERM "$quiet"
	ends 143 "$quiet" 'the client that passes nothing on'
	equal running "$(state_of c)"
	kill -KILL "$loud"
	ends 137 "$loud" 'the killed client'
	equal running "$(state_of c)"
	$(kist_command) attach --no-stdin c >"$STORE/last" 2>&1 3>&- & last=$!
	until_true 10 proxies "$last"
	kill -TERM "$last"
	ends 7 "$last" 'a passed on SIGTERM'
}

@test "attach: ends with the run that it is attached to, also where a restart policy begins another" {
	kist run -d --name c --restart always busybox sh -c 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
	until_true 10 log_has c ready
	$(kist_command) attach --no-stdin c >"$STORE/out" 2>&1 3>&- & local client=$!
	proxies() { grep -q '^SigBlk:.*[2367abef]..$' "/proc/$1/status"; }
	until_true 10 proxies "$client"
	kill -TERM "$client"
	ends 7 "$client" 'the attached client'
	comes_back() { [ "$(kist inspect --format '{{.State.Status}} {{.RestartCount}}' c)" = 'running 1' ]; }
	until_true 10 comes_back
	kist_only
	kist stop -t 2 c >/dev/null
	engine_error kist attach c
	contains "$stderr" 'container c: cannot attach to it while it is exited'
	engine_error kist attach --detach-keys bogus-x c
	contains "$stderr" "detach-keys 'bogus-x'"
	engine_error kist start --attach --detach-keys bogus-x c
	contains "$stderr" "detach-keys 'bogus-x'"
	equal exited "$(state_of c)"
}

@test "run: output that cannot be written is told of" {
	need busybox
	local code=0
	mkdir "$STORE/small"
	mount -t tmpfs -o size=4k tmpfs "$STORE/small"
	kist run --rm busybox sh -c 'head -c 100000 /dev/zero; echo on >&2' >"$STORE/small/out" 2>"$STORE/err" || code=$?
	umount "$STORE/small"
	equal 126 "$code"
	contains "$(cat "$STORE/err")" 'o space left on device'
}

@test "attach: a shell feels like one of the host: size, ctrl-c, job control, detach and come back" {
	kist run -dit --name c busybox sh
	attach_start c
	type_keys 'stty size\n'
	on_screen '30 90'
	stty -F "$TTY" rows 44 cols 132
	resized() { type_keys 'stty size\n'; screen_has '44 132'; }
	until_true 10 resized || fail "not resized: $(cat -v "$STORE/screen")"
	type_keys 'sleep 1000\n'
	until_true 10 sh -c "$(kist_command) top c comm | grep -q sleep" || fail 'no sleep'
	type_keys '\003'
	type_keys 'echo code $?\n'
	on_screen 'code 130'
	type_keys 'sleep 1001\n'
	until_true 10 sh -c "$(kist_command) top c args | grep -q 'sleep 1001'" || fail 'no second sleep'
	type_keys '\032'
	on_screen 'Stopped'
	type_keys 'kill -9 %%1; echo job-$((40 + 2))\n'
	on_screen 'job-42'
	type_keys '\020\021'
	terminal_end || fail "detach: exit code $?"
	equal running "$(state_of c)"
	# The prompt is drawn anew for whoever comes: the program was told of another size.
	attach_start --detach-keys ctrl-x c
	type_keys 'echo back-$((1 + 1))\n'
	on_screen 'back-2'
	type_keys '\030'
	terminal_end || fail "detach by ctrl-x: exit code $?"
	attach_start c
	type_keys 'exit 9\n'
	terminal_exits 9
}

@test "attach, exec: a beginning of the detach keys goes on to the program after a while; kist.conf has the keys" {
	local read_one='stty raw -echo; echo ready; dd bs=1 count=1 2>/dev/null | od -An -tx1'
	kist run -dit --name c busybox sh -c "read -r _; $read_one; exit 3"
	attach_start c
	type_keys '\n'
	on_screen ready
	type_keys '\020'
	on_screen ' 10'
	terminal_exits 3
	kist rm c >/dev/null
	echo 'detach_keys=ctrl-a,b' >"$STORE/conf"
	kist run -dit --name c busybox sh
	terminal_start "KIST_CONF=$STORE/conf $(kist_command) exec -it c sh -c '$read_one'"
	on_screen ready
	type_keys '\001'
	on_screen ' 01'
	terminal_end
	terminal_start "KIST_CONF=$STORE/conf $(kist_command) attach c"
	type_keys 'echo here-$((2 + 1))\n'
	on_screen 'here-3'
	type_keys '\001b'
	terminal_end || fail 'the keys of kist.conf do not detach'
	echo 'detach_keys=ctrl-' >"$STORE/conf"
	KIST_CONF=$STORE/conf engine_error kist ps
	contains "$stderr" "'ctrl-'"
}
