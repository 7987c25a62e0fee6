/* What a running container uses, by its cgroup. */
#include "core/internal.h"

#include "cgroup/cgroup.h"
#include "core/base/clock.h"

#include <errno.h>

int kist_container_stats(struct kist_container *c, struct kist_cgroup_stats *out, int64_t *wall, struct kist_error *err)
{
	struct kist_cgroup_root *root = NULL;
	struct kist_cgroup_stats stats;
	int status = c->state.status;

	if (status != KIST_RUNNING && status != KIST_PAUSED && status != KIST_STOPPING)
		return kist_fail(err, KIST_ERR_STATE, EINVAL, "container %s is not running", c->config.name);
	if (!c->state.cgroup)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "container %s has no cgroup to take statistics from", c->config.name);
	int r = kist_store_cgroup(c->k, &root, err);
	if (r < 0)
		return kist_context(err, "statistics of container %s", c->config.name);
	KIST_CLOSE int group = kist_cgroup_open(root, c->state.cgroup, err);
	r = group < 0 ? group : kist_cgroup_stats(group, &stats, err);
	if (r < 0)
		return kist_context(err, "statistics of container %s", c->config.name);
	*wall = kist_now_wall();
	*out = stats;
	return 0;
}
