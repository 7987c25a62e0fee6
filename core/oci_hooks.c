/* Hooks of the runtime specification: the plan's own, nothing from directories, which are the engine's above. */
#include "core/oci_internal.h"

#include "hooks/hooks.h"

int oci_hooks_run(const struct kist_oci_state *state, const struct kist_spec_hook *hooks, size_t n, const char *stage,
                  const char *status, pid_t pid, bool keep_going, struct kist_error *err)
{
	if (n == 0)
		return 0;
	KIST_FREE char *text = kist_hooks_state(state->id, status, (int)pid, state->bundle, state->annotations);
	return kist_hooks_execute(hooks, n, stage, text, -1, keep_going, err);
}

int oci_hooks_runner(void *arg, const struct kist_spec_hook *hooks, size_t n, const char *stage, pid_t pid,
                     struct kist_error *err)
{
	const char *status = kist_streq(stage, "startContainer") ? "created" : "creating";

	return oci_hooks_run(arg, hooks, n, stage, status, pid, false, err);
}
