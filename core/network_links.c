/* A container's links, routes and published ports: made, and taken away. */
#include "core/network_internal.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* --- links ----------------------------------------------------------------------------------------------------------
 */

void network_sides_close(struct network_sides *sides)
{
	kist_net_close(sides->host);
	kist_net_close(sides->inside);
	kist_close_fd(&sides->ns);
}

int network_sides_open(struct kist *k, pid_t pid, struct network_sides *sides, struct kist_error *err)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	sides->ns = open(path, O_RDONLY | O_CLOEXEC);
	if (sides->ns < 0)
		return kist_fail_errno(err, errno, "open %s", path);
	int r = network_host_open(k, &sides->host, err);
	return r < 0 ? r : kist_net_open_container(sides->ns, &sides->inside, err);
}

size_t network_publishes(const struct kist_container_state *state, struct kist_net_publish **out)
{
	size_t n = 0;

	*out = kist_grow(NULL, state->n_ports + 1, sizeof(**out));
	for (size_t i = 0; i < state->n_ports; i++) {
		const struct kist_port_state *port = &state->ports[i];
		struct kist_net_publish *p = &(*out)[n];
		*p = (struct kist_net_publish){
			.host_port = (uint16_t)port->host_port,
			.container_port = (uint16_t)port->container_port,
			.count = (uint16_t)port->count,
		};
		if (kist_net_addr_parse(port->host_ip, &p->host) == 0 &&
		    kist_net_addr_parse(port->container_ip, &p->container) == 0 &&
		    kist_net_protocol_parse(port->protocol, &p->protocol) == 0 && p->host.family == p->container.family)
			n++;
	}
	return n;
}

/* Of which families no network has given the default route yet: each family has the first network's that has one. */
struct default_routes {
	bool v4, v6;
};

static void routes_given(struct default_routes *left, const struct kist_net_network *network)
{
	if (network->internal || network->no_default_route)
		return;
	for (size_t i = 0; i < network->n_subnets; i++) {
		if (kist_empty(network->subnets[i].gateway))
			continue;
		bool v6 = strchr(network->subnets[i].subnet, ':') != NULL;
		left->v4 = left->v4 && v6;
		left->v6 = left->v6 && !v6;
	}
}

static int place_connect(struct kist_container *c, const struct network_sides *sides, struct kist_network_state *place,
                         struct default_routes *left, struct kist_error *err)
{
	NETWORK_RELEASE struct kist_net_network network = { 0 };
	struct kist_net_mac mac;
	char text[KIST_NET_MAC_TEXT];

	int r = kist_network_load(c->k, place->name, &network, err);
	if (r < 0)
		return r;
	size_t n = kist_strv_len(place->addresses);
	KIST_FREE struct kist_net_addr *addresses = kist_grow(NULL, n + 1, sizeof(*addresses));
	for (size_t i = 0; i < n; i++) {
		struct kist_net_prefix prefix = { 0 };
		if (kist_net_prefix_parse(place->addresses[i], &prefix) < 0)
			return kist_fail(err, KIST_ERR_CORRUPT, 0, "address %s", place->addresses[i]);
		addresses[i] = prefix.addr;
	}
	struct kist_net_connection connection = {
		.network = &network,
		.interface = place->interface,
		.mac = place->mac && kist_net_mac_parse(place->mac, &mac) == 0 ? &mac : NULL,
		.addresses = addresses,
		.n_addresses = n,
		.default_route4 = left->v4,
		.default_route6 = left->v6,
		.localhost = c->state.n_ports > 0,
	};
	if (place->host_interface)
		snprintf(connection.host_interface, sizeof(connection.host_interface), "%s", place->host_interface);
	r = kist_net_connect(sides->host, sides->inside, sides->ns, &connection, err);
	if (r < 0) {
		kist_context(err, "network %s", place->name);
		return err && err->kind == KIST_ERR_UNSUPPORTED ? kist_remedy(err, "or use --network none") : r;
	}
	routes_given(left, &network);
	if (network.dns)
		kist_network_names_add(c, place);
	if (!place->mac)
		place->mac = kist_strdup(kist_net_mac_text(text, &connection.mac_out));
	return 0;
}

static int place_filter(struct kist_container *c, struct kist_net *host, const struct kist_network_state *place,
                        struct kist_net_publish *ports, size_t n_ports, bool *restored, struct kist_error *err)
{
	NETWORK_RELEASE struct kist_net_network network = { 0 };
	struct kist_error problem = { 0 };

	int r = kist_network_load(c->k, place->name, &network, err);
	if (r < 0)
		return r;
	bool anew = false;
	r = kist_net_nft_add(host, &network, ports, n_ports, &anew, &problem);
	*restored = *restored || anew;
	/* Without nf_tables nothing is translated: ports were refused before, all else was warned of. */
	if (r < 0 && problem.kind == KIST_ERR_UNSUPPORTED && n_ports == 0)
		return 0;
	if (r < 0 && err)
		*err = problem;
	return r < 0 ? kist_context(err, "network %s", place->name) : 0;
}

static int filter(struct kist_container *c, struct kist_net *host, bool *restored, struct kist_error *err)
{
	KIST_FREE struct kist_net_publish *ports = NULL;
	size_t n = network_publishes(&c->state, &ports);
	bool done = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->state.n_networks; i++) {
		const struct kist_network_state *place = &c->state.networks[i];
		bool here = n && !done && place->host_interface;
		r = place_filter(c, host, place, ports, here ? n : 0, restored, err);
		done = done || here;
	}
	return r;
}

/* The table was missing, so that what the others had in it is gone too. */
void network_restore_others(struct kist *k, const char *but, struct kist_net *host)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	if (kist_container_list(k, &list, &n, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct kist_error problem = { 0 };
		bool restored = false;
		if (kist_streq(list[i]->config.id, but) || !kist_status_has_process(list[i]->state.status) ||
		    list[i]->state.n_networks == 0)
			continue;
		if (filter(list[i], host, &restored, &problem) < 0)
			kist_debug("%s", problem.text);
	}
	kist_container_list_free(list, n);
}

int network_attach_all(struct kist_container *c, const struct network_sides *sides, struct kist_error *err)
{
	struct default_routes left = { .v4 = true, .v6 = true };
	bool restored = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->state.n_networks; i++)
		r = place_connect(c, sides, &c->state.networks[i], &left, err);
	if (r == 0)
		r = filter(c, sides->host, &restored, err);
	if (r == 0 && restored)
		network_restore_others(c->k, c->config.id, sides->host);
	return r;
}

int kist_network_attach(struct kist_container *c, pid_t pid, struct kist_error *err)
{
	struct network_sides sides = { .ns = -1 };

	if (c->state.n_networks == 0)
		return 0;
	int r = network_sides_open(c->k, pid, &sides, err);
	if (r == 0)
		r = network_attach_all(c, &sides, err);
	if (r == 0)
		c->net_ns = kist_steal_fd(&sides.ns);
	network_sides_close(&sides);
	return r;
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

void network_addresses_release(struct kist *k, const char *id, const struct kist_network_state *place)
{
	KIST_CLOSE int dir = kist_network_run_dir(k, place->name, false);
	struct kist_net_leases leases = network_leases(k, dir);
	struct kist_net_prefix prefix;

	for (size_t i = 0; dir >= 0 && place->addresses && place->addresses[i]; i++)
		if (kist_net_prefix_parse(place->addresses[i], &prefix) == 0)
			kist_net_lease_release(&leases, id, &prefix.addr, NULL);
}

/* Of a start that was cut short between taking addresses and writing them down. */
static void release_unwritten(struct kist_container *c)
{
	for (size_t i = 0; i < c->config.n_networks; i++) {
		KIST_CLOSE int dir = kist_network_run_dir(c->k, c->config.networks[i].name, false);
		struct kist_net_leases leases = network_leases(c->k, dir);
		if (dir >= 0)
			kist_net_lease_release_all(&leases, c->config.id, NULL);
	}
}

static void ports_teardown(struct kist_container *c, struct kist_net *host)
{
	KIST_FREE struct kist_net_publish *ports = NULL;
	size_t n = network_publishes(&c->state, &ports);
	struct kist_error problem = { 0 };

	if (n == 0)
		return;
	if (kist_net_nft_remove(host, ports, n, &problem) < 0)
		kist_debug("container %.12s: %s", c->config.id, problem.text);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !kist_net_addr_equal(&ports[i].container, &ports[i - 1].container))
			kist_net_conntrack_forget(host, &ports[i].container, NULL);
}

void network_place_release(struct kist_container *c, const struct kist_network_state *place)
{
	kist_network_names_remove(c->k, place->name, c->config.id);
	network_addresses_release(c->k, c->config.id, place);
}

void network_place_teardown(struct kist_container *c, struct kist_net *host, const struct kist_network_state *place)
{
	struct kist_error problem = { 0 };

	/* The namespace's end would take it too, but later: the address must not answer any more when it is free. */
	if (place->host_interface && kist_net_link_remove(host, place->host_interface, &problem) < 0)
		kist_debug("container %.12s: %s", c->config.id, problem.text);
	network_place_release(c, place);
}

char **kist_network_links(const struct kist_container *c)
{
	char **links = NULL;

	for (size_t i = 0; i < c->state.n_networks; i++)
		if (c->state.networks[i].host_interface)
			kist_strv_add(&links, c->state.networks[i].host_interface);
	return links;
}

void kist_network_links_remove(char *const *links)
{
	NET_CLOSE struct kist_net *host = NULL;
	struct kist_error problem = { 0 };

	if (!links || !links[0])
		return;
	int r = kist_net_open(-1, &host, &problem);
	for (size_t i = 0; r == 0 && links[i]; i++)
		r = kist_net_link_remove(host, links[i], &problem);
	if (r < 0)
		kist_debug("%s", problem.text);
}

void kist_network_finish(struct kist_container *c)
{
	/* Most often the end of the namespace takes them. Others may keep that. */
	kist_close_fd(&c->net_ns);
	kist_network_links_remove(c->links_later);
	kist_strv_free(c->links_later);
	c->links_later = NULL;
}

/* Its addresses are free from here on: nothing answers at them any more. */
static void place_end(struct kist_container *c, struct kist_net *host, const struct kist_network_state *place)
{
	struct kist_error problem = { 0 };

	if (!place->host_interface || !c->files_later || !c->config.auto_remove) {
		network_place_teardown(c, host, place);
		return;
	}
	if (kist_net_link_silence(host, place->host_interface, &problem) < 0)
		kist_debug("container %.12s: %s", c->config.id, problem.text);
	network_place_release(c, place);
	kist_strv_add(&c->links_later, place->host_interface);
}

void kist_network_teardown(struct kist_container *c)
{
	NET_CLOSE struct kist_net *host = NULL;
	struct kist_error problem = { 0 };

	if (c->state.n_networks == 0) {
		release_unwritten(c);
	} else if (kist_net_open(-1, &host, &problem) < 0) {
		kist_debug("container %.12s: %s", c->config.id, problem.text);
	} else {
		ports_teardown(c, host);
		for (size_t i = 0; i < c->state.n_networks; i++)
			place_end(c, host, &c->state.networks[i]);
		if (c->state.n_networks < c->config.n_networks)
			release_unwritten(c);
	}
	for (size_t i = 0; i < c->n_port_fds; i++)
		kist_close_fd(&c->port_fds[i]);
	free(c->port_fds);
	c->port_fds = NULL;
	c->n_port_fds = 0;
	/* Links that are not pairs end with the namespace alone. */
	if (kist_strv_len(c->links_later) < c->state.n_networks || !c->links_later)
		kist_close_fd(&c->net_ns);
	kist_container_state_forget_network(&c->state);
}

void kist_network_adopt(struct kist_container *c, const struct kist_container_state *from)
{
	struct kist_container_state copy;

	if (from->n_networks == 0 || c->state.n_networks)
		return;
	kist_table_copy(&kist_container_state_table, &copy, from);
	c->state.networks = kist_steal(&copy.networks);
	c->state.ports = kist_steal(&copy.ports);
	c->state.n_networks = copy.n_networks;
	c->state.n_ports = copy.n_ports;
	copy.n_networks = copy.n_ports = 0;
	kist_table_release(&kist_container_state_table, &copy);
}
