/* From a record to a created container: run by the monitor, which becomes its parent. */
#ifndef KIST_LAUNCH_H
#define KIST_LAUNCH_H

#include "core/base/base.h"
#include "ns/ns.h"

struct kist_container;
struct kist_error;

struct kist_launch {
	unsigned rows, cols, preserve_fds;                   /* in */
	int (*meanwhile)(void *arg, struct kist_error *err); /* in: see kist_ns_launch; may be NULL */
	void *meanwhile_arg;
	int pass[3];                        /* in: stdio that the container gets a copy of; -1: none. The caller's */
	struct kist_ns_child child;         /* out: waits at the gate */
	int stdin_fd, stdout_fd, stderr_fd; /* out: our ends, -1: none */
	int cgroup;                         /* out: directory fd, -1: none */
};
#define KIST_LAUNCH_INIT                                                                                               \
	{                                                                                                              \
		.child = KIST_NS_CHILD_INIT, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .cgroup = -1, .pass = { \
			-1,                                                                                            \
			-1,                                                                                            \
			-1                                                                                             \
		}                                                                                                      \
	}

/* On failure nothing is left but the run directory's files, which clean-up removes. */
int kist_launch_create(struct kist_container *c, struct kist_launch *launch, struct kist_error *err);
void kist_launch_close(struct kist_launch *launch);

/* The mounted root of a container: a detached overlay, or its --rootfs directory. */
int kist_launch_rootfs(struct kist_container *c, struct kist_error *err);

/* The user namespace that layers are seen through: 1, and the caller closes out->fd; 0: the container has none. */
struct kist_overlay_userns;
int kist_launch_userns(struct kist_container *c, struct kist_overlay_userns *out, struct kist_error *err);

#endif
