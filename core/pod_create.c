/* Making pods, and containers in them. */
#include "core/pod.h"
#include "core/restart.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 10

static const struct ns_row {
	const char *name;
	size_t mode; /* offset in the configuration of a container */
} namespaces[] = {
	{ "cgroup", offsetof(struct kist_container_config, cgroup_ns) },
	{ "ipc", offsetof(struct kist_container_config, ipc_ns) },
	{ "net", offsetof(struct kist_container_config, net_ns) },
	{ "pid", offsetof(struct kist_container_config, pid_ns) },
	{ "user", offsetof(struct kist_container_config, user_ns) },
	{ "uts", offsetof(struct kist_container_config, uts_ns) },
};

static char **mode_of(const struct ns_row *row, struct kist_container_config *config)
{
	return (char **)((char *)config + row->mode);
}

static void set(char **to, const char *value)
{
	free(*to);
	*to = kist_strdup(value);
}

bool kist_pod_is_namespace(const char *name)
{
	for (size_t i = 0; i < KIST_COUNT(namespaces); i++)
		if (kist_streq(namespaces[i].name, name))
			return true;
	return false;
}

/* --- marks ----------------------------------------------------------------------------------------------------------
 */

int kist_pod_mark(struct kist_container *c, struct kist_error *err)
{
	KIST_FREE char *path = kist_asprintf("%s/members/%s", c->config.pod, c->config.id);
	int r = kist_pods_open(c->k, false, err);

	KIST_CLOSE int mark = r < 0 ? r : openat(c->k->pods, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return mark < 0 ? kist_fail_errno(err, r < 0 ? -r : errno, "add the container to pod %.12s", c->config.pod) : 0;
}

void kist_pod_unmark(struct kist_container *c)
{
	if (!c->config.pod || kist_pods_open(c->k, false, NULL) < 0)
		return;
	KIST_FREE char *path = kist_asprintf("%s/members/%s", c->config.pod, c->config.id);
	unlinkat(c->k->pods, path, 0);
}

/* --- a pod ----------------------------------------------------------------------------------------------------------
 */

static int check(const struct kist_pod_config *config, struct kist_error *err)
{
	const struct kist_container_config policy = { .restart_policy = config->restart_policy,
		                                      .restart_retries = config->restart_retries };
	int r = config->name ? kist_name_check(config->name, err) : 0;

	if (r == 0)
		r = kist_restart_check(&policy, err);
	for (size_t i = 0; r == 0 && config->share && config->share[i]; i++)
		if (!kist_pod_is_namespace(config->share[i]))
			r = kist_fail(err, KIST_ERR_INVALID, 0,
			              "share '%s': expected cgroup, ipc, net, pid, user or uts", config->share[i]);
	if (r == 0 && config->share && !config->infra)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "namespaces cannot be shared without an infra container");
	if (r == 0 && !kist_streq(config->exit_policy, "continue") && !kist_streq(config->exit_policy, "stop"))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "exit policy '%s': expected continue or stop",
		              config->exit_policy);
	if (r == 0 && config->resources && !config->share_parent)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "limits of a pod need its cgroup: share_parent is off");
	if (r == 0 && (config->cgroup_parent[0] != '/' || strstr(config->cgroup_parent, "/..")))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "cgroup parent '%s': expected an absolute path",
		              config->cgroup_parent);
	return r;
}

/* Its process and root file system are ours; what it holds for the others is as asked for. */
static void infra_config(const struct kist_pod *pod, const struct kist_container_config *from,
                         struct kist_container_config *to)
{
	const struct kist_pod_config *config = &pod->config;

	if (from)
		kist_table_copy(&kist_container_config_table, to, from);
	else
		kist_container_config_init(to);
	set(&to->name, config->infra_name);
	set(&to->pod, config->id);
	to->infra = true;
	kist_strv_free(to->command);
	to->command = NULL;
	kist_strv_add(&to->command, "/pause");
	to->read_only = true;
	to->read_only_tmpfs = false;
	kist_strv_free(to->cap_drop);
	to->cap_drop = NULL;
	kist_strv_add(&to->cap_drop, "ALL");
	if (kist_strv_has(config->share, "uts") && kist_streq(to->uts_ns, "private"))
		set(&to->hostname, config->hostname ? config->hostname : config->name);
	if (kist_streq(to->ipc_ns, "private"))
		set(&to->ipc_ns, "shareable");
	if (config->share_parent) {
		free(to->cgroup_parent);
		to->cgroup_parent = kist_pod_cgroup_path(pod);
	}
}

static int infra_make(struct kist_pod *pod, const struct kist_container_config *from, struct kist_error *err)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;

	if (!pod->config.infra_name)
		pod->config.infra_name = kist_asprintf("%.12s-infra", pod->config.id);
	infra_config(pod, from, &config);
	int r = kist_container_make(pod->k, &config, &c, err);
	kist_container_config_clear(&config);
	if (r < 0)
		return kist_context(err, "infra container");
	set(&pod->config.infra_id, kist_container_id(c));
	kist_container_free(c);
	return 0;
}

static void infra_undo(struct kist_pod *pod)
{
	struct kist_container *c = NULL;

	if (pod->config.infra_id && kist_container_load(pod->k, pod->config.infra_id, &c, NULL) == 0)
		kist_container_remove(c, KIST_REMOVE_FORCE | KIST_REMOVE_WITH_POD | KIST_REMOVE_VOLUMES, 0, NULL);
	kist_container_free(c);
}

/* A directory of its own, locked: without a record and a lock it would be taken for a crash and swept. */
static int make_directory(struct kist_pod *pod, struct kist_error *err)
{
	struct kist *k = pod->k;
	int r = -ESTALE;

	for (int i = 0; r == -ESTALE && i < TRIES; i++) {
		kist_close_fd(&pod->lock);
		kist_random_hex(pod->config.id, 64);
		if (mkdirat(k->pods, pod->config.id, 0700) < 0)
			return kist_fail_errno(err, errno, "make directory of new pod");
		pod->lock = openat(k->pods, pod->config.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		r = pod->lock < 0 ? (errno == ENOENT ? -ESTALE : -errno)
		                  : kist_pod_dir_lock(k, pod->lock, pod->config.id, false);
	}
	if (r == 0 && mkdirat(pod->lock, "members", 0700) < 0)
		r = -errno;
	if (r == 0) {
		pod->dir = openat(pod->lock, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = pod->dir < 0 ? -errno : 0;
	}
	return r < 0 ? kist_fail_errno(err, -r, "make directory of new pod") : 0;
}

static int make(struct kist_pod *pod, const struct kist_container_config *infra, struct kist_error *err)
{
	struct kist *k = pod->k;
	struct kist_pod_config *config = &pod->config;
	bool sync = !k->settings.volatile_;

	int r = make_directory(pod, err);
	if (r < 0)
		return r;
	r = config->name ? kist_name_claim(k, KIST_NAMED_POD, config->name, config->id, err)
	                 : kist_name_generate(k, KIST_NAMED_POD, config->id, &config->name, err);
	if (r == 0 && config->infra)
		r = infra_make(pod, infra, err);
	if (r == 0)
		r = kist_record_write(pod->dir, "config", &kist_pod_config_table, config, NULL, sync, err);
	if (r == 0 && sync) {
		kist_sync_dir(k->pods);
		kist_sync_dir(k->names);
	}
	return r;
}

int kist_pod_create(struct kist *k, const struct kist_pod_config *config, const struct kist_container_config *infra,
                    struct kist_pod **out, struct kist_error *err)
{
	struct kist_cgroup_root *root = NULL;

	int r = check(config, err);
	if (r == 0 && config->resources)
		r = kist_store_cgroup(k, &root, err);
	if (r == 0)
		r = kist_pods_open(k, true, err);
	if (r < 0)
		return r;
	struct kist_pod *pod = kist_alloc(sizeof(*pod));
	*pod = (struct kist_pod){ .k = k, .dir = -1, .lock = -1 };
	kist_table_copy(&kist_pod_config_table, &pod->config, config);
	free(pod->config.id);
	free(pod->config.infra_id);
	pod->config.infra_id = NULL;
	pod->config.id = kist_alloc(65);
	pod->config.created = kist_now_wall();
	r = make(pod, infra, err);
	if (r < 0) {
		infra_undo(pod);
		kist_name_release(k, pod->config.name, pod->config.id);
		if (pod->lock >= 0)
			kist_remove_tree(k->pods, pod->config.id);
		kist_pod_free(pod);
		return kist_context(err, "create pod");
	}
	kist_pod_unlock(pod);
	kist_pod_event(pod, "create");
	*out = pod;
	return 0;
}

/* --- a container in it ----------------------------------------------------------------------------------------------
 */

static const char *default_mode(const char *ns)
{
	static const char *const modes[][2] = { { "ipc", "shareable" }, { "user", "host" } };

	for (size_t i = 0; i < KIST_COUNT(modes); i++)
		if (kist_streq(modes[i][0], ns))
			return modes[i][1];
	return "private";
}

/* Whether the infra container has a namespace of its own by this mode. */
static bool is_own(const struct ns_row *row, const char *mode)
{
	return kist_streq(row->name, "net") ? !kist_streq(mode, "host") && !kist_has_prefix(mode, "ns:")
	                                    : kist_streq(mode, "private") || kist_streq(mode, "shareable");
}

/* Whether it is of the old pod that a member has this mode, or of none where the new pod shares one. */
static bool is_of_pod(const struct kist_pod *old, const struct kist_container *infra, const struct ns_row *row,
                      const char *mode)
{
	if (!kist_pod_shares(old, row->name))
		return kist_streq(mode, default_mode(row->name));
	const char *id = kist_has_prefix(mode, "container:") ? mode + strlen("container:") : NULL;
	const char *theirs = infra ? *mode_of(row, (struct kist_container_config *)&infra->config) : NULL;
	return infra && (kist_streq(id, infra->config.id) || (!is_own(row, theirs) && kist_streq(mode, theirs)));
}

void kist_pod_member_reset(const struct kist_pod *old, const struct kist_container *infra, const struct kist_pod *new,
                           struct kist_container_config *config)
{
	for (size_t i = 0; i < KIST_COUNT(namespaces); i++) {
		char **mode = mode_of(&namespaces[i], config);
		if (!kist_pod_shares(new, namespaces[i].name) || !is_of_pod(old, infra, &namespaces[i], *mode))
			continue;
		set(mode, "pod");
		if (mode == &config->user_ns)
			config->n_uid_map = config->n_gid_map = 0;
	}
	if (infra)
		kist_container_config_disinherit(config, &infra->config);
}

/* "pod" becomes what it means in this pod. A namespace that the infra container itself has from elsewhere is taken from
 * there, so that everything else that goes with the mode (names, mounts) is the same too. */
static int join_namespace(const struct kist_pod *pod, struct kist_container *infra, const struct ns_row *row,
                          struct kist_container_config *config, struct kist_error *err)
{
	char **mode = mode_of(row, config);

	if (!kist_streq(*mode, "pod"))
		return 0;
	if (!kist_pod_shares(pod, row->name)) {
		if (kist_streq(row->name, "net"))
			return kist_fail(err, KIST_ERR_INVALID, 0, "network 'pod': pod %s shares no network",
			                 pod->config.name);
		set(mode, default_mode(row->name));
		return 0;
	}
	const char *theirs = *mode_of(row, &infra->config);
	if (!is_own(row, theirs)) {
		set(mode, theirs);
		return 0;
	}
	free(*mode);
	*mode = kist_asprintf("container:%s", infra->config.id);
	return 0;
}

/* What removes itself is not to come back, and what prepares ends on purpose. */
static void join_restart(const struct kist_pod *pod, struct kist_container_config *config)
{
	if (config->restart_policy || config->auto_remove || config->init_ctr)
		return;
	config->restart_policy = kist_strdup(pod->config.restart_policy);
	config->restart_retries = pod->config.restart_retries;
}

static int join(const struct kist_pod *pod, struct kist_container *infra, struct kist_container_config *config,
                struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < KIST_COUNT(namespaces); i++)
		r = join_namespace(pod, infra, &namespaces[i], config, err);
	if (r < 0)
		return r;
	if (pod->config.share_parent && kist_streq(config->cgroup_parent, pod->k->settings.cgroup_parent)) {
		free(config->cgroup_parent);
		config->cgroup_parent = kist_pod_cgroup_path(pod);
	}
	join_restart(pod, config);
	if (infra)
		kist_container_config_inherit(config, &infra->config);
	if (infra && kist_has_prefix(config->uts_ns, "container:") && !kist_env_get(config->env, "HOSTNAME"))
		kist_env_set(&config->env, "HOSTNAME", infra->config.hostname);
	return 0;
}

static int check_init(struct kist_pod *pod, const char *type, struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	if (!type)
		return 0;
	if (!kist_streq(type, "once") && !kist_streq(type, "always"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "init container '%s': expected once or always", type);
	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0)
		return r;
	enum kist_pod_status status = kist_pod_status(list, n);
	kist_container_list_free(list, n);
	if (status == KIST_POD_RUNNING || status == KIST_POD_DEGRADED)
		return kist_fail(err, KIST_ERR_STATE, EBUSY, "an init container cannot be added to a running pod");
	return 0;
}

static int member_make(struct kist_pod *pod, const struct kist_container_config *config, struct kist_container **out,
                       struct kist_error *err)
{
	struct kist_container_config joined;
	struct kist_container *infra = NULL;
	/* A removal holds it from its beginning to its end. */
	KIST_CLOSE int removing = kist_lock(pod->dir, "removing", true, true);

	if (removing == -EWOULDBLOCK)
		return kist_fail(err, KIST_ERR_STATE, EBUSY, "it is being removed");
	if (removing < 0)
		return kist_fail_errno(err, -removing, "look whether it is being removed");
	int r = check_init(pod, config->init_ctr, err);
	if (r == 0 && pod->config.infra)
		r = kist_container_load(pod->k, pod->config.infra_id, &infra, err);
	if (r < 0)
		return r;
	kist_table_copy(&kist_container_config_table, &joined, config);
	set(&joined.pod, pod->config.id);
	r = join(pod, infra, &joined, err);
	if (r == 0)
		r = kist_container_make(pod->k, &joined, out, err);
	kist_container_config_clear(&joined);
	kist_container_free(infra);
	return r;
}

int kist_pod_create_member(struct kist *k, const struct kist_container_config *config, struct kist_container **out,
                           struct kist_error *err)
{
	struct kist_pod *pod = NULL;

	int r = kist_pod_open(k, config->pod, &pod, err);
	if (r < 0)
		return r;
	r = kist_pod_lock(pod, err);
	if (r == 0) {
		r = member_make(pod, config, out, err);
		kist_pod_unlock(pod);
	}
	if (r < 0)
		kist_context(err, "pod %s", pod->config.name ? pod->config.name : config->pod);
	kist_pod_free(pod);
	return r;
}
