/* kist top, kist port. */
#include "cli/columns.h"
#include "cli/view_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

struct top_options {
	bool latest;
};

static const struct kist_option top_rows[] = {
	KIST_OPTION(struct top_options, FLAG, latest, "latest", 'l', .help = "Of the container created last"),
	{ 0 },
};

static int top_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct top_options *o = options;

	(void)argv;
	return kist_cli_check_one(o->latest, argc, -1, err);
}

static int top_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct top_options *o = options;
	KIST_COLUMNS struct kist_columns columns = { 0 };
	KIST_STR struct kist_str out = { 0 };
	KIST_JSON struct json_object *table = NULL;
	struct kist_container *c = NULL;

	(void)argc;
	int r = kist_cli_open(cli, o->latest, argv[1], &c, err);
	if (r == 0)
		r = kist_container_top(c, argv + (o->latest ? 1 : 2), &table, err);
	kist_container_free(c);
	for (size_t i = 0; r == 0 && i < json_object_array_length(table); i++) {
		struct json_object *row = json_object_array_get_idx(table, i);
		for (size_t j = 0; j < json_object_array_length(row); j++)
			kist_columns_cell(&columns, json_object_get_string(json_object_array_get_idx(row, j)));
		kist_columns_end(&columns);
	}
	if (r < 0)
		return r;
	kist_columns_print(&columns, &out);
	return kist_cli_print(&out, err);
}

const struct kist_command kist_command_top = {
	.name = "top",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [COLUMN...]",
	.summary = "Show the processes of a container",
	.description = "Reads /proc of the host: nothing is run in the container, and it needs no ps(1). Columns are "
	               "args, capamb, capbnd,\n"
	               "capeff, capinh, capprm, comm, etime, group, groups, hgroup, hgroups, hpid, huser, label, nice, "
	               "pcpu, pgid, pid,\n"
	               "ppid, rgroup, rss, ruser, seccomp, state, stime, time, tty, user and vsz; names that begin "
	               "with h are the host's.",
	.examples = (const char *const[]){ "top web", "top web pid,hpid,user,args", NULL },
	.options = (const struct kist_option_set[]){ { top_rows, 0 }, { 0 } },
	.options_size = sizeof(struct top_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.run = top_run,
	.check = top_check,
};

/* --- port -----------------------------------------------------------------------------------------------------------
 */

struct port_options {
	bool all, latest;
};

static const struct kist_option port_rows[] = {
	KIST_OPTION(struct port_options, FLAG, all, "all", 'a', .help = "Of all containers"),
	KIST_OPTION(struct port_options, FLAG, latest, "latest", 'l', .help = "Of the container created last"),
	{ 0 },
};

static int port_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct port_options *o = options;

	(void)argv;
	if (o->all && (o->latest || argc > 1))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--all excludes --latest and names");
	return o->all ? 0 : kist_cli_check_one(o->latest, argc, 1, err);
}

static void add_port(struct kist_str *out, const struct kist_port_state *port, uint32_t n, bool bare, const char *id)
{
	bool v6 = strchr(port->host_ip, ':') != NULL;

	if (!bare)
		kist_str_addf(out, "%s%s%u/%s -> ", id ? id : "", id ? "\t" : "", port->container_port + n,
		              port->protocol);
	kist_str_addf(out, "%s%s%s:%u\n", v6 ? "[" : "", port->host_ip, v6 ? "]" : "", port->host_port + n);
}

/* wanted: "80" or "80/tcp"; NULL: all. Returns how many there are. */
static size_t add_ports(struct kist_str *out, const struct kist_container *c, const char *wanted, bool with_id)
{
	/* A member of a pod has the ports of the pod. */
	struct kist_container *owner = kist_container_network_owner(c);
	const struct kist_container_state *state = kist_container_state(owner ? owner : c);
	size_t found = 0;
	char id[13];

	snprintf(id, sizeof(id), "%.12s", kist_container_id(c));
	for (size_t i = 0; i < state->n_ports; i++) {
		const struct kist_port_state *port = &state->ports[i];
		for (uint32_t n = 0; !port->implied && n < port->count; n++) {
			KIST_FREE char *key = kist_asprintf("%u/%s", port->container_port + n, port->protocol);
			bool bare = wanted && !strchr(wanted, '/') && kist_streq(port->protocol, "tcp");
			if (wanted && !kist_streq(wanted, key) &&
			    !(bare && kist_has_prefix(key, wanted) && key[strlen(wanted)] == '/'))
				continue;
			found++;
			add_port(out, port, n, wanted, with_id ? id : NULL);
		}
	}
	kist_container_free(owner);
	return found;
}

static int port_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct port_options *o = options;
	KIST_STR struct kist_str out = { 0 };
	struct kist_container **list = NULL;
	struct kist_container *c = NULL;
	int wanted = o->latest ? 1 : 2;
	size_t n = 0;

	if (o->all) {
		int all = kist_container_list(cli->k, &list, &n, NULL, err);
		for (size_t i = 0; all == 0 && i < n; i++)
			add_ports(&out, list[i], NULL, true);
		kist_container_list_free(list, n);
		return all < 0 ? all : kist_cli_print(&out, err);
	}
	int r = kist_cli_open(cli, o->latest, argv[1], &c, err);
	if (r == 0 && add_ports(&out, c, argc > wanted ? argv[wanted] : NULL, false) == 0 && argc > wanted)
		r = kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "container %s does not publish port %s",
		              kist_container_name(c), argv[wanted]);
	kist_container_free(c);
	return r < 0 ? r : kist_cli_print(&out, err);
}

const struct kist_command kist_command_port = {
	.name = "port",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [PORT]",
	.summary = "Show the published ports of a container",
	.description =
	        "Where each published port of a running container, or of the pod or container whose network it shares, "
	        "is on the host.",
	.examples = (const char *const[]){ "port web", NULL },
	.options = (const struct kist_option_set[]){ { port_rows, 0 }, { 0 } },
	.options_size = sizeof(struct port_options),
	.max_args = 2,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = port_run,
	.check = port_check,
};
