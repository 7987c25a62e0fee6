/* What the files of pods share.
 *
 *   pods/ID/config       the record: a pod exists once it is there
 *   pods/ID/members/ID   marks its containers, so that nobody has to read all records for them; a mark without such a
 *                        container is of a crash and means nothing
 *   pods/ID/starting     locked, shared, by who starts containers: no exit policy ends what they are about to use
 *   pods/ID/policy       locked while the exit policy is applied
 *   pods/ID/removing     locked by a removal from beginning to end: nobody joins meanwhile, and nobody waits for it
 *
 * The lock of a pod is flock on its directory. It is taken before the lock of a container, and held while the set of
 * its containers changes, never while anything is waited for. Its cgroup is made when the first container starts, and
 * goes with the pod. */
#ifndef KIST_CORE_POD_H
#define KIST_CORE_POD_H

#include "core/internal.h"

struct kist_cgroup_root;
struct kist_spec;

struct kist_pod {
	struct kist *k;
	struct kist_pod_config config;
	char **extra;
	int dir;  /* pods/ID */
	int lock; /* held while >= 0 */
};

/* --- pod.c: records -------------------------------------------------------------------------------------------------
 */

int kist_pods_open(struct kist *k, bool make, struct kist_error *err); /* k->pods; -ENOENT without make is no error */
int kist_pod_load(struct kist *k, const char *id, struct kist_pod **out, struct kist_error *err);
int kist_pod_find(struct kist *k, const char *text, char id[65], struct kist_error *err);
/* Locks it and reads it anew: KIST_ERR_REMOVED. */
int kist_pod_lock(struct kist_pod *pod, struct kist_error *err);
void kist_pod_unlock(struct kist_pod *pod);
int kist_pod_dir_lock(struct kist *k, int dir, const char *id, bool nonblock); /* 0, -EWOULDBLOCK, -ESTALE */
bool kist_pod_exists(struct kist *k, const char *id);                          /* its directory does */
bool kist_pod_has_record(struct kist *k, const char *id);
bool kist_pod_name_is_stale(struct kist *k, const char *name, const char *id);
char **kist_pod_marks(int dir); /* ids; the caller frees */
/* Deletes half-made and half-removed pods whose maker is gone. */
void kist_pods_sweep(struct kist *k);
void kist_pod_event(const struct kist_pod *pod, const char *status);
/* The path of its cgroup. The caller frees. */
char *kist_pod_cgroup_path(const struct kist_pod *pod);

/* --- pod_create.c ---------------------------------------------------------------------------------------------------
 */

int kist_pod_create_member(struct kist *k, const struct kist_container_config *config, struct kist_container **out,
                           struct kist_error *err);
int kist_pod_mark(struct kist_container *c, struct kist_error *err);
void kist_pod_unmark(struct kist_container *c); /* of a container in no pod: nothing */
bool kist_pod_is_namespace(const char *name);
/* Of a member that is to be made again in another pod like its own: what it has from its pod it gets from that one.
 * infra is the old one's, or NULL. */
void kist_pod_member_reset(const struct kist_pod *old, const struct kist_container *infra, const struct kist_pod *new,
                           struct kist_container_config *config);

/* --- pod_life.c -----------------------------------------------------------------------------------------------------
 */

/* Before a container's start: the infra container that it shares namespaces of, if that does not run. *starting: for
 * kist_pod_started, after the start. */
/* Whether c could be started or restarted: not when its pod's infra container has ended and others go on without. */
int kist_pod_infra_check(struct kist_container *c, struct kist_error *err);
int kist_pod_infra_start(struct kist_container *c, int *starting, struct kist_error *err);
void kist_pod_started(struct kist_container *c, int *starting);
/* After a container has ended for good and is cleaned up, without its lock: exit policy stop ends the infra container
 * when nothing else of the pod runs. */
void kist_pod_after_exit(struct kist_container *c);

/* --- pod_infra.c: in the monitor ------------------------------------------------------------------------------------
 */

/* The root of an infra container: a small read-only file system with the directories that mounts need. An fd. */
int kist_pod_infra_rootfs(const struct kist_container *c, struct kist_error *err);
/* The pod's cgroup with its limits, made if it is not there. */
int kist_pod_cgroup_make(struct kist_container *c, struct kist_cgroup_root *root, struct kist_error *err);

#endif
