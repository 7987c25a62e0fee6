/* Ranges of host ids, given out to containers of --userns=auto. A range is taken by a link id-ranges/u-START-SIZE (g-
 * for groups) to its container, made under a lock, so that no two overlap; it goes with the container. A link whose
 * container is not there, nor in the making, is what a crash left, and counts as free. */
#include "core/userns.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWNER       "containers" /* of the ranges in /etc/subuid and /etc/subgid, as podman has it */
#define LINK_PREFIX "../containers/"

static int by_start(const void *a, const void *b)
{
	const struct kist_spec_id_map *x = a, *y = b;

	return x->host_id < y->host_id ? -1 : x->host_id > y->host_id;
}

bool kist_userns_first_fit(const struct kist_spec_id_map *ranges, size_t n_ranges, struct kist_spec_id_map *taken,
                           size_t n_taken, uint32_t size, uint32_t *start)
{
	if (n_taken)
		qsort(taken, n_taken, sizeof(*taken), by_start);
	for (size_t i = 0; i < n_ranges; i++) {
		uint64_t at = ranges[i].host_id, end = at + ranges[i].size;
		for (size_t k = 0; k < n_taken && at + size <= end; k++) {
			uint64_t from = taken[k].host_id, to = from + taken[k].size;
			if (from < at + size && to > at)
				at = to;
		}
		if (at + size <= end) {
			*start = (uint32_t)at;
			return true;
		}
	}
	return false;
}

/* Those of /etc/subuid if it knows the owner, else the setting's. */
static int ranges_read(struct kist *k, const char *file, struct kist_spec_id_map **ranges, size_t *n,
                       struct kist_error *err)
{
	const char *text = k->settings.userns_range;
	struct kist_spec_id_map range;
	struct kist_error missing = { 0 };

	int r = kist_subid_read(file, OWNER, ranges, n, &missing);
	if (r == 0)
		return 0;
	if (missing.kind != KIST_ERR_NOT_FOUND) {
		if (err)
			*err = missing;
		return r;
	}
	KIST_FREE char *map = kist_asprintf("0:%s", text ? text : "");
	if (kist_id_map_parse(map, &range) < 0 || (uint64_t)range.host_id + range.size > UINT32_MAX)
		return kist_fail(err, KIST_ERR_INVALID, 0, "kist.conf: userns_range '%s': expected START:SIZE",
		                 text ? text : "");
	*ranges = kist_grow(*ranges, *n + 1, sizeof(**ranges));
	(*ranges)[(*n)++] = range;
	return 0;
}

/* False: its container is gone, and nobody is making it. */
static bool lease_holds(struct kist *k, int dir, const char *name)
{
	char target[sizeof(LINK_PREFIX) + 64];
	ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n != (ssize_t)sizeof(target) - 1)
		return false;
	target[n] = '\0';
	const char *id = target + sizeof(LINK_PREFIX) - 1;
	return kist_exists_at(k->containers, id) || kist_exists_at(k->run_containers, id);
}

static int leases_read(struct kist *k, int dir, char kind, struct kist_spec_id_map **taken, size_t *n,
                       struct kist_error *err)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);

	if (!list) {
		kist_close_fd(&copy);
		return kist_fail_errno(err, errno, "read id-ranges");
	}
	for (struct dirent *entry; (entry = readdir(list));) {
		struct kist_spec_id_map map = { 0 };
		if (entry->d_name[0] != kind || entry->d_name[1] != '-')
			continue;
		KIST_STRV char **range = kist_strv_split(entry->d_name + 2, '-');
		if (kist_strv_len(range) != 2 || kist_parse_u32(range[0], &map.host_id) < 0 ||
		    kist_parse_u32(range[1], &map.size) < 0)
			continue;
		if (!lease_holds(k, dir, entry->d_name)) {
			kist_debug("sweeping id range %s", entry->d_name);
			unlinkat(dir, entry->d_name, 0);
			continue;
		}
		*taken = kist_grow(*taken, *n + 1, sizeof(**taken));
		(*taken)[(*n)++] = map;
	}
	closedir(list);
	return 0;
}

static int take_one(struct kist_container *c, int dir, char kind, uint32_t size, const struct kist_spec_id_map *given,
                    size_t n_given, uint32_t *start, struct kist_error *err)
{
	const char *file = kind == 'u' ? "/etc/subuid" : "/etc/subgid";
	KIST_FREE struct kist_spec_id_map *ranges = NULL;
	KIST_FREE struct kist_spec_id_map *taken = NULL;
	size_t n_ranges = 0, n_taken = 0;

	if (size == 0)
		return 0;
	int r = ranges_read(c->k, file, &ranges, &n_ranges, err);
	if (r == 0)
		r = leases_read(c->k, dir, kind, &taken, &n_taken, err);
	if (r < 0)
		return r;
	/* What the user maps himself has two names otherwise, which the kernel refuses. */
	for (size_t i = 0; i < n_given; i++) {
		taken = kist_grow(taken, n_taken + 1, sizeof(*taken));
		taken[n_taken++] = given[i];
	}
	if (!kist_userns_first_fit(ranges, n_ranges, taken, n_taken, size, start)) {
		kist_fail(err, KIST_ERR_IN_USE, ENOSPC, "userns auto: no %u %s ids are free", size,
		          kind == 'u' ? "user" : "group");
		return kist_remedy(err, "give '%s' more of them in %s, or ask for fewer by --userns=auto:size=N", OWNER,
		                   file);
	}
	KIST_FREE char *name = kist_asprintf("%c-%u-%u", kind, *start, size);
	KIST_FREE char *target = kist_asprintf(LINK_PREFIX "%s", c->config.id);
	if (symlinkat(target, dir, name) < 0)
		return kist_fail_errno(err, errno, "take id range %s", name);
	kist_strv_take(&c->config.id_ranges, kist_steal(&name));
	return 0;
}

static void maps_set(struct kist_spec_id_map **maps, size_t *n, uint32_t size, const struct kist_spec_id_map *given,
                     size_t n_given, uint32_t start)
{
	uint32_t n_host;

	free(*maps);
	*maps = NULL;
	*n = 0;
	kist_userns_fill(size, given, n_given, start, maps, n, &n_host, NULL);
}

static int take(struct kist_container *c, int dir, const struct kist_userns_auto *a, struct kist_error *err)
{
	struct kist_container_config *config = &c->config;
	struct kist_spec_id_map *counted = NULL;
	size_t n = 0;
	uint32_t n_uids, n_gids, uid = 0, gid = 0;

	int r = kist_userns_fill(a->size, a->uids, a->n_uids, 1, &counted, &n, &n_uids, err);
	if (r == 0)
		r = kist_userns_fill(a->size, a->gids, a->n_gids, 1, &counted, &n, &n_gids, err);
	free(counted);
	if (r == 0)
		r = take_one(c, dir, 'u', n_uids, a->uids, a->n_uids, &uid, err);
	if (r == 0)
		r = take_one(c, dir, 'g', n_gids, a->gids, a->n_gids, &gid, err);
	if (r == 0) {
		maps_set(&config->uid_map, &config->n_uid_map, a->size, a->uids, a->n_uids, uid);
		maps_set(&config->gid_map, &config->n_gid_map, a->size, a->gids, a->n_gids, gid);
	}
	return r;
}

int kist_userns_take(struct kist_container *c, struct kist_error *err)
{
	struct kist_userns_auto a;
	KIST_CLOSE int dir = -1;

	if (!kist_userns_is_auto(c->config.user_ns))
		return 0;
	int r = kist_store_directory(c->k, "id-ranges", true, &dir);
	if (r < 0)
		return kist_fail_errno(err, -r, "make id-ranges");
	KIST_CLOSE int lock = kist_lock(dir, ".lock", true, false);
	if (lock < 0)
		return kist_fail_errno(err, -lock, "lock id-ranges");
	r = kist_userns_auto_parse(c->config.user_ns, &a, err);
	if (r < 0)
		return r;
	r = take(c, dir, &a, err);
	kist_userns_auto_clear(&a);
	return r;
}

void kist_userns_release(struct kist *k, const struct kist_container_config *config)
{
	KIST_CLOSE int dir = -1;

	if (!config->id_ranges || kist_store_directory(k, "id-ranges", false, &dir) < 0)
		return;
	for (size_t i = 0; config->id_ranges[i]; i++) {
		char target[sizeof(LINK_PREFIX) + 64] = "";
		const char *name = config->id_ranges[i];
		/* A record is text that may have been edited. */
		if (strchr(name, '/') || readlinkat(dir, name, target, sizeof(target) - 1) < 0)
			continue;
		if (kist_streq(target + sizeof(LINK_PREFIX) - 1, config->id))
			unlinkat(dir, name, 0);
	}
}
