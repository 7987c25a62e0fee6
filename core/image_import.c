/* import: a tar stream becomes a layer, the layer an image. */
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEDIA "application/vnd.oci.image."

/* An image that is being made, in images/.tmp-XXXX. */
struct draft {
	struct kist *k;
	char name[sizeof(KIST_TMP_PREFIX) + 16];
	int dir;    /* holds the flock that says 'at work' */
	bool layer; /* the layer store may have one that only we know of */
	char id[65];
};

/* Under the lock, so that no sweeper sees the directory before its flock. The directory must survive a power cut that
 * the layer survives: it is what tells the next writer to look for layers without an image. */
static int draft_make(struct draft *draft, struct kist_error *err)
{
	struct kist *k = draft->k;
	struct kist_error problem = { 0 };
	KIST_CLOSE int lock = kist_images_lock(k, err);

	if (lock < 0)
		return lock;
	if (kist_images_tidy(k, &problem) < 0)
		kist_debug("%s", problem.text);
	memcpy(draft->name, KIST_TMP_PREFIX, sizeof(KIST_TMP_PREFIX));
	kist_random_hex(draft->name + strlen(KIST_TMP_PREFIX), 16);
	if (mkdirat(k->images, draft->name, 0700) < 0)
		return kist_fail_errno(err, errno, "make directory of new image");
	draft->dir = openat(k->images, draft->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (draft->dir < 0 || flock(draft->dir, LOCK_EX | LOCK_NB) < 0)
		return kist_fail_errno(err, errno, "open directory of new image");
	int r = kist_sync_dir(k->images);
	return r < 0 ? kist_fail_errno(err, -r, "write directory of new image") : 0;
}

/* Of a failed import. */
static void draft_drop(struct draft *draft)
{
	struct kist *k = draft->k;

	if (draft->dir < 0)
		return;
	KIST_CLOSE int lock = kist_images_lock(k, NULL);
	if (draft->layer)
		kist_images_mark(k, NULL);
	kist_remove_tree(k->images, draft->name);
	kist_close_fd(&draft->dir);
	if (lock >= 0)
		kist_images_tidy(k, NULL);
}

static int write_document(int dir, const char *name, struct json_object *json, char sum[65], uint64_t *size,
                          struct kist_error *err)
{
	KIST_FREE char *text = kist_json_text(json, false);
	size_t len = strlen(text);

	kist_sha256_hex(text, len, sum);
	*size = len;
	int r = kist_replace_file(dir, name, text, len, 0600, KIST_REPLACE_SYNC);
	return r < 0 ? kist_fail_errno(err, -r, "write %s", name) : 0;
}

static struct json_object *descriptor(const char *type, const char *digest, uint64_t size)
{
	struct json_object *json = json_object_new_object();
	KIST_FREE char *text = kist_asprintf("sha256:%s", digest);

	json_object_object_add(json, "mediaType", json_object_new_string(type));
	json_object_object_add(json, "digest", json_object_new_string(text));
	json_object_object_add(json, "size", json_object_new_uint64(size));
	return json;
}

/* The layer as it is kept: uncompressed. */
static struct json_object *manifest(const char *id, uint64_t size, const struct kist_tar_result *layer)
{
	struct json_object *json = json_object_new_object(), *layers = json_object_new_array();

	json_object_object_add(json, "schemaVersion", json_object_new_int(2));
	json_object_object_add(json, "mediaType", json_object_new_string(MEDIA "manifest.v1+json"));
	json_object_object_add(json, "config", descriptor(MEDIA "config.v1+json", id, size));
	json_object_array_add(layers, descriptor(MEDIA "layer.v1.tar", layer->diff_id, layer->length));
	json_object_object_add(json, "layers", layers);
	return json;
}

static int draft_write(struct draft *draft, const struct kist_image_import *import,
                       const struct kist_image_config *config, const struct kist_tar_result *layer, uint64_t size,
                       struct kist_error *err)
{
	struct kist_image_record record = { .created = kist_now_wall(), .size = size };
	KIST_JSON struct json_object *document = kist_image_document(import, config, layer->diff_id, record.created);
	uint64_t length = 0;
	char digest[65];

	int r = write_document(draft->dir, "config.json", document, draft->id, &length, err);
	if (r < 0)
		return r;
	KIST_JSON struct json_object *other = manifest(draft->id, length, layer);
	r = write_document(draft->dir, "manifest.json", other, digest, &length, err);
	if (r < 0)
		return r;
	kist_strv_add(&record.layers, layer->diff_id);
	record.digest = kist_asprintf("sha256:%s", digest);
	r = kist_record_write(draft->dir, "record", &kist_image_record_table, &record, NULL, true, err);
	kist_table_clear(&kist_image_record_table, &record);
	return r;
}

/* Makes way for the same image: a sound one stays and ours is dropped, a damaged one goes. */
static int make_way(struct draft *draft, bool *there)
{
	struct kist *k = draft->k;
	struct kist_image *image = NULL;

	*there = kist_image_load(k, draft->id, NULL, &image, NULL) == 0;
	kist_image_free(image);
	if (*there)
		return kist_remove_tree(k->images, draft->name);
	char aside[sizeof(draft->name)] = KIST_TMP_PREFIX;
	kist_random_hex(aside + strlen(KIST_TMP_PREFIX), 16);
	if (renameat(k->images, draft->id, k->images, aside) < 0)
		return -errno;
	return kist_remove_tree(k->images, aside);
}

/* Under the lock: one rename shows the image, one gives it its name. */
static int draft_publish(struct draft *draft, const char *name, struct kist_error *err)
{
	struct kist *k = draft->k;
	KIST_CLOSE int lock = kist_images_lock(k, err);
	bool there = false;
	int r = 0;

	if (lock < 0)
		return lock;
	if (kist_exists_at(k->images, draft->id))
		r = make_way(draft, &there);
	if (r == 0 && !there && renameat(k->images, draft->name, k->images, draft->id) < 0)
		r = -errno;
	if (r == 0)
		r = kist_sync_dir(k->images);
	if (r < 0)
		return kist_fail_errno(err, -r, "store image %.12s", draft->id);
	kist_close_fd(&draft->dir);
	if (name)
		r = kist_ref_set(k, name, draft->id, err);
	/* An import that failed leaves nothing: the disk may be full. */
	if (r < 0 && !there && kist_images_mark(k, NULL) == 0)
		renameat(k->images, draft->id, k->images, draft->name);
	struct kist_error problem = { 0 };
	if (kist_images_tidy(k, &problem) < 0)
		kist_debug("%s", problem.text);
	return r;
}

/* Everything that can be wrong with what the user wrote, before the tar is read. */
static int check(const struct kist_image_import *import, struct kist_image_config *config, char **name,
                 struct kist_error *err)
{
	KIST_JSON struct json_object *json = NULL;
	KIST_JSON struct json_object *back = NULL;
	int r = import->name ? kist_image_reference(import->name, name, err) : 0;

	for (char *const *change = import->changes; r == 0 && change && *change; change++)
		r = kist_image_change(config, *change, err);
	if (r < 0)
		return r;
	json = kist_image_document(import, config, NULL, 0);
	KIST_FREE char *text = kist_json_text(json, false);
	/* The writer mends broken UTF-8: what comes back would not be what was asked for. */
	if (kist_json_parse(text, strlen(text), &back, NULL) < 0 || !json_object_equal(json, back))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "the message or a change cannot be stored: it is not valid UTF-8");
	if (strlen(text) > KIST_RECORD_MAX / 2)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the image configuration is too large");
	return 0;
}

static int import_layer(struct draft *draft, const struct kist_image_import *import,
                        const struct kist_image_config *config, const char *name, struct kist_error *err)
{
	struct kist_overlay *store = NULL;
	struct kist_tar_result result = { 0 };
	char layer[65];
	uint64_t size = 0;

	int r = kist_store_overlay(draft->k, &store, err);
	if (r == 0)
		r = draft_make(draft, err);
	if (r == 0)
		r = kist_overlay_import(store, import->fd, layer, &result, err);
	if (r < 0)
		return r;
	draft->layer = true;
	r = kist_overlay_size(store, layer, &size, err);
	if (r == 0)
		r = draft_write(draft, import, config, &result, size, err);
	return r == 0 ? draft_publish(draft, name, err) : r;
}

int kist_image_import(struct kist *k, const struct kist_image_import *import, char id[65], struct kist_error *err)
{
	struct draft draft = { .k = k, .dir = -1 };
	struct kist_image_config config = { 0 };
	KIST_FREE char *name = NULL;

	int r = check(import, &config, &name, err);
	if (r == 0)
		r = kist_images_open(k, true, err);
	if (r == 0)
		r = import_layer(&draft, import, &config, name, err);
	kist_image_config_clear(&config);
	if (r < 0) {
		draft_drop(&draft);
		return r;
	}
	memcpy(id, draft.id, sizeof(draft.id));
	return 0;
}
