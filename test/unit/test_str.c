#include "core/base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_buffer_grows(void **state)
{
	struct kist_str s KIST_STR = { 0 };
	char *taken KIST_FREE = NULL;

	(void)state;
	assert_string_equal(kist_str_get(&s), "");
	for (int i = 0; i < 1000; i++)
		kist_str_addf(&s, "%d,", i);
	assert_int_equal(s.len, strlen(s.data));
	assert_int_equal(s.len, 10 * 2 + 90 * 3 + 900 * 4);
	kist_str_clear(&s);
	assert_string_equal(kist_str_get(&s), "");
	kist_str_addn(&s, "a\0b", 3);
	kist_str_addc(&s, 'c');
	kist_str_add(&s, NULL);
	assert_int_equal(s.len, 4);
	assert_memory_equal(s.data, "a\0bc", 5);
	taken = kist_str_take(&s);
	assert_null(s.data);
	assert_int_equal(s.len, 0);
}

static void test_take_of_nothing_is_a_string(void **state)
{
	struct kist_str s KIST_STR = { 0 };
	char *taken KIST_FREE = kist_str_take(&s);

	(void)state;
	assert_string_equal(taken, "");
}

static void test_format_longer_than_the_room(void **state)
{
	struct kist_str s KIST_STR = { 0 };
	char big[5000];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	kist_str_add(&s, "head:");
	kist_str_addf(&s, "%s:%d", big, 7);
	assert_int_equal(s.len, 5 + 4999 + 2);
	assert_string_equal(s.data + 5 + 4999, ":7");
	assert_memory_equal(s.data, "head:x", 6);
}

static const char *const never_numbers[] = { "",    " ",        "+1",  " 1",
	                                     "1 ",  "1\n",      "0x1", "1e3",
	                                     "--1", "-",        "1.0", "one",
	                                     "1,0", "\xd9\xa1", "1-",  "9999999999999999999999x" };

static void test_numbers_are_strict(void **state)
{
	int64_t i = 7;
	uint64_t u = 7;
	uint32_t w = 7;

	(void)state;
	for (size_t n = 0; n < KIST_COUNT(never_numbers); n++) {
		assert_int_equal(kist_parse_i64(never_numbers[n], &i), -EINVAL);
		assert_int_equal(kist_parse_u64(never_numbers[n], &u), -EINVAL);
		assert_int_equal(kist_parse_u32(never_numbers[n], &w), -EINVAL);
		assert_int_equal(kist_parse_octal(never_numbers[n], &w), -EINVAL);
	}
	assert_int_equal(kist_parse_i64(NULL, &i), -EINVAL);
	assert_int_equal(kist_parse_u64(NULL, &u), -EINVAL);
	assert_int_equal(kist_parse_u64("-1", &u), -EINVAL);
	assert_int_equal(kist_parse_u64("18446744073709551616", &u), -ERANGE);
	assert_int_equal(kist_parse_u64("184467440737095516150", &u), -ERANGE);
	assert_int_equal(kist_parse_u32("4294967296", &w), -ERANGE);
	assert_int_equal(kist_parse_i64("9223372036854775808", &i), -ERANGE);
	assert_int_equal(kist_parse_i64("-9223372036854775809", &i), -ERANGE);
	assert_int_equal(kist_parse_octal("8", &w), -EINVAL);
	assert_int_equal(kist_parse_octal("40000000000", &w), -ERANGE);
	assert_true(i == 7 && u == 7 && w == 7);
}

static void test_numbers_at_their_limits(void **state)
{
	int64_t i;
	uint64_t u;
	uint32_t w;

	(void)state;
	assert_int_equal(kist_parse_u64("18446744073709551615", &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(kist_parse_i64("-9223372036854775808", &i), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(kist_parse_i64("9223372036854775807", &i), 0);
	assert_true(i == INT64_MAX);
	assert_int_equal(kist_parse_i64("-0", &i), 0);
	assert_true(i == 0);
	assert_int_equal(kist_parse_u32("4294967295", &w), 0);
	assert_int_equal(w, UINT32_MAX);
	assert_int_equal(kist_parse_u32("007", &w), 0);
	assert_int_equal(w, 7);
	assert_int_equal(kist_parse_octal("0755", &w), 0);
	assert_int_equal(w, 0755);
}

static void test_bool(void **state)
{
	bool b = false;

	(void)state;
	assert_int_equal(kist_parse_bool("TRUE", &b), 0);
	assert_true(b);
	assert_int_equal(kist_parse_bool("off", &b), 0);
	assert_false(b);
	assert_int_equal(kist_parse_bool("2", &b), -EINVAL);
	assert_int_equal(kist_parse_bool("", &b), -EINVAL);
	assert_int_equal(kist_parse_bool(NULL, &b), -EINVAL);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "100", 100 },
		{ "100b", 100 },
		{ "1k", 1024 },
		{ "64m", 64 << 20 },
		{ "64M", 64 << 20 },
		{ "64MB", 64 << 20 },
		{ "64MiB", 64 << 20 },
		{ "1GiB", 1 << 30 },
		{ "2t", 2ULL << 40 },
		{ "1.5g", 3ULL << 29 },
		{ "0.5k", 512 },
		{ "16777215t", 16777215ULL << 40 },
	};
	static const char *const bad[] = { "",    "m",   "-1",   "-1m", "1x",  "1mm", "1mib2", "1 m",
		                           "1.m", "1.5", "1.5b", ".5m", "1bb", "1e3", "1.2.3m" };
	uint64_t v = 7;

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		assert_int_equal(kist_parse_size(bad[i], &v), -EINVAL);
	assert_int_equal(kist_parse_size(NULL, &v), -EINVAL);
	assert_int_equal(kist_parse_size("16777216t", &v), -ERANGE);
	assert_int_equal(kist_parse_size("18446744073709551616", &v), -ERANGE);
	assert_true(v == 7);
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		assert_int_equal(kist_parse_size(good[i].text, &v), 0);
		assert_true(v == good[i].bytes);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "0", 0 },
		{ "-0", 0 },
		{ "10s", 10000000000 },
		{ "1h2m3.5s", 3723500000000 },
		{ "300ms", 300000000 },
		{ "10us", 10000 },
		{ "10\xc2\xb5s", 10000 },
		{ "10\xce\xbcs", 10000 },
		{ "5ns", 5 },
		{ "-1.5h", -5400000000000 },
		{ "+1s", 1000000000 },
		{ ".5s", 500000000 },
		{ "1.s", 1000000000 },
		{ "1m1m", 120000000000 },
		{ "9223372036854775807ns", INT64_MAX },
	};
	static const char *const bad[] = { "",     "1",      "s",   ".s", "1d", "1 s", "1s ",
		                           "--1s", "1.2.3s", "1m2", "-",  "10", "1S" };
	int64_t v = 7;

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		assert_int_equal(kist_parse_duration(bad[i], &v), -EINVAL);
	assert_int_equal(kist_parse_duration(NULL, &v), -EINVAL);
	assert_int_equal(kist_parse_duration("9223372036854775808ns", &v), -ERANGE);
	assert_int_equal(kist_parse_duration("99999999999999999999h", &v), -ERANGE);
	assert_int_equal(kist_parse_duration("2562047h48m", &v), -ERANGE);
	assert_true(v == 7);
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		assert_int_equal(kist_parse_duration(good[i].text, &v), 0);
		assert_true(v == good[i].ns);
	}
}

static void test_signals_both_ways(void **state)
{
	static const char *const bad[] = { "",   "0",        "65",       "-1",     "SIG",  "SIGSIGTERM", "TERMINATE",
		                           "9x", "RTMIN+31", "RTMAX-31", "RTMIN+", "SIG9", " 9" };

	(void)state;
	assert_int_equal(kist_parse_signal("TERM"), SIGTERM);
	assert_int_equal(kist_parse_signal("SIGTERM"), SIGTERM);
	assert_int_equal(kist_parse_signal("sigterm"), SIGTERM);
	assert_int_equal(kist_parse_signal("9"), SIGKILL);
	assert_int_equal(kist_parse_signal("SIGRTMIN+3"), SIGRTMIN + 3);
	assert_int_equal(kist_parse_signal("RTMIN+30"), SIGRTMAX);
	assert_int_equal(kist_parse_signal("SIGRTMAX-30"), SIGRTMIN);
	assert_int_equal(kist_parse_signal("CLD"), SIGCHLD);
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		assert_int_equal(kist_parse_signal(bad[i]), -EINVAL);
	assert_int_equal(kist_parse_signal(NULL), -EINVAL);
	for (int n = 1; n <= 64; n++) {
		if (n == 32 || n == 33) {
			assert_null(kist_signal_name(n));
			continue;
		}
		assert_non_null(kist_signal_name(n));
		assert_int_equal(kist_parse_signal(kist_signal_name(n)), n);
		if (n < 32)
			assert_string_equal(kist_signal_name(n), n == SIGIO ? "IO" : sigabbrev_np(n));
	}
	assert_null(kist_signal_name(0));
	assert_null(kist_signal_name(-1));
	assert_null(kist_signal_name(65));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffer_grows),
		cmocka_unit_test(test_take_of_nothing_is_a_string),
		cmocka_unit_test(test_format_longer_than_the_room),
		cmocka_unit_test(test_numbers_are_strict),
		cmocka_unit_test(test_numbers_at_their_limits),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_signals_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
