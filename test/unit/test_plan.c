/* From a container's configuration to the plan of its launch: what is in it, in which order, and what is refused. */
#include "store_help.h"

#include "core/base/spec_check.h"

/* A plan for a configuration that 'change' has worked on. The caller frees it. */
static struct kist_spec *plan_of(void (*change)(struct kist_container_config *))
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_spec *spec = NULL;
	struct kist_error err = { 0 };

	config_make(&config, "plan", "true");
	if (change)
		change(&config);
	if (kist_container_create(k, &config, &c, &err) < 0)
		fail_msg("create: %s", err.text);
	kist_container_config_clear(&config);
	int rootfs KIST_CLOSE = open(rootfs_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(kist_container_rundir(c, NULL) >= 0);
	if (kist_plan_make(c, rootfs, &spec, &err) < 0)
		fail_msg("plan: %s", err.text);
	/* Whatever is planned passes the check. */
	if (kist_spec_check(spec, &err) < 0)
		fail_msg("check: %s", err.text);
	remove_one(c);
	return spec;
}

static enum kist_error_kind refusal_of(void (*change)(struct kist_container_config *))
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	config_make(&config, "plan", "true");
	change(&config);
	int r = kist_container_create(k, &config, &c, &err);
	kist_container_config_clear(&config);
	if (r == 0)
		remove_one(c);
	assert_true((r < 0) == kist_error_is_set(&err));
	expect_nothing_left();
	return err.kind;
}

static ssize_t mount_index(const struct kist_spec *spec, const char *destination)
{
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (kist_streq(spec->mounts[i].destination, destination))
			return (ssize_t)i;
	return -1;
}

static void expect_caps(char *const *caps, const char *names)
{
	KIST_FREE char *joined = kist_strv_join(caps, " ");

	assert_string_equal(joined ? joined : "", names);
}

#define DEFAULT_CAPS                                                                                                   \
	"CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP "                 \
	"CAP_NET_BIND_SERVICE "                                                                                        \
	"CAP_SYS_CHROOT CAP_SETFCAP"

static void test_defaults(void **state)
{
	KIST_SPEC struct kist_spec *spec = plan_of(NULL);
	const struct kist_spec_process *process = spec->process;

	(void)state;
	assert_string_equal(process->args[0], "/bin/sh");
	assert_string_equal(process->cwd, "/");
	assert_int_equal(process->user.uid, 0);
	assert_int_equal(process->user.umask.value, 0022);
	assert_false(process->terminal);
	expect_caps(process->capabilities->bounding, DEFAULT_CAPS);
	expect_caps(process->capabilities->effective, DEFAULT_CAPS);
	expect_caps(process->capabilities->permitted, DEFAULT_CAPS);
	/* Never these: CVE-2022-29162 and its kin. */
	assert_int_equal(kist_strv_len(process->capabilities->inheritable), 0);
	assert_int_equal(kist_strv_len(process->capabilities->ambient), 0);
	assert_string_equal(kist_env_get(process->env, "container"), "kist");
	assert_non_null(kist_env_get(process->env, "PATH"));
	assert_string_equal(kist_env_get(process->env, "HOSTNAME"), spec->hostname);
	assert_int_equal(strlen(spec->hostname), 12);
	assert_null(kist_env_get(process->env, "TERM"));
	assert_false(spec->root_readonly);
}

static void test_namespaces(void **state)
{
	static const char *const own[] = { "pid", "ipc", "uts", "network", "cgroup", "mount" };
	KIST_SPEC struct kist_spec *spec = plan_of(NULL);

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(own); i++) {
		const struct kist_spec_namespace *namespace = kist_spec_namespace(spec, own[i]);
		assert_non_null(namespace);
		assert_null(namespace->path);
	}
	assert_null(kist_spec_namespace(spec, "user"));
}

static void set(char **member, const char *value)
{
	free(*member);
	*member = kist_strdup(value);
}

static void shared_namespaces(struct kist_container_config *config)
{
	set(&config->pid_ns, "host");
	set(&config->net_ns, "ns:/proc/self/ns/net");
	set(&config->ipc_ns, "host");
}

static void test_shared_namespaces(void **state)
{
	KIST_SPEC struct kist_spec *spec = plan_of(shared_namespaces);

	(void)state;
	assert_null(kist_spec_namespace(spec, "pid"));
	assert_null(kist_spec_namespace(spec, "ipc"));
	assert_string_equal(kist_spec_namespace(spec, "network")->path, "/proc/self/ns/net");
	/* The host's shared memory comes with its IPC. */
	ssize_t shm = mount_index(spec, "/dev/shm");
	assert_true(shm >= 0);
	assert_string_equal(spec->mounts[shm].type, "bind");
	/* A sysctl of a namespace that is not the container's own is left alone. */
	assert_null(kist_env_get(spec->linux_.sysctl, "net.ipv4.ping_group_range"));
}

static void some_caps(struct kist_container_config *config)
{
	kist_strv_add(&config->cap_drop, "all");
	kist_strv_add(&config->cap_add, "net_admin");
	kist_strv_add(&config->cap_add, "CAP_KILL");
	kist_strv_add(&config->cap_add, "kill");
}

static void plain_user(struct kist_container_config *config)
{
	set(&config->user, "1000:1001");
	kist_strv_add(&config->cap_drop, "CHOWN");
}

static void test_capabilities(void **state)
{
	KIST_SPEC struct kist_spec *spec = plan_of(some_caps);
	KIST_SPEC struct kist_spec *user = plan_of(plain_user);

	(void)state;
	expect_caps(spec->process->capabilities->bounding, "CAP_KILL CAP_NET_ADMIN");
	/* Not root: nothing but the bounding set (CVE-2018-10856). */
	assert_int_equal(user->process->user.uid, 1000);
	assert_int_equal(user->process->user.gid, 1001);
	assert_int_equal(kist_strv_len(user->process->capabilities->bounding), 10);
	assert_false(kist_strv_has(user->process->capabilities->bounding, "CAP_CHOWN"));
	assert_int_equal(kist_strv_len(user->process->capabilities->effective), 0);
	assert_int_equal(kist_strv_len(user->process->capabilities->permitted), 0);
}

static void privileged(struct kist_container_config *config)
{
	config->privileged = true;
}

static void test_privileged(void **state)
{
	KIST_SPEC struct kist_spec *spec = plan_of(privileged);
	uint64_t caps = 0;
	struct kist_container_config config = { .privileged = true };

	(void)state;
	assert_true(kist_strv_has(spec->process->capabilities->bounding, "CAP_SYS_ADMIN"));
	assert_int_equal(kist_strv_len(spec->linux_.masked_paths), 0);
	assert_int_equal(kist_strv_len(spec->linux_.readonly_paths), 0);
	assert_int_equal(spec->linux_.resources->n_devices, 0);
	assert_false(kist_plan_seccomp_caps(&config, spec->process, &caps));
	config.privileged = false;
	assert_true(kist_plan_seccomp_caps(&config, spec->process, &caps));
	assert_true(caps & 1ull << 21); /* CAP_SYS_ADMIN */
	config.seccomp = (char *)"unconfined";
	assert_false(kist_plan_seccomp_caps(&config, spec->process, &caps));
}

static void add_mount(struct kist_container_config *config, const char *destination, const char *type,
                      const char *source)
{
	size_t n = config->n_mounts;

	config->mounts = kist_grow(config->mounts, n + 1, sizeof(*config->mounts));
	config->mounts[n] = (struct kist_mount_config){ .destination = kist_strdup(destination),
		                                        .type = kist_strdup(type),
		                                        .source = kist_strdup(source) };
	config->n_mounts++;
}

static void user_mounts(struct kist_container_config *config)
{
	add_mount(config, "/a/b/c", "tmpfs", "tmpfs");
	add_mount(config, "/z", "tmpfs", "tmpfs");
	add_mount(config, "/a", "bind", "/tmp");
	add_mount(config, "/dev/shm", "tmpfs", "tmpfs");
	add_mount(config, "/a/b", "tmpfs", "tmpfs");
	add_mount(config, "/etc/hosts", "bind", "/dev/null");
}

static void test_mount_order(void **state)
{
	KIST_SPEC struct kist_spec *spec = plan_of(user_mounts);

	(void)state;
	ssize_t proc = mount_index(spec, "/proc"), dev = mount_index(spec, "/dev"), pts = mount_index(spec, "/dev/pts");
	ssize_t a = mount_index(spec, "/a"), b = mount_index(spec, "/a/b"), c = mount_index(spec, "/a/b/c");
	assert_true(proc >= 0 && dev >= 0 && a >= 0);
	assert_true(dev < pts);
	/* Outer places first, whatever the order on the command line; the user's after the engine's. */
	assert_true(proc < a && dev < a && a < b && b < c);
	/* The user's mount replaces the one of the engine: there is one. */
	for (size_t i = 0; i < spec->n_mounts; i++)
		for (size_t j = 0; j < i; j++)
			if (kist_streq(spec->mounts[i].destination, spec->mounts[j].destination))
				fail_msg("%s is mounted twice", spec->mounts[i].destination);
	assert_string_equal(spec->mounts[mount_index(spec, "/etc/hosts")].source, "/dev/null");
}

static void unmasked(struct kist_container_config *config)
{
	kist_strv_add(&config->unmask, "/proc/kcore");
	kist_strv_add(&config->unmask, "/proc/s*");
	kist_strv_add(&config->mask, "/opt/secret");
}

static void test_masked_paths(void **state)
{
	static const char *const masked[] = { "/proc/acpi",        "/proc/kcore",
		                              "/proc/keys",        "/proc/latency_stats",
		                              "/proc/sched_debug", "/proc/scsi",
		                              "/proc/timer_list",  "/proc/timer_stats",
		                              "/proc/interrupts",  "/sys/devices/virtual/powercap",
		                              "/sys/firmware",     "/sys/fs/selinux" };
	static const char *const readonly[] = { "/proc/asound", "/proc/bus", "/proc/fs",
		                                "/proc/irq",    "/proc/sys", "/proc/sysrq-trigger" };
	KIST_SPEC struct kist_spec *spec = plan_of(NULL);
	KIST_SPEC struct kist_spec *less = plan_of(unmasked);

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(masked); i++)
		assert_true(kist_strv_has(spec->linux_.masked_paths, masked[i]));
	assert_int_equal(kist_strv_len(spec->linux_.readonly_paths), KIST_COUNT(readonly));
	for (size_t i = 0; i < KIST_COUNT(readonly); i++)
		assert_true(kist_strv_has(spec->linux_.readonly_paths, readonly[i]));
	assert_false(kist_strv_has(less->linux_.masked_paths, "/proc/kcore"));
	assert_false(kist_strv_has(less->linux_.masked_paths, "/proc/scsi"));
	assert_false(kist_strv_has(less->linux_.readonly_paths, "/proc/sys"));
	assert_true(kist_strv_has(less->linux_.masked_paths, "/proc/keys"));
	assert_true(kist_strv_has(less->linux_.masked_paths, "/opt/secret"));
}

static void one_device(struct kist_container_config *config)
{
	config->devices = kist_grow(NULL, 1, sizeof(*config->devices));
	config->devices[0] =
	        (struct kist_device_config){ kist_strdup("/dev/null"), kist_strdup("/dev/other"), kist_strdup("r") };
	config->n_devices = 1;
	kist_strv_add(&config->device_rules, "b 8:* rm");
}

static void test_devices(void **state)
{
	KIST_SPEC struct kist_spec *spec = plan_of(one_device);
	const struct kist_spec_resources *resources = spec->linux_.resources;

	(void)state;
	/* First everything is denied, then what is needed is allowed. */
	assert_true(resources->n_devices > 3);
	assert_false(resources->devices[0].allow);
	for (size_t i = 1; i < resources->n_devices; i++)
		assert_true(resources->devices[i].allow);
	assert_int_equal(spec->linux_.n_devices, 1);
	assert_string_equal(spec->linux_.devices[0].path, "/dev/other");
	assert_int_equal(spec->linux_.devices[0].major, 1);
	assert_int_equal(spec->linux_.devices[0].minor, 3);
	const struct kist_spec_device_rule *last = &resources->devices[resources->n_devices - 1];
	assert_string_equal(last->type, "b");
	assert_int_equal(last->major.value, 8);
	assert_true(!last->minor.set || last->minor.value == -1);
	assert_string_equal(last->access, "rm");
	assert_string_equal(last[-1].access, "r");
}

static void bad_cap(struct kist_container_config *c)
{
	kist_strv_add(&c->cap_add, "NOTHING");
}
static void both_caps(struct kist_container_config *c)
{
	kist_strv_add(&c->cap_add, "net_raw");
	kist_strv_add(&c->cap_drop, "CAP_NET_RAW");
}
static void bad_env(struct kist_container_config *c)
{
	kist_strv_add(&c->env, "NAME");
}
static void bad_env_all(struct kist_container_config *c)
{
	kist_strv_add(&c->env, "*");
}
static void bad_rule(struct kist_container_config *c)
{
	kist_strv_add(&c->device_rules, "c 1:3");
}
static void bad_device(struct kist_container_config *c)
{
	one_device(c);
	set(&c->devices[0].source, "/etc");
	set(&c->devices[0].source, "/etc/passwd");
}
static void bad_command(struct kist_container_config *c)
{
	kist_strv_free(c->command);
	c->command = NULL;
}
static void bad_rootfs(struct kist_container_config *c)
{
	set(&c->rootfs, "/etc/passwd");
}
static void no_rootfs(struct kist_container_config *c)
{
	set(&c->rootfs, NULL);
}
static void bad_parent(struct kist_container_config *c)
{
	set(&c->cgroup_parent, "/a/../../b");
}
static void bad_cgroups(struct kist_container_config *c)
{
	set(&c->cgroups, "maybe");
}
static void bad_mount(struct kist_container_config *c)
{
	add_mount(c, "relative", "tmpfs", "tmpfs");
}
static void twice_mounted(struct kist_container_config *c)
{
	add_mount(c, "/a", "tmpfs", "tmpfs");
	add_mount(c, "/a", "tmpfs", "tmpfs");
}
static void bad_zone(struct kist_container_config *c)
{
	set(&c->timezone, "../../etc/passwd");
}
static void bad_ns(struct kist_container_config *c)
{
	set(&c->net_ns, "ns:relative");
}
static void bad_maps(struct kist_container_config *c)
{
	set(&c->user_ns, "private");
}
static void bad_hostname(struct kist_container_config *c)
{
	set(&c->uts_ns, "host");
	set(&c->hostname, "x");
}
static void bad_log(struct kist_container_config *c)
{
	set(&c->log_driver, "journald");
}
static void bad_sysctl(struct kist_container_config *c)
{
	kist_strv_add(&c->sysctl, "kernel.core_pattern=|/bin/sh");
}
static void missing_source(struct kist_container_config *c)
{
	add_mount(c, "/a", "bind", "/nothing/here");
}
static void missing_rootfs(struct kist_container_config *c)
{
	set(&c->rootfs, "/nothing/here");
}
static void missing_profile(struct kist_container_config *c)
{
	set(&c->seccomp, "/nothing/here");
}

static void test_refused(void **state)
{
	static void (*const invalid[])(struct kist_container_config *) = {
		bad_cap,       both_caps,  bad_env,   bad_env_all, bad_rule,     bad_device,
		bad_command,   bad_rootfs, no_rootfs, bad_parent,  bad_cgroups,  bad_mount,
		twice_mounted, bad_zone,   bad_ns,    bad_maps,    bad_hostname, bad_sysctl,
	};
	static void (*const missing[])(struct kist_container_config *) = { missing_source, missing_rootfs,
		                                                           missing_profile };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(invalid); i++)
		if (refusal_of(invalid[i]) != KIST_ERR_INVALID)
			fail_msg("number %zu is not refused as it should be", i);
	for (size_t i = 0; i < KIST_COUNT(missing); i++)
		assert_int_equal(refusal_of(missing[i]), KIST_ERR_SYSTEM);
	assert_int_equal(refusal_of(bad_log), KIST_ERR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),          cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_shared_namespaces), cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_privileged),        cmocka_unit_test(test_mount_order),
		cmocka_unit_test(test_masked_paths),      cmocka_unit_test(test_devices),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests_name("plan", tests, store_setup, store_teardown);
}
