#include "core/base/error.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct kind {
	const char *name;
	int errnum;
};

static const struct kind kinds[] = {
	[KIST_ERR_NONE] = { "none", 0 },
	[KIST_ERR_SYSTEM] = { "system", EIO },
	[KIST_ERR_INVALID] = { "invalid", EINVAL },
	[KIST_ERR_NOT_FOUND] = { "not-found", ENOENT },
	[KIST_ERR_EXISTS] = { "exists", EEXIST },
	[KIST_ERR_AMBIGUOUS] = { "ambiguous", ENOTUNIQ },
	[KIST_ERR_STATE] = { "state", EBADFD },
	[KIST_ERR_STOPPED] = { "stopped", EALREADY },
	[KIST_ERR_IN_USE] = { "in-use", EBUSY },
	[KIST_ERR_UNSUPPORTED] = { "unsupported", EOPNOTSUPP },
	[KIST_ERR_CORRUPT] = { "corrupt", EBADMSG },
	[KIST_ERR_TIMEOUT] = { "timeout", ETIMEDOUT },
	[KIST_ERR_REMOVED] = { "removed", ESTALE },
	[KIST_ERR_EXEC_ACCESS] = { "exec-access", EACCES },
	[KIST_ERR_EXEC_MISSING] = { "exec-missing", ENOENT },
	[KIST_ERR_INTERNAL] = { "internal", EPROTO },
};
_Static_assert(KIST_COUNT(kinds) == KIST_ERR_INTERNAL + 1, "one row for each kind");

const char *kist_error_kind_name(enum kist_error_kind kind)
{
	return (size_t)kind < KIST_COUNT(kinds) ? kinds[kind].name : "unknown";
}

void kist_error_clear(struct kist_error *err)
{
	if (err) {
		err->kind = KIST_ERR_NONE;
		err->errnum = 0;
		err->text[0] = '\0';
	}
}

bool kist_error_is_set(const struct kist_error *err)
{
	return err && err->kind != KIST_ERR_NONE;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* A UTF-8 character is never split: its first byte is the one that is not 10xxxxxx. */
static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Writes a and b into the text. Both ends matter most, the object at the front and the cause at the back, so that
 * what does not fit is cut from the middle. a and b may not lie in the text. */
static void text_set(struct kist_error *err, const char *a, const char *b)
{
	static const char dots[] = "...";
	size_t room = sizeof(err->text) - 1;
	size_t n = strlen(a), m = strlen(b);
	char *to = err->text;

	if (n + m > room) {
		size_t share = (room - (sizeof(dots) - 1)) / 2;
		const char *tail;

		n = min_size(n, room - (sizeof(dots) - 1) - min_size(m, share));
		while (n && is_continuation(a[n]))
			n--;
		tail = b + m - min_size(m, room - (sizeof(dots) - 1) - n);
		while (is_continuation(*tail))
			tail++;
		to = mempcpy(to, a, n);
		to = mempcpy(to, dots, sizeof(dots) - 1);
		to = mempcpy(to, tail, strlen(tail));
	} else {
		to = mempcpy(to, a, n);
		to = mempcpy(to, b, m);
	}
	*to = '\0';
}

int kist_vfail(struct kist_error *err, enum kist_error_kind kind, int errnum, const char *fmt, va_list ap)
{
	char text[sizeof(err->text)];

	assert(kind != KIST_ERR_NONE && (size_t)kind < KIST_COUNT(kinds));
	if (errnum <= 0)
		errnum = kinds[kind].errnum;
	if (err) {
		assert(!kist_error_is_set(err));
		vsnprintf(text, sizeof(text), fmt, ap);
		err->kind = kind;
		err->errnum = errnum;
		text_set(err, text, "");
	}
	/* For kist_context without an object, which has nowhere else to find it. */
	errno = errnum;
	return -errnum;
}

int kist_fail(struct kist_error *err, enum kist_error_kind kind, int errnum, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = kist_vfail(err, kind, errnum, fmt, ap);
	va_end(ap);
	return r;
}

int kist_fail_errno(struct kist_error *err, int errnum, const char *fmt, ...)
{
	char text[sizeof(err->text)], reason[64];
	const char *known;
	va_list ap;

	if (errnum < 0)
		errnum = -errnum;
	if (errnum == 0)
		errnum = EIO;
	if (err) {
		assert(!kist_error_is_set(err));
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		/* Not strerror(3): it translates, through locale and iconv, in a static binary too. */
		known = strerrordesc_np(errnum);
		if (known)
			snprintf(reason, sizeof(reason), ": %s", known);
		else
			snprintf(reason, sizeof(reason), ": error %d", errnum);
		err->kind = KIST_ERR_SYSTEM;
		err->errnum = errnum;
		text_set(err, text, reason);
	}
	errno = errnum;
	return -errnum;
}

static int failed_errno(const struct kist_error *err)
{
	if (err && err->errnum)
		return -err->errnum;
	return errno > 0 ? -errno : -EIO;
}

/* A layer below failed without saying why. */
static void ensure_set(struct kist_error *err)
{
	if (!kist_error_is_set(err))
		kist_fail_errno(err, errno, "failed");
}

int kist_context(struct kist_error *err, const char *fmt, ...)
{
	char before[sizeof(err->text)], after[sizeof(err->text) + 2];
	va_list ap;

	if (!err)
		return failed_errno(err);
	ensure_set(err);
	va_start(ap, fmt);
	vsnprintf(before, sizeof(before), fmt, ap);
	va_end(ap);
	snprintf(after, sizeof(after), ": %s", err->text);
	text_set(err, before, after);
	return failed_errno(err);
}

int kist_remedy(struct kist_error *err, const char *fmt, ...)
{
	char before[sizeof(err->text)], hint[sizeof(err->text)], after[sizeof(err->text) + 4];
	va_list ap;

	if (!err)
		return failed_errno(err);
	ensure_set(err);
	va_start(ap, fmt);
	vsnprintf(hint, sizeof(hint), fmt, ap);
	va_end(ap);
	snprintf(before, sizeof(before), "%s", err->text);
	snprintf(after, sizeof(after), " (%s)", hint);
	text_set(err, before, after);
	return failed_errno(err);
}
