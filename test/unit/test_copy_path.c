/* What paths mean to 'cp'. */
#include "core/copy.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void text_is(char *got, const char *want)
{
	assert_string_equal(got, want);
	free(got);
}

static void test_parts(void **state)
{
	static const struct {
		const char *path, *parent, *base;
		bool directory, contents;
	} rows[] = {
		{ "f", "", "f", false, false },      { "/f", "/", "f", false, false },
		{ "a/b", "a", "b", false, false },   { "/a//b/", "/a", "b", true, false },
		{ "a/.", "a", ".", true, true },     { "a/..", "a", "..", true, true },
		{ "/", "", "", true, true },         { "//", "", "", true, true },
		{ ".", "", ".", true, true },        { "a/.b", "a", ".b", false, false },
		{ "///x", "/", "x", false, false },  { "a/./", "a", ".", true, true },
		{ "a/b.", "a", "b.", false, false },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		text_is(kist_copy_parent(rows[i].path), rows[i].parent);
		text_is(kist_copy_base(rows[i].path), rows[i].base);
		assert_int_equal(kist_copy_wants_directory(rows[i].path), rows[i].directory);
		assert_int_equal(kist_copy_means_contents(rows[i].path), rows[i].contents);
	}
	assert_false(kist_copy_wants_directory("f"));
}

static void test_follow(void **state)
{
	(void)state;
	text_is(kist_copy_follow("/a/link", "/x"), "/x");
	text_is(kist_copy_follow("/a/link", "x/y"), "/a/x/y");
	text_is(kist_copy_follow("/link", "x"), "/x");
	text_is(kist_copy_follow("link", "../x"), "../x");
	text_is(kist_copy_follow("a/link/", "x"), "a/x");
}

static char top[] = "/tmp/kist-copy-path-XXXXXX";

static int make_tree(void **state)
{
	(void)state;
	if (!mkdtemp(top) || chdir(top) < 0 || mkdir("root", 0755) < 0 || mkdir("root/d", 0755) < 0 ||
	    mkdir("root/d/sub", 0755) < 0)
		return -1;
	int fd = open("root/d/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	int out = open("outside", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0 || out < 0)
		return -1;
	close(fd);
	close(out);
	if (symlink("d/file", "root/link") || symlink("/d", "root/dlink") || symlink("/d/new", "root/dangling") ||
	    symlink("../../../../../../tmp", "root/up") || symlink("loop", "root/loop") ||
	    symlink("../outside", "root/out"))
		return -1;
	return 0;
}

static int remove_tree(void **state)
{
	(void)state;
	return kist_remove_tree(AT_FDCWD, top);
}

static struct kist_container fake; /* only its name is read, for messages */

static struct kist_copy_place container(void)
{
	fake.config.name = (char *)(uintptr_t) "box";
	return (struct kist_copy_place){
		.c = &fake, .root = { .fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC), .ns = -1, .userns = -1 }
	};
}

static void resolved_is(const char *path, bool destination, const char *name, const char *as, mode_t type)
{
	struct kist_copy_place place = container();
	struct kist_copy_target t = KIST_COPY_TARGET_INIT;
	struct kist_error err = { 0 };

	int r = kist_copy_resolve(&place, path, destination, &t, &err);
	if (r < 0)
		print_error("%s: %s\n", path, err.text);
	assert_int_equal(r, 0);
	assert_true(t.dir >= 0);
	assert_true(kist_streq(t.name, name));
	assert_true(kist_streq(t.as, as));
	assert_int_equal(t.mode & S_IFMT, type);
	kist_copy_target_close(&t);
	close(place.root.fd);
}

static void refused(const char *path, bool destination, int errnum)
{
	struct kist_copy_place place = container();
	struct kist_copy_target t = KIST_COPY_TARGET_INIT;
	struct kist_error err = { 0 };

	assert_int_equal(kist_copy_resolve(&place, path, destination, &t, &err), -errnum);
	assert_true(kist_error_is_set(&err));
	assert_int_equal(t.dir, -1);
	close(place.root.fd);
}

static void test_resolve(void **state)
{
	(void)state;
	resolved_is("/d/file", false, "file", "file", S_IFREG);
	resolved_is("/link", false, "file", "file", S_IFREG);
	resolved_is("/d", false, NULL, "d", S_IFDIR);
	resolved_is("/dlink", false, NULL, "d", S_IFDIR);
	resolved_is("/dlink/", false, NULL, "d", S_IFDIR);
	resolved_is("/dlink/.", false, NULL, NULL, S_IFDIR);
	resolved_is("/", false, NULL, NULL, S_IFDIR);
	resolved_is("/d/sub/..", false, NULL, NULL, S_IFDIR);
	resolved_is("/dlink/new", true, "new", "new", 0);
	resolved_is("/dangling", true, "new", "new", 0);
	resolved_is("/../../../d/file", false, "file", "file", S_IFREG);
}

static void test_refused(void **state)
{
	(void)state;
	refused("/none", false, ENOENT);
	refused("/dangling", false, ENOENT);
	refused("/none/", true, ENOENT);
	refused("/none/.", true, ENOENT);
	refused("/none/x", true, ENOENT);
	refused("/d/file/", false, ENOTDIR);
	refused("/d/file/x", true, ENOTDIR);
	refused("/loop", true, ELOOP);
}

/* Links that would lead out of the root end in it. */
static void test_stays_inside(void **state)
{
	(void)state;
	refused("/out", false, ENOENT);
	resolved_is("/out", true, "outside", "outside", 0);
	refused("/up/x/y", true, ENOENT);
	assert_int_equal(access("root/outside", F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),   cmocka_unit_test(test_follow),       cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_stays_inside),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
