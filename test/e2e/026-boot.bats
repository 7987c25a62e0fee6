#!/usr/bin/env bats
# What init scripts and supervisors do: dependencies, boot, shutdown, reboots, services in the foreground.
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

started()
{
	inspect "$1" State.StartedAt
}

# Processes of this store die, as with the power; then another boot. 'kept': the run directory is not on a tmpfs.
reboot()
{
	local file
	for file in $(sed -n 's/^monitor_pid=//p; s/^pid=//p' "$ROOT"/containers/*/state 2>/dev/null); do
		kill -9 "$file" 2>/dev/null || true
	done
	gone() { [ -z "$(find "$CGROUP/kist" -name cgroup.procs -exec cat {} + 2>/dev/null)" ]; }
	until_true 10 gone
	find "$CGROUP/kist" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
	[ "${1:-}" = kept ] || rm -rf "$RUNROOT"
	umount /proc/sys/kernel/random/boot_id 2>/dev/null || true
	cat /proc/sys/kernel/random/uuid >"$STORE/boot_id"
	mount --bind "$STORE/boot_id" /proc/sys/kernel/random/boot_id
}

teardown()
{
	umount /proc/sys/kernel/random/boot_id 2>/dev/null || true
	teardown_store
}

@test "dependencies: started first, in order; checked by restart; removed on request; circles refused" {
	sleeper_of() { kist create --name "$@" busybox sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done' >/dev/null; }
	sleeper_of a
	sleeper_of b --requires a
	sleeper_of c --requires b --network container:a
	sleeper_of d --requires a,c
	run -0 kist start d
	for name in a b c d; do equal running "$(state_of $name)"; done
	[[ $(started a) < $(started b) && $(started b) < $(started c) && $(started c) < $(started d) ]]
	equal 2 "$(kist inspect --format '{{len .Dependencies}}' d)"
	# What is depended upon can be stopped, and then restart refuses and start does not.
	run -0 kist stop -t 3 a
	engine_error kist restart b
	contains "$stderr" 'not running: a'
	run -0 kist stop -t 3 b c d
	run -0 kist start c
	equal running "$(state_of a)"
	equal running "$(state_of b)"
	equal exited "$(state_of d)"
	# All at once, backwards.
	run -0 kist stop -a -t 3
	run -0 kist start --all
	equal 4 "$(kist ps -q | wc -l)"
	run kist rm -f -t 0 a
	equal 2 "$status"
	contains "$output" --depend
	run -0 kist rm -f -t 0 --depend a
	equal '' "$(kist ps -aq)"
	engine_error kist create --requires nosuch busybox true
	# Only a record that was edited can hold a circle.
	sleeper_of x
	sleeper_of y --requires x
	local config
	config=$ROOT/containers/$(inspect x Id)/config
	cp "$config" "$STORE/config"
	sed -i '/^#sum=/d' "$config"
	echo "required.0=$(inspect y Id)" >>"$config"
	printf '#sum=%s\n' "$(gzip -c <"$config" | tail -c 8 | od -An -N4 -tx4 | tr -d ' \n')" >>"$config"
	engine_error kist start y
	contains "$stderr" 'in a circle'
	engine_error kist rm --depend x
	contains "$stderr" 'in a circle'
	run -0 kist ps -a
	cp "$STORE/config" "$config"
}

@test "shutdown: afterwards nothing has the store open, it can be unmounted" {
	local round keep=$ROOT
	mkdir "$STORE/disk"
	for round in 1 2 3 4 5; do
		mount -t tmpfs -o size=20m tmpfs "$STORE/disk"
		ROOT=$STORE/disk/root
		import_busybox
		run -0 kist run -d --rm --stop-timeout 0 busybox sleep 1000
		run -0 kist run -d --rm --stop-timeout 0 -v vol:/v busybox sleep 1000
		run -0 kist run -d --stop-timeout 0 busybox sleep 1000
		run -0 kist shutdown
		[ ! -e "$CGROUP/kist" ] || fail "round $round: $(find "$CGROUP/kist" -type d)"
		ROOT=$keep
		umount "$STORE/disk" || fail "round $round: it is busy"
		# The run directory is of a store that is gone.
		rm -rf "${RUNROOT:?}"/*
	done
}

@test "boot and shutdown: policies, over reboots with the run directory emptied and kept" {
	sleeper --name always --restart always >/dev/null
	sleeper --name unless --restart unless-stopped >/dev/null
	sleeper --name stopped --restart unless-stopped >/dev/null
	sleeper --name halted --restart always >/dev/null
	sleeper --name failing --restart on-failure >/dev/null
	sleeper --name plain >/dev/null
	kist create --name needs --requires always,plain --restart always busybox sleep 1000 >/dev/null
	kist create --name waits --restart always busybox true >/dev/null
	run -0 kist stop -t 3 stopped halted
	for how in emptied kept; do
		reboot $how
		run -0 kist ps -q
		equal '' "$output"
		equal 'created or exited' "$([[ $(state_of always) =~ ^(created|exited)$ ]] && echo created or exited)"
		# In the order of dependencies; what was required comes too, whatever its policy.
		run -0 kist boot
		equal 'always unless halted needs waits' "$(xargs <<<"$output")"
		equal running "$(state_of always)"
		equal running "$(state_of unless)"
		equal running "$(state_of halted)"
		equal running "$(state_of plain)"
		equal running "$(state_of needs)"
		[ "$(state_of stopped)" != running ]
		[ "$(state_of failing)" != running ]
		# Once more: nothing is left to do.
		run -0 kist boot
		lacks "$output" always
	done
	# Shutdown: all stop, also what waits for its next run and what is frozen; it is no user's stop.
	kist pause unless >/dev/null
	run -0 kist shutdown -t 3
	contains "$output" waits
	[[ $(xargs <<<"$output") == *needs*always* ]]
	nothing_runs() { [ -z "$(kist ps -q)" ]; }
	stays 5 nothing_runs
	run -0 kist boot
	equal 'always unless halted needs waits' "$(xargs <<<"$output")"
	# SIGTERM to a monitor is the host's shutdown too.
	local monitor
	monitor=$(sed -n 's/^monitor_pid=//p' "$ROOT/containers/$(inspect unless Id)/state")
	kill "$monitor"
	in_state unless exited
	equal 0 "$(inspect unless RestartCount)"
	run -0 kist boot
	equal unless "$(grep -v waits <<<"$output")"
	# A user's stop is remembered by unless-stopped, and taken back by a start.
	run -0 kist stop -t 3 unless
	run -0 kist start stopped
	reboot
	run -0 kist boot
	equal 'always stopped halted needs waits' "$(xargs <<<"$output")"
}

@test "boot waits for the health that others need, and for nothing else; pods come back in order" {
	local boot code=0
	mkdir "$STORE/gate"
	kist create --name db --restart always --sdnotify healthy --health-cmd 'test -f /gate/open' --health-interval 100ms --health-retries 1000 \
		-v "$STORE/gate:/gate:ro" busybox sleep 1000 >/dev/null
	kist create --name web --restart always --requires db busybox sleep 1000 >/dev/null
	kist create --name front --restart always --requires web busybox sleep 1000 >/dev/null
	kist create --name other --restart always busybox sleep 1000 >/dev/null
	kist pod create --name pod >/dev/null
	kist create --pod pod --name second --restart unless-stopped busybox sleep 1000 >/dev/null
	kist create --pod pod --name first --restart always busybox sleep 1000 >/dev/null
	kist create --pod pod --name third --requires second,first --restart always busybox sleep 1000 >/dev/null
	kist create --pod pod --name idle busybox sleep 1000 >/dev/null
	reboot
	$(kist_command) boot >"$STORE/boot" 2>&1 3>&- &
	boot=$!
	in_state other running 20
	in_state third running 20
	equal running "$(state_of db)"
	equal created "$(state_of web)"
	kill -0 "$boot"
	touch "$STORE/gate/open"
	wait "$boot" || code=$?
	equal 0 "$code" "$(cat "$STORE/boot")"
	equal running "$(state_of web)"
	equal running "$(state_of front)"
	[[ $(started db) < $(started web) && $(started web) < $(started front) && $(started other) < $(started web) ]]
	# The pod: its infra container first, policies kept, what has none is left alone.
	[[ $(started second) < $(started third) && $(started first) < $(started third) ]]
	equal Degraded "$(kist pod inspect --format '{{.State}}' pod)"
	equal created "$(state_of idle)"
	for name in first second third; do
		equal "$(readlink "/proc/$(pid_of "$(kist pod inspect --format '{{.InfraContainerID}}' pod)")/ns/net")" "$(readlink "/proc/$(pid_of $name)/ns/net")"
	done
	# It comes back by its policy too, when it ends by itself, in the same namespaces.
	kill -9 "$(pid_of first)"
	counted() { [ "$(inspect first RestartCount)" = 1 ]; }
	until_true 10 counted
	in_state first running
	# And so after a stop by the host, which is the reverse.
	run -0 kist shutdown -t 0
	[[ $(xargs <<<"$output") == *front*web*db* ]]
	equal '' "$(kist ps -q)"
	# Unhealthy, or ended: what requires it is not started, and says why; all else comes up.
	rm "$STORE/gate/open"
	kist update --restart no other >/dev/null
	kist create --name ill --restart always --sdnotify healthy --health-cmd false --health-interval 50ms --health-retries 1 busybox sleep 1000 >/dev/null
	kist create --name needs --restart always --requires ill busybox true >/dev/null
	engine_error kist start needs
	contains "$stderr" 'ill, which must be healthy, is unhealthy'
	equal created "$(state_of needs)"
	kist create --name ends --sdnotify healthy --health-cmd false --health-interval 1s busybox false >/dev/null
	kist create --name after --requires ends busybox true >/dev/null
	engine_error kist start after
	contains "$stderr" 'ends, which must be healthy, ended'
	touch "$STORE/gate/open"
	run -125 kist boot
	contains "$output" 'start needs: container ill, which must be healthy'
	equal running "$(state_of web)"
	engine_error kist create --sdnotify healthy --health-cmd true --health-interval disable busybox true
}

@test "services: the foreground forms under a supervisor, and what they leave to it" {
	kist create --name web --pidfile "$STORE/pid" --conmon-pidfile "$STORE/monitor" busybox sh -c 'trap "exit 6" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
	$(kist_command) start --attach web >"$STORE/out" 2>&1 3>&- &
	local front=$! code=0
	until_true 10 grep -q up "$STORE/out"
	equal "$(pid_of web)" "$(cat "$STORE/pid")"
	equal "$(inspect web State.ConmonPid)" "$(cat "$STORE/monitor")"
	equal "$STORE/monitor" "$(inspect web ConmonPidFile)"
	# The supervisor's SIGTERM goes on to the container, whose code comes back.
	kill "$front"
	wait "$front" || code=$?
	equal 6 "$code"
	# A foreground command that was killed leaves a container that runs: the next one takes it over.
	$(kist_command) start --attach web >/dev/null 2>&1 3>&- &
	front=$!
	in_state web running
	kill -9 "$front"
	wait "$front" || true
	$(kist_command) start --attach web >"$STORE/again" 2>&1 3>&- &
	front=$!
	attached() { [ "$(find "/proc/$front/fd" -lname 'socket:*' | wc -l)" -gt 0 ]; }
	until_true 10 attached
	kist stop -t 3 web >/dev/null
	code=0
	wait "$front" || code=$?
	equal 6 "$code"
	# The service files: shell where they are shell.
	for file in busybox/rc.kist sysvinit/kist runit/kist/run runit/kist/finish runit/kist-web/run s6/kist-web/run; do
		sh -n "$BATS_TEST_DIRNAME/../../contrib/init/$file"
	done
	ln -s "$KIST" "$STORE/kist"
	kist update --restart always web >/dev/null
	export KIST_ROOT=$ROOT KIST_RUNROOT=$RUNROOT
	PATH=$STORE:$PATH run -0 "$BATS_TEST_DIRNAME/../../contrib/init/sysvinit/kist" start
	equal web "$output"
	PATH=$STORE:$PATH run -0 "$BATS_TEST_DIRNAME/../../contrib/init/busybox/rc.kist" stop
	equal web "$output"
	unset KIST_ROOT KIST_RUNROOT
}

@test "init, cleanup, container prune, update, timeout" {
	local id
	id=$(kist create --name c busybox sh -c 'echo ran; exit 3')
	run -0 kist init c
	equal c "$output"
	equal initialized "$(state_of c)"
	[ "$(pid_of c)" -gt 0 ]
	engine_error kist init c
	# Its network, root and first process are there, and nothing has run.
	equal '' "$(kist logs c)"
	run -0 kist container cleanup c
	equal created "$(state_of c)"
	run -0 kist init c
	run -3 kist start -a c
	equal ran "$output"
	run -0 kist container cleanup c
	equal exited "$(state_of c)"
	sleeper --name up >/dev/null
	engine_error kist container cleanup up
	run -0 kist container cleanup --rm c
	run -1 kist container exists "$id"
	# A run that takes too long is killed.
	run -137 kist run --name long --timeout 1 busybox sleep 1000
	# Limits, at once and later.
	if has_controller memory && has_controller pids; then
		local group
		group=$CGROUP$(inspect up State.CgroupPath)
		run -0 kist update --memory 64m --pids-limit 77 up
		equal 67108864 "$(cat "$group/memory.max")"
		equal 77 "$(cat "$group/pids.max")"
		run -0 kist update --memory-reservation 8m up
		equal 67108864 "$(inspect up HostConfig.Memory)"
		equal 8388608 "$(inspect up HostConfig.MemoryReservation)"
		run -0 kist restart -t 2 up
		equal 67108864 "$(cat "$CGROUP$(inspect up State.CgroupPath)/memory.max")"
	fi
	run -0 kist update --restart on-failure:4 up
	equal 'on-failure 4' "$(kist inspect --format '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' up)"
	kill -9 "$(pid_of up)"
	counted() { [ "$(inspect up RestartCount)" = 1 ]; }
	until_true 10 counted
	in_state up running
	run -0 kist update --cpus 0 --memory 0 up
	equal '0 0 0' "$(kist inspect --format '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' up)"
	engine_error kist update up
	engine_error kist update --restart often up
	engine_error kist update --memory 1x up
	# What does not run is checked too, and swap that was never asked for is in nobody's way.
	kist create --name limited --memory 64m --cpus 1 busybox true >/dev/null
	has_controller memory || {
		engine_error kist update --memory 32m limited
		equal 67108864 "$(inspect limited HostConfig.Memory)"
	}
	run -0 kist update --memory 0 --cpus 0 limited
	equal '0 0 0' "$(kist inspect --format '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' limited)"
	run -0 kist start limited
	kist wait limited >/dev/null
	kist rm limited >/dev/null
	# Prune leaves what runs, and what will.
	$(kist_command) --set restart_delay=20 --set restart_delay_max=20 run -d --name loops --restart always busybox false >/dev/null
	kist create --name old --label old=1 busybox true >/dev/null
	run -0 kist container prune -f --filter label=old
	equal 1 "$(wc -l <<<"$output")"
	run -1 kist container exists old
	local n
	for n in {1..12}; do
		run -0 kist container prune -f
		equal 'loops up' "$(kist ps -a --format '{{.Names}}' | sort | xargs)" "after prune $n"
	done
}

@test "stop with a long grace time keeps nobody waiting" {
	local n start code=0
	for n in 1 2 3; do
		kist run -d --name "c$n" busybox sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
		until_true 10 log_has "c$n" ready
	done
	kist stop -t 50 c1 >"$STORE/stop1" 2>&1 3>&- &
	local first=$!
	kist stop -t 50 c2 >"$STORE/stop2" 2>&1 3>&- &
	local second=$!
	in_state c1 stopping
	in_state c2 stopping
	# Processor time, which a busy machine does not stretch as it does the clock's; waiting would show in neither, so
	# the clock bounds it too, far below the grace time.
	start=$SECONDS
	run -0 kist ps -a
	run -0 kist inspect c1
	run -0 kist stop -t 0 c1
	run -0 kist rm -f -t 0 c2
	wait "$first" || code=$?
	equal 0 "$code" 'the first stop'
	wait "$second" || code=$?
	equal 0 "$code" 'the stop of what was removed'
	equal exited "$(state_of c1)"
	kist stop -t 50 c3 >/dev/null 2>&1 3>&- &
	first=$!
	in_state c3 stopping
	run -0 kist kill c3
	wait "$first" || code=$?
	equal 0 "$code" 'the stop of what was killed'
	equal 137 "$(inspect c3 State.ExitCode)"
	[ $((SECONDS - start)) -lt 40 ]
}

# The least of what some tries of a command took, in microseconds: what else the machine does only adds to it.
least_of()
{
	local least=999999999 begun took name
	for name in "$1"{1..4}; do
		begun=${EPOCHREALTIME/./}
		"${@:2}" "$name" >/dev/null || fail "$* $name"
		took=$((${EPOCHREALTIME/./} - begun))
		[ "$took" -ge "$least" ] || least=$took
	done
	echo "$least"
}

ps_beside()
{
	kist ps -a
}

@test "what is asked beside a stop in flight takes about as long as without it" {
	local n name what plain beside code
	local -A commands=([ps]=ps_beside [inspect]='kist inspect' [kill]='kist kill -s CONT' [stop]='kist stop -t 0' [rm]='kist rm -f -t 0') pids=()
	# Four of each kind: 'a' are stopped by the second command alone, 'b' are being stopped already.
	for n in 1 2 3 4; do
		for name in "a$n" "b$n" "c$n" "d$n"; do
			kist run -d --name "$name" busybox sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
		done
	done
	for n in 1 2 3 4; do
		for name in "b$n" "d$n"; do
			until_true 10 log_has "$name" ready
			kist stop -t 500 "$name" >/dev/null 2>&1 3>&- &
			pids[$name]=$!
			in_state "$name" stopping
		done
	done
	for what in ps inspect kill stop rm; do
		# Of 'c' and 'd' for rm: the others are stopped by then.
		# shellcheck disable=SC2086 # commands are words
		plain=$(least_of "$([ $what = rm ] && echo c || echo a)" ${commands[$what]}) \
			beside=$(least_of "$([ $what = rm ] && echo d || echo b)" ${commands[$what]})
		echo "# $what: $plain us alone, $beside us beside a stop" >&3
		# Who waited for the stop would wait for minutes; a busy machine stretches both.
		[ "$beside" -le $((plain * 4 + 50000)) ] || fail "$what: $plain us alone, $beside us beside a stop"
	done
	# The first stops return, each with success: what they wanted is so.
	for name in "${!pids[@]}"; do
		code=0
		wait "${pids[$name]}" || code=$?
		equal 0 "$code" "the stop of $name"
	done
}
