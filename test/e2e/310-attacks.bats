#!/usr/bin/env bats
# The attacks that have broken other engines, run against this one. Each test shows two things: that the attack was really
# made (swaps counted, errors of the attacker's own system calls), and that its target, a canary in the test's own
# directory, is as it was.
load helpers

setup()
{
	kist_only
	setup_store
	mkdir "$STORE/outside"
	echo 'canary of the host' >"$STORE/outside/canary"
	CANARY=$STORE/outside/canary
	find "$STORE/outside" -printf '%p %y %m %u %g %s %T@ %i\n' | sort >"$STORE/outside.before"
	sha256sum <"$KIST" >"$STORE/binary.before"
}

# Not a file made, changed, given away or removed beside the canary, and the engine's binary is what it was.
unharmed()
{
	find "$STORE/outside" -printf '%p %y %m %u %g %s %T@ %i\n' | sort >"$STORE/outside.after"
	diff "$STORE/outside.before" "$STORE/outside.after" || fail 'the canary was touched'
	equal 'canary of the host' "$(cat "$CANARY")"
	sha256sum <"$KIST" | cmp - "$STORE/binary.before" || fail 'the binary was written'
}

attackers()
{
	ATTACK=$E2E_CACHE/attack
	[ -x "$ATTACK/stalk" ] || {
		[ -z "${KIST_TEST_FULL:-}" ] || fail 'the attackers were not built'
		skip 'no compiler for the attackers'
	}
}

# A root file system to spoil.
hostile_root()
{
	R=$STORE/r
	mkdir "$R"
	tar -C "$R" -xf "$E2E_CACHE/busybox.tar"
}

# seconds ORDINARY: how long an attack by chance goes on; KIST_TEST_RACE says it for test/e2e/races.
seconds()
{
	echo "${KIST_TEST_RACE:-$1}"
}

# enough RUNS: as many targets as a slow machine has in that time.
enough()
{
	[ "$1" -ge "$([ -n "${KIST_TEST_RACE:-}" ] && echo 5 || echo 2)" ] || fail "only $1 targets were attacked"
}

# counted NAME FILE: the number that an attacker wrote.
counted()
{
	sed -n "s/^$1 //p" "$2" | tail -n 1
}

# tell RUNS FILE: what was done, for who reads the test's output.
tell()
{
	echo "# targets: $1; $(sed -nE 's/^(swaps|seen|tries|refused|seized) ([0-9]+)$/\2 \1/p' "$2" | paste -s -d , | sed 's/,/, /g')" >&3
}

# no_escape FILE: what 'stalk' wrote says that it tried and failed.
no_escape()
{
	local name
	lacks "$(cat "$1")" escape
	lacks "$(cat "$1")" error
	for name in canary exe memory traced; do
		equal 0 "$(counted $name "$1")" "$name ($(cat "$1"))"
	done
	[ "$(counted seen "$1")" -gt 0 ] || fail "no process was attacked: $(cat "$1")"
	[ "$(counted refused "$1")" -gt 0 ] || fail "nothing was refused: $(cat "$1")"
}

# docker_archive FILE CONFIG-JSON: an image of busybox with this configuration, as an archive to load.
docker_archive()
{
	local dir=$STORE/archive diff
	rm -rf "$dir"
	mkdir "$dir"
	ln "$E2E_CACHE/busybox.tar" "$dir/layer.tar" 2>/dev/null || cp "$E2E_CACHE/busybox.tar" "$dir/layer.tar"
	diff=$(sha256sum <"$dir/layer.tar" | cut -d ' ' -f 1)
	jq -n --argjson config "$2" --arg diff "sha256:$diff" \
		'{architecture:"amd64",os:"linux",config:$config,rootfs:{type:"layers",diff_ids:[$diff]},history:[]}' >"$dir/config.json"
	echo '[{"Config":"config.json","RepoTags":["localhost/hostile:latest"],"Layers":["layer.tar"]}]' >"$dir/manifest.json"
	tar -C "$dir" -cf "$1" manifest.json config.json layer.tar
}

# --- through the engine's own processes -----------------------------------------------------------------------------

@test "race: CVE-2019-5736: the binary is not written through processes of exec" {
	attackers
	local tries=0 end
	kist run -d --name s -v "$ATTACK:/attack:ro" busybox /attack/stalk "$(seconds 4)" "$CANARY" "$(stat -c %d:%i "$KIST")" >/dev/null
	end=$((SECONDS + $(seconds 4) + 1))
	while [ "$SECONDS" -lt "$end" ] && [ "$(state_of s)" = running ]; do
		kist exec s true || true
		kist exec -d s sleep 0.01 || true
		kist exec s /proc/self/exe || true
		kist exec -t s true >/dev/null || true
		tries=$((tries + 1))
	done >/dev/null 2>&1
	in_state s exited 40
	enough "$tries"
	kist logs s >"$STORE/out"
	tell "$tries" "$STORE/out"
	no_escape "$STORE/out"
	equal 0 "$(counted told "$STORE/out")" "told ($(cat "$STORE/out"))"
	unharmed
	equal ok "$(kist run --rm busybox echo ok)"
}

@test "race: a container that may trace finds in exec no more rights than it has" {
	attackers
	local tries=0 end name
	kist run -d --name s --cap-add SYS_PTRACE -v "$ATTACK:/attack:ro" busybox /attack/stalk "$(seconds 5)" "$CANARY" "$(stat -c %d:%i "$KIST")" >/dev/null
	end=$((SECONDS + $(seconds 5) + 1))
	while [ "$SECONDS" -lt "$end" ] && [ "$(state_of s)" = running ]; do
		kist exec s true || true
		kist exec -d s sleep 0.01 || true
		kist exec -t s true >/dev/null || true
		tries=$((tries + 1))
	done >/dev/null 2>&1
	in_state s exited 40
	enough "$tries"
	kist logs s >"$STORE/out"
	tell "$tries" "$STORE/out"
	for name in richer canary exe told; do
		equal 0 "$(counted $name "$STORE/out")" "$name ($(cat "$STORE/out"))"
	done
	[ "$(counted seized "$STORE/out")" -gt 0 ] || fail "nothing was traced: $(cat "$STORE/out")"
	unharmed
}

@test "race: CVE-2019-5736: nor through the start of a container that shares the pid namespace" {
	attackers
	local tries=0 end
	# It stays when the attack is over: a container that is needed and has ended is started again.
	kist run -d --name s -v "$ATTACK:/attack:ro" busybox sh -c '/attack/stalk "$@"; exec sleep 1000' sh \
		"$(seconds 3)" "$CANARY" "$(stat -c %d:%i "$KIST")" >/dev/null
	end=$((SECONDS + $(seconds 3) + 40))
	until log_has s 'traced ' || [ "$SECONDS" -ge "$end" ]; do
		kist run --rm --pid container:s busybox true || true
		kist run --rm --init --pid container:s busybox true || true
		tries=$((tries + 1))
	done >/dev/null 2>&1
	enough "$tries"
	kist logs s >"$STORE/out"
	contains "$(cat "$STORE/out")" 'traced '
	tell "$tries" "$STORE/out"
	no_escape "$STORE/out"
	kist rm -f -t 0 s >/dev/null
	unharmed
}

@test "CVE-2019-5736: an image whose command is the engine itself" {
	attackers
	local what
	hostile_root
	printf '#!/proc/self/exe\n' >"$R/bin/again"
	chmod 0755 "$R/bin/again"
	ln -s /proc/self/exe "$R/bin/self"
	cat >"$R/bin/late" <<-'END'
		#!/bin/sh
		# Holds what /proc/1/exe was, and writes when it may be free.
		exec 9</proc/1/exe
		/bin/again & /bin/self &
		wait
		echo x 2>&1 >/proc/self/fd/9
		echo "tried $?"
	END
	chmod 0755 "$R/bin/late"
	for what in /bin/again /bin/self /proc/self/exe /proc/1/exe; do
		run kist run --rm --rootfs "$R" "$what" version
		run kist run --rm --init --rootfs "$R" "$what" version
	done
	run kist run --rm --init --rootfs "$R" /bin/late
	contains "$output" tried
	# With an init of the engine as process 1: that program is the engine's, and stays.
	run kist run --rm --init --rootfs "$R" sh -c 'for how in ">" ">>"; do eval "echo x $how /proc/1/exe" && echo WRITTEN; done; cp /bin/true /proc/1/exe && echo WRITTEN; truncate -s 0 /proc/1/exe && echo WRITTEN; echo tried'
	contains "$output" tried
	lacks "$output" WRITTEN
	unharmed
}

@test "CVE-2024-21626: descriptors 0 to 2 and no other, for every way in" {
	attackers
	local way
	# What the caller has open is not passed on either.
	exec 8<"$STORE/outside" 9<"$CANARY"
	look()
	{
		matches '^0 ' "$output"
		equal '0 1 2' "$(sed -nE 's/^([0-9]+) .*/\1/p' <<<"$output" | sort -n | xargs)" "descriptors ($1): $output"
		lacks "$output" escape
		lacks "$output" "$STORE"
		lacks "$output" /proc/
	}
	for way in --rm '--rm -i' '--rm --init' '--rm --privileged' '--rm --pid host' '--rm --user 1000' '--rm --security-opt seccomp=unconfined' \
		'--rm --uidmap 0:100000:65536 --gidmap 0:100000:65536' '--rm --log-driver none'; do
		# shellcheck disable=SC2086 # options
		run -0 kist run $way -v "$ATTACK:/attack:ro" busybox /attack/fds "$CANARY"
		look "run $way"
	done
	for way in '' '--init' '-t'; do
		# shellcheck disable=SC2086 # options
		kist run -d --name d $way -v "$ATTACK:/attack:ro" busybox /attack/fds "$CANARY" >/dev/null
		in_state d exited
		run -0 kist logs d
		output=${output//$'\r'/}
		look "run -d $way"
		kist rm d >/dev/null
	done
	kist create --name d -v "$ATTACK:/attack:ro" busybox /attack/fds "$CANARY" >/dev/null
	kist start d >/dev/null
	in_state d exited
	run -0 kist logs d
	look 'create, start'
	sleeper --name c -v "$ATTACK:/attack:ro" >/dev/null
	for way in '' -i '-u 1000' --privileged; do
		# shellcheck disable=SC2086 # options
		run -0 kist exec $way c /attack/fds "$CANARY"
		look "exec $way"
	done
	kist exec -d c sh -c "/attack/fds $CANARY >/tmp/fds 2>&1 </dev/null; mv /tmp/fds /tmp/done"
	until_true 10 kist exec c test -e /tmp/done
	run -0 kist exec c cat /tmp/done
	look 'exec -d'
	exec 8<&- 9<&-
	unharmed
}

@test "CVE-2024-21626: a working directory or command through a descriptor" {
	local n code=0 tries=0 path
	hostile_root
	exec 8<"$STORE/outside"
	for n in 3 4 5 6 7 8 9 10 11 12 13 14; do
		for path in /proc/self/fd/$n /proc/thread-self/fd/$n "/proc/self/fd/$n/../.." /dev/fd/$n; do
			run kist run --rm -w "$path" --rootfs "$R" sh -c "echo in; cat ../../../../../../../../$CANARY .$CANARY canary 2>&1"
			lacks "$output" 'canary of the host'
			tries=$((tries + 1))
		done
		run ! kist run --rm --rootfs "$R" "/proc/self/fd/$n/../../../../../../../../bin/ls"
	done
	sleeper --name c >/dev/null
	for n in 3 4 5 6 7 8 9 10 11 12; do
		run kist exec -w "/proc/self/fd/$n" c sh -c "echo in; cat ../../../../../../../../$CANARY .$CANARY canary 2>&1"
		lacks "$output" 'canary of the host'
		lacks "$output" in$'\n'
		run ! kist exec c "/proc/self/fd/$n/../../../../../../../../bin/ls"
	done
	equal 48 "$tries"
	# By the image: its WORKDIR, and links in it.
	docker_archive "$STORE/a.tar" '{"Cmd":["sh"],"WorkingDir":"/proc/self/fd/7"}'
	kist load -q -i "$STORE/a.tar"
	run kist run --rm hostile sh -c "cat ../../../../../../../../$CANARY 2>&1"
	lacks "$output" 'canary of the host'
	for path in /proc/self/fd/5 /proc/self/fd/8 /proc/1/cwd /proc/self/root/../..; do
		ln -sfn "$path" "$R/work"
		run kist run --rm -w /work --rootfs "$R" sh -c "cat ../../../../../../../../$CANARY .$CANARY canary 2>&1"
		lacks "$output" 'canary of the host'
		run kist run --rm -w /work/new/dir --rootfs "$R" sh -c "cat ../../../../../../../../$CANARY 2>&1"
		lacks "$output" 'canary of the host'
	done
	exec 8<&-
	unharmed
}

@test "with --pid host: processes of the host cannot be opened, traced, or used as a way out" {
	attackers
	local pid name
	sleep 60 3>&- &
	pid=$!
	sleeper --name c >/dev/null
	local monitor
	monitor=$(awk '/^PPid:/ { print $2 }' "/proc/$(pid_of c)/status")
	for name in "$pid" "$monitor" 1; do
		run kist run --rm --pid host -v "$ATTACK:/attack:ro" busybox /attack/reach pid "$name" "$CANARY"
		lacks "$output" DONE
		matches 'ptrace 1' "$output"
		matches 'root 13' "$output"
		matches 'mem 13' "$output"
		[ "$(grep -c . <<<"$output")" -ge 8 ]
	done
	# Nothing of it is there at all in the container's own.
	run -1 kist run --rm busybox test -e "/proc/$monitor"
	kill "$pid"
	# The proof that these attempts find what can be found.
	run kist run --rm --pid host --privileged -v "$ATTACK:/attack:ro" busybox /attack/reach pid "$monitor" "$CANARY"
	contains "$output" 'root DONE'
	unharmed
}

@test "CVE-2020-15257: the attach socket has a path, belongs to root, and asks who comes" {
	attackers
	local socket
	sleeper --name c >/dev/null
	run -0 kist run --rm --network host busybox sh -c 'cat /proc/net/unix'
	lacks "$output" '@kist'
	[ -z "$(awk '{ print $8 }' <<<"$output" | grep '^@' | grep -E 'attach|monitor|kist|/containers/')" ]
	socket=$(find "$RUNROOT" -name attach -type s)
	[ -S "$socket" ]
	equal '600 0 0' "$(stat -c '%a %u %g' "$socket")"
	# Permissions taken away, the monitor itself still answers nobody but root.
	cp "$ATTACK/reach" "$STORE/reach"
	local dir=$socket
	while [ "$dir" != "$STORE" ]; do
		dir=${dir%/*}
		chmod 0755 "$dir"
	done
	run ! "$STORE/reach" connect 65534 "$socket"
	contains "$output" 'connect 13'
	chmod 0666 "$socket"
	run ! "$STORE/reach" connect 65534 "$socket"
	contains "$output" 'connect DONE'
	matches 'answer (32|104)' "$output"
	chmod 0600 "$socket"
	dir=$socket
	while [ "$dir" != "$STORE" ]; do
		dir=${dir%/*}
		chmod 0700 "$dir"
	done
	equal running "$(state_of c)"
	unharmed
}

@test "the keys of the session that starts a container are not the container's" {
	attackers
	local run
	run=$(run_command)
	run "$ATTACK/reach" key true
	[ "$status" -eq 0 ] || skip 'no keyrings here'
	# shellcheck disable=SC2086 # a command line
	run -1 "$ATTACK/reach" key $run --rm --security-opt seccomp=unconfined -v "$ATTACK:/attack:ro" busybox /attack/reach findkey
	matches 'findkey [0-9]+' "$output"
	# The key is there for a process that has not left the session.
	run -0 "$ATTACK/reach" key "$ATTACK/reach" findkey
	sleeper --name c --security-opt seccomp=unconfined -v "$ATTACK:/attack:ro" >/dev/null
	# shellcheck disable=SC2046 # a command line
	run -1 "$ATTACK/reach" key $(kist_command) exec c /attack/reach findkey
	matches 'findkey [0-9]+' "$output"
	kist rm -f -t 0 c >/dev/null
	# The session that started the monitor is not what exec gets, either.
	# shellcheck disable=SC2086 # a command line
	"$ATTACK/reach" key $run -d --name c -v "$ATTACK:/attack:ro" busybox sleep 1000 >/dev/null
	run -1 kist exec c /attack/reach findkey
	matches 'findkey [0-9]+' "$output"
}

# --- system calls ---------------------------------------------------------------------------------------------------

# refused OUTPUT: the battery ran to its end, and nothing went through.
refused()
{
	contains "$1" 'end DONE'
	contains "$1" user-
	[ "$(grep -c . <<<"$1")" -gt 85 ] || fail "too few attempts: $1"
	equal 'end DONE' "$(grep DONE <<<"$1")"
}

@test "CVE-2026-31431 and others: mounts, namespaces, AF_ALG, keys, modules, devices, sysctls are refused" {
	attackers
	run -0 kist run --rm -v "$ATTACK:/attack:ro" busybox /attack/syscalls
	refused "$output"
	# Its own user namespace gives a process capabilities over nothing that matters.
	matches 'user-remount-proc-sys (1|22)' "$output"
	matches 'user-unshare-cgroup 1' "$output"
	# EPERM of the filter or EAFNOSUPPORT: not the kernel's own opinion of the arguments.
	matches 'af_alg (1|97)' "$output"
	matches 'af_vsock (1|97)' "$output"
	if [ "$(uname -m)" = x86_64 ]; then
		matches 'i386-socketcall-alg (1|22|38|97)' "$output"
		matches 'i386-socket-alg (1|22|38|97)' "$output"
		matches 'x32-socket-alg (1|38)' "$output"
	fi
	matches 'bpf 1' "$output"
	matches 'mknod-mem 1' "$output"
	matches 'write-core_pattern 30' "$output"
	run -0 kist run --rm --init -u 1000 -v "$ATTACK:/attack:ro" busybox /attack/syscalls
	refused "$output"
	sleeper --name c -v "$ATTACK:/attack:ro" >/dev/null
	run -0 kist exec c /attack/syscalls
	refused "$output"
	run -0 kist exec -u 1000 c /attack/syscalls
	refused "$output"
	# In its own user namespace a container has more capabilities over what it owns, and no more system calls.
	run -0 kist run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 -v "$ATTACK:/attack:ro" busybox /attack/syscalls
	refused "$output"
	unharmed
	# The battery finds what is allowed.
	run -0 kist run --rm --privileged -v "$ATTACK:/attack:ro" busybox /attack/syscalls
	[ "$(grep -c DONE <<<"$output")" -gt 10 ]
}

@test "capabilities that a command does not have: nodes and devices stay out of reach" {
	attackers
	run -0 kist run --rm --cap-add MKNOD -v "$ATTACK:/attack:ro" busybox /attack/syscalls
	refused "$output"
	matches 'mknod-mem 1' "$output"
	matches 'mknod-vda (1|6)' "$output"
	run -0 kist run --rm --cap-add SYS_PTRACE -v "$ATTACK:/attack:ro" busybox /attack/syscalls
	refused "$output"
}

@test "CVE-2022-29162, CVE-2022-27649: no inheritable capability, and files cannot use one" {
	local way
	command -v setfattr >/dev/null || skip 'no setfattr'
	hostile_root
	echo secret >"$R/root-only"
	chmod 0600 "$R/root-only"
	mkdir "$R/inherited" "$R/permitted"
	cp "$R/bin/busybox" "$R/inherited/cat"
	cp "$R/bin/busybox" "$R/permitted/cat"
	# DAC_OVERRIDE, effective at once: in the inheritable set of one, in the permitted set of the other.
	setfattr -n security.capability -v 0x0100000200000000020000000000000000000000 "$R/inherited/cat" || skip 'no file capabilities here'
	setfattr -n security.capability -v 0x0100000202000000000000000000000000000000 "$R/permitted/cat"
	run kist run --rm -u 1000 --rootfs "$R" /inherited/cat /root-only
	lacks "$output" secret
	[ "$status" -ne 0 ]
	# The attack is one: with the other set the file is read.
	run -0 kist run --rm -u 1000 --rootfs "$R" /permitted/cat /root-only
	equal secret "$output"
	run kist run --rm -u 1000 --security-opt no-new-privileges --rootfs "$R" /permitted/cat /root-only
	lacks "$output" secret
	kist run -d --name c --rootfs "$R" sleep 1000 >/dev/null
	run kist exec -u 1000 c /inherited/cat /root-only
	lacks "$output" secret
	for way in '' '-u 1000' '--privileged' '--privileged -u 1000'; do
		# shellcheck disable=SC2086 # options
		run -0 kist exec $way c grep -E '^Cap(Inh|Amb)' /proc/self/status
		equal $'CapInh:\t0000000000000000\nCapAmb:\t0000000000000000' "$output" "exec $way"
		# shellcheck disable=SC2086 # options
		run -0 kist run --rm $way --cap-add SYS_ADMIN busybox grep -E '^Cap(Inh|Amb)' /proc/self/status
		equal $'CapInh:\t0000000000000000\nCapAmb:\t0000000000000000' "$output" "run $way"
	done
	kist rm -f -t 0 c >/dev/null
}

@test "CVE-2018-10856: a user that is not root has no capability, in run and in exec" {
	local set
	kist run -d --name c -u 1000 busybox sleep 1000 >/dev/null
	sleeper --name root >/dev/null
	for set in CapPrm CapEff CapInh CapAmb; do
		equal 0000000000000000 "$(kist exec c sed -n "s/^$set:[[:space:]]*//p" /proc/1/status)"
		equal 0000000000000000 "$(kist exec c sed -n "s/^$set:[[:space:]]*//p" /proc/self/status)"
		equal 0000000000000000 "$(kist exec -u 1000 root sed -n "s/^$set:[[:space:]]*//p" /proc/self/status)"
		equal 0000000000000000 "$(kist run --rm -u 1000 --cap-add DAC_OVERRIDE --privileged busybox sed -n "s/^$set:[[:space:]]*//p" /proc/self/status)"
	done
	run ! kist exec c sh -c 'cat /etc/shadow; touch /etc/x; chown 0 /tmp'
	run ! kist exec -u 1000 root chown 1000 /etc/passwd
	kist rm -f -t 0 c >/dev/null
}

@test "CVE-2022-2989: the primary group is among the groups, so that it cannot be shed" {
	local way
	hostile_root
	echo 'u:x:1000:2000::/:/bin/sh' >>"$R/etc/passwd"
	printf 'g:x:2000:\nother:x:2001:u\n' >>"$R/etc/group"
	# Denied to the group g, open to all others.
	echo denied >"$R/negative"
	chgrp 2000 "$R/negative"
	chmod 0604 "$R/negative"
	groups_of()
	{
		sed -n 's/^Groups:[[:space:]]*//p' | xargs
	}
	equal '2000 2001' "$(kist run --rm -u u --rootfs "$R" cat /proc/self/status | groups_of)"
	equal 2000 "$(kist run --rm -u u:g --rootfs "$R" cat /proc/self/status | groups_of)"
	equal 3000 "$(kist run --rm -u 1234:3000 --rootfs "$R" cat /proc/self/status | groups_of)"
	equal '2000 2001 2002' "$(kist run --rm -u u --group-add 2002 --rootfs "$R" cat /proc/self/status | groups_of)"
	run ! kist run --rm -u u --rootfs "$R" cat /negative
	kist run -d --name c --rootfs "$R" sleep 1000 >/dev/null
	equal '2000 2001' "$(kist exec -u u c cat /proc/self/status | groups_of)"
	equal 3000 "$(kist exec -u 1000:3000 c cat /proc/self/status | groups_of)"
	run ! kist exec -u u c cat /negative
	kist rm -f -t 0 c >/dev/null
}

@test "CVE-2026-30892: a user of digits is that user, and what is no number is no root" {
	local user
	hostile_root
	# Names that look like numbers decide nothing.
	printf '1:x:0:0::/:/bin/sh\n1001:x:0:0::/:/bin/sh\n0x5:x:7:7::/:/bin/sh\n' >>"$R/etc/passwd"
	kist run -d --name c --rootfs "$R" sleep 1000 >/dev/null
	equal 1 "$(kist exec -u 1 c id -u)"
	equal 1 "$(kist exec -u 01 c id -u)"
	equal 1001 "$(kist exec -u 1001 c id -u)"
	equal '1 2' "$(kist exec -u 1:2 c sh -c 'echo $(id -u) $(id -g)')"
	equal 1 "$(kist run --rm -u 1 --rootfs "$R" id -u)"
	for user in -1 +1 ' 1' '1 ' 1a a1 0x1 1e3 1.0 4294967295 4294967296 4294967297 18446744073709551616 18446744073709551617 \
		99999999999999999999999999 1:4294967296 1:-1 1: :1: 1:2:3 '%s%n' $'1\n0'; do
		run kist exec -u "$user" c sh -c 'echo uid=$(id -u)'
		[[ $output != *uid=0* ]] || fail "exec -u '$user' is root"
		run kist run --rm -u "$user" --rootfs "$R" sh -c 'echo uid=$(id -u)'
		[[ $output != *uid=0* ]] || fail "run -u '$user' is root"
	done
	for user in 4294967295 4294967296 18446744073709551616 1:4294967296; do
		run -125 kist exec -u "$user" c true
	done
	kist rm -f -t 0 c >/dev/null
}

@test "CVE-2022-0811: one sysctl does not carry another" {
	local name pattern
	pattern=$(cat /proc/sys/kernel/core_pattern)
	for name in 'kernel.shm_rmid_forced=1+kernel.core_pattern=|/attack' $'kernel.shm_rmid_forced=1\nkernel.core_pattern=|/attack' \
		'kernel.shm_rmid_forced=1 kernel.core_pattern=|/attack' 'kernel.core_pattern=|/attack' 'kernel/core_pattern=|/attack' \
		'net/../kernel/core_pattern=|/attack' 'net.ipv4/../../kernel/core_pattern=|/attack' 'net...kernel.core_pattern=|/attack' \
		'fs.mqueue./../../kernel/core_pattern=|/attack' '/kernel/core_pattern=|/attack' 'kernel.sem/../core_pattern=|/attack' \
		'kernel.msgmax/core_pattern=|/attack' 'kernel.modprobe=/attack' 'vm.overcommit_memory=1' 'net=1' '=1' 'kernel.=1'; do
		run -125 kist run --rm --sysctl "$name" busybox true
		equal "$pattern" "$(cat /proc/sys/kernel/core_pattern)" "core_pattern after '$name'"
	done
	run -0 kist run --rm --sysctl kernel.shm_rmid_forced=1 busybox cat /proc/sys/kernel/shm_rmid_forced
	equal 1 "$output"
}

@test "CVE-2023-25809: the cgroup tree cannot be written" {
	local way
	for way in '' '--cgroupns host' '--uidmap 0:100000:65536 --gidmap 0:100000:65536' '--cap-add SYS_RESOURCE' '--read-only'; do
		# shellcheck disable=SC2086 # options
		run -0 kist run --rm $way busybox sh -c 'cd /sys/fs/cgroup && {
			mkdir attack && echo WRITTEN
			for f in $(find . -name "cgroup.*" -o -name "memory.max" -o -name "pids.max" -o -name release_agent | head -n 50); do
				echo 1 >$f && echo "WRITTEN $f"
			done
			mount -o remount,rw . && echo WRITTEN
			umount . && echo WRITTEN
			true
		} 2>&1; echo tried'
		contains "$output" 'Read-only'
		contains "$output" tried
		lacks "$output" WRITTEN
	done
	[ -z "$(find "$CGROUP" -name attack)" ]
	sleeper --name c >/dev/null
	run kist exec c mkdir /sys/fs/cgroup/attack
	contains "$output" 'Read-only'
}

@test "a fork bomb stays within its limit" {
	has_controller pids || skip 'no pids controller here'
	kist run -d --name bomb --pids-limit 40 busybox sh -c 'f() { f | f & }; trap "" TERM; while :; do f; done' >/dev/null
	local path
	path=$CGROUP/$(sed -n 's,^0::/,,p' "/proc/$(pid_of bomb)/cgroup")
	is_bomb() { [ "$(cat "$path/pids.current")" -ge 30 ]; }
	is_bounded() { [ "$(cat "$path/pids.current")" -le 40 ]; }
	until_true 20 is_bomb || fail "no bomb: $(cat "$path/pids.current")"
	stays 20 is_bounded || fail "$(cat "$path/pids.current") processes"
	equal ok "$(kist run --rm busybox echo ok)"
	run -0 kist rm -f -t 0 bomb
}

# --- links ----------------------------------------------------------------------------------------------------------

# What a container may be given in place of a directory: ways to the same directory of the host.
ways_out()
{
	printf '%s\n' "$STORE/outside" "../../../../../../../../..$STORE/outside" "/proc/self/root$STORE/outside" "/proc/1/cwd$STORE/outside" \
		"/proc/self/cwd/../../../../../..$STORE/outside"
}

@test "CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc and /sys are links or volumes" {
	local name way
	mkdir -p "$STORE/fake/self/attr/apparmor" "$STORE/fake/sys/kernel"
	: >"$STORE/fake/self/attr/exec"
	: >"$STORE/fake/self/attr/apparmor/exec"
	echo old >"$STORE/fake/sys/kernel/shm_rmid_forced"
	hostile_root
	mkdir "$R/elsewhere"
	for name in proc sys; do
		rm -rf "${R:?}/$name"
		for way in /elsewhere elsewhere /vol "$STORE/outside" "../../../../../../..$STORE/outside" /proc/self/cwd; do
			ln -sfn "$way" "$R/$name"
			run -125 kist run --rm -v "$STORE/fake:/vol" --rootfs "$R" true
			contains "$output" "/$name"
			run -125 kist run --rm -v "$STORE/fake:/vol" --security-opt unmask=ALL --rootfs "$R" true
		done
		rm "$R/$name"
		: >"$R/$name"
		run -125 kist run --rm --rootfs "$R" true
		rm "$R/$name"
		mkdir "$R/$name"
	done
	# A volume in their place: refused; what a write to the label would reach stays empty.
	run -125 kist run --rm -v "$STORE/fake:/proc" busybox true
	run -125 kist run --rm -v "$STORE/fake:/proc/" busybox true
	run -125 kist run --rm -v "$STORE/fake://proc" busybox true
	run -125 kist run --rm --tmpfs /proc busybox true
	run -125 kist run --rm -v "$STORE/fake:/sys" busybox true
	# By ways that only the kernel sees to lead there.
	ln -s /proc "$R/link"
	for way in /./proc /etc/../proc /link /link/ /proc/self/attr /proc/self /link/sys /proc/sys/kernel /proc/1; do
		run kist run --rm --sysctl kernel.shm_rmid_forced=1 --security-opt no-new-privileges -v "$STORE/fake:$way" --rootfs "$R" true
	done
	docker_archive "$STORE/a.tar" '{"Cmd":["sh"],"Volumes":{"/proc":{}}}'
	kist load -q -i "$STORE/a.tar"
	run -125 kist run --rm hostile true
	equal '' "$(cat "$STORE/fake/self/attr/exec" "$STORE/fake/self/attr/apparmor/exec")"
	equal old "$(cat "$STORE/fake/sys/kernel/shm_rmid_forced")"
	unharmed
}

@test "CVE-2025-52881: what is meant for procfs is not written to a file that lies over it" {
	mkdir -p "$STORE/fake/kernel" "$STORE/fake/attr/apparmor" "$STORE/fake/fd"
	echo old >"$STORE/fake/kernel/shm_rmid_forced"
	echo old >"$STORE/file"
	: >"$STORE/fake/attr/exec"
	run kist run --rm --sysctl kernel.shm_rmid_forced=1 -v "$STORE/fake:/proc/sys" busybox true
	run kist run --rm --sysctl kernel.shm_rmid_forced=1 -v "$STORE/fake/kernel:/proc/sys/kernel" busybox true
	run kist run --rm --sysctl kernel.shm_rmid_forced=1 -v "$STORE/file:/proc/sys/kernel/shm_rmid_forced" busybox true
	run kist run --rm --oom-score-adj 500 -v "$STORE/file:/proc/self/oom_score_adj" busybox true
	run kist run --rm -v "$STORE/file:/proc/sysrq-trigger" busybox true
	run kist run --rm -v "$STORE/file:/proc/1/oom_score_adj" --oom-score-adj 500 busybox true
	equal old "$(cat "$STORE/fake/kernel/shm_rmid_forced")"
	equal old "$(cat "$STORE/file")"
	# A running container that has such files gets its exec all the same: nothing is looked up there.
	sleeper --name c --security-opt unmask=ALL -v "$STORE/fake:/proc/sys" >/dev/null
	run -0 kist exec c echo ok
	equal ok "$output"
	equal old "$(cat "$STORE/fake/kernel/shm_rmid_forced")"
	unharmed
}

@test "race: CVE-2021-30465, CVE-2024-45310, CVE-2026-55686: links swapped while mounts and directories are made" {
	attackers
	local time runs=0 good=0 code swaps way
	time=$(seconds 5)
	mkdir -p "$STORE/shared/a/old" "$STORE/payload"
	echo payload >"$STORE/payload/file"
	# b is the way out: on the host it is the directory of the canary.
	ln -s "$STORE/outside" "$STORE/shared/b"
	kist run -d --name racer -v "$ATTACK:/attack:ro" -v "$STORE/shared:/shared" busybox /attack/swap /shared a b "$time" >/dev/null
	while [ "$(state_of racer)" = running ]; do
		runs=$((runs + 1))
		code=0
		# In turn a mount point, a tmpfs, a file, a working directory, all at once.
		case $((runs % 5)) in
		0) way=(-v "$STORE/payload:/shared/a/mount$runs") ;;
		1) way=(--tmpfs "/shared/a/tmpfs$runs/deep") ;;
		2) way=(--mount "type=bind,src=$STORE/payload/file,dst=/shared/a/file$runs") ;;
		3) way=(-u 1000 -w "/shared/a/work$runs/deep") ;;
		4) way=(-v "$STORE/payload:/shared/a/m$runs" --tmpfs "/shared/a/t$runs" -w "/shared/a/w$runs") ;;
		esac
		kist run --rm -v "$STORE/shared:/shared" "${way[@]}" \
			busybox sh -c "[ ! -e $CANARY ] || echo ESCAPE; cat ./canary ../canary ../../canary 2>/dev/null; true" >"$STORE/out" 2>&1 || code=$?
		[ ! -s "$STORE/out" ] || [ $code -eq 125 ] || fail "container $runs: $(cat "$STORE/out")"
		lacks "$(cat "$STORE/out")" ESCAPE
		lacks "$(cat "$STORE/out")" 'canary of the host'
		[ $code -ne 0 ] || good=$((good + 1))
		[ -z "$(find "$STORE/outside" -mindepth 1 ! -name canary)" ] || fail "made outside: $(ls -R "$STORE/outside")"
	done
	in_state racer exited 40
	kist logs racer >"$STORE/racer"
	swaps=$(counted swaps "$STORE/racer")
	[ "${swaps:-0}" -gt 1000 ] || fail "the racer did not race: $(cat "$STORE/racer")"
	enough "$runs"
	[ "$good" -gt 0 ] || fail "no container of $runs was started: $(cat "$STORE/out")"
	tell "$runs, $good of them started" "$STORE/racer"
	kist rm racer >/dev/null
	unharmed
}

@test "race: CVE-2021-30465: links swapped while exec and a second container enter" {
	attackers
	local time runs=0 code
	time=$(seconds 3)
	mkdir -p "$STORE/shared/a"
	ln -s "/proc/self/cwd/../../../../..$STORE/outside" "$STORE/shared/b"
	kist run -d --name racer -v "$ATTACK:/attack:ro" -v "$STORE/shared:/shared" busybox /attack/swap /shared a b "$time" >/dev/null
	sleeper --name c -v "$STORE/shared:/shared" >/dev/null
	while [ "$(state_of racer)" = running ]; do
		runs=$((runs + 1))
		run kist exec -w /shared/a c sh -c 'cat canary ./canary; touch attack'
		lacks "$output" 'canary of the host'
	done
	in_state racer exited 40
	kist logs racer >"$STORE/racer"
	[ "$(counted swaps "$STORE/racer")" -gt 1000 ]
	enough "$runs"
	tell "$runs" "$STORE/racer"
	kist rm -f -t 0 racer c >/dev/null
	unharmed
}

@test "CVE-2021-30465: links that stay: mount points, working directories, tmpfs, devices, secrets, files of the engine" {
	local way
	hostile_root
	mkdir "$STORE/payload"
	echo secret >"$STORE/secret"
	kist secret create s "$STORE/secret" >/dev/null
	ways_out >"$STORE/ways"
	while read -r way; do
		ln -sfn "$way" "$R/trap"
		ln -sfn "$way/made" "$R/dangling"
		for dir in run tmp var data etc; do
			[ -e "$R/$dir.real" ] || mv "$R/$dir" "$R/$dir.real"
			ln -sfn "$way" "$R/$dir"
		done
		kist run --rm -v "$STORE/payload:/trap/mount" --rootfs "$R" true || true
		kist run --rm -v "$STORE/payload:/dangling" --rootfs "$R" true || true
		kist run --rm -v "$STORE/secret:/dangling/file" --rootfs "$R" true || true
		kist run --rm --tmpfs /trap/tmpfs --tmpfs /dangling/tmpfs --rootfs "$R" true || true
		kist run --rm -w /trap/work -u 1000 --rootfs "$R" true || true
		kist run --rm -w /dangling --rootfs "$R" true || true
		kist run --rm --device /dev/null:/trap/null --rootfs "$R" true || true
		kist run --rm --secret s --secret s,target=/trap/secret --rootfs "$R" true || true
		kist run --rm --read-only --rootfs "$R" true || true
		kist run --rm -v /trap/volume -v "$STORE/payload:/run/x" --rootfs "$R" true || true
		unharmed
		rm "$R/run" "$R/tmp" "$R/var" "$R/data" "$R/etc"
	done <"$STORE/ways" >"$STORE/out" 2>&1
	# Inside the root itself, links are followed as they should be.
	for dir in run tmp var data etc; do
		mv "$R/$dir.real" "$R/$dir"
	done
	ln -sfn /data "$R/trap"
	run -0 kist run --rm -v "$STORE/payload:/trap/mount" --rootfs "$R" test -d /data/mount
	unharmed
}

@test "CVE-2026-55686: WORKDIR of an image leads through its link" {
	local n=0 way
	mkdir "$STORE/layer"
	while read -r way; do
		n=$((n + 1))
		ln -sfn "$way" "$STORE/layer/trap"
		cp "$E2E_CACHE/busybox.tar" "$STORE/i.tar"
		tar -C "$STORE/layer" -rf "$STORE/i.tar" ./trap
		kist import --change WORKDIR=/trap/made/deep --change USER=1000 "$STORE/i.tar" "hostile$n" >/dev/null
		run kist run --rm "hostile$n" sh -c 'cat canary ../../canary; touch x'
		lacks "$output" 'canary of the host'
		unharmed
	done < <(ways_out)
	equal 5 "$n"
}

@test "CVE-2026-41579, CVE-2026-47766: /dev of the image is a link" {
	local way
	hostile_root
	rm -rf "${R:?}/dev"
	while read -r way; do
		ln -sfn "$way" "$R/dev"
		run kist run --rm --rootfs "$R" true
		run kist run --rm --device /dev/loop0 --device /dev/null:/dev/deep/null --rootfs "$R" true
		run kist run --rm -t --rootfs "$R" true
		run kist run --rm --privileged --rootfs "$R" true
		unharmed
	done < <(ways_out)
	tar -C "$R" -cf "$STORE/i.tar" .
	kist import "$STORE/i.tar" hostile >/dev/null
	run kist run --rm hostile true
	run kist run --rm -t hostile true
	unharmed
	# A link inside the root is no attack.
	ln -sfn /real-dev "$R/dev"
	mkdir -p "$R/real-dev"
	run kist run --rm --rootfs "$R" sh -c 'echo x >/dev/null'
	unharmed
}

@test "CVE-2025-31133, CVE-2025-52565: /dev/null, /dev/console and the terminals are not what they should be" {
	attackers
	local name way
	mkdir -p "$STORE/dev/pts" "$STORE/dev/shm" "$STORE/dev/mqueue"
	ln -s "$CANARY" "$STORE/dev/null"
	ln -s "$CANARY" "$STORE/dev/console"
	ln -s "$CANARY" "$STORE/dev/pts/ptmx"
	ln -s pts/ptmx "$STORE/dev/ptmx"
	# A mask would open what /dev/null is.
	run kist run --rm -v "$STORE/dev:/dev" busybox sh -c 'echo x >/proc/kcore; cat /proc/kcore; echo x >/proc/sysrq-trigger'
	lacks "$output" 'canary of the host'
	run -125 kist run --rm -t -v "$STORE/dev:/dev" busybox true
	cp "$CANARY" "$STORE/dev/file"
	ln -sfn file "$STORE/dev/null"
	run kist run --rm -v "$STORE/dev:/dev" busybox cat /proc/keys
	lacks "$output" 'canary of the host'
	rm "$STORE/dev/null"
	cp "$CANARY" "$STORE/dev/null"
	run -125 kist run --rm -v "$STORE/dev:/dev" busybox cat /proc/keys
	contains "$output" 'not the null device'
	# A pts of one's own: the other end of the terminal would be a file of the host.
	for way in "$CANARY" /proc/sysrq-trigger /dev/null; do
		ln -sfn "$way" "$STORE/dev/pts/ptmx"
		run -125 kist run --rm -t -v "$STORE/dev/pts:/dev/pts" busybox true
		contains "$output" terminal
	done
	rm "$STORE/dev/pts/ptmx"
	mkfifo "$STORE/dev/pts/ptmx"
	run -125 kist run --rm -t -v "$STORE/dev/pts:/dev/pts" busybox true
	rm "$STORE/dev/pts/ptmx"
	mknod "$STORE/dev/pts/ptmx" c 1 3
	run -125 kist run --rm -t -v "$STORE/dev/pts:/dev/pts" busybox true
	contains "$output" 'not a devpts'
	# The same in a running container, whose root replaces them: exec -t must not be led astray.
	sleeper --name c --cap-add SYS_ADMIN --security-opt seccomp=unconfined -v "$STORE/outside:/given:ro" >/dev/null
	kist exec c sh -c 'mount -t tmpfs t /dev/pts && ln -s /given/canary /dev/pts/ptmx && ln -s /given/canary /dev/pts/0'
	run -125 kist exec -t c true
	unharmed
}

@test "race: CVE-2025-31133: /dev/null is swapped while containers are started" {
	attackers
	local runs=0 good=0 time
	time=$(seconds 3)
	mkdir -p "$STORE/dev/pts" "$STORE/dev/shm" "$STORE/dev/mqueue"
	mknod -m 666 "$STORE/dev/null" c 1 3
	cp "$CANARY" "$STORE/dev/other"
	kist run -d --name racer -v "$ATTACK:/attack:ro" -v "$STORE/dev:/d" busybox /attack/swap /d null other "$time" >/dev/null
	while [ "$(state_of racer)" = running ]; do
		runs=$((runs + 1))
		run kist run --rm -v "$STORE/dev:/dev" busybox sh -c 'cat /proc/keys /proc/timer_list 2>/dev/null | head -c 100'
		lacks "$output" 'canary of the host'
		[ "$status" -ne 0 ] || {
			good=$((good + 1))
			equal '' "$output" 'masked files'
		}
	done
	in_state racer exited 40
	kist logs racer >"$STORE/racer"
	[ "$(counted swaps "$STORE/racer")" -gt 1000 ]
	enough "$runs"
	tell "$runs, $good of them started" "$STORE/racer"
	kist rm racer >/dev/null
	unharmed
}

@test "CVE-2024-9676: passwd and group that are a link, a FIFO, a device, a directory, or huge" {
	local file started=$SECONDS
	hostile_root
	echo 'user:x:4242:4242::/:/bin/sh' >"$STORE/outside.passwd"
	for file in passwd group; do
		rm -f "$R/etc/$file"
		ln -s "$STORE/outside.passwd" "$R/etc/$file"
		run kist run --rm -u user --rootfs "$R" id -u
		lacks "$output" 4242
		ln -sfn "../../../../../../..$STORE/outside.passwd" "$R/etc/$file"
		run kist run --rm -u user:user --rootfs "$R" id -u
		lacks "$output" 4242
		ln -sfn /proc/self/environ "$R/etc/$file"
		run kist run --rm -u user:user --rootfs "$R" id -u
		rm "$R/etc/$file"
		mkfifo "$R/etc/$file"
		E2E_TIMEOUT=20 run -125 kist run --rm -u user:user --rootfs "$R" id -u
		rm "$R/etc/$file"
		mknod "$R/etc/$file" c 1 5
		E2E_TIMEOUT=20 run -125 kist run --rm -u user:user --rootfs "$R" id -u
		rm "$R/etc/$file"
		mkdir "$R/etc/$file"
		run -125 kist run --rm -u user:user --rootfs "$R" id -u
		rmdir "$R/etc/$file"
		# 8 GB with nothing in them, and the name at the end.
		truncate -s 8G "$R/etc/$file"
		echo 'user:x:4242:4242::/:/bin/sh' >>"$R/etc/$file"
		E2E_TIMEOUT=20 run -125 kist run --rm -u user:user --rootfs "$R" id -u
		# A number needs none of them.
		contains "$(kist run --rm -u 77 --rootfs "$R" grep Uid: /proc/self/status)" 77
		rm "$R/etc/$file"
		printf 'root:x:0:0::/:/bin/sh\nuser:x:4343:4343::/:/bin/sh\n' >"$R/etc/$file"
	done
	[ $((SECONDS - started)) -lt 60 ]
	# In a running container the file changes under the feet of exec.
	kist run -d --name c --rootfs "$R" sleep 1000 >/dev/null
	kist exec c sh -c 'rm /etc/passwd; mkfifo /etc/passwd'
	E2E_TIMEOUT=20 run -125 kist exec -u user c id -u
	contains "$(kist exec c grep Uid: /proc/self/status)" $'\t0\t0'
	kist rm -f -t 0 c >/dev/null
}

# --- images and archives --------------------------------------------------------------------------------------------

@test "CVE-2026-57231: an image's environment does not pull the host's" {
	export ATTACK_SECRET='canary of the host'
	docker_archive "$STORE/a.tar" '{"Cmd":["sh"],"Env":["PATH=/bin","ATTACK_SECRET","ATTACK_*","*","=x","GOOD=1",""]}'
	run kist load -q -i "$STORE/a.tar"
	if [ "$status" -eq 0 ]; then
		run -0 kist run --rm hostile env
		contains "$output" GOOD=1
		lacks "$output" 'canary of the host'
		kist run -d --name c hostile sleep 1000 >/dev/null
		run -0 kist exec c env
		lacks "$output" 'canary of the host'
		kist rm -f -t 0 c >/dev/null
	fi
	run kist import --change 'ENV=ATTACK_SECRET' "$E2E_CACHE/busybox.tar" other
	[ "$status" -ne 0 ] || lacks "$(kist run --rm other env)" 'canary of the host'
	run kist import --change 'ENV=*' "$E2E_CACHE/busybox.tar" other
	[ "$status" -ne 0 ] || lacks "$(kist run --rm other env)" 'canary of the host'
	# Who asks for it gets it: the attack had something to find.
	contains "$(kist run --rm -e ATTACK_SECRET busybox env)" 'canary of the host'
}

# hostile_tars DIRECTORY: archives whose entries try to lead out, each one a file there.
hostile_tars()
{
	local d=$1 work=$STORE/tars way=../../../../../../../../../../..
	mkdir -p "$d" "$work/dir"
	echo evil >"$work/file"
	echo evil >"$work/dir/canary"
	ln -s "$STORE/outside" "$work/link"
	ln -s "$way$STORE/outside" "$work/rlink"
	ln -s "$CANARY" "$work/flink"
	local tar=(tar -C "$work" --numeric-owner -P)
	"${tar[@]}" --transform "s,^file\$,$CANARY," -cf "$d/absolute.tar" file
	"${tar[@]}" --transform "s,^file\$,$way$CANARY," -cf "$d/dots.tar" file
	"${tar[@]}" --transform "s,^file\$,a/../..$way$CANARY," -cf "$d/inner-dots.tar" file
	# A link, and a file through it.
	"${tar[@]}" -cf "$d/through-link.tar" link
	"${tar[@]}" --transform 's,^dir,link,' -rf "$d/through-link.tar" dir/canary
	"${tar[@]}" -cf "$d/through-rlink.tar" rlink
	"${tar[@]}" --transform 's,^dir,rlink,' -rf "$d/through-rlink.tar" dir/canary
	# A link of the file's own name, then the file: written through it, or over it.
	"${tar[@]}" --transform 's,^flink$,canary,' -cf "$d/over-link.tar" flink
	"${tar[@]}" --transform 's,^file$,canary,' -rf "$d/over-link.tar" file
	# A directory entry over a link, which must not be followed for mode, owner or times.
	"${tar[@]}" -cf "$d/dir-over-link.tar" link
	chmod 0777 "$work/dir"
	"${tar[@]}" --owner 1234 --transform 's,^dir,link,' --no-recursion -rf "$d/dir-over-link.tar" dir
	# Hard links to what is outside, and then a file by that name.
	ln "$work/file" "$work/hard"
	"${tar[@]}" --transform "s,^file\$,$CANARY,h;s,^file\$,other,Hr" -cf "$d/hard.tar" file hard
	"${tar[@]}" --transform "s,^file\$,$way$CANARY,h" -cf "$d/hard-dots.tar" file hard
	"${tar[@]}" -cf "$d/hard-through-link.tar" link
	"${tar[@]}" --transform 's,^file$,link/canary,h' -rf "$d/hard-through-link.tar" file hard
	# Nodes, and white-outs that climb.
	mknod "$work/mem" c 1 1
	mknod "$work/disk" b 254 0
	"${tar[@]}" -cf "$d/devices.tar" mem disk
	: >"$work/.wh.canary"
	"${tar[@]}" -cf "$d/white-out.tar" link
	"${tar[@]}" --transform 's,^,link/,' -rf "$d/white-out.tar" .wh.canary
	"${tar[@]}" --transform 's,^.wh.canary$,.wh...,' -cf "$d/white-out-dots.tar" .wh.canary
	"${tar[@]}" --transform 's,^.wh.canary$,link/.wh..wh..opq,' -rf "$d/white-out.tar" .wh.canary
	# The top of the archive itself as a link.
	"${tar[@]}" --transform 's,^link$,.,' -cf "$d/top.tar" link
	"${tar[@]}" --transform 's,^dir,.,' -rf "$d/top.tar" dir/canary
}

@test "CVE-2023-0778, CVE-2025-11395, CVE-2026-17106: hostile archives for import and load" {
	local tar n=0 name diff
	hostile_tars "$STORE/hostile"
	for tar in "$STORE/hostile"/*.tar; do
		name=$(basename "$tar" .tar)
		run kist import "$tar" "h-$name"
		unharmed
		# Over busybox, so that a container can be made of it.
		cp "$E2E_CACHE/busybox.tar" "$STORE/i.tar"
		tar -Af "$STORE/i.tar" "$tar"
		run kist import "$STORE/i.tar" "b-$name"
		unharmed
		if [ "$status" -eq 0 ]; then
			run kist run --rm "b-$name" sh -c 'cat /link/canary /rlink/canary /hard /other /canary; head -c 1 /mem /disk'
			lacks "$output" 'canary of the host'
			unharmed
		fi
		n=$((n + 1))
	done
	[ "$n" -ge 14 ]
	# An archive of images whose parts are links to the host or climb out.
	mkdir "$STORE/l"
	ln -s "$CANARY" "$STORE/l/layer.tar"
	ln -s "$CANARY" "$STORE/l/config.json"
	for name in config.json "../../../../../..$CANARY" "$CANARY"; do
		jq -n --arg name "$name" '[{Config:$name,RepoTags:["localhost/x:latest"],Layers:[$name]}]' >"$STORE/l/manifest.json"
		tar -C "$STORE/l" -cf "$STORE/l.tar" manifest.json config.json layer.tar
		run -125 kist load -i "$STORE/l.tar"
		lacks "$output" 'canary of the host'
		unharmed
	done
	# The same as an OCI layout in a directory.
	mkdir -p "$STORE/oci/blobs/sha256"
	diff=$(sha256sum <"$CANARY" | cut -d ' ' -f 1)
	ln -s "$CANARY" "$STORE/oci/blobs/sha256/$diff"
	echo '{"imageLayoutVersion":"1.0.0"}' >"$STORE/oci/oci-layout"
	jq -n --arg d "sha256:$diff" '{schemaVersion:2,manifests:[{mediaType:"application/vnd.oci.image.manifest.v1+json",digest:$d,size:19}]}' >"$STORE/oci/index.json"
	run -125 kist load -i "$STORE/oci"
	lacks "$output" 'canary of the host'
	unharmed
}

@test "hostile archives and links for volume import and export" {
	local tar n=0
	hostile_tars "$STORE/hostile"
	for tar in "$STORE/hostile"/*.tar; do
		n=$((n + 1))
		kist volume create "v$n" >/dev/null
		run kist volume import "v$n" "$tar"
		unharmed
		# A second time over what the first has left, and over links that a container left.
		run kist volume import "v$n" "$tar"
		unharmed
		run kist run --rm -v "v$n:/v" busybox sh -c 'cat /v/link/canary /v/rlink/canary /v/hard /v/other /v/canary; head -c 1 /v/mem /v/disk; true'
		lacks "$output" 'canary of the host'
	done
	kist volume create trap >/dev/null
	kist run --rm -v trap:/v busybox sh -c "ln -s $STORE/outside /v/a; ln -s $CANARY /v/canary; ln -s ../../../../../../../../..$STORE/outside /v/link"
	for tar in through-link over-link dir-over-link hard-through-link white-out; do
		run kist volume import trap "$STORE/hostile/$tar.tar"
		unharmed
	done
	# What is exported is the link, not what it leads to.
	kist run --rm -v trap:/v busybox sh -c "rm -rf /v/* && ln -s $CANARY /v/canary && ln -s $STORE/outside /v/dir"
	kist volume export trap >"$STORE/out.tar"
	run ! grep -q 'canary of the host' "$STORE/out.tar"
	contains "$(tar -tvf "$STORE/out.tar")" 'canary -> '
	unharmed
	kist volume rm -a -f >/dev/null 2>&1 || kist volume prune -f >/dev/null
}

@test "race: CVE-2019-10152, CVE-2018-15664, CVE-2026-42306: cp follows no link out" {
	attackers
	kist cp --help >/dev/null 2>&1 || skip 'no cp in this version'
	local way time runs=0
	echo given >"$STORE/given"
	sleeper --name c >/dev/null
	while read -r way; do
		kist exec c sh -c "rm -rf /trap /file /deep; ln -s $way /trap; ln -s $way/canary /file; mkdir /deep; ln -s $way /deep/link"
		run kist cp "$STORE/given" c:/trap/
		run kist cp "$STORE/given" c:/trap/given
		run kist cp "$STORE/given" c:/trap
		run kist cp "$STORE/given" c:/file
		unharmed
		rm -rf "$STORE/got"
		mkdir "$STORE/got"
		run kist cp c:/trap/canary "$STORE/got/a"
		run kist cp c:/file "$STORE/got/b"
		run kist cp c:/deep "$STORE/got/c"
		run ! grep -rq --exclude-dir=link 'canary of the host' "$STORE/got"
		[ ! -f "$STORE/got/a" ] || lacks "$(cat "$STORE/got/a")" 'canary of the host'
		unharmed
	done < <(ways_out)
	# What the container calls its files is no pattern for the host.
	kist exec c sh -c 'mkdir /glob; echo star >"/glob/*"; echo other >/glob/other'
	rm -rf "$STORE/got"
	mkdir "$STORE/got"
	kist cp 'c:/glob/*' "$STORE/got/"
	equal '*' "$(ls "$STORE/got")"
	time=$(seconds 3)
	mkdir -p "$STORE/shared/a"
	ln -s "$STORE/outside" "$STORE/shared/b"
	kist run -d --name racer -v "$ATTACK:/attack:ro" -v "$STORE/shared:/shared" busybox /attack/swap /shared a b "$time" >/dev/null
	while [ "$(state_of racer)" = running ]; do
		runs=$((runs + 1))
		run kist cp "$STORE/given" racer:/shared/a/given
		run kist cp racer:/shared/a/canary "$STORE/got/canary"
		[ ! -f "$STORE/got/canary" ] || fail 'read through the link'
		rm -rf "$STORE/got/canary"
	done
	kist logs racer >"$STORE/racer"
	[ "$(counted swaps "$STORE/racer")" -gt 1000 ]
	enough "$runs"
	tell "$runs" "$STORE/racer"
	unharmed
}

@test "CVE-2022-1227: top, ps, inspect, stats and logs run nothing of the container" {
	local name
	hostile_root
	for name in ps top nsenter sh2 tar getent; do
		rm -f "$R/bin/$name" "$R/usr/bin/$name"
		printf '#!/bin/sh\necho hostile >/executed\necho hostile\n' >"$R/bin/$name"
		chmod 0755 "$R/bin/$name"
	done
	mkdir -p "$R/lib" "$R/etc"
	echo /lib/hostile.so >"$R/etc/ld.so.preload"
	printf 'passwd: hostile\ngroup: hostile\n' >"$R/etc/nsswitch.conf"
	cp "$R/bin/ps" "$R/lib/libnss_hostile.so.2"
	kist run -d --name c --rootfs "$R" sh -c 'sleep 1000 & echo up; wait' >/dev/null
	run -0 kist top c
	contains "$output" 'sleep 1000'
	lacks "$output" hostile
	run kist top c user pid args
	lacks "$output" hostile
	run kist ps -a
	run kist inspect c
	run kist stats --no-stream c
	run kist logs c
	[ ! -e "$R/executed" ]
	run -1 kist exec c test -e /executed
	# The image is as hostile as the test believes.
	run -0 kist exec c ps
	contains "$output" hostile
	kist rm -f -t 0 c >/dev/null
}

@test "terminal escapes of a container do not come out of ps, top, inspect, images and messages" {
	local escape=$'\e]0;attack\a\e[2J\e[8m\r\b\x9b31m' out
	plain()
	{
		[ -z "$(printf '%s' "$output" | tr -d '\11\12\40-\176\200-\377')" ] || fail "$1: $(printf '%s' "$output" | cat -v)"
	}
	kist run -d --name c -l "evil=$escape" -e "EVIL=$escape" busybox sh -c "echo \"\$0\"; exec sleep 1000" "$escape" >/dev/null
	kist exec -d c sh -c 'exec "$@"' sh sleep "999$escape" 2>/dev/null || true
	kist exec -d c sh -c 'cp /bin/busybox "/tmp/sleep$1"; exec -a "x$1" /bin/sleep 998' sh "$escape" || true
	for out in 'ps -a' 'ps -a --no-trunc' 'ps --format json' 'top c' 'inspect c' 'images' 'image inspect busybox'; do
		# shellcheck disable=SC2086 # a command line
		run -0 kist $out
		plain "$out"
	done
	run kist exec c "$escape"
	plain 'exec of a name'
	run kist run --rm busybox "$escape"
	plain 'run of a name'
	run kist exec -w "$escape" c true
	plain 'a working directory'
	run kist exec -u "$escape" c true
	plain 'a user'
	run kist logs "$escape"
	plain 'a container'
	docker_archive "$STORE/a.tar" "$(jq -n --arg e "$escape" '{Cmd:[$e],Labels:{evil:$e},Env:["E="+$e],WorkingDir:("/"+$e),User:$e}')"
	run kist load -i "$STORE/a.tar"
	plain load
	run kist images
	plain images
	run kist run --rm hostile
	plain 'run of an image'
	# What it prints is its own, and passed on as it is.
	contains "$(kist logs c | cat -v)" '^[]0;attack'
	kist rm -f -t 0 c >/dev/null
}
