#!/bin/bash
# The network half of 'make bench': a run on the default bridge beside podman with netavark, connect, disconnect and reload,
# names a second in a container, and nginx under parallel load through a published port, alone, beside 500 other ports, and
# by podman. Everything is in namespaces of its own. Prints numbers; judges nothing. What is not installed is left out.
#
#   ROUNDS=N   of the commands (default 20)
#   SECONDS_OF_LOAD=N  for each way of load (default 30)
set -u
cd "$(dirname "$0")/../.." || exit 1
rounds=${ROUNDS:-20}
load=${SECONDS_OF_LOAD:-30}
namespaces=(--net)
. test/bench/begin.bash
kist_global=("$kist" --root "$work/kist" --runroot "$work/run/kist")
podman_global=()
client=
cleanup()
{
	"${kist_global[@]}" rm -fa -t 0 >/dev/null 2>&1
	[ ${#podman_global[@]} -eq 0 ] || "${podman_global[@]}" rm -fa -t 0 >/dev/null 2>&1
	[ -z "$client" ] || kill "$client"
	grep -oE " $work/[^ ]*" /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT

k()
{
	"${kist_global[@]}" "$@"
}

# The host and a client out there.
ip link set lo up
unshare --net sleep 100000 &
client=$!
until [ "$(readlink /proc/$client/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link add lan0 type veth peer name lan1 netns "$client"
ip addr add 192.0.2.1/24 dev lan0
ip link set lan0 up
nsenter -t "$client" -n sh -c 'ip link set lo up; ip addr add 192.0.2.2/24 dev lan1; ip link set lan1 up'

contrib/busybox-root "$work/root" || exit 1
mkdir -p "$work/root/bench" && cp build/bench/dns "$work/root/bench/dns"
tar -C "$work/root" --numeric-owner -cf "$work/root.tar" .
k import "$work/root.tar" busybox >/dev/null || exit 1
if command -v podman >/dev/null && [ -x /usr/lib/podman/netavark ]; then
	mkdir -p "$work/podman-networks"
	cat >"$work/containers.conf" <<-END
		[network]
		network_backend = "netavark"
		network_config_dir = "$work/podman-networks"
		# Another than kist's, whose bridge stays: two routes to one subnet would lead podman's answers astray.
		default_subnet = "10.77.0.0/16"
	END
	export CONTAINERS_CONF=$work/containers.conf
	podman_global=(podman --log-level error --runtime runc --cgroup-manager cgroupfs --storage-driver overlay
		--root "$work/podman" --runroot "$work/run/podman" --tmpdir "$work/run/podman-tmp")
	podman_flags=(--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --pids-limit 0)
	"${podman_global[@]}" import "$work/root.tar" busybox >/dev/null 2>&1
	if ! "${podman_global[@]}" run --rm "${podman_flags[@]}" busybox true >/dev/null 2>"$work/podman.err"; then
		echo "podman with netavark does not run here: $(tail -n 1 "$work/podman.err")"
		podman_global=()
	fi
fi

echo "kernel $(uname -r), $(nproc) processors, load $(cut -d ' ' -f 1 /proc/loadavg)"
commands=(kist-run-bridge "${kist_global[@]}" run --rm busybox true
	-- kist-run-none "${kist_global[@]}" run --rm --network none busybox true)
[ ${#podman_global[@]} -eq 0 ] || commands+=(-- podman-run-netavark "${podman_global[@]}" run --rm "${podman_flags[@]}" busybox true)
k network create front >/dev/null
k run -d --name one -p 8099:80 busybox sleep 100000 >/dev/null
"$top/build/bench/timeit" -n "$rounds" "${commands[@]}" >"$work/results" || exit 1
# Connect and disconnect in turns, each the other's undoing.
for _ in $(seq "$rounds"); do
	"$top/build/bench/timeit" -n 1 -w 0 connect "${kist_global[@]}" network connect front one \
		-- disconnect "${kist_global[@]}" network disconnect front one -- reload "${kist_global[@]}" network reload one
done >"$work/changes"
{
	cat "$work/results"
	for name in connect disconnect reload; do
		awk -v name=$name '$1 == name { print $2 }' "$work/changes" | sort -n |
			awk -v name=$name '{ v[NR] = $1 } END { print name, v[int((NR + 1) / 2)], v[int(NR / 10) + 1], v[int(NR * 0.9)], 0 }'
	done
} | awk '{ m[$1] = $2; printf "%-26s %10.2f ms   (10%% %.2f, 90%% %.2f)%s\n", $1, $2 / 1000, $3 / 1000, $4 / 1000, $5 ? "   " $5 " FAILED" : "" }
	END { if (m["podman-run-netavark"]) printf "%-26s %10.4f\n", "kist / podman", m["kist-run-bridge"] / m["podman-run-netavark"] }'
k rm -f -t 0 one >/dev/null

echo
echo 'names a second in a container, by 127.0.0.11'
k run -d --name other --network front busybox sleep 100000 >/dev/null
k run --rm --network front busybox /bench/dns 127.0.0.11 other 5
k rm -f -t 0 other >/dev/null

# --- nginx ----------------------------------------------------------------------------------------------------------
debian=$top/build/cache/debian.tar
if [ ! -s "$debian" ] || ! command -v wrk >/dev/null; then
	echo 'no load: it needs wrk, and the Debian image of the end-to-end tests'
	exit 0
fi
k import "$debian" debian >/dev/null
serve='sed -i "/\[::\]/d" /etc/nginx/sites-enabled/default; exec nginx -g "daemon off;"'
# load_of NAME: requests a second, and those that failed.
load_of()
{
	local tries=0
	until nsenter -t "$client" -n wget -q -t 1 -T 1 -O /dev/null http://192.0.2.1:8080/; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || {
			echo "$1: no answer"
			return 1
		}
		sleep 0.1
	done
	nsenter -t "$client" -n wrk -t 2 -c 32 -d "${load}s" http://192.0.2.1:8080/ >"$work/wrk"
	awk -v name="$1" '/^Requests\/sec/ { rate = $2 } /Socket errors|Non-2xx/ { bad = bad " " $0 }
		END { printf "%-26s %10.0f requests a second%s\n", name, rate, bad ? " FAILED:" bad : ", none failed" }' "$work/wrk"
}
echo
echo "nginx through a published port, 32 connections, $load s each"
k run -d --name web -p 8080:80 debian sh -c "$serve" >/dev/null
load_of kist
k run -d --name ports -p 20000-20499:20000-20499 busybox sleep 100000 >/dev/null
load_of 'kist, 500 other ports'
k rm -f -a -t 0 >/dev/null
if [ ${#podman_global[@]} -gt 0 ]; then
	"${podman_global[@]}" import "$debian" debian >/dev/null 2>&1
	"${podman_global[@]}" run -d "${podman_flags[@]}" --name web -p 8080:80 debian sh -c "$serve" >/dev/null
	load_of 'podman with netavark'
	"${podman_global[@]}" rm -f -a -t 0 >/dev/null
	# Again, so that a slow minute does not decide.
	k run -d --name web -p 8080:80 debian sh -c "$serve" >/dev/null
	load_of 'kist again'
fi
