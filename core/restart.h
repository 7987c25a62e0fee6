/* Restart policies: what they say of a run that ended, and the monitor that waits until the next one. */
#ifndef KIST_RESTART_H
#define KIST_RESTART_H

#include "core/internal.h"

enum kist_restart_policy {
	KIST_RESTART_NO,
	KIST_RESTART_ON_FAILURE,
	KIST_RESTART_ALWAYS,
	KIST_RESTART_UNLESS_STOPPED,
};
enum kist_restart_policy kist_restart_policy_of(const struct kist_container_config *config);
/* For create and update: the policy is known and goes with the rest. */
int kist_restart_check(const struct kist_container_config *config, struct kist_error *err);

/* Whether the policy or a health check wants another run after the one that ended: libpod's shouldRestart. A user's
 * stop and the host's own are not ends by themselves. */
bool kist_restart_wanted(const struct kist_container *c);
/* Whether 'kist boot' starts it: always; unless-stopped where no user stopped it last. */
bool kist_restart_at_boot(const struct kist_container *c);

/* Nanoseconds between two runs: 100 ms, doubling to 60 s, or as configured; from the beginning again after a run of
 * 10 s. last: the delay before the run that ended, 0 before the first. */
int64_t kist_restart_delay(const struct kist_container_config *config, int64_t last, int64_t ran);

/* A dead container whose monitor died although the policy wants another run gets a new one. Needs the lock, and may be
 * called where processes can be made: kist->no_spawn tells. */
int kist_restart_adopt(struct kist_container *c, struct kist_error *err);

enum kist_stopper {
	KIST_STOPPED_BY_USER,
	KIST_STOPPED_BY_HOST,
	KIST_STOPPED_TO_RESTART, /* by a command, which starts it again */
	KIST_STOPPED_BY_CHECK,   /* of its health: its monitor starts it again */
};
/* Its process is dead and its monitor lives: on the way to clean-up, or waiting for the next run. */
bool kist_restart_pending(const struct kist_container *c);
/* Records who ends it, before that is done; the last one holds. Needs the lock; gives it up. */
void kist_stop_note(struct kist_container *c, enum kist_stopper who);
/* No further run: the monitor is told so and finishes. Needs the lock; gives it up. The caller waits for the monitor.
 */
void kist_restart_cancel(struct kist_container *c, enum kist_stopper who);

#endif
