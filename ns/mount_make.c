/* A mount that is attached nowhere, by the words of mount(8): for those who hold it by its descriptor. */
#include "ns/mount_fd.h"
#include "ns/mount_options.h"
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

static int make(const char *type, const char *source, const struct kist_ns_mount_options *o, struct kist_error *err)
{
	uint64_t attributes = o->set | o->all_set;

	if (!o->bind)
		return kist_ns_mount_new(type, source, o->parameters, attributes, err);
	int fd = kist_ns_mount_clone(AT_FDCWD, source ? source : "", o->recursive);
	if (fd < 0)
		return kist_fail_errno(err, -fd, "bind %s", source ? source : "");
	int r = kist_ns_mount_setattr(fd, false, o->set, o->clear, 0);
	if (r == 0 && (o->all_set || o->all_clear))
		r = kist_ns_mount_setattr(fd, true, o->all_set, o->all_clear, 0);
	if (r == 0)
		r = kist_ns_mount_setattr(fd, true, 0, 0, MS_PRIVATE);
	if (r < 0 && r != -ENOSYS) {
		kist_close_fd(&fd);
		return kist_fail_errno(err, -r, "bind %s", source);
	}
	return fd;
}

int kist_ns_mount_detached(const char *type, const char *source, char *const *options, struct kist_error *err)
{
	struct kist_ns_mount_options parsed = { 0 };
	struct kist_error problem = { 0 };

	int r = kist_ns_mount_options_parse(options, type, "mount", &parsed, err);
	if (r < 0)
		return r;
	int fd = make(type, source, &parsed, &problem);
	kist_ns_mount_options_free(&parsed);
	if (fd == -ENOSYS && !kist_error_is_set(&problem))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, ENOSYS, "mount %s: this kernel has no fsopen(2)", type);
	if (fd < 0 && err)
		*err = problem;
	return fd;
}

int kist_ns_mount_attach_at(int mount, int directory, struct kist_error *err)
{
	int r = kist_ns_mount_attach(mount, directory);

	return r < 0 ? kist_fail_errno(err, -r, "attach the mount") : 0;
}
