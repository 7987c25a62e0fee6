/* The record of a network: its table, its options by name, and what is wrong with it. */
#include "net/net.h"

#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const struct kist_name kist_net_driver_names[] = {
	{ "bridge", KIST_NET_BRIDGE },
	{ "macvlan", KIST_NET_MACVLAN },
	{ "ipvlan", KIST_NET_IPVLAN },
	{ NULL, 0 },
};

const struct kist_name kist_net_mode_names[] = {
	{ "", KIST_NET_MODE_DEFAULT },      { "private", KIST_NET_MODE_PRIVATE },   { "vepa", KIST_NET_MODE_VEPA },
	{ "bridge", KIST_NET_MODE_BRIDGE }, { "passthru", KIST_NET_MODE_PASSTHRU }, { "l2", KIST_NET_MODE_L2 },
	{ "l3", KIST_NET_MODE_L3 },         { "l3s", KIST_NET_MODE_L3S },           { NULL, 0 },
};

static const struct kist_name isolate_names[] = {
	{ "false", KIST_NET_ISOLATE_NO },
	{ "true", KIST_NET_ISOLATE_YES },
	{ "strict", KIST_NET_ISOLATE_STRICT },
	{ NULL, 0 },
};

#define SUBNET(type, member, ...) KIST_FIELD(struct kist_net_subnet, type, member, ##__VA_ARGS__)

static const struct kist_field subnet_fields[] = {
	SUBNET(STRING, subnet),
	SUBNET(STRING, gateway),
	SUBNET(STRING, range_start, .flags = KIST_FIELD_NO_JSON),
	SUBNET(STRING, range_end, .flags = KIST_FIELD_NO_JSON),
};
static const struct kist_table subnet_table = KIST_TABLE("subnet", struct kist_net_subnet, subnet_fields);

#define ROUTE(type, member) KIST_FIELD(struct kist_net_route, type, member)

static const struct kist_field route_fields[] = {
	ROUTE(STRING, destination),
	ROUTE(STRING, gateway),
	ROUTE(U32, metric),
};
static const struct kist_table route_table = KIST_TABLE("route", struct kist_net_route, route_fields);

#define ROW(type, member, ...) KIST_FIELD(struct kist_net_network, type, member, ##__VA_ARGS__)
#define ROW_LIST(member, of)   KIST_FIELD_LIST(struct kist_net_network, LIST, member, n_##member, .table = &(of))

static const struct kist_field network_fields[] = {
	ROW(STRING, name),
	ROW(STRING, id),
	ROW(ENUM, driver, .names = kist_net_driver_names, .fallback = "bridge", .flags = KIST_FIELD_ALWAYS),
	ROW(STRING, interface, .json = "network_interface"),
	ROW(TIME, created),
	ROW_LIST(subnets, subnet_table),
	ROW_LIST(routes, route_table),
	ROW(BOOL, ipv6, .json = "ipv6_enabled", .flags = KIST_FIELD_ALWAYS),
	ROW(BOOL, internal, .flags = KIST_FIELD_ALWAYS),
	ROW(BOOL, dns, .json = "dns_enabled", .fallback = "true", .flags = KIST_FIELD_ALWAYS),
	ROW(STRV, dns_servers, .json = "network_dns_servers"),
	ROW(MAP, labels),
	ROW(U32, mtu, .flags = KIST_FIELD_NO_JSON),
	ROW(U32, vlan, .flags = KIST_FIELD_NO_JSON),
	ROW(ENUM, isolate, .names = isolate_names, .fallback = "false", .flags = KIST_FIELD_NO_JSON),
	ROW(U32, metric, .flags = KIST_FIELD_NO_JSON),
	ROW(ENUM, mode, .names = kist_net_mode_names, .fallback = "", .flags = KIST_FIELD_NO_JSON),
	ROW(BOOL, no_default_route, .flags = KIST_FIELD_NO_JSON),
	ROW(BOOL, interface_chosen, .flags = KIST_FIELD_NO_JSON),
	ROW(BOOL, subnets_chosen, .flags = KIST_FIELD_NO_JSON),
};
const struct kist_table kist_net_network_table = KIST_TABLE("network", struct kist_net_network, network_fields);

void kist_net_network_init(struct kist_net_network *network)
{
	kist_table_init(&kist_net_network_table, network);
}

void kist_net_network_release(struct kist_net_network *network)
{
	kist_table_release(&kist_net_network_table, network);
}

void kist_net_network_default(struct kist_net_network *network)
{
	kist_net_network_release(network);
	kist_net_network_init(network);
	network->name = kist_strdup("kist");
	network->interface = kist_strdup("kist0");
	network->dns = false;
	network->subnets = kist_alloc(sizeof(*network->subnets));
	network->n_subnets = 1;
	network->subnets[0].subnet = kist_strdup("10.88.0.0/16");
	network->subnets[0].gateway = kist_strdup("10.88.0.1");
}

bool kist_net_interface_name_valid(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	if (len == 0 || len >= IFNAMSIZ || kist_streq(name, ".") || kist_streq(name, ".."))
		return false;
	/* Every namespace has the first; the others are directories of sysctls. */
	if (kist_streq(name, "lo") || kist_streq(name, "all") || kist_streq(name, "default"))
		return false;
	for (; *name; name++) {
		/* The kernel's rule (dev_valid_name), and no control characters or bytes past ASCII. */
		if (*name <= ' ' || *name > '~' || *name == '/' || *name == ':')
			return false;
	}
	return true;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool kist_net_name_valid(const char *name)
{
	/* 255 is what a file name can hold, and the record is one. */
	if (kist_empty(name) || !is_alnum(name[0]) || strlen(name) > 255)
		return false;
	for (; *name; name++) {
		if (!is_alnum(*name) && !strchr("_.-", *name))
			return false;
	}
	return true;
}

/* --- options by name ------------------------------------------------------------------------------------------------
 */

enum option { OPTION_MTU, OPTION_VLAN, OPTION_ISOLATE, OPTION_METRIC, OPTION_MODE, OPTION_PARENT, OPTION_NO_DEFAULT };

static const struct kist_name option_names[] = {
	{ "mtu", OPTION_MTU },
	{ "com.docker.network.driver.mtu", OPTION_MTU },
	{ "vlan", OPTION_VLAN },
	{ "isolate", OPTION_ISOLATE },
	{ "metric", OPTION_METRIC },
	{ "mode", OPTION_MODE },
	{ "parent", OPTION_PARENT },
	{ "com.docker.network.bridge.name", OPTION_PARENT },
	{ "no_default_route", OPTION_NO_DEFAULT },
	{ NULL, 0 },
};

static int set_number(const char *value, uint32_t min, uint32_t max, uint32_t *out)
{
	uint32_t number;

	if (kist_parse_u32(value, &number) < 0 || number < min || number > max)
		return -EINVAL;
	*out = number;
	return 0;
}

static int set_isolate(const char *value, int *out)
{
	bool yes;

	if (kist_streq(value, "strict"))
		*out = KIST_NET_ISOLATE_STRICT;
	else if (kist_parse_bool(value, &yes) == 0)
		*out = yes ? KIST_NET_ISOLATE_YES : KIST_NET_ISOLATE_NO;
	else
		return -EINVAL;
	return 0;
}

static int set_interface(const char *value, char **out)
{
	if (!kist_net_interface_name_valid(value))
		return -EINVAL;
	free(*out);
	*out = kist_strdup(value);
	return 0;
}

int kist_net_network_set_option(struct kist_net_network *network, const char *key, const char *value,
                                struct kist_error *err)
{
	int option, r = -EINVAL;

	if (kist_value_of(option_names, key, &option) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "unknown network option '%s'", key);
	if (kist_empty(value))
		return kist_fail(err, KIST_ERR_INVALID, 0, "network option '%s' needs a value", key);
	switch ((enum option)option) {
	case OPTION_MTU:
		r = set_number(value, 68, 65535, &network->mtu);
		break;
	case OPTION_VLAN:
		r = set_number(value, 1, 4094, &network->vlan);
		break;
	case OPTION_ISOLATE:
		r = set_isolate(value, &network->isolate);
		break;
	case OPTION_METRIC:
		r = set_number(value, 1, UINT32_MAX, &network->metric);
		break;
	case OPTION_MODE:
		r = kist_value_of(kist_net_mode_names, value, &network->mode);
		break;
	case OPTION_PARENT:
		if (network->driver == KIST_NET_BRIDGE)
			return kist_fail(err, KIST_ERR_INVALID, 0, "option parent is not for driver bridge");
		r = set_interface(value, &network->interface);
		break;
	case OPTION_NO_DEFAULT:
		r = kist_parse_bool(value, &network->no_default_route);
		break;
	}
	if (r < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "invalid value '%s' for network option '%s'", value, key);
	return 0;
}

static void add_number(char ***out, const char *key, uint32_t value)
{
	if (value)
		kist_strv_take(out, kist_asprintf("%s=%u", key, value));
}

char **kist_net_network_options(const struct kist_net_network *network)
{
	char **out = NULL;

	if (network->isolate != KIST_NET_ISOLATE_NO)
		kist_strv_take(&out, kist_asprintf("isolate=%s", kist_name_of(isolate_names, network->isolate)));
	add_number(&out, "metric", network->metric);
	if (network->mode != KIST_NET_MODE_DEFAULT)
		kist_strv_take(&out, kist_asprintf("mode=%s", kist_name_of(kist_net_mode_names, network->mode)));
	add_number(&out, "mtu", network->mtu);
	if (network->no_default_route)
		kist_strv_add(&out, "no_default_route=true");
	if (network->driver != KIST_NET_BRIDGE && network->interface)
		kist_strv_take(&out, kist_asprintf("parent=%s", network->interface));
	add_number(&out, "vlan", network->vlan);
	return out;
}

/* --- checks ---------------------------------------------------------------------------------------------------------
 */

static int check_range(const struct kist_net_subnet *subnet, const struct kist_net_prefix *prefix,
                       struct kist_error *err)
{
	struct kist_net_addr start, end;
	bool has_start = !kist_empty(subnet->range_start), has_end = !kist_empty(subnet->range_end);

	if (has_start &&
	    (kist_net_addr_parse(subnet->range_start, &start) < 0 || !kist_net_prefix_contains(prefix, &start)))
		return kist_fail(err, KIST_ERR_INVALID, 0, "range start '%s' is not an address of subnet %s",
		                 subnet->range_start, subnet->subnet);
	if (has_end && (kist_net_addr_parse(subnet->range_end, &end) < 0 || !kist_net_prefix_contains(prefix, &end)))
		return kist_fail(err, KIST_ERR_INVALID, 0, "range end '%s' is not an address of subnet %s",
		                 subnet->range_end, subnet->subnet);
	if (has_start && has_end && kist_net_addr_compare(&start, &end) > 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "range %s-%s ends before it starts", subnet->range_start,
		                 subnet->range_end);
	return 0;
}

static int check_subnet(const struct kist_net_network *network, const struct kist_net_subnet *subnet,
                        struct kist_net_prefix *prefix, struct kist_error *err)
{
	struct kist_net_addr gateway, first, last;

	if (kist_net_prefix_parse(subnet->subnet, prefix) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not a subnet (expected ADDRESS/LENGTH)",
		                 subnet->subnet ? subnet->subnet : "");
	kist_net_prefix_bounds(prefix, &first, &last);
	if (!kist_net_addr_equal(&first, &prefix->addr))
		return kist_fail(err, KIST_ERR_INVALID, 0, "subnet %s has host bits set", subnet->subnet);
	/* A bridge needs a gateway and one container at least; point-to-point prefixes have room for neither. */
	if (prefix->len == 0 || prefix->len > (prefix->addr.family == AF_INET ? 30u : 126u))
		return kist_fail(err, KIST_ERR_INVALID, 0, "subnet %s: the length must be 1 to %u", subnet->subnet,
		                 prefix->addr.family == AF_INET ? 30u : 126u);
	if (first.bytes[0] == 127 || first.bytes[0] >= (prefix->addr.family == AF_INET ? 224 : 255))
		return kist_fail(err, KIST_ERR_INVALID, 0, "subnet %s is for loopback or multicast", subnet->subnet);
	if (!kist_empty(subnet->gateway)) {
		if (kist_net_addr_parse(subnet->gateway, &gateway) < 0 || !kist_net_prefix_contains(prefix, &gateway))
			return kist_fail(err, KIST_ERR_INVALID, 0, "gateway '%s' is not an address of subnet %s",
			                 subnet->gateway, subnet->subnet);
		if (kist_net_addr_equal(&gateway, &first) ||
		    (prefix->addr.family == AF_INET && kist_net_addr_equal(&gateway, &last)))
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "gateway %s is the network or broadcast address of %s", subnet->gateway,
			                 subnet->subnet);
	} else if (network->driver == KIST_NET_BRIDGE && !network->internal && !network->no_default_route) {
		return kist_fail(err, KIST_ERR_INVALID, 0, "subnet %s needs a gateway", subnet->subnet);
	}
	return check_range(subnet, prefix, err);
}

static int check_subnets(const struct kist_net_network *network, struct kist_error *err)
{
	KIST_NET_PREFIXES struct kist_net_prefixes seen = { 0 };

	for (size_t i = 0; i < network->n_subnets; i++) {
		struct kist_net_prefix prefix;

		int r = check_subnet(network, &network->subnets[i], &prefix, err);
		if (r < 0)
			return r;
		if (prefix.addr.family == AF_INET6 && !network->ipv6)
			return kist_fail(err, KIST_ERR_INVALID, 0, "subnet %s: the network has no IPv6",
			                 network->subnets[i].subnet);
		for (size_t k = 0; k < seen.n; k++) {
			if (kist_net_prefix_overlaps(&seen.items[k], &prefix))
				return kist_fail(err, KIST_ERR_INVALID, 0, "subnets %s and %s overlap",
				                 network->subnets[k].subnet, network->subnets[i].subnet);
		}
		kist_net_prefixes_add(&seen, &prefix);
	}
	return 0;
}

/* The gateway of a route must be on a subnet of the network, or the kernel cannot reach it. */
static int check_route(const struct kist_net_network *network, const struct kist_net_route *route,
                       struct kist_error *err)
{
	struct kist_net_prefix to, subnet;
	struct kist_net_addr gateway;

	if (kist_net_prefix_parse(route->destination, &to) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "'%s' is not a route's destination (expected ADDRESS/LENGTH)",
		                 route->destination ? route->destination : "");
	if (kist_net_addr_parse(route->gateway, &gateway) < 0 || gateway.family != to.addr.family)
		return kist_fail(err, KIST_ERR_INVALID, 0, "route to %s: '%s' is not a gateway for it",
		                 route->destination, route->gateway ? route->gateway : "");
	for (size_t i = 0; i < network->n_subnets; i++) {
		if (kist_net_prefix_parse(network->subnets[i].subnet, &subnet) == 0 &&
		    kist_net_prefix_contains(&subnet, &gateway))
			return 0;
	}
	return kist_fail(err, KIST_ERR_INVALID, 0, "route to %s: gateway %s is in no subnet of the network",
	                 route->destination, route->gateway);
}

static bool mode_fits(int driver, int mode)
{
	switch (mode) {
	case KIST_NET_MODE_DEFAULT:
		return true;
	case KIST_NET_MODE_PRIVATE:
	case KIST_NET_MODE_VEPA:
	case KIST_NET_MODE_BRIDGE:
	case KIST_NET_MODE_PASSTHRU:
		return driver == KIST_NET_MACVLAN;
	default:
		return driver == KIST_NET_IPVLAN;
	}
}

static int check_options(const struct kist_net_network *network, struct kist_error *err)
{
	const char *driver = kist_name_of(kist_net_driver_names, network->driver);
	bool bridge = network->driver == KIST_NET_BRIDGE;

	if (!driver)
		return kist_fail(err, KIST_ERR_INVALID, 0, "unknown driver");
	if (!mode_fits(network->driver, network->mode))
		return kist_fail(err, KIST_ERR_INVALID, 0, "mode %s is not for driver %s",
		                 kist_name_of(kist_net_mode_names, network->mode), driver);
	if (bridge && !kist_net_interface_name_valid(network->interface))
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not a name for a bridge",
		                 network->interface ? network->interface : "");
	if (!bridge && network->interface && !kist_net_interface_name_valid(network->interface))
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not the name of a link", network->interface);
	if (!bridge && (network->vlan || network->isolate != KIST_NET_ISOLATE_NO))
		return kist_fail(err, KIST_ERR_INVALID, 0, "option %s is not for driver %s",
		                 network->vlan ? "vlan" : "isolate", driver);
	if (network->mtu && (network->mtu < 68 || network->mtu > 65535))
		return kist_fail(err, KIST_ERR_INVALID, 0, "mtu %u: must be 68 to 65535", network->mtu);
	if (network->mtu && network->mtu < 1280 && network->ipv6)
		return kist_fail(err, KIST_ERR_INVALID, 0, "mtu %u: IPv6 needs 1280 at least", network->mtu);
	if (network->vlan > 4094)
		return kist_fail(err, KIST_ERR_INVALID, 0, "vlan %u: must be 1 to 4094", network->vlan);
	return 0;
}

int kist_net_network_check(const struct kist_net_network *network, struct kist_error *err)
{
	int r;

	if (!kist_net_name_valid(network->name))
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not a network name: [a-zA-Z0-9][a-zA-Z0-9_.-]*",
		                 network->name ? network->name : "");
	r = check_options(network, err);
	if (r == 0)
		r = check_subnets(network, err);
	for (size_t i = 0; r == 0 && i < network->n_routes; i++)
		r = check_route(network, &network->routes[i], err);
	for (size_t i = 0; r == 0 && i < kist_strv_len(network->dns_servers); i++) {
		struct kist_net_addr server;

		if (kist_net_addr_parse(network->dns_servers[i], &server) < 0)
			r = kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not a name server's address",
			              network->dns_servers[i]);
	}
	return r < 0 ? kist_context(err, "network %s", network->name) : 0;
}

int kist_net_network_check_against(const struct kist_net_network *network, const struct kist_net_network *other,
                                   struct kist_error *err)
{
	if (kist_streq(network->name, other->name))
		return kist_fail(err, KIST_ERR_EXISTS, 0, "network %s exists", network->name);
	/* Links of macvlan and ipvlan may share a parent, subnets and all: who is reachable is the parent's affair. */
	if (network->driver != KIST_NET_BRIDGE || other->driver != KIST_NET_BRIDGE)
		return 0;
	if (kist_streq(network->interface, other->interface))
		return kist_fail(err, KIST_ERR_EXISTS, 0, "network %s: bridge %s belongs to network %s", network->name,
		                 network->interface, other->name);
	for (size_t i = 0; i < network->n_subnets; i++) {
		for (size_t k = 0; k < other->n_subnets; k++) {
			struct kist_net_prefix a, b;

			if (kist_net_prefix_parse(network->subnets[i].subnet, &a) == 0 &&
			    kist_net_prefix_parse(other->subnets[k].subnet, &b) == 0 &&
			    kist_net_prefix_overlaps(&a, &b))
				return kist_fail(err, KIST_ERR_EXISTS, 0,
				                 "network %s: subnet %s overlaps %s of network %s", network->name,
				                 network->subnets[i].subnet, other->subnets[k].subnet, other->name);
		}
	}
	return 0;
}
