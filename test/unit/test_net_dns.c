/* DNS: packets. */
#include "dns_help.h"

static void test_addresses(void **state)
{
	struct packet p;

	(void)state;
	p = ask("web", A);
	assert_int_equal(code(&p), NOERROR);
	assert_int_equal(answers(&p), 1);
	expect_address(&p, 0, "10.88.0.2");
	assert_int_equal(p.data[2], 0x85); /* QR AA RD */
	assert_int_equal(p.data[3], 0x80); /* RA */
	p = ask("web", AAAA);
	assert_int_equal(answers(&p), 1);
	expect_address(&p, 0, "fd12::2");
	p = ask("web", ANY);
	assert_int_equal(answers(&p), 2);
	p = ask("WeB", A);
	assert_int_equal(answers(&p), 1);
}

static void test_no_data_and_no_name(void **state)
{
	struct packet p;

	(void)state;
	p = ask("v4", AAAA); /* the name is there, such an address is not: a client must not give up the other */
	assert_int_equal(code(&p), NOERROR);
	assert_int_equal(answers(&p), 0);
	p = ask("web", TXT);
	assert_int_equal(code(&p), NOERROR);
	assert_int_equal(answers(&p), 0);
	p = ask("stopped", A);
	assert_int_equal(code(&p), NXDOMAIN);
	p = ask("example.org", A); /* nobody to ask */
	assert_int_equal(code(&p), NXDOMAIN);
	p = ask("", NS);
	assert_int_equal(code(&p), NXDOMAIN);
}

static void test_foreign_names_are_forwarded(void **state)
{
	static const char *const foreign[] = { "example.org", "", "web.example.org", "4.4.8.8.in-addr.arpa",
		                               "in-addr.arpa" };
	ssize_t r;

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(foreign); i++) {
		struct packet q = query(foreign[i], A);

		ask_full(&q, false, true, &r);
		assert_int_equal(r, 0);
	}
	struct packet q = query("stopped", A), p = ask_full(&q, false, true, &r);
	assert_int_equal(code(&p), NXDOMAIN);
	/* Labels with dots and other bytes inside cannot be mistaken for names. */
	q = query("web", A);
	q.data[13] = '.';
	ask_full(&q, false, true, &r);
	assert_int_equal(r, 0);
}

static void test_reverse(void **state)
{
	static const char *const bad[] = { "256.0.88.10.in-addr.arpa", "a.0.88.10.in-addr.arpa",
		                           "0.88.10.in-addr.arpa",     "1.2.0.88.10.in-addr.arpa",
		                           "2.0.88.10.ip6.arpa",       "0002.0.88.10.in-addr.arpa",
		                           "-2.0.88.10.in-addr.arpa" };
	struct packet p;
	unsigned type;
	size_t len;
	ssize_t r;

	(void)state;
	p = ask("2.0.88.10.in-addr.arpa", PTR);
	assert_int_equal(answers(&p), 2);
	const uint8_t *data = answer_data(&p, 0, &type, &len);
	assert_int_equal(type, PTR);
	assert_int_equal(len, 5);
	assert_memory_equal(data, "\3web", 5);
	data = answer_data(&p, 1, &type, &len);
	assert_memory_equal(data, "\3web\4kist", 10);
	p = ask("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.1.D.F.IP6.ARPA", PTR);
	assert_int_equal(answers(&p), 2);
	p = ask("9.0.88.10.in-addr.arpa", PTR);
	assert_int_equal(code(&p), NXDOMAIN);
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct packet q = query(bad[i], PTR);

		ask_full(&q, false, true, &r);
		assert_int_equal(r, 0);
	}
}

static void test_edns_and_cutting(void **state)
{
	struct packet q = query("crowd", A), p;
	ssize_t r;

	(void)state;
	p = ask_full(&q, false, false, &r);
	assert_true(r <= 512 && is_cut(&p));
	assert_true(answers(&p) > 20);
	unsigned few = answers(&p);
	p = ask_full(&q, true, false, &r);
	assert_false(is_cut(&p));
	assert_int_equal(answers(&p), 64);
	put_opt(&q, 1232, 0);
	p = ask_full(&q, false, false, &r);
	assert_true(r <= 1232 && r > 512 && !is_cut(&p));
	assert_int_equal(answers(&p), 64);
	assert_int_equal(get16(p.data + 10), 1);
	assert_int_equal(get16(p.data + p.len - 10), 41);
	/* Less than 512 counts as 512. */
	q = query("crowd", A);
	put_opt(&q, 100, 0);
	p = ask_full(&q, false, false, &r);
	assert_true(r <= 512 && r > 400 && is_cut(&p));
	assert_true(answers(&p) <= few);
	/* A version that is not ours. */
	q = query("web", A);
	put_opt(&q, 1232, 1);
	p = ask_full(&q, false, false, &r);
	assert_int_equal(code(&p), 0);
	assert_int_equal(p.data[p.len - 6], 1); /* 16 = BADVERS, the upper bits are in OPT */
}

static void test_turns(void **state)
{
	struct packet q = query("crowd", A), p;
	unsigned type, first[4];
	size_t len;
	ssize_t r;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		q.data[1] = (uint8_t)i;
		p = ask_full(&q, true, false, &r);
		first[i] = answer_data(&p, 0, &type, &len)[3];
	}
	assert_true(first[0] != first[1] && first[1] != first[2] && first[2] != first[3]);
}

static void test_compressed_questions(void **state)
{
	struct packet q = { .len = 0 }, p;
	ssize_t r;

	(void)state;
	/* A name that is a pointer to itself, one to what is behind it, one into the header. */
	for (unsigned to = 0; to < 40; to++) {
		q = query("web", A);
		q.len = 12;
		put16(&q, 0xc000 | to);
		put16(&q, A);
		put16(&q, 1);
		p = ask_full(&q, false, false, &r);
		assert_int_equal(code(&p), FORMERR);
	}
}

static void test_malformed(void **state)
{
	struct packet q = query("web", A), p;
	ssize_t r;

	(void)state;
	for (size_t len = 0; len < q.len; len++) {
		struct packet cut = q;

		cut.len = len;
		p = ask_full(&cut, false, true, &r);
		if (len < 12)
			assert_int_equal(r, -EBADMSG);
		else
			assert_int_equal(code(&p), FORMERR);
	}
	/* An answer is not answered: two servers would talk for ever. */
	q.data[2] |= 0x80;
	ask_full(&q, false, true, &r);
	assert_int_equal(r, -EBADMSG);
	for (unsigned count = 0; count < 4; count++) {
		q = query("web", A);
		q.data[5] = (uint8_t)count;
		p = ask_full(&q, false, true, &r);
		assert_int_equal(code(&p), count == 1 ? NOERROR : FORMERR);
	}
	q = query("web", A);
	q.data[11] = 200; /* records that are not there */
	p = ask_full(&q, false, true, &r);
	assert_int_equal(code(&p), FORMERR);
	for (unsigned opcode = 1; opcode < 16; opcode++) {
		q = query("web", A);
		q.data[2] |= (uint8_t)(opcode << 3);
		p = ask_full(&q, false, true, &r);
		assert_int_equal(code(&p), NOTIMP);
	}
	q = query("web", A);
	q.data[q.len - 1] = 3; /* CHAOS */
	p = ask_full(&q, false, true, &r);
	assert_int_equal(code(&p), REFUSED);
	q = query("web", A);
	q.data[12] = 0x40; /* a label type that nobody uses */
	p = ask_full(&q, false, true, &r);
	assert_int_equal(code(&p), FORMERR);
	put_opt(&q, 512, 0);
	/* Two of them are one too many (RFC 6891, 6.1.1). */
	q = query("web", A);
	put_opt(&q, 512, 0);
	put_opt(&q, 512, 0);
	p = ask_full(&q, false, true, &r);
	assert_int_equal(code(&p), FORMERR);
}

static void test_long_names(void **state)
{
	KIST_STR struct kist_str name = { 0 };
	struct packet q, p;
	ssize_t r;

	(void)state;
	/* 255 bytes on the wire are the most there can be. */
	for (unsigned i = 0; i < 126; i++)
		kist_str_add(&name, "a.");
	kist_str_add(&name, "b");
	q = query(kist_str_get(&name), A);
	assert_int_equal(q.len, 12 + 255 + 4);
	ask_full(&q, false, true, &r);
	assert_int_equal(r, 0);
	kist_str_add(&name, "b");
	q = query(kist_str_get(&name), A);
	p = ask_full(&q, false, true, &r);
	assert_int_equal(code(&p), FORMERR);
}

static void test_matching_answers(void **state)
{
	struct packet q = query("example.org", A), a = q;

	(void)state;
	a.data[2] |= 0x80;
	assert_true(kist_dns_matches(q.data, q.len, a.data, a.len));
	a.data[13] = 'E';
	assert_true(kist_dns_matches(q.data, q.len, a.data, a.len));
	a.data[13] = 'f';
	assert_false(kist_dns_matches(q.data, q.len, a.data, a.len));
	a = q;
	assert_false(kist_dns_matches(q.data, q.len, a.data, a.len)); /* a query */
	a.data[2] |= 0x80;
	a.data[0]++;
	assert_false(kist_dns_matches(q.data, q.len, a.data, a.len)); /* another id */
	a = query("example.org", AAAA);
	a.data[2] |= 0x80;
	assert_false(kist_dns_matches(q.data, q.len, a.data, a.len));
	assert_false(kist_dns_matches(q.data, q.len, a.data, 11));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_no_data_and_no_name),
		cmocka_unit_test(test_foreign_names_are_forwarded),
		cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_edns_and_cutting),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_compressed_questions),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_matching_answers),
	};

	if (net_own() < 0) {
		perror("a network namespace of its own");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
