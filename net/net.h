/* Networks of containers: records, links, addresses, leases, nftables, host ports. dns.h has the names.
 *
 * Nothing here knows containers, ids or records on disk other than a network's own: it takes fds of directories and of
 * network namespaces, names and small structs. Only the kernel is spoken to: rtnetlink, nfnetlink and /proc/sys.
 *
 * How a container is connected to a bridge network, in this order:
 *   kist_net_open(-1)              the host's sockets; once a process
 *   kist_net_open_container(ns)    sockets inside the namespace, loopback up, sysctls: once a namespace
 *   kist_net_lease_take            an address a subnet
 *   kist_net_connect               bridge if missing, link pair, addresses, routes
 *   kist_net_nft_add               masquerade, isolation, published ports
 * and left: kist_net_nft_remove, kist_net_disconnect (or the namespace's end), kist_net_lease_release.
 * kist_net_connect and kist_net_nft_add are idempotent: a reload is to call them again with the same values. */
#ifndef KIST_NET_H
#define KIST_NET_H

#include "core/base/table.h"

#include <net/if.h>

struct kist_error;

/* --- addresses -------------------------------------------------------------------------------------------------- */

/* Bytes in network order. family: AF_INET, AF_INET6, or 0 for none. Unused bytes are 0, so that memcmp compares. */
struct kist_net_addr {
	uint32_t family;
	uint8_t bytes[16];
};
struct kist_net_prefix {
	struct kist_net_addr addr; /* host bits are kept */
	uint32_t len;
};
struct kist_net_mac {
	uint8_t bytes[6];
};
#define KIST_NET_ADDR_TEXT   46
#define KIST_NET_PREFIX_TEXT 50
#define KIST_NET_MAC_TEXT    18

/* Strict: the whole text, no zone, no leading zeros; -EINVAL. */
int kist_net_addr_parse(const char *text, struct kist_net_addr *out);
int kist_net_prefix_parse(const char *text, struct kist_net_prefix *out); /* "ADDRESS/LEN"; a missing LEN is -EINVAL */
int kist_net_mac_parse(const char *text, struct kist_net_mac *out);       /* "aa:bb:cc:dd:ee:ff"; unicast, not all 0 */
char *kist_net_addr_text(char out[KIST_NET_ADDR_TEXT], const struct kist_net_addr *addr);
char *kist_net_prefix_text(char out[KIST_NET_PREFIX_TEXT], const struct kist_net_prefix *prefix);
char *kist_net_mac_text(char out[KIST_NET_MAC_TEXT], const struct kist_net_mac *mac);
void kist_net_mac_random(struct kist_net_mac *out); /* locally administered, unicast */
bool kist_net_addr_equal(const struct kist_net_addr *a, const struct kist_net_addr *b);
int kist_net_addr_compare(const struct kist_net_addr *a, const struct kist_net_addr *b); /* one family: numeric order */
bool kist_net_addr_is_any(const struct kist_net_addr *addr);                             /* 0.0.0.0 or :: */
bool kist_net_addr_is_loopback(const struct kist_net_addr *addr);                        /* 127.0.0.0/8 or ::1 */
bool kist_net_prefix_contains(const struct kist_net_prefix *prefix, const struct kist_net_addr *addr);
bool kist_net_prefix_overlaps(const struct kist_net_prefix *a, const struct kist_net_prefix *b);
void kist_net_prefix_mask(struct kist_net_prefix *prefix); /* clears the host bits */
/* First and last address of the prefix, host bits all 0 and all 1. */
void kist_net_prefix_bounds(const struct kist_net_prefix *prefix, struct kist_net_addr *first,
                            struct kist_net_addr *last);
/* addr + n; false when it would wrap. */
bool kist_net_addr_add(struct kist_net_addr *addr, uint64_t n);

/* --- the record of a network ------------------------------------------------------------------------------------- */

enum kist_net_driver { KIST_NET_BRIDGE, KIST_NET_MACVLAN, KIST_NET_IPVLAN };
enum kist_net_isolate {
	KIST_NET_ISOLATE_NO,
	KIST_NET_ISOLATE_YES,    /* from other networks that are isolated */
	KIST_NET_ISOLATE_STRICT, /* from all other networks */
};
enum kist_net_mode {                        /* of macvlan and ipvlan links */
	             KIST_NET_MODE_DEFAULT, /* macvlan bridge, ipvlan l2 */
	             KIST_NET_MODE_PRIVATE, /* macvlan */
	             KIST_NET_MODE_VEPA,
	             KIST_NET_MODE_BRIDGE,
	             KIST_NET_MODE_PASSTHRU,
	             KIST_NET_MODE_L2, /* ipvlan */
	             KIST_NET_MODE_L3,
	             KIST_NET_MODE_L3S,
};

struct kist_net_subnet {
	char *subnet;  /* "10.89.0.0/24", host bits clear; required */
	char *gateway; /* inside the subnet; NULL only without a default route or on an internal network */
	char *range_start, *range_end; /* where leases come from; NULL: the whole subnet */
};
struct kist_net_route {
	char *destination; /* "192.168.0.0/24" */
	char *gateway;
	uint32_t metric; /* 0: the kernel's default */
};

/* A network. One flat file by kist_net_network_table; JSON keys are podman's, so that inspect runs on the table
 * (lease_range, options and ipam_options, which nest there, are left to the caller: kist_net_network_options). */
struct kist_net_network {
	char *name;
	char *id; /* 64 hexadecimal characters */
	int driver;
	char *interface; /* of a bridge: its name; of macvlan and ipvlan: the parent link, NULL: the default route's */
	int64_t created; /* wall nanoseconds */
	struct kist_net_subnet *subnets;
	size_t n_subnets;
	struct kist_net_route *routes;
	size_t n_routes;
	bool ipv6;     /* it has, or shall be given, a v6 subnet */
	bool internal; /* nothing in or out but the host itself */
	bool dns;      /* names of its containers are answered */
	char **dns_servers;
	char **labels; /* KEY=value */
	/* What podman's --opt sets: kist_net_network_set_option. */
	uint32_t mtu;  /* 0: the kernel's default */
	uint32_t vlan; /* 0: none, else 1..4094; makes the bridge filter VLANs */
	int isolate;
	uint32_t metric; /* of the default route; 0: 100 */
	int mode;
	bool no_default_route;
	/* Nobody asked for just that name or those subnets: another store's may be given way to before the first use.
	 */
	bool interface_chosen, subnets_chosen;
};
extern const struct kist_table kist_net_network_table;

#define KIST_NET_NETWORK __attribute__((cleanup(kist_net_network_release)))
void kist_net_network_init(struct kist_net_network *network); /* the defaults: bridge, dns on */
void kist_net_network_release(struct kist_net_network *network);

extern const struct kist_name kist_net_driver_names[];
extern const struct kist_name kist_net_mode_names[];

/* "mtu" "vlan" "isolate" "metric" "mode" "parent" "no_default_route" (and "com.docker.network.driver.mtu",
 * "com.docker.network.bridge.name"). KIST_ERR_INVALID names the option or the value. */
int kist_net_network_set_option(struct kist_net_network *network, const char *key, const char *value,
                                struct kist_error *err);
/* The same back, as "key=value" for what is not the default; the caller frees. */
char **kist_net_network_options(const struct kist_net_network *network);

/* Interface names: 1..15 characters, no '/', ':', white space, control characters, not "." or "..". */
bool kist_net_interface_name_valid(const char *name);
/* podman's rule for names of networks and other objects: [a-zA-Z0-9][a-zA-Z0-9_.-]*. */
bool kist_net_name_valid(const char *name);

/* Everything that can be known from the record alone: names, driver and options that fit each other, subnets well
 * formed, not overlapping each other, gateways and ranges inside, at most one default gateway a family. */
int kist_net_network_check(const struct kist_net_network *network, struct kist_error *err);
/* Against another record: same name, interface, or an overlapping subnet is KIST_ERR_EXISTS naming both. */
int kist_net_network_check_against(const struct kist_net_network *network, const struct kist_net_network *other,
                                   struct kist_error *err);

/* Subnets in use that a new one must not overlap: grown by the caller, freed by it. */
struct kist_net_prefixes {
	struct kist_net_prefix *items;
	size_t n;
};
#define KIST_NET_PREFIXES __attribute__((cleanup(kist_net_prefixes_free)))
void kist_net_prefixes_free(struct kist_net_prefixes *prefixes);
void kist_net_prefixes_add(struct kist_net_prefixes *prefixes, const struct kist_net_prefix *prefix);
void kist_net_prefixes_add_network(struct kist_net_prefixes *prefixes, const struct kist_net_network *network);

/* Fills what is open in a new network: ipv6 where a v6 subnet is given, a bridge name ("kist1" upward, not in
 * taken_names and no link of the host), a v4 subnet where there is none (10.89.0.0/24 upward to 10.255.255.0/24), a v6
 * one where ipv6 is set and there is none (a random fd00::/8 /64), gateways (first address of each subnet; not for
 * macvlan and ipvlan without a subnet of their own, which take no lease and expect DHCP or none). used: other networks'
 * subnets; the host's routes are looked up here. KIST_ERR_IN_USE when the pools are exhausted. */
struct kist_net;
int kist_net_network_fill(struct kist_net *host, struct kist_net_network *network, const struct kist_net_prefixes *used,
                          char *const *taken_interfaces, struct kist_error *err);
/* The default network "kist": kist0, 10.88.0.0/16, gateway 10.88.0.1. dns: off, as podman has it for its own. */
void kist_net_network_default(struct kist_net_network *network);

/* --- sockets -------------------------------------------------------------------------------------------------------
 */

/* Netlink sockets of one network namespace. They stay in it wherever the process goes. Not shared over fork. */
struct kist_net;

/* netns: a namespace fd, borrowed; -1: the caller's own. The process enters it for the moment it takes to open the
 * sockets and comes back (single-threaded processes only; CAP_SYS_ADMIN). If it cannot come back, it aborts:
 * going on in the wrong namespace would do to the host what was meant for a container. */
int kist_net_open(int netns, struct kist_net **out, struct kist_error *err);
/* The same, and prepares a container's namespace while there: loopback up, no router advertisements and no redirects
 * accepted or sent (CVE-2020-10749, CVE-2020-13401), arp_notify. For links made later, thus before kist_net_connect. */
int kist_net_open_container(int netns, struct kist_net **out, struct kist_error *err);
void kist_net_close(struct kist_net *net); /* NULL is fine */

/* Destinations of all routes but default ones and those of loopback: appended to *out. */
int kist_net_routes_used(struct kist_net *net, struct kist_net_prefixes *out, struct kist_error *err);
/* The link the default route goes through. KIST_ERR_NOT_FOUND. */
int kist_net_default_link(struct kist_net *net, char out[IFNAMSIZ], struct kist_error *err);
bool kist_net_link_exists(struct kist_net *net, const char *name);

struct kist_net_link_stats {
	char name[IFNAMSIZ];
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};
/* All links of the namespace but loopback; the caller frees *out. Returns the count. */
ssize_t kist_net_stats(struct kist_net *net, struct kist_net_link_stats **out, struct kist_error *err);

/* --- links ---------------------------------------------------------------------------------------------------------
 */

/* One place on one network. */
struct kist_net_connection {
	const struct kist_net_network *network;
	const char *interface;           /* inside: "eth0" */
	const struct kist_net_mac *mac;  /* NULL: random. ipvlan has its parent's, and refuses one */
	struct kist_net_addr *addresses; /* inside one of the network's subnets each */
	size_t n_addresses;
	bool default_route4, default_route6; /* false: another network of the container has it. The network's own wish
	                                      * is looked at too
	                                      */
	bool localhost; /* ports are published here: 127.0.0.1 of the host may be routed to the bridge. Only with
	                   nftables     in force, which keeps containers off the host's loopback (CVE-2020-8558) */
	/* In and out: the host's end of the pair; "" to choose one. Written to the record it lets a later call find it.
	 */
	char host_interface[IFNAMSIZ];
	struct kist_net_mac mac_out; /* out: what the link has */
};

/* Makes all of it: bridge with its addresses and sysctls (forwarding on, when the network is not internal), the link
 * into the namespace, addresses, routes, up. What is there already is adopted and repaired. On failure the link is
 * removed; the bridge stays. host and inside: sockets of both sides; netns: the namespace inside belongs to.
 * KIST_ERR_UNSUPPORTED: the kernel has no such links, with the module to load. */
int kist_net_connect(struct kist_net *host, struct kist_net *inside, int netns, struct kist_net_connection *connection,
                     struct kist_error *err);
/* Removes the link from inside (its host end goes with it). A missing link is success. The kernel waits 10 to 30 ms for
 * its readers in that: with later, the link is down and its name is free, and the rest is left to who calls
 * kist_net_link_finish with *later, which is 0 when there is nothing left. Where the rest was lost,
 * kist_net_link_hidden tells such a link (0: there is none), and so does another disconnect. */
int kist_net_disconnect(struct kist_net *inside, const char *interface, uint32_t *later, struct kist_error *err);
uint32_t kist_net_link_hidden(struct kist_net *inside);
int kist_net_link_finish(struct kist_net *net, uint32_t index, struct kist_error *err);
/* The same from the host's side, for a namespace that cannot be reached any more; only links of kind veth. */
int kist_net_link_remove(struct kist_net *host, const char *host_interface, struct kist_error *err);
/* From here on nothing passes the link: what the kernel waits 10 to 30 ms for in a removal can be left for later. A
 * missing link is success; one that is no port of a bridge, or of one with spanning tree, is removed. */
int kist_net_link_silence(struct kist_net *host, const char *host_interface, struct kist_error *err);
/* The bridge with its sysctls and addresses, without a container. */
int kist_net_bridge_ensure(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err);
/* Removes the bridge, which must be a bridge. Missing is success, and so is another store's, which stays. */
int kist_net_bridge_remove(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err);

/* Several stores can have networks in one network namespace. A bridge that is made is marked with the store's two
 * directories, as the link's alias; one that bears the mark of another store that is there is not used, changed or
 * removed: KIST_ERR_EXISTS names both. One whose store is gone, with nothing on it, is made anew. Bridges without a
 * mark belong to whose network has them. Without this call nothing is marked or looked at. */
void kist_net_store(struct kist_net *host, const char *root, const char *runroot);
/* Keeps all who make bridges in the namespace waiting, until the unlock or the close; for a second at most. */
int kist_net_bridges_lock(struct kist_net *host, struct kist_error *err);
void kist_net_bridges_unlock(struct kist_net *host);
/* 1: the bridge of that name is another store's. */
int kist_net_bridge_is_foreign(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err);
/* 1: the network cannot have its bridge, or one of its subnets, because of another store's bridge. */
struct kist_net_conflict {
	bool by_name; /* else by an address */
	char bridge[IFNAMSIZ], store[256];
	struct kist_net_prefix prefix; /* of the address */
};
int kist_net_bridge_conflict(struct kist_net *host, const struct kist_net_network *network,
                             struct kist_net_conflict *out, struct kist_error *err);
int kist_net_conflict_fail(const struct kist_net_conflict *conflict, struct kist_error *err);
/* How many links are enslaved to it; 0 when it is missing. */
ssize_t kist_net_bridge_ports(struct kist_net *host, const char *bridge, struct kist_error *err);

/* --- leases --------------------------------------------------------------------------------------------------------
 */

/* A lease is a file NETWORK/leases/ADDRESS, created with O_EXCL, that holds its owner and the boot it was made in;
 * 'last' beside it holds the last address given. dir is the network's directory; leases are found below it. alive: does
 * this owner still exist? NULL: all do. A lease of an earlier boot or of an owner that does not is reclaimed. */
struct kist_net_leases {
	int dir; /* borrowed */
	bool (*alive)(void *arg, const char *owner);
	void *arg;
};
/* Next-fit after the last one given, wrapping once; network, broadcast and gateway addresses are never given.
 * wanted: a static address (KIST_ERR_IN_USE names its holder unless that is owner; KIST_ERR_INVALID outside the
 * subnet), or NULL. All taken: KIST_ERR_IN_USE. What an owner holds already is not looked for: it is in its record, or
 * given back. */
int kist_net_lease_take(const struct kist_net_leases *leases, const struct kist_net_subnet *subnet, const char *owner,
                        const struct kist_net_addr *wanted, struct kist_net_addr *out, struct kist_error *err);
/* Only if owner holds it; anything else is success. */
int kist_net_lease_release(const struct kist_net_leases *leases, const char *owner, const struct kist_net_addr *addr,
                           struct kist_error *err);
/* All of an owner's; returns how many. */
ssize_t kist_net_lease_release_all(const struct kist_net_leases *leases, const char *owner, struct kist_error *err);
/* Reclaims what is stale; returns how many leases are left. */
ssize_t kist_net_lease_sweep(const struct kist_net_leases *leases, struct kist_error *err);

/* --- published ports -----------------------------------------------------------------------------------------------
 */

/* Ports host_port.. of an address of the host lead to container_port.. of a container, count of them. */
struct kist_net_publish {
	uint8_t protocol;               /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	struct kist_net_addr host;      /* 0.0.0.0 or ::, any of the family; else one address */
	struct kist_net_addr container; /* of the same family */
	uint16_t host_port, container_port;
	uint16_t count; /* 0 counts as 1 */
};
int kist_net_protocol_parse(const char *text, uint8_t *out); /* "tcp" "udp" "sctp", any case; -EINVAL */
const char *kist_net_protocol_name(uint8_t protocol);

/* Is the port free on the host? Binds it. fd: NULL to let go of it at once, else the socket that keeps it from others
 * (the caller closes; it answers nobody). KIST_ERR_IN_USE names the holder where /proc tells. A protocol the kernel
 * lacks sockets for (SCTP is often a missing module) is taken as free: *fd is -1. port 0: a random free one; returns
 * the port. */
int kist_net_port_reserve(uint8_t protocol, const struct kist_net_addr *addr, uint16_t port, int *fd,
                          struct kist_error *err);
/* count consecutive free ports of the ephemeral range; returns the first. fds: NULL, or room for count. */
int kist_net_port_random(uint8_t protocol, const struct kist_net_addr *addr, uint16_t count, int *fds,
                         struct kist_error *err);
/* Who listens there: "nginx (pid 812)", or NULL when unknown; the caller frees. */
char *kist_net_port_holder(uint8_t protocol, const struct kist_net_addr *addr, uint16_t port);

/* --- nftables ------------------------------------------------------------------------------------------------------
 */

/* One table 'inet kist'. Its rules are made once with it and never change; networks and ports are elements of its sets
 * and maps. Each call is one transaction: all of it or nothing.
 *
 * Adds what a network needs (masquerade, isolation; nothing for macvlan and ipvlan) and a container's published ports.
 * What is there is fine. A port that leads elsewhere is KIST_ERR_IN_USE and names both.
 * restored (may be NULL): set when the table was missing and has been made anew: all others must be added again.
 * KIST_ERR_UNSUPPORTED when the kernel has no nf_tables (or not what is needed of it); nothing is done then. */
int kist_net_nft_add(struct kist_net *host, const struct kist_net_network *network,
                     const struct kist_net_publish *ports, size_t n_ports, bool *restored, struct kist_error *err);
/* For a reload: makes the table anew where it lacks rules, which adding elements does not show. Returns 1 then: all
 * must be added again. */
int kist_net_nft_mend(struct kist_net *host, struct kist_error *err);
/* Removes ports, those that still lead where they say. Missing is success. Flows of UDP that they made end too. */
int kist_net_nft_remove(struct kist_net *host, const struct kist_net_publish *ports, size_t n_ports,
                        struct kist_error *err);
/* Removes what a network has. Missing is success. */
int kist_net_nft_remove_network(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err);
/* Removes the whole table. Missing is success. */
int kist_net_nft_remove_all(struct kist_net *host, struct kist_error *err);
/* The same where it has no elements, of whomever. */
int kist_net_nft_remove_empty(struct kist_net *host, struct kist_error *err);
/* 1: nf_tables answers, 0: the kernel has none. */
int kist_net_nft_supported(struct kist_net *host);
/* Ends the tracked flows that lead to a container's address, so that a later holder of it, or of the port, gets new
 * ones (UDP clients that never pause would keep the old way). Returns 0 also where the kernel cannot. */
int kist_net_conntrack_forget(struct kist_net *host, const struct kist_net_addr *container, struct kist_error *err);

#endif
