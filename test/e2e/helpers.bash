# What every suite loads: the program under test, an own store for each test, and the proof that nothing is left behind.
# shellcheck shell=bash
bats_require_minimum_version 1.5.0

CGROUP=/sys/fs/cgroup
GENERATED_NAME='^[a-z]+_[a-z0-9]+$'
FULL_ID='^[0-9a-f]{64}$'

is_podman()
{
	[[ ${KIST##*/} == podman* ]]
}

# For behaviour that is kist's own and not podman's.
kist_only()
{
	! is_podman || skip 'kist only'
}

# The program's name and its global options, for where a command line and not a function is needed.
kist_command()
{
	if is_podman; then
		echo "$KIST --log-level error --runtime runc --cgroup-manager cgroupfs --storage-driver overlay --root $ROOT --runroot $RUNROOT --tmpdir $RUNROOT/tmp"
	else
		echo "$KIST --root $ROOT --runroot $RUNROOT"
	fi
}

# The same with 'run', for a test that must start the program itself (under script(1), with a pid of its own).
run_command()
{
	echo "$(kist_command) run $(is_podman && echo '--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --pids-limit 0 --network none')"
}

kist()
{
	local command=$1 limit=(timeout --foreground -k 5 "${E2E_TIMEOUT:-60}")
	shift
	if is_podman && [[ $command == run || $command == create ]]; then
		set -- --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --pids-limit 0 "$@"
		[[ " $* " == *" --network"* ]] || set -- --network none "$@"
	fi
	# shellcheck disable=SC2046 # a command line
	"${limit[@]}" $(kist_command) "$command" "$@"
}

fail()
{
	echo "$*" >&2
	return 1
}

# equal WANT GOT [WHAT]
equal()
{
	[ "$1" = "$2" ] || fail "${3:-value}: wanted '$1', got '$2'"
}

# need PROGRAM...: skips without them, where this machine is not said to have all.
need()
{
	local program
	for program; do
		command -v "$program" >/dev/null && continue
		[ -z "${KIST_TEST_FULL:-}" ] || fail "$program is not installed"
		skip "$program is not installed"
	done
}

# matches REGEX TEXT
matches()
{
	[[ $2 =~ $1 ]] || fail "no match for '$1' in: $2"
}

# contains TEXT PART
contains()
{
	[[ $1 == *"$2"* ]] || fail "'$2' is not in: $1"
}

lacks()
{
	[[ $1 != *"$2"* ]] || fail "'$2' should not be in: $1"
}

# until_true SECONDS COMMAND...: retries, never sleeps blindly.
until_true()
{
	local seconds=$1 end
	end=$((SECONDS + seconds + 1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# stays TENTHS COMMAND...: true at every look for so many tenths of a second, of what must not happen.
stays()
{
	local end=$(($(date +%s%1N) + $1))
	shift
	while [ "$(date +%s%1N)" -lt "$end" ]; do
		"$@" || return 1
	done
}

# at_random MS: waits for less than so many milliseconds.
at_random()
{
	local ms=$((RANDOM % $1))
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

# What somebody does to c, which ends and comes back again and again, holds whenever it comes.
# is_final stop|kill|pause ROUNDS MS: at moments up to MS milliseconds after the last time; c runs again afterwards.
is_final()
{
	local round end state=exited args=()
	case $1 in
	stop) args=(-t 0) ;;
	pause) state=paused ;;
	esac
	for ((round = 0; round < $2; round++)); do
		at_random "$3"
		# While it is between two runs there is nothing to send a signal to, and nothing to freeze.
		end=$((SECONDS + 60))
		until kist "$1" "${args[@]}" c >/dev/null 2>"$STORE/final.err"; do
			[ "$1" != stop ] && [ "$SECONDS" -lt "$end" ] || fail "$1 $round: $(cat "$STORE/final.err")"
			at_random 100
		done
		[ "$1" != kill ] || in_state c exited || fail "after kill $round"
		equal "$state" "$(state_of c)" "after $1 $round"
		[ "$1" != pause ] && [ "$((round % 4))" -ne 0 ] || stays 3 state_is c "$state" ||
			fail "it is '$(state_of c)' after $1 $round"
		if [ "$1" = pause ]; then run -0 kist unpause c; else run -0 kist start c; fi
	done
}

# removal_is_final ROUNDS MS COMMAND...: the command makes c.
removal_is_final()
{
	local round
	for ((round = 0; round < $1; round++)); do
		"${@:3}"
		at_random "$2"
		run -0 kist rm -f -t 0 c
		run -1 kist container exists c
	done
}

state_of()
{
	kist inspect --type container --format '{{.State.Status}}' "$1" 2>/dev/null
}

state_is()
{
	[ "$(state_of "$1")" = "$2" ]
}

in_state()
{
	until_true "${3:-10}" state_is "$1" "$2" || fail "$1 is '$(state_of "$1")', not '$2'"
}

log_has()
{
	kist logs "$1" 2>&1 | grep -qF -- "$2"
}

pid_of()
{
	kist inspect --type container --format '{{.State.Pid}}' "$1"
}

# Starts a container that waits and ends at once on SIGTERM.
sleeper()
{
	kist run -d "$@" busybox sh -c 'trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done'
}

# A command on a terminal: terminal_start COMMAND-LINE, then type TEXT, screen_has TEXT, terminal_end (its exit code).
terminal_start()
{
	rm -f "$STORE/keys"
	mkfifo "$STORE/keys"
	script -qec "$1" /dev/null <"$STORE/keys" >"$STORE/screen" 2>&1 3>&- &
	TERMINAL=$!
	exec 7>"$STORE/keys"
}

type_keys()
{
	# shellcheck disable=SC2059 # escapes are meant
	printf "$1" >&7
}

screen_has()
{
	grep -aqF -- "$1" "$STORE/screen"
}

on_screen()
{
	until_true 10 screen_has "$1" || fail "'$1' is not on the screen: $(cat -v "$STORE/screen")"
}

# The terminal's process ends by itself; closing the keys too early would send it an end of file.
terminal_end()
{
	local code=0
	terminal_gone() { ! kill -0 "$TERMINAL" 2>/dev/null; }
	until_true "${1:-10}" terminal_gone || {
		exec 7>&-
		kill "$TERMINAL"
		fail "the terminal's command goes on: $(cat -v "$STORE/screen")"
		return 1
	}
	exec 7>&-
	wait "$TERMINAL" || code=$?
	return "$code"
}

# engine_error: what a refused command must look like: exit code 125, nothing on stdout, one line on stderr.
engine_error()
{
	run --separate-stderr "$@"
	equal 125 "$status" "exit code of '$*' ($stderr)"
	equal '' "$output" 'stdout'
	is_podman || one_line "$stderr"
}

# A misused command line may point to the help on a second line.
one_line()
{
	local text=${1%$'\n'See \'*\'*}
	[ -n "$text" ] || fail 'no message'
	[[ $text != *$'\n'* ]] || fail "more than one line: $1"
	[ -z "$(tr -d '\11\12\40-\176\200-\377' <<<"$text")" ] || fail "not printable: $1"
}

# has_controller NAME: usable for containers here.
has_controller()
{
	grep -qw "$1" "$CGROUP/cgroup.controllers" && {
		[ ! -s "$CGROUP/cgroup.procs" ] || grep -qw "$1" "$CGROUP/cgroup.subtree_control"
	}
}

# Its processes, as /proc/PID; a zombie has no exe. One process for the whole search: this runs several times a test.
program_processes()
{
	find /proc/[0-9]*/exe -maxdepth 0 -lname '*/kist*' -printf '%h\n' 2>/dev/null
}

# What must be the same before and after: mounts, cgroups, interfaces, processes. Every test does this at least twice, and a
# fork costs more than a line of text: the shell reads what it can read itself.
snapshot()
{
	local line file
	{
		while read -r _ _ _ line; do
			is_podman && [[ $line == *"$STORE/root/"* ]] || echo "mount $line"
		done </proc/self/mountinfo
		find "$CGROUP" -mindepth 1 -type d ! -path "$CGROUP/harness*" ! -path "$CGROUP/kist" ! -path "$CGROUP/libpod_parent*" \
			-printf 'cgroup %p\n'
		# The default network's bridge is made once, and stays for the next container.
		for file in /sys/class/net/*; do
			[[ $file == */kist0 ]] || echo "interface ${file##*/}"
		done
		for file in $(grep -L -E '^0::/harness' /proc/[0-9]*/cgroup 2>/dev/null); do
			[ "$file" = /proc/1/cgroup ] ||
				echo "process outside the harness: $(tr '\0' ' ' <"${file%cgroup}cmdline") in $(grep '^0::' "$file")"
		done 2>/dev/null
		for file in $(program_processes); do
			echo "process of the program: $(tr '\0' ' ' <"$file/cmdline")"
		done 2>/dev/null
	} | sort
}

# Entries that only existing containers have.
entries()
{
	local file
	for file in "$ROOT"/{containers,names,pods,users}/{*,.[!.]*} "$RUNROOT"/{containers,monitors}/{*,.[!.]*}; do
		[ ! -e "$file" ] && [ ! -L "$file" ] || [[ $file == */.lock ]] || echo "$file"
	done
}

snapshot_is()
{
	snapshot >"$BATS_TEST_TMPDIR/after"
	cmp -s "$1" "$BATS_TEST_TMPDIR/after"
}

# Nothing is left of any container: entries, mounts, cgroups, interfaces, processes.
clean()
{
	until_true 10 snapshot_is "$BATS_TEST_TMPDIR/before" || {
		echo 'left behind (<: missing, >: new):'
		diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
		return 1
	}
	# The command has its answer before the last file is deleted.
	no_entries() { [ -z "$(entries)" ]; }
	is_podman || until_true 10 no_entries || equal '' "$(entries)" 'entries left'
}

new_store()
{
	STORE=$E2E_WORK/$BATS_TEST_NUMBER
	[ "${1:-}" != disk ] || STORE=$E2E_DISK/$BATS_TEST_NUMBER
	ROOT=$STORE/root
	RUNROOT=$STORE/run
	export ROOT RUNROOT STORE
	mkdir "$STORE"
}

import_busybox()
{
	kist import --change CMD='["/bin/sh"]' "$E2E_CACHE/busybox.tar" busybox >/dev/null 2>"$STORE/import.err" || {
		cat "$STORE/import.err"
		return 1
	}
}

# The Debian image, made by debootstrap.
import_debian()
{
	if [ ! -s "$E2E_CACHE/debian.tar" ]; then
		[ -n "${KIST_TEST_FULL:-}" ] && fail 'no Debian image: debootstrap failed'
		skip 'no Debian image: debootstrap could not reach a mirror'
	fi
	E2E_TIMEOUT=300 kist import "$E2E_CACHE/debian.tar" debian >/dev/null
}

# shellcheck disable=SC2120 # 'disk' is given by one suite
setup_store()
{
	new_store "$@"
	# podman mounts its root on itself; that is no leftover.
	if is_podman; then
		import_busybox
	fi
	snapshot >"$BATS_TEST_TMPDIR/before"
	is_podman || import_busybox
}

# Takes away what a failing test left, so that the next one starts clean.
sweep()
{
	local file mount
	: "${STORE:?no test has begun}"
	for file in $(grep -L -E '^0::/harness' /proc/[0-9]*/cgroup 2>/dev/null); do
		file=${file#/proc/}
		[ "${file%/cgroup}" = 1 ] || kill -9 "${file%/cgroup}" 2>/dev/null
	done
	for file in $(program_processes); do
		kill -9 "${file#/proc/}" 2>/dev/null
	done
	grep -oE " $STORE/[^ ]*" /proc/self/mountinfo | sort -r | while read -r mount; do
		umount -l "$mount"
	done
	find "$CGROUP/kist" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null
	rm -rf --one-file-system "$STORE"
	return 0
}

teardown_store()
{
	local code=0
	[ -n "${STORE:-}" ] || return 0 # skipped before it began
	if ! kist rm -f -a -t 0 >"$STORE/rm.out" 2>&1; then
		echo 'rm -fa at the end of the test failed:'
		cat "$STORE/rm.out"
		code=1
	fi
	if [ "$code" -eq 0 ] && clean; then
		rm -rf --one-file-system "$STORE"
		return 0
	fi
	sweep
	return 1
}

setup()
{
	setup_store
}

teardown()
{
	teardown_store
}
