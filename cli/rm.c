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

/* What each of several came to. */
struct rm_told {
	struct rm_options *o;
	kist_host_fn each;
	void *arg;
};

static void rm_end(void *arg, struct kist_container *c, const struct kist_error *problem)
{
	const struct rm_told *told = arg;
	struct rm_options *o = told->o;

	/* Someone else was faster: what was asked for is so. */
	if (problem && problem->kind == KIST_ERR_REMOVED)
		problem = NULL;
	bool runs = problem && (problem->kind == KIST_ERR_STATE || problem->kind == KIST_ERR_IN_USE);
	o->running += runs;
	o->other += problem && !runs;
	told->each(told->arg, c, problem);
}

static void rm_all(struct kist_container *const *list, size_t n, void *arg, kist_host_fn each, void *each_arg)
{
	struct rm_options *o = arg;
	struct rm_told told = { o, each, each_arg };
	/* The infra container goes with its pod: when all go, and when all that depend on it go with it. */
	unsigned flags = flags_of(o) | (o->all || o->depend ? KIST_REMOVE_POD : 0);

	kist_container_remove_several(list, n, flags, o->time.set ? o->time.value : -1, rm_end, &told);
}

/* A record that cannot be loaded can still be removed with --force. 1: it was. */
static int rm_unloaded(struct kist_cli *cli, struct rm_options *o, const char *name, struct kist_error *err)
{
	char id[65];

	if (err->kind == KIST_ERR_CORRUPT && o->force) {
		kist_error_clear(err);
		int r = kist_container_evict(cli->k, name, id, err);
		o->other += r < 0;
		if (r == 0)
			printf("%s\n", name);
		return r < 0 ? r : 1;
	}
	o->missing += err->kind == KIST_ERR_NOT_FOUND;
	o->other += err->kind != KIST_ERR_NOT_FOUND;
	return -1;
}

static bool rm_unopened(struct kist_cli *cli, void *arg, const char *name, struct kist_error *err)
{
	return rm_unloaded(cli, arg, name, err) == 1;
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
	for (size_t i = 0; broken && broken[i]; i++) {
		struct kist_error problem = { .kind = KIST_ERR_CORRUPT };

		if (rm_unloaded(cli, o, broken[i], &problem) < 0)
			kist_complain(cli->program, &problem);
	}
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
		.unopened = rm_unopened,
		.print_input = true,
	};

	int r = kist_cli_together(cli, &targets, argc, argv, rm_all, o, err);
	if (r == KIST_EXIT_ENGINE && !o->running && !o->missing)
		o->other++;
	if (r >= 0 && o->all && o->force)
		r = rm_broken(cli, o, err);
	return r < 0 ? r : exit_code(o);
}

const struct kist_command kist_command_rm = {
	.name = "rm",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Remove containers",
	.description =
	        "Several are stopped at once with --force, and what others of them depend on is removed after those.\n"
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
