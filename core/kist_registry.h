/* Registries. Part of kist.h, which has the conventions. */
#ifndef KIST_REGISTRIES_H
#define KIST_REGISTRIES_H

#include "core/base/error.h"
#include "core/base/spec.h"

struct kist;
struct kist_image;

/* What talks to registries, "libcurl/7.88.1"; NULL: this build, or this host, has no client. Without one the calls
 * below are KIST_ERR_UNSUPPORTED, but for logout and account. The caller frees. */
char *kist_registry_client(void);

struct kist_platform {
	const char *os, *architecture, *variant; /* as Go and OCI call them: linux, arm64, v8 */
};
void kist_platform_host(struct kist_platform *out);
/* Fills what is not given from the host, and takes other spellings ("aarch64"). */
int kist_platform_complete(struct kist_platform *platform, struct kist_error *err);
bool kist_image_is_for(const struct kist_image *image, const struct kist_platform *platform);

enum kist_progress_step {
	KIST_PROGRESS_TRY,      /* what: the name that is asked for */
	KIST_PROGRESS_BLOB,     /* what: its digest, 64 digits; done and total in bytes */
	KIST_PROGRESS_DONE,     /* the blob is there */
	KIST_PROGRESS_SKIPPED,  /* the blob was there already */
	KIST_PROGRESS_CONFIG,   /* what: the digest of the configuration */
	KIST_PROGRESS_MANIFEST, /* the last step */
};
struct kist_progress {
	enum kist_progress_step step;
	const char *what;
	uint64_t done, total;
};
struct kist_registry_options {
	const char *authfile;            /* NULL: containers-auth.json(5)'s places */
	const char *cert_dir;            /* NULL: /etc/containers/certs.d/HOST, /etc/docker/certs.d/HOST */
	const char *username, *password; /* NULL: the auth file's */
	struct kist_opt tls_verify;      /* unset: by the setting insecure_registries */
	struct kist_opt retries;         /* of what passes by itself; unset: 3 */
	int64_t retry_delay;             /* nanoseconds; 0: half a second, doubling */
	void (*progress)(void *arg, const struct kist_progress *progress); /* may be NULL */
	void *arg;
};
struct kist_image_pull {
	const char *name;              /* with or without registry, tag, digest */
	struct kist_platform platform; /* members NULL: the host's */
	bool all_tags;
	struct kist_registry_options registry;
};
/* Whole or not at all. Layers that are there are not fetched. *ids: of the images; the caller frees. */
int kist_image_pull(struct kist *k, const struct kist_image_pull *pull, char ***ids, struct kist_error *err);

enum kist_pull_policy { KIST_PULL_MISSING, KIST_PULL_ALWAYS, KIST_PULL_NEVER, KIST_PULL_NEWER };
/* As kist_image_open, after a pull where the policy wants one. Of an image that was asked for by a name, names may have
 * that one alone. */
int kist_image_get(struct kist *k, const struct kist_image_pull *pull, enum kist_pull_policy policy,
                   struct kist_image **out, struct kist_error *err);

struct kist_image_push {
	const char *image;
	const char *destination; /* NULL: the image's name */
	const char *format;      /* oci, v2s2; NULL: the image's own */
	const char *compression; /* gzip, zstd; NULL: gzip, or what the registry has */
	int compression_level;   /* 0: the default */
	bool force_compression;  /* not what the registry has of another compression */
	struct kist_registry_options registry;
};
/* Blobs that the registry has are not sent. digest: of the manifest, 64 digits. */
int kist_image_push(struct kist *k, const struct kist_image_push *push, char digest[65], struct kist_error *err);

/* Checks the account, then keeps it in the auth file. registry: HOST[:PORT][/REPOSITORY]. Without a username the one of
 * the auth file is checked. */
int kist_registry_login(struct kist *k, const char *registry, const struct kist_registry_options *options,
                        struct kist_error *err);
/* Forgets it; registry NULL: all. KIST_ERR_NOT_FOUND: there was none. */
int kist_registry_logout(const char *registry, const char *authfile, struct kist_error *err);
/* The name of the account; the caller frees. KIST_ERR_NOT_FOUND. */
int kist_registry_account(const char *registry, const char *authfile, char **name, struct kist_error *err);
/* What a user writes for a registry ("https://HOST/"), as HOST; NULL: the first of the setting 'registries'. The caller
 * frees. */
char *kist_registry_host(struct kist *k, const char *text);

#endif
