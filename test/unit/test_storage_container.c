/* Writable layers whose record is lost or damaged: listed, mounted, removed, and never swept. */
#include "store_help.h"

static void orphan(struct kist_container *c, bool lost)
{
	int dir = kist_container_dir(c);

	assert_int_equal(mkdirat(dir, "upper", 0755), 0);
	int upper KIST_CLOSE = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_replace_file(upper, "mine", "data", 4, 0600, 0), 0);
	if (lost)
		assert_int_equal(unlinkat(dir, "config", 0), 0);
	else
		assert_int_equal(kist_replace_file(dir, "config", "name=torn\nimage_name=one\nna", 28, 0600, 0), 0);
}

static void expect_listed(const char *id, const char *name, bool mounted)
{
	struct kist_storage_container *list = NULL;
	size_t n = 0;

	assert_int_equal(kist_storage_container_list(k, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].id, id);
	assert_true(kist_streq(list[0].name, name));
	assert_int_equal(list[0].mountpoint != NULL, mounted);
	assert_true(list[0].changed > 0);
	kist_storage_container_list_free(list, n);
}

static void check_orphan(bool lost)
{
	struct kist_container *sound = make("sound", "true"), *c = make("torn", "true"), *found = NULL;
	KIST_FREE char *id = kist_strdup(kist_container_id(c));
	KIST_STR struct kist_str text = { 0 };
	KIST_FREE char *path = NULL;
	struct kist_error err = { 0 };

	orphan(c, lost);
	kist_container_free(c);
	kist_containers_sweep(k);
	assert_true(kist_container_open(k, id, &found, NULL) < 0);
	expect_listed(id, lost ? NULL : "torn", false);
	assert_int_equal(kist_storage_container_unmount(k, id, false, NULL), 0);
	assert_int_equal(kist_storage_container_mount(k, id, &path, &err), 0);
	KIST_FREE char *file = kist_asprintf("%s/mine", path);
	assert_int_equal(kist_read_file(AT_FDCWD, file, 16, &text), 0);
	assert_string_equal(kist_str_get(&text), "data");
	expect_listed(id, lost ? NULL : "torn", true);
	assert_true(kist_storage_container_remove(k, id, false, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	kist_error_clear(&err);
	assert_int_equal(kist_storage_container_unmount(k, id, false, NULL), 1);
	assert_null(kist_storage_container_mountpoint(k, id));
	free(path);
	path = NULL;
	assert_int_equal(kist_storage_container_mount(k, id, &path, NULL), 0);
	assert_int_equal(kist_storage_container_remove(k, id, true, NULL), 0);
	assert_null(kist_storage_container_mountpoint(k, id));
	assert_true(kist_storage_container_mount(k, id, &path, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	kist_error_clear(&err);
	assert_true(kist_storage_container_mount(k, kist_container_id(sound), &path, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND); /* it never ran: it has no writable layer */
	kist_error_clear(&err);
	assert_int_equal(mkdirat(kist_container_dir(sound), "upper", 0755), 0);
	assert_true(kist_storage_container_remove(k, kist_container_id(sound), true, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	remove_one(sound);
	expect_nothing_left();
}

static void test_damaged_record(KIST_UNUSED void **state)
{
	check_orphan(false);
}

static void test_lost_record(KIST_UNUSED void **state)
{
	check_orphan(true);
}

static void test_half_made_is_swept(KIST_UNUSED void **state)
{
	struct kist_container *c = make("half", "true");

	assert_int_equal(unlinkat(kist_container_dir(c), "config", 0), 0);
	kist_container_free(c);
	kist_containers_sweep(k);
	expect_nothing_left();
}

static void test_reset(KIST_UNUSED void **state)
{
	struct kist_container *c = make("one", "true"), *torn = make("torn", "true");
	struct kist_volume volume = { .name = (char *)"v" };
	struct kist_error err = { 0 };

	orphan(torn, false);
	kist_container_free(torn);
	kist_container_free(c);
	assert_int_equal(kist_volume_create(k, &volume, NULL, &err), 0);
	assert_int_equal(kist_replace_file(k->root, "foreign", "x", 1, 0600, 0), 0);
	assert_int_equal(kist_store_reset(k, &err), 0);
	assert_false(kist_exists_at(k->root, "volumes"));
	assert_false(kist_exists_at(k->root, "containers"));
	assert_true(kist_exists_at(k->root, "foreign"));
	/* The next call makes it anew. */
	kist_close(k);
	k = store_open();
	remove_one(make("again", "true"));
	expect_nothing_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged_record),
		cmocka_unit_test(test_lost_record),
		cmocka_unit_test(test_half_made_is_swept),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests_name("storage containers", tests, store_setup, store_teardown);
}
