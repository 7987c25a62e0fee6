/* The small pid 1, as pid 1 of a pid namespace where this user may make one, else as a subreaper. */
#include "ns/ns.h"

#include "core/base/clock.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Starts init with the command, stdout to *out; tty: its stdin and controlling terminal, or -1. */
static pid_t start(char *const argv[], int *out, int tty)
{
	int pipes[2];
	int argc = 0;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	while (argv[argc])
		argc++;
	unsigned long flags = geteuid() == 0 ? CLONE_NEWPID : 0;
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0);
	if (pid == 0) {
		alarm(30);
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		if (tty >= 0) {
			setsid();
			dup2(tty, 0);
			ioctl(0, TIOCSCTTY, 0);
		}
		_exit(kist_ns_init_main(argc, argv));
	}
	close(pipes[1]);
	*out = pipes[0];
	assert_true(pid > 0);
	return pid;
}

static int run(const char *script, char *text, size_t size)
{
	char *argv[] = { (char *)"kist-init", (char *)"--", (char *)"/bin/sh", (char *)"-c", (char *)script, NULL };
	int out = -1;
	pid_t pid = start(argv, &out, -1);
	size_t len = 0;
	for (ssize_t n; len + 1 < size && (n = read(out, text + len, size - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	close(out);
	return kist_wait_pid(pid);
}

static void test_codes(void **state KIST_UNUSED)
{
	char text[256];
	assert_int_equal(run("exit 0", text, sizeof(text)), 0);
	assert_int_equal(run("exit 7", text, sizeof(text)), 7);
	assert_int_equal(run("kill -TERM $$", text, sizeof(text)), 128 + SIGTERM);
	assert_int_equal(run("kill -KILL $$", text, sizeof(text)), 128 + SIGKILL);
}

static void test_exec_failure(void **state KIST_UNUSED)
{
	static const struct {
		const char *command;
		int code;
	} cases[] = { { "/nonexistent/command", 127 },
		      { "no-such-command-anywhere", 127 },
		      { "/etc/passwd", 126 },
		      { "/tmp", 126 } };
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		char *argv[] = { (char *)"kist-init", (char *)"--", (char *)cases[i].command, NULL };
		char text[256] = "";
		int out = -1;
		pid_t pid = start(argv, &out, -1);
		size_t len = 0;
		for (ssize_t n; len + 1 < sizeof(text) && (n = read(out, text + len, sizeof(text) - 1 - len)) > 0;)
			len += (size_t)n;
		assert_int_equal(kist_wait_pid(pid), cases[i].code);
		assert_non_null(strstr(text, cases[i].command));
		close(out);
	}
	char *none[] = { (char *)"kist-init", (char *)"--", NULL };
	int out = -1;
	assert_int_equal(kist_wait_pid(start(none, &out, -1)), 125);
	close(out);
}

/* Waits for a line of the child. */
static void expect_line(int fd, const char *line)
{
	char text[128] = "";
	for (size_t len = 0; len + 1 < sizeof(text) && !strchr(text, '\n'); len++) {
		if (read(fd, text + len, 1) != 1)
			break;
	}
	text[strcspn(text, "\r\n")] = '\0';
	assert_string_equal(text, line);
}

static void test_forwards(void **state KIST_UNUSED)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGQUIT, SIGCONT };
	for (size_t i = 0; i < KIST_COUNT(signals); i++) {
		KIST_FREE char *script =
		        kist_asprintf("trap 'echo got; exit 9' %s; echo ready; while :; do sleep 0.05; done",
		                      kist_signal_name(signals[i]));
		char *argv[] = { (char *)"kist-init", (char *)"--", (char *)"/bin/sh", (char *)"-c", script, NULL };
		int out = -1;
		pid_t pid = start(argv, &out, -1);
		expect_line(out, "ready");
		assert_int_equal(kill(pid, signals[i]), 0);
		expect_line(out, "got");
		assert_int_equal(kist_wait_pid(pid), 9);
		close(out);
	}
}

/* Orphans come to init and are reaped: none is left as a zombie while the command runs. */
static void test_reaps(void **state KIST_UNUSED)
{
	char text[1024];
	int code = run("for i in 1 2 3 4 5; do (sh -c 'exit 3' & ) ; done; me=$$; i=0\n"
	               "while [ $i -lt 100 ]; do z=0\n"
	               "for s in /proc/[0-9]*/stat; do read -r l < $s || continue; set -- ${l##*) }\n"
	               "[ \"$1\" = Z ] && [ \"$2\" = $PPID ] && z=1; done 2>/dev/null\n"
	               "[ $z = 0 ] && exit 0; i=$((i+1)); sleep 0.05; done; exit 1",
	               text, sizeof(text));
	assert_int_equal(code, 0);
	/* what still runs when the command ends does not change its code */
	assert_int_equal(run("(sh -c 'exit 3' &); sleep 0.1; exit 4", text, sizeof(text)), 4);
}

/* The command gets an empty signal mask. */
static void test_mask(void **state KIST_UNUSED)
{
	char text[256];
	assert_int_equal(
	        run("while read -r k v; do case $k in SigBlk:|SigIgn:) echo $k$v;; esac; done < /proc/self/status",
	            text, sizeof(text)),
	        0);
	assert_non_null(strstr(text, "SigBlk:0000000000000000"));
	assert_non_null(strstr(text, "SigIgn:0000000000000000"));
}

/* The master of a terminal; *slave is its other end. */
static int open_terminal(int *slave)
{
	char name[64];
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
	*slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return master;
}

/* ^Z does not leave the command stopped for ever: it goes on, and ^C ends it. Nor does a use of the terminal from the
 * background, which the command gets then. */
static void test_stops(void **state KIST_UNUSED)
{
	int slave = -1, master = open_terminal(&slave), out = -1;
	char *argv[] = {
		(char *)"kist-init",
		(char *)"--",
		(char *)"/bin/sh",
		(char *)"-c",
		(char *)"n=0; echo ready; while [ $n -lt 3 ]; do read -r line; n=$((n+1)); echo got $line; done; "
		        "kill -TTIN $$; echo on; exec sleep 25",
		NULL
	};
	pid_t pid = start(argv, &out, slave);
	expect_line(out, "ready");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(write(master, "\x1a", 1), 1);
		assert_int_equal(write(master, "x\n", 2), 2);
		expect_line(out, "got x");
	}
	expect_line(out, "on");
	assert_int_equal(write(master, "\x1a", 1), 1);
	assert_int_equal(write(master, "\x03", 1), 1);
	assert_int_equal(kist_wait_pid(pid), 128 + SIGINT);
	close(out);
	close(slave);
	close(master);
}

/* With a terminal the command's group is its foreground: ^C reaches it, and it may read. */
static void test_terminal(void **state KIST_UNUSED)
{
	int slave = -1, master = open_terminal(&slave);
	char *argv[] = { (char *)"kist-init",
		         (char *)"--",
		         (char *)"/bin/sh",
		         (char *)"-c",
		         (char *)"read -r line; echo read $line; trap 'echo interrupted; exit 5' INT; echo ready; "
		                 "while :; do sleep 0.05; done",
		         NULL };
	int out = -1;
	pid_t pid = start(argv, &out, slave);
	assert_int_equal(write(master, "hello\n", 6), 6);
	expect_line(out, "read hello");
	expect_line(out, "ready");
	assert_int_equal(write(master, "\x03", 1), 1);
	expect_line(out, "interrupted");
	assert_int_equal(kist_wait_pid(pid), 5);
	close(out);
	close(slave);
	close(master);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes), cmocka_unit_test(test_exec_failure), cmocka_unit_test(test_forwards),
		cmocka_unit_test(test_reaps), cmocka_unit_test(test_mask),         cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_stops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
