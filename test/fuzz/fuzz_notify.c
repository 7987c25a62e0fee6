/* What a container says through its notify socket. */
#include "core/base/str.h"
#include "core/notify.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KIST_STR struct kist_str out = { 0 }, again = { 0 };
	bool ready = kist_notify_filter((const char *)data, size, &out);

	/* What went through goes through again, as it is. */
	if (kist_notify_filter(kist_str_get(&out), out.len, &again) != ready || again.len != out.len ||
	    memcmp(kist_str_get(&again), kist_str_get(&out), out.len) != 0)
		abort();
	return 0;
}
