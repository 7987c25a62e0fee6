/* kist events. */
#include "cli/columns.h"
#include "cli/logs.h"
#include "cli/view_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHORT_ID 12

struct events_options {
	char **filter;
	const char *format, *since, *until;
	bool no_trunc, stream;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct events_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option events_rows[] = {
	ROW(LIST, filter, "filter", 'f', .metavar = "key=value",
	    .help = "Show the events that match: container, event, image, label, network, pod, secret, type, volume"),
	ROW(STRING, format, "format", 0, .metavar = "template", .help = "Print by a Go template, or as json lines"),
	ROW(FLAG, no_trunc, "no-trunc", 0, .fallback = "true", .help = "Show full ids"),
	ROW(STRING, since, "since", 0, .metavar = "time",
	    .help = "Begin with what was recorded since then: a time, or 10m for ten minutes ago"),
	ROW(FLAG, stream, "stream", 0, .fallback = "true", .help = "Go on with the events that come"),
	ROW(STRING, until, "until", 0, .metavar = "time", .help = "End at that time"),
	{ 0 },
};

static int parse(const struct events_options *o, struct kist_event_options *out, struct kist_error *err)
{
	int r = cli_parse_time("since", o->since, &out->since, err);

	if (r == 0)
		r = cli_parse_time("until", o->until, &out->until, err);
	out->stream = o->stream;
	out->past = !o->stream;
	return r;
}

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_event_options parsed = { 0 };

	(void)argv;
	if (argc > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "events takes no arguments: --filter container=NAME selects");
	return parse(options, &parsed, err);
}

/* --- which ----------------------------------------------------------------------------------------------------------
 */

enum { BY_EVENT, BY_LABEL, BY_TYPE, BY_OBJECT };

static const char *const types[] = { "container", "image", "network", "pod", "secret", "system", "volume", NULL };

/* The names of the object keys are types. */
static const struct kist_filter_key keys[] = {
	{ .name = "container", .kind = KIST_FILTER_EXACT, .id = BY_OBJECT },
	{ .name = "event", .kind = KIST_FILTER_EXACT, .id = BY_EVENT },
	{ .name = "image", .kind = KIST_FILTER_EXACT, .id = BY_OBJECT },
	{ .name = "label", .kind = KIST_FILTER_LABEL, .id = BY_LABEL },
	{ .name = "network", .kind = KIST_FILTER_EXACT, .id = BY_OBJECT },
	{ .name = "pod", .kind = KIST_FILTER_EXACT, .id = BY_OBJECT },
	{ .name = "secret", .kind = KIST_FILTER_EXACT, .id = BY_OBJECT },
	{ .name = "type", .kind = KIST_FILTER_CHOICE, .choices = types, .id = BY_TYPE },
	{ .name = "volume", .kind = KIST_FILTER_EXACT, .id = BY_OBJECT },
	{ 0 },
};

static const char *text_of(struct json_object *document, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(document, key, &value) || !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

static bool has_label(const struct kist_filter *filter, struct json_object *document)
{
	struct json_object *map = NULL;
	KIST_STRV char **labels = NULL;

	if (!json_object_object_get_ex(document, "Attributes", &map))
		return false;
	json_object_object_foreach(map, key, value)
	        kist_strv_take(&labels, kist_asprintf("%s=%s", key, json_object_get_string(value)));
	return kist_filter_labels(filter, labels);
}

/* By name, or by the beginning of the id; an image also by the containers that are made of it. */
static bool is_object(const struct kist_filter *filter, struct json_object *document)
{
	const char *type = text_of(document, "Type"), *what = filter->key->name, *value = filter->value;

	if (kist_streq(what, "image") && !kist_streq(type, what))
		return kist_streq(text_of(document, "Image"), value);
	if (kist_streq(what, "pod") && !kist_streq(type, what))
		return kist_has_prefix(text_of(document, "PodID"), value);
	if (kist_streq(what, "network") && kist_streq(type, what))
		return kist_streq(text_of(document, "network"), value) || kist_streq(text_of(document, "Name"), value);
	return kist_streq(type, what) && (kist_streq(text_of(document, "Name"), value) ||
	                                  (strlen(value) >= 3 && kist_has_prefix(text_of(document, "ID"), value)));
}

static bool match(const struct kist_filter *filter, const void *object, void *context)
{
	struct json_object *document = (struct json_object *)(uintptr_t)object;
	const char *value = filter->value;

	(void)context;
	switch (filter->key->id) {
	case BY_EVENT:
		/* docker's word, and the one in podman's manual. */
		if (kist_streq(value, "die") || kist_streq(value, "exited"))
			value = "died";
		return kist_streq(text_of(document, "Status"), value);
	case BY_LABEL:
		return has_label(filter, document);
	case BY_TYPE:
		return kist_filter_text(filter, text_of(document, "Type"));
	default:
		return is_object(filter, document);
	}
}

/* --- printing -------------------------------------------------------------------------------------------------------
 */

/* Fields of podman's structure by the keys of the document, where an empty one is left out. */
static const struct {
	const char *name, *key;
	enum json_type type;
} fields[] = {
	{ "Attributes", "Attributes", json_type_object },
	{ "ContainerExitCode", "ContainerExitCode", json_type_int },
	{ "Error", "error", json_type_string },
	{ "HealthFailingStreak", "health_failing_streak", json_type_int },
	{ "HealthStatus", "health_status", json_type_string },
	{ "ID", "ID", json_type_string },
	{ "Image", "Image", json_type_string },
	{ "Name", "Name", json_type_string },
	{ "Network", "network", json_type_string },
	{ "OOMKilled", "OOMKilled", json_type_boolean },
	{ "PodID", "PodID", json_type_string },
	{ "Status", "Status", json_type_string },
	{ "Time", "Time", json_type_string },
	{ "TimeNano", "timeNano", json_type_int },
	{ "Type", "Type", json_type_string },
};

static struct json_object *empty_of(enum json_type type)
{
	switch (type) {
	case json_type_object:
		return json_object_new_object();
	case json_type_int:
		return json_object_new_int(0);
	case json_type_boolean:
		return json_object_new_boolean(false);
	default:
		return json_object_new_string("");
	}
}

struct printer {
	const struct events_options *options;
	struct kist_filters filters;
	struct kist_format format;
	struct kist_error *err;
	int problem;
};

static struct json_object *shown_id(const struct events_options *o, const char *id)
{
	size_t len = strlen(id);

	return json_object_new_string_len(id, (int)(o->no_trunc || len < SHORT_ID ? len : SHORT_ID));
}

static int field(void *context, struct json_object *item, const char *name, struct json_object *const *args,
                 size_t n_args, struct json_object **out, struct kist_error *err)
{
	const struct printer *p = context;
	struct json_object *value = NULL;

	(void)args;
	(void)err;
	if (n_args || !json_object_object_get_ex(item, "Status", &value))
		return 0; /* one of the attributes */
	for (size_t i = 0; i < KIST_COUNT(fields); i++) {
		if (!kist_streq(fields[i].name, name))
			continue;
		if (kist_streq(name, "ID"))
			*out = shown_id(p->options, text_of(item, "ID"));
		else if (json_object_object_get_ex(item, fields[i].key, &value))
			*out = json_object_get(value);
		else
			*out = empty_of(fields[i].type);
		return 1;
	}
	return 0;
}

/* As Go prints a time: 2006-01-02 15:04:05.999999999 +0000 UTC. */
static void add_time(struct kist_str *out, const char *text)
{
	int64_t wall = 0;
	char time[40];

	if (kist_time_parse(text, &wall) < 0)
		return;
	kist_time_format(time, wall, true);
	kist_str_addf(out, "%.10s %.18s +0000 UTC", time, time + 11);
}

static void add_attributes(struct kist_str *out, struct json_object *document)
{
	struct json_object *map = NULL;

	if (!json_object_object_get_ex(document, "Attributes", &map))
		return;
	json_object_object_foreach(map, key, value) kist_str_addf(out, ", %s=%s", key, json_object_get_string(value));
}

/* What follows time, type and status differs by type, as podman has it. */
static void add_object(struct kist_str *out, const struct events_options *o, struct json_object *document)
{
	const char *type = text_of(document, "Type"), *name = text_of(document, "Name");
	struct json_object *id_shown = shown_id(o, text_of(document, "ID")), *streak = NULL;
	const char *id = json_object_get_string(id_shown);

	if (kist_streq(type, "volume")) {
		kist_str_addf(out, " %s", name);
	} else if (kist_streq(type, "image") || kist_streq(type, "secret")) {
		kist_str_addf(out, " %s%s%s", id, *name ? " " : "", name);
	} else if (kist_streq(type, "network")) {
		kist_str_addf(out, " %s (container=%s, name=%s)", id, id,
		              *text_of(document, "network") ? text_of(document, "network") : name);
	} else {
		kist_str_addf(out, " %s (image=%s, name=%s", id, text_of(document, "Image"), name);
		if (*text_of(document, "PodID"))
			kist_str_addf(out, ", pod_id=%s", text_of(document, "PodID"));
		if (*text_of(document, "health_status")) {
			kist_str_addf(out, ", health_status=%s", text_of(document, "health_status"));
			if (json_object_object_get_ex(document, "health_failing_streak", &streak))
				kist_str_addf(out, ", health_failing_streak=%lld",
				              (long long)json_object_get_int64(streak));
		}
		add_attributes(out, document);
		kist_str_addc(out, ')');
	}
	json_object_put(id_shown);
}

static void add_line(struct kist_str *out, const struct printer *p, struct json_object *document)
{
	KIST_STR struct kist_str line = { 0 };

	add_time(&line, text_of(document, "Time"));
	kist_str_addf(&line, " %s %s", text_of(document, "Type"), text_of(document, "Status"));
	add_object(&line, p->options, document);
	if (isatty(1))
		kist_escape_add(out, kist_str_get(&line), line.len);
	else
		kist_str_add(out, kist_str_get(&line));
	kist_str_addc(out, '\n');
}

/* podman 4 has the time as text alone; 5 has the numbers, as docker. Both have attributes with every event. */
static void complete(struct json_object *document)
{
	int64_t wall = 0;

	if (!json_object_object_get_ex(document, "Attributes", NULL))
		json_object_object_add(document, "Attributes", json_object_new_object());
	if (kist_time_parse(text_of(document, "Time"), &wall) < 0)
		return;
	json_object_object_add(document, "time", json_object_new_int64(wall / KIST_NSEC_PER_SEC));
	json_object_object_add(document, "timeNano", json_object_new_int64(wall));
}

static int print(void *arg, struct json_object *document)
{
	struct printer *p = arg;
	struct kist_template_view view = { .field = field, .context = p, .escape = isatty(1) };
	KIST_STR struct kist_str out = { 0 };

	if (!kist_filters_match(&p->filters, match, document, NULL))
		return 0;
	complete(document);
	if (!p->options->format) {
		add_line(&out, p, document);
	} else if (p->format.kind == KIST_FORMAT_JSON) {
		KIST_FREE char *text = kist_json_text(document, false);
		kist_str_addf(&out, "%s\n", text);
	} else {
		view.maps = (const char *const[]){ "Attributes", NULL };
		p->problem = kist_format_run(&p->format, &document, 1, &view, true, &out, p->err);
	}
	if (p->problem == 0)
		p->problem = kist_cli_print(&out, p->err);
	return p->problem < 0 ? 1 : 0;
}

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct events_options *o = options;
	struct printer p = { .options = o, .err = err };
	struct kist_event_options parsed = { 0 };

	(void)argc;
	(void)argv;
	if (kist_settings(cli->k)->events == KIST_EVENTS_NONE)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "no events are recorded: kist.conf says events=none");
	int r = parse(o, &parsed, err);
	if (r == 0)
		r = kist_filters_parse(o->filter, keys, &p.filters, err);
	if (r == 0 && o->format)
		r = kist_format_parse("events", o->format, NULL, &p.format, err);
	if (r == 0)
		r = kist_events(cli->k, &parsed, print, &p, err);
	kist_format_clear(&p.format);
	kist_filters_clear(&p.filters);
	return r < 0 ? r : p.problem;
}

static const struct kist_command_alias aliases[] = { { "system", "events" }, { 0 } };

const struct kist_command kist_command_events = {
	.name = "events",
	.parent = "",
	.aliases = aliases,
	.synopsis = "[options]",
	.summary = "Show what happens to containers, images, volumes and networks",
	.description = "Prints a line for each thing that happens, as it happens. With --since or --until, or without "
	               "the stream, what was recorded\n"
	               "since the boot is printed too, as far as it was kept: events are rotated at 1 MB.",
	.examples = (const char *const[]){ "events --since 10m --filter event=died",
	                                   "events --stream=false --format '{{.Time}} {{.Status}} {{.Name}}'", NULL },
	.options = (const struct kist_option_set[]){ { events_rows, 0 }, { 0 } },
	.options_size = sizeof(struct events_options),
	.max_args = -1,
	.needs = KIST_NEEDS_STORE,
	.run = run,
	.check = check,
};
