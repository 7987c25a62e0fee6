/* What the files of hooks/ share. */
#ifndef KIST_HOOKS_INTERNAL_H
#define KIST_HOOKS_INTERNAL_H

#include "core/base/table.h"
#include "hooks/hooks.h"

#include <regex.h>

struct hook_when {
	struct kist_opt always, has_bind_mounts;
	char **annotations; /* "regex=regex" */
	char **commands;    /* regexes */
};

struct hook_file {
	char *version;
	struct kist_spec_hook hook;
	struct hook_when when;
	char **stages;
	char *name; /* of the file; not in the table */
};
extern const struct kist_table hook_file_table;

struct kist_hooks {
	struct hook_file *files;
	size_t n;
};

#endif
