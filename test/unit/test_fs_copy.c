/* core/base/fs_copy.c. Run as root. */
#include "test/unit/overlay_help.h"

#include "core/base/fs_copy.h"

static void copy(const char *scratch, const char *from, const char *to)
{
	KIST_CLOSE int source = open_dir(scratch, from);
	KIST_CLOSE int target = open_dir(scratch, to);
	struct kist_error err = { 0 };

	if (kist_copy_tree(source, target, &err) < 0)
		fail_msg("%s", err.text);
}

#define COMPARE                                                                                                        \
	"describe() { (cd \"$1\" && find . -printf '%P|%y|%m|%U:%G|%T@|%l|%n|' \\( -type f -printf '%s' -o -true \\) " \
	"-printf '\\n' | sort; find . -type f -print0 | sort -z | xargs -0r sha256sum; "                               \
	"find . -print0 | sort -z | xargs -0r getfattr -h -d -m '^(user|trusted|security\\.capability)' -e hex "       \
	"2>/dev/null; "                                                                                                \
	"find . ! -type l -print0 | sort -z | xargs -0r getfacl -np 2>/dev/null); }; describe a >1; describe b >2; "   \
	"diff 1 2"

static void test_all_kinds(void **state)
{
	must(*state, "mkdir -p a/d/e a/empty; cd a; echo hello >f; : >zero; head -c 3000000 /dev/urandom >d/big; ln f "
	             "d/hard; ln f d/e/hard2; "
	             "ln -s /etc/passwd link; ln -s missing dangling; mkfifo fifo; mknod null c 1 3; chown 12:34 f; "
	             "chown -h 5:6 link; "
	             "chmod 4711 d/big; chmod 1777 empty; setfattr -n user.x -v y f; setfattr -n trusted.t -v z d; "
	             "setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 d/big; setfacl -m "
	             "u:77:r f; "
	             "setfacl -d -m g:8:rwx empty; touch -d '2001-02-03 04:05:06.7' f d/e d empty; touch -h -d "
	             "2002-01-01 link; touch -d 2003-01-01 .; "
	             "setfattr -n trusted.overlay.opaque -v y empty");
	copy(*state, "a", "b");
	must(*state, "! getfattr -n trusted.overlay.opaque b/empty 2>/dev/null; setfattr -x trusted.overlay.opaque "
	             "a/empty; " COMPARE);
	must(*state, "test $(stat -c %i b/f) = $(stat -c %i b/d/e/hard2)");
}

static void test_holes(void **state)
{
	must(*state, "mkdir a; truncate -s 1G a/f; printf x | dd of=a/f bs=1 seek=500000000 conv=notrunc status=none; "
	             "truncate -s 5G a/empty");
	copy(*state, "a", "b");
	must(*state, "cmp a/f b/f; test $(stat -c %s b/empty) = 5368709120; test $(du -k b/f | cut -f 1) -lt 1000");
}

static void test_mounts_are_not_crossed(void **state)
{
	must(*state, "mkdir -p a/m; mount -t tmpfs tmpfs a/m; touch a/m/secret");
	copy(*state, "a", "b");
	must(*state, "umount a/m; test -d b/m; test -z \"$(ls b/m)\"");
}

static void test_what_is_there_is_an_error(void **state)
{
	struct kist_error err = { 0 };

	must(*state, "mkdir a b; echo new >a/f; echo old >b/f");
	KIST_CLOSE int from = open_dir(*state, "a");
	KIST_CLOSE int to = open_dir(*state, "b");
	assert_int_equal(kist_copy_tree(from, to, &err), -EEXIST);
	assert_string_equal(err.text, "copy f: File exists");
	must(*state, "test $(cat b/f) = old");
}

static void test_links_are_not_followed(void **state)
{
	must(*state, "mkdir -p a b out; ln -s $W/out a/d; echo secret >out/s; ln -s $W/out/s a/f");
	copy(*state, "a", "b");
	must(*state, "test -L b/d; test -L b/f; test $(readlink b/f) = $W/out/s");
}

static void test_chown(void **state)
{
	struct kist_error err = { 0 };

	must(*state, "mkdir -p a/d/e a/m out; touch a/f a/d/e/g out/o; ln -s $W/out/o a/l; ln -s $W/out a/ld; mount -t "
	             "tmpfs tmpfs a/m; touch a/m/x");
	KIST_CLOSE int dir = open_dir(*state, "a");
	assert_int_equal(kist_chown_tree(dir, 7, 8, &err), 0);
	must(*state,
	     "test $(find a -uid 7 -gid 8 | wc -l) = 7; test $(stat -c %u out) = 0; test $(stat -c %u out/o) = 0; "
	     "test $(stat -c %u a/m/x) = 0; umount a/m; rmdir a/m");
	/* A second pass touches nothing. */
	must(*state, "sleep 0.01; find a -printf '%C@\\n' >before");
	assert_int_equal(kist_chown_tree(dir, 7, 8, &err), 0);
	must(*state, "find a -printf '%C@\\n' | cmp - before");
	assert_int_equal(kist_chown_tree(dir, (uid_t)-1, 9, &err), 0);
	must(*state, "test $(find a -uid 7 -gid 9 | wc -l) -ge 6");
}

static void test_empty_and_clear(void **state)
{
	must(*state, "mkdir -p a/d/e; touch a/f a/.hidden");
	KIST_CLOSE int dir = open_dir(*state, "a");
	assert_int_equal(kist_dir_is_empty(dir), -ENOTEMPTY);
	assert_int_equal(kist_clear_dir(dir), 0);
	assert_int_equal(kist_dir_is_empty(dir), 0);
	assert_int_equal(kist_clear_dir(dir), 0);
	must(*state, "test -d a");
}

#define scratch_test(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_all_kinds),
		scratch_test(test_holes),
		scratch_test(test_mounts_are_not_crossed),
		scratch_test(test_what_is_there_is_an_error),
		scratch_test(test_links_are_not_followed),
		scratch_test(test_chown),
		scratch_test(test_empty_and_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
