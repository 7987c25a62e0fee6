/* Where the static program begins, before the C library's own start.
 *
 * A static position-independent program relocates its constants itself, and meets each of their some fifty pages with a
 * fault of its own; here all come in one call. That saves a third of a millisecond of each command on a virtual machine
 * whose faults are dear, and costs nothing elsewhere: all these pages are written right after. Kernels before 5.14 know
 * no such advice, answer EINVAL, and nothing is lost. */
#if defined(KIST_STATIC) && defined(__x86_64__)

/* rdx is 0 as the kernel leaves it: what _start hands to atexit(). MADV_POPULATE_WRITE is 23, madvise 28. */
__asm__(".text\n"
        ".globl kist_entry\n"
        ".type kist_entry, @function\n"
        "kist_entry:\n"
        "	endbr64\n"
        "	lea __init_array_start(%rip), %rdi\n"
        "	and $-4096, %rdi\n"
        "	lea __bss_start(%rip), %rsi\n"
        "	sub %rdi, %rsi\n"
        "	mov $23, %edx\n"
        "	mov $28, %eax\n"
        "	syscall\n"
        "	xor %edx, %edx\n"
        "	jmp _start\n"
        ".size kist_entry, . - kist_entry\n");

#else
typedef int kist_entry_unused; /* a file needs a declaration */
#endif
