/* kist system reset. */
#include "cli/archive_commands.h"

#include "core/base/str.h"

#include <stdio.h>

struct reset_options {
	bool force;
};

static const struct kist_option reset_rows[] = {
	KIST_OPTION(struct reset_options, FLAG, force, "force", 'f', .help = "Do not ask"),
	{ 0 },
};

static int reset_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct reset_options *o = options;
	const struct kist_settings *settings = kist_settings(cli->k);
	KIST_FREE char *warning = kist_asprintf("This removes all containers, pods, images, volumes, networks and "
	                                        "secrets, and what kist has in %s and %s.",
	                                        settings->root, settings->runroot);

	(void)argc;
	(void)argv;
	return o->force || kist_cli_agreed(warning) ? kist_store_reset(cli->k, err) : 0;
}

const struct kist_command kist_command_system_reset = {
	.name = "reset",
	.parent = "system",
	.synopsis = "[options]",
	.summary = "Remove everything, as before the first use",
	.description =
	        "Removes all containers, whether they run or not, pods, images, volumes, networks and secrets, and "
	        "what\n"
	        "is left of the store's files. Images of further stores stay.",
	.examples = (const char *const[]){ "system reset --force", NULL },
	.options = (const struct kist_option_set[]){ { reset_rows, 0 }, { 0 } },
	.options_size = sizeof(struct reset_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = reset_run,
};
