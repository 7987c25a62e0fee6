/* The parts of the plan's checker. Only spec_check*.c include this.
 *
 * A *_fault function returns what is wrong with a value, to follow "path: ", or NULL. Paths are made only for messages.
 */
#ifndef KIST_SPEC_CHECK_H
#define KIST_SPEC_CHECK_H

#include "core/base/error.h"
#include "core/base/spec.h"

#define KIST_BAD(err, ...)      kist_fail(err, KIST_ERR_INVALID, 0, __VA_ARGS__)
#define KIST_NOT_DONE(err, ...) kist_fail(err, KIST_ERR_UNSUPPORTED, 0, __VA_ARGS__)

const char *kist_path_fault(const char *path);                   /* absolute, no control characters */
const char *kist_text_fault(const char *text);                   /* present, not empty, no control characters */
const char *kist_env_fault(const char *assignment);              /* NAME=value */
const char *kist_cpu_list_fault(const char *list);               /* "0-3,7" as cpuset(7) has it */
bool kist_is_one_of(const char *name, const char *const *names); /* names end with NULL */

int kist_check_resources(const struct kist_spec_resources *resources, struct kist_error *err);
int kist_check_sysctl(const struct kist_spec *spec, struct kist_error *err);
int kist_check_seccomp(const struct kist_spec_seccomp *seccomp, struct kist_error *err);

#endif
