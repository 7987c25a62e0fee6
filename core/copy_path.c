/* What the paths of 'cp' mean (podman-cp(1)). A link in the last place is followed here, step by step, so that a
 * destination that does not exist yet is made where the link leads; every step is resolved in-root. */
#include "core/copy.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINKS 40 /* as the kernel */

void kist_copy_target_close(struct kist_copy_target *target)
{
	kist_close_fd(&target->dir);
	free(target->name);
	free(target->as);
	target->name = target->as = NULL;
}

/* The length without slashes at the end. */
static size_t trimmed(const char *path)
{
	size_t n = strlen(path);

	while (n > 0 && path[n - 1] == '/')
		n--;
	return n;
}

/* Where the last component begins. */
static size_t base_start(const char *path)
{
	size_t n = trimmed(path);

	while (n > 0 && path[n - 1] != '/')
		n--;
	return n;
}

char *kist_copy_base(const char *path)
{
	size_t start = base_start(path);

	return kist_strndup(path + start, trimmed(path) - start);
}

char *kist_copy_parent(const char *path)
{
	size_t start = base_start(path), n = start;

	while (n > 0 && path[n - 1] == '/')
		n--;
	return n == 0 && start > 0 ? kist_strdup("/") : kist_strndup(path, n);
}

bool kist_copy_means_contents(const char *path)
{
	KIST_FREE char *base = kist_copy_base(path);

	return !*base || kist_streq(base, ".") || kist_streq(base, "..");
}

bool kist_copy_wants_directory(const char *path)
{
	return path[0] && (path[strlen(path) - 1] == '/' || kist_copy_means_contents(path));
}

char *kist_copy_follow(const char *path, const char *target)
{
	if (target[0] == '/')
		return kist_strdup(target);
	KIST_FREE char *parent = kist_copy_parent(path);
	return kist_asprintf("%s%s%s", parent, !*parent || kist_streq(parent, "/") ? "" : "/", target);
}

static int place_open(const struct kist_copy_place *place, const char *path, int flags)
{
	if (place->c)
		return kist_open_in_root(place->root.fd, path, flags, 0);
	int fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* 1: *path is what the link in its last place leads to; 0: there is no link, and dir, name, mode are those of the path.
 */
static int step(const struct kist_copy_place *place, char **path, struct kist_copy_target *t)
{
	KIST_FREE char *parent = kist_copy_parent(*path);
	char link[PATH_MAX];
	struct stat st;

	kist_copy_target_close(t);
	t->dir = place_open(place, *parent ? parent : ".", O_PATH | O_DIRECTORY);
	if (t->dir < 0)
		return t->dir;
	t->name = kist_copy_base(*path);
	t->mode = 0;
	if (fstatat(t->dir, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	t->mode = st.st_mode;
	if (!S_ISLNK(st.st_mode))
		return 0;
	ssize_t n = readlinkat(t->dir, t->name, link, sizeof(link) - 1);
	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	link[n] = '\0';
	char *next = kist_copy_follow(*path, link);
	free(*path);
	*path = next;
	return 1;
}

/* The path's own base name, or where links lead: a container's link is not a name that its user chose. */
static char *shown_name(const struct kist_copy_place *place, const char *given, const char *resolved)
{
	if (kist_copy_means_contents(given))
		return NULL;
	return kist_copy_base(place->c && !kist_copy_means_contents(resolved) ? resolved : given);
}

static int walk(const struct kist_copy_place *place, const char *given, struct kist_copy_target *t)
{
	KIST_FREE char *path = kist_strdup(given);
	int r = 1;

	for (int links = 0; r == 1; links++) {
		if (links > MAX_LINKS)
			return -ELOOP;
		if (kist_copy_means_contents(path)) {
			struct stat st;
			kist_copy_target_close(t);
			t->dir = place_open(place, path, O_PATH | O_DIRECTORY);
			if (t->dir < 0 || fstat(t->dir, &st) < 0)
				return t->dir < 0 ? t->dir : -errno;
			t->mode = st.st_mode;
			break;
		}
		r = step(place, &path, t);
	}
	if (r < 0)
		return r;
	t->as = shown_name(place, given, path);
	if (!S_ISDIR(t->mode) || !t->name)
		return 0;
	/* Opened by its name in the directory that is held: no link is followed any more. */
	int fd = openat(t->dir, t->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	kist_close_fd(&t->dir);
	t->dir = fd;
	free(t->name);
	t->name = NULL;
	return 0;
}

int kist_copy_resolve(const struct kist_copy_place *place, const char *path, bool destination,
                      struct kist_copy_target *out, struct kist_error *err)
{
	struct kist_copy_target t = KIST_COPY_TARGET_INIT;
	int r = walk(place, path, &t);

	if (r == 0 && t.mode == 0 && (!destination || kist_copy_wants_directory(path)))
		r = -ENOENT;
	if (r == 0 && t.mode && !S_ISDIR(t.mode) && kist_copy_wants_directory(path))
		r = -ENOTDIR;
	if (r < 0) {
		kist_copy_target_close(&t);
		if (r != -ENOENT && r != -ENOTDIR)
			return kist_fail_errno(err, -r, "%s", path);
		return place->c
		               ? kist_fail(err, KIST_ERR_NOT_FOUND, -r, "\"%s\" could not be found on container %s: %s",
		                           path, place->c->config.name,
		                           r == -ENOENT ? "no such file or directory" : "not a directory")
		               : kist_fail(err, KIST_ERR_NOT_FOUND, -r, "\"%s\" could not be found on the host: %s",
		                           path, r == -ENOENT ? "no such file or directory" : "not a directory");
	}
	*out = t;
	return 0;
}
