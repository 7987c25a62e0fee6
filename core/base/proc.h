/* Processes, by pidfd and start time: a pid alone never identifies one. */
#ifndef KIST_PROC_H
#define KIST_PROC_H

#include "core/base/base.h"

#include <signal.h>

struct clone_args;
struct kist_error;

/* Wrappers for calls the C library may not have. Results are fds/pids or a negative errno. */
int kist_pidfd_open(pid_t pid);
int kist_pidfd_signal(int pidfd, int signal_number);
pid_t kist_clone3(
        struct clone_args *args,
        size_t size); /* raw: the child must only use async-safe calls until exec or be fork-like (no CLONE_VM) */

/* A process's identity. start is field 22 of /proc/PID/stat (clock ticks since boot), 0 when unknown. */
struct kist_proc_id {
	pid_t pid;
	uint64_t start;
};
int kist_proc_identify(pid_t pid,
                       struct kist_proc_id *out);    /* -ESRCH; zombies count as gone, unless some thread goes on */
bool kist_proc_alive(const struct kist_proc_id *id); /* false for zombies and reused pids */
/* A pidfd for exactly that process, or -ESRCH. */
int kist_proc_open(const struct kist_proc_id *id);

/* Raw fields of /proc/PID/stat, after the command name. */
struct kist_proc_stat {
	char state;
	pid_t ppid, pgrp, session;
	uint64_t utime, stime, start; /* clock ticks */
	int64_t threads;
	uint64_t vsize, rss_pages;
	uint32_t tty;
	bool exiting; /* its first thread is at its end */
	char comm[64];
};
int kist_proc_stat(pid_t pid, struct kist_proc_stat *out);
/* Where this process was given its arguments: what /proc/PID/cmdline shows. proc_fd: the directory of a procfs. */
int kist_proc_own_arguments(int proc_fd, char **begin, size_t *size);

/* wait4 with EINTR retried; exit code in shell form (128+n for a signal), or a negative errno. */
int kist_wait_pid(pid_t pid);
int kist_exit_code(int wait_status);

/* Closes every fd from first on, close_range(2) or the /proc/self/fd loop. keep: one fd to leave open, or -1. */
void kist_close_from(int first, int keep);
/* Default dispositions for all signals and an empty mask: what a new program should see. */
void kist_reset_signals(void);

/* /proc/sys/kernel/random/boot_id without the newline; "" when unreadable. */
const char *kist_boot_id(char out[37]);

/* Runs the rest of the process from a binary no container can write (CVE-2019-5736): re-executes itself through a
 * detached read-only clone of its own mount (open_tree, mount_setattr, execveat), or a sealed memfd
 * where the kernel has no mount_setattr. Returns only on failure. argv[0] is kept. */
int kist_exec_self_protected(char *const argv[], char *const envp[], struct kist_error *err);
/* Opens that protected binary without executing it; an fd for execveat(AT_EMPTY_PATH), or a negative errno. */
int kist_open_self_protected(struct kist_error *err);
/* The same for another program. */
#define KIST_SELF "/proc/self/exe"
int kist_open_protected(const char *path, struct kist_error *err);

#endif
