cgroup-sources := cgroup/apply.c cgroup/bpf_device.c cgroup/create.c cgroup/freeze.c cgroup/kill.c cgroup/limits.c \
	cgroup/mountinfo.c cgroup/oom.c cgroup/remove.c cgroup/root.c cgroup/stats.c
