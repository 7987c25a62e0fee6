/* Users and groups from a container's own passwd and group files. passwd(5), group(5).
 *
 * The files are the container's: only regular ones of a sane size are read, found inside its root, and a line that is
 * not well-formed is no entry. A text of digits is always an id, never a name: whoever may write the container's
 * passwd must not decide what "1" means. */
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX_BYTES (1024 * 1024)
#define GROUPS_MAX     65536       /* NGROUPS_MAX */
#define ID_MAX         4294967294U /* the next one means 'unchanged' to the kernel */

/* A piece of a file. */
struct text {
	const char *at;
	size_t len;
};

static bool text_is(struct text text, const char *s)
{
	return strlen(s) == text.len && memcmp(text.at, s, text.len) == 0;
}

/* Cuts off what is before the separator; false when nothing is left. */
static bool text_next(struct text *rest, char separator, struct text *out)
{
	if (!rest->at)
		return false;
	const char *end = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
	*out = *rest;
	if (!end) {
		*rest = (struct text){ NULL, 0 };
		return true;
	}
	out->len = (size_t)(end - rest->at);
	rest->len -= out->len + 1;
	rest->at = end + 1;
	return true;
}

/* 1: an id; 0: not of digits alone; -ERANGE. No sign, no space, no prefix: "1" is 1 (crun's CVE-2026-30892). */
static int id_parse(struct text text, uint32_t *out)
{
	uint64_t value = 0;
	bool range = false;
	if (!text.len)
		return 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return 0;
		value = value * 10 + (uint64_t)(text.at[i] - '0');
		if (value > ID_MAX) {
			range = true;
			value = ID_MAX; /* no overflow in what follows */
		}
	}
	if (range)
		return -ERANGE;
	*out = (uint32_t)value;
	return 1;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* 0 with an empty text: there is none. Opened by path first: to open a FIFO waits and to open a device may act
 * (CVE-2024-9676). */
static int file_read(int rootfs_fd, const char *name, struct kist_str *out, struct kist_error *err)
{
	struct stat st;
	KIST_CLOSE int path = kist_open_in_root(rootfs_fd, name, O_PATH | O_CLOEXEC, 0);
	if (path == -ENOENT || path == -ENOTDIR)
		return 0;
	if (path < 0)
		return kist_fail_errno(err, -path, "open /%s of the container", name);
	if (fstat(path, &st) < 0)
		return kist_fail_errno(err, errno, "stat /%s of the container", name);
	if (!S_ISREG(st.st_mode))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "/%s of the container is not a regular file", name);
	if (st.st_size > FILE_MAX_BYTES)
		return kist_fail(err, KIST_ERR_INVALID, EFBIG, "/%s of the container is larger than 1 MiB", name);
	KIST_CLOSE int fd = kist_reopen(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? fd : kist_read_fd(fd, FILE_MAX_BYTES, out);
	if (r < 0)
		return kist_fail_errno(err, -r, "read /%s of the container", name);
	return 0;
}

/* The next line that has at least n fields; those are cut out, the last one keeps the rest of the line. */
static bool line_next(struct text *rest, struct text *fields, size_t n)
{
	struct text line;
	while (text_next(rest, '\n', &line)) {
		size_t got = 0;
		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		/* '+' and '-' are NIS's */
		if (!line.len || strchr("#+-:", line.at[0]) || memchr(line.at, '\0', line.len))
			continue;
		while (got + 1 < n && text_next(&line, ':', &fields[got]))
			got++;
		if (got + 1 < n || !line.at)
			continue;
		fields[got] = line;
		return true;
	}
	return false;
}

struct passwd_entry {
	struct text name, home;
	uint32_t uid, gid;
};

static bool passwd_next(struct text *rest, struct passwd_entry *out)
{
	struct text fields[7]; /* name password uid gid gecos home shell */
	while (line_next(rest, fields, KIST_COUNT(fields))) {
		if (id_parse(fields[2], &out->uid) != 1 || id_parse(fields[3], &out->gid) != 1)
			continue;
		out->name = fields[0];
		out->home = fields[5];
		return true;
	}
	return false;
}

struct group_entry {
	struct text name, members;
	uint32_t gid;
};

static bool group_next(struct text *rest, struct group_entry *out)
{
	struct text fields[4]; /* name password gid members */
	while (line_next(rest, fields, KIST_COUNT(fields))) {
		if (id_parse(fields[2], &out->gid) != 1)
			continue;
		out->name = fields[0];
		out->members = fields[3];
		return true;
	}
	return false;
}

static bool group_lists(const struct group_entry *group, const char *name)
{
	struct text rest = group->members, member;
	while (text_next(&rest, ',', &member)) {
		if (text_is(member, name))
			return true;
	}
	return false;
}

/* --- look-up ------------------------------------------------------------------------------------------------------ */

struct lookup {
	char *user, *group; /* as asked for; group NULL: not */
	struct kist_str passwd, groups;
	uint32_t uid, gid;
	char *name, *home;
	uint32_t *gids;
	size_t n_gids;
};

static void lookup_clear(struct lookup *lookup)
{
	free(lookup->user);
	free(lookup->group);
	kist_str_free(&lookup->passwd);
	kist_str_free(&lookup->groups);
	free(lookup->name);
	free(lookup->home);
	free(lookup->gids);
}

static int gid_add(struct lookup *lookup, uint32_t gid, struct kist_error *err)
{
	for (size_t i = 0; i < lookup->n_gids; i++) {
		if (lookup->gids[i] == gid)
			return 0;
	}
	if (lookup->n_gids == GROUPS_MAX)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "user is in more than %d groups", GROUPS_MAX);
	lookup->gids = kist_grow(lookup->gids, lookup->n_gids + 1, sizeof(*lookup->gids));
	lookup->gids[lookup->n_gids++] = gid;
	return 0;
}

static int split(struct lookup *lookup, const char *user, struct kist_error *err)
{
	const char *colon = strchr(user, ':');
	if (colon && strchr(colon + 1, ':'))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "user '%s': more than one ':'", user);
	lookup->user = colon ? kist_strndup(user, (size_t)(colon - user)) : kist_strdup(user);
	if (colon && colon[1])
		lookup->group = kist_strdup(colon + 1);
	return 0;
}

static struct text text_of(const char *s)
{
	return (struct text){ s, strlen(s) };
}

static struct text text_of_file(const struct kist_str *file)
{
	return (struct text){ kist_str_get(file), file->len };
}

static int user_find(struct lookup *lookup, struct kist_error *err)
{
	struct text rest = text_of_file(&lookup->passwd);
	struct passwd_entry entry;
	uint32_t uid = 0;
	int numeric = *lookup->user ? id_parse(text_of(lookup->user), &uid) : 1;
	if (numeric < 0)
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "user '%s': ids are 0 to %u", lookup->user, ID_MAX);
	while (passwd_next(&rest, &entry)) {
		if (!(numeric ? entry.uid == uid : text_is(entry.name, lookup->user)))
			continue;
		lookup->uid = entry.uid;
		lookup->gid = entry.gid;
		lookup->name = kist_strndup(entry.name.at, entry.name.len);
		lookup->home = entry.home.len ? kist_strndup(entry.home.at, entry.home.len) : NULL;
		return 0;
	}
	if (!numeric)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "user '%s': not in the container's /etc/passwd",
		                 lookup->user);
	lookup->uid = uid;
	return 0;
}

static int group_find(const struct lookup *lookup, const char *group, uint32_t *out, struct kist_error *err)
{
	struct text rest = text_of_file(&lookup->groups);
	struct group_entry entry;
	int numeric = id_parse(text_of(group), out);
	if (numeric < 0)
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "group '%s': ids are 0 to %u", group, ID_MAX);
	if (numeric)
		return 0;
	while (group_next(&rest, &entry)) {
		if (text_is(entry.name, group)) {
			*out = entry.gid;
			return 0;
		}
	}
	return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "group '%s': not in the container's /etc/group", group);
}

/* The primary group first: without it a process could shed it by setgid and gain what is denied to it (CVE-2022-2989).
 * A group that was asked for stands alone, as with podman. */
static int groups_find(struct lookup *lookup, char *const *extra, struct kist_error *err)
{
	struct text rest = text_of_file(&lookup->groups);
	struct group_entry entry;
	int r = gid_add(lookup, lookup->gid, err);
	while (r >= 0 && !lookup->group && lookup->name && group_next(&rest, &entry)) {
		if (group_lists(&entry, lookup->name))
			r = gid_add(lookup, entry.gid, err);
	}
	for (size_t i = 0; r >= 0 && extra && extra[i]; i++) {
		uint32_t gid = 0;
		r = group_find(lookup, extra[i], &gid, err);
		if (r >= 0)
			r = gid_add(lookup, gid, err);
	}
	return r;
}

static bool numeric_or_empty(const char *s)
{
	uint32_t id;
	return kist_empty(s) || id_parse(text_of(s), &id) != 0;
}

/* A file that is refused stops only those who need a name from it: an id works in any image. */
static int lookup_read(int rootfs_fd, const char *file, bool needed, struct kist_str *out, struct kist_error *err)
{
	struct kist_error local = { 0 };
	int r = file_read(rootfs_fd, file, out, &local);
	if (r >= 0)
		return 0;
	kist_str_clear(out);
	if (needed)
		return kist_fail(err, local.kind, local.errnum, "%s", local.text);
	kist_debug("%s; taken as empty", local.text);
	return 0;
}

static int lookup_run(struct lookup *lookup, int rootfs_fd, const char *user, char *const *extra,
                      struct kist_error *err)
{
	bool group_needed = false;
	int r = split(lookup, user ? user : "", err);
	if (r < 0)
		return r;
	for (size_t i = 0; extra && extra[i]; i++)
		group_needed |= !numeric_or_empty(extra[i]);
	group_needed |= !numeric_or_empty(lookup->group);
	r = lookup_read(rootfs_fd, "etc/passwd", !numeric_or_empty(lookup->user), &lookup->passwd, err);
	if (r >= 0)
		r = lookup_read(rootfs_fd, "etc/group", group_needed, &lookup->groups, err);
	if (r >= 0)
		r = user_find(lookup, err);
	if (r >= 0 && lookup->group)
		r = group_find(lookup, lookup->group, &lookup->gid, err);
	if (r >= 0)
		r = groups_find(lookup, extra, err);
	return r;
}

int kist_ns_user_lookup(int rootfs_fd, const char *user, char *const *extra_groups, struct kist_spec_user *out,
                        char **home, char **name, struct kist_error *err)
{
	struct lookup lookup = { 0 };
	int r = lookup_run(&lookup, rootfs_fd, user, extra_groups, err);
	if (r >= 0) {
		out->uid = lookup.uid;
		out->gid = lookup.gid;
		free(out->additional_gids);
		out->additional_gids = kist_steal(&lookup.gids);
		out->n_additional_gids = lookup.n_gids;
		if (home)
			*home = lookup.home && *lookup.home == '/' ? kist_steal(&lookup.home) : kist_strdup("/");
		if (name)
			*name = kist_steal(&lookup.name);
	}
	lookup_clear(&lookup);
	return r < 0 ? r : 0;
}
