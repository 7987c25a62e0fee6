/* What the files of cgroup/ share, and the doors the unit tests use: pure parsers, the plan of limits, the device
 * program as instructions, and a root opened on any directory. */
#ifndef KIST_CGROUP_INTERNAL_H
#define KIST_CGROUP_INTERNAL_H

#include "cgroup/cgroup.h"

struct bpf_insn;
struct kist_str;

struct kist_cgroup_root {
	int fd;
	char *path;   /* the mount point */
	char *prefix; /* the group the mount shows as its root: "/" for the whole hierarchy */
	char **controllers;
	bool controllers_read;
};

/* --- mountinfo.c --- */
struct kist_cgroup_mount {
	char *root, *point; /* unescaped; owned */
	int64_t id;
	bool read_only;
};
/* The next cgroup2 mount of a mountinfo text, from *cursor on: 1 and *out, or 0 at the end. Damaged lines, and mounts
 * of a deleted group, are passed over. */
int kist_cgroup_mountinfo_next(const char **cursor, const char *end, struct kist_cgroup_mount *out);
void kist_cgroup_mount_clear(struct kist_cgroup_mount *mount);
/* The path below prefix of the "0::" line of /proc/PID/cgroup; NULL when there is none or it is not below prefix. */
char *kist_cgroup_self_parse(const char *text, const char *prefix);

/* --- root.c --- */
/* A root on any directory: fd is taken over; no file system is checked. */
struct kist_cgroup_root *kist_cgroup_root_new(int fd, const char *path, const char *prefix);
/* "/a/b" to "a/b": absolute, no empty, '.' or '..' component. "/" itself is "." and only allowed with allow_root. */
int kist_cgroup_path_check(const char *path, bool allow_root, char **relative, struct kist_error *err);
/* Where a group is, for messages. */
char *kist_cgroup_fd_name(int fd);
/* Reads one file of a group, at most 16 MiB. */
int kist_cgroup_read(int cgroup_fd, const char *file, struct kist_str *out);
int kist_cgroup_read_u64(int cgroup_fd, const char *file, uint64_t *out); /* "max" is UINT64_MAX */
/* "key value" lines (cgroup.events, cpu.stat, memory.stat). false: no such key; *out is left. */
bool kist_cgroup_keyed(const char *text, const char *key, uint64_t *out);
char **kist_cgroup_words(const char *text); /* split at white space */

/* --- limits.c: resources to a plan --- */
struct kist_cgroup_setting {
	char *what; /* "memory limit", for messages */
	char *controller;
	char *file, *value;
	char *other_file, *other_value; /* where file does not exist */
	bool unlimited;                 /* what a new group has anyway */
	bool optional;                  /* a kernel without the file behaves like that already */
	unsigned soft;                  /* kist_cgroup_soft */
	bool skip, again;               /* of kist_cgroup_apply */
};
struct kist_cgroup_plan {
	struct kist_cgroup_setting *settings;
	size_t n;
};
int kist_cgroup_plan_make(const struct kist_spec_resources *resources, struct kist_cgroup_plan *plan,
                          struct kist_error *err);
void kist_cgroup_plan_clear(struct kist_cgroup_plan *plan);
#define KIST_CGROUP_PLAN __attribute__((cleanup(kist_cgroup_plan_clear)))
/* OCI cpu.shares (2-262144) to cpu.weight (1-10000). */
uint64_t kist_cgroup_weight_of_shares(uint64_t shares);
/* OCI blockIO.weight (10-1000) to io.weight (1-10000). */
uint64_t kist_cgroup_io_weight(uint64_t weight);

/* --- apply.c: a plan to the kernel --- */
/* root: NULL when the group was opened by fd alone. fresh: the group was made just now, nothing needs undoing. */
int kist_cgroup_apply(struct kist_cgroup_plan *plan, int cgroup_fd, struct kist_cgroup_root *root, unsigned soft,
                      bool fresh, struct kist_error *err);
/* Every controller of the hierarchy on the way to the group, as far as it can be had. */
void kist_cgroup_enable_all(int cgroup_fd, struct kist_cgroup_root *root);
#define KIST_CGROUP_INTERNAL_LEAF "kist-internal"
/* Marks a group as made by kist, so that its processes may be moved; and asks. */
void kist_cgroup_mark(int cgroup_fd);
bool kist_cgroup_marked(int cgroup_fd);

/* --- bpf_device.c --- */
/* A program that allows everything. The kernel switches device programs on in its own code for the first group that has
 * one, and off again for the last, which takes longer than all else of a group: with one that stays neither happens. */
void kist_cgroup_device_hold(int cgroup_fd);
/* 1 and the instructions (the caller frees), or 0: all is allowed and no program is needed. */
int kist_cgroup_device_program(const struct kist_spec_device_rule *rules, size_t n, struct bpf_insn **insns,
                               size_t *n_insns, struct kist_error *err);
/* Puts the rules in force; unless fresh, instead of those kist put in force before. No rules: no program. */
int kist_cgroup_device_apply(int cgroup_fd, const struct kist_spec_device_rule *rules, size_t n, bool fresh,
                             struct kist_error *err);

/* --- freeze.c --- */
/* Waits until key of cgroup.events is value: 0, -ETIMEDOUT, or another negative errno. deadline: kist_now_boot. */
int kist_cgroup_wait_event(int cgroup_fd, const char *key, uint64_t value, int64_t deadline);

#endif
