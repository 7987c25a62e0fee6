/* kist rmi. */
#include "cli/image_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>

struct rmi_options {
	bool all, force, ignore, no_prune;
	int missing, in_use, other; /* failures by kind, for the exit code */
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct rmi_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option rmi_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Remove all images"),
	ROW(FLAG, force, "force", 'f',
	    .help = "Remove the containers that use it too, and all its names; a missing image is no error"),
	ROW(FLAG, ignore, "ignore", 'i', .help = "A missing image is no error"),
	ROW(FLAG, no_prune, "no-prune", 0,
	    .help = "Leave images without a name that it was made from (as always: they are images like others)"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct rmi_options *o = options;

	(void)argv;
	if (o->all && argc > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--all and names of images exclude each other");
	if (!o->all && argc == 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name at least one image, or use --all");
	return 0;
}

static void count_failure(struct rmi_options *o, const struct kist_error *err)
{
	if (err->kind == KIST_ERR_NOT_FOUND)
		o->missing++;
	else if (err->kind == KIST_ERR_IN_USE)
		o->in_use++;
	else
		o->other++;
}

static int rmi_one(struct kist_cli *cli, struct rmi_options *o, const char *image, unsigned flags,
                   struct kist_error *err)
{
	KIST_STRV char **removed = NULL;
	KIST_STR struct kist_str out = { 0 };
	struct kist_error problem = { 0 };

	int r = kist_image_remove(cli->k, image, flags, &removed, &problem);
	if (r < 0 && problem.kind == KIST_ERR_NOT_FOUND && (o->force || o->ignore || o->all))
		return 0;
	if (r < 0) {
		count_failure(o, &problem);
		kist_complain(cli->program, &problem);
		return 0;
	}
	for (char **line = removed; line && *line; line++)
		kist_str_addf(&out, "%s\n", *line);
	return kist_cli_print(&out, err);
}

static int rmi_all(struct kist_cli *cli, struct rmi_options *o, unsigned flags, struct kist_error *err)
{
	struct kist_image **list = NULL;
	size_t n = 0;

	int r = kist_image_list(cli->k, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = list[i]->read_only ? 0 : rmi_one(cli, o, list[i]->id, flags | KIST_IMAGE_ALL_NAMES, err);
	for (size_t i = 0; i < n; i++)
		kist_image_free(list[i]);
	free(list);
	return r;
}

/* podman-rmi(1): 1 when an image was missing, 2 when one was in use, 125 otherwise. */
static int rmi_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct rmi_options *o = options;
	unsigned flags = o->force ? KIST_IMAGE_FORCE : 0;
	int r = o->all ? rmi_all(cli, o, flags, err) : 0;

	for (int i = 1; i < argc && r == 0; i++)
		r = rmi_one(cli, o, argv[i], flags, err);
	if (r < 0)
		return r;
	if (o->other)
		return KIST_EXIT_ENGINE;
	return o->in_use ? 2 : o->missing ? 1 : 0;
}

const struct kist_command kist_command_rmi = {
	.name = "rmi",
	.parent = "",
	.aliases = (const struct kist_command_alias[]){ { "image", "rm" }, { 0 } },
	.synopsis = "[options] IMAGE [IMAGE...]",
	.summary = "Remove images",
	.description =
	        "Removes a name of an image, and with the last name the image and the layers that no other image has.\n"
	        "Exit code 1: an image did not exist; 2: one is in use by containers.",
	.examples = (const char *const[]){ "rmi busybox", "rmi --force 0123456789ab", "rmi --all", NULL },
	.options = (const struct kist_option_set[]){ { rmi_rows, 0 }, { 0 } },
	.options_size = sizeof(struct rmi_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = rmi_run,
};
