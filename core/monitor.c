/* The monitor: parent and sub-reaper of one container. It starts it, passes its stdio on, records its end, cleans up,
 * and is gone. It is executed by kist_spawn_monitor from a copy of the binary that containers cannot write. */
#include "core/launch_hooks.h"
#include "core/monitor_internal.h"
#include "core/notify.h"
#include "core/pod.h"
#include "core/restart.h"
#include "core/volume.h"

#include "cgroup/cgroup.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_RETRY_MS   10
#define EXEC_END_ROUNDS 100
#define STACK_USED      (256u << 10) /* more than the launch can have used */

/* --- the loop -------------------------------------------------------------------------------------------------------
 */

void monitor_watch(struct monitor *m, struct watch *w, int fd, uint32_t events,
                   void (*ready)(struct monitor *, struct watch *, uint32_t))
{
	struct epoll_event event = { .events = events, .data.ptr = w };

	w->fd = fd;
	w->events = events;
	w->ready = ready;
	w->added = true;
	/* No events wanted means not in the set: epoll would still tell of hang-ups, again and again. */
	if (events && epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		kist_debug("watch fd %d: %m", fd);
}

void monitor_rewatch(struct monitor *m, struct watch *w, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = w };

	if (!w->added || w->events == events)
		return;
	epoll_ctl(m->epoll, !events ? EPOLL_CTL_DEL : w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &event);
	w->events = events;
}

void monitor_unwatch(struct monitor *m, struct watch *w)
{
	if (!w->added)
		return;
	if (w->events)
		epoll_ctl(m->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	kist_close_fd(&w->fd);
	w->added = false;
	w->events = 0;
}

/* One round. Events of a watch that an earlier event of the same round closed are skipped. */
void monitor_round(struct monitor *m, int timeout)
{
	struct epoll_event events[16];
	int n = epoll_wait(m->epoll, events, KIST_COUNT(events), timeout);

	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;
		if (w->added && (events[i].events & (w->events | EPOLLHUP | EPOLLERR)))
			w->ready(m, w, events[i].events);
	}
	monitor_clients_reap(m);
}

/* --- start ----------------------------------------------------------------------------------------------------------
 */

static int state_begin(struct monitor *m, enum kist_status status, struct kist_error *err)
{
	struct kist_container_state *state = &m->c->state;
	struct kist_proc_id id = { 0 };
	bool was_stopped = state->stopped_by_user;

	int r = kist_proc_identify(m->launch.child.pid, &id);
	if (r < 0)
		return kist_fail_errno(err, -r, "identify process %d", m->launch.child.pid);
	state->pid = id.pid;
	state->pid_start = id.start;
	state->run++;
	state->status = status;
	state->started = status == KIST_RUNNING ? kist_now_wall() : 0;
	state->finished = 0;
	state->exit_code = 0;
	state->exited = state->oom_killed = state->restarting = false;
	state->stopped_by_user = state->stopped_by_host = state->stopped_to_restart = false;
	free(state->error);
	state->error = NULL;
	free(state->boot);
	state->boot = kist_strdup(m->k->boot);
	r = kist_container_save_live(m->c, err);
	/* What removes itself has one run: the record in the run directory says all of it, unless a state came before.
	 */
	if (r == 0 && (!m->c->config.auto_remove || kist_exists_at(kist_container_dir(m->c), "state")))
		r = kist_container_save(m->c, err);
	/* A stop that was made to last is taken back in the same way. */
	if (r == 0 && was_stopped && kist_restart_policy_of(&m->c->config) == KIST_RESTART_UNLESS_STOPPED)
		kist_sync_dir(kist_container_dir(m->c));
	return r;
}

/* Before anything is made that could be left behind: who finds this record, and us gone, cleans up. */
static int announce(struct monitor *m, struct kist_error *err)
{
	struct kist_container_state *state = &m->c->state;
	struct kist_proc_id id = { 0 };

	int r = kist_proc_identify(getpid(), &id);
	if (r < 0)
		return kist_fail_errno(err, -r, "identify monitor");
	state->monitor_pid = id.pid;
	state->monitor_start = id.start;
	return kist_container_save_live(m->c, err);
}

static int write_pidfile(const char *path, pid_t pid, struct kist_error *err)
{
	char text[16];

	if (!path)
		return 0;
	int n = snprintf(text, sizeof(text), "%d", pid);
	/* A FIFO that nobody reads must not hold the start up. */
	KIST_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : kist_write_all(fd, text, (size_t)n);
	return r < 0 ? kist_fail_errno(err, -r, "write pid file %s", path) : 0;
}

/* Needs the lock, which the starting command holds for us. */
int monitor_gate_open(struct monitor *m, struct kist_error *err)
{
	struct kist_container_state *state = &m->c->state;

	/* Said before it is true: a crash between the two must not leave a process that no record knows. */
	if (state->status == KIST_CREATED) {
		state->status = KIST_RUNNING;
		state->started = kist_now_wall();
		int r = kist_container_save(m->c, err);
		if (r < 0)
			return r;
	}
	int r = write_pidfile(m->c->config.pidfile, m->launch.child.pid, err);
	if (r == 0)
		r = kist_ns_start(&m->launch.child, err);
	if (r < 0)
		return r;
	m->phase = MONITOR_RUNNING;
	kist_container_event(m->c, "start");
	monitor_notify_started(m);
	kist_launch_hooks_poststart(m->c, m->launch.child.pid);
	m->began = kist_now_boot();
	monitor_health_begin(m);
	return 0;
}

/* What belongs to one run only. Clients stay: they go on with the next run. */
void monitor_run_close(struct monitor *m)
{
	struct watch *const watches[] = { &m->listener, &m->out, &m->err, &m->in, &m->console };
	unsigned rows = m->launch.rows, cols = m->launch.cols;

	for (size_t i = 0; i < KIST_COUNT(watches); i++)
		monitor_unwatch(m, watches[i]);
	monitor_notify_close(m);
	monitor_network_close(m);
	kist_log_writer_close(m->log);
	m->log = NULL;
	kist_launch_close(&m->launch);
	int pass[3];
	memcpy(pass, m->launch.pass, sizeof(pass));
	m->launch = (struct kist_launch)KIST_LAUNCH_INIT;
	memcpy(m->launch.pass, pass, sizeof(pass));
	m->launch.rows = rows;
	m->launch.cols = cols;
}

void monitor_child_kill(struct monitor *m)
{
	if (m->launch.child.pid > 0 && m->launch.child.pidfd >= 0) {
		kist_pidfd_signal(m->launch.child.pidfd, SIGKILL);
		kist_wait_pid(m->launch.child.pid);
	}
}

/* The start failed or was given up: the child ends, what was made goes, and so does a container that removes itself. */
static void start_undo(struct monitor *m)
{
	struct kist_container *c = m->c;

	monitor_child_kill(m);
	kist_launch_close(&m->launch);
	monitor_network_close(m);
	/* As in libpod, one that has run has exited still, with the code that it had. Else it is configured again. */
	c->state.status = m->before.ran ? KIST_EXITED : KIST_CONFIGURED;
	if (m->before.ran) {
		c->state.run = m->before.run;
		c->state.started = m->before.started;
		c->state.finished = m->before.finished;
		c->state.exit_code = m->before.exit_code;
		c->state.exited = m->before.exited;
		c->state.oom_killed = m->before.oom_killed;
	}
	if (kist_container_cleanup_locked(c, NULL) < 0)
		kist_debug("container %.12s: clean-up after a failed start failed", c->config.id);
	if (c->config.auto_remove)
		kist_container_remove_locked(c, NULL);
}

/* Takes the lock without standing still for it: its holder may be waiting for an answer of ours. */
int monitor_lock(struct monitor *m, struct kist_error *err)
{
	struct kist_container *c = m->c;
	int r;

	while ((r = kist_container_trylock(c)) == -EWOULDBLOCK)
		monitor_round(m, LOCK_RETRY_MS);
	return kist_container_locked(c, r, err);
}

void monitor_gate_fail(struct monitor *m)
{
	/* The command that asked for the start has its answer, and gives the lock up. */
	m->phase = MONITOR_DEAD;
	if (monitor_lock(m, NULL) == 0)
		start_undo(m);
	_exit(125);
}

/* The command that made the container wait at its gate was killed. Another may be about to open it: then it has the
 * lock. */
static void gate_abandoned(struct monitor *m)
{
	if (m->phase != MONITOR_GATE || (m->c->lock < 0 && kist_container_trylock(m->c) < 0))
		return;
	start_undo(m);
	_exit(125);
}

/* --- end ------------------------------------------------------------------------------------------------------------
 */

static bool was_oom(struct monitor *m)
{
	return m->launch.cgroup >= 0 && kist_cgroup_oom_kills(m->launch.cgroup) > 0;
}

static void record_end(struct monitor *m, int code)
{
	struct kist_error err = { 0 };

	m->end = (struct kist_exit){
		.run = m->c->state.run,
		.code = code,
		.oom = was_oom(m),
		.finished = kist_now_wall(),
	};

	m->phase = MONITOR_DEAD;
	monitor_health_end(m);
	if (kist_exit_write(m->c, &m->end, &err) < 0)
		kist_log(KIST_LOG_ERROR, "container %.12s: exit code %d could not be recorded: %s", m->c->config.id,
		         code, err.text);
	kist_container_event_code(m->c, "died", code, m->end.oom);
}

static void children_reap(struct monitor *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		int code = kist_exit_code(status);
		if (pid == m->launch.child.pid) {
			m->launch.child.pid = -1; /* an orphan that we adopt later may get the number again */
			record_end(m, code);
		} else if (!monitor_health_ended(m, pid, code)) {
			monitor_exec_ended(m, pid, code); /* or an orphan that we adopted */
		}
	}
}

/* A start in the time between the end and our lock has cleaned up, and made another monitor. */
bool monitor_owns(const struct monitor *m)
{
	return m->c->state.monitor_pid == getpid();
}

void monitor_run_over(struct monitor *m)
{
	struct kist_container *c = m->c;
	struct kist_error err = { 0 };

	c->files_later = true;
	int r = c->config.auto_remove ? kist_container_remove_locked(c, &err) : kist_container_cleanup_locked(c, &err);
	if (r < 0)
		kist_log(KIST_LOG_ERROR, "%s", err.text);
	bool removed = r == 0 && c->gone;
	kist_container_unlock(c);
	if (removed)
		kist_container_drop_image(c);
}

/* True: the container runs again after a while, and what its last run had is free. */
static bool clean_up(struct monitor *m)
{
	struct kist_container *c = m->c;
	struct kist_error err = { 0 };

	/* Settling, which comes with the lock, takes the exit record into the state. */
	if (monitor_lock(m, &err) < 0) {
		kist_debug("%s", err.text);
		return false;
	}
	if (!monitor_owns(m)) {
		kist_container_unlock(c);
		return false;
	}
	/* No disk took the record: the state has it at least. */
	if (kist_status_has_process(c->state.status))
		kist_container_take_exit(c, &m->end);
	if (m->stops_itself)
		kist_container_event(c, "stop");
	if (monitor_restart_begin(m)) {
		kist_container_unlock(c);
		return true;
	}
	monitor_run_over(m);
	return false;
}

/* The kernel takes a namespace's mounts apart when nobody has it any more. Where nothing but the container's own root
 * is in it, to which nobody comes back, that can wait until the end has been told. */
static void keep_mounts(struct monitor *m)
{
	const struct kist_container_config *config = &m->c->config;

	if (config->auto_remove && !config->n_mounts && !config->n_named_volumes)
		m->mounts = kist_steal_fd(&m->launch.child.mount_ns);
}

/* What a run leaves to do once its first process is dead. */
static bool finish(struct monitor *m)
{
	monitor_unwatch(m, &m->listener);
	monitor_network_close(m);
	if (m->launch.cgroup >= 0) {
		/* Without a pid namespace of its own others may live on, and hold the pipes. */
		struct kist_error err = { 0 };
		if (kist_cgroup_populated(m->launch.cgroup) && kist_cgroup_kill(m->launch.cgroup, &err) < 0)
			kist_debug("%s", err.text);
	}
	monitor_exec_end_all(m);
	keep_mounts(m);
	for (int i = 0; m->execs && i < EXEC_END_ROUNDS; i++)
		monitor_round(m, LOCK_RETRY_MS);
	monitor_stdio_drain(m);
	monitor_run_close(m);
	return clean_up(m);
}

/* Clients hear of the end, and may read what is theirs. */
static void farewell(struct monitor *m)
{
	int32_t code = m->end.code;

	kist_pod_after_exit(m->c);
	monitor_broadcast(m, KIST_MSG_EXITED, &code, sizeof(code));
	kist_close_fd(&m->mounts);
	if (kist_container_remove_files(m->c) < 0)
		kist_log(KIST_LOG_ERROR, "container %.12s: its files could not be deleted", m->c->config.id);
	monitor_clients_dismiss(m);
	for (int timeout;
	     monitor_clients_pending(m) && ((timeout = monitor_clients_timeout(m)), monitor_clients_pending(m));)
		monitor_round(m, timeout);
}

static void signals_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof(info)) > 0)
		if (info.ssi_signo == SIGTERM)
			monitor_terminate(m);
	children_reap(m);
}

/* --- main -----------------------------------------------------------------------------------------------------------
 */

struct monitor_args {
	const char *version, *root, *runroot, *id, *flags;
	uint32_t rows, cols, preserve, level;
};

static int args_parse(int argc, char **argv, struct monitor_args *args)
{
	if (argc != KIST_MONITOR_ARGS)
		return -EINVAL;
	args->version = argv[KIST_MONITOR_ARG_VERSION];
	args->root = argv[KIST_MONITOR_ARG_ROOT];
	args->runroot = argv[KIST_MONITOR_ARG_RUNROOT];
	args->id = argv[KIST_MONITOR_ARG_ID];
	args->flags = argv[KIST_MONITOR_ARG_FLAGS];
	if (kist_parse_u32(argv[KIST_MONITOR_ARG_ROWS], &args->rows) < 0 ||
	    kist_parse_u32(argv[KIST_MONITOR_ARG_COLS], &args->cols) < 0 ||
	    kist_parse_u32(argv[KIST_MONITOR_ARG_PRESERVE], &args->preserve) < 0 || args->preserve > 1024 ||
	    kist_parse_u32(argv[KIST_MONITOR_ARG_LOG], &args->level) < 0)
		return -EINVAL;
	return 0;
}

/* The library and the program are installed together; records and messages are theirs alone. */
static int version_check(const struct monitor_args *args, struct kist_error *err)
{
	if (kist_streq(args->version, KIST_VERSION))
		return 0;
	return kist_fail(err, KIST_ERR_UNSUPPORTED, EPROTO,
	                 "the kist program is version " KIST_VERSION ", who starts containers with it is version %s",
	                 args->version);
}

static void process_setup(const struct monitor_args *args)
{
	sigset_t all;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Whoever waits for the command's output must not wait for ours. */
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		if (fd < 2 || args->level < KIST_LOG_DEBUG)
			dup2(null, fd);
	kist_close_fd(&null);
	kist_log_setup((enum kist_log_level)args->level, false, 2);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		kist_debug("become sub-reaper: %m");
	if (chdir("/") < 0)
		kist_debug("chdir /: %m");
	umask(022);
}

static int loop_setup(struct monitor *m, int control, const struct monitor_args *args, struct kist_error *err)
{
	sigset_t set;

	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->epoll < 0 || signals < 0)
		return kist_fail_errno(err, errno, "make event loop");
	monitor_watch(m, &m->signals, signals, EPOLLIN, signals_ready);
	if (control < 0)
		return 0;
	m->control = monitor_client_add(m, control);
	m->control->output = m->control->owner = strchr(args->flags, KIST_MONITOR_ATTACH) != NULL;
	return 0;
}

/* While the container makes its mounts. */
static int launch_meanwhile(void *arg, struct kist_error *err)
{
	struct monitor *m = arg;
	struct kist_error problem = { 0 };

	int r = kist_log_writer_open(&m->log, &m->c->config, kist_container_dir(m->c), err);
	if (r < 0)
		return r;
	monitor_listen(m, &problem);
	if (!kist_error_is_set(&problem))
		return 0;
	if (err)
		*err = problem;
	return -problem.errnum;
}

/* From the record to a container that runs, or waits at its gate. Needs the lock. */
int monitor_launch(struct monitor *m, bool go, unsigned preserve, struct kist_error *err)
{
	m->stops_itself = false;
	m->stop_by = 0;
	int r = announce(m, err);
	if (r == 0)
		r = write_pidfile(m->c->config.conmon_pidfile, getpid(), err);
	m->launch.meanwhile = launch_meanwhile;
	m->launch.meanwhile_arg = m;
	if (r == 0)
		r = monitor_notify_open(m, !go, err);
	monitor_health_reset(m);
	if (r == 0)
		r = kist_launch_create(m->c, &m->launch, err);
	if (r < 0) {
		kist_volumes_drop_holds(m->c);
		return r;
	}
	/* The container has them now. */
	for (int fd = 3; fd < 3 + (int)preserve; fd++)
		close(fd);
	r = monitor_proxy_open(m, err);
	if (r == 0)
		monitor_dns_open(m);
	if (r == 0)
		r = state_begin(m, go ? KIST_RUNNING : KIST_CREATED, err);
	/* Who waited for a volume finds us now, or finds that there is nobody. */
	kist_volumes_drop_holds(m->c);
	if (r == 0)
		kist_container_event(m->c, "init");
	if (r == 0 && go)
		r = monitor_gate_open(m, err);
	if (r == 0)
		monitor_stdio_open(m);
	return r;
}

static int start(struct monitor *m, const struct monitor_args *args, struct kist_error *err)
{
	m->launch.rows = args->rows;
	m->launch.cols = args->cols;
	m->launch.preserve_fds = args->preserve;
	const struct kist_container_state *state = &m->c->state;
	m->before = (struct monitor_before){
		.ran = state->status == KIST_EXITED || state->status == KIST_STOPPED,
		.exited = state->exited,
		.oom_killed = state->oom_killed,
		.run = state->run,
		.started = state->started,
		.finished = state->finished,
		.exit_code = state->exit_code,
	};
	m->c->state.restart_count = 0;
	return monitor_launch(m, strchr(args->flags, KIST_MONITOR_START) != NULL, args->preserve, err);
}

/* From here on little is needed of what the launch used, and a monitor stays for years: the heap's free pages go back
 * to the kernel, and so does the stack below this frame, which must therefore be one of its own: all that lives is
 * above it. */
__attribute__((noinline)) static void memory_trim(const struct monitor *m)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(page - 1);

	if (m->spare)
		m->spare();
	malloc_trim(0);
	/* The page below is left for this call's own frames. Where the stack does not reach that far nothing is mapped:
	 * the kernel keeps a gap of 1 MiB below it. */
	madvise((void *)(here - page - STACK_USED), STACK_USED, MADV_DONTNEED);
}

/* To the command that starts it; it is told before it is told of the end of the start. */
void monitor_warn(struct monitor *m)
{
	for (char **text = m->c->warnings; text && *text; text++) {
		if (m->control)
			monitor_client_send(m, m->control, KIST_MSG_WARNING, *text, strlen(*text));
		else
			kist_log(KIST_LOG_WARN, "%s", *text);
	}
	kist_strv_free(m->c->warnings);
	m->c->warnings = NULL;
}

static void start_first(struct monitor *m, const struct monitor_args *args)
{
	struct kist_error err = { 0 };

	if (start(m, args, &err) < 0) {
		free(m->c->state.error);
		m->c->state.error = kist_strdup(err.text);
		start_undo(m);
		monitor_client_send(m, m->control, KIST_MSG_FAILED, &err, sizeof(err));
		_exit(125);
	}
	monitor_warn(m);
	monitor_client_send(m, m->control, m->phase == MONITOR_RUNNING ? KIST_MSG_STARTED : KIST_MSG_CREATED, NULL, 0);
	/* The starting command holds the lock until it has read that. */
	kist_container_unlock(m->c);
}

static int sooner(int a, int b)
{
	return a < 0 ? b : b < 0 || a < b ? a : b;
}

void monitor_stop_by(struct monitor *m, int64_t moment)
{
	if (!m->stop_by || moment < m->stop_by)
		m->stop_by = moment;
}

/* Boot time when the run is over at the latest, 0: there is no such time. */
static int64_t last_moment(const struct monitor *m)
{
	int64_t most = m->c->config.timeout * KIST_NSEC_PER_SEC;

	if (!most || m->phase != MONITOR_RUNNING)
		return m->stop_by;
	return m->stop_by && m->stop_by < m->began + most ? m->stop_by : m->began + most;
}

/* Milliseconds until something is due, -1: nothing is. What is due now is done. */
static int next_timeout(struct monitor *m)
{
	int clients = sooner(monitor_clients_timeout(m), monitor_notify_timeout(m));
	int64_t last = last_moment(m);

	if (!last)
		return clients;
	int64_t left = (last - kist_now_boot()) / KIST_NSEC_PER_MSEC + 1;
	if (left <= 0) {
		kist_pidfd_signal(m->launch.child.pidfd, SIGKILL);
		left = 1000; /* its end wakes us before that */
	}
	return sooner(clients, left > 60000 ? 60000 : (int)left);
}

/* One run, from the gate to the end; true: another one follows. */
static bool serve(struct monitor *m)
{
	memory_trim(m);
	while (m->phase != MONITOR_DEAD) {
		monitor_round(m, m->abandoned && m->phase == MONITOR_GATE ? LOCK_RETRY_MS : next_timeout(m));
		if (m->abandoned)
			gate_abandoned(m);
	}
	return finish(m);
}

static void run(struct monitor *m, const struct monitor_args *args)
{
	bool restarts = strchr(args->flags, KIST_MONITOR_RESTART) != NULL;

	if (restarts)
		monitor_restart_adopt(m);
	else
		start_first(m, args);
	do {
		if (!restarts && !serve(m))
			break;
		restarts = false;
	} while (monitor_restart_await(m));
	farewell(m);
}

/* What a monitor that was started ahead is to do. -ECANCELED: nothing, its command has gone without a container. */
static int order_receive(struct monitor_args *args, int control, int *lock)
{
	static char text[256];
	size_t n_fds = 1;
	char *word[4], *rest = text + 1;
	uint32_t rows, cols;

	ssize_t n = kist_recv_fds(control, text, sizeof(text) - 1, lock, &n_fds);
	if (n == 0)
		return -ECANCELED;
	if (n < 0 || n_fds != 1 || text[0] != KIST_MSG_ORDER)
		return -EPROTO;
	text[n] = '\0';
	for (size_t i = 0; i < KIST_COUNT(word); i++)
		if (!(word[i] = strsep(&rest, " ")))
			return -EPROTO;
	if (kist_parse_u32(word[2], &rows) < 0 || kist_parse_u32(word[3], &cols) < 0)
		return -EPROTO;
	args->id = word[0];
	args->flags = word[1];
	args->rows = rows;
	args->cols = cols;
	return 0;
}

/* Started ahead, it does what does not need the container, and then waits for it. */
static int await_order(struct monitor *m, struct monitor_args *args, int control, int *lock, struct kist_error *err)
{
	struct kist_cgroup_root *root;

	/* Where there is none the launch says so. */
	kist_store_cgroup(m->k, &root, NULL);
	int r = order_receive(args, control, lock);
	if (r == -ECANCELED)
		_exit(0);
	if (r < 0)
		return kist_fail_errno(err, -r, "read the order of the command");
	for (int fd = 0; fd < 3 && !strchr(args->flags, KIST_MONITOR_PASS); fd++)
		kist_close_fd(&m->launch.pass[fd]);
	return 0;
}

static int begin(struct monitor *m, struct monitor_args *args, int control, int lock, int ready, struct kist_error *err)
{
	int r = version_check(args, err);
	if (r == 0)
		r = kist_open_at(&m->k, args->root, args->runroot, strchr(args->flags, KIST_MONITOR_VOLATILE) != NULL,
		                 err);
	if (r == 0 && strchr(args->flags, KIST_MONITOR_AHEAD))
		r = await_order(m, args, control, &lock, err);
	if (r == 0)
		r = kist_container_load(m->k, args->id, &m->c, err);
	if (r < 0)
		return r;
	if (strchr(args->flags, KIST_MONITOR_SILENT))
		m->k->settings.events = KIST_EVENTS_NONE;
	m->k->no_spawn = true;
	m->c->lock = lock;
	monitor_notify_to(m, getenv(KIST_NOTIFY_ENV), ready);
	kist_close_fd(&ready);
	return loop_setup(m, control, args, err);
}

int kist_monitor_main(int argc, char **argv, void (*spare)(void))
{
	struct monitor m = {
		.launch = KIST_LAUNCH_INIT, .epoll = -1, .notify.ready_fd = -1, .mounts = -1, .spare = spare
	};
	struct monitor_args args = { 0 };
	struct kist_error err = { 0 };

	if (args_parse(argc, argv, &args) < 0)
		return 125;
	bool ahead = strchr(args.flags, KIST_MONITOR_AHEAD) != NULL;
	int control = KIST_MONITOR_FD_CONTROL(args.preserve), lock = ahead ? -1 : KIST_MONITOR_FD_LOCK(args.preserve);
	if (fcntl(control, F_SETFD, FD_CLOEXEC) < 0 || (lock >= 0 && fcntl(lock, F_SETFD, FD_CLOEXEC) < 0))
		return 125;
	int ready = strchr(args.flags, KIST_MONITOR_READY) ? KIST_MONITOR_FD_READY(args.preserve) : -1;
	int program = KIST_MONITOR_FD_PROGRAM(args.preserve);
	if ((ready >= 0 && fcntl(ready, F_SETFD, FD_CLOEXEC) < 0) || fcntl(program, F_SETFD, FD_CLOEXEC) < 0)
		return 125;
	/* What the command's own caller had open where nothing of ours is. */
	if (lock < 0)
		close(KIST_MONITOR_FD_LOCK(args.preserve));
	if (ready < 0)
		close(KIST_MONITOR_FD_READY(args.preserve));
	kist_close_from(program + 1, -1);
	/* Whoever found the container's monitor dead keeps the lock, and does not wait for us. */
	if (strchr(args.flags, KIST_MONITOR_RESTART)) {
		kist_close_fd(&control);
		kist_close_fd(&lock);
	}
	for (int fd = 0; fd < 3 && (ahead || strchr(args.flags, KIST_MONITOR_PASS)); fd++)
		m.launch.pass[fd] = fcntl(fd, F_DUPFD_CLOEXEC, program + 1);
	process_setup(&args);
	if (begin(&m, &args, control, lock, ready, &err) < 0) {
		if (control >= 0)
			kist_msg_send(control, KIST_MSG_FAILED, &err, sizeof(err));
		return 125;
	}
	run(&m, &args);
	/* The kernel frees what is left, faster than we could. */
	_exit(0);
}
