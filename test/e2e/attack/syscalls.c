/* Tries what a container must not be able to do. One line each: "name DONE", or "name NUMBER" with the errno.
 *
 *   syscalls
 *
 * A call that changed anything ends with DONE; what it would change is the container's own, or harmless to the host
 * that runs the test even if it succeeds. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef AF_ALG
#define AF_ALG 38
#endif
#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif

static void tell(const char *name, long result)
{
	if (result >= 0)
		printf("%s DONE\n", name);
	else
		printf("%s %d\n", name, errno);
}

static void tell_open(const char *name, const char *path, int flags)
{
	int fd = open(path, flags);

	tell(name, fd);
	if (fd >= 0)
		close(fd);
}

static void try_mounts(void)
{
	tell("mount", mount("none", "/tmp", "tmpfs", 0, ""));
	tell("mount-proc", mount("proc", "/tmp", "proc", 0, ""));
	tell("mount-bind", mount("/", "/tmp", NULL, MS_BIND, NULL));
	tell("mount-remount", mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
	tell("umount-proc-sys", umount2("/proc/sys", MNT_DETACH));
	tell("umount-kcore", umount2("/proc/kcore", MNT_DETACH));
	tell("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
	tell("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
	tell("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
	tell("fspick", syscall(SYS_fspick, AT_FDCWD, "/sys", 0));
	tell("move_mount", syscall(SYS_move_mount, AT_FDCWD, "/proc/sys", AT_FDCWD, "/tmp", 0));
	struct {
		uint64_t set, clear, propagation, userns;
	} attr = { .clear = 1 /* MOUNT_ATTR_RDONLY */ };
	tell("mount_setattr", syscall(442, AT_FDCWD, "/sys", 0, &attr, sizeof(attr)));
}

static void try_namespaces(void)
{
	int fd = open("/proc/1/ns/mnt", O_RDONLY);
	tell("setns", setns(fd, CLONE_NEWNS));
	close(fd);
	tell("unshare-mount", unshare(CLONE_NEWNS));
	tell("unshare-net", unshare(CLONE_NEWNET));
	tell("unshare-pid", unshare(CLONE_NEWPID));
	long pid = syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	tell("clone-mount", pid);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static sigjmp_buf no_gate;

static void on_fault(int number)
{
	siglongjmp(no_gate, number);
}

static void try_sockets(void)
{
	tell("af_alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
	tell("af_vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
	int pair[2];
	tell("af_alg-pair", socketpair(AF_ALG, SOCK_SEQPACKET, 0, pair));
	tell("packet", socket(AF_PACKET, SOCK_RAW, 0));
#ifdef __x86_64__
	/* The gate of 32-bit programs, which a 64-bit one may use as well: socketcall(2) takes its arguments from
	 * memory, where a filter cannot look. */
	uint32_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	static const int families[] = { AF_ALG, AF_VSOCK };
	static const char *const names[][2] = { { "i386-socketcall-alg", "i386-socket-alg" },
		                                { "i386-socketcall-vsock", "i386-socket-vsock" } };
	/* A kernel without 32-bit programs has no such gate: the instruction faults, and nothing can come through. */
	signal(SIGSEGV, on_fault);
	bool gate = sigsetjmp(no_gate, 1) == 0;
	errno = ENOSYS;
	for (int i = 0; i < 2 && low != MAP_FAILED; i++) {
		int type = i ? SOCK_STREAM : SOCK_SEQPACKET;
		int result;
		if (!gate) {
			tell(names[i][0], -1);
			tell(names[i][1], -1);
			continue;
		}
		low[0] = (uint32_t)families[i];
		low[1] = (uint32_t)type;
		low[2] = 0;
		__asm__ volatile("int $0x80"
		                 : "=a"(result)
		                 : "a"(102), "b"(1), "c"((uint32_t)(uintptr_t)low)
		                 : "memory", "r8", "r9", "r10", "r11");
		errno = -result;
		tell(names[i][0], result);
		__asm__ volatile("int $0x80"
		                 : "=a"(result)
		                 : "a"(359), "b"(families[i]), "c"(type), "d"(0)
		                 : "memory", "r8", "r9", "r10", "r11");
		errno = -result;
		tell(names[i][1], result);
	}
	signal(SIGSEGV, SIG_DFL);
	/* The x32 numbers of the same calls. */
	tell("x32-socket-alg", syscall(0x40000000 + SYS_socket, AF_ALG, SOCK_SEQPACKET, 0));
	tell("x32-mount", syscall(0x40000000 + SYS_mount, "none", "/tmp", "tmpfs", 0, ""));
#endif
}

static void try_kernel(void)
{
	tell("bpf", syscall(SYS_bpf, 0, NULL, 0));
	tell("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	tell("userfaultfd", syscall(SYS_userfaultfd, 0));
	tell("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
	tell("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	tell("init_module", syscall(SYS_init_module, "", 0, ""));
	tell("finit_module", syscall(SYS_finit_module, 0, "", 0));
	tell("delete_module", syscall(SYS_delete_module, "no-such-module", O_NONBLOCK));
	tell("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
	tell("syslog", syscall(SYS_syslog, 3, NULL, 0));
	tell("acct", syscall(SYS_acct, "/no-such-file"));
	tell("swapon", syscall(SYS_swapon, "/no-such-file", 0));
	tell("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL));
	tell("vhangup", syscall(SYS_vhangup));
	tell("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
	tell("sethostname", syscall(SYS_sethostname, "attacked", 8));
	tell("settimeofday", syscall(SYS_settimeofday, NULL, "\0\0\0\0\0\0\0"));
#ifdef __x86_64__
	tell("iopl", syscall(SYS_iopl, 3));
	tell("ioperm", syscall(SYS_ioperm, 0x70, 2, 1));
#endif
	tell("add_key", syscall(SYS_add_key, "user", "attack", "x", 1, -3));
	tell("request_key", syscall(SYS_request_key, "user", "attack", NULL, 0));
}

static void try_devices(void)
{
	static const struct {
		const char *name, *path;
		mode_t mode;
		unsigned major, minor;
	} table[] = {
		{ "mknod-mem", "/tmp/attack-mem", S_IFCHR, 1, 1 },
		{ "mknod-kmsg", "/tmp/attack-kmsg", S_IFCHR, 1, 11 },
		{ "mknod-vda", "/tmp/attack-disk", S_IFBLK, 254, 0 },
		{ "mknod-loop", "/tmp/attack-loop", S_IFBLK, 7, 0 },
	};
	static const char *const missing[] = { "mem",  "kmem", "port",  "kmsg",         "fuse",      "sda",
		                               "vda",  "kvm",  "loop0", "loop-control", "vhost-net", "mapper/control",
		                               "uhid", "tty0", "tty1",  "hvc0",         "ttyS0",     "userfaultfd" };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int r = mknod(table[i].path, table[i].mode | 0600, makedev(table[i].major, table[i].minor));
		/* A node alone is nothing yet. */
		int fd = r < 0 ? -1 : open(table[i].path, O_RDONLY | O_NONBLOCK);
		tell(table[i].name, fd);
		if (fd >= 0)
			close(fd);
		unlink(table[i].path);
	}
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
		char path[64], name[64];
		snprintf(path, sizeof(path), "/dev/%s", missing[i]);
		snprintf(name, sizeof(name), "dev-%s", missing[i]);
		tell_open(name, path, O_RDONLY | O_NONBLOCK);
	}
	tell("tiocsti", ioctl(0, TIOCSTI, "x"));
}

static void try_files(void)
{
	tell_open("write-core_pattern", "/proc/sys/kernel/core_pattern", O_WRONLY);
	tell_open("write-modprobe", "/proc/sys/kernel/modprobe", O_WRONLY);
	tell_open("write-hostname", "/proc/sys/kernel/hostname", O_WRONLY);
	tell_open("write-binfmt", "/proc/sys/fs/binfmt_misc/register", O_WRONLY);
	tell_open("write-ip_forward", "/proc/sys/net/ipv4/ip_forward", O_WRONLY);
	tell_open("write-sysrq", "/proc/sysrq-trigger", O_WRONLY);
	tell_open("write-uevent_helper", "/sys/kernel/uevent_helper", O_WRONLY);
	tell_open("write-cgroup", "/sys/fs/cgroup/cgroup.procs", O_WRONLY);
	tell("mkdir-cgroup", mkdir("/sys/fs/cgroup/attack", 0755));
	tell_open("read-kallsyms-mem", "/proc/kmem", O_RDONLY);
	tell_open("read-debugfs", "/sys/kernel/debug/sched", O_RDONLY);
	tell_open("read-tracing", "/sys/kernel/tracing/trace", O_RDONLY);
	tell_open("read-security", "/sys/kernel/security/lsm", O_RDONLY);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("user-%s %d\n", path, errno);
	if (fd >= 0)
		close(fd);
}

/* In a user namespace of its own, which the profile allows as those of other engines do, a process has all
 * capabilities, but over nothing that it was given. */
static void try_user_namespace(void)
{
	pid_t pid = fork();

	if (pid) {
		waitpid(pid, NULL, 0);
		return;
	}
	char map[32];
	snprintf(map, sizeof(map), "%u %u 1", getuid(), getuid());
	if (unshare(CLONE_NEWUSER) < 0) {
		tell("user-unshare", -1);
		_exit(0);
	}
	write_file("/proc/self/uid_map", map);
	tell("user-mount-before", mount("none", "/tmp", "tmpfs", 0, ""));
	tell("user-unshare-cgroup", unshare(CLONE_NEWCGROUP));
	long child = syscall(SYS_clone, CLONE_NEWCGROUP | SIGCHLD, NULL, NULL, NULL, NULL);
	if (child == 0)
		_exit(0);
	tell("user-clone-cgroup", child);
	uint64_t args[8] = { CLONE_NEWCGROUP, 0, 0, 0, SIGCHLD };
	child = syscall(SYS_clone3, args, sizeof(args));
	if (child == 0)
		_exit(0);
	tell("user-clone3-cgroup", child);
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0) {
		tell("user-unshare-mount", -1);
		_exit(0);
	}
	tell("user-remount-proc-sys", mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
	tell("user-remount-sys", mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
	tell("user-remount-cgroup", mount(NULL, "/sys/fs/cgroup", NULL, MS_REMOUNT | MS_BIND, NULL));
	tell("user-umount-proc-sys", umount2("/proc/sys", MNT_DETACH));
	tell("user-umount-keys", umount2("/proc/keys", MNT_DETACH));
	tell("user-umount-timer_list", umount2("/proc/timer_list", 0));
	tell("user-mount-proc", mount("proc", "/tmp", "proc", 0, ""));
	tell("user-bind-proc", mount("/proc", "/tmp", NULL, MS_BIND, NULL));
	tell("user-mount-disk", mount("/dev/vda", "/tmp", "ext4", 0, ""));
	tell("user-mount-debugfs", mount("none", "/tmp", "debugfs", 0, ""));
	tell("user-mount-securityfs", mount("none", "/tmp", "securityfs", 0, ""));
	tell("user-af_alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
	tell_open("user-write-core_pattern", "/proc/sys/kernel/core_pattern", O_WRONLY);
	tell("user-mknod-mem", mknod("/tmp/attack-mem", S_IFCHR | 0600, makedev(1, 1)));
	tell("user-bpf", syscall(SYS_bpf, 0, NULL, 0));
	tell("user-module", syscall(SYS_init_module, "", 0, ""));
	tell("user-settime", syscall(SYS_settimeofday, NULL, "\0\0\0\0\0\0\0"));
	/* The hierarchy below the container's own group, by a mount of its own. */
	if (mount("none", "/tmp", "cgroup2", 0, "") == 0) {
		tell("user-cgroup-mkdir", mkdir("/tmp/attack", 0755));
		rmdir("/tmp/attack");
		int fd = open("/tmp/cgroup.max.depth", O_WRONLY);
		tell("user-cgroup-write", fd < 0 ? fd : write(fd, "max", 3));
	}
	_exit(0);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	try_files();
	try_devices();
	try_sockets();
	try_kernel();
	try_mounts();
	try_namespaces();
	try_user_namespace();
	puts("end DONE");
	return 0;
}
