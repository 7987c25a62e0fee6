/* The rows of the commands that act on networks. */
#ifndef KIST_NETWORK_COMMANDS_H
#define KIST_NETWORK_COMMANDS_H

#include "cli/cli.h"

extern const struct kist_command kist_command_network, kist_command_network_connect, kist_command_network_create,
        kist_command_network_disconnect, kist_command_network_exists, kist_command_network_inspect,
        kist_command_network_ls, kist_command_network_prune, kist_command_network_reload, kist_command_network_rm,
        kist_command_network_update;

/* For the program's table. */
#define KIST_NETWORK_COMMANDS                                                                                          \
	&kist_command_network, &kist_command_network_connect, &kist_command_network_create,                            \
	        &kist_command_network_disconnect, &kist_command_network_exists, &kist_command_network_inspect,         \
	        &kist_command_network_ls, &kist_command_network_prune, &kist_command_network_reload,                   \
	        &kist_command_network_rm, &kist_command_network_update,

/* Names for the shells. */
void kist_complete_networks(struct kist_cli *cli, const char *prefix, char ***names);

/* Documents of the networks that the filters let pass, each to be put; the array is the caller's. (network_ls.c) */
int cli_networks_select(struct kist_cli *cli, char *const *filters, struct json_object ***out, size_t *n,
                        struct kist_error *err);

#endif
