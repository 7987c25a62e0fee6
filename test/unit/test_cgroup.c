/* On the machine's own cgroup v2: groups, processes, freezing, killing, devices. Every test ends with no group left. */
#include "test/unit/child.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "core/base/base.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#define SET(v)                                                                                                         \
	{                                                                                                              \
		.set = true, .value = (int64_t)(v)                                                                     \
	}
#define TIMEOUT (10 * KIST_NSEC_PER_SEC)

struct real {
	struct kist_cgroup_root *root;
	char *top;     /* "/kist-test-PID": all groups are below */
	char *subtree; /* the root's cgroup.subtree_control before */
};

static char *read_text(int dir, const char *name)
{
	struct kist_str text = { 0 };

	if (kist_cgroup_read(dir, name, &text) < 0)
		kist_str_clear(&text);
	return kist_str_take(&text);
}

static char *below(const struct real *real, const char *name)
{
	return kist_asprintf("%s%s", real->top, name);
}

static int setup(void **state)
{
	struct real *real = kist_alloc(sizeof(*real));
	struct kist_error err = { 0 };

	real->top = kist_asprintf("/kist-test-%d", (int)getpid());
	*state = real;
	if (kist_cgroup_root_open(&real->root, &err) == 0) {
		int fd = kist_cgroup_create(real->root, real->top, NULL, 0, &err);

		if (fd >= 0) {
			close(fd);
			real->subtree = read_text(real->root->fd, "cgroup.subtree_control");
			return kist_cgroup_remove(real->root, real->top, &err);
		}
	}
	if (getenv("KIST_TEST_FULL"))
		return -1;
	print_message("skipped: %s\n", err.text);
	kist_cgroup_root_close(real->root);
	real->root = NULL;
	return 0;
}

static int teardown(void **state)
{
	struct real *real = *state;
	int r = 0;

	if (real->root) {
		KIST_STRV char **before = kist_cgroup_words(real->subtree);
		KIST_FREE char *now = read_text(real->root->fd, "cgroup.subtree_control");
		KIST_STRV char **enabled = kist_cgroup_words(now);

		/* Nothing may be left by the test itself; what a failed one left goes here. */
		if (kist_exists_at(real->root->fd, real->top + 1)) {
			(void)kist_cgroup_remove(real->root, real->top, NULL);
			r = -1;
		}
		for (size_t i = 0; enabled && enabled[i]; i++) {
			KIST_FREE char *off = kist_asprintf("-%s", enabled[i]);

			if (!kist_strv_has(before, enabled[i]))
				(void)kist_write_kernel(real->root->fd, "cgroup.subtree_control", off);
		}
	}
	kist_cgroup_root_close(real->root);
	free(real->top);
	free(real->subtree);
	free(real);
	return r;
}

#define NEED(real)                                                                                                     \
	do {                                                                                                           \
		if (!(real)->root)                                                                                     \
			skip();                                                                                        \
	} while (0)

/* The reason goes before cmocka's own line. */
#define SKIP_UNLESS(condition, reason)                                                                                 \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			print_message("skipped: %s\n", reason);                                                        \
			skip();                                                                                        \
		}                                                                                                      \
	} while (0)

static int create(const struct real *real, const char *name, const struct kist_spec_resources *resources)
{
	KIST_FREE char *path = below(real, name);
	struct kist_error err = { 0 };
	int fd = kist_cgroup_create(real->root, path, resources, 0, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
	return fd;
}

/* A process that starts inside the group and does nothing, or counts as fast as it can. */
static pid_t spawn(int cgroup_fd, volatile uint64_t *counter)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (__u64)cgroup_fd };
	pid_t pid = kist_clone3(&args, sizeof(args));

	assert_true(pid >= 0);
	if (pid == 0) {
		for (;;) {
			if (counter)
				++*counter;
			else
				pause();
		}
	}
	return pid;
}

static int reap(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 1000 + WEXITSTATUS(status);
}

static void a_group_lives_and_goes(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	pid_t *pids = NULL;

	NEED(real);
	KIST_FREE char *path = below(real, "/pod/a");
	int fd = create(real, "/pod/a", NULL);
	assert_false(kist_cgroup_populated(fd));
	pid_t pid = spawn(fd, NULL);
	assert_true(kist_cgroup_populated(fd));
	assert_int_equal(kist_cgroup_pids(fd, &pids, &err), 1);
	assert_int_equal(pids[0], pid);
	free(pids);

	/* Taken: neither made again nor touched. */
	assert_true(kist_cgroup_create(real->root, path, NULL, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	kist_error_clear(&err);
	assert_true(kist_cgroup_populated(fd));

	struct kist_cgroup_stats stats;
	assert_int_equal(kist_cgroup_stats(fd, &stats, &err), 0);
	assert_int_equal(stats.pids, 1);

	assert_int_equal(kist_cgroup_signal(fd, SIGTERM, &err), 1);
	assert_int_equal(reap(pid), SIGTERM);
	assert_int_equal(kist_cgroup_signal(fd, SIGTERM, &err), 0);

	kist_cgroup_prune(real->root, path, "/");
	assert_false(kist_exists_at(real->root->fd, real->top + 1));
	assert_true(kist_cgroup_stats(fd, &stats, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	kist_error_clear(&err);
	assert_int_equal(kist_cgroup_kill(fd, &err), 0);
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, path, &err), 0);
}

static void prune_stops_where_it_is_told(void **state)
{
	struct real *real = *state;

	NEED(real);
	KIST_FREE char *path = below(real, "/x/y/z");
	KIST_FREE char *stop = below(real, "/x");
	close(create(real, "/x/y/z", NULL));
	close(create(real, "/x/y/other", NULL));
	kist_cgroup_prune(real->root, path, stop);
	KIST_FREE char *y = below(real, "/x/y");
	assert_true(kist_exists_at(real->root->fd, y + 1)); /* not empty */
	KIST_FREE char *other = below(real, "/x/y/other");
	kist_cgroup_prune(real->root, other, stop);
	assert_false(kist_exists_at(real->root->fd, y + 1));
	assert_true(kist_exists_at(real->root->fd, stop + 1));
	kist_cgroup_prune(real->root, stop, "/");
	assert_false(kist_exists_at(real->root->fd, real->top + 1));
}

static void made_parents_go_when_they_are_empty(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };

	NEED(real);
	KIST_FREE char *path = below(real, "/x/y/z");
	KIST_FREE char *y = below(real, "/x/y");
	KIST_FREE char *x = below(real, "/x");
	close(create(real, "/x/y/z", NULL));
	kist_cgroup_prune_made(real->root, y);
	assert_true(kist_exists_at(real->root->fd, path + 1));
	/* One that was asked for by name is not a parent. */
	kist_cgroup_prune_made(real->root, path);
	assert_true(kist_exists_at(real->root->fd, path + 1));
	assert_int_equal(kist_cgroup_remove(real->root, path, &err), 0);
	/* Nor is one that somebody else made. */
	assert_int_equal(mkdirat(real->root->fd, path + 1, 0755), 0);
	kist_cgroup_prune_made(real->root, path);
	assert_true(kist_exists_at(real->root->fd, path + 1));
	assert_int_equal(kist_cgroup_remove(real->root, path, &err), 0);
	/* With a leaf that processes were moved to, and one below that was gone before. */
	KIST_FREE char *leaf = below(real, "/x/y/" KIST_CGROUP_INTERNAL_LEAF);
	assert_int_equal(mkdirat(real->root->fd, leaf + 1, 0755), 0);
	kist_cgroup_prune_made(real->root, path);
	assert_false(kist_exists_at(real->root->fd, x + 1));
	assert_false(kist_exists_at(real->root->fd, real->top + 1));
	kist_cgroup_prune_made(real->root, "no path");
}

static void attaching_moves_a_process(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };

	NEED(real);
	int a = create(real, "/a", NULL), b = create(real, "/b", NULL);
	pid_t pid = spawn(a, NULL);
	assert_int_equal(kist_cgroup_attach(b, pid, &err), 0);
	assert_false(kist_cgroup_populated(a));
	assert_true(kist_cgroup_populated(b));
	assert_int_equal(kist_cgroup_kill(b, &err), 0);
	assert_int_equal(reap(pid), SIGKILL);
	assert_int_equal(kist_cgroup_attach(b, pid, &err), -ESRCH);
	close(a);
	close(b);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, NULL), 0);
}

static size_t processes_in(int fd)
{
	KIST_FREE char *text = read_text(fd, "cgroup.procs");
	KIST_STRV char **words = kist_cgroup_words(text);
	size_t n = 0;

	while (words && words[n])
		n++;
	return n;
}

static bool moves(volatile uint64_t *counter)
{
	uint64_t before = *counter;
	int64_t deadline = kist_now_boot() + TIMEOUT;

	while (kist_now_boot() < deadline) {
		if (*counter != before)
			return true;
		kist_sleep_ns(KIST_NSEC_PER_MSEC);
	}
	return false;
}

static void freezing_stops_and_thawing_continues(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };

	NEED(real);
	volatile uint64_t *counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(counter != MAP_FAILED);
	int fd = create(real, "/a", NULL);
	pid_t pid = spawn(fd, counter);
	assert_true(moves(counter));
	assert_int_equal(kist_cgroup_is_frozen(fd), 0);
	assert_int_equal(kist_cgroup_freeze(fd, true, 5000, &err), 0);
	assert_int_equal(kist_cgroup_is_frozen(fd), 1);
	uint64_t stopped = *counter;
	kist_sleep_ns(20 * KIST_NSEC_PER_MSEC);
	assert_int_equal(*counter, stopped);
	assert_int_equal(kist_cgroup_freeze(fd, false, 5000, &err), 0);
	assert_int_equal(kist_cgroup_is_frozen(fd), 0);
	assert_true(moves(counter));

	/* A frozen group dies like any other. */
	assert_int_equal(kist_cgroup_freeze(fd, true, 5000, &err), 0);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, &err), 0);
	assert_int_equal(reap(pid), SIGKILL);
	close(fd);
	munmap((void *)counter, 4096);
}

static void an_empty_group_that_was_left_is_used_and_thawed(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };

	NEED(real);
	int fd = create(real, "/a", NULL);
	assert_int_equal(kist_cgroup_freeze(fd, true, 5000, &err), 0);
	close(fd);
	fd = create(real, "/a", NULL);
	assert_int_equal(kist_cgroup_is_frozen(fd), 0);
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, &err), 0);
}

static void removal_takes_sub_groups_and_their_processes(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	static const char *const names[] = { "/a", "/a/b", "/a/b/c", "/a/d" };
	pid_t pids[KIST_COUNT(names)], *list = NULL;

	NEED(real);
	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		int fd = -1;

		/* The upper ones are populated, so they must be made first. */
		fd = create(real, names[i], NULL);
		pids[i] = spawn(fd, NULL);
		close(fd);
	}
	KIST_FREE char *path = below(real, "/a");
	int fd = kist_cgroup_open(real->root, path, &err);
	assert_int_equal(kist_cgroup_pids(fd, &list, &err), KIST_COUNT(names));
	free(list);
	close(fd);
	/* The children stay zombies until the end: those do not hold a group. */
	assert_int_equal(kist_cgroup_remove(real->root, real->top, &err), 0);
	assert_false(kist_exists_at(real->root->fd, real->top + 1));
	for (size_t i = 0; i < KIST_COUNT(names); i++)
		assert_int_equal(reap(pids[i]), SIGKILL);
}

/* A tree of processes that never stops forking. */
static void removal_wins_against_forks(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };

	NEED(real);
	int fd = create(real, "/a", NULL);
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (__u64)fd };
	pid_t pid = kist_clone3(&args, sizeof(args));
	if (pid == 0) {
		signal(SIGCHLD, SIG_IGN);
		for (;;) {
			if (child_fork() == 0) {
				kist_sleep_ns(2 * KIST_NSEC_PER_MSEC);
				_exit(0);
			}
			kist_sleep_ns(KIST_NSEC_PER_MSEC / 4);
		}
	}
	size_t living = 0;
	int64_t deadline = kist_now_boot() + TIMEOUT;
	for (; living < 3 && kist_now_boot() < deadline; kist_sleep_ns(KIST_NSEC_PER_MSEC))
		living = processes_in(fd);
	assert_true(living >= 3);
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, &err), 0);
	assert_int_equal(reap(pid), SIGKILL);
}

/* --- parents that come and go ------------------------------------------------------------------------------------- */

static int churn(const struct real *real, int which)
{
	KIST_FREE char *path = kist_asprintf("%s/churn/%d", real->top, which);

	for (int i = 0; i < 300; i++) {
		int fd = kist_cgroup_create(real->root, path, NULL, 0, NULL);

		if (fd < 0)
			return 1;
		close(fd);
		kist_cgroup_prune(real->root, path, "/");
	}
	return 0;
}

static void creating_races_with_pruning(void **state)
{
	struct real *real = *state;
	pid_t pids[4];

	NEED(real);
	for (int i = 0; i < 4; i++) {
		pids[i] = child_fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			_exit(churn(real, i));
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(reap(pids[i]), 1000);
	assert_false(kist_exists_at(real->root->fd, real->top + 1));
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

/* Which of the devices a process in the group can open: bit 0 /dev/null for reading, bit 1 for writing, bit 2
 * /dev/zero. */
static int can_open(int cgroup_fd)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (__u64)cgroup_fd };
	pid_t pid = kist_clone3(&args, sizeof(args));

	assert_true(pid >= 0);
	if (pid == 0) {
		int result = 0;

		result |= open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 ? 1 : 0;
		result |= open("/dev/null", O_WRONLY | O_CLOEXEC) >= 0 ? 2 : 0;
		result |= open("/dev/zero", O_RDONLY | O_CLOEXEC) >= 0 ? 4 : 0;
		_exit(result);
	}
	return reap(pid) - 1000;
}

static void device_rules_hold_and_are_replaced(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	struct kist_spec_device_rule rules[] = {
		{ .allow = false },
		{ .allow = true, .type = (char *)"c", .major = SET(1), .minor = SET(3), .access = (char *)"r" },
		{ .allow = true, .type = (char *)"c", .major = SET(1), .minor = SET(3), .access = (char *)"w" },
	};
	struct kist_spec_device_rule all = { .allow = true };
	struct kist_spec_resources resources = { .devices = rules, .n_devices = 2 };

	NEED(real);
	int fd = create(real, "/a", &resources);
	assert_int_equal(can_open(fd), 1);
	resources.n_devices = 3;
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_int_equal(can_open(fd), 3);
	rules[2].minor.value = 5;
	rules[2].access = NULL;
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_int_equal(can_open(fd), 5);
	/* No rules given: as before. */
	assert_int_equal(kist_cgroup_update(fd, &(struct kist_spec_resources){ 0 }, &err), 0);
	assert_int_equal(can_open(fd), 5);
	resources = (struct kist_spec_resources){ .devices = &all, .n_devices = 1 };
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_int_equal(can_open(fd), 7);
	close(fd);

	/* The program of a group that was left does not bind the next user. */
	resources = (struct kist_spec_resources){ .devices = rules, .n_devices = 1 };
	fd = create(real, "/a", &resources);
	assert_int_equal(can_open(fd), 0);
	close(fd);
	fd = create(real, "/a", NULL);
	assert_int_equal(can_open(fd), 7);
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, &err), 0);
}

/* What the verifier says to every shape of program the assembler makes. */
static void the_kernel_takes_every_shape_of_program(void **state)
{
	struct real *real = *state;
	static const char *const types[] = { NULL, "b", "c" };
	static const char *const accesses[] = { NULL, "r", "wm" };

	NEED(real);
	int fd = create(real, "/a", NULL);
	for (size_t i = 0; i < 2 * 3 * 3 * 4; i++) {
		struct kist_error err = { 0 };
		struct kist_spec_device_rule rules[] = {
			{ .allow = true, .type = (char *)"c", .major = SET(1), .access = (char *)"r" },
			{ .allow = i % 2,
			  .type = (char *)types[i / 2 % 3],
			  .access = (char *)accesses[i / 6 % 3],
			  .major = { .set = i / 18 & 1, .value = 4095 },
			  .minor = { .set = i / 18 & 2, .value = 1048575 } },
		};

		for (size_t n = 1; n <= 2; n++) {
			if (kist_cgroup_device_apply(fd, rules + 2 - n, n, false, &err) < 0)
				fail_msg("%zu: %s", i, err.text);
		}
	}
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, NULL), 0);
}

static void a_failed_create_leaves_nothing(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	struct kist_spec_device_rule bad = { .allow = true, .type = (char *)"x" };
	struct kist_spec_resources resources = { .devices = &bad, .n_devices = 1 };

	NEED(real);
	KIST_FREE char *path = below(real, "/deep/er/a");
	assert_true(kist_cgroup_create(real->root, path, &resources, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	assert_false(kist_exists_at(real->root->fd, real->top + 1));
}

/* --- controllers -------------------------------------------------------------------------------------------------- */

static void a_limit_is_in_force_or_its_controller_is_named(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	struct kist_spec_memory memory = { .limit = SET(64 << 20) };
	struct kist_spec_resources resources = { .memory = &memory, .pids_limit = SET(77) };

	NEED(real);
	bool has_memory = kist_strv_has(kist_cgroup_root_controllers(real->root), "memory");
	bool has_pids = kist_strv_has(kist_cgroup_root_controllers(real->root), "pids");
	KIST_FREE char *path = below(real, "/pod/a");
	int fd = kist_cgroup_create(real->root, path, &resources, KIST_CGROUP_SOFT_PIDS, &err);
	if (has_memory) {
		struct kist_cgroup_stats stats;

		assert_true(fd >= 0);
		assert_int_equal(kist_cgroup_stats(fd, &stats, &err), 0);
		assert_int_equal(stats.memory_limit, 64 << 20);
		assert_true(!has_pids || stats.pids_limit == 77);
		close(fd);
		kist_cgroup_prune(real->root, path, "/");
	} else {
		assert_int_equal(err.kind, KIST_ERR_UNSUPPORTED);
		assert_non_null(strstr(err.text, "memory limit: the cgroup v2 hierarchy at "));
		assert_non_null(strstr(err.text, " has no 'memory' controller ("));
	}
	assert_false(kist_exists_at(real->root->fd, real->top + 1));
}

static bool has(const struct real *real, const char *controller)
{
	return kist_strv_has(kist_cgroup_root_controllers(real->root), controller);
}

static void assert_value(int fd, const char *file, const char *expected)
{
	KIST_FREE char *text = read_text(fd, file);

	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, expected);
}

static void cpu_limits_reach_the_kernel(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	struct kist_spec_cpu cpu = {
		.shares = SET(512), .quota = SET(50000), .period = SET(50000), .burst = SET(40000)
	};
	struct kist_spec_resources resources = { .cpu = &cpu };

	NEED(real);
	SKIP_UNLESS(has(real, "cpu"), "cgroup v2 has no cpu controller here");
	int fd = create(real, "/pod/a", &resources);
	assert_value(fd, "cpu.max", "50000 50000");
	assert_value(fd, "cpu.weight", "59");
	assert_value(fd, "cpu.max.burst", "40000");
	/* The quota falls below the burst in force: the kernel refuses it until the burst has fallen too. */
	cpu = (struct kist_spec_cpu){ .quota = SET(20000), .burst = SET(10000) };
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_value(fd, "cpu.max", "20000 50000");
	assert_value(fd, "cpu.max.burst", "10000");
	cpu = (struct kist_spec_cpu){ .period = SET(30000) };
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_value(fd, "cpu.max", "20000 30000");
	cpu = (struct kist_spec_cpu){ .quota = SET(-1) };
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_value(fd, "cpu.max", "max 30000");
	/* Below the kernel's least quota: its answer names limit, value and file. */
	cpu = (struct kist_spec_cpu){ .quota = SET(1) };
	assert_true(kist_cgroup_update(fd, &resources, &err) < 0);
	assert_string_equal(err.text, "CPU quota: write '1' to cpu.max: Invalid argument");
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, NULL), 0);
}

static void cpu_sets_and_io_reach_the_kernel(void **state)
{
	struct real *real = *state;
	struct kist_spec_cpu cpu = { .cpus = (char *)"0", .mems = (char *)"0" };
	struct kist_spec_blkio io = { .weight = SET(500) };

	NEED(real);
	SKIP_UNLESS(has(real, "cpuset") || has(real, "io"), "cgroup v2 has neither cpuset nor io here");
	if (has(real, "cpuset")) {
		int fd = create(real, "/pod/a", &(struct kist_spec_resources){ .cpu = &cpu });

		assert_value(fd, "cpuset.cpus", "0");
		assert_value(fd, "cpuset.mems", "0");
		close(fd);
	}
	if (has(real, "io")) {
		KIST_FREE char *path = below(real, "/pod/b");
		struct kist_spec_resources resources = { .block_io = &io };
		struct kist_error err = { 0 };
		int fd = kist_cgroup_create(real->root, path, &resources, 0, &err);

		/* Neither the BFQ scheduler nor io.cost may be there. */
		if (fd < 0)
			assert_non_null(
			        strstr(err.text, "block io weight: this kernel has no io.bfq.weight and no io.weight"));
		else if (faccessat(fd, "io.bfq.weight", F_OK, 0) == 0)
			assert_value(fd, "io.bfq.weight", "default 500");
		else
			assert_value(fd, "io.weight", "default 4950");
		kist_close_fd(&fd);
	}
	assert_int_equal(kist_cgroup_remove(real->root, real->top, NULL), 0);
}

static void an_oom_kill_is_told_and_counted(void **state)
{
	struct real *real = *state;
	struct kist_spec_memory memory = { .limit = SET(8 << 20), .swap = SET(8 << 20) };
	struct kist_spec_resources resources = { .memory = &memory };

	NEED(real);
	SKIP_UNLESS(has(real, "memory"), "cgroup v2 has no memory controller here");
	int fd = create(real, "/pod/a", &resources);
	int events = kist_cgroup_oom_fd(fd);
	char text[512];
	assert_true(events >= 0);
	assert_true(read(events, text, sizeof(text)) > 0);
	assert_int_equal(kist_cgroup_oom_kills(fd), 0);
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (__u64)fd };
	pid_t pid = kist_clone3(&args, sizeof(args));
	if (pid == 0) {
		volatile char *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (size_t i = 0; p != MAP_FAILED && i < 64 << 20; i += 4096)
			p[i] = 1;
		_exit(0);
	}
	struct pollfd p = { .fd = events, .events = POLLPRI };
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_true(p.revents & POLLPRI);
	assert_int_equal(reap(pid), SIGKILL);
	assert_int_equal(kist_cgroup_oom_kills(fd), 1);
	close(events);
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, NULL), 0);
}

/* Needs a controller that is not for threads: only with those may processes not stay in a parent. */
static bool domain_resources(const struct real *real, struct kist_spec_resources *resources)
{
	static struct kist_spec_hugepage page = { (char *)"2MB", 4 << 20 };
	static struct kist_spec_memory memory = { .reservation = SET(1 << 20) };

	if (kist_strv_has(kist_cgroup_root_controllers(real->root), "hugetlb"))
		*resources = (struct kist_spec_resources){ .hugepage_limits = &page, .n_hugepage_limits = 1 };
	else if (kist_strv_has(kist_cgroup_root_controllers(real->root), "memory"))
		*resources = (struct kist_spec_resources){ .memory = &memory };
	else
		return false;
	return true;
}

static void controllers_are_enabled_and_limits_written(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	struct kist_spec_resources resources;

	NEED(real);
	SKIP_UNLESS(domain_resources(real, &resources), "cgroup v2 has neither hugetlb nor memory here");
	int fd = create(real, "/pod/a", &resources);
	const char *file = resources.memory ? "memory.low" : "hugetlb.2MB.max";
	uint64_t value = 0;
	assert_int_equal(kist_cgroup_read_u64(fd, file, &value), 0);
	assert_int_equal(value, resources.memory ? 1 << 20 : 4 << 20);
	close(fd);
	/* update reaches a group whose parents enabled nothing yet. */
	fd = create(real, "/late/a", NULL);
	assert_int_equal(kist_cgroup_read_u64(fd, file, &value), -ENOENT);
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_int_equal(kist_cgroup_read_u64(fd, file, &value), 0);
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, &err), 0);
}

static void processes_of_our_parents_are_moved_to_a_leaf(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	struct kist_spec_resources resources;
	pid_t *pids = NULL;

	NEED(real);
	SKIP_UNLESS(domain_resources(real, &resources), "cgroup v2 has neither hugetlb nor memory here");
	close(create(real, "/pod/first", NULL));
	KIST_FREE char *pod = below(real, "/pod");
	KIST_FREE char *path = below(real, "/pod/a");
	KIST_FREE char *leaf = below(real, "/pod/" KIST_CGROUP_INTERNAL_LEAF);
	int parent = kist_cgroup_open(real->root, pod, &err);
	pid_t one = spawn(parent, NULL), two = spawn(parent, NULL);
	int fd = kist_cgroup_create(real->root, path, &resources, 0, &err);
	assert_string_equal(err.text, "");
	assert_true(fd >= 0);
	int internal = kist_cgroup_open(real->root, leaf, &err);
	assert_int_equal(kist_cgroup_pids(internal, &pids, &err), 2);
	assert_true((pids[0] == one && pids[1] == two) || (pids[0] == two && pids[1] == one));
	free(pids);
	close(fd);
	assert_int_equal(kist_cgroup_kill(parent, &err), 0);
	reap(one);
	reap(two);
	close(parent);
	close(internal);
	KIST_FREE char *first = below(real, "/pod/first");
	assert_int_equal(kist_cgroup_remove(real->root, first, &err), 0);
	kist_cgroup_prune(real->root, path, "/");
	assert_false(kist_exists_at(real->root->fd, real->top + 1));
}

static void processes_of_foreign_parents_stay(void **state)
{
	struct real *real = *state;
	struct kist_error err = { 0 };
	struct kist_spec_resources resources;

	NEED(real);
	SKIP_UNLESS(domain_resources(real, &resources), "cgroup v2 has neither hugetlb nor memory here");
	assert_int_equal(mkdirat(real->root->fd, real->top + 1, 0755), 0);
	int parent = kist_cgroup_open(real->root, real->top, &err);
	pid_t pid = spawn(parent, NULL);
	KIST_FREE char *path = below(real, "/a");
	assert_true(kist_cgroup_create(real->root, path, &resources, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	assert_non_null(strstr(err.text, "the group holds processes and kist did not make it"));
	assert_false(kist_exists_at(real->root->fd, path + 1));
	assert_int_equal(kist_cgroup_kill(parent, NULL), 0);
	assert_int_equal(reap(pid), SIGKILL);
	close(parent);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, NULL), 0);
}

/* --- finding the hierarchy ---------------------------------------------------------------------------------------- */

static void a_known_path_is_opened_directly(void **state)
{
	struct real *real = *state;
	struct kist_cgroup_root *root = NULL;
	struct kist_error err = { 0 };

	NEED(real);
	assert_int_equal(kist_cgroup_root_open_at(kist_cgroup_root_path(real->root), &root, &err), 0);
	assert_string_equal(kist_cgroup_root_path(root), kist_cgroup_root_path(real->root));
	kist_cgroup_root_close(root);
	root = NULL;
	assert_true(kist_cgroup_root_open_at("/tmp", &root, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	kist_error_clear(&err);
	assert_true(kist_cgroup_root_open_at("/none", &root, &err) < 0);
	assert_null(root);
}

/* Runs in a child with its own mounts; what it returns is the test's verdict: 0 or the line that failed. */
static void in_private_mounts(int (*body)(const struct real *real, const char *dir), const struct real *real)
{
	char dir[] = "/tmp/kist-test-mounts-XXXXXX";

	assert_non_null(mkdtemp(dir));
	pid_t pid = child_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(250);
		_exit(body(real, dir));
	}
	assert_int_equal(reap(pid) - 1000, 0);
	assert_int_equal(rmdir(dir), 0);
}

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                        \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

static int pure_v2(const struct real *real KIST_UNUSED, const char *dir KIST_UNUSED)
{
	struct kist_cgroup_root *root = NULL;

	/* Hides whatever is below; EBUSY: it is what is there. */
	CHECK(mount("none", "/sys/fs/cgroup", "cgroup2", 0, NULL) == 0 || errno == EBUSY);
	CHECK(kist_cgroup_root_open(&root, NULL) == 0);
	CHECK(kist_streq(kist_cgroup_root_path(root), "/sys/fs/cgroup"));
	kist_cgroup_root_close(root);
	return 0;
}

static int mounted_elsewhere(const struct real *real, const char *dir)
{
	struct kist_cgroup_root *root = NULL;
	struct kist_error err = { 0 };

	CHECK(mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL) == 0);
	CHECK(kist_cgroup_root_open(&root, &err) < 0);
	CHECK(err.kind == KIST_ERR_UNSUPPORTED);
	CHECK(kist_streq(err.text,
	                 "no cgroup v2 file system is mounted (mount one: mount -t cgroup2 none /sys/fs/cgroup)"));
	CHECK(mount("tmpfs", dir, "tmpfs", 0, NULL) == 0);
	KIST_FREE char *odd = kist_asprintf("%s/a b\\c", dir);
	CHECK(mkdir(odd, 0755) == 0);
	CHECK(mount("none", odd, "cgroup2", 0, NULL) == 0);
	CHECK(kist_cgroup_root_open(&root, NULL) == 0);
	CHECK(kist_streq(kist_cgroup_root_path(root), odd));
	int fd = kist_cgroup_create(root, real->top, NULL, 0, NULL);
	CHECK(fd >= 0);
	close(fd);
	CHECK(kist_cgroup_remove(root, real->top, NULL) == 0);
	kist_cgroup_root_close(root);
	return 0;
}

static int part_and_whole(const struct real *real, const char *dir)
{
	struct kist_cgroup_root *root = NULL;
	struct kist_error err = { 0 };
	char *self = NULL;
	KIST_FREE char *part = kist_asprintf("%s%s/inner", real->root->path, real->top);
	KIST_FREE char *name = below(real, "/inner");
	KIST_FREE char *whole = kist_asprintf("%s/whole", dir);
	KIST_FREE char *bound = kist_asprintf("%s/part", dir);

	CHECK(mount("tmpfs", dir, "tmpfs", 0, NULL) == 0);
	CHECK(mkdir(whole, 0755) == 0 && mkdir(bound, 0755) == 0);
	CHECK(mount(part, bound, NULL, MS_BIND, NULL) == 0);
	CHECK(mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL) == 0);
	/* Only a part is to be seen: its groups are named from there. */
	CHECK(kist_cgroup_root_open(&root, NULL) == 0);
	CHECK(kist_streq(root->path, bound) && kist_streq(root->prefix, name));
	CHECK(kist_cgroup_self(root, &self, &err) < 0 && err.kind == KIST_ERR_UNSUPPORTED);
	CHECK(kist_cgroup_attach(root->fd, getpid(), NULL) == 0);
	CHECK(kist_cgroup_self(root, &self, NULL) == 0 && kist_streq(self, "/"));
	free(self);
	CHECK(kist_cgroup_attach(real->root->fd, getpid(), NULL) == 0);
	kist_cgroup_root_close(root);
	/* The whole hierarchy is preferred, and a read-only mount of it is not. */
	CHECK(mount("none", whole, "cgroup2", 0, NULL) == 0);
	CHECK(kist_cgroup_root_open(&root, NULL) == 0);
	CHECK(kist_streq(root->path, whole) && kist_streq(root->prefix, "/"));
	kist_cgroup_root_close(root);
	return 0;
}

static void the_mount_is_found_wherever_it_is(void **state)
{
	struct real *real = *state;

	NEED(real);
	in_private_mounts(pure_v2, real);
	in_private_mounts(mounted_elsewhere, real);
	close(create(real, "/inner", NULL));
	in_private_mounts(part_and_whole, real);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, NULL), 0);
}

static void the_own_group_is_known(void **state)
{
	struct real *real = *state;

	NEED(real);
	KIST_FREE char *path = below(real, "/a");
	int fd = create(real, "/a", NULL);
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (__u64)fd };
	pid_t pid = kist_clone3(&args, sizeof(args));
	if (pid == 0) {
		char *self = NULL;

		_exit(kist_cgroup_self(real->root, &self, NULL) == 0 && kist_streq(self, path) ? 0 : 1);
	}
	assert_int_equal(reap(pid), 1000);
	close(fd);
	assert_int_equal(kist_cgroup_remove(real->root, real->top, NULL), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_group_lives_and_goes),
		TEST(prune_stops_where_it_is_told),
		TEST(made_parents_go_when_they_are_empty),
		TEST(attaching_moves_a_process),
		TEST(freezing_stops_and_thawing_continues),
		TEST(an_empty_group_that_was_left_is_used_and_thawed),
		TEST(removal_takes_sub_groups_and_their_processes),
		TEST(removal_wins_against_forks),
		TEST(creating_races_with_pruning),
		TEST(device_rules_hold_and_are_replaced),
		TEST(the_kernel_takes_every_shape_of_program),
		TEST(a_failed_create_leaves_nothing),
		TEST(a_limit_is_in_force_or_its_controller_is_named),
		TEST(cpu_limits_reach_the_kernel),
		TEST(cpu_sets_and_io_reach_the_kernel),
		TEST(an_oom_kill_is_told_and_counted),
		TEST(controllers_are_enabled_and_limits_written),
		TEST(processes_of_our_parents_are_moved_to_a_leaf),
		TEST(processes_of_foreign_parents_stay),
		TEST(a_known_path_is_opened_directly),
		TEST(the_mount_is_found_wherever_it_is),
		TEST(the_own_group_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
