/* Layers that are file systems in a file. Internal to overlay/, but for what overlay.h has of it. */
#ifndef KIST_OVERLAY_PACKED_H
#define KIST_OVERLAY_PACKED_H

#include "core/base/base.h"

struct kist_error;
struct kist_overlay_source;
struct kist_tar_result;

/* The file of a layer, beside an empty diff/. */
#define KIST_OVERLAY_PACKED "image"

/* Copies the file into the directory of a layer that is being made, and looks whether this kernel mounts it. result:
 * its digest, which is the name of the layer, and its length. */
int kist_packed_fill(const struct kist_overlay_source *from, int dir, struct kist_tar_result *result,
                     struct kist_error *err);
/* SHA-256 of what is left to read. */
int kist_packed_digest(int file, char digest[65], struct kist_error *err);

#endif
