/* The device program: OCI device rules as BPF, attached to the group (BPF_PROG_TYPE_CGROUP_DEVICE, kernel 4.15).
 *
 * Each of read, write and mknod is decided by the last rule that matches the device and names it; what no rule names
 * is denied. The program walks the rules from the last to the first with the set of accesses not yet allowed: an
 * 'allow' takes its accesses out of the set and is done when none is left, a 'deny' that meets one still in it ends
 * with no. That is how cgroup v1 behaved when the rules were written one after the other. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROGRAM_NAME "kist_device"
#define ACCESS_ALL   (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)
#define TYPE_ANY     0
/* dev_t of the kernel: 12 and 20 bits. */
#define MAJOR_MAX 0xfff
#define MINOR_MAX 0xfffff

/* --- rules -------------------------------------------------------------------------------------------------------- */

struct rule {
	bool allow;
	int type;             /* BPF_DEVCG_DEV_*, or TYPE_ANY */
	int64_t major, minor; /* -1: any */
	int access;           /* BPF_DEVCG_ACC_* */
};

static int parse_number(struct kist_opt opt, int64_t max, const char *key, size_t i, int64_t *out,
                        struct kist_error *err)
{
	*out = opt.set ? opt.value : -1;
	if (*out < -1 || *out > max)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "linux.resources.devices[%zu].%s: %" PRId64 " is out of range", i, key, *out);
	return 0;
}

static int parse_type(const char *text, size_t i, int *out, struct kist_error *err)
{
	if (!text || kist_streq(text, "a"))
		*out = TYPE_ANY;
	else if (kist_streq(text, "c"))
		*out = BPF_DEVCG_DEV_CHAR;
	else if (kist_streq(text, "b"))
		*out = BPF_DEVCG_DEV_BLOCK;
	else
		return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.devices[%zu].type: '%s' is none of a, c, b",
		                 i, text);
	return 0;
}

static int parse_access(const char *text, size_t i, int *out, struct kist_error *err)
{
	*out = text ? 0 : ACCESS_ALL;
	for (const char *c = text; c && *c; c++) {
		if (*c == 'r')
			*out |= BPF_DEVCG_ACC_READ;
		else if (*c == 'w')
			*out |= BPF_DEVCG_ACC_WRITE;
		else if (*c == 'm')
			*out |= BPF_DEVCG_ACC_MKNOD;
		else
			*out = 0;
		if (!*out)
			break;
	}
	if (!*out)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "linux.resources.devices[%zu].access: '%s' is not made of r, w, m", i, text);
	return 0;
}

static int parse_rule(const struct kist_spec_device_rule *from, size_t i, struct rule *out, struct kist_error *err)
{
	int r = parse_type(from->type, i, &out->type, err);

	out->allow = from->allow;
	if (r == 0)
		r = parse_number(from->major, MAJOR_MAX, "major", i, &out->major, err);
	if (r == 0)
		r = parse_number(from->minor, MINOR_MAX, "minor", i, &out->minor, err);
	if (r == 0)
		r = parse_access(from->access, i, &out->access, err);
	return r;
}

static bool is_catch_all(const struct rule *rule)
{
	return rule->type == TYPE_ANY && rule->major < 0 && rule->minor < 0 && rule->access == ACCESS_ALL;
}

/* Everything is allowed when no 'deny' comes after the last rule that allows everything. */
static bool allows_all(const struct rule *rules, size_t n)
{
	for (size_t i = n; i-- > 0 && rules[i].allow;) {
		if (is_catch_all(&rules[i]))
			return true;
	}
	return false;
}

/* --- assembly ----------------------------------------------------------------------------------------------------- */

/* r1 is the context all along. */
enum {
	ANSWER = BPF_REG_0,
	CONTEXT = BPF_REG_1,
	TYPE = BPF_REG_2,
	NEEDED = BPF_REG_3,
	MAJOR = BPF_REG_4,
	MINOR = BPF_REG_5
};

#define INSNS_PER_RULE 8
#define INSNS_FRAME    8

struct program {
	struct bpf_insn *insns;
	size_t n;
};

static size_t emit(struct program *p, int code, int to, int from, int offset, int value)
{
	p->insns[p->n] = (struct bpf_insn){
		.code = (__u8)code,
		.dst_reg = (__u8)(to & 0xf),
		.src_reg = (__u8)(from & 0xf),
		.off = (__s16)offset,
		.imm = value,
	};
	return p->n++;
}

static void emit_load(struct program *p, int to, size_t offset)
{
	emit(p, BPF_LDX | BPF_MEM | BPF_W, to, CONTEXT, (int)offset, 0);
}

static void emit_answer(struct program *p, bool yes)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, ANSWER, 0, 0, yes);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_rule(struct program *p, const struct rule *rule)
{
	size_t jumps[4], n_jumps = 0;

	if (rule->type != TYPE_ANY)
		jumps[n_jumps++] = emit(p, BPF_JMP | BPF_JNE | BPF_K, TYPE, 0, 0, rule->type);
	if (rule->major >= 0)
		jumps[n_jumps++] = emit(p, BPF_JMP | BPF_JNE | BPF_K, MAJOR, 0, 0, (int)rule->major);
	if (rule->minor >= 0)
		jumps[n_jumps++] = emit(p, BPF_JMP | BPF_JNE | BPF_K, MINOR, 0, 0, (int)rule->minor);
	/* A rule for all accesses decides by itself; the verifier takes no instruction that cannot be reached. */
	if (rule->access != ACCESS_ALL && rule->allow) {
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, NEEDED, 0, 0, ACCESS_ALL & ~rule->access);
		jumps[n_jumps++] = emit(p, BPF_JMP | BPF_JNE | BPF_K, NEEDED, 0, 0, 0);
	} else if (rule->access != ACCESS_ALL) {
		emit(p, BPF_ALU64 | BPF_MOV | BPF_X, ANSWER, NEEDED, 0, 0);
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, ANSWER, 0, 0, rule->access);
		jumps[n_jumps++] = emit(p, BPF_JMP | BPF_JEQ | BPF_K, ANSWER, 0, 0, 0);
	}
	emit_answer(p, rule->allow);
	for (size_t i = 0; i < n_jumps; i++)
		p->insns[jumps[i]].off = (__s16)(p->n - jumps[i] - 1);
}

static void assemble(struct program *p, const struct rule *rules, size_t n)
{
	p->insns = kist_grow(NULL, n * INSNS_PER_RULE + INSNS_FRAME, sizeof(*p->insns));
	/* access_type: the device's type in the low half, the accesses in the high half. */
	emit_load(p, TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, NEEDED, TYPE, 0, 0);
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
	emit(p, BPF_ALU64 | BPF_RSH | BPF_K, NEEDED, 0, 0, 16);
	emit_load(p, MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
	emit_load(p, MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
	for (size_t i = n; i-- > 0;) {
		emit_rule(p, &rules[i]);
		if (is_catch_all(&rules[i]))
			return;
	}
	emit_answer(p, false);
}

int kist_cgroup_device_program(const struct kist_spec_device_rule *rules, size_t n, struct bpf_insn **insns,
                               size_t *n_insns, struct kist_error *err)
{
	KIST_FREE struct rule *parsed = kist_grow(NULL, n ? n : 1, sizeof(*parsed));
	struct program program = { 0 };

	for (size_t i = 0; i < n; i++) {
		int r = parse_rule(&rules[i], i, &parsed[i], err);

		if (r < 0)
			return r;
	}
	if (allows_all(parsed, n))
		return 0;
	assemble(&program, parsed, n);
	*insns = program.insns;
	*n_insns = program.n;
	return 1;
}

/* --- bpf(2) ------------------------------------------------------------------------------------------------------- */

static int bpf(int command, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

static __u64 address(const void *p)
{
	return (__u64)(uintptr_t)p;
}

static int load(const struct bpf_insn *insns, size_t n)
{
	union bpf_attr attr = { 0 };

	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = address(insns);
	attr.insn_cnt = (__u32)n;
	attr.license = address("Apache-2.0");
	memcpy(attr.prog_name, PROGRAM_NAME, sizeof(PROGRAM_NAME));
	return bpf(BPF_PROG_LOAD, &attr);
}

static int load_failed(int r, struct kist_error *err)
{
	if (r == -EPERM) {
		kist_fail(err, KIST_ERR_SYSTEM, EPERM, "device rules: load the BPF program: Operation not permitted");
		return kist_remedy(
		        err,
		        "it takes CAP_BPF or CAP_SYS_ADMIN outside user namespaces, and before Linux 5.11 a larger "
		        "limit of locked memory: ulimit -l unlimited");
	}
	if (r == -ENOSYS || r == -EINVAL) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, -r, "device rules: the kernel takes no device program");
		return kist_remedy(err, "it needs CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF");
	}
	return kist_fail_errno(err, -r, "device rules: load the BPF program");
}

static int attach(int cgroup_fd, int program)
{
	union bpf_attr attr = { 0 };

	attr.target_fd = (__u32)cgroup_fd;
	attr.attach_bpf_fd = (__u32)program;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	return bpf(BPF_PROG_ATTACH, &attr);
}

static int detach(int cgroup_fd, int program)
{
	union bpf_attr attr = { 0 };

	attr.target_fd = (__u32)cgroup_fd;
	attr.attach_bpf_fd = (__u32)program;
	attr.attach_type = BPF_CGROUP_DEVICE;
	return bpf(BPF_PROG_DETACH, &attr);
}

void kist_cgroup_device_hold(int cgroup_fd)
{
	static const struct bpf_insn allow[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	KIST_CLOSE int program = load(allow, KIST_COUNT(allow));

	if (program < 0 || attach(cgroup_fd, program) < 0)
		kist_debug("no device program stays: containers start slower");
}

/* The ids of the group's own programs, ours and others'. Returns the count. */
static int query(int cgroup_fd, __u32 *ids, size_t room)
{
	union bpf_attr attr = { 0 };

	attr.query.target_fd = (__u32)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = address(ids);
	attr.query.prog_cnt = (__u32)room;
	int r = bpf(BPF_PROG_QUERY, &attr);
	return r < 0 ? r : (int)attr.query.prog_cnt;
}

static int open_program(__u32 id)
{
	union bpf_attr attr = { 0 };

	attr.prog_id = id;
	return bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

static bool is_ours(int program)
{
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr = { 0 };

	attr.info.bpf_fd = (__u32)program;
	attr.info.info_len = sizeof(info);
	attr.info.info = address(&info);
	return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) == 0 && strcmp(info.name, PROGRAM_NAME) == 0;
}

static int detach_old(int cgroup_fd, const __u32 *ids, size_t n, struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		KIST_CLOSE int program = open_program(ids[i]);
		int r = program;

		if (r == -ENOENT || (r >= 0 && !is_ours(program)))
			continue;
		if (r >= 0)
			r = detach(cgroup_fd, program);
		if (r < 0 && r != -ENOENT)
			return kist_fail_errno(err, -r, "device rules: detach the BPF program before");
	}
	return 0;
}

/* The new program is attached before the old one goes: in between both must agree, and no moment allows more than
 * the old or the new rules do. */
int kist_cgroup_device_apply(int cgroup_fd, const struct kist_spec_device_rule *rules, size_t n, bool fresh,
                             struct kist_error *err)
{
	KIST_FREE struct bpf_insn *insns = NULL;
	__u32 old[64];
	size_t n_insns = 0;
	int n_old = 0;
	int needed = n ? kist_cgroup_device_program(rules, n, &insns, &n_insns, err) : 0;

	if (needed < 0)
		return needed;
	/* A kernel without device programs (ENOSYS, EINVAL) has no old one. 64 is the most it attaches to one group. */
	if (!fresh)
		n_old = query(cgroup_fd, old, KIST_COUNT(old));
	if (n_old < 0 && n_old != -ENOSYS && n_old != -EINVAL && n)
		return kist_fail_errno(err, -n_old, "device rules: list the BPF programs of the group");
	if (needed) {
		KIST_CLOSE int program = load(insns, n_insns);

		if (program < 0)
			return load_failed(program, err);
		int r = attach(cgroup_fd, program);
		if (r < 0)
			return kist_fail_errno(err, -r, "device rules: attach the BPF program");
	}
	return n_old > 0 ? detach_old(cgroup_fd, old, (size_t)n_old, err) : 0;
}
