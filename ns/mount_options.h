/* The options of a mount in a plan, sorted by what executes them: mount attributes, propagation, the file system's own
 * parameters. Internal to ns/. The names are those of mount(8) and of the OCI runtime specification (config-linux,
 * Mount options). */
#ifndef KIST_NS_MOUNT_OPTIONS_H
#define KIST_NS_MOUNT_OPTIONS_H

#include "core/base/base.h"

struct kist_error;

enum kist_ns_idmap { KIST_NS_IDMAP_NONE, KIST_NS_IDMAP, KIST_NS_IDMAP_RECURSIVE };

#define KIST_NS_PROPAGATIONS 4 /* "slave,shared" is a state of its own: order is kept */

struct kist_ns_propagation {
	unsigned long type; /* MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE */
	bool recursive;
};

struct kist_ns_mount_options {
	uint64_t set, clear;         /* MOUNT_ATTR_* of the mount itself */
	uint64_t all_set, all_clear; /* of the mount and all below it (rro, rnosuid, ...) */
	struct kist_ns_propagation propagation[KIST_NS_PROPAGATIONS];
	size_t n_propagation;
	bool bind, recursive; /* bind, rbind */
	bool remount;
	bool copy_up;
	enum kist_ns_idmap idmap;
	char **parameters; /* "key=value" or "flag": fsconfig(2) */
};

/* what: "mounts[2]", for messages. type: the mount's type; "bind" is a bind mount whatever the options say. out must be
 * zero. */
int kist_ns_mount_options_parse(char *const *options, const char *type, const char *what,
                                struct kist_ns_mount_options *out, struct kist_error *err);
void kist_ns_mount_options_free(struct kist_ns_mount_options *options);

/* "private", "rslave", ...: -EINVAL when it is none of the eight. */
int kist_ns_propagation_parse(const char *name, struct kist_ns_propagation *out);

#endif
