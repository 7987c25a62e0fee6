/* kist diff, container diff, image diff. */
#include "cli/archive_commands.h"
#include "cli/columns.h"

#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

struct diff_options {
	const char *format;
	bool latest;
};

static const struct kist_option diff_rows[] = {
	KIST_OPTION(struct diff_options, STRING, format, "format", 0, .metavar = "json",
	            .choices = (const char *const[]){ "json", NULL }, .help = "Print as json"),
	{ 0 },
};

static const struct kist_option latest_rows[] = {
	KIST_OPTION(struct diff_options, FLAG, latest, "latest", 'l', .help = "The container that was created last"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct diff_options *o = options;

	(void)argv;
	if (o->format && !kist_streq(o->format, "json"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "format '%s': expected json", o->format);
	if (o->latest ? argc > 1 : argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 o->latest ? "--latest and names exclude each other" : "name a container or an image");
	return 0;
}

struct changes {
	struct kist_str text;
	struct json_object *json; /* NULL: as lines */
};

static int add(void *arg, char kind, const char *path)
{
	struct changes *changes = arg;
	const char *key = kind == 'A' ? "added" : kind == 'C' ? "changed" : "deleted";
	struct json_object *list = NULL;

	if (!changes->json) {
		kist_str_addf(&changes->text, "%c ", kind);
		kist_escape_add(&changes->text, path, strlen(path));
		kist_str_addc(&changes->text, '\n');
		return 0;
	}
	if (!json_object_object_get_ex(changes->json, key, &list)) {
		list = json_object_new_array();
		json_object_object_add(changes->json, key, list);
	}
	json_object_array_add(list, json_object_new_string(path));
	return 0;
}

static int print(struct changes *changes, int r, struct kist_error *err)
{
	if (r == 0)
		r = changes->json ? kist_cli_print_json(changes->json, err) : kist_cli_print(&changes->text, err);
	kist_str_free(&changes->text);
	json_object_put(changes->json);
	return r;
}

static int container_changes(struct kist_cli *cli, const struct diff_options *o, const char *name,
                             struct changes *changes, struct kist_error *err)
{
	struct kist_container *c = NULL;

	int r = o->latest ? kist_container_latest(cli->k, &c, err) : kist_container_open(cli->k, name, &c, err);
	if (r == 0)
		r = kist_container_changes(c, add, changes, err);
	kist_container_free(c);
	return r;
}

static int container_diff_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct diff_options *o = options;
	struct changes changes = { .json = o->format ? json_object_new_object() : NULL };

	(void)argc;
	return print(&changes, container_changes(cli, o, argv[1], &changes, err), err);
}

static int image_diff_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct diff_options *o = options;
	struct changes changes = { .json = o->format ? json_object_new_object() : NULL };

	return print(&changes, kist_image_changes(cli->k, argv[1], argc > 2 ? argv[2] : NULL, add, &changes, err), err);
}

/* A container, or else an image. */
static int diff_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct diff_options *o = options;
	struct changes changes = { .json = o->format ? json_object_new_object() : NULL };
	struct kist_error problem = { 0 };

	int r = argc > 2 ? -ENOENT : container_changes(cli, o, argv[1], &changes, &problem);
	if (argc > 2 || (r < 0 && problem.kind == KIST_ERR_NOT_FOUND && !o->latest))
		r = kist_image_changes(cli->k, argv[1], argc > 2 ? argv[2] : NULL, add, &changes, err);
	else if (r < 0)
		*err = problem;
	return print(&changes, r, err);
}

#define DIFF_DESCRIPTION                                                                                               \
	"Each line is A (added), C (changed) or D (deleted) and a path. A directory is changed when something in it "  \
	"is."

const struct kist_command kist_command_diff = {
	.name = "diff",
	.parent = "",
	.synopsis = "[options] CONTAINER|IMAGE [IMAGE]",
	.summary = "Show what a container changed in its image, or an image's top layer in those below",
	.description = DIFF_DESCRIPTION,
	.examples = (const char *const[]){ "diff web", "diff --format json web", NULL },
	.options = (const struct kist_option_set[]){ { diff_rows, 0 }, { latest_rows, 0 }, { 0 } },
	.options_size = sizeof(struct diff_options),
	.max_args = 2,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = diff_run,
};

const struct kist_command kist_command_container_diff = {
	.name = "diff",
	.parent = "container",
	.synopsis = "[options] CONTAINER",
	.summary = "Show what a container changed in its image",
	.description = DIFF_DESCRIPTION,
	.examples = (const char *const[]){ "container diff web", NULL },
	.options = (const struct kist_option_set[]){ { diff_rows, 0 }, { latest_rows, 0 }, { 0 } },
	.options_size = sizeof(struct diff_options),
	.max_args = 1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = container_diff_run,
};

const struct kist_command kist_command_image_diff = {
	.name = "diff",
	.parent = "image",
	.synopsis = "[options] IMAGE [IMAGE]",
	.summary = "Show what an image's top layer changed in those below",
	.description = DIFF_DESCRIPTION "\nA second image is the one that the first was made from.",
	.examples = (const char *const[]){ "image diff web:configured", NULL },
	.options = (const struct kist_option_set[]){ { diff_rows, 0 }, { 0 } },
	.options_size = sizeof(struct diff_options),
	.max_args = 2,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = image_diff_run,
};
