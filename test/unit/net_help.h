/* Network namespaces for tests: the test process lives in one of its own from the start, so that nothing here ever
 * touches the machine's links or tables. */
#ifndef KIST_NET_HELP_H
#define KIST_NET_HELP_H

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
	pid_t pid = fork();
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

static inline struct kist_net_addr net_addr(const char *text)
{
	struct kist_net_addr addr = { 0 };

	assert_int_equal(kist_net_addr_parse(text, &addr), 0);
	return addr;
}

static inline double net_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

#endif
