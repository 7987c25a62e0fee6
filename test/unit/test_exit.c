/* Exit records: written, read back, kept after the removal, pruned. */
#include "store_help.h"

#include <sys/mount.h>
#include <sys/time.h>

static void test_write_read(void **state)
{
	struct kist_container *c = make("exit", "true");
	struct kist_exit in = { .run = 2, .code = 137, .oom = true, .finished = 1700000000123456789 }, out = { 0 };

	(void)state;
	assert_true(kist_exit_read(c, &out) < 0);
	assert_int_equal(kist_exit_write(c, &in, NULL), 0);
	assert_int_equal(kist_exit_read(c, &out), 0);
	assert_int_equal(out.run, 2);
	assert_int_equal(out.code, 137);
	assert_true(out.oom);
	assert_true(out.finished == in.finished);
	/* Unknown is not zero. */
	in = (struct kist_exit){ .run = 3, .code = -1 };
	assert_int_equal(kist_exit_write(c, &in, NULL), 0);
	assert_int_equal(kist_exit_read(c, &out), 0);
	assert_int_equal(out.code, -1);
	assert_false(out.oom);
	remove_one(c);
}

static void test_kept_after_removal(void **state)
{
	struct kist_container *c = make("kept", "true");
	struct kist_exit in = { .run = 1, .code = 42, .finished = 1 }, out = { 0 };
	char id[65];
	int code = -2;

	(void)state;
	memcpy(id, kist_container_id(c), 65);
	assert_true(kist_exit_find(k, id, &out) < 0);
	assert_int_equal(kist_exit_write(c, &in, NULL), 0);
	remove_one(c);
	assert_int_equal(kist_exit_find(k, id, &out), 0);
	assert_int_equal(out.code, 42);
	assert_int_equal(kist_container_wait(k, id, 0, &code, NULL), 0);
	assert_int_equal(code, 42);
	/* A container that never ran leaves no record. */
	c = make("never", "true");
	memcpy(id, kist_container_id(c), 65);
	remove_one(c);
	assert_true(kist_exit_find(k, id, &out) < 0);
	assert_true(kist_container_wait(k, id, 0, &code, NULL) < 0);
}

static void test_cut_anywhere(void **state)
{
	struct kist_container *c = make("cut", "true");
	struct kist_exit in = { .run = 1, .code = 3, .finished = 1 }, out = { 0 };
	KIST_STR struct kist_str text = { 0 };

	(void)state;
	assert_int_equal(kist_exit_write(c, &in, NULL), 0);
	assert_true(kist_read_file(kist_container_dir(c), "exit", 4096, &text) >= 0);
	for (size_t n = 0; n < text.len; n++) {
		file_put(kist_container_dir(c), "exit", text.data, n);
		assert_true(kist_exit_read(c, &out) < 0);
	}
	file_put(kist_container_dir(c), "exit", text.data, text.len);
	assert_int_equal(kist_exit_read(c, &out), 0);
	remove_one(c);
}

/* No room beside the record: the run directory takes it, and the later of the two counts. */
static void test_full_disk(void **state)
{
	struct kist_container *c = make("full", "true");
	struct kist_exit first = { .run = 1, .code = 1, .finished = 1 },
	                 second = { .run = 2, .code = 2, .finished = 2 }, out = { 0 };
	KIST_FREE char *path = kist_container_path(c, NULL);
	char id[65];

	(void)state;
	memcpy(id, kist_container_id(c), 65);
	assert_int_equal(kist_exit_write(c, &first, NULL), 0);
	/* A read-only mount over the directory stands for the full disk. */
	assert_int_equal(mount(path, path, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	kist_close_fd(&c->dir);
	int r = kist_exit_write(c, &second, NULL);
	kist_close_fd(&c->dir);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	assert_int_equal(r, 0);
	assert_int_equal(kist_exit_read(c, &out), 0);
	assert_int_equal(out.code, 2);
	remove_one(c);
	assert_int_equal(kist_exit_find(k, id, &out), 0);
	assert_int_equal(out.code, 2);
	assert_int_equal(out.run, 2);
}

static void test_damaged_record_of_a_removed_one(void **state)
{
	static const char id[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
	struct kist_exit out = { 0 };
	struct kist_error err = { 0 };
	int code = -2;

	(void)state;
	file_put(k->exits, id, "code=5\n", 7);
	assert_true(kist_exit_find(k, id, &out) < 0);
	assert_true(kist_container_wait(k, id, 0, &code, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	unlinkat(k->exits, id, 0);
}

/* At most one look at all records a minute; the mark says when that was. */
static void test_prune_is_rare(void **state)
{
	struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	struct stat before, after;
	struct kist_exit in = { .run = 1, .code = 0, .finished = 1 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct kist_container *c = make(NULL, "true");
		assert_int_equal(kist_exit_write(c, &in, NULL), 0);
		remove_one(c);
		assert_int_equal(fstatat(k->exits, ".pruned", i ? &after : &before, 0), 0);
	}
	assert_true(before.st_ino == after.st_ino);
	/* Long ago, or in the future because a clock was set back: it is done again. */
	assert_int_equal(utimensat(k->exits, ".pruned", old, 0), 0);
	struct kist_container *c = make(NULL, "true");
	assert_int_equal(kist_exit_write(c, &in, NULL), 0);
	remove_one(c);
	assert_int_equal(fstatat(k->exits, ".pruned", &after, 0), 0);
	assert_true(after.st_mtime > 1);
	old[0].tv_sec = old[1].tv_sec = 4000000000;
	assert_int_equal(utimensat(k->exits, ".pruned", old, 0), 0);
	c = make(NULL, "true");
	assert_int_equal(kist_exit_write(c, &in, NULL), 0);
	remove_one(c);
	assert_int_equal(fstatat(k->exits, ".pruned", &after, 0), 0);
	assert_true(after.st_mtime < 4000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_read),
		cmocka_unit_test(test_kept_after_removal),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_damaged_record_of_a_removed_one),
		cmocka_unit_test(test_prune_is_rare),
	};
	return cmocka_run_group_tests_name("exit", tests, store_setup, store_teardown);
}
