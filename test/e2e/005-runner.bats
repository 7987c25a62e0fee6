#!/usr/bin/env bats
# What runs these tests.
load helpers

setup()
{
	:
}

teardown()
{
	local group
	exec 9<&-
	[ -z "${HOLDER:-}" ] || kill "$HOLDER" 2>/dev/null || true
	for group in "$CGROUP"/e2e.*; do
		[ ! -d "$group" ] || {
			until_true 10 is_empty "$group"
			find "$group" -depth -type d -exec rmdir {} +
		}
	done
}

is_empty()
{
	grep -qx 'populated 0' "$1/cgroup.events"
}

# A run of the runner, inside this one, with nothing of bats in its environment. Of no test, where none is named, so that
# it ends at once.
run_inside()
{
	[ $# -gt 0 ] || set -- -f '^no test has this name$' 010-run
	env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin KIST="$KIST" "$BATS_TEST_DIRNAME/run" "$@" 9<&- 3>&-
}

groups()
{
	(cd "$CGROUP" && shopt -s nullglob && echo e2e.*)
}

@test "the runner sweeps the groups that killed runs left, and none of a run that lives" {
	mkdir -p "$CGROUP"/e2e.dead/{harness,kist/deep} "$CGROUP"/e2e.locked/kist "$CGROUP"/e2e.busy/{harness,kist}
	sh -c 'echo $$ >"$1/cgroup.procs" && exec sleep 600' sh "$CGROUP/e2e.busy/harness" 3>&- &
	HOLDER=$!
	until_true 10 grep -qx 'populated 1' "$CGROUP/e2e.busy/cgroup.events"
	exec 9<"$CGROUP/e2e.locked"
	flock 9

	run run_inside
	equal 1 "$status"
	contains "$output" 'e2e: 0 tests planned'
	equal 'e2e.busy e2e.locked' "$(groups)" 'groups'
	[ -d "$CGROUP/e2e.busy/kist" ]
	[ -d "$CGROUP/e2e.locked/kist" ]

	# Their runs end without a word.
	exec 9<&-
	kill "$HOLDER"
	until_true 10 is_empty "$CGROUP/e2e.busy"
	run run_inside
	equal '' "$(groups)" 'groups'
}

@test "the group of a run is locked, survives other runs, and is swept once the run was killed" {
	local suite=$BATS_TEST_TMPDIR/waits.bats group inner
	printf '%s\n' '@test "waits" {' "	echo >$BATS_TEST_TMPDIR/began" '	sleep 600' '}' >"$suite"
	run_inside "$(realpath --relative-to "$BATS_TEST_DIRNAME" "$suite")" >"$BATS_TEST_TMPDIR/out" 2>&1 &
	HOLDER=$!
	until_true 30 test -e "$BATS_TEST_TMPDIR/began" || fail "$(cat "$BATS_TEST_TMPDIR/out")"
	group=$(groups)
	[ -d "$CGROUP/$group/harness" ]
	run flock -n "$CGROUP/$group" true
	equal 1 "$status" 'somebody has the lock'
	run run_inside
	equal "$group" "$(groups)" 'groups'

	# Those who would remove it first.
	inner=$(pgrep -P "$HOLDER")
	kill -9 "$HOLDER" "$inner" "$(pgrep -P "$inner")"
	echo 1 >"$CGROUP/$group/cgroup.kill"
	until_true 10 is_empty "$CGROUP/$group"
	equal "$group" "$(groups)" 'groups'
	[ -d "/tmp/$group" ]
	[ -d "$E2E_CACHE/work.${group#e2e.}" ]
	run run_inside
	equal '' "$(groups)" 'groups'
	[ ! -e "/tmp/$group" ]
	[ ! -e "$E2E_CACHE/work.${group#e2e.}" ]
}
