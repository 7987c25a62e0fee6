/* Seccomp profiles from files: the format of podman and docker (containers/common, moby: archMap, includes, excludes),
 * of which the runtime specification's linux.seccomp is the part without conditions. */
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* --- profiles in memory ------------------------------------------------------------------------------------------- */

struct kist_spec_syscall *kist_ns_seccomp_add(struct kist_spec_seccomp *profile, const char *action, int64_t errno_ret)
{
	profile->syscalls = kist_grow(profile->syscalls, profile->n_syscalls + 1, sizeof(*profile->syscalls));
	struct kist_spec_syscall *rule = &profile->syscalls[profile->n_syscalls++];
	*rule = (struct kist_spec_syscall){
		.action = kist_strdup(action),
		.errno_ret = { .set = errno_ret >= 0, .value = errno_ret >= 0 ? errno_ret : 0 },
	};
	return rule;
}

static void args_free(struct kist_spec_seccomp_arg *args, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(args[i].op);
	free(args);
}

void kist_ns_seccomp_free(struct kist_spec_seccomp *seccomp)
{
	if (!seccomp)
		return;
	for (size_t i = 0; i < seccomp->n_syscalls; i++) {
		struct kist_spec_syscall *rule = &seccomp->syscalls[i];
		kist_strv_free(rule->names);
		free(rule->action);
		args_free(rule->args, rule->n_args);
	}
	free(seccomp->syscalls);
	free(seccomp->default_action);
	kist_strv_free(seccomp->architectures);
	kist_strv_free(seccomp->flags);
	free(seccomp->listener_path);
	free(seccomp->listener_metadata);
	free(seccomp);
}

/* --- the file's own structs --------------------------------------------------------------------------------------- */

struct condition {
	char **caps, **arches;
	char *min_kernel;
};

struct file_rule {
	char *name;
	char **names;
	char *action;
	struct kist_opt errno_ret;
	char *errno_name;
	struct kist_spec_seccomp_arg *args;
	size_t n_args;
	struct condition includes, excludes;
};

struct file_arch {
	char *architecture;
	char **sub_architectures;
};

struct file {
	char *default_action;
	struct kist_opt default_errno_ret;
	char *default_errno;
	struct file_arch *arch_map;
	size_t n_arch_map;
	char **architectures, **flags;
	char *listener_path, *listener_metadata;
	struct file_rule *rules;
	size_t n_rules;
};

static const struct kist_field condition_rows[] = {
	KIST_FIELD(struct condition, STRV, caps),
	KIST_FIELD(struct condition, STRV, arches),
	KIST_FIELD(struct condition, STRING, min_kernel, .json = "minKernel"),
};
static const struct kist_table condition_table = KIST_TABLE("seccomp condition", struct condition, condition_rows);

static const struct kist_field arg_rows[] = {
	KIST_FIELD(struct kist_spec_seccomp_arg, U32, index),
	KIST_FIELD(struct kist_spec_seccomp_arg, U64, value),
	KIST_FIELD(struct kist_spec_seccomp_arg, U64, value_two, .json = "valueTwo"),
	KIST_FIELD(struct kist_spec_seccomp_arg, STRING, op, .flags = KIST_FIELD_REQUIRED),
};
static const struct kist_table arg_table = KIST_TABLE("seccomp argument", struct kist_spec_seccomp_arg, arg_rows);

static const struct kist_field rule_rows[] = {
	KIST_FIELD(struct file_rule, STRING, name),
	KIST_FIELD(struct file_rule, STRV, names),
	KIST_FIELD(struct file_rule, STRING, action, .flags = KIST_FIELD_REQUIRED),
	KIST_FIELD(struct file_rule, OPT_U32, errno_ret, .json = "errnoRet"),
	KIST_FIELD(struct file_rule, STRING, errno_name, .json = "errno"),
	KIST_FIELD_LIST(struct file_rule, LIST, args, n_args, .table = &arg_table),
	KIST_FIELD(struct file_rule, STRUCT, includes, .table = &condition_table),
	KIST_FIELD(struct file_rule, STRUCT, excludes, .table = &condition_table),
};
static const struct kist_table rule_table = KIST_TABLE("seccomp rule", struct file_rule, rule_rows);

static const struct kist_field arch_rows[] = {
	KIST_FIELD(struct file_arch, STRING, architecture, .flags = KIST_FIELD_REQUIRED),
	KIST_FIELD(struct file_arch, STRV, sub_architectures, .json = "subArchitectures"),
};
static const struct kist_table arch_table = KIST_TABLE("seccomp architecture", struct file_arch, arch_rows);

static const struct kist_field file_rows[] = {
	KIST_FIELD(struct file, STRING, default_action, .json = "defaultAction", .flags = KIST_FIELD_REQUIRED),
	KIST_FIELD(struct file, OPT_U32, default_errno_ret, .json = "defaultErrnoRet"),
	KIST_FIELD(struct file, STRING, default_errno, .json = "defaultErrno"),
	KIST_FIELD_LIST(struct file, LIST, arch_map, n_arch_map, .json = "archMap", .table = &arch_table),
	KIST_FIELD(struct file, STRV, architectures),
	KIST_FIELD(struct file, STRV, flags),
	KIST_FIELD(struct file, STRING, listener_path, .json = "listenerPath"),
	KIST_FIELD(struct file, STRING, listener_metadata, .json = "listenerMetadata"),
	KIST_FIELD_LIST(struct file, LIST, rules, n_rules, .json = "syscalls", .table = &rule_table),
};
static const struct kist_table file_table = KIST_TABLE("seccomp profile", struct file, file_rows);

/* --- conditions --------------------------------------------------------------------------------------------------- */

/* Go's names, which the format uses. */
static const char *go_architecture(void)
{
	static const struct {
		const char *arch, *go;
	} names[] = {
		{ "SCMP_ARCH_X86_64", "amd64" },      { "SCMP_ARCH_X86", "x86" },
		{ "SCMP_ARCH_AARCH64", "arm64" },     { "SCMP_ARCH_ARM", "arm" },
		{ "SCMP_ARCH_PPC64LE", "ppc64le" },   { "SCMP_ARCH_S390X", "s390x" },
		{ "SCMP_ARCH_RISCV64", "riscv64" },   { "SCMP_ARCH_MIPS", "mips" },
		{ "SCMP_ARCH_MIPSEL", "mipsle" },     { "SCMP_ARCH_MIPS64", "mips64" },
		{ "SCMP_ARCH_MIPSEL64", "mips64le" },
	};
	const char *native = kist_ns_seccomp_native();
	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		if (kist_streq(names[i].arch, native))
			return names[i].go;
	}
	return "";
}

/* "4.8" out of "4.8", "4.8.0-3-amd64". */
static int version_read(const char *text, unsigned long *out)
{
	unsigned long part[2] = { 0 };
	for (size_t i = 0; i < 2; i++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		for (; *text >= '0' && *text <= '9'; text++) {
			part[i] = part[i] * 10 + (unsigned long)(*text - '0');
			if (part[i] > 65535)
				return -EINVAL;
		}
		if (i == 0 && *text++ != '.')
			return -EINVAL;
	}
	*out = part[0] << 16 | part[1];
	return 0;
}

struct host {
	uint64_t caps;
	const char *arch;
	unsigned long kernel;
};

static int condition_caps(const struct condition *condition, uint64_t *mask, const char *where, struct kist_error *err)
{
	*mask = 0;
	for (size_t i = 0; condition->caps && condition->caps[i]; i++) {
		int number = kist_ns_cap_number(condition->caps[i]);
		if (number < 0)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s.caps[%zu]: '%s' is not a capability", where,
			                 i, condition->caps[i]);
		*mask |= 1ULL << number;
	}
	return 0;
}

static int condition_kernel(const struct condition *condition, unsigned long *out, const char *where,
                            struct kist_error *err)
{
	if (!kist_empty(condition->min_kernel) && version_read(condition->min_kernel, out) < 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s.minKernel: '%s' is not a version", where,
		                 condition->min_kernel);
	return 0;
}

/* 1: the rule holds on this host for these capabilities. All of 'includes' must, none of 'excludes' may. */
static int rule_holds(const struct file_rule *rule, size_t index, const struct host *host, struct kist_error *err)
{
	char where[64];
	uint64_t caps = 0;
	unsigned long kernel = 0;
	snprintf(where, sizeof(where), "syscalls[%zu].includes", index);
	int r = condition_caps(&rule->includes, &caps, where, err);
	if (r >= 0)
		r = condition_kernel(&rule->includes, &kernel, where, err);
	if (r < 0)
		return r;
	bool holds = (caps & ~host->caps) == 0 && host->kernel >= kernel;
	if (rule->includes.arches && rule->includes.arches[0] && !kist_strv_has(rule->includes.arches, host->arch))
		holds = false;

	snprintf(where, sizeof(where), "syscalls[%zu].excludes", index);
	kernel = 0;
	r = condition_caps(&rule->excludes, &caps, where, err);
	if (r >= 0)
		r = condition_kernel(&rule->excludes, &kernel, where, err);
	if (r < 0)
		return r;
	if ((caps & host->caps) || kist_strv_has(rule->excludes.arches, host->arch) ||
	    (kernel && host->kernel >= kernel))
		holds = false;
	return holds;
}

/* --- conversion --------------------------------------------------------------------------------------------------- */

/* errnoRet wins over the name; -1: neither. */
static int errno_resolve(struct kist_opt number, const char *name, const char *where, int64_t *out,
                         struct kist_error *err)
{
	*out = -1;
	if (number.set) {
		*out = number.value;
		return 0;
	}
	if (kist_empty(name))
		return 0;
	for (int i = 1; i < 4096; i++) {
		const char *known = strerrorname_np(i);
		if (known && kist_streq(known, name)) {
			*out = i;
			return 0;
		}
	}
	return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s: '%s' is not an error name", where, name);
}

static bool takes_errno(const char *action)
{
	return kist_streq(action, "SCMP_ACT_ERRNO") || kist_streq(action, "SCMP_ACT_TRACE");
}

static int architectures_convert(const struct file *file, struct kist_spec_seccomp *out, struct kist_error *err)
{
	const char *native = kist_ns_seccomp_native();
	if (file->n_arch_map && file->architectures && file->architectures[0])
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "architectures and archMap: only one of them may be given");
	if (!file->n_arch_map) {
		out->architectures = kist_strv_copy(file->architectures);
		return 0;
	}
	for (size_t i = 0; i < file->n_arch_map; i++) {
		if (!kist_streq(file->arch_map[i].architecture, native))
			continue;
		kist_strv_add(&out->architectures, native);
		for (char **sub = file->arch_map[i].sub_architectures; sub && *sub; sub++)
			kist_strv_add(&out->architectures, *sub);
		return 0;
	}
	return 0;
}

static int rule_convert(const struct file_rule *rule, size_t index, struct kist_spec_seccomp *out,
                        struct kist_error *err)
{
	char where[64];
	int64_t errno_ret = -1;
	snprintf(where, sizeof(where), "syscalls[%zu].errno", index);
	int r = errno_resolve(rule->errno_ret, rule->errno_name, where, &errno_ret, err);
	if (r < 0)
		return r;
	if (rule->errno_ret.set && !takes_errno(rule->action))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "syscalls[%zu].errnoRet: does not go with %s", index,
		                 rule->action);
	bool both = rule->names && rule->names[0];
	if (both && rule->name)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "syscalls[%zu]: only one of name and names may be given", index);
	if (!both && kist_empty(rule->name))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "syscalls[%zu]: names is empty", index);

	struct kist_spec_syscall *to =
	        kist_ns_seccomp_add(out, rule->action, takes_errno(rule->action) ? errno_ret : -1);
	to->names = kist_strv_copy(rule->names);
	if (rule->name)
		kist_strv_add(&to->names, rule->name);
	for (size_t i = 0; i < rule->n_args; i++) {
		to->args = kist_grow(to->args, to->n_args + 1, sizeof(*to->args));
		to->args[to->n_args] = rule->args[i];
		to->args[to->n_args++].op = kist_strdup(rule->args[i].op);
	}
	return 0;
}

static int file_convert(const struct file *file, const struct host *host, struct kist_spec_seccomp *out,
                        struct kist_error *err)
{
	int64_t errno_ret = -1;
	int r = errno_resolve(file->default_errno_ret, file->default_errno, "defaultErrno", &errno_ret, err);
	if (r < 0)
		return r;
	out->default_action = kist_strdup(file->default_action);
	if (errno_ret >= 0 && takes_errno(file->default_action))
		out->default_errno_ret = (struct kist_opt){ .set = true, .value = errno_ret };
	out->flags = kist_strv_copy(file->flags);
	out->listener_path = kist_strdup(file->listener_path);
	out->listener_metadata = kist_strdup(file->listener_metadata);
	r = architectures_convert(file, out, err);
	for (size_t i = 0; i < file->n_rules && r >= 0; i++) {
		r = rule_holds(&file->rules[i], i, host, err);
		if (r > 0)
			r = rule_convert(&file->rules[i], i, out, err);
	}
	return r;
}

static int host_describe(char *const *caps, struct host *out, struct kist_error *err)
{
	struct utsname uts;
	*out = (struct host){ .arch = go_architecture() };
	if (uname(&uts) < 0 || version_read(uts.release, &out->kernel) < 0)
		out->kernel = 0;
	return kist_ns_cap_mask(caps, &out->caps, err);
}

/* Go writes empty lists and objects as null. */
static void drop_nulls(struct json_object *json)
{
	if (json_object_is_type(json, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(json); i++)
			drop_nulls(json_object_array_get_idx(json, i));
		return;
	}
	if (!json_object_is_type(json, json_type_object))
		return;
	KIST_STRV char **keys = NULL;
	json_object_object_foreach(json, key, value)
	{
		if (value)
			drop_nulls(value);
		else
			kist_strv_add(&keys, key);
	}
	for (size_t i = 0; keys && keys[i]; i++)
		json_object_object_del(json, keys[i]);
}

int kist_ns_seccomp_read(const char *text, size_t len, char *const *caps, struct kist_spec_seccomp **out,
                         struct kist_error *err)
{
	KIST_JSON struct json_object *json = NULL;
	struct host host;
	struct file file;
	int r = host_describe(caps, &host, err);
	if (r >= 0)
		r = kist_json_parse(text, len, &json, err);
	if (r < 0)
		return r;
	if (!json_object_is_type(json, json_type_object))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "a seccomp profile is a JSON object");
	drop_nulls(json);
	kist_table_init(&file_table, &file);
	struct kist_spec_seccomp *profile = kist_alloc(sizeof(*profile));
	r = kist_json_read(&file_table, json, &file, "", err);
	if (r >= 0)
		r = file_convert(&file, &host, profile, err);
	kist_table_clear(&file_table, &file);
	if (r < 0) {
		kist_ns_seccomp_free(profile);
		return r;
	}
	*out = profile;
	return 0;
}
