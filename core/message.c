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
	ssize_t n;

	do
		n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (message.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	if (n == 0) {
		*type = 0;
		return 0;
	}
	return n - 1;
}
