/* kist ps. */
#include "cli/columns.h"
#include "cli/select.h"
#include "cli/view_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHORT_ID      12
#define COMMAND_WIDTH 20

struct ps_options {
	bool all, external, latest, no_trunc, noheading, ns, pod, quiet, size, sync;
	char **filter;
	const char *format, *sort;
	int last, watch;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct ps_options, type, member, name, letter, ##__VA_ARGS__)

static const char *const sort_keys[] = { "command",    "created", "id",     "image", "names",
	                                 "runningfor", "size",    "status", NULL };

static const struct kist_option ps_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Show all containers, not just the running ones"),
	ROW(FLAG, external, "external", 0,
	    .help = "Show storage containers too: writable layers whose record is lost or damaged"),
	ROW(LIST, filter, "filter", 'f', .metavar = "key=value",
	    .help = "Show the containers that match: ancestor, before, command, exited, health, id, label, name, "
	            "network, "
	            "pod, restart-policy, should-start-on-boot, since, status, until, volume"),
	ROW(STRING, format, "format", 0, .metavar = "template", .help = "Print by a Go template, or as json"),
	ROW(INT, last, "last", 'n', .fallback = "-1",
	    .help = "Show the n containers created last, whatever their state"),
	ROW(FLAG, latest, "latest", 'l', .help = "Show the container created last, whatever its state"),
	ROW(FLAG, no_trunc, "no-trunc", 0, .help = "Show full ids and commands"),
	ROW(FLAG, noheading, "noheading", 0, .help = "Leave the header row out"),
	ROW(FLAG, ns, "ns", 0, .aliases = (const char *const[]){ "namespace", NULL },
	    .help = "Show the namespaces of each container"),
	ROW(FLAG, pod, "pod", 'p', .help = "Show the pod that each container is in"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Show ids alone"),
	ROW(FLAG, size, "size", 's', .help = "Show the size of the writable layers, and of the images below"),
	ROW(CHOICE, sort, "sort", 0, .choices = sort_keys, .fallback = "created",
	    .help = "Sort by command, created, id, image, names, runningfor, size or status"),
	ROW(FLAG, sync, "sync", 0,
	    .help = "Take each container's lock and look what is true, instead of showing what is recorded"),
	ROW(INT, watch, "watch", 'w', .metavar = "seconds", .fallback = "0",
	    .help = "Show it again and again, with so many seconds between"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct ps_options *o = options;

	(void)argv;
	if (argc > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "ps takes no arguments: --filter name=NAME selects");
	if (o->last >= 0 && o->latest)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--last and --latest exclude each other");
	if (o->quiet && (o->format || o->size || o->ns))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--quiet excludes --format, --size and --ns");
	if (o->ns && (o->size || o->pod))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--ns excludes --size and --pod");
	if (o->watch < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--watch %d: expected seconds", o->watch);
	if (o->watch && o->latest)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--watch and --latest exclude each other");
	return 0;
}

/* --- which, and in what order ---------------------------------------------------------------------------------------
 */

struct item {
	struct kist_container *c;
	uint64_t rw, rootfs;
};

/* Storage containers. */
struct others {
	struct kist_storage_container *list;
	size_t n;
};

static int compare_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int compare_number(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int by_command(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return compare_text(kist_container_config(x->c)->command[0], kist_container_config(y->c)->command[0]);
}

static int by_id(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return compare_text(kist_container_id(x->c), kist_container_id(y->c));
}

static int by_image(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return compare_text(kist_container_config(x->c)->image_name, kist_container_config(y->c)->image_name);
}

static int by_name(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return compare_text(kist_container_name(x->c), kist_container_name(y->c));
}

static int by_started(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return compare_number(kist_container_state(x->c)->started, kist_container_state(y->c)->started);
}

static int by_size(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return compare_number((int64_t)x->rw, (int64_t)y->rw);
}

static int by_status(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int r = compare_text(kist_status_shown((enum kist_status)kist_container_state(x->c)->status),
	                     kist_status_shown((enum kist_status)kist_container_state(y->c)->status));

	return r ? r : by_started(a, b);
}

static void sort(const char *key, struct item *items, size_t n)
{
	static const struct {
		const char *key;
		int (*compare)(const void *a, const void *b);
	} orders[] = {
		{ "command", by_command },    { "id", by_id },     { "image", by_image },   { "names", by_name },
		{ "runningfor", by_started }, { "size", by_size }, { "status", by_status },
	};

	/* The list comes by creation. */
	for (size_t i = 0; i < KIST_COUNT(orders); i++)
		if (kist_streq(orders[i].key, key) && n)
			qsort(items, n, sizeof(*items), orders[i].compare);
}

static bool is_up(const struct kist_container *c)
{
	int status = kist_container_state(c)->status;

	return status == KIST_RUNNING || status == KIST_PAUSED || status == KIST_STOPPING;
}

/* One line for each record that cannot be read: it hides nothing else, and is not hidden. */
static void warn_broken(struct kist_cli *cli, char *const *ids)
{
	for (size_t i = 0; ids && ids[i]; i++) {
		struct kist_container *c = NULL;
		struct kist_error problem = { 0 };

		if (kist_container_open(cli->k, ids[i], &c, &problem) < 0)
			kist_complain(cli->program, &problem);
		kist_container_free(c);
	}
}

static bool is_chosen(struct kist_cli *cli, const struct ps_options *o, const struct kist_filters *filters,
                      struct kist_container *c)
{
	bool all = o->all || o->latest || o->last >= 0 || kist_filters_has(filters, KIST_FILTER_BY_STATUS);

	return (all || is_up(c)) && (!filters->n || kist_container_passes(cli, filters, c));
}

static size_t last_of(const struct ps_options *o)
{
	return o->latest ? 1 : o->last >= 0 ? (size_t)o->last : SIZE_MAX;
}

/* Leaves the chosen ones in items, which borrow from list. */
static void choose(struct kist_cli *cli, const struct ps_options *o, const struct kist_filters *filters,
                   struct kist_container **list, size_t *n, struct item *items)
{
	size_t last = last_of(o), kept = 0;

	for (size_t i = 0; i < *n; i++)
		if (is_chosen(cli, o, filters, list[i]))
			items[kept++].c = list[i];
	if (kept > last) {
		memmove(items, items + (kept - last), last * sizeof(*items));
		kept = last;
	}
	*n = kept;
}

/* --- fields ---------------------------------------------------------------------------------------------------------
 */

static char *command_text(const struct ps_options *o, const struct kist_container_config *config)
{
	KIST_FREE char *whole = kist_strv_join(config->command, " ");

	return o->no_trunc ? kist_steal(&whole) : kist_shorten(whole ? whole : "", COMMAND_WIDTH);
}

static char *size_text(uint64_t rw, uint64_t rootfs)
{
	char own[24], below[24];

	return kist_asprintf("%s (virtual %s)", kist_size_human(own, rw), kist_size_human(below, rootfs));
}

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static struct json_object *joined(struct json_object *list, const char *separator, size_t width)
{
	KIST_STR struct kist_str text = { 0 };
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++)
		kist_str_addf(&text, "%s%s", i ? separator : "",
		              json_object_get_string(json_object_array_get_idx(list, i)));
	KIST_FREE char *shown = width ? kist_shorten(kist_str_get(&text), width) : kist_strdup(kist_str_get(&text));
	return json_object_new_string(shown);
}

static struct json_object *short_id(const struct ps_options *o, struct json_object *id)
{
	const char *text = json_object_get_string(id);
	int n = (int)strlen(text ? text : "");

	return json_object_new_string_len(text ? text : "", o->no_trunc || n < SHORT_ID ? n : SHORT_ID);
}

/* As Go prints a time: 2006-01-02 15:04:05 +0000 UTC. */
static struct json_object *moment(struct json_object *seconds)
{
	char text[40];

	kist_time_format(text, json_object_get_int64(seconds) * KIST_NSEC_PER_SEC, true);
	text[10] = ' ';
	text[19] = '\0';
	KIST_FREE char *shown = kist_asprintf("%s +0000 UTC", text);
	return json_object_new_string(shown);
}

static struct json_object *size_field(struct json_object *size)
{
	if (!size)
		return json_object_new_string("");
	KIST_FREE char *text = size_text(json_object_get_uint64(member(size, "rwSize")),
	                                 json_object_get_uint64(member(size, "rootFsSize")));
	return json_object_new_string(text);
}

static struct json_object *label(struct json_object *labels, struct json_object *key)
{
	struct json_object *value = member(labels, json_object_get_string(key));

	return value ? json_object_get(value) : json_object_new_string("");
}

/* The columns of --ns by the keys of the document. */
static const char *const ns_columns[][2] = {
	{ "CGROUPNS", "Cgroup" }, { "IPC", "Ipc" },     { "MNT", "Mnt" }, { "NET", "Net" },
	{ "PIDNS", "Pidns" },     { "USERNS", "User" }, { "UTS", "Uts" },
};

static struct json_object *ns_field(struct json_object *item, const char *name)
{
	for (size_t i = 0; i < KIST_COUNT(ns_columns); i++)
		if (kist_streq(ns_columns[i][0], name)) {
			struct json_object *value = member(member(item, "Namespaces"), ns_columns[i][1]);
			return value ? json_object_get(value) : json_object_new_string("");
		}
	return NULL;
}

/* "0.0.0.0:8080->80/tcp, 0.0.0.0:9000-9009->9000-9009/udp" */
static struct json_object *ports_field(struct json_object *ports)
{
	KIST_STR struct kist_str out = { 0 };

	for (size_t i = 0; ports && i < json_object_array_length(ports); i++) {
		struct json_object *port = json_object_array_get_idx(ports, i);
		const char *host = json_object_get_string(member(port, "host_ip"));
		int first = json_object_get_int(member(port, "host_port")),
		    inner = json_object_get_int(member(port, "container_port"));
		int range = json_object_get_int(member(port, "range"));
		kist_str_addf(&out, "%s%s:%d", i ? ", " : "", kist_empty(host) ? "0.0.0.0" : host, first);
		if (range > 1)
			kist_str_addf(&out, "-%d->%d-%d", first + range - 1, inner, inner + range - 1);
		else
			kist_str_addf(&out, "->%d", inner);
		kist_str_addf(&out, "/%s", json_object_get_string(member(port, "protocol")));
	}
	return json_object_new_string(kist_str_get(&out));
}

/* What templates see differs from the JSON: texts for people. */
static int field(void *context, struct json_object *item, const char *name, struct json_object *const *args,
                 size_t n_args, struct json_object **out, struct kist_error *err)
{
	const struct ps_options *o = context;

	if (!json_object_is_type(member(item, "Names"), json_type_array))
		return 0;
	if (kist_streq(name, "Label")) {
		if (n_args != 1)
			return kist_fail(err, KIST_ERR_INVALID, 0, "Label takes one argument: {{.Label \"key\"}}");
		*out = label(member(item, "Labels"), args[0]);
	} else if (kist_streq(name, "ID")) {
		*out = short_id(o, member(item, "Id"));
	} else if (kist_streq(name, "ImageID")) {
		*out = short_id(o, member(item, "ImageID"));
	} else if (kist_streq(name, "Command")) {
		*out = joined(member(item, "Command"), " ", o->no_trunc ? 0 : COMMAND_WIDTH);
	} else if (kist_streq(name, "Names") || kist_streq(name, "Networks")) {
		*out = joined(member(item, name), ",", 0);
	} else if (kist_streq(name, "CreatedAt") || kist_streq(name, "Created")) {
		*out = moment(member(item, "Created"));
	} else if (kist_streq(name, "RunningFor") || kist_streq(name, "CreatedHuman")) {
		*out = json_object_get(member(item, "CreatedAt"));
	} else if (kist_streq(name, "Ports")) {
		*out = ports_field(member(item, "Ports"));
	} else if (kist_streq(name, "Size")) {
		*out = size_field(member(item, "Size"));
	} else {
		*out = ns_field(item, name);
		return *out ? 1 : 0;
	}
	return 1;
}

static struct kist_template_view format_view(const struct ps_options *o)
{
	return (struct kist_template_view){
		.maps = kist_container_maps, .field = field, .context = (void *)(uintptr_t)o, .escape = isatty(1)
	};
}

static bool is_sized(const struct ps_options *o, const struct kist_format *format)
{
	return o->size || (format->template && kist_template_uses(format->template, "Size"));
}

static const struct kist_header headers[] = {
	{ "ID", "CONTAINER ID" },
	{ "Image", "IMAGE" },
	{ "Command", "COMMAND" },
	{ "RunningFor", "CREATED" },
	{ "Status", "STATUS" },
	{ "Names", "NAMES" },
	{ "Ports", "PORTS" },
	{ "Size", "SIZE" },
	{ "ImageID", "IMAGE ID" },
	{ "Pid", "PID" },
	{ "CreatedHuman", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ "CGROUPNS", "CGROUPNS" },
	{ "IPC", "IPC" },
	{ "MNT", "MNT" },
	{ "NET", "NET" },
	{ "PIDNS", "PIDNS" },
	{ "USERNS", "USERNS" },
	{ "UTS", "UTS" },
	{ 0 },
};

/* --- forms ----------------------------------------------------------------------------------------------------------
 */

static void add_pod(struct kist_cli *cli, struct kist_columns *columns, const struct ps_options *o,
                    const struct kist_container_config *config)
{
	struct kist_pod *pod = NULL;

	if (config->pod)
		kist_pod_open(cli->k, config->pod, &pod, NULL);
	kist_columns_cellf(columns, "%.*s", o->no_trunc ? 64 : SHORT_ID, config->pod ? config->pod : "");
	kist_columns_cell(columns, pod ? kist_pod_name(pod) : "");
	kist_pod_free(pod);
}

/* The usual table comes from the records, without a document for each: it is the one that people have thousands of
 * containers for. */
static void add_row(struct kist_cli *cli, struct kist_columns *columns, const struct ps_options *o,
                    const struct item *item)
{
	const struct kist_container_config *config = kist_container_config(item->c);
	KIST_FREE char *command = command_text(o, config);
	KIST_FREE char *status = kist_container_status_text(item->c);
	char ago[40];

	kist_columns_cellf(columns, "%.*s", o->no_trunc ? 64 : SHORT_ID, config->id);
	/* An infra container has none; an empty column would shift the others for who cuts at spaces. */
	kist_columns_cell(columns, config->image_name ? config->image_name : "<none>");
	kist_columns_cell(columns, command);
	kist_columns_cellf(columns, "%s ago", kist_time_human(ago, kist_now_wall() - config->created));
	kist_columns_cell(columns, status);
	if (kist_container_state(item->c)->n_ports) {
		struct json_object *document = NULL;
		if (kist_container_summary(item->c, false, &document, NULL) == 0) {
			struct json_object *ports = ports_field(member(document, "Ports"));
			kist_columns_cell(columns, json_object_get_string(ports));
			json_object_put(ports);
			json_object_put(document);
		} else {
			kist_columns_cell(columns, "");
		}
	} else {
		kist_columns_cell(columns, "");
	}
	kist_columns_cell(columns, config->name);
	if (o->pod)
		add_pod(cli, columns, o, config);
	if (o->size) {
		KIST_FREE char *size = size_text(item->rw, item->rootfs);
		kist_columns_cell(columns, size);
	}
	kist_columns_end(columns);
}

/* What is left of them; podman calls command and status of its kind so. */
static void add_storage_row(struct kist_columns *columns, const struct ps_options *o,
                            const struct kist_storage_container *storage)
{
	char ago[40];

	kist_columns_cellf(columns, "%.*s", o->no_trunc ? 64 : SHORT_ID, storage->id);
	kist_columns_cell(columns, storage->image ? storage->image : "<none>");
	kist_columns_cell(columns, "storage");
	kist_columns_cellf(columns, "%s ago", kist_time_human(ago, kist_now_wall() - storage->changed));
	kist_columns_cell(columns, "storage");
	kist_columns_cell(columns, "");
	kist_columns_cell(columns, storage->name ? storage->name : "");
	for (int i = 0; i < (o->pod ? 2 : 0) + o->size; i++)
		kist_columns_cell(columns, "");
	kist_columns_end(columns);
}

static struct json_object *storage_document(const struct kist_storage_container *storage)
{
	struct json_object *item = json_object_new_object(), *names = json_object_new_array(),
	                   *command = json_object_new_array();
	char ago[40];
	KIST_FREE char *created = kist_asprintf("%s ago", kist_time_human(ago, kist_now_wall() - storage->changed));
	const struct {
		const char *key, *text;
	} texts[] = {
		{ "CreatedAt", created }, { "Id", storage->id }, { "Image", storage->image }, { "ImageID", NULL },
		{ "Pod", NULL },          { "PodName", NULL },   { "State", "storage" },      { "Status", "storage" },
	};
	static const char *const empty[] = { "ExposedPorts", "Labels", "Mounts", "Namespaces",
		                             "Networks",     "Ports",  "Size" };

	json_object_array_add(command, json_object_new_string("storage"));
	if (storage->name)
		json_object_array_add(names, json_object_new_string(storage->name));
	json_object_object_add(item, "Command", command);
	json_object_object_add(item, "Names", names);
	for (size_t i = 0; i < KIST_COUNT(texts); i++)
		json_object_object_add(item, texts[i].key, json_object_new_string(texts[i].text ? texts[i].text : ""));
	for (size_t i = 0; i < KIST_COUNT(empty); i++)
		json_object_object_add(item, empty[i], NULL);
	json_object_object_add(item, "Created", json_object_new_int64(storage->changed / KIST_NSEC_PER_SEC));
	return item;
}

static void add_titles(struct kist_columns *columns, const struct ps_options *o)
{
	static const char *const titles[] = {
		"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"
	};

	for (size_t i = 0; i < KIST_COUNT(titles); i++)
		kist_columns_cell(columns, titles[i]);
	if (o->pod) {
		kist_columns_cell(columns, "POD ID");
		kist_columns_cell(columns, "PODNAME");
	}
	if (o->size)
		kist_columns_cell(columns, "SIZE");
	kist_columns_end(columns);
}

static int print_table(struct kist_cli *cli, const struct ps_options *o, const struct item *items, size_t n,
                       const struct others *others, struct kist_error *err)
{
	KIST_COLUMNS struct kist_columns columns = { 0 };
	KIST_STR struct kist_str out = { 0 };

	if (!o->noheading)
		add_titles(&columns, o);
	for (size_t i = 0; i < n; i++)
		add_row(cli, &columns, o, &items[i]);
	for (size_t i = 0; i < others->n; i++)
		add_storage_row(&columns, o, &others->list[i]);
	kist_columns_print(&columns, &out);
	return kist_cli_print(&out, err);
}

static int print_ids(const struct ps_options *o, const struct item *items, size_t n, const struct others *others,
                     struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };

	for (size_t i = 0; i < n; i++)
		kist_str_addf(&out, "%.*s\n", o->no_trunc ? 64 : SHORT_ID, kist_container_id(items[i].c));
	for (size_t i = 0; i < others->n; i++)
		kist_str_addf(&out, "%.*s\n", o->no_trunc ? 64 : SHORT_ID, others->list[i].id);
	return kist_cli_print(&out, err);
}

/* --- by creation, as is usual: each row is made as its record is read ----------------------------------------------
 */

enum { WRITTEN_AT_ONCE = 1 << 16 };

struct row {
	int64_t created;
	size_t at, length;
};

struct rows {
	struct kist_cli *cli;
	const struct ps_options *o;
	const struct kist_filters *filters;
	const struct kist_format *format; /* NULL: the usual table, or ids */
	struct kist_template_view view;
	bool sized;
	struct kist_columns made;
	struct row *rows;
	size_t n, room;
	int failed; /* of the first in the order of creation: problem */
	int64_t failed_created;
	struct kist_error problem;
};

static bool is_json(const struct rows *r)
{
	return r->format && r->format->kind == KIST_FORMAT_JSON;
}

/* Of two that were created at once the one that was made first. */
static int row_order(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int r = compare_number(x->created, y->created);

	return r ? r : (x->at > y->at) - (x->at < y->at);
}

static void row_end(struct rows *r, int64_t created, size_t at)
{
	if (r->n == r->room) {
		r->room = r->room ? r->room * 2 : 64;
		r->rows = kist_grow(r->rows, r->room, sizeof(*r->rows));
	}
	r->rows[r->n++] = (struct row){ created, at, r->made.text.len - at };
}

static int add_document(struct rows *r, struct json_object *document, struct kist_error *err)
{
	if (!is_json(r))
		return kist_format_add(r->format, document, &r->view, &r->made.text, err);
	kist_json_item_add(&r->made.text, document);
	return 0;
}

static void add_summary(struct rows *r, struct kist_container *c)
{
	KIST_JSON struct json_object *document = NULL;
	struct kist_error problem = { 0 };
	int64_t created = kist_container_config(c)->created;

	int failed = kist_container_summary(c, r->sized, &document, &problem);
	if (failed == 0)
		failed = add_document(r, document, &problem);
	if (failed == 0 || (r->failed < 0 && created > r->failed_created))
		return;
	r->failed = failed;
	r->failed_created = created;
	r->problem = problem;
}

static void rows_visit(struct kist_container *c, void *arg)
{
	struct rows *r = arg;
	const struct item item = { .c = c };
	size_t at = r->made.text.len;

	if (r->o->sync)
		kist_container_sync(c, NULL);
	if (is_chosen(r->cli, r->o, r->filters, c)) {
		if (r->o->quiet)
			kist_str_addf(&r->made.text, "%.*s\n", r->o->no_trunc ? 64 : SHORT_ID, kist_container_id(c));
		else if (r->format)
			add_summary(r, c);
		else
			add_row(r->cli, &r->made, r->o, &item);
		row_end(r, kist_container_config(c)->created, at);
	}
	kist_container_free(c);
}

static int add_storage_documents(struct rows *r, const struct others *others, struct kist_error *err)
{
	int failed = 0;

	for (size_t i = 0; failed == 0 && i < others->n; i++) {
		KIST_JSON struct json_object *document = storage_document(&others->list[i]);
		size_t at = r->made.text.len;
		failed = add_document(r, document, err);
		row_end(r, 0, at);
	}
	return failed;
}

/* Piece by piece: not all of them twice. */
static int rows_print_json(struct rows *r, size_t first, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };

	if (first < r->n)
		r->made.text.data[r->rows[first].at] = '[';
	for (size_t i = first; i < r->n; i++) {
		kist_str_addn(&out, r->made.text.data + r->rows[i].at, r->rows[i].length);
		if (out.len < WRITTEN_AT_ONCE)
			continue;
		int printed = kist_cli_print(&out, err);
		if (printed < 0)
			return printed;
		kist_str_clear(&out);
	}
	kist_str_add(&out, first < r->n ? "\n]\n" : "[]\n");
	return kist_cli_print(&out, err);
}

/* Of templates the part that was made is shown, as Go's are. */
static int rows_print_formatted(struct rows *r, int failed, struct kist_error *err)
{
	KIST_STR struct kist_str rows = { 0 }, out = { 0 };
	bool table = r->format->kind == KIST_FORMAT_TABLE;

	for (size_t i = 0; i < r->n && !(r->failed < 0 && r->rows[i].created > r->failed_created); i++)
		kist_str_addn(&rows, r->made.text.data + r->rows[i].at, r->rows[i].length);
	if (table)
		kist_format_align(r->format, kist_str_get(&rows), rows.len, r->o->noheading, &out);
	int printed = kist_cli_print(table ? &out : &rows, failed < 0 ? NULL : err);
	return failed < 0 ? failed : printed;
}

static int rows_print(struct rows *r, const struct others *others, struct kist_error *err)
{
	KIST_COLUMNS struct kist_columns columns = { 0 };
	KIST_STR struct kist_str out = { 0 };
	size_t last = last_of(r->o), first = r->n > last ? r->n - last : 0;

	if (r->n)
		qsort(r->rows, r->n, sizeof(*r->rows), row_order);
	if (r->format) {
		int failed = r->failed < 0 ? r->failed : add_storage_documents(r, others, err);
		return is_json(r) ? rows_print_json(r, first, err) : rows_print_formatted(r, failed, err);
	}
	if (!r->o->quiet && !r->o->noheading)
		add_titles(&columns, r->o);
	for (size_t i = first; i < r->n; i++)
		kist_str_addn(&columns.text, r->made.text.data + r->rows[i].at, r->rows[i].length);
	for (size_t i = 0; i < others->n; i++)
		if (r->o->quiet)
			kist_str_addf(&columns.text, "%.*s\n", r->o->no_trunc ? 64 : SHORT_ID, others->list[i].id);
		else
			add_storage_row(&columns, r->o, &others->list[i]);
	if (r->o->quiet)
		return kist_cli_print(&columns.text, err);
	kist_columns_print(&columns, &out);
	return kist_cli_print(&out, err);
}

/* Of formats the last few are chosen first, and then made. */
static bool is_usual(const struct ps_options *o, const struct kist_format *format)
{
	bool formatted = o->format || o->ns;

	if (formatted && format->kind != KIST_FORMAT_JSON && last_of(o) != SIZE_MAX)
		return false;
	return (formatted || !o->size) && kist_streq(o->sort, "created");
}

static int show_rows(struct kist_cli *cli, const struct ps_options *o, const struct kist_filters *filters,
                     const struct kist_format *format, struct kist_error *err)
{
	bool formatted = o->format || o->ns;
	struct rows rows = { .cli = cli,
		             .o = o,
		             .filters = filters,
		             .format = formatted ? format : NULL,
		             .view = format_view(o),
		             .sized = is_sized(o, format) };
	struct others others = { 0 };
	KIST_STRV char **broken = NULL;

	int r = kist_container_walk_brief(cli->k, filters->n > 0 || formatted, rows_visit, &rows, &broken, err);
	if (r == 0 && rows.failed < 0)
		*err = rows.problem;
	/* A list is whole or none. */
	if (r == 0 && is_json(&rows))
		r = rows.failed;
	if (r == 0 && o->external && !filters->n)
		r = kist_storage_container_list(cli->k, &others.list, &others.n, err);
	if (r == 0)
		r = rows_print(&rows, &others, err);
	kist_storage_container_list_free(others.list, others.n);
	kist_columns_free(&rows.made);
	free(rows.rows);
	warn_broken(cli, broken);
	return r;
}

/* --- other forms and orders -----------------------------------------------------------------------------------------
 */

static int print_formatted(const struct ps_options *o, const struct kist_format *format, const struct item *items,
                           size_t n, const struct others *others, struct kist_error *err)
{
	struct kist_template_view view = format_view(o);
	KIST_STR struct kist_str rows = { 0 }, out = { 0 };
	bool sized = is_sized(o, format), json = format->kind == KIST_FORMAT_JSON;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n + others->n; i++) {
		struct json_object *document = NULL;
		if (i < n)
			r = kist_container_summary(items[i].c, sized, &document, err);
		else
			document = storage_document(&others->list[i - n]);
		if (r == 0 && json)
			kist_json_item_add(&rows, document);
		else if (r == 0)
			r = kist_format_add(format, document, &view, &rows, err);
		json_object_put(document);
	}
	if (json && r < 0)
		return r;
	if (json) {
		kist_json_list_end(&rows, 0);
		kist_str_addc(&rows, '\n');
	} else if (format->kind == KIST_FORMAT_TABLE) {
		kist_format_align(format, kist_str_get(&rows), rows.len, o->noheading, &out);
	}
	int printed = kist_cli_print(out.len ? &out : &rows, r < 0 ? NULL : err);
	return r < 0 ? r : printed;
}

#define NS_TABLE                                                                                                       \
	"table "                                                                                                       \
	"{{.ID}}\t{{.Names}}\t{{.Pid}}\t{{.CGROUPNS}}\t{{.IPC}}\t{{.MNT}}\t{{.NET}}\t{{.PIDNS}}\t{{.USERNS}}\t{{.UTS}" \
	"}"

static int print(struct kist_cli *cli, const struct ps_options *o, const struct kist_format *format, struct item *items,
                 size_t n, const struct others *others, struct kist_error *err)
{
	bool sized = kist_streq(o->sort, "size") || (o->size && !o->format);

	for (size_t i = 0; sized && i < n; i++) {
		int r = kist_container_size(items[i].c, &items[i].rw, &items[i].rootfs, err);
		if (r < 0)
			return r;
	}
	sort(o->sort, items, n);
	if (o->quiet)
		return print_ids(o, items, n, others, err);
	if (o->format || o->ns)
		return print_formatted(o, format, items, n, others, err);
	return print_table(cli, o, items, n, others, err);
}

/* One that was removed meanwhile is shown as it was. */
static void sync_all(struct kist_container **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_container_sync(list[i], NULL);
}

static int show(struct kist_cli *cli, const struct ps_options *o, const struct kist_filters *filters,
                const struct kist_format *format, struct kist_error *err)
{
	struct kist_container **list = NULL;
	struct others others = { 0 };
	KIST_STRV char **broken = NULL;
	size_t n = 0;

	/* What asks for more of a container, reads it then. */
	int r = kist_container_list_brief(cli->k, filters->n > 0 || o->format || o->ns, &list, &n, &broken, err);
	if (r < 0)
		return r;
	size_t kept = n;
	KIST_FREE struct item *items = kist_alloc((n + 1) * sizeof(*items));
	if (o->sync)
		sync_all(list, n);
	choose(cli, o, filters, list, &kept, items);
	/* Filters ask for what a record says. */
	if (o->external && !filters->n)
		r = kist_storage_container_list(cli->k, &others.list, &others.n, err);
	if (r == 0)
		r = print(cli, o, format, items, kept, &others, err);
	kist_storage_container_list_free(others.list, others.n);
	/* Of thousands that takes a while, and the process ends now. */
	if (o->watch)
		kist_container_list_free(list, n);
	warn_broken(cli, broken);
	return r;
}

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct ps_options *o = options;
	KIST_FILTERS struct kist_filters filters = { 0 };
	struct kist_format format = { 0 };

	(void)argc;
	(void)argv;
	int r = kist_container_filters(cli, o->filter, &filters, err);
	if (r == 0 && (o->format || o->ns))
		r = kist_format_parse("ps", o->format ? o->format : NS_TABLE, headers, &format, err);
	while (r == 0) {
		if (o->watch && isatty(1)) {
			printf("\033[2J\033[1;1H");
			fflush(stdout);
		}
		r = is_usual(o, &format) ? show_rows(cli, o, &filters, &format, err)
		                         : show(cli, o, &filters, &format, err);
		if (!o->watch)
			break;
		if (r == 0) {
			fflush(stdout);
			kist_sleep_ns((int64_t)o->watch * KIST_NSEC_PER_SEC);
		}
	}
	kist_format_clear(&format);
	return r;
}

const struct kist_command kist_command_ps = {
	.name = "ps",
	.parent = "",
	.also_under = "container",
	.aliases = (const struct kist_command_alias[]){ { "container", "ls" }, { "container", "list" }, { 0 } },
	.synopsis = "[options]",
	.summary = "List containers",
	.description = "Lists the running containers, or with --all every one, in the order of their creation.",
	.examples = (const char *const[]){ "ps -a", "ps --filter label=tier=web --format '{{.Names}} {{.Status}}'",
	                                   "ps -a --size --sort names", NULL },
	.options = (const struct kist_option_set[]){ { ps_rows, 0 }, { 0 } },
	.options_size = sizeof(struct ps_options),
	.min_args = 0,
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = run,
	.check = check,
};
