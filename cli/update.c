/* kist update. */
#include "cli/create.h"
#include "cli/supervise_commands.h"

#include <stdlib.h>

struct update_options {
	struct create_options create; /* of which only the limits are here */
	const char *restart;
};

static const struct kist_option update_rows[] = {
	KIST_OPTION(struct update_options, STRING, restart, "restart", 0, .metavar = "policy",
	            .choices = (const char *const[]){ "no", "on-failure", "always", "unless-stopped", NULL },
	            .help = "What an end is followed by: no, on-failure[:N], always, unless-stopped"),
	{ 0 },
};

static int update_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct update_options *o = options;
	struct kist_container_config config;
	struct kist_update update = { 0 };
	struct kist_container *c = NULL;
	KIST_FREE char *policy = NULL;

	(void)argc;
	kist_container_config_init(&config);
	int r = create_limit_values(&o->create, &config, err);
	if (r == 0 && o->restart)
		r = kist_restart_parse(o->restart, &policy, &update.restart_retries, err);
	update.resources = config.resources;
	update.restart_policy = policy;
	if (r == 0 && !update.resources && !policy)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "nothing to update: give at least one option");
	if (r == 0)
		r = kist_container_open(cli->k, argv[1], &c, err);
	if (r == 0)
		r = kist_container_update(c, &update, err);
	if (r == 0)
		printf("%s\n", kist_container_id(c));
	kist_container_free(c);
	kist_container_config_clear(&config);
	return r;
}

const struct kist_command kist_command_update = {
	.name = "update",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER",
	.summary = "Change limits and restart policy of a container",
	.description = "Changes the record of the container, and its cgroup at once while it runs. Prints its id.",
	.examples = (const char *const[]){ "update --memory 256m --cpus 0.5 web", "update --restart always web", NULL },
	.options = (const struct kist_option_set[]){ { update_rows, 0 },
	                                             { create_limit_rows, offsetof(struct update_options, create) },
	                                             { create_own_limit_rows, offsetof(struct update_options, create) },
	                                             { 0 } },
	.options_size = sizeof(struct update_options),
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = update_run,
};
