/* The OCI runtime specification's config.json, row by row (config.md, config-linux.md). Keys are the struct's members
 * in key=value form and the specification's camel case in JSON. */
#include "core/base/spec.h"

/* REQUIRED in the specification. Numbers and truth values are then written even when they are 0. */
#define REQUIRED .flags = KIST_FIELD_REQUIRED
#define NUMBER   .flags = KIST_FIELD_REQUIRED | KIST_FIELD_ALWAYS

static const struct kist_field user_rows[] = {
	KIST_FIELD(struct kist_spec_user, U32, uid, NUMBER),
	KIST_FIELD(struct kist_spec_user, U32, gid, NUMBER),
	KIST_FIELD(struct kist_spec_user, OPT_U32, umask),
	KIST_FIELD_LIST(struct kist_spec_user, U32S, additional_gids, n_additional_gids, .json = "additionalGids"),
	KIST_FIELD(struct kist_spec_user, STRING, username),
};
static const struct kist_table user_table = KIST_TABLE("user", struct kist_spec_user, user_rows);

static const struct kist_field box_rows[] = {
	KIST_FIELD(struct kist_spec_box, U64, height, NUMBER),
	KIST_FIELD(struct kist_spec_box, U64, width, NUMBER),
};
static const struct kist_table box_table = KIST_TABLE("console size", struct kist_spec_box, box_rows);

static const struct kist_field caps_rows[] = {
	KIST_FIELD(struct kist_spec_caps, STRV, bounding),    KIST_FIELD(struct kist_spec_caps, STRV, effective),
	KIST_FIELD(struct kist_spec_caps, STRV, inheritable), KIST_FIELD(struct kist_spec_caps, STRV, permitted),
	KIST_FIELD(struct kist_spec_caps, STRV, ambient),
};
static const struct kist_table caps_table = KIST_TABLE("capabilities", struct kist_spec_caps, caps_rows);

static const struct kist_field rlimit_rows[] = {
	KIST_FIELD(struct kist_spec_rlimit, STRING, type, REQUIRED),
	KIST_FIELD(struct kist_spec_rlimit, U64, hard, NUMBER),
	KIST_FIELD(struct kist_spec_rlimit, U64, soft, NUMBER),
};
static const struct kist_table rlimit_table = KIST_TABLE("rlimit", struct kist_spec_rlimit, rlimit_rows);

static const struct kist_field scheduler_rows[] = {
	KIST_FIELD(struct kist_spec_scheduler, STRING, policy, REQUIRED),
	KIST_FIELD(struct kist_spec_scheduler, INT, nice),
	KIST_FIELD(struct kist_spec_scheduler, INT, priority),
	KIST_FIELD(struct kist_spec_scheduler, STRV, flags),
	KIST_FIELD(struct kist_spec_scheduler, U64, runtime),
	KIST_FIELD(struct kist_spec_scheduler, U64, deadline),
	KIST_FIELD(struct kist_spec_scheduler, U64, period),
};
static const struct kist_table scheduler_table = KIST_TABLE("scheduler", struct kist_spec_scheduler, scheduler_rows);

static const struct kist_field io_priority_rows[] = {
	KIST_FIELD(struct kist_spec_io_priority, STRING, class, REQUIRED),
	KIST_FIELD(struct kist_spec_io_priority, INT, priority, NUMBER),
};
static const struct kist_table io_priority_table =
        KIST_TABLE("I/O priority", struct kist_spec_io_priority, io_priority_rows);

static const struct kist_field affinity_rows[] = {
	KIST_FIELD(struct kist_spec_affinity, STRING, initial),
	KIST_FIELD(struct kist_spec_affinity, STRING, final),
};
static const struct kist_table affinity_table = KIST_TABLE("CPU affinity", struct kist_spec_affinity, affinity_rows);

static const struct kist_field process_rows[] = {
	KIST_FIELD(struct kist_spec_process, BOOL, terminal),
	KIST_FIELD(struct kist_spec_process, POINTER, console_size, .json = "consoleSize", .table = &box_table),
	KIST_FIELD(struct kist_spec_process, STRUCT, user, .table = &user_table),
	KIST_FIELD(struct kist_spec_process, STRV, args),
	KIST_FIELD(struct kist_spec_process, STRV, env),
	KIST_FIELD(struct kist_spec_process, STRING, cwd, REQUIRED),
	KIST_FIELD(struct kist_spec_process, POINTER, capabilities, .table = &caps_table),
	KIST_FIELD_LIST(struct kist_spec_process, LIST, rlimits, n_rlimits, .table = &rlimit_table),
	KIST_FIELD(struct kist_spec_process, BOOL, no_new_privileges, .json = "noNewPrivileges"),
	KIST_FIELD(struct kist_spec_process, STRING, apparmor_profile, .json = "apparmorProfile"),
	KIST_FIELD(struct kist_spec_process, OPT_I64, oom_score_adj, .json = "oomScoreAdj"),
	KIST_FIELD(struct kist_spec_process, POINTER, scheduler, .table = &scheduler_table),
	KIST_FIELD(struct kist_spec_process, STRING, selinux_label, .json = "selinuxLabel"),
	KIST_FIELD(struct kist_spec_process, POINTER, io_priority, .json = "ioPriority", .table = &io_priority_table),
	KIST_FIELD(struct kist_spec_process, POINTER, exec_cpu_affinity, .json = "execCPUAffinity",
	           .table = &affinity_table),
};
const struct kist_table kist_spec_process_table = KIST_TABLE("process", struct kist_spec_process, process_rows);

static const struct kist_field id_map_rows[] = {
	KIST_FIELD(struct kist_spec_id_map, U32, container_id, .json = "containerID", NUMBER),
	KIST_FIELD(struct kist_spec_id_map, U32, host_id, .json = "hostID", NUMBER),
	KIST_FIELD(struct kist_spec_id_map, U32, size, NUMBER),
};
static const struct kist_table id_map_table = KIST_TABLE("id map", struct kist_spec_id_map, id_map_rows);

static const struct kist_field mount_rows[] = {
	KIST_FIELD(struct kist_spec_mount, STRING, destination, REQUIRED),
	KIST_FIELD(struct kist_spec_mount, STRING, type),
	KIST_FIELD(struct kist_spec_mount, STRING, source),
	KIST_FIELD(struct kist_spec_mount, STRV, options),
	KIST_FIELD_LIST(struct kist_spec_mount, LIST, uid_mappings, n_uid_mappings, .json = "uidMappings",
	                .table = &id_map_table),
	KIST_FIELD_LIST(struct kist_spec_mount, LIST, gid_mappings, n_gid_mappings, .json = "gidMappings",
	                .table = &id_map_table),
};
const struct kist_table kist_spec_mount_table = KIST_TABLE("mount", struct kist_spec_mount, mount_rows);

static const struct kist_field hook_rows[] = {
	KIST_FIELD(struct kist_spec_hook, STRING, path, REQUIRED),
	KIST_FIELD(struct kist_spec_hook, STRV, args),
	KIST_FIELD(struct kist_spec_hook, STRV, env),
	KIST_FIELD(struct kist_spec_hook, OPT_I64, timeout),
};
static const struct kist_table hook_table = KIST_TABLE("hook", struct kist_spec_hook, hook_rows);

#define HOOKS(member, json_)                                                                                           \
	KIST_FIELD_LIST(struct kist_spec_hooks, LIST, member, n_##member, .json = json_, .table = &hook_table)
static const struct kist_field hooks_rows[] = {
	HOOKS(prestart, "prestart"),
	HOOKS(create_runtime, "createRuntime"),
	HOOKS(create_container, "createContainer"),
	HOOKS(start_container, "startContainer"),
	HOOKS(poststart, "poststart"),
	HOOKS(poststop, "poststop"),
};
static const struct kist_table hooks_table = KIST_TABLE("hooks", struct kist_spec_hooks, hooks_rows);

static const struct kist_field namespace_rows[] = {
	KIST_FIELD(struct kist_spec_namespace, STRING, type, REQUIRED),
	KIST_FIELD(struct kist_spec_namespace, STRING, path),
};
static const struct kist_table namespace_table = KIST_TABLE("namespace", struct kist_spec_namespace, namespace_rows);

static const struct kist_field device_rows[] = {
	KIST_FIELD(struct kist_spec_device, STRING, path, REQUIRED),
	KIST_FIELD(struct kist_spec_device, STRING, type, REQUIRED),
	KIST_FIELD(struct kist_spec_device, I64, major, .flags = KIST_FIELD_ALWAYS),
	KIST_FIELD(struct kist_spec_device, I64, minor, .flags = KIST_FIELD_ALWAYS),
	KIST_FIELD(struct kist_spec_device, OPT_U32, file_mode, .json = "fileMode"),
	KIST_FIELD(struct kist_spec_device, OPT_U32, uid),
	KIST_FIELD(struct kist_spec_device, OPT_U32, gid),
};
static const struct kist_table device_table = KIST_TABLE("device", struct kist_spec_device, device_rows);

static const struct kist_field device_rule_rows[] = {
	KIST_FIELD(struct kist_spec_device_rule, BOOL, allow, NUMBER),
	KIST_FIELD(struct kist_spec_device_rule, STRING, type),
	KIST_FIELD(struct kist_spec_device_rule, OPT_I64, major),
	KIST_FIELD(struct kist_spec_device_rule, OPT_I64, minor),
	KIST_FIELD(struct kist_spec_device_rule, STRING, access),
};
static const struct kist_table device_rule_table =
        KIST_TABLE("device rule", struct kist_spec_device_rule, device_rule_rows);

static const struct kist_field memory_rows[] = {
	KIST_FIELD(struct kist_spec_memory, OPT_I64, limit),
	KIST_FIELD(struct kist_spec_memory, OPT_I64, reservation),
	KIST_FIELD(struct kist_spec_memory, OPT_I64, swap),
	KIST_FIELD(struct kist_spec_memory, OPT_I64, kernel),
	KIST_FIELD(struct kist_spec_memory, OPT_I64, kernel_tcp, .json = "kernelTCP"),
	KIST_FIELD(struct kist_spec_memory, OPT_U64, swappiness),
	KIST_FIELD(struct kist_spec_memory, OPT_BOOL, disable_oom_killer, .json = "disableOOMKiller"),
	KIST_FIELD(struct kist_spec_memory, OPT_BOOL, use_hierarchy, .json = "useHierarchy"),
	KIST_FIELD(struct kist_spec_memory, OPT_BOOL, check_before_update, .json = "checkBeforeUpdate"),
};
static const struct kist_table memory_table = KIST_TABLE("memory limits", struct kist_spec_memory, memory_rows);

static const struct kist_field cpu_rows[] = {
	KIST_FIELD(struct kist_spec_cpu, OPT_U64, shares),
	KIST_FIELD(struct kist_spec_cpu, OPT_I64, quota),
	KIST_FIELD(struct kist_spec_cpu, OPT_U64, burst),
	KIST_FIELD(struct kist_spec_cpu, OPT_U64, period),
	KIST_FIELD(struct kist_spec_cpu, OPT_I64, realtime_runtime, .json = "realtimeRuntime"),
	KIST_FIELD(struct kist_spec_cpu, OPT_U64, realtime_period, .json = "realtimePeriod"),
	KIST_FIELD(struct kist_spec_cpu, STRING, cpus),
	KIST_FIELD(struct kist_spec_cpu, STRING, mems),
	KIST_FIELD(struct kist_spec_cpu, OPT_I64, idle),
};
static const struct kist_table cpu_table = KIST_TABLE("CPU limits", struct kist_spec_cpu, cpu_rows);

static const struct kist_field weight_device_rows[] = {
	KIST_FIELD(struct kist_spec_weight_device, I64, major, NUMBER),
	KIST_FIELD(struct kist_spec_weight_device, I64, minor, NUMBER),
	KIST_FIELD(struct kist_spec_weight_device, OPT_U32, weight),
	KIST_FIELD(struct kist_spec_weight_device, OPT_U32, leaf_weight, .json = "leafWeight"),
};
static const struct kist_table weight_device_table =
        KIST_TABLE("device weight", struct kist_spec_weight_device, weight_device_rows);

static const struct kist_field throttle_device_rows[] = {
	KIST_FIELD(struct kist_spec_throttle_device, I64, major, NUMBER),
	KIST_FIELD(struct kist_spec_throttle_device, I64, minor, NUMBER),
	KIST_FIELD(struct kist_spec_throttle_device, U64, rate, NUMBER),
};
static const struct kist_table throttle_device_table =
        KIST_TABLE("device throttle", struct kist_spec_throttle_device, throttle_device_rows);

#define THROTTLE(member, json_)                                                                                        \
	KIST_FIELD_LIST(struct kist_spec_blkio, LIST, member, n_##member, .json = json_,                               \
	                .table = &throttle_device_table)
static const struct kist_field blkio_rows[] = {
	KIST_FIELD(struct kist_spec_blkio, OPT_U32, weight),
	KIST_FIELD(struct kist_spec_blkio, OPT_U32, leaf_weight, .json = "leafWeight"),
	KIST_FIELD_LIST(struct kist_spec_blkio, LIST, weight_device, n_weight_device, .json = "weightDevice",
	                .table = &weight_device_table),
	THROTTLE(throttle_read_bps_device, "throttleReadBpsDevice"),
	THROTTLE(throttle_write_bps_device, "throttleWriteBpsDevice"),
	THROTTLE(throttle_read_iops_device, "throttleReadIOPSDevice"),
	THROTTLE(throttle_write_iops_device, "throttleWriteIOPSDevice"),
};
static const struct kist_table blkio_table = KIST_TABLE("block I/O limits", struct kist_spec_blkio, blkio_rows);

static const struct kist_field hugepage_rows[] = {
	KIST_FIELD(struct kist_spec_hugepage, STRING, page_size, .json = "pageSize", REQUIRED),
	KIST_FIELD(struct kist_spec_hugepage, U64, limit, NUMBER),
};
static const struct kist_table hugepage_table = KIST_TABLE("huge page limit", struct kist_spec_hugepage, hugepage_rows);

static const struct kist_field interface_priority_rows[] = {
	KIST_FIELD(struct kist_spec_interface_priority, STRING, name, REQUIRED),
	KIST_FIELD(struct kist_spec_interface_priority, U32, priority, NUMBER),
};
static const struct kist_table interface_priority_table =
        KIST_TABLE("interface priority", struct kist_spec_interface_priority, interface_priority_rows);

static const struct kist_field network_rows[] = {
	KIST_FIELD(struct kist_spec_network_resources, OPT_U32, class_id, .json = "classID"),
	KIST_FIELD_LIST(struct kist_spec_network_resources, LIST, priorities, n_priorities,
	                .table = &interface_priority_table),
};
static const struct kist_table network_table =
        KIST_TABLE("network limits", struct kist_spec_network_resources, network_rows);

/* The first row is the key of the JSON object. */
static const struct kist_field rdma_rows[] = {
	KIST_FIELD(struct kist_spec_rdma, STRING, device),
	KIST_FIELD(struct kist_spec_rdma, OPT_U32, hca_handles, .json = "hcaHandles"),
	KIST_FIELD(struct kist_spec_rdma, OPT_U32, hca_objects, .json = "hcaObjects"),
};
static const struct kist_table rdma_table = KIST_TABLE("RDMA limits", struct kist_spec_rdma, rdma_rows);

/* An object in JSON, one member here: the table describes the struct around it, at offset 0. */
static const struct kist_field pids_rows[] = {
	KIST_FIELD(struct kist_spec_resources, OPT_I64, pids_limit, .json = "limit"),
};
static const struct kist_table pids_table = KIST_TABLE("pids limit", struct kist_spec_resources, pids_rows);

static const struct kist_field resources_rows[] = {
	KIST_FIELD_LIST(struct kist_spec_resources, LIST, devices, n_devices, .table = &device_rule_table),
	KIST_FIELD(struct kist_spec_resources, POINTER, memory, .table = &memory_table),
	KIST_FIELD(struct kist_spec_resources, POINTER, cpu, .table = &cpu_table),
	{ .key = "pids", .type = KIST_F_STRUCT, .table = &pids_table },
	KIST_FIELD(struct kist_spec_resources, POINTER, block_io, .json = "blockIO", .table = &blkio_table),
	KIST_FIELD_LIST(struct kist_spec_resources, LIST, hugepage_limits, n_hugepage_limits, .json = "hugepageLimits",
	                .table = &hugepage_table),
	KIST_FIELD(struct kist_spec_resources, POINTER, network, .table = &network_table),
	KIST_FIELD_LIST(struct kist_spec_resources, PTR_MAP, rdma, n_rdma, .table = &rdma_table),
	KIST_FIELD(struct kist_spec_resources, MAP, unified),
};
const struct kist_table kist_spec_resources_table = KIST_TABLE("resources", struct kist_spec_resources, resources_rows);

static const struct kist_field seccomp_arg_rows[] = {
	KIST_FIELD(struct kist_spec_seccomp_arg, U32, index, NUMBER),
	KIST_FIELD(struct kist_spec_seccomp_arg, U64, value, NUMBER),
	KIST_FIELD(struct kist_spec_seccomp_arg, U64, value_two, .json = "valueTwo"),
	KIST_FIELD(struct kist_spec_seccomp_arg, STRING, op, REQUIRED),
};
static const struct kist_table seccomp_arg_table =
        KIST_TABLE("seccomp argument", struct kist_spec_seccomp_arg, seccomp_arg_rows);

static const struct kist_field syscall_rows[] = {
	KIST_FIELD(struct kist_spec_syscall, STRV, names, REQUIRED),
	KIST_FIELD(struct kist_spec_syscall, STRING, action, REQUIRED),
	KIST_FIELD(struct kist_spec_syscall, OPT_U32, errno_ret, .json = "errnoRet"),
	KIST_FIELD_LIST(struct kist_spec_syscall, LIST, args, n_args, .table = &seccomp_arg_table),
};
static const struct kist_table syscall_table = KIST_TABLE("seccomp rule", struct kist_spec_syscall, syscall_rows);

static const struct kist_field seccomp_rows[] = {
	KIST_FIELD(struct kist_spec_seccomp, STRING, default_action, .json = "defaultAction", REQUIRED),
	KIST_FIELD(struct kist_spec_seccomp, OPT_U32, default_errno_ret, .json = "defaultErrnoRet"),
	KIST_FIELD(struct kist_spec_seccomp, STRV, architectures),
	KIST_FIELD(struct kist_spec_seccomp, STRV, flags),
	KIST_FIELD(struct kist_spec_seccomp, STRING, listener_path, .json = "listenerPath"),
	KIST_FIELD(struct kist_spec_seccomp, STRING, listener_metadata, .json = "listenerMetadata"),
	KIST_FIELD_LIST(struct kist_spec_seccomp, LIST, syscalls, n_syscalls, .table = &syscall_table),
};
static const struct kist_table seccomp_table = KIST_TABLE("seccomp profile", struct kist_spec_seccomp, seccomp_rows);

/* The first row is the key of the JSON object. */
static const struct kist_field time_offset_rows[] = {
	KIST_FIELD(struct kist_spec_time_offset, STRING, clock),
	KIST_FIELD(struct kist_spec_time_offset, I64, secs),
	KIST_FIELD(struct kist_spec_time_offset, U32, nanosecs),
};
static const struct kist_table time_offset_table =
        KIST_TABLE("time offset", struct kist_spec_time_offset, time_offset_rows);

static const struct kist_field personality_rows[] = {
	KIST_FIELD(struct kist_spec_personality, STRING, domain, REQUIRED),
	KIST_FIELD(struct kist_spec_personality, STRV, flags),
};
static const struct kist_table personality_table =
        KIST_TABLE("personality", struct kist_spec_personality, personality_rows);

static const struct kist_field linux_rows[] = {
	KIST_FIELD_LIST(struct kist_spec_linux, LIST, uid_mappings, n_uid_mappings, .json = "uidMappings",
	                .table = &id_map_table),
	KIST_FIELD_LIST(struct kist_spec_linux, LIST, gid_mappings, n_gid_mappings, .json = "gidMappings",
	                .table = &id_map_table),
	KIST_FIELD(struct kist_spec_linux, MAP, sysctl),
	KIST_FIELD(struct kist_spec_linux, POINTER, resources, .table = &kist_spec_resources_table),
	KIST_FIELD(struct kist_spec_linux, STRING, cgroups_path, .json = "cgroupsPath"),
	KIST_FIELD_LIST(struct kist_spec_linux, LIST, namespaces, n_namespaces, .table = &namespace_table),
	KIST_FIELD_LIST(struct kist_spec_linux, LIST, devices, n_devices, .table = &device_table),
	KIST_FIELD(struct kist_spec_linux, POINTER, seccomp, .table = &seccomp_table),
	KIST_FIELD(struct kist_spec_linux, STRING, rootfs_propagation, .json = "rootfsPropagation"),
	KIST_FIELD(struct kist_spec_linux, STRV, masked_paths, .json = "maskedPaths"),
	KIST_FIELD(struct kist_spec_linux, STRV, readonly_paths, .json = "readonlyPaths"),
	KIST_FIELD(struct kist_spec_linux, STRING, mount_label, .json = "mountLabel"),
	KIST_FIELD(struct kist_spec_linux, JSON, intel_rdt, .json = "intelRdt"),
	KIST_FIELD(struct kist_spec_linux, JSON, memory_policy, .json = "memoryPolicy"),
	KIST_FIELD(struct kist_spec_linux, JSON, net_devices, .json = "netDevices"),
	KIST_FIELD(struct kist_spec_linux, POINTER, personality, .table = &personality_table),
	KIST_FIELD_LIST(struct kist_spec_linux, PTR_MAP, time_offsets, n_time_offsets, .json = "timeOffsets",
	                .table = &time_offset_table),
};
static const struct kist_table linux_table = KIST_TABLE("linux section", struct kist_spec_linux, linux_rows);

static const struct kist_field root_rows[] = {
	KIST_FIELD(struct kist_spec, STRING, root_path, .json = "path", REQUIRED),
	KIST_FIELD(struct kist_spec, BOOL, root_readonly, .json = "readonly"),
};
static const struct kist_table root_table = KIST_TABLE("root", struct kist_spec, root_rows);

static const struct kist_field spec_rows[] = {
	KIST_FIELD(struct kist_spec, STRING, oci_version, .json = "ociVersion", .fallback = "1.2.0", REQUIRED),
	KIST_FIELD(struct kist_spec, POINTER, process, .table = &kist_spec_process_table),
	{ .key = "root", .type = KIST_F_STRUCT, .table = &root_table },
	KIST_FIELD(struct kist_spec, STRING, hostname),
	KIST_FIELD(struct kist_spec, STRING, domainname),
	KIST_FIELD_LIST(struct kist_spec, LIST, mounts, n_mounts, .table = &kist_spec_mount_table),
	KIST_FIELD(struct kist_spec, POINTER, hooks, .table = &hooks_table),
	KIST_FIELD(struct kist_spec, MAP, annotations),
	{ .key = "linux", .type = KIST_F_STRUCT, .offset = offsetof(struct kist_spec, linux_), .table = &linux_table },
	KIST_FIELD(struct kist_spec, JSON, solaris),
	KIST_FIELD(struct kist_spec, JSON, windows),
	KIST_FIELD(struct kist_spec, JSON, vm),
	KIST_FIELD(struct kist_spec, JSON, zos),
};
const struct kist_table kist_spec_table = KIST_TABLE("container plan", struct kist_spec, spec_rows);
