/* The inspect document of a container: podman's keys, in podman's order. What kist does not have is podman's empty
 * value. */
#include "core/apparmor.h"
#include "core/exec_session.h"
#include "core/view.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAN_MAX (8u << 20)

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

/* --- state ----------------------------------------------------------------------------------------------------------
 */

static struct json_object *oci_version(const struct view *v)
{
	(void)v;
	return view_text(KIST_OCI_VERSION);
}

static struct json_object *status(const struct view *v)
{
	return view_text(kist_status_shown((enum kist_status)v->state->status));
}

static struct json_object *running(const struct view *v)
{
	int now = v->state->status;

	return json_object_new_boolean(now == KIST_RUNNING || now == KIST_STOPPING);
}

static struct json_object *paused(const struct view *v)
{
	return json_object_new_boolean(v->state->status == KIST_PAUSED);
}

static struct json_object *oom_killed(const struct view *v)
{
	return json_object_new_boolean(v->state->oom_killed);
}

static struct json_object *pid(const struct view *v)
{
	return view_int(view_is_live(v->c) ? v->state->pid : 0);
}

static struct json_object *monitor_pid(const struct view *v)
{
	return view_int(view_is_live(v->c) ? v->state->monitor_pid : 0);
}

static struct json_object *exit_code(const struct view *v)
{
	return view_int(v->state->exited && !view_is_live(v->c) ? v->state->exit_code : 0);
}

static struct json_object *state_error(const struct view *v)
{
	return view_text(v->state->error);
}

static struct json_object *started(const struct view *v)
{
	return view_time(v->state->started);
}

static struct json_object *finished(const struct view *v)
{
	return view_time(v->state->finished);
}

static struct json_object *cgroup_path(const struct view *v)
{
	return view_text(v->state->cgroup);
}

static struct json_object *restarting(const struct view *v)
{
	return json_object_new_boolean(v->state->restarting);
}

static struct json_object *by_user(const struct view *v)
{
	return json_object_new_boolean(v->state->stopped_by_user);
}

static struct json_object *never(const struct view *v)
{
	(void)v;
	return view_time(0);
}

static const struct view_row state_rows[] = {
	VIEW_FROM("OciVersion", oci_version),
	VIEW_FROM("Status", status),
	VIEW_FROM("Running", running),
	VIEW_FROM("Paused", paused),
	VIEW_FROM("Restarting", restarting),
	VIEW_FROM("OOMKilled", oom_killed),
	VIEW_CONSTANT("Dead", FALSE),
	VIEW_FROM("Pid", pid),
	VIEW_FROM("ConmonPid", monitor_pid),
	VIEW_FROM("ExitCode", exit_code),
	VIEW_FROM("Error", state_error),
	VIEW_FROM("StartedAt", started),
	VIEW_FROM("FinishedAt", finished),
	VIEW_FROM("StoppedByUser", by_user),
	VIEW_FROM("Health", view_health),
	VIEW_FROM("CgroupPath", cgroup_path),
	VIEW_FROM("CheckpointedAt", never),
	VIEW_FROM("RestoredAt", never),
	{ 0 },
};

/* --- files and layers -----------------------------------------------------------------------------------------------
 */

static struct json_object *run_file(const struct view *v, const char *name)
{
	KIST_FREE char *path = kist_container_runpath(v->c, name);

	return view_text(access(path, F_OK) == 0 ? path : "");
}

static struct json_object *resolv_conf_path(const struct view *v)
{
	return run_file(v, "resolv.conf");
}

static struct json_object *hostname_path(const struct view *v)
{
	return run_file(v, "hostname");
}

static struct json_object *hosts_path(const struct view *v)
{
	return run_file(v, "hosts");
}

static struct json_object *static_dir(const struct view *v)
{
	KIST_FREE char *path = kist_container_path(v->c, NULL);

	return view_text(path);
}

static struct json_object *plan_path(const struct view *v)
{
	KIST_FREE char *path = kist_container_plan_path(v->c, "config.json");

	return view_text(v->plan ? path : "");
}

static struct json_object *kist_text(const struct view *v)
{
	(void)v;
	return view_text("kist");
}

static struct json_object *overlay_text(const struct view *v)
{
	(void)v;
	return view_text("overlay");
}

static struct json_object *graph_lower(const struct view *v)
{
	KIST_STR struct kist_str lower = { 0 };

	if (v->config->rootfs)
		return view_text(v->config->rootfs);
	for (size_t i = 0; v->config->layers && v->config->layers[i]; i++)
		kist_str_addf(&lower, "%s%s/overlay/%s/diff", i ? ":" : "", v->c->k->settings.root,
		              v->config->layers[i]);
	return view_text(kist_str_get(&lower));
}

/* The mount is in the container's mount namespace alone: its process leads there. */
static struct json_object *graph_merged(const struct view *v)
{
	KIST_FREE char *path = kist_asprintf("/proc/%d/root", v->state->pid);

	return view_text(view_is_live(v->c) && v->state->pid > 0 ? path : "");
}

static struct json_object *graph_upper(const struct view *v)
{
	KIST_FREE char *path = kist_container_path(v->c, "upper");

	return view_text(path);
}

static struct json_object *graph_work(const struct view *v)
{
	KIST_FREE char *path = kist_container_path(v->c, "work");

	return view_text(path);
}

static const struct view_row graph_data_rows[] = {
	VIEW_FROM("LowerDir", graph_lower),
	VIEW_FROM("MergedDir", graph_merged),
	VIEW_FROM("UpperDir", graph_upper),
	VIEW_FROM("WorkDir", graph_work),
	{ 0 },
};

static const struct view_row graph_rows[] = {
	VIEW_FROM("Name", overlay_text),
	VIEW_ROWS("Data", graph_data_rows),
	{ 0 },
};

/* podman's word for: not of a Kubernetes pod. */
static struct json_object *invalid_text(const struct view *view)
{
	(void)view;
	return view_text("invalid");
}

static struct json_object *exec_ids(const struct view *view)
{
	KIST_STRV char **ids = kist_exec_sessions_active(view->c);

	return view_list(ids);
}

static struct json_object *graph_driver(const struct view *v)
{
	/* A plain directory of the user's is mounted without any driver. */
	return v->config->rootfs && !v->config->rootfs_overlay ? NULL : view_object(v, graph_rows);
}

/* --- image, process, capabilities -----------------------------------------------------------------------------------
 */

static struct json_object *image_digest(const struct view *v)
{
	struct kist_image *image = NULL;

	if (!v->config->image || kist_image_open(v->c->k, v->config->image, &image, NULL) < 0)
		return view_text(NULL); /* removed by force */
	struct json_object *digest = view_text(image->digest);
	kist_image_free(image);
	return digest;
}

static struct json_object *path_of(const struct view *v)
{
	return view_text(v->config->command ? v->config->command[0] : NULL);
}

static struct json_object *args(const struct view *v)
{
	return view_list(v->config->command && v->config->command[0] ? v->config->command + 1 : NULL);
}

static struct json_object *apparmor_profile(const struct view *v)
{
	return view_text(kist_apparmor_of(v->config));
}

static struct json_object *bounding_caps(const struct view *v)
{
	return view_list(v->caps);
}

/* Whether the process begins as root. The last start knows; before the first one a name may turn out to be anybody. */
static bool is_root(const struct view *v)
{
	struct json_object *user = member(member(v->plan, "process"), "user"), *uid = member(user, "uid");
	const char *text = v->config->user;

	if (user)
		return json_object_get_int64(uid) == 0;
	return kist_empty(text) || kist_streq(text, "root") || kist_streq(text, "0") ||
	       kist_has_prefix(text, "root:") || kist_has_prefix(text, "0:");
}

static struct json_object *effective_caps(const struct view *v)
{
	return view_list(is_root(v) ? v->caps : NULL);
}

static struct json_object *restart_count(const struct view *v)
{
	return view_int(v->state->restart_count);
}

static struct json_object *dependencies(const struct view *v)
{
	KIST_STRV char **ids = kist_container_dependencies(v->c);

	return view_list(ids);
}

/* --- configuration --------------------------------------------------------------------------------------------------
 */

static struct json_object *hostname(const struct view *v)
{
	KIST_FREE char *own = kist_plan_hostname(v->config);
	char host[256] = "";

	if (!own && kist_streq(v->config->uts_ns, "host") && gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	return view_text(own ? own : host);
}

/* As the last start made it; before the first one HOME is still open, because it is looked up in the container. */
static struct json_object *env(const struct view *v)
{
	struct json_object *last = member(member(v->plan, "process"), "env");

	if (last)
		return json_object_get(last);
	KIST_STRV char **planned = kist_plan_env(v->config, NULL);
	return view_list(planned);
}

static struct json_object *workdir(const struct view *v)
{
	return view_text(kist_empty(v->config->workdir) ? "/" : v->config->workdir);
}

/* podman 4 has a text here, and a list from 5 on. */
static struct json_object *entrypoint(const struct view *v)
{
	KIST_FREE char *joined = kist_strv_join(v->config->entrypoint, " ");

	return view_text(joined);
}

static struct json_object *stop_signal(const struct view *v)
{
	return view_int(v->config->stop_signal);
}

static struct json_object *umask_text(const struct view *v)
{
	KIST_FREE char *text = kist_asprintf("%04o", v->config->umask.set ? (unsigned)v->config->umask.value : 022u);

	return view_text(text);
}

static struct json_object *notify_mode(const struct view *v)
{
	return view_text(kist_sdnotify_name(v->config->sdnotify));
}

/* What they are called and who may read them; a secret that is gone has no id. */
static struct json_object *secrets(const struct view *v)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < v->config->n_secrets; i++) {
		const struct kist_secret_config *secret = &v->config->secrets[i];
		struct json_object *item = json_object_new_object();
		struct kist_secret *found = NULL;
		kist_secret_open(v->c->k, secret->name, &found, NULL);
		json_object_object_add(item, "Name", view_text(secret->name));
		json_object_object_add(item, "ID", view_text(found ? found->id : NULL));
		json_object_object_add(item, "UID", view_int(secret->uid));
		json_object_object_add(item, "GID", view_int(secret->gid));
		json_object_object_add(item, "Mode", view_int(secret->mode.set ? secret->mode.value : 0444));
		json_object_array_add(list, item);
		kist_secret_free(found);
	}
	return list;
}

static struct json_object *exposed_ports(const struct view *v)
{
	struct json_object *ports = json_object_new_object();

	for (char **port = v->config->expose; port && *port; port++)
		json_object_object_add(ports, *port, json_object_new_object());
	return ports;
}

static const struct view_row config_rows[] = {
	VIEW_FROM("Hostname", hostname),
	VIEW_CONSTANT("Domainname", EMPTY),
	VIEW_MEMBER("User", STRING, user),
	VIEW_CONSTANT("AttachStdin", FALSE),
	VIEW_CONSTANT("AttachStdout", FALSE),
	VIEW_CONSTANT("AttachStderr", FALSE),
	VIEW_MEMBER("Tty", BOOL, tty),
	VIEW_MEMBER("OpenStdin", BOOL, open_stdin),
	VIEW_CONSTANT("StdinOnce", FALSE),
	VIEW_FROM("Env", env),
	VIEW_MEMBER("Cmd", STRV, cmd),
	VIEW_MEMBER("Image", STRING, image_name),
	VIEW_CONSTANT("Volumes", NULL),
	VIEW_FROM("WorkingDir", workdir),
	VIEW_FROM("Entrypoint", entrypoint),
	VIEW_CONSTANT("OnBuild", NULL),
	VIEW_MEMBER("Labels", MAP, labels),
	VIEW_MEMBER("Annotations", MAP, annotations),
	VIEW_FROM("StopSignal", stop_signal),
	VIEW_FROM("Healthcheck", view_health_check),
	VIEW_FROM("HealthcheckOnFailureAction", view_health_action),
	VIEW_FROM("HealthLogDestination", view_health_log),
	VIEW_FROM("HealthcheckMaxLogCount", view_health_log_count),
	VIEW_FROM("HealthcheckMaxLogSize", view_health_log_size),
	VIEW_FROM("StartupHealthCheck", view_startup_check),
	VIEW_MEMBER("CreateCommand", STRV, create_command),
	VIEW_MEMBER("Timezone", STRING, timezone),
	VIEW_FROM("Umask", umask_text),
	VIEW_FROM("Secrets", secrets),
	VIEW_MEMBER("Timeout", U32, timeout),
	VIEW_MEMBER("StopTimeout", U32, stop_timeout),
	VIEW_CONSTANT("Passwd", FALSE),
	VIEW_FROM("sdNotifyMode", notify_mode),
	VIEW_FROM("ExposedPorts", exposed_ports),
	{ 0 },
};

static const struct view_row container_rows[] = {
	VIEW_MEMBER("Id", STRING, id),
	VIEW_MEMBER("Created", TIME, created),
	VIEW_FROM("Path", path_of),
	VIEW_FROM("Args", args),
	VIEW_ROWS("State", state_rows),
	VIEW_MEMBER("Image", STRING, image),
	VIEW_FROM("ImageDigest", image_digest),
	VIEW_MEMBER("ImageName", STRING, image_name),
	VIEW_MEMBER("Rootfs", STRING, rootfs),
	VIEW_MEMBER("Pod", STRING, pod),
	VIEW_FROM("ResolvConfPath", resolv_conf_path),
	VIEW_FROM("HostnamePath", hostname_path),
	VIEW_FROM("HostsPath", hosts_path),
	VIEW_FROM("StaticDir", static_dir),
	VIEW_FROM("OCIConfigPath", plan_path),
	VIEW_FROM("OCIRuntime", kist_text),
	VIEW_MEMBER("ConmonPidFile", STRING, conmon_pidfile),
	VIEW_MEMBER("PidFile", STRING, pidfile),
	VIEW_MEMBER("Name", STRING, name),
	VIEW_FROM("RestartCount", restart_count),
	VIEW_FROM("Driver", overlay_text),
	VIEW_CONSTANT("MountLabel", EMPTY),
	VIEW_CONSTANT("ProcessLabel", EMPTY),
	VIEW_FROM("AppArmorProfile", apparmor_profile),
	VIEW_FROM("EffectiveCaps", effective_caps),
	VIEW_FROM("BoundingCaps", bounding_caps),
	VIEW_FROM("ExecIDs", exec_ids),
	VIEW_FROM("GraphDriver", graph_driver),
	VIEW_FROM("Mounts", view_mounts),
	VIEW_FROM("Dependencies", dependencies),
	VIEW_FROM("NetworkSettings", view_network_settings),
	VIEW_CONSTANT("Namespace", EMPTY),
	VIEW_MEMBER("IsInfra", BOOL, infra),
	VIEW_CONSTANT("IsService", FALSE),
	VIEW_FROM("KubeExitCodePropagation", invalid_text),
	/* Locks are files, and have no numbers. */
	VIEW_CONSTANT("lockNumber", ZERO),
	VIEW_ROWS("Config", config_rows),
	VIEW_ROWS("HostConfig", view_host_rows),
	VIEW_MEMBER("UseImageHosts", BOOL, no_hosts),
	VIEW_CONSTANT("UseImageHostname", FALSE),
	{ 0 },
};

/* --- the whole ------------------------------------------------------------------------------------------------------
 */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Absent before the first start. A damaged one is made anew by the next start, and hides nothing that counts. */
static struct json_object *read_plan(struct kist_container *c)
{
	KIST_STR struct kist_str text = { 0 };
	struct json_object *plan = NULL;

	if (kist_read_file(kist_container_plan_dir(c), "config.json", PLAN_MAX, &text) < 0 ||
	    kist_json_parse(kist_str_get(&text), text.len, &plan, NULL) < 0)
		return NULL;
	return plan;
}

int kist_container_inspect(struct kist_container *c, bool with_size, struct json_object **out, struct kist_error *err)
{
	KIST_STRV char **caps = NULL;
	KIST_JSON struct json_object *plan = NULL;
	uint64_t rw = 0, rootfs = 0;

	view_refresh(c);
	int r = with_size ? kist_container_size(c, &rw, &rootfs, err) : 0;
	if (r < 0)
		return r;
	/* Capabilities that this kernel lacks leave the list empty rather than the document unreadable. */
	if (kist_plan_caps(&c->config, &caps, NULL) == 0 && caps)
		qsort(caps, kist_strv_len(caps), sizeof(*caps), by_text);
	plan = read_plan(c);
	struct view view = { .c = c, .config = &c->config, .state = &c->state, .plan = plan, .caps = caps };
	struct json_object *document = view_object(&view, container_rows);
	if (with_size) {
		json_object_object_add(document, "SizeRw", json_object_new_uint64(rw));
		json_object_object_add(document, "SizeRootFs", json_object_new_uint64(rootfs));
	}
	*out = document;
	return 0;
}
