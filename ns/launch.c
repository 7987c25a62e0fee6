#include "ns/launch.h"
#include "ns/stages.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

int setns(int fd, int nstype); /* <sched.h> and <linux/sched.h> do not go together */

#ifndef PIDFD_GET_MNT_NAMESPACE
#define PIDFD_GET_MNT_NAMESPACE _IO(0xFF, 3) /* Linux 6.11 */
#endif

bool kist_ns_plan_has_user(const struct kist_ns_plan *plan)
{
	return (plan->namespaces.make | plan->namespaces.join) & (int)CLONE_NEWUSER;
}

void kist_ns_child_close(struct kist_ns_child *child)
{
	kist_close_fd(&child->pidfd);
	kist_close_fd(&child->sync);
	kist_close_fd(&child->console);
	kist_close_fd(&child->mount_ns);
}

void kist_ns_child_destroy(struct kist_ns_child *child)
{
	if (child->pid > 0) {
		kill(child->pid, SIGKILL);
		kist_wait_pid(child->pid);
	}
	child->pid = -1;
	kist_ns_child_close(child);
}

/* --- the plan ------------------------------------------------------------------------------------------------------
 */

static int check_hooks(const struct kist_ns_launch *launch, struct kist_error *err)
{
	const struct kist_spec_hooks *h = launch->spec->hooks;

	if (h && !launch->hooks.run &&
	    h->n_prestart + h->n_create_runtime + h->n_create_container + h->n_start_container > 0)
		return kist_fail(err, KIST_ERR_INTERNAL, EINVAL, "hooks: nobody runs them");
	return 0;
}

static int check_fds(const struct kist_ns_launch *launch, struct kist_error *err)
{
	for (int fd = 3; fd < 3 + launch->listen_fds; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return kist_fail(err, KIST_ERR_INVALID, EBADF, "preserved fd %d is not open", fd);
	return 0;
}

int kist_ns_open_common(const int stdio[3], bool terminal, int *proc_fd, int *null_fd, struct kist_error *err)
{
	/* An fd of the launch in one of these places would be overwritten by the container's stdio. */
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return kist_fail(err, KIST_ERR_INTERNAL, EBADF, "fd %d of the engine is closed", fd);
	KIST_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return kist_fail_errno(err, errno, "open /proc");
	if (!terminal && (stdio[0] < 0 || stdio[1] < 0 || stdio[2] < 0)) {
		*null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
		if (*null_fd < 0)
			return kist_fail_errno(err, errno, "open /dev/null");
	}
	*proc_fd = kist_steal_fd(&proc);
	return 0;
}

static int prepare_namespaces(struct kist_ns_plan *plan, struct kist_error *err)
{
	int r = kist_ns_namespaces_open(plan->spec, &plan->namespaces, err);

	if (r < 0)
		return r;
	if (!(plan->namespaces.make & CLONE_NEWNS))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "linux.namespaces: a container needs a new mount namespace of its own");
	return 0;
}

static int prepare(struct kist_ns_plan *plan, struct kist_error *err)
{
	const struct kist_ns_launch *launch = plan->launch;
	const struct kist_ns_policy_args args = {
		.spec = plan->spec,
		.process = plan->process,
		.default_seccomp_caps = launch->default_seccomp_caps,
		.seccomp_cache = launch->seccomp_cache,
		.id = launch->id,
		.bundle = launch->bundle,
		.keep_groups = launch->keep_groups,
	};
	int r = check_hooks(launch, err);

	if (r == 0)
		r = check_fds(launch, err);
	if (r == 0)
		r = prepare_namespaces(plan, err);
	if (r == 0)
		r = kist_ns_open_common(launch->stdio, plan->process->terminal, &plan->proc_fd, &plan->null_fd, err);
	if (r == 0)
		r = kist_ns_policy_prepare(&args, &plan->policy, err);
	if (r == 0 && kist_ns_plan_has_user(plan) && !plan->process->terminal)
		r = kist_ns_user_give_stdio(&plan->spec->linux_, &plan->process->user, launch->stdio, err);
	if (r == 0)
		r = kist_ns_rootfs_prepare(plan, err);
	if (r == 0)
		r = kist_ns_dev_prepare(plan, err);
	return r < 0 ? r : kist_ns_mounts_prepare(plan, err);
}

static void plan_close(struct kist_ns_plan *plan)
{
	kist_ns_mounts_free(plan);
	if (plan->rootfs_owned)
		kist_close_fd(&plan->rootfs);
	kist_ns_policy_free(&plan->policy);
	kist_ns_namespaces_close(&plan->namespaces);
	kist_close_fd(&plan->proc_fd);
	kist_close_fd(&plan->null_fd);
	kist_close_fd(&plan->devices);
	kist_close_fd(&plan->sync);
}

/* --- clone ---------------------------------------------------------------------------------------------------------
 */

/* Some namespaces are only for children (pid), and some the child could not join once it is in a new user namespace.
 * The parent visits those for the time of the clone: that is one process less to make than an intermediate one. */
static int visit(const struct kist_ns_plan *plan, int flags, int own[KIST_NS_N_NAMESPACES], struct kist_error *err)
{
	for (size_t i = 0; i < KIST_NS_N_NAMESPACES; i++) {
		const struct kist_ns_namespace_row *row = &kist_ns_namespace_table[i];
		char name[32];
		own[i] = -1;
		if (!(flags & row->flag))
			continue;
		snprintf(name, sizeof(name), "self/ns/%s", row->file);
		own[i] = openat(plan->proc_fd, name, O_RDONLY | O_CLOEXEC);
		if (own[i] < 0)
			return kist_fail_errno(err, errno, "open /proc/%s", name);
	}
	return kist_ns_namespaces_join(&plan->namespaces, flags, err);
}

static int come_back(int own[KIST_NS_N_NAMESPACES], struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; i < KIST_NS_N_NAMESPACES; i++) {
		if (own[i] >= 0 && setns(own[i], kist_ns_namespace_table[i].flag) < 0 && r == 0)
			r = kist_fail_errno(err, errno, "return to the own %s namespace",
			                    kist_ns_namespace_table[i].type);
		kist_close_fd(&own[i]);
	}
	return r;
}

/* The part of clone3 that both the direct way and the joiner use. */
static pid_t clone_init(struct kist_ns_plan *plan, int parent_sync, uint64_t flags, int cgroup_fd, int *pidfd)
{
	struct clone_args args = {
		.flags = (uint64_t)(unsigned)(plan->namespaces.make & ~(plan->child_make)) | flags,
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD, /* CLONE_PARENT takes that of the caller */
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
	};

	if (cgroup_fd >= 0)
		args.flags |= CLONE_INTO_CGROUP;
	if (pidfd)
		args.flags |= CLONE_PIDFD;
	pid_t pid = kist_clone3(&args, sizeof(args));
	if (pid == 0) {
		kist_close_fd(&parent_sync);
		kist_close_fd(&plan->joiner_sync);
		kist_ns_child_main(plan);
	}
	return pid;
}

/* A user namespace is joined: new namespaces have to be owned by it, so a process joins first and clones the init from
 * there, as a child of the caller. */
static void joiner_main(struct kist_ns_plan *plan, int parent_sync) __attribute__((noreturn));
static void joiner_main(struct kist_ns_plan *plan, int parent_sync)
{
	struct kist_error err = { 0 };
	int flags = plan->namespaces.join;

	prctl(PR_SET_DUMPABLE, 0);
	/* Raising a limit is for the host's root only: here it still is. */
	int r = kist_ns_policy_apply_limits(&plan->policy, 0, plan->proc_fd, &err);
	if (r == 0)
		r = kist_ns_namespaces_join(&plan->namespaces, flags, &err);
	plan->child_join = 0;
	pid_t pid = r < 0 ? r : clone_init(plan, parent_sync, CLONE_PARENT, -1, NULL);
	if (r == 0 && pid < 0)
		r = kist_fail_errno(&err, -pid, "clone");
	if (r < 0)
		kist_ns_stage_send_error(plan->joiner_sync, &err);
	else
		kist_ns_stage_send(plan->joiner_sync, KIST_NS_STAGE_PID, pid, -1);
	_exit(r < 0);
}

static int clone_by_joiner(struct kist_ns_plan *plan, struct kist_ns_child *child, int cgroup_fd,
                           struct kist_error *err)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0 };
	int32_t value = 0;
	int pair[2];

	if (cgroup_fd >= 0)
		args.flags |= CLONE_INTO_CGROUP;
	/* A socket of the joiner's own: the init may be faster with its first word than the joiner with its last. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return kist_fail_errno(err, errno, "socketpair");
	KIST_CLOSE int answers = pair[0];
	plan->joiner_sync = pair[1];
	pid_t joiner = kist_clone3(&args, sizeof(args));
	if (joiner == 0)
		joiner_main(plan, child->sync);
	kist_close_fd(&plan->joiner_sync);
	if (joiner < 0)
		return joiner;
	/* The joiner and the init hold the other end. */
	kist_close_fd(&plan->sync);
	int r = kist_ns_stage_expect(answers, KIST_NS_STAGE_PID, &value, NULL, err);
	kist_wait_pid(joiner);
	if (r < 0)
		return r;
	child->pid = value;
	child->pidfd = kist_pidfd_open(child->pid);
	return child->pidfd < 0 ? kist_fail_errno(err, -child->pidfd, "pidfd of the container") : 0;
}

static int clone_directly(struct kist_ns_plan *plan, struct kist_ns_child *child, int cgroup_fd, struct kist_error *err)
{
	int own[KIST_NS_N_NAMESPACES];
	int join = plan->namespaces.join;
	/* The mount namespace is always made; what is left to the child is what needs nothing of the parent. */
	int flags = plan->namespaces.make & CLONE_NEWUSER ? join : join & CLONE_NEWPID;
	bool hide = join & CLONE_NEWPID;
	int dumpable = hide ? prctl(PR_GET_DUMPABLE) : 1;
	int r = 0;
	pid_t pid = -1;

	plan->child_join = join & ~flags;
	if (!flags) {
		pid = clone_init(plan, child->sync, 0, cgroup_fd, &child->pidfd);
	} else {
		/* Others live in the pid namespace: from its first moment the child is none that they may trace or look
		 * into. */
		if (hide)
			prctl(PR_SET_DUMPABLE, 0);
		r = visit(plan, flags, own, err);
		if (r == 0)
			pid = clone_init(plan, child->sync, 0, cgroup_fd, &child->pidfd);
		int back = come_back(own, r < 0 || pid < 0 ? NULL : err);
		if (r == 0)
			r = back;
		if (hide && dumpable >= 0)
			prctl(PR_SET_DUMPABLE, dumpable);
	}
	kist_close_fd(&plan->sync);
	if (pid > 0)
		child->pid = pid;
	else if (r == 0)
		return pid; /* no error object yet: the caller may try without the cgroup */
	return r;
}

static int new_sync(struct kist_ns_plan *plan, struct kist_ns_child *child, struct kist_error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return kist_fail_errno(err, errno, "socketpair");
	kist_close_fd(&child->sync);
	kist_close_fd(&plan->sync);
	child->sync = pair[0];
	plan->sync = pair[1];
	return 0;
}

static int clone_once(struct kist_ns_plan *plan, struct kist_ns_child *child, int cgroup_fd, struct kist_error *err)
{
	int r = new_sync(plan, child, err);

	if (r < 0)
		return r;
	return plan->namespaces.join & CLONE_NEWUSER ? clone_by_joiner(plan, child, cgroup_fd, err)
	                                             : clone_directly(plan, child, cgroup_fd, err);
}

static int clone_child(struct kist_ns_plan *plan, struct kist_ns_child *child, struct kist_error *err)
{
	struct kist_error own = { 0 };
	int cgroup_fd = plan->launch->cgroup_fd;
	int r = clone_once(plan, child, cgroup_fd, &own);

	/* Linux before 5.7, or a filter around the engine that knows no CLONE_INTO_CGROUP: the parent moves the child.
	 */
	if (r < 0 && !kist_error_is_set(&own) && cgroup_fd >= 0 && (r == -EINVAL || r == -E2BIG || r == -EOPNOTSUPP)) {
		plan->wait_mapped = true;
		r = clone_once(plan, child, -1, &own);
		char pid[16];
		snprintf(pid, sizeof(pid), "%d", child->pid);
		if (r == 0) {
			r = kist_write_kernel(cgroup_fd, "cgroup.procs", pid);
			if (r < 0)
				r = kist_fail_errno(&own, -r, "move into the cgroup");
		}
	}
	if (r < 0 && !kist_error_is_set(&own)) {
		kist_fail_errno(&own, -r, "clone");
		if (r == -ENOSPC || r == -EUSERS)
			kist_remedy(&own, "see the limits in /proc/sys/user");
	}
	if (r < 0 && err)
		*err = own;
	return r;
}

/* --- the parent's side of the hand-shake ---------------------------------------------------------------------------
 */

static int set_up_user(const struct kist_ns_plan *plan, const struct kist_ns_child *child, struct kist_error *err)
{
	if (!(plan->namespaces.make & CLONE_NEWUSER))
		return 0;
	int r = kist_ns_user_maps_write(plan->proc_fd, child->pid, &plan->spec->linux_, err);
	return r < 0 ? r : kist_ns_mounts_idmap(plan, child->pid, err);
}

static int run_hooks(const struct kist_ns_plan *plan, pid_t pid, struct kist_error *err)
{
	const struct kist_spec_hooks *hooks = plan->spec->hooks;
	const struct kist_ns_hooks_runner *runner = &plan->launch->hooks;
	int r = 0;

	if (hooks && hooks->n_prestart)
		r = runner->run(runner->arg, hooks->prestart, hooks->n_prestart, "prestart", pid, err);
	if (r == 0 && hooks && hooks->n_create_runtime)
		r = runner->run(runner->arg, hooks->create_runtime, hooks->n_create_runtime, "createRuntime", pid, err);
	return r;
}

/* What the caller does to the new process fails if that has died: then its own reason is the one to tell, if it left
 * one. */
static int prefer_reason(const struct kist_ns_child *child, int r, struct kist_error *err)
{
	struct pollfd said = { .fd = child->sync, .events = POLLIN };
	struct kist_error own = { 0 };

	if (r == 0 || poll(&said, 1, 0) <= 0)
		return r;
	int told = kist_ns_stage_expect(child->sync, KIST_NS_STAGE_MOUNTED, NULL, NULL, &own);
	if (told < 0 && err)
		*err = own;
	return told < 0 ? told : r;
}

static int accompany(const struct kist_ns_plan *plan, struct kist_ns_child *child, struct kist_error *err)
{
	const struct kist_ns_launch *launch = plan->launch;
	int r = set_up_user(plan, child, err);

	if (r == 0 && plan->wait_mapped && kist_ns_stage_send(child->sync, KIST_NS_STAGE_MAPPED, 0, -1) < 0)
		return kist_ns_stage_expect(child->sync, KIST_NS_STAGE_CREATED, NULL, NULL, err);
	/* The child makes its mounts meanwhile. */
	if (r == 0 && launch->at)
		r = prefer_reason(child, launch->at(launch->at_arg, KIST_NS_NAMESPACES, child->pid, err), err);
	if (r == 0 && launch->meanwhile)
		r = launch->meanwhile(launch->meanwhile_arg, err);
	if (r == 0 && plan->wait_pivot) {
		r = kist_ns_stage_expect(child->sync, KIST_NS_STAGE_MOUNTED, NULL, NULL, err);
		if (r == 0)
			r = run_hooks(plan, child->pid, err);
		if (r == 0 && launch->at)
			r = launch->at(launch->at_arg, KIST_NS_MOUNTED, child->pid, err);
		/* Only now: a low limit of open files would hinder the mounts. */
		if (r == 0 && plan->namespaces.make & CLONE_NEWUSER)
			r = kist_ns_policy_apply_limits(&plan->policy, child->pid, plan->proc_fd, err);
		if (r == 0)
			kist_ns_stage_send(child->sync, KIST_NS_STAGE_PIVOT, 0,
			                   -1); /* if it fails: the next line tells */
	}
	return r < 0 ? r : kist_ns_stage_expect(child->sync, KIST_NS_STAGE_CREATED, NULL, &child->console, err);
}

static int open_mount_ns(const struct kist_ns_plan *plan, struct kist_ns_child *child, struct kist_error *err)
{
	char name[32];

	child->mount_ns = ioctl(child->pidfd, PIDFD_GET_MNT_NAMESPACE, 0);
	if (child->mount_ns >= 0)
		return 0;
	snprintf(name, sizeof(name), "%d/ns/mnt", child->pid);
	child->mount_ns = openat(plan->proc_fd, name, O_RDONLY | O_CLOEXEC);
	return child->mount_ns < 0 ? kist_fail_errno(err, errno, "open the mount namespace of the container") : 0;
}

int kist_ns_create(const struct kist_ns_launch *launch, struct kist_ns_child *child, struct kist_error *err)
{
	const struct kist_spec_hooks *hooks = launch->spec->hooks;
	struct kist_ns_plan plan = {
		.launch = launch,
		.spec = launch->spec,
		.process = launch->spec->process,
		.policy = KIST_NS_POLICY_INIT,
		.rootfs = -1,
		.proc_fd = -1,
		.null_fd = -1,
		.sync = -1,
		.joiner_sync = -1,
		.devices = -1,
		.dev = -1,
	};
	struct kist_ns_child made = KIST_NS_CHILD_INIT;

	for (size_t i = 0; i < KIST_NS_N_NAMESPACES; i++)
		plan.namespaces.fd[i] = -1;
	if (!plan.process)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "the plan has no process");
	int r = prepare(&plan, err);
	if (r == 0) {
		bool new_user = plan.namespaces.make & CLONE_NEWUSER;
		plan.child_make = plan.namespaces.make &
		                  (CLONE_NEWCGROUP | (launch->spec->linux_.n_time_offsets ? CLONE_NEWTIME : 0));
		plan.wait_mapped = new_user;
		plan.wait_pivot = new_user || launch->at || (hooks && hooks->n_prestart + hooks->n_create_runtime > 0);
		if (!new_user)
			r = kist_ns_mounts_idmap(&plan, -1, err);
	}
	if (r == 0)
		r = clone_child(&plan, &made, err);
	if (r == 0)
		r = accompany(&plan, &made, err);
	if (r == 0)
		r = open_mount_ns(&plan, &made, err);
	plan_close(&plan);
	if (r < 0) {
		kist_ns_child_destroy(&made);
		return r;
	}
	*child = made;
	return 0;
}

int kist_ns_start(struct kist_ns_child *child, struct kist_error *err)
{
	if (child->sync < 0)
		return kist_fail(err, KIST_ERR_STATE, EINVAL, "the container does not wait for its start");
	/* A child that died has left its reason, or will be found dead. */
	int sent = kist_ns_stage_send(child->sync, KIST_NS_STAGE_START, 0, -1);
	int r = kist_ns_stage_expect_exec(child->sync, err);
	if (r == 0 && sent < 0)
		r = kist_fail(err, KIST_ERR_SYSTEM, EPIPE, "the container's first process died before its start");
	if (r < 0)
		kist_ns_child_destroy(child);
	kist_close_fd(&child->sync);
	return r;
}
