/* A policy applied in a child, and what the kernel says of it in /proc/self/status. */
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
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BIT(n) (1ULL << (n))

/* The line's value in the child's status, as the child saw it just before execve. */
static char *status_line(const char *status, const char *key)
{
	const char *at = strstr(status, key);
	assert_non_null(at);
	at += strlen(key);
	at += strspn(at, " \t");
	size_t len = strcspn(at, "\n");
	while (len && at[len - 1] == ' ')
		len--;
	return kist_strndup(at, len);
}

static void expect_line(const char *status, const char *key, const char *value)
{
	KIST_FREE char *got = status_line(status, key);
	for (char *p = got; *p; p++)
		*p = *p == '\t' ? ' ' : *p;
	if (strcmp(got, value) != 0)
		fail_msg("%s is '%s', not '%s'", key, got, value);
}

static void expect_mask(const char *status, const char *key, uint64_t value)
{
	char text[32];
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
	expect_line(status, key, text);
}

/* Applies the policy in a child and returns its status file; then execs cat, so that what execve does shows in *after.
 */
static char *apply(const struct kist_ns_policy_args *args, char **after)
{
	struct kist_error err = { 0 };
	struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
	if (kist_ns_policy_prepare(args, &policy, &err) < 0)
		fail_msg("%s", err.text);
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = child_fork();
	if (pid == 0) {
		int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
		int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
		int r = kist_ns_policy_apply_limits(&policy, 0, proc, &err);
		if (r >= 0)
			r = kist_ns_policy_apply_early(&policy, proc, &err);
		if (r >= 0)
			r = kist_ns_policy_apply_late(&policy, proc, &err);
		if (r < 0) {
			dprintf(2, "%s\n", err.text);
			_exit(1);
		}
		char text[4096];
		ssize_t n = read(status, text, sizeof(text));
		if (write(pipes[1], text, (size_t)n) != n || write(pipes[1], "\n=====\n", 7) != 7)
			_exit(2);
		dup2(pipes[1], 1);
		execl("/bin/cat", "cat", "/proc/self/status", (char *)NULL);
		_exit(3);
	}
	close(pipes[1]);
	KIST_STR struct kist_str all = { 0 };
	assert_int_equal(kist_read_fd(pipes[0], 1 << 16, &all), 0);
	close(pipes[0]);
	assert_int_equal(kist_wait_pid(pid), 0);
	kist_ns_policy_free(&policy);
	char *cut = strstr(all.data, "\n=====\n");
	assert_non_null(cut);
	if (after)
		*after = kist_strdup(cut + 7);
	*cut = '\0';
	return kist_strdup(all.data);
}

static char *few[] = { (char *)"CAP_CHOWN", (char *)"CAP_KILL", (char *)"CAP_NET_BIND_SERVICE", NULL };
static char *one[] = { (char *)"CAP_NET_BIND_SERVICE", NULL };
static const uint64_t few_mask = BIT(CAP_CHOWN) | BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE);

#define NEEDS_ROOT()                                                                                                   \
	do {                                                                                                           \
		if (geteuid() != 0) {                                                                                  \
			assert_null(getenv("KIST_TEST_ROOT"));                                                         \
			print_message("not root\n");                                                                   \
			skip();                                                                                        \
		}                                                                                                      \
	} while (0)

static void test_root(void **state KIST_UNUSED)
{
	NEEDS_ROOT();
	uint32_t gids[] = { 0, 29, 44 };
	uint64_t profile_caps = few_mask;
	struct kist_spec_caps caps = { .bounding = few, .effective = few, .permitted = few };
	struct kist_spec_process process = { .capabilities = &caps, .no_new_privileges = true };
	process.user =
	        (struct kist_spec_user){ .additional_gids = gids, .n_additional_gids = 3, .umask = { true, 027 } };
	struct kist_spec spec = { .process = &process };
	struct kist_ns_policy_args args = {
		.spec = &spec, .process = &process, .seccomp_cache = -1, .default_seccomp_caps = &profile_caps
	};
	KIST_FREE char *after = NULL;
	KIST_FREE char *before = apply(&args, &after);
	const char *both[] = { before, after };
	for (size_t i = 0; i < 2; i++) {
		expect_mask(both[i], "CapInh:", 0);
		expect_mask(both[i], "CapPrm:", few_mask);
		expect_mask(both[i], "CapEff:", few_mask);
		expect_mask(both[i], "CapBnd:", few_mask);
		expect_mask(both[i], "CapAmb:", 0);
		expect_line(both[i], "NoNewPrivs:", "1");
		expect_line(both[i], "Seccomp:", "2");
		expect_line(both[i], "Groups:", "0 29 44");
		expect_line(both[i], "Umask:", "0027");
	}
}

/* A user other than root keeps nothing, whatever the plan's permitted and effective say (CVE-2018-10856,
 * CVE-2022-27649). */
static void test_non_root(void **state KIST_UNUSED)
{
	NEEDS_ROOT();
	uint32_t gids[] = { 1000 };
	struct kist_spec_caps caps = { .bounding = few, .effective = few, .permitted = few };
	struct kist_spec_process process = { .capabilities = &caps };
	process.user =
	        (struct kist_spec_user){ .uid = 1000, .gid = 1000, .additional_gids = gids, .n_additional_gids = 1 };
	struct kist_spec spec = { .process = &process };
	uint64_t profile_caps = few_mask;
	struct kist_ns_policy_args args = {
		.spec = &spec, .process = &process, .seccomp_cache = -1, .default_seccomp_caps = &profile_caps
	};
	for (int nnp = 0; nnp < 2; nnp++) {
		process.no_new_privileges = nnp;
		KIST_FREE char *after = NULL;
		KIST_FREE char *before = apply(&args, &after);
		const char *both[] = { before, after };
		for (size_t i = 0; i < 2; i++) {
			expect_mask(both[i], "CapInh:", 0);
			expect_mask(both[i], "CapPrm:", 0);
			expect_mask(both[i], "CapEff:", 0);
			expect_mask(both[i], "CapBnd:", few_mask);
			expect_mask(both[i], "CapAmb:", 0);
			expect_line(both[i], "Uid:", "1000 1000 1000 1000");
			expect_line(both[i], "Gid:", "1000 1000 1000 1000");
			expect_line(both[i], "Groups:", "1000");
			expect_line(both[i], "NoNewPrivs:", nnp ? "1" : "0");
			expect_line(both[i], "Seccomp:", "2");
		}
	}
}

static void test_ambient(void **state KIST_UNUSED)
{
	NEEDS_ROOT();
	struct kist_spec_caps caps = {
		.bounding = few, .effective = few, .permitted = few, .inheritable = one, .ambient = one
	};
	struct kist_spec_process process = { .capabilities = &caps,
		                             .no_new_privileges = true,
		                             .user = { .uid = 1000, .gid = 1000 } };
	struct kist_spec spec = { .process = &process };
	struct kist_ns_policy_args args = { .spec = &spec, .process = &process, .seccomp_cache = -1 };
	KIST_FREE char *after = NULL;
	KIST_FREE char *before = apply(&args, &after);
	expect_mask(after, "CapInh:", BIT(CAP_NET_BIND_SERVICE));
	expect_mask(after, "CapPrm:", BIT(CAP_NET_BIND_SERVICE));
	expect_mask(after, "CapEff:", BIT(CAP_NET_BIND_SERVICE));
	expect_mask(after, "CapAmb:", BIT(CAP_NET_BIND_SERVICE));
	expect_line(after, "Seccomp:", "0");
	expect_line(after, "Groups:", "");
}

/* An ambient set this process was started with does not reach the container. */
static void test_inherited_ambient(void **state KIST_UNUSED)
{
	NEEDS_ROOT();
	pid_t pid = child_fork();
	if (pid == 0) {
		struct kist_ns_caps all = { 0 };
		struct kist_error err = { 0 };
		all.permitted = all.effective = all.inheritable = BIT(CAP_KILL) | BIT(CAP_CHOWN);
		all.ambient = BIT(CAP_KILL);
		if (kist_ns_caps_set(&all, kist_ns_cap_last(), &err) < 0)
			_exit(1);
		all.ambient = BIT(CAP_CHOWN);
		if (kist_ns_caps_set(&all, kist_ns_cap_last(), &err) < 0)
			_exit(2);
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0) != 0 ||
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0) != 1)
			_exit(3);
		_exit(0);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
}

static void test_no_capabilities_in_plan(void **state KIST_UNUSED)
{
	NEEDS_ROOT();
	struct kist_spec_process process = { 0 };
	struct kist_spec spec = { .process = &process };
	struct kist_ns_policy_args args = { .spec = &spec, .process = &process, .seccomp_cache = -1 };
	KIST_FREE char *before = apply(&args, NULL);
	expect_mask(before, "CapPrm:", 0);
	expect_mask(before, "CapBnd:", 0);
	args.privileged = true;
	KIST_FREE char *privileged = apply(&args, NULL);
	KIST_FREE char *bounding = status_line(privileged, "CapBnd:");
	KIST_FREE char *permitted = status_line(privileged, "CapPrm:");
	assert_string_equal(bounding, permitted);
	expect_line(privileged, "Seccomp:", "0");
	assert_string_not_equal(bounding, "0000000000000000");
}

static void refused(const struct kist_spec_process *process, const char *text)
{
	struct kist_spec spec = { 0 };
	struct kist_ns_policy_args args = { .spec = &spec, .process = process, .seccomp_cache = -1 };
	struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
	struct kist_error err = { 0 };
	assert_true(kist_ns_policy_prepare(&args, &policy, &err) < 0);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not hold '%s'", err.text, text);
	assert_null(policy.id);
}

static void test_refused_plans(void **state KIST_UNUSED)
{
	refused(&(struct kist_spec_process){ .user.uid = UINT32_MAX }, "4294967295");
	refused(&(struct kist_spec_process){ .user.umask = { true, 01000 } }, "umask");
	refused(&(struct kist_spec_process){ .apparmor_profile = (char *)"a\nb" }, "apparmorProfile");
	if (access("/sys/module/apparmor/parameters/enabled", F_OK) < 0)
		refused(&(struct kist_spec_process){ .apparmor_profile = (char *)"docker-default" }, "no AppArmor");
	if (access("/sys/fs/selinux", F_OK) < 0)
		refused(&(struct kist_spec_process){ .selinux_label = (char *)"system_u:system_r:svirt_lxc_net_t:s0" },
		        "no SELinux");
	struct kist_spec_caps effective = { .effective = one };
	refused(&(struct kist_spec_process){ .capabilities = &effective }, "effective");
}

/* 'unconfined' is what a process is on a host without AppArmor. */
static void test_unconfined(void **state KIST_UNUSED)
{
	if (access("/sys/module/apparmor/parameters/enabled", F_OK) == 0)
		skip();
	struct kist_spec_process process = { .apparmor_profile = (char *)"unconfined" };
	struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
	assert_int_equal(kist_ns_labels_prepare(&process, &policy, NULL), 0);
	assert_null(policy.labels[0].text);
}

/* A label goes to procfs or nowhere: a volume in its place is noticed (CVE-2019-16884). */
static void test_label_needs_procfs(void **state KIST_UNUSED)
{
	char path[] = "/tmp/kist-test-XXXXXX";
	assert_non_null(mkdtemp(path));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "self", 0755), 0);
	assert_int_equal(mkdirat(dir, "self/attr", 0755), 0);
	close(openat(dir, "self/attr/exec", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	assert_int_equal(kist_ns_proc_write(dir, "self/attr/exec", "exec docker-default"), -EXDEV);
	struct stat st;
	assert_int_equal(fstatat(dir, "self/attr/exec", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	close(dir);
	assert_int_equal(kist_remove_tree(AT_FDCWD, path), 0);
}

/* Without no_new_privs a filter takes CAP_SYS_ADMIN; the message says so. */
static void test_seccomp_unprivileged(void **state KIST_UNUSED)
{
	NEEDS_ROOT();
	struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
	assert_int_equal(kist_ns_seccomp_compile_default(0, -1, &policy.seccomp, NULL), 0);
	pid_t pid = child_fork();
	if (pid == 0) {
		struct kist_error err = { 0 };
		if (setresuid(1000, 1000, 1000) < 0)
			_exit(1);
		_exit(kist_ns_seccomp_install(&policy, &err) == -EACCES && strstr(err.text, "CAP_SYS_ADMIN") ? 0 : 2);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
	kist_ns_seccomp_program_free(&policy.seccomp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_non_root),
		cmocka_unit_test(test_ambient),
		cmocka_unit_test(test_inherited_ambient),
		cmocka_unit_test(test_no_capabilities_in_plan),
		cmocka_unit_test(test_refused_plans),
		cmocka_unit_test(test_unconfined),
		cmocka_unit_test(test_label_needs_procfs),
		cmocka_unit_test(test_seccomp_unprivileged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
