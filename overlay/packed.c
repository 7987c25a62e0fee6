/* squashfs and erofs files, mounted as they are.
 *
 * No mount of them is ever attached on the host. What is returned is a detached mount; an overlay above it holds its
 * own reference. When the last of those goes, and that is when the last process of the last container goes, the kernel
 * ends the mount and frees the loop device: there is no count to keep, and nothing that a crash could leave. */
#include "overlay/packed.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "overlay/loop.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_SIZE (256u * 1024)

/* Both superblocks' magic numbers are little-endian (Documentation/filesystems/{squashfs,erofs}.rst). */
static const struct {
	const char *type;
	off_t offset;
	uint8_t magic[4];
} types[] = {
	{ "squashfs", 0, { 'h', 's', 'q', 's' } },
	{ "erofs", 1024, { 0xe2, 0xe1, 0xf5, 0xe0 } },
};

const char *kist_overlay_packed_type(int file)
{
	for (size_t i = 0; i < KIST_COUNT(types); i++) {
		uint8_t magic[sizeof(types[i].magic)];

		if (pread(file, magic, sizeof(magic), types[i].offset) == (ssize_t)sizeof(magic) &&
		    memcmp(magic, types[i].magic, sizeof(magic)) == 0)
			return types[i].type;
	}
	return NULL;
}

/* --- the mount ------------------------------------------------------------------------------------------------------
 */

/* The context queues messages, "e text" for errors; the last one tells the cause. */
static int fail_mount(int context, int errnum, const char *type, struct kist_error *err)
{
	char text[256], last[256] = "";
	ssize_t n;

	while ((n = read(context, text, sizeof(text) - 1)) > 0) {
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (kist_has_prefix(text, "e "))
			memcpy(last, text + 2, sizeof(text) - 2);
	}
	kist_fail_errno(err, errnum, "mount %s%s%s%s", type, *last ? " (" : "", last, *last ? ")" : "");
	if (errnum == EINVAL || errnum == EIO || errnum == EUCLEAN || errnum == EOPNOTSUPP)
		return kist_remedy(err, "the file is damaged, or is packed in a way that this kernel does not know");
	return -errnum;
}

static int mount_source(const char *type, const char *source, struct kist_error *err)
{
	KIST_CLOSE int context = fsopen(type, FSOPEN_CLOEXEC);

	if (context < 0 && errno == ENODEV) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, ENODEV, "this kernel has no file system '%s'", type);
		return kist_remedy(err, "load the module '%s'", type);
	}
	if (context < 0)
		return kist_fail_errno(err, errno, "mount %s", type);
	if (fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail_mount(context, errno, type, err);
	int fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
	return fd < 0 ? fail_mount(context, errno, type, err) : fd;
}

/* Through a loop device all that have the file share one instance of the file system. erofs mounts files by itself
 * (Linux 6.12), but each mount is an instance: that is for hosts without loop devices. */
static int mount_file(int file, const char *type, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	char path[KIST_LOOP_PATH];
	KIST_CLOSE int device = kist_loop_attach(file, path, &problem);

	if (device >= 0)
		return mount_source(type, path, err);
	if (kist_streq(type, "erofs")) {
		char name[40];

		snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
		int fd = mount_source(type, name, NULL);
		if (fd >= 0)
			return fd;
	}
	if (err)
		*err = problem;
	return device;
}

int kist_overlay_packed_mount(int file, struct kist_error *err)
{
	const char *type = kist_overlay_packed_type(file);
	struct stat st;
	char path[40];

	if (!type)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "neither a squashfs nor an erofs file system");
	if (fstat(file, &st) < 0)
		return kist_fail_errno(err, errno, "look at the file");
	if (!S_ISBLK(st.st_mode))
		return mount_file(file, type, err);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return mount_source(type, path, err);
}

/* --- the layer ------------------------------------------------------------------------------------------------------
 */

static void hex(const uint8_t *digest, char out[65])
{
	for (int i = 0; i < SHA256_DIGEST_SIZE; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static ssize_t read_some(const struct kist_overlay_source *from, uint64_t done, void *data, size_t n)
{
	ssize_t got;

	if (from->part && from->length - done < n)
		n = (size_t)(from->length - done);
	do {
		got = from->part ? pread(from->fd, data, n, (off_t)(from->offset + done)) : read(from->fd, data, n);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* to -1: the digest alone. */
static int copy(const struct kist_overlay_source *from, int to, char digest[65], uint64_t *length,
                struct kist_error *err)
{
	KIST_FREE uint8_t *data = kist_alloc(COPY_SIZE);
	uint8_t sum[SHA256_DIGEST_SIZE];
	struct sha256_ctx hash;
	uint64_t done = 0;
	ssize_t n;

	sha256_init(&hash);
	while ((n = read_some(from, done, data, COPY_SIZE)) > 0) {
		int r = to >= 0 ? kist_write_all(to, data, (size_t)n) : 0;
		if (r < 0)
			return kist_fail_errno(err, -r, "write the layer");
		sha256_update(&hash, (size_t)n, data);
		done += (uint64_t)n;
	}
	if (n < 0)
		return kist_fail_errno(err, (int)-n, "read the file");
	if (from->part && done != from->length)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the file ends too early");
	sha256_digest(&hash, sizeof(sum), sum);
	hex(sum, digest);
	*length = done;
	return 0;
}

int kist_packed_digest(int file, char digest[65], struct kist_error *err)
{
	uint64_t length;

	return copy(&(struct kist_overlay_source){ .fd = file }, -1, digest, &length, err);
}

int kist_packed_fill(const struct kist_overlay_source *from, int dir, struct kist_tar_result *result,
                     struct kist_error *err)
{
	char digest[65];
	uint64_t length;

	if (mkdirat(dir, "diff", 0755) < 0)
		return kist_fail_errno(err, errno, "create a layer");
	KIST_CLOSE int file =
	        openat(dir, KIST_OVERLAY_PACKED, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (file < 0)
		return kist_fail_errno(err, errno, "create a layer");
	int r = copy(from, file, digest, &length, err);
	if (r < 0)
		return r;
	KIST_CLOSE int tree = kist_overlay_packed_mount(file, err);
	if (tree < 0)
		return tree;
	memcpy(result->diff_id, digest, sizeof(digest));
	memcpy(result->blob_id, digest, sizeof(digest));
	result->bytes = result->length = length;
	result->compression = "none";
	return 0;
}
