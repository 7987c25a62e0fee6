#!/usr/bin/env bats
# Restart policies: what the monitor does when a container ends, and what commands do meanwhile.
load helpers

setup()
{
	kist_only
	setup_store
}

inspect()
{
	kist inspect --type container --format "{{.$2}}" "$1"
}

restarts_at_least()
{
	[ "$(inspect "$1" RestartCount)" -ge "$2" ]
}

restarting()
{
	[ "$(inspect "$1" State.Restarting)" = true ]
}

monitor_of()
{
	sed -n 's/^monitor_pid=//p' "$ROOT/containers/$(inspect "$1" Id)/state"
}

@test "restart policies: runs, counts, codes and the end" {
	# on-failure:N gives up after N restarts, with the last code.
	kist run -d --name limited --restart on-failure:2 busybox sh -c 'echo run >>/runs; exit 7' >/dev/null
	equal 7 "$(kist wait limited)"
	equal 2 "$(inspect limited RestartCount)"
	equal 'on-failure 2' "$(kist inspect --format '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' limited)"
	equal exited "$(state_of limited)"
	equal 'run run run' "$(kist cp limited:/runs - | tar -xO | xargs)"
	# A start by hand counts anew.
	kist start limited >/dev/null
	equal 7 "$(kist wait limited)"
	equal 2 "$(inspect limited RestartCount)"
	# on-failure ends with success.
	run -0 kist run --name fine --restart on-failure busybox sh -c 'test -e /second || { touch /second; exit 3; }'
	equal 1 "$(inspect fine RestartCount)"
	# no and never: nothing.
	run -4 kist run --name once --restart never busybox sh -c 'exit 4'
	equal '0 no' "$(kist inspect --format '{{.RestartCount}} {{.HostConfig.RestartPolicy.Name}}' once)"
	# always, after success too; the foreground command stays and has the output of every run.
	run -0 kist run -d --name always --restart always busybox sh -c 'echo again; sleep 0.05'
	until_true 10 restarts_at_least always 3
	run -0 kist ps --format '{{.Names}} {{.Restarts}}' --filter name=always
	run -0 kist stop -t 2 always
	equal exited "$(state_of always)"
	equal false "$(inspect always State.Restarting)"
	[ "$(kist logs always | grep -c again)" -ge 4 ]
	equal 2 "$(kist run --name front --restart on-failure:1 busybox sh -c 'echo out; exit 1' | grep -c out)"
	# What makes no sense is refused.
	engine_error kist create --restart sometimes busybox true
	engine_error kist create --restart always:3 busybox true
	engine_error kist create --restart on-failure:x busybox true
	engine_error kist create --rm --restart always busybox true
}

@test "restart policies: stop, kill, start, restart and rm work at once while a run is awaited" {
	local name before
	for name in stop kill start restart rm; do
		kist run -d --name "$name" --restart always busybox sh -c 'exit 3' >/dev/null
	done
	for name in stop kill start restart rm; do
		# From the fourth restart on the pause is 0.8 s and more.
		until_true 20 restarts_at_least "$name" 4
		until_true 10 restarting "$name"
	done
	# It may be up for a moment when it is looked at.
	shown_restarting() { [[ $(kist ps -a --filter name=stop --format '{{.Status}}') == *'Restarting (3)'* ]]; }
	until_true 20 shown_restarting
	run -0 kist stop stop
	equal exited "$(state_of stop)"
	until_true 10 restarting kill
	run -0 kist kill kill
	in_state kill exited
	before=$(inspect start RestartCount)
	until_true 10 restarting start
	run -0 kist start start
	[ "$(inspect start RestartCount)" -lt "$before" ]
	before=$(inspect restart RestartCount)
	run -0 kist restart restart
	[ "$(inspect restart RestartCount)" -lt "$before" ]
	until_true 10 restarting rm
	run -0 kist rm rm
	run -0 kist rm -f -t 0 start restart
	# A stopped one stays so.
	stays 5 state_is stop exited
	stays 2 state_is kill exited
}

@test "restart policies: a stop, a kill, a removal and a pause are final, whenever they come" {
	local rounds=${KIST_TEST_CYCLES:-4} fast
	fast="$(kist_command) --set restart_delay=30 --set restart_delay_max=30"
	crashing() { $fast run -d --name c --restart always busybox sh -c 'sleep 0.05; exit 3' >/dev/null; }
	crashing
	is_final stop "$rounds" 300
	is_final kill "$rounds" 300
	is_final pause "$rounds" 300
	kist rm -f -t 0 c >/dev/null
	removal_is_final "$rounds" 300 crashing
}

@test "restart: a stop beside it is what holds, and a stop whose command is killed is carried out all the same" {
	local i pid code=0
	kist run -d --name c busybox sh -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done' >/dev/null
	until_true 10 log_has c ready
	kist restart -t 100 c >/dev/null 2>"$STORE/restart.err" 3>&- &
	pid=$!
	in_state c stopping
	run -0 kist stop -t 0 c
	# Not by run: its shell is not the parent.
	wait "$pid" || code=$?
	equal 125 "$code"
	contains "$(cat "$STORE/restart.err")" 'another command stopped it meanwhile'
	stays 5 state_is c exited
	# A kill only hurries it.
	kist start c >/dev/null
	kist restart -t 100 c >/dev/null 3>&- &
	pid=$!
	in_state c stopping
	run -0 kist kill c
	wait "$pid"
	equal running "$(state_of c)"
	# Several at once: at the end it is stopped.
	for i in 1 2 3 4 5; do
		kist restart -t 0 c >/dev/null 2>&1 3>&- &
		kist restart -t 0 c >/dev/null 2>&1 3>&- &
		sleep "0.0$((RANDOM % 10))"
		run -0 kist stop -t 0 c
		wait
		kist stop -t 0 c >/dev/null
		equal exited "$(state_of c)" "round $i"
		run -0 kist start c
	done
	# Nobody waits for the end of the grace time but the monitor.
	for i in stop restart 'rm -f'; do
		in_state c running
		# shellcheck disable=SC2086 # two words
		$(kist_command) $i -t 2 c >/dev/null 2>&1 3>&- &
		pid=$!
		in_state c stopping
		kill -9 "$pid"
		in_state c exited 20
		equal 137 "$(inspect c State.ExitCode)"
		kist start c >/dev/null
	done
}

@test "restart policies: a user's signal is not an end by itself, a crash is" {
	kist run -d --name c --restart unless-stopped busybox sh -c 'trap "exit 1" HUP; echo ready; while :; do sleep 0.1; done' >/dev/null
	until_true 10 log_has c ready
	local pid
	pid=$(pid_of c)
	kill -9 "$pid"
	until_true 10 restarts_at_least c 1
	in_state c running
	ready_again() { [ "$(kist logs c | grep -c ready)" -ge "$1" ]; }
	until_true 10 ready_again 2
	# SIGHUP is no request to stop: that the container ends of it is a crash.
	kist kill -s HUP c >/dev/null
	until_true 10 restarts_at_least c 2
	in_state c running
	run -0 kist kill c
	in_state c exited
	equal 2 "$(inspect c RestartCount)"
	equal 137 "$(inspect c State.ExitCode)"
}

@test "restart policies: the monitor is killed, and the container comes back" {
	sleeper --name up --restart always >/dev/null
	kist run -d --name waits --restart always busybox sh -c 'exit 1' >/dev/null
	kist run -d --name on --restart on-failure:5 busybox sleep 1000 >/dev/null
	local old
	old=$(pid_of up)
	kill -9 "$(monitor_of up)" "$(monitor_of on)"
	until_true 10 restarts_at_least waits 3
	until_true 10 restarting waits
	kill -9 "$(monitor_of waits)" || true
	# The next call takes care of it, whichever it is.
	run -0 kist ps -a
	until_true 10 restarts_at_least up 1
	until_true 10 restarts_at_least on 1
	in_state up running
	in_state on running
	[ "$old" != "$(pid_of up)" ]
	until_true 20 restarts_at_least waits 4
	# It is watched again, and can be stopped and removed.
	kill -9 "$(pid_of up)"
	until_true 10 restarts_at_least up 2
	run -0 kist stop -t 2 up
	run -0 kist rm up
	kill -9 "$(monitor_of on)"
	run -0 kist rm -f -t 0 on waits
	clean
}

@test "restart policies: clients stay attached, in and out" {
	kist run -i --name c --restart on-failure:2 busybox sh -c 'read x; echo "got $x"; exit 5' >"$STORE/out" 3>&- < <(
		until_true 10 state_is c running
		echo one
		until_true 10 grep -q one "$STORE/out"
		until_true 10 state_is c running
		echo two
		until_true 10 grep -q two "$STORE/out"
		until_true 10 restarts_at_least c 2
		until_true 10 state_is c running
		echo three
	) || [ $? -eq 5 ]
	equal 'got one got two got three' "$(xargs <"$STORE/out")"
}

@test "restart policies: 8 containers crash-loop; codes are right, monitors do not grow" {
	# 125: the thousand cycles of a long run.
	local i cycles=${KIST_TEST_CYCLES:-10} fast=(--set restart_delay_max=1)
	for i in 1 2 3 4 5 6 7 8; do
		$(kist_command) "${fast[@]}" run -d --name "c$i" --restart "on-failure:$cycles" busybox sh -c "echo x; exit $((i + 10))" >/dev/null
	done
	for i in 1 2 3 4 5 6 7 8; do
		equal $((i + 10)) "$(E2E_TIMEOUT=$((60 + cycles * 5)) kist wait "c$i")"
		equal "$cycles" "$(inspect "c$i" RestartCount)"
		equal $((cycles + 1)) "$(kist logs "c$i" | wc -l)"
	done
	kist rm -a >/dev/null
	# A monitor over many runs: after the first ones it neither grows nor keeps anything open.
	# Twice it stays up, to be looked at.
	$(kist_command) "${fast[@]}" run -d --name m --restart always busybox sh -c \
		"echo >>/runs; case \$(wc -l </runs) in 4|$((cycles * 2 + 4))) sleep 1000 ;; esac; exit 1" >/dev/null
	local monitor first last
	monitor=$(monitor_of m)
	measure()
	{
		until_true 60 restarts_at_least m "$1"
		in_state m running
		# Its memory is trimmed once the start is done.
		until_true 10 sh -c "! grep -q '^State:.*R' /proc/$monitor/status"
		echo "$(find "/proc/$monitor/fd" -mindepth 1 | wc -l) $(awk '/^RssAnon:/ { print $2 }' "/proc/$monitor/status")"
	}
	first=$(measure 3)
	kill -9 "$(pid_of m)"
	last=$(measure $((cycles * 2 + 3)))
	equal "$monitor" "$(monitor_of m)" 'the same monitor'
	echo "descriptors and KiB: $first, then $last"
	equal "${first% *}" "${last% *}" 'descriptors'
	[ "${last#* }" -le $((${first#* } + 32)) ] || fail "the monitor grew: $first, then $last"
	run -0 kist rm -f -t 0 m
}
