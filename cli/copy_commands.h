/* The rows of the commands that move files in and out of containers. */
#ifndef KIST_COPY_COMMANDS_H
#define KIST_COPY_COMMANDS_H

#include "cli/cli.h"

extern const struct kist_command kist_command_cp, kist_command_export, kist_command_mount, kist_command_unmount;

/* For the program's table. */
#define KIST_COPY_COMMANDS &kist_command_cp, &kist_command_export, &kist_command_mount, &kist_command_unmount,

#endif
