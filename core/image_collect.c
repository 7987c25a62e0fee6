/* What nothing uses any more: leftovers of crashes, and layers without an image or a container.
 *
 * A layer's last user goes in two steps that no single rename joins: the record, then the layer. The mark bridges them:
 * it is made before the first and removed after the second, so a crash in between only puts the work off. An import
 * holds its layer by the flock on its temporary directory, before any record names it. */
#include "core/image.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <json-c/json.h>

#define MARK ".collect"

int kist_images_mark(struct kist *k, struct kist_error *err)
{
	KIST_CLOSE int fd = openat(k->images, MARK, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? kist_fail_errno(err, errno, "write %s/images/" MARK, k->settings.root) : 0;
}

static char **temporaries(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char **names = NULL;

	if (!list)
		kist_close_fd(&fd);
	for (const struct dirent *entry; list && (entry = readdir(list));)
		if (kist_has_prefix(entry->d_name, KIST_TMP_PREFIX))
			kist_strv_add(&names, entry->d_name);
	if (list)
		closedir(list);
	return names;
}

/* Temporary directories that nobody holds, and half-made links, which are only made under the lock that we have.
 * Returns how many imports are at work. */
static size_t sweep(struct kist *k)
{
	KIST_STRV char **drafts = temporaries(k->images);
	KIST_STRV char **links = temporaries(k->refs);
	size_t busy = 0;

	for (char **name = drafts; name && *name; name++) {
		KIST_CLOSE int held = openat(k->images, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (held >= 0 && flock(held, LOCK_EX | LOCK_NB) < 0) {
			busy++;
			continue;
		}
		kist_debug("sweeping unfinished image %s", *name);
		if (held >= 0)
			kist_images_mark(k, NULL);
		kist_remove_tree(k->images, *name);
	}
	for (char **name = links; name && *name; name++)
		unlinkat(k->refs, *name, 0);
	return busy;
}

/* --- users of layers -------------------------------------------------------------------------------------------- */

static int read_config(struct kist *k, const char *id, struct kist_container_config *config)
{
	char path[NAME_MAX + 16];
	char **extra = NULL;

	/* By path: half the calls, where there are thousands. */
	snprintf(path, sizeof(path), "%s/config", id);
	int r = kist_record_read(k->containers, path, &kist_container_config_table, config, &extra, NULL);
	kist_strv_free(extra);
	/* Being made, or being removed: both end in a directory that is gone, or has a record. */
	return r == -ENOENT && kist_exists_at(k->containers, id) ? -EAGAIN : r;
}

/* Who uses an image is in the containers' records and nowhere else: a count beside them would be one more thing that a
 * power cut can make wrong, and one more write for each create. A removal is rare, and reads 1,000 records in 40 ms.
 * Reads the records alone: a list of handles would settle and lock containers, under our lock. */
static size_t each_user(struct kist *k, void (*each)(void *arg, const struct kist_container_config *config), void *arg)
{
	int fd = openat(k->containers, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	size_t unread = 0;

	if (!list) {
		kist_close_fd(&fd);
		return 1;
	}
	for (const struct dirent *entry; (entry = readdir(list));) {
		struct kist_container_config config;

		if (!kist_image_is_id(entry->d_name))
			continue;
		kist_table_init(&kist_container_config_table, &config);
		int r = read_config(k, entry->d_name, &config);
		if (r == 0)
			each(arg, &config);
		else if (r != -ENOENT)
			unread++;
		kist_table_release(&kist_container_config_table, &config);
	}
	closedir(list);
	return unread;
}

size_t kist_image_each_user(struct kist *k, void (*each)(void *arg, const struct kist_container_config *config),
                            void *arg)
{
	return each_user(k, each, arg);
}

static void add_layers(void *arg, const struct kist_container_config *config)
{
	char ***used = arg;

	for (char **layer = config->layers; layer && *layer; layer++)
		kist_strv_add(used, *layer);
}

/* Of a damaged image either file may still tell. */
static int image_layers(struct kist *k, const char *id, char ***used)
{
	struct kist_image *image = NULL;
	struct kist_image_record record;
	KIST_CLOSE int dir = -1;
	char **extra = NULL;

	if (kist_image_load(k, id, NULL, &image, NULL) == 0) {
		for (char **layer = image->layers; layer && *layer; layer++)
			kist_strv_add(used, *layer);
		kist_image_free(image);
		return 0;
	}
	dir = openat(k->images, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	kist_table_init(&kist_image_record_table, &record);
	int r = kist_record_read(dir, "record", &kist_image_record_table, &record, &extra, NULL);
	kist_strv_free(extra);
	for (char **layer = record.layers; r == 0 && layer && *layer; layer++)
		kist_strv_add(used, *layer);
	kist_table_clear(&kist_image_record_table, &record);
	return r;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Returns whether everything was decided. */
static bool collect(struct kist *k, struct kist_overlay *store)
{
	KIST_STRV char **used = NULL;
	KIST_STRV char **ids = kist_images_ids(k);
	bool whole = true;

	for (char **id = ids; id && *id; id++)
		if (image_layers(k, *id, &used) < 0)
			return false;
	if (each_user(k, add_layers, &used) > 0)
		return false;
	size_t n = kist_strv_len(used);
	if (n)
		qsort(used, n, sizeof(*used), by_text);
	KIST_STRV char **layers = kist_overlay_list(store);
	for (char **layer = layers; layer && *layer; layer++) {
		struct kist_error problem = { 0 };

		if (n && bsearch(layer, used, n, sizeof(*used), by_text))
			continue;
		kist_debug("removing layer %s: nothing uses it", *layer);
		if (kist_overlay_remove(store, *layer, &problem) < 0) {
			kist_debug("%s", problem.text);
			whole = false;
		}
	}
	return whole;
}

int kist_images_tidy(struct kist *k, struct kist_error *err)
{
	struct kist_overlay *store = NULL;
	size_t busy = sweep(k);

	if (busy > 0 || !kist_exists_at(k->images, MARK))
		return 0;
	int r = kist_store_overlay(k, &store, err);
	if (r < 0)
		return r;
	if (collect(k, store) && unlinkat(k->images, MARK, 0) < 0 && errno != ENOENT)
		return kist_fail_errno(err, errno, "remove %s/images/" MARK, k->settings.root);
	return 0;
}
