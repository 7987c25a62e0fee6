/* Seccomp profiles: read, compiled, and the program checked and run as the kernel would. */
#include "fuzz_main.h"

#include "core/base/error.h"
#include "ns/apply.h"
#include "ns/ns.h"

#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>

#include "test/unit/seccomp_simulate.h"

/* The kernel's rules for a program: forward jumps inside it, a return at the end. */
static void program_check(const struct kist_ns_seccomp *program)
{
	if (!program->len || program->len > BPF_MAXINSNS || BPF_CLASS(program->code[program->len - 1].code) != BPF_RET)
		abort();
	for (size_t i = 0; i < program->len; i++) {
		const struct sock_filter *f = &program->code[i];
		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		size_t far = f->code == (BPF_JMP | BPF_JA) ? f->k : f->jt > f->jf ? f->jt : f->jf;
		if (i + 1 + far >= program->len)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kist_error err = { 0 };
	struct kist_spec_seccomp *profile = NULL;
	char *caps[] = { (char *)"CAP_SYS_ADMIN", NULL };
	char *text = malloc(size + 1); /* of the exact size and a NUL */
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	int r = kist_ns_seccomp_read(text, size, caps, &profile, &err);
	free(text);
	if (r < 0) {
		if (!kist_error_is_set(&err))
			abort();
		return 0;
	}
	struct kist_ns_seccomp program = { .listener = -1 };
	if (kist_ns_seccomp_generate(profile, &program, &err) >= 0) {
		program_check(&program);
		for (int nr = -1; nr < 480; nr++) {
			struct seccomp_data call = { .nr = nr,
				                     .arch = nr & 1 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_I386,
				                     .args = { size, 1, 2 } };
			seccomp_simulate(program.code, program.len, &call);
		}
	} else if (!kist_error_is_set(&err)) {
		abort();
	}
	kist_ns_seccomp_program_free(&program);
	kist_ns_seccomp_free(profile);
	return 0;
}
