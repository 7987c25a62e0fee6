/* What init scripts call: everything up after a boot, everything down before the power goes. */
#include "core/depend.h"
#include "core/stop.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- boot -----------------------------------------------------------------------------------------------------------
 */

static bool is_running(const struct kist_container *c)
{
	int status = c->state.status;

	return kist_status_has_process(status) && status != KIST_CREATED && kist_container_monitor_alive(c);
}

static void boot_one(struct kist_container *c, kist_host_fn each, void *arg)
{
	struct kist_error problem = { 0 };
	static const struct kist_start start = { .recursive = true };

	/* A dependency of another one may have been started meanwhile; what waits for its next run is on its way,
	 * unless it waits for what nobody else starts. What goes on without its pod's infra container is in what that
	 * left. */
	bool known = kist_container_sync(c, &problem) == 0, running = known && is_running(c);
	if ((running || (known && kist_restart_pending(c))) && kist_dependencies_up(c, running))
		return;
	kist_error_clear(&problem);
	int r = running ? kist_container_restart(c, -1, &problem) : kist_container_start(c, &start, NULL, &problem);
	each(arg, c, r < 0 ? &problem : NULL);
}

#define MONITORS_WAIT_MS 3000
#define DEEPEST          64 /* chains of dependencies; a circle in records that were edited by hand ends here too */

static bool must_wait(struct kist_container *c, int depth);

static bool must_wait_for(struct kist_container *c, int depth)
{
	static const struct kist_start start = { .recursive = true };
	struct kist_health health;

	if (is_running(c) || kist_restart_pending(c))
		depth = DEEPEST; /* it has had its own */
	if (depth < DEEPEST && must_wait(c, depth + 1))
		return true;
	if (c->config.sdnotify != KIST_SDNOTIFY_HEALTHY)
		return false;
	if (depth < DEEPEST)
		kist_container_start(c, &start, NULL, NULL);
	kist_container_health(c, &health);
	int status = health.status;
	kist_health_clear(&health);
	return kist_container_sync(c, NULL) == 0 && is_running(c) && status == KIST_HEALTH_STARTING;
}

/* Whether something that it needs is up and not healthy yet. What must become healthy and is down is started here, so
 * that all else goes on meanwhile; what comes of that is told when c is started. */
static bool must_wait(struct kist_container *c, int depth)
{
	KIST_STRV char **ids = kist_container_dependencies(c);
	bool waits = false;

	for (size_t i = 0; ids && ids[i] && !waits; i++) {
		struct kist_container *other = NULL;
		if (kist_container_load(c->k, ids[i], &other, NULL) < 0)
			continue;
		waits = must_wait_for(other, depth);
		kist_container_free(other);
	}
	return waits;
}

int kist_boot(struct kist *k, kist_host_fn each, void *arg, struct kist_error *err)
{
	struct kist_container **list = NULL, *waiting;
	size_t n = 0, left = 0;

	int r = kist_container_list(k, &list, &n, NULL, err);
	if (r < 0)
		return r;
	kist_container_sort(list, n);
	KIST_FREE struct kist_container **due = kist_alloc((n + 1) * sizeof(struct kist_container *));
	for (size_t i = 0; i < n; i++)
		if (kist_restart_at_boot(list[i]))
			due[left++] = list[i];
	/* Rounds: what waits for the health of another comes last, and keeps nothing else back. */
	do {
		size_t kept = 0;
		waiting = NULL;
		for (size_t i = 0; i < left; i++)
			if (must_wait(due[i], 0))
				due[kept++] = due[i];
			else
				boot_one(due[i], each, arg);
		if (kept == left && left)
			waiting = due[0];
		left = kept;
		if (!waiting)
			continue;
		boot_one(waiting, each, arg);
		memmove(due, due + 1, --left * sizeof(struct kist_container *));
	} while (left);
	kist_container_list_free(list, n);
	return r;
}

/* --- shutdown -------------------------------------------------------------------------------------------------------
 */

struct shutdown {
	kist_host_fn each;
	void *arg;
};

static bool is_up(struct kist_container *c)
{
	return (kist_status_has_process(c->state.status) || c->state.status == KIST_STOPPED) &&
	       kist_container_monitor_alive(c);
}

/* Whoever shuts down unmounts next, and a monitor has files of the store open until it ends: which is soon, unless a
 * client reads slowly. */
static void monitors_await(const struct kist_proc_id *monitors, size_t n)
{
	int64_t end = kist_now_boot() + MONITORS_WAIT_MS * KIST_NSEC_PER_MSEC;

	for (size_t i = 0; i < n; i++) {
		KIST_CLOSE int pidfd = kist_proc_open(&monitors[i]);
		int64_t left = (end - kist_now_boot()) / KIST_NSEC_PER_MSEC;

		if (pidfd >= 0 && left > 0 && kist_pidfd_wait(pidfd, left) < 0)
			kist_debug("monitor %d has not ended yet", (int)monitors[i].pid);
	}
}

static void down_end(void *arg, struct kist_container *c, const struct kist_error *problem)
{
	const struct shutdown *s = arg;

	/* It ended, or was removed, before we came to it. */
	if (!problem || (problem->kind != KIST_ERR_STOPPED && problem->kind != KIST_ERR_REMOVED))
		s->each(s->arg, c, problem);
}

int kist_shutdown(struct kist *k, int64_t timeout, kist_host_fn each, void *arg, struct kist_error *err)
{
	struct shutdown s = { each, arg };
	struct kist_container **list = NULL;
	size_t n = 0, up = 0;

	int r = kist_container_list(k, &list, &n, NULL, err);
	if (r < 0)
		return r;
	KIST_FREE struct kist_container **all = kist_alloc((n + 1) * sizeof(struct kist_container *));
	KIST_FREE struct kist_proc_id *monitors = kist_alloc((n + 1) * sizeof(*monitors));
	/* The last made first, where nothing else is known. */
	for (size_t i = n; i > 0; i--) {
		struct kist_container *c = list[i - 1];

		if (!is_up(c))
			continue;
		monitors[up] = (struct kist_proc_id){ c->state.monitor_pid, c->state.monitor_start };
		all[up++] = c;
	}
	kist_stop_several(all, up, timeout, KIST_STOPPED_BY_HOST, down_end, &s);
	monitors_await(monitors, up);
	kist_store_cgroup_tidy(k, NULL);
	kist_container_list_free(list, n);
	return 0;
}
