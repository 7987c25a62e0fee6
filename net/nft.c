/* Elements of the table: what a network and a container's ports are. */
#include "net/nft.h"

#include "core/base/error.h"
#include "core/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- names of protocols ----------------------------------------------------------------------------------------------
 */

static const struct kist_name protocols[] = {
	{ "tcp", IPPROTO_TCP },
	{ "udp", IPPROTO_UDP },
	{ "sctp", IPPROTO_SCTP },
	{ NULL, 0 },
};

int kist_net_protocol_parse(const char *text, uint8_t *out)
{
	for (const struct kist_name *p = protocols; text && p->name; p++) {
		if (strcasecmp(text, p->name) == 0) {
			*out = (uint8_t)p->value;
			return 0;
		}
	}
	return -EINVAL;
}

const char *kist_net_protocol_name(uint8_t protocol)
{
	const char *name = kist_name_of(protocols, protocol);

	return name ? name : "unknown";
}

/* --- elements -------------------------------------------------------------------------------------------------------
 */

struct elements {
	struct kist_nft_element *items;
	size_t n, room;
};

#define ELEMENTS __attribute__((cleanup(elements_free)))

static void elements_free(struct elements *elements)
{
	free(elements->items);
}

static struct kist_nft_element *append(struct elements *elements, enum kist_nft_set set)
{
	if (elements->n == elements->room) {
		elements->room = elements->room * 2 + 8;
		elements->items = kist_grow(elements->items, elements->room, sizeof(*elements->items));
	}
	elements->items[elements->n] = (struct kist_nft_element){ .set = set };
	return &elements->items[elements->n++];
}

static void append_interface(struct elements *elements, enum kist_nft_set set, const char *name)
{
	struct kist_nft_element *e = append(elements, set);

	e->key_len = IFNAMSIZ;
	memcpy(e->key, name, strlen(name));
	if (set == KIST_NFT_SAME) {
		e->key_len = 2 * IFNAMSIZ;
		memcpy(e->key + IFNAMSIZ, name, strlen(name));
	}
}

static void network_elements(struct elements *elements, const struct kist_net_network *network)
{
	const char *name = network->interface;

	if (network->driver != KIST_NET_BRIDGE || !kist_net_interface_name_valid(name))
		return;
	append_interface(elements, KIST_NFT_BRIDGES, name);
	append_interface(elements, KIST_NFT_SAME, name);
	if (network->internal)
		append_interface(elements, KIST_NFT_INTERNAL, name);
	if (network->isolate != KIST_NET_ISOLATE_NO)
		append_interface(elements, KIST_NFT_ISOLATED, name);
	if (network->isolate == KIST_NET_ISOLATE_STRICT)
		append_interface(elements, KIST_NFT_STRICT, name);
}

/* A field of four bytes at least; returns where the next one begins. */
static uint8_t put_field(uint8_t *to, uint8_t at, const void *bytes, size_t len)
{
	memcpy(to + at, bytes, len);
	return (uint8_t)(at + ((len + 3) & ~(size_t)3));
}

static void port_element(struct elements *elements, const struct kist_net_publish *p, unsigned offset)
{
	bool v4 = p->host.family == AF_INET, any = kist_net_addr_is_any(&p->host);
	uint16_t host = htons((uint16_t)(p->host_port + offset)), to = htons((uint16_t)(p->container_port + offset));
	size_t len = v4 ? 4 : 16;
	struct kist_nft_element *e;

	if (v4)
		e = append(elements, any ? KIST_NFT_PORTS4_ANY : KIST_NFT_PORTS4);
	else
		e = append(elements, any ? KIST_NFT_PORTS6_ANY : KIST_NFT_PORTS6);
	e->key_len = put_field(e->key, 0, &p->protocol, 1);
	if (!any)
		e->key_len = put_field(e->key, e->key_len, p->host.bytes, len);
	e->key_len = put_field(e->key, e->key_len, &host, sizeof(host));
	e->data_len = put_field(e->data, 0, p->container.bytes, len);
	e->data_len = put_field(e->data, e->data_len, &to, sizeof(to));
}

static unsigned count_of(const struct kist_net_publish *p)
{
	return p->count ? p->count : 1;
}

static int port_elements(struct elements *elements, const struct kist_net_publish *ports, size_t n,
                         struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct kist_net_publish *p = &ports[i];
		unsigned count = count_of(p);

		if (p->host.family != p->container.family || (p->host.family != AF_INET && p->host.family != AF_INET6))
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "port %u/%s: host and container address are of different families",
			                 p->host_port, kist_net_protocol_name(p->protocol));
		if (!kist_name_of(protocols, p->protocol))
			return kist_fail(err, KIST_ERR_INVALID, 0, "port %u: unknown protocol %u", p->host_port,
			                 p->protocol);
		if (!p->host_port || !p->container_port || p->host_port + count > 65536 ||
		    p->container_port + count > 65536)
			return kist_fail(err, KIST_ERR_INVALID, 0, "port range %u+%u to %u is not within 1 to 65535",
			                 p->host_port, count, p->container_port);
		for (unsigned k = 0; k < count; k++)
			port_element(elements, p, k);
	}
	return 0;
}

/* --- failures -------------------------------------------------------------------------------------------------------
 */

static int unsupported(const struct kist_nl *nl, int errnum, struct kist_error *err)
{
	if (nl->failed == 0)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, errnum,
		                 "the kernel has no nf_tables (try: modprobe nf_tables)");
	return kist_fail(err, KIST_ERR_UNSUPPORTED, errnum,
	                 "the kernel lacks a part of nf_tables, for '%s' (try: modprobe -a nft_chain_nat nft_masq "
	                 "nft_fib_inet nft_ct)",
	                 kist_nl_failed_what(nl));
}

static int fail(const struct kist_nl *nl, int errnum, struct kist_error *err)
{
	if (nl->failed == 0 && (errnum == EOPNOTSUPP || errnum == EAFNOSUPPORT || errnum == EPROTONOSUPPORT))
		return unsupported(nl, errnum, err);
	return kist_nl_fail(nl, errnum, err);
}

struct conflict {
	bool found;
	uint8_t data[20];
	size_t len;
};

static int take_element(void *arg, const struct nlmsghdr *message)
{
	struct conflict *conflict = arg;
	const struct nlattr *list[NFTA_SET_ELEM_LIST_MAX + 1], *items[NFTA_LIST_MAX + 1];
	const struct nlattr *element[NFTA_SET_ELEM_MAX + 1], *data[NFTA_DATA_MAX + 1];
	const struct nlattr *value;

	kist_nl_parse_message(message, sizeof(struct nfgenmsg), list, NFTA_SET_ELEM_LIST_MAX);
	kist_nl_parse_nested(list[NFTA_SET_ELEM_LIST_ELEMENTS], items, NFTA_LIST_MAX);
	kist_nl_parse_nested(items[NFTA_LIST_ELEM], element, NFTA_SET_ELEM_MAX);
	kist_nl_parse_nested(element[NFTA_SET_ELEM_DATA], data, NFTA_DATA_MAX);
	value = data[NFTA_DATA_VALUE];
	if (value && kist_nl_len(value) <= sizeof(conflict->data)) {
		conflict->found = true;
		conflict->len = kist_nl_len(value);
		memcpy(conflict->data, kist_nl_data(value), conflict->len);
	}
	return 0;
}

/* Is the element there with other data than ours? */
static bool leads_elsewhere(struct kist_nl *nl, const struct kist_nft_element *e, struct conflict *conflict)
{
	*conflict = (struct conflict){ 0 };
	if (!e->data_len)
		return false;
	kist_nl_begin(nl);
	kist_nft_elements_message(nl, "look up port", NFT_MSG_GETSETELEM, 0, e, 1);
	if (kist_nl_send(nl, take_element, conflict) < 0 || !conflict->found)
		return false;
	return conflict->len != e->data_len || memcmp(conflict->data, e->data, e->data_len) != 0;
}

/* Says which port is taken, and by whom. */
static int fail_conflict(struct kist_nl *nl, const struct elements *elements, int errnum, struct kist_error *err)
{
	for (size_t i = 0; i < elements->n; i++) {
		const struct kist_nft_element *e = &elements->items[i];
		struct kist_net_addr to = { .family = e->data_len == 8 ? AF_INET : AF_INET6 };
		size_t len = e->data_len == 8 ? 4 : 16;
		char text[KIST_NET_ADDR_TEXT];
		struct conflict conflict;
		uint16_t port, to_port;

		if (!leads_elsewhere(nl, e, &conflict) || conflict.len != e->data_len)
			continue;
		memcpy(&port, e->key + e->key_len - 4, sizeof(port));
		memcpy(&to_port, conflict.data + len, sizeof(to_port));
		memcpy(to.bytes, conflict.data, len);
		return kist_fail(err, KIST_ERR_IN_USE, EADDRINUSE,
		                 "port %u/%s is published already: it leads to port %u of the container at %s",
		                 ntohs(port), kist_net_protocol_name(e->key[0]), ntohs(to_port),
		                 kist_net_addr_text(text, &to));
	}
	/* It has gone meanwhile. */
	return kist_fail(err, KIST_ERR_IN_USE, errnum, "a port was published by another container at this moment");
}

/* --- transactions ---------------------------------------------------------------------------------------------------
 */

static void element_messages(struct kist_nl *nl, const char *what, uint16_t type, const struct elements *elements)
{
	size_t done = 0;

	while (done < elements->n)
		done += kist_nft_elements_message(nl, what, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0,
		                                  elements->items + done, elements->n - done);
}

static int add_elements(struct kist_nl *nl, const struct elements *elements)
{
	kist_nft_begin(nl);
	element_messages(nl, "add to nftables", NFT_MSG_NEWSETELEM, elements);
	kist_nft_end(nl);
	return kist_nl_send(nl, NULL, NULL);
}

/* An element is added before it is removed: missing is then no failure, and one that leads elsewhere is (it belongs to
 * another container by now), all within one transaction that nobody sees half of. */
static int remove_elements(struct kist_nl *nl, const struct elements *elements)
{
	kist_nft_begin(nl);
	element_messages(nl, "remove from nftables", NFT_MSG_NEWSETELEM, elements);
	element_messages(nl, "remove from nftables", NFT_MSG_DELSETELEM, elements);
	kist_nft_end(nl);
	return kist_nl_send(nl, NULL, NULL);
}

/* Are all UDP ports there? Then their flows were translated from the beginning. The answers of one send must fit into
 * the socket's buffer. */
static bool has_udp_ports(struct kist_nl *nl, const struct elements *elements)
{
	size_t i = 0;
	int r = 0;

	while (r == 0 && i < elements->n) {
		size_t n = 0, at = i;

		for (; i < elements->n && n < 32; i++)
			n += elements->items[i].data_len && elements->items[i].key[0] == IPPROTO_UDP;
		if (n == 0)
			continue;
		kist_nl_begin(nl);
		for (; at < i; at++)
			if (elements->items[at].data_len && elements->items[at].key[0] == IPPROTO_UDP)
				kist_nft_elements_message(nl, "look up port", NFT_MSG_GETSETELEM, 0,
				                          &elements->items[at], 1);
		r = kist_nl_send(nl, NULL, NULL);
	}
	return r == 0;
}

static bool is_conflict(int r)
{
	return r == -EBUSY || r == -EEXIST;
}

/* The table is missing (the first network since the boot, or a foreign flush), or some of it is. */
static int restore_table(struct kist_nl *nl, enum kist_nft_how how, struct kist_error *err)
{
	int r = kist_nft_table_create(nl, how);

	if (r < 0 && how == KIST_NFT_MEND)
		r = kist_nft_table_create(nl, KIST_NFT_REPLACE);
	/* Another process was faster. */
	if (r == 0 || (r == -EEXIST && how == KIST_NFT_NEW))
		return 0;
	/* Expressions and chain types that are missing are 'not found'. */
	if (r == -ENOENT || r == -EOPNOTSUPP || r == -EAFNOSUPPORT)
		return unsupported(nl, -r, err);
	return fail(nl, -r, err);
}

int kist_net_nft_add(struct kist_net *host, const struct kist_net_network *network,
                     const struct kist_net_publish *ports, size_t n_ports, bool *restored, struct kist_error *err)
{
	ELEMENTS struct elements elements = { 0 };
	bool made = false;

	network_elements(&elements, network);
	int r = port_elements(&elements, ports, n_ports, err);
	if (r == 0)
		r = kist_net_filter(host, err);
	if (r < 0)
		return r;
	struct kist_nl *nl = &host->filter;
	bool known = has_udp_ports(nl, &elements);
	r = elements.n ? add_elements(nl, &elements) : 0;
	/* If making it is not enough, there is one that lacks a part. */
	static const enum kist_nft_how ways[] = { KIST_NFT_NEW, KIST_NFT_NEW, KIST_NFT_MEND, KIST_NFT_REPLACE };
	for (size_t tries = 0; r == -ENOENT && tries < KIST_COUNT(ways); tries++) {
		kist_debug("the nftables table is missing or not whole: making it");
		r = restore_table(nl, ways[tries], err);
		if (r < 0)
			return r;
		made = true;
		r = add_elements(nl, &elements);
	}
	if (is_conflict(r))
		return fail_conflict(nl, &elements, -r, err);
	if (r < 0)
		return fail(nl, -r, err);
	if (!known)
		kist_net_conntrack_forget_ports(host, ports, n_ports);
	if (restored && made)
		*restored = true;
	return 0;
}

int kist_net_nft_mend(struct kist_net *host, struct kist_error *err)
{
	/* Without nf_tables there is nothing to mend: who needs it is told by kist_net_nft_add. */
	if (kist_net_filter(host, NULL) < 0 || kist_nft_table_is_whole(&host->filter))
		return 0;
	kist_debug("rules of the nftables table are missing: making it anew");
	int r = restore_table(&host->filter, KIST_NFT_MEND, err);
	return r < 0 ? r : 1;
}

static int remove_all_of(struct kist_nl *nl, struct elements *elements, struct kist_error *err)
{
	int r = elements->n ? remove_elements(nl, elements) : 0;

	/* One that is another's spoils the whole transaction: each by itself, then. */
	for (size_t i = 0; is_conflict(r) && i < elements->n; i++) {
		struct elements one = { .items = &elements->items[i], .n = 1 };
		int alone = remove_elements(nl, &one);

		if (alone < 0 && !is_conflict(alone))
			r = alone;
	}
	if (r == 0 || is_conflict(r) || r == -ENOENT)
		return 0;
	return fail(nl, -r, err);
}

int kist_net_nft_remove(struct kist_net *host, const struct kist_net_publish *ports, size_t n_ports,
                        struct kist_error *err)
{
	ELEMENTS struct elements elements = { 0 };
	const struct kist_net_addr *forgotten = NULL;

	int r = port_elements(&elements, ports, n_ports, err);
	if (r == 0)
		r = kist_net_filter(host, err);
	if (r == 0)
		r = remove_all_of(&host->filter, &elements, err);
	for (size_t i = 0; r == 0 && i < n_ports; i++) {
		if (ports[i].protocol == IPPROTO_UDP &&
		    !(forgotten && kist_net_addr_equal(forgotten, &ports[i].container))) {
			kist_net_conntrack_forget(host, &ports[i].container, NULL);
			forgotten = &ports[i].container;
		}
	}
	return r;
}

int kist_net_nft_remove_network(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err)
{
	ELEMENTS struct elements elements = { 0 };
	struct kist_net_network all = *network;

	/* Whatever it was before an update. */
	all.internal = true;
	all.isolate = KIST_NET_ISOLATE_STRICT;
	network_elements(&elements, &all);
	int r = kist_net_filter(host, err);
	return r < 0 ? r : remove_all_of(&host->filter, &elements, err);
}

int kist_net_nft_remove_all(struct kist_net *host, struct kist_error *err)
{
	int r = kist_net_filter(host, err);

	if (r < 0)
		return r;
	struct kist_nl *nl = &host->filter;
	kist_nft_begin(nl);
	kist_nft_message(nl, "remove the nftables table", NFT_MSG_DELTABLE, 0);
	kist_nl_put_text(nl, NFTA_TABLE_NAME, KIST_NFT_TABLE);
	kist_nft_end(nl);
	r = kist_nl_send(nl, NULL, NULL);
	return r == 0 || r == -ENOENT ? 0 : fail(nl, -r, err);
}

static int take_generation(void *arg, const struct nlmsghdr *message)
{
	const struct nlattr *table[NFTA_GEN_MAX + 1];

	kist_nl_parse_message(message, sizeof(struct nfgenmsg), table, NFTA_GEN_MAX);
	*(uint32_t *)arg = ntohl(kist_nl_u32(table[NFTA_GEN_ID], 0));
	return 0;
}

int kist_net_nft_remove_empty(struct kist_net *host, struct kist_error *err)
{
	int r = kist_net_filter(host, err);

	if (r < 0)
		return r;
	struct kist_nl *nl = &host->filter;
	r = -ERESTART;
	for (unsigned tries = 0; r == -ERESTART && tries < 10; tries++) {
		uint32_t generation = 0;

		kist_nl_begin(nl);
		kist_nft_message(nl, "nftables generation", NFT_MSG_GETGEN, 0);
		if (kist_nl_send(nl, take_generation, &generation) < 0 || !kist_nft_table_is_empty(nl))
			return 0;
		kist_nft_begin(nl);
		/* Refused if anything has changed since. */
		kist_nl_put_be32(nl, NFNL_BATCH_GENID, generation);
		kist_nft_message(nl, "remove the nftables table", NFT_MSG_DELTABLE, 0);
		kist_nl_put_text(nl, NFTA_TABLE_NAME, KIST_NFT_TABLE);
		kist_nft_end(nl);
		r = kist_nl_send(nl, NULL, NULL);
	}
	return r == 0 || r == -ENOENT || r == -ERESTART ? 0 : fail(nl, -r, err);
}

int kist_net_nft_supported(struct kist_net *host)
{
	if (kist_net_filter(host, NULL) < 0)
		return 0;
	kist_nl_begin(&host->filter);
	kist_nft_message(&host->filter, "nftables generation", NFT_MSG_GETGEN, 0);
	return kist_nl_send(&host->filter, NULL, NULL) == 0;
}
