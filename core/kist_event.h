/* Events. Part of kist.h, which has the conventions. */
#ifndef KIST_EVENTS_H
#define KIST_EVENTS_H

#include "core/base/error.h"
#include "core/base/spec.h"

struct json_object;
struct kist;

/* Something that happened to an object. The file RUNROOT/events has one JSON object a line, with podman's keys; it is
 * rotated at 1 MB, and one older file is kept. Strings may be NULL. */
struct kist_event {
	const char *type;   /* container image volume network pod secret system */
	const char *status; /* create init start died ...: podman-events(1) */
	const char *id, *name, *image;
	const char *network, *pod, *health_status, *error;
	char *const *attributes;   /* "key=value" */
	struct kist_opt exit_code; /* of died and exec_died */
	int64_t failing_streak;
	bool oom_killed;
	int64_t time; /* wall; 0: now */
};
/* Never fails: what cannot be written is lost, and the operation that it is about goes on. Never waits. */
void kist_event_write(struct kist *k, const struct kist_event *event);

struct kist_event_options {
	int64_t since, until; /* wall time; 0: unbounded */
	bool past;            /* those that are recorded already; implied by since and until */
	bool stream;          /* go on with those that come, until 'until' */
};
/* Calls back for each in the order in which they were written; a positive return of the callback ends it. Follows
 * rotations. The document is the caller's for the time of the call. */
int kist_events(struct kist *k, const struct kist_event_options *options,
                int (*event)(void *arg, struct json_object *document), void *arg, struct kist_error *err);

#endif
