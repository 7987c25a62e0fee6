/* Names of containers: a small DNS server for one container, at 127.0.0.11 of its own network namespace.
 *
 * kist_dns_answer is a pure function from a packet to a packet, over a look-up callback. The rest puts it on sockets
 * and forwards to other servers what it does not know; it lives in the monitor's event loop through one fd. RFC 1035,
 * 6891 (EDNS), 7766 (TCP), 8482 (ANY). */
#ifndef KIST_DNS_H
#define KIST_DNS_H

#include "net/net.h"

struct kist_error;

#define KIST_DNS_NAME      256u  /* room for a name's text */
#define KIST_DNS_UDP       512u  /* what every client takes */
#define KIST_DNS_UDP_LARGE 4096u /* what we take and send over UDP at most, by EDNS */
#define KIST_DNS_MAX       65535u
#define KIST_DNS_ADDRESS   "127.0.0.11"

enum kist_dns_result {
	KIST_DNS_NONE = -1,    /* the name is ours, and nobody has it: NXDOMAIN */
	KIST_DNS_FOREIGN = -2, /* not ours: ask others; NXDOMAIN where there are none */
};

struct kist_dns_source {
	/* Addresses of a name (lower case, no last dot), of both families, in *out. Returns how many (0: the name
	 * exists), or enum kist_dns_result. */
	int (*addresses)(void *arg, const char *name, struct kist_net_addr *out, size_t room);
	/* Names of an address, for reverse look-ups. NULL: none are known. */
	int (*names)(void *arg, const struct kist_net_addr *addr, char (*out)[KIST_DNS_NAME], size_t room);
	void *arg;
};

/* A query's question, as far as it has been understood. */
struct kist_dns_question {
	char name[KIST_DNS_NAME]; /* lower case, "" for the root, and for names no container can have */
	bool plain;               /* name says all of it: no byte in it that is no host name's */
	uint16_t type, class;
	size_t end; /* where the question section ends in the packet */
	bool edns;
	uint8_t edns_version;
	uint16_t udp_size; /* what the client takes over UDP, at least 512 */
};
/* 0, or -EBADMSG for packets that deserve no answer (short, or an answer themselves), -EINVAL for those that deserve
 * FORMERR. */
int kist_dns_parse(const uint8_t *packet, size_t len, struct kist_dns_question *out);

/* The answer to a query in out: its length, 0 when another server must be asked, -EBADMSG when the packet deserves
 * none. room: over UDP the smaller of the buffer and what the client takes is kept to (TC is set when that cuts); tcp:
 * room is KIST_DNS_MAX. forward: others can be asked. */
ssize_t kist_dns_answer(const struct kist_dns_source *source, const uint8_t *query, size_t len, bool tcp, bool forward,
                        uint8_t *out, size_t room);
/* An answer without records, to a query that was parsed: code SERVFAIL (2) and such. Same results. */
ssize_t kist_dns_fail(const uint8_t *query, size_t len, unsigned code, uint8_t *out, size_t room);
/* Is this the answer to that query of ours: same id, same question, QR set? */
bool kist_dns_matches(const uint8_t *query, size_t query_len, const uint8_t *answer, size_t answer_len);

/* --- the server -----------------------------------------------------------------------------------------------------
 */

struct kist_dns;

struct kist_dns_server {
	struct kist_net_addr addr;
	uint16_t port; /* 0: 53 */
};
struct kist_dns_options {
	struct kist_dns_source source;
	const struct kist_dns_server
	        *servers; /* others to ask, in this order; copied. Asked from the caller's namespace */
	size_t n_servers;
	uint16_t port;  /* to answer at; 0: 53 */
	int timeout_ms; /* for one try of one server; 0: 1500, so that three fit into a resolver's own 5 s */
};

/* Opens UDP and TCP sockets at 127.0.0.11 of the namespace (an fd, borrowed; -1: the caller's), from where it answers.
 * Loopback must be up. Others may share the port with SO_REUSEPORT; one that binds it for all addresses without it gets
 * EADDRINUSE. */
int kist_dns_open(const struct kist_dns_options *options, int netns, struct kist_dns **out, struct kist_error *err);
void kist_dns_close(struct kist_dns *dns); /* NULL is fine */
/* Becomes readable when there is something to do; borrowed. */
int kist_dns_fd(const struct kist_dns *dns);
/* Does what there is to do, never waits. Bounded work: call it again when the fd is still readable. */
void kist_dns_process(struct kist_dns *dns);
void kist_dns_set_servers(struct kist_dns *dns, const struct kist_dns_server *servers, size_t n);

#endif
