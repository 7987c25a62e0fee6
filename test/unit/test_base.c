#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* The headers that declare them come after, as in any file, and must still compile. */
#include <glob.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#if !defined(strcpy) || !defined(strcat) || !defined(sprintf) || !defined(vsprintf) || !defined(gets) ||               \
        !defined(strtok) || !defined(atoi) || !defined(atol) || !defined(system) || !defined(popen) ||                 \
        !defined(getpwnam) || !defined(getgrnam) || !defined(getaddrinfo) || !defined(setlocale) || !defined(glob)
#error "a banned call is not banned"
#endif

static void test_strv_grows_and_keeps_order(void **state)
{
	char **v KIST_STRV = NULL;

	(void)state;
	assert_int_equal(kist_strv_len(NULL), 0);
	for (int i = 0; i < 100; i++)
		kist_strv_take(&v, kist_asprintf("%d", i));
	assert_int_equal(kist_strv_len(v), 100);
	assert_string_equal(v[0], "0");
	assert_string_equal(v[99], "99");
	assert_null(v[100]);
	assert_true(kist_strv_has(v, "42"));
	assert_false(kist_strv_has(v, "100"));
	assert_false(kist_strv_has(NULL, "x"));
}

static void test_strv_copy_is_deep(void **state)
{
	char **v KIST_STRV = NULL, **copy KIST_STRV = NULL;

	(void)state;
	assert_null(kist_strv_copy(NULL));
	kist_strv_add(&v, "a");
	kist_strv_add(&v, "");
	copy = kist_strv_copy(v);
	v[0][0] = 'z';
	assert_string_equal(copy[0], "a");
	assert_string_equal(copy[1], "");
	assert_null(copy[2]);
}

static void test_split_keeps_empty_fields(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *joined;
	} cases[] = {
		{ "", 0, "" },       { NULL, 0, "" }, { "a", 1, "a" },
		{ "a,b", 2, "a|b" }, { ",", 2, "|" }, { "a,,b,", 4, "a||b|" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		char **v KIST_STRV = kist_strv_split(cases[i].text, ',');
		char *joined KIST_FREE = kist_strv_join(v, "|");

		assert_non_null(v);
		assert_int_equal(kist_strv_len(v), cases[i].n);
		assert_string_equal(joined, cases[i].joined);
	}
}

static void test_env_replaces_in_place(void **state)
{
	char **env KIST_STRV = NULL;

	(void)state;
	kist_env_set(&env, "PATH", "/bin");
	kist_env_put(&env, "A=1=2");
	kist_env_set(&env, "PATH", "/sbin");
	assert_int_equal(kist_strv_len(env), 2);
	assert_string_equal(env[0], "PATH=/sbin");
	assert_string_equal(kist_env_get(env, "A"), "1=2");
	assert_null(kist_env_get(env, "PAT"));
	assert_null(kist_env_get(env, "PATHS"));
	assert_null(kist_env_get(NULL, "A"));
	kist_env_unset(&env, "PATH");
	kist_env_unset(&env, "PATH");
	assert_int_equal(kist_strv_len(env), 1);
	assert_string_equal(env[0], "A=1=2");
}

static void test_env_never_pulls_the_hosts(void **state)
{
	char **env KIST_STRV = NULL;

	(void)state;
	setenv("KIST_TEST_SECRET", "host", 1);
	kist_env_put(&env, "KIST_TEST_SECRET");
	assert_string_equal(env[0], "KIST_TEST_SECRET=");
	unsetenv("KIST_TEST_SECRET");
}

static void test_fd_cleanup_keeps_errno(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), kept;

	(void)state;
	assert_true(fd >= 0);
	kept = fd;
	errno = ENOSPC;
	kist_close_fd(&fd);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(fd, -1);
	assert_int_equal(fcntl(kept, F_GETFD), -1);
	kist_close_fd(&fd);
	{
		int again KIST_CLOSE = open("/dev/null", O_RDONLY | O_CLOEXEC);

		kept = kist_steal_fd(&again);
		assert_int_equal(again, -1);
	}
	assert_true(fcntl(kept, F_GETFD) >= 0);
	close(kept);
}

static void test_steal_leaves_null(void **state)
{
	char *a KIST_FREE = kist_strdup("x");
	char *b KIST_FREE = kist_steal(&a);

	(void)state;
	assert_null(a);
	assert_string_equal(b, "x");
	assert_null(kist_strdup(NULL));
}

static void test_prefix_and_suffix(void **state)
{
	(void)state;
	assert_true(kist_has_prefix("abc", "ab"));
	assert_true(kist_has_prefix("abc", ""));
	assert_false(kist_has_prefix("a", "ab"));
	assert_false(kist_has_prefix(NULL, "a"));
	assert_true(kist_has_suffix("a.tar", ".tar"));
	assert_false(kist_has_suffix("tar", ".tar"));
	assert_true(kist_streq(NULL, NULL));
	assert_false(kist_streq(NULL, ""));
}

static void test_alloc_is_zeroed_and_bounded_copy_ends(void **state)
{
	char *p KIST_FREE = kist_alloc(16), *s KIST_FREE = kist_strndup("abcdef", 3),
	        *whole KIST_FREE = kist_strndup("ab", 9);

	(void)state;
	for (int i = 0; i < 16; i++)
		assert_int_equal(p[i], 0);
	assert_string_equal(s, "abc");
	assert_string_equal(whole, "ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strv_grows_and_keeps_order),
		cmocka_unit_test(test_strv_copy_is_deep),
		cmocka_unit_test(test_split_keeps_empty_fields),
		cmocka_unit_test(test_env_replaces_in_place),
		cmocka_unit_test(test_env_never_pulls_the_hosts),
		cmocka_unit_test(test_fd_cleanup_keeps_errno),
		cmocka_unit_test(test_steal_leaves_null),
		cmocka_unit_test(test_prefix_and_suffix),
		cmocka_unit_test(test_alloc_is_zeroed_and_bounded_copy_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
