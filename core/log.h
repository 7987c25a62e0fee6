/* What the writer and the reader of container logs share. */
#ifndef KIST_CONTAINER_LOG_H
#define KIST_CONTAINER_LOG_H

#include "core/base/base.h"

struct kist_container_config;
struct kist_error;
struct kist_log_line;
struct kist_str;

/* Directory and base name of the log: beside the record in dir, or where --log-opt path= says. *out is owned by the
 * caller. */
int kist_log_place(const struct kist_container_config *config, int dir, int *out, char **name, struct kist_error *err);

/* One record of a log file, without its newline. line->text points into text or into scratch. False: it is damaged. */
bool kist_log_parse(bool json, const char *text, size_t len, struct kist_str *scratch, struct kist_log_line *line);

/* Bytes of the UTF-8 character at text, 0 when there is none. */
size_t kist_utf8_length(const char *text, size_t len);

#endif
