/* Look-ups of several containers, and prune. */
#include "store_help.h"

static bool has_label(const struct kist_container *c, void *arg)
{
	return kist_strv_has(kist_container_config(c)->labels, arg);
}

static bool is_new(const struct kist_container *c, void *arg)
{
	return kist_container_config(c)->created > *(int64_t *)arg;
}

static struct kist_container *make_labelled(const char *name, const char *label)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	config_make(&config, name, "true");
	kist_strv_add(&config.labels, label);
	if (kist_container_create(k, &config, &c, &err) < 0)
		fail_msg("%s", err.text);
	kist_container_config_clear(&config);
	return c;
}

static void test_select(void **state)
{
	struct kist_container *a = make_labelled("a", "tier=web"), *b = make_labelled("b", "tier=db"),
	                      *c = make_labelled("c", "tier=web"), **list = NULL;
	size_t n = 0;
	int64_t since = a->config.created;

	(void)state;
	struct kist_container_filter filters[] = { { has_label, (char *)"tier=web" }, { is_new, &since } };
	assert_int_equal(kist_container_select(k, NULL, 0, &list, &n, NULL), 0);
	assert_int_equal(n, 3);
	kist_container_list_free(list, n);
	assert_int_equal(kist_container_select(k, filters, 1, &list, &n, NULL), 0);
	assert_int_equal(n, 2);
	kist_container_list_free(list, n);
	/* All filters must hold. */
	assert_int_equal(kist_container_select(k, filters, 2, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(kist_container_name(list[0]), "c");
	kist_container_list_free(list, n);
	assert_int_equal(kist_container_running(k, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	kist_container_list_free(list, n);
	char *names[] = { (char *)"c", (char *)"a", NULL }, *wrong[] = { (char *)"c", (char *)"nosuch", NULL };
	assert_int_equal(kist_container_by_names(k, names, &list, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(kist_container_name(list[1]), "a");
	kist_container_list_free(list, n);
	struct kist_error err = { 0 };
	assert_true(kist_container_by_names(k, wrong, &list, &n, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	remove_one(a);
	remove_one(b);
	remove_one(c);
	expect_nothing_left();
}

static void test_prune(void **state)
{
	struct kist_container *a = make_labelled("a", "tier=web"), *b = make_labelled("b", "tier=db");
	struct kist_container_filter filter = { has_label, (char *)"tier=db" };
	struct kist_prune_report *reports = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(kist_container_prune(k, &filter, 1, &reports, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(reports[0].id, b->config.id);
	assert_int_equal(reports[0].error.kind, KIST_ERR_NONE);
	free(reports);
	assert_int_equal(status_of("a"), KIST_CONFIGURED);
	assert_int_equal(kist_container_prune(k, NULL, 0, &reports, &n, NULL), 0);
	assert_int_equal(n, 1);
	free(reports);
	assert_int_equal(kist_container_prune(k, NULL, 0, &reports, &n, NULL), 0);
	assert_int_equal(n, 0);
	free(reports);
	kist_container_free(a);
	kist_container_free(b);
	expect_nothing_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_prune),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
