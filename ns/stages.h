/* The hand-shake of a launch: what the parent and the child tell each other over one SOCK_SEQPACKET pair, in the order
 * of the numbers. Internal to ns/.
 *
 *   stage     from     when                                           sent only if
 *   PID       joiner   the init has been cloned; value: its pid       a user namespace is joined
 *   MAPPED    parent   user maps are written, the cgroup is entered   a user namespace is made, or CLONE_INTO_CGROUP
 *                                                                     failed
 *   MOUNTED   child    all mounts are made, the pivot is next         the parent has something to do then
 *   PIVOT     parent   prestart and createRuntime hooks are done      MOUNTED was sent
 *   CREATED   child    at the gate; carries the terminal's master     always
 *   RELEASE   parent   the child no longer depends on the parent      the gate is a socket of its own; what follows
 *                                                                     goes over a connection made there
 *   START     parent   the gate opens                                 always
 *   (EOF)     child    execve(2) succeeded: its end is close-on-exec
 *   FAILED    child    instead of any of the above; carries the error whole
 *
 * In the other direction EOF means that the parent is gone: the child then leaves without a word. */
#ifndef KIST_NS_STAGES_H
#define KIST_NS_STAGES_H

#include "core/base/error.h"

enum kist_ns_stage {
	KIST_NS_STAGE_PID = 1,
	KIST_NS_STAGE_MAPPED,
	KIST_NS_STAGE_MOUNTED,
	KIST_NS_STAGE_PIVOT,
	KIST_NS_STAGE_CREATED,
	KIST_NS_STAGE_RELEASE,
	KIST_NS_STAGE_START,
	KIST_NS_STAGE_FAILED,
};

struct kist_ns_message {
	uint32_t stage;
	int32_t value;
	struct kist_error error; /* FAILED only: the others are sent without it */
};

/* fd: one to pass along, -1: none. A negative errno when the other side is gone. */
int kist_ns_stage_send(int sync, enum kist_ns_stage stage, int32_t value, int fd);
void kist_ns_stage_send_error(int sync, const struct kist_error *err);

/* The child waits for one stage. Returns 0, or -EPIPE when the parent is gone. */
int kist_ns_stage_await(int sync, enum kist_ns_stage stage);
/* The parent waits for a stage. The child's own error becomes *err; a death without one names the stage. fd takes what
 * came along
 * (-1: nothing) and may be NULL when nothing is expected; value may be NULL. */
int kist_ns_stage_expect(int sync, enum kist_ns_stage stage, int32_t *value, int *fd, struct kist_error *err);
/* The parent waits for execve(2): EOF is success. */
int kist_ns_stage_expect_exec(int sync, struct kist_error *err);

#endif
