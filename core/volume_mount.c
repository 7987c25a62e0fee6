/* Volumes in the plan: their content made ready, and the mounts that show it.
 *
 * What an image has at the place is copied into a volume once, and only while the volume is empty: a volume's data is
 * never replaced (CVE-2020-1726). Names in the image and in the volume are resolved inside of them, by descriptors. */
#include "core/container_root.h"
#include "core/plan.h"
#include "core/userns.h"
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/fs_copy.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "ns/ns.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPYING "copying"

/* --- ids -----------------------------------------------------------------------------------------------------------
 */

static uint32_t host_id(const struct kist_spec_id_map *maps, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (id >= maps[i].container_id && id - maps[i].container_id < maps[i].size)
			return maps[i].host_id + (id - maps[i].container_id);
	return id;
}

uid_t kist_plan_host_uid(const struct kist_container_config *config, uint32_t uid)
{
	return host_id(config->uid_map, config->n_uid_map, uid);
}

gid_t kist_plan_host_gid(const struct kist_container_config *config, uint32_t gid)
{
	return host_id(config->gid_map, config->n_gid_map, gid);
}

/* --- options -------------------------------------------------------------------------------------------------------
 */

static bool has_option(char *const *options, const char *name)
{
	return kist_strv_has(options, name);
}

static bool no_copy(const struct kist_volume *v, const struct kist_volume_mount_config *mount)
{
	const char *word = kist_volume_option(v, "nocopy");

	return has_option(mount->options, "nocopy") || (word && !kist_streq(word, "false"));
}

/* What the mount of the plan gets: the rest is ours. podman mounts volumes nosuid and nodev unless told otherwise. */
char **kist_volume_mount_options(const struct kist_volume_mount_config *mount)
{
	static const char *const ours[] = { "copy", "nocopy", "U", "O", "z", "Z", "nocreate" };
	bool suid = false, dev = false, bind = false, propagation = false;
	char **out = NULL;

	for (char **option = mount->options; option && *option; option++) {
		bool skip = kist_is_overlay_place(*option) || kist_is_idmap(*option);
		for (size_t i = 0; i < KIST_COUNT(ours); i++)
			skip |= kist_streq(ours[i], *option);
		if (skip)
			continue;
		suid |= kist_streq(*option, "suid") || kist_streq(*option, "nosuid");
		dev |= kist_streq(*option, "dev") || kist_streq(*option, "nodev");
		bind |= kist_streq(*option, "bind") || kist_streq(*option, "rbind");
		propagation |= strstr(*option, "private") || strstr(*option, "shared") || strstr(*option, "slave") ||
		               strstr(*option, "unbindable");
		kist_strv_add(&out, *option);
	}
	if (!suid)
		kist_strv_add(&out, "nosuid");
	if (!dev)
		kist_strv_add(&out, "nodev");
	if (!bind)
		kist_strv_add(&out, "rbind");
	if (!propagation)
		kist_strv_add(&out, "rprivate");
	return out;
}

int kist_volume_check(const struct kist_volume_mount_config *mount, struct kist_error *err)
{
	if (kist_empty(mount->destination) || mount->destination[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0, "volume destination '%s': expected an absolute path",
		                 mount->destination ? mount->destination : "");
	if (mount->subpath && (kist_empty(mount->subpath) || mount->subpath[0] == '/'))
		return kist_fail(err, KIST_ERR_INVALID, 0, "volume at %s: subpath '%s' must be relative",
		                 mount->destination, mount->subpath);
	int r = kist_overlay_places_check(mount->options, err);
	if (r < 0)
		return kist_context(err, "volume at %s", mount->destination);
	r = mount->name ? kist_name_check(mount->name, err) : 0;
	return r < 0 && strchr(mount->name, '/') ? kist_remedy(err, "a path of the host begins with / or ./") : r;
}

/* --- the image's content -------------------------------------------------------------------------------------------
 */

/* Directory of the image at the mount's place; -ENOENT also for what is not a directory. */
static int image_directory(int rootfs, const char *destination)
{
	int fd = kist_open_in_root(rootfs, destination, O_RDONLY | O_DIRECTORY, 0);

	return fd == -ENOTDIR || fd == -ELOOP ? -ENOENT : fd;
}

struct content {
	struct plan *p;
	const struct kist_volume_mount_config *mount;
	struct kist_volume *v;
	int dir;   /* of the volume, locked */
	int data;  /* top of the content */
	bool sync; /* it must survive a power cut */
	bool kept; /* in volumes/NAME/data, and not in a file system of its own */
};

/* What a crash in the middle of the last attempt left is not the user's: unless another container has the volume. */
static int recover(struct content *x, struct kist_error *err)
{
	if (!x->kept || !kist_exists_at(x->dir, COPYING))
		return 0;
	KIST_STRV char **users = kist_volume_marks(x->p->c->k, x->dir, true);
	if (!x->v->copied && kist_strv_len(users) <= 1) {
		int r = kist_clear_dir(x->data);
		if (r < 0)
			return kist_fail_errno(err, -r, "clear what an interrupted copy left");
	}
	return unlinkat(x->dir, COPYING, 0) < 0 && errno != ENOENT
	               ? kist_fail_errno(err, errno, "end an interrupted copy")
	               : 0;
}

static int copy_up(struct content *x, int image, struct kist_error *err)
{
	if (x->kept) {
		KIST_CLOSE int note = openat(x->dir, COPYING, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (note < 0 || (x->sync && fsync(x->dir) < 0))
			return kist_fail_errno(err, errno, "begin to copy the image's content");
	}
	int r = kist_copy_tree(image, x->data, err);
	if (r == 0 && x->sync && syncfs(x->data) < 0)
		r = kist_fail_errno(err, errno, "sync its content");
	return r < 0 ? kist_context(err, "copy the image's content") : 0;
}

/* The top of an empty volume looks like the directory that it hides, or belongs to who will work in it. */
static int own_top(struct content *x, int image, struct kist_error *err)
{
	const struct kist_spec_user *user = &x->p->spec->process->user;
	const struct kist_container_config *config = x->p->config;
	int r = 0;

	if (image >= 0)
		r = kist_copy_metadata(image, x->data);
	else if (fchown(x->data, kist_plan_host_uid(config, user->uid), kist_plan_host_gid(config, user->gid)) < 0)
		r = -errno;
	return r < 0 ? kist_fail_errno(err, -r, "set the owner of its directory") : 0;
}

static int fill(struct content *x, bool fresh, struct kist_error *err)
{
	bool copied = x->v->copied, owned = x->v->owned;

	int r = recover(x, err);
	if (r < 0)
		return r;
	int empty = kist_dir_is_empty(x->data);
	if (empty < 0 && empty != -ENOTEMPTY)
		return kist_fail_errno(err, -empty, "look into it");
	if (empty == -ENOTEMPTY)
		copied = owned = true;
	/* A new tmpfs is as empty as the first time. */
	bool wants_copy = empty == 0 && (fresh || !copied), wants_owner = empty == 0 && (fresh || !owned);
	KIST_CLOSE int image = wants_copy || wants_owner ? image_directory(x->p->rootfs, x->mount->destination) : -1;
	if (image < 0 && image != -1 && image != -ENOENT)
		return kist_fail_errno(err, -image, "open %s of the image", x->mount->destination);
	bool has_content = image >= 0 && kist_dir_is_empty(image) == -ENOTEMPTY;
	if (wants_copy && has_content && !no_copy(x->v, x->mount)) {
		r = copy_up(x, image, err);
		copied = true;
	} else if (wants_owner && !x->v->uid.set && !x->v->gid.set) {
		r = own_top(x, image, err);
	}
	if (r < 0)
		return r;
	owned = true;
	if (copied != x->v->copied || owned != x->v->owned) {
		x->v->copied = copied;
		x->v->owned = owned;
		r = kist_volume_save(x->dir, x->v, x->sync || (!x->kept && !x->p->c->k->settings.volatile_), err);
	}
	if (r == 0 && x->kept)
		unlinkat(x->dir, COPYING, 0);
	return r;
}

/* --- the mount -----------------------------------------------------------------------------------------------------
 */

static int own_all(struct plan *p, int fd, struct kist_error *err)
{
	const struct kist_spec_user *user = &p->spec->process->user;

	return kist_chown_tree(fd, kist_plan_host_uid(p->config, user->uid), kist_plan_host_gid(p->config, user->gid),
	                       err);
}

/* A directory or file in the volume. Links in the volume are the container's doing: none leads out of it. */
static int open_subpath(struct content *x, struct kist_error *err)
{
	int fd = kist_open_in_root(x->data, x->mount->subpath, O_PATH, 0);

	return fd < 0 ? kist_fail_errno(err, -fd, "subpath %s", x->mount->subpath) : fd;
}

static int prepare(struct plan *p, const struct kist_volume_mount_config *mount, char **source, struct kist_error *err)
{
	struct kist *k = p->c->k;
	struct content x = { .p = p, .mount = mount, .data = -1 };
	KIST_CLOSE int tree = -1;
	bool fresh = false;

	struct kist_volume_hold *hold = kist_volume_held(p->c, mount->name);
	KIST_CLOSE int dir = hold ? fcntl(hold->dir, F_DUPFD_CLOEXEC, 3) : kist_volume_lock(k, mount->name, err);
	if (dir < 0)
		return hold ? kist_fail_errno(err, errno, "open it") : dir;
	int r = kist_volume_load(dir, mount->name, &x.v, err);
	if (r < 0)
		return r;
	KIST_CLOSE int data = hold && hold->tree >= 0 ? kist_volume_hold_again(hold, &tree, err)
	                                              : kist_volume_content(k, dir, x.v, &tree, &fresh, err);
	x.dir = dir;
	x.data = data;
	x.kept = !kist_volume_is_mounted(x.v);
	x.sync = x.kept && !k->settings.volatile_ && !(mount->anonymous && p->config->auto_remove);
	r = data < 0 ? data : fill(&x, fresh, err);
	if (r == 0 && hold)
		kist_volume_hold_used(hold, fresh ? tree : -1);
	if (r == 0 && has_option(mount->options, "U"))
		r = own_all(p, data, err);
	if (r == 0 && mount->subpath) {
		int fd = tree >= 0 ? kist_mount_subtree(tree, mount->subpath, err) : open_subpath(&x, err);
		r = fd < 0 ? fd : 0;
		if (r == 0)
			kist_container_hold(p->c, fd, source);
	} else if (r == 0 && tree < 0) {
		*source = kist_volume_mountpoint(k, mount->name);
	}
	if (r == 0 && tree >= 0 && !mount->subpath)
		kist_container_hold(p->c, kist_steal_fd(&tree), source);
	kist_volume_free(x.v);
	return r;
}

int kist_volume_plan(struct plan *p, const struct kist_volume_mount_config *mount, struct kist_error *err)
{
	KIST_FREE char *source = NULL;
	KIST_STRV char **options = kist_volume_mount_options(mount);

	int r = kist_volume_check(mount, err);
	if (r < 0)
		return r;
	if (p->rootfs >= 0)
		r = prepare(p, mount, &source, err);
	else
		source = kist_volume_mountpoint(p->c->k, mount->name ? mount->name : "anonymous");
	if (r == 0 && p->rootfs >= 0 && has_option(mount->options, "O"))
		r = kist_plan_overlay_source(p, mount->destination, mount->options, &source, err);
	if (r == 0)
		r = kist_idmap_plan(
		        mount->options, p->config,
		        kist_spec_add_mount(p->spec, mount->destination, "bind", source, (const char *const *)options),
		        err);
	return r < 0 ? kist_context(err, "volume %s at %s", mount->name ? mount->name : "", mount->destination) : 0;
}

/* --- options of bind mounts ----------------------------------------------------------------------------------------
 */

int kist_plan_own_source(struct plan *p, const char *path, struct kist_error *err)
{
	/* What the host itself needs: a slip of the pen must not take it away from root. */
	static const char *const refused[] = {
		"/",      "/bin", "/boot", "/dev",  "/etc", "/etc/passwd", "/etc/pki", "/etc/shadow", "/home", "/lib",
		"/lib64", "/opt", "/proc", "/root", "/run", "/sbin",       "/srv",     "/sys",        "/usr",  "/var",
	};
	KIST_FREE char *real = realpath(path, NULL);

	for (size_t i = 0; real && i < KIST_COUNT(refused); i++)
		if (kist_streq(real, refused[i]))
			return kist_fail(err, KIST_ERR_INVALID, EPERM,
			                 "option U: the owner of the host's %s is not changed", real);
	KIST_CLOSE int fd = open(real ? real : path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return kist_fail_errno(err, errno, "open %s", path);
	return own_all(p, fd, err);
}

bool kist_is_overlay_place(const char *option)
{
	return kist_has_prefix(option, "upperdir=") || kist_has_prefix(option, "workdir=");
}

static const char *place_of(char *const *options, const char *key)
{
	for (; options && *options; options++)
		if (kist_has_prefix(*options, key))
			return *options + strlen(key);
	return NULL;
}

int kist_overlay_places_check(char *const *options, struct kist_error *err)
{
	const char *upper = place_of(options, "upperdir="), *work = place_of(options, "workdir=");

	if (!upper && !work)
		return 0;
	if (!upper || !work || !kist_strv_has(options, "O"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "upperdir= and workdir= go together, and with the option O");
	if (upper[0] != '/' || work[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0, "upperdir= and workdir= must be absolute paths");
	return 0;
}

/* By descriptors: what is in a path needs no escaping then, and has no length. */
static int named_overlay(const char *source, char *const *options, struct kist_error *err)
{
	static const char *const keys[] = { "lowerdir", "upperdir", "workdir" };
	const char *const paths[] = { source, place_of(options, "upperdir="), place_of(options, "workdir=") };
	KIST_STRV char **all = NULL;
	int fds[KIST_COUNT(keys)] = { -1, -1, -1 }, r = 0;

	for (size_t i = 0; r == 0 && i < KIST_COUNT(keys); i++) {
		fds[i] = open(paths[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fds[i] < 0)
			r = kist_fail_errno(err, errno, "%s %s", keys[i], paths[i]);
		kist_strv_take(&all, kist_asprintf("%s=/proc/self/fd/%d", keys[i], fds[i]));
	}
	if (r == 0)
		r = kist_ns_mount_detached("overlay", "overlay", all, err);
	for (size_t i = 0; i < KIST_COUNT(fds); i++)
		kist_close_fd(&fds[i]);
	return r;
}

int kist_plan_overlay_source(struct plan *p, const char *destination, char *const *options, char **source,
                             struct kist_error *err)
{
	struct kist_overlay *store = NULL;

	if (place_of(options, "upperdir=")) {
		int named = named_overlay(*source, options, err);
		if (named < 0)
			return kist_context(err, "overlay over %s", *source);
		free(*source);
		*source = NULL;
		kist_container_hold(p->c, named, source);
		return 0;
	}
	KIST_FREE char *name = kist_asprintf("overlay-%s", destination);

	for (char *ch = name; *ch; ch++)
		if (*ch == '/')
			*ch = '-';
	int r = kist_store_overlay(p->c->k, &store, err);
	if (r < 0)
		return r;
	/* What the last run wrote is gone with it. */
	int dir = kist_container_dir(p->c);
	r = kist_remove_tree(dir, name);
	if (r < 0 || mkdirat(dir, name, 0700) < 0)
		return kist_fail_errno(err, r < 0 ? -r : errno, "make the overlay's directory");
	KIST_CLOSE int upper = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	KIST_CLOSE int lower = open(*source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lower < 0 || upper < 0)
		return kist_fail_errno(err, errno, "overlay over %s", *source);
	struct kist_overlay_mount how = { .lower_fd = lower, .dir = upper, .volatile_ = true };
	int mount = kist_overlay_mount(store, &how, err);
	if (mount < 0)
		return kist_context(err, "overlay over %s", *source);
	free(*source);
	*source = NULL;
	kist_container_hold(p->c, mount, source);
	return 0;
}
