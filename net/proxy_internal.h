/* What the proxy's files share. Only net/proxy*.c include this. */
#ifndef KIST_PROXY_INTERNAL_H
#define KIST_PROXY_INTERNAL_H

#include "net/proxy.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* One container's clients on the host itself: bounds that no sane use meets, so that a monitor cannot take every
 * descriptor there is. */
#define PROXY_STREAMS 512u
#define PROXY_FLOWS   64u
#define PROXY_BUFFER  65536u

struct proxy_listener {
	int fd;
	uint8_t protocol;
	struct kist_net_addr to; /* family 0: nowhere */
	uint16_t port;
};

/* A pair of connections: side 0 is the client's. */
struct proxy_stream {
	int fds[2]; /* -1: the place is free */
	bool connecting;
	bool ended[2], shut[2]; /* no more comes from it; no more goes to it */
	uint8_t *pending[2];    /* read from that side, and not taken by the other yet */
	size_t at[2], have[2];
	uint32_t events[2]; /* what epoll is asked for */
};

/* Datagrams of one client, with a socket of its own so that answers find back. */
struct proxy_flow {
	int fd; /* -1: the place is free */
	size_t listener;
	struct sockaddr_in6 client;
	int64_t used; /* boot time */
};

struct kist_proxy {
	int epoll, spare; /* spare: given up for a moment when there are no more descriptors */
	struct proxy_listener *listeners;
	size_t n_listeners;
	bool paused; /* no place for another stream: nobody is accepted */
	struct proxy_stream *streams;
	size_t n_streams; /* places */
	struct proxy_flow *flows;
	size_t n_flows;  /* places */
	uint8_t *buffer; /* PROXY_BUFFER, once something came */
};

enum proxy_kind { PROXY_LISTENER, PROXY_STREAM, PROXY_FLOW };
int proxy_watch(struct kist_proxy *proxy, int operation, int fd, uint32_t events, enum proxy_kind kind, size_t index);
socklen_t proxy_target(const struct proxy_listener *listener, struct sockaddr_storage *out);

/* proxy_stream.c; index: twice the place, plus the side */
void proxy_stream_accept(struct kist_proxy *proxy, size_t listener);
void proxy_stream_event(struct kist_proxy *proxy, size_t index, uint32_t events);
void proxy_stream_free(struct kist_proxy *proxy, struct proxy_stream *stream);

/* proxy_flow.c */
void proxy_flow_receive(struct kist_proxy *proxy, size_t listener);
void proxy_flow_event(struct kist_proxy *proxy, size_t index);

#endif
