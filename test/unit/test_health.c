/* Health checks: what users write, what outcomes lead to, what a record holds. */
#include "store_help.h"

#include <json-c/json.h>

static void test_parse(void **state)
{
	static const struct {
		const char *text, *joined; /* NULL: refused */
	} rows[] = {
		{ "curl -f http://x/ || exit 1", "CMD-SHELL|curl -f http://x/ || exit 1" },
		{ "CMD-SHELL  a  b", "CMD-SHELL| a  b" },
		{ "CMD a b", "CMD|a|b" },
		{ "cmd a", "CMD|a" },
		{ "[\"CMD\", \"a b\", \"c\"]", "CMD|a b|c" },
		{ "[\"CMD-SHELL\", \"a b\"]", "CMD-SHELL|a b" },
		{ "[\"a\", \"b c\"]", "CMD|a|b c" },
		{ "[\"a b\"]", "CMD-SHELL|a b" },
		{ "[ -f /x ]", "CMD-SHELL|[ -f /x ]" },
		{ "none", "NONE" },
		{ "[\"NONE\"]", "NONE" },
		{ "", NULL },
		{ " ", NULL },
		{ "CMD", NULL },
		{ "CMD-SHELL", NULL },
		{ "[\"\"]", NULL },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		KIST_STRV char **test = NULL;
		struct kist_error err = { 0 };
		int r = kist_health_parse_test(rows[i].text, &test, &err);
		KIST_FREE char *joined = kist_strv_join(test, "|");
		assert_int_equal(r < 0, rows[i].joined == NULL);
		if (rows[i].joined)
			assert_string_equal(joined, rows[i].joined);
		else
			assert_int_equal(err.kind, KIST_ERR_INVALID);
	}
}

static void test_output(void **state)
{
	static const struct {
		const char *data;
		size_t len;
		uint32_t size;
		const char *want;
	} rows[] = {
		{ "abc", 3, 0, "abc" },     { "abc", 3, 2, "ab" },
		{ "a\0b", 3, 0, "a?b" },    { "\xff\xc3\xa9", 3, 0, "?\xc3\xa9" },
		{ "a\xc3\xa9", 3, 2, "a" }, /* no cut through a character */
		{ "", 0, 5, "" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		KIST_FREE char *text = kist_health_output(rows[i].data, rows[i].len, rows[i].size);
		assert_string_equal(text, rows[i].want);
	}
	char *big = kist_alloc(1u << 20);
	memset(big, 'x', 1u << 20);
	KIST_FREE char *text = kist_health_output(big, 1u << 20, 0);
	assert_in_range(strlen(text), 1000, 1u << 17);
	free(big);
}

static enum kist_health_step take(const struct kist_health_config *config, struct kist_health *health, int code,
                                  bool early)
{
	struct kist_health_log log = { .start = 1, .end = 2, .exit_code = code, .output = kist_strdup("said") };
	enum kist_health_step step = kist_health_take(config, health, &log, early);

	assert_null(log.output); /* the record has it now */
	return step;
}

static void test_take(void **state)
{
	char *test[] = { (char *)"CMD", (char *)"x", NULL }, *startup[] = { (char *)"CMD", (char *)"s", NULL };
	struct kist_health_config config = { .test = test, .retries = 2, .log_count = 3 };
	struct kist_health health;

	(void)state;
	kist_table_init(&kist_health_table, &health);
	assert_int_equal(health.status, KIST_HEALTH_STARTING);
	/* In the start period nothing counts, but a success does. */
	for (int i = 0; i < 5; i++)
		assert_int_equal(take(&config, &health, 1, true), KIST_HEALTH_GOES_ON);
	assert_int_equal(health.status, KIST_HEALTH_STARTING);
	assert_int_equal(health.failing_streak, 0);
	assert_int_equal(health.n_log, 3);
	assert_int_equal(take(&config, &health, 0, true), KIST_HEALTH_GOES_ON);
	assert_int_equal(health.status, KIST_HEALTH_HEALTHY);
	assert_int_equal(take(&config, &health, 1, false), KIST_HEALTH_GOES_ON);
	assert_int_equal(health.status, KIST_HEALTH_HEALTHY);
	assert_int_equal(health.failing_streak, 1);
	assert_int_equal(take(&config, &health, -1, false), KIST_HEALTH_FAILING);
	assert_int_equal(health.status, KIST_HEALTH_UNHEALTHY);
	assert_int_equal(take(&config, &health, 0, false), KIST_HEALTH_GOES_ON);
	assert_int_equal(health.status, KIST_HEALTH_HEALTHY);
	assert_int_equal(health.failing_streak, 0);
	assert_int_equal(health.log[2].exit_code, 0);
	kist_health_clear(&health);

	/* The startup check comes first, and may give up. */
	config.startup_test = startup;
	config.startup_success = 2;
	config.startup_retries = 3;
	kist_table_init(&kist_health_table, &health);
	assert_ptr_equal(kist_health_test(&config, &health), startup);
	take(&config, &health, 0, false);
	take(&config, &health, 1, false);
	assert_false(health.started);
	take(&config, &health, 0, false);
	assert_false(health.started);
	take(&config, &health, 0, false);
	assert_true(health.started);
	assert_ptr_equal(kist_health_test(&config, &health), test);
	kist_health_clear(&health);
	kist_table_init(&kist_health_table, &health);
	assert_int_equal(take(&config, &health, 1, false), KIST_HEALTH_GOES_ON);
	assert_int_equal(take(&config, &health, 1, false), KIST_HEALTH_GOES_ON);
	assert_int_equal(take(&config, &health, 1, false), KIST_HEALTH_HOPELESS);
	assert_int_equal(health.status, KIST_HEALTH_STARTING);
	kist_health_clear(&health);
}

/* Whatever the configuration asks for, the record stays one that can be read again. */
static void test_record_bounded(void **state)
{
	struct kist_health_config config = { .retries = 1 };
	struct kist_health health, again;
	KIST_STR struct kist_str text = { 0 };
	char *big = kist_alloc(60000);

	(void)state;
	memset(big, '\\', 59999);
	kist_table_init(&kist_health_table, &health);
	for (int i = 0; i < 100; i++) {
		struct kist_health_log log = { .exit_code = i, .output = kist_strdup(big) };
		kist_health_take(&config, &health, &log, false);
	}
	free(big);
	kist_kv_write(&kist_health_table, &health, NULL, &text);
	assert_true(text.len < KIST_RECORD_MAX);
	kist_table_init(&kist_health_table, &again);
	assert_int_equal(kist_kv_read(&kist_health_table, kist_str_get(&text), &again, NULL, NULL), 0);
	assert_true(kist_table_equal(&kist_health_table, &health, &again));
	kist_health_clear(&health);
	kist_health_clear(&again);
}

static void test_image(void **state)
{
	static const struct {
		const char *document, *test;
		int64_t interval;
		uint32_t retries;
		bool refused;
	} rows[] = {
		{ "{}", NULL, 7, 3, false },
		{ "{\"config\":{\"Healthcheck\":null}}", NULL, 7, 3, false },
		{ "{\"config\":{\"Healthcheck\":{\"Test\":[]}}}", NULL, 7, 3, false },
		{ "{\"config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"],\"Interval\":5000000000,\"Retries\":9}}}",
		  "CMD|a", 5000000000, 9, false },
		{ "{\"config\":{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"a b\"],\"Interval\":0}}}", "CMD-SHELL|a b",
		  7, 3, false },
		{ "{\"config\":{\"Healthcheck\":{\"Test\":[\"NONE\"]}}}", "NONE", 7, 3, false },
		{ "{\"config\":{\"Healthcheck\":{\"Test\":[\"rm\"]}}}", NULL, 7, 3, true },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct kist_image image = { .document = json_tokener_parse(rows[i].document) };
		struct kist_health_config config = { .interval = 7, .retries = 3 };
		int r = kist_health_of_image(&image, &config, NULL);
		KIST_FREE char *joined = kist_strv_join(config.test, "|");
		assert_int_equal(r < 0, rows[i].refused);
		if (rows[i].test)
			assert_string_equal(joined, rows[i].test);
		else
			assert_null(config.test);
		assert_int_equal(config.interval, rows[i].interval);
		assert_int_equal(config.retries, rows[i].retries);
		kist_strv_free(config.test);
		json_object_put(image.document);
	}
}

static void test_check(void **state)
{
	char *test[] = { (char *)"CMD", (char *)"x", NULL };
	const struct kist_health_config sound = { .test = test,
		                                  .retries = 1,
		                                  .timeout = 1000000000,
		                                  .startup_timeout = 1000000000,
		                                  .log_destination = (char *)"local" };
	struct kist_health_config config = sound;

	(void)state;
	assert_int_equal(kist_health_check(&config, NULL), 0);
	config.retries = 0;
	assert_true(kist_health_check(&config, NULL) < 0);
	config = sound;
	config.timeout--;
	assert_true(kist_health_check(&config, NULL) < 0);
	config = sound;
	config.log_destination = (char *)"relative";
	assert_true(kist_health_check(&config, NULL) < 0);
	config = sound;
	config.startup_test = test;
	config.test = NULL;
	assert_true(kist_health_check(&config, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),          cmocka_unit_test(test_output), cmocka_unit_test(test_take),
		cmocka_unit_test(test_record_bounded), cmocka_unit_test(test_image),  cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
