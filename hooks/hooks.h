/* OCI hooks: directories of hook files (oci-hooks(5), schema 1.0.0), which of them apply, and running them.
 *
 * A hook is a program of the host's. It gets the container's state as JSON on stdin, the environment its file gives
 * and no other, and runs in a process group of its own, which is killed when its time is up. */
#ifndef KIST_HOOKS_H
#define KIST_HOOKS_H

#include "core/base/spec.h"

struct kist_error;
struct kist_str;

/* --- directories ----------------------------------------------------------------------------------------------------
 */

struct kist_hooks; /* what was read, by file name */

/* What decides whether a hook applies. */
struct kist_hooks_subject {
	char *const *annotations; /* "key=value" */
	const char *command;      /* process.args[0], may be NULL */
	bool has_bind_mounts;     /* asked for by the user, beyond the defaults */
};

/* Reads *.json of each directory, NULL-terminated, later ones over earlier ones with the same file name, which are then
 * not read at all. A missing directory is skipped; a file that is wrong is an error that names it, since a hook that is
 * left out silently may have been a defence. */
int kist_hooks_read(const char *const *directories, struct kist_hooks **out, struct kist_error *err);
void kist_hooks_free(struct kist_hooks *hooks); /* NULL is fine */
size_t kist_hooks_count(const struct kist_hooks *hooks);

/* Appends the hooks that apply to the plan, in the order of their file names in lower case, for the stages of the
 * runtime specification; those of the extension stage 'precreate' are returned in *precreate (the caller frees with
 * kist_spec_hook_list_free). */
int kist_hooks_apply(const struct kist_hooks *hooks, const struct kist_hooks_subject *subject, struct kist_spec *spec,
                     struct kist_spec_hook **precreate, size_t *n_precreate, struct kist_error *err);
void kist_spec_hook_list_free(struct kist_spec_hook *hooks, size_t n);

/* --- running --------------------------------------------------------------------------------------------------------
 */

struct kist_hook_run {
	const struct kist_spec_hook *hook;
	const char *stage; /* for messages */
	const char *input; /* stdin, may be NULL */
	struct kist_str
	        *output; /* stdout is collected here, up to output_max bytes (more is an error); NULL: discarded */
	size_t output_max;
	int cwd; /* directory fd, -1: as it is */
};
/* Runs one hook to its end. A code other than 0, a signal, or the end of its time (hook->timeout seconds; 0 or unset:
 * none) is an error with the end of its stderr. Nothing of its process group lives on after a time-out. */
int kist_hook_execute(const struct kist_hook_run *run, struct kist_error *err);
/* Several of one stage, in order; stops at the first failure unless keep_going, which is how poststart and poststop are
 * run: then the failures are logged and 0 is returned. */
int kist_hooks_execute(const struct kist_spec_hook *hooks, size_t n, const char *stage, const char *state_json, int cwd,
                       bool keep_going, struct kist_error *err);
/* Filters the plan through the precreate hooks: each gets config.json on stdin and answers with the whole new one. What
 * comes back is parsed and checked like any plan. *spec is replaced. */
int kist_hooks_precreate(const struct kist_spec_hook *hooks, size_t n, struct kist_spec **spec, struct kist_error *err);

/* The state document of the runtime specification, for hooks' stdin. The caller frees. status: creating created running
 * stopped. */
char *kist_hooks_state(const char *id, const char *status, int pid, const char *bundle, char *const *annotations);

#endif
