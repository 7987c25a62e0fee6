/* What can be done with a committed layer: given back as its stream, compared with its record, set aside. */
#include "overlay/store.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "overlay/overlay.h"
#include "overlay/packed.h"
#include "overlay/tar_split.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BAD_PREFIX ".bad-"
#define COPY_SIZE  (256u * 1024)

int kist_overlay_open_in(const struct kist_overlay *store, const char *layer, const char *file, int flags)
{
	const struct kist_overlay *holder = kist_overlay_holder(store, layer);
	char path[96];
	int fd;

	if (!holder)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/%s", layer, file);
	fd = openat(holder->dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags);
	return fd < 0 ? -errno : fd;
}

const char *kist_overlay_layer_type(struct kist_overlay *store, const char *layer)
{
	KIST_CLOSE int file = kist_overlay_open_in(store, layer, KIST_OVERLAY_PACKED, 0);

	return file < 0 ? NULL : kist_overlay_packed_type(file);
}

/* An fd of the files; the mount of a packed layer lasts as long as that. */
int kist_overlay_open_diff(struct kist_overlay *store, const char *layer)
{
	KIST_CLOSE int file = kist_overlay_open_in(store, layer, KIST_OVERLAY_PACKED, 0);

	if (file == -ENOENT)
		return kist_overlay_open_in(store, layer, "diff", O_DIRECTORY);
	if (file < 0)
		return file;
	KIST_CLOSE int tree = kist_overlay_packed_mount(file, NULL);
	return tree < 0 ? tree : kist_reopen(tree, O_RDONLY | O_DIRECTORY);
}

static int fail_no_layer(const char *layer, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "layer %.64s is not in the store", layer);
}

int kist_overlay_size(struct kist_overlay *store, const char *layer, uint64_t *bytes, struct kist_error *err)
{
	KIST_CLOSE int file = kist_overlay_open_in(store, layer, KIST_OVERLAY_PACKED, 0);
	struct stat st;

	if (!kist_overlay_has(store, layer))
		return fail_no_layer(layer, err);
	if (file >= 0 && fstat(file, &st) == 0) {
		*bytes = (uint64_t)st.st_size;
		return 0;
	}
	KIST_CLOSE int diff = kist_overlay_open_in(store, layer, "diff", O_DIRECTORY);
	if (diff < 0)
		return kist_fail_errno(err, -diff, "open layer %s", layer);
	int r = kist_overlay_du(diff, bytes, err);
	return r < 0 ? kist_context(err, "layer %s", layer) : 0;
}

/* The layer's two parts. */
static int open_layer(struct kist_overlay *store, const char *layer, int *diff, int *record, struct kist_error *err)
{
	if (!kist_overlay_has(store, layer))
		return fail_no_layer(layer, err);
	*record = kist_overlay_open_in(store, layer, KIST_OVERLAY_SPLIT, 0);
	if (*record == -ENOENT)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		                 "layer %.12s has no record of the archive that it came from", layer);
	if (*record < 0)
		return kist_fail_errno(err, -*record, "open the record of layer %.12s", layer);
	*diff = kist_overlay_open_in(store, layer, "diff", O_DIRECTORY);
	if (*diff < 0)
		return kist_fail_errno(err, -*diff, "open layer %.12s", layer);
	return 0;
}

static int fail_forgotten(const char *layer, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
	                 "layer %.12s cannot be given back: the archive that it came from names a file twice", layer);
}

/* The file as it is. */
static int export_packed(int file, const char *layer, int to, struct kist_error *err)
{
	KIST_FREE char *data = kist_alloc(COPY_SIZE);
	char digest[65];
	ssize_t n;
	int r;

	while ((n = read(file, data, COPY_SIZE)) > 0) {
		r = kist_write_all(to, data, (size_t)n);
		if (r < 0)
			return kist_fail_errno(err, -r, "write layer %.12s", layer);
	}
	if (n < 0 || lseek(file, 0, SEEK_SET) < 0)
		return kist_fail_errno(err, errno, "read layer %.12s", layer);
	r = kist_packed_digest(file, digest, err);
	if (r == 0 && strcmp(digest, layer) != 0)
		r = kist_fail(err, KIST_ERR_CORRUPT, 0, "layer %.12s: its file was changed", layer);
	return r;
}

int kist_overlay_export(struct kist_overlay *store, const char *layer, int to, struct kist_error *err)
{
	KIST_CLOSE int diff = -1, record = -1;
	KIST_CLOSE int file = kist_overlay_open_in(store, layer, KIST_OVERLAY_PACKED, 0);
	char digest[65];

	if (file >= 0)
		return export_packed(file, layer, to, err);
	int r = open_layer(store, layer, &diff, &record, err);
	if (r == 0 && kist_split_is_forgotten(record))
		r = fail_forgotten(layer, err);
	if (r < 0)
		return r;
	r = kist_split_replay(record, diff, to, NULL, NULL, digest, err);
	if (r < 0)
		return kist_context(err, "layer %.12s", layer);
	/* The checksums of the files are made to find damage, not malice. */
	if (strcmp(digest, layer) != 0)
		return kist_fail(err, KIST_ERR_CORRUPT, 0, "layer %.12s: its files or its record were changed", layer);
	return 0;
}

int kist_overlay_length(struct kist_overlay *store, const char *layer, uint64_t *bytes, struct kist_error *err)
{
	KIST_CLOSE int diff = -1, record = -1;

	if (kist_overlay_layer_type(store, layer))
		return kist_overlay_size(store, layer, bytes, err);
	int r = open_layer(store, layer, &diff, &record, err);
	if (r == 0 && kist_split_length(record, bytes) < 0)
		r = kist_fail(err, KIST_ERR_CORRUPT, 0, "layer %.12s: its record is damaged", layer);
	return r;
}

struct count {
	void (*changed)(void *arg, const char *name, const char *what);
	void *arg;
	int n;
};

static void count_changed(void *arg, const char *name, const char *what)
{
	struct count *count = arg;

	count->n++;
	count->changed(count->arg, name, what);
}

int kist_overlay_verify(struct kist_overlay *store, const char *layer,
                        void (*changed)(void *arg, const char *name, const char *what), void *arg,
                        struct kist_error *err)
{
	struct count count = { changed, arg, 0 };
	struct kist_error problem = { 0 };
	KIST_CLOSE int diff = -1, record = -1;
	KIST_CLOSE int file = kist_overlay_open_in(store, layer, KIST_OVERLAY_PACKED, 0);
	char digest[65] = "";

	if (file >= 0) {
		int packed = kist_packed_digest(file, digest, err);
		if (packed == 0 && strcmp(digest, layer) != 0)
			count_changed(&count, "", "its digest is not its name");
		return packed < 0 ? kist_context(err, "layer %.12s", layer) : count.n;
	}
	int r = open_layer(store, layer, &diff, &record, err);
	if (r == 0 && kist_split_is_forgotten(record))
		r = fail_forgotten(layer, err);
	if (r < 0)
		return r;
	r = kist_split_replay(record, diff, -1, count_changed, &count, digest, &problem);
	if (r < 0 && problem.kind != KIST_ERR_CORRUPT) {
		if (err)
			*err = problem;
		return kist_context(err, "layer %.12s", layer);
	}
	if (r < 0)
		count_changed(&count, "", problem.text);
	else if (count.n == 0 && strcmp(digest, layer) != 0)
		count_changed(&count, "", "its digest is not its name");
	return count.n;
}

int kist_overlay_quarantine(struct kist_overlay *store, const char *layer, struct kist_error *err)
{
	char aside[sizeof(BAD_PREFIX) + 64 + 1 + 8], path[96];
	KIST_CLOSE int lock = kist_lock(store->dir, "lock", true, false);

	if (lock < 0)
		return kist_fail_errno(err, -lock, "lock the layer store");
	if (!kist_overlay_owns(store, layer))
		return fail_no_layer(layer, err);
	char link[KIST_OVERLAY_SHORT + 1] = "";
	if (kist_overlay_short(store, layer, link) == 0) {
		snprintf(path, sizeof(path), "l/%s", link);
		unlinkat(store->dir, path, 0);
	}
	snprintf(aside, sizeof(aside), BAD_PREFIX "%s-", layer);
	kist_random_hex(aside + strlen(aside), 8);
	if (renameat(store->dir, layer, store->dir, aside) < 0)
		return kist_fail_errno(err, errno, "set layer %.12s aside", layer);
	int r = kist_sync_dir(store->dir);
	return r < 0 ? kist_fail_errno(err, -r, "set layer %.12s aside", layer) : 0;
}
