/* What the OCI runtime exchanges with its caller: pid files, fds over sockets, and the terminal of a foreground run. */
#include "core/oci_internal.h"

#include "core/base/fs.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

char *oci_absolute(const char *path)
{
	if (!path || path[0] == '/')
		return kist_strdup(path);
	KIST_FREE char *here = getcwd(NULL, 0);
	return here ? kist_asprintf("%s/%s", here, path) : kist_strdup(path);
}

/* The directory of a path as an fd, and the name in it. */
static int open_parent(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	KIST_FREE char *parent = slash ? kist_strndup(path, (size_t)(slash - path) + 1) : kist_strdup(".");
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*name = slash ? slash + 1 : path;
	return fd < 0 ? -errno : fd;
}

int oci_write_pid_file(const char *path, pid_t pid, struct kist_error *err)
{
	const char *name;
	char text[16];
	struct stat st;
	KIST_CLOSE int dir = open_parent(path, &name);
	int n = snprintf(text, sizeof(text), "%d", (int)pid);
	int r = dir < 0 ? dir : 0;

	if (r == 0 && stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		/* A device or a FIFO is written to: it is not ours to replace. */
		KIST_CLOSE int fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		r = fd < 0 ? -errno : kist_write_all(fd, text, (size_t)n);
	} else if (r == 0) {
		/* Whole or not at all: others wait for it to appear. */
		r = kist_replace_file(dir, name, text, (size_t)n, 0644, 0);
	}

	return r < 0 ? kist_fail_errno(err, -r, "write pid file %s", path) : 0;
}

int oci_send_fd(const char *path, int fd, const char *word, const char *what, struct kist_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *name;
	KIST_CLOSE int dir = open_parent(path, &name);
	KIST_CLOSE int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (dir < 0 || sock < 0)
		return kist_fail_errno(err, dir < 0 ? -dir : errno, "%s %s", what, path);
	/* By the directory's fd: a path may be longer than sun_path. */
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return kist_fail_errno(err, ENAMETOOLONG, "%s %s", what, path);
	if (connect(sock, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return kist_fail_errno(err, errno, "connect to %s %s", what, path);
	int r = kist_send_fds(sock, word, strlen(word), &fd, 1);
	return r < 0 ? kist_fail_errno(err, -r, "send to %s %s", what, path) : 0;
}

int oci_check_preserved(unsigned n, struct kist_error *err)
{
	/* What was handed over to be passed on survived an execve; all others are our own. */
	for (unsigned fd = 3; fd < 3 + n; fd++) {
		int flags = fcntl((int)fd, F_GETFD);
		if (flags < 0 || flags & FD_CLOEXEC)
			return kist_fail(err, KIST_ERR_INVALID, EBADF, "--preserve-fds: file descriptor %u is not open",
			                 fd);
	}
	return 0;
}

bool oci_keeps_groups(const struct kist_spec *spec)
{
	return kist_streq(kist_spec_annotation(spec, "run.oci.keep_original_groups"), "1");
}

int oci_check_terminal(bool terminal, bool detach, const char *console_socket, struct kist_error *err)
{
	if (terminal && detach && !console_socket)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "a terminal is asked for, and nobody is there to hold it: give --console-socket");
	if (!terminal && console_socket)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "--console-socket is given, and no terminal is asked for (process.terminal)");
	return 0;
}

/* --- a process in the foreground ------------------------------------------------------------------------------------
 */

int oci_foreground_begin(struct oci_foreground *f, struct kist_error *err)
{
	sigset_t all;

	sigfillset(&all);
	/* Those that are about this process itself. */
	static const int own[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };
	for (size_t i = 0; i < KIST_COUNT(own); i++)
		sigdelset(&all, own[i]);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return kist_fail_errno(err, errno, "block signals");
	f->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	return f->signals < 0 ? kist_fail_errno(err, errno, "signalfd") : 0;
}

void oci_foreground_end(struct oci_foreground *f)
{
	sigset_t none;

	if (f->signals < 0)
		return;
	kist_close_fd(&f->signals);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void pass_signals(const struct oci_foreground *f, const struct kist_ns_child *child)
{
	struct signalfd_siginfo info;
	struct winsize size;

	while (read(f->signals, &info, sizeof(info)) == sizeof(info)) {
		switch ((int)info.ssi_signo) {
		case SIGCHLD:
		case SIGPIPE:
		case SIGURG:
		case SIGTTIN:
		case SIGTTOU:
			break;
		case SIGWINCH:
			if (child->console >= 0 && ioctl(0, TIOCGWINSZ, &size) == 0)
				ioctl(child->console, TIOCSWINSZ, &size);
			break;
		default:
			kist_pidfd_signal(child->pidfd, (int)info.ssi_signo);
		}
	}
}

/* False: that direction has ended. */
static bool copy_some(int from, int to)
{
	char bytes[8192];
	ssize_t n = read(from, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	return n > 0 && kist_write_all(to, bytes, (size_t)n) == 0;
}

static void set_raw(bool *raw, struct termios *saved)
{
	struct termios now;

	if (tcgetattr(0, saved) < 0)
		return;
	now = *saved;
	cfmakeraw(&now);
	*raw = tcsetattr(0, TCSANOW, &now) == 0;
}

static void relay(const struct oci_foreground *f, const struct kist_ns_child *child)
{
	bool out_open = child->console >= 0, in_open = child->console >= 0, ended = false;

	/* After the end only what is still in the terminal is taken, unless others hold it open. */
	while (!ended || out_open) {
		struct pollfd fds[] = {
			{ .fd = ended ? -1 : child->pidfd, .events = POLLIN },
			{ .fd = f->signals, .events = POLLIN },
			{ .fd = out_open ? child->console : -1, .events = POLLIN },
			{ .fd = in_open && !ended ? 0 : -1, .events = POLLIN },
		};
		int n = poll(fds, KIST_COUNT(fds), ended ? 100 : -1);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		if (fds[1].revents)
			pass_signals(f, child);
		if (fds[2].revents)
			out_open = copy_some(child->console, 1);
		if (fds[3].revents)
			in_open = copy_some(0, child->console);
		if (fds[0].revents)
			ended = true;
	}
}

int oci_foreground_wait(struct oci_foreground *f, const struct kist_ns_child *child, struct kist_error *err)
{
	struct termios saved;
	bool raw = false;

	if (child->console >= 0)
		set_raw(&raw, &saved);
	relay(f, child);
	int code = kist_wait_pid(child->pid);
	if (raw)
		tcsetattr(0, TCSANOW, &saved);
	return code < 0 ? kist_fail_errno(err, -code, "wait for the process") : code;
}
