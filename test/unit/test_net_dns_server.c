/* DNS: the server on real sockets, and what it forwards. */
#include "dns_help.h"

/* --- the server
 * -----------------------------------------------------------------------------------------------------------
 */

#define PORT 5300

struct fixture {
	struct kist_dns *dns;
	int udp;         /* a client */
	int upstream[2]; /* servers at 127.0.0.2 and .3 */
	int upstream_tcp;
};

static int setup_with(void **state, size_t n_servers, int timeout_ms)
{
	struct fixture *f = kist_alloc(sizeof(*f));
	struct kist_dns_server servers[2] = { { net_addr("127.0.0.2"), PORT }, { net_addr("127.0.0.3"), PORT } };
	struct kist_dns_options options = {
		.source = source, .servers = servers, .n_servers = n_servers, .port = PORT, .timeout_ms = timeout_ms
	};
	struct sockaddr_storage where;
	socklen_t len = net_sockaddr(KIST_DNS_ADDRESS, PORT, &where);

	OK(kist_dns_open(&options, -1, &f->dns, E));
	f->udp = net_socket(-1, AF_INET, SOCK_DGRAM);
	assert_int_equal(connect(f->udp, (struct sockaddr *)&where, len), 0);
	f->upstream[0] = net_server(-1, SOCK_DGRAM, "127.0.0.2", PORT);
	f->upstream[1] = net_server(-1, SOCK_DGRAM, "127.0.0.3", PORT);
	f->upstream_tcp = net_server(-1, SOCK_STREAM, "127.0.0.2", PORT);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, 2, 200);
}

static int setup_alone(void **state)
{
	return setup_with(state, 0, 200);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kist_dns_close(f->dns);
	close(f->udp);
	close(f->upstream[0]);
	close(f->upstream[1]);
	close(f->upstream_tcp);
	free(f);
	return 0;
}

/* Lets the server work until fd is readable. */
static bool wait_for(struct fixture *f, int fd, int ms)
{
	double end = net_ms() + ms;

	for (;;) {
		struct pollfd both[2] = { { .fd = fd, .events = POLLIN },
			                  { .fd = kist_dns_fd(f->dns), .events = POLLIN } };
		int left = (int)(end - net_ms());

		if (left < 0 || poll(both, 2, left) < 1)
			return false;
		if (both[1].revents)
			kist_dns_process(f->dns);
		if (both[0].revents)
			return true;
	}
}

static void send_query(struct fixture *f, const struct packet *q)
{
	assert_int_equal(send(f->udp, q->data, q->len, 0), (ssize_t)q->len);
}

static struct packet receive(struct fixture *f, int ms)
{
	struct packet p = { .len = 0 };

	if (!wait_for(f, f->udp, ms))
		return p;
	ssize_t n = recv(f->udp, p.data, sizeof(p.data), 0);
	assert_true(n >= 12);
	p.len = (size_t)n;
	return p;
}

/* What arrives at a server, and from whom. */
static struct packet at_upstream(struct fixture *f, unsigned which, struct sockaddr_storage *from)
{
	socklen_t len = sizeof(*from);
	struct packet p = { .len = 0 };

	assert_true(wait_for(f, f->upstream[which], 2000));
	ssize_t n = recvfrom(f->upstream[which], p.data, sizeof(p.data), 0, (struct sockaddr *)from, &len);
	assert_true(n > 12);
	p.len = (size_t)n;
	return p;
}

static void reply(struct fixture *f, unsigned which, const struct sockaddr_storage *to, struct packet p, unsigned rcode)
{
	static const uint8_t record[] = { 0xc0, 12, 0, A, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 55 };

	p.data[2] |= 0x80;
	p.data[3] = (uint8_t)(0x80 | rcode);
	if (rcode == NOERROR) {
		p.data[7] = 1;
		put(&p, record, sizeof(record));
	}
	assert_int_equal(
	        sendto(f->upstream[which], p.data, p.len, 0, (const struct sockaddr *)to, sizeof(struct sockaddr_in)),
	        (ssize_t)p.len);
}

static void test_over_udp(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("web", A), p;

	send_query(f, &q);
	p = receive(f, 1000);
	assert_int_equal(answers(&p), 1);
	expect_address(&p, 0, "10.88.0.2");
	/* Rubbish is passed over. */
	assert_int_equal(send(f->udp, "x", 1, 0), 1);
	assert_int_equal(send(f->udp, "", 0, 0), 0);
	send_query(f, &q);
	p = receive(f, 1000);
	assert_int_equal(answers(&p), 1);
	p = receive(f, 50);
	assert_int_equal(p.len, 0);
}

static int tcp_client(struct fixture *f)
{
	(void)f;
	int fd = net_connect_tcp(-1, KIST_DNS_ADDRESS, PORT, 1000);

	assert_true(fd >= 0);
	return fd;
}

static void tcp_send(int fd, const struct packet *q, size_t piece)
{
	uint8_t all[4098] = { (uint8_t)(q->len >> 8), (uint8_t)q->len };

	memcpy(all + 2, q->data, q->len);
	for (size_t at = 0; at < q->len + 2; at += piece) {
		size_t n = q->len + 2 - at < piece ? q->len + 2 - at : piece;

		assert_int_equal(send(fd, all + at, n, MSG_NOSIGNAL), (ssize_t)n);
	}
}

static struct packet tcp_receive(struct fixture *f, int fd)
{
	uint8_t all[4098];
	struct packet p = { .len = 0 };
	size_t have = 0;

	while (have < 2 || have < 2 + get16(all)) {
		if (!wait_for(f, fd, 2000))
			return p;
		ssize_t n = recv(fd, all + have, have < 2 ? 2 - have : 2 + get16(all) - have, 0);
		if (n <= 0)
			return p;
		have += (size_t)n;
	}
	p.len = have - 2;
	memcpy(p.data, all + 2, p.len);
	return p;
}

static void test_over_tcp(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("crowd", A), other = query("web", A), p;
	int fd = tcp_client(f);

	tcp_send(fd, &q, 4096);
	p = tcp_receive(f, fd);
	assert_int_equal(answers(&p), 64);
	/* More than one, in pieces, and one behind the other. */
	tcp_send(fd, &other, 1);
	tcp_send(fd, &q, 7);
	p = tcp_receive(f, fd);
	assert_int_equal(answers(&p), 1);
	p = tcp_receive(f, fd);
	assert_int_equal(answers(&p), 64);
	close(fd);
	/* Lengths that are none end the connection. */
	fd = tcp_client(f);
	assert_int_equal(send(fd, "\0\0", 2, 0), 2);
	assert_true(wait_for(f, fd, 1000));
	assert_int_equal(recv(fd, &p, 1, 0), 0);
	close(fd);
	fd = tcp_client(f);
	assert_int_equal(send(fd, "\xff\xff", 2, 0), 2);
	assert_true(wait_for(f, fd, 1000));
	assert_int_equal(recv(fd, &p, 1, 0), 0);
	close(fd);
}

static void test_idle_clients_keep_nobody_out(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("web", A), p;
	int idle[100];

	for (size_t i = 0; i < KIST_COUNT(idle); i++) {
		idle[i] = tcp_client(f);
		for (unsigned k = 0; k < 3; k++)
			kist_dns_process(f->dns);
	}
	int fd = tcp_client(f);
	tcp_send(fd, &q, 4096);
	p = tcp_receive(f, fd);
	assert_int_equal(answers(&p), 1);
	close(fd);
	for (size_t i = 0; i < KIST_COUNT(idle); i++)
		close(idle[i]);
}

static void test_a_name_of_others(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), up, p;
	struct sockaddr_storage from;

	send_query(f, &q);
	up = at_upstream(f, 0, &from);
	assert_int_equal(up.len, q.len);
	assert_memory_equal(up.data + 2, q.data + 2, q.len - 2);
	reply(f, 0, &from, up, NOERROR);
	p = receive(f, 1000);
	assert_memory_equal(p.data, q.data, 2);
	assert_int_equal(answers(&p), 1);
	expect_address(&p, 0, "192.0.2.55");
}

static void test_ids_and_ports_are_random(void **state)
{
	struct fixture *f = *state;
	unsigned ids[20], ports[20], same = 0;

	for (unsigned i = 0; i < 20; i++) {
		struct packet q = query("example.org", A), up;
		struct sockaddr_storage from;

		q.data[0] = (uint8_t)i;
		send_query(f, &q);
		up = at_upstream(f, 0, &from);
		ids[i] = get16(up.data);
		ports[i] = ((struct sockaddr_in *)&from)->sin_port;
		reply(f, 0, &from, up, NOERROR);
		assert_int_equal(receive(f, 1000).data[0], i);
		for (unsigned k = 0; k < i; k++)
			same += (ids[k] == ids[i]) + (ports[k] == ports[i]);
	}
	assert_true(same < 4);
}

static void test_forgeries_are_passed_over(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), up, forged, p;
	struct sockaddr_storage from;

	send_query(f, &q);
	up = at_upstream(f, 0, &from);
	forged = up;
	forged.data[1] ^= 1;
	reply(f, 0, &from, forged, NOERROR); /* another id */
	forged = query("example.net", A);
	memcpy(forged.data, up.data, 2);
	reply(f, 0, &from, forged, NOERROR); /* another question */
	reply(f, 1, &from, up, NOERROR);     /* another server */
	p = receive(f, 50);
	assert_int_equal(p.len, 0);
	reply(f, 0, &from, up, NXDOMAIN);
	p = receive(f, 1000);
	assert_int_equal(code(&p), NXDOMAIN);
}

static void test_the_next_server(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), up, p;
	struct sockaddr_storage from;

	/* One that does not answer in time. */
	send_query(f, &q);
	at_upstream(f, 0, &from);
	up = at_upstream(f, 1, &from);
	reply(f, 1, &from, up, NOERROR);
	p = receive(f, 1000);
	assert_int_equal(answers(&p), 1);
	/* One that refuses. */
	send_query(f, &q);
	up = at_upstream(f, 0, &from);
	reply(f, 0, &from, up, REFUSED);
	up = at_upstream(f, 1, &from);
	reply(f, 1, &from, up, NOERROR);
	p = receive(f, 1000);
	assert_int_equal(answers(&p), 1);
	/* One that is not there: the kernel tells at once. */
	close(f->upstream[0]);
	double begin = net_ms();
	send_query(f, &q);
	up = at_upstream(f, 1, &from);
	assert_true(net_ms() - begin < 150);
	reply(f, 1, &from, up, NOERROR);
	p = receive(f, 1000);
	assert_int_equal(answers(&p), 1);
	f->upstream[0] = net_server(-1, SOCK_DGRAM, "127.0.0.2", PORT);
}

static void test_nobody_answers(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), p;
	double begin = net_ms();

	send_query(f, &q);
	p = receive(f, 5000);
	assert_int_equal(code(&p), SERVFAIL);
	assert_memory_equal(p.data, q.data, 2);
	/* Three tries of 200 ms. */
	assert_true(net_ms() - begin > 500 && net_ms() - begin < 3000);
	/* All refuse: the refusal is passed on. */
	struct sockaddr_storage from;
	struct packet up;
	free(net_run(-1, NULL, "true"));
	while (wait_for(f, f->upstream[0], 20))
		recv(f->upstream[0], &up, sizeof(up), 0);
	while (wait_for(f, f->upstream[1], 20))
		recv(f->upstream[1], &up, sizeof(up), 0);
	send_query(f, &q);
	up = at_upstream(f, 0, &from);
	reply(f, 0, &from, up, SERVFAIL);
	up = at_upstream(f, 1, &from);
	reply(f, 1, &from, up, REFUSED);
	p = receive(f, 1000);
	assert_int_equal(code(&p), REFUSED);
}

static void test_a_repeated_query_is_one(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), up, p;
	struct sockaddr_storage from;

	send_query(f, &q);
	send_query(f, &q);
	up = at_upstream(f, 0, &from);
	assert_false(wait_for(f, f->upstream[0], 30));
	reply(f, 0, &from, up, NOERROR);
	p = receive(f, 1000);
	assert_int_equal(answers(&p), 1);
}

static void test_a_cut_answer_and_tcp(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), up, p;
	struct sockaddr_storage from;
	int client, there;

	/* Over UDP the mark is passed on, */
	send_query(f, &q);
	up = at_upstream(f, 0, &from);
	up.data[2] |= 2;
	reply(f, 0, &from, up, NOERROR);
	p = receive(f, 1000);
	assert_true(is_cut(&p));
	/* and who asks again over TCP is asked for over TCP. */
	client = tcp_client(f);
	tcp_send(client, &q, 4096);
	assert_true(wait_for(f, f->upstream_tcp, 1000));
	there = accept4(f->upstream_tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(there >= 0);
	up = tcp_receive(f, there);
	assert_int_equal(up.len, q.len);
	static const uint8_t record[] = { 0xc0, 12, 0, A, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 55 };
	up.data[2] |= 0x80;
	up.data[6] = 0;
	for (unsigned i = 0; i < 200; i++, up.data[7]++)
		put(&up, record, sizeof(record));
	tcp_send(there, &up, 1000);
	p = tcp_receive(f, client);
	assert_int_equal(answers(&p), 200);
	assert_memory_equal(p.data, q.data, 2);
	/* A server that hangs up: the next one, which has no TCP, and then nobody. */
	tcp_send(client, &q, 4096);
	close(there);
	assert_true(wait_for(f, f->upstream_tcp, 1000));
	there = accept4(f->upstream_tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	close(there);
	/* The second try of the first server is taken, and left without an answer. */
	p = tcp_receive(f, client);
	assert_int_equal(code(&p), SERVFAIL);
	close(client);
}

static void test_a_client_that_leaves(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), own = query("web", A), up, p;
	int client = tcp_client(f), there;

	tcp_send(client, &q, 4096);
	assert_true(wait_for(f, f->upstream_tcp, 1000));
	there = accept4(f->upstream_tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	up = tcp_receive(f, there);
	/* Gone, by reset; another takes its place and must not get its answer. */
	struct linger reset = { .l_onoff = 1 };
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	client = tcp_client(f);
	for (unsigned i = 0; i < 5; i++)
		kist_dns_process(f->dns);
	up.data[2] |= 0x80;
	tcp_send(there, &up, 4096);
	tcp_send(client, &own, 4096);
	p = tcp_receive(f, client);
	assert_int_equal(answers(&p), 1);
	expect_address(&p, 0, "10.88.0.2");
	assert_false(wait_for(f, client, 50));
	close(client);
	close(there);
}

static void test_a_flood_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct packet q, p;
	unsigned failed = 0;

	for (unsigned i = 0; i < 150; i++) {
		KIST_FREE char *name = kist_asprintf("n%u.example.org", i);

		q = query(name, A);
		send_query(f, &q);
		kist_dns_process(f->dns);
	}
	while ((p = receive(f, 20)).len > 0)
		failed += code(&p) == SERVFAIL;
	assert_int_equal(failed, 150 - 64);
	/* Own names are answered all the while. */
	q = query("web", A);
	send_query(f, &q);
	p = receive(f, 100);
	assert_int_equal(answers(&p), 1);
}

static void test_without_servers(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), p;

	send_query(f, &q);
	p = receive(f, 500);
	assert_int_equal(code(&p), NXDOMAIN);
	/* They may come later. */
	struct kist_dns_server server = { net_addr("127.0.0.3"), PORT };
	struct sockaddr_storage from;
	kist_dns_set_servers(f->dns, &server, 1);
	send_query(f, &q);
	at_upstream(f, 1, &from);
}

static void test_in_a_namespace(void **state)
{
	struct kist_dns_server server = { net_addr("127.0.0.2"), PORT };
	struct kist_dns_options options = { .source = source, .servers = &server, .n_servers = 1, .port = PORT };
	struct fixture f = { .upstream = { net_server(-1, SOCK_DGRAM, "127.0.0.2", PORT), -1 } };
	struct kist_net *inside = NULL;
	struct kist_error err = { 0 };
	struct sockaddr_storage where, from;
	socklen_t len = net_sockaddr(KIST_DNS_ADDRESS, PORT, &where);
	struct packet q = query("web", AAAA), p;
	struct kist_dns *second;
	int ns = net_new();

	(void)state;
	OK(kist_net_open_container(ns, &inside, E));
	OK(kist_dns_open(&options, ns, &f.dns, E));
	f.udp = net_socket(ns, AF_INET, SOCK_DGRAM);
	assert_int_equal(connect(f.udp, (struct sockaddr *)&where, len), 0);
	send_query(&f, &q);
	p = receive(&f, 1000);
	expect_address(&p, 0, "fd12::2");
	/* Others are asked from the caller's namespace. */
	q = query("example.org", A);
	send_query(&f, &q);
	p = at_upstream(&f, 0, &from);
	reply(&f, 0, &from, p, NOERROR);
	p = receive(&f, 1000);
	assert_int_equal(answers(&p), 1);
	/* A name server of the container's own, for all addresses, may be there too. */
	int own = net_socket(ns, AF_INET, SOCK_STREAM), one = 1;
	struct sockaddr_storage any;
	socklen_t any_len = net_sockaddr("0.0.0.0", PORT, &any);
	setsockopt(own, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	assert_int_equal(bind(own, (struct sockaddr *)&any, any_len), 0);
	assert_int_equal(listen(own, 5), 0);
	close(own);
	/* An error names what could not be bound: another user's socket without sharing. */
	int hog = net_socket(ns, AF_INET, SOCK_DGRAM);
	struct sockaddr_storage taken;
	socklen_t taken_len = net_sockaddr(KIST_DNS_ADDRESS, 5400, &taken);
	assert_int_equal(bind(hog, (struct sockaddr *)&taken, taken_len), 0);
	options.port = 5400;
	assert_int_equal(kist_dns_open(&options, ns, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "127.0.0.11:5400/udp"));
	close(hog);
	kist_dns_close(f.dns);
	kist_net_close(inside);
	close(f.udp);
	close(f.upstream[0]);
	close(ns);
}

/* An idle server sleeps: nothing is readable, no timer runs. */
static void test_an_idle_server_sleeps(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("example.org", A), up;
	struct sockaddr_storage from;

	assert_false(net_wait(kist_dns_fd(f->dns), POLLIN, 50));
	send_query(f, &q);
	up = at_upstream(f, 0, &from);
	reply(f, 0, &from, up, NOERROR);
	receive(f, 1000);
	assert_false(net_wait(kist_dns_fd(f->dns), POLLIN, 400));
}

static void test_twenty_thousand_names_a_second(void **state)
{
	struct fixture *f = *state;
	struct packet q = query("web", A), p;
	unsigned done = 0;
	double begin = net_ms();

	/* As resolvers do it: one at a time, with a wake-up each. */
	while (net_ms() - begin < 300) {
		for (unsigned i = 0; i < 50; i++, done++) {
			send_query(f, &q);
			p = receive(f, 1000);
			assert_int_equal(answers(&p), 1);
		}
	}
	print_message("%.0f names a second\n", done / (net_ms() - begin) * 1000);
	assert_true(done > 300);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_over_udp),
		TEST(test_over_tcp),
		TEST(test_idle_clients_keep_nobody_out),
		TEST(test_a_name_of_others),
		TEST(test_ids_and_ports_are_random),
		TEST(test_forgeries_are_passed_over),
		TEST(test_the_next_server),
		TEST(test_nobody_answers),
		TEST(test_a_repeated_query_is_one),
		TEST(test_a_cut_answer_and_tcp),
		TEST(test_a_client_that_leaves),
		TEST(test_a_flood_is_bounded),
		cmocka_unit_test_setup_teardown(test_without_servers, setup_alone, teardown),
		cmocka_unit_test(test_in_a_namespace),
		TEST(test_an_idle_server_sleeps),
		TEST(test_twenty_thousand_names_a_second),
	};

	if (net_own() < 0) {
		perror("a network namespace of its own");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
