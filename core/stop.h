/* A stop in two steps, so that several containers can be stopped at once; restart and removal in steps around it. */
#ifndef KIST_STOP_H
#define KIST_STOP_H

#include "core/restart.h"

struct kist_stopping {
	int pidfd;        /* -1: no process */
	int64_t deadline; /* boot time: then it is killed */
	bool at_gate;
};

/* Says who stops it, and sends the signal. timeout: seconds, -1: the container's own. */
int kist_stop_begin(struct kist_container *c, int64_t timeout, enum kist_stopper who, struct kist_stopping *s,
                    struct kist_error *err);
/* Until it is dead and cleaned up. */
int kist_stop_end(struct kist_container *c, struct kist_stopping *s, struct kist_error *err);

struct kist_restarting {
	bool stopped;   /* by this restart, and not found so */
	bool cancelled; /* it was about to run again: its monitor finishes */
	uint32_t run;
};

/* check: what it depends on must run. */
int kist_restart_begin(struct kist_container *c, int64_t timeout, bool check, struct kist_restarting *restart,
                       struct kist_stopping *s, struct kist_error *err);
/* Until it is dead and cleaned up. */
int kist_restart_end(struct kist_container *c, const struct kist_restarting *restart, struct kist_stopping *s,
                     struct kist_error *err);
/* Starts it. */
int kist_restart_again(struct kist_container *c, const struct kist_restarting *restart, struct kist_error *err);

struct kist_removing {
	bool asked;   /* to end */
	char **links; /* on the host, which a monitor that removes it leaves for the end */
};

/* Whether it can be removed, and, where it runs and that is by force, the signal. */
int kist_remove_begin(struct kist_container *c, unsigned flags, int64_t timeout, struct kist_removing *removing,
                      struct kist_stopping *s, struct kist_error *err);
/* Until it is gone. */
int kist_remove_end(struct kist_container *c, unsigned flags, int64_t timeout, struct kist_removing *removing,
                    struct kist_stopping *s, struct kist_error *err);

/* Those of these ids that are there, at once; the first failure is what is told. */
int kist_remove_all(struct kist *k, char *const *ids, unsigned flags, int64_t timeout, struct kist_error *err);
/* As kist_container_stop_several. The host also stops what is paused. */
void kist_stop_several(struct kist_container *const *list, size_t n, int64_t timeout, enum kist_stopper who,
                       kist_host_fn each, void *arg);

#endif
