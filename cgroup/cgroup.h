/* Control groups, version 2 only: find the hierarchy, make groups, set limits, filter devices, freeze, kill, measure.
 *
 * Groups are named by their path below the hierarchy's root ("/kist/ID"). The hierarchy is found from mountinfo,
 * wherever it is mounted (kernel doc: admin-guide/cgroup-v2.rst). */
#ifndef KIST_CGROUP_H
#define KIST_CGROUP_H

#include "core/base/spec.h"

#include <sys/types.h>

struct kist_error;

struct kist_cgroup_root; /* the hierarchy: its mount, an fd of its root, its controllers */

/* KIST_ERR_UNSUPPORTED when no cgroup2 file system is mounted. Reads /proc/self/mountinfo once; of several mounts the
 * one that shows the whole hierarchy and can be written is taken, and a mount hidden below another one never is. */
int kist_cgroup_root_open(struct kist_cgroup_root **out, struct kist_error *err);
/* The same for a known mount point (one that kist_cgroup_root_path gave earlier): no mountinfo is read, only the file
 * system's magic is checked. KIST_ERR_NOT_FOUND when path is no cgroup2 file system: then look for it again. */
int kist_cgroup_root_open_at(const char *path, struct kist_cgroup_root **out, struct kist_error *err);
void kist_cgroup_root_close(struct kist_cgroup_root *root);             /* NULL is fine */
const char *kist_cgroup_root_path(const struct kist_cgroup_root *root); /* where it is mounted */
char **kist_cgroup_root_controllers(
        struct kist_cgroup_root *root); /* those the root offers, read on first use; borrowed */
/* The group this process is in, "/" for the root; the caller frees. */
int kist_cgroup_self(struct kist_cgroup_root *root, char **path, struct kist_error *err);

/* Which limits a default set, so that a missing controller leaves it out instead of failing. */
enum kist_cgroup_soft {
	KIST_CGROUP_SOFT_PIDS = 1,
	KIST_CGROUP_PARENTS_STAY = 2,  /* nobody removes the parents that are made: see kist_cgroup_device_hold */
	KIST_CGROUP_DEVICES_LATER = 4, /* the caller calls kist_cgroup_devices before it lets the container go */
	KIST_CGROUP_ALL = 8, /* every controller that can be had, for statistics and groups of the container's own */
};

/* Makes path and its parents (existing ones are fine for parents; an existing leaf that holds processes is
 * KIST_ERR_EXISTS), enables the controllers the resources need on the way down, and applies them all, the device
 * program included. Where "no internal processes" forbids enabling a controller, processes of a parent that kist made
 * are moved to its leaf "kist-internal"; in groups that are not ours it is an error that says so.
 * A limit whose controller is missing: KIST_ERR_UNSUPPORTED naming limit and controller, unless in soft.
 * An existing empty leaf is used as it is, and thawed. No device rules at all: no device program, all is allowed.
 * On failure what was made is removed. Returns a directory fd for CLONE_INTO_CGROUP and the *_at calls below. */
int kist_cgroup_create(struct kist_cgroup_root *root, const char *path, const struct kist_spec_resources *resources,
                       unsigned soft, struct kist_error *err);
/* The device program of a group that was made with KIST_CGROUP_DEVICES_LATER: the kernel checks and translates it while
 * the container's first process, which is ours until then, makes its mounts. */
int kist_cgroup_devices(int cgroup_fd, const struct kist_spec_resources *resources, struct kist_error *err);
/* An existing group; -ENOENT with KIST_ERR_NOT_FOUND. */
int kist_cgroup_open(struct kist_cgroup_root *root, const char *path, struct kist_error *err);
/* Whether the hierarchy has the controllers that the limits need: as creating the group would fail. */
int kist_cgroup_check(struct kist_cgroup_root *root, const struct kist_spec_resources *resources,
                      struct kist_error *err);
/* Writes limits to an existing group (update). NULL members are left as they are. */
int kist_cgroup_update(int cgroup_fd, const struct kist_spec_resources *resources, struct kist_error *err);
/* Kills what is in it, removes its sub-groups and itself; waits, bounded, until the kernel lets go. A missing group is
 * success. Empty parents are left: they are shared. */
int kist_cgroup_remove(struct kist_cgroup_root *root, const char *path, struct kist_error *err);
/* Removes the group and then its parents up to but not including stop_at, as far as they are empty. */
void kist_cgroup_prune(struct kist_cgroup_root *root, const char *path, const char *stop_at);
/* Removes a group that was made as the parent of others, and then its own parents, as far as kist made them and they
 * are empty: nothing is killed. One that is missing counts as removed. */
void kist_cgroup_prune_made(struct kist_cgroup_root *root, const char *path);

/* Whether it gave controllers to its sub-groups: then it can hold no process itself. */
bool kist_cgroup_gives(int cgroup_fd);
/* The group that a process is in. root: NULL to look for the hierarchy. */
int kist_cgroup_open_of(struct kist_cgroup_root *root, pid_t pid, struct kist_error *err);
int kist_cgroup_attach(int cgroup_fd, pid_t pid, struct kist_error *err);
/* SIGKILL for all below, cgroup.kill or a loop over cgroup.procs until empty. */
int kist_cgroup_kill(int cgroup_fd, struct kist_error *err);
/* Another signal for all processes below. Returns how many got it. */
int kist_cgroup_signal(int cgroup_fd, int signal_number, struct kist_error *err);
/* Freezes or thaws and waits (poll on cgroup.events), up to timeout_ms. */
int kist_cgroup_freeze(int cgroup_fd, bool frozen, int timeout_ms, struct kist_error *err);
int kist_cgroup_is_frozen(int cgroup_fd); /* 1, 0, or a negative errno */
/* All pids below, in *pids (the caller frees); returns the count. */
ssize_t kist_cgroup_pids(int cgroup_fd, pid_t **pids, struct kist_error *err);
bool kist_cgroup_populated(int cgroup_fd);

/* An fd of memory.events to poll (EPOLLPRI) and the count of oom_kill now; -1 / 0 where memory is not enabled. */
int kist_cgroup_oom_fd(int cgroup_fd);
uint64_t kist_cgroup_oom_kills(int cgroup_fd);

struct kist_cgroup_stats {
	/* What the kernel says; has_* tell whether the controller is there. Bytes, microseconds. */
	bool has_cpu_controller, has_memory, has_pids, has_io;
	uint64_t cpu_usage_us, cpu_user_us, cpu_system_us; /* cpu.stat is there without the controller */
	uint64_t cpu_periods, cpu_throttled, cpu_throttled_us;
	uint64_t memory_usage, memory_limit /* UINT64_MAX: none */, memory_swap, memory_peak, memory_file,
	        memory_inactive_file, memory_anon;
	uint64_t pids, pids_limit /* UINT64_MAX: none */; /* without the controller: the processes, not their threads */
	uint64_t io_read, io_write;
};
int kist_cgroup_stats(int cgroup_fd, struct kist_cgroup_stats *out, struct kist_error *err);

#endif
