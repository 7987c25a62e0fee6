/* Waiting for a container without holding anything: the process's pidfd tells of its end, the monitor's of the
 * clean-up, inotify of every other change of state. */
#include "core/internal.h"

#include "core/base/clock.h"
#include "core/base/proc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define UNWATCHED_MS 100 /* without inotify: its limit is reached */
#define HEALTHY_WAIT (300 * KIST_NSEC_PER_SEC)
#define RECHECK_MS   20000 /* only a belt: a missed event costs this much at most */

static int find_ended(struct kist *k, const char *id, int *code)
{
	struct kist_exit record = { 0 };

	if (kist_exit_find(k, id, &record) < 0)
		return -ENOENT;
	*code = record.code;
	return 0;
}

/* A container that was removed before: only a full id can still be asked for. */
static int wait_removed(struct kist *k, const char *id, int *code, struct kist_error *err)
{
	if (strlen(id) == 64 && find_ended(k, id, code) == 0) {
		kist_error_clear(err);
		return 0;
	}
	return -ENOENT;
}

static bool is_health(const struct kist_container *c, unsigned mask)
{
	struct kist_health health;

	if (c->state.status != KIST_RUNNING || !(mask & (KIST_WAIT_HEALTHY | KIST_WAIT_UNHEALTHY)))
		return false;
	kist_container_health(c, &health);
	int status = health.status;
	kist_health_clear(&health);
	return (mask & KIST_WAIT_HEALTHY && status == KIST_HEALTH_HEALTHY) ||
	       (mask & KIST_WAIT_UNHEALTHY && status == KIST_HEALTH_UNHEALTHY);
}

static bool is_met(const struct kist_container *c, unsigned mask)
{
	int status = c->state.status;

	if (is_health(c, mask))
		return true;

	if (mask == 0)
		return status == KIST_EXITED || status == KIST_CONFIGURED;
	/* One that will run again has not ended. */
	if (status == KIST_STOPPED && c->state.restarting)
		return false;
	if ((mask & (1u << KIST_STOPPED | 1u << KIST_EXITED)) && (status == KIST_EXITED || status == KIST_STOPPED))
		return true;
	return mask & (1u << status);
}

int kist_wait_watch(const struct kist_container *c)
{
	KIST_FREE char *path = kist_container_path(c, NULL);
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd >= 0 && inotify_add_watch(fd, path, IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF) < 0)
		kist_close_fd(&fd);
	/* What removes itself may have no record but that of its monitor. */
	if (fd >= 0 && c->config.auto_remove) {
		KIST_FREE char *run = kist_container_runpath(c, NULL);

		inotify_add_watch(fd, run, IN_MOVED_TO);
	}
	return fd;
}

void kist_wait_change(const struct kist_container *c, int watch, int timeout_ms)
{
	struct kist_proc_id id = { c->state.monitor_pid, c->state.monitor_start };
	KIST_CLOSE int monitor = id.pid > 0 ? kist_proc_open(&id) : -1;
	struct pollfd fds[2] = { { .fd = watch, .events = POLLIN }, { .fd = monitor, .events = POLLIN } };
	char events[4096];

	/* The monitor's end without a record is an event of its own: it was killed. */
	if (watch < 0 && timeout_ms > UNWATCHED_MS)
		timeout_ms = UNWATCHED_MS;
	if (poll(fds, 2, timeout_ms) > 0 && watch >= 0)
		while (read(watch, events, sizeof(events)) > 0)
			continue;
}

/* Health is told in the run directory. */
static void watch_health(const struct kist_container *c, int watch, unsigned mask)
{
	KIST_FREE char *path = kist_container_runpath(c, NULL);

	if (watch >= 0 && mask & (KIST_WAIT_HEALTHY | KIST_WAIT_UNHEALTHY))
		inotify_add_watch(watch, path, IN_MOVED_TO);
}

/* Unhealthy, ended, or late is a failure. What its policy restarts is still on its way. */
static int healthy_yet(struct kist_container *c, bool late, struct kist_error *err)
{
	struct kist_health health;

	int r = kist_container_sync(c, err);
	if (r < 0)
		return r;
	kist_container_health(c, &health);
	int status = c->state.status == KIST_RUNNING ? health.status : KIST_HEALTH_STARTING;
	kist_health_clear(&health);
	bool over = !kist_status_has_process(c->state.status) && !c->state.restarting;
	if (status == KIST_HEALTH_HEALTHY)
		return 1;
	if (status == KIST_HEALTH_UNHEALTHY || over || late)
		return kist_fail(err, KIST_ERR_STATE, EBUSY, "container %s, which must be healthy, %s", c->config.name,
		                 over   ? "ended"
		                 : late ? "was not in time"
		                        : "is unhealthy");
	return 0;
}

int kist_wait_healthy(struct kist_container *c, struct kist_error *err)
{
	int64_t end = kist_now_boot() + HEALTHY_WAIT;
	int r;

	if (c->config.sdnotify != KIST_SDNOTIFY_HEALTHY)
		return 0;
	KIST_CLOSE int watch = kist_wait_watch(c);
	watch_health(c, watch, KIST_WAIT_HEALTHY);
	for (int64_t left = HEALTHY_WAIT; (r = healthy_yet(c, left <= 0, err)) == 0; left = end - kist_now_boot())
		kist_wait_change(c, watch, (int)(left < 0 ? 0 : left / KIST_NSEC_PER_MSEC) + 1);
	return r < 0 ? r : 0;
}

/* What was made without a check, and is not told to have one, would never be met. */
static int check_waitable(const struct kist_container *c, unsigned mask, struct kist_error *err)
{
	if (mask & ~(KIST_WAIT_HEALTHY | KIST_WAIT_UNHEALTHY) || !mask || kist_health_is_checked(&c->config.health))
		return 0;
	return kist_fail(err, KIST_ERR_STATE, 0, "container %s has no health check", c->config.name);
}

int kist_container_wait(struct kist *k, const char *name_or_id, unsigned status_mask, int *code, struct kist_error *err)
{
	struct kist_container *c = NULL;
	struct kist_error problem = { 0 };

	int r = kist_container_open(k, name_or_id, &c, &problem);
	if (r < 0) {
		if (problem.kind == KIST_ERR_NOT_FOUND && wait_removed(k, name_or_id, code, &problem) == 0)
			return 0;
		if (err)
			*err = problem;
		return r;
	}
	KIST_CLOSE int watch = kist_wait_watch(c);
	bool watched = false;
	r = check_waitable(c, status_mask, &problem);
	while (r == 0) {
		kist_error_clear(&problem);
		r = kist_container_sync(c, &problem);
		/* The run directory is there from the first lock on. */
		if (r == 0 && !watched) {
			watch_health(c, watch, status_mask);
			watched = true;
		}
		if (r < 0 || is_met(c, status_mask))
			break;
		kist_wait_change(c, watch, RECHECK_MS);
	}
	int status = c->state.status;
	if (r == 0 && status_mask && status != KIST_EXITED && status != KIST_STOPPED)
		*code = -1; /* the code of an earlier run is not what was waited for */
	else if (r == 0)
		*code = c->state.exited ? c->state.exit_code : 0;
	else if (problem.kind == KIST_ERR_REMOVED || problem.kind == KIST_ERR_NOT_FOUND)
		/* Removed while we waited: its code was kept; without one it never ran. */
		r = find_ended(k, c->config.id, code) == 0 ? 0 : (*code = 0, 0);
	else if (err)
		*err = problem;
	kist_container_free(c);
	return r;
}
