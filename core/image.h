/* What the files of the image store share; nobody outside core/image*.c and core/reference.c needs it.
 *
 *   images/ID/config.json    the OCI image configuration; ID is its SHA-256, which makes it its own checksum
 *   images/ID/manifest.json  an OCI manifest for it
 *   images/ID/record         layers, size, times, what it was pulled by: key=value with a checksum line
 *   images/.lock             held while names move and while images come and go; never while a tar is unpacked
 *   images/.tmp-XXXX         an import at work (its maker holds a flock on the directory), or what a crash left
 *   images/.collect          there may be layers that nothing names: the next writer that is alone removes them
 *   refs/ESCAPED             link to ../images/ID, one for each name
 *
 * Readers take no lock: an image appears and vanishes by one rename, a name moves by one rename. */
#ifndef KIST_CORE_IMAGE_H
#define KIST_CORE_IMAGE_H

#include "core/internal.h"

/* --- references (reference.c) ---------------------------------------------------------------------------------------
 */

struct kist_reference {
	char *domain; /* NULL: none was given */
	char *path;
	char *tag;    /* NULL: none was given */
	char *digest; /* "sha256:...", NULL: none was given */
};
int kist_reference_parse(const char *text, struct kist_reference *out, struct kist_error *err);
void kist_reference_clear(struct kist_reference *reference);
#define KIST_REFERENCE __attribute__((cleanup(kist_reference_clear)))
/* The repositories that the reference may mean, best first: localhost/, then docker.io/. */
char **kist_reference_repositories(const struct kist_reference *reference);
/* Between a name and the file name of its link. unescape: NULL when it is not the escape of a name. */
char *kist_reference_escape(const char *name);
char *kist_reference_unescape(const char *file);
/* The repository of a full name: without tag. */
char *kist_reference_repository(const char *name);

/* --- documents (image_document.c, image_change.c) -------------------------------------------------------------------
 */

void kist_image_config_clear(struct kist_image_config *config);
/* One --change instruction. Errors name it. */
int kist_image_change(struct kist_image_config *config, const char *instruction, struct kist_error *err);
void kist_sha256_hex(const void *data, size_t len, char out[65]);
/* The OCI image configuration. diff_id NULL: a draft without layers, to see whether it can be written. */
struct json_object *kist_image_document(const struct kist_image_import *import, const struct kist_image_config *config,
                                        const char *diff_id, int64_t created);
/* The document of an image that has one more layer. */
struct kist_image_step {
	const struct kist_image_config *config;
	const char *diff_id, *author, *created_by, *message;
	int64_t created;
};
struct json_object *kist_image_document_derive(struct json_object *base, const struct kist_image_step *step);
/* Fills what the document says: architecture, os, author, comment, config. Checks the shape of rootfs; *diff_ids top
 * first. */
int kist_image_document_read(struct json_object *document, struct kist_image *image, char ***diff_ids,
                             struct kist_error *err);

/* --- the store (image_store.c) --------------------------------------------------------------------------------------
 */

bool kist_image_is_id(const char *text);
/* Opens images/ and refs/. Without write, -ENOENT with no error set where there is no image store yet. */
int kist_images_open(struct kist *k, bool write, struct kist_error *err);
/* A further store of images. Nothing is written to it, and nothing is locked: it may be on a partition that cannot be
 * written. */
struct kist_image_source {
	const char *path;
	int images, refs;
};
size_t kist_image_n_sources(const struct kist *k);
void kist_image_sources_close(struct kist *k);
/* Its directory, of the store itself or of a further one; a negative errno. */
int kist_image_open_dir(struct kist *k, const char *id);
bool kist_image_exists(struct kist *k, const char *id);
/* The further store that the image is in, if it is not in the store itself: KIST_ERR_STATE names it. */
int kist_image_check_owned(struct kist *k, const char *id, struct kist_error *err);
/* Takes images/.lock; returns the fd that holds it. */
int kist_images_lock(struct kist *k, struct kist_error *err);
/* Every directory of an image, sound or not. The caller frees. */
char **kist_images_ids(struct kist *k);

struct kist_ref {
	char *name;
	char id[65];
};
struct kist_refs {
	struct kist_ref *items; /* by id, then by name */
	size_t n;
};
#define KIST_REFS __attribute__((cleanup(kist_refs_clear)))
void kist_refs_read(struct kist *k, struct kist_refs *refs);
void kist_refs_read_own(struct kist *k, struct kist_refs *refs); /* without those of further stores */
void kist_refs_clear(struct kist_refs *refs);
char **kist_refs_of(const struct kist_refs *refs, const char *id); /* names; the caller frees */
int kist_ref_find(struct kist *k, const char *name, char id[65]);  /* by full name; -ENOENT */
/* Both need the lock, and sync. */
int kist_ref_set(struct kist *k, const char *name, const char *id, struct kist_error *err);
int kist_ref_unset(struct kist *k, const char *name, struct kist_error *err);

struct kist_image_record {
	char **layers; /* top first */
	int64_t created;
	uint64_t size;
	char *digest;
	char **repo_digests; /* REPOSITORY@DIGEST that it was pulled by */
};
extern const struct kist_table kist_image_record_table;

/* The full id that a user's word means; the image need not be sound. *name (may be NULL): the full name that it
 * matched, NULL when it was an id or had a digest; the caller frees. */
int kist_image_find(struct kist *k, const char *text, char id[65], char **name, struct kist_error *err);
/* With one of its names, where a name was meant; else as kist_image_open. */
int kist_image_open_meant(struct kist *k, const char *name, struct kist_image **out, struct kist_error *err);
/* By full id. */
int kist_image_load(struct kist *k, const char *id, const struct kist_refs *refs, struct kist_image **out,
                    struct kist_error *err);

/* --- an image that is being made (image_draft.c) --------------------------------------------------------------------
 */

struct kist_image_draft {
	struct kist *k;
	char name[sizeof(".tmp-") + 16]; /* below images/ */
	int dir;                         /* holds the flock that says 'at work'; -1: nothing to drop */
	bool layer;                      /* the layer store may have one that only we know of */
	char id[65];                     /* by the write */
	char *const *repo_digests;       /* borrowed: for the record, also when the image is there already */
};
int kist_image_draft_make(struct kist *k, struct kist_image_draft *draft, struct kist_error *err);
void kist_image_draft_drop(struct kist_image_draft *draft); /* of one that failed; fine on any that was initialised */

/* Media types of layers that are kept as a squashfs or erofs file: the type of the file system follows. */
#define KIST_IMAGE_PACKED_TYPE "application/vnd.kist.image.layer.v1."
#define KIST_IMAGE_LAYERS      128 /* what one overlay mount takes */
struct kist_image_parts {
	const char *config; /* the OCI image configuration, byte for byte */
	size_t config_len;
	const char *manifest; /* NULL: one is made for the layers as they are kept, uncompressed */
	size_t manifest_len;
	bool docker;         /* that one is of docker's media types */
	char *const *layers; /* top first; they are in the store */
	int64_t created;
};
int kist_image_draft_write(struct kist_image_draft *draft, const struct kist_image_parts *parts,
                           struct kist_error *err);
/* Adds to the record of an image that is there. Needs the lock. */
int kist_image_add_digests(struct kist *k, const char *id, char *const *repo_digests, struct kist_error *err);
/* All names are full ones. */
int kist_image_draft_publish(struct kist_image_draft *draft, char *const *names, struct kist_error *err);
struct kist_overlay;
int kist_image_manifest(struct kist_overlay *store, const char *id, uint64_t size, char *const *layers, bool docker,
                        struct json_object **out, struct kist_error *err);
/* How well a descriptor's platform fits this host, or the given platform; 0: not at all, 1: it names none.
 * (image_platform.c) */
int kist_image_platform_rank(struct json_object *descriptor);
int kist_image_platform_rank_for(struct json_object *descriptor, const struct kist_platform *platform);
/* kist_image_is_for of an image that is here already, by all that was given: the variant too. */
bool kist_image_is_meant(const struct kist_image *image, const struct kist_platform *given,
                         const struct kist_platform *complete);
/* What is said of the image, and what the store could not take. layers: how many the manifest names. (image_unpack.c)
 */
int kist_image_document_check(const struct kist_image *image, char *const *diff_ids, size_t layers,
                              struct kist_error *err);
int64_t kist_image_document_created(struct json_object *document);
/* The image of the list that the first n steps of this one make; NULL: none. (image_view.c) */
const struct kist_image *kist_image_of_steps(const struct kist_image *image, size_t steps,
                                             struct kist_image *const *list, size_t n);
/* What this host runs, in Go's words. *variant may be NULL. */
const char *kist_image_architecture(const char **variant);

/* --- what nothing uses (image_collect.c) ----------------------------------------------------------------------------
 */

/* Calls back with the configuration of every container. Returns how many could not be read. */
size_t kist_image_each_user(struct kist *k, void (*each)(void *arg, const struct kist_container_config *config),
                            void *arg);
/* Leaves the mark that layers may have lost their last user. Before the deed. */
int kist_images_mark(struct kist *k, struct kist_error *err);
/* With the lock: removes what crashes left, and, if the mark is there and no import is at work, the layers that
 * neither an image nor a container names. What cannot be decided (a damaged record) stays. */
int kist_images_tidy(struct kist *k, struct kist_error *err);

#endif
