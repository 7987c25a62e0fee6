#include "core/base/clock.h"
#include "core/base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

static void use_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

/* The C library's calendar is the oracle for ours. */
static void test_format_agrees_with_gmtime(void **state)
{
	char ours[40], theirs[64];

	(void)state;
	for (int64_t s = -9000000000; s < 9000000000; s += 12345679) {
		time_t t = (time_t)s;
		struct tm tm;
		size_t n;

		gmtime_r(&t, &tm);
		n = strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(theirs + n, sizeof(theirs) - n, ".000000042Z");
		assert_string_equal(kist_time_format(ours, s * KIST_NSEC_PER_SEC + 42, true), theirs);
	}
	assert_string_equal(kist_time_format(ours, -1, true), "1969-12-31T23:59:59.999999999Z");
	assert_string_equal(kist_time_format(ours, INT64_MAX, true), "2262-04-11T23:47:16.854775807Z");
	assert_string_equal(kist_time_format(ours, INT64_MIN, true), "1677-09-21T00:12:43.145224192Z");
}

static void test_format_as_go_marshals(void **state)
{
	static const struct {
		int64_t wall;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ 10 * KIST_NSEC_PER_SEC, "1970-01-01T00:00:10Z" },
		{ 281940660, "1970-01-01T00:00:00.28194066Z" },
		{ 500000000, "1970-01-01T00:00:00.5Z" },
		{ 1, "1970-01-01T00:00:00.000000001Z" },
		{ 123456789, "1970-01-01T00:00:00.123456789Z" },
	};
	char out[40];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++)
		assert_string_equal(kist_time_format_shortest(out, cases[i].wall), cases[i].text);
}

static void test_format_local_offset(void **state)
{
	char out[40];

	(void)state;
	use_zone("XYZ-05:30");
	assert_string_equal(kist_time_format(out, 0, false), "1970-01-01T05:30:00.000000000+05:30");
	use_zone("XYZ03:15");
	assert_string_equal(kist_time_format(out, 0, false), "1969-12-31T20:45:00.000000000-03:15");
	use_zone("UTC");
	assert_string_equal(kist_time_format(out, 0, false), "1970-01-01T00:00:00.000000000+00:00");
}

static void test_parse_what_was_formatted(void **state)
{
	char out[40];

	(void)state;
	use_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	for (int64_t s = -2000000000; s < 4000000000; s += 7654321) {
		int64_t wall = s * KIST_NSEC_PER_SEC + 123456789, back = 0;

		assert_int_equal(kist_time_parse(kist_time_format(out, wall, true), &back), 0);
		assert_true(back == wall);
		assert_int_equal(kist_time_parse(kist_time_format(out, wall, false), &back), 0);
		assert_true(back == wall);
		/* Without its offset it is local time; the hour that comes twice is left out. */
		out[29] = '\0';
		assert_int_equal(kist_time_parse(out, &back), 0);
		assert_true(back == wall || back == wall + 3600 * KIST_NSEC_PER_SEC ||
		            back == wall - 3600 * KIST_NSEC_PER_SEC);
	}
	use_zone("UTC");
}

static void test_parse_forms(void **state)
{
	static const struct {
		const char *text;
		int64_t wall;
	} good[] = {
		{ "1970-01-01", 0 },
		{ "1970-01-02T00", 86400 * KIST_NSEC_PER_SEC },
		{ "1970-01-01T00:01", 60 * KIST_NSEC_PER_SEC },
		{ "1970-01-01 00:00:01", KIST_NSEC_PER_SEC },
		{ "1970-01-01T00:00:00.5", KIST_NSEC_PER_SEC / 2 },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T23:00:00-01:00", 0 },
		{ "1970-01-01T00:00:00.0000000019Z", 1 },
		{ "2024-02-29T00:00:00Z", 1709164800 * KIST_NSEC_PER_SEC },
		{ "0", 0 },
		{ "1136073600.000000001", 1136073600 * KIST_NSEC_PER_SEC + 1 },
		{ "1136073600.5", 1136073600 * KIST_NSEC_PER_SEC + KIST_NSEC_PER_SEC / 2 },
	};
	static const char *const bad[] = {
		"",
		"now",
		"2026-13-01",
		"2026-02-29",
		"2026-00-01",
		"2026-01-32",
		"2026-1-2",
		"2026-01-02T24:00:00",
		"2026-01-02T15:60",
		"2026-01-02T15:04:60",
		"2026-01-02T15:04:05.",
		"2026-01-02T15:04:05Zx",
		"2026-01-02T15:04:05+1",
		"2026-01-02T15:04:05+24:00",
		"1.2.3",
		"12.",
		".",
		"1x",
		"2026-01-02T",
		"--5m",
	};
	int64_t v = 7;

	(void)state;
	use_zone("UTC");
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		assert_int_equal(kist_time_parse(bad[i], &v), -EINVAL);
	assert_int_equal(kist_time_parse(NULL, &v), -EINVAL);
	assert_int_equal(kist_time_parse("9999-01-01", &v), -ERANGE);
	assert_int_equal(kist_time_parse("9999999999999999999", &v), -ERANGE);
	assert_true(v == 7);
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		assert_int_equal(kist_time_parse(good[i].text, &v), 0);
		assert_true(v == good[i].wall);
	}
}

static void test_parse_duration_is_ago(void **state)
{
	int64_t before = kist_now_wall(), v = 0;

	(void)state;
	assert_int_equal(kist_time_parse("10m", &v), 0);
	assert_true(v >= before - 600 * KIST_NSEC_PER_SEC && v <= kist_now_wall() - 600 * KIST_NSEC_PER_SEC);
}

static void test_human(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{ 0, "Less than a second" }, { 1, "1 second" },         { 59, "59 seconds" },
		{ 60, "About a minute" },    { 180, "3 minutes" },      { 3599, "59 minutes" },
		{ 3600, "About an hour" },   { 7200, "2 hours" },       { 47 * 3600, "47 hours" },
		{ 48 * 3600, "2 days" },     { 14 * 86400, "2 weeks" }, { 60 * 86400, "2 months" },
		{ 730 * 86400, "2 years" },
	};
	char out[40];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++)
		assert_string_equal(kist_time_human(out, cases[i].seconds * KIST_NSEC_PER_SEC), cases[i].text);
	assert_string_equal(kist_time_human(out, -5), "Less than a second");
}

static void test_sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *decimal, *binary;
	} cases[] = {
		{ 0, "0B", "0B" },
		{ 999, "999B", "999B" },
		{ 1000, "1kB", "1000B" },
		{ 1024, "1.02kB", "1KiB" },
		{ 12300000, "12.3MB", "11.73MiB" },
		{ 64 << 20, "67.1MB", "64MiB" },
		{ 999999, "1MB", "976.6KiB" },
		{ (1 << 20) - 1, "1.05MB", "1MiB" },
		{ UINT64_MAX, "18.4EB", "16EiB" },
	};
	char out[24];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		assert_string_equal(kist_size_human(out, cases[i].bytes), cases[i].decimal);
		assert_string_equal(kist_size_human_binary(out, cases[i].bytes), cases[i].binary);
	}
}

static void test_sleep_lasts(void **state)
{
	int64_t before = kist_now_boot();

	(void)state;
	kist_sleep_ns(5 * KIST_NSEC_PER_MSEC);
	assert_true(kist_now_boot() - before >= 5 * KIST_NSEC_PER_MSEC);
	kist_sleep_ns(0);
	kist_sleep_ns(-1);
}

static void test_duration_format(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0s" },
		{ 1, "1ns" },
		{ 1100, "1.1\xc2\xb5s" },
		{ 50304000, "50.304ms" },
		{ 1196735041, "1.196735041s" },
		{ 60000000000, "1m0s" },
		{ 3723500000000, "1h2m3.5s" },
		{ -90000000000, "-1m30s" },
		{ INT64_MAX, "2562047h47m16.854775807s" },
		{ INT64_MIN, "-2562047h47m16.854775808s" },
	};
	char text[40];
	int64_t back;

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++)
		assert_string_equal(kist_duration_format(text, cases[i].ns), cases[i].text);
	assert_int_equal(kist_parse_duration(kist_duration_format(text, 3723500000000), &back), 0);
	assert_int_equal(back, 3723500000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_agrees_with_gmtime),
		cmocka_unit_test(test_format_local_offset),
		cmocka_unit_test(test_format_as_go_marshals),
		cmocka_unit_test(test_parse_what_was_formatted),
		cmocka_unit_test(test_parse_forms),
		cmocka_unit_test(test_parse_duration_is_ago),
		cmocka_unit_test(test_human),
		cmocka_unit_test(test_duration_format),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_sleep_lasts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
