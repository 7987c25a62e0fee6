/* The table 'inet kist': sets, chains, and rules that never change. In nft's own words:
 *
 *   chain guard       { type filter hook prerouting priority raw
 *                       ip daddr 127.0.0.0/8 iifname @bridges drop   # route_localnet must not open the host's loopback
 *                       ip saddr 127.0.0.0/8 iifname @bridges drop }
 *   chain publish     { dnat ip to meta l4proto . ip daddr . th dport map @ports4
 *                       dnat ip to meta l4proto . th dport map @ports4_any
 *                       dnat ip6 ... @ports6, @ports6_any }
 *   chain prerouting  { type nat hook prerouting priority dstnat;  fib daddr type local jump publish }
 *   chain output      { type nat hook output priority dstnat;      ip6 daddr ::1 accept   # net/proxy.h
 *                       fib daddr type local jump publish }
 *   chain postrouting { type nat hook postrouting priority srcnat
 *                       iifname . oifname @same ct status dnat masquerade  # hairpin: the answer must come back here
 *                       iif 0 oifname @bridges ct status dnat fib saddr type != local masquerade # the same, bridged
 *                       iifname . oifname @same accept
 *                       ip saddr 127.0.0.0/8 oifname @bridges masquerade   # a source no container can answer
 *                       iifname @bridges ip daddr != 224.0.0.0/4 masquerade; the same for ip6 }
 *   chain forward     { type filter hook forward priority filter
 *                       ct state established,related accept
 *                       iifname . oifname @same accept            # bridged frames come here too with br_netfilter
 *                       iifname @internal drop;  oifname @internal drop
 *                       iifname @isolated oifname @isolated drop
 *                       iifname @strict oifname @bridges drop;  iifname @bridges oifname @strict drop
 *                       iifname @bridges accept
 *                       oifname @bridges ct status ! dnat drop }  # ports that are not published
 *
 * The first packet of a flow costs a few hash look-ups however many containers there are, the others next to nothing.
 * iifname in postrouting needs Linux 5.7. A change of chains or rules must rename a set that every transaction touches,
 * so that the table of an older version is seen as broken and made anew. */
#include "net/nft.h"

#include "core/base/error.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <arpa/inet.h>

/* Types of nft(8), six bits each: how 'nft list' shows the elements. The kernel keeps them as numbers. */
enum { TYPE_IPV4 = 7, TYPE_IPV6 = 8, TYPE_PROTOCOL = 12, TYPE_PORT = 13, TYPE_INTERFACE = 41 };
#define TYPE2(a, b)    ((a) << 6 | (b))
#define TYPE3(a, b, c) ((a) << 12 | (b) << 6 | (c))

struct set {
	const char *name;
	uint32_t key_type, key_len, data_type, data_len;
};

static const struct set sets[KIST_NFT_SETS] = {
	[KIST_NFT_BRIDGES] = { "bridges", TYPE_INTERFACE, 16 },
	[KIST_NFT_SAME] = { "same", TYPE2(TYPE_INTERFACE, TYPE_INTERFACE), 32 },
	[KIST_NFT_INTERNAL] = { "internal", TYPE_INTERFACE, 16 },
	[KIST_NFT_ISOLATED] = { "isolated", TYPE_INTERFACE, 16 },
	[KIST_NFT_STRICT] = { "strict", TYPE_INTERFACE, 16 },
	[KIST_NFT_PORTS4] = { "ports4", TYPE3(TYPE_PROTOCOL, TYPE_IPV4, TYPE_PORT), 12, TYPE2(TYPE_IPV4, TYPE_PORT),
	                      8 },
	[KIST_NFT_PORTS4_ANY] = { "ports4_any", TYPE2(TYPE_PROTOCOL, TYPE_PORT), 8, TYPE2(TYPE_IPV4, TYPE_PORT), 8 },
	[KIST_NFT_PORTS6] = { "ports6", TYPE3(TYPE_PROTOCOL, TYPE_IPV6, TYPE_PORT), 24, TYPE2(TYPE_IPV6, TYPE_PORT),
	                      20 },
	[KIST_NFT_PORTS6_ANY] = { "ports6_any", TYPE2(TYPE_PROTOCOL, TYPE_PORT), 8, TYPE2(TYPE_IPV6, TYPE_PORT), 20 },
};

const char *kist_nft_set_name(enum kist_nft_set set)
{
	return sets[set].name;
}

/* --- expressions ----------------------------------------------------------------------------------------------------
 */

enum kind { NONE, E_META, E_PAYLOAD, E_CMP, E_LOOKUP, E_CT, E_MASK, E_FIB, E_NAT, E_MASQUERADE, E_VERDICT };

/* Registers of four bytes. */
#define R(n) (NFT_REG32_00 + (n))

struct expression {
	enum kind kind;
	uint32_t a, b, c; /* what they mean is the kind's affair: the macros below */
	uint32_t source, result;
	enum kist_nft_set set;
	const char *chain;
	uint8_t len;
	uint8_t data[16];
};

/* clang-format off */
#define META(key, to)                   { .kind = E_META, .a = (key), .result = (to) }
#define PAYLOAD(base, offset, n, to)    { .kind = E_PAYLOAD, .a = (base), .b = (offset), .c = (n), .result = (to) }
#define CMP(op, reg, n, ...)            { .kind = E_CMP, .a = (op), .source = (reg), .len = (n), .data = { __VA_ARGS__ } }
#define IN_SET(which, reg)              { .kind = E_LOOKUP, .set = (which), .source = (reg) }
#define MAP_TO(which, reg, to)          { .kind = E_LOOKUP, .set = (which), .source = (reg), .result = (to) }
#define CT(key, to)                     { .kind = E_CT, .a = (key), .result = (to) }
#define MASK(reg, bits)                 { .kind = E_MASK, .source = (reg), .a = (bits) }
#define MASK_BYTE(reg, bits)            { .kind = E_MASK, .source = (reg), .len = 4, .data = { (bits) } }
#define FIB_TYPE_OF(what, to)           { .kind = E_FIB, .a = (what), .result = (to) }
#define DNAT(family, address_reg, port) { .kind = E_NAT, .a = (family), .source = (address_reg), .result = (port) }
#define MASQUERADE                      { .kind = E_MASQUERADE }
#define ACCEPT                          { .kind = E_VERDICT, .a = NF_ACCEPT }
#define DROP                            { .kind = E_VERDICT, .a = NF_DROP }
#define JUMP(to)                        { .kind = E_VERDICT, .a = (uint32_t)NFT_JUMP, .chain = (to) }

#define IPV4               META(NFT_META_NFPROTO, R(0)), CMP(NFT_CMP_EQ, R(0), 1, NFPROTO_IPV4)
#define IPV6               META(NFT_META_NFPROTO, R(0)), CMP(NFT_CMP_EQ, R(0), 1, NFPROTO_IPV6)
#define PROTOCOL(to)       META(NFT_META_L4PROTO, to)
#define HEADER(at, n, to)  PAYLOAD(NFT_PAYLOAD_NETWORK_HEADER, at, n, to)
#define PORT(to)           PAYLOAD(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, to)
#define NO_IIF             META(NFT_META_IIF, R(0)), CMP(NFT_CMP_EQ, R(0), 4, 0)
#define IIFNAME_IN(set)    META(NFT_META_IIFNAME, R(0)), IN_SET(set, R(0))
#define OIFNAME_IN(set)    META(NFT_META_OIFNAME, R(0)), IN_SET(set, R(0))
#define IIF_OIF_IN(set)    META(NFT_META_IIFNAME, R(0)), META(NFT_META_OIFNAME, R(4)), IN_SET(set, R(0))
#define LOOPBACK_AT(at)    IPV4, HEADER(at, 1, R(0)), CMP(NFT_CMP_EQ, R(0), 1, 127)
#define CT_STATUS(op)      CT(NFT_CT_STATUS, R(0)), MASK(R(0), IPS_DST_NAT), CMP(op, R(0), 4, 0)
#define IS_DNAT            CT_STATUS(NFT_CMP_NEQ)
#define IS_NOT_DNAT        CT_STATUS(NFT_CMP_EQ)
/* NF_CT_STATE_BIT: ESTABLISHED is 1, RELATED is 2, and bit 0 is INVALID. */
#define ESTABLISHED        CT(NFT_CT_STATE, R(0)), MASK(R(0), 1 << 1 | 1 << 2), CMP(NFT_CMP_NEQ, R(0), 4, 0)
/* Numbers are in the host's order; RTN_LOCAL is 2. */
#define LOCAL_BYTES        [__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 3] = 2
#define TO_LOCAL           FIB_TYPE_OF(NFTA_FIB_F_DADDR, R(0)), CMP(NFT_CMP_EQ, R(0), 4, LOCAL_BYTES)
#define NOT_FROM_LOCAL     FIB_TYPE_OF(NFTA_FIB_F_SADDR, R(0)), CMP(NFT_CMP_NEQ, R(0), 4, LOCAL_BYTES)
/* clang-format on */

/* Offsets of addresses in the headers. */
enum { IP_SOURCE = 12, IP_DESTINATION = 16, IP6_DESTINATION = 24 };

struct rule {
	const char *chain;
	struct expression expressions[12];
};

/* clang-format off */
static const struct rule rules[] = {
	{ "guard", { LOOPBACK_AT(IP_DESTINATION), IIFNAME_IN(KIST_NFT_BRIDGES), DROP } },
	{ "guard", { LOOPBACK_AT(IP_SOURCE), IIFNAME_IN(KIST_NFT_BRIDGES), DROP } },

	{ "publish", { IPV4, PROTOCOL(R(0)), HEADER(IP_DESTINATION, 4, R(1)), PORT(R(2)),
	               MAP_TO(KIST_NFT_PORTS4, R(0), R(0)), DNAT(NFPROTO_IPV4, R(0), R(1)) } },
	{ "publish", { IPV4, PROTOCOL(R(0)), PORT(R(1)),
	               MAP_TO(KIST_NFT_PORTS4_ANY, R(0), R(0)), DNAT(NFPROTO_IPV4, R(0), R(1)) } },
	{ "publish", { IPV6, PROTOCOL(R(0)), HEADER(IP6_DESTINATION, 16, R(1)), PORT(R(5)),
	               MAP_TO(KIST_NFT_PORTS6, R(0), R(0)), DNAT(NFPROTO_IPV6, R(0), R(4)) } },
	{ "publish", { IPV6, PROTOCOL(R(0)), PORT(R(1)),
	               MAP_TO(KIST_NFT_PORTS6_ANY, R(0), R(0)), DNAT(NFPROTO_IPV6, R(0), R(4)) } },
	{ "prerouting", { TO_LOCAL, JUMP("publish") } },
	{ "output", { IPV6, HEADER(IP6_DESTINATION, 16, R(0)), CMP(NFT_CMP_EQ, R(0), 16, [15] = 1), ACCEPT } },
	{ "output", { TO_LOCAL, JUMP("publish") } },

	{ "postrouting", { IIF_OIF_IN(KIST_NFT_SAME), IS_DNAT, MASQUERADE } },
	{ "postrouting", { NO_IIF, OIFNAME_IN(KIST_NFT_BRIDGES), IS_DNAT, NOT_FROM_LOCAL, MASQUERADE } },
	{ "postrouting", { IIF_OIF_IN(KIST_NFT_SAME), ACCEPT } },
	{ "postrouting", { LOOPBACK_AT(IP_SOURCE), OIFNAME_IN(KIST_NFT_BRIDGES), MASQUERADE } },
	{ "postrouting", { IPV4, IIFNAME_IN(KIST_NFT_BRIDGES), HEADER(IP_DESTINATION, 4, R(0)), MASK_BYTE(R(0), 0xf0),
	                   CMP(NFT_CMP_NEQ, R(0), 4, 0xe0), MASQUERADE } },
	{ "postrouting", { IPV6, IIFNAME_IN(KIST_NFT_BRIDGES), HEADER(IP6_DESTINATION, 1, R(0)),
	                   CMP(NFT_CMP_NEQ, R(0), 1, 0xff), MASQUERADE } },

	{ "forward", { ESTABLISHED, ACCEPT } },
	{ "forward", { IIF_OIF_IN(KIST_NFT_SAME), ACCEPT } },
	{ "forward", { IIFNAME_IN(KIST_NFT_INTERNAL), DROP } },
	{ "forward", { OIFNAME_IN(KIST_NFT_INTERNAL), DROP } },
	{ "forward", { IIFNAME_IN(KIST_NFT_ISOLATED), OIFNAME_IN(KIST_NFT_ISOLATED), DROP } },
	{ "forward", { IIFNAME_IN(KIST_NFT_STRICT), OIFNAME_IN(KIST_NFT_BRIDGES), DROP } },
	{ "forward", { IIFNAME_IN(KIST_NFT_BRIDGES), OIFNAME_IN(KIST_NFT_STRICT), DROP } },
	{ "forward", { IIFNAME_IN(KIST_NFT_BRIDGES), ACCEPT } },
	{ "forward", { OIFNAME_IN(KIST_NFT_BRIDGES), IS_NOT_DNAT, DROP } },
};
/* clang-format on */

struct chain {
	const char *name, *type; /* type NULL: no hook, only jumped to */
	uint32_t hook;
	int32_t priority;
};

static const struct chain chains[] = {
	{ "guard", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW },
	{ "publish" },
	{ "prerouting", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST },
	{ "output", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST },
	{ "postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
	{ "forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER },
};

/* --- messages -------------------------------------------------------------------------------------------------------
 */

uint16_t kist_nft_type(uint16_t type)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
}

void kist_nft_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags)
{
	const struct nfgenmsg header = { .nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0 };

	kist_nl_message(nl, what, kist_nft_type(type), flags, &header, sizeof(header));
}

static void mark_message(struct kist_nl *nl, uint16_t type)
{
	const struct nfgenmsg header = { .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };

	kist_nl_message(nl, "nftables transaction", type, 0, &header, sizeof(header));
}

void kist_nft_begin(struct kist_nl *nl)
{
	kist_nl_begin(nl);
	nl->filter_batch = true;
	mark_message(nl, NFNL_MSG_BATCH_BEGIN);
}

void kist_nft_end(struct kist_nl *nl)
{
	mark_message(nl, NFNL_MSG_BATCH_END);
}

static void put_value(struct kist_nl *nl, uint16_t type, const void *data, size_t len)
{
	size_t nest = kist_nl_nest(nl, type);

	kist_nl_put(nl, NFTA_DATA_VALUE, data, len);
	kist_nl_nest_end(nl, nest);
}

static void put_verdict(struct kist_nl *nl, const struct expression *e)
{
	size_t data = kist_nl_nest(nl, NFTA_IMMEDIATE_DATA);
	size_t verdict = kist_nl_nest(nl, NFTA_DATA_VERDICT);

	kist_nl_put_be32(nl, NFTA_VERDICT_CODE, e->a);
	if (e->chain)
		kist_nl_put_text(nl, NFTA_VERDICT_CHAIN, e->chain);
	kist_nl_nest_end(nl, verdict);
	kist_nl_nest_end(nl, data);
}

/* The attributes of one expression; names below in put_expression. */
static void put_expression_data(struct kist_nl *nl, const struct expression *e)
{
	static const uint8_t zero[4];

	switch (e->kind) {
	case E_META:
		kist_nl_put_be32(nl, NFTA_META_KEY, e->a);
		kist_nl_put_be32(nl, NFTA_META_DREG, e->result);
		break;
	case E_PAYLOAD:
		kist_nl_put_be32(nl, NFTA_PAYLOAD_DREG, e->result);
		kist_nl_put_be32(nl, NFTA_PAYLOAD_BASE, e->a);
		kist_nl_put_be32(nl, NFTA_PAYLOAD_OFFSET, e->b);
		kist_nl_put_be32(nl, NFTA_PAYLOAD_LEN, e->c);
		break;
	case E_CMP:
		kist_nl_put_be32(nl, NFTA_CMP_SREG, e->source);
		kist_nl_put_be32(nl, NFTA_CMP_OP, e->a);
		put_value(nl, NFTA_CMP_DATA, e->data, e->len);
		break;
	case E_LOOKUP:
		kist_nl_put_text(nl, NFTA_LOOKUP_SET, sets[e->set].name);
		kist_nl_put_be32(nl, NFTA_LOOKUP_SREG, e->source);
		if (e->result)
			kist_nl_put_be32(nl, NFTA_LOOKUP_DREG, e->result);
		break;
	case E_CT:
		kist_nl_put_be32(nl, NFTA_CT_KEY, e->a);
		kist_nl_put_be32(nl, NFTA_CT_DREG, e->result);
		break;
	case E_MASK:
		kist_nl_put_be32(nl, NFTA_BITWISE_SREG, e->source);
		kist_nl_put_be32(nl, NFTA_BITWISE_DREG, e->source);
		kist_nl_put_be32(nl, NFTA_BITWISE_LEN, 4);
		/* Numbers are in the host's order, as the register is; bytes of a packet are in the packet's. */
		put_value(nl, NFTA_BITWISE_MASK, e->len ? (const void *)e->data : &e->a, 4);
		put_value(nl, NFTA_BITWISE_XOR, zero, 4);
		break;
	case E_FIB:
		kist_nl_put_be32(nl, NFTA_FIB_DREG, e->result);
		kist_nl_put_be32(nl, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
		kist_nl_put_be32(nl, NFTA_FIB_FLAGS, e->a);
		break;
	case E_NAT:
		kist_nl_put_be32(nl, NFTA_NAT_TYPE, NFT_NAT_DNAT);
		kist_nl_put_be32(nl, NFTA_NAT_FAMILY, e->a);
		kist_nl_put_be32(nl, NFTA_NAT_REG_ADDR_MIN, e->source);
		kist_nl_put_be32(nl, NFTA_NAT_REG_PROTO_MIN, e->result);
		break;
	case E_VERDICT:
		kist_nl_put_be32(nl, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
		put_verdict(nl, e);
		break;
	case E_MASQUERADE:
	case NONE:
		break;
	}
}

static void put_expression(struct kist_nl *nl, const struct expression *e)
{
	static const char *const names[] = {
		[E_META] = "meta",       [E_PAYLOAD] = "payload",   [E_CMP] = "cmp", [E_LOOKUP] = "lookup",
		[E_CT] = "ct",           [E_MASK] = "bitwise",      [E_FIB] = "fib", [E_NAT] = "nat",
		[E_MASQUERADE] = "masq", [E_VERDICT] = "immediate",
	};
	size_t element = kist_nl_nest(nl, NFTA_LIST_ELEM);
	size_t data;

	kist_nl_put_text(nl, NFTA_EXPR_NAME, names[e->kind]);
	data = kist_nl_nest(nl, NFTA_EXPR_DATA);
	put_expression_data(nl, e);
	kist_nl_nest_end(nl, data);
	kist_nl_nest_end(nl, element);
}

static void rule_message(struct kist_nl *nl, const struct rule *rule)
{
	size_t list;

	kist_nft_message(nl, rule->chain, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	kist_nl_put_text(nl, NFTA_RULE_TABLE, KIST_NFT_TABLE);
	kist_nl_put_text(nl, NFTA_RULE_CHAIN, rule->chain);
	list = kist_nl_nest(nl, NFTA_RULE_EXPRESSIONS);
	for (size_t i = 0; i < KIST_COUNT(rule->expressions) && rule->expressions[i].kind != NONE; i++)
		put_expression(nl, &rule->expressions[i]);
	kist_nl_nest_end(nl, list);
}

static void chain_message(struct kist_nl *nl, const struct chain *chain)
{
	kist_nft_message(nl, chain->name, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	kist_nl_put_text(nl, NFTA_CHAIN_TABLE, KIST_NFT_TABLE);
	kist_nl_put_text(nl, NFTA_CHAIN_NAME, chain->name);
	if (chain->type) {
		size_t hook = kist_nl_nest(nl, NFTA_CHAIN_HOOK);

		kist_nl_put_be32(nl, NFTA_HOOK_HOOKNUM, chain->hook);
		kist_nl_put_be32(nl, NFTA_HOOK_PRIORITY, (uint32_t)chain->priority);
		kist_nl_nest_end(nl, hook);
		kist_nl_put_be32(nl, NFTA_CHAIN_POLICY, NF_ACCEPT);
		kist_nl_put_text(nl, NFTA_CHAIN_TYPE, chain->type);
	}
}

static void set_message(struct kist_nl *nl, const struct set *set, uint32_t id)
{
	kist_nft_message(nl, set->name, NFT_MSG_NEWSET, NLM_F_CREATE);
	kist_nl_put_text(nl, NFTA_SET_TABLE, KIST_NFT_TABLE);
	kist_nl_put_text(nl, NFTA_SET_NAME, set->name);
	kist_nl_put_be32(nl, NFTA_SET_FLAGS, set->data_len ? NFT_SET_MAP : 0);
	kist_nl_put_be32(nl, NFTA_SET_KEY_TYPE, set->key_type);
	kist_nl_put_be32(nl, NFTA_SET_KEY_LEN, set->key_len);
	if (set->data_len) {
		kist_nl_put_be32(nl, NFTA_SET_DATA_TYPE, set->data_type);
		kist_nl_put_be32(nl, NFTA_SET_DATA_LEN, set->data_len);
	}
	kist_nl_put_be32(nl, NFTA_SET_ID, id);
	if (set->key_type == TYPE_INTERFACE) {
		/* For nft(8) alone, which shows names only where it knows them to be in the host's order: type 0
		 * (NFTNL_UDATA_SET_KEYBYTEORDER), length 4, BYTEORDER_HOST_ENDIAN. */
		struct {
			uint8_t type, len;
			uint32_t value;
		} __attribute__((packed)) order = { 0, 4, 1 };

		kist_nl_put(nl, NFTA_SET_USERDATA, &order, sizeof(order));
	}
}

static void table_message(struct kist_nl *nl, uint16_t type, uint16_t flags)
{
	kist_nft_message(nl, "nftables table", type, flags);
	kist_nl_put_text(nl, NFTA_TABLE_NAME, KIST_NFT_TABLE);
}

int kist_nft_table_create(struct kist_nl *nl, enum kist_nft_how how)
{
	kist_nft_begin(nl);
	if (how == KIST_NFT_REPLACE) {
		/* Made if missing, so that removing it cannot fail. */
		table_message(nl, NFT_MSG_NEWTABLE, NLM_F_CREATE);
		table_message(nl, NFT_MSG_DELTABLE, 0);
	}
	table_message(nl, NFT_MSG_NEWTABLE, how == KIST_NFT_MEND ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_EXCL);
	for (size_t i = 0; i < KIST_COUNT(sets); i++)
		set_message(nl, &sets[i], (uint32_t)i + 1);
	for (size_t i = 0; i < KIST_COUNT(chains); i++)
		chain_message(nl, &chains[i]);
	if (how == KIST_NFT_MEND) {
		kist_nft_message(nl, "rules of the nftables table", NFT_MSG_DELRULE, 0);
		kist_nl_put_text(nl, NFTA_RULE_TABLE, KIST_NFT_TABLE);
	}
	for (size_t i = 0; i < KIST_COUNT(rules); i++)
		rule_message(nl, &rules[i]);
	kist_nft_end(nl);
	return kist_nl_send(nl, NULL, NULL);
}

size_t kist_nft_elements_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags,
                                 const struct kist_nft_element *elements, size_t n)
{
	size_t list, done = 0;

	kist_nft_message(nl, what, type, flags);
	kist_nl_put_text(nl, NFTA_SET_ELEM_LIST_TABLE, KIST_NFT_TABLE);
	kist_nl_put_text(nl, NFTA_SET_ELEM_LIST_SET, sets[elements[0].set].name);
	list = kist_nl_nest(nl, NFTA_SET_ELEM_LIST_ELEMENTS);
	/* A nest's length has 16 bits. */
	for (; done < n && elements[done].set == elements[0].set && kist_nl_nest_len(nl, list) < 60000; done++) {
		const struct kist_nft_element *e = &elements[done];
		size_t element = kist_nl_nest(nl, NFTA_LIST_ELEM);

		put_value(nl, NFTA_SET_ELEM_KEY, e->key, e->key_len);
		if (e->data_len && type != NFT_MSG_DELSETELEM && type != NFT_MSG_GETSETELEM)
			put_value(nl, NFTA_SET_ELEM_DATA, e->data, e->data_len);
		kist_nl_nest_end(nl, element);
	}
	kist_nl_nest_end(nl, list);
	return done;
}

static int count_rule(void *arg, const struct nlmsghdr *message)
{
	const struct nlattr *rule[NFTA_RULE_MAX + 1];
	size_t *n = arg;

	if (message->nlmsg_type != kist_nft_type(NFT_MSG_NEWRULE))
		return 0;
	kist_nl_parse_message(message, sizeof(struct nfgenmsg), rule, NFTA_RULE_MAX);
	if (kist_nl_text_is(rule[NFTA_RULE_TABLE], KIST_NFT_TABLE))
		(*n)++;
	return 0;
}

bool kist_nft_table_is_whole(struct kist_nl *nl)
{
	size_t n = 0;
	int r = -EINTR;

	kist_nl_begin(nl);
	kist_nft_message(nl, "list rules", NFT_MSG_GETRULE, NLM_F_DUMP);
	kist_nl_put_text(nl, NFTA_RULE_TABLE, KIST_NFT_TABLE);
	for (unsigned tries = 0; r == -EINTR && tries < 10; tries++) {
		n = 0;
		r = kist_nl_dump(nl, count_rule, &n);
	}
	return r < 0 || n >= KIST_COUNT(rules);
}

static int find_element(void *arg, const struct nlmsghdr *message)
{
	const struct nlattr *list[NFTA_SET_ELEM_LIST_MAX + 1];
	bool *found = arg;

	if (message->nlmsg_type != kist_nft_type(NFT_MSG_NEWSETELEM))
		return 0;
	kist_nl_parse_message(message, sizeof(struct nfgenmsg), list, NFTA_SET_ELEM_LIST_MAX);
	*found = *found || (list[NFTA_SET_ELEM_LIST_ELEMENTS] && kist_nl_len(list[NFTA_SET_ELEM_LIST_ELEMENTS]));
	return 0;
}

bool kist_nft_table_is_empty(struct kist_nl *nl)
{
	bool found = false;
	int r = 0;

	for (size_t i = 0; r == 0 && !found && i < KIST_COUNT(sets); i++) {
		kist_nl_begin(nl);
		kist_nft_message(nl, "list elements", NFT_MSG_GETSETELEM, NLM_F_DUMP);
		kist_nl_put_text(nl, NFTA_SET_ELEM_LIST_TABLE, KIST_NFT_TABLE);
		kist_nl_put_text(nl, NFTA_SET_ELEM_LIST_SET, sets[i].name);
		r = kist_nl_dump(nl, find_element, &found);
	}
	return r == 0 && !found;
}
