#include "ns/launch.h"
#include "ns/mount_fd.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the parent: sources -------------------------------------------------------------------------------------------
 */

static bool is_cgroup(const struct kist_spec_mount *mount)
{
	return kist_streq(mount->type, "cgroup") || kist_streq(mount->type, "cgroup2");
}

/* Copies are made in the caller's namespace: there the source is reachable even where the container's root user may not
 * search the way to it, and propagation to and from the host can still be arranged. */
static int prepare_source(const struct kist_ns_plan *plan, const struct kist_spec_mount *mount,
                          struct kist_ns_mount *out, struct kist_error *err)
{
	if (is_cgroup(mount) && !out->options.bind &&
	    !((plan->namespaces.make | plan->namespaces.join) & CLONE_NEWCGROUP)) {
		/* A new mount would show the whole hierarchy, and in the first cgroup namespace its options are those
		 * of all mounts of it: the host's nsdelegate would go (apply_cgroup_root_flags in the kernel). */
		out->source = kist_ns_mounts_cgroup_source(plan, err);
		return out->source < 0 ? out->source : 0;
	}
	if (!out->options.bind || out->options.remount)
		return 0;
	if (kist_empty(mount->source))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "a bind mount needs a source");
	out->source = kist_ns_mount_clone(AT_FDCWD, mount->source, out->options.recursive);
	/* A detached mount can be copied since Linux 6.15. Before, it is itself what is attached. */
	if (out->source == -EINVAL && kist_has_prefix(mount->source, "/proc/self/fd/"))
		out->source = open(mount->source, O_PATH | O_CLOEXEC);
	return out->source < 0 ? kist_fail_errno(err, -out->source, "source %s", mount->source) : 0;
}

/* linux.mountLabel, for what is made for the container alone. procfs, sysfs, mqueue and cgroup have labels of the
 * policy's own. */
static void add_label(const struct kist_spec_mount *mount, const char *label, struct kist_ns_mount_options *options)
{
	static const char *const labelled[] = { "proc", "sysfs", "mqueue", "cgroup", "cgroup2" };

	for (size_t i = 0; i < KIST_COUNT(labelled); i++)
		if (kist_streq(mount->type, labelled[i]))
			return;
	if (!options->bind && !options->remount && !kist_env_get(options->parameters, "context"))
		kist_strv_take(&options->parameters, kist_asprintf("context=%s", label));
}

int kist_ns_mounts_prepare(struct kist_ns_plan *plan, struct kist_error *err)
{
	const char *label = plan->spec->linux_.mount_label;
	size_t n = plan->spec->n_mounts;

	if (!kist_empty(label) && access("/sys/fs/selinux", F_OK) < 0)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "linux.mountLabel: '%s' is asked for but this host has no SELinux", label);
	plan->mounts = kist_grow(NULL, n ? n : 1, sizeof(*plan->mounts));
	for (size_t i = 0; i < n; i++)
		plan->mounts[i] = (struct kist_ns_mount){ .source = -1 };
	for (size_t i = 0; i < n; i++) {
		const struct kist_spec_mount *mount = &plan->spec->mounts[i];
		char what[32];
		snprintf(what, sizeof(what), "mounts[%zu]", i);
		int r = kist_ns_mount_options_parse(mount->options, mount->type, what, &plan->mounts[i].options, err);
		if (r < 0)
			return r;
		if (!kist_empty(label))
			add_label(mount, label, &plan->mounts[i].options);
		/* Maps of its own mean an idmapped mount, whether the option is there or not (config.md, Mounts). */
		if (mount->n_uid_mappings && plan->mounts[i].options.idmap == KIST_NS_IDMAP_NONE)
			plan->mounts[i].options.idmap = KIST_NS_IDMAP;
		r = prepare_source(plan, mount, &plan->mounts[i], err);
		if (r < 0)
			return kist_context(err, "mount %s", mount->destination);
	}
	return 0;
}

void kist_ns_mounts_free(struct kist_ns_plan *plan)
{
	for (size_t i = 0; plan->mounts && i < plan->spec->n_mounts; i++) {
		kist_close_fd(&plan->mounts[i].source);
		kist_ns_mount_options_free(&plan->mounts[i].options);
	}
	free(plan->mounts);
	plan->mounts = NULL;
}

static int fail_idmap(int error, struct kist_error *err)
{
	kist_fail_errno(err, error, "idmap");
	return error == EINVAL || error == ENOSYS
	               ? kist_remedy(err,
	                             "id-mapped mounts need Linux 5.12 and a file system that knows them: not overlay, "
	                             "tmpfs from 6.3 on")
	               : -error;
}

static int idmap_one(const struct kist_ns_plan *plan, size_t i, pid_t pid, struct kist_error *err)
{
	const struct kist_spec_mount *mount = &plan->spec->mounts[i];
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	KIST_CLOSE int user = -1;
	char name[32];

	if (mount->n_uid_mappings || mount->n_gid_mappings) {
		user = kist_ns_user_namespace_for(plan->proc_fd, mount->uid_mappings, mount->n_uid_mappings,
		                                  mount->gid_mappings, mount->n_gid_mappings, err);
		if (user < 0)
			return user;
	} else if (!kist_ns_plan_has_user(plan)) {
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "idmap: neither the mount has maps nor the container a user namespace");
	} else {
		snprintf(name, sizeof(name), "%d/ns/user", pid);
		user = openat(plan->proc_fd, name, O_RDONLY | O_CLOEXEC);
		if (user < 0)
			return kist_fail_errno(err, errno, "open the user namespace");
	}
	attr.userns_fd = (uint64_t)user;
	int recursive = plan->mounts[i].options.idmap == KIST_NS_IDMAP_RECURSIVE ? AT_RECURSIVE : 0;
	if (mount_setattr(plan->mounts[i].source, "", (unsigned)(AT_EMPTY_PATH | recursive), &attr, sizeof(attr)) < 0)
		return fail_idmap(errno, err);
	return 0;
}

int kist_ns_mounts_idmap(const struct kist_ns_plan *plan, pid_t pid, struct kist_error *err)
{
	for (size_t i = 0; i < plan->spec->n_mounts; i++) {
		if (plan->mounts[i].options.idmap == KIST_NS_IDMAP_NONE || plan->mounts[i].source < 0)
			continue;
		int r = idmap_one(plan, i, pid, err);
		if (r < 0)
			return kist_context(err, "mount %s", plan->spec->mounts[i].destination);
	}
	return 0;
}

/* --- mount points --------------------------------------------------------------------------------------------------
 */

static char *parent_of(const char *path)
{
	const char *end = path + strlen(path);

	while (end > path && end[-1] == '/')
		end--;
	while (end > path && end[-1] != '/')
		end--;
	return kist_strndup(path, (size_t)(end - path));
}

/* Where a dangling link in the last place leads, as a path of the container; NULL: not a link. Images ship
 * /etc/resolv.conf as a link into a directory that does not exist yet. */
static char *follow_dangling(int root, const char *path)
{
	char target[PATH_MAX];
	KIST_CLOSE int link = kist_open_in_root(root, path, O_PATH | O_NOFOLLOW, 0);
	if (link < 0)
		return NULL;
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
	if (n <= 0)
		return NULL;
	target[n] = '\0';
	if (target[0] == '/')
		return kist_strdup(target);
	KIST_FREE char *parent = parent_of(path);
	return kist_asprintf("%s/%s", parent, target);
}

static int make_file(int root, const char *path)
{
	KIST_FREE char *parent = parent_of(path);
	KIST_CLOSE int dir = kist_mkdirs_in_root(root, *parent ? parent : "/", 0755, 0, 0);

	if (dir < 0)
		return dir;
	return kist_open_in_root(root, path, O_CREAT | O_WRONLY | O_NOCTTY | O_NONBLOCK, 0644);
}

int kist_ns_mount_point_open(int root, const char *path, bool directory)
{
	KIST_FREE char *at = kist_strdup(path);

	for (int links = 0; links < 40; links++) {
		int fd = kist_open_in_root(root, at, O_PATH, 0);
		if (fd != -ENOENT)
			return fd;
		char *next = follow_dangling(root, at);
		if (next) {
			free(at);
			at = next;
			continue;
		}
		if (directory)
			return kist_mkdirs_in_root(root, at, 0755, 0, 0);
		KIST_CLOSE int file = make_file(root, at);
		if (file < 0)
			return file;
		return kist_open_in_root(root, at, O_PATH, 0);
	}
	return -ELOOP;
}

/* The destination without doubled and trailing slashes, for comparing. */
static void normalise(const char *path, char *out, size_t size)
{
	size_t n = 0;

	out[n++] = '/';
	for (; *path && n < size - 1; path++)
		if (*path != '/' || out[n - 1] != '/')
			out[n++] = *path;
	if (n > 1 && out[n - 1] == '/')
		n--;
	out[n] = '\0';
}

/* What may be mounted on /proc and /sys, and that these are directories and not links (CVE-2019-19921, CVE-2023-27561):
 * a link there would put the kernel's files somewhere else, and leave writable files where masks and read-only mounts
 * are expected. */
static int open_kernel_point(int root, const char *path, struct kist_error *err)
{
	int fd = kist_open_in_root_nofollow(root, path, O_PATH | O_DIRECTORY, 0);

	if (fd == -ENOENT)
		fd = kist_mkdirs_in_root(root, path, 0755, 0, 0);
	if (fd == -ELOOP || fd == -ENOTDIR)
		return kist_fail(err, KIST_ERR_INVALID, -fd,
		                 "%s must be mounted on ordinary directory: that of the image is none", path);
	return fd < 0 ? kist_fail_errno(err, -fd, "mount point") : fd;
}

/* --- the child: mounts ---------------------------------------------------------------------------------------------
 */

/* File systems that a user namespace may be refused because it does not own what they show: then the host's is bound.
 */
static const struct {
	const char *type, *path;
	unsigned long magic;
} host_table[] = {
	{ "proc", "/proc", PROC_SUPER_MAGIC },
	{ "sysfs", "/sys", SYSFS_MAGIC },
	{ "mqueue", "/dev/mqueue", 0x19800202 },
};

static int bind_host(const struct kist_spec_mount *mount, uint64_t attributes)
{
	for (size_t i = 0; i < KIST_COUNT(host_table); i++) {
		if (!kist_streq(mount->type, host_table[i].type))
			continue;
		KIST_CLOSE int fd = kist_ns_mount_clone(AT_FDCWD, host_table[i].path, true);
		if (fd < 0)
			return fd;
		if (!kist_is_fs(fd, host_table[i].magic))
			return -EPERM;
		int r = kist_ns_mount_setattr(fd, true, attributes & ~(uint64_t)MOUNT_ATTR__ATIME, 0, MS_PRIVATE);
		return r < 0 ? r : kist_steal_fd(&fd);
	}
	return -EPERM;
}

static bool has_parameter(char *const *parameters, const char *key)
{
	size_t n = strlen(key);

	for (; parameters && *parameters; parameters++)
		if (strncmp(*parameters, key, n) == 0 && ((*parameters)[n] == '=' || !(*parameters)[n]))
			return true;
	return false;
}

/* A tmpfs takes the mode of the directory it covers, so that /tmp stays writable for all. */
static void inherit_mode(struct kist_ns_mount_options *options, int point)
{
	struct stat st;
	char mode[16];

	if (has_parameter(options->parameters, "mode") || fstat(point, &st) < 0)
		return;
	snprintf(mode, sizeof(mode), "mode=%o", st.st_mode & 07777U);
	kist_strv_add(&options->parameters, mode);
}

static int make_new(struct kist_ns_plan *plan, const struct kist_spec_mount *mount,
                    struct kist_ns_mount_options *options, int point, struct kist_error *err)
{
	const char *type = is_cgroup(mount) ? "cgroup2" : mount->type;
	uint64_t attributes = options->set | options->all_set;
	uint64_t now = options->copy_up ? attributes & ~(uint64_t)MOUNT_ATTR_RDONLY : attributes;
	struct kist_error own = { 0 };

	if (kist_streq(type, "tmpfs"))
		inherit_mode(options, point);
	if (kist_strv_has(options->parameters, "iversion"))
		return -ENOSYS; /* fsconfig(2) has no word for it, mount(2) has */
	KIST_CLOSE int fd = kist_ns_mount_new(type, mount->source, options->parameters, now, &own);
	if (fd == -EPERM && kist_ns_plan_has_user(plan)) {
		int bound = bind_host(mount, attributes);
		if (bound >= 0)
			return bound;
	}
	if (fd < 0) {
		if (err)
			*err = own;
		return fd;
	}
	if (options->copy_up) {
		int r = kist_ns_copy_up(point, fd, err);
		if (r < 0)
			return r;
		r = kist_ns_mount_setattr(fd, false, attributes & MOUNT_ATTR_RDONLY, 0, 0);
		if (r < 0)
			return kist_fail_errno(err, -r, "read-only");
	}
	return kist_steal_fd(&fd);
}

/* By mount(2); returns the new mount's root. */
static int make_old(const struct kist_ns_plan *plan, const struct kist_spec_mount *mount,
                    const struct kist_ns_mount_options *options, int point, const char *destination,
                    struct kist_error *err)
{
	if (options->copy_up)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "tmpcopyup needs fsopen(2)");
	int r = kist_ns_mount_old(is_cgroup(mount) ? "cgroup2" : mount->type, mount->source, options->parameters,
	                          options->set | options->all_set, point, err);
	if (r < 0)
		return r;
	int fd = kist_open_in_root(plan->rootfs, destination, O_PATH | O_DIRECTORY, 0);
	return fd < 0 ? kist_fail_errno(err, -fd, "open the mount") : fd;
}

static int set_all(int fd, const struct kist_ns_mount_options *o, const struct kist_ns_propagation *propagation,
                   size_t n, int (*setattr)(int, bool, uint64_t, uint64_t, unsigned long))
{
	bool one_call = n == 1 && propagation[0].recursive && !o->set && !o->clear;
	int r = setattr(fd, false, o->set, o->clear, 0);

	if (r == 0)
		r = setattr(fd, true, o->all_set, o->all_clear, one_call ? propagation[0].type : 0);
	for (size_t i = 0; i < n && r == 0 && !one_call; i++)
		r = setattr(fd, propagation[i].recursive, 0, 0, propagation[i].type);
	return r;
}

/* A bind mount with no word on propagation follows that of the root; the default is private. */
static size_t default_propagation(const struct kist_ns_plan *plan, struct kist_ns_propagation *out)
{
	struct kist_ns_propagation root = { MS_PRIVATE, true };

	if (plan->spec->linux_.rootfs_propagation)
		kist_ns_propagation_parse(plan->spec->linux_.rootfs_propagation, &root);
	*out = (struct kist_ns_propagation){ root.type == MS_SLAVE ? MS_SLAVE : MS_PRIVATE, true };
	return root.type == MS_SHARED ? 0 : 1;
}

static int attach_bind(const struct kist_ns_plan *plan, const struct kist_ns_mount *mount, int point)
{
	struct kist_ns_propagation fallback;
	const struct kist_ns_propagation *propagation = mount->options.propagation;
	size_t n = mount->options.n_propagation;

	if (n == 0) {
		n = default_propagation(plan, &fallback);
		propagation = &fallback;
	}
	int r = set_all(mount->source, &mount->options, propagation, n, kist_ns_mount_setattr);
	if (r < 0 && r != -ENOSYS)
		return r;
	int attached = kist_ns_mount_attach(mount->source, point);
	if (attached < 0 || r == 0)
		return attached;
	return set_all(mount->source, &mount->options, propagation, n, kist_ns_mount_remount);
}

static int remount(const struct kist_ns_mount_options *o, int point, struct kist_error *err)
{
	int r = set_all(point, o, o->propagation, o->n_propagation, kist_ns_mount_setattr);

	if (r == -ENOSYS)
		r = set_all(point, o, o->propagation, o->n_propagation, kist_ns_mount_remount);
	if (r < 0)
		return kist_fail_errno(err, -r, "remount");
	if (!o->parameters)
		return 0;
	KIST_CLOSE int context = fspick(point, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
	if (context < 0)
		return kist_fail_errno(err, errno, "remount");
	for (size_t i = 0; o->parameters[i]; i++) {
		KIST_STRV char **pair = kist_strv_split(o->parameters[i], '=');
		const char *value = strchr(o->parameters[i], '=');
		if (fsconfig(context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, pair[0],
		             value ? value + 1 : NULL, 0) < 0)
			return kist_fail_errno(err, errno, "remount with %s", o->parameters[i]);
	}
	if (fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return kist_fail_errno(err, errno, "remount");
	return 0;
}

static int open_point(const struct kist_ns_plan *plan, const struct kist_spec_mount *mount,
                      const struct kist_ns_mount *prepared, const char *destination, struct kist_error *err)
{
	struct stat st;
	bool directory = true;

	if (kist_streq(destination, "/proc") || kist_streq(destination, "/sys")) {
		unsigned long magic = destination[1] == 'p' ? PROC_SUPER_MAGIC : SYSFS_MAGIC;
		bool fits = prepared->source >= 0
		                    ? kist_is_fs(prepared->source, magic)
		                    : kist_streq(mount->type, magic == PROC_SUPER_MAGIC ? "proc" : "sysfs");
		if (!fits && !prepared->options.remount &&
		    (magic == PROC_SUPER_MAGIC || !kist_streq(mount->type, "tmpfs")))
			return kist_fail(err, KIST_ERR_INVALID, EINVAL,
			                 "only the kernel's own file system may be mounted here");
		return open_kernel_point(plan->rootfs, destination, err);
	}
	const char *name = destination + strlen("/dev/");
	if (prepared->source < 0 && plan->dev >= 0 && kist_has_prefix(destination, "/dev/") && !strchr(name, '/')) {
		/* In a tmpfs of our own there are no links to resolve: /dev/pts, /dev/shm, /dev/mqueue. */
		if (mkdirat(plan->dev, name, 0755) == 0 || errno == EEXIST) {
			int fd = openat(plan->dev, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd >= 0)
				return fd;
		}
	}
	if (prepared->source >= 0)
		directory = fstat(prepared->source, &st) < 0 || S_ISDIR(st.st_mode);
	int fd = kist_ns_mount_point_open(plan->rootfs, destination, directory);
	return fd < 0 ? kist_fail_errno(err, -fd, "mount point") : fd;
}

static int make_one(struct kist_ns_plan *plan, const struct kist_spec_mount *mount, struct kist_ns_mount *prepared,
                    struct kist_error *err)
{
	char destination[PATH_MAX];

	normalise(mount->destination, destination, sizeof(destination));
	if (kist_streq(destination, "/"))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "nothing can be mounted over the root");
	KIST_CLOSE int point = open_point(plan, mount, prepared, destination, err);
	if (point < 0)
		return point;
	if (prepared->options.remount)
		return remount(&prepared->options, point, err);
	bool is_dev = kist_streq(destination, "/dev");
	if (prepared->source >= 0) {
		int r = attach_bind(plan, prepared, point);
		plan->dev_foreign |= is_dev;
		kist_close_fd(&prepared->source);
		return r < 0 ? kist_fail_errno(err, -r, "bind") : 0;
	}
	int r = 0;
	const struct kist_ns_mount_options *o = &prepared->options;
	if (is_dev) {
		plan->dev_readonly = o->set & MOUNT_ATTR_RDONLY;
		prepared->options.set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	}
	KIST_CLOSE int fd = make_new(plan, mount, &prepared->options, point, err);
	if (fd == -ENOSYS)
		fd = make_old(plan, mount, &prepared->options, point, destination, err);
	else if (fd >= 0)
		r = kist_ns_mount_attach(fd, point);
	if (fd < 0)
		return fd;
	if (r < 0)
		return kist_fail_errno(err, -r, "attach");
	for (size_t i = 0; i < o->n_propagation && r == 0; i++) {
		r = kist_ns_mount_setattr(fd, o->propagation[i].recursive, 0, 0, o->propagation[i].type);
		if (r == -ENOSYS)
			r = kist_ns_mount_remount(fd, o->propagation[i].recursive, 0, 0, o->propagation[i].type);
	}
	if (r < 0)
		return kist_fail_errno(err, -r, "propagation");
	if (is_dev) {
		kist_close_fd(&plan->dev);
		plan->dev = kist_steal_fd(&fd);
		plan->dev_foreign = false;
	}
	return 0;
}

int kist_ns_mounts_seal(struct kist_ns_plan *plan, struct kist_error *err)
{
	if (!plan->dev_readonly || plan->dev < 0)
		return 0;
	int r = kist_ns_mount_setattr(plan->dev, false, MOUNT_ATTR_RDONLY, 0, 0);
	if (r == -ENOSYS)
		r = kist_ns_mount_remount(plan->dev, false, MOUNT_ATTR_RDONLY, 0, 0);
	return r < 0 ? kist_fail_errno(err, -r, "mount /dev: read-only") : 0;
}

int kist_ns_mounts_make(struct kist_ns_plan *plan, struct kist_error *err)
{
	for (size_t i = 0; i < plan->spec->n_mounts; i++) {
		int r = make_one(plan, &plan->spec->mounts[i], &plan->mounts[i], err);
		if (r < 0)
			return kist_context(err, "mount %s", plan->spec->mounts[i].destination);
	}
	return 0;
}
