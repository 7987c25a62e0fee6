/* Whether a process can be started as planned: config.md, Process. Also for exec, hence the path. */
#include "core/base/spec.h"

#include "core/base/spec_check.h"

#include <limits.h>
#include <string.h>

static int check_user(const struct kist_spec_user *user, const char *path, struct kist_error *err)
{
	if (user->username)
		return KIST_NOT_DONE(err, "%s.user.username: is for Windows, give uid and gid", path);
	/* setresuid(2) takes it as 'unchanged'. */
	if (user->uid == UINT32_MAX)
		return KIST_BAD(err, "%s.user.uid: 4294967295 is not an id", path);
	if (user->gid == UINT32_MAX)
		return KIST_BAD(err, "%s.user.gid: 4294967295 is not an id", path);
	if (user->umask.set && (user->umask.value < 0 || user->umask.value > 0777))
		return KIST_BAD(err, "%s.user.umask: %lld is not in 0 to 511 (octal 0777)", path,
		                (long long)user->umask.value);
	if (user->n_additional_gids > NGROUPS_MAX)
		return KIST_BAD(err, "%s.user.additionalGids: more than %d", path, NGROUPS_MAX);
	for (size_t i = 0; i < user->n_additional_gids; i++)
		if (user->additional_gids[i] == UINT32_MAX)
			return KIST_BAD(err, "%s.user.additionalGids[%zu]: 4294967295 is not an id", path, i);
	return 0;
}

static int check_rlimits(const struct kist_spec_process *process, const char *path, struct kist_error *err)
{
	static const char *const types[] = {
		"RLIMIT_AS",
		"RLIMIT_CORE",
		"RLIMIT_CPU",
		"RLIMIT_DATA",
		"RLIMIT_FSIZE",
		"RLIMIT_LOCKS",
		"RLIMIT_MEMLOCK",
		"RLIMIT_MSGQUEUE",
		"RLIMIT_NICE",
		"RLIMIT_NOFILE",
		"RLIMIT_NPROC",
		"RLIMIT_RSS",
		"RLIMIT_RTPRIO",
		"RLIMIT_RTTIME",
		"RLIMIT_SIGPENDING",
		"RLIMIT_STACK",
		NULL,
	};

	for (size_t i = 0; i < process->n_rlimits; i++) {
		const struct kist_spec_rlimit *limit = &process->rlimits[i];

		if (!kist_is_one_of(limit->type, types))
			return KIST_BAD(err, "%s.rlimits[%zu].type: '%.40s' is not a resource limit", path, i,
			                limit->type ? limit->type : "");
		if (limit->soft > limit->hard)
			return KIST_BAD(err, "%s.rlimits[%zu].soft: is above the hard limit", path, i);
		for (size_t k = 0; k < i; k++)
			if (kist_streq(process->rlimits[k].type, limit->type))
				return KIST_BAD(err, "%s.rlimits[%zu].type: '%s' is there twice", path, i, limit->type);
	}
	return 0;
}

/* sched(7): FIFO and RR have a priority of 1 to 99, OTHER and BATCH a nice value, DEADLINE three times. */
static int check_policy_values(const struct kist_spec_scheduler *s, const char *path, struct kist_error *err)
{
	bool realtime = kist_streq(s->policy, "SCHED_FIFO") || kist_streq(s->policy, "SCHED_RR");
	bool deadline = kist_streq(s->policy, "SCHED_DEADLINE");
	bool nice = kist_streq(s->policy, "SCHED_OTHER") || kist_streq(s->policy, "SCHED_BATCH");

	if (s->nice < -20 || s->nice > 19)
		return KIST_BAD(err, "%s.scheduler.nice: %d is not in -20 to 19", path, s->nice);
	if (s->nice && !nice)
		return KIST_BAD(err, "%s.scheduler.nice: %s has none", path, s->policy);
	if (realtime && (s->priority < 1 || s->priority > 99))
		return KIST_BAD(err, "%s.scheduler.priority: %d is not in 1 to 99", path, s->priority);
	if (!realtime && s->priority)
		return KIST_BAD(err, "%s.scheduler.priority: %s has none", path, s->policy);
	if (!deadline && (s->runtime || s->deadline || s->period))
		return KIST_BAD(err, "%s.scheduler.%s: is for SCHED_DEADLINE", path,
		                s->runtime    ? "runtime"
		                : s->deadline ? "deadline"
		                              : "period");
	if (deadline && (!s->runtime || s->runtime > s->deadline))
		return KIST_BAD(err, "%s.scheduler.runtime: must be above 0 and at most the deadline", path);
	if (deadline && s->period && s->deadline > s->period)
		return KIST_BAD(err, "%s.scheduler.deadline: is above the period", path);
	return 0;
}

static int check_scheduler(const struct kist_spec_scheduler *s, const char *path, struct kist_error *err)
{
	/* SCHED_ISO is in the specification but in no kernel. */
	static const char *const policies[] = { "SCHED_OTHER", "SCHED_BATCH",    "SCHED_IDLE", "SCHED_FIFO",
		                                "SCHED_RR",    "SCHED_DEADLINE", NULL };
	static const char *const flags[] = { "SCHED_FLAG_RESET_ON_FORK",  "SCHED_FLAG_RECLAIM",
		                             "SCHED_FLAG_DL_OVERRUN",     "SCHED_FLAG_KEEP_POLICY",
		                             "SCHED_FLAG_KEEP_PARAMS",    "SCHED_FLAG_UTIL_CLAMP_MIN",
		                             "SCHED_FLAG_UTIL_CLAMP_MAX", NULL };

	if (!kist_is_one_of(s->policy, policies))
		return KIST_BAD(err, "%s.scheduler.policy: '%.40s' is not a policy of Linux", path,
		                s->policy ? s->policy : "");
	for (size_t i = 0; s->flags && s->flags[i]; i++)
		if (!kist_is_one_of(s->flags[i], flags))
			return KIST_BAD(err, "%s.scheduler.flags[%zu]: '%.40s' is not a flag", path, i, s->flags[i]);
	return check_policy_values(s, path, err);
}

static int check_io_priority(const struct kist_spec_io_priority *io, const char *path, struct kist_error *err)
{
	static const char *const classes[] = { "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE", NULL };

	if (!kist_is_one_of(io->class, classes))
		return KIST_BAD(err, "%s.ioPriority.class: '%.40s' is not a class", path, io->class ? io->class : "");
	if (io->priority < 0 || io->priority > 7)
		return KIST_BAD(err, "%s.ioPriority.priority: %d is not in 0 to 7", path, io->priority);
	return 0;
}

static int check_labels(const struct kist_spec_process *process, const char *path, struct kist_error *err)
{
	const char *fault;

	/* It is written to the kernel as "exec NAME"; an empty one is none. */
	if (!kist_empty(process->apparmor_profile) && (fault = kist_text_fault(process->apparmor_profile)))
		return KIST_BAD(err, "%s.apparmorProfile: %s", path, fault);
	if (!kist_empty(process->selinux_label) && (fault = kist_text_fault(process->selinux_label)))
		return KIST_BAD(err, "%s.selinuxLabel: %s", path, fault);
	return 0;
}

static int check_affinity(const struct kist_spec_affinity *affinity, const char *path, struct kist_error *err)
{
	const char *fault;

	if (!kist_empty(affinity->initial) && (fault = kist_cpu_list_fault(affinity->initial)))
		return KIST_BAD(err, "%s.execCPUAffinity.initial: %s", path, fault);
	if (!kist_empty(affinity->final) && (fault = kist_cpu_list_fault(affinity->final)))
		return KIST_BAD(err, "%s.execCPUAffinity.final: %s", path, fault);
	return 0;
}

/* What execve(2) gets. */
static int check_command(const struct kist_spec_process *process, const char *path, struct kist_error *err)
{
	const char *fault = kist_path_fault(process->cwd);

	if (fault)
		return KIST_BAD(err, "%s.cwd: %s", path, fault);
	if (!process->args || !process->args[0])
		return KIST_BAD(err, "%s.args: is empty, there is no command to run", path);
	if (!process->args[0][0])
		return KIST_BAD(err, "%s.args[0]: is empty", path);
	for (size_t i = 0; process->env && process->env[i]; i++)
		if ((fault = kist_env_fault(process->env[i])))
			return KIST_BAD(err, "%s.env[%zu]: %s", path, i, fault);
	return 0;
}

int kist_spec_check_process(const struct kist_spec_process *process, const char *path, struct kist_error *err)
{
	const struct kist_spec_box *size = process->console_size;
	int r = check_command(process, path, err);

	if (r)
		return r;
	/* Without a terminal it is ignored (config.md, Process). */
	if (process->terminal && size && (size->height > USHRT_MAX || size->width > USHRT_MAX))
		return KIST_BAD(err, "%s.consoleSize.%s: is above %d", path,
		                size->height > USHRT_MAX ? "height" : "width", USHRT_MAX);
	if (process->oom_score_adj.set && (process->oom_score_adj.value < -1000 || process->oom_score_adj.value > 1000))
		return KIST_BAD(err, "%s.oomScoreAdj: %lld is not in -1000 to 1000", path,
		                (long long)process->oom_score_adj.value);
	r = check_user(&process->user, path, err);
	if (!r)
		r = check_rlimits(process, path, err);
	if (!r)
		r = check_labels(process, path, err);
	if (!r && process->scheduler)
		r = check_scheduler(process->scheduler, path, err);
	if (!r && process->io_priority)
		r = check_io_priority(process->io_priority, path, err);
	if (!r && process->exec_cpu_affinity)
		r = check_affinity(process->exec_cpu_affinity, path, err);
	return r;
}
