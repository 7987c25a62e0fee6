/* The tables of a container's records: every codec, inspect and kist-state(5) follow them. */
#include "core/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOUNT(type, member, ...)         KIST_FIELD(struct kist_mount_config, type, member, ##__VA_ARGS__)
#define VOLUME(type, member, ...)        KIST_FIELD(struct kist_volume_mount_config, type, member, ##__VA_ARGS__)
#define SECRET(type, member, ...)        KIST_FIELD(struct kist_secret_config, type, member, ##__VA_ARGS__)
#define DEVICE(type, member, ...)        KIST_FIELD(struct kist_device_config, type, member, ##__VA_ARGS__)
#define MAP(type, member, ...)           KIST_FIELD(struct kist_spec_id_map, type, member, ##__VA_ARGS__)
#define LIMIT(type, member, ...)         KIST_FIELD(struct kist_spec_rlimit, type, member, ##__VA_ARGS__)
#define NETWORK(type, member, ...)       KIST_FIELD(struct kist_network_config, type, member, ##__VA_ARGS__)
#define PORT(type, member, ...)          KIST_FIELD(struct kist_port_config, type, member, ##__VA_ARGS__)
#define NETWORK_STATE(type, member, ...) KIST_FIELD(struct kist_network_state, type, member, ##__VA_ARGS__)
#define PORT_STATE(type, member, ...)    KIST_FIELD(struct kist_port_state, type, member, ##__VA_ARGS__)
#define STATE_ITEMS(member, rows)                                                                                      \
	KIST_FIELD_LIST(struct kist_container_state, LIST, member, n_##member, .table = &(rows))
#define HEALTH(type, member, ...) KIST_FIELD(struct kist_health_config, type, member, ##__VA_ARGS__)
#define CONFIG(type, member, ...) KIST_FIELD(struct kist_container_config, type, member, ##__VA_ARGS__)
#define ITEMS(member, rows, ...)                                                                                       \
	KIST_FIELD_LIST(struct kist_container_config, LIST, member, n_##member, .table = &(rows), ##__VA_ARGS__)
#define STATE(type, member, ...) KIST_FIELD(struct kist_container_state, type, member, ##__VA_ARGS__)
#define EXIT(type, member, ...)  KIST_FIELD(struct kist_exit, type, member, ##__VA_ARGS__)

static const struct kist_field mount_fields[] = {
	MOUNT(STRING, destination),
	MOUNT(STRING, type),
	MOUNT(STRING, source),
	MOUNT(STRV, options),
};
static const struct kist_table mount_table = KIST_TABLE("mount", struct kist_mount_config, mount_fields);

static const struct kist_field volume_mount_fields[] = {
	VOLUME(STRING, destination), VOLUME(STRING, name),    VOLUME(STRING, subpath),
	VOLUME(STRV, options),       VOLUME(BOOL, anonymous),
};
static const struct kist_table volume_mount_table =
        KIST_TABLE("volume mount", struct kist_volume_mount_config, volume_mount_fields);

static const struct kist_field secret_fields[] = {
	SECRET(STRING, name), SECRET(STRING, target), SECRET(BOOL, env),
	SECRET(U32, uid),     SECRET(U32, gid),       SECRET(OPT_U32, mode),
};
static const struct kist_table secret_table =
        KIST_TABLE("secret of a container", struct kist_secret_config, secret_fields);

static const struct kist_field device_fields[] = {
	DEVICE(STRING, source),
	DEVICE(STRING, destination),
	DEVICE(STRING, access),
};
static const struct kist_table device_table = KIST_TABLE("device", struct kist_device_config, device_fields);

static const struct kist_field map_fields[] = {
	MAP(U32, container_id),
	MAP(U32, host_id),
	MAP(U32, size),
};
static const struct kist_table map_table = KIST_TABLE("id map", struct kist_spec_id_map, map_fields);

static const struct kist_field limit_fields[] = {
	LIMIT(STRING, type),
	LIMIT(U64, soft),
	LIMIT(U64, hard),
};
static const struct kist_table limit_table = KIST_TABLE("rlimit", struct kist_spec_rlimit, limit_fields);

static const struct kist_field network_fields[] = {
	NETWORK(STRING, name), NETWORK(STRING, ip),    NETWORK(STRING, ip6),
	NETWORK(STRING, mac),  NETWORK(STRV, aliases), NETWORK(STRING, interface_name),
};
static const struct kist_table network_table =
        KIST_TABLE("network of a container", struct kist_network_config, network_fields);

static const struct kist_field port_fields[] = {
	PORT(STRING, host_ip),
	PORT(U32, host_port),
	PORT(U32, container_port),
	PORT(U32, count, .fallback = "1"),
	PORT(STRING, protocol, .fallback = "tcp"),
};
static const struct kist_table port_table = KIST_TABLE("published port", struct kist_port_config, port_fields);

static const struct kist_field network_state_fields[] = {
	NETWORK_STATE(STRING, name), NETWORK_STATE(STRING, interface), NETWORK_STATE(STRING, host_interface),
	NETWORK_STATE(STRING, mac),  NETWORK_STATE(STRV, addresses),   NETWORK_STATE(STRV, gateways),
};
static const struct kist_table network_state_table =
        KIST_TABLE("place on a network", struct kist_network_state, network_state_fields);

static const struct kist_field port_state_fields[] = {
	PORT_STATE(STRING, host_ip),
	PORT_STATE(U32, host_port),
	PORT_STATE(U32, container_port),
	PORT_STATE(U32, count, .fallback = "1"),
	PORT_STATE(STRING, protocol, .fallback = "tcp"),
	PORT_STATE(STRING, container_ip),
	PORT_STATE(BOOL, implied),
};
static const struct kist_table port_state_table = KIST_TABLE("taken port", struct kist_port_state, port_state_fields);

static const struct kist_name health_actions[] = {
	{ "none", KIST_HEALTH_NONE },
	{ "kill", KIST_HEALTH_KILL },
	{ "restart", KIST_HEALTH_RESTART },
	{ "stop", KIST_HEALTH_STOP },
	{ NULL, 0 },
};

static const struct kist_field health_fields[] = {
	HEALTH(STRV, test),
	HEALTH(I64, interval, .fallback = "30000000000"),
	HEALTH(I64, timeout, .fallback = "30000000000"),
	HEALTH(I64, start_period),
	HEALTH(U32, retries, .fallback = "3"),
	HEALTH(ENUM, on_failure, .names = health_actions, .fallback = "none"),
	HEALTH(STRV, startup_test),
	HEALTH(I64, startup_interval, .fallback = "30000000000"),
	HEALTH(I64, startup_timeout, .fallback = "30000000000"),
	HEALTH(U32, startup_retries),
	HEALTH(U32, startup_success),
	HEALTH(U32, log_count, .fallback = "5"),
	HEALTH(U32, log_size, .fallback = "500"),
	HEALTH(STRING, log_destination, .fallback = "local"),
};
static const struct kist_table health_table = KIST_TABLE("health check", struct kist_health_config, health_fields);

static const struct kist_name sdnotify_names[] = {
	{ "container", KIST_SDNOTIFY_CONTAINER },
	{ "conmon", KIST_SDNOTIFY_CONMON },
	{ "healthy", KIST_SDNOTIFY_HEALTHY },
	{ "ignore", KIST_SDNOTIFY_IGNORE },
	{ NULL, 0 },
};

static const struct kist_field config_fields[] = {
	CONFIG(STRING, id, .flags = KIST_FIELD_BRIEF),
	CONFIG(STRING, name, .flags = KIST_FIELD_BRIEF),
	CONFIG(TIME, created, .flags = KIST_FIELD_BRIEF),
	CONFIG(STRING, image, .flags = KIST_FIELD_BRIEF),
	CONFIG(STRING, image_name, .flags = KIST_FIELD_BRIEF),
	CONFIG(STRV, layers),
	CONFIG(STRING, rootfs, .flags = KIST_FIELD_BRIEF),
	CONFIG(BOOL, rootfs_overlay),
	CONFIG(STRV, command, .flags = KIST_FIELD_BRIEF),
	CONFIG(STRV, entrypoint),
	CONFIG(STRV, cmd),
	CONFIG(STRV, create_command),
	CONFIG(STRV, env),
	CONFIG(STRV, unset_env),
	CONFIG(BOOL, unset_env_all),
	CONFIG(MAP, labels, .flags = KIST_FIELD_FILTER),
	CONFIG(MAP, annotations),
	CONFIG(STRV, hooks_dir),
	CONFIG(STRING, workdir),
	CONFIG(BOOL, workdir_given),
	CONFIG(STRING, user),
	CONFIG(STRV, groups),
	CONFIG(STRING, hostname),
	CONFIG(BOOL, tty),
	CONFIG(BOOL, open_stdin),
	CONFIG(BOOL, auto_remove, .flags = KIST_FIELD_BRIEF),
	CONFIG(BOOL, auto_remove_image),
	CONFIG(BOOL, init),
	CONFIG(STRING, pid_ns, .fallback = "private"),
	CONFIG(STRING, ipc_ns, .fallback = "shareable"),
	CONFIG(STRING, uts_ns, .fallback = "private"),
	CONFIG(STRING, user_ns, .fallback = "host"),
	CONFIG(STRING, cgroup_ns, .fallback = "private"),
	CONFIG(STRING, net_ns, .fallback = "none", .flags = KIST_FIELD_FILTER),
	ITEMS(uid_map, map_table),
	ITEMS(gid_map, map_table),
	CONFIG(STRV, id_ranges),
	ITEMS(mounts, mount_table, .flags = KIST_FIELD_FILTER),
	ITEMS(named_volumes, volume_mount_table, .flags = KIST_FIELD_FILTER),
	CONFIG(STRV, volumes_from),
	ITEMS(secrets, secret_table),
	CONFIG(BOOL, read_only),
	CONFIG(BOOL, read_only_tmpfs, .fallback = "true"),
	ITEMS(devices, device_table),
	CONFIG(STRV, device_rules),
	CONFIG(STRV, cap_add),
	CONFIG(STRV, cap_drop),
	CONFIG(BOOL, privileged),
	CONFIG(BOOL, no_new_privileges),
	CONFIG(STRING, seccomp),
	CONFIG(STRING, apparmor),
	CONFIG(STRV, mask),
	CONFIG(STRV, unmask),
	CONFIG(STRING, proc_opts),
	CONFIG(POINTER, resources, .table = &kist_spec_resources_table),
	CONFIG(BOOL, pids_limit_default),
	ITEMS(rlimits, limit_table),
	CONFIG(MAP, sysctl),
	CONFIG(OPT_I64, oom_score_adj),
	CONFIG(INT, stop_signal, .fallback = "15"),
	CONFIG(STRV, required),
	CONFIG(U32, stop_timeout, .fallback = "10"),
	CONFIG(U32, timeout),
	CONFIG(STRING, conmon_pidfile),
	CONFIG(STRING, restart_policy, .flags = KIST_FIELD_FILTER),
	CONFIG(U32, restart_retries),
	CONFIG(U32, restart_delay, .fallback = "100"),
	CONFIG(U32, restart_delay_max, .fallback = "60000"),
	CONFIG(ENUM, sdnotify, .names = sdnotify_names, .fallback = "container"),
	CONFIG(OPT_U32, umask),
	CONFIG(STRING, timezone),
	CONFIG(U64, shm_size, .fallback = "67108864"),
	CONFIG(STRV, overlay_options),
	CONFIG(U64, storage_size),
	CONFIG(U64, storage_inodes),
	CONFIG(U32, storage_project),
	CONFIG(STRING, log_driver, .fallback = "k8s-file"),
	CONFIG(STRING, log_path),
	CONFIG(U64, log_max_size, .fallback = "10000000"),
	CONFIG(U32, log_max_files, .fallback = "3"),
	CONFIG(STRING, log_tag),
	CONFIG(STRING, cgroup_parent, .fallback = "/kist"),
	CONFIG(STRING, cgroups, .fallback = "enabled"),
	CONFIG(STRING, pod, .flags = KIST_FIELD_BRIEF),
	CONFIG(BOOL, infra, .flags = KIST_FIELD_BRIEF),
	CONFIG(STRING, init_ctr, .flags = KIST_FIELD_BRIEF),
	CONFIG(STRING, pidfile),
	CONFIG(STRING, cidfile, .flags = KIST_FIELD_FILTER),
	CONFIG(STRUCT, health, .table = &health_table, .flags = KIST_FIELD_BRIEF),
	CONFIG(BOOL, no_hosts),
	CONFIG(BOOL, no_resolv),
	CONFIG(STRV, add_hosts),
	CONFIG(STRING, hosts_file),
	ITEMS(networks, network_table, .flags = KIST_FIELD_FILTER),
	ITEMS(ports, port_table, .flags = KIST_FIELD_FILTER),
	CONFIG(STRV, expose, .flags = KIST_FIELD_FILTER),
	CONFIG(BOOL, publish_all),
	CONFIG(STRV, dns_servers),
	CONFIG(STRV, dns_search),
	CONFIG(STRV, dns_options),
};
const struct kist_table kist_container_config_table =
        KIST_TABLE("container config", struct kist_container_config, config_fields);

static const struct kist_name status_names[] = {
	{ "unknown", KIST_UNKNOWN },   { "configured", KIST_CONFIGURED },
	{ "created", KIST_CREATED },   { "running", KIST_RUNNING },
	{ "stopping", KIST_STOPPING }, { "stopped", KIST_STOPPED },
	{ "paused", KIST_PAUSED },     { "exited", KIST_EXITED },
	{ "removing", KIST_REMOVING }, { NULL, 0 },
};

/* What a person reads: podman's words for the two states that differ. */
static const struct kist_name shown_names[] = {
	{ "unknown", KIST_UNKNOWN },     { "created", KIST_CONFIGURED },
	{ "initialized", KIST_CREATED }, { "running", KIST_RUNNING },
	{ "stopping", KIST_STOPPING },   { "stopped", KIST_STOPPED },
	{ "paused", KIST_PAUSED },       { "exited", KIST_EXITED },
	{ "removing", KIST_REMOVING },   { NULL, 0 },
};

static const struct kist_field state_fields[] = {
	STATE(ENUM, status, .names = status_names, .fallback = "configured"),
	STATE(INT, pid),
	STATE(U64, pid_start),
	STATE(INT, monitor_pid),
	STATE(U64, monitor_start),
	STATE(TIME, started),
	STATE(TIME, finished),
	STATE(INT, exit_code),
	STATE(BOOL, exited),
	STATE(BOOL, oom_killed),
	STATE(BOOL, stopped_by_user),
	STATE(BOOL, stopped_by_host),
	STATE(BOOL, stopped_to_restart),
	STATE(BOOL, restarting),
	STATE(U32, run),
	STATE(U32, restart_count),
	STATE(U32, mounts),
	STATE(STRING, cgroup),
	STATE(STRING, error),
	STATE(STRING, boot),
	STATE_ITEMS(networks, network_state_table),
	STATE_ITEMS(ports, port_state_table),
};
const struct kist_table kist_container_state_table =
        KIST_TABLE("container state", struct kist_container_state, state_fields);

static const struct kist_field exit_fields[] = {
	EXIT(U32, run),
	EXIT(INT, code),
	EXIT(BOOL, oom),
	EXIT(TIME, finished),
};
const struct kist_table kist_exit_table = KIST_TABLE("exit record", struct kist_exit, exit_fields);

const char *kist_status_name(enum kist_status status)
{
	return kist_name_of(status_names, status);
}

const char *kist_status_shown(enum kist_status status)
{
	return kist_name_of(shown_names, status);
}

int kist_sdnotify_parse(const char *text, int *out)
{
	return kist_value_of(sdnotify_names, text, out);
}

const char *kist_sdnotify_name(int mode)
{
	return kist_name_of(sdnotify_names, mode);
}

int kist_status_parse(const char *text, enum kist_status *out)
{
	int value;

	/* 'created' is what users call a container that has not been started; the engine's own word is for records. */
	if (kist_value_of(shown_names, text, &value) < 0 && kist_value_of(status_names, text, &value) < 0)
		return -EINVAL;
	*out = (enum kist_status)value;
	return 0;
}

void kist_container_state_forget_network(struct kist_container_state *state)
{
	for (size_t i = 0; i < state->n_networks; i++)
		kist_table_release(&network_state_table, &state->networks[i]);
	for (size_t i = 0; i < state->n_ports; i++)
		kist_table_release(&port_state_table, &state->ports[i]);
	free(state->networks);
	free(state->ports);
	state->networks = NULL;
	state->ports = NULL;
	state->n_networks = state->n_ports = 0;
}

void kist_network_state_drop(struct kist_container_state *state, size_t at)
{
	kist_table_release(&network_state_table, &state->networks[at]);
	memmove(&state->networks[at], &state->networks[at + 1],
	        (state->n_networks - at - 1) * sizeof(*state->networks));
	state->n_networks--;
}

void kist_network_config_add(struct kist_container_config *config, const struct kist_network_config *network)
{
	config->networks = kist_grow(config->networks, config->n_networks + 1, sizeof(*config->networks));
	kist_table_copy(&network_table, &config->networks[config->n_networks++], network);
}

void kist_network_config_drop(struct kist_container_config *config, size_t at)
{
	kist_table_release(&network_table, &config->networks[at]);
	memmove(&config->networks[at], &config->networks[at + 1],
	        (config->n_networks - at - 1) * sizeof(*config->networks));
	config->n_networks--;
}

void kist_container_config_init(struct kist_container_config *config)
{
	kist_table_init(&kist_container_config_table, config);
}

void kist_container_config_clear(struct kist_container_config *config)
{
	kist_table_release(&kist_container_config_table, config);
}

static bool has_destination(const struct kist_container_config *config, const char *destination)
{
	for (size_t i = 0; i < config->n_mounts; i++)
		if (kist_streq(config->mounts[i].destination, destination))
			return true;
	for (size_t i = 0; i < config->n_named_volumes; i++)
		if (kist_streq(config->named_volumes[i].destination, destination))
			return true;
	return false;
}

static bool has_device(const struct kist_container_config *config, const char *destination)
{
	for (size_t i = 0; i < config->n_devices; i++)
		if (kist_streq(config->devices[i].destination, destination))
			return true;
	return false;
}

static void inherit_mounts(struct kist_container_config *config, const struct kist_container_config *from)
{
	for (size_t i = 0; i < from->n_mounts; i++) {
		if (has_destination(config, from->mounts[i].destination))
			continue;
		config->mounts = kist_grow(config->mounts, config->n_mounts + 1, sizeof(*config->mounts));
		kist_table_copy(&mount_table, &config->mounts[config->n_mounts++], &from->mounts[i]);
	}
	for (size_t i = 0; i < from->n_named_volumes; i++) {
		if (has_destination(config, from->named_volumes[i].destination))
			continue;
		config->named_volumes =
		        kist_grow(config->named_volumes, config->n_named_volumes + 1, sizeof(*config->named_volumes));
		struct kist_volume_mount_config *volume = &config->named_volumes[config->n_named_volumes++];
		kist_table_copy(&volume_mount_table, volume, &from->named_volumes[i]);
		volume->anonymous = false; /* it goes with who it was made for */
	}
	for (size_t i = 0; i < from->n_devices; i++) {
		if (has_device(config, from->devices[i].destination))
			continue;
		config->devices = kist_grow(config->devices, config->n_devices + 1, sizeof(*config->devices));
		kist_table_copy(&device_table, &config->devices[config->n_devices++], &from->devices[i]);
	}
}

/* Frees the items that go, and closes up the rest. Returns how many stay. */
static size_t sift(const struct kist_table *table, void *items, size_t n, size_t size,
                   bool (*goes)(const struct kist_container_config *from, const void *item, bool same),
                   const struct kist_container_config *from, bool same)
{
	char *all = items;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (goes(from, all + i * size, same)) {
			kist_table_release(table, all + i * size);
			continue;
		}
		if (kept < i)
			memcpy(all + kept * size, all + i * size, size);
		kept++;
	}
	return kept;
}

static bool mount_goes(const struct kist_container_config *from, const void *item, bool same)
{
	const struct kist_mount_config *mount = item;

	if (!same)
		return has_destination(from, mount->destination);
	for (size_t i = 0; i < from->n_mounts; i++)
		if (kist_streq(from->mounts[i].destination, mount->destination) &&
		    kist_streq(from->mounts[i].source, mount->source))
			return true;
	return false;
}

static bool volume_goes(const struct kist_container_config *from, const void *item, bool same)
{
	const struct kist_volume_mount_config *volume = item;

	if (!same)
		return has_destination(from, volume->destination);
	for (size_t i = 0; i < from->n_named_volumes; i++)
		if (kist_streq(from->named_volumes[i].destination, volume->destination) &&
		    kist_streq(from->named_volumes[i].name, volume->name))
			return true;
	return false;
}

static bool device_goes(const struct kist_container_config *from, const void *item, bool same)
{
	const struct kist_device_config *device = item;

	if (!same)
		return has_device(from, device->destination);
	for (size_t i = 0; i < from->n_devices; i++)
		if (kist_streq(from->devices[i].destination, device->destination) &&
		    kist_streq(from->devices[i].source, device->source))
			return true;
	return false;
}

/* Takes out what is at a place where the other has something; same: only where it is the same thing. */
static void take_out(struct kist_container_config *config, const struct kist_container_config *from, bool same)
{
	config->n_mounts =
	        sift(&mount_table, config->mounts, config->n_mounts, sizeof(*config->mounts), mount_goes, from, same);
	config->n_named_volumes = sift(&volume_mount_table, config->named_volumes, config->n_named_volumes,
	                               sizeof(*config->named_volumes), volume_goes, from, same);
	config->n_devices = sift(&device_table, config->devices, config->n_devices, sizeof(*config->devices),
	                         device_goes, from, same);
}

static void drop_text(char **text, const char *from, bool same)
{
	if (!from || (same && !kist_streq(*text, from)))
		return;
	free(*text);
	*text = NULL;
}

static void drop_texts(struct kist_container_config *config, const struct kist_container_config *from, bool same)
{
	drop_text(&config->seccomp, from->seccomp, same);
	drop_text(&config->apparmor, from->apparmor, same);
	drop_text(&config->proc_opts, from->proc_opts, same);
}

static void inherit_list(char ***list, char *const *from)
{
	for (size_t i = 0; from && from[i]; i++)
		if (!kist_strv_has(*list, from[i]))
			kist_strv_add(list, from[i]);
}

static void inherit_text(char **text, const char *from)
{
	if (!*text)
		*text = kist_strdup(from);
}

void kist_container_config_inherit(struct kist_container_config *config, const struct kist_container_config *from)
{
	inherit_mounts(config, from);
	inherit_list(&config->device_rules, from->device_rules);
	inherit_list(&config->mask, from->mask);
	inherit_list(&config->unmask, from->unmask);
	inherit_text(&config->seccomp, from->seccomp);
	inherit_text(&config->apparmor, from->apparmor);
	inherit_text(&config->proc_opts, from->proc_opts);
	config->no_new_privileges = config->no_new_privileges || from->no_new_privileges;
	/* A shared user namespace has these maps; the root file system needs them as well. */
	if (!kist_has_prefix(config->user_ns, "container:") || config->n_uid_map || from->n_uid_map == 0)
		return;
	config->n_uid_map = from->n_uid_map;
	config->n_gid_map = from->n_gid_map;
	config->uid_map = kist_grow(NULL, from->n_uid_map, sizeof(*config->uid_map));
	config->gid_map = kist_grow(NULL, from->n_gid_map, sizeof(*config->gid_map));
	memcpy(config->uid_map, from->uid_map, from->n_uid_map * sizeof(*config->uid_map));
	memcpy(config->gid_map, from->gid_map, from->n_gid_map * sizeof(*config->gid_map));
}

void kist_container_config_disinherit(struct kist_container_config *config, const struct kist_container_config *from)
{
	take_out(config, from, true);
	drop_texts(config, from, true);
}

void kist_container_config_override(struct kist_container_config *config, const struct kist_container_config *by)
{
	take_out(config, by, false);
	drop_texts(config, by, false);
	kist_container_config_inherit(config, by);
}
