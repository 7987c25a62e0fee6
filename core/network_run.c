/* What a container has on its networks while it runs: addresses, links, published ports. */
#include "core/network.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_MAX        65535u
#define NET_CLOSE       __attribute__((cleanup(net_cleanup)))
#define NETWORK_RELEASE __attribute__((cleanup(kist_net_network_release)))

static void net_cleanup(struct kist_net **net)
{
	kist_net_close(*net);
}

/* --- leases ---------------------------------------------------------------------------------------------------------
 */

static bool owner_exists(void *arg, const char *owner)
{
	const struct kist *k = arg;

	return kist_exists_at(k->containers, owner);
}

static struct kist_net_leases leases_of(struct kist *k, int dir)
{
	return (struct kist_net_leases){ .dir = dir, .alive = owner_exists, .arg = k };
}

/* --- checks at create -----------------------------------------------------------------------------------------------
 */

static int check_address(const char *option, const char *text, uint32_t family, struct kist_error *err)
{
	struct kist_net_addr addr;

	if (text && (kist_net_addr_parse(text, &addr) < 0 || addr.family != family))
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s '%s' is not an IPv%c address", option, text,
		                 family == AF_INET ? '4' : '6');
	return 0;
}

static bool is_alias(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < 254 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

static bool in_subnets(const struct kist_net_network *network, const char *text)
{
	struct kist_net_prefix prefix;
	struct kist_net_addr addr;

	if (kist_net_addr_parse(text, &addr) < 0)
		return false;
	for (size_t i = 0; i < network->n_subnets; i++)
		if (kist_net_prefix_parse(network->subnets[i].subnet, &prefix) == 0 &&
		    kist_net_prefix_contains(&prefix, &addr))
			return true;
	return false;
}

static int check_network(struct kist *k, struct kist_network_config *place, struct kist_error *err)
{
	NETWORK_RELEASE struct kist_net_network network = { 0 };
	struct kist_net_mac mac;
	char *name = NULL;

	int r = kist_network_find(k, place->name, &name, err);
	if (r < 0)
		return r;
	free(place->name);
	place->name = name;
	r = kist_network_load(k, name, &network, err);
	if (r == 0)
		r = check_address("ip", place->ip, AF_INET, err);
	if (r == 0)
		r = check_address("ip6", place->ip6, AF_INET6, err);
	if (r < 0)
		return r;
	const char *const wanted[] = { place->ip, place->ip6 };
	for (size_t i = 0; i < KIST_COUNT(wanted); i++)
		if (wanted[i] && !in_subnets(&network, wanted[i]))
			return kist_fail(err, KIST_ERR_INVALID, 0, "address %s is in no subnet of network %s",
			                 wanted[i], name);
	if (place->mac && kist_net_mac_parse(place->mac, &mac) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "mac address '%s': expected aa:bb:cc:dd:ee:ff, not multicast", place->mac);
	if (place->interface_name && !kist_net_interface_name_valid(place->interface_name))
		return kist_fail(err, KIST_ERR_INVALID, 0, "interface name '%s': expected up to 15 characters",
		                 place->interface_name);
	for (size_t i = 0; place->aliases && place->aliases[i]; i++)
		if (!is_alias(place->aliases[i]))
			return kist_fail(err, KIST_ERR_INVALID, 0, "network alias '%.80s' is not a host name",
			                 place->aliases[i]);
	return 0;
}

static int check_ports(const struct kist_container_config *config, struct kist_error *err)
{
	struct kist_net_addr addr;
	uint8_t protocol;

	for (size_t i = 0; i < config->n_ports; i++) {
		const struct kist_port_config *port = &config->ports[i];
		if (port->host_ip && kist_net_addr_parse(port->host_ip, &addr) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "publish: '%s' is not an address", port->host_ip);
		if (kist_net_protocol_parse(port->protocol, &protocol) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "publish: protocol '%s': expected tcp, udp or sctp",
			                 port->protocol);
		if (port->container_port == 0 || port->count == 0 || port->container_port > PORT_MAX ||
		    port->count > PORT_MAX || port->container_port + port->count - 1 > PORT_MAX ||
		    port->host_port > PORT_MAX || port->host_port + port->count - 1 > PORT_MAX)
			return kist_fail(err, KIST_ERR_INVALID, 0, "publish: ports must be between 1 and 65535");
	}
	return 0;
}

int kist_network_check_config(struct kist_container *c, struct kist_error *err)
{
	struct kist_container_config *config = &c->config;
	int r = 0;

	if (config->n_networks && !kist_streq(config->net_ns, "private"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "network mode %s and networks exclude each other",
		                 config->net_ns);
	/* The modes that share a namespace leave publishing to its owner. */
	if (!config->n_networks && config->n_ports &&
	    (kist_streq(config->net_ns, "none") || kist_has_prefix(config->net_ns, "container:")))
		return kist_fail(err, KIST_ERR_INVALID, 0, "published ports need a network: network mode is %s",
		                 config->net_ns);
	for (size_t i = 0; r == 0 && i < config->n_networks; i++) {
		r = check_network(c->k, &config->networks[i], err);
		for (size_t j = 0; r == 0 && j < i; j++)
			if (kist_streq(config->networks[i].name, config->networks[j].name))
				r = kist_fail(err, KIST_ERR_INVALID, 0, "network %s is given twice",
				              config->networks[i].name);
	}
	return r < 0 ? r : check_ports(config, err);
}

int kist_network_check_host(struct kist_container *c, struct kist_error *err)
{
	NET_CLOSE struct kist_net *host = NULL;

	if (c->config.n_networks == 0)
		return 0;
	int r = kist_net_open(-1, &host, err);
	if (r < 0 || kist_net_nft_supported(host))
		return r;
	if (c->config.n_ports || c->config.publish_all) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		          "ports cannot be published: the kernel has no nf_tables");
		return kist_remedy(err, "load the module nf_tables, or leave -p out");
	}
	kist_log(KIST_LOG_WARN,
	         "the kernel has no nf_tables: containers reach each other and the host, but nothing else");
	return 0;
}

/* --- before the launch ----------------------------------------------------------------------------------------------
 */

static bool interface_taken(const struct kist_container *c, const char *name)
{
	for (size_t i = 0; i < c->state.n_networks; i++)
		if (kist_streq(c->state.networks[i].interface, name))
			return true;
	for (size_t i = 0; i < c->config.n_networks; i++)
		if (kist_streq(c->config.networks[i].interface_name, name))
			return true;
	return false;
}

static char *choose_interface(const struct kist_container *c)
{
	for (unsigned i = 0;; i++) {
		KIST_FREE char *name = kist_asprintf("eth%u", i);
		if (!interface_taken(c, name))
			return kist_steal(&name);
	}
}

static char *choose_host_interface(const struct kist_container *c)
{
	for (unsigned i = 0;; i++) {
		KIST_FREE char *name = kist_asprintf("veth%.8s%u", c->config.id, i);
		bool taken = false;
		for (size_t j = 0; j < c->state.n_networks; j++)
			taken = taken || kist_streq(c->state.networks[j].host_interface, name);
		if (!taken)
			return kist_steal(&name);
	}
}

/* Addresses are taken before they are written down, and found by their owner's name if nothing was written. */
static int take_addresses(struct kist_container *c, const struct kist_net_network *network,
                          const struct kist_network_config *place, struct kist_network_state *state,
                          struct kist_error *err)
{
	KIST_CLOSE int dir = kist_network_run_dir(c->k, network->name, true);

	if (dir < 0)
		return kist_fail_errno(err, -dir, "open the run directory of network %s", network->name);
	struct kist_net_leases leases = leases_of(c->k, dir);
	for (size_t i = 0; i < network->n_subnets; i++) {
		const struct kist_net_subnet *subnet = &network->subnets[i];
		struct kist_net_addr wanted, taken;
		struct kist_net_prefix prefix;
		char text[KIST_NET_PREFIX_TEXT];
		bool v6 = strchr(subnet->subnet, ':') != NULL;
		const char *asked = v6 ? place->ip6 : place->ip;

		if (kist_net_prefix_parse(subnet->subnet, &prefix) < 0)
			return kist_fail(err, KIST_ERR_CORRUPT, 0, "network %s: subnet %s", network->name,
			                 subnet->subnet);
		if (asked && (kist_net_addr_parse(asked, &wanted) < 0 || !kist_net_prefix_contains(&prefix, &wanted)))
			asked = NULL;
		int r = kist_net_lease_take(&leases, subnet, c->config.id, asked ? &wanted : NULL, &taken, err);
		if (r < 0)
			return kist_context(err, "network %s", network->name);
		prefix.addr = taken;
		kist_strv_add(&state->addresses, kist_net_prefix_text(text, &prefix));
		if (!kist_empty(subnet->gateway) && !network->internal)
			kist_strv_add(&state->gateways, subnet->gateway);
	}
	return 0;
}

static int place_prepare(struct kist_container *c, const struct kist_network_config *place, struct kist_error *err)
{
	NETWORK_RELEASE struct kist_net_network network = { 0 };
	struct kist_container_state *state = &c->state;
	char text[KIST_NET_MAC_TEXT];
	struct kist_net_mac mac;

	int r = kist_network_load(c->k, place->name, &network, err);
	if (r < 0)
		return r;
	KIST_FREE char *interface = place->interface_name ? kist_strdup(place->interface_name) : choose_interface(c);
	KIST_FREE char *host = network.driver == KIST_NET_BRIDGE ? choose_host_interface(c) : NULL;
	state->networks = kist_grow(state->networks, state->n_networks + 1, sizeof(*state->networks));
	struct kist_network_state *item = &state->networks[state->n_networks++];
	*item = (struct kist_network_state){ .name = kist_strdup(place->name) };
	item->interface = kist_steal(&interface);
	item->host_interface = kist_steal(&host);
	if (place->mac) {
		item->mac = kist_strdup(place->mac);
	} else if (network.driver != KIST_NET_IPVLAN) {
		kist_net_mac_random(&mac);
		item->mac = kist_strdup(kist_net_mac_text(text, &mac));
	}
	return take_addresses(c, &network, place, item, err);
}

/* The container's first address of a family on a bridge: where published ports lead. */
static bool port_address(struct kist_container *c, uint32_t family, struct kist_net_addr *out)
{
	struct kist_net_prefix prefix;

	for (size_t i = 0; i < c->state.n_networks; i++) {
		const struct kist_network_state *place = &c->state.networks[i];
		for (size_t j = 0; place->host_interface && place->addresses && place->addresses[j]; j++) {
			if (kist_net_prefix_parse(place->addresses[j], &prefix) < 0 || prefix.addr.family != family)
				continue;
			*out = prefix.addr;
			return true;
		}
	}
	return false;
}

static int port_reserve(struct kist_container *c, uint8_t protocol, const struct kist_net_addr *host, uint16_t count,
                        uint32_t *port, struct kist_error *err)
{
	c->port_fds = kist_grow(c->port_fds, c->n_port_fds + count, sizeof(*c->port_fds));
	int *fds = c->port_fds + c->n_port_fds;
	int r = 0;

	for (uint16_t i = 0; i < count; i++)
		fds[i] = -1;
	if (*port == 0) {
		r = kist_net_port_random(protocol, host, count, fds, err);
		if (r > 0)
			*port = (uint32_t)r;
	} else {
		for (uint16_t i = 0; r >= 0 && i < count; i++)
			r = kist_net_port_reserve(protocol, host, (uint16_t)(*port + i), &fds[i], err);
	}
	c->n_port_fds += count;
	return r < 0 ? r : 0;
}

static int port_take(struct kist_container *c, const struct kist_port_config *port, const char *host_ip,
                     uint32_t *chosen, struct kist_error *err)
{
	struct kist_container_state *state = &c->state;
	struct kist_net_addr host, container;
	char text[KIST_NET_ADDR_TEXT];
	uint8_t protocol;

	if (kist_net_addr_parse(host_ip, &host) < 0 || kist_net_protocol_parse(port->protocol, &protocol) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "publish %s: wrong address or protocol", host_ip);
	if (!port_address(c, host.family, &container)) {
		if (!port->host_ip)
			return 0;
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "publish %s: the container has no address of that family on a bridge network",
		                 host_ip);
	}
	int r = port_reserve(c, protocol, &host, (uint16_t)port->count, chosen, err);
	if (r < 0)
		return r;
	state->ports = kist_grow(state->ports, state->n_ports + 1, sizeof(*state->ports));
	state->ports[state->n_ports++] = (struct kist_port_state){
		.host_ip = kist_strdup(host_ip),
		.host_port = *chosen,
		.container_port = port->container_port,
		.count = port->count,
		.protocol = kist_strdup(kist_net_protocol_name(protocol)),
		.container_ip = kist_strdup(kist_net_addr_text(text, &container)),
	};
	return 1;
}

static int port_prepare(struct kist_container *c, const struct kist_port_config *port, struct kist_error *err)
{
	static const char *const any[] = { "0.0.0.0", "::" };
	uint32_t chosen = port->host_port;
	int taken = 0;

	if (port->host_ip) {
		int r = port_take(c, port, port->host_ip, &chosen, err);
		return r < 0 ? r : 0;
	}
	for (size_t i = 0; i < KIST_COUNT(any); i++) {
		int r = port_take(c, port, any[i], &chosen, err);
		if (r < 0)
			return r;
		taken += r;
	}
	return taken ? 0 : kist_fail(err, KIST_ERR_INVALID, 0, "published ports need a bridge network with a subnet");
}

static bool is_published(const struct kist_container *c, uint32_t port, const char *protocol)
{
	for (size_t i = 0; i < c->config.n_ports; i++) {
		const struct kist_port_config *p = &c->config.ports[i];
		if (kist_streq(p->protocol, protocol) && port >= p->container_port &&
		    port < p->container_port + p->count)
			return true;
	}
	return false;
}

static int publish_all(struct kist_container *c, struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && c->config.publish_all && c->config.expose && c->config.expose[i]; i++) {
		KIST_FREE char *text = kist_strdup(c->config.expose[i]);
		char *slash = strchr(text, '/');
		struct kist_port_config port = { .count = 1, .protocol = slash ? slash + 1 : (char *)"tcp" };
		if (slash)
			*slash = '\0';
		if (kist_parse_u32(text, &port.container_port) < 0 || port.container_port == 0 ||
		    port.container_port > PORT_MAX)
			return kist_fail(err, KIST_ERR_INVALID, 0, "exposed port '%s'", c->config.expose[i]);
		if (!is_published(c, port.container_port, port.protocol))
			r = port_prepare(c, &port, err);
	}
	return r;
}

/* A descriptor for each port: more than the soft limit that a login has. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		kist_debug("raise the limit of open files: %m");
}

int kist_network_prepare(struct kist_container *c, struct kist_error *err)
{
	int r = 0;

	if (c->config.n_networks == 0)
		return 0;
	for (size_t i = 0; r == 0 && i < c->config.n_networks; i++)
		r = place_prepare(c, &c->config.networks[i], err);
	if (c->config.n_ports || c->config.publish_all)
		raise_limit();
	for (size_t i = 0; r == 0 && i < c->config.n_ports; i++)
		r = port_prepare(c, &c->config.ports[i], err);
	if (r == 0)
		r = publish_all(c, err);
	return r < 0 ? r : kist_container_save_live(c, err);
}

/* --- links ----------------------------------------------------------------------------------------------------------
 */

struct sides {
	struct kist_net *host, *inside;
	int ns;
};

static void sides_close(struct sides *sides)
{
	kist_net_close(sides->host);
	kist_net_close(sides->inside);
	kist_close_fd(&sides->ns);
}

static int sides_open(pid_t pid, struct sides *sides, struct kist_error *err)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	sides->ns = open(path, O_RDONLY | O_CLOEXEC);
	if (sides->ns < 0)
		return kist_fail_errno(err, errno, "open %s", path);
	int r = kist_net_open(-1, &sides->host, err);
	return r < 0 ? r : kist_net_open_container(sides->ns, &sides->inside, err);
}

static size_t publishes(const struct kist_container_state *state, struct kist_net_publish **out)
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
		    kist_net_protocol_parse(port->protocol, &p->protocol) == 0)
			n++;
	}
	return n;
}

static bool has_route_of_its_own(const struct kist_net_network *network)
{
	if (network->internal || network->no_default_route)
		return false;
	for (size_t i = 0; i < network->n_subnets; i++)
		if (!kist_empty(network->subnets[i].gateway))
			return true;
	return false;
}

static int place_connect(struct kist_container *c, const struct sides *sides, struct kist_network_state *place,
                         bool *default_route, struct kist_error *err)
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
		.default_route = *default_route,
		.localhost = c->state.n_ports > 0,
	};
	if (place->host_interface)
		snprintf(connection.host_interface, sizeof(connection.host_interface), "%s", place->host_interface);
	r = kist_net_connect(sides->host, sides->inside, sides->ns, &connection, err);
	if (r < 0) {
		kist_context(err, "network %s", place->name);
		return err && err->kind == KIST_ERR_UNSUPPORTED ? kist_remedy(err, "or use --network none") : r;
	}
	if (has_route_of_its_own(&network))
		*default_route = false;
	if (network.dns)
		kist_network_names_add(c, place);
	if (!place->mac)
		place->mac = kist_strdup(kist_net_mac_text(text, &connection.mac_out));
	return 0;
}

/* The table was missing, so that what the others had in it is gone too. */
static void restore_others(struct kist *k, const char *but, struct kist_net *host);

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
	size_t n = publishes(&c->state, &ports);
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

static int attach_all(struct kist_container *c, const struct sides *sides, bool *restored, struct kist_error *err)
{
	bool default_route = true;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->state.n_networks; i++)
		r = place_connect(c, sides, &c->state.networks[i], &default_route, err);
	return r < 0 ? r : filter(c, sides->host, restored, err);
}

static void restore_others(struct kist *k, const char *but, struct kist_net *host)
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

int kist_network_attach(struct kist_container *c, pid_t pid, struct kist_error *err)
{
	struct sides sides = { .ns = -1 };
	bool restored = false;

	if (c->state.n_networks == 0)
		return 0;
	int r = sides_open(pid, &sides, err);
	if (r == 0)
		r = attach_all(c, &sides, &restored, err);
	if (r == 0 && restored)
		restore_others(c->k, c->config.id, sides.host);
	sides_close(&sides);
	return r;
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

static void release_addresses(struct kist *k, const char *id, const struct kist_network_state *place)
{
	KIST_CLOSE int dir = kist_network_run_dir(k, place->name, false);
	struct kist_net_leases leases = leases_of(k, dir);
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
		struct kist_net_leases leases = leases_of(c->k, dir);
		if (dir >= 0)
			kist_net_lease_release_all(&leases, c->config.id, NULL);
	}
}

static void ports_teardown(struct kist_container *c, struct kist_net *host)
{
	KIST_FREE struct kist_net_publish *ports = NULL;
	size_t n = publishes(&c->state, &ports);
	struct kist_error problem = { 0 };

	if (n == 0)
		return;
	if (kist_net_nft_remove(host, ports, n, &problem) < 0)
		kist_debug("container %.12s: %s", c->config.id, problem.text);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !kist_net_addr_equal(&ports[i].container, &ports[i - 1].container))
			kist_net_conntrack_forget(host, &ports[i].container, NULL);
}

static void place_teardown(struct kist_container *c, struct kist_net *host, const struct kist_network_state *place)
{
	struct kist_error problem = { 0 };

	/* The namespace's end would take it too, but later: the address must not answer any more when it is free. */
	if (place->host_interface && kist_net_link_remove(host, place->host_interface, &problem) < 0)
		kist_debug("container %.12s: %s", c->config.id, problem.text);
	kist_network_names_remove(c->k, place->name, c->config.id);
	release_addresses(c->k, c->config.id, place);
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
			place_teardown(c, host, &c->state.networks[i]);
		if (c->state.n_networks < c->config.n_networks)
			release_unwritten(c);
	}
	for (size_t i = 0; i < c->n_port_fds; i++)
		kist_close_fd(&c->port_fds[i]);
	free(c->port_fds);
	c->port_fds = NULL;
	c->n_port_fds = 0;
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

/* --- while it runs --------------------------------------------------------------------------------------------------
 */

static bool is_live(const struct kist_container *c)
{
	return kist_status_has_process(c->state.status) && kist_container_monitor_alive(c);
}

static int connect_live(struct kist_container *c, const struct kist_network_config *place, struct kist_error *err)
{
	struct sides sides = { .ns = -1 };
	bool restored = false;

	int r = place_prepare(c, place, err);
	if (r == 0)
		r = kist_container_save(c, err);
	if (r == 0)
		r = sides_open(c->state.pid, &sides, err);
	if (r == 0)
		r = attach_all(c, &sides, &restored, err);
	if (r == 0 && restored)
		restore_others(c->k, c->config.id, sides.host);
	if (r < 0 && c->state.n_networks && kist_streq(c->state.networks[c->state.n_networks - 1].name, place->name)) {
		if (sides.host)
			place_teardown(c, sides.host, &c->state.networks[c->state.n_networks - 1]);
		else
			release_addresses(c->k, c->config.id, &c->state.networks[c->state.n_networks - 1]);
		kist_network_state_drop(&c->state, c->state.n_networks - 1);
		kist_container_save(c, NULL);
	}
	sides_close(&sides);
	return r < 0 ? r : kist_hosts_rewrite(c, err);
}

static int mode_check(const struct kist_container *c, struct kist_error *err)
{
	if (kist_streq(c->config.net_ns, "private") || kist_streq(c->config.net_ns, "none"))
		return 0;
	return kist_fail(err, KIST_ERR_INVALID, 0, "container %s has network mode %s and no networks of its own",
	                 c->config.name, c->config.net_ns);
}

static int connect_locked(struct kist_container *c, const struct kist_network_config *network, struct kist_error *err)
{
	struct kist_network_config place;

	int r = mode_check(c, err);
	if (r < 0)
		return r;
	kist_network_config_add(&c->config, network);
	size_t at = c->config.n_networks - 1;
	free(c->config.net_ns);
	c->config.net_ns = kist_strdup("private");
	r = check_network(c->k, &c->config.networks[at], err);
	for (size_t i = 0; r == 0 && i < at; i++)
		if (kist_streq(c->config.networks[i].name, c->config.networks[at].name))
			r = kist_fail(err, KIST_ERR_EXISTS, EEXIST, "container %s is connected to network %s already",
			              c->config.name, c->config.networks[i].name);
	place = c->config.networks[at];
	if (r == 0 && is_live(c))
		r = connect_live(c, &place, err);
	if (r == 0)
		r = kist_container_save_config(c, err);
	return r;
}

int kist_container_connect(struct kist_container *c, const struct kist_network_config *network, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r < 0)
		return r;
	r = connect_locked(c, network, err);
	kist_container_unlock(c);
	return r < 0 ? kist_context(err, "connect %s", c->config.name) : 0;
}

static int disconnect_live(struct kist_container *c, size_t at, struct kist_error *err)
{
	struct kist_network_state *place = &c->state.networks[at];
	struct sides sides = { .ns = -1 };

	int r = sides_open(c->state.pid, &sides, err);
	if (r == 0)
		r = kist_net_disconnect(sides.inside, place->interface, err);
	if (r == 0) {
		place_teardown(c, sides.host, place);
		kist_network_state_drop(&c->state, at);
		r = kist_container_save(c, err);
	}
	sides_close(&sides);
	return r < 0 ? r : kist_hosts_rewrite(c, err);
}

static int disconnect_locked(struct kist_container *c, const char *network, struct kist_error *err)
{
	KIST_FREE char *name = NULL;
	size_t at;

	/* A network that is gone can still be in a record. */
	if (kist_network_find(c->k, network, &name, NULL) < 0)
		name = kist_strdup(network);
	for (at = 0; at < c->config.n_networks && !kist_streq(c->config.networks[at].name, name); at++)
		continue;
	if (at == c->config.n_networks)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "container %s is not connected to network %s",
		                 c->config.name, name);
	for (size_t i = 0; is_live(c) && i < c->state.n_networks; i++) {
		if (!kist_streq(c->state.networks[i].name, name))
			continue;
		int r = disconnect_live(c, i, err);
		if (r < 0)
			return r;
		break;
	}
	kist_network_config_drop(&c->config, at);
	return kist_container_save_config(c, err);
}

int kist_container_disconnect(struct kist_container *c, const char *network, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r < 0)
		return r;
	r = disconnect_locked(c, network, err);
	kist_container_unlock(c);
	return r < 0 ? kist_context(err, "disconnect %s", c->config.name) : 0;
}

int kist_container_reload_network(struct kist_container *c, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r < 0)
		return r;
	r = kist_call_check(KIST_CALL_RELOAD_NETWORK, (enum kist_status)c->state.status, err);
	if (r == 0)
		r = kist_network_attach(c, c->state.pid, err);
	kist_container_unlock(c);
	return r < 0 ? kist_context(err, "reload the network of %s", c->config.name) : 0;
}
