/* From options, image and arguments to a container's configuration. */
#include "cli/create.h"
#include "cli/volume_commands.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

extern char **environ;

static void set_string(char **to, const char *value)
{
	if (!value)
		return;
	free(*to);
	*to = kist_strdup(value);
}

int create_read_lines(const char *option, const char *path, char ***lines, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return kist_fail_errno(err, errno, "%s %s", option, path);
	int r = kist_read_fd(fd, FILE_MAX, &text);
	if (r < 0)
		return kist_fail_errno(err, -r, "%s %s", option, path);
	KIST_STRV char **all = kist_strv_split(kist_str_get(&text), '\n');
	for (size_t i = 0; all && all[i]; i++) {
		const char *line = all[i] + strspn(all[i], " \t");
		size_t n = strlen(line);
		if (n && line[n - 1] == '\r')
			n--;
		if (n && line[0] != '#')
			kist_strv_take(lines, kist_strndup(line, n));
	}
	return 0;
}

/* --- environment ----------------------------------------------------------------------------------------------------
 */

/* "NAME=value" as it is; "NAME" and "PRE*" are the user's word for the host's variables. */
static int env_from_user(char ***env, const char *entry, struct kist_error *err)
{
	size_t n = strlen(entry);

	if (n == 0 || entry[0] == '=')
		return kist_fail(err, KIST_ERR_INVALID, 0, "environment entry '%s': expected NAME=value", entry);
	if (strchr(entry, '=')) {
		kist_env_put(env, entry);
		return 0;
	}
	for (char **host = environ; host && *host; host++) {
		const char *equals = strchr(*host, '=');
		if (!equals)
			continue;
		size_t length = (size_t)(equals - *host);
		bool matches = entry[n - 1] == '*' ? strncmp(*host, entry, n - 1) == 0
		                                   : length == n && strncmp(*host, entry, n) == 0;
		if (matches)
			kist_env_put(env, *host);
	}
	return 0;
}

static void env_proxies(char ***env)
{
	static const char *const names[] = { "http_proxy", "https_proxy", "ftp_proxy", "no_proxy",
		                             "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY" };

	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		const char *value = getenv(names[i]);
		if (value)
			kist_env_set(env, names[i], value);
	}
}

int create_env(struct kist_cli *cli, const struct create_options *o, const struct kist_image *image,
               struct kist_container_config *config, struct kist_error *err)
{
	const struct kist_settings *settings = kist_settings(cli->k);
	char ***env = &config->env;
	int r = 0;

	for (size_t i = 0; !o->unset_env_all && settings->env && settings->env[i]; i++)
		kist_env_put(env, settings->env[i]);
	if (o->http_proxy)
		env_proxies(env);
	/* An image's entry without '=' would otherwise pull in the host's variable of that name (CVE-2026-57231). */
	for (size_t i = 0; image && !o->unset_env_all && image->config.env && image->config.env[i]; i++)
		if (strchr(image->config.env[i], '=') && image->config.env[i][0] != '=')
			kist_env_put(env, image->config.env[i]);
	for (size_t i = 0; o->unset_env && o->unset_env[i]; i++)
		kist_env_unset(env, o->unset_env[i]);
	config->unset_env = kist_strv_copy(o->unset_env);
	config->unset_env_all = o->unset_env_all;
	for (char **host = environ; o->env_host && host && *host; host++)
		/* Of a service manager's, which --sdnotify is about. */
		if (strchr(*host, '=') && (*host)[0] != '=' && !kist_has_prefix(*host, "NOTIFY_SOCKET="))
			kist_env_put(env, *host);
	for (size_t i = 0; r == 0 && o->env_file && o->env_file[i]; i++) {
		KIST_STRV char **lines = NULL;
		r = create_read_lines("env-file", o->env_file[i], &lines, err);
		for (size_t j = 0; r == 0 && lines && lines[j]; j++)
			r = env_from_user(env, lines[j], err);
	}
	for (size_t i = 0; r == 0 && o->env && o->env[i]; i++)
		r = env_from_user(env, o->env[i], err);
	return r;
}

/* --- command --------------------------------------------------------------------------------------------------------
 */

/* A JSON array, or one word. */
static int parse_entrypoint(const char *text, char ***out, struct kist_error *err)
{
	KIST_JSON struct json_object *json = NULL;

	if (text[0] != '[') {
		if (*text)
			kist_strv_add(out, text);
		return 0;
	}
	int r = kist_json_parse(text, strlen(text), &json, err);
	if (r < 0)
		return kist_context(err, "entrypoint");
	for (size_t i = 0; i < json_object_array_length(json); i++) {
		struct json_object *item = json_object_array_get_idx(json, i);
		if (!json_object_is_type(item, json_type_string))
			return kist_fail(err, KIST_ERR_INVALID, 0, "entrypoint: item %zu is not a string", i + 1);
		kist_strv_add(out, json_object_get_string(item));
	}
	return 0;
}

static int set_command(const struct create_options *o, const struct kist_image *image, int argc, char **argv,
                       struct kist_container_config *config, struct kist_error *err)
{
	if (o->entrypoint) {
		int r = parse_entrypoint(o->entrypoint, &config->entrypoint, err);
		if (r < 0)
			return r;
	} else if (image) {
		config->entrypoint = kist_strv_copy(image->config.entrypoint);
	}
	for (int i = 1; i < argc; i++)
		kist_strv_add(&config->cmd, argv[i]);
	/* A new entrypoint is not given the old one's arguments. */
	if (argc <= 1 && image && !o->entrypoint)
		config->cmd = kist_strv_copy(image->config.cmd);
	for (size_t i = 0; config->entrypoint && config->entrypoint[i]; i++)
		kist_strv_add(&config->command, config->entrypoint[i]);
	for (size_t i = 0; config->cmd && config->cmd[i]; i++)
		kist_strv_add(&config->command, config->cmd[i]);
	return 0;
}

static int get_image(struct kist_cli *cli, const struct create_options *o, const char *name, struct kist_image **image,
                     struct kist_error *err)
{
	static const struct kist_name policies[] = { { "always", KIST_PULL_ALWAYS },
		                                     { "missing", KIST_PULL_MISSING },
		                                     { "never", KIST_PULL_NEVER },
		                                     { "newer", KIST_PULL_NEWER },
		                                     { 0 } };
	struct kist_image_pull pull = { .name = name };
	KIST_FREE char *platform = NULL;
	struct cli_progress progress;
	int policy = KIST_PULL_MISSING;

	kist_value_of(policies, o->pull, &policy);
	cli_progress_init(&progress, o->quiet);
	int r = cli_registry_options(&o->registry, NULL, &progress, &pull.registry, err);
	if (r == 0)
		r = cli_platform(&o->platform, &platform, &pull.platform, err);
	if (r < 0)
		return r;
	r = kist_image_get(cli->k, &pull, (enum kist_pull_policy)policy, image, err);
	cli_progress_end(&progress);
	return r;
}

/* The one of its names that the user's word means, "docker.io/library/x:latest" for x; else the first, else its id. */
const char *create_image_name(const struct kist_image *image, const char *word)
{
	static const char local[] = "localhost/";
	KIST_FREE char *reference = NULL;

	if (!image->names || !image->names[0])
		return image->id;
	if (kist_image_reference(word, &reference, NULL) < 0)
		return image->names[0];
	for (size_t i = 0; image->names[i]; i++)
		if (kist_streq(image->names[i], reference))
			return image->names[i];
	KIST_FREE char *end =
	        kist_has_prefix(reference, local) ? kist_asprintf("/%s", reference + strlen(local)) : NULL;
	for (size_t i = 0; end && image->names[i]; i++)
		if (kist_has_suffix(image->names[i], end))
			return image->names[i];
	return image->names[0];
}

static int set_image(struct kist_cli *cli, const struct create_options *o, const char *name, struct kist_image **image,
                     struct kist_container_config *config, struct kist_error *err)
{
	if (o->rootfs) {
		size_t n = strlen(name);
		config->rootfs_overlay = kist_has_suffix(name, ":O");
		KIST_FREE char *path = kist_strndup(name, config->rootfs_overlay ? n - 2 : n);
		config->rootfs = realpath(path, NULL);
		if (!config->rootfs)
			return kist_fail_errno(err, errno, "rootfs %s", path);
		/* A file system in a file is only read: the container's changes need a place above it. */
		struct stat st;
		config->rootfs_overlay |= stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
		return 0;
	}
	int r = get_image(cli, o, name, image, err);
	if (r < 0)
		return r;
	config->image = kist_strdup((*image)->id);
	config->image_name = kist_strdup(create_image_name(*image, name));
	config->layers = kist_strv_copy((*image)->layers);
	return 0;
}

/* --- the rest -------------------------------------------------------------------------------------------------------
 */

int create_labels(const struct create_options *o, char ***labels, struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && o->label_file && o->label_file[i]; i++) {
		KIST_STRV char **lines = NULL;
		r = create_read_lines("label-file", o->label_file[i], &lines, err);
		if (r == 0)
			r = cli_add_pairs("label", lines, labels, err);
	}
	return r < 0 ? r : cli_add_pairs("label", o->label, labels, err);
}

static int set_labels(const struct create_options *o, const struct kist_image *image,
                      struct kist_container_config *config, struct kist_error *err)
{
	for (size_t i = 0; image && image->config.labels && image->config.labels[i]; i++)
		kist_env_put(&config->labels, image->config.labels[i]);
	int r = create_labels(o, &config->labels, err);
	for (size_t i = 0; r == 0 && o->annotation && o->annotation[i]; i++)
		if (!strchr(o->annotation[i], '='))
			r = kist_fail(err, KIST_ERR_INVALID, 0, "annotation '%s': expected KEY=value",
			              o->annotation[i]);
	return r < 0 ? r : cli_add_pairs("annotation", o->annotation, &config->annotations, err);
}

/* "container:NAME" is kept with the full id: names change. */
static int set_mode(struct kist_cli *cli, const char *option, const char *value, char **to, struct kist_error *err)
{
	struct kist_container *other = NULL;

	if (!value)
		return 0;
	if (!kist_has_prefix(value, "container:")) {
		set_string(to, value);
		return 0;
	}
	int r = kist_container_open(cli->k, value + strlen("container:"), &other, err);
	if (r < 0)
		return kist_context(err, "%s", option);
	free(*to);
	*to = kist_asprintf("container:%s", kist_container_id(other));
	kist_container_free(other);
	return 0;
}

int create_namespaces(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                      struct kist_error *err)
{
	const struct {
		const char *option, *value;
		char **to;
	} modes[] = {
		{ "pid", o->pid, &config->pid_ns },
		{ "ipc", o->ipc, &config->ipc_ns },
		{ "uts", o->uts, &config->uts_ns },
		{ "userns", o->userns, &config->user_ns },
		{ "cgroupns", o->cgroupns, &config->cgroup_ns },
	};

	for (size_t i = 0; i < KIST_COUNT(modes); i++) {
		const char *value = modes[i].value ? modes[i].value : config->pod ? "pod" : NULL;
		int r = set_mode(cli, modes[i].option, value, modes[i].to, err);
		if (r < 0)
			return r;
	}
	return create_userns(o, config, err);
}

static int log_option(struct kist_container_config *config, const char *text, struct kist_error *err)
{
	const char *value = strchr(text, '=');
	KIST_FREE char *key = kist_strndup(text, value ? (size_t)(value - text) : strlen(text));

	if (!value || !value[1])
		return kist_fail(err, KIST_ERR_INVALID, 0, "log-opt '%s': expected OPTION=VALUE", text);
	value++;
	if (kist_streq(key, "path")) {
		if (value[0] != '/')
			return kist_fail(err, KIST_ERR_INVALID, 0, "log-opt path '%s': expected an absolute path",
			                 value);
		set_string(&config->log_path, value);
	} else if (kist_streq(key, "max-size")) {
		if (kist_streq(value, "-1"))
			config->log_max_size = 0;
		else if (kist_parse_size(value, &config->log_max_size) < 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "log-opt max-size '%s': expected a size such as 10m",
			                 value);
	} else if (kist_streq(key, "max-file")) {
		if (kist_parse_u32(value, &config->log_max_files) < 0 || config->log_max_files == 0 ||
		    config->log_max_files > 1000)
			return kist_fail(err, KIST_ERR_INVALID, 0, "log-opt max-file '%s': expected 1 to 1000", value);
	} else if (kist_streq(key, "tag")) {
		set_string(&config->log_tag, value);
	} else {
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "log-opt '%s' is not supported: use path, max-size, max-file or tag", key);
	}
	return 0;
}

static int set_log(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                   struct kist_error *err)
{
	const struct kist_settings *settings = kist_settings(cli->k);
	int r = 0;

	set_string(&config->log_driver, o->log_driver ? o->log_driver : settings->log_driver);
	config->log_max_size = settings->log_max_size;
	config->log_max_files = settings->log_max_files;
	for (size_t i = 0; r == 0 && o->log_opt && o->log_opt[i]; i++)
		r = log_option(config, o->log_opt[i], err);
	/* The lines of k8s-file have no place for one. */
	if (r == 0 && config->log_tag && !kist_streq(config->log_driver, "json-file") &&
	    !kist_streq(config->log_driver, "syslog"))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "log-opt tag needs the log driver json-file or syslog, not %s",
		              config->log_driver);
	return r;
}

static int set_stop(struct kist_cli *cli, const struct create_options *o, const struct kist_image *image,
                    struct kist_container_config *config, struct kist_error *err)
{
	const char *signal_name = o->stop_signal ? o->stop_signal : image ? image->config.stop_signal : NULL;

	config->stop_timeout =
	        o->stop_timeout.set ? (uint32_t)o->stop_timeout.value : kist_settings(cli->k)->stop_timeout;
	if (o->stop_timeout.set && (uint64_t)o->stop_timeout.value > UINT32_MAX)
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "stop-timeout is out of range");
	if (kist_empty(signal_name))
		return 0;
	config->stop_signal = kist_parse_signal(signal_name);
	return config->stop_signal <= 0
	               ? kist_fail(err, KIST_ERR_INVALID, 0, "stop-signal '%s' is not a signal", signal_name)
	               : 0;
}

static int set_plain(struct kist_cli *cli, const struct create_options *o, const struct kist_image *image,
                     struct kist_container_config *config, struct kist_error *err)
{
	uint32_t umask_;

	set_string(&config->name, kist_empty(o->name) ? NULL : o->name);
	set_string(&config->hostname, o->hostname);
	set_string(&config->init_ctr, o->init_ctr);
	set_string(&config->timezone, o->timezone);
	set_string(&config->cgroup_parent, o->cgroup_parent ? o->cgroup_parent : kist_settings(cli->k)->cgroup_parent);
	set_string(&config->cgroups, o->cgroups);
	set_string(&config->seccomp, kist_settings(cli->k)->seccomp_profile);
	set_string(&config->user, o->user ? o->user : image ? image->config.user : NULL);
	config->workdir_given = !kist_empty(o->workdir);
	set_string(&config->workdir, o->workdir ? o->workdir : image ? image->config.workdir : NULL);
	if (!kist_empty(config->workdir) && config->workdir[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0, "workdir '%s': expected an absolute path", config->workdir);
	KIST_FREE char *here = getcwd(NULL, 0);
	if (o->pidfile)
		config->pidfile = o->pidfile[0] == '/' ? kist_strdup(o->pidfile)
		                                       : kist_asprintf("%s/%s", here ? here : "", o->pidfile);
	if (o->cidfile)
		config->cidfile = o->cidfile[0] == '/' ? kist_strdup(o->cidfile)
		                                       : kist_asprintf("%s/%s", here ? here : "", o->cidfile);
	config->groups = kist_strv_copy(o->group_add);
	config->add_hosts = kist_strv_copy(o->add_host);
	config->no_hosts = o->no_hosts;
	config->tty = o->tty;
	config->open_stdin = o->interactive;
	config->auto_remove = o->remove || o->remove_image;
	config->auto_remove_image = o->remove_image;
	config->init = o->init;
	config->read_only = o->read_only;
	config->read_only_tmpfs = o->read_only_tmpfs;
	config->shm_size = o->shm_size.set ? (uint64_t)o->shm_size.value : kist_settings(cli->k)->shm_size;
	config->overlay_options = kist_strv_copy(kist_settings(cli->k)->overlay_options);
	int r = create_storage(o, config, err);
	if (r < 0)
		return r;
	if (kist_parse_octal(o->umask, &umask_) < 0 || umask_ > 0777)
		return kist_fail(err, KIST_ERR_INVALID, 0, "umask '%s': expected an octal number up to 0777", o->umask);
	config->umask = (struct kist_opt){ true, umask_ };
	for (size_t i = 0; cli->argv && cli->argv[i]; i++)
		kist_strv_add(&config->create_command, cli->argv[i]);
	return 0;
}

int create_config(struct kist_cli *cli, const struct create_options *o, int argc, char **argv,
                  struct kist_container_config *config, struct kist_error *err)
{
	struct kist_image *image = NULL;

	int r = set_image(cli, o, argv[0], &image, config, err);
	if (r == 0)
		r = set_plain(cli, o, image, config, err);
	if (r == 0)
		r = set_command(o, image, argc, argv, config, err);
	if (r == 0)
		r = create_env(cli, o, image, config, err);
	if (r == 0)
		r = set_labels(o, image, config, err);
	if (r == 0)
		r = create_namespaces(cli, o, config, err);
	if (r == 0)
		r = create_network(cli, o, image, config, err);
	if (r == 0)
		r = create_mounts(cli, o, image, config, err);
	if (r == 0)
		r = create_secrets(cli, o, config, err);
	if (r == 0)
		r = create_security(o, config, err);
	if (r == 0)
		r = create_hooks(cli, o, config, err);
	if (r == 0)
		r = create_limits(cli, o, config, err);
	if (r == 0)
		r = set_stop(cli, o, image, config, err);
	if (r == 0)
		r = create_supervise(cli, o, config, err);
	if (r == 0)
		r = create_health(o, image, &config->health, err);
	if (r == 0)
		r = set_log(cli, o, config, err);
	kist_image_free(image);
	return r;
}

/* The file must not exist: two containers must not share one. */
static int cidfile_open(const char *path, struct kist_error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd >= 0)
		return fd;
	if (errno == EEXIST)
		return kist_fail(err, KIST_ERR_EXISTS, EEXIST,
		                 "container id file %s exists: remove it, or name another", path);
	return kist_fail_errno(err, errno, "make container id file %s", path);
}

static int replace_old(struct kist_cli *cli, const char *name, struct kist_error *err)
{
	struct kist_container *old = NULL;
	struct kist_error problem = { 0 };

	int r = kist_container_open(cli->k, name, &old, &problem);
	if (r < 0 && problem.kind == KIST_ERR_NOT_FOUND)
		return 0;
	if (r == 0 && kist_streq(kist_container_name(old), name))
		r = kist_container_remove(old, KIST_REMOVE_FORCE, -1, &problem);
	kist_container_free(old);
	if (r < 0 && err)
		*err = problem;
	return r;
}

static int make_in_pod(struct kist_cli *cli, const struct create_options *o, const struct kist_pod *pod, int argc,
                       char **argv, struct kist_container **out, struct kist_error *err)
{
	struct kist_container_config config;
	KIST_CLOSE int cidfile = -1;

	kist_container_config_init(&config);
	set_string(&config.pod, pod ? kist_pod_id(pod) : NULL);
	int r = pod ? create_pod_check(o, pod, err) : 0;
	if (r == 0 && pod && kist_pod_shares(pod, "net"))
		set_string(&config.net_ns, "pod");
	if (r == 0)
		r = create_config(cli, o, argc, argv, &config, err);
	if (r == 0 && o->replace)
		r = replace_old(cli, o->name, err);
	if (r == 0 && config.cidfile) {
		cidfile = cidfile_open(config.cidfile, err);
		r = cidfile < 0 ? cidfile : 0;
	}
	if (r == 0)
		r = kist_container_create(cli->k, &config, out, err);
	if (cidfile >= 0 && r == 0) {
		r = kist_write_all(cidfile, kist_container_id(*out), 64);
		if (r < 0) {
			kist_container_remove(*out, KIST_REMOVE_FORCE, 0, NULL);
			kist_container_free(*out);
			*out = NULL;
			r = kist_fail_errno(err, -r, "write container id file %s", config.cidfile);
		}
	}
	if (cidfile >= 0 && r < 0)
		unlink(config.cidfile);
	kist_container_config_clear(&config);
	return r;
}

int create_container(struct kist_cli *cli, const struct create_options *options, int argc, char **argv,
                     struct kist_container **out, struct kist_error *err)
{
	struct create_options o = *options;
	struct kist_pod *pod = NULL;
	bool made = false;

	if (o.replace && kist_empty(o.name))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--replace needs --name");
	int r = create_pod(cli, &o, &pod, &made, err);
	if (r == 0)
		r = make_in_pod(cli, &o, pod, argc, argv, out, err);
	if (r < 0 && made)
		kist_pod_remove(pod, KIST_REMOVE_FORCE, 0, NULL);
	kist_pod_free(pod);
	return r;
}
