/* Restart policies: what is read, and what they say of every end. The reference is libpod's shouldRestart. */
#include "core/restart.h"

#include "core/base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	static const struct {
		const char *text, *policy;
		uint32_t retries;
	} good[] = {
		{ "no", "no", 0 },
		{ "never", "no", 0 },
		{ "always", "always", 0 },
		{ "unless-stopped", "unless-stopped", 0 },
		{ "on-failure", "on-failure", 0 },
		{ "on-failure:0", "on-failure", 0 },
		{ "on-failure:3", "on-failure", 3 },
		{ "on-failure:4294967295", "on-failure", UINT32_MAX },
	};
	static const char *const bad[] = { "",
		                           "sometimes",
		                           "Always",
		                           "always:3",
		                           "no:1",
		                           "never:1",
		                           "on-failure:",
		                           "on-failure:x",
		                           "on-failure:-1",
		                           "on-failure:4294967296",
		                           "on-failure:1:2",
		                           " always",
		                           ":3" };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		char *policy = NULL;
		uint32_t retries = 99;
		assert_int_equal(kist_restart_parse(good[i].text, &policy, &retries, NULL), 0);
		assert_string_equal(policy, good[i].policy);
		assert_int_equal(retries, good[i].retries);
		free(policy);
	}
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		char *policy = NULL;
		uint32_t retries = 99;
		struct kist_error err = { 0 };
		assert_int_equal(kist_restart_parse(bad[i], &policy, &retries, &err), -EINVAL);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
		assert_null(policy);
		assert_int_equal(retries, 99);
	}
}

static void test_check(void **state)
{
	struct kist_container_config config;

	(void)state;
	kist_container_config_init(&config);
	assert_int_equal(kist_restart_check(&config, NULL), 0);
	config.restart_policy = kist_strdup("always");
	assert_int_equal(kist_restart_check(&config, NULL), 0);
	config.auto_remove = true;
	assert_int_equal(kist_restart_check(&config, NULL), -EINVAL);
	config.auto_remove = false;
	config.restart_retries = 1;
	assert_int_equal(kist_restart_check(&config, NULL), -EINVAL);
	free(config.restart_policy);
	config.restart_policy = kist_strdup("often");
	assert_int_equal(kist_restart_check(&config, NULL), -EINVAL);
	kist_container_config_clear(&config);
}

/* Every policy with every kind of end. */
static void test_wanted(void **state)
{
	static const char *const policies[] = { NULL, "no", "on-failure", "always", "unless-stopped" };

	(void)state;
	for (size_t p = 0; p < KIST_COUNT(policies); p++)
		for (unsigned bits = 0; bits < 128; bits++) {
			struct kist_container c = { 0 };
			bool limited = bits & 1, reached = bits & 2, failed = bits & 4;
			c.config.restart_policy = (char *)policies[p];
			c.config.restart_retries = limited ? 3 : 0;
			c.state.restart_count = reached ? 3 : 2;
			c.state.exit_code = failed ? (bits & 1 ? -1 : 9) : 0;
			c.state.stopped_by_user = bits & 8;
			c.state.stopped_by_host = bits & 16;
			c.state.exited = bits & 32;
			bool by_itself = (bits & 32) && !(bits & 24);
			/* For a health check, whatever the policy says. */
			c.state.stopped_to_restart = bits & 64;
			bool wanted = by_itself && (bits & 64 || p >= 3 || (p == 2 && failed && !(limited && reached)));
			if (kist_restart_wanted(&c) != wanted)
				fail_msg("policy %s, case %u", policies[p] ? policies[p] : "none", bits);
			bool boot = p == 3 || (p == 4 && !c.state.stopped_by_user);
			assert_int_equal(kist_restart_at_boot(&c), boot);
		}
}

static void test_delay(void **state)
{
	struct kist_container_config config;
	int64_t delay = 0;
	static const int64_t expected[] = { 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000 };

	(void)state;
	kist_container_config_init(&config);
	for (size_t i = 0; i < KIST_COUNT(expected); i++) {
		delay = kist_restart_delay(&config, delay, KIST_NSEC_PER_SEC);
		assert_int_equal(delay / KIST_NSEC_PER_MSEC, expected[i]);
	}
	/* A run of ten seconds is a success. */
	assert_int_equal(kist_restart_delay(&config, delay, 10 * KIST_NSEC_PER_SEC - 1), delay);
	assert_int_equal(kist_restart_delay(&config, delay, 10 * KIST_NSEC_PER_SEC), 100 * KIST_NSEC_PER_MSEC);
	config.restart_delay = 500;
	config.restart_delay_max = 10;
	assert_int_equal(kist_restart_delay(&config, 0, 0), 10 * KIST_NSEC_PER_MSEC);
	config.restart_delay = config.restart_delay_max = UINT32_MAX;
	assert_int_equal(kist_restart_delay(&config, 0, 0), UINT32_MAX * KIST_NSEC_PER_MSEC);
	kist_container_config_clear(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_delay),
	};
	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
