#include "ns/launch.h"
#include "ns/mount_fd.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* True when fd is the root of a mount that is attached nowhere: its path, as the kernel tells it, is then "/". */
static bool is_detached(int proc_fd, int fd)
{
	char name[32], path[8];
	struct statx here, root;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &here) < 0)
		return false;
	if (here.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT && !(here.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return false;
	snprintf(name, sizeof(name), "self/fd/%d", fd);
	ssize_t n = readlinkat(proc_fd, name, path, sizeof(path));
	if (n != 1 || path[0] != '/')
		return false;
	return statx(AT_FDCWD, "/", 0, STATX_INO | STATX_MNT_ID, &root) < 0 || root.stx_mnt_id != here.stx_mnt_id;
}

static unsigned long root_propagation(const struct kist_spec *spec, bool *recursive)
{
	struct kist_ns_propagation propagation = { MS_PRIVATE, true };

	if (spec->linux_.rootfs_propagation)
		kist_ns_propagation_parse(spec->linux_.rootfs_propagation, &propagation);
	*recursive = propagation.recursive;
	return propagation.type;
}

int kist_ns_rootfs_prepare(struct kist_ns_plan *plan, struct kist_error *err)
{
	bool recursive;

	if (is_detached(plan->proc_fd, plan->launch->rootfs_fd)) {
		plan->rootfs = plan->launch->rootfs_fd;
		return 0;
	}
	/* A directory: its mount belongs to this namespace, so the copy has to be made here. */
	KIST_CLOSE int copy = kist_ns_mount_clone(plan->launch->rootfs_fd, "", true);
	if (copy < 0)
		return kist_fail_errno(err, -copy, "root file system: clone the mount");
	/* pivot_root(2) refuses a shared mount; a slave still takes what the host mounts below, and becomes shared
	 * later. */
	unsigned long type = root_propagation(plan->spec, &recursive);
	int r = kist_ns_mount_setattr(copy, true, 0, 0, type == MS_SLAVE || type == MS_SHARED ? MS_SLAVE : MS_PRIVATE);
	if (r < 0 && r != -ENOSYS)
		return kist_fail_errno(err, -r, "root file system: propagation");
	plan->rootfs = kist_steal_fd(&copy);
	plan->rootfs_owned = true;
	return 0;
}

/* The caller sits in a chroot that is no mount point: joining the own mount namespace again leads to its real root. */
static int leave_chroot(const struct kist_ns_plan *plan, struct kist_error *err)
{
	KIST_CLOSE int own = openat(plan->proc_fd, "self/ns/mnt", O_RDONLY | O_CLOEXEC);

	if (own < 0 || setns(own, CLONE_NEWNS) < 0)
		return kist_fail_errno(err, errno, "leave the chroot of the caller");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return kist_fail_errno(err, errno, "make the mounts private");
	return 0;
}

int kist_ns_rootfs_attach(const struct kist_ns_plan *plan, struct kist_error *err)
{
	const char *target = plan->launch->rootfs_target;
	KIST_CLOSE int point = -1;

	if (target) {
		point = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (point < 0)
			return kist_fail_errno(err, errno, "attach the root file system at %s", target);
	}
	/* Recursive, or the unmounting of the old root would spread to the host. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		int r = errno == EINVAL ? leave_chroot(plan, err)
		                        : kist_fail_errno(err, errno, "make the mounts private");
		if (r < 0)
			return r;
	}
	int r = point >= 0 ? kist_ns_mount_attach(plan->rootfs, point)
	        : move_mount(plan->rootfs, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno
	                                                                                   : 0;
	return r < 0 ? kist_fail_errno(err, -r, "attach the root file system at %s", target ? target : "/") : 0;
}

/* --- where pivot_root(2) is refused ------------------------------------------------------------------------------ */

struct mount_line {
	unsigned id, parent;
	char *point;
};

static char *unescape_octal(char *s)
{
	char *to = s;

	for (const char *from = s; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)(((from[1] - '0') << 6) | ((from[2] - '0') << 3) | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
	return s;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": id, parent and the fifth field. */
static bool parse_mount_line(char *line, struct mount_line *out)
{
	char *save = line, *field[5];

	for (size_t i = 0; i < KIST_COUNT(field); i++) {
		field[i] = strsep(&save, " ");
		if (!field[i])
			return false;
	}
	out->point = unescape_octal(field[4]);
	return kist_parse_u32(field[0], &out->id) == 0 && kist_parse_u32(field[1], &out->parent) == 0;
}

static bool is_below(const struct mount_line *lines, size_t n, const struct mount_line *line, unsigned top)
{
	unsigned id = line->id, parent = line->parent;

	for (size_t steps = 0; steps <= n; steps++) {
		if (id == top)
			return true;
		size_t i = 0;
		while (i < n && lines[i].id != parent)
			i++;
		if (i == n)
			return false;
		id = lines[i].id;
		parent = lines[i].parent;
	}
	return false;
}

/* chroot(2) hides the old mounts but does not let go of them, and the container's root user could undo a chroot: all
 * that is not the container's own is unmounted. What stays is the initramfs root itself, covered by the container's
 * root. */
static int unmount_old(const struct kist_ns_plan *plan, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	struct statx root;

	if (statx(plan->rootfs, "", AT_EMPTY_PATH, STATX_MNT_ID, &root) < 0 || !(root.stx_mask & STATX_MNT_ID))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "a root without pivot needs Linux 5.8 (statx mount ids)");
	int r = kist_read_file(plan->proc_fd, "self/mountinfo", 64U << 20, &text);
	if (r < 0)
		return kist_fail_errno(err, -r, "read mountinfo");
	size_t n = 0, room = 0;
	KIST_FREE struct mount_line *lines = NULL;
	for (char *next = text.data, *line; (line = strsep(&next, "\n")) && *line;) {
		if (n == room)
			lines = kist_grow(lines, room = room ? room * 2 : 64, sizeof(*lines));
		if (parse_mount_line(line, &lines[n]))
			n++;
	}
	for (size_t i = n; i-- > 0;) {
		if (kist_streq(lines[i].point, "/") || is_below(lines, n, &lines[i], (unsigned)root.stx_mnt_id))
			continue;
		/* EINVAL, ENOENT: gone with one above it. */
		if (umount2(lines[i].point, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
			return kist_fail_errno(err, errno, "unmount the host's %s", lines[i].point);
	}
	return 0;
}

static int move_root(const struct kist_ns_plan *plan, struct kist_error *err)
{
	/* First: with the mount that it is attached in it would go too. */
	if (plan->launch->rootfs_target && move_mount(plan->rootfs, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return kist_fail_errno(err, errno, "move the root file system to /");
	int r = unmount_old(plan, err);
	if (r < 0)
		return r;
	if (fchdir(plan->rootfs) < 0 || chroot(".") < 0)
		return kist_fail_errno(err, errno, "chroot into the root file system");
	return 0;
}

static int try_pivot(const struct kist_ns_plan *plan)
{
	if (fchdir(plan->rootfs) < 0)
		return -errno;
	/* New and old root in one place: the old one lies over the new one, and "." is it (pivot_root(2), NOTES). */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return -errno;
	return umount2(".", MNT_DETACH) < 0 ? -errno : 0;
}

static int change_root(const struct kist_ns_plan *plan, struct kist_error *err)
{
	int r = plan->launch->no_pivot ? -EINVAL : try_pivot(plan);

	/* An initramfs root cannot be pivoted (Documentation/filesystems/ramfs-rootfs-initramfs.rst). */
	if (r == -EINVAL)
		return move_root(plan, err);
	return r < 0 ? kist_fail_errno(err, -r, "pivot_root") : 0;
}

int kist_ns_rootfs_pivot(const struct kist_ns_plan *plan, struct kist_error *err)
{
	bool recursive;
	int r = change_root(plan, err);

	if (r < 0)
		return r;
	if (chdir("/") < 0)
		return kist_fail_errno(err, errno, "change to the new root");
	unsigned long type = root_propagation(plan->spec, &recursive);
	if (type != MS_PRIVATE && mount(NULL, "/", NULL, type | (recursive ? MS_REC : 0), NULL) < 0)
		return kist_fail_errno(err, errno, "root propagation %s", plan->spec->linux_.rootfs_propagation);
	return 0;
}
