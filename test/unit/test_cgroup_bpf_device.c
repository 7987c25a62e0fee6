/* The device program, run by a small interpreter here; test_cgroup.c gives it to the kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <linux/bpf.h>

#include "cgroup/internal.h"
#include "core/base/base.h"
#include "core/base/error.h"

#define SET(v)                                                                                                         \
	{                                                                                                              \
		.set = true, .value = (v)                                                                              \
	}
#define R     BPF_DEVCG_ACC_READ
#define W     BPF_DEVCG_ACC_WRITE
#define M     BPF_DEVCG_ACC_MKNOD
#define CHAR  BPF_DEVCG_DEV_CHAR
#define BLOCK BPF_DEVCG_DEV_BLOCK

/* Knows the instructions the assembler may use, and fails on any other, on a jump outside and on a register that was
 * not written. Every jump goes forward, so it ends. */
static bool run(const struct bpf_insn *insns, size_t n, const struct bpf_cgroup_dev_ctx *context)
{
	uint64_t reg[11] = { 0 };
	unsigned written = 1U << 1;

	for (size_t pc = 0; pc < n; pc++) {
		const struct bpf_insn *i = &insns[pc];
		uint32_t word;

		assert_true(i->off >= 0);
		if (i->code == (BPF_JMP | BPF_EXIT)) {
			assert_true(written & 1);
			return reg[0] != 0;
		}
		if (i->code == (BPF_LDX | BPF_MEM | BPF_W)) {
			assert_int_equal(i->src_reg, 1);
			assert_true((size_t)i->off + sizeof(word) <= sizeof(*context));
			memcpy(&word, (const char *)context + i->off, sizeof(word));
			reg[i->dst_reg] = word;
			written |= 1U << i->dst_reg;
			continue;
		}
		if (i->code == (BPF_ALU64 | BPF_MOV | BPF_K)) {
			reg[i->dst_reg] = (uint64_t)(int64_t)i->imm;
			written |= 1U << i->dst_reg;
			continue;
		}
		if (i->code == (BPF_ALU64 | BPF_MOV | BPF_X)) {
			assert_true(written & 1U << i->src_reg);
			reg[i->dst_reg] = reg[i->src_reg];
			written |= 1U << i->dst_reg;
			continue;
		}
		assert_true(written & 1U << i->dst_reg);
		if (i->code == (BPF_ALU64 | BPF_AND | BPF_K))
			reg[i->dst_reg] &= (uint64_t)(int64_t)i->imm;
		else if (i->code == (BPF_ALU64 | BPF_RSH | BPF_K))
			reg[i->dst_reg] >>= i->imm;
		else if (i->code == (BPF_JMP | BPF_JNE | BPF_K))
			pc += reg[i->dst_reg] != (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
		else if (i->code == (BPF_JMP | BPF_JEQ | BPF_K))
			pc += reg[i->dst_reg] == (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
		else
			fail_msg("instruction %zu: code 0x%x", pc, i->code);
	}
	fail_msg("ran off the end");
	return false;
}

/* What the rules mean, said the plain way: each access by itself, the last rule that names it. */
static bool model(const struct kist_spec_device_rule *rules, size_t n, uint32_t type, uint32_t access, uint32_t major,
                  uint32_t minor)
{
	static const struct {
		uint32_t bit;
		char name;
	} accesses[] = { { R, 'r' }, { W, 'w' }, { M, 'm' } };

	for (size_t a = 0; a < 3; a++) {
		bool allowed = false;

		if (!(access & accesses[a].bit))
			continue;
		for (size_t i = 0; i < n; i++) {
			const struct kist_spec_device_rule *r = &rules[i];
			char wanted = r->type ? r->type[0] : 'a';

			if ((wanted == 'c' && type != CHAR) || (wanted == 'b' && type != BLOCK))
				continue;
			if ((r->major.set && r->major.value >= 0 && r->major.value != major) ||
			    (r->minor.set && r->minor.value >= 0 && r->minor.value != minor))
				continue;
			if (!r->access || strchr(r->access, accesses[a].name))
				allowed = r->allow;
		}
		if (!allowed)
			return false;
	}
	return true;
}

static void assert_rules(const struct kist_spec_device_rule *rules, size_t n)
{
	struct bpf_insn *insns = NULL;
	size_t n_insns = 0;
	struct kist_error err = { 0 };
	int needed = kist_cgroup_device_program(rules, n, &insns, &n_insns, &err);

	assert_true(needed == 0 || needed == 1);
	for (uint32_t type = BLOCK; type <= CHAR; type++) {
		for (uint32_t access = 1; access <= (R | W | M); access++) {
			for (uint32_t major = 0; major < 4; major++) {
				for (uint32_t minor = 0; minor < 4; minor++) {
					struct bpf_cgroup_dev_ctx c = { (access << 16) | type, major, minor };
					bool got = needed ? run(insns, n_insns, &c) : true;

					assert_int_equal(got, model(rules, n, type, access, major, minor));
				}
			}
		}
	}
	free(insns);
}

static void default_is_deny(void **state KIST_UNUSED)
{
	struct kist_spec_device_rule rule = { .allow = true, .type = (char *)"c", .major = SET(1), .minor = SET(3) };
	struct bpf_cgroup_dev_ctx null = { (R | W) << 16 | CHAR, 1, 3 }, zero = { R << 16 | CHAR, 1, 5 };
	struct bpf_insn *insns = NULL;
	size_t n = 0;

	assert_int_equal(kist_cgroup_device_program(&rule, 1, &insns, &n, NULL), 1);
	assert_true(run(insns, n, &null));
	assert_false(run(insns, n, &zero));
	free(insns);
	assert_rules(&rule, 1);
}

static void last_match_wins_for_each_access(void **state KIST_UNUSED)
{
	const struct kist_spec_device_rule rules[] = {
		{ .allow = false },
		{ .allow = true, .type = (char *)"c", .access = (char *)"m" },
		{ .allow = true, .type = (char *)"c", .major = SET(1), .access = (char *)"rw" },
		{ .allow = false, .type = (char *)"c", .major = SET(1), .minor = SET(2), .access = (char *)"w" },
		{ .allow = true, .type = (char *)"b", .major = SET(-1), .minor = SET(3) },
	};

	for (size_t n = 1; n <= KIST_COUNT(rules); n++)
		assert_rules(rules, n);
}

static void all_allowed_needs_no_program(void **state KIST_UNUSED)
{
	const struct kist_spec_device_rule rules[] = {
		{ .allow = false },
		{ .allow = true, .access = (char *)"rwm" },
		{ .allow = true, .type = (char *)"c", .access = (char *)"r" },
		{ .allow = false, .type = (char *)"b", .major = SET(1), .minor = SET(1), .access = (char *)"w" },
	};
	struct bpf_insn *insns = NULL;
	size_t n = 0;

	assert_int_equal(kist_cgroup_device_program(rules, 2, &insns, &n, NULL), 0);
	assert_int_equal(kist_cgroup_device_program(rules, 3, &insns, &n, NULL), 0);
	assert_null(insns);
	assert_int_equal(kist_cgroup_device_program(rules, 4, &insns, &n, NULL), 1);
	free(insns);
}

static void what_a_catch_all_hides_is_not_assembled(void **state KIST_UNUSED)
{
	const struct kist_spec_device_rule rules[] = {
		{ .allow = true, .type = (char *)"c", .major = SET(1) },
		{ .allow = false },
		{ .allow = true, .type = (char *)"c", .major = SET(2) },
	};
	struct bpf_insn *all = NULL, *tail = NULL;
	size_t n_all = 0, n_tail = 0;

	assert_int_equal(kist_cgroup_device_program(rules, 3, &all, &n_all, NULL), 1);
	assert_int_equal(kist_cgroup_device_program(rules + 1, 2, &tail, &n_tail, NULL), 1);
	assert_int_equal(n_all, n_tail);
	assert_memory_equal(all, tail, n_all * sizeof(*all));
	free(all);
	free(tail);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

static void random_rules_agree_with_the_model(void **state KIST_UNUSED)
{
	static const char *const types[] = { NULL, "a", "b", "c" };
	static const char *const accesses[] = { NULL, "r", "w", "m", "rw", "rm", "wm", "rwm" };
	uint32_t seed = 42;

	for (int round = 0; round < 3000; round++) {
		struct kist_spec_device_rule rules[8] = { 0 };
		size_t n = 1 + next_random(&seed) % KIST_COUNT(rules);

		for (size_t i = 0; i < n; i++) {
			rules[i].allow = next_random(&seed) % 2;
			rules[i].type = (char *)types[next_random(&seed) % KIST_COUNT(types)];
			rules[i].access = (char *)accesses[next_random(&seed) % KIST_COUNT(accesses)];
			rules[i].major =
			        (struct kist_opt){ next_random(&seed) % 2, (int64_t)(next_random(&seed) % 4) - 1 };
			rules[i].minor =
			        (struct kist_opt){ next_random(&seed) % 2, (int64_t)(next_random(&seed) % 4) - 1 };
		}
		assert_rules(rules, n);
	}
}

static void bad_rules_are_named(void **state KIST_UNUSED)
{
	static const struct {
		struct kist_spec_device_rule rule;
		const char *text;
	} bad[] = {
		{ { .type = (char *)"p" }, "linux.resources.devices[1].type: 'p' is none of a, c, b" },
		{ { .access = (char *)"rx" }, "linux.resources.devices[1].access: 'rx' is not made of r, w, m" },
		{ { .access = (char *)"" }, "linux.resources.devices[1].access: '' is not made of r, w, m" },
		{ { .major = SET(4096) }, "linux.resources.devices[1].major: 4096 is out of range" },
		{ { .minor = SET(-2) }, "linux.resources.devices[1].minor: -2 is out of range" },
	};

	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_spec_device_rule rules[2] = { { .allow = true }, bad[i].rule };
		struct bpf_insn *insns = NULL;
		size_t n = 0;
		struct kist_error err = { 0 };

		assert_true(kist_cgroup_device_program(rules, 2, &insns, &n, &err) < 0);
		assert_string_equal(err.text, bad[i].text);
		assert_null(insns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_is_deny),
		cmocka_unit_test(last_match_wins_for_each_access),
		cmocka_unit_test(all_allowed_needs_no_program),
		cmocka_unit_test(what_a_catch_all_hides_is_not_assembled),
		cmocka_unit_test(random_rules_agree_with_the_model),
		cmocka_unit_test(bad_rules_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
