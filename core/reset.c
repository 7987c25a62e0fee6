/* 'system reset': the store as before its first use. */
#include "core/network.h"
#include "core/pod.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_gone(const struct kist_error *problem)
{
	return problem->kind == KIST_ERR_NOT_FOUND || problem->kind == KIST_ERR_REMOVED;
}

/* What another call removed meanwhile, or what went with the one before, is fine. */
static int outcome(int r, struct kist_error *problem, struct kist_error *err)
{
	if (r >= 0 || is_gone(problem))
		return 0;
	if (err)
		*err = *problem;
	return r;
}

static int remove_pods(struct kist *k, struct kist_error *err)
{
	struct kist_pod **list = NULL;
	KIST_STRV char **broken = NULL;
	size_t n = 0;
	char id[65];
	int r = kist_pod_list(k, &list, &n, &broken, err);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct kist_error problem = { 0 };
		r = outcome(kist_pod_remove(list[i], KIST_REMOVE_FORCE, 0, &problem), &problem, err);
	}
	for (char **name = broken; r >= 0 && name && *name; name++) {
		struct kist_error problem = { 0 };
		r = outcome(kist_pod_evict(k, *name, id, &problem), &problem, err);
	}
	kist_pod_list_free(list, n);
	return r;
}

static int remove_containers(struct kist *k, struct kist_error *err)
{
	const unsigned flags = KIST_REMOVE_FORCE | KIST_REMOVE_DEPEND | KIST_REMOVE_VOLUMES;
	struct kist_storage_container *orphans = NULL;
	struct kist_container **list = NULL;
	KIST_STRV char **broken = NULL;
	size_t n = 0, n_orphans = 0;
	char id[65];
	int r = kist_container_list(k, &list, &n, &broken, err);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct kist_error problem = { 0 };
		r = outcome(kist_container_remove(list[i], flags, 0, &problem), &problem, err);
	}
	for (char **name = broken; r >= 0 && name && *name; name++) {
		struct kist_error problem = { 0 };
		r = outcome(kist_container_evict(k, *name, id, &problem), &problem, err);
	}
	if (r >= 0)
		r = kist_storage_container_list(k, &orphans, &n_orphans, err);
	for (size_t i = 0; r >= 0 && i < n_orphans; i++) {
		struct kist_error problem = { 0 };
		r = outcome(kist_storage_container_remove(k, orphans[i].id, true, &problem), &problem, err);
	}
	kist_storage_container_list_free(orphans, n_orphans);
	kist_container_list_free(list, n);
	return r;
}

static int remove_volumes(struct kist *k, struct kist_error *err)
{
	struct kist_volume **list = NULL;
	KIST_STRV char **broken = NULL;
	size_t n = 0;
	int r = kist_volume_list(k, &list, &n, &broken, err);

	for (size_t i = 0; i < n; i++) {
		kist_strv_add(&broken, list[i]->name);
		kist_volume_free(list[i]);
	}
	free(list);
	for (char **name = broken; r >= 0 && name && *name; name++) {
		struct kist_error problem = { 0 };
		r = outcome(kist_volume_remove(k, *name, KIST_REMOVE_FORCE, 0, &problem), &problem, err);
	}
	return r;
}

static int remove_networks(struct kist *k, struct kist_error *err)
{
	KIST_STRV char **names = NULL;
	int r = kist_network_list(k, &names, err);

	for (char **name = names; r >= 0 && name && *name; name++) {
		struct kist_error problem = { 0 };
		r = outcome(kist_network_remove(k, *name, KIST_REMOVE_FORCE | KIST_REMOVE_DEFAULT, 0, &problem),
		            &problem, err);
	}
	if (r >= 0)
		kist_network_tidy(k);
	return r;
}

/* Their mounts on the host too. Damaged ones are files alone, and go with those. */
static int remove_images(struct kist *k, struct kist_error *err)
{
	struct kist_image **list = NULL;
	size_t n = 0;
	int r = kist_image_list(k, &list, &n, err);

	for (size_t i = 0; i < n; i++) {
		struct kist_error problem = { 0 };
		if (r >= 0 && !list[i]->read_only)
			r = outcome(kist_image_remove(k, list[i]->id, KIST_IMAGE_FORCE | KIST_IMAGE_ALL_NAMES, NULL,
			                              &problem),
			            &problem, err);
		kist_image_free(list[i]);
	}
	free(list);
	return r;
}

/* Seccomp programs, each named by a digest. */
static void remove_programs(struct kist *k)
{
	int fd = openat(k->runroot, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		kist_close_fd(&fd);
	for (const struct dirent *entry; dir && (entry = readdir(dir));)
		if (kist_has_prefix(entry->d_name, "seccomp-") && kist_has_suffix(entry->d_name, ".bpf"))
			unlinkat(k->runroot, entry->d_name, 0);
	if (dir)
		closedir(dir);
}

/* By name: what else is in these directories is somebody's own. The lock of the boot stays until all is gone. */
static int remove_files(struct kist *k, struct kist_error *err)
{
	static const char *const stored[] = { "containers", "names", "exits",    "images",  "refs",      "overlay",
		                              "volumes",    "pods",  "networks", "secrets", "id-ranges", "store" };
	static const char *const running[] = { "containers", "exits",  "images",   "volumes", "net",         "store",
		                               "pods",       "events", "events.1", "boot",    KIST_MONITORS, "list" };

	for (size_t i = 0; i < KIST_COUNT(stored); i++) {
		int r = kist_remove_tree(k->root, stored[i]);
		if (r < 0 && r != -ENOENT)
			return kist_fail_errno(err, -r, "remove %s/%s", k->settings.root, stored[i]);
	}
	remove_programs(k);
	for (size_t i = 0; i < KIST_COUNT(running); i++) {
		int r = kist_remove_tree(k->runroot, running[i]);
		if (r < 0 && r != -ENOENT)
			return kist_fail_errno(err, -r, "remove %s/%s", k->settings.runroot, running[i]);
	}
	return 0;
}

static void add_new(char ***names, const char *name)
{
	if (name && !kist_strv_has(*names, name))
		kist_strv_add(names, name);
}

/* The groups that containers and pods asked for as parents of theirs. */
static char **cgroup_parents(struct kist *k)
{
	struct kist_container **containers = NULL;
	struct kist_pod **pods = NULL;
	size_t n = 0, n_pods = 0;
	char **parents = NULL;

	kist_container_list(k, &containers, &n, NULL, NULL);
	kist_pod_list(k, &pods, &n_pods, NULL, NULL);
	for (size_t i = 0; i < n; i++)
		add_new(&parents, containers[i]->config.cgroup_parent);
	for (size_t i = 0; i < n_pods; i++)
		add_new(&parents, pods[i]->config.cgroup_parent);
	kist_container_list_free(containers, n);
	kist_pod_list_free(pods, n_pods);
	return parents;
}

int kist_store_reset(struct kist *k, struct kist_error *err)
{
	KIST_STRV char **parents = cgroup_parents(k);
	int (*const steps[])(struct kist * k, struct kist_error * err) = { remove_pods,     remove_containers,
		                                                           remove_networks, remove_volumes,
		                                                           remove_images,   remove_files };

	for (size_t i = 0; i < KIST_COUNT(steps); i++) {
		int r = steps[i](k, err);
		if (r < 0)
			return kist_context(err, "reset");
	}
	kist_store_cgroup_tidy(k, parents);
	return 0;
}
