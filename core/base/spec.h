/* The plan of a container: the OCI runtime specification 1.2, 'linux' platform, as C structs.
 *
 * Two doors make it: kist's own records (core/plan.c) and a bundle's config.json. It is parsed, then checked, then
 * executed; ns/ and cgroup/ execute it and refuse by name what they do not know. Field names are the
 * specification's in snake case; the tables in spec_tables.c map them. Strings and lists are owned by the spec. */
#ifndef KIST_SPEC_H
#define KIST_SPEC_H

#include "core/base/table.h"

struct kist_error;

struct kist_spec_user {
	uint32_t uid, gid;
	struct kist_opt umask;
	uint32_t *additional_gids;
	size_t n_additional_gids;
	char *username; /* Windows in the specification; parsed, refused when set */
};

struct kist_spec_box {
	uint64_t height, width;
};

struct kist_spec_caps {
	char **bounding, **effective, **inheritable, **permitted, **ambient; /* "CAP_..." */
};

struct kist_spec_rlimit {
	char *type; /* RLIMIT_... */
	uint64_t hard, soft;
};

struct kist_spec_scheduler {
	char *policy;
	int nice;
	int priority;
	char **flags;
	uint64_t runtime, deadline, period;
};

struct kist_spec_io_priority {
	char *class;
	int priority;
};

struct kist_spec_affinity {
	char *initial;
	char *final;
};

struct kist_spec_process {
	bool terminal;
	struct kist_spec_box *console_size;
	char *cwd;
	char **env;
	char **args;
	struct kist_spec_user user;
	struct kist_spec_rlimit *rlimits;
	size_t n_rlimits;
	struct kist_spec_caps *capabilities;
	char *apparmor_profile;
	char *selinux_label;
	bool no_new_privileges;
	struct kist_opt oom_score_adj;
	struct kist_spec_scheduler *scheduler;
	struct kist_spec_io_priority *io_priority;
	struct kist_spec_affinity *exec_cpu_affinity;
};

struct kist_spec_id_map {
	uint32_t container_id, host_id, size;
};

struct kist_spec_mount {
	char *destination;
	char *type;
	char *source;
	char **options;
	struct kist_spec_id_map *uid_mappings;
	size_t n_uid_mappings;
	struct kist_spec_id_map *gid_mappings;
	size_t n_gid_mappings;
};

struct kist_spec_hook {
	char *path;
	char **args;
	char **env;
	struct kist_opt timeout; /* seconds */
};

struct kist_spec_hooks {
	struct kist_spec_hook *prestart, *create_runtime, *create_container, *start_container, *poststart, *poststop;
	size_t n_prestart, n_create_runtime, n_create_container, n_start_container, n_poststart, n_poststop;
};

struct kist_spec_namespace {
	char *type; /* pid network mount ipc uts user cgroup time */
	char *path; /* NULL: a new one */
};

struct kist_spec_device {
	char *type; /* c b u p */
	char *path;
	int64_t major, minor;
	struct kist_opt file_mode;
	struct kist_opt uid, gid;
};

struct kist_spec_device_rule {
	bool allow;
	char *type;                   /* a c b; NULL is a */
	struct kist_opt major, minor; /* unset or -1: any */
	char *access;                 /* of r w m; NULL is rwm */
};

struct kist_spec_memory {
	struct kist_opt limit, reservation, swap, kernel, kernel_tcp; /* bytes, -1 unlimited */
	struct kist_opt swappiness;
	struct kist_opt disable_oom_killer, use_hierarchy, check_before_update;
};

struct kist_spec_cpu {
	struct kist_opt shares, quota, burst, period, realtime_runtime,
	        realtime_period; /* microseconds; shares 2-262144 */
	char *cpus, *mems;
	struct kist_opt idle;
};

struct kist_spec_weight_device {
	int64_t major, minor;
	struct kist_opt weight, leaf_weight;
};

struct kist_spec_throttle_device {
	int64_t major, minor;
	uint64_t rate;
};

struct kist_spec_blkio {
	struct kist_opt weight, leaf_weight; /* 10-1000 */
	struct kist_spec_weight_device *weight_device;
	size_t n_weight_device;
	struct kist_spec_throttle_device *throttle_read_bps_device, *throttle_write_bps_device,
	        *throttle_read_iops_device, *throttle_write_iops_device;
	size_t n_throttle_read_bps_device, n_throttle_write_bps_device, n_throttle_read_iops_device,
	        n_throttle_write_iops_device;
};

struct kist_spec_hugepage {
	char *page_size; /* 2MB, 1GB, ... */
	uint64_t limit;  /* bytes */
};

struct kist_spec_interface_priority {
	char *name;
	uint32_t priority;
};

struct kist_spec_network_resources {
	struct kist_opt class_id;
	struct kist_spec_interface_priority *priorities;
	size_t n_priorities;
};

struct kist_spec_rdma {
	char *device; /* the key of the JSON object */
	struct kist_opt hca_handles, hca_objects;
};

struct kist_spec_resources {
	struct kist_spec_device_rule *devices;
	size_t n_devices;
	struct kist_spec_memory *memory;
	struct kist_spec_cpu *cpu;
	struct kist_opt pids_limit; /* JSON pids.limit; <= 0 and -1: unlimited */
	struct kist_spec_blkio *block_io;
	struct kist_spec_hugepage *hugepage_limits;
	size_t n_hugepage_limits;
	struct kist_spec_network_resources *network;
	struct kist_spec_rdma *rdma;
	size_t n_rdma;
	char **unified; /* "file=value" */
};

struct kist_spec_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	char *op; /* SCMP_CMP_... */
};

struct kist_spec_syscall {
	char **names;
	char *action; /* SCMP_ACT_... */
	struct kist_opt errno_ret;
	struct kist_spec_seccomp_arg *args;
	size_t n_args;
};

struct kist_spec_seccomp {
	char *default_action;
	struct kist_opt default_errno_ret;
	char **architectures; /* SCMP_ARCH_... */
	char **flags;         /* SECCOMP_FILTER_FLAG_... */
	char *listener_path, *listener_metadata;
	struct kist_spec_syscall *syscalls;
	size_t n_syscalls;
};

struct kist_spec_time_offset {
	char *clock; /* monotonic, boottime: the key of the JSON object */
	int64_t secs;
	uint32_t nanosecs;
};

struct kist_spec_personality {
	char *domain; /* LINUX LINUX32 */
	char **flags;
};

struct kist_spec_linux {
	struct kist_spec_namespace *namespaces;
	size_t n_namespaces;
	struct kist_spec_id_map *uid_mappings, *gid_mappings;
	size_t n_uid_mappings, n_gid_mappings;
	struct kist_spec_time_offset *time_offsets;
	size_t n_time_offsets;
	struct kist_spec_device *devices;
	size_t n_devices;
	char *cgroups_path;
	struct kist_spec_resources *resources;
	char *rootfs_propagation;
	struct kist_spec_seccomp *seccomp;
	char **sysctl; /* "name=value" */
	char **masked_paths, **readonly_paths;
	char *mount_label;
	struct kist_spec_personality *personality;
	struct json_object *intel_rdt, *memory_policy, *net_devices; /* parsed to be refused by name until executed */
};

struct kist_spec {
	char *oci_version;
	struct kist_spec_process *process;
	char *root_path;
	bool root_readonly;
	char *hostname, *domainname;
	struct kist_spec_mount *mounts;
	size_t n_mounts;
	struct kist_spec_hooks *hooks;
	char **annotations; /* "key=value" */
	struct kist_spec_linux linux_;
	struct json_object *solaris, *windows, *vm, *zos; /* other platforms: refused by the checker */
};

extern const struct kist_table kist_spec_table;
extern const struct kist_table kist_spec_process_table;   /* exec --process FILE */
extern const struct kist_table kist_spec_mount_table;     /* mounts add FILE */
extern const struct kist_table kist_spec_resources_table; /* update --resources FILE */

#define KIST_SPEC __attribute__((cleanup(kist_spec_cleanup)))
struct kist_spec *kist_spec_new(void); /* empty, defaults set */
void kist_spec_free(struct kist_spec *spec);
void kist_spec_cleanup(struct kist_spec **spec);

/* config.json in and out. */
int kist_spec_parse(const char *text, size_t len, struct kist_spec **out, struct kist_error *err);
char *kist_spec_text(const struct kist_spec *spec); /* indented JSON; the caller frees */

/* Whether the plan can be executed: values in range, names known, combinations allowed. Messages name the
 * JSON path: "linux.namespaces[1].type: 'netork' is not a namespace". Refuses by name what no code executes. */
int kist_spec_check(const struct kist_spec *spec, struct kist_error *err);
int kist_spec_check_process(const struct kist_spec_process *process, const char *path, struct kist_error *err);

/* Look-ups that every executor needs. */
const struct kist_spec_namespace *kist_spec_namespace(const struct kist_spec *spec,
                                                      const char *type); /* NULL: shared with the host */
const char *kist_spec_annotation(const struct kist_spec *spec, const char *key);
/* Appending helpers for the makers of plans; copies are made. They return the new item, zeroed. */
struct kist_spec_mount *kist_spec_add_mount(struct kist_spec *spec, const char *destination, const char *type,
                                            const char *source, const char *const *options);
struct kist_spec_namespace *kist_spec_add_namespace(struct kist_spec *spec, const char *type, const char *path);
struct kist_spec_rlimit *kist_spec_set_rlimit(struct kist_spec_process *process, const char *type, uint64_t soft,
                                              uint64_t hard);
struct kist_spec_device *kist_spec_add_device(struct kist_spec *spec, const char *path, char type, int64_t major,
                                              int64_t minor, uint32_t mode, uint32_t uid, uint32_t gid);
struct kist_spec_device_rule *kist_spec_add_device_rule(struct kist_spec *spec, bool allow, char type, int64_t major,
                                                        int64_t minor, const char *access);

#endif
