/* An image that is being made, in images/.tmp-XXXX: for import, load and commit. */
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

/* Under the lock, so that no sweeper sees the directory before its flock. The directory must survive a power cut that
 * the layer survives: it is what tells the next writer to look for layers without an image. */
int kist_image_draft_make(struct kist *k, struct kist_image_draft *draft, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	KIST_CLOSE int lock = kist_images_lock(k, err);

	*draft = (struct kist_image_draft){ .k = k, .dir = -1 };
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

void kist_image_draft_drop(struct kist_image_draft *draft)
{
	struct kist *k = draft->k;

	if (!k || draft->dir < 0)
		return;
	KIST_CLOSE int lock = kist_images_lock(k, NULL);
	if (draft->layer)
		kist_images_mark(k, NULL);
	kist_remove_tree(k->images, draft->name);
	kist_close_fd(&draft->dir);
	if (lock >= 0)
		kist_images_tidy(k, NULL);
}

/* --- documents -------------------------------------------------------------------------------------------------- */

static struct json_object *descriptor(const char *type, const char *digest, uint64_t size)
{
	struct json_object *json = json_object_new_object();
	KIST_FREE char *text = kist_asprintf("sha256:%s", digest);

	json_object_object_add(json, "mediaType", json_object_new_string(type));
	json_object_object_add(json, "digest", json_object_new_string(text));
	json_object_object_add(json, "size", json_object_new_uint64(size));
	return json;
}

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

/* What a layer is in a manifest that we write. Of layers that are file systems no standard says how they are called. */
static struct json_object *layer_descriptor(struct kist_overlay *store, const char *layer, bool docker, uint64_t length)
{
	const char *type = kist_overlay_layer_type(store, layer);
	KIST_FREE char *packed = type ? kist_asprintf(KIST_IMAGE_PACKED_TYPE "%s", type) : NULL;

	return descriptor(packed   ? packed
	                  : docker ? DOCKER "image.rootfs.diff.tar"
	                           : OCI "layer.v1.tar",
	                  layer, length);
}

int kist_image_manifest(struct kist_overlay *store, const char *id, uint64_t size, char *const *layers, bool docker,
                        struct json_object **out, struct kist_error *err)
{
	KIST_JSON struct json_object *json = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_object_object_add(json, "schemaVersion", json_object_new_int(2));
	json_object_object_add(
	        json, "mediaType",
	        json_object_new_string(docker ? DOCKER "distribution.manifest.v2+json" : OCI "manifest.v1+json"));
	json_object_object_add(json, "config",
	                       descriptor(docker ? DOCKER "container.image.v1+json" : OCI "config.v1+json", id, size));
	json_object_object_add(json, "layers", list);
	for (size_t i = kist_strv_len(layers); i-- > 0;) {
		uint64_t length = 0;
		int r = kist_overlay_length(store, layers[i], &length, err);

		if (r < 0)
			return r;
		json_object_array_add(list, layer_descriptor(store, layers[i], docker, length));
	}
	*out = kist_steal(&json);
	return 0;
}

static int layers_size(struct kist_overlay *store, char *const *layers, uint64_t *size, struct kist_error *err)
{
	int r = 0;

	*size = 0;
	for (; layers && *layers && r == 0; layers++) {
		uint64_t bytes = 0;

		r = kist_overlay_size(store, *layers, &bytes, err);
		*size += bytes;
	}
	return r;
}

int kist_image_draft_write(struct kist_image_draft *draft, const struct kist_image_parts *parts, struct kist_error *err)
{
	struct kist_image_record record = { .created = parts->created };
	struct kist_overlay *store = NULL;
	KIST_FREE char *text = NULL;
	const char *manifest = parts->manifest;
	size_t manifest_len = parts->manifest_len;
	char digest[65];

	kist_sha256_hex(parts->config, parts->config_len, draft->id);
	int r = kist_store_overlay(draft->k, &store, err);
	if (r == 0)
		r = layers_size(store, parts->layers, &record.size, err);
	if (r == 0 && !manifest) {
		KIST_JSON struct json_object *json = NULL;

		r = kist_image_manifest(store, draft->id, parts->config_len, parts->layers, parts->docker, &json, err);
		text = r == 0 ? kist_json_text(json, false) : NULL;
		manifest = text;
		manifest_len = text ? strlen(text) : 0;
	}
	if (r < 0)
		return r;
	r = kist_replace_file(draft->dir, "config.json", parts->config, parts->config_len, 0600, KIST_REPLACE_SYNC);
	if (r == 0)
		r = kist_replace_file(draft->dir, "manifest.json", manifest, manifest_len, 0600, KIST_REPLACE_SYNC);
	if (r < 0)
		return kist_fail_errno(err, -r, "write the image's documents");
	kist_sha256_hex(manifest, manifest_len, digest);
	record.digest = kist_asprintf("sha256:%s", digest);
	record.layers = kist_strv_copy(parts->layers);
	record.repo_digests = kist_strv_copy(draft->repo_digests);
	r = kist_record_write(draft->dir, "record", &kist_image_record_table, &record, NULL, true, err);
	kist_table_clear(&kist_image_record_table, &record);
	return r;
}

/* --- publishing ------------------------------------------------------------------------------------------------- */

/* Makes way for the same image: a sound one stays and ours is dropped, a damaged one goes. */
static int make_way(struct kist_image_draft *draft, bool *there)
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

int kist_image_add_digests(struct kist *k, const char *id, char *const *repo_digests, struct kist_error *err)
{
	KIST_CLOSE int dir = openat(k->images, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct kist_image_record record;
	KIST_STRV char **extra = NULL;
	bool changed = false;

	if (!repo_digests)
		return 0;
	if (dir < 0)
		return kist_fail_errno(err, errno, "open image %.12s", id);
	kist_table_init(&kist_image_record_table, &record);
	int r = kist_record_read(dir, "record", &kist_image_record_table, &record, &extra, err);
	for (; r == 0 && *repo_digests; repo_digests++)
		if (!kist_strv_has(record.repo_digests, *repo_digests)) {
			kist_strv_add(&record.repo_digests, *repo_digests);
			changed = true;
		}
	if (r == 0 && changed)
		r = kist_record_write(dir, "record", &kist_image_record_table, &record, extra, true, err);
	kist_table_clear(&kist_image_record_table, &record);
	return r;
}

/* Under the lock: one rename shows the image, one gives it each name. */
int kist_image_draft_publish(struct kist_image_draft *draft, char *const *names, struct kist_error *err)
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
	if (there)
		r = kist_image_add_digests(k, draft->id, draft->repo_digests, err);
	for (; names && *names && r == 0; names++)
		r = kist_ref_set(k, *names, draft->id, err);
	/* What failed leaves nothing: the disk may be full. */
	if (r < 0 && !there && kist_images_mark(k, NULL) == 0)
		renameat(k->images, draft->id, k->images, draft->name);
	struct kist_error problem = { 0 };
	if (kist_images_tidy(k, &problem) < 0)
		kist_debug("%s", problem.text);
	return r;
}
