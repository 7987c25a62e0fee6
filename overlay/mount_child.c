/* Overlay refuses layers in another mount namespace, and of what a process holds only its root and its working
 * directory move into a new one: so one becomes what is below, the other what is above. Everything else below is a
 * detached mount, which any namespace takes. */
#include "overlay/mount_child.h"

#include "core/base/base.h"
#include "core/base/fs.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTHING "none"
#define POINT   "mount"

/* Ends the propagation of the mount that the working directory is on: in a new namespace it is a peer of the host's,
 * and what is mounted there would appear on the host. Its top is found by going up: "/" may be another mount or, after
 * a chroot, none. Statx tells a mount's top since Linux 5.8. */
static int make_place_private(void)
{
	KIST_CLOSE int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statx st = { 0 };

	if (here < 0)
		return -errno;
	for (int depth = 0; depth < 4096; depth++) {
		if (statx(AT_FDCWD, ".", 0, STATX_BASIC_STATS, &st) < 0)
			return -errno;
		if (!(st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
			return -ENOSYS;
		if (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
			if (mount(NULL, ".", NULL, MS_PRIVATE, NULL) < 0 || fchdir(here) < 0)
				return -errno;
			return 0;
		}
		if (chdir("..") < 0)
			return -errno;
	}
	return -ELOOP;
}

static int attach(int place, int tree, size_t number)
{
	char name[24];

	snprintf(name, sizeof(name), "%zu", number);
	if (mkdirat(place, name, 0700) < 0 || move_mount(tree, "", place, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* Over a directory of the store, where only this process sees it. */
static int attach_all(const struct kist_overlay_child *child)
{
	int r = 0;

	if (mount("tmpfs", KIST_OVERLAY_PLACES, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") < 0)
		return -errno;
	KIST_CLOSE int place = open(KIST_OVERLAY_PLACES, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place < 0 || mkdirat(place, NOTHING, 0755) < 0 || mkdirat(place, POINT, 0700) < 0)
		return -errno;
	for (size_t i = 0; r == 0 && i < child->n_trees; i++)
		r = attach(place, child->trees[i], i);
	return r;
}

/* The working directory is where a mount is made, whose propagation can be ended. */
static int take_places(const struct kist_overlay_child *child)
{
	bool trees = child->n_trees, writable = child->dir >= 0;
	int root = trees ? child->dir : child->root, here = trees || !writable ? child->root : child->dir;

	if (writable && (fchdir(root) < 0 || chroot(".") < 0))
		return -errno;
	if (fchdir(here) < 0 || unshare(CLONE_NEWNS) < 0)
		return -errno;
	return make_place_private();
}

/* Mounts over a directory of ours, where only this process sees it, and takes the mount along as an fd. */
static int mount_privately(const struct kist_overlay_child *child)
{
	bool writable = child->dir >= 0;
	const char *place = child->n_trees ? KIST_OVERLAY_PLACES "/" POINT : writable ? "work" : "l";

	int r = take_places(child);
	if (r == 0 && child->n_trees)
		r = attach_all(child);
	if (r < 0)
		return r;
	if (mount("overlay", place, "overlay", writable ? 0 : MS_RDONLY, child->options) < 0)
		return -errno;
	int fd = open_tree(AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int kist_overlay_mount_child(const struct kist_overlay_child *child)
{
	KIST_CLOSE int ours = -1;
	int pair[2];
	int fd = -1;
	int r = -EIO;
	size_t n = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		r = mount_privately(child);
		kist_send_fds(pair[1], &r, sizeof(r), &r, r >= 0);
		_exit(0);
	}
	close(pair[1]);
	ours = pair[0];
	if (pid < 0)
		return -errno;
	if (kist_recv_fds(ours, &r, sizeof(r), &fd, &n) != sizeof(r))
		r = -EIO;
	kist_wait_pid(pid);
	if (r < 0 || n == 0)
		return r < 0 ? r : -EIO;
	return fd;
}
