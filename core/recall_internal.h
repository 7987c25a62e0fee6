/* What core/recall.c and core/recall_ahead.c share. */
#ifndef KIST_RECALL_INTERNAL_H
#define KIST_RECALL_INTERNAL_H

#include "core/recall.h"

#include <sys/types.h>

enum { RECALL_ID = 64 };
/* Lengths of a part that has no text. */
enum { RECALL_UNKNOWN = -1, RECALL_ABSENT = -2 };

/* Of a container's directory. Records are replaced by renames into it, which it bears the time of. */
struct recall_identity {
	uint64_t inode;
	int64_t changed; /* nanoseconds; -1: that could not be seen, and nothing is kept */
};

struct recall_part {
	uint64_t at; /* in the file, or in what was read */
	int64_t length;
};

struct recall_entry {
	char id[RECALL_ID];
	struct recall_identity of;
	struct recall_part parts[KIST_RECALL_FILES];
};

void recall_identify(struct kist *k, const char *id, struct recall_identity *out);
/* A record without its checksum into raw, of containers/ID; negative errno, -EBADMSG. fixed: raw must not grow, what
 * has no room in it is -EFBIG. */
int recall_load(struct kist *k, const char *id, enum kist_recall_file file, bool fixed, struct kist_str *raw);
/* What lists ask for of a record. text must have room for all of raw, where it must not grow. */
void recall_take(enum kist_recall_file file, const struct kist_str *raw, struct kist_str *text);

/* A second process that reads the containers of a long list ahead of the one that goes through it. NULL where that is
 * not possible or not worth it; ids must stay. */
struct recall_ahead *recall_ahead_start(struct kist *k, const char (*ids)[RECALL_ID + 1], size_t n);
/* Whether it has read this one; if not, it will not any more. Texts as KIST_RECALL_FILES parts at *texts. */
bool recall_ahead_has(struct recall_ahead *ahead, size_t i, struct recall_entry *entry, const char **texts);
void recall_ahead_end(struct recall_ahead *ahead);
pid_t recall_ahead_pid(const struct recall_ahead *ahead); /* for tests */

#endif
