/* podman's inspect document of an image. */
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static void add_text(struct json_object *json, const char *key, const char *text)
{
	json_object_object_add(json, key, json_object_new_string(text ? text : ""));
}

static struct json_object *strings(char *const *items)
{
	struct json_object *array = json_object_new_array();

	for (; items && *items; items++)
		json_object_array_add(array, json_object_new_string(*items));
	return array;
}

/* Each once. */
char **kist_image_repo_digests(const struct kist_image *image)
{
	char **list = kist_strv_copy(image->repo_digests);

	for (char **name = image->names; name && *name; name++) {
		KIST_FREE char *repository = kist_reference_repository(*name);
		KIST_FREE char *digest = kist_asprintf("%s@%s", repository, image->digest);

		if (!kist_strv_has(list, digest))
			kist_strv_take(&list, kist_steal(&digest));
	}
	return list;
}

/* A member of the document with a reference of its own, NULL when it is not there. */
static struct json_object *member(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(json, key, &value) ? json_object_get(value) : NULL;
}

static struct json_object *graph_driver(const struct kist *k, const struct kist_image *image)
{
	struct json_object *json = json_object_new_object(), *data = json_object_new_object();
	KIST_STRV char **lower = NULL;

	for (char **layer = image->layers; layer && *layer; layer++) {
		KIST_FREE char *path = kist_asprintf("%s/overlay/%s/diff", k->settings.root, *layer);

		if (layer == image->layers)
			add_text(data, "UpperDir", path);
		else
			kist_strv_add(&lower, path);
	}
	if (lower) {
		KIST_FREE char *joined = kist_strv_join(lower, ":");
		add_text(data, "LowerDir", joined);
	}
	/* A layer is never mounted to be written. */
	add_text(data, "WorkDir", "");
	add_text(json, "Name", "overlay");
	json_object_object_add(json, "Data", data);
	return json;
}

/* Layers from the bottom up, as the OCI document has them. */
static struct json_object *root_fs(const struct kist_image *image)
{
	struct json_object *json = json_object_new_object(), *layers = json_object_new_array();

	for (size_t i = kist_strv_len(image->layers); i-- > 0;) {
		KIST_FREE char *digest = kist_asprintf("sha256:%s", image->layers[i]);
		json_object_array_add(layers, json_object_new_string(digest));
	}
	add_text(json, "Type", "layers");
	json_object_object_add(json, "Layers", layers);
	return json;
}

/* Of the manifest that it came with. */
static struct json_object *manifest_type(struct kist *k, const struct kist_image *image)
{
	KIST_CLOSE int dir = kist_image_open_dir(k, image->id);
	KIST_JSON struct json_object *manifest = NULL;
	KIST_STR struct kist_str text = { 0 };
	struct json_object *type = NULL;

	if (dir >= 0 && kist_read_file(dir, "manifest.json", KIST_RECORD_MAX, &text) >= 0 &&
	    kist_json_parse(kist_str_get(&text), text.len, &manifest, NULL) == 0)
		type = member(manifest, "mediaType");
	/* An OCI manifest may leave it out. */
	return type ? type : json_object_new_string("application/vnd.oci.image.manifest.v1+json");
}

static struct json_object *document(struct kist *k, const struct kist_image *image, const struct kist_image *parent)
{
	struct json_object *json = json_object_new_object();
	struct json_object *config = member(image->document, "config");
	struct json_object *history = member(image->document, "history");
	KIST_STRV char **digests = kist_image_repo_digests(image);
	char time[40];

	add_text(json, "Id", image->id);
	add_text(json, "Digest", image->digest);
	json_object_object_add(json, "RepoTags", strings(image->names));
	json_object_object_add(json, "RepoDigests", strings(digests));
	add_text(json, "Parent", parent ? parent->id : NULL);
	add_text(json, "Comment", image->comment);
	add_text(json, "Created", kist_time_format(time, image->created, true));
	json_object_object_add(json, "Config", config ? config : json_object_new_object());
	add_text(json, "Version", "");
	add_text(json, "Author", image->author);
	add_text(json, "Architecture", image->architecture);
	add_text(json, "Os", image->os);
	json_object_object_add(json, "Size", json_object_new_uint64(image->size));
	json_object_object_add(json, "VirtualSize", json_object_new_uint64(image->size));
	json_object_object_add(json, "GraphDriver", graph_driver(k, image));
	json_object_object_add(json, "RootFS", root_fs(image));
	json_object_object_add(json, "Labels", member(config, "Labels"));
	json_object_object_add(json, "Annotations", json_object_new_object());
	json_object_object_add(json, "ManifestType", manifest_type(k, image));
	add_text(json, "User", image->config.user);
	json_object_object_add(json, "History", history ? history : json_object_new_array());
	json_object_object_add(json, "NamesHistory", strings(image->names));
	return json;
}

int kist_image_inspect(struct kist *k, const char *name, struct json_object **out, struct kist_error *err)
{
	struct kist_image *image = NULL, **all = NULL;
	size_t n = 0;

	int r = kist_image_open(k, name, &image, err);
	if (r < 0)
		return r;
	r = kist_image_list(k, &all, &n, err);
	if (r == 0)
		*out = document(k, image, kist_image_parent(image, all, n));
	kist_image_list_free(all, n);
	kist_image_free(image);
	return r;
}
