/* Where programs that use the library find the kist program, which they execute as the monitor of each container (a
 * file of its own, because the path is set when the library is built for a prefix); and its doors for first processes.
 */
#include "core/internal.h"

#include "ns/ns.h"

#include <stdlib.h>

const char *kist_binary_default(void)
{
	const char *named = getenv("KIST_BINARY");

	return kist_empty(named) ? KIST_BINARY_PATH : named;
}

int kist_init_main(int argc, char **argv)
{
	return kist_streq(argv[0], "kist-pause") ? kist_ns_pause_main() : kist_ns_init_main(argc, argv);
}
