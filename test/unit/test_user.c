/* Users and groups from a container's files, hostile ones too. */
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

struct root {
	char path[64];
	int fd, etc;
};

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "# comment:x:9:9::/:\n"
                             "\n"
                             "broken:x:7\n"
                             "signed:x:-1:5::/s:/bin/sh\n"
                             "spaced:x: 8:8::/s:/bin/sh\n"
                             "huge:x:4294967295:8::/s:/bin/sh\n"
                             "web:x:33:34:Web,,,:/var/www:/bin/sh\n"
                             "1:x:0:0:looks like a number:/evil:/bin/sh\n"
                             "0x10:x:77:77::/hex:/bin/sh\n"
                             "nohome:x:40:41:::/bin/sh\n"
                             "relative:x:42:42::var:/bin/sh\n"
                             "last:x:50:51::/last:/bin/sh"; /* no newline at the end */
static const char group[] = "root:x:0:\n"
                            "www:x:34:\n"
                            "audio:x:29:web,last\n"
                            "video:x:44:other,web\n"
                            "webx:x:45:webx\n"
                            "bad:x:-3:web\n"
                            "short:x\n"
                            "primary:x:34:web\n";

static void file_put(int dir, const char *name, const char *text, size_t len)
{
	assert_int_equal(kist_replace_file(dir, name, text, len, 0644, 0), 0);
}

static int setup(void **state)
{
	struct root *root = calloc(1, sizeof(*root));
	snprintf(root->path, sizeof(root->path), "/tmp/kist-test-XXXXXX");
	assert_non_null(mkdtemp(root->path));
	root->fd = open(root->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(root->fd, "etc", 0755), 0);
	root->etc = openat(root->fd, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file_put(root->etc, "passwd", passwd, sizeof(passwd) - 1);
	file_put(root->etc, "group", group, sizeof(group) - 1);
	*state = root;
	return 0;
}

static int teardown(void **state)
{
	struct root *root = *state;
	close(root->fd);
	close(root->etc);
	int r = kist_remove_tree(AT_FDCWD, root->path);
	free(root);
	return r;
}

static void expect(const struct root *root, const char *user, char *const *extra, uint32_t uid, uint32_t gid,
                   const char *home, const char *name, const char *gids)
{
	struct kist_spec_user out = { 0 };
	struct kist_error err = { 0 };
	KIST_FREE char *got_home = NULL;
	KIST_FREE char *got_name = NULL;
	if (kist_ns_user_lookup(root->fd, user, extra, &out, &got_home, &got_name, &err) < 0)
		fail_msg("%s: %s", user, err.text);
	char text[256] = "";
	for (size_t i = 0; i < out.n_additional_gids; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", i ? "," : "",
		         out.additional_gids[i]);
	assert_int_equal(out.uid, uid);
	assert_int_equal(out.gid, gid);
	assert_string_equal(got_home, home);
	if (name)
		assert_string_equal(got_name, name);
	else
		assert_null(got_name);
	assert_string_equal(text, gids);
	free(out.additional_gids);
}

static void refused(const struct root *root, const char *user, char *const *extra, enum kist_error_kind kind,
                    const char *text)
{
	struct kist_spec_user out = { .uid = 123 };
	struct kist_error err = { 0 };
	char *home = NULL, *name = NULL;
	assert_true(kist_ns_user_lookup(root->fd, user, extra, &out, &home, &name, &err) < 0);
	assert_int_equal(err.kind, kind);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not hold '%s'", err.text, text);
	assert_int_equal(out.uid, 123);
	assert_null(home);
	assert_null(name);
}

static void test_names_and_ids(void **state)
{
	const struct root *root = *state;
	expect(root, "", NULL, 0, 0, "/root", "root", "0");
	expect(root, NULL, NULL, 0, 0, "/root", "root", "0");
	expect(root, "web", NULL, 33, 34, "/var/www", "web", "34,29,44");
	expect(root, "33", NULL, 33, 34, "/var/www", "web", "34,29,44");
	expect(root, "web:audio", NULL, 33, 29, "/var/www", "web", "29");
	expect(root, "web:7", NULL, 33, 7, "/var/www", "web", "7");
	expect(root, "web:", NULL, 33, 34, "/var/www", "web", "34,29,44");
	expect(root, "last", NULL, 50, 51, "/last", "last", "51,29");
	expect(root, "1234:5678", NULL, 1234, 5678, "/", NULL, "5678");
	expect(root, "1234", NULL, 1234, 0, "/", NULL, "0");
	expect(root, "4294967294", NULL, 4294967294U, 0, "/", NULL, "0");
	expect(root, "nohome", NULL, 40, 41, "/", "nohome", "41");
	expect(root, "relative", NULL, 42, 42, "/", "relative", "42");
}

/* Digits are an id, whatever the container's passwd calls "1". */
static void test_numbers(void **state)
{
	const struct root *root = *state;
	expect(root, "1", NULL, 1, 0, "/", NULL, "0");
	expect(root, "01", NULL, 1, 0, "/", NULL, "0");
	expect(root, "0x10", NULL, 77, 77, "/hex", "0x10", "77");
	refused(root, "4294967295", NULL, KIST_ERR_INVALID, "4294967294");
	refused(root, "4294967296", NULL, KIST_ERR_INVALID, "4294967294");
	refused(root, "18446744073709551617", NULL, KIST_ERR_INVALID, "4294967294");
	refused(root, "99999999999999999999999999999999999999999", NULL, KIST_ERR_INVALID, "4294967294");
	refused(root, "0:4294967295", NULL, KIST_ERR_INVALID, "4294967294");
	refused(root, "-1", NULL, KIST_ERR_NOT_FOUND, "'-1'");
	refused(root, "+1", NULL, KIST_ERR_NOT_FOUND, "'+1'");
	refused(root, " 1", NULL, KIST_ERR_NOT_FOUND, "' 1'");
	refused(root, "1 ", NULL, KIST_ERR_NOT_FOUND, "'1 '");
	refused(root, "1e0", NULL, KIST_ERR_NOT_FOUND, "'1e0'");
}

static void test_missing(void **state)
{
	const struct root *root = *state;
	refused(root, "nobody", NULL, KIST_ERR_NOT_FOUND, "/etc/passwd");
	refused(root, "web:nogroup", NULL, KIST_ERR_NOT_FOUND, "/etc/group");
	refused(root, "a:b:c", NULL, KIST_ERR_INVALID, "':'");
	refused(root, "signed", NULL, KIST_ERR_NOT_FOUND, "signed");
	refused(root, "spaced", NULL, KIST_ERR_NOT_FOUND, "spaced");
	refused(root, "huge", NULL, KIST_ERR_NOT_FOUND, "huge");
	refused(root, "broken", NULL, KIST_ERR_NOT_FOUND, "broken");
	refused(root, "web:bad", NULL, KIST_ERR_NOT_FOUND, "bad");
}

static void test_extra_groups(void **state)
{
	const struct root *root = *state;
	char *extra[] = { (char *)"video", (char *)"1000", (char *)"34", NULL };
	expect(root, "web:audio", extra, 33, 29, "/var/www", "web", "29,44,1000,34");
	expect(root, "web", extra, 33, 34, "/var/www", "web", "34,29,44,1000");
	char *bad[] = { (char *)"nogroup", NULL };
	refused(root, "web", bad, KIST_ERR_NOT_FOUND, "nogroup");
	char *huge[] = { (char *)"4294967295", NULL };
	refused(root, "web", huge, KIST_ERR_INVALID, "4294967295");
}

static void test_no_files(void **state)
{
	const struct root *root = *state;
	assert_int_equal(unlinkat(root->etc, "passwd", 0), 0);
	assert_int_equal(unlinkat(root->etc, "group", 0), 0);
	expect(root, "", NULL, 0, 0, "/", NULL, "0");
	expect(root, "5:6", NULL, 5, 6, "/", NULL, "6");
	refused(root, "web", NULL, KIST_ERR_NOT_FOUND, "web");
}

/* What is not a regular file is neither waited for nor read (CVE-2024-9676); an id needs no file. */
static void test_hostile_files(void **state)
{
	const struct root *root = *state;
	alarm(20);
	assert_int_equal(unlinkat(root->etc, "passwd", 0), 0);
	assert_int_equal(mkfifoat(root->etc, "passwd", 0644), 0);
	refused(root, "web", NULL, KIST_ERR_INVALID, "not a regular file");
	expect(root, "33", NULL, 33, 0, "/", NULL, "0");
	assert_int_equal(unlinkat(root->etc, "passwd", 0), 0);
	assert_int_equal(mkdirat(root->etc, "passwd", 0755), 0);
	refused(root, "web", NULL, KIST_ERR_INVALID, "not a regular file");
	assert_int_equal(unlinkat(root->etc, "passwd", AT_REMOVEDIR), 0);
	if (mknodat(root->etc, "passwd", S_IFCHR | 0644, makedev(1, 5)) == 0) {
		refused(root, "web", NULL, KIST_ERR_INVALID, "not a regular file");
		assert_int_equal(unlinkat(root->etc, "passwd", 0), 0);
	}
	assert_int_equal(symlinkat("/etc/passwd", root->etc, "passwd"), 0); /* in-root: itself */
	refused(root, "web", NULL, KIST_ERR_SYSTEM, "/etc/passwd");
	assert_int_equal(unlinkat(root->etc, "passwd", 0), 0);
	assert_int_equal(symlinkat("../../../../../../etc/hostname", root->etc, "passwd"), 0);
	refused(root, "web", NULL, KIST_ERR_NOT_FOUND, "web"); /* the host's is not reached */
	assert_int_equal(unlinkat(root->etc, "passwd", 0), 0);
	assert_int_equal(symlinkat("../real", root->etc, "passwd"), 0); /* inside it is followed */
	file_put(root->fd, "real", "web:x:3:4::/x:\n", 15);
	expect(root, "web", NULL, 3, 4, "/x", "web", "4,29,44,34");
	assert_int_equal(unlinkat(root->etc, "passwd", 0), 0);
	int fd = openat(root->etc, "passwd", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 1 << 30), 0);
	close(fd);
	refused(root, "web", NULL, KIST_ERR_INVALID, "1 MiB");
	alarm(0);
}

static void test_nul_and_cr(void **state)
{
	const struct root *root = *state;
	static const char text[] = "a\0b:x:0:0::/:\nweb:x:1\0:2::/:\nweb:x:3:4::/x:/bin/sh\r\n";
	file_put(root->etc, "passwd", text, sizeof(text) - 1);
	expect(root, "web", NULL, 3, 4, "/x", "web", "4,29,44,34");
	refused(root, "a", NULL, KIST_ERR_NOT_FOUND, "'a'");
}

static void test_many_groups(void **state)
{
	const struct root *root = *state;
	size_t len = 0, cap = 1024 * 1024;
	char *text = malloc(cap);
	for (unsigned i = 0; i < 40000 && len + 64 < cap; i++)
		len += (size_t)snprintf(text + len, 64, "g%u:x:%u:web\n", i, i % 300);
	file_put(root->etc, "group", text, len);
	free(text);
	struct kist_spec_user out = { 0 };
	char *home = NULL, *name = NULL;
	assert_int_equal(kist_ns_user_lookup(root->fd, "web", NULL, &out, &home, &name, NULL), 0);
	assert_int_equal(out.n_additional_gids, 300);
	assert_int_equal(out.additional_gids[0], 34);
	free(out.additional_gids);
	free(home);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names_and_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extra_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nul_and_cr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_groups, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
