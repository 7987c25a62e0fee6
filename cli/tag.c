/* kist tag, untag, image exists, and the group they belong to. */
#include "cli/image_commands.h"

#include <errno.h>

const struct kist_command kist_command_image = {
	.name = "image",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Commands on images",
	.is_group = true,
};

static int tag_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	(void)options;
	for (int i = 2; i < argc; i++) {
		int r = kist_image_tag(cli->k, argv[1], argv[i], err);

		if (r < 0)
			return kist_context(err, "tag %s", argv[i]);
	}
	return 0;
}

const struct kist_command kist_command_tag = {
	.name = "tag",
	.parent = "",
	.also_under = "image",
	.synopsis = "IMAGE NAME [NAME...]",
	.summary = "Give an image another name",
	.description = "Gives an image further names. A name that another image has moves to this one.",
	.examples = (const char *const[]){ "tag busybox tools:v1 localhost/tools:latest", NULL },
	.min_args = 2,
	.max_args = -1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = tag_run,
};

/* The image is looked up once: its first name may be the first to go. */
static int untag_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_image *image = NULL;

	(void)options;
	int r = kist_image_open(cli->k, argv[1], &image, err);
	if (r < 0)
		return r;
	if (argc == 2)
		r = kist_image_untag(cli->k, image->id, NULL, err);
	for (int i = 2; i < argc && r == 0; i++)
		r = kist_image_untag(cli->k, image->id, argv[i], err);
	kist_image_free(image);
	return r < 0 ? kist_context(err, "untag %s", argv[1]) : 0;
}

const struct kist_command kist_command_untag = {
	.name = "untag",
	.parent = "",
	.also_under = "image",
	.synopsis = "IMAGE [NAME...]",
	.summary = "Remove names from an image",
	.description = "Removes names from an image, all of them when none is given. The image stays.",
	.examples = (const char *const[]){ "untag busybox tools:v1", "untag busybox", NULL },
	.min_args = 1,
	.max_args = -1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = untag_run,
};

static int exists_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_image *image = NULL;

	(void)options;
	(void)argc;
	int r = kist_image_open(cli->k, argv[1], &image, err);
	kist_image_free(image);
	return kist_cli_exists(r, err);
}

const struct kist_command kist_command_image_exists = {
	.name = "exists",
	.parent = "image",
	.synopsis = "IMAGE",
	.summary = "Whether an image is there",
	.description = "Exit code 0: it is there; 1: it is not; 125: another failure. Prints nothing.",
	.examples = (const char *const[]){ "image exists busybox || kist import busybox.tar busybox", NULL },
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = exists_run,
};
