#include "cli/columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void expect_align(const char *text, const char *expected)
{
	KIST_STR struct kist_str out = { 0 };

	kist_columns_align(text, strlen(text), &out);
	assert_string_equal(kist_str_get(&out), expected);
}

static void test_align(void **state)
{
	(void)state;
	expect_align("", "");
	expect_align("a", "a");
	expect_align("a\tb\n", "a           b\n");
	expect_align("NETWORK ID\tNAME\tDRIVER\n2f259bab93aa\tpodman\tbridge\n",
	             "NETWORK ID    NAME        DRIVER\n2f259bab93aa  podman      bridge\n");
	/* A column lasts over consecutive lines that have it; the last cell of a line is in none. */
	expect_align("0123456789abcdef\tx\nplain\nb\ty\n", "0123456789abcdef  x\nplain\nb           y\n");
	expect_align("a\tb\tc\naa\tbb\n", "a           b           c\naa          bb\n");
	expect_align("\t\tx\n", "                        x\n");
	/* Wide and combining characters count as they are drawn. */
	expect_align("\xe6\x97\xa5\xe6\x9c\xac\tx\nab\ty\n", "\xe6\x97\xa5\xe6\x9c\xac        x\nab          y\n");
	expect_align("e\xcc\x81\tx\n", "e\xcc\x81           x\n");
}

static void test_width(void **state)
{
	static const struct {
		const char *text;
		size_t width;
	} cases[] = {
		{ "", 0 },
		{ "abc", 3 },
		{ "h\xc3\xa9llo", 5 },
		{ "\xe6\x97\xa5", 2 },
		{ "\xf0\x9f\x9a\x80", 2 },
		{ "e\xcc\x81", 1 },
		{ "\xff\xfe", 2 },
		{ "\xe2\x82", 2 },
		{ "a\x01z", 2 },
		{ "\xef\xbc\xa1", 2 },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++)
		assert_int_equal(kist_display_width(cases[i].text, strlen(cases[i].text)), cases[i].width);
}

static void test_decode(void **state)
{
	static const char *const broken[] = { "\x80",
		                              "\xc0\x80",
		                              "\xc1\xbf",
		                              "\xe0\x9f\xbf",
		                              "\xed\xa0\x80",
		                              "\xf0\x8f\xbf\xbf",
		                              "\xf4\x90\x80\x80",
		                              "\xf5\x80\x80\x80",
		                              "\xc3",
		                              "\xc3(" };
	uint32_t c;

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(broken); i++)
		assert_int_equal(kist_utf8_decode(broken[i], strlen(broken[i]), &c), 0);
	assert_int_equal(kist_utf8_decode("\xf4\x8f\xbf\xbf", 4, &c), 4);
	assert_int_equal(c, 0x10ffff);
	assert_int_equal(kist_utf8_decode("\xe2\x82\xac", 3, &c), 3);
	assert_int_equal(c, 0x20ac);
	assert_int_equal(kist_utf8_decode("", 0, &c), 0);
}

static void test_escape(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "plain \xc3\xa9 \\ \"", "plain \xc3\xa9 \\ \"" },
		{ "\x1b]0;owned\x07", "\\x1b]0;owned\\x07" },
		{ "a\tb\nc\rd\x7f", "a\\tb\\nc\\rd\\x7f" },
		{ "\xc2\x9b[2J", "\\u009b[2J" },
		{ "x\xe2\x80\xae"
		  "gpj",
		  "x\\u202egpj" },
		{ "\xe2\x80\xa8", "\\u2028" },
		{ "\xef\xbb\xbf", "\\ufeff" },
		{ "\xf3\xa0\x81\x81", "\\U000e0041" },
		{ "\xff\xc3", "\\xff\\xc3" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		KIST_FREE char *got = kist_escape(cases[i].text);

		assert_string_equal(got, cases[i].expected);
		assert_int_equal(kist_is_printable(cases[i].text), i == 0);
		assert_true(kist_is_printable(got));
	}
}

static void test_rows(void **state)
{
	static const char *const header[] = { "ID", "NAMES", "STATUS", NULL };
	KIST_COLUMNS struct kist_columns c = { 0 };
	KIST_STR struct kist_str out = { 0 };

	(void)state;
	kist_columns_row(&c, header);
	kist_columns_cell(&c, "1");
	kist_columns_cell(&c, "a\tb\n\x1b[31m");
	kist_columns_cellf(&c, "Up %d seconds", 5);
	kist_columns_end(&c);
	kist_columns_cell(&c, NULL);
	kist_columns_cell(&c, "");
	kist_columns_cell(&c, "x");
	kist_columns_end(&c);
	kist_columns_print(&c, &out);
	assert_string_equal(kist_str_get(&out), "ID          NAMES           STATUS\n"
	                                        "1           a\\tb\\n\\x1b[31m  Up 5 seconds\n"
	                                        "                            x\n");
}

static void test_shorten(void **state)
{
	static const struct {
		const char *text;
		size_t width;
		const char *expected;
	} cases[] = {
		{ "short", 10, "short" },
		{ "exactly ten", 11, "exactly ten" },
		{ "sh -c while true", 10, "sh -c w..." },
		{ "abcdef", 3, "..." },
		{ "abcdef", 2, ".." },
		{ "abcdef", 0, "" },
		{ "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 5, "\xe6\x97\xa5..." },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		KIST_FREE char *got = kist_shorten(cases[i].text, cases[i].width);

		assert_string_equal(got, cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_align),  cmocka_unit_test(test_width), cmocka_unit_test(test_decode),
		cmocka_unit_test(test_escape), cmocka_unit_test(test_rows),  cmocka_unit_test(test_shorten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
