/* The tar reader over any bytes, plain and compressed: what it hands out must be clean names, and segments inside the
 * file. With KIST_FUZZ_EXTRACT=1 in the environment each input is also unpacked, into a scratch directory under /tmp.
 */
#include "core/base/error.h"
#include "core/base/fs.h"
#include "overlay/overlay.h"
#include "overlay/stream.h"
#include "overlay/tar_read.h"
#include "test/fuzz/fuzz_main.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct kist_tar_limits limits = { .entries = 1000, .bytes = 8 << 20 };

static void check_name(const char *name)
{
	if (*name == '/' || strstr(name, "//"))
		abort();
	while (*name) {
		size_t n = strcspn(name, "/");

		if (n == 0 || (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
			abort();
		name += n;
		name += *name == '/';
	}
}

static void check_entry(const struct kist_tar_entry *entry)
{
	check_name(kist_str_get(&entry->name));
	if (entry->type == '1')
		check_name(kist_str_get(&entry->link));
	if (!strchr("0123456", entry->type) || entry->mode > 07777 || entry->mtime_nsec > 999999999)
		abort();
	for (size_t i = 0; entry->map && i < entry->map->n; i++) {
		const struct kist_tar_segment *s = &entry->map->segments[i];

		if (s->len > entry->size || s->offset > entry->size - s->len)
			abort();
	}
}

static void parse(int fd)
{
	KIST_STREAM struct kist_stream *stream = NULL;
	KIST_TAR_READER struct kist_tar_reader reader;

	kist_tar_reader_init(&reader, NULL, &limits);
	if (kist_stream_open(fd, &stream, NULL) < 0)
		return;
	reader.stream = stream;
	for (;;) {
		struct kist_error err = { 0 };
		int r = kist_tar_next(&reader, &err);

		if ((r < 0) != kist_error_is_set(&err))
			abort();
		if (r <= 0)
			break;
		check_entry(&reader.entry);
	}
}

static void extract(int fd)
{
	char path[] = "/tmp/kist-fuzz-XXXXXX";
	int dir;

	if (!mkdtemp(path))
		abort();
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	kist_tar_extract(fd, dir, KIST_TAR_WHITEOUTS, &limits, NULL, NULL);
	close(dir);
	kist_remove_tree(AT_FDCWD, path);
}

/* A mutation all but never hits the checksum: repaired, what is in the header gets read. */
static void repair(uint8_t *data, size_t size)
{
	for (size_t at = 0; at + 512 <= size; at += 512) {
		uint8_t *block = data + at;
		unsigned sum = 8 * ' ';

		if (memcmp(block + 257, "ustar", 5) != 0)
			continue;
		for (int i = 0; i < 512; i++)
			sum += i >= 148 && i < 156 ? 0 : block[i];
		snprintf((char *)block + 148, 8, "%06o", sum & 0777777);
	}
}

static void run(const uint8_t *data, size_t size)
{
	KIST_CLOSE int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || kist_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	parse(fd);
	if (getenv("KIST_FUZZ_EXTRACT") && lseek(fd, 0, SEEK_SET) == 0)
		extract(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KIST_FREE uint8_t *copy = kist_alloc(size + 1);

	run(data, size);
	memcpy(copy, data, size);
	repair(copy, size);
	if (memcmp(copy, data, size) != 0)
		run(copy, size);
	return 0;
}
