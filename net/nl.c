/* Netlink batches: writing, sending, reading. */
#include "net/nl.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct kist_nl_message {
	const char *what;
	size_t offset;
	int allowed; /* errno that is no failure */
};

/* The kernel fills dump messages of up to 32 KiB for readers that offer that much. */
#define IN_SIZE 32768u
/* What a socket has by default on hosts that nobody tuned (net.core.wmem_default). */
#define DEFAULT_SNDBUF 100000u

int kist_nl_open(struct kist_nl *nl, int protocol, struct kist_error *err)
{
	int one = 1;

	*nl = (struct kist_nl){ .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol) };
	if (nl->fd < 0) {
		int errnum = errno;

		if (errnum == EPROTONOSUPPORT || errnum == EAFNOSUPPORT)
			return kist_fail(err, KIST_ERR_UNSUPPORTED, errnum, "the kernel has no %s",
			                 protocol == NETLINK_ROUTE ? "rtnetlink" : "nfnetlink (modprobe nfnetlink)");
		return kist_fail_errno(err, errnum, "netlink socket");
	}
	/* Both only make answers better: shorter, and with a reason. */
	(void)!setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)!setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	nl->sndbuf = DEFAULT_SNDBUF;
	kist_random(&nl->seq, sizeof(nl->seq));
	nl->seq &= 0xffffff;
	return 0;
}

void kist_nl_close(struct kist_nl *nl)
{
	kist_close_fd(&nl->fd);
	free(nl->data);
	free(nl->messages);
	free(nl->in);
	*nl = (struct kist_nl){ .fd = -1 };
}

/* --- writing --------------------------------------------------------------------------------------------------------
 */

void kist_nl_begin(struct kist_nl *nl)
{
	nl->seq += (uint32_t)nl->n;
	nl->len = 0;
	nl->n = 0;
	nl->overflow = false;
	nl->filter_batch = false;
	nl->text[0] = '\0';
}

/* Room for len bytes, zeroed, aligned to four. */
static uint8_t *reserve(struct kist_nl *nl, size_t len)
{
	size_t aligned = NLMSG_ALIGN(len);
	uint8_t *place;

	if (nl->len + aligned > nl->room) {
		nl->room = (nl->len + aligned) * 2 + 4096;
		nl->data = kist_realloc(nl->data, nl->room);
	}
	place = nl->data + nl->len;
	memset(place, 0, aligned);
	nl->len += aligned;
	return place;
}

static struct nlmsghdr *current(struct kist_nl *nl)
{
	return (struct nlmsghdr *)(void *)(nl->data + nl->messages[nl->n - 1].offset);
}

/* Lengths are set when a message is complete: when the next one begins, or the batch is sent. */
static void finish(struct kist_nl *nl)
{
	if (nl->n)
		current(nl)->nlmsg_len = (uint32_t)(nl->len - nl->messages[nl->n - 1].offset);
}

void kist_nl_message(struct kist_nl *nl, const char *what, uint16_t type, uint16_t flags, const void *header,
                     size_t len)
{
	size_t offset = nl->len;
	struct nlmsghdr *message;

	finish(nl);
	if (nl->n == nl->n_room) {
		nl->n_room = nl->n_room * 2 + 16;
		nl->messages = kist_grow(nl->messages, nl->n_room, sizeof(*nl->messages));
	}
	message = (struct nlmsghdr *)(void *)reserve(nl, sizeof(*message));
	message->nlmsg_type = type;
	message->nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST);
	message->nlmsg_seq = nl->seq + (uint32_t)nl->n;
	nl->messages[nl->n++] = (struct kist_nl_message){ .what = what, .offset = offset };
	kist_nl_append(nl, header, len);
}

void kist_nl_allow(struct kist_nl *nl, int errnum)
{
	nl->messages[nl->n - 1].allowed = errnum;
}

void kist_nl_append(struct kist_nl *nl, const void *data, size_t len)
{
	memcpy(reserve(nl, len), data, len);
}

void kist_nl_put(struct kist_nl *nl, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr;

	if (len > UINT16_MAX - NLA_HDRLEN) {
		nl->overflow = true;
		return;
	}
	attr = (struct nlattr *)(void *)reserve(nl, NLA_HDRLEN + len);
	attr->nla_type = type;
	attr->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len)
		memcpy((uint8_t *)attr + NLA_HDRLEN, data, len);
}

void kist_nl_put_u8(struct kist_nl *nl, uint16_t type, uint8_t value)
{
	kist_nl_put(nl, type, &value, sizeof(value));
}

void kist_nl_put_u16(struct kist_nl *nl, uint16_t type, uint16_t value)
{
	kist_nl_put(nl, type, &value, sizeof(value));
}

void kist_nl_put_u32(struct kist_nl *nl, uint16_t type, uint32_t value)
{
	kist_nl_put(nl, type, &value, sizeof(value));
}

void kist_nl_put_be32(struct kist_nl *nl, uint16_t type, uint32_t value)
{
	kist_nl_put_u32(nl, type, htonl(value));
}

void kist_nl_put_text(struct kist_nl *nl, uint16_t type, const char *text)
{
	kist_nl_put(nl, type, text, strlen(text) + 1);
}

size_t kist_nl_nest(struct kist_nl *nl, uint16_t type)
{
	size_t offset = nl->len;
	struct nlattr *attr = (struct nlattr *)(void *)reserve(nl, NLA_HDRLEN);

	attr->nla_type = (uint16_t)(type | NLA_F_NESTED);
	return offset;
}

size_t kist_nl_nest_len(const struct kist_nl *nl, size_t nest)
{
	return nl->len - nest;
}

void kist_nl_nest_end(struct kist_nl *nl, size_t nest)
{
	struct nlattr *attr = (struct nlattr *)(void *)(nl->data + nest);
	size_t len = nl->len - nest;

	if (len > UINT16_MAX)
		nl->overflow = true;
	attr->nla_len = (uint16_t)len;
}

/* --- sending --------------------------------------------------------------------------------------------------------
 */

static int transmit(struct kist_nl *nl)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t sent;

	finish(nl);
	if (nl->overflow)
		return -EMSGSIZE;
	if (nl->len > nl->sndbuf) {
		int size = nl->len > INT32_MAX / 4 ? INT32_MAX / 2 : (int)nl->len * 2;

		if (setsockopt(nl->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			(void)!setsockopt(nl->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		nl->sndbuf = (uint32_t)size;
	}
	do {
		sent = sendto(nl->fd, nl->data, nl->len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == nl->len ? 0 : -EMSGSIZE;
}

/* One datagram of the kernel's; others on the host may send to us as well. Returns its length, or a negative errno. The
 * kernel answers within the send (netlink_unicast_kernel), so that an empty queue is never 'not yet'. */
static ssize_t receive(struct kist_nl *nl)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { .iov_base = nl->in, .iov_len = IN_SIZE };
	struct msghdr header = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1 };

	if (!nl->in)
		iov.iov_base = nl->in = kist_alloc(IN_SIZE);
	for (;;) {
		ssize_t n = recvmsg(nl->fd, &header, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (from.nl_pid != 0)
			continue;
		return header.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
	}
}

static void keep_text(struct kist_nl *nl, const struct nlmsghdr *message)
{
	const struct nlattr *table[NLMSGERR_ATTR_MAX + 1];
	const struct nlattr *text;

	nl->text[0] = '\0';
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS) || !(message->nlmsg_flags & NLM_F_CAPPED))
		return;
	kist_nl_parse_message(message, sizeof(struct nlmsgerr), table, NLMSGERR_ATTR_MAX);
	text = table[NLMSGERR_ATTR_MSG];
	if (text && kist_nl_len(text))
		snprintf(nl->text, sizeof(nl->text), "%.*s", (int)kist_nl_len(text), (const char *)kist_nl_data(text));
}

/* An errno as the kernel tells it; a number that is none is no answer. */
static int told_errno(int told)
{
	return told <= 0 && told >= -4095 ? told : -EBADMSG;
}

/* The message whose acknowledgement ends the reading. The end mark of a transaction is not acknowledged before
 * Linux 6.10, the message before it is. */
static size_t last_index(const struct kist_nl *nl)
{
	return nl->filter_batch ? nl->n - 2 : nl->n - 1;
}

/* Returns 1 when the batch is through. *result: the first failure. */
static int take_ack(struct kist_nl *nl, const struct nlmsghdr *message, int *result)
{
	const struct nlmsgerr *ack = NLMSG_DATA(message);
	size_t index = message->nlmsg_seq - nl->seq;
	int error = told_errno(ack->error);

	if (error && -error != nl->messages[index].allowed && *result == 0) {
		*result = error;
		nl->failed = index;
		keep_text(nl, message);
	}
	/* nfnetlink refuses a batch as a whole (no module, no right, commit failed) at its first message, and may then
	 * say nothing about the rest. */
	return index == last_index(nl) || (nl->filter_batch && index == 0 && error);
}

/* Returns 1 at the end, 0 to go on, a negative errno. */
static int take_message(struct kist_nl *nl, const struct nlmsghdr *message, kist_nl_answer answer, void *arg,
                        int *result)
{
	/* Left over from a batch that was given up. */
	if (message->nlmsg_seq - nl->seq >= nl->n)
		return 0;
	if (message->nlmsg_type == NLMSG_ERROR) {
		if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
			return -EBADMSG;
		return take_ack(nl, message, result);
	}
	if (message->nlmsg_type == NLMSG_NOOP || message->nlmsg_type == NLMSG_OVERRUN)
		return 0;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		*result = -EINTR;
	if (message->nlmsg_type == NLMSG_DONE) {
		int error = 0;

		if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
			memcpy(&error, NLMSG_DATA(message), sizeof(error));
		if (error < 0)
			*result = told_errno(error);
		return 1;
	}
	return answer ? answer(arg, message) : 0;
}

static int read_answers(struct kist_nl *nl, kist_nl_answer answer, void *arg)
{
	int result = 0, lost = 0;

	for (;;) {
		ssize_t len = receive(nl);

		if (len == -ENOBUFS) {
			lost = -ENOBUFS; /* too many failures to hold; those that came first are the ones that matter */
			continue;
		}
		if (len < 0)
			return result ? result : len == -EAGAIN && lost ? lost : len == -EAGAIN ? -EIO : (int)len;
		/* Negative after one whose padding is cut off. */
		for (const struct nlmsghdr *message = (const void *)nl->in; len > 0 && NLMSG_OK(message, (size_t)len);
		     message = NLMSG_NEXT(message, len)) {
			int r = take_message(nl, message, answer, arg, &result);

			if (r < 0)
				return r;
			if (r > 0)
				return result;
		}
	}
}

int kist_nl_send(struct kist_nl *nl, kist_nl_answer answer, void *arg)
{
	struct nlmsghdr *last;
	int r;

	nl->failed = 0;
	if (nl->n == 0)
		return 0;
	/* Failures are told in any case; only the end must be acknowledged. */
	last = (struct nlmsghdr *)(void *)(nl->data + nl->messages[last_index(nl)].offset);
	last->nlmsg_flags |= NLM_F_ACK;
	r = transmit(nl);
	return r < 0 ? r : read_answers(nl, answer, arg);
}

int kist_nl_dump(struct kist_nl *nl, kist_nl_answer answer, void *arg)
{
	int r;

	nl->failed = 0;
	r = transmit(nl);
	return r < 0 ? r : read_answers(nl, answer, arg);
}

const char *kist_nl_failed_what(const struct kist_nl *nl)
{
	return nl->failed < nl->n ? nl->messages[nl->failed].what : "netlink";
}

int kist_nl_fail(const struct kist_nl *nl, int errnum, struct kist_error *err)
{
	if (nl->text[0])
		return kist_fail(err, KIST_ERR_SYSTEM, errnum, "%s: %s: %s", kist_nl_failed_what(nl), nl->text,
		                 strerror(errnum));
	return kist_fail_errno(err, errnum, "%s", kist_nl_failed_what(nl));
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

void kist_nl_parse(const void *data, size_t len, const struct nlattr **table, uint16_t max)
{
	const uint8_t *at = data;

	for (size_t i = 0; i <= max; i++)
		table[i] = NULL;
	while (len >= NLA_HDRLEN) {
		const struct nlattr *attr = (const void *)at;
		uint16_t type = attr->nla_type & NLA_TYPE_MASK;

		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > len)
			return;
		if (type <= max)
			table[type] = attr;
		size_t step = ((size_t)attr->nla_len + NLA_ALIGNTO - 1) & ~(size_t)(NLA_ALIGNTO - 1);
		if (step >= len)
			return;
		at += step;
		len -= step;
	}
}

void kist_nl_parse_message(const struct nlmsghdr *message, size_t header, const struct nlattr **table, uint16_t max)
{
	size_t before = NLMSG_HDRLEN + NLMSG_ALIGN(header);
	size_t len = message->nlmsg_len;

	kist_nl_parse((const uint8_t *)message + before, len > before ? len - before : 0, table, max);
}

void kist_nl_parse_nested(const struct nlattr *attr, const struct nlattr **table, uint16_t max)
{
	kist_nl_parse(attr ? kist_nl_data(attr) : NULL, attr ? kist_nl_len(attr) : 0, table, max);
}

const void *kist_nl_data(const struct nlattr *attr)
{
	return (const uint8_t *)attr + NLA_HDRLEN;
}

size_t kist_nl_len(const struct nlattr *attr)
{
	return attr->nla_len - (size_t)NLA_HDRLEN;
}

uint32_t kist_nl_u32(const struct nlattr *attr, uint32_t fallback)
{
	uint32_t value;

	if (!attr || kist_nl_len(attr) < sizeof(value))
		return fallback;
	memcpy(&value, kist_nl_data(attr), sizeof(value));
	return value;
}

bool kist_nl_text_is(const struct nlattr *attr, const char *text)
{
	size_t len = strlen(text);

	if (!attr || kist_nl_len(attr) < len || memcmp(kist_nl_data(attr), text, len) != 0)
		return false;
	return kist_nl_len(attr) == len || ((const char *)kist_nl_data(attr))[len] == '\0';
}
