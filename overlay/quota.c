/* Project quotas. The calls of XFS are those that ext4 answers too, and quotactl_fd(2) (Linux 5.14) needs no path of
 * the block device. */
#include "overlay/quota.h"

#include "core/base/error.h"
#include "core/base/log.h"

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECTOR 512
#define TRIES  64
#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif

static int project_quota(int dir, int command, uint32_t project, void *data)
{

	return (int)syscall(SYS_quotactl_fd, (unsigned)dir, QCMD(command, PRJQUOTA), project, data) < 0 ? -errno : 0;
}

int kist_quota_check(int dir, struct kist_error *err)
{
	struct fs_quota_statv state = { .qs_version = FS_QSTATV_VERSION1 };

	int r = project_quota(dir, Q_XGETQSTATV, 0, &state);
	if (r == 0 && (state.qs_flags & FS_QUOTA_PDQ_ENFD))
		return 0;
	if (r == -ENOSYS && syscall(SYS_quotactl_fd, -1, 0, 0, NULL) < 0 && errno == ENOSYS) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, ENOSYS, "a size limit needs quotactl_fd(2)");
		return kist_remedy(err, "Linux 5.14 has it, built with CONFIG_QUOTA");
	}
	kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP,
	          "a size limit needs project quotas, which the file system of the store does not enforce");
	return kist_remedy(err, "ext4 made with '-O quota,project' or xfs has them, mounted with the option prjquota");
}

int kist_quota_free_project(int dir, uint32_t seed, uint32_t *project, struct kist_error *err)
{
	for (uint32_t i = 0; i < TRIES; i++) {
		struct fs_disk_quota quota = { 0 };
		/* The upper half: people number their projects from 1 on. */
		uint32_t id = (seed + i) | 0x80000000u;

		if (id == UINT32_MAX)
			continue;
		int r = project_quota(dir, Q_XGETQUOTA, id, &quota);
		if (r < 0 && r != -ENOENT && r != -ESRCH)
			return kist_fail_errno(err, -r, "look for a free project of the file system's quota");
		if (r == 0 && (quota.d_blk_hardlimit || quota.d_ino_hardlimit || quota.d_icount || quota.d_bcount))
			continue;
		*project = id;
		return 0;
	}
	return kist_fail(err, KIST_ERR_SYSTEM, EEXIST, "the file system's quota has no free project near %u", seed);
}

static int set_limits(int dir, uint32_t project, uint64_t bytes, uint64_t inodes)
{
	struct fs_disk_quota limit = {
		.d_version = FS_DQUOT_VERSION,
		.d_flags = FS_PROJ_QUOTA,
		.d_id = project,
		.d_fieldmask = FS_DQ_BSOFT | FS_DQ_BHARD | FS_DQ_ISOFT | FS_DQ_IHARD,
		.d_blk_hardlimit = (bytes + SECTOR - 1) / SECTOR,
		.d_blk_softlimit = (bytes + SECTOR - 1) / SECTOR,
		.d_ino_hardlimit = inodes,
		.d_ino_softlimit = inodes,
	};

	return project_quota(dir, Q_XSETQLIM, project, &limit);
}

int kist_quota_limit(int dir, const struct kist_quota *quota, struct kist_error *err)
{
	int r = kist_quota_check(dir, err);

	if (r == 0)
		r = set_limits(dir, quota->project, quota->bytes, quota->inodes);
	return r < 0 && !kist_error_is_set(err) ? kist_fail_errno(err, -r, "set the size limit") : r;
}

int kist_quota_assign(int dir, const struct kist_quota *quota, struct kist_error *err)
{
	struct fsxattr attributes;

	if (ioctl(dir, FS_IOC_FSGETXATTR, &attributes) < 0)
		return kist_fail_errno(err, errno, "read the project of the directory");
	if (attributes.fsx_projid == quota->project && (attributes.fsx_xflags & FS_XFLAG_PROJINHERIT))
		return 0;
	attributes.fsx_projid = quota->project;
	attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	if (ioctl(dir, FS_IOC_FSSETXATTR, &attributes) < 0)
		return kist_fail_errno(err, errno, "set the project of the directory");
	return 0;
}

void kist_quota_forget(int dir, uint32_t project)
{
	int r = project ? set_limits(dir, project, 0, 0) : 0;

	if (r < 0)
		kist_debug("take the limit of project %u away: %s", project, strerror(-r));
}
