/* Layers, overlay mounts and tar streams.
 *
 * The store is one directory ("overlay/" of --root):
 *   LAYER/diff/       the files of the layer, whiteouts as 0:0 character devices, opaque directories by
 *                     trusted.overlay.opaque; empty where there is LAYER/image
 *   LAYER/image       the layer as a squashfs or erofs file system, mounted as it is
 *   LAYER/link        the layer's short name
 *   LAYER/committed   present once the layer is whole: written after one syncfs
 *   l/SHORT           link to ../LAYER/diff, so that many lower names fit one mount call
 * A layer without its mark does not exist: it is swept, under the store's lock, when it is next opened for writing.
 * Further stores may be added that are only read: nothing is written to them, and no lock is taken in them. */
#ifndef KIST_OVERLAY_H
#define KIST_OVERLAY_H

#include "core/base/base.h"

struct kist_error;

/* --- tar -----------------------------------------------------------------------------------------------------------
 */

struct kist_tar_limits {
	uint64_t entries;   /* 0: the default of 10,000,000 */
	uint64_t bytes;     /* unpacked; 0: the default of 1 TiB */
	size_t name_length; /* 0: the default of PATH_MAX */
};

enum kist_tar_flags {
	KIST_TAR_WHITEOUTS = 1, /* .wh.NAME and .wh..wh..opq become overlay whiteouts; else they are plain names */
	KIST_TAR_NO_OWNER = 2,  /* keep the caller's owner */
	KIST_TAR_OWNER = 4,     /* everything gets the owner that kist_tar_unpack names */
	/* No directory takes the place of something else, and nothing else that of a directory; nothing that of a
	 * device, a FIFO or a socket. Devices and FIFOs that are the same as those in the archive stay. */
	KIST_TAR_KEEP_KIND = 8,
	KIST_TAR_NO_DEVICES = 16, /* character and block devices are left out */
};

struct kist_tar_result {
	uint64_t entries;
	uint64_t bytes;          /* of file contents */
	uint64_t length;         /* of the uncompressed stream */
	char diff_id[65];        /* SHA-256 of the uncompressed stream, hexadecimal */
	char blob_id[65];        /* of the stream as it came */
	const char *compression; /* "none" "gzip" "zstd" */
};

/* Unpacks the stream from fd into the directory, every name resolved in-root by openat2. gzip and zstd are recognised
 * by their first bytes. Errors name the entry: "entry 'a/b': ...". The whole stream is read to its end. */
int kist_tar_extract(int from, int dir, unsigned flags, const struct kist_tar_limits *limits,
                     struct kist_tar_result *result, struct kist_error *err);

/* The same with more to say. */
struct kist_tar_unpack {
	unsigned flags;
	uint32_t uid, gid;  /* with KIST_TAR_OWNER */
	const char *rename; /* takes the place of the first component of every name, so that nothing else is made in the
	                     * directory; NULL: names are as they are */
	const struct kist_tar_limits *limits;
};
int kist_tar_unpack(int from, int dir, const struct kist_tar_unpack *how, struct kist_tar_result *result,
                    struct kist_error *err);

/* --- store ---------------------------------------------------------------------------------------------------------
 */

struct kist_overlay; /* an open store */

int kist_overlay_open(int root_dir, struct kist_overlay **out,
                      struct kist_error *err); /* root_dir: fd of --root; makes overlay/ */
void kist_overlay_close(struct kist_overlay *store);
/* Layers are looked for in that directory's overlay/ too, after all others. A directory without one is as good as
 * empty. */
int kist_overlay_add(struct kist_overlay *store, int root_dir, struct kist_error *err);
/* Whether it is in the store itself, and not only in one that is read. */
bool kist_overlay_owns(struct kist_overlay *store, const char *layer);

/* A new layer from a tar stream: temporary, unpacked, syncfs, mark, named by content: LAYER is the diff id, so
 * that the same content is stored once (an existing one is kept and reported). layer: room for 65. */
int kist_overlay_import(struct kist_overlay *store, int from, char layer[65], struct kist_tar_result *result,
                        struct kist_error *err);
/* The same from a part of a file or from a function, with what the archive says that it is: it is checked before the
 * layer is there. */
struct kist_overlay_source {
	int fd;
	bool packed; /* a squashfs or erofs file system, which is kept and mounted as it is; LAYER is its SHA-256 */
	bool part;   /* only these bytes; the fd's own offset is not used */
	uint64_t offset, length;
	const char *diff_id; /* of the uncompressed stream, NULL: not known */
	const char *blob_id; /* of the stream as it comes, NULL: not known */
	/* Not NULL: gives the stream in place of fd; at least one of at most n bytes, 0 at the end, a negative errno
	 * with err set. */
	ssize_t (*read)(void *arg, void *data, size_t n, struct kist_error *err);
	void *arg;
};
int kist_overlay_import_from(struct kist_overlay *store, const struct kist_overlay_source *from, char layer[65],
                             struct kist_tar_result *result, struct kist_error *err);
/* Writes the layer as the stream that it came from, byte for byte, and fails when that cannot be: a file was changed
 * (KIST_ERR_CORRUPT), or nothing was recorded (KIST_ERR_UNSUPPORTED). What was written before a failure is of no use.
 */
int kist_overlay_export(struct kist_overlay *store, const char *layer, int to, struct kist_error *err);
/* The length of that stream. */
int kist_overlay_length(struct kist_overlay *store, const char *layer, uint64_t *bytes, struct kist_error *err);
/* Compares the layer's files with what was recorded of them; changed is called for each that differs. Returns how many
 * do (1 where only the whole is wrong, with name ""). KIST_ERR_UNSUPPORTED: nothing was recorded. */
int kist_overlay_verify(struct kist_overlay *store, const char *layer,
                        void (*changed)(void *arg, const char *name, const char *what), void *arg,
                        struct kist_error *err);
/* Sets a layer aside: it does not exist any more, its files are kept as .bad-LAYER. */
int kist_overlay_quarantine(struct kist_overlay *store, const char *layer, struct kist_error *err);
int kist_overlay_open_diff(struct kist_overlay *store, const char *layer); /* an fd of its files, or a negative errno */

/* A file system in a file or on a block device: "squashfs", "erofs", or NULL. */
const char *kist_overlay_packed_type(int file);
/* A detached read-only mount of it, which is shared by all that mount the same file and goes with the last of them. Its
 * loop device goes with it. */
int kist_overlay_packed_mount(int file, struct kist_error *err);
/* The same of a layer: NULL where its files are a directory. */
const char *kist_overlay_layer_type(struct kist_overlay *store, const char *layer);

/* What an upper directory (or a layer) changes in what is below it: 'A' added, 'C' changed, 'D' deleted, parents before
 * children, sorted. below: an fd of the mounted lower layers, -1: there are none. */
int kist_overlay_changes(int upper, int below, int (*change)(void *arg, char kind, const char *path), void *arg,
                         struct kist_error *err);

bool kist_overlay_has(struct kist_overlay *store, const char *layer); /* committed */
int kist_overlay_remove(struct kist_overlay *store, const char *layer,
                        struct kist_error *err); /* mark first, then the files */
int kist_overlay_size(struct kist_overlay *store, const char *layer, uint64_t *bytes, struct kist_error *err);
char **kist_overlay_list(struct kist_overlay *store); /* committed layers; the caller frees */

/* A container's own writable layer lives in a directory of the caller's: upper/ and work/ below dir are made as needed.
 */
struct kist_overlay_userns {
	int fd;                      /* a user namespace; idmapped layers need Linux 5.19 */
	uint32_t root_uid, root_gid; /* the host's ids of its root: owner of a new upper directory */
};
struct kist_quota;
struct kist_overlay_mount {
	char *const *layers;                      /* top first; may be NULL when lower_fd is used */
	int lower_fd;                             /* --rootfs DIR:O: the directory below, -1 if layers are used */
	bool lower_packed;                        /* it is a file, or block device, that holds a file system */
	int dir;                                  /* holds upper/ and work/; -1: read-only mount of the layers alone */
	const struct kist_overlay_userns *userns; /* the layers are seen through it; NULL: as they are */
	bool points;                    /* with the layer of mount points (points.c) at the bottom, if it can be had */
	bool volatile_;                 /* "volatile": no syncs, for a layer that is thrown away anyway */
	const char *const *options;     /* as kist_overlay_option_check takes them; "volatile" is left out */
	const struct kist_quota *quota; /* limits of what is above (quota.h); NULL: none */
};
/* Returns a detached mount fd (fsmount(2), or open_tree(2) of a mount(2) in a private namespace on kernels without it).
 * Nothing is attached on the host: when the fd and the namespaces it was moved to go, the mount goes. */
int kist_overlay_mount(struct kist_overlay *store, const struct kist_overlay_mount *mount, struct kist_error *err);

/* metacopy=, index=, redirect_dir= and xino= with their values, and volatile. */
int kist_overlay_option_check(const char *option, struct kist_error *err);

/* Bytes of a directory tree's own files (st_blocks * 512), hard links once, by fd. */
int kist_overlay_du(int dir, uint64_t *bytes, struct kist_error *err);

#endif
