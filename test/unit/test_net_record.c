/* Addresses, the record of a network, its checks, and the choice of free subnets. */
#include "test/unit/net_help.h"

#include "net/net.h"

/* --- addresses ------------------------------------------------------------------------------------------------------
 */

static void test_addresses_are_parsed_strictly(void **state)
{
	static const char *const good[] = { "0.0.0.0", "10.88.0.1", "255.255.255.255", "::",
		                            "::1",     "fd00::1",   "fe80::abcd:1" };
	static const char *const bad[] = { "",           "10.88.0",      "10.88.0.256",  "010.8.0.1",
		                           "10.88.0.1 ", "0x0a.1.1.1",   "fd00:",        "fe80::1%eth0",
		                           "1::2::3",    "10.88.0.1/16", "::ffff:1.2.3", "a.b.c.d" };
	struct kist_net_addr addr;
	char text[KIST_NET_ADDR_TEXT];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		assert_int_equal(kist_net_addr_parse(good[i], &addr), 0);
		assert_string_equal(kist_net_addr_text(text, &addr), good[i]);
	}
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		assert_int_equal(kist_net_addr_parse(bad[i], &addr), -EINVAL);
	assert_int_equal(kist_net_addr_parse(NULL, &addr), -EINVAL);
}

static void test_prefixes(void **state)
{
	static const char *const bad[] = { "10.88.0.0",    "10.88.0.0/",     "10.88.0.0/33",
		                           "10.88.0.0/-1", "10.88.0.0/016",  "fd00::/129",
		                           "/16",          "10.88.0.0/16/1", "10.88.0.0/1 6" };
	struct kist_net_prefix a, b;
	struct kist_net_addr first, last, addr;
	char text[KIST_NET_PREFIX_TEXT];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		assert_int_equal(kist_net_prefix_parse(bad[i], &a), -EINVAL);
	assert_int_equal(kist_net_prefix_parse("10.88.77.3/20", &a), 0);
	assert_string_equal(kist_net_prefix_text(text, &a), "10.88.77.3/20");
	kist_net_prefix_bounds(&a, &first, &last);
	assert_string_equal(kist_net_addr_text(text, &first), "10.88.64.0");
	assert_string_equal(kist_net_addr_text(text, &last), "10.88.79.255");
	kist_net_prefix_mask(&a);
	assert_string_equal(kist_net_prefix_text(text, &a), "10.88.64.0/20");
	addr = net_addr("10.88.79.255");
	assert_true(kist_net_prefix_contains(&a, &addr));
	addr = net_addr("10.88.80.0");
	assert_false(kist_net_prefix_contains(&a, &addr));
	addr = net_addr("fd00::1");
	assert_false(kist_net_prefix_contains(&a, &addr));
	assert_int_equal(kist_net_prefix_parse("10.0.0.0/8", &b), 0);
	assert_true(kist_net_prefix_overlaps(&a, &b) && kist_net_prefix_overlaps(&b, &a));
	assert_int_equal(kist_net_prefix_parse("10.88.80.0/24", &b), 0);
	assert_false(kist_net_prefix_overlaps(&a, &b) || kist_net_prefix_overlaps(&b, &a));
	assert_int_equal(kist_net_prefix_parse("::/0", &b), 0);
	addr = net_addr("fd00::1");
	assert_true(kist_net_prefix_contains(&b, &addr));
}

static void test_address_arithmetic(void **state)
{
	struct kist_net_addr addr = net_addr("10.88.0.255");
	char text[KIST_NET_ADDR_TEXT];

	(void)state;
	assert_true(kist_net_addr_add(&addr, 1));
	assert_string_equal(kist_net_addr_text(text, &addr), "10.88.1.0");
	assert_true(kist_net_addr_add(&addr, 70000));
	assert_string_equal(kist_net_addr_text(text, &addr), "10.89.18.112");
	addr = net_addr("255.255.255.255");
	assert_false(kist_net_addr_add(&addr, 1));
	assert_string_equal(kist_net_addr_text(text, &addr), "255.255.255.255");
	addr = net_addr("fd00::ffff:ffff:ffff:ffff");
	assert_true(kist_net_addr_add(&addr, 1));
	assert_string_equal(kist_net_addr_text(text, &addr), "fd00:0:0:1::");
	addr = net_addr("fd00::");
	assert_true(kist_net_addr_add(&addr, UINT64_MAX));
	assert_string_equal(kist_net_addr_text(text, &addr), "fd00::ffff:ffff:ffff:ffff");
}

static void test_macs(void **state)
{
	static const char *const bad[] = { "",
		                           "aa:bb:cc:dd:ee",
		                           "aa:bb:cc:dd:ee:fg",
		                           "aa:bb:cc:dd:ee:ff:00",
		                           "01:00:00:00:00:01" /* group */,
		                           "00:00:00:00:00:00",
		                           "aabb.ccdd.eeff",
		                           "aa:bb:cc:dd:ee:f " };
	struct kist_net_mac mac;
	char text[KIST_NET_MAC_TEXT];

	(void)state;
	assert_int_equal(kist_net_mac_parse("92:D0:c6:0a:29:33", &mac), 0);
	assert_string_equal(kist_net_mac_text(text, &mac), "92:d0:c6:0a:29:33");
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		assert_int_equal(kist_net_mac_parse(bad[i], &mac), -EINVAL);
	for (unsigned i = 0; i < 1000; i++) {
		kist_net_mac_random(&mac);
		assert_int_equal(mac.bytes[0] & 3, 2);
	}
}

/* --- the record -----------------------------------------------------------------------------------------------------
 */

static void test_every_field_survives_its_file(void **state)
{
	KIST_NET_NETWORK struct kist_net_network a = net_network("back-end", "kist7");
	KIST_NET_NETWORK struct kist_net_network b = { 0 };
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	struct json_object *found;

	(void)state;
	net_subnet(&a, "10.90.0.0/24", "10.90.0.1");
	a.subnets[0].range_start = kist_strdup("10.90.0.100");
	a.subnets[0].range_end = kist_strdup("10.90.0.200");
	net_subnet(&a, "fd01::/64", "fd01::1");
	a.routes = kist_alloc(sizeof(*a.routes));
	a.n_routes = 1;
	a.routes[0] = (struct kist_net_route){ kist_strdup("192.168.7.0/24"), kist_strdup("10.90.0.9"), 50 };
	a.id = kist_strdup("0123456789abcdef");
	a.created = 1234567890123456789;
	a.internal = a.no_default_route = true;
	a.dns = false;
	kist_strv_add(&a.dns_servers, "9.9.9.9");
	kist_strv_add(&a.labels, "tier=back");
	a.mtu = 1400;
	a.vlan = 7;
	a.isolate = KIST_NET_ISOLATE_STRICT;
	a.metric = 42;
	a.mode = KIST_NET_MODE_BRIDGE;
	a.driver = KIST_NET_MACVLAN;
	kist_kv_write(&kist_net_network_table, &a, NULL, &text);
	kist_net_network_init(&b);
	OK(kist_kv_read(&kist_net_network_table, kist_str_get(&text), &b, NULL, E));
	assert_true(kist_table_equal(&kist_net_network_table, &a, &b));
	json = kist_json_write(&kist_net_network_table, &a);
	assert_true(json_object_object_get_ex(json, "network_interface", &found));
	assert_string_equal(json_object_get_string(found), "kist7");
	assert_true(json_object_object_get_ex(json, "dns_enabled", &found));
	assert_false(json_object_get_boolean(found));
	assert_true(json_object_object_get_ex(json, "ipv6_enabled", &found));
	assert_true(json_object_get_boolean(found));
}

static void test_options_by_name(void **state)
{
	KIST_NET_NETWORK struct kist_net_network network = net_network("a", "kist1");
	KIST_STRV char **options = NULL;
	KIST_FREE char *joined = NULL;
	static const char *const bad[][2] = {
		{ "mtu", "67" },
		{ "mtu", "65536" },
		{ "mtu", "" },
		{ "mtu", "1500x" },
		{ "vlan", "0" },
		{ "vlan", "4095" },
		{ "isolate", "maybe" },
		{ "metric", "-1" },
		{ "mode", "l4" },
		{ "parent", "a/b" },
		{ "no_default_route", "2" },
		{ "colour", "red" },
		{ "metric", "0" },
	};

	(void)state;
	OK(kist_net_network_set_option(&network, "mtu", "9000", E));
	OK(kist_net_network_set_option(&network, "com.docker.network.driver.mtu", "1400", E));
	OK(kist_net_network_set_option(&network, "isolate", "strict", E));
	OK(kist_net_network_set_option(&network, "vlan", "100", E));
	OK(kist_net_network_set_option(&network, "metric", "7", E));
	OK(kist_net_network_set_option(&network, "no_default_route", "1", E));
	assert_int_equal(network.mtu, 1400);
	options = kist_net_network_options(&network);
	joined = kist_strv_join(options, " ");
	assert_string_equal(joined, "isolate=strict metric=7 mtu=1400 no_default_route=true vlan=100");
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_error err = { 0 };

		assert_int_equal(kist_net_network_set_option(&network, bad[i][0], bad[i][1], &err), -EINVAL);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
		assert_non_null(strstr(err.text, bad[i][0]));
	}
}

static void test_interface_and_object_names(void **state)
{
	(void)state;
	assert_true(kist_net_interface_name_valid("kist0") && kist_net_interface_name_valid("eth0.100"));
	assert_true(kist_net_interface_name_valid("abcdefghijklmno"));
	assert_false(kist_net_interface_name_valid("abcdefghijklmnop"));
	assert_false(kist_net_interface_name_valid("") || kist_net_interface_name_valid(NULL));
	assert_false(kist_net_interface_name_valid(".") || kist_net_interface_name_valid(".."));
	assert_false(kist_net_interface_name_valid("lo") || kist_net_interface_name_valid("all"));
	assert_false(kist_net_interface_name_valid("a/b") || kist_net_interface_name_valid("a:b"));
	assert_false(kist_net_interface_name_valid("a b") || kist_net_interface_name_valid("a\nb"));
	assert_true(kist_net_name_valid("a-b_c.d") && kist_net_name_valid("0"));
	assert_false(kist_net_name_valid("-a") || kist_net_name_valid("a/b") || kist_net_name_valid(""));
}

/* What one change to a good record makes wrong. */
struct broken {
	const char *subnet, *gateway, *start, *end, *says;
};

static void test_subnets_are_checked(void **state)
{
	static const struct broken broken[] = {
		{ "10.1.0.0", "10.1.0.1", NULL, NULL, "not a subnet" },
		{ "10.1.0.1/24", "10.1.0.2", NULL, NULL, "host bits" },
		{ "10.1.0.0/31", "10.1.0.1", NULL, NULL, "length" },
		{ "127.1.0.0/24", "127.1.0.1", NULL, NULL, "loopback" },
		{ "224.1.0.0/24", "224.1.0.1", NULL, NULL, "multicast" },
		{ "10.1.0.0/24", "10.2.0.1", NULL, NULL, "gateway" },
		{ "10.1.0.0/24", "10.1.0.0", NULL, NULL, "network or broadcast" },
		{ "10.1.0.0/24", "10.1.0.255", NULL, NULL, "network or broadcast" },
		{ "10.1.0.0/24", NULL, NULL, NULL, "needs a gateway" },
		{ "10.1.0.0/24", "10.1.0.1", "10.2.0.1", NULL, "range start" },
		{ "10.1.0.0/24", "10.1.0.1", NULL, "10.1.1.0", "range end" },
		{ "10.1.0.0/24", "10.1.0.1", "10.1.0.9", "10.1.0.8", "before it starts" },
		{ "10.88.1.0/24", "10.88.1.1", NULL, NULL, "overlap" },
		{ "fd00::/127", "fd00::1", NULL, NULL, "length" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(broken); i++) {
		KIST_NET_NETWORK struct kist_net_network network = net_network("web", "kist1");
		struct kist_error err = { 0 };

		net_subnet(&network, "10.88.0.0/16", "10.88.0.1");
		OK(kist_net_network_check(&network, E));
		net_subnet(&network, broken[i].subnet, broken[i].gateway);
		network.subnets[1].range_start = kist_strdup(broken[i].start);
		network.subnets[1].range_end = kist_strdup(broken[i].end);
		assert_int_equal(kist_net_network_check(&network, &err), -EINVAL);
		if (!strstr(err.text, broken[i].says) || !strstr(err.text, "network web"))
			fail_msg("%s: '%s' says nothing of '%s'", broken[i].subnet, err.text, broken[i].says);
	}
}

static void expect_bad(struct kist_net_network *network, const char *says)
{
	struct kist_error err = { 0 };

	assert_int_equal(kist_net_network_check(network, &err), -EINVAL);
	if (!strstr(err.text, says))
		fail_msg("'%s' says nothing of '%s'", err.text, says);
}

static void test_options_must_fit_the_driver(void **state)
{
	KIST_NET_NETWORK struct kist_net_network network = net_network("web", "kist1");

	(void)state;
	network.mode = KIST_NET_MODE_L3;
	expect_bad(&network, "mode l3 is not for driver bridge");
	network.driver = KIST_NET_IPVLAN;
	OK(kist_net_network_check(&network, E));
	network.vlan = 5;
	expect_bad(&network, "vlan");
	network.vlan = 0;
	network.isolate = KIST_NET_ISOLATE_YES;
	expect_bad(&network, "isolate");
	network.isolate = KIST_NET_ISOLATE_NO;
	network.mtu = 1000;
	OK(kist_net_network_check(&network, E));
	network.ipv6 = true;
	expect_bad(&network, "IPv6");
	network.mtu = 0;
	kist_strv_add(&network.dns_servers, "resolver.example");
	expect_bad(&network, "name server");
}

static void test_routes_are_checked(void **state)
{
	KIST_NET_NETWORK struct kist_net_network network = net_network("web", "kist1");

	(void)state;
	net_subnet(&network, "10.90.0.0/24", "10.90.0.1");
	network.routes = kist_alloc(sizeof(*network.routes));
	network.n_routes = 1;
	network.routes[0] = (struct kist_net_route){ kist_strdup("192.168.0.0/16"), kist_strdup("10.90.0.5"), 0 };
	OK(kist_net_network_check(&network, E));
	network.routes[0].gateway[0] = '2';
	expect_bad(&network, "in no subnet");
	network.routes[0].destination[0] = 'x';
	expect_bad(&network, "destination");
}

static void test_networks_must_not_collide(void **state)
{
	KIST_NET_NETWORK struct kist_net_network a = net_network("a", "kist1");
	KIST_NET_NETWORK struct kist_net_network b = net_network("b", "kist2");
	struct kist_error err = { 0 };

	(void)state;
	net_subnet(&a, "10.90.0.0/16", "10.90.0.1");
	net_subnet(&b, "10.91.0.0/16", "10.91.0.1");
	OK(kist_net_network_check_against(&a, &b, E));
	net_subnet(&b, "10.90.128.0/24", "10.90.128.1");
	assert_int_equal(kist_net_network_check_against(&a, &b, &err), -EEXIST);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	assert_non_null(strstr(err.text, "10.90.128.0/24 of network b"));
	kist_error_clear(&err);
	free(b.interface);
	b.interface = kist_strdup("kist1");
	assert_int_equal(kist_net_network_check_against(&a, &b, &err), -EEXIST);
	assert_non_null(strstr(err.text, "bridge kist1"));
}

/* --- free subnets ---------------------------------------------------------------------------------------------------
 */

static void test_new_networks_get_what_is_free(void **state)
{
	KIST_NET_PREFIXES struct kist_net_prefixes used = { 0 };
	KIST_STRV char **taken = NULL;
	struct kist_net *host = NULL;

	(void)state;
	free(net_run(-1, NULL,
	             "ip link add name kist1 type bridge; ip link set kist1 up; ip addr add 10.89.0.1/24 dev kist1; "
	             "ip route add 10.89.2.0/23 dev kist1; ip addr add 192.168.99.1/24 dev kist1"));
	OK(kist_net_open(-1, &host, E));
	kist_strv_add(&taken, "kist2");
	for (unsigned i = 0; i < 3; i++) {
		KIST_NET_NETWORK struct kist_net_network network = net_network("n", NULL);
		/* .0 is a link's, .2 and .3 are routed. */
		static const char *const subnets[] = { "10.89.1.0/24", "10.89.4.0/24", "10.89.5.0/24" };
		static const char *const gateways[] = { "10.89.1.1", "10.89.4.1", "10.89.5.1" };

		network.ipv6 = i == 2;
		OK(kist_net_network_fill(host, &network, &used, taken, E));
		assert_string_equal(network.subnets[0].subnet, subnets[i]);
		assert_string_equal(network.subnets[0].gateway, gateways[i]);
		assert_string_equal(network.interface, i == 0 ? "kist3" : i == 1 ? "kist4" : "kist5");
		assert_int_equal(network.n_subnets, i == 2 ? 2 : 1);
		if (i == 2) {
			assert_true(kist_has_prefix(network.subnets[1].subnet, "fd"));
			assert_true(kist_has_suffix(network.subnets[1].subnet, "::/64") ||
			            kist_has_suffix(network.subnets[1].subnet, "/64"));
			assert_true(kist_has_suffix(network.subnets[1].gateway, "1"));
		}
		OK(kist_net_network_check(&network, E));
		kist_net_prefixes_add_network(&used, &network);
		kist_strv_add(&taken, network.interface);
	}
	kist_net_close(host);
	free(net_run(-1, NULL, "ip link del kist1"));
}

static void test_the_pool_can_be_exhausted(void **state)
{
	KIST_NET_PREFIXES struct kist_net_prefixes used = { 0 };
	KIST_NET_NETWORK struct kist_net_network network = net_network("n", NULL);
	struct kist_net_prefix all;
	struct kist_net *host = NULL;
	struct kist_error err = { 0 };

	(void)state;
	OK(kist_net_open(-1, &host, E));
	assert_int_equal(kist_net_prefix_parse("10.0.0.0/8", &all), 0);
	kist_net_prefixes_add(&used, &all);
	assert_true(kist_net_network_fill(host, &network, &used, NULL, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	assert_non_null(strstr(err.text, "no free subnet"));
	kist_net_close(host);
}

static void test_subnets_given_get_gateways(void **state)
{
	KIST_NET_PREFIXES struct kist_net_prefixes used = { 0 };
	KIST_NET_NETWORK struct kist_net_network network = net_network("n", "br5");
	KIST_NET_NETWORK struct kist_net_network macvlan = net_network("m", NULL);
	struct kist_net *host = NULL;

	(void)state;
	OK(kist_net_open(-1, &host, E));
	net_subnet(&network, "172.30.0.0/16", NULL);
	net_subnet(&network, "fd77::/64", NULL);
	network.ipv6 = false;
	OK(kist_net_network_fill(host, &network, &used, NULL, E));
	assert_int_equal(network.n_subnets, 2);
	assert_string_equal(network.subnets[0].gateway, "172.30.0.1");
	assert_string_equal(network.subnets[1].gateway, "fd77::1");
	assert_string_equal(network.interface, "br5");
	assert_true(network.ipv6);
	macvlan.driver = KIST_NET_MACVLAN;
	OK(kist_net_network_fill(host, &macvlan, &used, NULL, E));
	assert_int_equal(macvlan.n_subnets, 0);
	assert_null(macvlan.interface);
	kist_net_close(host);
}

static void test_the_default_network(void **state)
{
	KIST_NET_NETWORK struct kist_net_network network = { 0 };

	(void)state;
	kist_net_network_default(&network);
	assert_string_equal(network.name, "kist");
	assert_string_equal(network.interface, "kist0");
	assert_string_equal(network.subnets[0].subnet, "10.88.0.0/16");
	assert_false(network.dns);
	OK(kist_net_network_check(&network, E));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_are_parsed_strictly),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_address_arithmetic),
		cmocka_unit_test(test_macs),
		cmocka_unit_test(test_every_field_survives_its_file),
		cmocka_unit_test(test_options_by_name),
		cmocka_unit_test(test_interface_and_object_names),
		cmocka_unit_test(test_subnets_are_checked),
		cmocka_unit_test(test_options_must_fit_the_driver),
		cmocka_unit_test(test_routes_are_checked),
		cmocka_unit_test(test_networks_must_not_collide),
		cmocka_unit_test(test_new_networks_get_what_is_free),
		cmocka_unit_test(test_the_pool_can_be_exhausted),
		cmocka_unit_test(test_subnets_given_get_gateways),
		cmocka_unit_test(test_the_default_network),
	};

	if (net_own() < 0) {
		perror("a network namespace of its own");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
