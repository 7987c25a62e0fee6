/* Ports of the host: are they free, who has them, keeping them. */
#include "net/net.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- binding --------------------------------------------------------------------------------------------------------
 */

static socklen_t socket_address(const struct kist_net_addr *addr, uint16_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (addr->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr->bytes, sizeof(in->sin_addr));
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, addr->bytes, sizeof(in6->sin6_addr));
	return sizeof(*in6);
}

/* A port stays ours while the socket is open, though nobody answers there: traffic is led away by nftables before it
 * would get to a socket, and without nftables a client shall be refused, not kept waiting. TCP: SO_REUSEADDR gets past
 * connections in TIME_WAIT; then only listen(2) finds a listener. After that the socket stops listening and takes
 * SO_REUSEADDR back, so that a later one's listen(2) fails in turn. */
static int settle(int fd, uint8_t protocol)
{
	static struct sock_filter nothing[] = { { BPF_RET | BPF_K, 0, 0, 0 } };
	const struct sock_fprog drop = { .len = 1, .filter = nothing };
	int zero = 0;

	if (protocol == IPPROTO_UDP)
		return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &drop, sizeof(drop)) < 0 ? -errno : 0;
	if (listen(fd, 1) < 0)
		return -errno;
	if (protocol == IPPROTO_TCP)
		(void)!shutdown(fd, SHUT_RDWR);
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &zero, sizeof(zero)) < 0 ? -errno : 0;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);

	if (getsockname(fd, (struct sockaddr *)&own, &len) < 0)
		return 0;
	if (own.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&own)->sin_port);
	return ntohs(((struct sockaddr_in6 *)&own)->sin6_port);
}

/* Returns an fd, or a negative errno. */
static int bind_port(uint8_t protocol, const struct kist_net_addr *addr, uint16_t port)
{
	int type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, one = 1;
	struct sockaddr_storage where;
	socklen_t len = socket_address(addr, port, &where);
	int r = 0;

	KIST_CLOSE int fd = socket((int)addr->family, type | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return -errno;
	if (protocol != IPPROTO_UDP)
		r = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (r == 0 && addr->family == AF_INET6)
		r = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (r < 0 || bind(fd, (struct sockaddr *)&where, len) < 0)
		return -errno;
	r = settle(fd, protocol);
	return r < 0 ? r : kist_steal_fd(&fd);
}

static int fail_port(uint8_t protocol, const struct kist_net_addr *addr, uint16_t port, int errnum,
                     struct kist_error *err)
{
	char text[KIST_NET_ADDR_TEXT];
	const char *open = addr->family == AF_INET6 ? "[" : "", *close = addr->family == AF_INET6 ? "]" : "";

	kist_net_addr_text(text, addr);
	if (errnum == EADDRINUSE) {
		KIST_FREE char *holder = kist_net_port_holder(protocol, addr, port);

		return kist_fail(err, KIST_ERR_IN_USE, errnum, "port %s%s%s:%u/%s is in use%s%s", open, text, close,
		                 port, kist_net_protocol_name(protocol), holder ? " by " : "", holder ? holder : "");
	}
	if (errnum == EADDRNOTAVAIL)
		return kist_fail(err, KIST_ERR_INVALID, errnum, "port %u/%s: %s is no address of this host", port,
		                 kist_net_protocol_name(protocol), text);
	return kist_fail_errno(err, errnum, "port %s%s%s:%u/%s", open, text, close, port,
	                       kist_net_protocol_name(protocol));
}

int kist_net_port_reserve(uint8_t protocol, const struct kist_net_addr *addr, uint16_t port, int *fd,
                          struct kist_error *err)
{
	KIST_CLOSE int bound = bind_port(protocol, addr, port);

	/* Forwarding works without sockets of that kind. A family or a protocol that the kernel has not, nobody can
	 * hold. */
	if (port && (bound == -EPROTONOSUPPORT || bound == -ESOCKTNOSUPPORT || bound == -EAFNOSUPPORT)) {
		if (fd)
			*fd = -1;
		return port;
	}
	if (bound < 0)
		return fail_port(protocol, addr, port, -bound, err);
	port = bound_port(bound);
	if (!port)
		return kist_fail_errno(err, EIO, "port of a socket");
	if (fd)
		*fd = kist_steal_fd(&bound);
	return port;
}

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_close_fd(&fds[i]);
}

/* Reserves first.. and the ports after it. 1: done, 0: one is taken, negative: error. */
static int reserve_run(uint8_t protocol, const struct kist_net_addr *addr, uint16_t first, uint16_t count, int *fds,
                       struct kist_error *err)
{
	for (uint16_t i = 0; i < count; i++) {
		int r = bind_port(protocol, addr, (uint16_t)(first + i));

		if (r == -EPROTONOSUPPORT || r == -ESOCKTNOSUPPORT)
			r = -1;
		else if (r < 0) {
			close_all(fds, i);
			return r == -EADDRINUSE || r == -EACCES ? 0 : fail_port(protocol, addr, first, -r, err);
		}
		fds[i] = r;
	}
	return 1;
}

/* The next word of a line, cut to fit. False at its end. */
static bool next_word(const char **at, char *word, size_t size)
{
	const char *start = *at + strspn(*at, " \t\n");
	size_t len = strcspn(start, " \t\n");

	*at = start + len;
	snprintf(word, size, "%.*s", (int)len, start);
	return len > 0;
}

/* Where the kernel takes ports for its own use, so that none is one that services are known by. */
static void ephemeral_range(uint32_t *low, uint32_t *high)
{
	KIST_STR struct kist_str text = { 0 };
	char first[16], last[16];
	uint32_t a, b;

	*low = 32768;
	*high = 60999;
	if (kist_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", 64, &text) != 0)
		return;
	const char *at = kist_str_get(&text);
	if (next_word(&at, first, sizeof(first)) && next_word(&at, last, sizeof(last)) &&
	    kist_parse_u32(first, &a) == 0 && kist_parse_u32(last, &b) == 0 && a >= 1 && a < b && b <= 65535) {
		*low = a;
		*high = b;
	}
}

int kist_net_port_random(uint8_t protocol, const struct kist_net_addr *addr, uint16_t count, int *fds,
                         struct kist_error *err)
{
	KIST_FREE int *own = fds ? NULL : kist_alloc((size_t)(count ? count : 1) * sizeof(*own));
	int *to = fds ? fds : own;
	uint32_t low, high, random;
	int r = 0;

	ephemeral_range(&low, &high);
	if (count == 0)
		count = 1;
	for (unsigned tries = 0; r == 0 && tries < 256 && high - low + 1 >= count; tries++) {
		kist_random(&random, sizeof(random));
		random = low + random % (high - low + 2 - count);
		r = reserve_run(protocol, addr, (uint16_t)random, count, to, err);
	}
	if (r < 0)
		return r;
	if (r == 0)
		return kist_fail(err, KIST_ERR_IN_USE, EADDRINUSE, "found no %u free ports in a row", count);
	if (!fds)
		close_all(own, count);
	return (int)random;
}

/* --- who has it -----------------------------------------------------------------------------------------------------
 */

/* The kernel writes an address as words of the host's order, in hexadecimal. */
static bool parse_words(const char *text, size_t len, uint8_t *out)
{
	for (size_t i = 0; i < len / 8; i++) {
		uint32_t word = 0;

		for (size_t k = 0; k < 8; k++) {
			char c = text[i * 8 + k];

			if (!isxdigit((unsigned char)c))
				return false;
			word = word << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
		}
		memcpy(out + i * 4, &word, sizeof(word));
	}
	return true;
}

/* One line of /proc/net/{tcp,udp}[6]: does a socket there stand in the way? Returns its inode, or 0. */
static uint64_t line_inode(const char *line, uint8_t protocol, uint32_t family, const struct kist_net_addr *addr,
                           uint16_t port)
{
	struct kist_net_addr local = { .family = family };
	size_t len = family == AF_INET ? 8 : 32;
	/* sl local remote state queues timer retransmits uid timeout inode */
	char words[10][48], expected[8];
	uint64_t inode;

	for (size_t i = 0; i < KIST_COUNT(words); i++)
		if (!next_word(&line, words[i], sizeof(words[i])))
			return 0;
	char *text = words[1], *colon = strchr(text, ':');
	snprintf(expected, sizeof(expected), "%04X", port);
	if (!colon || (size_t)(colon - text) != len || !kist_streq(colon + 1, expected) ||
	    !parse_words(text, len, local.bytes) || kist_parse_u64(words[9], &inode) < 0)
		return 0;
	/* 0A: listening; others are connections. */
	if (protocol == IPPROTO_TCP && strcmp(words[3], "0A") != 0)
		return 0;
	if (family == addr->family && !kist_net_addr_is_any(&local) && !kist_net_addr_is_any(addr) &&
	    !kist_net_addr_equal(&local, addr))
		return 0;
	/* A socket of the other family stands in the way only when it takes all. */
	if (family != addr->family && !kist_net_addr_is_any(&local))
		return 0;
	return inode;
}

static uint64_t find_inode(uint8_t protocol, uint32_t family, const struct kist_net_addr *addr, uint16_t port)
{
	char path[32], line[512];
	uint64_t inode = 0;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return 0;
	snprintf(path, sizeof(path), "/proc/net/%s%s", kist_net_protocol_name(protocol), family == AF_INET ? "" : "6");
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	while (!inode && fgets(line, sizeof(line), file))
		inode = line_inode(line, protocol, family, addr, port);
	fclose(file);
	return inode;
}

static bool holds(int fds, const char *wanted)
{
	int copy = openat(fds, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	bool found = false;

	if (!stream) {
		kist_close_fd(&copy);
		return false;
	}
	while (!found && (entry = readdir(stream))) {
		char target[64];
		ssize_t n = readlinkat(fds, entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		found = kist_streq(target, wanted);
	}
	closedir(stream);
	return found;
}

static char *process_name(int proc, const char *pid)
{
	KIST_FREE char *path = kist_asprintf("%s/comm", pid);
	KIST_STR struct kist_str name = { 0 };

	if (kist_read_file(proc, path, 64, &name) < 0)
		return kist_asprintf("pid %s", pid);
	/* A process may call itself anything. */
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] < ' ' || name.data[i] > '~')
			name.data[i] = name.data[i] == '\n' && i + 1 == name.len ? '\0' : '?';
	}
	return kist_asprintf("%s (pid %s)", kist_str_get(&name), pid);
}

static char *find_process(uint64_t inode)
{
	KIST_FREE char *wanted = kist_asprintf("socket:[%" PRIu64 "]", inode);
	char *found = NULL;
	struct dirent *entry;

	DIR *stream = opendir("/proc");
	if (!stream)
		return NULL;
	while (!found && (entry = readdir(stream))) {
		char path[300];

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "%s/fd", entry->d_name);
		KIST_CLOSE int fds = openat(dirfd(stream), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fds >= 0 && holds(fds, wanted))
			found = process_name(dirfd(stream), entry->d_name);
	}
	closedir(stream);
	return found;
}

char *kist_net_port_holder(uint8_t protocol, const struct kist_net_addr *addr, uint16_t port)
{
	uint64_t inode = find_inode(protocol, addr->family, addr, port);

	if (!inode)
		inode = find_inode(protocol, addr->family == AF_INET ? AF_INET6 : AF_INET, addr, port);
	return inode ? find_process(inode) : NULL;
}
