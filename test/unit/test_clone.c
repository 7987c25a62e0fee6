/* Clones of containers: what they take over, and what is their own (core/clone.c). Needs no rights beyond those of a
 * store. */
#include "store_help.h"

static struct kist_container *original(const char *name)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	config_make(&config, name, "true");
	kist_strv_add(&config.labels, "a=b");
	config.pidfile = kist_strdup("/tmp/pid");
	config.log_path = kist_strdup("/tmp/log");
	if (kist_container_create(k, &config, &c, &err) < 0)
		fail_msg("%s", err.text);
	kist_container_config_clear(&config);
	return c;
}

static struct kist_container *clone_it(struct kist_container *c, const struct kist_clone *how)
{
	struct kist_container *clone = NULL;
	struct kist_error err = { 0 };

	if (kist_container_clone(c, how, &clone, &err) < 0)
		fail_msg("%s", err.text);
	return clone;
}

static void drop(struct kist_container *c)
{
	assert_int_equal(kist_container_remove(c, 0, 0, NULL), 0);
	kist_container_free(c);
}

static void test_names(void **state)
{
	static const char *const expected[] = { "a-clone", "a-clone1", "a-clone2", "a-clone3" };
	struct kist_container *list[KIST_COUNT(expected)], *odd, *c = original("a");

	(void)state;
	/* A clone of a clone counts on. */
	for (size_t i = 0; i < KIST_COUNT(expected); i++) {
		list[i] = clone_it(i == 2 ? list[1] : c, NULL);
		assert_string_equal(kist_container_name(list[i]), expected[i]);
	}
	odd = original("a-cloned");
	drop(clone_it(odd, NULL));
	drop(odd);
	for (size_t i = 0; i < KIST_COUNT(expected); i++)
		drop(list[i]);
	drop(c);
	expect_nothing_left();
}

static void test_fields(void **state)
{
	struct kist_container *c = original("a"), *clone;
	struct kist_spec_resources limits;
	struct kist_error err = { 0 };

	(void)state;
	kist_table_init(&kist_spec_resources_table, &limits);
	limits.pids_limit = (struct kist_opt){ true, 7 };
	const struct kist_clone how = { .name = "b", .resources = &limits };
	clone = clone_it(c, &how);
	assert_string_equal(kist_container_name(clone), "b");
	assert_string_not_equal(kist_container_id(clone), kist_container_id(c));
	assert_string_equal(clone->config.labels[0], "a=b");
	assert_string_equal(clone->config.rootfs, c->config.rootfs);
	assert_null(clone->config.pidfile);
	assert_null(clone->config.log_path);
	assert_int_equal(clone->config.resources->pids_limit.value, 7);
	assert_false(clone->config.pids_limit_default);
	assert_null(c->config.resources);

	struct kist_container *again = NULL;
	assert_true(kist_container_clone(c, &how, &again, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	assert_null(again);
	drop(clone);
	drop(c);
	expect_nothing_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names), cmocka_unit_test(test_fields) };

	return cmocka_run_group_tests_name("clone", tests, store_setup, store_teardown);
}
