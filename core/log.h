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

/* Whether the driver keeps lines that can be read again; else why not, for a message. */
bool kist_log_is_kept(const char *driver);
bool kist_log_passes(const char *driver); /* passthrough, passthrough-tty: the container has the command's own stdio */

/* The driver syslog (log_syslog.c). path NULL: /dev/log. Opening connects to nobody yet: a daemon may come later. */
struct kist_syslog;
int kist_syslog_open(struct kist_syslog **out, const char *path, const char *tag);
void kist_syslog_send(struct kist_syslog *s, int stream, int64_t wall, const char *text, size_t len);
void kist_syslog_close(struct kist_syslog *s);

/* Bytes of the UTF-8 character at text, 0 when there is none. */
size_t kist_utf8_length(const char *text, size_t len);

#endif
