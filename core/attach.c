/* The command's side of a session with a monitor: bytes both ways, window size, signals, detach keys. */
#include "core/attach.h"
#include "core/log.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/detach_keys.h"
#include "core/internal.h"
#include "core/monitor.h"
#include "core/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

int kist_monitor_tell(struct kist_container *c, char type, const void *data, size_t len, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	KIST_CLOSE int sock = kist_attach_connect(c, NULL);
	if (sock < 0 || kist_msg_send(sock, type, data, len) < 0)
		return 0;
	int r = kist_spawn_await(sock, type, &problem);
	if (r < 0 && kist_container_monitor_alive(c)) {
		if (err)
			*err = problem;
		return r;
	}
	return 0;
}

struct kist_attach *kist_attach_new(struct kist_container *c, int sock)
{
	struct kist_attach *a = kist_alloc(sizeof(*a));

	a->sock = sock;
	a->tty = c->config.tty;
	a->stdin_ = c->config.open_stdin && !kist_log_passes(c->config.log_driver);
	a->detach_keys = kist_strdup(c->k->settings.detach_keys);
	return a;
}

void kist_attach_free(struct kist_attach *a)
{
	if (!a)
		return;
	kist_close_fd(&a->sock);
	free(a->detach_keys);
	free(a);
}

static int connect_to(struct kist_container *c, int flags, struct kist_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int run = kist_container_rundir(c, err);

	if (run < 0)
		return run;
	/* A path below /proc/self/fd fits sun_path whatever the run directory is called. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/attach", run);
	KIST_CLOSE int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
	if (sock < 0)
		return kist_fail_errno(err, errno, "make socket");
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return kist_fail_errno(err, errno, "connect to the monitor of container %.12s", c->config.id);
	return kist_steal_fd(&sock);
}

int kist_attach_connect(struct kist_container *c, struct kist_error *err)
{
	return connect_to(c, 0, err);
}

void kist_monitor_stop_by(struct kist_container *c, int64_t moment)
{
	struct kist_msg_stop stop = { .moment = moment, .run = c->state.run };

	/* Not to wait for a monitor that stands still. */
	KIST_CLOSE int sock = connect_to(c, SOCK_NONBLOCK, NULL);
	if (sock < 0 || kist_msg_send(sock, KIST_MSG_STOP, &stop, sizeof(stop)) < 0)
		kist_debug("container %s: its monitor was not told of the stop: %m", c->config.name);
}

int kist_attach_open(struct kist_container *c, struct kist_attach **out, struct kist_error *err)
{
	struct kist_msg_attach attach = { .output = 1 };

	int r = kist_container_sync(c, err);
	if (r == 0)
		r = kist_call_check(KIST_CALL_ATTACH, (enum kist_status)c->state.status, err);
	if (r < 0)
		return kist_context(err, "container %s", c->config.name);
	int sock = kist_attach_connect(c, err);
	if (sock < 0)
		return sock;
	r = kist_msg_send(sock, KIST_MSG_ATTACH, &attach, sizeof(attach));
	if (r < 0) {
		kist_close_fd(&sock);
		return kist_fail_errno(err, -r, "attach to container %.12s", c->config.id);
	}
	kist_container_event(c, "attach");
	*out = kist_attach_new(c, sock);
	(*out)->late = true;
	return 0;
}

int kist_attach_resize(struct kist_attach *a, unsigned rows, unsigned cols)
{
	struct kist_msg_size size = { .rows = (uint16_t)rows, .cols = (uint16_t)cols };

	return kist_msg_send(a->sock, KIST_MSG_SIZE, &size, sizeof(size));
}

/* --- one run of a session -------------------------------------------------------------------------------------------
 */

struct relay {
	struct kist_attach *a;
	const struct kist_attach_io *io;
	int signals; /* signalfd */
	bool in_open;
	bool raw;
	struct termios saved;
	struct kist_detach_keys keys;
	int64_t held_until; /* boot time: when held back keys are passed on */
	bool broken[3];     /* stdout, stderr: the reader is gone */
	int lost;           /* errno of a write that failed, while there was a reader */
	char *output;       /* received, not yet written; nothing more is received meanwhile */
	size_t out_len, out_done;
	int out_stream;
	uint32_t ahead; /* bytes of stdin sent and not yet taken */
	int code;
};

static void send_size(struct relay *r)
{
	struct winsize size;
	int from = r->io->in >= 0 ? r->io->in : r->io->out;

	if (!r->a->tty || from < 0 || ioctl(from, TIOCGWINSZ, &size) < 0)
		return;
	/* The kernel tells the program of another size only, which is when it draws its screen. */
	if (r->a->late)
		kist_attach_resize(r->a, size.ws_row + 1u, size.ws_col);
	r->a->late = false;
	kist_attach_resize(r->a, size.ws_row, size.ws_col);
}

static void terminal_raw(struct relay *r)
{
	if (!r->a->tty || r->io->in < 0 || tcgetattr(r->io->in, &r->saved) < 0)
		return;
	struct termios raw = r->saved;
	cfmakeraw(&raw);
	if (tcsetattr(r->io->in, TCSANOW, &raw) == 0)
		r->raw = true;
}

static void terminal_restore(struct relay *r)
{
	if (r->raw)
		tcsetattr(r->io->in, TCSADRAIN, &r->saved);
	r->raw = false;
}

static void send_input(struct relay *r, const unsigned char *bytes, size_t len)
{
	if (len && kist_msg_send(r->a->sock, KIST_MSG_STDIN, bytes, len) == 0)
		r->ahead += (uint32_t)len;
}

/* What the user typed, less the detach keys. Returns true on detach. */
static bool read_input(struct relay *r)
{
	unsigned char bytes[KIST_MSG_DATA - KIST_DETACH_KEYS_MAX], out[KIST_MSG_DATA];
	bool detached = false;
	ssize_t n = read(r->io->in, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) {
		send_input(r, out, kist_detach_keys_release(&r->keys, out));
		kist_msg_send(r->a->sock, KIST_MSG_EOF, NULL, 0);
		r->in_open = false;
		return false;
	}
	send_input(r, out, kist_detach_keys_feed(&r->keys, bytes, (size_t)n, out, &detached));
	r->held_until = kist_now_boot() + KIST_DETACH_KEYS_WAIT_MS * KIST_NSEC_PER_MSEC;
	return detached;
}

/* Nothing more was typed for a while: the beginning of the sequence was meant for the container. Returns for how many
 * milliseconds it is still held back, -1: nothing is. */
static int release_keys(struct relay *r)
{
	unsigned char out[KIST_DETACH_KEYS_MAX];

	if (!r->keys.held)
		return -1;
	int64_t left = r->held_until - kist_now_boot();
	if (left > 0)
		return (int)(left / KIST_NSEC_PER_MSEC) + 1;
	send_input(r, out, kist_detach_keys_release(&r->keys, out));
	return -1;
}

static int output_fd(const struct relay *r)
{
	return r->out_stream == 1 ? r->io->out : r->io->err;
}

/* After poll said that it takes something: never more than a pipe then takes without blocking, because whoever reads it
 * may have stopped, and signals must still get through. */
static void write_output(struct relay *r)
{
	size_t left = r->out_len - r->out_done;
	ssize_t n = write(output_fd(r), r->output + r->out_done, left < PIPE_BUF ? left : PIPE_BUF);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		/* The container learns of it as a program of the host would: its next write is refused. */
		uint8_t which = (uint8_t)r->out_stream;
		if (errno != EPIPE && errno != EBADF && !r->lost)
			r->lost = errno;
		r->broken[r->out_stream] = true;
		r->out_len = 0;
		kist_msg_send(r->a->sock, KIST_MSG_BROKEN, &which, 1);
		return;
	}
	r->out_done += (size_t)n;
	if (r->out_done == r->out_len)
		r->out_len = 0;
}

static void take_output(struct relay *r, int stream, const char *bytes, size_t n)
{
	r->out_stream = stream;
	if (output_fd(r) < 0 || r->broken[stream])
		return;
	if (!r->output)
		r->output = kist_alloc(KIST_MSG_DATA);
	memcpy(r->output, bytes, n);
	r->out_len = n;
	r->out_done = 0;
}

/* -1: go on; otherwise a KIST_ATTACH_* result or a negative errno below -1. */
static int read_message(struct relay *r, struct kist_error *err)
{
	union {
		char bytes[KIST_MSG_DATA];
		int32_t code;
		uint32_t count;
		struct kist_error failure;
	} message;
	char type;
	ssize_t n = kist_msg_recv(r->a->sock, &type, &message, sizeof(message));

	if (n == -EAGAIN)
		return -1;
	if (n < 0 || type == 0)
		return KIST_ATTACH_LOST;
	switch (type) {
	case KIST_MSG_STDOUT:
	case KIST_MSG_STDERR:
		take_output(r, type == KIST_MSG_STDOUT ? 1 : 2, message.bytes, (size_t)n);
		return -1;
	case KIST_MSG_TAKEN:
		r->ahead -= message.count < r->ahead ? message.count : r->ahead;
		return -1;
	case KIST_MSG_EXITED:
		r->code = message.code;
		return KIST_ATTACH_EXITED;
	case KIST_MSG_FAILED:
		if (err)
			*err = message.failure;
		return -EIO;
	default:
		return -1;
	}
}

static void pass_signal(struct relay *r)
{
	struct signalfd_siginfo info;

	while (read(r->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGWINCH) {
			send_size(r);
		} else {
			int32_t number = (int32_t)info.ssi_signo;
			kist_msg_send(r->a->sock, KIST_MSG_SIGNAL, &number, sizeof(number));
		}
	}
}

static int relay_loop(struct relay *r, struct kist_error *err)
{
	for (;;) {
		bool room = r->ahead + KIST_MSG_DATA <= KIST_MSG_WINDOW;
		struct pollfd fds[4] = {
			{ .fd = r->out_len ? -1 : r->a->sock, .events = POLLIN },
			{ .fd = r->signals, .events = POLLIN },
			{ .fd = r->in_open && room ? r->io->in : -1, .events = POLLIN },
			{ .fd = r->out_len ? output_fd(r) : -1, .events = POLLOUT },
		};
		if (poll(fds, KIST_COUNT(fds), release_keys(r)) < 0 && errno != EINTR)
			return kist_fail_errno(err, errno, "wait for container");
		if (fds[1].revents)
			pass_signal(r);
		if (fds[2].revents && read_input(r))
			return KIST_ATTACH_DETACHED;
		if (fds[3].revents)
			write_output(r);
		if (fds[0].revents) {
			int end = read_message(r, err);
			if (end != -1)
				return end;
		}
	}
}

/* Signals that are not the user's word to the container: faults of our own, stop and child notices, SIGPIPE. */
static void proxied_signals(sigset_t *set, bool proxy)
{
	static const int ours[] = { SIGCHLD, SIGPIPE, SIGURG,  SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGABRT,
		                    SIGTRAP, SIGSYS,  SIGTTIN, SIGTTOU, SIGTSTP, SIGSTOP, SIGKILL, SIGCONT };

	sigemptyset(set);
	if (proxy) {
		sigfillset(set);
		for (size_t i = 0; i < KIST_COUNT(ours); i++)
			sigdelset(set, ours[i]);
	}
	sigaddset(set, SIGWINCH);
}

int kist_attach_run(struct kist_attach *a, const struct kist_attach_io *io, int *code, struct kist_error *err)
{
	struct relay relay = { .a = a, .io = io, .in_open = io->in >= 0 && a->stdin_ };
	sigset_t set, saved;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, pipe_action;

	/* Keys are typed on a terminal: in a stream of data the same bytes mean nothing. */
	const char *keys = io->detach_keys ? io->detach_keys : a->detach_keys;
	int k = kist_detach_keys_set(&relay.keys, keys, err);
	if (k < 0)
		return k;
	if (io->in < 0 || !a->tty)
		relay.keys = (struct kist_detach_keys){ 0 };
	proxied_signals(&set, io->sig_proxy);
	sigprocmask(SIG_BLOCK, &set, &saved);
	sigaction(SIGPIPE, &ignore, &pipe_action);
	relay.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	terminal_raw(&relay);
	send_size(&relay);
	int r = relay.signals < 0 ? kist_fail_errno(err, errno, "make signalfd") : relay_loop(&relay, err);
	terminal_restore(&relay);
	kist_close_fd(&relay.signals);
	sigaction(SIGPIPE, &pipe_action, NULL);
	sigprocmask(SIG_SETMASK, &saved, NULL);
	free(relay.output);
	/* As podman: it says so, with its code for what could not be attached. */
	if (relay.lost && r >= 0) {
		kist_fail(err, KIST_ERR_EXEC_ACCESS, relay.lost, "output is lost: write: %s", strerror(relay.lost));
		return -relay.lost;
	}
	if (r == KIST_ATTACH_EXITED)
		*code = relay.code;
	return r;
}
