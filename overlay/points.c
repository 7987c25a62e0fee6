/* The layer of mount points.
 *
 * In every container the engine mounts files of its own, whose places an image often lacks: a start would have to make
 * them in the container's writable layer, with copies of the directories they are in, and a removal to take them away.
 * They lie in a layer of their own instead, once a store and below all that images bring: what an image has, it shows.
 * Nothing depends on it. A place that is missing (the store can only be read, an image hides the directory, a power cut
 * tore the layer) is made by whoever mounts there. */
#include "overlay/overlay.h"

#include "core/base/base.h"
#include "core/base/fs.h"
#include "overlay/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *path;
	mode_t mode; /* with its type */
	const char *target;
} points[] = {
	{ "dev", S_IFDIR | 0755, NULL },
	{ "proc", S_IFDIR | 0555, NULL },
	{ "sys", S_IFDIR | 0555, NULL },
	{ "etc", S_IFDIR | 0755, NULL },
	{ "etc/hosts", S_IFREG | 0644, NULL },
	{ "etc/hostname", S_IFREG | 0644, NULL },
	{ "etc/resolv.conf", S_IFREG | 0644, NULL },
	{ "etc/mtab", S_IFLNK, "/proc/mounts" }, /* no place to mount on: what old programs read */
	{ "run", S_IFDIR | 0755, NULL },
	{ "run/.containerenv", S_IFREG | 0644, NULL },
};

/* In a directory of ours that nothing else can write: paths may be taken as they are. */
static int make_point(int dir, const char *path, mode_t mode, const char *target)
{
	int r;

	if (target)
		return symlinkat(target, dir, path) < 0 ? -errno : 0;
	if (S_ISDIR(mode))
		r = mkdirat(dir, path, mode & 07777);
	else
		r = mknodat(dir, path, mode, 0);
	/* Whatever the umask is. */
	return r < 0 || fchmodat(dir, path, mode & 07777, 0) < 0 ? -errno : 0;
}

static int make_points(int dir)
{
	int r = fchmod(dir, 0755) < 0 ? -errno : 0;

	for (size_t i = 0; r == 0 && i < KIST_COUNT(points); i++)
		r = make_point(dir, points[i].path, points[i].mode, points[i].target);
	return r;
}

/* Visible by one rename, and held until then: the next import sweeps what nobody holds. The first of several wins. */
int kist_overlay_points_make(struct kist_overlay *store)
{
	char name[sizeof(KIST_TMP_PREFIX) + 16] = KIST_TMP_PREFIX;

	if (kist_exists_at(store->dir, KIST_OVERLAY_POINTS))
		return 0;
	kist_random_hex(name + sizeof(KIST_TMP_PREFIX) - 1, 16);
	if (mkdirat(store->dir, name, 0700) < 0)
		return -errno;
	KIST_CLOSE int dir = openat(store->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = dir < 0 || flock(dir, LOCK_EX | LOCK_NB) < 0 ? -errno : make_points(dir);
	if (r == 0 && renameat(store->dir, name, store->dir, KIST_OVERLAY_POINTS) == 0)
		return 0;
	if (r == 0 && errno != ENOTEMPTY && errno != EEXIST)
		r = -errno;
	kist_remove_tree(store->dir, name);
	return r;
}
