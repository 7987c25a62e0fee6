/* Links: looking them up, messages about them, connecting and disconnecting. */
#include "net/link.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "net/sysctl.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdlib.h>
#include <string.h>

/* Names of links that are to be removed. */
#define HIDDEN "kistgone"

/* --- messages -------------------------------------------------------------------------------------------------------
 */

void kist_net_link_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags, uint32_t index,
                           const char *name, bool up)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index };

	if (up)
		header.ifi_flags = header.ifi_change = IFF_UP;
	kist_nl_message(nl, what, type, flags, &header, sizeof(header));
	if (name)
		kist_nl_put_text(nl, IFLA_IFNAME, name);
}

void kist_net_address_message(struct kist_nl *nl, uint32_t index, const struct kist_net_prefix *address)
{
	bool v4 = address->addr.family == AF_INET;
	struct ifaddrmsg header = {
		.ifa_family = (uint8_t)address->addr.family,
		.ifa_prefixlen = (uint8_t)address->len,
		.ifa_index = index,
		/* Leases make addresses unique: waiting a second for duplicates would be all cost. */
		.ifa_flags = v4 ? 0 : IFA_F_NODAD,
	};

	kist_nl_message(nl, "add address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
	kist_nl_allow(nl, EEXIST);
	kist_nl_put(nl, IFA_LOCAL, address->addr.bytes, v4 ? 4 : 16);
	kist_nl_put(nl, IFA_ADDRESS, address->addr.bytes, v4 ? 4 : 16);
	if (v4) {
		struct kist_net_addr first, last;

		kist_net_prefix_bounds(address, &first, &last);
		kist_nl_put(nl, IFA_BROADCAST, last.bytes, 4);
	}
}

void kist_net_put_conf4(struct kist_nl *nl, const struct kist_net_conf4 *values, size_t n)
{
	size_t spec = kist_nl_nest(nl, IFLA_AF_SPEC);
	size_t family = kist_nl_nest(nl, AF_INET);
	size_t conf = kist_nl_nest(nl, IFLA_INET_CONF);

	for (size_t i = 0; i < n; i++)
		kist_nl_put_u32(nl, values[i].id, values[i].value);
	kist_nl_nest_end(nl, conf);
	kist_nl_nest_end(nl, family);
	kist_nl_nest_end(nl, spec);
}

int kist_net_link_fail(const struct kist_nl *nl, const char *kind, int errnum, struct kist_error *err)
{
	/* 'Unknown device type' */
	if (errnum == EOPNOTSUPP && strstr(nl->text, "nknown device type")) {
		char option[16];

		snprintf(option, sizeof(option), "%s", kind);
		for (char *c = option; *c; c++)
			*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
		return kist_fail(err, KIST_ERR_UNSUPPORTED, errnum,
		                 "the kernel has no %s links (CONFIG_%s; try: modprobe %s)", kind, option, kind);
	}
	return kist_nl_fail(nl, errnum, err);
}

/* --- looking up -----------------------------------------------------------------------------------------------------
 */

static void copy_text(char *out, size_t size, const struct nlattr *attr)
{
	out[0] = '\0';
	if (attr)
		snprintf(out, size, "%.*s", (int)kist_nl_len(attr), (const char *)kist_nl_data(attr));
}

static bool is_alone(const char *kind, const struct nlattr *info)
{
	const struct nlattr *data[IFLA_MACVLAN_MAX + 1];

	if (!kist_streq(kind, "macvlan"))
		return kist_streq(kind, "ipvlan");
	kist_nl_parse_nested(info, data, IFLA_MACVLAN_MAX);
	return kist_nl_u32(data[IFLA_MACVLAN_MODE], 0) == MACVLAN_MODE_PASSTHRU;
}

static int take_link(void *arg, const struct nlmsghdr *message)
{
	struct kist_net_link *out = arg;
	const struct nlattr *table[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	const struct ifinfomsg *link = NLMSG_DATA(message);

	if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(*link)))
		return 0;
	kist_nl_parse_message(message, sizeof(*link), table, IFLA_MAX);
	kist_nl_parse_nested(table[IFLA_LINKINFO], info, IFLA_INFO_MAX);
	out->index = (uint32_t)link->ifi_index;
	out->up = link->ifi_flags & IFF_UP;
	out->peer = kist_nl_u32(table[IFLA_LINK], 0);
	copy_text(out->name, sizeof(out->name), table[IFLA_IFNAME]);
	copy_text(out->kind, sizeof(out->kind), info[IFLA_INFO_KIND]);
	copy_text(out->alias, sizeof(out->alias), table[IFLA_IFALIAS]);
	out->alone = is_alone(out->kind, info[IFLA_INFO_DATA]);
	if (table[IFLA_ADDRESS] && kist_nl_len(table[IFLA_ADDRESS]) == sizeof(out->mac))
		memcpy(&out->mac, kist_nl_data(table[IFLA_ADDRESS]), sizeof(out->mac));
	return 0;
}

int kist_net_link_get(struct kist_net *net, const char *name, uint32_t index, struct kist_net_link *out,
                      struct kist_error *err)
{
	struct kist_nl *nl = &net->route;
	struct kist_net_link link = { 0 };

	kist_nl_begin(nl);
	kist_net_link_message(nl, "look up link", RTM_GETLINK, 0, index, name, false);
	kist_nl_put_u32(nl, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	kist_nl_allow(nl, ENODEV);
	int r = kist_nl_send(nl, take_link, &link);
	if (r < 0)
		return kist_nl_fail(nl, -r, err);
	*out = link;
	return 0;
}

const struct kist_net_subnet *kist_net_subnet_of(const struct kist_net_network *network,
                                                 const struct kist_net_addr *addr, struct kist_net_prefix *prefix)
{
	for (size_t i = 0; i < network->n_subnets; i++) {
		struct kist_net_prefix subnet;

		if (kist_net_prefix_parse(network->subnets[i].subnet, &subnet) == 0 &&
		    kist_net_prefix_contains(&subnet, addr)) {
			*prefix = subnet;
			return &network->subnets[i];
		}
	}
	return NULL;
}

/* --- bridge networks: a pair of veth ---------------------------------------------------------------------------------
 */

/* A pair uses one queue in each direction, whatever it has: of those that it has by default, one for each processor,
 * the kernel takes the others away again, and waits for its readers at each end (netif_set_real_num_tx_queues). */
static void one_queue(struct kist_nl *nl)
{
	kist_nl_put_u32(nl, IFLA_NUM_TX_QUEUES, 1);
	kist_nl_put_u32(nl, IFLA_NUM_RX_QUEUES, 1);
}

/* The peer is made in its namespace: nothing has to be moved, and no name of the host's is used up. */
static void veth_messages(struct kist_nl *nl, int netns, const struct kist_net_connection *c, uint32_t bridge)
{
	const struct ifinfomsg peer = { .ifi_family = AF_UNSPEC };
	size_t info, data, end;

	kist_net_link_message(nl, "make link pair", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, c->host_interface,
	                      false);
	if (c->network->mtu)
		kist_nl_put_u32(nl, IFLA_MTU, c->network->mtu);
	one_queue(nl);
	kist_nl_put_u32(nl, IFLA_MASTER, bridge);
	info = kist_nl_nest(nl, IFLA_LINKINFO);
	kist_nl_put_text(nl, IFLA_INFO_KIND, "veth");
	data = kist_nl_nest(nl, IFLA_INFO_DATA);
	end = kist_nl_nest(nl, VETH_INFO_PEER);
	kist_nl_append(nl, &peer, sizeof(peer));
	kist_nl_put_text(nl, IFLA_IFNAME, c->interface);
	kist_nl_put_u32(nl, IFLA_NET_NS_FD, (uint32_t)netns);
	kist_nl_put(nl, IFLA_ADDRESS, c->mac_out.bytes, sizeof(c->mac_out.bytes));
	if (c->network->mtu)
		kist_nl_put_u32(nl, IFLA_MTU, c->network->mtu);
	one_queue(nl);
	kist_nl_nest_end(nl, end);
	kist_nl_nest_end(nl, data);
	kist_nl_nest_end(nl, info);

	/* A port of a bridge needs no address of its own. */
	kist_net_link_message(nl, "host end without addresses", RTM_SETLINK, 0, 0, c->host_interface, false);
	kist_nl_allow(nl, EAFNOSUPPORT);
	info = kist_nl_nest(nl, IFLA_AF_SPEC);
	data = kist_nl_nest(nl, AF_INET6);
	kist_nl_put_u8(nl, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	kist_nl_nest_end(nl, data);
	kist_nl_nest_end(nl, info);
}

/* With br_netfilter, a container that asks for its own published port is translated while its frame is bridged, and
 * must be sent back out of the port it came in by: hairpin mode. Elsewhere the frame is routed, and hairpin would only
 * send a container its own broadcasts. */
static void port_message(struct kist_nl *nl, uint32_t index, const char *name)
{
	bool hairpin = kist_net_sysctl_read("bridge/bridge-nf-call-iptables") > 0 ||
	               kist_net_sysctl_read("bridge/bridge-nf-call-ip6tables") > 0;
	size_t info, data;

	/* NEWLINK without NLM_F_CREATE changes a link, and unlike SETLINK takes what a port has. */
	kist_net_link_message(nl, "host end up", RTM_NEWLINK, 0, index, name, true);
	info = kist_nl_nest(nl, IFLA_LINKINFO);
	kist_nl_put_text(nl, IFLA_INFO_SLAVE_KIND, "bridge");
	data = kist_nl_nest(nl, IFLA_INFO_SLAVE_DATA);
	kist_nl_put_u8(nl, IFLA_BRPORT_MODE, hairpin);
	kist_nl_nest_end(nl, data);
	kist_nl_nest_end(nl, info);
}

/* The host's end of a pair that exists inside; index 0 when that is not one, or its other end is elsewhere. */
static int find_host_end(struct kist_net *host, struct kist_net *inside, struct kist_net_connection *c,
                         struct kist_net_link *link, struct kist_error *err)
{
	struct kist_net_link there;

	*link = (struct kist_net_link){ 0 };
	if (!kist_net_link_index(inside, c->interface))
		return 0;
	int r = kist_net_link_get(inside, c->interface, 0, &there, err);
	if (r < 0 || !there.index)
		return r;
	if (kist_streq(there.kind, "veth") && there.peer)
		r = kist_net_link_get(host, NULL, there.peer, link, err);
	if (r < 0)
		return r;
	if (!kist_streq(link->kind, "veth") || (c->host_interface[0] && !kist_streq(link->name, c->host_interface)))
		return kist_fail(err, KIST_ERR_EXISTS, 0, "there is a link %s in the namespace already", c->interface);
	c->mac_out = there.mac;
	memcpy(c->host_interface, link->name, sizeof(c->host_interface));
	return 0;
}

static void choose_host_name(char out[IFNAMSIZ])
{
	char random[9];

	kist_random_hex(random, 8);
	snprintf(out, IFNAMSIZ, "veth%.8s", random);
}

/* One attempt. 1: again, with another name or another bridge. */
static int attach_bridge_once(struct kist_net *host, struct kist_net *inside, int netns, struct kist_net_connection *c,
                              bool *created, struct kist_error *err)
{
	struct kist_nl *nl = &host->route;
	bool chosen = !c->host_interface[0];
	struct kist_net_link old;
	uint32_t bridge = 0;

	int r = find_host_end(host, inside, c, &old, err);
	if (r == 0)
		r = kist_net_bridge_find(host, c->network, &bridge, err);
	if (r < 0)
		return r;
	kist_nl_begin(nl);
	kist_net_bridge_messages(nl, c->network, bridge, c->localhost);
	if (old.index) {
		kist_net_link_message(nl, "attach to the bridge", RTM_SETLINK, 0, old.index, NULL, false);
		kist_nl_put_u32(nl, IFLA_MASTER, bridge);
		port_message(nl, old.index, NULL);
	} else {
		if (chosen)
			choose_host_name(c->host_interface);
		veth_messages(nl, netns, c, bridge);
		port_message(nl, 0, c->host_interface);
	}
	r = kist_nl_send(nl, NULL, NULL);
	*created = r == 0 && !old.index;
	if (r == 0)
		return 0;
	/* The name was given to another process's link, or the bridge was removed meanwhile. */
	if (chosen && !old.index)
		c->host_interface[0] = '\0';
	if ((r == -EEXIST && chosen) || r == -ENODEV)
		return 1;
	/* The pair is there and its inner end has another name: a disconnect was cut short, or the container renamed
	 * it. */
	if (r == -EEXIST && !old.index) {
		r = kist_net_link_remove(host, c->host_interface, err);
		return r < 0 ? r : 1;
	}
	return kist_net_link_fail(nl, "veth", -r, err);
}

static int attach_bridge(struct kist_net *host, struct kist_net *inside, int netns, struct kist_net_connection *c,
                         bool *created, struct kist_error *err)
{
	int r = kist_net_forwarding(c->network, err);

	for (unsigned tries = 0; r >= 0 && tries < 20; tries++) {
		r = attach_bridge_once(host, inside, netns, c, created, err);
		if (r <= 0)
			return r;
	}
	return r < 0 ? r : kist_nl_fail(&host->route, EAGAIN, err);
}

/* --- macvlan and ipvlan networks -------------------------------------------------------------------------------------
 */

static uint32_t macvlan_mode(int mode)
{
	switch (mode) {
	case KIST_NET_MODE_PRIVATE:
		return MACVLAN_MODE_PRIVATE;
	case KIST_NET_MODE_VEPA:
		return MACVLAN_MODE_VEPA;
	case KIST_NET_MODE_PASSTHRU:
		return MACVLAN_MODE_PASSTHRU;
	default:
		return MACVLAN_MODE_BRIDGE;
	}
}

static uint16_t ipvlan_mode(int mode)
{
	if (mode == KIST_NET_MODE_L3)
		return IPVLAN_MODE_L3;
	return mode == KIST_NET_MODE_L3S ? IPVLAN_MODE_L3S : IPVLAN_MODE_L2;
}

static void child_message(struct kist_nl *nl, int netns, const struct kist_net_connection *c, uint32_t parent)
{
	bool macvlan = c->network->driver == KIST_NET_MACVLAN;
	size_t info, data;

	kist_net_link_message(nl, macvlan ? "make macvlan link" : "make ipvlan link", RTM_NEWLINK,
	                      NLM_F_CREATE | NLM_F_EXCL, 0, c->interface, false);
	kist_nl_put_u32(nl, IFLA_LINK, parent);
	kist_nl_put_u32(nl, IFLA_NET_NS_FD, (uint32_t)netns);
	if (c->network->mtu)
		kist_nl_put_u32(nl, IFLA_MTU, c->network->mtu);
	if (macvlan)
		kist_nl_put(nl, IFLA_ADDRESS, c->mac_out.bytes, sizeof(c->mac_out.bytes));
	info = kist_nl_nest(nl, IFLA_LINKINFO);
	kist_nl_put_text(nl, IFLA_INFO_KIND, macvlan ? "macvlan" : "ipvlan");
	data = kist_nl_nest(nl, IFLA_INFO_DATA);
	if (macvlan)
		kist_nl_put_u32(nl, IFLA_MACVLAN_MODE, macvlan_mode(c->network->mode));
	else
		kist_nl_put_u16(nl, IFLA_IPVLAN_MODE, ipvlan_mode(c->network->mode));
	kist_nl_nest_end(nl, data);
	kist_nl_nest_end(nl, info);
}

static int attach_parent(struct kist_net *host, struct kist_net *inside, int netns, struct kist_net_connection *c,
                         bool *created, struct kist_error *err)
{
	const char *kind = kist_name_of(kist_net_driver_names, c->network->driver);
	char name[IFNAMSIZ] = "";
	struct kist_net_link there;
	int r = 0;

	if (kist_net_link_index(inside, c->interface)) {
		r = kist_net_link_get(inside, c->interface, 0, &there, err);
		if (r == 0 && !kist_streq(there.kind, kind))
			return kist_fail(err, KIST_ERR_EXISTS, 0, "there is a link %s in the namespace already",
			                 c->interface);
		if (r == 0)
			c->mac_out = there.mac;
		return r;
	}
	if (c->network->interface)
		snprintf(name, sizeof(name), "%s", c->network->interface);
	else
		r = kist_net_default_link(host, name, err);
	if (r < 0)
		return kist_remedy(err, "name the parent link with --opt parent=NAME");
	uint32_t parent = kist_net_link_index(host, name);
	if (!parent)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENODEV, "there is no link %s on the host", name);
	kist_nl_begin(&host->route);
	child_message(&host->route, netns, c, parent);
	r = kist_nl_send(&host->route, NULL, NULL);
	*created = r == 0;
	return r < 0 ? kist_net_link_fail(&host->route, kind, -r, err) : 0;
}

/* --- both -----------------------------------------------------------------------------------------------------------
 */

static int check_connection(const struct kist_net_connection *c, struct kist_error *err)
{
	if (!kist_net_interface_name_valid(c->interface))
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not an interface name",
		                 c->interface ? c->interface : "");
	if (c->mac && c->network->driver == KIST_NET_IPVLAN)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "network %s: an ipvlan link has its parent's MAC address, it cannot be chosen",
		                 c->network->name);
	for (size_t i = 0; i < c->n_addresses; i++) {
		char text[KIST_NET_ADDR_TEXT];
		struct kist_net_prefix prefix;

		if (!kist_net_subnet_of(c->network, &c->addresses[i], &prefix))
			return kist_fail(err, KIST_ERR_INVALID, 0, "address %s is in no subnet of network %s",
			                 kist_net_addr_text(text, &c->addresses[i]), c->network->name);
	}
	return 0;
}

int kist_net_connect(struct kist_net *host, struct kist_net *inside, int netns, struct kist_net_connection *connection,
                     struct kist_error *err)
{
	bool created = false;

	int r = check_connection(connection, err);
	if (r < 0)
		return r;
	if (connection->mac)
		connection->mac_out = *connection->mac;
	else
		kist_net_mac_random(&connection->mac_out);
	if (connection->network->driver == KIST_NET_BRIDGE)
		r = attach_bridge(host, inside, netns, connection, &created, err);
	else
		r = attach_parent(host, inside, netns, connection, &created, err);
	if (r == 0)
		r = kist_net_configure_inside(inside, connection, err);
	if (r < 0 && created)
		kist_net_disconnect(inside, connection->interface, NULL, NULL);
	return r < 0 ? kist_context(err, "connect to network %s", connection->network->name) : 0;
}

int kist_net_link_finish(struct kist_net *net, uint32_t index, struct kist_error *err)
{
	kist_nl_begin(&net->route);
	kist_net_link_message(&net->route, "remove link", RTM_DELLINK, 0, index, NULL, false);
	kist_nl_allow(&net->route, ENODEV);
	int r = kist_nl_send(&net->route, NULL, NULL);
	return r < 0 ? kist_nl_fail(&net->route, -r, err) : 0;
}

/* --- leaving ---------------------------------------------------------------------------------------------------------
 */

/* What a container can see of a removal takes little: the link is down and its name is free. */
static int hide(struct kist_net *inside, uint32_t index)
{
	struct ifinfomsg down = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_change = IFF_UP };
	struct kist_nl *nl = &inside->route;
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), HIDDEN "%07x", index & 0xfffffff);
	kist_nl_begin(nl);
	kist_nl_message(nl, "link down", RTM_SETLINK, 0, &down, sizeof(down));
	kist_net_link_message(nl, "rename link", RTM_SETLINK, 0, index, name, false);
	return kist_nl_send(nl, NULL, NULL);
}

static int take_hidden(void *arg, const struct nlmsghdr *message)
{
	uint32_t *index = arg;
	struct kist_net_link link = { 0 };

	take_link(&link, message);
	if (link.index && !link.up && kist_has_prefix(link.name, HIDDEN))
		*index = link.index;
	return 0;
}

uint32_t kist_net_link_hidden(struct kist_net *inside)
{
	uint32_t index = 0;

	kist_nl_begin(&inside->route);
	kist_net_link_message(&inside->route, "list links", RTM_GETLINK, NLM_F_DUMP, 0, NULL, false);
	kist_nl_put_u32(&inside->route, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	/* Cut short by a change, it has found one or has not: the next call looks again. */
	kist_nl_dump(&inside->route, take_hidden, &index);
	return index;
}

int kist_net_disconnect(struct kist_net *inside, const char *interface, uint32_t *later, struct kist_error *err)
{
	struct kist_net_link link;

	if (later)
		*later = 0;
	int r = kist_net_link_get(inside, interface, 0, &link, err);
	if (r < 0)
		return r;
	if (!link.index) {
		/* Of a call that was killed before it could pass the rest on. */
		if (later)
			*later = kist_net_link_hidden(inside);
		return 0;
	}
	if (!later || link.alone || hide(inside, link.index) < 0)
		return kist_net_link_finish(inside, link.index, err);
	*later = link.index;
	return 0;
}

int kist_net_link_remove(struct kist_net *host, const char *host_interface, struct kist_error *err)
{
	struct kist_net_link link;

	int r = kist_net_link_get(host, host_interface, 0, &link, err);
	if (r < 0 || !link.index)
		return r;
	if (!kist_streq(link.kind, "veth"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "link %s is not of kind veth", host_interface);
	r = kist_net_link_finish(host, link.index, err);
	return r < 0 ? kist_context(err, "%s", host_interface) : 0;
}

/* By the bridge's own message: after the general one the kernel looks at the port anew, and opens it again. */
int kist_net_link_silence(struct kist_net *host, const char *host_interface, struct kist_error *err)
{
	struct kist_nl *nl = &host->route;
	struct ifinfomsg port = { .ifi_family = AF_BRIDGE };
	size_t info;

	port.ifi_index = (int)kist_net_link_index(host, host_interface);
	if (!port.ifi_index)
		return 0;
	kist_nl_begin(nl);
	kist_nl_message(nl, "silence link", RTM_SETLINK, 0, &port, sizeof(port));
	info = kist_nl_nest(nl, IFLA_PROTINFO);
	kist_nl_put_u8(nl, IFLA_BRPORT_STATE, BR_STATE_DISABLED);
	kist_nl_nest_end(nl, info);
	kist_nl_allow(nl, ENODEV);
	int r = kist_nl_send(nl, NULL, NULL);
	if (r == 0)
		return 0;
	/* The host's administrator has spanning tree on the bridge, or took the link off it. */
	return kist_net_link_remove(host, host_interface, err);
}
