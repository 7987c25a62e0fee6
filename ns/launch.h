/* What parent and child of a launch share: the plan, worked out by the parent before clone3 so that the child only
 * makes system calls. The child has its own copy (fork-like clone). Internal to ns/. */
#ifndef KIST_NS_LAUNCH_H
#define KIST_NS_LAUNCH_H

#include "ns/apply.h"
#include "ns/mount_options.h"
#include "ns/ns.h"

struct kist_ns_namespace_row {
	const char *type; /* as in the plan */
	const char *file; /* in /proc/PID/ns */
	int flag;         /* CLONE_NEW* */
};
#define KIST_NS_N_NAMESPACES 8
extern const struct kist_ns_namespace_row kist_ns_namespace_table[KIST_NS_N_NAMESPACES];

/* Namespaces of a plan: a flag is in 'make', in 'join' or in neither (shared with the caller). */
struct kist_ns_namespaces {
	int make, join;
	int fd[KIST_NS_N_NAMESPACES]; /* of those joined, by row of the table; -1 */
};
int kist_ns_namespaces_open(const struct kist_spec *spec, struct kist_ns_namespaces *out, struct kist_error *err);
void kist_ns_namespaces_close(struct kist_ns_namespaces *ns);
/* setns(2) for those of 'flags' that are to be joined. */
int kist_ns_namespaces_join(const struct kist_ns_namespaces *ns, int flags, struct kist_error *err);

/* A mount of the plan, prepared. */
struct kist_ns_mount {
	struct kist_ns_mount_options options;
	int source; /* detached copy of a bind mount's source, -1: a new file system or a remount; owned */
};

struct kist_ns_plan {
	const struct kist_ns_launch *launch;
	const struct kist_spec *spec;
	const struct kist_spec_process *process;
	struct kist_ns_policy policy;
	struct kist_ns_namespaces namespaces;
	struct kist_ns_mount *mounts; /* as many as the plan has */
	int rootfs;                   /* detached mount of the root file system; borrowed or rootfs_owned */
	bool rootfs_owned;
	bool wait_mapped; /* the child waits for MAPPED */
	bool wait_pivot;  /* the child sends MOUNTED and waits for PIVOT */
	int proc_fd;      /* the host's /proc */
	int null_fd;      /* the host's /dev/null, for stdio that is -1; -1 when all three are given */
	int sync;         /* the child's end */
	int devices;      /* kist_ns_dev_prepare's file system, -1: none */
	int joiner_sync;  /* that of the process which joins a user namespace first; -1 */
	int child_make;   /* namespaces the child makes by unshare(2) */
	int child_join;   /* namespaces the child joins; the parent or the joiner did the others */
	/* The child's, while it works. */
	int dev;           /* the tmpfs on /dev, -1: none of ours */
	bool dev_foreign;  /* /dev is a bind mount: it is not filled */
	bool dev_readonly; /* it becomes read-only once it is filled */
	pid_t host_pid;    /* as the parent sees it; 0: unknown */
};

/* True when a user namespace is made or joined: mknod and some mounts are refused then. */
bool kist_ns_plan_has_user(const struct kist_ns_plan *plan);

/* --- userns.c ------------------------------------------------------------------------------------------------------
 */
int kist_ns_user_maps_write(int proc_fd, pid_t pid, const struct kist_spec_linux *plan, struct kist_error *err);
/* A user namespace with those maps that no process is in, for an idmapped mount. Returns its fd. */
int kist_ns_user_namespace_for(int proc_fd, const struct kist_spec_id_map *uids, size_t n_uids,
                               const struct kist_spec_id_map *gids, size_t n_gids, struct kist_error *err);
/* The host's id of one of the container's. */
bool kist_ns_user_map_id(const struct kist_spec_id_map *maps, size_t n, uint32_t id, uint32_t *host);
/* In the parent: pipes become the mapped user's; in the namespace nobody may give them away. */
int kist_ns_user_give_stdio(const struct kist_spec_linux *plan, const struct kist_spec_user *user, const int stdio[3],
                            struct kist_error *err);
/* In the child: become the root of the namespace. */
int kist_ns_user_become_root(struct kist_error *err);

/* --- rootfs.c ------------------------------------------------------------------------------------------------------
 */
int kist_ns_rootfs_prepare(struct kist_ns_plan *plan, struct kist_error *err);      /* parent */
int kist_ns_rootfs_attach(const struct kist_ns_plan *plan, struct kist_error *err); /* child */
int kist_ns_rootfs_pivot(const struct kist_ns_plan *plan, struct kist_error *err);  /* child */

/* --- mounts.c ------------------------------------------------------------------------------------------------------
 */
int kist_ns_mounts_prepare(struct kist_ns_plan *plan, struct kist_error *err); /* parent */
int kist_ns_mounts_idmap(const struct kist_ns_plan *plan, pid_t pid,
                         struct kist_error *err);                           /* parent, user maps are written */
int kist_ns_mounts_make(struct kist_ns_plan *plan, struct kist_error *err); /* child */
int kist_ns_mounts_seal(struct kist_ns_plan *plan, struct kist_error *err); /* child: after the devices are made */
void kist_ns_mounts_free(struct kist_ns_plan *plan);
/* mounts_cgroup.c: for a container that shares the cgroup namespace, a detached copy of its own group's directory. */
int kist_ns_mounts_cgroup_source(const struct kist_ns_plan *plan, struct kist_error *err);
/* Opens the mount point inside the root, making what is missing. O_PATH fd or a negative errno. */
int kist_ns_mount_point_open(int root, const char *path, bool directory);

/* --- copy_up.c -----------------------------------------------------------------------------------------------------
 */
/* Copies what is in directory from (an O_PATH fd will do) to directory to, with owners, modes, times and extended
 * attributes. */
int kist_ns_copy_up(int from, int to, struct kist_error *err);

/* --- dev.c ---------------------------------------------------------------------------------------------------------
 */
/* In the parent: makes the devices that a user namespace may not make, and the host has not by the same path. */
int kist_ns_dev_prepare(struct kist_ns_plan *plan, struct kist_error *err);
int kist_ns_dev_make(struct kist_ns_plan *plan, struct kist_error *err);

/* --- paths.c -------------------------------------------------------------------------------------------------------
 */
int kist_ns_paths_apply(const struct kist_ns_plan *plan, struct kist_error *err);

/* --- console.c -----------------------------------------------------------------------------------------------------
 */
/* A new terminal of the devpts at root/dev/pts, its size set. */
int kist_ns_console_open(int root, unsigned rows, unsigned cols, int *master, int *slave, struct kist_error *err);
/* The terminal as /dev/console. */
int kist_ns_console_bind(int root, int slave, struct kist_error *err);
/* Makes it the controlling terminal of the calling session. */
int kist_ns_console_control(int slave, struct kist_error *err);

/* --- launch.c ------------------------------------------------------------------------------------------------------
 */
/* The host's /proc, and its /dev/null when one of stdio is -1 and there is no terminal. */
int kist_ns_open_common(const int stdio[3], bool terminal, int *proc_fd, int *null_fd, struct kist_error *err);

/* --- gate.c --------------------------------------------------------------------------------------------------------
 */
/* In the child: the first connection that says START. Never returns without. The gate stays open: as long as it is, the
 * container counts as created. */
int kist_ns_gate_await(int gate);

/* --- child.c -------------------------------------------------------------------------------------------------------
 */
void kist_ns_child_main(struct kist_ns_plan *plan) __attribute__((noreturn));

#endif
