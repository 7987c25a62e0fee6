/* load: images out of archives (docker-archive, OCI layouts in a tar or a directory).
 *
 * All that an archive says is checked before it is believed: blobs against their digests, layers against the image's
 * configuration, the configuration against the id. Names in it are only ever compared (overlay/archive.h). Every image
 * is prepared before the first one is published. */
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/base/table.h"
#include "overlay/archive.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Documents: the store reads no larger ones back. */
#define MAX_DOCUMENT KIST_RECORD_MAX
#define MAX_IMAGES   1000
#define MAX_NESTING  4 /* of indexes */

#define ANNOTATION_NAME "org.opencontainers.image.ref.name"

struct loaded {
	struct kist_image_draft draft;
	char **names;
};

struct load {
	struct kist *k;
	struct kist_overlay *store;
	struct kist_archive *archive;
	struct kist_image_draft session; /* where members are kept, and what protects the layers */
	struct loaded *images;
	size_t n;
};

static int bad(struct kist_error *err, const char *what)
{
	return kist_fail(err, KIST_ERR_INVALID, 0, "%s", what);
}

static int read_json(struct load *load, const char *name, enum json_type type, struct json_object **out,
                     struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	int r = kist_archive_read(load->archive, name, MAX_DOCUMENT, &text, err);
	if (r == 0)
		r = kist_json_parse(kist_str_get(&text), text.len, out, err);
	if (r < 0)
		return kist_context(err, "%s", name);
	if (json_object_is_type(*out, type))
		return 0;
	json_object_put(*out);
	*out = NULL;
	return kist_fail(err, KIST_ERR_INVALID, 0, "%s is not a JSON %s", name,
	                 type == json_type_array ? "array" : "object");
}

/* --- one image -------------------------------------------------------------------------------------------------- */

/* Where the bytes of a layer are. */
struct layer {
	const char *member; /* NULL: only its blob's digest is known */
	const char *blob;   /* hexadecimal; NULL: not known */
	int64_t size;       /* of the blob; -1: not known */
	bool packed;        /* a file system, not an archive */
};

struct parts {
	struct kist_str config, manifest; /* manifest empty: one is made */
	struct layer *layers;             /* bottom first */
	size_t n;
};
#define PARTS __attribute__((cleanup(parts_clear)))

static void parts_clear(struct parts *parts)
{
	kist_str_free(&parts->config);
	kist_str_free(&parts->manifest);
	free(parts->layers);
}

static int import_layer(struct load *load, const struct layer *layer, const char *diff_id, struct kist_error *err)
{
	KIST_FREE char *blob = layer->blob ? kist_asprintf("blobs/sha256/%s", layer->blob) : NULL;
	struct kist_archive_member member = { .fd = -1 };
	char name[65];

	/* Its name is the digest of its contents: it need not be read. */
	if (kist_overlay_has(load->store, diff_id))
		return 0;
	int r = kist_archive_find(load->archive, blob ? blob : layer->member, &member, err);
	if (r < 0)
		return r;
	KIST_CLOSE int fd = member.fd;
	if (layer->size >= 0 && (uint64_t)layer->size != member.length)
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s has %llu bytes, not %lld", blob ? blob : layer->member,
		                 (unsigned long long)member.length, (long long)layer->size);
	load->session.layer = true;
	r = kist_overlay_import_from(load->store,
	                             &(struct kist_overlay_source){ .fd = fd,
	                                                            .packed = layer->packed,
	                                                            .part = true,
	                                                            .offset = member.offset,
	                                                            .length = member.length,
	                                                            .diff_id = diff_id,
	                                                            .blob_id = layer->blob },
	                             name, NULL, err);
	return r < 0 ? kist_context(err, "%s", blob ? blob : layer->member) : 0;
}

int kist_image_document_check(const struct kist_image *image, char *const *diff_ids, size_t layers,
                              struct kist_error *err)
{
	size_t n = kist_strv_len(diff_ids);

	if (image->os && !kist_streq(image->os, "linux"))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "the image is for the operating system '%.40s'",
		                 image->os);
	if (n != layers)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "the image's configuration names %zu layers, its manifest %zu", n, layers);
	if (n > KIST_IMAGE_LAYERS)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "the image has more than %u layers", KIST_IMAGE_LAYERS);
	if (n == 0)
		return bad(err, "the image has no layers");
	return 0;
}

int64_t kist_image_document_created(struct json_object *document)
{
	const char *text = kist_json_text_at(document, "created");
	int64_t created = 0;

	return text && kist_time_parse(text, &created) == 0 ? created : 0;
}

static int store_image(struct load *load, struct loaded *image, const struct parts *parts, char *const *diff_ids,
                       int64_t created, struct kist_error *err)
{
	int r = kist_image_draft_make(load->k, &image->draft, err);

	for (size_t i = 0; r == 0 && i < parts->n; i++)
		r = import_layer(load, &parts->layers[i], diff_ids[parts->n - 1 - i], err);
	if (r < 0)
		return r;
	return kist_image_draft_write(
	        &image->draft,
	        &(struct kist_image_parts){ .config = kist_str_get(&parts->config),
	                                    .config_len = parts->config.len,
	                                    .manifest = parts->manifest.len ? parts->manifest.data : NULL,
	                                    .manifest_len = parts->manifest.len,
	                                    .layers = diff_ids,
	                                    .created = created },
	        err);
}

static int take_image(struct load *load, struct loaded *image, const struct parts *parts, struct kist_error *err)
{
	KIST_JSON struct json_object *document = NULL;
	KIST_STRV char **diff_ids = NULL;
	struct kist_image *read = kist_alloc(sizeof(*read));

	int r = kist_json_parse(kist_str_get(&parts->config), parts->config.len, &document, err);
	if (r < 0)
		r = kist_context(err, "the image's configuration");
	if (r == 0)
		r = kist_image_document_read(document, read, &diff_ids, err);
	if (r == 0)
		r = kist_image_document_check(read, diff_ids, parts->n, err);
	if (r == 0 && read->architecture && !kist_streq(read->architecture, kist_image_architecture(NULL)))
		kist_debug("the image is for the architecture %s", read->architecture);
	kist_image_free(read);
	return r < 0 ? r : store_image(load, image, parts, diff_ids, kist_image_document_created(document), err);
}

static int new_image(struct load *load, struct loaded **out, struct kist_error *err)
{
	if (load->n == MAX_IMAGES)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the archive has more than %u images", MAX_IMAGES);
	load->images = kist_grow(load->images, load->n + 1, sizeof(*load->images));
	load->images[load->n] = (struct loaded){ .draft.dir = -1 };
	*out = &load->images[load->n++];
	return 0;
}

/* --- docker-archive --------------------------------------------------------------------------------------------- */

/* As docker: without a domain it is docker.io's. */
static int docker_name(const char *text, char ***names, struct kist_error *err)
{
	KIST_REFERENCE struct kist_reference reference = { 0 };

	int r = kist_reference_parse(text, &reference, err);
	if (r < 0)
		return kist_context(err, "RepoTags");
	if (reference.digest)
		return kist_fail(err, KIST_ERR_INVALID, 0, "RepoTags: '%.200s' is not NAME:TAG", text);
	KIST_STRV char **repositories = kist_reference_repositories(&reference);
	size_t n = kist_strv_len(repositories);
	kist_strv_take(names, kist_asprintf("%s:%s", repositories[n - 1], reference.tag ? reference.tag : "latest"));
	return 0;
}

/* HEX.json and blobs/sha256/HEX are what they are called. */
static int check_config_name(const char *name, const struct kist_str *config, struct kist_error *err)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
	KIST_FREE char *hex = kist_strndup(base, strcspn(base, "."));
	char sum[65];

	kist_sha256_hex(kist_str_get(config), config->len, sum);
	if (kist_image_is_id(hex) && !kist_streq(hex, sum))
		return kist_fail(err, KIST_ERR_INVALID, 0, "the digest of %.200s is sha256:%.12s", name, sum);
	return 0;
}

static int docker_parts(struct load *load, struct json_object *item, struct parts *parts, struct kist_error *err)
{
	const char *config = kist_json_text_at(item, "Config");
	struct json_object *layers = kist_json_array_at(item, "Layers");

	if (!config || !layers)
		return bad(err, "an image has no Config or no Layers");
	int r = kist_archive_read(load->archive, config, MAX_DOCUMENT, &parts->config, err);
	if (r == 0)
		r = check_config_name(config, &parts->config, err);
	if (r < 0)
		return r;
	parts->n = json_object_array_length(layers);
	parts->layers = kist_grow(NULL, parts->n + 1, sizeof(*parts->layers));
	for (size_t i = 0; i < parts->n; i++) {
		struct json_object *name = json_object_array_get_idx(layers, i);

		if (!json_object_is_type(name, json_type_string))
			return bad(err, "a name in Layers is not a string");
		parts->layers[i] = (struct layer){ .member = json_object_get_string(name), .size = -1 };
	}
	return 0;
}

static int docker_image(struct load *load, struct json_object *item, struct kist_error *err)
{
	struct json_object *tags = kist_json_array_at(item, "RepoTags");
	struct loaded *image = NULL;
	PARTS struct parts parts = { 0 };

	int r = new_image(load, &image, err);
	for (size_t i = 0; r == 0 && tags && i < json_object_array_length(tags); i++) {
		const char *tag = json_object_get_string(json_object_array_get_idx(tags, i));

		r = tag ? docker_name(tag, &image->names, err) : bad(err, "RepoTags: a name is null");
	}
	if (r == 0)
		r = docker_parts(load, item, &parts, err);
	return r < 0 ? r : take_image(load, image, &parts, err);
}

static int load_docker(struct load *load, struct kist_error *err)
{
	KIST_JSON struct json_object *list = NULL;

	int r = read_json(load, "manifest.json", json_type_array, &list, err);
	for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++) {
		r = docker_image(load, json_object_array_get_idx(list, i), err);
		if (r < 0)
			kist_context(err, "manifest.json: image %zu", i);
	}
	return r;
}

/* --- OCI -------------------------------------------------------------------------------------------------------- */

/* The hexadecimal part; NULL with err. */
static const char *digest_of(struct json_object *descriptor, struct kist_error *err)
{
	const char *digest = kist_json_text_at(descriptor, "digest");

	if (digest && kist_has_prefix(digest, "sha256:") && kist_image_is_id(digest + strlen("sha256:")))
		return digest + strlen("sha256:");
	kist_fail(err, KIST_ERR_INVALID, 0, "'%.100s' is not a sha256 digest", digest ? digest : "");
	return NULL;
}

/* -1: not given. */
static int64_t size_of(struct json_object *descriptor)
{
	struct json_object *size = NULL;

	if (!json_object_object_get_ex(descriptor, "size", &size) || !json_object_is_type(size, json_type_int))
		return -1;
	int64_t n = json_object_get_int64(size);
	/* What is no length fits no blob. */
	return n < 0 ? INT64_MAX : n;
}

/* A document by its descriptor, checked. */
static int read_blob(struct load *load, struct json_object *descriptor, struct kist_str *out, struct kist_error *err)
{
	const char *hex = json_object_is_type(descriptor, json_type_object)
	                          ? digest_of(descriptor, err)
	                          : (bad(err, "a descriptor is not an object"), NULL);
	char sum[65];

	if (!hex)
		return -EINVAL;
	KIST_FREE char *name = kist_asprintf("blobs/sha256/%s", hex);
	int r = kist_archive_read(load->archive, name, MAX_DOCUMENT, out, err);
	if (r < 0)
		return r;
	int64_t size = size_of(descriptor);
	if (size >= 0 && (uint64_t)size != out->len)
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s has %zu bytes, not %lld", name, out->len,
		                 (long long)size);
	kist_sha256_hex(kist_str_get(out), out->len, sum);
	if (!kist_streq(sum, hex))
		return kist_fail(err, KIST_ERR_INVALID, 0, "the digest of %s is sha256:%.12s", name, sum);
	return 0;
}

/* By their first bytes the layers' compressions are told; the media type must be one of a layer. */
static bool is_layer_type(const char *type)
{
	static const char *const known[] = {
		"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.v1.tar+gzip",
		"application/vnd.oci.image.layer.v1.tar+zstd",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar.zstd",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	};

	for (size_t i = 0; i < KIST_COUNT(known); i++)
		if (kist_streq(type, known[i]))
			return true;
	return false;
}

/* Of an archive that kist has written. */
static bool is_packed_type(const char *type)
{
	return kist_streq(type, KIST_IMAGE_PACKED_TYPE "squashfs") || kist_streq(type, KIST_IMAGE_PACKED_TYPE "erofs");
}

static int oci_layers(struct json_object *list, struct parts *parts, struct kist_error *err)
{
	parts->n = json_object_array_length(list);
	parts->layers = kist_grow(NULL, parts->n + 1, sizeof(*parts->layers));
	for (size_t i = 0; i < parts->n; i++) {
		struct json_object *descriptor = json_object_array_get_idx(list, i);
		const char *type = kist_json_text_at(descriptor, "mediaType");

		if (!is_layer_type(type) && !is_packed_type(type))
			return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "layer %zu is of the type '%.100s'", i,
			                 type ? type : "");
		parts->layers[i] = (struct layer){ .blob = digest_of(descriptor, err),
			                           .size = size_of(descriptor),
			                           .packed = is_packed_type(type) };
		if (!parts->layers[i].blob)
			return kist_context(err, "layer %zu", i);
	}
	return 0;
}

static int oci_manifest(struct load *load, struct json_object *manifest, struct parts *parts, char *const *names,
                        struct kist_error *err)
{
	struct json_object *config = NULL, *layers = kist_json_array_at(manifest, "layers");
	struct loaded *image = NULL;

	if (!json_object_object_get_ex(manifest, "config", &config) || !layers)
		return bad(err, "a manifest has no config or no layers");
	int r = read_blob(load, config, &parts->config, err);
	if (r == 0)
		r = oci_layers(layers, parts, err);
	if (r == 0)
		r = new_image(load, &image, err);
	if (r < 0)
		return r;
	image->names = kist_strv_copy(names);
	return take_image(load, image, parts, err);
}

/* The descriptor for this host; NULL: none is. */
static struct json_object *choose(struct json_object *list)
{
	struct json_object *best = NULL;
	int rank = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *descriptor = json_object_array_get_idx(list, i);
		int r = kist_image_platform_rank(descriptor);

		if (r > rank) {
			rank = r;
			best = descriptor;
		}
	}
	return best;
}

/* A manifest, or an index, one of whose manifests is for this host. */
static int oci_descriptor(struct load *load, struct json_object *descriptor, char *const *names, struct kist_error *err)
{
	json_object_get(descriptor);
	for (unsigned depth = 0; depth < MAX_NESTING; depth++) {
		KIST_JSON struct json_object *from = descriptor;
		KIST_JSON struct json_object *json = NULL;
		PARTS struct parts parts = { 0 };
		int r = read_blob(load, from, &parts.manifest, err);

		if (r == 0)
			r = kist_json_parse(kist_str_get(&parts.manifest), parts.manifest.len, &json, err);
		if (r < 0)
			return r;
		struct json_object *list = kist_json_array_at(json, "manifests");
		if (!list)
			return oci_manifest(load, json, &parts, names, err);
		descriptor = choose(list);
		if (!descriptor)
			return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "the index has no image for linux/%s",
			                 kist_image_architecture(NULL));
		json_object_get(descriptor);
	}
	json_object_put(descriptor);
	return bad(err, "indexes are nested too deeply");
}

static const char *name_of(struct json_object *descriptor)
{
	struct json_object *annotations = NULL;

	if (!json_object_object_get_ex(descriptor, "annotations", &annotations))
		return NULL;
	/* containerd and docker write the full name here, and in the other only the tag. */
	const char *full = kist_json_text_at(annotations, "io.containerd.image.name");
	const char *name = full ? full : kist_json_text_at(annotations, ANNOTATION_NAME);
	return kist_empty(name) ? NULL : name;
}

/* Whether another manifest of the same name (or, as this one, of none) is a better one for this host. */
static bool is_outdone(struct json_object *list, size_t i)
{
	struct json_object *descriptor = json_object_array_get_idx(list, i);
	const char *name = name_of(descriptor);
	int rank = kist_image_platform_rank(descriptor);
	bool alone = true;

	for (size_t j = 0; j < json_object_array_length(list); j++) {
		struct json_object *other = json_object_array_get_idx(list, j);
		struct json_object *platform = NULL;
		int other_rank = kist_image_platform_rank(other);

		if (j == i || !kist_streq(name_of(other), name))
			continue;
		alone = false;
		/* Several without name and platform are several images. */
		if (!json_object_object_get_ex(other, "platform", &platform))
			continue;
		if (other_rank > rank || (other_rank == rank && j < i))
			return true;
	}
	return !alone && rank == 0;
}

static int load_oci(struct load *load, struct kist_error *err)
{
	KIST_JSON struct json_object *index = NULL;

	int r = read_json(load, "index.json", json_type_object, &index, err);
	if (r < 0)
		return r;
	struct json_object *list = kist_json_array_at(index, "manifests");
	if (!list)
		return bad(err, "index.json has no manifests");
	if (json_object_array_length(list) > MAX_IMAGES)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "index.json has more than %u manifests", MAX_IMAGES);
	for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++) {
		struct json_object *descriptor = json_object_array_get_idx(list, i);
		const char *name = name_of(descriptor);
		KIST_STRV char **names = NULL;
		KIST_FREE char *full = NULL;

		if (is_outdone(list, i))
			continue;
		r = name ? kist_image_reference(name, &full, err) : 0;
		if (r == 0 && full)
			kist_strv_add(&names, full);
		if (r == 0)
			r = oci_descriptor(load, descriptor, names, err);
		if (r < 0)
			kist_context(err, "index.json: manifest %zu", i);
	}
	return r;
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

static int load_all(struct load *load, struct kist_error *err)
{
	int r;

	/* docker writes both since version 25; the names are better in its own. */
	if (kist_archive_has(load->archive, "manifest.json"))
		r = load_docker(load, err);
	else if (kist_archive_has(load->archive, "index.json"))
		r = load_oci(load, err);
	else {
		kist_fail(err, KIST_ERR_INVALID, 0,
		          "it is not an archive of images: it has neither manifest.json nor index.json");
		return kist_remedy(err, "a root file system becomes an image with 'kist import'");
	}
	if (r == 0 && load->n == 0)
		return bad(err, "the archive has no image");
	return r;
}

static int publish(struct load *load, char ***report, struct kist_error *err)
{
	for (size_t i = 0; i < load->n; i++) {
		struct loaded *image = &load->images[i];
		int r = kist_image_draft_publish(&image->draft, image->names, err);

		if (r < 0)
			return r;
		for (char **name = image->names; name && *name; name++)
			kist_strv_add(report, *name);
		if (!image->names)
			kist_strv_take(report, kist_asprintf("sha256:%s", image->draft.id));
		kist_object_event(load->k, "image", "loadfromarchive", image->draft.id,
		                  image->names ? image->names[0] : NULL);
	}
	return 0;
}

static int prepare(struct load *load, int fd, struct kist_error *err)
{
	int r = kist_images_open(load->k, true, err);

	if (r == 0)
		r = kist_store_overlay(load->k, &load->store, err);
	if (r == 0)
		r = kist_image_draft_make(load->k, &load->session, err);
	if (r == 0)
		r = kist_archive_open(fd, load->session.dir, &load->archive, err);
	return r;
}

int kist_image_unpack(struct kist *k, int fd, char ***loaded, struct kist_error *err)
{
	struct load load = { .k = k, .session.dir = -1 };
	KIST_STRV char **report = NULL;

	int r = prepare(&load, fd, err);
	if (r == 0)
		r = load_all(&load, err);
	if (r == 0)
		r = publish(&load, &report, err);
	kist_archive_close(load.archive);
	for (size_t i = 0; i < load.n; i++) {
		kist_image_draft_drop(&load.images[i].draft);
		kist_strv_free(load.images[i].names);
	}
	free(load.images);
	/* Only what was not published lacks an owner. */
	load.session.layer = load.session.layer && r < 0;
	kist_image_draft_drop(&load.session);
	if (r < 0)
		return r;
	*loaded = kist_steal(&report);
	return 0;
}
