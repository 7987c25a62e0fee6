/* The AppArmor profiles of containers. */
#ifndef KIST_APPARMOR_H
#define KIST_APPARMOR_H

#include "core/internal.h"

/* The profile's name by the configuration and the host: NULL for none. Borrowed. */
const char *kist_apparmor_of(const struct kist_container_config *config);
/* Loads the default profile unless this boot has it. */
int kist_apparmor_load(struct kist *k, struct kist_error *err);
/* For a launch: *profile is set to what the process gets, loaded where it is the default; left alone for none. */
int kist_apparmor_plan(struct kist *k, const struct kist_container_config *config, char **profile,
                       struct kist_error *err);

#endif
