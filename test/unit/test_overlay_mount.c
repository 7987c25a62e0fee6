#include "test/unit/overlay_help.h"

#include "overlay/mount.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <linux/magic.h>

struct rig {
	char *scratch;
	struct kist_overlay *store;
	char **layers; /* top first */
};

/* Attaching is the tests' own business: in a mount namespace that goes with the program. Its mounts are shared, as a
 * host's are, so that what a child mounts would show here. */
static int private_namespace(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		return -1;
	return 0;
}

static int rig_make(void **state)
{
	struct rig *rig = kist_alloc(sizeof(*rig));
	KIST_CLOSE int root = -1;

	scratch_make((void **)&rig->scratch);
	root = open_dir(rig->scratch, "root");
	assert_int_equal(kist_overlay_open(root, &rig->store, NULL), 0);
	*state = rig;
	return 0;
}

static int rig_remove(void **state)
{
	struct rig *rig = *state;

	kist_overlay_close(rig->store);
	kist_strv_free(rig->layers);
	scratch_remove((void **)&rig->scratch);
	free(rig);
	return 0;
}

/* Puts one more layer on top: what the script leaves in t/. */
static void add_layer(struct rig *rig, const char *script)
{
	KIST_CLOSE int from = -1;
	struct kist_error err = { 0 };
	char layer[65];
	char **layers = NULL;

	must(rig->scratch, "rm -rf t; mkdir t");
	must(rig->scratch, script);
	must(rig->scratch, "tar -C t -cf t.tar .");
	from = open_file(rig->scratch, "t.tar");
	if (kist_overlay_import(rig->store, from, layer, NULL, &err) < 0)
		fail_msg("%s", err.text);
	kist_strv_add(&layers, layer);
	for (size_t i = 0; i < kist_strv_len(rig->layers); i++)
		kist_strv_add(&layers, rig->layers[i]);
	kist_strv_free(rig->layers);
	rig->layers = layers;
}

static void attach(struct rig *rig, int fd)
{
	KIST_FREE char *path = kist_asprintf("%s/mnt", rig->scratch);
	KIST_CLOSE int dir = open_dir(rig->scratch, "mnt");

	(void)dir;
	assert_true(fd >= 0);
	assert_true(kist_is_fs(fd, OVERLAYFS_SUPER_MAGIC));
	assert_int_equal(move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH), 0);
}

static void detach(struct rig *rig)
{
	KIST_FREE char *path = kist_asprintf("%s/mnt", rig->scratch);

	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static int mount_way(struct rig *rig, const struct kist_overlay_mount *mount, int way, struct kist_error *err)
{
	return way < 0 ? kist_overlay_mount(rig->store, mount, err)
	               : kist_overlay_mount_by(rig->store, mount, (enum kist_overlay_way)way, err);
}

/* The whole of it, by each way: order of layers, whiteouts, opaque directories, copy-up, the same cwd afterwards. */
static void test_ways(void **state)
{
	struct rig *rig = *state;
	char before[4096], after[4096];

	add_layer(rig, "cd t; echo low > a; echo low > b; echo low > c; mkdir d e; echo low > d/x; echo low > e/x; "
	               "chmod 711 .; chown 7:8 .");
	add_layer(rig, "cd t; echo mid > b; : > .wh.c; mkdir d; : > d/.wh..wh..opq; echo mid > d/y; chmod 755 .");
	add_layer(rig, "cd t; echo top > top; chmod 751 .; chown 7:9 .");
	for (int way = -1; way <= KIST_OVERLAY_CHILD; way++) {
		KIST_CLOSE int dir = open_dir(rig->scratch, "ctr");
		const struct kist_overlay_mount mount = { .layers = rig->layers, .lower_fd = -1, .dir = dir };
		KIST_CLOSE int fd = -1;
		struct kist_error err = { 0 };

		assert_non_null(getcwd(before, sizeof(before)));
		must(rig->scratch, "grep -c . /proc/self/mountinfo > mounts");
		fd = mount_way(rig, &mount, way, &err);
		if (fd < 0)
			fail_msg("way %d: %s", way, err.text);
		assert_non_null(getcwd(after, sizeof(after)));
		assert_string_equal(before, after);
		must(rig->scratch, "test $(grep -c . /proc/self/mountinfo) = $(cat mounts)");
		attach(rig, fd);
		must(rig->scratch, "cd mnt; test \"$(cat a b d/y e/x top | tr '\\n' ' ')\" = 'low mid mid low top '; "
		                   "test ! -e c; test ! -e d/x; "
		                   "test \"$(stat -c %a:%u:%g .)\" = 751:7:9; echo new > a; echo w > written; rm b; "
		                   "test \"$(cat ../ctr/upper/a)\" = new; test -c ../ctr/upper/b");
		detach(rig);
		/* And again, over the same upper layer. */
		kist_close_fd(&fd);
		fd = mount_way(rig, &mount, way, &err);
		attach(rig, fd);
		must(rig->scratch, "test \"$(cat mnt/a)\" = new; test ! -e mnt/b; grep -q low root/overlay/*/diff/a");
		detach(rig);
		kist_close_fd(&fd);
		must(rig->scratch, "rm -rf ctr");
	}
}

/* The places of the engine's own files: an image's come first, nothing is made above, a torn layer is no obstacle. */
static void test_points(void **state)
{
	struct rig *rig = *state;

	add_layer(rig, "cd t; mkdir -m 700 etc; echo image > etc/hosts; echo 1 > a");
	for (int way = -1; way <= KIST_OVERLAY_CHILD; way++) {
		KIST_CLOSE int dir = open_dir(rig->scratch, "ctr");
		const struct kist_overlay_mount mount = {
			.layers = rig->layers, .lower_fd = -1, .dir = dir, .points = true
		};
		KIST_CLOSE int fd = -1;
		struct kist_error err = { 0 };

		must(rig->scratch, "umask 077; rm -rf root/overlay/points");
		fd = mount_way(rig, &mount, way, &err);
		if (fd < 0)
			fail_msg("way %d: %s", way, err.text);
		attach(rig, fd);
		must(rig->scratch,
		     "cd mnt; test \"$(cat etc/hosts)\" = image; test \"$(stat -c %a etc run proc etc/hostname | tr "
		     "'\\n' ' ')\" = "
		     "'700 755 555 644 '; test \"$(readlink etc/mtab)\" = /proc/mounts; test -f run/.containerenv; "
		     "test -f etc/resolv.conf; test -z \"$(ls ../ctr/upper)\"; echo mine > etc/hostname; "
		     "test ! -s ../root/overlay/points/etc/hostname; test -z \"$(ls -a ../root/overlay | grep tmp)\"");
		detach(rig);
		kist_close_fd(&fd);
		must(rig->scratch, "rm -rf ctr/upper ctr/work root/overlay/points/etc");
		fd = mount_way(rig, &mount, way, &err);
		attach(rig, fd);
		must(rig->scratch, "test ! -e mnt/etc/mtab; test \"$(cat mnt/etc/hosts)\" = image; test -d mnt/run");
		detach(rig);
		must(rig->scratch, "rm -rf ctr");
	}
}

static void test_read_only(void **state)
{
	struct rig *rig = *state;

	add_layer(rig, "echo 1 > t/a");
	for (int layers = 1; layers <= 2; layers++) {
		for (int way = -1; way <= KIST_OVERLAY_CHILD; way++) {
			const struct kist_overlay_mount mount = { .layers = rig->layers, .lower_fd = -1, .dir = -1 };
			KIST_CLOSE int fd = -1;
			struct kist_error err = { 0 };

			fd = mount_way(rig, &mount, way, &err);
			if (fd < 0)
				fail_msg("way %d: %s", way, err.text);
			attach(rig, fd);
			must(rig->scratch, "test -f mnt/a; ! touch mnt/b 2>/dev/null; ! touch mnt/a 2>/dev/null");
			detach(rig);
		}
		add_layer(rig, "echo 2 > t/b");
	}
}

/* --rootfs DIR:O */
static void test_over_directory(void **state)
{
	struct rig *rig = *state;

	must(rig->scratch, "mkdir rootfs; echo 1 > rootfs/a; chmod 710 rootfs; chown 3:4 rootfs");
	for (int way = -1; way <= KIST_OVERLAY_CHILD; way++) {
		KIST_CLOSE int dir = open_dir(rig->scratch, "ctr");
		KIST_CLOSE int lower = open_dir(rig->scratch, "rootfs");
		const struct kist_overlay_mount mount = { .lower_fd = lower, .dir = dir };
		KIST_CLOSE int fd = -1;
		struct kist_error err = { 0 };

		fd = mount_way(rig, &mount, way, &err);
		if (fd < 0)
			fail_msg("way %d: %s", way, err.text);
		attach(rig, fd);
		must(rig->scratch, "test \"$(stat -c %a:%u:%g mnt)\" = 710:3:4; echo 2 > mnt/a; test $(cat rootfs/a) = "
		                   "1; test $(cat ctr/upper/a) = 2");
		detach(rig);
		must(rig->scratch, "rm -rf ctr");
	}
}

/* A volatile mount marks its work directory; the next one must be possible all the same. */
static void test_volatile(void **state)
{
	struct rig *rig = *state;

	add_layer(rig, "echo 1 > t/a");
	for (int way = -1; way <= KIST_OVERLAY_CHILD; way++) {
		KIST_CLOSE int dir = open_dir(rig->scratch, "ctr");
		const char *const options[] = { "metacopy=on", NULL };
		const struct kist_overlay_mount mount = {
			.layers = rig->layers, .lower_fd = -1, .dir = dir, .volatile_ = true, .options = options
		};

		for (int i = 0; i < 3; i++) {
			struct kist_error err = { 0 };
			KIST_CLOSE int fd = mount_way(rig, &mount, way, &err);

			if (fd < 0)
				fail_msg("way %d, mount %d: %s", way, i, err.text);
			attach(rig, fd);
			must(rig->scratch, "findmnt -n -o OPTIONS mnt | grep -q volatile; findmnt -n -o OPTIONS mnt | "
			                   "grep -q metacopy=on; echo x >> mnt/a");
			detach(rig);
		}
		must(rig->scratch, "test $(wc -l < ctr/upper/a) = 4; rm -rf ctr");
	}
}

static void test_many_layers(void **state)
{
	struct rig *rig = *state;
	KIST_CLOSE int dir = open_dir(rig->scratch, "ctr");
	struct kist_overlay_mount mount = { .lower_fd = -1, .dir = dir };
	struct kist_error err = { 0 };
	KIST_STRV char **too_many = NULL;

	for (int i = 0; i < 128; i++) {
		KIST_FREE char *script = kist_asprintf("echo %d > t/f%d; echo %d > t/top", i, i, i);

		add_layer(rig, script);
	}
	mount.layers = rig->layers;
	for (int way = -1; way <= KIST_OVERLAY_CHILD; way++) {
		KIST_CLOSE int fd = -1;

		if (way == KIST_OVERLAY_WHOLE) {
			assert_int_equal(mount_way(rig, &mount, way, &err), -E2BIG);
			continue;
		}
		fd = mount_way(rig, &mount, way, &err);
		if (fd < 0)
			fail_msg("way %d: %s", way, err.text);
		attach(rig, fd);
		must(rig->scratch, "test $(ls mnt | wc -l) = 129; test $(cat mnt/top) = 127; test $(cat mnt/f0) = 0");
		detach(rig);
	}
	too_many = kist_strv_copy(rig->layers);
	/* Another one: a layer that is listed twice counts once. */
	kist_strv_add(&too_many, "1111111111111111111111111111111111111111111111111111111111111111");
	mount.layers = too_many;
	assert_true(kist_overlay_mount(rig->store, &mount, &err) < 0);
	assert_string_equal(err.text, "129 layers are more than 128");
}

static void expect_error(struct rig *rig, const struct kist_overlay_mount *mount, int way, const char *message)
{
	struct kist_error err = { 0 };
	int fd = mount_way(rig, mount, way, &err);

	assert_true(fd < 0);
	if (!strstr(err.text, message))
		fail_msg("'%s' does not contain '%s'", err.text, message);
}

static void test_errors(void **state)
{
	static const char absent[] = "0123456789012345678901234567890123456789012345678901234567890123";
	struct rig *rig = *state;
	KIST_CLOSE int dir = open_dir(rig->scratch, "ctr");
	char *none[] = { NULL };
	char *missing[] = { (char *)absent, NULL };
	char *escape[] = { "../../..", NULL };
	const char *const unknown[] = { "no-such-option=1", NULL };
	KIST_STRV char **twice = NULL;
	struct kist_overlay_mount mount = { .layers = none, .lower_fd = -1, .dir = dir };

	expect_error(rig, &mount, -1, "an overlay mount without layers");
	mount.layers = missing;
	expect_error(rig, &mount, -1,
	             "layer 0123456789012345678901234567890123456789012345678901234567890123 is not in the store");
	mount.layers = escape;
	expect_error(rig, &mount, -1, "layer ../../.. is not in the store");
	add_layer(rig, "echo 1 > t/a");
	mount.layers = rig->layers;
	mount.options = unknown;
	for (int way = -1; way <= KIST_OVERLAY_CHILD; way++)
		expect_error(rig, &mount, way, "mount overlay: Invalid argument");
	mount.options = NULL;
	twice = kist_strv_copy(rig->layers);
	kist_strv_add(&twice, rig->layers[0]);
	/* Images repeat layers; the kernel does not take them twice. */
	mount.layers = twice;
	{
		struct kist_error err = { 0 };
		KIST_CLOSE int fd = kist_overlay_mount(rig->store, &mount, &err);

		if (fd < 0)
			fail_msg("%s", err.text);
	}
	/* A layer whose mark is gone does not exist, though its files may. */
	mount.layers = rig->layers;
	must(rig->scratch, "rm root/overlay/*/committed");
	expect_error(rig, &mount, -1, "is not in the store");
}

/* The container's directory on a file system that cannot hold an upper layer: the error says which and what to do. */
static void test_upper_on_overlay(void **state)
{
	struct rig *rig = *state;
	KIST_CLOSE int dir = open_dir(rig->scratch, "ctr");
	KIST_CLOSE int inner = -1;
	KIST_CLOSE int fd = -1;
	struct kist_overlay_mount mount = { .lower_fd = -1, .dir = dir };
	struct kist_error err = { 0 };

	add_layer(rig, "echo 1 > t/a");
	mount.layers = rig->layers;
	fd = kist_overlay_mount(rig->store, &mount, &err);
	attach(rig, fd);
	inner = open_dir(rig->scratch, "mnt/inner");
	mount.dir = inner;
	for (int way = -1; way <= KIST_OVERLAY_CHILD; way++)
		expect_error(rig, &mount, way, "is itself on an overlay file system");
	kist_close_fd(&inner);
	detach(rig);
}

/* tmpfs holds trusted attributes, so that it works for a container that is thrown away. */
static void test_upper_on_tmpfs(void **state)
{
	struct rig *rig = *state;
	KIST_FREE char *path = kist_asprintf("%s/tmp", rig->scratch);
	KIST_CLOSE int dir = open_dir(rig->scratch, "tmp");
	struct kist_overlay_mount plan = { .lower_fd = -1 };
	struct kist_error err = { 0 };
	KIST_CLOSE int fd = -1;

	add_layer(rig, "echo 1 > t/a");
	assert_int_equal(mount("tmpfs", path, "tmpfs", 0, "size=10m"), 0);
	kist_close_fd(&dir);
	dir = open_dir(rig->scratch, "tmp");
	plan.layers = rig->layers;
	plan.dir = dir;
	fd = kist_overlay_mount(rig->store, &plan, &err);
	if (fd < 0)
		fail_msg("%s", err.text);
	attach(rig, fd);
	must(rig->scratch, "echo 2 > mnt/a; rm mnt/a; test -c tmp/upper/a");
	detach(rig);
	kist_close_fd(&fd);
	kist_close_fd(&dir);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_make, rig_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ways),           TEST(test_points),           TEST(test_read_only),
		TEST(test_over_directory), TEST(test_volatile),         TEST(test_many_layers),
		TEST(test_errors),         TEST(test_upper_on_overlay), TEST(test_upper_on_tmpfs),
	};

	return cmocka_run_group_tests(tests, private_namespace, NULL);
}
