/* kist images. */
#include "cli/columns.h"
#include "cli/filter.h"
#include "cli/image_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <fnmatch.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHORT_ID 12
#define NONE     "<none>"

struct images_options {
	bool all, digests, history, no_trunc, noheading, quiet;
	char **filter;
	const char *format, *sort;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct images_options, type, member, name, letter, ##__VA_ARGS__)

static const char *const sort_keys[] = { "created", "id", "repository", "size", "tag", NULL };

static const struct kist_option images_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Show all images (as always: there are no intermediate ones to hide)"),
	ROW(FLAG, digests, "digests", 0, .help = "Show digests of manifests"),
	ROW(LIST, filter, "filter", 'f', .metavar = "key=value",
	    .help = "Show the images that match: before, dangling, id, intermediate, label, readonly, reference, "
	            "since, "
	            "until"),
	ROW(STRING, format, "format", 0, .metavar = "template", .help = "Print by a Go template, or as json"),
	ROW(FLAG, history, "history", 0, .help = "Show all names of each image"),
	ROW(FLAG, no_trunc, "no-trunc", 0, .help = "Show full ids"),
	ROW(FLAG, noheading, "noheading", 'n', .help = "Leave the header row out"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Show ids alone"),
	ROW(CHOICE, sort, "sort", 0, .choices = sort_keys, .fallback = "created",
	    .help = "Sort by created, id, repository, size or tag"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct images_options *o = options;

	(void)argv;
	if (argc > 1 && o->filter)
		return kist_fail(err, KIST_ERR_INVALID, 0, "an image and --filter exclude each other");
	if (o->quiet && o->format)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--quiet and --format exclude each other");
	return 0;
}

/* --- which images ----------------------------------------------------------------------------------------------- */

enum { BY_REFERENCE, BY_LABEL, BY_BEFORE, BY_SINCE, BY_UNTIL, BY_DANGLING, BY_ID, BY_INTERMEDIATE, BY_READ_ONLY };

static const struct kist_filter_key filter_keys[] = {
	{ .name = "before", .kind = KIST_FILTER_OBJECT, .id = BY_BEFORE },
	{ .name = "dangling", .kind = KIST_FILTER_BOOL, .id = BY_DANGLING },
	{ .name = "id", .kind = KIST_FILTER_PREFIX, .id = BY_ID },
	{ .name = "intermediate", .kind = KIST_FILTER_BOOL, .id = BY_INTERMEDIATE },
	{ .name = "label", .kind = KIST_FILTER_LABEL, .id = BY_LABEL },
	{ .name = "readonly", .kind = KIST_FILTER_BOOL, .id = BY_READ_ONLY },
	{ .name = "reference", .kind = KIST_FILTER_EXACT, .id = BY_REFERENCE, .negatable = true },
	{ .name = "since", .kind = KIST_FILTER_OBJECT, .id = BY_SINCE },
	{ .name = "until", .kind = KIST_FILTER_UNTIL, .id = BY_UNTIL },
	{ 0 },
};

/* A name and its repository, each whole or from any '/' on, against a pattern whose '*' does not cross a '/'. */
static bool name_matches(const char *name, const char *pattern)
{
	const char *slash = strrchr(name, '/'), *colon = strrchr(slash ? slash : name, ':');
	KIST_FREE char *repository = kist_strndup(name, colon ? (size_t)(colon - name) : strlen(name));

	for (size_t at = 0;; at++) {
		if (fnmatch(pattern, name + at, FNM_PATHNAME) == 0 ||
		    fnmatch(pattern, repository + at, FNM_PATHNAME) == 0)
			return true;
		const char *next = strchr(repository + at, '/');
		if (!next)
			return false;
		at = (size_t)(next - repository);
	}
}

static bool any_name_matches(const struct kist_image *image, const char *pattern)
{
	for (char **name = image->names; name && *name; name++)
		if (name_matches(*name, pattern))
			return true;
	return false;
}

static const char *bare_id(const char *text)
{
	return kist_has_prefix(text, "sha256:") ? text + strlen("sha256:") : text;
}

/* The images that 'before' and 'since' name, by the filter's place. */
struct resolved {
	int64_t *created;
	const struct kist_filters *filters;
	char **parents; /* ids of those that another one has all layers of, and more */
};

static bool match(const struct kist_filter *filter, const void *object, void *context)
{
	const struct kist_image *image = object;
	const struct resolved *resolved = context;
	size_t at = (size_t)(filter - resolved->filters->items);

	switch (filter->key->id) {
	case BY_REFERENCE:
		return any_name_matches(image, filter->value);
	case BY_LABEL:
		return kist_filter_labels(filter, image->config.labels);
	case BY_BEFORE:
		return image->created < resolved->created[at];
	case BY_SINCE:
		return image->created > resolved->created[at];
	case BY_UNTIL:
		return kist_filter_time(filter, image->created);
	case BY_DANGLING:
		return kist_filter_number(filter, !image->names && !image->repo_digests);
	case BY_INTERMEDIATE:
		return kist_filter_number(filter, !image->names && kist_strv_has(resolved->parents, image->id));
	case BY_READ_ONLY:
		return kist_filter_number(filter, image->read_only);
	default:
		return strncasecmp(image->id, bare_id(filter->value), strlen(bare_id(filter->value))) == 0;
	}
}

static int resolve(struct kist_cli *cli, const struct kist_filters *filters, int64_t *created, struct kist_error *err)
{
	for (size_t i = 0; i < filters->n; i++) {
		const struct kist_filter *f = &filters->items[i];
		struct kist_image *image = NULL;

		if (f->key->kind != KIST_FILTER_OBJECT)
			continue;
		int r = kist_image_open(cli->k, f->value, &image, err);
		if (r < 0)
			return kist_context(err, "filter '%s'", f->key->name);
		created[i] = image->created;
		kist_image_free(image);
	}
	return 0;
}

struct images {
	struct kist_image **items;
	size_t n;
};

static void images_clear(struct images *images)
{
	for (size_t i = 0; i < images->n; i++)
		kist_image_free(images->items[i]);
	free(images->items);
}
#define IMAGES __attribute__((cleanup(images_clear)))

static void keep(struct images *images, size_t at, size_t *kept, bool good)
{
	if (good)
		images->items[(*kept)++] = images->items[at];
	else
		kist_image_free(images->items[at]);
}

static bool is_below(const struct kist_image *image, const struct kist_image *other)
{
	size_t n = kist_strv_len(image->layers), more = kist_strv_len(other->layers);

	if (n == 0 || more <= n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!kist_streq(image->layers[i], other->layers[more - n + i]))
			return false;
	return true;
}

static char **parents_of(const struct images *images)
{
	char **ids = NULL;

	for (size_t i = 0; i < images->n; i++)
		for (size_t j = 0; j < images->n; j++)
			if (is_below(images->items[i], images->items[j])) {
				kist_strv_add(&ids, images->items[i]->id);
				break;
			}
	return ids;
}

static int select_images(struct kist_cli *cli, const struct images_options *o, const char *word, struct images *images,
                         struct kist_error *err)
{
	KIST_FILTERS struct kist_filters filters = { 0 };
	size_t kept = 0;

	int r = kist_filters_parse(o->filter, filter_keys, &filters, err);
	if (r < 0)
		return r;
	KIST_FREE int64_t *created = kist_grow(NULL, filters.n + 1, sizeof(*created));
	struct resolved resolved = { created, &filters, NULL };
	r = resolve(cli, &filters, created, err);
	if (r == 0)
		r = kist_image_list(cli->k, &images->items, &images->n, err);
	if (r < 0)
		return r;
	KIST_STRV char **parents = filters.n ? parents_of(images) : NULL;
	resolved.parents = parents;
	for (size_t i = 0; i < images->n; i++) {
		const struct kist_image *image = images->items[i];
		bool good = kist_filters_match(&filters, match, image, &resolved);

		if (word)
			good = any_name_matches(image, word) || kist_has_prefix(image->id, bare_id(word));
		keep(images, i, &kept, good);
	}
	images->n = kept;
	return 0;
}

/* --- rows: one for each name ------------------------------------------------------------------------------------ */

struct row {
	const struct kist_image *image;
	char *repository, *tag;
};

struct rows {
	struct row *items;
	size_t n;
};

static void rows_clear(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		free(rows->items[i].repository);
		free(rows->items[i].tag);
	}
	free(rows->items);
}
#define ROWS __attribute__((cleanup(rows_clear)))

static void rows_add(struct rows *rows, const struct kist_image *image, const char *name)
{
	const char *slash = name ? strrchr(name, '/') : NULL;
	const char *colon = name ? strrchr(slash ? slash : name, ':') : NULL;

	rows->items = kist_grow(rows->items, rows->n + 1, sizeof(*rows->items));
	rows->items[rows->n++] = (struct row){
		.image = image,
		.repository = colon ? kist_strndup(name, (size_t)(colon - name)) : kist_strdup(NONE),
		.tag = kist_strdup(colon ? colon + 1 : NONE),
	};
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->image->id, ((const struct row *)b)->image->id);
}

static int by_repository(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = strcmp(x->repository, y->repository);

	return order ? order : strcmp(x->tag, y->tag);
}

static int by_tag(const void *a, const void *b)
{
	int order = strcmp(((const struct row *)a)->tag, ((const struct row *)b)->tag);

	return order ? order : by_repository(a, b);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = ((const struct row *)a)->image->size, y = ((const struct row *)b)->image->size;

	return x != y ? (x < y ? -1 : 1) : by_repository(a, b);
}

static void rows_make(const struct images *images, const char *sort, struct rows *rows)
{
	static const struct {
		const char *key;
		int (*compare)(const void *, const void *);
	} orders[] = { { "id", by_id }, { "repository", by_repository }, { "size", by_size }, { "tag", by_tag } };

	for (size_t i = 0; i < images->n; i++) {
		const struct kist_image *image = images->items[i];

		for (char **name = image->names; name && *name; name++)
			rows_add(rows, image, *name);
		if (!image->names)
			rows_add(rows, image, NULL);
	}
	/* 'created' is the engine's own order. */
	for (size_t i = 0; i < KIST_COUNT(orders); i++)
		if (rows->n && kist_streq(sort, orders[i].key))
			qsort(rows->items, rows->n, sizeof(*rows->items), orders[i].compare);
}

/* --- documents -------------------------------------------------------------------------------------------------- */

static void add_text(struct json_object *json, const char *key, const char *text)
{
	json_object_object_add(json, key, text ? json_object_new_string(text) : NULL);
}

static struct json_object *strings(char *const *items)
{
	struct json_object *array = json_object_new_array();

	for (; items && *items; items++)
		json_object_array_add(array, json_object_new_string(*items));
	return array;
}

static struct json_object *repo_digests(const struct kist_image *image)
{
	KIST_STRV char **list = kist_image_repo_digests(image);

	return strings(list);
}

static struct json_object *labels(const struct kist_image *image)
{
	struct json_object *json = NULL;

	for (char **label = image->config.labels; label && *label; label++) {
		const char *equals = strchr(*label, '=');
		KIST_FREE char *key = kist_strndup(*label, (size_t)(equals - *label));

		if (!json)
			json = json_object_new_object();
		json_object_object_add(json, key, json_object_new_string(equals + 1));
	}
	return json;
}

/* Of the table and of templates: sizes and times for people. */
static void size_text(char out[32], uint64_t bytes)
{
	char text[24];

	kist_size_human(text, bytes);
	/* podman parts the unit by a blank, docker does not. */
	size_t digits = strspn(text, "0123456789.");
	snprintf(out, 32, "%.*s %s", (int)digits, text, text + digits);
}

static void ago_text(char out[64], int64_t created)
{
	char text[40];
	int64_t age = kist_now_wall() - created;

	/* A clock that was wrong at import: not the future, please. */
	snprintf(out, 64, "%s ago", kist_time_human(text, age > 0 ? age : 0));
}

/* As Go prints a time: 2026-01-02 03:04:05 +0000 UTC; or RFC 3339 for JSON. Whole seconds. */
static void time_text(char out[40], int64_t created, bool json)
{
	char text[40];

	kist_time_format(text, created, true);
	snprintf(out, 40, "%.10s%c%.8s%s", text, json ? 'T' : ' ', text + 11, json ? "Z" : " +0000 UTC");
}

/* What of an image is not in it: how many containers are made of it, and of which image it is made. Empty where a
 * template asks for neither. */
struct usage {
	struct kist_container **list;
	size_t n;
	struct kist_image **images; /* all of the store */
	size_t n_images;
};

static int usage_read(struct kist *k, const struct kist_format *format, struct usage *usage, struct kist_error *err)
{
	bool whole = format->kind == KIST_FORMAT_JSON || kist_template_uses(format->template, ".");
	bool counts = whole || kist_template_uses(format->template, "Containers");
	bool parents = whole || kist_template_uses(format->template, "ParentId");
	int r = 0;

	/* The one field that costs as much as there are containers. */
	if (counts)
		r = kist_container_list(k, &usage->list, &usage->n, NULL, err);
	if (r == 0 && parents)
		r = kist_image_list(k, &usage->images, &usage->n_images, err);
	return r;
}

static void usage_clear(struct usage *usage)
{
	kist_container_list_free(usage->list, usage->n);
	kist_image_list_free(usage->images, usage->n_images);
}

static int64_t containers_of(const struct usage *usage, const char *id)
{
	int64_t count = 0;

	for (size_t i = 0; i < usage->n; i++)
		count += kist_streq(kist_container_config(usage->list[i])->image, id);
	return count;
}

static void add_common(struct json_object *json, const struct kist_image *image, const struct usage *usage)
{
	const struct kist_image *parent = kist_image_parent(image, usage->images, usage->n_images);

	add_text(json, "Id", image->id);
	add_text(json, "ParentId", parent ? parent->id : "");
	json_object_object_add(json, "RepoTags", strings(image->names));
	json_object_object_add(json, "RepoDigests", repo_digests(image));
	json_object_object_add(json, "SharedSize", json_object_new_int(0));
	json_object_object_add(json, "VirtualSize", json_object_new_uint64(image->size));
	json_object_object_add(json, "Containers", json_object_new_int64(containers_of(usage, image->id)));
	json_object_object_add(json, "Names", strings(image->names));
	json_object_object_add(json, "Dangling", json_object_new_boolean(!image->names && !image->repo_digests));
	add_text(json, "Digest", image->digest);
}

static struct json_object *image_document(const struct kist_image *image, const struct usage *usage)
{
	struct json_object *json = json_object_new_object();
	char time[40];

	add_common(json, image, usage);
	json_object_object_add(json, "Labels", labels(image));
	json_object_object_add(json, "History", strings(image->names));
	json_object_object_add(json, "Size", json_object_new_uint64(image->size));
	json_object_object_add(json, "Created", json_object_new_int64(image->created / KIST_NSEC_PER_SEC));
	time_text(time, image->created, true);
	add_text(json, "CreatedAt", time);
	return json;
}

static char *shown_id(const struct kist_image *image, bool full)
{
	return full ? kist_asprintf("sha256:%s", image->id) : kist_strndup(image->id, SHORT_ID);
}

static struct json_object *row_document(const struct row *row, bool full, const struct usage *usage)
{
	struct json_object *json = json_object_new_object();
	KIST_FREE char *id = shown_id(row->image, full);
	char ago[64], size[32], time[40];

	ago_text(ago, row->image->created);
	size_text(size, row->image->size);
	time_text(time, row->image->created, false);
	add_text(json, "ID", id);
	add_text(json, "Repository", row->repository);
	add_text(json, "Tag", row->tag);
	add_text(json, "Created", ago);
	add_text(json, "CreatedSince", ago);
	add_text(json, "CreatedAt", time);
	add_text(json, "CreatedTime", time);
	add_text(json, "Size", size);
	/* Go prints a map that is nil as an empty one. */
	struct json_object *map = labels(row->image);
	json_object_object_add(json, "Labels", map ? map : json_object_new_object());
	KIST_FREE char *history = kist_strv_join(row->image->names, ", ");
	add_text(json, "History", history);
	json_object_object_add(json, "ReadOnly", json_object_new_boolean(row->image->read_only));
	add_common(json, row->image, usage);
	return json;
}

/* --- printing --------------------------------------------------------------------------------------------------- */

static const struct kist_header headers[] = {
	{ "ID", "IMAGE ID" }, { "Id", "IMAGE ID" }, { "CreatedSince", "CREATED" }, { "ReadOnly", "R/O" }, { 0 },
};

static int print_quiet(const struct images_options *o, const struct rows *rows, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };

	for (size_t i = 0; i < rows->n; i++) {
		KIST_FREE char *id = shown_id(rows->items[i].image, o->no_trunc);
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = rows->items[j].image == rows->items[i].image;
		if (!seen)
			kist_str_addf(&out, "%s\n", id);
	}
	return kist_cli_print(&out, err);
}

static struct json_object *make_documents(const struct images_options *o, const struct kist_format *format,
                                          const struct images *images, const struct rows *rows,
                                          const struct usage *usage)
{
	struct json_object *all = json_object_new_array();

	if (format->kind == KIST_FORMAT_JSON)
		for (size_t i = 0; i < images->n; i++)
			json_object_array_add(all, image_document(images->items[i], usage));
	else
		for (size_t i = 0; i < rows->n; i++)
			json_object_array_add(all, row_document(&rows->items[i], o->no_trunc, usage));
	return all;
}

static int print_format(struct kist_cli *cli, const struct images_options *o, const struct kist_format *format,
                        const struct images *images, const struct rows *rows, struct kist_error *err)
{
	struct kist_template_view view = { .maps = kist_image_maps,
		                           .aliases = kist_image_aliases,
		                           .escape = isatty(1) };
	KIST_STR struct kist_str out = { 0 };
	struct usage usage = { 0 };

	int r = usage_read(cli->k, format, &usage, err);
	KIST_JSON struct json_object *all = r < 0 ? NULL : make_documents(o, format, images, rows, &usage);
	usage_clear(&usage);
	if (r < 0)
		return r;
	size_t n = json_object_array_length(all);
	KIST_FREE struct json_object **documents = kist_grow(NULL, n + 1, sizeof(*documents));
	for (size_t i = 0; i < n; i++)
		documents[i] = json_object_array_get_idx(all, i);
	r = kist_format_run(format, documents, n, &view, o->noheading, &out, err);
	return r < 0 ? r : kist_cli_print(&out, err);
}

static bool any_read_only(const struct images *images)
{
	for (size_t i = 0; i < images->n; i++)
		if (images->items[i]->read_only)
			return true;
	return false;
}

static int images_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct images_options *o = options;
	IMAGES struct images images = { 0 };
	ROWS struct rows rows = { 0 };
	struct kist_format format = { 0 };

	int r = select_images(cli, o, argc > 1 ? argv[1] : NULL, &images, err);
	if (r < 0)
		return r;
	rows_make(&images, o->sort, &rows);
	/* As podman: a further column where there is something to tell apart. */
	KIST_FREE char *text =
	        kist_asprintf("table {{.Repository}}\t{{.Tag}}%s\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}%s%s",
	                      o->digests ? "\t{{.Digest}}" : "", any_read_only(&images) ? "\t{{.ReadOnly}}" : "",
	                      o->history ? "\t{{.History}}" : "");
	if (o->quiet)
		return print_quiet(o, &rows, err);
	r = kist_format_parse("images", o->format ? o->format : text, headers, &format, err);
	if (r < 0)
		return r;
	r = print_format(cli, o, &format, &images, &rows, err);
	kist_format_clear(&format);
	return r;
}

const struct kist_command kist_command_images = {
	.name = "images",
	.parent = "",
	.aliases = (const struct kist_command_alias[]){ { "image", "ls" }, { "image", "list" }, { 0 } },
	.synopsis = "[options] [IMAGE]",
	.summary = "List images",
	.description = "Lists images, the newest first, one line for each name. IMAGE is a name, a pattern, or the "
	               "beginning of an id.",
	.examples = (const char *const[]){ "images", "images --filter reference='debian*' --quiet",
	                                   "images --format 'table {{.Repository}}\\t{{.Tag}}\\t{{.Size}}'", NULL },
	.options = (const struct kist_option_set[]){ { images_rows, 0 }, { 0 } },
	.options_size = sizeof(struct images_options),
	.max_args = 1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = images_run,
};
