/* kist: the engine's public header (libkist).
 *
 * One struct kist is one opened store; nothing is kept between processes but the files below its two
 * directories. There is no daemon: every call reads what it needs, locks one object, acts, and writes. Handles
 * (struct kist_container) hold a snapshot; kist_container_sync brings it up to date.
 *
 * Conventions
 *   - 0 or a positive result is success, a negative errno is failure; *err has kind and text; outputs are
 *     untouched on failure. err may be NULL.
 *   - Strings given are copied; strings and arrays returned belong to the handle unless said otherwise.
 *   - Times are wall-clock nanoseconds since 1970 (0: never); time-outs are whole seconds on CLOCK_BOOTTIME.
 *   - No call waits while it holds a lock.
 *   - JSON documents are json-c objects that the caller puts.
 * Not thread-safe: one thread per struct kist. */
#ifndef KIST_H
#define KIST_H

#include "core/base/error.h"
#include "core/base/spec.h"
#include "core/kist_config.h"
#include "core/kist_container.h"
#include "core/kist_event.h"
#include "core/kist_image.h"
#include "core/kist_network.h"
#include "core/kist_pod.h"
#include "core/kist_registry.h"
#include "core/kist_view.h"
#include "core/kist_volume.h"

/* --- the store ------------------------------------------------------------------------------------------------------
 */

struct kist;

struct kist_options {
	const char *root;        /* NULL: KIST_ROOT, kist.conf, /var/lib/kist */
	const char *runroot;     /* NULL: KIST_RUNROOT, kist.conf, /run/kist */
	const char *config_file; /* NULL: KIST_CONF, /etc/kist.conf; a missing default file is fine, a missing named one
	                            is an error */
	char *const
	        *imagestore; /* further stores of images, NULL: KIST_IMAGESTORE; those of kist.conf come after them */
	const char *const *set; /* further "key=value" settings over the file, NULL-terminated; may be NULL */
	const char *binary;     /* the kist program of this version, executed as the monitor of each container that is
	                           started. NULL: KIST_BINARY, or where it was installed with this library */
};

enum kist_events_to { KIST_EVENTS_FILE, KIST_EVENTS_NONE };

/* /etc/kist.conf: key=value lines; kist.conf(5). */
struct kist_settings {
	char *root, *runroot;
	char *cgroup_parent;    /* default /kist */
	char *log_driver;       /* k8s-file */
	uint64_t log_max_size;  /* bytes; 10 MB */
	uint32_t log_max_files; /* 3 */
	uint32_t stop_timeout;  /* seconds; 10 */
	/* Milliseconds before the first restart by policy, doubling with each, and the most: 100, 60000. */
	uint32_t restart_delay, restart_delay_max;
	uint32_t pids_limit;   /* 2048; 0: none */
	uint64_t shm_size;     /* bytes; 65536k */
	char *network;         /* of containers that name none: a network, none or host */
	bool volatile_;        /* key 'volatile': all changing state in runroot, no fsync */
	int events;            /* enum kist_events_to */
	char *seccomp_profile; /* path of a profile to use instead of the built-in one */
	char *detach_keys;     /* ctrl-p,ctrl-q; "": none */
	char **env;            /* added to every container */
	char **imagestore;     /* further stores of images, which are only read */
	char **hooks_dir;      /* of containers that name none */
	char **registries;     /* where names without one are pulled from, in order; NULL: docker.io */
	/* HOST[:PORT] whose certificate is not checked, or that have none. */
	char **insecure_registries;
	/* START:SIZE of the host's ids for user namespaces, where /etc/subuid has no 'containers' */
	char *userns_range;
	/* Mount options of the root file systems of containers that are made from now on: metacopy=on, volatile ... */
	char **overlay_options;
};

/* Opens the store, making its directories (0700) when missing. The first open after a boot brings every record
 * back: exited stays exited, all else becomes configured. */
int kist_open(struct kist **out, const struct kist_options *options, struct kist_error *err);
void kist_close(struct kist *k);
const struct kist_settings *kist_settings(const struct kist *k);
/* The document of 'kist info'. */
int kist_info(struct kist *k, struct json_object **out, struct kist_error *err);

/* --- internal doors of the binary -----------------------------------------------------------------------------------
 */

/* Called by main first. argv[0] "kist-monitor": the process that stays with a container. spare gives memory back that a
 * monitor does not need, once its container runs; may be NULL. */
int kist_monitor_main(int argc, char **argv, void (*spare)(void));
/* argv[0] "kist-init": pid 1 of --init; "kist-pause": that of a pod's infra container. */
int kist_init_main(int argc, char **argv);

#endif
