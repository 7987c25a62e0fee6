/* All containers, and sweeping what crashed processes left between the records. Nothing here waits for a lock. */
#include "core/internal.h"
#include "core/pod.h"
#include "core/recall.h"
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
	kist_container_unmark(k, id);
}

/* Marks whose containers are gone. */
static void sweep_marks(struct kist *k)
{
	KIST_CLOSE int dir = openat(k->runroot, KIST_MONITORS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *marks = dir < 0 ? NULL : open_list(dir);

	for (struct dirent *entry; marks && (entry = readdir(marks));)
		if (is_id(entry->d_name) && !kist_exists_at(k->containers, entry->d_name) &&
		    !kist_exists_at(k->run_containers, entry->d_name))
			kist_container_unmark(k, entry->d_name);
	if (marks)
		closedir(marks);
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
	sweep_marks(k);
	sweep_names(k);
}

static bool is_in_order(const struct kist_container *c, bool may_have_leftovers)
{
	if (kist_status_has_process(c->state.status) || c->state.status == KIST_STOPPED)
		return kist_container_monitor_alive(c);
	return !may_have_leftovers || !kist_container_has_leftovers(c);
}

static bool settle_unwatched(struct kist_container *c, bool may_have_leftovers)
{
	int status = c->state.status;
	bool live = kist_status_has_process(status) || status == KIST_STOPPED;

	if (is_in_order(c, may_have_leftovers))
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

bool kist_container_settle_unwatched(struct kist_container *c)
{
	return settle_unwatched(c, true);
}

struct ids {
	char (*ids)[65];
	size_t n;
};

static int id_order(const void *a, const void *b)
{
	return memcmp(a, b, 64);
}

static bool ids_have(const struct ids *ids, const char *id)
{
	return ids->n && bsearch(id, ids->ids, ids->n, sizeof(*ids->ids), id_order);
}

/* The ids in a directory, in order. What a crash left between them is noted. */
static int ids_read(int dir, struct ids *out, bool *sweep)
{
	DIR *stream = open_list(dir);
	size_t room = 0;

	if (!stream)
		return -errno;
	for (struct dirent *entry; (entry = readdir(stream));) {
		*sweep = *sweep || kist_has_prefix(entry->d_name, KIST_TMP_PREFIX);
		if (!is_id(entry->d_name))
			continue;
		if (out->n == room) {
			room = room ? room * 2 : 16;
			out->ids = kist_grow(out->ids, room, sizeof(*out->ids));
		}
		memcpy(out->ids[out->n++], entry->d_name, sizeof(*out->ids));
	}
	closedir(stream);
	if (out->n)
		qsort(out->ids, out->n, sizeof(*out->ids), id_order);
	return 0;
}

/* The containers that may have a monitor's record. */
static int marked_read(struct kist *k, struct ids *out)
{
	KIST_CLOSE int dir = openat(k->runroot, KIST_MONITORS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool sweep = false;

	if (dir < 0)
		return errno == ENOENT ? 0 : -errno;
	return ids_read(dir, out, &sweep);
}

/* A run directory without a record: of a maker that died before its first step on disk, or of a lock taken on what was
 * just removed. Those in the list are known to have one. */
static bool has_strays(struct kist *k, const struct ids *known, const struct ids *marked)
{
	DIR *runs = open_list(k->run_containers);
	bool found = false;

	for (size_t i = 0; i < marked->n && !found; i++)
		found = !ids_have(known, marked->ids[i]) && !kist_exists_at(k->containers, marked->ids[i]);
	for (struct dirent *entry; runs && !found && (entry = readdir(runs));)
		found = is_id(entry->d_name) && !ids_have(known, entry->d_name) &&
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

/* A walk over all: whole records without a recall. */
struct walk {
	struct kist *k;
	struct kist_recall *recall;
	unsigned flags;
	void (*visit)(struct kist_container *c, void *arg); /* takes c over */
	void *arg;
	char ***broken;
	struct ids marked;
	bool sweep, orphans;
};

static void walk_one(struct walk *w, const char *id)
{
	struct kist_container *c = NULL;
	bool marked = ids_have(&w->marked, id);

	int r = w->recall ? kist_container_load_brief(w->k, id, w->flags, w->recall, marked, &c, NULL)
	                  : kist_container_load_bare(w->k, id, &c, NULL);
	w->sweep = w->sweep || r == -ENOENT;
	if (r < 0 && r != -ENOENT && w->broken)
		kist_strv_add(w->broken, id);
	if (r < 0)
		return;
	/* Thousands of handles must not hold thousands of descriptors. */
	bool stays = settle_unwatched(c, marked);
	kist_close_fd(&c->dir);
	if (!stays) {
		kist_container_free(c);
		return;
	}
	w->orphans = w->orphans || (c->config.infra && !kist_pod_has_record(w->k, c->config.pod));
	w->visit(c, w->arg);
}

static int walk(struct walk *w, bool brief, struct kist_error *err)
{
	struct ids ids = { 0 };

	int r = ids_read(w->k->containers, &ids, &w->sweep);
	/* After the list: who is in it has its mark before its record. */
	if (r == 0)
		r = marked_read(w->k, &w->marked);
	if (r < 0) {
		free(ids.ids);
		return kist_fail_errno(err, -r, "read the list of containers");
	}
	w->recall = brief ? kist_recall_open(w->k, ids.ids, ids.n) : NULL;
	for (size_t i = 0; i < ids.n; i++)
		walk_one(w, ids.ids[i]);
	kist_recall_close(w->recall);
	if (has_strays(w->k, &ids, &w->marked) || w->sweep)
		kist_containers_sweep(w->k);
	if (w->orphans)
		kist_pods_sweep(w->k);
	free(ids.ids);
	free(w->marked.ids);
	return 0;
}

struct list {
	struct kist_container **list;
	size_t n, room;
};

static void list_add(struct kist_container *c, void *arg)
{
	struct list *l = arg;

	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 16;
		l->list = kist_grow(l->list, l->room, sizeof(struct kist_container *));
	}
	l->list[l->n++] = c;
}

static int list_all(struct kist *k, bool brief, unsigned flags, struct kist_container ***out, size_t *n, char ***broken,
                    struct kist_error *err)
{
	struct list l = { 0 };
	struct walk w = { .k = k, .flags = flags, .visit = list_add, .arg = &l, .broken = broken };

	int r = walk(&w, brief, err);
	if (r < 0)
		return r;
	if (l.n)
		qsort(l.list, l.n, sizeof(struct kist_container *), kist_container_by_creation);
	*out = l.list;
	*n = l.n;
	return 0;
}

int kist_container_list(struct kist *k, struct kist_container ***out, size_t *n, char ***broken, struct kist_error *err)
{
	return list_all(k, false, 0, out, n, broken, err);
}

static unsigned brief_flags(bool filters)
{
	return filters ? KIST_FIELD_BRIEF | KIST_FIELD_FILTER : KIST_FIELD_BRIEF;
}

int kist_container_list_brief(struct kist *k, bool filters, struct kist_container ***out, size_t *n, char ***broken,
                              struct kist_error *err)
{
	return list_all(k, true, brief_flags(filters), out, n, broken, err);
}

int kist_container_walk_brief(struct kist *k, bool filters, void (*visit)(struct kist_container *c, void *arg),
                              void *arg, char ***broken, struct kist_error *err)
{
	struct walk w = { .k = k, .flags = brief_flags(filters), .visit = visit, .arg = arg, .broken = broken };

	return walk(&w, true, err);
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
