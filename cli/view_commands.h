/* The rows of the commands that show containers and the host, and what their files share. */
#ifndef KIST_VIEW_COMMANDS_H
#define KIST_VIEW_COMMANDS_H

#include "cli/cli.h"
#include "cli/template.h"

extern const struct kist_command kist_command_ps, kist_command_inspect, kist_command_container_inspect,
        kist_command_logs, kist_command_top, kist_command_stats, kist_command_info, kist_command_version,
        kist_command_port, kist_command_events, kist_command_healthcheck, kist_command_healthcheck_run;

/* For the program's table. */
#define KIST_VIEW_COMMANDS                                                                                             \
	&kist_command_ps, &kist_command_inspect, &kist_command_container_inspect, &kist_command_logs,                  \
	        &kist_command_top, &kist_command_stats, &kist_command_info, &kist_command_version, &kist_command_port, \
	        &kist_command_events, &kist_command_healthcheck, &kist_command_healthcheck_run,

/* How templates see containers: names of keys that are maps, and podman's other spellings. */
extern const char *const kist_container_maps[];
extern const struct kist_template_alias kist_container_aliases[];

/* The container that the options name: the latest, or the first argument. */
int kist_cli_open(struct kist_cli *cli, bool latest, const char *name, struct kist_container **out,
                  struct kist_error *err);
/* For check() of commands on exactly one container: a name or --latest, and at most 'more' further arguments (-1: any).
 */
int kist_cli_check_one(bool latest, int argc, int more, struct kist_error *err);
/* Documents by --format to stdout. */
int kist_cli_print_documents(const struct kist_format *format, struct json_object *const *documents, size_t n,
                             const struct kist_template_view *view, bool noheading, struct kist_error *err);

#endif
