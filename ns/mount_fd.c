#include "ns/mount_fd.h"

#include "core/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

int kist_ns_mount_clone(int dir, const char *path, bool recursive)
{
	int fd = open_tree(dir, path,
	                   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (unsigned)(*path ? 0 : AT_EMPTY_PATH) |
	                           (unsigned)(recursive ? AT_RECURSIVE : 0));

	return fd < 0 ? -errno : fd;
}

int kist_ns_mount_attach(int fd, int target)
{
	return move_mount(fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

/* The file system context queues messages, each "e text", "w text" or "i text"; the last error is what went wrong. */
static int fail_context(int context, int errnum, const char *type, const char *step, struct kist_error *err)
{
	char text[256], last[256] = "";
	ssize_t n;

	while ((n = read(context, text, sizeof(text) - 1)) > 0) {
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (text[0] == 'e' && text[1] == ' ')
			memcpy(last, text + 2, sizeof(text) - 2);
	}
	if (*last)
		return kist_fail_errno(err, errnum, "%s %s (%s)", type, step, last);
	return kist_fail_errno(err, errnum, "%s %s", type, step);
}

static int set_parameter(int context, const char *parameter)
{
	char key[64];
	const char *value = strchr(parameter, '=');

	if (!value)
		return fsconfig(context, FSCONFIG_SET_FLAG, parameter, NULL, 0) < 0 ? -errno : 0;
	if ((size_t)(value - parameter) >= sizeof(key))
		return -EINVAL;
	memcpy(key, parameter, (size_t)(value - parameter));
	key[value - parameter] = '\0';
	return fsconfig(context, FSCONFIG_SET_STRING, key, value + 1, 0) < 0 ? -errno : 0;
}

int kist_ns_mount_new(const char *type, const char *source, char *const *parameters, uint64_t attributes,
                      struct kist_error *err)
{
	KIST_CLOSE int context = fsopen(type, FSOPEN_CLOEXEC);
	if (context < 0 && errno == ENOSYS)
		return -ENOSYS;
	if (context < 0 && errno == ENODEV)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, ENODEV, "this kernel has no file system '%s'", type);
	if (context < 0)
		return kist_fail_errno(err, errno, "fsopen %s", type);
	if (!kist_empty(source) && fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return fail_context(context, errno, type, "source", err);
	for (size_t i = 0; parameters && parameters[i]; i++) {
		int r = set_parameter(context, parameters[i]);
		if (r < 0)
			return fail_context(context, -r, type, parameters[i], err);
	}
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail_context(context, errno, type, "create", err);
	int fd = fsmount(context, FSMOUNT_CLOEXEC, (unsigned)attributes);
	if (fd < 0)
		return fail_context(context, errno, type, "mount", err);
	return fd;
}

int kist_ns_mount_setattr(int fd, bool recursive, uint64_t set, uint64_t clear, unsigned long propagation)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

	if (!set && !clear && !propagation)
		return 0;
	return mount_setattr(fd, "", AT_EMPTY_PATH | (unsigned)(recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr)) < 0
	               ? -errno
	               : 0;
}

/* mount(2) replaces all per-mount flags at once, so those the mount has are read first. */
static const struct {
	unsigned long statvfs, mount;
	uint64_t attribute;
} flag_table[] = {
	{ ST_RDONLY, MS_RDONLY, MOUNT_ATTR_RDONLY },
	{ ST_NOSUID, MS_NOSUID, MOUNT_ATTR_NOSUID },
	{ ST_NODEV, MS_NODEV, MOUNT_ATTR_NODEV },
	{ ST_NOEXEC, MS_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ ST_NODIRATIME, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
	{ ST_NOATIME, MS_NOATIME, MOUNT_ATTR_NOATIME },
	{ ST_RELATIME, MS_RELATIME, 0 },
};

static unsigned long remount_flags(const struct statvfs *now, uint64_t set, uint64_t clear)
{
	unsigned long flags = 0;

	for (size_t i = 0; i < KIST_COUNT(flag_table); i++) {
		bool on = now->f_flag & flag_table[i].statvfs;
		if (flag_table[i].attribute & clear)
			on = false;
		if (flag_table[i].attribute & set)
			on = true;
		if (on)
			flags |= flag_table[i].mount;
	}
	if ((clear & MOUNT_ATTR__ATIME) == MOUNT_ATTR__ATIME)
		flags &= ~(unsigned long)(set & MOUNT_ATTR__ATIME ? MS_RELATIME : MS_NOATIME);
	if (set & MOUNT_ATTR_STRICTATIME)
		flags |= MS_STRICTATIME;
	return flags;
}

int kist_ns_mount_remount(int fd, bool recursive, uint64_t set, uint64_t clear, unsigned long propagation)
{
	char path[40];
	struct statvfs now;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (set || clear) {
		if (recursive || set & MOUNT_ATTR_NOSYMFOLLOW)
			return -EOPNOTSUPP;
		if (fstatvfs(fd, &now) < 0)
			return -errno;
		if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | remount_flags(&now, set, clear), NULL) < 0)
			return -errno;
	}
	if (propagation && mount(NULL, path, NULL, propagation | (recursive ? MS_REC : 0), NULL) < 0)
		return -errno;
	return 0;
}

/* What fsconfig(2) takes as parameters, mount(2) takes as flags. */
static const struct {
	const char *parameter;
	unsigned long mount;
} super_table[] = {
	{ "sync", MS_SYNCHRONOUS },  { "dirsync", MS_DIRSYNC },    { "mand", MS_MANDLOCK },
	{ "lazytime", MS_LAZYTIME }, { "iversion", MS_I_VERSION },
};

int kist_ns_mount_old(const char *type, const char *source, char *const *parameters, uint64_t attributes, int target,
                      struct kist_error *err)
{
	const struct statvfs nothing = { 0 };
	unsigned long flags = remount_flags(&nothing, attributes, 0);
	KIST_STRV char **rest = NULL;
	char path[40];

	for (size_t i = 0; parameters && parameters[i]; i++) {
		size_t row = 0;
		while (row < KIST_COUNT(super_table) && !kist_streq(super_table[row].parameter, parameters[i]))
			row++;
		if (row < KIST_COUNT(super_table))
			flags |= super_table[row].mount;
		else
			kist_strv_add(&rest, parameters[i]);
	}
	KIST_FREE char *data = kist_strv_join(rest, ",");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	if (attributes & MOUNT_ATTR_NOSYMFOLLOW)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "%s: nosymfollow needs fsopen(2)", type);
	if (mount(source ? source : type, path, type, flags, data) < 0)
		return kist_fail_errno(err, errno, "%s", type);
	return 0;
}
