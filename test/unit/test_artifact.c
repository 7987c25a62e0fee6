/* Artifacts of a container: added, read, replaced, removed; they go with it. */
#include "test/unit/store_help.h"

static void artifacts(void **state)
{
	struct kist_container *c = make("with", "true");
	KIST_STR struct kist_str text = { 0 };
	struct kist_error err = { 0 };

	(void)state;
	assert_true(kist_artifact_get(c, "spec", &text, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	assert_int_equal(kist_artifact_add(c, "spec", "one", 3, NULL), 0);
	assert_int_equal(kist_artifact_add(c, "spec", "a\0b", 3, NULL), 0);
	assert_int_equal(kist_artifact_get(c, "spec", &text, NULL), 0);
	assert_int_equal(text.len, 3);
	assert_memory_equal(text.data, "a\0b", 3);
	static const char *const bad[] = { "", "../config", "a/b", ".." };
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		assert_true(kist_artifact_add(c, bad[i], "x", 1, NULL) < 0);
		assert_true(kist_artifact_get(c, bad[i], &text, NULL) < 0);
		assert_true(kist_artifact_remove(c, bad[i], NULL) < 0);
	}
	assert_int_equal(kist_artifact_remove(c, "spec", NULL), 0);
	kist_error_clear(&err);
	assert_true(kist_artifact_remove(c, "spec", &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	assert_int_equal(kist_artifact_add(c, "left", "x", 1, NULL), 0);
	assert_int_equal(kist_container_remove(c, 0, 0, NULL), 0);
	kist_container_free(c);
	expect_nothing_left();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(artifacts) };

	if (argc > 0 && kist_streq(argv[0], "kist-monitor"))
		return kist_monitor_main(argc, argv, NULL);
	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
