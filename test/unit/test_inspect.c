/* The inspect document against podman's keys, and what a hand-made record must show. */
#include "test/unit/view_help.h"

#include <signal.h>

/* Of podman 4.3, container inspect; s string, n number, b truth value, a array, o object, - null. The documents of its
 * own containers were the source. Several letters: what it writes depends on the container. */
static const struct {
	const char *path, *types;
} keys[] = {
	{ "Id", "s" },
	{ "Created", "s" },
	{ "Path", "s" },
	{ "Args", "a" },
	{ "State.OciVersion", "s" },
	{ "State.Status", "s" },
	{ "State.Running", "b" },
	{ "State.Paused", "b" },
	{ "State.Restarting", "b" },
	{ "State.OOMKilled", "b" },
	{ "State.Dead", "b" },
	{ "State.Pid", "n" },
	{ "State.ConmonPid", "n" },
	{ "State.ExitCode", "n" },
	{ "State.Error", "s" },
	{ "State.StartedAt", "s" },
	{ "State.FinishedAt", "s" },
	{ "State.Health.Status", "s" },
	{ "State.Health.FailingStreak", "n" },
	{ "State.Health.Log", "-a" },
	{ "State.CgroupPath", "s" },
	{ "State.CheckpointedAt", "s" },
	{ "State.RestoredAt", "s" },
	{ "Image", "s" },
	{ "ImageDigest", "s" },
	{ "ImageName", "s" },
	{ "Rootfs", "s" },
	{ "Pod", "s" },
	{ "ResolvConfPath", "s" },
	{ "HostnamePath", "s" },
	{ "HostsPath", "s" },
	{ "StaticDir", "s" },
	{ "OCIConfigPath", "s" },
	{ "OCIRuntime", "s" },
	{ "ConmonPidFile", "s" },
	{ "PidFile", "s" },
	{ "Name", "s" },
	{ "RestartCount", "n" },
	{ "Driver", "s" },
	{ "MountLabel", "s" },
	{ "ProcessLabel", "s" },
	{ "AppArmorProfile", "s" },
	{ "EffectiveCaps", "a" },
	{ "BoundingCaps", "a" },
	{ "ExecIDs", "a" },
	{ "GraphDriver", "o-" },
	{ "Mounts", "a" },
	{ "Dependencies", "a" },
	{ "NetworkSettings.EndpointID", "s" },
	{ "NetworkSettings.Gateway", "s" },
	{ "NetworkSettings.IPAddress", "s" },
	{ "NetworkSettings.IPPrefixLen", "n" },
	{ "NetworkSettings.IPv6Gateway", "s" },
	{ "NetworkSettings.GlobalIPv6Address", "s" },
	{ "NetworkSettings.GlobalIPv6PrefixLen", "n" },
	{ "NetworkSettings.MacAddress", "s" },
	{ "NetworkSettings.Bridge", "s" },
	{ "NetworkSettings.SandboxID", "s" },
	{ "NetworkSettings.HairpinMode", "b" },
	{ "NetworkSettings.LinkLocalIPv6Address", "s" },
	{ "NetworkSettings.LinkLocalIPv6PrefixLen", "n" },
	{ "NetworkSettings.Ports", "o" },
	{ "NetworkSettings.SandboxKey", "s" },
	{ "Namespace", "s" },
	{ "IsInfra", "b" },
	{ "IsService", "b" },
	{ "Config.Hostname", "s" },
	{ "Config.Domainname", "s" },
	{ "Config.User", "s" },
	{ "Config.AttachStdin", "b" },
	{ "Config.AttachStdout", "b" },
	{ "Config.AttachStderr", "b" },
	{ "Config.Tty", "b" },
	{ "Config.OpenStdin", "b" },
	{ "Config.StdinOnce", "b" },
	{ "Config.Env", "a" },
	{ "Config.Cmd", "a" },
	{ "Config.Image", "s" },
	{ "Config.Volumes", "-o" },
	{ "Config.WorkingDir", "s" },
	{ "Config.Entrypoint", "s" },
	{ "Config.OnBuild", "-" },
	{ "Config.Labels", "o" },
	{ "Config.Annotations", "o" },
	{ "Config.StopSignal", "n" },
	{ "Config.HealthcheckOnFailureAction", "s" },
	{ "Config.CreateCommand", "a" },
	{ "Config.Timezone", "s" },
	{ "Config.Umask", "s" },
	{ "Config.Timeout", "n" },
	{ "Config.StopTimeout", "n" },
	{ "Config.Passwd", "b" },
	{ "Config.sdNotifyMode", "s" },
	{ "HostConfig.Binds", "a" },
	{ "HostConfig.CgroupManager", "s" },
	{ "HostConfig.CgroupMode", "s" },
	{ "HostConfig.ContainerIDFile", "s" },
	{ "HostConfig.LogConfig.Type", "s" },
	{ "HostConfig.LogConfig.Config", "-" },
	{ "HostConfig.LogConfig.Path", "s" },
	{ "HostConfig.LogConfig.Tag", "s" },
	{ "HostConfig.LogConfig.Size", "s" },
	{ "HostConfig.NetworkMode", "s" },
	{ "HostConfig.PortBindings", "o" },
	{ "HostConfig.RestartPolicy.Name", "s" },
	{ "HostConfig.RestartPolicy.MaximumRetryCount", "n" },
	{ "HostConfig.AutoRemove", "b" },
	{ "HostConfig.VolumeDriver", "s" },
	{ "HostConfig.VolumesFrom", "-a" },
	{ "HostConfig.CapAdd", "a" },
	{ "HostConfig.CapDrop", "a" },
	{ "HostConfig.Dns", "a" },
	{ "HostConfig.DnsOptions", "a" },
	{ "HostConfig.DnsSearch", "a" },
	{ "HostConfig.ExtraHosts", "a" },
	{ "HostConfig.GroupAdd", "a" },
	{ "HostConfig.IpcMode", "s" },
	{ "HostConfig.Cgroup", "s" },
	{ "HostConfig.Cgroups", "s" },
	{ "HostConfig.Links", "-" },
	{ "HostConfig.OomScoreAdj", "n" },
	{ "HostConfig.PidMode", "s" },
	{ "HostConfig.Privileged", "b" },
	{ "HostConfig.PublishAllPorts", "b" },
	{ "HostConfig.ReadonlyRootfs", "b" },
	{ "HostConfig.SecurityOpt", "a" },
	{ "HostConfig.Tmpfs", "o" },
	{ "HostConfig.UTSMode", "s" },
	{ "HostConfig.UsernsMode", "s" },
	{ "HostConfig.ShmSize", "n" },
	{ "HostConfig.Runtime", "s" },
	{ "HostConfig.ConsoleSize", "a" },
	{ "HostConfig.Isolation", "s" },
	{ "HostConfig.CpuShares", "n" },
	{ "HostConfig.Memory", "n" },
	{ "HostConfig.NanoCpus", "n" },
	{ "HostConfig.CgroupParent", "s" },
	{ "HostConfig.BlkioWeight", "n" },
	{ "HostConfig.BlkioWeightDevice", "-a" },
	{ "HostConfig.BlkioDeviceReadBps", "-a" },
	{ "HostConfig.BlkioDeviceWriteBps", "-a" },
	{ "HostConfig.BlkioDeviceReadIOps", "-a" },
	{ "HostConfig.BlkioDeviceWriteIOps", "-a" },
	{ "HostConfig.CpuPeriod", "n" },
	{ "HostConfig.CpuQuota", "n" },
	{ "HostConfig.CpuRealtimePeriod", "n" },
	{ "HostConfig.CpuRealtimeRuntime", "n" },
	{ "HostConfig.CpusetCpus", "s" },
	{ "HostConfig.CpusetMems", "s" },
	{ "HostConfig.Devices", "a" },
	{ "HostConfig.DiskQuota", "n" },
	{ "HostConfig.KernelMemory", "n" },
	{ "HostConfig.MemoryReservation", "n" },
	{ "HostConfig.MemorySwap", "n" },
	{ "HostConfig.MemorySwappiness", "n" },
	{ "HostConfig.OomKillDisable", "b" },
	{ "HostConfig.PidsLimit", "n" },
	{ "HostConfig.Ulimits", "a" },
	{ "HostConfig.CpuCount", "n" },
	{ "HostConfig.CpuPercent", "n" },
	{ "HostConfig.IOMaximumIOps", "n" },
	{ "HostConfig.IOMaximumBandwidth", "n" },
	{ "HostConfig.CgroupConf", "-o" },
};

static char type_of(struct json_object *json)
{
	switch (json_object_get_type(json)) {
	case json_type_string:
		return 's';
	case json_type_int:
		return 'n';
	case json_type_boolean:
		return 'b';
	case json_type_array:
		return 'a';
	case json_type_object:
		return 'o';
	default:
		return json ? '?' : '-';
	}
}

static struct json_object *inspect(struct kist_container *c)
{
	struct json_object *document = NULL;
	struct kist_error err = { 0 };

	if (kist_container_inspect(c, false, &document, &err) < 0)
		fail_msg("inspect: %s", err.text);
	return document;
}

static void check_keys(struct json_object *document)
{
	for (size_t i = 0; i < KIST_COUNT(keys); i++) {
		char type = type_of(json_at(document, keys[i].path));
		if (!strchr(keys[i].types, type))
			fail_msg("%s is of type %c, not %s", keys[i].path, type, keys[i].types);
	}
}

static void test_plain(void **state)
{
	struct kist_container_config config;

	(void)state;
	kist_container_config_init(&config);
	struct kist_container *c = container_make(&config, "plain");
	KIST_JSON struct json_object *document = inspect(c);
	check_keys(document);
	assert_string_equal(text_at(document, "Id"), kist_container_id(c));
	assert_string_equal(text_at(document, "Name"), "plain");
	assert_string_equal(text_at(document, "Path"), "/bin/sh");
	assert_int_equal(json_object_array_length(json_at(document, "Args")), 2);
	assert_string_equal(text_at(document, "State.Status"), "created");
	assert_string_equal(text_at(document, "State.StartedAt"), "0001-01-01T00:00:00Z");
	assert_string_equal(text_at(document, "Config.WorkingDir"), "/");
	assert_string_equal(text_at(document, "Config.Umask"), "0022");
	assert_string_equal(text_at(document, "Rootfs"), "/tmp");
	assert_null(json_at(document, "GraphDriver")); /* a plain directory */
	assert_memory_equal(text_at(document, "Config.Hostname"), kist_container_id(c), 12);
	/* The environment is the effective one, but for HOME, which only the start looks up. */
	struct json_object *env = json_at(document, "Config.Env");
	KIST_STRV char **list = NULL;
	for (size_t i = 0; i < json_object_array_length(env); i++)
		kist_strv_add(&list, json_object_get_string(json_object_array_get_idx(env, i)));
	assert_string_equal(kist_env_get(list, "container"), "kist");
	assert_string_equal(kist_env_get(list, "PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	assert_string_equal(kist_env_get(list, "HOSTNAME"), text_at(document, "Config.Hostname"));
	assert_null(kist_env_get(list, "HOME"));
	assert_null(kist_env_get(list, "TERM"));
	kist_container_config_clear(&config);
	container_drop(c);
}

static void fill(struct kist_container_config *config)
{
	kist_container_config_init(config);
	kist_strv_add(&config->labels, "tier=web=1");
	kist_strv_add(&config->env, "X=y");
	kist_strv_add(&config->entrypoint, "/bin/sh");
	kist_strv_add(&config->entrypoint, "-e");
	kist_strv_add(&config->cmd, "x");
	config->user = kist_strdup("1000:1000");
	config->tty = config->read_only = config->no_new_privileges = true;
	kist_strv_add(&config->cap_add, "net_admin");
	kist_strv_add(&config->cap_drop, "CHOWN");
	config->n_mounts = 2;
	config->mounts = kist_alloc(2 * sizeof(*config->mounts));
	config->mounts[0] = (struct kist_mount_config){ kist_strdup("/data"), kist_strdup("bind"), kist_strdup("/tmp"),
		                                        kist_strv_split("ro,rbind,rslave,nosuid", ',') };
	config->mounts[1] = (struct kist_mount_config){ kist_strdup("/tmp"), kist_strdup("tmpfs"), kist_strdup("tmpfs"),
		                                        kist_strv_split("size=1m", ',') };
	config->resources = kist_alloc(sizeof(*config->resources));
	kist_table_init(&kist_spec_resources_table, config->resources);
	config->resources->pids_limit = (struct kist_opt){ true, -1 };
	config->resources->cpu = kist_alloc(sizeof(*config->resources->cpu));
	config->resources->cpu->quota = (struct kist_opt){ true, 150000 };
	config->resources->cpu->period = (struct kist_opt){ true, 100000 };
	config->resources->memory = kist_alloc(sizeof(*config->resources->memory));
	config->resources->memory->limit = (struct kist_opt){ true, 67108864 };
	config->stop_signal = 2;
	config->umask = (struct kist_opt){ true, 077 };
}

static bool lists(struct json_object *document, const char *path, const char *text)
{
	struct json_object *list = json_at(document, path);

	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (kist_streq(json_object_get_string(json_object_array_get_idx(list, i)), text))
			return true;
	return false;
}

static void test_full(void **state)
{
	struct kist_container_config config;

	(void)state;
	fill(&config);
	struct kist_container *c = container_make(&config, "full");
	KIST_JSON struct json_object *document = inspect(c);
	check_keys(document);
	assert_string_equal(text_at(document, "Config.Labels.tier"), "web=1");
	assert_string_equal(text_at(document, "Config.Entrypoint"), "/bin/sh -e");
	assert_string_equal(text_at(document, "Config.Umask"), "0077");
	assert_int_equal(json_object_get_int64(json_at(document, "Config.StopSignal")), 2);
	assert_true(lists(document, "Config.Env", "TERM=xterm"));
	assert_true(lists(document, "Config.Env", "X=y"));
	assert_true(lists(document, "HostConfig.CapAdd", "CAP_NET_ADMIN"));
	assert_true(lists(document, "HostConfig.CapDrop", "CAP_CHOWN"));
	assert_true(lists(document, "BoundingCaps", "CAP_NET_ADMIN"));
	assert_false(lists(document, "BoundingCaps", "CAP_CHOWN"));
	assert_int_equal(json_object_array_length(json_at(document, "EffectiveCaps")), 0); /* not root */
	assert_true(lists(document, "HostConfig.SecurityOpt", "no-new-privileges"));
	assert_true(lists(document, "HostConfig.Binds", "/tmp:/data:ro,rslave,rbind,nosuid"));
	struct json_object *mount = json_object_array_get_idx(json_at(document, "Mounts"), 0);
	assert_int_equal(json_object_array_length(json_at(document, "Mounts")), 1);
	assert_string_equal(text_at(mount, "Source"), "/tmp");
	assert_string_equal(text_at(mount, "Propagation"), "rslave");
	assert_false(json_object_get_boolean(json_at(mount, "RW")));
	assert_true(lists(mount, "Options", "nosuid"));
	/* The user's /tmp replaces the one of --read-only; /run stays. */
	assert_string_equal(text_at(document, "HostConfig.Tmpfs./tmp"), "size=1m");
	assert_non_null(strstr(text_at(document, "HostConfig.Tmpfs./run"), "tmpcopyup"));
	assert_int_equal(json_object_get_int64(json_at(document, "HostConfig.NanoCpus")), 1500000000);
	assert_int_equal(json_object_get_int64(json_at(document, "HostConfig.Memory")), 67108864);
	assert_int_equal(json_object_get_int64(json_at(document, "HostConfig.MemorySwappiness")), -1);
	assert_int_equal(json_object_get_int64(json_at(document, "HostConfig.PidsLimit")), 0);  /* unlimited */
	assert_int_equal(json_object_array_length(json_at(document, "HostConfig.Ulimits")), 2); /* the default ones */
	kist_container_config_clear(&config);
	container_drop(c);
}

static void test_states(void **state)
{
	struct kist_container_config config;

	(void)state;
	kist_container_config_init(&config);
	struct kist_container *c = container_make(&config, "states");
	pid_t pid = fork_bound();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	container_runs(c, pid, pid);
	KIST_JSON struct json_object *running = inspect(c);
	assert_true(json_object_get_boolean(json_at(running, "State.Running")));
	assert_int_equal(json_object_get_int64(json_at(running, "State.Pid")), pid);
	/* Both are killed: the next look says so, and does not know the code. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	KIST_JSON struct json_object *ended = inspect(c);
	assert_string_equal(text_at(ended, "State.Status"), "exited");
	assert_false(json_object_get_boolean(json_at(ended, "State.Running")));
	assert_int_equal(json_object_get_int64(json_at(ended, "State.Pid")), 0);
	assert_int_equal(json_object_get_int64(json_at(ended, "State.ExitCode")), -1);
	kist_container_config_clear(&config);
	container_drop(c);
}

/* Started once: the environment is what the process got, and the user is known. */
static void test_last_plan(void **state)
{
	static const char plan[] = "{\"process\":{\"user\":{\"uid\":0},\"env\":[\"HOME=/root\",\"A=b\"]}}";
	struct kist_container_config config;

	(void)state;
	kist_container_config_init(&config);
	config.user = kist_strdup("captain");
	struct kist_container *c = container_make(&config, "planned");
	KIST_JSON struct json_object *before = inspect(c);
	assert_int_equal(json_object_array_length(json_at(before, "EffectiveCaps")), 0);
	assert_string_equal(text_at(before, "OCIConfigPath"), "");
	assert_int_equal(kist_replace_file(kist_container_dir(c), "config.json", plan, strlen(plan), 0600, 0), 0);
	KIST_JSON struct json_object *after = inspect(c);
	assert_int_equal(json_object_array_length(json_at(after, "Config.Env")), 2);
	assert_true(lists(after, "Config.Env", "HOME=/root"));
	assert_true(json_object_array_length(json_at(after, "EffectiveCaps")) > 0);
	assert_true(kist_has_suffix(text_at(after, "OCIConfigPath"), "/config.json"));
	assert_int_equal(kist_replace_file(kist_container_dir(c), "config.json", "{torn", 5, 0600, 0), 0);
	KIST_JSON struct json_object *torn = inspect(c);
	check_keys(torn);
	kist_container_config_clear(&config);
	container_drop(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_last_plan),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
