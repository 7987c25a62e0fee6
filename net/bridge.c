/* Bridges of the host. */
#include "net/link.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "net/sysctl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

static bool has_v6(const struct kist_net_network *network)
{
	for (size_t i = 0; i < network->n_subnets; i++) {
		if (strchr(network->subnets[i].subnet, ':'))
			return true;
	}
	return false;
}

/* --- forwarding -----------------------------------------------------------------------------------------------------
 */

/* A router does not listen to router advertisements: a host that got its own IPv6 route from one would lose it with its
 * next expiry. accept_ra=2 listens all the same (kernel doc: networking/ip-sysctl). New links take after 'default'. */
static int keep_router_advertisements(struct kist_error *err)
{
	struct if_nameindex *links = NULL;
	int r = 0;

	links = if_nameindex();
	for (size_t i = 0; r == 0 && links && links[i].if_index; i++) {
		KIST_FREE char *name = kist_asprintf("ipv6/conf/%s/accept_ra", links[i].if_name);
		struct kist_net_sysctl both = { name, "2" };

		if (kist_net_sysctl_read(name) == 1)
			r = kist_net_sysctl_write(&both, 1, err);
	}
	if (links)
		if_freenameindex(links);
	return r;
}

int kist_net_forwarding(const struct kist_net_network *network, struct kist_error *err)
{
	static const struct kist_net_sysctl v4 = { "ipv4/ip_forward", "1" };
	static const struct kist_net_sysctl v6 = { "ipv6/conf/all/forwarding", "1" };
	int r = 0;

	if (network->internal)
		return 0;
	if (kist_net_sysctl_read(v4.name) == 0)
		r = kist_net_sysctl_write(&v4, 1, err);
	if (r == 0 && has_v6(network) && kist_net_sysctl_read(v6.name) == 0) {
		r = keep_router_advertisements(err);
		if (r == 0)
			r = kist_net_sysctl_write(&v6, 1, err);
	}
	return r;
}

/* --- making ---------------------------------------------------------------------------------------------------------
 */

static void create_message(struct kist_nl *nl, const struct kist_net_network *network)
{
	struct kist_net_mac mac;
	size_t info, data;

	kist_net_link_message(nl, "make bridge", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, network->interface, false);
	/* Another process may be first. */
	kist_nl_allow(nl, EEXIST);
	/* A bridge without a MAC of its own takes its ports' lowest: the gateway's would change as containers come and
	 * go. */
	kist_net_mac_random(&mac);
	kist_nl_put(nl, IFLA_ADDRESS, mac.bytes, sizeof(mac.bytes));
	info = kist_nl_nest(nl, IFLA_LINKINFO);
	kist_nl_put_text(nl, IFLA_INFO_KIND, "bridge");
	if (network->vlan) {
		data = kist_nl_nest(nl, IFLA_INFO_DATA);
		kist_nl_put_u8(nl, IFLA_BR_VLAN_FILTERING, 1);
		/* Ports, and the bridge itself, join it untagged as they come. */
		kist_nl_put_u16(nl, IFLA_BR_VLAN_DEFAULT_PVID, (uint16_t)network->vlan);
		kist_nl_nest_end(nl, data);
	}
	kist_nl_nest_end(nl, info);
}

static int create(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err)
{
	struct kist_nl *nl = &host->route;

	kist_nl_begin(nl);
	create_message(nl, network);
	int r = kist_nl_send(nl, NULL, NULL);
	if (r == -EOPNOTSUPP && network->vlan && !nl->text[0])
		return kist_fail(
		        err, KIST_ERR_UNSUPPORTED, -r,
		        "option vlan: the kernel's bridge does not filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING)");
	return r < 0 ? kist_net_link_fail(nl, "bridge", -r, err) : 0;
}

/* Nothing on the bridge may tell the host where its routers are, and its own addresses need no probing. */
static int link_sysctls(const struct kist_net_network *network, struct kist_error *err)
{
	static const struct kist_net_sysctl values[] = {
		{ "accept_ra", "0" },
		{ "autoconf", "0" },
		{ "accept_dad", "0" },
		{ "accept_redirects", "0" },
	};

	return kist_net_sysctl_write_link6(network->interface, values, KIST_COUNT(values), err);
}

/* With its addresses, and what its name has in the table. */
static int remove_abandoned(struct kist_net *host, const struct kist_net_network *network, uint32_t index,
                            struct kist_error *err)
{
	int r = kist_net_link_finish(host, index, err);

	if (r == 0)
		kist_net_nft_remove_network(host, network, NULL);
	return r;
}

static int make(struct kist_net *host, const struct kist_net_network *network, struct kist_net_link *link,
                struct kist_error *err)
{
	bool made = false;

	/* One that is not up may be another store's, who has made it and is about to mark it. */
	int r = host->mark[0] ? kist_net_link_get(host, network->interface, 0, link, err) : 0;
	if (r == 0 && link->index && kist_net_bridge_owner(host, link) == KIST_NET_ABANDONED) {
		r = remove_abandoned(host, network, link->index, err);
		link->index = 0;
	}
	if (r == 0 && !link->index) {
		made = true;
		r = create(host, network, err);
		if (r == 0)
			r = kist_net_link_get(host, network->interface, 0, link, err);
	}
	if (r < 0 || !host->mark[0] || !link->index || link->alias[0] || !kist_streq(link->kind, "bridge") ||
	    (!made && !network->interface_chosen))
		return r;
	return kist_net_bridge_mark(host, link->index, err);
}

int kist_net_bridge_find(struct kist_net *host, const struct kist_net_network *network, uint32_t *index,
                         struct kist_error *err)
{
	struct kist_net_link link;
	bool locked = host->lock >= 0;

	int r = kist_net_link_get(host, network->interface, 0, &link, err);
	if (r == 0 && (!link.up || kist_net_bridge_owner(host, &link) == KIST_NET_ABANDONED)) {
		r = kist_net_bridges_lock(host, err);
		if (r == 0)
			r = make(host, network, &link, err);
		if (!locked)
			kist_net_bridges_unlock(host);
	}
	if (r < 0)
		return r;
	if (link.index && !kist_streq(link.kind, "bridge"))
		return kist_fail(err, KIST_ERR_EXISTS, 0, "link %s exists and is not a bridge", network->interface);
	if (link.index && kist_net_bridge_owner(host, &link) == KIST_NET_FOREIGN)
		return kist_net_owner_fail(&link, err);
	/* Up is the last thing a bridge is set: one that is not was left unfinished, or someone took it down. */
	if (link.index && !link.up)
		r = link_sysctls(network, err);
	*index = link.index;
	return r;
}

void kist_net_bridge_messages(struct kist_nl *nl, const struct kist_net_network *network, uint32_t index,
                              bool localhost)
{
	const struct kist_net_conf4 conf[] = {
		{ IPV4_DEVCONF_RP_FILTER, 2 },
		{ IPV4_DEVCONF_SEND_REDIRECTS, 0 },
		{ IPV4_DEVCONF_ROUTE_LOCALNET, 1 },
	};

	kist_net_link_message(nl, "set bridge", RTM_SETLINK, 0, index, NULL, false);
	kist_net_put_conf4(nl, conf, localhost ? KIST_COUNT(conf) : KIST_COUNT(conf) - 1);
	for (size_t i = 0; i < network->n_subnets; i++) {
		struct kist_net_prefix address;
		struct kist_net_addr gateway;

		if (kist_net_prefix_parse(network->subnets[i].subnet, &address) < 0 ||
		    kist_net_addr_parse(network->subnets[i].gateway, &gateway) < 0)
			continue;
		address.addr = gateway;
		kist_net_address_message(nl, index, &address);
	}
	kist_net_link_message(nl, "set bridge up", RTM_SETLINK, 0, index, NULL, true);
	/* A bridge follows its ports' MTU, and has the default without any, until it is told another than it has. */
	if (network->mtu)
		kist_nl_put_u32(nl, IFLA_MTU, network->mtu);
}

int kist_net_bridge_ensure(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err)
{
	uint32_t index = 0;
	int r = -ENODEV;

	/* It may be removed under our hands by one who saw it empty. */
	for (unsigned tries = 0; r == -ENODEV && tries < 20; tries++) {
		r = kist_net_bridge_find(host, network, &index, err);
		if (r < 0)
			break;
		kist_nl_begin(&host->route);
		kist_net_bridge_messages(&host->route, network, index, false);
		r = kist_nl_send(&host->route, NULL, NULL);
		if (r < 0 && (r != -ENODEV || tries == 19))
			kist_nl_fail(&host->route, -r, err);
	}
	if (r == 0)
		r = kist_net_forwarding(network, err);
	return r < 0 ? kist_context(err, "network %s", network->name) : 0;
}

int kist_net_bridge_remove(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err)
{
	struct kist_net_link link;

	if (network->driver != KIST_NET_BRIDGE)
		return 0;
	int r = kist_net_link_get(host, network->interface, 0, &link, err);
	if (r < 0 || !link.index)
		return r;
	if (!kist_streq(link.kind, "bridge"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "link %s is not a bridge", network->interface);
	if (kist_net_bridge_owner(host, &link) == KIST_NET_FOREIGN)
		return 0;
	return kist_net_link_finish(host, link.index, err);
}

struct port_count {
	uint32_t bridge;
	ssize_t n;
};

static int take_port(void *arg, const struct nlmsghdr *message)
{
	struct port_count *count = arg;
	const struct nlattr *table[IFLA_MAX + 1];

	if (message->nlmsg_type != RTM_NEWLINK)
		return 0;
	kist_nl_parse_message(message, sizeof(struct ifinfomsg), table, IFLA_MAX);
	if (kist_nl_u32(table[IFLA_MASTER], 0) == count->bridge)
		count->n++;
	return 0;
}

ssize_t kist_net_bridge_ports(struct kist_net *host, const char *bridge, struct kist_error *err)
{
	struct port_count count = { .bridge = kist_net_link_index(host, bridge) };
	int r = -EINTR;

	if (!count.bridge)
		return 0;
	kist_nl_begin(&host->route);
	kist_net_link_message(&host->route, "list ports of the bridge", RTM_GETLINK, NLM_F_DUMP, 0, NULL, false);
	kist_nl_put_u32(&host->route, IFLA_MASTER, count.bridge);
	kist_nl_put_u32(&host->route, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	for (unsigned tries = 0; r == -EINTR && tries < 10; tries++) {
		count.n = 0;
		r = kist_nl_dump(&host->route, take_port, &count);
	}
	return r < 0 && r != -EINTR ? kist_nl_fail(&host->route, -r, err) : count.n;
}
