/* A byte stream that is decompressed and hashed while it is read.
 *
 * gzip (any number of members) and zstd (any number of frames) are told by their first bytes; xz, bzip2, lzma and
 * others are refused by name. A stream that starts with a valid tar header is plain, whatever its first bytes look
 * like. The reader sees the stream through a window: fill, use the bytes in place, consume. */
#ifndef KIST_OVERLAY_STREAM_H
#define KIST_OVERLAY_STREAM_H

#include "core/base/base.h"

struct kist_error;
struct kist_stream;

/* What one window can hold: kist_stream_fill never gives less than it was asked for, up to this, unless the stream
 * ends. */
#define KIST_STREAM_WINDOW (256U * 1024)

/* fd is borrowed until the close and may be a pipe. Reads enough to recognise the compression. */
int kist_stream_open(int fd, struct kist_stream **out, struct kist_error *err);
/* A part of a file: by pread(2), the fd's own offset is not used. */
int kist_stream_open_part(int fd, uint64_t offset, uint64_t len, struct kist_stream **out, struct kist_error *err);
/* From whoever has the bytes: read gives at least one of at most n, 0 at the end, or a negative errno with err set. */
typedef ssize_t (*kist_stream_read_fn)(void *arg, void *data, size_t n, struct kist_error *err);
int kist_stream_open_reader(kist_stream_read_fn read, void *arg, struct kist_stream **out, struct kist_error *err);
/* From here on, tap is called with the bytes that are consumed, before they go. */
void kist_stream_tap(struct kist_stream *stream, void (*tap)(void *arg, const uint8_t *data, size_t n), void *arg);
/* The place in the uncompressed stream of the next byte to be consumed. */
uint64_t kist_stream_offset(const struct kist_stream *stream);
void kist_stream_close(struct kist_stream *stream);
void kist_stream_cleanup(struct kist_stream **stream);
#define KIST_STREAM __attribute__((cleanup(kist_stream_cleanup)))

/* Makes at least 'want' bytes visible at *data and returns how many there are, which may be more; fewer only at the
 * end of the stream (0: nothing is left). The bytes stay where they are until the next fill. */
ssize_t kist_stream_fill(struct kist_stream *stream, size_t want, const uint8_t **data, struct kist_error *err);
void kist_stream_consume(struct kist_stream *stream, size_t n); /* at most what fill returned */

/* Reads what is left, for the hashes, and checks that no more than max uncompressed bytes follow. */
int kist_stream_drain(struct kist_stream *stream, uint64_t max, struct kist_error *err);

/* After the drain. SHA-256, hexadecimal: of the uncompressed bytes, of the bytes as they came. */
void kist_stream_digests(struct kist_stream *stream, char diff_id[65], char blob_id[65]);
const char *kist_stream_compression(const struct kist_stream *stream); /* "none" "gzip" "zstd" */
uint64_t kist_stream_length(const struct kist_stream *stream);         /* bytes, uncompressed; after the drain */

#endif
