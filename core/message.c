/* Packets between a command and a monitor. */
#include "core/monitor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int kist_msg_send(int sock, char type, const void *data, size_t len)
{
	struct iovec parts[2] = { { &type, 1 }, { (void *)data, len } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = len ? 2 : 1 };
	ssize_t n;

	do
		n = sendmsg(sock, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

ssize_t kist_msg_recv(int sock, char *type, void *data, size_t room)
{
	struct iovec parts[2] = { { type, 1 }, { data, room } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	bool reset = false;
	ssize_t n;

	/* A peer that ends with a message of ours unread leaves a reset, which the kernel tells once and before what
	 * the peer had sent: the container's end may be there. */
	while ((n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC)) < 0) {
		if (errno == ECONNRESET && !reset)
			reset = true;
		else if (errno != EINTR)
			return -errno;
	}
	if (message.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	if (n == 0) {
		*type = 0;
		return 0;
	}
	return n - 1;
}
