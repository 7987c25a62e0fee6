/* What users see of a pod: podman's documents. */
#include "core/pod.h"
#include "core/view.h"

#include "core/base/clock.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static struct json_object *flag(bool value)
{
	return json_object_new_boolean(value);
}

static struct kist_container *infra_of(struct kist_container *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i]->config.infra)
			return list[i];
	return NULL;
}

static const char *state_of(const struct kist_container *c)
{
	return kist_status_shown((enum kist_status)c->state.status);
}

static struct json_object *cgroup_path(const struct kist_pod *pod)
{
	KIST_FREE char *path = kist_pod_cgroup_path(pod);

	return view_text(pod->config.share_parent ? path : NULL);
}

/* --- inspect --------------------------------------------------------------------------------------------------------
 */

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

/* As Go leaves out what is empty. */
static bool is_empty(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_null:
		return true;
	case json_type_boolean:
		return !json_object_get_boolean(value);
	case json_type_int:
		return json_object_get_int64(value) == 0;
	case json_type_string:
		return json_object_get_string_len(value) == 0;
	case json_type_array:
		return json_object_array_length(value) == 0;
	case json_type_object:
		return json_object_object_length(value) == 0;
	default:
		return false;
	}
}

static void add(struct json_object *document, const char *key, struct json_object *value)
{
	if (is_empty(value))
		json_object_put(value);
	else
		json_object_object_add(document, key, value);
}

/* The limits are the pod's, the rest is the infra container's: its HostConfig has them under docker's names. */
static void add_limits(struct json_object *document, const struct kist_pod *pod, struct kist_container *infra,
                       const struct view *view)
{
	static const char *const keys[][2] = {
		{ "cpu_period", "CpuPeriod" },
		{ "cpu_quota", "CpuQuota" },
		{ "cpu_shares", "CpuShares" },
		{ "cpuset_cpus", "CpusetCpus" },
		{ "cpuset_mems", "CpusetMems" },
		{ "devices", "Devices" },
		{ "device_read_bps", "BlkioDeviceReadBps" },
		{ "device_write_bps", "BlkioDeviceWriteBps" },
		{ "security_opt", "SecurityOpt" },
		{ "memory_limit", "Memory" },
		{ "memory_swap", "MemorySwap" },
		{ "blkio_weight", "BlkioWeight" },
		{ "blkio_weight_device", "BlkioWeightDevice" },
	};
	KIST_JSON struct json_object *host = view_object(view, view_host_rows);

	add(document, "mounts", infra ? view_mounts(view) : NULL);
	add(document, "volumes_from", view_list(pod->config.volumes_from));
	for (size_t i = 0; i < KIST_COUNT(keys); i++)
		add(document, keys[i][0], json_object_get(member(host, keys[i][1])));
}

static struct json_object *static_ip(const struct kist_container_config *config)
{
	return view_text(config->n_networks == 1 ? config->networks[0].ip : NULL);
}

static struct json_object *infra_config(const struct view *view)
{
	const struct kist_container_config *config = view->config;
	struct json_object *document = json_object_new_object();
	const struct {
		const char *key;
		struct json_object *value;
	} items[] = {
		{ "PortBindings", view_port_bindings(view) },
		{ "HostNetwork", flag(kist_streq(config->net_ns, "host")) },
		{ "StaticIP", static_ip(config) },
		{ "StaticMAC", view_text(config->n_networks == 1 ? config->networks[0].mac : NULL) },
		{ "NoManageResolvConf",
		  flag(config->no_resolv || (config->dns_servers && kist_streq(config->dns_servers[0], "none"))) },
		{ "DNSServer", config->dns_servers ? view_list(config->dns_servers) : NULL },
		{ "DNSSearch", config->dns_search ? view_list(config->dns_search) : NULL },
		{ "DNSOption", config->dns_options ? view_list(config->dns_options) : NULL },
		{ "NoManageHosts", flag(config->no_hosts) },
		{ "HostAdd", config->add_hosts ? view_list(config->add_hosts) : NULL },
		{ "Networks", view_network_names(config) },
		{ "NetworkOptions", NULL },
		{ "pid_ns", view_text(config->pid_ns) },
		{ "userns", view_text(config->user_ns) },
		{ "uts_ns", view_text(config->uts_ns) },
	};

	for (size_t i = 0; i < KIST_COUNT(items); i++)
		json_object_object_add(document, items[i].key, items[i].value);
	return document;
}

static struct json_object *containers_list(struct kist_container *const *list, size_t n)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		struct json_object *item = json_object_new_object();
		json_object_object_add(item, "Id", view_text(list[i]->config.id));
		json_object_object_add(item, "Name", view_text(list[i]->config.name));
		json_object_object_add(item, "State", view_text(state_of(list[i])));
		json_object_array_add(array, item);
	}
	return array;
}

int kist_pod_inspect(struct kist_pod *pod, struct json_object **out, struct kist_error *err)
{
	const struct kist_pod_config *config = &pod->config;
	struct kist_container **list = NULL;
	struct kist_container_config shown;
	size_t n = 0;

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0)
		return r;
	struct kist_container *infra = infra_of(list, n);
	kist_container_config_init(&shown);
	if (infra) {
		kist_container_config_clear(&shown);
		kist_table_copy(&kist_container_config_table, &shown, &infra->config);
	}
	struct kist_spec_resources *own = shown.resources;
	shown.resources = config->resources;
	struct view view = { .c = infra, .config = &shown, .state = infra ? &infra->state : NULL };
	struct json_object *document = json_object_new_object();

	json_object_object_add(document, "Id", view_text(config->id));
	json_object_object_add(document, "Name", view_text(config->name));
	json_object_object_add(document, "Created", view_time(config->created));
	add(document, "CreateCommand", view_list(config->create_command));
	json_object_object_add(document, "ExitPolicy", view_text(config->exit_policy));
	json_object_object_add(document, "State", view_text(kist_pod_status_name(kist_pod_status(list, n))));
	json_object_object_add(document, "Hostname", view_text(config->hostname));
	add(document, "Labels", view_map(config->labels));
	json_object_object_add(document, "CreateCgroup", flag(config->share_parent));
	add(document, "CgroupParent", view_text(config->cgroup_parent));
	add(document, "CgroupPath", cgroup_path(pod));
	json_object_object_add(document, "CreateInfra", flag(config->infra));
	add(document, "InfraContainerID", view_text(config->infra_id));
	if (infra)
		json_object_object_add(document, "InfraConfig", infra_config(&view));
	add(document, "SharedNamespaces", view_list(config->share));
	json_object_object_add(document, "NumContainers", view_int((int64_t)n));
	add(document, "Containers", containers_list(list, n));
	add(document, "RestartPolicy", view_text(config->restart_policy));
	if (infra)
		add_limits(document, pod, infra, &view);
	shown.resources = own;
	kist_container_config_clear(&shown);
	kist_container_list_free(list, n);
	*out = document;
	return 0;
}

/* --- ps -------------------------------------------------------------------------------------------------------------
 */

int kist_pod_summary(struct kist_pod *pod, struct json_object **out, struct kist_error *err)
{
	const struct kist_pod_config *config = &pod->config;
	struct json_object *containers = json_object_new_array(), *document = json_object_new_object();
	struct kist_container **list = NULL;
	size_t n = 0;

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0) {
		json_object_put(containers);
		json_object_put(document);
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		struct json_object *item = json_object_new_object();
		json_object_object_add(item, "Id", view_text(list[i]->config.id));
		json_object_object_add(item, "Names", view_text(list[i]->config.name));
		json_object_object_add(item, "Status", view_text(state_of(list[i])));
		json_object_object_add(item, "RestartCount", view_int(list[i]->state.restart_count));
		json_object_array_add(containers, item);
	}
	struct kist_container *infra = infra_of(list, n);
	json_object_object_add(document, "Cgroup", view_text(config->cgroup_parent));
	json_object_object_add(document, "Containers", containers);
	json_object_object_add(document, "Created", view_time(config->created));
	json_object_object_add(document, "Id", view_text(config->id));
	json_object_object_add(document, "InfraId", view_text(config->infra_id));
	json_object_object_add(document, "Name", view_text(config->name));
	json_object_object_add(document, "Namespace", view_text(NULL));
	json_object_object_add(document, "Networks",
	                       infra ? view_network_names(&infra->config) : json_object_new_array());
	json_object_object_add(document, "Status", view_text(kist_pod_status_name(kist_pod_status(list, n))));
	json_object_object_add(document, "Labels", view_map(config->labels));
	kist_container_list_free(list, n);
	*out = document;
	return 0;
}
