/* Whether a plan can be executed: the sections of config.json that describe where the process runs. */
#include "core/base/spec.h"

#include "core/base/spec_check.h"
#include "core/base/str.h"

#include <string.h>
#include <sys/stat.h>

/* user_namespaces(7): lines of a map since Linux 4.15. */
#define MAP_LINES_MAX 340
/* HOST_NAME_MAX; the NIS domain name has the same bound, uts_namespaces(7). */
#define NAME_LEN_MAX 64
/* MKDEV in the kernel: 12 bits of major, 20 of minor. */
#define MAJOR_MAX 0xfff
#define MINOR_MAX 0xfffff

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

const char *kist_text_fault(const char *text)
{
	if (!text)
		return "is required";
	if (!*text)
		return "is empty";
	return has_control(text) ? "holds a control character" : NULL;
}

const char *kist_path_fault(const char *path)
{
	const char *fault = kist_text_fault(path);

	if (!fault && path[0] != '/')
		return "is not an absolute path";
	return fault;
}

const char *kist_env_fault(const char *assignment)
{
	if (assignment[0] == '=')
		return "has no name";
	return strchr(assignment, '=') ? NULL : "is not NAME=value";
}

bool kist_is_one_of(const char *name, const char *const *names)
{
	for (; name && *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* Numbers and ranges with commas between, as in cpuset(7) without its ":stride" form. */
const char *kist_cpu_list_fault(const char *list)
{
	static const char *const fault = "is not a list like 0-3,7";

	for (;;) {
		size_t n = strspn(list, "0123456789");

		if (n == 0 || n > 6)
			return fault;
		list += n;
		if (*list == '-') {
			n = strspn(++list, "0123456789");
			if (n == 0 || n > 6)
				return fault;
			list += n;
		}
		if (!*list)
			return NULL;
		if (*list++ != ',')
			return fault;
	}
}

static int check_version(const char *version, struct kist_error *err)
{
	size_t minor, patch;

	if (!version)
		return KIST_BAD(err, "ociVersion: is required");
	if (strncmp(version, "1.", 2) != 0)
		return KIST_BAD(err, "ociVersion: '%.40s' is not version 1 of the specification", version);
	minor = strspn(version + 2, "0123456789");
	patch = version[2 + minor] == '.' ? strspn(version + 3 + minor, "0123456789") : 0;
	if (!minor || !patch || has_control(version))
		return KIST_BAD(err, "ociVersion: '%.40s' is not a version like 1.2.0", version);
	return 0;
}

static int check_uts_name(const struct kist_spec *spec, const char *key, const char *name, struct kist_error *err)
{
	const char *fault;

	if (!name)
		return 0;
	fault = kist_text_fault(name);
	if (fault)
		return KIST_BAD(err, "%s: %s", key, fault);
	if (strlen(name) > NAME_LEN_MAX)
		return KIST_BAD(err, "%s: longer than %d bytes", key, NAME_LEN_MAX);
	if (!kist_spec_namespace(spec, "uts"))
		return KIST_BAD(err, "%s: needs a namespace of type uts, it would change the host's name", key);
	return 0;
}

/* --- id maps ------------------------------------------------------------------------------------------------------ */

static bool overlap(uint32_t a, uint32_t b, uint32_t a_size, uint32_t b_size)
{
	return (uint64_t)a < (uint64_t)b + b_size && (uint64_t)b < (uint64_t)a + a_size;
}

static int check_id_map(const struct kist_spec_id_map *maps, size_t n, const char *path, struct kist_error *err)
{
	if (n > MAP_LINES_MAX)
		return KIST_BAD(err, "%s: more than %d entries, which is what the kernel takes", path, MAP_LINES_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct kist_spec_id_map *a = &maps[i];

		if (!a->size)
			return KIST_BAD(err, "%s[%zu].size: is 0", path, i);
		/* 4294967295 is no id: it means 'unchanged' to setresuid(2). */
		if ((uint64_t)a->container_id + a->size > UINT32_MAX || (uint64_t)a->host_id + a->size > UINT32_MAX)
			return KIST_BAD(err, "%s[%zu].size: the range ends past 4294967294", path, i);
		for (size_t k = 0; k < i; k++) {
			const struct kist_spec_id_map *b = &maps[k];

			if (overlap(a->container_id, b->container_id, a->size, b->size))
				return KIST_BAD(err, "%s[%zu].containerID: overlaps entry %zu", path, i, k);
			if (overlap(a->host_id, b->host_id, a->size, b->size))
				return KIST_BAD(err, "%s[%zu].hostID: overlaps entry %zu", path, i, k);
		}
	}
	return 0;
}

static int check_user_maps(const struct kist_spec *spec, struct kist_error *err)
{
	const struct kist_spec_namespace *user = kist_spec_namespace(spec, "user");
	const struct kist_spec_linux *l = &spec->linux_;
	const char *path = l->n_uid_mappings ? "linux.uidMappings" : "linux.gidMappings";
	int r;

	if (l->n_uid_mappings || l->n_gid_mappings) {
		if (!user)
			return KIST_BAD(err, "%s: needs a namespace of type user", path);
		if (user->path)
			return KIST_BAD(err, "%s: the user namespace that is joined has its maps already", path);
	} else if (!user || user->path) {
		return 0;
	}
	if (!l->n_uid_mappings)
		return KIST_BAD(err, "linux.uidMappings: a new user namespace needs a map");
	if (!l->n_gid_mappings)
		return KIST_BAD(err, "linux.gidMappings: a new user namespace needs a map");
	r = check_id_map(l->uid_mappings, l->n_uid_mappings, "linux.uidMappings", err);
	return r ? r : check_id_map(l->gid_mappings, l->n_gid_mappings, "linux.gidMappings", err);
}

/* --- mounts ------------------------------------------------------------------------------------------------------- */

/* Bits of the propagation types named; -1 for another option. */
static int propagation_of(const char *option)
{
	static const struct kist_name names[] = {
		{ "private", 1 }, { "rprivate", 1 },   { "slave", 2 },       { "rslave", 2 }, { "shared", 4 },
		{ "rshared", 4 }, { "unbindable", 8 }, { "runbindable", 8 }, { NULL, 0 },
	};
	int bit;

	return kist_value_of(names, option, &bit) ? -1 : bit;
}

static int check_mount_options(const struct kist_spec_mount *mount, size_t i, struct kist_error *err)
{
	int seen = 0;

	for (size_t k = 0; mount->options && mount->options[k]; k++) {
		const char *option = mount->options[k];
		const char *fault = kist_text_fault(option);
		int bit = propagation_of(option);

		if (fault)
			return KIST_BAD(err, "mounts[%zu].options[%zu]: %s", i, k, fault);
		if (bit < 0)
			continue;
		/* A mount can be slave of one group and shared with another; nothing else combines. */
		if (seen && (seen | bit) != seen && (seen | bit) != (2 | 4))
			return KIST_BAD(err, "mounts[%zu].options[%zu]: '%.40s' contradicts an earlier propagation", i,
			                k, option);
		seen |= bit;
	}
	return 0;
}

static bool is_bind(const struct kist_spec_mount *mount)
{
	return kist_streq(mount->type, "bind") || kist_strv_has(mount->options, "bind") ||
	       kist_strv_has(mount->options, "rbind");
}

static int check_mount_maps(const struct kist_spec_mount *mount, size_t i, struct kist_error *err)
{
	char path[64];
	int r;

	if (!mount->n_uid_mappings && !mount->n_gid_mappings)
		return 0;
	if (!mount->n_uid_mappings || !mount->n_gid_mappings)
		return KIST_BAD(err, "mounts[%zu].%s: is required beside the other map", i,
		                mount->n_uid_mappings ? "gidMappings" : "uidMappings");
	if (!is_bind(mount))
		return KIST_BAD(err, "mounts[%zu].uidMappings: only bind mounts can be mapped", i);
	snprintf(path, sizeof(path), "mounts[%zu].uidMappings", i);
	r = check_id_map(mount->uid_mappings, mount->n_uid_mappings, path, err);
	if (r)
		return r;
	snprintf(path, sizeof(path), "mounts[%zu].gidMappings", i);
	return check_id_map(mount->gid_mappings, mount->n_gid_mappings, path, err);
}

static int check_mounts(const struct kist_spec *spec, struct kist_error *err)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct kist_spec_mount *mount = &spec->mounts[i];
		/* A relative one is below the root, as the tools before 1.0 wrote it (config.md, Mounts). */
		const char *fault = kist_text_fault(mount->destination);
		int r;

		if (fault)
			return KIST_BAD(err, "mounts[%zu].destination: %s", i, fault);
		if (mount->type && (fault = kist_text_fault(mount->type)))
			return KIST_BAD(err, "mounts[%zu].type: %s", i, fault);
		if (!mount->type && !is_bind(mount))
			return KIST_BAD(err, "mounts[%zu].type: is required unless it is a bind mount", i);
		if (is_bind(mount) && (fault = kist_text_fault(mount->source)))
			return KIST_BAD(err, "mounts[%zu].source: %s", i, fault);
		if (mount->source && has_control(mount->source))
			return KIST_BAD(err, "mounts[%zu].source: holds a control character", i);
		r = check_mount_options(mount, i, err);
		if (!r)
			r = check_mount_maps(mount, i, err);
		if (r)
			return r;
	}
	return 0;
}

/* --- hooks -------------------------------------------------------------------------------------------------------- */

static int check_hook_list(const struct kist_spec_hook *hooks, size_t n, const char *stage, struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *fault = kist_path_fault(hooks[i].path);

		if (fault)
			return KIST_BAD(err, "hooks.%s[%zu].path: %s", stage, i, fault);
		if (hooks[i].timeout.set && (hooks[i].timeout.value <= 0 || hooks[i].timeout.value > INT32_MAX))
			return KIST_BAD(err, "hooks.%s[%zu].timeout: is not a number of seconds above 0", stage, i);
		for (size_t k = 0; hooks[i].env && hooks[i].env[k]; k++)
			if ((fault = kist_env_fault(hooks[i].env[k])))
				return KIST_BAD(err, "hooks.%s[%zu].env[%zu]: %s", stage, i, k, fault);
	}
	return 0;
}

static int check_hooks(const struct kist_spec_hooks *h, struct kist_error *err)
{
	int r = h ? check_hook_list(h->prestart, h->n_prestart, "prestart", err) : 0;

	if (!h || r)
		return r;
	r = check_hook_list(h->create_runtime, h->n_create_runtime, "createRuntime", err);
	if (!r)
		r = check_hook_list(h->create_container, h->n_create_container, "createContainer", err);
	if (!r)
		r = check_hook_list(h->start_container, h->n_start_container, "startContainer", err);
	if (!r)
		r = check_hook_list(h->poststart, h->n_poststart, "poststart", err);
	return r ? r : check_hook_list(h->poststop, h->n_poststop, "poststop", err);
}

/* --- linux -------------------------------------------------------------------------------------------------------- */

static int check_namespaces(const struct kist_spec *spec, struct kist_error *err)
{
	static const char *const types[] = { "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time", NULL };
	const struct kist_spec_namespace *list = spec->linux_.namespaces;

	for (size_t i = 0; i < spec->linux_.n_namespaces; i++) {
		const char *fault = list[i].path ? kist_path_fault(list[i].path) : NULL;

		if (!list[i].type)
			return KIST_BAD(err, "linux.namespaces[%zu].type: is required", i);
		if (!kist_is_one_of(list[i].type, types))
			return KIST_BAD(err, "linux.namespaces[%zu].type: '%.40s' is not a namespace", i, list[i].type);
		if (fault)
			return KIST_BAD(err, "linux.namespaces[%zu].path: %s", i, fault);
		for (size_t k = 0; k < i; k++)
			if (kist_streq(list[k].type, list[i].type))
				return KIST_BAD(err, "linux.namespaces[%zu].type: '%s' is there twice", i,
				                list[i].type);
	}
	if (!kist_spec_namespace(spec, "mount"))
		return KIST_NOT_DONE(err, "linux.namespaces: a namespace of type mount is required, the root would be "
		                          "changed on the host");
	return 0;
}

static int check_time_offsets(const struct kist_spec *spec, struct kist_error *err)
{
	static const char *const clocks[] = { "monotonic", "boottime", NULL };
	const struct kist_spec_namespace *time = kist_spec_namespace(spec, "time");

	for (size_t i = 0; i < spec->linux_.n_time_offsets; i++) {
		const struct kist_spec_time_offset *offset = &spec->linux_.time_offsets[i];

		if (!kist_is_one_of(offset->clock, clocks))
			return KIST_BAD(err, "linux.timeOffsets[\"%.40s\"]: the clocks are monotonic and boottime",
			                offset->clock ? offset->clock : "");
		if (offset->nanosecs > 999999999)
			return KIST_BAD(err, "linux.timeOffsets[\"%s\"].nanosecs: is a second or more", offset->clock);
		for (size_t k = 0; k < i; k++)
			if (kist_streq(spec->linux_.time_offsets[k].clock, offset->clock))
				return KIST_BAD(err, "linux.timeOffsets[\"%s\"]: is there twice", offset->clock);
	}
	if (spec->linux_.n_time_offsets && (!time || time->path))
		return KIST_BAD(err, "linux.timeOffsets: needs a new namespace of type time");
	return 0;
}

static int check_device_mode(const struct kist_spec_device *device, size_t i, struct kist_error *err)
{
	uint32_t mode = (uint32_t)device->file_mode.value;
	uint32_t type = device->type[0] == 'b' ? S_IFBLK : device->type[0] == 'p' ? S_IFIFO : S_IFCHR;

	/* Some makers of plans leave the file type in, as stat(2) gives it. */
	if (device->file_mode.set &&
	    ((mode & ~(uint32_t)(S_IFMT | 07777)) || ((mode & S_IFMT) && (mode & S_IFMT) != type)))
		return KIST_BAD(err, "linux.devices[%zu].fileMode: %u is not a mode of such a file", i, mode);
	if (device->uid.set && device->uid.value == UINT32_MAX)
		return KIST_BAD(err, "linux.devices[%zu].uid: 4294967295 is not an id", i);
	if (device->gid.set && device->gid.value == UINT32_MAX)
		return KIST_BAD(err, "linux.devices[%zu].gid: 4294967295 is not an id", i);
	return 0;
}

static int check_devices(const struct kist_spec *spec, struct kist_error *err)
{
	static const char *const types[] = { "c", "b", "u", "p", NULL };

	for (size_t i = 0; i < spec->linux_.n_devices; i++) {
		const struct kist_spec_device *device = &spec->linux_.devices[i];
		const char *fault = kist_path_fault(device->path);
		int r;

		if (fault)
			return KIST_BAD(err, "linux.devices[%zu].path: %s", i, fault);
		if (!kist_is_one_of(device->type, types))
			return KIST_BAD(err, "linux.devices[%zu].type: is not c, b, u or p", i);
		if (device->type[0] == 'p' && (device->major || device->minor))
			return KIST_BAD(err, "linux.devices[%zu].major: a FIFO has no device number", i);
		/* No node that can be opened has major 0: it is what a plan without the number gives. */
		if (device->type[0] != 'p' && device->major == 0)
			return KIST_BAD(err, "linux.devices[%zu].major: is required, and not 0", i);
		if (device->major < 0 || device->major > MAJOR_MAX)
			return KIST_BAD(err, "linux.devices[%zu].major: %lld is not in 0 to %d", i,
			                (long long)device->major, MAJOR_MAX);
		if (device->minor < 0 || device->minor > MINOR_MAX)
			return KIST_BAD(err, "linux.devices[%zu].minor: %lld is not in 0 to %d", i,
			                (long long)device->minor, MINOR_MAX);
		r = check_device_mode(device, i, err);
		if (r)
			return r;
	}
	return 0;
}

static int check_cgroups_path(const char *path, struct kist_error *err)
{
	const char *fault;

	if (!path)
		return 0;
	fault = kist_text_fault(path);
	if (fault)
		return KIST_BAD(err, "linux.cgroupsPath: %s", fault);
	for (const char *part = path; part; part = strchr(part, '/')) {
		part += strspn(part, "/");
		if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2]))
			return KIST_BAD(err, "linux.cgroupsPath: '..' would lead out of it");
	}
	return 0;
}

static int check_path_list(char *const *paths, const char *key, struct kist_error *err)
{
	for (size_t i = 0; paths && paths[i]; i++) {
		const char *fault = kist_path_fault(paths[i]);

		if (fault)
			return KIST_BAD(err, "linux.%s[%zu]: %s", key, i, fault);
	}
	return 0;
}

static int check_personality(const struct kist_spec_personality *personality, struct kist_error *err)
{
	static const char *const domains[] = { "LINUX", "LINUX32", NULL };

	if (!personality)
		return 0;
	if (!kist_is_one_of(personality->domain, domains))
		return KIST_BAD(err, "linux.personality.domain: is not LINUX or LINUX32");
	if (personality->flags && personality->flags[0])
		return KIST_BAD(err, "linux.personality.flags[0]: the specification has no flags");
	return 0;
}

static int check_not_done(const struct kist_spec *spec, struct kist_error *err)
{
	const struct {
		const char *path;
		const struct json_object *json;
	} sections[] = {
		{ "linux.intelRdt", spec->linux_.intel_rdt },
		{ "linux.memoryPolicy", spec->linux_.memory_policy },
		{ "linux.netDevices", spec->linux_.net_devices },
		{ "solaris", spec->solaris },
		{ "windows", spec->windows },
		{ "vm", spec->vm },
		{ "zos", spec->zos },
	};

	for (size_t i = 0; i < KIST_COUNT(sections); i++)
		if (sections[i].json)
			return KIST_NOT_DONE(err, "%s: is not supported", sections[i].path);
	return 0;
}

static int check_linux(const struct kist_spec *spec, struct kist_error *err)
{
	const struct kist_spec_linux *l = &spec->linux_;
	const char *fault = l->mount_label ? kist_text_fault(l->mount_label) : NULL;
	int r;

	if (fault && l->mount_label[0])
		return KIST_BAD(err, "linux.mountLabel: %s", fault);
	if (l->rootfs_propagation && propagation_of(l->rootfs_propagation) < 0)
		return KIST_BAD(err, "linux.rootfsPropagation: '%.40s' is not shared, slave, private or unbindable",
		                l->rootfs_propagation);
	r = check_user_maps(spec, err);
	if (!r)
		r = check_time_offsets(spec, err);
	if (!r)
		r = check_devices(spec, err);
	if (!r)
		r = check_cgroups_path(l->cgroups_path, err);
	if (!r)
		r = check_path_list(l->masked_paths, "maskedPaths", err);
	if (!r)
		r = check_path_list(l->readonly_paths, "readonlyPaths", err);
	if (!r)
		r = check_personality(l->personality, err);
	if (!r && l->resources)
		r = kist_check_resources(l->resources, err);
	if (!r)
		r = kist_check_sysctl(spec, err);
	if (!r && l->seccomp)
		r = kist_check_seccomp(l->seccomp, err);
	return r;
}

static int check_annotations(const struct kist_spec *spec, struct kist_error *err)
{
	const char *stop = kist_spec_annotation(spec, "org.opencontainers.image.stopSignal");

	for (size_t i = 0; spec->annotations && spec->annotations[i]; i++)
		if (spec->annotations[i][0] == '=')
			return KIST_BAD(err, "annotations: a name is empty");
	if (stop && kist_parse_signal(stop) < 0)
		return KIST_BAD(err, "annotations[\"org.opencontainers.image.stopSignal\"]: '%.40s' is not a signal",
		                stop);
	return 0;
}

int kist_spec_check(const struct kist_spec *spec, struct kist_error *err)
{
	const char *fault;
	int r = check_version(spec->oci_version, err);

	if (!r)
		r = check_not_done(spec, err);
	if (r)
		return r;
	fault = kist_text_fault(spec->root_path);
	if (fault)
		return KIST_BAD(err, "root.path: %s", fault);
	if (!spec->process)
		return KIST_NOT_DONE(err, "process: is required");
	r = kist_spec_check_process(spec->process, "process", err);
	if (!r)
		r = check_namespaces(spec, err);
	if (!r)
		r = check_uts_name(spec, "hostname", spec->hostname, err);
	if (!r)
		r = check_uts_name(spec, "domainname", spec->domainname, err);
	if (!r)
		r = check_mounts(spec, err);
	if (!r)
		r = check_hooks(spec->hooks, err);
	if (!r)
		r = check_annotations(spec, err);
	return r ? r : check_linux(spec, err);
}
