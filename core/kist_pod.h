/* Pods. Part of kist.h, which has the conventions. */
#ifndef KIST_PODS_H
#define KIST_PODS_H

#include "core/base/error.h"
#include "core/kist_config.h"

struct json_object;
struct kist;
struct kist_container;

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
/* A pod made with what another was made with, and clones of its containers in it: wholly or not at all. NULL and what
 * is not set: as the other has it. */
struct kist_pod_clone {
	const char *name; /* NULL: that of the other with -clone, and a number if need be */
	const char *hostname, *cgroup_parent;
	const char *infra_name;   /* NULL: one is made of the id */
	char *const *labels;      /* "key=value", over the other's */
	char *const *share;       /* namespaces that are shared beside the other's */
	struct kist_opt shm_size; /* bytes */
	const char *restart_policy;
	uint32_t restart_retries;                    /* with restart_policy */
	const struct kist_spec_resources *resources; /* what is set takes the place of what is; NULL: the same */
	/* Of the infra container, NULL: nothing. Mounts, volumes, devices, protection and sysctls come beside the
	 * other's, or at the same place instead of them; pid_ns, uts_ns and user_ns (with its maps) and conmon_pidfile
	 * where not NULL. */
	const struct kist_container_config *infra;
	char *const *create_command; /* for inspect; may be NULL */
};
int kist_pod_clone(struct kist_pod *pod, const struct kist_pod_clone *how, struct kist_pod **out,
                   struct kist_error *err); /* how may be NULL */
/* podman's documents: of 'pod inspect', and an item of 'pod ps --format json'. */
int kist_pod_inspect(struct kist_pod *pod, struct json_object **out, struct kist_error *err);
int kist_pod_summary(struct kist_pod *pod, struct json_object **out, struct kist_error *err);

#endif
