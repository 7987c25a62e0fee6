/* The end of a container of the OCI runtime: kill and delete. */
#include "core/oci_internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define KILL_WAIT_MS 10000

static bool is_alive(const struct kist_oci_container *c)
{
	return c->status == KIST_OCI_CREATED || c->status == KIST_OCI_RUNNING || c->status == KIST_OCI_PAUSED;
}

static int kill_group(const struct kist_oci_container *c, int signal_number, struct kist_error *err)
{
	KIST_CLOSE int group = oci_cgroup_open(c, err);

	if (group < 0)
		return group;
	if (signal_number == SIGKILL)
		return kist_cgroup_kill(group, err);
	int n = kist_cgroup_signal(group, signal_number, err);
	return n < 0 ? n : 0;
}

static bool group_populated(const struct kist_oci_container *c)
{
	KIST_CLOSE int group = c->state.cgroup ? oci_cgroup_open(c, NULL) : -1;

	return group >= 0 && kist_cgroup_populated(group);
}

static int signal_init(const struct kist_oci_container *c, int signal_number)
{
	const struct kist_proc_id id = { .pid = c->state.pid, .start = c->state.pid_start };
	KIST_CLOSE int pidfd = kist_proc_open(&id);

	return pidfd < 0 ? pidfd : kist_pidfd_signal(pidfd, signal_number);
}

int kist_oci_kill(struct kist_oci *oci, const char *id, int signal_number, bool all, struct kist_error *err)
{
	struct kist_oci_container *c = NULL;
	int r = kist_oci_load(oci, id, &c, err);

	if (r < 0)
		return r;
	/* The first process may be gone and others of its group not; that none is left is what was asked for. */
	if (all && c->state.cgroup && (is_alive(c) || group_populated(c)))
		r = kill_group(c, signal_number, err);
	else if (all && c->status == KIST_OCI_STOPPED)
		r = 0;
	else
		r = is_alive(c) ? signal_init(c, signal_number) : -ESRCH;
	if (r < 0 && !kist_error_is_set(err))
		r = r == -ESRCH ? kist_fail(err, KIST_ERR_STATE, ESRCH, "container not running")
		                : kist_fail_errno(err, -r, "send signal %d to container \"%s\"", signal_number, id);
	kist_oci_container_free(c);
	return r;
}

/* --- delete ---------------------------------------------------------------------------------------------------------
 */

/* It is not our child: its end shows on the pidfd. */
int oci_end_init(const struct kist_oci_container *c, struct kist_error *err)
{
	const struct kist_proc_id id = { .pid = c->state.pid, .start = c->state.pid_start };
	KIST_CLOSE int pidfd = kist_proc_open(&id);
	int64_t end = kist_now_boot() + KILL_WAIT_MS * KIST_NSEC_PER_MSEC;

	if (pidfd < 0)
		return 0;
	kist_pidfd_signal(pidfd, SIGKILL);
	for (;;) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		int64_t left = (end - kist_now_boot()) / KIST_NSEC_PER_MSEC;
		int n = poll(&p, 1, left > 0 ? (int)left : 0);
		if (n > 0)
			return 0;
		if (n == 0)
			return kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT, "process %d did not end after SIGKILL",
			                 id.pid);
		if (errno != EINTR)
			return kist_fail_errno(err, errno, "wait for process %d", id.pid);
	}
}

/* A create that was killed may have left a group, or may not have come to make it: then one of that name that holds
 * processes is another's. Its own first process dies with it. */
static bool is_foreign(const struct kist_oci_container *c)
{
	if (c->state.pid > 0)
		return false;
	for (int64_t end = kist_now_boot() + 2 * KIST_NSEC_PER_SEC; group_populated(c);) {
		if (kist_now_boot() >= end)
			return true;
		kist_sleep_ns(5 * KIST_NSEC_PER_MSEC);
	}
	return false;
}

static int remove_group(const struct kist_oci_container *c, struct kist_error *err)
{
	if (!c->state.cgroup)
		return 0;
	if (is_foreign(c)) {
		kist_log(KIST_LOG_WARN, "cgroup %s is left alone: it holds processes, and container %s was never made",
		         c->state.cgroup, c->state.id);
		return 0;
	}
	int r = oci_cgroups(c->oci, err);
	if (r == 0)
		r = kist_cgroup_remove(c->oci->cgroups, c->state.cgroup, err);
	if (r == 0 && c->state.cgroup_own_parent)
		kist_cgroup_prune(c->oci->cgroups, c->state.cgroup, "/");
	return r;
}

/* Under another name first, so that the id is free at once and half a directory is never taken for a container. */
static int remove_directory(const struct kist_oci_container *c, struct kist_error *err)
{
	char random[9], gone[32];

	kist_random_hex(random, 8);
	snprintf(gone, sizeof(gone), ".gone-%s", random);
	if (renameat(c->oci->dir, c->state.id, c->oci->dir, gone) < 0)
		return kist_fail_errno(err, errno, "remove %s/%s", c->oci->root, c->state.id);
	int r = kist_remove_tree(c->oci->dir, gone);
	return r < 0 ? kist_fail_errno(err, -r, "remove %s/%s", c->oci->root, gone) : 0;
}

int oci_destroy(struct kist_oci_container *c, struct kist_error *err)
{
	KIST_SPEC struct kist_spec *spec = NULL;
	struct kist_error problem = { 0 };

	/* Without the record create was killed before it did anything that hooks could answer. */
	if (c->state.bundle && oci_spec_read(c, &spec, &problem) < 0)
		kist_log(KIST_LOG_WARN, "no poststop hooks of container %s: %s", c->state.id, problem.text);
	int r = oci_end_init(c, err);
	if (r == 0)
		r = remove_group(c, err);
	if (r == 0)
		r = remove_directory(c, err);
	if (r == 0 && spec && spec->hooks)
		oci_hooks_run(&c->state, spec->hooks->poststop, spec->hooks->n_poststop, "poststop", "stopped", 0, true,
		              NULL);
	return r;
}

int kist_oci_delete(struct kist_oci *oci, const char *id, bool force, struct kist_error *err)
{
	struct kist_oci_container *c = NULL;
	struct kist_error problem = { 0 };
	int r = oci_load_locked(oci, id, &c, &problem);

	if (r < 0) {
		if (force && problem.kind == KIST_ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = problem;
		return r;
	}
	if (!force && c->status != KIST_OCI_STOPPED && c->status != KIST_OCI_CREATED)
		r = kist_fail(err, KIST_ERR_STATE, EBUSY, "cannot delete container \"%s\" that is not stopped: %s", id,
		              kist_oci_status_name(c->status));
	else
		r = oci_destroy(c, err);
	kist_oci_container_free(c);
	return r;
}
