/* Removing pods. */
#include "core/pod.h"

#include "cgroup/cgroup.h"
#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PARENT "/kist"
#define GONE_PREFIX    KIST_TMP_PREFIX "rm-"

/* Held from the beginning to the end, and waited for by another removal alone. */
static int removing_lock(struct kist_pod *pod, int *lock, struct kist_error *err)
{
	*lock = kist_lock(pod->dir, "removing", true, false);
	if (*lock < 0)
		return *lock == -ENOENT
		               ? kist_fail(err, KIST_ERR_REMOVED, ESTALE, "pod %.12s has been removed", pod->config.id)
		               : kist_fail_errno(err, -*lock, "lock pod %.12s", pod->config.id);
	/* Who is about to add a container is through afterwards, and nobody else begins. */
	int r = kist_pod_lock(pod, err);
	kist_pod_unlock(pod);
	return r;
}

static int check_states(const struct kist_pod *pod, struct kist_container *const *list, size_t n, bool force,
                        struct kist_error *err)
{
	KIST_STRV char **names = NULL;

	for (size_t i = 0; !force && i < n; i++)
		if (!list[i]->config.infra && kist_status_has_process(list[i]->state.status) &&
		    list[i]->state.status != KIST_CREATED)
			kist_strv_add(&names, list[i]->config.name);
	if (!names)
		return 0;
	KIST_FREE char *joined = kist_strv_join(names, ", ");
	kist_fail(err, KIST_ERR_STATE, EBUSY, "pod %s has containers that run: %s", pod->config.name, joined);
	return kist_remedy(err, "stop it first, or use --force");
}

/* What shares a namespace with one of them without being in the pod. */
static int check_strangers(const struct kist_pod *pod, struct kist_container *const *list, size_t n,
                           struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		KIST_STRV char **ids = kist_container_dependents(list[i]);
		for (size_t j = 0; ids && ids[j]; j++) {
			struct kist_container *other = NULL;
			if (kist_container_load(pod->k, ids[j], &other, NULL) < 0)
				continue;
			bool stranger = !kist_streq(other->config.pod, pod->config.id);
			if (stranger)
				kist_fail(err, KIST_ERR_IN_USE, EBUSY,
				          "container %s depends on %s of pod %s and must be removed first",
				          other->config.name, list[i]->config.name, pod->config.name);
			kist_container_free(other);
			if (stranger)
				return -EBUSY;
		}
	}
	return 0;
}

static int remove_containers(struct kist_container **list, size_t n, int64_t timeout, struct kist_error *err)
{
	const unsigned flags = KIST_REMOVE_FORCE | KIST_REMOVE_DEPEND | KIST_REMOVE_VOLUMES | KIST_REMOVE_WITH_POD;

	/* The infra container, which the others depend on, is the oldest. */
	for (size_t i = n; i-- > 0;) {
		struct kist_error problem = { 0 };
		int r = kist_container_remove(list[i], flags, timeout, &problem);
		if (r < 0 && problem.kind != KIST_ERR_REMOVED) {
			if (err)
				*err = problem;
			return r;
		}
	}
	return 0;
}

static int remove_cgroup(struct kist *k, const char *parent, const char *id, struct kist_error *err)
{
	struct kist_cgroup_root *root = NULL;

	if (!parent || kist_store_cgroup(k, &root, NULL) < 0)
		return 0;
	KIST_FREE char *path = kist_asprintf("%s/%s", kist_streq(parent, "/") ? "" : parent, id);
	int r = kist_cgroup_remove(root, path, err);
	/* The default parent is ours and goes with its last child. */
	if (r == 0 && kist_streq(parent, DEFAULT_PARENT))
		kist_cgroup_prune(root, path, "/");
	return r;
}

static int remove_record(struct kist *k, const char *id, const char *name, struct kist_error *err)
{
	KIST_FREE char *gone = kist_asprintf(GONE_PREFIX "%s", id);

	/* One rename makes it gone for everybody; what follows can be interrupted and is swept later. */
	if (renameat(k->pods, id, k->pods, gone) < 0 && errno != ENOENT)
		return kist_fail_errno(err, errno, "remove pod %.12s", id);
	kist_name_release(k, name, id);
	int r = kist_remove_tree(k->pods, gone);
	return r < 0 ? kist_fail_errno(err, -r, "remove files of pod %.12s", id) : 0;
}

static int remove_locked(struct kist_pod *pod, unsigned flags, int64_t timeout, struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r == 0)
		r = check_states(pod, list, n, flags & KIST_REMOVE_FORCE, err);
	if (r == 0)
		r = check_strangers(pod, list, n, err);
	if (r == 0 && flags & KIST_REMOVE_FORCE)
		r = kist_pod_stop(pod, timeout, err);
	if (r == 0)
		r = remove_containers(list, n, timeout, err);
	kist_container_list_free(list, n);
	if (r == 0)
		r = remove_cgroup(pod->k, pod->config.cgroup_parent, pod->config.id, err);
	if (r < 0)
		return kist_context(err, "remove pod %s", pod->config.name);
	r = kist_pod_lock(pod, err);
	if (r == 0)
		r = remove_record(pod->k, pod->config.id, pod->config.name, err);
	kist_pod_unlock(pod);
	if (r == 0)
		kist_pod_event(pod, "remove");
	return r;
}

int kist_pod_remove(struct kist_pod *pod, unsigned flags, int64_t timeout, struct kist_error *err)
{
	KIST_CLOSE int removing = -1;

	int r = removing_lock(pod, &removing, err);
	return r < 0 ? r : remove_locked(pod, flags, timeout, err);
}

/* Nobody knows its cgroup's parent: the settings' is the likely one. */
static int evict(struct kist *k, const char *id, struct kist_error *err)
{
	KIST_CLOSE int dir = openat(k->pods, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct kist_container **list = NULL;
	size_t n = 0;

	if (dir < 0)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "open pod %.12s", id);
	KIST_STRV char **ids = kist_pod_marks(dir);
	list = kist_grow(NULL, kist_strv_len(ids) + 1, sizeof(struct kist_container *));
	for (size_t i = 0; ids && ids[i]; i++)
		if (kist_container_load(k, ids[i], &list[n], NULL) == 0)
			n++;
	if (n)
		qsort(list, n, sizeof(struct kist_container *), kist_container_by_creation);
	int r = remove_containers(list, n, 0, err);
	kist_container_list_free(list, n);
	if (r == 0)
		r = remove_cgroup(k, k->settings.cgroup_parent, id, err);
	if (r == 0)
		r = remove_record(k, id, NULL, err);
	if (r == 0)
		kist_pods_sweep(k); /* its name, which the record no longer tells */
	return r;
}

int kist_pod_evict(struct kist *k, const char *name_or_id, char id[65], struct kist_error *err)
{
	struct kist_error problem = { 0 };
	struct kist_pod *pod = NULL;

	int r = kist_pod_open(k, name_or_id, &pod, &problem);
	if (r == 0) {
		memcpy(id, pod->config.id, 65);
		r = kist_pod_remove(pod, KIST_REMOVE_FORCE, 0, err);
		kist_pod_free(pod);
		return r;
	}
	if (problem.kind != KIST_ERR_CORRUPT || kist_pod_find(k, name_or_id, id, NULL) < 0) {
		if (err)
			*err = problem;
		return r;
	}
	return evict(k, id, err);
}
