/* Readiness: sd_notify(3), and the newline of s6. What a container says is hostile until it has been filtered. */
#ifndef KIST_NOTIFY_H
#define KIST_NOTIFY_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct kist_str;

#define KIST_NOTIFY_ENV    "NOTIFY_SOCKET"
#define KIST_NOTIFY_DIR    "notify"      /* in the run directory: what the container has at KIST_NOTIFY_PLACE */
#define KIST_NOTIFY_SOCKET "notify.sock" /* in both */
#define KIST_NOTIFY_PLACE  "/run/notify"
#define KIST_NOTIFY_MAX    4096 /* bytes of one message */

/* A NOTIFY_SOCKET that can be written to: a path, or @NAME of an abstract socket. */
int kist_notify_check(const char *address, struct kist_error *err);
/* One datagram; never blocks. -EAGAIN: the reader is behind. */
int kist_notify_send(const char *address, const char *text, size_t len);
/* Of a message only the lines that a service may say of itself: its readiness, its state, its watchdog. Whose process
 * it is and which descriptors the service manager keeps is not a container's to say. Returns whether READY=1 is among
 * them. */
bool kist_notify_filter(const char *text, size_t len, struct kist_str *out);

#endif
