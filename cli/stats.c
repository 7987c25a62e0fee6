/* kist stats, kist pod stats. */
#include "cli/columns.h"
#include "cli/pod_commands.h"
#include "cli/view_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHORT_ID 12
#define MISSING  "--"

struct stats_options {
	bool all, latest, no_reset, no_stream, no_trunc;
	const char *format;
	uint64_t interval;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct stats_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option stats_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Show all containers, not just the running ones"),
	ROW(STRING, format, "format", 0, .metavar = "template", .help = "Print by a Go template, or as json"),
	ROW(U64, interval, "interval", 'i', .metavar = "seconds", .fallback = "5", .help = "Time between two reports"),
	ROW(FLAG, latest, "latest", 'l', .help = "Show the container created last"),
	ROW(FLAG, no_reset, "no-reset", 0, .help = "Do not clear the screen between two reports"),
	ROW(FLAG, no_stream, "no-stream", 0, .help = "Report once"),
	ROW(FLAG, no_trunc, "no-trunc", 0, .help = "Show full ids"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct stats_options *o = options;

	(void)argv;
	if ((o->all ? 1 : 0) + (o->latest ? 1 : 0) + (argc > 1 ? 1 : 0) > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "container names, --all and --latest exclude each other");
	if (o->interval < 1 || o->interval > 86400)
		return kist_fail(err, KIST_ERR_INVALID, 0, "option '--interval': expected 1 to 86400 seconds");
	return 0;
}

/* --- numbers --------------------------------------------------------------------------------------------------------
 */

/* The sample before, of one container: percentages are of what passed between two. */
struct sample {
	char id[65];
	uint64_t cpu_us;
	int64_t boot;
};

struct stats {
	struct kist_cli *cli;
	const struct stats_options *options;
	char *const *names; /* NULL: by what is running */
	bool of_pods;       /* the names are of pods */
	struct sample *samples;
	size_t n_samples;
};

static struct sample *sample_of(struct stats *s, const char *id)
{
	for (size_t i = 0; i < s->n_samples; i++)
		if (kist_streq(s->samples[i].id, id))
			return &s->samples[i];
	s->samples = kist_grow(s->samples, s->n_samples + 1, sizeof(*s->samples));
	struct sample *sample = &s->samples[s->n_samples++];
	*sample = (struct sample){ 0 };
	memcpy(sample->id, id, sizeof(sample->id));
	return sample;
}

/* Since the container's process began, on the clock that no step moves. */
static int64_t age_ns(const struct kist_container_state *state)
{
	long ticks = sysconf(_SC_CLK_TCK);

	return kist_now_boot() -
	       (int64_t)(state->pid_start * (uint64_t)(KIST_NSEC_PER_SEC / (ticks > 0 ? ticks : 100)));
}

static double percent(uint64_t used_us, int64_t elapsed_ns)
{
	return elapsed_ns > 0 ? (double)used_us * 1000 / (double)elapsed_ns * 100 : 0;
}

static void add(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

static void add_percent(struct json_object *object, const char *key, double value)
{
	KIST_FREE char *text = kist_asprintf("%.2f%%", value);

	add(object, key, text);
}

static void add_pair(struct json_object *object, const char *key, const char *a, const char *b)
{
	KIST_FREE char *text = kist_asprintf("%s / %s", a, b);

	add(object, key, text);
}

static void add_memory(struct json_object *document, const struct kist_stats *stats)
{
	uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t limit = stats->memory_limit < total ? stats->memory_limit : total;
	char a[24], b[24];

	if (!stats->has_memory) {
		add_pair(document, "mem_usage", MISSING, MISSING);
		add(document, "mem_percent", MISSING);
		add_pair(document, "mem_usage_bytes", MISSING, MISSING);
		return;
	}
	add_pair(document, "mem_usage", kist_size_human(a, stats->memory), kist_size_human(b, limit));
	add_percent(document, "mem_percent", limit ? (double)stats->memory / (double)limit * 100 : 0);
	add_pair(document, "mem_usage_bytes", kist_size_human_binary(a, stats->memory),
	         kist_size_human_binary(b, limit));
}

static void add_rest(struct json_object *document, const struct kist_stats *stats)
{
	char a[24], b[24];

	if (stats->has_net)
		add_pair(document, "net_io", kist_size_human(a, stats->net_in), kist_size_human(b, stats->net_out));
	else
		add_pair(document, "net_io", MISSING, MISSING);
	if (stats->has_io)
		add_pair(document, "block_io", kist_size_human(a, stats->io_read), kist_size_human(b, stats->io_write));
	else
		add_pair(document, "block_io", MISSING, MISSING);
	snprintf(a, sizeof(a), "%llu", (unsigned long long)stats->pids);
	add(document, "pids", a);
}

static struct json_object *document_of(struct stats *s, struct kist_container *c, const struct kist_stats *stats,
                                       bool up)
{
	struct json_object *document = json_object_new_object();
	const char *id = kist_container_id(c);
	struct sample *last = sample_of(s, id);
	int64_t now = kist_now_boot(), age = up ? age_ns(kist_container_state(c)) : 0;
	char time[40];
	/* A new run counts from nothing. */
	bool first = !last->boot || last->cpu_us > stats->cpu;

	json_object_object_add(document, "id", json_object_new_string_len(id, s->options->no_trunc ? 64 : SHORT_ID));
	add(document, "name", kist_container_name(c));
	add(document, "cpu_time", kist_duration_format(time, (int64_t)stats->cpu * 1000));
	add_percent(document, "cpu_percent",
	            first ? percent(stats->cpu, age) : percent(stats->cpu - last->cpu_us, now - last->boot));
	add_percent(document, "avg_cpu", percent(stats->cpu, age));
	last->cpu_us = stats->cpu;
	last->boot = now;
	add_memory(document, stats);
	add_rest(document, stats);
	return document;
}

/* --- reports --------------------------------------------------------------------------------------------------------
 */

static const struct kist_template_alias aliases[] = {
	{ "ID", "id" },
	{ "ContainerID", "id" },
	{ "Container", "id" },
	{ "Name", "name" },
	{ "CPUPerc", "cpu_percent" },
	{ "CPU", "cpu_percent" },
	{ "AVGCPU", "avg_cpu" },
	{ "CPUTime", "cpu_time" },
	{ "UpTime", "cpu_time" },
	{ "MemUsage", "mem_usage" },
	{ "MemUsageBytes", "mem_usage_bytes" },
	{ "MemPerc", "mem_percent" },
	{ "NetIO", "net_io" },
	{ "BlockIO", "block_io" },
	{ "PIDS", "pids" },
	{ "PIDs", "pids" },
	{ 0 },
};

/* For those who know the names of 'stats'. */
static const struct kist_template_alias pod_aliases[] = {
	{ "ID", "CID" },
	{ "ContainerID", "CID" },
	{ "Container", "CID" },
	{ "CPUPerc", "CPU" },
	{ "MemPerc", "Mem" },
	{ "PIDs", "PIDS" },
	{ 0 },
};

static const struct kist_header headers[] = {
	{ "ID", "ID" },
	{ "CID", "CID" },
	{ "Pod", "POD" },
	{ "Name", "NAME" },
	{ "CPU", "CPU %" },
	{ "Mem", "MEM %" },
	{ "CPUPerc", "CPU %" },
	{ "MemUsage", "MEM USAGE / LIMIT" },
	{ "MemPerc", "MEM %" },
	{ "NetIO", "NET IO" },
	{ "BlockIO", "BLOCK IO" },
	{ "PIDS", "PIDS" },
	{ "CPUTime", "CPU TIME" },
	{ "UpTime", "CPU TIME" },
	{ "AVGCPU", "AVG CPU %" },
	{ "MemUsageBytes", "MEM USAGE / LIMIT" },
	{ 0 },
};

#define USUAL                                                                                                          \
	"table "                                                                                                       \
	"{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDS}}\t{{."      \
	"CPUTime}}\t{{.AVGCPU}}"

static bool is_up(const struct kist_container *c)
{
	int status = kist_container_state(c)->status;

	return status == KIST_RUNNING || status == KIST_PAUSED || status == KIST_STOPPING;
}

static int take(struct stats *s, struct kist_container *c, struct json_object *list, struct kist_error *err)
{
	struct kist_stats stats = { 0 };
	struct kist_error problem = { 0 };
	bool up = is_up(c);

	int r = up ? kist_container_stats(c, &stats, &problem) : 0;
	if (problem.kind == KIST_ERR_NOT_FOUND || problem.kind == KIST_ERR_STATE)
		return 0; /* it has just ended */
	if (r < 0 && problem.kind != KIST_ERR_UNSUPPORTED) {
		*err = problem;
		return r;
	}
	/* Without a cgroup nothing is known; a container that is not running uses nothing. */
	if (!up)
		stats.has_memory = stats.has_io = true;
	json_object_array_add(list, document_of(s, c, &stats, up));
	return 0;
}

static int take_named(struct stats *s, struct json_object *list, struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && s->names[i]; i++) {
		struct kist_container *c = NULL;
		r = kist_container_open(s->cli->k, s->names[i], &c, err);
		if (r == 0)
			r = take(s, c, list, err);
		kist_container_free(c);
	}
	return r;
}

static int take_all(struct stats *s, struct json_object *list, struct kist_error *err)
{
	struct kist_container **containers = NULL;
	size_t n = 0;

	int r = kist_container_list(s->cli->k, &containers, &n, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++)
		if (s->options->all || is_up(containers[i]))
			r = take(s, containers[i], list, err);
	kist_container_list_free(containers, n);
	return r;
}

/* podman has other keys here than for containers. */
static struct json_object *pod_document(const struct stats *s, const struct kist_pod *pod,
                                        struct json_object *of_container)
{
	static const char *const keys[][2] = {
		{ "CPU", "cpu_percent" },
		{ "MemUsage", "mem_usage" },
		{ "MemUsageBytes", "mem_usage_bytes" },
		{ "Mem", "mem_percent" },
		{ "NetIO", "net_io" },
		{ "BlockIO", "block_io" },
		{ "PIDS", "pids" },
		{ "CID", "id" },
		{ "Name", "name" },
	};
	struct json_object *document = json_object_new_object(), *value = NULL;

	json_object_object_add(document, "Pod",
	                       json_object_new_string_len(kist_pod_id(pod), s->options->no_trunc ? 64 : SHORT_ID));
	for (size_t i = 0; i < KIST_COUNT(keys); i++)
		if (json_object_object_get_ex(of_container, keys[i][1], &value))
			json_object_object_add(document, keys[i][0], json_object_get(value));
	return document;
}

/* Whoever joins a pod is in the next report. */
static int take_pod(struct stats *s, struct kist_pod *pod, struct json_object *list, struct kist_error *err)
{
	KIST_JSON struct json_object *of_containers = json_object_new_array();
	struct kist_container **containers = NULL;
	size_t n = 0;

	int r = kist_pod_containers(pod, &containers, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (is_up(containers[i]))
			r = take(s, containers[i], of_containers, err);
	for (size_t i = 0; i < json_object_array_length(of_containers); i++)
		json_object_array_add(list, pod_document(s, pod, json_object_array_get_idx(of_containers, i)));
	kist_container_list_free(containers, n);
	return r;
}

static int take_pods(struct stats *s, struct json_object *list, struct kist_error *err)
{
	struct kist_pod **pods = NULL;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && s->names && s->names[i]; i++) {
		struct kist_pod *pod = NULL;
		r = kist_pod_open(s->cli->k, s->names[i], &pod, err);
		if (r == 0)
			r = take_pod(s, pod, list, err);
		kist_pod_free(pod);
	}
	if (r == 0 && !s->names)
		r = kist_pod_list(s->cli->k, &pods, &n, NULL, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = take_pod(s, pods[i], list, err);
	kist_pod_list_free(pods, n);
	return r;
}

static int report(struct stats *s, const struct kist_format *format, struct kist_error *err)
{
	KIST_JSON struct json_object *list = json_object_new_array();
	struct kist_template_view view = { .aliases = s->of_pods ? pod_aliases : aliases, .escape = isatty(1) };
	KIST_STR struct kist_str out = { 0 };

	int r = s->of_pods ? take_pods(s, list, err) : s->names ? take_named(s, list, err) : take_all(s, list, err);
	size_t n = json_object_array_length(list);
	KIST_FREE struct json_object **documents = kist_grow(NULL, n + 1, sizeof(*documents));
	for (size_t i = 0; i < n; i++)
		documents[i] = json_object_array_get_idx(list, i);
	if (!s->options->no_stream && !s->options->no_reset && isatty(1))
		kist_str_add(&out, "\033[H\033[2J");
	if (r == 0)
		r = kist_format_run(format, documents, n, &view, false, &out, err);
	return r < 0 ? r : kist_cli_print(&out, err);
}

static int repeat(struct stats *s, const char *command, const char *usual, struct kist_error *err)
{
	const struct stats_options *o = s->options;
	struct kist_format format = { 0 };

	int r = kist_format_parse(command, o->format ? o->format : usual, headers, &format, err);
	while (r == 0) {
		r = report(s, &format, err);
		if (o->no_stream)
			break;
		if (r == 0)
			kist_sleep_ns((int64_t)o->interval * KIST_NSEC_PER_SEC);
	}
	kist_format_clear(&format);
	return r;
}

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct stats_options *o = options;
	struct stats s = { .cli = cli, .options = o, .names = argc > 1 ? argv + 1 : NULL };
	KIST_STRV char **latest = NULL;
	struct kist_container *c = NULL;
	int r = 0;

	if (o->latest) {
		r = kist_container_latest(cli->k, &c, err);
		if (r == 0)
			kist_strv_add(&latest, kist_container_id(c));
		kist_container_free(c);
		s.names = latest;
	}
	r = r < 0 ? r : repeat(&s, "stats", USUAL, err);
	free(s.samples);
	return r;
}

const struct kist_command kist_command_stats = {
	.name = "stats",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] [CONTAINER...]",
	.summary = "Show what containers use",
	.description = "Prints processor time, memory, input and output and processes of the running containers, or of "
	               "those named, again and\n"
	               "again. '--' stands for what the host does not measure, because its kernel lacks a controller.",
	.examples = (const char *const[]){ "stats --no-stream", "stats --format '{{.Name}} {{.MemUsage}}' web", NULL },
	.options = (const struct kist_option_set[]){ { stats_rows, 0 }, { 0 } },
	.options_size = sizeof(struct stats_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.completes_rest = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.run = run,
	.check = check,
};

/* --- pods -----------------------------------------------------------------------------------------------------------
 */

#define POD_USUAL                                                                                                      \
	"table {{.Pod}}\t{{.CID}}\t{{.Name}}\t{{.CPU}}\t{{.MemUsage}}\t{{.Mem}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDS}}"

static int pod_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct stats_options *o = options;
	struct stats s = { .cli = cli, .options = o, .names = argc > 1 ? argv + 1 : NULL, .of_pods = true };
	KIST_STRV char **latest = NULL;
	struct kist_pod *pod = NULL;
	int r = 0;

	if (o->latest) {
		r = kist_pod_latest(cli->k, &pod, err);
		if (r == 0)
			kist_strv_add(&latest, kist_pod_id(pod));
		kist_pod_free(pod);
		s.names = latest;
	}
	r = r < 0 ? r : repeat(&s, "pod stats", POD_USUAL, err);
	free(s.samples);
	return r;
}

static const struct kist_option pod_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Of all pods; that is so without names"),
	ROW(STRING, format, "format", 0, .metavar = "template", .help = "Print by a Go template, or as json"),
	ROW(U64, interval, "interval", 'i', .metavar = "seconds", .fallback = "5", .help = "Time between two reports"),
	ROW(FLAG, latest, "latest", 'l', .help = "Of the pod created last"),
	ROW(FLAG, no_reset, "no-reset", 0, .help = "Do not clear the screen between two reports"),
	ROW(FLAG, no_stream, "no-stream", 0, .help = "Report once"),
	ROW(FLAG, no_trunc, "no-trunc", 0, .help = "Show full ids"),
	{ 0 },
};

const struct kist_command kist_command_pod_stats = {
	.name = "stats",
	.parent = "pod",
	.synopsis = "[options] [POD...]",
	.summary = "Show what the containers of pods use",
	.description = "Prints what 'kist stats' does, for the running containers of all pods or of those named.",
	.examples = (const char *const[]){ "pod stats --no-stream web", NULL },
	.options = (const struct kist_option_set[]){ { pod_rows, 0 }, { 0 } },
	.options_size = sizeof(struct stats_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_POD,
	.completes_rest = KIST_COMPLETE_POD,
	.needs = KIST_NEEDS_STORE,
	.run = pod_run,
	.check = check,
};
