#include "ns/ns.h"

#include "core/base/error.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int kist_ns_loopback_up(struct kist_error *err)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	/* Any family takes the ioctl: local sockets exist in kernels without IPv4. */
	KIST_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return kist_fail_errno(err, errno, "loopback: socket");
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return kist_fail_errno(err, errno, "loopback: up");
	return 0;
}
