/* Reading events: those recorded, and those that come, through rotations, told by inotify. */
#include "core/internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK    (64u << 10)
#define LINE_MAX (1u << 20)
#define POLL_MS  200 /* only where inotify has no room left */

struct reader {
	struct kist *k;
	const struct kist_event_options *options;
	int (*event)(void *arg, struct json_object *document);
	void *arg;
	struct file {
		int fd;
		off_t at;
		struct kist_str pending; /* the beginning of a line */
	} now, old; /* old: one that was rotated while it was read; late writers may append still */
	int inotify;
};

/* 1: the callback has enough, or what comes is past the end. */
static int line_take(struct reader *r, const char *text, size_t len)
{
	KIST_JSON struct json_object *document = NULL;
	const struct kist_event_options *o = r->options;
	struct json_object *time = NULL;
	int64_t wall = 0;

	/* A line that a full file system cut, or that is none of ours. */
	if (len == 0 || kist_json_parse(text, len, &document, NULL) < 0 ||
	    !json_object_is_type(document, json_type_object) || !json_object_object_get_ex(document, "Time", &time) ||
	    kist_time_parse(json_object_get_string(time), &wall) < 0)
		return 0;
	if ((o->since && wall < o->since) || (o->until && wall > o->until))
		return 0;
	return r->event(r->arg, document);
}

static int bytes_take(struct reader *r, struct file *f, const char *at, size_t len)
{
	while (len) {
		const char *newline = memchr(at, '\n', len);
		size_t n = newline ? (size_t)(newline - at) : len;
		int done = 0;
		if (f->pending.len + n <= LINE_MAX)
			kist_str_addn(&f->pending, at, n);
		if (newline) {
			done = line_take(r, kist_str_get(&f->pending), f->pending.len);
			kist_str_clear(&f->pending);
			n++;
		}
		if (done)
			return done;
		at += n;
		len -= n;
	}
	return 0;
}

static int file_read(struct reader *r, struct file *f, struct kist_error *err)
{
	char block[BLOCK];

	while (f->fd >= 0) {
		ssize_t n = pread(f->fd, block, sizeof(block), f->at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kist_fail_errno(err, errno, "read events");
		if (n == 0)
			break;
		f->at += n;
		int done = bytes_take(r, f, block, (size_t)n);
		if (done)
			return done;
	}
	return 0;
}

static void file_close(struct file *f)
{
	kist_close_fd(&f->fd);
	kist_str_free(&f->pending);
	f->at = 0;
}

static int file_open(struct reader *r, const char *name, struct file *f)
{
	f->fd = openat(r->k->runroot, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return f->fd < 0 ? -errno : 0;
}

static bool is_current(struct reader *r, const struct file *f)
{
	struct stat here, named;

	return fstat(f->fd, &here) == 0 && fstatat(r->k->runroot, KIST_EVENTS_LOG, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       here.st_ino == named.st_ino && here.st_dev == named.st_dev;
}

/* All there is now. The file is opened when there is one, and left when it was rotated. */
static int read_on(struct reader *r, struct kist_error *err)
{
	for (;;) {
		int done = file_read(r, &r->old, err);
		if (done == 0)
			done = file_read(r, &r->now, err);
		if (done)
			return done;
		if (r->now.fd >= 0 && is_current(r, &r->now))
			return 0;
		if (r->now.fd >= 0) {
			/* What was written between our last look and the rotation is read as the old one's. */
			file_close(&r->old);
			r->old = r->now;
			r->now = (struct file){ .fd = -1 };
		}
		int opened = file_open(r, KIST_EVENTS_LOG, &r->now);
		if (opened == -ENOENT)
			return 0;
		if (opened < 0)
			return kist_fail_errno(err, -opened, "open events");
	}
}

static int begin(struct reader *r, struct kist_error *err)
{
	if (r->options->stream) {
		KIST_FREE char *path = kist_asprintf("/proc/self/fd/%d", r->k->runroot);
		r->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		/* The directory: of the file itself a writer's changes come with its name. */
		if (r->inotify >= 0 &&
		    inotify_add_watch(r->inotify, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM) < 0)
			kist_close_fd(&r->inotify);
		if (r->inotify < 0)
			kist_debug("follow events: inotify: %m");
	}
	int opened = file_open(r, KIST_EVENTS_LOG, &r->now);
	if (opened < 0 && opened != -ENOENT)
		return kist_fail_errno(err, -opened, "open events");
	if (r->options->past) {
		/* Opened after the newer one: a rotation between the two only makes it the same file. */
		struct stat a, b;
		opened = file_open(r, KIST_EVENTS_OLD, &r->old);
		if (opened < 0 && opened != -ENOENT)
			return kist_fail_errno(err, -opened, "open older events");
		if (r->old.fd >= 0 && r->now.fd >= 0 && fstat(r->old.fd, &a) == 0 && fstat(r->now.fd, &b) == 0 &&
		    a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			file_close(&r->now);
	} else if (r->now.fd >= 0) {
		r->now.at = lseek(r->now.fd, 0, SEEK_END);
	}
	return 0;
}

/* False: the time is over. */
static bool await(struct reader *r)
{
	int64_t until = r->options->until, timeout = r->inotify < 0 ? POLL_MS : -1;
	struct pollfd poll_fd = { .fd = r->inotify, .events = POLLIN };
	char events[4096];

	if (until) {
		int64_t left = (until - kist_now_wall()) / KIST_NSEC_PER_MSEC + 1;
		if (left <= 0)
			return false;
		left = left > 3600000 ? 3600000 : left;
		timeout = timeout < 0 || left < timeout ? left : timeout;
	}
	if (poll(&poll_fd, 1, (int)timeout) > 0)
		while (read(r->inotify, events, sizeof(events)) > 0)
			continue;
	return true;
}

int kist_events(struct kist *k, const struct kist_event_options *options,
                int (*event)(void *arg, struct json_object *document), void *arg, struct kist_error *err)
{
	struct kist_event_options o = *options;
	struct reader r = { .k = k, .options = &o, .event = event, .arg = arg, .inotify = -1 };

	o.past = o.past || o.since || o.until;
	r.now.fd = r.old.fd = -1;
	int done = begin(&r, err);
	do {
		if (done == 0)
			done = read_on(&r, err);
	} while (done == 0 && o.stream && await(&r));
	file_close(&r.now);
	file_close(&r.old);
	kist_close_fd(&r.inotify);
	return done < 0 ? done : 0;
}
