/* What a pod needs in a launch: the root of its infra container, and its cgroup. */
#include "core/pod.h"

#include "cgroup/cgroup.h"
#include "ns/ns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t mapped_root(const struct kist_spec_id_map *maps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (maps[i].container_id == 0)
			return maps[i].host_id;
	return 0;
}

int kist_pod_infra_rootfs(const struct kist_container *c, struct kist_error *err)
{
	const struct kist_container_config *config = &c->config;

	return kist_ns_pause_root(mapped_root(config->uid_map, config->n_uid_map),
	                          mapped_root(config->gid_map, config->n_gid_map), err);
}

int kist_pod_cgroup_make(struct kist_container *c, struct kist_cgroup_root *root, struct kist_error *err)
{
	struct kist_pod *pod = NULL;
	struct kist_error problem = { 0 };

	if (!c->config.pod)
		return 0;
	int r = kist_pod_load(c->k, c->config.pod, &pod, err);
	if (r < 0)
		return r;
	KIST_FREE char *path = kist_pod_cgroup_path(pod);
	KIST_CLOSE int there = kist_cgroup_open(root, path, NULL);
	/* Another parent was asked for, or it is there: it goes with the pod, not before. */
	if (there >= 0 || !kist_streq(path, c->config.cgroup_parent)) {
		kist_pod_free(pod);
		return 0;
	}
	KIST_CLOSE int made = kist_cgroup_create(root, path, pod->config.resources, KIST_CGROUP_ALL, &problem);
	if (made < 0 && problem.kind != KIST_ERR_EXISTS) {
		r = made;
		kist_context(&problem, "cgroup of pod %s", pod->config.name);
		if (err)
			*err = problem;
	}
	kist_pod_free(pod);
	return r;
}
