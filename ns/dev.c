#include "ns/launch.h"
#include "ns/mount_fd.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The specification's default devices (config-linux, Default Devices). */
static const struct kist_spec_device default_devices[] = {
	{ .type = "c", .path = "null", .major = 1, .minor = 3 },
	{ .type = "c", .path = "zero", .major = 1, .minor = 5 },
	{ .type = "c", .path = "full", .major = 1, .minor = 7 },
	{ .type = "c", .path = "random", .major = 1, .minor = 8 },
	{ .type = "c", .path = "urandom", .major = 1, .minor = 9 },
	{ .type = "c", .path = "tty", .major = 5, .minor = 0 },
};

static const struct {
	const char *name, *target;
} link_table[] = {
	{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" }, { "core", "/proc/kcore" },      { "ptmx", "pts/ptmx" },
};

static mode_t type_bits(const struct kist_spec_device *device)
{
	switch (device->type ? device->type[0] : 'c') {
	case 'b':
		return S_IFBLK;
	case 'p':
		return S_IFIFO;
	default: /* c, and u for a character device without buffer */
		return S_IFCHR;
	}
}

static dev_t number_of(const struct kist_spec_device *device)
{
	return type_bits(device) == S_IFIFO ? 0 : makedev((unsigned)device->major, (unsigned)device->minor);
}

static bool is_device(int fd, const struct kist_spec_device *device)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type_bits(device) &&
	       (S_ISFIFO(st.st_mode) || st.st_rdev == number_of(device));
}

/* A node of that path put over a file: in a user namespace, and where the image has something else there. What was
 * opened is checked, not what the path promised (CVE-2025-31133). */
static int bind_node(int dir, const char *name, int from, const char *path, const struct kist_spec_device *device)
{
	KIST_CLOSE int source = kist_ns_mount_clone(from, path, false);

	if (source < 0)
		return source;
	if (!is_device(source, device))
		return -ENXIO;
	KIST_CLOSE int target = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 && errno == ENOENT) {
		KIST_CLOSE int made = openat(dir, name, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0666);
		if (made < 0)
			return -errno;
		target = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	if (target < 0)
		return -errno;
	int r = kist_ns_mount_setattr(source, false, 0, 0, MS_PRIVATE);
	if (r < 0 && r != -ENOSYS)
		return r;
	return kist_ns_mount_attach(source, target);
}

static int bind_device(int dir, const char *name, const char *host, const struct kist_spec_device *device)
{
	return bind_node(dir, name, AT_FDCWD, host, device);
}

static int make_device(int dir, const char *name, const char *host, const struct kist_spec_device *device,
                       bool mknod_refused)
{
	mode_t mode = device->file_mode.set ? (mode_t)device->file_mode.value & 07777 : 0666;

	if (mknod_refused && type_bits(device) != S_IFIFO)
		return bind_device(dir, name, host, device);
	if (mknodat(dir, name, type_bits(device) | mode, number_of(device)) < 0) {
		if (errno == EPERM)
			return bind_device(dir, name, host, device);
		if (errno != EEXIST)
			return -errno;
		KIST_CLOSE int there = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		return there >= 0 && is_device(there, device) ? 0 : bind_device(dir, name, host, device);
	}
	uid_t uid = device->uid.set ? (uid_t)device->uid.value : 0;
	gid_t gid = device->gid.set ? (gid_t)device->gid.value : 0;
	if ((uid || gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int make_defaults(const struct kist_ns_plan *plan, int dir, struct kist_error *err)
{
	for (size_t i = 0; i < KIST_COUNT(default_devices); i++) {
		const struct kist_spec_device *device = &default_devices[i];
		char host[32];
		snprintf(host, sizeof(host), "/dev/%s", device->path);
		int r = make_device(dir, device->path, host, device, kist_ns_plan_has_user(plan));
		if (r < 0)
			return kist_fail_errno(err, -r, "device /dev/%s", device->path);
	}
	return 0;
}

/* What the image has in that place must be the device (config-linux, Devices), or the empty file that a bind mount of
 * an earlier run was put over. */
static bool is_something_else(int dir, const char *name, const struct kist_spec_device *device)
{
	KIST_CLOSE int there = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (there < 0 || is_device(there, device))
		return false;
	return fstat(there, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > 0;
}

/* --- devices of a user namespace that the host does not have by that path ------------------------------------------
 */

static bool host_has(const struct kist_spec_device *device)
{
	struct stat st;

	return stat(device->path, &st) == 0 && (st.st_mode & S_IFMT) == type_bits(device) &&
	       st.st_rdev == number_of(device);
}

static bool is_needed(const struct kist_spec_device *device)
{
	return type_bits(device) != S_IFIFO && !host_has(device);
}

/* Of ids in the user namespace to those on the host. */
struct user_maps {
	struct kist_spec_id_map *uids, *gids;
	size_t n_uids, n_gids;
};

/* Those of the plan, or of the namespace that is joined: the plan has none then. Freed by the caller. */
static int maps_of(const struct kist_ns_plan *plan, struct user_maps *maps, struct kist_error *err)
{
	const struct kist_spec_linux *linux_ = &plan->spec->linux_;

	for (size_t i = 0; !linux_->n_uid_mappings && i < KIST_NS_N_NAMESPACES; i++)
		if (kist_ns_namespace_table[i].flag == CLONE_NEWUSER && plan->namespaces.fd[i] >= 0)
			return kist_ns_userns_maps_read(plan->namespaces.fd[i], &maps->uids, &maps->n_uids, &maps->gids,
			                                &maps->n_gids, err);
	maps->n_uids = linux_->n_uid_mappings;
	maps->n_gids = linux_->n_gid_mappings;
	maps->uids = kist_grow(NULL, maps->n_uids + 1, sizeof(*maps->uids));
	maps->gids = kist_grow(NULL, maps->n_gids + 1, sizeof(*maps->gids));
	for (size_t i = 0; i < maps->n_uids; i++)
		maps->uids[i] = linux_->uid_mappings[i];
	for (size_t i = 0; i < maps->n_gids; i++)
		maps->gids[i] = linux_->gid_mappings[i];
	return 0;
}

/* Named by its place in the plan, and owned as the container's ids are on the host. */
static int make_for_user(const struct kist_spec_linux *plan, const struct user_maps *maps, int dir, size_t i)
{
	const struct kist_spec_device *device = &plan->devices[i];
	mode_t mode = device->file_mode.set ? (mode_t)device->file_mode.value & 07777 : 0666;
	uint32_t uid, gid;
	char name[24];

	snprintf(name, sizeof(name), "%zu", i);
	if (!kist_ns_user_map_id(maps->uids, maps->n_uids, device->uid.set ? (uint32_t)device->uid.value : 0, &uid) ||
	    !kist_ns_user_map_id(maps->gids, maps->n_gids, device->gid.set ? (uint32_t)device->gid.value : 0, &gid))
		return -EOVERFLOW;
	if (mknodat(dir, name, type_bits(device) | mode, number_of(device)) < 0 || fchmodat(dir, name, mode, 0) < 0 ||
	    fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int prepare_one(struct kist_ns_plan *plan, const struct user_maps *maps, size_t i, struct kist_error *err)
{
	const struct kist_spec_linux *linux_ = &plan->spec->linux_;
	int r = 0;

	if (plan->devices < 0)
		r = plan->devices = kist_ns_mount_new("tmpfs", "devices", NULL, 0, err);
	if (r < 0)
		return r;
	r = make_for_user(linux_, maps, plan->devices, i);
	/* EPERM: this is itself a user namespace. */
	if (r < 0 && r != -EPERM)
		return kist_fail_errno(err, -r, "device %s", linux_->devices[i].path);
	return 0;
}

int kist_ns_dev_prepare(struct kist_ns_plan *plan, struct kist_error *err)
{
	const struct kist_spec_linux *linux_ = &plan->spec->linux_;
	struct user_maps maps = { 0 };
	bool read = false;
	int r = 0;

	for (size_t i = 0; r == 0 && kist_ns_plan_has_user(plan) && i < linux_->n_devices; i++) {
		if (!is_needed(&linux_->devices[i]))
			continue;
		if (!read)
			r = maps_of(plan, &maps, err);
		read = true;
		if (r == 0)
			r = prepare_one(plan, &maps, i, err);
	}
	free(maps.uids);
	free(maps.gids);
	return r == -ENOSYS ? 0 : r; /* the device is looked for on the host then */
}

/* A mount can be cloned only once it is attached: that of the devices lies over the container's root meanwhile, where
 * no path that begins at the root's descriptor leads. */
static int attach_devices(const struct kist_ns_plan *plan, struct kist_error *err)
{
	int r = plan->devices < 0 ? 0 : kist_ns_mount_attach(plan->devices, plan->rootfs);

	return r < 0 ? kist_fail_errno(err, -r, "attach the devices") : 0;
}

static int detach_devices(const struct kist_ns_plan *plan, struct kist_error *err)
{
	if (plan->devices < 0)
		return 0;
	if (fchdir(plan->devices) < 0 || umount2(".", MNT_DETACH) < 0 || fchdir(plan->rootfs) < 0)
		return kist_fail_errno(err, errno, "detach the devices");
	return 0;
}

/* A device of the plan. Its path is split, so that the node itself is made by a single name. */
static int make_planned(const struct kist_ns_plan *plan, const struct kist_spec_device *device)
{
	const char *slash = strrchr(device->path, '/');
	const char *name = slash ? slash + 1 : device->path;
	KIST_FREE char *parent = kist_strndup(device->path, (size_t)(name - device->path));

	if (!*name || kist_streq(name, ".") || kist_streq(name, ".."))
		return -EINVAL;
	KIST_CLOSE int dir = kist_mkdirs_in_root(plan->rootfs, *parent ? parent : "/", 0755, 0, 0);
	if (dir < 0)
		return dir;
	if (is_something_else(dir, name, device))
		return -EEXIST;
	int r = make_device(dir, name, device->path, device, kist_ns_plan_has_user(plan));
	if (plan->devices < 0 || (r != -ENOENT && r != -ENXIO))
		return r;
	char own[24];
	snprintf(own, sizeof(own), "%zu", (size_t)(device - plan->spec->linux_.devices));
	return bind_node(dir, name, plan->devices, own, device);
}

static int make_links(int dir, struct kist_error *err)
{
	for (size_t i = 0; i < KIST_COUNT(link_table); i++)
		if (symlinkat(link_table[i].target, dir, link_table[i].name) < 0 && errno != EEXIST)
			return kist_fail_errno(err, errno, "link /dev/%s", link_table[i].name);
	return 0;
}

int kist_ns_dev_make(struct kist_ns_plan *plan, struct kist_error *err)
{
	KIST_CLOSE int own = -1;
	int dir = plan->dev;

	if (plan->dev_foreign)
		return 0;
	if (dir < 0) {
		/* The image's own /dev, resolved inside it: it may be a link (CVE-2026-41579). */
		dir = own = kist_mkdirs_in_root(plan->rootfs, "/dev", 0755, 0, 0);
		if (dir < 0)
			return kist_fail_errno(err, -dir, "/dev");
	}
	int r = make_defaults(plan, dir, err);
	if (r == 0)
		r = attach_devices(plan, err);
	for (size_t i = 0; i < plan->spec->linux_.n_devices && r == 0; i++) {
		const struct kist_spec_device *device = &plan->spec->linux_.devices[i];
		r = make_planned(plan, device);
		if (r < 0)
			return kist_fail_errno(err, -r, "device %s", device->path);
	}
	if (r == 0)
		r = detach_devices(plan, err);
	return r < 0 ? r : make_links(dir, err);
}
