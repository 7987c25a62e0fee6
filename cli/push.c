/* kist push. */
#include "cli/registry_commands.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct push_options {
	struct cli_registry registry;
	bool all_tags, quiet, force_compression, remove_signatures;
	const char *creds, *compression, *digestfile, *format;
	int level;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct push_options, type, member, name, letter, ##__VA_ARGS__)

#define NO_SIGNATURES "kist makes no signatures"

static const struct kist_option push_rows[] = {
	ROW(FLAG, all_tags, "all-tags", 'a', .help = "Push all images of the repository that are here"),
	ROW(CHOICE, compression, "compression-format", 0, .choices = (const char *const[]){ "gzip", "zstd", NULL },
	    .help = "Compression of layers that are sent: gzip (the default) or zstd"),
	ROW(INT, level, "compression-level", 0, .metavar = "n", .help = "Level of the compression"),
	ROW(STRING, creds, "creds", 0, .metavar = "name[:password]",
	    .help = "Account at the registry, instead of the one that login has kept"),
	ROW(STRING, digestfile, "digestfile", 0, .metavar = "path", .completes = KIST_COMPLETE_FILE,
	    .flags = KIST_OPTION_NONEMPTY, .help = "Write the digest of the manifest to a file"),
	ROW(FLAG, force_compression, "force-compression", 0,
	    .help = "Send a layer anew where the registry has it in another compression"),
	ROW(CHOICE, format, "format", 'f', .choices = (const char *const[]){ "oci", "v2s2", NULL },
	    .help = "Form of the manifest: oci or v2s2 (docker's); as the image has it otherwise"),
	ROW(FLAG, quiet, "quiet", 'q', .help = "Show no progress"),
	ROW(FLAG, remove_signatures, "remove-signatures", 0, .help = "Send no signatures (as always)"),
	KIST_OPTION_REFUSED("compress", "it is for the format of directories; --compression-format is for registries"),
	KIST_OPTION_REFUSED("sign-by", NO_SIGNATURES),
	KIST_OPTION_REFUSED("sign-by-sigstore", NO_SIGNATURES),
	KIST_OPTION_REFUSED("sign-by-sigstore-private-key", NO_SIGNATURES),
	KIST_OPTION_REFUSED("sign-passphrase-file", NO_SIGNATURES),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct push_options *o = options;

	(void)argv;
	if (argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name an image");
	if (o->all_tags && argc > 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--all-tags takes no destination");
	if (o->all_tags && o->digestfile)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--all-tags and --digestfile exclude each other");
	if (o->level < 0 || o->level > (kist_streq(o->compression, "zstd") ? 20 : 9))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--compression-level: gzip has 1 to 9, zstd 1 to 20");
	return 0;
}

static int write_digest(const char *path, const char *digest, struct kist_error *err)
{
	KIST_FREE char *text = kist_asprintf("sha256:%s", digest);
	KIST_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : kist_write_all(fd, text, strlen(text));

	return r < 0 ? kist_fail_errno(err, -r, "write %s", path) : 0;
}

/* Every tag of the repository that a name means. */
static int push_tags(struct kist_cli *cli, const char *name, struct kist_image_push *push, struct kist_error *err)
{
	struct kist_image **list = NULL;
	KIST_FREE char *full = NULL;
	size_t n = 0, pushed = 0;

	int r = kist_image_reference(name, &full, err);
	if (r == 0)
		r = kist_image_list(cli->k, &list, &n, err);
	if (r < 0)
		return r;
	const char *slash = strrchr(full, '/');
	size_t length = (size_t)(strrchr(slash, ':') - full) + 1;
	for (size_t i = 0; i < n; i++) {
		for (char **tag = list[i]->names; r == 0 && tag && *tag; tag++) {
			char digest[65];

			if (strncmp(*tag, full, length) != 0)
				continue;
			push->image = *tag;
			r = kist_image_push(cli->k, push, digest, err);
			pushed++;
		}
		kist_image_free(list[i]);
	}
	free(list);
	if (r == 0 && pushed == 0)
		return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "no such image: %s", name);
	return r;
}

static int push_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct push_options *o = options;
	KIST_FREE char *creds = kist_strdup(o->creds);
	struct kist_image_push push = { .image = argv[1],
		                        .destination = argc > 2 ? argv[2] : NULL,
		                        .format = o->format,
		                        .compression = o->compression,
		                        .compression_level = o->level,
		                        .force_compression = o->force_compression };
	struct cli_progress progress;
	char digest[65];

	cli_progress_init(&progress, o->quiet);
	int r = cli_registry_options(&o->registry, creds, &progress, &push.registry, err);
	if (r == 0)
		r = o->all_tags ? push_tags(cli, argv[1], &push, err) : kist_image_push(cli->k, &push, digest, err);
	cli_progress_end(&progress);
	if (r == 0 && o->digestfile)
		r = write_digest(o->digestfile, digest, err);
	return r;
}

const struct kist_command kist_command_push = {
	.name = "push",
	.parent = "",
	.also_under = "image",
	.synopsis = "[options] IMAGE [DESTINATION]",
	.summary = "Push an image to a registry",
	.description = "Sends an image to a registry, under its own name or under another one. What the registry has "
	               "already is not sent.",
	.examples = (const char *const[]){ "push quay.io/me/web:1", "push web registry.example.org/web:latest", NULL },
	.options = (const struct kist_option_set[]){ { push_rows, 0 },
	                                             { cli_registry_rows, offsetof(struct push_options, registry) },
	                                             { 0 } },
	.options_size = sizeof(struct push_options),
	.max_args = 2,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = push_run,
};
