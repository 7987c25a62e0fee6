/* The monitor's connections. A client that does not read is queued for; the owner paces the container like the reader
 * of a pipe, others are dropped when they stand still for STALL_MS. */
#include "core/monitor_internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define STALL_MS 5000
#define MAX_FDS  64

static void client_drop(struct monitor *m, struct client *client)
{
	if (client->gone)
		return;
	client->gone = true;
	monitor_unwatch(m, &client->watch);
	kist_str_free(&client->queue);
	client->stalled = 0;
	monitor_exec_leave(m, client);
	if (client == m->control) {
		m->control = NULL;
		m->abandoned = !m->control_left;
	}
	monitor_stdio_pace(m);
}

static void client_flush(struct monitor *m, struct client *client)
{
	size_t done = 0;

	while (done < client->queue.len) {
		uint32_t len;
		memcpy(&len, client->queue.data + done, sizeof(len));
		ssize_t n = send(client->watch.fd, client->queue.data + done + sizeof(len), len,
		                 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
			break;
		if (n < 0) {
			client_drop(m, client);
			return;
		}
		done += sizeof(len) + len;
	}
	if (done == client->queue.len) {
		kist_str_free(&client->queue);
		client->stalled = 0;
		monitor_rewatch(m, &client->watch, EPOLLIN);
		monitor_stdio_pace(m);
	} else if (done) {
		memmove(client->queue.data, client->queue.data + done, client->queue.len - done);
		client->queue.len -= done;
		client->stalled = kist_now_boot();
	}
}

void monitor_client_send(struct monitor *m, struct client *client, char type, const void *data, size_t len)
{
	uint32_t total = (uint32_t)len + 1;

	if (client->gone)
		return;
	if (client->queue.len == 0) {
		struct iovec parts[2] = { { &type, 1 }, { (void *)data, len } };
		struct msghdr message = { .msg_iov = parts, .msg_iovlen = len ? 2 : 1 };
		ssize_t n = sendmsg(client->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			return;
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
			client_drop(m, client);
			return;
		}
		client->stalled = kist_now_boot();
		monitor_rewatch(m, &client->watch, EPOLLIN | EPOLLOUT);
	}
	kist_str_addn(&client->queue, &total, sizeof(total));
	kist_str_addc(&client->queue, type);
	kist_str_addn(&client->queue, data, len);
}

void monitor_broadcast(struct monitor *m, char type, const void *data, size_t len)
{
	for (struct client *client = m->clients; client; client = client->next)
		if (client->output)
			monitor_client_send(m, client, type, data, len);
}

void monitor_clients_end(struct monitor *m, int32_t code)
{
	for (struct client *client = m->clients; client; client = client->next)
		if (client->output && !client->owner) {
			monitor_client_send(m, client, KIST_MSG_EXITED, &code, sizeof(code));
			client->output = false;
		}
}

bool monitor_clients_pending(const struct monitor *m)
{
	for (const struct client *client = m->clients; client; client = client->next)
		if (!client->gone && client->queue.len)
			return true;
	return false;
}

int monitor_clients_timeout(struct monitor *m)
{
	int64_t now = kist_now_boot(), soonest = -1;

	for (struct client *client = m->clients; client; client = client->next) {
		/* At the end even the owner may not keep the monitor for ever. */
		if (client->gone || !client->stalled || (client->owner && m->phase != MONITOR_DEAD))
			continue;
		int64_t bound = client->owner ? 60 * STALL_MS : STALL_MS;
		int64_t left = client->stalled / KIST_NSEC_PER_MSEC + bound - now / KIST_NSEC_PER_MSEC;
		if (left <= 0) {
			kist_debug("dropping a client that does not read");
			client_drop(m, client);
		} else if (soonest < 0 || left < soonest) {
			soonest = left;
		}
	}
	return (int)soonest;
}

void monitor_clients_reap(struct monitor *m)
{
	for (struct client **at = &m->clients; *at;) {
		struct client *client = *at;
		if (!client->gone) {
			at = &client->next;
			continue;
		}
		*at = client->next;
		free(client);
		/* A descriptor is free again: who could not be accepted can be now. */
		monitor_rewatch(m, &m->listener, EPOLLIN);
	}
}

void monitor_clients_credit(struct monitor *m)
{
	for (struct client *client = m->clients; client; client = client->next) {
		uint32_t debt = client->debt;
		if (!debt)
			continue;
		client->debt = 0;
		monitor_client_send(m, client, KIST_MSG_TAKEN, &debt, sizeof(debt));
	}
}

void monitor_clients_dismiss(struct monitor *m)
{
	for (struct client *client = m->clients; client; client = client->next)
		if (!client->output && !client->queue.len)
			client_drop(m, client);
}

/* --- what clients ask -----------------------------------------------------------------------------------------------
 */

static void gate_open_for(struct monitor *m, struct client *client)
{
	struct kist_error err = { 0 };

	/* The starting command holds the container's lock for us, and waits for the answer. */
	int r = m->phase == MONITOR_GATE ? monitor_gate_open(m, &err)
	                                 : kist_fail(&err, KIST_ERR_STATE, EBUSY, "it ended before it was started");
	if (r < 0) {
		monitor_client_send(m, client, KIST_MSG_FAILED, &err, sizeof(err));
		if (m->phase == MONITOR_GATE)
			monitor_gate_fail(m);
	} else {
		monitor_client_send(m, client, KIST_MSG_STARTED, NULL, 0);
	}
}

/* To the session that this connection asked for, else to the container's init. */
static void client_signal(struct monitor *m, const struct client *client, const char *data)
{
	const struct exec_session *session = monitor_exec_of(m, client);
	int32_t number;

	memcpy(&number, data, sizeof(number));
	if (session)
		kill(session->pid, number); /* our own child, not reaped yet: the pid is its */
	else if (m->phase == MONITOR_RUNNING)
		kist_pidfd_signal(m->launch.child.pidfd, number);
}

static void client_message(struct monitor *m, struct client *client, char type, const char *data, size_t len, int *fds,
                           size_t n_fds)
{
	switch (type) {
	case KIST_MSG_ATTACH:
		if (len == sizeof(struct kist_msg_attach)) {
			const struct kist_msg_attach *attach = (const void *)data;
			client->output = attach->output;
			client->owner = attach->owner;
		}
		break;
	case KIST_MSG_START:
		monitor_notify_to(m, data, n_fds ? fds[0] : -1);
		gate_open_for(m, client);
		break;
	case KIST_MSG_LEAVE:
		if (client == m->control)
			m->control_left = true;
		monitor_exec_keep(m, client);
		break;
	case KIST_MSG_STDIN:
		client->debt += (uint32_t)len;
		monitor_stdio_input(m, data, len);
		break;
	case KIST_MSG_EOF:
		monitor_stdio_input_end(m);
		break;
	case KIST_MSG_SIZE:
		if (len == sizeof(struct kist_msg_size)) {
			struct kist_msg_size size;
			memcpy(&size, data, sizeof(size));
			monitor_stdio_resize(m, size.rows, size.cols);
		}
		break;
	case KIST_MSG_EXEC_SIZE:
		if (len == sizeof(struct kist_msg_exec_size)) {
			struct kist_msg_exec_size size;
			memcpy(&size, data, sizeof(size));
			monitor_exec_resize(m, size.id, size.rows, size.cols);
		}
		break;
	case KIST_MSG_SIGNAL:
		if (len == sizeof(int32_t))
			client_signal(m, client, data);
		break;
	case KIST_MSG_BROKEN:
		if (len == 1 && client->owner)
			monitor_stdio_broken(m, data[0]);
		break;
	case KIST_MSG_NETWORK:
		if (len == sizeof(uint32_t))
			monitor_network_changed(m, client, data);
		break;
	case KIST_MSG_STOP:
		if (len == sizeof(struct kist_msg_stop)) {
			struct kist_msg_stop stop;
			memcpy(&stop, data, sizeof(stop));
			if (stop.run == m->c->state.run && m->phase != MONITOR_DEAD)
				monitor_stop_by(m, stop.moment);
		}
		break;
	case KIST_MSG_CONFIG:
		monitor_health_changed(m, client);
		break;
	case KIST_MSG_HEALTH:
		monitor_health_ask(m, client);
		break;
	case KIST_MSG_EXEC:
		monitor_exec(m, client, data, len, fds, n_fds);
		break;
	default:
		break;
	}
}

static void client_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	struct client *client = (struct client *)w;
	static const size_t room = KIST_MSG_DATA + 1;
	int fds[MAX_FDS];
	size_t n_fds = MAX_FDS;

	if (events & EPOLLOUT)
		client_flush(m, client);
	if (client->gone || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	char packet[KIST_MSG_DATA + 2];
	ssize_t n = kist_recv_fds(w->fd, packet, room, fds, &n_fds);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		client_drop(m, client);
		return;
	}
	packet[n] = '\0';
	client_message(m, client, packet[0], packet + 1, (size_t)n - 1, fds, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		kist_close_fd(&fds[i]);
}

struct client *monitor_client_add(struct monitor *m, int sock)
{
	struct client *client = kist_alloc(sizeof(*client));

	client->next = m->clients;
	m->clients = client;
	monitor_watch(m, &client->watch, sock, EPOLLIN, client_ready);
	return client;
}

static void listener_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	(void)events;
	int sock = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (sock < 0) {
		if (errno == EMFILE || errno == ENFILE)
			monitor_rewatch(m, w, 0);
		return;
	}
	/* The directory is ours alone already; a descriptor that was passed on is not a permission. */
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || (peer.uid != 0 && peer.uid != geteuid())) {
		kist_close_fd(&sock);
		return;
	}
	monitor_client_add(m, sock);
}

void monitor_listen(struct monitor *m, struct kist_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int run = m->c->run_dir;

	unlinkat(run, "attach", 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/attach", run);
	KIST_CLOSE int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	bool bound = sock >= 0 && bind(sock, (struct sockaddr *)&address, sizeof(address)) == 0;
	umask(mask);
	if (!bound || listen(sock, 64) < 0) {
		kist_fail_errno(err, errno, "listen on the attach socket");
		return;
	}
	monitor_watch(m, &m->listener, kist_steal_fd(&sock), EPOLLIN, listener_ready);
}
