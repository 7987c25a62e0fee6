/* kist rm. */
#include "cli/commands.h"

#include <errno.h>
#include <stdlib.h>

struct rm_options {
	bool all, force, latest, ignore, depend, volumes;
	char **filter, **cidfile;
	struct kist_opt time;
	int missing, running, other; /* failures by kind, for the exit code */
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct rm_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option rm_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Remove all containers"),
	ROW(LIST, cidfile, "cidfile", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,
	    .help = "Read the container's id from a file"),
	ROW(FLAG, depend, "depend", 0, .help = "Remove the containers that depend on it first"),
	ROW(LIST, filter, "filter", 0, .metavar = "key=value", .help = "Remove the containers that match"),
	ROW(FLAG, force, "force", 'f', .help = "Stop it when it runs; a missing container is no error"),
	ROW(FLAG, ignore, "ignore", 'i', .help = "A missing container is no error"),
	ROW(FLAG, latest, "latest", 'l', .help = "Remove the container created last"),
	ROW(OPT_I64, time, "time", 't', .metavar = "seconds",
	    .help = "With --force: time between the stop signal and SIGKILL"),
	ROW(FLAG, volumes, "volumes", 'v', .help = "Remove its anonymous volumes too"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct rm_options *o = options;

	(void)argv;
	if (o->time.set && !o->force)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--time needs --force");
	if (o->cidfile && argc == 1 && !o->all && !o->latest)
		return 0;
	return kist_cli_check_targets(o->all || o->filter, o->latest, argc, err);
}

static unsigned flags_of(const struct rm_options *o)
{
	return (o->force ? KIST_REMOVE_FORCE : 0) | (o->depend ? KIST_REMOVE_DEPEND : 0) |
	       (o->volumes ? KIST_REMOVE_VOLUMES : 0);
}

static int rm_pod(struct kist_cli *cli, const struct kist_container *c, unsigned flags, int64_t timeout,
                  struct kist_error *err)
{
	struct kist_pod *pod = NULL;

	int r = kist_pod_open(cli->k, kist_container_config(c)->pod, &pod, err);
	if (r == 0)
		r = kist_pod_remove(pod, flags, timeout, err);
	kist_pod_free(pod);
	return r;
}

static int rm_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	struct rm_options *o = arg;
	struct kist_error problem = { 0 };

	int64_t timeout = o->time.set ? o->time.value : -1;
	/* The infra container goes with its pod: when all go, and when all that depend on it go with it. */
	bool pod = kist_container_config(c)->infra && (o->all || o->depend);
	int r = pod ? rm_pod(cli, c, flags_of(o), timeout, &problem)
	            : kist_container_remove(c, flags_of(o), timeout, &problem);
	/* Someone else was faster: what was asked for is so. */
	if (r < 0 && problem.kind == KIST_ERR_REMOVED)
		return 0;
	if (r < 0) {
		o->running += problem.kind == KIST_ERR_STATE || problem.kind == KIST_ERR_IN_USE;
		o->other += problem.kind != KIST_ERR_STATE && problem.kind != KIST_ERR_IN_USE;
		*err = problem;
	}
	return r;
}

/* Names one by one, because a record that cannot be loaded can still be removed with --force. */
static int rm_name(struct kist_cli *cli, struct rm_options *o, const char *name)
{
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };
	char id[65];

	int r = kist_container_open(cli->k, name, &c, &err);
	if (r == 0) {
		r = rm_one(cli, c, o, &err);
		kist_container_free(c);
	} else if (err.kind == KIST_ERR_CORRUPT && o->force) {
		kist_error_clear(&err);
		r = kist_container_evict(cli->k, name, id, &err);
		o->other += r < 0;
	} else if (err.kind == KIST_ERR_NOT_FOUND && (o->force || o->ignore)) {
		return 0;
	} else {
		o->missing += err.kind == KIST_ERR_NOT_FOUND;
		o->other += err.kind != KIST_ERR_NOT_FOUND;
	}
	if (r < 0)
		kist_complain(cli->program, &err);
	else
		printf("%s\n", name);
	return r;
}

static int rm_broken(struct kist_cli *cli, struct rm_options *o, struct kist_error *err)
{
	struct kist_container **list = NULL;
	KIST_STRV char **broken = NULL;
	size_t n = 0;

	int r = kist_container_list(cli->k, &list, &n, &broken, err);
	if (r < 0)
		return r;
	kist_container_list_free(list, n);
	for (size_t i = 0; broken && broken[i]; i++)
		rm_name(cli, o, broken[i]);
	return 0;
}

/* podman-rm(1): 1 when a container was missing, 2 when one was running or depended upon, 125 otherwise. */
static int exit_code(const struct rm_options *o)
{
	if (o->other)
		return KIST_EXIT_ENGINE;
	return o->running ? 2 : o->missing ? 1 : 0;
}

static int rm_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct rm_options *o = options;
	struct kist_cli_targets targets = {
		.all = o->all,
		.latest = o->latest,
		.ignore_missing = o->ignore || o->force,
		.filters = o->filter,
		.cidfiles = o->cidfile,
		.order = KIST_ORDER_NEEDED_LAST,
	};

	for (int i = 1; i < argc; i++)
		rm_name(cli, o, argv[i]);
	int r = kist_cli_each(cli, &targets, 1, argv, rm_one, o, err);
	if (r == KIST_EXIT_ENGINE && !o->running)
		o->other++;
	if (r >= 0 && o->all && o->force) {
		r = rm_broken(cli, o, err);
	}
	return r < 0 ? r : exit_code(o);
}

const struct kist_command kist_command_rm = {
	.name = "rm",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Remove containers",
	.description =
	        "Exit code 1: a container did not exist; 2: one was running or paused and --force was not given.",
	.options = (const struct kist_option_set[]){ { rm_rows, 0 }, { 0 } },
	.options_size = sizeof(struct rm_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = rm_run,
};
