/* overlay/tar_write.c, tar_output.c: archives read back by our own reader, by GNU tar and by bsdtar. Run as root. */
#include "test/unit/child.h"
#include "test/unit/overlay_help.h"

#include "overlay/tar_pax.h"
#include "overlay/tar_write.h"

#include <signal.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

/* Everything that a tree tells: type, mode, owner, size, time, link, digest, attributes, ACLs. */
#define DESCRIBE                                                                                                       \
	"describe() { (cd \"$1\" && find . -printf '%P|%y|%m|%U:%G|%T@|%l|%n|' \\( -type f -printf '%s' -o -true \\) " \
	"-printf '\\n' | sort; find . -type f -print0 | sort -z | xargs -0r sha256sum; "                               \
	"find . -print0 | sort -z | xargs -0r getfattr -h -d -m '^(user|trusted|security\\.capability)' -e hex "       \
	"2>/dev/null; "                                                                                                \
	"find . ! -type l -print0 | sort -z | xargs -0r getfacl -np 2>/dev/null; "                                     \
	"find . \\( -type c -o -type b \\) -exec stat -c '%n %t:%T' {} + | sort); }; "

#define MAKE_TREE                                                                                                      \
	"mkdir tree; cd tree; "                                                                                        \
	"mkdir -p a/b empty; echo hello >a/f; : >a/zero; head -c 1000000 /dev/urandom >a/b/big; "                      \
	"ln -s ../outside a/link; ln -s \"$(printf '%0150d' 7)\" a/longlink; "                                         \
	"ln a/f a/b/hard; ln a/f hard2; mkfifo a/fifo; mknod a/null c 1 3; mknod a/disk b 259 1048575; "               \
	"touch \"$(printf '%0200d' 1)\"; mkdir -p \"a/$(printf '%0120d' 2)/$(printf '%0120d' 3)\"; "                   \
	"echo deep >\"a/$(printf '%0120d' 2)/$(printf '%0120d' 3)/f\"; "                                               \
	"echo umlaut >\"$(printf 'caf\\303\\251')\"; echo x >'with space'; "                                           \
	"printf 'x' >\"$(printf 'new\\nline')\"; "                                                                     \
	"chown 1000:1000 a/f; chown 4000000000:3000000 a/zero; chmod 4755 a/b/big; chmod 1777 empty; "                 \
	"touch -d '2001-02-03 04:05:06.123456789' a/zero; touch -d '1960-01-01 00:00:00.25 UTC' 'with space'; "        \
	"touch -d '2300-01-01' hard2; touch -h -d '2002-01-01 00:00:00.5' a/link; "                                    \
	"setfattr -n user.note -v 'a=b' a/f; setfattr -n trusted.x -v 0x00ff0a a/b; "                                  \
	"setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 a/b/big; "                      \
	"setfacl -m u:1234:r,g:55:rw a/zero; setfacl -d -m u:77:rwx empty; "

static void create(const char *scratch, const char *tree, const char *archive,
                   const struct kist_tar_create_options *options, struct kist_tar_result *result)
{
	KIST_CLOSE int dir = open_dir(scratch, tree);
	KIST_FREE char *path = kist_asprintf("%s/%s", scratch, archive);
	KIST_CLOSE int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct kist_error err = { 0 };

	assert_true(to >= 0);
	int r = kist_tar_create(dir, to, options, result, &err);
	if (r < 0)
		print_error("%s\n", err.text);
	assert_int_equal(r, 0);
}

static void extract(const char *scratch, const char *archive, const char *to, unsigned flags)
{
	KIST_CLOSE int from = open_file(scratch, archive);
	KIST_CLOSE int dir = open_dir(scratch, to);
	struct kist_error err = { 0 };

	int r = kist_tar_extract(from, dir, flags, NULL, NULL, &err);
	if (r < 0)
		print_error("%s\n", err.text);
	assert_int_equal(r, 0);
}

static const struct kist_tar_create_options with_top = { .flags = KIST_TAR_CREATE_TOP | KIST_TAR_CREATE_DIGEST };

static void our_reader_takes_it_back(void **state)
{
	must(*state, MAKE_TREE "touch -d '2005-05-05 05:05:05.5' empty a .");
	create(*state, "tree", "t.tar", &with_top, NULL);
	extract(*state, "t.tar", "back", 0);
	must(*state, DESCRIBE "describe tree >1; describe back >2; diff 1 2");
}

static void gnu_tar_takes_it(void **state)
{
	must(*state, MAKE_TREE "touch -d '2005-05-05 05:05:05.5' empty a .");
	create(*state, "tree", "t.tar", &with_top, NULL);
	must(*state, "mkdir back; tar -C back --numeric-owner --same-owner -p --acls --xattrs --xattrs-include='*' -xf "
	             "t.tar 2>err; "
	             "! grep -v 'implausibly old time stamp\\|time stamp.*in the future' err");
	must(*state, DESCRIBE "describe tree >1; describe back >2; diff 1 2");
}

static void bsdtar_takes_it(void **state)
{
	/* libarchive 3.6 reads the fraction of a time before 1970 with the wrong sign, and leaves the top's time alone.
	 */
	must(*state, MAKE_TREE "touch -d '1960-01-01 UTC' 'with space'; touch -d '2005-05-05 05:05:05.5' empty a .");
	create(*state, "tree", "t.tar", &with_top, NULL);
	must(*state, "mkdir back; bsdtar -C back --numeric-owner --same-owner -p --acls --xattrs -xf t.tar");
	must(*state, DESCRIBE "describe tree | grep -v '^|d|' >1; describe back | grep -v '^|d|' >2; diff 1 2");
}

static void equal_trees_are_equal_streams(void **state)
{
	struct kist_tar_result one, two;

	must(*state, MAKE_TREE "cd ..; cp -a tree copy; touch -r tree copy");
	create(*state, "tree", "1.tar", &with_top, &one);
	create(*state, "copy", "2.tar", &with_top, &two);
	must(*state, "cmp 1.tar 2.tar; test $(($(stat -c %s 1.tar) % 10240)) = 0");
	assert_string_equal(one.diff_id, two.diff_id);
	KIST_FREE char *check =
	        kist_asprintf("test $(sha256sum <1.tar | cut -d ' ' -f 1) = %s; test $(stat -c %%s 1.tar) = %llu",
	                      one.diff_id, (unsigned long long)one.length);
	must(*state, check);
	assert_string_equal(one.compression, "none");
}

static void names_are_sorted(void **state)
{
	must(*state, "mkdir tree; cd tree; touch z b a; mkdir m; touch m/2 m/1");
	create(*state, "tree", "t.tar", NULL, NULL);
	must(*state, "test \"$(tar tf t.tar | tr '\\n' ' ')\" = 'a b m/ m/1 m/2 z '");
}

static void holes_stay_holes(void **state)
{
	struct kist_tar_result result;

	must(*state, "mkdir tree; cd tree; truncate -s 1G empty; truncate -s 20M one; "
	             "printf data | dd of=one bs=1 seek=9000000 conv=notrunc status=none; "
	             "printf head >two; truncate -s 9G two; printf tail | dd of=two bs=1 seek=9663676412 conv=notrunc "
	             "status=none");
	create(*state, "tree", "t.tar", &with_top, &result);
	assert_true(result.length < 2U << 20);
	extract(*state, "t.tar", "ours", 0);
	must(*state, "mkdir gnu bsd; tar -C gnu -xf t.tar; bsdtar -C bsd -xf t.tar");
	must(*state, "for d in ours gnu bsd; do for f in empty one; do cmp tree/$f $d/$f; done; "
	             "test $(stat -c %s $d/two) = 9663676416; test $(tail -c 4 $d/two) = tail; test $(head -c 4 "
	             "$d/two) = head; "
	             "test $(du -k $d/two | cut -f 1) -lt 1000; done");
}

static void file_past_octal(void **state)
{
	/* The header's field holds 33 bits of a size. */
	struct kist_tar_result result;

	must(*state, "mkdir tree; cd tree; truncate -s 9G big; printf x | dd of=big bs=1 seek=5000000000 conv=notrunc "
	             "status=none");
	create(*state, "tree", "t.tar", NULL, &result);
	must(*state, "tar tvf t.tar | grep -q ' 9663676416 '; bsdtar tvf t.tar | grep -q ' 9663676416 '");
}

static void sockets_are_left_out(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	KIST_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(*state, "mkdir tree; touch tree/f");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/tree/socket", (char *)*state);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	create(*state, "tree", "t.tar", NULL, NULL);
	must(*state, "test \"$(tar tf t.tar)\" = f");
}

static void mounts_are_not_crossed(void **state)
{
	must(*state,
	     "mkdir -p tree/m tree/n; touch tree/m/hidden tree/file; mount -t tmpfs tmpfs tree/m; touch tree/m/secret; "
	     "echo secret >other; mount --bind other tree/file");
	create(*state, "tree", "t.tar", NULL, NULL);
	must(*state, "umount tree/m tree/file; test \"$(tar tf t.tar | tr '\\n' ' ')\" = 'm/ n/ '");
}

static void whiteouts_come_back(void **state)
{
	static const struct kist_tar_create_options layer = { .flags =
		                                                      KIST_TAR_CREATE_TOP | KIST_TAR_CREATE_WHITEOUTS };

	must(*state, "mkdir -p tree/d/o; mknod tree/gone c 0 0; mknod tree/d/x c 0 0; setfattr -n "
	             "trusted.overlay.opaque -v y tree/d/o; "
	             "setfattr -n trusted.overlay.origin -v 0x00 tree/d; touch tree/d/o/f");
	create(*state, "tree", "t.tar", &layer, NULL);
	must(*state,
	     "test \"$(tar tf t.tar | tr '\\n' ' ')\" = './ d/ d/o/ d/o/.wh..wh..opq d/o/f d/.wh.x .wh.gone ' || "
	     "{ tar tf t.tar >&2; false; }");
	extract(*state, "t.tar", "back", KIST_TAR_WHITEOUTS);
	must(*state, "test -c back/gone; test -c back/d/x; test \"$(getfattr -n trusted.overlay.opaque --only-values "
	             "back/d/o)\" = y; "
	             "! getfattr -n trusted.overlay.origin back/d 2>/dev/null");
}

static void prefix_and_chosen_names(void **state)
{
	const char *names[] = { "b", "d", NULL };
	struct kist_tar_create_options options = { .prefix = "var/lib", .names = names };

	must(*state, "mkdir -p tree/d; touch tree/a tree/b tree/c tree/d/a tree/d/b; ln tree/b tree/d/l");
	create(*state, "tree", "t.tar", &options, NULL);
	must(*state,
	     "test \"$(tar tf t.tar | tr '\\n' ' ')\" = 'var/lib/b var/lib/d/ var/lib/d/a var/lib/d/b var/lib/d/l '; "
	     "tar tvf t.tar | grep -q 'var/lib/d/l link to var/lib/b'");
}

static void deeper_than_there_are_descriptors(void **state)
{
	must(*state, "mkdir tree; cd tree; i=0; while [ $i -lt 400 ]; do mkdir d; cd d; i=$((i+1)); done; touch end");
	struct rlimit before;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(const struct rlimit){ 32, before.rlim_max }), 0);
	create(*state, "tree", "t.tar", NULL, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	must(*state, "tar tf t.tar | grep -c . | grep -qx 401");
}

static void links_and_devices_are_not_followed(void **state)
{
	must(*state,
	     "echo secret >secret; mkdir tree; ln -s ../secret tree/l; ln -s /etc tree/dir; mknod tree/zero c 1 5");
	create(*state, "tree", "t.tar", NULL, NULL);
	must(*state, "! grep -aq secret$ t.tar; test $(stat -c %s t.tar) = 10240; tar tvf t.tar | grep -q -- '^l.* l "
	             "-> ../secret'");
}

static void the_reader_goes_away(void **state)
{
	struct kist_error err = { 0 };
	int ends[2];

	must(*state, "mkdir tree; head -c 3000000 /dev/zero >tree/f");
	KIST_CLOSE int dir = open_dir(*state, "tree");
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[0]);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(kist_tar_create(dir, ends[1], NULL, NULL, &err), -EPIPE);
	assert_string_equal(err.text, "write the archive: Broken pipe");
	close(ends[1]);
}

/* A file that shrinks while it is read must not break the stream. */
static void a_file_that_changes(void **state)
{
	must(*state, "mkdir tree");
	KIST_FREE char *path = kist_asprintf("%s/tree/f", (char *)*state);
	KIST_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	pid_t pid = child_fork();
	if (pid == 0) {
		char data[4096] = { 1 };
		for (;;) {
			for (int i = 0; i < 200; i++)
				if (pwrite(fd, data, sizeof(data), i * 4096) < 0)
					_exit(1);
			if (ftruncate(fd, 5000) < 0)
				_exit(1);
		}
	}
	for (int i = 0; i < 50; i++) {
		create(*state, "tree", "t.tar", NULL, NULL);
		must(*state, "tar tf t.tar >/dev/null");
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void acls(void **state)
{
	static const uint8_t acl[] = { 2, 0,   0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  4,
		                       0, 232, 3,   0,   0,   4,   0,  5, 0,   255, 255, 255, 255, 16, 0,
		                       5, 0,   255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255 };
	KIST_STR struct kist_str text = { 0 };
	KIST_STR struct kist_str back = { 0 };

	(void)state;
	assert_int_equal(kist_tar_acl_decode(acl, sizeof(acl), &text), 0);
	assert_string_equal(kist_str_get(&text), "user::rw-,user:1000:r--:1000,group::r-x,mask::r-x,other::---");
	assert_int_equal(kist_tar_acl_encode(kist_str_get(&text), &back), 0);
	assert_int_equal(back.len, sizeof(acl));
	assert_memory_equal(back.data, acl, sizeof(acl));
	assert_int_equal(kist_tar_acl_decode(acl, sizeof(acl) - 1, &text), -EINVAL);
	assert_int_equal(kist_tar_acl_decode(acl, 3, &text), -EINVAL);
	assert_int_equal(kist_tar_acl_decode((const uint8_t *)"\3\0\0\0", 4, &text), -EINVAL);
}

#define scratch_test(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(our_reader_takes_it_back),
		scratch_test(gnu_tar_takes_it),
		scratch_test(bsdtar_takes_it),
		scratch_test(equal_trees_are_equal_streams),
		scratch_test(names_are_sorted),
		scratch_test(holes_stay_holes),
		scratch_test(file_past_octal),
		scratch_test(sockets_are_left_out),
		scratch_test(mounts_are_not_crossed),
		scratch_test(whiteouts_come_back),
		scratch_test(prefix_and_chosen_names),
		scratch_test(deeper_than_there_are_descriptors),
		scratch_test(links_and_devices_are_not_followed),
		scratch_test(the_reader_goes_away),
		scratch_test(a_file_that_changes),
		cmocka_unit_test(acls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
