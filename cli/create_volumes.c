/* Volumes of a new container: named and anonymous ones, those of other containers, those of its image. */
#include "cli/create.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_taken(const struct kist_container_config *config, const char *destination)
{
	for (size_t i = 0; i < config->n_mounts; i++)
		if (kist_streq(config->mounts[i].destination, destination))
			return true;
	for (size_t i = 0; i < config->n_named_volumes; i++)
		if (kist_streq(config->named_volumes[i].destination, destination))
			return true;
	return false;
}

static struct kist_volume_mount_config *add(struct kist_container_config *config, const char *name,
                                            const char *destination)
{
	config->named_volumes =
	        kist_grow(config->named_volumes, config->n_named_volumes + 1, sizeof(*config->named_volumes));
	struct kist_volume_mount_config *mount = &config->named_volumes[config->n_named_volumes++];

	*mount = (struct kist_volume_mount_config){ .name = kist_strdup(name),
		                                    .destination = kist_strdup(destination),
		                                    .anonymous = !name };
	return mount;
}

/* 1: it has no effect here. */
static int check_option(const char *option, struct kist_error *err)
{
	static const char *const own[] = { "copy", "nocopy", "nocreate" };

	for (size_t i = 0; i < KIST_COUNT(own); i++)
		if (kist_streq(own[i], option))
			return 0;
	return create_check_bind_option(option, err);
}

int create_add_volume(struct kist_container_config *config, const struct create_volume *volume, struct kist_error *err)
{
	KIST_FREE char *place = NULL;
	KIST_STRV char **options = NULL;
	const char *subpath = volume->subpath;

	int r = create_check_destination(volume->destination, volume->option, &place, err);
	for (size_t i = 0; r >= 0 && volume->options && volume->options[i]; i++) {
		const char *option = volume->options[i];
		if (kist_has_prefix(option, "subpath=")) {
			subpath = option + strlen("subpath=");
			continue;
		}
		r = check_option(option, err);
		if (r < 0)
			kist_context(err, "%s %s", volume->option, volume->destination);
		else if (r == 0)
			kist_strv_add(&options, option);
	}
	if (r < 0)
		return r;
	struct kist_volume_mount_config *mount = add(config, volume->name, place);
	mount->options = kist_steal(&options);
	mount->subpath = kist_strdup(subpath);
	return 0;
}

/* --- of another container ------------------------------------------------------------------------------------------
 */

struct from_options {
	const char *access; /* ro, rw; NULL: as the other container has it */
};

static int parse_from(const char *text, struct from_options *out, struct kist_error *err)
{
	KIST_STRV char **words = kist_strv_split(text, ',');

	for (char **word = words; word && *word; word++) {
		const char *access = kist_streq(*word, "ro") ? "ro" : kist_streq(*word, "rw") ? "rw" : NULL;
		if (access && out->access)
			return kist_fail(err, KIST_ERR_INVALID, 0, "volumes-from: ro and rw are given together");
		if (access) {
			out->access = access;
			continue;
		}
		int r = kist_streq(*word, "z") ? create_check_bind_option(*word, err)
		                               : kist_fail(err, KIST_ERR_INVALID, 0,
		                                           "volumes-from: option '%s': expected ro, rw or z", *word);
		if (r < 0)
			return r;
	}
	return 0;
}

static char **options_from(char *const *options, const char *access)
{
	char **out = NULL;

	for (; options && *options; options++)
		if (!access ||
		    !(kist_streq(*options, "ro") || kist_streq(*options, "rw") || kist_streq(*options, "rro")))
			kist_strv_add(&out, *options);
	if (access)
		kist_strv_add(&out, access);
	return out;
}

static void copy_from(const struct kist_container_config *other, const char *access,
                      struct kist_container_config *config)
{
	for (size_t i = 0; i < other->n_named_volumes; i++) {
		const struct kist_volume_mount_config *theirs = &other->named_volumes[i];
		if (is_taken(config, theirs->destination))
			continue;
		struct kist_volume_mount_config *mount = add(config, theirs->name, theirs->destination);
		mount->options = options_from(theirs->options, access);
		mount->subpath = kist_strdup(theirs->subpath);
		mount->anonymous = theirs->anonymous;
	}
	for (size_t i = 0; i < other->n_mounts; i++) {
		const struct kist_mount_config *theirs = &other->mounts[i];
		/* A tmpfs is that container's own. */
		if (!kist_streq(theirs->type, "bind") || is_taken(config, theirs->destination))
			continue;
		config->mounts = kist_grow(config->mounts, config->n_mounts + 1, sizeof(*config->mounts));
		config->mounts[config->n_mounts++] = (struct kist_mount_config){
			.destination = kist_strdup(theirs->destination),
			.type = kist_strdup(theirs->type),
			.source = kist_strdup(theirs->source),
			.options = options_from(theirs->options, access),
		};
	}
}

int create_volumes_from(struct kist_cli *cli, const char *text, struct kist_container_config *config,
                        struct kist_error *err)
{
	const char *colon = strchr(text, ':');
	KIST_FREE char *name = kist_strndup(text, colon ? (size_t)(colon - text) : strlen(text));
	struct from_options options = { 0 };
	struct kist_container *other = NULL;

	int r = colon ? parse_from(colon + 1, &options, err) : 0;
	if (r < 0)
		return r;
	r = kist_container_open(cli->k, name, &other, err);
	if (r < 0)
		return kist_context(err, "volumes-from");
	copy_from(kist_container_config(other), options.access, config);
	kist_container_free(other);
	return 0;
}

/* --- of the image --------------------------------------------------------------------------------------------------
 */

static void add_tmpfs(struct kist_container_config *config, const char *place)
{
	config->mounts = kist_grow(config->mounts, config->n_mounts + 1, sizeof(*config->mounts));
	struct kist_mount_config *mount = &config->mounts[config->n_mounts++];

	*mount = (struct kist_mount_config){ .destination = kist_strdup(place),
		                             .type = kist_strdup("tmpfs"),
		                             .source = kist_strdup("tmpfs") };
	mount->options = kist_strv_split("rprivate,rw,nodev,exec,tmpcopyup", ',');
}

int create_image_volumes(const struct create_options *o, const struct kist_image *image,
                         struct kist_container_config *config, struct kist_error *err)
{
	char *const *paths = image && !kist_streq(o->image_volume, "ignore") ? image->config.volumes : NULL;

	for (; paths && *paths; paths++) {
		KIST_FREE char *place = NULL;
		int r = create_check_destination(*paths, "volume of the image", &place, err);
		if (r < 0)
			return r;
		if (is_taken(config, place))
			continue;
		if (kist_streq(o->image_volume, "tmpfs"))
			add_tmpfs(config, place);
		else
			add(config, NULL, place);
	}
	return 0;
}
