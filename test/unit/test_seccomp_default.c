/* The built-in profile: the same answers as the profile podman ships, for every system call, capability set and
 * architecture. */
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "seccomp_simulate.h"

#define REFERENCE "/usr/share/containers/seccomp.json"
#define X32       0x40000000U

static uint32_t answer(const struct kist_ns_seccomp *program, uint32_t arch, uint32_t nr, uint64_t a0, uint64_t a2)
{
	struct seccomp_data data = { .nr = (int)nr, .arch = arch, .args = { a0, 0, a2 } };
	return seccomp_simulate(program->code, program->len, &data);
}

static struct kist_ns_seccomp program_of(const struct kist_spec_seccomp *profile)
{
	struct kist_error err = { 0 };
	struct kist_ns_seccomp program = { .listener = -1 };
	if (kist_ns_seccomp_generate(profile, &program, &err) < 0)
		fail_msg("%s", err.text);
	return program;
}

static struct kist_ns_seccomp built_in(uint64_t caps)
{
	struct kist_spec_seccomp *profile = kist_ns_seccomp_default_mask(caps);
	struct kist_ns_seccomp program = program_of(profile);
	kist_ns_seccomp_free(profile);
	return program;
}

static struct kist_ns_seccomp reference(uint64_t caps)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_STRV char **names = NULL;
	struct kist_error err = { 0 };
	struct kist_spec_seccomp *profile = NULL;
	assert_int_equal(kist_read_file(AT_FDCWD, REFERENCE, 1 << 20, &text), 0);
	for (unsigned i = 0; i < 41; i++) {
		if (caps >> i & 1)
			kist_strv_add(&names, kist_ns_cap_name(i));
	}
	if (kist_ns_seccomp_read(text.data, text.len, names, &profile, &err) < 0)
		fail_msg("%s", err.text);
	struct kist_ns_seccomp program = program_of(profile);
	kist_ns_seccomp_free(profile);
	return program;
}

/* Where the two differ on purpose. */
static bool ours_is_stricter(const char *name, uint64_t a0, uint64_t a2, uint64_t caps)
{
	if (kist_streq(name, "socketcall"))
		return true;
	/* clone and unshare differ by a flag that is not among the arguments tried: test_cgroup_namespace */
	if (kist_streq(name, "clone3"))
		return !(caps & 1ULL << CAP_SYS_ADMIN);
	if (!kist_streq(name, "socket"))
		return false;
	return a0 == 38 || a0 == 40 || a0 > 63 || (a0 == 16 && a2 > 31);
}

static const struct {
	uint32_t token, audit;
} arches[] = {
	{ SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64 },
	{ SCMP_ARCH_X86, AUDIT_ARCH_I386 },
	{ SCMP_ARCH_X32, AUDIT_ARCH_X86_64 },
};

static void compare_number(const struct kist_ns_seccomp *ours, const struct kist_ns_seccomp *theirs, size_t arch,
                           uint32_t nr, uint64_t caps)
{
	/* libseccomp has no name for i386's direct socket call */
	char *name = arches[arch].token == SCMP_ARCH_X86 && nr == 359
	                     ? strdup("socket")
	                     : seccomp_syscall_resolve_num_arch(arches[arch].token, (int)nr);
	bool by_argument = kist_streq(name, "socket") || kist_streq(name, "personality");
	static const uint64_t special[] = { 0x20000, 0x20008, 0x20001, 0xffffffff };
	for (uint64_t i = 0; i < (by_argument ? 64 + KIST_COUNT(special) : 1); i++) {
		uint64_t a0 = i < 64 ? i : special[i - 64];
		for (uint64_t a2 = 0; a2 < (by_argument ? 40 : 1); a2++) {
			if (ours_is_stricter(name, a0, a2, caps))
				continue;
			uint32_t a = answer(ours, arches[arch].audit, nr, a0, a2),
			         b = answer(theirs, arches[arch].audit, nr, a0, a2);
			if (a != b)
				fail_msg("%s (0x%x) args %llu,,%llu caps %llx: 0x%x, reference 0x%x", name ? name : "?",
				         nr, (unsigned long long)a0, (unsigned long long)a2, (unsigned long long)caps,
				         a, b);
		}
	}
	free(name);
}

static void compare_all(const struct kist_ns_seccomp *ours, const struct kist_ns_seccomp *theirs, uint64_t caps)
{
	for (size_t arch = 0; arch < KIST_COUNT(arches); arch++) {
		for (uint32_t nr = 0; nr < 700; nr++)
			compare_number(ours, theirs, arch, arches[arch].token == SCMP_ARCH_X32 ? nr | X32 : nr, caps);
	}
}

static void test_same_as_reference(void **state KIST_UNUSED)
{
	if (access(REFERENCE, R_OK) < 0) {
		assert_null(getenv("KIST_TEST_REFERENCE")); /* set where the package is installed */
		print_message("no %s\n", REFERENCE);
		skip();
	}
	uint64_t sets[41 + 3] = { 0, ~0ULL >> 23, 0x800405fb };
	for (unsigned i = 0; i < 41; i++)
		sets[i + 3] = 1ULL << i;
	for (size_t i = 0; i < KIST_COUNT(sets); i++) {
		struct kist_ns_seccomp ours = built_in(sets[i]), theirs = reference(sets[i]);
		compare_all(&ours, &theirs, sets[i]);
		kist_ns_seccomp_program_free(&ours);
		kist_ns_seccomp_program_free(&theirs);
	}
}

static void test_sockets(void **state KIST_UNUSED)
{
	struct kist_ns_seccomp program = built_in(0);
	uint32_t eperm = SECCOMP_RET_ERRNO | EPERM;
	static const struct {
		uint32_t audit, nr;
	} sockets[] = { { AUDIT_ARCH_X86_64, 41 }, { AUDIT_ARCH_X86_64, 41 | X32 }, { AUDIT_ARCH_I386, 359 } };
	for (size_t i = 0; i < KIST_COUNT(sockets); i++) {
		assert_int_equal(answer(&program, sockets[i].audit, sockets[i].nr, 38, 0), eperm);
		assert_int_equal(answer(&program, sockets[i].audit, sockets[i].nr, 40, 0), eperm);
		/* the kernel takes an int: the upper half must not hide the family */
		assert_int_equal(answer(&program, sockets[i].audit, sockets[i].nr, 1ULL << 32 | 38, 0), eperm);
		assert_int_equal(answer(&program, sockets[i].audit, sockets[i].nr, ~0ULL << 32 | 40, 0), eperm);
		assert_int_equal(answer(&program, sockets[i].audit, sockets[i].nr, 16, 1ULL << 32 | 9),
		                 SECCOMP_RET_ERRNO | EINVAL);
		assert_int_equal(answer(&program, sockets[i].audit, sockets[i].nr, 1000, 0),
		                 SECCOMP_RET_ERRNO | ENOSYS);
		for (uint64_t family = 1; family < 38; family++)
			assert_int_equal(answer(&program, sockets[i].audit, sockets[i].nr, family, 0),
			                 SECCOMP_RET_ALLOW);
	}
	assert_int_equal(answer(&program, AUDIT_ARCH_I386, 102, 1, 0), SECCOMP_RET_ERRNO | ENOSYS);
	kist_ns_seccomp_program_free(&program);
}

static void test_cgroup_namespace(void **state KIST_UNUSED)
{
	const uint64_t flag = 0x02000000; /* CLONE_NEWCGROUP */
	const uint32_t eperm = SECCOMP_RET_ERRNO | EPERM;
	struct kist_ns_seccomp without = built_in(0), with = built_in(1ULL << CAP_SYS_ADMIN);
	static const struct {
		uint32_t audit, clone, unshare, clone3;
	} numbers[] = { { AUDIT_ARCH_X86_64, 56, 272, 435 },
		        { AUDIT_ARCH_X86_64, 56 | X32, 272 | X32, 435 | X32 },
		        { AUDIT_ARCH_I386, 120, 310, 435 } };
	for (size_t i = 0; i < KIST_COUNT(numbers); i++) {
		uint32_t audit = numbers[i].audit;
		assert_int_equal(answer(&without, audit, numbers[i].clone, flag, 0), eperm);
		assert_int_equal(answer(&without, audit, numbers[i].unshare, flag, 0), eperm);
		assert_int_equal(answer(&without, audit, numbers[i].unshare, 0x10000000 | flag, 0), eperm);
		/* The kernel takes the lower half. */
		assert_int_equal(answer(&without, audit, numbers[i].unshare, 1ULL << 32 | flag, 0), eperm);
		assert_int_equal(answer(&without, audit, numbers[i].clone3, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
		/* User namespaces and threads are as they were. */
		assert_int_equal(answer(&without, audit, numbers[i].clone, 0x10000011, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(answer(&without, audit, numbers[i].clone, 0x3d0f00, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(answer(&without, audit, numbers[i].unshare, 0x10020000, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(answer(&with, audit, numbers[i].clone, flag, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(answer(&with, audit, numbers[i].unshare, flag, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(answer(&with, audit, numbers[i].clone3, 0, 0), SECCOMP_RET_ALLOW);
	}
	kist_ns_seccomp_program_free(&without);
	kist_ns_seccomp_program_free(&with);
}

static void test_foreign_architecture_dies(void **state KIST_UNUSED)
{
	struct kist_ns_seccomp program = built_in(0);
	assert_int_equal(answer(&program, AUDIT_ARCH_AARCH64, 1, 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, 5000, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer(&program, AUDIT_ARCH_X86_64, UINT32_MAX, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	print_message("%u instructions\n", program.len);
	kist_ns_seccomp_program_free(&program);
}

/* libseccomp as the oracle of the generator: its program of the same profile answers alike. */
static struct kist_ns_seccomp by_libseccomp(const struct kist_spec_seccomp *profile)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	seccomp_arch_add(context, SCMP_ARCH_X32);
	for (size_t i = 0; i < profile->n_syscalls; i++) {
		const struct kist_spec_syscall *rule = &profile->syscalls[i];
		struct scmp_arg_cmp args[6];
		for (size_t a = 0; a < rule->n_args; a++)
			args[a] = SCMP_CMP64(rule->args[a].index, SCMP_CMP_MASKED_EQ, rule->args[a].value,
			                     rule->args[a].value_two);
		uint32_t action = kist_streq(rule->action, "SCMP_ACT_ALLOW")
		                          ? SCMP_ACT_ALLOW
		                          : SCMP_ACT_ERRNO((uint32_t)rule->errno_ret.value);
		for (size_t n = 0; rule->names[n]; n++) {
			int nr = seccomp_syscall_resolve_name(rule->names[n]);
			if (action != SCMP_ACT_ERRNO(ENOSYS) && nr != __NR_SCMP_ERROR)
				assert_int_equal(
				        seccomp_rule_add_array(context, action, nr, (unsigned)rule->n_args, args), 0);
		}
	}
	int fd = memfd_create("bpf", MFD_CLOEXEC);
	assert_int_equal(seccomp_export_bpf(context, fd), 0);
	seccomp_release(context);
	off_t size = lseek(fd, 0, SEEK_END);
	struct kist_ns_seccomp out = { .code = malloc((size_t)size),
		                       .len = (unsigned short)((size_t)size / sizeof(struct sock_filter)),
		                       .listener = -1 };
	assert_int_equal(pread(fd, out.code, (size_t)size, 0), size);
	close(fd);
	return out;
}

static void test_same_as_libseccomp(void **state KIST_UNUSED)
{
	uint64_t sets[] = { 0, ~0ULL >> 23, 1ULL << CAP_AUDIT_WRITE };
	for (size_t s = 0; s < KIST_COUNT(sets); s++) {
		struct kist_spec_seccomp *profile = kist_ns_seccomp_default_mask(sets[s]);
		struct kist_ns_seccomp ours = program_of(profile), theirs = by_libseccomp(profile);
		for (uint32_t nr = 0; nr < 1400; nr++) {
			uint32_t number = nr < 700 ? nr : (nr - 700) | X32;
			bool socket_call = (number & ~X32) == 41 || (number & ~X32) == 135;
			for (uint64_t a0 = 0; a0 < (socket_call ? 70 : 1); a0++) {
				for (uint64_t a2 = 0; a2 < (socket_call ? 40 : 1); a2++)
					assert_int_equal(answer(&ours, AUDIT_ARCH_X86_64, number, a0, a2),
					                 answer(&theirs, AUDIT_ARCH_X86_64, number, a0, a2));
			}
		}
		kist_ns_seccomp_program_free(&ours);
		kist_ns_seccomp_program_free(&theirs);
		kist_ns_seccomp_free(profile);
	}
}

static void test_names_known(void **state KIST_UNUSED)
{
	char *caps[] = { (char *)"CAP_SYS_CHROOT", NULL };
	struct kist_spec_seccomp *profile = kist_ns_seccomp_default(caps);
	for (size_t i = 0; i < profile->n_syscalls; i++) {
		for (char **name = profile->syscalls[i].names; *name; name++) {
			if (seccomp_syscall_resolve_name(*name) == __NR_SCMP_ERROR)
				print_message("libseccomp does not know %s\n", *name);
			assert_true(**name);
		}
	}
	assert_true(kist_strv_has(profile->syscalls[0].names, "chroot"));
	assert_false(kist_strv_has(profile->syscalls[0].names, "acct"));
	assert_true(kist_ns_seccomp_default_caps() & 1ULL << CAP_SYS_CHROOT);
	kist_ns_seccomp_free(profile);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_reference),  cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_cgroup_namespace),   cmocka_unit_test(test_foreign_architecture_dies),
		cmocka_unit_test(test_same_as_libseccomp), cmocka_unit_test(test_names_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
