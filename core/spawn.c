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
	const char *binary;
	unsigned preserve;
	int control, program;
	int lock;  /* -1: it comes with the order */
	int ready; /* -1: none */
	char **argv, **env;
};

/* A descriptor at its place; those that are to go to a place are all moved out of the way before. -1: none. */
static int place_fd(int high, int place)
{
	return high < 0 || dup2(high, place) >= 0 ? 0 : -errno;
}

/* Puts the descriptors that a monitor begins with at their places behind the preserved ones. */
static int place_fds(const struct child *child)
{
	unsigned preserve = child->preserve;
	const int from[] = { child->control, child->lock, child->ready, child->program };
	const int to[] = { KIST_MONITOR_FD_CONTROL(preserve), KIST_MONITOR_FD_LOCK(preserve),
		           KIST_MONITOR_FD_READY(preserve), KIST_MONITOR_FD_PROGRAM(preserve) };
	int high[KIST_COUNT(from)], r = 0;

	for (size_t i = 0; i < KIST_COUNT(from); i++) {
		high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD, KIST_MONITOR_FD_PROGRAM(preserve) + 1);
		if (from[i] >= 0 && high[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < KIST_COUNT(from) && r == 0; i++)
		r = place_fd(high[i], to[i]);
	for (int fd = 3; r == 0 && fd < 3 + (int)preserve; fd++)
		if (fcntl(fd, F_SETFD, 0) < 0)
			r = -errno;
	return r;
}

/* Runs in the caller's memory, which stands still meanwhile, on a stack of its own: nothing of the caller's is changed
 * here but this frame. Its descriptors, signal actions and session are copies. */
static int monitor_child(void *arg)
{
	const struct child *child = arg;
	struct sigaction ignored = { .sa_handler = SIG_DFL };
	struct kist_error err = { 0 };

	setsid();
	/* A caller may ignore SIGCHLD, and the kernel would then reap the container for us, with its exit code. The
	 * monitor blocks all signals; what it starts resets the rest. */
	sigaction(SIGCHLD, &ignored, NULL);
	int r = place_fds(child);
	if (r < 0) {
		kist_fail_errno(&err, -r, "place file descriptors for the monitor");
	} else {
		syscall(SYS_execveat, KIST_MONITOR_FD_PROGRAM(child->preserve), "", child->argv, child->env,
		        AT_EMPTY_PATH);
		kist_fail_errno(&err, errno, "execute %s", child->binary);
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

/* What a monitor is to do, as text: the letters and numbers of its arguments. */
struct order {
	char flags[16], rows[16], cols[16], preserve[16];
};

static void order_fill(struct order *order, const struct kist *k, const struct kist_container_config *config,
                       const struct kist_spawn *how)
{
	size_t n = 0;

	if (k->settings.volatile_)
		order->flags[n++] = KIST_MONITOR_VOLATILE;
	if (k->settings.events == KIST_EVENTS_NONE)
		order->flags[n++] = KIST_MONITOR_SILENT;
	if (config && kist_log_passes(config->log_driver))
		order->flags[n++] = KIST_MONITOR_PASS;
	if (!config)
		order->flags[n++] = KIST_MONITOR_AHEAD;
	if (how->start)
		order->flags[n++] = KIST_MONITOR_START;
	if (how->attach)
		order->flags[n++] = KIST_MONITOR_ATTACH;
	if (how->restart)
		order->flags[n++] = KIST_MONITOR_RESTART;
	if (how->ready_fd > 0)
		order->flags[n++] = KIST_MONITOR_READY;
	if (n == 0)
		order->flags[n++] = '-';
	order->flags[n] = '\0';
	snprintf(order->rows, sizeof(order->rows), "%u", how->rows);
	snprintf(order->cols, sizeof(order->cols), "%u", how->cols);
	snprintf(order->preserve, sizeof(order->preserve), "%u", how->preserve_fds);
}

static pid_t monitor_start(const struct kist *k, const char *id, struct order *order, const char *notify_socket,
                           struct child *child, struct kist_error *err)
{
	char level[16];

	snprintf(level, sizeof(level), "%d", (int)kist_log_level());
	char *argv[KIST_MONITOR_ARGS + 1] = {
		[KIST_MONITOR_ARG_NAME] = (char *)"kist-monitor",
		[KIST_MONITOR_ARG_VERSION] = (char *)KIST_VERSION,
		[KIST_MONITOR_ARG_ROOT] = k->settings.root,
		[KIST_MONITOR_ARG_RUNROOT] = k->settings.runroot,
		[KIST_MONITOR_ARG_ID] = (char *)id,
		[KIST_MONITOR_ARG_FLAGS] = order->flags,
		[KIST_MONITOR_ARG_ROWS] = order->rows,
		[KIST_MONITOR_ARG_COLS] = order->cols,
		[KIST_MONITOR_ARG_PRESERVE] = order->preserve,
		[KIST_MONITOR_ARG_LOG] = level,
	};
	/* Freed memory is joined and given back at once rather than kept for a burst that does not come. */
	KIST_FREE char *stores = kist_strv_join(k->settings.imagestore, ":");
	KIST_FREE char *stores_entry = stores && *stores ? kist_asprintf(KIST_IMAGESTORE_ENV "=%s", stores) : NULL;
	KIST_FREE char *notify = kist_empty(notify_socket) ? NULL : kist_asprintf(KIST_NOTIFY_ENV "=%s", notify_socket);
	char *env[4] = { (char *)"GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0" };
	size_t entries = 1;
	if (stores_entry)
		env[entries++] = stores_entry;
	if (notify)
		env[entries++] = notify;
	KIST_CLOSE int program = kist_open_protected(k->binary, err);
	if (program < 0) {
		kist_context(err, "start monitor");
		return kist_streq(k->binary, KIST_SELF)
		               ? program
		               : kist_remedy(err, "KIST_BINARY, or the option 'binary', names the kist program");
	}
	child->binary = k->binary;
	child->program = program;
	child->argv = argv;
	child->env = env;
	pid_t pid = kist_streq(k->binary, KIST_SELF) ? monitor_clone(child) : monitor_orphan(child);
	return pid < 0 ? kist_fail_errno(err, errno, "start monitor") : pid;
}

static int spawn(const struct kist *k, const char *id, struct order *order, const char *notify_socket,
                 struct child child, int *control, pid_t *made, struct kist_error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return kist_fail_errno(err, errno, "make control socket");
	child.control = pair[1];
	pid_t pid = monitor_start(k, id, order, notify_socket, &child, err);
	kist_close_fd(&pair[1]);
	if (pid < 0) {
		kist_close_fd(&pair[0]);
		return pid;
	}
	*control = pair[0];
	if (made)
		*made = pid;
	return 0;
}

void kist_start_ahead(struct kist *k)
{
	struct kist_spawn how = { 0 };
	struct order order;

	if (k->ahead.control >= 0)
		return;
	order_fill(&order, k, NULL, &how);
	/* Where this fails the start fails the same way, and says so. */
	if (spawn(k, "-", &order, NULL, (struct child){ .lock = -1, .ready = -1 }, &k->ahead.control, &k->ahead.pid,
	          NULL) < 0)
		k->ahead.control = -1;
}

/* The monitor that waits gets the container, and its lock: flock belongs to the open file. */
static int spawn_ahead(struct kist_container *c, const struct order *order, int *control, pid_t *made)
{
	struct kist *k = c->k;
	KIST_FREE char *text =
	        kist_asprintf("%c%s %s %s %s", KIST_MSG_ORDER, c->config.id, order->flags, order->rows, order->cols);

	int r = kist_send_fds(k->ahead.control, text, strlen(text), &c->lock, 1);
	if (r < 0)
		return r;
	*control = kist_steal_fd(&k->ahead.control);
	if (made)
		*made = k->ahead.pid;
	return 0;
}

void kist_start_ahead_drop(struct kist *k)
{
	if (k->ahead.control < 0)
		return;
	kist_close_fd(&k->ahead.control);
	if (kist_streq(k->binary, KIST_SELF))
		kist_wait_pid(k->ahead.pid);
}

int kist_spawn_monitor(struct kist_container *c, const struct kist_spawn *how, int *control, pid_t *made,
                       struct kist_error *err)
{
	struct order order;

	int r = kist_check_preserved(how->preserve_fds, err);
	if (r == 0)
		r = kist_check_ready(how->notify_socket, (unsigned)how->ready_fd, err);
	if (r < 0)
		return r;
	order_fill(&order, c->k, &c->config, how);
	/* One that waits has been given nothing else. */
	bool plain = !how->preserve_fds && !how->restart && how->ready_fd <= 0 && kist_empty(how->notify_socket);
	if (plain && c->k->ahead.control >= 0 && spawn_ahead(c, &order, control, made) == 0)
		return 0;
	struct child child = {
		.preserve = how->preserve_fds,
		.lock = c->lock,
		.ready = how->ready_fd > 0 ? how->ready_fd : -1,
	};
	return spawn(c->k, c->config.id, &order, how->notify_socket, child, control, made, err);
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
		if (type == KIST_MSG_WARNING)
			kist_log(KIST_LOG_WARN, "%.*s", (int)n, message.bytes);
		if (type == KIST_MSG_FAILED && n == (ssize_t)sizeof(message.failure)) {
			if (err)
				*err = message.failure;
			return message.failure.errnum > 0 ? -message.failure.errnum : -EIO;
		}
	}
}
