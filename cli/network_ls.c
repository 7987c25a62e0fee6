/* kist network ls and inspect. */
#include "cli/network_commands.h"
#include "cli/template.h"
#include "cli/view_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const maps[] = { "labels", "options", "ipam_options", "containers", "interfaces", NULL };
static const struct kist_template_alias aliases[] = {
	{ "ID", "id" },
	{ "Name", "name" },
	{ "Driver", "driver" },
	{ "Labels", "labels" },
	{ "Created", "created" },
	{ "Subnets", "subnets" },
	{ "Options", "options" },
	{ "Internal", "internal" },
	{ "Containers", "containers" },
	{ "NetworkInterface", "network_interface" },
	{ "DNSEnabled", "dns_enabled" },
	{ "IPv6Enabled", "ipv6_enabled" },
	{ "Subnet", "subnet" },
	{ "Gateway", "gateway" },
	{ "IPAMOptions", "ipam_options" },
	{ "LeaseRange", "lease_range" },
	{ "StartIP", "start_ip" },
	{ "EndIP", "end_ip" },
	{ "NetworkDNSServers", "network_dns_servers" },
	{ "Routes", "routes" },
	{ "Destination", "destination" },
	{ "Metric", "metric" },
	{ 0 },
};

static struct json_object *member(struct json_object *document, const char *key)
{
	return json_object_object_get(document, key);
}

static const char *text_of(struct json_object *document, const char *key)
{
	const char *text = json_object_get_string(member(document, key));

	return text ? text : "";
}

/* --- selecting ------------------------------------------------------------------------------------------------------
 */

enum { BY_DRIVER, BY_ID, BY_LABEL, BY_NAME, BY_UNTIL, BY_DANGLING };

static const struct kist_filter_key keys[] = {
	{ .name = "dangling", .kind = KIST_FILTER_BOOL, .id = BY_DANGLING },
	{ .name = "driver", .kind = KIST_FILTER_EXACT, .id = BY_DRIVER },
	{ .name = "id", .kind = KIST_FILTER_PREFIX, .id = BY_ID },
	{ .name = "label", .kind = KIST_FILTER_LABEL, .id = BY_LABEL },
	{ .name = "name", .kind = KIST_FILTER_REGEX, .id = BY_NAME },
	{ .name = "until", .kind = KIST_FILTER_UNTIL, .id = BY_UNTIL },
	{ 0 },
};

static char **labels_of(struct json_object *document)
{
	char **pairs = NULL;

	json_object_object_foreach(member(document, "labels"), key, value)
	        kist_strv_take(&pairs, kist_asprintf("%s=%s", key, json_object_get_string(value)));
	return pairs;
}

static bool has_label(const struct kist_filter *filter, struct json_object *document)
{
	KIST_STRV char **pairs = labels_of(document);

	return kist_filter_labels(filter, pairs);
}

static char *labels_text(struct json_object *document)
{
	KIST_STRV char **pairs = labels_of(document);
	KIST_STR struct kist_str text = { 0 };

	for (char **pair = pairs; pair && *pair; pair++)
		kist_str_addf(&text, "%s%s", pair == pairs ? "" : ",", *pair);
	return kist_strdup(kist_str_get(&text));
}

static bool match(const struct kist_filter *filter, const void *object, void *context)
{
	struct json_object *document = (struct json_object *)object;
	int64_t created = 0;

	switch (filter->key->id) {
	case BY_DRIVER:
		return kist_filter_text(filter, text_of(document, "driver"));
	case BY_ID:
		return kist_filter_text(filter, text_of(document, "id"));
	case BY_LABEL:
		return has_label(filter, document);
	case BY_NAME:
		return kist_filter_text(filter, text_of(document, "name"));
	case BY_DANGLING: {
		KIST_STRV char **users = kist_network_users(context, text_of(document, "name"));
		return kist_filter_number(filter, !users);
	}
	default:
		return kist_time_parse(text_of(document, "created"), &created) == 0 &&
		       kist_filter_time(filter, created);
	}
}

int cli_networks_select(struct kist_cli *cli, char *const *texts, struct json_object ***out, size_t *n,
                        struct kist_error *err)
{
	KIST_FILTERS struct kist_filters filters = { 0 };
	KIST_STRV char **names = NULL;

	int r = texts ? kist_filters_parse(texts, keys, &filters, err) : 0;
	if (r == 0)
		r = kist_network_list(cli->k, &names, err);
	if (r < 0)
		return r;
	*out = kist_alloc((kist_strv_len(names) + 1) * sizeof(**out));
	for (size_t i = 0; names[i]; i++) {
		struct kist_error problem = { 0 };
		struct json_object *document = NULL;
		if (kist_network_inspect(cli->k, names[i], &document, &problem) < 0)
			kist_complain(cli->program, &problem);
		else if (kist_filters_match(&filters, match, document, cli->k))
			(*out)[(*n)++] = document;
		else
			json_object_put(document);
	}
	return 0;
}

void kist_complete_networks(struct kist_cli *cli, const char *prefix, char ***out)
{
	KIST_STRV char **names = NULL;

	if (kist_network_list(cli->k, &names, NULL) < 0)
		return;
	for (size_t i = 0; names[i]; i++)
		if (kist_has_prefix(names[i], prefix))
			kist_strv_add(out, names[i]);
}

/* --- ls -------------------------------------------------------------------------------------------------------------
 */

struct ls_options {
	char **filter;
	const char *format;
	bool noheading, quiet, no_trunc;
};

static const struct kist_option ls_rows[] = {
	KIST_OPTION(struct ls_options, LIST, filter, "filter", 'f', .metavar = "key=value",
	            .help = "Show the networks that match: dangling, driver, id, label, name, until"),
	KIST_OPTION(struct ls_options, STRING, format, "format", 0, .metavar = "template",
	            .help = "Print by a Go template, or as json"),
	KIST_OPTION(struct ls_options, FLAG, no_trunc, "no-trunc", 0, .help = "Show whole ids"),
	KIST_OPTION(struct ls_options, FLAG, noheading, "noheading", 'n', .help = "Leave the header row out"),
	KIST_OPTION(struct ls_options, FLAG, quiet, "quiet", 'q', .help = "Show names alone"),
	{ 0 },
};

static const struct kist_header headers[] = { { "ID", "NETWORK ID" }, { 0 } };

static int ls_field(void *context, struct json_object *receiver, const char *name, struct json_object *const *args,
                    size_t n_args, struct json_object **out, struct kist_error *err)
{
	const struct ls_options *o = context;

	(void)args;
	(void)n_args;
	(void)err;
	if (kist_streq(name, "Labels") && member(receiver, "labels")) {
		KIST_FREE char *joined = labels_text(receiver);
		*out = json_object_new_string(joined);
		return 1;
	}
	if (!kist_streq(name, "ID") || !member(receiver, "id"))
		return 0;
	KIST_FREE char *id = kist_strndup(text_of(receiver, "id"), o->no_trunc ? 64 : 12);
	*out = json_object_new_string(id);
	return 1;
}

static int print(const struct kist_format *format, struct json_object *const *documents, size_t n,
                 const struct ls_options *o, struct kist_error *err)
{
	struct kist_template_view view = { .maps = maps, .aliases = aliases, .escape = isatty(1) };

	if (o) {
		view.field = ls_field;
		view.context = (void *)o;
	}
	return kist_cli_print_documents(format, documents, n, &view, !o || o->noheading, err);
}

static int ls_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct ls_options *o = options;
	struct json_object **documents = NULL;
	struct kist_format format = { 0 };
	size_t n = 0;

	(void)argc;
	(void)argv;
	int r = cli_networks_select(cli, o->filter, &documents, &n, err);
	const char *text = o->format ? o->format : o->quiet ? "{{.Name}}" : "table {{.ID}}\t{{.Name}}\t{{.Driver}}";
	if (r == 0)
		r = kist_format_parse("network ls", text, headers, &format, err);
	if (r == 0)
		r = print(&format, documents, n, o, err);
	for (size_t i = 0; i < n; i++)
		json_object_put(documents[i]);
	free(documents);
	kist_format_clear(&format);
	return r;
}

const struct kist_command kist_command_network_ls = {
	.name = "ls",
	.parent = "network",
	.aliases = (const struct kist_command_alias[]){ { NULL, "list" }, { 0 } },
	.synopsis = "[options]",
	.summary = "List networks",
	.examples = (const char *const[]){ "network ls --filter driver=bridge", NULL },
	.options = (const struct kist_option_set[]){ { ls_rows, 0 }, { 0 } },
	.options_size = sizeof(struct ls_options),
	.needs = KIST_NEEDS_STORE,
	.run = ls_run,
};

/* --- inspect --------------------------------------------------------------------------------------------------------
 */

struct inspect_options {
	const char *format;
};

static const struct kist_option inspect_rows[] = {
	KIST_OPTION(struct inspect_options, STRING, format, "format", 'f', .metavar = "template", .fallback = "json",
	            .help = "Print by a Go template, or as json"),
	{ 0 },
};

static int inspect_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;
	KIST_FREE struct json_object **documents = kist_alloc((size_t)argc * sizeof(*documents));
	struct kist_format format = { 0 };
	int missing = 0;
	size_t n = 0;

	int r = kist_format_parse("inspect", o->format, NULL, &format, err);
	for (int i = 1; r == 0 && i < argc; i++) {
		struct kist_error problem = { 0 };
		if (kist_network_inspect(cli->k, argv[i], &documents[n], &problem) == 0) {
			n++;
		} else {
			kist_complain(cli->program, &problem);
			missing++;
		}
	}
	if (r == 0)
		r = print(&format, documents, n, NULL, err);
	for (size_t i = 0; i < n; i++)
		json_object_put(documents[i]);
	kist_format_clear(&format);
	return r < 0 ? r : missing ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_network_inspect = {
	.name = "inspect",
	.parent = "network",
	.synopsis = "[options] NETWORK [NETWORK...]",
	.summary = "Show all that is known about networks",
	.examples =
	        (const char *const[]){ "network inspect --format '{{range .Subnets}}{{.Subnet}}{{end}}' front", NULL },
	.options = (const struct kist_option_set[]){ { inspect_rows, 0 }, { 0 } },
	.options_size = sizeof(struct inspect_options),
	.min_args = 1,
	.max_args = -1,
	.completes_first = KIST_COMPLETE_NETWORK,
	.completes_rest = KIST_COMPLETE_NETWORK,
	.needs = KIST_NEEDS_STORE,
	.run = inspect_run,
};
