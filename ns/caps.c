/* Capabilities: names, masks, and the five sets of a process. capabilities(7). */
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const cap_names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};
_Static_assert(KIST_COUNT(cap_names) == 41, "capability numbers are positions");

#define BIT(n) (1ULL << (n))

static uint64_t all_up_to(unsigned last)
{
	return last >= 63 ? UINT64_MAX : BIT(last + 1) - 1;
}

unsigned kist_ns_cap_last(void)
{
	unsigned last = KIST_COUNT(cap_names) - 1;
	/* EINVAL for numbers the kernel does not have. */
	while (last > 0 && prctl(PR_CAPBSET_READ, last, 0, 0, 0) < 0)
		last--;
	while (last < 63 && prctl(PR_CAPBSET_READ, last + 1, 0, 0, 0) >= 0)
		last++;
	return last;
}

int kist_ns_cap_number(const char *name)
{
	if (kist_empty(name))
		return -EINVAL;
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (size_t i = 0; i < KIST_COUNT(cap_names); i++) {
		if (strcasecmp(cap_names[i] + 4, name) == 0)
			return (int)i;
	}
	return -EINVAL;
}

static bool is_all(const char *name)
{
	return strcasecmp(name, "ALL") == 0 || strcasecmp(name, "CAP_ALL") == 0;
}

bool kist_ns_cap_known(const char *name)
{
	return name && (is_all(name) || kist_ns_cap_number(name) >= 0);
}

const char *kist_ns_cap_name(unsigned number)
{
	if (number >= KIST_COUNT(cap_names) || prctl(PR_CAPBSET_READ, number, 0, 0, 0) < 0)
		return NULL;
	return cap_names[number];
}

int kist_ns_cap_mask(char *const *names, uint64_t *out, struct kist_error *err)
{
	uint64_t mask = 0;
	for (size_t i = 0; names && names[i]; i++) {
		if (is_all(names[i])) {
			mask |= all_up_to(kist_ns_cap_last());
			continue;
		}
		int number = kist_ns_cap_number(names[i]);
		if (number < 0)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "'%s' is not a capability", names[i]);
		mask |= BIT(number);
	}
	*out = mask;
	return 0;
}

static int caps_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

char **kist_ns_caps_available(void)
{
	char **names = NULL;
	struct __user_cap_data_struct data[2] = { 0 };
	if (caps_get(data) < 0)
		return NULL;
	uint64_t permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	uint64_t inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	/* execve gives nothing that is neither inheritable nor in the bounding set (capabilities(7)): of what is not
	 * inheritable the kernel need not be asked forty times. */
	for (unsigned i = 0; i < KIST_COUNT(cap_names); i++) {
		if ((permitted & BIT(i)) && (!(inheritable & BIT(i)) || prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1))
			kist_strv_add(&names, cap_names[i]);
	}
	return names;
}

/* The spec's words, exactly: "CAP_" and upper case (config.md, Linux Process). */
static void set_resolve(char *const *names, const char *set, uint64_t known, uint64_t *out)
{
	uint64_t mask = 0;
	for (size_t i = 0; names && names[i]; i++) {
		int number = kist_ns_cap_number(names[i]);
		/* What cannot be granted is a warning, and no failure (config.md, Linux Process). */
		if (number < 0) {
			kist_log(KIST_LOG_WARN,
			         "process.capabilities.%s[%zu]: '%s' is not a capability, and not granted", set, i,
			         names[i]);
			continue;
		}
		/* Older kernels: what has no number there is part of a wider capability; there is nothing to grant. */
		if (!(BIT(number) & known))
			kist_debug("process.capabilities.%s: this kernel has no %s", set, cap_names[number]);
		mask |= BIT(number) & known;
	}
	*out = mask;
}

static void sets_resolve(const struct kist_spec_caps *spec, uint64_t known, struct kist_ns_caps *caps)
{
	const struct {
		char *const *names;
		const char *set;
		uint64_t *out;
	} sets[] = {
		{ spec->bounding, "bounding", &caps->bounding },
		{ spec->effective, "effective", &caps->effective },
		{ spec->inheritable, "inheritable", &caps->inheritable },
		{ spec->permitted, "permitted", &caps->permitted },
		{ spec->ambient, "ambient", &caps->ambient },
	};
	for (size_t i = 0; i < KIST_COUNT(sets); i++)
		set_resolve(sets[i].names, sets[i].set, known, sets[i].out);
}

/* What the kernel would answer with a bare EPERM. An ambient capability that is not inheritable cannot be granted:
 * plans that 'runc spec' wrote have some, since the inheritable set is left empty (CVE-2022-29162). */
static int sets_check(struct kist_ns_caps *caps, struct kist_error *err)
{
	uint64_t bad = caps->effective & ~caps->permitted;
	if (bad)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "process.capabilities.effective: %s is not in permitted",
		                 cap_names[__builtin_ctzll(bad)]);
	bad = caps->ambient & ~(caps->permitted & caps->inheritable);
	if (bad)
		kist_debug("process.capabilities.ambient: %s is not in both permitted and inheritable, and not granted",
		           cap_names[__builtin_ctzll(bad)]);
	caps->ambient &= ~bad;
	return 0;
}

static uint64_t bounding_now(unsigned last)
{
	uint64_t mask = 0;
	for (unsigned i = 0; i <= last; i++) {
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			mask |= BIT(i);
	}
	return mask;
}

int kist_ns_caps_resolve(const struct kist_spec_process *process, bool privileged, struct kist_ns_caps *out,
                         struct kist_error *err)
{
	struct kist_ns_caps caps = { 0 };
	unsigned last = kist_ns_cap_last();
	if (privileged) {
		uint64_t all = bounding_now(last);
		caps = (struct kist_ns_caps){ .bounding = all, .effective = all, .permitted = all };
	} else if (process->capabilities) {
		sets_resolve(process->capabilities, all_up_to(last), &caps);
		int r = sets_check(&caps, err);
		if (r < 0)
			return r;
	}
	/* execve of a non-root user ends with permitted = ambient; what stands in the plan beyond that must not survive
	 * until then either (CVE-2018-10856, CVE-2022-27649). */
	if (process->user.uid != 0) {
		caps.permitted = caps.ambient;
		caps.effective = caps.ambient;
	}
	*out = caps;
	return 0;
}

int kist_ns_caps_drop_bounding(uint64_t keep, unsigned last, struct kist_error *err)
{
	for (unsigned i = 0; i <= last; i++) {
		if ((keep & BIT(i)) || prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0)
			continue;
		int errnum = errno;
		/* Without CAP_SETPCAP: fine when there is nothing to drop. */
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 0)
			continue;
		return kist_fail_errno(err, errnum, "drop capability %u from the bounding set", i);
	}
	return 0;
}

int kist_ns_caps_set(const struct kist_ns_caps *caps, unsigned last, struct kist_error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)caps->effective, (uint32_t)caps->permitted, (uint32_t)caps->inheritable },
		{ (uint32_t)(caps->effective >> 32), (uint32_t)(caps->permitted >> 32),
		  (uint32_t)(caps->inheritable >> 32) },
	};
	if (syscall(SYS_capset, &header, data) < 0) {
		int errnum = errno;
		struct __user_cap_data_struct now[2] = { 0 };
		caps_get(now);
		uint64_t missing = caps->permitted & ~(now[0].permitted | (uint64_t)now[1].permitted << 32);
		if (missing && (unsigned)__builtin_ctzll(missing) < KIST_COUNT(cap_names))
			return kist_fail_errno(err, errnum,
			                       "set capabilities: %s is asked for but this process may not give it",
			                       cap_names[__builtin_ctzll(missing)]);
		return kist_fail_errno(err, errnum, "set capabilities");
	}
	/* capset(2) took every ambient capability away that is not permitted and inheritable; the rest of an inherited
	 * set has to go before the plan's own is raised. */
	if ((caps->permitted & caps->inheritable) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return kist_fail_errno(err, errno, "clear the ambient capabilities");
	for (unsigned i = 0; i <= last; i++) {
		if ((caps->ambient & BIT(i)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
			return kist_fail_errno(err, errno, "raise ambient capability %s", cap_names[i]);
	}
	return 0;
}
