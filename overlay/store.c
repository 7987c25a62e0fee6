/* The layer store.
 *
 * A layer is built in .tmp-XXXX, which its maker holds by flock, and becomes visible by one rename after it is whole
 * and on disk. So there are three kinds of leftovers, all swept under the store's lock by the next writer: temporary
 * directories that nobody holds, layers without their mark (a removal that was cut off), and short links to nothing. */
#include "overlay/store.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "overlay/overlay.h"
#include "overlay/packed.h"
#include "overlay/tar_split.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK "committed"
#define LOCK "lock"

bool kist_overlay_name_ok(const char *layer)
{
	return layer && strlen(layer) == 64 && strspn(layer, "0123456789abcdef") == 64;
}

/* "LAYER/file" */
static char *layer_path(char out[96], const char *layer, const char *file)
{
	snprintf(out, 96, "%s/%s", layer, file);
	return out;
}

static char *short_path(char out[32], const char *name)
{
	snprintf(out, 32, "l/%.*s", KIST_OVERLAY_SHORT, name);
	return out;
}

static bool short_ok(const char *name)
{
	return strlen(name) == KIST_OVERLAY_SHORT && strspn(name, "0123456789abcdef") == KIST_OVERLAY_SHORT;
}

/* Of layers, and of temporary directories before they are layers. */
static int read_short(int store, const char *dir, char *out)
{
	KIST_STR struct kist_str text = { 0 };
	char path[96];
	int r = kist_read_file(store, layer_path(path, dir, "link"), KIST_OVERLAY_SHORT, &text);

	if (r < 0)
		return r;
	if (!short_ok(kist_str_get(&text)))
		return -EBADMSG;
	memcpy(out, text.data, KIST_OVERLAY_SHORT + 1);
	return 0;
}

int kist_overlay_short(const struct kist_overlay *store, const char *layer, char *out)
{
	return read_short(store->dir, layer, out);
}

int kist_overlay_open(int root_dir, struct kist_overlay **out, struct kist_error *err)
{
	KIST_CLOSE int dir = openat(root_dir, "overlay", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 && errno == ENOENT) {
		if (mkdirat(root_dir, "overlay", 0700) < 0 && errno != EEXIST)
			return kist_fail_errno(err, errno, "create the layer store");
		dir = openat(root_dir, "overlay", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (dir < 0)
		return kist_fail_errno(err, errno, "open the layer store");
	*out = kist_alloc(sizeof(**out));
	(*out)->dir = kist_steal_fd(&dir);
	return 0;
}

void kist_overlay_close(struct kist_overlay *store)
{
	while (store) {
		struct kist_overlay *next = store->next;

		kist_close_fd(&store->dir);
		free(store);
		store = next;
	}
}

int kist_overlay_add(struct kist_overlay *store, int root_dir, struct kist_error *err)
{
	int dir = openat(root_dir, "overlay", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 && errno == ENOENT)
		return 0;
	if (dir < 0)
		return kist_fail_errno(err, errno, "open its layer store");
	while (store->next)
		store = store->next;
	store->next = kist_alloc(sizeof(*store->next));
	store->next->dir = dir;
	return 0;
}

static bool has_mark(int store, const char *layer)
{
	char path[96];

	return faccessat(store, layer_path(path, layer, MARK), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool kist_overlay_owns(struct kist_overlay *store, const char *layer)
{
	return kist_overlay_name_ok(layer) && has_mark(store->dir, layer);
}

const struct kist_overlay *kist_overlay_holder(const struct kist_overlay *store, const char *layer)
{
	if (!kist_overlay_name_ok(layer))
		return NULL;
	while (store && !has_mark(store->dir, layer))
		store = store->next;
	return store;
}

bool kist_overlay_has(struct kist_overlay *store, const char *layer)
{
	return kist_overlay_holder(store, layer);
}

static DIR *open_list(int dir, const char *name)
{
	KIST_CLOSE int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (list)
		kist_steal_fd(&fd);
	return list;
}

char **kist_overlay_list(struct kist_overlay *store)
{
	char **layers = NULL;
	DIR *list = open_list(store->dir, ".");
	const struct dirent *entry;

	while (list && (entry = readdir(list))) {
		if (kist_overlay_owns(store, entry->d_name))
			kist_strv_add(&layers, entry->d_name);
	}
	if (list)
		closedir(list);
	return layers;
}

/* --- leftovers -----------------------------------------------------------------------------------------------------
 */

/* Held by whoever fills it: flock goes with its holder, however that ends. Returns the fd, or -EWOULDBLOCK. */
static int hold(int store, const char *name)
{
	KIST_CLOSE int fd = openat(store, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return kist_steal_fd(&fd);
}

static void sweep_one(int store, const char *name)
{
	KIST_CLOSE int held = -1;
	char link[KIST_OVERLAY_SHORT + 1];
	char path[32];
	int r;

	if (kist_has_prefix(name, KIST_TMP_PREFIX)) {
		held = hold(store, name);
		if (held < 0)
			return;
	} else if (!kist_overlay_name_ok(name) || has_mark(store, name)) {
		return;
	}
	if (read_short(store, name, link) == 0)
		unlinkat(store, short_path(path, link), 0);
	r = kist_remove_tree(store, name);
	/* What cannot be removed is only in the way of nobody: it bears no mark. */
	if (r < 0)
		kist_debug("overlay: sweep %s: %s", name, strerror(-r));
}

static void sweep_links(int store)
{
	DIR *list = open_list(store, "l");
	const struct dirent *entry;

	while (list && (entry = readdir(list))) {
		char path[32];
		struct stat st;

		if (short_ok(entry->d_name) && fstatat(store, short_path(path, entry->d_name), &st, 0) < 0 &&
		    errno == ENOENT)
			unlinkat(store, path, 0);
	}
	if (list)
		closedir(list);
}

/* Under the lock. Names are gathered first: readdir promises nothing about a directory that changes. */
static void sweep(int store)
{
	KIST_STRV char **names = NULL;
	DIR *list = open_list(store, ".");
	const struct dirent *entry;

	while (list && (entry = readdir(list))) {
		if (kist_has_prefix(entry->d_name, KIST_TMP_PREFIX) ||
		    (kist_overlay_name_ok(entry->d_name) && !has_mark(store, entry->d_name)))
			kist_strv_add(&names, entry->d_name);
	}
	if (list)
		closedir(list);
	for (char **name = names; name && *name; name++)
		sweep_one(store, *name);
	if (names)
		sweep_links(store);
}

static int lock_store(struct kist_overlay *store, struct kist_error *err)
{
	int fd = kist_lock(store->dir, LOCK, true, false);

	return fd < 0 ? kist_fail_errno(err, -fd, "lock the layer store") : fd;
}

/* --- import --------------------------------------------------------------------------------------------------------
 */

/* A layer that is being made. */
struct draft {
	int store; /* borrowed */
	char name[sizeof(KIST_TMP_PREFIX) + 16];
	char link[KIST_OVERLAY_SHORT + 1];
	int dir; /* holds the flock */
};

static int draft_make(struct kist_overlay *store, struct draft *draft, struct kist_error *err)
{
	KIST_CLOSE int lock = lock_store(store, err);

	if (lock < 0)
		return lock;
	sweep(store->dir);
	if (mkdirat(store->dir, "l", 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "create the layer store's links");
	memcpy(draft->name, KIST_TMP_PREFIX, sizeof(KIST_TMP_PREFIX));
	kist_random_hex(draft->name + strlen(KIST_TMP_PREFIX), 16);
	kist_random_hex(draft->link, KIST_OVERLAY_SHORT);
	if (mkdirat(store->dir, draft->name, 0700) < 0)
		return kist_fail_errno(err, errno, "create a layer");
	draft->dir = hold(store->dir, draft->name);
	if (draft->dir < 0)
		return kist_fail_errno(err, -draft->dir, "create a layer");
	return 0;
}

static void draft_drop(struct draft *draft)
{
	if (draft->dir < 0)
		return;
	kist_remove_tree(draft->store, draft->name);
	kist_close_fd(&draft->dir);
}

/* Of a record that does not give the stream back (a later entry took the place of a file) only the length is kept. */
static int finish_split(struct draft *draft, struct kist_split *split, int diff, const char *diff_id,
                        struct kist_error *err)
{
	char again[65] = "";
	int r = kist_split_finish(split, err);

	if (r < 0 || !kist_split_is_doubtful(split))
		return r;
	KIST_CLOSE int record = openat(draft->dir, KIST_OVERLAY_SPLIT, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (record < 0)
		return kist_fail_errno(err, errno, "open the layer's record");
	if (kist_split_replay(record, diff, -1, NULL, NULL, again, NULL) < 0 || strcmp(again, diff_id) != 0) {
		if (kist_split_forget(record) < 0)
			return kist_fail_errno(err, errno, "write the layer's record");
	}
	return 0;
}

/* What came must be what was announced. */
static int check_digests(const struct kist_overlay_source *from, const struct kist_tar_result *result,
                         struct kist_error *err)
{
	if (from->blob_id && strcmp(from->blob_id, result->blob_id) != 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the digest of the blob is sha256:%.12s, not sha256:%.12s",
		                 result->blob_id, from->blob_id);
	if (from->diff_id && strcmp(from->diff_id, result->diff_id) != 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the digest of the layer is sha256:%.12s, not sha256:%.12s",
		                 result->diff_id, from->diff_id);
	return 0;
}

static int draft_fill(struct draft *draft, const struct kist_overlay_source *from, struct kist_tar_result *result,
                      struct kist_error *err)
{
	struct kist_tar_source source = { .fd = from->fd,
		                          .part = from->part,
		                          .offset = from->offset,
		                          .length = from->length,
		                          .read = from->read,
		                          .arg = from->arg };
	KIST_SPLIT struct kist_split *split = NULL;
	KIST_CLOSE int diff = -1;
	int r;

	if (mkdirat(draft->dir, "diff", 0755) < 0)
		return kist_fail_errno(err, errno, "create a layer");
	diff = openat(draft->dir, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* The umask must not decide what a container's root looks like. */
	if (diff < 0 || fchmod(diff, 0755) < 0)
		return kist_fail_errno(err, errno, "create a layer");
	r = kist_split_create(draft->dir, KIST_OVERLAY_SPLIT, &split, err);
	if (r == 0)
		r = kist_tar_extract_split(&source, diff, KIST_TAR_WHITEOUTS, NULL, split, result, err);
	if (r == 0)
		r = check_digests(from, result, err);
	if (r == 0)
		r = finish_split(draft, split, diff, result->diff_id, err);
	return r;
}

static int write_link(struct draft *draft, struct kist_error *err)
{
	int r = kist_replace_file(draft->dir, "link", draft->link, KIST_OVERLAY_SHORT, 0600, 0);

	return r < 0 ? kist_fail_errno(err, -r, "write the layer's link") : 0;
}

static int draft_fill_packed(struct draft *draft, const struct kist_overlay_source *from,
                             struct kist_tar_result *result, struct kist_error *err)
{
	int r = kist_packed_fill(from, draft->dir, result, err);

	return r < 0 ? r : check_digests(from, result, err);
}

/* Under the lock, all contents on disk. The short link comes first: a cut in between leaves a link to nothing,
 * which is swept. The three directories are synced for the caller, who will write records that name the layer. */
static int draft_publish(struct draft *draft, const char *layer, struct kist_error *err)
{
	KIST_CLOSE int links = openat(draft->store, "l", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char target[96];
	int fd;

	if (links < 0)
		return kist_fail_errno(err, errno, "open the layer store's links");
	snprintf(target, sizeof(target), "../%s/diff", layer);
	for (int tries = 0; symlinkat(target, links, draft->link) < 0; tries++) {
		int r;

		if (errno != EEXIST || tries == 10)
			return kist_fail_errno(err, errno, "create the layer's link");
		kist_random_hex(draft->link, KIST_OVERLAY_SHORT);
		r = kist_replace_file(draft->dir, "link", draft->link, KIST_OVERLAY_SHORT, 0600, KIST_REPLACE_SYNC);
		if (r < 0)
			return kist_fail_errno(err, -r, "write the layer's link");
	}
	fd = openat(draft->dir, MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return kist_fail_errno(err, errno, "mark the layer as committed");
	close(fd);
	if (renameat(draft->store, draft->name, draft->store, layer) < 0)
		return kist_fail_errno(err, errno, "give the layer its name");
	if (fsync(links) < 0 || fsync(draft->dir) < 0 || fsync(draft->store) < 0)
		return kist_fail_errno(err, errno, "write the layer to disk");
	return 0;
}

static int draft_commit(struct kist_overlay *store, struct draft *draft, const char *layer, struct kist_error *err)
{
	KIST_CLOSE int lock = -1;
	int r;

	if (syncfs(draft->dir) < 0)
		return kist_fail_errno(err, errno, "write the layer to disk");
	lock = lock_store(store, err);
	if (lock < 0)
		return lock;
	if (kist_overlay_has(store, layer)) {
		char path[96];

		/* One of an older version gets what it lacks. */
		layer_path(path, layer, KIST_OVERLAY_SPLIT);
		if (kist_overlay_owns(store, layer) && faccessat(store->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
		    errno == ENOENT)
			renameat(draft->dir, KIST_OVERLAY_SPLIT, store->dir, path);
		draft_drop(draft);
		return 0;
	}
	sweep_one(store->dir, layer);
	r = draft_publish(draft, layer, err);
	if (r == 0)
		kist_close_fd(&draft->dir);
	return r;
}

int kist_overlay_import(struct kist_overlay *store, int from, char layer[65], struct kist_tar_result *result,
                        struct kist_error *err)
{
	return kist_overlay_import_from(store, &(struct kist_overlay_source){ .fd = from }, layer, result, err);
}

int kist_overlay_import_from(struct kist_overlay *store, const struct kist_overlay_source *from, char layer[65],
                             struct kist_tar_result *result, struct kist_error *err)
{
	struct draft draft = { .store = store->dir, .dir = -1 };
	struct kist_tar_result made = { 0 };
	int r = draft_make(store, &draft, err);

	if (r == 0)
		r = from->packed ? draft_fill_packed(&draft, from, &made, err) : draft_fill(&draft, from, &made, err);
	if (r == 0)
		r = write_link(&draft, err);
	if (r == 0)
		r = draft_commit(store, &draft, made.diff_id, err);
	draft_drop(&draft);
	if (r < 0)
		return kist_context(err, "import a layer");
	memcpy(layer, made.diff_id, 65);
	if (result)
		*result = made;
	return 0;
}

/* --- the rest ------------------------------------------------------------------------------------------------------
 */

static int fail_no_layer(const char *layer, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "layer %.64s is not in the store", layer);
}

/* Without its mark the layer is gone, whatever happens to the files: they may take long and need no lock. */
int kist_overlay_remove(struct kist_overlay *store, const char *layer, struct kist_error *err)
{
	KIST_CLOSE int lock = -1;
	KIST_CLOSE int dir = -1;
	char name[sizeof(KIST_TMP_PREFIX) + 16] = KIST_TMP_PREFIX;
	char link[KIST_OVERLAY_SHORT + 1];
	char path[96];
	int r;

	lock = lock_store(store, err);
	if (lock < 0)
		return lock;
	if (!kist_overlay_owns(store, layer))
		return fail_no_layer(layer, err);
	dir = hold(store->dir, layer);
	if (dir < 0)
		return kist_fail_errno(err, -dir, "open layer %s", layer);
	if (unlinkat(dir, MARK, 0) < 0)
		return kist_fail_errno(err, errno, "remove the mark of layer %s", layer);
	r = kist_sync_dir(dir);
	if (r < 0)
		return kist_fail_errno(err, -r, "remove the mark of layer %s", layer);
	if (read_short(store->dir, layer, link) == 0)
		unlinkat(store->dir, short_path(path, link), 0);
	kist_random_hex(name + strlen(KIST_TMP_PREFIX), 16);
	if (renameat(store->dir, layer, store->dir, name) < 0)
		return kist_fail_errno(err, errno, "remove layer %s", layer);
	kist_close_fd(&lock);
	r = kist_remove_tree(store->dir, name);
	if (r < 0)
		return kist_fail_errno(err, -r, "remove the files of layer %s", layer);
	return 0;
}
