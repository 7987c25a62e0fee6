/* Networks as people and scripts see them: documents with podman's keys. */
#include "core/network.h"
#include "core/view.h"

#include "core/base/log.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* --- network inspect ------------------------------------------------------------------------------------------------
 */

static void add_ranges(const struct kist_net_network *network, struct json_object *document)
{
	struct json_object *subnets = NULL;

	if (!json_object_object_get_ex(document, "subnets", &subnets))
		return;
	for (size_t i = 0; i < network->n_subnets; i++) {
		const struct kist_net_subnet *subnet = &network->subnets[i];
		struct json_object *item = json_object_array_get_idx(subnets, i);
		if (!item || (!subnet->range_start && !subnet->range_end))
			continue;
		struct json_object *range = json_object_new_object();
		if (subnet->range_start)
			json_object_object_add(range, "start_ip", view_text(subnet->range_start));
		if (subnet->range_end)
			json_object_object_add(range, "end_ip", view_text(subnet->range_end));
		json_object_object_add(item, "lease_range", range);
	}
}

static struct json_object *users_of(struct kist *k, const char *name)
{
	struct json_object *all = json_object_new_object();
	struct kist_container **list = NULL;
	size_t n = 0;

	if (kist_container_list(k, &list, &n, NULL, NULL) < 0)
		return all;
	for (size_t i = 0; i < n; i++) {
		const struct kist_container_state *state = &list[i]->state;
		for (size_t j = 0; kist_status_has_process(state->status) && j < state->n_networks; j++) {
			const struct kist_network_state *place = &state->networks[j];
			if (!kist_streq(place->name, name))
				continue;
			struct json_object *item = json_object_new_object(), *links = json_object_new_object();
			struct json_object *link = json_object_new_object(), *subnets = json_object_new_array();
			for (size_t a = 0; place->addresses && place->addresses[a]; a++) {
				struct json_object *subnet = json_object_new_object();
				json_object_object_add(subnet, "ipnet", view_text(place->addresses[a]));
				if (place->gateways && a < kist_strv_len(place->gateways))
					json_object_object_add(subnet, "gateway", view_text(place->gateways[a]));
				json_object_array_add(subnets, subnet);
			}
			json_object_object_add(link, "subnets", subnets);
			json_object_object_add(link, "mac_address", view_text(place->mac));
			json_object_object_add(links, place->interface, link);
			json_object_object_add(item, "name", view_text(list[i]->config.name));
			json_object_object_add(item, "interfaces", links);
			json_object_object_add(all, list[i]->config.id, item);
		}
	}
	kist_container_list_free(list, n);
	return all;
}

int kist_network_inspect(struct kist *k, const char *name_or_id, struct json_object **out, struct kist_error *err)
{
	struct kist_net_network network;
	KIST_FREE char *name = NULL;

	int r = kist_network_find(k, name_or_id, &name, err);
	if (r == 0)
		r = kist_network_load(k, name, &network, err);
	if (r < 0)
		return r;
	struct json_object *document = kist_json_write(&kist_net_network_table, &network);
	KIST_STRV char **options = kist_net_network_options(&network);
	struct json_object *ipam = json_object_new_object();
	add_ranges(&network, document);
	json_object_object_add(document, "created", view_time(network.created));
	json_object_object_add(document, "labels", view_map(network.labels));
	json_object_object_add(document, "options", view_map(options));
	bool leased = network.driver == KIST_NET_BRIDGE || network.n_subnets;
	json_object_object_add(ipam, "driver", view_text(leased ? "host-local" : "none"));
	json_object_object_add(document, "ipam_options", ipam);
	json_object_object_add(document, "containers", users_of(k, name));
	kist_net_network_release(&network);
	*out = document;
	return 0;
}

/* --- whose network it is --------------------------------------------------------------------------------------------
 */

#define SHARED_MAX 10 /* records that were edited may lead in a circle */

struct kist_container *kist_container_network_owner(const struct kist_container *c)
{
	static const char mode[] = "container:";
	struct kist_container *owner = NULL, *next = NULL;
	const char *ns = c->config.net_ns;

	for (int i = 0; i < SHARED_MAX && kist_has_prefix(ns, mode); i++) {
		if (kist_container_load(c->k, ns + strlen(mode), &next, NULL) < 0)
			break;
		kist_container_free(owner);
		owner = next;
		ns = owner->config.net_ns;
	}
	return owner;
}

/* --- NetworkSettings ------------------------------------------------------------------------------------------------
 */

static void split(const char *prefix_text, char *address, struct json_object **length)
{
	struct kist_net_prefix prefix;

	if (kist_net_prefix_parse(prefix_text, &prefix) < 0)
		return;
	kist_net_addr_text(address, &prefix.addr);
	*length = view_int(prefix.len);
}

static void add_addresses(struct json_object *to, const struct kist_network_state *place)
{
	char v4[KIST_NET_ADDR_TEXT] = "", v6[KIST_NET_ADDR_TEXT] = "";
	struct json_object *len4 = NULL, *len6 = NULL;
	const char *gateway4 = "", *gateway6 = "";

	for (size_t i = 0; place && place->addresses && place->addresses[i]; i++) {
		if (strchr(place->addresses[i], ':') && !len6)
			split(place->addresses[i], v6, &len6);
		else if (!strchr(place->addresses[i], ':') && !len4)
			split(place->addresses[i], v4, &len4);
	}
	for (size_t i = 0; place && place->gateways && place->gateways[i]; i++) {
		if (strchr(place->gateways[i], ':'))
			gateway6 = *gateway6 ? gateway6 : place->gateways[i];
		else
			gateway4 = *gateway4 ? gateway4 : place->gateways[i];
	}
	json_object_object_add(to, "EndpointID", view_text(""));
	json_object_object_add(to, "Gateway", view_text(gateway4));
	json_object_object_add(to, "IPAddress", view_text(v4));
	json_object_object_add(to, "IPPrefixLen", len4 ? len4 : view_int(0));
	json_object_object_add(to, "IPv6Gateway", view_text(gateway6));
	json_object_object_add(to, "GlobalIPv6Address", view_text(v6));
	json_object_object_add(to, "GlobalIPv6PrefixLen", len6 ? len6 : view_int(0));
	json_object_object_add(to, "MacAddress", view_text(place ? place->mac : NULL));
}

static const struct kist_network_state *place_of(const struct view *v, const char *name)
{
	for (size_t i = 0; i < v->state->n_networks; i++)
		if (kist_streq(v->state->networks[i].name, name))
			return &v->state->networks[i];
	return NULL;
}

static struct json_object *networks_of(const struct view *v)
{
	struct json_object *all = json_object_new_object();
	char short_id[13];

	snprintf(short_id, sizeof(short_id), "%.12s", v->config->id);
	for (size_t i = 0; i < v->config->n_networks; i++) {
		const struct kist_network_config *network = &v->config->networks[i];
		struct json_object *item = json_object_new_object();
		struct json_object *aliases = view_list(network->aliases);
		add_addresses(item, place_of(v, network->name));
		json_object_object_add(item, "NetworkID", view_text(network->name));
		json_object_object_add(item, "DriverOpts", NULL);
		json_object_object_add(item, "IPAMConfig", NULL);
		json_object_object_add(item, "Links", NULL);
		json_object_array_add(aliases, view_text(short_id));
		json_object_object_add(item, "Aliases", aliases);
		json_object_object_add(all, network->name, item);
	}
	return all;
}

static void add_binding(struct json_object *to, uint32_t port, const char *protocol, const char *host_ip,
                        uint32_t host_port)
{
	KIST_FREE char *key = kist_asprintf("%u/%s", port, protocol);
	KIST_FREE char *number = kist_asprintf("%u", host_port);
	struct json_object *list = NULL, *item = json_object_new_object();

	if (!json_object_object_get_ex(to, key, &list) || !list) {
		list = json_object_new_array();
		json_object_object_add(to, key, list);
	}
	json_object_object_add(item, "HostIp", view_text(host_ip));
	json_object_object_add(item, "HostPort", view_text(number));
	json_object_array_add(list, item);
}

static bool is_any(const char *host_ip)
{
	return kist_empty(host_ip) || kist_streq(host_ip, "0.0.0.0") || kist_streq(host_ip, "::");
}

static struct json_object *bindings(const struct view *v, bool taken)
{
	struct json_object *all = json_object_new_object();

	for (char *const *port = v->config->expose; taken && v->config->n_networks && port && *port; port++)
		json_object_object_add(all, *port, NULL);
	for (size_t i = 0; taken && i < v->state->n_ports; i++) {
		const struct kist_port_state *p = &v->state->ports[i];
		for (uint32_t n = 0; !p->implied && n < p->count; n++)
			add_binding(all, p->container_port + n, p->protocol, p->host_ip, p->host_port + n);
	}
	for (size_t i = 0; (!taken || v->state->n_ports == 0) && i < v->config->n_ports; i++) {
		const struct kist_port_config *p = &v->config->ports[i];
		for (uint32_t n = 0; n < p->count; n++)
			add_binding(all, p->container_port + n, p->protocol, p->host_ip ? p->host_ip : "0.0.0.0",
			            p->host_port ? p->host_port + n : 0);
	}
	return all;
}

struct json_object *view_port_bindings(const struct view *v)
{
	return bindings(v, false);
}

static struct json_object *network_settings(const struct view *v)
{
	struct json_object *settings = json_object_new_object();
	KIST_FREE char *key =
	        v->state->pid > 0 && v->config->n_networks ? kist_asprintf("/proc/%d/ns/net", v->state->pid) : NULL;

	/* One network: what it gives is said at the top too, where scripts look for it. */
	add_addresses(settings, v->state->n_networks == 1 ? &v->state->networks[0] : NULL);
	json_object_object_add(settings, "Bridge", view_text(""));
	json_object_object_add(settings, "SandboxID", view_text(""));
	json_object_object_add(settings, "HairpinMode", json_object_new_boolean(false));
	json_object_object_add(settings, "LinkLocalIPv6Address", view_text(""));
	json_object_object_add(settings, "LinkLocalIPv6PrefixLen", view_int(0));
	json_object_object_add(settings, "Ports", bindings(v, true));
	json_object_object_add(settings, "SandboxKey", view_text(key));
	if (v->config->n_networks)
		json_object_object_add(settings, "Networks", networks_of(v));
	return settings;
}

/* In a network that it shares it has what the owner has. */
struct json_object *view_network_settings(const struct view *v)
{
	struct kist_container *owner = kist_container_network_owner(v->c);
	const struct view theirs = { .c = owner,
		                     .config = owner ? &owner->config : NULL,
		                     .state = owner ? &owner->state : NULL };
	struct json_object *settings = network_settings(owner ? &theirs : v);

	kist_container_free(owner);
	return settings;
}

/* --- ps -------------------------------------------------------------------------------------------------------------
 */

struct json_object *view_network_names(const struct kist_container_config *config)
{
	struct json_object *names = json_object_new_array();

	for (size_t i = 0; i < config->n_networks; i++)
		json_object_array_add(names, view_text(config->networks[i].name));
	return names;
}

static struct json_object *ports(const struct kist_container *c)
{
	const struct kist_container_state *state = &c->state;
	struct json_object *all = c->config.n_ports || state->n_ports ? json_object_new_array() : NULL;

	for (size_t i = 0; i < (state->n_ports ? state->n_ports : c->config.n_ports); i++) {
		struct json_object *item = json_object_new_object();
		bool taken = state->n_ports > 0;
		const struct kist_port_config *want = taken ? NULL : &c->config.ports[i];
		const struct kist_port_state *have = taken ? &state->ports[i] : NULL;
		if (taken && have->implied) {
			json_object_put(item);
			continue;
		}
		const char *host_ip = taken ? have->host_ip : want->host_ip;
		json_object_object_add(item, "host_ip", view_text(is_any(host_ip) ? "" : host_ip));
		json_object_object_add(item, "container_port",
		                       view_int(taken ? have->container_port : want->container_port));
		json_object_object_add(item, "host_port", view_int(taken ? have->host_port : want->host_port));
		json_object_object_add(item, "range", view_int(taken ? have->count : want->count));
		json_object_object_add(item, "protocol", view_text(taken ? have->protocol : want->protocol));
		json_object_array_add(all, item);
	}
	return all;
}

struct json_object *view_ports(const struct kist_container *c)
{
	struct kist_container *owner = kist_container_network_owner(c);
	struct json_object *all = ports(owner ? owner : c);

	kist_container_free(owner);
	return all;
}
