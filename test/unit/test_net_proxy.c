/* The proxy of ::1: streams both ways with their ends, datagrams, what it refuses. */
#include "test/unit/net_help.h"

#include "net/proxy.h"

#include <netinet/in.h>

#define BIG (3u << 20)

struct rig {
	struct kist_proxy *proxy;
	int reserved, server;
};

static struct sockaddr_in6 loopback6(const char *address, uint16_t port)
{
	struct sockaddr_in6 where = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET6, address, &where.sin6_addr), 1);
	return where;
}

static struct rig rig_make(uint8_t protocol, const char *own, const char *target)
{
	struct kist_net_addr addr = net_addr(own), to = net_addr(target);
	struct rig rig = { 0 };

	OK(kist_proxy_open(&rig.proxy, E));
	OK(kist_net_port_reserve(protocol, &addr, 8080, &rig.reserved, E));
	assert_int_equal(kist_proxy_add(rig.proxy, protocol, rig.reserved, NULL), 0);
	rig.server = net_server(-1, protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, target, 9090);
	kist_proxy_lead(rig.proxy, 0, &to, 9090);
	return rig;
}

static void rig_end(struct rig *rig)
{
	kist_proxy_close(rig->proxy);
	close(rig->reserved);
	close(rig->server);
}

/* One step of the proxy, when it has something to do within a moment. */
static void step(struct rig *rig)
{
	struct pollfd wait = { .fd = kist_proxy_fd(rig->proxy), .events = POLLIN };

	if (poll(&wait, 1, 20) > 0)
		kist_proxy_process(rig->proxy);
}

static bool readable(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, 0) > 0;
}

/* Steps until fd has something. */
static void until_readable(struct rig *rig, int fd)
{
	for (int i = 0; i < 500 && !readable(fd); i++)
		step(rig);
	assert_true(readable(fd));
}

static int client_open(const char *address)
{
	struct sockaddr_in6 where = loopback6(address, 8080);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static int server_accept(struct rig *rig)
{
	until_readable(rig, rig->server);
	int fd = accept4(rig->server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

/* All of it from one end to the other, which reads in turns with the writer and therefore slowly. */
static void transfer(struct rig *rig, int from, int to)
{
	static uint8_t out[BIG], in[BIG];
	size_t sent = 0, got = 0;

	for (size_t i = 0; i < BIG; i++)
		out[i] = (uint8_t)(i * 31 + i / 257);
	for (int i = 0; i < 100000 && got < BIG; i++) {
		ssize_t n = sent < BIG ? send(from, out + sent, BIG - sent, MSG_NOSIGNAL) : 0;
		sent += n > 0 ? (size_t)n : 0;
		step(rig);
		n = i % 3 ? 0 : recv(to, in + got, BIG - got, 0);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(got, BIG);
	assert_memory_equal(in, out, BIG);
}

static void check_stream(const char *own, const char *target)
{
	struct rig rig = rig_make(IPPROTO_TCP, own, target);
	int client = client_open("::1"), server = server_accept(&rig);
	char byte;

	transfer(&rig, client, server);
	transfer(&rig, server, client);
	/* The client has said all; the answer still comes. */
	shutdown(client, SHUT_WR);
	until_readable(&rig, server);
	assert_int_equal(recv(server, &byte, 1, 0), 0);
	assert_int_equal(send(server, "!", 1, 0), 1);
	close(server);
	until_readable(&rig, client);
	assert_int_equal(recv(client, &byte, 1, 0), 1);
	until_readable(&rig, client);
	assert_int_equal(recv(client, &byte, 1, 0), 0);
	close(client);
	rig_end(&rig);
}

static void test_streams(void **state)
{
	(void)state;
	check_stream("::1", "127.0.0.1");
	check_stream("::", "::1");
}

static void reset(struct rig *rig, int client)
{
	char byte;

	until_readable(rig, client);
	assert_int_equal(recv(client, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(client);
}

static void test_what_is_refused(void **state)
{
	struct rig rig = rig_make(IPPROTO_TCP, "::", "127.0.0.1");

	(void)state;
	/* Another address of the host than ::1. */
	free(net_run(-1, NULL, "ip addr add fd00:5::1/128 dev lo nodad"));
	reset(&rig, client_open("fd00:5::1"));
	assert_false(readable(rig.server));
	/* Nobody listens in the container, and then there is none. */
	close(rig.server);
	reset(&rig, client_open("::1"));
	kist_proxy_lead(rig.proxy, 0, NULL, 0);
	reset(&rig, client_open("::1"));
	rig.server = -1;
	rig_end(&rig);
}

static void test_many_clients(void **state)
{
	enum { N = 700 };
	struct rig rig = rig_make(IPPROTO_TCP, "::1", "127.0.0.1");
	int clients[N], server;
	char byte;

	(void)state;
	/* More than it serves at once: the others wait, and come when there is place again. Each ends after one byte.
	 */
	for (int done = 0; done < N;) {
		int batch = N - done < 100 ? N - done : 100;
		for (int i = 0; i < batch; i++)
			clients[i] = client_open("::1");
		for (int i = 0; i < batch; i++) {
			server = server_accept(&rig);
			assert_int_equal(send(server, "x", 1, 0), 1);
			close(server);
		}
		for (int i = 0; i < batch; i++) {
			until_readable(&rig, clients[i]);
			assert_int_equal(recv(clients[i], &byte, 1, 0), 1);
			close(clients[i]);
		}
		done += batch;
	}
	rig_end(&rig);
}

static void test_datagrams(void **state)
{
	struct rig rig = rig_make(IPPROTO_UDP, "::", "127.0.0.1");
	struct sockaddr_in6 where = loopback6("::1", 8080);
	char text[16];

	(void)state;
	/* More clients than there are places: the oldest make room. */
	for (int i = 0; i < 100; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		int client = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(client, (struct sockaddr *)&where, sizeof(where)), 0);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(send(client, "ask", 3, 0), 3);
			until_readable(&rig, rig.server);
			assert_int_equal(recvfrom(rig.server, text, sizeof(text), 0, (struct sockaddr *)&from, &len),
			                 3);
			assert_int_equal(sendto(rig.server, "answer", 6, 0, (struct sockaddr *)&from, len), 6);
			until_readable(&rig, client);
			assert_int_equal(recv(client, text, sizeof(text), 0), 6);
		}
		close(client);
	}
	rig_end(&rig);
}

static int setup(void **state)
{
	(void)state;
	return net_own();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_datagrams),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
