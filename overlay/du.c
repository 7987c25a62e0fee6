#include "overlay/overlay.h"

#include "core/base/error.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Inodes with several names that were counted, by open addressing. 0 is no inode. */
struct inode_set {
	ino_t *slots;
	size_t room, n;
};

static void set_put(struct inode_set *set, ino_t inode)
{
	size_t i = (size_t)((uint64_t)inode * 0x9e3779b97f4a7c15ULL) & (set->room - 1);

	while (set->slots[i])
		i = (i + 1) & (set->room - 1);
	set->slots[i] = inode;
	set->n++;
}

static bool set_has(const struct inode_set *set, ino_t inode)
{
	size_t i;

	if (!set->room)
		return false;
	i = (size_t)((uint64_t)inode * 0x9e3779b97f4a7c15ULL) & (set->room - 1);
	for (; set->slots[i]; i = (i + 1) & (set->room - 1)) {
		if (set->slots[i] == inode)
			return true;
	}
	return false;
}

/* True when it is new. */
static bool set_add(struct inode_set *set, ino_t inode)
{
	if (set_has(set, inode))
		return false;
	if (2 * set->n >= set->room) {
		struct inode_set wider = { .room = set->room ? 2 * set->room : 256 };

		wider.slots = kist_alloc(wider.room * sizeof(*wider.slots));
		for (size_t i = 0; i < set->room; i++) {
			if (set->slots[i])
				set_put(&wider, set->slots[i]);
		}
		free(set->slots);
		*set = wider;
	}
	set_put(set, inode);
	return true;
}

/* One directory on the way down. Its subdirectories are remembered, and its fd is closed before the next one is
 * opened: trees may be deeper than there are fds. */
struct level {
	struct kist_str subdirs; /* names, each with its NUL */
	size_t next;             /* offset of the first that was not entered */
	ino_t inode;
};

struct walk {
	struct level *levels;
	size_t depth;
	struct inode_set seen;
	dev_t device;
	uint64_t bytes;
};

static int walk_entry(struct walk *walk, int dir, const char *name, struct level *level)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (st.st_dev != walk->device)
		return 0; /* something is mounted there */
	if (S_ISDIR(st.st_mode))
		kist_str_addn(&level->subdirs, name, strlen(name) + 1);
	else if (st.st_nlink > 1 && !set_add(&walk->seen, st.st_ino))
		return 0;
	walk->bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

/* Adds up the directory behind fd, whose inode is known, as one more level. */
static int walk_enter(struct walk *walk, int fd, ino_t inode)
{
	KIST_CLOSE int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct level *level;
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	if (copy < 0)
		return -errno;
	dir = fdopendir(copy);
	if (!dir)
		return -errno;
	kist_steal_fd(&copy);
	walk->levels = kist_grow(walk->levels, walk->depth + 1, sizeof(*walk->levels));
	level = &walk->levels[walk->depth++];
	*level = (struct level){ .inode = inode };
	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (kist_streq(entry->d_name, ".") || kist_streq(entry->d_name, ".."))
			continue;
		r = walk_entry(walk, fd, entry->d_name, level);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = -errno;
	closedir(dir);
	return r;
}

/* Down into the next subdirectory or, when there is none, up. *fd changes accordingly. */
static int walk_step(struct walk *walk, int *fd)
{
	struct level *level = &walk->levels[walk->depth - 1];
	bool down = level->next < level->subdirs.len;
	const char *name = down ? level->subdirs.data + level->next : "..";
	struct stat st;
	int next;

	if (down) {
		level->next += strlen(name) + 1;
	} else {
		kist_str_free(&level->subdirs);
		if (--walk->depth == 0)
			return 0;
	}
	next = openat(*fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0)
		return down && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) ? 0 : -errno;
	kist_close_fd(fd);
	*fd = next;
	if (fstat(next, &st) < 0)
		return -errno;
	if (down)
		return walk_enter(walk, next, st.st_ino);
	/* A directory that was moved meanwhile has another parent, which is none of ours. */
	return st.st_dev == walk->device && st.st_ino == walk->levels[walk->depth - 1].inode ? 0 : -ESTALE;
}

static int walk_tree(int dir, uint64_t *bytes)
{
	struct walk walk = { 0 };
	KIST_CLOSE int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	walk.device = st.st_dev;
	walk.bytes = (uint64_t)st.st_blocks * 512;
	r = walk_enter(&walk, fd, st.st_ino);
	while (r == 0 && walk.depth)
		r = walk_step(&walk, &fd);
	while (walk.depth)
		kist_str_free(&walk.levels[--walk.depth].subdirs);
	free(walk.levels);
	free(walk.seen.slots);
	if (r == 0)
		*bytes = walk.bytes;
	return r;
}

int kist_overlay_du(int dir, uint64_t *bytes, struct kist_error *err)
{
	int r = -ESTALE;

	/* A container may move directories under our feet; it does not do so for ever. */
	for (int tries = 0; tries < 5 && r == -ESTALE; tries++)
		r = walk_tree(dir, bytes);
	if (r < 0)
		return kist_fail_errno(err, -r, "measure the directory");
	return 0;
}
