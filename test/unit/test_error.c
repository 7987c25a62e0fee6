#include "test/unit/child.h"
#include "core/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_chain_reads_from_object_to_cause(void **state)
{
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_fail_errno(&err, ENOSPC, "mount overlay on %s", "/x"), -ENOSPC);
	assert_int_equal(kist_context(&err, "start %s", "web"), -ENOSPC);
	assert_string_equal(err.text, "start web: mount overlay on /x: No space left on device");
	assert_int_equal(err.kind, KIST_ERR_SYSTEM);
	assert_int_equal(kist_remedy(&err, "free some of %d%%", 100), -ENOSPC);
	assert_string_equal(err.text, "start web: mount overlay on /x: No space left on device (free some of 100%)");
	assert_true(kist_error_is_set(&err));
	kist_error_clear(&err);
	assert_false(kist_error_is_set(&err));
	assert_string_equal(err.text, "");
}

static void test_kinds_have_their_errno(void **state)
{
	static const struct {
		enum kist_error_kind kind;
		int errnum;
	} cases[] = {
		{ KIST_ERR_INVALID, EINVAL },         { KIST_ERR_NOT_FOUND, ENOENT },
		{ KIST_ERR_EXISTS, EEXIST },          { KIST_ERR_IN_USE, EBUSY },
		{ KIST_ERR_CORRUPT, EBADMSG },        { KIST_ERR_TIMEOUT, ETIMEDOUT },
		{ KIST_ERR_UNSUPPORTED, EOPNOTSUPP }, { KIST_ERR_EXEC_ACCESS, EACCES },
		{ KIST_ERR_EXEC_MISSING, ENOENT },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		struct kist_error err = { 0 };

		assert_int_equal(kist_fail(&err, cases[i].kind, 0, "x"), -cases[i].errnum);
		assert_int_equal(err.errnum, cases[i].errnum);
		assert_int_equal(err.kind, cases[i].kind);
	}
	for (int kind = KIST_ERR_NONE; kind <= KIST_ERR_INTERNAL; kind++) {
		assert_string_not_equal(kist_error_kind_name((enum kist_error_kind)kind), "unknown");
		for (int other = KIST_ERR_NONE; other < kind; other++)
			assert_string_not_equal(kist_error_kind_name((enum kist_error_kind)kind),
			                        kist_error_kind_name((enum kist_error_kind)other));
	}
}

static void test_own_errno_wins(void **state)
{
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_fail(&err, KIST_ERR_INVALID, ERANGE, "number"), -ERANGE);
	assert_string_equal(err.text, "number");
}

static void test_negative_errno_is_taken_as_positive(void **state)
{
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_fail_errno(&err, -ENOENT, "open"), -ENOENT);
	assert_string_equal(err.text, "open: No such file or directory");
	kist_error_clear(&err);
	assert_int_equal(kist_fail_errno(&err, 4095, "open"), -4095);
	assert_string_equal(err.text, "open: error 4095");
}

static void test_without_object_the_code_remains(void **state)
{
	(void)state;
	assert_int_equal(kist_fail_errno(NULL, ENOSPC, "x"), -ENOSPC);
	assert_int_equal(kist_context(NULL, "y"), -ENOSPC);
	assert_int_equal(kist_remedy(NULL, "y"), -ENOSPC);
	assert_int_equal(kist_fail(NULL, KIST_ERR_NOT_FOUND, 0, "x"), -ENOENT);
	assert_false(kist_error_is_set(NULL));
	kist_error_clear(NULL);
}

static void test_context_of_a_silent_failure(void **state)
{
	struct kist_error err = { 0 };

	(void)state;
	errno = EACCES;
	assert_int_equal(kist_context(&err, "open"), -EACCES);
	assert_string_equal(err.text, "open: failed: Permission denied");
}

static void test_too_long_keeps_both_ends(void **state)
{
	struct kist_error err = { 0 };
	char big[3000];

	(void)state;
	memset(big, 'm', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	kist_fail_errno(&err, ENOSPC, "%s", big);
	assert_non_null(strstr(err.text, ": No space left on device"));
	for (int i = 0; i < 50; i++) {
		kist_context(&err, "layer %d", i);
		assert_true(strlen(err.text) < sizeof(err.text));
		assert_int_equal(strncmp(err.text, "layer", 5), 0);
		assert_non_null(strstr(err.text, ": No space left on device"));
	}
	kist_context(&err, "%s", big);
	assert_non_null(strstr(err.text, ": No space left on device"));
	kist_remedy(&err, "end");
	assert_string_equal(err.text + strlen(err.text) - 6, " (end)");
}

static bool is_utf8(const char *text)
{
	while (*text) {
		unsigned char c = (unsigned char)*text++;
		int more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : -1;

		if (more < 0)
			return false;
		while (more--) {
			if (((unsigned char)*text++ & 0xc0) != 0x80)
				return false;
		}
	}
	return true;
}

static void test_cut_splits_no_character(void **state)
{
	(void)state;
	for (int shift = 0; shift < 6; shift++) {
		struct kist_error err = { 0 };
		char text[1000];
		size_t n = 0;

		for (int i = 0; i < shift; i++)
			text[n++] = 'x';
		while (n + 3 < sizeof(text)) {
			memcpy(text + n, "\xe2\x82\xac", 3);
			n += 3;
		}
		text[n] = '\0';
		kist_fail(&err, KIST_ERR_INVALID, 0, "%s", text);
		kist_context(&err, "%s", text);
		assert_true(is_utf8(err.text));
	}
}

/* The object goes through a pipe between processes as it is. */
static void test_survives_a_pipe(void **state)
{
	struct kist_error err = { 0 }, got;
	int fds[2];

	(void)state;
	kist_fail(&err, KIST_ERR_EXEC_MISSING, 0, "no such command");
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], &err, sizeof(err)), sizeof(err));
	assert_int_equal(read(fds[0], &got, sizeof(got)), sizeof(got));
	assert_int_equal(got.kind, KIST_ERR_EXEC_MISSING);
	assert_string_equal(got.text, "no such command");
	close(fds[0]);
	close(fds[1]);
}

static void test_setting_twice_is_a_defect(void **state)
{
	int status;
	pid_t pid = child_fork();

	(void)state;
	if (pid == 0) {
		struct kist_error err = { 0 };
		struct rlimit none = { 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		kist_fail(&err, KIST_ERR_INVALID, 0, "first");
		kist_fail(&err, KIST_ERR_INVALID, 0, "second");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain_reads_from_object_to_cause),
		cmocka_unit_test(test_kinds_have_their_errno),
		cmocka_unit_test(test_own_errno_wins),
		cmocka_unit_test(test_negative_errno_is_taken_as_positive),
		cmocka_unit_test(test_without_object_the_code_remains),
		cmocka_unit_test(test_context_of_a_silent_failure),
		cmocka_unit_test(test_too_long_keeps_both_ends),
		cmocka_unit_test(test_cut_splits_no_character),
		cmocka_unit_test(test_survives_a_pipe),
		cmocka_unit_test(test_setting_twice_is_a_defect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
