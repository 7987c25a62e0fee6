#!/usr/bin/env bats
# Readiness: sd_notify in its four modes, and the descriptor of s6.
load helpers

setup()
{
	setup_store
	kist_only
	NOTIFY=$BATS_FILE_TMPDIR/notify
	[ -x "$NOTIFY" ] || gcc -static -O1 -Wall -Werror -o "$NOTIFY" "$BATS_TEST_DIRNAME/notify.c"
	SOCKET=$STORE/n.sock
	"$NOTIFY" listen "$SOCKET" >"$STORE/heard" 3>&- &
	LISTENER=$!
	until_true 10 test -S "$SOCKET"
}

teardown()
{
	[ -z "${LISTENER:-}" ] || kill "$LISTENER"
	teardown_store
}

# What the service manager heard, without who said it; and who that was.
heard()
{
	cut -d' ' -f2- "$STORE/heard" | xargs -d '\n'
}

heard_is()
{
	[ "$(heard)" = "$1" ]
}

hears()
{
	until_true 10 heard_is "$1" || fail "heard '$(heard)', not '$1'"
}

monitor_of()
{
	kist inspect --format '{{.State.ConmonPid}}' "$1"
}

@test "notify: conmon and ignore; the restart policy says it again; the environment is not the container's" {
	NOTIFY_SOCKET=$SOCKET kist run -d --name c --sdnotify conmon --env-host busybox sh -c 'env | grep NOTIFY; ls -d /run/notify; sleep 1000' >/dev/null
	local monitor
	monitor=$(monitor_of c)
	hears "MAINPID=$monitor|READY=1|"
	# It speaks for itself, which NotifyAccess=main wants from then on.
	equal "$monitor" "$(cut -d' ' -f1 "$STORE/heard")"
	equal conmon "$(kist inspect --format '{{.Config.sdNotifyMode}}' c)"
	until_true 10 log_has c 'No such file'
	lacks "$(kist logs c 2>&1)" NOTIFY
	kist rm -f -t 0 c >/dev/null
	: >"$STORE/heard"
	# Each of its runs.
	NOTIFY_SOCKET=$SOCKET kist run -d --name r --sdnotify conmon --restart on-failure:1 busybox sh -c 'exit 3' >/dev/null
	monitor=$(head -n 1 "$STORE/heard" | cut -d' ' -f1)
	hears "MAINPID=$monitor|READY=1| MAINPID=$monitor|READY=1|"
	in_state r exited
	: >"$STORE/heard"
	NOTIFY_SOCKET=$SOCKET kist run -d --name i --sdnotify ignore busybox sleep 1000 >/dev/null
	NOTIFY_SOCKET=nonsense kist run --rm --sdnotify ignore busybox true
	NOTIFY_SOCKET=nonsense engine_error kist run --rm busybox true
	contains "$stderr" 'NOTIFY_SOCKET'
	# Nobody listens: the container runs all the same.
	NOTIFY_SOCKET=$STORE/nobody kist run --rm --sdnotify conmon busybox true
	equal '' "$(heard)"
	engine_error kist create --sdnotify often busybox true
}

@test "notify: a container tells by itself, and only what is its to say" {
	NOTIFY_SOCKET=$SOCKET kist run -d --name c -v "$NOTIFY:/notify:ro" --user 1000 --read-only busybox sh -c \
		'echo "$NOTIFY_SOCKET"; until [ -e /dev/shm/go ]; do sleep 0.05; done; /notify send "$NOTIFY_SOCKET" "READY=1|MAINPID=1|FDSTORE=1|STATUS=well"; sleep 1000' >/dev/null
	local monitor
	monitor=$(monitor_of c)
	hears "MAINPID=$monitor|"
	until_true 10 log_has c /run/notify/notify.sock
	kist exec c touch /dev/shm/go
	hears "MAINPID=$monitor| READY=1|STATUS=well|"
	equal "$monitor $monitor" "$(cut -d' ' -f1 "$STORE/heard" | xargs)"
	# Exec sessions and what is written down have no such variable; the socket's directory is not writable.
	run kist exec c env
	lacks "$output" NOTIFY_SOCKET
	! grep -qF '"NOTIFY_SOCKET=' "$ROOT/containers/$(kist inspect --format '{{.Id}}' c)/config.json" || fail 'it is in config.json'
	run ! kist exec -u 0 c rm /run/notify/notify.sock
	# Descriptors go no further, and are closed at once: a barrier ends.
	kist exec c /notify fds /run/notify/notify.sock
	# Longer than a message may be, and a flood: the monitor serves all the same, and lets through a bounded number.
	kist exec c /notify send /run/notify/notify.sock "STATUS=$(head -c 5000 /dev/zero | tr '\0' x)"
	: >"$STORE/heard"
	kist exec -d c /notify send /run/notify/notify.sock 'WATCHDOG=1' 100000
	until_true 10 test -s "$STORE/heard"
	for _ in 1 2 3; do
		equal hello "$(kist exec c echo hello)"
	done
	[ "$(grep -c WATCHDOG "$STORE/heard")" -lt 2000 ] || fail 'a flood'
	lacks "$(heard)" DESCRIPTORS
	lacks "$(heard)" xxx
	kist rm -f -t 0 c >/dev/null
	# Said as the last word of its life; initialised first, and started by who listens.
	kist create --name last -v "$NOTIFY:/notify:ro" busybox /notify send /run/notify/notify.sock READY=1 >/dev/null
	kist init last >/dev/null
	: >"$STORE/heard"
	NOTIFY_SOCKET=$SOCKET kist start -a last
	until_true 10 grep -q READY=1 "$STORE/heard" || fail "heard '$(heard)'"
	# Without a listener there is neither a socket nor a variable.
	run kist run --rm busybox sh -c 'env | grep NOTIFY; ls /run/notify 2>&1'
	matches '^ls: .*No such' "$output"
}

@test "notify: healthy tells after the first check that passed; an abstract socket; a check is needed" {
	"$NOTIFY" listen "@kist-$BATS_TEST_NUMBER-$$" >"$STORE/abstract" 3>&- &
	local other=$!
	until_true 10 grep -q "@kist-$BATS_TEST_NUMBER-$$" /proc/net/unix
	NOTIFY_SOCKET=@kist-$BATS_TEST_NUMBER-$$ kist run -d --name c --sdnotify healthy --health-cmd 'test -f /well' --health-interval 100ms \
		--health-retries 1 busybox sleep 1000 >/dev/null
	kist wait --condition unhealthy c
	local monitor
	monitor=$(monitor_of c)
	equal "MAINPID=$monitor|" "$(cut -d' ' -f2- "$STORE/abstract")"
	kist exec c touch /well
	told() { grep -q READY=1 "$STORE/abstract"; }
	until_true 10 told || fail "$(cat "$STORE/abstract")"
	# Once for each run.
	kist exec c rm /well
	kist wait --condition unhealthy c
	kist exec c touch /well
	kist wait --condition healthy c
	equal 1 "$(grep -c READY=1 "$STORE/abstract")"
	kill "$other"
	engine_error kist create --sdnotify healthy busybox true
	contains "$stderr" 'no health check'
}

@test "notify: s6 gets its newline when the container is ready, and no sooner" {
	mkfifo "$STORE/ready"
	exec 8<>"$STORE/ready"
	kist run -d --name c --sdnotify conmon --ready-fd 9 busybox sleep 1000 >/dev/null 9>"$STORE/ready"
	local line
	read -r -t 5 line <&8
	equal '' "$line"
	# Its monitor keeps no copy: a reader would see the end.
	! readlink "/proc/$(monitor_of c)"/fd/* | grep -q "$STORE/ready" || fail 'the monitor holds it'
	kist run -d --name h --sdnotify healthy --health-cmd 'test -f /well' --health-interval 100ms --ready-fd 9 busybox sleep 1000 >/dev/null 9>"$STORE/ready"
	! read -r -t 0.5 line <&8 || fail 'too soon'
	kist exec h touch /well
	read -r -t 10 line <&8
	# By the container itself, over its own socket; started after init, with the descriptor of 'start'.
	kist create --name n -v "$NOTIFY:/notify:ro" busybox sh -c '/notify send "$NOTIFY_SOCKET" READY=1; sleep 1000' >/dev/null
	kist init n >/dev/null
	kist start --ready-fd 9 n 9>"$STORE/ready" >/dev/null
	read -r -t 10 line <&8
	engine_error kist run --rm --ready-fd 1 busybox true
	engine_error kist run --rm --ready-fd 77 busybox true
	kist create --name i --sdnotify ignore busybox true >/dev/null
	run -125 kist start --ready-fd 9 i 9>"$STORE/ready"
	contains "$output" sdnotify=ignore
	exec 8>&-
}
