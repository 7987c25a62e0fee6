/* kist start, attach-able; wait; rename; exists. */
#include "cli/commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- start ----------------------------------------------------------------------------------------------------------
 */

struct start_options {
	bool all, attach, interactive, latest, sig_proxy;
	const char *detach_keys;
	struct kist_opt ready_fd;
	char **filter;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct start_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option start_rows[] = {
	ROW(FLAG, all, "all", 0, .help = "Start all containers that do not run"),
	ROW(FLAG, attach, "attach", 'a', .help = "Show the container's output, and return its exit code"),
	ROW(STRING, detach_keys, "detach-keys", 0, .metavar = "keys", .help = "Keys that detach"),
	ROW(LIST, filter, "filter", 'f', .metavar = "key=value", .help = "Start the containers that match"),
	ROW(FLAG, interactive, "interactive", 'i', .help = "Pass stdin on"),
	ROW(FLAG, latest, "latest", 'l', .help = "Start the container created last"),
	ROW(OPT_U64, ready_fd, "ready-fd", 0, .metavar = "fd",
	    .help = "Write a newline to this file descriptor when the container is ready, as s6 wants it"),
	ROW(FLAG, sig_proxy, "sig-proxy", 0, .fallback = "true",
	    .help = "With --attach: pass signals on to the container"),
	{ 0 },
};

static int start_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct start_options *o = options;

	(void)argv;
	if (o->ready_fd.set && (o->all || o->filter || argc > 2))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--ready-fd is for one container");
	if ((o->attach || o->interactive) && (o->all || o->filter || argc > 2))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "only one container can be started with --attach or --interactive");
	int r = cli_detach_keys(o->detach_keys, err);
	return r < 0 ? r : kist_cli_check_targets(o->all || o->filter, o->latest, argc, err);
}

static int start_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	const struct start_options *o = arg;
	struct kist_start start = { .recursive = true, .notify_socket = getenv("NOTIFY_SOCKET") };

	(void)cli;
	int r = cli_ready_fd(&o->ready_fd, &start, err);
	if (r < 0)
		return r;
	if (kist_container_state(c)->status == KIST_RUNNING && kist_container_sync(c, NULL) == 0 &&
	    kist_container_state(c)->status == KIST_RUNNING)
		return 0; /* as podman: it runs, which is what was asked for */
	return kist_container_start(c, &start, NULL, err);
}

static int start_attached(struct kist_cli *cli, const struct start_options *o, const char *name, struct kist_error *err)
{
	struct kist_container *c = NULL;
	struct kist_attach *session = NULL;
	struct kist_start start = { .attach = true, .recursive = true, .notify_socket = getenv("NOTIFY_SOCKET") };

	int r = cli_ready_fd(&o->ready_fd, &start, err);
	if (r < 0)
		return r;
	r = name ? kist_container_open(cli->k, name, &c, err) : kist_container_latest(cli->k, &c, err);
	if (r < 0)
		return r;
	struct kist_attach_io io = {
		.in = o->interactive ? 0 : -1,
		.out = 1,
		.err = 2,
		.detach_keys = o->detach_keys,
		.sig_proxy = o->sig_proxy,
	};
	if (kist_container_config(c)->tty)
		cli_window_size(&start);
	/* As podman: to start what runs is to attach to it. */
	if (kist_container_sync(c, NULL) == 0 && kist_container_state(c)->status == KIST_RUNNING)
		r = kist_attach_open(c, &session, err);
	else
		r = kist_container_start(c, &start, &session, err);
	if (r == 0)
		r = cli_attach(c, session, &io, err);
	kist_attach_free(session);
	kist_container_free(c);
	return r;
}

static int start_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct start_options *o = options;

	if (o->attach || o->interactive)
		return start_attached(cli, o, o->latest ? NULL : argv[1], err);
	struct kist_cli_targets targets = {
		.all = o->all,
		.latest = o->latest,
		.filters = o->filter,
		.status_mask =
		        o->all ? 1u << KIST_CONFIGURED | 1u << KIST_CREATED | 1u << KIST_STOPPED | 1u << KIST_EXITED
		               : 0,
		.print_input = true,
		.order = KIST_ORDER_NEEDED_FIRST,
	};
	return kist_cli_each(cli, &targets, argc, argv, start_one, options, err);
}

const struct kist_command kist_command_start = {
	.name = "start",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Start containers",
	.options = (const struct kist_option_set[]){ { start_rows, 0 }, { 0 } },
	.options_size = sizeof(struct start_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_STOPPED,
	.completes_rest = KIST_COMPLETE_STOPPED,
	.needs = KIST_NEEDS_STORE,
	.check = start_check,
	.run = start_run,
};

/* --- wait -----------------------------------------------------------------------------------------------------------
 */

struct wait_options {
	char **condition;
	bool ignore, latest;
	const char *interval;
};

static const struct kist_option wait_rows[] = {
	KIST_OPTION(struct wait_options, COMMAS, condition, "condition", 0, .metavar = "state",
	            .help = "State to wait for instead of stopped; healthy or unhealthy"),
	KIST_OPTION(struct wait_options, FLAG, ignore, "ignore", 0,
	            .help = "A missing container is no error; its code is -1"),
	KIST_OPTION(struct wait_options, STRING, interval, "interval", 'i', .metavar = "duration",
	            .help = "Accepted for scripts and checked: events are waited for, and nothing is asked again and "
	                    "again"),
	KIST_OPTION(struct wait_options, FLAG, latest, "latest", 'l', .help = "Wait for the container created last"),
	{ 0 },
};

static int wait_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct wait_options *o = options;
	int64_t interval;
	uint32_t ms;

	(void)argv;
	if (o->interval && kist_parse_duration(o->interval, &interval) < 0 && kist_parse_u32(o->interval, &ms) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "interval '%s': expected a duration such as 250ms",
		                 o->interval);
	return kist_cli_check_targets(false, o->latest, argc, err);
}

static int wait_one(struct kist_cli *cli, const struct wait_options *o, const char *name, unsigned mask)
{
	struct kist_error err = { 0 };
	int code = -1;

	if (kist_container_wait(cli->k, name, mask, &code, &err) < 0 &&
	    !(o->ignore && err.kind == KIST_ERR_NOT_FOUND)) {
		kist_complain(cli->program, &err);
		return KIST_EXIT_ENGINE;
	}
	/* podman prints -1 for conditions that say nothing of an exit. */
	bool exits = mask == 0 || mask & (1u << KIST_STOPPED | 1u << KIST_EXITED);
	printf("%d\n", exits ? code : -1);
	return 0;
}

static int wait_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct wait_options *o = options;
	unsigned mask = 0;
	int worst = 0;

	for (size_t i = 0; o->condition && o->condition[i]; i++) {
		enum kist_status status;
		if (kist_streq(o->condition[i], "healthy")) {
			mask |= KIST_WAIT_HEALTHY;
			continue;
		}
		if (kist_streq(o->condition[i], "unhealthy")) {
			mask |= KIST_WAIT_UNHEALTHY;
			continue;
		}
		if (kist_status_parse(o->condition[i], &status) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "condition '%s' is not a state of a container",
			                 o->condition[i]);
		mask |= 1u << status;
	}
	if (o->latest) {
		struct kist_container *c = NULL;
		int r = kist_container_latest(cli->k, &c, err);
		if (r < 0)
			return r;
		worst = wait_one(cli, o, kist_container_id(c), mask);
		kist_container_free(c);
	}
	for (int i = 1; i < argc; i++) {
		int r = wait_one(cli, o, argv[i], mask);
		worst = r > worst ? r : worst;
	}
	return worst;
}

const struct kist_command kist_command_wait = {
	.name = "wait",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Wait until containers stop and print their exit codes",
	.options = (const struct kist_option_set[]){ { wait_rows, 0 }, { 0 } },
	.options_size = sizeof(struct wait_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.completes_rest = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.check = wait_check,
	.run = wait_run,
};

/* --- rename, exists -------------------------------------------------------------------------------------------------
 */

static int rename_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_container *c = NULL;

	(void)options;
	(void)argc;
	int r = kist_container_open(cli->k, argv[1], &c, err);
	if (r == 0)
		r = kist_container_rename(c, argv[2], err);
	kist_container_free(c);
	return r;
}

const struct kist_command kist_command_rename = {
	.name = "rename",
	.parent = "",
	.also_under = "container",
	.synopsis = "CONTAINER NAME",
	.summary = "Give a container another name",
	.min_args = 2,
	.max_args = 2,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = rename_run,
};

struct exists_options {
	bool external;
};

static const struct kist_option exists_rows[] = {
	KIST_OPTION(struct exists_options, FLAG, external, "external", 0,
	            .help = "Look among the storage containers too, whose record is lost or damaged"),
	{ 0 },
};

static int exists_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct exists_options *o = options;
	struct kist_container *c = NULL;

	(void)argc;
	int r = kist_container_open(cli->k, argv[1], &c, err);
	kist_container_free(c);
	char id[65];
	if (r < 0 && o->external && (err->kind == KIST_ERR_NOT_FOUND || err->kind == KIST_ERR_CORRUPT)) {
		kist_error_clear(err);
		return cli_storage_find(cli, argv[1], id, err);
	}
	return kist_cli_exists(r, err);
}

const struct kist_command kist_command_exists = {
	.name = "exists",
	.parent = "container",
	.synopsis = "[options] CONTAINER",
	.summary = "Tell by the exit code whether a container exists",
	.description = "Exit code 0: it exists, 1: it does not.",
	.options = (const struct kist_option_set[]){ { exists_rows, 0 }, { 0 } },
	.options_size = sizeof(struct exists_options),
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = exists_run,
};
