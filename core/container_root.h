/* The root file system of a container, held by descriptors, with the container's mounts in it.
 *
 * The host's names are never asked: every path of a container is resolved in-root from fd. Of a container with
 * processes it is the root of their mount namespace; of any other one, a namespace of its own in which the layers, the
 * bind mounts and the volumes are mounted, and which goes when ns is closed and nobody is in it. */
#ifndef KIST_CONTAINER_ROOT_H
#define KIST_CONTAINER_ROOT_H

#include "core/internal.h"

struct kist_container_root {
	int fd;     /* the top directory, O_PATH */
	int ns;     /* its mount namespace: the mounts last as long as this is open */
	int userns; /* a user namespace with the container's ids, -1: those of the host */
	bool live;  /* of a container with processes */
};
#define KIST_CONTAINER_ROOT_INIT                                                                                       \
	{                                                                                                              \
		.fd = -1, .ns = -1, .userns = -1                                                                       \
	}

/* Needs the container's lock. Of a container without processes the lock must be kept until the root is closed: its
 * writable layer must not be mounted twice. */
int kist_container_root_open(struct kist_container *c, struct kist_container_root *root, struct kist_error *err);
void kist_container_root_close(struct kist_container_root *root);
/* The root file system alone as a detached mount, without what is mounted in it. Needs the lock. */
int kist_container_root_clone(struct kist_container *c, struct kist_error *err);
/* For a child: from here on with the ids and no more rights than the container's root. */
int kist_container_root_become(const struct kist_container_root *root, struct kist_error *err);
int kist_container_root_userns(struct kist_container *c, struct kist_error *err); /* an fd, or -1 without an error */

/* A detached copy of the part of a detached mount that begins at path, which is resolved inside of it. */
int kist_mount_subtree(int tree, const char *path, struct kist_error *err);

/* A view of a directory of the container's own with the ids that the container sees, on which the host's root may read
 * everything: the reverse of its user namespace, as an idmapped mount. Without such a namespace it is a copy of the fd.
 */
int kist_container_unmap(struct kist_container *c, int dir, struct kist_error *err);

/* --- host mounts (mount.c) ------------------------------------------------------------------------------------------
 */

/* A detached copy of what 'mount' has attached on the host; -ENOENT: nothing. */
int kist_container_mounted_clone(struct kist_container *c);
/* Takes it off the host, whoever uses it. For removal: the record need not be sound. */
void kist_container_mount_drop(struct kist *k, const char *id);

#endif
