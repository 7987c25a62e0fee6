/* The last steps before a program runs, the same for a container's first process and for those that join it. Internal
 * to ns/. */
#ifndef KIST_NS_PROGRAM_H
#define KIST_NS_PROGRAM_H

#include "ns/apply.h"

struct kist_ns_program {
	const struct kist_spec_process *process;
	const struct kist_ns_policy *policy;
	const int *stdio; /* three; -1 becomes null_fd; not looked at when there is a console */
	int null_fd;
	int console;    /* the terminal's slave, -1: none */
	int listen_fds; /* fds 3.. that stay */
	int init_fd;    /* -1: none */
	bool pause;     /* see ns.h */
	int proc_fd;    /* host's /proc for the policy, -1 when it needs none */
	bool in_user_namespace;
	bool make_cwd; /* a working directory that is not there is made */
	char **env;    /* instead of the plan's; NULL: the plan's */
};

/* Security modules take their label through /proc, right before execve(2). */
static inline bool kist_ns_program_needs_proc(const struct kist_ns_policy *policy)
{
	return policy->labels[0].text || policy->labels[1].text;
}

/* In this order; whole set-up before kist_ns_program_drop. */
int kist_ns_program_stdio(const struct kist_ns_program *program,
                          struct kist_error *err); /* fds 0-2 and those preserved */
int kist_ns_program_own_stdio(const struct kist_ns_program *program,
                              struct kist_error *err); /* the user's, where they are pipes */
/* A new session keyring, with nothing in it: that of the caller is the host's. */
int kist_ns_program_join_keyring(struct kist_error *err);
int kist_ns_program_chdir(const struct kist_ns_program *program, struct kist_error *err); /* in the container's root */
/* A program that opens /dev/stdout again needs to own it. Only pipes, which are the engine's: files and terminals may
 * be anyone's. */
int kist_ns_program_give_stdio(const int stdio[3], uid_t uid, gid_t gid, struct kist_error *err);
/* Whether the program is there and is a file that somebody may execute, without executing it. */
int kist_ns_program_check(const struct kist_ns_program *program, struct kist_error *err);
/* HOME, where the plan has none: from the container's passwd, as other runtimes do. In the container's root. */
int kist_ns_program_fill_env(struct kist_ns_program *program, struct kist_error *err);
char *const *kist_ns_program_env(const struct kist_ns_program *program); /* never NULL; borrowed */
/* Drops privileges and installs the filter: what follows is done with the container's rights. */
int kist_ns_program_drop(struct kist_ns_program *program, struct kist_error *err);
/* Executes. Returns only on failure, with KIST_ERR_EXEC_MISSING or KIST_ERR_EXEC_ACCESS when it was the command. */
int kist_ns_program_run(const struct kist_ns_program *program, struct kist_error *err);

/* Closes all fds from first on but those in keep (-1 is skipped). */
void kist_ns_close_others(int first, const int *keep, size_t n_keep);

#endif
