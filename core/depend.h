/* Containers that others need: whose namespaces they share, or that they name with --requires. */
#ifndef KIST_DEPEND_H
#define KIST_DEPEND_H

#include "core/internal.h"

/* Whether all that it needs run. Nothing is started. */
int kist_dependencies_check(struct kist_container *c, struct kist_error *err);
/* The same without a word; infra: of its pod's infra container alone. */
bool kist_dependencies_up(struct kist_container *c, bool infra);
/* For create: names and beginnings of ids become ids; -ENOENT. */
int kist_requires_resolve(struct kist_container *c, struct kist_error *err);
/* KIST_ERR_INVALID when what it needs needs it again, by records that were edited: the text names the circle. */
int kist_dependencies_circle(struct kist_container *c, struct kist_error *err);
/* Starts those that do not run, each after what it needs itself, and waits for those that must be healthy. */
int kist_dependencies_start(struct kist_container *c, struct kist_error *err);

#endif
