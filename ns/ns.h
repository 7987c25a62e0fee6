/* From a checked plan to a running init, and from a process plan to a process in a running container.
 *
 * Nothing here knows records, ids or images: it takes fds, names and struct kist_spec. The caller becomes the
 * parent of what is started, and reaps it.
 *
 * Life of a launch:
 *   kist_ns_create   clone3 into the cgroup, user maps, mounts, pivot; the child then waits at the gate ('created')
 *   kist_ns_start    opens the gate; returns when execve(2) succeeded, or with the error that stopped it
 * An error of the child travels back whole (struct kist_error over the socketpair). If the parent dies the child
 * dies before the gate (EOF on the socketpair). Nothing is left behind when either call fails: the child is killed and
 * reaped.
 *
 * With a gate of its own (gate_fd) the child outlives its maker:
 *   kist_ns_create   as above; the program is looked for, so that a missing one is an error here
 *   kist_ns_release  the child no longer depends on this process; until then it dies with it
 *   kist_ns_gate_start, from any process that reaches the gate's name: as kist_ns_start */
#ifndef KIST_NS_H
#define KIST_NS_H

#include "core/base/spec.h"

struct kist_error;

/* Where the parent may act while the child waits; called in the parent, in this order. A failure aborts the launch. */
enum kist_ns_point {
	KIST_NS_NAMESPACES, /* namespaces and user maps exist: network set-up. The child makes its mounts meanwhile */
	KIST_NS_MOUNTED, /* mounts are made, prestart and createRuntime hooks have been run (by kist_ns_create), pivot
	                    is next */
};

struct kist_ns_hooks_runner {
	/* Runs the OCI hooks of one stage in the calling process's namespaces; the state goes to their stdin. Called in
	 * the parent for prestart and createRuntime, in the child for createContainer (before the pivot) and
	 * startContainer (after the gate opened, with the rights and the seccomp filter of the program). poststart and
	 * poststop are the engine's. pid: the container's, as the parent sees it. */
	int (*run)(void *arg, const struct kist_spec_hook *hooks, size_t n, const char *stage, pid_t pid,
	           struct kist_error *err);
	void *arg;
};

struct kist_ns_launch {
	const struct kist_spec *spec; /* checked; borrowed */
	int rootfs_fd; /* the root file system: a detached mount (fsmount, open_tree) or an O_PATH directory; borrowed
	                */
	const char *rootfs_target; /* where the root is attached inside the new mount namespace before the pivot. NULL:
	                              over "/", which needs no directory and is reachable for every user namespace; else
	                              an existing directory */
	int cgroup_fd;             /* directory of the cgroup to start in (CLONE_INTO_CGROUP), -1: none */
	int stdio[3];              /* become fds 0-2; ignored with process.terminal; borrowed; -1: /dev/null */
	unsigned rows, cols;       /* terminal size set before exec; 0: spec->process.console_size or unset */
	int listen_fds;            /* --preserve-fds N: fds 3..3+N-1 of this process are passed on */
	bool pause;        /* instead of a command: wait for a signal to end, as kist_ns_pause_main; executed by init_fd
	                    * as 'kist-pause' if there is one, else in the child itself */
	int init_fd;       /* --init: fd of the binary that is pid 1 (executed as 'kist-init -- args'), -1: none */
	bool no_pivot;     /* move-mount and chroot even where pivot_root works */
	bool new_keyring;  /* join a new session keyring */
	bool complete;     /* HOME and the working directory are made where the plan leaves them out */
	bool keep_groups;  /* supplementary groups: the caller's, not the plan's */
	int gate_fd;       /* of kist_ns_gate_listen: the child waits there once it is released; 0: none */
	int seccomp_cache; /* directory fd for compiled filters, -1: none */
	const uint64_t *default_seccomp_caps; /* the built-in profile for these capabilities (kist_ns_cap_mask),
	                                   linux.seccomp absent; NULL: linux.seccomp alone. Cheaper than putting
	                                   kist_ns_seccomp_default into the plan */
	const char *id,
	        *bundle; /* for the state sent to a seccomp listener (linux.seccomp.listenerPath); may be NULL */
	int (*at)(void *arg, enum kist_ns_point point, pid_t pid, struct kist_error *err); /* may be NULL */
	void *at_arg;
	/* Called as soon as the first process is there: what does not need it to be further is done while it makes its
	 * mounts. A failure ends it. May be NULL. */
	int (*meanwhile)(void *arg, struct kist_error *err);
	void *meanwhile_arg;
	struct kist_ns_hooks_runner hooks; /* run may be NULL when the spec has no hooks */
};

struct kist_ns_child {
	pid_t pid;    /* in the caller's pid namespace */
	int pidfd;    /* owned */
	int sync;     /* socketpair end, open until start; owned */
	int console;  /* the terminal's master when process.terminal, else -1; owned */
	int mount_ns; /* the container's mount namespace fd, -1 if shared; owned */
};
#define KIST_NS_CHILD_INIT                                                                                             \
	{                                                                                                              \
		.pid = -1, .pidfd = -1, .sync = -1, .console = -1, .mount_ns = -1                                      \
	}

int kist_ns_create(const struct kist_ns_launch *launch, struct kist_ns_child *child, struct kist_error *err);
/* KIST_ERR_EXEC_MISSING / KIST_ERR_EXEC_ACCESS tell 127 from 126. */
int kist_ns_start(struct kist_ns_child *child, struct kist_error *err);
void kist_ns_child_close(struct kist_ns_child *child); /* closes fds; neither kills nor reaps */
/* Kills and reaps a child that must not live on, and closes its fds. */
void kist_ns_child_destroy(struct kist_ns_child *child);

/* The gate of a child that outlives its maker: a socket by name in a directory that only the engine can search. It is
 * held open by the child alone, which closes it by execve(2) or by its end: that is how a container that waits is told
 * from one that was started. A caller that goes away before its word leaves the child waiting. */
int kist_ns_gate_listen(int dir, const char *name, struct kist_error *err);
/* The child lets go of its maker. KIST_ERR_SYSTEM when it has died. child->sync is -1 on return. */
int kist_ns_release(struct kist_ns_child *child, struct kist_error *err);
/* A connection to the gate; -ENOENT, -ECONNREFUSED when nobody waits there any more, -EAGAIN when too many knock. */
int kist_ns_gate_connect(int dir, const char *name);
/* Opens the gate through that connection, which is closed; returns as kist_ns_start does, and reaps nothing. */
int kist_ns_gate_start(int connection, struct kist_error *err);

/* A further process in a running container. */
struct kist_ns_exec {
	const struct kist_spec_process *process; /* checked; borrowed */
	const struct kist_spec *spec; /* the container's plan: seccomp, personality, user namespace rules; borrowed */
	int pidfd;                    /* the container's init, whose namespaces are joined (setns by pidfd) */
	int cgroup_fd;                /* cgroup to start in, -1: inherit */
	int stdio[3];
	unsigned rows, cols;
	int listen_fds;
	bool privileged;  /* all capabilities, no seccomp */
	bool keep_groups; /* as in kist_ns_launch */
	int seccomp_cache;
	const uint64_t *default_seccomp_caps; /* as in kist_ns_launch */
	const char *id, *bundle;
};
/* Starts it fully: returns after execve succeeded, or with the error. child->sync is -1 on return. */
int kist_ns_exec(const struct kist_ns_exec *exec, struct kist_ns_child *child, struct kist_error *err);

/* Users and groups by the container's own files, never the host's: reads etc/passwd and etc/group in-root, regular
 * files only, no link followed out, at most 1 MiB. user: "", "name", "uid", "name:group", "uid:gid". Strict numbers
 * (0..4294967294). Fills uid, gid, additional_gids (groups that list the name; the primary gid included), home ("/"
 * when unknown; the caller frees) and name (NULL when unknown). extra_groups: --group-add names or numbers. */
int kist_ns_user_lookup(int rootfs_fd, const char *user, char *const *extra_groups, struct kist_spec_user *out,
                        char **home, char **name, struct kist_error *err);

/* Capabilities: text "CHOWN", "CAP_CHOWN", any case; "ALL". */
bool kist_ns_cap_known(const char *name);
/* "CAP_CHOWN" in canonical form for each number up to what the kernel has; NULL past the end. */
const char *kist_ns_cap_name(unsigned number);
/* Names to bits; an unknown name is an error that names it. For default_seccomp_caps. */
int kist_ns_cap_mask(char *const *names, uint64_t *out, struct kist_error *err);
/* Capabilities this process has in its permitted and bounding set, as names. */
char **kist_ns_caps_available(void);

/* The built-in default seccomp profile for a process with those capabilities (bounding set), native architecture and
 * its compat ones: allow list with ENOSYS for the rest, and EPERM for what needs a capability that is missing. The
 * caller frees with the spec. */
struct kist_spec_seccomp *kist_ns_seccomp_default(char *const *caps);
void kist_ns_seccomp_free(struct kist_spec_seccomp *seccomp);
/* Reads a profile file in the format podman and docker ship (archMap, includes/excludes by caps, arches, minKernel) or
 * the OCI form. */
int kist_ns_seccomp_read(const char *text, size_t len, char *const *caps, struct kist_spec_seccomp **out,
                         struct kist_error *err);

/* 'kist --init' as pid 1: starts argv, forwards signals, reaps, returns the exit code of the first child. Never returns
 * to the engine. */
int kist_ns_init_main(int argc, char *const argv[]);

/* The process of an infra container; its exit code. */
int kist_ns_pause_main(void);
/* Its root: a small read-write file system that has the directories that mounts need, owned by uid:gid (the host's ids
 * of the container's root). A detached mount. */
int kist_ns_pause_root(uid_t uid, gid_t gid, struct kist_error *err);

/* A user namespace with those maps that no process is in, for idmapped mounts. Returns its fd. */
int kist_ns_userns_make(const struct kist_spec_id_map *uids, size_t n_uids, const struct kist_spec_id_map *gids,
                        size_t n_gids, struct kist_error *err);

#define KIST_APPARMOR_DEFAULT "kist-default"
bool kist_ns_apparmor_enabled(void);
/* Whether this process is under a profile already: then those of containers are stacked on it. */
bool kist_ns_apparmor_confined(void);
/* Loads the built-in profile KIST_APPARMOR_DEFAULT, or replaces it. */
int kist_ns_apparmor_load_default(struct kist_error *err);
uint64_t kist_ns_apparmor_default_digest(void);

/* The lines of a uid_map or gid_map file are added to what is there. -EINVAL. */
int kist_ns_userns_map_parse(const char *text, struct kist_spec_id_map **maps, size_t *n);
/* The maps of the user namespace that the fd names, with outer ids as this process sees them. The caller frees. */
int kist_ns_userns_maps_read(int userns, struct kist_spec_id_map **uids, size_t *n_uids, struct kist_spec_id_map **gids,
                             size_t *n_gids, struct kist_error *err);
/* Those of the calling process's own. */
int kist_ns_userns_maps_own(struct kist_spec_id_map **uids, size_t *n_uids, struct kist_spec_id_map **gids,
                            size_t *n_gids, struct kist_error *err);

/* A mount that is attached nowhere: a new file system, or with type "bind" (or the option) a copy of what source is,
 * with options as mount(8) has them. Returns its fd; the mount goes with it. */
int kist_ns_mount_detached(const char *type, const char *source, char *const *options, struct kist_error *err);
/* Attaches it over a directory (O_PATH fd). */
int kist_ns_mount_attach_at(int mount, int directory, struct kist_error *err);

/* Mounts of a container that runs, whose first process the pidfd names: all are attached, or none. Those that a launch
 * alone can make (id maps, tmpcopyup, remount, propagation) are refused. */
int kist_ns_mounts_add(int pidfd, const struct kist_spec_mount *mounts, size_t n, struct kist_error *err);
/* Takes the mounts at these destinations away, the last first. */
int kist_ns_mounts_remove(int pidfd, const struct kist_spec_mount *mounts, size_t n, struct kist_error *err);

/* Brings the loopback link up in the calling process's network namespace. */
int kist_ns_loopback_up(struct kist_error *err);

#endif
