#include "ns/launch.h"
#include "ns/mount_fd.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* O_NONBLOCK and O_RDWR: whatever a hostile image has there, the open returns. */
static int open_multiplexer(int root, struct kist_error *err)
{
	struct stat st;
	KIST_CLOSE int fd = kist_open_in_root_nofollow(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);

	if (fd < 0)
		return kist_fail_errno(err, -fd, "terminal: open /dev/pts/ptmx of the container");
	if (!kist_is_fs(fd, DEVPTS_SUPER_MAGIC) || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    st.st_rdev != makedev(5, 2))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "terminal: /dev/pts of the container is not a devpts file system");
	if (fcntl(fd, F_SETFL, 0) < 0)
		return kist_fail_errno(err, errno, "terminal: set flags");
	return kist_steal_fd(&fd);
}

int kist_ns_console_open(int root, unsigned rows, unsigned cols, int *master, int *slave, struct kist_error *err)
{
	const struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };
	const int unlocked = 0;
	KIST_CLOSE int m = open_multiplexer(root, err);

	if (m < 0)
		return m;
	if (ioctl(m, TIOCSPTLCK, &unlocked) < 0)
		return kist_fail_errno(err, errno, "terminal: unlock");
	/* By the master, never by the name in /dev/pts (CVE-2025-52565). */
	KIST_CLOSE int s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s < 0)
		return kist_fail_errno(err, errno, "terminal: open the other end");
	if ((rows || cols) && ioctl(m, TIOCSWINSZ, &size) < 0)
		return kist_fail_errno(err, errno, "terminal: set the size");
	*master = kist_steal_fd(&m);
	*slave = kist_steal_fd(&s);
	return 0;
}

int kist_ns_console_bind(int root, int slave, struct kist_error *err)
{
	KIST_CLOSE int point = kist_ns_mount_point_open(root, "/dev/console", false);

	if (point < 0)
		return kist_fail_errno(err, -point, "terminal: /dev/console");
	KIST_CLOSE int copy = kist_ns_mount_clone(slave, "", false);
	int r = copy < 0 ? copy : kist_ns_mount_attach(copy, point);
	return r < 0 ? kist_fail_errno(err, -r, "terminal: put it at /dev/console") : 0;
}

int kist_ns_console_control(int slave, struct kist_error *err)
{
	return ioctl(slave, TIOCSCTTY, 0) < 0 ? kist_fail_errno(err, errno, "terminal: take control") : 0;
}
