#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static int fds[2];

static int open_pipe(void **state)
{
	(void)state;
	return pipe2(fds, O_CLOEXEC | O_NONBLOCK);
}

static int close_pipe(void **state)
{
	(void)state;
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* What was logged since the last call. */
static const char *logged(void)
{
	static char text[65536];
	ssize_t n = read(fds[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_level_filters(void **state)
{
	(void)state;
	kist_log_setup(KIST_LOG_WARN, false, fds[1]);
	kist_log(KIST_LOG_INFO, "no");
	kist_debug("no %d", 1);
	assert_string_equal(logged(), "");
	kist_log(KIST_LOG_WARN, "yes %d", 1);
	assert_non_null(strstr(logged(), "level=warning msg=\"yes 1\"\n"));
	kist_log_setup(KIST_LOG_DEBUG, false, fds[1]);
	kist_debug("now");
	assert_non_null(strstr(logged(), "level=debug msg=\"now\"\n"));
	assert_int_equal(kist_log_level(), KIST_LOG_DEBUG);
}

static void test_text_is_one_line(void **state)
{
	const char *line;

	(void)state;
	kist_log_setup(KIST_LOG_ERROR, false, fds[1]);
	kist_log(KIST_LOG_ERROR, "%s", "a\"b\\c\nlevel=fatal\x1b[31m\x7f\xff\xe2\x82\xac\t");
	line = logged();
	assert_int_equal(strncmp(line, "time=\"2", 7), 0);
	assert_non_null(
	        strstr(line, " level=error msg=\"a\\\"b\\\\c\\nlevel=fatal\\x1b[31m\\x7f\\xff\xe2\x82\xac\\t\"\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void test_json_is_valid_for_any_bytes(void **state)
{
	(void)state;
	kist_log_setup(KIST_LOG_ERROR, true, fds[1]);
	for (int first = 1; first < 256; first++) {
		for (int second = 1; second < 256; second += 7) {
			char message[4] = { (char)first, (char)second, 'z', 0 };
			struct json_tokener *tokener = json_tokener_new();
			struct json_object *json, *value;
			const char *line, *text;

			kist_log(KIST_LOG_ERROR, "%s", message);
			line = logged();
			json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
			json = json_tokener_parse_ex(tokener, line, (int)strlen(line));
			assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
			assert_true(json_object_object_get_ex(json, "msg", &value));
			text = json_object_get_string(value);
			if (first < 0x80 && second < 0x80)
				assert_string_equal(text, message);
			assert_true(json_object_object_get_ex(json, "level", &value));
			assert_string_equal(json_object_get_string(value), "error");
			assert_true(json_object_object_get_ex(json, "time", &value));
			json_object_put(json);
			json_tokener_free(tokener);
		}
	}
}

static void test_errno_is_kept(void **state)
{
	(void)state;
	kist_log_setup(KIST_LOG_DEBUG, false, fds[1]);
	errno = ENOSPC;
	kist_debug("x");
	assert_int_equal(errno, ENOSPC);
	kist_log_setup(KIST_LOG_DEBUG, false, -1);
	kist_debug("x");
	assert_int_equal(errno, ENOSPC);
	kist_log_setup(KIST_LOG_DEBUG, false, fds[1]);
}

static void test_level_names(void **state)
{
	enum kist_log_level level = KIST_LOG_FATAL;

	(void)state;
	assert_int_equal(kist_log_level_parse("debug", &level), 0);
	assert_int_equal(level, KIST_LOG_DEBUG);
	assert_int_equal(kist_log_level_parse("WARN", &level), 0);
	assert_int_equal(level, KIST_LOG_WARN);
	assert_int_equal(kist_log_level_parse("warning", &level), 0);
	assert_int_equal(kist_log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(kist_log_level_parse("", &level), -EINVAL);
	assert_int_equal(kist_log_level_parse(NULL, &level), -EINVAL);
	assert_int_equal(level, KIST_LOG_WARN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_level_filters),
		cmocka_unit_test(test_text_is_one_line),
		cmocka_unit_test(test_json_is_valid_for_any_bytes),
		cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_level_names),
	};

	return cmocka_run_group_tests(tests, open_pipe, close_pipe);
}
