#include "core/notify.h"

#include "core/base/str.h"
#include "core/log.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STATUS_MAX 512

int kist_notify_check(const char *address, struct kist_error *err)
{
	size_t n = strlen(address), room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

	if ((address[0] == '/' || address[0] == '@') && n > 1 && n < room)
		return 0;
	kist_fail(err, KIST_ERR_INVALID, 0, KIST_NOTIFY_ENV " '%.120s': expected the path of a socket, or @NAME",
	          address);
	return kist_remedy(err, "unset it, or use --sdnotify=ignore");
}

int kist_notify_send(const char *address, const char *text, size_t len)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = strlen(address);

	if (n >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, address, n);
	if (address[0] == '@')
		to.sun_path[0] = '\0';
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (address[0] == '@' ? 0 : 1));
	KIST_CLOSE int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	return sendto(sock, text, len, MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0 ? -errno : 0;
}

static bool is_number(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return len > 0 && len <= 20;
}

/* One line that a person reads. */
static bool is_status(const char *text, size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		n = kist_utf8_length(text + i, len - i);
		if (n == 0 || (unsigned char)text[i] < ' ' || text[i] == 127)
			return false;
	}
	return len <= STATUS_MAX;
}

static bool is_one(const char *text, size_t len)
{
	return len == 1 && text[0] == '1';
}

static const struct line {
	const char *key;
	bool (*holds)(const char *value, size_t len);
} lines[] = {
	{ "READY=", is_one },
	{ "RELOADING=", is_one },
	{ "STOPPING=", is_one },
	{ "WATCHDOG=", is_one },
	{ "STATUS=", is_status },
	{ "ERRNO=", is_number },
	{ "MONOTONIC_USEC=", is_number },
	{ "EXTEND_TIMEOUT_USEC=", is_number },
};

static const struct line *line_of(const char *text, size_t len)
{
	for (size_t i = 0; i < KIST_COUNT(lines); i++) {
		size_t n = strlen(lines[i].key);
		if (len > n && memcmp(text, lines[i].key, n) == 0)
			return lines[i].holds(text + n, len - n) ? &lines[i] : NULL;
	}
	return NULL;
}

bool kist_notify_filter(const char *text, size_t len, struct kist_str *out)
{
	bool ready = false;

	for (size_t at = 0, n; at < len; at += n + 1) {
		const char *end = memchr(text + at, '\n', len - at);
		n = end ? (size_t)(end - text) - at : len - at;
		const struct line *line = line_of(text + at, n);
		if (!line)
			continue;
		ready = ready || line == &lines[0];
		kist_str_addn(out, text + at, n);
		kist_str_addc(out, '\n');
	}
	return ready;
}
