/* User look-up: the first line is the user asked for, the second --group-add; then passwd and, behind a 0xff byte,
 * group. */
#include "fuzz_main.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "ns/ns.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The two files, made once: a root in memory. */
static int root = -1, passwd = -1, group = -1;
static char path[] = "/dev/shm/kist-fuzz-XXXXXX";

static void root_remove(void)
{
	kist_remove_tree(AT_FDCWD, path);
}

static void root_make(void)
{
	if (!mkdtemp(path))
		abort();
	atexit(root_remove);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || mkdirat(root, "etc", 0700) < 0)
		abort();
	passwd = openat(root, "etc/passwd", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	group = openat(root, "etc/group", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (passwd < 0 || group < 0)
		abort();
}

static void file_put(int fd, const uint8_t *data, size_t size)
{
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
}

static char *line_take(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size ? memchr(*data, '\n', *size) : NULL;
	size_t len = end ? (size_t)(end - *data) : *size;
	char *line = kist_strndup((const char *)*data, len);
	*data += end ? len + 1 : len;
	*size -= end ? len + 1 : len;
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (root < 0)
		root_make();
	KIST_FREE char *user = line_take(&data, &size);
	KIST_FREE char *extra = line_take(&data, &size);
	const uint8_t *cut = size ? memchr(data, 0xff, size) : NULL;
	size_t first = cut ? (size_t)(cut - data) : size;
	file_put(passwd, data, first);
	file_put(group, data + first, size - first);

	struct kist_spec_user out = { .uid = 4242 };
	struct kist_error err = { 0 };
	KIST_FREE char *home = NULL;
	KIST_FREE char *name = NULL;
	char *groups[] = { *extra ? extra : NULL, NULL };
	int r = kist_ns_user_lookup(root, user, groups, &out, &home, &name, &err);
	if (r < 0) {
		if (!kist_error_is_set(&err) || out.uid != 4242 || home || name)
			abort();
		return 0;
	}
	if (!home || home[0] != '/' || !out.n_additional_gids || out.additional_gids[0] != out.gid ||
	    out.uid == UINT32_MAX || out.gid == UINT32_MAX)
		abort();
	/* digits are that id, whatever the files say */
	if (*user && strspn(user, "0123456789") == strlen(user) && strtoull(user, NULL, 10) != out.uid)
		abort();
	free(out.additional_gids);
	return 0;
}
