#include "test/unit/child.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static char top[] = "/tmp/kist-test-tree-XXXXXX";
static int dir = -1;

static int make_top(void **state)
{
	(void)state;
	umask(022);
	if (!mkdtemp(top))
		return -1;
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0;
}

static int remove_top(void **state)
{
	(void)state;
	close(dir);
	return kist_remove_tree(AT_FDCWD, top);
}

/* root/ is what a container controls, outside/ what it must not reach. */
static int make_root(void **state)
{
	if (mkdirat(dir, "root", 0755) < 0 || mkdirat(dir, "outside", 0755) < 0)
		return -1;
	*state = (void *)(intptr_t)openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static int drop_root(void **state)
{
	close((int)(intptr_t)*state);
	return kist_remove_tree(dir, "root") || kist_remove_tree(dir, "outside");
}

static void touch(int at, const char *name)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static size_t count_entries(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fdopendir(fd);
	size_t n = 0;

	assert_non_null(entries);
	while (readdir(entries))
		n++;
	closedir(entries);
	return n - 2;
}

static void assert_dir(int at, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;

	assert_int_equal(fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

/* Runs the body in a child with its own mounts; its result is the exit code. */
static int in_mount_namespace(int (*body)(void))
{
	int status;
	pid_t pid = child_fork();

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(99);
		_exit(body());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* --- making --------------------------------------------------------------------------------------------------------
 */

static void test_mkdirs_gives_owner_and_exact_mode(void **state)
{
	static const mode_t modes[] = { 0755, 0700, 01777, 0775, 02750 };
	int root = (int)(intptr_t)*state;
	uid_t uid = geteuid() == 0 ? 1234 : geteuid();
	gid_t gid = geteuid() == 0 ? 5678 : getegid();

	for (size_t i = 0; i < KIST_COUNT(modes); i++) {
		char path[64], parent[32];

		snprintf(parent, sizeof(parent), "m%zu", i);
		snprintf(path, sizeof(path), "/%s//b/c/", parent);
		umask(077);
		int fd KIST_CLOSE = kist_mkdirs_in_root(root, path, modes[i], uid, gid);

		umask(022);
		assert_true(fd >= 0);
		assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		assert_dir(root, parent, modes[i], uid, gid);
		snprintf(path, sizeof(path), "%s/b/c", parent);
		assert_dir(root, path, modes[i], uid, gid);
	}
}

static void test_mkdirs_leaves_what_exists(void **state)
{
	int root = (int)(intptr_t)*state;

	assert_int_equal(mkdirat(root, "have", 0711), 0);
	{
		int same KIST_CLOSE = kist_mkdirs_in_root(root, "have", 0700, 1, 1);
		int below KIST_CLOSE = kist_mkdirs_in_root(root, "have/new", 0750, (uid_t)-1, (gid_t)-1);
		int self KIST_CLOSE = kist_mkdirs_in_root(root, "/", 0700, 1, 1);
		int empty KIST_CLOSE = kist_mkdirs_in_root(root, "", 0700, 1, 1);

		assert_true(same >= 0 && below >= 0 && self >= 0 && empty >= 0);
	}
	assert_dir(root, "have", 0711, geteuid(), getegid());
	assert_dir(root, "have/new", 0750, geteuid(), getegid());
	assert_dir(dir, "root", 0755, geteuid(), getegid());
}

static void test_mkdirs_stays_in_root(void **state)
{
	static const char *const paths[] = { "abs/made",   "rel/made",       "../../made",       "dangling/made",
		                             "chain/made", "deep/link/made", "sub/../updir/made" };
	int root = (int)(intptr_t)*state;

	assert_int_equal(symlinkat(top, root, "abs"), 0); /* dangling inside: /tmp/... is made in the root */
	assert_int_equal(symlinkat("../outside", root, "rel"), 0);
	assert_int_equal(symlinkat("/not/yet", root, "dangling"), 0);
	assert_int_equal(symlinkat("chain2", root, "chain"), 0);
	assert_int_equal(symlinkat("/chain3", root, "chain2"), 0);
	assert_int_equal(mkdirat(root, "deep", 0755), 0);
	assert_int_equal(mkdirat(root, "sub", 0755), 0);
	assert_int_equal(symlinkat("../../../../outside", root, "deep/link"), 0);
	assert_int_equal(symlinkat("../outside", root, "updir"), 0);
	for (size_t i = 0; i < KIST_COUNT(paths); i++) {
		int fd KIST_CLOSE = kist_mkdirs_in_root(root, paths[i], 0755, (uid_t)-1, (gid_t)-1);
		int again KIST_CLOSE = kist_open_in_root(root, paths[i], O_PATH | O_DIRECTORY, 0);
		struct stat a, b;

		assert_true(fd >= 0 && again >= 0);
		assert_int_equal(fstat(fd, &a), 0);
		assert_int_equal(fstat(again, &b), 0);
		assert_int_equal(a.st_ino, b.st_ino);
	}
	assert_true(kist_exists_at(root, "made"));
	assert_true(kist_exists_at(root, "not/yet/made"));
	assert_true(kist_exists_at(root, "chain3/made"));
	assert_true(kist_exists_at(root, "outside/made"));
	assert_int_equal(count_entries(dir, "outside"), 0);
	assert_false(kist_exists_at(dir, "made"));
}

static void test_mkdirs_refuses(void **state)
{
	int root = (int)(intptr_t)*state;
	char *longest KIST_FREE = kist_alloc(5001), *component KIST_FREE = kist_alloc(301);

	touch(root, "file");
	assert_int_equal(symlinkat("b", root, "a"), 0);
	assert_int_equal(symlinkat("a", root, "b"), 0);
	assert_int_equal(symlinkat("self/x", root, "self"), 0);
	memset(longest, 'x', 5000);
	memset(component, 'x', 300);
	assert_int_equal(kist_mkdirs_in_root(root, "file/x", 0755, 0, 0), -ENOTDIR);
	assert_int_equal(kist_mkdirs_in_root(root, "file", 0755, 0, 0), -ENOTDIR);
	assert_int_equal(kist_mkdirs_in_root(root, "a/x", 0755, 0, 0), -ELOOP);
	assert_int_equal(kist_mkdirs_in_root(root, "self/x", 0755, 0, 0), -ELOOP);
	assert_int_equal(kist_mkdirs_in_root(root, longest, 0755, 0, 0), -ENAMETOOLONG);
	assert_int_equal(kist_mkdirs_in_root(root, component, 0755, 0, 0), -ENAMETOOLONG);
	assert_int_equal(kist_mkdirs_in_root(-1, "x", 0755, 0, 0), -EBADF);
}

/* A container that swaps a directory for a link to the outside, as fast as it can, while the host makes directories
 * below it (CVE-2024-45310). The link is right for the outside only: in the root it dangles or resolves inside. */
static void test_mkdirs_against_a_swapper(void **state)
{
	int root = (int)(intptr_t)*state, plain = 0, through_link = 0;
	int64_t until = kist_now_boot() + KIST_NSEC_PER_SEC;
	char *target KIST_FREE = kist_asprintf("%s/outside", top);
	pid_t pid;

	assert_int_equal(mkdirat(root, "a", 0755), 0);
	assert_int_equal(mkdirat(root, "a/b", 0755), 0);
	assert_int_equal(symlinkat(target, root, "link"), 0);
	assert_int_equal(symlinkat(target, root, "a/link"), 0);
	pid = child_fork();
	if (pid == 0) {
		for (;;) {
			syscall(SYS_renameat2, root, "a/b", root, "a/link", RENAME_EXCHANGE);
			syscall(SYS_renameat2, root, "a", root, "link", RENAME_EXCHANGE);
		}
	}
	/* A second, or longer on a busy machine until both sides of the race were met. */
	for (int i = 0; kist_now_boot() < until ||
	                ((plain == 0 || through_link == 0) && kist_now_boot() < until + 20 * KIST_NSEC_PER_SEC);
	     i++) {
		int fd = kist_mkdirs_in_root(root, i % 2 ? "a/b/n/m" : "a/b/n", 0755, 1234, 1234);

		if (fd >= 0) {
			char path[64], where[4096];
			ssize_t n;

			snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
			n = readlink(path, where, sizeof(where) - 1);
			where[n > 0 ? n : 0] = '\0';
			/* The fd is inside, whatever its name is by now. */
			assert_true(kist_has_prefix(where, top) && kist_has_prefix(where + strlen(top), "/root/"));
			/* The link's target, made in the root. */
			if (strstr(where, "/outside"))
				through_link++;
			else
				plain++;
			close(fd);
		}
		kist_remove_tree(root, "a/b/n");
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(plain > 0 && through_link > 0);
	assert_int_equal(count_entries(dir, "outside"), 0);
	assert_dir(dir, "outside", 0755, geteuid(), getegid());
}

static void test_host_mkdirs(void **state)
{
	char *path KIST_FREE = kist_asprintf("%s/h/i//j/", top), *file KIST_FREE = kist_asprintf("%s/file", top);
	int fd KIST_CLOSE = kist_mkdirs(path, 0700), again KIST_CLOSE = -1;

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_dir(dir, "h", 0755, geteuid(), getegid());
	assert_dir(dir, "h/i", 0755, geteuid(), getegid());
	assert_dir(dir, "h/i/j", 0700, geteuid(), getegid());
	again = kist_mkdirs(path, 0755);
	assert_true(again >= 0);
	assert_dir(dir, "h/i/j", 0700, geteuid(), getegid());
	touch(dir, "file");
	assert_int_equal(kist_mkdirs(file, 0755), -ENOTDIR);
	assert_int_equal(kist_mkdirs("", 0755), -ENOENT);
	assert_int_equal(kist_remove_tree(dir, "h"), 0);
	assert_int_equal(kist_remove_tree(dir, "file"), 0);
}

/* --- removing ------------------------------------------------------------------------------------------------------
 */

static void test_remove_never_follows_links(void **state)
{
	int root = (int)(intptr_t)*state;

	touch(dir, "outside/keep");
	assert_int_equal(mkdirat(root, "t", 0755), 0);
	assert_int_equal(mkdirat(root, "t/sub", 0), 0);
	assert_int_equal(symlinkat("../../outside", root, "t/link"), 0);
	assert_int_equal(symlinkat("../outside", root, "direct"), 0);
	assert_int_equal(mkfifoat(root, "t/fifo", 0600), 0);
	touch(root, "t/file");
	assert_int_equal(kist_remove_tree(root, "t"), 0);
	assert_int_equal(kist_remove_tree(root, "direct"), 0);
	assert_int_equal(count_entries(dir, "root"), 0);
	assert_true(kist_exists_at(dir, "outside/keep"));
}

static void test_remove_names(void **state)
{
	int root = (int)(intptr_t)*state;

	assert_int_equal(kist_remove_tree(root, "missing"), 0);
	assert_int_equal(kist_remove_tree(root, "missing/below"), 0);
	assert_int_equal(kist_remove_tree(root, ""), -EINVAL);
	assert_int_equal(kist_remove_tree(root, "."), -EINVAL);
	assert_int_equal(kist_remove_tree(root, ".."), -EINVAL);
	assert_int_equal(kist_remove_tree(root, "x/.."), -EINVAL);
	assert_int_equal(kist_remove_tree(root, "../outside"), -EXDEV);
	assert_true(kist_exists_at(dir, "outside"));
	touch(root, "file");
	assert_int_equal(kist_remove_tree(root, "file"), 0);
	assert_false(kist_exists_at(root, "file"));
}

static void test_remove_wide(void **state)
{
	int root = (int)(intptr_t)*state;

	assert_int_equal(mkdirat(root, "wide", 0755), 0);
	for (int i = 0; i < 1200; i++) {
		char name[64];

		snprintf(name, sizeof(name), "wide/%s%d", i % 10 ? "file-with-a-longer-name" : "d", i);
		if (i % 10)
			touch(root, name);
		else
			assert_int_equal(mkdirat(root, name, 0755), 0);
	}
	assert_int_equal(kist_remove_tree(root, "wide"), 0);
	assert_int_equal(count_entries(dir, "root"), 0);
}

/* Far deeper than the limit on open files and on the length of a path. */
static void test_remove_deep_with_few_fds(void **state)
{
	int root = (int)(intptr_t)*state, at = kist_reopen(root, O_RDONLY | O_DIRECTORY);
	struct rlimit before, few;

	assert_int_equal(mkdirat(at, "deep", 0755), 0);
	for (int i = 0; i < 1500; i++) {
		int next = openat(at, i ? "a-directory-with-a-name" : "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_true(next >= 0);
		close(at);
		at = next;
		assert_int_equal(mkdirat(at, "a-directory-with-a-name", 0755), 0);
		if (i % 7 == 0)
			touch(at, "file");
	}
	close(at);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 80;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(kist_remove_tree(root, "deep"), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(count_entries(dir, "root"), 0);
}

static int remove_with_mounts(void)
{
	char path[256];
	/* By path: an fd from before belongs to the mounts of the parent's namespace. */
	char *inside KIST_FREE = kist_asprintf("%s/root", top);
	int root = open(inside, O_PATH | O_DIRECTORY | O_CLOEXEC);
	static const char *const made[] = { "t", "t/sub", "t/sub/tmpfs", "t/bind", "t/empty", "t/gone", "u" };

	for (size_t i = 0; i < KIST_COUNT(made); i++) {
		if (mkdirat(root, made[i], 0755) < 0)
			return 1;
	}
	touch(root, "t/file");
	touch(root, "t/filemount");
	touch(root, "t/gone/file");
	touch(dir, "outside/keep");
	snprintf(path, sizeof(path), "%s/root/t/sub/tmpfs", top);
	if (mount("tmpfs", path, "tmpfs", 0, "size=64k") < 0)
		return 2;
	touch(root, "t/sub/tmpfs/keep");
	/* a bind of the same file system, which a check of st_dev would not see */
	snprintf(path, sizeof(path), "%s/root/t/bind", top);
	char *outside KIST_FREE = kist_asprintf("%s/outside", top);

	if (mount(outside, path, NULL, MS_BIND, NULL) < 0)
		return 3;
	snprintf(path, sizeof(path), "%s/root/t/filemount", top);
	outside = (free(outside), kist_asprintf("%s/outside/keep", top));
	if (mount(outside, path, NULL, MS_BIND, NULL) < 0)
		return 4;
	if (kist_remove_tree(root, "t") != -EBUSY)
		return 5;
	if (!kist_exists_at(root, "t/sub/tmpfs/keep") || !kist_exists_at(root, "t/bind/keep") ||
	    !kist_exists_at(root, "t/filemount") || !kist_exists_at(dir, "outside/keep"))
		return 6;
	/* What is beside the mounts is gone, what is above stays. */
	if (kist_exists_at(root, "t/file") || kist_exists_at(root, "t/gone") || kist_exists_at(root, "t/empty"))
		return 7;
	snprintf(path, sizeof(path), "%s/root/u", top);
	if (mount(NULL, path, "tmpfs", 0, NULL) < 0 || kist_remove_tree(root, "u") != -EBUSY)
		return 8;
	return 0;
}

static void test_remove_crosses_no_mount(void **state)
{
	int root = (int)(intptr_t)*state;

	if (geteuid() != 0) {
		print_message("needs root to mount\n");
		skip();
	}
	assert_int_equal(in_mount_namespace(remove_with_mounts), 0);
	/* The namespace is gone, and its mounts with it. */
	assert_int_equal(kist_remove_tree(root, "t"), 0);
	assert_int_equal(kist_remove_tree(root, "u"), 0);
	assert_true(kist_exists_at(dir, "outside/keep"));
}

static void test_remove_against_a_swapper(void **state)
{
	int root = (int)(intptr_t)*state;
	int64_t until = kist_now_boot() + KIST_NSEC_PER_SEC;
	pid_t pid;

	touch(dir, "outside/keep");
	assert_int_equal(mkdirat(dir, "outside/keepdir", 0755), 0);
	assert_int_equal(symlinkat("../../outside", root, "link"), 0);
	assert_int_equal(symlinkat("../outside", root, "link2"), 0);
	pid = child_fork();
	if (pid == 0) {
		for (;;) {
			mkdirat(root, "t/x", 0755);
			syscall(SYS_renameat2, root, "t/x", root, "link", RENAME_EXCHANGE);
			syscall(SYS_renameat2, root, "t", root, "link2", RENAME_EXCHANGE);
		}
	}
	while (kist_now_boot() < until) {
		mkdirat(root, "t", 0755);
		mkdirat(root, "t/x", 0755);
		mkdirat(root, "t/x/y", 0755);
		/* The name may be lost to the tree that was removed. */
		if (symlinkat("../../outside", root, "link") < 0)
			assert_int_equal(errno, EEXIST);
		kist_remove_tree(root, "t");
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(kist_exists_at(dir, "outside/keep"));
	assert_true(kist_exists_at(dir, "outside/keepdir"));
}

/* Files that appear as fast as they are removed: the call ends all the same. */
static void test_remove_against_a_maker_ends(void **state)
{
	int root = (int)(intptr_t)*state;
	pid_t pid;

	assert_int_equal(mkdirat(root, "t", 0755), 0);
	pid = child_fork();
	if (pid == 0) {
		for (unsigned i = 0;; i++) {
			char name[32];
			int fd;

			snprintf(name, sizeof(name), "t/%u", i % 64);
			mkdirat(root, "t", 0755);
			fd = openat(root, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
			if (fd >= 0)
				close(fd);
		}
	}
	for (int i = 0; i < 200; i++) {
		int r = kist_remove_tree(root, "t");

		assert_true(r == 0 || r == -ENOTEMPTY);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, drop_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(test_mkdirs_gives_owner_and_exact_mode),
		WITH_ROOT(test_mkdirs_leaves_what_exists),
		WITH_ROOT(test_mkdirs_stays_in_root),
		WITH_ROOT(test_mkdirs_refuses),
		WITH_ROOT(test_mkdirs_against_a_swapper),
		cmocka_unit_test(test_host_mkdirs),
		WITH_ROOT(test_remove_never_follows_links),
		WITH_ROOT(test_remove_names),
		WITH_ROOT(test_remove_wide),
		WITH_ROOT(test_remove_deep_with_few_fds),
		WITH_ROOT(test_remove_crosses_no_mount),
		WITH_ROOT(test_remove_against_a_swapper),
		WITH_ROOT(test_remove_against_a_maker_ends),
	};

	return cmocka_run_group_tests(tests, make_top, remove_top);
}
