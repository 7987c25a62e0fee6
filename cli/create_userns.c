/* --userns, --uidmap, --gidmap, --subuidname, --subgidname of run and create. */
#include "cli/create.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "[FLAGS]CONTAINER:[@]HOST[:SIZE]": without flags, u and g together, or the one that is asked for. */
static int add_maps(const char *option, char *const *texts, char kind, struct kist_spec_id_map **list, size_t *n,
                    struct kist_error *err)
{
	for (size_t i = 0; texts && texts[i]; i++) {
		size_t flags = strspn(texts[i], "ug+");
		struct kist_spec_id_map map;
		if (memchr(texts[i], '+', flags))
			return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
			                 "%s '%s': '+' changes the map of a user that is not root", option, texts[i]);
		if (flags && !memchr(texts[i], kind, flags))
			continue;
		if (kist_id_map_parse(texts[i] + flags, &map) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s '%s': expected CONTAINER:HOST[:SIZE]", option,
			                 texts[i]);
		*list = kist_grow(*list, *n + 1, sizeof(**list));
		(*list)[(*n)++] = map;
	}
	return 0;
}

/* One that is not given is as the other. */
static int set_maps(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	char *const *uids = o->uidmap ? o->uidmap : o->gidmap, *const *gids = o->gidmap ? o->gidmap : o->uidmap;

	int r = add_maps(o->uidmap ? "uidmap" : "gidmap", uids, 'u', &config->uid_map, &config->n_uid_map, err);
	return r < 0 ? r
	             : add_maps(o->gidmap ? "gidmap" : "uidmap", gids, 'g', &config->gid_map, &config->n_gid_map, err);
}

static int set_subids(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	const char *uids = o->subuidname ? o->subuidname : o->subgidname;
	const char *gids = o->subgidname ? o->subgidname : o->subuidname;

	int r = kist_subid_read("/etc/subuid", uids, &config->uid_map, &config->n_uid_map, err);
	if (r == 0)
		r = kist_subid_read("/etc/subgid", gids, &config->gid_map, &config->n_gid_map, err);
	return r < 0 ? kist_context(err, o->subuidname ? "subuidname" : "subgidname") : 0;
}

int create_userns(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	bool mapped = o->uidmap || o->gidmap, named = o->subuidname || o->subgidname;

	if (mapped && named)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "--uidmap and --gidmap exclude --subuidname and --subgidname");
	if (!mapped && !named) {
		if (o->userns && !*o->userns) {
			free(config->user_ns);
			config->user_ns = kist_strdup("host");
		}
		return 0;
	}
	if (!kist_empty(o->userns) && !kist_streq(o->userns, "private"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s make a private user namespace: they exclude --userns=%s",
		                 mapped ? "--uidmap and --gidmap" : "--subuidname and --subgidname", o->userns);
	free(config->user_ns);
	config->user_ns = kist_strdup("private");
	return mapped ? set_maps(o, config, err) : set_subids(o, config, err);
}
