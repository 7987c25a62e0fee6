/* Manifests and indexes as registries have them (OCI image-spec, manifest.md and image-index.md; docker's schema 2). */
#include "core/registry.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

#define MAX_ITEMS 1000

void kist_manifest_clear(struct kist_manifest *manifest)
{
	json_object_put(manifest->json);
	free(manifest->layers);
	*manifest = (struct kist_manifest){ 0 };
}

static int bad(struct kist_error *err, const char *what)
{
	return kist_fail(err, KIST_ERR_INVALID, 0, "%s", what);
}

int kist_descriptor_parse(struct json_object *json, struct kist_descriptor *out, struct kist_error *err)
{
	const char *digest = json_object_is_type(json, json_type_object) ? kist_json_text_at(json, "digest") : NULL;
	struct json_object *size = NULL;

	if (!digest || !json_object_object_get_ex(json, "size", &size) || !json_object_is_type(size, json_type_int) ||
	    json_object_get_int64(size) < 0)
		return bad(err, "a descriptor has no digest or no size");
	if (!kist_has_prefix(digest, "sha256:") || !kist_image_is_id(digest + strlen("sha256:")))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "the digest '%.80s' is not sha256", digest);
	*out = (struct kist_descriptor){ .media_type = kist_json_text_at(json, "mediaType"),
		                         .size = (uint64_t)json_object_get_int64(size) };
	memcpy(out->digest, digest + strlen("sha256:"), sizeof(out->digest));
	return 0;
}

/* Of a layer: tars alone, and none that is elsewhere or encrypted. */
static int check_layer(const char *type, struct kist_error *err)
{
	if (!type)
		return 0;
	if (strstr(type, "foreign") || strstr(type, "nondistributable"))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "a layer is not kept by registries (%.100s)", type);
	if (strstr(type, "encrypted"))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "a layer is encrypted (%.100s)", type);
	if (strstr(type, ".tar"))
		return 0;
	return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "a layer is of the unknown type %.100s", type);
}

static int check_config(const char *type, struct kist_error *err)
{
	if (!type || kist_streq(type, OCI "config.v1+json") || kist_streq(type, DOCKER "container.image.v1+json"))
		return 0;
	return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "it is not an image of containers, but of the type %.100s",
	                 type);
}

static int parse_image(struct kist_manifest *m, struct kist_error *err)
{
	struct json_object *config = NULL, *layers = kist_json_array_at(m->json, "layers");

	if (!json_object_object_get_ex(m->json, "config", &config) || !layers)
		return bad(err, "the manifest has no config or no layers");
	if (json_object_array_length(layers) > MAX_ITEMS)
		return bad(err, "the manifest has too many layers");
	int r = kist_descriptor_parse(config, &m->config, err);
	if (r == 0)
		r = check_config(m->config.media_type, err);
	m->n = json_object_array_length(layers);
	m->layers = kist_grow(NULL, m->n + 1, sizeof(*m->layers));
	for (size_t i = 0; r == 0 && i < m->n; i++) {
		r = kist_descriptor_parse(json_object_array_get_idx(layers, i), &m->layers[i], err);
		if (r == 0)
			r = check_layer(m->layers[i].media_type, err);
	}
	return r;
}

static bool is_schema1(struct json_object *json, const char *type)
{
	struct json_object *version = NULL;

	if (type && strstr(type, DOCKER "distribution.manifest.v1"))
		return true;
	return json_object_object_get_ex(json, "schemaVersion", &version) && json_object_get_int(version) == 1;
}

int kist_manifest_parse(const char *text, size_t len, const char *type, struct kist_manifest *out,
                        struct kist_error *err)
{
	KIST_MANIFEST struct kist_manifest m = { 0 };

	int r = kist_json_parse(text, len, &m.json, err);
	if (r < 0)
		return kist_context(err, "the manifest");
	if (!json_object_is_type(m.json, json_type_object))
		return bad(err, "the manifest is not a JSON object");
	if (is_schema1(m.json, type)) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "docker's manifests of schema 1 are not supported");
		return kist_remedy(err, "push the image again with a newer engine");
	}
	/* What the document says of itself is under its digest, what the header says is not. */
	const char *own = kist_json_text_at(m.json, "mediaType");
	m.docker = kist_has_prefix(own ? own : type ? type : "", DOCKER);
	m.list = kist_json_array_at(m.json, "manifests");
	if (m.list && kist_json_array_at(m.json, "layers"))
		return bad(err, "the manifest is an index and an image at once");
	if (m.list && json_object_array_length(m.list) > MAX_ITEMS)
		return bad(err, "the index has too many manifests");
	if (!m.list)
		r = parse_image(&m, err);
	if (r < 0)
		return r;
	*out = m;
	m = (struct kist_manifest){ 0 };
	return 0;
}

/* "linux/arm64/v8" of a descriptor, for the message. */
static void add_platform(struct json_object *descriptor, struct kist_str *out)
{
	struct json_object *platform = NULL;

	if (!json_object_object_get_ex(descriptor, "platform", &platform))
		return;
	const char *os = kist_json_text_at(platform, "os"), *architecture = kist_json_text_at(platform, "architecture");
	const char *variant = kist_json_text_at(platform, "variant");
	/* Attestations of builders are filed as that. */
	if (!os || !architecture || kist_streq(os, "unknown"))
		return;
	kist_str_addf(out, "%s%.20s/%.20s%s%.20s", out->len ? ", " : "", os, architecture, variant ? "/" : "",
	              variant ? variant : "");
}

int kist_manifest_choose(const struct kist_manifest *index, const struct kist_platform *platform,
                         struct kist_descriptor *out, struct kist_error *err)
{
	KIST_STR struct kist_str there = { 0 };
	struct json_object *best = NULL;
	int rank = 0;

	for (size_t i = 0; i < json_object_array_length(index->list); i++) {
		struct json_object *descriptor = json_object_array_get_idx(index->list, i);
		int r = kist_image_platform_rank_for(descriptor, platform);

		if (r > rank) {
			rank = r;
			best = descriptor;
		}
		add_platform(descriptor, &there);
	}
	if (best)
		return kist_descriptor_parse(best, out, err);
	return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "there is no image for %s/%s%s%s, only for %.300s", platform->os,
	                 platform->architecture, platform->variant ? "/" : "",
	                 platform->variant ? platform->variant : "", there.len ? there.data : "no platform");
}
