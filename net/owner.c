/* Whose a bridge is, where several stores have networks in one network namespace. */
#include "net/link.h"

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MARK       "kist "
#define LOCK_TRIES 500u
#define LOCK_PAUSE (2 * KIST_NSEC_PER_MSEC)

void kist_net_store(struct kist_net *host, const char *root, const char *runroot)
{
	int n = snprintf(host->mark, sizeof(host->mark), MARK "%s:%s", root, runroot);

	/* A mark that is cut short would be another's. */
	if (n < 0 || (size_t)n >= sizeof(host->mark) || strchr(root, ':'))
		host->mark[0] = '\0';
}

/* On the namespace itself, which all stores have in common, and which needs no file. */
int kist_net_bridges_lock(struct kist_net *host, struct kist_error *err)
{
	if (host->lock >= 0 || !host->mark[0])
		return 0;
	KIST_CLOSE int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return kist_fail_errno(err, errno, "open /proc/self/ns/net");
	for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return kist_fail_errno(err, errno, "lock /proc/self/ns/net");
		/* A bridge is made in a few milliseconds. Who keeps it for longer need not be one of us, nor root. */
		if (tries == LOCK_TRIES) {
			kist_debug("somebody has a lock on the network namespace: going on without");
			return 0;
		}
		kist_sleep_ns(LOCK_PAUSE);
	}
	host->lock = kist_steal_fd(&fd);
	return 0;
}

void kist_net_bridges_unlock(struct kist_net *host)
{
	kist_close_fd(&host->lock);
}

int kist_net_bridge_mark(struct kist_net *host, uint32_t index, struct kist_error *err)
{
	struct kist_nl *nl = &host->route;

	kist_nl_begin(nl);
	kist_net_link_message(nl, "mark bridge", RTM_SETLINK, 0, index, NULL, false);
	kist_nl_put(nl, IFLA_IFALIAS, host->mark, strlen(host->mark));
	/* It may be removed under our hands. */
	kist_nl_allow(nl, ENODEV);
	int r = kist_nl_send(nl, NULL, NULL);
	return r < 0 ? kist_nl_fail(nl, -r, err) : 0;
}

/* --- telling --------------------------------------------------------------------------------------------------------
 */

/* The root of a mark, and its runroot, or "". */
static const char *read_mark(const char *mark, char root[KIST_NET_MARK])
{
	const char *path = mark + strlen(MARK), *colon = strchr(path, ':');

	snprintf(root, KIST_NET_MARK, "%.*s", (int)(colon ? colon - path : (ptrdiff_t)strlen(path)), path);
	return colon ? colon + 1 : "";
}

/* By whatever names. */
static bool same_place(const char *a, const char *b)
{
	struct stat one, two;

	return kist_streq(a, b) ||
	       (stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino);
}

enum kist_net_owner kist_net_bridge_owner(struct kist_net *host, const struct kist_net_link *link)
{
	char root[KIST_NET_MARK], own_root[KIST_NET_MARK];
	struct stat st;

	if (!host->mark[0] || !kist_has_prefix(link->alias, MARK "/") || kist_streq(link->alias, host->mark))
		return KIST_NET_OWN;
	/* With one of the two in common they have the records in common, or the leases: it is one network. */
	const char *runroot = read_mark(link->alias, root), *own_runroot = read_mark(host->mark, own_root);
	if (same_place(root, own_root) || same_place(runroot, own_runroot))
		return KIST_NET_OWN;
	/* One that another mount namespace hides still has its containers' links. */
	if (stat(root, &st) < 0 && kist_net_bridge_ports(host, link->name, NULL) == 0)
		return KIST_NET_ABANDONED;
	return KIST_NET_FOREIGN;
}

int kist_net_bridge_is_foreign(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err)
{
	struct kist_net_link link;

	if (network->driver != KIST_NET_BRIDGE)
		return 0;
	int r = kist_net_link_get(host, network->interface, 0, &link, err);
	return r < 0 ? r : link.index && kist_net_bridge_owner(host, &link) == KIST_NET_FOREIGN;
}

static void tell(struct kist_net_conflict *out, const struct kist_net_link *link)
{
	snprintf(out->bridge, sizeof(out->bridge), "%s", link->name);
	read_mark(link->alias, out->store);
}

int kist_net_owner_fail(const struct kist_net_link *link, struct kist_error *err)
{
	struct kist_net_conflict conflict = { .by_name = true };

	tell(&conflict, link);
	return kist_net_conflict_fail(&conflict, err);
}

int kist_net_conflict_fail(const struct kist_net_conflict *conflict, struct kist_error *err)
{
	char text[KIST_NET_PREFIX_TEXT];

	if (conflict->by_name)
		kist_fail(err, KIST_ERR_EXISTS, EEXIST, "bridge %s belongs to the store in %s", conflict->bridge,
		          conflict->store);
	else
		kist_fail(err, KIST_ERR_EXISTS, EADDRINUSE, "subnet %s is in use on bridge %s of the store in %s",
		          kist_net_prefix_text(text, &conflict->prefix), conflict->bridge, conflict->store);
	return kist_remedy(err, "remove that network there, or make this one anew");
}

struct address {
	uint32_t link;
	struct kist_net_prefix prefix;
};

struct address_walk {
	const struct kist_net_network *network;
	struct address *items;
	size_t n;
};

static bool overlaps(const struct kist_net_network *network, const struct kist_net_prefix *prefix)
{
	struct kist_net_prefix subnet;

	for (size_t i = 0; i < network->n_subnets; i++)
		if (kist_net_prefix_parse(network->subnets[i].subnet, &subnet) == 0 &&
		    kist_net_prefix_overlaps(&subnet, prefix))
			return true;
	return false;
}

static int take_address(void *arg, const struct nlmsghdr *message)
{
	struct address_walk *walk = arg;
	const struct nlattr *table[IFA_MAX + 1];
	const struct ifaddrmsg *header = NLMSG_DATA(message);

	if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(sizeof(*header)))
		return 0;
	kist_nl_parse_message(message, sizeof(*header), table, IFA_MAX);
	struct address found = { .link = header->ifa_index,
		                 .prefix = { .addr.family = header->ifa_family, .len = header->ifa_prefixlen } };
	const struct nlattr *attr = table[IFA_LOCAL] ? table[IFA_LOCAL] : table[IFA_ADDRESS];
	if (!attr || kist_nl_len(attr) > sizeof(found.prefix.addr.bytes))
		return 0;
	memcpy(found.prefix.addr.bytes, kist_nl_data(attr), kist_nl_len(attr));
	kist_net_prefix_mask(&found.prefix);
	if (!overlaps(walk->network, &found.prefix))
		return 0;
	walk->items = kist_grow(walk->items, walk->n + 1, sizeof(*walk->items));
	walk->items[walk->n++] = found;
	return 0;
}

/* Addresses, and not routes: a bridge that is down has them too. */
static int subnet_conflict(struct kist_net *host, const struct kist_net_network *network, struct kist_net_conflict *out,
                           struct kist_error *err)
{
	struct address_walk walk = { .network = network };
	struct ifaddrmsg header = { .ifa_family = AF_UNSPEC };
	int r = -EINTR, found = 0;

	kist_nl_begin(&host->route);
	kist_nl_message(&host->route, "list addresses", RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));
	for (unsigned tries = 0; r == -EINTR && tries < 10; tries++) {
		walk.n = 0;
		r = kist_nl_dump(&host->route, take_address, &walk);
	}
	if (r < 0 && r != -EINTR)
		r = kist_nl_fail(&host->route, -r, err);
	else
		r = 0;
	for (size_t i = 0; r == 0 && !found && i < walk.n; i++) {
		struct kist_net_link link;

		r = kist_net_link_get(host, NULL, walk.items[i].link, &link, err);
		if (r < 0 || kist_net_bridge_owner(host, &link) != KIST_NET_FOREIGN)
			continue;
		found = 1;
		tell(out, &link);
		out->prefix = walk.items[i].prefix;
	}
	free(walk.items);
	return r < 0 ? r : found;
}

int kist_net_bridge_conflict(struct kist_net *host, const struct kist_net_network *network,
                             struct kist_net_conflict *out, struct kist_error *err)
{
	struct kist_net_link link;

	*out = (struct kist_net_conflict){ 0 };
	int r = kist_net_link_get(host, network->interface, 0, &link, err);
	if (r < 0)
		return r;
	if (link.index && kist_net_bridge_owner(host, &link) == KIST_NET_FOREIGN) {
		out->by_name = true;
		tell(out, &link);
		return 1;
	}
	return subnet_conflict(host, network, out, err);
}
