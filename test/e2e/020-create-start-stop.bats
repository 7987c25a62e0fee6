#!/usr/bin/env bats
# The life of a container, call by call.
load helpers

@test "a start that fails leaves what has run exited, with its code" {
	mkdir "$STORE/source"
	run -4 kist run --name c -v "$STORE/source:/source" busybox sh -c 'exit 4'
	rmdir "$STORE/source"
	engine_error kist start c
	equal 'exited 4' "$(kist inspect --format '{{.State.Status}} {{.State.ExitCode}}' c)"
	contains "$(kist ps -a --format '{{.Status}}')" 'Exited (4)'
	kist rm c >/dev/null
}

@test "stop -a: dependents first, so that who shares a PID namespace ends by its own signal" {
	kist_only
	local trap='trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done' name
	kist run -d --name owner busybox sh -c "$trap" >/dev/null
	kist run -d --name guest --pid container:owner busybox sh -c "$trap" >/dev/null
	kist run -d --name further --pid container:guest --requires guest busybox sh -c "$trap" >/dev/null
	for name in owner guest further; do
		until_true 10 log_has $name ready
	done
	run -0 kist stop -a -t 20
	equal 3 "${#lines[@]}"
	for name in owner guest further; do
		equal 'exited 7' "$(kist inspect --format '{{.State.Status}} {{.State.ExitCode}}' $name)"
	done
	# Only those that run are restarted, only those are killed.
	kist start owner >/dev/null
	run -0 kist restart --running -t 5
	equal 1 "${#lines[@]}"
	equal 'running exited exited' "$(state_of owner) $(state_of guest) $(state_of further)"
	kist start guest >/dev/null
	kist pause guest >/dev/null
	run -0 kist kill -a -s KILL
	# The end of the namespace's first process may be the guest's before its turn comes.
	contains "$output" "$(kist inspect --format '{{.Id}}' owner)"
	kist unpause guest >/dev/null 2>&1 || true
	for name in owner guest; do in_state $name exited; done
	# Every state can be waited for by name, and no other word.
	local waits=()
	for name in configured created exited initialized paused removing running stopped stopping unknown; do
		E2E_TIMEOUT=3 kist wait --condition "$name" owner >"$STORE/wait.$name" 2>&1 3>&- &
		waits+=($!)
	done
	for name in "${waits[@]}"; do
		wait "$name" || [ $? -eq 124 ] || fail "$(cat "$STORE"/wait.*)"
	done
	matches '^[0-9]+$' "$(cat "$STORE/wait.exited")"
	engine_error kist wait --condition healthy owner
	engine_error kist wait --condition asleep owner
}

@test "create: makes it, runs nothing" {
	run -0 kist create --name c busybox touch /made
	matches "$FULL_ID" "$output"
	equal created "$(state_of c)"
	equal 0 "$(pid_of c)"
	equal '' "$(kist ps -q)"
}

@test "start: runs what was created and prints the name that was given" {
	kist create --name c busybox sh -c 'echo started' >/dev/null
	run -0 kist start c
	equal c "$output"
	in_state c exited
	equal started "$(kist logs c)"
}

@test "start: -a attaches and gives the exit code" {
	kist create --name c busybox sh -c 'echo here; exit 9' >/dev/null
	run -9 kist start -a c
	equal here "$output"
	run -9 kist start --attach c
}

@test "start: -a -i passes stdin on" {
	kist create -i --name c busybox cat >/dev/null
	equal text "$(echo text | kist start -a -i c)"
}

@test "start: a running container stays as it is" {
	id=$(sleeper --name c)
	pid=$(pid_of c)
	run -0 kist start c
	equal "$pid" "$(pid_of c)"
}

@test "start: several, and one that is missing" {
	kist create --name a busybox true >/dev/null
	kist create --name b busybox true >/dev/null
	run kist start a nosuch b
	equal 125 "$status"
	contains "$output" nosuch
	run -0 kist start a b
	in_state a exited
	in_state b exited
}

@test "start: a command that is missing gives 127 and the container can be removed" {
	kist create --name c busybox /no/such >/dev/null
	run kist start -a c
	kist_only # podman: 125
	equal 127 "$status"
	equal created "$(state_of c)"
	run -0 kist rm c
}

@test "start: again after an exit, with the same files" {
	kist create --name c busybox sh -c 'echo x >>/count; wc -l </count' >/dev/null
	local n
	for n in 1 2 3; do
		equal "$n" "$(kist start -a c)"
	done
}

@test "stop: SIGTERM first, its code is kept" {
	id=$(kist run -d --name c busybox sh -c 'trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done')
	until_true 10 log_has c ready
	run -0 kist stop c
	equal c "$output"
	equal exited "$(state_of c)"
	equal 5 "$(kist inspect --format '{{.State.ExitCode}}' c)"
}

@test "stop: after the grace time SIGKILL" {
	kist run -d --name c --stop-timeout 1000 busybox sleep 1000 >/dev/null
	run -0 kist stop -t 1 c
	equal 137 "$(kist inspect --format '{{.State.ExitCode}}' c)"
}

@test "stop: --stop-signal and --stop-timeout of the container count" {
	kist run -d --name c --stop-signal USR1 --stop-timeout 20 busybox \
		sh -c 'trap "exit 11" USR1; trap "exit 12" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
	until_true 10 log_has c ready
	run -0 kist stop c
	equal 11 "$(kist inspect --format '{{.State.ExitCode}}' c)"
	# Its grace time and not the usual one, which is 10 s.
	kist run -d --name d --stop-timeout 1 busybox sleep 1000 >/dev/null
	local start=$SECONDS
	run -0 kist stop d
	[ $((SECONDS - start)) -lt 10 ]
}

@test "stop: what is stopped already is no error" {
	kist run --name c busybox true
	run -0 kist stop c
	run -0 kist stop c
	run -125 kist stop nosuch
	run -0 kist stop --ignore nosuch
}

@test "stop: -a stops all" {
	sleeper --name a >/dev/null
	sleeper --name b >/dev/null
	run -0 kist stop -a -t 2
	in_state a exited
	in_state b exited
}

@test "stop: several at once, dependents first" {
	# Each ends by its own signal only once all have got theirs.
	local all='trap ": >/v/\$HOSTNAME" TERM; echo ready; until [ -e /v/a -a -e /v/b -a -e /v/c ]; do sleep 0.05; done; exit 3' name
	for name in a b c; do
		kist run -d --name $name --hostname $name -v v:/v busybox sh -c "$all" >/dev/null
		until_true 10 log_has $name ready
	done
	run -0 kist stop -t 30 a b c
	equal $'a\nb\nc' "$(sort <<<"$output")"
	for name in a b c; do
		equal 3 "$(kist inspect --format '{{.State.ExitCode}}' $name)"
	done
	kist_only
	# What is needed is asked after the end of who needs it, in whatever order they are named.
	local trap='trap "exit 4" TERM; echo ready; while :; do sleep 0.05; done'
	kist run -d --name needed busybox sh -c "$trap" >/dev/null
	kist run -d --name needing --requires needed busybox sh -c "$trap" >/dev/null
	for name in needed needing; do
		until_true 10 log_has $name ready
	done
	run -125 --separate-stderr kist stop -t 30 needed nosuch needing
	equal $'needing\nneeded' "$output"
	contains "$stderr" nosuch
	equal $'4\n4' "$(kist inspect --format '{{.State.ExitCode}}' needed needing)"
	run -0 kist events --stream=false --filter event=died --format '{{.Name}}'
	equal $'needing\nneeded' "$(tail -n 2 <<<"$output")"
	kist rm -fa >/dev/null
	kist volume rm v >/dev/null
	clean
}

# deaf NAME...: they do not heed TERM, and have two seconds for it.
deaf()
{
	local name
	for name; do
		deaf_with "$name"
	done
}

# deaf_with NAME OPTION...
deaf_with()
{
	kist run -d --name "$1" "${@:2}" --stop-timeout 2 busybox sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
	until_true 10 log_has "$1" ready
}

log_lines()
{
	[ "$(kist logs "$1" 2>&1 | wc -l)" -eq "$2" ]
}

# took COMMAND...: tenths of a second.
took()
{
	local begin
	begin=$(date +%s%1N)
	"$@" >"$STORE/took" 2>&1 || echo "exit $?" >>"$STORE/took"
	echo $(($(date +%s%1N) - begin))
}

@test "restart and rm --force: several at once, and the failure of one is its own" {
	kist_only
	local tenths before name
	deaf a b c
	before=$(pid_of b)
	tenths=$(took kist restart a nosuch b c b)
	[ "$tenths" -ge 20 ]
	[ "$tenths" -lt 45 ] || fail "restart took $tenths tenths of a second"
	equal 'a b c exit 125' "$(grep -v nosuch "$STORE/took" | sort | xargs)"
	contains "$(cat "$STORE/took")" 'no such container: nosuch'
	for name in a b c; do
		in_state $name running
		equal 1 "$(kist events --stream=false --filter container=$name --filter event=restart | wc -l)"
		until_true 10 log_lines $name 2
	done
	[ "$before" != "$(pid_of b)" ]

	kist run -d --name sharing --stop-timeout 0 --network container:b busybox sleep 1000 >/dev/null
	kist create --name idle busybox true >/dev/null
	tenths=$(took kist rm -f a nosuch b idle c a)
	[ "$tenths" -ge 20 ]
	[ "$tenths" -lt 45 ] || fail "rm took $tenths tenths of a second"
	equal 'a c exit 2 idle' "$(grep -v ' b: ' "$STORE/took" | sort | xargs)"
	matches 'remove b: containers that depend on it must be removed first' "$(cat "$STORE/took")"
	state_is b running
	# The dependent is stopped and removed before, wherever it is named.
	run -0 kist rm -f b sharing
	equal $'sharing\nb' "$output"
	# Without force as well, and one that runs keeps what it needs.
	kist create --name needed busybox true >/dev/null
	kist create --name needing --requires needed busybox true >/dev/null
	run -0 kist rm needed needing
	equal $'needing\nneeded' "$output"
	clean
}

@test "rm --depend: what nobody named is stopped at once too, dependents first" {
	kist_only
	local tenths name
	deaf a
	kist create --name last --requires a busybox true >/dev/null
	deaf_with b --requires a
	deaf_with c --requires a
	deaf_with d --network container:b
	tenths=$(took kist rm -f --depend a)
	# First d and c, then b, then a.
	[ "$tenths" -ge 60 ]
	[ "$tenths" -lt 79 ] || fail "rm took $tenths tenths of a second"
	equal a "$(cat "$STORE/took")"
	equal '' "$(kist ps -aq)"
	clean
	# One that runs keeps what it needs; the others go.
	sleeper --name needed >/dev/null
	kist create --name idle --requires needed busybox true >/dev/null
	sleeper --name running --requires needed >/dev/null
	kist stop -t 3 needed >/dev/null
	run kist rm --depend needed
	equal 2 "$status"
	contains "$output" 'running'
	equal $'needed\nrunning' "$(kist ps -a --format '{{.Names}}' | sort)"
	run -0 kist rm -f -t 3 --depend needed running
	equal $'running\nneeded' "$output"
	# A pod's infra container takes the pod along, as before.
	kist pod create --name p >/dev/null
	sleeper --pod p --name member >/dev/null
	run -0 kist rm -f -t 3 --depend "$(kist pod inspect --format '{{.InfraContainerID}}' p)"
	run -1 kist pod exists p
	clean
}

@test "rmi, volume rm and network rm --force: what uses it is stopped at once" {
	kist_only
	local tenths name
	kist network create net >/dev/null
	kist tag busybox img
	for name in a b c; do
		kist run -d --name "$name" --stop-timeout 2 --network net -v v:/v img sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
		until_true 10 log_has "$name" ready
	done
	tenths=$(took kist volume rm -f v)
	[ "$tenths" -ge 20 ]
	[ "$tenths" -lt 45 ] || fail "volume rm took $tenths tenths of a second"
	equal v "$(cat "$STORE/took")"
	equal '' "$(kist ps -aq)"
	deaf d e f
	for name in d e f; do kist network connect net $name; done
	kist pod create --name p --network net >/dev/null
	kist pod start p >/dev/null
	tenths=$(took kist network rm -f net)
	[ "$tenths" -ge 20 ]
	[ "$tenths" -lt 45 ] || fail "network rm took $tenths tenths of a second"
	equal net "$(cat "$STORE/took")"
	equal '' "$(kist ps -aq)"
	run -1 kist pod exists p # it goes with its infra container
	kist import "$E2E_CACHE/busybox.tar" other >/dev/null
	for name in g h; do
		kist run -d --name "$name" --stop-timeout 2 other sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
		until_true 10 log_has "$name" ready
	done
	tenths=$(took kist rmi -f other)
	[ "$tenths" -ge 20 ]
	[ "$tenths" -lt 38 ] || fail "rmi took $tenths tenths of a second"
	equal '' "$(kist ps -aq)"
	kist untag busybox localhost/img:latest
	clean
}

@test "restart: what others of them need is stopped after and started before those" {
	kist_only
	sleeper --name needed >/dev/null
	sleeper --name needing --requires needed >/dev/null
	sleeper --name other >/dev/null
	run -0 kist restart -t 30 needing other needed
	equal 'needed needing other' "$(sort <<<"$output" | xargs)"
	equal 'needing died needed died needed start needing start' "$(kist events --stream=false --format '{{.Name}} {{.Status}}' |
		grep -E '^need.* (died|start)$' | tail -n 4 | xargs)"
	# Where it cannot be started again, neither can who needs it; the rest can.
	kist stop needing needed >/dev/null
	kist update --restart no other >/dev/null
	run -125 --separate-stderr kist restart needing other
	equal other "$output"
	matches 'restart needing: .*needed' "$stderr"
	run -0 kist restart needing needed
	equal $'needed\nneeding' "$output"
	# What is not running is started, what does not exist does not keep the others.
	kist stop -a >/dev/null
	run -0 kist restart -a
	equal 3 "$(kist ps -q | wc -l)"
	kist rm -fa -t 0 >/dev/null
	clean
}

@test "stop: more at once than files may be open" {
	kist_only
	local n
	for n in {1..25}; do
		kist run -d busybox sleep 1000 >/dev/null
	done
	ulimit -n 200
	run -0 kist stop -a -t 0
	equal 25 "${#lines[@]}"
	run -0 kist rm -a
	equal 25 "${#lines[@]}"
	clean
}

@test "stop: does not keep others waiting" {
	kist run -d --name c busybox sleep 1000 >/dev/null
	kist stop -t 50 c >/dev/null 3>&- &
	local stopper=$! start=$SECONDS
	in_state c stopping
	run -0 kist ps -a
	contains "$output" c
	run -0 kist inspect c
	equal stopping "$(state_of c)"
	run -0 kist kill c
	wait "$stopper"
	[ $((SECONDS - start)) -lt 40 ]
}

@test "rm: needs a stopped container, or force" {
	sleeper --name c >/dev/null
	run kist rm c
	[ "$status" -ne 0 ]
	contains "$output" running
	equal running "$(state_of c)"
	run -0 kist rm -f -t 0 c
	run kist rm c
	equal 1 "$status"
	run -0 kist rm -i c
	run -0 kist rm -f nosuch
	clean
}

@test "rm: prints what it was given, takes ids and prefixes" {
	id=$(kist create busybox true)
	run -0 kist rm "${id:0:12}"
	equal "${id:0:12}" "$output"
	run -0 kist create --name x busybox true
	run -0 kist rm x
	equal x "$output"
}

@test "rm: -a removes all that are not running, -fa all" {
	kist create busybox true >/dev/null
	kist run busybox true
	sleeper --name s >/dev/null
	run kist rm -a
	[ "$status" -ne 0 ]
	equal s "$(kist ps -a --format '{{.Names}}')"
	run -0 kist rm -f -a -t 0
	equal '' "$(kist ps -aq)"
	clean
}

@test "rm: --filter and --cidfile" {
	kist create --label keep=no --name a busybox true >/dev/null
	kist create --name b --cidfile "$STORE/cid" busybox true >/dev/null
	kist_only
	run -0 kist rm --filter label=keep=no
	equal b "$(kist ps -a --format '{{.Names}}')"
	run -0 kist rm --cidfile "$STORE/cid"
	equal '' "$(kist ps -aq)"
}

@test "rm: the name is free again" {
	kist create --name c busybox true >/dev/null
	kist rm c
	run -0 kist create --name c busybox true
}

@test "restart: a running one runs anew, a stopped one starts" {
	sleeper --name c >/dev/null
	pid=$(pid_of c)
	run -0 kist restart -t 2 c
	equal c "$output"
	in_state c running
	[ "$pid" != "$(pid_of c)" ]
	kist stop -t 2 c
	run -0 kist restart c
	in_state c running
	run -125 kist restart nosuch
}

@test "kill: SIGKILL by default, names and numbers" {
	kist run -d --name c busybox sleep 1000 >/dev/null
	run -0 kist kill c
	equal c "$output"
	in_state c exited
	equal 137 "$(kist inspect --format '{{.State.ExitCode}}' c)"
	kist run -d --name d busybox sh -c 'trap "echo got-usr1" USR1; trap "echo got-hup" HUP; trap "exit 3" INT; echo ready; while :; do sleep 0.1; done' >/dev/null
	until_true 10 log_has d ready
	run -0 kist kill -s USR1 d
	until_true 10 log_has d got-usr1
	run -0 kist kill --signal SIGHUP d
	until_true 10 log_has d got-hup
	run -0 kist kill -s 2 d
	in_state d exited
	equal 3 "$(kist inspect --format '{{.State.ExitCode}}' d)"
}

@test "kill: errors name what is wrong" {
	sleeper --name c >/dev/null
	engine_error kist kill -s NOSUCH c
	contains "$stderr" NOSUCH
	run -125 kist kill nosuch
	kist rm -f -t 0 c
	kist create --name d busybox true >/dev/null
	engine_error kist kill d
	contains "$stderr" d
}

@test "pause: stops the processes, unpause lets them go on" {
	[ -e "$CGROUP/harness/cgroup.freeze" ] || skip 'no freezer'
	kist_only
	kist run -d --name c busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done' >/dev/null
	until_true 10 log_has c 3
	run -0 kist pause c
	equal c "$output"
	equal paused "$(state_of c)"
	local before
	lines_are() { [ "$(kist logs c | wc -l)" -eq "$1" ]; }
	# What was on its way to the log may still come.
	quiet() { before=$(kist logs c | wc -l) && stays 5 lines_are "$before"; }
	until_true 10 quiet
	engine_error kist pause c
	engine_error kist exec c true
	run -2 kist rm c
	run -0 kist unpause c
	equal running "$(state_of c)"
	more() { [ "$(kist logs c | wc -l)" -gt "$before" ]; }
	until_true 10 more
	engine_error kist unpause c
	kist pause c
	run -0 kist kill c
	run -0 kist rm -f -t 0 c
}

@test "rename: the new name holds, the old one is free" {
	kist create --name a busybox true >/dev/null
	kist create --name b busybox true >/dev/null
	run -0 kist rename a c
	equal c "$(kist inspect --format '{{.Name}}' c)"
	run -125 kist rename c b
	contains "$output" 'remove or rename that one, or choose another name'
	run -125 kist rename nosuch d
	run -125 kist rename c 'no/good'
	run -0 kist create --name a busybox true
	sleeper --name r >/dev/null
	run -0 kist rename r s
	equal running "$(state_of s)"
	run -0 kist stop -t 2 s
}

@test "wait: gives the code, also when it ended before, also of several" {
	kist run -d --name c busybox sh -c 'exit 4' >/dev/null
	run -0 kist wait c
	equal 4 "$output"
	run -0 kist wait c
	equal 4 "$output"
	sleeper --name d >/dev/null
	until_true 10 log_has d ready
	(sleep 0.3; kist stop d >/dev/null) 3>&- &
	run -0 kist wait c d
	equal $'4\n0' "$output"
	wait
	run -125 kist wait nosuch
}

@test "wait: --condition" {
	sleeper --name c >/dev/null
	run -0 kist wait --condition running c
	equal -1 "$output"
	run -0 kist wait --condition exited,running c
	equal -1 "$output"
	kist stop -t 2 c
	run -0 kist wait --condition exited c
	equal 0 "$output"
	run -125 kist wait --condition nosuch c
}

@test "wait: finds the code after rm" {
	kist_only
	id=$(kist run -d busybox sh -c 'exit 6')
	kist wait "$id"
	kist rm "$id"
	run -0 kist wait "$id"
	equal 6 "$output"
}

@test "look-up: by name, id, unique prefix; an ambiguous one is an error" {
	id=$(kist create --name one busybox true)
	equal "$id" "$(kist inspect --format '{{.Id}}' "${id:0:8}")"
	equal "$id" "$(kist inspect --format '{{.Id}}' one)"
	run -125 kist inspect --type container nosuch
	local n=0
	while [ $n -lt 17 ]; do
		kist create busybox true >/dev/null
		n=$((n + 1))
	done
	# Of 18 ids two start with the same digit.
	digit=$(kist ps -aq | cut -c 1 | sort | uniq -d | head -n 1)
	run kist stop "$digit"
	equal 125 "$status"
	matches 'more than one|ambiguous|multiple' "$output"
}

@test "stop, kill, pause and unpause of all pass over what another command was faster with" {
	kist_only
	local i code round
	for i in 1 2 3 4 5 6; do
		kist run -d --name "c$i" busybox sleep 1000 >/dev/null
	done
	for round in pause unpause 'kill -s CONT' 'stop -t 0'; do
		for i in 1 2 3 4 5 6; do
			kist kill "c$i" >/dev/null
			in_state "c$i" exited
			kist start "c$i" >/dev/null
			[ "$round" != unpause ] || kist pause "c$i" >/dev/null
		done
		# From both ends of the list.
		(for i in 6 5 4 3 2 1; do kist rm -f -t 0 "c$i"; done) >/dev/null 2>&1 3>&- &
		code=0
		# shellcheck disable=SC2086 # words
		kist $round -a >/dev/null 2>"$STORE/err" || code=$?
		wait $!
		equal '0 ' "$code $(cat "$STORE/err")" "$round -a"
		for i in 1 2 3 4 5 6; do
			kist run -d --name "c$i" busybox sleep 1000 >/dev/null
		done
	done
	# What cannot be stopped because it is paused, and stays so, is told of.
	kist pause c1 >/dev/null
	run -125 kist stop -t 0 -a
	contains "$output" 'unpause it first'
	kist unpause c1 >/dev/null
	kist rm -f -t 0 -a >/dev/null
}
