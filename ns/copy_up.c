#include "ns/launch.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COPY_DEPTH 256 /* each level holds two fds */

static int copy_directory(int from, int to, int depth);

/* Attributes the target does not take are left out: user.* on a tmpfs before Linux 6.6, trusted.* in a user namespace.
 */
static int copy_xattrs(int from, int to)
{
	char names[8192];
	KIST_FREE char *value = kist_alloc(65536);
	ssize_t n = flistxattr(from, names, sizeof(names));

	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, 65536);
		if (size < 0)
			continue;
		if (fsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != ENOTSUP && errno != EPERM &&
		    errno != EINVAL)
			return -errno;
	}
	return 0;
}

/* Owner before mode: chown(2) clears the set-id bits; before attributes: it clears file capabilities. */
static int copy_metadata(int from, int to, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	int r = copy_xattrs(from, to);
	if (r < 0)
		return r;
	return futimens(to, times) < 0 ? -errno : 0;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	KIST_CLOSE int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	KIST_CLOSE int to = -1;
	KIST_FREE char *buffer = NULL;

	if (from < 0)
		return -errno;
	to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	buffer = kist_alloc(65536);
	for (;;) {
		ssize_t n = read(from, buffer, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		int r = kist_write_all(to, buffer, (size_t)n);
		if (r < 0)
			return r;
	}
	return copy_metadata(from, to, st);
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to_dir, name) < 0 ||
	    fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_node(int to_dir, const char *name, const struct stat *st)
{
	if (mknodat(to_dir, name, st->st_mode & (S_IFMT | 07777), st->st_rdev) < 0 ||
	    fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_entry(int from_dir, int to_dir, const char *name, int depth)
{
	struct stat st;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		return copy_file(from_dir, to_dir, name, &st);
	if (S_ISLNK(st.st_mode))
		return copy_link(from_dir, to_dir, name, &st);
	if (!S_ISDIR(st.st_mode))
		return copy_node(to_dir, name, &st);
	KIST_CLOSE int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0 || mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	KIST_CLOSE int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return -errno;
	int r = copy_directory(from, to, depth + 1);
	return r < 0 ? r : copy_metadata(from, to, &st);
}

static int copy_directory(int from, int to, int depth)
{
	struct dirent *entry;
	int r = 0;

	if (depth > COPY_DEPTH)
		return -ELOOP;
	int own = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	if (!dir) {
		r = -errno;
		kist_close_fd(&own);
		return r;
	}
	while (r == 0) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = -errno;
			break;
		}
		if (!kist_streq(entry->d_name, ".") && !kist_streq(entry->d_name, ".."))
			r = copy_entry(from, to, entry->d_name, depth);
	}
	closedir(dir);
	return r;
}

int kist_ns_copy_up(int from, int to, struct kist_error *err)
{
	struct stat st;
	KIST_CLOSE int dir = kist_reopen(from, O_RDONLY | O_DIRECTORY);
	KIST_CLOSE int out = kist_reopen(to, O_RDONLY | O_DIRECTORY);
	int r = dir < 0 ? dir : out;

	if (r >= 0)
		r = copy_directory(dir, out, 0);
	if (r == 0 && fstat(dir, &st) == 0)
		r = copy_metadata(dir, out, &st);
	return r < 0 ? kist_fail_errno(err, -r, "copy the directory's content up") : 0;
}
