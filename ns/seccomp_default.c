/* The built-in seccomp profile.
 *
 * Its effect is that of the profile podman and docker ship: what is not listed does not exist (ENOSYS, so that programs
 * fall back), what needs a capability that the container lacks is refused (EPERM). Beyond it AF_ALG and AF_VSOCK
 * sockets are refused as docker does: the one lets a container write the host's page cache (CVE-2026-31431), the other
 * reaches the hypervisor. And a container without CAP_SYS_ADMIN makes no cgroup namespace: with a user namespace of its
 * own it could mount the cgroup tree anew, writable from its own group on, and lift its limits (CVE-2023-25809 by
 * another way; the kernel prevents it only where the hierarchy is mounted with nsdelegate).
 *
 * Rules for one system call never overlap, so that libseccomp, whose order is its own, gives them the same meaning. */
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/str.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>

/* --- always there ------------------------------------------------------------------------------------------------- */

static const char *const allowed[] = {
	/* sockets; socket and socketcall are below */
	"accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
	"recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketpair",
	/* signals */
	"kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
	"rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack signal "
	"signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend tgkill tkill",
	/* talking to other processes */
	"eventfd eventfd2 ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 "
	"mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 semctl semget "
	"semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget splice tee",
	/* clocks and timers; setting a clock fails by capability in the kernel */
	"adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
	"clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer "
	"time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
	"timer_settime64 timerfd timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
	"timerfd_settime64 times",
	/* memory */
	"brk get_mempolicy madvise mbind membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall "
	"mmap mmap2 mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect "
	"process_mrelease process_vm_readv process_vm_writev remap_file_pages set_mempolicy",
	/* waiting for events */
	"_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
	"epoll_wait_old fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel "
	"io_destroy io_getevents io_setup io_submit poll ppoll ppoll_time64 pselect6 pselect6_time64 select",
	/* scheduling and locks */
	"futex futex_time64 get_robust_list getcpu getpriority ioprio_get ioprio_set rseq "
	"sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
	"sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity "
	"sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list setpriority",
	/* users, groups, sessions, capabilities, keys */
	"capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid "
	"getpgrp getresgid getresgid32 getresuid getresuid32 getsid getuid getuid32 keyctl setfsgid "
	"setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setregid setregid32 "
	"setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setsid setuid setuid32 umask",
	/* processes; setns is here and not under CAP_SYS_ADMIN because in a user namespace of its own a process may
	   have that */
	"execve execveat exit exit_group fork get_thread_area getpid getppid getrandom getrlimit "
	"getrusage gettid landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_getfd "
	"pidfd_open pidfd_send_signal prctl prlimit64 ptrace reboot seccomp set_thread_area set_tid_address "
	"setns setrlimit syscall sysinfo syslog ugetrlimit uname vfork wait4 waitid waitpid",
	/* mounts, for those who may */
	"fsconfig fsmount fsopen fspick fstatfs fstatfs64 mount mount_setattr move_mount open_tree pivot_root "
	"statfs statfs64 sync syncfs umount umount2",
	/* attributes of files */
	"access chmod chown chown32 faccessat faccessat2 fchmod fchmodat fchown fchown32 fchownat fgetxattr "
	"flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 futimesat getxattr lchown lchown32 "
	"lgetxattr listxattr llistxattr lremovexattr lsetxattr lstat lstat64 newfstatat removexattr setxattr "
	"stat stat64 statx utime utimensat utimensat_time64 utimes",
	/* names of files */
	"chdir creat fchdir getcwd getdents getdents64 link linkat mkdir mkdirat mknod mknodat "
	"name_to_handle_at open openat openat2 readdir readlink readlinkat rename renameat renameat2 rmdir "
	"symlink symlinkat truncate truncate64 unlink unlinkat",
	/* what is in files */
	"_llseek close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl "
	"fcntl64 fdatasync flock fsync ftruncate ftruncate64 ioctl lseek pread64 preadv preadv2 pwrite64 "
	"pwritev pwritev2 read readahead readv sendfile sendfile64 sync_file_range write writev",
#if defined(__x86_64__) || defined(__i386__)
	"arch_prctl modify_ldt",
#elif defined(__aarch64__) || defined(__arm__)
	"arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
#elif defined(__powerpc64__)
	"sync_file_range2",
#elif defined(__s390__)
	"s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
#endif
};

/* Refused rather than unknown: programs that use them want to hear that they may not. */
static const char refused[] =
        "bdflush io_pgetevents kexec_file_load kexec_load migrate_pages move_pages nfsservctl nice "
        "oldfstat oldlstat oldolduname oldstat olduname pciconfig_iobase pciconfig_read pciconfig_write "
        "sgetmask ssetmask swapcontext swapoff swapon sysfs uselib userfaultfd ustat vm86 vm86old vmsplice";

/* --- by capability ------------------------------------------------------------------------------------------------ */

#define CAP(name) (1ULL << (name))

static const struct {
	uint64_t cap;
	const char *names;
} by_capability[] = {
	{ CAP(CAP_DAC_READ_SEARCH), "open_by_handle_at" },
	{ CAP(CAP_SYS_ADMIN), "bpf fanotify_init lookup_dcookie perf_event_open quotactl setdomainname sethostname" },
	{ CAP(CAP_SYS_CHROOT), "chroot" },
	{ CAP(CAP_SYS_MODULE), "delete_module finit_module init_module query_module" },
	{ CAP(CAP_SYS_PACCT), "acct" },
	{ CAP(CAP_SYS_PTRACE), "kcmp process_madvise" },
	{ CAP(CAP_SYS_RAWIO), "ioperm iopl" },
	{ CAP(CAP_SYS_TIME), "clock_settime clock_settime64 settimeofday stime" },
	{ CAP(CAP_SYS_TTY_CONFIG), "vhangup" },
};

/* --- by argument -------------------------------------------------------------------------------------------------- */

/* A range of 2^n numbers that is aligned: (argument & mask) == value. The kernel takes these arguments as int, so the
 * upper half must not decide: a comparison of all 64 bits would let 1<<32 | AF_ALG pass as 'another family'. */
struct range {
	uint32_t mask, value;
};

#define FAMILY_NETLINK 16
#define FAMILY_ALG     38
#define FAMILY_VSOCK   40
#define PROTOCOL_AUDIT 9

/* 0 to 63 without netlink, AF_ALG and AF_VSOCK; the kernel's last is 46. */
static const struct range families[] = {
	{ 0xfffffff0, 0 },  { 0xffffffff, 17 }, { 0xfffffffe, 18 }, { 0xfffffffc, 20 },
	{ 0xfffffff8, 24 }, { 0xfffffffc, 32 }, { 0xfffffffe, 36 }, { 0xffffffff, 39 },
	{ 0xffffffff, 41 }, { 0xfffffffe, 42 }, { 0xfffffffc, 44 }, { 0xfffffff0, 48 },
};
/* Netlink protocols 0 to 31 (MAX_LINKS) without audit. */
static const struct range netlink_protocols[] = {
	{ 0xfffffff8, 0 }, { 0xffffffff, 8 }, { 0xfffffffe, 10 }, { 0xfffffffc, 12 }, { 0xfffffff0, 16 },
};

static const uint32_t personalities[] = {
	0x0,        /* PER_LINUX */
	0x8,        /* PER_LINUX32 */
	0x20000,    /* UNAME26 */
	0x20008,    /* both */
	0xffffffff, /* ask */
};

static void add_names(struct kist_spec_syscall *rule, const char *names)
{
	for (const char *p = names; *p;) {
		size_t n = strcspn(p, " ");
		kist_strv_take(&rule->names, kist_strndup(p, n));
		p += n + (p[n] == ' ');
	}
}

static void add_arg(struct kist_spec_syscall *rule, uint32_t index, struct range range)
{
	rule->args = kist_grow(rule->args, rule->n_args + 1, sizeof(*rule->args));
	rule->args[rule->n_args++] = (struct kist_spec_seccomp_arg){
		.index = index,
		.value = range.mask,
		.value_two = range.value,
		.op = kist_strdup("SCMP_CMP_MASKED_EQ"),
	};
}

static struct kist_spec_syscall *add_allow(struct kist_spec_seccomp *profile, const char *names)
{
	struct kist_spec_syscall *rule = kist_ns_seccomp_add(profile, "SCMP_ACT_ALLOW", -1);
	add_names(rule, names);
	return rule;
}

static struct kist_spec_syscall *add_errno(struct kist_spec_seccomp *profile, const char *names, int errnum)
{
	struct kist_spec_syscall *rule = kist_ns_seccomp_add(profile, "SCMP_ACT_ERRNO", errnum);
	add_names(rule, names);
	return rule;
}

static void add_socket(struct kist_spec_seccomp *profile, bool audit)
{
	const struct range netlink = { UINT32_MAX, FAMILY_NETLINK };
	for (size_t i = 0; i < KIST_COUNT(families); i++)
		add_arg(add_allow(profile, "socket"), 0, families[i]);
	if (audit) {
		add_arg(add_allow(profile, "socket"), 0, netlink);
	} else {
		struct kist_spec_syscall *rule = add_errno(profile, "socket", EINVAL);
		add_arg(rule, 0, netlink);
		add_arg(rule, 2, (struct range){ UINT32_MAX, PROTOCOL_AUDIT });
		for (size_t i = 0; i < KIST_COUNT(netlink_protocols); i++) {
			rule = add_allow(profile, "socket");
			add_arg(rule, 0, netlink);
			add_arg(rule, 2, netlink_protocols[i]);
		}
	}
	add_arg(add_errno(profile, "socket", EPERM), 0, (struct range){ UINT32_MAX, FAMILY_ALG });
	add_arg(add_errno(profile, "socket", EPERM), 0, (struct range){ UINT32_MAX, FAMILY_VSOCK });
	/* socketcall's arguments are behind a pointer, where a filter cannot look. ENOSYS: the C library then takes
	 * socket. */
	add_errno(profile, "socketcall", ENOSYS);
}

/* The position of the flags in clone(2), which has another order there. */
#if defined(__s390x__)
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif
#define NEW_CGROUP 0x02000000 /* CLONE_NEWCGROUP */

static void add_clone(struct kist_spec_seccomp *profile, bool all)
{
	const struct range without = { NEW_CGROUP, 0 }, with = { NEW_CGROUP, NEW_CGROUP };

	if (all) {
		add_allow(profile, "clone clone3 unshare");
		return;
	}
	add_arg(add_allow(profile, "clone"), CLONE_FLAGS, without);
	add_arg(add_errno(profile, "clone", EPERM), CLONE_FLAGS, with);
	add_arg(add_allow(profile, "unshare"), 0, without);
	add_arg(add_errno(profile, "unshare", EPERM), 0, with);
	/* Its flags are behind a pointer. ENOSYS: the C library then takes clone. */
	add_errno(profile, "clone3", ENOSYS);
}

static void add_architectures(struct kist_spec_seccomp *profile)
{
	kist_strv_add(&profile->architectures, kist_ns_seccomp_native());
#if defined(__x86_64__)
	kist_strv_add(&profile->architectures, "SCMP_ARCH_X86");
	kist_strv_add(&profile->architectures, "SCMP_ARCH_X32");
#elif defined(__aarch64__)
	kist_strv_add(&profile->architectures, "SCMP_ARCH_ARM");
#elif defined(__s390x__)
	kist_strv_add(&profile->architectures, "SCMP_ARCH_S390");
#endif
}

uint64_t kist_ns_seccomp_default_caps(void)
{
	uint64_t mask = CAP(CAP_AUDIT_WRITE);
	for (size_t i = 0; i < KIST_COUNT(by_capability); i++)
		mask |= by_capability[i].cap;
	return mask;
}

struct kist_spec_seccomp *kist_ns_seccomp_default_mask(uint64_t caps)
{
	struct kist_spec_seccomp *profile = kist_alloc(sizeof(*profile));
	profile->default_action = kist_strdup("SCMP_ACT_ERRNO");
	profile->default_errno_ret = (struct kist_opt){ .set = true, .value = ENOSYS };
	add_architectures(profile);

	struct kist_spec_syscall *rule = kist_ns_seccomp_add(profile, "SCMP_ACT_ALLOW", -1);
	for (size_t i = 0; i < KIST_COUNT(allowed); i++)
		add_names(rule, allowed[i]);
	for (size_t i = 0; i < KIST_COUNT(by_capability); i++) {
		if (caps & by_capability[i].cap)
			add_names(rule, by_capability[i].names);
	}
	rule = add_errno(profile, refused, EPERM);
	for (size_t i = 0; i < KIST_COUNT(by_capability); i++) {
		if (!(caps & by_capability[i].cap))
			add_names(rule, by_capability[i].names);
	}
	for (size_t i = 0; i < KIST_COUNT(personalities); i++) {
		rule = add_allow(profile, "personality");
		add_arg(rule, 0, (struct range){ UINT32_MAX, personalities[i] });
	}
	add_socket(profile, caps & CAP(CAP_AUDIT_WRITE));
	add_clone(profile, caps & CAP(CAP_SYS_ADMIN));
	return profile;
}

struct kist_spec_seccomp *kist_ns_seccomp_default(char *const *caps)
{
	uint64_t mask = 0;
	for (size_t i = 0; caps && caps[i]; i++) {
		uint64_t one = 0;
		if (kist_ns_cap_mask((char *const[]){ caps[i], NULL }, &one, NULL) == 0)
			mask |= one;
	}
	return kist_ns_seccomp_default_mask(mask);
}

void kist_ns_seccomp_default_text(struct kist_str *out)
{
	for (size_t i = 0; i < KIST_COUNT(allowed); i++)
		kist_str_add(out, allowed[i]);
	kist_str_addc(out, '\n');
	kist_str_add(out, refused);
	for (size_t i = 0; i < KIST_COUNT(by_capability); i++) {
		kist_str_addn(out, &by_capability[i].cap, sizeof(by_capability[i].cap));
		kist_str_add(out, by_capability[i].names);
	}
	kist_str_addn(out, families, sizeof(families));
	kist_str_addn(out, netlink_protocols, sizeof(netlink_protocols));
	kist_str_addn(out, personalities, sizeof(personalities));
}
