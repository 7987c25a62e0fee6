/* What a container takes on disk. */
#include "core/internal.h"

#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>

/* The writable layer is there since the first start. */
static int size_upper(struct kist_container *c, uint64_t *bytes, struct kist_error *err)
{
	KIST_CLOSE int upper = openat(kist_container_dir(c), "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	*bytes = 0;
	if (upper < 0)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "open writable layer");
	return kist_overlay_du(upper, bytes, err);
}

int kist_container_size(struct kist_container *c, uint64_t *rw, uint64_t *rootfs, struct kist_error *err)
{
	uint64_t upper = 0, below = 0;
	struct kist_overlay *store = NULL;

	int r = kist_container_whole(c, err);
	if (r < 0)
		return r;
	/* A directory of the user's is not ours to count. */
	r = c->config.rootfs && !c->config.rootfs_overlay ? 0 : size_upper(c, &upper, err);
	if (r == 0 && c->config.layers)
		r = kist_store_overlay(c->k, &store, err);
	for (size_t i = 0; r == 0 && c->config.layers && c->config.layers[i]; i++) {
		uint64_t bytes = 0;
		r = kist_overlay_size(store, c->config.layers[i], &bytes, err);
		below += bytes;
	}
	if (r < 0)
		return kist_context(err, "size of container %s", c->config.name);
	*rw = upper;
	*rootfs = below;
	return 0;
}
