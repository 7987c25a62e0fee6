/* The small pid 1 of --init: one child, every signal passed on to it, every orphan reaped, its exit code returned. */
#include "ns/ns.h"

#include "core/base/proc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a fault of this process itself raises must not be blocked. */
static const int faults[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };

/* stderr without stdio: nothing else in this process needs its buffers. */
static void complain(const char *what, int errnum)
{
	const char *parts[] = { "kist-init: ", what, ": ", strerror(errnum), "\n" };
	for (size_t i = 0; i < KIST_COUNT(parts); i++) {
		if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0)
			return;
	}
}

/* The child's group becomes the terminal's foreground, so that ^C and ^Z reach it. A background process that asks gets
 * SIGTTOU; all signals are still blocked here. ENOTTY where there is no terminal, EPERM where it is another session's.
 */
static void take_foreground(void)
{
	if (isatty(STDIN_FILENO) && tcsetpgrp(STDIN_FILENO, getpgrp()) < 0 && errno != ENOTTY && errno != EPERM)
		complain("hand over the terminal", errno);
}

static _Noreturn void run_child(char *const argv[])
{
	setpgid(0, 0);
	take_foreground();
	kist_reset_signals();
	execvp(argv[0], argv);
	int errnum = errno;
	complain(argv[0], errnum);
	_exit(errnum == ENOENT || errnum == ENOTDIR ? 127 : 126);
}

/* The child was stopped by its terminal: nobody but this process could continue it. Without an init it would be pid 1,
 * which ^Z does not stop and which may read. What a SIGSTOP stopped waits for the SIGCONT of whoever sent it. */
static void continue_child(pid_t child, int signal_number)
{
	pid_t group = getpgid(child);

	if (group <= 0 || group == getpgrp())
		return;
	/* It waits to use the terminal: without it, it would stop again at once. */
	bool waits = signal_number == SIGTTIN || signal_number == SIGTTOU;
	if ((waits && tcsetpgrp(STDIN_FILENO, group) == 0) || signal_number == SIGTSTP)
		kill(-group, SIGCONT);
}

/* Reaps what there is; true once the child itself was among it. */
static bool reap(pid_t child, int *code)
{
	bool done = false;
	int status = 0;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
		if (pid != child)
			continue;
		if (WIFSTOPPED(status)) {
			continue_child(child, WSTOPSIG(status));
			continue;
		}
		*code = kist_exit_code(status);
		done = true;
	}
	return done;
}

static int supervise(pid_t child, const sigset_t *signals)
{
	int code = 0;
	for (;;) {
		siginfo_t info;
		int signal_number = sigwaitinfo(signals, &info);
		if (signal_number < 0 && errno == EINTR)
			continue;
		if (signal_number < 0) {
			complain("wait for signals", errno);
			return 125;
		}
		if (signal_number == SIGCHLD) {
			if (reap(child, &code))
				return code;
		} else if (signal_number != SIGTTIN && signal_number != SIGTTOU) {
			/* Those two are about this process's own use of the terminal. */
			kill(child, signal_number);
		}
	}
}

int kist_ns_init_main(int argc, char *const argv[])
{
	int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
	if (first >= argc || !argv[first]) {
		complain("no command", EINVAL);
		return 125;
	}
	sigset_t signals;
	sigfillset(&signals);
	for (size_t i = 0; i < KIST_COUNT(faults); i++)
		sigdelset(&signals, faults[i]);
	/* An ignored SIGCHLD would make the kernel reap on its own, and the code would be lost. */
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	/* In a pid namespace shared with others orphans would go to its pid 1. */
	if (getpid() != 1)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

	pid_t child = fork();
	if (child < 0) {
		complain("fork", errno);
		return 125;
	}
	if (child == 0)
		run_child(&argv[first]);
	/* On both sides, so that the group exists whoever runs first; EACCES once the child has executed. */
	setpgid(child, child);
	return supervise(child, &signals);
}
