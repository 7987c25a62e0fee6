#!/usr/bin/env bats
# Images that are file systems in a file, mounted as they are; stores that are only read.
load helpers

# pack TYPE FILE: the busybox image as a file system. A skip says why.
pack()
{
	local why=
	grep -qw "$1" /proc/filesystems || modprobe "$1" 2>/dev/null || why="this kernel has no $1"
	[ -e /dev/loop-control ] || modprobe loop 2>/dev/null || why='this host has no loop devices'
	[ "$1" = erofs ] || command -v mksquashfs >/dev/null || why='no mksquashfs'
	[ "$1" = squashfs ] || command -v mkfs.erofs >/dev/null || why='no mkfs.erofs'
	if [ -n "$why" ]; then
		[ -n "${KIST_TEST_FULL:-}" ] && fail "$why"
		skip "$why"
	fi
	mkdir -p "$STORE/tree"
	tar -C "$STORE/tree" -xf "$E2E_CACHE/busybox.tar"
	if [ "$1" = squashfs ]; then
		mksquashfs "$STORE/tree" "$2" -noappend -quiet -no-progress >/dev/null
	else
		mkfs.erofs "$2" "$STORE/tree" >/dev/null 2>&1
	fi
}

# Loop devices over files of this test.
devices()
{
	grep -lF "$STORE/" /sys/block/loop*/loop/backing_file 2>/dev/null | wc -l
}

no_devices()
{
	[ "$(devices)" = 0 ]
}

@test 'an image that is a squashfs or erofs file is mounted, not unpacked' {
	local type id file
	for type in squashfs erofs; do
		file=$STORE/root.$type
		pack $type "$file"
		id=$(kist import -c CMD=/bin/sh "$file" "small-$type")
		cmp "$file" "$ROOT"/overlay/"$(sha256sum <"$file" | cut -c -64)"/image
		kist run --rm --network none "small-$type" sh -c 'test -x /bin/busybox && echo changed >/etc/passwd && cat /etc/passwd' |
			grep -qx changed
		# Two containers share one device, and what one writes the other does not see.
		kist run -d --name one "small-$type" sh -c 'echo one >/file; exec sleep 60'
		kist run -d --name two --uidmap 0:100000:65536 "small-$type" sleep 60
		equal 1 "$(devices)" 'loop devices'
		until_true 10 kist exec one test -s /file
		run kist exec two cat /file
		equal 1 "$status" 'exit code of cat in the other container'
		equal 0 "$(kist exec two stat -c %u /bin/busybox)" 'owner through the user namespace'
		contains "$(kist diff one)" 'A /file'
		kist commit one "more-$type"
		equal one "$(kist run --rm "more-$type" cat /file)" 'committed'
		contains "$(kist image diff "more-$type")" 'A /file'
		# kill -9 of all that there is leaves nothing either.
		kill -9 "$(kist inspect --format '{{.State.ConmonPid}}' one)" "$(pid_of one)" "$(pid_of two)"
		in_state two exited
		kist rm -f -t 0 one two
		until_true 10 no_devices || fail 'a loop device is left'
		engine_error kist save -o "$STORE/docker.tar" "small-$type"
		contains "$stderr" "a docker-archive cannot hold layer"
		kist save --format oci-archive -o "$STORE/oci.tar" "more-$type"
		equal '' "$(kist system check)" 'problems'
		kist rmi "more-$type" "small-$type"
		[ ! -e "$ROOT/overlay/$(sha256sum <"$file" | cut -c -64)" ] || fail 'the layer is left'
		kist load -i "$STORE/oci.tar"
		equal one "$(kist run --rm "more-$type" cat /file)" 'loaded'
		until_true 10 no_devices || fail 'a loop device is left'
		printf x | dd of="$ROOT/overlay/$(sha256sum <"$file" | cut -c -64)/image" bs=1 seek=64 conv=notrunc 2>/dev/null
		run kist system check
		contains "$output" 'its digest is not its name'
		kist rmi -f "more-$type"
	done
}

@test 'the root file system of a container can be a file' {
	local type file
	for type in squashfs erofs; do
		file=$STORE/root.$type
		pack $type "$file"
		kist run --name c --rootfs "$file" sh -c 'echo hi >/x; cat /x'
		kist start c
		equal hi "$(kist cp c:/x - | tar -xO)" 'kept'
		run -127 kist run --rm --read-only --rootfs "$file" /nothing
		run kist run --rm --read-only --rootfs "$file:O" touch /x
		equal 1 "$status" 'exit code on a read-only root'
		contains "$output" 'Read-only file system'
		path=$(kist mount c)
		equal hi "$(cat "$path/x")" 'mounted on the host'
		kist unmount c
		kist rm c
		until_true 10 no_devices || fail 'a loop device is left'
	done
	echo text >"$STORE/text"
	engine_error kist run --rm --rootfs "$STORE/text" true
	contains "$stderr" 'neither a squashfs nor an erofs file system'
	mkfifo "$STORE/fifo"
	engine_error kist run --rm --rootfs "$STORE/fifo" true
	contains "$stderr" 'neither a directory nor a file'
	{ printf hsqs && head -c 5000 /dev/urandom; } >"$STORE/bad"
	engine_error kist run --rm --rootfs "$STORE/bad" true
	contains "$stderr" 'mount squashfs'
	engine_error kist import "$STORE/bad" bad
	equal '' "$(find "$ROOT/overlay" -maxdepth 1 -name '.tmp-*')" 'half-made layers'
	until_true 10 no_devices || fail 'a loop device is left'
}

@test 'image mount: counted, read-only, in the way of rmi; image unmount' {
	local path id
	id=$(kist image inspect --format '{{.Id}}' busybox)
	equal '' "$(kist image mount)" 'nothing is mounted'
	path=$(kist image mount busybox)
	[ -x "$path/bin/busybox" ] || fail "nothing at $path"
	run touch "$path/x"
	[ "$status" -ne 0 ] || fail 'the image can be written'
	equal "$path" "$(kist image mount busybox)" 'mounted again'
	equal "localhost/busybox:latest  $path" "$(kist image mount)"
	equal "$id $path" "$(kist image mount --format json | jq -r '.[0] | .id + " " + .mountpoint')"
	run kist rmi busybox
	equal 2 "$status" 'exit code of rmi'
	contains "$output" "is mounted at $path"
	equal "$id" "$(kist image umount busybox)"
	[ -x "$path/bin/busybox" ] || fail 'gone although it was mounted twice'
	# A process that uses it keeps it, unless it is forced.
	(cd "$path" && kist image unmount busybox) && fail 'unmounted in use'
	equal "$id" "$(kist image unmount busybox)"
	[ ! -e "$path" ] || fail "$path is left"
	equal '' "$(kist image unmount busybox)" 'once more'
	kist image mount --all
	kist image mount busybox
	equal "$id" "$(cd "$path" && kist image unmount --force busybox)"
	[ ! -e "$path" ] || fail "$path is left"
	kist image mount busybox >/dev/null
	kist rmi --force busybox
	[ ! -e "$path" ] || fail "$path is left"
	engine_error kist image mount busybox
	engine_error kist image unmount
}

@test '--mount type=image: read-only, writable for a run, subpath, user namespaces, cp' {
	mkdir -p "$STORE/data/dir"
	echo data >"$STORE/data/dir/file"
	ln -s /etc "$STORE/data/out"
	tar -C "$STORE/data" -c . | kist import - data >/dev/null
	equal data "$(kist run --rm --mount type=image,src=data,dst=/data busybox cat /data/dir/file)"
	run kist run --rm --mount type=image,source=data,destination=/data busybox touch /data/x
	equal 1 "$status" 'exit code of writing'
	contains "$output" 'Read-only file system'
	kist run --name c --mount type=image,src=data,dst=/data,rw=true busybox sh -c 'test ! -e /data/x && echo new >/data/x && cat /data/x'
	kist start -a c
	equal data "$(kist run --rm --mount type=image,src=data,target=/file,subpath=dir/file busybox cat /file)"
	equal data "$(kist run --rm --mount type=image,src=data,target=/d,subpath=dir,readwrite busybox sh -c 'echo x >/d/y; cat /d/file')"
	engine_error kist run --rm --mount type=image,src=data,dst=/d,subpath=none busybox true
	contains "$stderr" 'subpath none'
	engine_error kist run --rm --mount type=image,src=data,dst=/d,subpath=../../../../../etc/hostname busybox true
	# A link in the image leads into the image, where there is no such thing.
	engine_error kist run --rm --mount type=image,src=data,dst=/d,subpath=out busybox true
	equal '0 0' "$(kist run --rm --uidmap 0:100000:65536 --mount type=image,src=data,dst=/data busybox stat -c '%u %g' /data/dir/file)"
	equal '0 0' "$(kist run --rm --uidmap 0:100000:65536 --mount type=image,src=data,dst=/data,rw=true busybox sh -c 'echo >/data/n; stat -c "%u %g" /data/n')"
	equal data "$(kist cp c:/data/dir/file - | tar -xO)"
	equal image "$(kist inspect --format '{{(index .Mounts 0).Type}}' c)"
	run kist rmi data
	equal 2 "$status" 'exit code of rmi of an image that a container has mounted'
	engine_error kist create --mount type=image,src=none,dst=/d busybox
	engine_error kist create --mount type=image,dst=/d busybox
	engine_error kist create --mount type=image,src=data,dst=/d,noexec busybox
	engine_error kist create --mount type=glob,src='/etc/*',dst=/d busybox
	contains "$stderr" "type 'glob' is not supported"
	kist rm c
	kist rmi data
}

@test '--imagestore: images of a store that is only read' {
	local base=$STORE/base id path
	mkdir -p "$base" "$STORE/tree"
	# Not the image that every test has: its layer would be found there.
	tar -C "$STORE/tree" -xf "$E2E_CACHE/busybox.tar"
	echo shipped >"$STORE/tree/shipped"
	tar -C "$STORE/tree" -cf "$STORE/shipped.tar" .
	id=$(timeout 60 "$KIST" --root "$base" --runroot "$STORE/base-run" import -c CMD=/bin/sh "$STORE/shipped.tar" localhost/shipped)
	id=${id#sha256:}
	# As a partition: nothing can be written, not even by mistake.
	mount --bind "$base" "$base"
	mount -o remount,bind,ro "$base"
	store() { timeout --foreground 60 "$KIST" --root "$ROOT" --runroot "$RUNROOT" --imagestore "$base" "$@"; }
	equal "$id" "$(store image inspect --format '{{.Id}}' shipped)"
	contains "$(store images)" 'R/O'
	lacks "$(kist images)" 'R/O'
	equal 'localhost/shipped true' "$(store images --filter readonly=true --format '{{.Repository}} {{.ReadOnly}}')"
	equal ok "$(store run --rm shipped sh -c 'echo ok >/x; cat /x')"
	equal 0 "$(store run --rm --uidmap 0:100000:65536 shipped stat -c %u /bin/busybox)"
	store run --name c -d --init shipped sleep 60
	# The monitor has the store, too; a call without it says what is missing.
	store restart -t 1 c
	store commit c more
	store stop -t 1 c
	engine_error kist start c
	contains "$stderr" 'is not in the store'
	store start c
	KIST_IMAGESTORE=$base kist run --rm more true
	printf 'imagestore.0=%s\n' "$base" >"$STORE/kist.conf"
	timeout 60 "$KIST" --config "$STORE/kist.conf" --root "$ROOT" --runroot "$RUNROOT" run --rm more true
	equal ok "$(store run --rm --mount type=image,src=shipped,dst=/i more sh -c 'test -x /i/bin/busybox && echo ok')"
	run store rmi shipped
	equal 125 "$status" 'exit code of rmi'
	contains "$output" 'which is only read'
	run store untag shipped
	equal 125 "$status" 'exit code of untag'
	# Names of our own for it come and go.
	store tag shipped mine
	store run --rm mine true
	equal 'Untagged: localhost/mine:latest' "$(store rmi mine)"
	store save shipped | kist load >/dev/null
	equal '' "$(store system check)" 'problems'
	store rm -f -t 0 c
	store image prune --all --force >/dev/null
	equal 'localhost/shipped:latest' "$(store images --format '{{.Repository}}:{{.Tag}}')"
	path=$(store image mount shipped)
	[ -x "$path/bin/busybox" ] || fail "nothing at $path"
	store image unmount shipped
	umount "$base"
	umount "$base" 2>/dev/null || true
	run "$KIST" --root "$ROOT" --runroot "$RUNROOT" --imagestore "$STORE" images
	equal 125 "$status" 'exit code with what is no store'
	engine_error "$KIST" --root "$ROOT" --runroot "$RUNROOT" --imagestore relative images
	import_busybox
}

@test 'commit of a container with a user namespace: owners, capabilities and opaque marks as it sees them' {
	local map='--uidmap=0:100000:65536' got
	kist run --name c "$map" busybox sh -c 'mkdir /d; echo x >/d/f; chown 7:8 /d/f; rm -r /etc; mkdir /etc; echo root:x:0:0::/:/bin/sh >/etc/passwd; rm /bin/vi 2>/dev/null; mkdir /e'
	kist commit c changed
	got=$(kist run --rm changed sh -c 'stat -c "%u:%g" /d/f; stat -c "%u:%g" /d; stat -c "%u:%g" /; ls /etc/group 2>&1 | grep -c "No such"')
	equal '7:8 0:0 0:0 1' "$(tr '\n' ' ' <<<"$got" | sed 's/ $//')" 'in a container without a map'
	equal '7:8' "$(kist run --rm "$map" changed stat -c '%u:%g' /d/f)" 'in one with the map'
	equal '7:8' "$(kist run --rm --uidmap 0:300000:65536 changed stat -c '%u:%g' /d/f)" 'in one with another map'
	# Nothing of the host's ids is in the image.
	equal 0 "$(kist save --format oci-archive changed | tar -xO --wildcards 'blobs/sha256/*' 2>/dev/null | grep -ac 100007 || true)"
	equal '' "$(kist system check)" 'problems'
	kist rm c
}
