/* pax extended headers: what one says about the entries it applies to.
 * POSIX.1-2017, pax, "pax Header Block"; the GNU, star (SCHILY) and libarchive vendor keys.
 *
 * Extended attributes are taken under these rules:
 *   user.*, trusted.*, security.capability, security.ima and POSIX ACLs are kept;
 *   *.overlay.* is overlayfs's own bookkeeping: an archive must not be able to redirect or hide other layers' files;
 *   labels of security modules (security.selinux and others) belong to the host that wrote them.
 * An ACL in text form is kept when each of its names is given by number too, as bsdtar, star and tar --numeric-owner
 * write it; names alone would have to be looked up in the host's passwd, which is not the image's. */
#ifndef KIST_OVERLAY_TAR_PAX_H
#define KIST_OVERLAY_TAR_PAX_H

#include "core/base/base.h"

struct kist_error;
struct kist_str;

struct kist_tar_segment {
	uint64_t offset, len; /* bytes, in the file */
};

struct kist_tar_map {
	struct kist_tar_segment *segments;
	size_t n;
};

struct kist_tar_xattr {
	char *name;
	uint8_t *value;
	size_t len;
};

enum kist_tar_pax_key {
	KIST_PAX_PATH = 1 << 0,
	KIST_PAX_LINK = 1 << 1,
	KIST_PAX_SIZE = 1 << 2,
	KIST_PAX_UID = 1 << 3,
	KIST_PAX_GID = 1 << 4,
	KIST_PAX_MTIME = 1 << 5,
	KIST_PAX_SPARSE_NAME = 1 << 6,
	KIST_PAX_SPARSE_SIZE = 1 << 7,  /* the size with holes */
	KIST_PAX_SPARSE_MAP = 1 << 8,   /* 0.0 and 0.1: the map is in the header */
	KIST_PAX_SPARSE_MAJOR = 1 << 9, /* 1.0: the map is in front of the data */
	KIST_PAX_SPARSE_MINOR = 1 << 10,
};

struct kist_tar_pax {
	unsigned set;     /* of enum kist_tar_pax_key */
	unsigned cleared; /* given with an empty value: the global header's does not apply */
	char *path, *link, *sparse_name;
	uint64_t size, sparse_size, sparse_major, sparse_minor;
	uint64_t uid, gid;
	int64_t mtime;
	uint32_t mtime_nsec;
	struct kist_tar_map map;
	struct kist_tar_xattr *xattrs;
	size_t n_xattrs;
};

/* Adds the records of one header's text. */
int kist_tar_pax_parse(struct kist_tar_pax *pax, const char *text, size_t len, struct kist_error *err);
void kist_tar_pax_clear(struct kist_tar_pax *pax);

void kist_tar_xattrs_free(struct kist_tar_xattr *xattrs, size_t n);
void kist_tar_map_add(struct kist_tar_map *map, uint64_t offset, uint64_t len);

/* The value of system.posix_acl_* for an ACL in text form; -ENODATA: not in the simple form described above. */
int kist_tar_acl_encode(const char *text, struct kist_str *out);

/* Decimal digits only, no sign, whole text. */
int kist_tar_decimal(const char *text, size_t len, uint64_t *out);

#endif
