/* The monitor's way from a record to a container that waits at its gate. */
#include "core/launch.h"
#include "core/launch_hooks.h"
#include "core/log.h"
#include "core/notify.h"

#include "cgroup/cgroup.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/container_root.h"
#include "core/network.h"
#include "core/pod.h"
#include "core/volume.h"
#include "overlay/overlay.h"
#include "overlay/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The host's id of the container's root. */
static uint32_t map_root(const struct kist_spec_id_map *maps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (maps[i].container_id == 0)
			return maps[i].host_id;
	return 0;
}

int kist_launch_userns(struct kist_container *c, struct kist_overlay_userns *out, struct kist_error *err)
{
	const struct kist_container_config *config = &c->config;

	if (!config->n_uid_map || !config->n_gid_map)
		return 0;
	int fd = kist_ns_userns_make(config->uid_map, config->n_uid_map, config->gid_map, config->n_gid_map, err);
	if (fd < 0)
		return fd;
	*out = (struct kist_overlay_userns){ .fd = fd,
		                             .root_uid = map_root(config->uid_map, config->n_uid_map),
		                             .root_gid = map_root(config->gid_map, config->n_gid_map) };
	return 1;
}

/* One that has no use for all of the usual files shall not see places for them. */
static bool has_usual_files(const struct kist_container_config *config)
{
	KIST_FREE char *hostname = kist_plan_hostname(config);

	return hostname && !config->no_hosts && !config->no_resolv;
}

int kist_launch_rootfs(struct kist_container *c, struct kist_error *err)
{
	const struct kist_container_config *config = &c->config;
	const struct kist_quota quota = { config->storage_project, config->storage_size, config->storage_inodes };
	struct kist_overlay *store = NULL;
	KIST_CLOSE int lower = -1;
	bool packed = false;

	/* A writable layer is mounted once: what 'mount' has on the host is shared. */
	int mounted = kist_container_mounted_clone(c);
	if (mounted >= 0)
		return mounted;
	if (config->infra)
		return kist_pod_infra_rootfs(c, err);
	if (config->rootfs) {
		lower = kist_rootfs_open(config, &packed, err);
		if (lower < 0 || !config->rootfs_overlay)
			return kist_steal_fd(&lower);
	}
	int r = kist_store_overlay(c->k, &store, err);
	if (r < 0)
		return r;
	struct kist_overlay_mount mount = {
		.layers = config->layers,
		.lower_fd = lower,
		.lower_packed = packed,
		.dir = kist_container_dir(c),
		.points = has_usual_files(config),
		.volatile_ = config->auto_remove || kist_strv_has(config->overlay_options, "volatile"),
		.options = (const char *const *)config->overlay_options,
		.quota = config->storage_project ? &quota : NULL,
	};
	struct kist_overlay_userns userns = { .fd = -1 };
	r = kist_launch_userns(c, &userns, err);
	if (r < 0)
		return r;
	if (r > 0)
		mount.userns = &userns;
	r = kist_overlay_mount(store, &mount, err);
	kist_close_fd(&userns.fd);
	return r < 0 ? kist_context(err, "mount root file system") : r;
}

static int make_pipe(int ends[2], const struct kist_spec *spec, int container_end, struct kist_error *err)
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		return kist_fail_errno(err, errno, "make pipe for stdio");
	/* /dev/stdout and friends reopen the pipe: its owner must be the container's user. */
	const struct kist_spec_user *user = &spec->process->user;
	if ((user->uid || user->gid) && spec->linux_.n_uid_mappings == 0 &&
	    fchown(ends[container_end], user->uid, user->gid) < 0)
		kist_debug("own stdio pipe: %m");
	return 0;
}

/* A terminal is more than its bytes: who has one can type into it. That must be asked for. */
static int check_passed(const struct kist_container *c, const int fds[3], struct kist_error *err)
{
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0 && isatty(fds[i]) && !kist_streq(c->config.log_driver, "passthrough-tty"))
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "log driver passthrough: stdio is a terminal; passthrough-tty hands it over");
	return 0;
}

static int make_stdio(struct kist_container *c, const struct kist_spec *spec, struct kist_launch *launch, int theirs[3],
                      struct kist_error *err)
{
	int ends[2];

	if (c->config.tty)
		return 0;
	for (int i = 0; i < 3; i++)
		theirs[i] = launch->pass[i] < 0 ? -1 : fcntl(launch->pass[i], F_DUPFD_CLOEXEC, 3);
	if (kist_log_passes(c->config.log_driver))
		return check_passed(c, theirs, err);
	for (int i = 0; i < 3; i++) {
		int *const ours[] = { &launch->stdin_fd, &launch->stdout_fd, &launch->stderr_fd };
		int container_end = i == 0 ? 0 : 1;
		if (i == 0 && !c->config.open_stdin)
			continue;
		int r = make_pipe(ends, spec, container_end, err);
		if (r < 0)
			return r;
		theirs[i] = ends[container_end];
		*ours[i] = ends[!container_end];
		if (fcntl(*ours[i], F_SETFL, O_NONBLOCK) < 0)
			return kist_fail_errno(err, errno, "set up pipe for stdio");
	}
	return 0;
}

static int make_cgroup(struct kist_container *c, const struct kist_spec *spec, struct kist_launch *launch,
                       struct kist_error *err)
{
	KIST_FREE char *path = kist_container_cgroup_path(c);
	struct kist_cgroup_root *root = NULL;
	struct kist_error missing = { 0 };

	if (!path)
		return 0;
	int r = kist_store_cgroup(c->k, &root, &missing);
	if (r < 0 && missing.kind == KIST_ERR_UNSUPPORTED && !c->config.resources) {
		/* Nothing was asked of a cgroup: a host without the hierarchy runs containers all the same. */
		kist_debug("%s", missing.text);
		return 0;
	}
	if (r < 0) {
		if (err)
			*err = missing;
		return r;
	}
	r = kist_pod_cgroup_make(c, root, err);
	if (r < 0)
		return r;
	r = kist_cgroup_create(root, path, spec->linux_.resources,
	                       KIST_CGROUP_PARENTS_STAY | KIST_CGROUP_DEVICES_LATER | KIST_CGROUP_ALL |
	                               (c->config.pids_limit_default ? KIST_CGROUP_SOFT_PIDS : 0),
	                       err);
	if (r < 0)
		return r;
	launch->cgroup = r;
	c->state.cgroup = kist_steal(&path);
	return 0;
}

/* Secrets are in the environment of the process alone: what is written down has none. */
static int save_plan(struct kist_container *c, const struct kist_spec *spec, struct kist_error *err)
{
	struct kist_spec_process *process = spec->process;
	char **whole = process->env;

	process->env = kist_strv_copy(whole);
	kist_secrets_strip(&c->config, &process->env);
	if (c->notify)
		kist_env_unset(&process->env, KIST_NOTIFY_ENV);
	KIST_FREE char *text = kist_spec_text(spec);
	kist_strv_free(process->env);
	process->env = whole;
	int r = kist_replace_file(kist_container_plan_dir(c), "config.json", text, strlen(text), 0600, 0);
	return r < 0 ? kist_fail_errno(err, -r, "write config.json") : 0;
}

/* The infra container's process is this binary too; one that needs libraries goes on in the forked child. */
#ifdef KIST_STATIC
#define KIST_INFRA_EXECUTES true
#else
#define KIST_INFRA_EXECUTES false
#endif

/* Pid 1 of --init is this binary, which must run where no library of the host's is. */
static int init_binary(struct kist_error *err)
{
#ifdef KIST_STATIC
	return kist_open_self_protected(err);
#else
	kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
	          "--init needs the statically linked kist: this one needs the host's libraries");
	return kist_remedy(err, "'make static' builds it");
#endif
}

static int at_point(void *arg, enum kist_ns_point point, pid_t pid, struct kist_error *err)
{
	return point == KIST_NS_NAMESPACES ? kist_network_attach(arg, pid, err) : 0;
}

struct meanwhile {
	const struct kist_spec *spec;
	const struct kist_launch *launch;
};

static int meanwhile(void *arg, struct kist_error *err)
{
	const struct meanwhile *m = arg;
	int r = m->launch->cgroup >= 0 ? kist_cgroup_devices(m->launch->cgroup, m->spec->linux_.resources, err) : 0;

	return r == 0 && m->launch->meanwhile ? m->launch->meanwhile(m->launch->meanwhile_arg, err) : r;
}

static int launch_prepared(struct kist_container *c, const struct kist_spec *spec, int rootfs,
                           struct kist_launch *launch, struct kist_error *err)
{
	int theirs[3] = { -1, -1, -1 };
	KIST_CLOSE int init_fd = -1;
	const char *root = NULL;

	int r = make_cgroup(c, spec, launch, err);
	if (r == 0)
		r = make_stdio(c, spec, launch, theirs, err);
	if (r == 0 && (c->config.init || (c->config.infra && KIST_INFRA_EXECUTES))) {
		init_fd = init_binary(err);
		r = init_fd < 0 ? init_fd : 0;
	}
	if (r == 0)
		r = kist_launch_hooks_root(c, spec, &root, err);
	if (r == 0) {
		uint64_t caps;
		struct meanwhile both = { spec, launch };
		bool built_in = kist_plan_seccomp_caps(&c->config, spec->process, &caps);
		KIST_FREE char *bundle = kist_container_plan_path(c, NULL);
		struct kist_ns_launch plan = {
			.spec = spec,
			.rootfs_fd = rootfs,
			.rootfs_target = root,
			.cgroup_fd = launch->cgroup,
			.stdio = { theirs[0], theirs[1], theirs[2] },
			.rows = launch->rows,
			.cols = launch->cols,
			.listen_fds = (int)launch->preserve_fds,
			.init_fd = init_fd,
			.pause = c->config.infra,
			.new_keyring = true,
			.seccomp_cache = c->k->runroot,
			.default_seccomp_caps = built_in ? &caps : NULL,
			.id = c->config.id,
			.bundle = bundle,
			.hooks = { .run = kist_launch_hooks_runner, .arg = c },
			.at = c->state.n_networks ? at_point : NULL,
			.at_arg = c,
			.meanwhile = meanwhile,
			.meanwhile_arg = &both,
		};
		r = kist_ns_create(&plan, &launch->child, err);
	}
	for (int i = 0; i < 3; i++)
		kist_close_fd(&theirs[i]);
	return r;
}

int kist_launch_create(struct kist_container *c, struct kist_launch *launch, struct kist_error *err)
{
	KIST_SPEC struct kist_spec *spec = NULL;
	KIST_CLOSE int rootfs = -1;

	int r = kist_container_rundir(c, err);
	if (r < 0)
		return r;
	rootfs = kist_launch_rootfs(c, err);
	if (rootfs < 0)
		return rootfs;
	r = kist_network_prepare(c, err);
	if (r == 0)
		r = kist_plan_make(c, rootfs, &spec, err);
	if (r == 0)
		r = kist_launch_hooks_add(c, &spec, err);
	if (r == 0)
		r = kist_spec_check(spec, err);
	if (r == 0)
		r = save_plan(c, spec, err);
	if (r == 0)
		r = kist_launch_hooks_note(c, spec, err);
	if (r == 0)
		r = launch_prepared(c, spec, rootfs, launch, err);
	kist_container_drop_held(c);
	if (r < 0) {
		/* Clean-up removes the group, which is empty: the child is dead and reaped. */
		kist_launch_close(launch);
		return r;
	}
	return 0;
}

void kist_launch_close(struct kist_launch *launch)
{
	kist_ns_child_close(&launch->child);
	kist_close_fd(&launch->stdin_fd);
	kist_close_fd(&launch->stdout_fd);
	kist_close_fd(&launch->stderr_fd);
	kist_close_fd(&launch->cgroup);
}
