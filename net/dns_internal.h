/* What the DNS server's files share: clients, and queries that are out at other servers. Only net/dns*.c include this.
 */
#ifndef KIST_DNS_INTERNAL_H
#define KIST_DNS_INTERNAL_H

#include "net/dns.h"

#include <netinet/in.h>

/* Who asks in one container is one container: bounds that a resolver never meets and a flood cannot pass. */
#define DNS_PENDING 64
#define DNS_CLIENTS 16
#define DNS_SERVERS 8

#define DNS_CLIENT_IDLE_MS 10000

/* A TCP client. One query at a time: the next is read when the answer is out. */
struct dns_client {
	int fd; /* -1: free */
	uint32_t generation;
	uint8_t *buffer; /* two bytes of length, then the query; or the answer on its way out */
	size_t have, want, room;
	bool writing, waiting; /* waiting: its query is out at another server */
	int64_t deadline;
};

/* Where an answer goes. */
struct dns_return {
	bool tcp;
	struct sockaddr_in udp;
	size_t client;
	uint32_t generation; /* of the TCP client: it may have left, and another be in its place */
};

/* A query that is out. */
struct dns_pending {
	int fd; /* -1: free */
	struct dns_return to;
	uint8_t id[2];  /* the client's own */
	uint8_t *query; /* with our id; for TCP there is room for the length before it */
	size_t len;
	size_t server; /* of the list */
	unsigned tries;
	int64_t deadline;
	bool tcp;
	/* TCP: what is sent, then what has come in. */
	uint8_t *buffer;
	size_t have, want;
	bool sending;
};

struct kist_dns {
	struct kist_dns_source source;
	struct kist_dns_server servers[DNS_SERVERS];
	size_t n_servers;
	int64_t timeout;
	int epoll, timer, udp, tcp;
	int64_t armed;            /* what the timer is set to, 0: not */
	uint8_t *packet, *answer; /* KIST_DNS_UDP_LARGE each */
	struct dns_client clients[DNS_CLIENTS];
	struct dns_pending pending[DNS_PENDING];
};

/* What an event is about: kind and place, in epoll's data. */
enum dns_kind { DNS_TIMER, DNS_UDP, DNS_TCP, DNS_CLIENT, DNS_OUT };
int dns_watch(struct kist_dns *dns, int operation, int fd, uint32_t events, enum dns_kind kind, size_t index);

/* Sends an answer to who asked, if still there. */
void dns_return(struct kist_dns *dns, const struct dns_return *to, const uint8_t *answer, size_t len);
/* Asks the other servers; an answer comes to 'to' in any case: theirs, or SERVFAIL. */
void dns_forward(struct kist_dns *dns, const struct dns_return *to, const uint8_t *query, size_t len);
void dns_forward_event(struct kist_dns *dns, size_t index);
void dns_forward_timeout(struct kist_dns *dns, int64_t now);
void dns_forward_free(struct dns_pending *pending);

#endif
