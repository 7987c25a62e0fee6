/* What the files of volumes and secrets share; nobody else needs it but the life cycle and the plan.
 *
 *   volumes/NAME/config    key=value with a checksum line
 *   volumes/NAME/data/     the content
 *   volumes/NAME/users/ID  one empty file for each container that uses it
 *   volumes/NAME/copying   while content of an image is being copied up: a crash then is told from a user's content
 *   volumes/.tmp-XXXX      being made (its maker holds a flock on it), or being removed
 *
 * A volume appears and vanishes by one rename. Its lock is a flock on its directory; a container's lock is taken before
 * it, and no process waits for a volume's lock while it holds another's. The containers' records are the truth about
 * who uses a volume: a container is in a record's directory before its mark is made, and a mark whose container has no
 * directory counts for nothing. */
#ifndef KIST_CORE_VOLUME_H
#define KIST_CORE_VOLUME_H

#include "core/internal.h"

struct plan;

/* --- volume.c ------------------------------------------------------------------------------------------------------
 */

extern const struct kist_table kist_volume_table;

/* Takes the lock; returns the fd of volumes/NAME, which holds it. -ENOENT with an error that names the volume. */
int kist_volume_lock(struct kist *k, const char *name, struct kist_error *err);
int kist_volume_load(int dir, const char *name, struct kist_volume **out, struct kist_error *err);
int kist_volume_save(int dir, const struct kist_volume *v, bool sync, struct kist_error *err);
char *kist_volume_path(struct kist *k, const char *name, const char *file);   /* volumes/NAME/file on the host */
const char *kist_volume_option(const struct kist_volume *v, const char *key); /* NULL: not given */
/* As kist_volume_create, marked as used by the container from its first moment: a crash must not leave an anonymous
 * volume that nothing leads to. */
int kist_volume_create_for(struct kist *k, const struct kist_volume *config, const char *user, bool sync,
                           struct kist_volume **out, struct kist_error *err);
/* Marks the volume of that open directory as used. */
int kist_volume_mark(int dir, const char *user, bool sync, struct kist_error *err);
/* Takes a mount of its own off the host before it is removed. dir: locked. volume_data.c. */
int kist_volume_detach(struct kist *k, const char *name, int dir, struct kist_error *err);
/* Those of o=size=BYTES,inodes=NUMBER of a volume that is a directory of the store; 0: none. */
void kist_volume_limits(const struct kist_volume *v, uint64_t *bytes, uint64_t *inodes);
/* It has a file system or a directory of its own, that its options name. */
bool kist_volume_is_mounted(const struct kist_volume *v);

/* --- volume_use.c: which containers use which volumes
 * -------------------------------------------------------------- */

/* Of an open volume directory: the containers that are there and have a mark. Stale marks are removed if sweep. */
char **kist_volume_marks(struct kist *k, int dir, bool sweep);
/* For create, with the container's lock and its directory made: makes the volumes that are missing, and the marks. */
int kist_volumes_use(struct kist_container *c, struct kist_error *err);
/* A failed create: the marks, and the volumes that it made. */
void kist_volumes_unuse(struct kist_container *c);
/* A removed container, by its record: its marks, and with anonymous those of its anonymous volumes that nobody uses. */
void kist_volumes_release(struct kist *k, const struct kist_container_config *config, bool anonymous);
/* A container whose record is lost: the same by its id alone. */
void kist_volumes_forget(struct kist *k, const char *id, bool anonymous);

/* --- volume_mount.c ------------------------------------------------------------------------------------------------
 */

/* The mounts of the plan for one volume; with a root file system, its content is prepared. */
int kist_volume_plan(struct plan *p, const struct kist_volume_mount_config *mount, struct kist_error *err);
/* A volume in memory is one for all that run with it: who starts copies the mount of one that runs. Two that start at
 * once must not each make their own, so the lock of a new one is held from the plan until the state says that the
 * container runs; a hook that takes long makes those wait that want the same memory, and nobody else. */
struct kist_volume_hold {
	const char *name; /* of the configuration */
	int dir;          /* volumes/NAME, locked */
	int tree;         /* the mount that this container has already; -1: none */
};
/* Takes the locks of the container's volumes in memory, in the order of their names: before its mounts are planned. */
int kist_volumes_hold(struct kist_container *c, struct kist_error *err);
void kist_volumes_drop_holds(struct kist_container *c);
/* NULL: it is not held, and locked as others are. */
struct kist_volume_hold *kist_volume_held(struct kist_container *c, const char *name);
/* tree: the new mount; -1: somebody runs with the volume already, and who comes next finds that one too. */
void kist_volume_hold_used(struct kist_volume_hold *hold, int tree);
/* As kist_volume_content, of a volume that this container has at another place already. */
int kist_volume_hold_again(const struct kist_volume_hold *hold, int *tree, struct kist_error *err);
/* Its file system has no other place than the mount: type tmpfs or ramfs. */
bool kist_volume_is_memory(const struct kist_volume *v);
/* The options of its mount, defaults included; the caller frees. */
char **kist_volume_mount_options(const struct kist_volume_mount_config *mount);
/* What is checked at create. */
int kist_volume_check(const struct kist_volume_mount_config *mount, struct kist_error *err);
/* The options type, device and o can be used: for create. */
int kist_volume_check_options(const struct kist_volume *v, struct kist_error *err);
/* The top of its content: its directory, or what is mounted as its options say (on the host, in a container that runs
 * with it, or anew). dir: of the volume, locked. *tree: the detached mount that it is in, -1 when it is below
 * volumes/NAME/data. *fresh: a new tmpfs. Returns an fd that can be read. volume_data.c. */
int kist_volume_content(struct kist *k, int dir, const struct kist_volume *v, int *tree, bool *fresh,
                        struct kist_error *err);
/* Host ids of the ids in the container's user namespace. */
uid_t kist_plan_host_uid(const struct kist_container_config *config, uint32_t uid);
gid_t kist_plan_host_gid(const struct kist_container_config *config, uint32_t gid);
/* Option U of a bind mount: gives the tree at an absolute host path to the container's user. */
int kist_plan_own_source(struct plan *p, const char *path, struct kist_error *err);
/* Option O: an overlay over source, whose changes go with the run, or stay in the directory of the option upperdir=.
 * *source becomes the mount. */
int kist_plan_overlay_source(struct plan *p, const char *destination, char *const *options, char **source,
                             struct kist_error *err);
/* upperdir= and workdir= belong to each other, and to O. */
int kist_overlay_places_check(char *const *options, struct kist_error *err);
bool kist_is_overlay_place(const char *option);

/* --- secret.c, secret_mount.c --------------------------------------------------------------------------------------
 */

/* Files of the container's secrets in its run directory, and their mounts; for plan_files. */
int kist_secrets_plan(struct plan *p, struct kist_error *err);
/* The variables of its secrets, put into env. */
int kist_secrets_env(struct kist_container *c, char ***env, struct kist_error *err);
/* Takes them out again, for what is written down. */
void kist_secrets_strip(const struct kist_container_config *config, char ***env);
int kist_secret_check(const struct kist_secret_config *secret, struct kist_error *err);

#endif
