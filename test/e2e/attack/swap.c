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
			/* In turn bursts, and each state for as long as a mount or the making of a directory takes. The
			 * divisors are odd, so that both states are waited in. */
			if (swaps / 2048 % 2 == 0 && swaps % 17 == 0)
				usleep((useconds_t)(swaps / 17 % 7) * 100);
			if (swaps / 2048 % 2 == 1)
				usleep((useconds_t)(swaps % 7) * 50);
		}
	}
	printf("swaps %lu\n", swaps);
	return 0;
}
