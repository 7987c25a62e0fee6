/* Every property of config.json that the runtime specification has for the platform linux, one row each, by hand from
 * its JSON schema (schema/config-schema.json, config-linux.json, defs-linux.json) and its Go bindings: the plan takes
 * it, which means that it comes back as it was read, or refuses it by its path. Nothing is passed over in silence. */
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/spec.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#define FULL "test/unit/spec_full.json"

struct property {
	const char *at;
	const char *value;          /* JSON; NULL: as in the full plan */
	const char *with_at, *with; /* put first, where the full plan contradicts */
};

#define R "linux.resources."
#define S "linux.seccomp."

static const struct property taken[] = {
	/* config-schema.json */
	{ .at = "ociVersion" },
	{ .at = "hostname" },
	{ .at = "domainname" },
	{ .at = "annotations" },
	{ .at = "root.path" },
	{ .at = "root.readonly" },
	{ .at = "mounts[2].destination" },
	{ .at = "mounts[2].destination", .value = "\"relative/to/the/root\"" },
	{ .at = "mounts[2].type" },
	{ .at = "mounts[2].source" },
	{ .at = "mounts[2].options" },
	{ .at = "mounts[2].uidMappings[0].containerID" },
	{ .at = "mounts[2].uidMappings[0].hostID" },
	{ .at = "mounts[2].uidMappings[0].size" },
	{ .at = "mounts[2].gidMappings[0].containerID" },
	{ .at = "mounts[2].gidMappings[0].hostID" },
	{ .at = "mounts[2].gidMappings[0].size" },
#define HOOK(stage)                                                                                                    \
	{ .at = "hooks." stage "[0].path" }, { .at = "hooks." stage "[0].args", .value = "[\"name\",\"-x\"]" },        \
	        { .at = "hooks." stage "[0].env", .value = "[\"A=b\"]" },                                              \
	{                                                                                                              \
		.at = "hooks." stage "[0].timeout", .value = "7"                                                       \
	}
	HOOK("prestart"),
	HOOK("createRuntime"),
	HOOK("createContainer"),
	HOOK("startContainer"),
	HOOK("poststart"),
	HOOK("poststop"),
	{ .at = "process.args" },
	{ .at = "process.cwd" },
	{ .at = "process.env" },
	{ .at = "process.terminal" },
	{ .at = "process.consoleSize.height" },
	{ .at = "process.consoleSize.width" },
	{ .at = "process.consoleSize.width", .value = "65536", .with_at = "process.terminal", .with = "false" },
	{ .at = "process.user.uid" },
	{ .at = "process.user.gid" },
	{ .at = "process.user.umask" },
	{ .at = "process.user.additionalGids" },
	{ .at = "process.capabilities.bounding" },
	{ .at = "process.capabilities.effective" },
	{ .at = "process.capabilities.inheritable" },
	{ .at = "process.capabilities.permitted" },
	{ .at = "process.capabilities.ambient" },
	{ .at = "process.apparmorProfile" },
	{ .at = "process.selinuxLabel" },
	{ .at = "process.noNewPrivileges" },
	{ .at = "process.oomScoreAdj" },
	{ .at = "process.rlimits[0].type" },
	{ .at = "process.rlimits[0].hard" },
	{ .at = "process.rlimits[0].soft" },
	{ .at = "process.scheduler.policy" },
	{ .at = "process.scheduler.nice",
	  .value = "5",
	  .with_at = "process.scheduler",
	  .with = "{\"policy\":\"SCHED_BATCH\"}" },
	{ .at = "process.scheduler.priority",
	  .value = "99",
	  .with_at = "process.scheduler",
	  .with = "{\"policy\":\"SCHED_FIFO\"}" },
	{ .at = "process.scheduler.flags" },
	{ .at = "process.scheduler.runtime" },
	{ .at = "process.scheduler.deadline" },
	{ .at = "process.scheduler.period" },
	{ .at = "process.ioPriority.class" },
	{ .at = "process.ioPriority.priority" },
	{ .at = "process.execCPUAffinity.initial" },
	{ .at = "process.execCPUAffinity.final" },
	/* config-linux.json */
	{ .at = "linux.devices[0].path" },
	{ .at = "linux.devices[0].type" },
	{ .at = "linux.devices[0].major" },
	{ .at = "linux.devices[0].minor" },
	{ .at = "linux.devices[0].fileMode" },
	{ .at = "linux.devices[0].uid" },
	{ .at = "linux.devices[0].gid" },
	{ .at = "linux.uidMappings[0].containerID" },
	{ .at = "linux.uidMappings[0].hostID" },
	{ .at = "linux.uidMappings[0].size" },
	{ .at = "linux.gidMappings[0].containerID" },
	{ .at = "linux.gidMappings[0].hostID" },
	{ .at = "linux.gidMappings[0].size" },
	{ .at = "linux.namespaces[1].type" },
	{ .at = "linux.namespaces[1].path" },
	{ .at = "linux.cgroupsPath" },
	{ .at = "linux.sysctl" },
	{ .at = "linux.rootfsPropagation" },
	{ .at = "linux.maskedPaths" },
	{ .at = "linux.readonlyPaths" },
	{ .at = "linux.mountLabel" },
	{ .at = "linux.personality.domain" },
	{ .at = "linux.timeOffsets[\"monotonic\"].secs" },
	{ .at = "linux.timeOffsets[\"monotonic\"].nanosecs" },
	{ .at = R "unified" },
	{ .at = R "devices[1].allow" },
	{ .at = R "devices[1].type" },
	{ .at = R "devices[1].major" },
	{ .at = R "devices[1].minor" },
	{ .at = R "devices[1].access" },
	{ .at = R "pids.limit" },
	{ .at = R "hugepageLimits[0].pageSize" },
	{ .at = R "hugepageLimits[0].limit" },
	{ .at = R "memory.limit" },
	{ .at = R "memory.reservation" },
	{ .at = R "memory.swap" },
	{ .at = R "memory.checkBeforeUpdate" },
	{ .at = R "cpu.shares" },
	{ .at = R "cpu.quota" },
	{ .at = R "cpu.burst" },
	{ .at = R "cpu.period" },
	{ .at = R "cpu.cpus" },
	{ .at = R "cpu.mems" },
	{ .at = R "cpu.idle" },
	{ .at = R "blockIO.weight" },
	{ .at = R "blockIO.weightDevice[0].major" },
	{ .at = R "blockIO.weightDevice[0].minor" },
	{ .at = R "blockIO.weightDevice[0].weight" },
#define THROTTLE(name)                                                                                                 \
	{ .at = R "blockIO." name "[0].major" }, { .at = R "blockIO." name "[0].minor" },                              \
	{                                                                                                              \
		.at = R "blockIO." name "[0].rate"                                                                     \
	}
	THROTTLE("throttleReadBpsDevice"),
	THROTTLE("throttleWriteBpsDevice"),
	THROTTLE("throttleReadIOPSDevice"),
	THROTTLE("throttleWriteIOPSDevice"),
	{ .at = R "rdma[\"mlx5_1\"].hcaHandles" },
	{ .at = R "rdma[\"mlx5_1\"].hcaObjects" },
	/* What version 2 of cgroups has no file for is taken where it asks for what is so anyway. */
	{ .at = R "memory.kernel" },
	{ .at = R "memory.kernelTCP" },
	{ .at = R "memory.disableOOMKiller" },
	{ .at = R "memory.useHierarchy" },
	{ .at = R "cpu.realtimeRuntime" },
	{ .at = R "cpu.realtimePeriod" },
	{ .at = R "blockIO.leafWeight" },
	{ .at = R "blockIO.weightDevice[0].leafWeight" },
	{ .at = R "network.classID" },
	/* defs-linux.json, seccomp */
	{ .at = S "defaultAction" },
	{ .at = S "defaultErrnoRet" },
	{ .at = S "architectures" },
	{ .at = S "flags" },
	{ .at = S "listenerPath" },
	{ .at = S "listenerMetadata" },
	{ .at = S "syscalls[0].names" },
	{ .at = S "syscalls[0].action" },
	{ .at = S "syscalls[0].errnoRet" },
	{ .at = S "syscalls[1].args[0].index" },
	{ .at = S "syscalls[1].args[0].value" },
	{ .at = S "syscalls[1].args[0].valueTwo" },
	{ .at = S "syscalls[1].args[0].op" },
};

static const struct property refused[] = {
	{ .at = R "memory.kernel", .value = "1" },
	{ .at = R "memory.kernelTCP", .value = "1" },
	{ .at = R "memory.swappiness", .value = "60" },
	{ .at = R "memory.disableOOMKiller", .value = "true" },
	{ .at = R "memory.useHierarchy", .value = "false" },
	{ .at = R "cpu.realtimeRuntime", .value = "1" },
	{ .at = R "cpu.realtimePeriod", .value = "1" },
	{ .at = R "blockIO.leafWeight", .value = "10" },
	{ .at = R "blockIO.weightDevice[0].leafWeight", .value = "10" },
	{ .at = R "network.classID", .value = "1" },
	{ .at = R "network.priorities", .value = "[{\"name\":\"eth0\",\"priority\":1}]" },
	{ .at = "linux.personality.flags", .value = "[\"x\"]" },
	{ .at = "linux.intelRdt", .value = "{\"closID\":\"a\"}" },
	{ .at = "linux.intelRdt", .value = "{\"l3CacheSchema\":\"L3:0=1\"}" },
	{ .at = "linux.intelRdt", .value = "{\"memBwSchema\":\"MB:0=1\"}" },
	{ .at = "linux.intelRdt", .value = "{\"schemata\":[\"MB:0=1\"]}" },
	{ .at = "linux.intelRdt", .value = "{\"enableCMT\":true}" },
	{ .at = "linux.intelRdt", .value = "{\"enableMBM\":true}" },
	{ .at = "linux.intelRdt", .value = "{\"enableMonitoring\":true}" },
	{ .at = "linux.memoryPolicy", .value = "{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":[]}" },
	{ .at = "linux.netDevices", .value = "{\"eth0\":{\"name\":\"eth1\"}}" },
	/* The other platforms' */
	{ .at = "process.user.username", .value = "\"joe\"" },
	{ .at = "solaris", .value = "{\"milestone\":\"x\"}" },
	{ .at = "windows", .value = "{\"layerFolders\":[]}" },
	{ .at = "vm", .value = "{\"kernel\":{\"path\":\"/k\"}}" },
	{ .at = "zos", .value = "{\"devices\":[]}" },
};

/* --- paths ---------------------------------------------------------------------------------------------------------
 */

struct step {
	char key[64];
	bool is_index;
	size_t index;
};

/* "a.b", "a[1]" and "a["key"]", as messages write them. */
static bool next_step(const char **path, struct step *step)
{
	const char *p = *path;
	size_t n;

	if (!*p)
		return false;
	memset(step, 0, sizeof(*step));
	if (p[0] == '[' && p[1] == '"') {
		n = strcspn(p + 2, "\"");
		assert_true(n < sizeof(step->key));
		memcpy(step->key, p + 2, n);
		p += n + 4;
	} else if (p[0] == '[') {
		step->is_index = true;
		step->index = strtoul(p + 1, NULL, 10);
		p += strcspn(p, "]") + 1;
	} else {
		n = strcspn(p, ".[");
		assert_true(n < sizeof(step->key));
		memcpy(step->key, p, n);
		p += n;
	}
	*path = p + (*p == '.');
	return true;
}

static struct json_object *child_of(struct json_object *json, const struct step *step)
{
	struct json_object *child = NULL;

	if (step->is_index)
		return json_object_is_type(json, json_type_array) ? json_object_array_get_idx(json, step->index) : NULL;
	json_object_object_get_ex(json, step->key, &child);
	return child;
}

static struct json_object *value_at(struct json_object *json, const char *path)
{
	struct step step;

	while (json && next_step(&path, &step))
		json = child_of(json, &step);
	return json;
}

static void put_at(struct json_object *json, const char *path, const char *text)
{
	struct json_object *value = NULL;
	const char *rest = path;
	struct step step;

	if (kist_json_parse(text, strlen(text), &value, NULL))
		fail_msg("bad test: %s", text);
	for (next_step(&rest, &step); *rest; next_step(&rest, &step))
		json = child_of(json, &step);
	if (!json)
		fail_msg("the full plan has no place for %s", path);
	assert_false(step.is_index);
	json_object_object_add(json, step.key, value);
}

/* "a[1]["key"]" is "a[][*]": the property, of whichever item. */
static void without_items(const char *path, char *out, size_t size)
{
	size_t n = 0;

	while (*path && n + 4 < size) {
		if (*path != '[') {
			out[n++] = *path++;
			continue;
		}
		n += (size_t)snprintf(out + n, size - n, path[1] == '"' ? "[*]" : "[]");
		path += strcspn(path, "]") + 1;
	}
	out[n] = '\0';
}

/* --- the tests -----------------------------------------------------------------------------------------------------
 */

static struct json_object *full_plan(void)
{
	KIST_STR struct kist_str text = { 0 };
	struct json_object *json = NULL;

	if (kist_read_file(AT_FDCWD, FULL, 1 << 20, &text) < 0)
		fail_msg("run from the top of the tree: cannot read %s", FULL);
	assert_int_equal(kist_json_parse(text.data, text.len, &json, NULL), 0);
	return json;
}

static struct json_object *plan_with(const struct property *property)
{
	struct json_object *json = full_plan();

	if (property->with)
		put_at(json, property->with_at, property->with);
	if (property->value)
		put_at(json, property->at, property->value);
	if (!value_at(json, property->at))
		fail_msg("the full plan has no %s", property->at);
	return json;
}

static int read_and_check(struct json_object *json, struct kist_spec *spec, struct kist_error *err)
{
	int r = kist_json_read(&kist_spec_table, json, spec, "", err);

	return r ? r : kist_spec_check(spec, err);
}

static void each_property_taken_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIST_COUNT(taken); i++) {
		KIST_JSON struct json_object *json = plan_with(&taken[i]), *written = NULL;
		KIST_SPEC struct kist_spec *spec = kist_spec_new();
		struct kist_error err = { 0 };

		if (read_and_check(json, spec, &err))
			fail_msg("%s: %s", taken[i].at, err.text);
		written = kist_json_write(&kist_spec_table, spec);
		if (!json_object_equal(value_at(json, taken[i].at), value_at(written, taken[i].at)))
			fail_msg("%s does not come back as it was", taken[i].at);
	}
}

static void is_refused_by_name(struct json_object *json, const char *at)
{
	KIST_SPEC struct kist_spec *spec = kist_spec_new();
	struct kist_error err = { 0 };

	if (read_and_check(json, spec, &err) >= 0)
		fail_msg("%s = %s is taken", at, json_object_get_string(value_at(json, at)));
	if (!kist_has_prefix(err.text, at) || !strchr(":[", err.text[strlen(at)]))
		fail_msg("%s = %s gives '%s'", at, json_object_get_string(value_at(json, at)), err.text);
}

static void each_property_refused_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIST_COUNT(refused); i++) {
		KIST_JSON struct json_object *json = plan_with(&refused[i]);

		is_refused_by_name(json, refused[i].at);
	}
}

/* What is looked at has a type: a property that takes any value is one that nothing reads. */
static void a_wrong_type_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIST_COUNT(taken); i++) {
		KIST_JSON struct json_object *json = plan_with(&taken[i]);
		bool is_text = json_object_is_type(value_at(json, taken[i].at), json_type_string);

		put_at(json, taken[i].at, is_text ? "1" : "\"x\"");
		is_refused_by_name(json, taken[i].at);
	}
}

static bool is_listed(const char *path, const struct property *list, size_t n, bool below)
{
	char of_list[160];

	for (size_t i = 0; i < n; i++) {
		without_items(list[i].at, of_list, sizeof(of_list));
		if (strcmp(of_list, path) == 0)
			return true;
		if (below && kist_has_prefix(path, of_list) && strchr(".[", path[strlen(of_list)]))
			return true;
	}
	return false;
}

/* The other way round: nothing is read that the list does not have. */
static void walk(const struct kist_table *table, size_t first, const char *prefix)
{
	for (size_t i = first; i < table->n_fields; i++) {
		const struct kist_field *field = &table->fields[i];
		const char *key = field->json ? field->json : field->key;
		bool map = field->type == KIST_F_PTR_MAP;
		char path[160];

		snprintf(path, sizeof(path), "%s%s%s%s", prefix, *prefix ? "." : "", key,
		         map                          ? "[*]"
		         : field->type == KIST_F_LIST ? "[]"
		                                      : "");
		if (field->table)
			walk(field->table, map, path);
		else if (!is_listed(path, taken, KIST_COUNT(taken), false) &&
		         !is_listed(path, refused, KIST_COUNT(refused), true))
			fail_msg("%s is read, and not in the list", path);
	}
}

static void the_tables_have_nothing_else(void **state)
{
	(void)state;
	walk(&kist_spec_table, 0, "");
}

static void leave_out(const char *at, const char *key)
{
	KIST_JSON struct json_object *json = full_plan();
	char path[160];

	snprintf(path, sizeof(path), "%s.%s", at, key);
	assert_non_null(value_at(json, path));
	json_object_object_del(value_at(json, at), key);
	is_refused_by_name(json, path);
}

/* REQUIRED in the specification. (A FIFO's number is not, nor what an exec inherits.) */
static void what_is_required_is_missed(void **state)
{
	static const char *const rows[][2] = {
		{ "root", "path" },
		{ "mounts[2]", "destination" },
		{ "mounts[2].uidMappings[0]", "containerID" },
		{ "mounts[2].gidMappings[0]", "hostID" },
		{ "hooks.prestart[0]", "path" },
		{ "hooks.createRuntime[0]", "path" },
		{ "hooks.createContainer[0]", "path" },
		{ "hooks.startContainer[0]", "path" },
		{ "hooks.poststart[0]", "path" },
		{ "hooks.poststop[0]", "path" },
		{ "process", "cwd" },
		{ "process", "args" },
		{ "process.consoleSize", "height" },
		{ "process.consoleSize", "width" },
		{ "process.user", "uid" },
		{ "process.user", "gid" },
		{ "process.rlimits[0]", "type" },
		{ "process.rlimits[0]", "hard" },
		{ "process.rlimits[0]", "soft" },
		{ "process.scheduler", "policy" },
		{ "process.ioPriority", "class" },
		{ "process.ioPriority", "priority" },
		{ "linux.namespaces[1]", "type" },
		{ "linux.uidMappings[0]", "containerID" },
		{ "linux.uidMappings[0]", "hostID" },
		{ "linux.gidMappings[0]", "size" },
		{ "linux.devices[0]", "type" },
		{ "linux.devices[0]", "path" },
		{ "linux.devices[0]", "major" },
		{ R "devices[1]", "allow" },
		{ R "blockIO.weightDevice[0]", "major" },
		{ R "blockIO.throttleReadBpsDevice[0]", "minor" },
		{ R "blockIO.throttleWriteIOPSDevice[0]", "rate" },
		{ R "hugepageLimits[0]", "pageSize" },
		{ R "hugepageLimits[0]", "limit" },
		{ "linux.seccomp", "defaultAction" },
		{ S "syscalls[0]", "names" },
		{ S "syscalls[0]", "action" },
		{ S "syscalls[1].args[0]", "index" },
		{ S "syscalls[1].args[0]", "value" },
		{ S "syscalls[1].args[0]", "op" },
		{ "linux.personality", "domain" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++)
		leave_out(rows[i][0], rows[i][1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_property_taken_comes_back), cmocka_unit_test(each_property_refused_is_named),
		cmocka_unit_test(a_wrong_type_is_named),          cmocka_unit_test(the_tables_have_nothing_else),
		cmocka_unit_test(what_is_required_is_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
