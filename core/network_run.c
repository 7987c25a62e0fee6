/* What a container has on its networks while it runs: addresses, links, published ports. */
#include "core/network_internal.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_MAX 65535u

/* --- leases ---------------------------------------------------------------------------------------------------------
 */

static bool owner_exists(void *arg, const char *owner)
{
	const struct kist *k = arg;

	return kist_exists_at(k->containers, owner);
}

struct kist_net_leases network_leases(struct kist *k, int dir)
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

int network_place_check(struct kist *k, struct kist_network_config *place, struct kist_error *err)
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

/* Ranges that meet on the same address. */
static bool ports_meet(const struct kist_port_config *a, const struct kist_port_config *b)
{
	return a->host_port && b->host_port && kist_streq(a->host_ip, b->host_ip) &&
	       strcasecmp(a->protocol, b->protocol) == 0 && a->host_port < b->host_port + b->count &&
	       b->host_port < a->host_port + a->count;
}

/* What is said twice is one, as podman has it; two that lead to different ports of the container are none. */
static int join_ports(struct kist_container_config *config, struct kist_error *err)
{
	for (size_t i = 0; i < config->n_ports; i++)
		for (size_t j = 0; j < i; j++) {
			struct kist_port_config *a = &config->ports[j], *b = &config->ports[i];
			if (!ports_meet(a, b))
				continue;
			if (a->host_port - a->container_port != b->host_port - b->container_port)
				return kist_fail(err, KIST_ERR_INVALID, 0,
				                 "publish: port %u/%s leads to two ports of the container",
				                 a->host_port > b->host_port ? a->host_port : b->host_port,
				                 a->protocol);
			uint32_t end = a->host_port + a->count, other = b->host_port + b->count;
			if (b->host_port < a->host_port) {
				a->host_port = b->host_port;
				a->container_port = b->container_port;
			}
			a->count = (end > other ? end : other) - a->host_port;
			free(b->host_ip);
			free(b->protocol);
			memmove(b, b + 1, (--config->n_ports - i) * sizeof(*b));
			/* It may meet one now that it did not before. */
			i = j - 1;
			break;
		}
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
	if (!config->n_networks && config->n_ports && kist_streq(config->net_ns, "host"))
		kist_log(KIST_LOG_WARN, "container %s: ports are not published: its network is the host's",
		         config->name);
	for (size_t i = 0; r == 0 && i < config->n_networks; i++) {
		r = network_place_check(c->k, &config->networks[i], err);
		for (size_t j = 0; r == 0 && j < i; j++)
			if (kist_streq(config->networks[i].name, config->networks[j].name))
				r = kist_fail(err, KIST_ERR_INVALID, 0, "network %s is given twice",
				              config->networks[i].name);
	}
	if (r == 0)
		r = check_ports(config, err);
	return r < 0 ? r : join_ports(config, err);
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

/* Never one that was: a link that was just removed has its name for a moment longer. */
static char *choose_host_interface(const struct kist_container *c)
{
	char random[6];

	kist_random_hex(random, 5);
	return kist_asprintf("veth%.6s%.5s", c->config.id, random);
}

/* Addresses are taken before they are written down, and found by their owner's name if nothing was written. */
static int take_addresses(struct kist_container *c, int dir, const struct kist_net_network *network,
                          const struct kist_network_config *place, struct kist_network_state *state,
                          struct kist_error *err)
{
	struct kist_net_leases leases = network_leases(c->k, dir);

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

/* It is missing until the first use since the boot. */
static int run_dir(struct kist *k, const char *name, struct kist_error *err)
{
	int dir = kist_network_run_dir(k, name, false);

	if (dir == -ENOENT) {
		int r = network_settle(k, name, err);
		if (r < 0)
			return r;
		dir = kist_network_run_dir(k, name, true);
	}
	return dir < 0 ? kist_fail_errno(err, -dir, "open the run directory of network %s", name) : dir;
}

int network_place_prepare(struct kist_container *c, const struct kist_network_config *place, struct kist_error *err)
{
	NETWORK_RELEASE struct kist_net_network network = { 0 };
	struct kist_container_state *state = &c->state;
	char text[KIST_NET_MAC_TEXT];
	struct kist_net_mac mac;

	KIST_CLOSE int dir = run_dir(c->k, place->name, err);
	if (dir < 0)
		return dir;
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
	return take_addresses(c, dir, &network, place, item, err);
}

bool network_port_address(const struct kist_container *c, uint32_t family, struct kist_net_addr *out)
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
	for (uint16_t i = 0; r < 0 && i < count; i++)
		kist_close_fd(&fds[i]);
	/* One for each port of the state, in its order: the monitor's proxy finds them so. */
	c->n_port_fds += r < 0 ? 0 : count;
	return r < 0 ? r : 0;
}

static bool publishes(const struct kist_container *c, const char *protocol, const struct kist_net_addr *host,
                      uint32_t first, uint32_t count)
{
	for (size_t i = 0; kist_status_has_process(c->state.status) && i < c->state.n_ports; i++) {
		const struct kist_port_state *port = &c->state.ports[i];
		struct kist_net_addr other;
		if (kist_net_addr_parse(port->host_ip, &other) == 0 && other.family == host->family &&
		    (kist_net_addr_equal(&other, host) || kist_net_addr_is_any(&other) || kist_net_addr_is_any(host)) &&
		    kist_streq(port->protocol, protocol) && port->host_port < first + count &&
		    first < port->host_port + port->count)
			return true;
	}
	return false;
}

/* Sockets that keep a port show nowhere: who has it is found in the records. */
static void name_holder(struct kist *k, const struct kist_port_config *port, const struct kist_net_addr *host,
                        struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	if (!err || err->kind != KIST_ERR_IN_USE || !port->host_port ||
	    kist_container_list(k, &list, &n, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (!publishes(list[i], port->protocol, host, port->host_port, port->count))
			continue;
		KIST_FREE char *text = kist_strdup(err->text);
		*err = (struct kist_error){ 0 };
		kist_fail(err, KIST_ERR_IN_USE, EADDRINUSE, "%s by container %s", text, list[i]->config.name);
		break;
	}
	kist_container_list_free(list, n);
}

static bool is_loopback6(const struct kist_net_addr *addr)
{
	return addr->family == AF_INET6 && kist_net_addr_is_loopback(addr);
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
	/* ::1 is served by a proxy, to which families are one. */
	bool found = network_port_address(c, host.family, &container) ||
	             (is_loopback6(&host) && network_port_address(c, AF_INET, &container));
	if (!found) {
		if (!port->host_ip)
			return 0;
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "publish %s: the container has no address of that family on a bridge network",
		                 host_ip);
	}
	int r = port_reserve(c, protocol, &host, (uint16_t)port->count, chosen, err);
	if (r < 0) {
		name_holder(c->k, port, &host, err);
		return r;
	}
	/* The container's sockets are of the same kernel. */
	if (protocol == IPPROTO_SCTP && host.family == AF_INET && c->port_fds[c->n_port_fds - 1] < 0) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, EPROTONOSUPPORT, "publish %u/sctp: the kernel has no SCTP",
		          port->container_port);
		return kist_remedy(err, "load the module sctp, or leave that port out");
	}
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

static void not_on_localhost6(struct kist_container *c, const struct kist_port_config *port, uint32_t first,
                              const struct kist_error *problem)
{
	KIST_FREE char *range =
	        port->count > 1 ? kist_asprintf("%u-%u", first, first + port->count - 1) : kist_asprintf("%u", first);
	KIST_FREE char *text = kist_asprintf("port %s/%s of container %s is not published on [::1]: %s", range,
	                                     port->protocol, c->config.name, problem->text);

	kist_strv_add(&c->warnings, text);
}

static int port_prepare(struct kist_container *c, const struct kist_port_config *port, struct kist_error *err)
{
	static const char *const any[] = { "0.0.0.0", "::" };
	uint32_t chosen = port->host_port;
	struct kist_error problem = { 0 };
	int taken = 0;

	if (port->host_ip) {
		int r = port_take(c, port, port->host_ip, &chosen, err);
		return r < 0 ? r : 0;
	}
	for (size_t i = 0; i < KIST_COUNT(any); i++) {
		int r = port_take(c, port, any[i], &chosen, err);
		if (r < 0)
			return r;
		if (r && taken)
			c->state.ports[c->state.n_ports - 1].implied = true;
		taken += r;
	}
	/* A container without IPv6 is found at localhost all the same, where nobody else is. */
	if (taken == 1 && kist_streq(c->state.ports[c->state.n_ports - 1].host_ip, any[0]) &&
	    port_take(c, port, "::1", &chosen, &problem) > 0)
		c->state.ports[c->state.n_ports - 1].implied = true;
	else if (taken == 1 && problem.kind == KIST_ERR_IN_USE)
		not_on_localhost6(c, port, chosen, &problem);
	else if (taken == 1 && problem.text[0])
		kist_debug("not published on ::1: %s", problem.text); /* a host without IPv6 */
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
		r = network_place_prepare(c, &c->config.networks[i], err);
	if (c->config.n_ports || c->config.publish_all)
		raise_limit();
	for (size_t i = 0; r == 0 && i < c->config.n_ports; i++)
		r = port_prepare(c, &c->config.ports[i], err);
	if (r == 0)
		r = publish_all(c, err);
	return r < 0 ? r : kist_container_save_live(c, err);
}
