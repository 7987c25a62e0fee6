/* Datagrams: a socket for each client, so that what the container answers finds back to it. */
#include "net/proxy_internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH     32
#define FLOW_IDLE (120 * KIST_NSEC_PER_SEC) /* as conntrack keeps one that was answered */

static bool is_same(const struct proxy_flow *flow, size_t listener, const struct sockaddr_in6 *client)
{
	return flow->fd >= 0 && flow->listener == listener && flow->client.sin6_port == client->sin6_port &&
	       IN6_ARE_ADDR_EQUAL(&flow->client.sin6_addr, &client->sin6_addr);
}

/* A free place, or that of the one that has been quiet longest; those that are long over are freed on the way. */
static struct proxy_flow *free_place(struct kist_proxy *proxy, int64_t now)
{
	struct proxy_flow *oldest = NULL;

	if (!proxy->flows) {
		proxy->n_flows = PROXY_FLOWS;
		proxy->flows = kist_alloc(PROXY_FLOWS * sizeof(*proxy->flows));
		for (size_t i = 0; i < proxy->n_flows; i++)
			proxy->flows[i].fd = -1;
	}
	for (size_t i = 0; i < proxy->n_flows; i++) {
		struct proxy_flow *flow = &proxy->flows[i];

		if (flow->fd >= 0 && now - flow->used > FLOW_IDLE)
			kist_close_fd(&flow->fd);
		if (!oldest || flow->fd < 0 || (oldest->fd >= 0 && flow->used < oldest->used))
			oldest = flow;
	}
	kist_close_fd(&oldest->fd);
	return oldest;
}

static struct proxy_flow *find_flow(struct kist_proxy *proxy, size_t index, const struct sockaddr_in6 *client)
{
	const struct proxy_listener *listener = &proxy->listeners[index];
	int64_t now = kist_now_boot();
	struct sockaddr_storage where;

	for (size_t i = 0; i < proxy->n_flows; i++) {
		if (is_same(&proxy->flows[i], index, client)) {
			proxy->flows[i].used = now;
			return &proxy->flows[i];
		}
	}
	socklen_t len = proxy_target(listener, &where);
	KIST_CLOSE int fd = socket(where.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&where, len) < 0)
		return NULL;
	struct proxy_flow *flow = free_place(proxy, now);
	if (proxy_watch(proxy, EPOLL_CTL_ADD, fd, EPOLLIN, PROXY_FLOW, (size_t)(flow - proxy->flows)) < 0)
		return NULL;
	*flow = (struct proxy_flow){
		.fd = kist_steal_fd(&fd),
		.listener = index,
		.client = *client,
		.used = now,
	};
	return flow;
}

static bool is_to_loopback(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct in6_pktinfo info;

		if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		return IN6_IS_ADDR_LOOPBACK(&info.ipi6_addr);
	}
	return false;
}

void proxy_flow_receive(struct kist_proxy *proxy, size_t index)
{
	const struct proxy_listener *listener = &proxy->listeners[index];

	for (int i = 0; i < BATCH; i++) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct iovec part = { proxy->buffer, PROXY_BUFFER };
		struct sockaddr_in6 client = { 0 };
		struct msghdr message = {
			.msg_name = &client,
			.msg_namelen = sizeof(client),
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(listener->fd, &message, MSG_DONTWAIT);

		/* Of errors there are only those of answers that no client wanted: reading takes them away. */
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 || !listener->to.family || !is_to_loopback(&message))
			continue;
		struct proxy_flow *flow = find_flow(proxy, index, &client);
		if (flow)
			(void)!send(flow->fd, proxy->buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

void proxy_flow_event(struct kist_proxy *proxy, size_t index)
{
	struct proxy_flow *flow = &proxy->flows[index];

	for (int i = 0; i < BATCH && flow->fd >= 0; i++) {
		ssize_t n = recv(flow->fd, proxy->buffer, PROXY_BUFFER, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* nobody listens there: the client's next one finds out anew */
			kist_close_fd(&flow->fd);
			return;
		}
		flow->used = kist_now_boot();
		(void)!sendto(proxy->listeners[flow->listener].fd, proxy->buffer, (size_t)n,
		              MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&flow->client,
		              sizeof(flow->client));
	}
}
