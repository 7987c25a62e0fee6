/* Compiled filters in force: what they refuse, the cache, the listener. */
#include "test/unit/child.h"
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct scratch {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));
	snprintf(scratch->path, sizeof(scratch->path), "/tmp/kist-test-XXXXXX");
	if (!scratch || !mkdtemp(scratch->path))
		return -1;
	scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = scratch;
	return scratch->fd < 0;
}

static int teardown(void **state)
{
	struct scratch *scratch = *state;
	close(scratch->fd);
	int r = kist_remove_tree(AT_FDCWD, scratch->path);
	free(scratch);
	return r;
}

/* Runs in a child under the filter; its result is the exit code. */
static int under(struct kist_ns_seccomp *filter, int (*body)(void))
{
	pid_t pid = child_fork();
	if (pid == 0) {
		struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
		policy.seccomp = *filter;
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (kist_ns_seccomp_install(&policy, NULL) < 0)
			_exit(200);
		_exit(body());
	}
	return kist_wait_pid(pid);
}

#define EXPECT(call, error)                                                                                            \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		if ((call) >= 0 || errno != (error)) {                                                                 \
			dprintf(2, "line %d: " #call ": errno %d\n", __LINE__, errno);                                 \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

static int default_body(void)
{
	EXPECT(socket(38, SOCK_SEQPACKET, 0), EPERM);
	EXPECT(socket(40, SOCK_STREAM, 0), EPERM);
	EXPECT(syscall(SYS_socket, 1LL << 32 | 38, SOCK_SEQPACKET, 0), EPERM);
	EXPECT(socket(AF_NETLINK, SOCK_RAW, 9), EINVAL);
	EXPECT(syscall(SYS_bpf, 0, 0, 0), EPERM);
	EXPECT(syscall(SYS_perf_event_open, 0, 0, 0, 0, 0), EPERM);
	EXPECT(syscall(SYS_init_module, 0, 0, 0), EPERM);
	EXPECT(syscall(SYS_userfaultfd, 0), EPERM);
	EXPECT(syscall(SYS_add_key, 0, 0, 0, 0, 0), ENOSYS);
	EXPECT(syscall(SYS_io_uring_setup, 1, 0), ENOSYS);
	EXPECT(syscall(9999), ENOSYS);
	EXPECT(chroot("/"), EPERM);
	EXPECT(syscall(SYS_personality, 0x4000), ENOSYS);
	if (syscall(SYS_personality, 0xffffffff) < 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0 ||
	    socket(AF_NETLINK, SOCK_RAW, 0) < 0)
		return 2;
	return 0;
}

static int privileged_body(void)
{
	/* reaches the kernel, which finds the arguments wrong */
	EXPECT(syscall(SYS_bpf, -1, 0, 0), EINVAL);
	return chroot("/") < 0;
}

static void test_default_in_force(void **state)
{
	struct scratch *scratch = *state;
	for (int round = 0; round < 2; round++) { /* the second from the cache */
		struct kist_ns_seccomp filter = { .listener = -1 };
		assert_int_equal(kist_ns_seccomp_compile_default(0, scratch->fd, &filter, NULL), 0);
		assert_int_equal(under(&filter, default_body), 0);
		kist_ns_seccomp_program_free(&filter);
		assert_int_equal(kist_ns_seccomp_compile_default(~0ULL, scratch->fd, &filter, NULL), 0);
		assert_int_equal(under(&filter, privileged_body), 0);
		kist_ns_seccomp_program_free(&filter);
	}
}

static char *cache_file(const struct scratch *scratch)
{
	char *found = NULL;
	/* one file: found by its name's form */
	for (int fd = dup(scratch->fd); fd >= 0; fd = -1) {
		char buffer[4096];
		lseek(fd, 0, SEEK_SET);
		long n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
		for (long at = 0; at < n;) {
			struct {
				uint64_t ino;
				int64_t off;
				unsigned short len;
				unsigned char type;
				char name[];
			} *entry = (void *)(buffer + at);
			if (kist_has_prefix(entry->name, "seccomp-"))
				found = kist_strdup(entry->name);
			at += entry->len;
		}
		close(fd);
	}
	return found;
}

static void test_cache_torn(void **state)
{
	struct scratch *scratch = *state;
	struct kist_ns_seccomp first = { .listener = -1 };
	assert_int_equal(kist_ns_seccomp_compile_default(0, scratch->fd, &first, NULL), 0);
	KIST_FREE char *name = cache_file(scratch);
	assert_non_null(name);
	KIST_STR struct kist_str whole = { 0 };
	assert_int_equal(kist_read_file(scratch->fd, name, 1 << 20, &whole), 0);
	assert_int_equal(whole.len, 16 + first.len * sizeof(struct sock_filter));
	for (size_t cut = 0; cut <= whole.len; cut += cut < 40 ? 1 : 613) {
		KIST_STR struct kist_str torn = { 0 };
		kist_str_addn(&torn, whole.data, whole.len);
		if (cut < whole.len)
			torn.data[cut] ^= 0x10; /* one bit at that place */
		else
			kist_str_add(&torn, "more");
		for (int form = 0; form < 2; form++) {
			size_t len = form ? cut : torn.len;
			assert_int_equal(kist_replace_file(scratch->fd, name, torn.data, len, 0600, 0), 0);
			struct kist_ns_seccomp again = { .listener = -1 };
			assert_int_equal(kist_ns_seccomp_compile_default(0, scratch->fd, &again, NULL), 0);
			assert_int_equal(again.len, first.len);
			assert_memory_equal(again.code, first.code, first.len * sizeof(*first.code));
			kist_ns_seccomp_program_free(&again);
			KIST_STR struct kist_str repaired = { 0 };
			assert_int_equal(kist_read_file(scratch->fd, name, 1 << 20, &repaired), 0);
			assert_int_equal(repaired.len, whole.len);
			assert_memory_equal(repaired.data, whole.data, whole.len);
		}
	}
	kist_ns_seccomp_program_free(&first);
}

/* The cache is really read: a valid file of another program under the name is what comes back. */
static void test_cache_used(void **state)
{
	struct scratch *scratch = *state;
	struct kist_ns_seccomp first = { .listener = -1 }, again = { .listener = -1 };
	assert_int_equal(kist_ns_seccomp_compile_default(0, scratch->fd, &first, NULL), 0);
	KIST_FREE char *name = cache_file(scratch);
	kist_ns_seccomp_program_free(&first);
	assert_int_equal(unlinkat(scratch->fd, name, 0), 0);
	assert_int_equal(kist_ns_seccomp_compile_default(~0ULL, scratch->fd, &first, NULL), 0);
	KIST_FREE char *other = cache_file(scratch);
	assert_string_not_equal(name, other);
	assert_int_equal(renameat(scratch->fd, other, scratch->fd, name), 0);
	assert_int_equal(kist_ns_seccomp_compile_default(0, scratch->fd, &again, NULL), 0);
	assert_int_equal(again.len, first.len);
	assert_memory_equal(again.code, first.code, first.len * sizeof(*first.code));
	kist_ns_seccomp_program_free(&first);
	kist_ns_seccomp_program_free(&again);
	/* capabilities the profile does not look at share the file */
	assert_int_equal(kist_ns_seccomp_compile_default(1ULL << CAP_CHOWN, scratch->fd, &again, NULL), 0);
	assert_int_equal(faccessat(scratch->fd, other, F_OK, 0), -1);
	kist_ns_seccomp_program_free(&again);
	/* a link in its place is not followed */
	assert_int_equal(unlinkat(scratch->fd, name, 0), 0);
	assert_int_equal(symlinkat("/dev/zero", scratch->fd, name), 0);
	assert_int_equal(kist_ns_seccomp_compile_default(0, scratch->fd, &again, NULL), 0);
	kist_ns_seccomp_program_free(&again);
}

static struct kist_spec_seccomp *profile_of(const char *json)
{
	struct kist_spec_seccomp *profile = NULL;
	struct kist_error err = { 0 };
	if (kist_ns_seccomp_read(json, strlen(json), NULL, &profile, &err) < 0)
		fail_msg("%s", err.text);
	return profile;
}

static void expect_refused(const char *json, const char *text)
{
	struct kist_spec_seccomp *profile = profile_of(json);
	struct kist_ns_seccomp filter = { .listener = -1 };
	struct kist_error err = { 0 };
	assert_true(kist_ns_seccomp_compile(profile, -1, &filter, &err) < 0);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not hold '%s'", err.text, text);
	assert_null(filter.code);
	kist_ns_seccomp_free(profile);
}

static void test_refused_profiles(void **state KIST_UNUSED)
{
	expect_refused("{\"defaultAction\":\"SCMP_ACT_MAYBE\"}", "defaultAction");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", "NOTIFY");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":5000}", "range");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"X\"]}", "flags[0]");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"VAX\"]}", "architectures[0]");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"nope\"],\"action\":\"SCMP_"
	               "ACT_ERRNO\"}]}",
	               "nope");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_"
	               "ACT_NOTIFY\"}]}",
	               "listenerPath");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_"
	               "ACT_ERRNO\","
	               "\"args\":[{\"index\":6,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
	               "args[0].index");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_"
	               "ACT_ERRNO\","
	               "\"args\":[{\"index\":1,\"value\":1,\"op\":\"EQ\"}]}]}",
	               "args[0].op");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/nonexistent/"
	               "x\",\"syscalls\":[{\"names\":[\"read\"],"
	               "\"action\":\"SCMP_ACT_NOTIFY\"}]}",
	               "/nonexistent/x");
}

static int own_body(void)
{
	EXPECT(mkdir("/tmp", 0), EDOM);
	EXPECT(rmdir("/nonexistent"), ENOENT);
	return 0;
}

static void test_own_profile(void **state)
{
	struct scratch *scratch = *state;
	struct kist_spec_seccomp *profile =
	        profile_of("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\","
	                   "\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\",\"SECCOMP_FILTER_FLAG_TSYNC\"],\"syscalls\":"
	                   "[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_ERRNO\",\"errno\":\"EDOM\"}]}");
	for (int round = 0; round < 2; round++) {
		struct kist_ns_seccomp filter = { .listener = -1 };
		assert_int_equal(kist_ns_seccomp_compile(profile, scratch->fd, &filter, NULL), 0);
		assert_int_equal(filter.flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW);
		assert_int_equal(under(&filter, own_body), 0);
		kist_ns_seccomp_program_free(&filter);
	}
	kist_ns_seccomp_free(profile);
}

/* The agent's side of a listener: answers one mkdir with the error 77. */
static int agent(int server)
{
	char text[4096] = "";
	int fd = -1, sock = accept(server, NULL, NULL);
	size_t n_fds = 1;
	if (sock < 0 || kist_recv_fds(sock, text, sizeof(text) - 1, &fd, &n_fds) <= 0 || n_fds != 1)
		return 1;
	if (!strstr(text, "\"fds\":[\"seccompFd\"]") || !strstr(text, "\"metadata\":\"m1\"") ||
	    !strstr(text, "\"id\":\"web\""))
		return 2;
	struct seccomp_notif request = { 0 };
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0 || request.data.nr != SYS_mkdir)
		return 3;
	struct seccomp_notif_resp response = { .id = request.id, .error = -77 };
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0)
		return 4;
	/* One state for a connection, and then its end. */
	return recv(sock, text, sizeof(text), 0) == 0 ? 0 : 5;
}

static void test_listener(void **state)
{
	struct scratch *scratch = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/agent", scratch->path);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server, 1), 0);

	KIST_FREE char *json = kist_asprintf(
	        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"%s\",\"listenerMetadata\":\"m1\","
	        "\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
	        address.sun_path);
	struct kist_spec_seccomp *profile = profile_of(json);
	struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
	struct kist_error err = { 0 };
	if (kist_ns_seccomp_compile(profile, -1, &policy.seccomp, &err) < 0)
		fail_msg("%s", err.text);
	policy.id = (char *)"web";
	pid_t answerer = child_fork();
	if (answerer == 0) {
		kist_close_fd(&policy.seccomp.listener);
		alarm(20);
		_exit(agent(server));
	}
	pid_t pid = child_fork();
	if (pid == 0) {
		alarm(20);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (kist_ns_seccomp_install(&policy, NULL) < 0)
			_exit(1);
		_exit(mkdir("/nonexistent/x", 0) == -1 && errno == 77 ? 0 : 2);
	}
	kist_close_fd(&policy.seccomp.listener);
	assert_int_equal(kist_wait_pid(pid), 0);
	assert_int_equal(kist_wait_pid(answerer), 0);
	close(server);
	kist_ns_seccomp_program_free(&policy.seccomp);
	kist_ns_seccomp_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_default_in_force, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_torn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache_used, setup, teardown),
		cmocka_unit_test(test_refused_profiles),
		cmocka_unit_test_setup_teardown(test_own_profile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listener, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
