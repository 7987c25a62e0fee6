#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cgroup/internal.h"
#include "core/base/base.h"
#include "core/base/str.h"

static size_t mounts_of(const char *text, struct kist_cgroup_mount *out, size_t room)
{
	const char *cursor = text, *end = text + strlen(text);
	size_t n = 0;

	while (n < room && kist_cgroup_mountinfo_next(&cursor, end, &out[n]) > 0)
		n++;
	return n;
}

static void clear(struct kist_cgroup_mount *mounts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_cgroup_mount_clear(&mounts[i]);
}

static void finds_the_unified_mount_of_a_hybrid_host(void **state KIST_UNUSED)
{
	struct kist_cgroup_mount m[4] = { 0 };
	size_t n = mounts_of(
	        "21 1 0:20 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
	        "30 21 0:26 / /sys/fs/cgroup rw shared:4 - tmpfs tmpfs rw,mode=755\n"
	        "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	        "40 30 0:36 / /sys/fs/cgroup/unified rw,nosuid shared:9 master:2 - cgroup2 cgroup2 rw,nsdelegate\n",
	        m, 4);

	assert_int_equal(n, 1);
	assert_string_equal(m[0].point, "/sys/fs/cgroup/unified");
	assert_string_equal(m[0].root, "/");
	assert_int_equal(m[0].id, 40);
	assert_false(m[0].read_only);
	clear(m, n);
}

static void decodes_octal_escapes(void **state KIST_UNUSED)
{
	struct kist_cgroup_mount m[2] = { 0 };
	size_t n = mounts_of("1 2 0:3 /a\\134b /mnt/with\\040space\\011tab\\012line ro,nosuid - cgroup2 none rw", m, 2);

	assert_int_equal(n, 1);
	assert_string_equal(m[0].root, "/a\\b");
	assert_string_equal(m[0].point, "/mnt/with space\ttab\nline");
	assert_true(m[0].read_only);
	clear(m, n);
}

static void keeps_what_is_no_escape(void **state KIST_UNUSED)
{
	struct kist_cgroup_mount m[2] = { 0 };
	size_t n = mounts_of("1 2 0:3 / /x\\9\\04 rw - cgroup2 none rw\n1 2 0:3 / /y\\000z\\400 rw - cgroup2 none rw\n",
	                     m, 2);

	assert_int_equal(n, 2);
	assert_string_equal(m[0].point, "/x\\9\\04");
	assert_string_equal(m[1].point, "/y?z\\400");
	clear(m, n);
}

static void passes_over_damaged_and_foreign_lines(void **state KIST_UNUSED)
{
	static const char *const lines[] = {
		"",
		"\n\n",
		"1 2 0:3 / /x rw",
		"1 2 0:3 / /x rw -",
		"1 2 0:3 / /x rw - ",
		"1 2 0:3 / /x rw - cgroup2x none rw",
		"1 2 0:3 / /x rw shared:1 cgroup2 none rw",
		"x 2 0:3 / /x rw - cgroup2 none rw",
		"1 2 0:3 y /x rw - cgroup2 none rw",
		"1 2 0:3 / x rw - cgroup2 none rw",
		"1 2 0:3 /gone//deleted /x rw - cgroup2 none rw",
		"1 2 0:3 / /cgroup2 rw - tmpfs cgroup2 rw",
	};

	for (size_t i = 0; i < KIST_COUNT(lines); i++) {
		struct kist_cgroup_mount m[1] = { 0 };

		assert_int_equal(mounts_of(lines[i], m, 1), 0);
	}
}

static void lists_several_mounts_in_order(void **state KIST_UNUSED)
{
	struct kist_cgroup_mount m[4] = { 0 };
	size_t n = mounts_of("1 2 0:3 /user.slice /a rw - cgroup2 none rw\n5 2 0:3 /.. /b rw - cgroup2 none rw\n"
	                     "6 2 0:3 / /c ro - cgroup2 none rw",
	                     m, 4);

	assert_int_equal(n, 3);
	assert_string_equal(m[0].root, "/user.slice");
	assert_string_equal(m[1].root, "/..");
	assert_string_equal(m[2].point, "/c");
	assert_true(m[2].read_only);
	clear(m, n);
}

static void assert_self(const char *text, const char *prefix, const char *expected)
{
	char *path = kist_cgroup_self_parse(text, prefix);

	if (expected) {
		assert_non_null(path);
		assert_string_equal(path, expected);
	} else {
		assert_null(path);
	}
	free(path);
}

static void reads_the_own_group(void **state KIST_UNUSED)
{
	assert_self("5:devices:/x\n0::/a/b\n", "/", "/a/b");
	assert_self("0::/\n", "/", "/");
	assert_self("0::/a/b:c", "/a", "/b:c");
	assert_self("0::/a\n", "/a", "/");
	assert_self("0::/ab\n", "/a", NULL);
	assert_self("0::/../x\n", "/", NULL);
	assert_self("0::/..\n", "/", NULL);
	assert_self("0::/..x\n", "/", "/..x");
	assert_self("0::/a (deleted)\n", "/", NULL);
	assert_self("5:devices:/x\n10::/y\n", "/", NULL);
	assert_self("", "/", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_unified_mount_of_a_hybrid_host),
		cmocka_unit_test(decodes_octal_escapes),
		cmocka_unit_test(keeps_what_is_no_escape),
		cmocka_unit_test(passes_over_damaged_and_foreign_lines),
		cmocka_unit_test(lists_several_mounts_in_order),
		cmocka_unit_test(reads_the_own_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
