/* Filters of containers. */
#include "test/unit/view_help.h"

#include "cli/select.h"

static struct kist_cli cli;

static struct kist_container *make(const char *name, const char *image, const char *label)
{
	struct kist_container_config config;

	kist_container_config_init(&config);
	if (label)
		kist_strv_add(&config.labels, label);
	config.mounts = kist_alloc(sizeof(*config.mounts));
	config.n_mounts = 1;
	config.mounts[0] =
	        (struct kist_mount_config){ kist_strdup("/data"), kist_strdup("bind"), kist_strdup("/tmp"), NULL };
	struct kist_container *c = container_make(&config, name);
	kist_container_config_clear(&config);
	/* An image that need not exist: filters look at the record. */
	if (image) {
		c->config.image_name = kist_strdup(image);
		c->config.image = kist_strdup("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	}
	cli.k = store.k;
	return c;
}

static bool passes(struct kist_container *c, const char *first, const char *second)
{
	KIST_FILTERS struct kist_filters filters = { 0 };
	struct kist_error err = { 0 };
	char *const arguments[] = { (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL };

	if (kist_container_filters(&cli, arguments, &filters, &err) < 0)
		fail_msg("%s", err.text);
	return kist_container_passes(&cli, &filters, c);
}

static void test_fields(void **state)
{
	struct kist_container *c = make("web-1", "localhost/busybox:latest", "tier=web");
	KIST_FREE char *id = kist_asprintf("id=%.10s", kist_container_id(c));

	(void)state;
	const struct {
		const char *filter;
		bool expected;
	} cases[] = {
		{ "name=web", true },
		{ "name=^eb", false },
		{ "name!=web", false },
		{ "label=tier", true },
		{ "label=tier=web", true },
		{ "label=tier=db", false },
		{ id, true },
		{ "id=zz", false },
		{ "status=created", true },
		{ "status=configured", true },
		{ "status=running", false },
		{ "ancestor=busybox", true },
		{ "ancestor=localhost/busybox:latest", true },
		{ "ancestor=busybox:1", false },
		{ "ancestor=0123456789ab", true },
		{ "ancestor=fedora", false },
		{ "volume=/data", true },
		{ "volume=/tmp", true },
		{ "volume=/dat", false },
		{ "network=none", true },
		{ "network=host", false },
		{ "until=1h", false },
		{ "until=2099-01-01", true },
		{ "exited=0", false },
	};
	for (size_t i = 0; i < KIST_COUNT(cases); i++)
		if (passes(c, cases[i].filter, NULL) != cases[i].expected)
			fail_msg("%s", cases[i].filter);
	assert_false(passes(c, "name=web", "status=running"));
	assert_true(passes(c, "status=running", "status=created"));
	c->state.status = KIST_STOPPED;
	c->state.exit_code = 3;
	assert_true(passes(c, "status=exited", NULL));
	assert_true(passes(c, "status=stopped", NULL));
	assert_true(passes(c, "exited=3", NULL));
	assert_false(passes(c, "exited=0", NULL));
	container_drop(c);
}

static void test_before_since(void **state)
{
	struct kist_container *first = make("first", NULL, NULL), *second = make("second", NULL, NULL);
	KIST_FILTERS struct kist_filters filters = { 0 };
	char *const missing[] = { (char[]){ "before=nobody" }, NULL };
	struct kist_error err = { 0 };

	(void)state;
	assert_true(passes(first, "before=second", NULL));
	assert_false(passes(second, "before=second", NULL));
	assert_true(passes(second, "since=first", NULL));
	assert_false(passes(first, "since=first", NULL));
	assert_true(kist_container_filters(&cli, missing, &filters, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	/* Where it was not resolved before, nothing passes, and nothing fails. */
	assert_int_equal(kist_filters_parse(missing, kist_container_filter_keys, &filters, NULL), 0);
	assert_false(kist_container_passes(&cli, &filters, first));
	container_drop(first);
	container_drop(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_before_since),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
