/* The ways to an overlay mount, for the mount itself and for the tests that try each. */
#ifndef KIST_OVERLAY_MOUNT_H
#define KIST_OVERLAY_MOUNT_H

struct kist_error;
struct kist_overlay;
struct kist_overlay_mount;

enum kist_overlay_way {
	KIST_OVERLAY_EACH,  /* fsconfig(2), "lowerdir+" for each layer: Linux 6.8 */
	KIST_OVERLAY_WHOLE, /* fsconfig(2), one "lowerdir" of at most 255 bytes: Linux 5.2 */
	KIST_OVERLAY_CHILD, /* mount(2) in a private namespace, one page of options */
};

/* As kist_overlay_mount, by this way only. -E2BIG: the names do not fit it. */
int kist_overlay_mount_by(struct kist_overlay *store, const struct kist_overlay_mount *mount, enum kist_overlay_way way,
                          struct kist_error *err);

#endif
