/* From the record and the files back to the stream. */
#include "overlay/tar_split.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/split_format.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define BUFFER (256U * 1024)

typedef void (*changed_fn)(void *arg, const char *name, const char *what);

struct replay {
	int record, diff, to;
	changed_fn changed;
	void *arg;
	ZSTD_DStream *zstd;
	uint8_t *in, *text;
	ZSTD_inBuffer from;
	size_t at, have; /* in text */
	uint8_t *out;
	size_t pending; /* in out */
	struct sha256_ctx hash;
	uint64_t length;
};

static int fail_damaged(struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_CORRUPT, 0, "the layer's record is damaged");
}

static int flush(struct replay *r, struct kist_error *err)
{
	int result = 0;

	sha256_update(&r->hash, r->pending, r->out);
	if (r->to >= 0)
		result = kist_write_all(r->to, r->out, r->pending);
	r->length += r->pending;
	r->pending = 0;
	return result < 0 ? kist_fail_errno(err, -result, "write") : 0;
}

/* Room for at least one byte. */
static int room(struct replay *r, struct kist_error *err)
{
	return r->pending == BUFFER ? flush(r, err) : 0;
}

/* At least one byte of the record's text, unless it has ended. */
static int refill(struct replay *r, struct kist_error *err)
{
	ZSTD_outBuffer to = { r->text, BUFFER, 0 };

	while (to.pos == 0) {
		if (r->from.pos == r->from.size) {
			ssize_t n = read(r->record, r->in, BUFFER);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return kist_fail_errno(err, errno, "read the layer's record");
			if (n == 0)
				return fail_damaged(err);
			r->from = (ZSTD_inBuffer){ r->in, (size_t)n, 0 };
		}
		if (ZSTD_isError(ZSTD_decompressStream(r->zstd, &to, &r->from)))
			return fail_damaged(err);
	}
	r->at = 0;
	r->have = to.pos;
	return 0;
}

static int get_byte(struct replay *r, uint8_t *out, struct kist_error *err)
{
	int result = r->at == r->have ? refill(r, err) : 0;

	if (result == 0)
		*out = r->text[r->at++];
	return result;
}

static int get_number(struct replay *r, uint64_t *out, struct kist_error *err)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = 0;
		int result = get_byte(r, &byte, err);

		if (result < 0)
			return result;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*out = value;
			return value > INT64_MAX ? fail_damaged(err) : 0;
		}
	}
	return fail_damaged(err);
}

static int copy_raw(struct replay *r, uint64_t n, struct kist_error *err)
{
	while (n) {
		int result = r->at == r->have ? refill(r, err) : 0;

		if (result == 0)
			result = room(r, err);
		if (result < 0)
			return result;
		size_t chunk = r->have - r->at;
		if (chunk > n)
			chunk = (size_t)n;
		if (chunk > BUFFER - r->pending)
			chunk = BUFFER - r->pending;
		memcpy(r->out + r->pending, r->text + r->at, chunk);
		r->pending += chunk;
		r->at += chunk;
		n -= chunk;
	}
	return 0;
}

/* --- files ------------------------------------------------------------------------------------------------------ */

struct file {
	char name[PATH_MAX + 1];
	uint64_t size;
	uint32_t crc;
	uint64_t *segments; /* offset, length, ... */
	size_t n_segments;
};

static int get_file(struct replay *r, struct file *file, struct kist_error *err)
{
	uint64_t length = 0, count = 0;
	uint8_t byte = 0;

	int result = get_number(r, &file->size, err);
	for (unsigned shift = 0; result == 0 && shift < 32; shift += 8) {
		result = get_byte(r, &byte, err);
		file->crc |= (uint32_t)byte << shift;
	}
	if (result == 0)
		result = get_number(r, &length, err);
	if (result == 0 && length > PATH_MAX)
		return fail_damaged(err);
	for (uint64_t i = 0; result == 0 && i < length; i++) {
		result = get_byte(r, &byte, err);
		file->name[i] = (char)byte;
	}
	if (result == 0)
		result = get_number(r, &count, err);
	/* What the reader's limit on extended headers allows is less. */
	if (result == 0 && count > 4U << 20)
		return fail_damaged(err);
	if (result == 0 && count)
		file->segments = kist_grow(NULL, (size_t)count * 2, sizeof(uint64_t));
	for (; result == 0 && file->n_segments < count; file->n_segments++) {
		result = get_number(r, &file->segments[2 * file->n_segments], err);
		if (result == 0)
			result = get_number(r, &file->segments[2 * file->n_segments + 1], err);
	}
	return result;
}

/* Names what is wrong with a file; 0: the caller goes on. */
static int report(struct replay *r, const struct file *file, const char *what, struct kist_error *err)
{
	if (!r->changed)
		return kist_fail(err, KIST_ERR_CORRUPT, 0, "its file '%.200s' %s", file->name, what);
	r->changed(r->arg, file->name, what);
	return 0;
}

/* A negative errno, 1: it ended too early. */
static int copy_part(struct replay *r, int fd, uint64_t offset, uint64_t n, uint32_t *crc, struct kist_error *err)
{
	while (n) {
		int result = room(r, err);

		if (result < 0)
			return result;
		size_t want = BUFFER - r->pending;
		if (want > n)
			want = (size_t)n;
		ssize_t have = pread(fd, r->out + r->pending, want, (off_t)offset);
		if (have < 0 && errno == EINTR)
			continue;
		if (have < 0)
			return kist_fail_errno(err, errno, "read");
		if (have == 0)
			return 1;
		*crc = (uint32_t)crc32_z(*crc, r->out + r->pending, (size_t)have);
		r->pending += (size_t)have;
		offset += (uint64_t)have;
		n -= (uint64_t)have;
	}
	return 0;
}

static int copy_contents(struct replay *r, int fd, const struct file *file, struct kist_error *err)
{
	uint32_t crc = 0;
	uint64_t total = 0;
	int result = 0;

	if (!file->n_segments)
		result = copy_part(r, fd, 0, file->size, &crc, err);
	for (size_t i = 0; result == 0 && i < file->n_segments; i++) {
		total += file->segments[2 * i + 1];
		result = copy_part(r, fd, file->segments[2 * i], file->segments[2 * i + 1], &crc, err);
	}
	if (result < 0)
		return kist_context(err, "file '%.200s'", file->name);
	if (result == 1 || (file->n_segments && total != file->size))
		return report(r, file, "is shorter than it was", err);
	return crc == file->crc ? 0 : report(r, file, "was changed", err);
}

/* First without opening for real: where a file was, there may be a device now. */
static int copy_file(struct replay *r, const struct file *file, struct kist_error *err)
{
	KIST_CLOSE int path = kist_open_in_root_nofollow(r->diff, file->name, O_PATH, 0);
	struct stat st;

	if (path == -ENOENT || path == -ENOTDIR || path == -ELOOP)
		return report(r, file, "is gone", err);
	if (path < 0 || fstat(path, &st) < 0)
		return kist_fail_errno(err, path < 0 ? -path : errno, "open file '%.200s'", file->name);
	if (!S_ISREG(st.st_mode))
		return report(r, file, "is not a regular file any more", err);
	if (!file->n_segments && (uint64_t)st.st_size != file->size)
		return report(r, file, "does not have the length that it had", err);
	KIST_CLOSE int fd = kist_reopen(path, O_RDONLY);
	if (fd < 0)
		return kist_fail_errno(err, -fd, "open file '%.200s'", file->name);
	return copy_contents(r, fd, file, err);
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

static int read_head(int record, uint64_t *length)
{
	uint8_t head[KIST_SPLIT_HEAD];

	if (pread(record, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    memcmp(head, KIST_SPLIT_MAGIC, sizeof(KIST_SPLIT_MAGIC)) != 0)
		return -EBADMSG;
	*length = 0;
	for (unsigned i = 0; i < 8; i++)
		*length |= (uint64_t)head[16 + i] << (8 * i);
	return 0;
}

int kist_split_length(int record, uint64_t *length)
{
	return read_head(record, length);
}

int kist_split_forget(int record)
{
	return ftruncate(record, KIST_SPLIT_HEAD);
}

bool kist_split_is_forgotten(int record)
{
	struct stat st;

	return fstat(record, &st) == 0 && st.st_size == KIST_SPLIT_HEAD;
}

static int replay_all(struct replay *r, struct kist_error *err)
{
	for (;;) {
		struct file file = { 0 };
		uint64_t n = 0;
		uint8_t type = 0;
		int result = get_byte(r, &type, err);

		if (result < 0)
			return result;
		if (type == KIST_SPLIT_END)
			return flush(r, err);
		if (type != KIST_SPLIT_RAW && type != KIST_SPLIT_FILE)
			return fail_damaged(err);
		if (type == KIST_SPLIT_RAW) {
			result = get_number(r, &n, err);
			if (result == 0)
				result = copy_raw(r, n, err);
		} else {
			result = get_file(r, &file, err);
			if (result == 0)
				result = copy_file(r, &file, err);
			free(file.segments);
		}
		if (result < 0)
			return result;
	}
}

static void hash_text(struct sha256_ctx *hash, char out[65])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(hash, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
	out[64] = '\0';
}

int kist_split_replay(int record, int diff, int to, changed_fn changed, void *arg, char diff_id[65],
                      struct kist_error *err)
{
	struct replay r = { .record = record, .diff = diff, .to = to, .changed = changed, .arg = arg };
	uint64_t length = 0;

	if (read_head(record, &length) < 0 || lseek(record, KIST_SPLIT_HEAD, SEEK_SET) < 0)
		return fail_damaged(err);
	r.zstd = ZSTD_createDStream();
	if (!r.zstd)
		return kist_fail(err, KIST_ERR_SYSTEM, ENOMEM, "cannot set up zstd decompression");
	KIST_FREE uint8_t *in = kist_alloc(BUFFER);
	KIST_FREE uint8_t *text = kist_alloc(BUFFER);
	KIST_FREE uint8_t *out = kist_alloc(BUFFER);
	r.in = in;
	r.text = text;
	r.out = out;
	sha256_init(&r.hash);
	int result = replay_all(&r, err);
	ZSTD_freeDStream(r.zstd);
	if (result < 0)
		return result;
	hash_text(&r.hash, diff_id);
	return r.length == length || changed ? 0 : fail_damaged(err);
}
