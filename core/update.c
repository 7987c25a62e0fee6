/* Limits, restart policy and health check of a container that exists: in its record, and in its cgroup while it runs.
 */
#include "core/attach.h"
#include "core/monitor.h"
#include "core/restart.h"

#include "cgroup/cgroup.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>

/* Lists are replaced as a whole, not item by item. */
static void drop_lists(struct kist_spec_resources *to, const struct kist_spec_resources *from)
{
	struct kist_spec_blkio *old = to->block_io;
	const struct kist_spec_blkio *new = from->block_io;

	if (!old || !new)
		return;
#define DROP(list)                                                                                                     \
	if (new->n_##list) {                                                                                           \
		free(old->list);                                                                                       \
		old->list = NULL;                                                                                      \
		old->n_##list = 0;                                                                                     \
	}
	DROP(weight_device)
	DROP(throttle_read_bps_device)
	DROP(throttle_write_bps_device)
	DROP(throttle_read_iops_device)
	DROP(throttle_write_iops_device)
#undef DROP
}

/* What is set in one takes the place of what is in the other: as one record read over another. */
int kist_resources_merge(struct kist_spec_resources **to, const struct kist_spec_resources *from,
                         struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	if (!*to) {
		*to = kist_alloc(sizeof(**to));
		kist_table_init(&kist_spec_resources_table, *to);
	}
	drop_lists(*to, from);
	for (size_t i = 0; from->unified && from->unified[i]; i++)
		kist_env_put(&(*to)->unified, from->unified[i]);
	struct kist_spec_resources plain = *from;
	plain.unified = NULL;
	kist_kv_write(&kist_spec_resources_table, &plain, NULL, &text);
	return kist_kv_read(&kist_spec_resources_table, kist_str_get(&text), *to, NULL, err);
}

/* A limit that was taken away is no part of the record, nor is what it brought along: swap is counted with memory. */
static void drop_unlimited(struct kist_spec_resources *all, const struct kist_spec_resources *given)
{
	struct kist_spec_memory *memory = all->memory;
	struct kist_spec_cpu *cpu = all->cpu;

	if (given->memory && given->memory->limit.set && given->memory->limit.value <= 0) {
		memory->limit.set = false;
		if (!given->memory->swap.set || given->memory->swap.value <= 0)
			memory->swap.set = false;
	}
	if (given->memory && given->memory->reservation.set && given->memory->reservation.value <= 0)
		memory->reservation.set = false;
	if (given->cpu && given->cpu->quota.set && given->cpu->quota.value <= 0)
		cpu->quota.set = cpu->period.set = false;
}

/* What the next start would fail for is refused now: a controller that the hierarchy does not have. */
static int check_controllers(struct kist_container *c, const struct kist_spec_resources *resources,
                             struct kist_error *err)
{
	struct kist_cgroup_root *root = NULL;

	if (kist_status_has_process(c->state.status))
		return 0;
	int r = kist_store_cgroup(c->k, &root, err);
	return r < 0 ? r : kist_cgroup_check(root, resources, err);
}

static int apply(struct kist_container *c, const struct kist_spec_resources *resources, struct kist_error *err)
{
	struct kist_cgroup_root *root = NULL;

	if (!kist_status_has_process(c->state.status))
		return 0;
	if (!c->state.cgroup)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "it runs without a cgroup, which limits need");
	int r = kist_store_cgroup(c->k, &root, err);
	if (r < 0)
		return r;
	KIST_CLOSE int group = kist_cgroup_open(root, c->state.cgroup, err);
	return group < 0 ? group : kist_cgroup_update(group, resources, err);
}

static int update_locked(struct kist_container *c, const struct kist_update *update, struct kist_error *err)
{
	struct kist_container_config *config = &c->config;

	int r = kist_container_reload_config(c, err);
	if (r == 0 && update->resources && kist_streq(config->cgroups, "disabled"))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "it was made without a cgroup, which limits need");
	if (r == 0 && update->resources)
		r = check_controllers(c, update->resources, err);
	if (r == 0 && update->resources)
		r = kist_resources_merge(&config->resources, update->resources, err);
	if (r == 0 && update->resources)
		drop_unlimited(config->resources, update->resources);
	if (r == 0 && update->resources && update->resources->pids_limit.set)
		config->pids_limit_default = false;
	if (r == 0 && update->restart_policy) {
		free(config->restart_policy);
		config->restart_policy = kist_strdup(update->restart_policy);
		config->restart_retries = update->restart_retries;
		r = kist_restart_check(config, err);
	}
	if (r == 0 && update->health)
		r = update->health(&config->health, update->health_arg, err);
	if (r == 0)
		r = kist_plan_check_config(c, err);
	if (r == 0 && update->resources)
		r = apply(c, update->resources, err);
	if (r == 0)
		r = kist_container_save_config(c, err);
	/* Its timers are the monitor's. */
	if (r == 0 && update->health && kist_status_has_process(c->state.status))
		r = kist_monitor_tell(c, KIST_MSG_CONFIG, NULL, 0, err);
	return r;
}

int kist_container_update(struct kist_container *c, const struct kist_update *update, struct kist_error *err)
{
	int r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	r = update_locked(c, update, err);
	/* What was not taken must not stay in the handle. */
	if (r < 0)
		kist_container_reload_config(c, NULL);
	else
		kist_container_event(c, "update");
	kist_container_unlock(c);
	return r < 0 ? kist_context(err, "update %s", c->config.name) : 0;
}
