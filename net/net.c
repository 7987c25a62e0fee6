/* Sockets of a namespace, what is in it, and its sysctls. */
#include "net/nl.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "net/netns.h"
#include "net/sysctl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* --- opening --------------------------------------------------------------------------------------------------------
 */

static int loopback_up(int fd, struct kist_error *err)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return kist_fail_errno(err, errno, "loopback up");
	return 0;
}

/* Values that no netlink attribute sets. Redirects: the kernel takes 'all' or the link's, so that both must say no; the
 * link's own are set with it (link_inside.c). */
static int container_sysctls(struct kist_error *err)
{
	static const struct kist_net_sysctl values[] = {
		{ "ipv4/conf/all/accept_redirects", "0" },
		{ "ipv4/conf/all/send_redirects", "0" },
		{ "ipv6/conf/default/accept_ra", "0" },
		{ "ipv6/conf/default/accept_redirects", "0" },
	};

	return kist_net_sysctl_write(values, KIST_COUNT(values), err);
}

struct open_request {
	struct kist_net *net;
	bool container;
};

static int open_sockets(void *arg, struct kist_error *err)
{
	struct open_request *request = arg;
	struct kist_net *net = request->net;
	int r = kist_nl_open(&net->route, NETLINK_ROUTE, err);

	if (r == 0 && request->container)
		r = loopback_up(net->route.fd, err);
	if (r == 0 && request->container)
		r = container_sysctls(err);
	/* Later it would be one of the caller's namespace. Without nf_tables the rest works still: who needs it is told
	 * then. */
	if (r == 0 && !request->container && !net->own && kist_nl_open(&net->filter, NETLINK_NETFILTER, NULL) < 0)
		net->filter.fd = -1;
	return r;
}

static int open_net(int netns, bool container, struct kist_net **out, struct kist_error *err)
{
	struct kist_net *net = kist_alloc(sizeof(*net));
	struct open_request request = { .net = net, .container = container };

	net->route.fd = -1;
	net->filter.fd = -1;
	net->lock = -1;
	net->own = netns < 0;
	int r = kist_net_run_in(netns, open_sockets, &request, err);
	if (r < 0) {
		kist_net_close(net);
		return r;
	}
	*out = net;
	return 0;
}

int kist_net_open(int netns, struct kist_net **out, struct kist_error *err)
{
	return open_net(netns, false, out, err);
}

int kist_net_open_container(int netns, struct kist_net **out, struct kist_error *err)
{
	return open_net(netns, true, out, err);
}

void kist_net_close(struct kist_net *net)
{
	if (!net)
		return;
	kist_nl_close(&net->route);
	kist_nl_close(&net->filter);
	kist_close_fd(&net->lock);
	free(net);
}

int kist_net_filter(struct kist_net *net, struct kist_error *err)
{
	if (net->filter.fd >= 0)
		return 0;
	if (!net->own)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "the kernel has no nfnetlink (modprobe nfnetlink)");
	return kist_nl_open(&net->filter, NETLINK_NETFILTER, err);
}

/* --- what is there --------------------------------------------------------------------------------------------------
 */

uint32_t kist_net_link_index(struct kist_net *net, const char *name)
{
	struct ifreq request = { 0 };

	if (strlen(name) >= sizeof(request.ifr_name))
		return 0;
	memcpy(request.ifr_name, name, strlen(name));
	/* Device ioctls work on sockets of every family. */
	return ioctl(net->route.fd, SIOCGIFINDEX, &request) == 0 ? (uint32_t)request.ifr_ifindex : 0;
}

bool kist_net_link_exists(struct kist_net *net, const char *name)
{
	return kist_net_link_index(net, name) != 0;
}

/* A dump can be interrupted by changes again and again on a busy host; some gaps are better than an endless loop. */
#define DUMP_TRIES 10

struct route_walk {
	struct kist_net_prefixes *used;
	uint32_t default_link, default_metric;
};

static int take_route(void *arg, const struct nlmsghdr *message)
{
	struct route_walk *walk = arg;
	const struct nlattr *table[RTA_MAX + 1];
	const struct rtmsg *route = NLMSG_DATA(message);
	struct kist_net_prefix prefix = { .addr.family = route->rtm_family, .len = route->rtm_dst_len };

	if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(sizeof(*route)))
		return 0;
	kist_nl_parse_message(message, sizeof(*route), table, RTA_MAX);
	if (route->rtm_type != RTN_UNICAST || kist_nl_u32(table[RTA_TABLE], route->rtm_table) == RT_TABLE_LOCAL)
		return 0;
	if (route->rtm_dst_len == 0) {
		uint32_t metric = kist_nl_u32(table[RTA_PRIORITY], 0), link = kist_nl_u32(table[RTA_OIF], 0);

		if (link && route->rtm_family == AF_INET && (!walk->default_link || metric < walk->default_metric)) {
			walk->default_link = link;
			walk->default_metric = metric;
		}
		return 0;
	}
	if (!walk->used || !table[RTA_DST] || kist_nl_len(table[RTA_DST]) > sizeof(prefix.addr.bytes))
		return 0;
	memcpy(prefix.addr.bytes, kist_nl_data(table[RTA_DST]), kist_nl_len(table[RTA_DST]));
	/* Link-local and multicast routes are on every link. */
	if (prefix.addr.family == AF_INET6 && (prefix.addr.bytes[0] == 0xff || prefix.addr.bytes[0] == 0xfe))
		return 0;
	kist_net_prefixes_add(walk->used, &prefix);
	return 0;
}

static int walk_routes(struct kist_net *net, struct route_walk *walk, struct kist_error *err)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < KIST_COUNT(families); i++) {
		struct rtmsg header = { .rtm_family = families[i] };
		int r = -EINTR;

		kist_nl_begin(&net->route);
		kist_nl_message(&net->route, "list routes", RTM_GETROUTE, NLM_F_DUMP, &header, sizeof(header));
		for (unsigned tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++)
			r = kist_nl_dump(&net->route, take_route, walk);
		/* A kernel without IPv6 refuses the family, or answers for all of them. */
		if (r < 0 && r != -EINTR && families[i] == AF_INET)
			return kist_nl_fail(&net->route, -r, err);
	}
	return 0;
}

int kist_net_routes_used(struct kist_net *net, struct kist_net_prefixes *out, struct kist_error *err)
{
	struct route_walk walk = { .used = out };

	return walk_routes(net, &walk, err);
}

int kist_net_default_link(struct kist_net *net, char out[IFNAMSIZ], struct kist_error *err)
{
	struct route_walk walk = { 0 };
	struct ifreq request = { 0 };

	int r = walk_routes(net, &walk, err);
	if (r < 0)
		return r;
	request.ifr_ifindex = (int)walk.default_link;
	if (!walk.default_link || ioctl(net->route.fd, SIOCGIFNAME, &request) < 0)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "the host has no default route");
	memcpy(out, request.ifr_name, IFNAMSIZ);
	return 0;
}

struct stats_walk {
	struct kist_net_link_stats *items;
	size_t n;
};

static int take_stats(void *arg, const struct nlmsghdr *message)
{
	struct stats_walk *walk = arg;
	const struct nlattr *table[IFLA_MAX + 1];
	const struct ifinfomsg *link = NLMSG_DATA(message);
	struct kist_net_link_stats *item;
	struct rtnl_link_stats64 stats = { 0 };
	size_t len;

	if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(*link)) ||
	    (link->ifi_flags & IFF_LOOPBACK))
		return 0;
	kist_nl_parse_message(message, sizeof(*link), table, IFLA_MAX);
	if (!table[IFLA_IFNAME] || !table[IFLA_STATS64])
		return 0;
	/* Kernels differ in the length: what is newer than either side is left out. */
	len = kist_nl_len(table[IFLA_STATS64]);
	memcpy(&stats, kist_nl_data(table[IFLA_STATS64]), len < sizeof(stats) ? len : sizeof(stats));
	walk->items = kist_grow(walk->items, walk->n + 1, sizeof(*walk->items));
	item = &walk->items[walk->n++];
	*item = (struct kist_net_link_stats){
		.rx_bytes = stats.rx_bytes,
		.rx_packets = stats.rx_packets,
		.rx_errors = stats.rx_errors,
		.rx_dropped = stats.rx_dropped,
		.tx_bytes = stats.tx_bytes,
		.tx_packets = stats.tx_packets,
		.tx_errors = stats.tx_errors,
		.tx_dropped = stats.tx_dropped,
	};
	snprintf(item->name, sizeof(item->name), "%.*s", (int)kist_nl_len(table[IFLA_IFNAME]),
	         (const char *)kist_nl_data(table[IFLA_IFNAME]));
	return 0;
}

ssize_t kist_net_stats(struct kist_net *net, struct kist_net_link_stats **out, struct kist_error *err)
{
	struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	struct stats_walk walk = { 0 };
	int r = -EINTR;

	kist_nl_begin(&net->route);
	kist_nl_message(&net->route, "list links", RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));
	for (unsigned tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++) {
		walk.n = 0;
		r = kist_nl_dump(&net->route, take_stats, &walk);
	}
	if (r < 0 && r != -EINTR) {
		free(walk.items);
		return kist_nl_fail(&net->route, -r, err);
	}
	*out = walk.items;
	return (ssize_t)walk.n;
}
