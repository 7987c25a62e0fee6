#!/usr/bin/env bats
# Kills, floods, full disks, torn files, reboots: nothing is left, nothing hangs, nothing lies.
load helpers

setup()
{
	kist_only
	setup_store
}

monitor_of()
{
	awk '/^PPid:/ { print $2 }' "/proc/$(pid_of "$1")/status"
}

@test "kill -9 of the command line at 100 random moments" {
	local i front
	for i in $(seq 100); do
		case $((i % 5)) in
		0) $(run_command) -d --name "k$i" busybox sleep 1000 >/dev/null 2>&1 3>&- & ;;
		1) $(run_command) --rm --name "k$i" busybox sh -c 'echo x; sleep 0.02' >/dev/null 2>&1 3>&- & ;;
		2) $(kist_command) create --name "k$i" busybox true >/dev/null 2>&1 3>&- & ;;
		3) $(kist_command) rm -f -t 0 "k$((i - 3))" "k$((i - 1))" >/dev/null 2>&1 3>&- & ;;
		4) $(kist_command) start "k$((i - 2))" >/dev/null 2>&1 3>&- & ;;
		esac
		front=$!
		sleep "0.0$(printf %02d $((RANDOM % 60)))"
		kill -9 $front 2>/dev/null || true
		wait $front 2>/dev/null || true
	done
	run -0 --separate-stderr kist ps -a
	equal '' "$stderr"
	run -0 kist rm -f -a -t 0
	equal '' "$(kist ps -aq)"
	clean
}

@test "kill -9 of the command line while it stops a container" {
	local i front
	for i in $(seq 10); do
		sleeper --name "s$i" >/dev/null
		$(kist_command) stop "s$i" >/dev/null 2>&1 3>&- &
		front=$!
		sleep "0.0$(printf %02d $((RANDOM % 40)))"
		kill -9 $front 2>/dev/null || true
		wait $front 2>/dev/null || true
	done
	run -0 kist ps -a
	run -0 kist stop -a -t 2
	run -0 kist rm -a
	clean
}

@test "kill -9 of the monitor: the next call notices" {
	sleeper --name c >/dev/null
	local pid
	pid=$(pid_of c)
	kill -9 "$(monitor_of c)"
	in_state c exited
	until_true 10 bash -c "! kill -0 $pid 2>/dev/null"
	run -0 kist ps -a --format '{{.Names}} {{.Status}}'
	matches '^c Exited' "$output"
	run -0 kist start c
	in_state c running
	kill -9 "$(monitor_of c)"
	run -0 kist rm -f -t 0 c
	clean
}

@test "kill -9 of the monitor with --rm: nothing is left after the next call" {
	sleeper --rm --name c >/dev/null
	kill -9 "$(monitor_of c)"
	gone() { [ -z "$(kist ps -aq)" ]; }
	until_true 10 gone || kist rm -f c
	clean
	# Whatever that call is.
	local call
	for call in 'inspect' 'pause' 'stop -t 0' 'kill' 'wait' 'top'; do
		sleeper --rm --name c >/dev/null
		kill -9 "$(monitor_of c)"
		# shellcheck disable=SC2086 # words
		run kist $call c
		equal '' "$(kist ps -aq)" "after $call"
	done
	clean
}

@test "kill -9 of container and monitor at once, at random moments of a start" {
	local i pid
	for i in $(seq 15); do
		$(run_command) -d --name "m$i" busybox sleep 1000 >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "0.0$(printf %02d $((RANDOM % 30)))"
		for file in /proc/[0-9]*; do
			if [[ $(readlink "$file/exe") == */kist* ]]; then kill -9 "${file#/proc/}" 2>/dev/null || true; fi
		done
		wait $pid 2>/dev/null || true
	done
	run -0 kist ps -a
	run -0 kist rm -f -a -t 0
	clean
}

@test "50 at once: started, stopped, removed, by 50 processes each" {
	local i pids=()
	for i in $(seq 50); do
		sleeper --name "p$i" >"$STORE/out.$i" 2>&1 3>&- &
		pids[i]=$!
	done
	for i in $(seq 50); do
		wait "${pids[i]}" || fail "start of p$i: $(cat "$STORE/out.$i")"
	done
	equal 50 "$(kist ps -q | wc -l)"
	for i in $(seq 50); do
		kist stop "p$i" >"$STORE/out.$i" 2>&1 3>&- &
		pids[i]=$!
	done
	for i in $(seq 50); do
		wait "${pids[i]}" || fail "stop of p$i: $(cat "$STORE/out.$i")"
	done
	equal 0 "$(kist ps -q | wc -l)"
	for i in $(seq 50); do
		kist rm "p$i" >"$STORE/out.$i" 2>&1 3>&- &
		pids[i]=$!
	done
	for i in $(seq 50); do
		wait "${pids[i]}" || fail "rm of p$i: $(cat "$STORE/out.$i")"
	done
	equal '' "$(kist ps -aq)"
	clean
}

@test "the same name by 10 processes: one wins" {
	local i pids=() won=0
	for i in $(seq 10); do
		kist create --name same busybox true >/dev/null 2>&1 3>&- &
		pids[i]=$!
	done
	for i in $(seq 10); do
		wait "${pids[i]}" && won=$((won + 1))
	done
	equal 1 "$won"
	equal 1 "$(kist ps -aq | wc -l)"
	for i in $(seq 10); do
		kist rm -f same >/dev/null 2>&1 3>&- &
		pids[i]=$!
	done
	for i in $(seq 10); do
		wait "${pids[i]}"
	done
	clean
}

@test "1 GB of output: no hang, a bounded log, the right code" {
	run -5 timeout 120 bash -c "$(declare -f kist kist_command is_podman)
		E2E_TIMEOUT=110 kist run --name c --log-opt max-size=1m --log-opt max-file=2 busybox sh -c 'yes \$(printf %0500d 0) | head -c 1000000000; exit 5' | tail -c 1000 >'$STORE/tail'; exit \${PIPESTATUS[0]}"
	[ "$(cat "$(kist inspect --format '{{.HostConfig.LogConfig.Path}}' c)"* | wc -c)" -le 3200000 ]
	equal 1000 "$(wc -c <"$STORE/tail")"
	kist run -d --name d --log-opt max-size=1m --log-opt max-file=2 busybox sh -c 'yes $(printf %0500d 0) | head -c 300000000; exit 6' >/dev/null
	equal 6 "$(E2E_TIMEOUT=100 kist wait d)"
}

@test "a flood that nobody reads does not stop the container's end" {
	kist run -d --name c --log-opt max-size=100k busybox sh -c 'trap "exit 0" TERM; yes & wait' >/dev/null
	local log
	log=$(kist inspect --format '{{.HostConfig.LogConfig.Path}}' c)
	until_true 10 test -e "$log.1" || fail "no flood: $(ls -l "${log%/*}")"
	run -0 kist stop -t 50 c
	equal 0 "$(kist inspect --format '{{.State.ExitCode}}' c)" 'its own end, not SIGKILL'
}

@test "a reader that stops reading holds up its container's output, and neither other commands nor the container's end" {
	mkfifo "$STORE/fifo"
	exec 8<>"$STORE/fifo"
	$(run_command) --name c busybox sh -c 'head -c 5000000 /dev/zero; echo done >&2; exit 3' >"$STORE/fifo" 2>/dev/null 3>&- 8>&- &
	local front=$! code=0
	in_state c running
	run -0 kist ps -a
	run -0 kist exec c true
	run -0 kist kill c
	in_state c exited
	equal 137 "$(kist inspect --format '{{.State.ExitCode}}' c)"
	exec 8>&-
	wait $front || code=$?
	equal 137 "$code"
}

# ends.c
make_ends()
{
	ENDS=$BATS_FILE_TMPDIR/ends
	[ -x "$ENDS" ] || gcc -static -O1 -Wall -Werror -pthread -o "$ENDS" "$BATS_TEST_DIRNAME/ends.c"
}

@test "pause: not of one that has left its cgroup, while others in there are not dead yet" {
	local pid child holder
	make_ends
	kist run -d --name c busybox sh -c 'sleep 1000 & echo $!; wait' >/dev/null
	until_true 10 log_has c 2
	pid=$(pid_of c)
	child=$(cat "/proc/$pid/task/$pid/children")
	mkfifo "$STORE/release"
	# shellcheck disable=SC2086 # a number and a blank
	"$ENDS" hold $child <"$STORE/release" >"$STORE/held" 3>&- &
	holder=$!
	exec 7>"$STORE/release"
	until_true 10 grep -q ready "$STORE/held"
	kill -9 "$pid"
	until_true 10 grep -q held "$STORE/held"
	run kist pause c
	exec 7>&-
	wait "$holder"
	equal 125 "$status"
	contains "$output" 'it has just ended'
	in_state c exited
	equal 137 "$(kist inspect --format '{{.State.ExitCode}}' c)"
}

@test "a process whose first thread has ended lives: it is paused, and stopped by the signal that it has a handler for" {
	local pid
	make_ends
	kist run -d --name c -v "$ENDS:/ends:ro" busybox /ends threads >/dev/null
	until_true 10 log_has c ready
	pid=$(pid_of c)
	until_true 10 grep -q '^State:.*Z' "/proc/$pid/status"
	run -0 kist pause c
	equal paused "$(state_of c)"
	run -0 kist unpause c
	run -0 kist kill -s CONT c
	run -0 kist stop -t 30 c
	equal 7 "$(kist inspect --format '{{.State.ExitCode}}' c)"
	# And so does one of an exec session.
	kist run -d --name d -v "$ENDS:/ends:ro" --stop-timeout 0 busybox sleep 1000 >/dev/null
	kist exec -d d /ends threads
	has_zombie()
	{
		sed 's,.*,/proc/&/status,' "$CGROUP/kist/$(kist inspect --format '{{.Id}}' d)/cgroup.procs" | xargs grep -qs '^State:.*Z'
	}
	until_true 10 has_zombie
	equal true "$(kist inspect d | jq '.[0].ExecIDs | length == 1')"
}

@test "pause: not of one that has just ended and whose monitor has not noticed yet" {
	local pid monitor
	sleeper --name c >/dev/null
	pid=$(pid_of c)
	monitor=$(monitor_of c)
	kill -STOP "$monitor"
	kill -9 "$pid"
	until_true 10 grep -q '^State:.*Z' "/proc/$pid/status"
	run kist pause c
	kill -CONT "$monitor"
	equal 125 "$status"
	contains "$output" 'it has just ended'
	in_state c exited
	equal 137 "$(kist inspect --format '{{.State.ExitCode}}' c)"
}

@test "a full disk: output goes on, the code is right, the container can be removed" {
	mkdir "$STORE/small"
	mount -t tmpfs -o size=10m tmpfs "$STORE/small"
	local keep=$ROOT
	ROOT=$STORE/small/root
	import_busybox
	kist run -d --name c --log-opt max-size=1g busybox sh -c 'sleep 0.3; yes $(printf %0100d 0) | head -c 30000000; exit 3' >/dev/null
	run -0 kist wait c
	equal 3 "$output"
	equal 3 "$(kist inspect --format '{{.State.ExitCode}}' c)"
	run kist run --rm busybox true
	[ "$status" -eq 0 ] || one_line "$output"
	run -0 kist ps -a
	run -0 kist rm -f c
	dd if=/dev/zero of="$STORE/small/fill" bs=4k 2>/dev/null || true
	run kist run --rm busybox true
	[ "$status" -eq 0 ] || { equal 125 "$status"; contains "$output" 'No space left'; }
	rm "$STORE/small/fill"
	run -0 kist run --rm busybox true
	run -0 kist rm -f -a -t 0
	ROOT=$keep
	# The monitor of the last run may have the store open for a moment longer than the command.
	until_true 10 umount "$STORE/small" 2>/dev/null
}

@test "records cut at every byte never crash, never block others" {
	kist run --name victim busybox true
	kist run --name other busybox sh -c 'exit 3' || true
	local id directory file size offset step
	id=$(kist inspect --format '{{.Id}}' victim)
	directory=$ROOT/containers/$id
	cp -a "$ROOT" "$STORE/kept"
	for file in state exit config; do
		[ -f "$directory/$file" ] || continue
		size=$(stat -c %s "$directory/$file")
		step=$((size / 150 + 1))
		for offset in $(seq 0 $step $((size - 1))); do
			head -c "$offset" "$STORE/kept/containers/$id/$file" >"$directory/$file"
			run kist ps -a --format '{{.Names}} {{.Status}}'
			equal 0 "$status" "$file cut at $offset: $output"
			contains "$output" 'other Exited (3)'
			rm -rf "$ROOT"
			cp -a "$STORE/kept" "$ROOT"
		done
	done
	run -0 kist rm -f -a
	equal '' "$(kist ps -aq)"
}

@test "records with bytes turned over are found out" {
	kist run --name victim busybox true
	kist create --name other busybox true >/dev/null
	local id directory file size i
	id=$(kist inspect --format '{{.Id}}' victim)
	directory=$ROOT/containers/$id
	cp -a "$ROOT" "$STORE/kept"
	for file in state config; do
		size=$(stat -c %s "$directory/$file")
		for i in $(seq 25); do
			printf '\377' | dd of="$directory/$file" bs=1 seek=$((RANDOM % size)) conv=notrunc 2>/dev/null
			run kist ps -a
			equal 0 "$status" "$file: $output"
			contains "$output" other
			run kist inspect victim
			[ "$status" -eq 0 ] || [ "$status" -eq 125 ]
			rm -rf "$ROOT"
			cp -a "$STORE/kept" "$ROOT"
		done
	done
}

@test "a record that cannot be loaded is named, and can be removed" {
	kist create --name broken busybox true >/dev/null
	kist create --name fine busybox true >/dev/null
	id=$(kist inspect --format '{{.Id}}' broken)
	echo nonsense >"$ROOT/containers/$id/config"
	run -0 kist ps -a
	contains "$output" fine
	run kist start broken
	equal 125 "$status"
	run -0 kist start fine
	run -0 kist rm -f -a -t 0
	# The name is free again.
	run -0 kist create --name broken busybox true
}

@test "after a reboot: exited stays exited, the rest can be started again" {
	sleeper --name was-running >/dev/null
	kist run --name was-exited busybox sh -c 'exit 4' || true
	kist create --name was-created busybox true >/dev/null
	local monitor pid
	monitor=$(monitor_of was-running)
	pid=$(pid_of was-running)
	kill -9 "$monitor" "$pid"
	until_true 10 bash -c "! kill -0 $pid 2>/dev/null"
	find "$CGROUP/kist" -mindepth 1 -depth -type d -exec rmdir {} +
	rm -rf "$RUNROOT"
	cat /proc/sys/kernel/random/uuid >"$STORE/boot_id"
	mount --bind "$STORE/boot_id" /proc/sys/kernel/random/boot_id
	run kist ps -a --format '{{.Names}} {{.Status}}'
	local listed=$output code=$status
	run kist start was-running
	local started=$status what=$output
	run kist exec was-running true
	local worked=$status
	run kist rm -f -a -t 0
	umount /proc/sys/kernel/random/boot_id
	equal 0 "$code"
	contains "$listed" 'was-exited Exited (4)'
	matches 'was-running (Created|Exited)' "$listed"
	contains "$listed" 'was-created Created'
	equal 0 "$started" "start: $what"
	equal 0 "$worked"
	equal 0 "$status"
}

@test "a run directory with a long path works" {
	local long
	long=$STORE/$(printf 'long-directory-name-%.0s' 1 2 3 4 5 6)
	mkdir "$long"
	RUNROOT=$long/run
	sleeper --name c >/dev/null
	equal hi "$(kist exec c echo hi)"
	equal there "$(kist run --rm busybox echo there)"
	run -0 kist stop c
}

@test "100 starts and stops of one container leave nothing" {
	kist create --name c busybox true >/dev/null
	local i
	for i in $(seq 100); do
		kist start -a c
	done
	equal 0 "$(find "$RUNROOT" -name '.tmp-*' | wc -l)"
	equal 0 "$(find "$ROOT" -name '.tmp-*' | wc -l)"
	kist rm c
	clean
}

@test "an idle container makes no writes" {
	sleeper --name c >/dev/null
	local before
	until_true 10 log_has c ready
	files() { find "$ROOT" "$RUNROOT" -type f ! -path '*/upper/*' -printf '%p %T@ %s\n' | sort; }
	unchanged() { equal "$before" "$(files)"; }
	before=$(files)
	stays 25 unchanged
}

@test "a read-only store: ps and inspect work" {
	kist run --name c busybox true
	mount --bind "$ROOT" "$ROOT"
	mount -o remount,ro,bind "$ROOT"
	run kist ps -a --format '{{.Names}}'
	local code=$status out=$output
	run kist run --rm busybox true
	local refused=$status message=$output
	umount "$ROOT"
	equal 0 "$code"
	equal c "$out"
	equal 125 "$refused"
	one_line "$message"
}
