/* Links, addresses and routes in real namespaces. 'ip -j' tells what is there. */
#include "test/unit/child.h"
#include "test/unit/net_help.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct fixture {
	struct kist_net *host;
	struct kist_net_network network;
};

static int setup(void **state)
{
	struct fixture *f = kist_alloc(sizeof(*f));

	f->network = net_network("web", "kist0");
	net_subnet(&f->network, "10.88.0.0/16", "10.88.0.1");
	net_subnet(&f->network, "fd12:3456::/64", "fd12:3456::1");
	OK(kist_net_open(-1, &f->host, E));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	OK(kist_net_bridge_remove(f->host, &f->network, E));
	kist_net_close(f->host);
	kist_net_network_release(&f->network);
	free(f);
	return 0;
}

/* A namespace that is connected. */
struct box {
	int ns;
	struct kist_net *inside;
	struct kist_net_addr addresses[2];
	struct kist_net_connection c;
};

static void box_open(struct box *box, const struct kist_net_network *network, const char *v4, const char *v6)
{
	*box = (struct box){ .ns = net_new() };
	box->c = (struct kist_net_connection){ .network = network,
		                               .interface = "eth0",
		                               .addresses = box->addresses,
		                               .default_route4 = true,
		                               .default_route6 = true };
	if (v4)
		box->addresses[box->c.n_addresses++] = net_addr(v4);
	if (v6)
		box->addresses[box->c.n_addresses++] = net_addr(v6);
	OK(kist_net_open_container(box->ns, &box->inside, E));
}

static void box_connect(struct fixture *f, struct box *box)
{
	OK(kist_net_connect(f->host, box->inside, box->ns, &box->c, E));
}

static void box_close(struct box *box)
{
	kist_net_close(box->inside);
	close(box->ns);
}

static const char *text_of(struct json_object *json, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(json, key, &value) ? json_object_get_string(value) : "";
}

/* The first object of a list whose member has that text. */
static struct json_object *find(struct json_object *list, const char *key, const char *text)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (kist_streq(text_of(item, key), text))
			return item;
	}
	return NULL;
}

static bool has_address(int ns, const char *link, const char *address, const char *len)
{
	KIST_JSON struct json_object *list = net_ip(ns, "addr");
	struct json_object *item = find(list, "ifname", link), *addresses, *found;

	if (!item || !json_object_object_get_ex(item, "addr_info", &addresses))
		return false;
	found = find(addresses, "local", address);
	if (!found)
		return false;
	/* A tentative address answers nobody. */
	assert_false(json_object_object_get_ex(found, "tentative", NULL));
	assert_string_equal(text_of(found, "prefixlen"), len);
	return true;
}

static bool link_is_gone(int ns, const char *name)
{
	for (unsigned i = 0; i < 200; i++) {
		KIST_FREE char *all = net_run(ns, NULL, "ip -br link");

		if (!strstr(all, name))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	return false;
}

static void expect_sysctl(int ns, const char *name, const char *value)
{
	KIST_FREE char *text = net_run(ns, NULL, "cat /proc/sys/net/%s", name);

	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, value) != 0)
		fail_msg("%s is %s, not %s", name, text, value);
}

/* --- a container on a bridge
 * ------------------------------------------------------------------------------------------
 */

static void test_two_containers_reach_each_other(void **state)
{
	struct fixture *f = *state;
	struct box a, b;

	box_open(&a, &f->network, "10.88.0.2", "fd12:3456::2");
	box_open(&b, &f->network, "10.88.0.3", "fd12:3456::3");
	box_connect(f, &a);
	box_connect(f, &b);
	int server4 = net_server(b.ns, SOCK_STREAM, "10.88.0.3", 80),
	    server6 = net_server(b.ns, SOCK_STREAM, "fd12:3456::3", 80);
	net_reaches(a.ns, server4, "10.88.0.3", 80, "10.88.0.2");
	net_reaches(a.ns, server6, "fd12:3456::3", 80, "fd12:3456::2");
	net_reaches(-1, server4, "10.88.0.3", 80, "10.88.0.1");
	net_reaches(-1, server6, "fd12:3456::3", 80, "fd12:3456::1");
	net_reaches(b.ns, server4, "10.88.0.3", 80, "10.88.0.3");
	assert_int_equal(kist_net_bridge_ports(f->host, "kist0", NULL), 2);
	close(server4);
	close(server6);
	box_close(&a);
	box_close(&b);
}

static void test_what_a_link_has(void **state)
{
	struct fixture *f = *state;
	struct kist_net_mac mac;
	struct json_object *item;
	struct box a;

	f->network.mtu = 1400;
	f->network.metric = 77;
	f->network.routes = kist_alloc(sizeof(*f->network.routes));
	f->network.n_routes = 1;
	f->network.routes[0] = (struct kist_net_route){ kist_strdup("172.20.0.0/16"), kist_strdup("10.88.0.9"), 5 };
	box_open(&a, &f->network, "10.88.0.2", "fd12:3456::2");
	assert_int_equal(kist_net_mac_parse("92:d0:c6:0a:29:33", &mac), 0);
	a.c.mac = &mac;
	box_connect(f, &a);
	assert_memory_equal(&a.c.mac_out, &mac, sizeof(mac));

	KIST_JSON struct json_object *inside = net_ip(a.ns, "link"), *outside = net_ip(-1, "link");
	item = find(inside, "ifname", "eth0");
	assert_non_null(item);
	assert_string_equal(text_of(item, "address"), "92:d0:c6:0a:29:33");
	assert_string_equal(text_of(item, "mtu"), "1400");
	assert_non_null(strstr(text_of(item, "flags"), "\"UP\""));
	assert_non_null(strstr(text_of(find(inside, "ifname", "lo"), "flags"), "\"UP\""));
	item = find(outside, "ifname", a.c.host_interface);
	assert_non_null(item);
	assert_true(kist_has_prefix(a.c.host_interface, "veth"));
	assert_string_equal(text_of(item, "master"), "kist0");
	assert_string_equal(text_of(item, "mtu"), "1400");
	assert_string_equal(text_of(find(outside, "ifname", "kist0"), "mtu"), "1400");
	assert_true(has_address(a.ns, "eth0", "10.88.0.2", "16") && has_address(a.ns, "eth0", "fd12:3456::2", "64"));
	assert_true(has_address(-1, "kist0", "10.88.0.1", "16") && has_address(-1, "kist0", "fd12:3456::1", "64"));
	assert_true(net_says(a.ns, "ip route", "default via 10.88.0.1 dev eth0 proto static metric 77"));
	assert_true(net_says(a.ns, "ip -6 route", "default via fd12:3456::1 dev eth0 proto static metric 77"));
	assert_true(net_says(a.ns, "ip route", "172.20.0.0/16 via 10.88.0.9 dev eth0 proto static metric 5"));
	/* A port of a bridge has no address of its own. */
	KIST_FREE char *port = net_run(-1, NULL, "ip -br addr show dev %s", a.c.host_interface);
	assert_null(strstr(port, "fe80"));
	box_close(&a);
}

static void test_sysctls(void **state)
{
	struct fixture *f = *state;
	struct box a;
	KIST_FREE char *forward = NULL;

	box_open(&a, &f->network, "10.88.0.2", "fd12:3456::2");
	a.c.localhost = true;
	/* A new namespace takes this from the host's first one: what connects leaves it as it is. */
	forward = net_run(a.ns, NULL, "cat /proc/sys/net/ipv4/ip_forward");
	forward[strcspn(forward, "\n")] = '\0';
	box_connect(f, &a);
	expect_sysctl(a.ns, "ipv6/conf/eth0/accept_ra", "0");
	expect_sysctl(a.ns, "ipv6/conf/eth0/accept_redirects", "0");
	expect_sysctl(a.ns, "ipv4/conf/eth0/accept_redirects", "0");
	expect_sysctl(a.ns, "ipv4/conf/eth0/send_redirects", "0");
	expect_sysctl(a.ns, "ipv4/conf/all/accept_redirects", "0");
	expect_sysctl(a.ns, "ipv4/conf/all/send_redirects", "0");
	expect_sysctl(a.ns, "ipv4/conf/eth0/arp_notify", "1");
	expect_sysctl(a.ns, "ipv4/ip_forward", forward);
	expect_sysctl(-1, "ipv4/conf/kist0/rp_filter", "2");
	expect_sysctl(-1, "ipv4/conf/kist0/route_localnet", "1");
	expect_sysctl(-1, "ipv6/conf/kist0/accept_ra", "0");
	expect_sysctl(-1, "ipv4/ip_forward", "1");
	expect_sysctl(-1, "ipv6/conf/all/forwarding", "1");
	box_close(&a);
}

static void test_internal_networks_need_no_forwarding(void **state)
{
	struct fixture *f = *state;
	struct box a;

	free(net_run(-1, NULL,
	             "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"));
	f->network.internal = true;
	box_open(&a, &f->network, "10.88.0.2", "fd12:3456::2");
	box_connect(f, &a);
	expect_sysctl(-1, "ipv4/ip_forward", "0");
	expect_sysctl(-1, "ipv4/conf/kist0/route_localnet", "0");
	assert_false(net_says(a.ns, "ip route; ip -6 route", "default"));
	box_close(&a);
}

static void test_the_host_keeps_its_router(void **state)
{
	struct fixture *f = *state;

	/* A host that has its IPv6 route from router advertisements would lose it by forwarding. */
	free(net_run(-1, NULL,
	             "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding; ip link add name up0 type bridge; "
	             "echo 1 > /proc/sys/net/ipv6/conf/up0/accept_ra"));
	OK(kist_net_bridge_ensure(f->host, &f->network, E));
	expect_sysctl(-1, "ipv6/conf/all/forwarding", "1");
	expect_sysctl(-1, "ipv6/conf/up0/accept_ra", "2");
	free(net_run(-1, NULL, "ip link del up0"));
}

static void test_default_route_only_where_wanted(void **state)
{
	struct fixture *f = *state;
	struct box a, b;

	box_open(&a, &f->network, "10.88.0.2", NULL);
	a.c.default_route4 = a.c.default_route6 = false;
	box_connect(f, &a);
	assert_false(net_says(a.ns, "ip route", "default"));
	f->network.no_default_route = true;
	box_open(&b, &f->network, "10.88.0.3", NULL);
	box_connect(f, &b);
	assert_false(net_says(b.ns, "ip route", "default"));
	box_close(&a);
	box_close(&b);
}

static void test_several_networks(void **state)
{
	struct fixture *f = *state;
	KIST_NET_NETWORK struct kist_net_network other = net_network("back", "kist7");
	struct kist_net_addr addr = net_addr("10.90.0.2");
	struct kist_net_connection second = {
		.network = &other, .interface = "eth1", .addresses = &addr, .n_addresses = 1
	};
	struct kist_net_link_stats *stats = NULL;
	struct box a;

	net_subnet(&other, "10.90.0.0/24", "10.90.0.1");
	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	OK(kist_net_connect(f->host, a.inside, a.ns, &second, E));
	assert_true(has_address(a.ns, "eth0", "10.88.0.2", "16") && has_address(a.ns, "eth1", "10.90.0.2", "24"));
	int server = net_server(a.ns, SOCK_STREAM, "0.0.0.0", 80);
	net_reaches(-1, server, "10.88.0.2", 80, "10.88.0.1");
	net_reaches(-1, server, "10.90.0.2", 80, "10.90.0.1");
	assert_int_equal(kist_net_stats(a.inside, &stats, NULL), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(kist_streq(stats[i].name, "eth0") || kist_streq(stats[i].name, "eth1"));
		assert_true(stats[i].rx_packets > 3 && stats[i].tx_packets > 3 && stats[i].rx_bytes > 200);
	}
	free(stats);
	close(server);
	OK(kist_net_bridge_remove(f->host, &other, E));
	box_close(&a);
}

/* --- again, and repaired
 * ----------------------------------------------------------------------------------------------
 */

static void test_connecting_again_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct box a;

	box_open(&a, &f->network, "10.88.0.2", "fd12:3456::2");
	box_connect(f, &a);
	struct kist_net_connection before = a.c;
	KIST_FREE char *inside = net_run(a.ns, NULL, "ip -br link; ip -br addr; ip route; ip -6 route | grep -v fe80");
	box_connect(f, &a);
	KIST_FREE char *after = net_run(a.ns, NULL, "ip -br link; ip -br addr; ip route; ip -6 route | grep -v fe80");
	assert_string_equal(a.c.host_interface, before.host_interface);
	assert_memory_equal(&a.c.mac_out, &before.mac_out, sizeof(before.mac_out));
	assert_string_equal(inside, after);
	assert_int_equal(kist_net_bridge_ports(f->host, "kist0", NULL), 1);
	box_close(&a);
}

static void test_what_is_broken_is_repaired(void **state)
{
	static const char *const damages[] = {
		"ip link set %s nomaster", "ip link set %s down",    "ip link del kist0",
		"ip addr flush dev kist0", "ip link set kist0 down", "echo 0 > /proc/sys/net/ipv4/ip_forward; : %s",
	};
	struct fixture *f = *state;
	struct box a;

	box_open(&a, &f->network, "10.88.0.2", "fd12:3456::2");
	box_connect(f, &a);
	int server = net_server(a.ns, SOCK_STREAM, "0.0.0.0", 80), server6 = net_server(a.ns, SOCK_STREAM, "::", 80);
	for (size_t i = 0; i < KIST_COUNT(damages); i++) {
		KIST_FREE char *damage = NULL;
		const char *percent = strstr(damages[i], "%s");

		damage = percent ? kist_asprintf("%.*s%s%s", (int)(percent - damages[i]), damages[i],
		                                 a.c.host_interface, percent + 2)
		                 : kist_strdup(damages[i]);
		free(net_run(-1, NULL, "%s", damage));
		box_connect(f, &a);
		net_reaches(-1, server, "10.88.0.2", 80, "10.88.0.1");
		net_reaches(-1, server6, "fd12:3456::2", 80, "fd12:3456::1");
		expect_sysctl(-1, "ipv4/ip_forward", "1");
	}
	free(net_run(a.ns, NULL, "ip addr flush dev eth0; ip route flush all; ip link set eth0 down"));
	box_connect(f, &a);
	net_reaches(-1, server, "10.88.0.2", 80, "10.88.0.1");
	assert_true(net_says(a.ns, "ip route", "default via 10.88.0.1"));
	/* Even the pair itself. */
	free(net_run(-1, NULL, "ip link del %s", a.c.host_interface));
	box_connect(f, &a);
	net_reaches(-1, server, "10.88.0.2", 80, "10.88.0.1");
	close(server);
	close(server6);
	box_close(&a);
}

static void test_a_half_made_bridge_is_finished(void **state)
{
	struct fixture *f = *state;
	struct box a;

	/* As a process leaves it that is killed between the two steps. */
	free(net_run(-1, NULL, "ip link add name kist0 type bridge"));
	box_open(&a, &f->network, "10.88.0.2", "fd12:3456::2");
	box_connect(f, &a);
	expect_sysctl(-1, "ipv6/conf/kist0/accept_ra", "0");
	int server = net_server(a.ns, SOCK_STREAM, "::", 80);
	net_reaches(-1, server, "fd12:3456::2", 80, "fd12:3456::1");
	close(server);
	box_close(&a);
}

/* --- leaving
 * ----------------------------------------------------------------------------------------------------------
 */

static void test_disconnect(void **state)
{
	struct fixture *f = *state;
	struct box a;

	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	OK(kist_net_disconnect(a.inside, "eth0", NULL, E));
	assert_false(kist_net_link_exists(a.inside, "eth0"));
	/* The name can be taken again at once, though the old link may be there for a moment. */
	char old[IFNAMSIZ];
	memcpy(old, a.c.host_interface, sizeof(old));
	a.c.host_interface[0] = '\0';
	box_connect(f, &a);
	assert_true(has_address(a.ns, "eth0", "10.88.0.2", "16"));
	assert_true(link_is_gone(-1, old));
	KIST_JSON struct json_object *links = net_ip(a.ns, "link");
	assert_int_equal(json_object_array_length(links), 2);
	OK(kist_net_disconnect(a.inside, "eth0", NULL, E));
	OK(kist_net_disconnect(a.inside, "eth0", NULL, E));
	assert_true(link_is_gone(-1, a.c.host_interface));
	assert_int_equal(kist_net_bridge_ports(f->host, "kist0", NULL), 0);
	box_close(&a);
}

static void test_disconnect_later(void **state)
{
	struct fixture *f = *state;
	char old[IFNAMSIZ];
	uint32_t later = 0;
	struct box a;

	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	memcpy(old, a.c.host_interface, sizeof(old));
	OK(kist_net_disconnect(a.inside, "eth0", &later, E));
	assert_true(later != 0);
	/* It is there still, but has no name that anybody would look for, and its name can be taken again. */
	assert_false(kist_net_link_exists(a.inside, "eth0"));
	assert_true(kist_net_link_exists(f->host, old));
	a.c.host_interface[0] = '\0';
	box_connect(f, &a);
	assert_true(has_address(a.ns, "eth0", "10.88.0.2", "16"));
	assert_int_equal(kist_net_link_hidden(a.inside), later);
	OK(kist_net_link_finish(a.inside, later, E));
	assert_int_equal(kist_net_link_hidden(a.inside), 0);
	assert_false(kist_net_link_exists(f->host, old));
	OK(kist_net_link_finish(a.inside, later, E));
	OK(kist_net_disconnect(a.inside, "eth0", NULL, E));
	OK(kist_net_disconnect(a.inside, "eth0", &later, E));
	assert_int_equal(later, 0);
	box_close(&a);
}

/* Killed between the two steps, with nothing written down: to be repeated, or connected anew by the record. */
static void test_disconnect_cut_short(void **state)
{
	struct fixture *f = *state;
	uint32_t later = 0, again = 0;
	struct box a;

	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	OK(kist_net_disconnect(a.inside, "eth0", &later, E));
	OK(kist_net_disconnect(a.inside, "eth0", &again, E));
	assert_int_equal(again, later);
	box_connect(f, &a);
	assert_true(has_address(a.ns, "eth0", "10.88.0.2", "16"));
	assert_int_equal(kist_net_link_hidden(a.inside), 0);
	assert_int_equal(kist_net_bridge_ports(f->host, "kist0", NULL), 1);
	/* A container may rename its link. */
	free(net_run(a.ns, NULL, "ip link set eth0 down; ip link set eth0 name mine0; ip link set mine0 up"));
	assert_int_equal(kist_net_link_hidden(a.inside), 0);
	box_connect(f, &a);
	assert_true(has_address(a.ns, "eth0", "10.88.0.2", "16"));
	assert_false(kist_net_link_exists(a.inside, "mine0"));
	assert_int_equal(kist_net_bridge_ports(f->host, "kist0", NULL), 1);
	box_close(&a);
}

static bool port_is(const char *link, const char *state)
{
	KIST_FREE char *text = net_run(-1, NULL, "ip -d link show %s", link);
	KIST_FREE char *wanted = kist_asprintf("bridge_slave state %s", state);

	return strstr(text, wanted) != NULL;
}

static void test_silence(void **state)
{
	struct fixture *f = *state;
	struct box a;

	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	assert_true(port_is(a.c.host_interface, "forwarding"));
	OK(kist_net_link_silence(f->host, a.c.host_interface, E));
	assert_true(port_is(a.c.host_interface, "disabled"));
	/* One that is on no bridge is removed: it must be silent in any case. */
	free(net_run(-1, NULL, "ip link set %s nomaster", a.c.host_interface));
	OK(kist_net_link_silence(f->host, a.c.host_interface, E));
	assert_false(kist_net_link_exists(f->host, a.c.host_interface));
	OK(kist_net_link_silence(f->host, a.c.host_interface, E));
	box_close(&a);
}

static void test_remove_from_the_host(void **state)
{
	struct fixture *f = *state;
	struct kist_error err = { 0 };
	struct box a;

	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	OK(kist_net_link_remove(f->host, a.c.host_interface, E));
	assert_false(kist_net_link_exists(a.inside, "eth0"));
	OK(kist_net_link_remove(f->host, a.c.host_interface, E));
	assert_true(kist_net_link_remove(f->host, "kist0", &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	box_close(&a);
}

static void test_the_end_of_a_namespace_is_the_end_of_the_link(void **state)
{
	struct fixture *f = *state;
	struct box a;

	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	box_close(&a);
	assert_true(link_is_gone(-1, a.c.host_interface));
}

/* --- failures
 * ---------------------------------------------------------------------------------------------------------
 */

static void expect_failure(struct fixture *f, struct box *box, enum kist_error_kind kind, const char *says)
{
	struct kist_error err = { 0 };

	assert_true(kist_net_connect(f->host, box->inside, box->ns, &box->c, &err) < 0);
	if (err.kind != kind || !strstr(err.text, says) || !strstr(err.text, box->c.network->name))
		fail_msg("kind %s: %s (expected '%s')", kist_error_kind_name(err.kind), err.text, says);
}

static void test_failures_leave_nothing(void **state)
{
	struct fixture *f = *state;
	struct box a;

	box_open(&a, &f->network, "10.99.0.2", NULL);
	expect_failure(f, &a, KIST_ERR_INVALID, "10.99.0.2");
	box_close(&a);

	/* The last step fails: a gateway that is nowhere. */
	f->network.routes = kist_alloc(sizeof(*f->network.routes));
	f->network.n_routes = 1;
	f->network.routes[0] = (struct kist_net_route){ kist_strdup("172.20.0.0/16"), kist_strdup("192.168.9.9"), 0 };
	box_open(&a, &f->network, "10.88.0.2", NULL);
	expect_failure(f, &a, KIST_ERR_SYSTEM, "add route");
	assert_false(kist_net_link_exists(a.inside, "eth0"));
	assert_true(link_is_gone(-1, a.c.host_interface));
	box_close(&a);
}

static void test_links_of_others_are_not_touched(void **state)
{
	struct fixture *f = *state;
	struct box a;

	free(net_run(-1, NULL, "ip link add name kist0 type veth peer name other0; ip link add name br9 type bridge"));
	box_open(&a, &f->network, "10.88.0.2", NULL);
	expect_failure(f, &a, KIST_ERR_EXISTS, "not a bridge");
	free(net_run(-1, NULL, "ip link del kist0"));
	free(net_run(a.ns, NULL, "ip link add name eth0 type bridge"));
	expect_failure(f, &a, KIST_ERR_EXISTS, "eth0");
	assert_true(net_says(a.ns, "ip -d link show eth0", "bridge"));
	free(net_run(-1, NULL, "ip link del br9"));
	box_close(&a);
}

/* --- many at once
 * -----------------------------------------------------------------------------------------------------
 */

#define PROCESSES 6
#define EACH      10

static int connect_some(const struct kist_net_network *network, unsigned process, int ready, int done)
{
	struct kist_net *host, *inside;
	int ns[EACH];
	char c;

	if (kist_net_open(-1, &host, NULL) < 0)
		return 1;
	for (unsigned i = 0; i < EACH; i++) {
		struct kist_net_addr addr = net_addr("10.88.1.0");
		struct kist_net_connection c4 = { .network = network,
			                          .interface = "eth0",
			                          .addresses = &addr,
			                          .n_addresses = 1,
			                          .default_route4 = true,
			                          .default_route6 = true };
		struct kist_error err = { 0 };

		ns[i] = net_new();
		kist_net_addr_add(&addr, 1 + process * EACH + i);
		if (kist_net_open_container(ns[i], &inside, &err) < 0 ||
		    kist_net_connect(host, inside, ns[i], &c4, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return 2;
		}
		kist_net_close(inside);
	}
	kist_net_close(host);
	/* The namespaces live as long as this process does. */
	if (write(ready, "r", 1) != 1 || read(done, &c, 1) != 0)
		return 3;
	return 0;
}

/* --- several stores -------------------------------------------------------------------------------------------------
 */

static bool bridge_is(const char *name, const char *says)
{
	KIST_FREE char *command = kist_asprintf("ip link show %s", name);

	return net_says(-1, command, says);
}

static void test_a_bridge_belongs_to_its_store(void **state)
{
	struct fixture *f = *state;
	char own[] = "/tmp/kist-store-XXXXXX", others[] = "/tmp/kist-store-XXXXXX";
	struct kist_net_network other = net_network("other", "kist1");
	struct kist_net_conflict conflict;
	struct box a, b;

	assert_non_null(mkdtemp(own));
	assert_non_null(mkdtemp(others));
	KIST_FREE char *again = kist_asprintf("%s/", own);
	kist_net_store(f->host, own, "/none/own");
	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	assert_true(bridge_is("kist0", own));

	/* The same by another name. */
	kist_net_store(f->host, again, "/none/again");
	assert_int_equal(kist_net_bridge_conflict(f->host, &f->network, &conflict, NULL), 0);
	assert_int_equal(kist_net_bridge_is_foreign(f->host, &f->network, NULL), 0);
	OK(kist_net_bridge_ensure(f->host, &f->network, E));

	kist_net_store(f->host, others, "/none/own");
	assert_int_equal(kist_net_bridge_is_foreign(f->host, &f->network, NULL), 0);
	kist_net_store(f->host, others, "/none/others");
	assert_int_equal(kist_net_bridge_is_foreign(f->host, &f->network, NULL), 1);
	assert_int_equal(kist_net_bridge_conflict(f->host, &f->network, &conflict, NULL), 1);
	assert_true(conflict.by_name && kist_streq(conflict.bridge, "kist0") && kist_streq(conflict.store, own));
	box_open(&b, &f->network, "10.88.0.3", NULL);
	expect_failure(f, &b, KIST_ERR_EXISTS, own);
	OK(kist_net_bridge_remove(f->host, &f->network, E));
	assert_true(kist_net_link_exists(f->host, "kist0"));
	net_subnet(&other, "10.88.128.0/17", "10.88.128.1");
	assert_int_equal(kist_net_bridge_conflict(f->host, &other, &conflict, NULL), 1);
	assert_true(!conflict.by_name && conflict.prefix.len == 16 && kist_streq(conflict.bridge, "kist0"));

	/* Its store is gone: as long as there is something on it, it is not touched. */
	assert_int_equal(rmdir(own), 0);
	expect_failure(f, &b, KIST_ERR_EXISTS, own);
	OK(kist_net_disconnect(a.inside, "eth0", NULL, E));
	box_connect(f, &b);
	assert_true(bridge_is("kist0", others));

	assert_int_equal(rmdir(others), 0);
	kist_net_network_release(&other);
	box_close(&a);
	box_close(&b);
}

static void test_bridges_without_a_mark_stay_so(void **state)
{
	struct fixture *f = *state;
	struct box a;

	kist_net_store(f->host, "/", "/run");
	free(net_run(-1, NULL, "ip link add name kist0 type bridge; ip link set kist0 alias lab"));
	box_open(&a, &f->network, "10.88.0.2", NULL);
	box_connect(f, &a);
	assert_true(bridge_is("kist0", "alias lab"));
	OK(kist_net_bridge_remove(f->host, &f->network, E));

	free(net_run(-1, NULL, "ip link add name kist0 type bridge"));
	box_connect(f, &a);
	assert_false(bridge_is("kist0", "alias"));
	OK(kist_net_bridge_remove(f->host, &f->network, E));

	/* As one is left that was made and not marked: nobody asked for that name. */
	f->network.interface_chosen = true;
	free(net_run(-1, NULL, "ip link add name kist0 type bridge"));
	box_connect(f, &a);
	assert_true(bridge_is("kist0", "alias kist /:/run"));
	box_close(&a);
}

static void test_many_processes_at_once(void **state)
{
	struct fixture *f = *state;
	int ready[2], done[2];
	pid_t pids[PROCESSES];
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	for (unsigned p = 0; p < PROCESSES; p++) {
		pids[p] = child_fork();
		if (pids[p] == 0) {
			close(done[1]);
			close(ready[0]);
			_exit(connect_some(&f->network, p, ready[1], done[0]));
		}
	}
	close(ready[1]);
	for (unsigned p = 0; p < PROCESSES; p++) {
		assert_true(net_wait(ready[0], POLLIN, 20000));
		assert_int_equal(read(ready[0], &c, 1), 1);
	}
	assert_int_equal(kist_net_bridge_ports(f->host, "kist0", NULL), PROCESSES * EACH);
	/* All of them answer ARP and refuse the connection themselves. */
	for (unsigned i = 1; i <= PROCESSES * EACH; i++) {
		KIST_FREE char *address = kist_asprintf("10.88.1.%u", i);

		assert_int_equal(net_connect_tcp(-1, address, 80, 2000), -ECONNREFUSED);
	}
	close(done[1]);
	for (unsigned p = 0; p < PROCESSES; p++)
		assert_int_equal(kist_wait_pid(pids[p]), 0);
	for (unsigned i = 0; i < 300 && kist_net_bridge_ports(f->host, "kist0", NULL) > 0; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	assert_int_equal(kist_net_bridge_ports(f->host, "kist0", NULL), 0);
	close(ready[0]);
	close(done[0]);
}

/* --- other kinds
 * ------------------------------------------------------------------------------------------------------
 */

static void test_macvlan(void **state)
{
	struct fixture *f = *state;
	KIST_NET_NETWORK struct kist_net_network network = net_network("lan", "up0");
	struct box a, b;

	network.driver = KIST_NET_MACVLAN;
	net_subnet(&network, "192.168.77.0/24", "192.168.77.1");
	box_open(&a, &network, "192.168.77.2", NULL);
	expect_failure(f, &a, KIST_ERR_NOT_FOUND, "up0");
	free(net_run(-1, NULL, "ip link add name up0 type veth peer name up1; ip link set up0 up; ip link set up1 up"));
	box_open(&b, &network, "192.168.77.3", NULL);
	box_connect(f, &a);
	box_connect(f, &a);
	box_connect(f, &b);
	assert_true(net_says(a.ns, "ip -d link show eth0", "macvlan mode bridge"));
	assert_true(net_says(a.ns, "ip route", "default via 192.168.77.1 dev eth0"));
	int server = net_server(b.ns, SOCK_STREAM, "0.0.0.0", 80);
	net_reaches(a.ns, server, "192.168.77.3", 80, "192.168.77.2");
	close(server);
	OK(kist_net_disconnect(a.inside, "eth0", NULL, E));
	network.mode = KIST_NET_MODE_PRIVATE;
	box_connect(f, &a);
	assert_true(net_says(a.ns, "ip -d link show eth0", "macvlan mode private"));
	/* Of this mode a parent has one alone. */
	free(net_run(-1, NULL, "ip link add name up2 type veth peer name up3; ip link set up2 up; ip link set up3 up"));
	OK(kist_net_disconnect(a.inside, "eth0", NULL, E));
	network.mode = KIST_NET_MODE_PASSTHRU;
	free(network.interface);
	network.interface = kist_strdup("up2");
	box_connect(f, &a);
	uint32_t later = 1;
	OK(kist_net_disconnect(a.inside, "eth0", &later, E));
	assert_int_equal(later, 0);
	box_connect(f, &a);
	box_close(&a);
	box_close(&b);
	free(net_run(-1, NULL, "ip link del up0"));
}

static void test_the_parent_is_the_default_routes_link(void **state)
{
	struct fixture *f = *state;
	KIST_NET_NETWORK struct kist_net_network network = net_network("lan", NULL);
	char link[IFNAMSIZ] = "";
	struct box a;

	network.driver = KIST_NET_MACVLAN;
	net_subnet(&network, "192.168.77.0/24", "192.168.77.1");
	box_open(&a, &network, "192.168.77.2", NULL);
	expect_failure(f, &a, KIST_ERR_NOT_FOUND, "no default route");
	free(net_run(-1, NULL,
	             "ip link add name up0 type veth peer name up1; ip link set up0 up; ip link set up1 up; "
	             "ip addr add 192.168.77.9/24 dev up0; ip route add default via 192.168.77.1 metric 5; "
	             "ip route add default dev up1 metric 50"));
	OK(kist_net_default_link(f->host, link, E));
	assert_string_equal(link, "up0");
	box_connect(f, &a);
	assert_true(net_says(a.ns, "ip -d link show eth0", "macvlan"));
	box_close(&a);
	free(net_run(-1, NULL, "ip link del up0"));
}

static void test_ipvlan(void **state)
{
	struct fixture *f = *state;
	KIST_NET_NETWORK struct kist_net_network network = net_network("lan", "up0");
	struct kist_error err = { 0 };
	struct kist_net_mac mac;
	struct box a;

	free(net_run(-1, NULL, "ip link add name up0 type veth peer name up1; ip link set up0 up; ip link set up1 up"));
	network.driver = KIST_NET_IPVLAN;
	net_subnet(&network, "192.168.77.0/24", "192.168.77.1");
	box_open(&a, &network, "192.168.77.2", NULL);
	kist_net_mac_random(&mac);
	a.c.mac = &mac;
	expect_failure(f, &a, KIST_ERR_INVALID, "MAC");
	a.c.mac = NULL;
	int r = kist_net_connect(f->host, a.inside, a.ns, &a.c, &err);
	if (r < 0) { /* a kernel without it says so, and how to get it */
		assert_int_equal(err.kind, KIST_ERR_UNSUPPORTED);
		assert_non_null(strstr(err.text, "modprobe ipvlan"));
		assert_false(kist_net_link_exists(a.inside, "eth0"));
	} else {
		assert_true(net_says(a.ns, "ip -d link show eth0", "ipvlan"));
	}
	box_close(&a);
	free(net_run(-1, NULL, "ip link del up0"));
}

static void test_vlan_filtering(void **state)
{
	struct fixture *f = *state;
	struct kist_error err = { 0 };
	struct box a;

	f->network.vlan = 42;
	box_open(&a, &f->network, "10.88.0.2", NULL);
	int r = kist_net_connect(f->host, a.inside, a.ns, &a.c, &err);
	if (r < 0) {
		assert_int_equal(err.kind, KIST_ERR_UNSUPPORTED);
		assert_non_null(strstr(err.text, "VLAN"));
	} else {
		KIST_FREE char *command = kist_asprintf("bridge vlan show dev %s", a.c.host_interface);

		assert_true(net_says(-1, command, "42 PVID"));
	}
	box_close(&a);
}

/* --- cost
 * -------------------------------------------------------------------------------------------------------------
 */

/* Not a judgement of the machine: a hundred times what it takes. The figures are for people. */
static void test_connecting_is_quick(void **state)
{
	struct fixture *f = *state;
	double connect = 1e9, again = 1e9, disconnect = 1e9;

	for (unsigned i = 0; i < 5; i++) {
		struct box a;

		box_open(&a, &f->network, "10.88.0.2", NULL);
		double t0 = net_ms();
		box_connect(f, &a);
		double t1 = net_ms();
		box_connect(f, &a);
		double t2 = net_ms();
		OK(kist_net_disconnect(a.inside, "eth0", NULL, E));
		double t3 = net_ms();
		connect = t1 - t0 < connect ? t1 - t0 : connect;
		again = t2 - t1 < again ? t2 - t1 : again;
		disconnect = t3 - t2 < disconnect ? t3 - t2 : disconnect;
		box_close(&a);
	}
	print_message("connect %.2f ms, again %.2f ms, disconnect %.2f ms\n", connect, again, disconnect);
	assert_true(connect < 100 && again < 100 && disconnect < 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_two_containers_reach_each_other),
		TEST(test_what_a_link_has),
		TEST(test_sysctls),
		TEST(test_internal_networks_need_no_forwarding),
		TEST(test_the_host_keeps_its_router),
		TEST(test_default_route_only_where_wanted),
		TEST(test_several_networks),
		TEST(test_connecting_again_changes_nothing),
		TEST(test_what_is_broken_is_repaired),
		TEST(test_a_half_made_bridge_is_finished),
		TEST(test_disconnect),
		TEST(test_disconnect_later),
		TEST(test_disconnect_cut_short),
		TEST(test_silence),
		TEST(test_remove_from_the_host),
		TEST(test_the_end_of_a_namespace_is_the_end_of_the_link),
		TEST(test_failures_leave_nothing),
		TEST(test_links_of_others_are_not_touched),
		TEST(test_a_bridge_belongs_to_its_store),
		TEST(test_bridges_without_a_mark_stay_so),
		TEST(test_many_processes_at_once),
		TEST(test_macvlan),
		TEST(test_the_parent_is_the_default_routes_link),
		TEST(test_ipvlan),
		TEST(test_vlan_filtering),
		TEST(test_connecting_is_quick),
	};

	if (net_own() < 0) {
		perror("a network namespace of its own");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
