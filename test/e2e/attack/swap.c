/* Swaps two names of a directory as fast as it can, for links that change between a check and a use.
 *
 *   swap DIRECTORY NAME NAME SECONDS
 *
 * Prints how often it did. Between two swaps each name exists: renameat2(2) exchanges them at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	unsigned long swaps = 0;

	if (argc != 5)
		return 2;
	int dir = open(argv[1], O_PATH | O_DIRECTORY);
	if (dir < 0) {
		perror(argv[1]);
		return 1;
	}
	double end = now() + atof(argv[4]);
	while (now() < end) {
		for (int i = 0; i < 64; i++) {
			if (renameat2(dir, argv[2], dir, argv[3], RENAME_EXCHANGE) < 0) {
				perror("renameat2");
				return 1;
			}
			swaps++;
			/* Now and then long enough for a whole mount to happen in one of the two states. */
			if (swaps % 16 == 0)
				usleep((useconds_t)(swaps / 16 % 7) * 100);
		}
	}
	printf("swaps %lu\n", swaps);
	return 0;
}
