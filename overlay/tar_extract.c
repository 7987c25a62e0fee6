/* From entries to files.
 *
 * Names are clean when they arrive here (tar_read.h). Of each, the parent is opened in-root, so that its links resolve
 * inside the target, and the last component is only ever made by calls that follow nothing and replace nothing (O_EXCL,
 * mkdirat, symlinkat, mknodat, linkat). What is in the way is removed after such a call has said so: in the usual case,
 * that costs nothing. Directories get their owner, mode, attributes and times at the end, when nothing is created in
 * them any more. */
#include "overlay/overlay.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "overlay/stream.h"
#include "overlay/tar_header.h"
#include "overlay/tar_read.h"
#include "overlay/tar_split.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Memory for the directories that wait for the end; a large distribution needs 20 MiB. */
#define MAX_WAITING (256U << 20)
/* What may follow the end mark: tapes pad to their record, some tools to a disk block. */
#define MAX_TRAILER (64U << 20)

#define WHITEOUT        ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_AUFS   ".wh..wh."

/* The directory that was opened last. Entries come in directory order, so that most need no look-up of their parent. */
struct parent {
	struct kist_str path;
	int fd;      /* -1: none is open */
	bool setgid; /* its group goes to what is made in it */
};

struct waiting_dir {
	size_t name; /* offset in names */
	uint32_t mode, uid, gid;
	bool set_owner;
	int64_t mtime;
	uint32_t mtime_nsec;
	struct kist_tar_xattr *xattrs;
	size_t n_xattrs;
};

struct extract {
	struct kist_tar_reader *reader;
	int root;
	unsigned flags;
	const struct kist_tar_unpack *how;
	uid_t uid; /* what new files get by themselves */
	gid_t gid;
	struct parent parent; /* of entries */
	struct parent target; /* of what hard links point to */
	struct waiting_dir *dirs;
	size_t n_dirs;
	struct kist_str names;
	size_t waiting_bytes;
	struct kist_split *split; /* NULL: none is written */
};

/* --- parents -------------------------------------------------------------------------------------------------------
 */

static void parent_forget(struct parent *parent)
{
	kist_close_fd(&parent->fd);
}

/* Opens the directory part of name; *base is what remains. The fd is the cache's or the root. */
static int parent_open(struct extract *x, struct parent *parent, const char *name, bool create, const char **base)
{
	const char *slash = strrchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : 0;
	struct stat st;

	*base = slash ? slash + 1 : name;
	if (parent->fd >= 0 && parent->path.len == len && memcmp(kist_str_get(&parent->path), name, len) == 0)
		return parent->fd;
	parent_forget(parent);
	kist_str_clear(&parent->path);
	kist_str_addn(&parent->path, name, len);
	if (len == 0) {
		parent->fd = fcntl(x->root, F_DUPFD_CLOEXEC, 3);
		if (parent->fd < 0)
			return -errno;
	} else {
		const char *path = kist_str_get(&parent->path);
		int flags = O_RDONLY | O_DIRECTORY;

		parent->fd = kist_open_in_root(x->root, path, flags, 0);
		if (parent->fd == -ENOENT && create) {
			KIST_CLOSE int made = kist_mkdirs_in_root(x->root, path, 0755, x->uid, x->gid);

			if (made < 0)
				return made;
			parent->fd = kist_open_in_root(x->root, path, flags, 0);
		}
		if (parent->fd < 0) {
			int r = parent->fd;

			parent->fd = -1;
			return r;
		}
	}
	parent->setgid = fstat(parent->fd, &st) < 0 || (st.st_mode & S_ISGID);
	return parent->fd;
}

/* --- attributes ----------------------------------------------------------------------------------------------------
 */

/* Whether the archive's attribute may be left out where the file system or the kind of file has no place for it. What a
 * program's rights depend on may not. */
static bool xattr_may_fail(const char *name, int errnum)
{
	if (errnum != EOPNOTSUPP && errnum != EPERM && errnum != EINVAL)
		return false;
	return kist_has_prefix(name, "user.") || kist_has_prefix(name, "system.posix_acl_");
}

/* fd of the object, or -1 and path. */
static int set_xattrs(int fd, const char *path, const struct kist_tar_xattr *xattrs, size_t n, struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct kist_tar_xattr *a = &xattrs[i];
		int r = fd >= 0 ? fsetxattr(fd, a->name, a->value, a->len, 0)
		                : lsetxattr(path, a->name, a->value, a->len, 0);

		if (r == 0)
			continue;
		if (!xattr_may_fail(a->name, errno))
			return kist_fail_errno(err, errno, "set the attribute %s", a->name);
		kist_debug("tar: attribute %s is left out: %s", a->name, strerror(errno));
	}
	return 0;
}

static int entry_xattrs(int fd, const char *path, const struct kist_tar_entry *entry, struct kist_error *err)
{
	for (int i = 0; i < 2; i++) {
		int r = set_xattrs(fd, path, entry->xattrs[i], entry->n_xattrs[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool owner_differs(const struct extract *x, const struct kist_tar_entry *entry)
{
	if (x->flags & KIST_TAR_NO_OWNER)
		return false;
	return entry->uid != x->uid || entry->gid != x->gid || x->parent.setgid;
}

static void entry_times(const struct kist_tar_entry *entry, struct timespec times[2])
{
	times[0] = times[1] = (struct timespec){ .tv_sec = entry->mtime, .tv_nsec = entry->mtime_nsec };
}

/* A regular file: chown takes setuid bits and capabilities away, so they come after it. */
static int finish_file(struct extract *x, int fd, const struct kist_tar_entry *entry, struct kist_error *err)
{
	struct timespec times[2];
	int r;

	if (owner_differs(x, entry) && fchown(fd, entry->uid, entry->gid) < 0)
		return kist_fail_errno(err, errno, "set the owner %u:%u", entry->uid, entry->gid);
	if ((entry->mode & 07000) && fchmod(fd, entry->mode) < 0)
		return kist_fail_errno(err, errno, "set the mode");
	r = entry_xattrs(fd, NULL, entry, err);
	if (r < 0)
		return r;
	entry_times(entry, times);
	if (futimens(fd, times) < 0)
		return kist_fail_errno(err, errno, "set the time");
	return 0;
}

/* Links, devices, FIFOs: by name, never followed. */
static int finish_special(struct extract *x, int parent, const char *base, const struct kist_tar_entry *entry,
                          struct kist_error *err)
{
	struct timespec times[2];
	int r = 0;

	if (owner_differs(x, entry) && fchownat(parent, base, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return kist_fail_errno(err, errno, "set the owner %u:%u", entry->uid, entry->gid);
	if (entry->n_xattrs[0] || entry->n_xattrs[1]) {
		/* There is no setxattrat before Linux 6.13. The magic link is ours, and base has no slash. */
		KIST_FREE char *path = kist_asprintf("/proc/self/fd/%d/%s", parent, base);

		r = entry_xattrs(-1, path, entry, err);
	}
	if (r < 0)
		return r;
	entry_times(entry, times);
	if (utimensat(parent, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return kist_fail_errno(err, errno, "set the time");
	return 0;
}

/* --- making and replacing ------------------------------------------------------------------------------------------
 */

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_mount_root(int dir, const char *name)
{
	struct statx st;

	return statx(dir, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) == 0 &&
	       (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool is_special(mode_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

/* Takes away what bears the name. */
static int make_room(struct extract *x, int parent, const char *base, bool becomes_dir, struct kist_error *err)
{
	struct stat st;
	int r = 0;

	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "look at what it replaces");
	if (x->split)
		kist_split_doubt(x->split);
	if ((x->flags & KIST_TAR_KEEP_KIND) && S_ISDIR(st.st_mode) != becomes_dir)
		return kist_fail(err, KIST_ERR_EXISTS, EEXIST,
		                 becomes_dir ? "a directory would replace what is no directory"
		                             : "it would replace a directory");
	if ((x->flags & KIST_TAR_KEEP_KIND) && is_special(st.st_mode))
		return kist_fail(err, KIST_ERR_EXISTS, EEXIST, "it would replace a %s",
		                 S_ISFIFO(st.st_mode)   ? "FIFO"
		                 : S_ISSOCK(st.st_mode) ? "socket"
		                                        : "device");
	/* In another mount namespace the kernel does not refuse: it takes the mount away with the name. */
	if (is_mount_root(parent, base))
		r = -EBUSY;
	else if (S_ISDIR(st.st_mode))
		r = kist_remove_tree(parent, base);
	else if (unlinkat(parent, base, 0) < 0)
		r = -errno;
	if (r < 0)
		return kist_fail_errno(err, -r, "remove what it replaces");
	/* Names that led through it lead elsewhere now. The parent of this entry does not, and its fd is in use. */
	if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) {
		parent_forget(&x->target);
		kist_str_clear(&x->parent.path);
		kist_str_addc(&x->parent.path, '/'); /* equal to no directory part */
	}
	return 0;
}

static int write_payload(struct extract *x, int fd, uint64_t len, struct kist_error *err)
{
	while (len) {
		const uint8_t *data;
		ssize_t n = kist_tar_payload(x->reader, &data, err);
		int r;

		if (n < 0)
			return (int)n;
		if (n == 0)
			return kist_fail(err, KIST_ERR_INTERNAL, 0, "its contents are shorter than its map");
		if ((uint64_t)n > len)
			n = (ssize_t)len;
		r = kist_write_all(fd, data, (size_t)n);
		if (r < 0)
			return kist_fail_errno(err, -r, "write");
		kist_tar_consume(x->reader, (size_t)n);
		len -= (uint64_t)n;
	}
	return 0;
}

static int write_sparse(struct extract *x, int fd, const struct kist_tar_entry *entry, struct kist_error *err)
{
	if (ftruncate(fd, (off_t)entry->size) < 0)
		return kist_fail_errno(err, errno, "make a sparse file of %llu bytes", (unsigned long long)entry->size);
	for (size_t i = 0; i < entry->map->n; i++) {
		const struct kist_tar_segment *s = &entry->map->segments[i];
		int r;

		if (lseek(fd, (off_t)s->offset, SEEK_SET) < 0)
			return kist_fail_errno(err, errno, "seek");
		r = write_payload(x, fd, s->len, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_in_place(int parent, const char *base)
{
	KIST_CLOSE int fd = openat(parent, base, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || ftruncate(fd, 0) < 0)
		return -1;
	return kist_steal_fd(&fd);
}

static int extract_file(struct extract *x, int parent, const char *base, const struct kist_tar_entry *entry,
                        struct kist_error *err)
{
	KIST_CLOSE int fd = -1;
	int r;

	for (int tries = 0; fd < 0; tries++) {
		fd = openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry->mode & 0777);
		if (fd >= 0)
			break;
		if (errno != EEXIST || tries == 2)
			return kist_fail_errno(err, errno, "create the file");
		/* A file that is mounted over another cannot be replaced, only written. */
		fd = is_mount_root(parent, base) ? open_in_place(parent, base) : -1;
		if (fd >= 0)
			break;
		r = make_room(x, parent, base, false, err);
		if (r < 0)
			return r;
	}
	if (x->split)
		kist_split_begin(x->split, kist_str_get(&entry->name), entry->map);
	r = entry->map ? write_sparse(x, fd, entry, err) : write_payload(x, fd, entry->size, err);
	if (r < 0)
		return r;
	if (x->split)
		kist_split_end(x->split);
	return finish_file(x, fd, entry, err);
}

static int same_file(int a_dir, const char *a, int b_dir, const char *b)
{
	struct stat st_a, st_b;

	if (fstatat(a_dir, a, &st_a, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(b_dir, b, &st_b, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

/* The target's last component is not followed: a link to a symbolic link is a second name of that link. */
static int extract_hard_link(struct extract *x, int parent, const char *base, const struct kist_tar_entry *entry,
                             struct kist_error *err)
{
	const char *link = kist_str_get(&entry->link);
	char shown[200];
	const char *target;
	int dir = parent_open(x, &x->target, link, false, &target);

	kist_tar_show(shown, link);
	if (dir < 0)
		return kist_fail_errno(err, -dir, "hard link to '%s'", shown);
	if (!*target)
		return kist_fail(err, KIST_ERR_INVALID, 0, "a hard link to a directory");
	for (int tries = 0; linkat(dir, target, parent, base, 0) < 0; tries++) {
		int r;

		if (errno != EEXIST || tries == 2)
			return kist_fail_errno(err, errno, "hard link to '%s'", shown);
		/* Removing the name would remove the target with it. */
		if (same_file(dir, target, parent, base))
			return 0;
		r = make_room(x, parent, base, false, err);
		if (r < 0)
			return r;
		dir = parent_open(x, &x->target, link, false, &target);
		if (dir < 0)
			return kist_fail_errno(err, -dir, "hard link to '%s'", shown);
	}
	return 0;
}

static int make_special(int parent, const char *base, const struct kist_tar_entry *entry)
{
	switch (entry->type) {
	case '2':
		return symlinkat(kist_str_get(&entry->link), parent, base);
	case '3':
		return mknodat(parent, base, S_IFCHR | entry->mode, makedev(entry->major, entry->minor));
	case '4':
		return mknodat(parent, base, S_IFBLK | entry->mode, makedev(entry->major, entry->minor));
	default:
		return mknodat(parent, base, S_IFIFO | entry->mode, 0);
	}
}

/* Whether the name is the same device or a FIFO already. */
static bool is_there(int parent, const char *base, const struct kist_tar_entry *entry)
{
	struct stat st;

	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	switch (entry->type) {
	case '3':
		return S_ISCHR(st.st_mode) && st.st_rdev == makedev(entry->major, entry->minor);
	case '4':
		return S_ISBLK(st.st_mode) && st.st_rdev == makedev(entry->major, entry->minor);
	case '6':
		return S_ISFIFO(st.st_mode);
	default:
		return false;
	}
}

static int extract_special(struct extract *x, int parent, const char *base, const struct kist_tar_entry *entry,
                           struct kist_error *err)
{
	const char *what = entry->type == '2' ? "symbolic link" : entry->type == '6' ? "FIFO" : "device";

	for (int tries = 0; make_special(parent, base, entry) < 0; tries++) {
		int r;

		if (errno != EEXIST || tries == 2)
			return kist_fail_errno(err, errno, "create the %s", what);
		if ((x->flags & KIST_TAR_KEEP_KIND) && is_there(parent, base, entry))
			break;
		r = make_room(x, parent, base, false, err);
		if (r < 0)
			return r;
	}
	return finish_special(x, parent, base, entry, err);
}

/* --- directories ---------------------------------------------------------------------------------------------------
 */

static int add_waiting(struct extract *x, const struct kist_tar_entry *entry, bool set_owner, struct kist_error *err)
{
	struct waiting_dir *dir;
	size_t n = entry->n_xattrs[0] + entry->n_xattrs[1];

	x->waiting_bytes += sizeof(*dir) + entry->name.len + 1 + n * sizeof(*dir->xattrs);
	for (int from = 0; from < 2; from++) {
		for (size_t i = 0; i < entry->n_xattrs[from]; i++)
			x->waiting_bytes += entry->xattrs[from][i].len + strlen(entry->xattrs[from][i].name) + 1;
	}
	if (x->waiting_bytes > MAX_WAITING)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the archive has too many directories");
	if ((x->n_dirs & (x->n_dirs - 1)) == 0)
		x->dirs = kist_grow(x->dirs, x->n_dirs ? 2 * x->n_dirs : 1, sizeof(*x->dirs));
	dir = &x->dirs[x->n_dirs++];
	*dir = (struct waiting_dir){ .name = x->names.len,
		                     .mode = entry->mode,
		                     .uid = entry->uid,
		                     .gid = entry->gid,
		                     .set_owner = set_owner,
		                     .mtime = entry->mtime,
		                     .mtime_nsec = entry->mtime_nsec };
	kist_str_addn(&x->names, kist_str_get(&entry->name), entry->name.len + 1);
	if (n)
		dir->xattrs = kist_alloc(n * sizeof(*dir->xattrs));
	for (int from = 0; from < 2; from++) {
		for (size_t i = 0; i < entry->n_xattrs[from]; i++) {
			const struct kist_tar_xattr *a = &entry->xattrs[from][i];
			struct kist_tar_xattr *copy = &dir->xattrs[dir->n_xattrs++];

			*copy = (struct kist_tar_xattr){ kist_strdup(a->name), kist_alloc(a->len ? a->len : 1),
				                         a->len };
			memcpy(copy->value, a->value, a->len);
		}
	}
	return 0;
}

static int set_opaque(int dir, struct kist_error *err)
{
	if (fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return kist_fail_errno(err, errno, "mark the directory as opaque");
	return 0;
}

static int extract_dir(struct extract *x, int parent, const char *base, const struct kist_tar_entry *entry,
                       struct kist_error *err)
{
	bool set_owner = owner_differs(x, entry);
	bool opaque = false;

	for (int tries = 0; mkdirat(parent, base, 0700) < 0; tries++) {
		struct stat st;
		int r;

		if (errno != EEXIST || tries == 2)
			return kist_fail_errno(err, errno, "create the directory");
		if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			if (S_ISDIR(st.st_mode)) {
				set_owner = !(x->flags & KIST_TAR_NO_OWNER);
				break;
			}
			/* A whiteout and a directory of one name: the directory hides what is below. */
			opaque = (x->flags & KIST_TAR_WHITEOUTS) && is_whiteout(&st);
		}
		r = make_room(x, parent, base, true, err);
		if (r < 0)
			return r;
	}
	if (opaque) {
		KIST_CLOSE int fd = openat(parent, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int r = fd < 0 ? kist_fail_errno(err, errno, "open the directory") : set_opaque(fd, err);

		if (r < 0)
			return r;
	}
	return add_waiting(x, entry, set_owner, err);
}

static int finish_dir(struct extract *x, const struct waiting_dir *dir, const char *name, struct kist_error *err)
{
	struct timespec times[2] = { { .tv_sec = dir->mtime, .tv_nsec = dir->mtime_nsec },
		                     { .tv_sec = dir->mtime, .tv_nsec = dir->mtime_nsec } };
	KIST_CLOSE int fd = -1;
	const char *base;
	int parent = parent_open(x, &x->parent, name, false, &base);
	int r;

	if (parent >= 0)
		fd = openat(parent, *base ? base : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		int errnum = parent < 0 ? -parent : errno;

		/* A later entry has replaced it. */
		if (errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP)
			return 0;
		return kist_fail_errno(err, errnum, "open the directory");
	}
	if (dir->set_owner && fchown(fd, dir->uid, dir->gid) < 0)
		return kist_fail_errno(err, errno, "set the owner %u:%u", dir->uid, dir->gid);
	if (fchmod(fd, dir->mode) < 0)
		return kist_fail_errno(err, errno, "set the mode");
	r = set_xattrs(fd, NULL, dir->xattrs, dir->n_xattrs, err);
	if (r < 0)
		return r;
	if (futimens(fd, times) < 0)
		return kist_fail_errno(err, errno, "set the time");
	return 0;
}

static int finish_dirs(struct extract *x, struct kist_error *err)
{
	for (size_t i = 0; i < x->n_dirs; i++) {
		const char *name = kist_str_get(&x->names) + x->dirs[i].name;
		int r = finish_dir(x, &x->dirs[i], name, err);

		if (r < 0) {
			char shown[200];

			return kist_context(err, "entry '%s'", kist_tar_show(shown, name));
		}
	}
	return 0;
}

/* --- whiteouts -----------------------------------------------------------------------------------------------------
 */

/* OCI image specification, layer.md, "Whiteouts": they hide what is in lower layers only, so what this
 * layer has under the name stays, as a directory that hides those below. */
static int extract_whiteout(int parent, const char *base, struct kist_error *err)
{
	const char *hidden = base + strlen(WHITEOUT);
	KIST_CLOSE int fd = -1;

	if (kist_streq(base, WHITEOUT_OPAQUE))
		return set_opaque(parent, err);
	if (kist_has_prefix(base, WHITEOUT_AUFS))
		return 0; /* bookkeeping of aufs, which the specification reserves */
	if (!*hidden || kist_streq(hidden, ".") || kist_streq(hidden, ".."))
		return kist_fail(err, KIST_ERR_INVALID, 0, "a whiteout of nothing");
	if (mknodat(parent, hidden, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST)
		return kist_fail_errno(err, errno, "create the whiteout");
	fd = openat(parent, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : set_opaque(fd, err);
}

/* --- the loop ------------------------------------------------------------------------------------------------------
 */

static int extract_entry(struct extract *x, const struct kist_tar_entry *entry, struct kist_error *err)
{
	const char *base;
	int parent;

	if (entry->name.len == 0) {
		if (entry->type != '5')
			return kist_fail(err, KIST_ERR_INVALID, 0, "the top of the archive is not a directory");
		return add_waiting(x, entry, !(x->flags & KIST_TAR_NO_OWNER), err);
	}
	parent = parent_open(x, &x->parent, kist_str_get(&entry->name), true, &base);
	if (parent < 0)
		return kist_fail_errno(err, -parent, "open its directory");
	if ((x->flags & KIST_TAR_WHITEOUTS) && kist_has_prefix(base, WHITEOUT))
		return extract_whiteout(parent, base, err);
	switch (entry->type) {
	case '0':
		return extract_file(x, parent, base, entry, err);
	case '1':
		return extract_hard_link(x, parent, base, entry, err);
	case '5':
		return extract_dir(x, parent, base, entry, err);
	default:
		return extract_special(x, parent, base, entry, err);
	}
}

static void rename_first(struct kist_str *name, const char *first)
{
	KIST_FREE char *old = kist_str_take(name);
	const char *slash = strchr(old, '/');

	kist_str_clear(name);
	kist_str_add(name, first);
	if (slash)
		kist_str_add(name, slash);
}

static bool is_left_out(const struct extract *x, const struct kist_tar_entry *entry)
{
	return (x->flags & KIST_TAR_NO_DEVICES) && (entry->type == '3' || entry->type == '4');
}

static void adapt(const struct extract *x, struct kist_tar_entry *entry)
{
	if (x->flags & KIST_TAR_OWNER) {
		entry->uid = x->how->uid;
		entry->gid = x->how->gid;
	}
	if (!x->how->rename)
		return;
	rename_first(&entry->name, x->how->rename);
	if (entry->type == '1')
		rename_first(&entry->link, x->how->rename);
}

static int extract_all(struct extract *x, struct kist_error *err)
{
	for (;;) {
		int r = kist_tar_next(x->reader, err);

		if (r < 0)
			return r;
		if (r == 0)
			return finish_dirs(x, err);
		if (is_left_out(x, &x->reader->entry))
			continue;
		adapt(x, &x->reader->entry);
		r = extract_entry(x, &x->reader->entry, err);
		if (r < 0)
			return x->reader->cut_off ? r : kist_context(err, "entry '%s'", x->reader->shown);
	}
}

static void extract_clear(struct extract *x)
{
	parent_forget(&x->parent);
	parent_forget(&x->target);
	kist_str_free(&x->parent.path);
	kist_str_free(&x->target.path);
	kist_str_free(&x->names);
	for (size_t i = 0; i < x->n_dirs; i++)
		kist_tar_xattrs_free(x->dirs[i].xattrs, x->dirs[i].n_xattrs);
	free(x->dirs);
}

static int extract(const struct kist_tar_source *from, int dir, const struct kist_tar_unpack *how,
                   struct kist_split *split, struct kist_tar_result *result, struct kist_error *err)
{
	KIST_STREAM struct kist_stream *stream = NULL;
	KIST_TAR_READER struct kist_tar_reader reader;
	struct extract x = { .reader = &reader,
		             .root = dir,
		             .flags = how->flags,
		             .how = how,
		             .uid = geteuid(),
		             .gid = getegid(),
		             .parent.fd = -1,
		             .target.fd = -1,
		             .split = split };
	mode_t mask;
	int r;

	kist_tar_reader_init(&reader, NULL, how->limits);
	r = from->read   ? kist_stream_open_reader(from->read, from->arg, &stream, err)
	    : from->part ? kist_stream_open_part(from->fd, from->offset, from->length, &stream, err)
	                 : kist_stream_open(from->fd, &stream, err);
	if (r < 0)
		return r;
	reader.stream = stream;
	if (split)
		kist_stream_tap(stream, kist_split_take, split);
	/* Modes are exact at creation, which saves a call for each file. No threads: nobody else sees the mask. */
	mask = umask(0);
	r = extract_all(&x, err);
	umask(mask);
	extract_clear(&x);
	if (r == 0)
		r = kist_stream_drain(stream, reader.limits.bytes > MAX_TRAILER ? reader.limits.bytes : MAX_TRAILER,
		                      err);
	if (r == 0 && result) {
		result->entries = reader.entries;
		result->bytes = reader.bytes;
		result->length = kist_stream_length(stream);
		result->compression = kist_stream_compression(stream);
		kist_stream_digests(stream, result->diff_id, result->blob_id);
	}
	return r;
}

int kist_tar_extract_split(const struct kist_tar_source *from, int dir, unsigned flags,
                           const struct kist_tar_limits *limits, struct kist_split *split,
                           struct kist_tar_result *result, struct kist_error *err)
{
	struct kist_tar_unpack how = { .flags = flags, .limits = limits };

	return extract(from, dir, &how, split, result, err);
}

int kist_tar_unpack(int from, int dir, const struct kist_tar_unpack *how, struct kist_tar_result *result,
                    struct kist_error *err)
{
	return extract(&(struct kist_tar_source){ .fd = from }, dir, how, NULL, result, err);
}

int kist_tar_extract(int from, int dir, unsigned flags, const struct kist_tar_limits *limits,
                     struct kist_tar_result *result, struct kist_error *err)
{
	struct kist_tar_unpack how = { .flags = flags, .limits = limits };

	return kist_tar_unpack(from, dir, &how, result, err);
}
