#!/usr/bin/env bats
# Log drivers that keep nothing here, logs of several containers, and attached clients under load.
load helpers

@test "logs: passthrough hands stdio over, syslog without a daemon holds nothing up" {
	kist_only
	run -0 --separate-stderr kist run --rm --log-driver passthrough busybox sh -c 'cat; echo err >&2' <<<'from here'
	equal 'from here' "$output"
	equal err "$stderr"
	kist run -d --name p --log-driver passthrough busybox echo detached >"$STORE/out"
	kist wait p >/dev/null
	contains "$(cat "$STORE/out")" detached
	engine_error kist logs p
	engine_error kist run --rm -t --log-driver passthrough busybox true
	engine_error kist run --rm --log-driver journald busybox true
	contains "$stderr" journald
	run -0 kist run --name s --log-driver syslog --log-opt "path=$STORE/nobody" --log-opt tag=mine busybox sh -c 'yes | head -n 10000 >&2; echo out'
	equal out "$(tail -n 1 <<<"$output")"
	engine_error kist logs s
	equal syslog "$(kist inspect --format '{{.HostConfig.LogConfig.Type}}' s)"
}

@test "logs: a device or a FIFO named as the log is written to, never rotated, and holds no start up" {
	kist_only
	mknod "$STORE/device" c 1 3
	mkfifo "$STORE/fifo"
	engine_error kist run --rm --log-opt "path=$STORE/fifo" busybox true
	contains "$stderr" 'open log fifo'
	engine_error kist run --rm --pidfile "$STORE/fifo" busybox true
	contains "$stderr" 'write pid file'
	cat "$STORE/fifo" >"$STORE/read" 3>&- &
	local reader=$! name
	for name in device fifo; do
		kist run --name c --log-opt "path=$STORE/$name" --log-opt max-size=1k busybox \
			sh -c 'for n in 1 2 3 4; do seq 100; sleep 0.2; done' >/dev/null
		kist rm c >/dev/null
	done
	wait "$reader"
	equal 400 "$(wc -l <"$STORE/read")"
	equal 'character special file fifo' "$(stat -c %F "$STORE/device" "$STORE/fifo" | xargs)"
	[ ! -e "$STORE/device.1" ] && [ ! -e "$STORE/fifo.1" ]
}

@test "logs: several containers, each with its name or colour, followed to their ends" {
	kist_only
	kist run -d --name a busybox sh -c 'echo one; sleep 0.3; echo two' >/dev/null
	kist run -d --name b busybox sh -c 'echo three; sleep 0.3; echo four >&2' >/dev/null
	run -0 kist logs -f -n a b
	equal 'a one a two b four b three' "$(sort <<<"$output" | xargs)"
	run -0 kist logs --names --color --tail 1 a b
	equal $'\033[36ma two\033[0m\n\033[33mb four\033[0m' "$output"
	equal four "$(kist logs --latest 2>&1 | tail -n 1)"
	engine_error kist logs a nosuch
	equal '' "$output"
}

# Five clients: two read, one stands still, one is killed. The container is held up no longer than the bound (5 s for a
# client that does not read), and the log has every line.
@test "attach: a hundred megabytes with slow, stopped and killed clients: the log is whole" {
	kist_only
	local count=800000 i pids=()
	kist run -d --name c --log-opt max-size=-1 busybox sh -c "while [ ! -f /go ]; do sleep 0.05; done; yes 'a line of output that is as long as such lines are, more or less, and then some more of it, up to 125 characters in all......' | head -n $count" >/dev/null
	for i in 1 2 3 4 5; do
		# shellcheck disable=SC2046 # a command line
		$(kist_command) attach --no-stdin --sig-proxy=false c > >(wc -l >"$STORE/out$i") 2>/dev/null </dev/null 3>&- &
		pids[i]=$!
	done
	attached() { [ "$(kist events --stream=false --filter event=attach --filter container=c | wc -l)" -ge 5 ]; }
	until_true 10 attached || fail 'not attached'
	kist exec c touch /go
	local path
	path=$(kist inspect --format '{{.HostConfig.LogConfig.Path}}' c)
	growing() { [ "$(stat -c %s "$path" 2>/dev/null || echo 0)" -gt 100000 ]; }
	until_true 20 growing || fail 'no output'
	kill -STOP "${pids[3]}"
	kill -9 "${pids[5]}"
	E2E_TIMEOUT=120 kist wait c >/dev/null
	kill -KILL "${pids[3]}"
	wait "${pids[1]}" "${pids[2]}" "${pids[4]}" || true
	for i in 1 2 4; do
		until_true 10 test -s "$STORE/out$i"
		equal "$count" "$(cat "$STORE/out$i")" "lines of client $i"
	done
	equal "$count" "$(kist logs c | wc -l)" 'lines of the log'
	# The longest time in which the container could not write: the bound, and what a busy machine adds.
	local gap
	gap=$(awk '{ split(substr($1, 12), t, /[:.Z+]/); now = t[1] * 3600000 + t[2] * 60000 + t[3] * 1000 + substr(t[4] "000", 1, 3) }
		NR > 1 && now - last > gap { gap = now - last }
		{ last = now }
		END { print gap + 0 }' "$path")
	echo "# the longest pause: $gap ms" >&3
	[ "$gap" -lt 8000 ] || fail "the container was held up for $gap ms"
}
