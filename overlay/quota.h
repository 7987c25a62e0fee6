/* Limits of directory trees by project quota (quotactl(2), ext4(5) and xfs_quota(8): 'prjquota').
 *
 * A project is a number on inodes, which what is made in a directory inherits; the file system counts and limits what
 * has the number. It must have been made for that, and be mounted with the option prjquota. */
#ifndef KIST_OVERLAY_QUOTA_H
#define KIST_OVERLAY_QUOTA_H

#include "core/base/base.h"

struct kist_error;

struct kist_quota {
	uint32_t project;       /* 0: none */
	uint64_t bytes, inodes; /* 0: no limit */
};

/* KIST_ERR_UNSUPPORTED unless limits of projects are enforced on the file system of that directory. */
int kist_quota_check(int dir, struct kist_error *err);
/* A project that nothing on the file system has, nor any limit, chosen from the seed on. */
int kist_quota_free_project(int dir, uint32_t seed, uint32_t *project, struct kist_error *err);
/* The limit, and the project on a directory that is empty or has it already. */
int kist_quota_limit(int dir, const struct kist_quota *quota, struct kist_error *err);
int kist_quota_assign(int dir, const struct kist_quota *quota, struct kist_error *err);
/* Takes the limit away. Without an error where there is no such thing. */
void kist_quota_forget(int dir, uint32_t project);

#endif
