/* kist image inspect. */
#include "cli/image_commands.h"

#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <unistd.h>

const char *const kist_image_maps[] = { "Labels", "Annotations", "ExposedPorts", "Volumes", "Data", NULL };
const struct kist_template_alias kist_image_aliases[] = { { "ID", "Id" }, { 0 } };

struct inspect_options {
	const char *format;
};

static const struct kist_option inspect_rows[] = {
	KIST_OPTION(struct inspect_options, STRING, format, "format", 'f', .metavar = "template", .fallback = "json",
	            .help = "Print by a Go template, or as json"),
	{ 0 },
};

/* All that can be found are printed, and the others complained about. Returns how many are missing. */
static int gather(struct kist_cli *cli, int argc, char **argv, struct json_object *all)
{
	int missing = 0;

	for (int i = 1; i < argc; i++) {
		struct kist_error err = { 0 };
		struct json_object *json = NULL;

		if (kist_image_inspect(cli->k, argv[i], &json, &err) == 0) {
			json_object_array_add(all, json);
		} else {
			kist_complain(cli->program, &err);
			missing++;
		}
	}
	return missing;
}

static int print(const struct kist_format *format, struct json_object *all, struct kist_error *err)
{
	size_t n = json_object_array_length(all);
	KIST_FREE struct json_object **documents = kist_grow(NULL, n + 1, sizeof(*documents));
	KIST_STR struct kist_str out = { 0 };
	struct kist_template_view view = { .maps = kist_image_maps,
		                           .aliases = kist_image_aliases,
		                           .escape = isatty(1) };

	for (size_t i = 0; i < n; i++)
		documents[i] = json_object_array_get_idx(all, i);
	int r = kist_format_run(format, documents, n, &view, false, &out, err);
	return r < 0 ? r : kist_cli_print(&out, err);
}

static int inspect_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;
	KIST_JSON struct json_object *all = json_object_new_array();
	struct kist_format format = { 0 };

	int r = kist_format_parse("inspect", o->format, NULL, &format, err);
	if (r < 0)
		return r;
	int missing = gather(cli, argc, argv, all);
	r = print(&format, all, err);
	kist_format_clear(&format);
	return r < 0 ? r : missing ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_image_inspect = {
	.name = "inspect",
	.parent = "image",
	.synopsis = "[options] IMAGE [IMAGE...]",
	.summary = "Show all that is known about images",
	.examples = (const char *const[]){ "image inspect busybox", "image inspect --format '{{.Config.Cmd}}' busybox",
	                                   NULL },
	.options = (const struct kist_option_set[]){ { inspect_rows, 0 }, { 0 } },
	.options_size = sizeof(struct inspect_options),
	.min_args = 1,
	.max_args = -1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = inspect_run,
};
