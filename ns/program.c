#include "ns/program.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "ns/apply.h"
#include "ns/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void kist_ns_close_others(int first, const int *keep, size_t n_keep)
{
	for (;;) {
		int next = -1;
		for (size_t i = 0; i < n_keep; i++)
			if (keep[i] >= first && (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			break;
		if (next > first && syscall(SYS_close_range, first, next - 1, 0) < 0) {
			for (int fd = first; fd < next; fd++)
				close(fd);
		}
		first = next + 1;
	}
	kist_close_from(first, -1);
}

int kist_ns_program_stdio(const struct kist_ns_program *program, struct kist_error *err)
{
	int fd[3];

	for (int i = 0; i < 3; i++) {
		fd[i] = program->console >= 0    ? program->console
		        : program->stdio[i] >= 0 ? program->stdio[i]
		                                 : program->null_fd;
		/* One that another is about to be put over moves out of the way. */
		if (fd[i] < 3 && fd[i] != i) {
			fd[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, 3 + program->listen_fds);
			if (fd[i] < 0)
				return kist_fail_errno(err, errno, "stdio: duplicate %d", i);
		}
	}
	for (int i = 0; i < 3; i++) {
		int r = fd[i] == i ? fcntl(i, F_SETFD, 0) : dup2(fd[i], i);
		if (r < 0)
			return kist_fail_errno(err, errno, "stdio: set up fd %d", i);
	}
	for (int i = 3; i < 3 + program->listen_fds; i++)
		if (fcntl(i, F_SETFD, 0) < 0)
			return kist_fail_errno(err, errno, "preserved fd %d", i);
	return 0;
}

int kist_ns_program_give_stdio(const int stdio[3], uid_t uid, gid_t gid, struct kist_error *err)
{
	struct stat st;

	for (int i = 0; i < 3; i++) {
		if (stdio[i] < 0 || fstat(stdio[i], &st) < 0 || !S_ISFIFO(st.st_mode) || st.st_uid == uid)
			continue;
		/* EPERM: the pipe is somebody else's, and so is the decision. */
		if (fchown(stdio[i], uid, gid) < 0 && errno != EPERM && errno != EINVAL)
			return kist_fail_errno(err, errno, "stdio: give fd %d to user %u", i, uid);
	}
	return 0;
}

int kist_ns_program_own_stdio(const struct kist_ns_program *program, struct kist_error *err)
{
	static const int standard[3] = { 0, 1, 2 };
	uid_t uid = program->process->user.uid;

	if (uid == 0)
		return 0;
	if (program->console >= 0)
		return fchown(0, uid, (gid_t)-1) < 0 ? kist_fail_errno(err, errno, "terminal: give it to user %u", uid)
		                                     : 0;
	if (program->in_user_namespace)
		return 0; /* the parent did: pipes of the host are nobody's in there */
	return kist_ns_program_give_stdio(standard, uid, program->process->user.gid, err);
}

int kist_ns_program_join_keyring(struct kist_error *err)
{
	/* EPERM, EACCES: the engine runs under a filter that refuses keyrings, which is as good. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM &&
	    errno != EACCES)
		return kist_fail_errno(err, errno, "session keyring");
	return 0;
}

/* Where root is refused (a network file system, a directory of another user namespace) the user may not be. */
static int chdir_as_user(const char *path, uid_t uid, gid_t gid)
{
	int old_gid = setfsgid(gid);
	int old_uid = setfsuid(uid);
	int r = chdir(path) < 0 ? -errno : 0;

	setfsuid((uid_t)old_uid);
	setfsgid((gid_t)old_gid);
	return r;
}

int kist_ns_program_chdir(const struct kist_ns_program *program, struct kist_error *err)
{
	const struct kist_spec_process *process = program->process;
	const char *cwd = kist_empty(process->cwd) ? "/" : process->cwd;
	char path[PATH_MAX];
	int r = chdir(cwd) < 0 ? -errno : 0;

	if (r == -ENOENT && program->make_cwd) {
		KIST_CLOSE int made = kist_mkdirs(cwd, 0755);
		if (made >= 0)
			r = fchdir(made) < 0 ? -errno : 0;
	}
	if (r == -EACCES)
		r = chdir_as_user(cwd, process->user.uid, process->user.gid);
	if (r < 0)
		return kist_fail_errno(err, -r, "working directory '%s'", cwd);
	/* A path through a leaked fd leaves the root; the kernel then says "(unreachable)" (CVE-2024-21626). */
	long n = syscall(SYS_getcwd, path, sizeof(path));
	if (n < 0 && errno == ENAMETOOLONG)
		return 0;
	if (n < 0 || path[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "working directory '%s' is outside of the container",
		                 cwd);
	return 0;
}

/* --- what the plan leaves to the runtime
 * ------------------------------------------------------------------------------
 */

char *const *kist_ns_program_env(const struct kist_ns_program *program)
{
	static char *const no_env[] = { NULL };

	return program->env ? program->env : program->process->env ? program->process->env : no_env;
}

int kist_ns_program_fill_env(struct kist_ns_program *program, struct kist_error *err)
{
	struct kist_spec_user user = { 0 };
	KIST_FREE char *home = NULL;
	char uid[16];

	if (kist_env_get(program->process->env, "HOME"))
		return 0;
	KIST_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return kist_fail_errno(err, errno, "open the container's root");
	snprintf(uid, sizeof(uid), "%u", program->process->user.uid);
	int r = kist_ns_user_lookup(root, uid, NULL, &user, &home, NULL, err);
	free(user.additional_gids);
	if (r < 0)
		return r;
	program->env = kist_strv_copy(program->process->env);
	kist_env_set(&program->env, "HOME", home);
	return 0;
}

/* --- execve --------------------------------------------------------------------------------------------------------
 */

static int fail_exec(const char *name, int errnum, struct kist_error *err)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		return kist_fail(err, KIST_ERR_EXEC_MISSING, ENOENT, "executable file '%s' not found%s: %s", name,
		                 strchr(name, '/') ? "" : " in $PATH", strerror(ENOENT));
	default:
		return kist_fail(err, KIST_ERR_EXEC_ACCESS, errnum, "cannot execute '%s': %s", name, strerror(errnum));
	}
}

static int try_exec(const char *file, char *const *argv, char *const *env)
{
	execve(file, argv, env);
	return errno;
}

/* As root, like the rest of the preparations: what the user may not execute is told by execve(2). */
static int try_look(const char *file, char *const *argv KIST_UNUSED, char *const *env KIST_UNUSED)
{
	struct stat st;

	if (stat(file, &st) < 0)
		return errno;
	return S_ISREG(st.st_mode) && st.st_mode & 0111 ? 0 : EACCES;
}

/* The search of execvp(3) in the container's PATH. Only what 'try' calls is called: a seccomp filter may be in force.
 * Returns 0 or an errno. */
static int search(const char *name, char *const *argv, char *const *env,
                  int (*try)(const char *file, char *const *argv, char *const *env))
{
	const char *path = kist_env_get(env, "PATH");
	char file[PATH_MAX];
	int refused = 0;

	if (strchr(name, '/') || !*name)
		return try(name, argv, env);
	for (const char *dir = path ? path : DEFAULT_PATH; dir;) {
		const char *end = strchrnul(dir, ':');
		int n = (int)(end - dir);
		int len = n ? snprintf(file, sizeof(file), "%.*s/%s", n, dir, name)
		            : snprintf(file, sizeof(file), "./%s", name);
		dir = *end ? end + 1 : NULL;
		if (len < 0 || (size_t)len >= sizeof(file))
			continue;
		int r = try(file, argv, env);
		if (r == EACCES)
			refused = EACCES;
		else if (r != ENOENT && r != ENOTDIR && r != ELOOP && r != ENAMETOOLONG)
			return r;
	}
	return refused ? refused : ENOENT;
}

int kist_ns_program_check(const struct kist_ns_program *program, struct kist_error *err)
{
	char *const *args = program->process->args;

	if (!args || !args[0])
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.args is empty");
	if (program->init_fd >= 0 || program->pause)
		return 0;
	int r = search(args[0], args, kist_ns_program_env(program), try_look);
	return r ? fail_exec(args[0], r, err) : 0;
}

static int exec_init(const struct kist_ns_program *program, struct kist_error *err)
{
	char *const *args = program->process->args;
	size_t n = kist_strv_len(args);
	KIST_FREE char **argv = kist_alloc((n + 3) * sizeof(*argv));

	argv[0] = (char *)"kist-init";
	argv[1] = (char *)"--";
	memcpy(argv + 2, args, n * sizeof(*argv));
	syscall(SYS_execveat, program->init_fd, "", argv, kist_ns_program_env(program), AT_EMPTY_PATH);
	return kist_fail(err, KIST_ERR_EXEC_ACCESS, errno, "cannot execute the init program: %s", strerror(errno));
}

/* A binary that needs libraries cannot be executed where there are none: the child waits itself. Closing what is left
 * tells the parent what execve(2) would have told it. */
static int start_pause(const struct kist_ns_program *program, struct kist_error *err)
{
	static char *const argv[] = { (char *)"kist-pause", NULL }, *const env[] = { NULL };

	sigset_t all;

	/* One that comes before it waits for signals: process 1 would not notice it were it not blocked. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (program->init_fd < 0) {
		/* Others may share its pid namespace, and its memory is a copy of the engine's. */
		prctl(PR_SET_DUMPABLE, 0);
		kist_close_from(3, -1);
		_exit(kist_ns_pause_main());
	}
	syscall(SYS_execveat, program->init_fd, "", argv, env, AT_EMPTY_PATH);
	return kist_fail(err, KIST_ERR_EXEC_ACCESS, errno, "cannot execute the pause program: %s", strerror(errno));
}

int kist_ns_program_drop(struct kist_ns_program *program, struct kist_error *err)
{
	char *const *args = program->process->args;

	if (!args || !args[0])
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.args is empty");
	/* The attribute files of a process that is not dumpable belong to the host's root, which the root of a user
	 * namespace is not. */
	if (kist_ns_program_needs_proc(program->policy) && program->in_user_namespace)
		prctl(PR_SET_DUMPABLE, 1);
	int r = kist_ns_policy_apply_late(program->policy, program->proc_fd, err);
	if (r < 0)
		return r;
	/* An open directory of the host would be a way out for a command like /proc/self/fd/N/... */
	kist_close_fd(&program->proc_fd);
	return 0;
}

int kist_ns_program_run(const struct kist_ns_program *program, struct kist_error *err)
{
	char *const *args = program->process->args;

	if (program->pause)
		return start_pause(program, err);
	if (program->init_fd >= 0)
		return exec_init(program, err);
	return fail_exec(args[0], search(args[0], args, kist_ns_program_env(program), try_exec), err);
}
