/* Copying into and out of containers, and between them. One child reads and writes a tar stream, another takes it
 * apart; both hold descriptors of what was resolved, resolve nothing but below them, and of a container in a user
 * namespace have no more rights than its root. */
#include "core/copy.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "ns/ns.h"
#include "overlay/overlay.h"
#include "overlay/tar_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 4096

/* --- places ---------------------------------------------------------------------------------------------------------
 */

static int place_open(struct kist_copy_place *place, struct kist_container *c, enum kist_call call,
                      struct kist_error *err)
{
	*place = (struct kist_copy_place){ .c = c, .root = KIST_CONTAINER_ROOT_INIT };
	if (!c)
		return 0;
	int r = kist_container_lock(c, err);
	if (r < 0)
		return r;
	r = kist_call_check(call, (enum kist_status)c->state.status, err);
	if (r == 0)
		r = kist_container_root_open(c, &place->root, err);
	/* The layer of a container without processes is mounted for this copy: a start must wait for its end. */
	if (r < 0 || place->root.live)
		kist_container_unlock(c);
	return r < 0 ? kist_context(err, "container %s", c->config.name) : 0;
}

static void place_close(struct kist_copy_place *place)
{
	kist_container_root_close(&place->root);
	if (place->c && place->c->lock >= 0)
		kist_container_unlock(place->c);
}

/* A relative path of a container begins at its working directory. The caller frees. */
static char *absolute(const struct kist_copy_place *place, const char *path)
{
	const char *workdir = place->c && place->c->config.workdir ? place->c->config.workdir : "/";

	if (!place->c || path[0] == '/')
		return kist_strdup(path);
	return kist_asprintf("%s%s%s", workdir, kist_has_suffix(workdir, "/") ? "" : "/", path);
}

static int resolve(const struct kist_copy_place *place, const char *path, bool destination,
                   struct kist_copy_target *out, struct kist_error *err)
{
	KIST_FREE char *full = absolute(place, path);

	return kist_copy_resolve(place, full, destination, out, err);
}

/* --- the children ---------------------------------------------------------------------------------------------------
 */

struct worker {
	const struct kist_container_root *root;
	int stream, other; /* what it reads or writes; the end of the pipe that is not its */
	const struct kist_copy_target *target;
	struct kist_tar_create_options create;
	struct kist_tar_unpack unpack;
	bool reads;
	pid_t pid;
	int result;
};

_Noreturn static void work(struct worker *w, int result, pid_t parent)
{
	struct kist_error error = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGPIPE, SIG_IGN);
	kist_close_fd(&w->other);
	int r = w->root ? kist_container_root_become(w->root, &error) : 0;
	/* A change of ids forgets it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (r == 0 && w->reads)
		r = kist_tar_unpack(w->stream, w->target->dir, &w->unpack, NULL, &error);
	else if (r == 0)
		r = kist_tar_create(w->target->dir, w->stream, &w->create, NULL, &error);
	kist_write_all(result, &error, sizeof(error));
	_exit(r < 0);
}

static int worker_start(struct worker *w, struct kist_error *err)
{
	int ends[2];
	pid_t parent = getpid();

	if (pipe2(ends, O_CLOEXEC) < 0)
		return kist_fail_errno(err, errno, "make pipe");
	w->pid = fork();
	if (w->pid == 0)
		work(w, ends[1], parent);
	int errnum = errno;
	kist_close_fd(&ends[1]);
	w->result = ends[0];
	return w->pid < 0 ? kist_fail_errno(err, errnum, "fork") : 0;
}

/* 0, or a negative errno with what the child says of it. */
static int worker_wait(struct worker *w, struct kist_error *error)
{
	size_t have = 0;
	ssize_t n;

	if (w->pid <= 0)
		return 0;
	while (have < sizeof(*error) &&
	       ((n = read(w->result, (char *)error + have, sizeof(*error) - have)) > 0 || (n < 0 && errno == EINTR)))
		have += n > 0 ? (size_t)n : 0;
	kist_close_fd(&w->result);
	int code = kist_wait_pid(w->pid);
	if (have < sizeof(*error)) {
		*error = (struct kist_error){ 0 };
		return kist_fail(error, KIST_ERR_SYSTEM, EPIPE, "the helper process that copies died");
	}
	if (code == 0)
		return 0;
	return error->errnum > 0 ? -error->errnum : -EIO;
}

/* Of two failures one is the cause: a reader that stops breaks the writer's pipe, a writer that stops cuts the stream.
 */
static int workers_wait(struct worker *writer, struct worker *reader, struct kist_error *err)
{
	struct kist_error wrote = { 0 }, read_ = { 0 };
	int w = worker_wait(writer, &wrote), r = worker_wait(reader, &read_);
	bool reader_is_cause = r < 0 && (w == 0 || w == -EPIPE);

	if (w == 0 && r == 0)
		return 0;
	if (err)
		*err = reader_is_cause ? read_ : wrote;
	return reader_is_cause ? r : w;
}

/* stream_in, stream_out: -1 where the other worker is at the end of it. */
static int transfer(struct worker *writer, struct worker *reader, struct kist_error *err)
{
	int ends[2] = { -1, -1 };
	int r = 0;

	if (writer && reader) {
		if (pipe2(ends, O_CLOEXEC) < 0)
			return kist_fail_errno(err, errno, "make pipe");
		writer->stream = reader->other = ends[1];
		reader->stream = writer->other = ends[0];
	}
	struct worker none = { .pid = 0, .result = -1 };
	if (writer)
		r = worker_start(writer, err);
	if (r == 0 && reader)
		r = worker_start(reader, err);
	kist_close_fd(&ends[0]);
	kist_close_fd(&ends[1]);
	int done = workers_wait(writer ? writer : &none, reader ? reader : &none, r < 0 ? NULL : err);
	return r < 0 ? r : done;
}

/* --- the source -----------------------------------------------------------------------------------------------------
 */

static bool is_kernel_fs(int dir, const char *name)
{
	KIST_CLOSE int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 &&
	       (kist_is_fs(fd, PROC_SUPER_MAGIC) || kist_is_fs(fd, SYSFS_MAGIC) || kist_is_fs(fd, CGROUP2_SUPER_MAGIC));
}

/* At the top of a container, what is no tree of files is left out. The caller frees. */
static char **top_names(int dir)
{
	static char *const left_out[] = { ".", "..", "dev", "proc", "sys", NULL };
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char **names = NULL;

	if (!list) {
		kist_close_fd(&fd);
		return NULL;
	}
	for (struct dirent *entry; (entry = readdir(list));)
		if (!kist_strv_has(left_out, entry->d_name))
			kist_strv_add(&names, entry->d_name);
	closedir(list);
	return names ? names : kist_alloc(sizeof(*names));
}

static bool is_top(const struct kist_copy_place *place, int dir)
{
	struct stat a, b;

	return place->c && fstat(place->root.fd, &a) == 0 && fstat(dir, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static int check_source(const struct kist_copy_target *t, const char *path, bool to_host, struct kist_error *err)
{
	if (S_ISSOCK(t->mode))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s is a socket, which cannot be copied", path);
	if (to_host && (S_ISCHR(t->mode) || S_ISBLK(t->mode)))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s is a device: none is made on the host", path);
	if (is_kernel_fs(t->dir, t->name ? t->name : "."))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "%s shows the kernel's state and is no file: read it with 'kist exec'", path);
	return 0;
}

/* A copy into what is being copied would never end. */
static int check_apart(const struct kist_copy_target *from, const struct kist_copy_target *to, struct kist_error *err)
{
	struct stat top, st, last = { 0 };
	KIST_CLOSE int fd = openat(to->dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fstat(from->dir, &top) < 0)
		return kist_fail_errno(err, errno, "look at the source");
	for (int i = 0; i < MAX_DEPTH && fd >= 0 && fstat(fd, &st) == 0; i++) {
		if (st.st_dev == top.st_dev && st.st_ino == top.st_ino)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "a directory cannot be copied into itself");
		if (i > 0 && st.st_dev == last.st_dev && st.st_ino == last.st_ino)
			break;
		last = st;
		int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		kist_close_fd(&fd);
		fd = up;
	}
	return 0;
}

/* --- the destination ------------------------------------------------------------------------------------------------
 */

static int plan_owner(const struct kist_copy_place *place, bool archive, struct kist_tar_unpack *unpack,
                      struct kist_error *err)
{
	struct kist_spec_user user = { 0 };
	char *home = NULL, *name = NULL;

	if (!place->c) {
		unpack->flags |= KIST_TAR_OWNER | KIST_TAR_NO_DEVICES;
		unpack->uid = geteuid();
		unpack->gid = getegid();
		return 0;
	}
	if (!archive)
		return 0;
	int r = kist_ns_user_lookup(place->root.fd, place->c->config.user ? place->c->config.user : "", NULL, &user,
	                            &home, &name, err);
	free(home);
	free(name);
	free(user.additional_gids);
	if (r < 0)
		return kist_context(err, "the container's user");
	unpack->flags |= KIST_TAR_OWNER;
	unpack->uid = user.uid;
	unpack->gid = user.gid;
	return 0;
}

/* --- the copy -------------------------------------------------------------------------------------------------------
 */

struct copy {
	const struct kist_copy_end *from, *to;
	const struct kist_copy_options *options;
	struct kist_copy_place places[2]; /* of from, of to */
	const struct kist_copy_place *source, *destination;
	struct kist_copy_target what, where;
};

/* A device or a FIFO is not to be lost for a file: on the host never, and in a container only where it is asked for. */
static int check_destination(const struct copy *x, struct kist_error *err)
{
	mode_t mode = x->where.mode;

	if (mode == 0 || S_ISDIR(mode) || S_ISREG(mode) || (x->destination->c && x->options->overwrite))
		return 0;
	kist_fail(err, KIST_ERR_INVALID, EINVAL, "invalid destination: \"%s\" must be a directory or a regular file",
	          x->to->path);
	return x->destination->c ? kist_remedy(err, "--overwrite replaces it") : -EINVAL;
}

static int copy_paths(struct copy *x, struct worker *writer, struct worker *reader, struct kist_error *err)
{
	bool is_dir = S_ISDIR(x->what.mode), into = S_ISDIR(x->where.mode);
	int r = check_destination(x, err);

	if (r < 0)
		return r;
	if (is_dir && !into && x->where.mode)
		return kist_fail(err, KIST_ERR_INVALID, ENOTDIR,
		                 "destination must be a directory when copying a directory");
	if (is_dir && x->source == x->destination) {
		r = check_apart(&x->what, &x->where, err);
		if (r < 0)
			return r;
	}
	/* A missing destination, or a file, is the copy's own name. */
	reader->unpack.rename = into ? x->what.as : x->where.name;
	if (is_dir && reader->unpack.rename) {
		writer->create.flags |= KIST_TAR_CREATE_TOP;
		writer->create.prefix = reader->unpack.rename;
	}
	return 0;
}

static int copy_plan(struct copy *x, struct worker *writer, struct worker *reader, const char *names[2], char ***top,
                     struct kist_error *err)
{
	int r = 0;

	if (writer) {
		r = check_source(&x->what, x->from->path, reader && !x->destination->c, err);
		writer->target = &x->what;
		writer->root = x->source->c ? &x->source->root : NULL;
		writer->create.flags = KIST_TAR_CREATE_MOUNTS;
		names[0] = x->what.name;
		if (x->what.name)
			writer->create.names = names;
		else if (is_top(x->source, x->what.dir))
			writer->create.names = (const char *const *)(*top = top_names(x->what.dir));
	}
	if (r == 0 && reader) {
		reader->reads = true;
		reader->target = &x->where;
		reader->root = x->destination->c ? &x->destination->root : NULL;
		reader->unpack.flags = x->options->overwrite ? 0 : KIST_TAR_KEEP_KIND;
		r = plan_owner(x->destination, x->options->archive, &reader->unpack, err);
	}
	if (r == 0 && writer && reader)
		r = copy_paths(x, writer, reader, err);
	else if (r == 0 && writer && S_ISDIR(x->what.mode) && x->what.as) {
		writer->create.flags |= KIST_TAR_CREATE_TOP;
		writer->create.prefix = x->what.as;
	} else if (r == 0 && reader && !S_ISDIR(x->where.mode)) {
		r = kist_fail(err, KIST_ERR_INVALID, ENOTDIR,
		              "destination must be a directory when copying from stdin");
	}
	return r;
}

static int copy_run(struct copy *x, struct kist_error *err)
{
	struct worker writer = { .stream = x->to->stream, .other = -1, .result = -1 };
	struct worker reader = { .stream = x->from->stream, .other = -1, .result = -1 };
	struct worker *w = x->from->path ? &writer : NULL, *r = x->to->path ? &reader : NULL;
	const char *names[2] = { NULL, NULL };
	KIST_STRV char **top = NULL;
	int result = 0;

	if (w)
		result = resolve(x->source, x->from->path, false, &x->what, err);
	if (result == 0 && r) {
		result = resolve(x->destination, x->to->path, true, &x->where, err);
		/* A stream needs a directory to go to: one that is missing is no other mistake. */
		if (result < 0 && !w && (result == -ENOENT || result == -ENOTDIR)) {
			kist_error_clear(err);
			return kist_fail(err, KIST_ERR_INVALID, ENOTDIR,
			                 "destination must be a directory when copying from stdin");
		}
	}
	if (result == 0)
		result = copy_plan(x, w, r, names, &top, err);
	return result < 0 ? result : transfer(w, r, err);
}

static int open_places(struct copy *x, struct kist_error *err)
{
	struct kist_container *from = x->from->container, *to = x->to->container;
	struct kist_container *ends[2] = { from, to };
	/* By ascending id: two copies in opposite directions must not wait for each other. */
	int first = from && to && strcmp(from->config.id, to->config.id) > 0;

	x->source = &x->places[0];
	x->destination = &x->places[1];
	if (from && to && kist_streq(from->config.id, to->config.id)) {
		x->destination = x->source;
		return place_open(&x->places[0], from, KIST_CALL_COPY, err);
	}
	int r = place_open(&x->places[first], ends[first], KIST_CALL_COPY, err);
	return r < 0 ? r : place_open(&x->places[!first], ends[!first], KIST_CALL_COPY, err);
}

int kist_copy(const struct kist_copy_end *from, const struct kist_copy_end *to, const struct kist_copy_options *options,
              struct kist_error *err)
{
	struct copy x = {
		.from = from,
		.to = to,
		.options = options,
		.places = { { .root = KIST_CONTAINER_ROOT_INIT }, { .root = KIST_CONTAINER_ROOT_INIT } },
		.what = KIST_COPY_TARGET_INIT,
		.where = KIST_COPY_TARGET_INIT,
	};
	struct kist_error problem = { 0 };

	if (!from->container && !to->container)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "neither end of the copy is in a container");
	int r = open_places(&x, &problem);
	if (r == 0)
		r = copy_run(&x, &problem);
	kist_copy_target_close(&x.what);
	kist_copy_target_close(&x.where);
	place_close(&x.places[0]);
	place_close(&x.places[1]);
	if (r < 0 && err)
		*err = problem;
	return r;
}

int kist_container_copy_from_archive(struct kist_container *c, const char *path, int stream,
                                     const struct kist_copy_options *options, struct kist_error *err)
{
	struct kist_copy_end from = { .stream = stream }, to = { .container = c, .path = path, .stream = -1 };

	return kist_copy(&from, &to, options, err);
}

int kist_container_copy_to_archive(struct kist_container *c, const char *path, int stream, struct kist_error *err)
{
	static const struct kist_copy_options options = { .archive = true };
	struct kist_copy_end from = { .container = c, .path = path, .stream = -1 }, to = { .stream = stream };

	return kist_copy(&from, &to, &options, err);
}

/* --- stat -----------------------------------------------------------------------------------------------------------
 */

void kist_path_stat_clear(struct kist_path_stat *st)
{
	free(st->name);
	free(st->link_target);
	*st = (struct kist_path_stat){ 0 };
}

/* Where an open directory is, for people: the name may have changed since. */
static char *path_of(int fd)
{
	char link[40], path[4096];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = '\0';
	return kist_strdup(path);
}

static int fill_stat(const struct kist_copy_target *t, struct kist_path_stat *out, struct kist_error *err)
{
	KIST_FREE char *dir = path_of(t->dir);
	struct stat st;

	if (fstatat(t->dir, t->name ? t->name : "", &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return kist_fail_errno(err, errno, "look at it");
	char *target = t->name ? kist_asprintf("%s/%s", kist_streq(dir, "/") ? "" : dir, t->name) : kist_strdup(dir);
	*out = (struct kist_path_stat){
		.name = kist_copy_base(target),
		.link_target = target,
		.size = (uint64_t)st.st_size,
		.mode = st.st_mode,
		.mtime = (int64_t)st.st_mtim.tv_sec * KIST_NSEC_PER_SEC + st.st_mtim.tv_nsec,
	};
	return 0;
}

int kist_container_stat(struct kist_container *c, const char *path, struct kist_path_stat *out, struct kist_error *err)
{
	struct kist_copy_place place;
	struct kist_copy_target t = KIST_COPY_TARGET_INIT;

	int r = place_open(&place, c, KIST_CALL_STAT, err);
	if (r == 0)
		r = resolve(&place, path, false, &t, err);
	if (r == 0)
		r = fill_stat(&t, out, err);
	kist_copy_target_close(&t);
	place_close(&place);
	return r;
}

/* --- export ---------------------------------------------------------------------------------------------------------
 */

static int export_locked(struct kist_container *c, int to, struct kist_error *err)
{
	struct kist_container_root root = KIST_CONTAINER_ROOT_INIT;
	struct kist_copy_target t = KIST_COPY_TARGET_INIT;

	t.dir = kist_container_root_clone(c, err);
	if (t.dir < 0)
		return t.dir;
	/* The copy of a running container's mount is its own: the container may go on meanwhile. */
	if (kist_status_has_process(c->state.status))
		kist_container_unlock(c);
	struct worker writer = { .stream = to, .other = -1, .target = &t, .root = &root, .result = -1 };
	int r = 0;
	if (c->config.n_uid_map && c->config.n_gid_map) {
		root.userns = kist_container_root_userns(c, err);
		r = root.userns < 0 ? root.userns : 0;
	}
	if (r == 0)
		r = transfer(&writer, NULL, err);
	kist_container_root_close(&root);
	kist_copy_target_close(&t);
	return r;
}

int kist_container_export(struct kist_container *c, int to, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r < 0)
		return r;
	r = kist_call_check(KIST_CALL_EXPORT, (enum kist_status)c->state.status, err);
	if (r == 0)
		r = export_locked(c, to, err);
	if (c->lock >= 0)
		kist_container_unlock(c);
	if (r == 0)
		kist_container_event(c, "export");
	return r < 0 ? kist_context(err, "export container %s", c->config.name) : 0;
}
