#!/usr/bin/env bats
# Whatever is wrong with what kist is given: exit code 125, one line that says what, nothing left.
load helpers

refused_tar()
{
	run --separate-stderr kist import "$1" bad
	equal 125 "$status" "$2"
	is_podman || one_line "$stderr"
	run -0 kist images --format '{{.Repository}}'
	equal localhost/busybox "$output" "$2"
}

@test "tars: empty, cut, random, of the wrong kind" {
	kist_only
	: >"$STORE/empty"
	refused_tar "$STORE/empty" empty
	head -c 5000 /dev/urandom >"$STORE/random"
	refused_tar "$STORE/random" random
	refused_tar "$STORE/missing" missing
	refused_tar "$STORE" 'a directory'
	local cut
	for cut in 100 512 600 1024 5000 100000; do
		head -c $cut "$E2E_CACHE/busybox.tar" >"$STORE/cut"
		refused_tar "$STORE/cut" "cut at $cut"
	done
	gzip -c "$E2E_CACHE/busybox.tar" | head -c 200000 >"$STORE/cut.gz"
	refused_tar "$STORE/cut.gz" 'cut gzip'
	zstd -q -c "$E2E_CACHE/busybox.tar" | head -c 200000 >"$STORE/cut.zst"
	refused_tar "$STORE/cut.zst" 'cut zstd'
	gzip -c "$E2E_CACHE/busybox.tar" >"$STORE/bad.gz"
	printf 'XXXXXXXX' | dd of="$STORE/bad.gz" bs=1 seek=100000 conv=notrunc 2>/dev/null
	refused_tar "$STORE/bad.gz" 'broken gzip'
	cp "$E2E_CACHE/busybox.tar" "$STORE/sum"
	printf 'X' | dd of="$STORE/sum" bs=1 seek=520 conv=notrunc 2>/dev/null
	refused_tar "$STORE/sum" 'wrong checksum'
	equal '' "$(find "$ROOT/overlay" -name '.tmp-*')"
}

@test "tars: names that lead out stay inside or are refused" {
	mkdir -p "$STORE/outside" "$STORE/t/a"
	echo evil >"$STORE/t/a/evil"
	ln -s "$STORE/outside" "$STORE/t/link"
	ln -s ../../../../../../../../../../../../../../../.. "$STORE/t/up"
	local tar=$STORE/evil.tar
	tar -C "$STORE/t" -P --transform "s,^a/evil,../../../../../../../../../../..$STORE/outside/dots," -cf "$tar" a/evil
	tar -C "$STORE/t" -P --transform "s,^a/evil,$STORE/outside/absolute," -rf "$tar" a/evil
	run kist import "$tar" evil1
	rm "$tar"
	tar -C "$STORE/t" -cf "$tar" link
	tar -C "$STORE/t" --transform 's,^a/evil,link/through,' -rf "$tar" a/evil
	run kist import "$tar" evil2
	rm "$tar"
	tar -C "$STORE/t" -cf "$tar" up
	tar -C "$STORE/t" --transform "s,^a/evil,up$STORE/outside/up," -rf "$tar" a/evil
	run kist import "$tar" evil3
	equal '' "$(ls -A "$STORE/outside")"
	# A hard link to a host file.
	echo secret >"$STORE/secret"
	ln "$STORE/secret" "$STORE/t/hard"
	echo x >"$STORE/t/target"
	tar -C "$STORE/t" -cf "$tar" a/evil
	(cd "$STORE/t" && ln a/evil linked && tar -P --transform "s,^a/evil,../../../../../../../..$STORE/secret,h" -cf "$tar" a/evil linked)
	run kist import "$tar" evil4
	equal secret "$(cat "$STORE/secret")"
	equal 2 "$(stat -c %h "$STORE/secret")"
}

@test "names of containers and images" {
	kist_only
	local name
	for name in 'UPPER' 'a//b' 'a:' ':tag' 'a b' '../x' 'a@' '-x' "$(printf 'n%.0s' $(seq 300))" $'a\nb' 'é'; do
		engine_error kist import -- "$E2E_CACHE/busybox.tar" "$name"
	done
	for name in '' ' ' '/' $'\n' "$(printf 'n%.0s' $(seq 5000))"; do
		run kist inspect "$name"
		equal 125 "$status" "name '$name'"
		run kist run --rm --pull never "$name" true
		equal 125 "$status" "image '$name'"
	done
}

@test "values of options" {
	local option
	for option in --env-file=/no/such --shm-size=x --stop-timeout=x --stop-signal=x --ulimit=x --tmpfs= --volume=a:b:c:d --mount=x \
		--mount=type=bind --device=/no --sysctl=x --umask=x --label-file=/no/such --log-opt=x --group-add=nosuch --workdir=rel \
		--cap-add=x --security-opt=x --restart=x --pull=x; do
		run kist run --rm "$option" busybox true
		[ "$status" -ne 0 ] || fail "$option was taken"
		is_podman || { equal 125 "$status" "$option"; one_line "$output"; }
	done
	clean
}

@test "restart policies, health checks and others that are taken are checked" {
	kist_only
	local option
	# At create, before anything is made.
	for option in --dns=resolver --dns=1.2.3 --dns= --dns=9.9.9.9%eth0 '--dns-search=a b' '--dns-option=a b' --add-host=a --add-host=a: --add-host=:1.2.3.4 \
		--add-host=a:b '--add-host=a b:1.2.3.4' --env-file=/no/such --label-file=/no/such; do
		engine_error kist create "$option" busybox true
		option=${option#*=}
		[ -z "$option" ] || contains "$stderr" "${option%%%*}"
	done
	engine_error kist create --dns none --dns 9.9.9.9 busybox true
	engine_error kist create --dns-search a --dns-search . busybox true
	engine_error kist create --no-hosts --add-host a:1.2.3.4 busybox true
	kist create --name owner busybox true >/dev/null
	for option in --dns=9.9.9.9 --dns-search=a --dns-option=a --add-host=a:1.2.3.4; do
		engine_error kist create --network container:owner "$option" busybox true
		contains "$stderr" 'the container whose network it shares'
	done
	kist rm owner >/dev/null
	engine_error kist pod create --dns resolver
	kist create --name c --dns fe80::1%eth0 --dns ::1 --dns-search . --add-host 'a;b:::1' --add-host c:host-gateway busybox true >/dev/null
	kist rm c >/dev/null
	engine_error kist run --rm --restart nosuch busybox true
	engine_error kist run --rm --preserve-fds x busybox true
	engine_error kist run --rm --cgroup-parent '../x' busybox true
	engine_error kist run --rm --cap-add net_raw --cap-drop NET_RAW busybox true
	engine_error kist run --rm --log-opt tag=x busybox true
}

@test "formats" {
	kist create --name c busybox true >/dev/null
	local format
	for format in '{{' '{{.}' '{{nope}}' '{{.Nope}}' '{{range}}' '{{end}}' '{{if .Names}}' '{{template "x"}}' '{{.Names | nope}}'; do
		run kist ps -a --format "$format"
		equal 125 "$status" "ps $format"
		run kist inspect --format "$format" c
		equal 125 "$status" "inspect $format"
	done
	kist_only
	engine_error kist images --format '{{.Nope}}'
	engine_error kist inspect --format "$(printf '{{if true}}%.0s' $(seq 5000))" c
	engine_error kist inspect --format "{{$(printf '(%.0s' $(seq 20000))" c
}

@test "arguments: too many, too few" {
	local command
	for command in inspect exec wait stop kill start rm restart pause unpause rename import tag rmi logs top; do
		run kist $command
		[ "$status" -ne 0 ] || fail "$command without arguments"
	done
	kist_only
	for command in inspect exec wait stop kill start restart pause unpause rename import tag rmi logs top; do
		engine_error kist $command
	done
	engine_error kist rename a b c
	engine_error kist tag a
	engine_error kist port
}

@test "--root and --runroot that cannot be used" {
	kist_only
	engine_error "$KIST" --root /etc/passwd --runroot "$RUNROOT" ps
	engine_error "$KIST" --root "$ROOT" --runroot /etc/passwd ps
	engine_error "$KIST" --root "$ROOT" --runroot /proc/nope ps
	engine_error "$KIST" --root relative --runroot "$RUNROOT" run --rm --rootfs /nosuch true
	rm -rf relative
}

@test "--rootfs: missing, a file, empty" {
	run -125 kist run --rm --rootfs /no/such true
	run kist run --rm --rootfs /etc/passwd true
	[ "$status" -ge 125 ]
	mkdir "$STORE/nothing"
	run kist run --rm --rootfs "$STORE/nothing" true
	[ "$status" -ge 125 ]
	rm -rf "$STORE/nothing"
	clean
}

@test "a user that is not root gets one clear line" {
	kist_only
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups "$KIST" run --rm busybox true
	equal 125 "$status"
	one_line "$stderr"
	contains "$stderr" root
}

@test "standard streams that are closed" {
	kist_only
	run bash -c "$(run_command) --rm busybox true <&- >&- 2>&-"
	equal 0 "$status"
	run bash -c "$(run_command) --rm busybox sh -c 'echo x; echo y >&2; exit 3' >&- 2>&-"
	equal 3 "$status"
	run bash -c "$(kist_command) ps >&-"
	[ "$status" -ne 139 ]
	run bash -c "$(kist_command) ps >/dev/full"
	[ "$status" -eq 0 ] || equal 125 "$status"
}

@test "a very large environment and many arguments" {
	run -0 kist run --rm -e "BIG=$(head -c 100000 /dev/zero | tr '\0' x)" busybox sh -c 'echo ${#BIG}'
	equal 100000 "$output"
	# shellcheck disable=SC2046 # many words are meant
	run -0 kist run --rm busybox sh -c 'echo $#' sh $(seq 5000)
	equal 5000 "$output"
}
