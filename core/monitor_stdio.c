/* The container's stdio in the monitor: out to log and clients, in from clients. */
#include "core/monitor_internal.h"

#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define DRAIN_READS (2 * (1 << 20) / KIST_MSG_DATA)

static struct watch *output_of(struct monitor *m, int i)
{
	struct watch *const outputs[] = { &m->out, &m->err, &m->console };

	return outputs[i];
}

static int stream_of(const struct monitor *m, const struct watch *w)
{
	return w == &m->err ? 2 : 1;
}

/* One read. False when there is nothing more now; the watch is closed at the end of the stream. */
static bool output_read(struct monitor *m, struct watch *w)
{
	char bytes[KIST_MSG_DATA];
	int stream = stream_of(m, w);
	ssize_t n = read(w->fd, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n < 0 && errno == EIO && w == &m->console && m->phase != MONITOR_DEAD) {
		/* Nobody has the terminal open: the next to do so may be a getty, or a shell after its parent's end. */
		m->hung = true;
		return false;
	}
	if (n <= 0) {
		monitor_unwatch(m, w);
		return false;
	}
	if (w == &m->console)
		m->hung = false;
	if (m->log)
		kist_log_writer_write(m->log, stream, bytes, (size_t)n);
	monitor_broadcast(m, stream == 1 ? KIST_MSG_STDOUT : KIST_MSG_STDERR, bytes, (size_t)n);
	return true;
}

static void output_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		output_read(m, w);
		monitor_stdio_pace(m);
	}
}

/* A terminal that nobody has open reports that for ever: only changes are of interest then. */
static uint32_t console_events(const struct monitor *m, bool reads)
{
	uint32_t events = (reads ? EPOLLIN : 0) | (m->input.len && !m->hung ? EPOLLOUT : 0);

	return events && m->hung ? events | EPOLLET : events;
}

void monitor_stdio_pace(struct monitor *m)
{
	bool reads = !monitor_clients_pending(m);

	for (int i = 0; i < 3; i++) {
		struct watch *w = output_of(m, i);
		if (!w->added)
			continue;
		/* epoll tells of a hang-up even when nothing is asked for: a paused stream leaves the set. */
		monitor_rewatch(m, w, w == &m->console ? console_events(m, reads) : reads ? EPOLLIN : 0);
	}
}

void monitor_stdio_drain(struct monitor *m)
{
	/* A pipe holds at most so much (pipe-max-size is 1 MiB). Who still writes is none of the container's: without a
	 * cgroup and a pid namespace a process can outlive it. */
	for (int i = 0; i < 3; i++)
		for (size_t n = 0; n < DRAIN_READS && output_of(m, i)->added && output_read(m, output_of(m, i)); n++)
			continue;
}

static void input_flush(struct monitor *m)
{
	struct watch *w = m->console.added ? &m->console : &m->in;
	size_t done = 0;

	while (w->added && done < m->input.len) {
		ssize_t n = write(w->fd, m->input.data + done, m->input.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* The container closed its stdin: what else is typed goes nowhere. */
			done = m->input.len;
			if (w == &m->in)
				monitor_unwatch(m, w);
			break;
		}
		done += (size_t)n;
	}
	if (done == m->input.len || !w->added) {
		kist_str_clear(&m->input);
	} else if (done) {
		memmove(m->input.data, m->input.data + done, m->input.len - done);
		m->input.len -= done;
	}
	if (w->added && w == &m->in)
		monitor_rewatch(m, w, m->input.len ? EPOLLOUT : 0);
	if (w->added && w == &m->console)
		monitor_rewatch(m, w, console_events(m, !monitor_clients_pending(m)));
	if (m->input_ends && m->input.len == 0 && m->in.added)
		monitor_unwatch(m, &m->in);
	if (m->input.len == 0)
		monitor_clients_credit(m);
}

static void input_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	if (events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLOUT))
		monitor_unwatch(m, w);
	else
		input_flush(m);
}

static void console_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	if (events & EPOLLOUT)
		input_flush(m);
	if (w->added)
		output_ready(m, w, events);
}

void monitor_stdio_input(struct monitor *m, const void *data, size_t len)
{
	if (m->in.added || m->console.added)
		kist_str_addn(&m->input, data, len);
	input_flush(m);
}

void monitor_stdio_input_end(struct monitor *m)
{
	if (m->console.added) {
		static const char end_of_file = 4; /* VEOF: what a user types to end input on a terminal */
		monitor_stdio_input(m, &end_of_file, 1);
		return;
	}
	m->input_ends = true;
	input_flush(m);
}

void monitor_stdio_resize(struct monitor *m, unsigned rows, unsigned cols)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };

	if (m->console.added && ioctl(m->console.fd, TIOCSWINSZ, &size) < 0)
		kist_debug("resize terminal: %m");
}

void monitor_stdio_broken(struct monitor *m, int stream)
{
	struct watch *w = stream == 2 ? &m->err : &m->out;

	/* As on the host: who writes to a pipe without a reader gets SIGPIPE. */
	if (w->added)
		monitor_unwatch(m, w);
}

void monitor_stdio_open(struct monitor *m)
{
	struct kist_launch *launch = &m->launch;

	if (launch->child.console >= 0) {
		fcntl(launch->child.console, F_SETFL, O_NONBLOCK);
		monitor_watch(m, &m->console, kist_steal_fd(&launch->child.console), EPOLLIN, console_ready);
	}
	if (launch->stdout_fd >= 0)
		monitor_watch(m, &m->out, kist_steal_fd(&launch->stdout_fd), EPOLLIN, output_ready);
	if (launch->stderr_fd >= 0)
		monitor_watch(m, &m->err, kist_steal_fd(&launch->stderr_fd), EPOLLIN, output_ready);
	if (launch->stdin_fd >= 0)
		monitor_watch(m, &m->in, kist_steal_fd(&launch->stdin_fd), 0, input_ready);
}
