/* Makes groups. The common case, a parent that is there, is one mkdirat and one open. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_group(int dir, const char *relative)
{
	return kist_open_beneath(dir, relative, O_RDONLY | O_DIRECTORY, 0);
}

/* The groups made by this call, for the undoing. */
struct made {
	char **paths; /* from the top down */
};

static void undo(const struct kist_cgroup_root *root, const struct made *made)
{
	/* One that another container moved into meanwhile stays: it is not empty. */
	for (size_t i = kist_strv_len(made->paths); i-- > 0;)
		(void)unlinkat(root->fd, made->paths[i], AT_REMOVEDIR);
}

static int make_parents(const struct kist_cgroup_root *root, const char *relative, bool hold, struct made *made)
{
	for (const char *slash = strchr(relative, '/'); slash; slash = strchr(slash + 1, '/')) {
		KIST_FREE char *parent = kist_strndup(relative, (size_t)(slash - relative));

		if (mkdirat(root->fd, parent, 0755) < 0) {
			if (errno != EEXIST)
				return -errno;
			continue;
		}
		KIST_CLOSE int fd = open_group(root->fd, parent);
		if (fd >= 0)
			kist_cgroup_mark(fd);
		if (fd >= 0 && hold)
			kist_cgroup_device_hold(fd);
		if (!kist_strv_has(made->paths, parent))
			kist_strv_take(&made->paths, kist_steal(&parent));
	}
	return 0;
}

/* Makes the leaf. Another process may prune an empty parent between two of these calls: then it is made again. */
static int make_leaf(const struct kist_cgroup_root *root, const char *relative, bool hold, struct made *made,
                     bool *fresh)
{
	int r = -ENOENT;

	for (int round = 0; round < 100; round++) {
		*fresh = mkdirat(root->fd, relative, 0755) == 0;
		if (!*fresh && errno == ENOENT) {
			r = make_parents(root, relative, hold, made);
			/* ENODEV: the directory is being removed. */
			if (r < 0 && r != -ENOENT && r != -ENODEV)
				return r;
			continue;
		}
		if (!*fresh && errno != EEXIST)
			return -errno;
		r = open_group(root->fd, relative);
		if (r != -ENOENT)
			break;
	}
	return r;
}

/* A group that was there: an empty one may be used, whatever it was for. */
static int take_existing(int fd, const char *path, struct kist_error *err)
{
	if (kist_cgroup_populated(fd)) {
		kist_fail(err, KIST_ERR_EXISTS, 0, "container's cgroup is not empty: %s holds processes", path);
		return kist_remedy(err, "another container may use it");
	}
	/* Frozen, it would stop the next process before its first instruction. Kernels before 5.2 have no such file. */
	int r = kist_write_kernel(fd, "cgroup.freeze", "0");
	if (r < 0 && r != -ENOENT)
		return kist_fail_errno(err, -r, "thaw cgroup %s", path);
	return 0;
}

static int apply_all(int fd, struct kist_cgroup_root *root, const struct kist_spec_resources *resources,
                     struct kist_cgroup_plan *plan, unsigned soft, bool fresh, struct kist_error *err)
{
	if (soft & KIST_CGROUP_ALL)
		kist_cgroup_enable_all(fd, root);
	int r = plan->n ? kist_cgroup_apply(plan, fd, root, soft, fresh, err) : 0;

	/* Without rules an old group's program goes. */
	if (r == 0 && !(soft & KIST_CGROUP_DEVICES_LATER) && (!fresh || (resources && resources->n_devices)))
		r = kist_cgroup_device_apply(fd, resources ? resources->devices : NULL,
		                             resources ? resources->n_devices : 0, fresh, err);
	return r;
}

int kist_cgroup_create(struct kist_cgroup_root *root, const char *path, const struct kist_spec_resources *resources,
                       unsigned soft, struct kist_error *err)
{
	KIST_CGROUP_PLAN struct kist_cgroup_plan plan = { 0 };
	KIST_FREE char *relative = NULL;
	int r = kist_cgroup_path_check(path, false, &relative, err);

	if (r == 0 && resources)
		r = kist_cgroup_plan_make(resources, &plan, err);
	if (r < 0)
		return kist_context(err, "create cgroup %s", path ? path : "");

	struct made made = { 0 };
	bool fresh = false, hold = (soft & KIST_CGROUP_PARENTS_STAY) && resources && resources->n_devices;
	KIST_CLOSE int fd = make_leaf(root, relative, hold, &made, &fresh);
	if (fd < 0)
		r = kist_fail_errno(err, -fd, "make the directory below %s", root->path);
	if (r == 0 && fresh)
		kist_strv_add(&made.paths, relative);
	else if (r == 0)
		r = take_existing(fd, path, err);
	if (r == 0)
		r = apply_all(fd, root, resources, &plan, soft, fresh, err);
	if (r < 0) {
		undo(root, &made);
		kist_context(err, "create cgroup %s", path);
	}
	kist_strv_free(made.paths);
	return r < 0 ? r : kist_steal_fd(&fd);
}

int kist_cgroup_devices(int cgroup_fd, const struct kist_spec_resources *resources, struct kist_error *err)
{
	return kist_cgroup_device_apply(cgroup_fd, resources ? resources->devices : NULL,
	                                resources ? resources->n_devices : 0, false, err);
}

int kist_cgroup_open(struct kist_cgroup_root *root, const char *path, struct kist_error *err)
{
	KIST_FREE char *relative = NULL;
	int r = kist_cgroup_path_check(path, true, &relative, err);

	if (r < 0)
		return r;
	r = open_group(root->fd, relative);
	if (r == -ENOENT)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no cgroup %s below %s", path, root->path);
	if (r < 0)
		return kist_fail_errno(err, -r, "open cgroup %s", path);
	return r;
}

bool kist_cgroup_gives(int cgroup_fd)
{
	KIST_STR struct kist_str text = { 0 };

	return kist_cgroup_read(cgroup_fd, "cgroup.subtree_control", &text) == 0 &&
	       kist_str_get(&text)[strspn(kist_str_get(&text), " \n")];
}

int kist_cgroup_open_of(struct kist_cgroup_root *root, pid_t pid, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	struct kist_cgroup_root *own = NULL;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	int r = kist_read_file(AT_FDCWD, path, 64u << 10, &text);
	const char *line = r < 0                                          ? NULL
	                   : kist_has_prefix(kist_str_get(&text), "0::/") ? text.data
	                                                                  : strstr(kist_str_get(&text), "\n0::/");
	if (!line)
		return kist_fail(err, KIST_ERR_STATE, ESRCH, "the cgroup of process %d is not known", (int)pid);
	line = strchr(line, '/');
	KIST_FREE char *group = kist_strndup(line, strcspn(line, "\n"));
	r = root ? 0 : kist_cgroup_root_open(&own, err);
	if (r == 0)
		r = kist_cgroup_open(root ? root : own, group, err);
	kist_cgroup_root_close(own);
	return r;
}

int kist_cgroup_attach(int cgroup_fd, pid_t pid, struct kist_error *err)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	int r = kist_write_kernel(cgroup_fd, "cgroup.procs", text);
	if (r < 0) {
		KIST_FREE char *where = kist_cgroup_fd_name(cgroup_fd);

		return kist_fail_errno(err, -r, "move process %d to cgroup %s", (int)pid, where);
	}
	return 0;
}
