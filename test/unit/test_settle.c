/* What a container's state is when there is no record of it on the disk, as of those that remove themselves: the record
 * of the run directory, the exit record, and who lives, tell. Monitor and container are children of the test. */
#include "child.h"
#include "store_help.h"

#include "core/monitor.h"

#include <signal.h>
#include <time.h>

static pid_t sleeper(void)
{
	pid_t pid = child_fork();

	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(kist_wait_pid(pid), 128 + SIGKILL);
}

static struct kist_container *make_self_removing(const char *name)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	config_make(&config, name, "true");
	config.auto_remove = true;
	free(config.cgroups);
	config.cgroups = kist_strdup("disabled");
	if (kist_container_create(k, &config, &c, &err) < 0)
		fail_msg("%s", err.text);
	kist_container_config_clear(&config);
	return c;
}

/* As its monitor does, and no state beside. */
static void record(struct kist_container *c, int status, pid_t container, pid_t monitor)
{
	struct kist_proc_id id = { 0 };
	struct kist_error err = { 0 };

	assert_int_equal(kist_proc_identify(container, &id), 0);
	c->state.pid = id.pid;
	c->state.pid_start = id.start;
	assert_int_equal(kist_proc_identify(monitor, &id), 0);
	c->state.monitor_pid = id.pid;
	c->state.monitor_start = id.start;
	c->state.status = status;
	c->state.run = 1;
	free(c->state.boot);
	c->state.boot = kist_strdup(k->boot);
	if (kist_container_save_live(c, &err) < 0)
		fail_msg("%s", err.text);
	assert_false(kist_exists_at(kist_container_dir(c), "state"));
}

/* The state that a new look at the records gives, without and with the lock. */
static int seen(const struct kist_container *c, bool locked)
{
	struct kist_container *again = NULL;
	struct kist_error err = { 0 };

	if (kist_container_load(k, kist_container_id(c), &again, &err) < 0)
		fail_msg("%s", err.text);
	if (locked && kist_container_sync(again, &err) < 0)
		fail_msg("%s", err.text);
	int status = again->state.status;
	kist_container_free(again);
	return status;
}

static size_t listed(void)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	assert_int_equal(kist_container_list(k, &list, &n, NULL, NULL), 0);
	kist_container_list_free(list, n);
	return n;
}

static void test_runs_by_the_monitors_record(void **state)
{
	struct kist_container *c = make_self_removing("c"), *again = NULL;
	pid_t container = sleeper(), monitor = sleeper();

	(void)state;
	assert_int_equal(seen(c, true), KIST_CONFIGURED);
	record(c, KIST_CREATED, container, monitor);
	assert_int_equal(seen(c, false), KIST_CREATED);
	record(c, KIST_RUNNING, container, monitor);
	assert_int_equal(seen(c, false), KIST_RUNNING);
	assert_int_equal(seen(c, true), KIST_RUNNING);
	assert_int_equal(kist_container_load(k, kist_container_id(c), &again, NULL), 0);
	assert_int_equal(again->state.pid, container);
	assert_int_equal(again->state.monitor_pid, monitor);
	/* A state that was written is the newer one. */
	again->state.status = KIST_STOPPING;
	assert_int_equal(kist_container_save(again, NULL), 0);
	kist_container_free(again);
	assert_int_equal(seen(c, true), KIST_STOPPING);
	/* Torn, it says nothing, and the other one does. */
	file_put(kist_container_dir(c), "state", "status=exi", 10);
	assert_int_equal(seen(c, true), KIST_RUNNING);
	assert_int_equal(listed(), 1);
	end(monitor);
	assert_int_equal(listed(), 0);
	/* Its process went with it. */
	assert_int_equal(kist_wait_pid(container), 128 + SIGKILL);
	kist_container_free(c);
	expect_nothing_left();
}

static void test_what_is_not_of_this_boot_or_torn_is_nothing(void **state)
{
	struct kist_container *c = make_self_removing("c");
	pid_t container = sleeper(), monitor = sleeper();
	KIST_STR struct kist_str text = { 0 };

	(void)state;
	record(c, KIST_RUNNING, container, monitor);
	int run = kist_container_rundir(c, NULL);
	assert_int_equal(kist_read_file(run, KIST_LIVE_RECORD, 1 << 16, &text), 0);
	for (size_t len = 0; len < text.len; len += 7) {
		file_put(run, KIST_LIVE_RECORD, text.data, len);
		assert_int_equal(seen(c, false), KIST_CONFIGURED);
	}
	free(c->state.boot);
	c->state.boot = kist_strdup("11111111-2222-3333-4444-555555555555");
	assert_int_equal(kist_container_save_live(c, NULL), 0);
	assert_int_equal(seen(c, false), KIST_CONFIGURED);
	/* Nobody is ended for it: those pids are somebody else's. */
	assert_int_equal(seen(c, true), KIST_CONFIGURED);
	end(container);
	end(monitor);
	remove_one(c);
	expect_nothing_left();
}

static void test_ends_with_its_monitor(void **state)
{
	struct kist_container *c = NULL, *again = NULL;

	(void)state;
	/* It ends, since nobody can say how it would have, and goes: found by who takes the lock, or by a list. */
	for (int round = 0; round < 2; round++) {
		pid_t container = sleeper(), monitor = sleeper();
		struct kist_exit exit_record = { 0 };
		struct kist_error err = { 0 };

		c = make_self_removing("c");
		record(c, KIST_RUNNING, container, monitor);
		end(monitor);
		/* To look changes nothing. */
		assert_int_equal(seen(c, false), KIST_RUNNING);
		if (round == 0) {
			assert_int_equal(kist_container_load(k, kist_container_id(c), &again, NULL), 0);
			assert_true(kist_container_sync(again, &err) < 0);
			assert_int_equal(err.kind, KIST_ERR_REMOVED);
			kist_container_free(again);
		}
		assert_int_equal(listed(), 0);
		assert_int_equal(kist_wait_pid(container), 128 + SIGKILL);
		/* Its code can still be asked for. */
		assert_int_equal(kist_exit_find(k, kist_container_id(c), &exit_record), 0);
		assert_int_equal(exit_record.code, -1);
		assert_int_equal(exit_record.run, 1);
		kist_container_free(c);
		expect_nothing_left();
	}
}

static void test_its_exit_record_says_more(void **state)
{
	struct kist_container *c = make_self_removing("c");
	pid_t container = sleeper(), monitor = sleeper();
	struct kist_exit exit_record = { .run = 1, .code = 42, .oom = true, .finished = 7 };

	(void)state;
	record(c, KIST_RUNNING, container, monitor);
	end(container);
	/* One of another run is not its. */
	exit_record.run = 2;
	assert_int_equal(kist_exit_write(c, &exit_record, NULL), 0);
	assert_int_equal(seen(c, true), KIST_RUNNING);
	exit_record.run = 1;
	assert_int_equal(kist_exit_write(c, &exit_record, NULL), 0);
	assert_false(kist_exists_at(kist_container_dir(c), "exit"));
	/* While its monitor lives, it is that which cleans up. */
	assert_int_equal(seen(c, true), KIST_STOPPED);
	assert_false(kist_exists_at(kist_container_dir(c), "state"));
	assert_int_equal(listed(), 1);
	end(monitor);
	exit_record.code = 0;
	assert_int_equal(listed(), 0);
	assert_int_equal(kist_exit_find(k, kist_container_id(c), &exit_record), 0);
	assert_int_equal(exit_record.code, 42);
	assert_true(exit_record.oom);
	kist_container_free(c);
	expect_nothing_left();
}

static void test_never_ran(void **state)
{
	struct kist_container *c = make_self_removing("c");
	pid_t container = sleeper(), monitor = sleeper();
	struct kist_exit exit_record;

	(void)state;
	record(c, KIST_CREATED, container, monitor);
	end(monitor);
	assert_int_equal(seen(c, true), KIST_CONFIGURED);
	assert_int_equal(kist_wait_pid(container), 128 + SIGKILL);
	assert_true(kist_exit_read(c, &exit_record) < 0);
	/* It can still be started: a list leaves it. */
	assert_int_equal(listed(), 1);
	remove_one(c);
	expect_nothing_left();
}

int main(int argc, char **argv)
{
	if (argc > 0 && kist_streq(argv[0], "kist-monitor"))
		return kist_monitor_main(argc, argv, NULL);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_by_the_monitors_record),
		cmocka_unit_test(test_what_is_not_of_this_boot_or_torn_is_nothing),
		cmocka_unit_test(test_ends_with_its_monitor),
		cmocka_unit_test(test_its_exit_record_says_more),
		cmocka_unit_test(test_never_ran),
	};
	return cmocka_run_group_tests_name("settle", tests, store_setup, store_teardown);
}
