/* The records of the OCI runtime, and what is true of a container now. */
#include "core/oci_internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX (16u << 20)
#define ID_MAX     255

#define ROW(type, member, ...) KIST_FIELD(struct kist_oci_state, type, member, ##__VA_ARGS__)
static const struct kist_field state_rows[] = {
	ROW(STRING, id),     ROW(STRING, oci_version), ROW(INT, pid),
	ROW(U64, pid_start), ROW(STRING, bundle),      ROW(STRING, rootfs),
	ROW(TIME, created),  ROW(STRING, cgroup),      ROW(BOOL, cgroup_own_parent),
	ROW(U32, owner),     ROW(MAP, annotations),
};
const struct kist_table kist_oci_state_table = KIST_TABLE("container state", struct kist_oci_state, state_rows);

static const char *const status_names[] = {
	[KIST_OCI_CREATING] = "creating", [KIST_OCI_CREATED] = "created", [KIST_OCI_RUNNING] = "running",
	[KIST_OCI_PAUSED] = "paused",     [KIST_OCI_STOPPED] = "stopped",
};

const char *kist_oci_status_name(enum kist_oci_status status)
{
	return status_names[status];
}

/* --- the runtime ----------------------------------------------------------------------------------------------------
 */

char *kist_oci_default_root(bool rootless)
{
	const char *own = getenv("XDG_RUNTIME_DIR");

	return rootless && !kist_empty(own) ? kist_asprintf("%s/kist-oci", own) : kist_strdup("/run/kist-oci");
}

int kist_oci_open(struct kist_oci **out, const struct kist_oci_options *options, struct kist_error *err)
{
	struct kist_oci *oci = kist_alloc(sizeof(*oci));

	oci->root = options->root ? kist_strdup(options->root) : kist_oci_default_root(geteuid() != 0);
	oci->no_cgroups = options->no_cgroups;
	oci->dir = open(oci->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (oci->dir < 0 && errno != ENOENT) {
		int r = kist_fail_errno(err, errno, "open state directory %s", oci->root);
		kist_oci_close(oci);
		return r;
	}
	*out = oci;
	return 0;
}

void kist_oci_close(struct kist_oci *oci)
{
	if (!oci)
		return;
	kist_cgroup_root_close(oci->cgroups);
	kist_close_fd(&oci->dir);
	free(oci->root);
	free(oci);
}

/* For the owner alone: config.json may hold secrets, and who reaches a gate starts a container. */
int oci_dir_make(struct kist_oci *oci, struct kist_error *err)
{
	if (oci->dir >= 0)
		return 0;
	oci->dir = kist_mkdirs(oci->root, 0700);
	return oci->dir < 0 ? kist_fail_errno(err, -oci->dir, "make state directory %s", oci->root) : 0;
}

int oci_id_check(const char *id, struct kist_error *err)
{
	static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";

	if (kist_empty(id))
		return kist_fail(err, KIST_ERR_INVALID, 0, "the container id is empty");
	/* Names that begin with a dot are the directory's own. */
	if (id[0] == '.' || strlen(id) > ID_MAX || id[strspn(id, valid)])
		return kist_fail(
		        err, KIST_ERR_INVALID, 0,
		        "container id \"%.80s\": only letters, digits and _ + - . are allowed, no dot in front, "
		        "at most %d bytes",
		        id, ID_MAX);
	return 0;
}

int oci_missing(const char *id, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "container \"%s\" does not exist", id);
}

/* --- groups ---------------------------------------------------------------------------------------------------------
 */

int oci_cgroups(struct kist_oci *oci, struct kist_error *err)
{
	if (oci->cgroups)
		return 0;
	/* Where it is on a host with version 2 alone; otherwise mountinfo tells. */
	if (kist_cgroup_root_open_at("/sys/fs/cgroup", &oci->cgroups, NULL) == 0)
		return 0;
	return kist_cgroup_root_open(&oci->cgroups, err);
}

int oci_cgroup_open(const struct kist_oci_container *c, struct kist_error *err)
{
	if (!c->state.cgroup)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "container \"%s\" has no cgroup of its own",
		                 c->state.id);
	int r = oci_cgroups(c->oci, err);
	return r < 0 ? r : kist_cgroup_open(c->oci->cgroups, c->state.cgroup, err);
}

bool oci_cgroup_frozen(const struct kist_oci_container *c)
{
	KIST_CLOSE int group = c->state.cgroup ? oci_cgroup_open(c, NULL) : -1;

	return group >= 0 && kist_cgroup_is_frozen(group) == 1;
}

/* --- containers -----------------------------------------------------------------------------------------------------
 */

/* The gate's socket is held by the first process until it executes the program. */
static bool waits_at_gate(int dir)
{
	KIST_CLOSE int fd = kist_ns_gate_connect(dir, "gate");

	return fd >= 0 || fd == -EAGAIN;
}

static bool is_being_created(int dir)
{
	KIST_CLOSE int lock = kist_lock(dir, "lock", true, true);

	return lock == -EWOULDBLOCK;
}

static enum kist_oci_status find_status(const struct kist_oci_container *c)
{
	const struct kist_proc_id id = { .pid = c->state.pid, .start = c->state.pid_start };

	if (c->state.pid <= 0)
		return c->lock < 0 && is_being_created(c->dir) ? KIST_OCI_CREATING : KIST_OCI_STOPPED;
	if (!kist_proc_alive(&id))
		return KIST_OCI_STOPPED;
	if (oci_cgroup_frozen(c))
		return KIST_OCI_PAUSED;
	return waits_at_gate(c->dir) ? KIST_OCI_CREATED : KIST_OCI_RUNNING;
}

void kist_oci_container_free(struct kist_oci_container *c)
{
	if (!c)
		return;
	kist_table_release(&kist_oci_state_table, &c->state);
	kist_close_fd(&c->dir);
	kist_close_fd(&c->lock);
	free(c);
}

static int read_state(struct kist_oci_container *c, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	int r = kist_record_read(c->dir, "state", &kist_oci_state_table, &c->state, NULL, &problem);

	/* Not there: create is at work, or was killed. */
	if (r == 0 || problem.kind == KIST_ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = problem;
	return r;
}

static int load(struct kist_oci *oci, const char *id, bool locked, struct kist_oci_container **out,
                struct kist_error *err)
{
	int r = oci_id_check(id, err);

	if (r < 0)
		return r;
	struct kist_oci_container *c = kist_alloc(sizeof(*c));
	kist_table_init(&kist_oci_state_table, &c->state);
	c->oci = oci;
	c->lock = -1;
	c->dir = oci->dir < 0 ? -1 : openat(oci->dir, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dir < 0)
		r = oci->dir < 0 || errno == ENOENT || errno == ENOTDIR
		            ? oci_missing(id, err)
		            : kist_fail_errno(err, errno, "container \"%s\"", id);
	if (r == 0 && locked) {
		c->lock = kist_lock(c->dir, "lock", true, false);
		if (c->lock < 0)
			r = c->lock == -ENOENT ? oci_missing(id, err)
			                       : kist_fail_errno(err, -c->lock, "lock container \"%s\"", id);
	}
	if (r == 0 && read_state(c, err) < 0)
		r = kist_context(err, "container \"%s\"", id);
	if (r < 0) {
		kist_oci_container_free(c);
		return r;
	}
	if (!c->state.id)
		c->state.id = kist_strdup(id);
	c->status = find_status(c);
	*out = c;
	return 0;
}

int kist_oci_load(struct kist_oci *oci, const char *id, struct kist_oci_container **out, struct kist_error *err)
{
	return load(oci, id, false, out, err);
}

int oci_load_locked(struct kist_oci *oci, const char *id, struct kist_oci_container **out, struct kist_error *err)
{
	return load(oci, id, true, out, err);
}

static int compare(const void *a, const void *b)
{
	return strcmp((*(struct kist_oci_container *const *)a)->state.id,
	              (*(struct kist_oci_container *const *)b)->state.id);
}

int kist_oci_list(struct kist_oci *oci, struct kist_oci_container ***out, size_t *n, struct kist_error *err)
{
	struct kist_oci_container **list = NULL;
	struct dirent *e;

	*n = 0;
	*out = NULL;
	if (oci->dir < 0)
		return 0;
	int fd = openat(oci->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int errnum = errno;
		kist_close_fd(&fd);
		return kist_fail_errno(err, errnum, "read state directory %s", oci->root);
	}
	while ((e = readdir(dir))) {
		struct kist_oci_container *c;
		if (e->d_name[0] == '.' || load(oci, e->d_name, false, &c, NULL) < 0)
			continue;
		list = kist_grow(list, *n + 1, sizeof(struct kist_oci_container *));
		list[(*n)++] = c;
	}
	closedir(dir);
	if (list)
		qsort(list, *n, sizeof(struct kist_oci_container *), compare);
	*out = list;
	return 0;
}

int oci_spec_read(const struct kist_oci_container *c, struct kist_spec **out, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	int r = kist_read_file(c->dir, "config.json", CONFIG_MAX, &text);

	if (r < 0)
		return kist_fail_errno(err, -r, "read the saved config.json");
	return kist_spec_parse(kist_str_get(&text), text.len, out, err);
}

static struct json_object *map_json(char *const *map)
{
	struct json_object *json = json_object_new_object();

	for (; map && *map; map++) {
		size_t len = strcspn(*map, "=");
		KIST_FREE char *key = kist_strndup(*map, len);
		json_object_object_add(json, key, json_object_new_string((*map)[len] ? *map + len + 1 : ""));
	}
	return json;
}

struct json_object *kist_oci_state_json(const struct kist_oci_container *c)
{
	struct json_object *json = json_object_new_object();
	const struct kist_oci_state *s = &c->state;
	bool alive = c->status == KIST_OCI_CREATED || c->status == KIST_OCI_RUNNING || c->status == KIST_OCI_PAUSED;
	char when[40];

	json_object_object_add(json, "ociVersion", json_object_new_string(s->oci_version ? s->oci_version : "1.2.0"));
	json_object_object_add(json, "id", json_object_new_string(s->id));
	json_object_object_add(json, "pid", json_object_new_int(alive ? s->pid : 0));
	json_object_object_add(json, "status", json_object_new_string(kist_oci_status_name(c->status)));
	json_object_object_add(json, "bundle", json_object_new_string(s->bundle ? s->bundle : ""));
	json_object_object_add(json, "rootfs", json_object_new_string(s->rootfs ? s->rootfs : ""));
	json_object_object_add(json, "created", json_object_new_string(kist_time_format(when, s->created, true)));
	json_object_object_add(json, "annotations", map_json(s->annotations));
	json_object_object_add(json, "owner", json_object_new_string(s->owner == 0 ? "root" : ""));
	return json;
}

int kist_oci_protect(int argc, char *const *argv, struct kist_error *err)
{
	KIST_FREE char **again = NULL;

	if (kist_streq(argv[0], KIST_OCI_PROTECTED))
		return 0;
	again = kist_alloc(((size_t)argc + 1) * sizeof(char *));
	again[0] = (char *)KIST_OCI_PROTECTED;
	for (int i = 1; i < argc; i++)
		again[i] = argv[i];
	return kist_exec_self_protected(again, environ, err);
}
