/* Which bridge and subnets a network has, where other stores have networks on the same host. */
#include "core/network_internal.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 1000 /* each passes over one subnet that another store has */

int network_host_open(struct kist *k, struct kist_net **out, struct kist_error *err)
{
	int r = kist_net_open(-1, out, err);

	/* Stores that are volatile may have their images in common. */
	if (r == 0)
		kist_net_store(*out, k->settings.volatile_ ? k->settings.runroot : k->settings.root,
		               k->settings.runroot);
	return r;
}

/* A container that asks for an address there; the caller frees. */
static char *fixed_by(struct kist *k, const char *network)
{
	struct kist_container **list = NULL;
	char *name = NULL;
	size_t n = 0;

	if (kist_container_list(k, &list, &n, NULL, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; !name && j < list[i]->config.n_networks; j++) {
			const struct kist_network_config *place = &list[i]->config.networks[j];
			if (kist_streq(place->name, network) && (place->ip || place->ip6))
				name = kist_strdup(list[i]->config.name);
		}
	kist_container_list_free(list, n);
	return name;
}

static void drop_subnets(struct kist_net_network *network)
{
	for (size_t i = 0; i < network->n_subnets; i++) {
		free(network->subnets[i].subnet);
		free(network->subnets[i].gateway);
		free(network->subnets[i].range_start);
		free(network->subnets[i].range_end);
	}
	free(network->subnets);
	network->subnets = NULL;
	network->n_subnets = 0;
}

static int give_way(struct kist *k, struct kist_net *host, const struct kist_net_conflict *conflict,
                    struct network_others *others, struct kist_net_network *network, struct kist_error *err)
{
	if (conflict->by_name ? !network->interface_chosen : !network->subnets_chosen)
		return kist_net_conflict_fail(conflict, err);
	if (conflict->by_name) {
		free(network->interface);
		network->interface = NULL;
	} else {
		KIST_FREE char *name = fixed_by(k, network->name);
		if (name) {
			kist_net_conflict_fail(conflict, err);
			return kist_context(err, "container %s has an address of its own choice", name);
		}
		kist_net_prefixes_add(&others->used, &conflict->prefix);
		drop_subnets(network);
	}
	return kist_net_network_fill(host, network, &others->used, others->interfaces, err);
}

static int choose(struct kist *k, struct kist_net *host, struct kist_net_network *network, struct kist_error *err)
{
	struct network_others others = { 0 };
	struct kist_net_conflict conflict;
	bool changed = false;

	int r = kist_net_bridge_conflict(host, network, &conflict, err);
	for (unsigned tries = 0; r > 0 && tries < TRIES; tries++) {
		r = changed ? 0 : network_others_read(k, network->name, &others, err);
		if (r == 0)
			r = give_way(k, host, &conflict, &others, network, err);
		changed = true;
		if (r == 0)
			r = kist_net_bridge_conflict(host, network, &conflict, err);
	}
	network_others_clear(&others);
	if (r > 0)
		return kist_net_conflict_fail(&conflict, err);
	if (r < 0 || !changed)
		return r;
	kist_debug("network %s: another store is in the way: it is on %s now", network->name, network->interface);
	r = kist_store_directory(k, "networks", true, &k->networks);
	if (r < 0)
		return kist_fail_errno(err, -r, "open the directory of networks");
	return kist_record_write(k->networks, network->name, &kist_net_network_table, network, NULL,
	                         !k->settings.volatile_, err);
}

int network_settle(struct kist *k, const char *name, struct kist_error *err)
{
	NETWORK_RELEASE struct kist_net_network network = { 0 };
	NET_CLOSE struct kist_net *host = NULL;

	KIST_CLOSE int lock = network_records_lock(k, err);
	if (lock < 0)
		return lock;
	int r = kist_network_load(k, name, &network, err);
	if (r < 0 || network.driver != KIST_NET_BRIDGE)
		return r;
	r = network_host_open(k, &host, err);
	/* Until the bridge is there: others see what it has by that. */
	if (r == 0)
		r = kist_net_bridges_lock(host, err);
	if (r == 0)
		r = choose(k, host, &network, err);
	if (r < 0)
		return kist_context(err, "network %s", name);
	r = kist_net_bridge_ensure(host, &network, err);
	return r < 0 && err && err->kind == KIST_ERR_UNSUPPORTED ? kist_remedy(err, "or use --network none") : r;
}
