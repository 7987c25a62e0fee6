/* Connections: bytes both ways, half-closed when one side has said all, never more kept than one read. */
#include "net/proxy_internal.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Reads of one side in one round, so that the monitor's other work is never kept waiting. */
#define READS 8

static void pause_listeners(struct kist_proxy *proxy, bool paused)
{
	if (proxy->paused == paused)
		return;
	proxy->paused = paused;
	for (size_t i = 0; i < proxy->n_listeners; i++)
		if (proxy->listeners[i].protocol != IPPROTO_UDP)
			proxy_watch(proxy, EPOLL_CTL_MOD, proxy->listeners[i].fd, paused ? 0 : EPOLLIN, PROXY_LISTENER,
			            i);
}

void proxy_stream_free(struct kist_proxy *proxy, struct proxy_stream *stream)
{
	for (int side = 0; side < 2; side++) {
		kist_close_fd(&stream->fds[side]);
		free(stream->pending[side]);
	}
	*stream = (struct proxy_stream){ .fds = { -1, -1 } };
	pause_listeners(proxy, false);
}

/* NULL: all are taken. */
static struct proxy_stream *free_place(struct kist_proxy *proxy)
{
	size_t old = proxy->n_streams;

	for (size_t i = 0; i < old; i++)
		if (proxy->streams[i].fds[0] < 0)
			return &proxy->streams[i];
	if (old >= PROXY_STREAMS)
		return NULL;
	proxy->n_streams = old ? old * 2 : 8;
	proxy->streams = kist_grow(proxy->streams, proxy->n_streams, sizeof(*proxy->streams));
	for (size_t i = old; i < proxy->n_streams; i++)
		proxy->streams[i] = (struct proxy_stream){ .fds = { -1, -1 } };
	return &proxy->streams[old];
}

/* Asks epoll for what each side waits for. */
static int rewatch(struct kist_proxy *proxy, struct proxy_stream *s)
{
	size_t place = (size_t)(s - proxy->streams);

	for (unsigned side = 0; side < 2; side++) {
		uint32_t events = 0;

		if (!s->connecting && !s->ended[side] && !s->have[side])
			events |= EPOLLIN;
		if (s->have[!side] || (side == 1 && s->connecting))
			events |= EPOLLOUT;
		if (events == s->events[side])
			continue;
		int r = proxy_watch(proxy, EPOLL_CTL_MOD, s->fds[side], events, PROXY_STREAM, place * 2 + side);
		if (r < 0)
			return r;
		s->events[side] = events;
	}
	return 0;
}

/* The client of a connection that failed is told so: a reset, not an end. */
static void refuse(int fd)
{
	const struct linger reset = { .l_onoff = 1 };

	(void)!setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

static bool is_to_loopback(int fd)
{
	struct sockaddr_in6 own;
	socklen_t len = sizeof(own);

	return getsockname(fd, (struct sockaddr *)&own, &len) == 0 && own.sin6_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&own.sin6_addr);
}

/* Out of descriptors: a client left in the queue would wake us again and again. The spare one takes it, and refuses. */
static void turn_away(struct kist_proxy *proxy, int listener)
{
	kist_close_fd(&proxy->spare);
	KIST_CLOSE int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client >= 0)
		refuse(client);
	kist_close_fd(&client);
	proxy->spare = fcntl(proxy->epoll, F_DUPFD_CLOEXEC, 3);
}

void proxy_stream_accept(struct kist_proxy *proxy, size_t index)
{
	const struct proxy_listener *listener = &proxy->listeners[index];
	struct proxy_stream *place = free_place(proxy);
	struct sockaddr_storage where;

	if (!place) {
		pause_listeners(proxy, true);
		return;
	}
	KIST_CLOSE int client = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client < 0) {
		if (errno == EMFILE || errno == ENFILE)
			turn_away(proxy, listener->fd);
		return;
	}
	refuse(client);
	if (!listener->to.family || !is_to_loopback(client))
		return;
	socklen_t len = proxy_target(listener, &where);
	KIST_CLOSE int target = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, listener->protocol);
	if (target < 0 || (connect(target, (struct sockaddr *)&where, len) < 0 && errno != EINPROGRESS))
		return;
	size_t at = (size_t)(place - proxy->streams) * 2;
	if (proxy_watch(proxy, EPOLL_CTL_ADD, client, 0, PROXY_STREAM, at) < 0 ||
	    proxy_watch(proxy, EPOLL_CTL_ADD, target, EPOLLOUT, PROXY_STREAM, at + 1) < 0)
		return;
	*place = (struct proxy_stream){
		.fds = { kist_steal_fd(&client), kist_steal_fd(&target) },
		.connecting = true,
		.events = { 0, EPOLLOUT },
	};
}

/* How much the other side took; a negative errno. */
static ssize_t pass(int fd, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(fd, data + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? (ssize_t)done : -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* From one side to the other until there is no more, or it is not taken. */
static int read_side(struct kist_proxy *proxy, struct proxy_stream *s, unsigned side)
{
	for (int i = 0; i < READS && !s->have[side] && !s->ended[side]; i++) {
		ssize_t n = recv(s->fds[side], proxy->buffer, PROXY_BUFFER, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		s->ended[side] = n == 0;
		ssize_t taken = pass(s->fds[!side], proxy->buffer, (size_t)n);
		if (taken < 0)
			return (int)taken;
		if (taken == n)
			continue;
		s->have[side] = (size_t)(n - taken);
		s->at[side] = 0;
		s->pending[side] = kist_alloc(s->have[side]);
		memcpy(s->pending[side], proxy->buffer + taken, s->have[side]);
	}
	return 0;
}

/* What was read from the other side before. */
static int write_side(struct proxy_stream *s, unsigned side)
{
	unsigned from = !side;

	if (!s->have[from])
		return 0;
	ssize_t n = pass(s->fds[side], s->pending[from] + s->at[from], s->have[from]);
	if (n < 0)
		return (int)n;
	s->at[from] += (size_t)n;
	s->have[from] -= (size_t)n;
	if (!s->have[from]) {
		free(s->pending[from]);
		s->pending[from] = NULL;
	}
	return 0;
}

static int finish_connect(struct proxy_stream *s)
{
	const struct linger none = { 0 };
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(s->fds[1], SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	s->connecting = false;
	if (!error && setsockopt(s->fds[0], SOL_SOCKET, SO_LINGER, &none, sizeof(none)) < 0)
		return -errno;
	return -error;
}

void proxy_stream_event(struct kist_proxy *proxy, size_t index, uint32_t events)
{
	struct proxy_stream *s = &proxy->streams[index / 2];
	unsigned side = index % 2;
	int r = 0;

	if (s->fds[0] < 0) /* freed by an earlier event of this round */
		return;
	if (s->connecting && side == 1)
		r = finish_connect(s);
	else if (s->connecting) /* the client left */
		r = -ECONNRESET;
	else if (events & EPOLLERR)
		r = -EIO;
	if (r == 0 && (events & EPOLLOUT))
		r = write_side(s, side);
	if (r == 0 && (events & (EPOLLIN | EPOLLHUP)))
		r = read_side(proxy, s, side);
	for (unsigned i = 0; r == 0 && i < 2; i++) {
		if (!s->ended[i] || s->have[i] || s->shut[!i])
			continue;
		s->shut[!i] = true;
		if (shutdown(s->fds[!i], SHUT_WR) < 0)
			r = -errno;
	}
	if (r == 0 && !(s->shut[0] && s->shut[1]))
		r = rewatch(proxy, s);
	else
		r = -ECONNRESET;
	if (r < 0)
		proxy_stream_free(proxy, s);
}
