/* Hooks of the engine's own containers: from hook directories into the plan, and around the life of the process. */
#ifndef KIST_LAUNCH_HOOKS_H
#define KIST_LAUNCH_HOOKS_H

#include "core/internal.h"

/* Adds the hooks of the container's directories that apply, then passes the plan through its precreate hooks. What the
 * engine has decided by then (root, cgroup, terminal, user maps) must come back as it was. *spec is replaced. */
int kist_launch_hooks_add(struct kist_container *c, struct kist_spec **spec, struct kist_error *err);
/* Notes in the run directory that this run has hooks to come, once config.json is written. */
int kist_launch_hooks_note(struct kist_container *c, const struct kist_spec *spec, struct kist_error *err);
/* Whether hooks run while the container is made. */
bool kist_launch_hooks_of_create(const struct kist_spec *spec);
/* The directory that is the container's root for those, to be made before the launch; NULL: none is needed, or it lies
 * where the root of the container's user namespace cannot reach it. Borrowed from the plan. */
int kist_launch_hooks_root(struct kist_container *c, const struct kist_spec *spec, const char **root,
                           struct kist_error *err);
/* The runner of ns/; arg is the container. */
int kist_launch_hooks_runner(void *arg, const struct kist_spec_hook *hooks, size_t n, const char *stage, pid_t pid,
                             struct kist_error *err);
/* After the program was executed: failures are warnings (runtime-spec 1.2, lifecycle 9). */
void kist_launch_hooks_poststart(struct kist_container *c, pid_t pid);
/* When what the container had is freed: once for each run, failures are warnings (lifecycle 13). They run beside the
 * caller, which waits for them once it has given up the lock. */
void kist_launch_hooks_poststop(struct kist_container *c);
void kist_launch_hooks_await(struct kist_container *c);
/* Waits for those of another process's, without the lock. */
void kist_launch_hooks_join(const struct kist_container *c, int timeout_ms);

#endif
