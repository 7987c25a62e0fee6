/* The record of a layer's archive over any bytes: as they are, and as what the compressed part unpacks to. */
#include "core/base/error.h"
#include "core/base/fs.h"
#include "overlay/split_format.h"
#include "overlay/tar_split.h"
#include "test/fuzz/fuzz_main.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

static void changed(void *arg, const char *name, const char *what)
{
	size_t *n = arg;

	*n += strlen(name) + strlen(what);
}

static void replay(const void *data, size_t size)
{
	KIST_CLOSE int record = memfd_create("fuzz", MFD_CLOEXEC);
	KIST_CLOSE int diff = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct kist_error err = { 0 };
	char digest[65] = "";
	size_t n = 0;

	if (record < 0 || diff < 0 || kist_write_all(record, data, size) < 0)
		abort();
	int r = kist_split_replay(record, diff, -1, changed, &n, digest, &err);
	if ((r < 0) != kist_error_is_set(&err) || (r == 0 && strlen(digest) != 64))
		abort();
	kist_error_clear(&err);
	r = kist_split_replay(record, diff, -1, NULL, NULL, digest, &err);
	if ((r < 0) != kist_error_is_set(&err))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room = KIST_SPLIT_HEAD + ZSTD_compressBound(size);
	KIST_FREE uint8_t *whole = kist_alloc(room);

	replay(data, size);
	memcpy(whole, KIST_SPLIT_MAGIC, sizeof(KIST_SPLIT_MAGIC));
	size_t len = ZSTD_compress(whole + KIST_SPLIT_HEAD, room - KIST_SPLIT_HEAD, data, size, 1);
	if (!ZSTD_isError(len))
		replay(whole, KIST_SPLIT_HEAD + len);
	return 0;
}
