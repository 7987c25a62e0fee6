#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* How often a call is repeated that lost a race against someone who renames. */
enum { RACE_RETRIES = 128 };

/* RESOLVE_IN_ROOT and RESOLVE_BENEATH give EAGAIN when a rename or mount anywhere on the system happened during a
 * '..': the kernel cannot tell whether it led out (openat2(2)). */
static int open_resolved(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .resolve = resolve };
	long fd = -1;

	flags |= O_CLOEXEC;
	/* openat2 refuses what a flag makes meaningless. A device in a container's tree never becomes our terminal. */
	if (!(flags & O_PATH))
		flags |= O_NOCTTY | O_LARGEFILE;
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		how.mode = mode & 07777;
	how.flags = (uint32_t)flags;
	for (int i = 0; i < RACE_RETRIES; i++) {
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return -errno;
}

int kist_open_in_root(int root, const char *path, int flags, mode_t mode)
{
	return open_resolved(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int kist_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
	return open_resolved(dir, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int kist_open_dir_same_mount(int dir, const char *name)
{
	int fd = open_resolved(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
	                       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);

	/* The kernel says ENOTDIR or ELOOP for a link, depending on which flag it looks at first. */
	return fd == -ELOOP ? -ENOTDIR : fd;
}

static int is_link_fd(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISLNK(st.st_mode);
}

int kist_open_in_root_nofollow(int root, const char *path, int flags, mode_t mode)
{
	char cut[PATH_MAX];
	size_t n = strlen(path);
	int fd, r;

	/* A slash at the end would make the kernel follow the last component all the same. */
	if (n > 1 && path[n - 1] == '/') {
		if (n >= sizeof(cut))
			return -ENAMETOOLONG;
		while (n > 1 && path[n - 1] == '/')
			n--;
		memcpy(cut, path, n);
		cut[n] = '\0';
		path = cut;
		flags |= O_DIRECTORY;
	}
	fd = kist_open_in_root(root, path, flags | O_NOFOLLOW, mode);
	if (fd == -ENOTDIR && flags & O_DIRECTORY) {
		/* O_DIRECTORY hides that it is a link. */
		int link KIST_CLOSE = kist_open_in_root(root, path, O_PATH | O_NOFOLLOW, 0);

		return link >= 0 && is_link_fd(link) > 0 ? -ELOOP : -ENOTDIR;
	}
	if (fd >= 0 && flags & O_PATH && !(flags & O_DIRECTORY)) {
		/* O_PATH with O_NOFOLLOW opens the link itself. */
		r = is_link_fd(fd);
		if (r != 0) {
			close(fd);
			return r < 0 ? r : -ELOOP;
		}
	}
	return fd;
}

int kist_reopen(int fd, int flags)
{
	char path[32];
	int fresh;

	/* Directories need no /proc. */
	if (flags & O_DIRECTORY) {
		fresh = openat(fd, ".", flags | O_CLOEXEC);
		return fresh < 0 ? -errno : fresh;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fresh = open(path, (flags & ~O_NOFOLLOW) | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY));
	return fresh < 0 ? -errno : fresh;
}

int kist_read_fd(int fd, size_t max, struct kist_str *out)
{
	size_t before = out->len, total = 0;

	for (;;) {
		size_t room;
		ssize_t n;

		kist_str_reserve(out, total < 4096 ? 4096 : total);
		room = out->cap - out->len - 1;
		n = read(fd, out->data + out->len, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (total += (size_t)n) > max) {
			int r = n < 0 ? -errno : -EFBIG;

			out->len = before;
			out->data[before] = '\0';
			return r;
		}
		if (n == 0)
			break;
		out->len += (size_t)n;
	}
	if (before)
		memmove(out->data, out->data + before, total);
	out->len = total;
	out->data[total] = '\0';
	return 0;
}

int kist_read_file(int dir, const char *name, size_t max, struct kist_str *out)
{
	int fd KIST_CLOSE = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : kist_read_fd(fd, max, out);
}

int kist_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int kist_write_kernel(int dir, const char *name, const char *text)
{
	int fd KIST_CLOSE = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

/* Uniqueness comes from O_EXCL, so that the clock and the stack's random address do: neither is a system call. */
static void tmp_suffix(char out[7], unsigned attempt)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz012345";
	struct timespec ts = { 0 };
	uint64_t bits;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	bits = ((uint64_t)ts.tv_nsec ^ ((uint64_t)ts.tv_sec << 20) ^ ((uint64_t)(uintptr_t)out >> 4) ^ attempt) *
	       0x9e3779b97f4a7c15ULL;
	for (int i = 0; i < 6; i++)
		out[i] = alphabet[bits >> (59 - 5 * i) & 31];
	out[6] = '\0';
}

static int create_tmp(int dir, const char *name, mode_t mode, char tmp[NAME_MAX + 1])
{
	/* dir is where the temporary goes and what is synced: it must hold the name itself. */
	if (strchr(name, '/'))
		return -EINVAL;
	for (unsigned i = 0; i < RACE_RETRIES; i++) {
		char suffix[7];
		int fd;

		tmp_suffix(suffix, i);
		/* A name of full length is cut: the sweeper looks at the prefix only. */
		snprintf(tmp, NAME_MAX + 1, KIST_TMP_PREFIX "%.200s-%s", name, suffix);
		fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST && errno != EINTR)
			return -errno;
	}
	return -EEXIST;
}

/* ext4 answers a rename over a file with writing the new one out at once (auto_da_alloc), which takes as long as an
 * fsync. Who did not ask for one swaps the two instead, which is as atomic, and removes the old file. */
static int put_in_place(int dir, const char *tmp, const char *name, bool synced)
{
	if (!synced && renameat2(dir, tmp, dir, name, RENAME_EXCHANGE) == 0) {
		if (unlinkat(dir, tmp, 0) == 0 || errno != EISDIR)
			return 0;
		/* The name was a directory's: give it back. */
		return renameat2(dir, tmp, dir, name, RENAME_EXCHANGE) < 0 ? -errno : -EISDIR;
	}
	/* ENOENT: the first of that name. EINVAL: a file system that cannot swap. */
	return renameat(dir, tmp, dir, name) < 0 ? -errno : 0;
}

int kist_replace_file(int dir, const char *name, const void *data, size_t len, mode_t mode, unsigned flags)
{
	char tmp[NAME_MAX + 1];
	int fd KIST_CLOSE = create_tmp(dir, name, mode, tmp);
	int r = 0;

	if (fd < 0)
		return fd;
	/* No umask in use takes the owner's own bits, so that private files are spared the call. */
	if (mode & 077 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0)
		r = kist_write_all(fd, data, len);
	if (r == 0 && flags & KIST_REPLACE_SYNC && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = put_in_place(dir, tmp, name, flags & KIST_REPLACE_SYNC);
	if (r < 0) {
		unlinkat(dir, tmp, 0);
		return r;
	}
	return flags & KIST_REPLACE_SYNC ? kist_sync_dir(dir) : 0;
}

#define SUM_FORMAT "#sum=........\n"
enum { SUM_LENGTH = 14, SUM_AT = 5 };

static unsigned long sum_of(const char *data, size_t len)
{
	return crc32_z(0, (const unsigned char *)data, len);
}

void kist_sum_append(struct kist_str *s)
{
	kist_str_addf(s, "#sum=%08lx\n", sum_of(kist_str_get(s), s->len));
}

int kist_sum_check(struct kist_str *s)
{
	char expected[] = SUM_FORMAT;
	unsigned long sum;
	size_t body;

	if (s->len < SUM_LENGTH)
		return -EBADMSG;
	body = s->len - SUM_LENGTH;
	sum = sum_of(s->data, body);
	for (size_t i = SUM_LENGTH - 1; i-- > SUM_AT; sum >>= 4)
		expected[i] = "0123456789abcdef"[sum & 15];
	if (memcmp(s->data + body, expected, SUM_LENGTH) != 0)
		return -EBADMSG;
	s->len = body;
	s->data[body] = '\0';
	return 0;
}

bool kist_exists_at(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool kist_is_fs(int fd, unsigned long magic)
{
	struct statfs fs;

	/* f_type is signed and as wide as a long; some magic numbers use bit 31. */
	return fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type == (uint32_t)magic;
}

int kist_sync_dir(int dir)
{
	/* EINVAL: a file system that has nothing to do for a directory. */
	return fsync(dir) < 0 && errno != EINVAL ? -errno : 0;
}

static int open_lock_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	/* flock(2) needs no writing, except on NFS. */
	if (fd < 0 && errno == EROFS)
		fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int kist_lock(int dir, const char *name, bool exclusive, bool nonblock)
{
	int operation = (exclusive ? LOCK_EX : LOCK_SH) | (nonblock ? LOCK_NB : 0);

	/* Each turn means that another process removed the object meanwhile: no bound is needed to end. */
	for (;;) {
		int fd KIST_CLOSE = open_lock_file(dir, name);
		struct stat held, named;

		if (fd < 0)
			return fd;
		while (flock(fd, operation) < 0) {
			if (errno != EINTR)
				return -errno;
		}
		if (fstat(fd, &held) < 0)
			return -errno;
		if (fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			return -errno;
		}
		if (held.st_ino == named.st_ino && held.st_dev == named.st_dev)
			return kist_steal_fd(&fd);
	}
}

void kist_random(void *out, size_t n)
{
	char *p = out;

	while (n) {
		ssize_t got = getrandom(p, n, 0);

		/* Only EINTR is possible: the kernel is newer than the call, and the buffer is ours. */
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
}

void kist_random_hex(char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[64];

	for (size_t i = 0; i < n; i++) {
		if (i % (2 * sizeof(bytes)) == 0) {
			size_t left = (n - i + 1) / 2;

			kist_random(bytes, left < sizeof(bytes) ? left : sizeof(bytes));
		}
		out[i] = digits[bytes[i / 2 % sizeof(bytes)] >> (i % 2 ? 0 : 4) & 15];
	}
	out[n] = '\0';
}

/* SCM_MAX_FD of the kernel (include/net/scm.h): no message carries more. */
enum { MAX_FDS = 253 };

int kist_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > MAX_FDS)
		return -EINVAL;
	if (n_fds) {
		memset(&control, 0, CMSG_SPACE(sizeof(int) * n_fds));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * n_fds);
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
		if (n > 0) {
			/* A stream socket may take less; the fds went with the first byte. */
			iov.iov_base = (char *)iov.iov_base + n;
			iov.iov_len -= (size_t)n;
			msg.msg_control = NULL;
			msg.msg_controllen = 0;
		}
	} while ((n < 0 && errno == EINTR) || (n > 0 && iov.iov_len));
	return n < 0 ? -errno : 0;
}

/* Moves the message's fds to fds; what does not fit is closed. Returns how many there were. */
static size_t take_fds(struct msghdr *msg, int *fds, size_t room)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (count < room)
				fds[count] = fd;
			else
				close(fd);
			count++;
		}
	}
	return count;
}

ssize_t kist_recv_fds(int sock, void *data, size_t len, int *fds, size_t *n_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control)
	};
	size_t room = n_fds ? *n_fds : 0, count;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	count = take_fds(&msg, fds, room);
	/* MSG_CTRUNC: the kernel dropped some, at our limit of open files. */
	if (count > room || msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) {
		for (size_t i = 0; i < count && i < room; i++)
			kist_close_fd(&fds[i]);
		return -EMSGSIZE;
	}
	if (n_fds)
		*n_fds = count;
	return n;
}
