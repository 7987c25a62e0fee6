/* What help, completions and manual pages share; nobody else includes it. */
#ifndef KIST_COMMAND_INTERNAL_H
#define KIST_COMMAND_INTERNAL_H

#include "cli/command.h"

/* help, completion, __complete and __man, NULL-terminated; their run is NULL. */
extern const struct kist_command *const command_builtins[];

/* All rows of a program and the built-in ones, in table order; at counts up from 0; NULL ends. */
const struct kist_command *command_at(const struct kist_program *program, size_t at);

/* The rows of all sets that are not hidden, sorted by name. The caller frees the array. */
const struct kist_option **command_options(const struct kist_option_set *sets, size_t *n);

/* The commands under a group that are not hidden, sorted by the name they have there. The caller frees. */
struct command_entry {
	const struct kist_command *command;
	const char *name;
};
struct command_entry *command_entries(const struct kist_program *program, const char *group, size_t *n);

/* '(default "30s")' without the parentheses: "\"30s\"", "10", or NULL when there is none to show. The caller frees. */
char *command_option_default(const struct kist_option *option);

#endif
