/* Containers and their life cycle. Part of kist.h, which has the conventions. */
#ifndef KIST_CONTAINER_H
#define KIST_CONTAINER_H

#include "core/base/error.h"
#include "core/kist_config.h"

#include <sys/types.h>

struct json_object;
struct kist;
struct kist_image;
struct kist_str;

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
/* The same for showing them in a table: their configurations hold the id, name, image, command, pod, health check and
 * the time of creation, with filters also what filters and kist_container_summary ask for, and little else, until a
 * call on the container itself needs more. */
int kist_container_list_brief(struct kist *k, bool filters, struct kist_container ***out, size_t *n, char ***broken,
                              struct kist_error *err);
/* The same one by one, in no order: visit takes over each handle, so that thousands are not there at once. */
int kist_container_walk_brief(struct kist *k, bool filters, void (*visit)(struct kist_container *c, void *arg),
                              void *arg, char ***broken, struct kist_error *err);
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

/* Storage containers: writable layers in the store whose record is lost or damaged. All by full id; of a sound
 * container KIST_ERR_EXISTS. */
struct kist_storage_container {
	char id[65];
	char *name, *image; /* what can still be read of the record; NULL */
	char *mountpoint;   /* NULL: not on the host */
	int64_t changed;    /* its top directory, wall time */
};
int kist_storage_container_list(struct kist *k, struct kist_storage_container **out, size_t *n, struct kist_error *err);
void kist_storage_container_list_free(struct kist_storage_container *list, size_t n);
/* On the host: with the layers of its image where they are known and there, else the writable layer alone. *path: the
 * caller frees. */
int kist_storage_container_mount(struct kist *k, const char *id, char **path, struct kist_error *err);
int kist_storage_container_unmount(struct kist *k, const char *id, bool force, struct kist_error *err); /* 1: it was */
char *kist_storage_container_mountpoint(struct kist *k, const char *id);
/* KIST_ERR_IN_USE while it is mounted, without force. */
int kist_storage_container_remove(struct kist *k, const char *id, bool force, struct kist_error *err);

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
	/* Who is told that it is ready, when sdnotify says so, in this run and those that follow by policy. */
	const char *notify_socket; /* sd_notify(3): a path or @NAME; NULL: nobody */
	unsigned ready_fd;         /* of this process, inherited: a newline is written to it, as s6 has it; 0: none */
};
/* configured created stopped exited -> running. With attach, *session must be freed; then kist_attach_run. */
int kist_container_start(struct kist_container *c, const struct kist_start *start, struct kist_attach **session,
                         struct kist_error *err);
/* Starts a monitor for the next container that this handle starts, which is still to be made: the two take about the
 * same time, and a machine with two processors does both at once. Ended by kist_close() where nothing was started. Not
 * used where fds are preserved, or readiness is reported. Changes nothing else: where it fails, kist_container_start
 * says why. */
void kist_start_ahead(struct kist *k);
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
	/* Changes the health check, with the container's lock held; what it returns is returned. NULL: as it is. */
	int (*health)(struct kist_health_config *health, void *arg, struct kist_error *err);
	void *health_arg;
};
/* In the record, and at once where it runs. */
int kist_container_update(struct kist_container *c, const struct kist_update *update, struct kist_error *err);
/* "on-failure:3" into its parts; "never" is "no". *policy is replaced. */
int kist_restart_parse(const char *text, char **policy, uint32_t *retries, struct kist_error *err);
/* A container made with what another was made with: limits and policy as they are now, the same image or another one,
 * and the same volumes. What only one can have is left out: the paths of log, pid and id files. */
struct kist_clone {
	const char *name;                            /* NULL: that of the other with -clone, and a number if need be */
	const struct kist_image *image;              /* NULL: the same */
	const char *image_name;                      /* what it is to be called; with image */
	const struct kist_spec_resources *resources; /* what is set takes the place of what is; NULL: the same */
	char *const *create_command;                 /* for inspect; may be NULL */
};
int kist_container_clone(struct kist_container *c, const struct kist_clone *how, struct kist_container **out,
                         struct kist_error *err); /* how may be NULL */
/* Whether its restart policy wants another run: it is dead, and nobody stopped it. */
bool kist_container_should_restart(struct kist_container *c);

enum kist_remove_flags {
	KIST_REMOVE_FORCE = 1,   /* kill it when it runs; remove what cannot be loaded */
	KIST_REMOVE_DEPEND = 2,  /* the containers that depend on it first */
	KIST_REMOVE_VOLUMES = 4, /* its anonymous volumes too, unless another container uses them */
	KIST_REMOVE_POD = 8,     /* of kist_container_remove_several: an infra container with its pod */
};
int kist_container_remove(struct kist_container *c, unsigned flags, int64_t timeout, struct kist_error *err);
/* exited, or configured from created: frees what a dead container still holds. */
int kist_container_cleanup(struct kist_container *c, struct kist_error *err);

/* Bits of the mask of kist_container_wait beside those of the states: it runs and its check says so. */
#define KIST_WAIT_HEALTHY   (1u << 16)
#define KIST_WAIT_UNHEALTHY (1u << 17)
/* Waits until the status is one of those in the mask (1 << enum kist_status); 0: stopped or exited. *code: the exit
 * code, -1 when unknown or where the state that was met is no end, 0 when it never ran. Works for containers that are
 * removed meanwhile, and by id for those removed before. */
int kist_container_wait(struct kist *k, const char *name_or_id, unsigned status_mask, int *code,
                        struct kist_error *err);

/* --- the host -------------------------------------------------------------------------------------------------------
 */

/* Told of each container that was acted on; problem: NULL, or why it failed. */
typedef void (*kist_host_fn)(void *arg, struct kist_container *c, const struct kist_error *problem);
/* kist_container_stop of each in the list at once, but of what others in it depend on after those. timeout: seconds,
 * -1: each one's own. each: as they end; problem is as kist_container_stop has it. */
void kist_container_stop_several(struct kist_container *const *list, size_t n, int64_t timeout, kist_host_fn each,
                                 void *arg);
/* The same of kist_container_restart: what others in the list depend on is stopped after and started before those. */
void kist_container_restart_several(struct kist_container *const *list, size_t n, int64_t timeout, kist_host_fn each,
                                    void *arg);
/* And of kist_container_remove; KIST_ERR_REMOVED tells that somebody else was faster. */
void kist_container_remove_several(struct kist_container *const *list, size_t n, unsigned flags, int64_t timeout,
                                   kist_host_fn each, void *arg);
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
/* The one whose network namespace it is in, by --network container:ID or a pod, and whose addresses and ports are
 * therefore its own too; the caller frees it. NULL: its own, or none. */
struct kist_container *kist_container_network_owner(const struct kist_container *c);
char *kist_container_mountpoint(struct kist_container *c); /* NULL: not on the host. The caller frees */

/* Files that a program keeps with a container, by name (that of a container's form); they go with it. add replaces. A
 * missing one is KIST_ERR_NOT_FOUND. */
#define KIST_ARTIFACT_MAX (16u << 20)
int kist_artifact_add(struct kist_container *c, const char *name, const void *data, size_t len, struct kist_error *err);
int kist_artifact_get(struct kist_container *c, const char *name, struct kist_str *out, struct kist_error *err);
int kist_artifact_remove(struct kist_container *c, const char *name, struct kist_error *err);

#endif
