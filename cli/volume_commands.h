/* The rows of the commands that act on volumes and secrets, and what their files share. */
#ifndef KIST_VOLUME_COMMANDS_H
#define KIST_VOLUME_COMMANDS_H

#include "cli/cli.h"
#include "cli/template.h"

extern const struct kist_command kist_command_volume, kist_command_volume_create, kist_command_volume_exists,
        kist_command_volume_export, kist_command_volume_import, kist_command_volume_inspect, kist_command_volume_ls,
        kist_command_volume_mount, kist_command_volume_prune, kist_command_volume_reload, kist_command_volume_rm,
        kist_command_volume_unmount;
extern const struct kist_command kist_command_secret, kist_command_secret_create, kist_command_secret_exists,
        kist_command_secret_inspect, kist_command_secret_ls, kist_command_secret_rm;

/* For the program's table. */
#define KIST_VOLUME_COMMANDS                                                                                           \
	&kist_command_volume, &kist_command_volume_create, &kist_command_volume_exists, &kist_command_volume_export,   \
	        &kist_command_volume_import, &kist_command_volume_inspect, &kist_command_volume_ls,                    \
	        &kist_command_volume_mount, &kist_command_volume_prune, &kist_command_volume_reload,                   \
	        &kist_command_volume_rm, &kist_command_volume_unmount, &kist_command_secret,                           \
	        &kist_command_secret_create, &kist_command_secret_exists, &kist_command_secret_inspect,                \
	        &kist_command_secret_ls, &kist_command_secret_rm,

/* Names for the shells. */
void kist_complete_volumes(struct kist_cli *cli, const char *prefix, char ***names);
void kist_complete_secrets(struct kist_cli *cli, const char *prefix, char ***names);

/* The volumes that the filters let pass, by name. Damaged ones are complained about. (volume_ls.c) */
struct cli_volumes {
	struct kist_volume **items;
	size_t n;
};
int cli_volumes_select(struct kist_cli *cli, char *const *filters, struct cli_volumes *out, struct kist_error *err);
void cli_volumes_clear(struct cli_volumes *volumes);
#define CLI_VOLUMES __attribute__((cleanup(cli_volumes_clear)))

/* "KEY=value"; a key alone has the empty value. For labels and options. */
int cli_add_pairs(const char *option, char *const *items, char ***to, struct kist_error *err);
/* Documents, which are put, by --format to stdout. */
int cli_print_documents(const struct kist_format *format, struct json_object *const *documents, size_t n,
                        bool noheading, struct kist_error *err);

#endif
