/* pull: an image out of a registry.
 *
 * Layers are unpacked while they arrive, and are there only once their digests agree. What is there already is not
 * fetched. The image appears by the same steps as a loaded one (image_draft.c): whole, or not at all. */
#include "core/registry.h"

#include "core/base/log.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NESTING 4 /* of indexes */

struct pull {
	struct kist *k;
	const struct kist_registry_options *options;
	struct kist_platform platform;
	bool any_platform; /* the user named none: an image of one platform alone is taken as it is */
	struct kist_registry *registry;
	const char *domain, *path; /* of the repository */
	const char *repository;    /* both */
	struct kist_str manifest, config;
	struct kist_manifest parsed;
	char **repo_digests;
	char id[65];
};

static void pull_clear(struct pull *pull)
{
	kist_str_free(&pull->manifest);
	kist_str_free(&pull->config);
	kist_manifest_clear(&pull->parsed);
	kist_strv_free(pull->repo_digests);
}

/* --- documents -------------------------------------------------------------------------------------------------- */

static void add_digest(struct pull *pull)
{
	char sum[65];

	kist_sha256_hex(kist_str_get(&pull->manifest), pull->manifest.len, sum);
	kist_strv_take(&pull->repo_digests, kist_asprintf("%s@sha256:%s", pull->repository, sum));
}

/* The manifest for the platform: of an index, the one that fits. Both digests are names for what is pulled. */
static int fetch_manifest(struct pull *pull, const char *first, struct kist_error *err)
{
	KIST_FREE char *reference = kist_strdup(first);

	for (unsigned depth = 0; depth < MAX_NESTING; depth++) {
		struct kist_descriptor chosen = { 0 };
		KIST_FREE char *type = NULL;

		kist_str_clear(&pull->manifest);
		kist_manifest_clear(&pull->parsed);
		int r = kist_registry_manifest(pull->registry, pull->path, reference, &pull->manifest, &type, err);
		if (r == 0)
			r = kist_manifest_parse(kist_str_get(&pull->manifest), pull->manifest.len, type, &pull->parsed,
			                        err);
		if (r < 0)
			return r;
		add_digest(pull);
		if (!pull->parsed.list)
			return 0;
		r = kist_manifest_choose(&pull->parsed, &pull->platform, &chosen, err);
		if (r < 0)
			return r;
		free(reference);
		reference = kist_asprintf("sha256:%s", chosen.digest);
	}
	return kist_fail(err, KIST_ERR_INVALID, 0, "indexes are nested too deeply");
}

static int check_platform(const struct pull *pull, const struct kist_image *image, struct kist_error *err)
{
	if (kist_image_is_for(image, &pull->platform))
		return 0;
	if (!pull->any_platform)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "the image is for %.20s/%.20s, not for %s/%s",
		                 image->os ? image->os : "linux", image->architecture, pull->platform.os,
		                 pull->platform.architecture);
	kist_debug("the image is for the architecture %s", image->architecture);
	return 0;
}

static int read_config(struct pull *pull, char ***diff_ids, int64_t *created, struct kist_error *err)
{
	KIST_JSON struct json_object *document = NULL;
	struct kist_image *image = kist_alloc(sizeof(*image));

	kist_registry_progress(pull->options, KIST_PROGRESS_CONFIG, pull->parsed.config.digest, 0,
	                       pull->parsed.config.size);
	int r = kist_blob_document(pull->registry, pull->path, &pull->parsed.config, &pull->config, err);
	if (r == 0)
		r = kist_json_parse(kist_str_get(&pull->config), pull->config.len, &document, err);
	if (r == 0)
		r = kist_image_document_read(document, image, diff_ids, err);
	if (r == 0)
		r = kist_image_document_check(image, *diff_ids, pull->parsed.n, err);
	if (r == 0) {
		image->document = json_object_get(document);
		r = check_platform(pull, image, err);
	}
	if (r == 0)
		*created = kist_image_document_created(document);
	kist_image_free(image);
	return r < 0 ? kist_context(err, "the image's configuration") : 0;
}

/* --- layers ----------------------------------------------------------------------------------------------------- */

static int fetch_layer(struct pull *pull, struct kist_overlay *store, struct kist_image_draft *draft,
                       const struct kist_descriptor *layer, const char *diff_id, struct kist_error *err)
{
	struct kist_blob blob = { .registry = pull->registry, .repository = pull->path, .what = *layer };
	char name[65];

	if (kist_overlay_has(store, diff_id)) {
		kist_registry_progress(pull->options, KIST_PROGRESS_SKIPPED, layer->digest, layer->size, layer->size);
		return 0;
	}
	kist_registry_progress(pull->options, KIST_PROGRESS_BLOB, layer->digest, 0, layer->size);
	draft->layer = true;
	int r = kist_overlay_import_from(
	        store,
	        &(struct kist_overlay_source){
	                .fd = -1, .read = kist_blob_read, .arg = &blob, .diff_id = diff_id, .blob_id = layer->digest },
	        name, NULL, err);
	if (r < 0)
		return kist_context(err, "blob sha256:%.12s", layer->digest);
	kist_registry_progress(pull->options, KIST_PROGRESS_DONE, layer->digest, layer->size, layer->size);
	return 0;
}

static int fetch_image(struct pull *pull, struct kist_image_draft *draft, char *const *diff_ids, int64_t created,
                       char *const *names, struct kist_error *err)
{
	struct kist_overlay *store = NULL;

	int r = kist_store_overlay(pull->k, &store, err);
	if (r == 0)
		r = kist_image_draft_make(pull->k, draft, err);
	draft->repo_digests = pull->repo_digests;
	for (size_t i = 0; r == 0 && i < pull->parsed.n; i++)
		r = fetch_layer(pull, store, draft, &pull->parsed.layers[i], diff_ids[pull->parsed.n - 1 - i], err);
	if (r < 0)
		return r;
	kist_registry_progress(pull->options, KIST_PROGRESS_MANIFEST, NULL, 0, 0);
	r = kist_image_draft_write(draft,
	                           &(struct kist_image_parts){ .config = kist_str_get(&pull->config),
	                                                       .config_len = pull->config.len,
	                                                       .manifest = kist_str_get(&pull->manifest),
	                                                       .manifest_len = pull->manifest.len,
	                                                       .docker = pull->parsed.docker,
	                                                       .layers = diff_ids,
	                                                       .created = created },
	                           err);
	return r < 0 ? r : kist_image_draft_publish(draft, names, err);
}

/* The same image under the same manifest needs no more than its names. Returns 1 when it is not there. */
static int take_present(struct pull *pull, char *const *names, struct kist_error *err)
{
	struct kist_image *image = NULL;
	char sum[65];

	KIST_CLOSE int lock = kist_images_lock(pull->k, err);
	if (lock < 0)
		return lock;
	if (kist_image_load(pull->k, pull->parsed.config.digest, NULL, &image, NULL) < 0)
		return 1;
	kist_sha256_hex(kist_str_get(&pull->manifest), pull->manifest.len, sum);
	kist_image_free(image);
	for (size_t i = 0; i < pull->parsed.n; i++)
		kist_registry_progress(pull->options, KIST_PROGRESS_SKIPPED, pull->parsed.layers[i].digest, 0, 0);
	int r = kist_image_add_digests(pull->k, pull->parsed.config.digest, pull->repo_digests, err);
	for (; r == 0 && names && *names; names++)
		r = kist_ref_set(pull->k, *names, pull->parsed.config.digest, err);
	return r;
}

/* One image: by tag, or by digest. */
static int pull_one(struct pull *pull, const char *tag, const char *digest, struct kist_error *err)
{
	struct kist_image_draft draft = { .dir = -1 };
	KIST_STRV char **diff_ids = NULL;
	KIST_STRV char **names = NULL;
	int64_t created = 0;

	if (tag)
		kist_strv_take(&names, kist_asprintf("%s:%s", pull->repository, tag));
	int r = fetch_manifest(pull, digest ? digest : tag, err);
	if (r == 0)
		r = read_config(pull, &diff_ids, &created, err);
	if (r == 0)
		r = take_present(pull, names, err);
	if (r > 0)
		r = fetch_image(pull, &draft, diff_ids, created, names, err);
	if (r < 0) {
		kist_image_draft_drop(&draft);
		return r;
	}
	kist_event_write(pull->k, &(struct kist_event){ .type = "image",
	                                                .status = "pull",
	                                                .id = pull->parsed.config.digest,
	                                                .name = names ? names[0] : pull->repo_digests[0] });
	memcpy(pull->id, pull->parsed.config.digest, sizeof(pull->id));
	return 0;
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static int pull_tags(struct pull *pull, char ***ids, struct kist_error *err)
{
	KIST_STRV char **tags = NULL;

	int r = kist_registry_tags(pull->registry, pull->path, &tags, err);
	if (r == 0 && !tags)
		return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "the repository has no tags");
	for (char **tag = tags; r == 0 && tag && *tag; tag++) {
		struct pull one = *pull;

		/* A tag becomes a name of ours, and part of a URL before that. */
		KIST_FREE char *name = kist_asprintf("a/b:%s", *tag);
		KIST_REFERENCE struct kist_reference reference = { 0 };
		if (kist_reference_parse(name, &reference, NULL) < 0 || reference.digest || !reference.tag)
			return kist_fail(err, KIST_ERR_INVALID, 0, "the registry has a tag that is none: '%.80s'",
			                 *tag);
		kist_registry_progress(pull->options, KIST_PROGRESS_TRY, *tag, 0, 0);
		r = pull_one(&one, *tag, NULL, err);
		if (r == 0)
			kist_strv_add(ids, one.id);
		else
			kist_context(err, "tag %s", *tag);
		pull_clear(&one);
	}
	return r;
}

static int pull_from(struct kist *k, const struct kist_image_pull *what, const struct kist_reference *reference,
                     const char *repository, char ***ids, struct kist_error *err)
{
	const char *slash = strchr(repository, '/');
	KIST_FREE char *domain = kist_strndup(repository, (size_t)(slash - repository));
	KIST_FREE char *scope = kist_asprintf("repository:%s:pull", slash + 1);
	KIST_FREE char *shown = NULL;
	const char *tag = reference->tag || reference->digest ? reference->tag : "latest";
	const struct kist_platform *wanted = &what->platform;
	struct pull pull = { .k = k,
		             .options = &what->registry,
		             .platform = what->platform,
		             .any_platform = !wanted->os && !wanted->architecture && !wanted->variant,
		             .domain = domain,
		             .path = slash + 1,
		             .repository = repository };

	shown = what->all_tags      ? kist_strdup(repository)
	        : reference->digest ? kist_asprintf("%s@%s", repository, reference->digest)
	                            : kist_asprintf("%s:%s", repository, tag);
	kist_registry_progress(pull.options, KIST_PROGRESS_TRY, shown, 0, 0);
	int r = kist_platform_complete(&pull.platform, err);
	if (r == 0)
		r = kist_registry_open(k, domain, pull.path, pull.options, &pull.registry, err);
	if (r == 0)
		r = kist_registry_authorize(pull.registry, scope, err);
	if (r == 0)
		r = what->all_tags ? pull_tags(&pull, ids, err) : pull_one(&pull, tag, reference->digest, err);
	if (r == 0 && !what->all_tags)
		kist_strv_add(ids, pull.id);
	kist_registry_close(pull.registry);
	pull_clear(&pull);
	return r < 0 ? kist_context(err, "pull %s", shown) : 0;
}

int kist_image_pull(struct kist *k, const struct kist_image_pull *what, char ***ids, struct kist_error *err)
{
	KIST_REFERENCE struct kist_reference reference = { 0 };
	KIST_STRV char **candidates = NULL;
	KIST_STRV char **got = NULL;
	const char *name = what->name;
	KIST_STR struct kist_str failures = { 0 };
	struct kist_error problem = { 0 };

	int r = kist_registry_transport(name, &name, err);
	if (r == 0)
		r = kist_reference_parse(name, &reference, err);
	if (r == 0 && what->all_tags && (reference.tag || reference.digest))
		r = kist_fail(err, KIST_ERR_INVALID, 0,
		              "'%s' has a tag or a digest: all tags are pulled of a name alone", name);
	if (r == 0)
		r = kist_images_open(k, true, err);
	if (r < 0)
		return r;
	candidates = kist_registry_candidates(k, &reference);
	r = -ENOENT;
	for (char **candidate = candidates; candidate && *candidate && r < 0; candidate++) {
		kist_error_clear(&problem);
		r = pull_from(k, what, &reference, *candidate, &got, &problem);
		if (r < 0)
			kist_str_addf(&failures, "%s%s", failures.len ? "; " : "", problem.text);
	}
	if (r < 0)
		return kist_fail(err, problem.kind, problem.errnum, "%.900s", kist_str_get(&failures));
	*ids = kist_steal(&got);
	return 0;
}

/* --- is there a newer one? -------------------------------------------------------------------------------------- */

bool kist_registry_is_newer(struct kist *k, const struct kist_image_pull *what, const struct kist_image *image)
{
	KIST_REFERENCE struct kist_reference reference = { 0 };
	struct kist_registry *registry = NULL;
	struct kist_error problem = { 0 };
	const char *full = image->names ? image->names[0] : NULL;
	bool newer = false;
	char digest[65];

	for (char **name = image->names; name && *name; name++) {
		char id[65];
		KIST_FREE char *matched = NULL;

		if (kist_image_find(k, what->name, id, &matched, NULL) == 0 && matched && kist_streq(matched, *name))
			full = *name;
	}
	if (!full || kist_reference_parse(full, &reference, NULL) < 0 || kist_streq(reference.domain, "localhost"))
		return false;
	KIST_FREE char *scope = kist_asprintf("repository:%s:pull", reference.path);
	int r = kist_registry_open(k, reference.domain, reference.path, &what->registry, &registry, &problem);
	if (r == 0)
		r = kist_registry_authorize(registry, scope, &problem);
	if (r == 0)
		r = kist_registry_manifest_digest(registry, reference.path, reference.tag, digest, &problem);
	if (r == 0) {
		KIST_FREE char *known = kist_asprintf("%s/%s@sha256:%s", reference.domain, reference.path, digest);
		KIST_STRV char **digests = kist_image_repo_digests(image);

		newer = !kist_strv_has(digests, known);
	} else {
		kist_debug("is there a newer image? %s", problem.text);
	}
	kist_registry_close(registry);
	return newer;
}
