/* The proxy's sockets that listen, and its loop. */
#include "net/proxy_internal.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BACKLOG 128

int proxy_watch(struct kist_proxy *proxy, int operation, int fd, uint32_t events, enum proxy_kind kind, size_t index)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)kind << 32 | (uint32_t)index };

	return epoll_ctl(proxy->epoll, operation, fd, &event) < 0 ? -errno : 0;
}

socklen_t proxy_target(const struct proxy_listener *listener, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (listener->to.family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(listener->port);
		memcpy(&in->sin_addr, listener->to.bytes, sizeof(in->sin_addr));
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(listener->port);
	memcpy(&in6->sin6_addr, listener->to.bytes, sizeof(in6->sin6_addr));
	return sizeof(*in6);
}

int kist_proxy_open(struct kist_proxy **out, struct kist_error *err)
{
	struct kist_proxy *proxy = kist_alloc(sizeof(*proxy));

	proxy->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (proxy->epoll < 0) {
		free(proxy);
		return kist_fail_errno(err, errno, "proxy: event loop");
	}
	proxy->spare = fcntl(proxy->epoll, F_DUPFD_CLOEXEC, 3);
	*out = proxy;
	return 0;
}

void kist_proxy_close(struct kist_proxy *proxy)
{
	if (!proxy)
		return;
	for (size_t i = 0; i < proxy->n_streams; i++)
		if (proxy->streams[i].fds[0] >= 0)
			proxy_stream_free(proxy, &proxy->streams[i]);
	for (size_t i = 0; i < proxy->n_flows; i++)
		kist_close_fd(&proxy->flows[i].fd);
	for (size_t i = 0; i < proxy->n_listeners; i++)
		kist_close_fd(&proxy->listeners[i].fd);
	kist_close_fd(&proxy->spare);
	kist_close_fd(&proxy->epoll);
	free(proxy->streams);
	free(proxy->flows);
	free(proxy->listeners);
	free(proxy->buffer);
	free(proxy);
}

/* A reserved port takes nothing: a UDP socket has a filter that drops all, the others do not listen. */
static int open_up(int fd, uint8_t protocol)
{
	int one = 1, zero = 0;

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	/* While it listens nobody else can, and the connections it took must not keep the port from the next run. */
	if (protocol != IPPROTO_UDP)
		return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || listen(fd, BACKLOG) < 0
		               ? -errno
		               : 0;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero)) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int kist_proxy_add(struct kist_proxy *proxy, uint8_t protocol, int fd, struct kist_error *err)
{
	size_t number = proxy->n_listeners;

	KIST_CLOSE int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return kist_fail_errno(err, errno, "proxy: port");
	int r = open_up(copy, protocol);
	if (r == 0)
		r = proxy_watch(proxy, EPOLL_CTL_ADD, copy, proxy->paused ? 0 : EPOLLIN, PROXY_LISTENER, number);
	if (r < 0)
		return kist_fail_errno(err, -r, "proxy: listen");
	proxy->listeners = kist_grow(proxy->listeners, number + 1, sizeof(*proxy->listeners));
	proxy->listeners[number] = (struct proxy_listener){ .fd = kist_steal_fd(&copy), .protocol = protocol };
	proxy->n_listeners++;
	return (int)number;
}

void kist_proxy_lead(struct kist_proxy *proxy, size_t number, const struct kist_net_addr *to, uint16_t port)
{
	if (number >= proxy->n_listeners)
		return;
	proxy->listeners[number].to = to ? *to : (struct kist_net_addr){ 0 };
	proxy->listeners[number].port = port;
}

int kist_proxy_fd(const struct kist_proxy *proxy)
{
	return proxy->epoll;
}

void kist_proxy_process(struct kist_proxy *proxy)
{
	struct epoll_event events[16];

	int n = epoll_wait(proxy->epoll, events, KIST_COUNT(events), 0);
	if (n > 0 && !proxy->buffer)
		proxy->buffer = kist_alloc(PROXY_BUFFER);
	for (int i = 0; i < n; i++) {
		size_t index = (uint32_t)events[i].data.u64;

		switch ((enum proxy_kind)(events[i].data.u64 >> 32)) {
		case PROXY_LISTENER:
			if (proxy->listeners[index].protocol == IPPROTO_UDP)
				proxy_flow_receive(proxy, index);
			else
				proxy_stream_accept(proxy, index);
			break;
		case PROXY_STREAM:
			proxy_stream_event(proxy, index, events[i].events);
			break;
		case PROXY_FLOW:
			proxy_flow_event(proxy, index);
			break;
		}
	}
}
