#include "core/base/fs_copy.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX 300 /* each level holds two descriptors */
#define CHUNK     (1u << 20)
#define XATTR_MAX 65536

/* A file with several names that was copied: the others become links to it. */
struct link {
	dev_t dev;
	ino_t ino;
	char *name;
};

struct copy {
	struct link *links;
	size_t n_links, room;
	int top;             /* the target's first directory */
	char path[PATH_MAX]; /* of the entry at hand, below top */
	size_t len;
	char *buffer;
};

/* --- walking -------------------------------------------------------------------------------------------------------
 */

static DIR *open_stream(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream)
		kist_close_fd(&fd);
	return stream;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

int kist_dir_is_empty(int dir)
{
	DIR *stream = open_stream(dir);
	int r = 0;

	if (!stream)
		return -errno;
	errno = 0;
	for (const struct dirent *entry; r == 0 && (entry = readdir(stream));)
		r = is_dot(entry->d_name) ? 0 : -ENOTEMPTY;
	if (r == 0)
		r = -errno;
	closedir(stream);
	return r;
}

int kist_clear_dir(int dir)
{
	DIR *stream = open_stream(dir);
	int r = 0;

	if (!stream)
		return -errno;
	for (const struct dirent *entry; r == 0 && (entry = readdir(stream));)
		if (!is_dot(entry->d_name))
			r = kist_remove_tree(dir, entry->d_name);
	closedir(stream);
	return r;
}

/* --- metadata ------------------------------------------------------------------------------------------------------
 */

/* path: for what cannot be opened, a link in /proc/self/fd and a name. */
static int copy_xattrs(int from, const char *from_path, int to, const char *to_path)
{
	KIST_FREE char *names = kist_alloc(XATTR_MAX);
	KIST_FREE char *value = kist_alloc(XATTR_MAX);
	ssize_t n = from >= 0 ? flistxattr(from, names, XATTR_MAX) : llistxattr(from_path, names, XATTR_MAX);

	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		/* The bookkeeping of an overlay is about that overlay. */
		if (kist_has_prefix(name, "trusted.overlay.") || kist_has_prefix(name, "user.overlay."))
			continue;
		ssize_t size = from >= 0 ? fgetxattr(from, name, value, XATTR_MAX)
		                         : lgetxattr(from_path, name, value, XATTR_MAX);
		if (size < 0)
			continue;
		int r = to >= 0 ? fsetxattr(to, name, value, (size_t)size, 0)
		                : lsetxattr(to_path, name, value, (size_t)size, 0);
		bool may_miss = errno == ENOTSUP || errno == EPERM || errno == EINVAL;
		if (r < 0 && (!may_miss || kist_streq(name, "security.capability")))
			return -errno;
	}
	return 0;
}

/* Owner before mode: chown(2) clears the set-id bits; before attributes: it clears capabilities. */
int kist_copy_metadata(int from, int to)
{
	struct stat st;

	if (fstat(from, &st) < 0)
		return -errno;
	if (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
		return -errno;
	int r = copy_xattrs(from, NULL, to, NULL);
	const struct timespec times[2] = { st.st_atim, st.st_mtim };
	return r < 0 ? r : futimens(to, times) < 0 ? -errno : 0;
}

static int special_metadata(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	/* There is no setxattrat before Linux 6.13; the directories are ours to hold, the name has no slash. */
	KIST_FREE char *from = kist_asprintf("/proc/self/fd/%d/%s", from_dir, name);
	KIST_FREE char *to = kist_asprintf("/proc/self/fd/%d/%s", to_dir, name);
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	int r = copy_xattrs(-1, from, -1, to);
	return r < 0 ? r : utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* --- contents ------------------------------------------------------------------------------------------------------
 */

static int copy_by_hand(struct copy *c, int from, int to, off_t at, off_t end)
{
	if (!c->buffer)
		c->buffer = kist_alloc(CHUNK);
	while (at < end) {
		size_t want = end - at > (off_t)CHUNK ? CHUNK : (size_t)(end - at);
		ssize_t n = pread(from, c->buffer, want, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0; /* it became shorter meanwhile */
		for (ssize_t done = 0; done < n;) {
			ssize_t w = pwrite(to, c->buffer + done, (size_t)(n - done), at + done);
			if (w < 0 && errno == EINTR)
				continue;
			if (w < 0)
				return -errno;
			done += w;
		}
		at += n;
	}
	return 0;
}

static int copy_range(struct copy *c, int from, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
		/* Not across these file systems, or not on this kernel. */
		if (n <= 0)
			return copy_by_hand(c, from, to, at, end);
		at += n;
	}
	return 0;
}

static int copy_content(struct copy *c, int from, int to, off_t size)
{
	if (size == 0 || ioctl(to, FICLONE, from) == 0)
		return 0;
	if (ftruncate(to, size) < 0)
		return -errno;
	for (off_t at = 0; at < size;) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : copy_range(c, from, to, at, size);
		off_t hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		int r = copy_range(c, from, to, data, hole);
		if (r < 0)
			return r;
		at = hole;
	}
	return 0;
}

/* --- entries -------------------------------------------------------------------------------------------------------
 */

/* Makes a further name of what was copied before. Returns 1 when it did. */
static int copy_known(struct copy *c, int to_dir, const char *name, const struct stat *st)
{
	for (size_t i = 0; i < c->n_links; i++)
		if (c->links[i].ino == st->st_ino && c->links[i].dev == st->st_dev)
			return linkat(c->top, c->links[i].name, to_dir, name, 0) < 0 ? -errno : 1;
	if (c->n_links == c->room) {
		c->room = c->room ? 2 * c->room : 16;
		c->links = kist_grow(c->links, c->room, sizeof(*c->links));
	}
	c->links[c->n_links++] = (struct link){ .dev = st->st_dev, .ino = st->st_ino, .name = kist_strdup(c->path) };
	return 0;
}

static int copy_file(struct copy *c, int from_dir, int to_dir, const char *name)
{
	KIST_CLOSE int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	KIST_CLOSE int to = -1;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ESTALE; /* another was put there since */
	to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	int r = copy_content(c, from, to, st.st_size);
	return r < 0 ? r : kist_copy_metadata(from, to);
}

static int copy_special(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	char target[PATH_MAX];

	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		if (symlinkat(target, to_dir, name) < 0)
			return -errno;
	} else if (mknodat(to_dir, name, st->st_mode & (S_IFMT | 07777), st->st_rdev) < 0) {
		return -errno;
	}
	int r = special_metadata(from_dir, to_dir, name, st);
	/* umask */
	if (r == 0 && !S_ISLNK(st->st_mode) && fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)
		r = -errno;
	return r;
}

static int copy_dir(struct copy *c, int from, int to, int depth);

static int copy_subdir(struct copy *c, int from_dir, int to_dir, const char *name, int depth)
{
	KIST_CLOSE int from = kist_open_dir_same_mount(from_dir, name);
	bool mounted = from == -EXDEV;

	if (mounted)
		from = openat(from_dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return mounted ? -errno : from;
	if (mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	KIST_CLOSE int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return -errno;
	/* What is mounted there belongs to somebody else: the empty directory is kept. */
	int r = mounted ? 0 : copy_dir(c, from, to, depth + 1);
	return r < 0 || mounted ? r : kist_copy_metadata(from, to);
}

static int copy_entry(struct copy *c, int from_dir, int to_dir, const char *name, int depth)
{
	struct stat st;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return copy_subdir(c, from_dir, to_dir, name, depth);
	if (st.st_nlink > 1) {
		int r = copy_known(c, to_dir, name, &st);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return S_ISREG(st.st_mode) ? copy_file(c, from_dir, to_dir, name) : copy_special(from_dir, to_dir, name, &st);
}

static int copy_dir(struct copy *c, int from, int to, int depth)
{
	size_t len = c->len;
	DIR *stream;
	int r = 0;

	if (depth > DEPTH_MAX)
		return -ELOOP;
	stream = open_stream(from);
	if (!stream)
		return -errno;
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(stream);
		if (!entry) {
			r = -errno;
			break;
		}
		if (is_dot(entry->d_name))
			continue;
		int n = snprintf(c->path + len, sizeof(c->path) - len, "%s%s", len ? "/" : "", entry->d_name);
		if (n < 0 || (size_t)n >= sizeof(c->path) - len) {
			r = -ENAMETOOLONG;
			break;
		}
		c->len = len + (size_t)n;
		r = copy_entry(c, from, to, entry->d_name, depth);
	}
	closedir(stream);
	if (r == 0) {
		c->len = len;
		c->path[len] = '\0';
	}
	return r;
}

int kist_copy_tree(int from, int to, struct kist_error *err)
{
	struct copy c = { .top = to };

	int r = copy_dir(&c, from, to, 0);
	if (r == 0)
		r = kist_copy_metadata(from, to);
	for (size_t i = 0; i < c.n_links; i++)
		free(c.links[i].name);
	free(c.links);
	free(c.buffer);
	if (r < 0)
		return kist_fail_errno(err, -r, "copy %.200s", c.path[0] ? c.path : "directory");
	return 0;
}

/* --- owners --------------------------------------------------------------------------------------------------------
 */

static int chown_entry(int dir, const char *name, const struct stat *st, uid_t uid, gid_t gid)
{
	bool same = (uid == (uid_t)-1 || st->st_uid == uid) && (gid == (gid_t)-1 || st->st_gid == gid);

	if (same)
		return 0;
	return fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0 && errno != ENOENT ? -errno : 0;
}

static int chown_dir(int dir, uid_t uid, gid_t gid, int depth)
{
	DIR *stream;
	struct stat st;
	int r = 0;

	if (depth > 2 * DEPTH_MAX)
		return -ELOOP;
	stream = open_stream(dir);
	if (!stream)
		return -errno;
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(stream);
		if (!entry) {
			r = -errno;
			break;
		}
		if (is_dot(entry->d_name) || fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			KIST_CLOSE int below = kist_open_dir_same_mount(dir, entry->d_name);
			if (below == -EXDEV || below == -ENOENT || below == -ENOTDIR)
				continue;
			r = below < 0 ? below : chown_dir(below, uid, gid, depth + 1);
			if (r == 0)
				r = chown_entry(below, "", &st, uid, gid);
			continue;
		}
		r = chown_entry(dir, entry->d_name, &st, uid, gid);
	}
	closedir(stream);
	return r;
}

int kist_chown_tree(int dir, uid_t uid, gid_t gid, struct kist_error *err)
{
	struct stat st;
	int r = fstat(dir, &st) < 0 ? -errno : 0;

	if (r == 0 && S_ISDIR(st.st_mode))
		r = chown_dir(dir, uid, gid, 0);
	if (r == 0)
		r = chown_entry(dir, "", &st, uid, gid);
	return r < 0 ? kist_fail_errno(err, -r, "change the owner to %u:%u", uid, gid) : 0;
}
