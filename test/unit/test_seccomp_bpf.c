/* The generator: every comparison on every corner, order of rules, long jumps, architectures. */
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/error.h"

#include <errno.h>
#include <linux/audit.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "seccomp_simulate.h"

static struct kist_spec_seccomp *profile_new(const char *action)
{
	struct kist_spec_seccomp *profile = calloc(1, sizeof(*profile));
	profile->default_action = strdup(action);
	return profile;
}

static struct kist_spec_syscall *rule_add(struct kist_spec_seccomp *profile, const char *name, const char *action,
                                          int64_t errnum)
{
	struct kist_spec_syscall *rule = kist_ns_seccomp_add(profile, action, errnum);
	kist_strv_add(&rule->names, name);
	return rule;
}

static void arg_add(struct kist_spec_syscall *rule, uint32_t index, const char *op, uint64_t value, uint64_t two)
{
	rule->args = kist_grow(rule->args, rule->n_args + 1, sizeof(*rule->args));
	rule->args[rule->n_args++] =
	        (struct kist_spec_seccomp_arg){ .index = index, .op = strdup(op), .value = value, .value_two = two };
}

static struct kist_ns_seccomp program_of(const struct kist_spec_seccomp *profile)
{
	struct kist_ns_seccomp program = { .listener = -1 };
	struct kist_error err = { 0 };
	if (kist_ns_seccomp_generate(profile, &program, &err) < 0)
		fail_msg("%s", err.text);
	return program;
}

static uint32_t answer(const struct kist_ns_seccomp *program, uint32_t arch, uint32_t nr, uint32_t index,
                       uint64_t value)
{
	struct seccomp_data data = { .nr = (int)nr, .arch = arch };
	data.args[index] = value;
	return seccomp_simulate(program->code, program->len, &data);
}

static bool holds(const char *op, uint64_t arg, uint64_t value, uint64_t two)
{
	op += strlen("SCMP_CMP_");
	return !strcmp(op, "NE")   ? arg != value
	       : !strcmp(op, "LT") ? arg < value
	       : !strcmp(op, "LE") ? arg <= value
	       : !strcmp(op, "EQ") ? arg == value
	       : !strcmp(op, "GE") ? arg >= value
	       : !strcmp(op, "GT") ? arg > value
	                           : (arg & value) == two;
}

static void test_comparisons(void **state KIST_UNUSED)
{
	static const char *const ops[] = { "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
		                           "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ" };
	static const uint64_t corners[] = {
		0,           1,           2,           0x7fffffff,         0xffffffff,         0x100000000,
		0x100000001, 0x1ffffffff, 0x200000000, 0x8000000000000000, 0xffffffff00000000, UINT64_MAX
	};
	for (size_t o = 0; o < KIST_COUNT(ops); o++) {
		for (size_t v = 0; v < KIST_COUNT(corners); v++) {
			for (size_t t = 0; t < (o == 6 ? KIST_COUNT(corners) : 1); t++) {
				struct kist_spec_seccomp *profile = profile_new("SCMP_ACT_ALLOW");
				arg_add(rule_add(profile, "read", "SCMP_ACT_ERRNO", 7), (uint32_t)v % 6, ops[o],
				        corners[v], corners[t]);
				struct kist_ns_seccomp program = program_of(profile);
				for (size_t a = 0; a < KIST_COUNT(corners); a++)
					assert_int_equal(
					        answer(&program, AUDIT_ARCH_X86_64, 0, (uint32_t)v % 6, corners[a]),
					        holds(ops[o], corners[a], corners[v], corners[t])
					                ? SECCOMP_RET_ERRNO | 7
					                : SECCOMP_RET_ALLOW);
				kist_ns_seccomp_program_free(&program);
				kist_ns_seccomp_free(profile);
			}
		}
	}
}

/* Conditions are joined by 'and'; rules are tried in order; one without conditions decides alone, as in libseccomp. */
static void test_order(void **state KIST_UNUSED)
{
	struct kist_spec_seccomp *profile = profile_new("SCMP_ACT_KILL_PROCESS");
	struct kist_spec_syscall *rule = rule_add(profile, "write", "SCMP_ACT_ERRNO", 2);
	arg_add(rule, 0, "SCMP_CMP_EQ", 5, 0);
	arg_add(rule, 1, "SCMP_CMP_EQ", 0, 0);
	arg_add(rule_add(profile, "write", "SCMP_ACT_ERRNO", 3), 0, "SCMP_CMP_GE", 5, 0);
	struct kist_ns_seccomp program = program_of(profile);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 0, 4), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 0, 5), SECCOMP_RET_ERRNO | 2);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 0, 6), SECCOMP_RET_ERRNO | 3);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 2, 0, 0), SECCOMP_RET_KILL_PROCESS);
	kist_ns_seccomp_program_free(&program);

	rule_add(profile, "write", "SCMP_ACT_ALLOW", -1);
	rule_add(profile, "write", "SCMP_ACT_ERRNO", 1);
	program = program_of(profile);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 0, 5), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 0, 4), SECCOMP_RET_ALLOW);
	kist_ns_seccomp_program_free(&program);
	kist_ns_seccomp_free(profile);
}

/* Two conditions on one argument are joined by 'or', as in runc and crun, and with them the rule's others. */
static void test_any(void **state KIST_UNUSED)
{
	struct kist_spec_seccomp *profile = profile_new("SCMP_ACT_ALLOW");
	struct kist_spec_syscall *rule = rule_add(profile, "write", "SCMP_ACT_ERRNO", 2);
	arg_add(rule, 0, "SCMP_CMP_EQ", 5, 0);
	arg_add(rule, 0, "SCMP_CMP_EQ", 7, 0);
	arg_add(rule, 1, "SCMP_CMP_EQ", 9, 0);
	struct kist_ns_seccomp program = program_of(profile);
	for (uint64_t value = 4; value < 9; value++)
		assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 0, value),
		                 value == 5 || value == 7 ? SECCOMP_RET_ERRNO | 2 : SECCOMP_RET_ALLOW);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 1, 9), SECCOMP_RET_ERRNO | 2);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 1, 8), SECCOMP_RET_ALLOW);
	kist_ns_seccomp_program_free(&program);
	kist_ns_seccomp_free(profile);
}

/* More than conditional jumps can span. */
static void test_long_jumps(void **state KIST_UNUSED)
{
	static const char *const names[] = { "read",   "open",  "stat",      "lstat", "lseek",  "mprotect",
		                             "brk",    "ioctl", "readv",     "pipe",  "mremap", "mincore",
		                             "shmget", "dup",   "nanosleep", "alarm", "getpid", "socket" };
	struct kist_spec_seccomp *profile = profile_new("SCMP_ACT_ERRNO");
	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		for (uint64_t v = 0; v < 40; v++)
			arg_add(rule_add(profile, names[i], "SCMP_ACT_ERRNO", (int64_t)(i * 40 + v)), 1, "SCMP_CMP_EQ",
			        v << 32 | i, 0);
		arg_add(rule_add(profile, names[i], "SCMP_ACT_ALLOW", -1), 1, "SCMP_CMP_EQ", 99, 0);
	}
	struct kist_ns_seccomp program = program_of(profile);
	assert_true(program.len > 2500);
	static const uint32_t numbers[] = { 0, 2, 4, 6, 8, 10, 12, 16, 19, 22, 25, 27, 29, 32, 35, 37, 39, 41 };
	for (size_t i = 0; i < KIST_COUNT(numbers); i++) {
		for (uint64_t v = 0; v < 40; v++)
			assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, numbers[i], 1, v << 32 | i),
			                 SECCOMP_RET_ERRNO | (i * 40 + v));
		assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, numbers[i], 1, 99), SECCOMP_RET_ALLOW);
	}
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 1, 0, 0), SECCOMP_RET_ERRNO | EPERM);
	kist_ns_seccomp_program_free(&program);
	for (int i = 0; i < 20; i++)
		arg_add(rule_add(profile, "read", "SCMP_ACT_ERRNO", 1), (uint32_t)i % 6, "SCMP_CMP_GT", 1, 0);
	for (size_t i = 0; i < 500; i++)
		arg_add(rule_add(profile, "write", "SCMP_ACT_ERRNO", 3), 2, "SCMP_CMP_GT", i, 0);
	struct kist_error err = { 0 };
	assert_int_equal(kist_ns_seccomp_generate(profile, &program, &err), -E2BIG);
	assert_non_null(strstr(err.text, "instructions"));
	kist_ns_seccomp_free(profile);
}

/* x32 shares x86_64's architecture: a profile without it must not be passed by its numbers. */
static void test_x32(void **state KIST_UNUSED)
{
	struct kist_spec_seccomp *profile = profile_new("SCMP_ACT_ALLOW");
	rule_add(profile, "read", "SCMP_ACT_ERRNO", 9);
	struct kist_ns_seccomp program = program_of(profile);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 0, 0, 0), SECCOMP_RET_ERRNO | 9);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 0x40000000, 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, UINT32_MAX, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(&program, AUDIT_ARCH_I386, 3, 0, 0), SECCOMP_RET_KILL_PROCESS);
	kist_ns_seccomp_program_free(&program);
	kist_strv_add(&profile->architectures, "SCMP_ARCH_X32");
	kist_strv_add(&profile->architectures, "SCMP_ARCH_X86");
	kist_strv_add(&profile->architectures, "SCMP_ARCH_AARCH64");
	program = program_of(profile);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 0x40000000, 0, 0), SECCOMP_RET_ERRNO | 9);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 0x40000001, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(&program, AUDIT_ARCH_I386, 3, 0, 0), SECCOMP_RET_ERRNO | 9);
	assert_int_equal(answer(&program, AUDIT_ARCH_I386, 0, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(&program, AUDIT_ARCH_AARCH64, 63, 0, 0), SECCOMP_RET_KILL_PROCESS);
	kist_ns_seccomp_program_free(&program);
	kist_ns_seccomp_free(profile);
}

static void test_newer_and_direct(void **state KIST_UNUSED)
{
	struct kist_spec_seccomp *profile = profile_new("SCMP_ACT_ALLOW");
	kist_strv_add(&profile->architectures, "SCMP_ARCH_X86");
	rule_add(profile, "fchmodat2", "SCMP_ACT_ERRNO", 9);
	rule_add(profile, "shmget", "SCMP_ACT_ERRNO", 10);
	struct kist_ns_seccomp program = program_of(profile);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 452, 0, 0), SECCOMP_RET_ERRNO | 9);
	assert_int_equal(answer(&program, AUDIT_ARCH_I386, 452, 0, 0), SECCOMP_RET_ERRNO | 9);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 29, 0, 0), SECCOMP_RET_ERRNO | 10);
	assert_int_equal(answer(&program, AUDIT_ARCH_I386, 395, 0, 0), SECCOMP_RET_ERRNO | 10);
	kist_ns_seccomp_program_free(&program);
	kist_ns_seccomp_free(profile);
}

/* What is newer than a profile that leaves the errno open does not exist, so that C libraries fall back; all else, and
 * every profile that says what it wants, as the specification has it. */
static void test_newer_than_profile(void **state KIST_UNUSED)
{
	enum { PERM = SECCOMP_RET_ERRNO | EPERM, NONE = SECCOMP_RET_ERRNO | ENOSYS };
	static const struct {
		const char *action;
		int64_t errnum; /* -1: open */
		uint32_t known, newer;
	} cases[] = {
		{ "SCMP_ACT_ERRNO", -1, PERM, NONE },
		{ "SCMP_ACT_ERRNO", EPERM, PERM, PERM },
		{ "SCMP_ACT_ERRNO", 7, SECCOMP_RET_ERRNO | 7, SECCOMP_RET_ERRNO | 7 },
		{ "SCMP_ACT_TRACE", -1, SECCOMP_RET_TRACE | EPERM, SECCOMP_RET_TRACE | EPERM },
		{ "SCMP_ACT_KILL_PROCESS", -1, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS },
		{ "SCMP_ACT_LOG", -1, SECCOMP_RET_LOG, SECCOMP_RET_LOG },
	};
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		uint32_t known = cases[i].known, newer = cases[i].newer;
		struct kist_spec_seccomp *profile = profile_new(cases[i].action);
		profile->default_errno_ret = (struct kist_opt){ cases[i].errnum >= 0, cases[i].errnum };
		kist_strv_add(&profile->architectures, "SCMP_ARCH_X86");
		rule_add(profile, "write", "SCMP_ACT_ALLOW", -1);
		/* 439, of a condition that does not hold; x32 has it too */
		arg_add(rule_add(profile, "faccessat2", "SCMP_ACT_ALLOW", -1), 0, "SCMP_CMP_EQ", 5, 0);
		struct kist_ns_seccomp program = program_of(profile);
		for (int arch = 0; arch < 2; arch++) {
			uint32_t token = arch ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64;
			assert_int_equal(answer(&program, token, arch ? 4 : 1, 0, 0), SECCOMP_RET_ALLOW);
			assert_int_equal(answer(&program, token, 0, 0, 0), known);
			assert_int_equal(answer(&program, token, 438, 0, 0), known);
			assert_int_equal(answer(&program, token, 439, 0, 0), known);
			assert_int_equal(answer(&program, token, 439, 0, 5), SECCOMP_RET_ALLOW);
			assert_int_equal(answer(&program, token, 440, 0, 0), newer);
			assert_int_equal(answer(&program, token, 0x3fffffff, 0, 0), newer);
		}
		assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 0x40000001, 0, 0), SECCOMP_RET_KILL_PROCESS);
		assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, UINT32_MAX, 0, 0), known);
		kist_ns_seccomp_program_free(&program);

		kist_strv_add(&profile->architectures, "SCMP_ARCH_X32");
		program = program_of(profile);
		for (uint32_t range = 0; range <= 0x40000000; range += 0x40000000) {
			assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, range + 1, 0, 0), SECCOMP_RET_ALLOW);
			assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, range, 0, 0), known);
			assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, range + 438, 0, 0), known);
			assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, range + 440, 0, 0), newer);
		}
		kist_ns_seccomp_program_free(&program);
		kist_ns_seccomp_free(profile);
	}
	/* One that names nothing of an architecture knows nothing of it. */
	struct kist_spec_seccomp *profile = profile_new("SCMP_ACT_ERRNO");
	kist_strv_add(&profile->architectures, "SCMP_ARCH_X32");
	struct kist_ns_seccomp program = program_of(profile);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 500, 0, 0), PERM);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 0x40000000 + 500, 0, 0), PERM);
	kist_ns_seccomp_program_free(&program);
	kist_ns_seccomp_free(profile);
}

static void test_empty(void **state KIST_UNUSED)
{
	struct kist_spec_seccomp *profile = profile_new("SCMP_ACT_TRAP");
	struct kist_ns_seccomp program = program_of(profile);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 0, 0, 0), SECCOMP_RET_TRAP);
	kist_ns_seccomp_program_free(&program);
	kist_ns_seccomp_free(profile);
}

int main(void)
{
	if (kist_ns_seccomp_native() && strcmp(kist_ns_seccomp_native(), "SCMP_ARCH_X86_64") != 0) {
		print_message("the numbers in this test are x86_64's\n");
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comparisons),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_long_jumps),
		cmocka_unit_test(test_x32),
		cmocka_unit_test(test_newer_and_direct),
		cmocka_unit_test(test_newer_than_profile),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_any),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
