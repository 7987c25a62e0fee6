/* A container's root file system on the host, for as long as somebody wants it there. The record counts who does; it is
 * written before the mount is made, so that what a crash leaves is known. */
#include "core/exec_session.h"
#include "core/container_root.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "ns/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MERGED "merged"

/* The mount point in the run directory; a mount of another boot or namespace is not there. */
static int open_merged(struct kist_container *c)
{
	int run = kist_container_rundir(c, NULL);
	struct statx st;

	if (run < 0)
		return run;
	KIST_CLOSE int fd = openat(run, MERGED, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
		return -errno;
	if (!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return -ENOENT;
	return kist_steal_fd(&fd);
}

static bool is_attached(struct kist_container *c)
{
	KIST_CLOSE int fd = open_merged(c);

	return fd >= 0;
}

/* --rootfs without an overlay is on the host already. */
static bool is_directory(const struct kist_container *c)
{
	return c->config.rootfs && !c->config.rootfs_overlay;
}

static char *mount_path(const struct kist_container *c)
{
	return is_directory(c) ? kist_strdup(c->config.rootfs) : kist_container_runpath(c, MERGED);
}

int kist_container_mounted_clone(struct kist_container *c)
{
	if (c->state.mounts == 0 || is_directory(c))
		return -ENOENT;
	KIST_CLOSE int fd = open_merged(c);
	if (fd < 0)
		return fd;
	int copy = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return copy < 0 ? -errno : copy;
}

void kist_container_mount_drop(struct kist *k, const char *id)
{
	KIST_FREE char *path = kist_asprintf("%s/containers/%s/" MERGED, k->settings.runroot, id);

	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		kist_debug("unmount %s: %m", path);
}

static int attach(struct kist_container *c, struct kist_error *err)
{
	struct mount_attr writable = { .attr_clr = MOUNT_ATTR_RDONLY };

	KIST_CLOSE int tree = kist_container_root_clone(c, err);
	if (tree < 0)
		return tree;
	/* --read-only is the container's rule, not the host's. */
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &writable, sizeof(writable)) < 0)
		kist_debug("container %s: make its mount writable: %m", c->config.name);
	int run = kist_container_rundir(c, err);
	if (run < 0)
		return run;
	if (mkdirat(run, MERGED, 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "make the mount point");
	KIST_CLOSE int place = openat(run, MERGED, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place < 0)
		return kist_fail_errno(err, errno, "open the mount point");
	return kist_ns_mount_attach_at(tree, place, err);
}

static int lock_for(struct kist_container *c, enum kist_call call, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r < 0)
		return r;
	r = kist_call_check(call, (enum kist_status)c->state.status, err);
	if (r < 0)
		kist_container_unlock(c);
	return r;
}

static int mount_locked(struct kist_container *c, struct kist_error *err)
{
	bool attached = is_directory(c) || (c->state.mounts && is_attached(c));

	/* Counted mounts that are gone, with a boot or a namespace, count no more. */
	c->state.mounts = attached ? c->state.mounts + 1 : 1;
	int r = kist_container_save(c, err);
	if (r < 0 || attached)
		return r;
	r = attach(c, err);
	if (r < 0) {
		c->state.mounts = 0;
		kist_container_save(c, NULL);
	}
	return r;
}

int kist_container_mount(struct kist_container *c, char **path, struct kist_error *err)
{
	int r = lock_for(c, KIST_CALL_MOUNT, err);

	if (r == 0) {
		r = mount_locked(c, err);
		kist_container_unlock(c);
	}
	if (r < 0)
		return kist_context(err, "mount container %s", c->config.name);
	kist_container_event(c, "mount");
	*path = mount_path(c);
	return 0;
}

char *kist_container_mountpoint(struct kist_container *c)
{
	if (c->state.mounts == 0 || !(is_directory(c) || is_attached(c)))
		return NULL;
	return mount_path(c);
}

static int unmount_locked(struct kist_container *c, bool force, struct kist_error *err)
{
	if (c->state.mounts == 0)
		return 0;
	if ((c->state.mounts == 1 || force) && !is_directory(c)) {
		KIST_FREE char *path = mount_path(c);
		if (umount2(path, UMOUNT_NOFOLLOW | (force ? MNT_DETACH : 0)) < 0 && errno != EINVAL &&
		    errno != ENOENT) {
			int errnum = errno;
			kist_fail_errno(err, errnum, "unmount %s", path);
			return errnum == EBUSY
			               ? kist_remedy(err, "a process uses it; --force takes it away all the same")
			               : -errnum;
		}
		unlinkat(c->run_dir, MERGED, AT_REMOVEDIR);
	}
	c->state.mounts = force ? 0 : c->state.mounts - 1;
	return kist_container_save(c, err);
}

int kist_container_unmount(struct kist_container *c, bool force, struct kist_error *err)
{
	int r = lock_for(c, KIST_CALL_UNMOUNT, err);

	if (r == 0) {
		r = kist_container_rundir(c, err);
		/* As libpod: of a container whose init is gone, a session may be the last to use it. */
		if (r >= 0 && c->state.status != KIST_RUNNING && c->state.status != KIST_PAUSED)
			r = kist_exec_sessions_check(c, err);
		if (r >= 0)
			r = unmount_locked(c, force, err);
		kist_container_unlock(c);
	}
	if (r == 0)
		kist_container_event(c, "unmount");
	return r < 0 ? kist_context(err, "unmount container %s", c->config.name) : 0;
}
