/* The command's side of exec. The monitor starts the process, since it is the container's parent already and runs from
 * a binary that cannot be written; this side hands it stdio and waits.
 *
 * What the process gets as stdio: pipes and sockets as they are; for anything else (files, terminals) a pipe that is
 * relayed here, because a process that has a descriptor can open it again through /proc with other rights. */
#include "core/internal.h"

#include "core/attach.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/detach_keys.h"
#include "core/monitor.h"
#include "core/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#define EXEC(type, member, ...) KIST_FIELD(struct kist_msg_exec, type, member, ##__VA_ARGS__)

static const struct kist_field exec_fields[] = {
	EXEC(STRING, session),   EXEC(STRV, args),          EXEC(STRV, env), EXEC(STRING, user),
	EXEC(STRING, workdir),   EXEC(STRING, detach_keys), EXEC(BOOL, tty), EXEC(BOOL, stdin_),
	EXEC(BOOL, privileged),  EXEC(BOOL, detach),        EXEC(U32, rows), EXEC(U32, cols),
	EXEC(U32, preserve_fds),
};
const struct kist_table kist_msg_exec_table = KIST_TABLE("exec request", struct kist_msg_exec, exec_fields);

#define PRESERVE_MAX 60 /* SCM_MAX_FD less stdio, with room */
#define BUFFER       32768
#define DRAIN_READS  ((1 << 20) / BUFFER)

/* One direction of a relay. */
struct pump {
	int from, to;
	bool open;
	bool ours_to; /* 'to' is closed at the end */
	char *data;   /* read, not yet written */
	size_t len;
};

struct exec_io {
	int sock, signals;
	int console;   /* the terminal's master, or -1 */
	int theirs[3]; /* what the process gets */
	bool close_theirs[3];
	struct pump pumps[3]; /* stdin, stdout, stderr; with a terminal in and out */
	struct termios saved;
	bool raw;
	struct kist_detach_keys keys;
	int64_t held_until; /* boot time: when held back keys are passed on */
};

static bool passes_as_it_is(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return true; /* closed: an error of its own later */
	return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

static int stdio_prepare(struct exec_io *io, const struct kist_exec *exec, struct kist_error *err)
{
	for (int i = 0; i < 3; i++) {
		int ends[2];
		bool unused = exec->detach || exec->tty || (i == 0 && !exec->stdin_) || fcntl(i, F_GETFD) < 0;
		if (unused) {
			io->theirs[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
			io->close_theirs[i] = true;
			if (io->theirs[i] < 0)
				return kist_fail_errno(err, errno, "open /dev/null");
			continue;
		}
		if (passes_as_it_is(i)) {
			io->theirs[i] = i;
			continue;
		}
		if (pipe2(ends, O_CLOEXEC) < 0)
			return kist_fail_errno(err, errno, "make pipe for stdio");
		io->theirs[i] = ends[i == 0 ? 0 : 1];
		io->close_theirs[i] = true;
		int ours = ends[i == 0 ? 1 : 0];
		fcntl(ours, F_SETFL, O_NONBLOCK);
		io->pumps[i] = i == 0 ? (struct pump){ .from = 0, .to = ours, .open = true, .ours_to = true }
		                      : (struct pump){ .from = ours, .to = i, .open = true };
	}
	return 0;
}

static void theirs_close(struct exec_io *io)
{
	for (int i = 0; i < 3; i++)
		if (io->close_theirs[i]) {
			kist_close_fd(&io->theirs[i]);
			io->close_theirs[i] = false;
		}
}

static int request_send(struct exec_io *io, const struct kist_exec *exec, const char *session, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	struct winsize size = { 0 };
	int fds[3 + PRESERVE_MAX];

	if (exec->preserve_fds > PRESERVE_MAX)
		return kist_fail(err, KIST_ERR_INVALID, 0, "preserve fds: at most %d can be passed", PRESERVE_MAX);
	if (exec->tty)
		ioctl(0, TIOCGWINSZ, &size);
	struct kist_msg_exec request = {
		.session = (char *)session,
		.detach_keys = (char *)exec->detach_keys,
		.stdin_ = exec->stdin_,
		.args = (char **)exec->args,
		.env = (char **)exec->env,
		.user = (char *)exec->user,
		.workdir = (char *)exec->workdir,
		.tty = exec->tty,
		.privileged = exec->privileged,
		.detach = exec->detach,
		.rows = size.ws_row,
		.cols = size.ws_col,
		.preserve_fds = exec->preserve_fds,
	};
	kist_str_addc(&text, KIST_MSG_EXEC);
	kist_kv_write(&kist_msg_exec_table, &request, NULL, &text);
	if (text.len > KIST_MSG_DATA)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "arguments and environment are longer than %d bytes",
		                 KIST_MSG_DATA);
	memcpy(fds, io->theirs, sizeof(io->theirs));
	for (unsigned i = 0; i < exec->preserve_fds; i++)
		fds[3 + i] = 3 + (int)i;
	int r = kist_check_preserved(exec->preserve_fds, err);
	if (r < 0)
		return r;
	r = kist_send_fds(io->sock, text.data, text.len, fds, 3 + exec->preserve_fds);
	return r < 0 ? kist_fail_errno(err, -r, "send request to the monitor") : 0;
}

/* RUNNING, with the terminal's master, or FAILED. */
static int answer_read(struct exec_io *io, struct kist_error *err)
{
	char packet[1 + sizeof(struct kist_error)];
	size_t n_fds = 1;
	int fd = -1;
	ssize_t n = kist_recv_fds(io->sock, packet, sizeof(packet), &fd, &n_fds);

	if (n == (ssize_t)sizeof(packet) && packet[0] == KIST_MSG_FAILED) {
		struct kist_error failure;
		memcpy(&failure, packet + 1, sizeof(failure));
		if (err)
			*err = failure;
		return failure.errnum > 0 ? -failure.errnum : -EIO;
	}
	if (n < 1 || packet[0] != KIST_MSG_RUNNING)
		return kist_fail(err, KIST_ERR_STATE, EPIPE, "the container ended");
	io->console = n_fds == 1 ? fd : -1;
	return 0;
}

/* --- relay ----------------------------------------------------------------------------------------------------------
 */

static void pump_close(struct pump *p)
{
	p->open = false;
	p->len = 0;
	free(p->data);
	p->data = NULL;
	if (p->ours_to)
		kist_close_fd(&p->to);
}

static void pump_write(struct exec_io *io, struct pump *p)
{
	while (p->len) {
		ssize_t n = write(p->to, p->data, p->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			/* The reader is gone: closing our end tells the process at its next write, or hangs its
			 * terminal up. */
			if (p->from == io->console) {
				kist_close_fd(&io->console);
				io->pumps[0].open = false;
				p->from = -1;
			} else if (p->from > 2) {
				kist_close_fd(&p->from);
			}
			pump_close(p);
			return;
		}
		memmove(p->data, p->data + n, p->len - (size_t)n);
		p->len -= (size_t)n;
	}
}

/* Keys less those that detach. */
static ssize_t read_keys(struct exec_io *io, struct pump *p, bool *detached)
{
	unsigned char typed[4096];
	ssize_t n = read(p->from, typed, sizeof(typed));

	if (n == 0 && io->keys.held)
		return (ssize_t)kist_detach_keys_release(&io->keys, (unsigned char *)p->data);
	if (n <= 0)
		return n;
	size_t len = kist_detach_keys_feed(&io->keys, typed, (size_t)n, (unsigned char *)p->data, detached);
	io->held_until = kist_now_boot() + KIST_DETACH_KEYS_WAIT_MS * KIST_NSEC_PER_MSEC;
	if (len == 0 && !*detached)
		errno = EAGAIN;
	return len || *detached ? (ssize_t)len : -1;
}

/* As for attach: what was typed and is no beginning of the detach keys after all. */
static int release_keys(struct exec_io *io)
{
	struct pump *p = &io->pumps[0];

	if (!io->keys.held || !p->open || p->len)
		return -1;
	int64_t left = io->held_until - kist_now_boot();
	if (left > 0)
		return (int)(left / KIST_NSEC_PER_MSEC) + 1;
	p->len = kist_detach_keys_release(&io->keys, (unsigned char *)p->data);
	pump_write(io, p);
	return -1;
}

/* One read and what can be written of it. False when nothing more is there now. */
static bool pump_step(struct exec_io *io, struct pump *p, bool *detached)
{
	if (!p->data)
		p->data = kist_alloc(BUFFER);
	if (p->len == 0) {
		ssize_t n =
		        p == &io->pumps[0] && io->keys.n ? read_keys(io, p, detached) : read(p->from, p->data, BUFFER);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return errno == EINTR;
		if (n <= 0 && !*detached) {
			pump_close(p);
			return false;
		}
		if (*detached)
			return false;
		p->len = (size_t)n;
	}
	pump_write(io, p);
	return p->open && p->len == 0;
}

static void pass_signals(struct exec_io *io)
{
	struct signalfd_siginfo info;
	struct winsize size;

	while (read(io->signals, &info, sizeof(info)) == sizeof(info)) {
		int32_t number = (int32_t)info.ssi_signo;
		if (number != SIGWINCH)
			kist_msg_send(io->sock, KIST_MSG_SIGNAL, &number, sizeof(number));
		else if (io->console >= 0 && ioctl(0, TIOCGWINSZ, &size) == 0)
			ioctl(io->console, TIOCSWINSZ, &size);
	}
}

static int read_end(struct exec_io *io, int *code, struct kist_error *err)
{
	int32_t value = 0;
	char type;
	ssize_t n = kist_msg_recv(io->sock, &type, &value, sizeof(value));

	if (n < 0 || type == 0)
		return kist_fail(err, KIST_ERR_INTERNAL, EPIPE,
		                 "the container's monitor went away: the exit code is unknown");
	if (type != KIST_MSG_EXITED)
		return 0;
	*code = value;
	return 1;
}

static void drain(struct exec_io *io)
{
	bool ignored = false;

	for (int i = 1; i < 3; i++) {
		struct pump *p = &io->pumps[i];
		if (!p->open)
			continue;
		fcntl(p->from, F_SETFL, O_NONBLOCK);
		/* A pipe's worth: a process left behind can write for ever. */
		for (int n = 0; n < DRAIN_READS && p->open && (p->len || pump_step(io, p, &ignored)); n++) {
			pump_write(io, p);
			if (p->len) {
				struct pollfd poll_fd = { .fd = p->to, .events = POLLOUT };
				poll(&poll_fd, 1, -1);
			}
		}
	}
}

static int relay(struct exec_io *io, int *code, struct kist_error *err)
{
	bool detached = false;

	for (;;) {
		struct pollfd fds[5] = { { .fd = io->sock, .events = POLLIN },
			                 { .fd = io->signals, .events = POLLIN } };
		for (int i = 0; i < 3; i++) {
			struct pump *p = &io->pumps[i];
			fds[2 + i].fd = !p->open ? -1 : p->len ? p->to : p->from;
			fds[2 + i].events = p->len ? POLLOUT : POLLIN;
		}
		if (poll(fds, KIST_COUNT(fds), release_keys(io)) < 0 && errno != EINTR)
			return kist_fail_errno(err, errno, "wait for the process");
		if (fds[1].revents)
			pass_signals(io);
		for (int i = 0; i < 3; i++)
			if (fds[2 + i].revents && io->pumps[i].open)
				pump_step(io, &io->pumps[i], &detached);
		if (detached) {
			kist_msg_send(io->sock, KIST_MSG_LEAVE, NULL, 0);
			return 0;
		}
		if (fds[0].revents) {
			int r = read_end(io, code, err);
			if (r == 0)
				continue;
			if (r > 0)
				drain(io);
			return r < 0 ? r : 0;
		}
	}
}

static void terminal_open(struct exec_io *io)
{
	io->pumps[0] = (struct pump){ .from = 0, .to = io->console, .open = true };
	io->pumps[1] = (struct pump){ .from = io->console, .to = 1, .open = true };
	fcntl(io->console, F_SETFL, O_NONBLOCK);
	if (tcgetattr(0, &io->saved) == 0) {
		struct termios raw = io->saved;
		cfmakeraw(&raw);
		io->raw = tcsetattr(0, TCSANOW, &raw) == 0;
	}
}

static int attached(struct exec_io *io, const struct kist_exec *exec, int *code, struct kist_error *err)
{
	static const int passed[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, pipe_action;
	sigset_t set, saved;

	sigemptyset(&set);
	for (size_t i = 0; i < KIST_COUNT(passed); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, &saved);
	sigaction(SIGPIPE, &ignore, &pipe_action);
	io->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (io->console >= 0)
		terminal_open(io);
	if (io->console >= 0 && !exec->stdin_)
		io->pumps[0].open = false;
	int r = relay(io, code, err);
	if (io->raw)
		tcsetattr(0, TCSADRAIN, &io->saved);
	kist_close_fd(&io->signals);
	sigaction(SIGPIPE, &pipe_action, NULL);
	sigprocmask(SIG_SETMASK, &saved, NULL);
	return r;
}

static int exec_start(struct kist_container *c, struct exec_io *io, const struct kist_exec *exec, const char *session,
                      struct kist_error *err)
{
	/* Under the lock, so that nobody freezes the container while the process is on its way in. */
	int r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	r = kist_call_check(KIST_CALL_EXEC, (enum kist_status)c->state.status, err);
	if (r == 0) {
		io->sock = kist_attach_connect(c, err);
		r = io->sock < 0 ? io->sock : 0;
	}
	if (r == 0)
		r = stdio_prepare(io, exec, err);
	if (r == 0)
		r = request_send(io, exec, session, err);
	theirs_close(io);
	if (r == 0)
		r = answer_read(io, err);
	kist_container_unlock(c);
	return r;
}

int kist_container_exec(struct kist_container *c, const struct kist_exec *exec, char session[65], int *code,
                        struct kist_error *err)
{
	struct exec_io io = { .sock = -1, .signals = -1, .console = -1, .theirs = { -1, -1, -1 } };

	struct kist_exec given = *exec;

	if (!given.detach_keys)
		given.detach_keys = c->k->settings.detach_keys;
	int r = kist_detach_keys_set(&io.keys, given.detach_keys, err);
	if (r < 0)
		return r;
	if (!exec->tty)
		io.keys = (struct kist_detach_keys){ 0 };
	kist_random_hex(session, 64);
	r = exec_start(c, &io, &given, session, err);
	*code = 0;
	if (r == 0 && !exec->detach)
		r = attached(&io, exec, code, err);
	for (int i = 0; i < 3; i++) {
		if (i > 0 && io.pumps[i].from != io.console && io.pumps[i].from > 2)
			kist_close_fd(&io.pumps[i].from);
		free(io.pumps[i].data);
	}
	kist_close_fd(&io.console);
	kist_close_fd(&io.sock);
	return r < 0 ? kist_context(err, "exec in %s", c->config.name) : 0;
}
