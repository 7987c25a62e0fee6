#!/usr/bin/env bats
# What 'run' promises: exit codes, standard streams, terminal, names.
load helpers

@test "run: the container's exit code is the command's" {
	run -0 kist run --rm busybox true
	run -1 kist run --rm busybox false
	run -7 kist run --rm busybox sh -c 'exit 7'
	run -255 kist run --rm busybox sh -c 'exit 255'
}

@test "run: a missing command gives 127 and one line" {
	run --separate-stderr kist run --rm busybox /no/such/command
	equal 127 "$status"
	contains "$stderr" '/no/such/command'
	run -127 kist run --rm busybox no-such-command
	kist_only # with runc it is 1
	run -127 kist run --rm busybox bad-interpreter
}

@test "run: a command that cannot be invoked gives 126" {
	run --separate-stderr kist run --rm busybox /etc/text
	equal 126 "$status"
	contains "${stderr,,}" 'permission denied'
	run -126 kist run --rm busybox /etc
}

@test "run: an unknown option, image, or no image gives 125" {
	engine_error kist run --no-such-option busybox true
	contains "$stderr" 'no-such-option'
	run -125 kist run --pull never no-such-image true
	run -125 kist run
	run -125 kist run --rm
}

@test "run: killed by a signal gives 128+n" {
	run -137 kist run --rm --init busybox sh -c 'kill -KILL $$'
	run -143 kist run --rm --init busybox sh -c 'kill -TERM $$'
	run -139 kist run --rm --init busybox sh -c 'kill -SEGV $$'
	run -137 kist run --rm --pid host busybox sh -c 'kill -KILL $$'
}

@test "run: stdout and stderr stay apart" {
	run --separate-stderr kist run --rm busybox sh -c 'echo out; echo err >&2'
	equal 0 "$status"
	equal out "$output"
	equal err "$stderr"
}

@test "run: -i passes stdin on, without it stdin is empty" {
	equal hello "$(echo hello | kist run -i --rm busybox cat)"
	equal '' "$(echo hello | kist run --rm busybox cat)"
}

@test "run: data passes through unchanged, in both directions" {
	head -c 3000000 /dev/urandom >"$STORE/random"
	kist run -i --rm busybox cat <"$STORE/random" >"$STORE/back"
	cmp "$STORE/random" "$STORE/back"
}

@test "run: a closed stdout ends the command line, not in a hang" {
	kist_only
	run -0 bash -c "$(declare -f kist kist_command is_podman); kist run --rm busybox yes 2>/dev/null | head -n 3 | wc -l"
	equal 3 "${lines[-1]}"
	run -0 kist rm -f -a -t 0
}

@test "run: output that comes at the very end is not lost" {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		equal 20000 "$(kist run --rm busybox sh -c 'i=0; while [ $i -lt 200 ]; do printf %0100d 0; i=$((i+1)); done' | wc -c)"
	done
}

@test "run: -t gives a terminal of the caller's size" {
	run -0 script -qec "stty rows 33 cols 77; $(run_command) --rm -it busybox sh -c 'tty; stty size'" /dev/null
	matches '/dev/(pts/0|console)' "$output"
	contains "$output" '33 77'
}

@test "run: without -t there is no terminal" {
	run -1 kist run --rm busybox tty
	contains "$output" 'not a tty'
	kist_only # podman sets TERM always
	run -0 kist run --rm busybox sh -c 'echo "TERM=$TERM"'
	equal 'TERM=' "$output"
}

@test "run: -t works without a terminal on the caller's side" {
	run -0 kist run --rm -t busybox sh -c 'test -t 0 && test -t 1 && echo "$TERM"'
	equal 'xterm' "${output%$'\r'}"
}

@test "run: keys that detach leave the container running" {
	kist_only
	terminal_start "$(run_command) -it --name d busybox sh -c 'echo up; cat'"
	on_screen up
	type_keys '\020'
	type_keys '\021'
	terminal_end
	in_state d running
	run -0 kist rm -f -t 0 d
}

@test "run: -d prints the full id and leaves the container running" {
	run -0 kist run -d --name web busybox sleep 1000
	matches "$FULL_ID" "$output"
	equal running "$(state_of web)"
	equal "$output" "$(kist inspect --format '{{.Id}}' web)"
}

@test "run: --rm leaves nothing behind" {
	run -3 kist run --rm busybox sh -c 'exit 3'
	equal '' "$(kist ps -aq)"
	clean
}

@test "run: --rm -d removes the container when it ends" {
	run -0 kist run -d --rm --name gone busybox true
	no_container() { [ -z "$(kist ps -aq)" ]; }
	until_true 10 no_container
	clean
}

@test "run: a failed start leaves nothing behind" {
	kist_only
	run -127 kist run --name x busybox /no/such
	run -0 kist rm x
	run -127 kist run --rm busybox /no/such
	run -126 kist run --rm --workdir /etc/text busybox true
	clean
}

@test "run: a name in use is refused, --replace takes it" {
	run -0 kist run --name one busybox true
	engine_error kist run --name one busybox true
	contains "$stderr" one
	first=$(kist inspect --format '{{.Id}}' one)
	run -0 kist run --replace --name one busybox true
	[ "$first" != "$(kist inspect --format '{{.Id}}' one)" ]
	id=$(sleeper --replace --name one)
	run -0 kist run --replace --name one busybox true
}

@test "run: names follow podman's rule" {
	local name
	for name in '-x' 'a/b' 'a b' '' '.a' 'a:b' $'a\nb' 'ä' '../x'; do
		run kist create --name="$name" busybox true
		if [ -z "$name" ]; then
			equal 0 "$status" 'an empty name is generated'
		else
			equal 125 "$status" "name '$name'"
		fi
	done
	run -0 kist create --name a_b.c-D9 busybox true
}

@test "run: a name is generated as adjective_surname" {
	run -0 kist create busybox true
	run -0 kist inspect --format '{{.Name}}' "$output"
	matches "$GENERATED_NAME" "$output"
}

@test "run: without a command the image's own is run" {
	run -0 bash -c "$(declare -f kist kist_command is_podman); echo 'echo from-stdin' | kist run -i --rm busybox"
	equal from-stdin "$output"
}

@test "run: nothing to run is an error" {
	run -0 kist import "$E2E_CACHE/busybox.tar" nocommand
	run --separate-stderr kist run --rm nocommand
	equal 125 "$status"
	contains "$stderr" 'command'
}

@test "run: --entrypoint replaces the image's and drops its command" {
	run -0 kist run --rm --entrypoint /bin/echo busybox a b
	equal 'a b' "$output"
	run -0 kist run --rm --entrypoint '["/bin/echo","-n","x"]' busybox y
	equal 'x y' "$output"
	run -0 kist run --rm --entrypoint '' busybox echo plain
	equal plain "$output"
	run -0 kist run --rm --entrypoint /bin/pwd busybox
	equal / "$output"
}

@test "run: a script with #! runs" {
	run -0 kist run --rm busybox hello-script a 'b c'
	equal 'script a b c' "$output"
}

@test "run: arguments pass unchanged" {
	run -0 kist run --rm busybox printf '[%s]' '' 'a b' '$HOME' '*' $'x\ty' '--rm' 'ü' '"'
	equal $'[][a b][$HOME][*][x\ty][--rm][ü]["]' "$output"
}

@test "run: --preserve-fds passes descriptors, and no others get in" {
	kist_only
	run -0 bash -c "$(run_command) --rm --preserve-fds 1 busybox sh -c 'cat <&3; ls /proc/self/fd | wc -l' 3<<<three 4<<<four"
	equal three "${lines[0]}"
	equal 5 "${lines[1]}" 'descriptors: 0 1 2 3 and that of ls'
}

@test "run: no descriptor of the engine is left open in the container" {
	run -0 kist run --rm busybox sh -c 'ls -l /proc/1/fd'
	equal '0 1 2' "$(sed -nE 's/.* ([0-9]+) -> .*/\1/p' <<<"$output" | grep -xE '[0-2]|[3-9]|[0-9]{2,}' | head -n 3 | xargs)"
	lacks "$output" containers
	run -0 kist run --rm busybox ls /proc/self/fd
	equal '0 1 2 3' "$(xargs <<<"$output")"
}

@test "run: --rootfs runs a directory, :O leaves it as it was" {
	mkdir "$STORE/rootfs"
	tar -C "$STORE/rootfs" -xf "$E2E_CACHE/busybox.tar"
	run -0 kist run --rm --rootfs "$STORE/rootfs" sh -c 'echo direct >/written; cat /written'
	equal direct "$output"
	equal direct "$(cat "$STORE/rootfs/written")"
	rm "$STORE/rootfs/written"
	run -0 kist run --rm --rootfs "$STORE/rootfs:O" sh -c 'echo over >/written; cat /written'
	equal over "$output"
	[ ! -e "$STORE/rootfs/written" ]
}

@test "run: what a container writes stays its own" {
	run -0 kist run --name a busybox sh -c 'echo changed >/data/lower; echo new >/data/new; rm /etc/text'
	run -0 kist run --rm busybox sh -c 'cat /data/lower; ls /data; cat /etc/text'
	equal $'lower\nlower\njust text' "$output"
	run -0 kist inspect --format '{{.State.ExitCode}}' a
	equal 0 "$output"
}
