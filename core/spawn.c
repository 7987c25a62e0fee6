/* Starting a monitor: a child of the command becomes it by executing a copy of the kist program that no container can
 * write. The container's lock goes with it (flock belongs to the open file), so that the hand-over has no
 * gap. */
#include "core/internal.h"
#include "core/log.h"
#include "core/monitor.h"
#include "core/notify.h"
#include "core/spawn.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHILD_STACK (32u << 10)

/* Puts control and lock at their places behind the preserved fds. Both are moved out of the way first. */
static int place_fds(int control, int lock, int ready, unsigned preserve)
{
	int first_free = KIST_MONITOR_FD_READY(preserve) + 1;
	int control_high = fcntl(control, F_DUPFD, first_free);
	int lock_high = fcntl(lock, F_DUPFD, first_free);
	int ready_high = ready > 0 ? fcntl(ready, F_DUPFD, first_free) : 0;

	if (control_high < 0 || lock_high < 0 || ready_high < 0 ||
	    dup2(control_high, KIST_MONITOR_FD_CONTROL(preserve)) < 0 ||
	    dup2(lock_high, KIST_MONITOR_FD_LOCK(preserve)) < 0 ||
	    (ready > 0 && dup2(ready_high, KIST_MONITOR_FD_READY(preserve)) < 0))
		return -errno;
	for (int fd = 3; fd < 3 + (int)preserve; fd++)
		if (fcntl(fd, F_SETFD, 0) < 0)
			return -errno;
	return 0;
}

/* What was handed to this program to pass on survived an execve. All others are our own: the store, say. */
static bool is_passed(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

int kist_check_preserved(unsigned preserve, struct kist_error *err)
{
	for (int fd = 3; fd < 3 + (int)preserve; fd++)
		if (!is_passed(fd))
			return kist_fail(err, KIST_ERR_INVALID, EBADF, "preserve fds: file descriptor %d is not open",
			                 fd);
	return 0;
}

int kist_check_ready(const char *notify_socket, unsigned ready_fd, struct kist_error *err)
{
	if (ready_fd && (ready_fd < 3 || ready_fd > 1024 || !is_passed((int)ready_fd)))
		return kist_fail(err, KIST_ERR_INVALID, EBADF,
		                 "ready fd: file descriptor %u is not open, or not above stderr", ready_fd);
	return notify_socket && *notify_socket ? kist_notify_check(notify_socket, err) : 0;
}

struct child {
	const struct kist_container *c;
	const struct kist_spawn *how;
	int control, program;
	char **argv, **env;
};

/* Runs in the caller's memory, which stands still meanwhile, on a stack of its own: nothing of the caller's is changed
 * here but this frame. Its descriptors, signal actions and session are copies. */
static int monitor_child(void *arg)
{
	const struct child *child = arg;
	struct sigaction ignored = { .sa_handler = SIG_DFL };
	struct kist_error err = { 0 };

	setsid();
	int program = fcntl(child->program, F_DUPFD_CLOEXEC, KIST_MONITOR_FD_READY(child->how->preserve_fds) + 1);
	/* A caller may ignore SIGCHLD, and the kernel would then reap the container for us, with its exit code. The
	 * monitor blocks all signals; what it starts resets the rest. */
	sigaction(SIGCHLD, &ignored, NULL);
	int r = program < 0 ? -errno
	                    : place_fds(child->control, child->c->lock, child->how->ready_fd, child->how->preserve_fds);
	if (r < 0) {
		kist_fail_errno(&err, -r, "place file descriptors for the monitor");
	} else {
		syscall(SYS_execveat, program, "", child->argv, child->env, AT_EMPTY_PATH);
		kist_fail_errno(&err, errno, "execute %s", child->c->k->binary);
	}
	kist_context(&err, "start monitor");
	kist_msg_send(child->control, KIST_MSG_FAILED, &err, sizeof(err));
	_exit(125);
}

/* A copy of the address space would cost more than all else here, and be thrown away by execve at once.
 * AddressSanitizer would take what the child leaves in its notes on the stack, which execve never cleans up, for the
 * parent's. */
#ifdef __SANITIZE_ADDRESS__
#define CLONE_FLAGS (CLONE_VFORK | SIGCHLD)
#else
#define CLONE_FLAGS (CLONE_VM | CLONE_VFORK | SIGCHLD)
#endif

static pid_t monitor_clone(struct child *child)
{
	_Alignas(16) char stack[CHILD_STACK];
	sigset_t all, saved;

	/* A handler of the caller's must not run in the child, on the caller's memory. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &saved);
	pid_t pid = clone(monitor_child, stack + sizeof(stack), CLONE_FLAGS, child);
	int e = errno;
	sigprocmask(SIG_SETMASK, &saved, NULL);
	errno = e;
	return pid;
}

/* Another program that uses the library goes on for long, and does not wait for children that it knows nothing of: the
 * monitor is no child of its, but of a process that is gone. */
static pid_t monitor_orphan(struct child *child)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(monitor_clone(child) < 0 ? errno : 0);
	if (pid < 0)
		return pid;
	errno = kist_wait_pid(pid);
	return errno ? -1 : pid;
}

static pid_t monitor_start(struct kist_container *c, const struct kist_spawn *how, int control, struct kist_error *err)
{
	const struct kist_settings *settings = &c->k->settings;
	char flags[12] = "-", rows[16], cols[16], preserve[16], level[16];
	size_t n = 0;

	if (settings->volatile_)
		flags[n++] = KIST_MONITOR_VOLATILE;
	if (kist_log_passes(c->config.log_driver))
		flags[n++] = KIST_MONITOR_PASS;
	if (settings->events == KIST_EVENTS_NONE)
		flags[n++] = KIST_MONITOR_SILENT;
	if (how->start)
		flags[n++] = KIST_MONITOR_START;
	if (how->attach)
		flags[n++] = KIST_MONITOR_ATTACH;
	if (how->restart)
		flags[n++] = KIST_MONITOR_RESTART;
	if (how->ready_fd > 0)
		flags[n++] = KIST_MONITOR_READY;
	flags[n ? n : 1] = '\0';
	snprintf(rows, sizeof(rows), "%u", how->rows);
	snprintf(cols, sizeof(cols), "%u", how->cols);
	snprintf(preserve, sizeof(preserve), "%u", how->preserve_fds);
	snprintf(level, sizeof(level), "%d", (int)kist_log_level());
	char *argv[KIST_MONITOR_ARGS + 1] = {
		[KIST_MONITOR_ARG_NAME] = (char *)"kist-monitor",
		[KIST_MONITOR_ARG_VERSION] = (char *)KIST_VERSION,
		[KIST_MONITOR_ARG_ROOT] = settings->root,
		[KIST_MONITOR_ARG_RUNROOT] = settings->runroot,
		[KIST_MONITOR_ARG_ID] = c->config.id,
		[KIST_MONITOR_ARG_FLAGS] = flags,
		[KIST_MONITOR_ARG_ROWS] = rows,
		[KIST_MONITOR_ARG_COLS] = cols,
		[KIST_MONITOR_ARG_PRESERVE] = preserve,
		[KIST_MONITOR_ARG_LOG] = level,
	};
	/* Freed memory is joined and given back at once rather than kept for a burst that does not come. */
	KIST_FREE char *stores = kist_strv_join(settings->imagestore, ":");
	KIST_FREE char *stores_entry = stores && *stores ? kist_asprintf(KIST_IMAGESTORE_ENV "=%s", stores) : NULL;
	KIST_FREE char *notify =
	        kist_empty(how->notify_socket) ? NULL : kist_asprintf(KIST_NOTIFY_ENV "=%s", how->notify_socket);
	char *env[4] = { (char *)"GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0" };
	size_t entries = 1;
	if (stores_entry)
		env[entries++] = stores_entry;
	if (notify)
		env[entries++] = notify;
	KIST_CLOSE int program = kist_open_protected(c->k->binary, err);
	if (program < 0) {
		kist_context(err, "start monitor");
		return kist_streq(c->k->binary, KIST_SELF)
		               ? program
		               : kist_remedy(err, "KIST_BINARY, or the option 'binary', names the kist program");
	}
	struct child child = { .c = c, .how = how, .control = control, .program = program, .argv = argv, .env = env };
	pid_t pid = kist_streq(c->k->binary, KIST_SELF) ? monitor_clone(&child) : monitor_orphan(&child);
	return pid < 0 ? kist_fail_errno(err, errno, "start monitor") : pid;
}

int kist_spawn_monitor(struct kist_container *c, const struct kist_spawn *how, int *control, pid_t *made,
                       struct kist_error *err)
{
	int pair[2];

	int r = kist_check_preserved(how->preserve_fds, err);
	if (r == 0)
		r = kist_check_ready(how->notify_socket, (unsigned)how->ready_fd, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return kist_fail_errno(err, errno, "make control socket");
	pid_t pid = monitor_start(c, how, pair[1], err);
	r = pid < 0 ? pid : 0;
	kist_close_fd(&pair[1]);
	if (r < 0) {
		kist_close_fd(&pair[0]);
		return r;
	}
	*control = pair[0];
	if (made)
		*made = pid;
	return 0;
}

int kist_spawn_await(int control, char wanted, struct kist_error *err)
{
	union {
		char bytes[KIST_MSG_DATA];
		struct kist_error failure;
	} message;
	char type;

	for (;;) {
		ssize_t n = kist_msg_recv(control, &type, &message, sizeof(message));
		if (n < 0)
			return kist_fail_errno(err, (int)-n, "read from monitor");
		if (type == 0)
			return kist_fail(err, KIST_ERR_INTERNAL, EPIPE,
			                 "the monitor died while it started the container");
		if (type == wanted)
			return 0;
		if (type == KIST_MSG_FAILED && n == (ssize_t)sizeof(message.failure)) {
			if (err)
				*err = message.failure;
			return message.failure.errnum > 0 ? -message.failure.errnum : -EIO;
		}
	}
}
