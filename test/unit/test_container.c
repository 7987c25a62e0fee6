/* Container records and real containers: making, finding, listing, removing; crashes at any moment; damaged files. */
#include "child.h"
#include "store_help.h"

#include "core/monitor.h"
#include "core/spawn.h"

#include <poll.h>
#include <signal.h>
#include <time.h>

static void nap(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* --- records --------------------------------------------------------------------------------------------------------
 */

static void test_create_and_open(void **state)
{
	struct kist_container *c = make("web", "true"), *found = NULL;
	struct kist_error err = { 0 };
	char prefix[13];

	(void)state;
	assert_int_equal(strlen(kist_container_id(c)), 64);
	assert_int_equal(status_of("web"), KIST_CONFIGURED);
	memcpy(prefix, kist_container_id(c), 12);
	prefix[12] = '\0';
	const char *const words[] = { "web", kist_container_id(c), prefix };
	for (size_t i = 0; i < KIST_COUNT(words); i++) {
		assert_int_equal(kist_container_open(k, words[i], &found, NULL), 0);
		assert_string_equal(kist_container_id(found), kist_container_id(c));
		assert_string_equal(kist_container_name(found), "web");
		kist_container_free(found);
	}
	static const char *const unknown[] = { "", "we", "webb", "../web", "zz", "." };
	for (size_t i = 0; i < KIST_COUNT(unknown); i++) {
		kist_error_clear(&err);
		assert_true(kist_container_open(k, unknown[i], &found, &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	}
	remove_one(c);
	expect_nothing_left();
}

static void test_ambiguous_prefix(void **state)
{
	struct kist_container *made[17], *found = NULL;
	struct kist_error err = { 0 };
	char prefix[2] = "";

	(void)state;
	/* Seventeen ids: two begin with the same digit. */
	for (int i = 0; i < 17; i++)
		made[i] = make(NULL, "true");
	for (int i = 0; i < 17; i++)
		for (int j = 0; j < i; j++)
			if (kist_container_id(made[i])[0] == kist_container_id(made[j])[0])
				prefix[0] = kist_container_id(made[i])[0];
	assert_true(kist_container_open(k, prefix, &found, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_AMBIGUOUS);
	/* A name goes before the beginning of an id. */
	struct kist_container *named = make(prefix, "true");
	assert_int_equal(kist_container_open(k, prefix, &found, NULL), 0);
	assert_string_equal(kist_container_id(found), kist_container_id(named));
	kist_container_free(found);
	remove_one(named);
	for (int i = 0; i < 17; i++)
		remove_one(made[i]);
	expect_nothing_left();
}

static void test_create_refused(void **state)
{
	struct kist_container *c = make("one", "true"), *other = NULL;
	struct kist_container_config config;
	struct kist_error err = { 0 };
	size_t before = count_entries(k->containers);

	(void)state;
	config_make(&config, "one", "true");
	assert_true(kist_container_create(k, &config, &other, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	free(config.name);
	config.name = kist_strdup("a b");
	kist_error_clear(&err);
	assert_true(kist_container_create(k, &config, &other, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	free(config.name);
	config.name = kist_strdup("two");
	free(config.net_ns);
	config.net_ns = kist_strdup("nonsense");
	kist_error_clear(&err);
	assert_true(kist_container_create(k, &config, &other, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	kist_container_config_clear(&config);
	assert_null(other);
	assert_int_equal(count_entries(k->containers), before);
	assert_int_equal(count_entries(k->run_containers), before);
	assert_int_equal(count_entries(k->names), before);
	remove_one(c);
}

static void test_list_rename_remove(void **state)
{
	struct kist_container *a = make("a", "true"), *b = make("b", "true"), **list = NULL, *latest = NULL;
	struct kist_error err = { 0 };
	size_t n = 0;

	(void)state;
	assert_int_equal(kist_container_list(k, &list, &n, NULL, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(kist_container_name(list[0]), "a");
	assert_string_equal(kist_container_name(list[1]), "b");
	kist_container_list_free(list, n);
	assert_int_equal(kist_container_latest(k, &latest, NULL), 0);
	assert_string_equal(kist_container_name(latest), "b");
	kist_container_free(latest);

	assert_true(kist_container_rename(a, "b", &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	assert_string_equal(kist_container_name(a), "a");
	assert_int_equal(kist_container_rename(a, "c", NULL), 0);
	assert_int_equal(status_of("c"), KIST_CONFIGURED);
	char id[65];
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "a", id), -ENOENT);

	/* A handle of before the rename removes the container, and the name that it has now. */
	struct kist_container *old = NULL;
	assert_int_equal(kist_container_open(k, "c", &old, NULL), 0);
	assert_int_equal(kist_container_rename(a, "d", NULL), 0);
	remove_one(old);
	kist_error_clear(&err);
	assert_true(kist_container_remove(a, 0, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_REMOVED);
	kist_container_free(a);
	remove_one(b);
	expect_nothing_left();
}

/* What a list knows is what the record says; a lock makes it whole, and nothing is lost by that. */
static void test_list_brief(void **state)
{
	struct kist_container_config config;
	struct kist_container *made = NULL, *now = NULL, **list = NULL;
	char **broken = NULL;
	size_t n = 0;

	(void)state;
	config_make(&config, "a", "exit 3");
	kist_strv_add(&config.labels, "one=two");
	kist_strv_add(&config.health.test, "CMD-SHELL");
	kist_strv_add(&config.health.test, "a\nb \\ c");
	config.stop_timeout = 77;
	assert_int_equal(kist_container_create(k, &config, &made, NULL), 0);
	kist_container_config_clear(&config);
	assert_int_equal(kist_container_list_brief(k, false, &list, &n, &broken, NULL), 0);
	assert_int_equal(n, 1);
	assert_null(broken);
	assert_true(list[0]->brief);
	const struct kist_container_config *seen = kist_container_config(list[0]);
	assert_string_equal(seen->name, "a");
	assert_string_equal(seen->id, made->config.id);
	assert_string_equal(seen->command[2], "exit 3");
	assert_null(seen->command[3]);
	assert_string_equal(seen->health.test[1], "a\nb \\ c");
	assert_int_equal(seen->health.interval, made->config.health.interval);
	assert_int_equal(seen->created, made->config.created);
	assert_null(seen->labels);
	assert_int_equal(kist_container_state(list[0])->status, KIST_CONFIGURED);
	/* Changed through it: all else stays. */
	assert_int_equal(kist_container_rename(list[0], "b", NULL), 0);
	assert_false(list[0]->brief);
	kist_container_list_free(list, n);
	assert_int_equal(kist_container_open(k, "b", &now, NULL), 0);
	free(made->config.name);
	made->config.name = kist_strdup("b");
	assert_true(kist_table_equal(&kist_container_config_table, &made->config, &now->config));
	assert_int_equal(now->config.stop_timeout, 77);
	assert_string_equal(now->config.labels[0], "one=two");
	kist_container_free(now);
	/* A torn record is named, as in any list. */
	KIST_STR struct kist_str text = { 0 };
	int dir = kist_container_dir(made);
	assert_int_equal(kist_read_file(dir, "config", KIST_RECORD_MAX, &text), 0);
	assert_int_equal(kist_replace_file(dir, "config", text.data, text.len - 20, 0600, 0), 0);
	assert_int_equal(kist_container_list_brief(k, false, &list, &n, &broken, NULL), 0);
	assert_int_equal(n, 0);
	assert_string_equal(broken[0], made->config.id);
	kist_container_list_free(list, n);
	kist_strv_free(broken);
	assert_int_equal(kist_replace_file(dir, "config", text.data, text.len, 0600, 0), 0);
	remove_one(made);
	expect_nothing_left();
}

static void test_dependents(void **state)
{
	struct kist_container *a = make("base", "true"), *b = NULL;
	struct kist_container_config config;
	struct kist_error err = { 0 };

	(void)state;
	assert_null(kist_container_dependents(a));
	config_make(&config, "user", "true");
	free(config.net_ns);
	config.net_ns = kist_asprintf("container:%s", kist_container_id(a));
	assert_int_equal(kist_container_create(k, &config, &b, NULL), 0);
	kist_container_config_clear(&config);
	char **ids = kist_container_dependents(a);
	assert_int_equal(kist_strv_len(ids), 1);
	assert_string_equal(ids[0], kist_container_id(b));
	kist_strv_free(ids);
	assert_true(kist_container_remove(a, 0, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	/* It cannot start either while the one it needs does not run. */
	kist_error_clear(&err);
	assert_true(kist_container_start(b, NULL, NULL, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	remove_one(b);
	/* The mark that b left does not count any more. */
	assert_null(kist_container_dependents(a));
	remove_one(a);
	expect_nothing_left();
}

/* --- damage ---------------------------------------------------------------------------------------------------------
 */

static void record_load(struct kist_container *c, const char *name, struct kist_str *text)
{
	assert_true(kist_read_file(kist_container_dir(c), name, 1u << 20, text) >= 0);
	assert_true(text->len > 10);
}

static void expect_quarantined(struct kist_container *c, const char *name)
{
	struct kist_container **list = NULL, *found = NULL;
	KIST_STRV char **broken = NULL;
	struct kist_error err = { 0 };
	size_t n = 0;

	assert_true(kist_container_open(k, name, &found, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_CORRUPT);
	assert_int_equal(kist_container_list(k, &list, &n, &broken, NULL), 0);
	assert_int_equal(n, 1); /* the other one is there */
	assert_string_equal(kist_container_name(list[0]), "sound");
	assert_int_equal(kist_strv_len(broken), 1);
	assert_string_equal(broken[0], kist_container_id(c));
	kist_container_list_free(list, n);
}

static void test_config_cut_anywhere(void **state)
{
	struct kist_container *sound = make("sound", "true"), *c = make("torn", "true"), *found = NULL;
	KIST_STR struct kist_str text = { 0 };
	char id[65];

	(void)state;
	record_load(c, "config", &text);
	for (size_t n = 0; n < text.len; n++) {
		file_put(kist_container_dir(c), "config", text.data, n);
		expect_quarantined(c, "torn");
	}
	/* A wrong byte is as bad as a missing one. */
	for (size_t n = 0; n < text.len; n++) {
		text.data[n] ^= 1;
		file_put(kist_container_dir(c), "config", text.data, text.len);
		expect_quarantined(c, "torn");
		text.data[n] ^= 1;
	}
	file_put(kist_container_dir(c), "config", text.data, text.len);
	assert_int_equal(kist_container_open(k, "torn", &found, NULL), 0);
	kist_container_free(found);
	file_put(kist_container_dir(c), "config", text.data, text.len / 2);
	assert_int_equal(kist_container_evict(k, "torn", id, NULL), 0);
	assert_string_equal(id, kist_container_id(c));
	kist_container_free(c);
	remove_one(sound);
	expect_nothing_left();
}

/* Another container's config in this one's place is sound, and wrong. */
static void test_config_of_another(void **state)
{
	struct kist_container *sound = make("sound", "true"), *c = make("torn", "true");
	KIST_STR struct kist_str text = { 0 };
	char id[65];

	(void)state;
	record_load(sound, "config", &text);
	file_put(kist_container_dir(c), "config", text.data, text.len);
	expect_quarantined(c, "torn");
	assert_int_equal(kist_container_evict(k, kist_container_id(c), id, NULL), 0);
	kist_container_free(c);
	remove_one(sound);
	expect_nothing_left();
}

static void test_evict_ends_what_runs(void **state)
{
	struct kist_container *c = run("torn", "sleep 1000");
	char id[65];

	(void)state;
	assert_int_equal(kist_container_sync(c, NULL), 0);
	struct kist_proc_id init = { c->state.pid, c->state.pid_start };
	assert_true(kist_proc_alive(&init));
	file_put(kist_container_dir(c), "config", "", 0);
	assert_int_equal(kist_container_evict(k, "torn", id, NULL), 0);
	assert_false(kist_proc_alive(&init));
	kist_container_free(c);
	expect_nothing_left();
}

static void expect_state(const char *name, int status, int code)
{
	struct kist_container *c = NULL;

	assert_int_equal(kist_container_open(k, name, &c, NULL), 0);
	assert_int_equal(kist_container_sync(c, NULL), 0);
	if (c->state.status != status || (status == KIST_EXITED && c->state.exit_code != code))
		fail_msg("%s: %s (%d)", name, kist_status_name(c->state.status), c->state.exit_code);
	kist_container_free(c);
}

static void run_to_end(const char *name, const char *script, int expected)
{
	struct kist_container *c = run(name, script);
	int code = -2;

	assert_int_equal(kist_container_wait(k, name, 0, &code, NULL), 0);
	assert_int_equal(code, expected);
	kist_container_free(c);
}

static void test_exited_state_cut_anywhere(void **state)
{
	struct kist_container *c = NULL;
	KIST_STR struct kist_str text = { 0 };

	(void)state;
	run_to_end("done", "exit 9", 9);
	assert_int_equal(kist_container_open(k, "done", &c, NULL), 0);
	record_load(c, "state", &text);
	for (size_t n = 0; n < text.len; n++) {
		file_put(kist_container_dir(c), "state", text.data, n);
		expect_state("done", KIST_EXITED, 9); /* from the exit record */
	}
	file_put(kist_container_dir(c), "state", text.data, text.len);
	kist_str_clear(&text);
	record_load(c, "exit", &text);
	for (size_t n = 0; n < text.len; n++) {
		file_put(kist_container_dir(c), "exit", text.data, n);
		expect_state("done", KIST_EXITED, 9); /* from the state */
	}
	/* Both: that it ran is lost, the container is not. */
	file_put(kist_container_dir(c), "state", text.data, 1);
	expect_state("done", KIST_CONFIGURED, 0);
	remove_one(c);
	expect_nothing_left();
}

static void test_running_state_cut_anywhere(void **state)
{
	struct kist_container *c = run("live", "sleep 1000"), *again = NULL;
	KIST_STR struct kist_str text = { 0 };
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_container_sync(c, NULL), 0);
	int pid = c->state.pid;
	record_load(c, "state", &text);
	for (size_t n = 0; n < text.len; n++) {
		file_put(kist_container_dir(c), "state", text.data, n);
		expect_state("live", KIST_RUNNING, 0);
		assert_int_equal(kist_container_open(k, "live", &again, NULL), 0);
		assert_int_equal(again->state.pid, pid);
		assert_int_equal(again->state.run, 1);
		kist_container_free(again);
	}
	/* Not a second one beside it. */
	assert_true(kist_container_start(c, NULL, NULL, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	/* Frozen, it is still known as paused. */
	assert_int_equal(kist_container_pause(c, NULL), 0);
	file_put(kist_container_dir(c), "state", text.data, 7);
	expect_state("live", KIST_PAUSED, 0);
	assert_int_equal(kist_container_unpause(c, NULL), 0);
	file_put(kist_container_dir(c), "state", text.data, 7);
	assert_int_equal(kist_container_stop(c, 0, NULL), 0);
	expect_state("live", KIST_EXITED, 137);
	remove_one(c);
	expect_nothing_left();
}

/* --- boots ----------------------------------------------------------------------------------------------------------
 */

/* As if the state had been written in another boot. */
static void age_state(struct kist_container *c, enum kist_status status, uint32_t run_number)
{
	c->state.status = status;
	c->state.run = run_number;
	c->state.pid = c->state.monitor_pid = 1; /* somebody else's by now, and alive */
	c->state.pid_start = c->state.monitor_start = 1;
	free(c->state.boot);
	c->state.boot = kist_strdup("00000000-0000-0000-0000-000000000000");
	assert_int_equal(kist_container_save(c, NULL), 0);
}

static void test_refresh_after_a_boot(void **state)
{
	struct kist_container *c = make("old", "true");
	struct kist_exit record = { .run = 3, .code = 5, .finished = 1 };

	(void)state;
	static const enum kist_status became_configured[] = { KIST_CONFIGURED, KIST_CREATED, KIST_RUNNING,
		                                              KIST_STOPPING, KIST_PAUSED };
	for (size_t i = 0; i < KIST_COUNT(became_configured); i++) {
		age_state(c, became_configured[i], 3);
		expect_state("old", KIST_CONFIGURED, 0);
		assert_int_equal(kist_container_reload(c, NULL), 0);
		assert_int_equal(c->state.pid, 0);
		assert_int_equal(c->state.monitor_pid, 0);
	}
	age_state(c, KIST_EXITED, 3);
	expect_state("old", KIST_EXITED, 0);
	/* The power went between the record of the end and the clean-up: the code is kept. */
	assert_int_equal(kist_exit_write(c, &record, NULL), 0);
	age_state(c, KIST_RUNNING, 3);
	expect_state("old", KIST_EXITED, 5);
	/* The record of an earlier run says nothing of this one. */
	age_state(c, KIST_RUNNING, 4);
	expect_state("old", KIST_CONFIGURED, 0);
	remove_one(c);
}

static void test_new_boot_clears_the_run_directory(void **state)
{
	struct kist_container *c = make("kept", "exit 3");

	(void)state;
	int run_dir = kist_container_rundir(c, NULL);
	file_put(run_dir, "attach", "", 0);
	file_put(k->runroot, "boot", "another", 7);
	kist_close(k);
	k = store_open();
	assert_int_equal(count_entries(k->run_containers), 0);
	kist_container_free(c);
	assert_int_equal(status_of("kept"), KIST_CONFIGURED);
	run_to_end("second", "exit 3", 3);
	remove_all();
	expect_nothing_left();
}

/* --- crashes --------------------------------------------------------------------------------------------------------
 */

/* A child does it over and over, and is killed at some moment. */
static void crash(void (*work)(struct kist *mine, int i), long microseconds)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		struct kist *mine = store_open();
		for (int i = 0;; i++)
			work(mine, i);
	}
	struct timespec t = { 0, microseconds * 1000 };
	nanosleep(&t, NULL);
	kill(pid, SIGKILL);
	kist_wait_pid(pid);
}

static void create_remove(struct kist *mine, int i)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;

	config_make(&config, "crash", "true");
	config.auto_remove = i % 2; /* without fsync: more moments in the same time */
	if (kist_container_create(mine, &config, &c, NULL) < 0)
		_exit(3);
	kist_container_config_clear(&config);
	if (kist_container_rename(c, "crash2", NULL) < 0 || kist_container_remove(c, 0, 0, NULL) < 0)
		_exit(3);
	kist_container_free(c);
}

static void expect_store_sound(void)
{
	struct kist_container **list = NULL;
	KIST_STRV char **broken = NULL;
	size_t n = 0;

	assert_int_equal(kist_container_list(k, &list, &n, &broken, NULL), 0);
	assert_null(broken);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(kist_container_remove(list[i], KIST_REMOVE_FORCE, 0, NULL), 0);
	kist_container_list_free(list, n);
	/* What a killed command left behind goes with the next list. */
	assert_int_equal(kist_container_list(k, &list, &n, NULL, NULL), 0);
	assert_int_equal(n, 0);
	kist_container_list_free(list, n);
	expect_nothing_left();
}

static void test_killed_while_it_creates_and_removes(void **state)
{
	(void)state;
	for (int i = 0; i < 150; i++) {
		crash(create_remove, 500 + 137L * i % 9000);
		expect_store_sound();
	}
}

static void run_remove(struct kist *mine, int i)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;

	config_make(&config, "crash", i % 2 ? "true" : "sleep 1000");
	if (kist_container_create(mine, &config, &c, NULL) < 0)
		_exit(3);
	kist_container_config_clear(&config);
	if (kist_container_start(c, NULL, NULL, NULL) < 0 || kist_container_remove(c, KIST_REMOVE_FORCE, 0, NULL) < 0)
		_exit(3);
	kist_container_free(c);
}

static void test_killed_while_it_runs_containers(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++) {
		crash(run_remove, 3000 + 1013L * i % 25000);
		/* A monitor may still be on its way to the gate: it gives up when it finds nobody there, or holds the
		 * lock. */
		expect_store_sound();
	}
}

static void test_monitor_killed(void **state)
{
	struct kist_container *c = run("orphan", "sleep 1000 & sleep 1000");
	int code = 0;

	(void)state;
	assert_int_equal(kist_container_sync(c, NULL), 0);
	struct kist_proc_id init = { c->state.pid, c->state.pid_start };
	assert_int_equal(kill(c->state.monitor_pid, SIGKILL), 0);
	kist_wait_pid(c->state.monitor_pid); /* our own child */
	assert_int_equal(kist_container_wait(k, "orphan", 0, &code, NULL), 0);
	assert_int_equal(code, -1);
	assert_false(kist_proc_alive(&init));
	expect_state("orphan", KIST_EXITED, -1);
	/* And it can run again. */
	assert_int_equal(kist_container_start(c, NULL, NULL, NULL), 0);
	assert_int_equal(status_of("orphan"), KIST_RUNNING);
	remove_one(c);
	expect_nothing_left();
}

/* The monitor was killed between its announcement and the first state of the run. */
static void test_leftovers_of_a_monitor(void **state)
{
	struct kist_container *c = make("half", "true");
	struct kist_proc_id id = { 0 };

	(void)state;
	pid_t dead = child_fork();
	if (dead == 0)
		_exit(0);
	pid_t alive = child_fork();
	if (alive == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(kist_container_lock(c, NULL), 0);
	assert_int_equal(kist_proc_identify(alive, &id), 0);
	c->state.pid = id.pid;
	c->state.pid_start = id.start;
	c->state.monitor_pid = dead;
	c->state.monitor_start = 1;
	kist_wait_pid(dead);
	assert_int_equal(kist_container_save_live(c, NULL), 0);
	kist_container_unlock(c);
	assert_int_equal(kist_container_reload(c, NULL), 0);
	assert_true(kist_container_has_leftovers(c));
	assert_int_equal(status_of("half"), KIST_CONFIGURED);
	assert_false(kist_container_has_leftovers(c));
	assert_int_equal(kist_wait_pid(alive), 128 + SIGKILL);
	remove_one(c);
	expect_nothing_left();
}

/* The command is gone before it said whether to go on: the monitor takes all back. */
static void test_command_gone_at_the_gate(void **state)
{
	struct kist_container *c = make("gate", "sleep 1000");

	(void)state;
	pid_t pid = child_fork();
	if (pid == 0) {
		struct kist_spawn how = { 0 };
		int control = -1;
		if (kist_container_lock(c, NULL) < 0 || kist_spawn_monitor(c, &how, &control, NULL, NULL) < 0 ||
		    kist_spawn_await(control, KIST_MSG_CREATED, NULL) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
	int status = KIST_CREATED;
	for (int i = 0; i < 500 && (status = status_of("gate")) != KIST_CONFIGURED; i++)
		nap(10);
	assert_int_equal(status, KIST_CONFIGURED);
	assert_int_equal(count_entries(kist_container_rundir(c, NULL)), 1); /* the lock */
	remove_one(c);
	expect_nothing_left();
}

/* --- life -----------------------------------------------------------------------------------------------------------
 */

static void test_codes(void **state)
{
	char id[65];
	int code = -2;

	(void)state;
	run_to_end("zero", "true", 0);
	run_to_end("seven", "exit 7", 7);
	run_to_end("killed", "kill -9 $$; sleep 10", 0); /* pid 1 is deaf to its own signals */
	struct kist_container *c = run("signal", "sleep 1000");
	assert_int_equal(kist_container_kill(c, SIGKILL, NULL), 0);
	assert_int_equal(kist_container_wait(k, "signal", 0, &code, NULL), 0);
	assert_int_equal(code, 128 + SIGKILL);
	/* Found after the removal, by the full id alone. */
	memcpy(id, kist_container_id(c), 65);
	remove_one(c);
	code = -2;
	assert_int_equal(kist_container_wait(k, id, 0, &code, NULL), 0);
	assert_int_equal(code, 128 + SIGKILL);
	struct kist_error err = { 0 };
	assert_true(kist_container_wait(k, "signal", 0, &code, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	remove_all();
	expect_nothing_left();
}

static void test_cannot_start(void **state)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	(void)state;
	config_make(&config, "missing", "true");
	kist_strv_free(config.command);
	config.command = NULL;
	kist_strv_add(&config.command, "/bin/nothing-here");
	assert_int_equal(kist_container_create(k, &config, &c, NULL), 0);
	kist_container_config_clear(&config);
	assert_true(kist_container_start(c, NULL, NULL, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXEC_MISSING);
	assert_int_equal(status_of("missing"), KIST_CONFIGURED);
	/* The record says why. */
	assert_int_equal(kist_container_reload(c, NULL), 0);
	assert_non_null(c->state.error);
	remove_one(c);
	expect_nothing_left();
}

static void test_init_start_cleanup(void **state)
{
	struct kist_container *c = make("waits", "exit 4");
	int code = -2;

	(void)state;
	assert_int_equal(kist_container_init(c, NULL), 0);
	assert_int_equal(status_of("waits"), KIST_CREATED);
	/* Nothing holds its lock while it waits. */
	assert_int_equal(kist_container_trylock(c), 0);
	kist_container_unlock(c);
	assert_int_equal(kist_container_cleanup(c, NULL), 0);
	expect_state("waits", KIST_CONFIGURED, 0);
	assert_int_equal(kist_container_init(c, NULL), 0);
	assert_int_equal(kist_container_start(c, NULL, NULL, NULL), 0);
	assert_int_equal(kist_container_wait(k, "waits", 0, &code, NULL), 0);
	assert_int_equal(code, 4);
	/* Ended at the gate by somebody else: the monitor cleans up. */
	assert_int_equal(kist_container_init(c, NULL), 0);
	assert_int_equal(kist_container_sync(c, NULL), 0);
	assert_int_equal(kill(c->state.pid, SIGKILL), 0);
	assert_int_equal(kist_container_wait(k, "waits", 1u << KIST_EXITED, &code, NULL), 0);
	assert_int_equal(code, 137);
	remove_one(c);
	expect_nothing_left();
}

static void test_pause_stop_restart(void **state)
{
	struct kist_container *c = run("p", "trap 'exit 6' TERM; while :; do sleep 0.05; done");
	struct kist_error err = { 0 };
	int code = -2;

	(void)state;
	assert_int_equal(kist_container_pause(c, NULL), 0);
	assert_true(kist_container_stop(c, 5, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	assert_int_equal(kist_container_unpause(c, NULL), 0);
	assert_int_equal(kist_container_restart(c, 5, NULL), 0);
	assert_int_equal(status_of("p"), KIST_RUNNING);
	nap(200); /* until the trap is set: no event tells */
	assert_int_equal(kist_container_stop(c, 10, NULL), 0);
	assert_int_equal(kist_container_wait(k, "p", 0, &code, NULL), 0);
	assert_int_equal(code, 6);
	kist_error_clear(&err);
	assert_true(kist_container_stop(c, 5, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STOPPED);
	/* A frozen container is removed by force. */
	assert_int_equal(kist_container_start(c, NULL, NULL, NULL), 0);
	assert_int_equal(kist_container_pause(c, NULL), 0);
	remove_one(c);
	expect_nothing_left();
}

static int several(struct kist_container *c, void *arg)
{
	struct kist_error err = { 0 };

	/* One lock for all: another handle cannot have it. */
	assert_int_equal(kist_container_trylock(arg), -EWOULDBLOCK);
	assert_int_equal(kist_container_pause(c, NULL), 0);
	assert_int_equal(kist_container_state(c)->status, KIST_PAUSED);
	assert_int_equal(kist_container_unpause(c, NULL), 0);
	assert_int_equal(kist_container_kill(c, SIGCONT, NULL), 0);
	assert_int_equal(kist_container_sync(c, NULL), 0);
	assert_int_equal(kist_container_stop(c, 1, &err), -EDEADLK);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	assert_int_equal(kist_container_restart(c, 1, NULL), -EDEADLK);
	assert_int_equal(kist_container_cleanup(c, NULL), -EDEADLK);
	assert_int_equal(kist_container_remove(c, 0, 0, NULL), -EDEADLK);
	assert_int_equal(kist_container_trylock(arg), -EWOULDBLOCK);
	return 42;
}

static void test_batch(void **state)
{
	struct kist_container *c = run("batch", "sleep 1000"), *other = NULL;

	(void)state;
	assert_int_equal(kist_container_open(k, "batch", &other, NULL), 0);
	assert_int_equal(kist_container_batch(c, several, other, NULL), 42);
	assert_int_equal(kist_container_trylock(other), 0);
	kist_container_unlock(other);
	kist_container_free(other);
	remove_one(c);
	expect_nothing_left();
}

static void test_auto_remove(void **state)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	char id[65];
	int code = -2;

	(void)state;
	config_make(&config, "gone", "sleep 0.2; exit 8");
	config.auto_remove = true;
	assert_int_equal(kist_container_create(k, &config, &c, NULL), 0);
	kist_container_config_clear(&config);
	memcpy(id, kist_container_id(c), 65);
	assert_int_equal(kist_container_start(c, NULL, NULL, NULL), 0);
	/* Another name meanwhile: the monitor lets go of the one that it has now. */
	assert_int_equal(kist_container_rename(c, "renamed", NULL), 0);
	assert_int_equal(kist_container_wait(k, id, 0, &code, NULL), 0);
	assert_int_equal(code, 8);
	kist_container_free(c);
	expect_nothing_left();
}

static void test_exec(void **state)
{
	struct kist_container *c = run("e", "sleep 1000");
	static const char *const script[] = { "/bin/sh", "-c", "exit 3", NULL };
	struct kist_exec exec = { .args = (char **)script };
	struct kist_error err = { 0 };
	char session[65];
	int code = -2;

	(void)state;
	assert_int_equal(kist_container_exec(c, &exec, session, &code, NULL), 0);
	assert_int_equal(code, 3);
	static const char *const nothing[] = { "/nothing", NULL };
	exec.args = (char **)nothing;
	assert_true(kist_container_exec(c, &exec, session, &code, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXEC_MISSING);
	/* It ends with the container, and its command hears of that. */
	static const char *const long_one[] = { "/bin/sleep", "1000", NULL };
	exec.args = (char **)long_one;
	pid_t pid = child_fork();
	if (pid == 0) {
		struct kist_error problem = { 0 };
		int r = kist_container_exec(c, &exec, session, &code, &problem);
		_exit(r == 0 ? code : 99);
	}
	nap(300);
	assert_int_equal(kist_container_stop(c, 0, NULL), 0);
	assert_int_equal(kist_wait_pid(pid), 137);
	remove_one(c);
	expect_nothing_left();
}

/* Descriptors that are the store's own are not the caller's to pass on. */
static void test_preserved_fds_are_the_callers(void **state)
{
	struct kist_container *c = make("fds", "true");
	struct kist_start start = { .preserve_fds = 1 };
	struct kist_error err = { 0 };
	int saved = fcntl(3, F_DUPFD_CLOEXEC, 100), own = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(own >= 0);
	if (own != 3)
		assert_int_equal(dup3(own, 3, O_CLOEXEC), 3);
	assert_true(kist_container_start(c, &start, NULL, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	if (own != 3)
		close(own);
	if (saved >= 0) {
		dup3(saved, 3, O_CLOEXEC);
		close(saved);
	}
	remove_one(c);
}

static void test_many_at_once(void **state)
{
	enum { N = 16 };
	pid_t pids[N];

	(void)state;
	for (int i = 0; i < N; i++) {
		pids[i] = child_fork();
		if (pids[i])
			continue;
		struct kist *mine = store_open();
		struct kist_container_config config;
		struct kist_container *c = NULL;
		KIST_FREE char *script = kist_asprintf("exit %d", i);
		int code = -2;
		config_make(&config, NULL, script);
		if (kist_container_create(mine, &config, &c, NULL) < 0 ||
		    kist_container_start(c, NULL, NULL, NULL) < 0 ||
		    kist_container_wait(mine, kist_container_id(c), 0, &code, NULL) < 0 || code != i ||
		    kist_container_remove(c, 0, 0, NULL) < 0)
			_exit(1);
		_exit(0);
	}
	for (int i = 0; i < N; i++)
		assert_int_equal(kist_wait_pid(pids[i]), 0);
	expect_nothing_left();
}

int main(int argc, char **argv)
{
	/* The engine executes this program again to be a monitor. */
	if (argc > 0 && kist_streq(argv[0], "kist-monitor"))
		return kist_monitor_main(argc, argv, NULL);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_and_open),
		cmocka_unit_test(test_ambiguous_prefix),
		cmocka_unit_test(test_create_refused),
		cmocka_unit_test(test_list_rename_remove),
		cmocka_unit_test(test_list_brief),
		cmocka_unit_test(test_dependents),
		cmocka_unit_test(test_config_cut_anywhere),
		cmocka_unit_test(test_config_of_another),
		cmocka_unit_test(test_evict_ends_what_runs),
		cmocka_unit_test(test_exited_state_cut_anywhere),
		cmocka_unit_test(test_running_state_cut_anywhere),
		cmocka_unit_test(test_refresh_after_a_boot),
		cmocka_unit_test(test_new_boot_clears_the_run_directory),
		cmocka_unit_test(test_killed_while_it_creates_and_removes),
		cmocka_unit_test(test_killed_while_it_runs_containers),
		cmocka_unit_test(test_monitor_killed),
		cmocka_unit_test(test_leftovers_of_a_monitor),
		cmocka_unit_test(test_command_gone_at_the_gate),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_cannot_start),
		cmocka_unit_test(test_init_start_cleanup),
		cmocka_unit_test(test_pause_stop_restart),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_auto_remove),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_preserved_fds_are_the_callers),
		cmocka_unit_test(test_many_at_once),
	};
	return cmocka_run_group_tests_name("container", tests, store_setup, store_teardown);
}
