/* The plan: spec_full.json sets every field of the specification that can be executed; each rule of the checker has a
 * case that breaks it in one place. */
#include "test/unit/child.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/spec.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#define FULL "test/unit/spec_full.json"

static void read_full(struct kist_str *out)
{
	if (kist_read_file(AT_FDCWD, FULL, 1 << 20, out) < 0)
		fail_msg("run from the top of the tree: cannot read %s", FULL);
}

static struct kist_spec *parse(const char *text, size_t len)
{
	struct kist_spec *spec = NULL;
	struct kist_error err = { 0 };

	if (kist_spec_parse(text, len, &spec, &err))
		fail_msg("%s", err.text);
	return spec;
}

static void full_plan_survives_and_passes(void **state)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *original = NULL, *written = NULL;
	KIST_SPEC struct kist_spec *spec = NULL, *again = NULL;
	KIST_FREE char *out = NULL;
	struct kist_error err = { 0 };

	(void)state;
	read_full(&text);
	spec = parse(text.data, text.len);
	out = kist_spec_text(spec);
	again = parse(out, strlen(out));
	assert_true(kist_table_equal(&kist_spec_table, spec, again));
	/* Key for key what was read: nothing is dropped, nothing is made up. */
	assert_int_equal(kist_json_parse(text.data, text.len, &original, NULL), 0);
	assert_int_equal(kist_json_parse(out, strlen(out), &written, NULL), 0);
	if (!json_object_equal(original, written))
		fail_msg("%s", out);
	if (kist_spec_check(spec, &err))
		fail_msg("%s", err.text);
}

static void full_plan_lands_in_the_struct(void **state)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_SPEC struct kist_spec *spec = NULL;
	struct kist_spec_resources *r;

	(void)state;
	read_full(&text);
	spec = parse(text.data, text.len);
	r = spec->linux_.resources;
	assert_string_equal(spec->root_path, "rootfs");
	assert_true(spec->root_readonly);
	assert_int_equal(spec->process->user.additional_gids[1], 6);
	assert_true(spec->process->rlimits[1].hard == UINT64_MAX);
	assert_int_equal(r->pids_limit.value, 32771);
	assert_int_equal(r->n_rdma, 2);
	assert_string_equal(r->rdma[0].device, "mlx5_1");
	assert_int_equal(r->rdma[0].hca_handles.value, 3);
	assert_false(r->rdma[1].hca_handles.set);
	assert_int_equal(r->block_io->throttle_write_iops_device[0].rate, 300);
	assert_true(r->memory->disable_oom_killer.set);
	assert_int_equal(r->memory->disable_oom_killer.value, 0);
	assert_string_equal(spec->linux_.time_offsets[1].clock, "boottime");
	assert_int_equal(spec->linux_.time_offsets[1].secs, -604800);
	assert_string_equal(spec->linux_.sysctl[0], "net.ipv4.ip_forward=1");
	assert_int_equal(spec->hooks->n_create_runtime, 2);
	assert_string_equal(kist_spec_annotation(spec, "com.example.gpu-cores"), "2");
	assert_null(kist_spec_annotation(spec, "com.example"));
	assert_string_equal(kist_spec_namespace(spec, "network")->path, "/var/run/netns/neta");
	assert_null(kist_spec_namespace(spec, "none"));
}

static void plan_survives_key_value_form(void **state)
{
	KIST_STR struct kist_str text = { 0 }, kv = { 0 };
	KIST_SPEC struct kist_spec *spec = NULL, *again = kist_spec_new();
	struct kist_error err = { 0 };

	(void)state;
	read_full(&text);
	spec = parse(text.data, text.len);
	kist_kv_write(&kist_spec_table, spec, NULL, &kv);
	if (kist_kv_read(&kist_spec_table, kv.data, again, NULL, &err))
		fail_msg("%s", err.text);
	assert_true(kist_table_equal(&kist_spec_table, spec, again));
}

/* Puts value (JSON; NULL removes) at a path like "linux.namespaces[1].type"; '/' escapes a dot in a key. */
static void edit(struct json_object *json, const char *path, const char *value)
{
	char key[64];
	size_t n = 0;
	const char *end = path;
	struct json_object *child = NULL;
	bool array = path[0] == '[';

	end += array;
	while (*end && *end != '[' && *end != '.' && *end != ']') {
		key[n++] = *end == '/' ? '.' : *end;
		end++;
	}
	key[n] = '\0';
	end += array;
	if (*end) {
		if (array)
			child = json_object_array_get_idx(json, (size_t)strtol(key, NULL, 10));
		else
			json_object_object_get_ex(json, key, &child);
		if (!child)
			fail_msg("no %s in the full plan", path);
		edit(child, *end == '.' ? end + 1 : end, value);
		return;
	}
	if (value && kist_json_parse(value, strlen(value), &child, NULL))
		fail_msg("bad test: %s", value);
	if (array)
		json_object_array_put_idx(json, (size_t)strtol(key, NULL, 10), child);
	else if (value)
		json_object_object_add(json, key, child);
	else
		json_object_object_del(json, key);
}

struct broken {
	const char *at, *value; /* the edit */
	const char *message;    /* how the error starts */
};

static void each_is_refused(const struct broken *cases, size_t n)
{
	KIST_STR struct kist_str text = { 0 };

	read_full(&text);
	for (size_t i = 0; i < n; i++) {
		KIST_JSON struct json_object *json = NULL;
		KIST_SPEC struct kist_spec *spec = kist_spec_new();
		struct kist_error err = { 0 };
		int r;

		assert_int_equal(kist_json_parse(text.data, text.len, &json, NULL), 0);
		edit(json, cases[i].at, cases[i].value);
		r = kist_json_read(&kist_spec_table, json, spec, "", &err);
		if (r == 0)
			r = kist_spec_check(spec, &err);
		if (r >= 0)
			fail_msg("accepted: %s = %s", cases[i].at, cases[i].value ? cases[i].value : "(removed)");
		if (strncmp(err.text, cases[i].message, strlen(cases[i].message)) != 0)
			fail_msg("%s = %s gives '%s', not '%s'", cases[i].at, cases[i].value, err.text,
			         cases[i].message);
	}
}

#define REFUSED(...)                                                                                                   \
	do {                                                                                                           \
		static const struct broken cases[] = __VA_ARGS__;                                                      \
		each_is_refused(cases, KIST_COUNT(cases));                                                             \
	} while (0)

static void types_and_required_keys_are_checked(void **state)
{
	(void)state;
	REFUSED({
	        { "ociVersion", NULL, "ociVersion: is required" },
	        { "process.args[2]", "3", "process.args[2]: expected a string, not a number" },
	        { "process.cwd", NULL, "process.cwd: is required" },
	        { "process.user.uid", "4294967296", "process.user.uid: 4294967296 is out of range" },
	        { "process.rlimits[0].hard", "-1", "process.rlimits[0].hard: -1 is out of range" },
	        { "root.path", NULL, "root.path: is required" },
	        { "mounts[0].destination", NULL, "mounts[0].destination: is required" },
	        { "hooks.createRuntime[1].path", NULL, "hooks.createRuntime[1].path: is required" },
	        { "linux.namespaces[1].type", NULL, "linux.namespaces[1].type: is required" },
	        { "linux.uidMappings[0].size", NULL, "linux.uidMappings[0].size: is required" },
	        { "linux.resources.devices[0].allow", NULL, "linux.resources.devices[0].allow: is required" },
	        { "linux.resources.pids.limit", "\"many\"",
	          "linux.resources.pids.limit: expected a whole number, not a string" },
	        { "linux.resources.rdma.mlx4_0.hcaObjects", "{}",
	          "linux.resources.rdma[\"mlx4_0\"].hcaObjects: expected a whole number, not an object" },
	        { "linux.timeOffsets.monotonic.secs", "\"1\"",
	          "linux.timeOffsets[\"monotonic\"].secs: expected a whole number" },
	        { "linux.sysctl.kernel/shmmax", "1024",
	          "linux.sysctl[\"kernel.shmmax\"]: expected a string, not a number" },
	});
}

static void what_nothing_executes_is_refused_by_name(void **state)
{
	(void)state;
	REFUSED({
	        { "linux.intelRdt", "{}", "linux.intelRdt: is not supported" },
	        { "linux.memoryPolicy", "{\"mode\":\"MPOL_BIND\"}", "linux.memoryPolicy: is not supported" },
	        { "linux.netDevices", "{\"eth0\":{}}", "linux.netDevices: is not supported" },
	        { "solaris", "{}", "solaris: is not supported" },
	        { "windows", "{}", "windows: is not supported" },
	        { "vm", "{}", "vm: is not supported" },
	        { "zos", "{}", "zos: is not supported" },
	        { "process", NULL, "process: is required" },
	        { "process.user.username", "\"joe\"", "process.user.username: is for Windows" },
	        { "linux.resources.network.classID", "1", "linux.resources.network.classID: cgroup v2" },
	        { "linux.resources.network.priorities", "[{\"name\":\"eth0\",\"priority\":1}]",
	          "linux.resources.network.priorities: cgroup v2" },
	        { "linux.resources.memory.kernel", "1", "linux.resources.memory.kernel: cgroup v2" },
	        { "linux.resources.memory.kernelTCP", "1", "linux.resources.memory.kernelTCP: cgroup v2" },
	        { "linux.resources.memory.swappiness", "0", "linux.resources.memory.swappiness: cgroup v2" },
	        { "linux.resources.memory.disableOOMKiller", "true",
	          "linux.resources.memory.disableOOMKiller: cgroup v2" },
	        { "linux.resources.memory.useHierarchy", "false", "linux.resources.memory.useHierarchy: cgroup v2" },
	        { "linux.resources.cpu.realtimeRuntime", "1", "linux.resources.cpu.realtimeRuntime: cgroup v2" },
	        { "linux.resources.cpu.realtimePeriod", "1", "linux.resources.cpu.realtimePeriod: cgroup v2" },
	        { "linux.resources.blockIO.leafWeight", "1", "linux.resources.blockIO.leafWeight: cgroup v2" },
	        { "linux.resources.blockIO.weightDevice[0].leafWeight", "1",
	          "linux.resources.blockIO.weightDevice[0].leafWeight: cgroup v2" },
	});
}

static void process_rules(void **state)
{
	(void)state;
	REFUSED({
	        { "process.cwd", "\"srv\"", "process.cwd: is not an absolute path" },
	        { "process.args", "[]", "process.args: is empty" },
	        { "process.args", NULL, "process.args: is empty" },
	        { "process.args[0]", "\"\"", "process.args[0]: is empty" },
	        { "process.env[1]", "\"TERM\"", "process.env[1]: is not NAME=value" },
	        { "process.env[2]", "\"=x\"", "process.env[2]: has no name" },
	        { "process.consoleSize.height", "65536", "process.consoleSize.height: is above 65535" },
	        { "process.consoleSize.width", "65536", "process.consoleSize.width: is above 65535" },
	        { "process.user.uid", "4294967295", "process.user.uid: 4294967295 is not an id" },
	        { "process.user.gid", "4294967295", "process.user.gid: 4294967295 is not an id" },
	        { "process.user.additionalGids[1]", "4294967295",
	          "process.user.additionalGids[1]: 4294967295 is not an id" },
	        { "process.user.umask", "512", "process.user.umask: 512 is not in 0 to 511" },
	        { "process.rlimits[0].type", "\"RLIMIT_FILES\"",
	          "process.rlimits[0].type: 'RLIMIT_FILES' is not a resource limit" },
	        { "process.rlimits[1].type", "\"RLIMIT_NOFILE\"",
	          "process.rlimits[1].type: 'RLIMIT_NOFILE' is there twice" },
	        { "process.rlimits[0].soft", "1025", "process.rlimits[0].soft: is above the hard limit" },
	        { "process.apparmorProfile", "\"a\\nb\"", "process.apparmorProfile: holds a control character" },
	        { "process.selinuxLabel", "\"a\\nb\"", "process.selinuxLabel: holds a control character" },
	        { "process.oomScoreAdj", "1001", "process.oomScoreAdj: 1001 is not in -1000 to 1000" },
	        { "process.scheduler.policy", "\"SCHED_ISO\"",
	          "process.scheduler.policy: 'SCHED_ISO' is not a policy" },
	        { "process.scheduler.flags[1]", "\"SCHED_FLAG\"",
	          "process.scheduler.flags[1]: 'SCHED_FLAG' is not a flag" },
	        { "process.scheduler.nice", "20", "process.scheduler.nice: 20 is not in -20 to 19" },
	        { "process.scheduler.nice", "1", "process.scheduler.nice: SCHED_DEADLINE has none" },
	        { "process.scheduler.priority", "1", "process.scheduler.priority: SCHED_DEADLINE has none" },
	        { "process.scheduler", "{\"policy\":\"SCHED_RR\"}", "process.scheduler.priority: 0 is not in 1 to 99" },
	        { "process.scheduler.policy", "\"SCHED_OTHER\"", "process.scheduler.runtime: is for SCHED_DEADLINE" },
	        { "process.scheduler.runtime", "20000001", "process.scheduler.runtime: must be above 0" },
	        { "process.scheduler.period", "1", "process.scheduler.deadline: is above the period" },
	        { "process.ioPriority.class", "\"IOPRIO_CLASS_NONE\"",
	          "process.ioPriority.class: 'IOPRIO_CLASS_NONE' is not a class" },
	        { "process.ioPriority.priority", "8", "process.ioPriority.priority: 8 is not in 0 to 7" },
	        { "process.execCPUAffinity.initial", "\"1-\"", "process.execCPUAffinity.initial: is not a list" },
	        { "process.execCPUAffinity.final", "\"a\"", "process.execCPUAffinity.final: is not a list" },
	});
}

static void surroundings_rules(void **state)
{
	(void)state;
	REFUSED({
	        { "ociVersion", "\"2.0.0\"", "ociVersion: '2.0.0' is not version 1" },
	        { "ociVersion", "\"1.x\"", "ociVersion: '1.x' is not a version like 1.2.0" },
	        { "root.path", "\"\"", "root.path: is empty" },
	        { "hostname", "\"\"", "hostname: is empty" },
	        { "hostname", "\"a\\nb\"", "hostname: holds a control character" },
	        { "domainname", "\"01234567890123456789012345678901234567890123456789012345678901234\"",
	          "domainname: longer than 64" },
	        { "linux.namespaces[4]", "{\"type\":\"uts\",\"path\":\"ns\"}",
	          "linux.namespaces[4].path: is not an absolute path" },
	        { "mounts[1].destination", "\"\"", "mounts[1].destination: is empty" },
	        { "mounts[1].destination", "\"a\\nb\"", "mounts[1].destination: holds a control character" },
	        { "mounts[1].type", NULL, "mounts[1].type: is required unless it is a bind mount" },
	        { "mounts[2].source", NULL, "mounts[2].source: is required" },
	        { "mounts[1].options[2]", "\"\"", "mounts[1].options[2]: is empty" },
	        { "mounts[2].options[1]", "\"rprivate\"", "mounts[2].options[2]: 'rslave' contradicts" },
	        { "mounts[2].gidMappings", NULL, "mounts[2].gidMappings: is required beside the other map" },
	        { "mounts[2].options[0]", "\"ro\"", "mounts[2].uidMappings: only bind mounts can be mapped" },
	        { "mounts[2].uidMappings[0].size", "0", "mounts[2].uidMappings[0].size: is 0" },
	        { "hooks.prestart[0].path", "\"fix\"", "hooks.prestart[0].path: is not an absolute path" },
	        { "hooks.createRuntime[1].path", "\"\"", "hooks.createRuntime[1].path: is empty" },
	        { "hooks.createContainer[0].env[0]", "\"x\"", "hooks.createContainer[0].env[0]: is not NAME=value" },
	        { "hooks.startContainer[0].path", "\"x\"", "hooks.startContainer[0].path: is not an absolute path" },
	        { "hooks.poststart[0].timeout", "0", "hooks.poststart[0].timeout: is not a number of seconds above 0" },
	        { "hooks.poststop[0].path", "\"x\"", "hooks.poststop[0].path: is not an absolute path" },
	        { "annotations", "{\"\":\"x\"}", "annotations: a name is empty" },
	        { "annotations.org/opencontainers/image/stopSignal", "\"SIGNONE\"",
	          "annotations[\"org.opencontainers.image.stopSignal\"]: 'SIGNONE' is not a signal" },
	});
}

static void linux_rules(void **state)
{
	(void)state;
	REFUSED({
	        { "linux.namespaces[1].type", "\"netork\"", "linux.namespaces[1].type: 'netork' is not a namespace" },
	        { "linux.namespaces[3].type", "\"mount\"", "linux.namespaces[3].type: 'mount' is there twice" },
	        { "linux.namespaces", "[]", "linux.namespaces: a namespace of type mount is required" },
	        { "linux.namespaces", "[{\"type\":\"mount\"}]", "hostname: needs a namespace of type uts" },
	        { "linux.namespaces", "[{\"type\":\"mount\"},{\"type\":\"uts\"}]",
	          "linux.uidMappings: needs a namespace of type user" },
	        { "linux.namespaces[5].path", "\"/proc/1/ns/user\"",
	          "linux.uidMappings: the user namespace that is joined" },
	        { "linux.uidMappings", NULL, "linux.uidMappings: a new user namespace needs a map" },
	        { "linux.gidMappings", NULL, "linux.gidMappings: a new user namespace needs a map" },
	        { "linux.gidMappings[1].containerID", "31999", "linux.gidMappings[1].containerID: overlaps entry 0" },
	        { "linux.gidMappings[1].hostID", "32999", "linux.gidMappings[1].hostID: overlaps entry 0" },
	        { "linux.uidMappings[0].size", "4294967295",
	          "linux.uidMappings[0].size: the range ends past 4294967294" },
	        { "linux.namespaces[7].path", "\"/proc/1/ns/time\"",
	          "linux.timeOffsets: needs a new namespace of type time" },
	        { "linux.timeOffsets.realtime", "{}", "linux.timeOffsets[\"realtime\"]: the clocks are" },
	        { "linux.timeOffsets.boottime.nanosecs", "1000000000",
	          "linux.timeOffsets[\"boottime\"].nanosecs: is a second or more" },
	        { "linux.devices[0].path", "\"dev/fuse\"", "linux.devices[0].path: is not an absolute path" },
	        { "linux.devices[1].type", "\"x\"", "linux.devices[1].type: is not c, b, u or p" },
	        { "linux.devices[0].major", NULL, "linux.devices[0].major: is required" },
	        { "linux.devices[0].major", "4096", "linux.devices[0].major: 4096 is not in 0 to 4095" },
	        { "linux.devices[0].minor", "-1", "linux.devices[0].minor: -1 is not in 0 to 1048575" },
	        { "linux.devices[2].major", "1", "linux.devices[2].major: a FIFO has no device number" },
	        { "linux.devices[0].fileMode", "25008",
	          "linux.devices[0].fileMode: 25008 is not a mode of such a file" },
	        { "linux.devices[0].uid", "4294967295", "linux.devices[0].uid: 4294967295 is not an id" },
	        { "linux.cgroupsPath", "\"/a/../../b\"", "linux.cgroupsPath: '..' would lead out of it" },
	        { "linux.cgroupsPath", "\"a\\nb\"", "linux.cgroupsPath: holds a control character" },
	        { "linux.rootfsPropagation", "\"public\"", "linux.rootfsPropagation: 'public' is not" },
	        { "linux.maskedPaths[1]", "\"proc/kcore\"", "linux.maskedPaths[1]: is not an absolute path" },
	        { "linux.readonlyPaths[0]", "\"\"", "linux.readonlyPaths[0]: is empty" },
	        { "linux.mountLabel", "\"a\\nb\"", "linux.mountLabel: holds a control character" },
	        { "linux.personality.domain", "\"BSD\"", "linux.personality.domain: is not LINUX or LINUX32" },
	        { "linux.personality.flags", "[\"x\"]", "linux.personality.flags[0]: the specification has no flags" },
	});
}

static void sysctl_rules(void **state)
{
	(void)state;
	REFUSED({
	        { "linux.sysctl", "{\"kernel.core_pattern\":\"x\"}",
	          "linux.sysctl[\"kernel.core_pattern\"]: belongs to no namespace" },
	        { "linux.sysctl", "{\"kernel.shmmaxx\":\"1\"}",
	          "linux.sysctl[\"kernel.shmmaxx\"]: belongs to no namespace" },
	        { "linux.sysctl", "{\"net.ipv4/../../kernel\":\"1\"}",
	          "linux.sysctl[\"net.ipv4/../../kernel\"]: is not a name" },
	        { "linux.sysctl", "{\"net..x\":\"1\"}", "linux.sysctl[\"net..x\"]: is not a name" },
	        { "linux.sysctl", "{\"net.\":\"1\"}", "linux.sysctl[\"net.\"]: is not a name" },
	        { "linux.sysctl", "{\"\":\"1\"}", "linux.sysctl[\"\"]: is not a name" },
	        { "linux.sysctl", "{\"kernel.shm_rmid_forced\":\"1+kernel.core_pattern\\n\"}",
	          "linux.sysctl[\"kernel.shm_rmid_forced\"]: the value" },
	        { "linux.sysctl", "{\"kernel.sem\":\"\"}", "linux.sysctl[\"kernel.sem\"]: the value" },
	        { "linux.sysctl", "{\"kernel.hostname\":\"x\"}",
	          "linux.sysctl[\"kernel.hostname\"]: is set by hostname" },
	        { "linux.sysctl", "{\"kernel.domainname\":\"x\"}",
	          "linux.sysctl[\"kernel.domainname\"]: is set by domainname" },
	        { "linux.namespaces[1].type", "null", "linux.namespaces[1].type: is required" },
	        { "linux.namespaces[3]", "{\"type\":\"ipc\",\"path\":\"\"}", "linux.namespaces[3].path: is empty" },
	});
}

static void sysctls_need_their_namespace(void **state)
{
	static const struct {
		const char *sysctl, *namespace;
	} cases[] = {
		{ "net.ipv4.ip_forward", "network" }, { "kernel.shmmax", "ipc" },     { "kernel.sem", "ipc" },
		{ "fs.mqueue.msg_max", "ipc" },       { "kernel.domainname", "uts" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		KIST_SPEC struct kist_spec *spec = kist_spec_new();
		struct kist_error err = { 0 };

		spec->root_path = kist_strdup("/");
		spec->process = kist_alloc(sizeof(*spec->process));
		spec->process->cwd = kist_strdup("/");
		kist_strv_add(&spec->process->args, "sh");
		kist_spec_add_namespace(spec, "mount", NULL);
		kist_env_set(&spec->linux_.sysctl, cases[i].sysctl, "1 2");
		assert_true(kist_spec_check(spec, &err) < 0);
		assert_non_null(strstr(err.text, cases[i].sysctl));
		assert_non_null(strstr(err.text, "needs a namespace of type"));
		kist_error_clear(&err);
		kist_spec_add_namespace(spec, cases[i].namespace, NULL);
		if (kist_spec_check(spec, &err))
			fail_msg("%s", err.text);
	}
}

static void resource_rules(void **state)
{
	(void)state;
	REFUSED({
	        { "linux.resources.memory.limit", "-2", "linux.resources.memory.limit: is below -1" },
	        { "linux.resources.memory.reservation", "-2", "linux.resources.memory.reservation: is below -1" },
	        { "linux.resources.memory.limit", NULL,
	          "linux.resources.memory.swap: counts memory and swap, so memory.limit is needed" },
	        { "linux.resources.memory.swap", "1",
	          "linux.resources.memory.swap: counts memory and swap, so it cannot be below" },
	        { "linux.resources.cpu.shares", "1", "linux.resources.cpu.shares: is not in 2 to 262144" },
	        { "linux.resources.cpu.shares", "18446744073709551615",
	          "linux.resources.cpu.shares: is not in 2 to 262144" },
	        { "linux.resources.cpu.period", "999", "linux.resources.cpu.period: is not in 1000 to 1000000" },
	        { "linux.resources.cpu.quota", "999", "linux.resources.cpu.quota: is below 1000" },
	        { "linux.resources.cpu.quota", "-2", "linux.resources.cpu.quota: is below 1000" },
	        { "linux.resources.cpu.burst", "1000001", "linux.resources.cpu.burst: is above the quota" },
	        { "linux.resources.cpu.cpus", "\"2-3,\"", "linux.resources.cpu.cpus: is not a list" },
	        { "linux.resources.cpu.mems", "\"0,,1\"", "linux.resources.cpu.mems: is not a list" },
	        { "linux.resources.cpu.idle", "2", "linux.resources.cpu.idle: is not 0 or 1" },
	        { "linux.resources.pids.limit", "-2", "linux.resources.pids.limit: is below -1" },
	        { "linux.resources.blockIO.weight", "1001", "linux.resources.blockIO.weight: is not in 10 to 1000" },
	        { "linux.resources.blockIO.weightDevice[1].weight", "9",
	          "linux.resources.blockIO.weightDevice[1].weight: is not in" },
	        { "linux.resources.blockIO.weightDevice[1].weight", NULL,
	          "linux.resources.blockIO.weightDevice[1]: needs weight or leafWeight" },
	        { "linux.resources.blockIO.weightDevice[1].major", "-1",
	          "linux.resources.blockIO.weightDevice[1].major: not the number" },
	        { "linux.resources.blockIO.throttleReadBpsDevice[0].minor", "1048576",
	          "linux.resources.blockIO.throttleReadBpsDevice[0].major: not the number" },
	        { "linux.resources.blockIO.throttleWriteBpsDevice[0].major", "-1",
	          "linux.resources.blockIO.throttleWriteBpsDevice[0].major: not the number" },
	        { "linux.resources.blockIO.throttleReadIOPSDevice[0].major", "-1",
	          "linux.resources.blockIO.throttleReadIOPSDevice[0].major: not the number" },
	        { "linux.resources.blockIO.throttleWriteIOPSDevice[0].major", "-1",
	          "linux.resources.blockIO.throttleWriteIOPSDevice[0].major: not the number" },
	        { "linux.resources.devices[1].type", "\"p\"", "linux.resources.devices[1].type: is not a, c or b" },
	        { "linux.resources.devices[1].major", "4096", "linux.resources.devices[1].major: is not in 0 to 4095" },
	        { "linux.resources.devices[1].minor", "-2",
	          "linux.resources.devices[1].minor: is not in 0 to 1048575" },
	        { "linux.resources.devices[2].access", "\"rx\"",
	          "linux.resources.devices[2].access: is not of r, w and m" },
	        { "linux.resources.hugepageLimits[0].pageSize", "\"2M/\"",
	          "linux.resources.hugepageLimits[0].pageSize: is not a size" },
	        { "linux.resources.hugepageLimits[1].pageSize", "\"064KB\"",
	          "linux.resources.hugepageLimits[1].pageSize: is not a size" },
	        { "linux.resources.rdma", "{\"a b\":{\"hcaHandles\":1}}",
	          "linux.resources.rdma[\"a b\"]: is not the name of a device" },
	        { "linux.resources.rdma", "{\"a\":{}}", "linux.resources.rdma[\"a\"]: needs hcaHandles or hcaObjects" },
	        { "linux.resources.unified", "{\"../x.max\":\"1\"}",
	          "linux.resources.unified: the specified key has not the form CONTROLLER.VALUE `../x.max`" },
	        { "linux.resources.unified", "{\"memory\":\"1\"}",
	          "linux.resources.unified: the specified key has not the form CONTROLLER.VALUE `memory`" },
	        { "linux.resources.unified", "{\"cgroup.procs\":\"1\"}",
	          "linux.resources.unified[\"cgroup.procs\"]: is not a limit" },
	});
}

static void seccomp_rules(void **state)
{
	(void)state;
	REFUSED({
	        { "linux.seccomp.defaultAction", "\"ALLOW\"", "linux.seccomp.defaultAction: 'ALLOW' is not an action" },
	        { "linux.seccomp.defaultAction", "\"SCMP_ACT_NOTIFY\"",
	          "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is for single" },
	        { "linux.seccomp.defaultAction", "\"SCMP_ACT_ALLOW\"",
	          "linux.seccomp.defaultErrnoRet: is for SCMP_ACT_ERRNO" },
	        { "linux.seccomp.defaultErrnoRet", "4096", "linux.seccomp.defaultErrnoRet: is out of range" },
	        { "linux.seccomp.architectures[1]", "\"x32\"",
	          "linux.seccomp.architectures[1]: 'x32' is not an architecture" },
	        { "linux.seccomp.flags[0]", "\"LOG\"", "linux.seccomp.flags[0]: 'LOG' is not a flag" },
	        { "linux.seccomp.syscalls[0].names", "[]", "linux.seccomp.syscalls[0].names: is empty" },
	        { "linux.seccomp.syscalls[0].names[1]", "\"\"",
	          "linux.seccomp.syscalls[0].names[1]: is not a system call" },
	        { "linux.seccomp.syscalls[0].action", "\"SCMP\"",
	          "linux.seccomp.syscalls[0].action: 'SCMP' is not an action" },
	        { "linux.seccomp.syscalls[1].errnoRet", "1",
	          "linux.seccomp.syscalls[1].errnoRet: is for SCMP_ACT_ERRNO" },
	        { "linux.seccomp.syscalls[1].args[0].index", "6",
	          "linux.seccomp.syscalls[1].args[0].index: a system call has" },
	        { "linux.seccomp.syscalls[1].args[0].op", "\"==\"",
	          "linux.seccomp.syscalls[1].args[0].op: '==' is not an operator" },
	        { "linux.seccomp.listenerPath", "\"x\"", "linux.seccomp.listenerPath: is not an absolute path" },
	        { "linux.seccomp.listenerPath", NULL, "linux.seccomp.listenerPath: is required by SCMP_ACT_NOTIFY" },
	        { "linux.seccomp", "{\"defaultAction\":\"SCMP_ACT_LOG\",\"listenerMetadata\":\"x\"}",
	          "linux.seccomp.listenerMetadata: needs listenerPath" },
	});
}

static void process_files_are_checked_at_their_path(void **state)
{
	struct kist_spec_process process;
	struct kist_error err = { 0 };

	(void)state;
	kist_table_init(&kist_spec_process_table, &process);
	assert_true(kist_spec_check_process(&process, "exec", &err) < 0);
	assert_string_equal(err.text, "exec.cwd: is required");
	kist_table_release(&kist_spec_process_table, &process);
}

static void unknown_keys_and_nulls_are_skipped(void **state)
{
	static const char text[] =
	        "{\"ociVersion\":\"1.0.2-dev\",\"future\":{\"a\":1},\"hooks\":null,\"windows\":null,"
	        "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"],\"x\":1,\"env\":null},\"root\":{\"path\":\"r\"},"
	        "\"linux\":{\"y\":[],\"namespaces\":[{\"type\":\"mount\",\"z\":1}]}}";
	KIST_SPEC struct kist_spec *spec = parse(text, sizeof(text) - 1);
	struct kist_error err = { 0 };

	(void)state;
	if (kist_spec_check(spec, &err))
		fail_msg("%s", err.text);
}

static void helpers_append_copies(void **state)
{
	KIST_SPEC struct kist_spec *spec = kist_spec_new();
	KIST_FREE char *text = NULL;
	const char *const options[] = { "ro", "nosuid", NULL };
	struct kist_error err = { 0 };

	(void)state;
	spec->root_path = kist_strdup("/r");
	spec->process = kist_alloc(sizeof(*spec->process));
	spec->process->cwd = kist_strdup("/");
	kist_strv_add(&spec->process->args, "sh");
	kist_spec_add_namespace(spec, "mount", NULL);
	kist_spec_add_namespace(spec, "network", "/run/netns/x");
	kist_spec_add_mount(spec, "/sys", "sysfs", "sysfs", options);
	kist_spec_set_rlimit(spec->process, "RLIMIT_NOFILE", 1, 2);
	kist_spec_set_rlimit(spec->process, "RLIMIT_NPROC", 3, 4);
	kist_spec_set_rlimit(spec->process, "RLIMIT_NOFILE", 5, 6);
	kist_spec_add_device(spec, "/dev/fuse", 'c', 10, 229, 0666, 0, 7);
	kist_spec_add_device_rule(spec, false, 'a', -1, -1, "rwm");
	kist_spec_add_device_rule(spec, true, 'c', 10, 229, "rw");
	assert_int_equal(spec->process->n_rlimits, 2);
	assert_int_equal(spec->process->rlimits[0].soft, 5);
	if (kist_spec_check(spec, &err))
		fail_msg("%s", err.text);
	text = kist_spec_text(spec);
	assert_non_null(strstr(text, "\"ociVersion\": \"1.2.0\""));
	assert_non_null(strstr(text, "\"fileMode\": 438"));
	assert_null(strstr(text, "-1"));
}

/* What the other runtimes write as their template must be taken. */
static void template_of(const char *runtime, const char *option)
{
	char directory[] = "/tmp/kist-test-spec-XXXXXX";
	KIST_CLOSE int dir = -1;
	KIST_STR struct kist_str text = { 0 };
	KIST_SPEC struct kist_spec *spec = NULL;
	struct kist_error err = { 0 };
	int status;
	pid_t pid;

	assert_non_null(mkdtemp(directory));
	dir = open(directory, O_DIRECTORY | O_CLOEXEC);
	pid = child_fork();
	if (pid == 0) {
		if (fchdir(dir) == 0)
			execlp(runtime, runtime, "spec", option, NULL);
		_exit(errno == ENOENT ? 77 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77) {
		rmdir(directory);
		if (getenv("KIST_TEST_RUNTIMES"))
			fail_msg("%s is missing", runtime);
		print_message("%s is not installed: its template is not tried\n", runtime);
		return;
	}
	assert_int_equal(status, 0);
	assert_true(kist_read_file(dir, "config.json", 1 << 20, &text) >= 0);
	unlinkat(dir, "config.json", 0);
	rmdir(directory);
	spec = parse(text.data, text.len);
	if (kist_spec_check(spec, &err))
		fail_msg("%s spec %s: %s", runtime, option ? option : "", err.text);
}

static void templates_of_other_runtimes_pass(void **state)
{
	(void)state;
	template_of("crun", NULL);
	template_of("runc", NULL);
	/* crun's rootless template has a user namespace without maps, which crun alone fills in. */
	template_of("runc", "--rootless");
}

static void cut_plans_never_crash(void **state)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	KIST_FREE char *plain = NULL;
	size_t len;

	(void)state;
	read_full(&text);
	assert_int_equal(kist_json_parse(text.data, text.len, &json, NULL), 0);
	plain = kist_json_text(json, false);
	len = strlen(plain);
	for (size_t cut = 0; cut < len; cut += 7) {
		struct kist_spec *spec = NULL;

		assert_true(kist_spec_parse(plain, cut, &spec, NULL) < 0);
		assert_null(spec);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_plan_survives_and_passes),
		cmocka_unit_test(full_plan_lands_in_the_struct),
		cmocka_unit_test(plan_survives_key_value_form),
		cmocka_unit_test(types_and_required_keys_are_checked),
		cmocka_unit_test(what_nothing_executes_is_refused_by_name),
		cmocka_unit_test(process_rules),
		cmocka_unit_test(surroundings_rules),
		cmocka_unit_test(linux_rules),
		cmocka_unit_test(sysctl_rules),
		cmocka_unit_test(sysctls_need_their_namespace),
		cmocka_unit_test(resource_rules),
		cmocka_unit_test(seccomp_rules),
		cmocka_unit_test(process_files_are_checked_at_their_path),
		cmocka_unit_test(unknown_keys_and_nulls_are_skipped),
		cmocka_unit_test(helpers_append_copies),
		cmocka_unit_test(templates_of_other_runtimes_pass),
		cmocka_unit_test(cut_plans_never_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
