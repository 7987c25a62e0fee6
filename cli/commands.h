/* The rows of the commands that act on containers, and what their files share. */
#ifndef KIST_COMMANDS_H
#define KIST_COMMANDS_H

#include "cli/cli.h"

extern const struct kist_command kist_command_run, kist_command_create, kist_command_start, kist_command_stop,
        kist_command_kill, kist_command_rm, kist_command_wait, kist_command_exec, kist_command_pause,
        kist_command_unpause, kist_command_restart, kist_command_rename, kist_command_attach, kist_command_exists,
        kist_command_container, kist_command_image;

/* The size of the terminal on stdin, stdout or stderr, if any. */
void cli_window_size(struct kist_start *start);
int cli_ready_fd(const struct kist_opt *given, struct kist_start *start, struct kist_error *err);
/* Whether they are what --detach-keys takes, before anything is done; NULL: they are. */
int cli_detach_keys(const char *keys, struct kist_error *err);
/* Relays until the end; the container's exit code, 0 after a detach, or a negative errno. */
int cli_attach(struct kist_container *c, struct kist_attach *session, const struct kist_attach_io *io,
               struct kist_error *err);

#endif
