/* What of a container's words goes on to the service manager, and the address that it goes to. */
#include "core/base/error.h"
#include "core/base/str.h"
#include "core/notify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_filter(void **state)
{
	static const struct {
		const char *text, *want;
		bool ready;
	} rows[] = {
		{ "READY=1", "READY=1\n", true },
		{ "READY=1\n", "READY=1\n", true },
		{ "READY=0", "", false },
		{ "READY=11", "", false },
		{ "XREADY=1", "", false },
		{ "READY=", "", false },
		{ "STATUS=a b\nREADY=1\nMAINPID=1", "STATUS=a b\nREADY=1\n", true },
		{ "MAINPID=1\nFDSTORE=1\nFDNAME=x\nFDSTOREREMOVE=1\nBARRIER=1\nNOTIFYACCESS=all\nWATCHDOG_USEC=1", "",
		  false },
		{ "STATUS=a\tb", "", false },
		{ "STATUS=\x1b[2J", "", false },
		{ "STATUS=\xff", "", false },
		{ "STATUS=\xc3\xa9", "STATUS=\xc3\xa9\n", false },
		{ "ERRNO=2\nERRNO=x\nERRNO=-1", "ERRNO=2\n", false },
		{ "EXTEND_TIMEOUT_USEC=100\nMONOTONIC_USEC=123456789012345678901", "EXTEND_TIMEOUT_USEC=100\n", false },
		{ "WATCHDOG=1\nWATCHDOG=trigger\nRELOADING=1\nSTOPPING=1", "WATCHDOG=1\nRELOADING=1\nSTOPPING=1\n",
		  false },
		{ "\n\n\n", "", false },
		{ "", "", false },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		KIST_STR struct kist_str out = { 0 };
		assert_int_equal(kist_notify_filter(rows[i].text, strlen(rows[i].text), &out), rows[i].ready);
		assert_string_equal(kist_str_get(&out), rows[i].want);
	}
}

static void test_filter_bytes(void **state)
{
	char text[600] = "STATUS=";
	KIST_STR struct kist_str out = { 0 };

	(void)state;
	assert_true(kist_notify_filter("READY=1\n\0READY=1", 17, &out));
	assert_string_equal(kist_str_get(&out), "READY=1\n");
	kist_str_clear(&out);
	/* A status has its bound. */
	memset(text + 7, 'x', sizeof(text) - 7);
	assert_false(kist_notify_filter(text, 7 + 513, &out));
	assert_int_equal(out.len, 0);
	kist_notify_filter(text, 7 + 512, &out);
	assert_int_equal(out.len, 7 + 512 + 1);
}

static void test_address(void **state)
{
	char path[200] = "/";
	static const char *const good[] = { "/run/x", "@abstract" }, *const bad[] = { "", "/", "@", "x", "vsock:2:9" };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		struct kist_error err = { 0 };
		assert_int_equal(kist_notify_check(good[i], &err), 0);
	}
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_error err = { 0 };
		assert_true(kist_notify_check(bad[i], &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
	}
	memset(path + 1, 'a', 106);
	assert_int_equal(kist_notify_check(path, NULL), 0);
	path[107] = 'a';
	assert_true(kist_notify_check(path, NULL) < 0);
	assert_int_equal(kist_notify_send(path, "x", 1), -ENAMETOOLONG);
	assert_int_equal(kist_notify_send("/nonexistent/socket", "x", 1), -ENOENT);
	assert_int_equal(kist_notify_send("@kist-nobody-listens-here", "x", 1), -ECONNREFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_filter_bytes),
		cmocka_unit_test(test_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
