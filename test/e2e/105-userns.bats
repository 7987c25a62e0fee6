#!/usr/bin/env bats
# User namespaces: modes, maps, ranges of their own.
load helpers

# map CONTAINER-OPTIONS...: the maps as the container sees them, in one line.
map()
{
	kist run --rm "$@" busybox sh -c 'cat /proc/self/uid_map /proc/self/gid_map' | tr -s ' ' | sed 's/^ //' | paste -sd,
}

@test "userns auto: ranges that do not overlap, given back, kept over restarts" {
	kist_only
	local size first second
	equal '0 2147483648 65536,0 2147483648 65536' "$(map --userns auto)"
	# Free again, after --rm.
	[ -z "$(ls "$ROOT/id-ranges")" ]
	kist create --name a --userns auto:size=1000 busybox sleep 1000 >/dev/null
	kist create --name b --userns auto busybox sleep 1000 >/dev/null
	kist create --name c --userns auto:size=500,uidmapping=10:7:2,gidmapping=0:5 busybox sleep 1000 >/dev/null
	equal '["0:2147483648:1000"]' "$(kist inspect --format '{{json .HostConfig.IDMappings.UidMap}}' a)"
	equal '["0:2147484648:65536"]' "$(kist inspect --format '{{json .HostConfig.IDMappings.UidMap}}' b)"
	equal '["0:2147550184:10","10:7:2","12:2147550194:488"]' "$(kist inspect --format '{{json .HostConfig.IDMappings.UidMap}}' c)"
	equal '["0:5:1","1:2147550184:499"]' "$(kist inspect --format '{{json .HostConfig.IDMappings.GidMap}}' c)"
	equal private "$(kist inspect --format '{{.HostConfig.UsernsMode}}' a)"
	equal 6 "$(find "$ROOT/id-ranges" -type l | wc -l)"
	# Root of the container is nobody's on the host, and its files are.
	kist start a >/dev/null
	equal 2147483648 "$(stat -c %u "/proc/$(pid_of a)")"
	kist exec a sh -c 'echo mine >/tmp/mine; test "$(stat -c %u /etc/passwd /tmp/mine | xargs)" = "0 0"'
	kist restart -t 0 a >/dev/null
	equal mine "$(kist exec a cat /tmp/mine)"
	# What a removal frees is the next one's; a link that a crash left is not in the way.
	kist rm -f -t 0 a >/dev/null
	ln -s "../containers/$(printf '%064d' 7)" "$ROOT/id-ranges/u-2147483648-500"
	kist create --name d --userns auto:size=1000 busybox true >/dev/null
	equal '["0:2147483648:1000"]' "$(kist inspect --format '{{json .HostConfig.IDMappings.UidMap}}' d)"
	kist rm b c d >/dev/null
	[ -z "$(ls "$ROOT/id-ranges")" ]
	# 12 at once.
	for size in 1 2 3 4 5 6 7 8 9 10 11 12; do
		kist create --name "n$size" --userns "auto:size=$size" busybox true >/dev/null 3>&- &
	done
	wait
	equal 12 "$(find "$ROOT/id-ranges" -name 'u-*' | wc -l)"
	find "$ROOT/id-ranges" -name 'u-*' -printf '%f\n' | sort -t- -k2n | awk -F- '$2 < end { exit 1 } { end = $2 + $3 }'
	kist rm -a >/dev/null
	[ -z "$(ls "$ROOT/id-ranges")" ]
}

@test "userns auto: the ranges of 'containers' in /etc/subuid; --subuidname; none left" {
	kist_only
	local file
	[ -e /etc/subuid ] && [ -e /etc/subgid ] || skip 'no /etc/subuid here'
	printf 'other:1000:5\ncontainers:300000:100\ncontainers:500000:50\n' >"$STORE/subuid"
	printf 'containers:400000:200\n' >"$STORE/subgid"
	mount --bind "$STORE/subuid" /etc/subuid
	mount --bind "$STORE/subgid" /etc/subgid
	kist create --name a --userns auto:size=90 busybox true >/dev/null
	run -0 kist inspect --format '{{.HostConfig.IDMappings.UidMap}} {{.HostConfig.IDMappings.GidMap}}' a
	local first=$output
	kist create --name b --userns auto:size=50 busybox true >/dev/null
	run -0 kist inspect --format '{{.HostConfig.IDMappings.UidMap}} {{.HostConfig.IDMappings.GidMap}}' b
	local second=$output
	run --separate-stderr kist create --userns auto:size=11 busybox true
	local none=$stderr code=$status
	run map --subuidname containers
	local named=$output
	run map --subgidname containers --subuidname other
	local both=$output
	run --separate-stderr kist create --subuidname nobody-there busybox true
	umount /etc/subuid /etc/subgid
	equal '[0:300000:90] [0:400000:90]' "$first"
	equal '[0:500000:50] [0:400090:50]' "$second"
	equal 125 "$code"
	contains "$none" 'no 11 user ids are free'
	equal '0 300000 100,100 500000 50,0 400000 200' "$named"
	equal '0 1000 5,0 400000 200' "$both"
	equal 125 "$status"
	contains "$stderr" "/etc/subuid gives no ids to 'nobody-there'"
}

@test "userns: keep-id, container, path, flags of maps, what is refused" {
	kist_only
	local pid value
	matches '^0 0 [0-9]+,0 0 [0-9]+$' "$(map --userns keep-id)"
	[ "$(kist run --rm --userns keep-id busybox readlink /proc/self/ns/user)" != "$(readlink /proc/self/ns/user)" ]
	equal '0 1000 5,0 2000 6' "$(map --uidmap u0:@1000:5 --uidmap g0:2000:6)"
	equal '0 1000 5,0 1000 5' "$(map --gidmap 0:1000:5)"
	equal '0 4294967295' "$(map --userns '' | cut -d, -f1 | cut -d' ' -f2,3)"
	# Another container's: the same namespace, the same owners.
	sleeper --name a --userns auto >/dev/null
	pid=$(pid_of a)
	run -0 kist run --rm --userns container:a busybox sh -c 'readlink /proc/self/ns/user; touch /x; stat -c %u /etc/passwd /x; id -u'
	equal "$(readlink "/proc/$pid/ns/user") 0 0 0" "$(xargs <<<"$output")"
	run -0 kist run --rm --userns "ns:/proc/$pid/ns/user" busybox sh -c 'readlink /proc/self/ns/user; touch /x; stat -c %u /etc/passwd /x; id -u'
	equal "$(readlink "/proc/$pid/ns/user") 0 0 0" "$(xargs <<<"$output")"
	kist run -d --name b --userns container:a --network container:a busybox sleep 1000 >/dev/null
	equal 0 "$(kist exec b id -u)"
	echo given >"$STORE/given"
	kist cp "$STORE/given" b:/given
	equal 0 "$(kist exec b stat -c %u /given)"
	kist rm -f -t 0 b >/dev/null
	# A namespace that was made anew has other maps.
	touch "$STORE/ns"
	mount --bind "/proc/$pid/ns/user" "$STORE/ns"
	kist create --name p --userns "ns:$STORE/ns" busybox true >/dev/null
	umount "$STORE/ns"
	kist run -d --name c --uidmap 0:700000:9 busybox sleep 1000 >/dev/null
	mount --bind "/proc/$(pid_of c)/ns/user" "$STORE/ns"
	run --separate-stderr kist start p
	umount "$STORE/ns"
	equal 125 "$status"
	contains "$stderr" 'other maps'
	kist rm -f -t 0 a p c >/dev/null
	for value in nomap keep-id:uid=5 auto:what=3 auto:size=0 auto:uidmapping=x automatic ns:relative; do
		engine_error kist create --userns "$value" busybox true
	done
	engine_error kist create --pid auto busybox true
	engine_error kist create --userns auto --uidmap 0:1:1 busybox true
	engine_error kist create --subuidname x --uidmap 0:1:1 busybox true
	engine_error kist create --uidmap +0:1:1 busybox true
	engine_error kist create --userns private busybox true
	[ -z "$(ls "$ROOT/id-ranges" 2>/dev/null)" ]
}
