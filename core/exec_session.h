/* Records of exec sessions: runroot/containers/ID/exec/SESSION, written by the container's monitor alone. */
#ifndef KIST_EXEC_SESSION_H
#define KIST_EXEC_SESSION_H

#include "core/kist.h"

extern const struct kist_table kist_exec_session_table;

/* 64 hexadecimal digits. */
bool kist_exec_id_ok(const char *id);
int kist_exec_session_save(struct kist_container *c, const struct kist_exec_session *session, struct kist_error *err);
void kist_exec_session_drop(struct kist_container *c, const char *id);
/* Those of the past, so that sessions of a container that runs for years take no room: detached ones that ended longer
 * ago than podman keeps them. */
void kist_exec_sessions_prune(struct kist_container *c);
/* The ids of those whose process lives; the caller frees. */
char **kist_exec_sessions_active(struct kist_container *c);
/* KIST_ERR_STATE while there are any: "it has active exec sessions". */
int kist_exec_sessions_check(struct kist_container *c, struct kist_error *err);
/* SIGKILL for all of them, and waits. */
int kist_exec_sessions_end(struct kist_container *c, struct kist_error *err);

#endif
