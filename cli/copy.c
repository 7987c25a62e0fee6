/* kist cp and kist export. */
#include "cli/copy_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* --- cp ------------------------------------------------------------------------------------------------------------
 */

struct cp_options {
	bool archive, overwrite;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct cp_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option cp_rows[] = {
	ROW(FLAG, archive, "archive", 'a', .fallback = "true",
	    .help = "What is made in a container belongs to the container's user; false: keep the owners"),
	ROW(FLAG, overwrite, "overwrite", 0,
	    .help = "Let directories and other files take each other's place, and that of devices"),
	{ 0 },
};

/* "CONTAINER:PATH", "PATH" or "-". What begins with a dot or a slash is a path of the host. */
static int parse_end(struct kist_cli *cli, char *argument, int stream, struct kist_copy_end *end,
                     struct kist_error *err)
{
	char *colon = strchr(argument, ':');
	bool host = argument[0] == '.' || argument[0] == '/' || !colon || colon == argument;

	*end = (struct kist_copy_end){ .path = argument, .stream = -1 };
	if (host && (kist_streq(argument, "-") || kist_streq(argument, stream ? "/dev/stdout" : "/dev/stdin"))) {
		end->path = NULL;
		end->stream = stream;
		return 0;
	}
	if (host) {
		end->path = colon == argument ? argument + 1 : argument;
		return 0;
	}
	*colon = '\0';
	end->path = colon + 1;
	return kist_container_open(cli->k, argument, &end->container, err);
}

static bool lacks_path(const char *argument)
{
	return !*argument ||
	       (argument[0] != '.' && argument[0] != '/' && strchr(argument, ':') && !strchr(argument, ':')[1]);
}

static int cp_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct cp_options *o = options;
	struct kist_copy_options how = { .archive = o->archive, .overwrite = o->overwrite };
	struct kist_copy_end from = { 0 }, to = { 0 };

	(void)argc;
	if (lacks_path(argv[1]) || lacks_path(argv[2]))
		return kist_fail(err, KIST_ERR_INVALID, 0, "invalid arguments \"%s\", \"%s\": you must specify paths",
		                 argv[1], argv[2]);
	int r = parse_end(cli, argv[1], 0, &from, err);
	if (r == 0)
		r = parse_end(cli, argv[2], 1, &to, err);
	if (r == 0 && !from.container && !to.container)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "neither path is of a container: write it as CONTAINER:PATH");
	else if (r == 0 && !from.path && isatty(0))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "standard input is a terminal: redirect a tar archive to it");
	else if (r == 0 && !to.path && isatty(1))
		r = kist_fail(err, KIST_ERR_INVALID, 0,
		              "refusing to write a tar archive to a terminal: redirect the output");
	if (r == 0)
		r = kist_copy(&from, &to, &how, err);
	kist_container_free(from.container);
	kist_container_free(to.container);
	return r;
}

const struct kist_command kist_command_cp = {
	.name = "cp",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] [CONTAINER:]SRC_PATH [CONTAINER:]DEST_PATH",
	.summary = "Copy files between a container and the host, or between containers",
	.description = "A path - is a tar archive on standard input or output. A directory whose path ends in /. is "
	               "copied without\n"
	               "itself: only what is in it.",
	.examples = (const char *const[]){ "cp app.conf web:/etc/app.conf", "cp web:/var/log/. logs",
	                                   "cp web:/etc - | tar tf -", "cp old:/data new:/data", NULL },
	.options = (const struct kist_option_set[]){ { cp_rows, 0 }, { 0 } },
	.options_size = sizeof(struct cp_options),
	.min_args = 2,
	.max_args = 2,
	.completes_first = KIST_COMPLETE_FILE,
	.completes_rest = KIST_COMPLETE_FILE,
	.needs = KIST_NEEDS_STORE,
	.run = cp_run,
};

/* --- export --------------------------------------------------------------------------------------------------------
 */

struct export_options {
	const char *output;
};

static const struct kist_option export_rows[] = {
	KIST_OPTION(struct export_options, STRING, output, "output", 'o', .metavar = "file",
	            .completes = KIST_COMPLETE_FILE, .flags = KIST_OPTION_NONEMPTY,
	            .help = "Write to a file instead of standard output"),
	{ 0 },
};

static int export_to(struct kist_container *c, const char *path, struct kist_error *err)
{
	KIST_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);

	if (fd < 0)
		return kist_fail_errno(err, errno, "open %s", path);
	return kist_container_export(c, fd, err);
}

static int export_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct export_options *o = options;
	struct kist_container *c = NULL;

	(void)argc;
	if (o->output && strchr(o->output, ':'))
		return kist_fail(err, KIST_ERR_INVALID, 0, "invalid filename (should not contain ':') \"%s\"",
		                 o->output);
	if (!o->output && isatty(1))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "refusing to export to a terminal: use -o or redirect the output");
	int r = kist_container_open(cli->k, argv[1], &c, err);
	if (r == 0)
		r = o->output ? export_to(c, o->output, err) : kist_container_export(c, 1, err);
	kist_container_free(c);
	return r;
}

const struct kist_command kist_command_export = {
	.name = "export",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER",
	.summary = "Write a container's root file system as a tar archive",
	.description = "Volumes and other mounts are left out. 'kist import' makes an image of it.",
	.examples = (const char *const[]){ "export -o web.tar web", "export web | zstd > web.tar.zst", NULL },
	.options = (const struct kist_option_set[]){ { export_rows, 0 }, { 0 } },
	.options_size = sizeof(struct export_options),
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = export_run,
};
