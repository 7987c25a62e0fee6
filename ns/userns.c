#include "ns/launch.h"
#include "ns/program.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

static int write_map(int dir, const char *name, const struct kist_spec_id_map *maps, size_t n, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		kist_str_addf(&text, "%u %u %u\n", maps[i].container_id, maps[i].host_id, maps[i].size);
	/* The kernel takes a map in one write only. */
	int r = kist_write_kernel(dir, name, kist_str_get(&text));
	return r < 0 ? kist_fail_errno(err, -r, "user namespace: write %s", name) : 0;
}

static int write_maps(int proc_fd, pid_t pid, const struct kist_spec_id_map *uids, size_t n_uids,
                      const struct kist_spec_id_map *gids, size_t n_gids, struct kist_error *err)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", pid);
	KIST_CLOSE int dir = openat(proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return kist_fail_errno(err, errno, "user namespace: open /proc/%d", pid);
	/* Without privilege a gid map is taken only after setgroups(2) has been given up (user_namespaces(7)). */
	if (geteuid() != 0) {
		int r = kist_write_kernel(dir, "setgroups", "deny");
		if (r < 0 && r != -ENOENT)
			return kist_fail_errno(err, -r, "user namespace: write setgroups");
	}
	int r = write_map(dir, "gid_map", gids, n_gids, err);
	return r < 0 ? r : write_map(dir, "uid_map", uids, n_uids, err);
}

int kist_ns_user_maps_write(int proc_fd, pid_t pid, const struct kist_spec_linux *plan, struct kist_error *err)
{
	return write_maps(proc_fd, pid, plan->uid_mappings, plan->n_uid_mappings, plan->gid_mappings,
	                  plan->n_gid_mappings, err);
}

int kist_ns_user_namespace_for(int proc_fd, const struct kist_spec_id_map *uids, size_t n_uids,
                               const struct kist_spec_id_map *gids, size_t n_gids, struct kist_error *err)
{
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	char name[32];
	int fd = -1;

	/* The namespace needs a process only until its fd is open. */
	pid_t pid = kist_clone3(&args, sizeof(args));
	if (pid < 0)
		return kist_fail_errno(err, -pid, "user namespace for an idmapped mount");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	int r = write_maps(proc_fd, pid, uids, n_uids, gids, n_gids, err);
	if (r == 0) {
		snprintf(name, sizeof(name), "%d/ns/user", pid);
		fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			r = kist_fail_errno(err, errno, "open /proc/%s", name);
	}
	kill(pid, SIGKILL);
	kist_wait_pid(pid);
	return r < 0 ? r : fd;
}

int kist_ns_userns_make(const struct kist_spec_id_map *uids, size_t n_uids, const struct kist_spec_id_map *gids,
                        size_t n_gids, struct kist_error *err)
{
	KIST_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (proc < 0)
		return kist_fail_errno(err, errno, "open /proc");
	return kist_ns_user_namespace_for(proc, uids, n_uids, gids, n_gids, err);
}

int kist_ns_user_become_root(struct kist_error *err)
{
	/* EPERM: setgroups is denied, the groups of the caller stay and map to nobody. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return kist_fail_errno(err, errno, "user namespace: setgroups");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
		int r = kist_fail_errno(err, errno, "user namespace: become root");
		kist_remedy(err, "the maps must contain user 0 and group 0");
		return r;
	}
	return 0;
}

bool kist_ns_user_map_id(const struct kist_spec_id_map *maps, size_t n, uint32_t id, uint32_t *host)
{
	for (size_t i = 0; i < n; i++)
		if (id >= maps[i].container_id && id - maps[i].container_id < maps[i].size) {
			*host = maps[i].host_id + (id - maps[i].container_id);
			return true;
		}
	return false;
}

int kist_ns_user_give_stdio(const struct kist_spec_linux *plan, const struct kist_spec_user *user, const int stdio[3],
                            struct kist_error *err)
{
	uint32_t uid, gid;

	if (!kist_ns_user_map_id(plan->uid_mappings, plan->n_uid_mappings, user->uid, &uid) ||
	    !kist_ns_user_map_id(plan->gid_mappings, plan->n_gid_mappings, user->gid, &gid))
		return 0;
	return kist_ns_program_give_stdio(stdio, uid, gid, err);
}
