/* Secrets: small values kept apart from every record of a container.
 *
 *   secrets/ID/config   name, times, labels: key=value with a checksum line
 *   secrets/ID/data     the value; 0600 in directories of 0700
 *   secrets/.lock       held while one is made or removed
 *   secrets/.tmp-XXXX   being made or removed, or left by a crash: the next writer removes it
 *
 * A name is unique. Of two with one name, which a crash while one replaced the other leaves, the newer counts, and the
 * next writer removes the older. */
#include "core/view.h"
#include "core/volume.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_LENGTH              25
#define ROW(type, member, ...) KIST_FIELD(struct kist_secret, type, member, ##__VA_ARGS__)

static const struct kist_field fields[] = {
	ROW(STRING, id),
	ROW(STRING, name),
	ROW(TIME, created),
	ROW(TIME, updated),
	ROW(STRING, driver, .fallback = "file"),
	ROW(MAP, labels),
	ROW(MAP, driver_options),
};
static const struct kist_table table = KIST_TABLE("secret", struct kist_secret, fields);

void kist_secret_free(struct kist_secret *s)
{
	if (!s)
		return;
	kist_table_release(&table, s);
	free(s);
}

static bool is_id(const char *name)
{
	return strlen(name) == ID_LENGTH && name[strspn(name, "0123456789abcdef")] == '\0';
}

static int missing(const char *name, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such secret: %s", name);
}

static int secrets_open(struct kist *k, bool make, struct kist_error *err)
{
	int r = kist_store_directory(k, "secrets", make, &k->secrets);

	if (r == -ENOENT && !make)
		return r;
	return r < 0 ? kist_fail_errno(err, -r, "open the directory of secrets") : 0;
}

/* --- reading -------------------------------------------------------------------------------------------------------
 */

static int load(struct kist *k, const char *id, struct kist_secret **out, struct kist_error *err)
{
	KIST_CLOSE int dir = openat(k->secrets, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char **extra = NULL;

	if (dir < 0)
		return errno == ENOENT ? missing(id, err) : kist_fail_errno(err, errno, "open secret %s", id);
	struct kist_secret *s = kist_alloc(sizeof(*s));
	kist_table_init(&table, s);
	int r = kist_record_read(dir, "config", &table, s, &extra, err);
	kist_strv_free(extra);
	if (r == 0 && (!kist_streq(s->id, id) || !s->name))
		r = kist_fail(err, KIST_ERR_CORRUPT, EBADMSG, "it is of another secret");
	if (r < 0) {
		kist_secret_free(s);
		return kist_context(err, "secret %s", id);
	}
	*out = s;
	return 0;
}

static int by_name_and_age(const void *a, const void *b)
{
	const struct kist_secret *x = *(struct kist_secret *const *)a, *y = *(struct kist_secret *const *)b;
	int order = strcmp(x->name, y->name);

	if (order)
		return order;
	return x->updated == y->updated ? 0 : x->updated > y->updated ? -1 : 1;
}

/* All of them, sorted by name, the newer first. */
static int read_all(struct kist *k, struct kist_secret ***out, size_t *n, char ***broken, struct kist_error *err)
{
	struct kist_secret **list = kist_alloc(sizeof(*list));
	size_t count = 0;

	int r = secrets_open(k, false, err);
	int fd = r < 0 ? -1 : openat(k->secrets, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream) {
		kist_close_fd(&fd);
		if (r == -ENOENT) {
			*out = list;
			*n = 0;
			return 0;
		}
		free(list);
		return r < 0 ? r : kist_fail_errno(err, errno, "read the list of secrets");
	}
	for (const struct dirent *entry; (entry = readdir(stream));) {
		struct kist_error problem = { 0 };
		if (!is_id(entry->d_name))
			continue;
		list = kist_grow(list, count + 1, sizeof(struct kist_secret *));
		if (load(k, entry->d_name, &list[count], &problem) == 0)
			count++;
		else if (problem.kind != KIST_ERR_NOT_FOUND && broken)
			kist_strv_add(broken, entry->d_name);
	}
	closedir(stream);
	if (count)
		qsort(list, count, sizeof(struct kist_secret *), by_name_and_age);
	*out = list;
	*n = count;
	return 0;
}

static void list_free(struct kist_secret **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_secret_free(list[i]);
	free(list);
}

int kist_secret_list(struct kist *k, struct kist_secret ***out, size_t *n, char ***broken, struct kist_error *err)
{
	struct kist_secret **all = NULL;
	size_t count = 0, kept = 0;

	int r = read_all(k, &all, &count, broken, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && kist_streq(all[kept - 1]->name, all[i]->name))
			kist_secret_free(all[i]);
		else
			all[kept++] = all[i];
	}
	*out = all;
	*n = kept;
	return 0;
}

/* By name, full id, or the unique beginning of an id. */
int kist_secret_open(struct kist *k, const char *text, struct kist_secret **out, struct kist_error *err)
{
	struct kist_secret **list = NULL;
	size_t n = 0, found = 0, at = 0;

	int r = kist_secret_list(k, &list, &n, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && found == 0; i++)
		if (kist_streq(list[i]->name, text) || kist_streq(list[i]->id, text)) {
			found = 1;
			at = i;
		}
	bool exact = found;
	for (size_t i = 0; i < n && !exact && *text; i++)
		if (kist_has_prefix(list[i]->id, text)) {
			found++;
			at = i;
		}
	if (found == 1) {
		*out = list[at];
		list[at] = NULL;
	} else if (found) {
		r = kist_fail(err, KIST_ERR_AMBIGUOUS, EEXIST, "'%s' is the beginning of more than one secret's id",
		              text);
	} else {
		r = missing(text, err);
	}
	list_free(list, n);
	return r;
}

int kist_secret_read(struct kist *k, const struct kist_secret *s, struct kist_str *value, struct kist_error *err)
{
	KIST_FREE char *path = kist_asprintf("%s/data", s->id);

	int r = secrets_open(k, false, err);
	if (r == 0 || r == -ENOENT)
		r = kist_read_file(k->secrets, path, KIST_SECRET_MAX, value);
	return r < 0 ? kist_fail_errno(err, -r, "read the value of secret %s", s->name) : 0;
}

/* --- making and removing -------------------------------------------------------------------------------------------
 */

static int lock(struct kist *k, struct kist_error *err)
{
	int fd = kist_lock(k->secrets, ".lock", true, false);

	return fd < 0 ? kist_fail_errno(err, -fd, "lock the secrets") : fd;
}

/* Under the lock. One rename takes it away; the value is overwritten by nothing but the file system's own ways. */
static int take_away(struct kist *k, const char *id, struct kist_error *err)
{
	char aside[sizeof(KIST_TMP_PREFIX) + ID_LENGTH];

	snprintf(aside, sizeof(aside), KIST_TMP_PREFIX "%s", id);
	if (renameat(k->secrets, id, k->secrets, aside) < 0)
		return kist_fail_errno(err, errno, "remove secret %s", id);
	int r = kist_remove_tree(k->secrets, aside);
	if (r == 0 && !k->settings.volatile_)
		r = kist_sync_dir(k->secrets);
	return r < 0 ? kist_fail_errno(err, -r, "remove secret %s", id) : 0;
}

/* Under the lock: what crashes left. */
static void sweep(struct kist *k)
{
	int fd = openat(k->secrets, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct kist_secret **list = NULL;
	size_t n = 0;

	if (!stream)
		kist_close_fd(&fd);
	for (const struct dirent *entry; stream && (entry = readdir(stream));)
		if (kist_has_prefix(entry->d_name, KIST_TMP_PREFIX))
			kist_remove_tree(k->secrets, entry->d_name);
	if (stream)
		closedir(stream);
	if (read_all(k, &list, &n, NULL, NULL) < 0)
		return;
	for (size_t i = 1; i < n; i++)
		if (kist_streq(list[i - 1]->name, list[i]->name))
			take_away(k, list[i]->id, NULL);
	list_free(list, n);
}

static int write_value(struct kist *k, int dir, const void *data, size_t len, struct kist_error *err)
{
	KIST_CLOSE int fd = openat(dir, "data", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : kist_write_all(fd, data, len);

	if (r == 0 && !k->settings.volatile_ && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? kist_fail_errno(err, -r, "write its value") : 0;
}

static int store(struct kist *k, const struct kist_secret *s, const void *data, size_t len, struct kist_error *err)
{
	char draft[sizeof(KIST_TMP_PREFIX) + ID_LENGTH];
	bool sync = !k->settings.volatile_;

	snprintf(draft, sizeof(draft), KIST_TMP_PREFIX "%s", s->id);
	if (mkdirat(k->secrets, draft, 0700) < 0)
		return kist_fail_errno(err, errno, "make its directory");
	KIST_CLOSE int dir = openat(k->secrets, draft, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = dir < 0 ? kist_fail_errno(err, errno, "open its directory") : write_value(k, dir, data, len, err);
	if (r == 0)
		r = kist_record_write(dir, "config", &table, s, NULL, sync, err);
	if (r == 0 && renameat(k->secrets, draft, k->secrets, s->id) < 0)
		r = kist_fail_errno(err, errno, "name it");
	if (r < 0) {
		kist_remove_tree(k->secrets, draft);
		return r;
	}
	r = sync ? kist_sync_dir(k->secrets) : 0;
	return r < 0 ? kist_fail_errno(err, -r, "sync the directory of secrets") : 0;
}

static int check_new(const struct kist_secret *s, size_t len, struct kist_error *err)
{
	if (s->driver && !kist_streq(s->driver, "file"))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "secret driver '%s' is not supported: use file",
		                 s->driver);
	if (s->driver_options)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "the secret driver 'file' has no option '%s'",
		                 s->driver_options[0]);
	int r = kist_name_check(s->name, err);
	if (r < 0)
		return kist_context(err, "secret");
	if (strlen(s->name) > 253)
		return kist_fail(err, KIST_ERR_INVALID, ENAMETOOLONG, "a secret's name has at most 253 characters");
	if (len == 0 || len > KIST_SECRET_MAX)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "a secret's value must have 1 to %d bytes",
		                 KIST_SECRET_MAX);
	return 0;
}

/* Under the lock. *old: the one of that name, which the caller frees. */
static int find_old(struct kist *k, const char *name, struct kist_secret **old, struct kist_error *err)
{
	struct kist_secret **list = NULL;
	size_t n = 0;

	int r = kist_secret_list(k, &list, &n, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (kist_streq(list[i]->name, name)) {
			*old = list[i];
			list[i] = NULL;
		}
	list_free(list, n);
	return 0;
}

int kist_secret_create(struct kist *k, const struct kist_secret *config, const void *data, size_t len, bool replace,
                       char id[26], struct kist_error *err)
{
	struct kist_secret *old = NULL, s;
	char made[ID_LENGTH + 1];

	int r = check_new(config, len, err);
	if (r == 0)
		r = secrets_open(k, true, err);
	if (r < 0)
		return r;
	KIST_CLOSE int held = lock(k, err);
	if (held < 0)
		return held;
	sweep(k);
	r = find_old(k, config->name, &old, err);
	if (r == 0 && old && !replace) {
		kist_fail(err, KIST_ERR_EXISTS, EEXIST, "secret %s exists already", config->name);
		r = kist_remedy(err, "use --replace");
	}
	if (r == 0) {
		kist_random_hex(made, ID_LENGTH);
		s = (struct kist_secret){
			.id = made, .name = config->name, .driver = (char *)"file", .labels = config->labels
		};
		s.updated = kist_now_wall();
		/* The clock may have been set back: the newer must be the later. */
		if (old && s.updated <= old->updated)
			s.updated = old->updated + 1;
		s.created = old ? old->created : s.updated;
		r = store(k, &s, data, len, err);
		if (r < 0)
			kist_context(err, "secret %s", config->name);
	}
	if (r == 0 && old && take_away(k, old->id, NULL) < 0)
		kist_debug("the older secret %s stays until the next change", config->name);
	kist_secret_free(old);
	if (r == 0) {
		memcpy(id, made, sizeof(made));
		kist_object_event(k, "secret", "create", id, config->name);
	}
	return r;
}

int kist_secret_remove(struct kist *k, const char *text, char id[26], struct kist_error *err)
{
	struct kist_secret *s = NULL;

	int r = secrets_open(k, false, err);
	if (r == -ENOENT)
		return missing(text, err);
	if (r < 0)
		return r;
	KIST_CLOSE int held = lock(k, err);
	if (held < 0)
		return held;
	sweep(k);
	struct kist_error problem = { 0 };
	r = kist_secret_open(k, text, &s, &problem);
	/* A damaged one can be removed by its id. */
	const char *which = s ? s->id : is_id(text) && kist_exists_at(k->secrets, text) ? text : NULL;
	if (!which) {
		if (err)
			*err = problem;
		return r;
	}
	r = take_away(k, which, err);
	if (r == 0)
		snprintf(id, ID_LENGTH + 1, "%s", which);
	if (r == 0)
		kist_object_event(k, "secret", "remove", id, s ? s->name : NULL);
	kist_secret_free(s);
	return r;
}

/* --- inspect -------------------------------------------------------------------------------------------------------
 */

int kist_secret_inspect(struct kist *k, const struct kist_secret *s, bool with_value, struct json_object **out,
                        struct kist_error *err)
{
	KIST_STR struct kist_str value = { 0 };

	if (with_value) {
		int r = kist_secret_read(k, s, &value, err);
		if (r < 0)
			return r;
	}
	struct json_object *json = json_object_new_object(), *spec = json_object_new_object(),
	                   *driver = json_object_new_object();
	json_object_object_add(json, "ID", view_text(s->id));
	json_object_object_add(json, "CreatedAt", view_time(s->created));
	json_object_object_add(json, "UpdatedAt", view_time(s->updated));
	json_object_object_add(driver, "Name", view_text(s->driver));
	struct json_object *options = view_map(s->driver_options);
	if (!kist_env_get(s->driver_options, "path")) {
		KIST_FREE char *path = kist_store_path(k, "secrets");
		json_object_object_add(options, "path", view_text(path));
	}
	json_object_object_add(driver, "Options", options);
	json_object_object_add(spec, "Name", view_text(s->name));
	json_object_object_add(spec, "Driver", driver);
	json_object_object_add(spec, "Labels", view_map(s->labels));
	json_object_object_add(json, "Spec", spec);
	if (with_value)
		json_object_object_add(json, "SecretData",
		                       json_object_new_string_len(kist_str_get(&value), (int)value.len));
	if (value.data)
		explicit_bzero(value.data, value.len);
	*out = json;
	return 0;
}
