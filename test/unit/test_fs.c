#include "test/unit/child.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/kist-test-fs-XXXXXX";
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

static void put_at(int at, const char *name, const char *text)
{
	assert_int_equal(kist_replace_file(at, name, text, strlen(text), 0600, 0), 0);
}

static void put(const char *name, const char *text)
{
	put_at(dir, name, text);
}

static void assert_content(int fd, const char *text)
{
	struct kist_str s KIST_STR = { 0 };

	assert_true(fd >= 0);
	assert_int_equal(kist_read_fd(fd, 1 << 20, &s), 0);
	assert_string_equal(kist_str_get(&s), text);
}

static size_t count_open_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* --- opening -------------------------------------------------------------------------------------------------------
 */

static int make_root(void **state)
{
	int root, etc KIST_CLOSE = -1;

	if (mkdirat(dir, "root", 0755) < 0 || mkdirat(dir, "root/etc", 0755) < 0 || mkdirat(dir, "root/sub", 0755) < 0)
		return -1;
	put("secret", "outside");
	etc = openat(dir, "root/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	put_at(etc, "passwd", "inside");
	root = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = (void *)(intptr_t)root;
	return symlinkat("/etc", root, "absolute") || symlinkat("../../../../../etc/passwd", root, "sub/up") ||
	       symlinkat("etc", root, "relative") || symlinkat("loop", root, "loop") ||
	       symlinkat("../secret", root, "out");
}

static int drop_root(void **state)
{
	close((int)(intptr_t)*state);
	return kist_remove_tree(dir, "root");
}

static void test_links_resolve_in_root(void **state)
{
	static const char *const paths[] = { "etc/passwd",     "/etc/passwd",      "absolute/passwd",
		                             "sub/up",         "relative/passwd",  "../../etc/passwd",
		                             "/../etc/passwd", "sub/../etc/passwd" };
	int root = (int)(intptr_t)*state;

	for (size_t i = 0; i < KIST_COUNT(paths); i++) {
		int fd KIST_CLOSE = kist_open_in_root(root, paths[i], O_RDONLY, 0);

		assert_content(fd, "inside");
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	assert_int_equal(kist_open_in_root(root, "out", O_RDONLY, 0), -ENOENT);
	assert_int_equal(kist_open_in_root(root, "loop", O_RDONLY, 0), -ELOOP);
	assert_int_equal(kist_open_in_root(root, "../secret", O_RDONLY, 0), -ENOENT);
}

static void test_beneath_refuses_to_leave(void **state)
{
	static const char *const out[] = { "/etc/passwd", "absolute/passwd", "sub/up", "..", "../secret",
		                           "out",         "etc/../../secret" };
	int root = (int)(intptr_t)*state, fd KIST_CLOSE = kist_open_beneath(root, "relative/passwd", O_RDONLY, 0);

	assert_content(fd, "inside");
	for (size_t i = 0; i < KIST_COUNT(out); i++)
		assert_int_equal(kist_open_beneath(root, out[i], O_RDONLY, 0), -EXDEV);
}

static void test_magic_links_are_refused(void **state)
{
	int slash KIST_CLOSE = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int proc KIST_CLOSE = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(kist_open_in_root(slash, "proc/self/root/etc", O_PATH, 0), -ELOOP);
	assert_int_equal(kist_open_in_root(slash, "proc/self/exe", O_RDONLY, 0), -ELOOP);
	assert_int_equal(kist_open_beneath(proc, "self/cwd", O_PATH, 0), -ELOOP);
}

static void test_create_in_root(void **state)
{
	int root = (int)(intptr_t)*state;
	int fd KIST_CLOSE = kist_open_in_root(root, "absolute/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstatat(root, "etc/new", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_nofollow_refuses_links_in_every_mode(void **state)
{
	static const int modes[] = { O_RDONLY, O_PATH, O_RDONLY | O_DIRECTORY, O_PATH | O_DIRECTORY };
	static const char *const links[] = { "relative", "relative/", "relative//", "absolute/",
		                             "loop",     "loop/",     "sub/up" };
	int root = (int)(intptr_t)*state;

	for (size_t i = 0; i < KIST_COUNT(modes); i++) {
		int fd KIST_CLOSE = kist_open_in_root_nofollow(root, "/etc/", modes[i], 0);
		int slash KIST_CLOSE = kist_open_in_root_nofollow(root, "/", modes[i], 0);

		assert_true(fd >= 0);
		assert_true(slash >= 0);
		for (size_t j = 0; j < KIST_COUNT(links); j++)
			assert_int_equal(kist_open_in_root_nofollow(root, links[j], modes[i], 0), -ELOOP);
	}
	{
		/* only the last one */
		int fd KIST_CLOSE = kist_open_in_root_nofollow(root, "absolute/passwd", O_RDONLY, 0);

		assert_content(fd, "inside");
	}
	assert_int_equal(kist_open_in_root_nofollow(root, "etc/passwd/", O_RDONLY, 0), -ENOTDIR);
	assert_int_equal(kist_open_in_root_nofollow(root, "etc/passwd", O_RDONLY | O_DIRECTORY, 0), -ENOTDIR);
}

static void test_reopen(void **state)
{
	int root = (int)(intptr_t)*state;
	int path KIST_CLOSE = kist_open_in_root(root, "etc/passwd", O_PATH, 0);
	int fd KIST_CLOSE = kist_reopen(path, O_RDONLY);
	int etc KIST_CLOSE = kist_open_in_root(root, "etc", O_PATH, 0);
	int list KIST_CLOSE = kist_reopen(etc, O_RDONLY | O_DIRECTORY);
	char byte;

	assert_int_equal(read(path, &byte, 1), -1);
	assert_content(fd, "inside");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(list >= 0);
	assert_int_equal(kist_reopen(path, O_RDONLY | O_DIRECTORY), -ENOTDIR);
}

static void test_same_mount_directory(void **state)
{
	int root = (int)(intptr_t)*state, slash KIST_CLOSE = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd KIST_CLOSE = kist_open_dir_same_mount(root, "etc");

	assert_true(fd >= 0);
	assert_int_equal(kist_open_dir_same_mount(root, "relative"), -ENOTDIR);
	assert_int_equal(kist_open_dir_same_mount(root, ".."), -EXDEV);
	assert_int_equal(kist_open_dir_same_mount(slash, "proc"), -EXDEV);
}

/* --- reading and writing -------------------------------------------------------------------------------------------
 */

static void test_read_at_the_limit(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 8192, 100000 };
	char *data KIST_FREE = kist_alloc(100000);

	(void)state;
	memset(data, 'd', 100000);
	for (size_t i = 0; i < KIST_COUNT(sizes); i++) {
		struct kist_str s KIST_STR = { 0 };

		kist_str_add(&s, "before");
		assert_int_equal(kist_replace_file(dir, "f", data, sizes[i], 0600, 0), 0);
		if (sizes[i]) {
			assert_int_equal(kist_read_file(dir, "f", sizes[i] - 1, &s), -EFBIG);
			assert_string_equal(s.data, "before");
		}
		assert_int_equal(kist_read_file(dir, "f", sizes[i], &s), 0);
		assert_int_equal(s.len, sizes[i]);
		assert_int_equal(strlen(s.data), sizes[i]);
	}
	assert_int_equal(unlinkat(dir, "f", 0), 0);
}

static void test_read_failures_leave_the_buffer(void **state)
{
	struct kist_str s KIST_STR = { 0 };

	(void)state;
	kist_str_add(&s, "before");
	assert_int_equal(kist_read_file(dir, "none", 10, &s), -ENOENT);
	assert_int_equal(kist_read_file(AT_FDCWD, top, 10, &s), -EISDIR);
	assert_string_equal(s.data, "before");
	assert_int_equal(kist_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &s), 0);
	assert_non_null(strstr(s.data, " /proc "));
}

static void test_write_kernel_makes_and_cuts_nothing(void **state)
{
	struct kist_str s KIST_STR = { 0 };

	(void)state;
	assert_int_equal(kist_write_kernel(dir, "new", "x"), -ENOENT);
	assert_false(kist_exists_at(dir, "new"));
	put("f", "12345");
	assert_int_equal(kist_write_kernel(dir, "f", "ab"), 0);
	assert_int_equal(kist_read_file(dir, "f", 100, &s), 0);
	assert_string_equal(s.data, "ab345");
	assert_int_equal(kist_write_kernel(AT_FDCWD, "/proc/self/oom_score_adj", "junk"), -EINVAL);
	assert_int_equal(unlinkat(dir, "f", 0), 0);
}

static void test_write_all_to_a_slow_reader(void **state)
{
	size_t size = 1 << 20, got = 0;
	char *data KIST_FREE = kist_alloc(size);
	int fds[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = child_fork();
	if (pid == 0) {
		close(fds[0]);
		_exit(kist_write_all(fds[1], data, size) == 0 ? 0 : 1);
	}
	close(fds[1]);
	for (ssize_t n; (n = read(fds[0], data, 777)) > 0;)
		got += (size_t)n;
	close(fds[0]);
	assert_int_equal(got, size);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(kist_write_all(-1, "x", 1), -EBADF);
}

/* --- replacing -----------------------------------------------------------------------------------------------------
 */

static size_t count_tmp(void)
{
	DIR *entries = opendir(top);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(entries);
	while ((e = readdir(entries)))
		n += kist_has_prefix(e->d_name, KIST_TMP_PREFIX);
	closedir(entries);
	return n;
}

static void test_replace_sets_content_and_mode(void **state)
{
	static const mode_t modes[] = { 0600, 0400, 0644, 0640, 0666, 0700, 0755 };
	static const mode_t masks[] = { 0, 022, 077 };
	struct stat st;

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(modes); i++) {
		for (size_t j = 0; j < KIST_COUNT(masks); j++) {
			struct kist_str s KIST_STR = { 0 };

			umask(masks[j]);
			assert_int_equal(kist_replace_file(dir, "f", "new", 3, modes[i], j ? KIST_REPLACE_SYNC : 0), 0);
			umask(022);
			assert_int_equal(fstatat(dir, "f", &st, AT_SYMLINK_NOFOLLOW), 0);
			assert_int_equal(st.st_mode & 07777, modes[i]);
			assert_int_equal(kist_read_file(dir, "f", 10, &s), 0);
			assert_string_equal(s.data, "new");
		}
	}
	assert_int_equal(count_tmp(), 0);
	assert_int_equal(unlinkat(dir, "f", 0), 0);
}

static void test_replace_does_not_write_through_a_link(void **state)
{
	struct stat st;

	(void)state;
	put("victim", "safe");
	assert_int_equal(symlinkat("victim", dir, "f"), 0);
	put("f", "new");
	assert_int_equal(fstatat(dir, "f", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));
	{
		int fd KIST_CLOSE = openat(dir, "victim", O_RDONLY | O_CLOEXEC);

		assert_content(fd, "safe");
	}
	assert_int_equal(unlinkat(dir, "f", 0), 0);
	assert_int_equal(unlinkat(dir, "victim", 0), 0);
}

static void test_failed_replace_leaves_nothing(void **state)
{
	char longest[NAME_MAX + 1], longer[NAME_MAX + 2];

	(void)state;
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_int_equal(kist_replace_file(dir, "d", "x", 1, 0600, 0), -EISDIR);
	assert_int_equal(unlinkat(dir, "d", AT_REMOVEDIR), 0);
	memset(longest, 'n', NAME_MAX);
	longest[NAME_MAX] = '\0';
	memset(longer, 'n', NAME_MAX + 1);
	longer[NAME_MAX + 1] = '\0';
	assert_int_equal(kist_replace_file(dir, longest, "x", 1, 0600, 0), 0);
	assert_int_equal(unlinkat(dir, longest, 0), 0);
	assert_int_equal(kist_replace_file(dir, longer, "x", 1, 0600, 0), -ENAMETOOLONG);
	assert_int_equal(kist_replace_file(dir, "f", (void *)(uintptr_t)8, 1, 0600, 0), -EFAULT);
	assert_false(kist_exists_at(dir, "f"));
	assert_int_equal(kist_replace_file(dir, "a/f", "x", 1, 0600, 0), -EINVAL);
	assert_int_equal(kist_replace_file(-1, "f", "x", 1, 0600, 0), -EBADF);
	assert_int_equal(count_tmp(), 0);
}

/* A writer killed at any moment: the name always holds one of the two contents, whole. */
static void test_killed_writer_leaves_old_or_new(void **state)
{
	size_t size = 64 * 1024;
	char *a KIST_FREE = kist_alloc(size), *b KIST_FREE = kist_alloc(size);

	(void)state;
	memset(a, 'a', size);
	memset(b, 'b', size);
	assert_int_equal(kist_replace_file(dir, "f", a, size, 0600, 0), 0);
	for (int i = 0; i < 40; i++) {
		struct kist_str s KIST_STR = { 0 };
		struct timespec wait = { .tv_nsec = 1000 * (i * 37 % 400) };
		pid_t pid = child_fork();

		if (pid == 0) {
			for (;;) {
				kist_replace_file(dir, "f", b, size, 0600, 0);
				kist_replace_file(dir, "f", a, size, 0600, 0);
			}
		}
		nanosleep(&wait, NULL);
		assert_int_equal(kist_read_file(dir, "f", size, &s), 0);
		assert_int_equal(s.len, size);
		assert_true(memcmp(s.data, a, size) == 0 || memcmp(s.data, b, size) == 0);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		kist_str_clear(&s);
		assert_int_equal(kist_read_file(dir, "f", size, &s), 0);
		assert_int_equal(s.len, size);
		assert_true(memcmp(s.data, a, size) == 0 || memcmp(s.data, b, size) == 0);
	}
}

/* --- checksums -----------------------------------------------------------------------------------------------------
 */

static void test_sum_round_trip(void **state)
{
	static const char *const bodies[] = { "", "a=b\n", "no newline", "#sum=00000000\n", "x\n#sum=12345678\n" };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(bodies); i++) {
		struct kist_str s KIST_STR = { 0 };

		kist_str_add(&s, bodies[i]);
		kist_sum_append(&s);
		assert_int_equal(s.len, strlen(bodies[i]) + 14);
		assert_int_equal(kist_sum_check(&s), 0);
		assert_string_equal(s.data, bodies[i]);
	}
}

/* CRC-32 of "123456789" is cbf43926 in every description of it. */
static void test_sum_is_crc32(void **state)
{
	struct kist_str s KIST_STR = { 0 };

	(void)state;
	kist_str_add(&s, "123456789");
	kist_sum_append(&s);
	assert_string_equal(s.data, "123456789#sum=cbf43926\n");
}

static void test_sum_finds_every_cut_and_every_flip(void **state)
{
	struct kist_str whole KIST_STR = { 0 };

	(void)state;
	kist_str_add(&whole, "name=web\nstate=running\npid=4711\n");
	kist_sum_append(&whole);
	for (size_t cut = 0; cut < whole.len; cut++) {
		struct kist_str torn KIST_STR = { 0 }, zeros KIST_STR = { 0 };

		kist_str_addn(&torn, whole.data, cut);
		assert_int_equal(kist_sum_check(&torn), -EBADMSG);
		assert_int_equal(torn.len, cut);
		/* A file system may have grown the file before it wrote the data. */
		kist_str_addn(&zeros, whole.data, cut);
		while (zeros.len < whole.len)
			kist_str_addc(&zeros, '\0');
		assert_int_equal(kist_sum_check(&zeros), -EBADMSG);
	}
	for (size_t bit = 0; bit < whole.len * 8; bit++) {
		struct kist_str bad KIST_STR = { 0 };

		kist_str_addn(&bad, whole.data, whole.len);
		bad.data[bit / 8] = (char)(bad.data[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(kist_sum_check(&bad), -EBADMSG);
	}
	kist_str_addc(&whole, '\n');
	assert_int_equal(kist_sum_check(&whole), -EBADMSG);
}

/* --- locks ---------------------------------------------------------------------------------------------------------
 */

static void test_lock_excludes(void **state)
{
	int a KIST_CLOSE = kist_lock(dir, "lock", true, false), shared KIST_CLOSE = -1, too KIST_CLOSE = -1;
	struct stat st;

	(void)state;
	assert_true(a >= 0);
	assert_true(fcntl(a, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(a, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(kist_lock(dir, "lock", true, true), -EWOULDBLOCK);
	assert_int_equal(kist_lock(dir, "lock", false, true), -EWOULDBLOCK);
	kist_close_fd(&a);
	shared = kist_lock(dir, "lock", false, true);
	too = kist_lock(dir, "lock", false, true);
	assert_true(shared >= 0 && too >= 0);
	assert_int_equal(kist_lock(dir, "lock", true, true), -EWOULDBLOCK);
}

static void test_lock_dies_with_its_holder(void **state)
{
	int fds[2], fd KIST_CLOSE = -1;
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = child_fork();
	if (pid == 0) {
		if (kist_lock(dir, "lock", true, false) < 0 || write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(fds[0], &byte, 1), 1);
	assert_int_equal(kist_lock(dir, "lock", true, true), -EWOULDBLOCK);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fd = kist_lock(dir, "lock", true, true);
	assert_true(fd >= 0);
	close(fds[0]);
	close(fds[1]);
}

static void test_lock_does_not_follow_a_link(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("elsewhere", dir, "link"), 0);
	assert_int_equal(kist_lock(dir, "link", true, true), -ELOOP);
	assert_false(kist_exists_at(dir, "elsewhere"));
	assert_int_equal(unlinkat(dir, "link", 0), 0);
}

/* Whether /proc/locks shows that the process waits for a lock. */
static bool waits_for_lock(pid_t pid)
{
	struct kist_str s KIST_STR = { 0 };
	char pattern[64];

	if (kist_read_file(AT_FDCWD, "/proc/locks", 1 << 20, &s) < 0)
		return false;
	snprintf(pattern, sizeof(pattern), "-> FLOCK  ADVISORY  WRITE %d ", pid);
	return strstr(kist_str_get(&s), pattern) != NULL;
}

/* The holder removes the object, and the lock file with it, while another waits. He must not be left with a lock on a
 * file that has no name, which anyone could make and lock a second time. */
static void test_lock_under_unlink(void **state)
{
	int held = kist_lock(dir, "lock", true, false), status;
	struct timespec tick = { .tv_nsec = 1000000 };
	pid_t pid = child_fork();

	(void)state;
	if (pid == 0) {
		struct stat mine, named;
		int fd;

		close(held);
		fd = kist_lock(dir, "lock", true, false);
		if (fd < 0 || fstat(fd, &mine) < 0 || fstatat(dir, "lock", &named, 0) < 0)
			_exit(1);
		_exit(mine.st_ino == named.st_ino && kist_lock(dir, "lock", true, true) == -EWOULDBLOCK ? 0 : 2);
	}
	for (int i = 0; i < 5000 && !waits_for_lock(pid); i++)
		nanosleep(&tick, NULL);
	assert_true(waits_for_lock(pid));
	assert_int_equal(unlinkat(dir, "lock", 0), 0);
	close(held);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(kist_exists_at(dir, "lock"));
}

/* Workers that lock, check that they are alone, remove the lock file and release. */
static void test_lock_contest_with_unlink(void **state)
{
	pid_t pids[4];
	int status;

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(pids); i++) {
		pids[i] = child_fork();
		if (pids[i] != 0)
			continue;
		for (int n = 0; n < 300; n++) {
			int fd = kist_lock(dir, "contest", true, false);
			int alone = openat(dir, "alone", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

			if (fd < 0 || alone < 0)
				_exit(1);
			close(alone);
			if (unlinkat(dir, "alone", 0) < 0 || unlinkat(dir, "contest", 0) < 0)
				_exit(2);
			close(fd);
		}
		_exit(0);
	}
	for (size_t i = 0; i < KIST_COUNT(pids); i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

/* --- the rest ------------------------------------------------------------------------------------------------------
 */

static void test_exists_sees_dangling_links(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("nowhere", dir, "dangling"), 0);
	assert_true(kist_exists_at(dir, "dangling"));
	assert_false(kist_exists_at(dir, "nowhere"));
	assert_int_equal(unlinkat(dir, "dangling", 0), 0);
}

static void test_fs_magic(void **state)
{
	int proc KIST_CLOSE = open("/proc", O_PATH | O_CLOEXEC);

	(void)state;
	assert_true(kist_is_fs(proc, PROC_SUPER_MAGIC));
	assert_false(kist_is_fs(dir, PROC_SUPER_MAGIC));
	assert_false(kist_is_fs(-1, PROC_SUPER_MAGIC));
	assert_int_equal(kist_sync_dir(dir), 0);
	assert_int_equal(kist_sync_dir(-1), -EBADF);
}

static void test_random_hex(void **state)
{
	static const size_t lengths[] = { 0, 1, 2, 63, 64, 127, 128, 129, 300 };
	char a[301], b[301];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(lengths); i++) {
		kist_random_hex(a, lengths[i]);
		kist_random_hex(b, lengths[i]);
		assert_int_equal(strlen(a), lengths[i]);
		assert_int_equal(strspn(a, "0123456789abcdef"), lengths[i]);
		if (lengths[i] > 60)
			assert_string_not_equal(a, b);
	}
}

static void test_fds_travel(void **state)
{
	int socks[2], pipes[2], got[4] = { -1, -1, -1, -1 };
	size_t n = KIST_COUNT(got);
	char text[16];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, socks), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(kist_send_fds(socks[0], "hello", 5, pipes, 2), 0);
	assert_int_equal(kist_recv_fds(socks[1], text, sizeof(text), got, &n), 5);
	assert_int_equal(n, 2);
	assert_memory_equal(text, "hello", 5);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(pipes[0], text, 1), 1);
	for (int i = 0; i < 2; i++) {
		close(got[i]);
		close(pipes[i]);
	}
	/* none, and the end */
	n = KIST_COUNT(got);
	assert_int_equal(kist_send_fds(socks[0], "z", 1, NULL, 0), 0);
	assert_int_equal(kist_recv_fds(socks[1], text, sizeof(text), got, &n), 1);
	assert_int_equal(n, 0);
	close(socks[0]);
	assert_int_equal(kist_recv_fds(socks[1], text, sizeof(text), NULL, NULL), 0);
	assert_int_equal(kist_send_fds(socks[1], "z", 1, NULL, 0), -EPIPE);
	close(socks[1]);
}

static void test_too_many_fds_leak_nothing(void **state)
{
	int socks[2], many[10], got[4];
	size_t n = KIST_COUNT(got), before;
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socks), 0);
	for (size_t i = 0; i < KIST_COUNT(many); i++)
		many[i] = socks[0];
	before = count_open_fds();
	assert_int_equal(kist_send_fds(socks[0], "x", 1, many, KIST_COUNT(many)), 0);
	assert_int_equal(kist_recv_fds(socks[1], &byte, 1, got, &n), -EMSGSIZE);
	assert_int_equal(count_open_fds(), before);
	assert_int_equal(kist_send_fds(socks[0], "x", 1, many, 1), 0);
	assert_int_equal(kist_recv_fds(socks[1], &byte, 1, NULL, NULL), -EMSGSIZE);
	assert_int_equal(count_open_fds(), before);
	assert_int_equal(kist_send_fds(socks[0], "xyz", 3, NULL, 0), 0);
	assert_int_equal(kist_recv_fds(socks[1], &byte, 1, NULL, NULL), -EMSGSIZE);
	assert_int_equal(kist_send_fds(socks[0], "x", 1, many, 254), -EINVAL);
	close(socks[0]);
	close(socks[1]);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, drop_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(test_links_resolve_in_root),
		WITH_ROOT(test_beneath_refuses_to_leave),
		WITH_ROOT(test_create_in_root),
		WITH_ROOT(test_nofollow_refuses_links_in_every_mode),
		WITH_ROOT(test_reopen),
		WITH_ROOT(test_same_mount_directory),
		cmocka_unit_test(test_magic_links_are_refused),
		cmocka_unit_test(test_read_at_the_limit),
		cmocka_unit_test(test_read_failures_leave_the_buffer),
		cmocka_unit_test(test_write_kernel_makes_and_cuts_nothing),
		cmocka_unit_test(test_write_all_to_a_slow_reader),
		cmocka_unit_test(test_replace_sets_content_and_mode),
		cmocka_unit_test(test_replace_does_not_write_through_a_link),
		cmocka_unit_test(test_failed_replace_leaves_nothing),
		cmocka_unit_test(test_killed_writer_leaves_old_or_new),
		cmocka_unit_test(test_sum_round_trip),
		cmocka_unit_test(test_sum_is_crc32),
		cmocka_unit_test(test_sum_finds_every_cut_and_every_flip),
		cmocka_unit_test(test_lock_excludes),
		cmocka_unit_test(test_lock_dies_with_its_holder),
		cmocka_unit_test(test_lock_does_not_follow_a_link),
		cmocka_unit_test(test_lock_under_unlink),
		cmocka_unit_test(test_lock_contest_with_unlink),
		cmocka_unit_test(test_exists_sees_dangling_links),
		cmocka_unit_test(test_fs_magic),
		cmocka_unit_test(test_random_hex),
		cmocka_unit_test(test_fds_travel),
		cmocka_unit_test(test_too_many_fds_leak_nothing),
	};

	return cmocka_run_group_tests(tests, make_top, remove_top);
}
