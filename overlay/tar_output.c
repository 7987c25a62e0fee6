#include "overlay/tar_output.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "overlay/overlay.h"
#include "overlay/tar_header.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER (256U << 10)
#define RECORD (20 * KIST_TAR_BLOCK) /* the whole is padded to that, as tar has it since there were tapes */

/* ustar header: POSIX.1-2017, pax, "ustar Interchange Format". */
enum {
	NAME = 0,
	NAME_LEN = 100,
	MODE = 100,
	UID = 108,
	GID = 116,
	SIZE = 124,
	MTIME = 136,
	CHECKSUM = 148,
	TYPE = 156,
	LINK = 157,
	LINK_LEN = 100,
	MAGIC = 257,
	MAJOR = 329,
	MINOR = 337,
	SMALL = 8,
	LARGE = 12
};

/* --- bytes ---------------------------------------------------------------------------------------------------------
 */

void kist_tar_output_init(struct kist_tar_output *out, int fd, bool digest)
{
	*out = (struct kist_tar_output){ .fd = fd, .digest = digest, .buffer = kist_alloc(BUFFER) };
	sha256_init(&out->sha256);
}

void kist_tar_output_clear(struct kist_tar_output *out)
{
	free(out->buffer);
	out->buffer = NULL;
}

static int flush(struct kist_tar_output *out, struct kist_error *err)
{
	int r = kist_write_all(out->fd, out->buffer, out->used);

	if (out->digest)
		sha256_update(&out->sha256, out->used, out->buffer);
	out->used = 0;
	out->failed |= r < 0;
	return r < 0 ? kist_fail_errno(err, -r, "write the archive") : 0;
}

int kist_tar_output_write(struct kist_tar_output *out, const void *data, size_t len, struct kist_error *err)
{
	const uint8_t *from = data;

	out->length += len;
	while (len) {
		size_t n = BUFFER - out->used < len ? BUFFER - out->used : len;
		memcpy(out->buffer + out->used, from, n);
		out->used += n;
		from += n;
		len -= n;
		int r = out->used == BUFFER ? flush(out, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int pad_to(struct kist_tar_output *out, size_t unit, struct kist_error *err)
{
	static const uint8_t zeros[RECORD];
	size_t over = (size_t)(out->length % unit);

	return over ? kist_tar_output_write(out, zeros, unit - over, err) : 0;
}

int kist_tar_output_pad(struct kist_tar_output *out, struct kist_error *err)
{
	return pad_to(out, KIST_TAR_BLOCK, err);
}

int kist_tar_output_end(struct kist_tar_output *out, struct kist_error *err)
{
	static const uint8_t zeros[2 * KIST_TAR_BLOCK];

	int r = kist_tar_output_write(out, zeros, sizeof(zeros), err);
	if (r == 0)
		r = pad_to(out, RECORD, err);
	return r < 0 ? r : flush(out, err);
}

void kist_tar_output_result(struct kist_tar_output *out, struct kist_tar_result *result)
{
	uint8_t digest[SHA256_DIGEST_SIZE];

	result->length = out->length;
	if (!out->digest)
		return;
	sha256_digest(&out->sha256, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(result->diff_id + 2 * i, 3, "%02x", digest[i]);
	memcpy(result->blob_id, result->diff_id, sizeof(result->blob_id));
}

/* --- headers -------------------------------------------------------------------------------------------------------
 */

/* Octal digits and a NUL; what does not fit is in the extended header, and here is as much of it as fits. */
static void put_octal(uint8_t *field, size_t len, uint64_t value)
{
	field[--len] = '\0';
	for (; len > 0; value >>= 3)
		field[--len] = (uint8_t)('0' + (value & 7));
}

static bool fits_octal(size_t len, uint64_t value)
{
	return value >> (3 * (len - 1)) == 0;
}

static void put_name(uint8_t *field, size_t len, const char *name)
{
	memcpy(field, name, strnlen(name, len));
}

static int write_header(struct kist_tar_output *out, const struct kist_tar_item *item, const char *name,
                        uint64_t stored, struct kist_error *err)
{
	uint8_t block[KIST_TAR_BLOCK] = { 0 };
	unsigned sum = 0;

	put_name(block + NAME, NAME_LEN, name);
	put_octal(block + MODE, SMALL, item->mode);
	put_octal(block + UID, SMALL, fits_octal(SMALL, item->uid) ? item->uid : 0);
	put_octal(block + GID, SMALL, fits_octal(SMALL, item->gid) ? item->gid : 0);
	put_octal(block + SIZE, LARGE, fits_octal(LARGE, stored) ? stored : 0);
	put_octal(block + MTIME, LARGE,
	          item->mtime >= 0 && fits_octal(LARGE, (uint64_t)item->mtime) ? (uint64_t)item->mtime : 0);
	block[TYPE] = (uint8_t)item->type;
	if (item->link)
		put_name(block + LINK, LINK_LEN, item->link);
	memcpy(block + MAGIC, "ustar\00000", 8);
	put_octal(block + MAJOR, SMALL, item->major);
	put_octal(block + MINOR, SMALL, item->minor);
	memset(block + CHECKSUM, ' ', SMALL);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += block[i];
	put_octal(block + CHECKSUM, SMALL - 1, sum);
	return kist_tar_output_write(out, block, sizeof(block), err);
}

/* --- extended headers ----------------------------------------------------------------------------------------------
 */

static void add_record(struct kist_str *to, const char *key, const void *value, size_t len)
{
	size_t rest = strlen(key) + len + 3; /* ' ' '=' '\n' */
	size_t total = rest + 1;
	char digits[24];

	/* The length counts its own digits. */
	for (int n = 0; (n = snprintf(digits, sizeof(digits), "%zu", total)), rest + (size_t)n != total;)
		total = rest + (size_t)n;
	kist_str_addf(to, "%zu %s=", total, key);
	kist_str_addn(to, value, len);
	kist_str_addc(to, '\n');
}

void kist_tar_item_record(struct kist_tar_item *item, const char *key, const void *value, size_t len)
{
	add_record(&item->records, key, value, len);
}

void kist_tar_item_clear(struct kist_tar_item *item)
{
	kist_str_free(&item->records);
}

static void add_text(struct kist_str *to, const char *key, const char *text)
{
	add_record(to, key, text, strlen(text));
}

static void add_number(struct kist_str *to, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	add_text(to, key, text);
}

/* Seconds and a fraction: of times before 1970, both count downwards. */
static void add_mtime(struct kist_str *to, const struct kist_tar_item *item)
{
	bool before = item->mtime < 0;
	uint64_t seconds = before ? (uint64_t)-item->mtime : (uint64_t)item->mtime;
	uint32_t fraction = item->mtime_nsec;
	char text[48];

	if (before && fraction) {
		seconds--;
		fraction = 1000000000 - fraction;
	}
	int n = snprintf(text, sizeof(text), "%s%" PRIu64, before ? "-" : "", seconds);
	if (fraction) {
		n += snprintf(text + n, sizeof(text) - (size_t)n, ".%09u", fraction);
		while (text[n - 1] == '0')
			text[--n] = '\0';
	}
	add_text(to, "mtime", text);
}

static bool is_utf8(const char *text)
{
	for (const uint8_t *p = (const uint8_t *)text; *p;) {
		int more = *p < 0x80                 ? 0
		           : *p >= 0xc2 && *p < 0xe0 ? 1
		           : *p >= 0xe0 && *p < 0xf0 ? 2
		           : *p >= 0xf0 && *p < 0xf5 ? 3
		                                     : -1;
		if (more < 0)
			return false;
		for (p++; more > 0; more--, p++)
			if ((*p & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

/* What the ustar header cannot hold, or would leave to the reader's character set. */
static void make_records(const struct kist_tar_item *item, uint64_t stored, struct kist_str *to)
{
	bool path = strlen(item->name) > NAME_LEN || !is_ascii(item->name);
	bool link = item->link && (strlen(item->link) > LINK_LEN || !is_ascii(item->link));

	if ((path && !is_utf8(item->name)) || (link && !is_utf8(item->link)))
		add_text(to, "hdrcharset", "BINARY");
	if (path && !item->map)
		add_text(to, "path", item->name);
	if (link)
		add_text(to, "linkpath", item->link);
	if (!fits_octal(LARGE, stored))
		add_number(to, "size", stored);
	if (!fits_octal(SMALL, item->uid))
		add_number(to, "uid", item->uid);
	if (!fits_octal(SMALL, item->gid))
		add_number(to, "gid", item->gid);
	if (item->mtime_nsec || item->mtime < 0 || !fits_octal(LARGE, (uint64_t)item->mtime))
		add_mtime(to, item);
	if (item->map) {
		add_text(to, "GNU.sparse.major", "1");
		add_text(to, "GNU.sparse.minor", "0");
		add_text(to, "GNU.sparse.name", item->name);
		add_number(to, "GNU.sparse.realsize", item->size);
	}
	kist_str_addn(to, kist_str_get(&item->records), item->records.len);
}

/* The map of a sparse file, in front of its data: GNU tar manual, "PAX Format, Version 1.0". */
static void make_map(const struct kist_tar_map *map, struct kist_str *to)
{
	kist_str_addf(to, "%zu\n", map->n);
	for (size_t i = 0; i < map->n; i++)
		kist_str_addf(to, "%" PRIu64 "\n%" PRIu64 "\n", map->segments[i].offset, map->segments[i].len);
	while (to->len % KIST_TAR_BLOCK)
		kist_str_addc(to, '\0');
}

static int write_records(struct kist_tar_output *out, const struct kist_tar_item *item, const struct kist_str *records,
                         struct kist_error *err)
{
	const struct kist_tar_item header = { .type = 'x', .mode = 0644, .mtime = item->mtime < 0 ? 0 : item->mtime };
	const char *slash = strrchr(item->name, '/');
	char name[NAME_LEN + 1];

	/* Old readers unpack it as a file: its name says what it is about. */
	snprintf(name, sizeof(name), "PaxHeaders/%.80s", slash && slash[1] ? slash + 1 : item->name);
	int r = write_header(out, &header, name, records->len, err);
	if (r == 0)
		r = kist_tar_output_write(out, records->data, records->len, err);
	return r < 0 ? r : kist_tar_output_pad(out, err);
}

int kist_tar_output_item(struct kist_tar_output *out, const struct kist_tar_item *item, struct kist_error *err)
{
	KIST_STR struct kist_str records = { 0 };
	KIST_STR struct kist_str map = { 0 };
	uint64_t stored = item->size;
	char sparse_name[NAME_LEN + 1];
	int r = 0;

	if (item->map) {
		make_map(item->map, &map);
		stored = map.len;
		for (size_t i = 0; i < item->map->n; i++)
			stored += item->map->segments[i].len;
	}
	make_records(item, stored, &records);
	if (records.len)
		r = write_records(out, item, &records, err);
	snprintf(sparse_name, sizeof(sparse_name), "GNUSparseFile.0/%.80s",
	         strrchr(item->name, '/') ? strrchr(item->name, '/') + 1 : item->name);
	if (r == 0)
		r = write_header(out, item, item->map ? sparse_name : item->name, stored, err);
	if (r == 0 && map.len)
		r = kist_tar_output_write(out, map.data, map.len, err);
	return r;
}
