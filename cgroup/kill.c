/* Processes of a group and all below it: list, signal, kill. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KILL_TIMEOUT_NS (10 * KIST_NSEC_PER_SEC)
#define DEPTH_MAX       256

struct pids {
	pid_t *list;
	size_t n, room;
	bool hidden; /* a process our pid namespace does not show */
};

static void pids_cleanup(struct pids *pids)
{
	free(pids->list);
}

static void pids_add(struct pids *pids, pid_t pid)
{
	if (pids->n == pids->room) {
		pids->room = pids->room ? pids->room * 2 : 16;
		pids->list = kist_grow(pids->list, pids->room, sizeof(*pids->list));
	}
	pids->list[pids->n++] = pid;
}

static int collect_own(int cgroup_fd, struct pids *pids)
{
	KIST_STR struct kist_str text = { 0 };
	int r = kist_cgroup_read(cgroup_fd, "cgroup.procs", &text);

	/* A threaded group: its processes are listed by the group above. A group that is being removed has none. */
	if (r == -EOPNOTSUPP || r == -ENODEV || r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	KIST_STRV char **words = kist_cgroup_words(kist_str_get(&text));
	for (size_t i = 0; words && words[i]; i++) {
		int64_t pid;

		if (kist_parse_i64(words[i], &pid) < 0 || pid < 0 || pid > INT32_MAX)
			return -EBADMSG;
		if (pid == 0)
			pids->hidden = true;
		else
			pids_add(pids, (pid_t)pid);
	}
	return 0;
}

static int collect(int cgroup_fd, struct pids *pids, int depth)
{
	int r = collect_own(cgroup_fd, pids);
	int copy = r < 0 ? -1 : openat(cgroup_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (r < 0)
		return r;
	if (copy < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	DIR *dir = fdopendir(copy);
	if (!dir) {
		kist_close_fd(&copy);
		return -ENOMEM;
	}
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		KIST_CLOSE int sub = openat(cgroup_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			r = depth >= DEPTH_MAX ? -ELOOP : collect(sub, pids, depth + 1);
	}
	closedir(dir);
	return r;
}

ssize_t kist_cgroup_pids(int cgroup_fd, pid_t **out, struct kist_error *err)
{
	struct pids pids = { 0 };
	int r = collect(cgroup_fd, &pids, 0);

	if (r < 0) {
		pids_cleanup(&pids);
		return kist_fail_errno(err, -r, "list the processes of a cgroup");
	}
	*out = pids.list;
	return (ssize_t)pids.n;
}

bool kist_cgroup_populated(int cgroup_fd)
{
	KIST_STR struct kist_str text = { 0 };
	uint64_t populated = 0;

	if (kist_cgroup_read(cgroup_fd, "cgroup.events", &text) == 0 &&
	    kist_cgroup_keyed(kist_str_get(&text), "populated", &populated))
		return populated != 0;
	/* The root of the hierarchy has no such file. */
	pid_t *pids = NULL;
	ssize_t n = kist_cgroup_pids(cgroup_fd, &pids, NULL);
	free(pids);
	return n > 0;
}

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

/* A pid read from the group may be another process's by the time it is used. So each is opened, the group is listed
 * again, and only those still listed get the signal: the handle was taken while the pid was theirs, or is dead. */
static int signal_all(int cgroup_fd, int signal_number)
{
	__attribute__((cleanup(pids_cleanup))) struct pids before = { 0 }, after = { 0 };
	int count = 0, r = collect(cgroup_fd, &before, 0);

	if (r < 0 || before.n == 0)
		return r;
	KIST_FREE int *handles = kist_grow(NULL, before.n, sizeof(*handles));
	for (size_t i = 0; i < before.n; i++)
		handles[i] = kist_pidfd_open(before.list[i]);
	r = collect(cgroup_fd, &after, 0);
	if (after.n)
		qsort(after.list, after.n, sizeof(*after.list), compare_pids);
	for (size_t i = 0; i < before.n; i++) {
		if (r == 0 && handles[i] >= 0 && after.n &&
		    bsearch(&before.list[i], after.list, after.n, sizeof(*after.list), compare_pids)) {
			int sent = kist_pidfd_signal(handles[i], signal_number);

			if (sent == 0)
				count++;
			else if (sent != -ESRCH)
				r = sent;
		}
		kist_close_fd(&handles[i]);
	}
	return r < 0 ? r : count;
}

int kist_cgroup_signal(int cgroup_fd, int signal_number, struct kist_error *err)
{
	int r = signal_all(cgroup_fd, signal_number);

	if (r < 0)
		return kist_fail_errno(err, -r, "send signal %d to the processes of a cgroup", signal_number);
	return r;
}

static int kill_rounds(int cgroup_fd)
{
	int64_t deadline = kist_now_boot() + KILL_TIMEOUT_NS;

	for (;;) {
		int r = signal_all(cgroup_fd, SIGKILL);

		if (r < 0)
			return r;
		if (r == 0 && !kist_cgroup_populated(cgroup_fd))
			return 0;
		if (kist_now_boot() > deadline)
			return -ETIMEDOUT;
		kist_sleep_ns(KIST_NSEC_PER_MSEC);
	}
}

/* Before 5.14. Frozen processes do not fork, and die all the same; where freezing is missing the rounds must win. */
static int kill_loop(int cgroup_fd)
{
	(void)kist_write_kernel(cgroup_fd, "cgroup.freeze", "1");
	int r = kill_rounds(cgroup_fd);
	(void)kist_write_kernel(cgroup_fd, "cgroup.freeze", "0");
	return r;
}

int kist_cgroup_kill(int cgroup_fd, struct kist_error *err)
{
	int r = kist_write_kernel(cgroup_fd, "cgroup.kill", "1");

	/* ENOENT: before 5.14. EOPNOTSUPP: a threaded group. */
	if (r == -ENOENT || r == -EOPNOTSUPP)
		r = kill_loop(cgroup_fd);
	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return kist_fail_errno(err, -r, "kill the processes of a cgroup");
	return 0;
}
