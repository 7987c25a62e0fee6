/* Reading container logs: the rotated files as one text, from a start that is found backwards, and onwards while the
 * container lives. Nothing is locked: the files are opened newest first, so that a rotation meanwhile shows a file
 * twice (it is known by its inode) and never hides one. */
#include "core/internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (64u << 10)
/* A record of the writer's is below 100 KiB (16 KiB, each byte escaped); other writers have longer ones. */
#define RECORD_MAX (1u << 20)
#define FILES_MAX  10000u
#define RETRY_MS   100 /* only where inotify has no room left */

struct log_file {
	int fd;
	off_t at;   /* read so far */
	off_t size; /* when it was opened */
};

struct reader {
	struct kist_container *c;
	const struct kist_log_options *options;
	int (*line)(void *arg, const struct kist_log_line *line);
	void *arg;
	bool json;
	int dir; /* of the log */
	char *name;
	struct log_file *files; /* newest first */
	size_t n_files;
	struct kist_str pending; /* the beginning of a record */
	bool skipping;           /* within one that is too long */
	struct kist_str scratch;
	int inotify, file_watch; /* -1: none */
};

/* --- files ----------------------------------------------------------------------------------------------------------
 */

/* ctr.log for 0, ctr.log.1 ... the older ones. */
static char *file_name(const struct reader *r, uint32_t n)
{
	return n ? kist_asprintf("%s.%u", r->name, n) : kist_strdup(r->name);
}

static int file_open(const struct reader *r, uint32_t n, struct log_file *out)
{
	KIST_FREE char *name = file_name(r, n);
	KIST_CLOSE int fd = openat(r->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*out = (struct log_file){ .fd = kist_steal_fd(&fd), .size = st.st_size };
	return 0;
}

static bool is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static bool has_file(const struct reader *r, int fd)
{
	for (size_t i = 0; i < r->n_files; i++)
		if (is_same_file(r->files[i].fd, fd))
			return true;
	return false;
}

static int files_open(struct reader *r, struct kist_error *err)
{
	for (uint32_t n = 0; n < FILES_MAX; n++) {
		struct log_file file = { .fd = -1 };
		int result = file_open(r, n, &file);
		if (result == -ENOENT && n == 0)
			continue; /* a rotation is between its two steps, or nothing has been written yet */
		if (result == -ENOENT)
			return 0;
		if (result < 0)
			return kist_fail_errno(err, -result, "open log %s", r->name);
		if (has_file(r, file.fd)) {
			kist_close_fd(&file.fd);
			continue;
		}
		r->files = kist_grow(r->files, r->n_files + 1, sizeof(*r->files));
		r->files[r->n_files++] = file;
	}
	return 0;
}

/* --- records --------------------------------------------------------------------------------------------------------
 */

static bool in_range(const struct reader *r, const struct kist_log_line *line)
{
	const struct kist_log_options *o = r->options;

	return (!o->since || line->time >= o->since) && (!o->until || line->time <= o->until);
}

static int record(struct reader *r, const char *text, size_t len)
{
	struct kist_log_line line;

	if (!kist_log_parse(r->json, text, len, &r->scratch, &line))
		return 0; /* damaged: torn by a power cut, or not ours */
	return in_range(r, &line) ? r->line(r->arg, &line) : 0;
}

static int feed(struct reader *r, const char *at, size_t len)
{
	while (len) {
		const char *newline = memchr(at, '\n', len);
		size_t n = newline ? (size_t)(newline - at) : len;
		int result = 0;
		if (!r->skipping && r->pending.len + n > RECORD_MAX) {
			r->skipping = true;
			kist_str_clear(&r->pending);
		}
		if (!r->skipping && newline && r->pending.len == 0) {
			result = record(r, at, n);
		} else if (!r->skipping) {
			kist_str_addn(&r->pending, at, n);
			if (newline)
				result = record(r, r->pending.data, r->pending.len);
		}
		if (newline) {
			r->skipping = false;
			kist_str_clear(&r->pending);
			n++;
		}
		if (result != 0)
			return result;
		at += n;
		len -= n;
	}
	return 0;
}

/* Reads on, up to the end (limit -1) or to an offset. A busy container's log has no end that could be reached. */
static int file_read(struct reader *r, struct log_file *file, off_t limit, struct kist_error *err)
{
	char block[BLOCK];
	struct stat st;

	while (limit < 0 || file->at < limit) {
		size_t want = limit < 0 || limit - file->at > (off_t)sizeof(block) ? sizeof(block)
		                                                                   : (size_t)(limit - file->at);
		ssize_t n = pread(file->fd, block, want, file->at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kist_fail_errno(err, errno, "read log %s", r->name);
		if (n == 0)
			break;
		file->at += n;
		int result = feed(r, block, (size_t)n);
		if (result != 0)
			return result;
	}
	/* The writer cuts a record off that a full disk left unfinished; others cut the whole file. */
	if (fstat(file->fd, &st) == 0 && st.st_size < file->at) {
		file->at = st.st_size;
		kist_str_clear(&r->pending);
		r->skipping = false;
	}
	return 0;
}

/* --- the tail -------------------------------------------------------------------------------------------------------
 */

struct tail {
	int64_t want, seen;
	bool newer[3]; /* by stream: a record of it comes after the one looked at */
};

/* Whether the tail begins behind this record. Partial records belong to the one that ends their line. */
static bool tail_step(struct reader *r, struct tail *tail, const char *text, size_t len)
{
	struct kist_log_line line;

	if (!kist_log_parse(r->json, text, len, &r->scratch, &line) || !in_range(r, &line))
		return false;
	bool begins = !line.partial || !tail->newer[line.stream];
	tail->newer[line.stream] = true;
	if (!begins)
		return false;
	return ++tail->seen > tail->want;
}

/* Walks the records that end within block back to front. *start: where the first whole record begins. True: found,
 * *start is the answer. more: text precedes the block, so that its first record may be a part of one. */
static bool tail_block(struct reader *r, struct tail *tail, const char *block, size_t len, bool more, size_t *start)
{
	size_t end = len;

	while (end > 0) {
		/* block[end - 1] is the newline of the record, or the file ends without one. */
		size_t text_end = block[end - 1] == '\n' ? end - 1 : end;
		const char *newline = text_end ? memrchr(block, '\n', text_end) : NULL;
		size_t begin = newline ? (size_t)(newline - block) + 1 : 0;
		if (!newline && more)
			break;
		if (tail_step(r, tail, block + begin, text_end - begin)) {
			*start = end;
			return true;
		}
		end = begin;
	}
	*start = end;
	return false;
}

/* 1: *at is where the tail begins; 0: it begins before this file. */
static int tail_file(struct reader *r, const struct log_file *file, struct tail *tail, off_t *at,
                     struct kist_error *err)
{
	KIST_STR struct kist_str block = { 0 };
	off_t end = file->size;
	size_t room = BLOCK;

	while (end > 0) {
		size_t want = end < (off_t)room ? (size_t)end : room, start = 0;
		kist_str_clear(&block);
		kist_str_reserve(&block, want);
		ssize_t n = pread(file->fd, block.data, want, end - (off_t)want);
		if (n < 0)
			return kist_fail_errno(err, errno, "read log %s", r->name);
		if ((size_t)n < want) {
			end = n; /* it was cut meanwhile */
			continue;
		}
		bool more = end > (off_t)want;
		if (tail_block(r, tail, block.data, want, more, &start)) {
			*at = end - (off_t)(want - start);
			return 1;
		}
		if (start == want && more && room <= RECORD_MAX) {
			room *= 2; /* not one whole record */
			continue;
		}
		end -= start == want ? (off_t)want : (off_t)(want - start);
		room = BLOCK;
	}
	return 0;
}

/* Sets where reading begins; files before that are left out. */
static int tail_find(struct reader *r, struct kist_error *err)
{
	struct tail tail = { .want = r->options->tail };

	if (tail.want < 0)
		return 0;
	for (size_t i = 0; i < r->n_files; i++) {
		struct log_file *file = &r->files[i];
		int result = tail.want == 0 ? (file->at = file->size, 1) : tail_file(r, file, &tail, &file->at, err);
		if (result < 0)
			return result;
		if (result == 0)
			continue;
		while (r->n_files > i + 1)
			kist_close_fd(&r->files[--r->n_files].fd);
	}
	return 0;
}

/* --- following ------------------------------------------------------------------------------------------------------
 */

static int watch_fd(const struct reader *r, int fd, uint32_t mask)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return r->inotify < 0 ? -1 : inotify_add_watch(r->inotify, path, mask);
}

static void watch_file(struct reader *r)
{
	if (r->file_watch >= 0)
		inotify_rm_watch(r->inotify, r->file_watch);
	r->file_watch = r->n_files ? watch_fd(r, r->files[0].fd, IN_MODIFY) : -1;
}

static void watch_begin(struct reader *r)
{
	const uint32_t changes = IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVE_SELF | IN_MASK_ADD;

	r->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	/* The record's directory tells of the state, the log's (often the same) of rotations. */
	if (r->inotify >= 0 && (watch_fd(r, kist_container_dir(r->c), changes) < 0 || watch_fd(r, r->dir, changes) < 0))
		kist_close_fd(&r->inotify);
	if (r->inotify < 0)
		kist_debug("follow log: inotify: %m");
	watch_file(r);
}

static void watch_wait(struct reader *r)
{
	struct kist_proc_id id = { r->c->state.monitor_pid, r->c->state.monitor_start };
	/* The monitor's end without a record is an event of its own: it was killed. */
	KIST_CLOSE int monitor = id.pid > 0 ? kist_proc_open(&id) : -1;
	struct pollfd fds[2] = { { .fd = r->inotify, .events = POLLIN }, { .fd = monitor, .events = POLLIN } };
	int64_t timeout = r->inotify < 0 || r->file_watch < 0 ? RETRY_MS : -1;
	char events[4096];

	if (r->n_files == 0 && r->inotify >= 0)
		timeout = -1; /* the directory tells when the first file is made */
	if (r->options->until) {
		int64_t left = (r->options->until - kist_now_wall()) / KIST_NSEC_PER_MSEC + 1;
		left = left < 0 ? 0 : left > 3600000 ? 3600000 : left;
		timeout = timeout < 0 || left < timeout ? left : timeout;
	}
	if (poll(fds, 2, (int)timeout) > 0 && r->inotify >= 0)
		while (read(r->inotify, events, sizeof(events)) > 0)
			continue;
}

/* The number that the current file has now: 0 when it was not rotated, -ENOENT when it is gone. */
static int file_number(const struct reader *r, uint32_t *oldest)
{
	struct stat own, st;

	*oldest = 0;
	if (fstat(r->files[0].fd, &own) < 0)
		return -errno;
	for (uint32_t n = 0; n < FILES_MAX; n++) {
		KIST_FREE char *name = file_name(r, n);
		if (fstatat(r->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (n == 0)
				continue;
			break;
		}
		if (st.st_ino == own.st_ino && st.st_dev == own.st_dev)
			return (int)n;
		*oldest = n;
	}
	return -ENOENT;
}

/* Goes on to the file that was begun after this one. 1: there is one, 0: not yet. */
static int file_next(struct reader *r, struct kist_error *err)
{
	struct log_file next = { .fd = -1 };
	uint32_t oldest = 0;
	int number, result;

	if (r->n_files == 0) {
		result = files_open(r, err);
		if (result < 0 || r->n_files == 0)
			return result;
		watch_file(r);
		return 1;
	}
	for (;;) {
		number = file_number(r, &oldest);
		if (number == 0 || (number < 0 && number != -ENOENT))
			return 0;
		uint32_t wanted = number > 0 ? (uint32_t)number - 1 : oldest;
		result = file_open(r, wanted, &next);
		if (result < 0)
			return 0; /* it will be made in a moment, and an event tells */
		/* Rotated once more meanwhile: what was opened is a later one. */
		uint32_t ignored;
		if (file_number(r, &ignored) == number)
			break;
		kist_close_fd(&next.fd);
	}
	if (has_file(r, next.fd)) {
		kist_close_fd(&next.fd);
		return 0;
	}
	/* What was written between our last look and the rotation. */
	result = file_read(r, &r->files[0], -1, err);
	kist_str_clear(&r->pending);
	r->skipping = false;
	kist_close_fd(&r->files[0].fd);
	r->files[0] = next;
	watch_file(r);
	return result < 0 ? result : result > 0 ? -ECANCELED : 1;
}

static bool has_ended(struct reader *r)
{
	const struct kist_container_state *state = &r->c->state;

	if (r->options->until && kist_now_wall() > r->options->until)
		return true;
	if (kist_container_reload(r->c, NULL) < 0)
		return true; /* removed */
	return state->status == KIST_CONFIGURED || state->status == KIST_EXITED || state->status == KIST_REMOVING ||
	       !kist_container_monitor_alive(r->c);
}

static int follow(struct reader *r, struct kist_error *err)
{
	bool ended = false;

	for (;;) {
		int result = r->n_files ? file_read(r, &r->files[0], -1, err) : 0;
		if (result != 0)
			return result;
		result = file_next(r, err);
		if (result < 0)
			return result == -ECANCELED ? 0 : result;
		if (result > 0)
			continue;
		if (ended)
			return 0;
		/* The state is saved after the log's last record: what is written when it says 'exited' is all. */
		ended = has_ended(r);
		if (!ended)
			watch_wait(r);
	}
}

/* --- the whole ------------------------------------------------------------------------------------------------------
 */

static int read_all(struct reader *r, struct kist_error *err)
{
	if (r->options->follow)
		watch_begin(r);
	int result = files_open(r, err);
	if (result == 0)
		result = tail_find(r, err);
	if (result < 0)
		return result;
	if (r->options->follow)
		watch_file(r);
	for (size_t i = r->n_files; result == 0 && i > 0; i--) {
		struct log_file *file = &r->files[i - 1];
		result = file_read(r, file, file->size, err);
		if (i == 1)
			break;
		/* A record without its end, in a file that nobody writes to any more. */
		kist_str_clear(&r->pending);
		r->skipping = false;
		kist_close_fd(&file->fd);
		r->n_files = i - 1;
	}
	if (result == 0 && r->options->follow)
		result = follow(r, err);
	return result > 0 ? 0 : result;
}

int kist_container_logs(struct kist_container *c, const struct kist_log_options *options,
                        int (*line)(void *arg, const struct kist_log_line *line), void *arg, struct kist_error *err)
{
	struct reader r = {
		.c = c, .options = options, .line = line, .arg = arg, .dir = -1, .inotify = -1, .file_watch = -1
	};

	if (!kist_log_is_kept(c->config.log_driver))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "container %s has log driver %s: it keeps no log that can be read here",
		                 c->config.name, c->config.log_driver);
	r.json = kist_streq(c->config.log_driver, "json-file");
	int result = kist_log_place(&c->config, kist_container_dir(c), &r.dir, &r.name, err);
	if (result == 0)
		result = read_all(&r, err);
	for (size_t i = 0; i < r.n_files; i++)
		kist_close_fd(&r.files[i].fd);
	free(r.files);
	free(r.name);
	kist_close_fd(&r.dir);
	kist_close_fd(&r.inotify);
	kist_str_free(&r.pending);
	kist_str_free(&r.scratch);
	return result < 0 ? kist_context(err, "logs of container %s", c->config.name) : 0;
}
