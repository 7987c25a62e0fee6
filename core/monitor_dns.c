/* Answers for names in the container's own network namespace, at 127.0.0.11: see net/dns.h. */
#include "core/monitor_internal.h"
#include "core/network.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "net/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LINKS_AT_ONCE 64

static int find_addresses(void *arg, const char *name, struct kist_net_addr *out, size_t room)
{
	struct monitor *m = arg;
	size_t n = 0;

	/* Networks without names have no files of them. */
	for (size_t i = 0; i < m->c->state.n_networks && n < room; i++)
		n += kist_network_names_find(m->k, m->c->state.networks[i].name, name, out + n, room - n);
	if (n)
		return (int)n;
	/* A single word may be a host of the search domain: others are asked. */
	return KIST_DNS_FOREIGN;
}

static int find_names(void *arg, const struct kist_net_addr *addr, char (*out)[KIST_DNS_NAME], size_t room)
{
	struct monitor *m = arg;
	int n = 0;

	for (size_t i = 0; i < m->c->state.n_networks && (size_t)n < room; i++) {
		KIST_FREE char *name = kist_network_names_of(m->k, m->c->state.networks[i].name, addr);
		if (name)
			snprintf(out[n++], KIST_DNS_NAME, "%s", name);
	}
	return n ? n : KIST_DNS_FOREIGN;
}

static void add_server(struct kist_dns_server **servers, size_t *n, const char *text)
{
	struct kist_net_addr addr;

	if (kist_net_addr_parse(text, &addr) < 0)
		return;
	*servers = kist_grow(*servers, *n + 1, sizeof(**servers));
	(*servers)[(*n)++] = (struct kist_dns_server){ .addr = addr };
}

static void add_host_servers(struct kist_dns_server **servers, size_t *n)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_CLOSE int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || kist_read_fd(fd, 65536, &text) < 0)
		return;
	KIST_STRV char **lines = kist_strv_split(kist_str_get(&text), '\n');
	for (size_t i = 0; lines && lines[i]; i++) {
		if (!kist_has_prefix(lines[i], "nameserver"))
			continue;
		const char *value = lines[i] + strlen("nameserver");
		value += strspn(value, " \t");
		KIST_FREE char *word = kist_strndup(value, strcspn(value, " \t%"));
		add_server(servers, n, word);
	}
}

static void dns_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	kist_dns_process(m->dns);
}

/* The servers that other names are asked of: the container's, else its networks', else the host's. */
static size_t find_servers(struct monitor *m, struct kist_dns_server **servers)
{
	char *const *own = m->c->config.dns_servers;
	size_t n = 0;

	for (size_t i = 0; own && own[i]; i++)
		add_server(servers, &n, own[i]);
	for (size_t i = 0; !own && i < m->c->state.n_networks; i++) {
		struct kist_net_network network;
		if (kist_network_load(m->k, m->c->state.networks[i].name, &network, NULL) < 0)
			continue;
		for (char **server = network.dns_servers; server && *server; server++)
			add_server(servers, &n, *server);
		kist_net_network_release(&network);
	}
	if (n == 0 && !own)
		add_host_servers(servers, &n);
	return n;
}

static int network_ns(struct monitor *m, struct kist_error *err)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", m->launch.child.pid);
	int ns = open(path, O_RDONLY | O_CLOEXEC);
	return ns < 0 ? kist_fail_errno(err, errno, "open %s", path) : ns;
}

static int dns_open(struct monitor *m, struct kist_error *err)
{
	struct kist_dns_options options = {
		.source = { .addresses = find_addresses, .names = find_names, .arg = m },
	};
	struct kist_dns_server *servers = NULL;
	KIST_CLOSE int ns = network_ns(m, err);
	if (ns < 0)
		return ns;
	options.n_servers = find_servers(m, &servers);
	options.servers = servers;
	int r = kist_dns_open(&options, ns, &m->dns, err);
	free(servers);
	if (r == 0)
		monitor_watch(m, &m->dns_watch, fcntl(kist_dns_fd(m->dns), F_DUPFD_CLOEXEC, 3), EPOLLIN, dns_ready);
	return r;
}

void monitor_dns_open(struct monitor *m)
{
	struct kist_error problem = { 0 };

	if (kist_network_answers_names(m->c) && dns_open(m, &problem) < 0) {
		KIST_FREE char *text =
		        kist_asprintf("container %s: names are not answered: %s", m->c->config.name, problem.text);
		kist_strv_add(&m->c->warnings, text);
	}
}

static void dns_close(struct monitor *m)
{
	monitor_unwatch(m, &m->dns_watch);
	kist_dns_close(m->dns);
	m->dns = NULL;
}

void monitor_network_close(struct monitor *m)
{
	dns_close(m);
	monitor_proxy_close(m);
}

/* Inside, for links of all kinds. With those of commands that were killed before they told of them; a bound, as the
 * container may give names too. */
static void links_remove(const struct monitor *m, int ns, uint32_t index)
{
	struct kist_error problem = { 0 };
	struct kist_net *inside = NULL;

	int r = kist_net_open(ns, &inside, &problem);
	for (int i = 0; r == 0 && index && i < LINKS_AT_ONCE; i++) {
		r = kist_net_link_finish(inside, index, &problem);
		index = kist_net_link_hidden(inside);
	}
	if (kist_error_is_set(&problem))
		kist_debug("container %.12s: %s", m->c->config.id, problem.text);
	kist_net_close(inside);
}

/* The kernel takes up to some ten milliseconds for it, and the next command waits for our answer: a child of ours does
 * it, which is reaped as an orphan would be. It has nothing of ours: who waits for a pipe's end, or for a lock, must
 * not wait for it. When we are killed it goes on. */
static void links_remove_aside(struct monitor *m, uint32_t index)
{
	struct kist_error problem = { 0 };
	KIST_CLOSE int ns = network_ns(m, &problem);

	if (ns < 0) {
		kist_debug("container %.12s: %s", m->c->config.id, problem.text);
		return;
	}
	pid_t pid = fork();
	if (pid > 0)
		return;
	if (pid == 0)
		kist_close_from(3, ns);
	links_remove(m, ns, index);
	if (pid == 0)
		_exit(0);
}

/* The command holds the container's lock, and has saved the state. */
void monitor_network_changed(struct monitor *m, struct client *client, const void *gone)
{
	uint32_t index;

	memcpy(&index, gone, sizeof(index));
	struct kist_dns_server *servers = NULL;
	struct kist_error err = { 0 };

	int r = m->phase == MONITOR_DEAD ? 0 : kist_container_reload(m->c, &err);
	bool answers = r == 0 && m->phase != MONITOR_DEAD && kist_network_answers_names(m->c);
	if (answers && !m->dns) {
		r = dns_open(m, &err);
	} else if (answers) {
		size_t n = find_servers(m, &servers);
		kist_dns_set_servers(m->dns, servers, n);
	} else if (r == 0) {
		dns_close(m);
	}
	free(servers);
	if (r == 0)
		monitor_proxy_lead(m);
	monitor_client_send(m, client, r < 0 ? KIST_MSG_FAILED : KIST_MSG_NETWORK, r < 0 ? &err : NULL,
	                    r < 0 ? sizeof(err) : 0);
	if (index && m->phase != MONITOR_DEAD)
		links_remove_aside(m, index);
}
