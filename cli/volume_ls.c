/* kist volume ls and inspect. */
#include "cli/volume_commands.h"

#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const maps[] = { "Labels", "Options", NULL };

int cli_print_documents(const struct kist_format *format, struct json_object *const *documents, size_t n,
                        bool noheading, struct kist_error *err)
{
	struct kist_template_view view = { .maps = maps, .escape = isatty(1) };
	KIST_STR struct kist_str out = { 0 };

	int r = kist_format_run(format, documents, n, &view, noheading, &out, err);
	return r < 0 ? r : kist_cli_print(&out, err);
}

/* --- selecting -----------------------------------------------------------------------------------------------------
 */

enum { BY_DANGLING, BY_DRIVER, BY_LABEL, BY_NAME, BY_OPT, BY_SCOPE, BY_UNTIL, BY_SINCE };

static const struct kist_filter_key keys[] = {
	{ .name = "after", .kind = KIST_FILTER_OBJECT, .id = BY_SINCE },
	{ .name = "dangling", .kind = KIST_FILTER_BOOL, .id = BY_DANGLING },
	{ .name = "driver", .kind = KIST_FILTER_EXACT, .id = BY_DRIVER },
	{ .name = "label", .kind = KIST_FILTER_LABEL, .id = BY_LABEL },
	{ .name = "name", .kind = KIST_FILTER_REGEX, .id = BY_NAME },
	{ .name = "opt", .kind = KIST_FILTER_LABEL, .id = BY_OPT },
	{ .name = "scope", .kind = KIST_FILTER_EXACT, .id = BY_SCOPE },
	{ .name = "since", .kind = KIST_FILTER_OBJECT, .id = BY_SINCE },
	{ .name = "until", .kind = KIST_FILTER_UNTIL, .id = BY_UNTIL },
	{ 0 },
};

static bool is_dangling(struct kist *k, const struct kist_volume *v)
{
	KIST_STRV char **users = kist_volume_users(k, v->name);

	return !users;
}

static bool match(const struct kist_filter *filter, const void *object, void *context)
{
	const struct kist_volume *v = object;
	struct kist_volume *other = NULL;
	struct kist *k = context;

	switch (filter->key->id) {
	case BY_DANGLING:
		return kist_filter_number(filter, is_dangling(k, v));
	case BY_DRIVER:
		return kist_filter_text(filter, v->driver);
	case BY_LABEL:
		return kist_filter_labels(filter, v->labels);
	case BY_NAME:
		return kist_filter_text(filter, v->name);
	case BY_OPT:
		return kist_filter_labels(filter, v->options);
	case BY_SCOPE:
		return kist_filter_text(filter, "local");
	case BY_UNTIL:
		return kist_filter_time(filter, v->created);
	default: {
		bool later = kist_volume_open(k, filter->value, &other, NULL) == 0 && v->created > other->created;
		kist_volume_free(other);
		return later;
	}
	}
}

static int check_objects(struct kist *k, const struct kist_filters *filters, struct kist_error *err)
{
	for (size_t i = 0; i < filters->n; i++) {
		struct kist_volume *v = NULL;
		if (filters->items[i].key->id != BY_SINCE)
			continue;
		int r = kist_volume_open(k, filters->items[i].value, &v, err);
		kist_volume_free(v);
		if (r < 0)
			return kist_context(err, "filter '%s'", filters->items[i].key->name);
	}
	return 0;
}

void cli_volumes_clear(struct cli_volumes *volumes)
{
	for (size_t i = 0; i < volumes->n; i++)
		kist_volume_free(volumes->items[i]);
	free(volumes->items);
	*volumes = (struct cli_volumes){ 0 };
}

static void complain_broken(struct kist_cli *cli, char *const *broken)
{
	for (; broken && *broken; broken++) {
		struct kist_error err = { 0 };
		struct kist_volume *v = NULL;
		if (kist_volume_open(cli->k, *broken, &v, &err) < 0)
			kist_complain(cli->program, &err);
		kist_volume_free(v);
	}
}

int cli_volumes_select(struct kist_cli *cli, char *const *texts, struct cli_volumes *out, struct kist_error *err)
{
	KIST_FILTERS struct kist_filters filters = { 0 };
	KIST_STRV char **broken = NULL;
	struct cli_volumes all = { 0 };
	size_t kept = 0;

	int r = texts ? kist_filters_parse(texts, keys, &filters, err) : 0;
	if (r == 0)
		r = check_objects(cli->k, &filters, err);
	if (r == 0)
		r = kist_volume_list(cli->k, &all.items, &all.n, &broken, err);
	if (r < 0)
		return r;
	complain_broken(cli, broken);
	for (size_t i = 0; i < all.n; i++) {
		if (kist_filters_match(&filters, match, all.items[i], cli->k))
			all.items[kept++] = all.items[i];
		else
			kist_volume_free(all.items[i]);
	}
	all.n = kept;
	*out = all;
	return 0;
}

void kist_complete_volumes(struct kist_cli *cli, const char *prefix, char ***names)
{
	struct cli_volumes all = { 0 };

	if (kist_volume_list(cli->k, &all.items, &all.n, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < all.n; i++)
		if (kist_has_prefix(all.items[i]->name, prefix))
			kist_strv_add(names, all.items[i]->name);
	cli_volumes_clear(&all);
}

/* --- ls ------------------------------------------------------------------------------------------------------------
 */

struct ls_options {
	char **filter;
	const char *format;
	bool noheading, quiet;
};

static const struct kist_option ls_rows[] = {
	KIST_OPTION(
	        struct ls_options, LIST, filter, "filter", 'f', .metavar = "key=value",
	        .help = "Show the volumes that match: after, dangling, driver, label, name, opt, scope, since, until"),
	KIST_OPTION(struct ls_options, STRING, format, "format", 0, .metavar = "template",
	            .help = "Print by a Go template, or as json"),
	KIST_OPTION(struct ls_options, FLAG, noheading, "noheading", 'n', .help = "Leave the header row out"),
	KIST_OPTION(struct ls_options, FLAG, quiet, "quiet", 'q', .help = "Show names alone"),
	{ 0 },
};

static const struct kist_header headers[] = { { "Name", "VOLUME NAME" }, { 0 } };

static int print_volumes(struct kist_cli *cli, const struct kist_format *format, struct kist_volume *const *items,
                         size_t n, bool noheading, struct kist_error *err)
{
	KIST_FREE struct json_object **documents = kist_grow(NULL, n + 1, sizeof(*documents));
	size_t made = 0;
	int r = 0;

	while (r == 0 && made < n) {
		r = kist_volume_inspect(cli->k, items[made], &documents[made], err);
		made += r == 0;
	}
	if (r == 0)
		r = cli_print_documents(format, documents, n, noheading, err);
	for (size_t i = 0; i < made; i++)
		json_object_put(documents[i]);
	return r;
}

static int ls_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct ls_options *o = options;
	CLI_VOLUMES struct cli_volumes volumes = { 0 };
	struct kist_format format = { 0 };

	(void)argc;
	(void)argv;
	int r = cli_volumes_select(cli, o->filter, &volumes, err);
	if (r < 0)
		return r;
	const char *text = o->format ? o->format : o->quiet ? "{{.Name}}" : "table {{.Driver}}\t{{.Name}}";
	r = kist_format_parse("volume ls", text, headers, &format, err);
	if (r == 0)
		r = print_volumes(cli, &format, volumes.items, volumes.n, o->noheading, err);
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

const struct kist_command kist_command_volume_ls = {
	.name = "ls",
	.parent = "volume",
	.aliases = (const struct kist_command_alias[]){ { NULL, "list" }, { 0 } },
	.synopsis = "[options]",
	.summary = "List volumes",
	.examples = (const char *const[]){ "volume ls --filter dangling=true --quiet",
	                                   "volume ls --format '{{.Name}} {{.Mountpoint}}'", NULL },
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
	bool all;
};

static const struct kist_option inspect_rows[] = {
	KIST_OPTION(struct inspect_options, FLAG, all, "all", 'a', .help = "Show all volumes"),
	KIST_OPTION(struct inspect_options, STRING, format, "format", 'f', .metavar = "template", .fallback = "json",
	            .help = "Print by a Go template, or as json"),
	{ 0 },
};

static int inspect_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;

	(void)argv;
	if (o->all == (argc > 1))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 o->all ? "--all and names of volumes exclude each other"
		                        : "name at least one volume, or use --all");
	return 0;
}

static int inspect_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;
	CLI_VOLUMES struct cli_volumes volumes = { 0 };
	struct kist_format format = { 0 };
	int missing = 0;

	int r = kist_format_parse("inspect", o->format, NULL, &format, err);
	if (r == 0 && o->all)
		r = cli_volumes_select(cli, NULL, &volumes, err);
	if (r == 0 && !o->all)
		volumes.items = kist_grow(NULL, (size_t)argc, sizeof(*volumes.items));
	for (int i = 1; r == 0 && i < argc; i++) {
		struct kist_error problem = { 0 };
		if (kist_volume_open(cli->k, argv[i], &volumes.items[volumes.n], &problem) == 0) {
			volumes.n++;
		} else {
			kist_complain(cli->program, &problem);
			missing++;
		}
	}
	if (r == 0)
		r = print_volumes(cli, &format, volumes.items, volumes.n, true, err);
	kist_format_clear(&format);
	return r < 0 ? r : missing ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_volume_inspect = {
	.name = "inspect",
	.parent = "volume",
	.synopsis = "[options] VOLUME [VOLUME...]",
	.summary = "Show all that is known about volumes",
	.examples = (const char *const[]){ "volume inspect --format '{{.Mountpoint}}' data", NULL },
	.options = (const struct kist_option_set[]){ { inspect_rows, 0 }, { 0 } },
	.options_size = sizeof(struct inspect_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_VOLUME,
	.completes_rest = KIST_COMPLETE_VOLUME,
	.needs = KIST_NEEDS_STORE,
	.check = inspect_check,
	.run = inspect_run,
};
