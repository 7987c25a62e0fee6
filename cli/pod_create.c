/* kist pod create, and the pod of run and create: --pod, --pod-id-file. */
#include "cli/pod_commands.h"
#include "cli/volume_commands.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEW_PREFIX "new:"

#define OWN(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct pod_create_options, type, member, name, letter, ##__VA_ARGS__)
#define OPT(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct pod_create_options, type, create.member, name, letter, ##__VA_ARGS__)

static const struct kist_option create_rows[] = {
	OWN(CHOICE, exit_policy, "exit-policy", 0, .metavar = "policy", .fallback = "continue",
	    .choices = (const char *const[]){ "continue", "stop", NULL },
	    .help = "When the last container has ended: continue with the infra container alone, or stop"),
	OWN(OPT_BOOL, infra, "infra", 0, .help = "Make an infra container that holds the namespaces (default true)"),
	OWN(STRING, infra_conmon_pidfile, "infra-conmon-pidfile", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,
	    .help = "Write the process id of the infra container's monitor to a file"),
	OWN(STRING, infra_name, "infra-name", 0, .metavar = "name", .help = "Name of the infra container"),
	OPT(STRING, name, "name", 'n', .metavar = "name", .help = "Name of the pod; empty: one is generated"),
	OWN(STRING, id_file, "pod-id-file", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,
	    .help = "Write the pod's id to a new file"),
	OWN(STRING, share, "share", 0, .metavar = "namespaces",
	    .help = "Namespaces to share: cgroup, ipc, net, pid, user, uts or none; with + or - in front, more or "
	            "fewer "
	            "than ipc,net,uts"),
	OWN(FLAG, share_parent, "share-parent", 0, .fallback = "true",
	    .help = "Put the containers' cgroups into the pod's"),
	KIST_OPTION_REFUSED("infra-command", POD_INFRA_REASON),
	KIST_OPTION_REFUSED("infra-image", POD_INFRA_REASON),
	{ 0 },
};

static void set(char **to, const char *value)
{
	free(*to);
	*to = kist_strdup(value);
}

/* --- what is shared -------------------------------------------------------------------------------------------------
 */

static void drop(char ***list, const char *name)
{
	char **kept = NULL;

	for (size_t i = 0; *list && (*list)[i]; i++)
		if (!kist_streq((*list)[i], name))
			kist_strv_add(&kept, (*list)[i]);
	kist_strv_free(*list);
	*list = kept;
}

static int parse_share(const char *text, char ***share, struct kist_error *err)
{
	static const char *const usual[] = { "ipc", "net", "uts" };
	char sign = text && (*text == '+' || *text == '-') ? *text : '\0';
	KIST_STRV char **names = text ? kist_strv_split(text + (sign ? 1 : 0), ',') : NULL;

	for (size_t i = 0; (!text || sign) && i < KIST_COUNT(usual); i++)
		kist_strv_add(share, usual[i]);
	for (size_t i = 0; names && names[i]; i++) {
		if (kist_streq(names[i], "none") || !*names[i]) {
			if (sign || names[1])
				return kist_fail(err, KIST_ERR_INVALID, 0, "share '%s': none stands alone", text);
			return 0;
		}
		drop(share, names[i]);
		if (sign != '-')
			kist_strv_add(share, names[i]);
	}
	return 0;
}

int pod_check_no_infra(const struct pod_create_options *own, struct kist_error *err)
{
	const struct create_options *o = &own->create;
	const struct {
		const char *name;
		bool given;
	} options[] = {
		{ "add-host", o->add_host },
		{ "device", o->device },
		{ "dns", o->dns },
		{ "dns-option", o->dns_option },
		{ "dns-search", o->dns_search },
		{ "gidmap", o->gidmap },
		{ "hostname", o->hostname },
		{ "hosts-file", o->hosts_file },
		{ "infra-conmon-pidfile", own->infra_conmon_pidfile },
		{ "infra-name", own->infra_name },
		{ "ip", o->ip },
		{ "ip6", o->ip6 },
		{ "mac-address", o->mac_address },
		{ "network", o->network },
		{ "network-alias", o->network_alias },
		{ "no-hosts", o->no_hosts },
		{ "pid", o->pid },
		{ "publish", o->publish },
		{ "security-opt", o->security_opt },
		{ "shm-size", o->shm_size.set },
		{ "subgidname", o->subgidname },
		{ "subuidname", o->subuidname },
		{ "sysctl", o->sysctl },
		{ "uidmap", o->uidmap },
		{ "userns", o->userns },
		{ "uts", o->uts },
		{ "volume", o->volume },
		{ "volumes-from", o->volumes_from },
	};

	for (size_t i = 0; i < KIST_COUNT(options); i++)
		if (options[i].given)
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "--%s needs an infra container, which this pod does not have",
			                 options[i].name);
	return 0;
}

int pod_check_shared(const struct create_options *o, char *const *share, struct kist_error *err)
{
	const struct {
		const char *name, *ns;
		bool given;
	} options[] = {
		{ "hostname", "uts", o->hostname },
		{ "ip", "net", o->ip },
		{ "ip6", "net", o->ip6 },
		{ "mac-address", "net", o->mac_address },
		{ "network", "net", o->network },
		{ "network-alias", "net", o->network_alias },
		{ "pid", "pid", o->pid },
		{ "publish", "net", o->publish },
		{ "shm-size", "ipc", o->shm_size.set },
		{ "uts", "uts", o->uts },
	};

	for (size_t i = 0; i < KIST_COUNT(options); i++)
		if (options[i].given && !kist_strv_has(share, options[i].ns)) {
			kist_fail(err, KIST_ERR_INVALID, 0, "--%s is of the %s namespace, which the pod does not share",
			          options[i].name, options[i].ns);
			return kist_remedy(err, "add it with --share");
		}
	return 0;
}

bool pod_has_userns(const struct create_options *o)
{
	return o->uidmap || o->gidmap || o->subuidname || o->subgidname ||
	       (o->userns && !kist_streq(o->userns, "host"));
}

static int set_share(const struct pod_create_options *own, struct kist_pod_config *config, struct kist_error *err)
{
	const struct create_options *o = &own->create;
	bool no_infra = own->infra.set && !own->infra.value;
	KIST_STRV char **share = NULL;

	if (no_infra && kist_empty(own->share))
		config->infra = false;
	else if (no_infra && !kist_streq(own->share, "none"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "namespaces cannot be shared without an infra container");
	int r = no_infra ? 0 : parse_share(own->share, &share, err);
	if (r < 0)
		return r;
	if (pod_has_userns(o) && !no_infra && !kist_strv_has(share, "user"))
		kist_strv_add(&share, "user");
	if (o->pid && !no_infra && !own->share && !kist_strv_has(share, "pid"))
		kist_strv_add(&share, "pid");
	/* Without anything to hold there is none, unless it is asked for. */
	config->infra = share || (own->infra.set && own->infra.value);
	r = config->infra ? pod_check_shared(o, share, err) : pod_check_no_infra(own, err);
	if (r == 0)
		config->share = kist_steal(&share);
	return r;
}

/* --- making ---------------------------------------------------------------------------------------------------------
 */

char *pod_absolute(const char *path)
{
	KIST_FREE char *here = path && path[0] != '/' ? getcwd(NULL, 0) : NULL;

	return path ? kist_asprintf("%s%s%s", here ? here : "", here ? "/" : "", path) : NULL;
}

static int set_infra(struct kist_cli *cli, const struct pod_create_options *own, struct kist_pod_config *pod,
                     struct kist_container_config *config, struct kist_error *err)
{
	struct create_options o = own->create;
	const struct kist_settings *settings = kist_settings(cli->k);

	config->shm_size = o.shm_size.set ? (uint64_t)o.shm_size.value : settings->shm_size;
	config->add_hosts = kist_strv_copy(o.add_host);
	config->no_hosts = o.no_hosts;
	set(&config->log_driver, "none");
	config->conmon_pidfile = pod_absolute(own->infra_conmon_pidfile);
	set(&config->cgroup_parent, settings->cgroup_parent);
	o.cgroupns = NULL;
	int r = create_namespaces(cli, &o, config, err);
	/* A network of its own that nobody shares is none. */
	if (r == 0 && kist_strv_has(pod->share, "net"))
		r = create_network(cli, &o, NULL, config, err);
	if (r == 0)
		r = create_mounts(cli, &o, NULL, config, err);
	for (size_t i = 0; r == 0 && o.volumes_from && o.volumes_from[i]; i++)
		kist_strv_add(&pod->volumes_from, o.volumes_from[i]);
	return r < 0 ? r : create_security(&o, config, err);
}

static int set_limits(struct kist_cli *cli, const struct create_options *options, struct kist_pod_config *config,
                      struct kist_error *err)
{
	struct kist_container_config limits;
	struct create_options o = *options;

	/* The number of processes is limited in each container. */
	o.pids_limit = (struct kist_opt){ 0 };
	o.cgroups = "enabled";
	kist_container_config_init(&limits);
	int r = create_limits(cli, &o, &limits, err);
	if (r == 0 && limits.resources && limits.pids_limit_default)
		limits.resources->pids_limit = (struct kist_opt){ 0 };
	bool any = o.memory.set || o.memory_swap.set || o.cpus.set || o.cpu_shares.set || o.cpuset_cpus ||
	           o.cpuset_mems || o.blkio_weight.set || o.blkio_weight_device || o.read_bps || o.write_bps;
	if (r == 0 && any)
		config->resources = kist_steal(&limits.resources);
	kist_container_config_clear(&limits);
	return r;
}

static int replace_old(struct kist_cli *cli, const char *name, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	struct kist_pod *old = NULL;

	int r = kist_pod_open(cli->k, name, &old, &problem);
	if (r < 0 && problem.kind == KIST_ERR_NOT_FOUND)
		return 0;
	if (r == 0 && kist_streq(kist_pod_name(old), name))
		r = kist_pod_remove(old, KIST_REMOVE_FORCE, -1, &problem);
	kist_pod_free(old);
	if (r < 0 && err)
		*err = problem;
	return r;
}

static int make(struct kist_cli *cli, const struct pod_create_options *own, struct kist_pod **out,
                struct kist_error *err)
{
	const struct create_options *o = &own->create;
	struct kist_container_config infra;
	struct kist_pod_config config;

	kist_pod_config_init(&config);
	kist_container_config_init(&infra);
	set(&config.name, kist_empty(o->name) ? NULL : o->name);
	set(&config.hostname, o->hostname);
	set(&config.exit_policy, own->exit_policy);
	set(&config.infra_name, own->infra_name);
	set(&config.cgroup_parent, o->cgroup_parent ? o->cgroup_parent : kist_settings(cli->k)->cgroup_parent);
	config.share_parent = own->share_parent;
	for (size_t i = 0; cli->argv && cli->argv[i]; i++)
		kist_strv_add(&config.create_command, cli->argv[i]);
	int r = o->restart ? kist_restart_parse(o->restart, &config.restart_policy, &config.restart_retries, err) : 0;
	if (r == 0)
		r = set_share(own, &config, err);
	if (r == 0)
		r = create_labels(o, &config.labels, err);
	if (r == 0)
		r = set_limits(cli, o, &config, err);
	if (r == 0 && config.infra)
		r = set_infra(cli, own, &config, &infra, err);
	if (r == 0 && o->replace)
		r = replace_old(cli, o->name, err);
	if (r == 0)
		r = kist_pod_create(cli->k, &config, &infra, out, err);
	kist_pod_config_clear(&config);
	kist_container_config_clear(&infra);
	return r;
}

static int make_with_file(struct kist_cli *cli, const struct pod_create_options *own, struct kist_pod **out,
                          struct kist_error *err)
{
	/* Two pods must not share one. */
	KIST_CLOSE int file = own->id_file ? open(own->id_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;

	if (own->id_file && file < 0)
		return kist_fail_errno(err, errno, "make pod id file %s", own->id_file);
	int r = make(cli, own, out, err);
	if (r == 0 && file >= 0) {
		r = kist_write_all(file, kist_pod_id(*out), 64);
		if (r < 0) {
			kist_pod_remove(*out, KIST_REMOVE_FORCE, 0, NULL);
			kist_pod_free(*out);
			*out = NULL;
			r = kist_fail_errno(err, -r, "write pod id file %s", own->id_file);
		}
	}
	if (r < 0 && file >= 0)
		unlink(own->id_file);
	return r;
}

static int create_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct pod_create_options *own = options;
	struct kist_pod *pod = NULL;

	if (argc > 1 && own->create.name)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the name is given twice");
	if (argc > 1)
		own->create.name = argv[1];
	if (own->create.replace && kist_empty(own->create.name))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--replace needs a name");
	int r = make_with_file(cli, own, &pod, err);
	if (r < 0)
		return r;
	printf("%s\n", kist_pod_id(pod));
	kist_pod_free(pod);
	return 0;
}

const struct kist_command kist_command_pod_create = {
	.name = "create",
	.parent = "pod",
	.synopsis = "[options] [NAME]",
	.summary = "Create a pod",
	.description =
	        "Creates a pod and prints its id. 'kist create --pod' and 'kist run --pod' put containers into it.",
	.examples = (const char *const[]){ "pod create --name web -p 8080:80",
	                                   "pod create --share +pid --memory 256m db", NULL },
	.options =
	        (const struct kist_option_set[]){ { create_rows, 0 },
	                                          { create_shared_rows, offsetof(struct pod_create_options, create) },
	                                          { create_cloned_rows, offsetof(struct pod_create_options, create) },
	                                          { create_limit_rows, offsetof(struct pod_create_options, create) },
	                                          { 0 } },
	.options_size = sizeof(struct pod_create_options),
	.max_args = 1,
	.needs = KIST_NEEDS_STORE,
	.run = create_run,
};

/* --- run --pod ------------------------------------------------------------------------------------------------------
 */

/* What belongs to the pod's network is the pod's from the beginning. */
static int make_new(struct kist_cli *cli, struct create_options *o, struct kist_pod **out, struct kist_error *err)
{
	struct pod_create_options own = { .exit_policy = "continue", .share_parent = true };
	struct create_options *pod = &own.create;
	const char *name = o->pod + strlen(NEW_PREFIX);

	pod->name = *name ? name : NULL;
	pod->cgroup_parent = o->cgroup_parent;
	pod->image_volume = o->image_volume;
	pod->cgroups = o->cgroups;
	pod->network = kist_steal(&o->network);
	pod->network_alias = kist_steal(&o->network_alias);
	pod->publish = kist_steal(&o->publish);
	pod->dns = kist_steal(&o->dns);
	pod->dns_search = kist_steal(&o->dns_search);
	pod->dns_option = kist_steal(&o->dns_option);
	pod->add_host = kist_steal(&o->add_host);
	pod->ip = kist_steal(&o->ip);
	pod->ip6 = kist_steal(&o->ip6);
	pod->mac_address = kist_steal(&o->mac_address);
	pod->hostname = kist_steal(&o->hostname);
	pod->hosts_file = kist_steal(&o->hosts_file);
	pod->no_hosts = o->no_hosts;
	o->no_hosts = false;
	o->cgroup_parent = NULL;
	return make(cli, &own, out, err);
}

int create_pod(struct kist_cli *cli, struct create_options *o, struct kist_pod **out, bool *made,
               struct kist_error *err)
{
	KIST_FREE char *id = NULL;
	int r = 0;

	*made = false;
	if (!o->pod && !o->pod_id_file) {
		if (o->init_ctr)
			return kist_fail(err, KIST_ERR_INVALID, 0, "--init-ctr needs --pod");
		return 0;
	}
	if (o->pod && o->pod_id_file)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--pod and --pod-id-file exclude each other");
	if (o->pod && kist_has_prefix(o->pod, NEW_PREFIX)) {
		r = make_new(cli, o, out, err);
		*made = r == 0;
		return r;
	}
	if (o->pod_id_file)
		r = cli_pod_id_read(o->pod_id_file, &id, err);
	return r < 0 ? r : kist_pod_open(cli->k, id ? id : o->pod, out, err);
}

int create_pod_check(const struct create_options *o, const struct kist_pod *pod, struct kist_error *err)
{
	const struct {
		const char *name, *ns;
		bool given;
	} options[] = {
		{ "publish", "net", o->publish },
		{ "publish-all", "net", o->publish_all },
		{ "ip", "net", o->ip },
		{ "ip6", "net", o->ip6 },
		{ "mac-address", "net", o->mac_address },
		{ "network-alias", "net", o->network_alias },
		{ "dns", "net", o->dns },
		{ "dns-search", "net", o->dns_search },
		{ "dns-option", "net", o->dns_option },
		{ "add-host", "net", o->add_host },
		{ "hosts-file", "net", o->hosts_file },
		{ "hostname", "uts", o->hostname && !o->uts },
		{ "network", "net", o->network && !kist_streq(o->network[0], "pod") },
	};

	for (size_t i = 0; i < KIST_COUNT(options); i++)
		if (options[i].given && kist_pod_shares(pod, options[i].ns)) {
			kist_fail(
			        err, KIST_ERR_INVALID, 0,
			        "--%s: pod %s shares its %s namespace with its containers, which cannot have their own",
			        options[i].name, kist_pod_name(pod), options[i].ns);
			return kist_remedy(err, "give it to 'kist pod create'");
		}
	return 0;
}
