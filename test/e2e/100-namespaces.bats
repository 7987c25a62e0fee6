#!/usr/bin/env bats
# Namespaces: own ones, the host's, another container's.
load helpers

own()
{
	readlink "/proc/self/ns/$1"
}

inside()
{
	kist run --rm "${@:2}" busybox readlink "/proc/self/ns/$1"
}

@test "namespaces: by default all are the container's own, but the user's" {
	local name
	for name in mnt pid ipc uts net cgroup; do
		[ "$(own $name)" != "$(inside $name)" ] || fail "$name is the host's"
	done
	equal "$(own user)" "$(inside user)"
}

@test "namespaces: host" {
	equal "$(own pid)" "$(inside pid --pid host)"
	equal "$(own ipc)" "$(inside ipc --ipc host)"
	equal "$(own uts)" "$(inside uts --uts host)"
	equal "$(own net)" "$(inside net --network host)"
	equal "$(own cgroup)" "$(inside cgroup --cgroupns host)"
	equal "$(own user)" "$(inside user --userns host)"
}

@test "namespaces: another container's" {
	sleeper --name a --ipc shareable >/dev/null
	local pid
	pid=$(pid_of a)
	equal "$(readlink "/proc/$pid/ns/pid")" "$(inside pid --pid container:a)"
	equal "$(readlink "/proc/$pid/ns/ipc")" "$(inside ipc --ipc container:a)"
	equal "$(readlink "/proc/$pid/ns/uts")" "$(inside uts --uts container:a)"
	equal "$(readlink "/proc/$pid/ns/net")" "$(inside net --network container:a)"
	run -125 kist run --rm --pid container:nosuch busybox true
}

@test "namespaces: by path" {
	ip netns add e2e-test 2>/dev/null || { mkdir -p /run/netns; touch /run/netns/e2e-test; unshare --net sh -c 'mount --bind /proc/self/ns/net /run/netns/e2e-test'; }
	local want
	want=net:[$(stat -L -c %i /run/netns/e2e-test)]
	run -0 kist run --rm --network ns:/run/netns/e2e-test busybox readlink /proc/self/ns/net
	umount /run/netns/e2e-test
	rm -f /run/netns/e2e-test
	umount /run/netns 2>/dev/null || true
	equal "$want" "$output"
	engine_error kist run --rm --network ns:/no/such busybox true
	contains "$stderr" /no/such
}

@test "namespaces: what a mode must not be" {
	local option
	for option in --pid=nosuch --ipc=nosuch --uts=nosuch --cgroupns=nosuch --userns=nosuch; do
		engine_error kist run --rm "$option" busybox true
		kist_only
		contains "$stderr" nosuch
	done
	clean
}

@test "network none: loopback only, and up" {
	run -0 kist run --rm --network none busybox sh -c 'ls /sys/class/net; ip -o addr show lo; ip link show lo; cat /proc/sys/net/ipv4/ping_group_range'
	equal lo "${lines[0]}"
	contains "$output" 127.0.0.1
	matches 'LOOPBACK,UP' "$output"
	equal $'0\t0' "${lines[-1]}"
}

@test "network host: the host's loopback is reached" {
	run -0 kist run -d --name s --network host busybox httpd -f -p 127.0.0.1:17451 -h /etc
	reach() { [ "$(bash -c 'exec 9<>/dev/tcp/127.0.0.1/17451 && printf "GET /text HTTP/1.0\r\n\r\n" >&9 && tail -n 1 <&9' 2>/dev/null)" = "just text" ]; }
	until_true 10 reach
}

@test "pid namespace: the command is process 1, others are not seen" {
	run -0 kist run --rm busybox sh -c 'echo $$; ls /proc | grep -cE "^[0-9]+$"'
	equal 1 "${lines[0]}"
	[ "${lines[1]}" -le 4 ]
}

@test "pid container: sees the other's processes" {
	sleeper --name a >/dev/null
	run -0 kist run --rm --pid container:a busybox ps
	contains "$output" 'trap'
}

@test "ipc none, private, shareable" {
	kist_only
	run -0 kist run --rm --ipc none busybox sh -c 'grep -q " /dev/shm " /proc/self/mountinfo || echo none'
	equal none "$output"
	sleeper --name p --ipc private >/dev/null
	run -125 kist run --rm --ipc container:p busybox true
}

@test "uts: --hostname, the id without it, none with the host's" {
	equal short "$(kist run --rm -h short busybox hostname)"
	id=$(kist run -d --name c busybox sh -c 'hostname; sleep 1000')
	until_true 10 log_has c "${id:0:12}"
	equal "$(hostname)" "$(kist run --rm --uts host busybox hostname)"
	contains "$(kist run --rm -h named busybox cat /etc/hosts)" named
	equal "named" "$(kist run --rm -h named busybox cat /etc/hostname)"
	kist_only
	run -125 kist run --rm -h 'bad name' busybox true
}

@test "userns: maps of its own" {
	run -0 kist run --rm --uidmap 0:100000:65536 --gidmap 0:200000:65536 busybox sh -c 'cat /proc/self/uid_map /proc/self/gid_map; id -u'
	matches '0 +100000 +65536' "${lines[0]}"
	matches '0 +200000 +65536' "${lines[1]}"
	equal 0 "${lines[2]}"
	kist_only
	run -0 kist run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 busybox sh -c 'touch /tmp/x && stat -c %u /etc/passwd /tmp/x'
	clean
}

@test "cgroup namespace: private shows its own group as the root" {
	equal '0::/' "$(kist run --rm --cgroupns private busybox grep '^0::' /proc/self/cgroup)"
	matches '^0::/.+/.+' "$(kist run --rm --cgroupns host busybox grep '^0::' /proc/self/cgroup)"
}
