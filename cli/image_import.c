/* kist import. */
#include "cli/image_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct import_options {
	const char *architecture, *message, *os, *variant;
	char **changes;
	bool quiet;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct import_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option import_rows[] = {
	ROW(STRING, architecture, "arch", 0, .flags = KIST_OPTION_NONEMPTY,
	    .help = "Architecture of the image; that of the host otherwise"),
	ROW(LIST, changes, "change", 'c', .metavar = "instruction",
	    .help = "Apply an instruction: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, "
	            "USER, VOLUME or WORKDIR"),
	ROW(STRING, message, "message", 'm', .help = "Comment of the image"),
	ROW(STRING, os, "os", 0, .flags = KIST_OPTION_NONEMPTY,
	    .help = "Operating system of the image; linux otherwise"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Print the image's id alone (as always: there is no progress to show)"),
	ROW(STRING, variant, "variant", 0, .help = "Variant of the architecture"),
	{ 0 },
};

/* A terminal has no tar to give: the user forgot the redirection. */
static int open_source(const char *path, struct kist_error *err)
{
	if (!kist_streq(path, "-")) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		return fd < 0 ? kist_fail_errno(err, errno, "open %s", path) : fd;
	}
	if (isatty(0))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "standard input is a terminal: redirect a tar archive to it");
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? kist_fail_errno(err, errno, "open standard input") : fd;
}

static int import_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct import_options *o = options;
	KIST_STR struct kist_str out = { 0 };
	KIST_CLOSE int fd = open_source(argv[1], err);
	char id[65];

	if (fd < 0)
		return fd;
	struct kist_image_import import = {
		.fd = fd,
		.name = argc > 2 ? argv[2] : NULL,
		.message = o->message,
		.changes = o->changes,
		.architecture = o->architecture,
		.os = o->os,
		.variant = o->variant,
	};
	int r = kist_image_import(cli->k, &import, id, err);
	if (r < 0)
		return kist_context(err, "import %s", argv[1]);
	kist_str_addf(&out, "sha256:%s\n", id);
	return kist_cli_print(&out, err);
}

const struct kist_command kist_command_import = {
	.name = "import",
	.parent = "",
	.also_under = "image",
	.synopsis = "[options] PATH [REFERENCE]",
	.summary = "Make an image from a tar archive or file system image",
	.description =
	        "Makes an image of one layer from a tar archive, plain or compressed by gzip or zstd, or from a\n"
	        "squashfs or erofs file, which is mounted and not unpacked.\n"
	        "PATH - is standard input. REFERENCE is a name to give to the image.",
	.examples =
	        (const char *const[]){ "import rootfs.tar debian:12",
	                               "import -c CMD=/bin/sh -c 'ENV LANG=C.UTF-8' - busybox < busybox.tar.gz", NULL },
	.options = (const struct kist_option_set[]){ { import_rows, 0 }, { 0 } },
	.options_size = sizeof(struct import_options),
	.min_args = 1,
	.max_args = 2,
	.completes_first = KIST_COMPLETE_FILE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = import_run,
};
