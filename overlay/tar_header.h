/* The 512-byte header block of tar, in all its dialects: v7, POSIX ustar, old GNU, star.
 * POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format". */
#ifndef KIST_OVERLAY_TAR_HEADER_H
#define KIST_OVERLAY_TAR_HEADER_H

#include "core/base/base.h"

struct kist_error;
struct kist_str;

#define KIST_TAR_BLOCK 512

struct kist_tar_header {
	char type;      /* typeflag; NUL of v7 is given as '0' */
	bool gnu;       /* old GNU magic: sparse maps may follow in the block */
	char name[257]; /* prefix and name joined */
	char link[101];
	uint32_t mode; /* permission bits and setuid, setgid, sticky */
	uint32_t uid, gid;
	uint64_t size;
	int64_t mtime;
	uint32_t major, minor;
};

bool kist_tar_checksum_ok(const uint8_t block[KIST_TAR_BLOCK]);
bool kist_tar_is_zero(const uint8_t block[KIST_TAR_BLOCK]);
int kist_tar_header_parse(const uint8_t block[KIST_TAR_BLOCK], struct kist_tar_header *out, struct kist_error *err);

/* A number field: octal text, or base-256 with the top bit set (GNU, star). -EINVAL: not a number, -ERANGE: too large.
 */
int kist_tar_number(const uint8_t *field, size_t len, int64_t *out);

/* A name as it may be printed: control characters escaped, cut at the end. Returns out. */
char *kist_tar_show(char out[200], const char *name);

#endif
