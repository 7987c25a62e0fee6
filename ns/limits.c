/* What the host grants a process: rlimits, OOM score, scheduler, I/O priority, CPU affinity; and its personality and
 * sysctls. */
#include "ns/apply.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- procfs ------------------------------------------------------------------------------------------------------- */

int kist_ns_proc_write(int proc_fd, const char *name, const char *text)
{
	KIST_CLOSE int fd = kist_open_beneath(proc_fd, name, O_WRONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	/* A volume over /proc would swallow the write (CVE-2019-16884). */
	if (!kist_is_fs(fd, PROC_SUPER_MAGIC))
		return -EXDEV;
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len); /* one write: the kernel parses each on its own */
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

/* --- rlimits ------------------------------------------------------------------------------------------------------ */

static const struct kist_name rlimit_names[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
	{ NULL, 0 },
};

static int rlimits_prepare(const struct kist_spec_process *process, struct kist_ns_policy *out, struct kist_error *err)
{
	uint32_t seen = 0;
	if (!process->n_rlimits)
		return 0;
	out->rlimits = kist_alloc(process->n_rlimits * sizeof(*out->rlimits));
	for (size_t i = 0; i < process->n_rlimits; i++) {
		const struct kist_spec_rlimit *limit = &process->rlimits[i];
		int resource = 0;
		if (kist_value_of(rlimit_names, limit->type, &resource) < 0)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL,
			                 "process.rlimits[%zu].type: '%s' is not a limit", i,
			                 limit->type ? limit->type : "");
		if (seen & (1U << resource))
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.rlimits[%zu].type: %s is given twice",
			                 i, limit->type);
		if (limit->soft > limit->hard)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL,
			                 "process.rlimits[%zu]: soft limit of %s is above the hard one", i,
			                 limit->type);
		seen |= 1U << resource;
		out->rlimits[out->n_rlimits++] =
		        (struct kist_ns_rlimit){ resource, kist_name_of(rlimit_names, resource), limit->soft,
			                         limit->hard };
	}
	return 0;
}

static int rlimits_apply(const struct kist_ns_policy *policy, pid_t pid, struct kist_error *err)
{
	for (size_t i = 0; i < policy->n_rlimits; i++) {
		const struct kist_ns_rlimit *limit = &policy->rlimits[i];
		struct rlimit64 value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };
		if (prlimit64(pid, (enum __rlimit_resource)limit->resource, &value, NULL) < 0) {
			kist_fail_errno(err, errno, "set %s to %llu:%llu", limit->type, (unsigned long long)limit->soft,
			                (unsigned long long)limit->hard);
			return kist_remedy(err, "raising a hard limit needs CAP_SYS_RESOURCE, and nofile is bounded by "
			                        "/proc/sys/fs/nr_open");
		}
	}
	return 0;
}

/* --- scheduler and I/O priority ----------------------------------------------------------------------------------- */

/* sched_setattr(2); the C library has no declaration before glibc 2.41. */
struct sched_attribute {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period; /* nanoseconds */
};
_Static_assert(sizeof(struct sched_attribute) == 48, "SCHED_ATTR_SIZE_VER0");

static const struct kist_name sched_policies[] = {
	{ "SCHED_OTHER", 0 }, { "SCHED_FIFO", 1 },     { "SCHED_RR", 2 }, { "SCHED_BATCH", 3 },
	{ "SCHED_IDLE", 5 },  { "SCHED_DEADLINE", 6 }, { NULL, 0 },
};
static const struct kist_name sched_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", 0x01 },  { "SCHED_FLAG_RECLAIM", 0x02 },
	{ "SCHED_FLAG_DL_OVERRUN", 0x04 },     { "SCHED_FLAG_KEEP_POLICY", 0x08 },
	{ "SCHED_FLAG_KEEP_PARAMS", 0x10 },    { "SCHED_FLAG_UTIL_CLAMP_MIN", 0x20 },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", 0x40 }, { NULL, 0 },
};
enum { POLICY_FIFO = 1, POLICY_RR = 2, POLICY_DEADLINE = 6 };

static int scheduler_prepare(const struct kist_spec_scheduler *scheduler, struct kist_ns_policy *out,
                             struct kist_error *err)
{
	if (!scheduler)
		return 0;
	if (kist_value_of(sched_policies, scheduler->policy, &out->sched_policy) < 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.scheduler.policy: Linux has no '%s'",
		                 scheduler->policy ? scheduler->policy : "");
	for (size_t i = 0; scheduler->flags && scheduler->flags[i]; i++) {
		int flag = 0;
		if (kist_value_of(sched_flags, scheduler->flags[i], &flag) < 0)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL,
			                 "process.scheduler.flags[%zu]: '%s' is not a scheduler flag", i,
			                 scheduler->flags[i]);
		out->sched_flags |= (uint64_t)flag;
	}
	bool realtime = out->sched_policy == POLICY_FIFO || out->sched_policy == POLICY_RR;
	if (scheduler->priority < 0 || (!realtime && scheduler->priority != 0))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.scheduler.priority: %d does not go with %s",
		                 scheduler->priority, scheduler->policy);
	if (scheduler->nice < -20 || scheduler->nice > 19)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.scheduler.nice: %d is not in -20 to 19",
		                 scheduler->nice);
	if (out->sched_policy != POLICY_DEADLINE && (scheduler->runtime || scheduler->deadline || scheduler->period))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "process.scheduler: runtime, deadline and period go with SCHED_DEADLINE only");
	out->scheduler = scheduler;
	return 0;
}

static int scheduler_apply(const struct kist_ns_policy *policy, pid_t pid, struct kist_error *err)
{
	const struct kist_spec_scheduler *scheduler = policy->scheduler;
	if (!scheduler)
		return 0;
	struct sched_attribute attribute = {
		.size = sizeof(attribute),
		.policy = (uint32_t)policy->sched_policy,
		.flags = policy->sched_flags,
		.nice = scheduler->nice,
		.priority = (uint32_t)scheduler->priority,
		.runtime = scheduler->runtime,
		.deadline = scheduler->deadline,
		.period = scheduler->period,
	};
	if (syscall(SYS_sched_setattr, pid, &attribute, 0) < 0)
		return kist_fail_errno(err, errno, "set scheduler %s", scheduler->policy);
	return 0;
}

/* ioprio_set(2) */
#define IOPRIO_SHIFT       13
#define IOPRIO_WHO_PROCESS 1
static const struct kist_name ioprio_classes[] = {
	{ "IOPRIO_CLASS_RT", 1 },
	{ "IOPRIO_CLASS_BE", 2 },
	{ "IOPRIO_CLASS_IDLE", 3 },
	{ NULL, 0 },
};

static int ioprio_prepare(const struct kist_spec_io_priority *io, struct kist_ns_policy *out, struct kist_error *err)
{
	if (!io)
		return 0;
	int class = 0;
	if (kist_value_of(ioprio_classes, io->class, &class) < 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.ioPriority.class: '%s' is not a class",
		                 io->class ? io->class : "");
	if (io->priority < 0 || io->priority > 7)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.ioPriority.priority: %d is not in 0 to 7",
		                 io->priority);
	out->ioprio = class << IOPRIO_SHIFT | io->priority;
	return 0;
}

/* --- CPU affinity ------------------------------------------------------------------------------------------------- */

#define CPU_MAX 8192U

static int cpu_number(const char **p, uint32_t *out)
{
	uint32_t value = 0;
	const char *s = *p;
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		value = value * 10 + (uint32_t)(*s - '0');
		if (value >= CPU_MAX)
			return -EINVAL;
	}
	*p = s;
	*out = value;
	return 0;
}

int kist_ns_cpus_parse(const char *list, struct kist_ns_cpus *out)
{
	KIST_FREE unsigned char *mask = kist_alloc(CPU_MAX / 8);
	const char *p = list;
	uint32_t highest = 0;
	do {
		uint32_t first = 0, last = 0;
		if (cpu_number(&p, &first) < 0)
			return -EINVAL;
		last = first;
		if (*p == '-') {
			p++;
			if (cpu_number(&p, &last) < 0 || last < first)
				return -EINVAL;
		}
		for (uint32_t cpu = first; cpu <= last; cpu++) {
			/* cpumasks are arrays of unsigned long */
			unsigned long *words = (unsigned long *)(void *)mask;
			words[cpu / (8 * sizeof(long))] |= 1UL << (cpu % (8 * sizeof(long)));
		}
		if (last > highest)
			highest = last;
	} while (*p == ',' && *++p);
	if (*p || p[-1] == ',')
		return -EINVAL;
	out->len = (highest / (8 * sizeof(long)) + 1) * sizeof(long);
	out->mask = kist_steal(&mask);
	return 0;
}

static int affinity_prepare(const struct kist_spec_affinity *affinity, struct kist_ns_policy *out,
                            struct kist_error *err)
{
	if (!affinity)
		return 0;
	if (!kist_empty(affinity->initial) && kist_ns_cpus_parse(affinity->initial, &out->cpus_initial) < 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "process.execCPUAffinity.initial: '%s' is not a CPU list", affinity->initial);
	if (!kist_empty(affinity->final) && kist_ns_cpus_parse(affinity->final, &out->cpus_final) < 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.execCPUAffinity.final: '%s' is not a CPU list",
		                 affinity->final);
	return 0;
}

/* --- sysctls ------------------------------------------------------------------------------------------------------ */

/* The sysctls that a namespace contains; all others change the host. 'all': every name with that prefix. */
static const struct {
	const char *name;
	bool all;
	const char *namespace;
} sysctl_rules[] = {
	{ "net/", true, "network" },           { "fs/mqueue/", true, "ipc" },
	{ "kernel/msgmax", false, "ipc" },     { "kernel/msgmnb", false, "ipc" },
	{ "kernel/msgmni", false, "ipc" },     { "kernel/sem", false, "ipc" },
	{ "kernel/shmall", false, "ipc" },     { "kernel/shmmax", false, "ipc" },
	{ "kernel/shmmni", false, "ipc" },     { "kernel/shm_rmid_forced", false, "ipc" },
	{ "kernel/domainname", false, "uts" }, { "kernel/hostname", false, "uts" },
};

/* sysctl(8): the first separator decides; in "net.ipv4.conf.eth0/100.x" the other one is part of a name. */
static char *sysctl_path(const char *name, size_t len)
{
	char *path = kist_strndup(name, len);
	const char *first = strpbrk(path, "./");
	if (!first || *first == '/')
		return path;
	for (char *p = path; *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	return path;
}

static bool sysctl_path_clean(const char *path)
{
	if (!*path || *path == '/')
		return false;
	for (const char *p = path; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
		             strchr("_-@:", *p);
		if (!plain && *p != '/' && *p != '.')
			return false;
		if (*p == '/' && (p[1] == '/' || !p[1]))
			return false;
		/* no component "." or ".." */
		if (*p == '.' && (p == path || p[-1] == '/') &&
		    (p[1] == '/' || !p[1] || (p[1] == '.' && (p[2] == '/' || !p[2]))))
			return false;
	}
	return true;
}

/* Whether the plan gives the container such a namespace that is not the caller's own. */
static bool namespace_own(const struct kist_spec *spec, const char *type)
{
	const struct kist_spec_namespace *space = kist_spec_namespace(spec, type);
	if (!space)
		return false;
	if (kist_empty(space->path))
		return true;
	const char *self = kist_streq(type, "network") ? "/proc/self/ns/net"
	                   : kist_streq(type, "ipc")   ? "/proc/self/ns/ipc"
	                                               : "/proc/self/ns/uts";
	struct stat own, theirs;
	return stat(self, &own) == 0 && stat(space->path, &theirs) == 0 &&
	       (own.st_dev != theirs.st_dev || own.st_ino != theirs.st_ino);
}

int kist_ns_sysctl_check(const struct kist_spec *spec, const char *assignment, char **out, struct kist_error *err)
{
	const char *equals = strchr(assignment, '=');
	if (!equals || equals == assignment)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "linux.sysctl: '%s' is not of the form name=value",
		                 assignment);
	int len = (int)(equals - assignment);
	KIST_FREE char *path = sysctl_path(assignment, (size_t)len);
	if (!sysctl_path_clean(path))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "linux.sysctl: '%.*s' is not a name", len, assignment);
	for (const char *p = equals + 1; *p; p++) {
		if ((unsigned char)*p < ' ' && *p != '\t')
			return kist_fail(err, KIST_ERR_INVALID, EINVAL,
			                 "linux.sysctl.%.*s: control character in the value", len, assignment);
	}
	for (size_t i = 0; i < KIST_COUNT(sysctl_rules); i++) {
		if (!(sysctl_rules[i].all ? kist_has_prefix(path, sysctl_rules[i].name)
		                          : kist_streq(path, sysctl_rules[i].name)))
			continue;
		if (!namespace_own(spec, sysctl_rules[i].namespace))
			return kist_fail(err, KIST_ERR_INVALID, EINVAL,
			                 "linux.sysctl.%.*s: would change the host: the container has no %s namespace "
			                 "of its own",
			                 len, assignment, sysctl_rules[i].namespace);
		*out = kist_asprintf("%s%s", path, equals);
		return 0;
	}
	return kist_fail(err, KIST_ERR_INVALID, EINVAL,
	                 "linux.sysctl.%.*s: no namespace contains it, it would change the host", len, assignment);
}

static int sysctls_prepare(const struct kist_ns_policy_args *args, struct kist_ns_policy *out, struct kist_error *err)
{
	char *const *sysctl = args->joining ? NULL : args->spec->linux_.sysctl;
	for (size_t i = 0; sysctl && sysctl[i]; i++) {
		char *path = NULL;
		int r = kist_ns_sysctl_check(args->spec, sysctl[i], &path, err);
		if (r < 0)
			return r;
		kist_strv_take(&out->sysctls, path);
	}
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int personality_prepare(const struct kist_spec_personality *personality, struct kist_ns_policy *out,
                               struct kist_error *err)
{
	if (!personality)
		return 0;
	if (kist_streq(personality->domain, "LINUX"))
		out->personality = PER_LINUX;
	else if (kist_streq(personality->domain, "LINUX32"))
		out->personality = PER_LINUX32;
	else
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "linux.personality.domain: '%s' is neither LINUX nor LINUX32",
		                 personality->domain ? personality->domain : "");
	if (personality->flags && personality->flags[0])
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "linux.personality.flags[0]: '%s': the specification defines no flag",
		                 personality->flags[0]);
	return 0;
}

int kist_ns_limits_prepare(const struct kist_ns_policy_args *args, struct kist_ns_policy *out, struct kist_error *err)
{
	const struct kist_spec_process *process = args->process;
	int r = rlimits_prepare(process, out, err);
	if (r >= 0)
		r = scheduler_prepare(process->scheduler, out, err);
	if (r >= 0)
		r = ioprio_prepare(process->io_priority, out, err);
	if (r >= 0)
		/* Not for the first process (config.md, Linux Process). */
		r = affinity_prepare(args->joining ? process->exec_cpu_affinity : NULL, out, err);
	if (r >= 0)
		r = personality_prepare(args->spec->linux_.personality, out, err);
	if (r >= 0)
		r = sysctls_prepare(args, out, err);
	if (r < 0)
		return r;
	out->oom_score_adj = process->oom_score_adj;
	if (out->oom_score_adj.set && (out->oom_score_adj.value < -1000 || out->oom_score_adj.value > 1000))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.oomScoreAdj: %lld is not in -1000 to 1000",
		                 (long long)out->oom_score_adj.value);
	return 0;
}

static int oom_apply(const struct kist_ns_policy *policy, pid_t pid, int proc_fd, struct kist_error *err)
{
	if (!policy->oom_score_adj.set)
		return 0;
	char name[48] = "self/oom_score_adj", value[24];
	if (pid > 0)
		snprintf(name, sizeof(name), "%d/oom_score_adj", (int)pid);
	snprintf(value, sizeof(value), "%lld", (long long)policy->oom_score_adj.value);
	int r = kist_ns_proc_write(proc_fd, name, value);
	if (r < 0)
		return kist_fail_errno(err, -r, "set oom_score_adj to %s", value);
	return 0;
}

int kist_ns_policy_apply_limits(const struct kist_ns_policy *policy, pid_t pid, int proc_fd, struct kist_error *err)
{
	int r = rlimits_apply(policy, pid, err);
	if (r >= 0)
		r = oom_apply(policy, pid, proc_fd, err);
	if (r >= 0)
		r = scheduler_apply(policy, pid, err);
	if (r < 0)
		return r;
	if (policy->ioprio >= 0 && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, policy->ioprio) < 0)
		return kist_fail_errno(err, errno, "set I/O priority");
	if (policy->cpus_initial.mask &&
	    sched_setaffinity(pid, policy->cpus_initial.len, (const cpu_set_t *)(void *)policy->cpus_initial.mask) < 0)
		return kist_fail_errno(err, errno, "set the initial CPU affinity (process.execCPUAffinity.initial)");
	return 0;
}

static int sysctl_apply(int proc_fd, const char *assignment, struct kist_error *err)
{
	const char *equals = strchr(assignment, '=');
	char name[512];
	int n = snprintf(name, sizeof(name), "sys/%.*s", (int)(equals - assignment), assignment);
	int r = n < (int)sizeof(name) ? kist_ns_proc_write(proc_fd, name, equals + 1) : -ENAMETOOLONG;
	if (r < 0)
		return kist_fail_errno(err, -r, "set sysctl %s", assignment);
	return 0;
}

int kist_ns_policy_apply_early(const struct kist_ns_policy *policy, int proc_fd, struct kist_error *err)
{
	for (size_t i = 0; policy->sysctls && policy->sysctls[i]; i++) {
		int r = sysctl_apply(proc_fd, policy->sysctls[i], err);
		if (r < 0)
			return r;
	}
	if (policy->personality >= 0 && personality((unsigned long)policy->personality) < 0)
		return kist_fail_errno(err, errno, "set the personality");
	return 0;
}
