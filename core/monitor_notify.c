/* The monitor tells who supervises it that the container is ready: a service manager by sd_notify(3), s6 by a newline.
 * What the container itself says comes through a socket of ours, a bounded number of times a second. */
#include "core/monitor_internal.h"
#include "core/notify.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PER_SECOND 20  /* messages of the container that are looked at; others wait in its socket */
#define RETRY_MS   100 /* the service manager is behind */

static enum kist_sdnotify mode_of(const struct monitor *m)
{
	return (enum kist_sdnotify)m->c->config.sdnotify;
}

void monitor_notify_to(struct monitor *m, const char *address, int fd)
{
	if (mode_of(m) == KIST_SDNOTIFY_IGNORE)
		return;
	if (address && *address && kist_notify_check(address, NULL) == 0) {
		free(m->notify.address);
		m->notify.address = kist_strdup(address);
	}
	if (fd >= 0) {
		kist_close_fd(&m->notify.ready_fd);
		m->notify.ready_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	}
}

static void send_text(struct monitor *m, const char *text, size_t len, bool must)
{
	struct monitor_notify *n = &m->notify;

	if (!n->address || !len)
		return;
	int r = n->late.len ? -EAGAIN : kist_notify_send(n->address, text, len);
	if ((r == -EAGAIN || r == -ENOBUFS) && must && n->late.len < KIST_NOTIFY_MAX) {
		kist_str_addn(&n->late, text, len);
	} else if (r < 0) {
		kist_log(must ? KIST_LOG_ERROR : KIST_LOG_DEBUG, "container %.12s: notify %s: %s", m->c->config.id,
		         n->address, strerror(-r));
	}
}

static void say_newline(struct monitor *m)
{
	struct pollfd fd = { .fd = m->notify.ready_fd, .events = POLLOUT };

	/* Of a pipe that nobody empties: the monitor does not stand still for it. */
	if (fd.fd >= 0 && (poll(&fd, 1, 0) != 1 || write(fd.fd, "\n", 1) != 1))
		kist_log(KIST_LOG_ERROR, "container %.12s: ready file descriptor: %m", m->c->config.id);
	kist_close_fd(&m->notify.ready_fd);
}

static void say_ready(struct monitor *m)
{
	static const char text[] = "READY=1\n";

	send_text(m, text, strlen(text), true);
	say_newline(m);
}

/* --- what the container says ----------------------------------------------------------------------------------------
 */

static void proxy_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	char text[KIST_NOTIFY_MAX];
	KIST_STR struct kist_str lines = { 0 };
	int64_t now = kist_now_boot();

	(void)events;
	if (now - m->notify.second >= KIST_NSEC_PER_SEC) {
		m->notify.second = now;
		m->notify.count = 0;
	}
	if (++m->notify.count > PER_SECOND) {
		monitor_rewatch(m, w, 0);
		return;
	}
	/* No room for descriptors: the kernel closes those that come, which is what a barrier waits for. */
	ssize_t n = recv(w->fd, text, sizeof(text), MSG_DONTWAIT | MSG_TRUNC);
	if (n <= 0 || n > (ssize_t)sizeof(text))
		return;
	bool ready = kist_notify_filter(text, (size_t)n, &lines);
	send_text(m, kist_str_get(&lines), lines.len, ready);
	if (ready)
		say_newline(m);
}

static int proxy_bind(int dir)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" KIST_NOTIFY_SOCKET, dir);
	mode_t mask = umask(0);
	int r = sock < 0 || bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		kist_close_fd(&sock);
	return r < 0 ? r : sock;
}

int monitor_notify_open(struct monitor *m, bool wanted, struct kist_error *err)
{
	m->c->notify = false;
	if (mode_of(m) != KIST_SDNOTIFY_CONTAINER || m->c->config.infra ||
	    !(wanted || m->notify.address || m->notify.ready_fd >= 0))
		return 0;
	int run = kist_container_rundir(m->c, err);
	if (run < 0)
		return run;
	kist_remove_tree(run, KIST_NOTIFY_DIR);
	KIST_CLOSE int dir = mkdirat(run, KIST_NOTIFY_DIR, 0755) < 0
	                             ? -1
	                             : openat(run, KIST_NOTIFY_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int sock = dir < 0 ? -errno : proxy_bind(dir);
	if (sock < 0)
		return kist_fail_errno(err, -sock, "make the container's notify socket");
	monitor_watch(m, &m->notify.proxy, sock, EPOLLIN, proxy_ready);
	m->c->notify = true;
	return 0;
}

/* --- occasions ------------------------------------------------------------------------------------------------------
 */

void monitor_notify_started(struct monitor *m)
{
	KIST_FREE char *text =
	        kist_asprintf("MAINPID=%d\n%s", getpid(), mode_of(m) == KIST_SDNOTIFY_CONMON ? "READY=1\n" : "");

	m->notify.healthy = false;
	send_text(m, text, strlen(text), true);
	if (mode_of(m) == KIST_SDNOTIFY_CONMON)
		say_newline(m);
}

void monitor_notify_healthy(struct monitor *m)
{
	if (mode_of(m) != KIST_SDNOTIFY_HEALTHY || m->notify.healthy)
		return;
	m->notify.healthy = true;
	say_ready(m);
}

void monitor_notify_close(struct monitor *m)
{
	/* What it said last. */
	m->notify.second = 0;
	for (int i = 0; m->notify.proxy.added && i < PER_SECOND; i++)
		proxy_ready(m, &m->notify.proxy, EPOLLIN);
	monitor_unwatch(m, &m->notify.proxy);
	kist_str_clear(&m->notify.late);
}

int monitor_notify_timeout(struct monitor *m)
{
	struct monitor_notify *n = &m->notify;
	int left = -1;

	if (n->late.len && kist_notify_send(n->address, n->late.data, n->late.len) != -EAGAIN)
		kist_str_free(&n->late);
	if (n->late.len)
		left = RETRY_MS;
	if (!n->proxy.added || n->proxy.events)
		return left;
	int64_t rest = n->second + KIST_NSEC_PER_SEC - kist_now_boot();
	if (rest <= 0) {
		monitor_rewatch(m, &n->proxy, EPOLLIN);
		return left;
	}
	rest = rest / KIST_NSEC_PER_MSEC + 1;
	return left >= 0 && left < rest ? left : (int)rest;
}
