#!/usr/bin/env bats
# Limits: applied where the controller is there, refused by name where it is not.
load helpers

# limit CONTROLLER FILE WANTED OPTION...: the container's file holds the value; without the controller it is an error.
limit()
{
	local controller=$1 file=$2 wanted=$3
	shift 3
	if has_controller "$controller"; then
		run -0 kist run --rm --cgroupns private "$@" busybox cat "/sys/fs/cgroup/$file"
		equal "$wanted" "$output" "$*"
	else
		kist_only # podman leaves the refusal to runc: 127
		engine_error kist run --rm "$@" busybox true
		contains "$stderr" "$controller"
	fi
}

@test "limits: memory" {
	limit memory memory.max 67108864 --memory 64m
	limit memory memory.max 67108864 -m 65536k
	limit memory memory.low 33554432 --memory 64m --memory-reservation 32m
	if has_controller memory && [ -e "$CGROUP/harness/memory.swap.max" ]; then
		limit memory memory.swap.max 67108864 --memory 64m --memory-swap 128m
	fi
}

@test "limits: cpu" {
	limit cpu cpu.max '50000 100000' --cpus 0.5
	limit cpu cpu.max '20000 50000' --cpu-quota 20000 --cpu-period 50000
	limit cpu cpu.weight 39 --cpu-shares 1024
}

@test "limits: cpuset" {
	limit cpuset cpuset.cpus 0 --cpuset-cpus 0
	limit cpuset cpuset.mems 0 --cpuset-mems 0
}

@test "limits: pids" {
	limit pids pids.max 50 --pids-limit 50
	kist_only
	if has_controller pids; then
		run -0 kist run --rm --cgroupns private busybox cat /sys/fs/cgroup/pids.max
		equal 2048 "$output" 'default'
		run -0 kist run --rm --pids-limit -1 busybox cat /sys/fs/cgroup/pids.max
		equal max "$output"
	fi
}

@test "limits: io" {
	limit io io.bfq.weight 'default 500' --blkio-weight 500
}

@test "limits: hugetlb and others by file" {
	kist_only
	if has_controller hugetlb; then
		run -0 kist run --rm --cgroupns private --cgroup-conf hugetlb.2MB.max=4194304 busybox cat /sys/fs/cgroup/hugetlb.2MB.max
		equal 4194304 "$output"
	fi
	engine_error kist run --rm --cgroup-conf nosuch.file=1 busybox true
	contains "$stderr" nosuch.file
	engine_error kist run --rm --cgroup-conf ../escape=1 busybox true
}

@test "limits: a default whose controller is missing is left out" {
	run -0 kist run --rm busybox true
}

@test "limits: nonsense is refused" {
	kist_only
	local option
	for option in --memory=abc --memory=-5 --cpus=x --cpus=-1 --cpu-shares=x --pids-limit=x --cpuset-cpus=a-b --memory-swap=x --memory-swappiness=101 \
		--oom-score-adj=2000 --blkio-weight=5; do
		engine_error kist run --rm "$option" busybox true
	done
	engine_error kist run --rm --memory=64m --memory-swap=32m busybox true
	clean
}

@test "limits: an out-of-memory kill is recorded" {
	has_controller memory || skip 'no memory controller for cgroup v2 on this machine'
	run -137 kist run --name c --memory 20m --memory-swap 20m busybox sh -c 'exec tail /dev/zero'
	equal true "$(kist inspect --format '{{.State.OOMKilled}}' c)"
}

@test "limits: --cgroup-parent, the path, and cleaning up" {
	kist_only
	sleeper --name c --cgroup-parent /own/parent >/dev/null
	local path
	path=$(sed -n 's/^0:://p' "/proc/$(pid_of c)/cgroup")
	matches '^/own/parent/' "$path"
	[ -d "$CGROUP$path" ]
	equal "$path" "$(kist inspect --format '{{.State.CgroupPath}}' c)"
	kist rm -f -t 0 c
	[ ! -d "$CGROUP$path" ]
	rmdir "$CGROUP/own/parent" "$CGROUP/own"
	sleeper --name d >/dev/null
	matches '^/kist/' "$(sed -n 's/^0:://p' "/proc/$(pid_of d)/cgroup")"
}

@test "limits: --cgroups=disabled makes no group" {
	kist_only
	sleeper --name c --cgroups disabled >/dev/null
	lacks "$(grep '^0::' "/proc/$(pid_of c)/cgroup")" "$(kist inspect --format '{{.Id}}' c)"
	run -0 kist stop -t 2 c
	run -125 kist run --rm --cgroups disabled --pids-limit 5 busybox true
}

@test "limits: the hierarchy is found where a hybrid host has it" {
	kist_only
	cat >"$STORE/hybrid" <<-EOF
		umount /sys/fs/cgroup && mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir /sys/fs/cgroup/unified &&
		mount -t cgroup2 none /sys/fs/cgroup/unified && $(run_command) --name h -d busybox sleep 1000 &&
		$(kist_command) exec h cat /proc/self/cgroup && $(kist_command) rm -f -t 0 h && ls /sys/fs/cgroup/unified/kist | wc -l
	EOF
	run -0 unshare --mount --propagation private sh -e "$STORE/hybrid"
}

@test "limits: without any cgroup v2 the message says so" {
	kist_only
	run unshare --mount --propagation private sh -c "umount /sys/fs/cgroup && mount -t tmpfs tmpfs /sys/fs/cgroup && $(run_command) --rm --memory 64m busybox true"
	equal 125 "$status"
	contains "$output" cgroup
}

@test "stats: what a container uses" {
	sleeper --name c >/dev/null
	run -0 kist stats --no-stream c
	matches '^ID +NAME +CPU % +MEM USAGE' "${lines[0]}"
	contains "${lines[1]}" c
	run -0 kist stats --no-stream --format json c
	equal c "$(jq -r '.[0].name // .[0].Name' <<<"$output")"
	run -0 kist stats --no-stream -a
	run -125 kist stats --no-stream nosuch
}

@test "top: the processes, in podman's columns" {
	sleeper --name c >/dev/null
	run -0 kist top c
	matches '^USER +PID +PPID +%CPU +ELAPSED +TTY +TIME +COMMAND' "${lines[0]}"
	matches '^root +1 +0 ' "${lines[1]}"
	run -0 kist top c pid args
	matches '^PID +COMMAND' "${lines[0]}"
	run -125 kist top nosuch
}
