/* Where programs that use the library find the kist program, which they execute as the monitor of each container. A
 * file of its own, because the path is set when the library is built for a prefix. */
#include "core/internal.h"

#include <stdlib.h>

const char *kist_binary_default(void)
{
	const char *named = getenv("KIST_BINARY");

	return kist_empty(named) ? KIST_BINARY_PATH : named;
}
