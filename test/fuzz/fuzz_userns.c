/* The words of --userns, of the option idmap of mounts, and the files of subordinate ids. */
#include "core/base/error.h"
#include "core/userns.h"
#include "ns/ns.h"

#include "test/fuzz/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct kist_spec_id_map *maps = NULL;
	struct kist_userns_auto a;
	struct kist_error err = { 0 };
	size_t n = 0;
	uint32_t host;

	memcpy(text, data, size);
	text[size] = '\0';
	if (kist_userns_auto_parse(text, &a, &err) == 0) {
		kist_userns_fill(a.size, a.uids, a.n_uids, 1, &maps, &n, &host, &err);
		kist_userns_auto_clear(&a);
	}
	kist_subid_parse(text, "containers", &maps, &n);
	kist_ns_userns_map_parse(text, &maps, &n);
	struct kist_container_config config = { .uid_map = maps, .n_uid_map = n };
	struct kist_spec_mount mount = { 0 };
	kist_error_clear(&err);
	kist_idmap_parse(text, &config, &mount, &err);
	free(mount.uid_mappings);
	free(mount.gid_mappings);
	free(maps);
	free(text);
	return 0;
}
