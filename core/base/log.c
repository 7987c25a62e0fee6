#include "core/base/log.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <strings.h>
#include <unistd.h>

static struct {
	enum kist_log_level level;
	bool json;
	int fd;
} log_state = { .level = KIST_LOG_WARN, .fd = STDERR_FILENO };

/* As podman's --log-level takes and its lines print. */
static const struct {
	const char *name;
	enum kist_log_level level;
} level_names[] = {
	/* the first name of a level is the one that is printed */
	{ "fatal", KIST_LOG_FATAL }, { "error", KIST_LOG_ERROR }, { "warning", KIST_LOG_WARN },
	{ "info", KIST_LOG_INFO },   { "debug", KIST_LOG_DEBUG }, { "warn", KIST_LOG_WARN },
	{ "panic", KIST_LOG_FATAL }, { "trace", KIST_LOG_DEBUG },
};

void kist_log_setup(enum kist_log_level level, bool json, int fd)
{
	log_state.level = level;
	log_state.json = json;
	log_state.fd = fd;
}

enum kist_log_level kist_log_level(void)
{
	return log_state.level;
}

int kist_log_level_parse(const char *name, enum kist_log_level *out)
{
	for (size_t i = 0; name && i < KIST_COUNT(level_names); i++) {
		if (strcasecmp(name, level_names[i].name) == 0) {
			*out = level_names[i].level;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *level_name(enum kist_log_level level)
{
	for (size_t i = 0; i < KIST_COUNT(level_names); i++) {
		if (level_names[i].level == level)
			return level_names[i].name;
	}
	return "unknown";
}

/* The bytes of the UTF-8 character at p, 0 if there is no valid one. */
static size_t utf8_length(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = p[0] < 0x80                   ? 1
	           : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
	           : (p[0] & 0xf0) == 0xe0       ? 3
	           : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
	                                         : 0;

	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	/* overlong forms, surrogates, past U+10FFFF */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* What a container or image named may be in the message: no byte of it may end the line, end the string or
 * drive the reader's terminal. */
static void add_escaped(struct kist_str *out, const char *text, bool json)
{
	while (*text) {
		size_t n = utf8_length(text);
		unsigned char c = (unsigned char)*text;

		if (n == 0) {
			if (json)
				kist_str_add(out, "\xef\xbf\xbd");
			else
				kist_str_addf(out, "\\x%02x", c);
			text++;
			continue;
		}
		if (c == '"' || c == '\\')
			kist_str_addf(out, "\\%c", c);
		else if (c == '\n')
			kist_str_add(out, "\\n");
		else if (c == '\t')
			kist_str_add(out, "\\t");
		else if (c < 0x20 || c == 0x7f)
			kist_str_addf(out, json ? "\\u%04x" : "\\x%02x", c);
		else
			kist_str_addn(out, text, n);
		text += n;
	}
}

void kist_log(enum kist_log_level level, const char *fmt, ...)
{
	struct kist_str line KIST_STR = { 0 };
	char *message KIST_FREE = NULL;
	char when[40];
	int saved = errno;
	va_list ap;

	if (level > log_state.level)
		return;
	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = kist_strdup(fmt);
	va_end(ap);
	kist_time_format(when, kist_now_wall(), true);
	kist_str_addf(&line,
	              log_state.json ? "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":\"" : "time=\"%s\" level=%s msg=\"",
	              when, level_name(level));
	add_escaped(&line, message, log_state.json);
	kist_str_add(&line, log_state.json ? "\"}\n" : "\"\n");
	/* One write, so that lines of several processes do not mix. A log that cannot be written stops nothing. */
	kist_write_all(log_state.fd, line.data, line.len);
	errno = saved;
}
