/* Small things every file needs: cleanup attributes, allocation, arrays.
 *
 * Allocation failure ends the process: on Linux it means the address space is
 * gone, no caller could go on, and the state on disk is valid at every moment. */
#ifndef KIST_BASE_H
#define KIST_BASE_H

#include "core/base/banned.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define KIST_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define KIST_UNUSED            __attribute__((unused))
#define KIST_COUNT(array)      (sizeof(array) / sizeof((array)[0]))

/* Cleanup attributes. Initialise where declared; hand over with kist_steal*. clang takes no cleanup for a use. */
#define KIST_FREE  __attribute__((cleanup(kist_cleanup_free), unused))
#define KIST_CLOSE __attribute__((cleanup(kist_cleanup_fd), unused))
#define KIST_STRV  __attribute__((cleanup(kist_cleanup_strv), unused))

void kist_cleanup_free(void *pointer_to_pointer);
void kist_cleanup_fd(const int *fd); /* keeps errno; ignores negative fds */
void kist_cleanup_strv(char ***strv);

/* Returns *p and leaves NULL there. */
#define kist_steal(p)                                                                                                  \
	({                                                                                                             \
		__auto_type kist_stolen_ = *(p);                                                                       \
		*(p) = NULL;                                                                                           \
		kist_stolen_;                                                                                          \
	})

/* Returns *fd and leaves -1 there. */
int kist_steal_fd(int *fd);

/* Closes *fd unless negative and leaves -1 there; keeps errno. */
void kist_close_fd(int *fd);

void *kist_alloc(size_t size); /* zeroed */
void *kist_realloc(void *p, size_t size);
void *kist_grow(void *p, size_t count, size_t item); /* room for count items, checked product */
char *kist_strdup(const char *s);                    /* NULL stays NULL */
char *kist_strndup(const char *s, size_t n);
char *kist_asprintf(const char *fmt, ...) KIST_PRINTF(1, 2);

/* NULL-terminated string arrays; a NULL array is an empty one. The array owns its strings. */
size_t kist_strv_len(char *const *strv);
void kist_strv_add(char ***strv, const char *s); /* copies s */
void kist_strv_take(char ***strv, char *s);      /* owns s from here */
char **kist_strv_copy(char *const *strv);
void kist_strv_free(char **strv);
bool kist_strv_has(char *const *strv, const char *s);
char *kist_strv_join(char *const *strv, const char *separator);
char **kist_strv_split(const char *s, char separator); /* "a,b" -> {a,b}; "" -> empty; keeps empty fields */

/* "KEY=value" arrays (environment, labels). */
const char *kist_env_get(char *const *env, const char *key);        /* the value, or NULL */
void kist_env_set(char ***env, const char *key, const char *value); /* replaces in place or appends */
void kist_env_put(char ***env, const char *assignment); /* the same for "KEY=value"; "KEY" alone is "KEY=" */
void kist_env_unset(char ***env, const char *key);

static inline bool kist_streq(const char *a, const char *b)
{
	return a == b || (a && b && __builtin_strcmp(a, b) == 0);
}
static inline bool kist_empty(const char *s)
{
	return !s || !*s;
}
bool kist_has_prefix(const char *s, const char *prefix);
bool kist_has_suffix(const char *s, const char *suffix);

#endif
