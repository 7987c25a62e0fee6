/* --mount type=image: the layers of an image at a place in a container, as they are or with an overlay above. */
#include "core/container_root.h"
#include "core/image_mount.h"
#include "core/plan.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUBPATH "subpath="

static const char *subpath_of(const struct kist_mount_config *mount)
{
	for (char **option = mount->options; option && *option; option++)
		if (kist_has_prefix(*option, SUBPATH))
			return *option + strlen(SUBPATH);
	return NULL;
}

/* What the last run wrote is gone with it, as with the option O of volumes. */
static int open_upper(struct kist_container *c, const char *destination, struct kist_error *err)
{
	KIST_FREE char *name = kist_asprintf("overlay-%s", destination);
	int dir = kist_container_dir(c);

	for (char *ch = name; *ch; ch++)
		if (*ch == '/')
			*ch = '-';
	int r = kist_remove_tree(dir, name);
	if (r < 0 || mkdirat(dir, name, 0700) < 0)
		return kist_fail_errno(err, r < 0 ? -r : errno, "make the overlay's directory");
	int upper = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return upper < 0 ? kist_fail_errno(err, errno, "open the overlay's directory") : upper;
}

static int open_tree_at(struct kist_container *c, const struct kist_mount_config *mount, int upper,
                        struct kist_error *err)
{
	const char *subpath = subpath_of(mount);
	KIST_CLOSE int tree = kist_image_tree(c, mount->source, upper, err);

	return tree < 0 || !subpath ? kist_steal_fd(&tree) : kist_mount_subtree(tree, subpath, err);
}

int kist_plan_image(struct plan *p, const struct kist_mount_config *mount, char **source, char ***options,
                    struct kist_error *err)
{
	bool writable = kist_strv_has(mount->options, "rw");
	KIST_CLOSE int upper = -1;

	for (char **option = mount->options; option && *option; option++)
		if (!kist_has_prefix(*option, SUBPATH) && !kist_streq(*option, "rw"))
			kist_strv_add(options, *option);
	if (!writable && !kist_strv_has(*options, "ro"))
		kist_strv_add(options, "ro");
	kist_strv_add(options, "rbind");
	kist_strv_add(options, "rprivate");
	if (p->rootfs < 0)
		return 0;
	if (writable) {
		upper = open_upper(p->c, mount->destination, err);
		if (upper < 0)
			return upper;
	}
	int fd = open_tree_at(p->c, mount, upper, err);
	if (fd < 0)
		return fd;
	free(*source);
	*source = NULL;
	kist_container_hold(p->c, fd, source);
	return 0;
}

int kist_image_submount(struct kist_container *c, const struct kist_mount_config *mount, struct kist_error *err)
{
	return open_tree_at(c, mount, -1, err);
}
