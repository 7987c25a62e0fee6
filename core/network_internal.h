/* What the files of a container's networks share: network.c, network_settle.c, network_run.c, network_links.c,
 * network_live.c. */
#ifndef KIST_CORE_NETWORK_INTERNAL_H
#define KIST_CORE_NETWORK_INTERNAL_H

#include "core/network.h"

#include <sys/types.h>

#define NET_CLOSE       __attribute__((cleanup(network_close)))
#define NETWORK_RELEASE __attribute__((cleanup(kist_net_network_release)))

static inline void network_close(struct kist_net **net)
{
	kist_net_close(*net);
}

/* The host's sockets, which know whose bridges are whose. */
int network_host_open(struct kist *k, struct kist_net **out, struct kist_error *err);

/* network.c */
int network_records_lock(struct kist *k, struct kist_error *err);
/* All networks of the store; but: left out. */
struct network_others {
	struct kist_net_prefixes used;
	char **interfaces;
	struct kist_net_network *items;
	size_t n;
};
int network_others_read(struct kist *k, const char *but, struct network_others *others, struct kist_error *err);
void network_others_clear(struct network_others *others);

/* network_settle.c: before the first address of a network since the boot is taken. Another store's bridge or subnet is
 * given way to where nobody asked for just this one; the bridge is there afterwards. */
int network_settle(struct kist *k, const char *name, struct kist_error *err);

/* network_run.c */
struct kist_net_leases network_leases(struct kist *k, int dir);
/* Names of networks become whole; addresses and names make sense. */
int network_place_check(struct kist *k, struct kist_network_config *place, struct kist_error *err);
/* Takes addresses; the place is the state's last afterwards, also after a failure. */
int network_place_prepare(struct kist_container *c, const struct kist_network_config *place, struct kist_error *err);
/* The container's first address of a family on a bridge: where published ports lead. */
bool network_port_address(const struct kist_container *c, uint32_t family, struct kist_net_addr *out);

/* network_links.c */
struct network_sides {
	struct kist_net *host, *inside;
	int ns;
};
int network_sides_open(struct kist *k, pid_t pid, struct network_sides *sides, struct kist_error *err);
void network_sides_close(struct network_sides *sides);
/* What the state says, made where it is missing. */
int network_attach_all(struct kist_container *c, const struct network_sides *sides, struct kist_error *err);
/* The nftables table is new: what the containers but one have in it is added again. */
void network_restore_others(struct kist *k, const char *but, struct kist_net *host);
/* What it has but the link: names and addresses. */
void network_place_release(struct kist_container *c, const struct kist_network_state *place);
void network_place_teardown(struct kist_container *c, struct kist_net *host, const struct kist_network_state *place);
void network_addresses_release(struct kist *k, const char *id, const struct kist_network_state *place);
/* Published ports of the state that have an address to lead to; the caller frees *out. */
size_t network_publishes(const struct kist_container_state *state, struct kist_net_publish **out);

#endif
