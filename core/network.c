/* Networks: their records, look-up, making and removing. */
#include "core/network_internal.h"
#include "core/stop.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_LENGTH 200 /* a temporary file's name is longer */
#define DEFAULT_ID      "6b6973742d64656661756c742d6e6574776f726b0000000000000000000000a1"

void kist_network_event(struct kist *k, const char *status, const char *id, const char *name, const char *network)
{
	const struct kist_event event = {
		.type = "network", .status = status, .id = id, .name = name, .network = network
	};

	kist_event_write(k, &event);
}

static int missing(const char *name, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no such network: %s", name);
}

static int networks_open(struct kist *k, bool make, struct kist_error *err)
{
	int r = kist_store_directory(k, "networks", make, &k->networks);

	if (r == -ENOENT && !make)
		return r;
	return r < 0 ? kist_fail_errno(err, -r, "open the directory of networks") : 0;
}

int kist_network_run_dir(struct kist *k, const char *name, bool make)
{
	if (make) {
		if (mkdirat(k->runroot, "net", 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	KIST_CLOSE int net = openat(k->runroot, "net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (net < 0 || !name)
		return net < 0 ? -errno : kist_steal_fd(&net);
	if (make && mkdirat(net, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(net, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int network_records_lock(struct kist *k, struct kist_error *err)
{
	KIST_CLOSE int dir = kist_network_run_dir(k, NULL, true);
	int fd = dir < 0 ? dir : kist_lock(dir, "lock", true, false);

	return fd < 0 ? kist_fail_errno(err, -fd, "lock the networks") : fd;
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

int kist_network_load(struct kist *k, const char *name, struct kist_net_network *out, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	KIST_STRV char **extra = NULL;

	if (!kist_net_name_valid(name) || strlen(name) > NAME_MAX_LENGTH)
		return missing(name, err);
	int r = networks_open(k, false, err);
	if (r < 0 && r != -ENOENT)
		return r;
	kist_net_network_init(out);
	if (r == 0)
		r = kist_record_read(k->networks, name, &kist_net_network_table, out, &extra, &problem);
	if (r == 0 && !kist_streq(out->name, name))
		r = kist_fail(&problem, KIST_ERR_CORRUPT, EBADMSG, "network is damaged: it is of another name");
	if (r == 0)
		return 0;
	kist_net_network_release(out);
	bool absent = r == -ENOENT;
	if (absent && kist_streq(name, KIST_DEFAULT_NETWORK)) {
		kist_net_network_init(out);
		kist_net_network_default(out);
		out->interface_chosen = out->subnets_chosen = true;
		free(out->id);
		out->id = kist_strdup(DEFAULT_ID);
		return 0;
	}
	if (absent)
		return missing(name, err);
	if (err)
		*err = problem;
	kist_context(err, "network %s", name);
	return problem.kind == KIST_ERR_CORRUPT
	               ? kist_remedy(err, "'kist network rm --force %s' removes what is left of it", name)
	               : r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int kist_network_list(struct kist *k, char ***names, struct kist_error *err)
{
	char **list = NULL;
	int r = networks_open(k, false, err);

	if (r < 0 && r != -ENOENT)
		return r;
	int fd = r == 0 ? openat(k->networks, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (kist_net_name_valid(entry->d_name))
			kist_strv_add(&list, entry->d_name);
	if (dir)
		closedir(dir);
	if (!kist_strv_has(list, KIST_DEFAULT_NETWORK))
		kist_strv_add(&list, KIST_DEFAULT_NETWORK);
	qsort(list, kist_strv_len(list), sizeof(*list), by_name);
	*names = list;
	return 0;
}

static bool is_hex(const char *text)
{
	return *text && text[strspn(text, "0123456789abcdef")] == '\0';
}

int kist_network_find(struct kist *k, const char *text, char **name, struct kist_error *err)
{
	struct kist_net_network network;
	struct kist_error problem = { 0 };
	const char *found = NULL;
	KIST_STRV char **names = NULL;

	int r = kist_network_load(k, text, &network, &problem);
	if (r == 0)
		kist_net_network_release(&network);
	/* A damaged one is there all the same: who wants to remove it must be able to name it. */
	if (r == 0 || problem.kind == KIST_ERR_CORRUPT) {
		*name = kist_strdup(text);
		return 0;
	}
	if (problem.kind != KIST_ERR_NOT_FOUND || !is_hex(text)) {
		if (err)
			*err = problem;
		return r;
	}
	r = kist_network_list(k, &names, err);
	for (size_t i = 0; r == 0 && names[i]; i++) {
		if (kist_network_load(k, names[i], &network, NULL) < 0)
			continue;
		if (network.id && kist_has_prefix(network.id, text)) {
			if (found)
				r = kist_fail(err, KIST_ERR_AMBIGUOUS, 0,
				              "network id %s is ambiguous: %s and %s begin so", text, found, names[i]);
			found = names[i];
		}
		kist_net_network_release(&network);
	}
	if (r == 0 && !found)
		return missing(text, err);
	if (r == 0)
		*name = kist_strdup(found);
	return r;
}

char **kist_network_users(struct kist *k, const char *name)
{
	struct kist_container **list = NULL;
	char **ids = NULL;
	size_t n = 0;

	if (kist_container_list(k, &list, &n, NULL, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < list[i]->config.n_networks; j++)
			if (kist_streq(list[i]->config.networks[j].name, name))
				kist_strv_add(&ids, list[i]->config.id);
	kist_container_list_free(list, n);
	return ids;
}

/* --- making ---------------------------------------------------------------------------------------------------------
 */

void network_others_clear(struct network_others *others)
{
	for (size_t i = 0; i < others->n; i++)
		kist_net_network_release(&others->items[i]);
	free(others->items);
	kist_net_prefixes_free(&others->used);
	kist_strv_free(others->interfaces);
}

int network_others_read(struct kist *k, const char *but, struct network_others *others, struct kist_error *err)
{
	KIST_STRV char **names = NULL;

	int r = kist_network_list(k, &names, err);
	for (size_t i = 0; r == 0 && names[i]; i++) {
		if (kist_streq(names[i], but))
			continue;
		others->items = kist_grow(others->items, others->n + 1, sizeof(*others->items));
		struct kist_net_network *network = &others->items[others->n];
		struct kist_error problem = { 0 };
		if (kist_network_load(k, names[i], network, &problem) < 0) {
			kist_debug("%s", problem.text); /* one that is broken blocks no other */
			continue;
		}
		others->n++;
		kist_net_prefixes_add_network(&others->used, network);
		if (network->interface && network->driver == KIST_NET_BRIDGE)
			kist_strv_add(&others->interfaces, network->interface);
	}
	return r;
}

/* As podman has it, an address of the subnet names it too. What is none is refused with the rest. */
static char *subnet_text(const char *text)
{
	char buffer[KIST_NET_PREFIX_TEXT];
	struct kist_net_prefix prefix;

	if (kist_net_prefix_parse(text, &prefix) < 0)
		return kist_strdup(text);
	kist_net_prefix_mask(&prefix);
	return kist_strdup(kist_net_prefix_text(buffer, &prefix));
}

static int add_route(struct kist_net_network *network, const char *text, struct kist_error *err)
{
	KIST_STRV char **parts = kist_strv_split(text, ',');
	struct kist_net_route *route;
	size_t n = kist_strv_len(parts);

	if (n < 2 || n > 3)
		return kist_fail(err, KIST_ERR_INVALID, 0, "route '%s': expected DESTINATION,GATEWAY[,METRIC]", text);
	network->routes = kist_grow(network->routes, network->n_routes + 1, sizeof(*network->routes));
	route = &network->routes[network->n_routes++];
	*route = (struct kist_net_route){ .destination = kist_strdup(parts[0]), .gateway = kist_strdup(parts[1]) };
	if (n == 3 && kist_parse_u32(parts[2], &route->metric) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "route '%s': the metric must be a number", text);
	return 0;
}

/* "10.89.0.64/26" or "10.89.0.64-10.89.0.127" */
static int add_range(struct kist_net_subnet *subnet, const char *text, struct kist_error *err)
{
	const char *dash = strchr(text, '-');
	struct kist_net_addr first, last;
	struct kist_net_prefix prefix;
	char buffer[KIST_NET_ADDR_TEXT];

	if (dash) {
		subnet->range_start = kist_strndup(text, (size_t)(dash - text));
		subnet->range_end = kist_strdup(dash + 1);
		return 0;
	}
	if (kist_net_prefix_parse(text, &prefix) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "ip-range '%s': expected ADDRESS/LENGTH or FIRST-LAST",
		                 text);
	kist_net_prefix_bounds(&prefix, &first, &last);
	subnet->range_start = kist_strdup(kist_net_addr_text(buffer, &first));
	subnet->range_end = kist_strdup(kist_net_addr_text(buffer, &last));
	return 0;
}

static char *generate_name(const struct network_others *others)
{
	for (unsigned i = 1;; i++) {
		KIST_FREE char *name = kist_asprintf("network%u", i);
		bool taken = false;
		for (size_t j = 0; j < others->n; j++)
			taken = taken || kist_streq(others->items[j].name, name);
		if (!taken)
			return kist_steal(&name);
	}
}

/* From what was asked for to a record that is still open in places. */
static int draft(const struct kist_network_new *config, const struct network_others *others,
                 struct kist_net_network *network, struct kist_error *err)
{
	char id[65];
	int r = 0;

	network->name = config->name ? kist_strdup(config->name) : generate_name(others);
	if (strlen(network->name) > NAME_MAX_LENGTH)
		return kist_fail(err, KIST_ERR_INVALID, 0, "network name '%.20s...' is longer than %d characters",
		                 network->name, NAME_MAX_LENGTH);
	if (!kist_net_name_valid(network->name))
		return kist_fail(
		        err, KIST_ERR_INVALID, 0,
		        "network name '%.80s': expected a letter or digit, then letters, digits, '_', '.', '-'",
		        network->name);
	static const char *const words[] = { "none", "host",      "bridge", "default",     "private",
		                             "pod",  "container", "ns",     "slirp4netns", "pasta" };
	for (size_t i = 0; i < KIST_COUNT(words); i++)
		if (kist_streq(network->name, words[i]))
			return kist_fail(err, KIST_ERR_INVALID, 0, "network name '%s' is a mode of --network",
			                 words[i]);
	if (config->driver && kist_value_of(kist_net_driver_names, config->driver, &network->driver) < 0)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "driver '%s' is not supported: use bridge, macvlan or ipvlan", config->driver);
	kist_random_hex(id, 64);
	network->id = kist_strdup(id);
	network->created = kist_now_wall();
	network->interface = kist_strdup(config->interface);
	network->ipv6 = config->ipv6;
	network->internal = config->internal;
	network->dns = !config->disable_dns && network->driver == KIST_NET_BRIDGE;
	network->dns_servers = kist_strv_copy(config->dns_servers);
	network->labels = kist_strv_copy(config->labels);
	for (size_t i = 0; i < config->n_subnets; i++) {
		const struct kist_network_subnet *from = &config->subnets[i];
		network->subnets = kist_grow(network->subnets, network->n_subnets + 1, sizeof(*network->subnets));
		network->subnets[network->n_subnets++] = (struct kist_net_subnet){
			.subnet = subnet_text(from->subnet),
			.gateway = kist_strdup(from->gateway),
		};
		r = from->range ? add_range(&network->subnets[network->n_subnets - 1], from->range, err) : 0;
		if (r < 0)
			return r;
		if (strchr(from->subnet, ':'))
			network->ipv6 = true;
	}
	for (size_t i = 0; r == 0 && config->routes && config->routes[i]; i++)
		r = add_route(network, config->routes[i], err);
	for (size_t i = 0; r == 0 && config->options && config->options[i]; i++) {
		KIST_FREE char *key = kist_strdup(config->options[i]);
		char *value = strchr(key, '=');
		if (value)
			*value++ = '\0';
		r = kist_net_network_set_option(network, key, value ? value : "", err);
	}
	return r;
}

/* A subnet that the user chose must not be where the host's packets go already. */
static int check_host(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err)
{
	KIST_NET_PREFIXES struct kist_net_prefixes routes = { 0 };
	KIST_NET_PREFIXES struct kist_net_prefixes wanted = { 0 };
	char a[KIST_NET_PREFIX_TEXT], b[KIST_NET_PREFIX_TEXT];

	if (network->driver != KIST_NET_BRIDGE || network->n_subnets == 0)
		return 0;
	int r = kist_net_routes_used(host, &routes, err);
	if (r < 0)
		return r;
	kist_net_prefixes_add_network(&wanted, network);
	for (size_t i = 0; i < wanted.n; i++)
		for (size_t j = 0; j < routes.n; j++)
			if (kist_net_prefix_overlaps(&wanted.items[i], &routes.items[j]))
				return kist_fail(err, KIST_ERR_EXISTS, EADDRINUSE,
				                 "subnet %s is in use: the host has a route to %s",
				                 kist_net_prefix_text(a, &wanted.items[i]),
				                 kist_net_prefix_text(b, &routes.items[j]));
	return 0;
}

/* What is left open is chosen so that it does not meet another store's. */
static int check_store(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err)
{
	struct kist_net_conflict conflict;

	if (network->driver != KIST_NET_BRIDGE || !network->interface)
		return 0;
	int r = kist_net_bridge_conflict(host, network, &conflict, err);
	return r > 0 ? kist_net_conflict_fail(&conflict, err) : r;
}

static int make(struct kist *k, const struct kist_network_new *config, const struct network_others *others,
                struct kist_net_network *network, struct kist_error *err)
{
	NET_CLOSE struct kist_net *host = NULL;

	int r = draft(config, others, network, err);
	for (size_t i = 0; r == 0 && i < others->n; i++)
		if (kist_streq(others->items[i].name, network->name))
			r = kist_fail(err, KIST_ERR_EXISTS, EEXIST, "network %s exists already", network->name);
	if (r == 0)
		r = network_host_open(k, &host, err);
	if (r == 0)
		r = check_store(host, network, err);
	if (r == 0)
		r = check_host(host, network, err);
	if (r == 0)
		r = kist_net_network_fill(host, network, &others->used, others->interfaces, err);
	if (r == 0)
		r = kist_net_network_check(network, err);
	for (size_t i = 0; r == 0 && i < others->n; i++)
		r = kist_net_network_check_against(network, &others->items[i], err);
	if (r < 0)
		return r;
	r = networks_open(k, true, err);
	if (r == 0)
		r = kist_record_write(k->networks, network->name, &kist_net_network_table, network, NULL,
		                      !k->settings.volatile_, err);
	return r;
}

int kist_network_create(struct kist *k, const struct kist_network_new *config, char **name, struct kist_error *err)
{
	struct kist_net_network network;
	struct network_others others = { 0 };

	KIST_CLOSE int lock = network_records_lock(k, err);
	if (lock < 0)
		return lock;
	kist_net_network_init(&network);
	int r = network_others_read(k, NULL, &others, err);
	if (r == 0)
		r = make(k, config, &others, &network, err);
	if (r == 0) {
		kist_network_event(k, "create", network.id, network.name, NULL);
		*name = kist_steal(&network.name);
	}
	network_others_clear(&others);
	kist_net_network_release(&network);
	return r < 0 ? kist_context(err, "create network") : 0;
}

/* Containers that run ask the new servers from now on. */
static void users_tell(struct kist *k, const char *name)
{
	KIST_STRV char **users = kist_network_users(k, name);

	for (size_t i = 0; users && users[i]; i++) {
		struct kist_container *c = NULL;
		struct kist_error problem = { 0 };
		if (kist_container_load(k, users[i], &c, NULL) < 0)
			continue;
		if (kist_status_has_process(c->state.status) && kist_network_tell(c, 0, &problem) < 0)
			kist_log(KIST_LOG_WARN, "container %s: %s", c->config.name, problem.text);
		kist_container_free(c);
	}
}

int kist_network_update(struct kist *k, const char *name_or_id, char *const *dns_add, char *const *dns_drop,
                        struct kist_error *err)
{
	struct kist_net_network network;
	KIST_FREE char *name = NULL;
	struct kist_net_addr addr;

	for (size_t i = 0; dns_add && dns_add[i]; i++)
		if (kist_net_addr_parse(dns_add[i], &addr) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "DNS server '%s' is not an address", dns_add[i]);
	KIST_CLOSE int lock = network_records_lock(k, err);
	int r = lock < 0 ? lock : kist_network_find(k, name_or_id, &name, err);
	if (r == 0)
		r = kist_network_load(k, name, &network, err);
	if (r < 0)
		return r;
	char **servers = NULL;
	for (size_t i = 0; network.dns_servers && network.dns_servers[i]; i++)
		if (!kist_strv_has((char **)dns_drop, network.dns_servers[i]))
			kist_strv_add(&servers, network.dns_servers[i]);
	for (size_t i = 0; dns_add && dns_add[i]; i++)
		if (!kist_strv_has(servers, dns_add[i]))
			kist_strv_add(&servers, dns_add[i]);
	kist_strv_free(network.dns_servers);
	network.dns_servers = servers;
	r = networks_open(k, true, err);
	if (r == 0)
		r = kist_record_write(k->networks, name, &kist_net_network_table, &network, NULL,
		                      !k->settings.volatile_, err);
	kist_net_network_release(&network);
	kist_close_fd(&lock);
	if (r == 0)
		users_tell(k, name);
	return r;
}

/* --- removing -------------------------------------------------------------------------------------------------------
 */

static int users_remove(struct kist *k, const char *name, unsigned flags, int64_t timeout, struct kist_error *err)
{
	KIST_STRV char **users = kist_network_users(k, name);

	if (users && !(flags & KIST_REMOVE_FORCE)) {
		KIST_FREE char *all = kist_strv_join(users, ", ");
		kist_fail(err, KIST_ERR_IN_USE, EBUSY, "network %s is in use by containers: %s", name, all);
		return kist_remedy(err, "'kist network rm --force' removes them too");
	}
	return kist_remove_all(k, users, KIST_REMOVE_FORCE | KIST_REMOVE_DEPEND | KIST_REMOVE_VOLUMES | KIST_REMOVE_POD,
	                       timeout, err);
}

/* Another store's bridge of that name stays, with what is in the table for it. */
static int host_remove(struct kist_net *host, const struct kist_net_network *network, struct kist_error *err)
{
	int r = kist_net_bridge_is_foreign(host, network, err);

	if (r)
		return r < 0 ? r : 0;
	/* A host without nf_tables has nothing there. */
	if (kist_net_nft_remove_network(host, network, NULL) < 0)
		kist_debug("network %s: its nftables elements could not be removed", network->name);
	return kist_net_bridge_remove(host, network, err);
}

int kist_network_remove(struct kist *k, const char *name_or_id, unsigned flags, int64_t timeout, struct kist_error *err)
{
	NET_CLOSE struct kist_net *host = NULL;
	struct kist_net_network network;
	KIST_FREE char *name = NULL;
	char id[65] = "";

	int r = kist_network_find(k, name_or_id, &name, err);
	if (r < 0)
		return r;
	if (kist_streq(name, KIST_DEFAULT_NETWORK) && !(flags & KIST_REMOVE_DEFAULT))
		return kist_fail(err, KIST_ERR_INVALID, 0, "network %s is the default and cannot be removed", name);
	r = users_remove(k, name, flags, timeout, err);
	if (r < 0)
		return r;
	KIST_CLOSE int lock = network_records_lock(k, err);
	if (lock < 0)
		return lock;
	if (kist_network_load(k, name, &network, NULL) == 0) {
		r = network_host_open(k, &host, err);
		if (r == 0)
			r = host_remove(host, &network, err);
		snprintf(id, sizeof(id), "%s", network.id ? network.id : "");
		kist_net_network_release(&network);
		if (r < 0)
			return kist_context(err, "network %s", name);
	}
	r = networks_open(k, false, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && unlinkat(k->networks, name, 0) < 0 && errno != ENOENT)
		return kist_fail_errno(err, errno, "remove network %s", name);
	if (r == 0 && !k->settings.volatile_)
		kist_sync_dir(k->networks);
	KIST_CLOSE int run = kist_network_run_dir(k, NULL, false);
	if (run >= 0)
		kist_remove_tree(run, name);
	kist_network_event(k, "remove", id, name, NULL);
	return 0;
}

void kist_network_tidy(struct kist *k)
{
	NET_CLOSE struct kist_net *host = NULL;
	struct kist_error problem = { 0 };

	if (network_host_open(k, &host, &problem) < 0 || kist_net_nft_remove_empty(host, &problem) < 0)
		kist_debug("%s", problem.text);
}
