#include "ns/mount_options.h"

#include "core/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

enum option_kind {
	OPTION_SET, /* attribute of this mount */
	OPTION_CLEAR,
	OPTION_ATIME,       /* one of the exclusive access time modes */
	OPTION_ATIME_UNSET, /* back to the default, if that mode was chosen before */
	OPTION_ALL_SET,     /* the same for the whole tree */
	OPTION_ALL_CLEAR,
	OPTION_ALL_ATIME,
	OPTION_PROPAGATION,
	OPTION_SUPER,       /* flag of the super block: a parameter without value */
	OPTION_SUPER_UNSET, /* takes it back; value: the length of the prefix before its name */
	OPTION_NOTHING,     /* the kernel's default */
	OPTION_BIND,
	OPTION_RBIND,
	OPTION_REMOUNT,
	OPTION_COPY_UP,
	OPTION_IDMAP,
	OPTION_RIDMAP,
};

struct option {
	const char *name;
	enum option_kind kind;
	uint64_t value;
	bool recursive; /* propagation */
};

static const struct option option_table[] = {
	{ "ro", OPTION_SET, MOUNT_ATTR_RDONLY },
	{ "rw", OPTION_CLEAR, MOUNT_ATTR_RDONLY },
	{ "nosuid", OPTION_SET, MOUNT_ATTR_NOSUID },
	{ "suid", OPTION_CLEAR, MOUNT_ATTR_NOSUID },
	{ "nodev", OPTION_SET, MOUNT_ATTR_NODEV },
	{ "dev", OPTION_CLEAR, MOUNT_ATTR_NODEV },
	{ "noexec", OPTION_SET, MOUNT_ATTR_NOEXEC },
	{ "exec", OPTION_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "nodiratime", OPTION_SET, MOUNT_ATTR_NODIRATIME },
	{ "diratime", OPTION_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "nosymfollow", OPTION_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "symfollow", OPTION_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "relatime", OPTION_ATIME, MOUNT_ATTR_RELATIME },
	{ "noatime", OPTION_ATIME, MOUNT_ATTR_NOATIME },
	{ "strictatime", OPTION_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "atime", OPTION_ATIME_UNSET, MOUNT_ATTR_NOATIME },
	{ "nostrictatime", OPTION_ATIME_UNSET, MOUNT_ATTR_STRICTATIME },
	{ "norelatime", OPTION_ATIME_UNSET, MOUNT_ATTR_RELATIME },
	{ "rro", OPTION_ALL_SET, MOUNT_ATTR_RDONLY },
	{ "rrw", OPTION_ALL_CLEAR, MOUNT_ATTR_RDONLY },
	{ "rnosuid", OPTION_ALL_SET, MOUNT_ATTR_NOSUID },
	{ "rsuid", OPTION_ALL_CLEAR, MOUNT_ATTR_NOSUID },
	{ "rnodev", OPTION_ALL_SET, MOUNT_ATTR_NODEV },
	{ "rdev", OPTION_ALL_CLEAR, MOUNT_ATTR_NODEV },
	{ "rnoexec", OPTION_ALL_SET, MOUNT_ATTR_NOEXEC },
	{ "rexec", OPTION_ALL_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "rnodiratime", OPTION_ALL_SET, MOUNT_ATTR_NODIRATIME },
	{ "rdiratime", OPTION_ALL_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "rnosymfollow", OPTION_ALL_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "rsymfollow", OPTION_ALL_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "rrelatime", OPTION_ALL_ATIME, MOUNT_ATTR_RELATIME },
	{ "rnoatime", OPTION_ALL_ATIME, MOUNT_ATTR_NOATIME },
	{ "rstrictatime", OPTION_ALL_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "ratime", OPTION_ALL_ATIME, MOUNT_ATTR_RELATIME },
	{ "rnorelatime", OPTION_ALL_ATIME, MOUNT_ATTR_RELATIME },
	{ "rnostrictatime", OPTION_ALL_ATIME, MOUNT_ATTR_RELATIME },
	{ "private", OPTION_PROPAGATION, MS_PRIVATE },
	{ "rprivate", OPTION_PROPAGATION, MS_PRIVATE, true },
	{ "shared", OPTION_PROPAGATION, MS_SHARED },
	{ "rshared", OPTION_PROPAGATION, MS_SHARED, true },
	{ "slave", OPTION_PROPAGATION, MS_SLAVE },
	{ "rslave", OPTION_PROPAGATION, MS_SLAVE, true },
	{ "unbindable", OPTION_PROPAGATION, MS_UNBINDABLE },
	{ "runbindable", OPTION_PROPAGATION, MS_UNBINDABLE, true },
	{ "sync", OPTION_SUPER },
	{ "dirsync", OPTION_SUPER },
	{ "mand", OPTION_SUPER },
	{ "lazytime", OPTION_SUPER },
	{ "iversion", OPTION_SUPER },
	{ "async", OPTION_SUPER_UNSET, 1 },
	{ "nomand", OPTION_SUPER_UNSET, 2 },
	{ "nolazytime", OPTION_SUPER_UNSET, 2 },
	{ "noiversion", OPTION_SUPER_UNSET, 2 },
	{ "silent", OPTION_NOTHING },
	{ "loud", OPTION_NOTHING },
	{ "defaults", OPTION_NOTHING },
	{ "notmpcopyup", OPTION_NOTHING },
	{ "bind", OPTION_BIND },
	{ "rbind", OPTION_RBIND },
	{ "remount", OPTION_REMOUNT },
	{ "tmpcopyup", OPTION_COPY_UP },
	{ "idmap", OPTION_IDMAP },
	{ "ridmap", OPTION_RIDMAP },
};

static const struct option *option_find(const char *name)
{
	for (size_t i = 0; i < KIST_COUNT(option_table); i++)
		if (strcmp(option_table[i].name, name) == 0)
			return &option_table[i];
	return NULL;
}

/* mount_setattr(2) takes an access time mode only together with the whole field in the mask to clear. */
static void set_atime(uint64_t *set, uint64_t *clear, uint64_t mode)
{
	*set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | mode;
	*clear |= MOUNT_ATTR__ATIME;
}

static void set_attribute(uint64_t *on, uint64_t *off, uint64_t attribute)
{
	*on |= attribute;
	*off &= ~attribute;
}

static int add_propagation(const struct option *option, struct kist_ns_mount_options *out)
{
	if (out->n_propagation == KIST_NS_PROPAGATIONS)
		return -E2BIG;
	out->propagation[out->n_propagation++] =
	        (struct kist_ns_propagation){ (unsigned long)option->value, option->recursive };
	return 0;
}

static void drop_parameter(struct kist_ns_mount_options *out, const char *name)
{
	char **to = out->parameters;

	for (char **from = to; from && *from; from++) {
		if (kist_streq(*from, name))
			free(*from);
		else
			*to++ = *from;
	}
	if (to)
		*to = NULL;
}

static int apply_option(const struct option *option, struct kist_ns_mount_options *out)
{
	switch (option->kind) {
	case OPTION_SET:
		set_attribute(&out->set, &out->clear, option->value);
		return 0;
	case OPTION_CLEAR:
		set_attribute(&out->clear, &out->set, option->value);
		return 0;
	case OPTION_ATIME:
		set_atime(&out->set, &out->clear, option->value);
		return 0;
	case OPTION_ATIME_UNSET:
		if ((out->set & MOUNT_ATTR__ATIME) == option->value || option->value == MOUNT_ATTR_NOATIME)
			set_atime(&out->set, &out->clear, MOUNT_ATTR_RELATIME);
		return 0;
	case OPTION_ALL_SET:
		set_attribute(&out->all_set, &out->all_clear, option->value);
		return 0;
	case OPTION_ALL_CLEAR:
		set_attribute(&out->all_clear, &out->all_set, option->value);
		return 0;
	case OPTION_ALL_ATIME:
		set_atime(&out->all_set, &out->all_clear, option->value);
		return 0;
	case OPTION_PROPAGATION:
		return add_propagation(option, out);
	case OPTION_SUPER:
		kist_strv_add(&out->parameters, option->name);
		return 0;
	case OPTION_SUPER_UNSET:
		drop_parameter(out, option->name + option->value);
		return 0;
	case OPTION_NOTHING:
		return 0;
	case OPTION_BIND:
		out->bind = true;
		return 0;
	case OPTION_RBIND:
		out->bind = out->recursive = true;
		return 0;
	case OPTION_REMOUNT:
		out->remount = true;
		return 0;
	case OPTION_COPY_UP:
		out->copy_up = true;
		return 0;
	case OPTION_IDMAP:
		out->idmap = KIST_NS_IDMAP;
		return 0;
	case OPTION_RIDMAP:
		out->idmap = KIST_NS_IDMAP_RECURSIVE;
		return 0;
	}
	return -EINVAL;
}

static int check_combination(const struct kist_ns_mount_options *o, const char *type, const char *what,
                             struct kist_error *err)
{
	if (o->bind && !o->remount && o->parameters && o->parameters[0])
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s.options: '%s' has no effect on a bind mount", what,
		                 o->parameters[0]);
	if (o->copy_up && (o->bind || !kist_streq(type, "tmpfs")))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s.options: 'tmpcopyup' is for tmpfs, not %s", what,
		                 o->bind ? "bind" : type);
	if (o->idmap && !o->bind)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "%s.options: 'idmap' is for bind mounts", what);
	return 0;
}

int kist_ns_mount_options_parse(char *const *options, const char *type, const char *what,
                                struct kist_ns_mount_options *out, struct kist_error *err)
{
	struct kist_ns_mount_options o = { .bind = kist_streq(type, "bind") };
	int r = 0;

	for (size_t i = 0; options && options[i] && r == 0; i++) {
		const struct option *option = option_find(options[i]);
		if (!option)
			kist_strv_add(&o.parameters, options[i]);
		else if (apply_option(option, &o) < 0)
			r = kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s.options: more than %d propagation options",
			              what, KIST_NS_PROPAGATIONS);
	}
	if (r == 0)
		r = check_combination(&o, type, what, err);
	if (r < 0) {
		kist_ns_mount_options_free(&o);
		return r;
	}
	*out = o;
	return 0;
}

void kist_ns_mount_options_free(struct kist_ns_mount_options *options)
{
	kist_strv_free(options->parameters);
	options->parameters = NULL;
}

int kist_ns_propagation_parse(const char *name, struct kist_ns_propagation *out)
{
	const struct option *option = option_find(name);

	if (!option || option->kind != OPTION_PROPAGATION)
		return -EINVAL;
	*out = (struct kist_ns_propagation){ (unsigned long)option->value, option->recursive };
	return 0;
}
