/* The registry client: what core/registry*.c share.
 *
 * The distribution API version 2 (opencontainers/distribution-spec, and docker's token authentication) over libcurl.
 * What a registry says is not believed: documents are bounded, every blob and manifest is hashed against the digest it
 * was asked for by, and a password or token goes to the host it is meant for and to no other. In builds without libcurl
 * only the parsers and the accounts' files are there; kist_registry_built() is then false at compile time. */
#ifndef KIST_CORE_REGISTRY_H
#define KIST_CORE_REGISTRY_H

#include "core/base/str.h"
#include "core/image.h"

static inline bool kist_registry_built(void)
{
#ifdef KIST_CURL
	return true;
#else
	return false;
#endif
}
int kist_registry_fail_built(struct kist_error *err); /* "this build has no registry client" */

/* --- challenges (registry_challenge.c) ------------------------------------------------------------------------------
 */

/* What WWW-Authenticate asks for (RFC 9110, 11.6.1; docker's token authentication). */
struct kist_challenge {
	bool basic, bearer;
	char *realm, *service; /* of bearer */
};
void kist_challenge_clear(struct kist_challenge *challenge);
/* Adds what one header's value has. Schemes that are not known are skipped. -EINVAL: it is not by the grammar; what
 * came before stays. */
int kist_challenge_parse(const char *value, struct kist_challenge *challenge);

/* --- accounts (registry_auth.c) -------------------------------------------------------------------------------------
 */

struct kist_credentials {
	char *username, *password;
	char *identity_token; /* in place of both */
};
void kist_credentials_clear(struct kist_credentials *credentials);
#define KIST_CREDENTIALS __attribute__((cleanup(kist_credentials_clear)))
/* What containers-auth.json(5) has for the repository, or else its registry. authfile NULL: the usual places. Returns 1
 * when there is none. */
int kist_auth_find(const char *authfile, const char *registry, const char *repository, struct kist_credentials *out,
                   struct kist_error *err);
int kist_auth_store(const char *authfile, const char *registry, const struct kist_credentials *credentials,
                    struct kist_error *err);
/* registry NULL: all. Returns 1 when there was nothing. */
int kist_auth_remove(const char *authfile, const char *registry, struct kist_error *err);
char *kist_base64(const char *text); /* the caller frees */

/* --- manifests (registry_manifest.c) --------------------------------------------------------------------------------
 */

struct kist_descriptor {
	const char *media_type; /* of the document */
	char digest[65];        /* hexadecimal */
	uint64_t size;
};
struct kist_manifest {
	struct json_object *json;
	bool docker;                            /* of docker's media types */
	struct json_object *list;               /* of an index: its manifests; the rest is then empty */
	struct kist_descriptor config, *layers; /* bottom first */
	size_t n;
};
#define KIST_MANIFEST __attribute__((cleanup(kist_manifest_clear)))
void kist_manifest_clear(struct kist_manifest *manifest);
/* Takes what this engine can run: OCI's manifests and indexes, docker's schema 2. All else is refused by name. type: as
 * the registry calls it, may be NULL. */
int kist_manifest_parse(const char *text, size_t len, const char *type, struct kist_manifest *out,
                        struct kist_error *err);
int kist_descriptor_parse(struct json_object *json, struct kist_descriptor *out, struct kist_error *err);
/* The one for the platform, of at most the default's rank. KIST_ERR_UNSUPPORTED names what there is. */
int kist_manifest_choose(const struct kist_manifest *index, const struct kist_platform *platform,
                         struct kist_descriptor *out, struct kist_error *err);

/* --- HTTP (registry_http.c) -----------------------------------------------------------------------------------------
 */

struct kist_http;
struct kist_http_request {
	const char *method, *url;
	char *const *headers; /* "Name: value" */
	const char *cert_dir; /* CA and client certificates for this host; NULL: the system's */
	bool insecure;        /* the server's certificate is not checked */
	const char *text;     /* the body; NULL: none or a file */
	int fd;               /* the body with file: its first length bytes */
	bool file;
	uint64_t length;
	void (*sent)(void *arg, uint64_t bytes); /* may be NULL */
	void *arg;
};
struct kist_http_response {
	long status;
	char *head;     /* the header lines */
	char *redirect; /* absolute, of a 3xx */
};
void kist_http_response_clear(struct kist_http_response *response);
#define KIST_HTTP_RESPONSE __attribute__((cleanup(kist_http_response_clear)))
int kist_http_open(struct kist_http **out, struct kist_error *err);
void kist_http_close(struct kist_http *http); /* NULL is fine */
/* Until the response's header is there. One transfer at a time: the next begin ends the last. A failure that may pass
 * is -EAGAIN; a server that does not speak TLS or whose certificate is not trusted is -EPROTO; all others -EIO. */
int kist_http_begin(struct kist_http *http, const struct kist_http_request *request,
                    struct kist_http_response *response, struct kist_error *err);
/* The body: at least one byte, 0 at its end. -EAGAIN: the connection broke. */
ssize_t kist_http_read(struct kist_http *http, void *data, size_t n, struct kist_error *err);
void kist_http_end(struct kist_http *http);
/* "libcurl/7.88.1"; NULL: the library is not there. The caller frees. */
char *kist_http_library(void);
/* A header's value, of the n-th of that name; the caller frees. NULL: none. */
char *kist_http_header(const char *head, const char *name, unsigned n);
/* Scheme, host and port: whether credentials for one may go to the other. */
bool kist_url_same_origin(const char *a, const char *b);
char *kist_url_escape(const char *text); /* for a query; the caller frees */

/* --- one registry (registry_client.c) -------------------------------------------------------------------------------
 */

#define KIST_REGISTRY_DOCUMENT KIST_RECORD_MAX /* bytes of a manifest or a configuration */

struct kist_registry {
	struct kist *k;
	const struct kist_registry_options *options;
	struct kist_http *http;
	char *host; /* as names have it: docker.io */
	char *base; /* https://registry-1.docker.io */
	bool insecure;
	char *cert_dir; /* NULL: none */
	struct kist_challenge challenge;
	struct kist_credentials credentials;
	bool has_credentials;
	char *scope;         /* of the token; NULL: none */
	char *authorization; /* "Authorization: ..."; NULL: none */
};
/* Finds out how it is spoken to. credentials NULL: those of the auth files for the repository (may be NULL). */
int kist_registry_open(struct kist *k, const char *host, const char *repository,
                       const struct kist_registry_options *options, struct kist_registry **out, struct kist_error *err);
void kist_registry_close(struct kist_registry *registry); /* NULL is fine */
/* What may be done from here on: "repository:NAME:pull". Gets a token when the registry wants one. */
int kist_registry_authorize(struct kist_registry *registry, const char *scope, struct kist_error *err);
struct kist_registry_request {
	const char *method;
	const char *path; /* below /v2/; or with url set, that */
	const char *url;
	char *const *headers; /* further ones */
	const char *text, *type;
	int fd;
	bool file;
	bool once; /* without retries */
	uint64_t length;
	void (*sent)(void *arg, uint64_t bytes);
	void *arg;
};
/* With retries, tokens renewed and redirects followed; any status is a success. The body is read by kist_http_read. */
int kist_registry_request(struct kist_registry *registry, const struct kist_registry_request *request,
                          struct kist_http_response *response, struct kist_error *err);
/* The whole body, of at most max bytes. */
int kist_registry_body(struct kist_registry *registry, size_t max, struct kist_str *out, struct kist_error *err);
/* An error for a status that was not hoped for, with what the body says. */
int kist_registry_refused(struct kist_registry *registry, const struct kist_http_response *response,
                          struct kist_error *err);
/* Before try number n (from 1); false: no more are to be made. */
bool kist_registry_wait(const struct kist_registry_options *options, unsigned n);
int kist_registry_check_login(struct kist_registry *registry, struct kist_error *err);

/* --- blobs (registry_blob.c) ----------------------------------------------------------------------------------------
 */

/* Read from its beginning to its end; goes on where a broken connection left it. */
struct kist_blob {
	struct kist_registry *registry;
	const char *repository;
	struct kist_descriptor what;
	uint64_t at;
	uint64_t skip; /* bytes that a registry without ranges sends again */
	unsigned tries;
	bool open;
	bool document; /* read without telling of progress */
};
ssize_t kist_blob_read(void *blob, void *data, size_t n, struct kist_error *err);
/* The whole of a small one, checked. */
int kist_blob_document(struct kist_registry *registry, const char *repository, const struct kist_descriptor *what,
                       struct kist_str *out, struct kist_error *err);
/* Manifest by tag or "sha256:..."; *type: as the registry calls it. The caller frees. */
int kist_registry_manifest(struct kist_registry *registry, const char *repository, const char *reference,
                           struct kist_str *out, char **type, struct kist_error *err);
/* Its digest alone, by HEAD. */
int kist_registry_manifest_digest(struct kist_registry *registry, const char *repository, const char *reference,
                                  char digest[65], struct kist_error *err);
int kist_registry_tags(struct kist_registry *registry, const char *repository, char ***tags, struct kist_error *err);
/* 1: it is there, 0: it is not. */
int kist_blob_exists(struct kist_registry *registry, const char *repository, const char *digest,
                     struct kist_error *err);
/* 1: it is there now, by that other repository's; 0: no. */
int kist_blob_mount(struct kist_registry *registry, const char *repository, const char *from, const char *digest,
                    struct kist_error *err);
struct kist_blob_upload {
	const char *repository, *digest;
	const char *text; /* NULL: fd */
	int fd;
	uint64_t length;
};
int kist_blob_upload(struct kist_registry *registry, const struct kist_blob_upload *upload, struct kist_error *err);

void kist_registry_progress(const struct kist_registry_options *options, enum kist_progress_step step, const char *what,
                            uint64_t done, uint64_t total);

/* Whether the registry has another manifest under the image's name. What cannot be found out is no reason to fail.
 * (registry_pull.c) */
bool kist_registry_is_newer(struct kist *k, const struct kist_image_pull *pull, const struct kist_image *image);

/* --- names (registry_names.c) ---------------------------------------------------------------------------------------
 */

/* The repositories that a name without registry may mean in registries, best first; a full name's own. The caller
 * frees. */
char **kist_registry_candidates(struct kist *k, const struct kist_reference *reference);
/* "docker://NAME" -> NAME; other transports are refused by name. */
int kist_registry_transport(const char *text, const char **name, struct kist_error *err);

/* --- compressing a layer (registry_compress.c) ----------------------------------------------------------------------
 */

struct kist_compressed {
	char digest[65];
	uint64_t size;
};
/* The layer's stream, compressed, into the file. level 0: the default. */
int kist_layer_compress(struct kist_overlay *store, const char *layer, bool zstd, int level, int to,
                        struct kist_compressed *out, struct kist_error *err);

#endif
