/* Published ports on the host's ::1: see net/proxy.h. */
#include "core/monitor_internal.h"
#include "core/network.h"

#include "core/base/log.h"
#include "net/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

static void proxy_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	kist_proxy_process(m->proxy);
}

static bool is_ours(const struct kist_port_state *port)
{
	return kist_streq(port->host_ip, "::") || kist_streq(port->host_ip, "::1");
}

/* The proxy numbers the ports in the order they were added in: the state's. */
void monitor_proxy_lead(struct monitor *m)
{
	const struct kist_container_state *state = &m->c->state;
	size_t number = 0, at = 0;

	for (size_t i = 0; m->proxy && i < state->n_ports; at += state->ports[i++].count) {
		const struct kist_port_state *port = &state->ports[i];
		struct kist_net_addr to;
		bool leads = kist_net_addr_parse(port->container_ip, &to) == 0;
		for (uint32_t n = 0; is_ours(port) && n < port->count && at + n < m->c->n_port_fds; n++)
			if (m->c->port_fds[at + n] >= 0)
				kist_proxy_lead(m->proxy, number++, leads ? &to : NULL,
				                (uint16_t)(port->container_port + n));
	}
}

static int add_ports(struct monitor *m, struct kist_error *err)
{
	const struct kist_container_state *state = &m->c->state;
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < state->n_ports; at += state->ports[i++].count) {
		const struct kist_port_state *port = &state->ports[i];
		uint8_t protocol;
		if (!is_ours(port) || kist_net_protocol_parse(port->protocol, &protocol) < 0)
			continue;
		for (uint32_t n = 0; r >= 0 && n < port->count && at + n < m->c->n_port_fds; n++)
			/* Without sockets of a protocol only the rules lead anywhere. */
			if (m->c->port_fds[at + n] >= 0)
				r = kist_proxy_add(m->proxy, protocol, m->c->port_fds[at + n], err);
	}
	return r < 0 ? r : 0;
}

int monitor_proxy_open(struct monitor *m, struct kist_error *err)
{
	bool wanted = false;

	for (size_t i = 0; i < m->c->state.n_ports; i++)
		wanted = wanted || is_ours(&m->c->state.ports[i]);
	if (!wanted)
		return 0;
	int r = kist_proxy_open(&m->proxy, err);
	if (r == 0)
		r = add_ports(m, err);
	if (r < 0)
		return kist_context(err, "publish on ::1");
	monitor_proxy_lead(m);
	monitor_watch(m, &m->proxy_watch, fcntl(kist_proxy_fd(m->proxy), F_DUPFD_CLOEXEC, 3), EPOLLIN, proxy_ready);
	return 0;
}

void monitor_proxy_close(struct monitor *m)
{
	monitor_unwatch(m, &m->proxy_watch);
	kist_proxy_close(m->proxy);
	m->proxy = NULL;
}
