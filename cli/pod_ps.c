/* kist pod ps and inspect. */
#include "cli/columns.h"
#include "cli/pod_commands.h"
#include "cli/view_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHORT_ID 12

struct ps_options {
	bool ctr_ids, ctr_names, ctr_status, latest, namespace, no_trunc, noheading, quiet;
	char **filter;
	const char *format, *sort;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct ps_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option ps_rows[] = {
	ROW(FLAG, ctr_ids, "ctr-ids", 0, .help = "Show the ids of the containers"),
	ROW(FLAG, ctr_names, "ctr-names", 0, .help = "Show the names of the containers"),
	ROW(FLAG, ctr_status, "ctr-status", 0, .help = "Show the states of the containers"),
	ROW(LIST, filter, "filter", 'f', .metavar = "key=value",
	    .help = "Show the pods that match: ctr-ids, ctr-names, ctr-number, ctr-status, id, label, name, network, "
	            "status, until"),
	ROW(STRING, format, "format", 0, .metavar = "template", .help = "Print by a Go template, or as json"),
	ROW(FLAG, latest, "latest", 'l', .help = "Show the pod created last"),
	ROW(FLAG, namespace, "namespace", 0, .aliases = (const char *const[]){ "ns", NULL },
	    .help = "Show the namespaces that are shared"),
	ROW(FLAG, no_trunc, "no-trunc", 0, .help = "Show full ids"),
	ROW(FLAG, noheading, "noheading", 0, .help = "Leave the header row out"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Show ids alone"),
	ROW(CHOICE, sort, "sort", 0, .fallback = "created",
	    .choices = (const char *const[]){ "created", "id", "name", "number", "status", NULL },
	    .help = "Sort by created, id, name, number or status"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct ps_options *o = options;

	(void)argc;
	(void)argv;
	if (o->quiet && (o->format || o->ctr_ids || o->ctr_names || o->ctr_status || o->namespace))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "--quiet excludes --format, --namespace and the columns of containers");
	return 0;
}

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static const char *text_at(struct json_object *object, const char *key)
{
	const char *text = json_object_get_string(member(object, key));

	return text ? text : "";
}

/* --- which, and in what order ---------------------------------------------------------------------------------------
 */

enum { BY_IDS, BY_NAMES, BY_NUMBER, BY_STATES, BY_ID, BY_LABEL, BY_NAME, BY_NETWORK, BY_STATUS, BY_UNTIL };

static const char *const container_states[] = { "created",  "initialized", "running", "paused", "stopped",
	                                        "stopping", "exited",      "unknown", NULL };
static const char *const pod_states[] = { "created", "running", "degraded", "paused", "stopped",
	                                  "exited",  "error",   "dead",     NULL };

static const struct kist_filter_key keys[] = {
	{ .name = "ctr-ids", .kind = KIST_FILTER_REGEX, .id = BY_IDS },
	{ .name = "ctr-names", .kind = KIST_FILTER_REGEX, .id = BY_NAMES },
	{ .name = "ctr-number", .kind = KIST_FILTER_NUMBER, .id = BY_NUMBER },
	{ .name = "ctr-status", .kind = KIST_FILTER_CHOICE, .choices = container_states, .id = BY_STATES },
	{ .name = "id", .kind = KIST_FILTER_REGEX, .id = BY_ID },
	{ .name = "label", .kind = KIST_FILTER_LABEL, .id = BY_LABEL },
	{ .name = "name", .kind = KIST_FILTER_REGEX, .id = BY_NAME },
	{ .name = "network", .kind = KIST_FILTER_EXACT, .id = BY_NETWORK },
	{ .name = "status", .kind = KIST_FILTER_CHOICE, .choices = pod_states, .id = BY_STATUS },
	{ .name = "until", .kind = KIST_FILTER_UNTIL, .id = BY_UNTIL },
	{ 0 },
};

struct item {
	struct kist_pod *pod;
	struct json_object *document;
};

static bool any_container(const struct kist_filter *filter, struct json_object *document, const char *key)
{
	struct json_object *list = member(document, "Containers");

	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (kist_filter_text(filter, text_at(json_object_array_get_idx(list, i), key)))
			return true;
	return false;
}

static bool has_network(const struct kist_filter *filter, struct json_object *document)
{
	struct json_object *list = member(document, "Networks");

	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		if (kist_filter_text(filter, json_object_get_string(json_object_array_get_idx(list, i))))
			return true;
	return false;
}

static bool has_status(const struct kist_filter *filter, const char *status)
{
	KIST_FREE char *lower = kist_strdup(status);

	lower[0] = (char)(lower[0] - 'A' + 'a');
	return kist_filter_text(filter, lower) || (kist_streq(filter->value, "dead") && kist_streq(lower, "error"));
}

static bool match(const struct kist_filter *filter, const void *object, void *context)
{
	const struct item *item = object;
	const struct kist_pod_config *config = kist_pod_config(item->pod);

	(void)context;
	switch (filter->key->id) {
	case BY_IDS:
		return any_container(filter, item->document, "Id");
	case BY_NAMES:
		return any_container(filter, item->document, "Names");
	case BY_NUMBER:
		return kist_filter_number(filter,
		                          (int64_t)json_object_array_length(member(item->document, "Containers")));
	case BY_STATES:
		return any_container(filter, item->document, "Status");
	case BY_ID:
		return kist_filter_text(filter, config->id);
	case BY_LABEL:
		return kist_filter_labels(filter, config->labels);
	case BY_NAME:
		return kist_filter_text(filter, config->name);
	case BY_NETWORK:
		return has_network(filter, item->document);
	case BY_STATUS:
		return has_status(filter, text_at(item->document, "Status"));
	default:
		return kist_filter_time(filter, config->created);
	}
}

static int by_id(const void *a, const void *b)
{
	return strcmp(kist_pod_id(((const struct item *)a)->pod), kist_pod_id(((const struct item *)b)->pod));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(kist_pod_name(((const struct item *)a)->pod), kist_pod_name(((const struct item *)b)->pod));
}

static int by_number(const void *a, const void *b)
{
	size_t x = json_object_array_length(member(((const struct item *)a)->document, "Containers"));
	size_t y = json_object_array_length(member(((const struct item *)b)->document, "Containers"));

	return (x > y) - (x < y);
}

static int by_status(const void *a, const void *b)
{
	return strcmp(text_at(((const struct item *)a)->document, "Status"),
	              text_at(((const struct item *)b)->document, "Status"));
}

static void sort(const char *key, struct item *items, size_t n)
{
	static const struct {
		const char *key;
		int (*compare)(const void *a, const void *b);
	} orders[] = { { "id", by_id }, { "name", by_name }, { "number", by_number }, { "status", by_status } };

	for (size_t i = 0; i < KIST_COUNT(orders); i++)
		if (kist_streq(orders[i].key, key) && n)
			qsort(items, n, sizeof(*items), orders[i].compare);
}

/* --- fields ---------------------------------------------------------------------------------------------------------
 */

static struct json_object *joined(struct json_object *list, const char *key, size_t width)
{
	KIST_STR struct kist_str text = { 0 };

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		const char *part = key ? text_at(item, key) : json_object_get_string(item);
		kist_str_addf(&text, "%s%.*s", i ? "," : "", width ? (int)width : (int)strlen(part), part);
	}
	return json_object_new_string(kist_str_get(&text));
}

static struct json_object *restarts(struct json_object *containers)
{
	int64_t sum = 0;

	for (size_t i = 0; i < json_object_array_length(containers); i++)
		sum += json_object_get_int64(member(json_object_array_get_idx(containers, i), "RestartCount"));
	return json_object_new_int64(sum);
}

static struct json_object *ago(const char *created)
{
	char text[40];
	int64_t wall;

	if (kist_time_parse(created, &wall) < 0)
		return json_object_new_string(created);
	KIST_FREE char *shown = kist_asprintf("%s ago", kist_time_human(text, kist_now_wall() - wall));
	return json_object_new_string(shown);
}

/* What templates see differs from the JSON: texts for people. */
static int field(void *context, struct json_object *item, const char *name, struct json_object *const *args,
                 size_t n_args, struct json_object **out, struct kist_error *err)
{
	const struct ps_options *o = context;
	struct json_object *containers = member(item, "Containers");
	size_t width = o->no_trunc ? 0 : SHORT_ID;

	if (!json_object_is_type(containers, json_type_array))
		return 0;
	if (kist_streq(name, "ID") || kist_streq(name, "Id"))
		*out = json_object_new_string_len(text_at(item, "Id"), o->no_trunc ? 64 : SHORT_ID);
	else if (kist_streq(name, "InfraID") || kist_streq(name, "InfraId"))
		*out = json_object_new_string_len(text_at(item, "InfraId"),
		                                  *text_at(item, "InfraId") ? (o->no_trunc ? 64 : SHORT_ID) : 0);
	else if (kist_streq(name, "NumberOfContainers"))
		*out = json_object_new_int64((int64_t)json_object_array_length(containers));
	else if (kist_streq(name, "ContainerIds"))
		*out = joined(containers, "Id", width);
	else if (kist_streq(name, "ContainerNames"))
		*out = joined(containers, "Names", 0);
	else if (kist_streq(name, "ContainerStatuses"))
		*out = joined(containers, "Status", 0);
	else if (kist_streq(name, "Restarts"))
		*out = restarts(containers);
	else if (kist_streq(name, "Networks"))
		*out = joined(member(item, "Networks"), NULL, 0);
	else if (kist_streq(name, "Created"))
		*out = ago(text_at(item, "Created"));
	else if (kist_streq(name, "Label") && n_args == 1)
		*out = json_object_get(member(member(item, "Labels"), json_object_get_string(args[0])));
	else if (kist_streq(name, "Label"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "Label takes one argument: {{.Label \"key\"}}");
	else
		return 0;
	return 1;
}

static const struct kist_header headers[] = {
	{ "ID", "POD ID" },
	{ "Id", "POD ID" },
	{ "InfraID", "INFRA ID" },
	{ "InfraId", "INFRA ID" },
	{ "NumberOfContainers", "# OF CONTAINERS" },
	{ "ContainerIds", "IDS" },
	{ "ContainerNames", "NAMES" },
	{ "ContainerStatuses", "STATUS" },
	{ "Namespace", "NAMESPACES" },
	{ 0 },
};

static char *usual_format(const struct ps_options *o)
{
	KIST_STR struct kist_str text = { 0 };
	bool containers = o->ctr_ids || o->ctr_names || o->ctr_status;

	kist_str_add(&text, "table {{.ID}}\t{{.Name}}\t{{.Status}}\t{{.Created}}\t{{.InfraID}}");
	if (o->ctr_ids)
		kist_str_add(&text, "\t{{.ContainerIds}}");
	if (o->ctr_names)
		kist_str_add(&text, "\t{{.ContainerNames}}");
	if (o->ctr_status)
		kist_str_add(&text, "\t{{.ContainerStatuses}}");
	if (o->namespace)
		kist_str_add(&text, "\t{{.Cgroup}}\t{{.Namespace}}");
	if (!containers)
		kist_str_add(&text, "\t{{.NumberOfContainers}}");
	return kist_str_take(&text);
}

/* --- forms ----------------------------------------------------------------------------------------------------------
 */

static const char *const maps[] = { "Labels", "PortBindings", NULL };

static int print(const struct ps_options *o, const struct kist_format *format, const struct item *items, size_t n,
                 struct kist_error *err)
{
	struct kist_template_view view = {
		.maps = maps, .field = field, .context = (void *)(uintptr_t)o, .escape = isatty(1)
	};
	KIST_FREE struct json_object **documents = kist_grow(NULL, n + 1, sizeof(*documents));
	KIST_STR struct kist_str out = { 0 };

	for (size_t i = 0; i < n; i++) {
		documents[i] = items[i].document;
		if (o->quiet)
			kist_str_addf(&out, "%.*s\n", o->no_trunc ? 64 : SHORT_ID, kist_pod_id(items[i].pod));
	}
	return o->quiet ? kist_cli_print(&out, err)
	                : kist_cli_print_documents(format, documents, n, &view, o->noheading, err);
}

/* The shared namespaces are no part of podman's document: shown in the table only. */
static void add_shared(const struct kist_pod *pod, struct json_object *document)
{
	KIST_FREE char *shared = kist_strv_join(kist_pod_config(pod)->share, ",");

	json_object_object_add(document, "Namespace", json_object_new_string(shared ? shared : ""));
}

static int gather(const struct ps_options *o, const struct kist_filters *filters, struct kist_pod **list, size_t n,
                  struct item *items, size_t *kept, struct kist_error *err)
{
	for (size_t i = o->latest && n ? n - 1 : 0; i < n; i++) {
		struct kist_error problem = { 0 };
		struct item item = { .pod = list[i] };
		if (kist_pod_summary(list[i], &item.document, &problem) < 0) {
			if (problem.kind == KIST_ERR_REMOVED || problem.kind == KIST_ERR_NOT_FOUND)
				continue;
			*err = problem;
			return -EIO;
		}
		if (o->namespace)
			add_shared(list[i], item.document);
		if (kist_filters_match(filters, match, &item, NULL))
			items[(*kept)++] = item;
		else
			json_object_put(item.document);
	}
	return 0;
}

/* Documents have names: one that is meant by its id is looked up. */
static void name_networks(struct kist_cli *cli, struct kist_filters *filters)
{
	for (size_t i = 0; i < filters->n; i++) {
		char *name = NULL;
		if (filters->items[i].key->id != BY_NETWORK ||
		    kist_network_find(cli->k, filters->items[i].value, &name, NULL) < 0)
			continue;
		free(filters->items[i].value);
		filters->items[i].value = name;
	}
}

static void warn_broken(struct kist_cli *cli, char *const *ids)
{
	for (size_t i = 0; ids && ids[i]; i++) {
		struct kist_error problem = { 0 };
		struct kist_pod *pod = NULL;
		if (kist_pod_open(cli->k, ids[i], &pod, &problem) < 0)
			kist_complain(cli->program, &problem);
		kist_pod_free(pod);
	}
}

static int ps_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct ps_options *o = options;
	KIST_FILTERS struct kist_filters filters = { 0 };
	KIST_FREE char *usual = usual_format(o);
	KIST_STRV char **broken = NULL;
	struct kist_format format = { 0 };
	struct kist_pod **list = NULL;
	size_t n = 0, kept = 0;

	(void)argc;
	(void)argv;
	int r = o->filter ? kist_filters_parse(o->filter, keys, &filters, err) : 0;
	if (r == 0)
		name_networks(cli, &filters);
	if (r == 0)
		r = kist_format_parse("pod ps", o->format ? o->format : usual, headers, &format, err);
	if (r == 0)
		r = kist_pod_list(cli->k, &list, &n, &broken, err);
	KIST_FREE struct item *items = kist_alloc((n + 1) * sizeof(*items));
	if (r == 0)
		r = gather(o, &filters, list, n, items, &kept, err);
	if (r == 0) {
		sort(o->sort, items, kept);
		r = print(o, &format, items, kept, err);
	}
	for (size_t i = 0; i < kept; i++)
		json_object_put(items[i].document);
	kist_pod_list_free(list, n);
	warn_broken(cli, broken);
	kist_format_clear(&format);
	return r;
}

const struct kist_command kist_command_pod_ps = {
	.name = "ps",
	.parent = "pod",
	.aliases = (const struct kist_command_alias[]){ { "pod", "ls" }, { "pod", "list" }, { 0 } },
	.synopsis = "[options]",
	.summary = "List pods",
	.description =
	        "Lists all pods in the order of their creation. A pod is Created when no container of it has run, "
	        "Running when all\n"
	        "run, Degraded when some do, Paused when all are, Stopped when some have ended and none runs, "
	        "Exited when all have\n"
	        "ended. Init containers do not count.",
	.examples = (const char *const[]){ "pod ps --ctr-names --ctr-status",
	                                   "pod ps --filter status=running --format '{{.Name}}'", NULL },
	.options = (const struct kist_option_set[]){ { ps_rows, 0 }, { 0 } },
	.options_size = sizeof(struct ps_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = ps_run,
	.check = check,
};

/* --- inspect --------------------------------------------------------------------------------------------------------
 */

struct inspect_options {
	const char *format;
	bool latest;
};

static const struct kist_option inspect_rows[] = {
	KIST_OPTION(struct inspect_options, STRING, format, "format", 'f', .metavar = "template", .fallback = "json",
	            .help = "Print by a Go template, or as json"),
	KIST_OPTION(struct inspect_options, FLAG, latest, "latest", 'l', .help = "The pod created last"),
	{ 0 },
};

static int inspect_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;

	(void)argv;
	if (o->latest == (argc > 1))
		return kist_fail(err, KIST_ERR_INVALID, 0, "name at least one pod, or use --latest");
	return 0;
}

/* Names of podman's template fields, and what its JSON leaves out when it is empty. */
static const struct kist_template_alias aliases[] = {
	{ "ID", "Id" },
	{ "CPUPeriod", "cpu_period" },
	{ "CPUQuota", "cpu_quota" },
	{ "CPUShares", "cpu_shares" },
	{ "CPUSetCPUs", "cpuset_cpus" },
	{ "CPUSetMems", "cpuset_mems" },
	{ "Mounts", "mounts" },
	{ "Devices", "devices" },
	{ "BlkioDeviceReadBps", "device_read_bps" },
	{ "BlkioDeviceWriteBps", "device_write_bps" },
	{ "VolumesFrom", "volumes_from" },
	{ "SecurityOpts", "security_opt" },
	{ "MemoryLimit", "memory_limit" },
	{ "MemorySwap", "memory_swap" },
	{ "BlkioWeight", "blkio_weight" },
	{ "BlkioWeightDevice", "blkio_weight_device" },
	{ 0 },
};

static const struct {
	const char *name;
	enum json_type type;
} left_out[] = {
	{ "CreateCommand", json_type_array },
	{ "Labels", json_type_object },
	{ "CgroupParent", json_type_string },
	{ "CgroupPath", json_type_string },
	{ "InfraContainerID", json_type_string },
	{ "SharedNamespaces", json_type_array },
	{ "Containers", json_type_array },
	{ "RestartPolicy", json_type_string },
	{ "Namespace", json_type_string },
	{ "CPUPeriod", json_type_int },
	{ "CPUQuota", json_type_int },
	{ "CPUShares", json_type_int },
	{ "CPUSetCPUs", json_type_string },
	{ "CPUSetMems", json_type_string },
	{ "Mounts", json_type_array },
	{ "Devices", json_type_array },
	{ "BlkioDeviceReadBps", json_type_array },
	{ "BlkioDeviceWriteBps", json_type_array },
	{ "VolumesFrom", json_type_array },
	{ "SecurityOpts", json_type_array },
	{ "MemoryLimit", json_type_int },
	{ "MemorySwap", json_type_int },
	{ "BlkioWeight", json_type_int },
	{ "BlkioWeightDevice", json_type_array },
	{ "InfraConfig", json_type_null },
};

static struct json_object *empty_of(enum json_type type)
{
	switch (type) {
	case json_type_array:
		return json_object_new_array();
	case json_type_object:
		return json_object_new_object();
	case json_type_string:
		return json_object_new_string("");
	case json_type_int:
		return json_object_new_int64(0);
	default:
		return NULL;
	}
}

static int inspect_field(void *context, struct json_object *item, const char *name, struct json_object *const *args,
                         size_t n_args, struct json_object **out, struct kist_error *err)
{
	(void)context;
	(void)args;
	(void)n_args;
	(void)err;
	/* Of the document itself only. */
	if (!member(item, "ExitPolicy") || member(item, name))
		return 0;
	for (size_t i = 0; i < KIST_COUNT(aliases) - 1; i++)
		if (kist_streq(aliases[i].name, name) && member(item, aliases[i].key))
			return 0;
	for (size_t i = 0; i < KIST_COUNT(left_out); i++)
		if (kist_streq(left_out[i].name, name)) {
			*out = empty_of(left_out[i].type);
			return 1;
		}
	return 0;
}

static int inspect_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;
	struct kist_template_view view = {
		.maps = maps, .aliases = aliases, .field = inspect_field, .escape = isatty(1)
	};
	KIST_FREE struct json_object **documents = kist_alloc((size_t)(argc + 1) * sizeof(*documents));
	struct kist_format format = { 0 };
	int failed = 0;
	size_t n = 0;

	int r = kist_format_parse("pod inspect", o->format, NULL, &format, err);
	if (r < 0)
		return r;
	for (int i = o->latest ? 0 : 1; i < argc; i++) {
		struct kist_error problem = { 0 };
		struct kist_pod *pod = NULL;
		int found = cli_pod_open(cli, o->latest, argv[i], &pod, &problem);
		if (found == 0)
			found = kist_pod_inspect(pod, &documents[n], &problem);
		kist_pod_free(pod);
		if (found < 0) {
			kist_complain(cli->program, &problem);
			failed++;
		} else {
			n++;
		}
	}
	r = kist_cli_print_documents(&format, documents, n, &view, false, err);
	for (size_t i = 0; i < n; i++)
		json_object_put(documents[i]);
	kist_format_clear(&format);
	return r < 0 ? r : failed ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_pod_inspect = {
	.name = "inspect",
	.parent = "pod",
	.synopsis = "[options] POD [POD...]",
	.summary = "Show all that is known about pods",
	.description = "Prints a JSON array with podman's document of each pod.",
	.examples = (const char *const[]){ "pod inspect web",
	                                   "pod inspect --format '{{.State}} {{.InfraContainerID}}' web", NULL },
	.options = (const struct kist_option_set[]){ { inspect_rows, 0 }, { 0 } },
	.options_size = sizeof(struct inspect_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_POD,
	.completes_rest = KIST_COMPLETE_POD,
	.needs = KIST_NEEDS_STORE,
	.run = inspect_run,
	.check = inspect_check,
};
