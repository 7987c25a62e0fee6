/* Volumes in memory while a container starts: of those that start at once, one makes the mount and the others share it.
 */
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

struct kist_volume_hold *kist_volume_held(struct kist_container *c, const char *name)
{
	for (size_t i = 0; i < c->n_holds; i++)
		if (c->holds[i].dir >= 0 && kist_streq(c->holds[i].name, name))
			return &c->holds[i];
	return NULL;
}

/* The init process has copies of the descriptors until it executes its program: closing them would not give the lock
 * up. */
static void hold_drop(struct kist_volume_hold *hold)
{
	if (hold->dir >= 0)
		flock(hold->dir, LOCK_UN);
	kist_close_fd(&hold->dir);
	kist_close_fd(&hold->tree);
}

void kist_volumes_drop_holds(struct kist_container *c)
{
	for (size_t i = 0; i < c->n_holds; i++)
		hold_drop(&c->holds[i]);
	free(c->holds);
	c->holds = NULL;
	c->n_holds = 0;
}

void kist_volume_hold_used(struct kist_volume_hold *hold, int tree)
{
	if (tree < 0 && hold->tree < 0)
		hold_drop(hold);
	else if (hold->tree < 0)
		hold->tree = fcntl(tree, F_DUPFD_CLOEXEC, 3);
}

int kist_volume_hold_again(const struct kist_volume_hold *hold, int *tree, struct kist_error *err)
{
	KIST_CLOSE int copy = open_tree(hold->tree, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	/* Before Linux 6.15 a mount that is nowhere attached cannot be copied. */
	if (copy < 0 && errno == EINVAL) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, EINVAL, "a volume in memory at two places of one container");
		return kist_remedy(err, "'kist volume mount %s' first makes that possible on this kernel", hold->name);
	}
	int data = copy < 0 ? -errno : kist_reopen(copy, O_RDONLY | O_DIRECTORY);
	if (data < 0)
		return kist_fail_errno(err, -data, "copy its mount");
	*tree = kist_steal_fd(&copy);
	return data;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int hold(struct kist_container *c, const char *name, struct kist_error *err)
{
	struct kist_volume *v = NULL;

	KIST_CLOSE int dir = kist_volume_lock(c->k, name, err);
	if (dir < 0)
		return dir;
	int r = kist_volume_load(dir, name, &v, err);
	if (r < 0)
		return r;
	if (kist_volume_is_memory(v)) {
		c->holds = kist_grow(c->holds, c->n_holds + 1, sizeof(*c->holds));
		c->holds[c->n_holds++] = (struct kist_volume_hold){ name, kist_steal_fd(&dir), -1 };
	}
	kist_volume_free(v);
	return 0;
}

/* Who needs several waits for them in one order, so that no two wait for each other. */
int kist_volumes_hold(struct kist_container *c, struct kist_error *err)
{
	size_t n = c->config.n_named_volumes;
	KIST_FREE const char **names = kist_grow(NULL, n + 1, sizeof(*names));
	int r = 0;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		names[i] = c->config.named_volumes[i].name;
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (i == 0 || !kist_streq(names[i], names[i - 1]))
			r = hold(c, names[i], err);
	}
	return r;
}
