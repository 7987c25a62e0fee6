/* Which containers use which volumes. */
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 100

static bool is_id(const char *name)
{
	return strlen(name) == 64 && name[strspn(name, "0123456789abcdef")] == '\0';
}

char **kist_volume_marks(struct kist *k, int dir, bool sweep)
{
	KIST_CLOSE int users = openat(dir, "users", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = users < 0 ? -1 : openat(users, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char **ids = NULL;

	if (!list)
		kist_close_fd(&fd);
	for (const struct dirent *entry; list && (entry = readdir(list));) {
		if (!is_id(entry->d_name))
			continue;
		if (kist_exists_at(k->containers, entry->d_name))
			kist_strv_add(&ids, entry->d_name);
		else if (sweep)
			unlinkat(users, entry->d_name, 0);
	}
	if (list)
		closedir(list);
	return ids;
}

/* --- create --------------------------------------------------------------------------------------------------------
 */

int kist_volume_mark(int dir, const char *user, bool sync, struct kist_error *err)
{
	KIST_CLOSE int users = openat(dir, "users", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (users < 0 && errno == ENOENT && mkdirat(dir, "users", 0700) == 0)
		users = openat(dir, "users", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	KIST_CLOSE int fd = users < 0 ? -1 : openat(users, user, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return kist_fail_errno(err, errno, "mark it as used");
	/* Before the record that it belongs to: a container must never be there without its mark. */
	if (sync)
		kist_sync_dir(users);
	return 0;
}

static int make(struct kist_container *c, struct kist_volume_mount_config *mount, struct kist_error *err)
{
	struct kist_volume config = { .name = mount->name, .anonymous = mount->anonymous };
	struct kist_volume *v = NULL;

	for (size_t i = 0; mount->options && mount->options[i]; i++)
		if (kist_streq(mount->options[i], "nocreate"))
			return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such volume: %s (nocreate was given)",
			                 mount->name);
	/* One that goes with its container after a power cut anyway need not reach the disk before. */
	bool sync = !c->k->settings.volatile_ && !(mount->anonymous && c->config.auto_remove);
	int r = kist_volume_create_for(c->k, &config, c->config.id, sync, &v, err);
	if (r < 0)
		return r;
	kist_strv_add(&c->made_volumes, v->name);
	if (!mount->name)
		mount->name = kist_strdup(v->name);
	kist_volume_free(v);
	return 0;
}

static int use(struct kist_container *c, struct kist_volume_mount_config *mount, struct kist_error *err)
{
	mount->anonymous |= !mount->name;
	for (unsigned i = 0; i < TRIES; i++) {
		struct kist_error problem = { 0 };
		int r = 0;

		if (mount->name) {
			KIST_CLOSE int dir = kist_volume_lock(c->k, mount->name, &problem);
			if (dir >= 0) {
				bool sync = !c->config.auto_remove && !c->k->settings.volatile_;
				r = kist_volume_mark(dir, c->config.id, sync, err);
				return r < 0 ? kist_context(err, "volume %s", mount->name) : 0;
			}
			r = dir;
		}
		if (!mount->name || problem.kind == KIST_ERR_NOT_FOUND) {
			kist_error_clear(&problem);
			r = make(c, mount, &problem);
		}
		/* Somebody else made it meanwhile: that one it is. */
		if (r < 0 && problem.kind != KIST_ERR_EXISTS) {
			if (err)
				*err = problem;
			return r;
		}
	}
	return kist_fail(err, KIST_ERR_IN_USE, EBUSY, "volume %s is made and removed again and again", mount->name);
}

int kist_volumes_use(struct kist_container *c, struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->config.n_named_volumes; i++)
		r = use(c, &c->config.named_volumes[i], err);
	return r;
}

/* --- removal -------------------------------------------------------------------------------------------------------
 */

/* Under its lock: the mark goes. Returns whether nobody uses the volume any more. */
static bool unmark(struct kist *k, const char *name, const char *id, bool *anonymous)
{
	struct kist_volume *v = NULL;
	char path[80];

	KIST_CLOSE int dir = kist_volume_lock(k, name, NULL);
	if (dir < 0)
		return false;
	snprintf(path, sizeof(path), "users/%s", id);
	if (unlinkat(dir, path, 0) < 0 && errno != ENOENT)
		kist_debug("volume %s: remove the mark of container %.12s: %m", name, id);
	*anonymous = kist_volume_load(dir, name, &v, NULL) == 0 && v->anonymous;
	kist_volume_free(v);
	KIST_STRV char **users = kist_volume_marks(k, dir, false);
	return !users;
}

static void remove_quietly(struct kist *k, const char *name)
{
	struct kist_error problem = { 0 };

	if (kist_volume_remove(k, name, 0, 0, &problem) < 0 && problem.kind != KIST_ERR_NOT_FOUND)
		kist_debug("volume %s stays: %s", name, problem.text);
}

void kist_volumes_release(struct kist *k, const struct kist_container_config *config, bool anonymous)
{
	for (size_t i = 0; i < config->n_named_volumes; i++) {
		const struct kist_volume_mount_config *mount = &config->named_volumes[i];
		bool is_anonymous = false;
		if (!mount->name || !unmark(k, mount->name, config->id, &is_anonymous))
			continue;
		/* One that was given by its name is somebody's own, even when it was anonymous once. */
		if (anonymous && mount->anonymous && is_anonymous)
			remove_quietly(k, mount->name);
	}
}

void kist_volumes_unuse(struct kist_container *c)
{
	kist_volumes_release(c->k, &c->config, false);
	/* Those that this call made, unless somebody took one into use. */
	for (char **name = c->made_volumes; name && *name; name++)
		remove_quietly(c->k, *name);
}

void kist_volumes_forget(struct kist *k, const char *id, bool anonymous)
{
	struct kist_volume **list = NULL;
	size_t n = 0;

	if (kist_volume_list(k, &list, &n, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *path = kist_asprintf("%s/users/%s", list[i]->name, id);
		bool is_anonymous = false;
		if (kist_exists_at(k->volumes, path) && unmark(k, list[i]->name, id, &is_anonymous) && anonymous &&
		    is_anonymous)
			remove_quietly(k, list[i]->name);
		kist_volume_free(list[i]);
	}
	free(list);
}
