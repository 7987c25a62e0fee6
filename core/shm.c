/* Sharing another container's mounts, such as /dev/shm: a child enters that container's mount namespace and sends back
 * a detached copy of the mount. Nothing is attached on the host, and no path of the other container is resolved outside
 * of it. */
#include "core/internal.h"

#include "core/base/fs.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

_Noreturn static void copy_mount(int pidfd, const char *path, int sock)
{
	int error = 0, tree = -1;

	if (setns(pidfd, CLONE_NEWNS) < 0)
		error = errno;
	/* setns moved us to that container's root: the path resolves in it. */
	if (!error) {
		KIST_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		KIST_CLOSE int place = kist_open_in_root_nofollow(root, path, O_PATH | O_DIRECTORY, 0);
		if (place < 0)
			error = -place;
		else
			tree = (int)syscall(SYS_open_tree, place, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC);
		if (!error && tree < 0)
			error = errno;
	}
	kist_send_fds(sock, &error, sizeof(error), &tree, tree >= 0 ? 1 : 0);
	_exit(0);
}

int kist_shm_share(pid_t pid, struct kist_error *err)
{
	return kist_mount_share(pid, "dev/shm", err);
}

int kist_mount_share(pid_t pid, const char *path, struct kist_error *err)
{
	int pair[2], error = EPIPE, tree = -1;
	size_t n = 1;

	KIST_CLOSE int pidfd = kist_pidfd_open(pid);
	if (pidfd < 0)
		return kist_fail_errno(err, -pidfd, "open process %d", pid);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return kist_fail_errno(err, errno, "make socket");
	pid_t child = fork();
	if (child == 0)
		copy_mount(pidfd, path, pair[1]);
	kist_close_fd(&pair[1]);
	if (child > 0) {
		if (kist_recv_fds(pair[0], &error, sizeof(error), &tree, &n) < (ssize_t)sizeof(error))
			error = EPIPE;
		kist_wait_pid(child);
	} else {
		error = errno;
	}
	kist_close_fd(&pair[0]);
	if (error || n != 1)
		return kist_fail_errno(err, error ? error : EPIPE, "copy the mount of process %d", pid);
	return tree;
}
