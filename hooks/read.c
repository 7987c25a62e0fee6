/* Hook files, schema 1.0.0 of oci-hooks(5). */
#include "hooks/internal.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

#define BODY(type, member, ...)  KIST_FIELD(struct kist_spec_hook, type, member, ##__VA_ARGS__)
#define WHEN(type, member, ...)  KIST_FIELD(struct hook_when, type, member, ##__VA_ARGS__)
#define FILE_(type, member, ...) KIST_FIELD(struct hook_file, type, member, ##__VA_ARGS__)

static const struct kist_field body_fields[] = {
	BODY(STRING, path, .flags = KIST_FIELD_REQUIRED),
	BODY(STRV, args),
	BODY(STRV, env),
	BODY(OPT_I64, timeout),
};
static const struct kist_table body_table = KIST_TABLE("hook", struct kist_spec_hook, body_fields);

static const struct kist_field when_fields[] = {
	WHEN(OPT_BOOL, always),
	WHEN(MAP, annotations),
	WHEN(STRV, commands),
	WHEN(OPT_BOOL, has_bind_mounts, .json = "hasBindMounts"),
};
static const struct kist_table when_table = KIST_TABLE("when", struct hook_when, when_fields);

static const struct kist_field file_fields[] = {
	FILE_(STRING, version, .flags = KIST_FIELD_REQUIRED),
	FILE_(STRUCT, hook, .table = &body_table, .flags = KIST_FIELD_REQUIRED),
	FILE_(STRUCT, when, .table = &when_table, .flags = KIST_FIELD_REQUIRED),
	FILE_(STRV, stages, .flags = KIST_FIELD_REQUIRED),
};
const struct kist_table hook_file_table = KIST_TABLE("hook file", struct hook_file, file_fields);

static const char *const stage_names[] = { "prestart",  "createRuntime", "createContainer", "startContainer",
	                                   "poststart", "poststop",      "precreate" };

static int check_regex(const char *what, const char *pattern, struct kist_error *err)
{
	regex_t regex;

	int r = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
	if (r == 0) {
		regfree(&regex);
		return 0;
	}
	char text[128];
	regerror(r, NULL, text, sizeof(text));
	return kist_fail(err, KIST_ERR_INVALID, 0, "when.%s: bad regular expression '%s': %s", what, pattern, text);
}

/* Before anything else: files of another schema have other types in other places. */
static int check_version(struct json_object *json, struct kist_error *err)
{
	struct json_object *version = NULL;

	if (!json_object_is_type(json, json_type_object))
		return 0; /* told by the reader */
	bool is_there = json_object_object_get_ex(json, "version", &version);
	if (is_there && kist_streq(json_object_get_string(version), "1.0.0"))
		return 0;
	kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "version '%.20s' is not supported",
	          is_there ? json_object_get_string(version) : "0.1.0");
	return kist_remedy(err, "write it by schema 1.0.0: its conditions are all required, where 0.1.0 took any");
}

static int check_env(char *const *env, struct kist_error *err)
{
	for (size_t i = 0; env && env[i]; i++)
		if (!strchr(env[i], '=') || env[i][0] == '=')
			return kist_fail(err, KIST_ERR_INVALID, 0, "hook.env[%zu] '%.80s': expected NAME=value", i,
			                 env[i]);
	return 0;
}

static int check_file(const struct hook_file *file, struct kist_error *err)
{
	if (file->hook.path[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0, "hook.path '%s': expected an absolute path",
		                 file->hook.path);
	if (access(file->hook.path, X_OK) < 0)
		return kist_fail_errno(err, errno, "hook.path %s", file->hook.path);
	if (file->hook.timeout.set && file->hook.timeout.value < 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "hook.timeout must be at least 1 second");
	if (check_env(file->hook.env, err) < 0)
		return -EINVAL;
	if (kist_strv_len(file->stages) == 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "stages is empty");
	for (size_t i = 0; file->stages[i]; i++) {
		bool known = false;
		for (size_t j = 0; j < KIST_COUNT(stage_names); j++)
			known |= kist_streq(stage_names[j], file->stages[i]);
		if (!known)
			return kist_fail(err, KIST_ERR_INVALID, 0, "stages[%zu]: '%s' is not a stage", i,
			                 file->stages[i]);
	}
	for (size_t i = 0; file->when.commands && file->when.commands[i]; i++) {
		int r = check_regex("commands", file->when.commands[i], err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; file->when.annotations && file->when.annotations[i]; i++) {
		const char *pair = file->when.annotations[i], *value = strchr(pair, '=');
		KIST_FREE char *key = kist_strndup(pair, (size_t)(value - pair));
		int r = check_regex("annotations", key, err);
		if (r == 0)
			r = check_regex("annotations", value + 1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_file(int dir, const char *name, struct hook_file *file, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;

	kist_table_init(&hook_file_table, file);
	int r = kist_read_file(dir, name, FILE_MAX, &text);
	if (r < 0)
		return kist_fail_errno(err, -r, "read");
	r = kist_json_parse(kist_str_get(&text), text.len, &json, err);
	if (r == 0)
		r = check_version(json, err);
	if (r == 0)
		r = kist_json_read(&hook_file_table, json, file, "", err);
	if (r == 0)
		r = check_file(file, err);
	return r;
}

/* A file of the same name in a later directory takes the place of this one. */
static bool is_masked(const char *const *later, const char *name)
{
	for (; *later; later++) {
		KIST_CLOSE int dir = open(*later, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0 && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	}
	return false;
}

static int read_directory(struct kist_hooks *hooks, const char *path, const char *const *later, struct kist_error *err)
{
	DIR *dir = opendir(path);
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "open hooks directory %s", path);
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		if (!kist_has_suffix(entry->d_name, ".json") || entry->d_name[0] == '.' ||
		    is_masked(later, entry->d_name))
			continue;
		struct hook_file file = { 0 };
		r = read_file(dirfd(dir), entry->d_name, &file, err);
		if (r < 0) {
			kist_table_release(&hook_file_table, &file);
			kist_context(err, "hook %s/%s", path, entry->d_name);
			break;
		}
		file.name = kist_strdup(entry->d_name);
		hooks->files = kist_grow(hooks->files, hooks->n + 1, sizeof(*hooks->files));
		hooks->files[hooks->n++] = file;
	}
	closedir(dir);
	return r;
}

/* By lower case, as oci-hooks(5) has it; names that differ in case alone keep one order all the same. */
static int by_name(const void *a, const void *b)
{
	const char *one = ((const struct hook_file *)a)->name, *two = ((const struct hook_file *)b)->name;
	int r = strcasecmp(one, two);

	return r ? r : strcmp(one, two);
}

int kist_hooks_read(const char *const *directories, struct kist_hooks **out, struct kist_error *err)
{
	struct kist_hooks *hooks = kist_alloc(sizeof(*hooks));

	for (size_t i = 0; directories && directories[i]; i++) {
		int r = read_directory(hooks, directories[i], &directories[i + 1], err);
		if (r < 0) {
			kist_hooks_free(hooks);
			return r;
		}
	}
	if (hooks->n)
		qsort(hooks->files, hooks->n, sizeof(*hooks->files), by_name);
	*out = hooks;
	return 0;
}

void kist_hooks_free(struct kist_hooks *hooks)
{
	if (!hooks)
		return;
	for (size_t i = 0; i < hooks->n; i++) {
		free(hooks->files[i].name);
		kist_table_release(&hook_file_table, &hooks->files[i]);
	}
	free(hooks->files);
	free(hooks);
}

size_t kist_hooks_count(const struct kist_hooks *hooks)
{
	return hooks ? hooks->n : 0;
}
