/* Volumes: their records, look-up, making and removing. */
#include "core/volume.h"
#include "core/stop.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "overlay/quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LENGTH            64
#define TRIES                  100
#define ROW(type, member, ...) KIST_FIELD(struct kist_volume, type, member, ##__VA_ARGS__)

static const struct kist_field fields[] = {
	ROW(STRING, name), ROW(TIME, created), ROW(STRING, driver, .fallback = "local"),
	ROW(MAP, labels),  ROW(MAP, options),  ROW(BOOL, anonymous),
	ROW(BOOL, copied), ROW(BOOL, owned),   ROW(OPT_U32, uid),
	ROW(OPT_U32, gid), ROW(U32, project),
};
const struct kist_table kist_volume_table = KIST_TABLE("volume config", struct kist_volume, fields);

static struct kist_volume *volume_new(void)
{
	struct kist_volume *v = kist_alloc(sizeof(*v));

	kist_table_init(&kist_volume_table, v);
	return v;
}

void kist_volume_free(struct kist_volume *v)
{
	if (!v)
		return;
	kist_table_release(&kist_volume_table, v);
	free(v);
}

char *kist_volume_path(struct kist *k, const char *name, const char *file)
{
	const struct kist_settings *s = &k->settings;

	return kist_asprintf("%s/volumes/%s/%s", s->volatile_ ? s->runroot : s->root, name, file);
}

char *kist_volume_mountpoint(struct kist *k, const char *name)
{
	return kist_volume_path(k, name, "data");
}

const char *kist_volume_option(const struct kist_volume *v, const char *key)
{
	return kist_env_get(v->options, key);
}

bool kist_volume_is_mounted(const struct kist_volume *v)
{
	return kist_volume_option(v, "type") || kist_volume_option(v, "device");
}

static int missing(const char *name, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such volume: %s", name);
}

static int volumes_open(struct kist *k, bool make, struct kist_error *err)
{
	int r = kist_store_directory(k, "volumes", make, &k->volumes);

	if (r == -ENOENT && !make)
		return r;
	return r < 0 ? kist_fail_errno(err, -r, "open the directory of volumes") : 0;
}

/* --- reading -------------------------------------------------------------------------------------------------------
 */

int kist_volume_load(int dir, const char *name, struct kist_volume **out, struct kist_error *err)
{
	struct kist_volume *v = volume_new();
	struct kist_error problem = { 0 };
	char **extra = NULL;

	int r = kist_record_read(dir, "config", &kist_volume_table, v, &extra, &problem);
	if (r == 0 && !kist_streq(v->name, name))
		r = kist_fail(&problem, KIST_ERR_CORRUPT, EBADMSG, "volume config is damaged: it is of another volume");
	if (r < 0 && problem.kind == KIST_ERR_NOT_FOUND)
		problem.kind = KIST_ERR_CORRUPT; /* the directory is there */
	kist_strv_free(extra);
	if (r < 0) {
		kist_volume_free(v);
		kist_context(&problem, "volume %s", name);
		if (problem.kind == KIST_ERR_CORRUPT)
			kist_remedy(&problem, "'kist volume rm --force %s' removes what is left of it", name);
		if (err)
			*err = problem;
		return r;
	}
	*out = v;
	return 0;
}

int kist_volume_save(int dir, const struct kist_volume *v, bool sync, struct kist_error *err)
{
	int r = kist_record_write(dir, "config", &kist_volume_table, v, NULL, sync, err);

	return r < 0 ? kist_context(err, "volume %s", v->name) : 0;
}

static int open_dir(struct kist *k, const char *name, struct kist_error *err)
{
	int r = volumes_open(k, false, err);

	if (r == -ENOENT)
		return missing(name, err);
	if (r < 0)
		return r;
	int dir = openat(k->volumes, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return missing(name, err);
	return dir < 0 ? kist_fail_errno(err, errno, "open volume %s", name) : dir;
}

/* Whether the open directory still is what the name means: a removal renames it away. */
static bool is_current(struct kist *k, const char *name, int dir)
{
	struct stat here, named;

	return fstat(dir, &here) == 0 && fstatat(k->volumes, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       here.st_ino == named.st_ino && here.st_dev == named.st_dev;
}

int kist_volume_lock(struct kist *k, const char *name, struct kist_error *err)
{
	int r = kist_name_check(name, err);

	if (r < 0)
		return r;
	for (;;) {
		KIST_CLOSE int dir = open_dir(k, name, err);
		if (dir < 0)
			return kist_steal_fd(&dir);
		while (flock(dir, LOCK_EX) < 0)
			if (errno != EINTR)
				return kist_fail_errno(err, errno, "lock volume %s", name);
		if (is_current(k, name, dir))
			return kist_steal_fd(&dir);
	}
}

/* *drafts: there are directories being made or removed, or left by a crash in that. */
static char **names_read(struct kist *k, bool *drafts)
{
	int fd = openat(k->volumes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char **names = NULL;

	if (!list)
		kist_close_fd(&fd);
	for (const struct dirent *entry; list && (entry = readdir(list));) {
		if (kist_name_check(entry->d_name, NULL) == 0)
			kist_strv_add(&names, entry->d_name);
		else if (drafts && kist_has_prefix(entry->d_name, KIST_TMP_PREFIX))
			*drafts = true;
	}
	if (list)
		closedir(list);
	return names;
}

/* Full name, or the beginning of one. */
static int find(struct kist *k, const char *text, char **out, struct kist_error *err)
{
	char *found = NULL;
	size_t n = 0;

	int r = volumes_open(k, false, err);
	if (r == -ENOENT || (r == 0 && kist_name_check(text, NULL) < 0))
		return missing(text, err);
	if (r < 0)
		return r;
	if (kist_exists_at(k->volumes, text)) {
		*out = kist_strdup(text);
		return 0;
	}
	KIST_STRV char **names = names_read(k, NULL);
	for (char **name = names; name && *name; name++)
		if (kist_has_prefix(*name, text)) {
			found = *name;
			n++;
		}
	if (n > 1)
		return kist_fail(err, KIST_ERR_AMBIGUOUS, EEXIST,
		                 "'%s' is the beginning of more than one volume's name", text);
	if (n == 0)
		return missing(text, err);
	*out = kist_strdup(found);
	return 0;
}

static int load_by_name(struct kist *k, const char *name, struct kist_volume **out, struct kist_error *err)
{
	KIST_CLOSE int dir = open_dir(k, name, err);

	return dir < 0 ? dir : kist_volume_load(dir, name, out, err);
}

int kist_volume_open(struct kist *k, const char *name, struct kist_volume **out, struct kist_error *err)
{
	KIST_FREE char *full = NULL;

	int r = find(k, name, &full, err);
	return r < 0 ? r : load_by_name(k, full, out, err);
}

/* The project of a volume that goes: its limit would otherwise stay in the file system. */
static void forget_project(struct kist *k, int dir, const char *name)
{
	struct kist_volume *v = volume_new();
	char **extra = NULL;

	if (kist_record_read(dir, "config", &kist_volume_table, v, &extra, NULL) == 0)
		kist_quota_forget(k->volumes, v->project);
	else
		kist_debug("volume %s: its record is damaged: a limit of its project may stay", name);
	kist_strv_free(extra);
	kist_volume_free(v);
}

static void sweep_drafts(struct kist *k)
{
	int fd = openat(k->volumes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list)
		kist_close_fd(&fd);
	for (const struct dirent *entry; list && (entry = readdir(list));) {
		if (!kist_has_prefix(entry->d_name, KIST_TMP_PREFIX))
			continue;
		KIST_CLOSE int dir = openat(k->volumes, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) < 0)
			continue; /* at work */
		kist_debug("sweeping %s of the volumes", entry->d_name);
		if (dir >= 0 && kist_exists_at(dir, "config"))
			forget_project(k, dir, entry->d_name);
		kist_remove_tree(k->volumes, entry->d_name);
	}
	if (list)
		closedir(list);
}

static int by_name(const void *a, const void *b)
{
	const struct kist_volume *x = *(struct kist_volume *const *)a, *y = *(struct kist_volume *const *)b;

	return strcmp(x->name, y->name);
}

int kist_volume_list(struct kist *k, struct kist_volume ***out, size_t *n, char ***broken, struct kist_error *err)
{
	struct kist_volume **list = NULL;
	bool drafts = false;
	size_t count = 0;

	int r = volumes_open(k, false, err);
	if (r < 0 && r != -ENOENT)
		return r;
	KIST_STRV char **names = r == 0 ? names_read(k, &drafts) : NULL;
	if (drafts)
		sweep_drafts(k);
	list = kist_grow(NULL, kist_strv_len(names) + 1, sizeof(struct kist_volume *));
	for (char **name = names; name && *name; name++) {
		struct kist_error problem = { 0 };
		if (load_by_name(k, *name, &list[count], &problem) == 0)
			count++;
		else if (problem.kind != KIST_ERR_NOT_FOUND && broken)
			kist_strv_add(broken, *name);
	}
	if (count)
		qsort(list, count, sizeof(struct kist_volume *), by_name);
	*out = list;
	*n = count;
	return 0;
}

char **kist_volume_users(struct kist *k, const char *name)
{
	KIST_CLOSE int dir = open_dir(k, name, NULL);

	return dir < 0 ? NULL : kist_volume_marks(k, dir, false);
}

/* --- making --------------------------------------------------------------------------------------------------------
 */

static int make_content(int dir, const struct kist_volume *v, const char *user, struct kist_error *err)
{
	if (mkdirat(dir, "users", 0700) < 0 || mkdirat(dir, "data", 0755) < 0)
		return kist_fail_errno(err, errno, "make its directories");
	int r = user ? kist_volume_mark(dir, user, false, err) : 0;
	if (r < 0)
		return r;
	KIST_CLOSE int data = openat(dir, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The umask is the caller's own. */
	if (data < 0 || fchmod(data, 0755) < 0)
		return kist_fail_errno(err, errno, "make its directory");
	uid_t uid = v->uid.set ? (uid_t)v->uid.value : (uid_t)-1;
	gid_t gid = v->gid.set ? (gid_t)v->gid.value : (gid_t)-1;
	if ((v->uid.set || v->gid.set) && fchown(data, uid, gid) < 0)
		return kist_fail_errno(err, errno, "set its owner");
	return 0;
}

/* Last in the draft: it is empty then, and its record names the project when a crash leaves it. */
static int limit_content(int dir, const struct kist_volume *v, struct kist_error *err)
{
	struct kist_quota quota = { .project = v->project };

	if (!v->project)
		return 0;
	kist_volume_limits(v, &quota.bytes, &quota.inodes);
	KIST_CLOSE int data = openat(dir, "data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (data < 0)
		return kist_fail_errno(err, errno, "open its directory");
	int r = kist_quota_limit(data, &quota, err);
	return r < 0 ? r : kist_quota_assign(data, &quota, err);
}

static int choose_project(struct kist *k, struct kist_volume *v, struct kist_error *err)
{
	uint64_t bytes, inodes;
	char seed[9];

	v->project = 0;
	kist_volume_limits(v, &bytes, &inodes);
	if (!bytes && !inodes)
		return 0;
	kist_random_hex(seed, 8);
	int r = kist_quota_check(k->volumes, err);
	return r < 0 ? r : kist_quota_free_project(k->volumes, (uint32_t)strtoul(seed, NULL, 16), &v->project, err);
}

static int draft_finish(struct kist *k, const char *draft, int dir, const struct kist_volume *v, const char *user,
                        bool sync, struct kist_error *err)
{
	int r = make_content(dir, v, user, err);
	if (r == 0)
		r = kist_volume_save(dir, v, sync, err);
	if (r == 0)
		r = limit_content(dir, v, err);
	if (r < 0)
		return r;
	/* A volume's directory is never empty, so that a rename cannot replace one. */
	if (renameat(k->volumes, draft, k->volumes, v->name) < 0)
		return errno == ENOTEMPTY || errno == EEXIST
		               ? kist_fail(err, KIST_ERR_EXISTS, EEXIST, "it exists already")
		               : kist_fail_errno(err, errno, "name it");
	r = sync ? kist_sync_dir(k->volumes) : 0;
	return r < 0 ? kist_fail_errno(err, -r, "sync the directory of volumes") : 0;
}

static int draft_make(struct kist *k, const struct kist_volume *v, const char *user, bool sync, struct kist_error *err)
{
	char draft[sizeof(KIST_TMP_PREFIX) + 16] = KIST_TMP_PREFIX;

	kist_random_hex(draft + strlen(KIST_TMP_PREFIX), 16);
	if (mkdirat(k->volumes, draft, 0700) < 0)
		return kist_fail_errno(err, errno, "make its directory");
	KIST_CLOSE int dir = openat(k->volumes, draft, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || flock(dir, LOCK_EX) < 0)
		return kist_fail_errno(err, errno, "open its directory");
	int r = draft_finish(k, draft, dir, v, user, sync, err);
	if (r < 0) {
		kist_quota_forget(k->volumes, v->project);
		kist_remove_tree(k->volumes, draft);
	}
	return r;
}

static int check_new(const struct kist_volume *v, struct kist_error *err)
{
	if (v->driver && !kist_streq(v->driver, "local"))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "volume driver '%s' is not supported: use local", v->driver);
	int r = v->name ? kist_name_check(v->name, err) : 0;
	return r < 0 ? r : kist_volume_check_options(v, err);
}

/* Owner of a plain volume by its options: o=uid=...,gid=... */
static void take_owner(struct kist_volume *v)
{
	KIST_STRV char **words = kist_strv_split(kist_volume_option(v, "o") ? kist_volume_option(v, "o") : "", ',');
	uint32_t id;

	for (char **word = words; word && *word; word++) {
		if (kist_has_prefix(*word, "uid=") && kist_parse_u32(*word + 4, &id) == 0)
			v->uid = (struct kist_opt){ true, id };
		else if (kist_has_prefix(*word, "gid=") && kist_parse_u32(*word + 4, &id) == 0)
			v->gid = (struct kist_opt){ true, id };
	}
}

int kist_volume_create(struct kist *k, const struct kist_volume *config, struct kist_volume **out,
                       struct kist_error *err)
{
	return kist_volume_create_for(k, config, NULL, !k->settings.volatile_, out, err);
}

int kist_volume_create_for(struct kist *k, const struct kist_volume *config, const char *user, bool sync,
                           struct kist_volume **out, struct kist_error *err)
{
	int r = check_new(config, err);

	if (r == 0)
		r = volumes_open(k, true, err);
	if (r < 0)
		return r;
	struct kist_volume *v = kist_alloc(sizeof(*v));
	kist_table_copy(&kist_volume_table, v, config);
	if (!v->name) {
		v->name = kist_alloc(NAME_LENGTH + 1);
		kist_random_hex(v->name, NAME_LENGTH);
	}
	if (!v->driver)
		v->driver = kist_strdup("local");
	v->created = kist_now_wall();
	v->copied = false;
	take_owner(v);
	v->owned = v->uid.set || v->gid.set;
	r = kist_exists_at(k->volumes, v->name) ? kist_fail(err, KIST_ERR_EXISTS, EEXIST, "it exists already")
	                                        : choose_project(k, v, err);
	if (r == 0)
		r = draft_make(k, v, user, sync, err);
	if (r < 0)
		kist_context(err, "volume %s", v->name);
	else
		kist_object_event(k, "volume", "create", v->name, v->name);
	if (r < 0 || !out)
		kist_volume_free(v);
	else
		*out = v;
	return r;
}

/* --- removing ------------------------------------------------------------------------------------------------------
 */

static int fail_in_use(const char *name, char *const *ids, struct kist_error *err)
{
	KIST_STRV char **shown = NULL;

	for (; *ids; ids++)
		kist_strv_take(&shown, kist_strndup(*ids, 12));
	KIST_FREE char *list = kist_strv_join(shown, ", ");
	kist_fail(err, KIST_ERR_IN_USE, EBUSY, "volume %s is used by containers: %.700s", name, list);
	return kist_remedy(err, "remove them first, or use --force");
}

/* What cannot be loaded goes by its id. */
static int remove_users(struct kist *k, char *const *ids, int64_t timeout, struct kist_error *err)
{
	for (char *const *id = ids; *id; id++) {
		struct kist_container *c = NULL;
		struct kist_error problem = { 0 };
		char evicted[65];

		int r = kist_container_load(k, *id, &c, &problem);
		kist_container_free(c);
		if (r == 0 || problem.kind != KIST_ERR_CORRUPT)
			continue;
		kist_error_clear(&problem);
		r = kist_container_evict(k, *id, evicted, &problem);
		if (r < 0 && problem.kind != KIST_ERR_NOT_FOUND && problem.kind != KIST_ERR_REMOVED) {
			if (err)
				*err = problem;
			return r;
		}
	}
	return kist_remove_all(k, ids, KIST_REMOVE_FORCE | KIST_REMOVE_DEPEND, timeout, err);
}

/* One try, under the lock. 1: it is gone; 0: users must go first. */
static int try_remove(struct kist *k, const char *name, bool force, char ***users, struct kist_error *err)
{
	char aside[sizeof(KIST_TMP_PREFIX) + 16] = KIST_TMP_PREFIX;

	KIST_CLOSE int dir = kist_volume_lock(k, name, err);
	if (dir < 0)
		return dir;
	*users = kist_volume_marks(k, dir, true);
	if (*users)
		return force ? 0 : fail_in_use(name, *users, err);
	int r = kist_volume_detach(k, name, dir, err);
	if (r < 0)
		return r;
	kist_random_hex(aside + strlen(KIST_TMP_PREFIX), 16);
	if (renameat(k->volumes, name, k->volumes, aside) < 0)
		return kist_fail_errno(err, errno, "remove volume %s", name);
	/* What is removed below must not come back half under the old name. */
	if (!k->settings.volatile_)
		kist_sync_dir(k->volumes);
	forget_project(k, dir, name);
	r = kist_remove_tree(k->volumes, aside);
	return r < 0 ? kist_fail_errno(err, -r, "remove the content of volume %s", name) : 1;
}

int kist_volume_remove(struct kist *k, const char *name, unsigned flags, int64_t timeout, struct kist_error *err)
{
	KIST_FREE char *full = NULL;
	bool force = flags & KIST_REMOVE_FORCE;

	int r = find(k, name, &full, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < TRIES && r == 0; i++) {
		KIST_STRV char **users = NULL;
		struct kist_error problem = { 0 };

		r = try_remove(k, full, force, &users, &problem);
		/* It was an anonymous one, and went with its container. */
		if (i > 0 && r < 0 && problem.kind == KIST_ERR_NOT_FOUND)
			return 0;
		if (r < 0 && err)
			*err = problem;
		if (r == 0)
			r = remove_users(k, users, timeout, err);
	}
	if (r == 0)
		return kist_fail(err, KIST_ERR_IN_USE, EBUSY, "volume %s is used by containers that keep being created",
		                 full);
	if (r > 0)
		kist_object_event(k, "volume", "remove", full, full);
	return r < 0 ? r : 0;
}

int kist_volume_reload(struct kist *k, struct kist_error *err)
{
	int r = volumes_open(k, false, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	sweep_drafts(k);
	KIST_STRV char **names = names_read(k, NULL);
	for (char **name = names; name && *name; name++) {
		KIST_CLOSE int dir = kist_volume_lock(k, *name, NULL);
		if (dir < 0)
			continue;
		KIST_STRV char **users = kist_volume_marks(k, dir, true);
	}
	return 0;
}
