/* Files by descriptor. Every open here sets O_CLOEXEC.
 *
 * The three ways to open a path, and when:
 *   kist_open_in_root   a root that a container controls: links resolve inside it, as after chroot
 *   kist_open_beneath   our own trees: no '..' or link may lead out, no magic links
 *   openat              single trusted names in a directory of ours
 * Nothing else in the tree calls openat2. */
#ifndef KIST_FS_H
#define KIST_FS_H

#include "core/base/base.h"

struct kist_error;
struct kist_str;

/* Return an fd, or a negative errno (no error object: callers know the object they were after). */
int kist_open_in_root(int root, const char *path, int flags, mode_t mode);
int kist_open_beneath(int dir, const char *path, int flags, mode_t mode);
/* As in_root, but the last component may not be a link (-ELOOP). */
int kist_open_in_root_nofollow(int root, const char *path, int flags, mode_t mode);

/* A directory by a single name, for walks over trees: a link is -ENOTDIR, a mount point -EXDEV. O_RDONLY. */
int kist_open_dir_same_mount(int dir, const char *name);

/* Makes path and missing parents inside root, links resolved in-root; an existing directory is fine.
 * New directories get mode exactly (umask is not applied) and owner uid:gid. Returns an O_PATH fd. */
int kist_mkdirs_in_root(int root, const char *path, mode_t mode, uid_t uid, gid_t gid);
/* The host's own trusted path: mkdir -p; returns an O_RDONLY|O_DIRECTORY fd or a negative errno. */
int kist_mkdirs(const char *path, mode_t mode);

/* Reopens an O_PATH fd for real through /proc/self/fd. */
int kist_reopen(int fd, int flags);

/* Read a whole file, at most max bytes (-EFBIG past that). Replaces what is in out, and leaves it as it was on failure.
 * The result is NUL-terminated. */
int kist_read_fd(int fd, size_t max, struct kist_str *out);
int kist_read_file(int dir, const char *name, size_t max, struct kist_str *out);

int kist_write_all(int fd, const void *data, size_t len); /* retries short writes and EINTR */
/* One write to an existing file of a kernel file system (procfs, sysfs, cgroupfs): no O_CREAT, no O_TRUNC. */
int kist_write_kernel(int dir, const char *name, const char *text);

enum kist_replace_flags {
	KIST_REPLACE_SYNC = 1, /* fsync the file before and the directory after the rename */
};
/* Atomic replace: temporary in dir, write, rename. mode is exact. A crash leaves old or new, never a mix;
 * temporaries are named ".tmp-NAME-XXXXXX" and are swept by the owner of the directory. name is a
 * single name in dir (-EINVAL otherwise). */
int kist_replace_file(int dir, const char *name, const void *data, size_t len, mode_t mode, unsigned flags);

/* The checksum line that ends every record: "#sum=XXXXXXXX\n", CRC-32 (zlib) of all before it. */
void kist_sum_append(struct kist_str *s);
/* Cuts the line off after checking it. -EBADMSG: missing or wrong, the record is torn. */
int kist_sum_check(struct kist_str *s);

/* Removes dir/name and all below it by fds: never follows a link, never crosses a mount (-EBUSY is
 * returned for a mount point and what is above it stays). A missing name is success. */
int kist_remove_tree(int dir, const char *name);

bool kist_exists_at(int dir, const char *name);
/* fstatfs magic of fd equals? */
bool kist_is_fs(int fd, unsigned long magic);
int kist_sync_dir(int dir); /* fsync of a directory fd */

/* flock on dir/name, created 0600. Waits unless nonblock (-EWOULDBLOCK). Returns the fd that holds the lock:
 * close it to release. The lock file may have been unlinked meanwhile: then it is retried on the new one. */
int kist_lock(int dir, const char *name, bool exclusive, bool nonblock);

/* Base name temporary names start with. */
#define KIST_TMP_PREFIX ".tmp-"

/* Random bytes from getrandom(2); and n hexadecimal characters plus NUL. */
void kist_random(void *out, size_t n);
void kist_random_hex(char *out, size_t n);

/* Sends and takes fds over a unix socket with one data message. fds taken are CLOEXEC. */
int kist_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n_fds);
ssize_t kist_recv_fds(int sock, void *data, size_t len, int *fds, size_t *n_fds); /* in: room, out: count */

#endif
