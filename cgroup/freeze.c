/* Freezing and thawing, and the waiting on cgroup.events that removal shares. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* The kernel file must be read again from its start after each notification. */
static int read_event(int fd, const char *key, uint64_t *out)
{
	char text[512];
	ssize_t n;

	do
		n = pread(fd, text, sizeof(text) - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return kist_cgroup_keyed(text, key, out) ? 0 : -ENODATA;
}

int kist_cgroup_wait_event(int cgroup_fd, const char *key, uint64_t value, int64_t deadline)
{
	KIST_CLOSE int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	uint64_t now;

	if (fd < 0)
		return -errno;
	for (;;) {
		int r = read_event(fd, key, &now);
		int64_t left = deadline - kist_now_boot();

		if (r < 0)
			return r;
		if (now == value)
			return 0;
		if (left <= 0)
			return -ETIMEDOUT;
		struct pollfd p = { .fd = fd, .events = POLLPRI };
		/* Rounded up, so that the last millisecond is waited for and not spun through. */
		int64_t ms = left / KIST_NSEC_PER_MSEC + 1;
		if (poll(&p, 1, ms > 60000 ? 60000 : (int)ms) < 0 && errno != EINTR)
			return -errno;
	}
}

int kist_cgroup_is_frozen(int cgroup_fd)
{
	KIST_STR struct kist_str text = { 0 };
	uint64_t frozen = 0;
	int r = kist_cgroup_read(cgroup_fd, "cgroup.events", &text);

	if (r < 0)
		return r;
	/* Kernels before 5.2 cannot freeze and have no such line. */
	(void)kist_cgroup_keyed(kist_str_get(&text), "frozen", &frozen);
	return frozen != 0;
}

int kist_cgroup_freeze(int cgroup_fd, bool frozen, int timeout_ms, struct kist_error *err)
{
	const char *verb = frozen ? "freeze" : "thaw";
	int64_t deadline = kist_now_boot() + timeout_ms * KIST_NSEC_PER_MSEC;
	int r = kist_write_kernel(cgroup_fd, "cgroup.freeze", frozen ? "1" : "0");

	if (r == -ENOENT)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "%s: the kernel cannot freeze groups (it needs 5.2)",
		                 verb);
	if (r < 0)
		return kist_fail_errno(err, -r, "%s: write cgroup.freeze", verb);
	r = kist_cgroup_wait_event(cgroup_fd, "frozen", frozen, deadline);
	if (r == 0)
		return 0;
	/* Half frozen helps nobody: a caller that reads 'failed' must find the processes running. */
	if (frozen)
		(void)kist_write_kernel(cgroup_fd, "cgroup.freeze", "0");
	if (r == -ETIMEDOUT) {
		kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT, "%s: not done after %d ms", verb, timeout_ms);
		return kist_remedy(err, frozen ? "a process may wait for a device or a network file system"
		                               : "a group above it may be frozen");
	}
	return kist_fail_errno(err, -r, "%s: wait on cgroup.events", verb);
}
