/* What is needed to give a layer back as the stream that it came from, byte for byte.
 *
 * The file LAYER/split holds all of the uncompressed stream but the contents of its files, in order: headers, padding
 * and trailer as they came, and for each file its name, its length and a checksum. The layer's own files are the rest.
 *
 *   "kist-split 1\n" padded to 16 bytes with NUL; length of the stream, 8 bytes, little-endian; then one zstd frame of
 *   'R' n bytes...                        bytes of the stream
 *   'F' n crc name-length name... s {offset length}...   n bytes of a file's contents, CRC-32 of zlib in 4 bytes;
 *                                         s segments of a sparse file, 0: the whole file
 *   'E'                                   the end
 * where numbers but the checksum are LEB128. The layer's name is the SHA-256 of the result, so the file needs no
 * digest. */
#ifndef KIST_OVERLAY_TAR_SPLIT_H
#define KIST_OVERLAY_TAR_SPLIT_H

#include "core/base/base.h"
#include "overlay/overlay.h"

struct kist_error;
struct kist_split;
struct kist_tar_map;

/* Makes dir/name. Errors of writing are kept until the finish. */
int kist_split_create(int dir, const char *name, struct kist_split **out, struct kist_error *err);
void kist_split_free(struct kist_split *split); /* NULL is fine */
void kist_split_cleanup(struct kist_split **split);
#define KIST_SPLIT __attribute__((cleanup(kist_split_cleanup)))

/* The next bytes of the stream; between begin and end they are the contents of that file. */
void kist_split_take(void *split, const uint8_t *data, size_t n);
void kist_split_begin(struct kist_split *split, const char *name, const struct kist_tar_map *map);
void kist_split_end(struct kist_split *split);
/* A later entry has replaced an earlier one: the contents of a file may be lost. */
void kist_split_doubt(struct kist_split *split);
bool kist_split_is_doubtful(const struct kist_split *split);
int kist_split_finish(struct kist_split *split, struct kist_error *err);

/* A stream, or a part of a file that holds it, or (read not NULL) what a function gives. */
struct kist_tar_source {
	int fd;
	bool part;
	uint64_t offset, length;                                                  /* of the part */
	ssize_t (*read)(void *arg, void *data, size_t n, struct kist_error *err); /* kist_stream_open_reader */
	void *arg;
};
/* As kist_tar_extract; split may be NULL. */
int kist_tar_extract_split(const struct kist_tar_source *from, int dir, unsigned flags,
                           const struct kist_tar_limits *limits, struct kist_split *split,
                           struct kist_tar_result *result, struct kist_error *err);

/* The length of the stream, which every record has. */
int kist_split_length(int record, uint64_t *length);
/* Keeps nothing but that; and whether that was done. */
int kist_split_forget(int record);
bool kist_split_is_forgotten(int record);
/* Writes the stream to 'to' (-1: it is only read and hashed) from the record and the layer's files below diff, and
 * hashes it. changed: NULL, a file that is not what it was is an error; else it is called for each, and the digest is
 * then of no use. */
int kist_split_replay(int record, int diff, int to, void (*changed)(void *arg, const char *name, const char *what),
                      void *arg, char diff_id[65], struct kist_error *err);

#endif
