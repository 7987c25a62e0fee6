/* What a running container uses, by its cgroup and its network namespace. */
#include "core/network_internal.h"

#include "cgroup/cgroup.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

static void fill(struct kist_stats *out, const struct kist_cgroup_stats *from)
{
	uint64_t idle = from->memory_inactive_file;

	*out = (struct kist_stats){
		.time = kist_now_wall(),
		.has_memory = from->has_memory,
		.has_pids = from->has_pids,
		.has_io = from->has_io,
		.cpu = from->cpu_usage_us,
		.cpu_user = from->cpu_user_us,
		.cpu_system = from->cpu_system_us,
		/* The kernel takes that back before it lets anybody want. */
		.memory = idle < from->memory_usage ? from->memory_usage - idle : 0,
		.memory_limit = from->memory_limit,
		.pids = from->pids,
		.pids_limit = from->pids_limit,
		.io_read = from->io_read,
		.io_write = from->io_write,
	};
}

/* Of a shared network too, as podman: in a pod it is each member's. The host's is nobody's. */
static void fill_network(const struct kist_container *c, struct kist_stats *out)
{
	NET_CLOSE struct kist_net *net = NULL;
	struct kist_error problem = { 0 };
	struct stat its, ours;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", c->state.pid);
	KIST_CLOSE int ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || fstat(ns, &its) < 0 || stat("/proc/self/ns/net", &ours) < 0 ||
	    (its.st_dev == ours.st_dev && its.st_ino == ours.st_ino) || kist_net_open(ns, &net, &problem) < 0)
		return;
	KIST_FREE struct kist_net_link_stats *links = NULL;
	ssize_t n = kist_net_stats(net, &links, &problem);
	if (n < 0)
		kist_debug("container %.12s: %s", c->config.id, problem.text);
	for (ssize_t i = 0; i < n; i++) {
		out->net_in += links[i].rx_bytes;
		out->net_out += links[i].tx_bytes;
	}
	out->has_net = n >= 0;
}

int kist_container_stats(struct kist_container *c, struct kist_stats *out, struct kist_error *err)
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
	fill(out, &stats);
	fill_network(c, out);
	return 0;
}
