# modules: overlay
# kernel: apparmor=1 security=apparmor
# shellcheck shell=sh disable=SC2016
# AppArmor: the default profile loaded and enforced, others by name, none.
check 'the kernel has it' 0 Y cat /sys/module/apparmor/parameters/enabled
check 'confined by default' 0 'kist-default (enforce)' kist run --rm busybox cat /proc/self/attr/apparmor/current
check 'loaded once' 0 1 grep -c '^kist-default ' /sys/kernel/security/apparmor/profiles
kist create --name c busybox true >/dev/null
check 'inspect says so' 0 kist-default kist inspect --format '{{.AppArmorProfile}}' c
check 'unconfined' 0 unconfined kist run --rm --security-opt apparmor=unconfined busybox cat /proc/self/attr/apparmor/current
check 'privileged is unconfined' 0 unconfined kist run --rm --privileged busybox cat /proc/self/attr/apparmor/current
check 'a profile that is not loaded' 125 - kist run --rm --security-opt apparmor=no-such busybox true
kist run -d --name e busybox sleep 100 >/dev/null
check 'exec is confined' 0 'kist-default (enforce)' kist exec e cat /proc/self/attr/apparmor/current
# Where everything else is open, the profile alone denies; without it the same write goes through.
open='--cap-add ALL --security-opt seccomp=unconfined --security-opt unmask=ALL'
write='echo 0 >/proc/sys/kernel/panic_on_warn'
check_has 'a denied write' 1 'Permission denied' kist run --rm $open busybox sh -c "$write"
check 'the write without the profile' 0 '' kist run --rm $open --security-opt apparmor=unconfined busybox sh -c "$write"
check_has 'sysrq' 1 'Permission denied' kist run --rm $open busybox sh -c 'echo h >/proc/sysrq-trigger'
check_has 'kcore' 1 'Permission denied' kist run --rm $open busybox head -c 1 /proc/kcore
check_has 'mount' 255 'Permission denied' kist run --rm $open busybox mount -t tmpfs t /mnt
check 'mount without the profile' 0 '' kist run --rm $open --security-opt apparmor=unconfined busybox mount -t tmpfs t /mnt
check 'what is of namespaces' 0 '' kist run --rm $open busybox sh -c 'echo 1000000 >/proc/sys/kernel/shmmax; hostname new; echo 5 >/proc/sys/fs/mqueue/queues_max'
check 'its own files and processes' 0 '' kist run --rm busybox sh -c 'echo x >/tmp/x && chmod 700 /tmp/x && rm /tmp/x && sleep 9 & kill %1; echo 0 >/proc/self/oom_score_adj'
check 'stop' 0 e kist stop -t 5 e
# Stacked: what is confined already stays so.
if mkdir -p /sys/kernel/security/apparmor/policy 2>/dev/null && [ -e /proc/self/attr/apparmor/exec ]; then
	check_has 'stacked' 0 'kist-default' sh -c 'echo "exec kist-default" >/proc/self/attr/apparmor/exec; exec cat /proc/self/attr/apparmor/current'
fi
