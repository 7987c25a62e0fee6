/* What the files of core/ share. Nobody outside core/ includes this. */
#ifndef KIST_INTERNAL_H
#define KIST_INTERNAL_H

#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/spec.h"
#include "core/base/table.h"
#include "core/kist.h"

struct kist_cgroup_root;
struct kist_overlay;
struct kist_str;

/* --- the store (runtime.c) ------------------------------------------------------------------------------------------
 */

struct kist {
	struct kist_settings settings;
	char *config_file;  /* kist.conf as it was looked for; NULL in a monitor */
	char *binary;       /* the kist program, executed as monitor; KIST_SELF: this one is it */
	char boot[37];      /* this boot's id */
	int root, runroot;  /* directory fds */
	int containers;     /* containers/ (of root; of runroot/store with volatile) */
	int names;          /* names/ beside it */
	int exits;          /* exits/ beside it */
	int run_containers; /* runroot/containers */
	/* Opened on first use. */
	struct kist_overlay *overlay;
	struct kist_cgroup_root *cgroup;
	/* Further stores of images, which are only read: one for each setting. */
	struct kist_image_source *sources;
	int images, refs;     /* -1 until used: images/ID/, refs/NAME */
	int volumes, secrets; /* -1 until used: volumes/NAME/, secrets/ID/ beside containers/ */
	int events;           /* -1 until used: the file that they are appended to (event.c) */
	int networks;         /* -1 until used: networks/NAME beside containers/ */
	bool no_spawn;        /* in a monitor: a container whose monitor died is left to the next command */
	int pods;             /* -1 until used: pods/ID/ beside containers/ */
	struct {
		int control; /* -1: none */
		pid_t pid;
	} ahead; /* a monitor that waits to be told its container (kist_start_ahead) */
};

const char *kist_binary_default(void); /* binary.c: KIST_BINARY, or where 'make install' puts it */
int kist_store_overlay(struct kist *k, struct kist_overlay **out, struct kist_error *err);
/* A directory beside containers/, opened on first use and made if wanted. A negative errno. */
int kist_store_directory(struct kist *k, const char *name, bool make, int *fd);
/* Where a directory beside containers/ is on the host. The caller frees. */
char *kist_store_path(const struct kist *k, const char *name);
/* KIST_ERR_UNSUPPORTED where the host has no cgroup v2. */
int kist_store_cgroup(struct kist *k, struct kist_cgroup_root **out, struct kist_error *err);
/* An open without reading kist.conf, for the monitor: the caller knows the settings that matter. */
int kist_open_at(struct kist **out, const char *root, const char *runroot, bool volatile_, struct kist_error *err);

/* KIST_IMAGESTORE: paths with colons between them. */
#define KIST_IMAGESTORE_ENV "KIST_IMAGESTORE"

extern const struct kist_table kist_settings_table;        /* settings.c */
extern const struct kist_table kist_container_state_table; /* config.c */
extern const struct kist_table kist_exit_table;            /* config.c */

/* Records: key=value with a checksum line. -ENOENT when missing, KIST_ERR_CORRUPT when torn. */
#define KIST_RECORD_MAX (4u << 20)
int kist_record_read(int dir, const char *name, const struct kist_table *table, void *object, char ***extra,
                     struct kist_error *err);
int kist_record_write(int dir, const char *name, const struct kist_table *table, const void *object, char *const *extra,
                      bool sync, struct kist_error *err);

/* --- containers (container.c) ---------------------------------------------------------------------------------------
 */

struct kist_container {
	struct kist *k;
	struct kist_container_config config;
	struct kist_container_state state;
	char **config_extra, **state_extra;
	int dir;             /* containers/ID; -1 until kist_container_dir opens it */
	int run_dir;         /* runroot/containers/ID, -1 until needed */
	int lock;            /* held while >= 0 */
	pid_t hooks;         /* child that runs poststop hooks: waited for once the lock is free */
	bool brief;          /* of a list: most fields are missing; a lock makes it whole */
	bool brief_filters;  /* those that filters and summaries ask for are there */
	bool batched;        /* the lock is held over several calls: kist_container_batch */
	bool remove_volumes; /* its anonymous volumes go with it */
	bool files_later;    /* who removes it calls kist_container_remove_files, after it has told others */
	bool notify;         /* while it is launched: it gets a notify socket (notify.h) */
	char *gone;          /* removed: what its directory is called, until that is deleted */
	char **made_volumes; /* while it is created: those that did not exist before */
	int *port_fds;       /* of the monitor: they keep published ports from others */
	size_t n_port_fds;
	char **warnings;    /* of the monitor: what the command that starts it is told (monitor_warn) */
	int net_ns;         /* of the monitor: keeps its network namespace until its links are silent; -1: none */
	char **links_later; /* host ends of links that are silent, deleted by kist_container_remove_files */
	int *held;          /* while it is launched: what the plan's mounts refer to by number */
	size_t n_held;
	struct kist_volume_hold *holds; /* while it is launched: locks of volumes in memory (volume.h) */
	size_t n_holds;
};

/* Keeps fd open until kist_container_drop_held; *source becomes its path in /proc/self/fd. */
void kist_container_hold(struct kist_container *c, int fd, char **source);
void kist_container_drop_held(struct kist_container *c);

/* The full id that a user's word means: full id, name, unique prefix. The record need not be sound. */
int kist_container_find(struct kist *k, const char *text, char id[65], struct kist_error *err);
/* The name in the record: a handle can be older than a rename. */
void kist_container_reload_name(struct kist_container *c);
/* All of the record, of a handle that is brief. */
int kist_container_whole(struct kist_container *c, struct kist_error *err);
/* For lists: the fields with these flags, and the state. marked: a monitor may have a record of it. */
struct kist_recall;
int kist_container_load_brief(struct kist *k, const char *id, unsigned flags, struct kist_recall *recall, bool marked,
                              struct kist_container **out, struct kist_error *err);
/* The record as it is now: update and others change it. */
int kist_container_reload_config(struct kist_container *c, struct kist_error *err);
/* Before a rename, beside the record: both names, for who removes the container if the rename does not end. */
#define KIST_NAMES_NOTE "renaming"
int kist_container_names_note(struct kist_container *c, const char *name, struct kist_error *err);
/* A handle without a record. */
struct kist_container *kist_container_bare(struct kist *k, const char *id);
/* Loads by full id. */
int kist_container_load(struct kist *k, const char *id, struct kist_container **out, struct kist_error *err);
/* The same without its directory, which is opened when it is needed. */
int kist_container_load_bare(struct kist *k, const char *id, struct kist_container **out, struct kist_error *err);
int kist_container_rundir(struct kist_container *c,
                          struct kist_error *err); /* makes it; returns the fd, which c owns */
/* Where config.json is: of what removes itself the run directory, which goes with it. c owns the fd; or -errno. */
int kist_container_plan_dir(struct kist_container *c);
char *kist_container_plan_path(const struct kist_container *c, const char *name); /* NULL: the directory, a bundle */
int kist_container_dir(struct kist_container *c); /* the fd of containers/ID, which c owns, or -1 */
char *kist_container_runpath(const struct kist_container *c, const char *name); /* runroot/containers/ID/name */
char *kist_container_path(const struct kist_container *c, const char *name);    /* containers/ID/name */

/* The lock of one container: flock on runroot/containers/ID/lock. lock re-reads and settles the state ('sync'). */
int kist_container_lock(struct kist_container *c, struct kist_error *err);
/* The rest of lock, after an attempt of another kind that gave r. */
int kist_container_locked(struct kist_container *c, int r, struct kist_error *err);
int kist_container_trylock(struct kist_container *c); /* 0, -EWOULDBLOCK, or -ESTALE: removed; nothing is re-read */
int kist_container_lock_take(struct kist_container *c, bool nonblock, bool making);
void kist_container_unlock(struct kist_container *c);
int kist_container_reload(struct kist_container *c, struct kist_error *err); /* state alone, no settling */
/* Of a brief handle. */
int kist_container_reload_brief(struct kist_container *c, struct kist_recall *recall, bool marked,
                                struct kist_error *err);
int kist_container_settle(struct kist_container *c, struct kist_error *err); /* needs the lock */
int kist_container_save(struct kist_container *c, struct kist_error *err);   /* state; needs the lock */
/* The monitor's own record, in the run directory from before the launch until clean-up: it finds the container of a
 * torn state, and what a monitor left that was killed before the state knew of it. */
#define KIST_LIVE_RECORD "monitor"
int kist_container_save_live(struct kist_container *c, struct kist_error *err);
/* runroot/monitors/ID is there from before that record until after it, so that lists need not look for it at each. */
#define KIST_MONITORS "monitors"
void kist_container_unmark(struct kist *k, const char *id);
bool kist_container_has_leftovers(const struct kist_container *c); /* such a record of a container that does not run */
bool kist_status_has_process(int status);
struct kist_exit;
void kist_container_take_exit(struct kist_container *c, const struct kist_exit *record); /* into the state: stopped */
int kist_container_save_config(struct kist_container *c, struct kist_error *err);
bool kist_container_monitor_alive(const struct kist_container *c);
char *kist_container_cgroup_path(const struct kist_container *c); /* cgroup_parent/ID, NULL without cgroups */
/* SIGKILL for all that the container has: its cgroup, its init. */
int kist_container_kill_all(struct kist_container *c, struct kist_error *err);

/* kist_container_create without the rules of pods; of a container in one, the caller holds the pod's lock. */
int kist_container_make(struct kist *k, const struct kist_container_config *config, struct kist_container **out,
                        struct kist_error *err);
/* What a container in a pod has from the infra container: mounts, devices, protection, user maps. */
void kist_container_config_inherit(struct kist_container_config *config, const struct kist_container_config *from);
/* Takes that out again, but for lists of paths. */
void kist_container_config_disinherit(struct kist_container_config *config, const struct kist_container_config *from);
/* The same things of 'by' in the place of those that config has there, or beside them. */
void kist_container_config_override(struct kist_container_config *config, const struct kist_container_config *by);
/* What is set in one takes the place of what is in the other (update.c). */
int kist_resources_merge(struct kist_spec_resources **to, const struct kist_spec_resources *from,
                         struct kist_error *err);
/* Several at once: told to end together, so that their grace times do not add up. Returns the first failure. */
int kist_container_stop_all(struct kist_container *const *list, size_t n, int64_t timeout, struct kist_error *err);
/* Settles one whose monitor is gone, if nobody is at work on it. False: it removed itself. */
bool kist_container_settle_unwatched(struct kist_container *c);
/* Creation time, then id: for qsort of an array of handles. */
int kist_container_by_creation(const void *a, const void *b);
/* For kist_container_remove: the infra container too. */
#define KIST_REMOVE_WITH_POD 0x100u
/* The same: KIST_ERR_STATE for one that its policy is about to start again. */
#define KIST_REMOVE_PRUNE 0x400u
/* For kist_network_remove: the default network's links and rules too. */
#define KIST_REMOVE_DEFAULT 0x200u

/* A mode of a namespace, parsed. */
enum kist_ns_mode { KIST_NS_PRIVATE, KIST_NS_HOST, KIST_NS_CONTAINER, KIST_NS_PATH, KIST_NS_NONE, KIST_NS_SHAREABLE };
int kist_ns_mode_parse(const char *text, enum kist_ns_mode *mode,
                       const char **argument); /* argument points into text */
/* The containers that it needs: of "container:ID" modes, and those required; ids, the caller frees. */
char **kist_container_dependencies(const struct kist_container *c);

/* --- names (names.c) ------------------------------------------------------------------------------------------------
 */

int kist_name_check(const char *name, struct kist_error *err);
/* Takes name for id by making names/NAME; a stale name of what no longer exists is taken over. */
enum kist_named { KIST_NAMED_CONTAINER, KIST_NAMED_POD };
int kist_name_claim(struct kist *k, enum kist_named kind, const char *name, const char *id, struct kist_error *err);
void kist_name_release(struct kist *k, const char *name, const char *id); /* only if it is id's */
/* The same, by a rename into a directory that is about to be removed: to delete a link takes longer. dir: -1 for none.
 */
#define KIST_NAME_LEFT "name"
void kist_name_release_into(struct kist *k, const char *name, const char *id, int dir);
int kist_name_find(struct kist *k, enum kist_named kind, const char *name, char id[65]); /* -ENOENT */
/* And claims it. */
int kist_name_generate(struct kist *k, enum kist_named kind, const char *id, char **name, struct kist_error *err);

/* --- the life-cycle table (state.c) ---------------------------------------------------------------------------------
 */

enum kist_call {
	KIST_CALL_INIT,
	KIST_CALL_START,
	KIST_CALL_STOP,
	KIST_CALL_KILL,
	KIST_CALL_ATTACH,
	KIST_CALL_RESIZE,
	KIST_CALL_RELOAD_NETWORK,
	KIST_CALL_EXEC,
	KIST_CALL_PAUSE,
	KIST_CALL_UNPAUSE,
	KIST_CALL_RESTART,
	KIST_CALL_CLEANUP,
	KIST_CALL_REMOVE,
	KIST_CALL_REMOVE_FORCE,
	KIST_CALL_MOUNT,
	KIST_CALL_UNMOUNT,
	KIST_CALL_EXPORT,
	KIST_CALL_COPY,
	KIST_CALL_STAT,
	KIST_CALL_CHECKPOINT,
	KIST_CALL_RESTORE,
	KIST_CALL_PRUNE,
	KIST_N_CALLS,
};
const char *kist_call_name(enum kist_call call);
/* 0 when the call may be made in that state; KIST_ERR_STATE (or KIST_ERR_STOPPED) with what is allowed instead;
 * KIST_ERR_UNSUPPORTED for calls that this version does not have. */
int kist_call_check(enum kist_call call, enum kist_status status, struct kist_error *err);
bool kist_call_built(enum kist_call call);

/* --- exit records (exit.c) ------------------------------------------------------------------------------------------
 */

struct kist_exit {
	uint32_t run;
	int code;
	bool oom;
	int64_t finished;
};
/* Durable unless the container is removed on exit anyway. */
int kist_exit_write(struct kist_container *c, const struct kist_exit *record, struct kist_error *err);
int kist_exit_read(struct kist_container *c, struct kist_exit *record); /* -ENOENT, -EBADMSG */
int kist_exit_read_brief(struct kist_container *c, struct kist_recall *recall, bool marked, struct kist_exit *record);
void kist_exit_keep(struct kist_container *c); /* before removal: moves it to exits/ID; prunes old ones */
int kist_exit_find(struct kist *k, const char *id, struct kist_exit *record); /* of a removed container */

/* --- events (event.c) -----------------------------------------------------------------------------------------------
 */

#define KIST_EVENTS_LOG "events"   /* below the run directory */
#define KIST_EVENTS_OLD "events.1" /* the one before */
#define KIST_EVENTS_MAX (1 << 20)  /* bytes; then it is rotated */
/* Of a container, with its labels as attributes. */
void kist_container_event(struct kist_container *c, const char *status);
/* Of anything else; id and name may be NULL. */
void kist_object_event(struct kist *k, const char *type, const char *status, const char *id, const char *name);
void kist_container_event_code(struct kist_container *c, const char *status, int code, bool oom);

/* --- health (health.c) ----------------------------------------------------------------------------------------------
 */

#define KIST_HEALTH_RECORD "health" /* in the container's run directory: no flash is worn by it */
extern const struct kist_table kist_health_table;
/* What one outcome leads to. */
enum kist_health_step {
	KIST_HEALTH_GOES_ON,
	KIST_HEALTH_FAILING,  /* unhealthy: the action is due */
	KIST_HEALTH_HOPELESS, /* the startup check has failed as often as it may */
};
/* Takes the outcome of a check into the record; log->output is taken over. early: within the start period. */
enum kist_health_step kist_health_take(const struct kist_health_config *config, struct kist_health *health,
                                       struct kist_health_log *log, bool early);
/* The check that is due: the startup check, until it has passed. */
char *const *kist_health_test(const struct kist_health_config *config, const struct kist_health *health);
/* Text that a record can hold: no NUL, valid UTF-8, at most size bytes (0: what a record holds). The caller frees. */
char *kist_health_output(const char *data, size_t len, uint32_t size);
int kist_health_check(const struct kist_health_config *config, struct kist_error *err);

/* --- waiting (wait.c) -----------------------------------------------------------------------------------------------
 */

/* Until a process ends: 0, -ETIMEDOUT. */
int kist_pidfd_wait(int pidfd, int64_t timeout_ms);
int kist_wait_watch(const struct kist_container *c); /* from here on no change is missed; a descriptor, or -1 */
/* Until the state changes, the monitor ends, or the time is over. */
void kist_wait_change(const struct kist_container *c, int watch, int timeout_ms);

/* A container with sdnotify=healthy, until it is: at most five minutes. Others are as good as healthy. */
int kist_wait_healthy(struct kist_container *c, struct kist_error *err);

/* --- plan (plan.c) --------------------------------------------------------------------------------------------------
 */

/* From the record to the plan. rootfs is the mounted root (a detached mount fd), where users are looked up and the
 * working directory is made. Makes hosts, resolv.conf, hostname, .containerenv in the run directory. */
int kist_plan_make(struct kist_container *c, int rootfs, struct kist_spec **out, struct kist_error *err);
/* What can be checked without a root file system: for create. Nothing is made. */
int kist_plan_check_config(struct kist_container *c, struct kist_error *err);
/* The capabilities that the built-in seccomp profile of a planned process goes by. False: none applies (privileged,
 * unconfined, or a profile of its own in the plan). */
bool kist_plan_seccomp_caps(const struct kist_container_config *config, const struct kist_spec_process *process,
                            uint64_t *caps);
/* A detached copy of the /dev/shm mount of another container, by its init. Returns an fd. */
int kist_shm_share(pid_t pid, struct kist_error *err);
/* The same for any directory of that container, which must be a mount of its own. */
int kist_mount_share(pid_t pid, const char *path, struct kist_error *err);
/* The process of an exec session. */
int kist_plan_exec(struct kist_container *c, int rootfs, const struct kist_exec *exec, const struct kist_spec *spec,
                   struct kist_spec_process **out, struct kist_error *err);
/* The capability set of a config, as sorted names: default +add -drop, ALL, privileged. */
int kist_plan_caps(const struct kist_container_config *config, char ***caps, struct kist_error *err);
/* The environment with its defaults. home: of the user, "" when it has none, NULL when it is not known (then HOME is
 * left out). */
char **kist_plan_env(const struct kist_container_config *config, const char *home);
/* Adds the resource limits, the default ones too. */
void kist_plan_limits(const struct kist_container_config *config, struct kist_spec_process *process);
/* The name it gets in a UTS namespace of its own, NULL in a shared one. The caller frees. */
char *kist_plan_hostname(const struct kist_container_config *config);
/* --rootfs: a directory (O_PATH), or where an overlay comes above it a file or block device that holds a file system
 * (*packed). (rootfs.c) */
int kist_rootfs_open(const struct kist_container_config *config, bool *packed, struct kist_error *err);
int kist_rootfs_check(const struct kist_container_config *config, struct kist_error *err);
#define KIST_OCI_VERSION "1.2.0"

/* --- logs (log_write.c, log_read.c) ---------------------------------------------------------------------------------
 */

struct kist_log_writer;
/* NULL *out for the driver 'none'. The file is opened O_APPEND 0640 below dir (or at an absolute log_path). */
int kist_log_writer_open(struct kist_log_writer **out, const struct kist_container_config *config, int dir,
                         struct kist_error *err);
/* Cuts into lines; a line longer than the buffer (16 KiB) or unfinished at close becomes partial. Never blocks on a
 * full disk: what cannot be written is dropped and counted, and writing is tried again later. */
void kist_log_writer_write(struct kist_log_writer *w, int stream, const void *data, size_t len);
void kist_log_writer_close(struct kist_log_writer *w);          /* flushes partial lines */
extern const char *const kist_log_drivers[];                    /* ended by NULL */
int kist_log_check(const char *driver, struct kist_error *err); /* a driver of this version? */

/* --- removal and clean-up (cleanup.c) -------------------------------------------------------------------------------
 */

/* Frees what a dead container holds: cgroup, run files; stopped -> exited, created -> configured. Needs the lock. */
int kist_container_cleanup_locked(struct kist_container *c, struct kist_error *err);
/* The same but for the state. */
int kist_container_free_run(struct kist_container *c, struct kist_error *err);
/* The groups that containers have theirs in, by default and (NULL: none) others, as far as they are empty and kist's:
 * they stay when the last container ends. */
void kist_store_cgroup_tidy(struct kist *k, char *const *others);
/* Record, name, directories. Needs the lock, which is gone afterwards. The container must be dead. */
int kist_container_remove_locked(struct kist_container *c, struct kist_error *err);
/* The image of one that removed itself, if it was to go too and nothing else uses it. Without the lock. */
void kist_container_drop_image(struct kist_container *c);
/* The rest of a removal: its volumes are given up, its directory, which has a temporary name by now, is deleted. */
int kist_container_remove_finish(struct kist *k, const char *gone);
/* With files_later: its directories and links, when those who waited for its end have been told. */
int kist_container_remove_files(struct kist_container *c);
/* A directory has a writable layer: it was more than half-made. */
bool kist_container_has_layer(struct kist *k, const char *id);
/* Deletes half-made and half-removed containers whose maker is gone. */
void kist_containers_sweep(struct kist *k);

#endif
