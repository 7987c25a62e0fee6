/* Opening the store: settings, directories, and what a reboot left behind. */
#include "core/image.h"
#include "core/internal.h"

#include "cgroup/cgroup.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/detach_keys.h"
#include "core/spawn.h"
#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONF_DEFAULT "/etc/kist.conf"
#define CONF_MAX     (1u << 20)

static const char *settings_named(const struct kist_options *options)
{
	return options->config_file ? options->config_file : getenv("KIST_CONF");
}

/* kist.conf: a default file may be missing, a named one may not. */
static int settings_read(struct kist_settings *settings, const struct kist_options *options, struct kist_error *err)
{
	const char *named = settings_named(options), *path = named ? named : CONF_DEFAULT;
	KIST_STR struct kist_str text = { 0 };
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && !named)
		return 0;
	if (fd < 0)
		return kist_fail_errno(err, errno, "open %s", path);
	int r = kist_read_fd(fd, CONF_MAX, &text);
	if (r < 0)
		return kist_fail_errno(err, -r, "read %s", path);
	r = kist_kv_read_bytes(&kist_settings_table, kist_str_get(&text), text.len, settings, NULL, err);
	return r < 0 ? kist_context(err, "%s", path) : 0;
}

static void setting_take(char **setting, const char *given, const char *variable)
{
	const char *value = given ? given : getenv(variable);

	if (kist_empty(value))
		return;
	free(*setting);
	*setting = kist_strdup(value);
}

/* Those of the caller, else those of the environment, which is also how the monitor gets them; they come before those
 * of the file. */
static int take_stores(struct kist_settings *settings, char *const *stores, struct kist_error *err)
{
	const char *word = getenv(KIST_IMAGESTORE_ENV);
	KIST_STRV char **all = stores ? kist_strv_copy(stores) : kist_strv_split(word ? word : "", ':');
	KIST_STRV char **kept = NULL;

	for (char **store = settings->imagestore; store && *store; store++)
		if (!kist_strv_has(all, *store))
			kist_strv_add(&all, *store);
	for (char **store = all; store && *store; store++) {
		if ((*store)[0] != '/' || strchr(*store, ':'))
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "image store '%s': expected an absolute path without ':'", *store);
		if (!kist_strv_has(kept, *store))
			kist_strv_add(&kept, *store);
	}
	kist_strv_free(settings->imagestore);
	settings->imagestore = kist_steal(&kept);
	return 0;
}

static int settings_load(struct kist_settings *settings, const struct kist_options *options, struct kist_error *err)
{
	kist_table_init(&kist_settings_table, settings);
	int r = settings_read(settings, options, err);
	if (r < 0)
		return r;
	for (size_t i = 0; options->set && options->set[i]; i++) {
		KIST_FREE char *key = kist_strdup(options->set[i]);
		char *value = strchr(key, '=');
		if (!value)
			return kist_fail(err, KIST_ERR_INVALID, 0, "setting '%s': expected key=value", key);
		*value++ = '\0';
		r = kist_kv_set(&kist_settings_table, settings, key, value, err);
		if (r < 0)
			return r;
	}
	setting_take(&settings->root, options->root, "KIST_ROOT");
	setting_take(&settings->runroot, options->runroot, "KIST_RUNROOT");
	r = take_stores(settings, options->imagestore, err);
	if (r < 0)
		return r;
	for (char **option = settings->overlay_options; r == 0 && option && *option; option++)
		r = kist_overlay_option_check(*option, err);
	if (r < 0)
		return kist_context(err, "setting overlay_options");
	struct kist_detach_keys keys;
	r = kist_detach_keys_set(&keys, settings->detach_keys, err);
	if (r < 0)
		return r;
	if (settings->root[0] != '/' || settings->runroot[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0, "root '%s' and runroot '%s' must be absolute paths",
		                 settings->root, settings->runroot);
	return 0;
}

/* A subdirectory of ours, made when it is missing. */
static int open_subdir(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

static int open_top(const char *path, const char *what, struct kist_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		/* Parents as the system has them (0755), our own directory for us alone. */
		KIST_FREE char *parent = kist_strdup(path);
		char *slash = strrchr(parent, '/');
		while (slash > parent && slash[1] == '\0') {
			*slash = '\0';
			slash = strrchr(parent, '/');
		}
		if (slash > parent) {
			*slash = '\0';
			KIST_CLOSE int up = kist_mkdirs(parent, 0755);
			if (up < 0)
				return kist_fail_errno(err, -up, "make %s %s", what, parent);
		}
		fd = kist_mkdirs(path, 0700);
		if (fd < 0)
			return kist_fail_errno(err, -fd, "make %s %s", what, path);
	}
	if (fd < 0)
		return kist_fail_errno(err, errno, "open %s %s", what, path);
	return fd;
}

/* What a call that was killed while it wrote 'boot' left. Under the lock that all of them take. */
static void sweep_boot(int runroot)
{
	int fd = openat(runroot, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list)
		kist_close_fd(&fd);
	for (const struct dirent *entry; list && (entry = readdir(list));)
		if (kist_has_prefix(entry->d_name, KIST_TMP_PREFIX "boot-"))
			unlinkat(runroot, entry->d_name, 0);
	if (list)
		closedir(list);
}

/* What a run directory that survived a reboot holds is of no use: sockets, locks and leases of processes that are
 * gone. The states themselves carry the boot they belong to, so that no record has to be rewritten here. */
static int boot_refresh(struct kist *k, struct kist_error *err)
{
	KIST_CLOSE int lock = kist_lock(k->runroot, "boot.lock", true, false);
	if (lock < 0)
		return kist_fail_errno(err, -lock, "lock %s/boot.lock", k->settings.runroot);

	KIST_STR struct kist_str seen = { 0 };
	if (kist_read_file(k->runroot, "boot", 64, &seen) >= 0 && kist_streq(kist_str_get(&seen), k->boot))
		return 0; /* another process was faster */
	if (seen.len > 0)
		kist_debug("new boot: clearing %s", k->settings.runroot);
	static const char *const stale[] = { "containers", "exits", "images", KIST_MONITORS,
		                             "list",       "net",   "store",  "volumes" };
	for (size_t i = 0; i < KIST_COUNT(stale); i++) {
		int r = kist_remove_tree(k->runroot, stale[i]);
		if (r < 0)
			return kist_fail_errno(err, -r, "clear %s/%s of the last boot", k->settings.runroot, stale[i]);
	}
	sweep_boot(k->runroot);
	int r = kist_replace_file(k->runroot, "boot", k->boot, strlen(k->boot), 0600, 0);
	return r < 0 ? kist_fail_errno(err, -r, "write %s/boot", k->settings.runroot) : 0;
}

static int boot_check(struct kist *k, struct kist_error *err)
{
	char buffer[64];

	kist_boot_id(k->boot);
	KIST_CLOSE int fd = openat(k->runroot, "boot", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, buffer, sizeof(buffer));
		if (n == (ssize_t)strlen(k->boot) && memcmp(buffer, k->boot, (size_t)n) == 0)
			return 0;
	}
	return boot_refresh(k, err);
}

static int open_dirs(struct kist *k, struct kist_error *err)
{
	k->root = open_top(k->settings.root, "root directory", err);
	if (k->root < 0)
		return kist_remedy(err, "run as root, or name another with --root");
	k->runroot = open_top(k->settings.runroot, "run directory", err);
	if (k->runroot < 0)
		return kist_remedy(err, "run as root, or name another with --runroot");
	int r = boot_check(k, err);
	if (r < 0)
		return r;

	KIST_CLOSE int store = k->settings.volatile_ ? open_subdir(k->runroot, "store") : -1;
	if (k->settings.volatile_ && store < 0)
		return kist_fail_errno(err, -store, "open %s/store", k->settings.runroot);
	int changing = k->settings.volatile_ ? store : k->root;
	const struct {
		int parent;
		const char *name;
		int *fd;
	} dirs[] = {
		{ changing, "containers", &k->containers },
		{ changing, "names", &k->names },
		{ changing, "exits", &k->exits },
		{ k->runroot, "containers", &k->run_containers },
	};
	for (size_t i = 0; i < KIST_COUNT(dirs); i++) {
		*dirs[i].fd = open_subdir(dirs[i].parent, dirs[i].name);
		if (*dirs[i].fd < 0) {
			r = kist_fail_errno(err, -*dirs[i].fd, "open directory %s of the store", dirs[i].name);
			*dirs[i].fd = -1;
			return r;
		}
	}
	return 0;
}

static struct kist *kist_new(void)
{
	struct kist *k = kist_alloc(sizeof(*k));

	k->root = k->runroot = k->containers = k->names = k->exits = k->run_containers = -1;
	k->images = k->refs = k->events = -1;
	k->volumes = k->secrets = k->networks = k->pods = k->ahead.control = -1;
	return k;
}

int kist_open(struct kist **out, const struct kist_options *options, struct kist_error *err)
{
	static const struct kist_options none = { 0 };
	struct kist *k = kist_new();

	options = options ? options : &none;
	k->binary = kist_strdup(options->binary ? options->binary : kist_binary_default());
	k->config_file = kist_strdup(settings_named(options) ? settings_named(options) : CONF_DEFAULT);
	int r = settings_load(&k->settings, options, err);
	if (r == 0)
		r = open_dirs(k, err);
	if (r < 0) {
		kist_close(k);
		return r;
	}
	*out = k;
	return 0;
}

int kist_open_at(struct kist **out, const char *root, const char *runroot, bool volatile_, struct kist_error *err)
{
	struct kist *k = kist_new();

	k->binary = kist_strdup(KIST_SELF);
	kist_table_init(&kist_settings_table, &k->settings);
	setting_take(&k->settings.root, root, "");
	setting_take(&k->settings.runroot, runroot, "");
	k->settings.volatile_ = volatile_;
	int r = take_stores(&k->settings, NULL, err);
	if (r == 0)
		r = open_dirs(k, err);
	if (r < 0) {
		kist_close(k);
		return r;
	}
	*out = k;
	return 0;
}

void kist_close(struct kist *k)
{
	if (!k)
		return;
	kist_start_ahead_drop(k);
	int *const fds[] = { &k->root,           &k->runroot, &k->containers, &k->names,   &k->exits,
		             &k->run_containers, &k->images,  &k->refs,       &k->volumes, &k->secrets,
		             &k->networks,       &k->events,  &k->pods };
	for (size_t i = 0; i < KIST_COUNT(fds); i++)
		kist_close_fd(fds[i]);
	kist_image_sources_close(k);
	if (k->overlay)
		kist_overlay_close(k->overlay);
	kist_cgroup_root_close(k->cgroup);
	kist_table_release(&kist_settings_table, &k->settings);
	free(k->binary);
	free(k->config_file);
	free(k);
}

const struct kist_settings *kist_settings(const struct kist *k)
{
	return &k->settings;
}

static int add_store(struct kist_overlay *overlay, const char *path, struct kist_error *err)
{
	KIST_CLOSE int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = root < 0 ? kist_fail_errno(err, errno, "open") : kist_overlay_add(overlay, root, err);

	return r < 0 ? kist_context(err, "image store %s", path) : 0;
}

int kist_store_overlay(struct kist *k, struct kist_overlay **out, struct kist_error *err)
{
	if (!k->overlay) {
		struct kist_overlay *overlay = NULL;
		int r = kist_overlay_open(k->root, &overlay, err);
		for (char **path = k->settings.imagestore; r == 0 && path && *path; path++)
			r = add_store(overlay, *path, err);
		if (r < 0) {
			kist_overlay_close(overlay);
			return r;
		}
		k->overlay = overlay;
	}
	*out = k->overlay;
	return 0;
}

int kist_store_directory(struct kist *k, const char *name, bool make, int *fd)
{
	KIST_FREE char *path = k->settings.volatile_ ? kist_asprintf("store/%s", name) : kist_strdup(name);

	if (*fd >= 0)
		return 0;
	int parent = k->settings.volatile_ ? k->runroot : k->root;
	int r = make ? open_subdir(parent, path) : openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r < 0)
		return make ? r : -errno;
	*fd = r;
	return 0;
}

char *kist_store_path(const struct kist *k, const char *name)
{
	const struct kist_settings *s = &k->settings;

	return kist_asprintf("%s%s/%s", s->volatile_ ? s->runroot : s->root, s->volatile_ ? "/store" : "", name);
}

int kist_store_cgroup(struct kist *k, struct kist_cgroup_root **out, struct kist_error *err)
{
	if (!k->cgroup) {
		int r = kist_cgroup_root_open(&k->cgroup, err);
		if (r < 0)
			return r;
	}
	*out = k->cgroup;
	return 0;
}

/* Most records fit into one read. They are regular files, which are replaced whole: a short read is their end. */
static int record_text(int dir, const char *name, struct kist_str *text)
{
	char first[4096];
	KIST_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, first, sizeof(first));

	if (n < 0)
		return -errno;
	if (n == (ssize_t)sizeof(first))
		return kist_read_file(dir, name, KIST_RECORD_MAX, text);
	kist_str_addn(text, first, (size_t)n);
	return 0;
}

static int record_sound(int dir, const char *name, const struct kist_table *table, struct kist_str *text,
                        struct kist_error *err)
{
	int r = record_text(dir, name, text);
	if (r == -ENOENT)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "%s: no such record", table->what);
	if (r < 0)
		return kist_fail_errno(err, -r, "read %s", table->what);
	if (kist_sum_check(text) < 0)
		return kist_fail(err, KIST_ERR_CORRUPT, EBADMSG, "%s is damaged: its checksum line is missing or wrong",
		                 table->what);
	return 0;
}

int kist_record_read(int dir, const char *name, const struct kist_table *table, void *object, char ***extra,
                     struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	int r = record_sound(dir, name, table, &text, err);
	if (r < 0)
		return r;
	struct kist_error problem = { 0 };
	r = kist_kv_read_bytes(table, kist_str_get(&text), text.len, object, extra, &problem);
	if (r == 0)
		return 0;
	return kist_fail(err, KIST_ERR_CORRUPT, EBADMSG, "%s is damaged: %s", table->what, problem.text);
}

int kist_record_write(int dir, const char *name, const struct kist_table *table, const void *object, char *const *extra,
                      bool sync, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	kist_kv_write(table, object, extra, &text);
	kist_sum_append(&text);
	int r = kist_replace_file(dir, name, kist_str_get(&text), text.len, 0600, sync ? KIST_REPLACE_SYNC : 0);
	return r < 0 ? kist_fail_errno(err, -r, "write %s", table->what) : 0;
}
