/* Whether the limits of a plan can be set: control groups (version 2), sysctls, seccomp. config-linux.md. */
#include "core/base/spec.h"

#include "core/base/spec_check.h"

#include <string.h>

#define RESOURCES "linux.resources."

static bool above_zero(struct kist_opt opt)
{
	return opt.set && opt.value > 0;
}

/* --- memory and CPU ----------------------------------------------------------------------------------------------- */

/* What version 2 has no file for is refused, unless it asks for what is so anyway. */
static int check_memory(const struct kist_spec_memory *m, struct kist_error *err)
{
	const struct {
		const char *key;
		struct kist_opt opt;
	} limits[] = { { "limit", m->limit },
		       { "reservation", m->reservation },
		       { "swap", m->swap },
		       { "kernel", m->kernel },
		       { "kernelTCP", m->kernel_tcp } };

	for (size_t i = 0; i < KIST_COUNT(limits); i++)
		if (limits[i].opt.set && limits[i].opt.value < -1)
			return KIST_BAD(err, RESOURCES "memory.%s: is below -1, which is unlimited", limits[i].key);
	if (above_zero(m->kernel))
		return KIST_NOT_DONE(err, RESOURCES
		                     "memory.kernel: cgroup v2 has no such limit, memory.limit counts the kernel's");
	if (above_zero(m->kernel_tcp))
		return KIST_NOT_DONE(err,
		                     RESOURCES "memory.kernelTCP: cgroup v2 has no such limit, memory.limit counts it");
	if (m->swappiness.set)
		return KIST_NOT_DONE(err, RESOURCES "memory.swappiness: cgroup v2 has no such setting");
	if (above_zero(m->disable_oom_killer))
		return KIST_NOT_DONE(err, RESOURCES "memory.disableOOMKiller: cgroup v2 has no such setting");
	if (m->use_hierarchy.set && !m->use_hierarchy.value)
		return KIST_NOT_DONE(err, RESOURCES "memory.useHierarchy: cgroup v2 always counts sub-groups");
	if (above_zero(m->swap) && !above_zero(m->limit))
		return KIST_BAD(err, RESOURCES "memory.swap: counts memory and swap, so memory.limit is needed too");
	if (above_zero(m->swap) && m->swap.value < m->limit.value)
		return KIST_BAD(err,
		                RESOURCES "memory.swap: counts memory and swap, so it cannot be below memory.limit");
	return 0;
}

/* OPT_U64 keeps the bits: a value past INT64_MAX is negative here. */
static bool outside(struct kist_opt opt, uint64_t min, uint64_t max)
{
	return opt.set && opt.value && ((uint64_t)opt.value < min || (uint64_t)opt.value > max);
}

static int check_cpu(const struct kist_spec_cpu *c, struct kist_error *err)
{
	const char *fault;

	/* 0 is 'not given' in the plans of every maker. */
	if (outside(c->shares, 2, 262144))
		return KIST_BAD(err, RESOURCES "cpu.shares: is not in 2 to 262144");
	if (outside(c->period, 1000, 1000000))
		return KIST_BAD(err, RESOURCES "cpu.period: is not in 1000 to 1000000 microseconds");
	if (c->quota.set && (c->quota.value < -1 || (c->quota.value > 0 && c->quota.value < 1000)))
		return KIST_BAD(err, RESOURCES "cpu.quota: is below 1000 microseconds (-1 is unlimited)");
	if (above_zero(c->quota) && outside(c->burst, 0, (uint64_t)c->quota.value))
		return KIST_BAD(err, RESOURCES "cpu.burst: is above the quota");
	if (c->burst.set && c->burst.value < 0)
		return KIST_BAD(err, RESOURCES "cpu.burst: is out of range");
	if (c->realtime_runtime.set && c->realtime_runtime.value)
		return KIST_NOT_DONE(err, RESOURCES "cpu.realtimeRuntime: cgroup v2 has no such limit");
	if (c->realtime_period.set && c->realtime_period.value)
		return KIST_NOT_DONE(err, RESOURCES "cpu.realtimePeriod: cgroup v2 has no such limit");
	if (c->idle.set && c->idle.value != 0 && c->idle.value != 1)
		return KIST_BAD(err, RESOURCES "cpu.idle: is not 0 or 1");
	if (!kist_empty(c->cpus) && (fault = kist_cpu_list_fault(c->cpus)))
		return KIST_BAD(err, RESOURCES "cpu.cpus: %s", fault);
	if (!kist_empty(c->mems) && (fault = kist_cpu_list_fault(c->mems)))
		return KIST_BAD(err, RESOURCES "cpu.mems: %s", fault);
	return 0;
}

/* --- block I/O ---------------------------------------------------------------------------------------------------- */

static bool is_device(int64_t major, int64_t minor)
{
	return major >= 0 && major <= 0xfff && minor >= 0 && minor <= 0xfffff;
}

static int check_throttle(const struct kist_spec_throttle_device *list, size_t n, const char *key,
                          struct kist_error *err)
{
	for (size_t i = 0; i < n; i++)
		if (!is_device(list[i].major, list[i].minor))
			return KIST_BAD(err, RESOURCES "blockIO.%s[%zu].major: not the number of a device", key, i);
	return 0;
}

static int check_blkio(const struct kist_spec_blkio *b, struct kist_error *err)
{
	int r;

	if (outside(b->weight, 10, 1000))
		return KIST_BAD(err, RESOURCES "blockIO.weight: is not in 10 to 1000");
	if (above_zero(b->leaf_weight))
		return KIST_NOT_DONE(err, RESOURCES "blockIO.leafWeight: cgroup v2 has no such limit");
	for (size_t i = 0; i < b->n_weight_device; i++) {
		const struct kist_spec_weight_device *device = &b->weight_device[i];

		if (!is_device(device->major, device->minor))
			return KIST_BAD(err, RESOURCES "blockIO.weightDevice[%zu].major: not the number of a device",
			                i);
		if (!device->weight.set && !device->leaf_weight.set)
			return KIST_BAD(err, RESOURCES "blockIO.weightDevice[%zu]: needs weight or leafWeight", i);
		if (outside(device->weight, 10, 1000))
			return KIST_BAD(err, RESOURCES "blockIO.weightDevice[%zu].weight: is not in 10 to 1000", i);
		if (above_zero(device->leaf_weight))
			return KIST_NOT_DONE(
			        err, RESOURCES "blockIO.weightDevice[%zu].leafWeight: cgroup v2 has no such limit", i);
	}
	r = check_throttle(b->throttle_read_bps_device, b->n_throttle_read_bps_device, "throttleReadBpsDevice", err);
	if (!r)
		r = check_throttle(b->throttle_write_bps_device, b->n_throttle_write_bps_device,
		                   "throttleWriteBpsDevice", err);
	if (!r)
		r = check_throttle(b->throttle_read_iops_device, b->n_throttle_read_iops_device,
		                   "throttleReadIOPSDevice", err);
	if (!r)
		r = check_throttle(b->throttle_write_iops_device, b->n_throttle_write_iops_device,
		                   "throttleWriteIOPSDevice", err);
	return r;
}

/* --- the other controllers ---------------------------------------------------------------------------------------- */

static int check_device_rules(const struct kist_spec_resources *r, struct kist_error *err)
{
	static const char *const types[] = { "a", "c", "b", NULL };

	for (size_t i = 0; i < r->n_devices; i++) {
		const struct kist_spec_device_rule *rule = &r->devices[i];

		if (rule->type && !kist_is_one_of(rule->type, types))
			return KIST_BAD(err, RESOURCES "devices[%zu].type: is not a, c or b", i);
		if (rule->major.set && (rule->major.value < -1 || rule->major.value > 0xfff))
			return KIST_BAD(err, RESOURCES "devices[%zu].major: is not in 0 to 4095", i);
		if (rule->minor.set && (rule->minor.value < -1 || rule->minor.value > 0xfffff))
			return KIST_BAD(err, RESOURCES "devices[%zu].minor: is not in 0 to 1048575", i);
		if (!kist_empty(rule->access) && rule->access[strspn(rule->access, "rwm")])
			return KIST_BAD(err, RESOURCES "devices[%zu].access: is not of r, w and m", i);
	}
	return 0;
}

/* "64KB", "2MB", "1GB": part of the name of the kernel's file. */
static bool is_page_size(const char *text)
{
	size_t n = text ? strspn(text, "0123456789") : 0;

	return n && n < 8 && text[0] != '0' && text[n] && strchr("KMG", text[n]) && text[n + 1] == 'B' && !text[n + 2];
}

static int check_rdma(const struct kist_spec_resources *r, struct kist_error *err)
{
	for (size_t i = 0; i < r->n_rdma; i++) {
		const struct kist_spec_rdma *rdma = &r->rdma[i];

		/* It becomes a word of a line "DEVICE hca_handle=N hca_object=N". */
		if (kist_text_fault(rdma->device) || strpbrk(rdma->device, " =/"))
			return KIST_BAD(err, RESOURCES "rdma[\"%.40s\"]: is not the name of a device",
			                rdma->device ? rdma->device : "");
		if (!rdma->hca_handles.set && !rdma->hca_objects.set)
			return KIST_BAD(err, RESOURCES "rdma[\"%.40s\"]: needs hcaHandles or hcaObjects", rdma->device);
	}
	return 0;
}

/* A file of the group's directory. The files that move, kill or freeze processes are the engine's own. */
static int check_unified(char *const *unified, struct kist_error *err)
{
	for (size_t i = 0; unified && unified[i]; i++) {
		const char *file = unified[i];
		size_t len = strcspn(file, "=");
		size_t valid = strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
		const char *dot = memchr(file, '.', len);

		if (valid != len || !file[len] || !dot || dot == file || file[len - 1] == '.')
			return KIST_BAD(err,
			                RESOURCES "unified: the specified key has not the form CONTROLLER.VALUE `%.*s`",
			                (int)(len < 60 ? len : 60), file);
		if (strncmp(file, "cgroup.", 7) == 0 && strncmp(file, "cgroup.max.", 11) != 0)
			return KIST_BAD(err, RESOURCES "unified[\"%.*s\"]: is not a limit", (int)(len < 60 ? len : 60),
			                file);
	}
	return 0;
}

int kist_check_resources(const struct kist_spec_resources *r, struct kist_error *err)
{
	int res = r->memory ? check_memory(r->memory, err) : 0;

	if (!res && r->cpu)
		res = check_cpu(r->cpu, err);
	if (!res && r->block_io)
		res = check_blkio(r->block_io, err);
	if (!res)
		res = check_device_rules(r, err);
	if (!res)
		res = check_rdma(r, err);
	if (!res)
		res = check_unified(r->unified, err);
	if (res)
		return res;
	if (r->pids_limit.set && r->pids_limit.value < -1)
		return KIST_BAD(err, RESOURCES "pids.limit: is below -1, which is unlimited");
	for (size_t i = 0; i < r->n_hugepage_limits; i++)
		if (!is_page_size(r->hugepage_limits[i].page_size))
			return KIST_BAD(err, RESOURCES "hugepageLimits[%zu].pageSize: is not a size like 2MB", i);
	if (r->network && above_zero(r->network->class_id))
		return KIST_NOT_DONE(err, RESOURCES "network.classID: cgroup v2 has no such setting");
	if (r->network && r->network->n_priorities)
		return KIST_NOT_DONE(err, RESOURCES "network.priorities: cgroup v2 has no such setting");
	return 0;
}

/* --- sysctl ------------------------------------------------------------------------------------------------------- */

/* What a namespace has of its own, ipc_namespaces(7), network_namespaces(7), uts_namespaces(7). All else is the host's.
 */
static const struct {
	const char *name; /* ends with '.': all below it */
	const char *namespace;
} sysctls[] = {
	{ "kernel.msgmax", "ipc" }, { "kernel.msgmnb", "ipc" },          { "kernel.msgmni", "ipc" },
	{ "kernel.sem", "ipc" },    { "kernel.shmall", "ipc" },          { "kernel.shmmax", "ipc" },
	{ "kernel.shmmni", "ipc" }, { "kernel.shm_rmid_forced", "ipc" }, { "fs.mqueue.", "ipc" },
	{ "net.", "network" },      { "kernel.domainname", "uts" },
};

static const char *sysctl_namespace(const char *name)
{
	for (size_t i = 0; i < KIST_COUNT(sysctls); i++) {
		size_t len = strlen(sysctls[i].name);

		if (strncmp(name, sysctls[i].name, len) == 0 && (sysctls[i].name[len - 1] == '.' || !name[len]))
			return sysctls[i].namespace;
	}
	return NULL;
}

/* The name becomes a path below /proc/sys and may lead nowhere else (CVE-2022-0811 in CRI-O): '/' is not taken, so an
 * interface whose name has a dot cannot be named. */
static bool is_sysctl_name(const char *name)
{
	size_t len = strlen(name);

	return len && len < 200 && name[0] != '.' && name[len - 1] != '.' && !strstr(name, "..") &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == len;
}

static bool is_sysctl_value(const char *value)
{
	if (!*value || strlen(value) > 1024)
		return false;
	for (; *value; value++)
		if (*value != '\t' && (*value < ' ' || *value > '~'))
			return false;
	return true;
}

static int check_one_sysctl(const struct kist_spec *spec, const char *name, const char *value, struct kist_error *err)
{
	const char *namespace = sysctl_namespace(name);

	if (!is_sysctl_name(name))
		return KIST_BAD(err, "linux.sysctl[\"%.60s\"]: is not a name like net.ipv4.ip_forward", name);
	if (strcmp(name, "kernel.hostname") == 0)
		return KIST_BAD(err, "linux.sysctl[\"%s\"]: is set by hostname", name);
	if (strcmp(name, "kernel.domainname") == 0 && spec->domainname)
		return KIST_BAD(err, "linux.sysctl[\"%s\"]: is set by domainname", name);
	if (!namespace)
		return KIST_BAD(err, "linux.sysctl[\"%.60s\"]: belongs to no namespace, it would change the host",
		                name);
	if (!kist_spec_namespace(spec, namespace))
		return KIST_BAD(err, "linux.sysctl[\"%.60s\"]: needs a namespace of type %s, it would change the host",
		                name, namespace);
	if (!is_sysctl_value(value))
		return KIST_BAD(err,
		                "linux.sysctl[\"%.60s\"]: the value is empty, longer than 1024 bytes or not plain text",
		                name);
	return 0;
}

int kist_check_sysctl(const struct kist_spec *spec, struct kist_error *err)
{
	for (size_t i = 0; spec->linux_.sysctl && spec->linux_.sysctl[i]; i++) {
		KIST_FREE char *name = kist_strdup(spec->linux_.sysctl[i]);
		char *value = strchr(name, '=');
		int r;

		if (value)
			*value++ = '\0';
		r = check_one_sysctl(spec, name, value ? value : "", err);
		if (r)
			return r;
	}
	return 0;
}

/* --- seccomp ------------------------------------------------------------------------------------------------------ */

/* MAX_ERRNO in the kernel, and what SECCOMP_RET_TRACE hands to the tracer. */
#define ERRNO_MAX 4095
#define TRACE_MAX 0xffff

static const char *const seccomp_actions[] = {
	"SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",   "SCMP_ACT_ERRNO",
	"SCMP_ACT_TRACE", "SCMP_ACT_ALLOW",        "SCMP_ACT_LOG",         "SCMP_ACT_NOTIFY", NULL
};
static const char *const seccomp_archs[] = {
	"SCMP_ARCH_X86",         "SCMP_ARCH_X86_64",      "SCMP_ARCH_X32",    "SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64",     "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",   "SCMP_ARCH_MIPS",
	"SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64",
	"SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",         "SCMP_ARCH_PPC64",  "SCMP_ARCH_PPC64LE",
	"SCMP_ARCH_S390",        "SCMP_ARCH_S390X",       "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64",
	"SCMP_ARCH_RISCV64",     "SCMP_ARCH_SH",          "SCMP_ARCH_SHEB",   NULL,
};
static const char *const seccomp_flags[] = { "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
	                                     "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
	                                     NULL };
static const char *const seccomp_ops[] = { "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",        "SCMP_CMP_EQ",
	                                   "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", NULL };

static const char *errno_ret_fault(const char *action, struct kist_opt errno_ret)
{
	bool trace = kist_streq(action, "SCMP_ACT_TRACE");

	if (!errno_ret.set)
		return NULL;
	if (!trace && !kist_streq(action, "SCMP_ACT_ERRNO"))
		return "is for SCMP_ACT_ERRNO and SCMP_ACT_TRACE";
	return errno_ret.value > (trace ? TRACE_MAX : ERRNO_MAX) ? "is out of range" : NULL;
}

static int check_seccomp_args(const struct kist_spec_syscall *rule, size_t i, struct kist_error *err)
{
	for (size_t k = 0; k < rule->n_args; k++) {
		if (rule->args[k].index > 5)
			return KIST_BAD(
			        err, "linux.seccomp.syscalls[%zu].args[%zu].index: a system call has arguments 0 to 5",
			        i, k);
		if (!kist_is_one_of(rule->args[k].op, seccomp_ops))
			return KIST_BAD(err, "linux.seccomp.syscalls[%zu].args[%zu].op: '%.40s' is not an operator", i,
			                k, rule->args[k].op ? rule->args[k].op : "");
	}
	return 0;
}

static int check_seccomp_rule(const struct kist_spec_syscall *rule, size_t i, struct kist_error *err)
{
	const char *fault = errno_ret_fault(rule->action, rule->errno_ret);

	if (!rule->names || !rule->names[0])
		return KIST_BAD(err, "linux.seccomp.syscalls[%zu].names: is empty", i);
	for (size_t k = 0; rule->names[k]; k++)
		if (kist_text_fault(rule->names[k]))
			return KIST_BAD(err, "linux.seccomp.syscalls[%zu].names[%zu]: is not a system call", i, k);
	if (!kist_is_one_of(rule->action, seccomp_actions))
		return KIST_BAD(err, "linux.seccomp.syscalls[%zu].action: '%.40s' is not an action", i,
		                rule->action ? rule->action : "");
	if (fault)
		return KIST_BAD(err, "linux.seccomp.syscalls[%zu].errnoRet: %s", i, fault);
	return check_seccomp_args(rule, i, err);
}

static int check_listener(const struct kist_spec_seccomp *s, struct kist_error *err)
{
	const char *fault = s->listener_path ? kist_path_fault(s->listener_path) : NULL;
	bool notify = false;

	for (size_t i = 0; i < s->n_syscalls; i++)
		notify = notify || kist_streq(s->syscalls[i].action, "SCMP_ACT_NOTIFY");
	if (fault)
		return KIST_BAD(err, "linux.seccomp.listenerPath: %s", fault);
	if (notify && !s->listener_path)
		return KIST_BAD(err, "linux.seccomp.listenerPath: is required by SCMP_ACT_NOTIFY");
	if (s->listener_metadata && !s->listener_path)
		return KIST_BAD(err, "linux.seccomp.listenerMetadata: needs listenerPath");
	return 0;
}

int kist_check_seccomp(const struct kist_spec_seccomp *s, struct kist_error *err)
{
	const char *fault;

	if (!kist_is_one_of(s->default_action, seccomp_actions))
		return KIST_BAD(err, "linux.seccomp.defaultAction: '%.40s' is not an action",
		                s->default_action ? s->default_action : "");
	/* The call that would hand the listener over would wait for the listener. */
	if (kist_streq(s->default_action, "SCMP_ACT_NOTIFY"))
		return KIST_BAD(err, "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is for single system calls");
	fault = errno_ret_fault(s->default_action, s->default_errno_ret);
	if (fault)
		return KIST_BAD(err, "linux.seccomp.defaultErrnoRet: %s", fault);
	for (size_t i = 0; s->architectures && s->architectures[i]; i++)
		if (!kist_is_one_of(s->architectures[i], seccomp_archs))
			return KIST_BAD(err, "linux.seccomp.architectures[%zu]: '%.40s' is not an architecture", i,
			                s->architectures[i]);
	for (size_t i = 0; s->flags && s->flags[i]; i++)
		if (!kist_is_one_of(s->flags[i], seccomp_flags))
			return KIST_BAD(err, "linux.seccomp.flags[%zu]: '%.60s' is not a flag", i, s->flags[i]);
	for (size_t i = 0; i < s->n_syscalls; i++) {
		int r = check_seccomp_rule(&s->syscalls[i], i, err);

		if (r)
			return r;
	}
	return check_listener(s, err);
}
