/* Container logs, written by the monitor: k8s-file and json-file (and lines for syslog), bounded by rotation. The
 * writer cuts the stream into lines and puts each into one buffer, which is written when the stream pauses: a write for
 * each read at most. */
#include "core/internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_LENGTH 16384 /* longer lines are cut into partial ones, as kubelet expects */
#define RETRY_NS        (1 * KIST_NSEC_PER_SEC)
#define LOG_MODE        0640

struct kist_log_writer {
	bool json;
	struct kist_syslog *syslog; /* instead of a file */
	int64_t now;                /* wall; of the read that lines came with */
	int dir;                    /* of the log file, owned */
	char *name;
	char *tag;
	int fd; /* -1: to be opened again */
	bool is_file;
	uint64_t size, max_size;
	uint32_t max_files;
	struct kist_str partial[2]; /* stdout, stderr: a line without its end */
	struct kist_str out;
	int64_t retry;    /* boot time from which writing is tried again, 0: it works */
	uint64_t dropped; /* bytes that could not be written */
};

const char *const kist_log_drivers[] = { "k8s-file",    "json-file",       "none", "syslog",
	                                 "passthrough", "passthrough-tty", NULL };

int kist_log_check(const char *driver, struct kist_error *err)
{
	if (driver && kist_strv_has((char *const *)kist_log_drivers, driver))
		return 0;
	return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
	                 "log driver '%s' is not supported: use k8s-file, json-file, syslog, passthrough, "
	                 "passthrough-tty or none",
	                 driver ? driver : "");
}

bool kist_log_is_kept(const char *driver)
{
	return kist_streq(driver, "k8s-file") || kist_streq(driver, "json-file");
}

bool kist_log_passes(const char *driver)
{
	return kist_streq(driver, "passthrough") || kist_streq(driver, "passthrough-tty");
}

static int file_open(struct kist_log_writer *w)
{
	struct stat st;

	/* A terminal must not become the monitor's own, and a FIFO that nobody reads must not hold it up. */
	w->fd = openat(w->dir, w->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
	               LOG_MODE);
	if (w->fd < 0)
		return -errno;
	bool known = fstat(w->fd, &st) == 0;
	w->size = known ? (uint64_t)st.st_size : 0;
	w->is_file = known && S_ISREG(st.st_mode);
	if (known && S_ISCHR(st.st_mode))
		fcntl(w->fd, F_SETFL, O_APPEND);
	return 0;
}

/* ctr.log -> ctr.log.1 -> ctr.log.2 ... The oldest goes. */
static void rotate(struct kist_log_writer *w)
{
	kist_close_fd(&w->fd);
	if (w->max_files <= 1) {
		unlinkat(w->dir, w->name, 0);
	} else {
		for (uint32_t i = w->max_files - 1; i > 0; i--) {
			KIST_FREE char *from = i == 1 ? kist_strdup(w->name) : kist_asprintf("%s.%u", w->name, i - 1);
			KIST_FREE char *to = kist_asprintf("%s.%u", w->name, i);
			if (renameat(w->dir, from, w->dir, to) < 0 && errno != ENOENT)
				kist_debug("rotate log %s: %m", from);
		}
	}
	file_open(w);
}

/* Writes what is ready, whole records only: after a failed write the file is cut back to the last whole one. */
static void flush(struct kist_log_writer *w)
{
	if (w->out.len == 0)
		return;
	if (w->retry && kist_now_boot() < w->retry) {
		w->dropped += w->out.len;
		kist_str_clear(&w->out);
		return;
	}
	/* A device or a FIFO is written to, however much it is: it is not ours to rename. */
	if (w->is_file && w->max_size && w->size && w->size + w->out.len > w->max_size)
		rotate(w);
	int r = w->fd < 0 ? file_open(w) : 0;
	if (r == 0)
		r = kist_write_all(w->fd, w->out.data, w->out.len);
	if (r < 0) {
		/* The container goes on: a full disk costs log lines, never the service. */
		if (w->fd >= 0 && w->is_file && ftruncate(w->fd, (off_t)w->size) < 0)
			kist_debug("cut log back: %m");
		if (!w->retry)
			kist_debug("log: %s: lines are dropped", strerror(-r));
		w->retry = kist_now_boot() + RETRY_NS;
		w->dropped += w->out.len;
	} else {
		w->retry = 0;
		w->size += w->out.len;
	}
	kist_str_clear(&w->out);
}

static void json_text(struct kist_str *out, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)text[i];
		if (ch == '"' || ch == '\\') {
			kist_str_addc(out, '\\');
			kist_str_addc(out, (char)ch);
		} else if (ch == '\n') {
			kist_str_add(out, "\\n");
		} else if (ch == '\r') {
			kist_str_add(out, "\\r");
		} else if (ch == '\t') {
			kist_str_add(out, "\\t");
		} else if (ch < 0x20) {
			kist_str_add(out, "\\u00");
			kist_str_addc(out, hex[ch >> 4]);
			kist_str_addc(out, hex[ch & 15]);
		} else {
			/* Bytes that are no UTF-8 are made visible by the reader: JSON text must be UTF-8. */
			size_t n = kist_utf8_length(text + i, len - i);
			if (n == 0) {
				kist_str_add(out, "\\ufffd");
			} else {
				kist_str_addn(out, text + i, n);
				i += n - 1;
			}
		}
	}
}

static void record(struct kist_log_writer *w, int stream, const char *when, const char *text, size_t len, bool partial)
{
	const char *name = stream == 2 ? "stderr" : "stdout";

	if (w->syslog) {
		kist_syslog_send(w->syslog, stream, w->now, text, len);
		return;
	}
	if (!w->json) {
		kist_str_addf(&w->out, "%s %s %c ", when, name, partial ? 'P' : 'F');
		kist_str_addn(&w->out, text, len);
		kist_str_addc(&w->out, '\n');
	} else {
		kist_str_add(&w->out, "{\"log\":\"");
		json_text(&w->out, text, len);
		kist_str_addf(&w->out, "%s\",\"stream\":\"%s\"", partial ? "" : "\\n", name);
		if (w->tag) {
			kist_str_add(&w->out, ",\"attrs\":{\"tag\":\"");
			json_text(&w->out, w->tag, strlen(w->tag));
			kist_str_add(&w->out, "\"}");
		}
		kist_str_addf(&w->out, ",\"time\":\"%s\"}\n", when);
	}
	if (w->out.len >= 65536)
		flush(w);
}

void kist_log_writer_write(struct kist_log_writer *w, int stream, const void *data, size_t len)
{
	struct kist_str *partial = &w->partial[stream == 2];
	const char *at = data, *end = at + len;
	char when[40];

	/* One time for what came in one read: that is when it was seen. */
	w->now = kist_now_wall();
	kist_time_format(when, w->now, w->json);
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((newline ? newline : end) - at);
		if (partial->len + n > LINE_MAX_LENGTH)
			n = LINE_MAX_LENGTH - partial->len;
		bool whole = newline && at + n == newline;
		if (whole && partial->len == 0) {
			record(w, stream, when, at, n, false);
		} else {
			kist_str_addn(partial, at, n);
			if (whole || partial->len == LINE_MAX_LENGTH) {
				record(w, stream, when, partial->data, partial->len, !whole);
				kist_str_clear(partial);
			}
		}
		at += n + whole;
	}
	flush(w);
}

void kist_log_writer_close(struct kist_log_writer *w)
{
	char when[40];

	if (!w)
		return;
	w->now = kist_now_wall();
	kist_time_format(when, w->now, w->json);
	for (int i = 0; i < 2; i++) {
		if (w->partial[i].len)
			record(w, i + 1, when, w->partial[i].data, w->partial[i].len, true);
		kist_str_free(&w->partial[i]);
	}
	flush(w);
	if (w->dropped)
		kist_debug("log: %llu bytes could not be written", (unsigned long long)w->dropped);
	kist_str_free(&w->out);
	kist_syslog_close(w->syslog);
	kist_close_fd(&w->fd);
	kist_close_fd(&w->dir);
	free(w->name);
	free(w->tag);
	free(w);
}

int kist_log_place(const struct kist_container_config *config, int dir, int *out, char **name, struct kist_error *err)
{
	const char *path = config->log_path;
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!path) {
		*out = fcntl(dir, F_DUPFD_CLOEXEC, 3);
		*name = kist_strdup("ctr.log");
	} else {
		KIST_FREE char *parent = !slash          ? kist_strdup(".")
		                         : slash == path ? kist_strdup("/")
		                                         : kist_strndup(path, (size_t)(slash - path));
		*out = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		*name = kist_strdup(slash ? slash + 1 : path);
	}
	if (*out >= 0)
		return 0;
	free(*name);
	*name = NULL;
	return kist_fail_errno(err, errno, "open directory of log %s", path ? path : "ctr.log");
}

static int syslog_open(struct kist_log_writer **out, const struct kist_container_config *config, struct kist_error *err)
{
	struct kist_log_writer *w = kist_alloc(sizeof(*w));

	w->fd = w->dir = -1;
	int r = kist_syslog_open(&w->syslog, config->log_path, config->log_tag ? config->log_tag : config->name);
	if (r < 0) {
		kist_log_writer_close(w);
		return kist_fail_errno(err, -r, "log to syslog socket %s", config->log_path);
	}
	*out = w;
	return 0;
}

int kist_log_writer_open(struct kist_log_writer **out, const struct kist_container_config *config, int dir,
                         struct kist_error *err)
{
	int place = -1;
	char *name = NULL;

	*out = NULL;
	if (kist_streq(config->log_driver, "syslog"))
		return syslog_open(out, config, err);
	if (!kist_log_is_kept(config->log_driver))
		return 0;
	int r = kist_log_place(config, dir, &place, &name, err);
	if (r < 0)
		return r;
	struct kist_log_writer *w = kist_alloc(sizeof(*w));
	w->json = kist_streq(config->log_driver, "json-file");
	w->fd = -1;
	w->dir = place;
	w->name = name;
	w->tag = kist_strdup(config->log_tag);
	w->max_size = config->log_max_size;
	w->max_files = config->log_max_files ? config->log_max_files : 1;
	/* A file of the container's own is made by its first line: many containers write none. One that the user named
	 * is opened now, so that a wrong path is an error and not lost lines. */
	r = config->log_path ? file_open(w) : 0;
	if (r < 0 && r != -ENOSPC && r != -EDQUOT) {
		kist_fail_errno(err, -r, "open log %s", name);
		kist_log_writer_close(w);
		return r;
	}
	*out = w;
	return 0;
}
