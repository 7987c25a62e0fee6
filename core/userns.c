#include "core/userns.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "ns/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the words ------------------------------------------------------------------------------------------------------
 */

static bool is_mode(const char *mode, const char *word)
{
	return kist_has_prefix(mode, word) && (mode[strlen(word)] == '\0' || mode[strlen(word)] == ':');
}

bool kist_userns_is_auto(const char *mode)
{
	return mode && is_mode(mode, "auto");
}

bool kist_userns_is_keep_id(const char *mode)
{
	return mode && is_mode(mode, "keep-id");
}

static void add_map(struct kist_spec_id_map **maps, size_t *n, uint32_t container, uint32_t host, uint32_t size)
{
	*maps = kist_grow(*maps, *n + 1, sizeof(**maps));
	(*maps)[(*n)++] = (struct kist_spec_id_map){ container, host, size };
}

int kist_id_map_parse(const char *text, struct kist_spec_id_map *out)
{
	KIST_STRV char **parts = kist_strv_split(text, ':');
	struct kist_spec_id_map map = { .size = 1 };
	size_t n = kist_strv_len(parts);

	if (n < 2 || n > 3)
		return -EINVAL;
	/* '@' says that it is an id of the host, which it is in any case where the engine runs as root. */
	const char *host = parts[1][0] == '@' ? parts[1] + 1 : parts[1];
	if (kist_parse_u32(parts[0], &map.container_id) < 0 || kist_parse_u32(host, &map.host_id) < 0 ||
	    (n == 3 && kist_parse_u32(parts[2], &map.size) < 0) || map.size == 0)
		return -EINVAL;
	*out = map;
	return 0;
}

int kist_userns_auto_parse(const char *mode, struct kist_userns_auto *out, struct kist_error *err)
{
	const char *options = strchr(mode, ':');
	KIST_STRV char **list = options ? kist_strv_split(options + 1, ',') : NULL;
	int r = 0;

	*out = (struct kist_userns_auto){ .size = KIST_USERNS_AUTO_SIZE };
	for (size_t i = 0; r == 0 && list && list[i]; i++) {
		struct kist_spec_id_map map;
		const char *value = strchr(list[i], '=');
		KIST_FREE char *key = kist_strndup(list[i], value ? (size_t)(value - list[i]) : strlen(list[i]));
		bool uid = kist_streq(key, "uidmapping"), gid = kist_streq(key, "gidmapping");
		value = value ? value + 1 : "";
		if (kist_streq(key, "size")) {
			if (kist_parse_u32(value, &out->size) < 0 || out->size == 0)
				r = kist_fail(err, KIST_ERR_INVALID, 0, "userns auto: size '%s' is not a number of ids",
				              value);
		} else if (!uid && !gid) {
			r = kist_fail(err, KIST_ERR_INVALID, 0,
			              "userns auto: '%s' is not an option: expected size, uidmapping or gidmapping",
			              key);
		} else if (kist_id_map_parse(value, &map) < 0) {
			r = kist_fail(err, KIST_ERR_INVALID, 0, "userns auto: %s '%s': expected CONTAINER:HOST[:SIZE]",
			              key, value);
		} else if (uid) {
			add_map(&out->uids, &out->n_uids, map.container_id, map.host_id, map.size);
		} else {
			add_map(&out->gids, &out->n_gids, map.container_id, map.host_id, map.size);
		}
	}
	if (r < 0)
		kist_userns_auto_clear(out);
	return r;
}

void kist_userns_auto_clear(struct kist_userns_auto *a)
{
	free(a->uids);
	free(a->gids);
	*a = (struct kist_userns_auto){ 0 };
}

static int by_container(const void *a, const void *b)
{
	const struct kist_spec_id_map *x = a, *y = b;

	return x->container_id < y->container_id ? -1 : x->container_id > y->container_id;
}

int kist_userns_fill(uint32_t size, const struct kist_spec_id_map *given, size_t n_given, uint32_t start,
                     struct kist_spec_id_map **maps, size_t *n, uint32_t *n_host, struct kist_error *err)
{
	KIST_FREE struct kist_spec_id_map *sorted = kist_alloc((n_given + 1) * sizeof(*sorted));
	uint64_t at = 0, host = start;

	if (n_given)
		memcpy(sorted, given, n_given * sizeof(*sorted));
	qsort(sorted, n_given, sizeof(*sorted), by_container);
	for (size_t i = 0; i <= n_given; i++) {
		uint64_t from = i < n_given ? sorted[i].container_id : UINT64_MAX;
		uint64_t end = from < size ? from : size;
		if (i < n_given && from < at)
			return kist_fail(err, KIST_ERR_INVALID, 0, "userns auto: mappings of id %u overlap",
			                 sorted[i].container_id);
		if (end > at) {
			if (host + (end - at) > UINT32_MAX)
				return kist_fail(err, KIST_ERR_INVALID, ERANGE, "userns auto: %u ids do not fit", size);
			add_map(maps, n, (uint32_t)at, (uint32_t)host, (uint32_t)(end - at));
			host += end - at;
		}
		if (i < n_given) {
			add_map(maps, n, sorted[i].container_id, sorted[i].host_id, sorted[i].size);
			at = from + sorted[i].size;
		}
	}
	*n_host = (uint32_t)(host - start);
	return 0;
}

/* --- /etc/subuid ----------------------------------------------------------------------------------------------------
 */

#define SUBID_MAX (1u << 20)

int kist_subid_parse(const char *text, const char *name, struct kist_spec_id_map **ranges, size_t *n)
{
	KIST_STRV char **lines = kist_strv_split(text, '\n');
	uint32_t at = 0;

	for (size_t i = 0; lines && lines[i]; i++) {
		KIST_STRV char **parts = kist_strv_split(lines[i], ':');
		uint32_t start, size;
		if (kist_strv_len(parts) != 3 || !kist_streq(parts[0], name) || kist_parse_u32(parts[1], &start) < 0 ||
		    kist_parse_u32(parts[2], &size) < 0 || size == 0 || (uint64_t)start + size > UINT32_MAX ||
		    (uint64_t)at + size > UINT32_MAX)
			continue;
		add_map(ranges, n, at, start, size);
		at += size;
	}
	return *n ? 0 : -ENOENT;
}

int kist_subid_read(const char *file, const char *name, struct kist_spec_id_map **ranges, size_t *n,
                    struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	int r = kist_read_file(AT_FDCWD, file, SUBID_MAX, &text);
	if (r < 0 && r != -ENOENT)
		return kist_fail_errno(err, -r, "read %s", file);
	r = r < 0 ? r : kist_subid_parse(kist_str_get(&text), name, ranges, n);
	if (r < 0) {
		kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "%s gives no ids to '%s'", file, name);
		return kist_remedy(err, "add a line such as %s:2147483648:1048576", name);
	}
	return 0;
}

bool kist_userns_has_gid(const struct kist_container_config *config, uint32_t gid)
{
	bool found = config->n_gid_map == 0;

	for (size_t i = 0; i < config->n_gid_map; i++)
		found |= gid >= config->gid_map[i].container_id &&
		         gid - config->gid_map[i].container_id < config->gid_map[i].size;
	return found;
}

/* --- create and init ------------------------------------------------------------------------------------------------
 */

static void maps_drop(struct kist_container_config *config)
{
	free(config->uid_map);
	free(config->gid_map);
	config->uid_map = config->gid_map = NULL;
	config->n_uid_map = config->n_gid_map = 0;
}

/* A host id past those that were given: what is checked before the ranges are taken must not overlap them. */
static uint32_t provisional(const struct kist_spec_id_map *given, size_t n)
{
	uint64_t start = 1;

	for (size_t i = 0; i < n; i++)
		if ((uint64_t)given[i].host_id + given[i].size > start)
			start = (uint64_t)given[i].host_id + given[i].size;
	return start > UINT32_MAX ? UINT32_MAX : (uint32_t)start;
}

static int resolve_keep_id(struct kist_container_config *config, struct kist_error *err)
{
	/* There is one user, root, and he keeps his ids and all others. */
	if (config->user_ns[strlen("keep-id")])
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "userns '%s': its options are for users that are not root", config->user_ns);
	maps_drop(config);
	int r = kist_ns_userns_maps_own(&config->uid_map, &config->n_uid_map, &config->gid_map, &config->n_gid_map,
	                                err);
	for (size_t i = 0; i < config->n_uid_map; i++)
		config->uid_map[i].host_id = config->uid_map[i].container_id;
	for (size_t i = 0; i < config->n_gid_map; i++)
		config->gid_map[i].host_id = config->gid_map[i].container_id;
	return r;
}

/* It shares the other's namespace, and so its maps, by which its files are seen. */
static int resolve_container(struct kist_container *c, const char *id, struct kist_error *err)
{
	struct kist_container_config *config = &c->config;
	struct kist_container *other = NULL;

	int r = kist_container_load(c->k, id, &other, err);
	if (r < 0)
		return kist_context(err, "userns");
	maps_drop(config);
	for (size_t i = 0; i < other->config.n_uid_map; i++)
		add_map(&config->uid_map, &config->n_uid_map, other->config.uid_map[i].container_id,
		        other->config.uid_map[i].host_id, other->config.uid_map[i].size);
	for (size_t i = 0; i < other->config.n_gid_map; i++)
		add_map(&config->gid_map, &config->n_gid_map, other->config.gid_map[i].container_id,
		        other->config.gid_map[i].host_id, other->config.gid_map[i].size);
	if (!config->n_uid_map) {
		free(config->user_ns);
		config->user_ns = kist_strdup("host");
	}
	kist_container_free(other);
	return 0;
}

static int read_path(const char *path, struct kist_container_config *maps, struct kist_error *err)
{
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return kist_fail_errno(err, errno, "userns: open %s", path);
	int r = kist_ns_userns_maps_read(fd, &maps->uid_map, &maps->n_uid_map, &maps->gid_map, &maps->n_gid_map, err);
	return r < 0 ? kist_context(err, "userns %s", path) : 0;
}

int kist_userns_resolve(struct kist_container *c, struct kist_error *err)
{
	struct kist_container_config *config = &c->config;
	const char *mode = config->user_ns;

	kist_strv_free(config->id_ranges);
	config->id_ranges = NULL;
	if (kist_streq(mode, "nomap")) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "userns 'nomap' is for users that are not root");
		return kist_remedy(err, "--userns=auto maps no user of the host either");
	}
	if (kist_userns_is_keep_id(mode))
		return resolve_keep_id(config, err);
	if (kist_userns_is_auto(mode)) {
		struct kist_userns_auto a;
		uint32_t n_host;
		int r = kist_userns_auto_parse(mode, &a, err);
		if (r < 0)
			return r;
		maps_drop(config);
		r = kist_userns_fill(a.size, a.uids, a.n_uids, provisional(a.uids, a.n_uids), &config->uid_map,
		                     &config->n_uid_map, &n_host, err);
		if (r == 0)
			r = kist_userns_fill(a.size, a.gids, a.n_gids, provisional(a.gids, a.n_gids), &config->gid_map,
			                     &config->n_gid_map, &n_host, err);
		kist_userns_auto_clear(&a);
		return r;
	}
	if (kist_has_prefix(mode, "container:"))
		return resolve_container(c, mode + strlen("container:"), err);
	if (kist_has_prefix(mode, "ns:/")) {
		maps_drop(config);
		return read_path(mode + strlen("ns:"), config, err);
	}
	return 0;
}

int kist_userns_verify(const struct kist_container_config *config, struct kist_error *err)
{
	struct kist_container_config now = { 0 };

	if (!kist_has_prefix(config->user_ns, "ns:"))
		return 0;
	int r = read_path(config->user_ns + strlen("ns:"), &now, err);
	bool same = r == 0 && now.n_uid_map == config->n_uid_map && now.n_gid_map == config->n_gid_map &&
	            memcmp(now.uid_map, config->uid_map, now.n_uid_map * sizeof(*now.uid_map)) == 0 &&
	            memcmp(now.gid_map, config->gid_map, now.n_gid_map * sizeof(*now.gid_map)) == 0;
	maps_drop(&now);
	if (r == 0 && !same) {
		kist_fail(err, KIST_ERR_STATE, EINVAL, "userns %s: it has other maps than when the container was made",
		          config->user_ns);
		return kist_remedy(err, "make the container anew: its files have the owners of the old maps");
	}
	return r;
}
