/* kist stop, restart, kill, pause, unpause: one act on each of several containers. */
#include "cli/commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define RUNNING (1u << KIST_RUNNING)
#define LIVE    (RUNNING | 1u << KIST_STOPPING | 1u << KIST_PAUSED | 1u << KIST_CREATED)

struct act_options {
	bool all, latest, ignore, running;
	char **filter, **cidfile;
	struct kist_opt time;
	const char *signal_name;
	int signal_number;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct act_options, type, member, name, letter, ##__VA_ARGS__)
#define ROW_ALL                              ROW(FLAG, all, "all", 'a', .help = "Act on all containers")
#define ROW_LATEST                           ROW(FLAG, latest, "latest", 'l', .help = "Act on the container created last")
#define ROW_FILTER                           ROW(LIST, filter, "filter", 'f', .metavar = "key=value", .help = "Act on the containers that match")
#define ROW_CIDFILE                                                                                                    \
	ROW(LIST, cidfile, "cidfile", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,                           \
	    .help = "Read the container's id from a file")
#define ROW_TIME                                                                                                       \
	ROW(OPT_I64, time, "time", 't', .metavar = "seconds", .aliases = (const char *const[]){ "timeout", NULL },     \
	    .help = "Time between the stop signal and SIGKILL, instead of the container's own; -1: its own")

static int check_targets(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct act_options *o = options;

	(void)argv;
	if (o->filter && argc == 1 && !o->latest)
		return 0;
	if (o->cidfile && argc == 1 && !o->all && !o->latest)
		return 0;
	return kist_cli_check_targets(o->all || o->running || o->filter, o->latest, argc, err);
}

static struct kist_cli_targets targets_of(const struct act_options *o, unsigned status_mask)
{
	return (struct kist_cli_targets){
		.all = o->all || o->running,
		.latest = o->latest,
		.ignore_missing = o->ignore,
		.filters = o->filter,
		.cidfiles = o->cidfile,
		.status_mask = o->all || o->running || o->filter ? status_mask : 0,
		.print_input = true,
	};
}

/* --- stop -----------------------------------------------------------------------------------------------------------
 */

struct stop_told {
	kist_host_fn each;
	void *arg;
};

static void stop_end(void *arg, struct kist_container *c, const struct kist_error *problem)
{
	const struct stop_told *told = arg;

	/* As podman: stopping what is stopped is no failure. */
	bool fine =
	        problem && (problem->kind == KIST_ERR_STOPPED ||
	                    (problem->kind == KIST_ERR_STATE && kist_container_state(c)->status == KIST_CONFIGURED));
	told->each(told->arg, c, fine ? NULL : problem);
}

static void stop_all(struct kist_container *const *list, size_t n, void *arg, kist_host_fn each, void *each_arg)
{
	const struct act_options *o = arg;
	struct stop_told told = { each, each_arg };

	kist_container_stop_several(list, n, o->time.set ? o->time.value : -1, stop_end, &told);
}

static int stop_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct act_options *o = options;
	/* A stopped one may be waiting for its next run. */
	struct kist_cli_targets targets = targets_of(o, LIVE | 1u << KIST_STOPPED);

	targets.passes_over = true;
	return kist_cli_together(cli, &targets, argc, argv, stop_all, o, err);
}

static const struct kist_option stop_rows[] = {
	ROW_ALL,    ROW_CIDFILE,
	ROW_FILTER, ROW(FLAG, ignore, "ignore", 'i', .help = "A missing container is no error"),
	ROW_LATEST, ROW_TIME,
	{ 0 },
};

const struct kist_command kist_command_stop = {
	.name = "stop",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Stop containers",
	.description = "Sends the container's stop signal, and SIGKILL when it has not ended in its stop time-out. "
	               "Several are stopped at once, but what others of them depend on after those.",
	.options = (const struct kist_option_set[]){ { stop_rows, 0 }, { 0 } },
	.options_size = sizeof(struct act_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.completes_rest = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.check = check_targets,
	.run = stop_run,
};

/* --- restart --------------------------------------------------------------------------------------------------------
 */

static void restart_all(struct kist_container *const *list, size_t n, void *arg, kist_host_fn each, void *each_arg)
{
	const struct act_options *o = arg;

	kist_container_restart_several(list, n, o->time.set ? o->time.value : -1, each, each_arg);
}

static int restart_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct act_options *o = options;
	struct kist_cli_targets targets = targets_of(o, o->running ? RUNNING : 0);

	return kist_cli_together(cli, &targets, argc, argv, restart_all, o, err);
}

static const struct kist_option restart_rows[] = {
	ROW_ALL,
	ROW_CIDFILE,
	ROW_FILTER,
	ROW_LATEST,
	ROW(FLAG, running, "running", 0, .help = "Restart the running containers only"),
	ROW_TIME,
	{ 0 },
};

const struct kist_command kist_command_restart = {
	.name = "restart",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Restart containers",
	.description =
	        "Stops those that run and starts them again. Several are stopped at once, but what others of them "
	        "depend on after those, and before those it is started.",
	.options = (const struct kist_option_set[]){ { restart_rows, 0 }, { 0 } },
	.options_size = sizeof(struct act_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.check = check_targets,
	.run = restart_run,
};

/* --- kill -----------------------------------------------------------------------------------------------------------
 */

static int kill_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	const struct act_options *o = arg;

	(void)cli;
	return kist_container_kill(c, o->signal_number, err);
}

static int kill_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct act_options *o = options;

	o->signal_number = kist_parse_signal(o->signal_name);
	if (o->signal_number <= 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "signal '%s' is not known", o->signal_name);
	struct kist_cli_targets targets = targets_of(o, RUNNING | 1u << KIST_STOPPING | 1u << KIST_PAUSED);

	/* Some may have ended of another's end: who shares a PID namespace, say. */
	targets.passes_over = true;
	return kist_cli_each(cli, &targets, argc, argv, kill_one, o, err);
}

static const struct kist_option kill_rows[] = {
	ROW_ALL,
	ROW_CIDFILE,
	ROW_LATEST,
	ROW(STRING, signal_name, "signal", 's', .metavar = "signal", .fallback = "KILL",
	    .help = "Signal to send, by name or number"),
	{ 0 },
};

const struct kist_command kist_command_kill = {
	.name = "kill",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Send a signal to the first process of containers",
	.options = (const struct kist_option_set[]){ { kill_rows, 0 }, { 0 } },
	.options_size = sizeof(struct act_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.completes_rest = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.check = check_targets,
	.run = kill_run,
};

/* --- pause, unpause -------------------------------------------------------------------------------------------------
 */

static int pause_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	(void)cli;
	(void)arg;
	return kist_container_pause(c, err);
}

static int unpause_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	(void)cli;
	(void)arg;
	return kist_container_unpause(c, err);
}

static int pause_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_cli_targets targets = targets_of(options, RUNNING);

	targets.passes_over = true;
	return kist_cli_each(cli, &targets, argc, argv, pause_one, NULL, err);
}

static int unpause_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_cli_targets targets = targets_of(options, 1u << KIST_PAUSED);

	targets.passes_over = true;
	return kist_cli_each(cli, &targets, argc, argv, unpause_one, NULL, err);
}

static const struct kist_option pause_rows[] = { ROW_ALL, ROW_CIDFILE, ROW_FILTER, ROW_LATEST, { 0 } };
static const struct kist_option_set pause_sets[] = { { pause_rows, 0 }, { 0 } };

const struct kist_command kist_command_pause = {
	.name = "pause",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Freeze all processes of containers",
	.options = pause_sets,
	.options_size = sizeof(struct act_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.completes_rest = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.check = check_targets,
	.run = pause_run,
};

const struct kist_command kist_command_unpause = {
	.name = "unpause",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Let frozen containers go on",
	.options = pause_sets,
	.options_size = sizeof(struct act_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_PAUSED,
	.completes_rest = KIST_COMPLETE_PAUSED,
	.needs = KIST_NEEDS_STORE,
	.check = check_targets,
	.run = unpause_run,
};
