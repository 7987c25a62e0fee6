/* Commands that init scripts and supervisors use. */
#ifndef KIST_SUPERVISE_COMMANDS_H
#define KIST_SUPERVISE_COMMANDS_H

#include "cli/command.h"

extern const struct kist_command kist_command_boot, kist_command_shutdown, kist_command_init, kist_command_cleanup,
        kist_command_container_prune, kist_command_update, kist_command_container_clone, kist_command_generate,
        kist_command_generate_run;

#define KIST_SUPERVISE_COMMANDS                                                                                        \
	&kist_command_boot, &kist_command_shutdown, &kist_command_init, &kist_command_cleanup,                         \
	        &kist_command_container_prune, &kist_command_update, &kist_command_container_clone,                    \
	        &kist_command_generate, &kist_command_generate_run,

#endif
