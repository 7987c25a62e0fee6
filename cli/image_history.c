/* kist history, kist image tree. */
#include "cli/archive_commands.h"
#include "cli/columns.h"
#include "cli/image_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHORT_ID      12
#define COMMAND_WIDTH 45

struct history_options {
	const char *format;
	bool human, no_trunc, quiet;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct history_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option history_rows[] = {
	ROW(STRING, format, "format", 0, .metavar = "template", .help = "Print by a Go template, or as json"),
	ROW(FLAG, human, "human", 'H', .fallback = "true", .help = "Print sizes and times for people"),
	ROW(FLAG, no_trunc, "no-trunc", 0, .help = "Show full ids and commands"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Show ids alone"),
	{ 0 },
};

static const struct kist_header headers[] = {
	{ "CreatedBy", "CREATED BY" },
	{ "CreatedSince", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ 0 },
};

static const char *text_of(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(json, key, &value) ? json_object_get_string(value) : "";
}

static void set_text(struct json_object *json, const char *key, const char *text)
{
	json_object_object_add(json, key, json_object_new_string(text));
}

static void size_text(char out[32], uint64_t bytes)
{
	char text[24];

	kist_size_human(text, bytes);
	size_t digits = strspn(text, "0123456789.");
	snprintf(out, 32, "%.*s %s", (int)digits, text, text + digits);
}

static struct json_object *row(struct json_object *item, const struct history_options *o)
{
	struct json_object *json = json_object_new_object(), *size = NULL;
	const char *id = text_of(item, "id"), *created = text_of(item, "created");
	KIST_FREE char *shown = o->no_trunc ? kist_strdup(id) : kist_strndup(id, SHORT_ID);
	KIST_FREE char *command = o->no_trunc ? kist_strdup(text_of(item, "CreatedBy"))
	                                      : kist_shorten(text_of(item, "CreatedBy"), COMMAND_WIDTH);
	KIST_FREE char *ago = kist_strdup(created);
	char human[40], bytes[32];
	int64_t when = 0;

	if (o->human && kist_time_parse(created, &when) == 0) {
		int64_t age = kist_now_wall() - when;

		free(ago);
		ago = kist_asprintf("%s ago", kist_time_human(human, age > 0 ? age : 0));
	}
	json_object_object_get_ex(item, "size", &size);
	size_text(bytes, json_object_get_uint64(size));
	if (!o->human)
		snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)json_object_get_uint64(size));
	set_text(json, "ID", shown);
	set_text(json, "Created", ago);
	set_text(json, "CreatedSince", ago);
	set_text(json, "CreatedAt", created);
	set_text(json, "CreatedBy", command);
	set_text(json, "Size", bytes);
	set_text(json, "Comment", text_of(item, "comment"));
	struct json_object *tags = NULL;
	json_object_object_get_ex(item, "tags", &tags);
	json_object_object_add(json, "Tags", json_object_get(tags));
	return json;
}

static int print_rows(struct json_object *rows, const struct kist_format *format, struct kist_error *err)
{
	size_t n = json_object_array_length(rows);
	KIST_FREE struct json_object **documents = kist_grow(NULL, n + 1, sizeof(*documents));
	KIST_STR struct kist_str out = { 0 };
	struct kist_template_view view = { .escape = isatty(1) };

	for (size_t i = 0; i < n; i++)
		documents[i] = json_object_array_get_idx(rows, i);
	int r = kist_format_run(format, documents, n, &view, false, &out, err);
	return r < 0 ? r : kist_cli_print(&out, err);
}

/* podman's JSON has the time twice. */
static void add_whole_seconds(struct json_object *history)
{
	for (size_t i = 0; i < json_object_array_length(history); i++) {
		struct json_object *item = json_object_array_get_idx(history, i);
		char text[40];
		int64_t when = 0;

		if (kist_time_parse(text_of(item, "created"), &when) < 0)
			continue; /* an image may leave it out */
		kist_time_format_shortest(text, when - when % KIST_NSEC_PER_SEC);
		set_text(item, "Created", text);
	}
}

static int history_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct history_options *o = options;
	const char *text =
	        o->quiet ? "{{.ID}}" : "table {{.ID}}\t{{.Created}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
	KIST_JSON struct json_object *history = NULL;
	KIST_JSON struct json_object *rows = NULL;
	struct kist_format format = { 0 };

	(void)argc;
	int r = kist_format_parse("history", o->format ? o->format : text, headers, &format, err);
	if (r < 0)
		return r;
	r = kist_image_history(cli->k, argv[1], &history, err);
	if (r == 0 && format.kind == KIST_FORMAT_JSON) {
		add_whole_seconds(history);
		r = kist_cli_print_json(history, err);
	} else if (r == 0) {
		rows = json_object_new_array();
		for (size_t i = 0; i < json_object_array_length(history); i++)
			json_object_array_add(rows, row(json_object_array_get_idx(history, i), o));
		r = print_rows(rows, &format, err);
	}
	kist_format_clear(&format);
	return r;
}

const struct kist_command kist_command_history = {
	.name = "history",
	.parent = "",
	.also_under = "image",
	.synopsis = "[options] IMAGE",
	.summary = "Show how an image was made",
	.description = "Shows the steps that an image was made by, the newest first, and the size of the layer that "
	               "each added.",
	.examples = (const char *const[]){ "history busybox", "history --format '{{.CreatedBy}}' --no-trunc busybox",
	                                   NULL },
	.options = (const struct kist_option_set[]){ { history_rows, 0 }, { 0 } },
	.options_size = sizeof(struct history_options),
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = history_run,
};

/* --- tree ------------------------------------------------------------------------------------------------------- */

static void names_text(char *const *names, struct kist_str *out)
{
	kist_str_addc(out, '[');
	for (char *const *name = names; name && *name; name++)
		kist_str_addf(out, "%s%s", name == names ? "" : " ", *name);
	kist_str_addc(out, ']');
}

/* The names of the images that end in this very stack of layers. */
static void top_of(struct kist_image *const *images, size_t n, char *const *layers, struct kist_str *out)
{
	for (size_t i = 0; i < n; i++) {
		char *const *a = images[i]->layers, *const *b = layers;

		while (*a && *b && kist_streq(*a, *b)) {
			a++;
			b++;
		}
		if (!*a && !*b && images[i]->names) {
			kist_str_add(out, " Top Layer of: ");
			names_text(images[i]->names, out);
		}
	}
}

static int tree_text(struct kist *k, const struct kist_image *image, struct kist_str *out, struct kist_error *err)
{
	struct kist_image **images = NULL;
	KIST_FREE uint64_t *sizes = NULL;
	char size[24];
	size_t n = 0;

	int r = kist_image_sizes(k, image, &sizes, err);
	if (r == 0)
		r = kist_image_list(k, &images, &n, err);
	if (r < 0)
		return r;
	kist_str_addf(out, "Image ID: %.12s\nTags:     ", image->id);
	names_text(image->names, out);
	kist_str_addf(out, "\nSize:     %s\nImage Layers\n", kist_size_human(size, image->size));
	for (size_t i = kist_strv_len(image->layers); i-- > 0;) {
		kist_str_addf(out, "%s ID: %.12s Size: %7s", i ? "├──" : "└──", image->layers[i],
		              kist_size_human(size, sizes[i]));
		top_of(images, n, image->layers + i, out);
		kist_str_addc(out, '\n');
	}
	for (size_t i = 0; i < n; i++)
		kist_image_free(images[i]);
	free(images);
	return 0;
}

static int tree_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };
	struct kist_image *image = NULL;

	(void)options;
	(void)argc;
	int r = kist_image_open(cli->k, argv[1], &image, err);
	if (r < 0)
		return r;
	r = tree_text(cli->k, image, &out, err);
	kist_image_free(image);
	return r < 0 ? r : kist_cli_print(&out, err);
}

static const struct kist_option tree_rows[] = {
	KIST_OPTION_REFUSED("whatrequires", "each image's own tree tells what it is made of"),
	{ 0 },
};

const struct kist_command kist_command_image_tree = {
	.name = "tree",
	.parent = "image",
	.synopsis = "IMAGE",
	.summary = "Show the layers of an image",
	.description = "Shows the layers of an image from the bottom up, their sizes, and which images end in them.",
	.examples = (const char *const[]){ "image tree busybox", NULL },
	.options = (const struct kist_option_set[]){ { tree_rows, 0 }, { 0 } },
	.options_size = 1,
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = tree_run,
};
