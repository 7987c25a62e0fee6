/* The rows of the commands that move images in and out of the store, look into them and clean up. */
#ifndef KIST_ARCHIVE_COMMANDS_H
#define KIST_ARCHIVE_COMMANDS_H

#include "cli/cli.h"

extern const struct kist_command kist_command_commit, kist_command_load, kist_command_save;

/* For the program's table. */
#define KIST_ARCHIVE_COMMANDS &kist_command_commit, &kist_command_load, &kist_command_save,

#endif
