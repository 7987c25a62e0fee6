#!/usr/bin/env bats
# One static file and nothing else: the machine of someone who copied it there.
load helpers

setup()
{
	kist_only
	readelf -lW "$KIST" 2>/dev/null | grep -q INTERP && skip 'the program under test is not static'
	setup_store
	JAIL=$STORE/jail
	mkdir -p "$JAIL/proc" "$JAIL/sys" "$JAIL/dev" "$JAIL/run"
	cp "$KIST" "$JAIL/kist"
	cp "$(command -v busybox)" "$JAIL/busybox"
	cp "$E2E_CACHE/busybox.tar" "$JAIL/busybox.tar"
	mount -t proc proc "$JAIL/proc"
	mount --rbind /sys "$JAIL/sys"
	mount -t devtmpfs dev "$JAIL/dev" 2>/dev/null || mount --rbind /dev "$JAIL/dev"
	mount -t tmpfs run "$JAIL/run"
}

teardown()
{
	[ -n "${JAIL:-}" ] || return 0
	chroot "$JAIL" /kist rm -f -a -t 0
	local code=$?
	umount -R "$JAIL/run" "$JAIL/dev" "$JAIL/sys" "$JAIL/proc" 2>/dev/null || umount -l "$JAIL"/{run,dev,sys,proc}
	rm -rf --one-file-system "$JAIL"
	teardown_store && return $code
}

@test "chroot: import, run, a detached one with exec, logs, stop" {
	run -0 chroot "$JAIL" /kist import --change CMD=/bin/sh /busybox.tar busybox
	run -0 chroot "$JAIL" /kist run --rm busybox echo hello
	equal hello "$output"
	run -7 chroot "$JAIL" /kist run --rm busybox sh -c 'exit 7'
	run -0 chroot "$JAIL" /kist run --rm -u user busybox id -un
	equal user "$output"
	run -0 chroot "$JAIL" /kist run -d --name c busybox sh -c 'trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done'
	run -0 chroot "$JAIL" /kist exec c echo inside
	equal inside "$output"
	run -0 chroot "$JAIL" /kist ps --format '{{.Names}} {{.State}}'
	run -0 chroot "$JAIL" /kist stop c
	run -0 chroot "$JAIL" /kist logs c
	equal ready "$output"
	run -0 chroot "$JAIL" /kist rm c
}

@test "chroot: nothing of the host's libraries is opened" {
	command -v strace >/dev/null || skip 'no strace'
	chroot "$JAIL" /kist import /busybox.tar busybox >/dev/null
	run -0 strace -f -o "$STORE/trace" -e trace=open,openat,openat2 chroot "$JAIL" /kist run --rm -u user busybox true
	# Before the chroot is strace's own doing; after it only the container's files and the kernel's.
	run grep -E 'nsswitch|/lib/|\.so|/etc/(passwd|group|hosts|services|localtime)|locale|gconv' <(sed '1,/chroot/d' "$STORE/trace" | grep -v '"/etc/passwd".*RESOLVE_IN_ROOT')
	lacks "$output" '.so'
	lacks "$output" nsswitch
	lacks "$output" locale
}
