/* Networks of a container that runs: connect, disconnect, reload, a new name. */
#include "core/network_internal.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/attach.h"
#include "core/monitor.h"
#include "core/spawn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* --- while it runs --------------------------------------------------------------------------------------------------
 */

static bool is_live(const struct kist_container *c)
{
	return kist_status_has_process(c->state.status) && kist_container_monitor_alive(c);
}

/* --- what follows a change -------------------------------------------------------------------------------------------
 */

/* What the container's files said before, so that only that is changed in them. */
struct files {
	char *hosts, *resolv;
};

static void files_free(struct files *files)
{
	free(files->hosts);
	free(files->resolv);
}

static struct files files_of(const struct kist_container *c)
{
	KIST_STR struct kist_str hosts = { 0 }, resolv = { 0 };

	kist_hosts_own(c, &hosts);
	kist_resolv_text(c, false, &resolv);
	return (struct files){ kist_strdup(kist_str_get(&hosts)), kist_strdup(kist_str_get(&resolv)) };
}

static int files_follow(struct kist_container *c, const struct files *before, struct kist_error *err)
{
	struct files after = files_of(c);

	int r = kist_run_file_rewrite(c->k, c->config.id, "hosts", before->hosts, after.hosts, err);
	if (r == 0)
		r = kist_run_file_rewrite(c->k, c->config.id, "resolv.conf", before->resolv, after.resolv, err);
	files_free(&after);
	return r;
}

int kist_network_tell(struct kist_container *c, uint32_t gone, struct kist_error *err)
{
	return kist_monitor_tell(c, KIST_MSG_NETWORK, &gone, sizeof(gone), err);
}

/* --- ports: they lead to the first bridge that the container is on --------------------------------------------------
 */

static bool has_address(const struct kist_network_state *place, const char *text)
{
	for (size_t i = 0; text && place->addresses && place->addresses[i]; i++)
		if (strlen(text) == strcspn(place->addresses[i], "/") && kist_has_prefix(place->addresses[i], text))
			return true;
	return false;
}

/* Those that led to an address that goes. They stay taken. */
static int ports_leave(struct kist_container *c, struct kist_net *host, const struct kist_network_state *place,
                       struct kist_error *err)
{
	KIST_FREE struct kist_net_publish *ports = NULL;
	size_t n = network_publishes(&c->state, &ports);
	bool any = false;

	for (size_t i = 0; i < c->state.n_ports; i++) {
		struct kist_port_state *port = &c->state.ports[i];
		if (!has_address(place, port->container_ip))
			continue;
		free(port->container_ip);
		port->container_ip = NULL;
		any = true;
	}
	return any && n ? kist_net_nft_remove(host, ports, n, err) : 0;
}

static void ports_lead(struct kist_container *c)
{
	for (size_t i = 0; i < c->state.n_ports; i++) {
		struct kist_port_state *port = &c->state.ports[i];
		char text[KIST_NET_ADDR_TEXT];
		struct kist_net_addr address;
		if (port->container_ip || kist_net_addr_parse(port->host_ip, &address) < 0)
			continue;
		bool loopback = address.family == AF_INET6 && kist_net_addr_is_loopback(&address);
		if (network_port_address(c, address.family, &address) ||
		    (loopback && network_port_address(c, AF_INET, &address)))
			port->container_ip = kist_strdup(kist_net_addr_text(text, &address));
	}
}

/* --- connect --------------------------------------------------------------------------------------------------------
 */

static struct kist_network_state *place_of(struct kist_container *c, const char *name)
{
	for (size_t i = 0; i < c->state.n_networks; i++)
		if (kist_streq(c->state.networks[i].name, name))
			return &c->state.networks[i];
	return NULL;
}

static void connect_undo(struct kist_container *c, const struct network_sides *sides, const char *name)
{
	struct kist_network_state *place = place_of(c, name);

	if (!place)
		return;
	if (sides->host)
		network_place_teardown(c, sides->host, place);
	else
		network_addresses_release(c->k, c->config.id, place);
	kist_network_state_drop(&c->state, (size_t)(place - c->state.networks));
	kist_container_save(c, NULL);
}

static int connect_live(struct kist_container *c, const struct kist_network_config *place, struct kist_error *err)
{
	__attribute__((cleanup(files_free))) struct files before = files_of(c);
	struct network_sides sides = { .ns = -1 };

	int r = network_place_prepare(c, place, err);
	if (r == 0) {
		ports_lead(c);
		r = kist_container_save(c, err);
	}
	if (r == 0)
		r = network_sides_open(c->k, c->state.pid, &sides, err);
	if (r == 0)
		r = network_attach_all(c, &sides, err);
	if (r < 0)
		connect_undo(c, &sides, place->name);
	network_sides_close(&sides);
	if (r == 0)
		r = files_follow(c, &before, err);
	return r < 0 ? r : kist_network_tell(c, 0, err);
}

static int mode_check(const struct kist_container *c, struct kist_error *err)
{
	if (kist_streq(c->config.net_ns, "private") || kist_streq(c->config.net_ns, "none"))
		return 0;
	return kist_fail(err, KIST_ERR_INVALID, 0, "container %s has network mode %s and no networks of its own",
	                 c->config.name, c->config.net_ns);
}

/* In the record first: whoever finds the command dead halfway gives back what it took by that. */
static int connect_locked(struct kist_container *c, const struct kist_network_config *network, struct kist_error *err)
{
	size_t at = c->config.n_networks, old = at;

	int r = mode_check(c, err);
	if (r < 0)
		return r;
	kist_network_config_add(&c->config, network);
	r = network_place_check(c->k, &c->config.networks[at], err);
	for (size_t i = 0; r == 0 && i < at; i++)
		if (kist_streq(c->config.networks[i].name, c->config.networks[at].name))
			old = i;
	/* One that was cut short halfway is finished by the next. */
	if (r == 0 && old < at && (!is_live(c) || place_of(c, c->config.networks[old].name)))
		r = kist_fail(err, KIST_ERR_EXISTS, EEXIST, "container %s is connected to network %s already",
		              c->config.name, c->config.networks[old].name);
	if (r == 0 && old < at)
		kist_network_config_drop(&c->config, old), at--;
	KIST_FREE char *mode = kist_steal(&c->config.net_ns);
	c->config.net_ns = kist_strdup("private");
	if (r == 0)
		r = kist_container_save_config(c, err);
	if (r == 0 && is_live(c)) {
		r = connect_live(c, &c->config.networks[at], err);
		if (r < 0 && !place_of(c, c->config.networks[at].name)) {
			kist_network_config_drop(&c->config, at);
			free(c->config.net_ns);
			c->config.net_ns = kist_steal(&mode);
			kist_container_save_config(c, NULL);
		}
	}
	return r;
}

int kist_container_connect(struct kist_container *c, const struct kist_network_config *network, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r < 0)
		return r;
	/* It was read without the lock: another command may have connected it since. */
	r = kist_container_reload_config(c, err);
	if (r == 0)
		r = connect_locked(c, network, err);
	/* What was not taken must not stay in the handle. */
	if (r < 0)
		kist_container_reload_config(c, NULL);
	if (r == 0)
		kist_network_event(c->k, "connect", c->config.id, c->config.name,
		                   c->config.networks[c->config.n_networks - 1].name);
	kist_container_unlock(c);
	return r < 0 ? kist_context(err, "connect %s", c->config.name) : 0;
}

/* --- disconnect -----------------------------------------------------------------------------------------------------
 */

static int disconnect_live(struct kist_container *c, struct kist_network_state *place, struct kist_error *err)
{
	__attribute__((cleanup(files_free))) struct files before = files_of(c);
	struct network_sides sides = { .ns = -1 };
	uint32_t later = 0;

	int r = network_sides_open(c->k, c->state.pid, &sides, err);
	if (r == 0)
		r = ports_leave(c, sides.host, place, err);
	if (r == 0)
		r = kist_net_disconnect(sides.inside, place->interface, &later, err);
	if (r == 0) {
		/* The link is down. Its monitor removes it: to wait for that would be most of the time this takes. */
		network_place_release(c, place);
		kist_network_state_drop(&c->state, (size_t)(place - c->state.networks));
		ports_lead(c);
		r = kist_container_save(c, err);
	}
	/* The others may have the default route and the ports now. */
	if (r == 0)
		r = network_attach_all(c, &sides, err);
	network_sides_close(&sides);
	if (r == 0)
		r = files_follow(c, &before, err);
	int told = kist_network_tell(c, later, r < 0 ? NULL : err);
	return r < 0 ? r : told;
}

static int disconnect_locked(struct kist_container *c, const char *network, struct kist_error *err)
{
	KIST_FREE char *name = NULL;
	size_t at;

	/* A network that is gone can still be in a record. */
	if (kist_network_find(c->k, network, &name, NULL) < 0)
		name = kist_strdup(network);
	for (at = 0; at < c->config.n_networks && !kist_streq(c->config.networks[at].name, name); at++)
		continue;
	if (at == c->config.n_networks)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "container %s is not connected to network %s",
		                 c->config.name, name);
	struct kist_network_state *place = is_live(c) ? place_of(c, name) : NULL;
	int r = place ? disconnect_live(c, place, err) : 0;
	if (r < 0)
		return r;
	kist_network_config_drop(&c->config, at);
	r = kist_container_save_config(c, err);
	if (r == 0)
		kist_network_event(c->k, "disconnect", c->config.id, c->config.name, name);
	return r;
}

int kist_container_disconnect(struct kist_container *c, const char *network, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r < 0)
		return r;
	r = kist_container_reload_config(c, err);
	if (r == 0)
		r = disconnect_locked(c, network, err);
	kist_container_unlock(c);
	return r < 0 ? kist_context(err, "disconnect %s", c->config.name) : 0;
}

/* --- reload, rename -------------------------------------------------------------------------------------------------
 */

static int reload_live(struct kist_container *c, struct kist_error *err)
{
	struct network_sides sides = { .ns = -1 };
	bool bridged = false, mended = false;
	uint32_t later = 0;

	for (size_t i = 0; i < c->state.n_networks; i++)
		bridged = bridged || c->state.networks[i].host_interface;
	int r = network_sides_open(c->k, c->state.pid, &sides, err);
	if (r == 0 && bridged) {
		r = kist_net_nft_mend(sides.host, err);
		mended = r > 0;
	}
	if (r >= 0)
		r = network_attach_all(c, &sides, err);
	if (r == 0 && mended)
		network_restore_others(c->k, c->config.id, sides.host);
	if (r == 0)
		later = kist_net_link_hidden(sides.inside);
	network_sides_close(&sides);
	return r == 0 && later ? kist_network_tell(c, later, err) : r;
}

int kist_container_reload_network(struct kist_container *c, struct kist_error *err)
{
	int r = kist_container_lock(c, err);

	if (r < 0)
		return r;
	r = kist_call_check(KIST_CALL_RELOAD_NETWORK, (enum kist_status)c->state.status, err);
	if (r == 0 && c->state.n_networks)
		r = reload_live(c, err);
	kist_container_unlock(c);
	return r < 0 ? kist_context(err, "reload the network of %s", c->config.name) : 0;
}

/* The new name is in the record already: what cannot follow now follows with the next start. */
void kist_network_renamed(struct kist_container *c, const char *before)
{
	KIST_STR struct kist_str after = { 0 };
	struct kist_error problem = { 0 };

	if (!is_live(c))
		return;
	for (size_t i = 0; i < c->state.n_networks; i++) {
		NETWORK_RELEASE struct kist_net_network network = { 0 };
		const struct kist_network_state *place = &c->state.networks[i];
		if (kist_network_load(c->k, place->name, &network, NULL) < 0 || !network.dns)
			continue;
		kist_network_names_remove(c->k, place->name, c->config.id);
		kist_network_names_add(c, place);
	}
	kist_hosts_own(c, &after);
	if (kist_run_file_rewrite(c->k, c->config.id, "hosts", before, kist_str_get(&after), &problem) < 0)
		kist_debug("container %.12s: %s", c->config.id, problem.text);
}
