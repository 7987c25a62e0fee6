/* From a seccomp profile to a BPF program.
 *
 * For each architecture the rules are sorted by system call number, neighbours with one answer become one range, and a
 * binary search over the ranges picks it. Among several rules for one call the first without conditions decides alone,
 * as in libseccomp, so that a profile means here what it means elsewhere; else the first whose conditions hold; what no
 * rule names or matches gets the default action. */
#include "ns/apply.h"

#include "core/base/error.h"
#include "core/base/log.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

/* --- names -------------------------------------------------------------------------------------------------------- */

enum family { FAMILY_X86, FAMILY_ARM, FAMILY_MIPS, FAMILY_PPC, FAMILY_S390, FAMILY_PARISC, FAMILY_RISCV };

#define X32_BIT 0x40000000U

static const struct architecture {
	const char *name;
	uint32_t token; /* the kernel's AUDIT_ARCH_* but for x32, which shares that of x86_64 */
	enum family family;
} architectures[] = {
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, FAMILY_X86 },
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86, FAMILY_X86 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32, FAMILY_X86 },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, FAMILY_ARM },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM, FAMILY_ARM },
	{ "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS, FAMILY_MIPS },
	{ "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64, FAMILY_MIPS },
	{ "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32, FAMILY_MIPS },
	{ "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL, FAMILY_MIPS },
	{ "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64, FAMILY_MIPS },
	{ "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32, FAMILY_MIPS },
	{ "SCMP_ARCH_PPC", SCMP_ARCH_PPC, FAMILY_PPC },
	{ "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64, FAMILY_PPC },
	{ "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE, FAMILY_PPC },
	{ "SCMP_ARCH_S390", SCMP_ARCH_S390, FAMILY_S390 },
	{ "SCMP_ARCH_S390X", SCMP_ARCH_S390X, FAMILY_S390 },
	{ "SCMP_ARCH_PARISC", SCMP_ARCH_PARISC, FAMILY_PARISC },
	{ "SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64, FAMILY_PARISC },
	{ "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64, FAMILY_RISCV },
};

static const struct architecture *architecture_find(const char *name)
{
	for (size_t i = 0; i < KIST_COUNT(architectures); i++) {
		if (kist_streq(architectures[i].name, name))
			return &architectures[i];
	}
	return NULL;
}

static const struct architecture *architecture_native(void)
{
	uint32_t token = seccomp_arch_native();
	for (size_t i = 0; i < KIST_COUNT(architectures); i++) {
		if (architectures[i].token == token)
			return &architectures[i];
	}
	return NULL;
}

const char *kist_ns_seccomp_native(void)
{
	const struct architecture *native = architecture_native();
	return native ? native->name : NULL;
}

static const struct {
	const char *name;
	uint32_t value;
	bool data; /* takes errnoRet; EPERM without */
} actions[] = {
	{ "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW, false },
	{ "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, true },
	{ "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD, false },
	{ "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD, false },
	{ "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS, false },
	{ "SCMP_ACT_TRAP", SECCOMP_RET_TRAP, false },
	{ "SCMP_ACT_TRACE", SECCOMP_RET_TRACE, true },
	{ "SCMP_ACT_LOG", SECCOMP_RET_LOG, false },
	{ "SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF, false },
};

static int action_resolve(const char *name, struct kist_opt errno_ret, uint32_t *out)
{
	for (size_t i = 0; i < KIST_COUNT(actions); i++) {
		if (!kist_streq(actions[i].name, name))
			continue;
		if (!actions[i].data) {
			*out = actions[i].value;
			return errno_ret.set ? -EDOM : 0;
		}
		int64_t data = errno_ret.set ? errno_ret.value : EPERM;
		if (data < 0 || data > (actions[i].value == SECCOMP_RET_ERRNO ? 4095 : 65535))
			return -ERANGE;
		*out = actions[i].value | (uint32_t)data;
		return 0;
	}
	return -EINVAL;
}

static int action_fail(struct kist_error *err, int r, const char *where, const char *name)
{
	const char *why = r == -EDOM     ? "takes no errnoRet"
	                  : r == -ERANGE ? "errnoRet is out of range"
	                                 : "is not an action";
	return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s: '%s' %s", where, name ? name : "", why);
}

enum compare { CMP_NE, CMP_LT, CMP_LE, CMP_EQ, CMP_GE, CMP_GT, CMP_MASKED_EQ };
static const struct kist_name compares[] = {
	{ "SCMP_CMP_NE", CMP_NE },
	{ "SCMP_CMP_LT", CMP_LT },
	{ "SCMP_CMP_LE", CMP_LE },
	{ "SCMP_CMP_EQ", CMP_EQ },
	{ "SCMP_CMP_GE", CMP_GE },
	{ "SCMP_CMP_GT", CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", CMP_MASKED_EQ },
	{ NULL, 0 },
};

/* Newer than the libseccomp of Debian 12; since 5.x all architectures number new calls alike. */
static const struct {
	const char *name;
	int number;
} newer[] = {
	{ "process_mrelease", 448 },  { "futex_waitv", 449 },      { "set_mempolicy_home_node", 450 },
	{ "cachestat", 451 },         { "fchmodat2", 452 },        { "map_shadow_stack", 453 },
	{ "futex_wake", 454 },        { "futex_wait", 455 },       { "futex_requeue", 456 },
	{ "statmount", 457 },         { "listmount", 458 },        { "lsm_get_self_attr", 459 },
	{ "lsm_set_self_attr", 460 }, { "lsm_list_modules", 461 }, { "mseal", 462 },
	{ "setxattrat", 463 },        { "getxattrat", 464 },       { "listxattrat", 465 },
	{ "removexattrat", 466 },     { "open_tree_attr", 467 },   { "file_getattr", 468 },
	{ "file_setattr", 469 },
};

/* Calls that began as numbers of socketcall(2) and ipc(2) and later got one of their own (Linux 4.3 and 5.1).
 * libseccomp answers with a pseudo number for both ways; here each way is a call of its own. 0: none on that
 * architecture. */
static const struct {
	const char *name;
	uint16_t x86, s390, ppc;
} direct[] = {
	{ "socket", 359, 359, 326 },      { "socketpair", 360, 360, 333 },  { "bind", 361, 361, 327 },
	{ "connect", 362, 362, 328 },     { "listen", 363, 363, 329 },      { "accept", 0, 0, 330 },
	{ "accept4", 364, 364, 344 },     { "getsockopt", 365, 365, 340 },  { "setsockopt", 366, 366, 339 },
	{ "getsockname", 367, 367, 331 }, { "getpeername", 368, 368, 332 }, { "send", 0, 0, 334 },
	{ "sendto", 369, 369, 335 },      { "sendmsg", 370, 370, 341 },     { "recv", 0, 0, 336 },
	{ "recvfrom", 371, 371, 337 },    { "recvmsg", 372, 372, 342 },     { "shutdown", 373, 373, 338 },
	{ "semtimedop", 0, 392, 392 },    { "semget", 393, 393, 393 },      { "semctl", 394, 394, 394 },
	{ "shmget", 395, 395, 395 },      { "shmctl", 396, 396, 396 },      { "shmat", 397, 397, 397 },
	{ "shmdt", 398, 398, 398 },       { "msgget", 399, 399, 399 },      { "msgsnd", 400, 400, 400 },
	{ "msgrcv", 401, 401, 401 },      { "msgctl", 402, 402, 402 },
};

static int64_t direct_number(const struct architecture *arch, const char *name)
{
	for (size_t i = 0; i < KIST_COUNT(direct); i++) {
		if (!kist_streq(direct[i].name, name))
			continue;
		int number = arch->token == SCMP_ARCH_X86  ? direct[i].x86
		             : arch->family == FAMILY_S390 ? direct[i].s390
		             : arch->family == FAMILY_PPC  ? direct[i].ppc
		                                           : 0;
		return number ? number : -2;
	}
	return -2;
}

/* -1: no such call anywhere; below -1: not on that architecture. */
static int64_t syscall_resolve(const struct architecture *arch, const char *name)
{
	int number = seccomp_syscall_resolve_name_arch(arch->token, name);
	if (number <= -100 && number > -300)
		return direct_number(arch, name);
	if (number == __NR_SCMP_ERROR) {
		for (size_t i = 0; i < KIST_COUNT(newer); i++) {
			if (kist_streq(newer[i].name, name))
				return (int64_t)newer[i].number + (arch->token == SCMP_ARCH_X32 ? X32_BIT : 0);
		}
	}
	return number;
}

/* --- emitting ----------------------------------------------------------------------------------------------------- */

struct program {
	struct sock_filter *code;
	size_t len, cap;
};

static void emit(struct program *p, uint16_t code, uint32_t k, size_t jt, size_t jf)
{
	if (p->len == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 256;
		p->code = kist_grow(p->code, p->cap, sizeof(*p->code));
	}
	p->code[p->len++] = (struct sock_filter){ code, (uint8_t)jt, (uint8_t)jf, k };
}

static void emit_load(struct program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void emit_jump(struct program *p, uint16_t op, uint32_t k, size_t jt, size_t jf)
{
	emit(p, BPF_JMP | op | BPF_K, k, jt, jf);
}

static void emit_return(struct program *p, uint32_t action)
{
	emit(p, BPF_RET | BPF_K, action, 0, 0);
}

/* Jump offsets that are set to the end of the rule once that is known. */
#define TO_END 255

static size_t word(const struct kist_spec_seccomp_arg *arg, bool high)
{
	bool second = high == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
	return offsetof(struct seccomp_data, args) + arg->index * sizeof(uint64_t) + (second ? sizeof(uint32_t) : 0);
}

static void emit_masked_word(struct program *p, const struct kist_spec_seccomp_arg *arg, bool high)
{
	uint32_t mask = (uint32_t)(high ? arg->value >> 32 : arg->value);
	uint32_t value = (uint32_t)(high ? arg->value_two >> 32 : arg->value_two);
	if (!mask && !value)
		return;
	emit_load(p, word(arg, high));
	if (mask != UINT32_MAX)
		emit(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
	emit_jump(p, BPF_JEQ, value, 0, TO_END);
}

/* Falls through when the condition holds. BPF compares 32 bits, arguments have 64: the high word decides unless equal.
 */
static void emit_condition(struct program *p, const struct kist_spec_seccomp_arg *arg, enum compare op)
{
	uint32_t high = (uint32_t)(arg->value >> 32), low = (uint32_t)arg->value;
	if (op == CMP_MASKED_EQ) {
		emit_masked_word(p, arg, true);
		emit_masked_word(p, arg, false);
		return;
	}
	emit_load(p, word(arg, true));
	switch (op) {
	case CMP_EQ:
		emit_jump(p, BPF_JEQ, high, 0, TO_END);
		break;
	case CMP_NE:
		emit_jump(p, BPF_JEQ, high, 0, 2);
		break;
	case CMP_GT:
	case CMP_GE:
		emit_jump(p, BPF_JGT, high, 3, 0);
		emit_jump(p, BPF_JEQ, high, 0, TO_END);
		break;
	default: /* LT, LE */
		emit_jump(p, BPF_JGT, high, TO_END, 0);
		emit_jump(p, BPF_JEQ, high, 0, 2);
		break;
	}
	emit_load(p, word(arg, false));
	switch (op) {
	case CMP_EQ:
		emit_jump(p, BPF_JEQ, low, 0, TO_END);
		break;
	case CMP_NE:
		emit_jump(p, BPF_JEQ, low, TO_END, 0);
		break;
	case CMP_GT:
		emit_jump(p, BPF_JGT, low, 0, TO_END);
		break;
	case CMP_GE:
		emit_jump(p, BPF_JGE, low, 0, TO_END);
		break;
	case CMP_LT:
		emit_jump(p, BPF_JGE, low, TO_END, 0);
		break;
	default: /* LE */
		emit_jump(p, BPF_JGT, low, TO_END, 0);
		break;
	}
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

/* One resolved rule of the profile. */
struct rule {
	uint32_t action;
	const struct kist_spec_syscall *source;
	enum compare ops[6];
	bool any; /* each condition is a rule of its own */
};

/* A rule for one number; sorted by number, then by the profile's order. */
struct entry {
	uint32_t number;
	uint32_t rule;
};

/* From start up to the next segment's. */
struct segment {
	uint32_t start;
	uint32_t action; /* when no condition holds */
	size_t first, n; /* entries that may have conditions; n 0: action alone */
};

/* A jump of the node at 'at' to a return that is placed later. */
struct fixup {
	size_t at;
	uint32_t action;
	bool on_true;
};

struct compiler {
	const struct kist_spec_seccomp *profile;
	struct rule *rules;
	uint32_t default_action;
	uint32_t newer_action; /* for numbers above all that the profile names */
	struct entry *entries;
	size_t n_entries, cap_entries;
	struct segment *segments;
	size_t n_segments;
	struct fixup *fixups;
	size_t n_fixups, cap_fixups;
	struct program program;
};

static int rule_resolve(const struct kist_spec_syscall *source, size_t index, struct rule *rule, struct kist_error *err)
{
	char where[64];
	snprintf(where, sizeof(where), "linux.seccomp.syscalls[%zu]", index);
	rule->source = source;
	int r = action_resolve(source->action, source->errno_ret, &rule->action);
	if (r < 0)
		return action_fail(err, r, where, source->action);
	unsigned seen = 0;
	for (size_t i = 0; i < source->n_args; i++) {
		const struct kist_spec_seccomp_arg *arg = &source->args[i];
		int op = 0;
		if (arg->index > 5)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s.args[%zu].index: %u is not in 0 to 5",
			                 where, i, arg->index);
		/* runc and crun join the conditions of such a rule by 'or': the profiles that have some mean that. */
		if (seen & (1U << arg->index))
			rule->any = true;
		if (kist_value_of(compares, arg->op, &op) < 0)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s.args[%zu].op: '%s' is not a comparison",
			                 where, i, arg->op ? arg->op : "");
		seen |= 1U << arg->index;
		rule->ops[i] = (enum compare)op;
	}
	return 0;
}

static int rules_resolve(struct compiler *c, struct kist_error *err)
{
	const struct kist_spec_seccomp *profile = c->profile;
	int r = action_resolve(profile->default_action, profile->default_errno_ret, &c->default_action);
	if (r < 0)
		return action_fail(err, r, "linux.seccomp.defaultAction", profile->default_action);
	bool open = c->default_action == (SECCOMP_RET_ERRNO | EPERM) && !profile->default_errno_ret.set;
	c->newer_action = open ? SECCOMP_RET_ERRNO | ENOSYS : c->default_action;
	if (c->default_action == SECCOMP_RET_USER_NOTIF)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY for every call would stop the start of "
		                 "the container too");
	c->rules = kist_alloc((profile->n_syscalls + 1) * sizeof(*c->rules));
	for (size_t i = 0; i < profile->n_syscalls; i++) {
		r = rule_resolve(&profile->syscalls[i], i, &c->rules[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int entry_add(struct compiler *c, const struct architecture *arch, uint32_t rule, const char *name,
                     struct kist_error *err)
{
	int64_t number = syscall_resolve(arch, name);
	if (number == -1) {
		/* Unknown here means unknown to the filter: harmless when the default refuses it as well. */
		if (c->default_action == SECCOMP_RET_ALLOW || c->default_action == SECCOMP_RET_LOG)
			return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
			                 "linux.seccomp.syscalls[%u]: unknown system call '%s' would stay allowed",
			                 rule, name);
		kist_debug("linux.seccomp.syscalls[%u]: unknown system call '%s'", rule, name);
		return 0;
	}
	if (number < 0)
		return 0;
	if (c->n_entries == c->cap_entries) {
		c->cap_entries = c->cap_entries ? c->cap_entries * 2 : 512;
		c->entries = kist_grow(c->entries, c->cap_entries, sizeof(*c->entries));
	}
	c->entries[c->n_entries++] = (struct entry){ (uint32_t)number, rule };
	return 0;
}

static int entries_collect(struct compiler *c, const struct architecture *arch, struct kist_error *err)
{
	for (size_t i = 0; i < c->profile->n_syscalls; i++) {
		char *const *names = c->profile->syscalls[i].names;
		for (size_t n = 0; names && names[n]; n++) {
			int r = entry_add(c, arch, (uint32_t)i, names[n], err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

/* --- segments and the search -------------------------------------------------------------------------------------- */

static void segment_add(struct compiler *c, struct segment segment)
{
	struct segment *last = c->n_segments ? &c->segments[c->n_segments - 1] : NULL;
	if (last && !last->n && !segment.n && last->action == segment.action)
		return;
	c->segments[c->n_segments++] = segment;
}

/* The entries first..first+n-1 are all rules of one number. */
static struct segment segment_make(const struct compiler *c, size_t first, size_t n)
{
	struct segment segment = { .start = c->entries[first].number, .action = c->default_action };
	for (size_t i = first; i < first + n; i++) {
		const struct rule *rule = &c->rules[c->entries[i].rule];
		if (!rule->source->n_args) {
			segment.action = rule->action;
			segment.n = 0;
			return segment;
		}
		if (rule->action != c->default_action) {
			segment.first = first;
			segment.n = n;
		}
	}
	return segment;
}

/* From next on no number is named, in the range that starts with base. */
static void segment_add_rest(struct compiler *c, uint64_t base, uint64_t next)
{
	uint32_t action = next > base ? c->newer_action : c->default_action;
	segment_add(c, (struct segment){ .start = (uint32_t)next, .action = action });
}

/* The calls of x32 come under the architecture of x86_64, from X32_BIT on. */
static void segments_build(struct compiler *c, bool x86_64, bool x32)
{
	uint64_t base = 0, next = 0;
	c->n_segments = 0;
	/* each entry makes at most itself and the gap before it; then the rest of both ranges, and -1 */
	c->segments = kist_grow(c->segments, c->n_entries * 2 + 4, sizeof(*c->segments));
	for (size_t i = 0, n; i < c->n_entries; i += n) {
		uint32_t number = c->entries[i].number;
		for (n = 1; i + n < c->n_entries && c->entries[i + n].number == number; n++)
			;
		if (x86_64 && number >= X32_BIT && !base) {
			segment_add_rest(c, base, next);
			base = next = X32_BIT;
		}
		if (number > next)
			segment_add(c, (struct segment){ .start = (uint32_t)next, .action = c->default_action });
		segment_add(c, segment_make(c, i, n));
		next = (uint64_t)number + 1;
	}
	segment_add_rest(c, base, next);
	if (!x86_64 || base)
		return;
	/* Without x32 its calls would pass every rule by number. -1 is a tracer's 'skip'. */
	uint32_t action = x32 ? c->default_action : SECCOMP_RET_KILL_PROCESS;
	segment_add(c, (struct segment){ .start = X32_BIT, .action = action });
	segment_add(c, (struct segment){ .start = UINT32_MAX, .action = c->default_action });
}

static void emit_rule(struct program *p, const struct rule *rule, size_t first, size_t n)
{
	size_t start = p->len;

	for (size_t a = first; a < first + n; a++)
		emit_condition(p, &rule->source->args[a], rule->ops[a]);
	emit_return(p, rule->action);
	for (size_t at = start; at < p->len; at++) {
		struct sock_filter *f = &p->code[at];
		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		if (f->jt == TO_END)
			f->jt = (uint8_t)(p->len - at - 1);
		if (f->jf == TO_END)
			f->jf = (uint8_t)(p->len - at - 1);
	}
}

static void emit_rules(struct compiler *c, const struct segment *segment)
{
	struct program *p = &c->program;
	for (size_t i = segment->first; i < segment->first + segment->n; i++) {
		const struct rule *rule = &c->rules[c->entries[i].rule];
		if (!rule->any)
			emit_rule(p, rule, 0, rule->source->n_args);
		for (size_t a = 0; rule->any && a < rule->source->n_args; a++)
			emit_rule(p, rule, a, 1);
	}
	emit_return(p, segment->action);
}

/* A leaf that a node jumps to, when it is a plain action: those share one return behind their nodes. */
static void fixup_add(struct compiler *c, size_t at, bool on_true, uint32_t action)
{
	if (c->n_fixups == c->cap_fixups) {
		c->cap_fixups = c->cap_fixups ? c->cap_fixups * 2 : 256;
		c->fixups = kist_grow(c->fixups, c->cap_fixups, sizeof(*c->fixups));
	}
	c->fixups[c->n_fixups++] = (struct fixup){ at, action, on_true };
}

/* The nodes over n > 1 segments; false when a jump would be longer than the 255 instructions it can be. */
static bool emit_nodes(struct compiler *c, size_t first, size_t n)
{
	struct program *p = &c->program;
	size_t half = n / 2, at = p->len;
	const struct segment *left = &c->segments[first], *right = &c->segments[first + half];
	emit_jump(p, BPF_JGE, right->start, 0, 0);
	if (half == 1 && !left->n)
		fixup_add(c, at, false, left->action);
	else if (half == 1)
		emit_rules(c, left);
	else if (!emit_nodes(c, first, half))
		return false;

	if (n - half == 1 && !right->n) {
		fixup_add(c, at, true, right->action);
		return true;
	}
	size_t distance = p->len - at - 1;
	if (distance > UINT8_MAX)
		return false;
	p->code[at].jt = (uint8_t)distance;
	if (n - half > 1)
		return emit_nodes(c, first + half, n - half);
	emit_rules(c, right);
	return true;
}

/* Puts each action behind the nodes once and points the nodes at it. */
static bool emit_leaves(struct compiler *c)
{
	struct program *p = &c->program;
	size_t leaves = p->len;
	for (size_t i = 0; i < c->n_fixups; i++) {
		const struct fixup *fixup = &c->fixups[i];
		size_t leaf = leaves;
		while (leaf < p->len && p->code[leaf].k != fixup->action)
			leaf++;
		if (leaf == p->len)
			emit_return(p, fixup->action);
		size_t distance = leaf - fixup->at - 1;
		if (distance > UINT8_MAX)
			return false;
		if (fixup->on_true)
			p->code[fixup->at].jt = (uint8_t)distance;
		else
			p->code[fixup->at].jf = (uint8_t)distance;
	}
	return true;
}

static void emit_search(struct compiler *c, size_t first, size_t n)
{
	struct program *p = &c->program;
	size_t at = p->len;
	if (n == 1) {
		emit_rules(c, &c->segments[first]);
		return;
	}
	c->n_fixups = 0;
	if (emit_nodes(c, first, n) && emit_leaves(c))
		return;
	/* Too far for conditional jumps: two searches, with a long jump to the second. */
	p->len = at;
	emit_jump(p, BPF_JGE, c->segments[first + n / 2].start, 0, 1);
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	emit_search(c, first, n / 2);
	p->code[at + 1].k = (uint32_t)(p->len - at - 2);
	emit_search(c, first + n / 2, n - n / 2);
}

/* All system calls that come under one AUDIT_ARCH value. */
static int emit_architecture(struct compiler *c, const struct architecture *arch, const struct architecture *x32,
                             struct kist_error *err)
{
	c->n_entries = 0;
	int r = entries_collect(c, arch, err);
	if (r >= 0 && x32)
		r = entries_collect(c, x32, err);
	if (r < 0)
		return r;
	if (c->n_entries)
		qsort(c->entries, c->n_entries, sizeof(*c->entries), entry_compare);
	segments_build(c, arch->token == SCMP_ARCH_X86_64, x32 != NULL);

	struct program *p = &c->program;
	emit_jump(p, BPF_JEQ, arch->token, 1, 0);
	size_t skip = p->len;
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	emit_load(p, offsetof(struct seccomp_data, nr));
	emit_search(c, 0, c->n_segments);
	p->code[skip].k = (uint32_t)(p->len - skip - 1);
	return 0;
}

static int emit_program(struct compiler *c, struct kist_error *err)
{
	const struct architecture *native = architecture_native(), *x32 = NULL;
	char *const *names = c->profile->architectures;
	if (!native)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "linux.seccomp: this architecture has no seccomp filters");
	for (size_t i = 0; names && names[i]; i++) {
		const struct architecture *arch = architecture_find(names[i]);
		if (!arch)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL,
			                 "linux.seccomp.architectures[%zu]: '%s' is not an architecture", i, names[i]);
		if (arch->token == SCMP_ARCH_X32 && native->token == SCMP_ARCH_X86_64)
			x32 = arch;
	}
	emit_load(&c->program, offsetof(struct seccomp_data, arch));
	int r = emit_architecture(c, native, x32, err);
	for (size_t i = 0; names && names[i] && r >= 0; i++) {
		const struct architecture *arch = architecture_find(names[i]);
		/* Calls of another family's never occur on this kernel, and its numbers are in another byte order at
		 * times. */
		if (arch == native || arch == x32 || arch->token == SCMP_ARCH_X32 || arch->family != native->family)
			continue;
		/* the accumulator still holds the architecture: every block that loads something else ends in returns
		 */
		r = emit_architecture(c, arch, NULL, err);
	}
	emit_return(&c->program, SECCOMP_RET_KILL_PROCESS);
	return r;
}

int kist_ns_seccomp_generate(const struct kist_spec_seccomp *profile, struct kist_ns_seccomp *out,
                             struct kist_error *err)
{
	struct compiler c = { .profile = profile };
	int r = rules_resolve(&c, err);
	if (r >= 0)
		r = emit_program(&c, err);
	if (r >= 0 && c.program.len > BPF_MAXINSNS)
		r = kist_fail(err, KIST_ERR_INVALID, E2BIG,
		              "linux.seccomp: the profile makes %zu instructions, the kernel takes %d", c.program.len,
		              BPF_MAXINSNS);
	if (r >= 0) {
		out->code = kist_steal(&c.program.code);
		out->len = (unsigned short)c.program.len;
	}
	free(c.program.code);
	free(c.segments);
	free(c.fixups);
	free(c.entries);
	free(c.rules);
	return r < 0 ? r : 0;
}
