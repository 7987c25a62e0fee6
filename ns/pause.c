/* The process of an infra container: it holds namespaces for others, reaps the orphans of a shared pid namespace, and
 * ends when it is told to. */
#include "ns/ns.h"

#include "core/base/error.h"
#include "ns/mount_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int kist_ns_pause_main(void)
{
	sigset_t signals;

	prctl(PR_SET_NAME, "kist-pause");
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	signal(SIGCHLD, SIG_DFL);
	if (sigprocmask(SIG_SETMASK, &signals, NULL) < 0)
		return 125;
	for (;;) {
		int signal_number = sigwaitinfo(&signals, NULL);
		if (signal_number == SIGCHLD) {
			while (waitpid(-1, NULL, WNOHANG) > 0)
				continue;
		} else if (signal_number > 0 && signal_number != SIGHUP) {
			return 0;
		} else if (signal_number < 0 && errno != EINTR) {
			return 125;
		}
	}
}

int kist_ns_pause_root(uid_t uid, gid_t gid, struct kist_error *err)
{
	static const char *const directories[] = { "dev", "etc", "proc", "run", "sys" };
	char *const parameters[] = { (char *)"mode=0755", (char *)"size=64k", (char *)"nr_inodes=64", NULL };

	KIST_CLOSE int root = kist_ns_mount_new("tmpfs", "infra", parameters,
	                                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
	if (root == -ENOSYS && !kist_error_is_set(err))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, ENOSYS, "an infra container needs fsopen(2)");
	if (root < 0)
		return kist_steal_fd(&root);
	for (size_t i = 0; i < KIST_COUNT(directories); i++)
		if (mkdirat(root, directories[i], 0755) < 0 ||
		    fchownat(root, directories[i], uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			return kist_fail_errno(err, errno, "make /%s of the infra container", directories[i]);
	if (fchownat(root, "", uid, gid, AT_EMPTY_PATH) < 0)
		return kist_fail_errno(err, errno, "own the root of the infra container");
	return kist_steal_fd(&root);
}
