/* What the kernel answers over netlink, links, routes and flows: every reader survives any answer. */
#include "net/link.h"
#include "net/nft.h"

#include "test/fuzz/fuzz_main.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEQ 7

/* The input as datagrams of up to 4 KiB. Of a message that is not an answer to the question nothing is read: their
 * numbers are made right. */
static void answer(int fd, const uint8_t *data, size_t size)
{
	uint8_t packet[4096];

	for (size_t at = 0; at < size && at < 8 * sizeof(packet); at += sizeof(packet)) {
		size_t len = size - at < sizeof(packet) ? size - at : sizeof(packet);
		ssize_t left = (ssize_t)len;
		memcpy(packet, data + at, len);
		for (struct nlmsghdr *m = (void *)packet; left > 0 && NLMSG_OK(m, (size_t)left);
		     m = NLMSG_NEXT(m, left))
			m->nlmsg_seq = SEQ;
		if (send(fd, packet, len, MSG_DONTWAIT) < 0)
			break;
	}
}

static void ask(struct kist_net *net, uint8_t which)
{
	struct kist_net_prefixes used = { 0 };
	struct kist_net_link_stats *stats = NULL;
	struct kist_net_publish port = { .protocol = IPPROTO_UDP, .host_port = 53, .container_port = 53, .count = 1 };
	struct kist_net_link link;
	char name[IFNAMSIZ];

	switch (which % 6) {
	case 0:
		kist_net_link_get(net, "eth0", 0, &link, NULL);
		break;
	case 1:
		kist_net_routes_used(net, &used, NULL);
		free(used.items);
		break;
	case 2:
		kist_net_default_link(net, name, NULL);
		break;
	case 3:
		kist_net_stats(net, &stats, NULL);
		free(stats);
		break;
	case 4:
		kist_net_bridge_ports(net, "lo", NULL);
		break;
	default:
		port.host.family = port.container.family = AF_INET;
		kist_net_conntrack_forget_ports(net, &port, 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kist_net net = { .route = { .fd = -1, .seq = SEQ, .sndbuf = 1 << 20 } };
	int pair[2];

	/* Of this kind because it takes an address with a datagram, as netlink sockets do. */
	if (size < 2 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	net.filter = net.route;
	net.route.fd = pair[0];
	net.filter.fd = dup(pair[0]);
	answer(pair[1], data + 1, size - 1);
	ask(&net, data[0]);
	kist_nl_close(&net.route);
	kist_nl_close(&net.filter);
	close(pair[1]);
	return 0;
}
