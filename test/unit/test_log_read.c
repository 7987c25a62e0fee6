/* The log's writer and its reader together. */
#include "test/unit/view_help.h"

#include "core/log.h"

#include <signal.h>

struct seen {
	struct kist_str text; /* lines, partial ones joined */
	size_t lines, errors, partial;
	int64_t last;
	size_t stop_after; /* 0: never */
};

static int see(void *arg, const struct kist_log_line *line)
{
	struct seen *s = arg;

	kist_str_addn(&s->text, line->text, line->len);
	if (!line->partial) {
		kist_str_addc(&s->text, '\n');
		s->lines++;
	}
	s->partial += line->partial;
	s->errors += line->stream == 2;
	s->last = line->time;
	return s->stop_after && s->lines >= s->stop_after;
}

static struct kist_container *make(const char *driver, uint64_t size, uint32_t files)
{
	struct kist_container_config config;

	kist_container_config_init(&config);
	free(config.log_driver);
	config.log_driver = kist_strdup(driver);
	config.log_max_size = size;
	config.log_max_files = files;
	struct kist_container *c = container_make(&config, "logged");
	kist_container_config_clear(&config);
	return c;
}

static struct kist_log_writer *writer(struct kist_container *c)
{
	struct kist_log_writer *w = NULL;

	assert_int_equal(kist_log_writer_open(&w, &c->config, kist_container_dir(c), NULL), 0);
	return w;
}

static void put(struct kist_log_writer *w, int stream, const char *text)
{
	kist_log_writer_write(w, stream, text, strlen(text));
}

static void look(struct kist_container *c, struct kist_log_options options, struct seen *seen)
{
	struct kist_error err = { 0 };

	kist_str_free(&seen->text);
	size_t stop = seen->stop_after;
	*seen = (struct seen){ .stop_after = stop };
	if (kist_container_logs(c, &options, see, seen, &err) < 0)
		fail_msg("logs: %s", err.text);
}

static const char *const both[] = { "k8s-file", "json-file" };

static void test_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIST_COUNT(both); i++) {
		struct kist_container *c = make(both[i], 0, 1);
		struct kist_log_writer *w = writer(c);
		struct seen seen = { 0 };
		KIST_FREE char *longest = kist_alloc(100001);

		memset(longest, 'x', 100000);
		put(w, 1, "one\ntwo \"quoted\" \\ \ttab\n\n");
		put(w, 2, "err\n");
		put(w, 1, longest);
		put(w, 1, "\nend");
		kist_log_writer_close(w);
		look(c, (struct kist_log_options){ .tail = -1 }, &seen);
		KIST_FREE char *expected = kist_asprintf("one\ntwo \"quoted\" \\ \ttab\n\nerr\n%s\nend", longest);
		assert_string_equal(kist_str_get(&seen.text), expected);
		assert_int_equal(seen.errors, 1);
		assert_true(seen.partial >= 7); /* the long line's pieces, and the end */
		kist_str_free(&seen.text);
		container_drop(c);
	}
}

static void test_tail(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIST_COUNT(both); i++) {
		struct kist_container *c = make(both[i], 0, 1);
		struct kist_log_writer *w = writer(c);
		struct seen seen = { 0 };
		KIST_STR struct kist_str longest = { 0 };

		for (int n = 0; n < 50000; n++)
			kist_str_addc(&longest, 'y');
		for (int n = 0; n < 20000; n++) {
			char line[32];
			snprintf(line, sizeof(line), "line %d\n", n);
			put(w, 1, line);
		}
		put(w, 1, kist_str_get(&longest));
		put(w, 1, "\nlast\n");
		put(w, 1, "open");
		kist_log_writer_close(w);

		look(c, (struct kist_log_options){ .tail = 1 }, &seen);
		assert_string_equal(kist_str_get(&seen.text), "open");
		look(c, (struct kist_log_options){ .tail = 2 }, &seen);
		assert_string_equal(kist_str_get(&seen.text), "last\nopen");
		/* A long line counts once and is whole. */
		look(c, (struct kist_log_options){ .tail = 3 }, &seen);
		assert_int_equal(seen.text.len, 50001 + strlen("last\nopen"));
		look(c, (struct kist_log_options){ .tail = 4 }, &seen);
		assert_memory_equal(seen.text.data, "line 19999\nyyy", 14);
		look(c, (struct kist_log_options){ .tail = 15000 }, &seen);
		assert_int_equal(seen.lines, 14999);
		assert_memory_equal(seen.text.data, "line 5003\n", 10);
		look(c, (struct kist_log_options){ .tail = 1000000 }, &seen);
		assert_memory_equal(seen.text.data, "line 0\n", 7);
		look(c, (struct kist_log_options){ .tail = 0 }, &seen);
		assert_int_equal(seen.text.len, 0);
		kist_str_free(&seen.text);
		container_drop(c);
	}
}

static void test_rotation(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(both); i++) {
		struct kist_container *c = make(both[i], 20000, 4);
		struct kist_log_writer *w = writer(c);
		int first = -1, last = -1, count = 0;

		for (int n = 0; n < 3000; n++) {
			char line[32];
			snprintf(line, sizeof(line), "%d\n", n);
			put(w, 1, line);
		}
		kist_log_writer_close(w);
		assert_true(kist_exists_at(kist_container_dir(c), "ctr.log.3"));
		assert_false(kist_exists_at(kist_container_dir(c), "ctr.log.4"));
		look(c, (struct kist_log_options){ .tail = -1 }, &seen);
		KIST_STRV char **lines = kist_strv_split(kist_str_get(&seen.text), '\n');
		for (; lines[count] && *lines[count]; count++) {
			int64_t number;
			assert_int_equal(kist_parse_i64(lines[count], &number), 0);
			if (first < 0)
				first = (int)number;
			else
				assert_int_equal(number, last + 1); /* oldest first, no gap */
			last = (int)number;
		}
		assert_int_equal(last, 2999);
		assert_true(count > 600);
		/* A tail that reaches over several files. */
		look(c, (struct kist_log_options){ .tail = count - 10 }, &seen);
		assert_int_equal(seen.lines, count - 10);
		kist_str_free(&seen.text);
		container_drop(c);
	}
}

static void test_since_until(void **state)
{
	struct kist_container *c = make("k8s-file", 0, 1);
	struct kist_log_writer *w = writer(c);
	struct seen seen = { 0 };

	(void)state;
	put(w, 1, "old\n");
	int64_t middle = kist_now_wall() + 1;
	while (kist_now_wall() <= middle)
		continue;
	put(w, 1, "new\n");
	kist_log_writer_close(w);
	look(c, (struct kist_log_options){ .tail = -1, .since = middle }, &seen);
	assert_string_equal(kist_str_get(&seen.text), "new\n");
	look(c, (struct kist_log_options){ .tail = -1, .until = middle }, &seen);
	assert_string_equal(kist_str_get(&seen.text), "old\n");
	/* The tail is of what is in the range. */
	look(c, (struct kist_log_options){ .tail = 1, .until = middle }, &seen);
	assert_string_equal(kist_str_get(&seen.text), "old\n");
	look(c, (struct kist_log_options){ .tail = -1, .since = kist_now_wall() + KIST_NSEC_PER_SEC }, &seen);
	assert_int_equal(seen.text.len, 0);
	kist_str_free(&seen.text);
	container_drop(c);
}

/* Every record that is whole is shown, whatever is around it. */
static void test_damage(void **state)
{
	static const char good[] = "2026-01-02T03:04:05.000000001Z stdout F good\n";
	static const char *const bad[] = {
		"\n",
		"garbage\n",
		"2026-01-02T03:04:05Z\n",
		"2026-01-02T03:04:05Z stdout\n",
		"2026-01-02T03:04:05Z stdin F x\n",
		"2026-01-02T03:04:05Z stdout X x\n",
		"2026-13-02T03:04:05Z stdout F x\n",
		"10m stdout F x\n",
		"\x01\xff\xfe\n",
		"2026-01-02T03:04:05.000000001Z stdout FF x\n",
	};
	struct kist_container *c = make("k8s-file", 0, 1);
	struct seen seen = { 0 };
	KIST_STR struct kist_str text = { 0 };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		kist_str_addf(&text, "%s%s", bad[i], good);
	/* A record without an end that would fill the memory, and one that the power cut left. */
	for (size_t i = 0; i < 3000000; i++)
		kist_str_addc(&text, 'z');
	kist_str_addf(&text, "\n%s2026-01-02T03:04:05Z stdo", good);
	assert_int_equal(kist_replace_file(kist_container_dir(c), "ctr.log", text.data, text.len, 0640, 0), 0);
	look(c, (struct kist_log_options){ .tail = -1 }, &seen);
	assert_int_equal(seen.lines, KIST_COUNT(bad) + 1);
	assert_int_equal(seen.partial, 0);
	for (int64_t tail = 1; tail <= 11; tail++) {
		look(c, (struct kist_log_options){ .tail = tail }, &seen);
		assert_int_equal(seen.lines, tail);
	}
	seen.stop_after = 3;
	look(c, (struct kist_log_options){ .tail = -1 }, &seen);
	assert_int_equal(seen.lines, 3);
	kist_str_free(&seen.text);
	container_drop(c);
}

/* A file cut at every place gives its whole records and no crash. */
static void test_cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIST_COUNT(both); i++) {
		struct kist_container *c = make(both[i], 0, 1);
		struct kist_log_writer *w = writer(c);
		KIST_STR struct kist_str whole = { 0 };
		struct seen seen = { 0 };

		put(w, 1, "one\ntwo\n");
		put(w, 2, "three\n");
		kist_log_writer_close(w);
		assert_true(kist_read_file(kist_container_dir(c), "ctr.log", 1 << 20, &whole) >= 0);
		for (size_t n = 0; n <= whole.len; n++) {
			size_t newlines = 0;
			for (size_t at = 0; at < n; at++)
				newlines += whole.data[at] == '\n';
			assert_int_equal(kist_replace_file(kist_container_dir(c), "ctr.log", whole.data, n, 0640, 0),
			                 0);
			look(c, (struct kist_log_options){ .tail = -1 }, &seen);
			assert_int_equal(seen.lines, newlines);
		}
		kist_str_free(&seen.text);
		container_drop(c);
	}
}

static void test_none_and_absent(void **state)
{
	struct kist_container *c = make("none", 0, 1);
	struct kist_error err = { 0 };
	struct seen seen = { 0 };
	struct kist_log_options all = { .tail = -1 };

	(void)state;
	assert_true(kist_container_logs(c, &all, see, &seen, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "container logged has log driver none: it keeps no log"));
	container_drop(c);
	/* Never started: there is no file, which is an empty log. Following it ends at once. */
	c = make("k8s-file", 0, 1);
	look(c, all, &seen);
	assert_int_equal(seen.lines, 0);
	all.follow = true;
	look(c, all, &seen);
	assert_int_equal(seen.lines, 0);
	kist_str_free(&seen.text);
	container_drop(c);
}

/* --- following ------------------------------------------------------------------------------------------------------
 */

/* A monitor in its own process: it writes, rotates, saves 'exited' and leaves. */
static pid_t monitor_fork(struct kist_container *c, int lines, bool record_end)
{
	int gate[2];

	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	pid_t pid = fork_bound();
	assert_true(pid >= 0);
	if (pid == 0) {
		char go;
		if (read(gate[0], &go, 1) != 1)
			_exit(1);
		struct kist_log_writer *w = NULL;
		if (kist_log_writer_open(&w, &c->config, kist_container_dir(c), NULL) < 0)
			_exit(1);
		for (int n = 0; n < lines; n++) {
			char line[64];
			snprintf(line, sizeof(line), "line %d of a container that goes on\n", n);
			kist_log_writer_write(w, 1 + n % 2, line, strlen(line));
			if (n % 100 == 0)
				usleep(2000);
		}
		kist_log_writer_close(w);
		if (record_end) {
			c->state.status = KIST_EXITED;
			kist_container_save(c, NULL);
		}
		_exit(0);
	}
	container_runs(c, pid, pid);
	assert_int_equal(write(gate[1], "g", 1), 1);
	close(gate[0]);
	close(gate[1]);
	return pid;
}

static void follow(uint64_t max_size, uint32_t files, bool record_end)
{
	struct kist_container *c = make("k8s-file", max_size, files);
	struct seen seen = { 0 };
	char expected[64];

	alarm(60); /* a reader that misses the end would wait for ever */
	pid_t pid = monitor_fork(c, 3000, record_end);
	look(c, (struct kist_log_options){ .tail = -1, .follow = true }, &seen);
	assert_int_equal(seen.lines, 3000);
	assert_int_equal(seen.errors, 1500);
	KIST_STRV char **lines = kist_strv_split(kist_str_get(&seen.text), '\n');
	for (int n = 0; n < 3000; n++) {
		snprintf(expected, sizeof(expected), "line %d of a container that goes on", n);
		assert_string_equal(lines[n], expected);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	alarm(0);
	kist_str_free(&seen.text);
	container_drop(c);
}

static void test_follow(void **state)
{
	(void)state;
	follow(0, 1, true);
}

static void test_follow_rotation(void **state)
{
	(void)state;
	follow(10000, 1000, true);
}

/* Killed before it could say 'exited': its end is the end. */
static void test_follow_lost_monitor(void **state)
{
	(void)state;
	follow(0, 1, false);
}

static void test_follow_stops(void **state)
{
	struct kist_container *c = make("k8s-file", 0, 1);
	struct seen seen = { .stop_after = 10 };

	(void)state;
	alarm(60);
	pid_t pid = monitor_fork(c, 200, true);
	look(c, (struct kist_log_options){ .tail = -1, .follow = true }, &seen);
	assert_int_equal(seen.lines, 10);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* Until a time that comes while nothing is written. */
	pid = fork_bound();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	container_runs(c, pid, pid);
	seen.stop_after = 0;
	look(c,
	     (struct kist_log_options){
	             .tail = 5, .follow = true, .until = kist_now_wall() + 200 * KIST_NSEC_PER_MSEC },
	     &seen);
	assert_int_equal(seen.lines, 5);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	alarm(0);
	kist_str_free(&seen.text);
	container_drop(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_tail),
		cmocka_unit_test(test_rotation),        cmocka_unit_test(test_since_until),
		cmocka_unit_test(test_damage),          cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_none_and_absent), cmocka_unit_test(test_follow),
		cmocka_unit_test(test_follow_rotation), cmocka_unit_test(test_follow_lost_monitor),
		cmocka_unit_test(test_follow_stops),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
