/* Time. Durations and time-outs use CLOCK_BOOTTIME, which no clock step moves and suspend does not stop;
 * only what a person reads is wall time. Both are int64_t nanoseconds. */
#ifndef KIST_CLOCK_H
#define KIST_CLOCK_H

#include "core/base/base.h"

#define KIST_NSEC_PER_SEC  1000000000LL
#define KIST_NSEC_PER_MSEC 1000000LL

int64_t kist_now_wall(void);
int64_t kist_now_boot(void);
void kist_sleep_ns(int64_t nanoseconds);

/* RFC 3339 with nanoseconds, UTC "Z" or local offset. Room for 40 bytes. No locale, own arithmetic for UTC. */
char *kist_time_format(char out[40], int64_t wall, bool utc);
/* The same in UTC as Go marshals it (RFC3339Nano): a fraction without trailing zeros, none at all for whole seconds.
 * For documents whose digest must outlive being read and written again by other engines. */
char *kist_time_format_shortest(char out[40], int64_t wall);
/* Accepts RFC 3339 and what podman's --since/--until take: "2026-01-02", "2026-01-02T15:04:05", unix seconds
 * with a fraction, or a Go duration meaning that long ago. */
int kist_time_parse(const char *text, int64_t *wall);
/* "3 minutes ago", "2 hours", as podman and docker print; without " ago". */
char *kist_time_human(char out[40], int64_t nanoseconds);
/* As Go prints a duration, and kist_parse_duration reads it: "1h2m3.5s", "50.304ms", "0s". */
char *kist_duration_format(char out[40], int64_t nanoseconds);
/* "12.3MB" (powers of 1000) as docker prints sizes. */
char *kist_size_human(char out[24], uint64_t bytes);
/* "64MiB" (powers of 1024). */
char *kist_size_human_binary(char out[24], uint64_t bytes);

#endif
