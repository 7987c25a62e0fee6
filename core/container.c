/* Container records: making, finding, loading, locking, settling. */
#include "core/internal.h"

#include "cgroup/cgroup.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_LENGTH 64
#define KILL_WAIT_MS 10000

static bool is_hex(const char *text)
{
	return text[strspn(text, "0123456789abcdef")] == '\0';
}

static bool is_id(const char *text)
{
	return strlen(text) == ID_LENGTH && is_hex(text);
}

static struct kist_container *container_new(struct kist *k)
{
	struct kist_container *c = kist_alloc(sizeof(*c));

	c->k = k;
	c->dir = c->run_dir = c->lock = -1;
	kist_table_init(&kist_container_config_table, &c->config);
	kist_table_init(&kist_container_state_table, &c->state);
	return c;
}

void kist_container_free(struct kist_container *c)
{
	if (!c)
		return;
	kist_table_release(&kist_container_config_table, &c->config);
	kist_table_release(&kist_container_state_table, &c->state);
	kist_strv_free(c->config_extra);
	kist_strv_free(c->state_extra);
	kist_close_fd(&c->dir);
	kist_close_fd(&c->run_dir);
	kist_close_fd(&c->lock);
	free(c);
}

const char *kist_container_id(const struct kist_container *c)
{
	return c->config.id;
}

const char *kist_container_name(const struct kist_container *c)
{
	return c->config.name;
}

const struct kist_container_config *kist_container_config(const struct kist_container *c)
{
	return &c->config;
}

const struct kist_container_state *kist_container_state(const struct kist_container *c)
{
	return &c->state;
}

char *kist_container_runpath(const struct kist_container *c, const char *name)
{
	return kist_asprintf("%s/containers/%s%s%s", c->k->settings.runroot, c->config.id, name ? "/" : "", name ? name : "");
}

char *kist_container_path(const struct kist_container *c, const char *name)
{
	const struct kist_settings *s = &c->k->settings;

	return kist_asprintf("%s%s/containers/%s%s%s", s->volatile_ ? s->runroot : s->root, s->volatile_ ? "/store" : "", c->config.id,
			     name ? "/" : "", name ? name : "");
}

int kist_container_dir(struct kist_container *c)
{
	if (c->dir < 0)
		c->dir = openat(c->k->containers, c->config.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return c->dir;
}

static int rundir_open(struct kist *k, const char *id)
{
	int fd = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(k->run_containers, id, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

int kist_container_rundir(struct kist_container *c, struct kist_error *err)
{
	if (c->run_dir < 0) {
		int fd = rundir_open(c->k, c->config.id);
		if (fd < 0)
			return kist_fail_errno(err, -fd, "open run directory of container %.12s", c->config.id);
		c->run_dir = fd;
	}
	return c->run_dir;
}

/* --- state ---------------------------------------------------------------------------------------------------------- */

/* After a reboot nothing runs: exited stays exited, all else becomes configured, unless the last run's exit was
 * recorded before the power went. */
static void state_reset(struct kist_container *c)
{
	struct kist_container_state *state = &c->state;
	struct kist_exit record = { 0 };

	bool ended = kist_exit_read(c, &record) == 0 && (record.run == state->run || state->run == 0);
	if (ended) {
		state->run = record.run;
		state->exit_code = record.code;
		state->oom_killed = record.oom;
		state->finished = record.finished;
		state->exited = true;
	}
	state->status = state->status == KIST_EXITED || ended ? KIST_EXITED : KIST_CONFIGURED;
	state->pid = state->monitor_pid = 0;
	state->pid_start = state->monitor_start = 0;
	state->restart_count = 0;
	state->stopped_by_user = false;
	free(state->cgroup);
	state->cgroup = NULL;
	free(state->boot);
	state->boot = kist_strdup(c->k->boot);
}

int kist_container_reload(struct kist_container *c, struct kist_error *err)
{
	struct kist_container_state state;
	char **extra = NULL;
	struct kist_error problem = { 0 };

	kist_table_init(&kist_container_state_table, &state);
	int r = kist_record_read(kist_container_dir(c), "state", &kist_container_state_table, &state, &extra, &problem);
	if (r < 0 && problem.kind != KIST_ERR_NOT_FOUND && problem.kind != KIST_ERR_CORRUPT) {
		kist_table_release(&kist_container_state_table, &state);
		kist_strv_free(extra);
		if (err)
			*err = problem;
		return kist_context(err, "container %.12s", c->config.id);
	}
	if (r < 0) {
		/* Torn or never written: what it said is lost, what is durable decides. */
		kist_table_clear(&kist_container_state_table, &state);
		kist_strv_free(extra);
		extra = NULL;
	}
	kist_table_release(&kist_container_state_table, &c->state);
	kist_strv_free(c->state_extra);
	c->state = state;
	c->state_extra = extra;
	if (r < 0 || !kist_streq(state.boot, c->k->boot))
		state_reset(c);
	return 0;
}

int kist_container_save(struct kist_container *c, struct kist_error *err)
{
	int r = kist_record_write(kist_container_dir(c), "state", &kist_container_state_table, &c->state, c->state_extra, false, err);
	return r < 0 ? kist_context(err, "container %.12s", c->config.id) : 0;
}

int kist_container_save_config(struct kist_container *c, struct kist_error *err)
{
	bool sync = !c->config.auto_remove && !c->k->settings.volatile_;
	int r = kist_record_write(kist_container_dir(c), "config", &kist_container_config_table, &c->config, c->config_extra, sync, err);

	if (r == 0 && sync) {
		/* The directories that name it: after a power cut it is wholly there or not at all. */
		kist_sync_dir(c->k->containers);
		kist_sync_dir(c->k->names);
	}
	return r < 0 ? kist_context(err, "container %.12s", c->config.id) : 0;
}

bool kist_container_monitor_alive(const struct kist_container *c)
{
	struct kist_proc_id id = { c->state.monitor_pid, c->state.monitor_start };

	return id.pid > 0 && kist_proc_alive(&id);
}

char *kist_container_cgroup_path(const struct kist_container *c)
{
	if (kist_streq(c->config.cgroups, "disabled"))
		return NULL;
	return kist_asprintf("%s/%s", kist_streq(c->config.cgroup_parent, "/") ? "" : c->config.cgroup_parent, c->config.id);
}

int kist_container_kill_all(struct kist_container *c, struct kist_error *err)
{
	KIST_FREE char *path = c->state.cgroup ? kist_strdup(c->state.cgroup) : kist_container_cgroup_path(c);
	struct kist_cgroup_root *root = NULL;
	struct kist_proc_id id = { c->state.pid, c->state.pid_start };

	if (path && kist_store_cgroup(c->k, &root, NULL) == 0) {
		KIST_CLOSE int group = kist_cgroup_open(root, path, NULL);
		if (group >= 0) {
			int r = kist_cgroup_kill(group, err);
			if (r < 0)
				return kist_context(err, "container %.12s", c->config.id);
		}
	}
	KIST_CLOSE int pidfd = id.pid > 0 ? kist_proc_open(&id) : -1;
	if (pidfd < 0)
		return 0;
	kist_pidfd_signal(pidfd, SIGKILL);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	if (poll(&poll_fd, 1, KILL_WAIT_MS) == 0)
		return kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT, "container %.12s: process %d did not die within %d s of SIGKILL",
				 c->config.id, id.pid, KILL_WAIT_MS / 1000);
	return 0;
}

static bool status_has_process(int status)
{
	return status == KIST_CREATED || status == KIST_RUNNING || status == KIST_STOPPING || status == KIST_PAUSED;
}

static void state_take_exit(struct kist_container *c, const struct kist_exit *record)
{
	c->state.status = KIST_STOPPED;
	c->state.exit_code = record->code;
	c->state.oom_killed = record->oom;
	c->state.finished = record->finished;
	c->state.exited = true;
}

int kist_container_settle(struct kist_container *c, struct kist_error *err)
{
	struct kist_exit record = { 0 };

	if (!status_has_process(c->state.status) && c->state.status != KIST_STOPPED)
		return 0;
	bool monitored = kist_container_monitor_alive(c);
	if (status_has_process(c->state.status)) {
		bool recorded = kist_exit_read(c, &record) == 0 && record.run == c->state.run;
		if (!recorded && monitored)
			return 0;
		if (!recorded) {
			/* The monitor died: nobody can say how the container ends, so it ends now. */
			int r = kist_container_kill_all(c, err);
			if (r < 0)
				return r;
			record = (struct kist_exit){ .run = c->state.run, .code = -1, .finished = kist_now_wall() };
			/* A monitor that died before the start leaves a container that never ran. */
			if (c->state.status == KIST_CREATED)
				return kist_container_cleanup_locked(c, err);
			r = kist_exit_write(c, &record, err);
			if (r < 0)
				return kist_context(err, "container %.12s", c->config.id);
			free(c->state.error);
			c->state.error = kist_strdup("its monitor was killed: the exit code is unknown");
		}
		state_take_exit(c, &record);
		/* A full disk must not hide what is known: the next call settles it again. */
		if (kist_container_save(c, NULL) < 0)
			kist_debug("container %.12s: state could not be saved: %m", c->config.id);
	}
	/* A monitor that is alive waits for the lock to clean up itself. */
	return monitored ? 0 : kist_container_cleanup_locked(c, err);
}

/* --- locks ---------------------------------------------------------------------------------------------------------- */

static int lock_take(struct kist_container *c, bool nonblock)
{
	int run = kist_container_rundir(c, NULL);
	if (run < 0)
		return run;
	int fd = kist_lock(run, "lock", true, nonblock);
	if (fd == -ENOENT) {
		/* The run directory went away under us: a removal. A new one is made so that the answer comes from the record. */
		kist_close_fd(&c->run_dir);
		run = kist_container_rundir(c, NULL);
		fd = run < 0 ? run : kist_lock(run, "lock", true, nonblock);
	}
	if (fd < 0)
		return fd;
	c->lock = fd;
	return 0;
}

/* Whether the record is still in the directory that was opened: a removal renames it away. */
static bool record_is_gone(struct kist_container *c)
{
	struct stat here, named;

	return fstat(kist_container_dir(c), &here) < 0 || fstatat(c->k->containers, c->config.id, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	       here.st_ino != named.st_ino || here.st_dev != named.st_dev;
}

static int removed_error(struct kist_container *c, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_REMOVED, ENOENT, "container %.12s has been removed", c->config.id);
}

int kist_container_lock(struct kist_container *c, struct kist_error *err)
{
	int r = lock_take(c, false);
	if (r < 0)
		return kist_fail_errno(err, -r, "lock container %.12s", c->config.id);
	if (record_is_gone(c)) {
		/* The lock file may be one that this call just made: nothing may be left behind. */
		kist_container_unlock(c);
		kist_close_fd(&c->run_dir);
		kist_remove_tree(c->k->run_containers, c->config.id);
		return removed_error(c, err);
	}
	r = kist_container_reload(c, err);
	if (r == 0)
		r = kist_container_settle(c, err);
	if (r < 0)
		kist_container_unlock(c);
	return r;
}

int kist_container_trylock(struct kist_container *c)
{
	return lock_take(c, true);
}

void kist_container_unlock(struct kist_container *c)
{
	kist_close_fd(&c->lock);
}

int kist_container_sync(struct kist_container *c, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r == 0)
		kist_container_unlock(c);
	return r;
}

/* --- loading and finding -------------------------------------------------------------------------------------------- */

int kist_container_load(struct kist *k, const char *id, struct kist_container **out, struct kist_error *err)
{
	int dir = openat(k->containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return errno == ENOENT ? kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such container: %s", id)
				       : kist_fail_errno(err, errno, "open container %.12s", id);

	struct kist_container *c = container_new(k);
	c->dir = dir;
	struct kist_error problem = { 0 };
	int r = kist_record_read(dir, "config", &kist_container_config_table, &c->config, &c->config_extra, &problem);
	if (r == 0 && !kist_streq(c->config.id, id))
		r = kist_fail(&problem, KIST_ERR_CORRUPT, EBADMSG, "container config is damaged: it says id '%.12s'",
			      c->config.id ? c->config.id : "");
	if (r < 0 && problem.kind == KIST_ERR_CORRUPT) {
		kist_context(&problem, "container %.12s", id);
		r = kist_remedy(&problem, "'kist rm --force %.12s' removes what is left of it", id);
	}
	if (r == 0)
		r = kist_container_reload(c, &problem);
	if (r < 0) {
		kist_container_free(c);
		if (err)
			*err = problem;
		return r;
	}
	*out = c;
	return 0;
}

static int find_prefix(struct kist *k, const char *prefix, char id[65], struct kist_error *err)
{
	int fd = openat(k->containers, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t found = 0;

	if (!dir) {
		int r = kist_fail_errno(err, errno, "read the list of containers");
		kist_close_fd(&fd);
		return r;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (!is_id(entry->d_name) || !kist_has_prefix(entry->d_name, prefix))
			continue;
		memcpy(id, entry->d_name, ID_LENGTH + 1);
		if (++found > 1)
			break;
	}
	closedir(dir);
	if (found > 1)
		return kist_fail(err, KIST_ERR_AMBIGUOUS, EEXIST, "'%s' is the beginning of more than one container's id", prefix);
	return found ? 0 : -ENOENT;
}

/* Full id, then name, then a prefix of an id: as libpod resolves them. */
int kist_container_find(struct kist *k, const char *text, char id[65], struct kist_error *err)
{
	int r = -ENOENT;

	if (is_id(text)) {
		memcpy(id, text, ID_LENGTH + 1);
		return 0;
	}
	if (!kist_empty(text))
		r = kist_name_find(k, text, id);
	if (r == -ENOENT && !kist_empty(text) && strlen(text) < ID_LENGTH && is_hex(text))
		r = find_prefix(k, text, id, err);
	if (r == -ENOENT && !kist_error_is_set(err))
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such container: %s", text);
	if (r < 0 && !kist_error_is_set(err))
		return kist_fail_errno(err, -r, "look up container %s", text);
	return r;
}

int kist_container_open(struct kist *k, const char *name_or_id, struct kist_container **out, struct kist_error *err)
{
	char id[65];
	struct kist_error local = { 0 };

	int r = kist_container_find(k, name_or_id, id, &local);
	if (r == 0)
		r = kist_container_load(k, id, out, &local);
	if (r < 0 && local.kind == KIST_ERR_NOT_FOUND) {
		/* A name can outlive its container for a moment: the user's word is the better text. */
		kist_error_clear(&local);
		kist_fail(&local, KIST_ERR_NOT_FOUND, ENOENT, "no such container: %s", name_or_id);
	}
	if (r < 0 && err)
		*err = local;
	return r;
}

/* --- create --------------------------------------------------------------------------------------------------------- */

static void create_undo(struct kist_container *c, bool named)
{
	struct kist *k = c->k;

	if (named)
		kist_name_release(k, c->config.name, c->config.id);
	kist_remove_tree(k->containers, c->config.id);
	kist_remove_tree(k->run_containers, c->config.id);
}

static int create_dirs(struct kist_container *c, struct kist_error *err)
{
	struct kist *k = c->k;

	/* The lock comes first: a directory without a record and without a lock holder is taken for a crash and swept. */
	int r = kist_container_rundir(c, err);
	if (r < 0)
		return r;
	r = lock_take(c, false);
	if (r < 0)
		return kist_fail_errno(err, -r, "lock new container");
	if (mkdirat(k->containers, c->config.id, 0700) < 0)
		return kist_fail_errno(err, errno, "make directory of new container");
	c->dir = openat(k->containers, c->config.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return c->dir < 0 ? kist_fail_errno(err, errno, "open directory of new container") : 0;
}

static int create_make(struct kist_container *c, bool *named, struct kist_error *err)
{
	struct kist *k = c->k;

	int r = create_dirs(c, err);
	if (r < 0)
		return r;
	r = c->config.name ? kist_name_claim(k, c->config.name, c->config.id, err)
			   : kist_name_generate(k, c->config.id, &c->config.name, err);
	if (r < 0)
		return r;
	*named = true;
	return kist_container_save_config(c, err);
}

int kist_container_create(struct kist *k, const struct kist_container_config *config, struct kist_container **out,
			  struct kist_error *err)
{
	bool named = false;

	int r = config->name ? kist_name_check(config->name, err) : 0;
	if (r < 0)
		return r;
	struct kist_container *c = container_new(k);
	kist_table_release(&kist_container_config_table, &c->config);
	kist_table_copy(&kist_container_config_table, &c->config, config);
	free(c->config.id);
	c->config.id = kist_alloc(ID_LENGTH + 1);
	kist_random_hex(c->config.id, ID_LENGTH);
	c->config.created = kist_now_wall();
	c->state.boot = kist_strdup(k->boot);

	r = kist_plan_check_config(c, err);
	if (r < 0) {
		kist_container_free(c);
		return r;
	}
	r = create_make(c, &named, err);
	if (r < 0) {
		create_undo(c, named);
		kist_container_free(c);
		return r;
	}
	kist_container_unlock(c);
	*out = c;
	return 0;
}

/* --- modes and dependencies ----------------------------------------------------------------------------------------- */

int kist_ns_mode_parse(const char *text, enum kist_ns_mode *mode, const char **argument)
{
	static const struct kist_name plain[] = {
		{ "private", KIST_NS_PRIVATE }, { "host", KIST_NS_HOST },	    { "none", KIST_NS_NONE },
		{ "shareable", KIST_NS_SHAREABLE }, { NULL, 0 },
	};
	int value;

	if (argument)
		*argument = NULL;
	if (kist_empty(text)) {
		*mode = KIST_NS_PRIVATE;
		return 0;
	}
	if (kist_value_of(plain, text, &value) == 0) {
		*mode = (enum kist_ns_mode)value;
		return 0;
	}
	bool container = kist_has_prefix(text, "container:");
	if (!container && !kist_has_prefix(text, "ns:"))
		return -EINVAL;
	const char *rest = strchr(text, ':') + 1;
	if (!*rest)
		return -EINVAL;
	*mode = container ? KIST_NS_CONTAINER : KIST_NS_PATH;
	if (argument)
		*argument = rest;
	return 0;
}

char **kist_container_dependencies(const struct kist_container *c)
{
	const struct kist_container_config *config = &c->config;
	const char *const modes[] = { config->pid_ns,  config->ipc_ns,	  config->uts_ns,
				      config->user_ns, config->cgroup_ns, config->net_ns };
	char **ids = NULL;

	for (size_t i = 0; i < KIST_COUNT(modes); i++) {
		enum kist_ns_mode mode;
		const char *id;
		if (kist_ns_mode_parse(modes[i], &mode, &id) == 0 && mode == KIST_NS_CONTAINER && !kist_strv_has(ids, id))
			kist_strv_add(&ids, id);
	}
	return ids;
}

char **kist_container_dependents(struct kist_container *c)
{
	struct kist_container **list = NULL;
	size_t n = 0;
	char **ids = NULL;

	if (kist_container_list(c->k, &list, &n, NULL, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		KIST_STRV char **on = kist_container_dependencies(list[i]);
		if (kist_strv_has(on, c->config.id))
			kist_strv_add(&ids, list[i]->config.id);
	}
	kist_container_list_free(list, n);
	return ids;
}
