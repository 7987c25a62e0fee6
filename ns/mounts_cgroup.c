#include "ns/launch.h"
#include "ns/mount_fd.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <unistd.h>

/* Where the hierarchy's root is mounted: "36 24 0:32 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw". The caller
 * frees; NULL: nowhere. */
static char *hierarchy_path(const char *mountinfo)
{
	for (const char *line = mountinfo, *end; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		KIST_FREE char *text = kist_strndup(line, (size_t)(end - line));
		if (!strstr(text, " - cgroup2 "))
			continue;
		KIST_STRV char **fields = kist_strv_split(text, ' ');
		if (kist_strv_len(fields) > 5 && kist_streq(fields[3], "/"))
			return kist_strdup(fields[4]);
	}
	return NULL;
}

/* This process's group: the line "0::/path". */
static char *own_group(const char *text)
{
	const char *line = kist_has_prefix(text, "0::/") ? text : strstr(text, "\n0::/");

	if (!line)
		return kist_strdup("/");
	line = strchr(line, '/');
	return kist_strndup(line, strcspn(line, "\n"));
}

static int open_own_group(int proc_fd, struct kist_error *err)
{
	KIST_STR struct kist_str mountinfo = { 0 };
	KIST_STR struct kist_str cgroup = { 0 };
	int r = kist_read_file(proc_fd, "self/mountinfo", 64U << 20, &mountinfo);

	if (r == 0)
		r = kist_read_file(proc_fd, "self/cgroup", 64U << 10, &cgroup);
	if (r < 0)
		return kist_fail_errno(err, -r, "read the mounts and the cgroup of this process");
	KIST_FREE char *path = hierarchy_path(kist_str_get(&mountinfo));
	if (!path)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "no cgroup2 hierarchy is mounted on this host");
	KIST_CLOSE int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	KIST_FREE char *group = own_group(kist_str_get(&cgroup));
	int fd = root < 0 ? -errno : kist_open_in_root(root, group, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return kist_fail_errno(err, -fd, "open cgroup %s", group);
	return fd;
}

int kist_ns_mounts_cgroup_source(const struct kist_ns_plan *plan, struct kist_error *err)
{
	KIST_CLOSE int own = -1;
	int group = plan->launch->cgroup_fd;

	if (group < 0) {
		group = own = open_own_group(plan->proc_fd, err);
		if (group < 0)
			return group;
	}
	if (!kist_is_fs(group, CGROUP2_SUPER_MAGIC))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "the container's cgroup is not of version 2");
	int copy = kist_ns_mount_clone(group, "", false);
	return copy < 0 ? kist_fail_errno(err, -copy, "clone the container's cgroup") : copy;
}
