/* A container in one line: the STATUS of ps, and the items of its JSON. */
#include "core/pod.h"
#include "core/view.h"

#include "core/base/clock.h"

#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#define ZERO_TIME (-62135596800LL) /* Go's zero time in unix seconds, as podman writes it */

static int64_t seconds_of(int64_t wall)
{
	return wall ? wall / KIST_NSEC_PER_SEC : ZERO_TIME;
}

/* Since the start. The kernel's clock tells, which no clock step moves: many devices boot in 1970 and learn the time
 * later. */
static int64_t uptime(const struct kist_container_state *state)
{
	long ticks = sysconf(_SC_CLK_TCK);

	if (!state->pid_start || ticks <= 0)
		return kist_now_wall() - state->started;
	return kist_now_boot() - (int64_t)(state->pid_start * (uint64_t)(KIST_NSEC_PER_SEC / ticks));
}

static char *with_health(const struct kist_container *c, const char *time)
{
	struct kist_health health;

	if (!kist_health_is_checked(&c->config.health))
		return kist_asprintf("Up %s", time);
	kist_container_health(c, &health);
	char *text = kist_asprintf("Up %s (%s)", time, kist_health_status_name((enum kist_health_status)health.status));
	kist_health_clear(&health);
	return text;
}

char *kist_container_status_text(const struct kist_container *c)
{
	const struct kist_container_state *state = &c->state;
	const char *shown = kist_status_shown((enum kist_status)state->status);
	char time[40];

	switch (state->status) {
	case KIST_RUNNING:
		return with_health(c, kist_time_human(time, uptime(state)));
	case KIST_PAUSED:
		return kist_asprintf("Up %s (Paused)", kist_time_human(time, uptime(state)));
	case KIST_STOPPED:
	case KIST_EXITED:
		kist_time_human(time, kist_now_wall() - state->finished);
		/* docker's word: it will run again. */
		if (state->restarting)
			return kist_asprintf("Restarting (%d) %s ago", state->exit_code, time);
		if (state->exit_code < 0)
			return kist_asprintf("Exited (unknown) %s ago", time);
		return kist_asprintf("Exited (%d) %s ago", state->exit_code, time);
	default:
		return kist_asprintf("%c%s", shown[0] - 'a' + 'A', shown + 1);
	}
}

/* The inode numbers, by which namespaces can be compared; none when it has no process. */
static struct json_object *namespaces(const struct kist_container *c)
{
	static const struct {
		const char *key, *file;
	} rows[] = {
		{ "Cgroup", "cgroup" }, { "Ipc", "ipc" },   { "Mnt", "mnt" }, { "Net", "net" },
		{ "Pidns", "pid" },     { "User", "user" }, { "Uts", "uts" },
	};
	struct json_object *map = json_object_new_object();

	for (size_t i = 0; view_is_live(c) && c->state.pid > 0 && i < KIST_COUNT(rows); i++) {
		char path[48], link[64];
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", c->state.pid, rows[i].file);
		ssize_t n = readlink(path, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		char *number = strchr(link, '[');
		if (!number)
			continue;
		number[strcspn(number, "]")] = '\0';
		json_object_object_add(map, rows[i].key, json_object_new_string(number + 1));
	}
	return map;
}

static struct json_object *mount_places(const struct kist_container_config *config)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < config->n_named_volumes; i++)
		json_object_array_add(list, view_text(config->named_volumes[i].destination));
	for (size_t i = 0; i < config->n_mounts; i++)
		json_object_array_add(list, view_text(config->mounts[i].destination));
	return list;
}

static struct json_object *names(const struct kist_container_config *config)
{
	struct json_object *list = json_object_new_array();

	json_object_array_add(list, view_text(config->name));
	return list;
}

static struct json_object *pod_name(const struct kist_container *c)
{
	struct kist_pod *pod = NULL;
	struct json_object *name = NULL;

	if (c->config.pod && kist_pod_load(c->k, c->config.pod, &pod, NULL) == 0)
		name = view_text(kist_pod_name(pod));
	kist_pod_free(pod);
	return name ? name : view_text(NULL);
}

static struct json_object *size_of(uint64_t rw, uint64_t rootfs)
{
	struct json_object *size = json_object_new_object();

	json_object_object_add(size, "rootFsSize", json_object_new_uint64(rootfs));
	json_object_object_add(size, "rwSize", json_object_new_uint64(rw));
	return size;
}

int kist_container_summary(struct kist_container *c, bool with_size, struct json_object **out, struct kist_error *err)
{
	const struct kist_container_config *config = &c->config;
	const struct kist_container_state *state = &c->state;
	uint64_t rw = 0, rootfs = 0;
	char ago[40];

	int r = c->brief_filters ? 0 : kist_container_whole(c, err);
	if (r < 0)
		return r;
	r = with_size ? kist_container_size(c, &rw, &rootfs, err) : 0;
	if (r < 0)
		return r;
	bool ended = state->status == KIST_EXITED || state->status == KIST_STOPPED;
	KIST_FREE char *created = kist_asprintf("%s ago", kist_time_human(ago, kist_now_wall() - config->created));
	KIST_FREE char *status = kist_container_status_text(c);
	const struct {
		const char *key;
		struct json_object *value;
	} items[] = {
		{ "AutoRemove", json_object_new_boolean(config->auto_remove) },
		{ "Command", view_list(config->command) },
		{ "CreatedAt", view_text(created) },
		{ "CIDFile", view_text(config->cidfile) },
		{ "Exited", json_object_new_boolean(ended) },
		{ "ExitedAt", view_int(seconds_of(state->finished)) },
		{ "ExitCode", view_int(ended ? state->exit_code : 0) },
		{ "ExposedPorts", config->expose ? view_list(config->expose) : NULL },
		{ "Id", view_text(config->id) },
		{ "Image", view_text(config->image_name) },
		{ "ImageID", view_text(config->image) },
		{ "IsInfra", json_object_new_boolean(config->infra) },
		{ "Labels", view_map(config->labels) },
		{ "Mounts", mount_places(config) },
		{ "Names", names(config) },
		{ "Namespaces", namespaces(c) },
		{ "Networks",
		  view_network_names(config) }, /* modes (none, host, ns:PATH) are no networks, as in podman */
		{ "Pid", view_int(view_is_live(c) ? state->pid : 0) },
		{ "Pod", view_text(config->pod) },
		{ "PodName", pod_name(c) },
		{ "Ports", view_ports(c) },
		{ "Restarts", view_int(state->restart_count) },
		{ "Size", with_size ? size_of(rw, rootfs) : NULL },
		{ "StartedAt", view_int(seconds_of(state->started)) },
		{ "State", view_text(kist_status_shown((enum kist_status)state->status)) },
		{ "Status", view_text(status) },
		{ "Created", view_int(seconds_of(config->created)) },
	};
	struct json_object *item = json_object_new_object();
	for (size_t i = 0; i < KIST_COUNT(items); i++)
		json_object_object_add(item, items[i].key, items[i].value);
	*out = item;
	return 0;
}
