# modules: overlay bfq
# disk: io 32M
# disk: swap 96M
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

check 'memory.high' 0 33554432 in_group memory.high --cgroup-conf memory.high=32m
check 'memory.oom.group' 0 1 in_group memory.oom.group --cgroup-conf memory.oom.group=1
check 'cpu.max.burst' 0 10000 in_group cpu.max.burst --cpu-quota 20000 --cgroup-conf cpu.max.burst=10000
check 'cpu.idle' 0 1 in_group cpu.idle --cgroup-conf cpu.idle=1
check 'cgroup.max.descendants' 0 0 in_group cgroup.max.descendants --cgroup-conf cgroup.max.descendants=0

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
check_has 'io.max: all four' 0 "$number rbps=2097152 wbps=1048576 riops=100 wiops=50" in_group io.max \
	--device-read-bps "$io:2m" --device-write-bps "$io:1m" --device-read-iops "$io:100" --device-write-iops "$io:50"

# seconds OPTIONS DD: how long a container takes to copy 48 blocks past the page cache.
copied()
{
	options=$1 way=$2
	kist run --rm --device "$io" $options -e "io=$io" busybox sh -c '
		from=$(cut -d. -f1 /proc/uptime)
		dd '"$way"' count=48 2>/dev/null || exit 3
		to=$(cut -d. -f1 /proc/uptime)
		[ $((to - from)) -ge 2 ]'
}
check 'reads are slowed' 0 - copied "--device-read-bps $io:1m" 'if=$io of=/dev/null bs=64k iflag=direct'
check 'reads are counted' 0 - copied "--device-read-iops $io:16" 'if=$io of=/dev/null bs=4k iflag=direct'
check 'writes are counted' 0 - copied "--device-write-iops $io:16" 'if=/dev/zero of=$io bs=4k oflag=direct'
echo bfq >"/sys/block/${io#/dev/}/queue/scheduler"
check_has 'io.bfq.weight' 0 'default 300' in_group io.bfq.weight --blkio-weight 300
check_has 'io.bfq.weight of a device' 0 "$number 200" in_group io.bfq.weight --blkio-weight-device "$io:200"
echo none >"/sys/block/${io#/dev/}/queue/scheduler"

# Memory: what is over 'high' waits, what is over 'max' goes to swap as far as that is allowed, and 'low' keeps the rest.
swap=$(disk swap)
check 'swap' 0 - sh -c "mkswap $swap >/dev/null && swapon $swap"
hold='dd if=/dev/zero of=/dev/shm/f bs=1M count=24 2>/dev/null'
check 'over memory.high' 0 - kist run --rm --cgroup-conf memory.high=16m busybox sh -c "$hold"'; awk "/^high/ { exit !(\$2 > 0) }" /sys/fs/cgroup/memory.events'
check 'over memory, without swap' 137 - kist run --rm --memory 16m --memory-swap 16m busybox sh -c "$hold"
check 'over memory, with swap' 0 - kist run --rm --memory 16m --memory-swap 80m busybox sh -c "$hold"'; [ $(cat /sys/fs/cgroup/memory.swap.current) -gt 4000000 ]'
check_has 'one of two is killed' 0 'survived' kist run --rm --memory 16m --memory-swap 16m busybox sh -c 'tail /dev/zero; echo survived'
check 'memory.oom.group: both are' 137 '' kist run --rm --memory 16m --memory-swap 16m --cgroup-conf memory.oom.group=1 busybox sh -c 'tail /dev/zero; echo survived'

# in_cgroup NAME FILE: of a running container, from outside.
in_cgroup()
{
	cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(kist inspect --format '{{.State.Pid}}' "$1")/cgroup")/$2"
}
for name in kept other; do
	[ $name = kept ] && options='--memory-reservation 64m' || options=
	kist run -d --name $name $options busybox sh -c "$hold; echo held; sleep 100" >/dev/null
	until_true 300 sh -c "kist logs $name | grep -q held"
done
echo 16M >/sys/fs/cgroup/kist/memory.reclaim 2>/dev/null
kept=$(in_cgroup kept memory.swap.current) other=$(in_cgroup other memory.swap.current)
check 'memory.low: what is reserved is kept, what is not is taken' 0 - sh -c "echo $kept, $other; [ $kept -lt 1000000 ] && [ $other -gt 4000000 ]"
kist rm -f -t 0 kept other >/dev/null
swapoff "$swap"

# Both want one CPU: one gets about ten times as much as the other.
for name in much little; do
	[ $name = much ] && shares=2048 || shares=205
	kist run -d --name $name --cpuset-cpus 1 --cpu-shares $shares busybox sh -c 'while :; do :; done' >/dev/null
done
usage()
{
	in_cgroup "$1" cpu.stat | awk '/^usage_usec/ { print $2 }'
}
much=$(usage much) little=$(usage little)
sleep 4
much=$(($(usage much) - much)) little=$(($(usage little) - little))
check 'shares' 0 - sh -c "echo $much, $little; [ $much -gt $((little * 3)) ] && [ $little -gt 0 ]"
kist rm -f -t 0 much little >/dev/null
check 'memory nodes' 0 0 kist run --rm --cpuset-mems 0 busybox sed -n 's/^Mems_allowed_list:[[:space:]]*//p' /proc/self/status

echo 4 >/proc/sys/vm/nr_hugepages
mkdir -p /tmp/huge && mount -t hugetlbfs none /tmp/huge
check 'hugetlb.2MB.max' 0 2097152 in_group hugetlb.2MB.max --cgroup-conf hugetlb.2MB.max=2m
check 'huge pages: as many as it may' 0 - kist run --rm --cgroup-conf hugetlb.2MB.max=2m -v /tmp/huge:/huge busybox sh -c 'fallocate -l 2M /huge/a; r=$?; rm -f /huge/a; exit $r'
check_has 'huge pages: no more' 1 'fallocate' kist run --rm --cgroup-conf hugetlb.2MB.max=2m -v /tmp/huge:/huge busybox sh -c 'fallocate -l 4M /huge/b; r=$?; rm -f /huge/b; exit $r'
umount /tmp/huge
echo 0 >/proc/sys/vm/nr_hugepages

# update: in the files and by its effect, while the container runs.
check 'a sleeper' 0 - kist run -d --name u busybox sh -c 'n=0; while :; do n=$((n+1)); echo $n >/n; done'
changed()
{
	file=$1
	shift
	kist update "$@" u >/dev/null && in_cgroup u "$file"
}
check 'update: memory.max' 0 67108864 changed memory.max --memory 64m
check 'update: memory.swap.max' 0 33554432 changed memory.swap.max --memory 64m --memory-swap 96m
check 'update: memory.low' 0 16777216 changed memory.low --memory-reservation 16m
check 'update: memory.high' 0 50331648 changed memory.high --cgroup-conf memory.high=48m
check 'update: cpu.max' 0 '30000 100000' changed cpu.max --cpus 0.3
check 'update: cpu.max by quota and period' 0 '10000 50000' changed cpu.max --cpu-quota 10000 --cpu-period 50000
check 'update: no limit of memory' 0 max changed memory.max --memory 0
check 'update: nor of swap' 0 max in_cgroup u memory.swap.max
check 'update: no limit of the CPU' 0 'max 50000' changed cpu.max --cpus 0
check 'update: none in the record' 0 '0 0 0' kist inspect --format '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' u
check 'update: cpu.weight' 0 59 changed cpu.weight --cpu-shares 512
check 'update: cpuset.cpus' 0 1 changed cpuset.cpus --cpuset-cpus 1
check 'update: cpuset.mems' 0 0 changed cpuset.mems --cpuset-mems 0
check 'update: its CPU' 0 1 sh -c 'sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" "/proc/$(kist inspect --format "{{.State.Pid}}" u)/status"'
check_has 'update: io.max' 0 "$number rbps=max wbps=1048576" changed io.max --device-write-bps "$io:1m"
check 'update: pids.max' 0 3 changed pids.max --pids-limit 3
check_has 'update: too many processes' 2 'fork' kist exec u sh -c 'sleep 1 & sleep 1 & sleep 1 & wait'
check 'update: out of memory' 137 - sh -c 'kist update --pids-limit 100 --memory 16m --memory-swap 16m u >/dev/null; kist exec u tail /dev/zero'

# frozen: nothing of it runs, and all goes on later.
stands()
{
	kist pause u >/dev/null && from=$(kist mount u) && from=$(cat "$from/n") && sleep 1 && [ "$from" = "$(cat "$(kist mount u)/n")" ] && in_cgroup u cgroup.events
}
check_has 'frozen' 0 'frozen 1' stands
goes()
{
	kist unpause u >/dev/null && from=$(cat "$(kist mount u)/n") || return 1
	# A fifth of an emulated processor is not much.
	for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		sleep 1
		[ "$from" = "$(cat "$(kist mount u)/n")" ] || return 0
	done
	return 1
}
check 'and not any more' 0 '' goes
kist unmount -a >/dev/null 2>&1
kist rm -f -t 0 u >/dev/null

# Devices: what the program of the cgroup denies and allows, where the file of the device is there.
check 'a device that was not given' 0 - kist run --rm --cap-add MKNOD busybox sh -c 'mknod /d b '"${number%:*} ${number#*:}"' && ! dd if=/d of=/dev/null count=1 2>/dev/null'
check 'a device that was given' 0 - kist run --rm --device "$io:/dev/d" busybox dd if=/dev/d of=/dev/null count=1
check 'a device to read only' 0 - kist run --rm --device "$io:/dev/d:r" busybox sh -c 'dd if=/dev/d of=/dev/null count=1 2>/dev/null && ! dd if=/dev/zero of=/dev/d count=1 2>/dev/null'
check 'a rule' 0 - kist run --rm --cap-add MKNOD --device-cgroup-rule "b ${number%:*}:* rwm" busybox sh -c 'mknod /d b '"${number%:*} ${number#*:}"' && dd if=/d of=/dev/null count=1 2>/dev/null'
check 'kmsg and mem stay closed' 0 - kist run --rm --cap-add MKNOD busybox sh -c 'mknod /k c 1 11; mknod /m c 1 1; ! head -c 1 /k 2>/dev/null && ! head -c 1 /m 2>/dev/null'
check 'privileged has them' 0 - kist run --rm --privileged busybox sh -c "dd if=$io of=/dev/null count=1"
