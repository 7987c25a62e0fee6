/* Images, and the store that they are in. Part of kist.h, which has the conventions. */
#ifndef KIST_IMAGES_H
#define KIST_IMAGES_H

#include "core/base/error.h"

struct json_object;
struct kist;
struct kist_container;

struct kist_image_config {
	char **env, **cmd, **entrypoint, **labels; /* labels "key=value" */
	char *workdir, *user, *stop_signal;
	char **exposed_ports, **volumes; /* "80/tcp"; paths */
	char **onbuild;                  /* instructions for who builds on it: kept for them */
	/* A check that a change sets, times in nanoseconds, 0 for the default. An image's own is in its document:
	 * kist_health_of_image. */
	char **health_test;
	int64_t health_interval, health_timeout, health_start_period;
	uint32_t health_retries;
};

struct kist_image {
	char *id;      /* SHA-256 of the OCI image configuration, 64 hexadecimal digits */
	char **names;  /* "localhost/busybox:latest" ... */
	char **layers; /* diff ids, top first */
	int64_t created;
	uint64_t size;       /* bytes of all layers */
	char *digest;        /* "sha256:..." of the manifest */
	char **repo_digests; /* REPOSITORY@DIGEST that it was pulled by */
	bool read_only;      /* it is in a further store, which is only read */
	char *architecture, *os, *author, *comment;
	struct kist_image_config config;
	struct json_object *document; /* the OCI image configuration itself */
};

void kist_image_free(struct kist_image *image);
/* Name (with the short-name rules: no registry means localhost/, then docker.io/library/), name:tag, id or unique
 * prefix of an id. */
int kist_image_open(struct kist *k, const char *name, struct kist_image **out, struct kist_error *err);
int kist_image_list(struct kist *k, struct kist_image ***out, size_t *n,
                    struct kist_error *err); /* newest first; the caller frees each and the array */

/* The one of the list that the image is one layer, or one step without a layer, away from: its parent. NULL: none. */
const struct kist_image *kist_image_parent(const struct kist_image *image, struct kist_image *const *list, size_t n);
void kist_image_list_free(struct kist_image **list, size_t n);

struct kist_image_import {
	int fd;               /* the tar stream: plain, gzip or zstd */
	const char *name;     /* reference to give it, NULL: none */
	const char *message;  /* comment */
	char *const *changes; /* "CMD=...", "ENTRYPOINT ...", ENV LABEL USER WORKDIR EXPOSE VOLUME STOPSIGNAL
	                       * HEALTHCHECK ONBUILD */
	const char *architecture, *os, *variant; /* NULL: the host's */
};
int kist_image_import(struct kist *k, const struct kist_image_import *import, char id[65], struct kist_error *err);
/* Images out of an archive: docker-archive, or an OCI layout in a tar or a directory; fd is of the file, the stream or
 * the directory. *loaded: their names, or "sha256:ID" of those without; the caller frees. All or nothing of each image.
 */
int kist_image_unpack(struct kist *k, int fd, char ***loaded, struct kist_error *err);

enum kist_image_format { KIST_IMAGE_DOCKER_ARCHIVE, KIST_IMAGE_OCI_ARCHIVE, KIST_IMAGE_OCI_DIR };
struct kist_image_save {
	char *const *images; /* names and ids */
	char *const *names;  /* further names of the one image in the archive; may be NULL */
	enum kist_image_format format;
	int fd; /* to write to; of an empty directory for OCI_DIR */
};
/* Images into an archive. Layers are written as the bytes that they came from and checked on the way: after a failure
 * what was written is of no use. */
int kist_image_save(struct kist *k, const struct kist_image_save *save, struct kist_error *err);

struct kist_commit {
	const char *name; /* NULL: none */
	const char *author, *message;
	char *const *changes; /* as for import */
	bool pause;           /* freeze a running container meanwhile */
	bool volumes;         /* the places of all its volumes and mounts are the image's; else of anonymous ones */
	bool docker;          /* manifest of docker's media types */
};
/* An image of the container's writable layer above the layers of its image. */
int kist_container_commit(struct kist_container *c, const struct kist_commit *commit, char id[65],
                          struct kist_error *err);
/* podman's history of an image, newest first: items with id and tags (of the image that ends in this step; "<missing>"
 * where there is none), created, CreatedBy, size (bytes), comment. */
int kist_image_history(struct kist *k, const char *image, struct json_object **out, struct kist_error *err);
/* Bytes of the image's layers, top first; the caller frees. */
int kist_image_sizes(struct kist *k, const struct kist_image *image, uint64_t **sizes, struct kist_error *err);
/* What a container changed in its image, and what an image's top layer changed in those below it (or what it changed in
 * another image: below not NULL): kind 'A' added, 'C' changed, 'D' deleted; parents first. A negative return ends it.
 */
typedef int (*kist_change_fn)(void *arg, char kind, const char *path);
int kist_container_changes(struct kist_container *c, kist_change_fn change, void *arg, struct kist_error *err);
int kist_image_changes(struct kist *k, const char *image, const char *below, kist_change_fn change, void *arg,
                       struct kist_error *err);
/* What the store takes: an object of arrays Images, Containers, Volumes with the fields of 'podman system df -v', sizes
 * in bytes; LayersSize: every layer once, and LayersReclaimable: those that no container has. */
int kist_disk_usage(struct kist *k, struct json_object **out, struct kist_error *err);
/* Compares all images and layers with their digests and calls back for each problem. With repair, what is damaged is
 * set aside as .bad-NAME in its directory, so that it can be loaded anew. Returns how many problems there are. */
int kist_store_check(struct kist *k, bool repair, void (*problem)(void *arg, const char *text), void *arg,
                     struct kist_error *err);
/* Removes every object and then kist's files in the two directories: the store as before its first use. */
int kist_store_reset(struct kist *k, struct kist_error *err);
/* Its files on the host, read-only, until as many calls have taken them off again, or a boot has. *path: the caller
 * frees. id: of the image. */
int kist_image_mount(struct kist *k, const char *image, char id[65], char **path, struct kist_error *err);
/* 1 when it is off the host or was mounted once more than now, 0 when it was not mounted. */
int kist_image_unmount(struct kist *k, const char *image, bool force, char id[65], struct kist_error *err);
char *kist_image_mountpoint(struct kist *k, const char *id); /* by full id; NULL: not on the host. The caller frees */
int kist_image_tag(struct kist *k, const char *image, const char *name, struct kist_error *err);
int kist_image_untag(struct kist *k, const char *image, const char *name, struct kist_error *err); /* NULL name: all */
enum kist_image_remove_flags {
	KIST_IMAGE_FORCE = 1,     /* with all names, and with the containers that use it */
	KIST_IMAGE_ALL_NAMES = 2, /* given an id: with all names */
};
/* Removes a name, and with the last name the image and the layers that nothing else has. KIST_ERR_IN_USE names the
 * containers that use it. An id of an image with several names is KIST_ERR_STATE without a flag. A damaged image can be
 * removed. *removed gets "Untagged: NAME" and "Deleted: ID" lines; the caller frees. */
int kist_image_remove(struct kist *k, const char *image, unsigned flags, char ***removed, struct kist_error *err);
/* REPOSITORY@DIGEST: what it was pulled by, and its manifest's for each name. The caller frees. */
char **kist_image_repo_digests(const struct kist_image *image);
int kist_image_inspect(struct kist *k, const char *image, struct json_object **out, struct kist_error *err);
/* "busybox" -> "localhost/busybox:latest"; checks the reference grammar. The caller frees. */
int kist_image_reference(const char *name, char **out, struct kist_error *err);

#endif
