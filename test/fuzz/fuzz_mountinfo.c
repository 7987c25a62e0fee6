/* The parser of mountinfo and of /proc/self/cgroup. With -DKIST_FUZZ_MAIN: a program that runs the files it is given.
 */
#include "cgroup/internal.h"
#include "core/base/base.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of the exact size, so that a read past the end is seen. */
	char *text = malloc(size ? size : 1);
	const char *cursor = text, *end = text + size;
	struct kist_cgroup_mount mount = { 0 };

	if (!text)
		return 0;
	memcpy(text, data, size);
	while (kist_cgroup_mountinfo_next(&cursor, end, &mount) > 0) {
		if (mount.root[0] != '/' || mount.point[0] != '/' || cursor > end)
			abort();
		kist_cgroup_mount_clear(&mount);
	}
	if (cursor != end)
		abort();
	free(text);

	char *string = kist_strndup((const char *)data, size);
	char *self = kist_cgroup_self_parse(string, string[0] == '0' ? "/" : string + strlen(string) / 2);
	if (self && self[0] != '/')
		abort();
	free(self);
	free(string);
	return 0;
}

#ifdef KIST_FUZZ_MAIN
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rbe");
		static uint8_t buffer[1 << 20];

		if (!f) {
			perror(argv[i]);
			return 1;
		}
		size_t n = fread(buffer, 1, sizeof(buffer), f);
		(void)fclose(f);
		(void)LLVMFuzzerTestOneInput(buffer, n);
	}
	return 0;
}
#endif
