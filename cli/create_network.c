/* The options of run and create about networks, ports and names. */
#include "cli/create.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PORT_MAX 65535u

static void set_string(char **to, const char *value)
{
	free(*to);
	*to = kist_strdup(value);
}

/* --- networks -------------------------------------------------------------------------------------------------------
 */

static int set_place_option(struct kist_network_config *place, const char *option, struct kist_error *err)
{
	const char *value = strchr(option, '=');
	KIST_FREE char *key = kist_strndup(option, value ? (size_t)(value - option) : strlen(option));

	if (!value || !value[1])
		return kist_fail(err, KIST_ERR_INVALID, 0, "network option '%s': expected KEY=VALUE", option);
	value++;
	if (kist_streq(key, "ip"))
		set_string(strchr(value, ':') ? &place->ip6 : &place->ip, value);
	else if (kist_streq(key, "ip6"))
		set_string(&place->ip6, value);
	else if (kist_streq(key, "mac"))
		set_string(&place->mac, value);
	else if (kist_streq(key, "alias"))
		kist_strv_add(&place->aliases, value);
	else if (kist_streq(key, "interface_name"))
		set_string(&place->interface_name, value);
	else
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "network option '%s': expected ip, ip6, mac, alias or interface_name", key);
	return 0;
}

static const char *network_name(const char *word)
{
	return kist_streq(word, "bridge") || kist_streq(word, "default") || kist_streq(word, "private")
	               ? KIST_DEFAULT_NETWORK
	               : word;
}

static struct kist_network_config *add_place(struct kist_container_config *config, const char *name)
{
	config->networks = kist_grow(config->networks, config->n_networks + 1, sizeof(*config->networks));
	struct kist_network_config *place = &config->networks[config->n_networks++];

	*place = (struct kist_network_config){ .name = kist_strdup(network_name(name)) };
	return place;
}

/* NAME[:OPTION,...], or NAME,NAME... */
static int add_networks(const char *text, struct kist_container_config *config, struct kist_error *err)
{
	static const char *const others[] = { "slirp4netns", "pasta" };
	const char *colon = strchr(text, ':');
	int r = 0;

	for (size_t i = 0; i < KIST_COUNT(others); i++)
		if (kist_has_prefix(text, others[i]) && strchr(":", text[strlen(others[i])]))
			return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
			                 "network mode %s is not supported: it is for engines without root", others[i]);
	if (!colon) {
		KIST_STRV char **names = kist_strv_split(text, ',');
		for (size_t i = 0; names && names[i]; i++)
			add_place(config, names[i]);
		return 0;
	}
	KIST_FREE char *name = kist_strndup(text, (size_t)(colon - text));
	KIST_STRV char **options = kist_strv_split(colon + 1, ',');
	struct kist_network_config *place = add_place(config, name);
	for (size_t i = 0; r == 0 && options && options[i]; i++)
		r = set_place_option(place, options[i], err);
	return r;
}

static bool is_mode(const char *text)
{
	return kist_streq(text, "none") || kist_streq(text, "host") || kist_has_prefix(text, "ns:") ||
	       kist_has_prefix(text, "container:");
}

static int set_mode(struct kist_cli *cli, const char *mode, struct kist_container_config *config,
                    struct kist_error *err)
{
	struct kist_container *other = NULL;

	if (!kist_has_prefix(mode, "container:")) {
		set_string(&config->net_ns, mode);
		return 0;
	}
	int r = kist_container_open(cli->k, mode + strlen("container:"), &other, err);
	if (r < 0)
		return kist_context(err, "network");
	free(config->net_ns);
	config->net_ns = kist_asprintf("container:%s", kist_container_id(other));
	kist_container_free(other);
	return 0;
}

static int set_networks(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                        struct kist_error *err)
{
	static const char *const bridge[] = { KIST_DEFAULT_NETWORK, NULL };
	const char *const fallback[] = { kist_settings(cli->k)->network, NULL };
	const char *const *texts = o->network ? (const char *const *)o->network : fallback;
	bool place_wanted = o->n_ports_wanted || o->ip || o->ip6 || o->mac_address || o->network_alias;
	int r = 0;

	/* Who asks for an address or a port asks for a network. */
	if (!o->network && place_wanted && is_mode(texts[0]))
		texts = bridge;
	for (size_t i = 0; r == 0 && texts[i]; i++) {
		if (kist_empty(texts[i]))
			return kist_fail(err, KIST_ERR_INVALID, 0, "network: an empty name");
		if (!is_mode(texts[i]))
			r = add_networks(texts[i], config, err);
		else if (texts[1])
			r = kist_fail(err, KIST_ERR_INVALID, 0,
			              "network mode %s cannot be combined with other networks", texts[i]);
		else
			r = set_mode(cli, texts[i], config, err);
	}
	if (r == 0 && config->n_networks)
		set_string(&config->net_ns, "private");
	return r;
}

/* --ip and the like are about the one network that there is. */
static int set_place(const struct create_options *o, struct kist_container_config *config, struct kist_error *err)
{
	if (!o->ip && !o->ip6 && !o->mac_address && !o->network_alias)
		return 0;
	if (config->n_networks == 0 || ((o->ip || o->ip6 || o->mac_address) && config->n_networks > 1))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 config->n_networks ? "--ip, --ip6 and --mac-address need one network: with several, "
		                                      "give each its own by --network NAME:ip=..."
		                                    : "--ip, --ip6, --mac-address and --network-alias need a network");
	if (o->ip)
		set_string(&config->networks[0].ip, o->ip);
	if (o->ip6)
		set_string(&config->networks[0].ip6, o->ip6);
	if (o->mac_address)
		set_string(&config->networks[0].mac, o->mac_address);
	for (size_t i = 0; i < config->n_networks; i++)
		for (char **alias = o->network_alias; alias && *alias; alias++)
			kist_strv_add(&config->networks[i].aliases, *alias);
	return 0;
}

/* --- ports ----------------------------------------------------------------------------------------------------------
 */

static int parse_range(const char *whole, const char *text, uint32_t *first, uint32_t *count, struct kist_error *err)
{
	const char *dash = strchr(text, '-');
	KIST_FREE char *start = kist_strndup(text, dash ? (size_t)(dash - text) : strlen(text));
	uint32_t last;

	if (kist_parse_u32(start, first) < 0 || *first > PORT_MAX || (dash && kist_parse_u32(dash + 1, &last) < 0))
		return kist_fail(err, KIST_ERR_INVALID, 0, "port '%s': '%s' is not a port or a range of ports", whole,
		                 text);
	if (!dash)
		last = *first;
	if (last < *first || last > PORT_MAX)
		return kist_fail(err, KIST_ERR_INVALID, 0, "port '%s': the range %s is wrong", whole, text);
	*count = last - *first + 1;
	return 0;
}

/* [[ip:][hostPort]:]containerPort[/protocol] */
int create_parse_port(const char *text, struct kist_port_config *out, struct kist_error *err)
{
	KIST_FREE char *copy = kist_strdup(text);
	uint32_t host_count = 0;
	char *slash = strrchr(copy, '/'), *host = NULL, *ip = NULL;

	*out = (struct kist_port_config){ .count = 1 };
	if (slash)
		*slash++ = '\0';
	char *container = strrchr(copy, ':');
	if (container) {
		*container++ = '\0';
		host = copy;
		/* An IPv6 address is in brackets: its colons part nothing. */
		char *end = copy[0] == '[' ? strchr(copy, ']') : strrchr(copy, ':');
		if (copy[0] == '[' && (!end || (end[1] && end[1] != ':')))
			return kist_fail(err, KIST_ERR_INVALID, 0, "port '%s': the address is not closed by ']'", text);
		if (end) {
			ip = copy[0] == '[' ? copy + 1 : copy;
			host = copy[0] == '[' ? (end[1] ? end + 2 : end + 1) : end + 1;
			*end = '\0';
		}
	} else {
		container = copy;
	}
	int r = parse_range(text, container, &out->container_port, &out->count, err);
	if (r == 0 && out->container_port == 0)
		r = kist_fail(err, KIST_ERR_INVALID, 0, "port '%s': the container's port is 0", text);
	if (r == 0 && host && *host) {
		r = parse_range(text, host, &out->host_port, &host_count, err);
		/* A range of the host for one port: any free one of it. The first is taken: it is told when it is in
		 * use. */
		if (r == 0 && host_count != out->count)
			r = kist_fail(err, KIST_ERR_INVALID, 0, "port '%s': the ranges differ in length", text);
	}
	if (r < 0)
		return r;
	for (char *ch = slash; ch && *ch; ch++)
		*ch = (char)(*ch >= 'A' && *ch <= 'Z' ? *ch + ('a' - 'A') : *ch);
	if (slash && !kist_streq(slash, "tcp") && !kist_streq(slash, "udp") && !kist_streq(slash, "sctp"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "port '%s': protocol '%s' is not tcp, udp or sctp", text,
		                 slash);
	out->protocol = kist_strdup(slash ? slash : "tcp");
	out->host_ip = kist_empty(ip) ? NULL : kist_strdup(ip);
	return 0;
}

static int set_ports(const struct create_options *o, const struct kist_image *image,
                     struct kist_container_config *config, struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && o->publish && o->publish[i]; i++) {
		config->ports = kist_grow(config->ports, config->n_ports + 1, sizeof(*config->ports));
		r = create_parse_port(o->publish[i], &config->ports[config->n_ports++], err);
	}
	for (char **port = image ? image->config.exposed_ports : NULL; port && *port; port++)
		if (!kist_strv_has(config->expose, *port))
			kist_strv_take(&config->expose,
			               strchr(*port, '/') ? kist_strdup(*port) : kist_asprintf("%s/tcp", *port));
	for (size_t i = 0; r == 0 && o->expose && o->expose[i]; i++) {
		struct kist_port_config port = { 0 };
		r = strchr(o->expose[i], ':') ? kist_fail(err, KIST_ERR_INVALID, 0,
		                                          "expose '%s': expected PORT[-PORT][/PROTOCOL]", o->expose[i])
		                              : create_parse_port(o->expose[i], &port, err);
		for (uint32_t n = 0; r == 0 && n < port.count; n++) {
			KIST_FREE char *key = kist_asprintf("%u/%s", port.container_port + n, port.protocol);
			if (!kist_strv_has(config->expose, key))
				kist_strv_add(&config->expose, key);
		}
		free(port.protocol);
	}
	config->publish_all = o->publish_all;
	return r;
}

int create_network(struct kist_cli *cli, const struct create_options *options, const struct kist_image *image,
                   struct kist_container_config *config, struct kist_error *err)
{
	struct create_options o = *options;

	o.n_ports_wanted = o.publish || o.publish_all;
	/* "pod": it has what the pod has. */
	int r = kist_streq(config->net_ns, "pod") ? 0 : set_networks(cli, &o, config, err);
	if (r == 0)
		r = set_place(&o, config, err);
	if (r == 0)
		r = set_ports(&o, image, config, err);
	if (r < 0)
		return r;
	config->dns_servers = kist_strv_copy(o.dns);
	config->dns_search = kist_strv_copy(o.dns_search);
	config->dns_options = kist_strv_copy(o.dns_option);
	set_string(&config->hosts_file, o.hosts_file);
	return 0;
}
