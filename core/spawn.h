/* Starting a monitor and hearing from it. */
#ifndef KIST_SPAWN_H
#define KIST_SPAWN_H

#include "core/base/base.h"

struct kist;
struct kist_container;
struct kist_error;

struct kist_spawn {
	bool start;   /* go through the gate at once */
	bool attach;  /* the control connection is an attach session as well */
	bool restart; /* for a container that ended with its monitor: it waits for the next run */
	unsigned rows, cols, preserve_fds;
	const char *notify_socket; /* NULL: none */
	int ready_fd;              /* 0: none */
};

/* Whether fds 3..3+preserve-1 are the caller's to pass on: open, and without FD_CLOEXEC. */
int kist_check_preserved(unsigned preserve, struct kist_error *err);
/* The same for who is to be told of readiness. */
int kist_check_ready(const char *notify_socket, unsigned ready_fd, struct kist_error *err);
/* c must be locked. *control: the command's end, owned by the caller. pid may be NULL. */
int kist_spawn_monitor(struct kist_container *c, const struct kist_spawn *how, int *control, pid_t *pid,
                       struct kist_error *err);
/* Ends a monitor of kist_start_ahead that no container came for. */
void kist_start_ahead_drop(struct kist *k);
/* Reads messages until 'wanted' comes, or the monitor's error. */
int kist_spawn_await(int control, char wanted, struct kist_error *err);

#endif
