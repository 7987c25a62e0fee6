/* Artifacts: files that a program keeps with a container, by name. They go with it. */
#include "core/internal.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "artifacts"

static int open_directory(struct kist_container *c, bool make, struct kist_error *err)
{
	int dir = kist_container_dir(c);

	if (dir >= 0 && make && mkdirat(dir, DIRECTORY, 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "container %s: make its artifacts", c->config.id);
	int fd = dir < 0 ? -1 : openat(dir, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int fail_missing(const struct kist_container *c, const char *name, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "container %s has no artifact '%s'", c->config.id, name);
}

int kist_artifact_add(struct kist_container *c, const char *name, const void *data, size_t len, struct kist_error *err)
{
	int r = kist_name_check(name, err);

	if (r < 0)
		return kist_context(err, "artifact");
	if (len > KIST_ARTIFACT_MAX)
		return kist_fail(err, KIST_ERR_INVALID, EFBIG, "artifact '%s': at most %u bytes", name,
		                 KIST_ARTIFACT_MAX);
	r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	KIST_CLOSE int dir = open_directory(c, true, err);
	r = dir < 0 ? dir
	            : kist_replace_file(dir, name, data, len, 0600, c->k->settings.volatile_ ? 0 : KIST_REPLACE_SYNC);
	kist_container_unlock(c);
	if (r < 0 && !kist_error_is_set(err))
		kist_fail_errno(err, -r, "container %s: write artifact '%s'", c->config.id, name);
	return r;
}

int kist_artifact_get(struct kist_container *c, const char *name, struct kist_str *out, struct kist_error *err)
{
	int r = kist_name_check(name, err);

	if (r < 0)
		return kist_context(err, "artifact");
	KIST_CLOSE int dir = open_directory(c, false, err);
	r = dir < 0 ? dir : kist_read_file(dir, name, KIST_ARTIFACT_MAX, out);
	if (r == -ENOENT)
		return fail_missing(c, name, err);
	return r < 0 ? kist_fail_errno(err, -r, "container %s: read artifact '%s'", c->config.id, name) : 0;
}

int kist_artifact_remove(struct kist_container *c, const char *name, struct kist_error *err)
{
	int r = kist_name_check(name, err);

	if (r < 0)
		return kist_context(err, "artifact");
	r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	KIST_CLOSE int dir = open_directory(c, false, err);
	r = dir < 0 ? dir : unlinkat(dir, name, 0) < 0 ? -errno : kist_sync_dir(dir);
	kist_container_unlock(c);
	if (r == -ENOENT)
		return fail_missing(c, name, err);
	return r < 0 ? kist_fail_errno(err, -r, "container %s: remove artifact '%s'", c->config.id, name) : 0;
}
