/* Pods: their records, look-up and locks. */
#include "core/pod.h"

#include "core/base/fs.h"
#include "core/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROW(type, member, ...) KIST_FIELD(struct kist_pod_config, type, member, ##__VA_ARGS__)

static const struct kist_field fields[] = {
	ROW(STRING, id),
	ROW(STRING, name),
	ROW(TIME, created),
	ROW(STRING, hostname),
	ROW(MAP, labels),
	ROW(STRV, create_command),
	ROW(BOOL, infra, .fallback = "true"),
	ROW(STRING, infra_id),
	ROW(STRING, infra_name),
	ROW(STRV, share),
	ROW(BOOL, share_parent, .fallback = "true"),
	ROW(STRING, exit_policy, .fallback = "continue"),
	ROW(STRING, restart_policy),
	ROW(U32, restart_retries),
	ROW(STRING, cgroup_parent, .fallback = "/kist"),
	ROW(POINTER, resources, .table = &kist_spec_resources_table),
	ROW(STRV, volumes_from),
};
const struct kist_table kist_pod_config_table = KIST_TABLE("pod config", struct kist_pod_config, fields);

void kist_pod_config_init(struct kist_pod_config *config)
{
	kist_table_init(&kist_pod_config_table, config);
}

void kist_pod_config_clear(struct kist_pod_config *config)
{
	kist_table_release(&kist_pod_config_table, config);
}

void kist_pod_free(struct kist_pod *pod)
{
	if (!pod)
		return;
	kist_table_release(&kist_pod_config_table, &pod->config);
	kist_strv_free(pod->extra);
	kist_close_fd(&pod->dir);
	kist_close_fd(&pod->lock);
	free(pod);
}

const char *kist_pod_id(const struct kist_pod *pod)
{
	return pod->config.id;
}

const char *kist_pod_name(const struct kist_pod *pod)
{
	return pod->config.name;
}

const struct kist_pod_config *kist_pod_config(const struct kist_pod *pod)
{
	return &pod->config;
}

bool kist_pod_shares(const struct kist_pod *pod, const char *ns)
{
	return pod->config.infra && kist_strv_has(pod->config.share, ns);
}

char *kist_pod_cgroup_path(const struct kist_pod *pod)
{
	const char *parent = pod->config.cgroup_parent;

	return kist_asprintf("%s/%s", kist_streq(parent, "/") ? "" : parent, pod->config.id);
}

void kist_pod_event(const struct kist_pod *pod, const char *status)
{
	const struct kist_event event = {
		.type = "pod",
		.status = status,
		.id = pod->config.id,
		.name = pod->config.name,
		.attributes = pod->config.labels,
	};

	kist_event_write(pod->k, &event);
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

static bool is_id(const char *text)
{
	return strlen(text) == 64 && text[strspn(text, "0123456789abcdef")] == '\0';
}

int kist_pods_open(struct kist *k, bool make, struct kist_error *err)
{
	int r = kist_store_directory(k, "pods", make, &k->pods);

	if (r == -ENOENT && !make)
		return r;
	return r < 0 ? kist_fail_errno(err, -r, "open the directory of pods") : 0;
}

static int missing(const char *text, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such pod: %s", text);
}

static int config_read(struct kist_pod *pod, const char *id, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	kist_table_clear(&kist_pod_config_table, &pod->config);
	kist_strv_free(pod->extra);
	pod->extra = NULL;
	int r = kist_record_read(pod->dir, "config", &kist_pod_config_table, &pod->config, &pod->extra, &problem);
	if (r == 0 && !kist_streq(pod->config.id, id))
		r = kist_fail(&problem, KIST_ERR_CORRUPT, EBADMSG, "pod config is damaged: it says id '%.12s'",
		              pod->config.id ? pod->config.id : "");
	if (r < 0 && problem.kind == KIST_ERR_CORRUPT) {
		kist_context(&problem, "pod %.12s", id);
		r = kist_remedy(&problem, "'kist pod rm --force %.12s' removes what is left of it", id);
	}
	if (r < 0 && problem.kind == KIST_ERR_NOT_FOUND) {
		kist_error_clear(&problem);
		r = missing(id, &problem);
	}
	if (r < 0 && err)
		*err = problem;
	return r;
}

int kist_pod_load(struct kist *k, const char *id, struct kist_pod **out, struct kist_error *err)
{
	int r = kist_pods_open(k, false, err);
	if (r < 0)
		return r == -ENOENT ? missing(id, err) : r;
	int dir = openat(k->pods, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return errno == ENOENT ? missing(id, err) : kist_fail_errno(err, errno, "open pod %.12s", id);

	struct kist_pod *pod = kist_alloc(sizeof(*pod));
	*pod = (struct kist_pod){ .k = k, .dir = dir, .lock = -1 };
	kist_table_init(&kist_pod_config_table, &pod->config);
	r = config_read(pod, id, err);
	if (r < 0) {
		kist_pod_free(pod);
		return r;
	}
	*out = pod;
	return 0;
}

static DIR *open_list(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list)
		kist_close_fd(&fd);
	return list;
}

static int find_prefix(struct kist *k, const char *prefix, char id[65], struct kist_error *err)
{
	DIR *list = open_list(k->pods, ".");
	size_t found = 0;

	for (const struct dirent *entry; list && found < 2 && (entry = readdir(list));)
		if (is_id(entry->d_name) && kist_has_prefix(entry->d_name, prefix)) {
			memcpy(id, entry->d_name, 65);
			found++;
		}
	if (list)
		closedir(list);
	if (found > 1)
		return kist_fail(err, KIST_ERR_AMBIGUOUS, EEXIST, "'%s' is the beginning of more than one pod's id",
		                 prefix);
	return found ? 0 : missing(prefix, err);
}

int kist_pod_find(struct kist *k, const char *text, char id[65], struct kist_error *err)
{
	int r = kist_pods_open(k, false, err);

	if (r == -ENOENT || (r == 0 && kist_empty(text)))
		return missing(text, err);
	if (r < 0)
		return r;
	if (is_id(text)) {
		memcpy(id, text, 65);
		return 0;
	}
	r = kist_name_find(k, KIST_NAMED_POD, text, id);
	if (r != -ENOENT)
		return r < 0 ? kist_fail_errno(err, -r, "look up pod %s", text) : 0;
	return text[strspn(text, "0123456789abcdef")] == '\0' ? find_prefix(k, text, id, err) : missing(text, err);
}

int kist_pod_open(struct kist *k, const char *name_or_id, struct kist_pod **out, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	char id[65];

	int r = kist_pod_find(k, name_or_id, id, &problem);
	if (r == 0)
		r = kist_pod_load(k, id, out, &problem);
	if (r < 0 && problem.kind == KIST_ERR_NOT_FOUND) {
		kist_error_clear(&problem);
		missing(name_or_id, &problem);
	}
	if (r < 0 && err)
		*err = problem;
	return r;
}

static int by_creation(const void *a, const void *b)
{
	const struct kist_pod *x = *(struct kist_pod *const *)a, *y = *(struct kist_pod *const *)b;

	if (x->config.created != y->config.created)
		return x->config.created < y->config.created ? -1 : 1;
	return strcmp(x->config.id, y->config.id);
}

int kist_pod_list(struct kist *k, struct kist_pod ***out, size_t *n, char ***broken, struct kist_error *err)
{
	struct kist_pod **list = NULL;
	size_t count = 0;
	bool sweep = false;

	int r = kist_pods_open(k, false, err);
	if (r < 0 && r != -ENOENT)
		return r;
	DIR *records = r == 0 ? open_list(k->pods, ".") : NULL;
	for (const struct dirent *entry; records && (entry = readdir(records));) {
		struct kist_error problem = { 0 };
		struct kist_pod *pod = NULL;
		sweep = sweep || kist_has_prefix(entry->d_name, KIST_TMP_PREFIX);
		if (!is_id(entry->d_name))
			continue;
		if (kist_pod_load(k, entry->d_name, &pod, &problem) == 0) {
			list = kist_grow(list, count + 1, sizeof(struct kist_pod *));
			list[count++] = pod;
		} else if (problem.kind == KIST_ERR_NOT_FOUND) {
			sweep = true;
		} else if (broken) {
			kist_strv_add(broken, entry->d_name);
		}
	}
	if (records)
		closedir(records);
	if (sweep)
		kist_pods_sweep(k);
	if (count)
		qsort(list, count, sizeof(struct kist_pod *), by_creation);
	*out = list;
	*n = count;
	return 0;
}

void kist_pod_list_free(struct kist_pod **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_pod_free(list[i]);
	free(list);
}

int kist_pod_latest(struct kist *k, struct kist_pod **out, struct kist_error *err)
{
	struct kist_pod **list = NULL;
	size_t n = 0;

	int r = kist_pod_list(k, &list, &n, NULL, err);
	if (r < 0)
		return r;
	if (n == 0)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "there are no pods");
	*out = list[n - 1];
	kist_pod_list_free(list, n - 1);
	return 0;
}

/* --- its containers -------------------------------------------------------------------------------------------------
 */

char **kist_pod_marks(int dir)
{
	DIR *list = open_list(dir, "members");
	char **ids = NULL;

	for (const struct dirent *entry; list && (entry = readdir(list));)
		if (is_id(entry->d_name))
			kist_strv_add(&ids, entry->d_name);
	if (list)
		closedir(list);
	return ids;
}

int kist_pod_containers(struct kist_pod *pod, struct kist_container ***out, size_t *n, struct kist_error *err)
{
	KIST_STRV char **ids = kist_pod_marks(pod->dir);
	struct kist_container **list = NULL;
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && ids && ids[i]; i++) {
		struct kist_container *c = NULL;
		struct kist_error problem = { 0 };
		if (kist_container_load(pod->k, ids[i], &c, &problem) < 0) {
			if (problem.kind == KIST_ERR_NOT_FOUND)
				continue;
			r = -problem.errnum;
			if (err)
				*err = problem;
			break;
		}
		bool stays = kist_streq(c->config.pod, pod->config.id) && kist_container_settle_unwatched(c);
		kist_close_fd(&c->dir);
		if (!stays) {
			kist_container_free(c);
			continue;
		}
		list = kist_grow(list, count + 1, sizeof(struct kist_container *));
		list[count++] = c;
	}
	if (r < 0) {
		kist_container_list_free(list, count);
		return kist_context(err, "pod %s", pod->config.name);
	}
	if (count)
		qsort(list, count, sizeof(struct kist_container *), kist_container_by_creation);
	*out = list;
	*n = count;
	return 0;
}

/* --- locks and sweeping ---------------------------------------------------------------------------------------------
 */

int kist_pod_dir_lock(struct kist *k, int dir, const char *id, bool nonblock)
{
	struct stat here, named;

	while (flock(dir, LOCK_EX | (nonblock ? LOCK_NB : 0)) < 0)
		if (errno != EINTR)
			return -errno;
	/* A removal renames it away. */
	return fstat(dir, &here) == 0 && fstatat(k->pods, id, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	                       here.st_ino == named.st_ino && here.st_dev == named.st_dev
	               ? 0
	               : -ESTALE;
}

int kist_pod_lock(struct kist_pod *pod, struct kist_error *err)
{
	KIST_FREE char *id = kist_strdup(pod->config.id);
	/* flock belongs to the open file: one of its own can be given back by closing it. */
	KIST_CLOSE int fd = openat(pod->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	int r = fd < 0 ? -errno : kist_pod_dir_lock(pod->k, fd, id, false);
	if (r == -ESTALE || r == -ENOENT)
		return kist_fail(err, KIST_ERR_REMOVED, ESTALE, "pod %.12s has been removed", id);
	if (r < 0)
		return kist_fail_errno(err, -r, "lock pod %.12s", id);
	r = config_read(pod, id, err);
	if (r < 0)
		return r;
	pod->lock = kist_steal_fd(&fd);
	return 0;
}

void kist_pod_unlock(struct kist_pod *pod)
{
	kist_close_fd(&pod->lock);
}

bool kist_pod_exists(struct kist *k, const char *id)
{
	return kist_pods_open(k, false, NULL) == 0 && kist_exists_at(k->pods, id);
}

bool kist_pod_has_record(struct kist *k, const char *id)
{
	KIST_FREE char *path = kist_asprintf("%s/config", id ? id : "");

	return kist_pods_open(k, false, NULL) == 0 && kist_exists_at(k->pods, path);
}

bool kist_pod_name_is_stale(struct kist *k, const char *name, const char *id)
{
	KIST_CLOSE int dir = kist_pods_open(k, false, NULL) < 0
	                             ? -1
	                             : openat(k->pods, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct kist_error problem = { 0 };
	struct kist_pod *pod = NULL;

	if (dir < 0)
		return true;
	if (kist_pod_dir_lock(k, dir, id, true) == -EWOULDBLOCK)
		return false;
	int r = kist_pod_load(k, id, &pod, &problem);
	/* A damaged record keeps its name until it is evicted. */
	bool stale = (r < 0 && problem.kind == KIST_ERR_NOT_FOUND) || (r == 0 && !kist_streq(pod->config.name, name));
	kist_pod_free(pod);
	return stale;
}

/* A directory without a record: its maker holds the lock, or died. */
static void sweep_one(struct kist *k, const char *name)
{
	KIST_CLOSE int dir = openat(k->pods, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir < 0 || kist_pod_dir_lock(k, dir, name, true) < 0 || kist_exists_at(dir, "config"))
		return;
	kist_debug("sweeping half-made pod %.12s", name);
	KIST_STRV char **ids = kist_pod_marks(dir);
	for (size_t i = 0; ids && ids[i]; i++) {
		struct kist_container *c = NULL;
		struct kist_error problem = { 0 };
		if (kist_container_load(k, ids[i], &c, NULL) < 0 || !kist_streq(c->config.pod, name)) {
			kist_container_free(c);
			continue;
		}
		if (kist_container_remove(c, KIST_REMOVE_FORCE | KIST_REMOVE_WITH_POD, 0, &problem) < 0)
			kist_debug("%s", problem.text);
		kist_container_free(c);
	}
	kist_remove_tree(k->pods, name);
}

void kist_pods_sweep(struct kist *k)
{
	if (kist_pods_open(k, false, NULL) < 0)
		return;
	DIR *list = open_list(k->pods, ".");
	for (const struct dirent *entry; list && (entry = readdir(list));) {
		if (kist_has_prefix(entry->d_name, KIST_TMP_PREFIX))
			kist_remove_tree(k->pods, entry->d_name);
		else if (is_id(entry->d_name) && !kist_pod_has_record(k, entry->d_name))
			sweep_one(k, entry->d_name);
	}
	if (list)
		closedir(list);
	kist_containers_sweep(k); /* their names */
}
