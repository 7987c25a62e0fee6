/* The calls that move a container through its states. Each takes the lock, settles, asks the table, acts; none
 * waits while it holds the lock. */
#include "core/internal.h"

#include "cgroup/cgroup.h"
#include "core/attach.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/exec_session.h"
#include "core/launch_hooks.h"
#include "core/monitor.h"
#include "core/network.h"
#include "core/depend.h"
#include "core/pod.h"
#include "core/restart.h"
#include "core/spawn.h"
#include "core/stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KILL_WAIT_MS    10000 /* after SIGKILL */
#define CLEANUP_WAIT_MS 20000 /* for the monitor to clean up, as libpod */
#define FREEZE_WAIT_MS  10000

static int lock_for(struct kist_container *c, enum kist_call call, struct kist_error *err)
{
	int r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	r = kist_call_check(call, (enum kist_status)c->state.status, err);
	if (r < 0) {
		kist_container_unlock(c);
		return kist_context(err, "container %s", c->config.name);
	}
	return 0;
}

/* The monitor needs the lock to finish: who waits for it must not have it. */
static int not_batched(const struct kist_container *c, struct kist_error *err)
{
	return !c->batched
	               ? 0
	               : kist_fail(err, KIST_ERR_STATE, EDEADLK, "it is in a batch, where nothing may be waited for");
}

static int named(struct kist_container *c, const char *step, struct kist_error *err)
{
	return kist_context(err, "%s %s", step, c->config.name);
}

/* The monitor records, cleans up and goes, or another run began; then the record can be read. */
static int await_monitor(struct kist_container *c, struct kist_error *err)
{
	KIST_CLOSE int watch = kist_wait_watch(c);
	int64_t end = kist_now_boot() + CLEANUP_WAIT_MS * KIST_NSEC_PER_MSEC;
	uint32_t run = c->state.run;

	/* Not for its end alone: after clean-up it may stay for a client that reads slowly. */
	for (;;) {
		struct kist_error problem = { 0 };
		int r = kist_container_sync(c, &problem);
		if (r < 0 && problem.kind == KIST_ERR_REMOVED)
			return 0;
		if (r < 0) {
			if (err)
				*err = problem;
			return r;
		}
		bool busy = (kist_status_has_process(c->state.status) || c->state.status == KIST_STOPPED) &&
		            c->state.run == run && kist_container_monitor_alive(c);
		int64_t left = (end - kist_now_boot()) / KIST_NSEC_PER_MSEC;
		if (!busy && left > 0)
			kist_launch_hooks_join(c, (int)left);
		if (!busy || left <= 0)
			return 0;
		kist_wait_change(c, watch, (int)left);
	}
}

/* Whoever stopped it to start it again finds out, with the lock, whether it still is to be. */
static int check_again(struct kist_container *c, enum kist_stopper who, struct kist_error *err)
{
	if (who != KIST_STOPPED_TO_RESTART || c->state.stopped_to_restart)
		return 0;
	kist_container_unlock(c);
	return kist_fail(err, KIST_ERR_STOPPED, EALREADY,
	                 "restart %s: another command stopped it meanwhile: it stays as it is", c->config.name);
}

/* The lock of a container that no monitor is about to start again, for who wants to do that himself. */
static int lock_idle(struct kist_container *c, enum kist_call call, enum kist_stopper who, struct kist_error *err)
{
	for (;;) {
		int r = lock_for(c, call, err);
		if (r == 0)
			r = check_again(c, who, err);
		if (r < 0 || !kist_restart_pending(c))
			return r;
		kist_restart_cancel(c, who);
		r = await_monitor(c, err);
		if (r < 0)
			return r;
		if (kist_restart_pending(c))
			return kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT,
			                 "container %s: its monitor (process %d) does not finish", c->config.name,
			                 c->state.monitor_pid);
	}
}

/* --- start ----------------------------------------------------------------------------------------------------------
 */

/* What an earlier run left is freed first: stopped becomes exited, a torn state's processes end. */
static int make_startable(struct kist_container *c, struct kist_error *err)
{
	if (c->state.status != KIST_STOPPED)
		return 0;
	return kist_container_cleanup_locked(c, err);
}

/* An initialised container waits at its gate: its monitor is asked to open it. */
static int start_created(struct kist_container *c, const struct kist_start *start, int *control, struct kist_error *err)
{
	int fd = (int)start->ready_fd;
	KIST_CLOSE int sock = kist_attach_connect(c, err);
	if (sock < 0)
		return sock;
	if (start->attach) {
		struct kist_msg_attach attach = { .output = 1, .owner = 1 };
		kist_msg_send(sock, KIST_MSG_ATTACH, &attach, sizeof(attach));
	}
	KIST_FREE char *message =
	        kist_asprintf("%c%s", KIST_MSG_START, start->notify_socket ? start->notify_socket : "");
	int r = kist_send_fds(sock, message, strlen(message), &fd, fd ? 1 : 0);
	if (r < 0)
		return kist_fail_errno(err, -r, "ask the monitor to start");
	r = kist_spawn_await(sock, KIST_MSG_STARTED, err);
	if (r < 0)
		return r;
	*control = kist_steal_fd(&sock);
	return 0;
}

static int launch(struct kist_container *c, const struct kist_start *start, bool go, int *control,
                  struct kist_error *err)
{
	KIST_CLOSE int sock = -1;
	struct kist_spawn how = { .start = go,
		                  .attach = start->attach,
		                  .rows = start->rows,
		                  .cols = start->cols,
		                  .preserve_fds = start->preserve_fds,
		                  .notify_socket = start->notify_socket,
		                  .ready_fd = (int)start->ready_fd };

	int r = kist_dependencies_check(c, err);
	if (r == 0)
		r = kist_network_check_host(c, err);
	if (r == 0)
		r = make_startable(c, err);
	if (r == 0)
		r = kist_spawn_monitor(c, &how, &sock, NULL, err);
	if (r == 0)
		r = kist_spawn_await(sock, go ? KIST_MSG_STARTED : KIST_MSG_CREATED, err);
	if (r == 0)
		*control = kist_steal_fd(&sock);
	return r;
}

static int readiness(const struct kist_container *c, struct kist_start *start, struct kist_error *err)
{
	if (c->config.sdnotify != KIST_SDNOTIFY_IGNORE)
		return kist_check_ready(start->notify_socket, start->ready_fd, err);
	start->notify_socket = NULL;
	return start->ready_fd ? kist_fail(err, KIST_ERR_INVALID, 0, "ready fd: container %s has sdnotify=ignore",
	                                   c->config.name)
	                       : 0;
}

static int start_by(struct kist_container *c, enum kist_stopper who, const struct kist_start *start,
                    struct kist_attach **session, struct kist_error *err)
{
	KIST_CLOSE int control = -1, starting = -1;
	struct kist_start heard = *start;

	int r = readiness(c, &heard, err);
	if (r < 0)
		return r;
	start = &heard;
	r = kist_pod_infra_start(c, &starting, err);
	if (r < 0)
		return r;
	r = start->recursive ? kist_dependencies_start(c, err) : 0;
	if (r < 0)
		return named(c, "start", err);
	r = lock_idle(c, KIST_CALL_START, who, err);
	if (r < 0)
		return r;
	r = c->state.status == KIST_CREATED ? start_created(c, start, &control, err)
	                                    : launch(c, start, true, &control, err);
	kist_container_unlock(c);
	kist_pod_started(c, &starting);
	if (r < 0)
		return named(c, "start", err);
	if (start->attach)
		kist_container_event(c, "attach");
	if (start->attach)
		*session = kist_attach_new(c, kist_steal_fd(&control));
	else
		kist_msg_send(control, KIST_MSG_LEAVE, NULL, 0);
	return 0;
}

static const struct kist_start plain;

int kist_container_start(struct kist_container *c, const struct kist_start *start, struct kist_attach **session,
                         struct kist_error *err)
{
	return start_by(c, KIST_STOPPED_BY_USER, start ? start : &plain, session, err);
}

int kist_container_init(struct kist_container *c, struct kist_error *err)
{
	KIST_CLOSE int control = -1, starting = -1;

	int r = kist_pod_infra_start(c, &starting, err);
	if (r == 0)
		r = lock_idle(c, KIST_CALL_INIT, KIST_STOPPED_BY_USER, err);
	if (r < 0)
		return r;
	r = launch(c, &plain, false, &control, err);
	if (r == 0)
		r = kist_msg_send(control, KIST_MSG_LEAVE, NULL, 0);
	kist_container_unlock(c);
	return r < 0 ? named(c, "initialise", err) : 0;
}

/* --- stop -----------------------------------------------------------------------------------------------------------
 */

int kist_pidfd_wait(int pidfd, int64_t timeout_ms)
{
	int64_t end = kist_now_boot() + timeout_ms * KIST_NSEC_PER_MSEC;

	for (;;) {
		int64_t left = (end - kist_now_boot()) / KIST_NSEC_PER_MSEC;
		struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
		int r = poll(&poll_fd, 1, left < 0 ? 0 : (int)(left > 60000 ? 60000 : left));
		if (r != 0 && !(r < 0 && errno == EINTR))
			return r < 0 ? -errno : 0;
		if (left <= 0)
			return -ETIMEDOUT;
	}
}

static void kill_group(struct kist_container *c)
{
	struct kist_cgroup_root *root = NULL;

	if (!c->state.cgroup || kist_store_cgroup(c->k, &root, NULL) < 0)
		return;
	KIST_CLOSE int group = kist_cgroup_open(root, c->state.cgroup, NULL);
	if (group >= 0)
		kist_cgroup_kill(group, NULL);
}

/* Without the lock, after the signal: the process has until the deadline, then it is made to end. */
static int end_process(struct kist_container *c, const struct kist_stopping *s, struct kist_error *err)
{
	int64_t left = (s->deadline - kist_now_boot()) / KIST_NSEC_PER_MSEC;

	if (kist_pidfd_wait(s->pidfd, left < 0 ? 0 : left) == 0)
		return 0;
	kist_debug("container %s did not end in time of signal %d", c->config.name, c->config.stop_signal);
	kist_pidfd_signal(s->pidfd, SIGKILL);
	kill_group(c);
	if (kist_pidfd_wait(s->pidfd, KILL_WAIT_MS) == 0)
		return 0;
	return kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT, "process %d did not die within %d s of SIGKILL",
	                 c->state.pid, KILL_WAIT_MS / 1000);
}

/* Needs the lock; gives it up. */
static void stop_ask(struct kist_container *c, int64_t timeout, enum kist_stopper who, struct kist_stopping *s)
{
	struct kist_proc_id id = { c->state.pid, c->state.pid_start };

	s->pidfd = kist_proc_open(&id);
	s->at_gate = c->state.status == KIST_CREATED;
	/* Said before the signal, so that whoever sees the exit knows that it was asked for. */
	c->state.status = s->at_gate ? KIST_CREATED : KIST_STOPPING;
	if (s->at_gate)
		timeout = 0;
	s->deadline = kist_now_boot() + timeout * KIST_NSEC_PER_SEC;
	/* Before it is said, so that no stop is left to nobody: who asked for it may be killed at any moment. */
	kist_monitor_stop_by(c, s->deadline);
	kist_stop_note(c, who);
	if (s->pidfd >= 0 && timeout > 0)
		kist_pidfd_signal(s->pidfd, c->config.stop_signal);
}

int kist_stop_begin(struct kist_container *c, int64_t timeout, enum kist_stopper who, struct kist_stopping *s,
                    struct kist_error *err)
{
	*s = (struct kist_stopping){ .pidfd = -1 };
	int r = not_batched(c, err);
	if (r == 0)
		r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	if (kist_restart_pending(c)) {
		kist_restart_cancel(c, who);
		return 0;
	}
	r = kist_call_check(KIST_CALL_STOP, (enum kist_status)c->state.status, err);
	if (r < 0) {
		/* Nor does whoever stopped it to start it again. */
		if (c->state.stopped_to_restart)
			kist_stop_note(c, who);
		else
			kist_container_unlock(c);
		return kist_context(err, "container %s", c->config.name);
	}
	stop_ask(c, timeout < 0 ? c->config.stop_timeout : timeout, who, s);
	return 0;
}

int kist_stop_end(struct kist_container *c, struct kist_stopping *s, struct kist_error *err)
{
	int r = s->pidfd >= 0 ? end_process(c, s, err) : 0;

	kist_close_fd(&s->pidfd);
	if (r == 0)
		r = await_monitor(c, err);
	if (r == 0 && !s->at_gate)
		kist_container_event(c, "stop");
	return r;
}

/* Needs the lock; gives it up. */
static int stop_locked(struct kist_container *c, int64_t timeout, enum kist_stopper who, struct kist_error *err)
{
	struct kist_stopping s = { .pidfd = -1 };

	stop_ask(c, timeout, who, &s);
	return kist_stop_end(c, &s, err);
}

int kist_container_stop(struct kist_container *c, int64_t timeout, struct kist_error *err)
{
	struct kist_stopping s;

	int r = kist_stop_begin(c, timeout, KIST_STOPPED_BY_USER, &s, err);
	if (r < 0)
		return r;
	r = kist_stop_end(c, &s, err);
	return r < 0 ? named(c, "stop", err) : 0;
}

int kist_restart_begin(struct kist_container *c, int64_t timeout, bool check, struct kist_restarting *restart,
                       struct kist_stopping *s, struct kist_error *err)
{
	*s = (struct kist_stopping){ .pidfd = -1 };
	*restart = (struct kist_restarting){ 0 };
	int r = not_batched(c, err);
	if (r == 0 && check && kist_pod_infra_check(c, err) < 0)
		return named(c, "restart", err);
	if (r == 0)
		r = lock_for(c, KIST_CALL_RESTART, err);
	if (r < 0)
		return r;
	r = check ? kist_dependencies_check(c, err) : 0;
	if (r < 0) {
		kist_container_unlock(c);
		return named(c, "restart", err);
	}
	restart->run = c->state.run;
	if (c->state.status == KIST_RUNNING || c->state.status == KIST_CREATED) {
		restart->stopped = true;
		stop_ask(c, timeout < 0 ? c->config.stop_timeout : timeout, KIST_STOPPED_TO_RESTART, s);
	} else if (kist_restart_pending(c)) {
		restart->stopped = restart->cancelled = true;
		kist_restart_cancel(c, KIST_STOPPED_TO_RESTART);
	} else {
		kist_container_unlock(c);
	}
	return 0;
}

int kist_restart_end(struct kist_container *c, const struct kist_restarting *restart, struct kist_stopping *s,
                     struct kist_error *err)
{
	int r = 0;

	if (restart->cancelled)
		r = await_monitor(c, err);
	else if (restart->stopped)
		r = kist_stop_end(c, s, err);
	return r < 0 ? named(c, "restart", err) : 0;
}

int kist_restart_again(struct kist_container *c, const struct kist_restarting *restart, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	int r = start_by(c, restart->stopped ? KIST_STOPPED_TO_RESTART : KIST_STOPPED_BY_USER, &plain, NULL, &problem);
	/* Somebody else has started it again. */
	if (r < 0 && restart->stopped && problem.kind == KIST_ERR_STATE && c->state.status == KIST_RUNNING &&
	    c->state.run != restart->run)
		r = 0;
	if (r == 0)
		kist_container_event(c, "restart");
	else if (err)
		*err = problem;
	return r;
}

int kist_container_restart(struct kist_container *c, int64_t timeout, struct kist_error *err)
{
	struct kist_restarting restart;
	struct kist_stopping s;

	int r = kist_restart_begin(c, timeout, true, &restart, &s, err);
	if (r == 0)
		r = kist_restart_end(c, &restart, &s, err);
	return r < 0 ? r : kist_restart_again(c, &restart, err);
}

/* --- signals and freezing -------------------------------------------------------------------------------------------
 */

int kist_container_kill(struct kist_container *c, int signal_number, struct kist_error *err)
{
	/* Only a signal that is meant to end it makes its end the user's doing. */
	bool ends = signal_number == SIGKILL || signal_number == c->config.stop_signal;
	int r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	if (ends && c->state.restarting && kist_restart_pending(c)) {
		kist_restart_cancel(c, KIST_STOPPED_BY_USER);
		kist_container_event(c, "kill");
		return await_monitor(c, err);
	}
	r = kist_call_check(KIST_CALL_KILL, (enum kist_status)c->state.status, err);
	if (r < 0) {
		kist_container_unlock(c);
		return kist_context(err, "container %s", c->config.name);
	}
	struct kist_proc_id id = { c->state.pid, c->state.pid_start };
	KIST_CLOSE int pidfd = kist_proc_open(&id);

	r = pidfd < 0 ? pidfd : kist_pidfd_signal(pidfd, signal_number);
	if (r < 0) {
		kist_container_unlock(c);
		kist_fail_errno(err, -r, "signal %d to process %d", signal_number, id.pid);
		return named(c, "kill", err);
	}
	if (ends) {
		c->state.stopped_by_user = true;
		if (kist_container_save(c, NULL) < 0)
			kist_debug("container %s: state could not be saved: %m", c->config.name);
	}
	kist_container_unlock(c);
	kist_container_event(c, "kill");
	return 0;
}

/* One that ended while it was looked at: nothing is left to freeze, whatever its record still says. */
static bool has_just_ended(const struct kist_container *c, int group)
{
	const struct kist_proc_id id = { c->state.pid, c->state.pid_start };
	struct kist_proc_stat stat;
	pid_t *pids = NULL;
	bool there = false;

	if (!kist_cgroup_populated(group) || kist_proc_stat(id.pid, &stat) < 0 || !kist_proc_alive(&id))
		return true;
	if (!stat.exiting)
		return false;
	/* It leaves its cgroup before it is dead, and is dead when all of its pid namespace are: of those some may have
	 * been frozen. But one whose first thread alone has ended is still there. */
	for (ssize_t n = kist_cgroup_pids(group, &pids, NULL); n > 0 && !there; n--)
		there = pids[n - 1] == id.pid;
	free(pids);
	return !there;
}

static int set_frozen(struct kist_container *c, bool frozen, struct kist_error *err)
{
	struct kist_cgroup_root *root = NULL;

	if (!c->state.cgroup)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "it runs without a cgroup, which freezing needs");
	int r = kist_store_cgroup(c->k, &root, err);
	if (r < 0)
		return r;
	KIST_CLOSE int group = kist_cgroup_open(root, c->state.cgroup, err);
	if (group < 0)
		return group;
	r = kist_cgroup_freeze(group, frozen, FREEZE_WAIT_MS, err);
	if (r == 0 && frozen && has_just_ended(c, group))
		r = kist_fail(err, KIST_ERR_STATE, ESRCH, "it has just ended");
	if (r < 0) {
		/* All or nothing: a half-frozen container is thawed again. */
		if (frozen)
			kist_cgroup_freeze(group, false, FREEZE_WAIT_MS, NULL);
		return r;
	}
	c->state.status = frozen ? KIST_PAUSED : KIST_RUNNING;
	r = kist_container_save(c, err);
	/* A frozen container that no record calls paused could never be unpaused. */
	if (r < 0 && frozen)
		kist_cgroup_freeze(group, false, FREEZE_WAIT_MS, NULL);
	return r;
}

int kist_container_pause(struct kist_container *c, struct kist_error *err)
{
	int r = lock_for(c, KIST_CALL_PAUSE, err);
	if (r < 0)
		return r;
	r = set_frozen(c, true, err);
	kist_container_unlock(c);
	if (r == 0)
		kist_container_event(c, "pause");
	return r < 0 ? named(c, "pause", err) : 0;
}

int kist_container_unpause(struct kist_container *c, struct kist_error *err)
{
	int r = lock_for(c, KIST_CALL_UNPAUSE, err);
	if (r < 0)
		return r;
	r = set_frozen(c, false, err);
	kist_container_unlock(c);
	if (r == 0)
		kist_container_event(c, "unpause");
	return r < 0 ? named(c, "unpause", err) : 0;
}

/* --- rename, clean-up, removal --------------------------------------------------------------------------------------
 */

int kist_container_rename(struct kist_container *c, const char *name, struct kist_error *err)
{
	int r = kist_name_check(name, err);
	if (r < 0)
		return r;
	r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	/* It was read without the lock: another command may have changed it since. */
	r = kist_container_reload_config(c, err);
	if (r == 0)
		r = kist_container_names_note(c, name, err);
	if (r == 0)
		r = kist_name_claim(c->k, KIST_NAMED_CONTAINER, name, c->config.id, err);
	KIST_FREE char *old = kist_strdup(c->config.name);
	KIST_STR struct kist_str hosts = { 0 };
	kist_hosts_own(c, &hosts);
	if (r == 0) {
		free(c->config.name);
		c->config.name = kist_strdup(name);
		r = kist_container_save_config(c, err);
		kist_name_release(c->k, r < 0 ? name : old, c->config.id);
		if (r < 0) {
			free(c->config.name);
			c->config.name = kist_strdup(old);
		} else {
			kist_network_renamed(c, kist_str_get(&hosts));
		}
	}
	unlinkat(kist_container_dir(c), KIST_NAMES_NOTE, 0);
	kist_container_unlock(c);
	if (r == 0)
		kist_container_event(c, "rename");
	return r < 0 ? kist_context(err, "rename %s", old) : 0;
}

/* What waited at its gate was ended there: there is no code to tell of. */
static int never_ran(struct kist_container *c, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	int r = kist_container_lock(c, &problem);
	if (r == 0) {
		if (c->state.status == KIST_EXITED) {
			c->state.status = KIST_CONFIGURED;
			c->state.exited = false;
			r = kist_container_save(c, &problem);
		}
		kist_container_unlock(c);
	}
	if (r < 0 && problem.kind == KIST_ERR_REMOVED)
		return 0;
	if (r < 0 && err)
		*err = problem;
	return r;
}

int kist_container_cleanup(struct kist_container *c, struct kist_error *err)
{
	int r = not_batched(c, err);
	if (r == 0)
		r = lock_for(c, KIST_CALL_CLEANUP, err);
	if (r < 0)
		return r;
	if (kist_restart_pending(c)) {
		/* Its monitor is at it, or has done it and restarts it by its policy. */
		bool restarting = c->state.restarting;
		kist_container_unlock(c);
		return restarting ? 0 : await_monitor(c, err);
	}
	bool dead =
	        c->state.status == KIST_STOPPED || c->state.status == KIST_EXITED || c->state.status == KIST_CONFIGURED;
	if (!dead) {
		/* At the gate, or on its way to its end: that is finished first. */
		bool at_gate = c->state.status == KIST_CREATED;
		r = stop_locked(c, 0, KIST_STOPPED_BY_USER, err);
		if (r == 0 && at_gate)
			r = never_ran(c, err);
		return r < 0 ? named(c, "clean up", err) : 0;
	}
	r = kist_exec_sessions_check(c, err);
	if (r < 0)
		named(c, "clean up", err);
	else
		r = kist_container_cleanup_locked(c, err);
	kist_container_unlock(c);
	return r;
}

static int remove_dependents(struct kist_container *c, unsigned flags, int64_t timeout, struct kist_error *err)
{
	KIST_STRV char **ids = kist_container_dependents(c);

	if (!ids || !ids[0])
		return 0;
	if (!(flags & KIST_REMOVE_DEPEND)) {
		KIST_FREE char *list = kist_strv_join(ids, ", ");
		kist_fail(err, KIST_ERR_IN_USE, EBUSY, "containers that depend on it must be removed first: %s", list);
		return kist_remedy(err, "--depend removes them too");
	}
	int r = kist_dependencies_circle(c, err);
	return r < 0 ? r : kist_remove_all(c->k, ids, flags, timeout, err);
}

/* After its end: the lock, or 1: it is gone. */
static int remove_relock(struct kist_container *c, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	int r = kist_container_lock(c, &problem);
	if (r < 0 && problem.kind == KIST_ERR_REMOVED)
		return 1;
	if (r < 0 && err)
		*err = problem;
	return r;
}

/* Ends it when it lives; afterwards the lock is held again and it is dead, or it is gone (1). */
static int remove_stop(struct kist_container *c, int64_t timeout, struct kist_error *err)
{
	int status = c->state.status;

	if (status == KIST_RUNNING || status == KIST_STOPPING || status == KIST_PAUSED || status == KIST_CREATED) {
		/* Frozen processes take no SIGTERM; one that is being stopped was asked already: both are killed. */
		bool ask = status == KIST_RUNNING;
		int r = stop_locked(c,
		                    !ask          ? 0
		                    : timeout < 0 ? c->config.stop_timeout
		                                  : timeout,
		                    KIST_STOPPED_BY_USER, err);
		if (r < 0)
			return r;
	} else if (kist_restart_pending(c)) {
		kist_restart_cancel(c, KIST_STOPPED_BY_USER);
		int r = await_monitor(c, err);
		if (r < 0)
			return r;
	} else {
		return 0;
	}
	return remove_relock(c, err);
}

/* The others of the pod live in its namespaces. */
static int remove_allowed(const struct kist_container *c, unsigned flags, struct kist_error *err)
{
	if (!c->config.infra || flags & KIST_REMOVE_WITH_POD || !kist_pod_has_record(c->k, c->config.pod))
		return 0;
	kist_fail(err, KIST_ERR_IN_USE, EBUSY,
	          "it is the infra container of pod %.12s and cannot be removed without removing the pod",
	          c->config.pod);
	return kist_remedy(err, "'kist pod rm %.12s' does both", c->config.pod);
}

/* The lock of a container that may be removed. */
static int remove_lock(struct kist_container *c, unsigned flags, struct kist_error *err)
{
	int r = lock_for(c, flags & KIST_REMOVE_FORCE ? KIST_CALL_REMOVE_FORCE : KIST_CALL_REMOVE, err);
	if (r < 0)
		return r;
	if (flags & KIST_REMOVE_PRUNE && kist_restart_pending(c) && kist_restart_wanted(c)) {
		kist_container_unlock(c);
		kist_fail(err, KIST_ERR_STATE, EBUSY, "it is about to run again");
		return named(c, "remove", err);
	}
	/* With force they end with it, and one that runs or waits ends them itself. */
	if (!(flags & KIST_REMOVE_FORCE) && !kist_status_has_process(c->state.status)) {
		r = kist_exec_sessions_check(c, err);
		if (r < 0) {
			kist_container_unlock(c);
			return named(c, "remove", err);
		}
	}
	return 0;
}

/* stopped: what remove_stop said. */
static int remove_stopped(struct kist_container *c, int stopped, char *const *links, struct kist_error *err)
{
	if (stopped == 1) {
		/* Its monitor leaves them for the end. */
		kist_network_links_remove(links);
		return 0;
	}
	if (stopped < 0)
		return named(c, "remove", err);
	if (kist_container_monitor_alive(c)) {
		kist_container_unlock(c);
		kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT, "its monitor (process %d) does not finish",
		          c->state.monitor_pid);
		return named(c, "remove", err);
	}
	int r = kist_container_remove_locked(c, err);
	kist_container_unlock(c);
	return r;
}

int kist_container_remove(struct kist_container *c, unsigned flags, int64_t timeout, struct kist_error *err)
{
	c->remove_volumes = flags & KIST_REMOVE_VOLUMES;
	int r = not_batched(c, err);
	if (r == 0)
		r = remove_allowed(c, flags, err);
	if (r == 0)
		r = remove_dependents(c, flags, timeout, err);
	if (r < 0)
		return named(c, "remove", err);
	r = remove_lock(c, flags, err);
	if (r < 0)
		return r;
	KIST_STRV char **links = kist_network_links(c);
	return remove_stopped(c, remove_stop(c, timeout, err), links, err);
}

int kist_remove_begin(struct kist_container *c, unsigned flags, int64_t timeout, struct kist_removing *removing,
                      struct kist_stopping *s, struct kist_error *err)
{
	*s = (struct kist_stopping){ .pidfd = -1 };
	*removing = (struct kist_removing){ 0 };
	/* Of what does not run, or takes others with it, all is left to the end. */
	if (!(flags & KIST_REMOVE_FORCE) || c->state.status != KIST_RUNNING)
		return 0;
	KIST_STRV char **dependents = kist_container_dependents(c);
	if (dependents && dependents[0])
		return 0;
	c->remove_volumes = flags & KIST_REMOVE_VOLUMES;
	int r = not_batched(c, err);
	if (r == 0)
		r = remove_allowed(c, flags, err);
	if (r < 0)
		return named(c, "remove", err);
	r = remove_lock(c, flags, err);
	if (r < 0)
		return r;
	removing->asked = c->state.status == KIST_RUNNING;
	if (removing->asked) {
		removing->links = kist_network_links(c);
		stop_ask(c, timeout < 0 ? c->config.stop_timeout : timeout, KIST_STOPPED_BY_USER, s);
	} else {
		kist_container_unlock(c);
	}
	return 0;
}

int kist_remove_end(struct kist_container *c, unsigned flags, int64_t timeout, struct kist_removing *removing,
                    struct kist_stopping *s, struct kist_error *err)
{
	if (!removing->asked)
		return kist_container_remove(c, flags, timeout, err);
	int r = kist_stop_end(c, s, err);
	if (r == 0)
		r = remove_relock(c, err);
	return remove_stopped(c, r, removing->links, err);
}
