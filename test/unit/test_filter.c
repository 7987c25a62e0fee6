#include "cli/filter.h"

#include "core/base/clock.h"
#include "core/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BY_ID, BY_NAME, BY_STATUS, BY_EXITED, BY_LABEL, BY_UNTIL, BY_SINCE, BY_DANGLING, BY_ANCESTOR };
static const char *const states[] = { "running", "exited", NULL };
static const struct kist_filter_key keys[] = {
	{ "id", KIST_FILTER_PREFIX, .id = BY_ID },
	{ "name", KIST_FILTER_REGEX, .id = BY_NAME, .negatable = true },
	{ "status", KIST_FILTER_CHOICE, .choices = states, .id = BY_STATUS },
	{ "exited", KIST_FILTER_NUMBER, .id = BY_EXITED },
	{ "label", KIST_FILTER_LABEL, .id = BY_LABEL },
	{ "until", KIST_FILTER_UNTIL, .id = BY_UNTIL },
	{ "since", KIST_FILTER_SINCE, .id = BY_SINCE },
	{ "dangling", KIST_FILTER_BOOL, .id = BY_DANGLING },
	{ "ancestor", KIST_FILTER_EXACT, .id = BY_ANCESTOR },
	{ 0 },
};

struct thing {
	const char *id, *name, *status, *image;
	int64_t code, created;
	bool dangling;
	char **labels;
};

static bool match(const struct kist_filter *f, const void *object, void *context)
{
	const struct thing *t = object;

	assert_string_equal(context, "context");
	switch (f->key->id) {
	case BY_ID:
		return kist_filter_text(f, t->id);
	case BY_NAME:
		return kist_filter_text(f, t->name);
	case BY_STATUS:
		return kist_filter_text(f, t->status);
	case BY_ANCESTOR:
		return kist_filter_text(f, t->image);
	case BY_EXITED:
		return kist_filter_number(f, t->code);
	case BY_DANGLING:
		return kist_filter_number(f, t->dangling);
	case BY_LABEL:
		return kist_filter_labels(f, t->labels);
	default:
		return kist_filter_time(f, t->created);
	}
}

/* line: filters parted by '|'. */
static void expect(const char *line, bool matches)
{
	char *labels[] = { (char *)"app=shop", (char *)"tier=a=b", (char *)"flag=", NULL };
	struct thing thing = {
		.id = "4f1bb2", .name = "web-1", .status = "running", .code = 3, .dangling = true, .labels = labels
	};
	KIST_STRV char **arguments = kist_strv_split(line, '|');
	KIST_FILTERS struct kist_filters filters = { 0 };
	struct kist_error err = { 0 };

	assert_int_equal(kist_time_parse("2026-01-02T00:00:00Z", &thing.created), 0);
	if (kist_filters_parse(arguments, keys, &filters, &err) < 0)
		fail_msg("%s: %s", line, err.text);
	if (kist_filters_match(&filters, match, &thing, (void *)"context") != matches)
		fail_msg("%s: expected %d", line, matches);
}

static void test_match(void **state)
{
	(void)state;
	expect("", true);
	expect("id=4f1", true);
	expect("id=4F1B", true);
	expect("id=f1", false);
	expect("name=web", true);
	expect("name=^web-[0-9]+$", true);
	expect("name=^eb", false);
	expect("name!=web", false);
	expect("name!=db", true);
	expect("name!=db|name!=web", false);
	/* Alternatives of one key, all of different keys. */
	expect("status=exited|status=running", true);
	expect("status=exited", false);
	expect("status=running|name=db", false);
	expect("status=running|name=db|name=web", true);
	expect("exited=3", true);
	expect("exited=0|exited=1", false);
	expect("dangling=true", true);
	expect("dangling=0", false);
	/* Every label must hold. */
	expect("label=app", true);
	expect("label=app=shop", true);
	expect("label=app=other", false);
	expect("label=tier=a=b", true);
	expect("label=flag=", true);
	expect("label=app|label=none", false);
	expect("label=app|label=flag", true);
	expect("label=a*=shop", true);
	expect("label!=none", true);
	expect("label!=app", false);
	expect("label!=app=other", true);
	expect("until=2026-01-03", true);
	expect("until=2026-01-01", false);
	expect("since=2026-01-01", true);
	expect("since=2026-01-01|until=2026-01-03", true);
	/* No image: never a match. */
	expect("ancestor=x", false);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *argument, *message;
	} cases[] = {
		{ "foo=bar", "filter 'foo' is not known; use one of: id, name, status, exited, label, until, since, "
		             "dangling, ancestor" },
		{ "", "filter '': expected KEY=VALUE" },
		{ "foo", "filter 'foo': expected KEY=VALUE" },
		{ "name", "filter 'name' needs a value (name=VALUE)" },
		{ "label=", "filter 'label' needs a value (label=VALUE)" },
		{ "status=zz", "filter 'status': 'zz' is not one of running, exited" },
		{ "exited=x", "filter 'exited': 'x' is not a whole number" },
		{ "dangling=x", "filter 'dangling': 'x' is not true or false" },
		{ "until=x", "filter 'until': 'x' is not a time such as 2026-01-02T15:04:05Z or 10m" },
		{ "id!=4", "filter 'id' cannot be negated" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		const char *arguments[] = { "name=a", cases[i].argument, NULL };
		struct kist_filters filters = { .n = 77 };
		struct kist_error err = { 0 };

		assert_int_equal(kist_filters_parse((char *const *)arguments, keys, &filters, &err), -EINVAL);
		assert_string_equal(err.text, cases[i].message);
		assert_int_equal(filters.n, 77);
	}
}

static void test_regex(void **state)
{
	const char *arguments[] = { "name=a", "name=[", NULL };
	struct kist_filters filters = { 0 };
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_filters_parse((char *const *)arguments, keys, &filters, &err), -EINVAL);
	assert_true(kist_has_prefix(err.text, "filter 'name': bad regular expression '[': "));
}

static void test_has(void **state)
{
	const char *arguments[] = { "status=running", NULL };
	KIST_FILTERS struct kist_filters filters = { 0 };

	(void)state;
	assert_int_equal(kist_filters_parse(NULL, keys, &filters, NULL), 0);
	assert_false(kist_filters_has(&filters, BY_STATUS));
	assert_int_equal(kist_filters_parse((char *const *)arguments, keys, &filters, NULL), 0);
	assert_true(kist_filters_has(&filters, BY_STATUS));
	assert_false(kist_filters_has(&filters, BY_NAME));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_regex),
		cmocka_unit_test(test_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
