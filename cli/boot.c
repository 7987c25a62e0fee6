/* kist boot, kist shutdown. */
#include "cli/cli.h"
#include "cli/supervise_commands.h"

#include <stdio.h>

struct host_options {
	struct kist_opt time;
};

struct host {
	struct kist_cli *cli;
	int failed;
};

static void acted(void *arg, struct kist_container *c, const struct kist_error *problem)
{
	struct host *host = arg;

	if (!problem) {
		printf("%s\n", kist_container_name(c));
		return;
	}
	kist_complain(host->cli->program, problem);
	host->failed++;
}

static int boot_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct host host = { .cli = cli };

	(void)options;
	(void)argc;
	(void)argv;
	int r = kist_boot(cli->k, acted, &host, err);
	return r < 0 ? r : host.failed ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_boot = {
	.name = "boot",
	.parent = "",
	.synopsis = "",
	.summary = "Start the containers whose restart policy says so",
	.description =
	        "For init scripts: starts, in the order of dependencies, the containers with --restart=always, and "
	        "those\n"
	        "with unless-stopped that no user stopped last. Prints the names of those it started.",
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = boot_run,
};

static int shutdown_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct host_options *o = options;
	struct host host = { .cli = cli };

	(void)argc;
	(void)argv;
	int r = kist_shutdown(cli->k, o->time.set ? o->time.value : -1, acted, &host, err);
	return r < 0 ? r : host.failed ? KIST_EXIT_ENGINE : 0;
}

static const struct kist_option shutdown_rows[] = {
	KIST_OPTION(struct host_options, OPT_I64, time, "time", 't', .metavar = "seconds",
	            .aliases = (const char *const[]){ "timeout", NULL },
	            .help = "Time between the stop signal and SIGKILL, instead of each container's own"),
	{ 0 },
};

const struct kist_command kist_command_shutdown = {
	.name = "shutdown",
	.parent = "",
	.synopsis = "[options]",
	.summary = "Stop all containers before the host goes down",
	.description =
	        "For init scripts: stops all containers, dependents first and else at once. Unlike 'kist stop' it "
	        "does not\n"
	        "keep 'kist boot' from starting them again. Prints the names of those it stopped.",
	.options = (const struct kist_option_set[]){ { shutdown_rows, 0 }, { 0 } },
	.options_size = sizeof(struct host_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = shutdown_run,
};
