#!/bin/bash
# 'make bench': what starting and ending a container costs, side by side in one run: the bare system calls, kist, crun, runc,
# podman. Medians of ROUNDS (default 50). Prints tables and ratios; judges nothing. What is not installed is left out.
set -u
cd "$(dirname "$0")/../.." || exit 1
rounds=${ROUNDS:-50}
. test/bench/begin.bash
cleanup()
{
	"${kist_global[@]}" rm -fa -t 0 >/dev/null 2>&1
	[ -z "${podman_global[*]:-}" ] || "${podman_global[@]}" rm -fa -t 0 >/dev/null 2>&1
	grep -oE " $work/[^ ]*" /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
	rmdir /sys/fs/cgroup/bench-* 2>/dev/null
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT

contrib/busybox-root "$work/root" || exit 1
tar -C "$work/root" --numeric-owner -cf "$work/root.tar" .
kist_global=("$kist" --root "$work/kist" --runroot "$work/run/kist")
"${kist_global[@]}" import "$work/root.tar" busybox >/dev/null || exit 1
export BENCH_CGROUP=/sys/fs/cgroup
commands=(bare build/bench/bare "$work/root" "$work/bare" true)
mkdir "$work/bare"
commands+=(-- 'kist-run' "${kist_global[@]}" run --rm --network none busybox true)

# A bundle with the same root for the runtimes: what runc proposes, without what this machine may lack.
bundle()
{
	local runtime=$1 directory=$work/bundle-$1
	mkdir -p "$directory"
	(cd "$directory" && "$runtime" spec) || return 1
	jq --arg root "$work/root" '.root.path = $root | .root.readonly = true | .process.args = ["true"] | .process.terminal = false
		| del(.linux.resources)' "$directory/config.json" >"$directory/new" && mv "$directory/new" "$directory/config.json"
}
for runtime in crun runc; do
	command -v "$runtime" >/dev/null && bundle "$runtime" || continue
	commands+=(-- "$runtime-run" "$runtime" --root "$work/run/$runtime" run --bundle "$work/bundle-$runtime" "bench-$runtime-%d")
done
podman_global=()
if command -v podman >/dev/null; then
	podman_global=(podman --log-level error --runtime runc --cgroup-manager cgroupfs --storage-driver overlay
		--root "$work/podman" --runroot "$work/run/podman" --tmpdir "$work/run/podman-tmp")
	podman_flags=(--network none --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --pids-limit 0)
	"${podman_global[@]}" import "$work/root.tar" busybox >/dev/null 2>&1 || podman_global=()
fi

"$top/build/bench/timeit" -n "$rounds" "${commands[@]}" >"$work/results" || exit 1
if [ ${#podman_global[@]} -gt 0 ]; then
	# Far slower than the rest: fewer rounds, together with kist again, so that the pair is interleaved too.
	"$top/build/bench/timeit" -n $((rounds < 20 ? rounds : 20)) -w 1 \
		podman-run "${podman_global[@]}" run --rm "${podman_flags[@]}" busybox true \
		-- kist-run-beside-podman "${kist_global[@]}" run --rm --network none busybox true >>"$work/results"
fi

echo "kernel $(uname -r), $(nproc) processors, median of $rounds rounds, interleaved"
awk '
	{ median[$1] = $2; order[NR] = $1; low[$1] = $3; high[$1] = $4; failures[$1] = $5 }
	END {
		printf "%-26s %12s %12s %12s %9s %9s\n", "", "median ms", "10%", "90%", "x bare", "x crun"
		for (i = 1; i <= NR; i++) {
			n = order[i]
			printf "%-26s %12.2f %12.2f %12.2f %9s %9s%s\n", n, median[n] / 1000, low[n] / 1000, high[n] / 1000,
				median["bare"] ? sprintf("%.2f", median[n] / median["bare"]) : "-",
				median["crun-run"] ? sprintf("%.2f", median[n] / median["crun-run"]) : "-",
				failures[n] ? "   " failures[n] " FAILED" : ""
		}
	}' "$work/results"

# What stays in memory while a container sleeps: the pages that only this process has.
private_dirty()
{
	awk '/^Private_Dirty:/ { print $2 " KiB" }' "/proc/$1/smaps_rollup"
}
echo
echo 'idle, with one sleeping container: private dirty memory'
id=$("${kist_global[@]}" run -d --network none busybox sleep 1000)
container=$("${kist_global[@]}" inspect --format '{{.State.Pid}}' "$id")
sleep 1
monitor=$(awk '/^PPid:/ { print $2 }' "/proc/$container/status")
printf '%-26s %s\n' 'kist monitor' "$(private_dirty "$monitor")"
"${kist_global[@]}" rm -f -t 0 "$id" >/dev/null
if [ ${#podman_global[@]} -gt 0 ]; then
	id=$("${podman_global[@]}" run -d "${podman_flags[@]}" busybox sleep 1000)
	container=$("${podman_global[@]}" inspect --format '{{.State.Pid}}' "$id")
	sleep 1
	monitor=$(awk '/^PPid:/ { print $2 }' "/proc/$container/status")
	printf '%-26s %s\n' "$(cat "/proc/$monitor/comm")" "$(private_dirty "$monitor")"
	"${podman_global[@]}" rm -f -t 0 "$id" >/dev/null
fi

# What others cost: a list of 10,000, and a start among 1,000 beside one among none. Stores of their own.
echo
echo 'many containers'
many()
{
	build/bench/many "$work/$1" "$work/run/$1" "$2" exited || exit 1
}
many list 10000
many thousand 1000
for store in thousand none; do
	"$kist" --root "$work/$store" --runroot "$work/run/$store" import "$work/root.tar" busybox >/dev/null || exit 1
done
among() { echo "$kist --root $work/$1 --runroot $work/run/$1 run --rm --network none busybox true"; }
# shellcheck disable=SC2046 # command lines
"$top/build/bench/timeit" -n "$rounds" ps-10000 "$kist" --root "$work/list" --runroot "$work/run/list" ps -a \
	-- ps-10000-json "$kist" --root "$work/list" --runroot "$work/run/list" ps -a --format json \
	-- start-among-1000 $(among thousand) -- start-alone $(among none) |
	awk '{ printf "%-26s %12.2f ms %9d KiB%s\n", $1, $2 / 1000, $6, ($5 > 0 ? "   " $5 " FAILED" : ""); t[$1] = $2 }
		END { printf "%-26s %12.2f\n", "start, 1000 others / none", t["start-among-1000"] / t["start-alone"] }'
echo
stat -c 'static binary: %s bytes' "$kist"
