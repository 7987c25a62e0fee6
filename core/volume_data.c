/* The content of volumes: where it is, in and out as tar, mounted on the host, and what is told of a volume. */
#include "core/view.h"
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/fs_copy.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "ns/ns.h"
#include "overlay/overlay.h"
#include "overlay/tar_write.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- options -------------------------------------------------------------------------------------------------------
 */

static const char *option(const struct kist_volume *v, const char *key)
{
	const char *value = kist_volume_option(v, key);

	return value ? value : "";
}

static bool is_bind(const struct kist_volume *v)
{
	KIST_STRV char **words = kist_strv_split(option(v, "o"), ',');
	const char *type = option(v, "type");

	return kist_streq(type, "bind") || kist_streq(type, "rbind") || kist_strv_has(words, "bind") ||
	       kist_strv_has(words, "rbind");
}

static bool is_limit(const char *word)
{
	return kist_has_prefix(word, "size=") || kist_has_prefix(word, "inodes=");
}

/* 0: not a number, or none that limits anything. */
static uint64_t limit_of(const char *word)
{
	const char *value = strchr(word, '=') + 1;
	uint64_t number;

	int r = kist_has_prefix(word, "size=") ? kist_parse_size(value, &number) : kist_parse_u64(value, &number);
	return r < 0 ? 0 : number;
}

void kist_volume_limits(const struct kist_volume *v, uint64_t *bytes, uint64_t *inodes)
{
	KIST_STRV char **words = kist_strv_split(option(v, "o"), ',');

	*bytes = *inodes = 0;
	for (char **word = words; word && *word && !kist_volume_is_mounted(v); word++)
		if (is_limit(*word))
			*(kist_has_prefix(*word, "size=") ? bytes : inodes) = limit_of(*word);
}

static int check_words(const struct kist_volume *v, struct kist_error *err)
{
	KIST_STRV char **words = kist_strv_split(option(v, "o"), ',');
	uint32_t id;

	if (kist_volume_is_mounted(v))
		return 0;
	for (char **word = words; word && *word; word++) {
		if (kist_has_prefix(*word, "uid=") || kist_has_prefix(*word, "gid=")) {
			if (kist_parse_u32(*word + 4, &id) < 0)
				return kist_fail(err, KIST_ERR_INVALID, 0, "option o: '%s' is not a number", *word);
		} else if (is_limit(*word)) {
			if (limit_of(*word) == 0)
				return kist_fail(err, KIST_ERR_INVALID, 0,
				                 "option o: '%s': expected a number from 1 on", *word);
			if (kist_strv_has(words, "noquota"))
				return kist_fail(err, KIST_ERR_INVALID, 0,
				                 "option o: '%s' and noquota exclude each other", *word);
		} else if (**word && !kist_streq(*word, "noquota")) {
			return kist_fail(err, KIST_ERR_INVALID, 0, "option o: '%s' needs the options type and device",
			                 *word);
		}
	}
	return 0;
}

int kist_volume_check_options(const struct kist_volume *v, struct kist_error *err)
{
	static const char *const known[] = { "type=", "device=", "o=", "copy=", "nocopy=" };
	const char *type = option(v, "type"), *device = option(v, "device");

	for (char **o = v->options; o && *o; o++) {
		bool good = false;
		for (size_t i = 0; i < KIST_COUNT(known); i++)
			good |= kist_has_prefix(*o, known[i]);
		if (!good)
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "volume option '%.*s' is not known: use type, device, o, copy or nocopy",
			                 (int)strcspn(*o, "="), *o);
	}
	int r = check_words(v, err);
	if (r < 0 || !kist_volume_is_mounted(v))
		return r;
	if (is_bind(v)) {
		if (device[0] != '/')
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "volume option device '%s': expected an absolute path", device);
		return 0;
	}
	if (!*type)
		return kist_fail(err, KIST_ERR_INVALID, 0, "volume option type is missing, as in type=ext4 or o=bind");
	if (kist_streq(type, "ramfs") &&
	    (kist_has_prefix(option(v, "o"), "size=") || strstr(option(v, "o"), ",size="))) {
		kist_fail(err, KIST_ERR_INVALID, 0, "volume option o: a ramfs has no size limit");
		return kist_remedy(err, "type=tmpfs has one");
	}
	if (!*device && !kist_volume_is_memory(v))
		return kist_fail(err, KIST_ERR_INVALID, 0, "volume option device is missing");
	return 0;
}

/* --- where the content is ------------------------------------------------------------------------------------------
 */

static bool is_mount(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) == 0 &&
	       (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool is_memory(int fd)
{
	return kist_is_fs(fd, TMPFS_MAGIC) || kist_is_fs(fd, RAMFS_MAGIC);
}

static int mount_new(const struct kist_volume *v, struct kist_error *err)
{
	KIST_STRV char **words = kist_strv_split(option(v, "o"), ',');
	KIST_STRV char **options = NULL;
	bool bind = is_bind(v);
	const char *type = bind ? "bind" : option(v, "type"), *device = option(v, "device");

	for (char **word = words; word && *word; word++)
		if (**word)
			kist_strv_add(&options, *word);
	/* As the mount program has it: a bind covers what is mounted below only when told to. */
	return kist_ns_mount_detached(type, *device ? device : type, options, err);
}

bool kist_volume_is_memory(const struct kist_volume *v)
{
	const char *type = option(v, "type");

	return !is_bind(v) && (kist_streq(type, "tmpfs") || kist_streq(type, "ramfs"));
}

/* Memory is one for all containers that run with the volume at the same time: the mount of one of them is copied. */
static int mount_of_user(struct kist *k, const char *id, const struct kist_volume *v)
{
	struct kist_container *c = NULL;
	int fd = -1;

	if (kist_container_load(k, id, &c, NULL) < 0)
		return -1;
	for (size_t i = 0; fd < 0 && c->state.pid > 0 && i < c->config.n_named_volumes; i++) {
		const struct kist_volume_mount_config *mount = &c->config.named_volumes[i];
		bool whole = kist_streq(mount->name, v->name) && !mount->subpath && !kist_strv_has(mount->options, "O");
		if (!whole || !kist_container_monitor_alive(c))
			continue;
		fd = kist_mount_share(c->state.pid, mount->destination + 1, NULL);
		/* The container may have put something else there. */
		if (fd >= 0 && !(is_memory(fd) && is_mount(fd)))
			kist_close_fd(&fd);
	}
	kist_container_free(c);
	/* How that container is restricted does not bind the next one. */
	struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
		                               MOUNT_ATTR_NOEXEC };
	if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		kist_debug("volume %s: restrictions of the shared mount stay: %m", v->name);
	return fd;
}

static int mount_shared(struct kist *k, int dir, const struct kist_volume *v, bool *fresh, struct kist_error *err)
{
	if (kist_volume_is_memory(v)) {
		KIST_STRV char **users = kist_volume_marks(k, dir, false);
		for (char **id = users; id && *id; id++) {
			int fd = mount_of_user(k, *id, v);
			if (fd >= 0)
				return fd;
		}
		*fresh = true;
	}
	return mount_new(v, err);
}

int kist_volume_content(struct kist *k, int dir, const struct kist_volume *v, int *tree, bool *fresh,
                        struct kist_error *err)
{
	int data = openat(dir, "data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*tree = -1;
	*fresh = false;
	if (data < 0)
		return kist_fail_errno(err, errno, "open the content of volume %s", v->name);
	if (!kist_volume_is_mounted(v) || is_mount(data))
		return data;
	kist_close_fd(&data);
	KIST_CLOSE int mount = mount_shared(k, dir, v, fresh, err);
	if (mount < 0)
		return kist_context(err, "mount volume %s", v->name);
	data = kist_reopen(mount, O_RDONLY | O_DIRECTORY);
	if (data < 0)
		return kist_fail_errno(err, -data, "open the content of volume %s", v->name);
	*tree = kist_steal_fd(&mount);
	return data;
}

/* --- tar -----------------------------------------------------------------------------------------------------------
 */

int kist_volume_export(struct kist *k, const struct kist_volume *v, int to, struct kist_error *err)
{
	struct kist_tar_create_options options = { .flags = KIST_TAR_CREATE_TOP };
	KIST_CLOSE int tree = -1;
	bool fresh;

	KIST_CLOSE int dir = kist_volume_lock(k, v->name, err);
	if (dir < 0)
		return dir;
	KIST_CLOSE int data = kist_volume_content(k, dir, v, &tree, &fresh, err);
	if (data < 0)
		return data;
	/* Reading takes as long as the reader likes: others must not wait for that. */
	kist_close_fd(&dir);
	int r = kist_tar_create(data, to, &options, NULL, err);
	return r < 0 ? kist_context(err, "export volume %s", v->name) : 0;
}

int kist_volume_import(struct kist *k, const struct kist_volume *v, int from, struct kist_error *err)
{
	struct kist_volume *now = NULL;
	KIST_CLOSE int tree = -1;
	bool fresh;

	KIST_CLOSE int dir = kist_volume_lock(k, v->name, err);
	if (dir < 0)
		return dir;
	int r = kist_volume_load(dir, v->name, &now, err);
	if (r < 0)
		return r;
	KIST_CLOSE int data = kist_volume_content(k, dir, now, &tree, &fresh, err);
	r = data < 0 ? data : 0;
	if (r == 0 && fresh) {
		kist_fail(err, KIST_ERR_STATE, ENODEV, "volume %s is in memory and nothing keeps it", v->name);
		r = kist_remedy(err, "'kist volume mount %s' does, or a container that runs with it", v->name);
	}
	if (r == 0) {
		/* From here on it is somebody's data. */
		now->copied = now->owned = true;
		r = kist_volume_save(dir, now, !k->settings.volatile_, err);
	}
	kist_volume_free(now);
	if (r < 0)
		return r;
	kist_close_fd(&dir);
	r = kist_tar_extract(from, data, 0, NULL, NULL, err);
	if (r == 0 && !k->settings.volatile_ && syncfs(data) < 0)
		r = kist_fail_errno(err, errno, "sync its content");
	return r < 0 ? kist_context(err, "import into volume %s", v->name) : 0;
}

/* --- on the host ---------------------------------------------------------------------------------------------------
 */

/* How often it was mounted, in runroot/volumes/NAME: gone with the boot, as the mounts are. */
static int counts_open(struct kist *k)
{
	if (mkdirat(k->runroot, "volumes", 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(k->runroot, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static uint32_t count_read(struct kist *k, const char *name)
{
	KIST_FREE char *path = kist_asprintf("volumes/%s", name);
	KIST_STR struct kist_str text = { 0 };
	uint32_t count = 0;

	if (kist_read_file(k->runroot, path, 32, &text) < 0 || kist_parse_u32(kist_str_get(&text), &count) < 0)
		return 0;
	return count;
}

static int count_write(struct kist *k, const char *name, uint32_t count, struct kist_error *err)
{
	KIST_CLOSE int dir = counts_open(k);
	char text[16];
	int r = dir < 0 ? dir : 0;

	snprintf(text, sizeof(text), "%u", count);
	if (r == 0 && count == 0)
		r = unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	else if (r == 0)
		r = kist_replace_file(dir, name, text, strlen(text), 0600, 0);
	return r < 0 ? kist_fail_errno(err, -r, "count the mounts of volume %s", name) : 0;
}

static bool data_is_mount(int dir)
{
	KIST_CLOSE int data = openat(dir, "data", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return data >= 0 && is_mount(data);
}

static int attach(struct kist *k, int dir, const struct kist_volume *v, struct kist_error *err)
{
	KIST_CLOSE int tree = -1;
	bool fresh;

	KIST_CLOSE int content = kist_volume_content(k, dir, v, &tree, &fresh, err);
	if (content < 0)
		return content;
	KIST_CLOSE int place = openat(dir, "data", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place < 0)
		return kist_fail_errno(err, errno, "open the mount point");
	return kist_ns_mount_attach_at(tree, place, err);
}

int kist_volume_mount(struct kist *k, const struct kist_volume *v, char **path, struct kist_error *err)
{
	int r = 0;

	KIST_CLOSE int dir = kist_volume_lock(k, v->name, err);
	if (dir < 0)
		return dir;
	if (kist_volume_is_mounted(v)) {
		bool mounted = data_is_mount(dir);
		uint32_t count = mounted ? count_read(k, v->name) : 0;
		r = mounted ? 0 : attach(k, dir, v, err);
		if (r == 0)
			r = count_write(k, v->name, count + 1, err);
	}
	if (r < 0)
		return kist_context(err, "mount volume %s", v->name);
	*path = kist_volume_mountpoint(k, v->name);
	return 0;
}

int kist_volume_unmount(struct kist *k, const struct kist_volume *v, bool force, struct kist_error *err)
{
	KIST_FREE char *path = kist_volume_mountpoint(k, v->name);

	KIST_CLOSE int dir = kist_volume_lock(k, v->name, err);
	if (dir < 0)
		return dir;
	if (!kist_volume_is_mounted(v) || !data_is_mount(dir))
		return 0;
	uint32_t count = count_read(k, v->name);
	if (count > 1 && !force)
		return count_write(k, v->name, count - 1, err);
	if (umount2(path, UMOUNT_NOFOLLOW | (force ? MNT_DETACH : 0)) < 0)
		return kist_fail_errno(err, errno, "unmount volume %s", v->name);
	return count_write(k, v->name, 0, err);
}

int kist_volume_detach(struct kist *k, const char *name, int dir, struct kist_error *err)
{
	KIST_FREE char *path = kist_volume_mountpoint(k, name);

	while (data_is_mount(dir))
		if (umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)
			return kist_fail_errno(err, errno, "unmount volume %s", name);
	if (count_read(k, name))
		count_write(k, name, 0, NULL);
	return 0;
}

/* --- inspect -------------------------------------------------------------------------------------------------------
 */

int kist_volume_inspect(struct kist *k, const struct kist_volume *v, struct json_object **out, struct kist_error *err)
{
	KIST_FREE char *mountpoint = kist_volume_mountpoint(k, v->name);
	struct json_object *json = json_object_new_object();

	(void)err;
	json_object_object_add(json, "Name", view_text(v->name));
	json_object_object_add(json, "Driver", view_text(v->driver));
	json_object_object_add(json, "Mountpoint", view_text(mountpoint));
	json_object_object_add(json, "CreatedAt", view_time(v->created));
	json_object_object_add(json, "Labels", view_map(v->labels));
	json_object_object_add(json, "Scope", view_text("local"));
	json_object_object_add(json, "Options", view_map(v->options));
	if (v->uid.set)
		json_object_object_add(json, "UID", view_int(v->uid.value));
	if (v->gid.set)
		json_object_object_add(json, "GID", view_int(v->gid.value));
	if (v->anonymous)
		json_object_object_add(json, "Anonymous", json_object_new_boolean(true));
	json_object_object_add(json, "MountCount", view_int(count_read(k, v->name)));
	json_object_object_add(json, "NeedsCopyUp", json_object_new_boolean(!v->copied));
	json_object_object_add(json, "NeedsChown", json_object_new_boolean(!v->owned));
	*out = json;
	return 0;
}
