/* What is asked of a container's group: its processes, freezing, limits, statistics. */
#include "core/oci_internal.h"

#include "core/base/clock.h"
#include "core/base/proc.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdlib.h>

#define FREEZE_WAIT_MS 10000

ssize_t kist_oci_pids(const struct kist_oci_container *c, pid_t **pids, struct kist_error *err)
{
	if (c->state.cgroup) {
		struct kist_error problem = { 0 };
		KIST_CLOSE int group = oci_cgroup_open(c, &problem);
		if (group >= 0)
			return kist_cgroup_pids(group, pids, err);
		if (problem.kind != KIST_ERR_NOT_FOUND) {
			if (err)
				*err = problem;
			return group;
		}
		*pids = NULL; /* ended, and its group with it */
		return 0;
	}
	*pids = kist_alloc(sizeof(**pids));
	(*pids)[0] = c->state.pid;
	return c->status == KIST_OCI_STOPPED || c->status == KIST_OCI_CREATING ? 0 : 1;
}

int kist_oci_pause(struct kist_oci *oci, const char *id, bool paused, struct kist_error *err)
{
	struct kist_oci_container *c = NULL;
	int r = kist_oci_load(oci, id, &c, err);

	if (r < 0)
		return r;
	bool alive = c->status == KIST_OCI_RUNNING || c->status == KIST_OCI_CREATED;
	if (paused ? !alive : c->status != KIST_OCI_PAUSED)
		r = kist_fail(err, KIST_ERR_STATE, 0, "%s: container \"%s\" is %s",
		              paused ? "container not running" : "container not paused", id,
		              kist_oci_status_name(c->status));
	if (r == 0) {
		KIST_CLOSE int group = oci_cgroup_open(c, err);
		r = group < 0 ? group : kist_cgroup_freeze(group, paused, FREEZE_WAIT_MS, err);
	}
	kist_oci_container_free(c);
	return r;
}

int kist_oci_update(struct kist_oci *oci, const char *id, const struct kist_spec_resources *resources,
                    struct kist_error *err)
{
	struct kist_oci_container *c = NULL;
	int r = kist_oci_load(oci, id, &c, err);

	if (r < 0)
		return r;
	if (c->status == KIST_OCI_STOPPED || c->status == KIST_OCI_CREATING)
		r = kist_fail(err, KIST_ERR_STATE, 0, "container not running: container \"%s\" is %s", id,
		              kist_oci_status_name(c->status));
	if (r == 0) {
		KIST_CLOSE int group = oci_cgroup_open(c, err);
		r = group < 0 ? group : kist_cgroup_update(group, resources, err);
	}
	kist_oci_container_free(c);
	return r;
}

/* --- statistics -----------------------------------------------------------------------------------------------------
 */

static void add_u64(struct json_object *to, const char *key, uint64_t value)
{
	json_object_object_add(to, key, json_object_new_uint64(value));
}

static struct json_object *cpu_json(const struct kist_cgroup_stats *s)
{
	struct json_object *cpu = json_object_new_object(), *usage = json_object_new_object(),
	                   *throttling = json_object_new_object();

	/* In nanoseconds, as version 1 had them. */
	add_u64(usage, "total", s->cpu_usage_us * 1000);
	add_u64(usage, "kernel", s->cpu_system_us * 1000);
	add_u64(usage, "user", s->cpu_user_us * 1000);
	add_u64(throttling, "periods", s->cpu_periods);
	add_u64(throttling, "throttledPeriods", s->cpu_throttled);
	add_u64(throttling, "throttledTime", s->cpu_throttled_us * 1000);
	json_object_object_add(cpu, "usage", usage);
	json_object_object_add(cpu, "throttling", throttling);
	return cpu;
}

static struct json_object *memory_json(const struct kist_cgroup_stats *s, uint64_t oom_kills)
{
	struct json_object *memory = json_object_new_object(), *usage = json_object_new_object(),
	                   *raw = json_object_new_object(), *swap = json_object_new_object();

	add_u64(usage, "limit", s->memory_limit);
	add_u64(usage, "usage", s->memory_usage);
	add_u64(usage, "max", s->memory_peak);
	add_u64(usage, "failcnt", oom_kills);
	add_u64(swap, "usage", s->memory_swap);
	add_u64(raw, "anon", s->memory_anon);
	add_u64(raw, "file", s->memory_file);
	add_u64(raw, "inactive_file", s->memory_inactive_file);
	add_u64(memory, "cache", s->memory_file);
	json_object_object_add(memory, "usage", usage);
	json_object_object_add(memory, "swap", swap);
	json_object_object_add(memory, "raw", raw);
	return memory;
}

static struct json_object *io_json(const struct kist_cgroup_stats *s)
{
	struct json_object *blkio = json_object_new_object(), *list = json_object_new_array();
	const struct {
		const char *op;
		uint64_t value;
	} rows[] = { { "read", s->io_read }, { "write", s->io_write } };

	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct json_object *row = json_object_new_object();
		json_object_object_add(row, "op", json_object_new_string(rows[i].op));
		add_u64(row, "value", rows[i].value);
		json_object_array_add(list, row);
	}
	json_object_object_add(blkio, "ioServiceBytesRecursive", list);
	return blkio;
}

int kist_oci_stats_json(const struct kist_oci_container *c, struct json_object **out, struct kist_error *err)
{
	struct kist_cgroup_stats s = { 0 };
	KIST_CLOSE int group = oci_cgroup_open(c, err);
	int r = group < 0 ? group : kist_cgroup_stats(group, &s, err);

	if (r < 0)
		return r;
	struct json_object *data = json_object_new_object();
	json_object_object_add(data, "cpu", cpu_json(&s));
	if (s.has_memory)
		json_object_object_add(data, "memory", memory_json(&s, kist_cgroup_oom_kills(group)));
	struct json_object *pids = json_object_new_object();
	add_u64(pids, "current", s.pids);
	if (s.has_pids)
		add_u64(pids, "limit", s.pids_limit == UINT64_MAX ? 0 : s.pids_limit);
	json_object_object_add(data, "pids", pids);
	if (s.has_io)
		json_object_object_add(data, "blkio", io_json(&s));
	*out = data;
	return 0;
}

int kist_oci_events_wait(const struct kist_oci_container *c, uint64_t *oom_kills, int64_t nanoseconds)
{
	const struct kist_proc_id id = { .pid = c->state.pid, .start = c->state.pid_start };
	KIST_CLOSE int pidfd = kist_proc_open(&id);
	KIST_CLOSE int group = oci_cgroup_open(c, NULL);
	KIST_CLOSE int events = group < 0 ? -1 : kist_cgroup_oom_fd(group);
	int64_t end = kist_now_boot() + nanoseconds;

	if (pidfd < 0)
		return 0;
	for (;;) {
		struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN }, { .fd = events, .events = POLLPRI } };
		int64_t left = (end - kist_now_boot()) / KIST_NSEC_PER_MSEC;
		uint64_t now = group < 0 ? 0 : kist_cgroup_oom_kills(group);

		if (now > *oom_kills) {
			*oom_kills = now;
			return 1;
		}
		if (left <= 0)
			return -ETIMEDOUT;
		int n = poll(fds, KIST_COUNT(fds), left > 60000 ? 60000 : (int)left);
		if (n > 0 && fds[0].revents)
			return 0;
	}
}
