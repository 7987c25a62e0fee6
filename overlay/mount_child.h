/* Overlay mounts by mount(2), in the private mount namespace of a child. Internal to overlay/. */
#ifndef KIST_OVERLAY_MOUNT_CHILD_H
#define KIST_OVERLAY_MOUNT_CHILD_H

#include <stddef.h>

/* The directory of the store's short names, which nobody needs here. Detached mounts take their places in it as "0",
 * "1" ..., and "none" is an empty directory among them, where only the child sees that. */
#define KIST_OVERLAY_PLACES "l"

struct kist_overlay_child {
	int root; /* the store, or the directory below */
	int dir;  /* holds upper and work; -1: a read-only mount */
	const char
	        *options; /* of mount(2). Names are relative to dir, and what is below is absolute in root; with trees
	                   * they are relative to root, and absolute in dir; without dir they are relative to root */
	const int *trees;
	size_t n_trees;
};
/* A detached mount fd, or a negative errno. */
int kist_overlay_mount_child(const struct kist_overlay_child *child);

#endif
