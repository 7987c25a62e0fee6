/* --rootfs: a root file system of the user's instead of an image. */
#include "core/internal.h"

#include "core/base/fs.h"
#include "core/launch.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What it is decides how it is opened: another program may hold a device, and a FIFO would block. */
static int open_place(const char *path, bool *packed, struct kist_error *err)
{
	KIST_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return kist_fail_errno(err, errno, "rootfs %s", path);
	*packed = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
	if (!*packed && !S_ISDIR(st.st_mode))
		return kist_fail(err, KIST_ERR_INVALID, ENOTDIR,
		                 "rootfs %s: neither a directory nor a file that holds a file system", path);
	return kist_steal_fd(&fd);
}

int kist_rootfs_open(const struct kist_container_config *config, bool *packed, struct kist_error *err)
{
	KIST_CLOSE int place = open_place(config->rootfs, packed, err);

	if (place < 0 || !*packed)
		return kist_steal_fd(&place);
	if (!config->rootfs_overlay)
		return kist_fail(err, KIST_ERR_INVALID, ENOTDIR, "rootfs %s: not a directory any more", config->rootfs);
	int file = kist_reopen(place, O_RDONLY);
	return file < 0 ? kist_fail_errno(err, -file, "open rootfs %s", config->rootfs) : file;
}

int kist_rootfs_check(const struct kist_container_config *config, struct kist_error *err)
{
	bool packed;
	KIST_CLOSE int fd = kist_rootfs_open(config, &packed, err);

	if (fd < 0)
		return fd;
	if (packed && !kist_overlay_packed_type(fd))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "rootfs %s: neither a squashfs nor an erofs file system", config->rootfs);
	return 0;
}
