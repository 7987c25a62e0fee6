/* kist network create, rm, prune, exists, connect, disconnect, reload, update, and the group they belong to. */
#include "cli/network_commands.h"
#include "cli/volume_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

const struct kist_command kist_command_network = {
	.name = "network",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Commands on networks",
	.is_group = true,
};

static int print_name(const char *name, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };

	kist_str_addf(&out, "%s\n", name);
	return kist_cli_print(&out, err);
}

/* --- create ---------------------------------------------------------------------------------------------------------
 */

struct create_options {
	const char *driver, *interface, *ipam;
	char **subnets, **gateways, **ranges, **routes, **labels, **options, **dns;
	bool ipv6, internal, disable_dns, ignore;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct create_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option create_rows[] = {
	ROW(FLAG, disable_dns, "disable-dns", 0, .help = "Answer no names of its containers"),
	ROW(LIST, dns, "dns", 0, .metavar = "address", .help = "DNS server that other names are asked of"),
	ROW(STRING, driver, "driver", 'd', .metavar = "name", .fallback = "bridge",
	    .help = "bridge, macvlan or ipvlan"),
	ROW(LIST, gateways, "gateway", 0, .metavar = "address", .help = "Gateway of a subnet"),
	ROW(FLAG, ignore, "ignore", 0, .help = "A network of that name is no error"),
	ROW(STRING, interface, "interface-name", 0, .metavar = "name",
	    .help = "Name of the bridge; parent of the others"),
	ROW(FLAG, internal, "internal", 0, .help = "Nothing goes in or out but to the host itself"),
	ROW(LIST, ranges, "ip-range", 0, .metavar = "range",
	    .help = "Give addresses from this part of a subnet: CIDR or FIRST-LAST"),
	ROW(STRING, ipam, "ipam-driver", 0, .metavar = "driver", .fallback = "host-local",
	    .help = "Who gives addresses: host-local, or none, for macvlan and ipvlan without a subnet"),
	ROW(FLAG, ipv6, "ipv6", 0, .help = "Give it an IPv6 subnet too"),
	ROW(LIST, labels, "label", 0, .metavar = "key=value", .help = "Add a label"),
	ROW(LIST, options, "opt", 'o', .metavar = "key=value",
	    .help = "Set an option: mtu, vlan, isolate, metric, mode, parent, no_default_route"),
	ROW(LIST, routes, "route", 0, .metavar = "destination,gateway[,metric]",
	    .help = "Add a route in its containers"),
	ROW(LIST, subnets, "subnet", 0, .metavar = "cidr", .help = "Subnet; several may be given"),
	{ 0 },
};

/* The n-th gateway and range belong to the n-th subnet, as podman has it. */
static int add_subnets(const struct create_options *o, struct kist_network_new *config, struct kist_error *err)
{
	size_t n = kist_strv_len(o->subnets);

	if (kist_strv_len(o->gateways) > n || kist_strv_len(o->ranges) > n)
		return kist_fail(err, KIST_ERR_INVALID, 0, "each --gateway and --ip-range needs a --subnet of its own");
	config->subnets = kist_alloc((n + 1) * sizeof(*config->subnets));
	config->n_subnets = n;
	for (size_t i = 0; i < n; i++) {
		struct kist_network_subnet *subnet = &config->subnets[i];
		subnet->subnet = o->subnets[i];
		subnet->gateway = i < kist_strv_len(o->gateways) ? o->gateways[i] : NULL;
		subnet->range = i < kist_strv_len(o->ranges) ? o->ranges[i] : NULL;
	}
	return 0;
}

static int check_ipam(const struct create_options *o, struct kist_error *err)
{
	if (kist_streq(o->ipam, "host-local"))
		return 0;
	if (!kist_streq(o->ipam, "none"))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "ipam driver '%s' is not supported: host-local, none",
		                 o->ipam);
	if (kist_streq(o->driver, "bridge") || kist_strv_len(o->subnets))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "ipam driver none is for macvlan and ipvlan networks without a subnet");
	return 0;
}

static int create_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct create_options *o = options;
	struct kist_network_new config = {
		.name = argc > 1 ? argv[1] : NULL,
		.driver = (char *)o->driver,
		.interface = (char *)o->interface,
		.routes = o->routes,
		.ipv6 = o->ipv6,
		.internal = o->internal,
		.disable_dns = o->disable_dns,
		.dns_servers = o->dns,
		.options = o->options,
	};
	KIST_FREE char *name = NULL;

	int r = cli_add_pairs("label", o->labels, &config.labels, err);
	if (r == 0)
		r = check_ipam(o, err);
	if (r == 0)
		r = add_subnets(o, &config, err);
	if (r == 0 && o->ignore && config.name && kist_network_find(cli->k, config.name, &name, NULL) == 0)
		r = print_name(name, err);
	else if (r == 0) {
		r = kist_network_create(cli->k, &config, &name, err);
		if (r == 0)
			r = print_name(name, err);
	}
	free(config.subnets);
	kist_strv_free(config.labels);
	return r;
}

const struct kist_command kist_command_network_create = {
	.name = "create",
	.parent = "network",
	.synopsis = "[options] [NAME]",
	.summary = "Create a network",
	.description =
	        "Creates a network and prints its name. Its bridge is made with the first container. Without --subnet "
	        "a free one is chosen, from 10.89.0.0/24 upward, that neither the host nor another network uses.",
	.examples = (const char *const[]){ "network create front",
	                                   "network create --subnet 192.168.7.0/24 --gateway 192.168.7.1 back",
	                                   "network create --driver macvlan --opt parent=eth0 --subnet 10.0.0.0/24 lan",
	                                   NULL },
	.options = (const struct kist_option_set[]){ { create_rows, 0 }, { 0 } },
	.options_size = sizeof(struct create_options),
	.max_args = 1,
	.needs = KIST_NEEDS_STORE,
	.run = create_run,
};

/* --- rm, prune ------------------------------------------------------------------------------------------------------
 */

struct rm_options {
	bool force;
	struct kist_opt time;
	char **filter;
};

static const struct kist_option rm_rows[] = {
	KIST_OPTION(struct rm_options, FLAG, force, "force", 'f',
	            .help = "Remove the containers that use it first; a missing network is no error"),
	KIST_OPTION(struct rm_options, OPT_I64, time, "time", 't', .metavar = "seconds",
	            .help = "With --force: time between the stop signal and SIGKILL"),
	{ 0 },
};

/* podman-network-rm(1): 1 when a network was missing, 2 when one was in use, 125 otherwise. */
static int rm_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct rm_options *o = options;
	int missing = 0, in_use = 0, other = 0, r = 0;

	for (int i = 1; r == 0 && i < argc; i++) {
		struct kist_error problem = { 0 };
		if (kist_network_remove(cli->k, argv[i], o->force ? KIST_REMOVE_FORCE : 0,
		                        o->time.set ? o->time.value : -1, &problem) == 0) {
			r = print_name(argv[i], err);
			continue;
		}
		if (problem.kind == KIST_ERR_NOT_FOUND && o->force)
			continue;
		missing += problem.kind == KIST_ERR_NOT_FOUND;
		in_use += problem.kind == KIST_ERR_IN_USE;
		other += problem.kind != KIST_ERR_NOT_FOUND && problem.kind != KIST_ERR_IN_USE;
		kist_complain(cli->program, &problem);
	}
	if (r < 0)
		return r;
	return other ? KIST_EXIT_ENGINE : in_use ? 2 : missing ? 1 : 0;
}

const struct kist_command kist_command_network_rm = {
	.name = "rm",
	.parent = "network",
	.aliases = (const struct kist_command_alias[]){ { NULL, "remove" }, { 0 } },
	.synopsis = "[options] NETWORK [NETWORK...]",
	.summary = "Remove networks",
	.description = "Exit code 1: a network did not exist; 2: one is in use by containers.",
	.examples = (const char *const[]){ "network rm front", NULL },
	.options = (const struct kist_option_set[]){ { rm_rows, 0 }, { 0 } },
	.options_size = sizeof(struct rm_options),
	.min_args = 1,
	.max_args = -1,
	.completes_first = KIST_COMPLETE_NETWORK,
	.completes_rest = KIST_COMPLETE_NETWORK,
	.needs = KIST_NEEDS_STORE,
	.run = rm_run,
};

static const struct kist_option prune_rows[] = {
	KIST_OPTION(struct rm_options, LIST, filter, "filter", 0, .metavar = "key=value",
	            .help = "Remove the unused networks that match: driver, id, label, name, until"),
	KIST_OPTION(struct rm_options, FLAG, force, "force", 'f', .help = "Do not ask"),
	{ 0 },
};

static bool confirmed(void)
{
	char line[16];

	fprintf(stderr, "WARNING! This will remove all networks not used by at least one container.\n"
	                "Are you sure you want to continue? [y/N] ");
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int prune_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct rm_options *o = options;
	struct json_object **documents = NULL;
	size_t n = 0;
	int code = 0;

	(void)argc;
	(void)argv;
	int r = cli_networks_select(cli, o->filter, &documents, &n, err);
	bool go = r == 0 && (o->force || confirmed());
	for (size_t i = 0; i < n; i++) {
		const char *name = json_object_get_string(json_object_object_get(documents[i], "name"));
		struct kist_error problem = { 0 };
		if (!go || r < 0 || kist_streq(name, KIST_DEFAULT_NETWORK))
			continue;
		if (kist_network_remove(cli->k, name, 0, 0, &problem) == 0) {
			r = print_name(name, err);
		} else if (problem.kind != KIST_ERR_IN_USE && problem.kind != KIST_ERR_NOT_FOUND) {
			kist_complain(cli->program, &problem);
			code = KIST_EXIT_ENGINE;
		}
	}
	for (size_t i = 0; i < n; i++)
		json_object_put(documents[i]);
	free(documents);
	return r < 0 ? r : code;
}

const struct kist_command kist_command_network_prune = {
	.name = "prune",
	.parent = "network",
	.synopsis = "[options]",
	.summary = "Remove the networks that no container uses",
	.examples = (const char *const[]){ "network prune --force", NULL },
	.options = (const struct kist_option_set[]){ { prune_rows, 0 }, { 0 } },
	.options_size = sizeof(struct rm_options),
	.needs = KIST_NEEDS_STORE,
	.run = prune_run,
};

/* --- exists ---------------------------------------------------------------------------------------------------------
 */

static int exists_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	KIST_FREE char *name = NULL;

	(void)options;
	(void)argc;
	return kist_cli_exists(kist_network_find(cli->k, argv[1], &name, err), err);
}

const struct kist_command kist_command_network_exists = {
	.name = "exists",
	.parent = "network",
	.synopsis = "NETWORK",
	.summary = "Whether a network is there",
	.description = "Exit code 0: it is there; 1: it is not; 125: another failure. Prints nothing.",
	.examples = (const char *const[]){ "network exists front || kist network create front", NULL },
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_NETWORK,
	.needs = KIST_NEEDS_STORE,
	.run = exists_run,
};

/* --- connect, disconnect --------------------------------------------------------------------------------------------
 */

struct connect_options {
	const char *ip, *ip6, *mac;
	char **aliases;
	bool force;
};

static const struct kist_option connect_rows[] = {
	KIST_OPTION(struct connect_options, LIST, aliases, "alias", 0, .metavar = "name",
	            .help = "Add a name on that network"),
	KIST_OPTION(struct connect_options, STRING, ip, "ip", 0, .metavar = "address", .help = "IPv4 address"),
	KIST_OPTION(struct connect_options, STRING, ip6, "ip6", 0, .metavar = "address", .help = "IPv6 address"),
	KIST_OPTION(struct connect_options, STRING, mac, "mac-address", 0, .metavar = "address",
	            .help = "Hardware address"),
	{ 0 },
};

static int connect_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct connect_options *o = options;
	struct kist_network_config place = {
		.name = argv[1],
		.ip = (char *)o->ip,
		.ip6 = (char *)o->ip6,
		.mac = (char *)o->mac,
		.aliases = o->aliases,
	};
	struct kist_container *c = NULL;

	(void)argc;
	int r = kist_container_open(cli->k, argv[2], &c, err);
	if (r == 0)
		r = kist_container_connect(c, &place, err);
	kist_container_free(c);
	return r;
}

const struct kist_command kist_command_network_connect = {
	.name = "connect",
	.parent = "network",
	.synopsis = "[options] NETWORK CONTAINER",
	.summary = "Connect a container to a network",
	.description = "A container that runs gets the link at once.",
	.examples = (const char *const[]){ "network connect --alias db back web", NULL },
	.options = (const struct kist_option_set[]){ { connect_rows, 0 }, { 0 } },
	.options_size = sizeof(struct connect_options),
	.min_args = 2,
	.max_args = 2,
	.completes_first = KIST_COMPLETE_NETWORK,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = connect_run,
};

static const struct kist_option disconnect_rows[] = {
	KIST_OPTION(struct connect_options, FLAG, force, "force", 'f',
	            .help = "A container that is not there is no error"),
	{ 0 },
};

static int disconnect_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct connect_options *o = options;
	struct kist_error problem = { 0 };
	struct kist_container *c = NULL;

	(void)argc;
	int r = kist_container_open(cli->k, argv[2], &c, &problem);
	if (r == 0)
		r = kist_container_disconnect(c, argv[1], &problem);
	kist_container_free(c);
	if (r < 0 && o->force && problem.kind == KIST_ERR_NOT_FOUND)
		return 0;
	if (r < 0)
		*err = problem;
	return r;
}

const struct kist_command kist_command_network_disconnect = {
	.name = "disconnect",
	.parent = "network",
	.synopsis = "[options] NETWORK CONTAINER",
	.summary = "Disconnect a container from a network",
	.examples = (const char *const[]){ "network disconnect back web", NULL },
	.options = (const struct kist_option_set[]){ { disconnect_rows, 0 }, { 0 } },
	.options_size = sizeof(struct connect_options),
	.min_args = 2,
	.max_args = 2,
	.completes_first = KIST_COMPLETE_NETWORK,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = disconnect_run,
};

/* --- reload ---------------------------------------------------------------------------------------------------------
 */

struct reload_options {
	bool all, latest;
};

static const struct kist_option reload_rows[] = {
	KIST_OPTION(struct reload_options, FLAG, all, "all", 'a', .help = "Every container that runs"),
	KIST_OPTION(struct reload_options, FLAG, latest, "latest", 'l', .help = "The container created last"),
	{ 0 },
};

static int reload_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	(void)cli;
	(void)arg;
	return kist_container_reload_network(c, err);
}

static int reload_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct reload_options *o = options;
	const struct kist_cli_targets targets = { .all = o->all,
		                                  .latest = o->latest,
		                                  .status_mask = 1u << KIST_RUNNING | 1u << KIST_CREATED };

	return kist_cli_each(cli, &targets, argc, argv, reload_one, NULL, err);
}

static int reload_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct reload_options *o = options;

	(void)argv;
	return kist_cli_check_targets(o->all, o->latest, argc, err);
}

const struct kist_command kist_command_network_reload = {
	.name = "reload",
	.parent = "network",
	.synopsis = "[options] [CONTAINER...]",
	.summary = "Make the network of containers anew",
	.description = "For containers whose rules a firewall flushed or whose links were taken away. What is right is "
	               "left as "
	               "it is.",
	.examples = (const char *const[]){ "network reload --all", NULL },
	.options = (const struct kist_option_set[]){ { reload_rows, 0 }, { 0 } },
	.options_size = sizeof(struct reload_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.completes_rest = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.check = reload_check,
	.run = reload_run,
};

/* --- update ---------------------------------------------------------------------------------------------------------
 */

struct update_options {
	char **add, **drop;
};

static const struct kist_option update_rows[] = {
	KIST_OPTION(struct update_options, COMMAS, add, "dns-add", 0, .metavar = "address", .help = "Add a DNS server"),
	KIST_OPTION(struct update_options, COMMAS, drop, "dns-drop", 0, .metavar = "address",
	            .help = "Take a DNS server away"),
	{ 0 },
};

static int update_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct update_options *o = options;

	(void)argc;
	int r = kist_network_update(cli->k, argv[1], o->add, o->drop, err);
	return r < 0 ? r : print_name(argv[1], err);
}

const struct kist_command kist_command_network_update = {
	.name = "update",
	.parent = "network",
	.synopsis = "[options] NETWORK",
	.summary = "Change the DNS servers of a network",
	.examples = (const char *const[]){ "network update --dns-add 9.9.9.9 front", NULL },
	.options = (const struct kist_option_set[]){ { update_rows, 0 }, { 0 } },
	.options_size = sizeof(struct update_options),
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_NETWORK,
	.needs = KIST_NEEDS_STORE,
	.run = update_run,
};
