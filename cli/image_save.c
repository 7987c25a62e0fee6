/* kist save. */
#include "cli/archive_commands.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct save_options {
	const char *format, *output;
	bool many, compress, uncompressed, quiet;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct save_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_name formats[] = {
	{ "docker-archive", KIST_IMAGE_DOCKER_ARCHIVE },
	{ "oci-archive", KIST_IMAGE_OCI_ARCHIVE },
	{ "oci-dir", KIST_IMAGE_OCI_DIR },
	{ 0 },
};

static const struct kist_option save_rows[] = {
	ROW(FLAG, compress, "compress", 0, .flags = KIST_OPTION_HIDDEN,
	    .help = "For docker-dir, which is not supported"),
	ROW(STRING, format, "format", 0, .fallback = "docker-archive",
	    .choices = (const char *const[]){ "docker-archive", "oci-archive", "oci-dir", NULL },
	    .help = "Form of the archive: docker-archive, oci-archive or oci-dir"),
	ROW(FLAG, many, "multi-image-archive", 'm',
	    .help = "Take further arguments as images, not as names of the one image"),
	ROW(STRING, output, "output", 'o', .metavar = "path", .completes = KIST_COMPLETE_FILE,
	    .flags = KIST_OPTION_NONEMPTY, .help = "Write to this file or directory instead of standard output"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Print nothing (as always: there is no progress to show)"),
	ROW(FLAG, uncompressed, "uncompressed", 0, .help = "Store layers uncompressed (as always)"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct save_options *o = options;
	int format = 0;

	(void)argv;
	if (argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name at least one image");
	if (kist_streq(o->format, "docker-dir"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "the format docker-dir is not supported; use oci-dir");
	if (kist_value_of(formats, o->format, &format) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "format '%s': expected docker-archive, oci-archive or oci-dir", o->format);
	if (o->compress)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "--compress is for the format docker-dir, which is not supported");
	if (format == KIST_IMAGE_OCI_DIR && !o->output)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--output must name the directory for the format oci-dir");
	return 0;
}

/* Where the archive goes, and what is to be removed when it fails. */
struct target {
	int fd;
	bool made;
};

static int open_directory(const char *path, struct target *target, struct kist_error *err)
{
	KIST_CLOSE int fd = -1;

	target->made = mkdir(path, 0755) == 0;
	if (!target->made && errno != EEXIST)
		return kist_fail_errno(err, errno, "create %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return kist_fail_errno(err, errno, "open %s", path);
	if (!target->made && kist_exists_at(fd, "index.json"))
		return kist_fail(err, KIST_ERR_EXISTS, 0, "%s is an OCI layout already", path);
	target->fd = kist_steal_fd(&fd);
	return 0;
}

static int open_target(const struct save_options *o, enum kist_image_format format, struct target *target,
                       struct kist_error *err)
{
	struct stat st;

	if (format == KIST_IMAGE_OCI_DIR)
		return open_directory(o->output, target, err);
	if (!o->output && isatty(1))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "standard output is a terminal: redirect it, or use --output");
	target->fd = o->output ? open(o->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
	                       : fcntl(1, F_DUPFD_CLOEXEC, 3);
	if (target->fd < 0)
		return kist_fail_errno(err, errno, "open %s", o->output ? o->output : "standard output");
	/* Half an archive would be taken for a whole one; a pipe or a device is not ours to remove. */
	target->made = o->output && fstat(target->fd, &st) == 0 && S_ISREG(st.st_mode);
	return 0;
}

static int save_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct save_options *o = options;
	char *const single[] = { argv[1], NULL };
	struct target target = { .fd = -1 };
	int format = 0;

	(void)argc;
	kist_value_of(formats, o->format, &format);
	int r = open_target(o, (enum kist_image_format)format, &target, err);
	if (r < 0)
		return r;
	struct kist_image_save save = {
		.images = o->many ? argv + 1 : single,
		.names = o->many ? NULL : argv + 2,
		.format = (enum kist_image_format)format,
		.fd = target.fd,
	};
	r = kist_image_save(cli->k, &save, err);
	if (close(target.fd) < 0 && r == 0)
		r = kist_fail_errno(err, errno, "write %s", o->output ? o->output : "the archive");
	if (r < 0 && target.made)
		kist_remove_tree(AT_FDCWD, o->output);
	return r < 0 ? kist_context(err, "save") : 0;
}

const struct kist_command kist_command_save = {
	.name = "save",
	.parent = "",
	.also_under = "image",
	.synopsis = "[options] IMAGE [NAME...]",
	.summary = "Save images to an archive",
	.description =
	        "Writes an image to an archive that can be loaded again, here or by other engines. Further names are\n"
	        "given to it in the archive; with --multi-image-archive they are further images.",
	.examples = (const char *const[]){ "save -o busybox.tar busybox", "save --format oci-dir -o layout busybox",
	                                   "save -m busybox debian | gzip > both.tar.gz", NULL },
	.options = (const struct kist_option_set[]){ { save_rows, 0 }, { 0 } },
	.options_size = sizeof(struct save_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = save_run,
};
