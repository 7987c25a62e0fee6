/* Files of a running container, changed in place. */
#include "core/network.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include "test/unit/store_help.h"

#include <fcntl.h>
#include <sys/stat.h>

static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void put(const char *text)
{
	mkdirat(k->run_containers, id, 0700);
	KIST_CLOSE int run = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_replace_file(run, "hosts", text, strlen(text), 0644, 0), 0);
}

static char *get(ino_t *inode)
{
	KIST_CLOSE int run = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct kist_str text = { 0 };
	struct stat st;

	assert_int_equal(fstatat(run, "hosts", &st, 0), 0);
	assert_true(kist_read_file(run, "hosts", 4096, &text) >= 0);
	if (inode)
		*inode = st.st_ino;
	return kist_str_take(&text);
}

static void change(const char *old, const char *before, const char *after, const char *wanted)
{
	ino_t first, second;

	put(old);
	free(get(&first));
	assert_int_equal(kist_run_file_rewrite(k, id, "hosts", before, after, NULL), 0);
	KIST_FREE char *text = get(&second);
	assert_string_equal(text, wanted);
	assert_int_equal(first, second);
}

static void test_lines_come_and_go(void **state)
{
	(void)state;
	change("1 a\n2 b\n", "", "3 c\n", "1 a\n2 b\n3 c\n");
	change("1 a\n2 b\n3 c\n", "2 b\n", "", "1 a\n3 c\n");
	/* What stays keeps its place, what others wrote too. */
	change("1 a\n# mine\n2 b\n", "1 a\n2 b\n", "1 a\n3 c\n", "1 a\n# mine\n3 c\n");
	/* Twice is once. */
	change("1 a\n3 c\n", "2 b\n", "3 c\n", "1 a\n3 c\n");
	/* No end of line, nothing at all. */
	change("1 a", "", "2 b\n", "1 a\n2 b\n");
	change("", "", "2 b\n", "2 b\n");
	change("2 b\n", "2 b\n", "", "");
}

static void test_no_file_is_fine(void **state)
{
	(void)state;
	put("1 a\n");
	KIST_CLOSE int run = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_run_file_rewrite(k, id, "resolv.conf", "", "1 a\n", NULL), 0);
	assert_int_equal(faccessat(run, "resolv.conf", F_OK, 0), -1);
	/* Nor is what is no file of ours written to. */
	assert_int_equal(symlinkat("hosts", run, "link"), 0);
	assert_int_equal(kist_run_file_rewrite(k, id, "link", "", "2 b\n", NULL), 0);
	KIST_FREE char *text = get(NULL);
	assert_string_equal(text, "1 a\n");
	assert_int_equal(kist_run_file_rewrite(k, "nobody", "hosts", "", "1 a\n", NULL), 0);
	kist_remove_tree(k->run_containers, id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_come_and_go),
		cmocka_unit_test(test_no_file_is_fine),
	};

	return cmocka_run_group_tests_name("hosts", tests, store_setup, store_teardown);
}
