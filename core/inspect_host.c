/* The inspect document's HostConfig and Mounts: what the container asks of the host. */
#include "core/plan.h"
#include "core/log.h"
#include "core/userns.h"
#include "core/view.h"
#include "core/volume.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- mounts ---------------------------------------------------------------------------------------------------------
 */

static bool is_propagation(const char *option)
{
	static const char *const names[] = { "private", "rprivate", "shared",     "rshared",
		                             "slave",   "rslave",   "unbindable", "runbindable" };

	for (size_t i = 0; i < KIST_COUNT(names); i++)
		if (kist_streq(names[i], option))
			return true;
	return false;
}

/* name: of a volume, NULL for others. */
static struct json_object *mount_entry(const struct kist_mount_config *mount, const char *name)
{
	struct json_object *entry = json_object_new_object(), *options = json_object_new_array();
	const char *propagation = "rprivate";
	bool rw = true;

	for (size_t i = 0; mount->options && mount->options[i]; i++) {
		const char *option = mount->options[i];
		if (is_propagation(option))
			propagation = option;
		else if (kist_streq(option, "ro") || kist_streq(option, "rro"))
			rw = false;
		else if (!kist_streq(option, "rw"))
			json_object_array_add(options, json_object_new_string(option));
	}
	json_object_object_add(entry, "Type", view_text(mount->type));
	if (name)
		json_object_object_add(entry, "Name", view_text(name));
	json_object_object_add(entry, "Source", view_text(mount->source));
	json_object_object_add(entry, "Destination", view_text(mount->destination));
	json_object_object_add(entry, "Driver", view_text(name ? "local" : NULL));
	json_object_object_add(entry, "Mode", view_text(NULL));
	json_object_object_add(entry, "Options", options);
	json_object_object_add(entry, "RW", json_object_new_boolean(rw));
	json_object_object_add(entry, "Propagation", view_text(propagation));
	return entry;
}

/* As podman: volumes and binds are listed here, tmpfs in HostConfig. */
struct json_object *view_mounts(const struct view *v)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < v->config->n_named_volumes; i++) {
		const struct kist_volume_mount_config *volume = &v->config->named_volumes[i];
		KIST_FREE char *source = kist_volume_mountpoint(v->c->k, volume->name);
		KIST_STRV char **options = kist_volume_mount_options(volume);
		const struct kist_mount_config mount = { volume->destination, (char *)"volume", source, options };
		json_object_array_add(list, mount_entry(&mount, volume->name));
	}
	for (size_t i = 0; i < v->config->n_mounts; i++)
		if (kist_streq(v->config->mounts[i].type, "bind") || kist_streq(v->config->mounts[i].type, "image"))
			json_object_array_add(list, mount_entry(&v->config->mounts[i], NULL));
	return list;
}

/* As podman: read-write or read-only, the propagation, and then the rest. */
static void add_bind(struct json_object *list, const char *source, const char *destination, char *const *options)
{
	KIST_STR struct kist_str rest = { 0 };
	const char *propagation = "rprivate", *access = "rw";

	for (; options && *options; options++)
		if (is_propagation(*options))
			propagation = *options;
		else if (kist_streq(*options, "ro") || kist_streq(*options, "rro") || kist_streq(*options, "rw"))
			access = *options;
		else
			kist_str_addf(&rest, ",%s", *options);
	KIST_FREE char *text =
	        kist_asprintf("%s:%s:%s,%s%s", source, destination, access, propagation, kist_str_get(&rest));
	json_object_array_add(list, json_object_new_string(text));
}

static struct json_object *binds(const struct view *v)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < v->config->n_named_volumes; i++) {
		const struct kist_volume_mount_config *volume = &v->config->named_volumes[i];
		KIST_STRV char **options = kist_volume_mount_options(volume);
		add_bind(list, volume->name, volume->destination, options);
	}
	for (size_t i = 0; i < v->config->n_mounts; i++) {
		const struct kist_mount_config *mount = &v->config->mounts[i];
		if (kist_streq(mount->type, "bind"))
			add_bind(list, mount->source, mount->destination, mount->options);
	}
	return list;
}

static struct json_object *tmpfs(const struct view *v)
{
	struct json_object *map = json_object_new_object();

	if (v->config->read_only && v->config->read_only_tmpfs) {
		KIST_FREE char *options = kist_strv_join((char *const *)plan_writable_options, ",");
		for (const char *const *place = plan_writable_places; *place; place++)
			json_object_object_add(map, *place, json_object_new_string(options));
	}
	for (size_t i = 0; i < v->config->n_named_volumes; i++)
		json_object_object_del(map, v->config->named_volumes[i].destination);
	for (size_t i = 0; i < v->config->n_mounts; i++) {
		const struct kist_mount_config *mount = &v->config->mounts[i];
		KIST_FREE char *options = kist_strv_join(mount->options, ",");
		/* The user's mount at a place replaces the default one, whatever it is. */
		json_object_object_del(map, mount->destination);
		if (kist_streq(mount->type, "tmpfs"))
			json_object_object_add(map, mount->destination, view_text(options));
	}
	return map;
}

/* --- modes, logs, security ------------------------------------------------------------------------------------------
 */

static struct json_object *cgroup_manager(const struct view *v)
{
	(void)v;
	return view_text("cgroupfs");
}

static struct json_object *cgroups(const struct view *v)
{
	return view_text(kist_streq(v->config->cgroups, "enabled") ? "default" : v->config->cgroups);
}

static struct json_object *user_mode(const struct view *v)
{
	const char *mode = v->config->user_ns;

	if (kist_streq(mode, "host"))
		return view_text(NULL);
	return view_text(kist_userns_is_auto(mode) || kist_userns_is_keep_id(mode) ? "private" : mode);
}

static struct json_object *map_lines(const struct kist_spec_id_map *maps, size_t n)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *line = kist_asprintf("%u:%u:%u", maps[i].container_id, maps[i].host_id, maps[i].size);
		json_object_array_add(list, json_object_new_string(line));
	}
	return list;
}

static struct json_object *id_mappings(const struct view *v)
{
	struct json_object *both;

	if (!v->config->n_uid_map)
		return NULL;
	both = json_object_new_object();
	json_object_object_add(both, "UidMap", map_lines(v->config->uid_map, v->config->n_uid_map));
	json_object_object_add(both, "GidMap", map_lines(v->config->gid_map, v->config->n_gid_map));
	return both;
}

static struct json_object *runtime(const struct view *v)
{
	(void)v;
	return view_text("oci");
}

static struct json_object *console_size(const struct view *v)
{
	struct json_object *list = json_object_new_array();

	(void)v;
	json_object_array_add(list, json_object_new_int(0));
	json_object_array_add(list, json_object_new_int(0));
	return list;
}

static struct json_object *log_path(const struct view *v)
{
	KIST_FREE char *beside = kist_container_path(v->c, "ctr.log");

	if (!kist_log_is_kept(v->config->log_driver))
		return view_text(NULL);
	return view_text(v->config->log_path ? v->config->log_path : beside);
}

static struct json_object *log_size(const struct view *v)
{
	char text[24];

	return view_text(kist_size_human(text, v->config->log_max_size));
}

static const struct view_row log_rows[] = {
	VIEW_MEMBER("Type", STRING, log_driver), VIEW_CONSTANT("Config", NULL), VIEW_FROM("Path", log_path),
	VIEW_MEMBER("Tag", STRING, log_tag),     VIEW_FROM("Size", log_size),   { 0 },
};

static const struct view_row restart_rows[] = {
	VIEW_MEMBER("Name", STRING, restart_policy),
	VIEW_MEMBER("MaximumRetryCount", U32, restart_retries),
	{ 0 },
};

/* What the set has that the other lacks. */
static struct json_object *caps_beyond(char *const *set, char *const *other)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; set && set[i]; i++)
		if (!kist_strv_has(other, set[i]))
			json_object_array_add(list, json_object_new_string(set[i]));
	return list;
}

static char **default_caps(void)
{
	struct kist_container_config plain = { 0 };
	char **caps = NULL;

	kist_plan_caps(&plain, &caps, NULL);
	return caps;
}

static struct json_object *cap_add(const struct view *v)
{
	KIST_STRV char **defaults = default_caps();

	return v->config->privileged ? json_object_new_array() : caps_beyond(v->caps, defaults);
}

static struct json_object *cap_drop(const struct view *v)
{
	KIST_STRV char **defaults = default_caps();

	return v->config->privileged ? json_object_new_array() : caps_beyond(defaults, v->caps);
}

static void add_option(struct json_object *list, const char *key, const char *value)
{
	if (value) {
		KIST_FREE char *text = kist_asprintf("%s=%s", key, value);
		json_object_array_add(list, json_object_new_string(text));
	}
}

static struct json_object *security(const struct view *v)
{
	struct json_object *list = json_object_new_array();
	const struct kist_container_config *config = v->config;

	if (config->no_new_privileges)
		json_object_array_add(list, json_object_new_string("no-new-privileges"));
	add_option(list, "seccomp", config->seccomp);
	add_option(list, "apparmor", config->apparmor);
	add_option(list, "proc-opts", config->proc_opts);
	for (size_t i = 0; config->mask && config->mask[i]; i++)
		add_option(list, "mask", config->mask[i]);
	for (size_t i = 0; config->unmask && config->unmask[i]; i++)
		add_option(list, "unmask", config->unmask[i]);
	return list;
}

/* --- limits ---------------------------------------------------------------------------------------------------------
 */

static int64_t limit(struct kist_opt opt)
{
	return opt.set ? opt.value : 0;
}

static const struct kist_spec_memory *memory_of(const struct view *v)
{
	static const struct kist_spec_memory none = { 0 };

	return v->config->resources && v->config->resources->memory ? v->config->resources->memory : &none;
}

static const struct kist_spec_cpu *cpu_of(const struct view *v)
{
	static const struct kist_spec_cpu none = { 0 };

	return v->config->resources && v->config->resources->cpu ? v->config->resources->cpu : &none;
}

static const struct kist_spec_blkio *io_of(const struct view *v)
{
	static const struct kist_spec_blkio none = { 0 };

	return v->config->resources && v->config->resources->block_io ? v->config->resources->block_io : &none;
}

static struct json_object *oom_score_adj(const struct view *v)
{
	return view_int(limit(v->config->oom_score_adj));
}

static struct json_object *cpu_shares(const struct view *v)
{
	return view_int(limit(cpu_of(v)->shares));
}

static struct json_object *cpu_period(const struct view *v)
{
	return view_int(limit(cpu_of(v)->period));
}

static struct json_object *cpu_quota(const struct view *v)
{
	return view_int(limit(cpu_of(v)->quota));
}

static struct json_object *nano_cpus(const struct view *v)
{
	int64_t quota = limit(cpu_of(v)->quota), period = limit(cpu_of(v)->period);

	return view_int(quota > 0 && period > 0 ? (int64_t)((double)quota / (double)period * 1e9 + 0.5) : 0);
}

static struct json_object *cpuset_cpus(const struct view *v)
{
	return view_text(cpu_of(v)->cpus);
}

static struct json_object *cpuset_mems(const struct view *v)
{
	return view_text(cpu_of(v)->mems);
}

static struct json_object *memory(const struct view *v)
{
	return view_int(limit(memory_of(v)->limit));
}

static struct json_object *memory_reservation(const struct view *v)
{
	return view_int(limit(memory_of(v)->reservation));
}

static struct json_object *memory_swap(const struct view *v)
{
	return view_int(limit(memory_of(v)->swap));
}

static struct json_object *memory_swappiness(const struct view *v)
{
	struct kist_opt value = memory_of(v)->swappiness;
	bool asked = v->config->resources && v->config->resources->memory;

	return view_int(value.set ? value.value : asked ? -1 : 0);
}

static struct json_object *oom_kill_disable(const struct view *v)
{
	return json_object_new_boolean(limit(memory_of(v)->disable_oom_killer) != 0);
}

static struct json_object *pids_limit(const struct view *v)
{
	int64_t value = v->config->resources ? limit(v->config->resources->pids_limit) : 0;

	return view_int(value < 0 ? 0 : value);
}

static struct json_object *cgroup_conf(const struct view *v)
{
	return v->config->resources && v->config->resources->unified ? view_map(v->config->resources->unified) : NULL;
}

static struct json_object *io_weight(const struct view *v)
{
	return view_int(limit(io_of(v)->weight));
}

/* The node of a device, by the kernel's word; "8:0" where it says none. */
static char *device_path(int64_t major, int64_t minor)
{
	char path[80], text[4096];

	snprintf(path, sizeof(path), "/sys/dev/block/%lld:%lld/uevent", (long long)major, (long long)minor);
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	char *name = strstr(text, "DEVNAME=");
	if (!name)
		return kist_asprintf("%lld:%lld", (long long)major, (long long)minor);
	name += strlen("DEVNAME=");
	name[strcspn(name, "\n")] = '\0';
	return kist_asprintf("/dev/%s", name);
}

static struct json_object *device_entry(int64_t major, int64_t minor, const char *key, int64_t value)
{
	struct json_object *entry = json_object_new_object();
	KIST_FREE char *path = device_path(major, minor);

	json_object_object_add(entry, "Path", json_object_new_string(path));
	json_object_object_add(entry, key, json_object_new_int64(value));
	return entry;
}

static struct json_object *rates(const struct kist_spec_throttle_device *devices, size_t n)
{
	struct json_object *list = n ? json_object_new_array() : NULL;

	for (size_t i = 0; i < n; i++)
		json_object_array_add(
		        list, device_entry(devices[i].major, devices[i].minor, "Rate", (int64_t)devices[i].rate));
	return list;
}

static struct json_object *io_weight_device(const struct view *v)
{
	const struct kist_spec_blkio *io = io_of(v);
	struct json_object *list = io->n_weight_device ? json_object_new_array() : NULL;

	for (size_t i = 0; i < io->n_weight_device; i++) {
		const struct kist_spec_weight_device *device = &io->weight_device[i];
		json_object_array_add(list,
		                      device_entry(device->major, device->minor, "Weight", limit(device->weight)));
	}
	return list;
}

static struct json_object *io_read_bps(const struct view *v)
{
	return rates(io_of(v)->throttle_read_bps_device, io_of(v)->n_throttle_read_bps_device);
}

static struct json_object *io_write_bps(const struct view *v)
{
	return rates(io_of(v)->throttle_write_bps_device, io_of(v)->n_throttle_write_bps_device);
}

static struct json_object *io_read_iops(const struct view *v)
{
	return rates(io_of(v)->throttle_read_iops_device, io_of(v)->n_throttle_read_iops_device);
}

static struct json_object *io_write_iops(const struct view *v)
{
	return rates(io_of(v)->throttle_write_iops_device, io_of(v)->n_throttle_write_iops_device);
}

static struct json_object *devices(const struct view *v)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < v->config->n_devices; i++) {
		const struct kist_device_config *device = &v->config->devices[i];
		struct json_object *entry = json_object_new_object();
		json_object_object_add(entry, "PathOnHost", view_text(device->source));
		json_object_object_add(entry, "PathInContainer", view_text(device->destination));
		json_object_object_add(entry, "CgroupPermissions", view_text(device->access));
		json_object_array_add(list, entry);
	}
	return list;
}

/* Unlimited is -1, as podman writes it. */
static int64_t rlimit_number(uint64_t value)
{
	return value > INT64_MAX ? -1 : (int64_t)value;
}

static struct json_object *ulimits(const struct view *v)
{
	struct json_object *list = json_object_new_array();
	struct kist_spec_process process;

	kist_table_init(&kist_spec_process_table, &process);
	kist_plan_limits(v->config, &process);
	for (size_t i = 0; i < process.n_rlimits; i++) {
		struct json_object *entry = json_object_new_object();
		json_object_object_add(entry, "Name", view_text(process.rlimits[i].type));
		json_object_object_add(entry, "Soft", json_object_new_int64(rlimit_number(process.rlimits[i].soft)));
		json_object_object_add(entry, "Hard", json_object_new_int64(rlimit_number(process.rlimits[i].hard)));
		json_object_array_add(list, entry);
	}
	kist_table_release(&kist_spec_process_table, &process);
	return list;
}

static struct json_object *network_mode(const struct view *v)
{
	return view_text(v->config->n_networks ? "bridge" : v->config->net_ns);
}

/* Names as they were given; a container without any has none, not an empty list. */
static struct json_object *volumes_from(const struct view *v)
{
	return v->config->volumes_from ? view_list(v->config->volumes_from) : NULL;
}

const struct view_row view_host_rows[] = {
	VIEW_FROM("Binds", binds),
	VIEW_FROM("CgroupManager", cgroup_manager),
	VIEW_MEMBER("CgroupMode", STRING, cgroup_ns),
	VIEW_MEMBER("ContainerIDFile", STRING, cidfile),
	VIEW_ROWS("LogConfig", log_rows),
	VIEW_FROM("NetworkMode", network_mode),
	VIEW_FROM("PortBindings", view_port_bindings),
	VIEW_ROWS("RestartPolicy", restart_rows),
	VIEW_MEMBER("AutoRemove", BOOL, auto_remove),
	VIEW_MEMBER("AutoRemoveImage", BOOL, auto_remove_image),
	VIEW_MEMBER("Annotations", MAP, annotations),
	VIEW_CONSTANT("VolumeDriver", EMPTY),
	VIEW_FROM("VolumesFrom", volumes_from),
	VIEW_FROM("CapAdd", cap_add),
	VIEW_FROM("CapDrop", cap_drop),
	VIEW_MEMBER("Dns", STRV, dns_servers),
	VIEW_MEMBER("DnsOptions", STRV, dns_options),
	VIEW_MEMBER("DnsSearch", STRV, dns_search),
	VIEW_MEMBER("ExtraHosts", STRV, add_hosts),
	VIEW_MEMBER("HostsFile", STRING, hosts_file),
	VIEW_MEMBER("GroupAdd", STRV, groups),
	VIEW_MEMBER("IpcMode", STRING, ipc_ns),
	VIEW_CONSTANT("Cgroup", EMPTY),
	VIEW_FROM("Cgroups", cgroups),
	VIEW_CONSTANT("Links", NULL),
	VIEW_FROM("OomScoreAdj", oom_score_adj),
	VIEW_MEMBER("PidMode", STRING, pid_ns),
	VIEW_MEMBER("Privileged", BOOL, privileged),
	VIEW_MEMBER("PublishAllPorts", BOOL, publish_all),
	VIEW_MEMBER("ReadonlyRootfs", BOOL, read_only),
	VIEW_FROM("SecurityOpt", security),
	VIEW_FROM("Tmpfs", tmpfs),
	VIEW_MEMBER("UTSMode", STRING, uts_ns),
	VIEW_FROM("UsernsMode", user_mode),
	VIEW_FROM("IDMappings", id_mappings),
	VIEW_MEMBER("ShmSize", U64, shm_size),
	VIEW_FROM("Runtime", runtime),
	VIEW_FROM("ConsoleSize", console_size),
	VIEW_CONSTANT("Isolation", EMPTY),
	VIEW_FROM("CpuShares", cpu_shares),
	VIEW_FROM("Memory", memory),
	VIEW_FROM("NanoCpus", nano_cpus),
	VIEW_MEMBER("CgroupParent", STRING, cgroup_parent),
	VIEW_FROM("BlkioWeight", io_weight),
	VIEW_FROM("BlkioWeightDevice", io_weight_device),
	VIEW_FROM("BlkioDeviceReadBps", io_read_bps),
	VIEW_FROM("BlkioDeviceWriteBps", io_write_bps),
	VIEW_FROM("BlkioDeviceReadIOps", io_read_iops),
	VIEW_FROM("BlkioDeviceWriteIOps", io_write_iops),
	VIEW_FROM("CpuPeriod", cpu_period),
	VIEW_FROM("CpuQuota", cpu_quota),
	VIEW_CONSTANT("CpuRealtimePeriod", ZERO),
	VIEW_CONSTANT("CpuRealtimeRuntime", ZERO),
	VIEW_FROM("CpusetCpus", cpuset_cpus),
	VIEW_FROM("CpusetMems", cpuset_mems),
	VIEW_FROM("Devices", devices),
	VIEW_CONSTANT("DiskQuota", ZERO),
	VIEW_CONSTANT("KernelMemory", ZERO),
	VIEW_FROM("MemoryReservation", memory_reservation),
	VIEW_FROM("MemorySwap", memory_swap),
	VIEW_FROM("MemorySwappiness", memory_swappiness),
	VIEW_FROM("OomKillDisable", oom_kill_disable),
	VIEW_MEMBER("Init", BOOL, init),
	VIEW_FROM("PidsLimit", pids_limit),
	VIEW_FROM("Ulimits", ulimits),
	VIEW_CONSTANT("CpuCount", ZERO),
	VIEW_CONSTANT("CpuPercent", ZERO),
	VIEW_CONSTANT("IOMaximumIOps", ZERO),
	VIEW_CONSTANT("IOMaximumBandwidth", ZERO),
	VIEW_FROM("CgroupConf", cgroup_conf),
	{ 0 },
};
