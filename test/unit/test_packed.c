#include "test/unit/child.h"
#include "test/unit/overlay_help.h"

#include "overlay/loop.h"
#include "overlay/mount.h"
#include "overlay/packed.h"

#include <linux/loop.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statfs.h>

/* What this machine has. A skip says why, and is a failure where KIST_TEST_FULL is set. */
static bool has(const char *type)
{
	KIST_FREE char *script =
	        kist_asprintf("grep -qw %s /proc/filesystems && test -e /dev/loop-control && command -v %s "
	                      ">/dev/null",
	                      type, kist_streq(type, "squashfs") ? "mksquashfs" : "mkfs.erofs");

	if (shell("/", script) == 0)
		return true;
	if (getenv("KIST_TEST_FULL"))
		fail_msg("no %s, no loop devices, or nothing to make it with", type);
	print_message("skipped: no %s, no loop devices, or nothing to make it with\n", type);
	return false;
}

static void make(const char *scratch, const char *type, const char *name)
{
	KIST_FREE char *script =
	        kist_streq(type, "squashfs")
	                ? kist_asprintf("mksquashfs t %s -noappend -quiet -no-progress >/dev/null 2>&1", name)
	                : kist_asprintf("mkfs.erofs %s t >/dev/null 2>&1", name);

	must(scratch, script);
}

static const char *const types[] = { "squashfs", "erofs" };

static void test_type(void **state)
{
	const char *scratch = *state;

	must(scratch, "printf hsqs > s; printf hsq > short; dd if=/dev/zero of=e bs=1024 count=1 2>/dev/null; printf "
	              "'\\342\\341\\365\\340' >> e; echo text > text; mkfifo fifo");
	const struct {
		const char *file, *type;
	} rows[] = { { "s", "squashfs" }, { "short", NULL }, { "e", "erofs" }, { "text", NULL } };
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		KIST_CLOSE int fd = open_file(scratch, rows[i].file);
		const char *type = kist_overlay_packed_type(fd);

		if (!kist_streq(type, rows[i].type))
			fail_msg("%s: %s", rows[i].file, type ? type : "nothing");
	}
	KIST_FREE char *path = kist_asprintf("%s/fifo", scratch);
	KIST_CLOSE int fifo = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	assert_null(kist_overlay_packed_type(fifo));
	struct kist_error err = { 0 };
	KIST_CLOSE int text = open_file(scratch, "text");
	assert_int_equal(kist_overlay_packed_mount(text, &err), -EINVAL);
	assert_non_null(strstr(err.text, "neither a squashfs nor an erofs"));
}

static bool has_no_device(const char *scratch)
{
	return shell(scratch, "! grep -qF \"$W/\" /sys/block/loop*/loop/backing_file 2>/dev/null") == 0;
}

/* The kernel may clear a device a moment after its last close. */
static void no_device(const char *scratch)
{
	for (int i = 0; i < 200 && !has_no_device(scratch); i++)
		usleep(20 * 1000);
	assert_true(has_no_device(scratch));
}

/* All who mount a file share its device, whatever the path; it is read-only and goes with the last of them. */
static void test_loop(void **state)
{
	const char *scratch = *state;
	char path[KIST_LOOP_PATH], again[KIST_LOOP_PATH], other[KIST_LOOP_PATH];
	struct kist_error err = { 0 };

	if (!has("squashfs"))
		return;
	must(scratch, "dd if=/dev/zero of=a bs=4096 count=4 2>/dev/null; cp a b; ln a link");
	KIST_CLOSE int a = open_file(scratch, "a");
	KIST_CLOSE int link = open_file(scratch, "link");
	KIST_CLOSE int b = open_file(scratch, "b");
	KIST_CLOSE int first = kist_loop_attach(a, path, &err);
	if (first < 0)
		fail_msg("%s", err.text);
	KIST_CLOSE int second = kist_loop_attach(link, again, &err);
	KIST_CLOSE int third = kist_loop_attach(b, other, &err);
	assert_true(second >= 0 && third >= 0);
	assert_string_equal(path, again);
	assert_string_not_equal(path, other);
	struct loop_info64 info;
	assert_int_equal(ioctl(first, LOOP_GET_STATUS64, &info), 0);
	assert_int_equal(info.lo_flags & (LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR),
	                 LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR);
	/* The lock is not kept. */
	assert_int_equal(flock(a, LOCK_EX | LOCK_NB), 0);
	flock(a, LOCK_UN);
	kist_close_fd(&first);
	assert_false(has_no_device(scratch));
	kist_close_fd(&second);
	kist_close_fd(&third);
	no_device(scratch);
}

static void test_loop_race(void **state)
{
	const char *scratch = *state;
	int ready[2], go[2];
	char path[KIST_LOOP_PATH];

	if (!has("squashfs"))
		return;
	must(scratch, "dd if=/dev/zero of=a bs=4096 count=4 2>/dev/null");
	assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(go, O_CLOEXEC), 0);
	for (int i = 0; i < 8; i++) {
		if (child_fork() != 0)
			continue;
		char byte;
		close(go[1]);
		KIST_CLOSE int fd = open_file(scratch, "a");
		KIST_CLOSE int device = kist_loop_attach(fd, path, NULL);
		kist_write_all(ready[1], device >= 0 ? path : "bad", KIST_LOOP_PATH);
		_exit(read(go[0], &byte, 1) == 0 && device >= 0 ? 0 : 1);
	}
	char got[KIST_LOOP_PATH];
	for (int i = 0; i < 8; i++) {
		assert_int_equal(read(ready[0], got, sizeof(got)), sizeof(got));
		if (i == 0)
			memcpy(path, got, sizeof(path));
		assert_string_equal(got, path);
	}
	close(go[1]);
	for (int i = 0; i < 8; i++) {
		int status;
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	close(go[0]);
	close(ready[0]);
	close(ready[1]);
	no_device(scratch);
}

/* --- layers --------------------------------------------------------------------------------------------------------
 */

static void import(struct kist_overlay *store, const char *scratch, const char *name, char layer[65])
{
	KIST_CLOSE int from = open_file(scratch, name);
	const struct kist_overlay_source source = { .fd = from, .packed = kist_overlay_packed_type(from) != NULL };
	struct kist_error err = { 0 };

	if (kist_overlay_import_from(store, &source, layer, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static int attach(const char *scratch, int fd)
{
	KIST_FREE char *path = kist_asprintf("%s/mnt", scratch);
	KIST_CLOSE int dir = open_dir(scratch, "mnt");

	(void)dir;
	return move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

static void detach(const char *scratch)
{
	KIST_FREE char *path = kist_asprintf("%s/mnt", scratch);

	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void count_problems(void *arg, const char *name, const char *what)
{
	(void)name;
	(void)what;
	(*(int *)arg)++;
}

/* A plain layer below and above a packed one: order, whiteouts, the upper layer, and nothing left. */
static void test_layers(void **state)
{
	const char *scratch = *state;

	for (size_t i = 0; i < KIST_COUNT(types); i++) {
		struct kist_overlay *store = NULL;
		char low[65], packed[65], top[65];
		struct kist_error err = { 0 };

		if (!has(types[i]))
			continue;
		KIST_CLOSE int root = open_dir(scratch, "root");
		assert_int_equal(kist_overlay_open(root, &store, NULL), 0);
		must(scratch,
		     "rm -rf t; mkdir t; echo low > t/a; echo low > t/b; echo low > t/c; tar -C t -cf low.tar .");
		must(scratch,
		     "rm -rf t; mkdir t; echo mid > t/b; echo mid > t/d; mknod t/c c 0 0; chmod 711 t; chown 7:8 t");
		make(scratch, types[i], "mid.img");
		must(scratch, "rm -rf t; mkdir t; echo top > t/d; chown 7:9 t; tar -C t -cf top.tar .");
		import(store, scratch, "low.tar", low);
		import(store, scratch, "mid.img", packed);
		import(store, scratch, "top.tar", top);
		no_device(scratch);
		assert_string_equal(kist_overlay_layer_type(store, packed), types[i]);
		assert_null(kist_overlay_layer_type(store, low));
		KIST_FREE char *digest = kist_asprintf("test $(sha256sum < mid.img | cut -c 1-64) = %s", packed);
		must(scratch, digest);

		char *layers[] = { top, packed, low, NULL };
		KIST_CLOSE int dir = open_dir(scratch, "ctr");
		const struct kist_overlay_mount mount = { .layers = layers, .lower_fd = -1, .dir = dir };
		KIST_CLOSE int fd = kist_overlay_mount(store, &mount, &err);
		if (fd < 0)
			fail_msg("%s", err.text);
		must(scratch, "! grep -q \"$W\" /proc/self/mountinfo");
		assert_int_equal(attach(scratch, fd), 0);
		must(scratch,
		     "cd mnt; test \"$(cat a b d | tr '\\n' ' ')\" = 'low mid top '; test ! -e c; echo new > b; rm "
		     "d; test $(stat -c %u:%g .) = 7:9; test \"$(cat ../ctr/upper/b)\" = new");
		detach(scratch);
		kist_close_fd(&fd);
		no_device(scratch);

		/* Alone, read-only. */
		char *one[] = { packed, NULL };
		const struct kist_overlay_mount alone = { .layers = one, .lower_fd = -1, .dir = -1 };
		KIST_CLOSE int view = kist_overlay_mount(store, &alone, &err);
		if (view < 0)
			fail_msg("%s", err.text);
		assert_int_equal(attach(scratch, view), 0);
		must(scratch, "test $(cat mnt/b) = mid; ! touch mnt/x 2>/dev/null; test $(stat -c %a mnt) = 711");
		detach(scratch);
		kist_close_fd(&view);

		uint64_t size = 0, length = 0;
		int problems = 0;
		assert_int_equal(kist_overlay_size(store, packed, &size, NULL), 0);
		assert_int_equal(kist_overlay_length(store, packed, &length, NULL), 0);
		assert_true(size > 0 && size == length);
		assert_int_equal(kist_overlay_verify(store, packed, count_problems, &problems, &err), 0);
		KIST_FREE char *out_path = kist_asprintf("%s/out", scratch);
		KIST_CLOSE int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_int_equal(kist_overlay_export(store, packed, out, &err), 0);
		must(scratch, "cmp out mid.img");
		must(scratch, "printf x | dd of=$(ls root/overlay/*/image) bs=1 seek=200 conv=notrunc 2>/dev/null");
		assert_int_equal(kist_overlay_verify(store, packed, count_problems, &problems, &err), 1);
		assert_int_equal(kist_overlay_export(store, packed, out, &err), -EBADMSG);
		kist_error_clear(&err);
		assert_int_equal(kist_overlay_remove(store, packed, &err), 0);
		kist_overlay_close(store);
		no_device(scratch);
		must(scratch, "rm -rf root ctr mnt");
	}
}

/* A file that only begins like one must not become a layer. */
static void test_damaged(void **state)
{
	const char *scratch = *state;
	struct kist_overlay *store = NULL;
	struct kist_error err = { 0 };
	char layer[65];

	if (!has("squashfs"))
		return;
	must(scratch, "printf hsqs > bad; dd if=/dev/urandom bs=4096 count=2 2>/dev/null >> bad");
	KIST_CLOSE int root = open_dir(scratch, "root");
	assert_int_equal(kist_overlay_open(root, &store, NULL), 0);
	KIST_CLOSE int from = open_file(scratch, "bad");
	const struct kist_overlay_source source = { .fd = from, .packed = true };
	assert_true(kist_overlay_import_from(store, &source, layer, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "mount squashfs"));
	assert_non_null(strstr(err.text, "damaged"));
	kist_error_clear(&err);
	const struct kist_overlay_source wrong = {
		.fd = from, .packed = true, .part = true, .offset = 0, .length = 1u << 20
	};
	assert_true(kist_overlay_import_from(store, &wrong, layer, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "ends too early"));
	kist_overlay_close(store);
	must(scratch, "test -z \"$(ls -d root/overlay/*/ root/overlay/.tmp-* 2>/dev/null | grep -v '/l/$')\"");
	no_device(scratch);
}

/* --rootfs FILE */
static void test_over_file(void **state)
{
	const char *scratch = *state;

	for (size_t i = 0; i < KIST_COUNT(types); i++) {
		struct kist_overlay *store = NULL;
		struct kist_error err = { 0 };

		if (!has(types[i]))
			continue;
		must(scratch, "rm -rf t; mkdir t; echo file > t/a; chmod 750 t");
		make(scratch, types[i], "file.img");
		KIST_CLOSE int root = open_dir(scratch, "root");
		assert_int_equal(kist_overlay_open(root, &store, NULL), 0);
		KIST_CLOSE int file = open_file(scratch, "file.img");
		KIST_CLOSE int dir = open_dir(scratch, "ctr");
		const struct kist_overlay_mount mount = {
			.lower_fd = file, .lower_packed = true, .dir = dir, .volatile_ = true
		};
		/* The second finds the mark that the first left, and mounts the file again. */
		for (int j = 0; j < 2; j++) {
			KIST_CLOSE int fd = kist_overlay_mount(store, &mount, &err);
			if (fd < 0)
				fail_msg("%s", err.text);
			assert_int_equal(attach(scratch, fd), 0);
			must(scratch, "test $(stat -c %a mnt) = 750; cat mnt/a; echo new > mnt/a; test $(cat "
			              "ctr/upper/a) = new");
			detach(scratch);
		}
		kist_overlay_close(store);
		no_device(scratch);
		must(scratch, "rm -rf root ctr mnt");
	}
}

/* --- stores that are only read --------------------------------------------------------------------------------------
 */

static void test_second_store(void **state)
{
	const char *scratch = *state;
	struct kist_overlay *base = NULL, *store = NULL;
	struct kist_error err = { 0 };
	char low[65], top[65], same[65];

	must(scratch,
	     "mkdir t; echo low > t/a; echo low > t/b; tar -C t -cf low.tar .; echo top > t/b; tar -C t -cf top.tar .");
	KIST_CLOSE int one = open_dir(scratch, "one");
	KIST_CLOSE int two = open_dir(scratch, "two");
	KIST_CLOSE int nothing = open_dir(scratch, "nothing");
	assert_int_equal(kist_overlay_open(one, &base, NULL), 0);
	import(base, scratch, "low.tar", low);
	kist_overlay_close(base);
	must(scratch, "find one | sort > before");
	assert_int_equal(kist_overlay_open(two, &store, NULL), 0);
	assert_int_equal(kist_overlay_add(store, nothing, &err), 0);
	assert_int_equal(kist_overlay_add(store, one, &err), 0);
	assert_true(kist_overlay_has(store, low));
	assert_false(kist_overlay_owns(store, low));
	assert_null(kist_overlay_list(store));
	import(store, scratch, "top.tar", top);
	/* What is there is not stored twice. */
	import(store, scratch, "low.tar", same);
	assert_string_equal(low, same);
	assert_false(kist_overlay_owns(store, low));
	assert_int_equal(kist_overlay_remove(store, low, &err), -ENOENT);
	kist_error_clear(&err);
	uint64_t size;
	assert_int_equal(kist_overlay_size(store, low, &size, &err), 0);
	char *layers[] = { top, low, NULL };
	KIST_CLOSE int dir = open_dir(scratch, "ctr");
	const struct kist_overlay_mount mount = { .layers = layers, .lower_fd = -1, .dir = dir };
	KIST_CLOSE int fd = kist_overlay_mount(store, &mount, &err);
	if (fd < 0)
		fail_msg("%s", err.text);
	assert_int_equal(attach(scratch, fd), 0);
	must(scratch, "test \"$(cat mnt/a mnt/b | tr '\\n' ' ')\" = 'low top '; echo new > mnt/a; find one | sort | "
	              "cmp - before");
	detach(scratch);
	kist_overlay_close(store);
}

static int private_namespace(void **state)
{
	(void)state;
	return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_type, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_loop, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_loop_race, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_layers, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_damaged, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_over_file, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_second_store, scratch_make, scratch_remove),
	};

	return cmocka_run_group_tests(tests, private_namespace, NULL);
}
