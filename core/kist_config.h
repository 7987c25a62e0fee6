/* What a container is made with, and what changes. Part of kist.h, which has the conventions. */
#ifndef KIST_CONFIG_H
#define KIST_CONFIG_H

#include "core/base/error.h"
#include "core/base/spec.h"

struct kist_mount_config {
	char *destination; /* absolute path in the container; the key */
	char *type;        /* bind, tmpfs, ramfs, devpts, mqueue, image ... */
	char *source;      /* bind: absolute host path; image: its id */
	char **options;    /* as mount(8) and podman-run(1) name them: ro, rbind, rprivate, size=64m ... */
};

/* A volume in a container. */
struct kist_volume_mount_config {
	char *destination; /* absolute path in the container; the key */
	char *name;        /* NULL for create: an anonymous volume is made */
	char *subpath;     /* a directory or file in the volume, resolved inside it; NULL: the whole */
	char **options;    /* ro nocopy U noexec rshared ...: as podman-run(1) names them */
	bool anonymous;    /* made for this container */
};

/* A secret given to a container. */
struct kist_secret_config {
	char *name;
	char *target; /* a file's path, below /run/secrets unless absolute; or a variable's name. NULL: the secret's
	                 name */
	bool env;     /* a variable, not a file */
	uint32_t uid, gid;    /* of the file, in the container */
	struct kist_opt mode; /* 0444 */
};

struct kist_device_config {
	char *source; /* host path, resolved when the container is initialised */
	char *destination;
	char *access; /* of r w m */
};

/* A container's place on a network. */
struct kist_network_config {
	char *name;           /* of the network; an id or its beginning is resolved by create */
	char *ip, *ip6, *mac; /* NULL: chosen at each start */
	char **aliases;       /* further names on networks that answer names */
	char *interface_name; /* in the container; NULL: eth0, eth1 ... */
};

/* Published: ports host_port.. of the host lead to container_port.. of the container. */
struct kist_port_config {
	char *host_ip;      /* NULL: every address */
	uint32_t host_port; /* 0: a free one is chosen at each start */
	uint32_t container_port;
	uint32_t count; /* 1 and more */
	char *protocol; /* tcp udp sctp */
};

/* A health check: a command that is run in the container again and again. Times are nanoseconds. The startup check, if
 * there is one, comes first, and the other once it has passed. */
enum kist_health_action { KIST_HEALTH_NONE, KIST_HEALTH_KILL, KIST_HEALTH_RESTART, KIST_HEALTH_STOP };
struct kist_health_config {
	char **test;      /* "CMD", argv...; "CMD-SHELL", a line for /bin/sh; "NONE"; NULL: no check */
	int64_t interval; /* between the end of one and the next; 0: only when 'healthcheck run' asks */
	int64_t timeout;
	int64_t start_period; /* from the start on, failures are not counted */
	uint32_t retries;     /* failures in a row that make it unhealthy */
	int on_failure;       /* enum kist_health_action; once it is unhealthy */
	char **startup_test;
	int64_t startup_interval, startup_timeout;
	uint32_t startup_retries; /* failures that have the container restarted; 0: never */
	uint32_t startup_success; /* successes in a row that it takes; 0: one */
	uint32_t log_count;       /* outcomes that are kept; 0: as many as a record holds */
	uint32_t log_size;        /* characters that are kept of an output; 0: as many as a record holds */
	char *log_destination;    /* local: in the run directory; events_logger; or a directory */
};

/* Who tells NOTIFY_SOCKET that the container is ready: it itself, the monitor at once or after the first health check
 * that passed, or nobody. */
enum kist_sdnotify { KIST_SDNOTIFY_CONTAINER, KIST_SDNOTIFY_CONMON, KIST_SDNOTIFY_HEALTHY, KIST_SDNOTIFY_IGNORE };
/* container conmon healthy ignore. -EINVAL. */
int kist_sdnotify_parse(const char *text, int *out);
const char *kist_sdnotify_name(int mode);

/* What 'create' fixes. Written once to containers/ID/config (kist-state(5)); core/config.c has the table.
 * Namespace modes: "private", "host", "container:ID", "ns:PATH"; net also "none"; ipc also "shareable" and "none"; user
 * also "auto[:OPTIONS]" and "keep-id". */
struct kist_container_config {
	char *id;   /* 64 hexadecimal digits; made by create */
	char *name; /* NULL: one is generated */
	int64_t created;
	char *image;              /* id of the image, NULL with rootfs */
	char *image_name;         /* as the user gave it */
	char **layers;            /* of the image, top first */
	char *rootfs;             /* --rootfs: absolute host path */
	bool rootfs_overlay;      /* --rootfs DIR:O; and --rootfs FILE of a squashfs or erofs file system */
	char **command;           /* the argv to execute: entrypoint and cmd joined; never empty */
	char **entrypoint, **cmd; /* for inspect and commit */
	char **create_command;    /* the command line that made it, for inspect */
	char **env;               /* complete: image, defaults and user */
	char **unset_env;         /* defaults that are left out; names */
	bool unset_env_all;
	char **labels;      /* "key=value" */
	char **annotations; /* "key=value" */
	char **hooks_dir;   /* directories of OCI hook files; NULL: those of oci-hooks(5); "" alone: none */
	char *workdir;      /* absolute; made in-root when missing, for the user; NULL: / */
	bool workdir_given; /* not the image's own: an error when missing */
	char *user;         /* as podman's --user; NULL: root */
	char **groups;      /* --group-add */
	char *hostname;     /* NULL: the short id */
	bool tty, open_stdin, auto_remove, init;
	bool auto_remove_image; /* with auto_remove: its image goes too, unless something else uses it */
	char *pid_ns, *ipc_ns, *uts_ns, *user_ns, *cgroup_ns, *net_ns;
	struct kist_spec_id_map *uid_map, *gid_map; /* with user_ns private; others are worked out by create */
	size_t n_uid_map, n_gid_map;
	char **id_ranges; /* with user_ns auto: what it holds of the host's ids; made by create */
	struct kist_mount_config *mounts;
	size_t n_mounts;
	struct kist_volume_mount_config *named_volumes; /* create makes those that are missing */
	size_t n_named_volumes;
	char **volumes_from;                /* for inspect: what they have is in mounts and named_volumes */
	struct kist_secret_config *secrets; /* values are read at each start and kept in no record */
	size_t n_secrets;
	bool read_only, read_only_tmpfs; /* --read-only, --read-only-tmpfs (default true) */
	struct kist_device_config *devices;
	size_t n_devices;
	char **device_rules; /* --device-cgroup-rule: "c 1:3 rwm" */
	char **cap_add, **cap_drop;
	bool privileged, no_new_privileges;
	char *seccomp;         /* NULL: the default; "unconfined"; or a path */
	char *apparmor;        /* NULL: the default one where the kernel has AppArmor; "unconfined"; or a profile */
	char **mask, **unmask; /* --security-opt; unmask may hold ALL */
	char *proc_opts;       /* options of the /proc mount, comma separated */
	struct kist_spec_resources *resources; /* what the user asked for; device rules are made at init */
	bool pids_limit_default; /* resources' pids limit is a default: left out where the controller is missing */
	struct kist_spec_rlimit *rlimits;
	size_t n_rlimits;
	char **sysctl; /* "name=value" */
	struct kist_opt oom_score_adj;
	int stop_signal;                           /* 15 */
	uint32_t stop_timeout;                     /* seconds */
	char **required;                           /* ids of containers that must run first */
	uint32_t timeout;                          /* seconds that a run may take before it is killed; 0: any */
	char *conmon_pidfile;                      /* absolute path for the pid of the monitor */
	char *restart_policy;                      /* no on-failure always unless-stopped; NULL: no */
	uint32_t restart_retries;                  /* with on-failure: at most so many restarts; 0: any number */
	uint32_t restart_delay, restart_delay_max; /* milliseconds: as in the settings */
	int sdnotify;                              /* enum kist_sdnotify */
	struct kist_opt umask;                     /* 0022 */
	char *timezone;                            /* zone name or "local" */
	uint64_t shm_size;
	char **overlay_options; /* of its root's mount: as in the settings */
	/* Limits of the writable layer, by project quota of its file system; 0: none. The project is chosen by create.
	 */
	uint64_t storage_size, storage_inodes;
	uint32_t storage_project;
	char *log_driver;       /* k8s-file json-file syslog passthrough passthrough-tty none */
	char *log_path;         /* NULL: ctr.log beside the record */
	uint64_t log_max_size;  /* bytes, 0: unbounded */
	uint32_t log_max_files; /* rotated files besides the current one are one fewer */
	char *log_tag;
	char *cgroup_parent; /* path below the hierarchy's root */
	char *cgroups;       /* enabled, disabled */
	char *pod;      /* id of the pod that it is in, NULL: none. Its namespace modes can then be "pod": shared where
	                 * the pod shares it, else the default */
	bool infra;     /* it holds the pod's namespaces: made by kist_pod_create alone */
	char *init_ctr; /* once, always: runs to its end before the pod's other containers start; NULL: a usual one */
	char *pidfile, *cidfile;
	struct kist_health_config health;
	bool no_hosts, no_resolv;             /* leave /etc/hosts, /etc/resolv.conf, alone */
	char **add_hosts;                     /* "name:address"; the address may be host-gateway */
	char *hosts_file;                     /* base of /etc/hosts: a host path, "image", or "none" (NULL too) */
	struct kist_network_config *networks; /* with net_ns private */
	size_t n_networks;
	struct kist_port_config *ports;
	size_t n_ports;
	char **expose;                                   /* "80/tcp": of the image and --expose */
	bool publish_all;                                /* every exposed port at a free port of the host */
	char **dns_servers, **dns_search, **dns_options; /* "none" as a server leaves /etc/resolv.conf alone */
};

extern const struct kist_table kist_container_config_table;
void kist_container_config_init(struct kist_container_config *config); /* defaults, before filling it in */
void kist_container_config_clear(struct kist_container_config *config);

enum kist_status {
	KIST_UNKNOWN,
	KIST_CONFIGURED, /* shown as 'created' */
	KIST_CREATED,    /* shown as 'initialized' */
	KIST_RUNNING,
	KIST_STOPPING,
	KIST_STOPPED, /* dead, not yet cleaned up */
	KIST_PAUSED,
	KIST_EXITED, /* dead and cleaned up */
	KIST_REMOVING,
};
const char *kist_status_name(enum kist_status status);          /* the engine's own name: "configured" */
const char *kist_status_shown(enum kist_status status);         /* as podman shows it: "created" */
int kist_status_parse(const char *text, enum kist_status *out); /* either form */

/* What a container has on a network while it runs. */
struct kist_network_state {
	char *name;           /* of the network */
	char *interface;      /* in the container */
	char *host_interface; /* the other end on the host; NULL: none */
	char *mac;
	char **addresses; /* with the length of the prefix: "10.88.0.2/16" */
	char **gateways;
};

/* A published port as it was taken. */
struct kist_port_state {
	char *host_ip; /* 0.0.0.0 or :: for every address */
	uint32_t host_port, container_port, count;
	char *protocol;
	char *container_ip; /* NULL: it leads nowhere for now */
	bool implied;       /* the second of one -p: for IPv6, or for ::1 alone. Not shown */
};

/* What changes. containers/ID/state; core/config.c has the table. */
struct kist_container_state {
	int status;         /* enum kist_status */
	int pid;            /* of the container's init on the host, 0 when there is none */
	uint64_t pid_start; /* field 22 of /proc/PID/stat */
	int monitor_pid;
	uint64_t monitor_start;
	int64_t started, finished;
	int exit_code; /* -1: unknown (the monitor was killed) */
	bool exited;   /* exit_code is of a run that ended */
	bool oom_killed;
	bool stopped_by_user;    /* the last end was a user's doing; kept over a reboot */
	bool stopped_by_host;    /* it was the host's, by 'kist shutdown' or the monitor's SIGTERM */
	bool stopped_to_restart; /* whoever ends it starts it again, unless a stop takes this away */
	bool restarting;         /* stopped, and its monitor waits for the next run */
	uint32_t run;            /* counts inits: which run exit_code belongs to */
	uint32_t restart_count;
	uint32_t mounts;                     /* how often 'mount' has it on the host */
	char *cgroup;                        /* path below the hierarchy's root; NULL: none */
	char *error;                         /* why the last start failed */
	char *boot;                          /* the boot the rest belongs to: a state of another boot counts as reset */
	struct kist_network_state *networks; /* written before it is made */
	size_t n_networks;
	struct kist_port_state *ports;
	size_t n_ports;
};

#endif
