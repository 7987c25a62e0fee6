/* save: images into a docker-archive or an OCI layout.
 *
 * Layers are stored uncompressed, as the bytes that they came from: their digests are the diff ids of the image's
 * configuration, so that an image saved and loaded again is the same one. Each is hashed while it is written. */
#include "core/image.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/archive.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANNOTATION_NAME "org.opencontainers.image.ref.name"
#define LAYOUT          "{\"imageLayoutVersion\":\"1.0.0\"}"

struct item {
	struct kist_image *image;
	char **names;
	struct kist_str config; /* its very bytes: the id is their digest */
};

struct save {
	struct kist *k;
	const struct kist_image_save *what;
	struct kist_overlay *store;
	struct item *items;
	size_t n;
	char **written; /* members, so that what images share is there once */
};

/* --- members ---------------------------------------------------------------------------------------------------- */

static bool is_written(struct save *save, const char *name)
{
	if (kist_strv_has(save->written, name))
		return true;
	kist_strv_add(&save->written, name);
	return false;
}

/* Where the member's contents go; in a directory, a file of its own. */
static int begin(struct save *save, const char *name, uint64_t size, int *to, struct kist_error *err)
{
	int r = 0;

	if (save->what->format == KIST_IMAGE_OCI_DIR) {
		*to = openat(save->what->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		return *to < 0 ? kist_fail_errno(err, errno, "create %s", name) : 0;
	}
	*to = save->what->fd;
	r = kist_archive_put_header(*to, name, size);
	return r < 0 ? kist_fail_errno(err, -r, "write %s", name) : 0;
}

static int finish(struct save *save, const char *name, uint64_t size, int to, struct kist_error *err)
{
	int r = 0;

	if (save->what->format == KIST_IMAGE_OCI_DIR) {
		if (close(to) < 0)
			r = -errno;
	} else {
		r = kist_archive_put_padding(to, size);
	}
	return r < 0 ? kist_fail_errno(err, -r, "write %s", name) : 0;
}

static int put_text(struct save *save, const char *name, const char *text, size_t len, struct kist_error *err)
{
	int to = -1;

	if (is_written(save, name))
		return 0;
	int r = begin(save, name, len, &to, err);
	if (r < 0)
		return r;
	r = kist_write_all(to, text, len);
	if (r < 0) {
		kist_fail_errno(err, -r, "write %s", name);
		if (to != save->what->fd)
			close(to);
		return r;
	}
	return finish(save, name, len, to, err);
}

static int put_layer(struct save *save, const char *name, const char *layer, struct kist_error *err)
{
	uint64_t length = 0;
	int to = -1;

	if (is_written(save, name))
		return 0;
	int r = kist_overlay_length(save->store, layer, &length, err);
	if (r == 0)
		r = begin(save, name, length, &to, err);
	if (r < 0)
		return r;
	r = kist_overlay_export(save->store, layer, to, err);
	if (r < 0) {
		if (to != save->what->fd)
			close(to);
		return r;
	}
	return finish(save, name, length, to, err);
}

/* --- docker-archive --------------------------------------------------------------------------------------------- */

static struct json_object *strings(char *const *items)
{
	struct json_object *array = json_object_new_array();

	for (; items && *items; items++)
		json_object_array_add(array, json_object_new_string(*items));
	return array;
}

/* Its layers are archives, and nothing else. */
static int check_docker(struct save *save, struct kist_error *err)
{
	for (size_t i = 0; i < save->n; i++) {
		for (char **layer = save->items[i].image->layers; layer && *layer; layer++) {
			const char *type = kist_overlay_layer_type(save->store, *layer);
			if (!type)
				continue;
			kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
			          "a docker-archive cannot hold layer %.12s, which is a %s file system", *layer, type);
			return kist_remedy(err, "--format oci-archive and oci-dir can");
		}
	}
	return 0;
}

static int save_docker(struct save *save, struct kist_error *err)
{
	KIST_JSON struct json_object *list = json_object_new_array();

	int checked = check_docker(save, err);
	if (checked < 0)
		return checked;
	for (size_t i = 0; i < save->n; i++) {
		struct item *item = &save->items[i];
		struct json_object *json = json_object_new_object(), *layers = json_object_new_array();
		KIST_FREE char *config = kist_asprintf("%s.json", item->image->id);

		json_object_array_add(list, json);
		json_object_object_add(json, "Config", json_object_new_string(config));
		json_object_object_add(json, "RepoTags", strings(item->names));
		json_object_object_add(json, "Layers", layers);
		for (size_t j = kist_strv_len(item->image->layers); j-- > 0;) {
			KIST_FREE char *name = kist_asprintf("%s.tar", item->image->layers[j]);
			int r = put_layer(save, name, item->image->layers[j], err);

			if (r < 0)
				return r;
			json_object_array_add(layers, json_object_new_string(name));
		}
		int r = put_text(save, config, item->config.data, item->config.len, err);
		if (r < 0)
			return r;
	}
	KIST_FREE char *text = kist_json_text(list, false);
	return put_text(save, "manifest.json", text, strlen(text), err);
}

/* --- OCI -------------------------------------------------------------------------------------------------------- */

static void add_descriptor(struct json_object *list, const char *digest, size_t len, const char *name)
{
	struct json_object *json = json_object_new_object();
	KIST_FREE char *text = kist_asprintf("sha256:%s", digest);

	json_object_object_add(json, "mediaType", json_object_new_string("application/vnd.oci.image.manifest.v1+json"));
	json_object_object_add(json, "digest", json_object_new_string(text));
	json_object_object_add(json, "size", json_object_new_uint64(len));
	if (name) {
		struct json_object *annotations = json_object_new_object();

		json_object_object_add(annotations, ANNOTATION_NAME, json_object_new_string(name));
		json_object_object_add(json, "annotations", annotations);
	}
	json_object_array_add(list, json);
}

static int put_blob(struct save *save, const char *text, size_t len, char sum[65], struct kist_error *err)
{
	kist_sha256_hex(text, len, sum);
	KIST_FREE char *name = kist_asprintf("blobs/sha256/%s", sum);
	return put_text(save, name, text, len, err);
}

static int save_oci_image(struct save *save, const struct item *item, struct json_object *list, struct kist_error *err)
{
	const struct kist_image *image = item->image;
	KIST_JSON struct json_object *manifest = NULL;
	char sum[65];

	for (size_t i = kist_strv_len(image->layers); i-- > 0;) {
		KIST_FREE char *name = kist_asprintf("blobs/sha256/%s", image->layers[i]);
		int r = put_layer(save, name, image->layers[i], err);

		if (r < 0)
			return r;
	}
	int r = put_blob(save, item->config.data, item->config.len, sum, err);
	if (r == 0)
		r = kist_image_manifest(save->store, image->id, item->config.len, image->layers, false, &manifest, err);
	if (r < 0)
		return r;
	KIST_FREE char *text = kist_json_text(manifest, false);
	r = put_blob(save, text, strlen(text), sum, err);
	for (char **name = item->names; r == 0 && name && *name; name++)
		add_descriptor(list, sum, strlen(text), *name);
	if (r == 0 && !item->names)
		add_descriptor(list, sum, strlen(text), NULL);
	return r;
}

static int make_directories(struct save *save, struct kist_error *err)
{
	if (save->what->format != KIST_IMAGE_OCI_DIR)
		return 0;
	if (mkdirat(save->what->fd, "blobs", 0755) < 0 || mkdirat(save->what->fd, "blobs/sha256", 0755) < 0)
		return kist_fail_errno(err, errno, "create blobs/sha256");
	return 0;
}

/* index.json comes last: a layout without it is none. */
static int save_oci(struct save *save, struct kist_error *err)
{
	KIST_JSON struct json_object *index = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_object_object_add(index, "schemaVersion", json_object_new_int(2));
	json_object_object_add(index, "mediaType", json_object_new_string("application/vnd.oci.image.index.v1+json"));
	json_object_object_add(index, "manifests", list);
	int r = make_directories(save, err);
	if (r == 0)
		r = put_text(save, "oci-layout", LAYOUT, strlen(LAYOUT), err);
	for (size_t i = 0; r == 0 && i < save->n; i++)
		r = save_oci_image(save, &save->items[i], list, err);
	if (r < 0)
		return r;
	KIST_FREE char *text = kist_json_text(index, false);
	return put_text(save, "index.json", text, strlen(text), err);
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

static int read_config(struct save *save, const char *id, struct kist_str *out, struct kist_error *err)
{
	KIST_CLOSE int dir = kist_image_open_dir(save->k, id);
	char sum[65];

	int r = dir < 0 ? dir : kist_read_file(dir, "config.json", KIST_RECORD_MAX, out);
	if (r < 0)
		return kist_fail_errno(err, -r, "read the configuration of image %.12s", id);
	kist_sha256_hex(kist_str_get(out), out->len, sum);
	return kist_streq(sum, id)
	               ? 0
	               : kist_fail(err, KIST_ERR_CORRUPT, 0, "the configuration of image %.12s is damaged", id);
}

/* The name that was given goes with it; images that are named twice are saved once, with both. */
static int add_item(struct save *save, const char *word, struct kist_error *err)
{
	KIST_FREE char *name = NULL;
	char id[65];

	int r = kist_image_find(save->k, word, id, &name, err);
	if (r < 0)
		return r;
	struct item *item = NULL;
	for (size_t i = 0; i < save->n && !item; i++)
		if (kist_streq(save->items[i].image->id, id))
			item = &save->items[i];
	if (!item) {
		struct kist_image *image = NULL;

		r = kist_image_load(save->k, id, NULL, &image, err);
		if (r < 0)
			return r;
		save->items = kist_grow(save->items, save->n + 1, sizeof(*save->items));
		item = &save->items[save->n++];
		*item = (struct item){ .image = image };
		r = read_config(save, id, &item->config, err);
	}
	if (r == 0 && name && !kist_strv_has(item->names, name))
		kist_strv_take(&item->names, kist_steal(&name));
	return r;
}

static int gather(struct save *save, struct kist_error *err)
{
	int r = kist_store_overlay(save->k, &save->store, err);

	for (char *const *word = save->what->images; r == 0 && *word; word++)
		r = add_item(save, *word, err);
	for (char *const *name = save->what->names; r == 0 && save->n && name && *name; name++) {
		KIST_FREE char *full = NULL;

		r = kist_image_reference(*name, &full, err);
		if (r == 0 && !kist_strv_has(save->items[0].names, full))
			kist_strv_take(&save->items[0].names, kist_steal(&full));
	}
	return r;
}

int kist_image_save(struct kist *k, const struct kist_image_save *what, struct kist_error *err)
{
	struct save save = { .k = k, .what = what };

	int r = gather(&save, err);
	if (r == 0)
		r = what->format == KIST_IMAGE_DOCKER_ARCHIVE ? save_docker(&save, err) : save_oci(&save, err);
	if (r == 0 && what->format != KIST_IMAGE_OCI_DIR) {
		r = kist_archive_put_end(what->fd);
		if (r < 0)
			r = kist_fail_errno(err, -r, "write the end of the archive");
	}
	for (size_t i = 0; i < save.n; i++) {
		if (r == 0)
			kist_object_event(k, "image", "save", save.items[i].image->id,
			                  save.items[i].names ? save.items[i].names[0] : NULL);
		kist_image_free(save.items[i].image);
		kist_strv_free(save.items[i].names);
		kist_str_free(&save.items[i].config);
	}
	free(save.items);
	kist_strv_free(save.written);
	return r;
}
