/* A directory tree as a tar stream.
 *
 * The format is POSIX pax (POSIX.1-2017, pax): a ustar header for each entry, and an extended header in front of it
 * where that has no place for what is to be said: long names, large numbers, fractions of seconds, extended attributes
 * (SCHILY.xattr.*), ACLs (SCHILY.acl.*), holes (GNU.sparse.*, version 1.0). Entries come sorted by name, so that equal
 * trees are equal streams. Everything is read by descriptors; no link is followed, no mount is crossed: of a directory
 * that is a mount point the entry is written, of what is mounted there nothing. Sockets are left out.
 *
 * Extended attributes follow the reader's rules (tar_pax.h). */
#ifndef KIST_OVERLAY_TAR_WRITE_H
#define KIST_OVERLAY_TAR_WRITE_H

#include "overlay/overlay.h"

enum kist_tar_create_flags {
	KIST_TAR_CREATE_TOP = 1,       /* an entry "./" for the directory itself comes first */
	KIST_TAR_CREATE_WHITEOUTS = 2, /* the tree is an overlay's upper: its marks become .wh.NAME and .wh..wh..opq */
	KIST_TAR_CREATE_DIGEST = 4,    /* result->diff_id is worked out */
	KIST_TAR_CREATE_MOUNTS = 8,    /* mounts are crossed, but for those of the kernel's own file systems */
};

struct kist_tar_create_options {
	unsigned flags;
	const char *prefix;       /* put before every name, as "var/lib"; the top is then this directory; NULL: none */
	const char *const *names; /* only these entries of the directory and what is below them; NULL: all */
};

/* result (may be NULL): entries, bytes, length, and with the flag diff_id; compression is "none". Blocks while the
 * reader is slow. Errors name the entry. */
int kist_tar_create(int dir, int to, const struct kist_tar_create_options *options, struct kist_tar_result *result,
                    struct kist_error *err);

/* The text form of a POSIX ACL's attribute value, numbers for names; -EINVAL. (tar_acl.c has the other direction.) */
struct kist_str;
int kist_tar_acl_decode(const uint8_t *value, size_t len, struct kist_str *out);

#endif
