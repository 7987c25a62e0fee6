/* A session with a monitor. */
#ifndef KIST_ATTACH_H
#define KIST_ATTACH_H

#include "core/base/base.h"

struct kist_attach {
	int sock;
	bool tty;          /* the container has a terminal */
	bool stdin_;       /* its stdin is open */
	bool late;         /* it runs already: a program that fills the screen has to draw it anew */
	char *detach_keys; /* of the store */
};

struct kist_container;
struct kist_error;
/* Takes over sock. */
struct kist_attach *kist_attach_new(struct kist_container *c, int sock);
/* Connects to the monitor's socket; an fd or a negative errno. */
int kist_attach_connect(struct kist_container *c, struct kist_error *err);
/* Tells the monitor that a record has changed, and waits until it has taken that in: it never waits for the lock, which
 * may be the caller's. One that has just seen the container's end has nothing to answer any more: 0. */
int kist_monitor_tell(struct kist_container *c, char type, const void *data, size_t len, struct kist_error *err);
/* Lets the monitor end the run at that moment (boot time), should the command that stops it be gone by then. Needs the
 * lock. */
void kist_monitor_stop_by(struct kist_container *c, int64_t moment);

#endif
