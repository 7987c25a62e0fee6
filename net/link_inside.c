/* The link inside a container's namespace: addresses, routes, up, all in one batch. */
#include "net/link.h"

#include "core/base/error.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <string.h>

/* What the default route's metric is where nobody says, as podman has it. */
#define DEFAULT_METRIC 100

void kist_net_route_message(struct kist_nl *nl, uint32_t index, const struct kist_net_prefix *to,
                            const struct kist_net_addr *gateway, uint32_t metric)
{
	size_t len = to->addr.family == AF_INET ? 4 : 16;
	struct rtmsg header = {
		.rtm_family = (uint8_t)to->addr.family,
		.rtm_dst_len = (uint8_t)to->len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = gateway->family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};

	kist_nl_message(nl, "add route", RTM_NEWROUTE, NLM_F_CREATE, &header, sizeof(header));
	kist_nl_allow(nl, EEXIST);
	if (to->len)
		kist_nl_put(nl, RTA_DST, to->addr.bytes, len);
	if (gateway->family)
		kist_nl_put(nl, RTA_GATEWAY, gateway->bytes, len);
	if (metric)
		kist_nl_put_u32(nl, RTA_PRIORITY, metric);
	kist_nl_put_u32(nl, RTA_OIF, index);
}

/* One default route a family, through the subnet of its first address. */
static void default_routes(struct kist_nl *nl, uint32_t index, const struct kist_net_connection *c)
{
	const struct kist_net_network *network = c->network;
	bool on_link = network->driver == KIST_NET_IPVLAN &&
	               (network->mode == KIST_NET_MODE_L3 || network->mode == KIST_NET_MODE_L3S);
	uint32_t done = 0;

	if (network->no_default_route || network->internal)
		return;
	for (size_t i = 0; i < c->n_addresses; i++) {
		uint32_t family = c->addresses[i].family;
		struct kist_net_prefix to = { .addr.family = family }, prefix;
		const struct kist_net_subnet *subnet = kist_net_subnet_of(network, &c->addresses[i], &prefix);
		struct kist_net_addr gateway = { 0 };

		if (!(family == AF_INET ? c->default_route4 : c->default_route6))
			continue;
		if (!subnet || done == family || done == AF_INET + AF_INET6)
			continue;
		if (!on_link && kist_net_addr_parse(subnet->gateway, &gateway) < 0)
			continue;
		kist_net_route_message(nl, index, &to, &gateway, network->metric ? network->metric : DEFAULT_METRIC);
		done += family;
	}
}

static void static_routes(struct kist_nl *nl, uint32_t index, const struct kist_net_network *network)
{
	for (size_t i = 0; i < network->n_routes; i++) {
		struct kist_net_prefix to;
		struct kist_net_addr gateway;

		/* kist_net_network_check has seen them. */
		if (kist_net_prefix_parse(network->routes[i].destination, &to) < 0 ||
		    kist_net_addr_parse(network->routes[i].gateway, &gateway) < 0)
			continue;
		kist_net_prefix_mask(&to);
		kist_net_route_message(nl, index, &to, &gateway, network->routes[i].metric);
	}
}

static void addresses(struct kist_nl *nl, uint32_t index, const struct kist_net_connection *c, uint32_t family)
{
	for (size_t i = 0; i < c->n_addresses; i++) {
		struct kist_net_prefix prefix;

		if (c->addresses[i].family != family || !kist_net_subnet_of(c->network, &c->addresses[i], &prefix))
			continue;
		prefix.addr = c->addresses[i];
		kist_net_address_message(nl, index, &prefix);
	}
}

int kist_net_configure_inside(struct kist_net *inside, struct kist_net_connection *connection, struct kist_error *err)
{
	static const struct kist_net_conf4 conf[] = {
		{ IPV4_DEVCONF_ACCEPT_REDIRECTS, 0 },
		{ IPV4_DEVCONF_SEND_REDIRECTS, 0 },
		/* An address that comes back with another MAC is told to those who remember the old one. */
		{ IPV4_DEVCONF_ARP_NOTIFY, 1 },
	};
	struct kist_nl *nl = &inside->route;
	uint32_t index = kist_net_link_index(inside, connection->interface);

	if (!index)
		return kist_fail_errno(err, ENODEV, "link %s in the namespace", connection->interface);
	kist_nl_begin(nl);
	kist_net_link_message(nl, "set link", RTM_SETLINK, 0, index, NULL, false);
	kist_net_put_conf4(nl, conf, KIST_COUNT(conf));
	/* IPv4 addresses before the link is up: the kernel announces those there are when it comes up. IPv6 ones after:
	 * routes through a link that is down are refused. */
	addresses(nl, index, connection, AF_INET);
	kist_net_link_message(nl, "set link up", RTM_SETLINK, 0, index, NULL, true);
	addresses(nl, index, connection, AF_INET6);
	default_routes(nl, index, connection);
	static_routes(nl, index, connection->network);
	int r = kist_nl_send(nl, NULL, NULL);
	if (r == 0)
		return 0;
	kist_nl_fail(nl, -r, err);
	if (r == -EACCES || r == -EAFNOSUPPORT || r == -EOPNOTSUPP)
		return kist_remedy(err, "is IPv6 disabled in the namespace?");
	return r;
}
