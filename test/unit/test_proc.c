#include "test/unit/child.h"
#include "core/base/proc.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t start_sleeper(void)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	return pid;
}

/* --- identity ------------------------------------------------------------------------------------------------------
 */

static void test_stat_of_a_hostile_name(void **state)
{
	static const char *const names[] = { ") R 1 1 1", "a) Z 0 (b", "((((", "))))", "a\nb) S 1", " ", "" };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		struct kist_proc_stat st;

		assert_int_equal(prctl(PR_SET_NAME, names[i]), 0);
		assert_int_equal(kist_proc_stat(getpid(), &st), 0);
		assert_string_equal(st.comm, names[i]);
		assert_int_equal(st.state, 'R');
		assert_int_equal(st.ppid, getppid());
		assert_int_equal(st.pgrp, getpgrp());
		assert_int_equal(st.session, getsid(0));
		assert_int_equal(st.threads, 1);
		assert_true(st.start > 0 && st.vsize > 0 && st.rss_pages > 0);
	}
	prctl(PR_SET_NAME, "test_proc");
}

static void test_own_arguments_are_what_proc_shows(void **state)
{
	char shown[4096], *begin = NULL;
	size_t size = 0;
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(proc, "self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, shown, sizeof(shown));

	(void)state;
	/* Blanks and brackets of a name do not lead astray. */
	prctl(PR_SET_NAME, ") 1 (2) 3");
	assert_int_equal(kist_proc_own_arguments(proc, &begin, &size), 0);
	prctl(PR_SET_NAME, "test_proc");
	assert_true(n > 0 && size == (size_t)n);
	assert_memory_equal(begin, shown, size);
	close(fd);
	close(proc);
	assert_int_equal(kist_proc_own_arguments(AT_FDCWD, &begin, &size), -ESRCH);
}

static void test_identity_follows_the_process(void **state)
{
	pid_t pid = start_sleeper();
	struct kist_proc_id id = { .pid = 77, .start = 77 }, wrong;
	int pidfd KIST_CLOSE = -1;
	siginfo_t info;

	(void)state;
	assert_int_equal(kist_proc_identify(pid, &id), 0);
	assert_int_equal(id.pid, pid);
	assert_true(kist_proc_alive(&id));
	pidfd = kist_proc_open(&id);
	assert_true(pidfd >= 0);
	assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
	/* the same pid, another process */
	wrong = (struct kist_proc_id){ .pid = pid, .start = id.start - 1 };
	assert_false(kist_proc_alive(&wrong));
	assert_int_equal(kist_proc_open(&wrong), -ESRCH);
	wrong.start = 0;
	assert_true(kist_proc_alive(&wrong));

	assert_int_equal(kist_pidfd_signal(pidfd, 0), 0);
	assert_int_equal(kist_pidfd_signal(pidfd, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	/* a zombie now */
	assert_false(kist_proc_alive(&id));
	assert_int_equal(kist_proc_identify(pid, &wrong), -ESRCH);
	assert_int_equal(kist_proc_open(&id), -ESRCH);
	assert_int_equal(kist_wait_pid(pid), 128 + SIGKILL);
	/* and gone */
	assert_false(kist_proc_alive(&id));
	assert_int_equal(kist_proc_identify(pid, &wrong), -ESRCH);
	assert_int_equal(kist_proc_open(&id), -ESRCH);
	assert_int_equal(kist_pidfd_signal(pidfd, SIGKILL), -ESRCH);
}

static void *wait_for_signals(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static bool state_is(pid_t pid, char state)
{
	struct kist_proc_stat stat;

	return kist_proc_stat(pid, &stat) == 0 && stat.state == state;
}

static void test_a_process_lives_while_one_of_its_threads_does(void **state)
{
	struct kist_proc_id id;
	struct kist_proc_stat stat;
	int pidfd KIST_CLOSE = -1;
	pid_t pid = child_fork();

	(void)state;
	if (pid == 0) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, wait_for_signals, NULL) != 0)
			_exit(1);
		pthread_exit(NULL);
	}
	assert_int_equal(kist_proc_identify(pid, &id), 0);
	for (int i = 0; i < 10000 && !state_is(pid, 'Z'); i++)
		usleep(1000);
	assert_true(state_is(pid, 'Z'));
	assert_int_equal(kist_proc_stat(pid, &stat), 0);
	assert_true(stat.exiting);
	assert_int_equal(kist_proc_identify(pid, &id), 0);
	assert_true(kist_proc_alive(&id));
	pidfd = kist_proc_open(&id);
	assert_true(pidfd >= 0);
	assert_int_equal(kist_pidfd_signal(pidfd, SIGKILL), 0);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	assert_int_equal(poll(&ended, 1, 10000), 1);
	assert_false(kist_proc_alive(&id));
	assert_int_equal(kist_wait_pid(pid), 128 + SIGKILL);
}

static void test_no_process_has_such_a_pid(void **state)
{
	static const pid_t pids[] = { 0, -1, -4711, 0x7fffffff };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(pids); i++) {
		struct kist_proc_id id = { .pid = pids[i] }, out = { .pid = 5 };

		assert_int_equal(kist_proc_identify(pids[i], &out), -ESRCH);
		assert_int_equal(out.pid, 5);
		assert_false(kist_proc_alive(&id));
		assert_true(kist_proc_open(&id) == -ESRCH || kist_proc_open(&id) == -EINVAL);
	}
}

static void test_wait_gives_the_shell_code(void **state)
{
	static const int codes[] = { 0, 1, 7, 125, 255 };
	static const int signals[] = { SIGKILL, SIGTERM, SIGSEGV };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(codes); i++) {
		pid_t pid = child_fork();

		if (pid == 0)
			_exit(codes[i]);
		assert_int_equal(kist_wait_pid(pid), codes[i]);
	}
	for (size_t i = 0; i < KIST_COUNT(signals); i++) {
		pid_t pid = child_fork();

		if (pid == 0) {
			signal(signals[i], SIG_DFL);
			prctl(PR_SET_DUMPABLE, 0);
			raise(signals[i]);
			_exit(0);
		}
		assert_int_equal(kist_wait_pid(pid), 128 + signals[i]);
	}
	assert_int_equal(kist_wait_pid(getppid()), -ECHILD);
}

static void test_clone3_forks(void **state)
{
	int pidfd = -1;
	struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD };
	pid_t pid = kist_clone3(&args, sizeof(args));
	struct pollfd p;

	(void)state;
	if (pid == 0)
		_exit(9);
	assert_true(pid > 0 && pidfd >= 0);
	p = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(kist_wait_pid(pid), 9);
	close(pidfd);
	assert_int_equal(kist_clone3(&args, 1), -EINVAL);
}

static void test_boot_id(void **state)
{
	struct kist_str s KIST_STR = { 0 };
	char id[37], again[37];

	(void)state;
	assert_int_equal(strlen(kist_boot_id(id)), 36);
	assert_string_equal(kist_boot_id(again), id);
	assert_int_equal(kist_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &s), 0);
	assert_memory_equal(s.data, id, 36);
}

/* --- what a new program inherits -----------------------------------------------------------------------------------
 */

/* Runs in a child: opens fds up to 40, closes from 10 on, keeps one. */
static int close_and_look(int keep)
{
	for (int fd = 3; fd < 40; fd++)
		dup2(STDIN_FILENO, fd);
	kist_close_from(10, keep);
	for (int fd = 0; fd < 40; fd++) {
		bool open_now = fcntl(fd, F_GETFD) >= 0;

		if (open_now != (fd < 10 || fd == keep))
			return 1 + fd;
	}
	return 0;
}

static bool refuse_call(int number)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	return filter && seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0) == 0 && seccomp_load(filter) == 0;
}

static void test_close_from(void **state)
{
	static const int keeps[] = { -1, 5, 10, 11, 25, 39 };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(keeps); i++) {
		for (int old = 0; old < 2; old++) {
			pid_t pid = child_fork();

			if (pid == 0) {
				if (old && !refuse_call(SCMP_SYS(close_range)))
					_exit(99);
				_exit(close_and_look(keeps[i]));
			}
			assert_int_equal(kist_wait_pid(pid), 0);
		}
	}
}

/* The mask in hexadecimal on that line of /proc/self/status. */
static unsigned long long status_mask(const char *line)
{
	struct kist_str s KIST_STR = { 0 };
	const char *at;

	kist_read_file(AT_FDCWD, "/proc/self/status", 1 << 16, &s);
	at = strstr(kist_str_get(&s), line);
	return at ? strtoull(at + strlen(line), NULL, 16) : ~0ULL;
}

static void on_signal(int number)
{
	(void)number;
}

static void test_reset_signals(void **state)
{
	pid_t pid = child_fork();

	(void)state;
	if (pid == 0) {
		/* the kernel's struct: handler 1 is SIG_IGN, for the two signals that the C library hides as well */
		unsigned long ignore[8] = { 1 };
		sigset_t all;

		for (int i = 1; i < _NSIG; i++)
			syscall(SYS_rt_sigaction, i, ignore, NULL, _NSIG / 8);
		signal(SIGUSR1, on_signal);
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		if (status_mask("SigIgn:\t") == 0 || status_mask("SigBlk:\t") == 0 || status_mask("SigCgt:\t") == 0)
			_exit(1);
		kist_reset_signals();
		_exit(status_mask("SigIgn:\t") == 0 && status_mask("SigBlk:\t") == 0 && status_mask("SigCgt:\t") == 0
		              ? 0
		              : 2);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
}

/* --- the protected binary ------------------------------------------------------------------------------------------
 */

/* What the re-executed program does, by its first argument. fd 3 tells the parent that it runs, fd 4 holds it. */
static int protected_main(const char *what, char **argv, char **envp)
{
	struct kist_error err = { 0 };
	char byte;

	if (kist_streq(what, "again")) {
		/* A protected program protects itself once more, as a monitor does for an exec. */
		char *const args[] = { argv[0], (char *)"wait", NULL };

		kist_exec_self_protected(args, envp, &err);
		return 90;
	}
	if (!kist_streq(argv[0], "kist-name") || !kist_streq(getenv("KIST_TEST"), "kept"))
		return 91;
	if (write(3, "x", 1) != 1)
		return 92;
	return read(4, &byte, 1) == 0 ? 42 : 93;
}

struct protected
{
	pid_t pid;
	int hold;
	char exe[256];
};

/* Starts this program again, protected, and waits until it runs. */
static void start_protected(struct protected *p, const char *what, bool old_kernel)
{
	int ready[2], hold[2];
	char byte, link[64];
	ssize_t n;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	p->pid = child_fork();
	if (p->pid == 0) {
		char *const args[] = { (char *)"kist-name", (char *)(uintptr_t)what, NULL };
		char *const env[] = { (char *)"KIST_TEST=kept", NULL };
		struct kist_error err = { 0 };
		/* out of the way first */
		int a = fcntl(ready[1], F_DUPFD, 10), b = fcntl(hold[0], F_DUPFD, 10);

		dup2(a, 3);
		dup2(b, 4);
		kist_close_from(5, -1);
		if (old_kernel && !refuse_call(SCMP_SYS(open_tree)))
			_exit(80);
		kist_exec_self_protected(args, env, &err);
		fprintf(stderr, "%s\n", err.text);
		_exit(81);
	}
	close(ready[1]);
	close(hold[0]);
	p->hold = hold[1];
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	snprintf(link, sizeof(link), "/proc/%d/exe", p->pid);
	n = readlink(link, p->exe, sizeof(p->exe) - 1);
	assert_true(n > 0);
	p->exe[n] = '\0';
}

/* The attack of CVE-2019-5736: hold a path fd of the running binary, wait until it has ended and is no longer busy,
 * then write it. True when nothing could be changed. */
static bool withstands_attack(struct protected *p)
{
	char path[64];
	int target, fd, saved;
	bool safe;

	snprintf(path, sizeof(path), "/proc/%d/exe", p->pid);
	target = open(path, O_PATH | O_CLOEXEC);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	saved = errno;
	assert_true(target >= 0);
	assert_true(fd < 0 && (saved == EROFS || saved == ETXTBSY || saved == EPERM));
	close(p->hold);
	assert_int_equal(kist_wait_pid(p->pid), 42);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	fd = open(path, O_RDWR | O_CLOEXEC);
	saved = errno;
	if (fd < 0) {
		safe = saved == EROFS || saved == EPERM || saved == ETXTBSY;
	} else {
		/* A memory file opens, but its seals hold. */
		safe = write(fd, "x", 1) == -1 && errno == EPERM && ftruncate(fd, 0) == -1 && errno == EPERM;
		close(fd);
	}
	safe = safe && truncate(path, 0) == -1;
	close(target);
	return safe;
}

static void test_read_only_clone_cannot_be_written(void **state)
{
	struct protected p;

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root to clone a mount\n");
		skip();
	}
	start_protected(&p, "wait", false);
	assert_false(kist_has_prefix(p.exe, "/memfd:"));
	assert_true(withstands_attack(&p));
}

static void test_sealed_copy_cannot_be_written(void **state)
{
	struct protected p;

	(void)state;
	start_protected(&p, "wait", true);
	assert_true(kist_has_prefix(p.exe, "/memfd:kist"));
	assert_true(withstands_attack(&p));
}

/* From the clone or the copy itself, without a further copy. */
static void test_protecting_twice(void **state)
{
	struct protected p;

	(void)state;
	if (geteuid() == 0) {
		start_protected(&p, "again", false);
		assert_false(kist_has_prefix(p.exe, "/memfd:"));
		assert_true(withstands_attack(&p));
	}
	start_protected(&p, "again", true);
	assert_true(kist_has_prefix(p.exe, "/memfd:kist"));
	assert_true(withstands_attack(&p));
}

/* Without protection the attack works on this machine: what the tests above see is the protection. */
static void test_attack_works_without_protection(void **state)
{
	char name[] = "/tmp/kist-test-proc-XXXXXX", path[64], self[4096];
	int copy = mkstemp(name), target, fd, from, status;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct kist_str s KIST_STR = { 0 };
	pid_t pid;

	(void)state;
	assert_true(n > 0);
	self[n] = '\0';
	from = open("/bin/sleep", O_RDONLY | O_CLOEXEC);
	assert_int_equal(kist_read_fd(from, 64 << 20, &s), 0);
	close(from);
	assert_int_equal(kist_write_all(copy, s.data, s.len), 0);
	assert_int_equal(fchmod(copy, 0700), 0);
	close(copy);
	pid = child_fork();
	if (pid == 0) {
		execl(name, name, "60", NULL);
		_exit(127);
	}
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	for (int i = 0; i < 5000; i++) {
		n = readlink(path, self, sizeof(self) - 1);
		self[n > 0 ? n : 0] = '\0';
		if (kist_streq(self, name))
			break;
		usleep(1000);
	}
	target = open(path, O_PATH | O_CLOEXEC);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	close(target);
	unlink(name);
}

static void test_open_protected(void **state)
{
	struct kist_error err = { 0 };
	int fd KIST_CLOSE = kist_open_self_protected(&err), write_fd KIST_CLOSE = -1;
	struct stat mine, theirs;

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(fd, &theirs), 0);
	assert_int_equal(stat("/proc/self/exe", &mine), 0);
	assert_int_equal(mine.st_size, theirs.st_size);
	write_fd = kist_reopen(fd, O_WRONLY);
	assert_true(write_fd < 0 || write(write_fd, "x", 1) < 0);
}

int main(int argc, char **argv, char **envp)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat_of_a_hostile_name),
		cmocka_unit_test(test_own_arguments_are_what_proc_shows),
		cmocka_unit_test(test_identity_follows_the_process),
		cmocka_unit_test(test_a_process_lives_while_one_of_its_threads_does),
		cmocka_unit_test(test_no_process_has_such_a_pid),
		cmocka_unit_test(test_wait_gives_the_shell_code),
		cmocka_unit_test(test_clone3_forks),
		cmocka_unit_test(test_boot_id),
		cmocka_unit_test(test_close_from),
		cmocka_unit_test(test_reset_signals),
		cmocka_unit_test(test_read_only_clone_cannot_be_written),
		cmocka_unit_test(test_sealed_copy_cannot_be_written),
		cmocka_unit_test(test_protecting_twice),
		cmocka_unit_test(test_attack_works_without_protection),
		cmocka_unit_test(test_open_protected),
	};

	if (argc == 2)
		return protected_main(argv[1], argv, envp);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
