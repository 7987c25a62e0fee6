/* Events: the line, the rotation, who keeps the file open over one, and the reader. */
#include "child.h"
#include "store_help.h"

#include "core/base/clock.h"

#include <json-c/json.h>
#include <poll.h>
#include <signal.h>

struct seen {
	size_t n, stop_after;
	struct kist_str statuses, last;
};

static const char *text_of(struct json_object *document, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(document, key, &value) ? json_object_get_string(value) : NULL;
}

static int see(void *arg, struct json_object *document)
{
	struct seen *s = arg;

	kist_str_addf(&s->statuses, "%s ", text_of(document, "Status"));
	kist_str_clear(&s->last);
	kist_str_add(&s->last, json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN));
	return ++s->n == s->stop_after;
}

static void look(struct kist *store, struct kist_event_options options, struct seen *s)
{
	struct kist_error err = { 0 };

	if (kist_events(store, &options, see, s, &err) < 0)
		fail_msg("%s", err.text);
}

static void forget(struct seen *s)
{
	kist_str_free(&s->statuses);
	kist_str_free(&s->last);
	*s = (struct seen){ 0 };
}

static void put(struct kist *store, const char *status, char *const *attributes)
{
	struct kist_event event = { .type = "system", .status = status, .attributes = attributes };

	kist_event_write(store, &event);
}

static off_t size_of(const char *name)
{
	struct stat st;

	return fstatat(k->runroot, name, &st, 0) == 0 ? st.st_size : -1;
}

static int clear(void **state)
{
	(void)state;
	unlinkat(k->runroot, KIST_EVENTS_LOG, 0);
	unlinkat(k->runroot, KIST_EVENTS_OLD, 0);
	kist_close_fd(&k->events);
	return 0;
}

static void test_keys(void **state)
{
	struct seen s = { 0 };
	char *labels[] = { (char *)"a=b=c", (char *)"bare", NULL };
	struct kist_event event = {
		.type = "container",
		.status = "died",
		.id = "0123",
		.name = "web\n\"x\"",
		.image = "localhost/i:latest",
		.health_status = "unhealthy",
		.failing_streak = 3,
		.pod = "77",
		.oom_killed = true,
		.exit_code = { .set = true, .value = 137 },
		.attributes = labels,
		.time = 1000000000LL * KIST_NSEC_PER_SEC,
	};

	(void)state;
	kist_event_write(k, &event);
	look(k, (struct kist_event_options){ .past = true }, &s);
	assert_string_equal(
	        kist_str_get(&s.last),
	        "{\"ContainerExitCode\":137,\"ID\":\"0123\",\"Image\":\"localhost\\/"
	        "i:latest\",\"Name\":\"web\\n\\\"x\\\"\","
	        "\"Status\":\"died\",\"Time\":\"2001-09-09T01:46:40.000000000Z\",\"Type\":\"container\","
	        "\"health_status\":\"unhealthy\",\"health_failing_streak\":3,\"OOMKilled\":true,\"PodID\":\"77\","
	        "\"Attributes\":{\"a\":\"b=c\",\"bare\":\"\"}}");
	forget(&s);
	/* Outside of what is asked for. */
	look(k, (struct kist_event_options){ .since = event.time + 1 }, &s);
	look(k, (struct kist_event_options){ .until = event.time - 1 }, &s);
	assert_int_equal(s.n, 0);
	look(k, (struct kist_event_options){ .since = event.time, .until = event.time, .stream = true }, &s);
	assert_int_equal(s.n, 1);
	forget(&s);
}

static void test_none(void **state)
{
	(void)state;
	k->settings.events = KIST_EVENTS_NONE;
	put(k, "one", NULL);
	k->settings.events = KIST_EVENTS_FILE;
	assert_int_equal(size_of(KIST_EVENTS_LOG), -1);
}

/* Torn by a full file system, or written by somebody else: the lines around it are read. */
static void test_damaged(void **state)
{
	struct seen s = { 0 };
	static const char bad[] = "{\"Status\":\"cut\n\n[]\n{\"Status\":\"timeless\"}\n\xff\xfe\n";

	(void)state;
	put(k, "one", NULL);
	int fd KIST_CLOSE = openat(k->runroot, KIST_EVENTS_LOG, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(kist_write_all(fd, bad, sizeof(bad) - 1), 0);
	put(k, "two", NULL);
	look(k, (struct kist_event_options){ .past = true }, &s);
	assert_string_equal(kist_str_get(&s.statuses), "one two ");
	forget(&s);
}

/* A label of any size makes no line of any size. */
static void test_attributes_bounded(void **state)
{
	char *big = kist_alloc((1u << 20) + 3);
	char *labels[] = { big, (char *)"small=1", NULL };
	struct seen s = { 0 };

	(void)state;
	memset(big, 'x', (1u << 20) + 2);
	big[1] = '=';
	put(k, "one", labels);
	assert_true(size_of(KIST_EVENTS_LOG) < 4096);
	look(k, (struct kist_event_options){ .past = true }, &s);
	assert_non_null(strstr(kist_str_get(&s.last), "\"small\":\"1\""));
	free(big);
	forget(&s);
}

/* Bounded for ever, and a writer that keeps the file open over rotations by others writes to the new one. */
static void test_rotation(void **state)
{
	struct kist *other = store_open();
	struct seen s = { 0 };
	char label[8192];
	char *labels[] = { label, NULL };

	(void)state;
	memset(label, 'x', sizeof(label) - 1);
	label[1] = '=';
	label[sizeof(label) - 1] = '\0';
	put(other, "first", NULL);
	for (int i = 0; i < 500; i++) {
		put(k, "fill", labels);
		assert_true(size_of(KIST_EVENTS_LOG) < KIST_EVENTS_MAX + 16384);
		assert_true(size_of(KIST_EVENTS_OLD) < KIST_EVENTS_MAX + 16384);
	}
	assert_true(size_of(KIST_EVENTS_OLD) >= KIST_EVENTS_MAX);
	off_t before = size_of(KIST_EVENTS_LOG);
	put(other, "last", NULL);
	assert_true(size_of(KIST_EVENTS_LOG) > before);
	look(k, (struct kist_event_options){ .past = true }, &s);
	assert_true(kist_has_suffix(kist_str_get(&s.statuses), "fill last "));
	/* At least the whole older file. */
	assert_true(s.n > KIST_EVENTS_MAX / 8500);
	forget(&s);
	kist_close(other);
}

#define FOLLOWED 600

struct order {
	uint32_t next;
	bool told;
};

static int in_order(void *arg, struct json_object *document)
{
	struct order *order = arg;
	uint32_t number;

	/* The writer waits for this. */
	if (!order->told)
		file_put(k->runroot, "go", "1", 1);
	order->told = true;
	if (kist_parse_u32(text_of(document, "Status"), &number) < 0)
		return 0;
	if (number != order->next)
		_exit(3);
	return ++order->next == FOLLOWED;
}

/* A reader that follows sees each event once, in order, over several rotations. */
static void test_follow(void **state)
{
	char label[8192];
	char *labels[] = { label, NULL };

	(void)state;
	memset(label, 'x', sizeof(label) - 1);
	label[1] = '=';
	label[sizeof(label) - 1] = '\0';
	put(k, "before", NULL);
	pid_t writer = child_fork();
	if (writer == 0) {
		struct kist *own = store_open();
		/* Until the reader is there: it begins with what comes, so the first ones may be too early for it. */
		for (int i = 0; i < 20000 && size_of("go") < 0; i++) {
			put(own, "early", NULL);
			kist_sleep_ns(KIST_NSEC_PER_MSEC);
		}
		for (int i = 0; i < FOLLOWED; i++) {
			KIST_FREE char *status = kist_asprintf("%d", i);
			put(own, status, labels);
			/* Two rotations behind is too far behind: a bound, and no promise. */
			if (i % 50 == 49)
				kist_sleep_ns(20 * KIST_NSEC_PER_MSEC);
		}
		_exit(0);
	}
	struct seen early = { .stop_after = 1 };
	look(k, (struct kist_event_options){ .stream = true }, &early);
	assert_string_equal(kist_str_get(&early.statuses), "early ");
	forget(&early);
	pid_t reader = child_fork();
	if (reader == 0) {
		struct order order = { 0 };
		alarm(60);
		int r = kist_events(k, &(struct kist_event_options){ .stream = true }, in_order, &order, NULL);
		_exit(r < 0 ? 4 : order.next == FOLLOWED ? 0 : 5);
	}
	assert_int_equal(kist_wait_pid(reader), 0);
	assert_int_equal(kist_wait_pid(writer), 0);
	unlinkat(k->runroot, "go", 0);
}

/* Many at once: each line is whole. */
static void test_concurrent(void **state)
{
	struct seen s = { 0 };
	pid_t pids[8];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(pids); i++) {
		pids[i] = child_fork();
		if (pids[i] == 0) {
			struct kist *own = store_open();
			for (int j = 0; j < 200; j++)
				put(own, "one", (char *[]){ (char *)"some=label", NULL });
			_exit(0);
		}
	}
	for (size_t i = 0; i < KIST_COUNT(pids); i++)
		assert_int_equal(kist_wait_pid(pids[i]), 0);
	look(k, (struct kist_event_options){ .past = true }, &s);
	assert_int_equal(s.n, 8 * 200);
	forget(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_keys, clear),       cmocka_unit_test_setup(test_none, clear),
		cmocka_unit_test_setup(test_damaged, clear),    cmocka_unit_test_setup(test_attributes_bounded, clear),
		cmocka_unit_test_setup(test_rotation, clear),   cmocka_unit_test_setup(test_follow, clear),
		cmocka_unit_test_setup(test_concurrent, clear),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
