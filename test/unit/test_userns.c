/* The words of --userns, the maps they become, and places for ranges. */
#include "test/unit/userns_help.h"

#include "ns/ns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void test_map_text(void **state)
{
	static const char *const bad[] = { "",     "1",   "1:",    ":1",           "1:2:0", "1:2:3:4",
		                           "-1:2", "1:@", "1:2:x", "4294967296:0", "@1:2" };
	struct kist_spec_id_map map;

	(void)state;
	assert_int_equal(0, kist_id_map_parse("0:100000:65536", &map));
	ASSERT_MAP(map, 0, 100000, 65536);
	assert_int_equal(0, kist_id_map_parse("5:@7", &map));
	ASSERT_MAP(map, 5, 7, 1);
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		if (kist_id_map_parse(bad[i], &map) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
}

static void test_auto(void **state)
{
	static const char *const bad[] = { "auto:size=0",       "auto:size=x", "auto:uid=1:2:3",
		                           "auto:uidmapping=1", "auto:size",   "auto:," };
	struct kist_userns_auto a;
	struct kist_error err = { 0 };

	(void)state;
	assert_true(kist_userns_is_auto("auto"));
	assert_true(kist_userns_is_auto("auto:size=3"));
	assert_false(kist_userns_is_auto("automatic"));
	assert_true(kist_userns_is_keep_id("keep-id"));
	assert_false(kist_userns_is_keep_id("keep-ids"));
	assert_int_equal(0, kist_userns_auto_parse("auto", &a, &err));
	assert_int_equal(KIST_USERNS_AUTO_SIZE, a.size);
	assert_int_equal(0, a.n_uids);
	assert_int_equal(
	        0, kist_userns_auto_parse("auto:size=10,uidmapping=0:5:2,gidmapping=3:4:1,uidmapping=9:9", &a, &err));
	assert_int_equal(10, a.size);
	assert_int_equal(2, a.n_uids);
	assert_int_equal(1, a.n_gids);
	ASSERT_MAP(a.uids[1], 9, 9, 1);
	kist_userns_auto_clear(&a);
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		memset(&err, 0, sizeof(err));
		if (kist_userns_auto_parse(bad[i], &a, &err) == 0)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void test_fill(void **state)
{
	static const struct kist_spec_id_map given[] = { { 8, 50, 2 }, { 0, 1000, 3 } }, outside[] = { { 20, 7, 5 } };
	static const struct kist_spec_id_map overlap[] = { { 0, 1, 3 }, { 2, 9, 1 } };
	struct kist_spec_id_map *maps = NULL;
	struct kist_error err = { 0 };
	size_t n = 0;
	uint32_t host;

	(void)state;
	assert_int_equal(0, kist_userns_fill(10, NULL, 0, 700, &maps, &n, &host, &err));
	assert_int_equal(1, n);
	ASSERT_MAP(maps[0], 0, 700, 10);
	assert_int_equal(10, host);
	n = 0;
	assert_int_equal(0, kist_userns_fill(12, given, 2, 700, &maps, &n, &host, &err));
	assert_int_equal(4, n);
	ASSERT_MAP(maps[0], 0, 1000, 3);
	ASSERT_MAP(maps[1], 3, 700, 5);
	ASSERT_MAP(maps[2], 8, 50, 2);
	ASSERT_MAP(maps[3], 10, 705, 2);
	assert_int_equal(7, host);
	n = 0;
	assert_int_equal(0, kist_userns_fill(10, outside, 1, 700, &maps, &n, &host, &err));
	assert_int_equal(2, n);
	ASSERT_MAP(maps[1], 20, 7, 5);
	n = 0;
	assert_true(kist_userns_fill(10, overlap, 2, 700, &maps, &n, &host, &err) < 0);
	memset(&err, 0, sizeof(err));
	assert_true(kist_userns_fill(10, NULL, 0, UINT32_MAX - 5, &maps, &n, &host, &err) < 0);
	free(maps);
}

static void test_subid(void **state)
{
	struct kist_spec_id_map *ranges = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(0, kist_subid_parse("a:1:2\ncontainers:1000:10\n# c\nbad\ncontainers:5:x\ncontainers:3000:5\n"
	                                     "containers:4294967290:10\ncontainers:1:0\n",
	                                     "containers", &ranges, &n));
	assert_int_equal(2, n);
	ASSERT_MAP(ranges[0], 0, 1000, 10);
	ASSERT_MAP(ranges[1], 10, 3000, 5);
	n = 0;
	assert_int_equal(-ENOENT, kist_subid_parse("a:1:2\n", "b", &ranges, &n));
	assert_int_equal(-ENOENT, kist_subid_parse("", "", &ranges, &n));
	free(ranges);
}

static void test_first_fit(void **state)
{
	static const struct kist_spec_id_map ranges[] = { { 0, 100, 50 }, { 0, 1000, 1000 } };
	struct kist_spec_id_map taken[] = { { 0, 1500, 100 }, { 0, 100, 30 }, { 0, 900, 150 }, { 0, 1100, 10 } };
	uint32_t at;

	(void)state;
	assert_true(kist_userns_first_fit(ranges, 2, NULL, 0, 50, &at));
	assert_int_equal(100, at);
	assert_true(kist_userns_first_fit(ranges, 2, taken, 4, 20, &at));
	assert_int_equal(130, at);
	assert_true(kist_userns_first_fit(ranges, 2, taken, 4, 21, &at));
	assert_int_equal(1050, at);
	assert_true(kist_userns_first_fit(ranges, 2, taken, 4, 51, &at));
	assert_int_equal(1110, at);
	assert_true(kist_userns_first_fit(ranges, 2, taken, 4, 400, &at));
	assert_int_equal(1600, at);
	assert_false(kist_userns_first_fit(ranges, 2, taken, 4, 401, &at));
	assert_false(kist_userns_first_fit(ranges, 0, taken, 4, 1, &at));
}

static void test_kernel_map(void **state)
{
	struct kist_spec_id_map *maps = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(0, kist_ns_userns_map_parse(
	                            "         0     100000      65536\n     70000          5          1\n", &maps, &n));
	assert_int_equal(2, n);
	ASSERT_MAP(maps[0], 0, 100000, 65536);
	ASSERT_MAP(maps[1], 70000, 5, 1);
	assert_int_equal(-EINVAL, kist_ns_userns_map_parse("1 2\n", &maps, &n));
	assert_int_equal(-EINVAL, kist_ns_userns_map_parse("1 2 3 4\n", &maps, &n));
	free(maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_text), cmocka_unit_test(test_auto),      cmocka_unit_test(test_fill),
		cmocka_unit_test(test_subid),    cmocka_unit_test(test_first_fit), cmocka_unit_test(test_kernel_map),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
