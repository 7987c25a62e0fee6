/* Images as mounts: on the host, as often as it was asked for, and in containers.
 *
 * What is on the host is runroot/images/ID/merged; 'count' beside it says how often it was asked for, and is written
 * before the mount is made. The run directory goes with a boot, and the mounts with it. */
#include "core/image.h"
#include "core/image_mount.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/launch.h"
#include "ns/ns.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MERGED "merged"
#define COUNT  "count"

/* --- the mount itself -----------------------------------------------------------------------------------------------
 */

static int image_tree(struct kist *k, const char *id, const struct kist_overlay_userns *userns, int dir,
                      struct kist_error *err)
{
	struct kist_overlay *store = NULL;
	struct kist_image *image = NULL;

	int r = kist_images_open(k, false, NULL);
	r = r < 0 ? kist_fail(err, KIST_ERR_NOT_FOUND, 0, "no such image: %.12s", id)
	          : kist_image_load(k, id, NULL, &image, err);
	if (r == 0)
		r = kist_store_overlay(k, &store, err);
	if (r == 0 && !image->layers)
		r = kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "it has no layers");
	if (r == 0) {
		const struct kist_overlay_mount mount = {
			.layers = image->layers, .lower_fd = -1, .dir = dir, .userns = userns, .volatile_ = true
		};
		r = kist_overlay_mount(store, &mount, err);
	}
	kist_image_free(image);
	return r;
}

int kist_image_tree(struct kist_container *c, const char *id, int dir, struct kist_error *err)
{
	struct kist_overlay_userns userns = { .fd = -1 };

	int mapped = kist_launch_userns(c, &userns, err);
	if (mapped < 0)
		return mapped;
	int r = image_tree(c->k, id, mapped ? &userns : NULL, dir, err);
	kist_close_fd(&userns.fd);
	return r < 0 ? kist_context(err, "image %.12s", id) : r;
}

/* --- on the host ----------------------------------------------------------------------------------------------------
 */

static char *mount_path(const struct kist *k, const char *id)
{
	return kist_asprintf("%s/images/%s/" MERGED, k->settings.runroot, id);
}

/* The image's run directory. -ENOENT without an error unless it is to be made. */
static int open_run(struct kist *k, const char *id, bool make, struct kist_error *err)
{
	if (make && mkdirat(k->runroot, "images", 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "make %s/images", k->settings.runroot);
	KIST_CLOSE int images = openat(k->runroot, "images", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (images < 0 && errno == ENOENT && !make)
		return -ENOENT;
	if (images < 0)
		return kist_fail_errno(err, errno, "open %s/images", k->settings.runroot);
	if (make && mkdirat(images, id, 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "make %s/images/%.12s", k->settings.runroot, id);
	KIST_CLOSE int dir = openat(images, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT && !make)
		return -ENOENT;
	if (dir < 0)
		return kist_fail_errno(err, errno, "open %s/images/%.12s", k->settings.runroot, id);
	return kist_steal_fd(&dir);
}

static bool is_attached(int run)
{
	KIST_CLOSE int fd = openat(run, MERGED, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statx st;

	return fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* A mount that is gone, with its namespace, counts no more. */
static int64_t read_count(int run)
{
	KIST_STR struct kist_str text = { 0 };
	int64_t count = 0;

	if (!is_attached(run) || kist_read_file(run, COUNT, 24, &text) < 0)
		return 0;
	if (text.len)
		text.data[strcspn(text.data, "\n")] = '\0';
	return kist_parse_i64(kist_str_get(&text), &count) < 0 || count < 1 ? 1 : count;
}

static int write_count(int run, int64_t count, struct kist_error *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld\n", (long long)count);
	int r = kist_replace_file(run, COUNT, text, strlen(text), 0600, 0);
	return r < 0 ? kist_fail_errno(err, -r, "count its mounts") : 0;
}

static int attach(struct kist *k, const char *id, int run, struct kist_error *err)
{
	KIST_CLOSE int tree = image_tree(k, id, NULL, -1, err);
	if (tree < 0)
		return tree;
	if (mkdirat(run, MERGED, 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "make the mount point");
	KIST_CLOSE int place = openat(run, MERGED, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place < 0)
		return kist_fail_errno(err, errno, "open the mount point");
	return kist_ns_mount_attach_at(tree, place, err);
}

static void forget(struct kist *k, const char *id)
{
	KIST_CLOSE int images = openat(k->runroot, "images", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (images >= 0)
		kist_remove_tree(images, id);
}

static int mount_locked(struct kist *k, const char *id, struct kist_error *err)
{
	KIST_CLOSE int run = open_run(k, id, true, err);
	if (run < 0)
		return run;
	int64_t count = read_count(run);
	int r = write_count(run, count + 1, err);
	if (r == 0 && count == 0)
		r = attach(k, id, run, err);
	if (r < 0 && count == 0)
		forget(k, id);
	return r;
}

int kist_image_mount(struct kist *k, const char *image, char id[65], char **path, struct kist_error *err)
{
	int r = kist_image_find(k, image, id, NULL, err);
	/* No image goes while it is being mounted. */
	KIST_CLOSE int lock = r == 0 ? kist_images_lock(k, err) : -1;
	if (r == 0)
		r = lock < 0 ? lock : mount_locked(k, id, err);
	if (r < 0)
		return kist_context(err, "mount image %s", image);
	*path = mount_path(k, id);
	return 0;
}

static int unmount_locked(struct kist *k, const char *id, bool force, struct kist_error *err)
{
	KIST_FREE char *path = mount_path(k, id);
	KIST_CLOSE int run = open_run(k, id, false, err);
	if (run < 0)
		return run == -ENOENT ? 0 : run;
	int64_t count = read_count(run);
	if (count > 1 && !force) {
		int r = write_count(run, count - 1, err);
		return r < 0 ? r : 1;
	}
	if (count && umount2(path, UMOUNT_NOFOLLOW | (force ? MNT_DETACH : 0)) < 0) {
		int errnum = errno;
		kist_fail_errno(err, errnum, "unmount %s", path);
		return errnum == EBUSY ? kist_remedy(err, "a process uses it; --force takes it away all the same")
		                       : -errnum;
	}
	forget(k, id);
	return count > 0;
}

int kist_image_unmount(struct kist *k, const char *image, bool force, char id[65], struct kist_error *err)
{
	int r = kist_image_find(k, image, id, NULL, err);
	KIST_CLOSE int lock = r == 0 ? kist_images_lock(k, err) : -1;
	if (r == 0)
		r = lock < 0 ? lock : unmount_locked(k, id, force, err);
	return r < 0 ? kist_context(err, "unmount image %s", image) : r;
}

int kist_image_unmount_id(struct kist *k, const char *id, struct kist_error *err)
{
	return unmount_locked(k, id, true, err);
}

char *kist_image_mountpoint(struct kist *k, const char *id)
{
	KIST_CLOSE int run = kist_image_is_id(id) ? open_run(k, id, false, NULL) : -1;

	return run >= 0 && is_attached(run) ? mount_path(k, id) : NULL;
}
