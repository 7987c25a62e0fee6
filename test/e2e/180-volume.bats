#!/usr/bin/env bats
# Volumes: the commands, and what they are in containers.
load helpers

# Volumes outlive containers: a test ends without any.
teardown()
{
	run -0 kist volume rm -a -f -t 0
	teardown_store
}

# One of busybox's own directories of the image, with content: see test/e2e/fixtures.
data_image()
{
	mkdir -p "$STORE/image"
	tar -C "$STORE/image" -xf "$E2E_CACHE/busybox.tar"
	mkdir "$STORE/image/stuff"
	echo image >"$STORE/image/stuff/file"
	ln "$STORE/image/stuff/file" "$STORE/image/stuff/hard"
	chown 12:34 "$STORE/image/stuff/file" "$STORE/image/stuff"
	chmod 4751 "$STORE/image/stuff/file"
	tar -C "$STORE/image" -cf "$STORE/image.tar" .
	kist import --change CMD='["/bin/sh"]' "$@" "$STORE/image.tar" data >/dev/null 2>&1
}

@test "volume: create, ls, inspect, exists, rm" {
	equal data "$(kist volume create data)"
	matches "$FULL_ID" "$(kist volume create)"
	run -0 kist volume exists data
	run -1 kist volume exists other
	run -0 kist volume ls
	matches '^DRIVER +VOLUME NAME$' "${lines[0]}"
	equal 3 "${#lines[@]}"
	matches 'local +data' "$output"
	equal data "$(kist volume ls -q --filter name=dat)"
	equal data "$(kist volume inspect --format '{{.Name}}' data)"
	equal "$(kist volume inspect --format '{{.Mountpoint}}' data)" "$(kist volume mount data)"
	kist volume unmount data
	[ -d "$(kist volume inspect --format '{{.Mountpoint}}' data)" ]
	equal 'local local' "$(kist volume inspect --format '{{.Driver}} {{.Scope}}' data)"
	run -0 kist volume inspect --all
	equal 2 "$(grep -c '"Name"' <<<"$output")"
	equal data "$(kist volume rm data)"
	run -1 kist volume rm data
	contains "$output" 'data'
	run -125 kist volume inspect data
	kist volume rm -a
	equal '' "$(kist volume ls -q)"
}

@test "volume: labels, filters, formats" {
	kist volume create --label a=1 --label b=2 one
	kist volume create --label a=2 two
	kist create --name user -v one:/v busybox
	equal one "$(kist volume ls -q --filter label=a=1)"
	equal 2 "$(kist volume ls -q --filter label=a | wc -l)"
	equal two "$(kist volume ls -q --filter dangling=true)"
	equal one "$(kist volume ls -q --filter dangling=false)"
	equal 2 "$(kist volume inspect --format '{{.Labels.a}}' two)"
	equal two,one "$(kist volume ls --filter name=o --format '{{.Name}}' | sort -r | paste -sd ,)"
	contains "$(kist volume ls --format json)" '"Name": "two"'
	equal 2 "$(kist volume ls --noheading | wc -l)"
	is_podman || engine_error kist volume ls --filter nosuch=1
	equal one "$(kist inspect --format '{{(index .Mounts 0).Name}}' user)"
	equal 'volume /v local true' "$(kist inspect --format '{{range .Mounts}}{{.Type}} {{.Destination}} {{.Driver}} {{.RW}}{{end}}' user)"
	kist rm user
}

@test "volume: names and options are checked" {
	kist volume create v
	engine_error kist volume create v
	engine_error kist volume create ../x
	engine_error kist volume create -- -x
	engine_error kist volume create --driver nosuch x
	engine_error kist volume create --opt nosuch=1 x
	kist_only
	equal v "$(kist volume create --ignore v)"
	engine_error kist volume create --opt type=ext4 x
	engine_error kist volume create --opt o=bind --opt device=relative x
	equal v "$(kist volume ls -q)"
}

@test "-v NAME: data stays over rm, is shared, and is made by run" {
	run -0 kist run --rm -v data:/d busybox sh -c 'echo kept >/d/f'
	equal data "$(kist volume ls -q)"
	equal kept "$(kist run --rm -v data:/other busybox cat /other/f)"
	run ! kist run --rm -v data:/d:ro busybox touch /d/g
	contains "$output" 'Read-only'
	equal kept "$(kist run --rm --mount type=volume,source=data,destination=/d busybox cat /d/f)"
	run ! kist run --rm --mount type=volume,src=data,dst=/d,ro busybox touch /d/g
	local id
	id=$(sleeper -v data:/d)
	kist exec "$id" sh -c 'echo live >/d/live'
	equal live "$(kist run --rm -v data:/d busybox cat /d/live)"
	kist rm -f -t 0 "$id"
	run -0 kist run --rm -v data:/d busybox grep ' /d ' /proc/self/mountinfo
	contains "$output" nosuid
	contains "$output" nodev
	run -0 kist run --rm -v data:/d:noexec,suid,dev busybox grep ' /d ' /proc/self/mountinfo
	contains "$output" noexec
	lacks "$output" nosuid
	engine_error kist run --rm -v data:/d:nosuch busybox true
	engine_error kist run --rm -v data:relative busybox true
	engine_error kist run --rm -v ../data:/d:x:y busybox true
}

@test "volume rm: says who uses it; --force removes them" {
	kist create --name holder -v data:/d busybox
	local id
	id=$(kist inspect --format '{{.Id}}' holder)
	run -2 kist volume rm data
	contains "$output" "${id:0:12}"
	run -0 kist volume exists data
	kist volume rm --force -t 0 data
	equal '' "$(kist ps -aq)"
	run -1 kist volume exists data
	# A running one too.
	sleeper --name holder -v data:/d >/dev/null
	kist volume rm --force -t 0 data
	equal '' "$(kist ps -aq)"
	clean
}

@test "anonymous volumes go with --rm and with rm -v" {
	run -0 kist run --rm -v /anon busybox sh -c 'echo x >/anon/f'
	equal '' "$(kist volume ls -q)"
	kist run --name c -v /anon -v named:/n busybox true
	equal 2 "$(kist volume ls -q | wc -l)"
	kist rm c
	equal 2 "$(kist volume ls -q | wc -l)"
	kist volume rm -a
	kist run --name c -v /anon -v named:/n busybox true
	matches "$FULL_ID" "$(kist inspect --format '{{range .Mounts}}{{if eq .Destination "/anon"}}{{.Name}}{{end}}{{end}}' c)"
	kist rm -v c
	equal named "$(kist volume ls -q)"
	kist_only
	# One that another container uses stays until that goes, too.
	kist create --name a -v /anon busybox
	kist create --name b --volumes-from a busybox
	kist rm -v a
	equal 2 "$(kist volume ls -q | wc -l)"
	kist rm -v b
	equal named "$(kist volume ls -q)"
}

@test "volumes of the image: anonymous, tmpfs or ignored" {
	data_image --change VOLUME=/stuff
	kist run --name c data sh -c 'cat /stuff/file; echo mine >/stuff/file' >"$STORE/out"
	equal image "$(cat "$STORE/out")"
	equal 1 "$(kist volume ls -q | wc -l)"
	equal image "$(kist run --rm data cat /stuff/file)"
	kist rm -v c
	equal '' "$(kist volume ls -q)"
	# The user's own goes before.
	kist run --rm -v mine:/stuff data true
	equal mine "$(kist volume ls -q)"
	kist volume rm mine
	run -0 kist run --rm --image-volume tmpfs data grep ' /stuff ' /proc/self/mountinfo
	contains "$output" tmpfs
	run -1 kist run --rm --image-volume ignore data grep ' /stuff ' /proc/self/mountinfo
	equal '' "$(kist volume ls -q)"
}

@test "copy-up: once, with owners and modes, into an empty volume only" {
	data_image
	run -0 kist run --rm -v v:/stuff data sh -c 'cat /stuff/file; stat -c "%a %u %g %h" /stuff/file; stat -c "%u %g" /stuff; rm /stuff/file'
	equal 'image,4751 12 34 2,12 34' "$(paste -sd , <<<"$output")"
	run -1 kist run --rm -v v:/stuff data test -e /stuff/file
	run -0 kist run --rm -v w:/stuff:nocopy data ls /stuff
	equal '' "$output"
	kist volume create full
	echo user >"$(kist volume mount full)/file"
	kist volume unmount full
	equal user "$(kist run --rm -v full:/stuff data cat /stuff/file)"
	run -1 kist run --rm -v full:/stuff data test -e /stuff/hard
}

@test "an empty volume belongs to who works in it; U changes the owner of all" {
	run -0 kist run --rm -u 1000:1001 -v v:/new busybox sh -c 'touch /new/f && stat -c "%u %g" /new'
	equal '1000 1001' "$output"
	run -0 kist run --rm -u 7 -v v:/new:U busybox sh -c 'stat -c "%u" /new /new/f'
	equal 7,7 "$(paste -sd , <<<"$output")"
	mkdir "$STORE/d"
	touch "$STORE/d/f"
	ln -s /etc/passwd "$STORE/d/l"
	run -0 kist run --rm -u 7 -v "$STORE/d:/d:U" busybox true
	equal 7,7 "$(stat -c %u "$STORE/d/f" "$STORE/d/l" | paste -sd ,)"
	equal 0 "$(stat -c %u /etc/passwd)"
	kist_only
	engine_error kist run --rm -v /etc:/d:U busybox true
}

@test "O: changes go with the run" {
	kist run --rm -v v:/v busybox sh -c 'echo old >/v/f'
	equal new "$(kist run --rm -v v:/v:O busybox sh -c 'echo new >/v/f; cat /v/f')"
	equal old "$(kist run --rm -v v:/v busybox cat /v/f)"
	mkdir "$STORE/d"
	echo old >"$STORE/d/f"
	run -0 kist run --rm -v "$STORE/d:/d:O" busybox sh -c 'echo new >/d/f; touch /d/g'
	equal old "$(cat "$STORE/d/f")"
	[ ! -e "$STORE/d/g" ]
}

@test "subpath: inside the volume, whatever links say" {
	kist_only
	kist run --rm -v v:/v busybox sh -c 'mkdir -p /v/a/b; echo yes >/v/a/b/c; ln -s /etc /v/out; ln -s a/b /v/in; ln -s ../../../../a /v/up'
	equal yes "$(kist run --rm --mount type=volume,src=v,dst=/s,subpath=a/b busybox cat /s/c)"
	equal yes "$(kist run --rm -v v:/s:subpath=in busybox cat /s/c)"
	equal yes "$(kist run --rm --mount type=volume,src=v,dst=/s,volume-subpath=up busybox cat /s/b/c)"
	equal yes "$(kist run --rm --mount type=volume,src=v,dst=/s,subpath=a/b/c busybox cat /s)"
	engine_error kist run --rm --mount type=volume,src=v,dst=/s,subpath=out busybox true
	contains "$stderr" out
	engine_error kist run --rm --mount type=volume,src=v,dst=/s,subpath=missing busybox true
	engine_error kist run --rm --mount type=volume,src=v,dst=/s,subpath=/abs busybox true
	clean
}

@test "--volumes-from: its volumes and host paths, with options; what is given goes before" {
	mkdir "$STORE/host" "$STORE/own"
	touch "$STORE/host/h" "$STORE/own/o"
	kist run --name a -v vol:/vol -v "$STORE/host:/host" -v /anon --tmpfs /tmpfs busybox sh -c 'touch /vol/v /anon/n'
	run -0 kist run --rm --volumes-from a busybox ls /vol /host /anon
	contains "$output" v
	contains "$output" h
	contains "$output" n
	run ! kist run --rm --volumes-from a:ro busybox touch /vol/x
	run ! kist run --rm --volumes-from a:ro busybox touch /host/x
	run -0 kist run --rm --volumes-from a:rw,z busybox touch /vol/x
	equal o "$(kist run --rm --volumes-from a -v "$STORE/own:/host" busybox ls /host)"
	engine_error kist run --rm --volumes-from a:nosuch busybox true
	engine_error kist run --rm --volumes-from nosuch busybox true
	engine_error kist run --rm --volumes-from a:ro,rw busybox true
	kist rm -v a
}

@test "volumes with a file system of their own" {
	kist_only
	kist volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=64k,mode=700 t
	run -0 kist run --rm -v t:/t busybox sh -c 'grep " /t " /proc/self/mountinfo; stat -c %a /t; echo x >/t/x'
	contains "$output" 'size=64k'
	contains "$output" 700
	run -1 kist run --rm -v t:/t busybox test -e /t/x
	# One for all that run with it at a time.
	local id
	id=$(sleeper -v t:/t:ro)
	kist run --rm -v t:/t busybox sh -c 'echo shared >/t/x'
	equal shared "$(kist exec "$id" cat /t/x)"
	kist rm -f -t 0 "$id"
	mkdir "$STORE/dir"
	echo there >"$STORE/dir/f"
	kist volume create --opt type=none --opt o=bind --opt "device=$STORE/dir" b
	equal there "$(kist run --rm -v b:/b busybox cat /b/f)"
	kist volume rm b
	equal there "$(cat "$STORE/dir/f")"
	engine_error kist volume create --opt o=size=1m q
	contains "$stderr" prjquota
	kist volume create --opt type=nosuchfs --opt device=/dev/null n
	run -125 kist run --rm -v n:/n busybox true
	contains "$output" nosuchfs
	clean
}

@test "volumes in memory: containers that start at once share one, at two places too" {
	kist_only
	kist volume create --opt type=tmpfs s
	kist volume create --opt type=ramfs t
	local round n pids
	for round in 1 2 3 4; do
		pids=()
		for n in 1 2 3 4; do
			# Half of them name the volumes in the other order.
			if [ $((n % 2)) = 0 ]; then set -- -v s:/a -v t:/b; else set -- -v s:/b -v t:/a; fi
			kist run -d --name "c$n" "$@" busybox sh -c 'touch /a/$0 /b/$0; exec sleep 100' "$n" >/dev/null &
			pids+=($!)
		done
		for n in "${pids[@]}"; do wait "$n"; done
		for n in 1 2 3 4; do
			all_there() { [ "$(kist exec "c$n" sh -c 'echo /a/* /b/*')" = '/a/1 /a/2 /a/3 /a/4 /b/1 /b/2 /b/3 /b/4' ]; }
			until_true 10 all_there || fail "round $round, c$n has $(kist exec "c$n" sh -c 'echo /a/* /b/*')"
		done
		kist rm -f -a -t 0
	done
	# Mounted twice in one container: the same memory, or a clear refusal where the kernel cannot copy such a mount.
	run kist run --rm -v t:/a -v t:/b busybox sh -c 'touch /a/x && ls /b'
	if [ "$status" = 0 ]; then
		equal x "$output"
	else
		equal 125 "$status"
		contains "$output" 'volume t at /b: a volume in memory at two places'
		kist volume mount t
		equal x "$(kist run --rm -v t:/a -v t:/b busybox sh -c 'touch /a/x && ls /b')"
	fi
	kist volume rm s t
	clean
}

@test "volume mount and unmount: counted" {
	kist_only
	kist volume create --opt type=tmpfs t
	local path
	path=$(kist volume mount t)
	equal "$path" "$(kist volume mount t)"
	equal 2 "$(kist volume inspect --format '{{.MountCount}}' t)"
	touch "$path/on-host"
	run -0 kist run --rm -v t:/t busybox test -e /t/on-host
	kist volume unmount t
	[ -e "$path/on-host" ]
	kist volume unmount t
	[ ! -e "$path/on-host" ]
	kist volume mount t
	kist volume rm t
	clean
}

@test "volume export and import" {
	kist run --rm -v v:/v busybox sh -c 'mkdir -p /v/d; echo text >/v/d/f; ln /v/d/f /v/l; ln -s nowhere /v/s; chmod 2750 /v/d; mkfifo /v/p; chown 5:6 /v/d/f'
	kist volume export v >"$STORE/v.tar"
	run -0 tar -tvf "$STORE/v.tar"
	contains "$output" 'd/f'
	contains "$output" 's -> nowhere'
	kist volume export --output "$STORE/other.tar" v
	cmp "$STORE/v.tar" "$STORE/other.tar"
	kist volume create w
	kist volume import w "$STORE/v.tar"
	run -0 kist run --rm -v w:/w busybox sh -c 'cat /w/d/f; stat -c "%u %g %h" /w/d/f; stat -c %a /w/d; test -p /w/p && readlink /w/s'
	equal 'text,5 6 2,2750,nowhere' "$(paste -sd , <<<"$output")"
	# By a pipe, compressed.
	kist volume create x
	kist volume export v | gzip | kist volume import x -
	equal text "$(kist run --rm -v x:/x busybox cat /x/l)"
	engine_error kist volume import nosuch "$STORE/v.tar"
	engine_error kist volume import x "$STORE/missing.tar"
	engine_error kist volume export nosuch
}

@test "volume import: a hostile archive stays inside" {
	kist_only
	mkdir "$STORE/outside"
	ln -s "$STORE/outside" "$STORE/link"
	echo bad >"$STORE/bad"
	tar -C "$STORE" -cf "$STORE/evil.tar" link
	tar -C "$STORE" --transform 's,^bad,link/bad,' -rf "$STORE/evil.tar" bad
	tar -C "$STORE" -P --transform 's,^bad,../../../../../escaped,' -rf "$STORE/evil.tar" bad
	kist volume create v
	run kist volume import v "$STORE/evil.tar"
	equal '' "$(ls "$STORE/outside")"
	[ ! -e /escaped ] && [ ! -e "$STORE/escaped" ] && [ ! -e "$ROOT/escaped" ]
}

@test "volume prune: only what nobody uses" {
	kist_only
	kist create --name c -v used:/u busybox
	kist volume create --label keep=1 one
	kist volume create two
	run -0 kist volume prune --force --filter label!=keep=1
	equal two "$output"
	run -0 kist volume prune <<<n
	equal 'one used' "$(kist volume ls -q | sort | paste -sd ' ')"
	kist volume prune <<<y
	equal used "$(kist volume ls -q)"
	kist rm c
	run -0 kist volume prune -f
	equal used "$output"
}

@test "volumes survive kill -9 of the program, and leave nothing half" {
	kist_only
	for _ in $(seq 40); do
		$(kist_command) run --rm -v /anon -v data:/d busybox true >/dev/null 2>&1 3>&- &
		sleep "0.0$((RANDOM % 90))"
		kill -9 $! 2>/dev/null || true
		wait $! 2>/dev/null || true
	done
	until_true 10 eval '[ -z "$(kist ps -aq --filter status=running)" ]'
	kist ps -a >/dev/null
	kist rm -f -a -v -t 0 >/dev/null
	local left
	left=$(kist volume ls -q)
	[ -z "$left" ] || equal data "$left"
}

@test "restart: the same data, the same anonymous volume" {
	kist create --name c -v data:/d -v /anon busybox sh -c 'echo line >>/d/log; echo line >>/anon/log; wc -l </d/log; wc -l </anon/log'
	kist start c
	kist wait c
	equal 2,2 "$(kist start -a c | paste -sd ,)"
	kist rm -v c
}
