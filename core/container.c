/* Container records: making, finding, loading. Their state is in settle.c. */
#include "core/userns.h"
#include "core/internal.h"
#include "core/depend.h"
#include "core/network.h"
#include "core/pod.h"
#include "core/recall.h"
#include "core/restart.h"
#include "core/volume.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/overlay.h"
#include "overlay/quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_LENGTH 64

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
	c->dir = c->run_dir = c->lock = c->net_ns = -1;
	kist_table_init(&kist_container_config_table, &c->config);
	kist_table_init(&kist_container_state_table, &c->state);
	return c;
}

struct kist_container *kist_container_bare(struct kist *k, const char *id)
{
	struct kist_container *c = container_new(k);

	free(c->config.id);
	c->config.id = kist_strdup(id);
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
	kist_strv_free(c->made_volumes);
	kist_container_drop_held(c);
	kist_volumes_drop_holds(c);
	free(c->port_fds);
	kist_strv_free(c->links_later);
	kist_strv_free(c->warnings);
	kist_close_fd(&c->net_ns);
	kist_close_fd(&c->dir);
	kist_close_fd(&c->run_dir);
	kist_close_fd(&c->lock);
	free(c->gone);
	free(c);
}

void kist_container_hold(struct kist_container *c, int fd, char **source)
{
	c->held = kist_grow(c->held, c->n_held + 1, sizeof(*c->held));
	c->held[c->n_held++] = fd;
	*source = kist_asprintf("/proc/self/fd/%d", fd);
}

void kist_container_drop_held(struct kist_container *c)
{
	for (size_t i = 0; i < c->n_held; i++)
		kist_close_fd(&c->held[i]);
	free(c->held);
	c->held = NULL;
	c->n_held = 0;
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
	return kist_asprintf("%s/containers/%s%s%s", c->k->settings.runroot, c->config.id, name ? "/" : "",
	                     name ? name : "");
}

char *kist_container_path(const struct kist_container *c, const char *name)
{
	const struct kist_settings *s = &c->k->settings;

	return kist_asprintf("%s%s/containers/%s%s%s", s->volatile_ ? s->runroot : s->root,
	                     s->volatile_ ? "/store" : "", c->config.id, name ? "/" : "", name ? name : "");
}

int kist_container_dir(struct kist_container *c)
{
	if (c->dir < 0)
		c->dir = openat(c->k->containers, c->config.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return c->dir;
}

int kist_container_plan_dir(struct kist_container *c)
{
	return c->config.auto_remove ? kist_container_rundir(c, NULL) : kist_container_dir(c);
}

char *kist_container_plan_path(const struct kist_container *c, const char *name)
{
	return c->config.auto_remove ? kist_container_runpath(c, name) : kist_container_path(c, name);
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

/* --- loading and finding --------------------------------------------------------------------------------------------
 */

static int load(struct kist_container *c, const char *id, struct kist_container **out, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	char path[ID_LENGTH + 16];

	/* By path, where the directory is not open: a list of thousands opens none. */
	snprintf(path, sizeof(path), "%s/config", id);
	int r = c->dir >= 0 ? kist_record_read(c->dir, "config", &kist_container_config_table, &c->config,
	                                       &c->config_extra, &problem)
	                    : kist_record_read(c->k->containers, path, &kist_container_config_table, &c->config,
	                                       &c->config_extra, &problem);
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

int kist_container_load(struct kist *k, const char *id, struct kist_container **out, struct kist_error *err)
{
	int dir = openat(k->containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return errno == ENOENT ? kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such container: %s", id)
		                       : kist_fail_errno(err, errno, "open container %.12s", id);
	struct kist_container *c = container_new(k);
	c->dir = dir;
	return load(c, id, out, err);
}

int kist_container_load_bare(struct kist *k, const char *id, struct kist_container **out, struct kist_error *err)
{
	return load(container_new(k), id, out, err);
}

static int config_brief(struct kist_container *c, const char *id, unsigned flags, struct kist_recall *recall,
                        struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	struct kist_error problem = { 0 };

	int r = kist_recall_read(recall, id, KIST_RECALL_CONFIG, &text);
	if (r == -ENOENT)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such container: %s", id);
	if (r < 0 && r != -EBADMSG)
		return kist_fail_errno(err, -r, "read container config");
	if (r == 0)
		r = kist_kv_read_brief(&kist_container_config_table, text.data, flags, &c->config, &problem);
	if (r < 0 || !kist_streq(c->config.id, id))
		return kist_fail(err, KIST_ERR_CORRUPT, EBADMSG, "container config is damaged");
	return 0;
}

int kist_container_load_brief(struct kist *k, const char *id, unsigned flags, struct kist_recall *recall, bool marked,
                              struct kist_container **out, struct kist_error *err)
{
	struct kist_container *c = kist_alloc(sizeof(*c));

	c->k = k;
	c->dir = c->run_dir = c->lock = c->net_ns = -1;
	c->brief = true;
	c->brief_filters = flags & KIST_FIELD_FILTER;
	int r = config_brief(c, id, flags, recall, err);
	if (r == 0)
		r = kist_container_reload_brief(c, recall, marked, err);
	if (r < 0) {
		kist_container_free(c);
		return r;
	}
	*out = c;
	return 0;
}

int kist_container_whole(struct kist_container *c, struct kist_error *err)
{
	return c->brief ? kist_container_reload_config(c, err) : 0;
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
		return kist_fail(err, KIST_ERR_AMBIGUOUS, EEXIST,
		                 "'%s' is the beginning of more than one container's id", prefix);
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
		r = kist_name_find(k, KIST_NAMED_CONTAINER, text, id);
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

int kist_container_save_config(struct kist_container *c, struct kist_error *err)
{
	bool sync = !c->config.auto_remove && !c->k->settings.volatile_;
	int r = kist_record_write(kist_container_dir(c), "config", &kist_container_config_table, &c->config,
	                          c->config_extra, sync, err);

	if (r == 0 && sync) {
		/* The directories that name it: after a power cut it is wholly there or not at all. */
		kist_sync_dir(c->k->containers);
		kist_sync_dir(c->k->names);
	}
	return r < 0 ? kist_context(err, "container %.12s", c->config.id) : 0;
}

/* --- modes and dependencies -----------------------------------------------------------------------------------------
 */

int kist_ns_mode_parse(const char *text, enum kist_ns_mode *mode, const char **argument)
{
	static const struct kist_name plain[] = {
		{ "private", KIST_NS_PRIVATE },
		{ "host", KIST_NS_HOST },
		{ "none", KIST_NS_NONE },
		{ "shareable", KIST_NS_SHAREABLE },
		{ NULL, 0 },
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
	/* Of a user namespace: how its maps come about. */
	if (kist_userns_is_auto(text) || kist_userns_is_keep_id(text)) {
		*mode = KIST_NS_PRIVATE;
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
	const char *const modes[] = { config->pid_ns,  config->ipc_ns,    config->uts_ns,
		                      config->user_ns, config->cgroup_ns, config->net_ns };
	char **ids = NULL;

	for (size_t i = 0; i < KIST_COUNT(modes); i++) {
		enum kist_ns_mode mode;
		const char *id;
		if (kist_ns_mode_parse(modes[i], &mode, &id) == 0 && mode == KIST_NS_CONTAINER &&
		    !kist_strv_has(ids, id))
			kist_strv_add(&ids, id);
	}
	for (size_t i = 0; config->required && config->required[i]; i++)
		if (!kist_strv_has(ids, config->required[i]))
			kist_strv_add(&ids, config->required[i]);
	return ids;
}

/* Each dependent leaves a mark with the one it depends on, so that a removal need not read all records. A mark that a
 * crash or a removal left behind is told by the record it names, or by there being none. */
static int dependents_open(struct kist *k, const char *id)
{
	char path[ID_LENGTH + 16];

	snprintf(path, sizeof(path), "%s/dependents", id);
	int fd = openat(k->containers, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int dependencies_mark(struct kist_container *c, struct kist_error *err)
{
	KIST_STRV char **ids = kist_container_dependencies(c);

	for (size_t i = 0; ids && ids[i]; i++) {
		KIST_FREE char *path = kist_asprintf("%s/dependents", ids[i]);
		if (mkdirat(c->k->containers, path, 0700) < 0 && errno != EEXIST)
			return kist_fail_errno(err, errno, "mark the use of container %.12s", ids[i]);
		KIST_CLOSE int dir = dependents_open(c->k, ids[i]);
		KIST_CLOSE int mark = dir < 0 ? dir : openat(dir, c->config.id, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (mark < 0)
			return kist_fail_errno(err, dir < 0 ? -dir : errno, "mark the use of container %.12s", ids[i]);
	}
	return 0;
}

static bool depends_on(struct kist *k, const char *id, const char *other)
{
	struct kist_container *c = NULL;

	int r = kist_container_load(k, id, &c, NULL);
	if (r < 0)
		return r != -ENOENT; /* a damaged record may well mean it */
	KIST_STRV char **on = kist_container_dependencies(c);
	kist_container_free(c);
	return kist_strv_has(on, other);
}

char **kist_container_dependents(struct kist_container *c)
{
	int fd = dependents_open(c->k, c->config.id);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	char **ids = NULL;

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (is_id(entry->d_name) && depends_on(c->k, entry->d_name, c->config.id))
			kist_strv_add(&ids, entry->d_name);
	if (dir)
		closedir(dir);
	return ids;
}

void kist_container_reload_name(struct kist_container *c)
{
	struct kist_container_config config;

	kist_table_init(&kist_container_config_table, &config);
	if (kist_record_read(kist_container_dir(c), "config", &kist_container_config_table, &config, NULL, NULL) == 0) {
		free(c->config.name);
		c->config.name = kist_steal(&config.name);
	}
	kist_table_release(&kist_container_config_table, &config);
}

int kist_container_reload_config(struct kist_container *c, struct kist_error *err)
{
	struct kist_container_config config;
	char **extra = NULL;

	kist_table_init(&kist_container_config_table, &config);
	int r = kist_record_read(kist_container_dir(c), "config", &kist_container_config_table, &config, &extra, err);
	if (r < 0) {
		kist_table_release(&kist_container_config_table, &config);
		return kist_context(err, "container %.12s", c->config.id);
	}
	kist_table_release(&kist_container_config_table, &c->config);
	kist_strv_free(c->config_extra);
	c->config = config;
	c->config_extra = extra;
	c->brief = false;
	return 0;
}

int kist_container_names_note(struct kist_container *c, const char *name, struct kist_error *err)
{
	kist_container_reload_name(c);
	KIST_FREE char *both = kist_asprintf("%s\n%s\n", c->config.name, name);
	int r = kist_replace_file(kist_container_dir(c), KIST_NAMES_NOTE, both, strlen(both), 0600, 0);
	return r < 0 ? kist_fail_errno(err, -r, "note the new name") : 0;
}

/* --- create ---------------------------------------------------------------------------------------------------------
 */

static void create_undo(struct kist_container *c, bool named)
{
	struct kist *k = c->k;

	if (named)
		kist_name_release(k, c->config.name, c->config.id);
	kist_volumes_unuse(c);
	kist_pod_unmark(c);
	kist_userns_release(k, &c->config);
	kist_remove_tree(k->containers, c->config.id);
	kist_remove_tree(k->run_containers, c->config.id);
}

static int create_dirs(struct kist_container *c, struct kist_error *err)
{
	struct kist *k = c->k;

	/* The lock comes first: a directory without a record and without a lock holder is taken for a crash and swept.
	 */
	int r = kist_container_lock_take(c, false, true);
	if (r < 0)
		return kist_fail_errno(err, -r, "lock new container");
	if (mkdirat(k->containers, c->config.id, 0700) < 0)
		return kist_fail_errno(err, errno, "make directory of new container");
	c->dir = openat(k->containers, c->config.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return c->dir < 0 ? kist_fail_errno(err, errno, "open directory of new container") : 0;
}

/* The limit itself is set with each mount; here it is found out whether it can be. */
static int storage_take(struct kist_container *c, struct kist_error *err)
{
	struct kist_container_config *config = &c->config;

	config->storage_project = 0;
	for (char **option = config->overlay_options; option && *option; option++) {
		int bad = kist_overlay_option_check(*option, err);
		if (bad < 0)
			return bad;
	}
	if (!config->storage_size && !config->storage_inodes)
		return 0;
	if (config->rootfs && !config->rootfs_overlay)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "storage-opt: a directory as root file system has no limits");
	int r = kist_quota_check(c->dir, err);
	if (r == 0)
		r = kist_quota_free_project(c->dir, (uint32_t)strtoul(c->config.id + ID_LENGTH - 8, NULL, 16),
		                            &config->storage_project, err);
	return r < 0 ? kist_context(err, "storage-opt") : 0;
}

static int create_make(struct kist_container *c, bool *named, struct kist_error *err)
{
	struct kist *k = c->k;

	int r = create_dirs(c, err);
	if (r == 0)
		r = storage_take(c, err);
	if (r < 0)
		return r;
	r = c->config.name ? kist_name_claim(k, KIST_NAMED_CONTAINER, c->config.name, c->config.id, err)
	                   : kist_name_generate(k, KIST_NAMED_CONTAINER, c->config.id, &c->config.name, err);
	if (r < 0)
		return r;
	*named = true;
	r = kist_userns_take(c, err);
	if (r == 0)
		r = dependencies_mark(c, err);
	if (r == 0 && c->config.pod)
		r = kist_pod_mark(c, err);
	if (r == 0)
		r = kist_volumes_use(c, err);
	return r < 0 ? r : kist_container_save_config(c, err);
}

int kist_container_create(struct kist *k, const struct kist_container_config *config, struct kist_container **out,
                          struct kist_error *err)
{
	if (config->infra)
		return kist_fail(err, KIST_ERR_INVALID, 0, "an infra container is made with its pod alone");
	if (config->pod)
		return kist_pod_create_member(k, config, out, err);
	if (config->init_ctr)
		return kist_fail(err, KIST_ERR_INVALID, 0, "an init container needs a pod");
	return kist_container_make(k, config, out, err);
}

int kist_container_make(struct kist *k, const struct kist_container_config *config, struct kist_container **out,
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

	r = kist_restart_check(&c->config, err);
	if (r == 0)
		r = kist_hosts_check(&c->config, err);
	if (r == 0)
		r = kist_requires_resolve(c, err);
	if (r == 0)
		r = kist_userns_resolve(c, err);
	if (r == 0)
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
	kist_container_event(c, "create");
	*out = c;
	return 0;
}
