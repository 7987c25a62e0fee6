/* Trees copied and given another owner, by descriptors: no link is followed, no mount is crossed. */
#ifndef KIST_FS_COPY_H
#define KIST_FS_COPY_H

#include "core/base/base.h"

struct kist_error;

/* Copies the content of one directory into another, and the directory's own owner, mode, attributes and times. Kept are
 * owners, modes, times, extended attributes (capabilities, ACLs), hard links, holes and shared extents where the file
 * systems can. What is in the way is an error (EEXIST). Attributes that the target's file system cannot hold are left
 * out, but for security.capability. Errors name the entry. */
int kist_copy_tree(int from, int to, struct kist_error *err);
/* The owner, mode, attributes and times of an open file or directory to another. */
int kist_copy_metadata(int from, int to);

/* Gives everything below the directory, and itself, that owner; (uid_t)-1 leaves it. Entries that have it already are
 * not touched, so that a second pass writes nothing. Set-id bits and capabilities go where the owner changes, as
 * chown(2) has it. */
int kist_chown_tree(int dir, uid_t uid, gid_t gid, struct kist_error *err);

/* -ENOTEMPTY, 0 when there is nothing in the directory, or another negative errno. */
int kist_dir_is_empty(int dir);

/* Removes all that is in the directory, never across a mount. */
int kist_clear_dir(int dir);

#endif
