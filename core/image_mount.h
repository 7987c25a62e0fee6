/* Images as mounts, for the engine's own use. (image_mount.c) */
#ifndef KIST_IMAGE_MOUNT_H
#define KIST_IMAGE_MOUNT_H

#include "core/internal.h"

/* A detached mount of an image's layers for a container, with its ids: read-only, or with dir, which will hold upper/
 * and work/, writable. */
int kist_image_tree(struct kist_container *c, const char *id, int dir, struct kist_error *err);
/* Takes an image off the host, whoever uses it. Needs the lock of the images. */
int kist_image_unmount_id(struct kist *k, const char *id, struct kist_error *err);
/* --mount type=image in the plan (plan_image.c): the source of a bind, and its options. */
struct plan;
int kist_plan_image(struct plan *p, const struct kist_mount_config *mount, char **source, char ***options,
                    struct kist_error *err);
/* The same for a container without processes: a detached mount, read-only. */
int kist_image_submount(struct kist_container *c, const struct kist_mount_config *mount, struct kist_error *err);

#endif
