/* The log. It is process-wide, like stderr itself: the one file-scope variable that is not const.
 * The library logs at debug only; a command prints an error once, through kist_log at error. */
#ifndef KIST_LOG_H
#define KIST_LOG_H

#include "core/base/base.h"

enum kist_log_level { KIST_LOG_FATAL, KIST_LOG_ERROR, KIST_LOG_WARN, KIST_LOG_INFO, KIST_LOG_DEBUG };

/* fd is borrowed. json: one object a line {"time","level","msg"}, else 'time="..." level=... msg="..."'. */
void kist_log_setup(enum kist_log_level level, bool json, int fd);
enum kist_log_level kist_log_level(void);
int kist_log_level_parse(const char *name, enum kist_log_level *out);             /* -EINVAL */
void kist_log(enum kist_log_level level, const char *fmt, ...) KIST_PRINTF(2, 3); /* keeps errno */

#define kist_debug(...)                                                                                                \
	do {                                                                                                           \
		if (kist_log_level() >= KIST_LOG_DEBUG)                                                                \
			kist_log(KIST_LOG_DEBUG, __VA_ARGS__);                                                         \
	} while (0)

#endif
