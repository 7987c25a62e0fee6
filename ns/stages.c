#include "ns/stages.h"

#include "core/base/fs.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const char *const stage_names[] = {
	[KIST_NS_STAGE_PID] = "joining namespaces",
	[KIST_NS_STAGE_MAPPED] = "user maps",
	[KIST_NS_STAGE_MOUNTED] = "mounts",
	[KIST_NS_STAGE_PIVOT] = "hooks",
	[KIST_NS_STAGE_CREATED] = "creation",
	[KIST_NS_STAGE_RELEASE] = "release",
	[KIST_NS_STAGE_START] = "start",
	[KIST_NS_STAGE_FAILED] = "failure",
};

static const char *stage_name(uint32_t stage)
{
	return stage < KIST_COUNT(stage_names) && stage_names[stage] ? stage_names[stage] : "unknown stage";
}

#define MESSAGE_SHORT offsetof(struct kist_ns_message, error)

int kist_ns_stage_send(int sync, enum kist_ns_stage stage, int32_t value, int fd)
{
	const struct kist_ns_message message = { .stage = stage, .value = value };
	ssize_t n;

	if (fd >= 0)
		return kist_send_fds(sync, &message, MESSAGE_SHORT, &fd, 1);
	do
		n = send(sync, &message, MESSAGE_SHORT, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

void kist_ns_stage_send_error(int sync, const struct kist_error *err)
{
	struct kist_ns_message message = { .stage = KIST_NS_STAGE_FAILED, .error = *err };
	ssize_t n;

	do
		n = send(sync, &message, sizeof(message), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
}

int kist_ns_stage_await(int sync, enum kist_ns_stage stage)
{
	struct kist_ns_message message;
	ssize_t n;

	do
		n = recv(sync, &message, MESSAGE_SHORT, 0);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)MESSAGE_SHORT && message.stage == stage ? 0 : -EPIPE;
}

static int take_error(struct kist_ns_message *message, ssize_t n, struct kist_error *err)
{
	if (n != (ssize_t)sizeof(*message))
		return kist_fail(err, KIST_ERR_INTERNAL, EPROTO, "the container's first process sent half an error");
	message->error.text[sizeof(message->error.text) - 1] = '\0';
	if (message->error.errnum <= 0)
		message->error.errnum = EIO;
	if (err)
		*err = message->error;
	return -message->error.errnum;
}

int kist_ns_stage_expect(int sync, enum kist_ns_stage stage, int32_t *value, int *fd, struct kist_error *err)
{
	struct kist_ns_message message;
	int got = -1;
	size_t n_fds = 1;
	ssize_t n;

	if (fd) {
		n = kist_recv_fds(sync, &message, sizeof(message), &got, &n_fds);
		if (n_fds == 0)
			got = -1;
	} else {
		do
			n = recv(sync, &message, sizeof(message), 0);
		while (n < 0 && errno == EINTR);
	}
	KIST_CLOSE int passed = n < 0 ? -1 : got;
	if (n <= 0)
		return kist_fail(err, KIST_ERR_SYSTEM, EPIPE, "the container's first process died during %s",
		                 stage_name(stage));
	if (n >= (ssize_t)MESSAGE_SHORT && message.stage == KIST_NS_STAGE_FAILED)
		return take_error(&message, n, err);
	if (n != (ssize_t)MESSAGE_SHORT || message.stage != stage)
		return kist_fail(err, KIST_ERR_INTERNAL, EPROTO,
		                 "%s: unexpected message from the container's first process", stage_name(stage));
	if (value)
		*value = message.value;
	if (fd)
		*fd = kist_steal_fd(&passed);
	return 0;
}

int kist_ns_stage_expect_exec(int sync, struct kist_error *err)
{
	struct kist_ns_message message;
	ssize_t n;

	do
		n = recv(sync, &message, sizeof(message), 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	if (n < 0)
		return kist_fail_errno(err, errno, "wait for the command to start");
	if (n >= (ssize_t)MESSAGE_SHORT && message.stage == KIST_NS_STAGE_FAILED)
		return take_error(&message, n, err);
	return kist_fail(err, KIST_ERR_INTERNAL, EPROTO,
	                 "start: unexpected message from the container's first process");
}
