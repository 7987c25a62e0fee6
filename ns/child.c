#include "ns/launch.h"
#include "ns/program.h"
#include "ns/stages.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* Offsets can be set until the first process is in; moving there by setns(2) saves a fork. */
static int make_time_namespace(const struct kist_ns_plan *plan, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	const struct kist_spec_linux *l = &plan->spec->linux_;

	if (unshare(CLONE_NEWTIME) < 0)
		return kist_fail_errno(err, errno, "time namespace");
	for (size_t i = 0; i < l->n_time_offsets; i++)
		kist_str_addf(&text, "%s %lld %u\n", l->time_offsets[i].clock, (long long)l->time_offsets[i].secs,
		              l->time_offsets[i].nanosecs);
	int r = kist_ns_proc_write(plan->proc_fd, "self/timens_offsets", kist_str_get(&text));
	if (r < 0)
		return kist_fail_errno(err, -r, "time namespace: offsets");
	KIST_CLOSE int fd = openat(plan->proc_fd, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return kist_fail_errno(err, errno, "time namespace: enter");
	return 0;
}

static int enter_namespaces(const struct kist_ns_plan *plan, struct kist_error *err)
{
	int r = kist_ns_namespaces_join(&plan->namespaces, plan->child_join, err);

	if (r < 0)
		return r;
	if (plan->wait_mapped && kist_ns_stage_await(plan->sync, KIST_NS_STAGE_MAPPED) < 0)
		_exit(1);
	/* Before the change of user, which makes /proc/self the host root's. */
	if (plan->child_make & CLONE_NEWTIME) {
		r = make_time_namespace(plan, err);
		if (r < 0)
			return r;
	}
	if (kist_ns_plan_has_user(plan)) {
		r = kist_ns_user_become_root(err);
		if (r < 0)
			return r;
	}
	/* Not by clone3: its namespace would have the parent's cgroup as root, CLONE_INTO_CGROUP comes later in the
	 * kernel. */
	if (plan->child_make & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
		return kist_fail_errno(err, errno, "cgroup namespace");
	return 0;
}

/* What waits in a copy of the engine's memory, and not in a program of its own, is seen by who shares its pid
 * namespace. */
static int hide_arguments(const struct kist_ns_plan *plan, struct kist_error *err)
{
	char *arguments;
	size_t size;

	if (!plan->launch->pause || plan->launch->init_fd >= 0)
		return 0;
	int r = kist_proc_own_arguments(plan->proc_fd, &arguments, &size);
	if (r < 0)
		return kist_fail_errno(err, -r, "find the own arguments in /proc/self/stat");
	memset(arguments, 0, size);
	snprintf(arguments, size, "kist-pause");
	return 0;
}

static int set_names(const struct kist_ns_plan *plan, struct kist_error *err)
{
	const char *host = plan->spec->hostname, *domain = plan->spec->domainname;

	if (!kist_empty(host) && sethostname(host, strlen(host)) < 0)
		return kist_fail_errno(err, errno, "hostname %s", host);
	if (!kist_empty(domain) && setdomainname(domain, strlen(domain)) < 0)
		return kist_fail_errno(err, errno, "domainname %s", domain);
	return 0;
}

static int run_hooks(const struct kist_ns_plan *plan, const struct kist_spec_hook *hooks, size_t n, const char *stage,
                     struct kist_error *err)
{
	const struct kist_ns_hooks_runner *runner = &plan->launch->hooks;

	return n ? runner->run(runner->arg, hooks, n, stage, plan->host_pid ? plan->host_pid : getpid(), err) : 0;
}

/* The pid that the parent knows: by the link of the host's procfs. Only hooks and a seccomp listener tell it on. */
static void find_host_pid(struct kist_ns_plan *plan)
{
	char text[16];
	ssize_t n = readlinkat(plan->proc_fd, "self", text, sizeof(text) - 1);
	uint32_t pid;

	if (n <= 0)
		return;
	text[n] = '\0';
	if (kist_parse_u32(text, &pid) == 0)
		plan->host_pid = plan->policy.host_pid = (pid_t)pid;
}

/* A read-only root takes no directory later. What fails here is told when the directory is entered. */
static void make_cwd(const struct kist_ns_plan *plan)
{
	if (!plan->launch->complete || !plan->spec->root_readonly || kist_empty(plan->process->cwd))
		return;
	int made = kist_mkdirs_in_root(plan->rootfs, plan->process->cwd, 0755, 0, 0);
	if (made >= 0)
		close(made);
}

/* Everything up to the pivot. */
static int build(struct kist_ns_plan *plan, int *master, int *slave, struct kist_error *err)
{
	const struct kist_ns_launch *launch = plan->launch;
	const struct kist_spec_box *box = plan->process->console_size;
	int r = kist_ns_rootfs_attach(plan, err);

	if (r == 0)
		r = kist_ns_mounts_make(plan, err);
	if (r == 0)
		r = kist_ns_dev_make(plan, err);
	if (r == 0 && plan->process->terminal) {
		bool given = launch->rows || launch->cols || !box;
		r = kist_ns_console_open(plan->rootfs, given ? launch->rows : (unsigned)box->height,
		                         given ? launch->cols : (unsigned)box->width, master, slave, err);
		if (r == 0 && !plan->dev_foreign)
			r = kist_ns_console_bind(plan->rootfs, *slave, err);
	}
	if (r == 0)
		r = kist_ns_mounts_seal(plan, err);
	if (r < 0)
		return r;
	make_cwd(plan);
	return kist_ns_paths_apply(plan, err);
}

static int pivot(struct kist_ns_plan *plan, struct kist_error *err)
{
	const struct kist_spec_hooks *hooks = plan->spec->hooks;
	int r = 0;

	if (plan->wait_pivot) {
		if (kist_ns_stage_send(plan->sync, KIST_NS_STAGE_MOUNTED, 0, -1) < 0 ||
		    kist_ns_stage_await(plan->sync, KIST_NS_STAGE_PIVOT) < 0)
			_exit(1);
	}
	if (hooks)
		r = run_hooks(plan, hooks->create_container, hooks->n_create_container, "createContainer", err);
	/* After the network: a sysctl may be that of an interface. */
	if (r == 0)
		r = kist_ns_policy_apply_early(&plan->policy, plan->proc_fd, err);
	return r < 0 ? r : kist_ns_rootfs_pivot(plan, err);
}

/* What needs nothing of the parent: done while it writes its records. */
static int prepare_program(struct kist_ns_plan *plan, struct kist_ns_program *program, int master,
                           struct kist_error *err)
{
	int gate = plan->launch->gate_fd > 0 ? plan->launch->gate_fd : -1;
	int r = plan->launch->new_keyring ? kist_ns_program_join_keyring(err) : 0;

	if (r == 0 && program->console >= 0)
		r = kist_ns_console_control(program->console, err);
	if (r == 0)
		r = kist_ns_program_stdio(program, err);
	if (r == 0)
		r = kist_ns_program_own_stdio(program, err);
	if (r < 0)
		return r;
	/* Before the directory is changed: its path may lead through /proc/self/fd (CVE-2024-21626). */
	const int keep[] = {
		plan->sync, program->init_fd, program->proc_fd, plan->policy.seccomp.listener, gate, master
	};
	kist_ns_close_others(3 + program->listen_fds, keep, KIST_COUNT(keep));
	if (plan->launch->complete)
		r = kist_ns_program_fill_env(program, err);
	return r < 0 ? r : kist_ns_program_chdir(program, err);
}

static void say_created(const struct kist_ns_plan *plan, int *master)
{
	if (kist_ns_stage_send(plan->sync, KIST_NS_STAGE_CREATED, 0, *master) < 0)
		_exit(1);
	kist_close_fd(master);
}

/* The gate is the parent's word. An error of the last preparations waits until the parent listens again. */
static int wait_for_parent(struct kist_ns_plan *plan, struct kist_ns_program *program, int *master,
                           struct kist_error *err)
{
	say_created(plan, master);
	umask(022);
	int r = prepare_program(plan, program, -1, err);
	if (kist_ns_stage_await(plan->sync, KIST_NS_STAGE_START) < 0)
		_exit(1);
	return r;
}

/* The gate is a socket that others find by its name: the parent is about to go, so what can fail fails before. Until
 * its RELEASE the end of the parent is the child's. */
static int wait_at_own_gate(struct kist_ns_plan *plan, struct kist_ns_program *program, int *master,
                            struct kist_error *err)
{
	umask(022);
	int r = prepare_program(plan, program, *master, err);
	if (r == 0)
		r = kist_ns_program_check(program, err);
	if (r < 0)
		return r;
	prctl(PR_SET_PDEATHSIG, 0);
	say_created(plan, master);
	if (kist_ns_stage_await(plan->sync, KIST_NS_STAGE_RELEASE) < 0)
		_exit(1);
	kist_close_fd(&plan->sync);
	plan->sync = kist_ns_gate_await(plan->launch->gate_fd);
	return 0;
}

/* They run in the container, and their programs may be the image's: with the rights of its program and no others, as
 * with runc and crun. Where they have no environment of their own they get the program's. */
static int run_start_hooks(const struct kist_ns_plan *plan, const struct kist_ns_program *program,
                           struct kist_error *err)
{
	const struct kist_spec_hooks *hooks = plan->spec->hooks;
	KIST_FREE struct kist_spec_hook *own = NULL;

	own = kist_grow(own, hooks->n_start_container, sizeof(*own));
	for (size_t i = 0; i < hooks->n_start_container; i++) {
		own[i] = hooks->start_container[i];
		if (!own[i].env)
			own[i].env = (char **)kist_ns_program_env(program); /* not written to */
	}
	/* The memory is a copy of the engine's, and the hooks are of the same user. */
	prctl(PR_SET_DUMPABLE, 0);
	return run_hooks(plan, own, hooks->n_start_container, "startContainer", err);
}

static int launch(struct kist_ns_plan *plan, struct kist_error *err)
{
	const struct kist_spec_hooks *hooks = plan->spec->hooks;
	KIST_CLOSE int master = -1;
	int slave = -1;
	int r = enter_namespaces(plan, err);

	/* A belt to the gate's braces: it ends a child that is busy in a hook. A change of user clears it, so it comes
	 * after. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (r == 0 && setsid() < 0 && errno != EPERM)
		r = kist_fail_errno(err, errno, "setsid");
	if (r == 0)
		r = hide_arguments(plan, err);
	if (r == 0)
		r = set_names(plan, err);
	if (r == 0 && plan->namespaces.make & CLONE_NEWNET)
		r = kist_ns_loopback_up(err);
	if (r < 0)
		return r;
	if (hooks || plan->policy.seccomp.listener >= 0)
		find_host_pid(plan);
	umask(0);
	r = build(plan, &master, &slave, err);
	if (r == 0)
		r = pivot(plan, err);
	if (r == 0 && !(plan->namespaces.make & CLONE_NEWUSER) && !(plan->namespaces.join & CLONE_NEWUSER))
		r = kist_ns_policy_apply_limits(&plan->policy, 0, plan->proc_fd, err);
	if (r < 0)
		return r;
	struct kist_ns_program program = {
		.process = plan->process,
		.policy = &plan->policy,
		.stdio = plan->launch->stdio,
		.null_fd = plan->null_fd,
		.console = slave,
		.listen_fds = plan->launch->listen_fds,
		.init_fd = plan->launch->init_fd,
		.pause = plan->launch->pause,
		.proc_fd = kist_ns_program_needs_proc(&plan->policy) ? plan->proc_fd : -1,
		.in_user_namespace = kist_ns_plan_has_user(plan),
		.make_cwd = plan->launch->complete,
	};
	r = plan->launch->gate_fd > 0 ? wait_at_own_gate(plan, &program, &master, err)
	                              : wait_for_parent(plan, &program, &master, err);
	prctl(PR_SET_PDEATHSIG, 0);
	if (r < 0)
		return r;
	bool start_hooks = hooks && hooks->n_start_container;
	if (!start_hooks)
		kist_reset_signals();
	r = kist_ns_program_drop(&program, err);
	if (r == 0 && start_hooks) {
		r = run_start_hooks(plan, &program, err);
		kist_reset_signals();
	}
	return r < 0 ? r : kist_ns_program_run(&program, err);
}

void kist_ns_child_main(struct kist_ns_plan *plan)
{
	struct kist_error err = { 0 };

	if (launch(plan, &err) < 0)
		kist_ns_stage_send_error(plan->sync, &err);
	_exit(1);
}
