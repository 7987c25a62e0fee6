#include "overlay/tar_header.h"

#include "core/base/error.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Offsets and lengths of the fields. */
enum {
	NAME = 0,
	NAME_LEN = 100,
	MODE = 100,
	MODE_LEN = 8,
	UID = 108,
	GID = 116,
	ID_LEN = 8,
	SIZE = 124,
	SIZE_LEN = 12,
	MTIME = 136,
	MTIME_LEN = 12,
	CHECKSUM = 148,
	CHECKSUM_LEN = 8,
	TYPE = 156,
	LINK = 157,
	LINK_LEN = 100,
	MAGIC = 257,
	MAGIC_LEN = 8,
	MAJOR = 329,
	MINOR = 337,
	DEVICE_LEN = 8,
	PREFIX = 345,
	PREFIX_LEN = 155,
	STAR_PREFIX_LEN = 131,
	STAR_MAGIC = 508,
};

static int base256_number(const uint8_t *field, size_t len, int64_t *out)
{
	bool negative = field[0] & 0x40;
	uint64_t value = negative ? UINT64_MAX : 0;

	/* The top bit marks the form, the next one is the sign of a two's complement number. */
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = i ? field[i] : (uint8_t)((field[0] & 0x7f) | (negative ? 0x80 : 0));
		uint64_t top = value >> 55;

		if (top != (negative ? 0x1ff : 0))
			return -ERANGE;
		value = value << 8 | byte;
	}
	if (((int64_t)value < 0) != negative)
		return -ERANGE;
	*out = (int64_t)value;
	return 0;
}

int kist_tar_number(const uint8_t *field, size_t len, int64_t *out)
{
	uint64_t value = 0;
	size_t i = 0;

	if (field[0] & 0x80)
		return base256_number(field, len, out);
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++) {
		if (value >> 60)
			return -ERANGE;
		value = value << 3 | (uint64_t)(field[i] - '0');
	}
	/* Written ends are NUL or space; some writers leave other bytes after the NUL. */
	if (i < len && field[i] != ' ' && field[i] != '\0')
		return -EINVAL;
	if (value > INT64_MAX)
		return -ERANGE;
	*out = (int64_t)value;
	return 0;
}

bool kist_tar_checksum_ok(const uint8_t block[KIST_TAR_BLOCK])
{
	int64_t stated;
	int64_t plain = 0;
	int64_t with_sign = 0;

	if (kist_tar_number(block + CHECKSUM, CHECKSUM_LEN, &stated) < 0)
		return false;
	for (size_t i = 0; i < KIST_TAR_BLOCK; i++) {
		uint8_t byte = i >= CHECKSUM && i < CHECKSUM + CHECKSUM_LEN ? ' ' : block[i];

		plain += byte;
		with_sign += (int8_t)byte;
	}
	/* Old writers summed signed characters. */
	return stated == plain || stated == with_sign;
}

bool kist_tar_is_zero(const uint8_t block[KIST_TAR_BLOCK])
{
	return block[0] == 0 && memcmp(block, block + 1, KIST_TAR_BLOCK - 1) == 0;
}

static size_t field_copy(char *to, const uint8_t *from, size_t len)
{
	size_t n = strnlen((const char *)from, len);

	memcpy(to, from, n);
	to[n] = '\0';
	return n;
}

static int field_number(const uint8_t *block, size_t offset, size_t len, int64_t min, int64_t max, const char *what,
                        int64_t *out, struct kist_error *err)
{
	int64_t value;
	int r = kist_tar_number(block + offset, len, &value);

	if (r == -EINVAL)
		return kist_fail(err, KIST_ERR_INVALID, 0, "its %s is not a number", what);
	if (r < 0 || value < min || value > max)
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "its %s is out of range", what);
	*out = value;
	return 0;
}

static void parse_name(const uint8_t *block, bool posix, struct kist_tar_header *out)
{
	size_t n = 0;

	if (posix && block[PREFIX]) {
		bool star = memcmp(block + STAR_MAGIC, "tar", 4) == 0;

		n = field_copy(out->name, block + PREFIX, star ? STAR_PREFIX_LEN : PREFIX_LEN);
		out->name[n++] = '/';
	}
	field_copy(out->name + n, block + NAME, NAME_LEN);
	field_copy(out->link, block + LINK, LINK_LEN);
}

static int parse_numbers(const uint8_t *block, bool devices, struct kist_tar_header *out, struct kist_error *err)
{
	int64_t mode, uid, gid, size, mtime;
	int64_t major = 0;
	int64_t minor = 0;
	int r = field_number(block, MODE, MODE_LEN, 0, INT64_MAX, "mode", &mode, err);

	if (r == 0)
		r = field_number(block, UID, ID_LEN, 0, UINT32_MAX - 1, "uid", &uid, err);
	if (r == 0)
		r = field_number(block, GID, ID_LEN, 0, UINT32_MAX - 1, "gid", &gid, err);
	if (r == 0)
		r = field_number(block, SIZE, SIZE_LEN, 0, INT64_MAX, "size", &size, err);
	if (r == 0)
		r = field_number(block, MTIME, MTIME_LEN, INT64_MIN, INT64_MAX, "mtime", &mtime, err);
	if (r == 0 && devices)
		r = field_number(block, MAJOR, DEVICE_LEN, 0, 0xfff, "device major number", &major, err);
	if (r == 0 && devices)
		r = field_number(block, MINOR, DEVICE_LEN, 0, 0xfffff, "device minor number", &minor, err);
	if (r < 0)
		return r;
	out->mode = (uint32_t)(mode & 07777);
	out->uid = (uint32_t)uid;
	out->gid = (uint32_t)gid;
	out->size = (uint64_t)size;
	out->mtime = mtime;
	out->major = (uint32_t)major;
	out->minor = (uint32_t)minor;
	return 0;
}

int kist_tar_header_parse(const uint8_t block[KIST_TAR_BLOCK], struct kist_tar_header *out, struct kist_error *err)
{
	bool posix = memcmp(block + MAGIC, "ustar", 6) == 0;
	bool gnu = memcmp(block + MAGIC, "ustar  ", MAGIC_LEN) == 0;
	bool devices;
	int r;

	if (!kist_tar_checksum_ok(block))
		return kist_fail(err, KIST_ERR_INVALID, 0, "not a tar header (its checksum is wrong)");
	memset(out, 0, sizeof(*out));
	out->type = block[TYPE] ? (char)block[TYPE] : '0';
	out->gnu = gnu;
	parse_name(block, posix, out);
	/* v7 has no device fields, and what lies there means nothing; other types may leave garbage too. */
	devices = (posix || gnu) && (out->type == '3' || out->type == '4');
	r = parse_numbers(block, devices, out, err);
	if (r < 0) {
		char shown[200];

		return kist_context(err, "entry '%s'", kist_tar_show(shown, out->name));
	}
	return 0;
}

char *kist_tar_show(char out[200], const char *name)
{
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
		if (n > 190) {
			memcpy(out + n, "...", 4);
			return out;
		}
		if (*p < 0x20 || *p == 0x7f)
			n += (size_t)snprintf(out + n, 6, "\\%03o", *p);
		else
			out[n++] = (char)*p;
	}
	out[n] = '\0';
	return out;
}
