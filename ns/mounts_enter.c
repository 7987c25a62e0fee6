/* Mounts of a container that runs: made here, where the host's file systems and sources are, attached by a process that
 * has entered its mount namespace, whose root is then the container's: paths and links end inside. */
#include "ns/launch.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

int setns(int fd, int nstype); /* <sched.h> and <linux/sched.h> do not go together */

/* What only a launch can do, since it needs the namespace's maps, its root before the pivot, or an order of steps. */
static int check_option(const struct kist_spec_mount *mount, struct kist_error *err)
{
	static const char *const refused[] = { "idmap",   "ridmap", "tmpcopyup", "remount",    "shared",
		                               "rshared", "slave",  "rslave",    "unbindable", "runbindable" };

	if (mount->n_uid_mappings || mount->n_gid_mappings)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "mount %s: id mappings are not supported here",
		                 mount->destination);
	for (size_t i = 0; mount->options && mount->options[i]; i++)
		for (size_t k = 0; k < KIST_COUNT(refused); k++) {
			size_t n = strlen(refused[k]);
			const char *option = mount->options[i];
			if (strncmp(option, refused[k], n) == 0 && (option[n] == '\0' || option[n] == '='))
				return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
				                 "mount %s: option '%s' is not supported in a container that runs",
				                 mount->destination, option);
		}
	return 0;
}

static int attach_one(int root, const struct kist_spec_mount *mount, int fd, struct kist_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return kist_fail_errno(err, errno, "stat what is to be mounted");
	KIST_CLOSE int target = kist_ns_mount_point_open(root, mount->destination, S_ISDIR(st.st_mode));
	if (target < 0)
		return kist_fail_errno(err, -target, "mount point %s", mount->destination);
	int r = kist_ns_mount_attach_at(fd, target, err);
	return r < 0 ? kist_context(err, "mount %s", mount->destination) : 0;
}

static int attach_all(const struct kist_spec_mount *mounts, const int *fds, size_t n, struct kist_error *err)
{
	KIST_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t done = 0;
	int r = root < 0 ? kist_fail_errno(err, errno, "open the container's root") : 0;

	for (; r == 0 && done < n; done++)
		r = attach_one(root, &mounts[done], fds[done], err);
	/* All or none. The last one counted is that which failed. */
	if (r < 0 && done > 0)
		for (size_t i = done - 1; i-- > 0;)
			umount2(mounts[i].destination, MNT_DETACH | UMOUNT_NOFOLLOW);
	return r;
}

static int detach_all(const struct kist_spec_mount *mounts, size_t n, struct kist_error *err)
{
	for (size_t i = n; i-- > 0;)
		if (umount2(mounts[i].destination, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return errno == EINVAL ? kist_fail(err, KIST_ERR_NOT_FOUND, EINVAL,
			                                   "unmount %s: it is not a mount point", mounts[i].destination)
			                       : kist_fail_errno(err, errno, "unmount %s", mounts[i].destination);
	return 0;
}

/* In a process of its own, which ends with it; errors come back over a pipe. */
static int inside(int pidfd, const struct kist_spec_mount *mounts, const int *fds, size_t n, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return kist_fail_errno(err, errno, "make pipe");
	pid_t pid = fork();
	if (pid == 0) {
		/* Nobody in there may look into it. */
		prctl(PR_SET_DUMPABLE, 0);
		if (setns(pidfd, CLONE_NEWNS) < 0)
			kist_fail_errno(&problem, errno, "enter the container's mount namespace");
		else if (fds)
			attach_all(mounts, fds, n, &problem);
		else
			detach_all(mounts, n, &problem);
		_exit(write(pipe_fds[1], &problem, sizeof(problem)) == sizeof(problem) ? 0 : 1);
	}
	int failed = pid < 0 ? errno : 0;
	close(pipe_fds[1]);
	ssize_t got = pid < 0 ? 0 : read(pipe_fds[0], &problem, sizeof(problem));
	close(pipe_fds[0]);
	if (pid < 0)
		return kist_fail_errno(err, failed, "fork");
	kist_wait_pid(pid);
	if (got != sizeof(problem))
		return kist_fail(err, KIST_ERR_SYSTEM, EIO, "the process that was to mount has ended");
	if (!kist_error_is_set(&problem))
		return 0;
	if (err)
		*err = problem;
	return problem.errnum ? -problem.errnum : -EINVAL;
}

int kist_ns_mounts_add(int pidfd, const struct kist_spec_mount *mounts, size_t n, struct kist_error *err)
{
	int *fds = kist_alloc((n + 1) * sizeof(*fds));
	size_t made = 0;
	int r = 0;

	for (; r == 0 && made < n; made++) {
		const struct kist_spec_mount *m = &mounts[made];
		fds[made] = -1;
		r = check_option(m, err);
		if (r == 0) {
			fds[made] = kist_ns_mount_detached(m->type ? m->type : "bind", m->source, m->options, err);
			if (fds[made] < 0)
				r = kist_context(err, "mount %s", m->destination);
		}
	}
	if (r == 0)
		r = inside(pidfd, mounts, fds, n, err);
	for (size_t i = 0; i < made; i++)
		kist_close_fd(&fds[i]);
	free(fds);
	return r;
}

int kist_ns_mounts_remove(int pidfd, const struct kist_spec_mount *mounts, size_t n, struct kist_error *err)
{
	return inside(pidfd, mounts, NULL, n, err);
}
