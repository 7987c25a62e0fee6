/* The open store, for the files of this folder. */
#ifndef KIST_OVERLAY_STORE_H
#define KIST_OVERLAY_STORE_H

#include "core/base/base.h"

struct kist_error;

/* The file of a layer that gives its stream back (tar_split.h). Layers of older versions do not have it. */
#define KIST_OVERLAY_SPLIT "split"

struct kist_overlay {
	int dir;                   /* overlay/ */
	struct kist_overlay *next; /* is only read; owned */
};

/* The store that has the layer, this one or one that is only read; NULL: none. */
const struct kist_overlay *kist_overlay_holder(const struct kist_overlay *store, const char *layer);
/* A file or directory of a committed layer, read-only; a negative errno. */
int kist_overlay_open_in(const struct kist_overlay *store, const char *layer, const char *file, int flags);

/* A layer's name: the SHA-256 of its uncompressed stream, hexadecimal. Everything else is refused before it becomes a
 * path. */
bool kist_overlay_name_ok(const char *layer);

/* The layer's short name, from its file 'link'; room for KIST_OVERLAY_SHORT + 1. */
#define KIST_OVERLAY_SHORT 8
int kist_overlay_short(const struct kist_overlay *store, const char *layer, char *out);

/* The layer of mount points, in the store; made with the first mount that wants it. 0, or a negative errno. */
#define KIST_OVERLAY_POINTS "points"
int kist_overlay_points_make(struct kist_overlay *store);

#endif
