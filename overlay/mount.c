/* Overlay mounts.
 *
 * Names are given relative to the store and to the container's directory, by changing into them for the length of the
 * call: they stay short, need no escaping and no /proc. Three ways, the first that the kernel has:
 *   - "lowerdir+", one layer a call (Linux 6.8);
 *   - one "lowerdir" of short names (5.2), as long as it fits the 255 bytes that one fsconfig(2) string takes;
 *   - mount(2) in the private mount namespace of a child, which takes a page of options, and open_tree(2).
 * It is always the last where a layer is a file system in a file, lies in another store than the first, or is seen
 * through a user namespace: mounts take the places of all layers then. What is above stays as it is, in the namespace's
 * own ids: the work directory is the kernel's, who acts as the host's root. */
#include "overlay/overlay.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "overlay/mount.h"
#include "overlay/mount_child.h"
#include "overlay/packed.h"
#include "overlay/quota.h"
#include "overlay/store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
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
	bool volatile_, points;
	struct kist_str lower; /* all lower names in one; unless "lowerdir+" is used */
	char upper[48], work[48];
	int *trees; /* detached mounts that stand for the layers, top first */
	size_t n_trees;
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

/* --- options -------------------------------------------------------------------------------------------------------
 */

int kist_overlay_option_check(const char *option, struct kist_error *err)
{
	static const char *const known[] = {
		"volatile",
		"metacopy=on",
		"metacopy=off",
		"index=on",
		"index=off",
		"redirect_dir=on",
		"redirect_dir=off",
		"redirect_dir=follow",
		"redirect_dir=nofollow",
		"xino=on",
		"xino=off",
		"xino=auto",
	};

	for (size_t i = 0; i < KIST_COUNT(known); i++)
		if (kist_streq(option, known[i]))
			return 0;
	return kist_fail(
	        err, KIST_ERR_INVALID, 0,
	        "overlay option '%s': expected volatile, or metacopy, index, redirect_dir or xino with a value",
	        option);
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

/* "LAYER/diff" in its store. */
static const char *layer_diff(char out[80], const char *layer)
{
	snprintf(out, 80, "%.64s/diff", layer);
	return out;
}

/* --- layers that are mounts -----------------------------------------------------------------------------------------
 */

static bool needs_trees(struct kist_overlay *store, const struct kist_overlay_mount *mount)
{
	if (mount->userns || mount->lower_packed)
		return true;
	for (char *const *layer = mount->lower_fd < 0 ? mount->layers : NULL; layer && *layer; layer++)
		if (!kist_overlay_owns(store, *layer) || kist_overlay_layer_type(store, *layer))
			return true;
	return false;
}

/* A packed layer as what it holds, any other as a copy of the mount that it is on. */
static int layer_tree(struct kist_overlay *store, const char *layer, struct kist_error *err)
{
	const struct kist_overlay *holder = kist_overlay_holder(store, layer);
	KIST_CLOSE int file = kist_overlay_open_in(store, layer, KIST_OVERLAY_PACKED, 0);
	char path[80];

	if (file >= 0) {
		int tree = kist_overlay_packed_mount(file, err);
		return tree < 0 ? kist_context(err, "layer %.12s", layer) : tree;
	}
	int tree = holder ? open_tree(holder->dir, layer_diff(path, layer), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC) : -1;
	return tree < 0 ? kist_fail_errno(err, errno, "open layer %.12s", layer) : tree;
}

static int add_tree(struct plan *plan, int tree, struct kist_error *err)
{
	const struct kist_overlay_userns *userns = plan->mount->userns;
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_IDMAP };

	plan->trees = kist_grow(plan->trees, plan->n_trees + 1, sizeof(*plan->trees));
	plan->trees[plan->n_trees++] = tree;
	if (!userns)
		return 0;
	attributes.userns_fd = (uint64_t)userns->fd;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) == 0)
		return 0;
	kist_fail_errno(err, errno, "map the ids of a layer");
	return errno == EINVAL || errno == ENOSYS
	               ? kist_remedy(err, "id-mapped layers need Linux 5.19, and a file system that knows them")
	               : -errno;
}

static int make_trees(struct kist_overlay *store, struct plan *plan, struct kist_error *err)
{
	const struct kist_overlay_mount *mount = plan->mount;
	int r = 0;

	if (mount->lower_fd >= 0 && mount->lower_packed) {
		int tree = kist_overlay_packed_mount(mount->lower_fd, err);
		return tree < 0 ? tree : add_tree(plan, tree, err);
	}
	if (mount->lower_fd >= 0) {
		int tree = open_tree(mount->lower_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		return tree < 0 ? kist_fail_errno(err, errno, "open the directory below") : add_tree(plan, tree, err);
	}
	for (size_t i = 0; r == 0 && mount->layers[i]; i++) {
		int tree = layer_tree(store, mount->layers[i], err);
		r = tree < 0 ? tree : add_tree(plan, tree, err);
	}
	return r;
}

static void drop_trees(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_trees; i++)
		kist_close_fd(&plan->trees[i]);
	free(plan->trees);
	plan->trees = NULL;
	plan->n_trees = 0;
}

/* --- the upper layer ------------------------------------------------------------------------------------------------
 */

static int stat_below(const struct plan *plan, struct stat *st)
{
	char path[80];

	if (plan->n_trees)
		return fstat(plan->trees[0], st);
	if (plan->mount->lower_fd >= 0)
		return fstat(plan->mount->lower_fd, st);
	return fstatat(plan->store, layer_diff(path, plan->mount->layers[0]), st, AT_SYMLINK_NOFOLLOW);
}

/* Both, so that a file can be renamed from one to the other: the kernel refuses that between projects. */
static int limit_upper(const struct kist_overlay_mount *mount, struct kist_error *err)
{
	static const char *const names[] = { "work", "upper" };
	int r = kist_quota_limit(mount->dir, mount->quota, err);

	for (size_t i = 0; r == 0 && i < KIST_COUNT(names); i++) {
		KIST_CLOSE int dir = openat(mount->dir, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		r = dir < 0 ? kist_fail_errno(err, errno, "open the %s directory", names[i])
		            : kist_quota_assign(dir, mount->quota, err);
	}
	return r;
}

/* The container's root shows mode and owner of the upper directory: they are those of the root below. */
static int make_upper(const struct plan *plan, struct kist_error *err)
{
	const struct kist_overlay_mount *mount = plan->mount;
	struct stat st;

	if (mkdirat(mount->dir, "work", 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "create the work directory");
	if (mkdirat(mount->dir, "upper", 0700) < 0)
		return errno == EEXIST ? 0 : kist_fail_errno(err, errno, "create the upper directory");
	if (stat_below(plan, &st) < 0)
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

/* An overlay without an upper layer must have two below: a single one gets an empty one underneath. A store that has no
 * layers of its own yet has no directory where mounts can take their places either. */
static int make_directory(const struct plan *plan, const char *name, mode_t mode, struct kist_error *err)
{
	if (mkdirat(plan->store, name, mode) == 0 || errno == EEXIST || kist_exists_at(plan->store, name))
		return 0;
	return kist_fail_errno(err, errno, "create the layer store's directory '%s'", name);
}

static bool needs_empty(const struct plan *plan)
{
	return plan->mount->dir < 0 && layer_count(plan->mount) == 1;
}

/* Layers that are mounts have no place for it, and what is no layer (--rootfs DIR:O) stays as it is. */
static bool have_points(struct kist_overlay *store, const struct plan *plan)
{
	if (!plan->mount->points || plan->n_trees || plan->store < 0)
		return false;
	int r = kist_overlay_points_make(store);
	if (r < 0)
		kist_debug("overlay: make the layer of mount points: %s", strerror(-r));
	return r == 0;
}

/* "l/SHORT:l/SHORT", relative to the store; what has no place there goes through /proc. A child changes its root to
 * what is below and its working directory to what is above, see mount_privately. */
static void plan_tree_names(struct plan *plan)
{
	snprintf(plan->upper, sizeof(plan->upper), "/upper");
	snprintf(plan->work, sizeof(plan->work), "/work");
	for (size_t i = 0; i < plan->n_trees; i++)
		kist_str_addf(&plan->lower, "%s" KIST_OVERLAY_PLACES "/%zu", i ? ":" : "", i);
	if (needs_empty(plan))
		kist_str_add(&plan->lower, ":" KIST_OVERLAY_PLACES "/none");
}

static int plan_names(const struct kist_overlay *store, struct plan *plan, bool child, struct kist_error *err)
{
	char *const *layers = plan->mount->layers;
	bool rooted = child && plan->mount->dir >= 0;

	if (plan->n_trees) {
		plan_tree_names(plan);
		return 0;
	}
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
	if (plan->points)
		kist_str_addf(&plan->lower, ":%s" KIST_OVERLAY_POINTS, rooted ? "/" : "");
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
		if (kist_streq(options[i], "volatile"))
			continue;
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
	if (r == 0 && plan->points)
		r = set_string(fs, "lowerdir+", KIST_OVERLAY_POINTS);
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
		if (!kist_streq(options[i], "volatile"))
			kist_str_addf(out, ",%s", options[i]);
}

static int mount_by_child(const struct plan *plan)
{
	KIST_STR struct kist_str options = { 0 };

	option_text(plan, &options);
	if (options.len >= (size_t)sysconf(_SC_PAGESIZE))
		return -E2BIG;
	return kist_overlay_mount_child(
	        &(struct kist_overlay_child){ .root = plan->store >= 0 ? plan->store : plan->mount->lower_fd,
	                                      .dir = plan->mount->dir,
	                                      .options = options.data,
	                                      .trees = plan->trees,
	                                      .n_trees = plan->n_trees });
}

/* --- the door ------------------------------------------------------------------------------------------------------
 */

static int mount_plan(struct kist_overlay *store, struct plan *plan, enum kist_overlay_way way, struct kist_error *err)
{
	const struct kist_overlay_mount *mount = plan->mount;
	int r = 0;

	/* Only mount(2) has them; another kernel's ways are for tests, which do not ask for this. */
	if (way == KIST_OVERLAY_CHILD && needs_trees(store, mount))
		r = make_trees(store, plan, err);
	if (r == 0 && mount->dir >= 0)
		r = make_upper(plan, err);
	if (r == 0 && mount->dir >= 0 && mount->quota)
		r = limit_upper(mount, err);
	if (r == 0 && plan->n_trees)
		r = make_directory(plan, KIST_OVERLAY_PLACES, 0700, err);
	else if (r == 0 && needs_empty(plan))
		r = make_directory(plan, "empty", 0755, err);
	plan->points = r == 0 && have_points(store, plan);
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
		             .store = mount->lower_fd >= 0 && !(mount->userns || mount->lower_packed) ? -1 : store->dir,
		             .volatile_ = mount->volatile_ && mount->dir >= 0 };
	int r;

	/* Linux 5.10 knows "volatile"; it is a matter of speed alone. */
	if (way != KIST_OVERLAY_EACH && plan.volatile_ && !kernel_at_least(5, 10))
		plan.volatile_ = false;
	r = mount_plan(store, &plan, way, err);
	if (r == -EINVAL && plan.volatile_ && forget_volatile(mount->dir)) {
		kist_str_clear(&plan.lower);
		drop_trees(&plan);
		r = mount_plan(store, &plan, way, err);
	}
	if (r < 0 && r != -E2BIG && !kist_error_is_set(err))
		explain(&plan, -r, err);
	kist_str_free(&plan.lower);
	drop_trees(&plan);
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
	if (needs_trees(store, mount))
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
