/* Mounts by descriptor: made detached, given their attributes, then attached to a directory that is held open, so that
 * no path is resolved between the check and the mount. Internal to ns/. Return fds or a negative errno. */
#ifndef KIST_NS_MOUNT_FD_H
#define KIST_NS_MOUNT_FD_H

#include "core/base/base.h"

struct kist_error;

/* A detached copy of what dir/path is; path "" is dir itself. Links are followed. */
int kist_ns_mount_clone(int dir, const char *path, bool recursive);
/* Attaches a detached mount over target (an O_PATH fd of the mount point). */
int kist_ns_mount_attach(int fd, int target);
/* A new file system. parameters: "key=value" or "flag". The error names the parameter and carries the kernel's own
 * message. -ENOSYS without an error where fsopen(2) is missing, which filters around the engine do: kist_ns_mount_old
 * is the other way. */
int kist_ns_mount_new(const char *type, const char *source, char *const *parameters, uint64_t attributes,
                      struct kist_error *err);
/* The same by mount(2), at once over target. */
int kist_ns_mount_old(const char *type, const char *source, char *const *parameters, uint64_t attributes, int target,
                      struct kist_error *err);
/* Attributes (MOUNT_ATTR_*) and propagation (MS_*, 0: leave) of the mount, or of it and all below. Kernels before 5.12
 * lack mount_setattr(2): attached mounts are then remounted, see below. */
int kist_ns_mount_setattr(int fd, bool recursive, uint64_t set, uint64_t clear, unsigned long propagation);
/* As setattr, on an attached mount, by mount(2) through /proc/self/fd. -EOPNOTSUPP for recursive attributes. */
int kist_ns_mount_remount(int fd, bool recursive, uint64_t set, uint64_t clear, unsigned long propagation);

#endif
