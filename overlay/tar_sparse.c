/* Sparse files. GNU tar manual, "Storing Sparse Files": the old GNU form, and version 1.0 of the pax form. */
#include "core/base/error.h"
#include "overlay/stream.h"
#include "overlay/tar_header.h"
#include "overlay/tar_read.h"

#include <errno.h>

/* Old GNU: four segments in the header, 21 in each block that follows it. */
enum {
	HEADER_MAP = 386,
	HEADER_SEGMENTS = 4,
	HEADER_MORE = 482,
	HEADER_REAL_SIZE = 483,
	BLOCK_SEGMENTS = 21,
	BLOCK_MORE = 504,
	SEGMENT = 24,
	NUMBER = 12
};

#define MAX_SEGMENTS (1U << 20)

static int bad_map(struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_INVALID, 0, "its map of a sparse file is malformed");
}

/* An empty field ends the list. */
static int add_segments(struct kist_tar_map *map, const uint8_t *p, int count, struct kist_error *err)
{
	for (int i = 0; i < count && p[i * SEGMENT]; i++) {
		int64_t offset, len;

		if (kist_tar_number(p + i * SEGMENT, NUMBER, &offset) < 0 ||
		    kist_tar_number(p + i * SEGMENT + NUMBER, NUMBER, &len) < 0 || offset < 0 || len < 0 ||
		    map->n >= MAX_SEGMENTS)
			return bad_map(err);
		kist_tar_map_add(map, (uint64_t)offset, (uint64_t)len);
	}
	return 0;
}

int kist_tar_sparse_old(struct kist_tar_reader *reader, const uint8_t *header, uint64_t *real_size,
                        struct kist_error *err)
{
	bool more = header[HEADER_MORE] != 0;
	int64_t size;
	int r;

	if (kist_tar_number(header + HEADER_REAL_SIZE, NUMBER, &size) < 0 || size < 0)
		return bad_map(err);
	reader->map.n = 0;
	r = add_segments(&reader->map, header + HEADER_MAP, HEADER_SEGMENTS, err);
	while (r == 0 && more) {
		const uint8_t *block;

		r = kist_tar_block(reader, &block, err);
		if (r < 0)
			return r;
		r = add_segments(&reader->map, block, BLOCK_SEGMENTS, err);
		more = block[BLOCK_MORE] != 0;
		kist_stream_consume(reader->stream, KIST_TAR_BLOCK);
		/* A chain of empty blocks would otherwise never end. */
		if (++reader->headers / 4 > reader->limits.entries + MAX_SEGMENTS)
			return bad_map(err);
	}
	*real_size = (uint64_t)size;
	return r;
}

/* One decimal number and its newline, from the payload. */
static int front_number(struct kist_tar_reader *reader, uint64_t *used, uint64_t *out, struct kist_error *err)
{
	char digits[24];
	size_t n = 0;

	for (;;) {
		const uint8_t *data;
		ssize_t have = kist_tar_payload(reader, &data, err);
		char c;

		if (have < 0)
			return (int)have;
		if (have == 0 || n == sizeof(digits))
			return bad_map(err);
		c = (char)*data;
		kist_tar_consume(reader, 1);
		++*used;
		if (c == '\n')
			break;
		digits[n++] = c;
	}
	return kist_tar_decimal(digits, n, out) < 0 ? bad_map(err) : 0;
}

/* Version 1.0: "COUNT\nOFFSET\nLENGTH\n..." in front of the data, padded to a block. */
int kist_tar_sparse_front(struct kist_tar_reader *reader, struct kist_error *err)
{
	uint64_t used = 0;
	uint64_t count;
	int r = front_number(reader, &used, &count, err);

	if (r < 0)
		return r;
	if (count > MAX_SEGMENTS)
		return bad_map(err);
	reader->map.n = 0;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t offset, len;

		r = front_number(reader, &used, &offset, err);
		if (r == 0)
			r = front_number(reader, &used, &len, err);
		if (r < 0)
			return r;
		kist_tar_map_add(&reader->map, offset, len);
	}
	for (; used % KIST_TAR_BLOCK; used++) {
		const uint8_t *data;
		ssize_t have = kist_tar_payload(reader, &data, err);

		if (have <= 0)
			return have < 0 ? (int)have : bad_map(err);
		kist_tar_consume(reader, 1);
	}
	return 0;
}

int kist_tar_sparse_check(const struct kist_tar_map *map, uint64_t real_size, uint64_t stored, struct kist_error *err)
{
	uint64_t end = 0;
	uint64_t total = 0;

	for (size_t i = 0; i < map->n; i++) {
		const struct kist_tar_segment *s = &map->segments[i];

		if (s->offset < end || s->len > real_size || s->offset > real_size - s->len)
			return bad_map(err);
		end = s->offset + s->len;
		total += s->len; /* cannot overflow: the segments lie apart inside real_size */
	}
	return total == stored ? 0 : bad_map(err);
}
