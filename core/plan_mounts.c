/* The plan's file systems: what every container has, what the user asked for, what is hidden, and devices. */
#include "core/image_mount.h"
#include "core/plan.h"
#include "core/userns.h"
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "ns/ns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define OPTIONS(...)      ((const char *const[]){ __VA_ARGS__, NULL })
#define DEVICE_WALK_DEPTH 3

static void add_mount(struct plan *p, const char *destination, const char *type, const char *source,
                      const char *const *options)
{
	kist_spec_add_mount(p->spec, destination, type, source, options);
}

/* The user's mount at a place replaces the default one. */
bool plan_user_mounts(const struct plan *p, const char *destination)
{
	for (size_t i = 0; i < p->config->n_mounts; i++)
		if (kist_streq(p->config->mounts[i].destination, destination))
			return true;
	for (size_t i = 0; i < p->config->n_named_volumes; i++)
		if (kist_streq(p->config->named_volumes[i].destination, destination))
			return true;
	return false;
}

static void mount_proc(struct plan *p)
{
	KIST_STRV char **options = kist_strv_split("nosuid,noexec,nodev", ',');

	if (p->config->proc_opts) {
		KIST_STRV char **more = kist_strv_split(p->config->proc_opts, ',');
		for (size_t i = 0; more && more[i]; i++)
			kist_strv_add(&options, more[i]);
	}
	add_mount(p, "/proc", "proc", "proc", (const char *const *)options);
}

/* sysfs shows the network namespace it is mounted in: a shared one, or a user namespace, can only bind the host's. */
static void mount_sys(struct plan *p)
{
	const struct kist_spec_namespace *net = kist_spec_namespace(p->spec, "network");
	bool ro = !p->config->privileged;

	if (net && (p->host_user || !net->path))
		add_mount(p, "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", ro ? "ro" : "rw"));
	else if (p->host_user)
		add_mount(p, "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", ro ? "ro" : "rw"));
	else
		add_mount(p, "/sys", "bind", "/sys", OPTIONS("rbind", "nosuid", "noexec", "nodev", ro ? "rro" : "rw"));
}

static int mount_shm(struct plan *p, struct kist_error *err)
{
	enum kist_ns_mode mode;
	const char *id;
	char size[32];

	if (plan_user_mounts(p, "/dev/shm") || kist_ns_mode_parse(p->config->ipc_ns, &mode, &id) < 0)
		return 0;
	if (mode == KIST_NS_HOST) {
		add_mount(p, "/dev/shm", "bind", "/dev/shm", OPTIONS("rbind", "nosuid", "nodev", "noexec"));
		return 0;
	}
	if (mode == KIST_NS_CONTAINER && p->rootfs >= 0) {
		/* The detached copy stays open until the launch is over: the mount's source is its descriptor. */
		struct kist_container *other = NULL;
		int r = plan_other(p, id, &other, err);
		if (r < 0)
			return r;
		int fd = kist_shm_share(other->state.pid, err);
		kist_container_free(other);
		if (fd < 0)
			return kist_context(err, "share /dev/shm");
		char source[32];
		snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
		add_mount(p, "/dev/shm", "bind", source, OPTIONS("bind", "nosuid", "nodev", "noexec"));
		return 0;
	}
	if (mode == KIST_NS_NONE)
		return 0;
	if (p->config->shm_size == 0) {
		add_mount(p, "/dev/shm", "tmpfs", "shm", OPTIONS("nosuid", "nodev", "noexec", "mode=1777"));
		return 0;
	}
	snprintf(size, sizeof(size), "size=%llu", (unsigned long long)p->config->shm_size);
	add_mount(p, "/dev/shm", "tmpfs", "shm", OPTIONS("nosuid", "nodev", "noexec", "mode=1777", size));
	return 0;
}

static void mount_cgroup(struct plan *p)
{
	const char *access = p->config->privileged ? "rw" : "ro";

	/* A host without the hierarchy, or a container outside of it, has nothing to show there. */
	struct kist_cgroup_root *root = NULL;
	if (kist_store_cgroup(p->c->k, &root, NULL) < 0 || plan_user_mounts(p, "/sys/fs/cgroup"))
		return;
	add_mount(p, "/sys/fs/cgroup", "cgroup", "cgroup", OPTIONS("nosuid", "noexec", "nodev", "relatime", access));
}

static void mount_defaults(struct plan *p)
{
	const struct kist_spec_namespace *ipc = kist_spec_namespace(p->spec, "ipc");

	if (!plan_user_mounts(p, "/proc"))
		mount_proc(p);
	if (!plan_user_mounts(p, "/dev"))
		add_mount(p, "/dev", "tmpfs", "tmpfs",
		          OPTIONS("nosuid", "noexec", "strictatime", "mode=755", "size=65536k"));
	if (!plan_user_mounts(p, "/dev/pts"))
		/* The group tty, if its namespace has it. */
		add_mount(p, "/dev/pts", "devpts", "devpts",
		          OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
		                  kist_userns_has_gid(p->config, 5) ? "gid=5" : "gid=0"));
	if (!plan_user_mounts(p, "/dev/mqueue")) {
		if (ipc)
			add_mount(p, "/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev"));
		else if (access("/dev/mqueue", F_OK) == 0)
			add_mount(p, "/dev/mqueue", "bind", "/dev/mqueue",
			          OPTIONS("bind", "nosuid", "noexec", "nodev"));
	}
	if (!plan_user_mounts(p, "/sys"))
		mount_sys(p);
	mount_cgroup(p);
}

const char *const plan_writable_places[] = { "/run", "/tmp", "/var/tmp", NULL };
const char *const plan_writable_options[] = { "rw", "nosuid", "nodev", "mode=1777", "tmpcopyup", NULL };

static void mount_writable_tmpfs(struct plan *p)
{
	if (!p->config->read_only || !p->config->read_only_tmpfs)
		return;
	for (const char *const *place = plan_writable_places; *place; place++)
		if (!plan_user_mounts(p, *place))
			add_mount(p, *place, "tmpfs", "tmpfs", plan_writable_options);
}

static int mount_timezone(struct plan *p, struct kist_error *err)
{
	const char *zone = p->config->timezone;
	struct stat st;

	if (kist_empty(zone))
		return 0;
	if (!kist_streq(zone, "local") && (zone[0] == '/' || strstr(zone, "..")))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "time zone '%s': expected a name such as Europe/Paris, or local", zone);
	KIST_FREE char *path = kist_streq(zone, "local") ? kist_strdup("/etc/localtime")
	                                                 : kist_asprintf("/usr/share/zoneinfo/%s", zone);
	KIST_FREE char *real = realpath(path, NULL);
	if (!real || stat(real, &st) < 0 || !S_ISREG(st.st_mode))
		return kist_fail(err, KIST_ERR_INVALID, ENOENT, "time zone '%s': this host has no %s", zone, path);
	add_mount(p, "/etc/localtime", "bind", real, OPTIONS("bind", "ro", "nosuid", "nodev", "noexec"));
	return 0;
}

/* A mount that the user asked for: of one kind or the other. */
struct user_mount {
	const char *destination;
	const struct kist_mount_config *mount;
	const struct kist_volume_mount_config *volume;
};

static int by_destination(const void *a, const void *b)
{
	const struct user_mount *x = a, *y = b;
	size_t depth_x = 0, depth_y = 0;

	for (const char *ch = x->destination; *ch; ch++)
		depth_x += *ch == '/';
	for (const char *ch = y->destination; *ch; ch++)
		depth_y += *ch == '/';
	if (depth_x != depth_y)
		return depth_x < depth_y ? -1 : 1;
	return strcmp(x->destination, y->destination);
}

/* A tmpfs takes the mode of what it covers; where the image has nothing it is for all, like /tmp. */
static void tmpfs_mode(const struct plan *p, const struct kist_mount_config *mount, char ***options)
{
	for (char **option = mount->options; option && *option; option++)
		if (kist_has_prefix(*option, "mode="))
			return;
	KIST_CLOSE int there = kist_open_in_root(p->rootfs, mount->destination, O_PATH, 0);
	if (there >= 0)
		return;
	/* Nothing to copy up but the mount point that is about to be made, with its mode. */
	char **kept = NULL;
	for (char **option = *options; option && *option; option++)
		if (!kist_streq(*option, "tmpcopyup"))
			kist_strv_add(&kept, *option);
	kist_strv_add(&kept, "mode=1777");
	kist_strv_free(*options);
	*options = kept;
}

/* Nothing is in it yet whose owner could be another's; what is copied up stays as it was. */
static void tmpfs_owner(const struct plan *p, char ***options)
{
	if (p->rootfs < 0)
		return;
	kist_strv_take(options, kist_asprintf("uid=%u", p->spec->process->user.uid));
	kist_strv_take(options, kist_asprintf("gid=%u", p->spec->process->user.gid));
}

/* A ramfs knows no option for its owner: it is made here, and becomes a bind mount of the plan. */
static int ramfs_owned(struct plan *p, char *const *modes, char **source, struct kist_error *err)
{
	const struct kist_spec_user *user = &p->spec->process->user;

	KIST_CLOSE int tree = kist_ns_mount_detached("ramfs", "ramfs", modes, err);
	if (tree < 0)
		return tree;
	KIST_CLOSE int top = kist_reopen(tree, O_RDONLY | O_DIRECTORY);
	if (top < 0 ||
	    fchown(top, kist_plan_host_uid(p->config, user->uid), kist_plan_host_gid(p->config, user->gid)) < 0)
		return kist_fail_errno(err, top < 0 ? -top : errno, "set its owner");
	free(*source);
	*source = NULL;
	kist_container_hold(p->c, kist_steal_fd(&tree), source);
	return 0;
}

static int mount_ramfs(struct plan *p, const struct kist_mount_config *mount, struct kist_error *err)
{
	KIST_FREE char *source = kist_strdup(mount->source);
	KIST_STRV char **modes = NULL, **flags = NULL;

	for (char **option = mount->options; option && *option; option++)
		if (!kist_streq(*option, "U"))
			kist_strv_add(kist_has_prefix(*option, "mode=") ? &modes : &flags, *option);
	if (!kist_strv_has(mount->options, "U")) {
		for (char **mode = modes; mode && *mode; mode++)
			kist_strv_add(&flags, *mode);
		add_mount(p, mount->destination, "ramfs", source, (const char *const *)flags);
		return 0;
	}
	int r = p->rootfs >= 0 ? ramfs_owned(p, modes, &source, err) : 0;
	if (r < 0)
		return kist_context(err, "mount %s", mount->destination);
	add_mount(p, mount->destination, "bind", source, (const char *const *)flags);
	return 0;
}

static int mount_user(struct plan *p, const struct kist_mount_config *mount, struct kist_error *err)
{
	KIST_FREE char *source = kist_strdup(mount->source);
	KIST_STRV char **options = NULL;
	bool bind = kist_streq(mount->type, "bind");
	struct stat st;
	int r = 0;

	if (kist_streq(mount->type, "ramfs"))
		return mount_ramfs(p, mount, err);
	if (bind && stat(mount->source, &st) < 0)
		return kist_fail_errno(err, errno, "mount %s: host path %s", mount->destination, mount->source);
	if (bind)
		r = kist_overlay_places_check(mount->options, err);
	/* What is done here, and not by the mount. */
	for (char **option = mount->options; r == 0 && option && *option; option++) {
		if (bind && kist_streq(*option, "U"))
			r = p->rootfs >= 0 ? kist_plan_own_source(p, mount->source, err) : 0;
		else if (bind && kist_streq(*option, "O"))
			r = p->rootfs < 0
			            ? 0
			            : kist_plan_overlay_source(p, mount->destination, mount->options, &source, err);
		else if (bind && (kist_is_overlay_place(*option) || kist_is_idmap(*option)))
			continue;
		else if (kist_streq(mount->type, "tmpfs") && kist_streq(*option, "U"))
			tmpfs_owner(p, &options);
		else
			kist_strv_add(&options, *option);
	}
	if (r < 0)
		return kist_context(err, "mount %s", mount->destination);
	if (kist_streq(mount->type, "image")) {
		KIST_STRV char **bind_options = NULL;
		r = kist_plan_image(p, mount, &source, &bind_options, err);
		if (r < 0)
			return kist_context(err, "mount %s", mount->destination);
		add_mount(p, mount->destination, "bind", source, (const char *const *)bind_options);
		return 0;
	}
	if (kist_streq(mount->type, "tmpfs") && p->rootfs >= 0)
		tmpfs_mode(p, mount, &options);
	struct kist_spec_mount *planned =
	        kist_spec_add_mount(p->spec, mount->destination, mount->type, source, (const char *const *)options);
	r = bind ? kist_idmap_plan(mount->options, p->config, planned, err) : 0;
	return r < 0 ? kist_context(err, "mount %s", mount->destination) : 0;
}

/* Outer places first, so that an inner one is not hidden. */
static int mount_users(struct plan *p, struct kist_error *err)
{
	const struct kist_container_config *config = p->config;
	KIST_FREE struct user_mount *order =
	        kist_grow(NULL, config->n_mounts + config->n_named_volumes + 1, sizeof(*order));
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < config->n_mounts; i++)
		order[n++] = (struct user_mount){ config->mounts[i].destination, &config->mounts[i], NULL };
	for (size_t i = 0; i < config->n_named_volumes; i++)
		order[n++] =
		        (struct user_mount){ config->named_volumes[i].destination, NULL, &config->named_volumes[i] };
	for (size_t i = 0; i < n; i++)
		if (kist_empty(order[i].destination) || order[i].destination[0] != '/')
			return kist_fail(err, KIST_ERR_INVALID, 0, "mount destination '%s': expected an absolute path",
			                 order[i].destination ? order[i].destination : "");
	qsort(order, n, sizeof(*order), by_destination);
	if (p->rootfs >= 0)
		r = kist_volumes_hold(p->c, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (i > 0 && kist_streq(order[i].destination, order[i - 1].destination))
			return kist_fail(err, KIST_ERR_INVALID, EEXIST, "mount destination %s is given twice",
			                 order[i].destination);
		r = order[i].mount ? mount_user(p, order[i].mount, err) : kist_volume_plan(p, order[i].volume, err);
	}
	return r;
}

int plan_mounts(struct plan *p, struct kist_error *err)
{
	mount_defaults(p);
	int r = mount_shm(p, err);
	if (r == 0)
		mount_writable_tmpfs(p);
	if (r == 0)
		r = mount_timezone(p, err);
	if (r == 0)
		r = mount_users(p, err);
	return r;
}

/* --- masked and read-only paths -------------------------------------------------------------------------------------
 */

static const char *const masked[] = {
	"/proc/acpi",        "/proc/kcore",
	"/proc/keys",        "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi",
	"/proc/timer_list",  "/proc/timer_stats",
	"/proc/interrupts",  "/sys/devices/virtual/powercap",
	"/sys/firmware",     "/sys/fs/selinux",
};

static const char *const readonly[] = {
	"/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static bool is_unmasked(const struct plan *p, const char *path)
{
	for (size_t i = 0; p->config->unmask && p->config->unmask[i]; i++) {
		const char *rule = p->config->unmask[i];
		size_t n = strlen(rule);
		if (kist_streq(rule, "ALL") || kist_streq(rule, "all") || kist_streq(rule, path))
			return true;
		if (n > 1 && rule[n - 1] == '*' && strncmp(rule, path, n - 1) == 0)
			return true;
	}
	return false;
}

/* Each processor's thermal throttle counters tell a container what its neighbours do. */
static void mask_throttle(struct plan *p)
{
	for (int cpu = 0; cpu < 4096; cpu++) {
		char path[80];
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d", cpu);
		if (access(path, F_OK) < 0)
			return;
		size_t n = strlen(path);
		snprintf(path + n, sizeof(path) - n, "/thermal_throttle");
		if (access(path, F_OK) < 0)
			return; /* where the first has none no other has */
		if (!is_unmasked(p, path))
			kist_strv_add(&p->spec->linux_.masked_paths, path);
	}
}

void plan_paths(struct plan *p)
{
	struct kist_spec_linux *l = &p->spec->linux_;

	for (size_t i = 0; p->config->mask && p->config->mask[i]; i++)
		kist_strv_add(&l->masked_paths, p->config->mask[i]);
	if (p->config->privileged)
		return;
	for (size_t i = 0; i < KIST_COUNT(masked); i++)
		if (!is_unmasked(p, masked[i]) && !kist_strv_has(l->masked_paths, masked[i]))
			kist_strv_add(&l->masked_paths, masked[i]);
	mask_throttle(p);
	for (size_t i = 0; i < KIST_COUNT(readonly); i++)
		if (!is_unmasked(p, readonly[i]))
			kist_strv_add(&l->readonly_paths, readonly[i]);
}

/* --- devices --------------------------------------------------------------------------------------------------------
 */

struct rule_row {
	char type;
	int64_t major, minor; /* -1: any */
	const char *access;
};

static const struct rule_row default_rules[] = {
	{ 'c', -1, -1, "m" }, { 'b', -1, -1, "m" }, { 'c', 1, 3, "rwm" },    { 'c', 1, 5, "rwm" },
	{ 'c', 1, 7, "rwm" }, { 'c', 1, 8, "rwm" }, { 'c', 1, 9, "rwm" },    { 'c', 5, 0, "rwm" },
	{ 'c', 5, 1, "rwm" }, { 'c', 5, 2, "rwm" }, { 'c', 136, -1, "rwm" },
};

static void add_rule(struct plan *p, bool allow, char type, int64_t major, int64_t minor, const char *access)
{
	kist_spec_add_device_rule(p->spec, allow, type, major, minor, access);
}

static int add_device(struct plan *p, const char *source, const char *destination, const char *access,
                      struct kist_error *err)
{
	struct stat st;

	if (stat(source, &st) < 0)
		return kist_fail_errno(err, errno, "device %s", source);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return kist_fail(err, KIST_ERR_INVALID, ENODEV, "device %s: not a device", source);
	char type = S_ISBLK(st.st_mode) ? 'b' : 'c';
	kist_spec_add_device(p->spec, destination, type, major(st.st_rdev), minor(st.st_rdev), st.st_mode & 07777,
	                     st.st_uid, st.st_gid);
	add_rule(p, true, type, major(st.st_rdev), minor(st.st_rdev), access);
	return 0;
}

static bool is_default_node(const char *name)
{
	static const char *const names[] = { "null", "zero", "full",   "random", "urandom", "tty",    "console", "ptmx",
		                             "pts",  "shm",  "mqueue", "fd",     "stdin",   "stdout", "stderr" };

	for (size_t i = 0; i < KIST_COUNT(names); i++)
		if (kist_streq(names[i], name))
			return true;
	return false;
}

/* Every device of the host, for --privileged, and those below a directory given to --device. */
static int add_device_tree(struct plan *p, const char *source, const char *destination, const char *access, int depth,
                           struct kist_error *err)
{
	DIR *dir = opendir(source);
	int r = 0;

	if (!dir)
		return kist_fail_errno(err, errno, "device directory %s", source);
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		struct stat st;
		if (entry->d_name[0] == '.' ||
		    (depth == 0 && kist_streq(source, "/dev") && is_default_node(entry->d_name)))
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* unplugged meanwhile */
		KIST_FREE char *from = kist_asprintf("%s/%s", source, entry->d_name);
		KIST_FREE char *to = kist_asprintf("%s/%s", destination, entry->d_name);
		if (S_ISDIR(st.st_mode) && depth < DEVICE_WALK_DEPTH)
			r = add_device_tree(p, from, to, access, depth + 1, err);
		else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
			r = add_device(p, from, to, access, err);
	}
	closedir(dir);
	return r;
}

static int user_device(struct plan *p, const struct kist_device_config *device, struct kist_error *err)
{
	struct stat st;

	if (stat(device->source, &st) == 0 && S_ISDIR(st.st_mode))
		return add_device_tree(p, device->source, device->destination, device->access, 1, err);
	return add_device(p, device->source, device->destination, device->access, err);
}

/* "c 1:3 rwm", "b *:* r", "a" */
static int user_rule(struct plan *p, const char *text, struct kist_error *err)
{
	KIST_STRV char **words = kist_strv_split(text, ' ');
	int64_t numbers[2] = { -1, -1 };
	bool good = kist_strv_len(words) == 3 && strlen(words[0]) == 1 && strchr("abc", words[0][0]) && words[2][0] &&
	            words[2][strspn(words[2], "rwm")] == '\0';

	if (good) {
		KIST_STRV char **pair = kist_strv_split(words[1], ':');
		good = kist_strv_len(pair) == 2;
		for (size_t i = 0; good && i < 2; i++)
			good = kist_streq(pair[i], "*") ||
			       (kist_parse_i64(pair[i], &numbers[i]) == 0 && numbers[i] >= 0);
	}
	if (!good)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "device cgroup rule '%s': expected 'TYPE MAJOR:MINOR ACCESS' such as 'c 1:3 rwm'",
		                 text);
	add_rule(p, true, words[0][0], numbers[0], numbers[1], words[2]);
	return 0;
}

int plan_devices(struct plan *p, struct kist_error *err)
{
	const struct kist_container_config *config = p->config;
	int r = 0;

	if (config->privileged) {
		/* Without rules there is no device program: all is allowed. In a user namespace nodes cannot be opened
		 * anyway. */
		if (p->host_user && !plan_user_mounts(p, "/dev"))
			r = add_device_tree(p, "/dev", "/dev", "rwm", 0, err);
	} else if (p->spec->linux_.cgroups_path) {
		add_rule(p, false, 'a', -1, -1, "rwm");
		for (size_t i = 0; i < KIST_COUNT(default_rules); i++) {
			const struct rule_row *row = &default_rules[i];
			add_rule(p, true, row->type, row->major, row->minor, row->access);
		}
	}
	for (size_t i = 0; r == 0 && i < config->n_devices; i++)
		r = user_device(p, &config->devices[i], err);
	for (size_t i = 0; r == 0 && config->device_rules && config->device_rules[i]; i++)
		r = user_rule(p, config->device_rules[i], err);
	/* A privileged container has no program at all; rules for single devices would turn the rest off. */
	struct kist_spec_resources *resources = p->spec->linux_.resources;
	if (config->privileged || !p->spec->linux_.cgroups_path) {
		for (size_t i = 0; i < resources->n_devices; i++) {
			free(resources->devices[i].type);
			free(resources->devices[i].access);
		}
		free(resources->devices);
		resources->devices = NULL;
		resources->n_devices = 0;
	}
	return r;
}
