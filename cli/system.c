/* kist system: df and check. */
#include "cli/archive_commands.h"
#include "cli/columns.h"
#include "cli/template.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct kist_command kist_command_system = {
	.name = "system",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Commands on the store as a whole",
	.is_group = true,
};

/* --- df --------------------------------------------------------------------------------------------------------- */

struct df_options {
	const char *format;
	bool verbose;
};

static const struct kist_option df_rows[] = {
	KIST_OPTION(struct df_options, STRING, format, "format", 0, .metavar = "template",
	            .help = "Print by a Go template, or as json"),
	KIST_OPTION(struct df_options, FLAG, verbose, "verbose", 'v', .help = "Show each image, container and volume"),
	{ 0 },
};

static int df_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct df_options *o = options;

	(void)argc;
	(void)argv;
	if (o->verbose && o->format)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--verbose and --format exclude each other");
	return 0;
}

static struct json_object *member(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(json, key, &value);
	return value;
}

static uint64_t number_at(struct json_object *json, const char *key)
{
	return json_object_get_uint64(member(json, key));
}

static const char *text_at(struct json_object *json, const char *key)
{
	const char *text = json_object_get_string(member(json, key));

	return text ? text : "";
}

struct total {
	const char *type;
	uint64_t total, active, size, reclaimable;
};

static struct json_object *total_row(const struct total *t)
{
	struct json_object *json = json_object_new_object();
	char size[24], reclaimable[24];
	KIST_FREE char *text = kist_asprintf("%s (%u%%)", kist_size_human(reclaimable, t->reclaimable),
	                                     t->size ? (unsigned)((t->reclaimable * 100 + t->size / 2) / t->size) : 0);

	json_object_object_add(json, "Type", json_object_new_string(t->type));
	json_object_object_add(json, "Total", json_object_new_uint64(t->total));
	json_object_object_add(json, "Active", json_object_new_uint64(t->active));
	json_object_object_add(json, "RawSize", json_object_new_uint64(t->size));
	json_object_object_add(json, "RawReclaimable", json_object_new_uint64(t->reclaimable));
	json_object_object_add(json, "TotalCount", json_object_new_uint64(t->total));
	json_object_object_add(json, "Size", json_object_new_string(kist_size_human(size, t->size)));
	json_object_object_add(json, "Reclaimable", json_object_new_string(text));
	return json;
}

/* An image with several names is there once. */
static struct total images_total(struct json_object *usage)
{
	struct json_object *list = member(usage, "Images");
	struct total t = { .type = "Images",
		           .size = number_at(usage, "LayersSize"),
		           .reclaimable = number_at(usage, "LayersReclaimable") };

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = kist_streq(text_at(json_object_array_get_idx(list, j), "ImageID"),
			                  text_at(item, "ImageID"));
		if (seen)
			continue;
		t.total++;
		t.active += number_at(item, "Containers") > 0;
	}
	return t;
}

static struct total containers_total(struct json_object *usage)
{
	struct json_object *list = member(usage, "Containers");
	struct total t = { .type = "Containers", .total = json_object_array_length(list) };

	for (size_t i = 0; i < t.total; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		uint64_t size = number_at(item, "Size");
		const char *status = text_at(item, "Status");

		t.size += size;
		if (kist_streq(status, "running") || kist_streq(status, "paused") || kist_streq(status, "stopping"))
			t.active++;
		else
			t.reclaimable += size;
	}
	return t;
}

static struct total volumes_total(struct json_object *usage)
{
	struct json_object *list = member(usage, "Volumes");
	struct total t = { .type = "Local Volumes", .total = json_object_array_length(list) };

	for (size_t i = 0; i < t.total; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		t.size += number_at(item, "Size");
		t.reclaimable += number_at(item, "ReclaimableSize");
		t.active += number_at(item, "Links") > 0;
	}
	return t;
}

static int print_totals(const struct df_options *o, struct json_object *usage, struct kist_error *err)
{
	struct total totals[] = { images_total(usage), containers_total(usage), volumes_total(usage) };
	struct json_object *rows[KIST_COUNT(totals)];
	struct kist_template_view view = { .escape = isatty(1) };
	KIST_STR struct kist_str out = { 0 };
	struct kist_format format = { 0 };

	int r = kist_format_parse(
	        "df", o->format ? o->format : "table {{.Type}}\t{{.Total}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
	        NULL, &format, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < KIST_COUNT(totals); i++)
		rows[i] = total_row(&totals[i]);
	r = kist_format_run(&format, rows, KIST_COUNT(rows), &view, false, &out, err);
	for (size_t i = 0; i < KIST_COUNT(rows); i++)
		json_object_put(rows[i]);
	kist_format_clear(&format);
	return r < 0 ? r : kist_cli_print(&out, err);
}

/* Fields of a document as cells: sizes, ages and short ids as people read them. */
enum cell { TEXT, NUMBER, SIZE, AGE, ID };
struct column {
	const char *title, *key;
	enum cell cell;
};

static void add_cell(struct kist_columns *c, struct json_object *item, const struct column *column)
{
	char text[40];
	int64_t when = 0;

	switch (column->cell) {
	case TEXT:
		kist_columns_cell(c, text_at(item, column->key));
		break;
	case NUMBER:
		kist_columns_cellf(c, "%llu", (unsigned long long)number_at(item, column->key));
		break;
	case SIZE:
		kist_columns_cell(c, kist_size_human(text, number_at(item, column->key)));
		break;
	case AGE:
		if (kist_time_parse(text_at(item, column->key), &when) < 0 || kist_now_wall() < when)
			when = kist_now_wall();
		kist_columns_cell(c, kist_time_human(text, kist_now_wall() - when));
		break;
	case ID:
		kist_columns_cellf(c, "%.12s", text_at(item, column->key));
		break;
	}
}

static void add_table(struct kist_str *out, const char *title, struct json_object *list, const struct column *columns)
{
	KIST_COLUMNS struct kist_columns c = { 0 };

	for (const struct column *column = columns; column->title; column++)
		kist_columns_cell(&c, column->title);
	kist_columns_end(&c);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		for (const struct column *column = columns; column->title; column++)
			add_cell(&c, json_object_array_get_idx(list, i), column);
		kist_columns_end(&c);
	}
	kist_str_addf(out, "%s%s space usage:\n\n", out->len ? "\n" : "", title);
	kist_columns_print(&c, out);
}

static int print_verbose(struct json_object *usage, struct kist_error *err)
{
	static const struct column images[] = {
		{ "REPOSITORY", "Repository", TEXT },
		{ "TAG", "Tag", TEXT },
		{ "IMAGE ID", "ImageID", ID },
		{ "CREATED", "Created", AGE },
		{ "SIZE", "Size", SIZE },
		{ "SHARED SIZE", "SharedSize", SIZE },
		{ "UNIQUE SIZE", "UniqueSize", SIZE },
		{ "CONTAINERS", "Containers", NUMBER },
		{ 0 },
	};
	static const struct column containers[] = {
		{ "CONTAINER ID", "ContainerID", ID },
		{ "IMAGE", "Image", ID },
		{ "COMMAND", "Command", TEXT },
		{ "LOCAL VOLUMES", "LocalVolumes", NUMBER },
		{ "SIZE", "Size", SIZE },
		{ "CREATED", "Created", AGE },
		{ "STATUS", "Status", TEXT },
		{ "NAMES", "Names", TEXT },
		{ 0 },
	};
	static const struct column volumes[] = {
		{ "VOLUME NAME", "VolumeName", TEXT },
		{ "LINKS", "Links", NUMBER },
		{ "SIZE", "Size", SIZE },
		{ 0 },
	};
	KIST_STR struct kist_str out = { 0 };

	add_table(&out, "Images", member(usage, "Images"), images);
	add_table(&out, "Containers", member(usage, "Containers"), containers);
	add_table(&out, "Local Volumes", member(usage, "Volumes"), volumes);
	return kist_cli_print(&out, err);
}

static int df_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct df_options *o = options;
	KIST_JSON struct json_object *usage = NULL;

	(void)argc;
	(void)argv;
	int r = kist_disk_usage(cli->k, &usage, err);
	if (r < 0)
		return r;
	return o->verbose ? print_verbose(usage, err) : print_totals(o, usage, err);
}

const struct kist_command kist_command_system_df = {
	.name = "df",
	.parent = "system",
	.synopsis = "[options]",
	.summary = "Show what images, containers and volumes take on disk",
	.description = "Shows what the store takes on disk. Layers that images share are counted once.",
	.examples = (const char *const[]){ "system df", "system df -v", NULL },
	.options = (const struct kist_option_set[]){ { df_rows, 0 }, { 0 } },
	.options_size = sizeof(struct df_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.check = df_check,
	.run = df_run,
};

/* --- check ------------------------------------------------------------------------------------------------------ */

struct check_options {
	bool repair, quiet;
};

static const struct kist_option check_rows[] = {
	KIST_OPTION(struct check_options, FLAG, quiet, "quiet", 'q', .help = "Print nothing: the exit code tells"),
	KIST_OPTION(struct check_options, FLAG, repair, "repair", 'r',
	            .help = "Set damaged images and layers aside, so that they can be loaded again"),
	{ 0 },
};

static void add_problem(void *arg, const char *text)
{
	struct kist_str *out = arg;

	kist_escape_add(out, text, strlen(text));
	kist_str_addc(out, '\n');
}

static int check_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct check_options *o = options;
	KIST_STR struct kist_str out = { 0 };

	(void)argc;
	(void)argv;
	int n = kist_store_check(cli->k, o->repair, add_problem, &out, err);
	if (n < 0)
		return n;
	int r = o->quiet ? 0 : kist_cli_print(&out, err);
	return r < 0 ? r : n ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_system_check = {
	.name = "check",
	.parent = "system",
	.synopsis = "[options]",
	.summary = "Compare images and layers with their digests",
	.description = "Reads every file of every layer and compares it with what was recorded when it was stored. "
	               "Prints a line\n"
	               "for each difference, and exits with 125 when there is one.",
	.examples = (const char *const[]){ "system check", "system check --repair", NULL },
	.options = (const struct kist_option_set[]){ { check_rows, 0 }, { 0 } },
	.options_size = sizeof(struct check_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = check_run,
};
