/* Overlay mounts.
 *
 * Names are given relative to the store and to the container's directory, by changing into them for the length of the
 * call: they stay short, need no escaping and no /proc. Three ways, the first that the kernel has:
 *   - "lowerdir+", one layer a call (Linux 6.8);
 *   - one "lowerdir" of short names (5.2), as long as it fits the 255 bytes that one fsconfig(2) string takes;
 *   - mount(2) in the private mount namespace of a child, which takes a page of options, and open_tree(2).
 * With a user namespace it is always the last: there idmapped copies of the layers take the layers' places. What is
 * above stays as it is, in the namespace's own ids: the work directory is the kernel's, who acts as the host's root. */
#include "overlay/overlay.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "overlay/mount.h"
#include "overlay/store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_LAYERS          128
#define FSCONFIG_STRING_MAX 255

struct plan {
	const struct kist_overlay_mount *mount;
	int store; /* -1 when lower_fd is used */
	bool volatile_;
	struct kist_str lower; /* all lower names in one; unless "lowerdir+" is used */
	char upper[48], work[48];
};

/* --- what the host has ---------------------------------------------------------------------------------------------
 */

static bool kernel_at_least(int major, int minor)
{
	struct utsname name;
	char *end;
	long a, b;

	if (uname(&name) < 0)
		return false;
	a = strtol(name.release, &end, 10);
	b = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
	return a > major || (a == major && b >= minor);
}

static bool has_trusted_xattrs(int dir)
{
	KIST_CLOSE int work = openat(dir, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (work < 0)
		return true;
	if (fsetxattr(work, "trusted.overlay.test", "y", 1, 0) < 0)
		return errno != EOPNOTSUPP;
	fremovexattr(work, "trusted.overlay.test");
	return true;
}

/* The kernel tells the reason of an overlay's refusal to its own log only, so the likely ones are looked for. */
static int explain(const struct plan *plan, int errnum, struct kist_error *err)
{
	int dir = plan->mount->dir;

	kist_fail_errno(err, errnum, "mount overlay");
	if (errnum == ENODEV)
		return kist_remedy(err, "the kernel has no overlay file system: load the module 'overlay'");
	if (errnum == EPERM)
		return kist_remedy(err, "mounting needs CAP_SYS_ADMIN");
	if (dir >= 0 && kist_is_fs(dir, OVERLAYFS_SUPER_MAGIC))
		return kist_remedy(
		        err, "the container's directory is itself on an overlay file system, which cannot hold an "
		             "upper layer: put --root on another file system");
	if (dir >= 0 && (kist_is_fs(dir, NFS_SUPER_MAGIC) || kist_is_fs(dir, MSDOS_SUPER_MAGIC) ||
	                 kist_is_fs(dir, FUSE_SUPER_MAGIC)))
		return kist_remedy(
		        err, "the container's directory is on a network, FAT or FUSE file system, which cannot hold "
		             "an upper layer: put --root on another file system");
	if (dir >= 0 && !has_trusted_xattrs(dir))
		return kist_remedy(err,
		                   "the container's directory is on a file system without trusted extended attributes: "
		                   "put --root on another file system");
	if (errnum == EBUSY)
		return kist_remedy(err, "the container's upper directory is used by another overlay mount");
	if (errnum == ELOOP)
		return kist_remedy(err, "a layer is listed twice, or one lies inside another");
	if (errnum == EINVAL || errnum == ESTALE)
		return kist_remedy(err, "the kernel's log tells more: dmesg | grep overlayfs");
	return -errnum;
}

/* --- the plan ------------------------------------------------------------------------------------------------------
 */

static size_t layer_count(const struct kist_overlay_mount *mount)
{
	size_t n = 0;

	while (mount->layers && mount->layers[n])
		n++;
	return n;
}

static int check(struct kist_overlay *store, const struct kist_overlay_mount *mount, struct kist_error *err)
{
	size_t n = layer_count(mount);

	if (mount->lower_fd >= 0) {
		if (n || mount->dir < 0)
			return kist_fail(err, KIST_ERR_INTERNAL, EINVAL,
			                 "an overlay over a directory needs an upper one, and no layers");
		return 0;
	}
	if (n == 0 || !store)
		return kist_fail(err, KIST_ERR_INVALID, 0, "an overlay mount without layers");
	if (n > MAX_LAYERS)
		return kist_fail(err, KIST_ERR_INVALID, 0, "%zu layers are more than %d", n, MAX_LAYERS);
	for (size_t i = 0; i < n; i++) {
		if (!kist_overlay_has(store, mount->layers[i]))
			return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "layer %.64s is not in the store",
			                 mount->layers[i]);
	}
	return 0;
}

static const char *layer_diff(char out[80], const char *layer)
{
	snprintf(out, 80, "%.64s/diff", layer);
	return out;
}

/* The container's root shows mode and owner of the upper directory: they are those of the root below. */
static int make_upper(const struct plan *plan, struct kist_error *err)
{
	const struct kist_overlay_mount *mount = plan->mount;
	struct stat st;
	char path[80];
	int r;

	if (mkdirat(mount->dir, "work", 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "create the work directory");
	if (mkdirat(mount->dir, "upper", 0700) < 0)
		return errno == EEXIST ? 0 : kist_fail_errno(err, errno, "create the upper directory");
	if (mount->lower_fd >= 0) {
		r = fstat(mount->lower_fd, &st);
	} else {
		r = fstatat(plan->store, layer_diff(path, mount->layers[0]), &st, AT_SYMLINK_NOFOLLOW);
	}
	if (r < 0)
		return kist_fail_errno(err, errno, "look at the layer below");
	if (mount->userns) {
		st.st_uid = mount->userns->root_uid;
		st.st_gid = mount->userns->root_gid;
	}
	if (fchownat(mount->dir, "upper", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return kist_fail_errno(err, errno, "set the owner of the upper directory");
	/* fchmodat follows links; the directory is of our making, in a directory of ours. */
	if (fchmodat(mount->dir, "upper", st.st_mode & 07777, 0) < 0)
		return kist_fail_errno(err, errno, "set the mode of the upper directory");
	return 0;
}

/* An overlay without an upper layer must have two below: a single one gets an empty one underneath. */
static int make_empty(const struct plan *plan, struct kist_error *err)
{
	if (mkdirat(plan->store, "empty", 0755) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "create the empty layer");
	return 0;
}

static bool needs_empty(const struct plan *plan)
{
	return plan->mount->dir < 0 && layer_count(plan->mount) == 1;
}

/* "l/SHORT:l/SHORT", relative to the store; what has no place there goes through /proc. A child changes its root to
 * what is below and its working directory to what is above, see mount_privately. */
static int plan_names(const struct kist_overlay *store, struct plan *plan, bool child, struct kist_error *err)
{
	char *const *layers = plan->mount->layers;
	bool rooted = child && plan->mount->dir >= 0;

	if (child) {
		snprintf(plan->upper, sizeof(plan->upper), "upper");
		snprintf(plan->work, sizeof(plan->work), "work");
	} else {
		snprintf(plan->upper, sizeof(plan->upper), "/proc/self/fd/%d/upper", plan->mount->dir);
		snprintf(plan->work, sizeof(plan->work), "/proc/self/fd/%d/work", plan->mount->dir);
	}
	if (plan->store < 0 && rooted)
		kist_str_add(&plan->lower, "/");
	else if (plan->store < 0)
		kist_str_addf(&plan->lower, "/proc/self/fd/%d", plan->mount->lower_fd);
	for (size_t i = 0; plan->store >= 0 && layers[i]; i++) {
		char name[KIST_OVERLAY_SHORT + 1];
		int r = kist_overlay_short(store, layers[i], name);

		if (r < 0)
			return kist_fail_errno(err, -r, "read the short name of layer %s", layers[i]);
		kist_str_addf(&plan->lower, "%s%sl/%s", i ? ":" : "", rooted ? "/" : "", name);
	}
	if (needs_empty(plan))
		kist_str_add(&plan->lower, ":empty");
	return 0;
}

/* --- fsopen --------------------------------------------------------------------------------------------------------
 */

static int set_string(int fs, const char *key, const char *value)
{
	if (fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0) < 0) {
		int errnum = errno;

		kist_debug("overlay: %s=%s: %s", key, value, strerror(errnum));
		return -errnum;
	}
	return 0;
}

static int set_options(int fs, const struct plan *plan)
{
	const char *const *options = plan->mount->options;

	if (plan->volatile_ && fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0)
		return -errno;
	for (size_t i = 0; options && options[i]; i++) {
		const char *equals = strchr(options[i], '=');
		KIST_FREE char *key = equals ? kist_strndup(options[i], (size_t)(equals - options[i])) : NULL;
		int r = equals ? fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1, 0)
		               : fsconfig(fs, FSCONFIG_SET_FLAG, options[i], NULL, 0);

		if (r < 0)
			return -errno;
	}
	return 0;
}

/* Each string is resolved when it is given: the working directory follows along. */
static int configure_each(int fs, const struct plan *plan)
{
	char *const *layers = plan->mount->layers;
	int r = 0;

	if (fchdir(plan->store >= 0 ? plan->store : plan->mount->lower_fd) < 0)
		return -errno;
	if (plan->store < 0)
		r = set_string(fs, "lowerdir+", ".");
	for (size_t i = 0; r == 0 && plan->store >= 0 && layers[i]; i++) {
		char path[80];

		r = set_string(fs, "lowerdir+", layer_diff(path, layers[i]));
	}
	if (r == 0 && needs_empty(plan))
		r = set_string(fs, "lowerdir+", "empty");
	if (r < 0 || plan->mount->dir < 0)
		return r;
	if (fchdir(plan->mount->dir) < 0)
		return -errno;
	r = set_string(fs, "upperdir", "upper");
	return r < 0 ? r : set_string(fs, "workdir", "work");
}

/* Before 6.5, overlay resolves the strings when it creates the mount: one working directory must do for all. */
static int configure_whole(int fs, const struct plan *plan)
{
	int r;

	if (plan->store >= 0 && fchdir(plan->store) < 0)
		return -errno;
	r = set_string(fs, "lowerdir", plan->lower.data);
	if (r < 0 || plan->mount->dir < 0)
		return r;
	r = set_string(fs, "upperdir", plan->upper);
	return r < 0 ? r : set_string(fs, "workdir", plan->work);
}

static int mount_by_context(const struct plan *plan, bool each)
{
	KIST_CLOSE int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	KIST_CLOSE int before = -1;
	int r;

	if (fs < 0)
		return -errno;
	before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (before < 0)
		return -errno;
	r = each ? configure_each(fs, plan) : configure_whole(fs, plan);
	if (r == 0)
		r = set_options(fs, plan);
	if (r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		r = -errno;
	if (fchdir(before) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		return r;
	r = fsmount(fs, FSMOUNT_CLOEXEC, plan->mount->dir < 0 ? MOUNT_ATTR_RDONLY : 0);
	return r < 0 ? -errno : r;
}

/* --- mount(2) ------------------------------------------------------------------------------------------------------
 */

static void option_text(const struct plan *plan, struct kist_str *out)
{
	const char *const *options = plan->mount->options;

	kist_str_addf(out, "lowerdir=%s", kist_str_get(&plan->lower));
	if (plan->mount->dir >= 0)
		kist_str_addf(out, ",upperdir=%s,workdir=%s", plan->upper, plan->work);
	if (plan->volatile_)
		kist_str_add(out, ",volatile");
	for (size_t i = 0; options && options[i]; i++)
		kist_str_addf(out, ",%s", options[i]);
}

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

/* An idmapped copy of a directory, mounted over the directory itself. */
static int cover_idmapped(int at, const char *name, int userns)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	KIST_CLOSE int place = openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	KIST_CLOSE int copy = -1;

	if (place < 0)
		return -errno;
	copy = open_tree(place, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (copy < 0 || mount_setattr(copy, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0 ||
	    move_mount(copy, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

static int cover_layers(const struct plan *plan, bool rooted)
{
	char *const *layers = plan->mount->layers;
	char path[88];
	int r = 0;

	for (size_t i = 0; r == 0 && plan->store >= 0 && layers[i]; i++) {
		snprintf(path, sizeof(path), "%s%.64s/diff", rooted ? "/" : "", layers[i]);
		r = cover_idmapped(AT_FDCWD, path, plan->mount->userns->fd);
	}
	return r;
}

/* In a child. Mounts over a directory of ours, where only this process sees it, and takes the mount along as an fd.
 * Overlay refuses layers in another mount namespace, and of what a process holds only its root and its working
 * directory move into a new one: so one is what is below, the other what is above. */
static int mount_privately(const struct plan *plan, const char *options)
{
	int below = plan->store >= 0 ? plan->store : plan->mount->lower_fd;
	bool writable = plan->mount->dir >= 0;
	const char *place = writable ? "work" : "l";
	int fd, r;

	if (fchdir(below) < 0 || (writable && (chroot(".") < 0 || fchdir(plan->mount->dir) < 0)))
		return -errno;
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	r = make_place_private();
	if (r < 0)
		return r;
	if (plan->mount->userns)
		r = cover_layers(plan, writable);
	if (r < 0)
		return r;
	if (mount("overlay", place, "overlay", writable ? 0 : MS_RDONLY, options) < 0)
		return -errno;
	fd = open_tree(AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int mount_by_child(const struct plan *plan)
{
	KIST_STR struct kist_str options = { 0 };
	KIST_CLOSE int ours = -1;
	int pair[2];
	int fd = -1;
	int r = -EIO;
	size_t n = 1;
	pid_t pid;

	option_text(plan, &options);
	if (options.len >= (size_t)sysconf(_SC_PAGESIZE))
		return -E2BIG;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		r = mount_privately(plan, options.data);
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

/* --- the door ------------------------------------------------------------------------------------------------------
 */

static int mount_plan(struct kist_overlay *store, struct plan *plan, enum kist_overlay_way way, struct kist_error *err)
{
	const struct kist_overlay_mount *mount = plan->mount;
	int r = 0;

	if (mount->dir >= 0)
		r = make_upper(plan, err);
	else if (needs_empty(plan))
		r = make_empty(plan, err);
	if (r == 0 && way != KIST_OVERLAY_EACH)
		r = plan_names(store, plan, way == KIST_OVERLAY_CHILD, err);
	if (r < 0)
		return r;
	if (way == KIST_OVERLAY_WHOLE && plan->lower.len > FSCONFIG_STRING_MAX)
		return -E2BIG;
	return way == KIST_OVERLAY_CHILD ? mount_by_child(plan) : mount_by_context(plan, way == KIST_OVERLAY_EACH);
}

/* A volatile mount leaves work/work/incompat/volatile behind, so that nobody mounts a layer again that a crash may have
 * torn. The caller has said that this one may be lost. */
static bool forget_volatile(int dir)
{
	KIST_CLOSE int incompatible = kist_open_beneath(dir, "work/work/incompat", O_RDONLY | O_DIRECTORY, 0);

	return incompatible >= 0 && kist_exists_at(incompatible, "volatile") &&
	       kist_remove_tree(incompatible, "volatile") == 0;
}

int kist_overlay_mount_by(struct kist_overlay *store, const struct kist_overlay_mount *mount, enum kist_overlay_way way,
                          struct kist_error *err)
{
	struct plan plan = { .mount = mount,
		             .store = mount->lower_fd >= 0 ? -1 : store->dir,
		             .volatile_ = mount->volatile_ && mount->dir >= 0 };
	int r;

	/* Linux 5.10 knows "volatile"; it is a matter of speed alone. */
	if (way != KIST_OVERLAY_EACH && plan.volatile_ && !kernel_at_least(5, 10))
		plan.volatile_ = false;
	r = mount_plan(store, &plan, way, err);
	if (r == -EINVAL && plan.volatile_ && forget_volatile(mount->dir)) {
		kist_str_clear(&plan.lower);
		r = mount_plan(store, &plan, way, err);
	}
	if (r < 0 && r != -E2BIG && !kist_error_is_set(err))
		explain(&plan, -r, err);
	kist_str_free(&plan.lower);
	return r;
}

/* The kernel takes no directory twice, and images do repeat layers (an empty one, above all). What an upper one of two
 * equal layers shows hides all of the lower one, so that this can go. NULL: none is repeated. */
static char **unique_layers(char *const *layers)
{
	KIST_STRV char **unique = NULL;
	bool repeated = false;

	for (char *const *layer = layers; layer && *layer; layer++) {
		if (kist_strv_has(unique, *layer))
			repeated = true;
		else
			kist_strv_add(&unique, *layer);
	}
	return repeated ? kist_steal(&unique) : NULL;
}

int kist_overlay_mount(struct kist_overlay *store, const struct kist_overlay_mount *asked, struct kist_error *err)
{
	KIST_STRV char **unique = asked->lower_fd >= 0 ? NULL : unique_layers(asked->layers);
	struct kist_overlay_mount copy = *asked, *mount = &copy;

	if (unique)
		copy.layers = unique;
	int r = check(store, mount, err);
	if (r < 0)
		return r;
	if (mount->userns)
		return kist_overlay_mount_by(store, mount, KIST_OVERLAY_CHILD, err);
	if (kernel_at_least(6, 8))
		return kist_overlay_mount_by(store, mount, KIST_OVERLAY_EACH, err);
	r = kist_overlay_mount_by(store, mount, KIST_OVERLAY_WHOLE, err);
	if (r == -E2BIG)
		r = kist_overlay_mount_by(store, mount, KIST_OVERLAY_CHILD, err);
	if (r == -E2BIG)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, E2BIG, "the layers' names do not fit one mount call");
	return r;
}
