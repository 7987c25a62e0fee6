/* Storage containers, as libpod calls them: writable layers in the store that no record names, or only a damaged one.
 * What a person wrote there is not thrown away: it can be listed, looked at on the host, and removed.
 *
 * A directory without a record and without a writable layer is what a crash left of a create, and is swept. */
#include "core/container_root.h"
#include "core/internal.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "ns/ns.h"
#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MERGED "merged"

/* Whether it is one: -ENOENT, KIST_ERR_EXISTS for a container that is sound. */
static int check(struct kist *k, const char *id, struct kist_error *err)
{
	struct kist_container *c = NULL;

	if (strlen(id) != 64 || id[strspn(id, "0123456789abcdef")] || !kist_container_has_layer(k, id))
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such storage container: %s", id);
	if (kist_container_load(k, id, &c, NULL) == 0) {
		kist_fail(err, KIST_ERR_EXISTS, EEXIST, "%s is container %s", id, c->config.name);
		kist_container_free(c);
		return -EEXIST;
	}
	return 0;
}

bool kist_container_has_layer(struct kist *k, const char *id)
{
	KIST_FREE char *path = kist_asprintf("%s/upper", id);

	return kist_exists_at(k->containers, path);
}

/* The lines of the record that can be read, "KEY=VALUE" or "KEY.N=VALUE": of a damaged one no other reader takes any.
 */
static char **lines_of(struct kist *k, const char *id, const char *key)
{
	KIST_FREE char *path = kist_asprintf("%s/config", id);
	KIST_STR struct kist_str text = { 0 };
	char **values = NULL;
	size_t len = strlen(key);

	if (kist_read_file(k->containers, path, KIST_RECORD_MAX, &text) < 0)
		return NULL;
	KIST_STRV char **lines = kist_strv_split(kist_str_get(&text), '\n');
	for (char **line = lines; line && *line; line++) {
		const char *rest = *line + len;

		if (strncmp(*line, key, len) != 0)
			continue;
		if (*rest == '.')
			rest += 1 + strspn(rest + 1, "0123456789");
		if (*rest == '=')
			kist_strv_add(&values, rest + 1);
	}
	return values;
}

static char *first_line(struct kist *k, const char *id, const char *key)
{
	KIST_STRV char **values = lines_of(k, id, key);

	return values ? kist_strdup(values[0]) : NULL;
}

static char *mount_path(struct kist *k, const char *id)
{
	return kist_asprintf("%s/containers/%s/" MERGED, k->settings.runroot, id);
}

char *kist_storage_container_mountpoint(struct kist *k, const char *id)
{
	KIST_FREE char *path = kist_asprintf("%s/" MERGED, id);
	struct statx st;

	if (statx(k->run_containers, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) < 0 ||
	    !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return NULL;
	return mount_path(k, id);
}

static void fill(struct kist *k, const char *id, struct kist_storage_container *out)
{
	KIST_FREE char *path = kist_asprintf("%s/upper", id);
	struct stat st;

	memcpy(out->id, id, sizeof(out->id) - 1);
	out->name = first_line(k, id, "name");
	out->image = first_line(k, id, "image_name");
	out->mountpoint = kist_storage_container_mountpoint(k, id);
	if (fstatat(k->containers, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		out->changed = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

void kist_storage_container_list_free(struct kist_storage_container *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].name);
		free(list[i].image);
		free(list[i].mountpoint);
	}
	free(list);
}

int kist_storage_container_list(struct kist *k, struct kist_storage_container **out, size_t *n, struct kist_error *err)
{
	int fd = openat(k->containers, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct kist_storage_container *list = NULL;
	size_t count = 0;

	if (!dir) {
		int r = kist_fail_errno(err, errno, "read the list of containers");
		kist_close_fd(&fd);
		return r;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (check(k, entry->d_name, NULL) < 0)
			continue;
		list = kist_grow(list, count + 1, sizeof(*list));
		list[count] = (struct kist_storage_container){ 0 };
		fill(k, entry->d_name, &list[count++]);
	}
	closedir(dir);
	*out = list;
	*n = count;
	return 0;
}

/* --- on the host ---------------------------------------------------------------------------------------------------
 */

/* With the layers below it, where the record still tells all of them and they are there; else the writable layer alone.
 */
static int open_tree_of(struct kist *k, const char *id, int dir, struct kist_error *err)
{
	KIST_STRV char **layers = lines_of(k, id, "layers");
	struct kist_overlay *store = NULL;
	bool whole = layers && kist_store_overlay(k, &store, NULL) == 0;

	for (char **layer = layers; whole && *layer; layer++)
		whole = kist_overlay_has(store, *layer);
	if (whole) {
		struct kist_overlay_mount mount = { .layers = layers, .lower_fd = -1, .dir = dir };

		return kist_overlay_mount(store, &mount, err);
	}
	int tree = open_tree(dir, "upper", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	return tree < 0 ? kist_fail_errno(err, errno, "copy the mount of its writable layer") : tree;
}

/* The lock that a container's calls take: returns its run directory, *lock holds it. */
static int lock(struct kist *k, const char *id, int *held, struct kist_error *err)
{
	if (mkdirat(k->run_containers, id, 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "make its run directory");
	int run = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (run < 0)
		return kist_fail_errno(err, errno, "open its run directory");
	*held = kist_lock(run, "lock", true, false);
	if (*held < 0) {
		kist_close_fd(&run);
		return kist_fail_errno(err, -*held, "lock it");
	}
	return run;
}

static int mount_locked(struct kist *k, const char *id, int run, struct kist_error *err)
{
	KIST_CLOSE int dir = openat(k->containers, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return kist_fail_errno(err, errno, "open its directory");
	KIST_CLOSE int tree = open_tree_of(k, id, dir, err);
	if (tree < 0)
		return tree;
	if (mkdirat(run, MERGED, 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "make the mount point");
	KIST_CLOSE int place = openat(run, MERGED, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return place < 0 ? kist_fail_errno(err, errno, "open the mount point")
	                 : kist_ns_mount_attach_at(tree, place, err);
}

int kist_storage_container_mount(struct kist *k, const char *id, char **path, struct kist_error *err)
{
	KIST_CLOSE int held = -1;
	int r = check(k, id, err);

	if (r < 0)
		return r;
	KIST_CLOSE int run = lock(k, id, &held, err);
	KIST_FREE char *there = run < 0 ? NULL : kist_storage_container_mountpoint(k, id);
	r = run < 0 || there ? run : mount_locked(k, id, run, err);
	if (r < 0)
		return kist_context(err, "mount storage container %.12s", id);
	*path = mount_path(k, id);
	return 0;
}

int kist_storage_container_unmount(struct kist *k, const char *id, bool force, struct kist_error *err)
{
	KIST_FREE char *path = mount_path(k, id);
	KIST_CLOSE int held = -1;
	int r = check(k, id, err);

	if (r < 0)
		return r;
	KIST_CLOSE int run = lock(k, id, &held, err);
	if (run < 0)
		return kist_context(err, "unmount storage container %.12s", id);
	if (umount2(path, UMOUNT_NOFOLLOW | (force ? MNT_DETACH : 0)) < 0) {
		if (errno == EINVAL || errno == ENOENT)
			return 0;
		kist_fail_errno(err, errno, "unmount %s", path);
		return kist_context(err, "storage container %.12s", id);
	}
	unlinkat(run, MERGED, AT_REMOVEDIR);
	return 1;
}

int kist_storage_container_remove(struct kist *k, const char *id, bool force, struct kist_error *err)
{
	KIST_FREE char *path = NULL;
	char found[65];
	int r = check(k, id, err);

	if (r < 0)
		return r;
	path = kist_storage_container_mountpoint(k, id);
	if (path && !force) {
		kist_fail(err, KIST_ERR_IN_USE, EBUSY, "storage container %.12s is mounted at %s", id, path);
		return kist_remedy(err, "unmount it first, or use force");
	}
	return kist_container_evict(k, id, found, err);
}
