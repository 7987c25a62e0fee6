/* Host ports: free or not, kept, and who has them. */
#include "test/unit/child.h"
#include "test/unit/net_help.h"

#include <netinet/in.h>

static const char any4[] = "0.0.0.0", any6[] = "::";

static int reserve(uint8_t protocol, const char *address, uint16_t port, int *fd)
{
	struct kist_net_addr addr = net_addr(address);

	return kist_net_port_reserve(protocol, &addr, port, fd, NULL);
}

static void taken(uint8_t protocol, const char *address, uint16_t port, const char *says)
{
	struct kist_net_addr addr = net_addr(address);
	struct kist_error err = { 0 };

	assert_int_equal(kist_net_port_reserve(protocol, &addr, port, NULL, &err), -EADDRINUSE);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	if (!strstr(err.text, "is in use") || !strstr(err.text, says))
		fail_msg("'%s' says nothing of '%s'", err.text, says);
}

static void test_a_free_port(void **state)
{
	(void)state;
	assert_int_equal(reserve(IPPROTO_TCP, any4, 8080, NULL), 8080);
	assert_int_equal(reserve(IPPROTO_TCP, any4, 8080, NULL), 8080);
	assert_int_equal(reserve(IPPROTO_UDP, any6, 8080, NULL), 8080);
	assert_int_equal(reserve(IPPROTO_SCTP, any4, 8080, NULL), 8080);
	assert_true(reserve(IPPROTO_TCP, "127.0.0.1", 0, NULL) > 1023);
}

static void test_a_listener_is_named(void **state)
{
	KIST_FREE char *own = kist_asprintf("%.15s (pid %d)", program_invocation_short_name, getpid());
	KIST_FREE char *whole = kist_asprintf("port 0.0.0.0:8080/tcp is in use by %s", own);
	int tcp = net_server(-1, SOCK_STREAM, any4, 8080), udp = net_server(-1, SOCK_DGRAM, "127.0.0.1", 8081);
	int tcp6 = net_server(-1, SOCK_STREAM, "::1", 8082);

	(void)state;
	taken(IPPROTO_TCP, any4, 8080, own);
	taken(IPPROTO_TCP, any4, 8080, whole);
	taken(IPPROTO_TCP, "127.0.0.1", 8080, own);
	taken(IPPROTO_UDP, any4, 8081, own);
	taken(IPPROTO_TCP, any6, 8082, own);
	taken(IPPROTO_TCP, "::1", 8082, "[::1]:8082/tcp");
	/* Another address, protocol or family is free. */
	assert_int_equal(reserve(IPPROTO_UDP, "127.0.0.2", 8081, NULL), 8081);
	assert_int_equal(reserve(IPPROTO_UDP, any4, 8080, NULL), 8080);
	assert_int_equal(reserve(IPPROTO_TCP, any6, 8080, NULL), 8080);
	close(tcp);
	close(udp);
	close(tcp6);
	assert_int_equal(reserve(IPPROTO_TCP, any4, 8080, NULL), 8080);
}

static void test_a_socket_for_both_families(void **state)
{
	struct sockaddr_storage where;
	socklen_t len = net_sockaddr(any6, 8083, &where);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), zero = 0;

	(void)state;
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	assert_int_equal(bind(fd, (struct sockaddr *)&where, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	taken(IPPROTO_TCP, any4, 8083, program_invocation_short_name);
	close(fd);
}

static void test_a_reserved_port_is_kept(void **state)
{
	int tcp = -1, udp = -1, tcp6 = -1;

	(void)state;
	assert_int_equal(reserve(IPPROTO_TCP, any4, 8080, &tcp), 8080);
	assert_int_equal(reserve(IPPROTO_UDP, any4, 8080, &udp), 8080);
	assert_int_equal(reserve(IPPROTO_TCP, any6, 8080, &tcp6), 8080);
	assert_true(tcp >= 0 && udp >= 0 && tcp6 >= 0);
	assert_true(fcntl(tcp, F_GETFD) & FD_CLOEXEC);
	/* From us, and from others. */
	taken(IPPROTO_TCP, any4, 8080, "8080/tcp");
	taken(IPPROTO_TCP, "127.0.0.1", 8080, "8080/tcp");
	taken(IPPROTO_UDP, any4, 8080, "8080/udp");
	taken(IPPROTO_TCP, any6, 8080, "8080/tcp");
	struct sockaddr_storage where;
	socklen_t len = net_sockaddr(any4, 8080, &where);
	int fd = net_socket(-1, AF_INET, SOCK_STREAM), one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_true(bind(fd, (struct sockaddr *)&where, len) < 0 || listen(fd, 1) < 0);
	assert_int_equal(errno, EADDRINUSE);
	close(fd);
	/* Whoever comes by is refused, not kept waiting. */
	assert_int_equal(net_connect_tcp(-1, "127.0.0.1", 8080, 1000), -ECONNREFUSED);
	close(tcp);
	close(udp);
	close(tcp6);
	assert_int_equal(reserve(IPPROTO_TCP, any4, 8080, NULL), 8080);
}

static void test_datagrams_to_a_reserved_port_are_dropped(void **state)
{
	int udp = -1, client = net_socket(-1, AF_INET, SOCK_DGRAM);
	struct sockaddr_storage where;
	socklen_t len = net_sockaddr("127.0.0.1", 8084, &where);

	(void)state;
	assert_int_equal(reserve(IPPROTO_UDP, any4, 8084, &udp), 8084);
	assert_int_equal(sendto(client, "x", 1, 0, (struct sockaddr *)&where, len), 1);
	assert_false(net_wait(udp, POLLIN, 50));
	close(udp);
	close(client);
}

/* A server that has just ended leaves connections in TIME_WAIT, which are nobody's. */
static void test_old_connections_are_no_hindrance(void **state)
{
	int server = net_server(-1, SOCK_STREAM, any4, 8085), client, there, fd = -1;

	(void)state;
	client = net_connect_tcp(-1, "127.0.0.1", 8085, 1000);
	assert_true(client >= 0 && net_wait(server, POLLIN, 1000));
	there = accept(server, NULL, NULL);
	assert_true(there >= 0);
	close(there); /* the server closes first: TIME_WAIT is at its port */
	close(client);
	close(server);
	assert_true(net_says(-1, "cat /proc/net/tcp", ":1F95"));
	assert_int_equal(reserve(IPPROTO_TCP, any4, 8085, &fd), 8085);
	close(fd);
}

static void test_addresses_that_are_not_ours(void **state)
{
	struct kist_net_addr addr = net_addr("192.0.2.99");
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_net_port_reserve(IPPROTO_TCP, &addr, 8080, NULL, &err), -EADDRNOTAVAIL);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	assert_non_null(strstr(err.text, "192.0.2.99 is no address of this host"));
}

static void test_random_ports(void **state)
{
	struct kist_net_addr addr = net_addr(any4);
	int fds[100];
	int first, again;

	(void)state;
	first = kist_net_port_random(IPPROTO_TCP, &addr, 100, fds, NULL);
	assert_true(first >= 32768 && first + 99 <= 60999);
	for (int i = 0; i < 100; i++)
		taken(IPPROTO_TCP, any4, (uint16_t)(first + i), "tcp");
	again = kist_net_port_random(IPPROTO_TCP, &addr, 1, NULL, NULL);
	assert_true(again < first || again > first + 99);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	assert_int_equal(reserve(IPPROTO_TCP, any4, (uint16_t)first, NULL), first);
	/* Also where the kernel has no sockets for the protocol. */
	assert_true(kist_net_port_random(IPPROTO_SCTP, &addr, 2, fds, NULL) >= 32768);
	close(fds[0]);
	close(fds[1]);
}

static void test_no_room_for_a_random_range(void **state)
{
	struct kist_net_addr addr = net_addr(any4);
	struct kist_error err = { 0 };

	(void)state;
	free(net_run(-1, NULL, "echo 40000 40009 > /proc/sys/net/ipv4/ip_local_port_range"));
	assert_true(kist_net_port_random(IPPROTO_TCP, &addr, 11, NULL, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	int first = kist_net_port_random(IPPROTO_TCP, &addr, 10, NULL, NULL);
	assert_int_equal(first, 40000);
	free(net_run(-1, NULL, "echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range"));
}

static void test_a_holder_with_a_hostile_name(void **state)
{
	struct kist_net_addr addr = net_addr(any4);
	int ready[2];
	char c;

	(void)state;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = child_fork();
	if (pid == 0) {
		FILE *comm = fopen("/proc/self/comm", "w");

		fputs("a\x1b[2J\nb)", comm);
		fclose(comm);
		net_server(-1, SOCK_STREAM, any4, 8086);
		(void)!write(ready[1], "r", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	KIST_FREE char *holder = kist_net_port_holder(IPPROTO_TCP, &addr, 8086);
	KIST_FREE char *expected = kist_asprintf("a?[2J?b) (pid %d)", pid);
	assert_string_equal(holder, expected);
	kill(pid, SIGKILL);
	kist_wait_pid(pid);
	assert_null(kist_net_port_holder(IPPROTO_TCP, &addr, 8087));
	close(ready[0]);
	close(ready[1]);
}

static void test_protocol_names(void **state)
{
	uint8_t protocol = 0;

	(void)state;
	assert_int_equal(kist_net_protocol_parse("TCP", &protocol), 0);
	assert_int_equal(protocol, IPPROTO_TCP);
	assert_int_equal(kist_net_protocol_parse("sctp", &protocol), 0);
	assert_string_equal(kist_net_protocol_name(protocol), "sctp");
	assert_int_equal(kist_net_protocol_parse("icmp", &protocol), -EINVAL);
	assert_int_equal(kist_net_protocol_parse(NULL, &protocol), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_free_port),
		cmocka_unit_test(test_a_listener_is_named),
		cmocka_unit_test(test_a_socket_for_both_families),
		cmocka_unit_test(test_a_reserved_port_is_kept),
		cmocka_unit_test(test_datagrams_to_a_reserved_port_are_dropped),
		cmocka_unit_test(test_old_connections_are_no_hindrance),
		cmocka_unit_test(test_addresses_that_are_not_ours),
		cmocka_unit_test(test_random_ports),
		cmocka_unit_test(test_no_room_for_a_random_range),
		cmocka_unit_test(test_a_holder_with_a_hostile_name),
		cmocka_unit_test(test_protocol_names),
	};

	if (net_own() < 0) {
		perror("a network namespace of its own");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
