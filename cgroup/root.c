/* The hierarchy: where it is mounted, which controllers it has, how its groups are named. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNTINFO_MAX  ((size_t)256 << 20)
#define GROUP_FILE_MAX ((size_t)16 << 20)

struct kist_cgroup_root *kist_cgroup_root_new(int fd, const char *path, const char *prefix)
{
	struct kist_cgroup_root *root = kist_alloc(sizeof(*root));

	root->fd = fd;
	root->path = kist_strdup(path);
	root->prefix = kist_strdup(prefix);
	return root;
}

void kist_cgroup_root_close(struct kist_cgroup_root *root)
{
	if (!root)
		return;
	kist_close_fd(&root->fd);
	free(root->path);
	free(root->prefix);
	kist_strv_free(root->controllers);
	free(root);
}

/* The directory at path, when it is a cgroup2 file system; a negative errno otherwise. */
static int open_cgroup2(const char *path)
{
	KIST_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!kist_is_fs(fd, CGROUP2_SUPER_MAGIC))
		return -ENOENT;
	return kist_steal_fd(&fd);
}

int kist_cgroup_root_open_at(const char *path, struct kist_cgroup_root **out, struct kist_error *err)
{
	int fd = open_cgroup2(path);

	if (fd < 0)
		return kist_fail(err, KIST_ERR_NOT_FOUND, -fd, "%s is not a cgroup v2 file system", path);
	*out = kist_cgroup_root_new(fd, path, "/");
	return 0;
}

/* A later mount may hide this one: then the path leads elsewhere. Kernels before 5.8 do not say; the magic has to do.
 */
static bool is_mount(int fd, int64_t id)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
		return true;
	return st.stx_mnt_id == (uint64_t)id;
}

/* The whole hierarchy before a part, writable before read-only, a part before what lies outside our namespace. */
static int mount_rank(const struct kist_cgroup_mount *mount)
{
	int rank = kist_has_prefix(mount->root, "/..") ? 0 : kist_streq(mount->root, "/") ? 4 : 2;

	return rank + !mount->read_only;
}

static struct kist_cgroup_root *open_best(const struct kist_str *mountinfo)
{
	struct kist_cgroup_root *best = NULL;
	struct kist_cgroup_mount mount = { 0 };
	const char *cursor = kist_str_get(mountinfo);
	const char *end = cursor + mountinfo->len;
	int best_rank = -1;

	while (kist_cgroup_mountinfo_next(&cursor, end, &mount) > 0) {
		int rank = mount_rank(&mount);
		KIST_CLOSE int fd = rank > best_rank ? open_cgroup2(mount.point) : -1;

		if (fd >= 0 && is_mount(fd, mount.id)) {
			kist_cgroup_root_close(best);
			best = kist_cgroup_root_new(kist_steal_fd(&fd), mount.point, mount.root);
			best_rank = rank;
		}
		kist_cgroup_mount_clear(&mount);
	}
	return best;
}

int kist_cgroup_root_open(struct kist_cgroup_root **out, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	int r = kist_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text);

	if (r < 0)
		return kist_fail_errno(err, -r, "read /proc/self/mountinfo");
	struct kist_cgroup_root *root = open_best(&text);
	if (!root) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "no cgroup v2 file system is mounted");
		return kist_remedy(err, "mount one: mount -t cgroup2 none /sys/fs/cgroup");
	}
	*out = root;
	return 0;
}

const char *kist_cgroup_root_path(const struct kist_cgroup_root *root)
{
	return root->path;
}

char **kist_cgroup_root_controllers(struct kist_cgroup_root *root)
{
	if (!root->controllers_read) {
		KIST_STR struct kist_str text = { 0 };

		if (kist_cgroup_read(root->fd, "cgroup.controllers", &text) == 0)
			root->controllers = kist_cgroup_words(kist_str_get(&text));
		root->controllers_read = true;
	}
	return root->controllers;
}

int kist_cgroup_self(struct kist_cgroup_root *root, char **path, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	int r = kist_read_file(AT_FDCWD, "/proc/self/cgroup", GROUP_FILE_MAX, &text);

	if (r < 0)
		return kist_fail_errno(err, -r, "read /proc/self/cgroup");
	char *self = kist_cgroup_self_parse(kist_str_get(&text), root->prefix);
	if (!self)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		                 "this process's cgroup is not below the hierarchy mounted at %s", root->path);
	*path = self;
	return 0;
}

int kist_cgroup_path_check(const char *path, bool allow_root, char **relative, struct kist_error *err)
{
	if (kist_empty(path) || *path != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0, "cgroup path '%s' does not begin with '/'",
		                 path ? path : "");
	if (kist_streq(path, "/")) {
		if (!allow_root)
			return kist_fail(err, KIST_ERR_INVALID, 0, "the root cgroup cannot be used here");
		*relative = kist_strdup(".");
		return 0;
	}
	for (const char *name = path + 1;; name++) {
		size_t len = strcspn(name, "/");

		if (len == 0 || len > 255 || (len == 1 && name[0] == '.') || (len == 2 && memcmp(name, "..", 2) == 0) ||
		    memchr(name, '\n', len))
			return kist_fail(err, KIST_ERR_INVALID, 0, "cgroup path '%s': '%.*s' is not a group name", path,
			                 (int)(len > 255 ? 255 : len), name);
		name += len;
		if (!*name)
			break;
	}
	*relative = kist_strdup(path + 1);
	return 0;
}

char *kist_cgroup_fd_name(int fd)
{
	char link[64], target[4096];
	int n = snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = n > 0 ? readlink(link, target, sizeof(target)) : -1;

	return len > 0 ? kist_strndup(target, (size_t)len) : kist_strdup("cgroup");
}

int kist_cgroup_read(int cgroup_fd, const char *file, struct kist_str *out)
{
	return kist_read_file(cgroup_fd, file, GROUP_FILE_MAX, out);
}

int kist_cgroup_read_u64(int cgroup_fd, const char *file, uint64_t *out)
{
	KIST_STR struct kist_str text = { 0 };
	int r = kist_cgroup_read(cgroup_fd, file, &text);

	if (r < 0)
		return r;
	if (text.len > 0 && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	if (kist_streq(kist_str_get(&text), "max")) {
		*out = UINT64_MAX;
		return 0;
	}
	return kist_parse_u64(kist_str_get(&text), out);
}

bool kist_cgroup_keyed(const char *text, const char *key, uint64_t *out)
{
	size_t len = strlen(key);

	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');

		if (strncmp(line, key, len) == 0 && line[len] == ' ') {
			const char *value = line + len + 1;
			KIST_FREE char *number = kist_strndup(value, strcspn(value, "\n"));

			return kist_parse_u64(number, out) == 0;
		}
		line = end ? end + 1 : NULL;
	}
	return false;
}

char **kist_cgroup_words(const char *text)
{
	char **words = NULL;

	for (;;) {
		text += strspn(text, " \t\n");
		size_t len = strcspn(text, " \t\n");
		if (len == 0)
			return words;
		kist_strv_take(&words, kist_strndup(text, len));
		text += len;
	}
}
