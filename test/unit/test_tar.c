#include "test/unit/overlay_help.h"

#include "overlay/stream.h"
#include "overlay/tar_header.h"
#include "overlay/tar_pax.h"
#include "overlay/tar_read.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* --- against the oracles -------------------------------------------------------------------------------------------
 */

/* A tree with one of everything that a ustar archive can hold. */
static const char tree_plain[] =
        "mkdir -p t/dir/sub t/sticky t/setgid t/empty; cd t\n"
        "echo hello > file; echo 'x' > dir/sub/x; : > empty-file; head -c 700000 /dev/urandom > big\n"
        "printf %0512d 1 > block; printf %01024d 1 > two-blocks\n"
        "cp /bin/true setuid; chmod 4755 setuid; cp /bin/true setgid-file; chmod 2711 setgid-file\n"
        "chmod 1777 sticky; echo 1 > sticky/f; chgrp 50 setgid; chmod 2775 setgid; mkdir setgid/d; echo 1 > setgid/f; "
        "chmod 0 block\n"
        "ln -s file link; ln -s /etc/passwd absolute; ln -s nowhere dangling; ln -s dir dirlink; ln file hard; ln "
        "dir/sub/x hard2; ln link hardsym 2>/dev/null || ln -P link hardsym\n"
        "mkfifo fifo; mknod null c 1 3; mknod loop b 7 0; chmod 666 null; mknod wide c 300 70000\n"
        "chown 1000:1001 file big; chown -h 12:34 link; chown 33:33 dir fifo null; chmod 700 dir; chmod 555 dir/sub\n"
        "printf a > 'new\nline'; printf b > 'back\\slash'; printf c > ' space '; printf u > 'umlaut-\303\274'; printf "
        "g > '*?['\n"
        "p=$(printf %060d 0); mkdir -p $p/$p; echo long > $p/$p/$p\n"
        "touch -d '1969-01-02' old; touch -d '2100-01-01' future; touch -h -d '2001-02-03' link dangling; touch -d "
        "'2002-03-04' dir dir/sub .\n";

/* What needs GNU or pax: long names, large ids, sub-second times. */
static const char tree_long[] = "cd t; n=$(printf %0250d 0); mkdir -p $n/$n; echo deep > $n/$n/$n; ln -s $n/$n/$n "
                                "long-link; ln $n/$n/$n hard-to-deep\n"
                                "ln -s $(printf %01000d 0) longer-link; p=$(printf %099d 0); echo 99 > $p; p=$(printf "
                                "%0100d 0); echo 100 > $p; p=$(printf %0101d 0); echo 101 > $p\n"
                                "echo wide > wide-ids; chown 4000000000:3000000 wide-ids; touch -d '2002-03-04' .\n";

static const char tree_pax[] = "cd t; touch -d '2003-04-05 06:07:08.123456789' nano; mkdir nano-dir; touch -d "
                               "'1960-01-01 00:00:00.5' nano-dir; "
                               "touch -d '2002-03-04' .\n";

static const char tree_xattr[] = "cd t; setfattr -n user.note -v 'some value' file; setfattr -n user.binary -v "
                                 "0x00ff0a3d00 file; setfattr -n user.empty file\n"
                                 "setfattr -n trusted.kist -v t dir; setfattr -n user.dir -v d dir/sub; cp /bin/true "
                                 "capable; chown 5:5 capable; chmod 755 capable; setcap cap_net_raw+ep capable\n"
                                 "setfattr -h -n trusted.link -v l link; setfattr -n user.$(printf %0200d 0) -v "
                                 "long-name big; touch -d '2002-03-04' . dir dir/sub\n";

static const char tree_acl[] = "cd t; echo a > acl; setfacl -n -m u:1234:rw,g:77:r,m::rwx acl; mkdir acl-dir; setfacl "
                               "-m u:1234:rwx -d -m u:1234:rwx,g:55555:x acl-dir; "
                               "echo i > acl-dir/i; touch -d '2002-03-04' . acl-dir\n";

/* Everything that matters about each file; of directories not the size, which is the file system's business. */
#define LIST(dir)                                                                                                      \
	"(cd " dir                                                                                                     \
	"; find . -type d -printf '%P|%y|%m|%U:%G|%T@\\0' -o -printf '%P|%y|%m|%U:%G|%s|%T@|%l|%n\\0' | sort -z | "    \
	"sed -z \"$SED\"; find . -type f ! -name '*\n*' -print0 | sort -z | xargs -0 sha256sum; "                      \
	"find . \\( -type c -o -type b \\) | sort | xargs stat -c '%n %t:%T'; getfattr -R -h -P -d -m - -e hex . | "   \
	"sort)"

static void compare(char *scratch, bool whole_seconds)
{
	setenv("SED", whole_seconds ? "s/\\.[0-9]*|/|/g;s/\\.[0-9]*$//" : "", 1);
	must(scratch, LIST("t") " > want; " LIST("out") " > got; test $(tr '\\0' '\\n' < want | wc -l) -gt 30; cmp "
	                                                "want got || { diff -a want got; exit 1; }");
}

static void extract_ok(char *scratch, const char *archive, unsigned flags, struct kist_tar_result *result)
{
	KIST_CLOSE int from = open_file(scratch, archive);
	KIST_CLOSE int to = open_dir(scratch, "out");
	struct kist_error err = { 0 };
	int r = kist_tar_extract(from, to, flags, NULL, result, &err);

	if (r < 0)
		fail_msg("%s: %s", archive, err.text);
}

/* Makes the archive by the given command, unpacks it and compares. */
static void round_trip(char *scratch, const char *command, bool whole_seconds)
{
	struct kist_tar_result result = { 0 };

	must(scratch, "rm -rf out a.tar");
	must(scratch, command);
	extract_ok(scratch, "a.tar", 0, &result);
	assert_string_equal(result.compression, "none");
	assert_string_equal(result.diff_id, result.blob_id);
	setenv("ID", result.diff_id, 1);
	must(scratch, "echo \"$ID  a.tar\" | sha256sum -c >/dev/null");
	compare(scratch, whole_seconds);
}

static void test_ustar(void **state)
{
	must(*state, tree_plain);
	must(*state, "rm t/old t/future"); /* negative times have no place in ustar */
	round_trip(*state, "tar --format=ustar -C t -cf a.tar .", true);
	round_trip(*state, "bsdtar --format=ustar -C t -cf a.tar .", true);
	round_trip(*state, "tar --format=ustar -b 1 -C t -cf a.tar .", true);
}

static void test_gnu(void **state)
{
	must(*state, tree_plain);
	must(*state, tree_long);
	round_trip(*state, "tar --format=gnu -C t -cf a.tar .", true);
	round_trip(*state, "tar --format=oldgnu -C t -cf a.tar .", true);
	must(*state, "rm t/old t/future; touch -d '2002-03-04' t"); /* bsdtar cuts times to the octal range here */
	round_trip(*state, "bsdtar --format=gnutar -C t -cf a.tar .", true);
}

static void test_pax(void **state)
{
	must(*state, tree_plain);
	must(*state, tree_long);
	must(*state, tree_pax);
	round_trip(*state, "tar --format=pax -C t -cf a.tar .", false);
	/* bsdtar writes seconds and fraction of a time before 1970 without a carry, so that it means another time. */
	must(*state, "rmdir t/nano-dir; touch -d '2002-03-04' t");
	round_trip(*state, "bsdtar --format=pax -C t -cf a.tar .", false);
	round_trip(*state,
	           "tar --format=pax --pax-option=globexthdr.name=g,comment=hello,gid:=77 -C t -cf a.tar file "
	           "2>/dev/null && chgrp -h -R 77 t && "
	           "tar --format=pax -C t -cf a.tar --pax-option=comment=hello .",
	           false);
}

static void test_xattrs(void **state)
{
	must(*state, tree_plain);
	must(*state, tree_xattr);
	round_trip(*state, "tar --format=pax --xattrs --xattrs-include='*' -C t -cf a.tar .", false);
	/* bsdtar leaves trusted.* and security.* of root's out in some versions: only what it stored can come back. */
	must(*state, "setfattr -x trusted.kist t/dir; setfattr -h -x trusted.link t/link; setcap -r t/capable; touch "
	             "-d '2002-03-04' t/dir");
	round_trip(*state, "bsdtar --format=pax --xattrs -C t -cf a.tar .", false);
}

static void test_acls(void **state)
{
	must(*state, tree_plain);
	must(*state, tree_acl);
	round_trip(*state, "tar --format=pax --acls --numeric-owner -C t -cf a.tar .", false);
	round_trip(*state, "bsdtar --format=pax --acls -C t -cf a.tar .", false);
	round_trip(*state, "tar --format=pax --xattrs --xattrs-include='*' -C t -cf a.tar .", false);
}

static void test_sparse(void **state)
{
	static const char *const commands[] = {
		"tar --format=gnu -S -C t -cf a.tar .",
		"tar --format=oldgnu -S -C t -cf a.tar .",
		"tar --format=pax --sparse-version=0.0 -S -C t -cf a.tar .",
		"tar --format=pax --sparse-version=0.1 -S -C t -cf a.tar .",
		"tar --format=pax --sparse-version=1.0 -S -C t -cf a.tar .",
		"bsdtar --format=pax -C t -cf a.tar .",
	};

	must(*state, tree_plain);
	must(*state, "cd t; truncate -s 50M hole; echo start > ends; truncate -s 9M ends; echo end >> ends; truncate "
	             "-s 20000000000 huge; "
	             "printf x | dd of=huge bs=1 seek=19000000000 conv=notrunc status=none\n"
	             "for i in $(seq 60); do printf %04096d $i | dd of=many bs=64k seek=$i conv=notrunc status=none; "
	             "done; touch -d '2002-03-04' . \n"
	             "n=$(printf %0150d 0); cp --sparse=always many $n; touch -d '2002-03-04' .");
	must(*state, "rm t/huge"); /* hashed in full by the comparison */
	for (size_t i = 0; i < KIST_COUNT(commands); i++) {
		round_trip(*state, commands[i], i < 2);
		must(*state, "test $(stat -c %b out/hole) -eq 0; test $(stat -c %b out/many) -lt 1000; test $(stat -c "
		             "%s a.tar) -lt 3000000");
	}
	must(*state, "truncate -s 200G t/huge; printf x | dd of=t/huge bs=1 seek=190000000000 conv=notrunc "
	             "status=none; tar --format=gnu -S -C t -cf a.tar huge; rm -rf out");
	extract_ok(*state, "a.tar", 0, NULL);
	must(*state, "test $(stat -c %s out/huge) = $(stat -c %s t/huge); test $(stat -c %b out/huge) -lt 100");
}

static void test_compressed(void **state)
{
	struct kist_tar_result result;

	must(*state, tree_plain);
	must(*state, "tar --format=pax -C t -cf a.tar .; gzip -k a.tar; zstd -q -k a.tar");
	extract_ok(*state, "a.tar.gz", 0, &result);
	assert_string_equal(result.compression, "gzip");
	setenv("DIFF", result.diff_id, 1);
	setenv("BLOB", result.blob_id, 1);
	compare(*state, false);
	must(*state, "test $DIFF = $(sha256sum < a.tar | cut -c 1-64); test $BLOB = $(sha256sum < a.tar.gz | cut -c "
	             "1-64); rm -rf out");
	extract_ok(*state, "a.tar.zst", 0, &result);
	assert_string_equal(result.compression, "zstd");
	compare(*state, false);
}

/* Unpacking again over what is there, and as another owner. */
static void test_again(void **state)
{
	struct kist_tar_result result;

	must(*state, tree_plain);
	must(*state, "tar --format=pax -C t -cf a.tar .");
	extract_ok(*state, "a.tar", 0, &result);
	extract_ok(*state, "a.tar", 0, &result);
	compare(*state, false);
	must(*state, "rm -rf out");
	extract_ok(*state, "a.tar", KIST_TAR_NO_OWNER, &result);
	must(*state, "test -z \"$(find out ! -user root)\"; test $(stat -c %a out/setuid) = 4755");
}

/* --- hostile archives ----------------------------------------------------------------------------------------------
 */

/* Unpacks into $W/box/target. Whatever happens, nothing beside it may change. */
static int unpack(char *scratch, struct kist_str *tar, unsigned flags, const struct kist_tar_limits *limits,
                  struct kist_error *err)
{
	KIST_CLOSE int from = memory_file(kist_str_get(tar), tar->len);
	KIST_CLOSE int to = -1;
	int r;

	must(scratch, "rm -rf box; mkdir -p box/target box/outside; echo secret > box/secret; echo o > box/outside/o; "
	              "find box -path box/target -prune -o -printf '%p|%y|%m|%U:%G|%T@|%C@|%n\\n' | sort > before");
	to = open_dir(scratch, "box/target");
	r = kist_tar_extract(from, to, flags, limits, NULL, err);
	must(scratch, "find box -path box/target -prune -o -printf '%p|%y|%m|%U:%G|%T@|%C@|%n\\n' | sort > after; cmp "
	              "before after; test ! -e /kist-escape; "
	              "test ! -e /tmp/kist-escape");
	assert_true((r < 0) == kist_error_is_set(err));
	return r;
}

static void unpack_fails(char *scratch, struct kist_str *tar, const char *message)
{
	struct kist_error err = { 0 };

	assert_true(unpack(scratch, tar, 0, NULL, &err) < 0);
	if (!strstr(err.text, message))
		fail_msg("'%s' does not contain '%s'", err.text, message);
	kist_str_free(tar);
}

static void unpack_ok(char *scratch, struct kist_str *tar, unsigned flags)
{
	struct kist_error err = { 0 };

	if (unpack(scratch, tar, flags, NULL, &err) < 0)
		fail_msg("%s", err.text);
	kist_str_free(tar);
}

static void test_dotdot_and_absolute(void **state)
{
	struct kist_str tar = { 0 };

	tar_file(&tar, "../kist-escape", "1");
	tar_file(&tar, "/tmp/kist-escape", "2");
	tar_file(&tar, "a/../../../../kist-up", "3");
	tar_file(&tar, "./././/b//./c", "4");
	tar_dir(&tar, "../outside");
	tar_link(&tar, '2', "../../link", "x");
	tar_end(&tar);
	unpack_ok(*state, &tar, 0);
	must(*state, "cd box/target; test \"$(cat kist-escape tmp/kist-escape kist-up b/c)\" = 1234; test -L link; "
	             "test -d outside; test ! -e a");
	tar_file(&tar, "..", "1");
	tar_end(&tar);
	unpack_fails(*state, &tar, "the top of the archive is not a directory");
	tar_header(&tar, &(struct raw_header){ .type = '2', .name = "/", .link = "../outside" });
	tar_end(&tar);
	unpack_fails(*state, &tar, "the top of the archive is not a directory");
	tar_file(&tar, "", "1");
	tar_end(&tar);
	unpack_fails(*state, &tar, "no name");
}

static void test_link_parents(void **state)
{
	struct kist_str tar = { 0 };

	/* Each resolves in-root: '../outside' is made or missing inside the target. */
	tar_dir(&tar, "outside");
	tar_link(&tar, '2', "up", "../outside");
	tar_file(&tar, "up/kist-escape", "in");
	tar_link(&tar, '2', "abs", "/outside");
	tar_file(&tar, "abs/two", "in");
	tar_link(&tar, '2', "tmp", "/tmp");
	tar_end(&tar);
	unpack_ok(*state, &tar, 0);
	must(*state, "test -f box/target/outside/kist-escape; test -f box/target/outside/two");

	tar_link(&tar, '2', "tmp", "/tmp");
	tar_file(&tar, "tmp/kist-escape", "in");
	tar_end(&tar);
	unpack(*state, &tar, 0, NULL, &(struct kist_error){ 0 });
	kist_str_free(&tar);

	tar_link(&tar, '2', "magic", "/proc/self/root");
	tar_file(&tar, "magic/kist-escape", "in");
	tar_end(&tar);
	unpack(*state, &tar, 0, NULL, &(struct kist_error){ 0 });
	kist_str_free(&tar);

	tar_link(&tar, '2', "loop", "loop");
	tar_file(&tar, "loop/x", "in");
	tar_end(&tar);
	unpack_fails(*state, &tar, "entry 'loop/x': ");

	tar_file(&tar, "f", "in");
	tar_file(&tar, "f/x", "in");
	tar_end(&tar);
	unpack_fails(*state, &tar, "entry 'f/x': open its directory: Not a directory");
}

/* The last component is a link already: it is replaced, not written through. */
static void test_replace(void **state)
{
	struct kist_str tar = { 0 };

	tar_link(&tar, '2', "a", "../secret");
	tar_file(&tar, "a", "mine");
	tar_link(&tar, '2', "b", "../outside");
	tar_dir(&tar, "b");
	tar_file(&tar, "b/x", "mine");
	tar_dir(&tar, "d");
	tar_file(&tar, "d/x", "1");
	tar_link(&tar, '2', "d", "../outside");
	tar_dir(&tar, "outside");
	tar_file(&tar, "d/y", "through the new link, not into the removed directory");
	tar_file(&tar, "e", "1");
	tar_header(&tar, &(struct raw_header){ .type = '6', .name = "e" });
	tar_file(&tar, "g", "1");
	tar_dir(&tar, "g");
	tar_file(&tar, "h", "1");
	tar_link(&tar, '1', "h2", "h");
	tar_file(&tar, "h2", "2");
	tar_link(&tar, '1', "h", "h");
	tar_end(&tar);
	unpack_ok(*state, &tar, 0);
	must(*state, "cd box/target; test ! -L a; test $(cat a) = mine; test ! -L b; test -f b/x; test -L d; test -f "
	             "outside/y; test -p e; "
	             "test -d g; test $(cat h) = 1; test $(cat h2) = 2");

	/* The archive's own directory times must not be set on what a later link leads to. */
	tar_dir(&tar, "outside");
	tar_header(&tar, &(struct raw_header){ .type = '5', .name = "swap", .mode = 0777 });
	tar_link(&tar, '2', "swap", "outside");
	tar_end(&tar);
	unpack_ok(*state, &tar, 0);
	must(*state, "test $(stat -c %a box/target/outside) = 755");
}

static void test_hard_links(void **state)
{
	static const char *const targets[] = { "../../etc/passwd", "/etc/passwd", "../secret",
		                               "l/passwd",         "missing",     "l2" };
	struct kist_str tar = { 0 };

	for (size_t i = 0; i < KIST_COUNT(targets); i++) {
		struct kist_error err = { 0 };

		tar_link(&tar, '2', "l", "/etc");
		tar_link(&tar, '2', "l2", "/etc/passwd");
		tar_link(&tar, '1', "h", targets[i]);
		tar_file(&tar, "h", "written");
		tar_end(&tar);
		/* A second name of the link itself is what tar means by the last. */
		assert_int_equal(unpack(*state, &tar, 0, NULL, &err) < 0, i < 5);
		if (i < 5)
			assert_non_null(strstr(err.text, "entry 'h': hard link to '"));
		kist_str_free(&tar);
	}
	must(*state, "grep -q ^root: /etc/passwd; test ! -L box/target/h");
	tar_dir(&tar, "d");
	tar_link(&tar, '1', "h", "d");
	tar_end(&tar);
	unpack_fails(*state, &tar, "entry 'h': hard link to 'd'");
	tar_link(&tar, '1', "h", "/");
	tar_end(&tar);
	unpack_fails(*state, &tar, "a hard link to a directory");
}

static void test_devices(void **state)
{
	struct kist_str tar = { 0 };
	KIST_FREE char *path = kist_asprintf("%s/box/target/sda", (char *)*state);
	struct stat st;

	tar_header(&tar, &(struct raw_header){ .type = '4', .name = "sda", .mode = 0600, .major = 8 });
	/* Opening an existing device or FIFO to write would reach it, or hang. */
	tar_file(&tar, "sda", "not into the disk");
	tar_header(&tar, &(struct raw_header){ .type = '6', .name = "pipe" });
	tar_file(&tar, "pipe", "no reader");
	tar_end(&tar);
	unpack_ok(*state, &tar, 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	tar_header(&tar, &(struct raw_header){ .type = '3', .name = "c" });
	memcpy(tar.data + 329, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	tar_checksum((unsigned char *)tar.data);
	tar_end(&tar);
	unpack_fails(*state, &tar, "device major number is out of range");
}

static void test_numbers(void **state)
{
	static const struct {
		size_t offset, len;
		const char *bytes, *message;
	} cases[] = {
		{ 124, 12, "-0000000001\0", "size is not a number" },
		{ 124, 12, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size is out of range" },
		{ 124, 12, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", "unpacks to more than" },
		{ 124, 12, "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "size is out of range" },
		{ 124, 12, "\x80\0\1\0\0\0\0\0\0\0\0\0", "size is out of range" },
		{ 124, 12, "777777777777", "unexpected end of archive in entry 'f'" },
		{ 124, 12, "00000000018\0", "size is not a number" },
		{ 108, 8, "\x80\0\0\0\xff\xff\xff\xff", "uid is out of range" },
		{ 108, 8, "\x80\0\0\1\0\0\0\0", "uid is out of range" },
		{ 116, 8, "\xff\xff\xff\xff\xff\xff\xff\xfe", "gid is out of range" },
		{ 100, 8, "zzzzzzz\0", "mode is not a number" },
		{ 136, 12, "\x7fzzzzzzzzzzz", "mtime is not a number" },
		{ 136, 12, "\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "mtime is out of range" },
	};

	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		struct kist_str tar = { 0 };

		tar_header(&tar, &(struct raw_header){ .type = '0', .name = "f" });
		memcpy(tar.data + cases[i].offset, cases[i].bytes, cases[i].len);
		tar_checksum((unsigned char *)tar.data);
		tar_end(&tar);
		unpack_fails(*state, &tar, cases[i].message);
	}
}

static void test_number_values(void **state)
{
	static const struct {
		const char *bytes;
		int64_t value;
		int r;
	} cases[] = {
		{ "0000644\0", 0644, 0 },
		{ "   644 \0", 0644, 0 },
		{ "\0\0\0\0\0\0\0\0", 0, 0 },
		{ "        ", 0, 0 },
		{ "77777777", 077777777, 0 },
		{ "\x80\0\0\0\0\0\0\x2a", 42, 0 },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff", -1, 0 },
		{ "\xff\xff\xff\xff\xff\xff\xfe\0", -512, 0 },
		{ "0o", 0, -EINVAL },
		{ "+1", 0, -EINVAL },
		{ "0x10", 0, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		uint8_t field[8] = { 0 };
		int64_t value = 0;

		memcpy(field, cases[i].bytes, i < 8 ? 8 : strlen(cases[i].bytes));
		assert_int_equal(kist_tar_number(field, 8, &value), cases[i].r);
		assert_int_equal(value, cases[i].value);
	}
}

static void test_pax_errors(void **state)
{
	static const char *const texts[] = {
		"5 a=b\n",
		"7 a=b\n",
		"6 a=b",
		"6 a=bx",
		"99999999999999999999 a=b\n",
		"-6 a=b\n",
		"6 =bc\n",
		"6 abcd\n",
		"x a=b\n",
		" 6 a=b\n",
		"6\ta=b\n",
		"12 size=-10\n",
		"13 size=1e10\n",
		"29 size=99999999999999999999\n",
		"12 uid=0x10\n",
		"18 uid=4294967295\n",
		"14 mtime=1.2.3\n",
		"28 GNU.sparse.map=0,5,10,20,\n",
		"25 GNU.sparse.numbytes=5\n",
		"23 GNU.sparse.offset=5\n",
		"30 GNU.sparse.map=5,x,1,2,3,4\n",
		"28 LIBARCHIVE.xattr.user.a=*\n",
	};

	for (size_t i = 0; i < KIST_COUNT(texts); i++) {
		struct kist_tar_pax pax = { 0 };
		struct kist_error err = { 0 };

		if (kist_tar_pax_parse(&pax, texts[i], strlen(texts[i]), &err) == 0)
			fail_msg("'%s' was accepted", texts[i]);
		assert_true(kist_error_is_set(&err));
		kist_tar_pax_clear(&pax);
	}
	{
		struct kist_str tar = { 0 };

		tar_header(&tar, &(struct raw_header){ .type = 'x', .name = "pax", .size = 0777777777 });
		tar_end(&tar);
		unpack_fails(*state, &tar, "a pax header of 134217727 bytes is too long");
		tar_header(&tar, &(struct raw_header){ .type = 'L', .name = "long", .size = 0777777777 });
		tar_end(&tar);
		unpack_fails(*state, &tar, "a long name of");
	}
}

static void test_pax_values(void **state)
{
	static const char text[] = "12 path=a/b\n15 linkpath=l\n7 uid=\n20 mtime=-1.25\0abc";
	struct kist_tar_pax pax = { 0 };
	struct kist_str tar = { 0 };

	(void)text;
	assert_int_equal(kist_tar_pax_parse(&pax, "12 path=a/b\n7 uid=\n15 mtime=-1.25\n\0\0\0", 37, NULL), 0);
	assert_string_equal(pax.path, "a/b");
	assert_int_equal(pax.set, KIST_PAX_PATH | KIST_PAX_MTIME);
	assert_int_equal(pax.cleared, KIST_PAX_UID);
	assert_int_equal(pax.mtime, -2);
	assert_int_equal(pax.mtime_nsec, 750000000);
	kist_tar_pax_clear(&pax);

	/* Global headers hold until the end, an entry's own come first, an empty value takes the global one back. */
	tar_pax(&tar, 'g', (const char *const[]){ "uid=11", "gid=22", "SCHILY.xattr.user.g=global", NULL });
	tar_file(&tar, "one", "1");
	tar_pax(&tar, 'x', (const char *const[]){ "uid=33", "gid=", "path=renamed", "SCHILY.xattr.user.g=own", NULL });
	tar_file(&tar, "two", "2");
	tar_file(&tar, "three", "3");
	tar_end(&tar);
	unpack_ok(*state, &tar, 0);
	must(*state, "cd box/target; test \"$(stat -c %u:%g one renamed three | tr '\\n' ' ')\" = '11:22 33:0 11:22 '; "
	             "test ! -e two; "
	             "test $(getfattr --only-values -n user.g renamed) = own; test $(getfattr --only-values -n user.g "
	             "three) = global");
}

/* overlayfs's own attributes would let an archive redirect names to other layers. */
static void test_xattr_rules(void **state)
{
	struct kist_str tar = { 0 };

	tar_pax(&tar, 'x',
	        (const char *const[]){ "SCHILY.xattr.trusted.overlay.redirect=/etc",
	                               "SCHILY.xattr.user.overlay.opaque=y", "SCHILY.xattr.security.selinux=label",
	                               "LIBARCHIVE.xattr.user.a%20b=aGVsbG8", "SCHILY.xattr.user.kept=yes",
	                               "SCHILY.acl.access=user::rw-,user:nobody-knows:rwx,group::r--,other::r--",
	                               NULL });
	tar_dir(&tar, "d");
	tar_end(&tar);
	unpack_ok(*state, &tar, 0);
	must(*state, "cd box/target; getfattr -d -m - --absolute-names d | grep -v ^# | grep . | sort > ../../x; "
	             "printf 'user.a b=\"hello\"\\nuser.kept=\"yes\"\\n' > ../../y; "
	             "cmp ../../x ../../y || { cat ../../x; exit 1; }");
}

static void test_whiteouts(void **state)
{
	static const char *const bad[] = {
		".wh.",
		".wh..",
		"d/.wh...",
	};
	struct kist_str tar = { 0 };

	tar_dir(&tar, "d");
	tar_file(&tar, "d/.wh.gone", "");
	tar_file(&tar, "d/.wh..wh..opq", "");
	tar_file(&tar, "d/.wh..wh.plnk", "");
	tar_file(&tar, ".wh.first", "");
	tar_dir(&tar, "first");
	tar_file(&tar, "kept", "k");
	tar_file(&tar, ".wh.kept", "");
	tar_dir(&tar, "kept-dir");
	tar_file(&tar, ".wh.kept-dir", "");
	tar_end(&tar);
	{
		KIST_STR struct kist_str copy = { 0 };

		kist_str_addn(&copy, tar.data, tar.len);
		unpack_ok(*state, &copy, 0);
		must(*state, "cd box/target; test -f d/.wh.gone; test -f d/.wh..wh..opq; test ! -e d/gone");
	}
	unpack_ok(*state, &tar, KIST_TAR_WHITEOUTS);
	must(*state, "cd box/target; test \"$(stat -c %F:%t:%T d/gone)\" = 'character special file:0:0'; test -z "
	             "\"$(find . -name '.wh*')\"; "
	             "for i in d first kept-dir; do test $(getfattr --only-values -n trusted.overlay.opaque $i) = y; "
	             "done; test $(cat kept) = k");
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_error err = { 0 };

		tar_dir(&tar, "d");
		tar_file(&tar, bad[i], "");
		tar_end(&tar);
		assert_true(unpack(*state, &tar, KIST_TAR_WHITEOUTS, NULL, &err) < 0);
		assert_non_null(strstr(err.text, "a whiteout of nothing"));
		kist_str_free(&tar);
	}
}

static void test_limits(void **state)
{
	struct kist_str tar = { 0 };
	struct kist_error err = { 0 };
	const struct kist_tar_limits two_entries = { .entries = 2 }, ten_bytes = { .bytes = 10 },
	                             short_names = { .name_length = 20 };

	tar_file(&tar, "a", "12345");
	tar_file(&tar, "b", "12345");
	tar_file(&tar, "c", "1");
	tar_end(&tar);
	assert_true(unpack(*state, &tar, 0, &two_entries, &err) < 0);
	assert_string_equal(err.text, "entry 'c': the archive has more than 2 entries");
	kist_error_clear(&err);
	assert_true(unpack(*state, &tar, 0, &ten_bytes, &err) < 0);
	assert_string_equal(err.text, "entry 'c': the archive unpacks to more than 10 bytes");
	kist_error_clear(&err);
	assert_int_equal(unpack(*state, &tar, 0, &short_names, &err), 0);
	kist_str_free(&tar);
	tar_file(&tar, "a/name/of/more/than/twenty", "");
	tar_end(&tar);
	assert_true(unpack(*state, &tar, 0, &short_names, &err) < 0);
	assert_non_null(strstr(err.text, "longer than 20 bytes"));
	kist_str_free(&tar);
	kist_error_clear(&err);

	/* A name that the file system cannot hold, and one that PATH_MAX cannot. */
	for (int n = 300; n < 70000; n *= 20) {
		KIST_FREE char *name = kist_alloc((size_t)n + 1);

		memset(name, 'n', (size_t)n);
		tar_header(&tar, &(struct raw_header){ .type = 'L', .name = "long", .size = (uint64_t)n });
		tar_data(&tar, name, (size_t)n);
		tar_file(&tar, "short", "");
		tar_end(&tar);
		unpack_fails(*state, &tar, n == 300 ? "File name too long" : "longer than 4096 bytes");
	}
	/* Headers about nothing, without end. */
	for (int i = 0; i < 20; i++)
		tar_header(&tar, &(struct raw_header){ .type = 'g', .name = "g" });
	tar_end(&tar);
	assert_true(unpack(*state, &tar, 0, &two_entries, &err) < 0);
	assert_string_equal(err.text, "the archive has too many headers");
	kist_str_free(&tar);
}

static void test_malformed(void **state)
{
	struct kist_str tar = { 0 };

	kist_str_add(&tar, "this is no archive at all");
	unpack_fails(*state, &tar, "unexpected end of archive");
	for (int i = 0; i < 100; i++)
		kist_str_add(&tar, "this is no archive at all");
	unpack_fails(*state, &tar, "not a tar header");
	unpack_fails(*state, &tar, "the archive is empty");
	tar_file(&tar, "a", "1");
	tar_end(&tar);
	tar.data[3 * TAR_BLOCK] = 'x'; /* the second zero block */
	unpack_fails(*state, &tar, "a lone zero block");
	tar_file(&tar, "a", "1");
	tar_header(&tar, &(struct raw_header){ .type = 'M', .name = "b" });
	tar_end(&tar);
	unpack_fails(*state, &tar, "entry 'b': entries of type 'M' are not supported");
	tar_file(&tar, "bad\nname\033[31m", "1");
	tar_header(&tar, &(struct raw_header){ .type = '0', .name = "\033[31m", .size = 5 });
	unpack_fails(*state, &tar, "unexpected end of archive in entry '\\033[31m'");
	/* Zero blocks beyond the end mark are padding; garbage there is not ours, and the digest covers both. */
	tar_file(&tar, "a", "1");
	for (int i = 0; i < 30; i++)
		tar_end(&tar);
	kist_str_add(&tar, "garbage");
	unpack_ok(*state, &tar, 0);
	/* One zero block and nothing more. */
	tar_file(&tar, "a", "1");
	tar_end(&tar);
	tar.len -= TAR_BLOCK;
	unpack_ok(*state, &tar, 0);
}

static void test_sparse_hostile(void **state)
{
	static const struct {
		const char *records[6];
		const char *message;
	} cases[] = {
		{ { "GNU.sparse.size=10", "GNU.sparse.map=0,4,2,4" }, "malformed" }, /* overlap */
		{ { "GNU.sparse.size=10", "GNU.sparse.map=8,8" }, "malformed" },     /* past the end */
		{ { "GNU.sparse.size=10", "GNU.sparse.map=9223372036854775807,8" }, "malformed" },
		{ { "GNU.sparse.size=10", "GNU.sparse.map=18446744073709551615,8" }, "malformed" },
		{ { "GNU.sparse.size=10", "GNU.sparse.map=0,4" }, "malformed" }, /* more stored than mapped */
		{ { "GNU.sparse.size=9223372036854775807", "GNU.sparse.map=0,8" }, "unpacks to more than" },
		{ { "GNU.sparse.size=99999999999999", "GNU.sparse.map=0,8" }, "unpacks to more than" },
		{ { "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=100" }, "malformed" },
		{ { "GNU.sparse.major=2", "GNU.sparse.minor=0", "GNU.sparse.realsize=100" }, "not supported" },
	};
	struct kist_str tar = { 0 };

	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		tar_pax(&tar, 'x', cases[i].records);
		tar_file(&tar, "f", "12345678");
		tar_end(&tar);
		unpack_fails(*state, &tar, cases[i].message);
	}
	/* A chain of old GNU extension blocks that runs out of the archive. */
	tar_header(&tar, &(struct raw_header){ .type = 'S', .name = "f" });
	memcpy(tar.data + 257, "ustar  ", 8);
	tar.data[482] = 1;
	tar_checksum((unsigned char *)tar.data);
	unpack_fails(*state, &tar, "unexpected end of archive");
}

static void test_truncated(void **state)
{
	KIST_STR struct kist_str whole = { 0 };
	const size_t end_mark = 2 * TAR_BLOCK;
	size_t failures = 0;

	must(*state, "mkdir t; cd t; echo 1 > a; head -c 3000 /dev/urandom > b; ln -s x $(printf %0150d 0); mkdir d; "
	             "touch d/$(printf %0200d 1); "
	             "truncate -s 1M hole; echo x >> hole; setfattr -n user.x -v 1 a; cd ..; tar --format=pax --xattrs "
	             "-S -b 1 -C t -cf a.tar .; "
	             "tar --format=gnu -S -b 1 -C t -cf b.tar .");
	for (int which = 0; which < 2; which++) {
		KIST_CLOSE int fd = open_file(*state, which ? "b.tar" : "a.tar");

		assert_int_equal(kist_read_fd(fd, 1 << 20, &whole), 0);
		for (size_t cut = 0; cut < whole.len; cut += (cut % TAR_BLOCK == 1) ? TAR_BLOCK - 2 : 1) {
			KIST_CLOSE int from = memory_file(whole.data, cut);
			KIST_CLOSE int to = open_dir(*state, "cut");
			struct kist_error err = { 0 };
			int r = kist_tar_extract(from, to, 0, NULL, NULL, &err);

			if (cut >= whole.len - end_mark + TAR_BLOCK && (cut % TAR_BLOCK == 0)) {
				assert_int_equal(r, 0);
				continue;
			}
			failures++;
			assert_true(r < 0);
			if (cut && !strstr(err.text, "unexpected end of archive"))
				fail_msg("cut at %zu: %s", cut, err.text);
		}
		must(*state, "rm -rf cut");
	}
	assert_true(failures > 60);
}

/* Spoiled archives, repeatably: whatever the reader makes of them, it ends and stays in its buffers (ASan watches). */
static void test_mutations(void **state)
{
	KIST_STR struct kist_str whole = { 0 };
	uint64_t random = 88172645463325252ULL;
	KIST_CLOSE int fd = -1;
	unsigned accepted = 0;

	must(*state, "mkdir t; cd t; echo 1 > a; ln a b; ln -s x y; truncate -s 1M hole; echo x >> hole; setfattr -n "
	             "user.x -v 1 a; mkdir d; "
	             "echo x > $(printf %0150d 0); cd ..; tar --format=pax --xattrs -S -b 1 -C t -cf a.tar .; tar "
	             "--format=gnu -S -b 1 -C t -cf b.tar .; "
	             "cat a.tar b.tar > ab.tar");
	fd = open_file(*state, "ab.tar");
	assert_int_equal(kist_read_fd(fd, 1 << 20, &whole), 0);
	for (int round = 0; round < 4000; round++) {
		KIST_FREE unsigned char *spoiled = kist_alloc(whole.len);
		KIST_STREAM struct kist_stream *stream = NULL;
		KIST_TAR_READER struct kist_tar_reader reader;
		KIST_CLOSE int from = -1;
		int r = 1;

		memcpy(spoiled, whole.data, whole.len);
		for (int i = 0; i < 1 + round % 4; i++) {
			size_t block;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			block = random % (whole.len / TAR_BLOCK) * TAR_BLOCK;
			spoiled[block + (random >> 20) % TAR_BLOCK] = (unsigned char)(random >> 40);
			/* Headers are repaired so that what is in them gets read. */
			if (memcmp(spoiled + block + 257, "ustar", 5) == 0)
				tar_checksum(spoiled + block);
		}
		from = memory_file(spoiled, whole.len);
		kist_tar_reader_init(&reader, NULL, NULL);
		if (kist_stream_open(from, &stream, NULL) < 0)
			continue;
		reader.stream = stream;
		while (r > 0) {
			struct kist_error err = { 0 };

			r = kist_tar_next(&reader, &err);
			assert_true((r < 0) == kist_error_is_set(&err));
		}
		accepted += r == 0;
	}
	assert_true(accepted > 100);
}

static void test_show(void **state)
{
	char out[200], longest[1000];

	(void)state;
	assert_string_equal(kist_tar_show(out, "a\tb\x7f"), "a\\011b\\177");
	memset(longest, '\001', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_true(strlen(kist_tar_show(out, longest)) < sizeof(out));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ustar),          TEST(test_gnu),        TEST(test_pax),
		TEST(test_xattrs),         TEST(test_acls),       TEST(test_sparse),
		TEST(test_compressed),     TEST(test_again),      TEST(test_dotdot_and_absolute),
		TEST(test_link_parents),   TEST(test_replace),    TEST(test_hard_links),
		TEST(test_devices),        TEST(test_numbers),    TEST(test_number_values),
		TEST(test_pax_errors),     TEST(test_pax_values), TEST(test_xattr_rules),
		TEST(test_whiteouts),      TEST(test_limits),     TEST(test_malformed),
		TEST(test_sparse_hostile), TEST(test_truncated),  TEST(test_mutations),
		TEST(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
