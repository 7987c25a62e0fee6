/* The log driver syslog: lines go to the host's syslog daemon by its socket, as RFC 3164 has them. The container never
 * waits for it: what the daemon does not take is dropped, and counted. A daemon that was restarted is found again. */
#include "core/log.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET     "/dev/log"
#define PACKET_MAX 1024 /* RFC 3164, 4.1 */
#define TAG_MAX    32
#define RETRY_NS   KIST_NSEC_PER_SEC
#define PRI_STDOUT 30 /* daemon, info */
#define PRI_STDERR 27 /* daemon, error */

struct kist_syslog {
	struct sockaddr_un address;
	char *tag;
	int fd; /* -1: to be connected */
	bool stream;
	int64_t retry; /* boot time from which connecting is tried again */
	uint64_t dropped;
};

int kist_syslog_open(struct kist_syslog **out, const char *path, const char *tag)
{
	struct kist_syslog *s = kist_alloc(sizeof(*s));

	path = path ? path : SOCKET;
	if (strlen(path) >= sizeof(s->address.sun_path)) {
		free(s);
		return -ENAMETOOLONG;
	}
	s->address.sun_family = AF_UNIX;
	memcpy(s->address.sun_path, path, strlen(path) + 1);
	s->tag = kist_strndup(tag, TAG_MAX);
	s->fd = -1;
	*out = s;
	return 0;
}

void kist_syslog_close(struct kist_syslog *s)
{
	if (!s)
		return;
	if (s->dropped)
		kist_debug("syslog: %llu lines were dropped", (unsigned long long)s->dropped);
	kist_close_fd(&s->fd);
	free(s->tag);
	free(s);
}

static int connect_as(struct kist_syslog *s, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&s->address, sizeof(s->address)) == 0) {
		s->fd = fd;
		s->stream = type == SOCK_STREAM;
		return 0;
	}
	int r = -errno;
	kist_close_fd(&fd);
	return r;
}

static int connect_again(struct kist_syslog *s)
{
	if (s->fd >= 0)
		return 0;
	if (s->retry && kist_now_boot() < s->retry)
		return -EAGAIN;
	int r = connect_as(s, SOCK_DGRAM);
	if (r == -EPROTOTYPE)
		r = connect_as(s, SOCK_STREAM);
	s->retry = r < 0 ? kist_now_boot() + RETRY_NS : 0;
	return r;
}

/* "<30>Jan  2 15:04:05 TAG: ", in local time as every daemon expects it. */
static size_t head_add(char *out, size_t size, const struct kist_syslog *s, int stream, int64_t wall)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char time[40];

	kist_time_format(time, wall, false);
	int month = (time[5] - '0') * 10 + time[6] - '0';
	int n = snprintf(out, size, "<%d>%.3s %c%c %.8s %s: ", stream == 2 ? PRI_STDERR : PRI_STDOUT,
	                 months + 3 * (month - 1), time[8] == '0' ? ' ' : time[8], time[9], time + 11, s->tag);
	return n < 0 ? 0 : (size_t)n;
}

static void packet_send(struct kist_syslog *s, const char *packet, size_t len)
{
	/* A second try only where the daemon was restarted meanwhile. */
	for (int i = 0; i < 2; i++) {
		if (connect_again(s) < 0)
			break;
		/* A stream's records are parted by NUL, which is sent with the packet. */
		ssize_t n = send(s->fd, packet, len + (s->stream ? 1 : 0), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= (ssize_t)len)
			return;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE))
			break;
		kist_close_fd(&s->fd);
		s->retry = 0;
	}
	s->dropped++;
}

void kist_syslog_send(struct kist_syslog *s, int stream, int64_t wall, const char *text, size_t len)
{
	char packet[PACKET_MAX + 1];
	size_t head = head_add(packet, sizeof(packet) / 2, s, stream, wall);

	do {
		size_t n = len < PACKET_MAX - head ? len : PACKET_MAX - head;
		/* No cut through a character. */
		while (n < len && n > 1 && (text[n] & 0xc0) == 0x80)
			n--;
		for (size_t i = 0; i < n; i++)
			packet[head + i] = text[i] == '\0' || text[i] == '\n' ? ' ' : text[i];
		packet[head + n] = '\0';
		packet_send(s, packet, head + n);
		text += n;
		len -= n;
	} while (len);
}
