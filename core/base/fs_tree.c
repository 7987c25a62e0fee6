/* Directories made and trees removed, in places where a container may be at work at the same moment. */
#include "core/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- making --------------------------------------------------------------------------------------------------------
 */

/* As the kernel: MAXSYMLINKS. */
enum { MAX_LINKS = 40 };

struct mkdirs {
	int root;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	char path[PATH_MAX]; /* relative to root; dangling links are replaced by their targets */
	unsigned links;
};

/* Gives a directory that was just made its owner and mode. The name may hold another one by now, which someone
 * inside swapped in: that is one of the tree's own, and is used as it is. */
static int finish_new_dir(const struct mkdirs *m, int fd)
{
	struct stat st;
	bool fresh;

	if (fstat(fd, &st) < 0)
		return -errno;
	fresh = st.st_uid == geteuid() && (st.st_mode & 0777 & ~m->mode) == 0;
	if (!fresh)
		return 0;
	if ((m->uid != (uid_t)-1 && m->uid != st.st_uid) || (m->gid != (gid_t)-1 && m->gid != st.st_gid)) {
		if (fchown(fd, m->uid, m->gid) < 0)
			return -errno;
	}
	/* umask, or the set-group-ID bit of the parent */
	if ((st.st_mode & 07777) != (m->mode & 07777) && fchmod(fd, m->mode & 07777) < 0)
		return -errno;
	return 0;
}

/* Replaces the component at [start, end) of the path, a dangling link in parent, by its target. The walk begins
 * anew: what the target names may have links of its own. */
static int expand_link(struct mkdirs *m, int parent, const char *name, size_t start, size_t end)
{
	char target[PATH_MAX], joined[PATH_MAX];
	ssize_t n;
	int len;

	if (++m->links > MAX_LINKS)
		return -ELOOP;
	n = readlinkat(parent, name, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	/* An absolute target starts at the root again, inside of which all of this happens. */
	len = snprintf(joined, sizeof(joined), "%.*s%s%s", target[0] == '/' ? 0 : (int)start, m->path, target,
	               m->path + end);
	if (len < 0 || (size_t)len >= sizeof(joined))
		return -ENAMETOOLONG;
	memcpy(m->path, joined, (size_t)len + 1);
	return 0;
}

/* Makes one missing component. Returns 0 when it is there now (the caller opens it again), 1 when the path changed. */
static int make_component(struct mkdirs *m, int parent, const char *name, size_t start, size_t end)
{
	struct stat st;
	int r;

	if (mkdirat(parent, name, m->mode & 07777) < 0) {
		if (errno != EEXIST)
			return -errno;
		if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : -errno;
		if (!S_ISLNK(st.st_mode))
			return 0;
		r = expand_link(m, parent, name, start, end);
		return r < 0 ? r : 1;
	}
	/* Through the parent's fd and no link: whatever was swapped in, it is not outside. */
	int fd KIST_CLOSE = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
	return finish_new_dir(m, fd);
}

/* One walk from the root down. Returns the fd of the last directory, or -EAGAIN when the path changed below it. */
static int walk(struct mkdirs *m)
{
	int parent KIST_CLOSE = kist_open_in_root(m->root, "/", O_PATH | O_DIRECTORY, 0);
	size_t end = 0;

	if (parent < 0)
		return parent;
	for (;;) {
		char prefix[PATH_MAX], name[NAME_MAX + 1];
		size_t start = end;
		int fd, r;

		while (m->path[start] == '/')
			start++;
		if (!m->path[start])
			return kist_steal_fd(&parent);
		end = start + strcspn(m->path + start, "/");
		if (end - start > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, m->path + start, end - start);
		name[end - start] = '\0';
		memcpy(prefix, m->path, end);
		prefix[end] = '\0';

		/* From the root each time: the kernel alone decides what links and '..' mean here. */
		fd = kist_open_in_root(m->root, prefix, O_PATH | O_DIRECTORY, 0);
		if (fd == -ENOENT) {
			r = make_component(m, parent, name, start, end);
			if (r != 0)
				return r < 0 ? r : -EAGAIN;
			fd = kist_open_in_root(m->root, prefix, O_PATH | O_DIRECTORY, 0);
		}
		if (fd < 0) /* ENOENT: taken away again, from the start then */
			return fd == -ENOENT ? -EAGAIN : fd;
		kist_close_fd(&parent);
		parent = fd;
	}
}

int kist_mkdirs_in_root(int root, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	struct mkdirs m;
	size_t n = strlen(path);
	int fd;

	/* Mostly it is there. */
	fd = kist_open_in_root(root, n ? path : "/", O_PATH | O_DIRECTORY, 0);
	if (fd != -ENOENT)
		return fd;
	if (n >= sizeof(m.path))
		return -ENAMETOOLONG;
	m.root = root;
	m.mode = mode;
	m.uid = uid;
	m.gid = gid;
	m.links = 0;
	memcpy(m.path, path, n + 1);
	/* Someone who removes what we make as fast as we make it gets an error, not our time. */
	for (int i = 0; i < 2 * MAX_LINKS; i++) {
		fd = walk(&m);
		if (fd != -EAGAIN)
			return fd;
	}
	return -EAGAIN;
}

int kist_mkdirs(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	if (n == 0 || n >= sizeof(part))
		return n ? -ENAMETOOLONG : -ENOENT;
	while (n > 1 && path[n - 1] == '/')
		n--;
	memcpy(part, path, n);
	part[n] = '\0';
	for (size_t i = 1; i <= n; i++) {
		if (i < n && part[i] != '/')
			continue;
		part[i] = '\0';
		/* Parents are everyone's; only the last one is as private as it was asked for. */
		if (mkdir(part, i < n ? 0755 : mode) < 0 && errno != EEXIST)
			return -errno;
		if (i < n)
			part[i] = '/';
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* --- removing ------------------------------------------------------------------------------------------------------
 */

/* A tree may be deeper than we may have files open, so that the fds on the way down are bounded: a directory at the
 * limit is moved up to the top of the tree and met there again. */
enum { MAX_DEPTH = 48 };
/* Further passes over a directory in which files appear while it is emptied. */
enum { MAX_PASSES = 16 };

struct removal {
	int top;        /* the tree's first directory, -1 until it is open */
	unsigned moved; /* makes the names of what was moved up */
};

static int remove_dir(struct removal *rm, int parent, const char *name, unsigned depth);

static int move_up(struct removal *rm, int parent, const char *name)
{
	char up[64], random[17];

	kist_random_hex(random, 16);
	snprintf(up, sizeof(up), KIST_TMP_PREFIX "deep-%s-%u", random, ++rm->moved);
	return renameat(parent, name, rm->top, up) < 0 ? -errno : 0;
}

static int remove_entry(struct removal *rm, int parent, const char *name, unsigned char type, unsigned depth)
{
	if (type != DT_DIR) {
		if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR)
			return -errno;
	}
	return remove_dir(rm, parent, name, depth);
}

/* One pass over an open directory. *removed counts what is gone; the first error is kept, the rest goes on. */
static int empty_dir(struct removal *rm, int fd, unsigned depth, unsigned long *removed)
{
	union {
		char buf[4096];
		struct dirent64 align;
	} entries;
	int result = 0;
	ssize_t n;

	while ((n = getdents64(fd, entries.buf, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < n;) {
			struct dirent64 *e = (struct dirent64 *)(void *)(entries.buf + at);
			int r;

			at += e->d_reclen;
			if (kist_streq(e->d_name, ".") || kist_streq(e->d_name, ".."))
				continue;
			r = remove_entry(rm, fd, e->d_name, e->d_type, depth + 1);
			if (r == 0)
				(*removed)++;
			else if (result == 0)
				result = r;
		}
	}
	return n < 0 ? -errno : result;
}

static int remove_dir(struct removal *rm, int parent, const char *name, unsigned depth)
{
	int fd KIST_CLOSE = -1;

	/* Empty ones go at once, and the kernel says so where it is a mount point. */
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR) /* swapped meanwhile for something else */
		return unlinkat(parent, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	if (depth >= MAX_DEPTH)
		return move_up(rm, parent, name);
	fd = kist_open_dir_same_mount(parent, name);
	if (fd < 0)
		return fd == -EXDEV ? -EBUSY : fd == -ENOENT ? 0 : fd;
	if (rm->top < 0)
		rm->top = fd;
	for (int pass = 0;;) {
		unsigned long removed = 0;
		unsigned moved = rm->moved;
		int r = empty_dir(rm, fd, depth, &removed);

		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (r < 0 || errno != ENOTEMPTY)
			return r < 0 ? r : -errno;
		/* Moved up below us, or skipped by a file system that loses its place while names go away. */
		if (moved == rm->moved && (removed == 0 || ++pass >= MAX_PASSES))
			return -ENOTEMPTY;
		if (lseek(fd, 0, SEEK_SET) < 0)
			return -errno;
	}
}

int kist_remove_tree(int dir, const char *name)
{
	struct removal rm = { .top = -1 };
	const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
	int parent KIST_CLOSE = -1;

	if (!*last || kist_streq(last, ".") || kist_streq(last, ".."))
		return -EINVAL;
	if (slash) {
		char *above KIST_FREE = kist_strndup(name, slash == name ? 1 : (size_t)(slash - name));

		parent = dir == AT_FDCWD ? open(above, O_PATH | O_DIRECTORY | O_CLOEXEC)
		                         : kist_open_beneath(dir, above, O_PATH | O_DIRECTORY, 0);
		if (parent < 0) {
			int r = dir == AT_FDCWD ? -errno : parent;

			return r == -ENOENT ? 0 : r;
		}
		dir = parent;
	}
	return remove_entry(&rm, dir, last, DT_UNKNOWN, 0);
}
