/* Processes on their way to their end, held there. ends threads: its first thread ends, another goes on, and SIGTERM
 * ends it with 7. ends hold PID: holds that process once it is killed, until the standard input ends. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void ended(int signal_number)
{
	(void)signal_number;
	_exit(7);
}

static void *go_on(void *arg)
{
	(void)arg;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
	return NULL;
}

static int threads(void)
{
	pthread_t thread;

	signal(SIGTERM, ended);
	if (pthread_create(&thread, NULL, go_on, NULL) != 0)
		return 1;
	pthread_exit(NULL);
}

static int hold(pid_t pid)
{
	char byte;
	int status;

	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	do
		if (waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status))
			return 2;
	while (status >> 16 != PTRACE_EVENT_EXIT && ptrace(PTRACE_CONT, pid, 0, 0) == 0);
	puts("held");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		continue;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "hold") == 0)
		return hold(atoi(argv[2]));
	return threads();
}
