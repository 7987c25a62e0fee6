/* Forgetting tracked flows, so that what NAT decided once does not outlive its reason. */
#include "net/nft.h"

#include "core/base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>

/* Flag of CTA_FILTER, which the kernel keeps to itself (nf_conntrack_netlink.c): compare the source address of a tuple.
 */
enum { FILTER_IP_SRC = 1 << 0 };

static void flows_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags, uint32_t family)
{
	/* Version 1: the family is meant (nf_conntrack_netlink.c takes 0 as all families, for old programs that left it
	 * unset). */
	const struct nfgenmsg header = { .nfgen_family = (uint8_t)family, .version = 1 };

	kist_nl_message(nl, what, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags, &header, sizeof(header));
}

int kist_net_conntrack_forget(struct kist_net *host, const struct kist_net_addr *container, struct kist_error *err)
{
	bool v4 = container->family == AF_INET;
	size_t tuple, ip, filter;

	int r = kist_net_filter(host, err);
	if (r < 0)
		return r;
	struct kist_nl *nl = &host->filter;
	kist_nl_begin(nl);
	flows_message(nl, "forget flows", IPCTNL_MSG_CT_DELETE, 0, container->family);
	/* The way back begins at the container, whatever address the client was given. */
	tuple = kist_nl_nest(nl, CTA_TUPLE_REPLY);
	ip = kist_nl_nest(nl, CTA_TUPLE_IP);
	kist_nl_put(nl, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, container->bytes, v4 ? 4 : 16);
	kist_nl_nest_end(nl, ip);
	kist_nl_nest_end(nl, tuple);
	filter = kist_nl_nest(nl, CTA_FILTER);
	kist_nl_put_u32(nl, CTA_FILTER_ORIG_FLAGS, 0);
	kist_nl_put_u32(nl, CTA_FILTER_REPLY_FLAGS, FILTER_IP_SRC);
	kist_nl_nest_end(nl, filter);
	/* Without ctnetlink, or its filter (Linux 5.8), the half tuple is refused, and flows end by their time-outs. */
	r = kist_nl_send(nl, NULL, NULL);
	return r == -EPERM ? kist_nl_fail(nl, -r, err) : 0;
}

/* --- flows to ports that were not published until now
 * -------------------------------------------------------------------
 */

struct flow_walk {
	const struct kist_net_publish *ports;
	size_t n;
	struct kist_nl *delete; /* collects the deletions */
};

static bool is_published(const struct flow_walk *walk, uint32_t family, uint8_t protocol, uint16_t port)
{
	for (size_t i = 0; i < walk->n; i++) {
		const struct kist_net_publish *p = &walk->ports[i];

		if (p->protocol == protocol && p->host.family == family && port >= p->host_port &&
		    port - p->host_port < (p->count ? p->count : 1))
			return true;
	}
	return false;
}

static int take_flow(void *arg, const struct nlmsghdr *message)
{
	struct flow_walk *walk = arg;
	const struct nfgenmsg *header = NLMSG_DATA(message);
	const struct nlattr *flow[CTA_MAX + 1], *tuple[CTA_TUPLE_MAX + 1], *proto[CTA_PROTO_MAX + 1];
	uint8_t protocol;
	uint16_t port;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*header)))
		return 0;
	kist_nl_parse_message(message, sizeof(*header), flow, CTA_MAX);
	kist_nl_parse_nested(flow[CTA_TUPLE_ORIG], tuple, CTA_TUPLE_MAX);
	kist_nl_parse_nested(tuple[CTA_TUPLE_PROTO], proto, CTA_PROTO_MAX);
	if (!proto[CTA_PROTO_NUM] || !proto[CTA_PROTO_DST_PORT] || kist_nl_len(proto[CTA_PROTO_NUM]) < 1 ||
	    kist_nl_len(proto[CTA_PROTO_DST_PORT]) < 2)
		return 0;
	memcpy(&protocol, kist_nl_data(proto[CTA_PROTO_NUM]), sizeof(protocol));
	memcpy(&port, kist_nl_data(proto[CTA_PROTO_DST_PORT]), sizeof(port));
	/* TCP closes by itself; what is translated already is either ours or goes somewhere else. */
	if (protocol != IPPROTO_UDP || ntohl(kist_nl_u32(flow[CTA_STATUS], 0)) & (IPS_DST_NAT | IPS_SRC_NAT) ||
	    !is_published(walk, header->nfgen_family, protocol, ntohs(port)))
		return 0;
	flows_message(walk->delete, "forget flow", IPCTNL_MSG_CT_DELETE, 0, header->nfgen_family);
	kist_nl_allow(walk->delete, ENOENT);
	kist_nl_put(walk->delete, CTA_TUPLE_ORIG | NLA_F_NESTED, kist_nl_data(flow[CTA_TUPLE_ORIG]),
	            kist_nl_len(flow[CTA_TUPLE_ORIG]));
	if (flow[CTA_ZONE])
		kist_nl_put(walk->delete, CTA_ZONE, kist_nl_data(flow[CTA_ZONE]), kist_nl_len(flow[CTA_ZONE]));
	return 0;
}

void kist_net_conntrack_forget_ports(struct kist_net *host, const struct kist_net_publish *ports, size_t n)
{
	struct kist_nl delete;
	struct flow_walk walk = { .ports = ports, .n = n, .delete = &delete };
	bool udp = false;

	for (size_t i = 0; i < n; i++)
		udp = udp || ports[i].protocol == IPPROTO_UDP;
	if (!udp || kist_net_filter(host, NULL) < 0 || kist_nl_open(&delete, NETLINK_NETFILTER, NULL) < 0)
		return;
	kist_nl_begin(&host->filter);
	/* Of all families: the kernel goes through the whole table each time, which is large on large machines. */
	flows_message(&host->filter, "list flows", IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
	kist_nl_begin(&delete);
	/* Best effort: without ctnetlink they end by their time-outs. */
	if (kist_nl_dump(&host->filter, take_flow, &walk) == 0)
		kist_nl_send(&delete, NULL, NULL);
	kist_nl_close(&delete);
}
