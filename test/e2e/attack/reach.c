/* Single attempts that need system calls which a shell has not. Prints "DONE ..." or the errno.
 *
 *   reach pid PID CANARY     the host through /proc/PID: root, cwd, mem, maps, environ, exe for writing, ptrace
 *   reach connect UID PATH   as user UID, connects to a socket and waits for an answer
 *   reach key COMMAND...     a session keyring with the key 'kist-attack', then COMMAND
 *   reach findkey            looks for that key */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int tell(const char *what, long result)
{
	if (result >= 0)
		printf("%s DONE\n", what);
	else
		printf("%s %d\n", what, errno);
	return result < 0;
}

static int reach_pid(const char *pid, const char *canary)
{
	static const struct {
		const char *name;
		int flags;
	} table[] = { { "mem", O_RDWR },
		      { "maps", O_RDONLY },
		      { "environ", O_RDONLY },
		      { "exe", O_WRONLY },
		      { "fd/0", O_RDONLY } };
	static const char *const ways[] = { "root", "cwd" };
	char path[4096], byte;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%s/%s", pid, table[i].name);
		int fd = open(path, table[i].flags);
		/* environ opens for all and then gives nothing. */
		tell(table[i].name, fd >= 0 && strcmp(table[i].name, "environ") == 0 ? read(fd, &byte, 1) - 1 : fd);
	}
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%s/%s/../../../../../../..%s", pid, ways[i], canary);
		tell(ways[i], open(path, O_RDONLY));
	}
	return tell("ptrace", ptrace(PTRACE_SEIZE, atoi(pid), NULL, NULL));
}

static int reach_socket(const char *uid, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char answer[256];

	/* Opened as root: the attack begins behind the permissions of directory and socket. */
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (setgid((gid_t)atoi(uid)) < 0 || setuid((uid_t)atoi(uid)) < 0)
		return tell("setuid", -1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return tell("connect", -1);
	tell("connect", 0);
	tell("send", send(fd, "op=attach\n", 10, MSG_NOSIGNAL));
	struct pollfd p = { .fd = fd, .events = POLLIN };
	poll(&p, 1, 3000);
	ssize_t n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	errno = n == 0 ? EPIPE : errno;
	return tell("answer", n > 0 ? 0 : -1);
}

/* Not by request_key(2), which a filter may refuse alone: in the session keyring, and in those of the user. */
static long find_key(void)
{
	static const int rings[] = { -3, -4, -5 };
	long key = -1;

	for (size_t i = 0; key < 0 && i < sizeof(rings) / sizeof(rings[0]); i++)
		key = syscall(SYS_keyctl, 10 /* KEYCTL_SEARCH */, rings[i], "user", "kist-attack", 0);
	return key;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && strcmp(argv[1], "pid") == 0)
		return reach_pid(argv[2], argv[3]);
	if (argc == 4 && strcmp(argv[1], "connect") == 0)
		return reach_socket(argv[2], argv[3]);
	if (argc > 2 && strcmp(argv[1], "key") == 0) {
		if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0)
			return tell("join", -1);
		if (syscall(SYS_add_key, "user", "kist-attack", "secret", 6, -3 /* session */) < 0)
			return tell("add_key", -1);
		execvp(argv[2], argv + 2);
		return 127;
	}
	if (argc == 2 && strcmp(argv[1], "findkey") == 0)
		return tell("findkey", find_key());
	return 2;
}
