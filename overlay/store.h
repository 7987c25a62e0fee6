/* The open store, for the files of this folder. */
#ifndef KIST_OVERLAY_STORE_H
#define KIST_OVERLAY_STORE_H

#include "core/base/base.h"

struct kist_error;

/* The file of a layer that gives its stream back (tar_split.h). Layers of older versions do not have it. */
#define KIST_OVERLAY_SPLIT "split"

struct kist_overlay {
	int dir; /* overlay/ */
};

/* A layer's name: the SHA-256 of its uncompressed stream, hexadecimal. Everything else is refused before it becomes a
 * path. */
bool kist_overlay_name_ok(const char *layer);

/* The layer's short name, from its file 'link'; room for KIST_OVERLAY_SHORT + 1. */
#define KIST_OVERLAY_SHORT 8
int kist_overlay_short(const struct kist_overlay *store, const char *layer, char *out);

#endif
