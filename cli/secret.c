/* kist secret: create, ls, inspect, rm, exists. */
#include "cli/volume_commands.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct kist_command kist_command_secret = {
	.name = "secret",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Commands on secrets",
	.is_group = true,
};

static int print_line(const char *text, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };

	kist_str_addf(&out, "%s\n", text);
	return kist_cli_print(&out, err);
}

/* --- create --------------------------------------------------------------------------------------------------------
 */

struct create_options {
	const char *driver;
	char **labels;
	bool env, replace, ignore;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct create_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option create_rows[] = {
	ROW(STRING, driver, "driver", 'd', .metavar = "name", .fallback = "file", .help = "Driver of the secret: file"),
	KIST_OPTION_REFUSED("driver-opts", "the driver 'file' has none"),
	ROW(FLAG, env, "env", 0, .help = "The second argument names a variable of the environment that has the value"),
	ROW(FLAG, ignore, "ignore", 0, .help = "A secret of that name is no error"),
	ROW(LIST, labels, "label", 'l', .metavar = "key=value", .help = "Add a label"),
	ROW(FLAG, replace, "replace", 0, .help = "Replace a secret of that name"),
	{ 0 },
};

static int read_value(const struct create_options *o, const char *from, struct kist_str *value, struct kist_error *err)
{
	bool standard = kist_streq(from, "-");

	if (o->env) {
		const char *text = getenv(from);
		if (!text)
			return kist_fail(err, KIST_ERR_INVALID, ENOENT, "the environment has no variable %s", from);
		kist_str_add(value, text);
		return 0;
	}
	if (standard && isatty(0))
		return kist_fail(err, KIST_ERR_INVALID, 0, "standard input is a terminal: redirect the value to it");
	KIST_CLOSE int fd = standard ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(from, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return kist_fail_errno(err, errno, "open %s", standard ? "standard input" : from);
	int r = kist_read_fd(fd, KIST_SECRET_MAX, value);
	if (r == -EFBIG)
		return kist_fail(err, KIST_ERR_INVALID, EFBIG, "a secret's value must have 1 to %d bytes",
		                 KIST_SECRET_MAX);
	return r < 0 ? kist_fail_errno(err, -r, "read %s", from) : 0;
}

static int create(struct kist_cli *cli, const struct create_options *o, const char *name, const struct kist_str *value,
                  struct kist_error *err)
{
	struct kist_secret config = { .name = (char *)name, .driver = (char *)o->driver }, *old = NULL;
	struct kist_error problem = { 0 };
	char id[26];

	int r = cli_add_pairs("label", o->labels, &config.labels, &problem);
	if (r == 0)
		r = kist_secret_create(cli->k, &config, kist_str_get(value), value->len, o->replace, id, &problem);
	kist_strv_free(config.labels);
	if (r < 0 && problem.kind == KIST_ERR_EXISTS && o->ignore && kist_secret_open(cli->k, name, &old, NULL) == 0) {
		r = print_line(old->id, err);
		kist_secret_free(old);
		return r;
	}
	if (r < 0)
		*err = problem;
	return r < 0 ? r : print_line(id, err);
}

static int create_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct create_options *o = options;
	KIST_STR struct kist_str value = { 0 };

	(void)argc;
	int r = read_value(o, argv[2], &value, err);
	if (r == 0)
		r = create(cli, o, argv[1], &value, err);
	if (value.data)
		explicit_bzero(value.data, value.len);
	return r;
}

const struct kist_command kist_command_secret_create = {
	.name = "create",
	.parent = "secret",
	.synopsis = "[options] NAME FILE|-",
	.summary = "Create a secret",
	.description = "Creates a secret from a file, from standard input (-), or from a variable (--env), and prints "
	               "its id. Give it "
	               "to containers with 'kist run --secret'.",
	.examples =
	        (const char *const[]){ "secret create password password.txt", "secret create --env token TOKEN", NULL },
	.options = (const struct kist_option_set[]){ { create_rows, 0 }, { 0 } },
	.options_size = sizeof(struct create_options),
	.min_args = 2,
	.max_args = 2,
	.completes_rest = KIST_COMPLETE_FILE,
	.needs = KIST_NEEDS_STORE,
	.run = create_run,
};

/* --- ls ------------------------------------------------------------------------------------------------------------
 */

struct ls_options {
	char **filter;
	const char *format;
	bool noheading, quiet;
};

static const struct kist_option ls_rows[] = {
	KIST_OPTION(struct ls_options, LIST, filter, "filter", 'f', .metavar = "key=value",
	            .help = "Show the secrets that match: id, name"),
	KIST_OPTION(struct ls_options, STRING, format, "format", 0, .metavar = "template",
	            .help = "Print by a Go template, or as json"),
	KIST_OPTION(struct ls_options, FLAG, noheading, "noheading", 'n', .help = "Leave the header row out"),
	KIST_OPTION(struct ls_options, FLAG, quiet, "quiet", 'q', .help = "Show ids alone"),
	{ 0 },
};

enum { BY_ID, BY_NAME };

static const struct kist_filter_key keys[] = {
	{ .name = "id", .kind = KIST_FILTER_PREFIX, .id = BY_ID },
	{ .name = "name", .kind = KIST_FILTER_REGEX, .id = BY_NAME },
	{ 0 },
};

static bool match(const struct kist_filter *filter, const void *object, void *context)
{
	const struct kist_secret *s = object;

	(void)context;
	return kist_filter_text(filter, filter->key->id == BY_ID ? s->id : s->name);
}

static char *ago(int64_t wall)
{
	char human[40];

	return kist_asprintf("%s ago", kist_time_human(human, kist_now_wall() - wall));
}

static struct json_object *row(const struct kist_secret *s)
{
	struct json_object *json = json_object_new_object();
	KIST_FREE char *created = ago(s->created);
	KIST_FREE char *updated = ago(s->updated);

	json_object_object_add(json, "ID", json_object_new_string(s->id));
	json_object_object_add(json, "Name", json_object_new_string(s->name));
	json_object_object_add(json, "Driver", json_object_new_string(s->driver));
	json_object_object_add(json, "CreatedAt", json_object_new_string(created));
	json_object_object_add(json, "UpdatedAt", json_object_new_string(updated));
	return json;
}

static const struct kist_header headers[] = { { "CreatedAt", "CREATED" }, { "UpdatedAt", "UPDATED" }, { 0 } };

static int ls_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct ls_options *o = options;
	KIST_FILTERS struct kist_filters filters = { 0 };
	KIST_STRV char **broken = NULL;
	struct kist_secret **list = NULL;
	struct kist_format format = { 0 };
	size_t n = 0, kept = 0;

	(void)argc;
	(void)argv;
	const char *text = o->format  ? o->format
	                   : o->quiet ? "{{.ID}}"
	                              : "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}";
	int r = o->filter ? kist_filters_parse(o->filter, keys, &filters, err) : 0;
	if (r == 0)
		r = kist_format_parse("secret ls", text, headers, &format, err);
	if (r == 0)
		r = kist_secret_list(cli->k, &list, &n, &broken, err);
	KIST_FREE struct json_object **documents = kist_grow(NULL, n + 1, sizeof(*documents));
	for (size_t i = 0; i < n; i++) {
		if (kist_filters_match(&filters, match, list[i], NULL))
			documents[kept++] = row(list[i]);
		kist_secret_free(list[i]);
	}
	free(list);
	for (char **id = broken; id && *id; id++) {
		struct kist_error problem = { 0 };
		kist_fail(&problem, KIST_ERR_CORRUPT, EBADMSG, "secret %s is damaged ('kist secret rm %s' removes it)",
		          *id, *id);
		kist_complain(cli->program, &problem);
	}
	if (r == 0)
		r = cli_print_documents(&format, documents, kept, o->noheading, err);
	for (size_t i = 0; i < kept; i++)
		json_object_put(documents[i]);
	kist_format_clear(&format);
	return r;
}

static int ls_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct ls_options *o = options;

	(void)argc;
	(void)argv;
	return o->quiet && o->format ? kist_fail(err, KIST_ERR_INVALID, 0, "--quiet excludes --format") : 0;
}

const struct kist_command kist_command_secret_ls = {
	.name = "ls",
	.parent = "secret",
	.aliases = (const struct kist_command_alias[]){ { NULL, "list" }, { 0 } },
	.synopsis = "[options]",
	.summary = "List secrets",
	.examples = (const char *const[]){ "secret ls --format '{{.Name}}'", NULL },
	.options = (const struct kist_option_set[]){ { ls_rows, 0 }, { 0 } },
	.options_size = sizeof(struct ls_options),
	.needs = KIST_NEEDS_STORE,
	.check = ls_check,
	.run = ls_run,
};

/* --- inspect -------------------------------------------------------------------------------------------------------
 */

struct inspect_options {
	const char *format;
	bool pretty, showsecret;
};

static const struct kist_option inspect_rows[] = {
	KIST_OPTION(struct inspect_options, STRING, format, "format", 'f', .metavar = "template",
	            .help = "Print by a Go template, or as json"),
	KIST_OPTION(struct inspect_options, FLAG, pretty, "pretty", 0, .help = "Print for reading"),
	KIST_OPTION(struct inspect_options, FLAG, showsecret, "showsecret", 0, .help = "Print the value too"),
	{ 0 },
};

static int inspect_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;

	(void)argv;
	if (argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name at least one secret");
	return o->pretty && o->format ? kist_fail(err, KIST_ERR_INVALID, 0, "--pretty excludes --format") : 0;
}

static void make_pretty(struct json_object *json, struct kist_str *out)
{
	struct json_object *spec = json_object_object_get(json, "Spec"),
	                   *driver = json_object_object_get(spec, "Driver"), *value = NULL;

	kist_str_addf(out, "ID:              %s\n", json_object_get_string(json_object_object_get(json, "ID")));
	kist_str_addf(out, "Name:            %s\n", json_object_get_string(json_object_object_get(spec, "Name")));
	kist_str_add(out, "Labels:\n");
	json_object_object_foreach(json_object_object_get(spec, "Labels"), key, label)
	        kist_str_addf(out, " - %s=%s\n", key, json_object_get_string(label));
	kist_str_addf(out, "Driver:          %s\n", json_object_get_string(json_object_object_get(driver, "Name")));
	kist_str_addf(out, "Created at:      %s\n", json_object_get_string(json_object_object_get(json, "CreatedAt")));
	kist_str_addf(out, "Updated at:      %s\n", json_object_get_string(json_object_object_get(json, "UpdatedAt")));
	if (json_object_object_get_ex(json, "SecretData", &value))
		kist_str_addf(out, "Secret:          %s\n", json_object_get_string(value));
}

static int print(const struct inspect_options *o, struct json_object **documents, size_t n, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };
	struct kist_format format = { 0 };

	for (size_t i = 0; o->pretty && i < n; i++)
		make_pretty(documents[i], &out);
	if (o->pretty)
		return kist_cli_print(&out, err);
	int r = kist_format_parse("inspect", o->format ? o->format : "json", NULL, &format, err);
	if (r == 0)
		r = cli_print_documents(&format, documents, n, true, err);
	kist_format_clear(&format);
	return r;
}

static int inspect_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;
	KIST_FREE struct json_object **documents = kist_grow(NULL, (size_t)argc, sizeof(*documents));
	int missing = 0;
	size_t n = 0;

	for (int i = 1; i < argc; i++) {
		struct kist_error problem = { 0 };
		struct kist_secret *s = NULL;
		int r = kist_secret_open(cli->k, argv[i], &s, &problem);
		if (r == 0)
			r = kist_secret_inspect(cli->k, s, o->showsecret, &documents[n], &problem);
		kist_secret_free(s);
		n += r == 0;
		missing += r < 0;
		if (r < 0)
			kist_complain(cli->program, &problem);
	}
	int r = print(o, documents, n, err);
	for (size_t i = 0; i < n; i++)
		json_object_put(documents[i]);
	return r < 0 ? r : missing ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_secret_inspect = {
	.name = "inspect",
	.parent = "secret",
	.synopsis = "[options] SECRET [SECRET...]",
	.summary = "Show what is known about secrets",
	.description = "Shows names, times and labels of secrets; their values with --showsecret alone.",
	.examples = (const char *const[]){ "secret inspect --format '{{.Spec.Name}}' password", NULL },
	.options = (const struct kist_option_set[]){ { inspect_rows, 0 }, { 0 } },
	.options_size = sizeof(struct inspect_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_SECRET,
	.completes_rest = KIST_COMPLETE_SECRET,
	.needs = KIST_NEEDS_STORE,
	.check = inspect_check,
	.run = inspect_run,
};

/* --- rm, exists ----------------------------------------------------------------------------------------------------
 */

struct rm_options {
	bool all, ignore;
};

static const struct kist_option rm_rows[] = {
	KIST_OPTION(struct rm_options, FLAG, all, "all", 'a', .help = "Remove all secrets"),
	KIST_OPTION(struct rm_options, FLAG, ignore, "ignore", 'i', .help = "A missing secret is no error"),
	{ 0 },
};

static int rm_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct rm_options *o = options;

	(void)argv;
	if (o->all == (argc > 1))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 o->all ? "--all and names of secrets exclude each other"
		                        : "name at least one secret, or use --all");
	return 0;
}

/* Returns whether it failed. */
static bool rm_one(struct kist_cli *cli, const char *name, bool ignore)
{
	struct kist_error problem = { 0 };
	char id[26];

	if (kist_secret_remove(cli->k, name, id, &problem) == 0) {
		printf("%s\n", id);
		return false;
	}
	if (ignore && problem.kind == KIST_ERR_NOT_FOUND)
		return false;
	kist_complain(cli->program, &problem);
	return true;
}

static int rm_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct rm_options *o = options;
	KIST_STRV char **broken = NULL;
	struct kist_secret **list = NULL;
	bool failed = false;
	size_t n = 0;

	int r = o->all ? kist_secret_list(cli->k, &list, &n, &broken, err) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		failed |= rm_one(cli, list[i]->id, true);
		kist_secret_free(list[i]);
	}
	free(list);
	for (char **id = broken; id && *id; id++)
		failed |= rm_one(cli, *id, true);
	for (int i = 1; i < argc; i++)
		failed |= rm_one(cli, argv[i], o->ignore);
	return failed ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_secret_rm = {
	.name = "rm",
	.parent = "secret",
	.synopsis = "[options] SECRET [SECRET...]",
	.summary = "Remove secrets",
	.description = "Removes secrets. Containers that were given one have it until they end, and cannot be started "
	               "again without it.",
	.examples = (const char *const[]){ "secret rm password", "secret rm --all", NULL },
	.options = (const struct kist_option_set[]){ { rm_rows, 0 }, { 0 } },
	.options_size = sizeof(struct rm_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_SECRET,
	.completes_rest = KIST_COMPLETE_SECRET,
	.needs = KIST_NEEDS_STORE,
	.check = rm_check,
	.run = rm_run,
};

static int exists_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_secret *s = NULL;

	(void)options;
	(void)argc;
	int r = kist_secret_open(cli->k, argv[1], &s, err);
	kist_secret_free(s);
	return kist_cli_exists(r, err);
}

const struct kist_command kist_command_secret_exists = {
	.name = "exists",
	.parent = "secret",
	.synopsis = "SECRET",
	.summary = "Whether a secret is there",
	.description = "Exit code 0: it is there; 1: it is not; 125: another failure. Prints nothing.",
	.examples = (const char *const[]){ "secret exists password || kist secret create password -", NULL },
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_SECRET,
	.needs = KIST_NEEDS_STORE,
	.run = exists_run,
};

void kist_complete_secrets(struct kist_cli *cli, const char *prefix, char ***names)
{
	struct kist_secret **list = NULL;
	size_t n = 0;

	if (kist_secret_list(cli->k, &list, &n, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (kist_has_prefix(list[i]->name, prefix))
			kist_strv_add(names, list[i]->name);
		kist_secret_free(list[i]);
	}
	free(list);
}
