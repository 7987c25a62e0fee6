/* kist: the engine's public header (libkist).
 *
 * One struct kist is one opened store; nothing is kept between processes but the files below its two
 * directories. There is no daemon: every call reads what it needs, locks one object, acts, and writes. Handles
 * (struct kist_container) hold a snapshot; kist_container_sync brings it up to date.
 *
 * Conventions
 *   - 0 or a positive result is success, a negative errno is failure; *err has kind and text; outputs are
 *     untouched on failure. err may be NULL.
 *   - Strings given are copied; strings and arrays returned belong to the handle unless said otherwise.
 *   - Times are wall-clock nanoseconds since 1970 (0: never); time-outs are whole seconds on CLOCK_BOOTTIME.
 *   - No call waits while it holds a lock.
 *   - JSON documents are json-c objects that the caller puts.
 * Not thread-safe: one thread per struct kist. */
#ifndef KIST_H
#define KIST_H

#include "core/base/error.h"
#include "core/base/spec.h"

#include <sys/types.h>

struct json_object;
struct kist_image;

/* --- the store ------------------------------------------------------------------------------------------------------
 */

struct kist;

struct kist_options {
	const char *root;        /* NULL: KIST_ROOT, kist.conf, /var/lib/kist */
	const char *runroot;     /* NULL: KIST_RUNROOT, kist.conf, /run/kist */
	const char *config_file; /* NULL: KIST_CONF, /etc/kist.conf; a missing default file is fine, a missing named one
	                            is an error */
	char *const
	        *imagestore; /* further stores of images, NULL: KIST_IMAGESTORE; those of kist.conf come after them */
	const char *const *set; /* further "key=value" settings over the file, NULL-terminated; may be NULL */
	const char *binary;     /* the kist program of this version, executed as the monitor of each container that is
	                           started. NULL: KIST_BINARY, or where it was installed with this library */
};

enum kist_events_to { KIST_EVENTS_FILE, KIST_EVENTS_NONE };

/* /etc/kist.conf: key=value lines; kist.conf(5). */
struct kist_settings {
	char *root, *runroot;
	char *cgroup_parent;    /* default /kist */
	char *log_driver;       /* k8s-file */
	uint64_t log_max_size;  /* bytes; 10 MB */
	uint32_t log_max_files; /* 3 */
	uint32_t stop_timeout;  /* seconds; 10 */
	/* Milliseconds before the first restart by policy, doubling with each, and the most: 100, 60000. */
	uint32_t restart_delay, restart_delay_max;
	uint32_t pids_limit;   /* 2048; 0: none */
	uint64_t shm_size;     /* bytes; 65536k */
	char *network;         /* of containers that name none: a network, none or host */
	bool volatile_;        /* key 'volatile': all changing state in runroot, no fsync */
	int events;            /* enum kist_events_to */
	char *seccomp_profile; /* path of a profile to use instead of the built-in one */
	char *detach_keys;     /* ctrl-p,ctrl-q; "": none */
	char **env;            /* added to every container */
	char **imagestore;     /* further stores of images, which are only read */
	char **hooks_dir;      /* of containers that name none */
	char **registries;     /* where names without one are pulled from, in order; NULL: docker.io */
	/* HOST[:PORT] whose certificate is not checked, or that have none. */
	char **insecure_registries;
	/* START:SIZE of the host's ids for user namespaces, where /etc/subuid has no 'containers' */
	char *userns_range;
};

/* Opens the store, making its directories (0700) when missing. The first open after a boot brings every record
 * back: exited stays exited, all else becomes configured. */
int kist_open(struct kist **out, const struct kist_options *options, struct kist_error *err);
void kist_close(struct kist *k);
const struct kist_settings *kist_settings(const struct kist *k);
/* The document of 'kist info'. */
int kist_info(struct kist *k, struct json_object **out, struct kist_error *err);

/* --- containers: configuration and state ----------------------------------------------------------------------------
 */

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
	char *workdir;      /* absolute; made in-root when missing; NULL: / */
	char *user;         /* as podman's --user; NULL: root */
	char **groups;      /* --group-add */
	char *hostname;     /* NULL: the short id */
	bool tty, open_stdin, auto_remove, init;
	char *pid_ns, *ipc_ns, *uts_ns, *user_ns, *cgroup_ns, *net_ns;
	struct kist_spec_id_map *uid_map, *gid_map; /* with user_ns private; others are worked out by create */
	size_t n_uid_map, n_gid_map;
	char **id_ranges; /* with user_ns auto: what it holds of the host's ids; made by create */
	struct kist_mount_config *mounts;
	size_t n_mounts;
	struct kist_volume_mount_config *named_volumes; /* create makes those that are missing */
	size_t n_named_volumes;
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
	struct kist_opt umask;                     /* 0022 */
	char *timezone;                            /* zone name or "local" */
	uint64_t shm_size;
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
	bool stopped_by_user; /* the last end was a user's doing; kept over a reboot */
	bool stopped_by_host; /* it was the host's, by 'kist shutdown' or the monitor's SIGTERM */
	bool restarting;      /* stopped, and its monitor waits for the next run */
	uint32_t run;         /* counts inits: which run exit_code belongs to */
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

/* --- containers: handles and look-up --------------------------------------------------------------------------------
 */

struct kist_container;

/* "CONTAINER:HOST[:SIZE]", also with '@' before HOST. -EINVAL. */
int kist_id_map_parse(const char *text, struct kist_spec_id_map *out);
/* The ids that a file like /etc/subuid gives to a name, as maps from 0 without a gap, added to what is there. */
int kist_subid_read(const char *file, const char *name, struct kist_spec_id_map **ranges, size_t *n,
                    struct kist_error *err);

/* Makes the record. The config's id is ignored, a NULL name is generated. KIST_ERR_EXISTS: the name is taken (the text
 * names the holder). Everything is checked before anything is made. */
int kist_container_create(struct kist *k, const struct kist_container_config *config, struct kist_container **out,
                          struct kist_error *err);
/* By full id, name, or unique prefix of an id. KIST_ERR_NOT_FOUND, KIST_ERR_AMBIGUOUS; a record that is broken:
 * KIST_ERR_CORRUPT. */
int kist_container_open(struct kist *k, const char *name_or_id, struct kist_container **out, struct kist_error *err);
/* The one created last. */
int kist_container_latest(struct kist *k, struct kist_container **out, struct kist_error *err);
/* All, by creation time, without waiting for any lock. *out is an array of *n handles. Broken records are left out,
 * named in *broken (ids; may be NULL; the caller frees the strings). */
int kist_container_list(struct kist *k, struct kist_container ***out, size_t *n, char ***broken,
                        struct kist_error *err);
/* The same, of those that pass every filter. */
struct kist_container_filter {
	bool (*match)(const struct kist_container *c, void *arg);
	void *arg;
};
int kist_container_select(struct kist *k, const struct kist_container_filter *filters, size_t n_filters,
                          struct kist_container ***out, size_t *n, struct kist_error *err);
/* Those that run; those named, all or none of them. */
int kist_container_running(struct kist *k, struct kist_container ***out, size_t *n, struct kist_error *err);
int kist_container_by_names(struct kist *k, char *const *names, struct kist_container ***out, size_t *n,
                            struct kist_error *err);
/* Removes those that are dead, in no pod, and pass every filter. One report for each: the bytes that are free, or why
 * it is still there. The caller frees the array. */
struct kist_prune_report {
	char id[65];
	uint64_t size;
	struct kist_error error; /* kind NONE: it is gone */
};
int kist_container_prune(struct kist *k, const struct kist_container_filter *filters, size_t n_filters,
                         struct kist_prune_report **out, size_t *n, struct kist_error *err);
void kist_container_list_free(struct kist_container **list, size_t n);
void kist_container_free(struct kist_container *c); /* the handle; NULL is fine */
/* Removes what is left of a container whose record cannot be loaded (or can): processes, cgroup, directories, name. */
int kist_container_evict(struct kist *k, const char *name_or_id, char id[65], struct kist_error *err);

const char *kist_container_id(const struct kist_container *c);
const char *kist_container_name(const struct kist_container *c);
const struct kist_container_config *kist_container_config(const struct kist_container *c);
const struct kist_container_state *kist_container_state(const struct kist_container *c); /* the snapshot */
/* Re-reads the state under the lock and settles it: an exit that was recorded, a monitor that died. */
int kist_container_sync(struct kist_container *c, struct kist_error *err);
/* Several calls under one lock, on the state as it was read once: init, kill, pause, unpause, rename, update and views.
 * sync reads it again. What waits for the monitor, which needs the lock itself, does not belong here: stop, restart,
 * wait, clean-up, remove; nor does start of what waits at its gate. What calls returns is returned. */
int kist_container_batch(struct kist_container *c, int (*calls)(struct kist_container *c, void *arg), void *arg,
                         struct kist_error *err);
/* Other containers that share a namespace of this one or require it; ids, the caller frees. */
char **kist_container_dependents(struct kist_container *c);
/* Puts a list in order: what others depend on comes before them, the rest keeps its place. */
void kist_container_sort(struct kist_container **list, size_t n);

/* --- containers: life cycle -----------------------------------------------------------------------------------------
 */

struct kist_attach; /* a connection to the monitor of a container */

struct kist_start {
	bool recursive;        /* what it depends on is started first; else it must run already */
	bool attach;           /* connect before the start, so that no output is lost; *session is set */
	unsigned rows, cols;   /* the terminal's size, set before exec; 0: unset */
	unsigned preserve_fds; /* fds 3..3+n-1 of this process are passed on */
};
/* configured created stopped exited -> running. With attach, *session must be freed; then kist_attach_run. */
int kist_container_start(struct kist_container *c, const struct kist_start *start, struct kist_attach **session,
                         struct kist_error *err);
/* The same up to the gate: -> created. */
int kist_container_init(struct kist_container *c, struct kist_error *err);
/* Sends the stop signal, waits timeout seconds (-1: the container's own), then SIGKILL; returns when it is cleaned up.
 * KIST_ERR_STOPPED when there was nothing to stop. */
int kist_container_stop(struct kist_container *c, int64_t timeout, struct kist_error *err);
int kist_container_kill(struct kist_container *c, int signal_number, struct kist_error *err);
int kist_container_pause(struct kist_container *c, struct kist_error *err);
int kist_container_unpause(struct kist_container *c, struct kist_error *err);
int kist_container_restart(struct kist_container *c, int64_t timeout, struct kist_error *err);
int kist_container_rename(struct kist_container *c, const char *name, struct kist_error *err);
/* What 'update' changes; the rest of the configuration stays as it was made. */
struct kist_update {
	const struct kist_spec_resources *resources; /* what is set in it takes the place of what is; NULL: nothing */
	const char *restart_policy;                  /* NULL: as it is */
	uint32_t restart_retries;
};
/* In the record, and at once where it runs. */
int kist_container_update(struct kist_container *c, const struct kist_update *update, struct kist_error *err);
/* "on-failure:3" into its parts; "never" is "no". *policy is replaced. */
int kist_restart_parse(const char *text, char **policy, uint32_t *retries, struct kist_error *err);
/* Whether its restart policy wants another run: it is dead, and nobody stopped it. */
bool kist_container_should_restart(struct kist_container *c);

enum kist_remove_flags {
	KIST_REMOVE_FORCE = 1,   /* kill it when it runs; remove what cannot be loaded */
	KIST_REMOVE_DEPEND = 2,  /* the containers that depend on it first */
	KIST_REMOVE_VOLUMES = 4, /* its anonymous volumes too, unless another container uses them */
};
int kist_container_remove(struct kist_container *c, unsigned flags, int64_t timeout, struct kist_error *err);
/* exited, or configured from created: frees what a dead container still holds. */
int kist_container_cleanup(struct kist_container *c, struct kist_error *err);

/* Bits of the mask of kist_container_wait beside those of the states: it runs and its check says so. */
#define KIST_WAIT_HEALTHY   (1u << 16)
#define KIST_WAIT_UNHEALTHY (1u << 17)
/* Waits until the status is one of those in the mask (1 << enum kist_status); 0: stopped or exited. *code: the exit
 * code, -1 when unknown, 0 when it never ran. Works for containers that are removed meanwhile, and by id for those
 * removed before. */
int kist_container_wait(struct kist *k, const char *name_or_id, unsigned status_mask, int *code,
                        struct kist_error *err);

/* --- the host -------------------------------------------------------------------------------------------------------
 */

/* Told of each container that was acted on; problem: NULL, or why it failed. */
typedef void (*kist_host_fn)(void *arg, struct kist_container *c, const struct kist_error *problem);
/* Starts what its restart policy says, in the order of dependencies; what runs is left alone. One failure does not keep
 * others from starting. */
int kist_boot(struct kist *k, kist_host_fn each, void *arg, struct kist_error *err);
/* Stops all containers, dependents first and else at once, each within its stop time-out or timeout seconds (-1).
 * Restart policies do not start them again until the next kist_boot or start. */
int kist_shutdown(struct kist *k, int64_t timeout, kist_host_fn each, void *arg, struct kist_error *err);

/* --- attach ---------------------------------------------------------------------------------------------------------
 */

int kist_attach_open(struct kist_container *c, struct kist_attach **out, struct kist_error *err);
void kist_attach_free(struct kist_attach *a);

struct kist_attach_io {
	int in, out, err;        /* -1: not used. A terminal 'in' is set raw for a container with one, and set back */
	const char *detach_keys; /* NULL: the store's; "ctrl-p,ctrl-q"; "" disables. Only a container with a terminal
	                            has any. A beginning of them goes to the container after half a second */
	bool sig_proxy;          /* signals that this process gets go to the container */
};
enum { KIST_ATTACH_EXITED = 0, KIST_ATTACH_DETACHED = 1, KIST_ATTACH_LOST = 2 /* the monitor died */ };
/* Relays until the container exits (*code), the user detaches, or the monitor is lost. */
int kist_attach_run(struct kist_attach *a, const struct kist_attach_io *io, int *code, struct kist_error *err);
int kist_attach_resize(struct kist_attach *a, unsigned rows, unsigned cols);
/* Parses detach keys into bytes: "ctrl-p,ctrl-q" -> 2; -EINVAL. */
int kist_detach_keys_parse(const char *text, unsigned char out[16]);

/* --- exec -----------------------------------------------------------------------------------------------------------
 */

struct kist_exec {
	char *const *args;
	char *const *env;           /* added to the container's own */
	const char *user, *workdir; /* NULL: the container's */
	bool tty, stdin_, privileged, detach;
	unsigned preserve_fds;
	const char *detach_keys; /* as for attach */
};
/* Runs a process in a running container with this process's stdio (a terminal is made with tty), or detached. *code:
 * its exit code; 0 when detached. session: room for 65, the id of the session. */
int kist_container_exec(struct kist_container *c, const struct kist_exec *exec, char session[65], int *code,
                        struct kist_error *err);

/* A process that 'exec' runs, or ran. Attached ones are forgotten when they end, since who waited knows the code; those
 * that ran detached five minutes later, with the next session of the container; all with their container's run. */
struct kist_exec_session {
	char *id;              /* 64 hexadecimal digits */
	const char *container; /* its id, borrowed from the handle */
	char **args, **env;    /* env: what exec added */
	char *user, *workdir;  /* as given; NULL: the container's */
	char *detach_keys;     /* with a terminal */
	bool tty, stdin_, privileged;
	bool detached; /* nobody waits for it: started so, left by its keys, or its command was killed */
	bool running;
	int pid;
	uint64_t pid_start;        /* field 22 of /proc/PID/stat */
	int exit_code;             /* -1: unknown, the monitor was killed */
	int64_t started, finished; /* wall time */
};
/* Those of a container, oldest first. */
int kist_exec_list(struct kist_container *c, struct kist_exec_session ***out, size_t *n, struct kist_error *err);
void kist_exec_list_free(struct kist_exec_session **list, size_t n);
/* By id or its unique beginning, as in all calls below. KIST_ERR_NOT_FOUND, KIST_ERR_AMBIGUOUS. */
int kist_exec_open(struct kist_container *c, const char *id, struct kist_exec_session **out, struct kist_error *err);
void kist_exec_session_free(struct kist_exec_session *session);
/* The container that has that session. */
int kist_container_open_by_exec(struct kist *k, const char *id, struct kist_container **out, struct kist_error *err);
/* podman's document of a session. */
struct json_object *kist_exec_inspect(const struct kist_exec_session *session);
int kist_exec_resize(struct kist_container *c, const char *id, unsigned rows, unsigned cols, struct kist_error *err);
/* Waits until it ends. An attached one may be forgotten by then: KIST_ERR_NOT_FOUND. */
int kist_exec_wait(struct kist_container *c, const char *id, int *code, struct kist_error *err);
/* The container's stop signal, timeout seconds (-1: 10), SIGKILL. KIST_ERR_STOPPED when it has ended. */
int kist_exec_stop(struct kist_container *c, const char *id, int64_t timeout, struct kist_error *err);
/* Forgets it; with force one that runs is killed, else that is KIST_ERR_STATE. */
int kist_exec_remove(struct kist_container *c, const char *id, bool force, struct kist_error *err);

/* --- health ---------------------------------------------------------------------------------------------------------
 */

enum kist_health_status { KIST_HEALTH_UNCHECKED, KIST_HEALTH_STARTING, KIST_HEALTH_HEALTHY, KIST_HEALTH_UNHEALTHY };
struct kist_health_log {
	int64_t start, end; /* wall */
	int exit_code;      /* 0: it passed; -1: it took too long */
	char *output;
};
struct kist_health {
	int status;
	uint32_t failing_streak;
	bool started; /* the startup check has passed, or there is none */
	uint32_t startup_failures, startup_successes;
	struct kist_health_log *log; /* oldest first */
	size_t n_log;
};
const char *kist_health_status_name(enum kist_health_status status); /* "" without a check */
/* Whether it has a check. */
bool kist_health_is_checked(const struct kist_health_config *config);
/* What the monitor of this run, or the last one of this boot, found out. */
void kist_container_health(const struct kist_container *c, struct kist_health *out);
void kist_health_clear(struct kist_health *health);
/* "CMD args" and the like as podman's --health-cmd takes it: a JSON array, or a line for the shell. Appends to *test.
 */
int kist_health_parse_test(const char *text, char ***test, struct kist_error *err);
/* The check that an image brings with it, over what is in *config. */
int kist_health_of_image(const struct kist_image *image, struct kist_health_config *config, struct kist_error *err);
/* Runs the check now, and waits for its end. 1: it failed, 0: it passed. */
int kist_container_healthcheck(struct kist_container *c, struct kist_error *err);

/* --- views ----------------------------------------------------------------------------------------------------------
 */

/* podman's inspect document of a container; with_size adds SizeRw and SizeRootFs. */
int kist_container_inspect(struct kist_container *c, bool with_size, struct json_object **out, struct kist_error *err);
/* "Up 3 minutes", "Exited (7) 2 hours ago", "Created": the STATUS column of ps. The caller frees. */
char *kist_container_status_text(const struct kist_container *c);
/* An item of 'ps --format json'. */
int kist_container_summary(struct kist_container *c, bool with_size, struct json_object **out, struct kist_error *err);

struct kist_log_options {
	int64_t since, until; /* wall time; 0: unbounded */
	int64_t tail;         /* lines; -1: all */
	bool follow;
};
struct kist_log_line {
	int64_t time;
	int stream;       /* 1 stdout, 2 stderr */
	bool partial;     /* no newline follows */
	const char *text; /* without the newline; may hold any byte but NUL is kept: use len */
	size_t len;
};
/* Calls back for each line in order; a positive return of the callback ends it. */
int kist_container_logs(struct kist_container *c, const struct kist_log_options *options,
                        int (*line)(void *arg, const struct kist_log_line *line), void *arg, struct kist_error *err);

/* Processes by /proc alone: an array of arrays, the titles first. descriptors as ps names them ("user", "pid", "ppid",
 * "%cpu"/"pcpu", "etime", "tty", "time", "args", "comm", "hpid", "huser", "state", "rss", "vsz", "nice", "pgid",
 * "group"...); NULL: podman's default. */
int kist_container_top(struct kist_container *c, char *const *descriptors, struct json_object **out,
                       struct kist_error *err);
/* What a running container uses, by its cgroup. has_*: whether the host's kernel measures it. Bytes; cpu in
 * microseconds. */
struct kist_stats {
	int64_t time; /* wall */
	bool has_memory, has_pids, has_io, has_net;
	uint64_t cpu, cpu_user, cpu_system;
	uint64_t memory, memory_limit; /* without page cache that was not used lately; UINT64_MAX: unlimited */
	uint64_t pids, pids_limit;     /* UINT64_MAX: unlimited; without has_pids threads are not counted */
	uint64_t io_read, io_write;
	uint64_t net_in, net_out; /* of all its links but loopback; has_net: it has a namespace of its own */
};
int kist_container_stats(struct kist_container *c, struct kist_stats *out, struct kist_error *err);
/* Sizes in bytes: of the writable layer, and of all layers below. */
int kist_container_size(struct kist_container *c, uint64_t *rw, uint64_t *rootfs, struct kist_error *err);

/* --- containers: files in and out -----------------------------------------------------------------------------------
 */

/* One end of a copy. A path of a container is resolved in its root, as it sees it itself when it runs, and with its
 * volumes and bind mounts when it does not; relative ones begin at its working directory. */
struct kist_copy_end {
	struct kist_container *container; /* NULL: the host */
	const char *path;                 /* NULL: the tar stream */
	int stream;
};
struct kist_copy_options {
	bool archive;   /* what is made in a container belongs to its user; else the owners are kept */
	bool overwrite; /* a directory may take the place of something else, and the other way round */
};
/* By the rules of podman-cp(1). While a container without processes is copied from or to, it cannot be started. */
int kist_copy(const struct kist_copy_end *from, const struct kist_copy_end *to, const struct kist_copy_options *options,
              struct kist_error *err);
/* A tar stream, plain or compressed, into a directory of the container; a path of it as a tar stream. */
int kist_container_copy_from_archive(struct kist_container *c, const char *path, int stream,
                                     const struct kist_copy_options *options, struct kist_error *err);
int kist_container_copy_to_archive(struct kist_container *c, const char *path, int stream, struct kist_error *err);
struct kist_path_stat {
	char *name;        /* the last component */
	char *link_target; /* absolute in the container, links resolved */
	uint64_t size;
	mode_t mode; /* with the type */
	int64_t mtime;
};
int kist_container_stat(struct kist_container *c, const char *path, struct kist_path_stat *out, struct kist_error *err);
void kist_path_stat_clear(struct kist_path_stat *st);
/* Its root file system, without volumes and other mounts, as a tar stream; equal trees are equal streams. */
int kist_container_export(struct kist_container *c, int to, struct kist_error *err);
/* Its root file system on the host, until as many calls have taken it off again, or it is removed. *path: the caller
 * frees. */
int kist_container_mount(struct kist_container *c, char **path, struct kist_error *err);
int kist_container_unmount(struct kist_container *c, bool force, struct kist_error *err);
char *kist_container_mountpoint(struct kist_container *c); /* NULL: not on the host. The caller frees */

/* --- pods -----------------------------------------------------------------------------------------------------------
 */

/* What kist_pod_create fixes: pods/ID/config (kist-state(5)). What its containers share besides namespaces (networks,
 * ports, names, mounts, devices, protection) is in the configuration of its infra container. */
struct kist_pod_config {
	char *id;   /* 64 hexadecimal digits; made by create */
	char *name; /* NULL: one is generated. Containers and pods share the names */
	int64_t created;
	char *hostname; /* NULL: the pod's name */
	char **labels;  /* "key=value" */
	char **create_command;
	bool infra;                  /* default true: a container of its own holds the namespaces */
	char *infra_id, *infra_name; /* name NULL for create: the id's beginning and "-infra" */
	char **share;                /* of cgroup ipc net pid user uts; NULL: none */
	bool share_parent;           /* default true: the containers' cgroups are in the pod's */
	char *exit_policy;           /* continue; stop: it stops when the last container has ended */
	char *restart_policy;        /* of containers that join without one of their own; NULL: none */
	uint32_t restart_retries;
	char *cgroup_parent;                   /* of the pod's cgroup, which is named by its id */
	struct kist_spec_resources *resources; /* limits of all its containers together; NULL: none */
	char **volumes_from;                   /* for inspect */
};
extern const struct kist_table kist_pod_config_table;
void kist_pod_config_init(struct kist_pod_config *config);
void kist_pod_config_clear(struct kist_pod_config *config);

enum kist_pod_status {
	KIST_POD_CREATED,  /* no container has run */
	KIST_POD_RUNNING,  /* all do */
	KIST_POD_DEGRADED, /* some do */
	KIST_POD_PAUSED,   /* all are */
	KIST_POD_STOPPED,  /* some have ended, none runs */
	KIST_POD_EXITED,   /* all have ended */
	KIST_POD_ERROR,
};
const char *kist_pod_status_name(enum kist_pod_status status); /* "Created", as podman shows it */

struct kist_pod;

/* infra: configuration of its infra container, whose process and root file system are kist's own; NULL: defaults.
 * KIST_ERR_EXISTS: the name is taken. Wholly there or not at all after a crash. */
int kist_pod_create(struct kist *k, const struct kist_pod_config *config, const struct kist_container_config *infra,
                    struct kist_pod **out, struct kist_error *err);
/* By full id, name, or unique prefix of an id. */
int kist_pod_open(struct kist *k, const char *name_or_id, struct kist_pod **out, struct kist_error *err);
int kist_pod_latest(struct kist *k, struct kist_pod **out, struct kist_error *err);
/* By creation time; the caller frees each and the array. *broken: ids of those that cannot be read; may be NULL. */
int kist_pod_list(struct kist *k, struct kist_pod ***out, size_t *n, char ***broken, struct kist_error *err);
void kist_pod_list_free(struct kist_pod **list, size_t n);
void kist_pod_free(struct kist_pod *pod);
const char *kist_pod_id(const struct kist_pod *pod);
const char *kist_pod_name(const struct kist_pod *pod);
const struct kist_pod_config *kist_pod_config(const struct kist_pod *pod);
bool kist_pod_shares(const struct kist_pod *pod, const char *ns); /* "net" */
/* Its containers by creation time, the infra container first; free with kist_container_list_free. */
int kist_pod_containers(struct kist_pod *pod, struct kist_container ***out, size_t *n, struct kist_error *err);
/* By the states of its containers; those that run to their end first do not count. */
enum kist_pod_status kist_pod_status(struct kist_container *const *containers, size_t n);

/* Each acts on all containers that it can be done to, goes on after a failure, and returns the first one. */
/* The infra container, then those with init_ctr one after the other to their end, then the rest. A start of a single
 * container starts the infra container alone. */
int kist_pod_start(struct kist_pod *pod, struct kist_error *err);
/* All at once, the infra container last; timeout in seconds, -1: each its own. Nothing to stop is no error. */
int kist_pod_stop(struct kist_pod *pod, int64_t timeout, struct kist_error *err);
int kist_pod_restart(struct kist_pod *pod, int64_t timeout, struct kist_error *err);
int kist_pod_kill(struct kist_pod *pod, int signal_number, struct kist_error *err);
int kist_pod_pause(struct kist_pod *pod, struct kist_error *err);
int kist_pod_unpause(struct kist_pod *pod, struct kist_error *err);
/* With its containers, and their anonymous volumes. KIST_ERR_STATE: containers besides the infra container run and
 * KIST_REMOVE_FORCE is not given. Nobody can join it meanwhile. */
int kist_pod_remove(struct kist_pod *pod, unsigned flags, int64_t timeout, struct kist_error *err);
/* What is left of one whose record cannot be loaded (or can). */
int kist_pod_evict(struct kist *k, const char *name_or_id, char id[65], struct kist_error *err);
/* podman's documents: of 'pod inspect', and an item of 'pod ps --format json'. */
int kist_pod_inspect(struct kist_pod *pod, struct json_object **out, struct kist_error *err);
int kist_pod_summary(struct kist_pod *pod, struct json_object **out, struct kist_error *err);

/* Files that a program keeps with a container, by name (that of a container's form); they go with it. add replaces. A
 * missing one is KIST_ERR_NOT_FOUND. */
#define KIST_ARTIFACT_MAX (16u << 20)
struct kist_str;
int kist_artifact_add(struct kist_container *c, const char *name, const void *data, size_t len, struct kist_error *err);
int kist_artifact_get(struct kist_container *c, const char *name, struct kist_str *out, struct kist_error *err);
int kist_artifact_remove(struct kist_container *c, const char *name, struct kist_error *err);

/* --- images ---------------------------------------------------------------------------------------------------------
 */

struct kist_image_config {
	char **env, **cmd, **entrypoint, **labels; /* labels "key=value" */
	char *workdir, *user, *stop_signal;
	char **exposed_ports, **volumes; /* "80/tcp"; paths */
};

struct kist_image {
	char *id;      /* SHA-256 of the OCI image configuration, 64 hexadecimal digits */
	char **names;  /* "localhost/busybox:latest" ... */
	char **layers; /* diff ids, top first */
	int64_t created;
	uint64_t size;       /* bytes of all layers */
	char *digest;        /* "sha256:..." of the manifest */
	char **repo_digests; /* REPOSITORY@DIGEST that it was pulled by */
	bool read_only;      /* it is in a further store, which is only read */
	char *architecture, *os, *author, *comment;
	struct kist_image_config config;
	struct json_object *document; /* the OCI image configuration itself */
};

void kist_image_free(struct kist_image *image);
/* Name (with the short-name rules: no registry means localhost/, then docker.io/library/), name:tag, id or unique
 * prefix of an id. */
int kist_image_open(struct kist *k, const char *name, struct kist_image **out, struct kist_error *err);
int kist_image_list(struct kist *k, struct kist_image ***out, size_t *n,
                    struct kist_error *err); /* newest first; the caller frees each and the array */

struct kist_image_import {
	int fd;               /* the tar stream: plain, gzip or zstd */
	const char *name;     /* reference to give it, NULL: none */
	const char *message;  /* comment */
	char *const *changes; /* "CMD=...", "ENTRYPOINT ...", ENV LABEL USER WORKDIR EXPOSE VOLUME STOPSIGNAL */
	const char *architecture, *os, *variant; /* NULL: the host's */
};
int kist_image_import(struct kist *k, const struct kist_image_import *import, char id[65], struct kist_error *err);
/* Images out of an archive: docker-archive, or an OCI layout in a tar or a directory; fd is of the file, the stream or
 * the directory. *loaded: their names, or "sha256:ID" of those without; the caller frees. All or nothing of each image.
 */
int kist_image_unpack(struct kist *k, int fd, char ***loaded, struct kist_error *err);

enum kist_image_format { KIST_IMAGE_DOCKER_ARCHIVE, KIST_IMAGE_OCI_ARCHIVE, KIST_IMAGE_OCI_DIR };
struct kist_image_save {
	char *const *images; /* names and ids */
	char *const *names;  /* further names of the one image in the archive; may be NULL */
	enum kist_image_format format;
	int fd; /* to write to; of an empty directory for OCI_DIR */
};
/* Images into an archive. Layers are written as the bytes that they came from and checked on the way: after a failure
 * what was written is of no use. */
int kist_image_save(struct kist *k, const struct kist_image_save *save, struct kist_error *err);

struct kist_commit {
	const char *name; /* NULL: none */
	const char *author, *message;
	char *const *changes; /* as for import */
	bool pause;           /* freeze a running container meanwhile */
	bool docker;          /* manifest of docker's media types */
};
/* An image of the container's writable layer above the layers of its image. */
int kist_container_commit(struct kist_container *c, const struct kist_commit *commit, char id[65],
                          struct kist_error *err);
/* podman's history of an image, newest first: items with id ("<missing>" but for the first), created, CreatedBy, size
 * (bytes), comment, and tags of the first. */
int kist_image_history(struct kist *k, const char *image, struct json_object **out, struct kist_error *err);
/* Bytes of the image's layers, top first; the caller frees. */
int kist_image_sizes(struct kist *k, const struct kist_image *image, uint64_t **sizes, struct kist_error *err);
/* What a container changed in its image, and what an image's top layer changed in those below it (or what it changed in
 * another image: below not NULL): kind 'A' added, 'C' changed, 'D' deleted; parents first. A negative return ends it.
 */
typedef int (*kist_change_fn)(void *arg, char kind, const char *path);
int kist_container_changes(struct kist_container *c, kist_change_fn change, void *arg, struct kist_error *err);
int kist_image_changes(struct kist *k, const char *image, const char *below, kist_change_fn change, void *arg,
                       struct kist_error *err);
/* What the store takes: an object of arrays Images, Containers, Volumes with the fields of 'podman system df -v', sizes
 * in bytes; LayersSize: every layer once, and LayersReclaimable: those that no container has. */
int kist_disk_usage(struct kist *k, struct json_object **out, struct kist_error *err);
/* Compares all images and layers with their digests and calls back for each problem. With repair, what is damaged is
 * set aside as .bad-NAME in its directory, so that it can be loaded anew. Returns how many problems there are. */
int kist_store_check(struct kist *k, bool repair, void (*problem)(void *arg, const char *text), void *arg,
                     struct kist_error *err);
/* Its files on the host, read-only, until as many calls have taken them off again, or a boot has. *path: the caller
 * frees. id: of the image. */
int kist_image_mount(struct kist *k, const char *image, char id[65], char **path, struct kist_error *err);
/* 1 when it is off the host or was mounted once more than now, 0 when it was not mounted. */
int kist_image_unmount(struct kist *k, const char *image, bool force, char id[65], struct kist_error *err);
char *kist_image_mountpoint(struct kist *k, const char *id); /* by full id; NULL: not on the host. The caller frees */
int kist_image_tag(struct kist *k, const char *image, const char *name, struct kist_error *err);
int kist_image_untag(struct kist *k, const char *image, const char *name, struct kist_error *err); /* NULL name: all */
enum kist_image_remove_flags {
	KIST_IMAGE_FORCE = 1,     /* with all names, and with the containers that use it */
	KIST_IMAGE_ALL_NAMES = 2, /* given an id: with all names */
};
/* Removes a name, and with the last name the image and the layers that nothing else has. KIST_ERR_IN_USE names the
 * containers that use it. An id of an image with several names is KIST_ERR_STATE without a flag. A damaged image can be
 * removed. *removed gets "Untagged: NAME" and "Deleted: ID" lines; the caller frees. */
int kist_image_remove(struct kist *k, const char *image, unsigned flags, char ***removed, struct kist_error *err);
/* REPOSITORY@DIGEST: what it was pulled by, and its manifest's for each name. The caller frees. */
char **kist_image_repo_digests(const struct kist_image *image);
int kist_image_inspect(struct kist *k, const char *image, struct json_object **out, struct kist_error *err);
/* "busybox" -> "localhost/busybox:latest"; checks the reference grammar. The caller frees. */
int kist_image_reference(const char *name, char **out, struct kist_error *err);

/* --- registries -----------------------------------------------------------------------------------------------------
 */

/* What talks to registries, "libcurl/7.88.1"; NULL: this build, or this host, has no client. Without one the calls
 * below are KIST_ERR_UNSUPPORTED, but for logout and account. The caller frees. */
char *kist_registry_client(void);

struct kist_platform {
	const char *os, *architecture, *variant; /* as Go and OCI call them: linux, arm64, v8 */
};
void kist_platform_host(struct kist_platform *out);
/* Fills what is not given from the host, and takes other spellings ("aarch64"). */
int kist_platform_complete(struct kist_platform *platform, struct kist_error *err);
bool kist_image_is_for(const struct kist_image *image, const struct kist_platform *platform);

enum kist_progress_step {
	KIST_PROGRESS_TRY,      /* what: the name that is asked for */
	KIST_PROGRESS_BLOB,     /* what: its digest, 64 digits; done and total in bytes */
	KIST_PROGRESS_DONE,     /* the blob is there */
	KIST_PROGRESS_SKIPPED,  /* the blob was there already */
	KIST_PROGRESS_CONFIG,   /* what: the digest of the configuration */
	KIST_PROGRESS_MANIFEST, /* the last step */
};
struct kist_progress {
	enum kist_progress_step step;
	const char *what;
	uint64_t done, total;
};
struct kist_registry_options {
	const char *authfile;            /* NULL: containers-auth.json(5)'s places */
	const char *cert_dir;            /* NULL: /etc/containers/certs.d/HOST, /etc/docker/certs.d/HOST */
	const char *username, *password; /* NULL: the auth file's */
	struct kist_opt tls_verify;      /* unset: by the setting insecure_registries */
	struct kist_opt retries;         /* of what passes by itself; unset: 3 */
	int64_t retry_delay;             /* nanoseconds; 0: half a second, doubling */
	void (*progress)(void *arg, const struct kist_progress *progress); /* may be NULL */
	void *arg;
};
struct kist_image_pull {
	const char *name;              /* with or without registry, tag, digest */
	struct kist_platform platform; /* members NULL: the host's */
	bool all_tags;
	struct kist_registry_options registry;
};
/* Whole or not at all. Layers that are there are not fetched. *ids: of the images; the caller frees. */
int kist_image_pull(struct kist *k, const struct kist_image_pull *pull, char ***ids, struct kist_error *err);

enum kist_pull_policy { KIST_PULL_MISSING, KIST_PULL_ALWAYS, KIST_PULL_NEVER, KIST_PULL_NEWER };
/* As kist_image_open, after a pull where the policy wants one. */
int kist_image_get(struct kist *k, const struct kist_image_pull *pull, enum kist_pull_policy policy,
                   struct kist_image **out, struct kist_error *err);

struct kist_image_push {
	const char *image;
	const char *destination; /* NULL: the image's name */
	const char *format;      /* oci, v2s2; NULL: the image's own */
	const char *compression; /* gzip, zstd; NULL: gzip, or what the registry has */
	int compression_level;   /* 0: the default */
	bool force_compression;  /* not what the registry has of another compression */
	struct kist_registry_options registry;
};
/* Blobs that the registry has are not sent. digest: of the manifest, 64 digits. */
int kist_image_push(struct kist *k, const struct kist_image_push *push, char digest[65], struct kist_error *err);

/* Checks the account, then keeps it in the auth file. registry: HOST[:PORT][/REPOSITORY]. Without a username the one of
 * the auth file is checked. */
int kist_registry_login(struct kist *k, const char *registry, const struct kist_registry_options *options,
                        struct kist_error *err);
/* Forgets it; registry NULL: all. KIST_ERR_NOT_FOUND: there was none. */
int kist_registry_logout(const char *registry, const char *authfile, struct kist_error *err);
/* The name of the account; the caller frees. KIST_ERR_NOT_FOUND. */
int kist_registry_account(const char *registry, const char *authfile, char **name, struct kist_error *err);
/* What a user writes for a registry ("https://HOST/"), as HOST; NULL: the first of the setting 'registries'. The caller
 * frees. */
char *kist_registry_host(struct kist *k, const char *text);

/* --- volumes --------------------------------------------------------------------------------------------------------
 */

struct kist_volume {
	char *name; /* [a-zA-Z0-9][a-zA-Z0-9_.-]*; 64 hexadecimal digits when anonymous */
	int64_t created;
	char *driver;             /* local */
	char **labels, **options; /* "key=value"; options: type, device, o, copy, nocopy */
	bool anonymous;           /* made for a container, and removed with it on request */
	bool copied;              /* it got its content from an image, or had some: never again */
	bool owned;               /* its top directory has got its owner and mode */
	struct kist_opt uid, gid; /* owner of the top directory as asked for */
};
void kist_volume_free(struct kist_volume *v);
/* Makes one. NULL name: 64 random digits. out may be NULL. Wholly there or not at all after a power cut.
 * KIST_ERR_EXISTS. */
int kist_volume_create(struct kist *k, const struct kist_volume *config, struct kist_volume **out,
                       struct kist_error *err);
/* By name or a unique beginning of one. */
int kist_volume_open(struct kist *k, const char *name, struct kist_volume **out, struct kist_error *err);
/* By name. Broken ones are left out, named in *broken (may be NULL). The caller frees each and the array. */
int kist_volume_list(struct kist *k, struct kist_volume ***out, size_t *n, char ***broken, struct kist_error *err);
char *kist_volume_mountpoint(struct kist *k,
                             const char *name);             /* the path of its content on the host; the caller frees */
char **kist_volume_users(struct kist *k, const char *name); /* ids of the containers that use it; the caller frees */
int kist_volume_inspect(struct kist *k, const struct kist_volume *v, struct json_object **out, struct kist_error *err);
/* KIST_ERR_IN_USE names the users; with KIST_REMOVE_FORCE they are removed first (timeout as for
 * kist_container_remove). */
int kist_volume_remove(struct kist *k, const char *name, unsigned flags, int64_t timeout, struct kist_error *err);
/* Its content as a tar stream; and a tar stream, plain or compressed, unpacked into it over what it has. */
int kist_volume_export(struct kist *k, const struct kist_volume *v, int to, struct kist_error *err);
int kist_volume_import(struct kist *k, const struct kist_volume *v, int from, struct kist_error *err);
/* A volume with a file system of its own is mounted on the host as often as it was asked for; for others there is
 * nothing to do. *path: where the content is. */
int kist_volume_mount(struct kist *k, const struct kist_volume *v, char **path, struct kist_error *err);
int kist_volume_unmount(struct kist *k, const struct kist_volume *v, bool force, struct kist_error *err);
/* Sweeps what crashes left: half-made volumes, marks of containers that are gone. */
int kist_volume_reload(struct kist *k, struct kist_error *err);

/* --- secrets --------------------------------------------------------------------------------------------------------
 */

struct kist_secret {
	char *id; /* 25 hexadecimal digits */
	char *name;
	int64_t created, updated;
	char *driver;                    /* file */
	char **labels, **driver_options; /* "key=value" */
};
void kist_secret_free(struct kist_secret *s);
#define KIST_SECRET_MAX 512000 /* bytes of a value */
/* replace: an older one of that name goes in the same step. id: room for 26. */
int kist_secret_create(struct kist *k, const struct kist_secret *config, const void *data, size_t len, bool replace,
                       char id[26], struct kist_error *err);
int kist_secret_open(struct kist *k, const char *name_or_id, struct kist_secret **out, struct kist_error *err);
int kist_secret_list(struct kist *k, struct kist_secret ***out, size_t *n, char ***broken, struct kist_error *err);
struct kist_str;
int kist_secret_read(struct kist *k, const struct kist_secret *s, struct kist_str *value, struct kist_error *err);
/* podman's document; with_value adds SecretData. */
int kist_secret_inspect(struct kist *k, const struct kist_secret *s, bool with_value, struct json_object **out,
                        struct kist_error *err);
int kist_secret_remove(struct kist *k, const char *name_or_id, char id[26], struct kist_error *err);

/* --- networks -------------------------------------------------------------------------------------------------------
 */

/* The network that is always there. */
#define KIST_DEFAULT_NETWORK "kist"

struct kist_network_subnet {
	char *subnet;  /* "10.89.0.0/24" */
	char *gateway; /* NULL: the first address */
	char *range;   /* where addresses are given from, CIDR or FIRST-LAST; NULL: the whole */
};
struct kist_network_new {
	char *name;      /* NULL: networkN */
	char *driver;    /* bridge macvlan ipvlan; NULL: bridge */
	char *interface; /* the bridge's name; the parent of the others; NULL: chosen */
	struct kist_network_subnet *subnets;
	size_t n_subnets;
	char **routes; /* "DESTINATION,GATEWAY[,METRIC]" */
	bool ipv6, internal, disable_dns;
	char **dns_servers, **labels, **options; /* options: "key=value", podman-network-create(1) */
};
/* *name: the name it got; the caller frees. KIST_ERR_EXISTS names what is in the way. */
int kist_network_create(struct kist *k, const struct kist_network_new *config, char **name, struct kist_error *err);
/* The name of the network that a user means: by name, id or the unique beginning of an id. The caller frees. */
int kist_network_find(struct kist *k, const char *name_or_id, char **name, struct kist_error *err);
/* Names, sorted; the default network is one of them. The caller frees. */
int kist_network_list(struct kist *k, char ***names, struct kist_error *err);
/* podman's document. */
int kist_network_inspect(struct kist *k, const char *name_or_id, struct json_object **out, struct kist_error *err);
/* Ids of the containers that are on it, running or not; the caller frees. */
char **kist_network_users(struct kist *k, const char *name);
/* KIST_ERR_IN_USE names the containers; with KIST_REMOVE_FORCE they are removed first (timeout as for
 * kist_container_remove). */
int kist_network_remove(struct kist *k, const char *name_or_id, unsigned flags, int64_t timeout,
                        struct kist_error *err);
/* Servers that a network with names forwards to. */
int kist_network_update(struct kist *k, const char *name_or_id, char *const *dns_add, char *const *dns_drop,
                        struct kist_error *err);
/* A container that runs gets the link at once, others at their next start. */
int kist_container_connect(struct kist_container *c, const struct kist_network_config *network, struct kist_error *err);
int kist_container_disconnect(struct kist_container *c, const char *network, struct kist_error *err);
/* Makes again what a firewall or a person took away. Nothing is changed where all is right. */
int kist_container_reload_network(struct kist_container *c, struct kist_error *err);

/* --- events ---------------------------------------------------------------------------------------------------------
 */

/* Something that happened to an object. The file RUNROOT/events has one JSON object a line, with podman's keys; it is
 * rotated at 1 MB, and one older file is kept. Strings may be NULL. */
struct kist_event {
	const char *type;   /* container image volume network pod secret system */
	const char *status; /* create init start died ...: podman-events(1) */
	const char *id, *name, *image;
	const char *network, *pod, *health_status, *error;
	char *const *attributes;   /* "key=value" */
	struct kist_opt exit_code; /* of died and exec_died */
	int64_t failing_streak;
	bool oom_killed;
	int64_t time; /* wall; 0: now */
};
/* Never fails: what cannot be written is lost, and the operation that it is about goes on. Never waits. */
void kist_event_write(struct kist *k, const struct kist_event *event);

struct kist_event_options {
	int64_t since, until; /* wall time; 0: unbounded */
	bool past;            /* those that are recorded already; implied by since and until */
	bool stream;          /* go on with those that come, until 'until' */
};
/* Calls back for each in the order in which they were written; a positive return of the callback ends it. Follows
 * rotations. The document is the caller's for the time of the call. */
int kist_events(struct kist *k, const struct kist_event_options *options,
                int (*event)(void *arg, struct json_object *document), void *arg, struct kist_error *err);

/* --- internal doors of the binary -----------------------------------------------------------------------------------
 */

/* argv[0] "kist-monitor": the process that stays with a container. argv[0] "kist-init": pid 1 of --init. Called by main
 * first. */
int kist_monitor_main(int argc, char **argv);

#endif
