#!/usr/bin/env bats
# Health checks: outcomes, times, a check that hangs, what follows, who is told.
load helpers

health_of()
{
	kist inspect --format '{{.State.Health.Status}}' "$1"
}

health_is()
{
	[ "$(health_of "$1")" = "$2" ]
}

becomes()
{
	until_true 20 health_is "$1" "$2" || fail "$1 is '$(health_of "$1")', not '$2': $(kist inspect --format '{{json .State.Health}}' "$1")"
}

@test "health: healthy, unhealthy, healthy again; ps, filters, wait and events tell" {
	kist_only
	kist run -d --name c --health-cmd 'test -f /well || { echo ill; exit 3; }' --health-interval 200ms --health-retries 2 busybox sleep 1000 >/dev/null
	kist wait --condition unhealthy c
	becomes c unhealthy
	contains "$(kist ps --format '{{.Status}}')" '(unhealthy)'
	equal c "$(kist ps --filter health=unhealthy --format '{{.Names}}')"
	equal '' "$(kist ps --filter health=healthy -q)"
	equal '3 ill' "$(kist inspect --format '{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}' c | xargs)"
	run -1 kist healthcheck run c
	equal unhealthy "$output"
	kist exec c touch /well
	kist wait --condition healthy c
	equal c "$(kist ps --filter health=healthy --format '{{.Names}}')"
	run -0 kist healthcheck run c
	equal '' "$output"
	equal 0 "$(kist inspect --format '{{.State.Health.FailingStreak}}' c)"
	[ "$(kist inspect --format '{{len .State.Health.Log}}' c)" -le 5 ] || fail 'the log grows'
	run -0 kist events --stream=false --filter event=health_status --format '{{.HealthStatus}}'
	equal 'starting unhealthy healthy' "$(uniq <<<"$output" | xargs)"
	# Nothing of it is on the disk.
	[ ! -e "$ROOT/containers/$(kist inspect --format '{{.Id}}' c)/health" ] || fail 'a file in the root directory'
	# Paused is not ill.
	kist pause c >/dev/null
	stays 10 health_is c healthy
	kist unpause c >/dev/null
	becomes c healthy
	equal 0 "$(kist inspect --format '{{.State.Health.FailingStreak}}' c)"
	kist rm -f -t 0 c >/dev/null
	engine_error kist run --rm --health-interval 1s busybox true
	engine_error kist run --rm --health-cmd true --health-retries 0 busybox true
	engine_error kist run --rm --health-cmd true --health-timeout 10ms busybox true
	engine_error kist run --rm --health-cmd true --health-interval often busybox true
	kist run -d --name d busybox sleep 1000 >/dev/null
	engine_error kist healthcheck run d
	engine_error kist wait --condition healthy d
}

@test "health: a check that hangs is killed with its children, its output bounded, and nothing else is held up" {
	kist_only
	kist run -d --name c --health-interval disable --health-timeout 1s --health-retries 1 --health-max-log-size 100 \
		--health-cmd 'sleep 4321 & setsid sh -c "setsid sleep 4321 & sleep 4321" & yes | head -c 10000000; sleep 4321' busybox sleep 1000 >/dev/null
	equal starting "$(health_of c)"
	run -1 kist healthcheck run c
	becomes c unhealthy
	equal -1 "$(kist inspect --format '{{(index .State.Health.Log 0).ExitCode}}' c)"
	none() { ! kist top c args | grep -q 4321; }
	until_true 10 none || fail "$(kist top c)"
	# Sessions and children of their own did not save any, and the check's cgroup is gone with them, or with the next check.
	equal '' "$(grep -l '[4]321' /proc/[0-9]*/cmdline 2>/dev/null | head -n 1)"
	# While one hangs, the monitor serves.
	kist healthcheck run c >/dev/null 2>&1 3>&- &
	local asked=$!
	equal hello "$(kist exec c echo hello)"
	wait $asked || true
	# Output without end is cut.
	kist run -d --name d --health-interval disable --health-max-log-size 100 --health-cmd 'yes | head -c 3000000' busybox sleep 1000 >/dev/null
	kist healthcheck run d
	equal 100 "$(kist inspect --format '{{(index .State.Health.Log 0).Output}}' d | head -c 100 | wc -c)"
	# A command that is not there is a failure with a reason.
	kist run -d --name e --health-interval disable --health-cmd '["CMD","/nosuch"]' busybox sleep 1000 >/dev/null
	run -1 kist healthcheck run e
	equal 127 "$(kist inspect --format '{{(index .State.Health.Log 0).ExitCode}}' e)"
}


@test "health: update changes the check of a container that runs, and takes it away; timers follow" {
	kist_only
	sleeper --name c >/dev/null
	engine_error kist update --health-interval 1s c
	contains "$stderr" 'no health check'
	equal '' "$(health_of c)"
	# Where there was none.
	kist update --health-cmd 'test -f /well' --health-interval 1h --health-retries 1 c >/dev/null
	becomes c unhealthy
	# The first of it was at once; the next would come in an hour.
	kist exec c touch /well
	kist update --health-interval 100ms --health-max-log-count 2 c >/dev/null
	becomes c healthy
	equal 'test -f /well' "$(kist inspect --format '{{index .Config.Healthcheck.Test 1}}' c)"
	equal 100000000 "$(kist inspect --format '{{.Config.Healthcheck.Interval}}' c)"
	few() { [ "$(kist inspect --format '{{len .State.Health.Log}}' c)" -le 2 ]; }
	until_true 10 few
	# Not by itself any more: nothing but a request finds out.
	kist update --health-interval disable c >/dev/null
	kist exec c rm /well
	run -1 kist healthcheck run c
	becomes c unhealthy
	kist exec c touch /well
	# Several of the old intervals.
	for _ in {1..20}; do kist exec c true; done
	equal unhealthy "$(health_of c)"
	# A check that hangs while the record changes ends with the old one.
	kist update --health-cmd 'sleep 4322' --health-interval 100ms c >/dev/null
	hangs() { kist top c args | grep -q 4322; }
	until_true 10 hangs
	kist update --no-healthcheck -l >/dev/null
	none() { ! hangs; }
	until_true 10 none || fail "$(kist top c)"
	equal '' "$(health_of c)"
	engine_error kist healthcheck run c
	kist update --health-cmd true --health-on-failure kill --health-startup-cmd false --health-startup-interval 50ms --health-startup-retries 2 c >/dev/null
	restarted() { [ "$(kist inspect --format '{{.Config.StartupHealthCheck.Retries}} {{.State.Status}}' c)" = '2 running' ] &&
		kist events --stream=false --filter event=restart --filter container=c | grep -q restart; }
	until_true 20 restarted || fail "$(kist events --stream=false | tail)"
	engine_error kist update --health-timeout 1ms c
	engine_error kist update --no-healthcheck --health-cmd true c
	engine_error kist update --health-cmd true
	equal 'true' "$(kist inspect --format '{{index .Config.Healthcheck.Test 1}}' c)"
	# Stopped: from the next start on.
	kist stop -t 0 c >/dev/null
	kist update --health-startup-cmd true --health-interval 100ms c >/dev/null
	kist start c >/dev/null
	becomes c healthy
}

@test "health: on failure the container is killed, stopped or restarted" {
	kist_only
	local args=(--health-cmd false --health-interval 100ms --health-retries 1)
	kist run -d --name kill "${args[@]}" --health-on-failure kill busybox sleep 1000 >/dev/null
	equal 137 "$(kist wait kill)"
	sleeper --name stop "${args[@]}" --health-on-failure stop >/dev/null
	equal 0 "$(kist wait stop)"
	# Ill at first, and well once it was restarted.
	kist run -d --name restart --health-cmd 'test -f /again' --health-interval 300ms --health-retries 2 --health-on-failure restart --stop-timeout 0 \
		busybox sh -c 'if [ -f /first ]; then touch /again; fi; touch /first; exec sleep 1000' >/dev/null
	kist wait --condition healthy restart
	equal 2 "$(kist events --stream=false --filter container=restart --filter event=start | wc -l)"
}

# Beside a check that restarts it every 0.3 s, by its failures and by those of its startup check.
restarted_by_check()
{
	kist run -d --name c --stop-timeout "$1" --health-cmd false --health-interval 300ms --health-retries 1 --health-on-failure restart busybox "${@:2}" >/dev/null
}

@test "health: a stop, a kill, a removal and a pause are final beside restarts by a check, whenever they come" {
	kist_only
	local command rounds=${KIST_TEST_CYCLES:-3}
	# Ends of SIGTERM at once, or of SIGKILL alone.
	for command in 'trap "exit 0" TERM; while :; do sleep 0.05; done' 'trap "" TERM; while :; do sleep 0.05; done'; do
		restarted_by_check 0 sh -c "$command"
		is_final stop "$rounds" 700
		is_final kill "$rounds" 700
		kist rm -f -t 0 c >/dev/null
		removal_is_final "$rounds" 700 restarted_by_check 0 sh -c "$command"
		restarted_by_check 1 sh -c "$command"
		is_final pause "$rounds" 700
		run -0 kist stop -t 0 c
		stays 5 state_is c exited
		kist rm c >/dev/null
	done
	# What it does beside nobody.
	restarted_by_check 0 sleep 1000
	again() { [ "$(kist events --stream=false --filter container=c --filter event=restart | wc -l)" -ge 3 ]; }
	until_true 20 again
	equal 0 "$(kist inspect --format '{{.RestartCount}}' c)"
}

@test "health: a restart by a check keeps the clients, outlives the killing of the monitor, and is none of the policy's" {
	kist_only
	local c
	# The foreground command stays, as it does with a policy; --rm waits for the last end.
	run -0 kist run --rm --name front --tmpfs /run/up --health-cmd 'test ! -e /run/up/ill' --health-interval 100ms --health-retries 1 --health-on-failure restart --stop-timeout 0 \
		busybox sh -c 'echo up; [ ! -e /again ] || exec sleep 0.5; touch /again /run/up/ill; sleep 1000'
	equal 'up up' "$(xargs <<<"$output")"
	run -1 kist container exists front
	# Killed while it stops its container for another run: the next command carries on.
	restarted_by_check 100 sh -c 'trap "" TERM; while :; do sleep 0.05; done'
	in_state c stopping
	c=$(kist inspect --format '{{.Id}}' c)
	kill -9 "$(sed -n 's/^monitor_pid=//p' "$ROOT/containers/$c/state")"
	came_back() { kist inspect c >/dev/null && kist events --stream=false --filter container=c --filter event=restart | grep -q restart; }
	until_true 10 came_back
	run -0 kist rm -f -t 0 c
}

@test "health: start period, startup check, no check, a file of outcomes" {
	kist_only
	kist run -d --name c --health-cmd false --health-interval 100ms --health-retries 1 --health-start-period 1h busybox sleep 1000 >/dev/null
	several() { [ "$(kist inspect --format '{{len .State.Health.Log}}' c)" -ge 3 ]; }
	until_true 10 several
	equal starting "$(health_of c)"
	mkdir "$STORE/log"
	kist run -d --name d --health-startup-cmd 'test -f /up' --health-startup-interval 100ms --health-cmd true --health-interval 100ms \
		--health-log-destination "$STORE/log" busybox sleep 1000 >/dev/null
	equal starting "$(health_of d)"
	kist exec d touch /up
	becomes d healthy
	grep -q '"ExitCode":0' "$STORE"/log/*-healthcheck.log
	equal 'CMD-SHELL' "$(kist inspect --format '{{index .Config.Healthcheck.Test 0}}' d)"
	equal '' "$(kist ps -a --filter health=none -q)"
	kist run -d --name e --no-healthcheck busybox sleep 1000 >/dev/null
	equal e "$(kist ps --filter health=none --format '{{.Names}}')"
}
