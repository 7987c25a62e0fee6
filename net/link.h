/* What the files about links share. Only net/ includes this. */
#ifndef KIST_NET_LINK_H
#define KIST_NET_LINK_H

#include "net/nl.h"

#define KIST_NET_MARK sizeof(((struct kist_net *)NULL)->mark) /* IFALIASZ */

/* A link as the kernel describes it. index 0: there is none. */
struct kist_net_link {
	uint32_t index;
	uint32_t peer; /* IFLA_LINK: of a veth the other end, in its own namespace; 0: unknown */
	bool up;
	bool alone; /* its parent has no other, or none with its addresses, as long as it exists, even down */
	char name[IFNAMSIZ];
	char kind[16];
	char alias[KIST_NET_MARK];
	struct kist_net_mac mac;
};
/* By name, or by index where name is NULL. A missing link is success with index 0. */
int kist_net_link_get(struct kist_net *net, const char *name, uint32_t index, struct kist_net_link *out,
                      struct kist_error *err);

/* Appends to net->route's batch: a link message whose answer names the link by index, or by name where index is 0. The
 * attributes follow. */
void kist_net_link_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags, uint32_t index,
                           const char *name, bool up);
/* 'add address', host bits kept; an address that is there is fine. */
void kist_net_address_message(struct kist_nl *nl, uint32_t index, const struct kist_net_prefix *address);
/* 'add route'; gateway family 0: the destination is on the link; a loopback address becomes a local route. A route that
 * is there is fine. */
void kist_net_route_message(struct kist_nl *nl, uint32_t index, const struct kist_net_prefix *to,
                            const struct kist_net_addr *gateway, uint32_t metric);
/* IFLA_AF_SPEC with values of net.ipv4.conf.LINK, by IPV4_DEVCONF_*. */
struct kist_net_conf4 {
	uint16_t id;
	uint32_t value;
};
void kist_net_put_conf4(struct kist_nl *nl, const struct kist_net_conf4 *values, size_t n);

/* Looks the bridge up, or makes it (not up: that and the rest is kist_net_bridge_messages'). *created may be NULL. */
int kist_net_bridge_find(struct kist_net *host, const struct kist_net_network *network, uint32_t *index,
                         struct kist_error *err);
void kist_net_bridge_messages(struct kist_nl *nl, const struct kist_net_network *network, uint32_t index,
                              bool localhost);

/* Bridges bear the mark of the store that made them as their alias. Without one they are whose network has them. */
enum kist_net_owner {
	KIST_NET_OWN,
	KIST_NET_FOREIGN,
	KIST_NET_ABANDONED, /* its store is gone, and nothing is on it */
};
enum kist_net_owner kist_net_bridge_owner(struct kist_net *host, const struct kist_net_link *link);
int kist_net_owner_fail(const struct kist_net_link *link, struct kist_error *err);
int kist_net_bridge_mark(struct kist_net *host, uint32_t index, struct kist_error *err);

/* Forwarding on the host, as far as the network needs it. */
int kist_net_forwarding(const struct kist_net_network *network, struct kist_error *err);

/* Addresses, routes, up: the link inside the namespace. */
int kist_net_configure_inside(struct kist_net *inside, struct kist_net_connection *connection, struct kist_error *err);

/* The network's subnet that addr is in. */
const struct kist_net_subnet *kist_net_subnet_of(const struct kist_net_network *network,
                                                 const struct kist_net_addr *addr, struct kist_net_prefix *prefix);
/* kist_nl_fail for a message that made a link: a kernel without that kind is told apart. */
int kist_net_link_fail(const struct kist_nl *nl, const char *kind, int errnum, struct kist_error *err);

#endif
