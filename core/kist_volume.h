/* Volumes and secrets. Part of kist.h, which has the conventions. */
#ifndef KIST_VOLUMES_H
#define KIST_VOLUMES_H

#include "core/base/error.h"
#include "core/base/spec.h"

struct json_object;
struct kist;
struct kist_str;

/* --- volumes --------------------------------------------------------------------------------------------------------
 */

struct kist_volume {
	char *name; /* [a-zA-Z0-9][a-zA-Z0-9_.-]*; 64 hexadecimal digits when anonymous */
	int64_t created;
	char *driver;             /* local */
	char **labels, **options; /* "key=value"; options: type, device, o, copy, nocopy */
	bool anonymous;           /* made for a container, and removed with it on request */
	bool copied;              /* it got its content from an image, or had some: never again */
	bool owned;               /* its top directory has got its owner and mode */
	struct kist_opt uid, gid; /* owner of the top directory as asked for */
	uint32_t project;         /* of the file system's quota, which holds the limits of o=size=,inodes=; 0: none */
};
void kist_volume_free(struct kist_volume *v);
/* Makes one. NULL name: 64 random digits. out may be NULL. Wholly there or not at all after a power cut.
 * KIST_ERR_EXISTS. */
int kist_volume_create(struct kist *k, const struct kist_volume *config, struct kist_volume **out,
                       struct kist_error *err);
/* By name or a unique beginning of one. */
int kist_volume_open(struct kist *k, const char *name, struct kist_volume **out, struct kist_error *err);
/* By name. Broken ones are left out, named in *broken (may be NULL). The caller frees each and the array. */
int kist_volume_list(struct kist *k, struct kist_volume ***out, size_t *n, char ***broken, struct kist_error *err);
char *kist_volume_mountpoint(struct kist *k,
                             const char *name);             /* the path of its content on the host; the caller frees */
char **kist_volume_users(struct kist *k, const char *name); /* ids of the containers that use it; the caller frees */
int kist_volume_inspect(struct kist *k, const struct kist_volume *v, struct json_object **out, struct kist_error *err);
/* KIST_ERR_IN_USE names the users; with KIST_REMOVE_FORCE they are removed first (timeout as for
 * kist_container_remove). */
int kist_volume_remove(struct kist *k, const char *name, unsigned flags, int64_t timeout, struct kist_error *err);
/* Its content as a tar stream; and a tar stream, plain or compressed, unpacked into it over what it has. */
int kist_volume_export(struct kist *k, const struct kist_volume *v, int to, struct kist_error *err);
int kist_volume_import(struct kist *k, const struct kist_volume *v, int from, struct kist_error *err);
/* A volume with a file system of its own is mounted on the host as often as it was asked for; for others there is
 * nothing to do. *path: where the content is. */
int kist_volume_mount(struct kist *k, const struct kist_volume *v, char **path, struct kist_error *err);
int kist_volume_unmount(struct kist *k, const struct kist_volume *v, bool force, struct kist_error *err);
/* Sweeps what crashes left: half-made volumes, marks of containers that are gone. */
int kist_volume_reload(struct kist *k, struct kist_error *err);

/* --- secrets --------------------------------------------------------------------------------------------------------
 */

struct kist_secret {
	char *id; /* 25 hexadecimal digits */
	char *name;
	int64_t created, updated;
	char *driver;                    /* file */
	char **labels, **driver_options; /* "key=value" */
};
void kist_secret_free(struct kist_secret *s);
#define KIST_SECRET_MAX 512000 /* bytes of a value */
/* replace: an older one of that name goes in the same step. id: room for 26. */
int kist_secret_create(struct kist *k, const struct kist_secret *config, const void *data, size_t len, bool replace,
                       char id[26], struct kist_error *err);
int kist_secret_open(struct kist *k, const char *name_or_id, struct kist_secret **out, struct kist_error *err);
int kist_secret_list(struct kist *k, struct kist_secret ***out, size_t *n, char ***broken, struct kist_error *err);
int kist_secret_read(struct kist *k, const struct kist_secret *s, struct kist_str *value, struct kist_error *err);
/* podman's document; with_value adds SecretData. */
int kist_secret_inspect(struct kist *k, const struct kist_secret *s, bool with_value, struct json_object **out,
                        struct kist_error *err);
int kist_secret_remove(struct kist *k, const char *name_or_id, char id[26], struct kist_error *err);

#endif
