/* What an upper directory changes in what is below it. Both sides are walked by descriptors; no link is followed. */
#include "overlay/overlay.h"

#include "core/base/error.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Each level holds two descriptors. */
#define MAX_DEPTH 400

struct walk {
	int (*change)(void *arg, char kind, const char *path);
	void *arg;
	struct kist_str path;
	unsigned depth;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(int dir, char ***out)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char **names = NULL;

	if (!list) {
		int r = -errno;

		kist_close_fd(&fd);
		return r;
	}
	for (const struct dirent *entry; (entry = readdir(list));)
		if (!kist_streq(entry->d_name, ".") && !kist_streq(entry->d_name, ".."))
			kist_strv_add(&names, entry->d_name);
	closedir(list);
	if (names)
		qsort(names, kist_strv_len(names), sizeof(*names), by_name);
	*out = names;
	return 0;
}

static bool has_mark(int dir, const char *name)
{
	char value;

	return fgetxattr(dir, name, &value, 1) == 1 && value == 'y';
}

static int tell(struct walk *walk, char kind)
{
	return walk->change(walk->arg, kind, kist_str_get(&walk->path));
}

static int open_dir(int dir, const char *name)
{
	return dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* An opaque directory hides what below has and it has not. */
static int tell_hidden(struct walk *walk, int below, char *const *names)
{
	KIST_STRV char **there = NULL;
	size_t len = walk->path.len;

	int r = list_names(below, &there);
	for (char **name = there; r == 0 && name && *name; name++) {
		if (kist_strv_has(names, *name))
			continue;
		kist_str_addf(&walk->path, "/%s", *name);
		r = tell(walk, 'D');
		walk->path.len = len;
		walk->path.data[len] = '\0';
	}
	return r;
}

static int walk_dir(struct walk *walk, int upper, int below, bool opaque, struct kist_error *err);

static int walk_entry(struct walk *walk, int upper, int below, const char *name, struct kist_error *err)
{
	struct stat st, old;
	bool there = below >= 0 && fstatat(below, name, &old, AT_SYMLINK_NOFOLLOW) == 0;

	if (fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "look at %s", kist_str_get(&walk->path));
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
		return there ? tell(walk, 'D') : 0;
	int r = tell(walk, there ? 'C' : 'A');
	if (r < 0 || !S_ISDIR(st.st_mode))
		return r;
	KIST_CLOSE int inner = open_dir(upper, name);
	if (inner < 0)
		return kist_fail_errno(err, errno, "open %s", kist_str_get(&walk->path));
	KIST_CLOSE int old_inner = there && S_ISDIR(old.st_mode) ? open_dir(below, name) : -1;
	return walk_dir(walk, inner, old_inner, has_mark(inner, "trusted.overlay.opaque"), err);
}

static int walk_dir(struct walk *walk, int upper, int below, bool opaque, struct kist_error *err)
{
	KIST_STRV char **names = NULL;
	size_t len = walk->path.len;

	if (++walk->depth > MAX_DEPTH)
		return kist_fail(err, KIST_ERR_INVALID, ELOOP, "%.200s...: too many directories in each other",
		                 kist_str_get(&walk->path));
	int r = list_names(upper, &names);
	if (r < 0)
		return kist_fail_errno(err, -r, "list /%s", kist_str_get(&walk->path));
	if (opaque && below >= 0)
		r = tell_hidden(walk, below, names);
	for (char **name = names; r == 0 && name && *name; name++) {
		kist_str_addf(&walk->path, "/%s", *name);
		r = walk_entry(walk, upper, below, *name, err);
		walk->path.len = len;
		walk->path.data[len] = '\0';
	}
	walk->depth--;
	return r;
}

int kist_overlay_changes(int upper, int below, int (*change)(void *arg, char kind, const char *path), void *arg,
                         struct kist_error *err)
{
	struct walk walk = { .change = change, .arg = arg };

	kist_str_add(&walk.path, "");
	int r = walk_dir(&walk, upper, below, has_mark(upper, "trusted.overlay.opaque"), err);
	kist_str_free(&walk.path);
	if (r < 0 && err && !kist_error_is_set(err))
		return kist_fail_errno(err, -r, "look for changes");
	return r;
}
