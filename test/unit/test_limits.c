/* Limits, sysctls, affinity: what is refused, and what a child has after they were applied. */
#include "test/unit/child.h"
#include "ns/apply.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static struct kist_spec_namespace spaces[] = { { .type = (char *)"network" }, { .type = (char *)"ipc" } };
static struct kist_spec spec = { .linux_ = { .namespaces = spaces, .n_namespaces = 2 } };

static void refused(const struct kist_spec_process *process, const char *text)
{
	struct kist_ns_policy_args args = { .spec = &spec, .process = process, .seccomp_cache = -1, .joining = true };
	struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
	struct kist_error err = { 0 };
	int r = kist_ns_limits_prepare(&args, &policy, &err);
	assert_true(r < 0);
	assert_int_equal(r, -err.errnum);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not hold '%s'", err.text, text);
	kist_ns_policy_free(&policy);
}

static void test_refused(void **state KIST_UNUSED)
{
	struct kist_spec_rlimit bad[] = { { (char *)"RLIMIT_X", 1, 1 }, { (char *)"RLIMIT_CPU", 1, 2 } };
	struct kist_spec_rlimit twice[] = { { (char *)"RLIMIT_CPU", 2, 1 }, { (char *)"RLIMIT_CPU", 2, 1 } };
	refused(&(struct kist_spec_process){ .rlimits = bad, .n_rlimits = 1 }, "rlimits[0].type: 'RLIMIT_X'");
	refused(&(struct kist_spec_process){ .rlimits = bad + 1, .n_rlimits = 1 }, "above");
	refused(&(struct kist_spec_process){ .rlimits = twice, .n_rlimits = 2 },
	        "rlimits[1].type: RLIMIT_CPU is given twice");
	refused(&(struct kist_spec_process){ .oom_score_adj = { true, 1001 } }, "oomScoreAdj");
	struct kist_spec_scheduler scheduler = { .policy = (char *)"SCHED_ISO" };
	refused(&(struct kist_spec_process){ .scheduler = &scheduler }, "SCHED_ISO");
	scheduler = (struct kist_spec_scheduler){ .policy = (char *)"SCHED_OTHER", .priority = 1 };
	refused(&(struct kist_spec_process){ .scheduler = &scheduler }, "priority");
	scheduler = (struct kist_spec_scheduler){ .policy = (char *)"SCHED_FIFO", .runtime = 1 };
	refused(&(struct kist_spec_process){ .scheduler = &scheduler }, "DEADLINE");
	struct kist_spec_io_priority io = { (char *)"IOPRIO_CLASS_BE", 8 };
	refused(&(struct kist_spec_process){ .io_priority = &io }, "ioPriority.priority");
	io = (struct kist_spec_io_priority){ (char *)"BE", 1 };
	refused(&(struct kist_spec_process){ .io_priority = &io }, "ioPriority.class");
	struct kist_spec_affinity cpus = { .final = (char *)"1-" };
	refused(&(struct kist_spec_process){ .exec_cpu_affinity = &cpus }, "final");
}

static void test_cpu_lists(void **state KIST_UNUSED)
{
	static const struct {
		const char *text;
		uint64_t mask;
	} good[] = { { "0", 1 }, { "0-3", 15 }, { "0,2", 5 }, { "1-2,5,7-8", 0x1a6 }, { "63", 1ULL << 63 } };
	static const char *const bad[] = { "",  ",",  "1,",   ",1",          "1-",   "-1",  "3-1",
		                           "a", "1 ", "8192", "99999999999", "1--2", "0,,1" };
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		struct kist_ns_cpus cpus = { 0 };
		assert_int_equal(kist_ns_cpus_parse(good[i].text, &cpus), 0);
		uint64_t mask = 0;
		assert_int_equal(cpus.len, sizeof(mask));
		memcpy(&mask, cpus.mask, sizeof(mask));
		assert_int_equal(mask, good[i].mask);
		free(cpus.mask);
	}
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_ns_cpus cpus = { 0 };
		assert_int_equal(kist_ns_cpus_parse(bad[i], &cpus), -EINVAL);
		assert_null(cpus.mask);
	}
}

static void test_sysctl_names(void **state KIST_UNUSED)
{
	static const struct {
		const char *text, *path;
	} good[] = {
		{ "net.ipv4.ip_forward=1", "net/ipv4/ip_forward=1" },
		{ "net/ipv4/ip_forward=1", "net/ipv4/ip_forward=1" },
		{ "net.ipv4.conf.eth0/100.forwarding=1", "net/ipv4/conf/eth0.100/forwarding=1" },
		{ "net/ipv4/conf/eth0.100/forwarding=1", "net/ipv4/conf/eth0.100/forwarding=1" },
		{ "net.ipv4.ping_group_range=0 0", "net/ipv4/ping_group_range=0 0" },
		{ "kernel.msgmax=65536", "kernel/msgmax=65536" },
		{ "fs.mqueue.msg_max=10", "fs/mqueue/msg_max=10" },
		{ "net.x=a=b", "net/x=a=b" },
	};
	static const char *const bad[] = {
		"kernel.core_pattern=|/bin/sh",
		"kernel/core_pattern=x",
		"net/../kernel/core_pattern=x",
		"net.ipv4",
		"=1",
		"net//ipv4=1",
		"/net/ipv4/ip_forward=1",
		"net/./x=1",
		"net/ipv4/=1",
		"vm.swappiness=1",
		"kernel.msgmax\n=1",
		"net.ipv4.x=1\nkernel.y=2",
		"kernel.msgmaxx=1",
		"kernel.hostname=x",
		"netx=1",
		"net.ipv4.a b=1",
		"kernel.shm_rmid_forced+kernel.core_pattern=1",
	};
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		KIST_FREE char *out = NULL;
		struct kist_error err = { 0 };
		if (kist_ns_sysctl_check(&spec, good[i].text, &out, &err) < 0)
			fail_msg("%s", err.text);
		assert_string_equal(out, good[i].path);
	}
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		char *out = NULL;
		struct kist_error err = { 0 };
		if (kist_ns_sysctl_check(&spec, bad[i], &out, &err) >= 0)
			fail_msg("%s", bad[i]);
		assert_non_null(strstr(err.text, "linux.sysctl"));
	}
	/* the host's own network, by absence and by path */
	struct kist_spec shared = { 0 };
	char *out = NULL;
	assert_true(kist_ns_sysctl_check(&shared, "net.ipv4.ip_forward=1", &out, NULL) < 0);
	struct kist_spec_namespace own = { .type = (char *)"network", .path = (char *)"/proc/self/ns/net" };
	shared.linux_ = (struct kist_spec_linux){ .namespaces = &own, .n_namespaces = 1 };
	assert_true(kist_ns_sysctl_check(&shared, "net.ipv4.ip_forward=1", &out, NULL) < 0);
}

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			dprintf(2, "line %d: " #condition "\n", __LINE__);                                             \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

static int64_t oom_now(void)
{
	KIST_STR struct kist_str text = { 0 };
	if (kist_read_file(AT_FDCWD, "/proc/self/oom_score_adj", 64, &text) < 0)
		return -9999;
	return strtoll(kist_str_get(&text), NULL, 10);
}

static void child_applied(const struct kist_ns_policy *policy, bool joining)
{
	struct kist_error err = { 0 };
	struct rlimit limit;
	cpu_set_t cpus;
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC) < 0 || kist_ns_policy_apply_limits(policy, 0, proc, &err) < 0 ||
	    kist_ns_policy_apply_early(policy, proc, &err) < 0) {
		dprintf(2, "%s\n", err.text);
		_exit(1);
	}
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 123 && limit.rlim_max == 456);
	CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0);
	CHECK(oom_now() == 500);
	CHECK(sched_getscheduler(0) == SCHED_BATCH && getpriority(PRIO_PROCESS, 0) == 5);
	CHECK(syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 6));
	CHECK(personality(0xffffffff) == PER_LINUX32);
	if (joining) {
		CHECK(sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) == 1 && CPU_ISSET(0, &cpus));
		return;
	}
	KIST_STR struct kist_str text = { 0 };
	CHECK(kist_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 16, &text) == 0 &&
	      kist_streq(kist_str_get(&text), "1\n"));
	kist_str_clear(&text);
	CHECK(kist_read_file(AT_FDCWD, "/proc/sys/kernel/msgmax", 16, &text) == 0 &&
	      kist_streq(kist_str_get(&text), "4242\n"));
}

static void test_applied(void **state KIST_UNUSED)
{
	if (geteuid() != 0) {
		assert_null(getenv("KIST_TEST_ROOT"));
		print_message("not root\n");
		skip();
	}
	struct kist_spec_rlimit limits[] = { { (char *)"RLIMIT_NOFILE", 456, 123 }, { (char *)"RLIMIT_CORE", 0, 0 } };
	struct kist_spec_scheduler scheduler = { .policy = (char *)"SCHED_BATCH", .nice = 5 };
	struct kist_spec_io_priority io = { (char *)"IOPRIO_CLASS_BE", 6 };
	struct kist_spec_affinity cpus = { .initial = (char *)"0" };
	struct kist_spec_personality persona = { .domain = (char *)"LINUX32" };
	char *sysctls[] = { (char *)"net.ipv4.ip_forward=1", (char *)"kernel.msgmax=4242", NULL };
	struct kist_spec plan = spec;
	plan.linux_.personality = &persona;
	plan.linux_.sysctl = sysctls;
	struct kist_spec_process process = { .rlimits = limits,
		                             .n_rlimits = 2,
		                             .oom_score_adj = { true, 500 },
		                             .scheduler = &scheduler,
		                             .io_priority = &io,
		                             .exec_cpu_affinity = &cpus };
	struct kist_ns_policy_args args = { .spec = &plan, .process = &process, .seccomp_cache = -1 };
	/* Sysctls are for the container's first process, execCPUAffinity is for all others. */
	for (int joining = 0; joining < 2; joining++) {
		struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
		args.joining = joining;
		assert_int_equal(kist_ns_policy_prepare(&args, &policy, NULL), 0);
		assert_int_equal(policy.cpus_initial.mask != NULL, joining);
		pid_t pid = child_fork();
		if (pid == 0) {
			child_applied(&policy, joining);
			_exit(0);
		}
		assert_int_equal(kist_wait_pid(pid), 0);
		kist_ns_policy_free(&policy);
	}
}

/* The parent sets them for a child that may not. */
static void test_applied_from_parent(void **state KIST_UNUSED)
{
	struct kist_spec_rlimit limits[] = { { (char *)"RLIMIT_NOFILE", 456, 123 } };
	struct kist_spec_process process = { .rlimits = limits, .n_rlimits = 1, .oom_score_adj = { true, 600 } };
	struct kist_ns_policy_args args = { .spec = &spec, .process = &process, .seccomp_cache = -1 };
	struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
	struct kist_error err = { 0 };
	assert_int_equal(kist_ns_limits_prepare(&args, &policy, NULL), 0);
	int gate[2];
	assert_int_equal(pipe(gate), 0);
	pid_t pid = child_fork();
	if (pid == 0) {
		struct rlimit limit;
		char c;
		close(gate[1]);
		CHECK(read(gate[0], &c, 1) == 1);
		CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 123 && limit.rlim_max == 456);
		CHECK(oom_now() == 600);
		_exit(0);
	}
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (kist_ns_policy_apply_limits(&policy, pid, proc, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(write(gate[1], "g", 1), 1);
	assert_int_equal(kist_wait_pid(pid), 0);
	close(proc);
	close(gate[0]);
	close(gate[1]);
	kist_ns_policy_free(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cpu_lists),
		cmocka_unit_test(test_sysctl_names),
		cmocka_unit_test(test_applied),
		cmocka_unit_test(test_applied_from_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
