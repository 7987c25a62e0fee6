/* kist-oci pause, resume, update, events. */
#include "cli/oci.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESOURCES_MAX (1u << 20)

static int pause_run(struct kist_cli *cli, void *options KIST_UNUSED, int argc KIST_UNUSED, char **argv,
                     struct kist_error *err)
{
	return kist_oci_pause(oci_of(cli)->oci, argv[1], true, err);
}

static int resume_run(struct kist_cli *cli, void *options KIST_UNUSED, int argc KIST_UNUSED, char **argv,
                      struct kist_error *err)
{
	return kist_oci_pause(oci_of(cli)->oci, argv[1], false, err);
}

const struct kist_command oci_command_pause = {
	.name = "pause",
	.parent = "",
	.synopsis = "ID",
	.summary = "Suspend all processes of a container",
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE,
	.run = pause_run,
};
const struct kist_command oci_command_resume = {
	.name = "resume",
	.parent = "",
	.synopsis = "ID",
	.summary = "Let a paused container go on",
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE,
	.run = resume_run,
};

/* --- update ---------------------------------------------------------------------------------------------------------
 */

struct update_options {
	const char *resources, *cpus, *mems, *l3_cache, *memory_bandwidth;
	struct kist_opt blkio_weight, cpu_period, cpu_quota, cpu_burst, cpu_share, cpu_idle, rt_period, rt_runtime;
	struct kist_opt memory, reservation, swap, kernel, kernel_tcp, pids;
};
#define UPDATE(type, member, name, letter, ...)                                                                        \
	KIST_OPTION(struct update_options, type, member, name, letter, ##__VA_ARGS__)
#define BYTES(member, name, help_) UPDATE(OPT_SIZE, member, name, 0, .help = help_, .flags = KIST_OPTION_UNLIMITED)

static const struct kist_option update_rows[] = {
	UPDATE(OPT_U64, blkio_weight, "blkio-weight", 0, .help = "Block I/O weight, 10 to 1000"),
	UPDATE(OPT_U64, cpu_burst, "cpu-burst", 0, .help = "Microseconds a period may use beyond its quota"),
	UPDATE(OPT_I64, cpu_idle, "cpu-idle", 0, .help = "1: run only when nothing else wants to"),
	UPDATE(OPT_U64, cpu_period, "cpu-period", 0, .help = "Period of the CPU quota in microseconds"),
	UPDATE(OPT_I64, cpu_quota, "cpu-quota", 0, .help = "CPU time per period in microseconds, -1: unlimited"),
	UPDATE(OPT_U64, rt_period, "cpu-rt-period", 0, .help = "Refused: cgroup v2 has no such limit"),
	UPDATE(OPT_I64, rt_runtime, "cpu-rt-runtime", 0, .help = "Refused: cgroup v2 has no such limit"),
	UPDATE(OPT_U64, cpu_share, "cpu-share", 0, .help = "Relative CPU weight, 2 to 262144"),
	UPDATE(STRING, cpus, "cpuset-cpus", 0, .metavar = "list", .help = "CPUs to run on"),
	UPDATE(STRING, mems, "cpuset-mems", 0, .metavar = "list", .help = "Memory nodes to use"),
	BYTES(kernel, "kernel-memory", "Refused above 0: cgroup v2 has no such limit"),
	BYTES(kernel_tcp, "kernel-memory-tcp", "Refused above 0: cgroup v2 has no such limit"),
	UPDATE(STRING, l3_cache, "l3-cache-schema", 0, .metavar = "schema", .help = "Refused: Intel RDT is not driven"),
	UPDATE(STRING, memory_bandwidth, "mem-bw-schema", 0, .metavar = "schema",
	       .help = "Refused: Intel RDT is not driven"),
	BYTES(memory, "memory", "Memory limit in bytes, -1: unlimited"),
	BYTES(reservation, "memory-reservation", "Memory that is kept for the container, in bytes"),
	BYTES(swap, "memory-swap", "Limit of memory and swap together, -1: unlimited"),
	UPDATE(OPT_I64, pids, "pids-limit", 0, .help = "Number of processes, -1: unlimited"),
	UPDATE(STRING, resources, "resources", 'r', .metavar = "file", .completes = KIST_COMPLETE_FILE,
	       .help = "Read limits from this file, '-' is stdin: JSON as 'linux.resources' of config.json"),
	{ 0 },
};

static int read_resources(const char *path, struct kist_spec_resources *out, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	bool from_stdin = kist_streq(path, "-");
	int r = from_stdin ? kist_read_fd(STDIN_FILENO, RESOURCES_MAX, &text)
	                   : kist_read_file(AT_FDCWD, path, RESOURCES_MAX, &text);

	if (r < 0)
		return kist_fail_errno(err, -r, "read %s", from_stdin ? "stdin" : path);
	r = kist_json_parse(kist_str_get(&text), text.len, &json, err);
	return r < 0 ? r : kist_json_read(&kist_spec_resources_table, json, out, "resources", err);
}

static void set_opt(struct kist_opt *to, struct kist_opt from)
{
	if (from.set)
		*to = from;
}

static void set_flags(const struct update_options *o, struct kist_spec_resources *r)
{
	if (!r->cpu)
		r->cpu = kist_alloc(sizeof(*r->cpu));
	if (!r->memory)
		r->memory = kist_alloc(sizeof(*r->memory));
	set_opt(&r->cpu->period, o->cpu_period);
	set_opt(&r->cpu->quota, o->cpu_quota);
	set_opt(&r->cpu->burst, o->cpu_burst);
	set_opt(&r->cpu->shares, o->cpu_share);
	set_opt(&r->cpu->idle, o->cpu_idle);
	set_opt(&r->cpu->realtime_period, o->rt_period);
	set_opt(&r->cpu->realtime_runtime, o->rt_runtime);
	set_opt(&r->memory->limit, o->memory);
	set_opt(&r->memory->reservation, o->reservation);
	set_opt(&r->memory->swap, o->swap);
	set_opt(&r->memory->kernel, o->kernel);
	set_opt(&r->memory->kernel_tcp, o->kernel_tcp);
	set_opt(&r->pids_limit, o->pids);
	if (o->cpus) {
		free(r->cpu->cpus);
		r->cpu->cpus = kist_strdup(o->cpus);
	}
	if (o->mems) {
		free(r->cpu->mems);
		r->cpu->mems = kist_strdup(o->mems);
	}
	if (o->blkio_weight.set) {
		if (!r->block_io)
			r->block_io = kist_alloc(sizeof(*r->block_io));
		r->block_io->weight = o->blkio_weight;
	}
}

static int update_run(struct kist_cli *cli, void *options, int argc KIST_UNUSED, char **argv, struct kist_error *err)
{
	const struct update_options *o = options;
	struct kist_spec_resources resources;

	if (o->l3_cache || o->memory_bandwidth)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "--%s: Intel RDT is not driven",
		                 o->l3_cache ? "l3-cache-schema" : "mem-bw-schema");
	kist_table_init(&kist_spec_resources_table, &resources);
	int r = o->resources ? read_resources(o->resources, &resources, err) : 0;
	if (r == 0) {
		set_flags(o, &resources);
		r = kist_oci_update(oci_of(cli)->oci, argv[1], &resources, err);
	}
	kist_table_release(&kist_spec_resources_table, &resources);
	return r;
}

const struct kist_command oci_command_update = {
	.name = "update",
	.parent = "",
	.synopsis = "[options] ID",
	.summary = "Change the limits of a container",
	.options = (const struct kist_option_set[]){ { update_rows, 0 }, { 0 } },
	.options_size = sizeof(struct update_options),
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE,
	.run = update_run,
};

/* --- events ---------------------------------------------------------------------------------------------------------
 */

struct events_options {
	bool stats;
	int64_t interval;
};
static const struct kist_option events_rows[] = {
	KIST_OPTION(struct events_options, DURATION, interval, "interval", 0, .fallback = "5s",
	            .help = "Time between two statistics"),
	KIST_OPTION(struct events_options, FLAG, stats, "stats", 0, .help = "Print the statistics once"),
	{ 0 },
};

static int print_event(const char *id, const char *type, struct json_object *data, struct kist_error *err)
{
	struct json_object *event = json_object_new_object();

	json_object_object_add(event, "type", json_object_new_string(type));
	json_object_object_add(event, "id", json_object_new_string(id));
	if (data)
		json_object_object_add(event, "data", data);
	return oci_print_json(event, false, err);
}

static int print_stats(const struct kist_oci_container *c, struct kist_error *err)
{
	struct json_object *data = NULL;
	int r = kist_oci_stats_json(c, &data, err);

	return r < 0 ? r : print_event(c->state.id, "stats", data, err);
}

static int watch(const struct kist_oci_container *c, int64_t interval, struct kist_error *err)
{
	uint64_t oom_kills = 0;
	int r = 0, waited = -ETIMEDOUT;

	kist_oci_events_wait(c, &oom_kills, 0); /* those of before are no news */
	while (r == 0 && waited != 0) {
		if (waited < 0)
			r = print_stats(c, err);
		if (r == 0 && (waited = kist_oci_events_wait(c, &oom_kills, interval)) > 0)
			r = print_event(c->state.id, "oom", NULL, err);
	}
	return r;
}

static int events_run(struct kist_cli *cli, void *options, int argc KIST_UNUSED, char **argv, struct kist_error *err)
{
	const struct events_options *o = options;
	struct kist_oci_container *c = NULL;

	if (o->interval <= 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--interval: expected a time above 0");
	int r = kist_oci_load(oci_of(cli)->oci, argv[1], &c, err);
	if (r == 0 && (c->status == KIST_OCI_STOPPED || c->status == KIST_OCI_CREATING))
		r = kist_fail(err, KIST_ERR_STATE, 0, "container not running: container \"%s\" is %s", argv[1],
		              kist_oci_status_name(c->status));
	if (r == 0)
		r = o->stats ? print_stats(c, err) : watch(c, o->interval, err);
	kist_oci_container_free(c);
	return r;
}

const struct kist_command oci_command_events = {
	.name = "events",
	.parent = "",
	.synopsis = "[options] ID",
	.summary = "Print statistics and memory shortages of a container, one JSON object a line",
	.options = (const struct kist_option_set[]){ { events_rows, 0 }, { 0 } },
	.options_size = sizeof(struct events_options),
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE,
	.run = events_run,
};
