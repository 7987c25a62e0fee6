/* A container's state: reading, locking, and settling it with what is true. The record on disk can be behind: a monitor
 * can be killed between any two of its steps, and the file can be torn. The exit record and the monitor's own record in
 * the run directory then tell more. */
#include "core/exec_session.h"
#include "core/launch_hooks.h"
#include "core/network.h"
#include "core/recall.h"
#include "core/restart.h"

#include "cgroup/cgroup.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KILL_WAIT_MS 10000

/* --- reading --------------------------------------------------------------------------------------------------------
 */

/* After a reboot nothing runs: exited stays exited, all else becomes configured, unless the last run's exit was
 * recorded before the power went. ended: whether there is such a record. */
static void state_reset(struct kist_container *c, bool ended, const struct kist_exit *record)
{
	struct kist_container_state *state = &c->state;

	ended = ended && (record->run == state->run || state->run == 0);
	if (ended) {
		state->run = record->run;
		state->exit_code = record->code;
		state->oom_killed = record->oom;
		state->finished = record->finished;
		state->exited = true;
	}
	state->status = state->status == KIST_EXITED || ended ? KIST_EXITED : KIST_CONFIGURED;
	state->pid = state->monitor_pid = 0;
	state->pid_start = state->monitor_start = 0;
	state->restart_count = 0;
	state->mounts = 0;
	state->stopped_by_host = state->stopped_to_restart = state->restarting = false;
	free(state->cgroup);
	state->cgroup = NULL;
	kist_container_state_forget_network(state);
	free(state->boot);
	state->boot = kist_strdup(c->k->boot);
}

static int live_path(const struct kist_container *c, char path[80])
{
	int n = snprintf(path, 80, "%s/" KIST_LIVE_RECORD, c->config.id);

	return n < 80 ? 0 : -ENAMETOOLONG;
}

/* What the monitor of this boot said of itself and of its container. False when there is no such record. */
static bool live_read(struct kist_container *c, struct kist_container_state *out)
{
	char path[80];

	if (live_path(c, path) < 0)
		return false;
	kist_table_init(&kist_container_state_table, out);
	if (kist_record_read(c->k->run_containers, path, &kist_container_state_table, out, NULL, NULL) == 0 &&
	    kist_streq(out->boot, c->k->boot))
		return true;
	kist_table_release(&kist_container_state_table, out);
	return false;
}

static int mark(struct kist_container *c, struct kist_error *err)
{
	char path[80];

	snprintf(path, sizeof(path), KIST_MONITORS "/%.64s", c->config.id);
	for (int i = 0; symlinkat("monitor", c->k->runroot, path) < 0 && errno != EEXIST; i++)
		if (i > 0 || errno != ENOENT || (mkdirat(c->k->runroot, KIST_MONITORS, 0700) < 0 && errno != EEXIST))
			return kist_fail_errno(err, errno, "mark container %.12s", c->config.id);
	return 0;
}

void kist_container_unmark(struct kist *k, const char *id)
{
	char path[80];

	snprintf(path, sizeof(path), KIST_MONITORS "/%.64s", id);
	unlinkat(k->runroot, path, 0);
}

int kist_container_save_live(struct kist_container *c, struct kist_error *err)
{
	int run = kist_container_rundir(c, err);
	int r = run < 0 ? run : mark(c, err);

	return r < 0 ? r
	             : kist_record_write(run, KIST_LIVE_RECORD, &kist_container_state_table, &c->state, NULL, false,
	                                 err);
}

/* A torn state of a container that runs: commands pause and stop it, and only the state said so. The group tells of the
 * former; a stop that was asked for is asked for again. */
static void live_refine(struct kist_container *c)
{
	struct kist_cgroup_root *root = NULL;

	if (c->state.status != KIST_RUNNING || !c->state.cgroup || kist_store_cgroup(c->k, &root, NULL) < 0)
		return;
	KIST_CLOSE int group = kist_cgroup_open(root, c->state.cgroup, NULL);
	if (group >= 0 && kist_cgroup_is_frozen(group) == 1)
		c->state.status = KIST_PAUSED;
}

/* Takes over what was read, or what else is known: r says how that went. marked: its monitor may have a record. recall:
 * of a list, or NULL. */
static int state_take(struct kist_container *c, int r, struct kist_container_state *state, char **extra,
                      struct kist_recall *recall, bool marked, const struct kist_error *problem, struct kist_error *err)
{
	struct kist_exit record = { 0 };

	if (r < 0 && problem->kind != KIST_ERR_NOT_FOUND && problem->kind != KIST_ERR_CORRUPT) {
		kist_table_release(&kist_container_state_table, state);
		kist_strv_free(extra);
		if (err)
			*err = *problem;
		return kist_context(err, "container %.12s", c->config.id);
	}
	bool live = false;
	if (r < 0) {
		/* Torn or never written: what it said is lost, what else is known decides. */
		kist_table_release(&kist_container_state_table, state);
		kist_table_init(&kist_container_state_table, state);
		kist_strv_free(extra);
		extra = NULL;
		live = marked && live_read(c, state);
		if (!live)
			kist_table_init(&kist_container_state_table, state);
	}
	kist_table_release(&kist_container_state_table, &c->state);
	kist_strv_free(c->state_extra);
	c->state = *state;
	c->state_extra = extra;
	if (live)
		live_refine(c);
	else if (r < 0 || !kist_streq(state->boot, c->k->boot))
		state_reset(c,
		            (recall ? kist_exit_read_brief(c, recall, marked, &record) : kist_exit_read(c, &record)) ==
		                    0,
		            &record);
	return 0;
}

int kist_container_reload(struct kist_container *c, struct kist_error *err)
{
	struct kist_container_state state;
	char **extra = NULL;
	struct kist_error problem = { 0 };
	char path[80];

	kist_table_init(&kist_container_state_table, &state);
	snprintf(path, sizeof(path), "%s/state", c->config.id);
	int r = c->dir >= 0 ? kist_record_read(c->dir, "state", &kist_container_state_table, &state, &extra, &problem)
	                    : kist_record_read(c->k->containers, path, &kist_container_state_table, &state, &extra,
	                                       &problem);
	return state_take(c, r, &state, extra, NULL, true, &problem, err);
}

/* Such a handle is never written back as it is: it need not keep what it does not know. */
int kist_container_reload_brief(struct kist_container *c, struct kist_recall *recall, bool marked,
                                struct kist_error *err)
{
	struct kist_container_state state = { 0 };
	KIST_STR struct kist_str text = { 0 };
	struct kist_error problem = { 0 };

	int r = kist_recall_read(recall, c->config.id, KIST_RECALL_STATE, &text);
	if (r == 0 && kist_kv_read_brief(&kist_container_state_table, text.data, 0, &state, NULL) < 0)
		r = -EBADMSG;
	if (r == -ENOENT || r == -EBADMSG)
		problem.kind = r == -ENOENT ? KIST_ERR_NOT_FOUND : KIST_ERR_CORRUPT;
	else if (r < 0)
		kist_fail_errno(&problem, -r, "read container state");
	return state_take(c, r, &state, NULL, recall, marked, &problem, err);
}

int kist_container_save(struct kist_container *c, struct kist_error *err)
{
	/* What a user stopped must not come back by itself after a power cut. */
	bool sync = c->state.stopped_by_user && !c->k->settings.volatile_ &&
	            kist_restart_policy_of(&c->config) == KIST_RESTART_UNLESS_STOPPED;
	int r = kist_record_write(kist_container_dir(c), "state", &kist_container_state_table, &c->state,
	                          c->state_extra, sync, err);
	return r < 0 ? kist_context(err, "container %.12s", c->config.id) : 0;
}

/* --- what is true ---------------------------------------------------------------------------------------------------
 */

bool kist_container_monitor_alive(const struct kist_container *c)
{
	struct kist_proc_id id = { c->state.monitor_pid, c->state.monitor_start };

	return id.pid > 0 && kist_proc_alive(&id);
}

char *kist_container_cgroup_path(const struct kist_container *c)
{
	if (kist_streq(c->config.cgroups, "disabled"))
		return NULL;
	return kist_asprintf("%s/%s", kist_streq(c->config.cgroup_parent, "/") ? "" : c->config.cgroup_parent,
	                     c->config.id);
}

int kist_container_kill_all(struct kist_container *c, struct kist_error *err)
{
	KIST_FREE char *path = c->state.cgroup ? kist_strdup(c->state.cgroup) : kist_container_cgroup_path(c);
	struct kist_cgroup_root *root = NULL;
	struct kist_proc_id id = { c->state.pid, c->state.pid_start };

	if (path && kist_store_cgroup(c->k, &root, NULL) == 0) {
		KIST_CLOSE int group = kist_cgroup_open(root, path, NULL);
		if (group >= 0) {
			int r = kist_cgroup_kill(group, err);
			if (r < 0)
				return kist_context(err, "container %.12s", c->config.id);
		}
	}
	/* Without a cgroup, and in a pid namespace that others are in too, they outlive its init. */
	int r = kist_exec_sessions_end(c, err);
	if (r < 0)
		return kist_context(err, "container %.12s", c->config.id);
	KIST_CLOSE int pidfd = id.pid > 0 ? kist_proc_open(&id) : -1;
	if (pidfd < 0)
		return 0;
	kist_pidfd_signal(pidfd, SIGKILL);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	if (poll(&poll_fd, 1, KILL_WAIT_MS) == 0)
		return kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT,
		                 "container %.12s: process %d did not die within %d s of SIGKILL", c->config.id, id.pid,
		                 KILL_WAIT_MS / 1000);
	return 0;
}

bool kist_status_has_process(int status)
{
	return status == KIST_CREATED || status == KIST_RUNNING || status == KIST_STOPPING || status == KIST_PAUSED;
}

void kist_container_take_exit(struct kist_container *c, const struct kist_exit *record)
{
	c->state.status = KIST_STOPPED;
	c->state.exit_code = record->code;
	c->state.oom_killed = record->oom;
	c->state.finished = record->finished;
	c->state.exited = true;
}

bool kist_container_has_leftovers(const struct kist_container *c)
{
	char path[80];

	return !kist_status_has_process(c->state.status) && c->state.status != KIST_STOPPED &&
	       live_path(c, path) == 0 && kist_exists_at(c->k->run_containers, path);
}

/* A monitor was killed before the state knew of its run, or after the state was cleaned: its record is still there. */
static int settle_leftovers(struct kist_container *c, struct kist_error *err)
{
	struct kist_container_state live;
	int r = 0;

	if (!live_read(c, &live))
		return kist_container_cleanup_locked(c, err);
	struct kist_proc_id monitor = { live.monitor_pid, live.monitor_start };
	if (!kist_proc_alive(&monitor)) {
		c->state.pid = live.pid;
		c->state.pid_start = live.pid_start;
		kist_network_adopt(c, &live);
		r = kist_container_kill_all(c, err);
		if (r == 0)
			r = kist_container_cleanup_locked(c, err);
	}
	kist_table_release(&kist_container_state_table, &live);
	return r;
}

int kist_container_settle(struct kist_container *c, struct kist_error *err)
{
	struct kist_exit record = { 0 };

	if (!kist_status_has_process(c->state.status) && c->state.status != KIST_STOPPED)
		return kist_container_has_leftovers(c) ? settle_leftovers(c, err) : 0;
	bool monitored = kist_container_monitor_alive(c);
	if (kist_status_has_process(c->state.status)) {
		bool recorded = kist_exit_read(c, &record) == 0 && record.run == c->state.run;
		if (!recorded && monitored)
			return 0;
		if (!recorded) {
			/* The monitor died: nobody can say how the container ends, so it ends now. */
			int r = kist_container_kill_all(c, err);
			if (r < 0)
				return r;
			record = (struct kist_exit){ .run = c->state.run, .code = -1, .finished = kist_now_wall() };
			/* A monitor that died before the start leaves a container that never ran. */
			if (c->state.status == KIST_CREATED)
				return kist_container_cleanup_locked(c, err);
			r = kist_exit_write(c, &record, err);
			if (r < 0)
				return kist_context(err, "container %.12s", c->config.id);
			kist_container_event_code(c, "died", record.code, false);
			free(c->state.error);
			c->state.error = kist_strdup("its monitor was killed: the exit code is unknown");
		}
		kist_container_take_exit(c, &record);
		/* A full disk must not hide what is known: the next call settles it again. It does so too with what
		 * removes itself, whose record is not worth the writing. */
		if (!c->config.auto_remove && kist_container_save(c, NULL) < 0)
			kist_debug("container %.12s: state could not be saved: %m", c->config.id);
	}
	/* A monitor that is alive waits for the lock to clean up itself, or for the next run. */
	if (monitored)
		return 0;
	if (kist_restart_wanted(c)) {
		/* A monitor takes over no other's container: the next command does. */
		if (c->k->no_spawn)
			return 0;
		struct kist_error problem = { 0 };
		if (kist_restart_adopt(c, &problem) == 0)
			return 0;
		kist_debug("container %.12s is not restarted: %s", c->config.id, problem.text);
		free(c->state.error);
		c->state.error = kist_strdup(problem.text);
	}
	return kist_container_cleanup_locked(c, err);
}

/* --- locks ----------------------------------------------------------------------------------------------------------
 */

/* Whether the record is still in the directory that was opened: a removal renames it away. */
static bool record_is_gone(struct kist_container *c)
{
	struct stat here, named;

	return fstat(kist_container_dir(c), &here) < 0 ||
	       fstatat(c->k->containers, c->config.id, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	       here.st_ino != named.st_ino || here.st_dev != named.st_dev;
}

/* -ESTALE: the container was removed. A new one has no record yet: 'making'. */
int kist_container_lock_take(struct kist_container *c, bool nonblock, bool making)
{
	if (c->batched)
		return 0;
	if (kist_container_whole(c, NULL) < 0)
		return record_is_gone(c) ? -ESTALE : -EIO;
	for (;;) {
		int run = kist_container_rundir(c, NULL);
		if (run < 0)
			return run;
		int fd = kist_lock(run, "lock", true, nonblock);
		if (fd >= 0) {
			c->lock = fd;
			break;
		}
		if (fd != -ENOENT)
			return fd;
		/* The run directory went away under us: a removal, or a sweep of what had no lock yet. */
		kist_close_fd(&c->run_dir);
		if (!making && record_is_gone(c))
			return -ESTALE;
	}
	if (making || !record_is_gone(c))
		return 0;
	/* The lock file may be one that this call just made: nothing may be left behind. */
	kist_remove_tree(c->k->run_containers, c->config.id);
	kist_container_unlock(c);
	kist_close_fd(&c->run_dir);
	return -ESTALE;
}

static int has_been_removed(const struct kist_container *c, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_REMOVED, ESTALE, "container %.12s has been removed", c->config.id);
}

int kist_container_locked(struct kist_container *c, int r, struct kist_error *err)
{
	if (r == -ESTALE)
		return has_been_removed(c, err);
	if (r < 0)
		return kist_fail_errno(err, -r, "lock container %.12s", c->config.id);
	r = kist_container_reload(c, err);
	bool ran = kist_status_has_process(c->state.status) || c->state.status == KIST_STOPPED;
	if (r == 0)
		r = kist_container_settle(c, err);
	/* Its monitor would have removed it: who finds that it was killed does. */
	if (r == 0 && ran && c->state.status == KIST_EXITED && c->config.auto_remove && !c->state.stopped_to_restart) {
		r = kist_container_remove_locked(c, err);
		if (r == 0)
			r = has_been_removed(c, err);
	}
	if (r < 0)
		kist_container_unlock(c);
	return r;
}

int kist_container_lock(struct kist_container *c, struct kist_error *err)
{
	/* The state is as it was read at the beginning, and as the calls since then have left it. */
	if (c->batched)
		return 0;
	return kist_container_locked(c, kist_container_lock_take(c, false, false), err);
}

int kist_container_trylock(struct kist_container *c)
{
	return kist_container_lock_take(c, true, false);
}

void kist_container_unlock(struct kist_container *c)
{
	if (c->batched)
		return;
	kist_close_fd(&c->lock);
	kist_launch_hooks_await(c);
}

int kist_container_batch(struct kist_container *c, int (*calls)(struct kist_container *c, void *arg), void *arg,
                         struct kist_error *err)
{
	int r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	c->batched = true;
	r = calls(c, arg);
	c->batched = false;
	kist_container_unlock(c);
	return r;
}

int kist_container_sync(struct kist_container *c, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r == 0 && c->batched) {
		r = kist_container_reload(c, err);
		if (r == 0)
			r = kist_container_settle(c, err);
	}
	if (r == 0)
		kist_container_unlock(c);
	return r;
}
