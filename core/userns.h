/* User namespaces of containers: what --userns means as maps, and the ranges of host ids that 'auto' gives out. */
#ifndef KIST_USERNS_H
#define KIST_USERNS_H

#include "core/internal.h"

/* "auto[:size=..,uidmapping=..,gidmapping=..]" */
struct kist_userns_auto {
	uint32_t size; /* of the namespace: ids from 0 */
	struct kist_spec_id_map *uids, *gids;
	size_t n_uids, n_gids;
};
#define KIST_USERNS_AUTO_SIZE 65536

bool kist_userns_is_auto(const char *mode);
bool kist_userns_is_keep_id(const char *mode);
int kist_userns_auto_parse(const char *mode, struct kist_userns_auto *out, struct kist_error *err);
void kist_userns_auto_clear(struct kist_userns_auto *a);
/* The ids from 0 to size that no map has yet, as one list of maps onto host ids from start; *n_host: how many of those.
 * start may be any when only the number is wanted. */
int kist_userns_fill(uint32_t size, const struct kist_spec_id_map *given, size_t n_given, uint32_t start,
                     struct kist_spec_id_map **maps, size_t *n, uint32_t *n_host, struct kist_error *err);
/* The first place for size ids in the ranges (container_id is not looked at) that none of the taken ones has; false
 * when there is none. taken is sorted by it. */
bool kist_userns_first_fit(const struct kist_spec_id_map *ranges, size_t n_ranges, struct kist_spec_id_map *taken,
                           size_t n_taken, uint32_t size, uint32_t *start);

/* The lines of a file like /etc/subuid. -ENOENT: none is the name's. */
int kist_subid_parse(const char *text, const char *name, struct kist_spec_id_map **ranges, size_t *n);

/* Whether the container has such a group. */
bool kist_userns_has_gid(const struct kist_container_config *config, uint32_t gid);

/* create: the maps of the config's mode are worked out; those of 'auto' are provisional until the ranges are taken. */
int kist_userns_resolve(struct kist_container *c, struct kist_error *err);
/* create, when the container's directory is made and its lock held. */
int kist_userns_take(struct kist_container *c, struct kist_error *err);
/* The ranges are free again: of a container that was removed, or not made. */
void kist_userns_release(struct kist *k, const struct kist_container_config *config);
/* init: the namespace that is joined still has the maps that the container was made with. */
int kist_userns_verify(const struct kist_container_config *config, struct kist_error *err);

/* --- idmap.c: the option idmap=MAP of mounts
 * ----------------------------------------------------------------------- */

/* MAP is "uids=RANGES;gids=RANGES", one or both; RANGES are "[@]STORED-SHOWN-SIZE" joined by '#', as podman-run(1) has
 * them: ids in the file system, ids of the host that they are shown as, or after '@' of the container. Sets the maps of
 * the mount. */
int kist_idmap_parse(const char *text, const struct kist_container_config *config, struct kist_spec_mount *mount,
                     struct kist_error *err);
bool kist_is_idmap(const char *option);
/* The same of a mount's options, if one of them is that. */
int kist_idmap_plan(char *const *options, const struct kist_container_config *config, struct kist_spec_mount *mount,
                    struct kist_error *err);

#endif
