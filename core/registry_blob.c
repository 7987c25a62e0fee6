/* Blobs, manifests and tags of one repository. */
#include "core/registry.h"

#include "core/base/log.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TAG_PAGES 100
#define MAX_TAGS      10000
#define TAGS_BYTES    (4u << 20)

#define ACCEPT                                                                                                         \
	"Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "                \
	"application/vnd.docker.distribution.manifest.v2+json, "                                                       \
	"application/vnd.docker.distribution.manifest.list.v2+json, "                                                  \
	"application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5"

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* "bytes 100-199/200" */
static bool range_begins(const char *head, uint64_t at)
{
	KIST_FREE char *value = kist_http_header(head, "Content-Range", 0);
	KIST_FREE char *want = kist_asprintf("bytes %llu-", (unsigned long long)at);

	return value && kist_has_prefix(value, want);
}

/* From blob->at on. A registry that does not know ranges sends the whole again. */
static int blob_open(struct kist_blob *blob, struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };
	KIST_FREE char *path = kist_asprintf("%s/blobs/sha256:%s", blob->repository, blob->what.digest);
	KIST_STRV char **headers = NULL;

	if (blob->at > 0)
		kist_strv_take(&headers, kist_asprintf("Range: bytes=%llu-", (unsigned long long)blob->at));
	int r = kist_registry_request(
	        blob->registry,
	        &(struct kist_registry_request){ .method = "GET", .path = path, .headers = headers, .fd = -1 },
	        &response, err);
	if (r < 0)
		return r;
	blob->skip = response.status == 200 ? blob->at : 0;
	if (response.status != 200 && (response.status != 206 || !range_begins(response.head, blob->at)))
		return kist_registry_refused(blob->registry, &response, err);
	blob->open = true;
	return 0;
}

static ssize_t read_some(struct kist_blob *blob, void *data, size_t n, struct kist_error *err)
{
	int r = blob->open ? 0 : blob_open(blob, err);

	if (r < 0)
		return r;
	for (;;) {
		ssize_t got = kist_http_read(blob->registry->http, data, n, err);

		if (got <= 0)
			return got;
		if (blob->skip == 0)
			return got;
		if ((uint64_t)got > blob->skip) {
			size_t kept = (size_t)((uint64_t)got - blob->skip);

			memmove(data, (char *)data + blob->skip, kept);
			blob->skip = 0;
			return (ssize_t)kept;
		}
		blob->skip -= (uint64_t)got;
	}
}

/* Tries are counted anew once there is progress: a long download over a bad line gets to its end. */
ssize_t kist_blob_read(void *arg, void *data, size_t n, struct kist_error *err)
{
	struct kist_blob *blob = arg;

	for (;;) {
		struct kist_error problem = { 0 };
		ssize_t got = read_some(blob, data, n, &problem);

		if (got > 0) {
			blob->tries = 0;
			blob->at += (uint64_t)got;
			if (blob->at > blob->what.size)
				return kist_fail(err, KIST_ERR_INVALID, EFBIG,
				                 "blob sha256:%.12s has more than its %llu bytes", blob->what.digest,
				                 (unsigned long long)blob->what.size);
			if (!blob->document)
				kist_registry_progress(blob->registry->options, KIST_PROGRESS_BLOB, blob->what.digest,
				                       blob->at, blob->what.size);
			return got;
		}
		if (got == 0 && blob->at == blob->what.size)
			return 0;
		bool again = got == 0 || got == -EAGAIN;
		if (got == 0)
			kist_fail(&problem, KIST_ERR_SYSTEM, EIO, "blob sha256:%.12s ended after %llu of %llu bytes",
			          blob->what.digest, (unsigned long long)blob->at, (unsigned long long)blob->what.size);
		blob->open = false;
		kist_debug("%s", problem.text);
		if (again && kist_registry_wait(blob->registry->options, ++blob->tries))
			continue;
		if (err)
			*err = problem;
		return got == 0 ? -EIO : got;
	}
}

int kist_blob_document(struct kist_registry *registry, const char *repository, const struct kist_descriptor *what,
                       struct kist_str *out, struct kist_error *err)
{
	struct kist_blob blob = { .registry = registry, .repository = repository, .what = *what, .document = true };
	char buffer[16384], sum[65];

	if (what->size > KIST_REGISTRY_DOCUMENT)
		return kist_fail(err, KIST_ERR_INVALID, EFBIG, "blob sha256:%.12s is too large for a document",
		                 what->digest);
	for (;;) {
		ssize_t n = kist_blob_read(&blob, buffer, sizeof(buffer), err);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		kist_str_addn(out, buffer, (size_t)n);
	}
	kist_sha256_hex(kist_str_get(out), out->len, sum);
	if (!kist_streq(sum, what->digest))
		return kist_fail(err, KIST_ERR_INVALID, 0, "the digest of the blob is sha256:%.12s, not sha256:%.12s",
		                 sum, what->digest);
	return 0;
}

/* --- manifests -------------------------------------------------------------------------------------------------- */

static int check_digest(const char *wanted, const struct kist_str *text, struct kist_error *err)
{
	char sum[65];

	if (!wanted || !kist_has_prefix(wanted, "sha256:"))
		return 0;
	kist_sha256_hex(kist_str_get(text), text->len, sum);
	if (kist_streq(wanted + strlen("sha256:"), sum))
		return 0;
	return kist_fail(err, KIST_ERR_INVALID, 0, "the digest of the manifest is sha256:%.12s, not %.19s", sum,
	                 wanted);
}

static int ask_manifest(struct kist_registry *registry, const char *method, const char *repository,
                        const char *reference, struct kist_http_response *response, struct kist_error *err)
{
	char *const headers[] = { (char *)ACCEPT, NULL };
	KIST_FREE char *path = kist_asprintf("%s/manifests/%s", repository, reference);

	int r = kist_registry_request(
	        registry,
	        &(struct kist_registry_request){ .method = method, .path = path, .headers = headers, .fd = -1 },
	        response, err);
	if (r < 0)
		return r;
	return response->status == 200 ? 0 : kist_registry_refused(registry, response, err);
}

int kist_registry_manifest(struct kist_registry *registry, const char *repository, const char *reference,
                           struct kist_str *out, char **type, struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };

	int r = ask_manifest(registry, "GET", repository, reference, &response, err);
	if (r == 0)
		r = kist_registry_body(registry, KIST_REGISTRY_DOCUMENT, out, err);
	if (r < 0)
		return r;
	KIST_FREE char *said = kist_http_header(response.head, "Docker-Content-Digest", 0);
	r = check_digest(reference, out, err);
	if (r == 0)
		r = check_digest(said, out, err);
	if (r == 0)
		*type = kist_http_header(response.head, "Content-Type", 0);
	return r;
}

int kist_registry_manifest_digest(struct kist_registry *registry, const char *repository, const char *reference,
                                  char digest[65], struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };

	int r = ask_manifest(registry, "HEAD", repository, reference, &response, err);
	if (r < 0)
		return r;
	KIST_FREE char *value = kist_http_header(response.head, "Docker-Content-Digest", 0);
	if (!value || !kist_has_prefix(value, "sha256:") || !kist_image_is_id(value + strlen("sha256:")))
		return kist_fail(err, KIST_ERR_INVALID, EIO, "the registry %s does not tell the digest",
		                 registry->host);
	memcpy(digest, value + strlen("sha256:"), 65);
	return 0;
}

/* --- tags ------------------------------------------------------------------------------------------------------- */

static int take_tags(struct kist_registry *registry, char ***tags, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	struct json_object *list = NULL;

	int r = kist_registry_body(registry, TAGS_BYTES, &text, err);
	if (r == 0)
		r = kist_json_parse(kist_str_get(&text), text.len, &json, err);
	if (r < 0)
		return kist_context(err, "the list of tags");
	if (!json_object_object_get_ex(json, "tags", &list) || !json_object_is_type(list, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (kist_strv_len(*tags) >= MAX_TAGS)
			return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the repository has more than %u tags",
			                 MAX_TAGS);
		if (json_object_is_type(item, json_type_string))
			kist_strv_add(tags, json_object_get_string(item));
	}
	return 0;
}

/* Link: </v2/NAME/tags/list?n=..&last=..>; rel="next" (distribution-spec, "Listing Tags"). Only to the same host. */
static char *next_page(struct kist_registry *registry, const char *head)
{
	KIST_FREE char *value = kist_http_header(head, "Link", 0);
	const char *end = value && value[0] == '<' ? strchr(value, '>') : NULL;

	if (!end || !strstr(end, "next"))
		return NULL;
	KIST_FREE char *target = kist_strndup(value + 1, (size_t)(end - value - 1));
	if (target[0] == '/' && target[1] != '/')
		return kist_asprintf("%s%s", registry->base, target);
	return kist_url_same_origin(target, registry->base) ? kist_steal(&target) : NULL;
}

int kist_registry_tags(struct kist_registry *registry, const char *repository, char ***tags, struct kist_error *err)
{
	KIST_FREE char *url = kist_asprintf("%s/v2/%s/tags/list", registry->base, repository);
	KIST_STRV char **found = NULL;

	for (unsigned i = 0; url && i < MAX_TAG_PAGES; i++) {
		KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };
		int r = kist_registry_request(registry,
		                              &(struct kist_registry_request){ .method = "GET", .url = url, .fd = -1 },
		                              &response, err);

		if (r == 0 && response.status != 200)
			r = kist_registry_refused(registry, &response, err);
		if (r == 0)
			r = take_tags(registry, &found, err);
		if (r < 0)
			return r;
		free(url);
		url = next_page(registry, response.head);
	}
	*tags = kist_steal(&found);
	return 0;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

int kist_blob_exists(struct kist_registry *registry, const char *repository, const char *digest, struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };
	KIST_FREE char *path = kist_asprintf("%s/blobs/sha256:%s", repository, digest);

	int r = kist_registry_request(
	        registry, &(struct kist_registry_request){ .method = "HEAD", .path = path, .fd = -1 }, &response, err);
	if (r < 0)
		return r;
	if (response.status == 200)
		return 1;
	return response.status == 404 ? 0 : kist_registry_refused(registry, &response, err);
}

/* Where an upload goes on: absolute or from the host's root; with a query or without. */
static int upload_url(struct kist_registry *registry, const char *head, char **out, struct kist_error *err)
{
	KIST_FREE char *location = kist_http_header(head, "Location", 0);

	if (location && location[0] == '/' && location[1] != '/') {
		*out = kist_asprintf("%s%s", registry->base, location);
		return 0;
	}
	if (!location || (!kist_has_prefix(location, "https://") && !kist_has_prefix(location, "http://")))
		return kist_fail(err, KIST_ERR_INVALID, EIO, "the registry %s names no place for an upload",
		                 registry->host);
	if (kist_has_prefix(location, "http://") && kist_has_prefix(registry->base, "https://") && !registry->insecure)
		return kist_fail(err, KIST_ERR_INVALID, EIO, "the registry %s wants an upload without encryption",
		                 registry->host);
	*out = kist_steal(&location);
	return 0;
}

int kist_blob_mount(struct kist_registry *registry, const char *repository, const char *from, const char *digest,
                    struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };
	KIST_HTTP_RESPONSE struct kist_http_response dropped = { 0 };
	KIST_FREE char *source = kist_url_escape(from), *url = NULL;
	KIST_FREE char *path =
	        kist_asprintf("%s/blobs/uploads/?mount=sha256%%3A%s&from=%s", repository, digest, source);

	int r = kist_registry_request(
	        registry, &(struct kist_registry_request){ .method = "POST", .path = path, .fd = -1 }, &response, err);
	if (r < 0)
		return r;
	if (response.status == 201)
		return 1;
	/* It began an upload instead: given up, or it would stay there for days. */
	if (response.status == 202 && upload_url(registry, response.head, &url, NULL) == 0)
		kist_registry_request(registry,
		                      &(struct kist_registry_request){ .method = "DELETE", .url = url, .fd = -1 },
		                      &dropped, NULL);
	return 0;
}

struct sending {
	struct kist_registry *registry;
	const struct kist_blob_upload *upload;
};

static void on_sent(void *arg, uint64_t bytes)
{
	const struct sending *sending = arg;

	kist_registry_progress(sending->registry->options, KIST_PROGRESS_BLOB, sending->upload->digest, bytes,
	                       sending->upload->length);
}

static int upload_once(struct kist_registry *registry, const struct kist_blob_upload *upload, struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response begun = { 0 };
	KIST_HTTP_RESPONSE struct kist_http_response done = { 0 };
	KIST_FREE char *path = kist_asprintf("%s/blobs/uploads/", upload->repository), *url = NULL;
	struct sending sending = { registry, upload };

	int r = kist_registry_request(
	        registry, &(struct kist_registry_request){ .method = "POST", .path = path, .fd = -1 }, &begun, err);
	if (r == 0 && begun.status != 202)
		r = kist_registry_refused(registry, &begun, err);
	if (r == 0)
		r = upload_url(registry, begun.head, &url, err);
	if (r < 0)
		return r;
	KIST_FREE char *whole =
	        kist_asprintf("%s%sdigest=sha256%%3A%s", url, strchr(url, '?') ? "&" : "?", upload->digest);
	r = kist_registry_request(registry,
	                          &(struct kist_registry_request){ .method = "PUT",
	                                                           .url = whole,
	                                                           .type = "application/octet-stream",
	                                                           .text = upload->text,
	                                                           .fd = upload->fd,
	                                                           .file = !upload->text,
	                                                           .once = true,
	                                                           .length = upload->length,
	                                                           .sent = upload->text ? NULL : on_sent,
	                                                           .arg = &sending },
	                          &done, err);
	if (r < 0)
		return r;
	return done.status == 201 ? 0 : kist_registry_refused(registry, &done, err);
}

/* An upload that broke off may be there in part: the next one has a place of its own. */
int kist_blob_upload(struct kist_registry *registry, const struct kist_blob_upload *upload, struct kist_error *err)
{
	for (unsigned n = 1;; n++) {
		struct kist_error problem = { 0 };
		int r = upload_once(registry, upload, &problem);

		if (r == 0)
			return 0;
		if (problem.kind == KIST_ERR_SYSTEM && (r == -EIO || r == -EAGAIN) &&
		    kist_registry_wait(registry->options, n))
			continue;
		if (err)
			*err = problem;
		return r;
	}
}
