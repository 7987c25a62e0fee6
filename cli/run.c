/* kist run and kist create. */
#include "cli/create.h"
#include "cli/commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct run_options {
	struct create_options create;
	bool detach, sig_proxy;
	const char *detach_keys;
	char **attach;
	struct kist_opt preserve_fds, ready_fd;
};

static const struct kist_option run_rows[] = {
	KIST_OPTION(struct run_options, COMMAS, attach, "attach", 'a', .metavar = "stream",
	            .help = "Attach only to stdin, stdout or stderr"),
	KIST_OPTION(struct run_options, FLAG, detach, "detach", 'd', .help = "Run in the background and print the id"),
	KIST_OPTION(struct run_options, STRING, detach_keys, "detach-keys", 0, .metavar = "keys",
	            .help = "Keys that detach from the container"),
	KIST_OPTION(struct run_options, OPT_U64, preserve_fds, "preserve-fds", 0, .metavar = "n",
	            .help = "Pass file descriptors 3 to 3+n-1 on"),
	KIST_OPTION(struct run_options, OPT_U64, ready_fd, "ready-fd", 0, .metavar = "fd",
	            .help = "Write a newline to this file descriptor when the container is ready, as s6 wants it"),
	KIST_OPTION(struct run_options, FLAG, sig_proxy, "sig-proxy", 0, .fallback = "true",
	            .help = "Pass signals on to the container"),
	{ 0 },
};

static const struct kist_option_set run_sets[] = {
	{ run_rows, 0 },
	{ create_option_rows, offsetof(struct run_options, create) },
	{ create_shared_rows, offsetof(struct run_options, create) },
	{ create_cloned_rows, offsetof(struct run_options, create) },
	{ create_refused_rows, offsetof(struct run_options, create) },
	{ create_limit_rows, offsetof(struct run_options, create) },
	{ create_health_rows, offsetof(struct run_options, create) },
	{ create_own_limit_rows, offsetof(struct run_options, create) },
	{ cli_registry_rows, offsetof(struct run_options, create.registry) },
	{ cli_platform_rows, offsetof(struct run_options, create.platform) },
	{ 0 },
};

const struct kist_option_set create_option_sets[] = {
	{ create_option_rows, 0 },
	{ create_shared_rows, 0 },
	{ create_cloned_rows, 0 },
	{ create_refused_rows, 0 },
	{ create_limit_rows, 0 },
	{ create_health_rows, 0 },
	{ create_own_limit_rows, 0 },
	{ cli_registry_rows, offsetof(struct create_options, registry) },
	{ cli_platform_rows, offsetof(struct create_options, platform) },
	{ 0 },
};

static int create_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_container *c = NULL;

	int r = create_container(cli, options, argc - 1, argv + 1, &c, err);
	if (r < 0)
		return r;
	printf("%s\n", kist_container_id(c));
	kist_container_free(c);
	return 0;
}

const struct kist_command kist_command_create = {
	.name = "create",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] IMAGE [COMMAND [ARG...]]",
	.summary = "Create a container without starting it",
	.description = "Creates a container from an image, or with --rootfs from a directory, and prints its id.\n"
	               "'kist start' starts it.",
	.options = create_option_sets,
	.options_size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = -1,
	.stop_at_positional = true,
	.completes_first = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = create_run,
};

/* --- run ------------------------------------------------------------------------------------------------------------
 */

static int attach_streams(const struct run_options *o, struct kist_attach_io *io, struct kist_error *err)
{
	bool in = !o->attach, out = !o->attach, errors = !o->attach;

	for (size_t i = 0; o->attach && o->attach[i]; i++) {
		const char *name = o->attach[i];
		if (kist_streq(name, "stdin"))
			in = true;
		else if (kist_streq(name, "stdout"))
			out = true;
		else if (kist_streq(name, "stderr"))
			errors = true;
		else
			return kist_fail(err, KIST_ERR_INVALID, 0, "attach '%s': expected stdin, stdout or stderr",
			                 name);
	}
	*io = (struct kist_attach_io){
		.in = in ? 0 : -1,
		.out = out ? 1 : -1,
		.err = errors ? 2 : -1,
		.detach_keys = o->detach_keys,
		.sig_proxy = o->sig_proxy,
	};
	return 0;
}

void cli_window_size(struct kist_start *start)
{
	struct winsize size;

	for (int fd = 0; fd < 3; fd++)
		if (ioctl(fd, TIOCGWINSZ, &size) == 0) {
			start->rows = size.ws_row;
			start->cols = size.ws_col;
			return;
		}
}

int cli_ready_fd(const struct kist_opt *given, struct kist_start *start, struct kist_error *err)
{
	if (given->set && (given->value < 3 || given->value > 1024))
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "--ready-fd: expected 3 to 1024");
	start->ready_fd = (unsigned)given->value;
	return 0;
}

int cli_detach_keys(const char *keys, struct kist_error *err)
{
	unsigned char parsed[16];

	return kist_detach_keys_parse(keys, parsed) < 0
	               ? kist_fail(err, KIST_ERR_INVALID, 0,
	                           "detach-keys '%s': expected characters or ctrl-X, comma separated", keys)
	               : 0;
}

int cli_attach(struct kist_container *c, struct kist_attach *session, const struct kist_attach_io *io,
               struct kist_error *err)
{
	int code = 0;
	int r = kist_attach_run(session, io, &code, err);

	if (r == KIST_ATTACH_DETACHED)
		return 0;
	if (r == KIST_ATTACH_LOST)
		return kist_fail(err, KIST_ERR_INTERNAL, EPIPE,
		                 "container %s: its monitor was killed: the exit code is unknown",
		                 kist_container_name(c));
	return r < 0 ? kist_context(err, "container %s", kist_container_name(c)) : code;
}

static int run_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct run_options *o = options;
	struct kist_container *c = NULL;
	struct kist_attach *session = NULL;
	struct kist_attach_io io = { .in = -1, .out = -1, .err = -1 };
	struct kist_start start = { .attach = !o->detach,
		                    .recursive = true,
		                    .preserve_fds = (unsigned)o->preserve_fds.value,
		                    .notify_socket = getenv("NOTIFY_SOCKET") };

	if (o->detach && o->attach)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--attach and --detach exclude each other");
	int r = cli_ready_fd(&o->ready_fd, &start, err);
	if (r < 0)
		return r;
	if (o->preserve_fds.set && o->preserve_fds.value > 1024)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--preserve-fds: at most 1024");
	r = cli_detach_keys(o->detach_keys, err);
	if (r == 0)
		r = attach_streams(o, &io, err);
	if (r < 0)
		return r;
	if (!start.preserve_fds && !start.ready_fd && kist_empty(start.notify_socket))
		kist_start_ahead(cli->k);
	r = create_container(cli, &o->create, argc - 1, argv + 1, &c, err);
	if (r < 0)
		return r;
	if (o->create.tty)
		cli_window_size(&start);
	r = kist_container_start(c, &start, &session, err);
	if (r == 0 && o->detach) {
		printf("%s\n", kist_container_id(c));
	} else if (r == 0) {
		r = cli_attach(c, session, &io, err);
	} else if (o->create.remove) {
		/* The monitor removes it when it got that far; what is left otherwise is ours to remove. */
		kist_container_remove(c, KIST_REMOVE_FORCE, 0, NULL);
	}
	kist_attach_free(session);
	kist_container_free(c);
	return r;
}

const struct kist_command kist_command_run = {
	.name = "run",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] IMAGE [COMMAND [ARG...]]",
	.summary = "Run a command in a new container",
	.description = "Creates a container and starts it. In the foreground the exit code is the container's;\n"
	               "125: kist failed, 126: the command cannot be invoked, 127: it does not exist.",
	.examples = (const char *const[]){ "run --rm busybox echo hello", "run -it --rm busybox sh",
	                                   "run -d --name web -v /srv/www:/www:ro busybox httpd -f", NULL },
	.options = run_sets,
	.options_size = sizeof(struct run_options),
	.min_args = 1,
	.max_args = -1,
	.stop_at_positional = true,
	.completes_first = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = run_run,
};
