/* Loop devices by ioctl.
 *
 * Containers of one image share one device, and so the kernel's one instance of its file system and one page cache: a
 * device that shows the file already is looked for first. Who looks holds a flock on the file, so that two that come at
 * once do not make two; the lock works on a read-only file system, too, and leaves no file. */
#include "overlay/loop.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another process may take the free device between the question and the answer. */
#define TRIES 64

static int open_number(long number, char path[KIST_LOOP_PATH])
{
	snprintf(path, KIST_LOOP_PATH, "/dev/loop%ld", number);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* Asked of the open device: an idle one cannot be cleared any more while it is open. */
static bool shows(int device, const struct stat *file)
{
	struct loop_info64 info;

	return ioctl(device, LOOP_GET_STATUS64, &info) == 0 && info.lo_device == file->st_dev &&
	       info.lo_inode == file->st_ino && info.lo_offset == 0 && info.lo_sizelimit == 0 &&
	       info.lo_encrypt_type == 0 && (info.lo_flags & LO_FLAGS_READ_ONLY);
}

static bool is_in_use(int devices, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%.20s/loop/backing_file", name);
	return faccessat(devices, path, F_OK, 0) == 0;
}

static int find(const struct stat *file, char path[KIST_LOOP_PATH])
{
	DIR *list = opendir("/sys/block");
	int found = -ENOENT;

	for (const struct dirent *entry; list && found < 0 && (entry = readdir(list));) {
		char *end;

		if (!kist_has_prefix(entry->d_name, "loop") || !is_in_use(dirfd(list), entry->d_name))
			continue;
		long number = strtol(entry->d_name + strlen("loop"), &end, 10);
		KIST_CLOSE int device = *end ? -1 : open_number(number, path);
		if (device >= 0 && shows(device, file))
			found = kist_steal_fd(&device);
	}
	if (list)
		closedir(list);
	return found;
}

static int configure(int device, int file)
{
	const struct loop_config config = {
		.fd = (uint32_t)file,
		.info = { .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR, .lo_file_name = "kist" },
	};

	return ioctl(device, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
}

static int take_free(int file, char path[KIST_LOOP_PATH], struct kist_error *err)
{
	KIST_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int r = -EBUSY;

	if (control < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV)) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, ENODEV, "this host has no loop devices (/dev/loop-control)");
		return kist_remedy(err, "load the module 'loop'");
	}
	if (control < 0)
		return kist_fail_errno(err, errno, "open /dev/loop-control");
	for (int i = 0; r == -EBUSY && i < TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		if (number < 0)
			return kist_fail_errno(err, errno, "get a free loop device");
		KIST_CLOSE int device = open_number(number, path);
		if (device < 0)
			return kist_fail_errno(err, -device, "open %s", path);
		r = configure(device, file);
		if (r == 0)
			return kist_steal_fd(&device);
	}
	return kist_fail_errno(err, -r, "set up %s", path);
}

int kist_loop_attach(int file, char path[KIST_LOOP_PATH], struct kist_error *err)
{
	struct stat st;

	/* A description of its own: the caller's may be shared, and its lock would be. */
	KIST_CLOSE int own = kist_reopen(file, O_RDONLY);
	if (own < 0)
		return kist_fail_errno(err, -own, "open the file");
	if (fstat(own, &st) < 0 || flock(own, LOCK_EX) < 0)
		return kist_fail_errno(err, errno, "lock the file");
	int device = find(&st, path);
	/* The device keeps what it is given open, and with it a lock: so it is not given ours. */
	return device >= 0 ? device : take_free(file, path, err);
}
