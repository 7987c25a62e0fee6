/* Seccomp profile files: podman's and docker's format, the OCI form, and what is wrong with one. */
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct kist_spec_seccomp *read_ok(const char *json, char *const *caps)
{
	struct kist_spec_seccomp *profile = NULL;
	struct kist_error err = { 0 };
	if (kist_ns_seccomp_read(json, strlen(json), caps, &profile, &err) < 0)
		fail_msg("%s: %s", json, err.text);
	return profile;
}

static void read_bad(const char *json, const char *text)
{
	struct kist_spec_seccomp *profile = NULL;
	struct kist_error err = { 0 };
	assert_true(kist_ns_seccomp_read(json, strlen(json), NULL, &profile, &err) < 0);
	assert_null(profile);
	if (!strstr(err.text, text))
		fail_msg("%s: '%s' does not hold '%s'", json, err.text, text);
}

static void test_oci_form(void **state KIST_UNUSED)
{
	struct kist_spec_seccomp *profile =
	        read_ok("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"architectures\":[\"SCMP_ARCH_"
	                "X86_64\",\"SCMP_ARCH_X86\"],"
	                "\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"listenerPath\":\"/a\",\"listenerMetadata\":\"m\","
	                "\"syscalls\":[{\"names\":[\"read\",\"write\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":null},"
	                "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":5,\"args\":[{"
	                "\"index\":0,\"value\":18446744073709551615,"
	                "\"valueTwo\":2,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}",
	                NULL);
	assert_string_equal(profile->default_action, "SCMP_ACT_ERRNO");
	assert_int_equal(profile->default_errno_ret.value, 38);
	assert_int_equal(kist_strv_len(profile->architectures), 2);
	assert_string_equal(profile->flags[0], "SECCOMP_FILTER_FLAG_LOG");
	assert_string_equal(profile->listener_path, "/a");
	assert_string_equal(profile->listener_metadata, "m");
	assert_int_equal(profile->n_syscalls, 2);
	assert_string_equal(profile->syscalls[0].names[1], "write");
	assert_false(profile->syscalls[0].errno_ret.set);
	assert_int_equal(profile->syscalls[1].errno_ret.value, 5);
	assert_int_equal(profile->syscalls[1].args[0].value, UINT64_MAX);
	assert_int_equal(profile->syscalls[1].args[0].value_two, 2);
	assert_string_equal(profile->syscalls[1].args[0].op, "SCMP_CMP_MASKED_EQ");
	kist_ns_seccomp_free(profile);
}

static bool has(const char *condition, char *const *caps)
{
	KIST_FREE char *json = kist_asprintf(
	        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrno\":\"ENOSYS\",\"syscalls\":[{\"name\":\"read\","
	        "\"action\":\"SCMP_ACT_ALLOW\",%s}]}",
	        condition);
	struct kist_spec_seccomp *profile = read_ok(json, caps);
	bool found = profile->n_syscalls == 1;
	assert_int_equal(profile->default_errno_ret.value, ENOSYS);
	kist_ns_seccomp_free(profile);
	return found;
}

static void test_conditions(void **state KIST_UNUSED)
{
	char *admin[] = { (char *)"CAP_SYS_ADMIN", NULL };
	char *both[] = { (char *)"SYS_ADMIN", (char *)"CAP_SYS_TIME", NULL };
	assert_true(has("\"includes\":{},\"excludes\":{}", NULL));
	assert_true(has("\"includes\":null", NULL));
	assert_false(has("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}", NULL));
	assert_true(has("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}", admin));
	assert_false(has("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_SYS_TIME\"]}", admin));
	assert_true(has("\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_SYS_TIME\"]}", both));
	assert_true(has("\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}", NULL));
	assert_false(has("\"excludes\":{\"caps\":[\"CAP_SYS_TIME\",\"CAP_SYS_ADMIN\"]}", admin));
	assert_true(has("\"includes\":{\"minKernel\":\"4.8\"}", NULL));
	assert_false(has("\"includes\":{\"minKernel\":\"999.0\"}", NULL));
	assert_false(has("\"excludes\":{\"minKernel\":\"4.8\"}", NULL));
	assert_false(has("\"includes\":{\"arches\":[\"vax\"]}", NULL));
#if defined(__x86_64__)
	assert_true(has("\"includes\":{\"arches\":[\"vax\",\"amd64\"]}", NULL));
	assert_false(has("\"excludes\":{\"arches\":[\"amd64\"]}", NULL));
#endif
}

static void test_arch_map(void **state KIST_UNUSED)
{
	KIST_FREE char *json = kist_asprintf(
	        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_PARISC\","
	        "\"subArchitectures\":[\"SCMP_ARCH_VAX\"]},{\"architecture\":\"%s\",\"subArchitectures\":[\"SCMP_ARCH_"
	        "X32\"]}]}",
	        kist_ns_seccomp_native());
	struct kist_spec_seccomp *profile = read_ok(json, NULL);
	assert_int_equal(kist_strv_len(profile->architectures), 2);
	assert_string_equal(profile->architectures[0], kist_ns_seccomp_native());
	assert_string_equal(profile->architectures[1], "SCMP_ARCH_X32");
	kist_ns_seccomp_free(profile);
}

static void test_bad(void **state KIST_UNUSED)
{
	read_bad("", "");
	read_bad("[]", "object");
	read_bad("{}", "defaultAction");
	read_bad("{\"defaultAction\":7}", "defaultAction");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrno\":\"EWHAT\"}", "EWHAT");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"a\"],\"archMap\":[{\"architecture\":\"b\"}"
	         "]}",
	         "archMap");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\"}]}", "names");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"a\",\"names\":[\"b\"],\"action\":"
	         "\"SCMP_ACT_ALLOW\"}]}",
	         "name");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"b\"]}]}", "action");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"b\"],\"action\":\"SCMP_ACT_ALLOW\","
	         "\"errnoRet\":3}]}",
	         "errnoRet");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"b\"],\"action\":\"SCMP_ACT_ALLOW\","
	         "\"includes\":{\"caps\":[\"X\"]}}]}",
	         "includes.caps[0]");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"b\"],\"action\":\"SCMP_ACT_ALLOW\","
	         "\"excludes\":{\"minKernel\":\"4\"}}]}",
	         "excludes.minKernel");
	read_bad("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"b\"],\"action\":\"SCMP_ACT_ALLOW\","
	         "\"args\":[{\"index\":-1}]}]}",
	         "args");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oci_form),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_arch_map),
		cmocka_unit_test(test_bad),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
