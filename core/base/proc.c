#include "core/base/proc.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int kist_pidfd_open(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

int kist_pidfd_signal(int pidfd, int signal_number)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0) < 0 ? -errno : 0;
}

pid_t kist_clone3(struct clone_args *args, size_t size)
{
	long pid = syscall(SYS_clone3, args, size);

	return pid < 0 ? -errno : (pid_t)pid;
}

/* Takes the decimal number at *text and the space after it. */
static bool next_number(const char **text, int64_t *out)
{
	const char *p = *text;
	bool negative = *p == '-';
	uint64_t value = 0;

	p += negative;
	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	if (*p == ' ')
		p++;
	*text = p;
	*out = negative ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

#define FLAG_EXITING 0x4 /* PF_EXITING of the kernel's sched.h */

/* proc_pid_stat(5). The command name may hold anything, ')' and newlines included: the last ')' ends it. */
static int parse_stat(const char *text, struct kist_proc_stat *out)
{
	/* by field number; the state is 3 */
	int64_t field[25] = { 0 };
	const char *open_paren = strchr(text, '('), *close_paren = strrchr(text, ')');
	struct kist_proc_stat st = { 0 };
	size_t n;

	if (!open_paren || !close_paren || close_paren < open_paren || close_paren[1] != ' ' || !close_paren[2] ||
	    close_paren[3] != ' ')
		return -EBADMSG;
	n = (size_t)(close_paren - open_paren - 1);
	memcpy(st.comm, open_paren + 1, n < sizeof(st.comm) ? n : sizeof(st.comm) - 1);
	st.state = close_paren[2];
	text = close_paren + 4;
	for (size_t i = 4; i < KIST_COUNT(field); i++) {
		if (!next_number(&text, &field[i]))
			return -EBADMSG;
	}
	st.ppid = (pid_t)field[4];
	st.pgrp = (pid_t)field[5];
	st.session = (pid_t)field[6];
	st.tty = (uint32_t)field[7];
	st.exiting = field[9] & FLAG_EXITING;
	st.utime = (uint64_t)field[14];
	st.stime = (uint64_t)field[15];
	st.threads = field[20];
	st.start = (uint64_t)field[22];
	st.vsize = (uint64_t)field[23];
	st.rss_pages = (uint64_t)field[24];
	*out = st;
	return 0;
}

static int read_stat(int dir, const char *path, char *text, size_t size)
{
	KIST_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	do
		n = read(fd, text, size - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno; /* ESRCH: it went away after the open */
	text[n] = '\0';
	return 0;
}

int kist_proc_stat(pid_t pid, struct kist_proc_stat *out)
{
	char path[32], text[1024];

	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int r = read_stat(AT_FDCWD, path, text, sizeof(text));
	return r < 0 ? r : parse_stat(text, out);
}

int kist_proc_own_arguments(int proc_fd, char **begin, size_t *size)
{
	char text[1024];
	int64_t from, to;
	int r = read_stat(proc_fd, "self/stat", text, sizeof(text));
	const char *field = r < 0 ? NULL : strrchr(text, ')');

	if (r < 0)
		return r;
	for (int i = 2; field && i < 48; i++) /* from comm to the blank before arg_start */
		field = strchr(field + 1, ' ');
	if (!field)
		return -EBADMSG;
	field++;
	if (!next_number(&field, &from) || !next_number(&field, &to) || from <= 0 || to < from)
		return -EBADMSG;
	*begin = (char *)(uintptr_t)from;
	*size = (size_t)(to - from);
	return 0;
}

/* The state is that of the first thread, and others may go on when that has ended: its pidfd says when all have. */
static bool others_go_on(pid_t pid, uint64_t start)
{
	KIST_CLOSE int pidfd = kist_pidfd_open(pid);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	struct kist_proc_stat again;

	/* Looked at again: it may be another process's pidfd. */
	return pidfd >= 0 && poll(&ended, 1, 0) == 0 && kist_proc_stat(pid, &again) == 0 && again.start == start;
}

int kist_proc_identify(pid_t pid, struct kist_proc_id *out)
{
	struct kist_proc_stat st;
	int r = kist_proc_stat(pid, &st);

	if (r < 0)
		return r;
	if (st.state == 'X' || (st.state == 'Z' && !others_go_on(pid, st.start)))
		return -ESRCH;
	*out = (struct kist_proc_id){ .pid = pid, .start = st.start };
	return 0;
}

bool kist_proc_alive(const struct kist_proc_id *id)
{
	struct kist_proc_id now;

	return kist_proc_identify(id->pid, &now) == 0 && (id->start == 0 || id->start == now.start);
}

int kist_proc_open(const struct kist_proc_id *id)
{
	int fd KIST_CLOSE = -1;

	if (id->pid <= 0)
		return -ESRCH;
	/* First the pidfd, then the look: the pid cannot change hands between the two unnoticed. */
	fd = kist_pidfd_open(id->pid);
	if (fd < 0)
		return fd;
	return kist_proc_alive(id) ? kist_steal_fd(&fd) : -ESRCH;
}

int kist_exit_code(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int kist_wait_pid(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return kist_exit_code(status);
}

static int close_range_call(unsigned first, unsigned last)
{
	if (first > last)
		return 0;
	return syscall(SYS_close_range, first, last, 0) < 0 ? -errno : 0;
}

/* Before Linux 5.9. */
static void close_listed(int first, int keep)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	uint32_t fd;

	if (!dir) {
		for (int i = first, end = (int)sysconf(_SC_OPEN_MAX); i < end; i++) {
			if (i != keep)
				close(i);
		}
		return;
	}
	while ((e = readdir(dir))) {
		if (kist_parse_u32(e->d_name, &fd) < 0)
			continue;
		if ((int)fd >= first && (int)fd != keep && (int)fd != dirfd(dir))
			close((int)fd);
	}
	closedir(dir);
}

void kist_close_from(int first, int keep)
{
	int r;

	if (keep >= first) {
		r = keep > first ? close_range_call((unsigned)first, (unsigned)keep - 1) : 0;
		if (r == 0)
			r = close_range_call((unsigned)keep + 1, ~0U);
	} else {
		r = close_range_call((unsigned)first, ~0U);
	}
	if (r < 0)
		close_listed(first, keep);
}

void kist_reset_signals(void)
{
	/* The kernel's own struct sigaction, all zero: SIG_DFL. The C library would keep 32 and 33 from us, which a
	 * caller may have ignored all the same. */
	static const unsigned long none[8];

	for (int i = 1; i < _NSIG; i++) {
		if (i != SIGKILL && i != SIGSTOP)
			syscall(SYS_rt_sigaction, i, none, NULL, _NSIG / 8);
	}
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, NULL, _NSIG / 8);
}

const char *kist_boot_id(char out[37])
{
	int fd KIST_CLOSE = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, 36);

	out[n == 36 ? 36 : 0] = '\0';
	return out;
}

/* --- a binary that no container can write --------------------------------------------------------------------------
 */

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

enum { ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

/* A read-only clone of the mount that holds the binary, of which only this fd knows. */
static int open_read_only_clone(const char *path)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	/* The link is followed to the very file that runs, even if it was replaced on disk. */
	int tree KIST_CLOSE = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC);

	if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return kist_steal_fd(&tree);
}

/* Are we running from such a clone or memfd already? Copying it again would be waste. A clone's mount belongs to no
 * namespace, so that cloning it again is EINVAL, which tells it from a host's read-only mount. Returns an fd of it,
 * or -ENOENT. */
static int open_if_protected(int exe, int clone_error)
{
	struct statvfs fs;
	int seals = fcntl(exe, F_GET_SEALS);

	if (seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS)
		return kist_reopen(exe, O_RDONLY);
	if (clone_error == -EINVAL && fstatvfs(exe, &fs) == 0 && fs.f_flag & ST_RDONLY)
		return kist_reopen(exe, O_PATH);
	return -ENOENT;
}

static int copy_all(int from, int to)
{
	ssize_t n;

	do
		n = sendfile(to, from, NULL, 0x7ffff000);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

static int open_sealed_copy(int exe)
{
	int copy KIST_CLOSE = memfd_create("kist", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	int r;

	if (copy < 0 && errno == EINVAL)
		copy = memfd_create("kist", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copy < 0)
		return -errno;
	r = copy_all(exe, copy);
	if (r < 0)
		return r;
	if (fchmod(copy, 0555) < 0 || fcntl(copy, F_ADD_SEALS, ALL_SEALS) < 0)
		return -errno;
	/* execve gives ETXTBSY while the fd it was written through is open. */
	return kist_reopen(copy, O_RDONLY);
}

int kist_open_protected(const char *path, struct kist_error *err)
{
	int exe KIST_CLOSE = -1;
	int fd = open_read_only_clone(path);

	if (fd >= 0)
		return fd;
	if (fd != -ENOSYS && fd != -EPERM && fd != -EINVAL)
		return kist_fail_errno(err, fd, "clone the mount of %s", path);
	exe = open(path, O_RDONLY | O_CLOEXEC);
	if (exe < 0)
		return kist_fail_errno(err, errno, "open %s", path);
	fd = open_if_protected(exe, fd);
	if (fd == -ENOENT)
		fd = open_sealed_copy(exe);
	return fd < 0 ? kist_fail_errno(err, fd, "copy %s to a sealed memory file", path) : fd;
}

int kist_open_self_protected(struct kist_error *err)
{
	return kist_open_protected(KIST_SELF, err);
}

int kist_exec_self_protected(char *const argv[], char *const envp[], struct kist_error *err)
{
	int fd KIST_CLOSE = kist_open_self_protected(err);

	if (fd < 0)
		return fd;
	syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
	return kist_fail_errno(err, errno, "execute the protected copy of this program");
}
