/* Both ends of sd_notify(3): listen PATH|@NAME prints what comes, a datagram a line, with newlines as '|' and the
 * sender's pid in front; send ADDRESS TEXT [COUNT] sends ('|' is a newline); fds ADDRESS passes a descriptor along, and
 * waits until the other side has closed it, as sd_notify_barrier(3). */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static socklen_t address_of(struct sockaddr_un *a, const char *text)
{
	size_t n = strlen(text);

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (n >= sizeof(a->sun_path))
		exit(2);
	memcpy(a->sun_path, text, n);
	if (text[0] == '@')
		a->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (text[0] == '@' ? 0 : 1));
}

static int receive(int sock)
{
	char text[8192], control[256];
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t n = recvmsg(sock, &msg, 0);
	struct ucred who = { 0 };

	if (n < 0)
		return 1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&who, CMSG_DATA(c), sizeof(who));
		else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			printf("DESCRIPTORS ");
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\n')
			text[i] = '|';
	text[n] = 0;
	printf("%d %s\n", (int)who.pid, text);
	return fflush(stdout) ? 1 : 0;
}

static int barrier(int sock, struct sockaddr_un *to, socklen_t len)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec iov = { (void *)"BARRIER=1", 9 };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control,
		              .msg_controllen = sizeof(control),
		              .msg_name = to,
		              .msg_namelen = len };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int ends[2];

	if (pipe(ends) < 0)
		return 1;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &ends[1], sizeof(int));
	if (sendmsg(sock, &msg, 0) < 0)
		return 1;
	close(ends[1]);
	return read(ends[0], &byte, 1) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address;
	int sock = socket(AF_UNIX, SOCK_DGRAM, 0), one = 1;

	if (argc < 3 || sock < 0)
		return 2;
	socklen_t len = address_of(&address, argv[2]);
	if (!strcmp(argv[1], "listen")) {
		if (bind(sock, (struct sockaddr *)&address, len) < 0 ||
		    setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0)
			return 1;
		while (receive(sock) == 0)
			continue;
		return 1;
	}
	if (!strcmp(argv[1], "fds"))
		return barrier(sock, &address, len);
	if (argc < 4)
		return 2;
	size_t n = strlen(argv[3]);
	for (char *at = argv[3]; *at; at++)
		if (*at == '|')
			*at = '\n';
	for (int i = argc > 4 ? atoi(argv[4]) : 1; i > 0; i--)
		if (sendto(sock, argv[3], n, 0, (struct sockaddr *)&address, len) < 0)
			return 1;
	return 0;
}
