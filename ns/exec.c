#include "ns/launch.h"
#include "ns/program.h"
#include "ns/stages.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int setns(int fd, int nstype); /* <sched.h> and <linux/sched.h> do not go together */

struct exec_plan {
	const struct kist_ns_exec *exec;
	struct kist_ns_policy policy;
	int flags;   /* the container's namespaces */
	int proc_fd; /* the host's /proc */
	int null_fd;
	int sync;             /* the child's end */
	volatile pid_t *born; /* shared with the parent: the process that the container sees; 0: not there yet */
	char *arguments;      /* of this program, as /proc shows them */
	size_t arguments_size;
};

static int join(struct exec_plan *plan, struct kist_error *err)
{
	if (plan->flags && setns(plan->exec->pidfd, plan->flags) < 0) {
		if (errno == ESRCH)
			return kist_fail(err, KIST_ERR_STATE, ESRCH, "the container has stopped");
		return kist_fail_errno(err, errno, "join the container's namespaces");
	}
	return plan->flags & CLONE_NEWUSER ? kist_ns_user_become_root(err) : 0;
}

static int open_console(const struct exec_plan *plan, struct kist_ns_program *program, struct kist_error *err)
{
	const struct kist_ns_exec *exec = plan->exec;
	const struct kist_spec_box *box = exec->process->console_size;
	bool given = exec->rows || exec->cols || !box;
	KIST_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	KIST_CLOSE int master = -1;

	if (root < 0)
		return kist_fail_errno(err, errno, "open the container's root");
	int r = kist_ns_console_open(root, given ? exec->rows : (unsigned)box->height,
	                             given ? exec->cols : (unsigned)box->width, &master, &program->console, err);
	if (r < 0)
		return r;
	if (kist_ns_stage_send(plan->sync, KIST_NS_STAGE_CREATED, 0, master) < 0)
		_exit(1);
	return 0;
}

/* Until here the container cannot see this process: setns(2) moves only its children into the pid namespace. A program
 * of the container that may trace (CAP_SYS_PTRACE) can stop what it sees at any instruction, so what it sees has the
 * rights of the container, its filter and its namespaces from its first instruction on. The new process is the
 * parent's child, as this one is, and its number is written where the parent finds it: the filter may refuse to tell.
 */
static int be_born(struct exec_plan *plan, struct kist_ns_program *program, struct kist_error *err)
{
	const unsigned long flags = CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD;

	/* All users of the container can read the command line: it has paths of the host, and values of --env. */
	memset(plan->arguments, 0, plan->arguments_size);
	long pid = syscall(SYS_clone, flags, NULL, plan->born, NULL, NULL);

	if (pid > 0)
		_exit(0);
	if (pid < 0 && errno == ENOMEM) /* pid_namespaces(7): its init is gone */
		return kist_fail(err, KIST_ERR_STATE, ESRCH, "the container has stopped");
	if (pid < 0) {
		kist_fail_errno(err, errno, "clone");
		return kist_remedy(err, "the container's seccomp profile and limit of processes have to allow it");
	}
	int r = setsid() < 0 ? kist_fail_errno(err, errno, "setsid") : 0;
	if (r == 0 && program->console >= 0)
		r = kist_ns_console_control(0, err);
	return r < 0 ? r : kist_ns_program_run(program, err);
}

static int enter(struct exec_plan *plan, struct kist_error *err)
{
	bool terminal = plan->exec->process->terminal;
	struct kist_ns_program program = {
		.process = plan->exec->process,
		.policy = &plan->policy,
		.stdio = plan->exec->stdio,
		.null_fd = plan->null_fd,
		.console = -1,
		.listen_fds = plan->exec->listen_fds,
		.init_fd = -1,
		.proc_fd = kist_ns_program_needs_proc(&plan->policy) ? plan->proc_fd : -1,
		.in_user_namespace = plan->flags & CLONE_NEWUSER,
	};
	/* With the host's rights: inside, a limit could only be lowered. */
	int r = kist_ns_policy_apply_limits(&plan->policy, 0, plan->proc_fd, err);

	if (r == 0 && !terminal)
		r = kist_ns_program_stdio(&program, err);
	if (r < 0)
		return r;
	/* Nothing of the host may be open when the container can see this process (CVE-2024-21626). */
	const int keep[] = { plan->sync, plan->exec->pidfd, program.proc_fd, plan->policy.seccomp.listener };
	kist_ns_close_others(3 + program.listen_fds, keep, KIST_COUNT(keep));
	r = join(plan, err);
	close(plan->exec->pidfd);
	if (r == 0 && terminal) {
		r = open_console(plan, &program, err);
		if (r == 0)
			r = kist_ns_program_stdio(&program, err);
		/* Of the terminal only 0-2 stay. */
		const int keep_now[] = { plan->sync, program.proc_fd, plan->policy.seccomp.listener };
		kist_ns_close_others(3 + program.listen_fds, keep_now, KIST_COUNT(keep_now));
	}
	/* The monitor has the session keyring of whoever started the container. */
	if (r == 0)
		r = kist_ns_program_join_keyring(err);
	if (r == 0)
		r = kist_ns_policy_apply_early(&plan->policy, program.proc_fd, err);
	if (r == 0)
		r = kist_ns_program_own_stdio(&program, err);
	if (r == 0)
		r = kist_ns_program_chdir(&program, err);
	if (r < 0)
		return r;
	umask(022);
	prctl(PR_SET_PDEATHSIG, 0);
	kist_reset_signals();
	r = kist_ns_program_drop(&program, err);
	return r < 0 ? r : be_born(plan, &program, err);
}

static void exec_main(struct exec_plan *plan) __attribute__((noreturn));
static void exec_main(struct exec_plan *plan)
{
	struct kist_error err = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter(plan, &err) < 0)
		kist_ns_stage_send_error(plan->sync, &err);
	_exit(1);
}

/* What enters is not dumpable: of its memory the container sees nothing before execve(2). */
static int clone_exec(struct exec_plan *plan, struct kist_ns_child *child, struct kist_error *err)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.exit_signal = SIGCHLD,
		.pidfd = (uint64_t)(uintptr_t)&child->pidfd,
	};
	int dumpable = prctl(PR_GET_DUMPABLE);

	if (plan->exec->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)plan->exec->cgroup_fd;
	}
	prctl(PR_SET_DUMPABLE, 0);
	pid_t pid = kist_clone3(&args, sizeof(args));
	if (pid == 0) {
		kist_close_fd(&child->sync);
		exec_main(plan);
	}
	if (dumpable >= 0)
		prctl(PR_SET_DUMPABLE, dumpable);
	if (pid < 0)
		return kist_fail_errno(err, -pid, "clone");
	child->pid = pid;
	return 0;
}

/* From the process that entered to the one that was born of it, a child of this process too: its number stays its own
 * until it is waited for. */
static int find_born(struct exec_plan *plan, struct kist_ns_child *child, struct kist_error *err)
{
	kist_wait_pid(child->pid);
	kist_close_fd(&child->pidfd);
	child->pid = *plan->born > 0 ? *plan->born : -1;
	if (child->pid < 0)
		return kist_fail(err, KIST_ERR_SYSTEM, 0, "the process was killed while it entered the container");
	child->pidfd = kist_pidfd_open(child->pid);
	return child->pidfd < 0 ? kist_fail_errno(err, -child->pidfd, "open process %d", child->pid) : 0;
}

static int exec_prepare(struct exec_plan *plan, struct kist_error *err)
{
	const struct kist_ns_exec *exec = plan->exec;
	const struct kist_ns_policy_args args = {
		.spec = exec->spec,
		.process = exec->process,
		.default_seccomp_caps = exec->default_seccomp_caps,
		.seccomp_cache = exec->seccomp_cache,
		.privileged = exec->privileged,
		.joining = true,
		.keep_groups = exec->keep_groups,
		.id = exec->id,
		.bundle = exec->bundle,
	};

	for (size_t i = 0; i < KIST_NS_N_NAMESPACES; i++)
		if (kist_spec_namespace(exec->spec, kist_ns_namespace_table[i].type))
			plan->flags |= kist_ns_namespace_table[i].flag;
	int r = kist_ns_open_common(exec->stdio, exec->process->terminal, &plan->proc_fd, &plan->null_fd, err);
	if (r < 0)
		return r;
	r = kist_proc_own_arguments(plan->proc_fd, &plan->arguments, &plan->arguments_size);
	if (r < 0)
		return kist_fail_errno(err, -r, "find the own arguments in /proc/self/stat");
	if (plan->flags & CLONE_NEWUSER && !exec->process->terminal)
		r = kist_ns_user_give_stdio(&exec->spec->linux_, &exec->process->user, exec->stdio, err);
	return r < 0 ? r : kist_ns_policy_prepare(&args, &plan->policy, err);
}

static int exec_accompany(struct exec_plan *plan, struct kist_ns_child *child, struct kist_error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return kist_fail_errno(err, errno, "socketpair");
	child->sync = pair[0];
	plan->sync = pair[1];
	int r = clone_exec(plan, child, err);
	kist_close_fd(&plan->sync);
	if (r < 0)
		return r;
	if (plan->exec->process->terminal)
		r = kist_ns_stage_expect(child->sync, KIST_NS_STAGE_CREATED, NULL, &child->console, err);
	if (r == 0)
		r = kist_ns_stage_expect_exec(child->sync, err);
	if (r < 0)
		kist_pidfd_signal(child->pidfd, SIGKILL);
	int found = find_born(plan, child, r == 0 ? err : NULL);
	return r < 0 ? r : found;
}

int kist_ns_exec(const struct kist_ns_exec *exec, struct kist_ns_child *child, struct kist_error *err)
{
	struct exec_plan plan = {
		.exec = exec, .policy = KIST_NS_POLICY_INIT, .proc_fd = -1, .null_fd = -1, .sync = -1
	};
	struct kist_ns_child made = KIST_NS_CHILD_INIT;
	int r = exec_prepare(&plan, err);

	if (r == 0) {
		plan.born = mmap(NULL, sizeof(*plan.born), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		r = plan.born == MAP_FAILED ? kist_fail_errno(err, errno, "map a page") : 0;
	}
	if (r == 0) {
		r = exec_accompany(&plan, &made, err);
		munmap((void *)plan.born, sizeof(*plan.born));
	}
	kist_ns_policy_free(&plan.policy);
	kist_close_fd(&plan.proc_fd);
	kist_close_fd(&plan.null_fd);
	kist_close_fd(&made.sync);
	if (r < 0) {
		kist_ns_child_destroy(&made);
		return r;
	}
	*child = made;
	return 0;
}
