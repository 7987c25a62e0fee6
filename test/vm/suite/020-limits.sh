# modules: overlay
# disk: io 32M
# shellcheck shell=sh disable=SC2016
# Every limit, in the files of the cgroup and by its effect.

# in_group FILE OPTION...: what the container's cgroup file says.
in_group()
{
	file=$1
	shift
	kist run --rm "$@" busybox cat "/sys/fs/cgroup/$file"
}

check 'memory.max' 0 67108864 in_group memory.max --memory 64m
check 'memory.low' 0 33554432 in_group memory.low --memory-reservation 32m
check 'memory.swap.max' 0 16777216 in_group memory.swap.max --memory 16m --memory-swap 32m
check 'cpu.max' 0 '50000 100000' in_group cpu.max --cpus 0.5
check 'cpu.max by quota and period' 0 '20000 50000' in_group cpu.max --cpu-quota 20000 --cpu-period 50000
check 'cpu.weight' 0 59 in_group cpu.weight --cpu-shares 512
check 'pids.max by default' 0 2048 in_group pids.max
check 'pids.max' 0 10 in_group pids.max --pids-limit 10
check 'cpuset.cpus' 0 1 in_group cpuset.cpus --cpuset-cpus 1
check 'cpuset.mems' 0 0 in_group cpuset.mems --cpuset-mems 0

check 'too many processes' 0 - kist run --rm --pids-limit 10 busybox sh -c '(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done) 2>&1 | grep -q fork'
check 'out of memory' 137 - kist run --name oom --memory 20m --memory-swap 20m busybox tail /dev/zero
check 'out of memory is recorded' 0 true kist inspect --format '{{.State.OOMKilled}}' oom
check 'one cpu is all it may use' 0 1 kist run --rm --cpuset-cpus 1 busybox sh -c "grep Cpus_allowed_list /proc/self/status | tr -dc 0-9; nproc >/dev/null"
check 'throttled' 0 - kist run --rm --cpus 0.1 busybox sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; awk "/^nr_throttled/ { exit !(\$2 > 0) }" /sys/fs/cgroup/cpu.stat'

io=$(disk io)
number=$(printf '%d:%d' "0x$(stat -c %t "$io")" "0x$(stat -c %T "$io")")
check_has 'io.max' 0 "$number rbps=max wbps=1048576" in_group io.max --device-write-bps "$io:1m"
# 3 MiB past the page cache at 1 MiB a second take over a second and a half, without the limit far less.
check 'writes are slowed' 0 - kist run --rm --device "$io" --device-write-bps "$io:1m" -e "io=$io" busybox sh -c '
	from=$(cut -d. -f1 /proc/uptime)
	dd if=/dev/zero of="$io" bs=64k count=48 oflag=direct 2>/dev/null || exit 3
	to=$(cut -d. -f1 /proc/uptime)
	[ $((to - from)) -ge 2 ]'
check 'a sleeper' 0 - kist run -d --name u busybox sleep 100
check 'frozen' 0 '1' sh -c 'kist pause u >/dev/null && cat /sys/fs/cgroup/kist/*/cgroup.freeze && kist unpause u >/dev/null'

# Devices: what the program of the cgroup denies and allows, where the file of the device is there.
check 'a device that was not given' 0 - kist run --rm --cap-add MKNOD busybox sh -c 'mknod /d b '"${number%:*} ${number#*:}"' && ! dd if=/d of=/dev/null count=1 2>/dev/null'
check 'a device that was given' 0 - kist run --rm --device "$io:/dev/d" busybox dd if=/dev/d of=/dev/null count=1
check 'a device to read only' 0 - kist run --rm --device "$io:/dev/d:r" busybox sh -c 'dd if=/dev/d of=/dev/null count=1 2>/dev/null && ! dd if=/dev/zero of=/dev/d count=1 2>/dev/null'
check 'a rule' 0 - kist run --rm --cap-add MKNOD --device-cgroup-rule "b ${number%:*}:* rwm" busybox sh -c 'mknod /d b '"${number%:*} ${number#*:}"' && dd if=/d of=/dev/null count=1 2>/dev/null'
check 'kmsg and mem stay closed' 0 - kist run --rm --cap-add MKNOD busybox sh -c 'mknod /k c 1 11; mknod /m c 1 1; ! head -c 1 /k 2>/dev/null && ! head -c 1 /m 2>/dev/null'
check 'privileged has them' 0 - kist run --rm --privileged busybox sh -c "dd if=$io of=/dev/null count=1"
