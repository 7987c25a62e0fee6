/* kist commit. */
#include "cli/archive_commands.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct commit_options {
	const char *author, *format, *iidfile, *message;
	char **changes;
	bool volumes, pause, quiet, squash;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct commit_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option commit_rows[] = {
	ROW(STRING, author, "author", 'a', .help = "Author of the image"),
	ROW(LIST, changes, "change", 'c', .metavar = "instruction",
	    .help = "Apply an instruction: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, "
	            "USER, VOLUME or WORKDIR"),
	ROW(CHOICE, format, "format", 'f', .choices = (const char *const[]){ "oci", "docker", NULL }, .fallback = "oci",
	    .help = "Form of the manifest: oci or docker"),
	ROW(STRING, iidfile, "iidfile", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,
	    .flags = KIST_OPTION_NONEMPTY, .help = "Write the image's id to this file"),
	ROW(FLAG, volumes, "include-volumes", 0,
	    .help = "The image has volumes where the container has volumes and mounts"),
	ROW(STRING, message, "message", 'm', .help = "Comment of the image"),
	ROW(FLAG, pause, "pause", 'p', .help = "Pause the container while it is copied"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Print the image's id alone (as always: there is no progress to show)"),
	ROW(FLAG, squash, "squash", 's', .flags = KIST_OPTION_HIDDEN, .help = "Not supported"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct commit_options *o = options;

	(void)argv;
	if (argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name a container");
	if (o->squash)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "--squash is not supported: layers stay shared with the container's image");
	return 0;
}

static int commit_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct commit_options *o = options;
	struct kist_commit commit = {
		.name = argc > 2 ? argv[2] : NULL,
		.author = o->author,
		.message = o->message,
		.changes = o->changes,
		.pause = o->pause,
		.volumes = o->volumes,
		.docker = kist_streq(o->format, "docker"),
	};
	KIST_STR struct kist_str out = { 0 };
	struct kist_container *c = NULL;
	char id[65];

	int r = kist_container_open(cli->k, argv[1], &c, err);
	if (r == 0)
		r = kist_container_commit(c, &commit, id, err);
	kist_container_free(c);
	if (r < 0)
		return r;
	kist_str_addf(&out, "%s\n", id);
	if (o->iidfile) {
		KIST_CLOSE int fd = open(o->iidfile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

		if (fd < 0 || kist_write_all(fd, id, strlen(id)) < 0)
			return kist_fail_errno(err, errno, "write %s", o->iidfile);
	}
	return kist_cli_print(&out, err);
}

const struct kist_command kist_command_commit = {
	.name = "commit",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [IMAGE]",
	.summary = "Make an image from a container's changes",
	.description =
	        "Makes an image of the container's image and, as one more layer, of what the container changed in its\n"
	        "files. Volumes and mounts are no part of it. The container may run. IMAGE is a name for the image.",
	.examples = (const char *const[]){ "commit web web:configured",
	                                   "commit -p -m 'with data' -c 'CMD [\"serve\"]' web", NULL },
	.options = (const struct kist_option_set[]){ { commit_rows, 0 }, { 0 } },
	.options_size = sizeof(struct commit_options),
	.max_args = 2,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = commit_run,
};
