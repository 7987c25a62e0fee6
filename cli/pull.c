/* kist pull. */
#include "cli/registry_commands.h"

#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

struct pull_options {
	struct cli_registry registry;
	struct cli_platform platform;
	bool all_tags, quiet;
	const char *creds;
};

static const struct kist_option pull_rows[] = {
	KIST_OPTION(struct pull_options, FLAG, all_tags, "all-tags", 'a', .help = "Pull all images of the repository"),
	KIST_OPTION(struct pull_options, STRING, creds, "creds", 0, .metavar = "name[:password]",
	            .help = "Account at the registry, instead of the one that login has kept"),
	KIST_OPTION(struct pull_options, FLAG, quiet, "quiet", 'q', .help = "Show no progress"),
	{ 0 },
};

static int pull_one(struct kist_cli *cli, const struct kist_image_pull *pull, const char *name, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };
	KIST_STRV char **ids = NULL;
	struct kist_image_pull one = *pull;

	one.name = name;
	int r = kist_image_pull(cli->k, &one, &ids, err);
	cli_progress_end(pull->registry.arg);
	if (r < 0)
		return r;
	for (char **id = ids; id && *id; id++)
		kist_str_addf(&out, "%s\n", *id);
	return kist_cli_print(&out, err);
}

static int pull_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct pull_options *o = options;
	KIST_FREE char *creds = kist_strdup(o->creds), *platform = NULL;
	struct kist_image_pull pull = { .all_tags = o->all_tags };
	struct cli_progress progress;
	int code = 0;

	cli_progress_init(&progress, o->quiet);
	int r = cli_registry_options(&o->registry, creds, &progress, &pull.registry, err);
	if (r == 0)
		r = cli_platform(&o->platform, &platform, &pull.platform, err);
	if (r < 0)
		return r;
	for (int i = 1; i < argc; i++) {
		struct kist_error problem = { 0 };

		if (pull_one(cli, &pull, argv[i], &problem) == 0)
			continue;
		kist_complain(cli->program, &problem);
		code = KIST_EXIT_ENGINE;
	}
	return code;
}

const struct kist_command kist_command_pull = {
	.name = "pull",
	.parent = "",
	.also_under = "image",
	.synopsis = "[options] IMAGE [IMAGE...]",
	.summary = "Pull images from a registry",
	.description =
	        "Fetches images from registries and prints their ids. What the store has already is not fetched.\n"
	        "A name without a registry is looked for in those that kist.conf lists, or else at docker.io.",
	.examples = (const char *const[]){ "pull docker.io/library/busybox", "pull --platform linux/arm64 alpine:3.20",
	                                   NULL },
	.options = (const struct kist_option_set[]){ { pull_rows, 0 },
	                                             { cli_registry_rows, offsetof(struct pull_options, registry) },
	                                             { cli_platform_rows, offsetof(struct pull_options, platform) },
	                                             { 0 } },
	.options_size = sizeof(struct pull_options),
	.min_args = 1,
	.max_args = -1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.run = pull_run,
};
