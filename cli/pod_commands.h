/* The rows of the commands that act on pods, and what their files share. */
#ifndef KIST_POD_COMMANDS_H
#define KIST_POD_COMMANDS_H

#include "cli/create.h"
#include "cli/template.h"

extern const struct kist_command kist_command_pod, kist_command_pod_create, kist_command_pod_exists,
        kist_command_pod_inspect, kist_command_pod_kill, kist_command_pod_logs, kist_command_pod_pause,
        kist_command_pod_prune, kist_command_pod_ps, kist_command_pod_restart, kist_command_pod_rm,
        kist_command_pod_start, kist_command_pod_stats, kist_command_pod_stop, kist_command_pod_top,
        kist_command_pod_unpause, kist_command_pod_clone;

/* For the program's table. */
#define KIST_POD_COMMANDS                                                                                              \
	&kist_command_pod, &kist_command_pod_create, &kist_command_pod_exists, &kist_command_pod_inspect,              \
	        &kist_command_pod_kill, &kist_command_pod_logs, &kist_command_pod_pause, &kist_command_pod_prune,      \
	        &kist_command_pod_ps, &kist_command_pod_restart, &kist_command_pod_rm, &kist_command_pod_start,        \
	        &kist_command_pod_stats, &kist_command_pod_stop, &kist_command_pod_top, &kist_command_pod_unpause,     \
	        &kist_command_pod_clone,

struct pod_create_options {
	struct create_options create; /* what pods and containers have in common */
	struct kist_opt infra;
	const char *infra_name, *infra_conmon_pidfile, *share, *exit_policy, *id_file;
	bool share_parent;
};

/* Why there is neither --infra-command nor --infra-image. */
#define POD_INFRA_REASON "the infra container is kist itself, needs no image and runs no other program"
/* What only an infra container can hold. (pod_create.c) */
int pod_check_no_infra(const struct pod_create_options *own, struct kist_error *err);
/* What belongs to a namespace that is not shared would reach no container. */
int pod_check_shared(const struct create_options *o, char *const *share, struct kist_error *err);
bool pod_has_userns(const struct create_options *o);
/* From the current directory; NULL of NULL. The caller frees. */
char *pod_absolute(const char *path);

/* Names for the shells. */
void kist_complete_pods(struct kist_cli *cli, const char *prefix, char ***names);

/* The latest pod, or the one of that name. */
int cli_pod_open(struct kist_cli *cli, bool latest, const char *name, struct kist_pod **out, struct kist_error *err);
/* The id in a file that --pod-id-file wrote. The caller frees *id. */
int cli_pod_id_read(const char *path, char **id, struct kist_error *err);
enum kist_pod_status cli_pod_status(struct kist_pod *pod); /* KIST_POD_ERROR where it cannot be told */
/* Removes those that have ended; prints their ids to out. Returns how many failed, which were complained about, or a
 * negative errno. passes NULL: every one. */
struct kist_str;
int cli_pods_prune(struct kist_cli *cli, bool (*passes)(void *arg, const struct kist_pod_config *config), void *arg,
                   struct kist_str *out, struct kist_error *err);

#endif
