#include "ns/launch.h"

#include "core/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* In the order of joining: the user namespace last, because before it the caller has the privileges that joining the
 * others needs. */
const struct kist_ns_namespace_row kist_ns_namespace_table[KIST_NS_N_NAMESPACES] = {
	{ "network", "net", CLONE_NEWNET },      { "ipc", "ipc", CLONE_NEWIPC },    { "uts", "uts", CLONE_NEWUTS },
	{ "cgroup", "cgroup", CLONE_NEWCGROUP }, { "pid", "pid", CLONE_NEWPID },    { "time", "time", CLONE_NEWTIME },
	{ "mount", "mnt", CLONE_NEWNS },         { "user", "user", CLONE_NEWUSER },
};

static int open_namespace(const struct kist_ns_namespace_row *row, const char *path, struct kist_error *err)
{
	/* O_NONBLOCK: what is there may be a FIFO. */
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return kist_fail_errno(err, errno, "%s namespace %s", row->type, path);
	int type = ioctl(fd, NS_GET_NSTYPE);
	if (type < 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s namespace %s: this is not a namespace", row->type,
		                 path);
	if (type != row->flag)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s namespace %s: this is a namespace of another kind",
		                 row->type, path);
	return kist_steal_fd(&fd);
}

static bool is_own_user_namespace(int fd)
{
	struct stat given, own;

	return fstat(fd, &given) == 0 && stat("/proc/self/ns/user", &own) == 0 && given.st_dev == own.st_dev &&
	       given.st_ino == own.st_ino;
}

int kist_ns_namespaces_open(const struct kist_spec *spec, struct kist_ns_namespaces *out, struct kist_error *err)
{
	struct kist_ns_namespaces ns = { 0 };

	for (size_t i = 0; i < KIST_NS_N_NAMESPACES; i++)
		ns.fd[i] = -1;
	for (size_t i = 0; i < KIST_NS_N_NAMESPACES; i++) {
		const struct kist_ns_namespace_row *row = &kist_ns_namespace_table[i];
		const struct kist_spec_namespace *wanted = kist_spec_namespace(spec, row->type);
		if (!wanted)
			continue;
		if (kist_empty(wanted->path)) {
			ns.make |= row->flag;
			continue;
		}
		ns.fd[i] = open_namespace(row, wanted->path, err);
		if (ns.fd[i] < 0) {
			int r = ns.fd[i];
			kist_ns_namespaces_close(&ns);
			return r;
		}
		if (row->flag == CLONE_NEWUSER && is_own_user_namespace(ns.fd[i]))
			kist_close_fd(&ns.fd[i]); /* the kernel refuses to join it again, and nothing is to be done */
		else
			ns.join |= row->flag;
	}
	*out = ns;
	return 0;
}

void kist_ns_namespaces_close(struct kist_ns_namespaces *ns)
{
	for (size_t i = 0; i < KIST_NS_N_NAMESPACES; i++)
		kist_close_fd(&ns->fd[i]);
}

int kist_ns_namespaces_join(const struct kist_ns_namespaces *ns, int flags, struct kist_error *err)
{
	flags &= ns->join;
	if (!flags)
		return 0;
	/* What an unprivileged caller may not join yet (EPERM) is tried again from inside the user namespace. */
	int later = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < KIST_NS_N_NAMESPACES; i++) {
			const struct kist_ns_namespace_row *row = &kist_ns_namespace_table[i];
			if (!((pass ? later : flags) & row->flag))
				continue;
			if (setns(ns->fd[i], row->flag) == 0)
				continue;
			if (errno != EPERM || pass || !(flags & CLONE_NEWUSER) || row->flag == CLONE_NEWUSER)
				return kist_fail_errno(err, errno, "join %s namespace", row->type);
			later |= row->flag;
		}
		if (!later)
			break;
	}
	return 0;
}
