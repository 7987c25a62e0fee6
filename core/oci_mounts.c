/* kist-oci mounts: mounts of a container that runs. */
#include "core/oci_internal.h"

#include "core/base/proc.h"

#include <errno.h>

static int check_mounts(const struct kist_spec_mount *mounts, size_t n, bool add, struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!mounts[i].destination || mounts[i].destination[0] != '/' || !mounts[i].destination[1])
			return kist_fail(err, KIST_ERR_INVALID, 0, "mounts[%zu].destination: expected an absolute path",
			                 i);
		bool bind = !mounts[i].type || kist_streq(mounts[i].type, "bind");
		if (add && bind && (!mounts[i].source || mounts[i].source[0] != '/'))
			return kist_fail(err, KIST_ERR_INVALID, 0, "mounts[%zu].source: expected an absolute path", i);
	}
	return n ? 0 : kist_fail(err, KIST_ERR_INVALID, 0, "no mounts are given");
}

int kist_oci_mounts(struct kist_oci *oci, const char *id, const struct kist_spec_mount *mounts, size_t n, bool add,
                    struct kist_error *err)
{
	struct kist_oci_container *c = NULL;
	int r = check_mounts(mounts, n, add, err);

	if (r == 0)
		r = kist_oci_load(oci, id, &c, err);
	if (r < 0)
		return r;
	const struct kist_proc_id process = { .pid = c->state.pid, .start = c->state.pid_start };
	KIST_CLOSE int pidfd = kist_pidfd_open(c->state.pid);
	/* The number may have become another process's between the record and the descriptor, but not after. */
	if (c->status == KIST_OCI_STOPPED || c->status == KIST_OCI_CREATING || pidfd < 0 || !kist_proc_alive(&process))
		r = kist_fail(err, KIST_ERR_STATE, 0, "container not running: container \"%s\" is %s", id,
		              kist_oci_status_name(c->status == KIST_OCI_CREATING ? c->status : KIST_OCI_STOPPED));
	else
		r = add ? kist_ns_mounts_add(pidfd, mounts, n, err) : kist_ns_mounts_remove(pidfd, mounts, n, err);
	kist_oci_container_free(c);
	return r;
}
