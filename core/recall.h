/* What lists read of containers' records, kept between calls: runroot/list. Of thousands of records few change from one
 * list to the next, and one look at a container's directory tells that none of its records did: they are replaced by
 * renames into it.
 *
 * The texts count for as long as the directory has the same inode number and time of change, which nobody can set. What
 * had changed less than two seconds before the list began is not kept: the next change could bear the same time. The
 * whole has a checksum, and is replaced by a rename; what is wrong with it is no error, the records are read. Short
 * lists neither make nor use it.
 *
 * Without it, after a boot, two processes read a long list (core/recall_ahead.c). */
#ifndef KIST_RECALL_H
#define KIST_RECALL_H

#include "core/base/base.h"

struct kist;
struct kist_recall;
struct kist_str;

enum kist_recall_file { KIST_RECALL_CONFIG, KIST_RECALL_STATE, KIST_RECALL_EXIT, KIST_RECALL_FILES };

/* For a list of these n containers, in order of their ids, which must stay. Never NULL. */
struct kist_recall *kist_recall_open(struct kist *k, const char (*ids)[65], size_t n);
/* Of containers/ID/config the lines of brief fields and of those that filters ask for, of the state and the exit record
 * all. CONFIG first, by ascending id. Replaces text. -ENOENT; -EBADMSG: damaged. */
int kist_recall_read(struct kist_recall *recall, const char *id, enum kist_recall_file file, struct kist_str *text);
/* Writes it down where enough of it is new. NULL is fine. */
void kist_recall_close(struct kist_recall *recall);

#endif
