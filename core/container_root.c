/* Opening the root of a container. A child makes or enters the mount namespace and sends back descriptors; it does
 * nothing else there, so that no code of the container's and no name of its can act on it. */
#include "core/container_root.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/image_mount.h"
#include "core/launch.h"
#include "core/volume.h"
#include "ns/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One mount that the container has in its root. */
struct submount {
	const char *destination;
	int fd; /* detached */
};

struct job {
	int ns;              /* to enter, -1: to make one */
	int rootfs;          /* what is its root: a detached mount, or a directory */
	bool clone;          /* send a copy of the root's mount, not the root */
	const char *subpath; /* send a copy of the mount that begins there */
	const struct submount *mounts;
	size_t n_mounts;
};

void kist_container_root_close(struct kist_container_root *root)
{
	kist_close_fd(&root->fd);
	kist_close_fd(&root->ns);
	kist_close_fd(&root->userns);
}

/* --- the child ------------------------------------------------------------------------------------------------------
 */

static int clone_root(int root)
{
	return open_tree(root, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

static int make_namespace(struct kist_error *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return kist_fail_errno(err, errno, "make a mount namespace");
	/* From a chroot, to the namespace's own root: the top of a mount, which the propagation can be taken from. */
	KIST_CLOSE int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNS) < 0)
		return kist_fail_errno(err, errno, "enter the mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return kist_fail_errno(err, errno, "make the mount namespace private");
	return kist_steal_fd(&ns);
}

/* A mount point that is not there yet is made, as a start would do. */
static int open_point(int root, const char *path, int source)
{
	struct stat st;
	int fd = kist_open_in_root(root, path, O_PATH, 0);

	if (fd != -ENOENT)
		return fd;
	if (fstat(source, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return kist_mkdirs_in_root(root, path, 0755, 0, 0);
	KIST_FREE char *parent = kist_strdup(path);
	*strrchr(parent, '/') = '\0';
	KIST_CLOSE int dir = kist_mkdirs_in_root(root, *parent ? parent : "/", 0755, 0, 0);
	if (dir < 0)
		return dir;
	KIST_CLOSE int file = kist_open_in_root(root, path, O_CREAT | O_WRONLY | O_NOCTTY | O_NONBLOCK, 0644);
	return file < 0 ? file : kist_open_in_root(root, path, O_PATH, 0);
}

static int attach_all(const struct job *job, int root, struct kist_error *err)
{
	for (size_t i = 0; i < job->n_mounts; i++) {
		const struct submount *m = &job->mounts[i];
		KIST_CLOSE int point = open_point(root, m->destination, m->fd);
		int r = point < 0 ? kist_fail_errno(err, -point, "mount point")
		                  : kist_ns_mount_attach_at(m->fd, point, err);
		if (r < 0)
			return kist_context(err, "mount %s", m->destination);
	}
	return 0;
}

/* What the host has mounted is let go, so that nobody finds it busy; where the host's root is an initramfs it stays. */
static void leave_host(int root)
{
	if (fchdir(root) == 0 && syscall(SYS_pivot_root, ".", ".") == 0)
		umount2(".", MNT_DETACH);
}

/* Links are the container's or the image's doing: none leads out of the root. */
static int clone_subpath(int root, const char *path, struct kist_error *err)
{
	KIST_CLOSE int place = kist_open_in_root(root, path, O_PATH, 0);

	if (place < 0)
		return kist_fail_errno(err, -place, "subpath %s", path);
	int fd = clone_root(place);
	return fd < 0 ? -errno : fd;
}

static int build(const struct job *job, int fds[2], struct kist_error *err)
{
	KIST_CLOSE int ns = make_namespace(err);
	if (ns < 0)
		return ns;
	/* A directory of the host's: it becomes a mount of its own, so that mounts in it are seen by nobody. */
	KIST_CLOSE int root = job->rootfs;
	struct statx st = { 0 };
	if (statx(root, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0 || !S_ISDIR(st.stx_mode))
		return kist_fail_errno(err, errno, "look at the root");
	KIST_CLOSE int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return kist_fail_errno(err, errno, "open the root");
	int r = kist_ns_mount_attach_at(root, top, err);
	if (r == 0)
		r = attach_all(job, root, err);
	if (r < 0)
		return r;
	if (job->subpath) {
		fds[0] = clone_subpath(root, job->subpath, err);
		fds[1] = kist_steal_fd(&ns);
		return fds[0] < 0 ? fds[0] : 0;
	}
	leave_host(root);
	fds[0] = kist_steal_fd(&root);
	fds[1] = kist_steal_fd(&ns);
	return 0;
}

static int enter(const struct job *job, int fds[2], struct kist_error *err)
{
	if (setns(job->ns, CLONE_NEWNS) < 0)
		return kist_fail_errno(err, errno, "enter the mount namespace");
	/* setns moved this process to that namespace's root. */
	fds[0] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fds[0] < 0)
		return kist_fail_errno(err, errno, "open the root");
	fds[1] = job->ns;
	if (job->clone) {
		fds[0] = clone_root(fds[0]);
		if (fds[0] < 0)
			return kist_fail_errno(err, errno, "copy the mount of the root");
	}
	return 0;
}

_Noreturn static void child(const struct job *job, int sock)
{
	struct kist_error error = { 0 };
	int fds[2] = { -1, -1 };

	prctl(PR_SET_DUMPABLE, 0);
	int r = job->ns >= 0 ? enter(job, fds, &error) : build(job, fds, &error);
	kist_send_fds(sock, &error, sizeof(error), fds, r < 0 ? 0 : 2);
	_exit(0);
}

static int run(const struct job *job, int fds[2], struct kist_error *err)
{
	struct kist_error error = { 0 };
	int pair[2];
	size_t n = 2;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return kist_fail_errno(err, errno, "make socket");
	pid_t pid = fork();
	if (pid == 0)
		child(job, pair[1]);
	kist_close_fd(&pair[1]);
	ssize_t len = pid < 0 ? -errno : kist_recv_fds(pair[0], &error, sizeof(error), fds, &n);
	kist_close_fd(&pair[0]);
	if (pid < 0)
		return kist_fail_errno(err, (int)-len, "fork");
	kist_wait_pid(pid);
	if (len == (ssize_t)sizeof(error) && n == 2)
		return 0;
	if (len == (ssize_t)sizeof(error) && kist_error_is_set(&error)) {
		if (err)
			*err = error;
		return error.errnum > 0 ? -error.errnum : -EIO;
	}
	return kist_fail(err, KIST_ERR_SYSTEM, EPIPE, "the helper process for mounts died");
}

/* Of a detached mount a part can be copied since Linux 6.15; before, it must be attached somewhere. */
int kist_mount_subtree(int tree, const char *path, struct kist_error *err)
{
	int fds[2] = { -1, -1 };
	struct job job = { .ns = -1, .rootfs = tree, .subpath = path };

	int fd = clone_subpath(tree, path, err);
	if (fd != -EINVAL || (err && kist_error_is_set(err)))
		return fd < 0 && !(err && kist_error_is_set(err)) ? kist_fail_errno(err, -fd, "subpath %s", path) : fd;
	int r = run(&job, fds, err);
	kist_close_fd(&fds[1]);
	return r < 0 ? r : fds[0];
}

/* --- the mounts of a container without processes --------------------------------------------------------------------
 */

static bool has(char *const *options, const char *option)
{
	return options && kist_strv_has(options, option);
}

/* Of an overlay over the source changes are thrown away at the end of each run: there is no run to write to. */
static char **bind_options(char *const *options)
{
	char **out = NULL;

	kist_strv_add(&out, has(options, "bind") ? "bind" : "rbind");
	if (has(options, "ro") || has(options, "O"))
		kist_strv_add(&out, "ro");
	return out;
}

static int open_bind(const struct kist_mount_config *mount, struct kist_error *err)
{
	KIST_STRV char **options = bind_options(mount->options);

	return kist_ns_mount_detached("bind", mount->source, options, err);
}

static int bind_fd(int fd, char *const *options, struct kist_error *err)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return kist_ns_mount_detached("bind", path, options, err);
}

static int open_volume(struct kist *k, const struct kist_volume_mount_config *mount, struct kist_error *err)
{
	KIST_STRV char **options = bind_options(mount->options);
	struct kist_volume *v = NULL;
	KIST_CLOSE int tree = -1;
	bool fresh;

	KIST_CLOSE int dir = kist_volume_lock(k, mount->name, err);
	if (dir < 0)
		return dir;
	int r = kist_volume_load(dir, mount->name, &v, err);
	if (r < 0)
		return r;
	KIST_CLOSE int data = kist_volume_content(k, dir, v, &tree, &fresh, err);
	kist_volume_free(v);
	if (data < 0)
		return data;
	if (tree >= 0 && !mount->subpath)
		return kist_steal_fd(&tree);
	if (tree >= 0)
		return kist_mount_subtree(tree, mount->subpath, err);
	if (!mount->subpath)
		return bind_fd(data, options, err);
	KIST_CLOSE int sub = kist_open_in_root(data, mount->subpath, O_PATH, 0);
	return sub < 0 ? kist_fail_errno(err, -sub, "subpath %s", mount->subpath) : bind_fd(sub, options, err);
}

static size_t depth(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static int by_depth(const void *a, const void *b)
{
	const struct submount *x = a, *y = b;
	size_t dx = depth(x->destination), dy = depth(y->destination);

	return dx != dy ? (dx < dy ? -1 : 1) : strcmp(x->destination, y->destination);
}

static int open_submounts(struct kist_container *c, struct submount *list, size_t *n, struct kist_error *err)
{
	const struct kist_container_config *config = &c->config;

	for (size_t i = 0; i < config->n_mounts; i++) {
		const struct kist_mount_config *m = &config->mounts[i];
		bool image = kist_streq(m->type, "image");
		if (!image && !kist_streq(m->type, "bind"))
			continue;
		int fd = image ? kist_image_submount(c, m, err) : open_bind(m, err);
		if (fd < 0)
			return kist_context(err, "mount %s", m->destination);
		list[(*n)++] = (struct submount){ m->destination, fd };
	}
	for (size_t i = 0; i < config->n_named_volumes; i++) {
		const struct kist_volume_mount_config *m = &config->named_volumes[i];
		int fd = open_volume(c->k, m, err);
		if (fd < 0)
			return kist_context(err, "volume %s", m->name);
		list[(*n)++] = (struct submount){ m->destination, fd };
	}
	qsort(list, *n, sizeof(*list), by_depth);
	return 0;
}

static int rootfs_mount(struct kist_container *c, struct kist_error *err)
{
	int fd = kist_launch_rootfs(c, err);

	if (fd < 0 || !c->config.rootfs || c->config.rootfs_overlay)
		return fd;
	KIST_CLOSE int directory = fd;
	int copy = clone_root(directory);
	return copy < 0 ? kist_fail_errno(err, errno, "copy the mount of %s", c->config.rootfs) : copy;
}

static int open_dead(struct kist_container *c, int fds[2], struct kist_error *err)
{
	size_t n = 0, room = c->config.n_mounts + c->config.n_named_volumes + 1;
	KIST_FREE struct submount *list = kist_grow(NULL, room, sizeof(*list));
	KIST_CLOSE int rootfs = rootfs_mount(c, err);

	if (rootfs < 0)
		return rootfs;
	int r = open_submounts(c, list, &n, err);
	struct job job = { .ns = -1, .rootfs = rootfs, .mounts = list, .n_mounts = n };
	if (r == 0)
		r = run(&job, fds, err);
	for (size_t i = 0; i < n; i++)
		kist_close_fd(&list[i].fd);
	return r;
}

/* --- of a container with processes ----------------------------------------------------------------------------------
 */

/* -ESRCH without an error: it has ended. */
static int open_live(struct kist_container *c, bool clone, int fds[2], struct kist_error *err)
{
	struct kist_proc_id id = { c->state.pid, c->state.pid_start };
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", c->state.pid);
	KIST_CLOSE int ns = open(path, O_RDONLY | O_CLOEXEC);
	/* Asked for after the open: until then the number could have gone to another process. */
	if (ns < 0 || !kist_proc_alive(&id))
		return -ESRCH;
	struct job job = { .ns = ns, .rootfs = -1, .clone = clone };
	return run(&job, fds, err);
}

static bool is_live(const struct kist_container *c)
{
	return kist_status_has_process(c->state.status) && c->state.pid > 0;
}

int kist_container_root_userns(struct kist_container *c, struct kist_error *err)
{
	const struct kist_container_config *config = &c->config;

	if (!config->n_uid_map || !config->n_gid_map)
		return -1;
	int fd = kist_ns_userns_make(config->uid_map, config->n_uid_map, config->gid_map, config->n_gid_map, err);
	return fd < 0 && fd == -1 ? -EPERM : fd;
}

static struct kist_spec_id_map *reverse(const struct kist_spec_id_map *maps, size_t n)
{
	struct kist_spec_id_map *out = kist_grow(NULL, n, sizeof(*out));

	for (size_t i = 0; i < n; i++)
		out[i] = (struct kist_spec_id_map){ .container_id = maps[i].host_id,
			                            .host_id = maps[i].container_id,
			                            .size = maps[i].size };
	return out;
}

/* Reading from inside the namespace would show the same ids, but overlay's own attributes are shown only to the host's
 * root. Capabilities of files and ACLs are mapped by the kernel along with the owners. */
int kist_container_unmap(struct kist_container *c, int dir, struct kist_error *err)
{
	const struct kist_container_config *config = &c->config;
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY };

	if (!config->n_uid_map || !config->n_gid_map) {
		int copy = kist_reopen(dir, O_RDONLY | O_DIRECTORY);
		return copy < 0 ? kist_fail_errno(err, -copy, "open the writable layer") : copy;
	}
	KIST_FREE struct kist_spec_id_map *uids = reverse(config->uid_map, config->n_uid_map);
	KIST_FREE struct kist_spec_id_map *gids = reverse(config->gid_map, config->n_gid_map);
	KIST_CLOSE int userns = kist_ns_userns_make(uids, config->n_uid_map, gids, config->n_gid_map, err);
	if (userns < 0)
		return userns;
	KIST_CLOSE int tree = clone_root(dir);
	attributes.userns_fd = (uint64_t)userns;
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) {
		int errnum = errno;
		kist_fail_errno(err, errnum, "map the ids of the writable layer");
		return errnum == EINVAL ? kist_remedy(err, "its file system does not know idmapped mounts") : -errnum;
	}
	int view = kist_reopen(tree, O_RDONLY | O_DIRECTORY);
	return view < 0 ? kist_fail_errno(err, -view, "open the writable layer") : view;
}

int kist_container_root_open(struct kist_container *c, struct kist_container_root *root, struct kist_error *err)
{
	int fds[2] = { -1, -1 };
	int r = is_live(c) ? open_live(c, false, fds, err) : -ESRCH;

	root->live = r == 0;
	if (r == -ESRCH && !(err && kist_error_is_set(err)))
		r = open_dead(c, fds, err);
	if (r < 0)
		return r;
	root->fd = fds[0];
	root->ns = fds[1];
	if (c->config.n_uid_map && c->config.n_gid_map) {
		root->userns = kist_container_root_userns(c, err);
		if (root->userns < 0) {
			r = root->userns;
			kist_container_root_close(root);
		}
	}
	return r;
}

int kist_container_root_clone(struct kist_container *c, struct kist_error *err)
{
	int fds[2] = { -1, -1 };
	int r = is_live(c) ? open_live(c, true, fds, err) : -ESRCH;

	if (r == -ESRCH && !(err && kist_error_is_set(err)))
		return rootfs_mount(c, err);
	kist_close_fd(&fds[1]);
	return r < 0 ? r : fds[0];
}

int kist_container_root_become(const struct kist_container_root *root, struct kist_error *err)
{
	if (root->userns < 0)
		return 0;
	if (setns(root->userns, CLONE_NEWUSER) < 0)
		return kist_fail_errno(err, errno, "enter the user namespace");
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return kist_fail_errno(err, errno, "become root of the user namespace");
	return 0;
}
