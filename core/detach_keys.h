/* Keys that detach a terminal from a container, found in what is typed. */
#ifndef KIST_DETACH_KEYS_H
#define KIST_DETACH_KEYS_H

#include "core/base/base.h"

#define KIST_DETACH_KEYS_MAX 16
/* How long the beginning of the sequence is held back for the rest of it: long enough for two fingers, and short
 * enough that a key with a meaning of its own (ctrl-p in a shell) still works. */
#define KIST_DETACH_KEYS_WAIT_MS 500

struct kist_detach_keys {
	unsigned char bytes[KIST_DETACH_KEYS_MAX];
	int n;    /* 0: nothing detaches */
	int held; /* typed, and not passed on yet: the first so many of bytes */
};

struct kist_error;
/* NULL text: none. KIST_ERR_INVALID. */
int kist_detach_keys_set(struct kist_detach_keys *keys, const char *text, struct kist_error *err);
/* Passes n typed bytes into out, which has room for n + KIST_DETACH_KEYS_MAX, less what is held back. Returns how many;
 * *detached is set, and the rest of the bytes ignored, at the end of the sequence. */
size_t kist_detach_keys_feed(struct kist_detach_keys *keys, const unsigned char *typed, size_t n, unsigned char *out,
                             bool *detached);
/* The time is over: what was held back into out. Returns how many bytes. */
size_t kist_detach_keys_release(struct kist_detach_keys *keys, unsigned char *out);

#endif
