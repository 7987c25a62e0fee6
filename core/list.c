/* All containers, and sweeping what crashed processes left between the records. Nothing here waits for a lock. */
#include "core/internal.h"
#include "core/pod.h"
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_id(const char *name)
{
	return strlen(name) == 64 && name[strspn(name, "0123456789abcdef")] == '\0';
}

static DIR *open_list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream)
		kist_close_fd(&fd);
	return stream;
}

static bool has_record(struct kist *k, const char *id)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/config", id);
	return kist_exists_at(k->containers, path);
}

/* A directory without a record: its maker holds the lock, or died. */
static void sweep_halfmade(struct kist *k, const char *id)
{
	/* One that ran and lost its record is not ours to throw away: storage_container.c. */
	if (has_record(k, id) || kist_container_has_layer(k, id))
		return;
	KIST_CLOSE int run = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	KIST_CLOSE int lock = run < 0 ? -1 : kist_lock(run, "lock", true, true);

	/* Finished while we came for the lock? */
	if ((run >= 0 && lock < 0) || has_record(k, id))
		return;
	kist_debug("sweeping half-made container %.12s", id);
	/* While its directory leads to it still: what is cut short is done again. */
	kist_volumes_forget(k, id, true);
	kist_remove_tree(k->containers, id);
	kist_remove_tree(k->run_containers, id);
}

static void sweep_names(struct kist *k)
{
	/* Who takes a stale name over holds this lock: between our look and our unlink nobody may. */
	KIST_CLOSE int lock = kist_lock(k->names, ".lock", true, true);
	DIR *names = lock < 0 ? NULL : open_list(k->names);

	for (struct dirent *entry; names && (entry = readdir(names));) {
		char target[128];
		if (entry->d_name[0] == '.')
			continue;
		ssize_t n = readlinkat(k->names, entry->d_name, target, sizeof(target) - 1);
		if (n < 64)
			continue;
		target[n] = '\0';
		const char *id = target + n - 64;
		/* The name is made before the record: a maker at work has the directory, and the lock. */
		if (!kist_exists_at(k->containers, id) && !kist_exists_at(k->run_containers, id) &&
		    !kist_pod_exists(k, id))
			kist_name_release(k, entry->d_name, id);
	}
	if (names)
		closedir(names);
}

void kist_containers_sweep(struct kist *k)
{
	DIR *records = open_list(k->containers);
	DIR *runs = open_list(k->run_containers);

	for (struct dirent *entry; records && (entry = readdir(records));) {
		if (kist_has_prefix(entry->d_name, KIST_TMP_PREFIX))
			kist_container_remove_finish(k, entry->d_name);
		else if (is_id(entry->d_name))
			sweep_halfmade(k, entry->d_name);
	}
	for (struct dirent *entry; runs && (entry = readdir(runs));)
		if (is_id(entry->d_name) && !kist_exists_at(k->containers, entry->d_name))
			sweep_halfmade(k, entry->d_name);
	if (records)
		closedir(records);
	if (runs)
		closedir(runs);
	sweep_names(k);
}

bool kist_container_settle_unwatched(struct kist_container *c)
{
	int status = c->state.status;
	bool live = kist_status_has_process(status) || status == KIST_STOPPED;

	if (live ? kist_container_monitor_alive(c) : !kist_container_has_leftovers(c))
		return true;
	int r = kist_container_trylock(c); /* makes it whole */
	if (r < 0)
		return r != -ESTALE;
	struct kist_error problem = { 0 };
	if (kist_container_reload(c, &problem) < 0 || kist_container_settle(c, &problem) < 0)
		kist_debug("%s", problem.text);
	c->hooks = 0; /* a list does not wait for them */
	bool ended = live && c->state.status == KIST_EXITED;
	bool remove = c->config.auto_remove && c->state.status == KIST_EXITED;
	if (remove && kist_container_remove_locked(c, NULL) == 0) {
		kist_container_drop_image(c);
		kist_pod_after_exit(c);
		return false;
	}
	kist_container_unlock(c);
	kist_close_fd(&c->run_dir);
	if (ended)
		kist_pod_after_exit(c);
	return true;
}

static int by_id(const void *a, const void *b)
{
	const struct kist_container *x = *(struct kist_container *const *)a, *y = *(struct kist_container *const *)b;

	return strcmp(x->config.id, y->config.id);
}

static int id_order(const void *id, const void *item)
{
	return strcmp(id, (*(struct kist_container *const *)item)->config.id);
}

/* A run directory without a record: of a maker that died before its first step on disk, or of a lock taken on what was
 * just removed. Those in the list are known to have one. */
static bool has_strays(struct kist *k, struct kist_container **list, size_t n)
{
	DIR *runs = open_list(k->run_containers);
	bool found = false;

	if (n)
		qsort(list, n, sizeof(struct kist_container *), by_id);
	for (struct dirent *entry; runs && !found && (entry = readdir(runs));)
		found = is_id(entry->d_name) &&
		        !(n && bsearch(entry->d_name, list, n, sizeof(struct kist_container *), id_order)) &&
		        !kist_exists_at(k->containers, entry->d_name);
	if (runs)
		closedir(runs);
	return found;
}

int kist_container_by_creation(const void *a, const void *b)
{
	const struct kist_container *x = *(struct kist_container *const *)a, *y = *(struct kist_container *const *)b;

	if (x->config.created != y->config.created)
		return x->config.created < y->config.created ? -1 : 1;
	return strcmp(x->config.id, y->config.id);
}

typedef int (*load_fn)(struct kist *k, const char *id, struct kist_container **out, struct kist_error *err);

static int list_all(struct kist *k, load_fn load, struct kist_container ***out, size_t *n, char ***broken,
                    struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t count = 0, room = 0;
	bool sweep = false, orphans = false;
	DIR *records = open_list(k->containers);

	if (!records)
		return kist_fail_errno(err, errno, "read the list of containers");
	for (struct dirent *entry; (entry = readdir(records));) {
		struct kist_container *c = NULL;
		if (kist_has_prefix(entry->d_name, KIST_TMP_PREFIX))
			sweep = true;
		if (!is_id(entry->d_name))
			continue;
		int r = load(k, entry->d_name, &c, NULL);
		if (r == -ENOENT)
			sweep = true;
		else if (r < 0 && broken)
			kist_strv_add(broken, entry->d_name);
		if (r < 0)
			continue;
		/* Thousands of handles must not hold thousands of descriptors. */
		bool stays = kist_container_settle_unwatched(c);
		kist_close_fd(&c->dir);
		if (!stays) {
			kist_container_free(c);
			continue;
		}
		if (count == room) {
			room = room ? room * 2 : 16;
			list = kist_grow(list, room, sizeof(struct kist_container *));
		}
		orphans = orphans || (c->config.infra && !kist_pod_has_record(k, c->config.pod));
		list[count++] = c;
	}
	closedir(records);
	if (has_strays(k, list, count) || sweep)
		kist_containers_sweep(k);
	if (orphans)
		kist_pods_sweep(k);
	if (count)
		qsort(list, count, sizeof(struct kist_container *), kist_container_by_creation);
	*out = list;
	*n = count;
	return 0;
}

int kist_container_list(struct kist *k, struct kist_container ***out, size_t *n, char ***broken, struct kist_error *err)
{
	return list_all(k, kist_container_load_bare, out, n, broken, err);
}

int kist_container_list_brief(struct kist *k, struct kist_container ***out, size_t *n, char ***broken,
                              struct kist_error *err)
{
	return list_all(k, kist_container_load_brief, out, n, broken, err);
}

void kist_container_list_free(struct kist_container **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_container_free(list[i]);
	free(list);
}

int kist_container_latest(struct kist *k, struct kist_container **out, struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	int r = kist_container_list(k, &list, &n, NULL, err);
	if (r < 0)
		return r;
	if (n > 0) {
		*out = list[n - 1];
		kist_container_list_free(list, n - 1);
		return 0;
	}
	free(list);
	return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "there are no containers");
}
