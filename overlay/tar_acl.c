#include "overlay/tar_pax.h"
#include "overlay/tar_write.h"

#include "core/base/str.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

/* Tags of acl(5) as the kernel stores them (linux/posix_acl.h is not exported). */
enum { USER_OBJ = 0x01, USER = 0x02, GROUP_OBJ = 0x04, GROUP = 0x08, MASK = 0x10, OTHER = 0x20 };

#define MAX_ENTRIES 512

struct entry {
	uint16_t tag, permissions;
	uint32_t id;
};

static int parse_permissions(const char *text, uint16_t *out)
{
	uint16_t bits = 0;

	if (strlen(text) < 3)
		return -ENODATA;
	for (int i = 0; i < 3; i++) {
		if (text[i] == "rwx"[i])
			bits |= (uint16_t)(4 >> i);
		else if (text[i] != '-')
			return -ENODATA;
	}
	*out = bits;
	return 0;
}

/* "user:NAME:rwx[:ID]"; NAME may itself be the number. */
static int parse_entry(const char *text, struct entry *out)
{
	KIST_STRV char **fields = kist_strv_split(text, ':');
	size_t n = kist_strv_len(fields);
	bool user, group, named;
	uint32_t id = (uint32_t)-1;

	if (n < 3 || n > 4)
		return -ENODATA;
	user = kist_streq(fields[0], "user") || kist_streq(fields[0], "u");
	group = kist_streq(fields[0], "group") || kist_streq(fields[0], "g");
	named = !kist_empty(fields[1]);
	if (named && kist_parse_u32(n == 4 ? fields[3] : fields[1], &id) < 0)
		return -ENODATA;
	if (user)
		out->tag = named ? USER : USER_OBJ;
	else if (group)
		out->tag = named ? GROUP : GROUP_OBJ;
	else if (kist_streq(fields[0], "mask") || kist_streq(fields[0], "m"))
		out->tag = MASK;
	else if (kist_streq(fields[0], "other") || kist_streq(fields[0], "o"))
		out->tag = OTHER;
	else
		return -ENODATA;
	if (named && !user && !group)
		return -ENODATA;
	out->id = id;
	return parse_permissions(fields[2], &out->permissions);
}

/* The kernel wants the tags in the order of their values, ids ascending within one. */
static bool entry_before(const struct entry *a, const struct entry *b)
{
	return a->tag != b->tag ? a->tag < b->tag : a->id < b->id;
}

static void encode(const struct entry *entries, size_t n, struct kist_str *out)
{
	struct posix_acl_xattr_header header = { .a_version = htole32(POSIX_ACL_XATTR_VERSION) };

	kist_str_addn(out, &header, sizeof(header));
	for (size_t i = 0; i < n; i++) {
		struct posix_acl_xattr_entry e = {
			.e_tag = htole16(entries[i].tag),
			.e_perm = htole16(entries[i].permissions),
			.e_id = htole32(entries[i].id),
		};

		kist_str_addn(out, &e, sizeof(e));
	}
}

int kist_tar_acl_encode(const char *text, struct kist_str *out)
{
	KIST_FREE char *copy = kist_strdup(text);
	KIST_STRV char **lines = NULL;
	KIST_FREE struct entry *entries = NULL;
	size_t n = 0;

	/* Entries are separated by commas (star, bsdtar) or newlines (GNU tar). */
	for (char *p = copy; *p; p++) {
		if (*p == '\n')
			*p = ',';
	}
	lines = kist_strv_split(copy, ',');
	entries = kist_alloc(MAX_ENTRIES * sizeof(*entries));
	for (char **line = lines; line && *line; line++) {
		struct entry entry;
		size_t at;

		if (kist_empty(*line))
			continue;
		if (n == MAX_ENTRIES || parse_entry(*line, &entry) < 0)
			return -ENODATA;
		for (at = n++; at > 0 && entry_before(&entry, &entries[at - 1]); at--)
			entries[at] = entries[at - 1];
		entries[at] = entry;
	}
	if (n == 0)
		return -ENODATA;
	encode(entries, n, out);
	return 0;
}

/* "user:1000:rwx:1000": star's form, which GNU tar, bsdtar and star read; without names there is no name to look up. */
int kist_tar_acl_decode(const uint8_t *value, size_t len, struct kist_str *out)
{
	static const struct {
		uint16_t tag;
		const char *name;
		bool has_id;
	} tags[] = {
		{ USER_OBJ, "user", false }, { USER, "user", true },  { GROUP_OBJ, "group", false },
		{ GROUP, "group", true },    { MASK, "mask", false }, { OTHER, "other", false },
	};
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry e;

	if (len < sizeof(header) || (len - sizeof(header)) % sizeof(e))
		return -EINVAL;
	memcpy(&header, value, sizeof(header));
	if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
		return -EINVAL;
	for (size_t at = sizeof(header); at < len; at += sizeof(e)) {
		size_t i = 0;
		memcpy(&e, value + at, sizeof(e));
		while (i < KIST_COUNT(tags) && tags[i].tag != le16toh(e.e_tag))
			i++;
		if (i == KIST_COUNT(tags))
			return -EINVAL;
		unsigned bits = le16toh(e.e_perm);
		kist_str_addf(out, "%s%s:", out->len ? "," : "", tags[i].name);
		if (tags[i].has_id)
			kist_str_addf(out, "%u", le32toh(e.e_id));
		kist_str_addf(out, ":%c%c%c", bits & 4 ? 'r' : '-', bits & 2 ? 'w' : '-', bits & 1 ? 'x' : '-');
		if (tags[i].has_id)
			kist_str_addf(out, ":%u", le32toh(e.e_id));
	}
	return 0;
}
