/* Limits, devices and security options of run and create. */
#include "cli/create.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* --- resources ------------------------------------------------------------------------------------------------------
 */

static struct kist_spec_resources *resources_of(struct kist_container_config *config)
{
	if (!config->resources) {
		config->resources = kist_alloc(sizeof(*config->resources));
		kist_table_init(&kist_spec_resources_table, config->resources);
	}
	return config->resources;
}

static struct kist_spec_memory *memory_of(struct kist_container_config *config)
{
	struct kist_spec_resources *resources = resources_of(config);

	if (!resources->memory)
		resources->memory = kist_alloc(sizeof(*resources->memory));
	return resources->memory;
}

static struct kist_spec_cpu *cpu_of(struct kist_container_config *config)
{
	struct kist_spec_resources *resources = resources_of(config);

	if (!resources->cpu)
		resources->cpu = kist_alloc(sizeof(*resources->cpu));
	return resources->cpu;
}

static struct kist_spec_blkio *blkio_of(struct kist_container_config *config)
{
	struct kist_spec_resources *resources = resources_of(config);

	if (!resources->block_io)
		resources->block_io = kist_alloc(sizeof(*resources->block_io));
	return resources->block_io;
}

static int limit_memory(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	if (o->memory.set)
		memory_of(config)->limit = o->memory;
	if (o->memory_reservation.set)
		memory_of(config)->reservation = o->memory_reservation;
	if (o->memory_swap.set) {
		if (!o->memory.set)
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "memory-swap is a limit of memory and swap together: give --memory too");
		if (o->memory_swap.value != -1 && o->memory_swap.value < o->memory.value)
			return kist_fail(err, KIST_ERR_INVALID, 0, "memory-swap must not be less than memory");
		memory_of(config)->swap = o->memory_swap;
	} else if (o->memory.set && o->memory.value > 0) {
		/* As podman and docker: as much swap again as memory. */
		memory_of(config)->swap = (struct kist_opt){ true, o->memory.value * 2 };
	}
	if (o->memory_reservation.set && o->memory.set && o->memory.value > 0 &&
	    o->memory_reservation.value > o->memory.value)
		return kist_fail(err, KIST_ERR_INVALID, 0, "memory-reservation must not be more than memory");
	return 0;
}

static int limit_cpu(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	if (o->cpus.set && (o->cpu_quota.set || o->cpu_period.set))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "--cpus sets quota and period: it excludes --cpu-quota and --cpu-period");
	/* 0 is no limit. */
	if (o->cpus.set && o->cpus.value > 0) {
		const int64_t period = 100000;
		if (o->cpus.value < 10000000)
			return kist_fail(err, KIST_ERR_INVALID, 0, "--cpus must be at least 0.01");
		cpu_of(config)->period = (struct kist_opt){ true, period };
		cpu_of(config)->quota = (struct kist_opt){ true, o->cpus.value / (1000000000 / period) };
	}
	if (o->cpu_period.set)
		cpu_of(config)->period = o->cpu_period;
	if (o->cpu_quota.set)
		cpu_of(config)->quota = o->cpu_quota;
	if (o->cpu_shares.set)
		cpu_of(config)->shares = o->cpu_shares;
	if (o->cpuset_cpus)
		cpu_of(config)->cpus = kist_strdup(o->cpuset_cpus);
	if (o->cpuset_mems)
		cpu_of(config)->mems = kist_strdup(o->cpuset_mems);
	return 0;
}

/* "/dev/sda:VALUE" */
static int block_device(const char *option, const char *text, int64_t *major_, int64_t *minor_, const char **value,
                        struct kist_error *err)
{
	const char *colon = strrchr(text, ':');
	struct stat st;

	if (!colon || colon == text || !colon[1])
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s '%s': expected DEVICE:VALUE", option, text);
	KIST_FREE char *path = kist_strndup(text, (size_t)(colon - text));
	if (stat(path, &st) < 0)
		return kist_fail_errno(err, errno, "%s: device %s", option, path);
	if (!S_ISBLK(st.st_mode))
		return kist_fail(err, KIST_ERR_INVALID, ENOTBLK, "%s: %s is not a block device", option, path);
	*major_ = major(st.st_rdev);
	*minor_ = minor(st.st_rdev);
	*value = colon + 1;
	return 0;
}

static int limit_rates(const char *option, char *const *texts, struct kist_spec_throttle_device **list, size_t *n,
                       struct kist_error *err)
{
	for (size_t i = 0; texts && texts[i]; i++) {
		struct kist_spec_throttle_device device = { 0 };
		const char *value;
		int r = block_device(option, texts[i], &device.major, &device.minor, &value, err);
		if (r < 0)
			return r;
		if (kist_parse_size(value, &device.rate) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s '%s': '%s' is not a rate", option, texts[i],
			                 value);
		*list = kist_grow(*list, *n + 1, sizeof(**list));
		(*list)[(*n)++] = device;
	}
	return 0;
}

static int limit_blkio(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	if (o->blkio_weight.set)
		blkio_of(config)->weight = o->blkio_weight;
	for (size_t i = 0; o->blkio_weight_device && o->blkio_weight_device[i]; i++) {
		struct kist_spec_weight_device device = { 0 };
		const char *value;
		uint32_t weight;
		int r = block_device("blkio-weight-device", o->blkio_weight_device[i], &device.major, &device.minor,
		                     &value, err);
		if (r < 0)
			return r;
		if (kist_parse_u32(value, &weight) < 0 || weight < 10 || weight > 1000)
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "blkio-weight-device '%s': expected a weight of 10 to 1000", value);
		device.weight = (struct kist_opt){ true, weight };
		struct kist_spec_blkio *blkio = blkio_of(config);
		blkio->weight_device = kist_grow(blkio->weight_device, blkio->n_weight_device + 1, sizeof(device));
		blkio->weight_device[blkio->n_weight_device++] = device;
	}
	struct kist_spec_blkio *blkio =
	        o->read_bps || o->write_bps || o->read_iops || o->write_iops ? blkio_of(config) : NULL;
	if (!blkio)
		return 0;
	int r = limit_rates("device-read-bps", o->read_bps, &blkio->throttle_read_bps_device,
	                    &blkio->n_throttle_read_bps_device, err);
	if (r == 0)
		r = limit_rates("device-write-bps", o->write_bps, &blkio->throttle_write_bps_device,
		                &blkio->n_throttle_write_bps_device, err);
	if (r == 0)
		r = limit_rates("device-read-iops", o->read_iops, &blkio->throttle_read_iops_device,
		                &blkio->n_throttle_read_iops_device, err);
	if (r == 0)
		r = limit_rates("device-write-iops", o->write_iops, &blkio->throttle_write_iops_device,
		                &blkio->n_throttle_write_iops_device, err);
	return r;
}

int create_limit_values(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	int r = limit_memory(o, config, err);
	if (r == 0)
		r = limit_cpu(o, config, err);
	if (r == 0)
		r = limit_blkio(o, config, err);
	if (r < 0)
		return r;
	for (size_t i = 0; o->cgroup_conf && o->cgroup_conf[i]; i++) {
		if (!strchr(o->cgroup_conf[i], '='))
			return kist_fail(err, KIST_ERR_INVALID, 0, "cgroup-conf '%s': expected FILE=VALUE",
			                 o->cgroup_conf[i]);
		kist_env_put(&resources_of(config)->unified, o->cgroup_conf[i]);
	}
	if (o->pids_limit.set)
		resources_of(config)->pids_limit =
		        (struct kist_opt){ true, o->pids_limit.value == 0 ? -1 : o->pids_limit.value };
	return 0;
}

int create_limits(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                  struct kist_error *err)
{
	const struct kist_settings *settings = kist_settings(cli->k);

	int r = create_limit_values(o, config, err);
	if (r < 0)
		return r;
	bool no_cgroup = kist_streq(o->cgroups, "disabled");
	if (no_cgroup && config->resources)
		return kist_fail(err, KIST_ERR_INVALID, 0, "limits need a cgroup: they exclude --cgroups=disabled");
	if (!o->pids_limit.set && settings->pids_limit > 0 && !no_cgroup) {
		resources_of(config)->pids_limit = (struct kist_opt){ true, settings->pids_limit };
		config->pids_limit_default = true;
	}
	return 0;
}

/* --- devices, rlimits, security -------------------------------------------------------------------------------------
 */

static bool is_access(const char *text)
{
	return *text && text[strspn(text, "rwm")] == '\0';
}

/* HOST[:CONTAINER][:ACCESS] */
static int add_device(struct kist_container_config *config, const char *text, struct kist_error *err)
{
	KIST_STRV char **parts = kist_strv_split(text, ':');
	size_t n = kist_strv_len(parts);
	const char *destination = n > 1 && !is_access(parts[1]) ? parts[1] : parts[0];
	const char *access = n == 3 ? parts[2] : n == 2 && is_access(parts[1]) ? parts[1] : "rwm";

	if (n < 1 || n > 3 || parts[0][0] != '/' || destination[0] != '/' || !is_access(access) ||
	    (n == 3 && is_access(parts[1])))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "device '%s': expected HOST[:CONTAINER][:ACCESS] such as /dev/fuse:/dev/fuse:rw",
		                 text);
	config->devices = kist_grow(config->devices, config->n_devices + 1, sizeof(*config->devices));
	config->devices[config->n_devices++] = (struct kist_device_config){
		.source = kist_strdup(parts[0]),
		.destination = kist_strdup(destination),
		.access = kist_strdup(access),
	};
	return 0;
}

static const struct {
	const char *name, *type;
	int resource;
} limit_rows[] = {
	{ "as", "RLIMIT_AS", RLIMIT_AS },
	{ "core", "RLIMIT_CORE", RLIMIT_CORE },
	{ "cpu", "RLIMIT_CPU", RLIMIT_CPU },
	{ "data", "RLIMIT_DATA", RLIMIT_DATA },
	{ "fsize", "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "locks", "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "memlock", "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "msgqueue", "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "nice", "RLIMIT_NICE", RLIMIT_NICE },
	{ "nofile", "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "nproc", "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "rss", "RLIMIT_RSS", RLIMIT_RSS },
	{ "rtprio", "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "rttime", "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "sigpending", "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "stack", "RLIMIT_STACK", RLIMIT_STACK },
};

static void set_limit(struct kist_container_config *config, const char *type, uint64_t soft, uint64_t hard)
{
	for (size_t i = 0; i < config->n_rlimits; i++)
		if (kist_streq(config->rlimits[i].type, type)) {
			config->rlimits[i].soft = soft;
			config->rlimits[i].hard = hard;
			return;
		}
	config->rlimits = kist_grow(config->rlimits, config->n_rlimits + 1, sizeof(*config->rlimits));
	config->rlimits[config->n_rlimits++] =
	        (struct kist_spec_rlimit){ .type = kist_strdup(type), .soft = soft, .hard = hard };
}

static int parse_limit(const char *text, uint64_t *out)
{
	if (kist_streq(text, "-1") || kist_streq(text, "unlimited")) {
		*out = UINT64_MAX;
		return 0;
	}
	return kist_parse_u64(text, out);
}

/* NAME=SOFT[:HARD], or "host": all as this process has them. */
static int add_ulimit(struct kist_container_config *config, const char *text, struct kist_error *err)
{
	const char *equals = strchr(text, '=');
	uint64_t soft, hard;

	if (kist_streq(text, "host")) {
		for (size_t i = 0; i < KIST_COUNT(limit_rows); i++) {
			struct rlimit own;
			if (getrlimit(limit_rows[i].resource, &own) == 0)
				set_limit(config, limit_rows[i].type, own.rlim_cur, own.rlim_max);
		}
		return 0;
	}
	KIST_FREE char *name = kist_strndup(text, equals ? (size_t)(equals - text) : strlen(text));
	KIST_STRV char **values = equals ? kist_strv_split(equals + 1, ':') : NULL;
	size_t n = kist_strv_len(values);
	if (n < 1 || n > 2 || parse_limit(values[0], &soft) < 0 || (n == 2 && parse_limit(values[1], &hard) < 0))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "ulimit '%s': expected NAME=SOFT[:HARD] such as nofile=1024:2048", text);
	if (n == 1)
		hard = soft;
	if (soft > hard)
		return kist_fail(err, KIST_ERR_INVALID, 0, "ulimit '%s': the soft limit is above the hard limit", text);
	for (size_t i = 0; i < KIST_COUNT(limit_rows); i++)
		if (kist_streq(limit_rows[i].name, name)) {
			set_limit(config, limit_rows[i].type, soft, hard);
			return 0;
		}
	return kist_fail(err, KIST_ERR_INVALID, 0, "ulimit '%s': '%s' is not a resource limit", text, name);
}

static int security_option(struct kist_container_config *config, const char *text, struct kist_error *err)
{
	const char *value = strpbrk(text, "=:");
	KIST_FREE char *key = kist_strndup(text, value ? (size_t)(value - text) : strlen(text));

	value = value ? value + 1 : NULL;
	if (kist_streq(key, "no-new-privileges")) {
		if (value && kist_parse_bool(value, &config->no_new_privileges) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "security-opt '%s': expected true or false", text);
		if (!value)
			config->no_new_privileges = true;
		return 0;
	}
	char **paths = NULL, **to = NULL;
	if (kist_empty(value))
		return kist_fail(err, KIST_ERR_INVALID, 0, "security-opt '%s': expected OPTION=VALUE", text);
	if (kist_streq(key, "seccomp")) {
		free(config->seccomp);
		config->seccomp = kist_strdup(value);
	} else if (kist_streq(key, "apparmor")) {
		free(config->apparmor);
		config->apparmor = kist_strdup(value);
	} else if (kist_streq(key, "proc-opts")) {
		free(config->proc_opts);
		config->proc_opts = kist_strdup(value);
	} else if (kist_streq(key, "label")) {
		/* Labels are SELinux's, and containers have none: there is nothing to turn off. */
		if (kist_streq(value, "disable"))
			return 0;
		return access("/sys/fs/selinux/enforce", F_OK) < 0
		               ? kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                           "security-opt '%s': this host has no SELinux", text)
		               : kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                           "security-opt '%s' is not supported: containers have no labels", text);
	} else if (kist_streq(key, "mask") || kist_streq(key, "unmask")) {
		paths = kist_strv_split(value, ':');
		to = kist_streq(key, "mask") ? config->mask : config->unmask;
		for (size_t i = 0; paths && paths[i]; i++)
			kist_strv_add(&to, paths[i]);
		kist_strv_free(paths);
		*(kist_streq(key, "mask") ? &config->mask : &config->unmask) = to;
	} else {
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "security-opt '%s' is not supported", key);
	}
	return 0;
}

int create_security(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	int r = 0;

	config->privileged = o->privileged;
	config->cap_add = kist_strv_copy(o->cap_add);
	config->cap_drop = kist_strv_copy(o->cap_drop);
	config->device_rules = kist_strv_copy(o->device_rule);
	config->oom_score_adj = o->oom_score_adj;
	for (size_t i = 0; r == 0 && o->device && o->device[i]; i++)
		r = add_device(config, o->device[i], err);
	for (size_t i = 0; r == 0 && o->ulimit && o->ulimit[i]; i++)
		r = add_ulimit(config, o->ulimit[i], err);
	for (size_t i = 0; r == 0 && o->security_opt && o->security_opt[i]; i++)
		r = security_option(config, o->security_opt[i], err);
	for (size_t i = 0; r == 0 && o->sysctl && o->sysctl[i]; i++) {
		if (!strchr(o->sysctl[i], '='))
			return kist_fail(err, KIST_ERR_INVALID, 0, "sysctl '%s': expected NAME=VALUE", o->sysctl[i]);
		kist_env_put(&config->sysctl, o->sysctl[i]);
	}
	return r;
}

int create_storage(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	for (char **option = o->storage_opt; option && *option; option++) {
		bool size = kist_has_prefix(*option, "size="), inodes = kist_has_prefix(*option, "inodes=");
		const char *value = strchr(*option, '=');
		uint64_t number = 0;

		if (!size && !inodes)
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "storage-opt '%s': expected size=BYTES or inodes=NUMBER", *option);
		if ((size ? kist_parse_size(value + 1, &number) : kist_parse_u64(value + 1, &number)) < 0 ||
		    number == 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "storage-opt '%s': expected a number from 1 on",
			                 *option);
		*(size ? &config->storage_size : &config->storage_inodes) = number;
	}
	return 0;
}
