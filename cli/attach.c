/* kist attach. */
#include "cli/commands.h"
#include "cli/create.h"

#include <stdlib.h>

struct attach_options {
	bool latest, no_stdin, sig_proxy;
	const char *detach_keys;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct attach_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option attach_rows[] = {
	ROW(STRING, detach_keys, "detach-keys", 0, .metavar = "keys",
	    .help = "Keys that detach, instead of those of kist.conf"),
	ROW(FLAG, latest, "latest", 'l', .help = "Attach to the container created last"),
	ROW(FLAG, no_stdin, "no-stdin", 0, .help = "Do not pass stdin on"),
	ROW(FLAG, sig_proxy, "sig-proxy", 0, .fallback = "true", .help = "Pass signals on to the container"),
	{ 0 },
};

static int attach_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct attach_options *o = options;

	(void)argv;
	int r = cli_detach_keys(o->detach_keys, err);
	return r < 0 ? r : kist_cli_check_targets(false, o->latest, argc, err);
}

static int attach_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct attach_options *o = options;
	struct kist_container *c = NULL;
	struct kist_attach *session = NULL;
	struct kist_attach_io io = {
		.in = o->no_stdin ? -1 : 0,
		.out = 1,
		.err = 2,
		.detach_keys = o->detach_keys,
		.sig_proxy = o->sig_proxy,
	};

	(void)argc;
	int r = o->latest ? kist_container_latest(cli->k, &c, err) : kist_container_open(cli->k, argv[1], &c, err);
	if (r == 0)
		r = kist_attach_open(c, &session, err);
	if (r == 0)
		r = cli_attach(c, session, &io, err);
	kist_attach_free(session);
	kist_container_free(c);
	return r;
}

const struct kist_command kist_command_attach = {
	.name = "attach",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER",
	.summary = "Join this terminal, or these streams, to a running container",
	.description = "The exit code is the container's, or 0 after detaching.",
	.examples = (const char *const[]){ "attach web", "attach --no-stdin --sig-proxy=false web", NULL },
	.options = (const struct kist_option_set[]){ { attach_rows, 0 }, { 0 } },
	.options_size = sizeof(struct attach_options),
	.max_args = 1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.check = attach_check,
	.run = attach_run,
};
