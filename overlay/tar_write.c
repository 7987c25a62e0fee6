#include "overlay/tar_write.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "overlay/tar_header.h"
#include "overlay/tar_output.h"
#include "overlay/tar_pax.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define XATTR_MAX   65536
#define CHUNK       (256U << 10)
#define SEGMENT_MAX 100000 /* more pieces than that are written as one: the reader's memory is not ours to use up */
#define OPAQUE      "trusted.overlay.opaque"

/* A directory on the way down. Its names are remembered and its fd is closed before the next one is opened: trees may
 * be deeper than there are fds. */
struct level {
	char **names;
	size_t next, n;
	size_t path; /* length of the path without this directory's own part */
	dev_t dev;
	ino_t ino;
};

struct link {
	dev_t dev;
	ino_t ino;
	char *name;
};

struct writer {
	struct kist_tar_output out;
	const struct kist_tar_create_options *options;
	struct level *levels;
	size_t depth;
	struct kist_str path; /* of the entry at hand, as it is named in the archive */
	struct link *links;   /* files with several names: open addressing by inode */
	size_t n_links, room;
	char *names, *value; /* of attributes */
	char *chunk;
	uint64_t entries, bytes;
};

/* --- hard links ----------------------------------------------------------------------------------------------------
 */

static size_t link_slot(const struct writer *w, dev_t dev, ino_t ino)
{
	size_t i = (size_t)(((uint64_t)ino ^ (uint64_t)dev << 17) * 0x9e3779b97f4a7c15ULL) & (w->room - 1);

	while (w->links[i].name && (w->links[i].ino != ino || w->links[i].dev != dev))
		i = (i + 1) & (w->room - 1);
	return i;
}

static void links_widen(struct writer *w)
{
	struct link *old = w->links;
	size_t n = w->room;

	w->room = n ? 2 * n : 64;
	w->links = kist_alloc(w->room * sizeof(*w->links));
	for (size_t i = 0; i < n; i++)
		if (old[i].name)
			w->links[link_slot(w, old[i].dev, old[i].ino)] = old[i];
	free(old);
}

/* The name that the file was written under, or NULL, and then this one is remembered. */
static const char *link_first(struct writer *w, const struct stat *st)
{
	if (2 * w->n_links >= w->room)
		links_widen(w);
	struct link *link = &w->links[link_slot(w, st->st_dev, st->st_ino)];
	if (link->name)
		return link->name;
	*link = (struct link){ st->st_dev, st->st_ino, kist_strdup(kist_str_get(&w->path)) };
	w->n_links++;
	return NULL;
}

/* --- attributes ----------------------------------------------------------------------------------------------------
 */

static bool is_wanted(const char *name)
{
	if (kist_has_prefix(name, "trusted.overlay.") || kist_has_prefix(name, "user.overlay."))
		return false;
	return kist_has_prefix(name, "user.") || kist_has_prefix(name, "trusted.") ||
	       kist_streq(name, "security.capability") || kist_streq(name, "security.ima");
}

static const char *acl_key(const char *name)
{
	if (kist_streq(name, "system.posix_acl_access"))
		return "SCHILY.acl.access";
	return kist_streq(name, "system.posix_acl_default") ? "SCHILY.acl.default" : NULL;
}

static void add_xattr(struct writer *w, struct kist_tar_item *item, const char *name, size_t len)
{
	const char *acl = acl_key(name);
	KIST_STR struct kist_str key = { 0 };
	KIST_STR struct kist_str text = { 0 };

	if (acl) {
		if (kist_tar_acl_decode((const uint8_t *)w->value, len, &text) == 0)
			kist_tar_item_record(item, acl, kist_str_get(&text), text.len);
		else
			kist_debug("tar: '%s': an ACL in a form of its own is left out", kist_str_get(&w->path));
		return;
	}
	kist_str_addf(&key, "SCHILY.xattr.%s", name);
	kist_tar_item_record(item, kist_str_get(&key), w->value, len);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* With the mount options metacopy and redirect_dir a layer can hold a file's owner and mode without its content, and a
 * directory under another name than below. By itself such a layer says something else. */
static bool needs_lower(const struct writer *w, const char *name)
{
	return (w->options->flags & KIST_TAR_CREATE_WHITEOUTS) &&
	       (kist_streq(name, "trusted.overlay.metacopy") || kist_streq(name, "trusted.overlay.redirect"));
}

static int fail_lower(struct kist_error *err)
{
	kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "its content is in the layer below (metacopy, redirect_dir)");
	return kist_remedy(err, "the setting overlay_options has these: 'kist export' writes the whole");
}

/* fd of the object, or -1 and its path in /proc/self/fd: links and devices are not opened. */
static int add_xattrs(struct writer *w, struct kist_tar_item *item, int fd, const char *path, struct kist_error *err)
{
	ssize_t n = fd >= 0 ? flistxattr(fd, w->names, XATTR_MAX) : llistxattr(path, w->names, XATTR_MAX);
	KIST_STRV char **sorted = NULL;

	if (n < 0)
		return errno == ENOTSUP || errno == ENOENT ? 0 : kist_fail_errno(err, errno, "read its attributes");
	for (const char *name = w->names; name < w->names + n; name += strlen(name) + 1) {
		if (needs_lower(w, name))
			return fail_lower(err);
		if (is_wanted(name) || acl_key(name))
			kist_strv_add(&sorted, name);
	}
	if (sorted)
		qsort(sorted, kist_strv_len(sorted), sizeof(*sorted), by_text);
	for (char **name = sorted; name && *name; name++) {
		ssize_t len = fd >= 0 ? fgetxattr(fd, *name, w->value, XATTR_MAX)
		                      : lgetxattr(path, *name, w->value, XATTR_MAX);
		if (len >= 0)
			add_xattr(w, item, *name, (size_t)len);
		else if (errno != ENODATA && errno != ENOTSUP)
			return kist_fail_errno(err, errno, "read its attributes");
	}
	return 0;
}

static bool is_opaque(int fd)
{
	char value;

	return fgetxattr(fd, OPAQUE, &value, 1) == 1 && value == 'y';
}

/* --- contents ------------------------------------------------------------------------------------------------------
 */

static void item_init(struct writer *w, struct kist_tar_item *item, char type, const struct stat *st)
{
	*item = (struct kist_tar_item){ .type = type,
		                        .name = kist_str_get(&w->path),
		                        .mode = st->st_mode & 07777,
		                        .uid = st->st_uid,
		                        .gid = st->st_gid,
		                        .mtime = st->st_mtim.tv_sec,
		                        .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec };
}

static int item_write(struct writer *w, struct kist_tar_item *item, struct kist_error *err)
{
	int r = kist_tar_output_item(&w->out, item, err);

	w->entries += r == 0;
	return r;
}

static void map_free(struct kist_tar_map *map)
{
	free(map->segments);
	*map = (struct kist_tar_map){ 0 };
}

/* Where data is. Without a map: the file has no holes, or its file system does not tell. */
static void map_read(int fd, const struct stat *st, struct kist_tar_map *map)
{
	off_t at = 0;

	if (st->st_size == 0 || (uint64_t)st->st_blocks * 512 >= (uint64_t)st->st_size)
		return;
	while (at < st->st_size) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return map_free(map);
		if (data < 0 || data >= st->st_size)
			break;
		off_t hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data || map->n == SEGMENT_MAX)
			return map_free(map);
		if (hole > st->st_size)
			hole = st->st_size;
		kist_tar_map_add(map, (uint64_t)data, (uint64_t)(hole - data));
		at = hole;
	}
	if (map->n == 1 && map->segments[0].offset == 0 && map->segments[0].len == (uint64_t)st->st_size)
		return map_free(map);
	/* An empty segment at the end says how long the file is: GNU tar writes it so. */
	if (at < st->st_size || map->n == 0)
		kist_tar_map_add(map, (uint64_t)st->st_size, 0);
}

/* Exactly len bytes from there: a file that became shorter goes on in zeros, for the header is out already. */
static int write_range(struct writer *w, int fd, uint64_t at, uint64_t len, struct kist_error *err)
{
	bool ended = false;

	while (len) {
		size_t want = len > CHUNK ? CHUNK : (size_t)len;
		ssize_t n = ended ? 0 : pread(fd, w->chunk, want, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kist_fail_errno(err, errno, "read");
		if (n == 0) {
			if (!ended)
				kist_debug("tar: '%s' became shorter while it was read", kist_str_get(&w->path));
			ended = true;
			memset(w->chunk, 0, want);
			n = (ssize_t)want;
		}
		int r = kist_tar_output_write(&w->out, w->chunk, (size_t)n, err);
		if (r < 0)
			return r;
		at += (uint64_t)n;
		len -= (uint64_t)n;
		w->bytes += (uint64_t)n;
	}
	return 0;
}

static int write_content(struct writer *w, int fd, struct kist_tar_item *item, const struct kist_tar_map *map,
                         struct kist_error *err)
{
	int r = item_write(w, item, err);

	if (r == 0 && !item->map)
		r = write_range(w, fd, 0, item->size, err);
	for (size_t i = 0; r == 0 && item->map && i < map->n; i++)
		r = write_range(w, fd, map->segments[i].offset, map->segments[i].len, err);
	return r < 0 ? r : kist_tar_output_pad(&w->out, err);
}

static int add_file(struct writer *w, int dir, const char *name, const struct stat *seen, struct kist_error *err)
{
	struct kist_tar_map map = { 0 };
	struct kist_tar_item item;
	struct stat st;

	KIST_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return kist_fail_errno(err, errno, "open");
	/* Replaced since by something that must not be read. */
	if (!S_ISREG(st.st_mode))
		return kist_fail(err, KIST_ERR_SYSTEM, ESTALE, "it was replaced while it was read");
	(void)seen;
	item_init(w, &item, '0', &st);
	if (st.st_nlink > 1 && (item.link = link_first(w, &st))) {
		item.type = '1';
		return item_write(w, &item, err);
	}
	int r = add_xattrs(w, &item, fd, NULL, err);
	if (r == 0) {
		map_read(fd, &st, &map);
		item.size = (uint64_t)st.st_size;
		item.map = map.n ? &map : NULL;
		r = write_content(w, fd, &item, &map, err);
	}
	kist_tar_item_clear(&item);
	map_free(&map);
	return r;
}

/* Links, devices, FIFOs. */
static int add_special(struct writer *w, int dir, const char *name, const struct stat *st, struct kist_error *err)
{
	char target[PATH_MAX];
	struct kist_tar_item item;
	char type = S_ISLNK(st->st_mode) ? '2' : S_ISCHR(st->st_mode) ? '3' : S_ISBLK(st->st_mode) ? '4' : '6';
	KIST_FREE char *path = kist_asprintf("/proc/self/fd/%d/%s", dir, name);

	item_init(w, &item, type, st);
	if (type == '2') {
		ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
		if (n < 0)
			return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "read the link");
		target[n] = '\0';
		item.link = target;
	} else if (type != '6') {
		item.major = major(st->st_rdev);
		item.minor = minor(st->st_rdev);
	}
	const char *first = st->st_nlink > 1 ? link_first(w, st) : NULL;
	int r = 0;
	if (first) {
		item.type = '1';
		item.link = first;
		item.major = item.minor = 0;
	} else {
		r = add_xattrs(w, &item, -1, path, err);
	}
	r = r < 0 ? r : item_write(w, &item, err);
	kist_tar_item_clear(&item);
	return r;
}

/* An empty file: .wh.NAME of a layer. path is restored. */
static int add_whiteout(struct writer *w, const char *hidden, const struct stat *st, struct kist_error *err)
{
	KIST_FREE char *name = kist_strdup(hidden);
	KIST_FREE char *whole = kist_strdup(kist_str_get(&w->path));
	size_t parent = strlen(whole) - strlen(name);
	struct kist_tar_item item;

	kist_str_clear(&w->path);
	kist_str_addf(&w->path, "%.*s.wh.%s", (int)parent, whole, name);
	item_init(w, &item, '0', st);
	item.mode = 0;
	int r = item_write(w, &item, err);
	kist_str_clear(&w->path);
	kist_str_add(&w->path, whole);
	return r;
}

/* --- the walk ------------------------------------------------------------------------------------------------------
 */

static bool is_whiteout(const struct writer *w, const struct stat *st)
{
	return (w->options->flags & KIST_TAR_CREATE_WHITEOUTS) && S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* Of what is mounted over, only a directory is told. */
static bool is_mount_root(int dir, const char *name)
{
	struct statx st;

	return statx(dir, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) == 0 &&
	       (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int read_names(int fd, char ***out, size_t *n)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	size_t count = 0, room = 0;
	char **names = NULL;

	if (!list) {
		int r = -errno;
		kist_close_fd(&copy);
		return r;
	}
	errno = 0;
	for (const struct dirent *entry; (entry = readdir(list)); errno = 0) {
		if (kist_streq(entry->d_name, ".") || kist_streq(entry->d_name, ".."))
			continue;
		if (count + 1 >= room) {
			room = room ? 2 * room : 16;
			names = kist_grow(names, room, sizeof(*names));
		}
		names[count++] = kist_strdup(entry->d_name);
		names[count] = NULL;
	}
	int r = -errno;
	closedir(list);
	if (r < 0) {
		kist_strv_free(names);
		return r;
	}
	if (count)
		qsort(names, count, sizeof(*names), by_text);
	*out = names;
	*n = count;
	return 0;
}

static int push(struct writer *w, int fd, size_t path, struct kist_error *err)
{
	struct level level = { .path = path };
	struct stat st;

	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0)
		r = read_names(fd, &level.names, &level.n);
	if (r < 0)
		return kist_fail_errno(err, -r, "read the directory");
	level.dev = st.st_dev;
	level.ino = st.st_ino;
	w->levels = kist_grow(w->levels, w->depth + 1, sizeof(*w->levels));
	w->levels[w->depth++] = level;
	return 0;
}

static void path_cut(struct writer *w, size_t len)
{
	w->path.len = len;
	if (w->path.data)
		w->path.data[len] = '\0';
}

/* The entry of a directory whose path ends in '/', and what marks it as opaque. */
static int add_dir_entry(struct writer *w, int fd, struct kist_error *err)
{
	struct kist_tar_item item;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return kist_fail_errno(err, errno, "look at it");
	item_init(w, &item, '5', &st);
	int r = add_xattrs(w, &item, fd, NULL, err);
	r = r < 0 ? r : item_write(w, &item, err);
	kist_tar_item_clear(&item);
	if (r == 0 && (w->options->flags & KIST_TAR_CREATE_WHITEOUTS) && is_opaque(fd)) {
		size_t len = w->path.len;
		kist_str_add(&w->path, ".wh..opq");
		r = add_whiteout(w, ".wh..opq", &st, err);
		path_cut(w, len);
	}
	return r;
}

/* What shows the kernel's state is not a tree of files. */
static bool may_cross(const struct writer *w, int fd)
{
	static const unsigned long kernel[] = { PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC,
		                                DEVPTS_SUPER_MAGIC };

	for (size_t i = 0; i < KIST_COUNT(kernel); i++)
		if (kist_is_fs(fd, kernel[i]))
			return false;
	return w->options->flags & KIST_TAR_CREATE_MOUNTS;
}

/* Writes its entry and goes into it. *fd is then its. Returns 1 when it went. */
static int enter_dir(struct writer *w, int *fd, const char *name, struct kist_error *err)
{
	size_t path = w->levels[w->depth - 1].path;
	KIST_CLOSE int below = kist_open_dir_same_mount(*fd, name);
	bool mounted = below == -EXDEV;

	(void)path;
	if (mounted)
		below = openat(*fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below < 0) {
		int errnum = mounted ? errno : -below;
		return errnum == ENOENT || errnum == ENOTDIR ? 0 : kist_fail_errno(err, errnum, "open the directory");
	}
	if (mounted && may_cross(w, below))
		mounted = false;
	kist_str_addc(&w->path, '/');
	int r = add_dir_entry(w, below, err);
	if (r < 0 || mounted)
		return r;
	r = push(w, below, w->path.len, err);
	if (r < 0)
		return r;
	kist_close_fd(fd);
	*fd = kist_steal_fd(&below);
	return 1;
}

static int add_entry(struct writer *w, int *fd, const char *name, struct kist_error *err)
{
	struct stat st;

	if (fstatat(*fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "look at it");
	if (S_ISDIR(st.st_mode))
		return enter_dir(w, fd, name, err);
	if (S_ISSOCK(st.st_mode)) {
		kist_debug("tar: '%s' is a socket: left out", kist_str_get(&w->path));
		return 0;
	}
	if (!(w->options->flags & KIST_TAR_CREATE_MOUNTS) && is_mount_root(*fd, name)) {
		kist_debug("tar: '%s' is mounted over: left out", kist_str_get(&w->path));
		return 0;
	}
	if (is_whiteout(w, &st))
		return add_whiteout(w, name, &st, err);
	return S_ISREG(st.st_mode) ? add_file(w, *fd, name, &st, err) : add_special(w, *fd, name, &st, err);
}

/* Back to the directory above, if it still is what it was: one that was moved has another parent, which is none of
 * ours. */
static int leave_dir(struct writer *w, int *fd, struct kist_error *err)
{
	struct level *level = &w->levels[--w->depth];
	struct stat st;

	kist_strv_free(level->names);
	if (w->depth == 0)
		return 0;
	level = &w->levels[w->depth - 1];
	int up = openat(*fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (up < 0 || fstat(up, &st) < 0 || st.st_ino != level->ino || st.st_dev != level->dev) {
		kist_close_fd(&up);
		return kist_fail(err, KIST_ERR_SYSTEM, ESTALE, "the directory was moved while it was read");
	}
	kist_close_fd(fd);
	*fd = up;
	return 0;
}

static bool is_chosen(const struct writer *w, const char *name)
{
	const char *const *names = w->depth == 1 ? w->options->names : NULL;

	if (!names)
		return true;
	for (; *names; names++)
		if (kist_streq(*names, name))
			return true;
	return false;
}

static int fail_at(struct writer *w, struct kist_error *err)
{
	char shown[200];

	return kist_context(err, "entry '%s'", kist_tar_show(shown, kist_str_get(&w->path)));
}

static int walk(struct writer *w, int *fd, struct kist_error *err)
{
	while (w->depth) {
		struct level *level = &w->levels[w->depth - 1];
		int r;

		path_cut(w, level->path);
		if (level->next == level->n) {
			r = leave_dir(w, fd, err);
		} else {
			const char *name = level->names[level->next++];
			if (!is_chosen(w, name))
				continue;
			kist_str_add(&w->path, name);
			r = add_entry(w, fd, name, err);
		}
		/* What the reader of the stream did is not the entry's fault. */
		if (r < 0)
			return w->out.failed ? r : fail_at(w, err);
	}
	return 0;
}

static int begin(struct writer *w, int *fd, struct kist_error *err)
{
	const char *prefix = w->options->prefix;

	if (!kist_empty(prefix))
		kist_str_addf(&w->path, "%s/", prefix);
	if (w->options->flags & KIST_TAR_CREATE_TOP) {
		if (kist_empty(prefix))
			kist_str_add(&w->path, "./");
		int r = add_dir_entry(w, *fd, err);
		if (r < 0)
			return r;
		if (kist_empty(prefix))
			kist_str_clear(&w->path);
	}
	kist_str_add(&w->path, "");
	return push(w, *fd, w->path.len, err);
}

static void writer_clear(struct writer *w)
{
	while (w->depth)
		kist_strv_free(w->levels[--w->depth].names);
	free(w->levels);
	for (size_t i = 0; i < w->room; i++)
		free(w->links[i].name);
	free(w->links);
	free(w->names);
	free(w->value);
	free(w->chunk);
	kist_str_free(&w->path);
	kist_tar_output_clear(&w->out);
}

int kist_tar_create(int dir, int to, const struct kist_tar_create_options *options, struct kist_tar_result *result,
                    struct kist_error *err)
{
	static const struct kist_tar_create_options plain = { 0 };
	struct writer w = { .options = options ? options : &plain };
	KIST_CLOSE int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return kist_fail_errno(err, errno, "open the directory");
	kist_tar_output_init(&w.out, to, w.options->flags & KIST_TAR_CREATE_DIGEST);
	w.names = kist_alloc(XATTR_MAX);
	w.value = kist_alloc(XATTR_MAX);
	w.chunk = kist_alloc(CHUNK);
	int r = begin(&w, &fd, err);
	if (r == 0)
		r = walk(&w, &fd, err);
	if (r == 0)
		r = kist_tar_output_end(&w.out, err);
	if (r == 0 && result) {
		*result = (struct kist_tar_result){ .entries = w.entries, .bytes = w.bytes, .compression = "none" };
		kist_tar_output_result(&w.out, result);
	}
	writer_clear(&w);
	return r;
}
