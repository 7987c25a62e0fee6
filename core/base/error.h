/* The error object: the last argument of every function that can fail.
 *
 * Functions return 0 or a positive result, or a negative errno, and leave their
 * outputs untouched on failure. The detail goes to struct kist_error: what kind
 * of failure (the engine's own terms, which decide exit codes), the errno, and a
 * text that grows one context for each layer it passes:
 *
 *   start web: mount overlay: No space left on device
 *
 * The object has no pointers, so that a child can send it whole through a pipe.
 * A NULL error pointer is allowed: the caller then has the return value alone. */
#ifndef KIST_ERROR_H
#define KIST_ERROR_H

#include "core/base/base.h"

#include <stdarg.h>

enum kist_error_kind {
	KIST_ERR_NONE = 0,
	KIST_ERR_SYSTEM,      /* a system call failed: see errnum */
	KIST_ERR_INVALID,     /* what the caller gave is wrong */
	KIST_ERR_NOT_FOUND,   /* no such container, image, layer ... */
	KIST_ERR_EXISTS,      /* the name or object is taken */
	KIST_ERR_AMBIGUOUS,   /* a partial id matches several */
	KIST_ERR_STATE,       /* not allowed in the container's state */
	KIST_ERR_STOPPED,     /* stop: it is stopped already */
	KIST_ERR_IN_USE,      /* something else depends on it */
	KIST_ERR_UNSUPPORTED, /* this host or this version cannot */
	KIST_ERR_CORRUPT,     /* a record on disk or a message is damaged */
	KIST_ERR_TIMEOUT,
	KIST_ERR_REMOVED,      /* the object went away meanwhile */
	KIST_ERR_EXEC_ACCESS,  /* the command cannot be invoked: exit code 126 */
	KIST_ERR_EXEC_MISSING, /* the command does not exist: exit code 127 */
	KIST_ERR_INTERNAL,     /* a defect of kist */
};

struct kist_error {
	enum kist_error_kind kind;
	int errnum;
	char text[1016];
};

/* Set the error; asserts that it is not set yet. Return the negative errno to hand up:
 * kist_fail returns -errnum; errnum 0 takes the kind's own errno. */
int kist_fail(struct kist_error *err, enum kist_error_kind kind, int errnum, const char *fmt, ...) KIST_PRINTF(4, 5);
/* A failed system call: kind SYSTEM, ": strerror(errnum)" is appended. */
int kist_fail_errno(struct kist_error *err, int errnum, const char *fmt, ...) KIST_PRINTF(3, 4);
int kist_vfail(struct kist_error *err, enum kist_error_kind kind, int errnum, const char *fmt, va_list ap)
        KIST_PRINTF(4, 0);

/* Puts "context: " before the text. Returns -errnum, for 'return kist_context(err, ...)'. */
int kist_context(struct kist_error *err, const char *fmt, ...) KIST_PRINTF(2, 3);
/* Appends " (hint)" to the text: what the user can do. Returns -errnum. */
int kist_remedy(struct kist_error *err, const char *fmt, ...) KIST_PRINTF(2, 3);

void kist_error_clear(struct kist_error *err);
bool kist_error_is_set(const struct kist_error *err);
const char *kist_error_kind_name(enum kist_error_kind kind);

#endif
