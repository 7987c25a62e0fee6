/* kist generate run: the command line that makes a container like one that is there. It is made from the record, not
 * from what was typed, and read again before it is shown: what cannot be said by options is refused by name. */
#include "cli/create.h"
#include "cli/supervise_commands.h"

#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

struct generate_options {
	bool create;
};

/* --name=value, as one word: a value may begin with a dash. */
static void add(char ***words, const char *name, const char *value)
{
	if (value)
		kist_strv_take(words, kist_asprintf("--%s=%s", name, value));
}

static void add_number(char ***words, const char *name, int64_t value)
{
	kist_strv_take(words, kist_asprintf("--%s=%" PRId64, name, value));
}

static void add_opt(char ***words, const char *name, struct kist_opt value)
{
	if (value.set)
		add_number(words, name, value.value);
}

static void add_flag(char ***words, const char *name, bool value)
{
	if (value)
		kist_strv_take(words, kist_asprintf("--%s", name));
}

static void add_list(char ***words, const char *name, char *const *values)
{
	for (; values && *values; values++)
		add(words, name, *values);
}

static void add_json(char ***words, const char *name, char *const *values)
{
	KIST_JSON struct json_object *list = json_object_new_array();

	for (; values && *values; values++)
		json_object_array_add(list, json_object_new_string(*values));
	add(words, name, json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* --- parts ----------------------------------------------------------------------------------------------------------
 */

/* One field of a record of comma separated values. */
static void add_csv(struct kist_str *text, const char *key, const char *value)
{
	bool quoted = strpbrk(key, ",\"\n") || strpbrk(value, ",\"\n");

	if (text->len)
		kist_str_add(text, ",");
	if (quoted)
		kist_str_add(text, "\"");
	kist_str_add(text, key);
	for (; *value; value++)
		kist_str_addf(text, "%s%c", quoted && *value == '"' ? "\"" : "", *value);
	if (quoted)
		kist_str_add(text, "\"");
}

static void add_mount(char ***words, const char *type, const char *source, const char *destination,
                      char *const *options)
{
	KIST_STR struct kist_str text = { 0 };

	add_csv(&text, "type=", type);
	if (source)
		add_csv(&text, "source=", source);
	add_csv(&text, "destination=", destination);
	for (char *const *option = options; option && *option; option++)
		add_csv(&text, "", *option);
	if (kist_streq(type, "tmpfs") && !kist_strv_has(options, "tmpcopyup"))
		add_csv(&text, "", "notmpcopyup");
	add(words, "mount", kist_str_get(&text));
}

static void add_mounts(char ***words, const struct kist_container_config *config)
{
	for (size_t i = 0; i < config->n_mounts; i++) {
		const struct kist_mount_config *mount = &config->mounts[i];
		bool sourced = kist_streq(mount->type, "bind") || kist_streq(mount->type, "image");
		add_mount(words, mount->type, sourced ? mount->source : NULL, mount->destination, mount->options);
	}
	for (size_t i = 0; i < config->n_named_volumes; i++) {
		const struct kist_volume_mount_config *volume = &config->named_volumes[i];
		KIST_STRV char **options = kist_strv_copy(volume->options);
		if (volume->subpath)
			kist_strv_take(&options, kist_asprintf("subpath=%s", volume->subpath));
		add_mount(words, "volume", volume->anonymous ? NULL : volume->name, volume->destination, options);
	}
	for (size_t i = 0; i < config->n_secrets; i++) {
		const struct kist_secret_config *secret = &config->secrets[i];
		KIST_STR struct kist_str text = { 0 };
		add_csv(&text, "source=", secret->name);
		add_csv(&text, "type=", secret->env ? "env" : "mount");
		if (secret->target)
			add_csv(&text, "target=", secret->target);
		if (!secret->env)
			kist_str_addf(&text, ",uid=%u,gid=%u", secret->uid, secret->gid);
		if (secret->mode.set)
			kist_str_addf(&text, ",mode=%04o", (unsigned)secret->mode.value);
		add(words, "secret", kist_str_get(&text));
	}
	for (size_t i = 0; i < config->n_devices; i++) {
		const struct kist_device_config *device = &config->devices[i];
		KIST_FREE char *text = kist_asprintf("%s:%s:%s", device->source, device->destination, device->access);
		add(words, "device", text);
	}
}

static void add_networks(char ***words, const struct kist_container_config *config)
{
	for (size_t i = 0; i < config->n_networks; i++) {
		const struct kist_network_config *place = &config->networks[i];
		const char *const values[][2] = { { "ip", place->ip },
			                          { "ip6", place->ip6 },
			                          { "mac", place->mac },
			                          { "interface_name", place->interface_name } };
		KIST_STR struct kist_str text = { 0 };
		kist_str_add(&text, place->name);
		char separator = ':';
		for (size_t j = 0; j < KIST_COUNT(values); j++) {
			if (!values[j][1])
				continue;
			kist_str_addf(&text, "%c%s=%s", separator, values[j][0], values[j][1]);
			separator = ',';
		}
		for (char **alias = place->aliases; alias && *alias; alias++) {
			kist_str_addf(&text, "%calias=%s", separator, *alias);
			separator = ',';
		}
		add(words, "network", kist_str_get(&text));
	}
	for (size_t i = 0; i < config->n_ports; i++) {
		const struct kist_port_config *port = &config->ports[i];
		bool v6 = port->host_ip && strchr(port->host_ip, ':');
		KIST_STR struct kist_str text = { 0 };
		if (port->host_ip)
			kist_str_addf(&text, "%s%s%s:", v6 ? "[" : "", port->host_ip, v6 ? "]" : "");
		if (port->host_port)
			kist_str_addf(&text, "%u", port->host_port);
		if (port->host_port && port->count > 1)
			kist_str_addf(&text, "-%u", port->host_port + port->count - 1);
		if (port->host_port || port->host_ip)
			kist_str_add(&text, ":");
		kist_str_addf(&text, "%u", port->container_port);
		if (port->count > 1)
			kist_str_addf(&text, "-%u", port->container_port + port->count - 1);
		kist_str_addf(&text, "/%s", port->protocol);
		add(words, "publish", kist_str_get(&text));
	}
	add_list(words, "expose", config->expose);
	add_flag(words, "publish-all", config->publish_all);
}

static void add_maps(char ***words, const char *name, const struct kist_spec_id_map *maps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *text = kist_asprintf("%u:%u:%u", maps[i].container_id, maps[i].host_id, maps[i].size);
		add(words, name, text);
	}
}

/* Those that differ from the default; of a container in a pod, those that it does not have from the pod. */
static void add_namespaces(char ***words, const struct kist_container_config *config, const char *infra)
{
	KIST_FREE char *theirs = infra ? kist_asprintf("container:%s", infra) : NULL;
	const struct {
		const char *option, *mode, *fallback;
	} modes[] = {
		{ "pid", config->pid_ns, "private" },         { "ipc", config->ipc_ns, "shareable" },
		{ "uts", config->uts_ns, "private" },         { "userns", config->user_ns, "host" },
		{ "cgroupns", config->cgroup_ns, "private" },
	};
	bool mapped = kist_streq(config->user_ns, "private");

	for (size_t i = 0; i < KIST_COUNT(modes); i++) {
		bool usual = kist_streq(modes[i].mode, theirs ? theirs : modes[i].fallback);
		if (!usual && !(mapped && kist_streq(modes[i].option, "userns")))
			add(words, modes[i].option, modes[i].mode);
	}
	if (mapped) {
		add_maps(words, "uidmap", config->uid_map, config->n_uid_map);
		add_maps(words, "gidmap", config->gid_map, config->n_gid_map);
	}
	if (config->n_networks == 0 && !(theirs && kist_streq(config->net_ns, theirs)))
		add(words, "network", config->net_ns);
}

static void add_duration(char ***words, const char *name, int64_t nanoseconds)
{
	bool whole = nanoseconds % 1000000000 == 0;
	KIST_FREE char *text =
	        kist_asprintf("%" PRId64 "%s", whole ? nanoseconds / 1000000000 : nanoseconds, whole ? "s" : "ns");

	add(words, name, text);
}

static void add_health(char ***words, const struct kist_health_config *health)
{
	static const char *const actions[] = { "none", "kill", "restart", "stop" };

	if (health->test && kist_streq(health->test[0], "NONE"))
		add_flag(words, "no-healthcheck", true);
	if (!kist_health_is_checked(health))
		return;
	add_json(words, "health-cmd", health->test);
	if (health->interval)
		add_duration(words, "health-interval", health->interval);
	else
		add(words, "health-interval", "disable");
	add_duration(words, "health-timeout", health->timeout);
	add_duration(words, "health-start-period", health->start_period);
	add_number(words, "health-retries", health->retries);
	add(words, "health-on-failure", actions[health->on_failure]);
	add_number(words, "health-max-log-count", health->log_count);
	add_number(words, "health-max-log-size", health->log_size);
	add(words, "health-log-destination", health->log_destination);
	if (!health->startup_test)
		return;
	add_json(words, "health-startup-cmd", health->startup_test);
	if (health->startup_interval)
		add_duration(words, "health-startup-interval", health->startup_interval);
	else
		add(words, "health-startup-interval", "disable");
	add_duration(words, "health-startup-timeout", health->startup_timeout);
	add_number(words, "health-startup-retries", health->startup_retries);
	add_number(words, "health-startup-success", health->startup_success);
}

static void add_rates(char ***words, const char *name, const struct kist_spec_throttle_device *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *text = kist_asprintf("/dev/block/%" PRId64 ":%" PRId64 ":%" PRIu64, list[i].major,
		                                     list[i].minor, list[i].rate);
		add(words, name, text);
	}
}

static void add_blkio(char ***words, const struct kist_spec_blkio *io)
{
	add_opt(words, "blkio-weight", io->weight);
	for (size_t i = 0; i < io->n_weight_device; i++) {
		KIST_FREE char *text =
		        kist_asprintf("/dev/block/%" PRId64 ":%" PRId64 ":%" PRId64, io->weight_device[i].major,
		                      io->weight_device[i].minor, io->weight_device[i].weight.value);
		add(words, "blkio-weight-device", text);
	}
	add_rates(words, "device-read-bps", io->throttle_read_bps_device, io->n_throttle_read_bps_device);
	add_rates(words, "device-write-bps", io->throttle_write_bps_device, io->n_throttle_write_bps_device);
	add_rates(words, "device-read-iops", io->throttle_read_iops_device, io->n_throttle_read_iops_device);
	add_rates(words, "device-write-iops", io->throttle_write_iops_device, io->n_throttle_write_iops_device);
}

static void add_limits(char ***words, const struct kist_container_config *config)
{
	const struct kist_spec_resources *resources = config->resources;

	if (!resources)
		return;
	if (resources->memory) {
		add_opt(words, "memory", resources->memory->limit);
		add_opt(words, "memory-reservation", resources->memory->reservation);
		add_opt(words, "memory-swap", resources->memory->swap);
	}
	if (resources->cpu) {
		add_opt(words, "cpu-period", resources->cpu->period);
		add_opt(words, "cpu-quota", resources->cpu->quota);
		add_opt(words, "cpu-shares", resources->cpu->shares);
		add(words, "cpuset-cpus", resources->cpu->cpus);
		add(words, "cpuset-mems", resources->cpu->mems);
	}
	if (resources->block_io)
		add_blkio(words, resources->block_io);
	if (!config->pids_limit_default)
		add_opt(words, "pids-limit", resources->pids_limit);
	add_list(words, "cgroup-conf", resources->unified);
}

static void add_security(char ***words, const struct kist_container_config *config)
{
	const char *const texts[][2] = { { "seccomp", config->seccomp },
		                         { "apparmor", config->apparmor },
		                         { "proc-opts", config->proc_opts } };
	const struct {
		const char *key;
		char *const *paths;
	} lists[] = { { "mask", config->mask }, { "unmask", config->unmask } };

	add_flag(words, "privileged", config->privileged);
	add_list(words, "cap-add", config->cap_add);
	add_list(words, "cap-drop", config->cap_drop);
	if (config->no_new_privileges)
		add(words, "security-opt", "no-new-privileges");
	for (size_t i = 0; i < KIST_COUNT(texts); i++)
		if (texts[i][1])
			kist_strv_take(words, kist_asprintf("--security-opt=%s=%s", texts[i][0], texts[i][1]));
	for (size_t i = 0; i < KIST_COUNT(lists); i++)
		for (char *const *path = lists[i].paths; path && *path; path++)
			kist_strv_take(words, kist_asprintf("--security-opt=%s=%s", lists[i].key, *path));
	for (size_t i = 0; i < config->n_rlimits; i++) {
		const struct kist_spec_rlimit *limit = &config->rlimits[i];
		KIST_STR struct kist_str text = { 0 };
		for (const char *p = limit->type + strlen("RLIMIT_"); *p; p++)
			kist_str_addf(&text, "%c", *p | 0x20);
		const uint64_t values[] = { limit->soft, limit->hard };
		for (size_t j = 0; j < KIST_COUNT(values); j++)
			if (values[j] == UINT64_MAX)
				kist_str_addf(&text, "%c-1", j ? ':' : '=');
			else
				kist_str_addf(&text, "%c%" PRIu64, j ? ':' : '=', values[j]);
		add(words, "ulimit", kist_str_get(&text));
	}
	add_list(words, "sysctl", config->sysctl);
	add_list(words, "device-cgroup-rule", config->device_rules);
	add_opt(words, "oom-score-adj", config->oom_score_adj);
	add_list(words, "hooks-dir", config->hooks_dir);
}

static void add_process(char ***words, const struct kist_container_config *config)
{
	add_flag(words, "interactive", config->open_stdin);
	add_flag(words, "tty", config->tty);
	add_flag(words, "init", config->init);
	add_flag(words, config->auto_remove_image ? "rmi" : "rm", config->auto_remove);
	/* What the host, the settings and the image add is in the record already. */
	add(words, "http-proxy", "false");
	add_flag(words, "unsetenv-all", config->unset_env_all);
	add_list(words, "unsetenv", config->unset_env);
	add_list(words, "env", config->env);
	add_list(words, "label", config->labels);
	add_list(words, "annotation", config->annotations);
	if (config->workdir_given)
		add(words, "workdir", config->workdir);
	add(words, "user", config->user);
	add_list(words, "group-add", config->groups);
	add(words, "hostname", config->hostname);
	add_flag(words, "no-hosts", config->no_hosts);
	add(words, "hosts-file", config->hosts_file);
	add_list(words, "add-host", config->add_hosts);
	add_list(words, "dns", config->dns_servers);
	add_list(words, "dns-search", config->dns_search);
	add_list(words, "dns-option", config->dns_options);
	add(words, "tz", config->timezone);
	if (config->umask.set && config->umask.value != 0022)
		kist_strv_take(words, kist_asprintf("--umask=%04o", (unsigned)config->umask.value));
	kist_strv_take(words, kist_asprintf("--shm-size=%" PRIu64, config->shm_size));
	if (config->storage_size)
		kist_strv_take(words, kist_asprintf("--storage-opt=size=%" PRIu64, config->storage_size));
	if (config->storage_inodes)
		kist_strv_take(words, kist_asprintf("--storage-opt=inodes=%" PRIu64, config->storage_inodes));
	add_flag(words, "read-only", config->read_only);
	if (!config->read_only_tmpfs)
		add(words, "read-only-tmpfs", "false");
	add(words, "image-volume", "ignore");
}

static void add_supervision(char ***words, const struct kist_container_config *config)
{
	const char *name = kist_signal_name(config->stop_signal);
	KIST_FREE char *policy = config->restart_policy && config->restart_retries
	                                 ? kist_asprintf("%s:%u", config->restart_policy, config->restart_retries)
	                                 : kist_strdup(config->restart_policy);

	if (name)
		add(words, "stop-signal", name);
	else
		add_number(words, "stop-signal", config->stop_signal);
	add_number(words, "stop-timeout", config->stop_timeout);
	add(words, "restart", policy);
	add_list(words, "requires", config->required);
	if (config->timeout)
		add_number(words, "timeout", config->timeout);
	add(words, "sdnotify", kist_sdnotify_name(config->sdnotify));
	add(words, "init-ctr", config->init_ctr);
	add(words, "pidfile", config->pidfile);
	add(words, "conmon-pidfile", config->conmon_pidfile);
	if (!kist_streq(config->cgroups, "enabled"))
		add(words, "cgroups", config->cgroups);
	add(words, "log-driver", config->log_driver);
	kist_strv_take(words, config->log_max_size ? kist_asprintf("--log-opt=max-size=%" PRIu64, config->log_max_size)
	                                           : kist_strdup("--log-opt=max-size=-1"));
	kist_strv_take(words, kist_asprintf("--log-opt=max-file=%u", config->log_max_files));
	if (config->log_path)
		kist_strv_take(words, kist_asprintf("--log-opt=path=%s", config->log_path));
	if (config->log_tag)
		kist_strv_take(words, kist_asprintf("--log-opt=tag=%s", config->log_tag));
}

/* By its name as long as that leads to it; what the image is called now may be another. */
static int add_image(struct kist_cli *cli, char ***words, const struct kist_container_config *config,
                     struct kist_error *err)
{
	struct kist_image *image = NULL;

	if (config->entrypoint)
		add_json(words, "entrypoint", config->entrypoint);
	else
		add(words, "entrypoint", "");
	if (config->rootfs) {
		add_flag(words, "rootfs", true);
		kist_strv_take(words, kist_asprintf("%s%s", config->rootfs, config->rootfs_overlay ? ":O" : ""));
		return 0;
	}
	bool named = config->image_name && kist_image_open(cli->k, config->image_name, &image, NULL) == 0 &&
	             kist_streq(image->id, config->image);
	kist_image_free(image);
	if (!config->image)
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s is an infra container: 'kist pod create' makes it",
		                 config->name);
	kist_strv_add(words, named ? config->image_name : config->image);
	return 0;
}

static int make(struct kist_cli *cli, const struct kist_container_config *config, char ***words, struct kist_error *err)
{
	struct kist_pod *pod = NULL;

	int r = config->pod ? kist_pod_open(cli->k, config->pod, &pod, err) : 0;
	if (r < 0)
		return r;
	add(words, "name", config->name);
	if (pod)
		add(words, "pod", kist_pod_name(pod));
	else
		add(words, "cgroup-parent", config->cgroup_parent);
	add_process(words, config);
	add_namespaces(words, config, pod ? kist_pod_config(pod)->infra_id : NULL);
	add_networks(words, config);
	add_mounts(words, config);
	add_security(words, config);
	add_limits(words, config);
	add_health(words, &config->health);
	add_supervision(words, config);
	kist_pod_free(pod);
	r = add_image(cli, words, config, err);
	for (char **argument = config->cmd; r == 0 && argument && *argument; argument++)
		kist_strv_add(words, *argument);
	return r;
}

/* --- the check ------------------------------------------------------------------------------------------------------
 */

/* What create gives each container anew, or takes from the settings; and what must not be shared. */
static bool is_own(const char *line)
{
	static const char *const keys[] = { "id=",
		                            "name=",
		                            "created=",
		                            "create_command.",
		                            "id_ranges.",
		                            "restart_delay=",
		                            "restart_delay_max=",
		                            "cidfile=",
		                            "image_name=",
		                            "volumes_from.",
		                            "storage_project=",
		                            "overlay_options.",
		                            "resources.pids_limit=",
		                            "pids_limit_default=" };

	for (size_t i = 0; i < KIST_COUNT(keys); i++)
		if (kist_has_prefix(line, keys[i]))
			return true;
	return false;
}

/* Of an anonymous volume the name is new; maps that a mode makes are made again. */
static void forget(struct kist_container_config *config)
{
	for (size_t i = 0; i < config->n_named_volumes; i++) {
		if (!config->named_volumes[i].anonymous)
			continue;
		free(config->named_volumes[i].name);
		config->named_volumes[i].name = NULL;
	}
	if (kist_streq(config->user_ns, "private"))
		return;
	config->n_uid_map = config->n_gid_map = 0;
}

/* The lines of its record. The order of variables and labels says nothing. */
static char **lines_of(const struct kist_container_config *config)
{
	static const char *const sets[] = { "env.", "labels.", "annotations." };
	KIST_STR struct kist_str text = { 0 };
	char **lines;

	kist_kv_write(&kist_container_config_table, config, NULL, &text);
	lines = kist_strv_split(kist_str_get(&text), '\n');
	for (char **line = lines; line && *line; line++)
		for (size_t i = 0; i < KIST_COUNT(sets); i++) {
			size_t n = strlen(sets[i]), digits = strspn(*line + n, "0123456789");
			if (kist_has_prefix(*line, sets[i]))
				memmove(*line + n, *line + n + digits, strlen(*line + n + digits) + 1);
		}
	return lines;
}

static int compare(const struct kist_container_config *theirs, struct kist_container_config *made,
                   struct kist_error *err)
{
	struct kist_container_config wanted;

	kist_table_copy(&kist_container_config_table, &wanted, theirs);
	forget(&wanted);
	forget(made);
	KIST_STRV char **first = lines_of(&wanted);
	KIST_STRV char **second = lines_of(made);
	kist_container_config_clear(&wanted);
	for (size_t i = 0; i < 2; i++)
		for (char **line = i ? second : first; line && *line; line++) {
			if (kist_strv_has(i ? first : second, *line) || is_own(*line) || !**line)
				continue;
			return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
			                 "'%.*s' of its record has no option of kist run", (int)strcspn(*line, "="),
			                 *line);
		}
	return 0;
}

/* The words are read as 'kist create' reads them. Of a container in a pod what the pod adds is not known before. */
static int check(struct kist_cli *cli, const struct kist_container_config *config, char *const *words,
                 struct kist_error *err)
{
	struct create_options *options = kist_alloc(sizeof(*options));
	const struct kist_options_target target = { create_option_sets, options };
	struct kist_container_config made;
	char **argv = NULL;

	kist_strv_add(&argv, "create");
	for (; *words; words++)
		kist_strv_add(&argv, *words);
	size_t argc = kist_strv_len(argv);
	/* The parser moves words about: all are freed by another list. */
	char **owned = kist_alloc((argc + 1) * sizeof(*owned));
	memcpy(owned, argv, (argc + 1) * sizeof(*owned));
	kist_options_init(create_option_sets, options);
	kist_container_config_init(&made);
	int n = kist_options_parse(&target, 1, KIST_OPTIONS_STOP, (int)argc, argv, err);
	int r = n < 0 ? n : create_config(cli, options, n, argv + 1, &made, err);
	if (r == 0)
		r = compare(config, &made, err);
	kist_container_config_clear(&made);
	kist_options_clear(create_option_sets, options);
	free(options);
	free(argv);
	kist_strv_free(owned);
	return r;
}

/* --- the command ----------------------------------------------------------------------------------------------------
 */

/* As a shell reads it back. */
static void add_word(struct kist_str *out, const char *word)
{
	bool plain =
	        *word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=:,./@+%") ==
	                         strlen(word);

	kist_str_add(out, " ");
	if (plain) {
		kist_str_add(out, word);
		return;
	}
	kist_str_add(out, "'");
	for (; *word; word++)
		kist_str_addf(out, *word == '\'' ? "'\\''" : "%c", *word);
	kist_str_add(out, "'");
}

static int generate_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct generate_options *o = options;
	struct kist_container *c = NULL;
	KIST_STRV char **words = NULL;
	KIST_STR struct kist_str out = { 0 };

	(void)argc;
	int r = kist_container_open(cli->k, argv[1], &c, err);
	if (r < 0)
		return r;
	const struct kist_container_config *config = kist_container_config(c);
	r = make(cli, config, &words, err);
	if (r == 0 && !config->pod)
		r = check(cli, config, words, err);
	if (r < 0)
		kist_context(err, "generate run %s", config->name);
	kist_container_free(c);
	if (r < 0)
		return r;
	kist_str_add(&out, o->create ? "kist create" : "kist run -d");
	for (char **word = words; *word; word++)
		add_word(&out, *word);
	kist_str_add(&out, "\n");
	return kist_cli_print(&out, err);
}

static const struct kist_option generate_rows[] = {
	KIST_OPTION(struct generate_options, FLAG, create, "create", 0, .help = "Print a line of kist create"),
	{ 0 },
};

const struct kist_command kist_command_generate = {
	.name = "generate",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Make text from what is there",
	.is_group = true,
};

const struct kist_command kist_command_generate_run = {
	.name = "run",
	.parent = "generate",
	.synopsis = "[options] CONTAINER",
	.summary = "Print the command line that makes a container again",
	.description = "Prints a line for a shell that makes a container like this one, from its record as it is now.",
	.examples = (const char *const[]){ "generate run web", "generate run --create web > web.sh", NULL },
	.options = (const struct kist_option_set[]){ { generate_rows, 0 }, { 0 } },
	.options_size = sizeof(struct generate_options),
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = generate_run,
};
