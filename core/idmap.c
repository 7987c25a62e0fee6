/* The option idmap=MAP of bind mounts and volumes: owners shown otherwise than by the container's user namespace. */
#include "core/userns.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct id_maps {
	struct kist_spec_id_map *maps;
	size_t n;
};

static void maps_add(struct id_maps *to, const struct kist_spec_id_map *map)
{
	to->maps = kist_grow(to->maps, to->n + 1, sizeof(*to->maps));
	to->maps[to->n++] = *map;
}

/* From ids of the container to those of the host. */
static bool move_to_host(struct kist_spec_id_map *map, const struct id_maps *own)
{
	for (size_t i = 0; i < own->n; i++) {
		const struct kist_spec_id_map *range = &own->maps[i];
		uint32_t offset = map->host_id - range->container_id;

		if (map->host_id < range->container_id || offset >= range->size || map->size > range->size - offset)
			continue;
		map->host_id = range->host_id + offset;
		return true;
	}
	return own->n == 0;
}

static bool meet(uint32_t a, uint32_t n_a, uint32_t b, uint32_t n_b)
{
	return a < b ? b - a < n_a : a - b < n_b;
}

static bool overlaps(const struct id_maps *maps, const struct kist_spec_id_map *map)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct kist_spec_id_map *other = &maps->maps[i];
		if (meet(map->container_id, map->size, other->container_id, other->size) ||
		    meet(map->host_id, map->size, other->host_id, other->size))
			return true;
	}
	return false;
}

static int range_add(struct id_maps *to, const char *text, const struct id_maps *own, struct kist_error *err)
{
	bool relative = *text == '@';
	KIST_STRV char **numbers = kist_strv_split(text + relative, '-');
	struct kist_spec_id_map map;

	if (kist_strv_len(numbers) != 3 || kist_parse_u32(numbers[0], &map.container_id) < 0 ||
	    kist_parse_u32(numbers[1], &map.host_id) < 0 || kist_parse_u32(numbers[2], &map.size) < 0 || map.size == 0)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "idmap: range '%s': expected STORED-SHOWN-SIZE, as in 0-100000-65536", text);
	if (map.size > UINT32_MAX - map.container_id || map.size > UINT32_MAX - map.host_id)
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "idmap: range '%s' ends past 4294967294", text);
	if (relative && !move_to_host(&map, own))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "idmap: range '%s': the container's user namespace does not map these ids", text);
	if (overlaps(to, &map))
		return kist_fail(err, KIST_ERR_INVALID, 0, "idmap: range '%s' overlaps another one", text);
	maps_add(to, &map);
	return 0;
}

static int side_parse(struct id_maps *to, const char *text, const struct id_maps *own, struct kist_error *err)
{
	KIST_STRV char **ranges = kist_strv_split(text, '#');
	int r = to->n ? kist_fail(err, KIST_ERR_INVALID, 0, "idmap: uids= or gids= is given twice") : 0;

	if (r == 0 && !ranges)
		r = range_add(to, "", own, err);
	for (char **range = ranges; r == 0 && range && *range; range++)
		r = range_add(to, *range, own, err);
	return r;
}

/* What is not given is as the container has it; without a user namespace, as it is on the host. */
static void side_default(struct id_maps *to, const struct id_maps *own)
{
	static const struct kist_spec_id_map all = { .size = UINT32_MAX };

	for (size_t i = 0; to->n < own->n; i++)
		maps_add(to, &own->maps[i]);
	if (to->n == 0)
		maps_add(to, &all);
}

int kist_idmap_parse(const char *text, const struct kist_container_config *config, struct kist_spec_mount *mount,
                     struct kist_error *err)
{
	const struct id_maps own_uids = { config->uid_map, config->n_uid_map },
	                     own_gids = { config->gid_map, config->n_gid_map };
	struct id_maps uids = { 0 }, gids = { 0 };
	KIST_STRV char **sides = kist_strv_split(text, ';');
	int r = 0;

	for (char **side = sides; r == 0 && side && *side; side++) {
		if (kist_has_prefix(*side, "uids="))
			r = side_parse(&uids, *side + strlen("uids="), &own_uids, err);
		else if (kist_has_prefix(*side, "gids="))
			r = side_parse(&gids, *side + strlen("gids="), &own_gids, err);
		else
			r = kist_fail(err, KIST_ERR_INVALID, 0, "idmap: '%s': expected uids=RANGES or gids=RANGES",
			              *side);
	}
	if (r == 0 && uids.n == 0 && gids.n == 0)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "idmap: expected uids=RANGES;gids=RANGES after '='");
	if (r < 0) {
		free(uids.maps);
		free(gids.maps);
		return r;
	}
	if (uids.n == 0)
		side_default(&uids, &own_uids);
	if (gids.n == 0)
		side_default(&gids, &own_gids);
	mount->uid_mappings = uids.maps;
	mount->n_uid_mappings = uids.n;
	mount->gid_mappings = gids.maps;
	mount->n_gid_mappings = gids.n;
	return 0;
}

int kist_idmap_plan(char *const *options, const struct kist_container_config *config, struct kist_spec_mount *mount,
                    struct kist_error *err)
{
	const char *map = NULL;
	int given = 0;

	for (; options && *options; options++) {
		given += kist_is_idmap(*options) || kist_streq(*options, "idmap") || kist_streq(*options, "ridmap");
		if (kist_is_idmap(*options))
			map = *options + strlen("idmap=");
	}
	if (given > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "idmap is given twice");
	return map ? kist_idmap_parse(map, config, mount, err) : 0;
}

bool kist_is_idmap(const char *option)
{
	return kist_has_prefix(option, "idmap=");
}
