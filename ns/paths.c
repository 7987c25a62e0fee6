#include "ns/launch.h"
#include "ns/mount_fd.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The container's own /dev/null, checked: a bind of anything else would open a host file to writes where a mask was
 * meant (CVE-2025-31133). Its own, because a bind of the host's node would let chmod(2) through to the host. */
static int open_null(const struct kist_ns_plan *plan, struct kist_error *err)
{
	struct stat st;
	KIST_CLOSE int fd = plan->dev >= 0 ? openat(plan->dev, "null", O_PATH | O_NOFOLLOW | O_CLOEXEC)
	                                   : kist_open_in_root_nofollow(plan->rootfs, "/dev/null", O_PATH, 0);

	if (fd < 0)
		return kist_fail(err, KIST_ERR_SYSTEM, ENOENT, "/dev/null of the container cannot be opened");
	if (fstat(fd, &st) < 0)
		return kist_fail_errno(err, errno, "/dev/null");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "/dev/null of the container is not the null device");
	return kist_steal_fd(&fd);
}

struct masks {
	int null; /* -1: not needed yet */
	int dir;  /* the empty read-only tmpfs that all masked directories share */
	bool dir_attached;
};

static int mask_directory(struct masks *masks, int point, struct kist_error *err)
{
	char *parameters[] = { "size=0k", "mode=755", NULL };
	const uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	int r;

	if (masks->dir_attached) {
		KIST_CLOSE int copy = kist_ns_mount_clone(masks->dir, "", false);
		r = copy < 0 ? copy : kist_ns_mount_attach(copy, point);
	} else {
		masks->dir = kist_ns_mount_new("tmpfs", "tmpfs", parameters, attributes, err);
		if (masks->dir == -ENOSYS)
			return kist_ns_mount_old("tmpfs", "tmpfs", parameters, attributes, point, err);
		if (masks->dir < 0)
			return masks->dir;
		r = kist_ns_mount_attach(masks->dir, point);
		masks->dir_attached = r == 0;
	}
	return r < 0 ? kist_fail_errno(err, -r, "cover") : 0;
}

static int mask(const struct kist_ns_plan *plan, struct masks *masks, const char *path, struct kist_error *err)
{
	struct stat st;
	KIST_CLOSE int point = kist_open_in_root(plan->rootfs, path, O_PATH, 0);

	if (point == -ENOENT || point == -ENOTDIR)
		return 0;
	if (point < 0)
		return kist_fail_errno(err, -point, "open");
	if (fstat(point, &st) < 0)
		return kist_fail_errno(err, errno, "stat");
	if (S_ISDIR(st.st_mode))
		return mask_directory(masks, point, err);
	if (masks->null < 0) {
		masks->null = open_null(plan, err);
		if (masks->null < 0)
			return masks->null;
	}
	KIST_CLOSE int copy = kist_ns_mount_clone(masks->null, "", false);
	int r = copy < 0 ? copy : kist_ns_mount_attach(copy, point);
	return r < 0 ? kist_fail_errno(err, -r, "cover") : 0;
}

static int make_readonly(const struct kist_ns_plan *plan, const char *path, struct kist_error *err)
{
	KIST_CLOSE int point = kist_open_in_root(plan->rootfs, path, O_PATH, 0);

	if (point == -ENOENT || point == -ENOTDIR)
		return 0;
	if (point < 0)
		return kist_fail_errno(err, -point, "open");
	KIST_CLOSE int copy = kist_ns_mount_clone(point, "", true);
	if (copy < 0)
		return kist_fail_errno(err, -copy, "clone");
	int r = kist_ns_mount_setattr(copy, true, MOUNT_ATTR_RDONLY, 0, 0);
	bool old = r == -ENOSYS;
	if (r == 0 || old)
		r = kist_ns_mount_attach(copy, point);
	if (r == 0 && old)
		r = kist_ns_mount_remount(copy, false, MOUNT_ATTR_RDONLY, 0, 0);
	return r < 0 ? kist_fail_errno(err, -r, "read-only") : 0;
}

int kist_ns_paths_apply(const struct kist_ns_plan *plan, struct kist_error *err)
{
	char *const *path;
	int r = 0;

	for (path = plan->spec->linux_.readonly_paths; path && *path; path++) {
		r = make_readonly(plan, *path, err);
		if (r < 0)
			return kist_context(err, "read-only path %s", *path);
	}
	struct masks masks = { .null = -1, .dir = -1 };
	for (path = plan->spec->linux_.masked_paths; path && *path && r == 0; path++) {
		r = mask(plan, &masks, *path, err);
		if (r < 0)
			r = kist_context(err, "masked path %s", *path);
	}
	kist_close_fd(&masks.null);
	kist_close_fd(&masks.dir);
	if (r == 0 && plan->spec->root_readonly) {
		r = kist_ns_mount_setattr(plan->rootfs, false, MOUNT_ATTR_RDONLY, 0, 0);
		if (r == -ENOSYS)
			r = kist_ns_mount_remount(plan->rootfs, false, MOUNT_ATTR_RDONLY, 0, 0);
		if (r < 0)
			return kist_fail_errno(err, -r, "read-only root");
	}
	return r;
}
