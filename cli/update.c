/* kist update. */
#include "cli/create.h"
#include "cli/supervise_commands.h"

#include <stdlib.h>

struct update_options {
	struct create_options create; /* of which only the limits and the health check are here */
	const char *restart;
	bool latest;
};

static const struct kist_option update_rows[] = {
	KIST_OPTION(struct update_options, FLAG, latest, "latest", 'l', .help = "Change the container created last"),
	KIST_OPTION(struct update_options, STRING, restart, "restart", 0, .metavar = "policy",
	            .choices = (const char *const[]){ "no", "on-failure", "always", "unless-stopped", NULL },
	            .help = "What an end is followed by: no, on-failure[:N], always, unless-stopped"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct update_options *o = options;

	(void)argv;
	return kist_cli_check_targets(false, o->latest, argc, err);
}

/* Over what the container has. */
static int change_health(struct kist_health_config *health, void *arg, struct kist_error *err)
{
	return create_health(arg, NULL, health, err);
}

/* 0 is "no limit" to a user, and "not given" in a record. */
static void take_limits_away(struct create_options *o)
{
	const struct kist_opt none = { true, -1 };

	if (o->memory.set && o->memory.value == 0)
		o->memory = none;
	if (o->memory_reservation.set && o->memory_reservation.value == 0)
		o->memory_reservation = none;
	if (o->cpu_quota.set && o->cpu_quota.value == 0)
		o->cpu_quota = none;
	if (o->cpus.set && o->cpus.value == 0 && !o->cpu_quota.set && !o->cpu_period.set) {
		o->cpus.set = false;
		o->cpu_quota = none;
	}
}

static int update_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct update_options *o = options;
	struct kist_container_config config;
	struct kist_update update = { 0 };
	struct kist_container *c = NULL;
	KIST_FREE char *policy = NULL;

	(void)argc;
	kist_container_config_init(&config);
	take_limits_away(&o->create);
	int r = create_limit_values(&o->create, &config, err);
	if (r == 0 && o->restart)
		r = kist_restart_parse(o->restart, &policy, &update.restart_retries, err);
	update.resources = config.resources;
	update.restart_policy = policy;
	if (create_health_given(&o->create)) {
		update.health = change_health;
		update.health_arg = &o->create;
	}
	if (r == 0 && !update.resources && !policy && !update.health)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "nothing to update: give at least one option");
	if (r == 0)
		r = o->latest ? kist_container_latest(cli->k, &c, err) : kist_container_open(cli->k, argv[1], &c, err);
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
	.summary = "Change limits, restart policy and health check of a container",
	.description = "Changes the record of the container, and its cgroup at once while it runs. Prints its id.",
	.examples =
	        (const char *const[]){ "update --memory 256m --cpus 0.5 web", "update --restart always web",
	                               "update --health-cmd 'wget -q -O /dev/null localhost' --health-interval 10s web",
	                               NULL },
	.options = (const struct kist_option_set[]){ { update_rows, 0 },
	                                             { create_limit_rows, offsetof(struct update_options, create) },
	                                             { create_health_rows, offsetof(struct update_options, create) },
	                                             { create_own_limit_rows, offsetof(struct update_options, create) },
	                                             { create_refused_limit_rows, 0 },
	                                             { 0 } },
	.options_size = sizeof(struct update_options),
	.max_args = 1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = update_run,
};
