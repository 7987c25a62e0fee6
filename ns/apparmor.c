/* The default AppArmor profile: compiled beforehand, loaded through securityfs. The kernel's interface takes compiled
 * policy only (Documentation/admin-guide/LSM/apparmor.rst), which apparmor_parser(8) makes and few hosts have. */
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REPLACE "apparmor/.replace" /* loads what is new, and replaces what is there */

static const unsigned char policy[] = {
#include "ns/apparmor_default.inc"
};

bool kist_ns_apparmor_enabled(void)
{
	KIST_STR struct kist_str text = { 0 };

	return kist_read_file(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &text) == 0 &&
	       kist_str_get(&text)[0] == 'Y';
}

bool kist_ns_apparmor_confined(void)
{
	KIST_STR struct kist_str text = { 0 };
	int r = kist_read_file(AT_FDCWD, "/proc/self/attr/apparmor/current", 4096, &text);

	if (r < 0)
		r = kist_read_file(AT_FDCWD, "/proc/self/attr/current", 4096, &text);
	return r == 0 && text.len && !kist_has_prefix(kist_str_get(&text), "unconfined");
}

uint64_t kist_ns_apparmor_default_digest(void)
{
	uint64_t hash = 14695981039346656037ULL; /* FNV-1a */

	for (size_t i = 0; i < sizeof(policy); i++)
		hash = (hash ^ policy[i]) * 1099511628211ULL;
	return hash;
}

/* Where nobody has mounted securityfs, a mount that is attached nowhere will do. */
static int open_replace(void)
{
	int fd = open("/sys/kernel/security/" REPLACE, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	KIST_CLOSE int fs = (int)syscall(SYS_fsopen, "securityfs", FSOPEN_CLOEXEC);
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	KIST_CLOSE int mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	if (mount < 0)
		return -errno;
	fd = openat(mount, REPLACE, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int kist_ns_apparmor_load_default(struct kist_error *err)
{
	KIST_CLOSE int fd = open_replace();

	if (fd < 0)
		return kist_fail_errno(err, -fd, "load AppArmor profile " KIST_APPARMOR_DEFAULT ": open " REPLACE);
	/* The kernel takes a policy in one write only. */
	ssize_t n = write(fd, policy, sizeof(policy));
	if (n != (ssize_t)sizeof(policy))
		return kist_fail_errno(err, n < 0 ? errno : EIO, "load AppArmor profile " KIST_APPARMOR_DEFAULT);
	return 0;
}
