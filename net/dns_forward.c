/* Queries for others to answer: each on a socket of its own, so that the port is as random as the id (RFC 5452). */
#include "net/dns_internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVFAIL = 2, RCODE_REFUSED = 5 };

/* Each server is asked once, and again once, but never longer than the client waits. */
#define TRIES 3u

void dns_forward_free(struct dns_pending *pending)
{
	kist_close_fd(&pending->fd);
	free(pending->query);
	free(pending->buffer);
	*pending = (struct dns_pending){ .fd = -1 };
}

/* The answer with the client's own id, and the place is free again. */
static void finish(struct kist_dns *dns, struct dns_pending *pending, uint8_t *answer, size_t len)
{
	struct dns_return to = pending->to;

	memcpy(answer, pending->id, sizeof(pending->id));
	dns_forward_free(pending);
	dns_return(dns, &to, answer, len);
}

static void give_up(struct kist_dns *dns, struct dns_pending *pending)
{
	uint8_t answer[KIST_DNS_UDP];
	ssize_t n = kist_dns_fail(pending->query, pending->len, SERVFAIL, answer, sizeof(answer));

	if (n > 0)
		finish(dns, pending, answer, (size_t)n);
	else
		dns_forward_free(pending);
}

/* --- sending --------------------------------------------------------------------------------------------------------
 */

static socklen_t server_address(const struct kist_dns_server *server, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (server->addr.family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(server->port);
		memcpy(&in->sin_addr, server->addr.bytes, sizeof(in->sin_addr));
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(server->port);
	memcpy(&in6->sin6_addr, server->addr.bytes, sizeof(in6->sin6_addr));
	return sizeof(*in6);
}

static int send_tcp(struct dns_pending *pending)
{
	while (pending->have < pending->want) {
		ssize_t n =
		        send(pending->fd, pending->buffer + pending->have, pending->want - pending->have, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == ENOTCONN ? 0 : -errno;
		pending->have += (size_t)n;
	}
	pending->sending = false;
	pending->have = 0;
	pending->want = 2;
	return 1;
}

/* Opens a socket to the current server and sends. Only a connected socket takes answers from that server alone. */
static int ask(struct kist_dns *dns, struct dns_pending *pending)
{
	const struct kist_dns_server *server = &dns->servers[pending->server % dns->n_servers];
	int type = pending->tcp ? SOCK_STREAM : SOCK_DGRAM;
	struct sockaddr_storage where;
	socklen_t len = server_address(server, &where);
	size_t index = (size_t)(pending - dns->pending);

	kist_close_fd(&pending->fd);
	kist_random(pending->query, 2);
	KIST_CLOSE int fd = socket(where.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&where, len) < 0 && errno != EINPROGRESS)
		return -errno;
	if (pending->tcp) {
		free(pending->buffer);
		pending->buffer = kist_alloc(2 + pending->len);
		pending->buffer[0] = (uint8_t)(pending->len >> 8);
		pending->buffer[1] = (uint8_t)pending->len;
		memcpy(pending->buffer + 2, pending->query, pending->len);
		pending->have = 0;
		pending->want = 2 + pending->len;
		pending->sending = true;
	} else if (send(fd, pending->query, pending->len, MSG_NOSIGNAL) < 0) {
		return -errno;
	}
	int r = dns_watch(dns, EPOLL_CTL_ADD, fd, pending->tcp ? EPOLLOUT : EPOLLIN, DNS_OUT, index);
	if (r < 0)
		return r;
	pending->fd = kist_steal_fd(&fd);
	pending->deadline = kist_now_boot() + dns->timeout;
	return 0;
}

/* The next server, as long as there are tries left. */
static void ask_next(struct kist_dns *dns, struct dns_pending *pending)
{
	unsigned tries = dns->n_servers > TRIES ? (unsigned)dns->n_servers : TRIES;

	while (dns->n_servers && pending->tries < tries) {
		pending->tries++;
		if (ask(dns, pending) == 0)
			return;
		pending->server++;
	}
	give_up(dns, pending);
}

static void try_another(struct kist_dns *dns, struct dns_pending *pending)
{
	pending->server++;
	ask_next(dns, pending);
}

/* A client that asks again because it saw no answer yet must not take a second place. */
static bool is_pending(const struct kist_dns *dns, const struct dns_return *to, const uint8_t *query, size_t len)
{
	for (size_t i = 0; i < DNS_PENDING; i++) {
		const struct dns_pending *p = &dns->pending[i];

		if (p->fd >= 0 && !p->to.tcp && !to->tcp && p->len == len && memcmp(p->id, query, 2) == 0 &&
		    p->to.udp.sin_port == to->udp.sin_port && p->to.udp.sin_addr.s_addr == to->udp.sin_addr.s_addr &&
		    memcmp(p->query + 2, query + 2, len - 2) == 0)
			return true;
	}
	return false;
}

void dns_forward(struct kist_dns *dns, const struct dns_return *to, const uint8_t *query, size_t len)
{
	struct dns_pending *place = NULL;

	if (is_pending(dns, to, query, len))
		return;
	for (size_t i = 0; i < DNS_PENDING && !place; i++) {
		if (dns->pending[i].fd < 0)
			place = &dns->pending[i];
	}
	if (!place) {
		uint8_t answer[KIST_DNS_UDP];
		ssize_t n = kist_dns_fail(query, len, SERVFAIL, answer, sizeof(answer));

		if (n > 0)
			dns_return(dns, to, answer, (size_t)n);
		return;
	}
	*place = (struct dns_pending){ .fd = -1, .to = *to, .len = len, .tcp = to->tcp };
	memcpy(place->id, query, sizeof(place->id));
	place->query = kist_alloc(len);
	memcpy(place->query, query, len);
	ask_next(dns, place);
}

/* --- receiving ------------------------------------------------------------------------------------------------------
 */

/* A server that cannot or will not say is no reason not to ask the others. */
static bool is_refusal(const struct kist_dns *dns, const struct dns_pending *pending, const uint8_t *answer)
{
	unsigned code = answer[3] & 0x0f;

	return (code == SERVFAIL || code == RCODE_REFUSED) && pending->tries < dns->n_servers;
}

static void take_datagram(struct kist_dns *dns, struct dns_pending *pending)
{
	ssize_t len;

	/* Answers to something else are passed over until the time is up, as forgeries should be. */
	for (unsigned i = 0; i < 16; i++) {
		len = recv(pending->fd, dns->answer, KIST_DNS_UDP_LARGE, MSG_DONTWAIT);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == EAGAIN)
			return;
		if (len < 0) { /* nobody listens there */
			try_another(dns, pending);
			return;
		}
		if (!kist_dns_matches(pending->query, pending->len, dns->answer, (size_t)len))
			continue;
		if (is_refusal(dns, pending, dns->answer))
			try_another(dns, pending);
		else /* with TC the client asks again over TCP, and so do we then */
			finish(dns, pending, dns->answer, (size_t)len);
		return;
	}
}

/* Returns 1 when the answer is whole, 0 when more must come, a negative errno. */
static int read_tcp(struct dns_pending *pending)
{
	for (;;) {
		ssize_t n =
		        recv(pending->fd, pending->buffer + pending->have, pending->want - pending->have, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		pending->have += (size_t)n;
		if (pending->have < pending->want)
			continue;
		if (pending->want > 2)
			return 1;
		pending->want = 2 + ((size_t)pending->buffer[0] << 8 | pending->buffer[1]);
		if (pending->want == 2)
			return -EBADMSG;
		pending->buffer = kist_realloc(pending->buffer, pending->want);
	}
}

static void take_stream(struct kist_dns *dns, struct dns_pending *pending)
{
	int r = pending->sending ? send_tcp(pending) : 0;

	if (r == 1)
		r = dns_watch(dns, EPOLL_CTL_MOD, pending->fd, EPOLLIN, DNS_OUT, (size_t)(pending - dns->pending));
	else if (r == 0 && !pending->sending)
		r = read_tcp(pending);
	if (r == 1 && !kist_dns_matches(pending->query, pending->len, pending->buffer + 2, pending->want - 2))
		r = -EBADMSG;
	if (r == 1 && is_refusal(dns, pending, pending->buffer + 2))
		r = -ECONNREFUSED;
	if (r < 0) {
		try_another(dns, pending);
	} else if (r == 1) {
		KIST_FREE uint8_t *answer = kist_steal(&pending->buffer);

		finish(dns, pending, answer + 2, pending->want - 2);
	}
}

void dns_forward_event(struct kist_dns *dns, size_t index)
{
	struct dns_pending *pending = &dns->pending[index];

	/* Errors show when the socket is used. */
	if (pending->fd < 0)
		return;
	if (pending->tcp)
		take_stream(dns, pending);
	else
		take_datagram(dns, pending);
}

void dns_forward_timeout(struct kist_dns *dns, int64_t now)
{
	for (size_t i = 0; i < DNS_PENDING; i++) {
		if (dns->pending[i].fd >= 0 && dns->pending[i].deadline <= now)
			try_another(dns, &dns->pending[i]);
	}
}
