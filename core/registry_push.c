/* push: an image into a registry.
 *
 * A layer goes as the blob that it was pulled as, where the registry has that blob, in this repository or in another
 * one of the image's; else it is compressed anew. When all are what they were, so is the manifest, byte for byte, and
 * its digest. */
#include "core/registry.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

struct push {
	struct kist *k;
	const struct kist_image_push *what;
	const struct kist_registry_options *options;
	struct kist_registry *registry;
	struct kist_overlay *store;
	struct kist_image *image;
	struct kist_image_draft session;  /* where layers are compressed, and what keeps them from the sweeper */
	char *domain, *path, *tag;        /* of the destination */
	char **sources;                   /* other repositories of the same registry that may have the blobs */
	struct kist_str config, manifest; /* as they are kept */
	struct kist_manifest kept;
	bool docker, zstd;
	struct json_object *layers; /* of the new manifest */
	bool same;                  /* as in the kept one, so far */
};

static void push_clear(struct push *push)
{
	kist_registry_close(push->registry);
	kist_image_draft_drop(&push->session);
	kist_image_free(push->image);
	free(push->domain);
	free(push->path);
	free(push->tag);
	kist_strv_free(push->sources);
	kist_str_free(&push->config);
	kist_str_free(&push->manifest);
	kist_manifest_clear(&push->kept);
	json_object_put(push->layers);
}

/* --- what is pushed where --------------------------------------------------------------------------------------- */

static int take_destination(struct push *push, const char *text, struct kist_error *err)
{
	KIST_REFERENCE struct kist_reference reference = { 0 };
	const char *name = text;

	int r = kist_registry_transport(text, &name, err);
	if (r == 0)
		r = kist_reference_parse(name, &reference, err);
	if (r < 0)
		return r;
	if (reference.digest)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%.200s': an image is pushed to a tag, not to a digest",
		                 name);
	KIST_STRV char **repositories = kist_registry_candidates(push->k, &reference);
	const char *slash = strchr(repositories[0], '/');
	push->domain = kist_strndup(repositories[0], (size_t)(slash - repositories[0]));
	push->path = kist_strdup(slash + 1);
	push->tag = kist_strdup(reference.tag ? reference.tag : "latest");
	return 0;
}

/* Repositories of this registry that the image came from, or is called after. */
static void take_sources(struct push *push)
{
	KIST_STRV char **names = kist_image_repo_digests(push->image);
	KIST_FREE char *prefix = kist_asprintf("%s/", push->domain);

	for (char **name = names; name && *name; name++) {
		if (!kist_has_prefix(*name, prefix))
			continue;
		const char *path = *name + strlen(prefix);
		KIST_FREE char *repository = kist_strndup(path, strcspn(path, "@"));
		if (!kist_streq(repository, push->path) && !kist_strv_has(push->sources, repository))
			kist_strv_add(&push->sources, repository);
	}
}

static int read_documents(struct push *push, struct kist_error *err)
{
	KIST_CLOSE int dir = kist_image_open_dir(push->k, push->image->id);
	char sum[65];

	int r = dir < 0 ? dir : kist_read_file(dir, "config.json", KIST_RECORD_MAX, &push->config);
	if (r >= 0)
		r = kist_read_file(dir, "manifest.json", KIST_RECORD_MAX, &push->manifest);
	if (r < 0)
		return kist_fail_errno(err, -r, "read the documents of image %.12s", push->image->id);
	kist_sha256_hex(kist_str_get(&push->config), push->config.len, sum);
	if (!kist_streq(sum, push->image->id))
		return kist_fail(err, KIST_ERR_CORRUPT, 0, "the configuration of image %.12s is damaged",
		                 push->image->id);
	r = kist_manifest_parse(kist_str_get(&push->manifest), push->manifest.len, NULL, &push->kept, err);
	if (r == 0 && push->kept.n != kist_strv_len(push->image->layers))
		return kist_fail(err, KIST_ERR_CORRUPT, 0, "the manifest of image %.12s is damaged", push->image->id);
	return r;
}

static int choose_format(struct push *push, struct kist_error *err)
{
	const struct kist_image_push *what = push->what;

	push->docker = what->format ? kist_streq(what->format, "v2s2") : push->kept.docker;
	push->zstd = kist_streq(what->compression, "zstd");
	/* docker's schema has no type for it. */
	if (push->zstd && push->docker && what->format)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the format v2s2 has no zstd: use --format oci");
	if (push->zstd)
		push->docker = false;
	push->same = push->docker == push->kept.docker;
	return 0;
}

static int prepare(struct push *push, struct kist_error *err)
{
	KIST_FREE char *name = NULL;
	char id[65];

	int r = kist_image_find(push->k, push->what->image, id, &name, err);
	if (r == 0)
		r = kist_image_load(push->k, id, NULL, &push->image, err);
	if (r < 0)
		return r;
	const char *to = push->what->destination ? push->what->destination : name;
	if (!to)
		return kist_fail(err, KIST_ERR_INVALID, 0, "say where to: '%s' is an id, and no name",
		                 push->what->image);
	r = take_destination(push, to, err);
	if (r == 0)
		r = read_documents(push, err);
	if (r == 0)
		r = choose_format(push, err);
	if (r == 0)
		r = kist_store_overlay(push->k, &push->store, err);
	if (r < 0)
		return r;
	/* The names are needed for the sources. */
	KIST_REFS struct kist_refs refs = { 0 };
	kist_refs_read(push->k, &refs);
	push->image->names = kist_refs_of(&refs, id);
	take_sources(push);
	return kist_image_draft_make(push->k, &push->session, err);
}

/* --- layers ----------------------------------------------------------------------------------------------------- */

static void add_layer(struct push *push, const char *digest, uint64_t size, const char *compression)
{
	struct json_object *json = json_object_new_object();
	KIST_FREE char *text = kist_asprintf("sha256:%s", digest);
	KIST_FREE char *type =
	        push->docker ? kist_asprintf(DOCKER "image.rootfs.diff.tar%s%s", *compression ? "." : "", compression)
	                     : kist_asprintf(OCI "layer.v1.tar%s%s", *compression ? "+" : "", compression);

	json_object_object_add(json, "mediaType", json_object_new_string(type));
	json_object_object_add(json, "size", json_object_new_uint64(size));
	json_object_object_add(json, "digest", json_object_new_string(text));
	json_object_array_add(push->layers, json);
}

static const char *compression_of(const struct kist_descriptor *layer)
{
	const char *type = layer->media_type ? layer->media_type : "";

	return strstr(type, "gzip") ? "gzip" : strstr(type, "zstd") ? "zstd" : "";
}

/* 1: the registry has it now. */
static int find_blob(struct push *push, const char *digest, struct kist_error *err)
{
	int r = kist_blob_exists(push->registry, push->path, digest, err);

	for (char **source = push->sources; r == 0 && source && *source; source++)
		r = kist_blob_mount(push->registry, push->path, *source, digest, err);
	return r;
}

/* Whether the blob that the layer was pulled as will do. */
static int use_original(struct push *push, const struct kist_descriptor *layer, struct kist_error *err)
{
	const char *compression = compression_of(layer);

	/* An uncompressed one was made here, and stands for none in any registry. */
	if (!*compression || (push->docker && kist_streq(compression, "zstd")))
		return 0;
	if (push->what->compression && push->what->force_compression &&
	    !kist_streq(push->what->compression, compression))
		return 0;
	int r = find_blob(push, layer->digest, err);
	if (r > 0) {
		kist_registry_progress(push->options, KIST_PROGRESS_SKIPPED, layer->digest, layer->size, layer->size);
		add_layer(push, layer->digest, layer->size, compression);
	}
	return r;
}

static int push_layer(struct push *push, size_t i, struct kist_error *err)
{
	const char *layer = push->image->layers[push->kept.n - 1 - i];
	struct kist_compressed made = { 0 };

	int r = use_original(push, &push->kept.layers[i], err);
	if (r != 0)
		return r < 0 ? r : 0;
	KIST_CLOSE int fd =
	        openat(push->session.dir, "blob", O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return kist_fail_errno(err, errno, "create a file for a compressed layer");
	r = kist_layer_compress(push->store, layer, push->zstd, push->what->compression_level, fd, &made, err);
	if (r == 0)
		r = find_blob(push, made.digest, err);
	if (r < 0)
		return r;
	if (r > 0) {
		kist_registry_progress(push->options, KIST_PROGRESS_SKIPPED, made.digest, made.size, made.size);
	} else {
		struct kist_blob_upload upload = {
			.repository = push->path, .digest = made.digest, .fd = fd, .length = made.size
		};

		r = kist_blob_upload(push->registry, &upload, err);
		if (r < 0)
			return kist_context(err, "blob sha256:%.12s", made.digest);
		kist_registry_progress(push->options, KIST_PROGRESS_DONE, made.digest, made.size, made.size);
	}
	push->same = push->same && kist_streq(made.digest, push->kept.layers[i].digest);
	add_layer(push, made.digest, made.size, push->zstd ? "zstd" : "gzip");
	return 0;
}

/* --- documents -------------------------------------------------------------------------------------------------- */

static int push_config(struct push *push, struct kist_error *err)
{
	struct kist_blob_upload upload = { .repository = push->path,
		                           .digest = push->image->id,
		                           .text = kist_str_get(&push->config),
		                           .fd = -1,
		                           .length = push->config.len };

	kist_registry_progress(push->options, KIST_PROGRESS_CONFIG, push->image->id, 0, push->config.len);
	int r = find_blob(push, push->image->id, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = kist_blob_upload(push->registry, &upload, err);
	return r < 0 ? kist_context(err, "the image's configuration") : 0;
}

static char *new_manifest(struct push *push)
{
	KIST_JSON struct json_object *json = json_object_new_object();
	struct json_object *config = json_object_new_object();
	KIST_FREE char *digest = kist_asprintf("sha256:%s", push->image->id);

	json_object_object_add(json, "schemaVersion", json_object_new_int(2));
	json_object_object_add(
	        json, "mediaType",
	        json_object_new_string(push->docker ? DOCKER "distribution.manifest.v2+json" : OCI "manifest.v1+json"));
	json_object_object_add(
	        config, "mediaType",
	        json_object_new_string(push->docker ? DOCKER "container.image.v1+json" : OCI "config.v1+json"));
	json_object_object_add(config, "size", json_object_new_uint64(push->config.len));
	json_object_object_add(config, "digest", json_object_new_string(digest));
	json_object_object_add(json, "config", config);
	json_object_object_add(json, "layers", json_object_get(push->layers));
	return kist_json_text(json, false);
}

static int push_manifest(struct push *push, char digest[65], struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };
	KIST_FREE char *path = kist_asprintf("%s/manifests/%s", push->path, push->tag);
	KIST_FREE char *made = push->same ? NULL : new_manifest(push);
	const char *text = made ? made : kist_str_get(&push->manifest);

	kist_registry_progress(push->options, KIST_PROGRESS_MANIFEST, NULL, 0, 0);
	int r = kist_registry_request(push->registry,
	                              &(struct kist_registry_request){ .method = "PUT",
	                                                               .path = path,
	                                                               .type = push->docker ? DOCKER
	                                                                               "distribution.manifest.v2+json"
	                                                                                    : OCI "manifest.v1+json",
	                                                               .text = text,
	                                                               .fd = -1 },
	                              &response, err);
	if (r < 0)
		return r;
	if (response.status != 201)
		return kist_registry_refused(push->registry, &response, err);
	kist_sha256_hex(text, strlen(text), digest);
	return 0;
}

/* Blobs of other repositories can only be had by who may read them. */
static int connect_registry(struct push *push, struct kist_error *err)
{
	KIST_STR struct kist_str scope = { 0 };

	kist_str_addf(&scope, "repository:%s:pull,push", push->path);
	for (char **source = push->sources; source && *source; source++)
		kist_str_addf(&scope, " repository:%s:pull", *source);
	int r = kist_registry_open(push->k, push->domain, push->path, push->options, &push->registry, err);
	return r < 0 ? r : kist_registry_authorize(push->registry, kist_str_get(&scope), err);
}

static int push_all(struct push *push, char digest[65], struct kist_error *err)
{
	KIST_FREE char *shown = kist_asprintf("%s/%s:%s", push->domain, push->path, push->tag);

	push->layers = json_object_new_array();
	int r = connect_registry(push, err);
	for (size_t i = 0; r == 0 && i < push->kept.n; i++)
		r = push_layer(push, i, err);
	if (r == 0)
		r = push_config(push, err);
	if (r == 0)
		r = push_manifest(push, digest, err);
	if (r < 0)
		return kist_context(err, "push %s", shown);
	kist_event_write(push->k, &(struct kist_event){
	                                  .type = "image", .status = "push", .id = push->image->id, .name = shown });
	return 0;
}

int kist_image_push(struct kist *k, const struct kist_image_push *what, char digest[65], struct kist_error *err)
{
	struct push push = { .k = k, .what = what, .options = &what->registry, .session.dir = -1 };

	int r = prepare(&push, err);
	if (r == 0)
		r = push_all(&push, digest, err);
	push_clear(&push);
	return r;
}
