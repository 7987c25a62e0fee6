/* What the kernel alone costs: the system calls of one container, and nothing else.
 *
 *   bare LOWER-DIRECTORY SCRATCH-DIRECTORY COMMAND [ARGUMENT...]
 *
 * A cgroup, clone3 with six new namespaces into it, an overlay mount over LOWER, /proc, /sys, a /dev with nodes,
 * devpts, mqueue, shm, pivot, exec, wait, clean-up. No record, no log, no monitor, no seccomp filter, no checks. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void must(int result, const char *what)
{
	if (result < 0)
		die(what);
}

static void make_dev(void)
{
	static const struct {
		const char *name;
		unsigned minor;
	} nodes[] = {
		{ "dev/null", 3 }, { "dev/zero", 5 }, { "dev/full", 7 }, { "dev/random", 8 }, { "dev/urandom", 9 }
	};

	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k"), "mount dev");
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		must(mknod(nodes[i].name, S_IFCHR | 0666, makedev(1, nodes[i].minor)), nodes[i].name);
	must(mknod("dev/tty", S_IFCHR | 0666, makedev(5, 0)), "dev/tty");
	must(mkdir("dev/pts", 0755), "dev/pts");
	must(mkdir("dev/shm", 01777), "dev/shm");
	must(mkdir("dev/mqueue", 01777), "dev/mqueue");
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"),
	     "devpts");
	must(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"), "shm");
	must(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mqueue");
}

static void child(const char *lower, const char *scratch, char **argv)
{
	char options[3 * 4096 + 64];

	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
	must(chdir(scratch), "scratch directory");
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, scratch, scratch);
	must(mount("overlay", "root", "overlay", 0, options), "overlay");
	must(chdir("root"), "root");
	must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "proc");
	must(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL), "sysfs");
	make_dev();
	must((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "umount");
	must(chdir("/"), "chdir");
	must(sethostname("bare", 4), "sethostname");
	execvp(argv[0], argv);
	die(argv[0]);
}

int main(int argc, char **argv)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	const char *cgroups = getenv("BENCH_CGROUP");
	char name[64];
	int parent, cgroup, status;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: bare LOWER SCRATCH COMMAND [ARGUMENT...]\n");
		return 2;
	}
	snprintf(name, sizeof(name), "bare-%d", (int)getpid());
	parent = open(cgroups ? cgroups : "/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(parent, "cgroup");
	must(mkdirat(parent, name, 0755), "make cgroup");
	cgroup = openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(cgroup, "open cgroup");
	if (chdir(argv[2]) == 0) {
		(void)!mkdir("upper", 0755);
		(void)!mkdir("work", 0755);
		(void)!mkdir("root", 0755);
	}
	args.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP |
	             CLONE_INTO_CGROUP;
	args.cgroup = (uint64_t)cgroup;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	must(pid, "clone3");
	if (pid == 0)
		child(argv[1], argv[2], argv + 3);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	for (int i = 0; i < 1000 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno == EBUSY; i++)
		usleep(100);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
