/* What a new network is given when its maker leaves it open: a bridge name, subnets that are free, gateways. */
#include "net/net.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void kist_net_prefixes_free(struct kist_net_prefixes *prefixes)
{
	free(prefixes->items);
	*prefixes = (struct kist_net_prefixes){ 0 };
}

void kist_net_prefixes_add(struct kist_net_prefixes *prefixes, const struct kist_net_prefix *prefix)
{
	prefixes->items = kist_grow(prefixes->items, prefixes->n + 1, sizeof(*prefixes->items));
	prefixes->items[prefixes->n++] = *prefix;
}

void kist_net_prefixes_add_network(struct kist_net_prefixes *prefixes, const struct kist_net_network *network)
{
	for (size_t i = 0; i < network->n_subnets; i++) {
		struct kist_net_prefix prefix;

		if (kist_net_prefix_parse(network->subnets[i].subnet, &prefix) == 0)
			kist_net_prefixes_add(prefixes, &prefix);
	}
}

static bool is_free(const struct kist_net_prefixes *used, const struct kist_net_prefix *prefix)
{
	for (size_t i = 0; i < used->n; i++) {
		if (kist_net_prefix_overlaps(&used->items[i], prefix))
			return false;
	}
	return true;
}

/* 10.89.0.0/24 to 10.255.255.0/24, as podman does it. */
static int choose_v4(const struct kist_net_prefixes *used, struct kist_net_prefix *out)
{
	struct kist_net_prefix pool = { .addr = { .family = AF_INET, .bytes = { 10 } }, .len = 24 };

	for (unsigned second = 89; second <= 255; second++) {
		for (unsigned third = 0; third <= 255; third++) {
			pool.addr.bytes[1] = (uint8_t)second;
			pool.addr.bytes[2] = (uint8_t)third;
			if (is_free(used, &pool)) {
				*out = pool;
				return 0;
			}
		}
	}
	return -ENOSPC;
}

/* RFC 4193: fd00::/8, then 40 random bits; the subnet is ours to choose. */
static int choose_v6(const struct kist_net_prefixes *used, struct kist_net_prefix *out)
{
	struct kist_net_prefix pool = { .addr = { .family = AF_INET6, .bytes = { 0xfd } }, .len = 64 };

	for (unsigned tries = 0; tries < 64; tries++) {
		kist_random(pool.addr.bytes + 1, 7);
		if (is_free(used, &pool)) {
			*out = pool;
			return 0;
		}
	}
	return -ENOSPC;
}

static void add_subnet(struct kist_net_network *network, const struct kist_net_prefix *prefix)
{
	char text[KIST_NET_PREFIX_TEXT];

	network->subnets = kist_grow(network->subnets, network->n_subnets + 1, sizeof(*network->subnets));
	network->subnets[network->n_subnets++] =
	        (struct kist_net_subnet){ .subnet = kist_strdup(kist_net_prefix_text(text, prefix)) };
}

static bool has_family(const struct kist_net_network *network, uint32_t family)
{
	for (size_t i = 0; i < network->n_subnets; i++) {
		struct kist_net_prefix prefix;

		if (kist_net_prefix_parse(network->subnets[i].subnet, &prefix) == 0 && prefix.addr.family == family)
			return true;
	}
	return false;
}

static int fill_subnets(struct kist_net *host, struct kist_net_network *network, const struct kist_net_prefixes *used,
                        struct kist_error *err)
{
	KIST_NET_PREFIXES struct kist_net_prefixes taken = { 0 };
	bool need_v4 = !has_family(network, AF_INET) && !(network->ipv6 && has_family(network, AF_INET6));
	bool need_v6 = network->ipv6 && !has_family(network, AF_INET6);
	struct kist_net_prefix prefix;

	if (!need_v4 && !need_v6)
		return 0;
	for (size_t i = 0; i < used->n; i++)
		kist_net_prefixes_add(&taken, &used->items[i]);
	kist_net_prefixes_add_network(&taken, network);
	int r = kist_net_routes_used(host, &taken, err);
	if (r < 0)
		return r;
	if (need_v4) {
		if (choose_v4(&taken, &prefix) < 0)
			return kist_fail(err, KIST_ERR_IN_USE, ENOSPC,
			                 "no free subnet is left between 10.89.0.0/24 and 10.255.255.0/24");
		add_subnet(network, &prefix);
	}
	if (need_v6) {
		if (choose_v6(&taken, &prefix) < 0)
			return kist_fail(err, KIST_ERR_IN_USE, ENOSPC, "no free subnet was found in fd00::/8");
		add_subnet(network, &prefix);
	}
	return 0;
}

static int fill_bridge_name(struct kist_net *host, struct kist_net_network *network, char *const *taken,
                            struct kist_error *err)
{
	char name[IFNAMSIZ];

	for (unsigned i = 1; i <= 65535; i++) {
		snprintf(name, sizeof(name), "kist%u", i);
		if (!kist_strv_has(taken, name) && !kist_net_link_exists(host, name)) {
			network->interface = kist_strdup(name);
			return 0;
		}
	}
	return kist_fail(err, KIST_ERR_IN_USE, EEXIST, "all bridge names from kist1 to kist65535 are taken");
}

static void fill_gateways(struct kist_net_network *network)
{
	for (size_t i = 0; i < network->n_subnets; i++) {
		char text[KIST_NET_ADDR_TEXT];
		struct kist_net_prefix prefix;

		/* A subnet that is wrong is for kist_net_network_check to refuse. */
		if (network->subnets[i].gateway || kist_net_prefix_parse(network->subnets[i].subnet, &prefix) < 0)
			continue;
		kist_net_prefix_mask(&prefix);
		if (kist_net_addr_add(&prefix.addr, 1))
			network->subnets[i].gateway = kist_strdup(kist_net_addr_text(text, &prefix.addr));
	}
}

int kist_net_network_fill(struct kist_net *host, struct kist_net_network *network, const struct kist_net_prefixes *used,
                          char *const *taken_interfaces, struct kist_error *err)
{
	int r = 0;

	network->ipv6 = network->ipv6 || has_family(network, AF_INET6);
	if (network->driver == KIST_NET_BRIDGE) {
		network->interface_chosen = network->interface_chosen || !network->interface;
		network->subnets_chosen = network->subnets_chosen || network->n_subnets == 0;
		r = fill_subnets(host, network, used, err);
		if (r == 0 && !network->interface)
			r = fill_bridge_name(host, network, taken_interfaces, err);
	}
	if (r < 0)
		return r;
	/* An internal macvlan has no way out, so that a gateway would only promise one. */
	if (network->driver == KIST_NET_BRIDGE || !network->internal)
		fill_gateways(network);
	return 0;
}
