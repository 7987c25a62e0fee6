#include "overlay/tar_pax.h"

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "overlay/tar_header.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

/* Attributes of one entry, and of the global header: more is a hostile archive. */
#define MAX_XATTRS   1024
#define MAX_SEGMENTS (1U << 20)

struct record {
	const char *key, *value; /* key is terminated; value may hold NULs */
	size_t len;
};

int kist_tar_decimal(const char *text, size_t len, uint64_t *out)
{
	uint64_t value = 0;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			return -ERANGE;
	}
	*out = value;
	return 0;
}

void kist_tar_map_add(struct kist_tar_map *map, uint64_t offset, uint64_t len)
{
	if ((map->n & (map->n - 1)) == 0)
		map->segments = kist_grow(map->segments, map->n ? 2 * map->n : 1, sizeof(*map->segments));
	map->segments[map->n++] = (struct kist_tar_segment){ offset, len };
}

static int fail_value(const struct record *record, struct kist_error *err)
{
	char shown[200];

	return kist_fail(err, KIST_ERR_INVALID, 0, "bad value of %s in a pax header",
	                 kist_tar_show(shown, record->key));
}

static int take_text(const struct record *record, char **out, struct kist_error *err)
{
	if (memchr(record->value, '\0', record->len))
		return fail_value(record, err);
	free(*out);
	*out = kist_strndup(record->value, record->len);
	return 0;
}

static int take_number(const struct record *record, uint64_t max, uint64_t *out, struct kist_error *err)
{
	uint64_t value;

	if (kist_tar_decimal(record->value, record->len, &value) < 0 || value > max)
		return fail_value(record, err);
	*out = value;
	return 0;
}

/* "[-]seconds[.fraction]" */
static int take_time(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	const char *p = record->value;
	size_t n = record->len;
	bool negative = n > 0 && *p == '-';
	const char *dot;
	uint64_t seconds;
	uint32_t nsec = 0;

	p += negative;
	n -= negative;
	dot = memchr(p, '.', n);
	if (kist_tar_decimal(p, dot ? (size_t)(dot - p) : n, &seconds) < 0 || seconds >= INT64_MAX)
		return fail_value(record, err);
	if (dot) {
		uint32_t unit = 100000000;

		for (const char *d = dot + 1; d < p + n; d++, unit /= 10) {
			if (*d < '0' || *d > '9')
				return fail_value(record, err);
			nsec += (uint32_t)(*d - '0') * unit;
		}
	}
	pax->mtime = negative ? -(int64_t)seconds : (int64_t)seconds;
	pax->mtime_nsec = nsec;
	if (negative && nsec) {
		pax->mtime--;
		pax->mtime_nsec = 1000000000 - nsec;
	}
	return 0;
}

/* 0.1: "offset,length,offset,length" */
static int take_map(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	const char *p = record->value;
	const char *end = p + record->len;
	uint64_t pair[2];
	int i = 0;

	pax->map.n = 0;
	while (p <= end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;

		if (kist_tar_decimal(p, (size_t)(stop - p), &pair[i]) < 0 || pax->map.n >= MAX_SEGMENTS)
			return fail_value(record, err);
		if (i == 1)
			kist_tar_map_add(&pax->map, pair[0], pair[1]);
		i = !i;
		p = stop + 1;
	}
	return i ? fail_value(record, err) : 0;
}

/* 0.0: each segment is a pair of records of its own. A length of UINT64_MAX marks the half that is still open. */
static int take_map_offset(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	uint64_t offset;
	int r = take_number(record, INT64_MAX, &offset, err);

	if (r < 0)
		return r;
	if (pax->map.n >= MAX_SEGMENTS || (pax->map.n && pax->map.segments[pax->map.n - 1].len == UINT64_MAX))
		return fail_value(record, err);
	kist_tar_map_add(&pax->map, offset, UINT64_MAX);
	return 0;
}

static int take_map_length(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	if (!pax->map.n || pax->map.segments[pax->map.n - 1].len != UINT64_MAX)
		return fail_value(record, err);
	return take_number(record, INT64_MAX, &pax->map.segments[pax->map.n - 1].len, err);
}

static int take_path(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_text(record, &pax->path, err);
}

static int take_link(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_text(record, &pax->link, err);
}

static int take_sparse_name(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_text(record, &pax->sparse_name, err);
}

static int take_size(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_number(record, INT64_MAX, &pax->size, err);
}

static int take_uid(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_number(record, UINT32_MAX - 1, &pax->uid, err);
}

static int take_gid(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_number(record, UINT32_MAX - 1, &pax->gid, err);
}

static int take_sparse_size(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_number(record, INT64_MAX, &pax->sparse_size, err);
}

static int take_sparse_major(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_number(record, UINT32_MAX, &pax->sparse_major, err);
}

static int take_sparse_minor(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	return take_number(record, UINT32_MAX, &pax->sparse_minor, err);
}

static const struct {
	const char *key;
	unsigned bit;
	int (*take)(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err);
} keys[] = {
	{ "path", KIST_PAX_PATH, take_path },
	{ "linkpath", KIST_PAX_LINK, take_link },
	{ "size", KIST_PAX_SIZE, take_size },
	{ "uid", KIST_PAX_UID, take_uid },
	{ "gid", KIST_PAX_GID, take_gid },
	{ "mtime", KIST_PAX_MTIME, take_time },
	{ "GNU.sparse.name", KIST_PAX_SPARSE_NAME, take_sparse_name },
	{ "GNU.sparse.size", KIST_PAX_SPARSE_SIZE, take_sparse_size },
	{ "GNU.sparse.realsize", KIST_PAX_SPARSE_SIZE, take_sparse_size },
	{ "GNU.sparse.map", KIST_PAX_SPARSE_MAP, take_map },
	{ "GNU.sparse.offset", KIST_PAX_SPARSE_MAP, take_map_offset },
	{ "GNU.sparse.numbytes", KIST_PAX_SPARSE_MAP, take_map_length },
	{ "GNU.sparse.major", KIST_PAX_SPARSE_MAJOR, take_sparse_major },
	{ "GNU.sparse.minor", KIST_PAX_SPARSE_MINOR, take_sparse_minor },
};

static bool xattr_wanted(const char *name)
{
	static const char *const exact[] = { "security.capability", "security.ima", "system.posix_acl_access",
		                             "system.posix_acl_default" };

	for (size_t i = 0; i < KIST_COUNT(exact); i++) {
		if (kist_streq(name, exact[i]))
			return true;
	}
	if (kist_has_prefix(name, "user.overlay.") || kist_has_prefix(name, "trusted.overlay."))
		return false;
	return kist_has_prefix(name, "user.") || kist_has_prefix(name, "trusted.");
}

static int add_xattr(struct kist_tar_pax *pax, const char *name, const void *value, size_t len, struct kist_error *err)
{
	struct kist_tar_xattr *xattr = NULL;

	if (strlen(name) > XATTR_NAME_MAX || len > XATTR_SIZE_MAX || pax->n_xattrs >= MAX_XATTRS)
		return kist_fail(err, KIST_ERR_INVALID, 0, "an extended attribute in a pax header is too long");
	if (!xattr_wanted(name))
		return 0;
	for (size_t i = 0; i < pax->n_xattrs && !xattr; i++) {
		if (kist_streq(pax->xattrs[i].name, name))
			xattr = &pax->xattrs[i];
	}
	if (!xattr) {
		pax->xattrs = kist_grow(pax->xattrs, pax->n_xattrs + 1, sizeof(*pax->xattrs));
		xattr = &pax->xattrs[pax->n_xattrs++];
		*xattr = (struct kist_tar_xattr){ .name = kist_strdup(name) };
	}
	free(xattr->value);
	xattr->value = kist_alloc(len ? len : 1);
	xattr->len = len;
	memcpy(xattr->value, value, len);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* libarchive writes names with %XX and values in base64, with or without the padding. */
static int add_xattr_libarchive(struct kist_tar_pax *pax, const struct record *record, const char *name,
                                struct kist_error *err)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	KIST_STR struct kist_str plain = { 0 };
	KIST_STR struct kist_str value = { 0 };
	uint32_t bits = 0;
	int n_bits = 0;

	for (const char *p = name; *p; p++) {
		int high = *p == '%' ? hex_digit(p[1]) : -1;
		int low = high >= 0 ? hex_digit(p[2]) : -1;

		if (low >= 0 && (high || low)) {
			kist_str_addc(&plain, (char)(high << 4 | low));
			p += 2;
		} else {
			kist_str_addc(&plain, *p);
		}
	}
	for (size_t i = 0; i < record->len && record->value[i] != '='; i++) {
		const char *found = record->value[i] ? strchr(alphabet, record->value[i]) : NULL;

		if (!found)
			return fail_value(record, err);
		bits = bits << 6 | (uint32_t)(found - alphabet);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			kist_str_addc(&value, (char)(bits >> n_bits & 0xff));
		}
	}
	return add_xattr(pax, kist_str_get(&plain), kist_str_get(&value), value.len, err);
}

static int add_acl(struct kist_tar_pax *pax, const struct record *record, const char *xattr, struct kist_error *err)
{
	KIST_FREE char *text = kist_strndup(record->value, record->len);
	KIST_STR struct kist_str value = { 0 };

	if (kist_tar_acl_encode(text, &value) < 0) {
		kist_debug("tar: an ACL that names users without their numbers is left out");
		return 0;
	}
	return add_xattr(pax, xattr, value.data, value.len, err);
}

/* The keys that become extended attributes. Unknown keys are none of our business, as POSIX asks. */
static int take_vendor(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	static const char schily[] = "SCHILY.xattr.";
	static const char libarchive[] = "LIBARCHIVE.xattr.";

	if (kist_has_prefix(record->key, schily))
		return add_xattr(pax, record->key + sizeof(schily) - 1, record->value, record->len, err);
	if (kist_has_prefix(record->key, libarchive))
		return add_xattr_libarchive(pax, record, record->key + sizeof(libarchive) - 1, err);
	if (kist_streq(record->key, "SCHILY.acl.access"))
		return add_acl(pax, record, "system.posix_acl_access", err);
	if (kist_streq(record->key, "SCHILY.acl.default"))
		return add_acl(pax, record, "system.posix_acl_default", err);
	return 0;
}

static int take_record(struct kist_tar_pax *pax, const struct record *record, struct kist_error *err)
{
	for (size_t i = 0; i < KIST_COUNT(keys); i++) {
		int r;

		if (!kist_streq(record->key, keys[i].key))
			continue;
		/* An empty map is the map of a file that is one hole. */
		if (record->len == 0 && keys[i].take != take_map) {
			pax->set &= ~keys[i].bit;
			pax->cleared |= keys[i].bit;
			return 0;
		}
		r = record->len ? keys[i].take(pax, record, err) : 0;
		if (r == 0)
			pax->set |= keys[i].bit;
		return r;
	}
	return take_vendor(pax, record, err);
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts the whole record, itself included. */
int kist_tar_pax_parse(struct kist_tar_pax *pax, const char *text, size_t len, struct kist_error *err)
{
	const char *p = text;
	const char *end = text + len;

	while (p < end) {
		const char *space = memchr(p, ' ', (size_t)(end - p) < 20 ? (size_t)(end - p) : 20);
		KIST_FREE char *key = NULL;
		struct record record;
		const char *equals;
		uint64_t length;
		int r;

		/* Some writers pad the last block inside the stated size. */
		if (*p == '\0')
			break;
		if (!space || kist_tar_decimal(p, (size_t)(space - p), &length) < 0 || length > (size_t)(end - p) ||
		    length < (size_t)(space - p) + 4 || p[length - 1] != '\n')
			return kist_fail(err, KIST_ERR_INVALID, 0, "a pax header is malformed");
		equals = memchr(space + 1, '=', (size_t)(p + length - space - 1));
		if (!equals || equals == space + 1 || memchr(space + 1, '\0', (size_t)(equals - space - 1)))
			return kist_fail(err, KIST_ERR_INVALID, 0, "a pax header is malformed");
		key = kist_strndup(space + 1, (size_t)(equals - space - 1));
		record = (struct record){ .key = key,
			                  .value = equals + 1,
			                  .len = (size_t)(p + length - 1 - (equals + 1)) };
		r = take_record(pax, &record, err);
		if (r < 0)
			return r;
		p += length;
	}
	if (pax->map.n && pax->map.segments[pax->map.n - 1].len == UINT64_MAX)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the sparse map of a pax header is incomplete");
	return 0;
}

void kist_tar_xattrs_free(struct kist_tar_xattr *xattrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(xattrs[i].name);
		free(xattrs[i].value);
	}
	free(xattrs);
}

void kist_tar_pax_clear(struct kist_tar_pax *pax)
{
	free(pax->path);
	free(pax->link);
	free(pax->sparse_name);
	free(pax->map.segments);
	kist_tar_xattrs_free(pax->xattrs, pax->n_xattrs);
	memset(pax, 0, sizeof(*pax));
}
