/* Times commands side by side: fork, exec, wait, in turns, so that a slow minute of the machine hits all alike.
 *
 *   timeit [-n ROUNDS] [-w WARM-UP ROUNDS] NAME COMMAND [ARGUMENT...] [-- NAME COMMAND ...]...
 *
 * For each: median, 10th and 90th percentile in microseconds, the failures, and the most memory in KiB. Output of the
 * commands goes to /dev/null.
 * "%d" inside an argument becomes the number of the round, for commands that need a fresh name. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_COMMANDS = 32, MAX_ARGUMENTS = 128, MAX_ROUNDS = 10000 };

struct command {
	const char *name;
	char **argv;
	int64_t *times; /* nanoseconds */
	size_t count;
	unsigned failures;
	long memory; /* KiB: the largest resident set */
};

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fill_number(char **argv, char **filled, unsigned number)
{
	size_t i;

	for (i = 0; i < MAX_ARGUMENTS - 1 && argv[i]; i++) {
		char *at = strstr(argv[i], "%d");

		filled[i] = argv[i];
		if (at && asprintf(&filled[i], "%.*s%u%s", (int)(at - argv[i]), argv[i], number, at + 2) < 0)
			_exit(126);
	}
	filled[i] = NULL;
}

static int64_t run(char **argv, unsigned number, int null, int *failed, long *memory)
{
	struct rusage usage = { 0 };
	char *filled[MAX_ARGUMENTS];
	int64_t start;
	int status;
	pid_t pid;

	fill_number(argv, filled, number);
	start = now();
	pid = vfork();
	if (pid < 0) {
		perror("timeit: vfork");
		exit(1);
	}
	if (pid == 0) {
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(filled[0], filled);
		_exit(127);
	}
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	*memory = usage.ru_maxrss > *memory ? usage.ru_maxrss : *memory;
	*failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return now() - start;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static int64_t percentile(const struct command *c, unsigned percent)
{
	return c->count ? c->times[(c->count - 1) * percent / 100] : 0;
}

static size_t parse(char **argv, struct command *commands)
{
	size_t n = 0;

	while (*argv && n < MAX_COMMANDS) {
		struct command *c = &commands[n++];

		c->name = *argv++;
		c->argv = argv;
		if (!*argv || strcmp(*argv, "--") == 0) {
			fprintf(stderr, "timeit: no command for '%s'\n", c->name);
			exit(2);
		}
		while (*argv && strcmp(*argv, "--") != 0)
			argv++;
		if (*argv)
			*argv++ = NULL;
	}
	return n;
}

int main(int argc, char **argv)
{
	static struct command commands[MAX_COMMANDS];
	long rounds = 50, warm_up = 3;
	int null, option;
	size_t n;

	while ((option = getopt(argc, argv, "+n:w:")) != -1) {
		if (option == 'n')
			rounds = strtol(optarg, NULL, 10);
		else if (option == 'w')
			warm_up = strtol(optarg, NULL, 10);
		else
			return 2;
	}
	if (rounds < 1 || rounds > MAX_ROUNDS || warm_up < 0 || optind == argc) {
		fprintf(stderr, "usage: timeit [-n ROUNDS] [-w WARM-UP] NAME COMMAND [ARGUMENT...] [-- ...]\n");
		return 2;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	n = parse(argv + optind, commands);
	for (size_t i = 0; i < n; i++)
		commands[i].times = calloc((size_t)rounds, sizeof(int64_t));
	for (long round = -warm_up; round < rounds; round++) {
		for (size_t i = 0; i < n; i++) {
			int failed;
			int64_t took =
			        run(commands[i].argv, (unsigned)(round + warm_up), null, &failed, &commands[i].memory);

			if (failed)
				commands[i].failures++;
			else if (round >= 0)
				commands[i].times[commands[i].count++] = took;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct command *c = &commands[i];

		qsort(c->times, c->count, sizeof(c->times[0]), compare);
		printf("%s %lld %lld %lld %u %ld\n", c->name, (long long)percentile(c, 50) / 1000,
		       (long long)percentile(c, 10) / 1000, (long long)percentile(c, 90) / 1000, c->failures,
		       c->memory);
	}
	return 0;
}
