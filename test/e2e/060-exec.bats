#!/usr/bin/env bats
# exec: a further process in a running container.
load helpers

@test "exec: output, exit codes" {
	sleeper --name c >/dev/null
	run -0 kist exec c echo hello
	equal hello "$output"
	run -0 --separate-stderr kist exec c sh -c 'echo out; echo err >&2'
	equal out "$output"
	equal err "$stderr"
	run -7 kist exec c sh -c 'exit 7'
	run -137 kist exec c sh -c 'kill -KILL $$'
	run -127 kist exec c /no/such
	run -127 kist exec c no-such
	run -126 kist exec c /etc/text
}

@test "exec: into what is not running, or not there" {
	kist create --name c busybox true >/dev/null
	run kist exec c true
	[ "$status" -ge 125 ]
	run -125 kist exec nosuch true
	run kist exec c
	[ "$status" -ge 125 ]
}

@test "exec: -i passes stdin, without it stdin is empty" {
	sleeper --name c >/dev/null
	equal text "$(echo text | kist exec -i c cat)"
	equal '' "$(echo text | kist exec c cat)"
	head -c 2000000 /dev/urandom >"$STORE/random"
	kist exec -i c cat <"$STORE/random" >"$STORE/back"
	cmp "$STORE/random" "$STORE/back"
}

@test "exec: -t gives a terminal of the caller's size" {
	sleeper --name c >/dev/null
	run -0 script -qec "stty rows 31 cols 71; $(kist_command) exec -it c sh -c 'tty; stty size'" /dev/null
	matches '/dev/(pts/[0-9]+|console)' "$output"
	contains "$output" '31 71'
}

@test "exec: -e, --env-file, -w, -u" {
	sleeper --name c -e ONE=1 >/dev/null
	equal '1 2' "$(kist exec -e TWO=2 c sh -c 'echo $ONE $TWO')"
	printf 'THREE=3\n# comment\n' >"$STORE/env"
	equal 3 "$(kist exec --env-file "$STORE/env" c sh -c 'echo $THREE')"
	equal /tmp "$(kist exec -w /tmp c pwd)"
	equal '1000 1000' "$(kist exec -u user c sh -c 'echo $(id -u) $(id -g)')"
	equal '1000 1000' "$(kist exec -u 1000:1000 c sh -c 'echo $(id -u) $(id -g)')"
	equal '33 100' "$(kist exec -u www-data:users c sh -c 'echo $(id -u) $(id -g)')"
	run kist exec -u nosuch c true
	[ "$status" -ne 0 ]
	run ! kist exec -w /no/such c true
	run ! kist exec -u 1x c id
	lacks "$output" uid=
}

@test "exec: sees the container's namespaces, root and cgroup" {
	sleeper --name c -h inside >/dev/null
	equal inside "$(kist exec c hostname)"
	pid=$(pid_of c)
	local name
	for name in mnt uts ipc pid net cgroup; do
		equal "$(readlink "/proc/$pid/ns/$name")" "$(kist exec c readlink "/proc/self/ns/$name")" "$name namespace"
	done
	equal "$(kist exec c cat /proc/1/cgroup)" "$(kist exec c cat /proc/self/cgroup)"
}

@test "exec: has the container's capabilities and filter, not more" {
	sleeper --name c >/dev/null
	equal "$(kist exec c grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/1/status | grep -v CapAmb)" "$(kist exec c grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status | grep -v CapAmb)"
	run -0 kist exec -u 1000 c grep -E '^Cap(Prm|Eff|Amb|Inh)' /proc/self/status
	equal 4 "$(grep -c '0000000000000000$' <<<"$output")" 'a user that is not root has no capabilities'
	run -0 kist exec --privileged c grep CapEff /proc/self/status
	lacks "$output" 00000000800405fb
}

@test "exec: -d returns at once, the process goes on" {
	sleeper --name c >/dev/null
	run -0 kist exec -d c sh -c 'echo $$ >/tmp/pid; sleep 1000'
	matches "$FULL_ID" "$output"
	made() { kist exec c test -s /tmp/pid; }
	until_true 10 made
	run -0 kist exec c sh -c 'kill -0 $(cat /tmp/pid)'
	run -0 kist stop -t 2 c
	clean_after() { [ "$(entries | grep -c exec)" -eq 0 ]; }
	clean_after
}

@test "exec: no descriptor of the engine gets in" {
	sleeper --name c >/dev/null
	run -0 kist exec c ls /proc/self/fd
	equal '0 1 2 3' "$(xargs <<<"$output")"
}

@test "exec: many at once" {
	sleeper --name c >/dev/null
	local i
	for i in $(seq 20); do
		kist exec c sh -c "exit $i" 3>&- &
		pids[i]=$!
	done
	for i in $(seq 20); do
		local code=0
		wait "${pids[i]}" || code=$?
		equal "$i" "$code"
	done
}

@test "exec: the container's end ends it" {
	sleeper --name c >/dev/null
	kist exec c sh -c 'touch /tmp/up; exec sleep 1000' 3>&- &
	local exec=$!
	running() { kist exec c test -e /tmp/up; }
	until_true 10 running
	run -0 kist kill c
	local code=0
	until_true 10 bash -c "! kill -0 $exec 2>/dev/null"
	wait $exec || code=$?
	[ "$code" -ne 0 ]
}

@test "exec: a killed command line leaves the container well" {
	kist_only
	sleeper --name c >/dev/null
	$(kist_command) exec c sleep 1000 3>&- &
	local exec=$!
	until_true 10 pgrep -f 'sleep 1000'
	kill -9 $exec
	wait $exec || true
	equal running "$(state_of c)"
	run -0 kist exec c true
	run -0 kist stop -t 2 c
	clean_after() { [ -z "$(pgrep -f 'sleep 1000')" ]; }
	until_true 10 clean_after
}

@test "exec -it: keys that detach let the process go on, a lost terminal does not" {
	kist_only
	kist run -d --name c busybox sleep 1000 >/dev/null
	terminal_start "$(kist_command) exec -it c sh -c 'echo up; exec sleep 4321'"
	on_screen up
	type_keys '\020'
	type_keys '\021'
	terminal_end
	contains "$(kist exec c ps)" 'sleep 4321'
	$(kist_command) exec -it c sh -c 'exec sleep 1234' </dev/null >/dev/null 2>&1 3>&- &
	local client=$!
	sleeps() { kist exec c ps | grep -q 'sleep 1234'; }
	until_true 10 sleeps
	kill -9 $client
	gone() { ! sleeps; }
	until_true 10 gone
	run -0 kist rm -f -t 0 c
}

@test "exec: inspect and container cleanup of a session" {
	kist_only
	local session
	sleeper --name c >/dev/null
	session=$(kist exec -d -e A=b c sh -c 'test -e /go || sleep 1000')
	equal 'true c sh' "$(kist inspect --type exec --format '{{.Running}}' "$session") $(kist inspect --format '{{.Name}}' \
		"$(kist inspect --format '{{.ContainerID}}' "$session")") $(kist inspect --format '{{.ProcessConfig.entrypoint}}' "${session:0:12}")"
	run -125 kist container cleanup --exec "$session" c
	contains "$output" 'runs'
	run -125 kist container cleanup --exec nothing c
	run -125 kist container cleanup --all --exec "$session"
	kill -9 "$(kist inspect --format '{{.Pid}}' "$session")"
	ended() { equal false "$(kist inspect --format '{{.Running}}' "$session")"; }
	until_true 10 ended
	equal 137 "$(kist inspect --format '{{.ExitCode}}' "$session")"
	kist container cleanup --exec "$session" c >/dev/null
	kist container cleanup --rm --exec "$session" c >/dev/null
	run -125 kist inspect "$session"
	equal running "$(kist inspect --format '{{.State.Status}}' c)"
}
