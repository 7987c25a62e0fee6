/* The rows of the commands that move images in and out of the store, look into them and clean up. */
#ifndef KIST_ARCHIVE_COMMANDS_H
#define KIST_ARCHIVE_COMMANDS_H

#include "cli/cli.h"

extern const struct kist_command kist_command_commit, kist_command_container_diff, kist_command_diff,
        kist_command_history, kist_command_image_diff, kist_command_image_prune, kist_command_image_tree,
        kist_command_load, kist_command_save, kist_command_system, kist_command_system_check, kist_command_system_df,
        kist_command_system_prune, kist_command_system_reset;
/* Asks on the terminal; without an answer that is no. (prune.c) */
bool kist_cli_agreed(const char *warning);

/* For the program's table. */
#define KIST_ARCHIVE_COMMANDS                                                                                          \
	&kist_command_commit, &kist_command_container_diff, &kist_command_diff, &kist_command_history,                 \
	        &kist_command_image_diff, &kist_command_image_prune, &kist_command_image_tree, &kist_command_load,     \
	        &kist_command_save, &kist_command_system, &kist_command_system_check, &kist_command_system_df,         \
	        &kist_command_system_prune, &kist_command_system_reset,

#endif
