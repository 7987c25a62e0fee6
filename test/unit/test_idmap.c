/* The option idmap=MAP of mounts. */
#include "test/unit/userns_help.h"

#include <stdlib.h>
#include <string.h>

static struct kist_spec_id_map own_uids[] = { { 0, 100000, 10 }, { 10, 5, 1 } }, own_gids[] = { { 0, 200000, 10 } };
static const struct kist_container_config host,
        mapped = { .uid_map = own_uids, .n_uid_map = 2, .gid_map = own_gids, .n_gid_map = 1 };

static void release(struct kist_spec_mount *mount)
{
	free(mount->uid_mappings);
	free(mount->gid_mappings);
	*mount = (struct kist_spec_mount){ 0 };
}

static void test_maps(void **state)
{
	struct kist_spec_mount mount = { 0 };
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(0, kist_idmap_parse("uids=0-1-10#10-11-4294967284;gids=0-100-10", &host, &mount, &err));
	assert_int_equal(2, mount.n_uid_mappings);
	ASSERT_MAP(mount.uid_mappings[1], 10, 11, 4294967284u);
	assert_int_equal(1, mount.n_gid_mappings);
	ASSERT_MAP(mount.gid_mappings[0], 0, 100, 10);
	release(&mount);
	/* The side that is missing. */
	assert_int_equal(0, kist_idmap_parse("gids=1-2-3", &host, &mount, &err));
	ASSERT_MAP(mount.uid_mappings[0], 0, 0, UINT32_MAX);
	release(&mount);
	assert_int_equal(0, kist_idmap_parse("gids=1-2-3", &mapped, &mount, &err));
	assert_int_equal(2, mount.n_uid_mappings);
	ASSERT_MAP(mount.uid_mappings[1], 10, 5, 1);
	release(&mount);
	/* Ids of the container, and of the host. */
	assert_int_equal(0, kist_idmap_parse("uids=@7-3-7#0-3-1;gids=@0-9-1", &mapped, &mount, &err));
	ASSERT_MAP(mount.uid_mappings[0], 7, 100003, 7);
	ASSERT_MAP(mount.uid_mappings[1], 0, 3, 1);
	ASSERT_MAP(mount.gid_mappings[0], 0, 200009, 1);
	release(&mount);
	assert_int_equal(0, kist_idmap_parse("uids=@7-3-1", &host, &mount, &err));
	ASSERT_MAP(mount.uid_mappings[0], 7, 3, 1);
	release(&mount);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"uids",
		"uids=",
		"true",
		";",
		"uid=0-0-1",
		"uids=0-0",
		"uids=0-0-0",
		"uids=0-0-1-1",
		"uids=0-0-1#",
		"uids=#0-0-1",
		"uids=a-0-1",
		"uids=0--1-1",
		"uids=+0-0-1",
		"uids=@",
		"uids=0-0-1;",
		"gids=@@0-0-1",
		"gids=0-@0-1",
		"uids=@0-9-2",
		"uids=@0-11-1",
		"gids=@0-10-1",
		"uids= 0-0-1",
		"uids=0-0-4294967296",
		"uids=1-0-4294967295",
		"uids=0-1-4294967295",
		"uids=0-0-1;uids=1-1-1",
		"uids=0-0-1;gids=1",
		"uids=0-0-2#1-5-1",
		"uids=0-5-2#7-4-2",
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_spec_mount mount = { 0 };
		struct kist_error err = { 0 };
		if (kist_idmap_parse(bad[i], &mapped, &mount, &err) == 0)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(KIST_ERR_INVALID, err.kind);
		assert_null(mount.uid_mappings);
	}
}

static void test_plan(void **state)
{
	char *options[] = { (char *)"ro", (char *)"idmap=uids=0-5-1", NULL, NULL };
	struct kist_spec_mount mount = { 0 };
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(0, kist_idmap_plan(NULL, &host, &mount, &err));
	assert_int_equal(0, mount.n_uid_mappings);
	assert_int_equal(0, kist_idmap_plan(options, &host, &mount, &err));
	ASSERT_MAP(mount.uid_mappings[0], 0, 5, 1);
	release(&mount);
	options[2] = (char *)"idmap=uids=0-6-1";
	assert_true(kist_idmap_plan(options, &host, &mount, &err) < 0);
	release(&mount);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
