/* podman's inspect document of an image. */
#include "core/image.h"

#include "core/base/clock.h"
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

static struct json_object *document(const struct kist *k, const struct kist_image *image)
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
	add_text(json, "Parent", "");
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
	add_text(json, "ManifestType", "application/vnd.oci.image.manifest.v1+json");
	add_text(json, "User", image->config.user);
	json_object_object_add(json, "History", history ? history : json_object_new_array());
	json_object_object_add(json, "NamesHistory", strings(image->names));
	return json;
}

int kist_image_inspect(struct kist *k, const char *name, struct json_object **out, struct kist_error *err)
{
	struct kist_image *image = NULL;

	int r = kist_image_open(k, name, &image, err);
	if (r < 0)
		return r;
	*out = document(k, image);
	kist_image_free(image);
	return 0;
}
