/* What the nftables files share: the table's sets and the messages about them. Only net/ includes this. */
#ifndef KIST_NET_NFT_H
#define KIST_NET_NFT_H

#include "net/nl.h"

#define KIST_NFT_TABLE "kist"

/* Sets and maps of the table. A map leads to an address and a port. */
enum kist_nft_set {
	KIST_NFT_BRIDGES,    /* interface: all our bridges */
	KIST_NFT_SAME,       /* interface . interface: each bridge with itself */
	KIST_NFT_INTERNAL,   /* interface */
	KIST_NFT_ISOLATED,   /* interface */
	KIST_NFT_STRICT,     /* interface */
	KIST_NFT_PORTS4,     /* protocol . address . port */
	KIST_NFT_PORTS4_ANY, /* protocol . port */
	KIST_NFT_PORTS6,
	KIST_NFT_PORTS6_ANY,
	KIST_NFT_SETS,
};
const char *kist_nft_set_name(enum kist_nft_set set);

/* Keys and data as the kernel's registers hold them: every field padded to four bytes. */
struct kist_nft_element {
	enum kist_nft_set set;
	uint8_t key[32], data[20];
	uint8_t key_len, data_len; /* data_len 0: an element of a set */
};

/* Begins and ends a transaction: the messages between them take effect together or not at all. */
void kist_nft_begin(struct kist_nl *nl);
void kist_nft_end(struct kist_nl *nl);
/* A message of nf_tables about the family inet. */
void kist_nft_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags);
/* One message for one set: as many elements of it as fit from the beginning of the list. Returns how many. */
size_t kist_nft_elements_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags,
                                 const struct kist_nft_element *elements, size_t n);
/* NLMSG type of a message of nf_tables. */
uint16_t kist_nft_type(uint16_t type);

/* Makes the table with its sets, chains and rules in one transaction. */
enum kist_nft_how {
	KIST_NFT_NEW,  /* -EEXIST when there is one */
	KIST_NFT_MEND, /* what one lacks is added, and its rules are made anew; all elements stay: some may be another
	                  store's. Sets or chains that are not as they should be make it fail */
	KIST_NFT_REPLACE, /* one that is there is removed */
};
/* Negative errno; the socket knows more. */
int kist_nft_table_create(struct kist_nl *nl, enum kist_nft_how how);
/* False where rules are missing, as after 'nft flush table'; true where that cannot be told. */
bool kist_nft_table_is_whole(struct kist_nl *nl);
/* Nobody has elements in any of its sets; false also when there is no table. */
bool kist_nft_table_is_empty(struct kist_nl *nl);

/* Ends UDP flows tracked to these ports of the host that lead nowhere: a client that does not pause would never get to
 * the container. */
void kist_net_conntrack_forget_ports(struct kist_net *host, const struct kist_net_publish *ports, size_t n);

#endif
