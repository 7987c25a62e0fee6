/* kist healthcheck run. */
#include "cli/view_commands.h"

#include <errno.h>

struct healthcheck_options {
	bool ignore_result;
};

static const struct kist_option healthcheck_rows[] = {
	KIST_OPTION(struct healthcheck_options, FLAG, ignore_result, "ignore-result", 0,
	            .help = "Exit with 0 when the check was run, whatever it said"),
	{ 0 },
};

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct healthcheck_options *o = options;
	struct kist_container *c = NULL;
	struct kist_health health;

	(void)argc;
	int r = kist_container_open(cli->k, argv[1], &c, err);
	if (r == 0)
		r = kist_container_healthcheck(c, err);
	if (r > 0) {
		/* As podman: the word, when it is not fine. */
		kist_container_health(c, &health);
		puts(kist_health_status_name((enum kist_health_status)health.status));
		kist_health_clear(&health);
	}
	kist_container_free(c);
	return r > 0 && o->ignore_result ? 0 : r;
}

const struct kist_command kist_command_healthcheck = {
	.name = "healthcheck",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Commands on health checks",
	.is_group = true,
};

const struct kist_command kist_command_healthcheck_run = {
	.name = "run",
	.parent = "healthcheck",
	.synopsis = "[options] CONTAINER",
	.summary = "Run a container's health check now",
	.description =
	        "Runs the check of a running container, and waits for its end. The outcome counts as that of any "
	        "other check.\n"
	        "Exit code 0: it passed; 1: it failed, and the container's health is printed.",
	.examples = (const char *const[]){ "healthcheck run web", NULL },
	.options = (const struct kist_option_set[]){ { healthcheck_rows, 0 }, { 0 } },
	.options_size = sizeof(struct healthcheck_options),
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.run = run,
};
