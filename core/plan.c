/* From a container's record to the plan of its launch: the process, its namespaces, its security. */
#include "core/log.h"
#include "core/network.h"
#include "core/apparmor.h"
#include "core/plan.h"
#include "core/userns.h"
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "ns/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_LIMIT 1048576 /* nofile and nproc, as podman */
#define PROFILE_MAX   (4u << 20)

static const char *const default_caps[] = {
	"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FOWNER",  "CAP_FSETID", "CAP_KILL",       "CAP_NET_BIND_SERVICE",
	"CAP_SETFCAP", "CAP_SETGID",       "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
};

/* --- capabilities ---------------------------------------------------------------------------------------------------
 */

static char *cap_canonical(const char *name)
{
	char *out = kist_has_prefix(name, "CAP_") || kist_has_prefix(name, "cap_") ? kist_strdup(name)
	                                                                           : kist_asprintf("CAP_%s", name);

	for (char *ch = out; *ch; ch++)
		if (*ch >= 'a' && *ch <= 'z')
			*ch = (char)(*ch - 'a' + 'A');
	return out;
}

static bool is_all(const char *name)
{
	return kist_streq(name, "ALL") || kist_streq(name, "all");
}

static int caps_listed(char *const *names, const char *option, char ***out, bool *all, struct kist_error *err)
{
	*all = false;
	for (size_t i = 0; names && names[i]; i++) {
		if (is_all(names[i])) {
			*all = true;
			continue;
		}
		KIST_FREE char *name = cap_canonical(names[i]);
		if (!kist_ns_cap_known(name))
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s: '%s' is not a capability of this kernel",
			                 option, names[i]);
		if (!kist_strv_has(*out, name))
			kist_strv_add(out, name);
	}
	return 0;
}

int kist_plan_caps(const struct kist_container_config *config, char ***caps, struct kist_error *err)
{
	KIST_STRV char **add = NULL;
	KIST_STRV char **drop = NULL;
	KIST_STRV char **all = kist_ns_caps_available();
	bool add_all = false, drop_all = false;

	int r = caps_listed(config->cap_add, "cap-add", &add, &add_all, err);
	if (r == 0)
		r = caps_listed(config->cap_drop, "cap-drop", &drop, &drop_all, err);
	if (r < 0)
		return r;
	for (size_t i = 0; add && add[i]; i++)
		if (kist_strv_has(drop, add[i]))
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s is in both cap-add and cap-drop", add[i]);
	/* The kernel's order, so that equal sets are equal texts. What this process lacks it cannot give. */
	for (size_t n = 0; all && all[n]; n++) {
		const char *name = all[n];
		bool wanted = config->privileged || add_all;
		for (size_t i = 0; !wanted && !drop_all && i < KIST_COUNT(default_caps); i++)
			wanted = kist_streq(default_caps[i], name);
		if ((wanted && !kist_strv_has(drop, name)) || kist_strv_has(add, name))
			kist_strv_add(caps, name);
	}
	return 0;
}

static struct kist_spec_caps *caps_sets(char *const *caps, bool root)
{
	struct kist_spec_caps *sets = kist_alloc(sizeof(*sets));

	/* Inheritable and ambient stay empty: nothing leaks through execve (CVE-2022-29162). */
	sets->bounding = kist_strv_copy(caps);
	if (root) {
		sets->effective = kist_strv_copy(caps);
		sets->permitted = kist_strv_copy(caps);
	}
	return sets;
}

/* --- namespaces -----------------------------------------------------------------------------------------------------
 */

int plan_other(struct plan *p, const char *id, struct kist_container **other, struct kist_error *err)
{
	int r = kist_container_load(p->c->k, id, other, err);
	if (r < 0)
		return kist_context(err, "shared namespace");
	if (p->rootfs >= 0 && ((*other)->state.status != KIST_RUNNING || !kist_container_monitor_alive(*other))) {
		r = kist_fail(err, KIST_ERR_STATE, EBUSY, "container %s, whose namespace it shares, is not running",
		              (*other)->config.name);
		kist_container_free(*other);
		*other = NULL;
		return kist_remedy(err, "start that one first");
	}
	return 0;
}

struct namespace_row {
	const char *type, *file;
	size_t mode; /* offset in the config */
	const char *option;
};

static const struct namespace_row namespace_rows[] = {
	{ "pid", "pid", offsetof(struct kist_container_config, pid_ns), "pid" },
	{ "ipc", "ipc", offsetof(struct kist_container_config, ipc_ns), "ipc" },
	{ "uts", "uts", offsetof(struct kist_container_config, uts_ns), "uts" },
	{ "network", "net", offsetof(struct kist_container_config, net_ns), "network" },
	{ "cgroup", "cgroup", offsetof(struct kist_container_config, cgroup_ns), "cgroupns" },
	{ "user", "user", offsetof(struct kist_container_config, user_ns), "userns" },
};

/* What the option takes beside "host, container:ID or ns:PATH". */
static const char *own_modes(const char *type)
{
	return kist_streq(type, "ipc")    ? "private, shareable, none"
	       : kist_streq(type, "user") ? "private, auto, keep-id"
	                                  : "private";
}

static int plan_namespace(struct plan *p, const struct namespace_row *row, struct kist_error *err)
{
	const char *text = *(char *const *)((const char *)p->config + row->mode);
	enum kist_ns_mode mode;
	const char *argument;

	bool maps = text && (kist_userns_is_auto(text) || kist_userns_is_keep_id(text));
	if (kist_ns_mode_parse(text, &mode, &argument) < 0 || (maps && !kist_streq(row->type, "user")))
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s '%s': expected %s, host, container:ID or ns:PATH",
		                 row->option, text, own_modes(row->type));
	switch (mode) {
	case KIST_NS_HOST:
		return 0;
	case KIST_NS_PATH:
		if (argument[0] != '/')
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s 'ns:%s': expected an absolute path", row->option,
			                 argument);
		kist_spec_add_namespace(p->spec, row->type, argument);
		return 0;
	case KIST_NS_CONTAINER: {
		struct kist_container *other = NULL;
		int r = plan_other(p, argument, &other, err);
		if (r < 0)
			return r;
		/* 'private' is that container's word that nobody joins. */
		if (kist_streq(row->type, "ipc") &&
		    (kist_streq(other->config.ipc_ns, "private") || kist_streq(other->config.ipc_ns, "none"))) {
			r = kist_fail(err, KIST_ERR_INVALID, 0, "ipc: container %s keeps its IPC namespace %s",
			              other->config.name, other->config.ipc_ns);
			kist_container_free(other);
			return kist_remedy(err, "create it with --ipc=shareable");
		}
		KIST_FREE char *path = kist_asprintf("/proc/%d/ns/%s", other->state.pid, row->file);
		kist_container_free(other);
		kist_spec_add_namespace(p->spec, row->type, path);
		return 0;
	}
	default:
		kist_spec_add_namespace(p->spec, row->type, NULL);
		return 0;
	}
}

static int plan_namespaces(struct plan *p, struct kist_error *err)
{
	kist_spec_add_namespace(p->spec, "mount", NULL);
	for (size_t i = 0; i < KIST_COUNT(namespace_rows); i++) {
		int r = plan_namespace(p, &namespace_rows[i], err);
		if (r < 0)
			return r;
	}
	const struct kist_spec_namespace *user = kist_spec_namespace(p->spec, "user");
	p->host_user = !user;
	if (!user || user->path)
		return user && p->rootfs >= 0 ? kist_userns_verify(p->config, err) : 0;
	struct kist_spec_linux *l = &p->spec->linux_;
	if (p->config->n_uid_map == 0 || p->config->n_gid_map == 0)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "userns 'private' needs --uidmap and --gidmap; 'auto' chooses them");
	l->uid_mappings = kist_grow(NULL, p->config->n_uid_map, sizeof(*l->uid_mappings));
	memcpy(l->uid_mappings, p->config->uid_map, p->config->n_uid_map * sizeof(*l->uid_mappings));
	l->n_uid_mappings = p->config->n_uid_map;
	l->gid_mappings = kist_grow(NULL, p->config->n_gid_map, sizeof(*l->gid_mappings));
	memcpy(l->gid_mappings, p->config->gid_map, p->config->n_gid_map * sizeof(*l->gid_mappings));
	l->n_gid_mappings = p->config->n_gid_map;
	return 0;
}

/* --- the process ----------------------------------------------------------------------------------------------------
 */

static void add_default_limit(struct kist_spec_process *process, const char *type, int resource)
{
	struct rlimit own;

	for (size_t i = 0; i < process->n_rlimits; i++)
		if (kist_streq(process->rlimits[i].type, type))
			return;
	/* Never above our own hard limit, which may need a privilege that the host did not give. */
	if (getrlimit(resource, &own) < 0)
		return;
	uint64_t limit = own.rlim_max == RLIM_INFINITY || own.rlim_max > DEFAULT_LIMIT ? DEFAULT_LIMIT : own.rlim_max;
	kist_spec_set_rlimit(process, type, limit, limit);
}

void kist_plan_limits(const struct kist_container_config *config, struct kist_spec_process *process)
{
	for (size_t i = 0; i < config->n_rlimits; i++)
		kist_spec_set_rlimit(process, config->rlimits[i].type, config->rlimits[i].soft,
		                     config->rlimits[i].hard);
	add_default_limit(process, "RLIMIT_NOFILE", RLIMIT_NOFILE);
	add_default_limit(process, "RLIMIT_NPROC", RLIMIT_NPROC);
}

static void env_default(char ***env, const char *key, const char *value)
{
	if (!kist_env_get(*env, key))
		kist_env_set(env, key, value);
}

/* A default that the user did not take away with --unsetenv. */
static void env_unless_unset(const struct kist_container_config *config, char ***env, const char *key,
                             const char *value)
{
	if (!config->unset_env_all && !kist_strv_has(config->unset_env, key))
		env_default(env, key, value);
}

char *kist_plan_hostname(const struct kist_container_config *config)
{
	enum kist_ns_mode mode;

	if (kist_ns_mode_parse(config->uts_ns, &mode, NULL) < 0 || mode != KIST_NS_PRIVATE)
		return NULL;
	if (!kist_empty(config->hostname))
		return kist_strdup(config->hostname);
	/* Who answers at the host's addresses has the host's name, as podman has it. */
	char host[HOST_NAME_MAX + 1] = "";
	if (kist_streq(config->net_ns, "host") && gethostname(host, sizeof(host) - 1) == 0 && *host)
		return kist_strdup(host);
	return kist_strndup(config->id, 12);
}

char **kist_plan_env(const struct kist_container_config *config, const char *home)
{
	KIST_FREE char *hostname = kist_plan_hostname(config);
	char **env = kist_strv_copy(config->env);

	env_unless_unset(config, &env, "PATH", DEFAULT_PATH);
	if (config->tty)
		env_unless_unset(config, &env, "TERM", "xterm");
	env_unless_unset(config, &env, "container", "kist");
	if (hostname)
		env_default(&env, "HOSTNAME", hostname);
	if (home)
		env_default(&env, "HOME", *home ? home : "/");
	return env;
}

/* Whether path is, or is below, a place where something else will be mounted. */
static bool is_mounted_over(const struct plan *p, const char *path)
{
	for (size_t i = 0; i < p->spec->n_mounts; i++) {
		const char *at = p->spec->mounts[i].destination;
		size_t n = strlen(at);
		if (n > 1 && kist_has_prefix(path, at) && (path[n] == '/' || path[n] == '\0'))
			return true;
	}
	return false;
}

/* Old programs read /etc/mtab; an image that has one keeps it, and one without /etc needs none. */
static void make_mtab(int rootfs)
{
	KIST_CLOSE int etc = kist_open_in_root(rootfs, "etc", O_PATH | O_DIRECTORY, 0);
	struct stat st;

	if (etc >= 0 && fstatat(etc, "mtab", &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
	    symlinkat("/proc/mounts", etc, "mtab") < 0)
		kist_debug("make /etc/mtab: %m");
}

/* libpod: one that the user named must be there; an image's own is made, for the user. What is below a mount is not
 * there yet. */
static int make_workdir(const struct plan *p, const char *path, struct kist_error *err)
{
	uid_t uid = kist_plan_host_uid(p->config, p->spec->process->user.uid);
	gid_t gid = kist_plan_host_gid(p->config, p->spec->process->user.gid);

	if (kist_streq(path, "/") || is_mounted_over(p, path))
		return 0;
	KIST_CLOSE int there = kist_open_in_root(p->rootfs, path, O_PATH | O_DIRECTORY, 0);
	if (there >= 0)
		return 0;
	if (there == -ENOTDIR)
		return kist_fail(err, KIST_ERR_EXEC_ACCESS, ENOTDIR, "workdir \"%s\" is not a directory", path);
	if (p->config->workdir_given && there == -ENOENT)
		return kist_fail(err, KIST_ERR_EXEC_ACCESS, ENOENT, "workdir \"%s\" does not exist in the container",
		                 path);
	KIST_CLOSE int made = kist_mkdirs_in_root(p->rootfs, path, 0755, 0, 0);
	if (made >= 0 && (uid || gid) && fchownat(made, "", uid, gid, AT_EMPTY_PATH) < 0)
		return kist_fail_errno(err, errno, "give working directory %s to the user", path);
	if (made < 0)
		return kist_fail_errno(err, -made, "make working directory %s in the container", path);
	return 0;
}

static int plan_process(struct plan *p, struct kist_error *err)
{
	const struct kist_container_config *config = p->config;
	struct kist_spec_process *process = kist_alloc(sizeof(*process));
	KIST_STRV char **caps = NULL;
	KIST_FREE char *home = NULL;

	kist_table_init(&kist_spec_process_table, process);
	p->spec->process = process;
	process->args = kist_strv_copy(config->command);
	process->terminal = config->tty;
	process->cwd = kist_strdup(kist_empty(config->workdir) ? "/" : config->workdir);
	process->no_new_privileges = config->no_new_privileges;
	process->oom_score_adj = config->oom_score_adj;
	if (p->rootfs >= 0) {
		int r = kist_apparmor_plan(p->c->k, config, &process->apparmor_profile, err);
		if (r < 0)
			return r;
		r = kist_ns_user_lookup(p->rootfs, config->user ? config->user : "", config->groups, &process->user,
		                        &home, NULL, err);
		if (r < 0)
			return r;
	}
	process->user.umask = config->umask.set ? config->umask : (struct kist_opt){ true, 0022 };
	int r = kist_plan_caps(config, &caps, err);
	if (r < 0)
		return r;
	process->capabilities = caps_sets(caps, process->user.uid == 0);
	kist_plan_limits(config, process);
	process->env = kist_plan_env(config, home);
	return p->rootfs >= 0 ? kist_secrets_env(p->c, &process->env, err) : 0;
}

/* --- security -------------------------------------------------------------------------------------------------------
 */

/* NULL seccomp means the built-in profile, which the launch takes by capabilities: see kist_plan_seccomp_caps. */
static int plan_seccomp(struct plan *p, struct kist_error *err)
{
	const char *path = p->config->seccomp;
	KIST_STR struct kist_str text = { 0 };
	KIST_STRV char **caps = NULL;

	if (p->config->privileged || kist_empty(path) || kist_streq(path, "unconfined"))
		return 0;
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return kist_fail_errno(err, errno, "open seccomp profile %s", path);
	int r = kist_read_fd(fd, PROFILE_MAX, &text);
	if (r < 0)
		return kist_fail_errno(err, -r, "read seccomp profile %s", path);
	r = kist_plan_caps(p->config, &caps, err);
	if (r == 0)
		r = kist_ns_seccomp_read(kist_str_get(&text), text.len, caps, &p->spec->linux_.seccomp, err);
	return r < 0 ? kist_context(err, "seccomp profile %s", path) : 0;
}

bool kist_plan_seccomp_caps(const struct kist_container_config *config, const struct kist_spec_process *process,
                            uint64_t *caps)
{
	if (config->privileged || !kist_empty(config->seccomp))
		return false;
	return kist_ns_cap_mask(process->capabilities ? process->capabilities->bounding : NULL, caps, NULL) == 0;
}

static void plan_sysctls(struct plan *p)
{
	const struct kist_spec_namespace *net = kist_spec_namespace(p->spec, "network");

	p->spec->linux_.sysctl = kist_strv_copy(p->config->sysctl);
	/* Lets every group of the container use ICMP echo sockets: ping without a capability. Not in shared namespaces.
	 */
	if (net && !net->path && !kist_env_get(p->spec->linux_.sysctl, "net.ipv4.ping_group_range") && p->host_user)
		kist_env_set(&p->spec->linux_.sysctl, "net.ipv4.ping_group_range", "0 0");
}

static void plan_resources(struct plan *p)
{
	struct kist_spec_linux *l = &p->spec->linux_;

	l->resources = kist_alloc(sizeof(*l->resources));
	if (p->config->resources)
		kist_table_copy(&kist_spec_resources_table, l->resources, p->config->resources);
	else
		kist_table_init(&kist_spec_resources_table, l->resources);
}

/* --- the whole ------------------------------------------------------------------------------------------------------
 */

static int plan_build(struct plan *p, struct kist_error *err)
{
	struct kist_spec *spec = p->spec;

	free(spec->oci_version);
	spec->oci_version = kist_strdup(KIST_OCI_VERSION);
	spec->root_path = p->config->rootfs ? kist_strdup(p->config->rootfs) : kist_container_runpath(p->c, "rootfs");
	spec->root_readonly = p->config->read_only;
	spec->annotations = kist_strv_copy(p->config->annotations);
	int r = plan_namespaces(p, err);
	if (r < 0)
		return r;
	const struct kist_spec_namespace *uts = kist_spec_namespace(spec, "uts");
	if (uts && !uts->path)
		spec->hostname = kist_plan_hostname(p->config);
	else if (!kist_empty(p->config->hostname))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "hostname: cannot be set in a UTS namespace that is not the container's own");
	spec->linux_.cgroups_path = kist_container_cgroup_path(p->c);
	plan_resources(p);
	r = plan_process(p, err);
	if (r == 0)
		r = plan_mounts(p, err);
	if (r == 0)
		r = plan_devices(p, err);
	if (r == 0)
		r = plan_seccomp(p, err);
	if (r == 0) {
		plan_paths(p);
		plan_sysctls(p);
	}
	if (r == 0 && p->rootfs >= 0) {
		make_mtab(p->rootfs);
		r = make_workdir(p, spec->process->cwd, err);
	}
	return r;
}

int kist_plan_make(struct kist_container *c, int rootfs, struct kist_spec **out, struct kist_error *err)
{
	KIST_SPEC struct kist_spec *spec = kist_spec_new();
	struct plan p = { .c = c, .config = &c->config, .spec = spec, .rootfs = rootfs };

	int r = plan_build(&p, err);
	if (r == 0)
		r = plan_files(&p, err);
	if (r == 0 && c->notify)
		plan_notify(&p);
	if (r < 0)
		return r;
	*out = kist_steal(&spec);
	return 0;
}

/* sethostname(2) takes any bytes; what resolvers and /etc/hosts take is less. */
static bool is_hostname(const char *name)
{
	size_t n = strlen(name);

	return n <= 64 && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

static int check_plain(const struct kist_container_config *config, struct kist_error *err)
{
	if (!kist_empty(config->hostname) && !is_hostname(config->hostname))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "hostname '%.80s': expected up to 64 letters, digits, '-', '.' and '_'",
		                 config->hostname);
	if (!config->command || !config->command[0] || !config->command[0][0])
		return kist_fail(err, KIST_ERR_INVALID, 0, "no command specified on the command line or in the image");
	if (!config->image && !config->rootfs && !config->infra)
		return kist_fail(err, KIST_ERR_INVALID, 0, "neither an image nor a root file system was given");
	if (!kist_streq(config->cgroups, "enabled") && !kist_streq(config->cgroups, "disabled"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "cgroups '%s': expected enabled or disabled",
		                 config->cgroups);
	if (config->cgroup_parent[0] != '/' || strstr(config->cgroup_parent, "/.."))
		return kist_fail(err, KIST_ERR_INVALID, 0, "cgroup parent '%s': expected an absolute path",
		                 config->cgroup_parent);
	for (size_t i = 0; config->env && config->env[i]; i++)
		if (!strchr(config->env[i], '=') || config->env[i][0] == '=')
			return kist_fail(err, KIST_ERR_INVALID, 0, "environment entry '%s': expected NAME=value",
			                 config->env[i]);
	if (config->rootfs) {
		int r = kist_rootfs_check(config, err);
		if (r < 0)
			return r;
	}
	if (config->tty && kist_log_passes(config->log_driver))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "log driver %s hands over the command's stdio: it excludes --tty", config->log_driver);
	return kist_log_check(config->log_driver, err);
}

int kist_plan_check_config(struct kist_container *c, struct kist_error *err)
{
	KIST_SPEC struct kist_spec *spec = kist_spec_new();
	struct plan p = { .c = c, .config = &c->config, .spec = spec, .rootfs = -1 };

	int r = check_plain(&c->config, err);
	for (size_t i = 0; r == 0 && i < c->config.n_secrets; i++)
		r = kist_secret_check(&c->config.secrets[i], err);
	if (r == 0)
		r = kist_health_check(&c->config.health, err);
	if (r == 0 && c->config.sdnotify == KIST_SDNOTIFY_HEALTHY && !kist_health_is_checked(&c->config.health))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "sdnotify healthy: there is no health check");
	if (r == 0 && c->config.sdnotify == KIST_SDNOTIFY_HEALTHY && c->config.health.interval == 0)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "sdnotify healthy: its health check never runs by itself");
	if (r == 0)
		r = kist_network_check_config(c, err);
	if (r == 0)
		r = plan_build(&p, err);
	if (r == 0)
		r = kist_spec_check(spec, err);
	return r;
}

/* --- exec -----------------------------------------------------------------------------------------------------------
 */

int kist_plan_exec(struct kist_container *c, int rootfs, const struct kist_exec *exec, const struct kist_spec *spec,
                   struct kist_spec_process **out, struct kist_error *err)
{
	struct kist_spec_process *process = kist_alloc(sizeof(*process));
	const char *user = exec->user ? exec->user : c->config.user;
	KIST_STRV char **caps = NULL;
	KIST_FREE char *home = NULL;

	kist_table_copy(&kist_spec_process_table, process, spec->process);
	kist_strv_free(process->args);
	process->args = kist_strv_copy(exec->args);
	process->terminal = exec->tty;
	free(process->user.additional_gids);
	process->user = (struct kist_spec_user){ .umask = spec->process->user.umask };
	int r = kist_ns_user_lookup(rootfs, user ? user : "", c->config.groups, &process->user, &home, NULL, err);
	if (r == 0 && exec->privileged)
		caps = kist_ns_caps_available();
	else if (r == 0)
		r = kist_plan_caps(&c->config, &caps, err);
	if (r == 0)
		r = kist_secrets_env(c, &process->env, err);
	if (r == 0) {
		struct kist_spec_caps *old = process->capabilities;
		if (old) {
			char **const sets[] = { old->bounding, old->effective, old->inheritable, old->permitted,
				                old->ambient };
			for (size_t i = 0; i < KIST_COUNT(sets); i++)
				kist_strv_free(sets[i]);
			free(old);
		}
		process->capabilities = caps_sets(caps, process->user.uid == 0);
		if (exec->tty)
			env_default(&process->env, "TERM", "xterm");
		if (exec->user)
			kist_env_set(&process->env, "HOME", kist_empty(home) ? "/" : home);
		for (size_t i = 0; exec->env && exec->env[i]; i++)
			kist_env_put(&process->env, exec->env[i]);
		if (exec->workdir) {
			free(process->cwd);
			process->cwd = kist_strdup(exec->workdir);
		}
		r = kist_spec_check_process(process, "process", err);
	}
	if (r < 0) {
		kist_table_release(&kist_spec_process_table, process);
		free(process);
		return r;
	}
	*out = process;
	return 0;
}
