/* The DNS server's own side: sockets in the container's namespace, clients over UDP and TCP, one epoll for all. */
#include "net/dns_internal.h"

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "net/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define DEFAULT_PORT    53
#define DEFAULT_TIMEOUT 1500
/* How many packets one call of kist_dns_process takes in, so that the monitor's other work is never kept waiting. */
#define UDP_BATCH 64

int dns_watch(struct kist_dns *dns, int operation, int fd, uint32_t events, enum dns_kind kind, size_t index)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)kind << 32 | (uint32_t)index };

	return epoll_ctl(dns->epoll, operation, fd, &event) < 0 ? -errno : 0;
}

/* --- opening --------------------------------------------------------------------------------------------------------
 */

static int bind_socket(int type, uint16_t port, struct kist_error *err)
{
	const struct sockaddr_in where = { .sin_family = AF_INET,
		                           .sin_port = htons(port),
		                           .sin_addr.s_addr = inet_addr(KIST_DNS_ADDRESS) };
	int one = 1;

	KIST_CLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return kist_fail_errno(err, errno, "dns socket");
	/* A name server inside the container may want the port for all addresses. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		return kist_fail_errno(err, errno, "dns socket option");
	if (bind(fd, (const struct sockaddr *)&where, sizeof(where)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, DNS_CLIENTS) < 0))
		return kist_fail_errno(err, errno, "dns: bind " KIST_DNS_ADDRESS ":%u/%s", port,
		                       type == SOCK_STREAM ? "tcp" : "udp");
	return kist_steal_fd(&fd);
}

struct bind_request {
	struct kist_dns *dns;
	uint16_t port;
};

static int bind_both(void *arg, struct kist_error *err)
{
	struct bind_request *request = arg;

	request->dns->udp = bind_socket(SOCK_DGRAM, request->port, err);
	if (request->dns->udp < 0)
		return request->dns->udp;
	request->dns->tcp = bind_socket(SOCK_STREAM, request->port, err);
	return request->dns->tcp < 0 ? request->dns->tcp : 0;
}

static int open_loop(struct kist_dns *dns, struct kist_error *err)
{
	dns->epoll = epoll_create1(EPOLL_CLOEXEC);
	dns->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (dns->epoll < 0 || dns->timer < 0 || dns_watch(dns, EPOLL_CTL_ADD, dns->timer, EPOLLIN, DNS_TIMER, 0) < 0 ||
	    dns_watch(dns, EPOLL_CTL_ADD, dns->udp, EPOLLIN, DNS_UDP, 0) < 0 ||
	    dns_watch(dns, EPOLL_CTL_ADD, dns->tcp, EPOLLIN, DNS_TCP, 0) < 0)
		return kist_fail_errno(err, errno, "dns: event loop");
	return 0;
}

int kist_dns_open(const struct kist_dns_options *options, int netns, struct kist_dns **out, struct kist_error *err)
{
	struct kist_dns *dns = kist_alloc(sizeof(*dns));
	struct bind_request request = { .dns = dns, .port = options->port ? options->port : DEFAULT_PORT };

	dns->source = options->source;
	dns->timeout = (options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT) * KIST_NSEC_PER_MSEC;
	dns->epoll = dns->timer = dns->udp = dns->tcp = -1;
	dns->packet = kist_alloc(KIST_DNS_UDP_LARGE);
	dns->answer = kist_alloc(KIST_DNS_UDP_LARGE);
	for (size_t i = 0; i < DNS_CLIENTS; i++)
		dns->clients[i].fd = -1;
	for (size_t i = 0; i < DNS_PENDING; i++)
		dns->pending[i].fd = -1;
	kist_dns_set_servers(dns, options->servers, options->n_servers);
	int r = kist_net_run_in(netns, bind_both, &request, err);
	if (r == 0)
		r = open_loop(dns, err);
	if (r < 0) {
		kist_dns_close(dns);
		return r;
	}
	*out = dns;
	return 0;
}

static void client_free(struct dns_client *client)
{
	kist_close_fd(&client->fd);
	free(client->buffer);
	*client = (struct dns_client){ .fd = -1, .generation = client->generation + 1 };
}

void kist_dns_close(struct kist_dns *dns)
{
	if (!dns)
		return;
	for (size_t i = 0; i < DNS_CLIENTS; i++)
		client_free(&dns->clients[i]);
	for (size_t i = 0; i < DNS_PENDING; i++)
		dns_forward_free(&dns->pending[i]);
	kist_close_fd(&dns->udp);
	kist_close_fd(&dns->tcp);
	kist_close_fd(&dns->timer);
	kist_close_fd(&dns->epoll);
	free(dns->packet);
	free(dns->answer);
	free(dns);
}

int kist_dns_fd(const struct kist_dns *dns)
{
	return dns->epoll;
}

void kist_dns_set_servers(struct kist_dns *dns, const struct kist_dns_server *servers, size_t n)
{
	dns->n_servers = n < DNS_SERVERS ? n : DNS_SERVERS;
	for (size_t i = 0; i < dns->n_servers; i++) {
		dns->servers[i] = servers[i];
		if (!dns->servers[i].port)
			dns->servers[i].port = DEFAULT_PORT;
	}
}

/* --- UDP ------------------------------------------------------------------------------------------------------------
 */

static void take_udp(struct kist_dns *dns)
{
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		struct dns_return to = { .tcp = false };
		socklen_t from = sizeof(to.udp);
		ssize_t len = recvfrom(dns->udp, dns->packet, KIST_DNS_UDP_LARGE, MSG_DONTWAIT,
		                       (struct sockaddr *)&to.udp, &from);

		if (len < 0 && errno == EINTR)
			continue;
		/* Errors of the socket are about packets that clients did not wait for. */
		if (len < 0 && errno != EAGAIN)
			continue;
		if (len < 0)
			return;
		ssize_t n = kist_dns_answer(&dns->source, dns->packet, (size_t)len, false, dns->n_servers > 0,
		                            dns->answer, KIST_DNS_UDP_LARGE);
		if (n > 0)
			dns_return(dns, &to, dns->answer, (size_t)n);
		else if (n == 0)
			dns_forward(dns, &to, dns->packet, (size_t)len);
	}
}

/* --- TCP ------------------------------------------------------------------------------------------------------------
 */

static struct dns_client *free_place(struct kist_dns *dns)
{
	struct dns_client *oldest = &dns->clients[0];

	for (size_t i = 0; i < DNS_CLIENTS; i++) {
		if (dns->clients[i].fd < 0)
			return &dns->clients[i];
		if (dns->clients[i].deadline < oldest->deadline)
			oldest = &dns->clients[i];
	}
	/* The one that has been quiet longest makes room, so that idle clients keep nobody out. */
	client_free(oldest);
	return oldest;
}

static void accept_client(struct kist_dns *dns)
{
	KIST_CLOSE int fd = accept4(dns->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	struct dns_client *client = free_place(dns);

	if (dns_watch(dns, EPOLL_CTL_ADD, fd, EPOLLIN, DNS_CLIENT, (size_t)(client - dns->clients)) < 0)
		return;
	client->fd = kist_steal_fd(&fd);
	client->room = 2 + KIST_DNS_UDP;
	client->buffer = kist_alloc(client->room);
	client->want = 2;
	client->deadline = kist_now_boot() + DNS_CLIENT_IDLE_MS * KIST_NSEC_PER_MSEC;
}

/* Sends what there is to send. Returns false when the client is gone. */
static bool client_write(struct kist_dns *dns, struct dns_client *client)
{
	while (client->have < client->want) {
		ssize_t n = send(client->fd, client->buffer + client->have, client->want - client->have, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return dns_watch(dns, EPOLL_CTL_MOD, client->fd, EPOLLOUT, DNS_CLIENT,
			                 (size_t)(client - dns->clients)) == 0;
		if (n <= 0)
			return false;
		client->have += (size_t)n;
	}
	client->writing = client->waiting = false;
	client->have = 0;
	client->want = 2;
	client->deadline = kist_now_boot() + DNS_CLIENT_IDLE_MS * KIST_NSEC_PER_MSEC;
	return dns_watch(dns, EPOLL_CTL_MOD, client->fd, EPOLLIN, DNS_CLIENT, (size_t)(client - dns->clients)) == 0;
}

static bool client_answer(struct kist_dns *dns, struct dns_client *client, const uint8_t *answer, size_t len)
{
	if (client->room < len + 2) {
		client->buffer = kist_realloc(client->buffer, len + 2);
		client->room = len + 2;
	}
	client->buffer[0] = (uint8_t)(len >> 8);
	client->buffer[1] = (uint8_t)len;
	memcpy(client->buffer + 2, answer, len);
	client->have = 0;
	client->want = len + 2;
	client->writing = true;
	return client_write(dns, client);
}

/* A whole query is in the buffer. */
static bool client_query(struct kist_dns *dns, struct dns_client *client)
{
	size_t len = client->have - 2;
	struct dns_return to = { .tcp = true,
		                 .client = (size_t)(client - dns->clients),
		                 .generation = client->generation };
	KIST_FREE uint8_t *out = kist_alloc(KIST_DNS_MAX);

	ssize_t n = kist_dns_answer(&dns->source, client->buffer + 2, len, true, dns->n_servers > 0, out, KIST_DNS_MAX);
	if (n < 0)
		return false;
	if (n > 0)
		return client_answer(dns, client, out, (size_t)n);
	client->waiting = true;
	/* No more is read until the answer is out. */
	if (dns_watch(dns, EPOLL_CTL_MOD, client->fd, 0, DNS_CLIENT, to.client) < 0)
		return false;
	dns_forward(dns, &to, client->buffer + 2, len);
	return true;
}

static bool client_read(struct kist_dns *dns, struct dns_client *client)
{
	for (;;) {
		ssize_t n = recv(client->fd, client->buffer + client->have, client->want - client->have, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		client->have += (size_t)n;
		if (client->have < client->want)
			continue;
		if (client->want > 2)
			return client_query(dns, client);
		client->want = 2 + ((size_t)client->buffer[0] << 8 | client->buffer[1]);
		if (client->want == 2 || client->want > 2 + KIST_DNS_UDP_LARGE)
			return false;
		if (client->room < client->want) {
			client->buffer = kist_realloc(client->buffer, client->want);
			client->room = client->want;
		}
	}
}

static void client_event(struct kist_dns *dns, size_t index, uint32_t events)
{
	struct dns_client *client = &dns->clients[index];
	bool alive = true;

	if (client->fd < 0)
		return;
	if (client->waiting && !client->writing)
		alive = !(events & (EPOLLHUP | EPOLLERR));
	else if (client->writing)
		alive = client_write(dns, client);
	else
		alive = client_read(dns, client);
	if (!alive)
		client_free(client);
}

void dns_return(struct kist_dns *dns, const struct dns_return *to, const uint8_t *answer, size_t len)
{
	if (!to->tcp) {
		(void)!sendto(dns->udp, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&to->udp,
		              sizeof(to->udp));
		return;
	}
	struct dns_client *client = &dns->clients[to->client];

	if (client->fd < 0 || client->generation != to->generation)
		return;
	if (!client_answer(dns, client, answer, len))
		client_free(client);
}

/* --- the loop -------------------------------------------------------------------------------------------------------
 */

/* The timer follows the nearest deadline. */
static void arm(struct kist_dns *dns)
{
	struct itimerspec when = { 0 };
	int64_t next = 0;

	for (size_t i = 0; i < DNS_PENDING; i++) {
		if (dns->pending[i].fd >= 0 && (!next || dns->pending[i].deadline < next))
			next = dns->pending[i].deadline;
	}
	for (size_t i = 0; i < DNS_CLIENTS; i++) {
		if (dns->clients[i].fd >= 0 && (!next || dns->clients[i].deadline < next))
			next = dns->clients[i].deadline;
	}
	if (next == dns->armed)
		return;
	when.it_value.tv_sec = next / KIST_NSEC_PER_SEC;
	when.it_value.tv_nsec = next % KIST_NSEC_PER_SEC;
	if (timerfd_settime(dns->timer, TFD_TIMER_ABSTIME, &when, NULL) == 0)
		dns->armed = next;
}

static void timeouts(struct kist_dns *dns)
{
	int64_t now = kist_now_boot();
	uint64_t expirations;

	(void)!read(dns->timer, &expirations, sizeof(expirations));
	dns->armed = 0;
	dns_forward_timeout(dns, now);
	for (size_t i = 0; i < DNS_CLIENTS; i++) {
		if (dns->clients[i].fd >= 0 && dns->clients[i].deadline <= now)
			client_free(&dns->clients[i]);
	}
}

void kist_dns_process(struct kist_dns *dns)
{
	struct epoll_event events[16];

	int n = epoll_wait(dns->epoll, events, KIST_COUNT(events), 0);
	for (int i = 0; i < n; i++) {
		size_t index = (uint32_t)events[i].data.u64;

		switch ((enum dns_kind)(events[i].data.u64 >> 32)) {
		case DNS_TIMER:
			timeouts(dns);
			break;
		case DNS_UDP:
			take_udp(dns);
			break;
		case DNS_TCP:
			accept_client(dns);
			break;
		case DNS_CLIENT:
			client_event(dns, index, events[i].events);
			break;
		case DNS_OUT:
			dns_forward_event(dns, index);
			break;
		}
	}
	arm(dns);
}
