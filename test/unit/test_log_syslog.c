/* The log driver syslog against a daemon of our own: packets, restarts, and daemons that do not read. */
#include "store_help.h"

#include "core/base/clock.h"
#include "core/log.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

static char path[80];

static int daemon_open(int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(path, sizeof(path), "%s/log", top);
	unlink(path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void expect(int fd, const char *head, const char *tail)
{
	char packet[2048];
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&poll_fd, 1, 10000), 1);
	ssize_t n = recv(fd, packet, sizeof(packet) - 1, 0);
	assert_in_range(n, 1, 1025);
	packet[n] = '\0';
	assert_true(kist_has_prefix(packet, head));
	assert_true(kist_has_suffix(packet, tail));
}

static struct kist_log_writer *writer_open(const char *tag)
{
	struct kist_container_config config;
	struct kist_log_writer *w = NULL;
	struct kist_error err = { 0 };

	kist_container_config_init(&config);
	free(config.log_driver);
	config.log_driver = kist_strdup("syslog");
	config.log_path = kist_strdup(path);
	config.name = kist_strdup("web");
	config.log_tag = kist_strdup(tag);
	if (kist_log_writer_open(&w, &config, -1, &err) < 0)
		fail_msg("%s", err.text);
	kist_container_config_clear(&config);
	return w;
}

static void put(struct kist_log_writer *w, int stream, const char *text)
{
	kist_log_writer_write(w, stream, text, strlen(text));
}

static void test_packets(void **state)
{
	int daemon KIST_CLOSE = daemon_open(SOCK_DGRAM);
	struct kist_syslog *s = NULL;

	(void)state;
	assert_int_equal(kist_syslog_open(&s, path, "web"), 0);
	setenv("TZ", "UTC", 1);
	kist_syslog_send(s, 1, 1000000000LL * KIST_NSEC_PER_SEC, "one\ntwo", 7);
	expect(daemon, "<30>Sep  9 ", " web: one two");
	kist_syslog_send(s, 2, 1000000000LL * KIST_NSEC_PER_SEC, "", 0);
	expect(daemon, "<27>Sep  9 ", " web: ");
	/* A line that is too long for a packet, cut between characters. */
	char line[1500];
	memset(line, 'x', sizeof(line));
	for (size_t i = 1; i < sizeof(line); i += 2)
		memcpy(line + i - 1, "\xc3\xa9", 2);
	kist_syslog_send(s, 1, 1000000000LL * KIST_NSEC_PER_SEC, line, sizeof(line));
	expect(daemon, "<30>", "\xc3\xa9");
	expect(daemon, "<30>", "\xc3\xa9");
	kist_syslog_close(s);
}

static void test_lines(void **state)
{
	int daemon KIST_CLOSE = daemon_open(SOCK_DGRAM);
	struct kist_log_writer *w = writer_open("tagged"), *plain = writer_open(NULL);

	(void)state;
	put(w, 1, "one\npart");
	put(w, 2, "err\n");
	put(w, 1, "ial\n");
	put(plain, 1, "x\n");
	expect(daemon, "<30>", " tagged: one");
	expect(daemon, "<27>", " tagged: err");
	expect(daemon, "<30>", " tagged: partial");
	expect(daemon, "<30>", " web: x");
	kist_log_writer_close(w);
	kist_log_writer_close(plain);
}

/* It goes away, comes back, and comes back as another kind. */
static void test_restarts(void **state)
{
	int daemon = daemon_open(SOCK_DGRAM);
	struct kist_log_writer *w = writer_open(NULL);

	(void)state;
	put(w, 1, "one\n");
	expect(daemon, "<30>", "one");
	kist_close_fd(&daemon);
	put(w, 1, "lost\n");
	unlink(path);
	put(w, 1, "lost too\n");
	daemon = daemon_open(SOCK_DGRAM);
	struct pollfd poll_fd = { .fd = daemon, .events = POLLIN };
	for (int i = 0; i < 100 && poll(&poll_fd, 1, 100) == 0; i++)
		put(w, 1, "two\n");
	expect(daemon, "<30>", "two");
	kist_close_fd(&daemon);
	int listener = daemon_open(SOCK_STREAM);
	poll_fd.fd = listener;
	for (int i = 0; i < 100 && poll(&poll_fd, 1, 100) == 0; i++)
		put(w, 1, "three\n");
	daemon = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(daemon >= 0);
	char packet[2048];
	assert_true(recv(daemon, packet, sizeof(packet) - 1, 0) > 0);
	assert_non_null(strstr(packet, "three"));
	kist_close_fd(&daemon);
	kist_close_fd(&listener);
	kist_log_writer_close(w);
}

/* A daemon that never reads: the writer drops, and never waits. */
static void test_full(void **state)
{
	int daemon KIST_CLOSE = daemon_open(SOCK_DGRAM);
	struct kist_log_writer *w = writer_open(NULL);

	(void)state;
	alarm(60);
	for (int i = 0; i < 20000; i++)
		put(w, 1, "a line that nobody takes\n");
	alarm(0);
	expect(daemon, "<30>", "takes");
	kist_log_writer_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
