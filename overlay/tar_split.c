#include "overlay/tar_split.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/split_format.h"
#include "overlay/tar_pax.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* Raw bytes are gathered up to here before they go to the compressor. */
#define GATHER (64U * 1024)

struct kist_split {
	int fd;
	int error; /* the first, negative */
	ZSTD_CStream *zstd;
	uint8_t *out;
	size_t out_size;
	uint64_t length;
	struct kist_str raw;
	bool in_file, doubt;
	struct kist_str name, segments;
	size_t n_segments;
	uint64_t size;
	uint32_t crc;
};

int kist_split_create(int dir, const char *name, struct kist_split **out, struct kist_error *err)
{
	KIST_SPLIT struct kist_split *split = kist_alloc(sizeof(*split));
	static const uint8_t head[KIST_SPLIT_HEAD];

	split->fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (split->fd < 0)
		return kist_fail_errno(err, errno, "create the layer's record");
	split->zstd = ZSTD_createCStream();
	if (!split->zstd)
		return kist_fail(err, KIST_ERR_SYSTEM, ENOMEM, "cannot set up zstd compression");
	split->out_size = ZSTD_CStreamOutSize();
	split->out = kist_alloc(split->out_size);
	split->error = kist_write_all(split->fd, head, sizeof(head));
	*out = kist_steal(&split);
	return 0;
}

void kist_split_free(struct kist_split *split)
{
	if (!split)
		return;
	kist_close_fd(&split->fd);
	ZSTD_freeCStream(split->zstd);
	free(split->out);
	kist_str_free(&split->raw);
	kist_str_free(&split->name);
	kist_str_free(&split->segments);
	free(split);
}

void kist_split_cleanup(struct kist_split **split)
{
	kist_split_free(*split);
}

static void emit(struct kist_split *split, const void *data, size_t n, ZSTD_EndDirective how)
{
	ZSTD_inBuffer from = { data, n, 0 };

	while (split->error == 0) {
		ZSTD_outBuffer to = { split->out, split->out_size, 0 };
		size_t left = ZSTD_compressStream2(split->zstd, &to, &from, how);

		if (ZSTD_isError(left))
			split->error = -EIO;
		else if (to.pos)
			split->error = kist_write_all(split->fd, split->out, to.pos);
		if (how == ZSTD_e_end ? left == 0 : from.pos == from.size)
			return;
	}
}

static void add_number(struct kist_str *s, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		kist_str_addc(s, (char)(value | 0x80));
	kist_str_addc(s, (char)value);
}

static void flush_raw(struct kist_split *split)
{
	KIST_STR struct kist_str head = { 0 };

	if (!split->raw.len)
		return;
	kist_str_addc(&head, KIST_SPLIT_RAW);
	add_number(&head, split->raw.len);
	emit(split, head.data, head.len, ZSTD_e_continue);
	emit(split, split->raw.data, split->raw.len, ZSTD_e_continue);
	kist_str_clear(&split->raw);
}

void kist_split_take(void *arg, const uint8_t *data, size_t n)
{
	struct kist_split *split = arg;

	split->length += n;
	if (split->in_file) {
		split->crc = (uint32_t)crc32_z(split->crc, data, n);
		split->size += n;
		return;
	}
	kist_str_addn(&split->raw, data, n);
	if (split->raw.len >= GATHER)
		flush_raw(split);
}

void kist_split_begin(struct kist_split *split, const char *name, const struct kist_tar_map *map)
{
	split->in_file = true;
	split->size = 0;
	split->crc = 0;
	kist_str_clear(&split->name);
	kist_str_add(&split->name, name);
	kist_str_clear(&split->segments);
	/* Of a sparse file without contents nothing is to be read, so that 0 stays free to mean 'not sparse'. */
	split->n_segments = map ? map->n : 0;
	for (size_t i = 0; i < split->n_segments; i++) {
		add_number(&split->segments, map->segments[i].offset);
		add_number(&split->segments, map->segments[i].len);
	}
}

void kist_split_end(struct kist_split *split)
{
	KIST_STR struct kist_str record = { 0 };

	split->in_file = false;
	if (split->size == 0)
		return;
	flush_raw(split);
	kist_str_addc(&record, KIST_SPLIT_FILE);
	add_number(&record, split->size);
	for (unsigned shift = 0; shift < 32; shift += 8)
		kist_str_addc(&record, (char)(split->crc >> shift));
	add_number(&record, split->name.len);
	kist_str_addn(&record, kist_str_get(&split->name), split->name.len);
	add_number(&record, split->n_segments);
	kist_str_addn(&record, kist_str_get(&split->segments), split->segments.len);
	emit(split, record.data, record.len, ZSTD_e_continue);
}

void kist_split_doubt(struct kist_split *split)
{
	split->doubt = true;
}

bool kist_split_is_doubtful(const struct kist_split *split)
{
	return split->doubt;
}

int kist_split_finish(struct kist_split *split, struct kist_error *err)
{
	uint8_t head[KIST_SPLIT_HEAD] = KIST_SPLIT_MAGIC;
	static const char end = KIST_SPLIT_END;

	flush_raw(split);
	emit(split, &end, 1, ZSTD_e_end);
	for (unsigned i = 0; i < 8; i++)
		head[16 + i] = (uint8_t)(split->length >> (8 * i));
	if (split->error == 0 && pwrite(split->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		split->error = errno ? -errno : -EIO;
	return split->error < 0 ? kist_fail_errno(err, -split->error, "write the layer's record") : 0;
}
