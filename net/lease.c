/* Leases: one file an address, so that the file system decides who was first. */
#include "net/net.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEASES  "leases"
#define LAST    "last"
#define CONTENT 512u

/* What a lease holds: two lines, owner and boot. */
struct lease {
	char owner[256];
	char boot[40];
};

/* --- files ----------------------------------------------------------------------------------------------------------
 */

/* ':' is fine in a file name, as it is in the text of an address. */
static int lease_read(int dir, const char *name, struct lease *out)
{
	KIST_STR struct kist_str text = { 0 };
	const char *line;

	int r = kist_read_file(dir, name, CONTENT, &text);
	if (r < 0)
		return r;
	line = strchr(kist_str_get(&text), '\n');
	/* Cut short by a crash: whoever made it had not been given it. */
	if (!line || !strchr(line + 1, '\n'))
		return -EBADMSG;
	snprintf(out->owner, sizeof(out->owner), "%.*s", (int)(line - text.data), text.data);
	snprintf(out->boot, sizeof(out->boot), "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
	return 0;
}

static int lease_open_dir(const struct kist_net_leases *leases, struct kist_error *err)
{
	int dir = openat(leases->dir, LEASES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 && errno == ENOENT) {
		if (mkdirat(leases->dir, LEASES, 0700) < 0 && errno != EEXIST)
			return kist_fail_errno(err, errno, "make the directory of leases");
		dir = openat(leases->dir, LEASES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return dir < 0 ? kist_fail_errno(err, errno, "open the directory of leases") : dir;
}

/* -EEXIST: it is leased. Under the lock, so that a lease without content is one whose maker died. */
static int lease_create(int dir, const char *address, const char *owner, const char *boot)
{
	char text[sizeof(struct lease)];
	int len = snprintf(text, sizeof(text), "%s\n%s\n", owner, boot);

	KIST_CLOSE int fd = openat(dir, address, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = kist_write_all(fd, text, (size_t)len);
	if (r < 0)
		unlinkat(dir, address, 0);
	return r;
}

/* A lease is stale when nobody can be using it. */
static bool is_stale(const struct kist_net_leases *leases, const struct lease *lease, const char *boot)
{
	if (!kist_streq(lease->boot, boot))
		return true;
	return leases->alive && !leases->alive(leases->arg, lease->owner);
}

/* --- choosing -------------------------------------------------------------------------------------------------------
 */

struct range {
	struct kist_net_prefix subnet;
	struct kist_net_addr start, end; /* of the leases, both included */
	struct kist_net_addr network, broadcast, gateway;
};

static int range_of(const struct kist_net_subnet *subnet, struct range *range, struct kist_error *err)
{
	*range = (struct range){ 0 };
	if (kist_net_prefix_parse(subnet->subnet, &range->subnet) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not a subnet",
		                 subnet->subnet ? subnet->subnet : "");
	kist_net_prefix_bounds(&range->subnet, &range->network, &range->broadcast);
	range->start = range->network;
	range->end = range->broadcast;
	if ((!kist_empty(subnet->gateway) && kist_net_addr_parse(subnet->gateway, &range->gateway) < 0) ||
	    (!kist_empty(subnet->range_start) && kist_net_addr_parse(subnet->range_start, &range->start) < 0) ||
	    (!kist_empty(subnet->range_end) && kist_net_addr_parse(subnet->range_end, &range->end) < 0) ||
	    kist_net_addr_compare(&range->start, &range->end) > 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "subnet %s: gateway or range is wrong", subnet->subnet);
	return 0;
}

/* IPv6 has no broadcast; the last address is left out all the same, as podman does. */
static bool is_reserved(const struct range *range, const struct kist_net_addr *addr)
{
	return kist_net_addr_equal(addr, &range->network) || kist_net_addr_equal(addr, &range->broadcast) ||
	       kist_net_addr_equal(addr, &range->gateway);
}

/* Where the search begins: after the last one given, which is a hint that may be missing or nonsense. */
static struct kist_net_addr search_start(int dir, const struct range *range, const char *last)
{
	KIST_STR struct kist_str text = { 0 };
	struct kist_net_addr addr;

	if (kist_read_file(dir, last, CONTENT, &text) < 0 || kist_net_addr_parse(kist_str_get(&text), &addr) < 0 ||
	    kist_net_addr_compare(&addr, &range->start) < 0 || kist_net_addr_compare(&addr, &range->end) >= 0 ||
	    !kist_net_addr_add(&addr, 1))
		return range->start;
	return addr;
}

/* --- taking ---------------------------------------------------------------------------------------------------------
 */

/* Held while leases are made and reclaimed: a stale one must not be taken over by two. Giving back needs none. */
static int lock(const struct kist_net_leases *leases, struct kist_error *err)
{
	int fd = kist_lock(leases->dir, LEASES ".lock", true, false);

	return fd < 0 ? kist_fail_errno(err, -fd, "lock the leases") : fd;
}

/* Removes a lease that is stale. Under the lock. Returns 1 when it is gone, 0 when it is held: *lease tells by whom. */
static int reclaim(const struct kist_net_leases *leases, int dir, const char *address, const char *boot,
                   struct lease *lease)
{
	int r = lease_read(dir, address, lease);

	if (r == -ENOENT)
		return 1;
	if (r == 0 && !is_stale(leases, lease, boot))
		return 0;
	if (r < 0 && r != -EBADMSG && r != -EFBIG)
		return r;
	return unlinkat(dir, address, 0) == 0 || errno == ENOENT ? 1 : -errno;
}

static int take_wanted(const struct kist_net_leases *leases, int dir, const struct range *range, const char *owner,
                       const char *boot, const struct kist_net_addr *wanted, struct kist_error *err)
{
	char address[KIST_NET_ADDR_TEXT], subnet[KIST_NET_PREFIX_TEXT];
	struct lease lease = { 0 };
	int r = -EEXIST;

	kist_net_addr_text(address, wanted);
	kist_net_prefix_text(subnet, &range->subnet);
	if (!kist_net_prefix_contains(&range->subnet, wanted))
		return kist_fail(err, KIST_ERR_INVALID, 0, "address %s is not in subnet %s", address, subnet);
	if (kist_net_addr_equal(wanted, &range->gateway))
		return kist_fail(err, KIST_ERR_IN_USE, EADDRINUSE, "address %s is the gateway of subnet %s", address,
		                 subnet);
	if (is_reserved(range, wanted))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "address %s is the network or broadcast address of subnet %s", address, subnet);
	for (unsigned tries = 0; r == -EEXIST && tries < 3; tries++) {
		r = lease_create(dir, address, owner, boot);
		if (r != -EEXIST)
			break;
		int held = reclaim(leases, dir, address, boot, &lease);
		if (held < 0)
			return kist_fail_errno(err, -held, "lease of %s", address);
		if (held == 0 && kist_streq(lease.owner, owner))
			return 0;
		if (held == 0)
			return kist_fail(err, KIST_ERR_IN_USE, EADDRINUSE, "address %s is in use by %s", address,
			                 lease.owner);
	}
	return r < 0 ? kist_fail_errno(err, -r, "lease of %s", address) : 0;
}

/* All leases there are. */
struct taken {
	struct kist_net_addr *items;
	size_t n, room;
};

static void taken_free(struct taken *taken)
{
	free(taken->items);
}

static int list(int dir, struct taken *taken)
{
	DIR *stream;
	struct dirent *entry;
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (copy < 0 || !(stream = fdopendir(copy))) {
		int errnum = errno;

		kist_close_fd(&copy);
		return -errnum;
	}
	while ((entry = readdir(stream))) {
		struct kist_net_addr addr;

		if (kist_net_addr_parse(entry->d_name, &addr) < 0)
			continue;
		if (taken->n == taken->room) {
			taken->room = taken->room * 2 + 64;
			taken->items = kist_grow(taken->items, taken->room, sizeof(*taken->items));
		}
		taken->items[taken->n++] = addr;
	}
	closedir(stream);
	return 0;
}

/* Removes what is stale, of all subnets or of one. Under the lock. Returns how many leases are left. */
static ssize_t sweep(const struct kist_net_leases *leases, int dir, const struct kist_net_prefix *subnet,
                     const char *boot)
{
	__attribute__((cleanup(taken_free))) struct taken taken = { 0 };
	ssize_t left = 0;

	int r = list(dir, &taken);
	for (size_t i = 0; r >= 0 && i < taken.n; i++) {
		char address[KIST_NET_ADDR_TEXT];
		struct lease lease;

		if (subnet && !kist_net_prefix_contains(subnet, &taken.items[i]))
			continue;
		r = reclaim(leases, dir, kist_net_addr_text(address, &taken.items[i]), boot, &lease);
		left += r == 0;
	}
	return r < 0 ? r : left;
}

/* The first address from 'from' to 'to' that can be had. There are no more steps than leases, however large the subnet.
 * -ENOSPC: none. */
static int take_first(int dir, const struct range *range, struct kist_net_addr from, const struct kist_net_addr *to,
                      const char *owner, const char *boot, struct kist_net_addr *out)
{
	char address[KIST_NET_ADDR_TEXT];

	while (kist_net_addr_compare(&from, to) <= 0) {
		if (!is_reserved(range, &from)) {
			int r = lease_create(dir, kist_net_addr_text(address, &from), owner, boot);

			if (r == 0)
				*out = from;
			if (r != -EEXIST)
				return r;
		}
		if (!kist_net_addr_add(&from, 1))
			break;
	}
	return -ENOSPC;
}

static int take_any(const struct kist_net_leases *leases, int dir, const struct range *range, const char *owner,
                    const char *boot, struct kist_net_addr *out, struct kist_error *err)
{
	const char *last = range->subnet.addr.family == AF_INET6 ? LAST "6" : LAST;
	struct kist_net_addr start = search_start(leases->dir, range, last);
	char text[KIST_NET_PREFIX_TEXT];
	ssize_t left = 0;

	int r = take_first(dir, range, start, &range->end, owner, boot, out);
	if (r == -ENOSPC)
		r = take_first(dir, range, range->start, &start, owner, boot, out);
	/* Full: only now is it worth reading every lease. */
	if (r == -ENOSPC && (left = sweep(leases, dir, &range->subnet, boot)) >= 0)
		r = take_first(dir, range, range->start, &range->end, owner, boot, out);
	if (r == -ENOSPC)
		return kist_fail(err, KIST_ERR_IN_USE, ENOSPC, "no address is left in subnet %s (%zd are leased)",
		                 kist_net_prefix_text(text, &range->subnet), left);
	if (r < 0)
		return kist_fail_errno(err, -r, "lease of an address");
	/* A hint: the next search begins there. */
	kist_net_addr_text(text, out);
	kist_replace_file(leases->dir, last, text, strlen(text), 0600, 0);
	return 0;
}

static bool owner_is_valid(const char *owner)
{
	return !kist_empty(owner) && strlen(owner) < sizeof(((struct lease *)NULL)->owner) && !strchr(owner, '\n');
}

int kist_net_lease_take(const struct kist_net_leases *leases, const struct kist_net_subnet *subnet, const char *owner,
                        const struct kist_net_addr *wanted, struct kist_net_addr *out, struct kist_error *err)
{
	struct kist_net_addr given = { 0 };
	struct range range;
	char boot[37];

	if (!owner_is_valid(owner))
		return kist_fail(err, KIST_ERR_INVALID, 0, "a lease needs an owner");
	int r = range_of(subnet, &range, err);
	if (r < 0)
		return r;
	KIST_CLOSE int dir = lease_open_dir(leases, err);
	if (dir < 0)
		return dir;
	KIST_CLOSE int held = lock(leases, err);
	if (held < 0)
		return held;
	kist_boot_id(boot);
	if (wanted) {
		given = *wanted;
		r = take_wanted(leases, dir, &range, owner, boot, wanted, err);
	} else {
		r = take_any(leases, dir, &range, owner, boot, &given, err);
	}
	if (r == 0)
		*out = given;
	return r;
}

/* --- giving back ----------------------------------------------------------------------------------------------------
 */

static int release_one(int dir, const char *address, const char *owner)
{
	struct lease lease;

	int r = lease_read(dir, address, &lease);
	if (r < 0 || !kist_streq(lease.owner, owner))
		return 0;
	return unlinkat(dir, address, 0) == 0 ? 1 : -errno;
}

int kist_net_lease_release(const struct kist_net_leases *leases, const char *owner, const struct kist_net_addr *addr,
                           struct kist_error *err)
{
	char address[KIST_NET_ADDR_TEXT];

	/* Nobody but its owner gives a lease back, and no one takes over a lease that is not stale: no lock. */
	KIST_CLOSE int dir = openat(leases->dir, LEASES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "open the directory of leases");
	kist_net_addr_text(address, addr);
	int r = release_one(dir, address, owner);
	return r < 0 ? kist_fail_errno(err, -r, "release the lease of %s", address) : 0;
}

ssize_t kist_net_lease_release_all(const struct kist_net_leases *leases, const char *owner, struct kist_error *err)
{
	__attribute__((cleanup(taken_free))) struct taken taken = { 0 };
	ssize_t released = 0;

	KIST_CLOSE int dir = openat(leases->dir, LEASES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "open the directory of leases");
	int r = list(dir, &taken);
	for (size_t i = 0; r >= 0 && i < taken.n; i++) {
		char address[KIST_NET_ADDR_TEXT];

		r = release_one(dir, kist_net_addr_text(address, &taken.items[i]), owner);
		released += r > 0;
	}
	return r < 0 ? kist_fail_errno(err, -r, "release the leases of %s", owner) : released;
}

ssize_t kist_net_lease_sweep(const struct kist_net_leases *leases, struct kist_error *err)
{
	char boot[37];

	KIST_CLOSE int dir = lease_open_dir(leases, err);
	if (dir < 0)
		return dir;
	KIST_CLOSE int held = lock(leases, err);
	if (held < 0)
		return held;
	kist_boot_id(boot);
	ssize_t left = sweep(leases, dir, NULL, boot);
	return left < 0 ? kist_fail_errno(err, (int)-left, "sweep the leases") : left;
}
