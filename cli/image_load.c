/* kist load. */
#include "cli/archive_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct load_options {
	const char *input;
	bool quiet;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct load_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option load_rows[] = {
	ROW(STRING, input, "input", 'i', .metavar = "path", .completes = KIST_COMPLETE_FILE,
	    .flags = KIST_OPTION_NONEMPTY, .help = "Read this file or directory instead of standard input"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Print names alone (as always: there is no progress to show)"),
	{ 0 },
};

static int open_input(const char *path, struct kist_error *err)
{
	if (path && !kist_streq(path, "-")) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		return fd < 0 ? kist_fail_errno(err, errno, "open %s", path) : fd;
	}
	if (isatty(0))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "standard input is a terminal: redirect an archive to it, or use --input");
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? kist_fail_errno(err, errno, "open standard input") : fd;
}

static int load_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct load_options *o = options;
	KIST_CLOSE int fd = open_input(o->input, err);
	KIST_STR struct kist_str out = { 0 };
	KIST_STRV char **loaded = NULL;

	(void)argc;
	(void)argv;
	if (fd < 0)
		return fd;
	int r = kist_image_unpack(cli->k, fd, &loaded, err);
	if (r < 0)
		return kist_context(err, "load %s", o->input ? o->input : "-");
	for (char **name = loaded; name && *name; name++)
		kist_str_addf(&out, "Loaded image: %s\n", *name);
	return kist_cli_print(&out, err);
}

const struct kist_command kist_command_load = {
	.name = "load",
	.parent = "",
	.also_under = "image",
	.synopsis = "[options]",
	.summary = "Load images from an archive",
	.description = "Loads all images of an archive: a docker-archive, or an OCI layout in a tar or a directory.\n"
	               "Tars may be compressed by gzip or zstd.",
	.examples = (const char *const[]){ "load -i busybox.tar", "load < busybox.tar.gz", "load -i layout/", NULL },
	.options = (const struct kist_option_set[]){ { load_rows, 0 }, { 0 } },
	.options_size = sizeof(struct load_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = load_run,
};
