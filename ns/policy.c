/* The policy as a whole: prepared in the parent, and its last part, after which only execve follows. */
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- labels of security modules ----------------------------------------------------------------------------------- */

static bool label_clean(const char *label)
{
	for (const char *p = label; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	}
	return true;
}

static int apparmor_prepare(const char *profile, struct kist_ns_label *out, struct kist_error *err)
{
	if (kist_empty(profile))
		return 0;
	if (!label_clean(profile))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "process.apparmorProfile: control character in the name");
	if (!kist_ns_apparmor_enabled()) {
		if (kist_streq(profile, "unconfined"))
			return 0; /* what it is anyway */
		kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		          "process.apparmorProfile: '%s' is asked for but this host has no AppArmor", profile);
		return kist_remedy(err, "boot with apparmor=1 security=apparmor, or leave the profile out");
	}
	/* aa_change_onexec(3) is this write. The directory of its own is there since Linux 5.8; before, and where
	 * another module has the shared file, only one of the two works. */
	out->file = access("/proc/self/attr/apparmor/exec", F_OK) == 0 ? "self/attr/apparmor/exec" : "self/attr/exec";
	/* Never out of a profile that confines the engine: under both. */
	out->text = kist_asprintf("%s %s", kist_ns_apparmor_confined() ? "stack" : "exec", profile);
	out->what = "AppArmor profile";
	return 0;
}

static int selinux_prepare(const char *label, struct kist_ns_label *out, struct kist_error *err)
{
	if (kist_empty(label))
		return 0;
	if (!label_clean(label))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.selinuxLabel: control character in the label");
	/* The kernel makes the mount point when SELinux initialises. */
	if (access("/sys/fs/selinux", F_OK) < 0)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
		                 "process.selinuxLabel: '%s' is asked for but this host has no SELinux", label);
	out->file = "self/attr/exec";
	out->text = kist_strdup(label);
	out->what = "SELinux label";
	return 0;
}

int kist_ns_labels_prepare(const struct kist_spec_process *process, struct kist_ns_policy *out, struct kist_error *err)
{
	int r = apparmor_prepare(process->apparmor_profile, &out->labels[0], err);
	return r < 0 ? r : selinux_prepare(process->selinux_label, &out->labels[1], err);
}

static int labels_apply(const struct kist_ns_policy *policy, int proc_fd, struct kist_error *err)
{
	for (size_t i = 0; i < KIST_COUNT(policy->labels); i++) {
		const struct kist_ns_label *label = &policy->labels[i];
		if (!label->text)
			continue;
		int r = kist_ns_proc_write(proc_fd, label->file, label->text);
		if (r == -ENOENT)
			return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "set %s '%s': it is not loaded", label->what,
			                 label->text);
		if (r < 0)
			return kist_fail_errno(err, -r, "set %s '%s'", label->what, label->text);
	}
	return 0;
}

/* --- prepare ------------------------------------------------------------------------------------------------------ */

static int seccomp_prepare(const struct kist_ns_policy_args *args, struct kist_ns_policy *out, struct kist_error *err)
{
	const struct kist_spec_seccomp *profile = args->spec->linux_.seccomp;
	if (args->privileged)
		return 0;
	if (args->default_seccomp_caps && profile)
		return kist_fail(err, KIST_ERR_INTERNAL, EINVAL,
		                 "linux.seccomp: both a profile and the built-in one are asked for");
	if (args->default_seccomp_caps)
		return kist_ns_seccomp_compile_default(*args->default_seccomp_caps, args->seccomp_cache, &out->seccomp,
		                                       err);
	if (profile)
		return kist_ns_seccomp_compile(profile, args->seccomp_cache, &out->seccomp, err);
	return 0;
}

static int user_prepare(const struct kist_spec_user *user, struct kist_ns_policy *out, struct kist_error *err)
{
	if (user->uid == UINT32_MAX || user->gid == UINT32_MAX)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "process.user: 4294967295 is not an id (setresuid(2) takes it as 'unchanged')");
	if (user->umask.set && (user->umask.value < 0 || user->umask.value > 0777))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "process.user.umask: %llo is not in 0 to 0777",
		                 (unsigned long long)user->umask.value);
	out->uid = user->uid;
	out->gid = user->gid;
	out->groups = user->additional_gids;
	out->n_groups = user->n_additional_gids;
	out->umask = user->umask;
	return 0;
}

int kist_ns_policy_prepare(const struct kist_ns_policy_args *args, struct kist_ns_policy *out, struct kist_error *err)
{
	struct kist_ns_policy policy = KIST_NS_POLICY_INIT;
	policy.last_cap = kist_ns_cap_last();
	policy.no_new_privileges = args->process->no_new_privileges;
	policy.keep_groups = args->keep_groups;
	policy.oci_version = args->spec->oci_version;
	policy.id = kist_strdup(args->id ? args->id : "");
	policy.bundle = kist_strdup(args->bundle ? args->bundle : "");

	int r = user_prepare(&args->process->user, &policy, err);
	if (r >= 0)
		r = kist_ns_caps_resolve(args->process, args->privileged, &policy.caps, err);
	if (r >= 0)
		r = kist_ns_limits_prepare(args, &policy, err);
	if (r >= 0)
		r = kist_ns_labels_prepare(args->process, &policy, err);
	if (r >= 0)
		r = seccomp_prepare(args, &policy, err);
	if (r < 0) {
		kist_ns_policy_free(&policy);
		return r;
	}
	*out = policy;
	return 0;
}

void kist_ns_policy_free(struct kist_ns_policy *policy)
{
	if (!policy)
		return;
	free(policy->rlimits);
	free(policy->cpus_initial.mask);
	free(policy->cpus_final.mask);
	kist_strv_free(policy->sysctls);
	for (size_t i = 0; i < KIST_COUNT(policy->labels); i++)
		free(policy->labels[i].text);
	kist_ns_seccomp_program_free(&policy->seccomp);
	free(policy->id);
	free(policy->bundle);
	*policy = (struct kist_ns_policy)KIST_NS_POLICY_INIT;
}

/* --- the last part ------------------------------------------------------------------------------------------------ */

static int groups_apply(const struct kist_ns_policy *policy, struct kist_error *err)
{
	/* The raw calls: glibc's wrappers exist to change all threads. */
	if (!policy->keep_groups && syscall(SYS_setgroups, policy->n_groups, policy->groups) < 0) {
		int errnum = errno;
		/* A user namespace where setgroups is denied, and nothing to set or drop. */
		if (errnum != EPERM || policy->n_groups || getgroups(0, NULL) != 0) {
			kist_fail_errno(err, errnum, "set %zu supplementary groups", policy->n_groups);
			return errnum == EINVAL ? kist_remedy(err, "a group has no mapping in the user namespace")
			                        : -errnum;
		}
	}
	if (syscall(SYS_setresgid, policy->gid, policy->gid, policy->gid) < 0) {
		int errnum = errno;
		kist_fail_errno(err, errnum, "set group %u", policy->gid);
		return errnum == EINVAL ? kist_remedy(err, "it has no mapping in the user namespace") : -errnum;
	}
	return 0;
}

static int user_apply(const struct kist_ns_policy *policy, struct kist_error *err)
{
	const struct kist_ns_caps *caps = &policy->caps;
	/* Leaving uid 0 clears the permitted set, which the sets below must still come from. execve clears the flag. */
	if (policy->uid != 0 && (caps->permitted | caps->inheritable) && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return kist_fail_errno(err, errno, "keep capabilities over the change of user");
	if (syscall(SYS_setresuid, policy->uid, policy->uid, policy->uid) < 0) {
		int errnum = errno;
		kist_fail_errno(err, errnum, "set user %u", policy->uid);
		return errnum == EINVAL ? kist_remedy(err, "it has no mapping in the user namespace") : -errnum;
	}
	return 0;
}

int kist_ns_policy_apply_late(const struct kist_ns_policy *policy, int proc_fd, struct kist_error *err)
{
	int r = labels_apply(policy, proc_fd, err);
	if (r < 0)
		return r;
	if (policy->umask.set)
		umask((mode_t)policy->umask.value);
	if (policy->cpus_final.mask &&
	    sched_setaffinity(0, policy->cpus_final.len, (const cpu_set_t *)(void *)policy->cpus_final.mask) < 0)
		return kist_fail_errno(err, errno, "set the final CPU affinity (process.execCPUAffinity.final)");
	r = kist_ns_caps_drop_bounding(policy->caps.bounding, policy->last_cap, err);
	if (r >= 0)
		r = groups_apply(policy, err);
	if (r < 0)
		return r;
	/* Installing a filter takes no_new_privs or CAP_SYS_ADMIN. Without the first it has to happen while the second
	 * is there, and the profile has to allow what follows: setresuid, capset, prctl. */
	if (!policy->no_new_privileges && (r = kist_ns_seccomp_install(policy, err)) < 0)
		return r;
	r = user_apply(policy, err);
	if (r >= 0)
		r = kist_ns_caps_set(&policy->caps, policy->last_cap, err);
	if (r < 0)
		return r;
	if (!policy->no_new_privileges)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return kist_fail_errno(err, errno, "set no_new_privs");
	return kist_ns_seccomp_install(policy, err);
}
