#include "overlay/stream.h"

#include "core/base/error.h"
#include "overlay/tar_header.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum compression { PLAIN, GZIP, ZSTD };

struct kist_stream {
	int fd;
	enum compression kind;
	bool raw_ended; /* fd has given its last byte */
	bool ended;     /* and the window has been given the last byte of the contents */
	bool in_frame;  /* a gzip member or zstd frame has begun and not ended */

	/* What came from fd and is not decompressed yet. A plain stream reads into the window instead. */
	uint8_t *raw;
	size_t raw_start, raw_end;

	uint8_t *window;
	size_t start, end;

	z_stream gzip;
	bool gzip_ready;
	ZSTD_DStream *zstd;

	struct sha256_ctx blob_hash;
	struct sha256_ctx diff_hash;
	uint64_t length; /* uncompressed, so far */
	uint64_t offset; /* of what was consumed of them */

	bool part;
	uint64_t part_offset, part_left;

	kist_stream_read_fn reader; /* in place of fd */
	void *reader_arg;

	void (*tap)(void *arg, const uint8_t *data, size_t n);
	void *tap_arg;
};

struct magic {
	uint8_t bytes[6];
	uint8_t len;
	const char *name;
	bool refused;
	enum compression kind;
};

static const struct magic magics[] = {
	{ { 0x1f, 0x8b }, 2, "gzip", false, GZIP },
	{ { 0x28, 0xb5, 0x2f, 0xfd }, 4, "zstd", false, ZSTD },
	{ { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, "xz", true, PLAIN },
	{ { 'B', 'Z', 'h' }, 3, "bzip2", true, PLAIN },
	{ { 0x5d, 0, 0 }, 3, "lzma", true, PLAIN },
	{ { 'L', 'Z', 'I', 'P' }, 4, "lzip", true, PLAIN },
	{ { 0x04, 0x22, 0x4d, 0x18 }, 4, "lz4", true, PLAIN },
	{ { 0x1f, 0x9d }, 2, "compress (.Z)", true, PLAIN },
	{ { 'P', 'K', 3, 4 }, 4, "zip", true, PLAIN },
	{ { '7', 'z', 0xbc, 0xaf, 0x27, 0x1c }, 6, "7z", true, PLAIN },
};

/* Skippable frames (RFC 8878, 3.1.2) may come first: some writers put their own metadata there. */
static bool is_zstd_skippable(const uint8_t *p, size_t n)
{
	return n >= 4 && (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18;
}

static const struct magic *magic_find(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < KIST_COUNT(magics); i++) {
		if (n >= magics[i].len && memcmp(p, magics[i].bytes, magics[i].len) == 0)
			return &magics[i];
	}
	return is_zstd_skippable(p, n) ? &magics[1] : NULL;
}

/* One read into room bytes at p; hashes what came. Returns the count, 0 at the end. */
static ssize_t stream_read(struct kist_stream *stream, uint8_t *p, size_t room, struct kist_error *err)
{
	ssize_t n;

	if (stream->raw_ended)
		return 0;
	if (stream->part && room > stream->part_left)
		room = (size_t)stream->part_left;
	if (stream->reader) {
		n = stream->reader(stream->reader_arg, p, room, err);
		if (n < 0)
			return n;
	} else {
		do
			n = stream->part ? pread(stream->fd, p, room, (off_t)stream->part_offset)
			                 : read(stream->fd, p, room);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return kist_fail_errno(err, errno, "read the archive");
	}
	if (n == 0)
		stream->raw_ended = true;
	stream->part_offset += (uint64_t)n;
	stream->part_left -= stream->part ? (uint64_t)n : 0;
	sha256_update(&stream->blob_hash, (size_t)n, p);
	return n;
}

/* At least want compressed bytes, or all that is left. */
static ssize_t raw_fill(struct kist_stream *stream, size_t want, struct kist_error *err)
{
	if (stream->raw_end - stream->raw_start >= want)
		return (ssize_t)(stream->raw_end - stream->raw_start);
	memmove(stream->raw, stream->raw + stream->raw_start, stream->raw_end - stream->raw_start);
	stream->raw_end -= stream->raw_start;
	stream->raw_start = 0;
	while (stream->raw_end < want && !stream->raw_ended) {
		ssize_t n =
		        stream_read(stream, stream->raw + stream->raw_end, KIST_STREAM_WINDOW - stream->raw_end, err);

		if (n < 0)
			return n;
		stream->raw_end += (size_t)n;
	}
	return (ssize_t)stream->raw_end;
}

static int fail_truncated(const struct kist_stream *stream, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_INVALID, 0, "the %s stream ends too early", kist_stream_compression(stream));
}

/* Between two gzip members, where zero bytes are padding (of tapes and of block devices) and all else is not ours. */
static int gzip_next_member(struct kist_stream *stream, struct kist_error *err)
{
	for (;;) {
		ssize_t have = raw_fill(stream, 2, err);
		const uint8_t *p = stream->raw + stream->raw_start;

		if (have < 0)
			return (int)have;
		if (have == 0) {
			stream->ended = true;
			return 0;
		}
		if (have >= 2 && p[0] == 0x1f && p[1] == 0x8b) {
			inflateReset(&stream->gzip);
			stream->in_frame = true;
			return 0;
		}
		if (p[0] != 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "there is garbage after the end of the gzip stream");
		stream->raw_start++;
	}
}

static ssize_t gzip_produce(struct kist_stream *stream, uint8_t *out, size_t room, struct kist_error *err)
{
	z_stream *z = &stream->gzip;
	ssize_t have;
	int r;

	if (!stream->in_frame) {
		r = gzip_next_member(stream, err);
		if (r < 0 || stream->ended)
			return r;
	}
	have = raw_fill(stream, 1, err);
	if (have < 0)
		return have;
	if (have == 0)
		return fail_truncated(stream, err);
	z->next_in = stream->raw + stream->raw_start;
	z->avail_in = (uInt)have;
	z->next_out = out;
	z->avail_out = (uInt)room;
	r = inflate(z, Z_NO_FLUSH);
	stream->raw_start = stream->raw_end - z->avail_in;
	if (r == Z_STREAM_END)
		stream->in_frame = false;
	else if (r != Z_OK && r != Z_BUF_ERROR)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the gzip stream is damaged: %s",
		                 z->msg ? z->msg : "bad data");
	return (ssize_t)(room - z->avail_out);
}

static ssize_t zstd_produce(struct kist_stream *stream, uint8_t *out, size_t room, struct kist_error *err)
{
	ZSTD_outBuffer to = { out, room, 0 };
	ZSTD_inBuffer from;
	ssize_t have = raw_fill(stream, 1, err);
	size_t r;

	if (have < 0)
		return have;
	if (have == 0 && !stream->in_frame) {
		stream->ended = true;
		return 0;
	}
	from = (ZSTD_inBuffer){ stream->raw + stream->raw_start, (size_t)have, 0 };
	r = ZSTD_decompressStream(stream->zstd, &to, &from);
	if (ZSTD_isError(r))
		return kist_fail(err, KIST_ERR_INVALID, 0, "the zstd stream is damaged: %s", ZSTD_getErrorName(r));
	stream->raw_start += from.pos;
	stream->in_frame = r != 0;
	/* With no input left the decoder may still hold output; when it gives none either, the rest is missing. */
	if (have == 0 && to.pos == 0 && stream->in_frame)
		return fail_truncated(stream, err);
	return (ssize_t)to.pos;
}

static ssize_t stream_produce(struct kist_stream *stream, uint8_t *out, size_t room, struct kist_error *err)
{
	ssize_t n;

	if (stream->kind == PLAIN) {
		n = stream_read(stream, out, room, err);
		if (n == 0)
			stream->ended = true;
		return n;
	}
	n = stream->kind == GZIP ? gzip_produce(stream, out, room, err) : zstd_produce(stream, out, room, err);
	if (n > 0)
		sha256_update(&stream->diff_hash, (size_t)n, out);
	return n;
}

ssize_t kist_stream_fill(struct kist_stream *stream, size_t want, const uint8_t **data, struct kist_error *err)
{
	if (stream->end - stream->start < want && stream->start > 0) {
		memmove(stream->window, stream->window + stream->start, stream->end - stream->start);
		stream->end -= stream->start;
		stream->start = 0;
	}
	while (stream->end - stream->start < want && !stream->ended && stream->end < KIST_STREAM_WINDOW) {
		ssize_t n = stream_produce(stream, stream->window + stream->end, KIST_STREAM_WINDOW - stream->end, err);

		if (n < 0)
			return n;
		stream->end += (size_t)n;
		stream->length += (uint64_t)n;
	}
	*data = stream->window + stream->start;
	return (ssize_t)(stream->end - stream->start);
}

void kist_stream_consume(struct kist_stream *stream, size_t n)
{
	if (stream->tap)
		stream->tap(stream->tap_arg, stream->window + stream->start, n);
	stream->start += n;
	stream->offset += n;
}

void kist_stream_tap(struct kist_stream *stream, void (*tap)(void *arg, const uint8_t *data, size_t n), void *arg)
{
	stream->tap = tap;
	stream->tap_arg = arg;
}

uint64_t kist_stream_offset(const struct kist_stream *stream)
{
	return stream->offset;
}

int kist_stream_drain(struct kist_stream *stream, uint64_t max, struct kist_error *err)
{
	uint64_t total = 0;

	for (;;) {
		const uint8_t *data;
		ssize_t n = kist_stream_fill(stream, 1, &data, err);

		if (n <= 0)
			return (int)n;
		total += (uint64_t)n;
		if (total > max)
			return kist_fail(err, KIST_ERR_INVALID, EFBIG, "too much follows the end of the archive");
		kist_stream_consume(stream, (size_t)n);
	}
}

static int stream_start_decoder(struct kist_stream *stream, struct kist_error *err)
{
	if (stream->kind == GZIP) {
		/* 15: the largest window; 16: gzip wrapper only. */
		if (inflateInit2(&stream->gzip, 15 + 16) != Z_OK)
			return kist_fail(err, KIST_ERR_SYSTEM, ENOMEM, "cannot set up gzip decompression");
		stream->gzip_ready = true;
	} else if (stream->kind == ZSTD) {
		stream->zstd = ZSTD_createDStream();
		if (!stream->zstd)
			return kist_fail(err, KIST_ERR_SYSTEM, ENOMEM, "cannot set up zstd decompression");
	}
	return 0;
}

static int stream_recognise(struct kist_stream *stream, struct kist_error *err)
{
	const struct magic *magic;
	ssize_t have = raw_fill(stream, KIST_TAR_BLOCK, err);

	if (have < 0)
		return (int)have;
	if (have == 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the archive is empty");
	/* A file may be called "BZh" or "PK": the checksum of a header is the stronger sign. */
	if (have >= KIST_TAR_BLOCK && kist_tar_checksum_ok(stream->raw))
		return 0;
	magic = magic_find(stream->raw, (size_t)have);
	if (magic && magic->refused) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "%s compression is not supported", magic->name);
		return kist_remedy(err, "decompress it first, or use gzip or zstd");
	}
	if (magic)
		stream->kind = magic->kind;
	return stream_start_decoder(stream, err);
}

static int stream_open(struct kist_stream *new, struct kist_stream **out, struct kist_error *err)
{
	KIST_STREAM struct kist_stream *stream = new;
	int r;

	stream->window = kist_alloc(KIST_STREAM_WINDOW);
	stream->raw = kist_alloc(KIST_STREAM_WINDOW);
	sha256_init(&stream->blob_hash);
	sha256_init(&stream->diff_hash);
	/* Twice the read-ahead; pipes answer ESPIPE and do not need it. */
	if (!stream->reader)
		posix_fadvise(stream->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r = stream_recognise(stream, err);
	if (r < 0)
		return r;
	if (stream->kind == PLAIN) {
		uint8_t *p = stream->window;

		stream->window = stream->raw;
		stream->raw = p;
		stream->end = stream->raw_end;
		stream->length = stream->end;
		stream->ended = stream->raw_ended;
	}
	*out = kist_steal(&stream);
	return 0;
}

int kist_stream_open(int fd, struct kist_stream **out, struct kist_error *err)
{
	struct kist_stream *stream = kist_alloc(sizeof(*stream));

	stream->fd = fd;
	return stream_open(stream, out, err);
}

int kist_stream_open_part(int fd, uint64_t offset, uint64_t len, struct kist_stream **out, struct kist_error *err)
{
	struct kist_stream *stream = kist_alloc(sizeof(*stream));

	stream->fd = fd;
	stream->part = true;
	stream->part_offset = offset;
	stream->part_left = len;
	return stream_open(stream, out, err);
}

int kist_stream_open_reader(kist_stream_read_fn read, void *arg, struct kist_stream **out, struct kist_error *err)
{
	struct kist_stream *stream = kist_alloc(sizeof(*stream));

	stream->fd = -1;
	stream->reader = read;
	stream->reader_arg = arg;
	return stream_open(stream, out, err);
}

void kist_stream_close(struct kist_stream *stream)
{
	if (!stream)
		return;
	if (stream->gzip_ready)
		inflateEnd(&stream->gzip);
	ZSTD_freeDStream(stream->zstd);
	free(stream->raw);
	free(stream->window);
	free(stream);
}

void kist_stream_cleanup(struct kist_stream **stream)
{
	kist_stream_close(*stream);
}

static void hash_text(struct sha256_ctx hash, char out[65])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(&hash, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
	out[64] = '\0';
}

void kist_stream_digests(struct kist_stream *stream, char diff_id[65], char blob_id[65])
{
	hash_text(stream->blob_hash, blob_id);
	if (stream->kind == PLAIN)
		memcpy(diff_id, blob_id, 65);
	else
		hash_text(stream->diff_hash, diff_id);
}

const char *kist_stream_compression(const struct kist_stream *stream)
{
	static const char *const names[] = { [PLAIN] = "none", [GZIP] = "gzip", [ZSTD] = "zstd" };

	return names[stream->kind];
}

uint64_t kist_stream_length(const struct kist_stream *stream)
{
	return stream->length;
}
