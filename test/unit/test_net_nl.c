/* A length that does not fit its 16 bits fails the whole batch (CVE-2021-43784). */
#include "net/nl.h"

#include "core/base/error.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int count(void *arg, const struct nlmsghdr *message)
{
	(void)message;
	(*(int *)arg)++;
	return 0;
}

static void begin(struct kist_nl *nl)
{
	struct ifinfomsg info = { 0 };

	kist_nl_begin(nl);
	kist_nl_message(nl, "show link", RTM_GETLINK, NLM_F_ACK, &info, sizeof(info));
	kist_nl_put_text(nl, IFLA_IFNAME, "lo");
}

static void test_oversized(void **state)
{
	static char bytes[70000];
	struct kist_nl nl = { .fd = -1 };
	struct kist_error err = { 0 };
	int answers = 0;

	(void)state;
	assert_int_equal(0, kist_nl_open(&nl, NETLINK_ROUTE, &err));
	begin(&nl);
	assert_int_equal(0, kist_nl_send(&nl, count, &answers));
	assert_int_equal(1, answers);

	/* One attribute of more than 64 KiB: 70,000 would be 4,464. */
	begin(&nl);
	kist_nl_put(&nl, IFLA_IFALIAS, bytes, sizeof(bytes));
	assert_int_equal(-EMSGSIZE, kist_nl_send(&nl, count, &answers));
	/* The largest that fits is written whole; one byte more is not. */
	begin(&nl);
	kist_nl_put(&nl, IFLA_IFALIAS, bytes, UINT16_MAX - NLA_HDRLEN);
	assert_false(nl.overflow);
	kist_nl_put(&nl, IFLA_IFALIAS, bytes, UINT16_MAX - NLA_HDRLEN + 1);
	assert_true(nl.overflow);
	assert_int_equal(-EMSGSIZE, kist_nl_send(&nl, count, &answers));
	/* Many small ones whose nest grows too long. */
	begin(&nl);
	size_t nest = kist_nl_nest(&nl, IFLA_LINKINFO);
	for (int i = 0; i < 10000; i++)
		kist_nl_put_u32(&nl, 1, 0);
	kist_nl_nest_end(&nl, nest);
	assert_int_equal(-EMSGSIZE, kist_nl_send(&nl, count, &answers));
	assert_int_equal(1, answers);

	/* The next batch is a new one. */
	begin(&nl);
	assert_int_equal(0, kist_nl_send(&nl, count, &answers));
	assert_int_equal(2, answers);
	kist_nl_close(&nl);
}

static int answered(uint16_t type, int number)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} message = { .header = { .nlmsg_len = sizeof(message), .nlmsg_type = type, .nlmsg_seq = 7 },
		      .error = { .error = number } };
	struct kist_nl nl = { .fd = -1, .seq = 7, .sndbuf = 1 << 20 };
	int pair[2];

	assert_int_equal(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	nl.fd = pair[0];
	assert_int_equal(sizeof(message), send(pair[1], &message, sizeof(message), 0));
	begin(&nl);
	int r = kist_nl_dump(&nl, NULL, NULL);
	kist_nl_close(&nl);
	close(pair[1]);
	return r;
}

/* Callers negate what they get. */
static void test_error_that_is_no_errno(void **state)
{
	static const uint16_t types[] = { NLMSG_ERROR, NLMSG_DONE };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(-EPERM, answered(types[i], -EPERM));
		assert_int_equal(-EBADMSG, answered(types[i], INT32_MIN));
		assert_int_equal(-EBADMSG, answered(types[i], -4096));
		assert_int_equal(0, answered(types[i], 0));
	}
	assert_int_equal(-EBADMSG, answered(NLMSG_ERROR, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oversized),
		cmocka_unit_test(test_error_that_is_no_errno),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
