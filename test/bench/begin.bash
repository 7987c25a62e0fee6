# What the benchmarks of containers begin with, sourced at the top of the tree: namespaces of their own (namespaces=(OPTION...)
# of unshare beside --mount), cgroup v2, and the directory $work, which the script removes. Sets top, kist and work.
# shellcheck shell=bash
top=$PWD
kist=${KIST:-$top/build/static/kist}

if [ "$(id -u)" -ne 0 ]; then
	echo 'bench: containers need root' >&2
	exit 1
fi
if [ -z "${BENCH_INSIDE:-}" ]; then
	BENCH_INSIDE=1 exec unshare --mount ${namespaces[@]+"${namespaces[@]}"} --propagation private "$0" "$@"
fi
# /sys shows the interfaces of the network namespace that it was mounted in.
[ -z "${namespaces[*]-}" ] || mount -t sysfs sysfs /sys || exit 1
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 none /sys/fs/cgroup || exit 1

work=$(mktemp -d /var/tmp/kist-bench.XXXXXX)
# Every engine's run directory is in memory, as /run is on a host: here it may be on the disk.
mkdir "$work/run"
mount -t tmpfs tmpfs "$work/run" || exit 1
