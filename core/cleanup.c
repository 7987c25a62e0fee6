/* What a dead container still holds is freed here, and a record is taken away. */
#include "core/container_root.h"
#include "core/launch_hooks.h"
#include "core/network.h"
#include "core/notify.h"
#include "core/pod.h"
#include "core/userns.h"
#include "core/volume.h"

#include "cgroup/cgroup.h"
#include "core/base/fs.h"
#include "overlay/quota.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PARENT         "/kist"
#define REMOVED_PREFIX         KIST_TMP_PREFIX "rm-"
#define REMOVED_VOLUMES_PREFIX KIST_TMP_PREFIX "rmv-" /* with its anonymous volumes */

static int cgroup_free(struct kist_container *c, struct kist_error *err)
{
	KIST_FREE char *path = c->state.cgroup ? kist_strdup(c->state.cgroup) : kist_container_cgroup_path(c);
	struct kist_cgroup_root *root = NULL;

	/* Without a hierarchy there is no group of ours in it. */
	if (!path || kist_store_cgroup(c->k, &root, NULL) < 0)
		return 0;
	int r = kist_cgroup_remove(root, path, err);
	if (r < 0)
		return r;
	/* Its parent stays, which costs nothing: to make and remove that too would be a good part of a short container.
	 */
	free(c->state.cgroup);
	c->state.cgroup = NULL;
	return 0;
}

void kist_store_cgroup_tidy(struct kist *k, char *const *others)
{
	struct kist_cgroup_root *root = NULL;

	if (kist_store_cgroup(k, &root, NULL) < 0)
		return;
	kist_cgroup_prune_made(root, k->settings.cgroup_parent);
	for (; others && *others; others++)
		kist_cgroup_prune_made(root, *others);
}

/* The run directory's files of one run; the lock stays, others wait on it. */
static void run_files_free(struct kist_container *c)
{
	static const char *const names[] = { "attach",         "hosts",         "resolv.conf",   "hostname",
		                             "containerenv",   "secrets",       KIST_NAMES_LOCK, "exec",
		                             KIST_LIVE_RECORD, KIST_NOTIFY_DIR, "rootfs" };

	if (kist_container_rundir(c, NULL) < 0)
		return;
	for (size_t i = 0; i < KIST_COUNT(names); i++)
		kist_remove_tree(c->run_dir, names[i]);
	/* What a full disk had no room for is looked for by the mark. */
	if (!kist_exists_at(c->run_dir, "exit"))
		kist_container_unmark(c->k, c->config.id);
}

/* The container whose network namespace it shared knows it by name. */
static void guest_leave(struct kist_container *c)
{
	static const char mode[] = "container:";
	struct kist_error problem = { 0 };

	if (!kist_has_prefix(c->config.net_ns, mode))
		return;
	KIST_FREE char *line = kist_hosts_shared_line(c);
	if (kist_run_file_rewrite(c->k, c->config.net_ns + strlen(mode), "hosts", line, "", &problem) < 0)
		kist_debug("container %.12s: %s", c->config.id, problem.text);
}

int kist_container_free_run(struct kist_container *c, struct kist_error *err)
{
	int r = cgroup_free(c, err);
	if (r < 0)
		return kist_context(err, "clean up container %.12s", c->config.id);
	kist_network_teardown(c);
	guest_leave(c);
	kist_launch_hooks_poststop(c);
	run_files_free(c);
	return 0;
}

int kist_container_cleanup_locked(struct kist_container *c, struct kist_error *err)
{
	int r = kist_container_free_run(c, err);
	if (r < 0)
		return r;
	if (c->state.status == KIST_STOPPED)
		kist_container_event(c, "cleanup");
	c->state.status =
	        c->state.status == KIST_CREATED || c->state.status == KIST_CONFIGURED ? KIST_CONFIGURED : KIST_EXITED;
	c->state.pid = c->state.monitor_pid = 0;
	c->state.pid_start = c->state.monitor_start = 0;
	c->state.restarting = false;
	if (kist_container_save(c, NULL) < 0)
		kist_debug("container %.12s: state could not be saved: %m", c->config.id);
	return 0;
}

/* The name in the record; and after a rename that a crash cut short, both of its names. */
static void name_release(struct kist_container *c)
{
	KIST_STR struct kist_str note = { 0 };

	if (kist_read_file(kist_container_dir(c), KIST_NAMES_NOTE, 1024, &note) >= 0) {
		KIST_STRV char **names = kist_strv_split(kist_str_get(&note), '\n');
		for (size_t i = 0; names && names[i]; i++)
			if (kist_name_check(names[i], NULL) == 0)
				kist_name_release_into(c->k, names[i], c->config.id, kist_container_dir(c));
	}
	kist_container_reload_name(c);
	kist_name_release_into(c->k, c->config.name, c->config.id, kist_container_dir(c));
}

static void others_release(struct kist *k, const struct kist_container_config *config, bool volumes)
{
	kist_volumes_release(k, config, volumes);
	kist_userns_release(k, config);
	kist_quota_forget(k->containers, config->storage_project);
}

static void others_release_of(struct kist *k, const char *gone)
{
	KIST_CLOSE int dir = openat(k->containers, gone, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct kist_container_config config;
	char **extra = NULL;

	kist_table_init(&kist_container_config_table, &config);
	if (dir >= 0 && kist_record_read(dir, "config", &kist_container_config_table, &config, &extra, NULL) == 0)
		others_release(k, &config, kist_has_prefix(gone, REMOVED_VOLUMES_PREFIX));
	kist_table_release(&kist_container_config_table, &config);
	kist_strv_free(extra);
}

/* A removed container's directory, finished: by who removed it, or by who finds it after a crash. */
int kist_container_remove_finish(struct kist *k, const char *gone)
{
	others_release_of(k, gone);
	return kist_remove_tree(k->containers, gone);
}

int kist_container_remove_files(struct kist_container *c)
{
	int r = c->gone ? kist_remove_tree(c->k->containers, c->gone) : 0;

	if (c->gone) {
		kist_remove_tree(c->k->run_containers, c->config.id);
		kist_container_unmark(c->k, c->config.id);
	}
	free(c->gone);
	c->gone = NULL;
	kist_network_finish(c);
	return r;
}

void kist_container_drop_image(struct kist_container *c)
{
	const char *image = c->config.image_name ? c->config.image_name : c->config.image;
	struct kist_error problem = { 0 };
	KIST_STRV char **removed = NULL;

	if (!c->config.auto_remove_image || !image)
		return;
	if (kist_image_remove(c->k, image, 0, &removed, &problem) < 0 && problem.kind != KIST_ERR_IN_USE &&
	    problem.kind != KIST_ERR_NOT_FOUND)
		kist_log(KIST_LOG_ERROR, "%s", problem.text);
}

int kist_container_remove_locked(struct kist_container *c, struct kist_error *err)
{
	struct kist *k = c->k;
	bool volumes = c->remove_volumes || c->config.auto_remove;
	char gone[sizeof(REMOVED_VOLUMES_PREFIX) + 64];

	int r = kist_container_kill_all(c, err);
	if (r == 0)
		r = cgroup_free(c, err);
	if (r < 0)
		return kist_context(err, "remove container %.12s", c->config.id);
	kist_network_teardown(c);
	guest_leave(c);
	kist_launch_hooks_poststop(c);
	kist_exit_keep(c);
	kist_container_mount_drop(k, c->config.id);

	/* One rename makes it gone for everybody; what follows can be interrupted and is swept later. */
	snprintf(gone, sizeof(gone), "%s%s", volumes ? REMOVED_VOLUMES_PREFIX : REMOVED_PREFIX, c->config.id);
	if (renameat(k->containers, c->config.id, k->containers, gone) < 0 && errno != ENOENT)
		return kist_fail_errno(err, errno, "remove container %.12s", c->config.id);
	/* And after a power cut: what was removed must not be started by the next boot. */
	if (!c->config.auto_remove && !k->settings.volatile_)
		kist_sync_dir(k->containers);
	name_release(c);
	kist_container_event(c, "remove");
	kist_pod_unmark(c);
	others_release(k, &c->config, volumes);
	c->gone = kist_strdup(gone);
	if (!c->files_later)
		r = kist_container_remove_files(c);
	kist_container_unlock(c);
	kist_close_fd(&c->run_dir);
	kist_close_fd(&c->dir);
	c->state.status = KIST_REMOVING;
	return r < 0 ? kist_fail_errno(err, -r, "remove files of container %.12s", c->config.id) : 0;
}

/* For a config that cannot be loaded: its id, its state if that is sound, and what its monitor said tell what to end.
 */
static int evict_leftovers(struct kist *k, const char *id, struct kist_error *err)
{
	struct kist_container *c = kist_container_bare(k, id);

	int r = kist_container_reload(c, err);
	if (r == 0 && !c->state.cgroup && kist_streq(c->config.cgroup_parent, DEFAULT_PARENT)) {
		free(c->config.cgroup_parent);
		c->config.cgroup_parent = kist_strdup(k->settings.cgroup_parent);
	}
	if (r == 0)
		r = kist_container_kill_all(c, err);
	if (r == 0)
		r = cgroup_free(c, err);
	if (r == 0)
		kist_network_teardown(c);
	kist_container_free(c);
	return r;
}

int kist_container_evict(struct kist *k, const char *name_or_id, char id[65], struct kist_error *err)
{
	struct kist_container *c = NULL;
	struct kist_error problem = { 0 };

	int r = kist_container_open(k, name_or_id, &c, &problem);
	if (r == 0) {
		memcpy(id, c->config.id, 65);
		r = kist_container_remove(c, KIST_REMOVE_FORCE, 0, err);
		kist_container_free(c);
		return r;
	}
	/* -EBADMSG has the id in its text only: look the directory up again by what was given. */
	if (kist_container_find(k, name_or_id, id, NULL) < 0 ||
	    (problem.kind != KIST_ERR_CORRUPT && !kist_container_has_layer(k, id))) {
		if (err)
			*err = problem;
		return r;
	}
	KIST_CLOSE int run = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	KIST_CLOSE int lock = run < 0 ? -1 : kist_lock(run, "lock", true, false);
	r = evict_leftovers(k, id, err);
	if (r < 0)
		return r;
	kist_container_mount_drop(k, id);
	r = kist_remove_tree(k->containers, id);
	if (r < 0)
		return kist_fail_errno(err, -r, "remove files of container %.12s", id);
	kist_remove_tree(k->run_containers, id);
	kist_container_unmark(k, id);
	kist_volumes_forget(k, id, false);
	kist_containers_sweep(k); /* its name, which the record no longer tells */
	return 0;
}
