/* What the files of the OCI runtime share. */
#ifndef KIST_OCI_INTERNAL_H
#define KIST_OCI_INTERNAL_H

#include "cgroup/cgroup.h"
#include "core/oci.h"
#include "ns/ns.h"

struct kist_oci {
	char *root;
	int dir; /* -1: there is none yet */
	bool no_cgroups;
	struct kist_cgroup_root *cgroups;
};

extern const struct kist_table kist_oci_state_table;

/* --- oci.c --- */
int oci_dir_make(struct kist_oci *oci, struct kist_error *err);
int oci_id_check(const char *id, struct kist_error *err);
int oci_missing(const char *id, struct kist_error *err);
/* Loads under the lock: what the container is cannot change until it is freed, but by its own end. */
int oci_load_locked(struct kist_oci *oci, const char *id, struct kist_oci_container **out, struct kist_error *err);
int oci_cgroups(struct kist_oci *oci, struct kist_error *err);
/* The container's group as an fd; KIST_ERR_UNSUPPORTED when it has none. */
int oci_cgroup_open(const struct kist_oci_container *c, struct kist_error *err);
bool oci_cgroup_frozen(const struct kist_oci_container *c);
/* The saved plan. */
int oci_spec_read(const struct kist_oci_container *c, struct kist_spec **out, struct kist_error *err);

/* --- oci_hooks.c --- */
int oci_hooks_run(const struct kist_oci_state *state, const struct kist_spec_hook *hooks, size_t n, const char *stage,
                  const char *status, pid_t pid, bool keep_going, struct kist_error *err);
/* The runner of ns/; arg is a struct kist_oci_state. */
int oci_hooks_runner(void *arg, const struct kist_spec_hook *hooks, size_t n, const char *stage, pid_t pid,
                     struct kist_error *err);

/* --- oci_io.c --- */
int oci_write_pid_file(const char *path, pid_t pid, struct kist_error *err);
/* Sends one fd to the listener at that path. */
int oci_send_fd(const char *path, int fd, const char *word, const char *what, struct kist_error *err);
/* fds 3.. must have been handed to this program. */
int oci_check_preserved(unsigned n, struct kist_error *err);
/* Where a terminal goes: a socket, or the terminal of this process, or an error. */
int oci_check_terminal(bool terminal, bool detach, const char *console_socket, struct kist_error *err);
/* crun's annotation, by which podman asks for --group-add keep-groups. */
bool oci_keeps_groups(const struct kist_spec *spec);
/* Makes a relative path absolute, before the directory is changed. NULL stays NULL; the caller frees. */
char *oci_absolute(const char *path);

/* A process in the foreground: signals are caught from begin on, which comes before it is made. */
struct oci_foreground {
	int signals; /* signalfd */
};
int oci_foreground_begin(struct oci_foreground *f, struct kist_error *err);
/* Relays its terminal (master, -1: none) and signals until it ends; the exit code. */
int oci_foreground_wait(struct oci_foreground *f, const struct kist_ns_child *child, struct kist_error *err);
void oci_foreground_end(struct oci_foreground *f);

/* --- oci_delete.c --- */
/* Ends all that runs, removes the group and the directory, runs the poststop hooks. The lock is held. */
/* SIGKILL for the first process, and its end, awaited with a bound. */
int oci_end_init(const struct kist_oci_container *c, struct kist_error *err);
int oci_destroy(struct kist_oci_container *c, struct kist_error *err);

#endif
