/* Network namespaces for tests: the test process lives in one of its own from the start, so that nothing here ever
 * touches the machine's links or tables. */
#ifndef KIST_NET_HELP_H
#define KIST_NET_HELP_H

#include "test/unit/child.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(call)                                                                                                       \
	do {                                                                                                           \
		struct kist_error *e_ = &(struct kist_error){ 0 };                                                     \
		long long r_ = (long long)(call);                                                                      \
		if (r_ < 0)                                                                                            \
			fail_msg("%s: %lld: %s", #call, r_, e_->text);                                                 \
	} while (0)
/* For the 'err' argument inside OK(). */
#define E e_

/* The own namespace of the test process, with loopback up. */
static inline int net_own(void)
{
	struct kist_net *net = NULL;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	/* Brings loopback up; the sysctls are this namespace's own. */
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r = kist_net_open_container(fd, &net, NULL);
	kist_net_close(net);
	close(fd);
	return r;
}

/* A further one; returns its fd. */
static inline int net_new(void)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	assert_true(home >= 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	return fd;
}

/* Runs a shell command inside (-1: here); its output, the caller frees. *code: its exit code, NULL: must be 0. */
static inline char *net_run(int netns, int *code, const char *fmt, ...) KIST_PRINTF(3, 4);
static inline char *net_run(int netns, int *code, const char *fmt, ...)
{
	struct kist_str out = { 0 };
	char *command = NULL;
	int ends[2], status;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&command, fmt, ap) > 0);
	va_end(ap);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = child_fork();
	if (pid == 0) {
		if (netns >= 0 && setns(netns, CLONE_NEWNET) < 0)
			_exit(125);
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	for (;;) {
		char buffer[4096];
		ssize_t n = read(ends[0], buffer, sizeof(buffer));

		if (n <= 0)
			break;
		kist_str_addn(&out, buffer, (size_t)n);
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (code)
		*code = kist_exit_code(status);
	else if (status)
		fail_msg("'%s' failed: %s", command, kist_str_get(&out));
	free(command);
	return kist_str_take(&out);
}

/* 'ip -j ...' as JSON; the caller puts it. */
static inline struct json_object *net_ip(int netns, const char *what)
{
	KIST_FREE char *text = net_run(netns, NULL, "ip -j -d %s", what);
	struct json_object *json = json_tokener_parse(*text ? text : "[]");

	assert_non_null(json);
	return json;
}

static inline bool net_says(int netns, const char *command, const char *what)
{
	KIST_FREE char *text = net_run(netns, NULL, "%s", command);

	return strstr(text, what) != NULL;
}

static inline struct kist_net_addr net_addr(const char *text)
{
	struct kist_net_addr addr = { 0 };

	assert_int_equal(kist_net_addr_parse(text, &addr), 0);
	return addr;
}

/* --- real traffic
 * ----------------------------------------------------------------------------------------------------- */

static inline int net_socket(int netns, int family, int type)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	if (netns >= 0)
		assert_int_equal(setns(netns, CLONE_NEWNET), 0);
	fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	return fd;
}

static inline socklen_t net_sockaddr(const char *address, uint16_t port, struct sockaddr_storage *out)
{
	struct kist_net_addr addr = net_addr(address);

	memset(out, 0, sizeof(*out));
	if (addr.family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr.bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, addr.bytes, 16);
	return sizeof(*in6);
}

/* A server's socket inside; IPv6 ones take IPv6 alone. */
static inline int net_server(int netns, int type, const char *address, uint16_t port)
{
	struct sockaddr_storage where;
	socklen_t len = net_sockaddr(address, port, &where);
	int fd = net_socket(netns, where.ss_family, type), one = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (where.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&where, len) < 0)
		fail_msg("bind %s:%u: %s", address, port, strerror(errno));
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static inline bool net_wait(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) == 1;
}

/* A connection from inside; its fd, or a negative errno (-ETIMEDOUT after ms). */
static inline int net_connect_tcp(int netns, const char *address, uint16_t port, int ms)
{
	struct sockaddr_storage where;
	socklen_t len = net_sockaddr(address, port, &where), size = sizeof(int);
	int fd = net_socket(netns, where.ss_family, SOCK_STREAM), error = 0;

	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&where, len) < 0 && errno != EINPROGRESS)
		error = errno;
	else if (!net_wait(fd, POLLOUT, ms))
		error = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error) {
		close(fd);
		return -error;
	}
	return fd;
}

/* Who is at the other end, as text. */
static inline char *net_peer(const struct sockaddr_storage *from)
{
	struct kist_net_addr addr = { .family = from->ss_family };
	char text[KIST_NET_ADDR_TEXT];

	if (from->ss_family == AF_INET)
		memcpy(addr.bytes, &((const struct sockaddr_in *)from)->sin_addr, 4);
	else
		memcpy(addr.bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	return kist_strdup(kist_net_addr_text(text, &addr));
}

/* Connects to address:port from inside and says something; the server answers. Returns the client as the server saw it
 * (the caller frees), or NULL when there was no connection. */
static inline char *net_talk_tcp(int netns, int server, const char *address, uint16_t port)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char buffer[8] = "";
	int client = net_connect_tcp(netns, address, port, 1500), there;

	if (client < 0)
		return NULL;
	/* Something else may have taken the connection. */
	if (!net_wait(server, POLLIN, 500)) {
		close(client);
		return NULL;
	}
	there = accept4(server, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
	assert_true(there >= 0);
	assert_int_equal(send(client, "ping", 4, MSG_NOSIGNAL), 4);
	assert_true(net_wait(there, POLLIN, 2000));
	assert_int_equal(recv(there, buffer, sizeof(buffer), 0), 4);
	assert_int_equal(send(there, "pong!", 5, MSG_NOSIGNAL), 5);
	assert_true(net_wait(client, POLLIN, 2000));
	assert_int_equal(recv(client, buffer, sizeof(buffer), 0), 5);
	close(client);
	close(there);
	return net_peer(&from);
}

/* The same with one datagram each way. The client's socket must be connected: it takes the answer only from whom it
 * asked. */
static inline char *net_talk_udp(int netns, int server, const char *address, uint16_t port)
{
	struct sockaddr_storage where, from;
	socklen_t len = net_sockaddr(address, port, &where), from_len = sizeof(from);
	int client = net_socket(netns, where.ss_family, SOCK_DGRAM);
	char buffer[8] = "", *peer = NULL;

	if (connect(client, (struct sockaddr *)&where, len) == 0 && send(client, "ping", 4, 0) == 4 &&
	    net_wait(server, POLLIN, 700) &&
	    recvfrom(server, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &from_len) == 4) {
		assert_int_equal(sendto(server, "pong!", 5, 0, (struct sockaddr *)&from, from_len), 5);
		if (net_wait(client, POLLIN, 1500) && recv(client, buffer, sizeof(buffer), 0) == 5)
			peer = net_peer(&from);
	}
	close(client);
	return peer;
}

static inline void net_reaches(int netns, int server, const char *address, uint16_t port, const char *seen_as)
{
	KIST_FREE char *peer = net_talk_tcp(netns, server, address, port);

	if (!peer)
		fail_msg("%s:%u is not reached", address, port);
	if (seen_as && strcmp(peer, seen_as) != 0)
		fail_msg("%s:%u sees its client as %s, not as %s", address, port, peer, seen_as);
}

/* --- records
 * ----------------------------------------------------------------------------------------------------------- */

static inline void net_subnet(struct kist_net_network *network, const char *subnet, const char *gateway)
{
	network->subnets = kist_grow(network->subnets, network->n_subnets + 1, sizeof(*network->subnets));
	network->subnets[network->n_subnets++] = (struct kist_net_subnet){
		.subnet = kist_strdup(subnet),
		.gateway = kist_strdup(gateway),
	};
	network->ipv6 = network->ipv6 || strchr(subnet, ':');
}

static inline struct kist_net_network net_network(const char *name, const char *interface)
{
	struct kist_net_network network;

	kist_net_network_init(&network);
	network.name = kist_strdup(name);
	network.interface = kist_strdup(interface);
	return network;
}

static inline double net_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

#endif
