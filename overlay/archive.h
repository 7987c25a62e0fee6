/* An archive of images: members by name, whether they lie in a tar or in a directory.
 *
 * A tar is read once from its beginning to its end. Members of a plain tar in a regular file are read where they are;
 * those of a stream or of a compressed tar go to numbered files in a private directory. The names in the archive are
 * compared with and never opened, and its links are resolved on that text: nothing in it can name a file of the host.
 */
#ifndef KIST_OVERLAY_ARCHIVE_H
#define KIST_OVERLAY_ARCHIVE_H

#include "core/base/base.h"

struct kist_archive;
struct kist_error;
struct kist_str;

/* fd is borrowed. spool: where members may be put; it is the caller's to remove. */
int kist_archive_open(int fd, int spool, struct kist_archive **out, struct kist_error *err);
void kist_archive_close(struct kist_archive *archive); /* NULL is fine */

struct kist_archive_member {
	int fd; /* the caller closes it */
	uint64_t offset, length;
};
bool kist_archive_has(const struct kist_archive *archive, const char *name);
/* KIST_ERR_NOT_FOUND, also when it is not a regular file. */
int kist_archive_find(const struct kist_archive *archive, const char *name, struct kist_archive_member *out,
                      struct kist_error *err);
/* The whole member; KIST_ERR_INVALID when it is longer than max. */
int kist_archive_read(const struct kist_archive *archive, const char *name, size_t max, struct kist_str *out,
                      struct kist_error *err);

/* Writing a tar of regular files: a header, the contents by whoever has them, the padding; and the end mark. Names have
 * at most 100 bytes. Negative errnos. */
int kist_archive_put_header(int to, const char *name, uint64_t size);
int kist_archive_put_padding(int to, uint64_t size);
int kist_archive_put_end(int to);

#endif
