/* The OCI runtime: containers made from bundles and driven by others (podman's conmon, containerd's shim), as the
 * runtime specification's runtime.md has it. No monitor stays: the caller of create becomes the parent of the
 * container, and its first process waits at a gate until start.
 *
 *   ROOT/ID/state        the record, once the container is created
 *   ROOT/ID/config.json  the plan as it was read: later changes of the bundle have no effect
 *   ROOT/ID/gate         the socket at which the first process waits; gone once it was started
 *   ROOT/ID/lock         flock: held while the container is created, started or deleted
 *
 * Nothing here prints; every function returns 0 or a positive result, or a negative errno with err set. */
#ifndef KIST_OCI_H
#define KIST_OCI_H

#include "core/base/error.h"
#include "core/base/spec.h"

struct kist_oci;

struct kist_oci_options {
	const char *root; /* absolute; NULL: kist_oci_default_root */
	bool no_cgroups;  /* no group is made; a limit is then an error */
};
/* /run/kist-oci, or below $XDG_RUNTIME_DIR for a user that is not root. The caller frees. */
char *kist_oci_default_root(bool rootless);
/* The directory is made when something is written. */
int kist_oci_open(struct kist_oci **out, const struct kist_oci_options *options, struct kist_error *err);
void kist_oci_close(struct kist_oci *oci); /* NULL is fine */

enum kist_oci_status {
	KIST_OCI_CREATING, /* create is at work */
	KIST_OCI_CREATED,
	KIST_OCI_RUNNING,
	KIST_OCI_PAUSED,
	KIST_OCI_STOPPED,
};
const char *kist_oci_status_name(enum kist_oci_status status);

/* The record. */
struct kist_oci_state {
	char *id, *oci_version;
	int pid;
	uint64_t pid_start; /* clock ticks since boot: with the pid, which process */
	char *bundle, *rootfs;
	int64_t created;
	char *cgroup;           /* NULL: none */
	bool cgroup_own_parent; /* its parent is the default one, removed when empty */
	uint32_t owner;
	char **annotations;
};

struct kist_oci_container {
	struct kist_oci *oci;
	struct kist_oci_state state;
	enum kist_oci_status status; /* as it was when it was loaded */
	int dir, lock;
};
/* KIST_ERR_NOT_FOUND: 'container "ID" does not exist', which callers look for. */
int kist_oci_load(struct kist_oci *oci, const char *id, struct kist_oci_container **out, struct kist_error *err);
void kist_oci_container_free(struct kist_oci_container *c);
/* Sorted by id; those that cannot be read are left out. */
int kist_oci_list(struct kist_oci *oci, struct kist_oci_container ***out, size_t *n, struct kist_error *err);
/* The state document (runtime.md, State), with what runc adds. */
struct json_object *kist_oci_state_json(const struct kist_oci_container *c);

struct kist_oci_io {
	const char *pid_file, *console_socket, *pidfd_socket; /* NULL: none */
	unsigned preserve_fds;
};
struct kist_oci_create {
	const char *id;
	const char *bundle; /* NULL: the working directory */
	const char *config; /* NULL: config.json of the bundle */
	struct kist_oci_io io;
	bool no_pivot, no_new_keyring;
};
/* Must be called from the protected copy of the binary (kist_oci_protect). Changes to the bundle's directory. */
int kist_oci_create(struct kist_oci *oci, const struct kist_oci_create *create, struct kist_error *err);
/* Opens the gate, runs the poststart hooks. KIST_ERR_EXEC_*, as kist_ns_start. */
int kist_oci_start(struct kist_oci *oci, const char *id, struct kist_error *err);
/* Create and start. Unless detach: relays the terminal and signals, waits, deletes unless keep, and returns the exit
 * code in *code. */
int kist_oci_run(struct kist_oci *oci, const struct kist_oci_create *create, bool detach, bool keep, int *code,
                 struct kist_error *err);

/* KIST_ERR_STATE: 'container not running'. all: every process of its group; that none is left is no error then. */
int kist_oci_kill(struct kist_oci *oci, const char *id, int signal_number, bool all, struct kist_error *err);
/* A stopped or created container; with force any one, and a missing one is success. */
int kist_oci_delete(struct kist_oci *oci, const char *id, bool force, struct kist_error *err);

struct kist_oci_exec {
	const char *id;
	const char *process_file;                   /* JSON; NULL: the container's own process with these changes */
	char *const *args;                          /* not with a file */
	char *const *env;                           /* added */
	const char *cwd, *apparmor, *selinux_label; /* NULL: unchanged */
	const char *user;                           /* "UID[:GID]", NULL: unchanged */
	char *const *additional_gids;
	char *const *caps; /* added to all sets but the inheritable one */
	bool no_new_privileges, tty;
	bool detach;
	bool ignore_paused;
	const char *cgroup; /* a group below the container's; NULL: its own */
	struct kist_oci_io io;
};
/* From the protected copy. *code: 0 with detach. */
int kist_oci_exec(struct kist_oci *oci, const struct kist_oci_exec *exec, int *code, struct kist_error *err);

/* All processes of the container; the caller frees. Returns the count. */
ssize_t kist_oci_pids(const struct kist_oci_container *c, pid_t **pids, struct kist_error *err);
int kist_oci_pause(struct kist_oci *oci, const char *id, bool paused, struct kist_error *err);
int kist_oci_update(struct kist_oci *oci, const char *id, const struct kist_spec_resources *resources,
                    struct kist_error *err);
/* Adds mounts to a container that runs, or removes those at the same destinations. */
int kist_oci_mounts(struct kist_oci *oci, const char *id, const struct kist_spec_mount *mounts, size_t n, bool add,
                    struct kist_error *err);
/* Statistics as runc's 'events' has them. */
int kist_oci_stats_json(const struct kist_oci_container *c, struct json_object **out, struct kist_error *err);
/* Waits for a memory shortage that killed, the container's end, or the time: 1, 0 when it ended, -ETIMEDOUT. */
int kist_oci_events_wait(const struct kist_oci_container *c, uint64_t *oom_kills, int64_t nanoseconds);

/* What this runtime can do (features.md). */
struct json_object *kist_oci_features(void);
/* A config.json to begin with. The caller frees. */
char *kist_oci_spec_text(bool rootless);

/* Runs the rest from a copy of the binary that no container can write, unless it does already. argv[0] is then
 * KIST_OCI_PROTECTED. Returns 0 when there is nothing to do, or the error. */
#define KIST_OCI_PROTECTED "kist-oci: protected"
int kist_oci_protect(int argc, char *const *argv, struct kist_error *err);

#endif
