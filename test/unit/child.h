/* A child, or no test: kill(2) of the -1 that a failed fork(2) returns reaches every process of the machine. */
#ifndef KIST_TEST_CHILD_H
#define KIST_TEST_CHILD_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static inline pid_t child_fork(void)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("fork");
		abort();
	}
	return pid;
}

#endif
