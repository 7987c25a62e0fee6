/* Shows every descriptor that a program finds open, "NUMBER TARGET", and whether one of them leads to a file of the
 * host: "escape NUMBER".
 *
 *   fds [CANARY]
 *
 * Nothing is opened before the look, so that the list is what the engine left. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char open_fds[4096];

	for (int fd = 0; fd < (int)sizeof(open_fds); fd++)
		open_fds[fd] = fcntl(fd, F_GETFD) >= 0;
	for (int fd = 0; fd < (int)sizeof(open_fds); fd++) {
		char name[32], target[4096] = "?";
		if (!open_fds[fd])
			continue;
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		if (readlink(name, target, sizeof(target) - 1) < 0)
			perror(name);
		dprintf(1, "%d %s\n", fd, target);
		char path[4200];
		snprintf(path, sizeof(path), "../../../../../../../../../..%s", argc > 1 ? argv[1] : "/");
		if (argc > 1 && openat(fd, path, O_RDONLY) >= 0)
			dprintf(1, "escape %d\n", fd);
	}
	return 0;
}
