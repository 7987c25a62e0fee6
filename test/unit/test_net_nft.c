/* The nftables table under real traffic: a host, a client in its LAN, containers on networks. 'nft list ruleset' tells
 * what is there.
 *
 *   client 192.0.2.2, 2001:db8::2 --- lan0 192.0.2.1, 2001:db8::1 (this process's namespace)
 *   a 10.88.0.2, b 10.88.0.3 on kist0 (with fd12::/64);  c 10.90.0.2 on kist1 */
#include "test/unit/child.h"
#include "test/unit/net_help.h"

#include <seccomp.h>

struct box {
	int ns;
	struct kist_net *inside;
	struct kist_net_addr addresses[2];
	struct kist_net_connection c;
};

struct fixture {
	struct kist_net *host;
	struct kist_net_network web, back;
	struct box a, b, c;
	int client;
	bool bridged; /* br_netfilter is in force: frames between containers meet the rules too */
};

static void box_open(struct fixture *f, struct box *box, const struct kist_net_network *network, const char *v4,
                     const char *v6)
{
	*box = (struct box){ .ns = net_new() };
	box->c = (struct kist_net_connection){ .network = network,
		                               .interface = "eth0",
		                               .addresses = box->addresses,
		                               .default_route4 = true,
		                               .default_route6 = true,
		                               .localhost = true };
	box->addresses[box->c.n_addresses++] = net_addr(v4);
	if (v6)
		box->addresses[box->c.n_addresses++] = net_addr(v6);
	OK(kist_net_open_container(box->ns, &box->inside, E));
	OK(kist_net_connect(f->host, box->inside, box->ns, &box->c, E));
	OK(kist_net_nft_add(f->host, network, NULL, 0, NULL, E));
}

static void box_close(struct box *box)
{
	if (box->inside)
		kist_net_close(box->inside);
	close(box->ns);
}

static void open_client(struct fixture *f)
{
	f->client = net_new();
	free(net_run(
	        f->client, NULL,
	        "ip link set lo up; ip link add name lan1 type veth peer name lan0 netns %d; "
	        "ip link set lan1 up; ip addr add 192.0.2.2/24 dev lan1; ip -6 addr add 2001:db8::2/64 dev lan1 nodad",
	        getpid()));
	free(net_run(-1, NULL,
	             "ip link set lan0 up; ip addr add 192.0.2.1/24 dev lan0; ip -6 addr add 2001:db8::1/64 dev lan0 "
	             "nodad"));
	/* As one who knows the host's inner networks would. */
	free(net_run(f->client, NULL,
	             "ip route add 10.0.0.0/8 via 192.0.2.1; ip -6 route add fd12::/64 via 2001:db8::1"));
}

/* Hosts with other engines on them have it, others not: what holds must hold on both. */
static void set_bridge_netfilter(bool on)
{
	free(net_run(-1, NULL,
	             "for f in /proc/sys/net/bridge/bridge-nf-call-iptables "
	             "/proc/sys/net/bridge/bridge-nf-call-ip6tables; do "
	             "[ ! -e $f ] || echo %d > $f; done",
	             on));
}

static int setup_with(void **state, bool bridged)
{
	struct fixture *f = kist_alloc(sizeof(*f));

	f->bridged = bridged;
	set_bridge_netfilter(bridged);

	f->web = net_network("web", "kist0");
	net_subnet(&f->web, "10.88.0.0/16", "10.88.0.1");
	net_subnet(&f->web, "fd12::/64", "fd12::1");
	f->back = net_network("back", "kist1");
	net_subnet(&f->back, "10.90.0.0/24", "10.90.0.1");
	OK(kist_net_open(-1, &f->host, E));
	OK(kist_net_nft_remove_all(f->host, E));
	open_client(f);
	box_open(f, &f->a, &f->web, "10.88.0.2", "fd12::2");
	box_open(f, &f->b, &f->web, "10.88.0.3", "fd12::3");
	box_open(f, &f->c, &f->back, "10.90.0.2", NULL);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, false);
}

static int setup_bridged(void **state)
{
	return setup_with(state, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	OK(kist_net_nft_remove_all(f->host, E));
	box_close(&f->a);
	box_close(&f->b);
	box_close(&f->c);
	free(net_run(-1, NULL, "ip link del lan0"));
	close(f->client);
	OK(kist_net_bridge_remove(f->host, &f->web, E));
	OK(kist_net_bridge_remove(f->host, &f->back, E));
	kist_net_close(f->host);
	kist_net_network_release(&f->web);
	kist_net_network_release(&f->back);
	free(f);
	return 0;
}

static struct kist_net_publish publish(const char *host, uint16_t host_port, const char *container, uint16_t port)
{
	return (struct kist_net_publish){ .protocol = IPPROTO_TCP,
		                          .host = net_addr(host),
		                          .host_port = host_port,
		                          .container = net_addr(container),
		                          .container_port = port };
}

static void add(struct fixture *f, const struct kist_net_publish *ports, size_t n)
{
	OK(kist_net_nft_add(f->host, &f->web, ports, n, NULL, E));
}

static char *ruleset(void)
{
	return net_run(-1, NULL, "nft list ruleset");
}

static void not_reached(int ns, int server, const char *address, uint16_t port)
{
	int fd = net_connect_tcp(ns, address, port, 300);

	if (fd >= 0 && net_wait(server, POLLIN, 200))
		fail_msg("%s:%u is reached", address, port);
	if (fd >= 0)
		close(fd);
}

/* --- published ports
 * --------------------------------------------------------------------------------------------------
 */

static void test_a_port_of_all_addresses(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish ports[] = { publish("0.0.0.0", 8080, "10.88.0.2", 80),
		                            publish("::", 8080, "fd12::2", 80) };
	int v4 = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 80), v6 = net_server(f->a.ns, SOCK_STREAM, "::", 80);

	not_reached(f->client, v4, "192.0.2.1", 8080);
	add(f, ports, 2);
	/* From outside the client is seen as it is. */
	net_reaches(f->client, v4, "192.0.2.1", 8080, "192.0.2.2");
	net_reaches(f->client, v6, "2001:db8::1", 8080, "2001:db8::2");
	/* From the host, by each of its addresses. */
	net_reaches(-1, v4, "127.0.0.1", 8080, "10.88.0.1");
	net_reaches(-1, v4, "127.1.2.3", 8080, "10.88.0.1");
	net_reaches(-1, v4, "192.0.2.1", 8080, "192.0.2.1");
	net_reaches(-1, v4, "10.88.0.1", 8080, "10.88.0.1");
	/* The proxy's: see net/proxy.h. */
	not_reached(-1, v6, "::1", 8080);
	net_reaches(-1, v6, "2001:db8::1", 8080, NULL);
	/* From a neighbour, from itself, and from another network. */
	net_reaches(f->b.ns, v4, "192.0.2.1", 8080, "10.88.0.1");
	net_reaches(f->b.ns, v6, "2001:db8::1", 8080, "fd12::1");
	net_reaches(f->a.ns, v4, "192.0.2.1", 8080, "10.88.0.1");
	net_reaches(f->c.ns, v4, "192.0.2.1", 8080, NULL);
	net_reaches(f->b.ns, v4, "10.88.0.1", 8080, "10.88.0.1");
	/* And no longer. */
	OK(kist_net_nft_remove(f->host, ports, 2, E));
	not_reached(f->client, v4, "192.0.2.1", 8080);
	not_reached(-1, v4, "127.0.0.1", 8080);
	not_reached(-1, v6, "::1", 8080);
	close(v4);
	close(v6);
}

static void test_a_port_of_one_address(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish local = publish("127.0.0.1", 8081, "10.88.0.2", 80);
	struct kist_net_publish lan = publish("192.0.2.1", 8082, "10.88.0.2", 80);
	struct kist_net_publish v6 = publish("2001:db8::1", 8083, "fd12::2", 81);
	int server = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 80),
	    server6 = net_server(f->a.ns, SOCK_STREAM, "::", 81);

	add(f, &local, 1);
	add(f, &lan, 1);
	add(f, &v6, 1);
	net_reaches(-1, server, "127.0.0.1", 8081, "10.88.0.1");
	not_reached(-1, server, "127.0.0.2", 8081);
	not_reached(-1, server, "192.0.2.1", 8081);
	not_reached(f->client, server, "192.0.2.1", 8081);
	net_reaches(f->client, server, "192.0.2.1", 8082, "192.0.2.2");
	not_reached(-1, server, "127.0.0.1", 8082);
	net_reaches(f->client, server6, "2001:db8::1", 8083, "2001:db8::2");
	not_reached(-1, server6, "::1", 8083);
	close(server);
	close(server6);
}

static void test_one_address_wins_over_all(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish all = publish("0.0.0.0", 8080, "10.88.0.2", 80);
	struct kist_net_publish one = publish("192.0.2.1", 8080, "10.88.0.3", 80);
	int a = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 80), b = net_server(f->b.ns, SOCK_STREAM, "0.0.0.0", 80);

	add(f, &all, 1);
	add(f, &one, 1);
	net_reaches(f->client, b, "192.0.2.1", 8080, "192.0.2.2");
	net_reaches(-1, a, "127.0.0.1", 8080, "10.88.0.1");
	close(a);
	close(b);
}

static void test_udp(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish ports[] = { publish("0.0.0.0", 5353, "10.88.0.2", 53),
		                            publish("::", 5353, "fd12::2", 53) };
	int v4 = net_server(f->a.ns, SOCK_DGRAM, "0.0.0.0", 53), v6 = net_server(f->a.ns, SOCK_DGRAM, "::", 53);

	ports[0].protocol = ports[1].protocol = IPPROTO_UDP;
	add(f, ports, 2);
	KIST_FREE char *lan = net_talk_udp(f->client, v4, "192.0.2.1", 5353);
	assert_string_equal(lan, "192.0.2.2");
	KIST_FREE char *lan6 = net_talk_udp(f->client, v6, "2001:db8::1", 5353);
	assert_string_equal(lan6, "2001:db8::2");
	KIST_FREE char *local = net_talk_udp(-1, v4, "127.0.0.1", 5353);
	assert_string_equal(local, "10.88.0.1");
	KIST_FREE char *hairpin = net_talk_udp(f->b.ns, v4, "192.0.2.1", 5353);
	assert_string_equal(hairpin, "10.88.0.1");
	/* TCP is another matter. */
	int tcp = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 53);
	not_reached(f->client, tcp, "192.0.2.1", 5353);
	close(tcp);
	close(v4);
	close(v6);
}

static void test_sctp_is_an_element_like_others(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish port = publish("0.0.0.0", 9899, "10.88.0.2", 99);

	port.protocol = IPPROTO_SCTP;
	add(f, &port, 1);
	assert_true(net_says(-1, "nft list map inet kist ports4_any", "sctp . 9899 : 10.88.0.2 . 99"));
}

/* A client that never pauses keeps its tracked flow alive, and would keep the answer it got first. */
static void test_udp_clients_follow_at_once(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish to_a = publish("0.0.0.0", 5353, "10.88.0.2", 53);
	struct kist_net_publish to_b = publish("0.0.0.0", 5353, "10.88.0.3", 53);
	int a = net_server(f->a.ns, SOCK_DGRAM, "0.0.0.0", 53), b = net_server(f->b.ns, SOCK_DGRAM, "0.0.0.0", 53);
	int client = net_socket(f->client, AF_INET, SOCK_DGRAM);
	struct sockaddr_storage where;
	socklen_t len = net_sockaddr("192.0.2.1", 5353, &where);
	/* Somebody takes it at first, so that it is an ordinary flow of the host's. */
	int host = net_server(-1, SOCK_DGRAM, "0.0.0.0", 5353);
	char buffer[8];

	to_a.protocol = to_b.protocol = IPPROTO_UDP;
	assert_int_equal(connect(client, (struct sockaddr *)&where, len), 0);
	assert_int_equal(send(client, "1", 1, 0), 1);
	assert_true(net_wait(host, POLLIN, 1000));
	add(f, &to_a, 1);
	assert_int_equal(send(client, "2", 1, 0), 1);
	assert_true(net_wait(a, POLLIN, 1000));
	assert_int_equal(recv(a, buffer, sizeof(buffer), 0), 1);
	OK(kist_net_nft_remove(f->host, &to_a, 1, E));
	add(f, &to_b, 1);
	assert_int_equal(send(client, "3", 1, 0), 1);
	assert_true(net_wait(b, POLLIN, 1000));
	assert_false(net_wait(a, POLLIN, 50));
	/* The same after somebody took the element away: nothing else tells that flows were let through meanwhile. */
	free(net_run(-1, NULL, "nft delete element inet kist ports4_any '{ udp . 5353 }'"));
	int other = net_socket(f->client, AF_INET, SOCK_DGRAM);
	assert_int_equal(connect(other, (struct sockaddr *)&where, len), 0);
	assert_int_equal(recv(host, buffer, sizeof(buffer), MSG_DONTWAIT), 1);
	assert_int_equal(send(other, "4", 1, 0), 1);
	assert_true(net_wait(host, POLLIN, 1000));
	assert_int_equal(recv(b, buffer, sizeof(buffer), 0), 1);
	add(f, &to_b, 1);
	add(f, &to_b, 1);
	assert_int_equal(send(other, "5", 1, 0), 1);
	assert_true(net_wait(b, POLLIN, 1000));
	close(other);
	close(a);
	close(b);
	close(host);
	close(client);
}

static void test_a_thousand_ports(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish range = publish("0.0.0.0", 20000, "10.88.0.2", 30000);
	static const uint16_t some[] = { 0, 1, 499, 500, 998, 999 };

	range.count = 1000;
	double t0 = net_ms();
	add(f, &range, 1);
	double t1 = net_ms();
	for (size_t i = 0; i < KIST_COUNT(some); i++) {
		int server = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", (uint16_t)(30000 + some[i]));

		net_reaches(f->client, server, "192.0.2.1", (uint16_t)(20000 + some[i]), "192.0.2.2");
		close(server);
	}
	KIST_FREE char *count = net_run(-1, NULL, "nft list map inet kist ports4_any | grep -o 'tcp \\. ' | wc -l");
	assert_string_equal(count, "1000\n");
	double t2 = net_ms();
	OK(kist_net_nft_remove(f->host, &range, 1, E));
	print_message("1000 ports: add %.2f ms, remove %.2f ms\n", t1 - t0, net_ms() - t2);
	assert_false(net_says(-1, "nft list map inet kist ports4_any", "tcp"));
	/* All there are, in messages of 64 KiB at most each. */
	range = publish("0.0.0.0", 1, "10.88.0.2", 1);
	range.count = 65535;
	add(f, &range, 1);
	KIST_FREE char *all = net_run(-1, NULL, "nft list map inet kist ports4_any | grep -o 'tcp \\. ' | wc -l");
	assert_string_equal(all, "65535\n");
	OK(kist_net_nft_remove(f->host, &range, 1, E));
	assert_false(net_says(-1, "nft list map inet kist ports4_any", "tcp"));
}

/* --- what must not be reached
 * ------------------------------------------------------------------------------------------
 */

static void test_unpublished_ports(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish port = publish("0.0.0.0", 8080, "10.88.0.2", 80);
	int published = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 80),
	    other = net_server(f->a.ns, SOCK_STREAM, "::", 81);
	int other4 = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 81);

	add(f, &port, 1);
	/* The client has a route to the containers, and knows their addresses. */
	not_reached(f->client, published, "10.88.0.2", 80);
	not_reached(f->client, other4, "10.88.0.2", 81);
	not_reached(f->client, other, "fd12::2", 81);
	/* The host, neighbours and networks that are not isolated may. */
	net_reaches(-1, other4, "10.88.0.2", 81, "10.88.0.1");
	net_reaches(f->b.ns, other4, "10.88.0.2", 81, "10.88.0.3");
	net_reaches(f->c.ns, other4, "10.88.0.2", 81, NULL);
	close(published);
	close(other);
	close(other4);
}

static void test_going_out(void **state)
{
	struct fixture *f = *state;
	int v4 = net_server(f->client, SOCK_STREAM, "0.0.0.0", 80), v6 = net_server(f->client, SOCK_STREAM, "::", 80);

	net_reaches(f->a.ns, v4, "192.0.2.2", 80, "192.0.2.1");
	net_reaches(f->a.ns, v6, "2001:db8::2", 80, "2001:db8::1");
	net_reaches(f->c.ns, v4, "192.0.2.2", 80, "192.0.2.1");
	close(v4);
	close(v6);
}

static void isolate(struct fixture *f, int web, int back, bool internal)
{
	OK(kist_net_nft_remove_network(f->host, &f->web, E));
	OK(kist_net_nft_remove_network(f->host, &f->back, E));
	f->web.isolate = web;
	f->back.isolate = back;
	f->back.internal = internal;
	OK(kist_net_nft_add(f->host, &f->web, NULL, 0, NULL, E));
	OK(kist_net_nft_add(f->host, &f->back, NULL, 0, NULL, E));
}

static void test_isolation(void **state)
{
	struct fixture *f = *state;
	int a = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 80), c = net_server(f->c.ns, SOCK_STREAM, "0.0.0.0", 80);
	int outside = net_server(f->client, SOCK_STREAM, "0.0.0.0", 80);

	isolate(f, KIST_NET_ISOLATE_NO, KIST_NET_ISOLATE_NO, false);
	net_reaches(f->a.ns, c, "10.90.0.2", 80, NULL);
	net_reaches(f->c.ns, a, "10.88.0.2", 80, NULL);
	isolate(f, KIST_NET_ISOLATE_YES, KIST_NET_ISOLATE_NO, false);
	net_reaches(f->a.ns, c, "10.90.0.2", 80, NULL);
	net_reaches(f->c.ns, a, "10.88.0.2", 80, NULL);
	isolate(f, KIST_NET_ISOLATE_YES, KIST_NET_ISOLATE_YES, false);
	not_reached(f->a.ns, c, "10.90.0.2", 80);
	not_reached(f->c.ns, a, "10.88.0.2", 80);
	net_reaches(f->b.ns, a, "10.88.0.2", 80, "10.88.0.3");
	net_reaches(-1, a, "10.88.0.2", 80, "10.88.0.1");
	net_reaches(f->a.ns, outside, "192.0.2.2", 80, "192.0.2.1");
	isolate(f, KIST_NET_ISOLATE_STRICT, KIST_NET_ISOLATE_NO, false);
	not_reached(f->a.ns, c, "10.90.0.2", 80);
	not_reached(f->c.ns, a, "10.88.0.2", 80);
	net_reaches(f->a.ns, outside, "192.0.2.2", 80, "192.0.2.1");
	close(a);
	close(c);
	close(outside);
}

static void test_isolated_networks_do_not_meet_through_ports(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish port = publish("0.0.0.0", 8080, "10.88.0.2", 80);
	int a = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 80);

	isolate(f, KIST_NET_ISOLATE_YES, KIST_NET_ISOLATE_YES, false);
	add(f, &port, 1);
	not_reached(f->c.ns, a, "192.0.2.1", 8080);
	net_reaches(f->client, a, "192.0.2.1", 8080, "192.0.2.2");
	close(a);
}

static void test_internal_networks(void **state)
{
	struct fixture *f = *state;
	int a = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 80), c = net_server(f->c.ns, SOCK_STREAM, "0.0.0.0", 80);
	int outside = net_server(f->client, SOCK_STREAM, "0.0.0.0", 80);
	struct kist_net_publish port = publish("0.0.0.0", 8090, "10.90.0.2", 80);

	isolate(f, KIST_NET_ISOLATE_NO, KIST_NET_ISOLATE_NO, true);
	/* c still has its default route, as a container that adds one for itself. */
	not_reached(f->c.ns, outside, "192.0.2.2", 80);
	not_reached(f->c.ns, a, "10.88.0.2", 80);
	not_reached(f->a.ns, c, "10.90.0.2", 80);
	not_reached(f->client, c, "10.90.0.2", 80);
	OK(kist_net_nft_add(f->host, &f->back, &port, 1, NULL, E));
	not_reached(f->client, c, "192.0.2.1", 8090);
	net_reaches(-1, c, "10.90.0.2", 80, "10.90.0.1");
	close(a);
	close(c);
	close(outside);
}

/* CVE-2020-8558: route_localnet lets packets for 127.0.0.1 in from the bridge. */
static void test_the_hosts_loopback_is_out_of_reach(void **state)
{
	struct fixture *f = *state;
	int server = net_server(-1, SOCK_STREAM, "127.0.0.1", 5000);

	free(net_run(f->a.ns, NULL,
	             "ip addr del 127.0.0.1/8 dev lo; echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; "
	             "ip route add 127.0.0.1/32 via 10.88.0.1 src 10.88.0.2"));
	KIST_FREE char *guarded = net_talk_tcp(f->a.ns, server, "127.0.0.1", 5000);
	assert_null(guarded);
	/* The proof that it is the table which keeps it out. */
	free(net_run(-1, NULL, "nft flush chain inet kist guard"));
	net_reaches(f->a.ns, server, "127.0.0.1", 5000, "10.88.0.2");
	close(server);
}

/* --- elements
 * ---------------------------------------------------------------------------------------------------------
 */

static void test_adding_twice_and_removing_all(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish ports[] = { publish("0.0.0.0", 8080, "10.88.0.2", 80),
		                            publish("127.0.0.1", 81, "10.88.0.2", 81),
		                            publish("::", 8080, "fd12::2", 80), publish("::1", 81, "fd12::2", 81) };
	KIST_FREE char *before = ruleset();

	add(f, ports, 4);
	KIST_FREE char *once = ruleset();
	add(f, ports, 4);
	KIST_FREE char *twice = ruleset();
	assert_string_equal(once, twice);
	assert_non_null(strstr(once, "tcp . 8080 : 10.88.0.2 . 80"));
	assert_non_null(strstr(once, "tcp . 127.0.0.1 . 81 : 10.88.0.2 . 81"));
	assert_non_null(strstr(once, "tcp . 8080 : fd12::2 . 80"));
	assert_non_null(strstr(once, "tcp . ::1 . 81 : fd12::2 . 81"));
	OK(kist_net_nft_remove(f->host, ports, 4, E));
	KIST_FREE char *after = ruleset();
	assert_string_equal(before, after);
	OK(kist_net_nft_remove(f->host, ports, 4, E));
	OK(kist_net_nft_remove_network(f->host, &f->web, E));
	OK(kist_net_nft_remove_network(f->host, &f->web, E));
	assert_false(net_says(-1, "nft list ruleset", "\"kist0\""));
	assert_true(net_says(-1, "nft list ruleset", "\"kist1\""));
}

static void test_a_port_is_taken_by_one(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish mine = publish("0.0.0.0", 8080, "10.88.0.2", 80);
	struct kist_net_publish ports[] = { publish("0.0.0.0", 8079, "10.88.0.3", 79),
		                            publish("0.0.0.0", 8080, "10.88.0.3", 80) };
	struct kist_error err = { 0 };

	add(f, &mine, 1);
	assert_int_equal(kist_net_nft_add(f->host, &f->web, ports, 2, NULL, &err), -EADDRINUSE);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	assert_non_null(strstr(err.text, "8080/tcp"));
	assert_non_null(strstr(err.text, "10.88.0.2"));
	/* All or nothing. */
	assert_false(net_says(-1, "nft list ruleset", "8079"));
	/* Removing what is another's leaves it, and removes the rest. */
	add(f, ports, 1);
	OK(kist_net_nft_remove(f->host, ports, 2, E));
	assert_true(net_says(-1, "nft list ruleset", "tcp . 8080 : 10.88.0.2 . 80"));
	assert_false(net_says(-1, "nft list ruleset", "8079"));
}

static void test_bad_ports(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish bad[5];

	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		bad[i] = publish("0.0.0.0", 8080, "10.88.0.2", 80);
	bad[0].host_port = 0;
	bad[1].host_port = 65000;
	bad[1].count = 1000;
	bad[2].container = net_addr("fd12::2");
	bad[3].protocol = 250;
	bad[4].container_port = 65500;
	bad[4].count = 100;
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_error err = { 0 };

		assert_int_equal(kist_net_nft_add(f->host, &f->web, &bad[i], 1, NULL, &err), -EINVAL);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
	}
}

static void test_a_foreign_flush_is_seen_and_mended(void **state)
{
	static const char *const damages[] = {
		"nft flush ruleset", "nft delete table inet kist", "nft flush ruleset; nft add table inet kist",
		"nft flush chain inet kist publish; nft delete map inet kist ports4_any"
	};
	struct fixture *f = *state;
	struct kist_net_publish port = publish("0.0.0.0", 8080, "10.88.0.2", 80);
	int server = net_server(f->a.ns, SOCK_STREAM, "0.0.0.0", 80);
	bool restored = false;

	OK(kist_net_nft_add(f->host, &f->web, &port, 1, &restored, E));
	assert_false(restored);
	for (size_t i = 0; i < KIST_COUNT(damages); i++) {
		free(net_run(-1, NULL, "%s", damages[i]));
		not_reached(f->client, server, "192.0.2.1", 8080);
		OK(kist_net_nft_remove(f->host, &port, 1, E));
		restored = false;
		OK(kist_net_nft_add(f->host, &f->web, &port, 1, &restored, E));
		assert_true(restored);
		net_reaches(f->client, server, "192.0.2.1", 8080, "192.0.2.2");
		net_reaches(-1, server, "127.0.0.1", 8080, "10.88.0.1");
		assert_int_equal(kist_net_nft_mend(f->host, NULL), 0);
	}
	/* Adding an element does not show that. */
	free(net_run(-1, NULL, "nft flush table inet kist"));
	assert_int_equal(kist_net_nft_mend(f->host, NULL), 1);
	/* Elements stay: they may be another store's. */
	net_reaches(f->client, server, "192.0.2.1", 8080, "192.0.2.2");
	OK(kist_net_nft_add(f->host, &f->web, &port, 1, NULL, E));
	net_reaches(f->client, server, "192.0.2.1", 8080, "192.0.2.2");
	assert_int_equal(kist_net_nft_mend(f->host, NULL), 0);
	close(server);
}

static void test_tables_of_others_are_left(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish port = publish("0.0.0.0", 8080, "10.88.0.2", 80);

	free(net_run(-1, NULL,
	             "nft add table inet mine; nft add chain inet mine input '{ type filter hook input priority 0; }'; "
	             "nft add rule inet mine input tcp dport 22 accept"));
	KIST_FREE char *before = net_run(-1, NULL, "nft list table inet mine");
	add(f, &port, 1);
	/* Not while it has anything. */
	OK(kist_net_nft_remove_empty(f->host, E));
	assert_true(net_says(-1, "nft list tables", "inet kist"));
	OK(kist_net_nft_remove_all(f->host, E));
	OK(kist_net_nft_remove_all(f->host, E));
	OK(kist_net_nft_remove_empty(f->host, E));
	OK(kist_net_nft_add(f->host, &f->web, NULL, 0, NULL, E));
	OK(kist_net_nft_remove_network(f->host, &f->web, E));
	assert_true(net_says(-1, "nft list tables", "inet kist"));
	OK(kist_net_nft_remove_empty(f->host, E));
	assert_false(net_says(-1, "nft list tables", "inet kist"));
	KIST_FREE char *after = net_run(-1, NULL, "nft list ruleset");
	assert_string_equal(before, after);
	free(net_run(-1, NULL, "nft delete table inet mine"));
}

/* --- many at once
 * -----------------------------------------------------------------------------------------------------
 */

static int add_and_remove(const struct kist_net_network *network, unsigned process)
{
	struct kist_net *host;
	struct kist_error err = { 0 };

	if (kist_net_open(-1, &host, &err) < 0)
		return 1;
	for (uint16_t i = 0; i < 40; i++) {
		struct kist_net_publish port =
		        publish("0.0.0.0", (uint16_t)(1000 + process * 100 + i), "10.88.0.2", 80);

		if (kist_net_nft_add(host, network, &port, 1, NULL, &err) < 0 ||
		    (i % 2 && kist_net_nft_remove(host, &port, 1, &err) < 0)) {
			fprintf(stderr, "%s\n", err.text);
			return 2;
		}
	}
	kist_net_close(host);
	return 0;
}

static void test_many_processes_at_once(void **state)
{
	struct fixture *f = *state;
	pid_t pids[6];
	KIST_FREE char *rules_before = net_run(-1, NULL, "nft -a list table inet kist | grep -c handle");

	/* All of them find no table. */
	OK(kist_net_nft_remove_all(f->host, E));
	for (unsigned p = 0; p < KIST_COUNT(pids); p++) {
		pids[p] = child_fork();
		if (pids[p] == 0)
			_exit(add_and_remove(&f->web, p));
	}
	for (unsigned p = 0; p < KIST_COUNT(pids); p++)
		assert_int_equal(kist_wait_pid(pids[p]), 0);
	KIST_FREE char *count = net_run(-1, NULL, "nft list map inet kist ports4_any | grep -o 'tcp \\. ' | wc -l");
	assert_string_equal(count, "120\n");
	KIST_FREE char *rules_after = net_run(-1, NULL, "nft -a list table inet kist | grep -c handle");
	assert_string_equal(rules_before, rules_after);
}

/* --- a kernel without
 * ---------------------------------------------------------------------------------------------------
 */

static int without_netfilter(const struct kist_net_network *network)
{
	struct kist_net_publish port = publish("0.0.0.0", 8080, "10.88.0.2", 80);
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct kist_net *host;
	struct kist_error err = { 0 };
	int bad = 0;

	if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
	                     SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, 12 /* NETLINK_NETFILTER */)) < 0 ||
	    seccomp_load(filter) < 0)
		return 1;
	seccomp_release(filter);
	if (kist_net_open(-1, &host, NULL) < 0)
		return 2;
	/* The bridge works all the same. */
	if (kist_net_bridge_ensure(host, network, NULL) < 0)
		bad = 3;
	if (!bad && (kist_net_nft_supported(host) || kist_net_nft_add(host, network, &port, 1, NULL, &err) >= 0 ||
	             err.kind != KIST_ERR_UNSUPPORTED))
		bad = 4;
	kist_net_close(host);
	return bad;
}

static void test_a_kernel_without_netfilter(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(kist_net_nft_supported(f->host), 1);
	pid_t pid = child_fork();
	if (pid == 0)
		_exit(without_netfilter(&f->web));
	assert_int_equal(kist_wait_pid(pid), 0);
}

/* Without the right, the kernel refuses the whole transaction at its first message. */
static void test_without_the_right(void **state)
{
	struct fixture *f = *state;
	pid_t pid = child_fork();

	if (pid == 0) {
		struct kist_net *host;
		struct kist_error err = { 0 };

		if (setgid(65534) < 0 || setuid(65534) < 0 || kist_net_open(-1, &host, NULL) < 0)
			_exit(1);
		if (kist_net_nft_add(host, &f->web, NULL, 0, NULL, &err) != -EPERM || err.kind != KIST_ERR_SYSTEM)
			_exit(2);
		kist_net_close(host);
		_exit(0);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
}

/* --- cost
 * -------------------------------------------------------------------------------------------------------------
 */

static void test_one_port_is_quick(void **state)
{
	struct fixture *f = *state;
	struct kist_net_publish range = publish("0.0.0.0", 20000, "10.88.0.2", 20000);
	struct kist_net_publish port = publish("0.0.0.0", 8080, "10.88.0.2", 80);

	for (unsigned round = 0; round < 2; round++) {
		double best_add = 1e9, best_remove = 1e9;

		for (unsigned i = 0; i < 20; i++) {
			double t0 = net_ms();
			add(f, &port, 1);
			double t1 = net_ms();
			OK(kist_net_nft_remove(f->host, &port, 1, E));
			double t2 = net_ms();

			best_add = t1 - t0 < best_add ? t1 - t0 : best_add;
			best_remove = t2 - t1 < best_remove ? t2 - t1 : best_remove;
		}
		print_message("one port, %s others: add %.3f ms, remove %.3f ms\n", round ? "5000" : "no", best_add,
		              best_remove);
		assert_true(best_add < 20 && best_remove < 20);
		range.count = 5000;
		add(f, &range, 1);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define BRIDGED(name)                                                                                                  \
	{                                                                                                              \
#name " with br_netfilter", name, setup_bridged, teardown, NULL                                        \
	}
	const struct CMUnitTest tests[] = {
		BRIDGED(test_a_port_of_all_addresses),
		BRIDGED(test_udp),
		BRIDGED(test_unpublished_ports),
		BRIDGED(test_going_out),
		BRIDGED(test_isolation),
		BRIDGED(test_internal_networks),
		BRIDGED(test_the_hosts_loopback_is_out_of_reach),
		TEST(test_a_port_of_all_addresses),
		TEST(test_a_port_of_one_address),
		TEST(test_one_address_wins_over_all),
		TEST(test_udp),
		TEST(test_sctp_is_an_element_like_others),
		TEST(test_udp_clients_follow_at_once),
		TEST(test_a_thousand_ports),
		TEST(test_unpublished_ports),
		TEST(test_going_out),
		TEST(test_isolation),
		TEST(test_isolated_networks_do_not_meet_through_ports),
		TEST(test_internal_networks),
		TEST(test_the_hosts_loopback_is_out_of_reach),
		TEST(test_adding_twice_and_removing_all),
		TEST(test_a_port_is_taken_by_one),
		TEST(test_bad_ports),
		TEST(test_a_foreign_flush_is_seen_and_mended),
		TEST(test_tables_of_others_are_left),
		TEST(test_many_processes_at_once),
		TEST(test_a_kernel_without_netfilter),
		TEST(test_without_the_right),
		TEST(test_one_port_is_quick),
	};

	if (net_own() < 0) {
		perror("a network namespace of its own");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
