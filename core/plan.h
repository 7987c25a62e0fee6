/* What the files of the plan share: from a container's record to struct kist_spec. */
#ifndef KIST_PLAN_H
#define KIST_PLAN_H

#include "core/internal.h"

struct kist_str;

struct plan {
	struct kist_container *c;
	const struct kist_container_config *config;
	struct kist_spec *spec;
	int rootfs;     /* -1: only to be checked, nothing is made and nobody is looked up */
	bool host_user; /* no user namespace of its own */
};

/* plan_mounts.c: mounts, masked and read-only paths, devices with their rules. */
int plan_mounts(struct plan *p, struct kist_error *err);
bool plan_user_mounts(const struct plan *p, const char *destination); /* the user mounts something there */
int plan_devices(struct plan *p, struct kist_error *err);
void plan_paths(struct plan *p);
/* What stays writable with --read-only: tmpfs at these places, with these options; NULL-terminated. */
extern const char *const plan_writable_places[], *const plan_writable_options[];

void plan_notify(struct plan *p); /* plan_files.c: the container's way to say that it is ready */
/* plan_files.c: hosts, resolv.conf, hostname, .containerenv, in the run directory. */
int plan_files(struct plan *p, struct kist_error *err);
/* A file of the host, empty when it is missing, ended by a new line. */
void plan_read_host(const char *path, struct kist_str *out);

/* The host path of another container's namespace or file: "/proc/PID/ns/net". The container must be running. */
int plan_other(struct plan *p, const char *id, struct kist_container **other, struct kist_error *err);

#endif
