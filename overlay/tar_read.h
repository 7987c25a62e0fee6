/* The tar reader: from a stream to entries, one at a time. It touches no file system.
 *
 * What it hands out is checked: names are clean and relative, numbers in range, sparse maps ascending and inside the
 * file. */
#ifndef KIST_OVERLAY_TAR_READ_H
#define KIST_OVERLAY_TAR_READ_H

#include "core/base/base.h"
#include "core/base/str.h"
#include "overlay/overlay.h"
#include "overlay/tar_pax.h"

struct kist_error;
struct kist_stream;

struct kist_tar_entry {
	char type;            /* '0' file, '1' hard link, '2' symbolic link, '3' '4' devices, '5' directory, '6' FIFO */
	struct kist_str name; /* cleaned: no leading '/', no '.', '..' or empty component; "" is the top directory */
	struct kist_str link; /* '1': cleaned like name; '2': as it came */
	uint32_t mode, uid, gid;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint32_t major, minor;
	uint64_t size;                          /* of the file, holes included */
	const struct kist_tar_map *map;         /* NULL: not sparse */
	const struct kist_tar_xattr *xattrs[2]; /* of the global header, then of its own: the later wins */
	size_t n_xattrs[2];
};

struct kist_tar_reader {
	struct kist_stream *stream; /* borrowed */
	struct kist_tar_limits limits;
	struct kist_tar_pax global, local;
	struct kist_str long_name, long_link;
	struct kist_tar_entry entry;
	struct kist_tar_map map;
	uint64_t payload; /* bytes of the entry that are still in the stream */
	uint64_t padding; /* after them */
	uint64_t entries, headers, bytes;
	bool cut_off;    /* the error that was returned is the early end of the stream */
	char shown[200]; /* the entry's name for messages, "" before the first */
};

void kist_tar_reader_init(struct kist_tar_reader *reader, struct kist_stream *stream,
                          const struct kist_tar_limits *limits);
void kist_tar_reader_clear(struct kist_tar_reader *reader);
#define KIST_TAR_READER __attribute__((cleanup(kist_tar_reader_clear)))

/* 1: reader->entry is the next one, valid until the next call. 0: the end mark was seen. */
int kist_tar_next(struct kist_tar_reader *reader, struct kist_error *err);

/* The next bytes of the entry's contents as they are stored (for a sparse file: its segments, one after the other).
 * At least one unless all were consumed. */
ssize_t kist_tar_payload(struct kist_tar_reader *reader, const uint8_t **data, struct kist_error *err);
void kist_tar_consume(struct kist_tar_reader *reader, size_t n);

/* Internal to the reader: whole blocks of the stream, and the maps of sparse files (tar_sparse.c). */
int kist_tar_block(struct kist_tar_reader *reader, const uint8_t **block, struct kist_error *err);
int kist_tar_sparse_old(struct kist_tar_reader *reader, const uint8_t *header, uint64_t *real_size,
                        struct kist_error *err);
int kist_tar_sparse_front(struct kist_tar_reader *reader, struct kist_error *err);
int kist_tar_sparse_check(const struct kist_tar_map *map, uint64_t real_size, uint64_t stored, struct kist_error *err);

#endif
