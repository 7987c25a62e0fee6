/* kist init, kist container cleanup: the two ends of a run, for debugging. */
#include "cli/cli.h"
#include "cli/supervise_commands.h"

#include <errno.h>
#include <stdlib.h>

struct end_options {
	bool all, latest, remove, remove_image;
	const char *exec;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct end_options, type, member, name, letter, ##__VA_ARGS__)
#define DEAD                                 (1u << KIST_CONFIGURED | 1u << KIST_STOPPED | 1u << KIST_EXITED)

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct end_options *o = options;

	(void)argv;
	return kist_cli_check_targets(o->all, o->latest, argc, err);
}

static struct kist_cli_targets targets_of(const struct end_options *o, unsigned mask)
{
	return (struct kist_cli_targets){
		.all = o->all,
		.latest = o->latest,
		.status_mask = o->all ? mask : 0,
		.print_input = true,
		.order = KIST_ORDER_NEEDED_FIRST,
	};
}

static int init_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	(void)cli;
	(void)arg;
	return kist_container_init(c, err);
}

static int init_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_cli_targets targets = targets_of(options, DEAD);

	return kist_cli_each(cli, &targets, argc, argv, init_one, options, err);
}

static const struct kist_option init_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Initialise all containers that have not been"),
	ROW(FLAG, latest, "latest", 'l', .help = "Initialise the container created last"),
	{ 0 },
};

const struct kist_command kist_command_init = {
	.name = "init",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Make containers ready to start",
	.description =
	        "Makes everything that a start makes but for executing the command: mounts, network, cgroup and the\n"
	        "first process, which waits. 'kist start' lets it go on.",
	.options = (const struct kist_option_set[]){ { init_rows, 0 }, { 0 } },
	.options_size = sizeof(struct end_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_STOPPED,
	.completes_rest = KIST_COMPLETE_STOPPED,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = init_run,
};

/* Nothing but its record is left of one that ended. */
static int cleanup_exec(struct kist_container *c, const struct end_options *o, struct kist_error *err)
{
	struct kist_exec_session *session = NULL;

	int r = kist_exec_open(c, o->exec, &session, err);
	if (r == 0 && session->running)
		r = kist_fail(err, KIST_ERR_STATE, EBUSY, "exec session %.12s runs", session->id);
	if (r == 0 && o->remove)
		r = kist_exec_remove(c, session->id, false, err);
	kist_exec_session_free(session);
	return r;
}

static int cleanup_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	const struct end_options *o = arg;
	KIST_FREE char *image = kist_strdup(kist_container_config(c)->image);
	struct kist_error problem = { 0 };

	if (o->exec)
		return cleanup_exec(c, o, err);
	int r = kist_container_cleanup(c, err);
	if (r == 0 && o->remove)
		r = kist_container_remove(c, 0, -1, err);
	if (r < 0 || !o->remove_image || !image)
		return r;
	KIST_STRV char **removed = NULL;
	r = kist_image_remove(cli->k, image, KIST_IMAGE_ALL_NAMES, &removed, &problem);
	/* Another container has it: it stays, as with podman. */
	if (r < 0 && problem.kind != KIST_ERR_IN_USE && problem.kind != KIST_ERR_NOT_FOUND) {
		*err = problem;
		return r;
	}
	return 0;
}

static int cleanup_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct end_options *o = options;

	if (o->exec && (o->all || o->remove_image || argc - (o->latest ? 0 : 1) > 1))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--exec is for one container, and excludes --all and --rmi");
	if (o->remove_image && !o->remove)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--rmi needs --rm: the container uses the image");
	return check(options, argc, argv, err);
}

static int cleanup_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_cli_targets targets = targets_of(options, DEAD | 1u << KIST_CREATED);

	return kist_cli_each(cli, &targets, argc, argv, cleanup_one, options, err);
}

static const struct kist_option cleanup_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Clean up all containers that do not run"),
	ROW(STRING, exec, "exec", 0, .metavar = "session",
	    .help = "Clean up an exec session that has ended, instead of the container; with --rm forget it"),
	ROW(FLAG, latest, "latest", 'l', .help = "Clean up the container created last"),
	ROW(FLAG, remove, "rm", 0, .help = "Remove the container then"),
	ROW(FLAG, remove_image, "rmi", 0, .help = "With --rm: remove its image too, unless another container uses it"),
	{ 0 },
};

const struct kist_command kist_command_cleanup = {
	.name = "cleanup",
	.parent = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Free what containers that ended still hold",
	.description = "The monitor cleans up by itself when a container ends: this is for what a crash left, and for "
	               "containers\n"
	               "that 'kist init' made ready.",
	.options = (const struct kist_option_set[]){ { cleanup_rows, 0 }, { 0 } },
	.options_size = sizeof(struct end_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.check = cleanup_check,
	.run = cleanup_run,
};
