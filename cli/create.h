/* The options of run and create, and what they make: a container's configuration. */
#ifndef KIST_CREATE_H
#define KIST_CREATE_H

#include "cli/cli.h"
#include "cli/registry_commands.h"

struct create_options {
	/* identity and process */
	const char *name, *entrypoint, *user, *workdir, *hostname;
	char **env, **env_file, **unset_env, **label, **label_file, **annotation, **group_add;
	bool env_host, unset_env_all, http_proxy, tty, interactive, remove, remove_image, replace, init, rootfs, quiet;
	struct cli_registry registry;
	struct cli_platform platform;
	const char *pull, *cidfile, *pidfile, *stop_signal, *umask, *timezone;
	struct kist_opt stop_timeout;
	const char *restart, *conmon_pidfile, *sdnotify;
	struct kist_opt timeout;
	char **required;
	/* namespaces */
	const char *pid, *ipc, *uts, *userns, *cgroupns;
	char **uidmap, **gidmap;
	const char *subuidname, *subgidname;
	bool no_hosts;
	char **add_host;
	/* pod */
	const char *pod, *pod_id_file, *init_ctr;
	/* network */
	char **network, **network_alias, **publish, **expose, **dns, **dns_search, **dns_option;
	const char *ip, *ip6, *mac_address, *hosts_file;
	bool publish_all, n_ports_wanted;
	/* file systems */
	char **volume, **mount, **tmpfs, **volumes_from, **secret;
	const char *image_volume;
	bool read_only, read_only_tmpfs;
	struct kist_opt shm_size;
	char **storage_opt;
	/* devices and security */
	char **hooks_dir;
	char **device, **device_rule, **cap_add, **cap_drop, **security_opt, **sysctl, **ulimit;
	bool privileged;
	struct kist_opt oom_score_adj;
	/* limits */
	const char *cgroup_parent, *cgroups, *cpuset_cpus, *cpuset_mems;
	struct kist_opt memory, memory_reservation, memory_swap, cpus, pids_limit;
	struct kist_opt cpu_period, cpu_quota, cpu_shares, blkio_weight;
	char **blkio_weight_device, **read_bps, **write_bps, **read_iops, **write_iops, **cgroup_conf;
	/* health */
	bool no_healthcheck;
	struct kist_opt health_retries, health_startup_retries, health_startup_success, health_log_count,
	        health_log_size;
	const char *health_cmd, *health_interval, *health_timeout, *health_start_period, *health_on_failure;
	const char *health_startup_cmd, *health_startup_interval, *health_startup_timeout, *health_log_destination;
	/* logs */
	const char *log_driver;
	char **log_opt;
};

/* Of run and create; those that pods have too, in two tables; limits of both; limits of containers alone. */
extern const struct kist_option create_option_rows[], create_shared_rows[], create_cloned_rows[], create_refused_rows[],
        create_refused_limit_rows[], create_limit_rows[], create_health_rows[], create_own_limit_rows[];

extern const struct kist_option_set create_option_sets[]; /* of create: on a struct create_options */

/* The configuration that the options, the image and the arguments make. argv[0] is the image or, with --rootfs, the
 * directory. */
int create_config(struct kist_cli *cli, const struct create_options *o, int argc, char **argv,
                  struct kist_container_config *config, struct kist_error *err);
/* Makes the container; removes the one it replaces, writes the cid file. */
int create_container(struct kist_cli *cli, const struct create_options *o, int argc, char **argv,
                     struct kist_container **out, struct kist_error *err);

/* The pod that the options name; *made: with new:NAME it was made, and has the options that belong to it. NULL *out:
 * none is named. (pod_create.c) */
int create_pod(struct kist_cli *cli, struct create_options *o, struct kist_pod **out, bool *made,
               struct kist_error *err);
/* Options of what the pod shares are the pod's own. */
int create_pod_check(const struct create_options *o, const struct kist_pod *pod, struct kist_error *err);

/* Parts of create_config. */
const char *create_image_name(const struct kist_image *image, const char *word);           /* belongs to the image */
int create_labels(const struct create_options *o, char ***labels, struct kist_error *err); /* --label, --label-file */
int create_namespaces(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                      struct kist_error *err);
int create_mounts(struct kist_cli *cli, const struct create_options *o, const struct kist_image *image,
                  struct kist_container_config *config, struct kist_error *err);
int create_network(struct kist_cli *cli, const struct create_options *o, const struct kist_image *image,
                   struct kist_container_config *config, struct kist_error *err);
/* [[ip:][hostPort]:]containerPort[/protocol]; out's strings are the caller's. */
int create_parse_port(const char *text, struct kist_port_config *out, struct kist_error *err);
int create_secrets(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                   struct kist_error *err);
/* A path in the container as one text for one place. The caller frees *out. */
int create_check_destination(const char *path, const char *option, char **out, struct kist_error *err);
int create_check_bind_option(const char *option, struct kist_error *err);
/* What -v and --mount say of a volume; name NULL: an anonymous one. */
struct create_volume {
	const char *name, *destination, *subpath;
	char *const *options;
	const char *option; /* for messages */
};
int create_add_volume(struct kist_container_config *config, const struct create_volume *volume, struct kist_error *err);
/* CONTAINER[:OPTIONS] */
int create_volumes_from(struct kist_cli *cli, const char *text, struct kist_container_config *config,
                        struct kist_error *err);
int create_image_volumes(const struct create_options *o, const struct kist_image *image,
                         struct kist_container_config *config, struct kist_error *err);
int create_userns(const struct create_options *o, struct kist_container_config *config, struct kist_error *err);
int create_hooks(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                 struct kist_error *err);
int create_limit_values(const struct create_options *o, struct kist_container_config *config, struct kist_error *err);
int create_limits(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                  struct kist_error *err);
int create_supervise(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                     struct kist_error *err);
int create_health(const struct create_options *o, const struct kist_image *image, struct kist_health_config *config,
                  struct kist_error *err);
bool create_health_given(const struct create_options *o);
int create_security(const struct create_options *o, struct kist_container_config *config, struct kist_error *err);
int create_env(struct kist_cli *cli, const struct create_options *o, const struct kist_image *image,
               struct kist_container_config *config, struct kist_error *err);
/* Of the file that an option names, without comments and empty lines. */
int create_read_lines(const char *option, const char *path, char ***lines, struct kist_error *err);

/* --storage-opt. */
int create_storage(const struct create_options *o, struct kist_container_config *config, struct kist_error *err);

#endif
