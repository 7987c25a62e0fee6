/* Removes groups. An empty one is one rmdir; everything else is the slow way. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REMOVE_TIMEOUT_NS (10 * KIST_NSEC_PER_SEC)
#define DEPTH_MAX         256

/* ENODEV: the kernel is removing it. */
static bool is_gone(int r)
{
	return r == -ENOENT || r == -ENODEV;
}

static int remove_dir(int dir, const char *name)
{
	int r = unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;

	return is_gone(r) ? 0 : r;
}

/* Sub-groups, deepest first. cgroupfs holds no links and no foreign mounts are expected; a mount gives EBUSY. */
static int remove_children(int cgroup_fd, int depth)
{
	int copy = openat(cgroup_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (copy < 0)
		return is_gone(-errno) ? 0 : -errno;
	DIR *dir = fdopendir(copy);
	if (!dir) {
		kist_close_fd(&copy);
		return -ENOMEM;
	}
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		KIST_CLOSE int sub = openat(cgroup_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			r = depth >= DEPTH_MAX ? -ELOOP : remove_children(sub, depth + 1);
		if (r == 0)
			r = remove_dir(cgroup_fd, e->d_name);
	}
	closedir(dir);
	return r;
}

static int still_there(int cgroup_fd, const char *path, int r, struct kist_error *err)
{
	pid_t *pids = NULL;
	ssize_t n = kist_cgroup_pids(cgroup_fd, &pids, NULL);
	int first = n > 0 ? (int)pids[0] : 0;

	free(pids);
	if (n > 0) {
		kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT, "remove cgroup %s: process %d did not end after SIGKILL",
		          path, first);
		return kist_remedy(err, "it may wait for a device or a network file system");
	}
	return kist_fail_errno(err, -r, "remove cgroup %s", path);
}

/* A fork between the kill and the rmdir makes another round necessary. */
static int remove_populated(const struct kist_cgroup_root *root, const char *relative, const char *path,
                            struct kist_error *err)
{
	int64_t deadline = kist_now_boot() + REMOVE_TIMEOUT_NS;
	KIST_CLOSE int fd = kist_open_beneath(root->fd, relative, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return is_gone(fd) ? 0 : kist_fail_errno(err, -fd, "remove cgroup %s", path);
	for (;;) {
		int r = kist_cgroup_populated(fd) ? kist_cgroup_kill(fd, err) : 0;

		if (r < 0)
			return kist_context(err, "remove cgroup %s", path);
		r = kist_cgroup_wait_event(fd, "populated", 0, deadline);
		if (r == 0)
			r = remove_children(fd, 0);
		if (r == 0)
			r = remove_dir(root->fd, relative);
		if (r == 0 || is_gone(r))
			return 0;
		if ((r != -EBUSY && r != -ENOTEMPTY) || kist_now_boot() > deadline)
			return still_there(fd, path, r, err);
		kist_sleep_ns(KIST_NSEC_PER_MSEC);
	}
}

int kist_cgroup_remove(struct kist_cgroup_root *root, const char *path, struct kist_error *err)
{
	KIST_FREE char *relative = NULL;
	int r = kist_cgroup_path_check(path, false, &relative, err);

	if (r < 0)
		return r;
	r = remove_dir(root->fd, relative);
	if (r == -EBUSY || r == -ENOTEMPTY)
		return remove_populated(root, relative, path, err);
	if (r < 0)
		return kist_fail_errno(err, -r, "remove cgroup %s", path);
	return 0;
}

/* The leaf that took a parent's processes goes with the parent, once they have ended. */
static int prune_one(const struct kist_cgroup_root *root, const char *relative)
{
	int r = remove_dir(root->fd, relative);

	if (r != -EBUSY && r != -ENOTEMPTY)
		return r;
	KIST_FREE char *leaf = kist_asprintf("%s/" KIST_CGROUP_INTERNAL_LEAF, relative);
	if (unlinkat(root->fd, leaf, AT_REMOVEDIR) < 0)
		return r;
	return remove_dir(root->fd, relative);
}

static bool is_made(const struct kist_cgroup_root *root, const char *relative)
{
	KIST_CLOSE int fd = kist_open_beneath(root->fd, relative, O_RDONLY | O_DIRECTORY, 0);

	return is_gone(fd) || (fd >= 0 && kist_cgroup_marked(fd));
}

void kist_cgroup_prune_made(struct kist_cgroup_root *root, const char *path)
{
	KIST_FREE char *relative = NULL;

	if (kist_cgroup_path_check(path, false, &relative, NULL) < 0)
		return;
	for (char *slash = relative; slash && is_made(root, relative) && prune_one(root, relative) >= 0;) {
		slash = strrchr(relative, '/');
		if (slash)
			*slash = '\0';
	}
}

void kist_cgroup_prune(struct kist_cgroup_root *root, const char *path, const char *stop_at)
{
	KIST_FREE char *relative = NULL;
	struct kist_error err = { 0 };

	if (kist_cgroup_path_check(path, false, &relative, &err) < 0 || kist_cgroup_remove(root, path, &err) < 0) {
		kist_debug("%s", err.text);
		return;
	}
	const char *stop = stop_at && *stop_at == '/' ? stop_at + 1 : "";
	for (char *slash = strrchr(relative, '/'); slash; slash = strrchr(relative, '/')) {
		*slash = '\0';
		if (kist_streq(relative, stop) || prune_one(root, relative) < 0)
			return;
	}
}
