/* Detach keys, as podman-run(1) has them, and the packets of the attach socket. */
#include "core/detach_keys.h"
#include "core/kist.h"
#include "core/monitor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_keys(const char *text, const char *bytes, int n)
{
	unsigned char keys[16];

	int got = kist_detach_keys_parse(text, keys);
	if (got != n)
		fail_msg("'%s': %d keys, expected %d", text ? text : "(null)", got, n);
	if (n > 0)
		assert_memory_equal(keys, bytes, n);
}

static void test_good(void **state)
{
	(void)state;
	expect_keys("ctrl-p,ctrl-q", "\x10\x11", 2);
	expect_keys("ctrl-a", "\x01", 1);
	expect_keys("ctrl-z", "\x1a", 1);
	expect_keys("a,b,c", "abc", 3);
	expect_keys("ctrl-@", "\0", 1);
	expect_keys("ctrl-[", "\x1b", 1);
	expect_keys("ctrl-\\", "\x1c", 1);
	expect_keys("ctrl-]", "\x1d", 1);
	expect_keys("ctrl-^", "\x1e", 1);
	expect_keys("ctrl-_", "\x1f", 1);
	expect_keys("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "abcdefghijklmnop", 16);
}

static void test_none(void **state)
{
	(void)state;
	expect_keys("", NULL, 0);
	expect_keys(NULL, NULL, 0);
}

static void test_bad(void **state)
{
	static const char *const bad[] = { "ctrl-",
		                           "ctrl-pp",
		                           "ctrl-P",
		                           "ctrl-1",
		                           "Ctrl-p",
		                           "ab",
		                           ",",
		                           "ctrl-p,",
		                           ",a",
		                           "a,,b",
		                           "ctrl- ",
		                           "ctrl-p ctrl-q",
		                           "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q" };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		expect_keys(bad[i], NULL, -EINVAL);
}

/* Types the pieces one after the other; what goes on must be 'passed', and held back 'held' bytes. */
static void expect_feed(const char *keys, const char *const *pieces, const char *passed, int held, bool detaches)
{
	struct kist_detach_keys state;
	unsigned char out[256];
	size_t len = 0;
	bool detached = false;

	assert_int_equal(kist_detach_keys_set(&state, keys, NULL), 0);
	for (size_t i = 0; pieces[i]; i++)
		len += kist_detach_keys_feed(&state, (const unsigned char *)pieces[i], strlen(pieces[i]), out + len,
		                             &detached);
	if (len != strlen(passed) || memcmp(out, passed, len) != 0)
		fail_msg("keys %s: '%.*s' went on, expected '%s'", keys, (int)len, out, passed);
	assert_int_equal(detached, detaches);
	assert_int_equal(state.held, held);
	assert_int_equal(kist_detach_keys_release(&state, out), held);
	assert_int_equal(state.held, 0);
}

#define FEED(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_feed(void **state)
{
	(void)state;
	expect_feed("", FEED("\x10\x11"), "\x10\x11", 0, false);
	expect_feed("ctrl-p,ctrl-q",
	            FEED("ab\x10\x11"
	                 "c"),
	            "ab", 0, true);
	expect_feed("ctrl-p,ctrl-q", FEED("a\x10", "\x11"), "a", 0, true);
	expect_feed("ctrl-p,ctrl-q", FEED("a\x10"), "a", 1, false);
	expect_feed("ctrl-p,ctrl-q", FEED("\x10", "b"),
	            "\x10"
	            "b",
	            0, false);
	expect_feed("ctrl-p,ctrl-q", FEED("\x10\x10"), "\x10", 1, false);
	expect_feed("ctrl-p,ctrl-q", FEED("\x10\x10", "\x11"), "\x10", 0, true);
	/* What was typed may end in a beginning of the sequence that is shorter than what it broke. */
	expect_feed("a,a,b", FEED("aaab"), "a", 0, true);
	expect_feed("a,b,a,b,c", FEED("abab", "abc"), "ab", 0, true);
	expect_feed("a,b,a,b,c", FEED("abad"), "abad", 0, false);
	expect_feed("q", FEED("xq"), "x", 0, true);
}

static void test_feed_refused(void **state)
{
	struct kist_detach_keys keys;
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_detach_keys_set(&keys, "ctrl-", &err), -EINVAL);
	assert_non_null(strstr(err.text, "'ctrl-'"));
}

static void test_packets(void **state)
{
	static char data[KIST_MSG_DATA], got[KIST_MSG_DATA];
	int pair[2];
	char type;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	memset(data, 'x', sizeof(data));
	assert_int_equal(kist_msg_send(pair[0], KIST_MSG_STDIN, data, sizeof(data)), 0);
	assert_int_equal(kist_msg_send(pair[0], KIST_MSG_EOF, NULL, 0), 0);
	assert_int_equal(kist_msg_recv(pair[1], &type, got, sizeof(got)), sizeof(data));
	assert_int_equal(type, KIST_MSG_STDIN);
	assert_memory_equal(got, data, sizeof(data));
	/* A message without data is not the end of the connection. */
	assert_int_equal(kist_msg_recv(pair[1], &type, got, sizeof(got)), 0);
	assert_int_equal(type, KIST_MSG_EOF);
	/* One that does not fit is an error, not a part. */
	assert_int_equal(kist_msg_send(pair[0], KIST_MSG_STDIN, data, 100), 0);
	assert_int_equal(kist_msg_recv(pair[1], &type, got, 99), -EMSGSIZE);
	close(pair[0]);
	assert_int_equal(kist_msg_recv(pair[1], &type, got, sizeof(got)), 0);
	assert_int_equal(type, 0);
	/* No SIGPIPE: it would have ended the test. */
	assert_int_equal(kist_msg_send(pair[1], KIST_MSG_EOF, NULL, 0), -EPIPE);
	close(pair[1]);
	/* A peer that ends with a message of ours unread: what it had said is heard all the same. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(kist_msg_send(pair[0], KIST_MSG_EOF, NULL, 0), 0);
	assert_int_equal(kist_msg_send(pair[1], KIST_MSG_EXITED, &(int32_t){ 5 }, sizeof(int32_t)), 0);
	close(pair[1]);
	assert_int_equal(kist_msg_recv(pair[0], &type, got, sizeof(got)), sizeof(int32_t));
	assert_int_equal(type, KIST_MSG_EXITED);
	assert_int_equal(kist_msg_recv(pair[0], &type, got, sizeof(got)), 0);
	assert_int_equal(type, 0);
	close(pair[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_none),         cmocka_unit_test(test_bad),
		cmocka_unit_test(test_feed), cmocka_unit_test(test_feed_refused), cmocka_unit_test(test_packets),
	};
	return cmocka_run_group_tests_name("attach keys", tests, NULL, NULL);
}
