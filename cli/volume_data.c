/* kist volume export, import, mount, unmount. */
#include "cli/volume_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* --- export --------------------------------------------------------------------------------------------------------
 */

struct export_options {
	const char *output;
};

static const struct kist_option export_rows[] = {
	KIST_OPTION(struct export_options, STRING, output, "output", 'o', .metavar = "file",
	            .completes = KIST_COMPLETE_FILE, .help = "Write to a file instead of standard output"),
	{ 0 },
};

static int open_output(const char *path, struct kist_error *err)
{
	if (!path && isatty(1))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "standard output is a terminal: redirect it, or use --output");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : fcntl(1, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? kist_fail_errno(err, errno, "open %s", path ? path : "standard output") : fd;
}

static int export_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct export_options *o = options;
	struct kist_volume *v = NULL;

	(void)argc;
	int r = kist_volume_open(cli->k, argv[1], &v, err);
	if (r < 0)
		return r;
	KIST_CLOSE int fd = open_output(o->output, err);
	r = fd < 0 ? fd : kist_volume_export(cli->k, v, fd, err);
	kist_volume_free(v);
	return r;
}

const struct kist_command kist_command_volume_export = {
	.name = "export",
	.parent = "volume",
	.synopsis = "[options] VOLUME",
	.summary = "Write a volume's content as a tar archive",
	.description = "Writes the content of a volume as a tar archive, with owners, modes, times, extended "
	               "attributes, ACLs and "
	               "holes. Sockets are left out.",
	.examples = (const char *const[]){ "volume export --output data.tar data",
	                                   "volume export data | zstd >data.tar.zst", NULL },
	.options = (const struct kist_option_set[]){ { export_rows, 0 }, { 0 } },
	.options_size = sizeof(struct export_options),
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_VOLUME,
	.needs = KIST_NEEDS_STORE,
	.run = export_run,
};

/* --- import --------------------------------------------------------------------------------------------------------
 */

static int open_input(const char *path, struct kist_error *err)
{
	bool standard = !path || kist_streq(path, "-");

	if (standard && isatty(0))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "standard input is a terminal: redirect a tar archive to it");
	int fd = standard ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? kist_fail_errno(err, errno, "open %s", standard ? "standard input" : path) : fd;
}

static int import_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_volume *v = NULL;

	(void)options;
	int r = kist_volume_open(cli->k, argv[1], &v, err);
	if (r < 0)
		return r;
	KIST_CLOSE int fd = open_input(argc > 2 ? argv[2] : NULL, err);
	r = fd < 0 ? fd : kist_volume_import(cli->k, v, fd, err);
	kist_volume_free(v);
	return r;
}

const struct kist_command kist_command_volume_import = {
	.name = "import",
	.parent = "volume",
	.synopsis = "VOLUME [SOURCE]",
	.summary = "Unpack a tar archive into a volume",
	.description = "Unpacks a tar archive, plain or compressed by gzip or zstd, into a volume that exists. What "
	               "the volume "
	               "has stays, unless the archive has an entry of its name. SOURCE - or none is standard input.",
	.examples = (const char *const[]){ "volume import data data.tar", "volume import data - <data.tar.gz", NULL },
	.min_args = 1,
	.max_args = 2,
	.completes_first = KIST_COMPLETE_VOLUME,
	.completes_rest = KIST_COMPLETE_FILE,
	.needs = KIST_NEEDS_STORE,
	.run = import_run,
};

/* --- mount, unmount ------------------------------------------------------------------------------------------------
 */

static int print_line(const char *text, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };

	kist_str_addf(&out, "%s\n", text);
	return kist_cli_print(&out, err);
}

static int mount_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_volume *v = NULL;
	KIST_FREE char *path = NULL;

	(void)options;
	(void)argc;
	int r = kist_volume_open(cli->k, argv[1], &v, err);
	if (r == 0)
		r = kist_volume_mount(cli->k, v, &path, err);
	kist_volume_free(v);
	return r < 0 ? r : print_line(path, err);
}

const struct kist_command kist_command_volume_mount = {
	.name = "mount",
	.parent = "volume",
	.synopsis = "VOLUME",
	.summary = "Mount a volume on the host",
	.description = "Prints the path of a volume's content. A volume with a file system of its own (--opt type=) is "
	               "mounted there "
	               "until it was unmounted as often as it was mounted; containers that start meanwhile share it.",
	.examples = (const char *const[]){ "volume mount data", NULL },
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_VOLUME,
	.needs = KIST_NEEDS_STORE,
	.run = mount_run,
};

static int unmount_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	int code = 0, r = 0;

	(void)options;
	for (int i = 1; r == 0 && i < argc; i++) {
		struct kist_error problem = { 0 };
		struct kist_volume *v = NULL;

		int done = kist_volume_open(cli->k, argv[i], &v, &problem);
		if (done == 0)
			done = kist_volume_unmount(cli->k, v, false, &problem);
		if (done == 0) {
			r = print_line(v->name, err);
		} else {
			kist_complain(cli->program, &problem);
			code = KIST_EXIT_ENGINE;
		}
		kist_volume_free(v);
	}
	return r < 0 ? r : code;
}

const struct kist_command kist_command_volume_unmount = {
	.name = "unmount",
	.parent = "volume",
	.aliases = (const struct kist_command_alias[]){ { NULL, "umount" }, { 0 } },
	.synopsis = "VOLUME [VOLUME...]",
	.summary = "Take volumes off the host again",
	.examples = (const char *const[]){ "volume unmount data", NULL },
	.min_args = 1,
	.max_args = -1,
	.completes_first = KIST_COMPLETE_VOLUME,
	.completes_rest = KIST_COMPLETE_VOLUME,
	.needs = KIST_NEEDS_STORE,
	.run = unmount_run,
};
