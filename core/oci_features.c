/* What the OCI runtime tells of itself: features (features.md of the specification), and a plan to begin with. */
#include "core/oci_internal.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <unistd.h>

/* Those that ns/ executes; others go to the file system as its own parameters. */
static const char *const mount_options[] = {
	"async",      "atime",         "bind",        "defaults",    "dev",
	"diratime",   "dirsync",       "exec",        "idmap",       "iversion",
	"lazytime",   "loud",          "mand",        "noatime",     "nodev",
	"nodiratime", "noexec",        "noiversion",  "nolazytime",  "nomand",
	"norelatime", "nostrictatime", "nosuid",      "nosymfollow", "notmpcopyup",
	"private",    "ratime",        "rbind",       "rdev",        "rdiratime",
	"relatime",   "remount",       "rexec",       "ridmap",      "rnoatime",
	"rnodev",     "rnodiratime",   "rnoexec",     "rnorelatime", "rnostrictatime",
	"rnosuid",    "rnosymfollow",  "ro",          "rprivate",    "rrelatime",
	"rro",        "rrw",           "rshared",     "rslave",      "rstrictatime",
	"rsuid",      "rsymfollow",    "runbindable", "rw",          "shared",
	"silent",     "slave",         "strictatime", "suid",        "symfollow",
	"sync",       "tmpcopyup",     "unbindable",  NULL,
};
static const char *const hooks[] = {
	"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop", NULL
};
static const char *const namespaces[] = { "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts", NULL };
static const char *const actions[] = {
	"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO",  "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
	"SCMP_ACT_LOG",   "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",         NULL
};
static const char *const operators[] = { "SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
	                                 "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL };
static const char *const flags[] = { "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	                             "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL };
/* Those whose numbers the profile compiler asks of libseccomp. */
static const char *const archs[] = {
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",      "SCMP_ARCH_MIPS",        "SCMP_ARCH_MIPS64",  "SCMP_ARCH_MIPS64N32",
	"SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64",
	"SCMP_ARCH_PPC",     "SCMP_ARCH_PPC64",    "SCMP_ARCH_PPC64LE",     "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390",
	"SCMP_ARCH_S390X",   "SCMP_ARCH_X32",      "SCMP_ARCH_X86",         "SCMP_ARCH_X86_64",  NULL
};

static struct json_object *list_json(const char *const *list)
{
	struct json_object *json = json_object_new_array();

	for (; *list; list++)
		json_object_array_add(json, json_object_new_string(*list));
	return json;
}

static struct json_object *caps_json(void)
{
	struct json_object *json = json_object_new_array();

	for (unsigned n = 0; kist_ns_cap_name(n); n++)
		json_object_array_add(json, json_object_new_string(kist_ns_cap_name(n)));
	return json;
}

static struct json_object *switch_json(const char *key, bool value)
{
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, key, json_object_new_boolean(value));
	return json;
}

static struct json_object *cgroup_json(void)
{
	struct json_object *json = switch_json("v1", false);

	json_object_object_add(json, "v2", json_object_new_boolean(true));
	json_object_object_add(json, "systemd", json_object_new_boolean(false));
	json_object_object_add(json, "systemdUser", json_object_new_boolean(false));
	json_object_object_add(json, "rdma", json_object_new_boolean(true));
	return json;
}

static struct json_object *seccomp_json(void)
{
	struct json_object *json = switch_json("enabled", true);

	json_object_object_add(json, "actions", list_json(actions));
	json_object_object_add(json, "operators", list_json(operators));
	json_object_object_add(json, "archs", list_json(archs));
	json_object_object_add(json, "knownFlags", list_json(flags));
	json_object_object_add(json, "supportedFlags", list_json(flags));
	return json;
}

struct json_object *kist_oci_features(void)
{
	struct json_object *json = json_object_new_object(), *l = json_object_new_object(),
	                   *extensions = json_object_new_object(), *annotations = json_object_new_object();

	json_object_object_add(json, "ociVersionMin", json_object_new_string("1.0.0"));
	json_object_object_add(json, "ociVersionMax", json_object_new_string("1.2.0"));
	json_object_object_add(json, "hooks", list_json(hooks));
	json_object_object_add(json, "mountOptions", list_json(mount_options));
	json_object_object_add(l, "namespaces", list_json(namespaces));
	json_object_object_add(l, "capabilities", caps_json());
	json_object_object_add(l, "cgroup", cgroup_json());
	json_object_object_add(l, "seccomp", seccomp_json());
	json_object_object_add(l, "apparmor", switch_json("enabled", true));
	json_object_object_add(l, "selinux", switch_json("enabled", true));
	json_object_object_add(l, "intelRdt", switch_json("enabled", false));
	json_object_object_add(extensions, "idmap", switch_json("enabled", true));
	json_object_object_add(l, "mountExtensions", extensions);
	json_object_object_add(json, "linux", l);
	json_object_object_add(annotations, "io.kist.version", json_object_new_string(KIST_VERSION));
	json_object_object_add(json, "annotations", annotations);
	return json;
}

/* --- a plan to begin with -------------------------------------------------------------------------------------------
 */

static const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm" };
static const char *const caps[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE" };
static const char *const masked[] = { "/proc/acpi",        "/proc/asound",        "/proc/kcore",
	                              "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
	                              "/proc/timer_stats", "/proc/sched_debug",   "/proc/scsi",
	                              "/proc/interrupts",  "/sys/firmware",       "/sys/devices/virtual/powercap" };
static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })
static const struct {
	const char *destination, *type, *source;
	const char *const *options;
} mounts[] = {
	{ "/proc", "proc", "proc", NULL },
	{ "/dev", "tmpfs", "tmpfs", OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k") },
	{ "/dev/pts", "devpts", "devpts",
	  OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5") },
	{ "/dev/shm", "tmpfs", "shm", OPTIONS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k") },
	{ "/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev") },
	{ "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", "ro") },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", OPTIONS("nosuid", "noexec", "nodev", "relatime", "ro") },
};

static void add_list(char ***to, const char *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_strv_add(to, items[i]);
}

static void fill_process(struct kist_spec_process *process)
{
	process->terminal = true;
	process->cwd = kist_strdup("/");
	process->no_new_privileges = true;
	kist_strv_add(&process->args, "sh");
	add_list(&process->env, env, KIST_COUNT(env));
	process->capabilities = kist_alloc(sizeof(*process->capabilities));
	add_list(&process->capabilities->bounding, caps, KIST_COUNT(caps));
	add_list(&process->capabilities->effective, caps, KIST_COUNT(caps));
	add_list(&process->capabilities->permitted, caps, KIST_COUNT(caps));
	kist_spec_set_rlimit(process, "RLIMIT_NOFILE", 1024, 1024);
}

/* For a user that is not root: the caller's own id is the container's root, and what needs the host's root is left out.
 */
static void fill_rootless(struct kist_spec *spec)
{
	struct kist_spec_linux *l = &spec->linux_;

	kist_spec_add_namespace(spec, "user", NULL);
	l->uid_mappings = kist_alloc(sizeof(*l->uid_mappings));
	l->gid_mappings = kist_alloc(sizeof(*l->gid_mappings));
	*l->uid_mappings = (struct kist_spec_id_map){ .host_id = (uint32_t)geteuid(), .size = 1 };
	*l->gid_mappings = (struct kist_spec_id_map){ .host_id = (uint32_t)getegid(), .size = 1 };
	l->n_uid_mappings = l->n_gid_mappings = 1;
}

char *kist_oci_spec_text(bool rootless)
{
	/* Group 5 has no mapping there. */
	static const char *const rootless_devpts[] = { "nosuid",        "noexec",    "newinstance",
		                                       "ptmxmode=0666", "mode=0620", NULL };
	static const char *const kinds[] = { "pid", "network", "ipc", "uts", "mount", "cgroup" };
	KIST_SPEC struct kist_spec *spec = kist_spec_new();

	free(spec->oci_version); /* the default */
	spec->oci_version = kist_strdup("1.2.0");
	spec->root_path = kist_strdup("rootfs");
	spec->root_readonly = true;
	spec->hostname = kist_strdup("kist");
	spec->process = kist_alloc(sizeof(*spec->process));
	fill_process(spec->process);
	for (size_t i = 0; i < KIST_COUNT(mounts); i++) {
		const char *const *options = mounts[i].options;
		if (rootless && kist_streq(mounts[i].type, "devpts"))
			options = rootless_devpts;
		kist_spec_add_mount(spec, mounts[i].destination, mounts[i].type, mounts[i].source, options);
	}
	for (size_t i = 0; i < KIST_COUNT(kinds); i++)
		kist_spec_add_namespace(spec, kinds[i], NULL);
	if (rootless)
		fill_rootless(spec);
	else
		kist_spec_add_device_rule(spec, false, 'a', -1, -1, "rwm");
	add_list(&spec->linux_.masked_paths, masked, KIST_COUNT(masked));
	add_list(&spec->linux_.readonly_paths, readonly, KIST_COUNT(readonly));
	return kist_spec_text(spec);
}
