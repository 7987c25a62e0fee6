/* What a process may do, resolved before it is started and applied inside it. Internal to ns/.
 *
 * The parent prepares before clone3: everything that parses, allocates, looks up names or compiles happens there, and
 * what a bad plan can get wrong is refused there. The child only makes system calls on the result, in this order:
 *
 *   parent or child  kist_ns_policy_apply_limits  rlimits, oom_score_adj, scheduler, I/O priority, initial CPU affinity
 *   child            kist_ns_policy_apply_early   sysctls, personality (namespaces exist, still root, mounts may
 * follow) child            kist_ns_policy_apply_late    last step before execve: label, umask, bounding set, groups,
 * ids, capability sets, no_new_privs, seccomp, final CPU affinity
 *
 * All fds are the caller's. Errors name the JSON path or the step. A failing apply leaves the process half changed: it
 * must exit. */
#ifndef KIST_NS_APPLY_H
#define KIST_NS_APPLY_H

#include "core/base/spec.h"

struct kist_error;
struct kist_str;
struct sock_filter;

struct kist_ns_policy_args {
	const struct kist_spec *spec;            /* sysctls, personality, seccomp, namespaces */
	const struct kist_spec_process *process; /* all else; spec->process or that of an exec */
	/* Built-in seccomp profile for a process with these capabilities (kist_ns_cap_mask); linux.seccomp must then be
	 * absent. Saves building and serialising the profile: a start with a filled cache compares one digest and reads
	 * one file. NULL: linux.seccomp. */
	const uint64_t *default_seccomp_caps;
	int seccomp_cache;       /* directory fd for compiled filters, -1: none */
	bool privileged;         /* exec --privileged: every capability of the bounding set, no seccomp */
	bool joining;            /* exec: the namespaces are another process's, sysctls are left alone */
	bool keep_groups;        /* supplementary groups stay those of the caller */
	const char *id, *bundle; /* for the state that a seccomp listener is sent; NULL: "" */
};

/* Bits are capability numbers. */
struct kist_ns_caps {
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct kist_ns_rlimit {
	int resource;
	const char *type; /* "RLIMIT_NOFILE"; borrowed from a const table */
	uint64_t soft, hard;
};

/* A compiled filter. listener is a connected socket to listenerPath or -1. */
struct kist_ns_seccomp {
	struct sock_filter *code; /* NULL: no filter */
	unsigned short len;       /* instructions */
	unsigned flags;           /* SECCOMP_FILTER_FLAG_* */
	int listener;
	char *metadata;
};

struct kist_ns_cpus {
	unsigned char *mask; /* NULL: not asked for */
	size_t len;
};

/* A security module's label for the next execve, written to an attribute of the process. */
struct kist_ns_label {
	char *text;       /* NULL: nothing to write */
	const char *file; /* below procfs: "self/attr/apparmor/exec" */
	const char *what; /* for messages: "AppArmor profile" */
};

struct kist_ns_policy {
	struct kist_ns_caps
	        caps; /* the non-root rule is already applied; a plan without process.capabilities gets none */
	unsigned last_cap;

	uint32_t uid, gid;
	uint32_t *groups; /* borrowed from the plan */
	size_t n_groups;
	bool keep_groups;
	struct kist_opt umask;
	bool no_new_privileges;

	struct kist_ns_rlimit *rlimits;
	size_t n_rlimits;
	struct kist_opt oom_score_adj;
	const struct kist_spec_scheduler *scheduler; /* borrowed */
	int sched_policy;
	uint64_t sched_flags;
	int ioprio; /* -1: leave */
	struct kist_ns_cpus cpus_initial, cpus_final;
	int64_t personality; /* -1: leave */

	char **sysctls; /* "net/ipv4/ip_forward=1": path below sys/, checked against the list of what namespaces contain
	                 */

	struct kist_ns_label labels[2]; /* AppArmor, SELinux */

	struct kist_ns_seccomp seccomp;
	const char *oci_version; /* borrowed */
	char *id, *bundle;
	pid_t host_pid; /* the launch sets it in the child when it knows it, for the listener's state; 0: getpid() */
};
#define KIST_NS_POLICY_INIT                                                                                            \
	{                                                                                                              \
		.ioprio = -1, .personality = -1, .seccomp = {.listener = -1 }                                          \
	}

/* In the parent, before clone3; out starts as KIST_NS_POLICY_INIT. On failure nothing is left to free. The plan must
 * outlive the policy. */
int kist_ns_policy_prepare(const struct kist_ns_policy_args *args, struct kist_ns_policy *out, struct kist_error *err);
void kist_ns_policy_free(struct kist_ns_policy *policy);

/* proc_fd: a procfs directory in which the process is visible: the host's /proc opened before the clone is the safest
 * (nothing in the container can cover it), a fresh one works too. Each file opened below it is checked to be on procfs
 * (CVE-2019-16884). pid 0: the calling process. A child in a new user namespace may not raise its own limits: there the
 * parent calls this with the child's pid right after clone3, otherwise the child calls it with 0. Makes no system call
 * for what the plan does not mention. */
int kist_ns_policy_apply_limits(const struct kist_ns_policy *policy, pid_t pid, int proc_fd, struct kist_error *err);
/* In the child, all namespaces entered, root there. */
int kist_ns_policy_apply_early(const struct kist_ns_policy *policy, int proc_fd, struct kist_error *err);
/* In the child: after it only execve (and reporting its failure) may follow. Seccomp is in force on return: a profile
 * may refuse anything but what reporting needs (write, sendmsg, exit_group), so close and prepare everything else
 * before. */
int kist_ns_policy_apply_late(const struct kist_ns_policy *policy, int proc_fd, struct kist_error *err);

/* --- parts, each tested on its own -------------------------------------------------------------------------------- */

/* caps.c */
int kist_ns_cap_number(const char *name); /* -EINVAL */
unsigned kist_ns_cap_last(void);          /* highest number this kernel knows */
int kist_ns_caps_resolve(const struct kist_spec_process *process, bool privileged, struct kist_ns_caps *out,
                         struct kist_error *err);
int kist_ns_caps_drop_bounding(uint64_t keep, unsigned last, struct kist_error *err);
int kist_ns_caps_set(const struct kist_ns_caps *caps, unsigned last,
                     struct kist_error *err); /* permitted, effective, inheritable, ambient */

/* limits.c */
int kist_ns_limits_prepare(const struct kist_ns_policy_args *args, struct kist_ns_policy *out, struct kist_error *err);
int kist_ns_cpus_parse(const char *list, struct kist_ns_cpus *out); /* "0-3,7"; -EINVAL */
/* Checks a sysctl's name and value and that a namespace of the container contains it; -> "net/ipv4/..." in *path. */
int kist_ns_sysctl_check(const struct kist_spec *spec, const char *assignment, char **out, struct kist_error *err);
/* Opens and writes one file below a procfs directory after checking that it is procfs. Negative errno. */
int kist_ns_proc_write(int proc_fd, const char *name, const char *text);

/* policy.c */
int kist_ns_labels_prepare(const struct kist_spec_process *process, struct kist_ns_policy *out, struct kist_error *err);

/* seccomp_bpf.c: the program itself: a binary search over ranges of system call numbers for each architecture.
 * libseccomp is only asked for numbers: its own programs have one comparison for each name, and the kernel checks,
 * translates and emulates them on every start (measured: 1.1 ms to install the default profile, 0.1 ms for this form).
 */
int kist_ns_seccomp_generate(const struct kist_spec_seccomp *profile, struct kist_ns_seccomp *out,
                             struct kist_error *err);

/* seccomp.c: compiles through the cache. */
int kist_ns_seccomp_compile(const struct kist_spec_seccomp *profile, int cache, struct kist_ns_seccomp *out,
                            struct kist_error *err);
int kist_ns_seccomp_compile_default(uint64_t caps, int cache, struct kist_ns_seccomp *out, struct kist_error *err);
int kist_ns_seccomp_install(const struct kist_ns_policy *policy, struct kist_error *err);
void kist_ns_seccomp_program_free(struct kist_ns_seccomp *seccomp);

/* seccomp_default.c */
uint64_t kist_ns_seccomp_default_caps(void);             /* those that change the built-in profile */
void kist_ns_seccomp_default_text(struct kist_str *out); /* the table in one text, for the digest */
struct kist_spec_seccomp *kist_ns_seccomp_default_mask(uint64_t caps);

/* seccomp_read.c: building blocks of a profile. */
struct kist_spec_syscall *kist_ns_seccomp_add(struct kist_spec_seccomp *profile, const char *action,
                                              int64_t errno_ret); /* errno_ret < 0: unset */
const char *kist_ns_seccomp_native(void);                         /* "SCMP_ARCH_X86_64" */

#endif
