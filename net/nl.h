/* Netlink: messages written one after the other into one buffer, sent by one call, answers matched by number.
 *
 * Attributes are written here and not by a library because a batch is one buffer, a length that does not fit its 16
 * bits must fail the whole batch (CVE-2021-43784), and libnl brings the name service into a static link. Only net/
 * includes this. */
#ifndef KIST_NL_H
#define KIST_NL_H

#include "net/net.h"

#include <linux/netlink.h>

struct kist_error;
struct kist_nl_message;

struct kist_nl {
	int fd;
	uint32_t seq;                     /* of the first message of the batch */
	uint8_t *data;                    /* the batch */
	size_t len, room;                 /* bytes */
	struct kist_nl_message *messages; /* of the batch */
	size_t n, n_room;
	bool overflow;     /* a length did not fit; sticky until the next batch */
	bool filter_batch; /* a transaction of nfnetlink: refused as a whole at its first message */
	uint32_t sndbuf;
	uint8_t *in; /* what is received */
	/* Of the last failure: */
	size_t failed;  /* number of the message */
	char text[160]; /* what the kernel says about it, may be empty */
};

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER. */
int kist_nl_open(struct kist_nl *nl, int protocol, struct kist_error *err);
void kist_nl_close(struct kist_nl *nl);

/* Begins an empty batch. */
void kist_nl_begin(struct kist_nl *nl);
/* Begins a message. what: for the error text, "add address"; borrowed until the batch is sent. */
void kist_nl_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags, const void *header,
                     size_t len);
/* The errno that is no failure of the current message. */
void kist_nl_allow(struct kist_nl *nl, int errnum);
void kist_nl_put(struct kist_nl *nl, uint16_t type, const void *data, size_t len);
void kist_nl_put_u8(struct kist_nl *nl, uint16_t type, uint8_t value);
void kist_nl_put_u16(struct kist_nl *nl, uint16_t type, uint16_t value);
void kist_nl_put_u32(struct kist_nl *nl, uint16_t type, uint32_t value);
void kist_nl_put_be32(struct kist_nl *nl, uint16_t type, uint32_t value);
void kist_nl_put_text(struct kist_nl *nl, uint16_t type, const char *text); /* with its NUL */
/* Fixed structs inside attributes (struct ifinfomsg in VETH_INFO_PEER). */
void kist_nl_append(struct kist_nl *nl, const void *data, size_t len);
size_t kist_nl_nest(struct kist_nl *nl, uint16_t type); /* returns the place, for the end */
void kist_nl_nest_end(struct kist_nl *nl, size_t nest);
/* Bytes in the nest so far: a caller that splits lists keeps below 64 KiB. */
size_t kist_nl_nest_len(const struct kist_nl *nl, size_t nest);

/* An answer that is no acknowledgement. Returns 0, or a negative errno that ends the reading. */
typedef int (*kist_nl_answer)(void *arg, const struct nlmsghdr *message);
/* Sends the batch in one call and reads until its last message is acknowledged. The first failure that was not allowed
 * is returned as a negative errno: nl->failed and nl->text tell more. All messages are tried in any case (rtnetlink).
 */
int kist_nl_send(struct kist_nl *nl, kist_nl_answer answer, void *arg);
/* The batch is one dump request: reads until its end. -EINTR: it changed meanwhile, what was given may have gaps; the
 * same batch can be sent again. */
int kist_nl_dump(struct kist_nl *nl, kist_nl_answer answer, void *arg);
/* What the message that failed was about; and an error object made of all that is known. */
const char *kist_nl_failed_what(const struct kist_nl *nl);
int kist_nl_fail(const struct kist_nl *nl, int errnum, struct kist_error *err);

/* Reading. table[type] for type <= max; others and malformed rests are left out. */
void kist_nl_parse(const void *data, size_t len, const struct nlattr **table, uint16_t max);
/* The attributes after a fixed header. */
void kist_nl_parse_message(const struct nlmsghdr *message, size_t header, const struct nlattr **table, uint16_t max);
void kist_nl_parse_nested(const struct nlattr *attr, const struct nlattr **table, uint16_t max);
const void *kist_nl_data(const struct nlattr *attr);
size_t kist_nl_len(const struct nlattr *attr);
uint32_t kist_nl_u32(const struct nlattr *attr, uint32_t fallback); /* fallback when NULL or short */
bool kist_nl_text_is(const struct nlattr *attr, const char *text);

/* --- what an open kist_net is ------------------------------------------------------------------------------------ */

struct kist_net {
	struct kist_nl route;
	struct kist_nl filter; /* fd -1: not opened yet, or a container's */
	bool own;              /* of the caller's namespace: the filter socket may be opened when it is needed */
	char mark[256];        /* kist_net_store; "": none */
	int lock;              /* kist_net_bridges_lock; -1 */
};
/* Opens the filter socket if need be. */
int kist_net_filter(struct kist_net *net, struct kist_error *err);
/* Index by name, one ioctl without a lock; 0 when there is none. */
uint32_t kist_net_link_index(struct kist_net *net, const char *name);

#endif
