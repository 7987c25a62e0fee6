/* The gate of a child that outlives its maker. */
#include "ns/launch.h"
#include "ns/stages.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Through the directory's fd: the path of a container's directory may be longer than sun_path. */
static int gate_address(int dir, const char *name, struct sockaddr_un *out)
{
	int n;

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%s", dir, name);
	return n > 0 && (size_t)n < sizeof(out->sun_path) ? 0 : -ENAMETOOLONG;
}

int kist_ns_gate_listen(int dir, const char *name, struct kist_error *err)
{
	struct sockaddr_un address;
	int r = gate_address(dir, name, &address);
	KIST_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (r < 0 || fd < 0)
		return kist_fail_errno(err, r < 0 ? -r : errno, "make the gate");
	mode_t mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	int errnum = errno;
	umask(mask);
	if (r < 0)
		return kist_fail_errno(err, errnum, "name the gate");
	if (listen(fd, 128) < 0)
		return kist_fail_errno(err, errno, "listen at the gate");
	return kist_steal_fd(&fd);
}

int kist_ns_gate_connect(int dir, const char *name)
{
	struct sockaddr_un address;
	int r = gate_address(dir, name, &address);
	KIST_CLOSE int fd = r < 0 ? r : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (r < 0)
		return r;
	/* Not to be held up by a child that is busy in a hook while others knock. */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || fcntl(fd, F_SETFL, 0) < 0)
		return -errno;
	return kist_steal_fd(&fd);
}

int kist_ns_gate_start(int connection, struct kist_error *err)
{
	KIST_CLOSE int sync = connection;
	int sent = kist_ns_stage_send(sync, KIST_NS_STAGE_START, 0, -1);
	int r = kist_ns_stage_expect_exec(sync, err);

	if (r == 0 && sent < 0)
		return kist_fail(err, KIST_ERR_SYSTEM, EPIPE, "the container's first process died before its start");
	return r;
}

int kist_ns_release(struct kist_ns_child *child, struct kist_error *err)
{
	int r = kist_ns_stage_send(child->sync, KIST_NS_STAGE_RELEASE, 0, -1);

	kist_close_fd(&child->sync);
	return r < 0 ? kist_fail(err, KIST_ERR_SYSTEM, -r, "the container's first process died after its creation") : 0;
}

int kist_ns_gate_await(int gate)
{
	for (;;) {
		int fd = accept4(gate, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0 && errno != EINTR && errno != ECONNABORTED && errno != EMFILE && errno != ENFILE &&
		    errno != ENOMEM && errno != ENOBUFS)
			_exit(1);
		/* Somebody who only looked whether a child waits here, or died before saying a word. */
		if (fd >= 0 && kist_ns_stage_await(fd, KIST_NS_STAGE_START) == 0)
			return fd;
		kist_close_fd(&fd);
	}
}
