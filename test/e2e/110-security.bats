#!/usr/bin/env bats
# What a container must not be able to do.
load helpers

# caps CapEff|CapBnd|...
caps()
{
	kist run --rm "${@:2}" busybox sed -n "s/^$1:[[:space:]]*//p" /proc/self/status
}

@test "capabilities: the eleven by default, nothing inheritable or ambient" {
	local default=00000000800405fb set
	for set in CapPrm CapEff CapBnd; do
		equal $default "$(caps $set)" $set
	done
	equal 0000000000000000 "$(caps CapInh)"
	equal 0000000000000000 "$(caps CapAmb)"
}

@test "capabilities: --cap-add, --cap-drop, ALL" {
	equal 00000000800415fb "$(caps CapEff --cap-add NET_ADMIN)"
	equal 00000000800415fb "$(caps CapEff --cap-add cap_net_admin)"
	equal 00000000800405fa "$(caps CapEff --cap-drop chown)"
	equal 0000000000000000 "$(caps CapEff --cap-drop all)"
	equal 0000000000000001 "$(caps CapBnd --cap-drop ALL --cap-add CHOWN)"
	engine_error kist run --rm --cap-add NOSUCH busybox true
	engine_error kist run --rm --cap-drop NOSUCH busybox true
}

@test "capabilities: a user that is not root has none" {
	equal 0000000000000000 "$(caps CapEff -u 1000)"
	equal 0000000000000000 "$(caps CapPrm -u 1000)"
	equal 0000000000000000 "$(caps CapInh -u 1000)"
	run ! kist run --rm -u 1000 busybox touch /etc/x
}

@test "--privileged: all that the host has, and its devices" {
	equal "$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)" "$(caps CapEff --privileged)"
	equal 0 "$(kist run --rm --privileged busybox sed -n 's/^Seccomp:[[:space:]]*//p' /proc/self/status)"
	run -0 kist run --rm --privileged busybox sh -c 'test -e /dev/loop-control && mount -t tmpfs t /mnt && echo ok'
	contains "$output" ok
}

@test "masked paths show nothing" {
	run -0 kist run --rm busybox sh -c 'for p in acpi kcore keys latency_stats sched_debug scsi timer_list timer_stats interrupts; do
		f=/proc/$p
		if [ -d $f ]; then [ -z "$(ls $f)" ] || echo "full $f"
		elif [ -e $f ]; then [ -z "$(head -c 10 $f 2>/dev/null | tr -d "\0")" ] || echo "readable $f"; fi
	done
	for d in /sys/firmware /sys/fs/selinux /sys/devices/virtual/powercap; do [ ! -d $d ] || [ -z "$(ls $d)" ] || echo "full $d"; done'
	is_podman && output=${output//readable \/proc\/interrupts/}
	equal '' "$output"
}

@test "read-only paths cannot be written, even by root" {
	run -0 kist run --rm busybox sh -c 'for p in bus fs irq sys; do [ ! -d /proc/$p ] || grep -qE " /proc/$p ro" /proc/self/mountinfo || echo "rw /proc/$p"; done
		[ ! -e /proc/sysrq-trigger ] || grep -qE " /proc/sysrq-trigger ro" /proc/self/mountinfo || echo rw sysrq
		echo x 2>/dev/null >/proc/sys/kernel/hostname && echo written
		echo h 2>/dev/null >/proc/sysrq-trigger && echo written
		echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward && echo written
		true'
	equal '' "$output"
}

@test "--security-opt mask and unmask" {
	run -0 kist run --rm --security-opt unmask=ALL busybox sh -c 'grep -cE " /proc/(kcore|bus|sys) " /proc/self/mountinfo || true'
	equal 0 "$output"
	run -0 kist run --rm --security-opt mask=/proc/version busybox sh -c 'cat /proc/version | wc -c'
	equal 0 "$output"
}

@test "seccomp: a filter is there, and can be taken away" {
	run -0 kist run --rm busybox grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status
	matches 'Seccomp:[[:space:]]+2' "$output"
	matches 'NoNewPrivs:[[:space:]]+0' "$output"
	run -0 kist run --rm --security-opt seccomp=unconfined busybox grep '^Seccomp:' /proc/self/status
	matches '0$' "$output"
	run -0 kist run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status
	matches '1$' "$output"
	run -125 kist run --rm --security-opt seccomp=/no/such/file busybox true
	run -125 kist run --rm --security-opt nosuch=1 busybox true
}

@test "seccomp: a profile of one's own" {
	cat >"$STORE/profile.json" <<-'EOF'
		{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [ { "names": [ "mkdir", "mkdirat" ], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 } ] }
	EOF
	run ! kist run --rm --security-opt "seccomp=$STORE/profile.json" busybox mkdir /x
	contains "$output" 'No space left'
	kist_only
	echo '{ broken' >"$STORE/profile.json"
	engine_error kist run --rm --security-opt "seccomp=$STORE/profile.json" busybox true
}

@test "seccomp: what the default refuses" {
	build_probe || skip 'no compiler'
	run -0 kist run --rm -v "$PROBE:/probe:ro" busybox /probe
	is_podman && output=$(grep -v af_ <<<"$output")
	lacks "$output" ALLOWED
	run -0 kist run --rm --security-opt seccomp=unconfined --cap-add SYS_ADMIN -v "$PROBE:/probe:ro" busybox /probe
	contains "$output" 'unshare ALLOWED'
}

# A static program that tries system calls and says which the kernel let through.
build_probe()
{
	PROBE=$STORE/probe
	cat >"$STORE/probe.c" <<-'EOF'
		#define _GNU_SOURCE
		#include <errno.h>
		#include <sched.h>
		#include <stdio.h>
		#include <sys/mount.h>
		#include <sys/socket.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		static void tell(const char *what, long result)
		{
			printf("%s %s\n", what, result >= 0 || (errno != EPERM && errno != ENOSYS && errno != EAFNOSUPPORT && errno != EACCES && errno != EINVAL) ? "ALLOWED" : "refused");
		}
		int main(void)
		{
			tell("mount", mount("none", "/mnt", "tmpfs", 0, ""));
			tell("unshare", unshare(CLONE_NEWNS));
			tell("bpf", syscall(SYS_bpf, 0, 0, 0));
			tell("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
			tell("af_alg", socket(38, SOCK_SEQPACKET, 0));
			tell("af_vsock", socket(40, SOCK_STREAM, 0));
			tell("kexec", syscall(SYS_kexec_load, 0, 0, 0, 0));
			tell("init_module", syscall(SYS_init_module, 0, 0, ""));
			tell("open_by_handle", syscall(SYS_open_by_handle_at, -1, 0, 0));
			tell("perf", syscall(SYS_perf_event_open, 0, 0, -1, -1, 0));
			tell("userfaultfd", syscall(SYS_userfaultfd, 0));
			tell("io_uring", syscall(SYS_io_uring_setup, 1, 0));
			return 0;
		}
	EOF
	gcc -static -O1 -o "$PROBE" "$STORE/probe.c" 2>/dev/null
}

@test "the engine's binary cannot be written from inside (CVE-2019-5736)" {
	kist_only
	local before
	before=$(sha256sum <"$KIST")
	run kist run --rm --init busybox sh -c 'for p in 1 self; do echo x >/proc/$p/exe; done; dd if=/dev/zero of=/proc/1/exe bs=1 count=1 conv=notrunc'
	[ "$status" -ne 0 ]
	sleeper --name c --init --cap-add SYS_PTRACE --cap-add DAC_OVERRIDE >/dev/null
	run kist exec c sh -c 'echo x >/proc/1/exe'
	[ "$status" -ne 0 ]
	# A command that is the engine itself: #! of /proc/self/exe.
	run kist run --rm busybox sh -c 'printf "#!/proc/self/exe\n" >/evil; chmod +x /evil; (sleep 0.2; exec 9</proc/self/exe) & /evil'
	cat >"$STORE/evil.sh" <<-'EOF'
		printf '#!/proc/self/exe\n' >/bin/evil
		chmod +x /bin/evil
		i=0
		while [ $i -lt 300 ]; do
			for p in /proc/[0-9]*; do
				(: >>$p/exe) 2>/dev/null && case $(readlink $p/exe) in *kist*) echo HIT $p ;; esac
			done
			i=$((i + 1))
		done
	EOF
	kist run -d --name e -v "$STORE/evil.sh:/evil.sh" busybox sh /evil.sh >/dev/null
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		kist exec e true || true
		kist exec e /bin/evil >/dev/null 2>&1 || true
	done
	kist rm -f -t 0 e
	equal "$before" "$(sha256sum <"$KIST")"
}

@test "a working directory that leads out through a descriptor is refused (CVE-2024-21626)" {
	local n
	for n in 3 4 5 6 7 8 9 10; do
		run kist run --rm -w "/proc/self/fd/$n" busybox sh -c 'ls; cat ../../../etc/hostname'
		lacks "$output" "$(cat /etc/machine-id 2>/dev/null || echo '@')"
		[ "$status" -ne 0 ] || lacks "$output" vmlinuz
	done
	sleeper --name c >/dev/null
	for n in 3 5 7 9; do
		run ! kist exec -w "/proc/self/fd/$n" c ls ../../../work
	done
}

@test "links in the image do not lead out: /etc/passwd, /dev, /proc, /sys, /etc" {
	kist_only
	mkdir "$STORE/r"
	tar -C "$STORE/r" -xf "$E2E_CACHE/busybox.tar"
	mkdir "$STORE/outside"
	echo 'user:x:4242:4242::/:/bin/sh' >"$STORE/outside/passwd"
	# passwd is a link to a host file: the name is not found, or by the container's own.
	ln -sf "$STORE/outside/passwd" "$STORE/r/etc/passwd"
	run kist run --rm --rootfs "$STORE/r" -u user id -u
	lacks "$output" 4242
	rm "$STORE/r/etc/passwd"
	mkfifo "$STORE/r/etc/passwd"
	run timeout 20 bash -c "$(declare -f kist kist_command is_podman); kist run --rm -u user --rootfs '$STORE/r' id -u"
	[ "$status" -ne 124 ] || fail 'hangs on a FIFO'
	rm "$STORE/r/etc/passwd"
	local name
	for name in dev proc sys etc; do
		rm -rf "${STORE:?}/r/$name.old"
		mv "$STORE/r/$name" "$STORE/r/$name.old"
		ln -s "$STORE/outside" "$STORE/r/$name"
		run kist run --rm --rootfs "$STORE/r" true
		equal passwd "$(ls "$STORE/outside")" "with /$name a link"
		rm "$STORE/r/$name"
		mv "$STORE/r/$name.old" "$STORE/r/$name"
	done
	clean
}

@test "devices: only the allowed ones can be used" {
	run ! kist run --rm --cap-add MKNOD busybox sh -c 'mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem'
	run ! kist run --rm --cap-add MKNOD busybox sh -c 'mknod /tmp/loop b 7 0 && head -c 1 /tmp/loop'
	run -0 kist run --rm --cap-add MKNOD busybox sh -c 'mknod /tmp/null c 1 3 && echo x >/tmp/null'
	run -0 kist run --rm --device /dev/loop0:/dev/myloop:r busybox sh -c 'test -b /dev/myloop && head -c 1 /dev/myloop >/dev/null; echo $?'
	run ! kist run --rm --device /dev/loop0:/dev/myloop:r busybox sh -c 'echo x >/dev/myloop'
	engine_error kist run --rm --device /dev/nosuch busybox true
	run -125 kist run --rm --device /dev/null:/dev/x:q busybox true
}

@test "sysctls: namespaced ones are set, others refused" {
	equal 12345 "$(kist run --rm --sysctl kernel.msgmax=12345 busybox cat /proc/sys/kernel/msgmax)"
	equal 1 "$(kist run --rm --sysctl net.ipv4.ip_forward=1 busybox cat /proc/sys/net/ipv4/ip_forward)"
	engine_error kist run --rm --sysctl kernel.core_pattern=x busybox true
	engine_error kist run --rm --sysctl kernel.nosuch=x busybox true
	kist_only
	engine_error kist run --rm --sysctl net/../../kernel/core_pattern=x busybox true
	engine_error kist run --rm --sysctl 'kernel.shm_rmid_forced=1+kernel.core_pattern=x' busybox true
	engine_error kist run --rm --network host --sysctl net.ipv4.ip_forward=1 busybox true
	engine_error kist run --rm --sysctl novalue busybox true
}

@test "the store and the run directory are for root alone" {
	kist_only
	sleeper --name c >/dev/null
	equal 700 "$(stat -c %a "$ROOT")"
	equal 700 "$(stat -c %a "$RUNROOT")"
	[ -z "$(find "$RUNROOT" -type s ! -perm 600)" ]
}
