#!/usr/bin/env bats
# Bind mounts, tmpfs, read-only roots, propagation.
load helpers

mount_of()
{
	kist run --rm "${@:2}" busybox grep " $1 " /proc/self/mountinfo
}

@test "-v: a directory, a file, read-only and writable" {
	mkdir "$STORE/d"
	echo inside >"$STORE/d/f"
	echo single >"$STORE/file"
	equal inside "$(kist run --rm -v "$STORE/d:/mnt/d" busybox cat /mnt/d/f)"
	equal single "$(kist run --rm -v "$STORE/file:/mnt/file" busybox cat /mnt/file)"
	run -0 kist run --rm -v "$STORE/d:/d" busybox sh -c 'echo new >/d/new'
	equal new "$(cat "$STORE/d/new")"
	run ! kist run --rm -v "$STORE/d:/d:ro" busybox sh -c 'echo x >/d/x'
	contains "$output" 'Read-only'
	run ! kist run --rm -v "$STORE/file:/etc/text:ro" busybox sh -c 'echo x >/etc/text'
	clean
}

@test "-v: options, and that they are checked" {
	mkdir "$STORE/d"
	contains "$(mount_of /d -v "$STORE/d:/d:noexec,nosuid,nodev")" noexec
	cp "$(command -v busybox)" "$STORE/d/sh"
	run -0 kist run --rm -v "$STORE/d:/d:exec" busybox /d/sh -c true
	run -126 kist run --rm -v "$STORE/d:/d:noexec" busybox /d/sh -c true
	engine_error kist run --rm -v "$STORE/d:/d:nosuch" busybox true
	engine_error kist run --rm -v "$STORE/d:relative" busybox true
	engine_error kist run --rm -v "$STORE/missing:/d" busybox true
	contains "$stderr" "$STORE/missing"
	clean
}

@test "-v: the mount point is made; below a link it stays inside the root" {
	mkdir "$STORE/d"
	echo here >"$STORE/d/f"
	equal here "$(kist run --rm -v "$STORE/d:/made/up/path" busybox cat /made/up/path/f)"
	mkdir "$STORE/rootfs"
	tar -C "$STORE/rootfs" -xf "$E2E_CACHE/busybox.tar"
	mkdir -p "$STORE/outside" "$STORE/rootfs/real"
	ln -s "$STORE/outside" "$STORE/rootfs/trap"
	ln -s /real "$STORE/rootfs/link"
	ln -s ../../../../../../real "$STORE/rootfs/dots"
	equal here "$(kist run --rm -v "$STORE/d:/link/x" --rootfs "$STORE/rootfs" cat /real/x/f)"
	equal here "$(kist run --rm -v "$STORE/d:/dots/y" --rootfs "$STORE/rootfs" cat /real/y/f)"
	run kist run --rm -v "$STORE/d:/trap/z" --rootfs "$STORE/rootfs" true
	[ -z "$(ls "$STORE/outside")" ]
	clean
}

@test "-v: recursive or not, and propagation" {
	mkdir -p "$STORE/p/sub"
	mount -t tmpfs tmpfs "$STORE/p"
	mkdir "$STORE/p/sub"
	mount -t tmpfs tmpfs "$STORE/p/sub"
	touch "$STORE/p/sub/below"
	run -0 kist run --rm -v "$STORE/p:/p:rbind" busybox test -e /p/sub/below
	run -1 kist run --rm -v "$STORE/p:/p:bind" busybox test -e /p/sub/below
	run -0 kist run --rm -v "$STORE/p:/p" busybox test -e /p/sub/below
	mount --make-shared "$STORE/p"
	lacks "$(mount_of /p -v "$STORE/p:/p:rprivate")" shared:
	contains "$(mount_of /p -v "$STORE/p:/p:rshared")" shared:
	contains "$(mount_of /p -v "$STORE/p:/p:rslave")" master:
	# A later mount on the host arrives in a slave, not in a private one.
	local id mode
	for mode in rslave rprivate; do
		id=$(sleeper -v "$STORE/p:/p:$mode")
		mkdir "$STORE/p/late"
		mount -t tmpfs tmpfs "$STORE/p/late"
		touch "$STORE/p/late/file"
		if [ $mode = rslave ]; then
			run -0 kist exec "$id" test -e /p/late/file
		else
			run -1 kist exec "$id" test -e /p/late/file
		fi
		umount "$STORE/p/late"
		rmdir "$STORE/p/late"
		kist rm -f -t 0 "$id"
	done
	umount "$STORE/p/sub" "$STORE/p"
	clean
}

@test "-v: ro covers the mount itself, and nested mounts keep a host readable" {
	mkdir "$STORE/d"
	contains "$(mount_of /d -v "$STORE/d:/d:ro" | cut -d ' ' -f 6)" ro
	contains "$(mount_of /d -v "$STORE/d:/d" | cut -d ' ' -f 6)" rw
}

@test "-v: several, one inside another, in order" {
	mkdir -p "$STORE/a" "$STORE/b"
	touch "$STORE/a/in-a" "$STORE/b/in-b"
	run -0 kist run --rm -v "$STORE/b:/m/deep" -v "$STORE/a:/m" busybox sh -c 'ls /m /m/deep'
	contains "$output" in-a
	contains "$output" in-b
	engine_error kist run --rm -v "$STORE/a:/m" -v "$STORE/b:/m" busybox true
	contains "$stderr" /m
}

@test "--mount: the long form" {
	mkdir "$STORE/d"
	echo x >"$STORE/d/f"
	equal x "$(kist run --rm --mount "type=bind,source=$STORE/d,target=/d" busybox cat /d/f)"
	equal x "$(kist run --rm --mount "type=bind,src=$STORE/d,dst=/d,ro" busybox cat /d/f)"
	run ! kist run --rm --mount "type=bind,src=$STORE/d,destination=/d,readonly" busybox touch /d/g
	run ! kist run --rm --mount "type=bind,src=$STORE/d,destination=/d,ro=true" busybox touch /d/g
	run -0 kist run --rm --mount type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=0700 busybox sh -c 'grep " /t " /proc/self/mountinfo; stat -c %a /t'
	contains "$output" size=1024k
	contains "$output" 700
	engine_error kist run --rm --mount type=nosuch,destination=/t busybox true
	engine_error kist run --rm --mount type=bind,destination=/t busybox true
	engine_error kist run --rm --mount "type=bind,src=$STORE/d" busybox true
	engine_error kist run --rm --mount "type=tmpfs,destination=/t,nosuch=1" busybox true
}

@test "--tmpfs" {
	run ! kist run --rm --tmpfs /t:size=64k,mode=1770 busybox sh -c 'grep " /t " /proc/self/mountinfo; stat -c %a /t; head -c 100000 /dev/zero >/t/x'
	contains "$output" tmpfs
	contains "$output" 1770
	run -0 kist run --rm --tmpfs /t:size=64k busybox sh -c 'head -c 60000 /dev/zero >/t/x'
	run -0 kist run --rm --tmpfs /t busybox grep ' /t ' /proc/self/mountinfo
	matches 'nosuid' "$output"
	matches 'nodev' "$output"
	engine_error kist run --rm --tmpfs /t:nosuch=1 busybox true
}

@test "--tmpfs: over a directory of the image its content is copied up" {
	run -0 kist run --rm --tmpfs /data busybox sh -c 'cat /data/lower; echo more >/data/more'
	equal lower "$output"
	run -0 kist run --rm --tmpfs /data:notmpcopyup busybox ls /data
	equal '' "$output"
}

@test "--read-only: the root cannot be written, tmpfs can" {
	run ! kist run --rm --read-only busybox touch /x
	contains "$output" 'Read-only'
	run -0 kist run --rm --read-only busybox sh -c 'touch /tmp/x /run/x /dev/shm/x /var/tmp/x'
	run ! kist run --rm --read-only --read-only-tmpfs=false busybox touch /tmp/x
	run -0 kist run --rm --read-only --tmpfs /w busybox touch /w/x
}

@test "/dev: what is there" {
	run -0 kist run --rm busybox sh -c 'for f in null zero full random urandom tty; do test -c /dev/$f || echo no $f; done; for l in fd stdin stdout stderr ptmx; do test -L /dev/$l || echo no $l; done; test -d /dev/shm && test -d /dev/pts && test -d /dev/mqueue; echo x >/dev/null; ls /dev | wc -l'
	lacks "$output" no
	[ "${lines[-1]}" -lt 25 ]
	run -0 kist run --rm busybox sh -c 'ls /dev/disk /dev/sda /dev/vda /dev/mem /dev/kmsg 2>/dev/null | wc -l'
	equal 0 "$output"
}

@test "/dev/shm: --shm-size" {
	contains "$(kist run --rm busybox grep ' /dev/shm ' /proc/self/mountinfo)" size=64000k,nosuid || contains "$(kist run --rm busybox grep ' /dev/shm ' /proc/self/mountinfo)" size=6
	contains "$(kist run --rm --shm-size 1m busybox grep ' /dev/shm ' /proc/self/mountinfo)" size=1024k
	engine_error kist run --rm --shm-size nonsense busybox true
}

@test "/proc and /sys: right file systems, /sys read-only" {
	run -0 kist run --rm busybox cat /proc/self/mountinfo
	matches ' /proc [^-]*- proc ' "$output"
	matches ' /sys ro[^-]*- sysfs ' "$output"
	matches ' /sys/fs/cgroup ro[^-]*- cgroup2 ' "$output"
	matches ' /dev/pts [^-]*- devpts ' "$output"
	matches ' /dev/mqueue [^-]*- mqueue ' "$output"
}

@test "no mount of the host shows inside" {
	run -0 kist run --rm busybox cat /proc/self/mountinfo
	lacks "$output" "$E2E_DISK"
	lacks "$(grep -vE ' / / ' <<<"$output" | cut -d ' ' -f 4,5)" "$E2E_WORK"
}

@test "the working directory: made where the image names it, inside, not a file" {
	kist_only
	kist import --change 'WORKDIR /made/here' "$E2E_CACHE/busybox.tar" makes >/dev/null
	equal /made/here "$(kist run --rm makes pwd)"
	run -0 kist run --rm makes stat -c '%a %u' .
	equal '755 0' "$output"
	run -126 kist run --rm -w /made/here busybox pwd
	contains "$output" 'workdir "/made/here" does not exist'
	run -125 kist run --rm -w relative busybox true
}

@test "--mount type=tmpfs,U: belongs to the container's user" {
	kist_only
	equal '1000:1001' "$(kist run --rm -u 1000:1001 --mount type=tmpfs,dst=/new,U=true busybox stat -c %u:%g /new)"
	equal '1000:1001' "$(kist run --rm -u 1000:1001 --mount type=tmpfs,dst=/new,chown,notmpcopyup --uidmap 0:100000:65536 --gidmap 0:100000:65536 busybox stat -c %u:%g /new)"
	equal '0:0' "$(kist run --rm -u 1000:1001 --mount type=tmpfs,dst=/new,U=false busybox stat -c %u:%g /new)"
	equal '1000:1001 700' "$(kist run --rm -u 1000:1001 --mount type=ramfs,dst=/new,U,mode=700 busybox stat -c '%u:%g %a' /new)"
	equal '1000:1001' "$(kist run --rm -u 1000:1001 --mount type=ramfs,dst=/new,U=true --uidmap 0:100000:65536 busybox stat -c %u:%g /new)"
	equal '0:0' "$(kist run --rm -u 1000:1001 --mount type=ramfs,dst=/new busybox stat -c %u:%g /new)"
	contains "$(mount_of /new --mount type=ramfs,dst=/new,U,ro,noexec)" 'ro,noexec'
	contains "$(mount_of /new --mount type=ramfs,dst=/new,U,ro,noexec)" '- ramfs'
}

@test "overlay options of kist.conf" {
	kist_only
	local id mount
	printf 'network=none\noverlay_options.0=metacopy=on\noverlay_options.1=index=off\noverlay_options.2=volatile\n' >"$STORE/conf"
	export KIST_CONF=$STORE/conf
	id=$(kist run -d --name c busybox sh -c 'chmod 700 /bin/busybox; mkdir /d; echo x >/d/f; sleep 1000')
	until_true 10 kist exec c test -e /d/f
	mount=$(kist exec c grep ' / / ' /proc/self/mountinfo)
	contains "$mount" metacopy=on
	contains "$mount" volatile
	# The content of a file whose mode alone changed is below: no layer can be made of it, but a whole.
	engine_error kist commit c image
	contains "$stderr" "busybox': its content is in the layer below"
	equal "$(stat -c %s "$(command -v busybox)")" "$(kist export c | tar -xO bin/busybox | wc -c)"
	kist stop -t 0 c
	# They are the container's: it starts again with them, whatever the file says then.
	unset KIST_CONF
	kist start c
	contains "$(kist exec c grep ' / / ' /proc/self/mountinfo)" metacopy=on
	lacks "$(kist run --rm busybox grep ' / / ' /proc/self/mountinfo)" metacopy=on
	echo 'overlay_options.0=upperdir=/etc' >"$STORE/conf"
	KIST_CONF=$STORE/conf engine_error kist run --rm busybox true
	contains "$stderr" "setting overlay_options: overlay option 'upperdir=/etc'"
	kist rm -f -t 0 c
	clean
}

@test "--mount type=ramfs: what the kernel would ignore is refused" {
	kist_only
	local option
	for option in size=5m uid=3 nosuch tmpcopyup source=x; do
		engine_error kist create --mount "type=ramfs,dst=/new,$option" busybox true
		contains "$stderr" ramfs
	done
	engine_error kist volume create -o type=ramfs -o o=mode=700,size=5m v
	contains "$stderr" tmpfs
	clean
}

@test "-v O,upperdir=,workdir=: what is written stays there" {
	kist_only
	mkdir "$STORE"/{lower,upper,work}
	echo below >"$STORE/lower/f"
	kist run --rm -v "$STORE/lower:/m:O,upperdir=$STORE/upper,workdir=$STORE/work" busybox sh -c 'echo new >/m/n; echo changed >/m/f'
	equal below "$(cat "$STORE/lower/f")"
	equal 'changed new' "$(cat "$STORE/upper/f" "$STORE/upper/n" | paste -sd ' ')"
	equal changed "$(kist run --rm -v "$STORE/lower:/m:O,upperdir=$STORE/upper,workdir=$STORE/work" busybox cat /m/f)"
	kist run --rm -v "vol:/m:O,upperdir=$STORE/upper,workdir=$STORE/work" busybox sh -c 'cat /m/n; echo by volume >/m/v'
	equal 'by volume' "$(cat "$STORE/upper/v")"
	engine_error kist run --rm -v "$STORE/lower:/m:O,upperdir=$STORE/upper" busybox true
	contains "$stderr" 'upperdir= and workdir= go together'
	engine_error kist run --rm -v "$STORE/lower:/m:upperdir=$STORE/upper,workdir=$STORE/work" busybox true
	engine_error kist create -v vol:/m:O,upperdir=x,workdir=y busybox true
	contains "$stderr" 'absolute'
	engine_error kist run --rm -v "$STORE/lower:/m:O,upperdir=$STORE/no,workdir=$STORE/work" busybox true
	contains "$stderr" "upperdir $STORE/no"
	kist volume rm vol
	clean
}

@test "-v, --mount: idmap= shows owners by a map of its own" {
	mkdir "$STORE/d"
	echo x >"$STORE/d/f"
	chown 1000:1001 "$STORE/d" "$STORE/d/f"
	local map='idmap=uids=1000-33-1;gids=1001-34-2'
	run -0 kist run --rm -u 33:34 -v "$STORE/d:/d:$map" -v "v:/v:idmap=uids=33-7-1" busybox \
		sh -c 'stat -c "%u %g" /d/f /v; echo new >/d/new'
	equal $'33 34\n7 34' "$output"
	equal '1000 1001' "$(stat -c '%u %g' "$STORE/d/new")"
	# What no range names can be seen, but not made.
	run ! kist run --rm -v "$STORE/d:/d:$map" busybox sh -c 'stat -c %u /d/f && touch /d/root'
	contains "$output" 33
	run -0 kist run --rm --mount "type=bind,source=$STORE/d,destination=/d,$map" busybox stat -c '%u %g' /d/f
	equal '33 34' "$output"
	run -0 kist run --rm --uidmap 0:100000:100 --mount "type=volume,source=v,destination=/v,idmap=uids=@33-50-1" busybox stat -c '%u %g' /v
	equal '50 34' "$output"
	run -0 kist run --rm --uidmap 0:100000:2000 -v "$STORE/d:/d:idmap=gids=@1001-3-1" busybox stat -c '%u %g' /d/f
	equal '1000 3' "$output"
	kist create --name c -v "$STORE/d:/d:$map" -v "v:/v:idmap=uids=0-7-1" busybox true >/dev/null
	contains "$(kist inspect --format '{{json .HostConfig.Binds}}' c)" "idmap=uids=1000-33-1;gids=1001-34-2"
	contains "$(kist generate run c)" 'idmap=uids=0-7-1'
	kist rm c >/dev/null
	for map in idmap= idmap=uids=1-2 idmap=what 'idmap=uids=0-0-1,idmap' 'idmap=uids=0-0-1,idmap=uids=1-1-1' 'idmap=uids=0-0-2#1-1-1'; do
		engine_error kist run --rm -v "$STORE/d:/d:$map" busybox true
		engine_error kist create -v "v:/v:$map" busybox true
		contains "$stderr" idmap
	done
	mount -t ramfs ramfs "$STORE/d"
	engine_error kist run --rm -v "$STORE/d:/d:idmap=uids=0-1-1" busybox true
	contains "$stderr" 'need Linux 5.12'
	umount "$STORE/d"
	kist volume rm v >/dev/null
	clean
}
