/* What a mistyped word was meant to be: cli/nearest.c. */
#include "cli/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *nearest(const char *word)
{
	static const char *const candidates[] = {
		"run", "rm", "rmi", "start", "stop", "stats", "volume", "filter", "ps"
	};
	struct kist_nearest n = { .word = word };

	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
		kist_nearest_offer(&n, candidates[i]);
	return n.best;
}

static void test_near(void **state)
{
	static const char *const pairs[][2] = {
		{ "runn", "run" },  { "urn", "run" },      { "rn", "" },           { "strat", "start" },
		{ "stpo", "stop" }, { "volum", "volume" }, { "vloume", "volume" }, { "fliter", "filter" },
		{ "flitres", "" },  { "run", "run" },      { "sp", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const char *found = nearest(pairs[i][0]);
		assert_string_equal(found ? found : "", pairs[i][1]);
	}
}

static void test_far(void **state)
{
	static const char *const words[] = { "", "x", "foo", "network",
		                             "a-word-that-is-much-longer-than-any-candidate-could-ever-be" };

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_null(nearest(words[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_near), cmocka_unit_test(test_far) };

	return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
