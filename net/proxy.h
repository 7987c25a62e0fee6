/* Published ports on ::1: a small proxy from the host's loopback to a container.
 *
 * IPv4 has route_localnet; IPv6 has nothing like it, and where br_netfilter is on no rule can lead an answer back to
 * ::1: it is translated while its frame is still bridged, and a packet for ::1 that came in by a link is dropped. So
 * what the host itself sends to ::1 is taken by a socket and passed on, TCP and SCTP as streams, UDP by client. It
 * works as well where the container has no IPv6 address. The container sees the host's address, as it would by
 * translation.
 *
 * It lives in the monitor's event loop through one fd. */
#ifndef KIST_PROXY_H
#define KIST_PROXY_H

#include "net/net.h"

struct kist_error;
struct kist_proxy;

int kist_proxy_open(struct kist_proxy **out, struct kist_error *err);
void kist_proxy_close(struct kist_proxy *proxy); /* NULL is fine */
/* Begins to listen on a port that kist_net_port_reserve gave: fd, borrowed, bound to :: or ::1; what comes to another
 * address than ::1 is refused. Returns its number, from 0 upward. */
int kist_proxy_add(struct kist_proxy *proxy, uint8_t protocol, int fd, struct kist_error *err);
/* Where it leads, for those that come from now on; NULL: nowhere. */
void kist_proxy_lead(struct kist_proxy *proxy, size_t number, const struct kist_net_addr *to, uint16_t port);
/* Becomes readable when there is something to do; borrowed. */
int kist_proxy_fd(const struct kist_proxy *proxy);
/* Does what there is to do, never waits. Bounded work: call it again while the fd is readable. */
void kist_proxy_process(struct kist_proxy *proxy);

#endif
