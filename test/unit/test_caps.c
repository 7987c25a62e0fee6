/* Capability names, masks and sets. */
#include "test/unit/child.h"
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/proc.h"

#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

/* libcap's names are the oracle. */
static void test_names(void **state KIST_UNUSED)
{
	for (unsigned i = 0; i <= kist_ns_cap_last() && i < 41; i++) {
		char *name = cap_to_name((cap_value_t)i);
		assert_int_equal(strcasecmp(name, kist_ns_cap_name(i)), 0);
		assert_int_equal(kist_ns_cap_number(name), i);
		assert_int_equal(kist_ns_cap_number(name + 4), i);
		cap_free(name);
	}
	assert_null(kist_ns_cap_name(kist_ns_cap_last() + 1));
	assert_null(kist_ns_cap_name(1000));
	assert_true(kist_ns_cap_known("chown"));
	assert_true(kist_ns_cap_known("cap_Chown"));
	assert_true(kist_ns_cap_known("ALL"));
	assert_true(kist_ns_cap_known("all"));
	assert_false(kist_ns_cap_known("CAP_"));
	assert_false(kist_ns_cap_known(""));
	assert_false(kist_ns_cap_known("CHOWN "));
	assert_false(kist_ns_cap_known("CAP_CAP_CHOWN"));
	assert_int_equal(kist_ns_cap_number(NULL), -EINVAL);
}

static void test_mask(void **state KIST_UNUSED)
{
	uint64_t mask = 7;
	char *good[] = { (char *)"CHOWN", (char *)"CAP_KILL", NULL };
	char *bad[] = { (char *)"CHOWN", (char *)"CAP_NO", NULL };
	char *all[] = { (char *)"ALL", NULL };
	struct kist_error err = { 0 };
	assert_int_equal(kist_ns_cap_mask(bad, &mask, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'CAP_NO'"));
	assert_int_equal(mask, 7);
	assert_int_equal(kist_ns_cap_mask(good, &mask, NULL), 0);
	assert_int_equal(mask, 1ULL << CAP_CHOWN | 1ULL << CAP_KILL);
	assert_int_equal(kist_ns_cap_mask(all, &mask, NULL), 0);
	assert_int_equal(mask, (2ULL << kist_ns_cap_last()) - 1);
	assert_int_equal(kist_ns_cap_mask(NULL, &mask, NULL), 0);
	assert_int_equal(mask, 0);
}

static void test_available(void **state KIST_UNUSED)
{
	KIST_STRV char **names = kist_ns_caps_available();
	cap_t caps = cap_get_proc();
	size_t count = 0;
	for (unsigned i = 0; i <= kist_ns_cap_last() && i < 41; i++) {
		cap_flag_value_t permitted = CAP_CLEAR;
		cap_get_flag(caps, (cap_value_t)i, CAP_PERMITTED, &permitted);
		bool have = permitted == CAP_SET && cap_get_bound((cap_value_t)i) == 1;
		assert_int_equal(kist_strv_has(names, kist_ns_cap_name(i)), have);
		count += have;
	}
	assert_int_equal(kist_strv_len(names), count);
	cap_free(caps);
}

static void test_resolve(void **state KIST_UNUSED)
{
	char *two[] = { (char *)"CAP_CHOWN", (char *)"CAP_KILL", NULL };
	char *one[] = { (char *)"CAP_KILL", NULL };
	struct kist_spec_caps caps = {
		.bounding = two, .effective = two, .permitted = two, .inheritable = one, .ambient = one
	};
	struct kist_spec_process process = { .capabilities = &caps };
	struct kist_ns_caps out = { 0 };
	assert_int_equal(kist_ns_caps_resolve(&process, false, &out, NULL), 0);
	assert_int_equal(out.permitted, 1ULL << CAP_CHOWN | 1ULL << CAP_KILL);
	assert_int_equal(out.ambient, 1ULL << CAP_KILL);
	process.user.uid = 7;
	assert_int_equal(kist_ns_caps_resolve(&process, false, &out, NULL), 0);
	assert_int_equal(out.permitted, 1ULL << CAP_KILL);
	assert_int_equal(out.effective, 1ULL << CAP_KILL);
	assert_int_equal(out.bounding, 1ULL << CAP_CHOWN | 1ULL << CAP_KILL);
	assert_int_equal(kist_ns_caps_resolve(&process, true, &out, NULL), 0);
	assert_int_equal(out.permitted, 0); /* privileged or not: a user is not root */
	assert_int_equal(out.inheritable, 0);
}

/* Not granted, and no failure: a name that no kernel knows, an ambient one that is not inheritable. */
static void test_not_granted(void **state KIST_UNUSED)
{
	char *names[] = { (char *)"CAP_KILL", (char *)"CAP_NONE", NULL };
	struct kist_spec_caps caps = { .bounding = names, .effective = names, .permitted = names, .ambient = names };
	struct kist_spec_process process = { .capabilities = &caps, .user.uid = 0 };
	struct kist_ns_caps out = { 0 };
	assert_int_equal(kist_ns_caps_resolve(&process, false, &out, NULL), 0);
	assert_int_equal(out.bounding, 1ULL << CAP_KILL);
	assert_int_equal(out.permitted, 1ULL << CAP_KILL);
	assert_int_equal(out.ambient, 0);
	process.user.uid = 7;
	assert_int_equal(kist_ns_caps_resolve(&process, false, &out, NULL), 0);
	assert_int_equal(out.permitted, 0);
}

/* A capability this process lacks is named. */
static void test_set_missing(void **state KIST_UNUSED)
{
	pid_t pid = child_fork();
	if (pid == 0) {
		struct kist_ns_caps none = { 0 }, wants = { .permitted = 1ULL << CAP_SYS_TIME };
		struct kist_error err = { 0 };
		if (kist_ns_caps_set(&none, kist_ns_cap_last(), &err) < 0)
			_exit(1);
		if (kist_ns_caps_set(&wants, kist_ns_cap_last(), &err) != -EPERM || !strstr(err.text, "CAP_SYS_TIME"))
			_exit(2);
		kist_error_clear(&err);
		if (prctl(PR_CAPBSET_READ, CAP_SYS_TIME, 0, 0, 0) == 1 &&
		    kist_ns_caps_drop_bounding(0, kist_ns_cap_last(), &err) != -EPERM)
			_exit(3);
		_exit(0);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),   cmocka_unit_test(test_mask),        cmocka_unit_test(test_available),
		cmocka_unit_test(test_resolve), cmocka_unit_test(test_set_missing), cmocka_unit_test(test_not_granted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
