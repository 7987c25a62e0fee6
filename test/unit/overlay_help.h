/* What the tests of overlay/ share: a scratch directory, a shell for the oracles (GNU tar, bsdtar, find, getfattr), and
 * a maker of archives byte by byte. Included by one file of each program. */
#ifndef KIST_TEST_OVERLAY_HELP_H
#define KIST_TEST_OVERLAY_HELP_H

#include "test/unit/child.h"
#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs a shell script with $W as the scratch directory; returns its exit code. */
KIST_UNUSED static int shell(const char *scratch, const char *script)
{
	int status;
	pid_t pid = child_fork();

	if (pid == 0) {
		setenv("W", scratch, 1);
		setenv("LC_ALL", "C.UTF-8", 1);
		if (chdir(scratch) == 0)
			execl("/bin/sh", "sh", "-euc", script, NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define must(scratch, script) assert_int_equal(shell(scratch, script), 0)

/* A directory on a real file system: tmpfs lacks some attributes on older kernels. */
KIST_UNUSED static int scratch_make(void **state)
{
	const char *top = getenv("KIST_TEST_DIR");
	char *path = kist_asprintf("%s/kist-test-XXXXXX", top ? top : "/var/tmp");

	assert_non_null(mkdtemp(path));
	assert_int_equal(chmod(path, 0755), 0);
	*state = path;
	return 0;
}

KIST_UNUSED static int scratch_remove(void **state)
{
	int r = kist_remove_tree(AT_FDCWD, *state);

	free(*state);
	return r;
}

KIST_UNUSED static int open_dir(const char *scratch, const char *name)
{
	KIST_FREE char *path = kist_asprintf("%s/%s", scratch, name);
	int fd;

	mkdir(path, 0755);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

KIST_UNUSED static int open_file(const char *scratch, const char *name)
{
	KIST_FREE char *path = kist_asprintf("%s/%s", scratch, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* The bytes as a file to read from. */
KIST_UNUSED static int memory_file(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(kist_write_all(fd, data, len), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* --- archives, byte by byte ----------------------------------------------------------------------------------------
 */

#define TAR_BLOCK 512

struct raw_header {
	char type;
	const char *name, *link;
	uint64_t size;
	uint32_t mode, uid, gid, major, minor;
};

/* A field of octal digits with its NUL. */
static void tar_octal(unsigned char *field, size_t len, uint64_t value)
{
	field[--len] = '\0';
	for (; len > 0; value >>= 3)
		field[--len] = (unsigned char)('0' + (value & 7));
}

KIST_UNUSED static void tar_checksum(unsigned char *block)
{
	unsigned sum = 0;

	memset(block + 148, ' ', 8);
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += block[i];
	tar_octal(block + 148, 7, sum);
}

/* Appends a ustar header; returns its offset, for tests that spoil it afterwards (and call tar_checksum again). */
KIST_UNUSED static size_t tar_header(struct kist_str *tar, const struct raw_header *h)
{
	unsigned char block[TAR_BLOCK] = { 0 };
	size_t at = tar->len;

	memcpy(block, h->name, strnlen(h->name, 100));
	tar_octal(block + 100, 8, h->mode ? h->mode : 0644);
	tar_octal(block + 108, 8, h->uid);
	tar_octal(block + 116, 8, h->gid);
	tar_octal(block + 124, 12, h->size);
	tar_octal(block + 136, 12, 1000000000);
	block[156] = (unsigned char)h->type;
	if (h->link)
		memcpy(block + 157, h->link, strnlen(h->link, 100));
	memcpy(block + 257, "ustar\00000", 8);
	tar_octal(block + 329, 8, h->major);
	tar_octal(block + 337, 8, h->minor);
	tar_checksum(block);
	kist_str_addn(tar, block, sizeof(block));
	return at;
}

KIST_UNUSED static void tar_data(struct kist_str *tar, const void *data, size_t len)
{
	static const char zeros[TAR_BLOCK];

	kist_str_addn(tar, data, len);
	kist_str_addn(tar, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

KIST_UNUSED static void tar_end(struct kist_str *tar)
{
	static const char zeros[2 * TAR_BLOCK];

	kist_str_addn(tar, zeros, sizeof(zeros));
}

KIST_UNUSED static void tar_file(struct kist_str *tar, const char *name, const char *text)
{
	tar_header(tar, &(struct raw_header){ .type = '0', .name = name, .size = strlen(text) });
	tar_data(tar, text, strlen(text));
}

KIST_UNUSED static void tar_link(struct kist_str *tar, char type, const char *name, const char *target)
{
	tar_header(tar, &(struct raw_header){ .type = type, .name = name, .link = target });
}

KIST_UNUSED static void tar_dir(struct kist_str *tar, const char *name)
{
	tar_header(tar, &(struct raw_header){ .type = '5', .name = name, .mode = 0755 });
}

/* One pax header ('x' or 'g') of "key=value" records. */
KIST_UNUSED static void tar_pax(struct kist_str *tar, char type, const char *const *records)
{
	KIST_STR struct kist_str text = { 0 };

	for (size_t i = 0; records[i]; i++) {
		size_t len = strlen(records[i]) + 3; /* a digit, a space, a newline */

		if (len > 9)
			len++;
		if (len > 99)
			len++;
		if (len > 999)
			len++;
		kist_str_addf(&text, "%zu %s\n", len, records[i]);
	}
	tar_header(tar, &(struct raw_header){ .type = type, .name = "pax", .size = text.len });
	tar_data(tar, text.data, text.len);
}

#endif
