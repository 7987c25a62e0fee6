/* The maps of a user namespace that exists. */
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAP_MAX 65536 /* bytes; the kernel has 340 lines at most */

int kist_ns_userns_map_parse(const char *text, struct kist_spec_id_map **maps, size_t *n)
{
	KIST_STRV char **lines = kist_strv_split(text, '\n');

	for (size_t i = 0; lines && lines[i]; i++) {
		struct kist_spec_id_map map = { 0 };
		uint32_t *const numbers[] = { &map.container_id, &map.host_id, &map.size };
		KIST_STRV char **words = kist_strv_split(lines[i], ' ');
		size_t found = 0;
		/* The kernel writes them in columns: words may be empty. */
		for (size_t w = 0; words && words[w]; w++)
			if (words[w][0] &&
			    (found == KIST_COUNT(numbers) || kist_parse_u32(words[w], numbers[found++]) < 0))
				return -EINVAL;
		if (found == 0)
			continue;
		if (found != KIST_COUNT(numbers))
			return -EINVAL;
		*maps = kist_grow(*maps, *n + 1, sizeof(**maps));
		(*maps)[(*n)++] = map;
	}
	return 0;
}

static int read_map(int proc, pid_t pid, const char *name, struct kist_spec_id_map **maps, size_t *n,
                    struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	char path[32];

	snprintf(path, sizeof(path), "%d/%s", pid, name);
	int r = kist_read_file(proc, path, MAP_MAX, &text);
	if (r >= 0)
		r = kist_ns_userns_map_parse(kist_str_get(&text), maps, n);
	return r < 0 ? kist_fail_errno(err, -r, "read /proc/%s", path) : 0;
}

/* The kernel shows the outer ids as the reader's: a process is sent in, and this one reads. */
int kist_ns_userns_maps_read(int userns, struct kist_spec_id_map **uids, size_t *n_uids, struct kist_spec_id_map **gids,
                             size_t *n_gids, struct kist_error *err)
{
	KIST_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ready[2];

	if (proc < 0)
		return kist_fail_errno(err, errno, "open /proc");
	if (pipe2(ready, O_CLOEXEC) < 0)
		return kist_fail_errno(err, errno, "make pipe");
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int result = setns(userns, CLONE_NEWUSER) < 0 ? errno : 0;
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user clears it */
		if (write(ready[1], &result, sizeof(result)) != sizeof(result) || result)
			_exit(1);
		for (;;)
			pause();
	}
	int result = pid < 0 ? errno : 0, r = 0;
	close(ready[1]);
	if (pid < 0)
		r = kist_fail_errno(err, result, "fork");
	else if (read(ready[0], &result, sizeof(result)) != sizeof(result))
		r = kist_fail(err, KIST_ERR_SYSTEM, EIO, "enter the user namespace");
	else if (result)
		r = kist_fail_errno(err, result, "enter the user namespace");
	close(ready[0]);
	if (r == 0)
		r = read_map(proc, pid, "uid_map", uids, n_uids, err);
	if (r == 0)
		r = read_map(proc, pid, "gid_map", gids, n_gids, err);
	if (pid > 0) {
		kill(pid, SIGKILL);
		kist_wait_pid(pid);
	}
	return r;
}

int kist_ns_userns_maps_own(struct kist_spec_id_map **uids, size_t *n_uids, struct kist_spec_id_map **gids,
                            size_t *n_gids, struct kist_error *err)
{
	KIST_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (proc < 0)
		return kist_fail_errno(err, errno, "open /proc");
	int r = read_map(proc, getpid(), "uid_map", uids, n_uids, err);
	return r < 0 ? r : read_map(proc, getpid(), "gid_map", gids, n_gids, err);
}
