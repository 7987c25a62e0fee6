/* The document of 'kist info': the host, as far as containers care, and the store. */
#include "core/view.h"

#include "cgroup/cgroup.h"
#include "net/net.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

static void add(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

/* A number of /proc/meminfo, in bytes. */
static int64_t meminfo(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	uint64_t kib = 0;

	if (!at)
		return 0;
	at += strlen(key);
	at += strspn(at, ": \t");
	KIST_FREE char *number = kist_strndup(at, strcspn(at, " \n"));
	return kist_parse_u64(number, &kib) == 0 ? (int64_t)kib * 1024 : 0;
}

static void host_memory(struct json_object *host)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_CLOSE int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		kist_read_fd(fd, 65536, &text);
	const char *s = kist_str_get(&text);
	add(host, "memFree", view_int(meminfo(s, "MemFree")));
	add(host, "memTotal", view_int(meminfo(s, "MemTotal")));
	add(host, "swapFree", view_int(meminfo(s, "SwapFree")));
	add(host, "swapTotal", view_int(meminfo(s, "SwapTotal")));
}

static bool reads_as(const char *path, char wanted)
{
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char ch;

	return fd >= 0 && read(fd, &ch, 1) == 1 && ch == wanted;
}

static struct json_object *host_security(void)
{
	struct json_object *security = json_object_new_object();
	struct kist_container_config plain = { 0 };
	KIST_STRV char **caps = NULL;

	kist_plan_caps(&plain, &caps, NULL);
	KIST_FREE char *names = kist_strv_join(caps, ",");
	add(security, "apparmorEnabled",
	    json_object_new_boolean(reads_as("/sys/module/apparmor/parameters/enabled", 'Y')));
	add(security, "capabilities", view_text(names));
	add(security, "rootless", json_object_new_boolean(geteuid() != 0));
	add(security, "seccompEnabled", json_object_new_boolean(prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0));
	add(security, "seccompProfilePath", view_text(NULL));
	add(security, "selinuxEnabled", json_object_new_boolean(access("/sys/fs/selinux/enforce", F_OK) == 0));
	return security;
}

static void host_cgroup(struct kist *k, struct json_object *host)
{
	struct kist_cgroup_root *root = NULL;
	bool there = kist_store_cgroup(k, &root, NULL) == 0;

	add(host, "cgroupManager", view_text("cgroupfs"));
	add(host, "cgroupVersion", view_text(there ? "v2" : NULL));
	add(host, "cgroupControllers", view_list(there ? kist_cgroup_root_controllers(root) : NULL));
	add(host, "cgroupMount", view_text(there ? kist_cgroup_root_path(root) : NULL));
}

/* "NAME=value" of os-release, without its quotes. */
static struct json_object *release(char *const *lines, const char *key)
{
	const char *value = kist_env_get(lines, key);
	size_t n = value ? strlen(value) : 0;

	if (n >= 2 && value[0] == '"' && value[n - 1] == '"')
		return json_object_new_string_len(value + 1, (int)(n - 2));
	return view_text(value);
}

static struct json_object *host_distribution(void)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_CLOSE int fd = open("/etc/os-release", O_RDONLY | O_CLOEXEC);
	struct json_object *distribution = json_object_new_object();

	if (fd >= 0)
		kist_read_fd(fd, 65536, &text);
	KIST_STRV char **lines = kist_strv_split(kist_str_get(&text), '\n');
	add(distribution, "distribution", release(lines, "ID"));
	add(distribution, "version", release(lines, "VERSION_ID"));
	add(distribution, "codename", release(lines, "VERSION_CODENAME"));
	return distribution;
}

/* Since the boot, as podman: user with nice, system, and idle; two digits. */
static struct json_object *host_cpu(void)
{
	struct json_object *use = json_object_new_object();
	KIST_STR struct kist_str text = { 0 };
	KIST_CLOSE int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	double ticks[4] = { 0 }, all = 0;

	if (fd >= 0)
		kist_read_fd(fd, 1u << 20, &text);
	KIST_STRV char **lines = kist_strv_split(kist_str_get(&text), '\n');
	KIST_STRV char **words = kist_strv_split(lines[0] ? lines[0] : "", ' ');
	/* "cpu  USER NICE SYSTEM IDLE ..." */
	for (size_t i = 0; i < KIST_COUNT(ticks) && kist_strv_len(words) >= 6; i++) {
		uint64_t number = 0;

		if (kist_parse_u64(words[i + 2], &number) == 0)
			ticks[i] = (double)number;
		all += ticks[i];
	}
	const struct {
		const char *key;
		double part;
	} rows[] = {
		{ "userPercent", ticks[0] + ticks[1] },
		{ "systemPercent", ticks[2] },
		{ "idlePercent", ticks[3] },
	};
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		KIST_FREE char *percent = kist_asprintf("%.2f", all > 0 ? rows[i].part / all * 100 : 0);
		add(use, rows[i].key, json_object_new_double_s(strtod(percent, NULL), percent));
	}
	return use;
}

/* Monitor and runtime are no programs of their own. */
static struct json_object *host_program(const char *name)
{
	struct json_object *program = json_object_new_object();
	char path[PATH_MAX] = "";
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	if (name)
		add(program, "name", view_text(name));
	add(program, "package", view_text(NULL));
	add(program, "path", view_text(path));
	add(program, "version", view_text("kist version " KIST_VERSION));
	return program;
}

/* What podman has and kist has not. */
static void host_foreign(struct json_object *host)
{
	static const char *const slirp_keys[] = { "executable", "package", "version" };
	struct json_object *maps = json_object_new_object(), *slirp = json_object_new_object(),
	                   *socket = json_object_new_object();

	add(maps, "gidmap", NULL);
	add(maps, "uidmap", NULL);
	add(socket, "path", view_text(NULL));
	add(socket, "exists", json_object_new_boolean(false));
	for (size_t i = 0; i < KIST_COUNT(slirp_keys); i++)
		add(slirp, slirp_keys[i], view_text(NULL));
	add(host, "buildahVersion", view_text(NULL));
	add(host, "idMappings", maps);
	add(host, "remoteSocket", socket);
	add(host, "serviceIsRemote", json_object_new_boolean(false));
	add(host, "slirp4netns", slirp);
}

static const char *go_arch(const char *machine)
{
	static const struct {
		const char *machine, *arch;
	} rows[] = {
		{ "x86_64", "amd64" }, { "aarch64", "arm64" }, { "armv7l", "arm" },      { "armv6l", "arm" },
		{ "i686", "386" },     { "i586", "386" },      { "ppc64le", "ppc64le" }, { "loongarch64", "loong64" },
	};

	for (size_t i = 0; i < KIST_COUNT(rows); i++)
		if (kist_streq(rows[i].machine, machine))
			return rows[i].arch;
	return machine;
}

static struct json_object *info_host(struct kist *k)
{
	struct json_object *host = json_object_new_object();
	struct utsname name;
	int64_t up = kist_now_boot() / KIST_NSEC_PER_SEC;
	KIST_FREE char *uptime = kist_asprintf("%lldh %lldm %lld.00s", (long long)(up / 3600),
	                                       (long long)(up / 60 % 60), (long long)(up % 60));
	KIST_FREE char *client = kist_registry_client();

	if (uname(&name) < 0)
		memset(&name, 0, sizeof(name));
	add(host, "arch", view_text(go_arch(name.machine)));
	host_cgroup(k, host);
	add(host, "conmon", host_program(NULL));
	add(host, "cpus", view_int(sysconf(_SC_NPROCESSORS_ONLN)));
	add(host, "cpuUtilization", host_cpu());
	add(host, "distribution", host_distribution());
	add(host, "eventLogger", view_text(k->settings.events == KIST_EVENTS_NONE ? "none" : "file"));
	add(host, "hostname", view_text(name.nodename));
	add(host, "kernel", view_text(name.release));
	add(host, "logDriver", view_text(k->settings.log_driver));
	host_memory(host);
	add(host, "networkBackend", view_text("kist"));
	add(host, "ociRuntime", host_program("kist"));
	add(host, "os", view_text("linux"));
	add(host, "registryClient", view_text(client));
	add(host, "security", host_security());
	add(host, "uptime", view_text(uptime));
	/* A program without a loader has no base of one. */
	add(host, "linkmode", view_text(getauxval(AT_BASE) ? "dynamic" : "static"));
	host_foreign(host);
	return host;
}

static int store_containers(struct kist *k, struct json_object *store, struct kist_error *err)
{
	struct kist_container **list = NULL;
	struct json_object *counts = json_object_new_object();
	KIST_STRV char **broken = NULL;
	int64_t running = 0, paused = 0;
	size_t n = 0;

	add(store, "containerStore", counts);
	int r = kist_container_list(k, &list, &n, &broken, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		int status = list[i]->state.status;
		paused += status == KIST_PAUSED;
		running += status == KIST_RUNNING || status == KIST_STOPPING;
	}
	kist_container_list_free(list, n);
	add(counts, "number", view_int((int64_t)n));
	add(counts, "paused", view_int(paused));
	add(counts, "running", view_int(running));
	add(counts, "stopped", view_int((int64_t)n - paused - running));
	add(counts, "damaged", view_int((int64_t)kist_strv_len(broken)));
	return 0;
}

static int store_images(struct kist *k, struct json_object *store, struct kist_error *err)
{
	struct kist_image **list = NULL;
	struct json_object *counts = json_object_new_object();
	size_t n = 0;

	add(store, "imageStore", counts);
	int r = kist_image_list(k, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		kist_image_free(list[i]);
	free(list);
	add(counts, "number", view_int((int64_t)n));
	return 0;
}

static void store_space(struct kist *k, struct json_object *store)
{
	struct statfs fs;

	if (fstatfs(k->root, &fs) < 0)
		return;
	uint64_t block = (uint64_t)fs.f_frsize;
	add(store, "graphRootAllocated", json_object_new_uint64((uint64_t)fs.f_blocks * block));
	add(store, "graphRootUsed", json_object_new_uint64((uint64_t)(fs.f_blocks - fs.f_bfree) * block));
}

static const char *file_system(int fd)
{
	static const struct {
		unsigned magic;
		const char *name;
	} rows[] = {
		{ EXT4_SUPER_MAGIC, "extfs" },          { XFS_SUPER_MAGIC, "xfs" },     { BTRFS_SUPER_MAGIC, "btrfs" },
		{ F2FS_SUPER_MAGIC, "f2fs" },           { TMPFS_MAGIC, "tmpfs" },       { RAMFS_MAGIC, "ramfs" },
		{ OVERLAYFS_SUPER_MAGIC, "overlayfs" }, { JFFS2_SUPER_MAGIC, "jffs2" },
	};
	struct statfs fs;

	for (size_t i = 0; fstatfs(fd, &fs) == 0 && i < KIST_COUNT(rows); i++)
		if ((unsigned)fs.f_type == rows[i].magic)
			return rows[i].name;
	return "<unknown>";
}

static bool overlay_has(const struct kist *k, const char *option)
{
	return kist_strv_has(k->settings.overlay_options, option);
}

static struct json_object *store_status(const struct kist *k)
{
	struct json_object *status = json_object_new_object();
	bool metacopy = overlay_has(k, "metacopy=on"), redirect = overlay_has(k, "redirect_dir=on");

	add(status, "Backing Filesystem", view_text(file_system(k->root)));
	add(status, "Native Overlay Diff", view_text(metacopy || redirect ? "false" : "true"));
	/* overlay mounts on no other */
	add(status, "Supports d_type", view_text("true"));
	add(status, "Using metacopy", view_text(metacopy ? "true" : "false"));
	return status;
}

static int info_store(struct kist *k, struct json_object *store, struct kist_error *err)
{
	int r = store_containers(k, store, err);

	if (r == 0)
		r = store_images(k, store, err);
	KIST_FREE char *volumes = kist_store_path(k, "volumes");
	add(store, "configFile", view_text(k->config_file));
	add(store, "graphDriverName", view_text("overlay"));
	add(store, "graphOptions", json_object_new_object());
	add(store, "graphStatus", store_status(k));
	add(store, "graphRoot", view_text(k->settings.root));
	store_space(k, store);
	add(store, "runRoot", view_text(k->settings.runroot));
	/* Layers are unpacked where they stay. */
	add(store, "imageCopyTmpDir", view_text(k->settings.root));
	add(store, "volumePath", view_text(volumes));
	add(store, "transientStore", json_object_new_boolean(k->settings.volatile_));
	add(store, "volatile", json_object_new_boolean(k->settings.volatile_));
	return r;
}

static struct json_object *info_version(const char *arch)
{
	struct json_object *version = json_object_new_object();
	KIST_FREE char *os_arch = kist_asprintf("linux/%s", arch);

	add(version, "Version", view_text(KIST_VERSION));
	add(version, "APIVersion", view_text(KIST_VERSION));
	add(version, "OCIVersion", view_text(KIST_OCI_VERSION));
	/* The same source makes the same bytes, whenever and wherever. */
	add(version, "GoVersion", view_text(NULL));
	add(version, "GitCommit", view_text(NULL));
	add(version, "BuiltTime", view_text(NULL));
	add(version, "Built", view_int(0));
	add(version, "OsArch", view_text(os_arch));
	add(version, "Os", view_text("linux"));
	return version;
}

static struct json_object *info_registries(struct kist *k)
{
	static char *const standard[] = { (char *)"docker.io", NULL };
	struct json_object *registries = json_object_new_object();
	char *const *search = k->settings.registries ? k->settings.registries : standard;

	add(registries, "search", view_list(kist_strv_copy(search)));
	add(registries, "insecure", view_list(kist_strv_copy(k->settings.insecure_registries)));
	return registries;
}

static struct json_object *info_plugins(void)
{
	struct json_object *plugins = json_object_new_object(), *networks = json_object_new_array();
	static char *const volumes[] = { (char *)"local", NULL };

	for (const struct kist_name *name = kist_net_driver_names; name->name; name++)
		json_object_array_add(networks, json_object_new_string(name->name));
	add(plugins, "volume", view_list(volumes));
	add(plugins, "network", networks);
	add(plugins, "log", view_list((char *const *)kist_log_drivers));
	add(plugins, "authorization", NULL);
	return plugins;
}

int kist_info(struct kist *k, struct json_object **out, struct kist_error *err)
{
	KIST_JSON struct json_object *info = json_object_new_object();
	struct json_object *host = info_host(k), *store = json_object_new_object(), *arch = NULL;

	add(info, "host", host);
	add(info, "plugins", info_plugins());
	add(info, "registries", info_registries(k));
	add(info, "store", store);
	json_object_object_get_ex(host, "arch", &arch);
	add(info, "version", info_version(json_object_get_string(arch)));
	int r = info_store(k, store, err);
	if (r < 0)
		return r;
	*out = kist_steal(&info);
	return 0;
}
