/* Small files of a container's own that are mounted over /etc and /run: they live in the run directory. */
#include "core/network.h"
#include "core/notify.h"
#include "core/plan.h"
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPTIONS(...)  ((const char *const[]){ __VA_ARGS__, NULL })
#define HOST_FILE_MAX (1u << 20)

static int write_file(struct plan *p, const char *name, const struct kist_str *text, struct kist_error *err)
{
	/* Made anew for each run, in a directory of ours: no rename is needed, nobody reads it before the start. */
	KIST_CLOSE int fd = openat(p->c->run_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int r = fd < 0 ? -errno : kist_write_all(fd, kist_str_get(text), text->len);

	if (r == 0 && fchmod(fd, 0644) < 0)
		r = -errno;
	return r < 0 ? kist_fail_errno(err, -r, "write %s of the container", name) : 0;
}

static void mount_file(struct plan *p, const char *destination, const char *path)
{
	kist_spec_add_mount(p->spec, destination, "bind", path,
	                    OPTIONS("bind", "rprivate", "nosuid", "nodev", "noexec"));
}

static int own_file(struct plan *p, const char *destination, const char *name, const struct kist_str *text,
                    struct kist_error *err)
{
	if (plan_user_mounts(p, destination))
		return 0;
	int r = write_file(p, name, text, err);
	if (r < 0)
		return r;
	KIST_FREE char *path = kist_container_runpath(p->c, name);
	mount_file(p, destination, path);
	return 0;
}

/* A host file, empty when it is missing or unreadable: a minimal host may have none. */
void plan_read_host(const char *path, struct kist_str *out)
{
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		kist_read_fd(fd, HOST_FILE_MAX, out);
	if (out->len && out->data[out->len - 1] != '\n')
		kist_str_addc(out, '\n');
}

/* --- /etc/hosts: hosts.c -------------------------------------------------------------------------------------------
 */

static int hosts(struct plan *p, bool host_net, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	int r = kist_hosts_text(p->c, p->rootfs, host_net, &text, err);
	return r < 0 ? r : own_file(p, "/etc/hosts", "hosts", &text, err);
}

/* --- /etc/resolv.conf ------------------------------------------------------------------------------------------------
 */

static bool is_keyword(const char *line, const char *keyword)
{
	size_t n = strlen(keyword);

	return kist_has_prefix(line, keyword) && (line[n] == ' ' || line[n] == '\t');
}

/* A resolver on the host's loopback is not reachable from another network namespace. */
static bool is_loopback_server(const char *line)
{
	return is_keyword(line, "nameserver") &&
	       (strstr(line, " 127.") || strstr(line, "\t127.") || strstr(line, " ::1") || strstr(line, "\t::1"));
}

static void add_list(struct kist_str *text, const char *keyword, char *const *items)
{
	if (!items || (kist_streq(items[0], ".") && !items[1]))
		return; /* "." says: none, not even the host's */
	KIST_FREE char *joined = kist_strv_join(items, " ");
	kist_str_addf(text, "%s %s\n", keyword, joined);
}

void kist_resolv_text(const struct kist_container *c, bool host_net, struct kist_str *text)
{
	const struct kist_container_config *config = &c->config;
	KIST_STR struct kist_str host = { 0 };

	plan_read_host("/etc/resolv.conf", &host);
	add_list(text, "search", config->dns_search);
	bool answered = kist_network_answers_names(c);
	if (answered)
		kist_str_add(text, "nameserver 127.0.0.11\n");
	for (size_t i = 0; !answered && config->dns_servers && config->dns_servers[i]; i++)
		kist_str_addf(text, "nameserver %s\n", config->dns_servers[i]);
	KIST_STRV char **lines = kist_strv_split(kist_str_get(&host), '\n');
	for (size_t i = 0; lines && lines[i]; i++) {
		const char *line = lines[i];
		if (!line[0] || (!host_net && is_loopback_server(line)) ||
		    ((answered || config->dns_servers) && is_keyword(line, "nameserver")) ||
		    (config->dns_search && (is_keyword(line, "search") || is_keyword(line, "domain"))) ||
		    (config->dns_options && is_keyword(line, "options")))
			continue;
		kist_str_addf(text, "%s\n", line);
	}
	add_list(text, "options", config->dns_options);
}

static int resolv_conf(struct plan *p, bool host_net, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	if (p->config->dns_servers && kist_streq(p->config->dns_servers[0], "none"))
		return 0;
	kist_resolv_text(p->c, host_net, &text);
	return own_file(p, "/etc/resolv.conf", "resolv.conf", &text, err);
}

/* A container that shares another's network has its names too. */
static int shared_net_files(struct plan *p, const char *id, struct kist_error *err)
{
	static const struct {
		const char *name, *destination;
	} files[] = { { "hosts", "/etc/hosts" }, { "resolv.conf", "/etc/resolv.conf" } };

	for (size_t i = 0; i < KIST_COUNT(files); i++) {
		KIST_FREE char *path =
		        kist_asprintf("%s/containers/%s/%s", p->c->k->settings.runroot, id, files[i].name);
		bool unwanted = i == 0 ? p->config->no_hosts : p->config->no_resolv;
		if (!unwanted && !plan_user_mounts(p, files[i].destination) && access(path, R_OK) == 0)
			mount_file(p, files[i].destination, path);
	}
	/* The owner knows its guests by name. */
	KIST_FREE char *line = kist_hosts_shared_line(p->c);
	return kist_run_file_rewrite(p->c->k, id, "hosts", "", line, err);
}

/* Of a pod's name: with a UTS namespace of its own a container has its own file. */
static void shared_hostname(struct plan *p)
{
	enum kist_ns_mode uts;
	const char *id;

	if (kist_ns_mode_parse(p->config->uts_ns, &uts, &id) < 0 || uts != KIST_NS_CONTAINER ||
	    plan_user_mounts(p, "/etc/hostname"))
		return;
	KIST_FREE char *path = kist_asprintf("%s/containers/%s/hostname", p->c->k->settings.runroot, id);
	if (access(path, R_OK) == 0)
		mount_file(p, "/etc/hostname", path);
}

static int containerenv(struct plan *p, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	const struct kist_container_config *config = p->config;

	if (plan_user_mounts(p, "/run") || (config->read_only && config->read_only_tmpfs))
		return 0; /* its place is hidden by another mount */
	if (config->privileged)
		kist_str_addf(&text,
		              "engine=\"kist-%s\"\nname=\"%s\"\nid=\"%s\"\nimage=\"%s\"\nimageid=\"%s\"\nrootless=0\n",
		              KIST_VERSION, config->name, config->id, config->image_name ? config->image_name : "",
		              config->image ? config->image : "");
	return own_file(p, "/run/.containerenv", "containerenv", &text, err);
}

/* The environment is of the process alone: it is taken out of what is written down, and exec sessions have none. */
void plan_notify(struct plan *p)
{
	KIST_FREE char *path = kist_container_runpath(p->c, KIST_NOTIFY_DIR);

	if (plan_user_mounts(p, KIST_NOTIFY_PLACE))
		return;
	kist_spec_add_mount(p->spec, KIST_NOTIFY_PLACE, "bind", path,
	                    OPTIONS("bind", "rprivate", "ro", "nosuid", "nodev", "noexec"));
	kist_env_set(&p->spec->process->env, KIST_NOTIFY_ENV, KIST_NOTIFY_PLACE "/" KIST_NOTIFY_SOCKET);
}

int plan_files(struct plan *p, struct kist_error *err)
{
	KIST_STR struct kist_str name = { 0 };
	enum kist_ns_mode net;
	const char *id;

	int r = containerenv(p, err);
	if (r == 0)
		r = kist_secrets_plan(p, err);
	if (r < 0 || kist_ns_mode_parse(p->config->net_ns, &net, &id) < 0)
		return r;
	if (p->config->pod && !p->config->infra)
		shared_hostname(p);
	if (net == KIST_NS_CONTAINER)
		return shared_net_files(p, id, err);
	bool host_net = net == KIST_NS_HOST;
	if (!p->config->no_hosts)
		r = hosts(p, host_net, err);
	if (r == 0 && !p->config->no_resolv)
		r = resolv_conf(p, host_net, err);
	if (r == 0 && p->spec->hostname) {
		kist_str_addf(&name, "%s\n", p->spec->hostname);
		r = own_file(p, "/etc/hostname", "hostname", &name, err);
	}
	return r;
}
