/* A string buffer that grows. Zero-initialise; always NUL-terminated once written to. */
#ifndef KIST_STR_H
#define KIST_STR_H

#include "core/base/base.h"

struct kist_str {
	char *data;
	size_t len;
	size_t cap;
};

#define KIST_STR __attribute__((cleanup(kist_str_free)))

void kist_str_free(struct kist_str *s);
void kist_str_clear(struct kist_str *s); /* keeps the memory */
void kist_str_add(struct kist_str *s, const char *text);
void kist_str_addn(struct kist_str *s, const void *bytes, size_t n);
void kist_str_addc(struct kist_str *s, char c);
void kist_str_addf(struct kist_str *s, const char *fmt, ...) KIST_PRINTF(2, 3);
void kist_str_reserve(struct kist_str *s, size_t more); /* room for more bytes and a NUL */
char *kist_str_take(struct kist_str *s);                /* the caller frees; never NULL */
const char *kist_str_get(const struct kist_str *s);     /* never NULL */

/* Strict numbers: the whole text, decimal, in range; -EINVAL or -ERANGE otherwise, *out untouched. */
int kist_parse_i64(const char *text, int64_t *out);
int kist_parse_u64(const char *text, uint64_t *out);
int kist_parse_u32(const char *text, uint32_t *out);
int kist_parse_octal(const char *text, uint32_t *out);
/* true/false/1/0/yes/no/on/off */
int kist_parse_bool(const char *text, bool *out);
/* Bytes with an optional unit b k m g t (powers of 1024, an 'b' or 'ib' may follow): "64m", "1GiB". */
int kist_parse_size(const char *text, uint64_t *out);
/* Go durations: "1h2m3.5s", "300ms", "10us"; to nanoseconds. */
int kist_parse_duration(const char *text, int64_t *nanoseconds);
/* Signal by name, with or without SIG, or by number; returns it or -EINVAL. */
int kist_parse_signal(const char *text);
const char *kist_signal_name(int signal_number); /* "TERM", or NULL */

#endif
