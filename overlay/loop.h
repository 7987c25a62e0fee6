/* Loop devices: a file as a block device. Internal to overlay/. */
#ifndef KIST_OVERLAY_LOOP_H
#define KIST_OVERLAY_LOOP_H

#include "core/base/base.h"

struct kist_error;

/* A read-only loop device over the whole file: one that shows the file already, else a new one. Returns the open device
 * and its path in /dev; the device goes by itself (LO_FLAGS_AUTOCLEAR) once this is closed and nothing is mounted from
 * it, however its users end. -ENODEV: the host has none. */
#define KIST_LOOP_PATH 24
int kist_loop_attach(int file, char path[KIST_LOOP_PATH], struct kist_error *err);

#endif
