#!/usr/bin/env bats
# logs: the drivers, rotation, what is shown.
load helpers

log_path()
{
	kist inspect --format '{{.HostConfig.LogConfig.Path}}' "$1"
}

@test "logs: stdout and stderr, each on its own" {
	kist run --name c busybox sh -c 'echo out; echo err >&2'
	run -0 --separate-stderr kist logs c
	equal out "$output"
	equal err "$stderr"
}

@test "logs: k8s-file lines" {
	kist run --name c --log-driver k8s-file busybox sh -c 'echo one; printf partial; echo err >&2'
	equal k8s-file "$(kist inspect --format '{{.HostConfig.LogConfig.Type}}' c)"
	local path
	path=$(log_path c)
	grep -qE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+([+-][0-9:]+|Z) stdout F one$' "$path"
	grep -qE ' stdout P partial$' "$path"
	grep -qE ' stderr F err$' "$path"
	kist_only
	equal 640 "$(stat -c %a "$path")"
}

@test "logs: json-file lines" {
	kist_only
	kist run --name c --log-driver json-file busybox sh -c 'echo "one \"two\""; printf "tab\t\n"; echo err >&2'
	local path
	path=$(log_path c)
	equal 3 "$(jq -s length "$path")"
	equal 'one "two"' "$(jq -rs '.[0].log' "$path")"
	equal stdout "$(jq -rs '.[0].stream' "$path")"
	equal 1 "$(jq -s '[.[] | select(.stream == "stderr")] | length' "$path")"
	jq -rs '.[0].time' "$path" | grep -qE '^[0-9]{4}-.*T.*Z$'
	run -0 --separate-stderr kist logs c
	equal $'one "two"\ntab\t' "$output"
	equal err "$stderr"
}

@test "logs: binary output does not break the log" {
	kist_only
	local driver
	for driver in k8s-file json-file; do
		kist run --name "$driver" --log-driver "$driver" busybox sh -c 'head -c 20000 /dev/urandom; echo; echo end' >/dev/null
		contains "$(kist logs --tail 1 "$driver" | tr -d '\0')" end
	done
}

@test "logs: none keeps nothing, output is still seen" {
	run -0 kist run --name c --log-driver none busybox echo seen
	equal seen "$output"
	run kist logs c
	[ "$status" -ne 0 ]
}

@test "logs: an unknown driver or option is an error" {
	engine_error kist run --rm --log-driver nosuch busybox true
	kist_only
	contains "$stderr" nosuch
	engine_error kist run --rm --log-opt nosuch=1 busybox true
	engine_error kist run --rm --log-opt max-size=abc busybox true
}

@test "logs: rotation keeps the log bounded and the newest lines" {
	kist_only
	kist run --name c --log-opt max-size=50k --log-opt max-file=3 busybox sh -c 'i=0; while [ $i -lt 5000 ]; do echo "line $i ------------------------------"; i=$((i+1)); done' >/dev/null
	local path total
	path=$(log_path c)
	total=$(cat "$path"* | wc -c)
	[ "$total" -le 160000 ] || fail "$total bytes of log"
	[ "$total" -ge 50000 ] || fail "only $total bytes of log"
	equal 'line 4999 ------------------------------' "$(kist logs --tail 1 c)"
	# The lines that are left have no gap.
	kist logs c | awk '{ if (last != "" && $2 != last + 1) { print "gap after " last; exit 1 } last = $2 }'
}

@test "logs: --tail, -t, --since, --until" {
	kist run --name c busybox sh -c 'for i in 1 2 3 4 5; do echo $i; done' >/dev/null
	equal '4 5' "$(kist logs --tail 2 c | xargs)"
	equal '1 2 3 4 5' "$(kist logs --tail -1 c | xargs)"
	equal '1 2 3 4 5' "$(kist logs --tail 100 c | xargs)"
	run -0 kist logs -t --tail 1 c
	matches '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+ 5$' "$output"
	equal '' "$(kist logs --since 2099-01-01T00:00:00Z c)"
	equal '1 2 3 4 5' "$(kist logs --since 1h c | xargs)"
	equal '' "$(kist logs --until 2001-01-01T00:00:00Z c)"
	run -125 kist logs --tail abc c
	run -125 kist logs --since nonsense c
	run -125 kist logs nosuch
}

@test "logs: -f follows to the end of the container" {
	kist run -d --name c busybox sh -c 'for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done' >/dev/null
	run -0 kist logs -f c
	equal '1 2 3 4 5 6' "$(xargs <<<"$output")"
	run -0 timeout 10 bash -c "$(declare -f kist kist_command is_podman); kist logs -f c"
	equal '1 2 3 4 5 6' "$(xargs <<<"$output")"
}

@test "logs: -f holds nothing up" {
	sleeper --name c >/dev/null
	kist logs -f c >"$STORE/follow" 3>&- &
	local follower=$!
	until_true 10 grep -q ready "$STORE/follow"
	run -0 kist stop c
	until_true 10 bash -c "! kill -0 $follower 2>/dev/null"
	run -0 kist rm c
}

@test "logs: -f goes on across rotation" {
	kist_only
	kist run -d --name c --log-opt max-size=20k --log-opt max-file=2 busybox sh -c 'i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); [ $((i % 500)) -ne 0 ] || sleep 0.2; done' >/dev/null
	run -0 kist logs -f c
	equal 'line 2999' "${lines[-1]}"
}

@test "logs: a terminal's output is kept too" {
	kist run -d -t --name c busybox sh -c 'echo on-terminal' >/dev/null
	in_state c exited
	contains "$(kist logs c)" on-terminal
}

@test "logs: long lines come back whole" {
	kist run --name c busybox sh -c 'head -c 100000 /dev/zero | tr "\0" x; echo; echo end' >/dev/null
	equal 100000 "$(kist logs c | head -n 1 | tr -d '\n' | wc -c)"
	equal end "$(kist logs --tail 1 c)"
}

@test "logs: several containers" {
	kist run --name a busybox echo from-a >/dev/null
	kist run --name b busybox echo from-b >/dev/null
	run -0 kist logs a b
	contains "$output" from-a
	contains "$output" from-b
}
