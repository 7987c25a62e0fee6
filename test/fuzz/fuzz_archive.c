/* An archive of images over any bytes: members are found by name, and lie inside the file. */
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/archive.h"
#include "test/fuzz/fuzz_main.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void look_up(const struct kist_archive *archive, const char *name, size_t size)
{
	struct kist_archive_member member = { .fd = -1 };
	KIST_STR struct kist_str text = { 0 };
	struct kist_error err = { 0 };

	int r = kist_archive_find(archive, name, &member, &err);
	if ((r < 0) != kist_error_is_set(&err) || (r == 0) != kist_archive_has(archive, name))
		abort();
	if (r < 0)
		return;
	if (member.offset > size || member.length > size - member.offset)
		abort();
	close(member.fd);
	if (kist_archive_read(archive, name, 1 << 16, &text, NULL) == 0 && text.len != member.length)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KIST_CLOSE int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct kist_archive *archive = NULL;
	struct kist_error err = { 0 };

	if (fd < 0 || kist_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	/* Compressed ones would have to be kept somewhere: without a place that is an error. */
	int r = kist_archive_open(fd, -1, &archive, &err);
	if ((r < 0) != kist_error_is_set(&err))
		abort();
	if (r < 0)
		return 0;
	look_up(archive, "manifest.json", size);
	look_up(archive, "../a/./link", size);
	look_up(archive, "", size);
	kist_archive_close(archive);
	return 0;
}
