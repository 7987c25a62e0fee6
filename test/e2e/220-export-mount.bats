#!/usr/bin/env bats
# A container's root file system as an archive, and on the host.
load helpers

@test "export: what is in it, files and standard output, twice the same" {
	cd "$STORE"
	mkdir b
	touch b/bound
	local id
	id=$(sleeper -v "$STORE/b:/b")
	until_true 10 log_has "$id" ready
	kist exec "$id" sh -c 'echo own >/own; mkdir /d; chown 9:8 /d; ln -s own /l; ln /own /hard'
	kist export "$id" >one.tar
	kist export -o two.tar "$id"
	cmp one.tar two.tar
	tar tf one.tar >list
	grep -qx own list && grep -qx d/ list && ! grep -q b/bound list && ! grep -qE '^proc/.' list
	equal own "$(tar xOf one.tar hard)"
	contains "$(tar tvf one.tar --numeric-owner d)" 9/8
	kist stop -t 1 "$id" >/dev/null
	kist export "$id" | tar tf - | grep -qx own
	kist_only
	kist import one.tar again >/dev/null
	equal own "$(kist run --rm again cat /own)"
	kist rm "$id" >/dev/null
	clean
}

@test "export: refusals" {
	kist create --name c busybox true >/dev/null
	engine_error kist export nosuch
	engine_error kist export -o a:b c
	engine_error kist export -o "$STORE/missing/file" c
	terminal_start "$(kist_command) export c"
	on_screen 'refusing to export'
	terminal_end || true
	kist rm c >/dev/null
	clean
}

@test "mount: counted, listed, gone with the last unmount" {
	kist_only
	local id path
	id=$(kist create --name c busybox true)
	path=$(kist mount c)
	equal "$RUNROOT/containers/$id/merged" "$path"
	[ -x "$path/bin/sh" ]
	equal "$path" "$(kist mount c)"
	equal "${id:0:12}  $path" "$(kist mount)"
	equal "$id  $path" "$(kist mount --no-trunc)"
	equal "$id" "$(kist mount --format json | sed -n 's/.*"id": "\(.*\)".*/\1/p')"
	echo put >"$path/put"
	equal c "$(kist unmount c)"
	[ -e "$path/put" ]
	equal c "$(kist umount c)"
	[ ! -e "$path/put" ]
	equal '' "$(kist mount)"
	equal c "$(kist unmount c)"
	kist cp c:/put "$STORE/put"
	equal put "$(cat "$STORE/put")"
	kist rm c >/dev/null
	clean
}

@test "mount: shared with a start, kept over a stop, gone with a removal" {
	kist_only
	local id path
	id=$(kist create --name c busybox sh -c 'trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done')
	path=$(kist mount c)
	echo before >"$path/before"
	kist start c >/dev/null
	until_true 10 log_has c ready
	equal before "$(kist exec c cat /before)"
	kist exec c sh -c 'echo inside >/inside'
	equal inside "$(cat "$path/inside")"
	kist stop -t 1 c >/dev/null
	equal inside "$(cat "$path/inside")"
	kist start c >/dev/null
	equal before "$(kist exec c cat /before)"
	kist unmount c >/dev/null
	equal before "$(kist exec c cat /before)"
	# Of a running container, from its own namespace.
	path=$(kist mount c)
	equal before "$(cat "$path/before")"
	kist rm -f -t 0 c >/dev/null
	[ ! -e "$path" ]
	clean
}

@test "unmount: a busy one, --force, --all" {
	kist_only
	local path
	kist create --name a busybox true >/dev/null
	kist create --name b busybox true >/dev/null
	path=$(kist mount a)
	exec 8<"$path/bin/sh"
	engine_error kist unmount a
	contains "$stderr" '--force'
	[ -e "$path/bin/sh" ]
	kist unmount -f a
	exec 8<&-
	[ ! -e "$path/bin/sh" ]
	equal 2 "$(kist mount -a | wc -l)"
	equal 2 "$(kist unmount -a | wc -l)"
	equal '' "$(kist mount)"
	engine_error kist mount nosuch
	engine_error kist mount --format nosuch
	engine_error kist unmount
	engine_error kist unmount -a a
	kist rm a b >/dev/null
	clean
}
