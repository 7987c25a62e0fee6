/* What would be written where, on a tree of plain files: this works for controllers the machine does not have. */
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
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#define SET(v)                                                                                                         \
	{                                                                                                              \
		.set = true, .value = (int64_t)(v)                                                                     \
	}

struct fake {
	char *path;
	int fd;
	struct kist_cgroup_root *root;
};

static void put(const struct fake *fake, const char *name, const char *text)
{
	int fd = openat(fake->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(kist_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void assert_file(const struct fake *fake, const char *name, const char *expected)
{
	KIST_STR struct kist_str text = { 0 };

	assert_int_equal(kist_read_file(fake->fd, name, 65536, &text), 0);
	assert_string_equal(kist_str_get(&text), expected);
}

static int setup(void **state)
{
	struct fake *fake = kist_alloc(sizeof(*fake));

	fake->path = kist_strdup("/tmp/kist-test-cgroup-XXXXXX");
	if (!mkdtemp(fake->path))
		return -1;
	fake->fd = open(fake->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fake->root = kist_cgroup_root_new(dup(fake->fd), "/fake", "/");
	put(fake, "cgroup.controllers", "cpuset cpu io memory pids hugetlb\n");
	put(fake, "cgroup.subtree_control", "");
	*state = fake;
	return 0;
}

static int teardown(void **state)
{
	struct fake *fake = *state;

	assert_int_equal(kist_remove_tree(AT_FDCWD, fake->path), 0);
	kist_cgroup_root_close(fake->root);
	close(fake->fd);
	free(fake->path);
	free(fake);
	return 0;
}

/* A group as the kernel would show it; files: names, each of them made empty. */
static void make_group(const struct fake *fake, const char *path, const char *const *files)
{
	KIST_FREE char *events = kist_asprintf("%s/cgroup.events", path);
	KIST_FREE char *freeze = kist_asprintf("%s/cgroup.freeze", path);
	KIST_FREE char *subtree = kist_asprintf("%s/cgroup.subtree_control", path);

	assert_int_equal(mkdirat(fake->fd, path, 0755), 0);
	put(fake, events, "populated 0\nfrozen 0\n");
	put(fake, freeze, "");
	put(fake, subtree, "");
	for (; files && *files; files++) {
		KIST_FREE char *name = kist_asprintf("%s/%s", path, *files);

		put(fake, name, "");
	}
}

static void writes_each_limit_to_its_file(void **state)
{
	struct fake *fake = *state;
	static const char *const files[] = { "memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus",
		                             "pids.max",   "io.weight",       "io.max",  NULL };
	struct kist_spec_memory memory = { .limit = SET(1000), .swap = SET(3000) };
	struct kist_spec_cpu cpu = { .shares = SET(1024), .quota = SET(1), .cpus = (char *)"0" };
	struct kist_spec_throttle_device device = { 8, 0, 7 };
	struct kist_spec_blkio io = { .weight = SET(1000),
		                      .throttle_write_bps_device = &device,
		                      .n_throttle_write_bps_device = 1 };
	struct kist_spec_resources resources = {
		.memory = &memory, .cpu = &cpu, .block_io = &io, .pids_limit = SET(5)
	};
	struct kist_error err = { 0 };

	make_group(fake, "kist", NULL);
	make_group(fake, "kist/a", files);
	int fd = kist_cgroup_create(fake->root, "/kist/a", &resources, 0, &err);
	assert_string_equal(err.text, "");
	assert_true(fd >= 0);
	close(fd);
	assert_file(fake, "kist/a/memory.max", "1000");
	assert_file(fake, "kist/a/memory.swap.max", "2000");
	assert_file(fake, "kist/a/cpu.max", "1 100000");
	assert_file(fake, "kist/a/cpu.weight", "100");
	assert_file(fake, "kist/a/cpuset.cpus", "0");
	assert_file(fake, "kist/a/pids.max", "5");
	assert_file(fake, "kist/a/io.max", "8:0 wbps=7");
	assert_file(fake, "kist/a/cgroup.freeze", "0");
	/* io.bfq.weight is not there: that one file made the groups above be looked at. */
	assert_file(fake, "kist/a/io.weight", "default 10000");
}

static void leaves_enabled_controllers_alone(void **state)
{
	struct fake *fake = *state;
	static const char *const files[] = { "memory.max", NULL };
	struct kist_spec_memory memory = { .limit = SET(1000) };
	struct kist_spec_resources resources = { .memory = &memory };

	make_group(fake, "kist", NULL);
	make_group(fake, "kist/a", files);
	int fd = kist_cgroup_create(fake->root, "/kist/a", &resources, 0, NULL);
	assert_true(fd >= 0);
	close(fd);
	assert_file(fake, "cgroup.subtree_control", "");
	assert_file(fake, "kist/cgroup.subtree_control", "");
}

static void enables_on_the_way_what_is_not_enabled(void **state)
{
	struct fake *fake = *state;
	struct kist_spec_memory memory = { .limit = SET(1000) };
	struct kist_spec_cpu cpu = { .quota = SET(1) };
	struct kist_spec_resources resources = { .memory = &memory, .cpu = &cpu };
	struct kist_error err = { 0 };

	put(fake, "cgroup.subtree_control", "cpu memory");
	make_group(fake, "kist", NULL);
	make_group(fake, "kist/pod", NULL);
	put(fake, "kist/cgroup.subtree_control", "cpu");
	make_group(fake, "kist/pod/a", NULL);
	/* Plain files do not appear by themselves. */
	assert_true(kist_cgroup_create(fake->root, "/kist/pod/a", &resources, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_UNSUPPORTED);
	assert_string_equal(err.text, "create cgroup /kist/pod/a: memory limit: this kernel has no memory.max");
	assert_file(fake, "cgroup.subtree_control", "cpu memory");
	assert_file(fake, "kist/cgroup.subtree_control", "+memory");
	assert_file(fake, "kist/pod/cgroup.subtree_control", "+memory +cpu");
	assert_true(kist_exists_at(fake->fd, "kist/pod/a"));
}

/* What is asked for in one write; the files of the fake kernel keep it. */
static void all_controllers_without_a_limit(void **state)
{
	struct fake *fake = *state;
	struct kist_error err = { 0 };

	put(fake, "cgroup.controllers", "cpu memory pids\n");
	put(fake, "cgroup.subtree_control", "memory\n");
	make_group(fake, "kist", NULL);
	int fd = kist_cgroup_create(fake->root, "/kist/a", NULL, KIST_CGROUP_ALL, &err);
	assert_true(fd >= 0);
	close(fd);
	assert_file(fake, "cgroup.subtree_control", "+cpu +pids");
	assert_file(fake, "kist/cgroup.subtree_control", "+cpu +memory +pids");
	assert_false(kist_exists_at(fake->fd, "kist/a/cgroup.subtree_control"));
}

static void controllers_that_cannot_be_had_stop_nothing(void **state)
{
	struct fake *fake = *state;
	struct kist_error err = { 0 };

	put(fake, "cgroup.controllers", "cpu memory\n");
	assert_int_equal(unlinkat(fake->fd, "cgroup.subtree_control", 0), 0);
	int fd = kist_cgroup_create(fake->root, "/kist/a", NULL, KIST_CGROUP_ALL, &err);
	assert_true(fd >= 0);
	close(fd);
	assert_false(kist_error_is_set(&err));
}

static void a_missing_controller_is_named_and_nothing_is_left(void **state)
{
	struct fake *fake = *state;
	struct kist_spec_memory memory = { .limit = SET(1000) };
	struct kist_spec_resources resources = { .memory = &memory, .pids_limit = SET(7) };
	struct kist_error err = { 0 };

	put(fake, "cgroup.controllers", "cpu pids\n");
	assert_true(kist_cgroup_create(fake->root, "/kist/pod/a", &resources, KIST_CGROUP_SOFT_PIDS, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text,
	                       "create cgroup /kist/pod/a: memory limit: the cgroup v2 hierarchy at /fake has no "
	                       "'memory' controller"));
	assert_non_null(strchr(err.text, '('));
	assert_false(kist_exists_at(fake->fd, "kist"));
	assert_file(fake, "cgroup.subtree_control", "");
}

static void parents_that_were_there_stay_on_failure(void **state)
{
	struct fake *fake = *state;
	struct kist_spec_resources resources = { .pids_limit = SET(7) };

	put(fake, "cgroup.controllers", "cpu\n");
	make_group(fake, "kist", NULL);
	assert_true(kist_cgroup_create(fake->root, "/kist/pod/a", &resources, 0, NULL) < 0);
	assert_true(kist_exists_at(fake->fd, "kist"));
	assert_false(kist_exists_at(fake->fd, "kist/pod"));
}

static void a_soft_default_is_left_out(void **state)
{
	struct fake *fake = *state;
	struct kist_spec_resources resources = { .pids_limit = SET(2048) };
	struct kist_error err = { 0 };

	put(fake, "cgroup.controllers", "cpu\n");
	int fd = kist_cgroup_create(fake->root, "/kist/a", &resources, KIST_CGROUP_SOFT_PIDS, &err);
	assert_true(fd >= 0);
	close(fd);
	assert_file(fake, "cgroup.subtree_control", "");
	assert_true(kist_exists_at(fake->fd, "kist/a"));
}

static void unlimited_needs_no_controller(void **state)
{
	struct fake *fake = *state;
	struct kist_spec_memory memory = { .limit = SET(-1), .swap = SET(-1) };
	struct kist_spec_cpu cpu = { .quota = SET(-1) };
	struct kist_spec_resources resources = { .pids_limit = SET(-1), .memory = &memory, .cpu = &cpu };

	put(fake, "cgroup.controllers", "\n");
	int fd = kist_cgroup_create(fake->root, "/a", &resources, 0, NULL);
	assert_true(fd >= 0);
	close(fd);
}

static void swap_that_is_not_accounted_is_an_error_only_when_it_matters(void **state)
{
	struct fake *fake = *state;
	static const char *const files[] = { "memory.max", NULL };
	struct kist_spec_memory memory = { .limit = SET(1000), .swap = SET(1000) };
	struct kist_spec_resources resources = { .memory = &memory };
	struct kist_error err = { 0 };

	make_group(fake, "a", files);
	int fd = kist_cgroup_create(fake->root, "/a", &resources, 0, &err);
	assert_true(fd >= 0);
	close(fd);
	memory.swap.value = 1001;
	assert_true(kist_cgroup_create(fake->root, "/a", &resources, 0, &err) < 0);
	assert_string_equal(err.text, "create cgroup /a: swap limit: this kernel has no memory.swap.max");
}

static void a_populated_group_is_taken(void **state)
{
	struct fake *fake = *state;
	struct kist_error err = { 0 };

	make_group(fake, "a", NULL);
	put(fake, "a/cgroup.events", "populated 1\nfrozen 0\n");
	assert_true(kist_cgroup_create(fake->root, "/a", NULL, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	assert_true(kist_exists_at(fake->fd, "a"));
}

static void bad_paths_are_refused(void **state)
{
	struct fake *fake = *state;
	static const char *const bad[] = { "", "a", "/", "//a", "/a/", "/a//b", "/a/../b", "/..", "/.", "/a\nb" };

	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_error err = { 0 };

		assert_true(kist_cgroup_create(fake->root, bad[i], NULL, 0, &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
		kist_error_clear(&err);
		assert_true(kist_cgroup_remove(fake->root, bad[i], &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
	}
	assert_true(kist_cgroup_create(fake->root, NULL, NULL, 0, NULL) < 0);
	assert_false(kist_exists_at(fake->fd, "a"));
}

static void update_keeps_what_it_is_not_given(void **state)
{
	struct fake *fake = *state;
	static const char *const files[] = { "cpu.max", "memory.max", "memory.current", NULL };
	struct kist_spec_cpu cpu = { .period = SET(20000) };
	struct kist_spec_memory memory = { .limit = SET(500), .check_before_update = SET(1) };
	struct kist_spec_resources resources = { .cpu = &cpu };
	struct kist_error err = { 0 };

	make_group(fake, "a", files);
	put(fake, "a/cpu.max", "7000 9\n");
	put(fake, "a/memory.current", "600\n");
	int fd = kist_cgroup_open(fake->root, "/a", &err);
	assert_true(fd >= 0);
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_file(fake, "a/cpu.max", "7000 20000");
	assert_file(fake, "a/memory.max", "");
	put(fake, "a/cpu.max", "");
	cpu = (struct kist_spec_cpu){ .quota = SET(6000) };
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_file(fake, "a/cpu.max", "6000");
	put(fake, "a/cpu.max", "");
	cpu.quota.value = -1;
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_file(fake, "a/cpu.max", "max");

	resources = (struct kist_spec_resources){ .memory = &memory };
	assert_true(kist_cgroup_update(fd, &resources, &err) < 0);
	assert_string_equal(err.text, "memory limit: 500 is not above the 600 bytes in use");
	assert_file(fake, "a/memory.max", "");
	kist_error_clear(&err);
	memory.check_before_update.value = 0;
	assert_int_equal(kist_cgroup_update(fd, &resources, &err), 0);
	assert_file(fake, "a/memory.max", "500");
	close(fd);
}

static void groups_that_gave_their_controllers_away(void **state)
{
	struct fake *fake = *state;
	struct kist_error err = { 0 };

	make_group(fake, "a", NULL);
	int fd = kist_cgroup_open(fake->root, "/a", &err);
	assert_true(fd >= 0);
	assert_false(kist_cgroup_gives(fd));
	put(fake, "a/cgroup.subtree_control", "\n");
	assert_false(kist_cgroup_gives(fd));
	put(fake, "a/cgroup.subtree_control", "memory pids\n");
	assert_true(kist_cgroup_gives(fd));
	close(fd);
	assert_int_equal(kist_cgroup_open_of(fake->root, 0x3fffffff, &err), -ESRCH);
	assert_string_equal(err.text, "the cgroup of process 1073741823 is not known");
}

static void opening_a_missing_group_says_so(void **state)
{
	struct fake *fake = *state;
	struct kist_error err = { 0 };

	assert_int_equal(kist_cgroup_open(fake->root, "/none", &err), -ENOENT);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	kist_error_clear(&err);
	assert_int_equal(kist_cgroup_remove(fake->root, "/none/below", &err), 0);
}

static void statistics(void **state)
{
	struct fake *fake = *state;
	struct kist_cgroup_stats stats;

	make_group(fake, "a", NULL);
	put(fake, "a/cgroup.controllers", "cpu io memory pids\n");
	put(fake, "a/cpu.stat",
	    "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\n"
	    "throttled_usec 2\n");
	put(fake, "a/memory.current", "4096\n");
	put(fake, "a/memory.max", "max\n");
	put(fake, "a/memory.swap.current", "12\n");
	put(fake, "a/memory.peak", "8192\n");
	put(fake, "a/memory.stat", "anon 1\nfile 2\nkernel 9\ninactive_file 3\n");
	put(fake, "a/memory.events", "low 0\nhigh 0\nmax 2\noom 2\noom_kill 5\n");
	put(fake, "a/pids.current", "3\n");
	put(fake, "a/pids.max", "2048\n");
	put(fake, "a/io.stat",
	    "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=0\n"
	    "254:0 \n");
	int fd = kist_cgroup_open(fake->root, "/a", NULL);
	assert_int_equal(kist_cgroup_stats(fd, &stats, NULL), 0);
	assert_true(stats.has_cpu_controller && stats.has_memory && stats.has_pids && stats.has_io);
	assert_int_equal(stats.cpu_usage_us, 30);
	assert_int_equal(stats.cpu_user_us, 20);
	assert_int_equal(stats.cpu_system_us, 10);
	assert_int_equal(stats.cpu_periods, 4);
	assert_int_equal(stats.cpu_throttled, 3);
	assert_int_equal(stats.cpu_throttled_us, 2);
	assert_int_equal(stats.memory_usage, 4096);
	assert_true(stats.memory_limit == UINT64_MAX);
	assert_int_equal(stats.memory_swap, 12);
	assert_int_equal(stats.memory_peak, 8192);
	assert_int_equal(stats.memory_anon, 1);
	assert_int_equal(stats.memory_file, 2);
	assert_int_equal(stats.memory_inactive_file, 3);
	assert_int_equal(stats.pids, 3);
	assert_int_equal(stats.pids_limit, 2048);
	assert_int_equal(stats.io_read, 101);
	assert_int_equal(stats.io_write, 202);
	assert_int_equal(kist_cgroup_oom_kills(fd), 5);
	int oom = kist_cgroup_oom_fd(fd);
	assert_true(oom >= 0);
	close(oom);
	close(fd);
}

static void statistics_without_controllers(void **state)
{
	struct fake *fake = *state;
	struct kist_cgroup_stats stats;

	make_group(fake, "a", NULL);
	put(fake, "a/cgroup.controllers", "\n");
	put(fake, "a/cgroup.procs", "11\n12\n");
	put(fake, "a/cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\n");
	int fd = kist_cgroup_open(fake->root, "/a", NULL);
	assert_int_equal(kist_cgroup_stats(fd, &stats, NULL), 0);
	assert_false(stats.has_cpu_controller || stats.has_memory || stats.has_pids || stats.has_io);
	assert_int_equal(stats.cpu_usage_us, 30);
	assert_int_equal(stats.pids, 2);
	assert_true(stats.memory_limit == UINT64_MAX && stats.pids_limit == UINT64_MAX);
	assert_int_equal(kist_cgroup_oom_kills(fd), 0);
	assert_int_equal(kist_cgroup_oom_fd(fd), -1);
	close(fd);
}

static void processes_of_sub_groups_are_listed(void **state)
{
	struct fake *fake = *state;
	pid_t *pids = NULL;

	make_group(fake, "a", NULL);
	make_group(fake, "a/b", NULL);
	put(fake, "a/cgroup.procs", "11\n");
	put(fake, "a/b/cgroup.procs", "12\n13\n0\n");
	int fd = kist_cgroup_open(fake->root, "/a", NULL);
	assert_int_equal(kist_cgroup_pids(fd, &pids, NULL), 3);
	assert_int_equal(pids[0], 11);
	assert_int_equal(pids[1] + pids[2], 25);
	free(pids);
	pids = NULL;
	put(fake, "a/b/cgroup.procs", "12\nx\n");
	assert_true(kist_cgroup_pids(fd, &pids, NULL) < 0);
	assert_null(pids);
	close(fd);
}

static void freezing_that_never_ends_times_out(void **state)
{
	struct fake *fake = *state;
	struct kist_error err = { 0 };

	make_group(fake, "a", NULL);
	int fd = kist_cgroup_open(fake->root, "/a", NULL);
	assert_int_equal(kist_cgroup_freeze(fd, true, 20, &err), -ETIMEDOUT);
	assert_int_equal(err.kind, KIST_ERR_TIMEOUT);
	/* Undone. */
	assert_file(fake, "a/cgroup.freeze", "0");
	kist_error_clear(&err);
	put(fake, "a/cgroup.events", "populated 1\nfrozen 1\n");
	assert_int_equal(kist_cgroup_freeze(fd, true, 20, &err), 0);
	assert_file(fake, "a/cgroup.freeze", "1");
	assert_int_equal(kist_cgroup_is_frozen(fd), 1);
	close(fd);
}

/* Before 5.14 there is no cgroup.kill. The child is nobody's zombie: SIGCHLD is ignored. */
static void killing_without_the_kernels_help(void **state)
{
	struct fake *fake = *state;
	struct kist_error err = { 0 };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;

	make_group(fake, "a", NULL);
	assert_int_equal(sigaction(SIGCHLD, &ignore, &before), 0);
	pid_t pid = child_fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	KIST_FREE char *text = kist_asprintf("%d\n", (int)pid);
	put(fake, "a/cgroup.procs", text);
	int fd = kist_cgroup_open(fake->root, "/a", NULL);
	assert_int_equal(kist_cgroup_kill(fd, &err), 0);
	assert_int_equal(kill(pid, 0), -1);
	assert_file(fake, "a/cgroup.freeze", "0");
	/* Nobody by that number any more. */
	assert_int_equal(kist_cgroup_signal(fd, SIGTERM, &err), 0);
	assert_int_equal(sigaction(SIGCHLD, &before, NULL), 0);
	close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_each_limit_to_its_file),
		TEST(leaves_enabled_controllers_alone),
		TEST(enables_on_the_way_what_is_not_enabled),
		TEST(all_controllers_without_a_limit),
		TEST(controllers_that_cannot_be_had_stop_nothing),
		TEST(a_missing_controller_is_named_and_nothing_is_left),
		TEST(parents_that_were_there_stay_on_failure),
		TEST(a_soft_default_is_left_out),
		TEST(unlimited_needs_no_controller),
		TEST(swap_that_is_not_accounted_is_an_error_only_when_it_matters),
		TEST(a_populated_group_is_taken),
		TEST(bad_paths_are_refused),
		TEST(update_keeps_what_it_is_not_given),
		TEST(groups_that_gave_their_controllers_away),
		TEST(opening_a_missing_group_says_so),
		TEST(statistics),
		TEST(statistics_without_controllers),
		TEST(processes_of_sub_groups_are_listed),
		TEST(freezing_that_never_ends_times_out),
		TEST(killing_without_the_kernels_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
