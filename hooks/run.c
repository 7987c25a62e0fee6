/* Running hooks. */
#include "hooks/hooks.h"

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STDERR_KEEP 512 /* how much of a failed hook's last words is shown */
#define SPEC_MAX    (16u << 20)
#define LOOK_MSEC   20 /* how often is looked for the end where there are no pidfds */

struct hook_process {
	pid_t pid;
	int pidfd, in, out, err; /* our ends */
	const char *input;
	size_t input_left;
	char last_words[STDERR_KEEP];
	size_t n_words;
};

_Noreturn static void hook_child(const struct kist_hook_run *run, int in, int out, int error)
{
	static char *const no_env[] = { NULL };
	char *own_args[] = { run->hook->path, NULL };
	char *const *args = run->hook->args && run->hook->args[0] ? run->hook->args : own_args;

	/* A group of its own, so that all that it starts can be killed with it. */
	setpgid(0, 0);
	kist_reset_signals();
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(error, 2) < 0 || (run->cwd >= 0 && fchdir(run->cwd) < 0))
		_exit(126);
	kist_close_from(3, -1);
	execve(run->hook->path, args, run->hook->env ? run->hook->env : no_env);
	dprintf(2, "%s: %s", run->hook->path, strerror(errno));
	_exit(127);
}

static int process_start(const struct kist_hook_run *run, struct hook_process *p, struct kist_error *err)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, error[2] = { -1, -1 };
	int r = 0;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(error, O_CLOEXEC) < 0)
		r = kist_fail_errno(err, errno, "make pipe");
	if (r == 0) {
		p->pid = fork();
		if (p->pid == 0)
			hook_child(run, in[0], out[1], error[1]);
		if (p->pid < 0)
			r = kist_fail_errno(err, errno, "fork");
	}
	kist_close_fd(&in[0]);
	kist_close_fd(&out[1]);
	kist_close_fd(&error[1]);
	p->in = in[1];
	p->out = out[0];
	p->err = error[0];
	if (r < 0)
		return r;
	/* Both sides do it: whoever is first. A time-out may come before the child got that far. */
	setpgid(p->pid, p->pid);
	p->pidfd = kist_pidfd_open(p->pid);
	fcntl(p->in, F_SETFL, O_NONBLOCK);
	fcntl(p->out, F_SETFL, O_NONBLOCK);
	fcntl(p->err, F_SETFL, O_NONBLOCK);
	p->input = run->input;
	p->input_left = run->input ? strlen(run->input) : 0;
	if (p->input_left == 0)
		kist_close_fd(&p->in);
	return 0;
}

static void feed(struct hook_process *p)
{
	ssize_t n = write(p->in, p->input, p->input_left);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		p->input += n;
		p->input_left -= (size_t)n;
	}
	/* A hook need not read what it is told. */
	if (n < 0 || p->input_left == 0)
		kist_close_fd(&p->in);
}

static void keep_last_words(struct hook_process *p, const char *bytes, size_t n)
{
	size_t room = STDERR_KEEP - 1;

	if (n > room) {
		bytes += n - room;
		n = room;
	}
	if (p->n_words + n > room) {
		size_t drop = p->n_words + n - room;
		memmove(p->last_words, p->last_words + drop, p->n_words - drop);
		p->n_words -= drop;
	}
	memcpy(p->last_words + p->n_words, bytes, n);
	p->n_words += n;
	p->last_words[p->n_words] = '\0';
}

/* False: the stream ended. */
static bool drain(struct hook_process *p, int fd, const struct kist_hook_run *run, bool *too_much)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if (fd == p->err) {
		keep_last_words(p, bytes, (size_t)n);
	} else if (run->output) {
		if (run->output->len + (size_t)n > run->output_max)
			*too_much = true;
		else
			kist_str_addn(run->output, bytes, (size_t)n);
	}
	return true;
}

static int time_left(int64_t end)
{
	if (end == 0)
		return -1;
	int64_t left = (end - kist_now_boot() + KIST_NSEC_PER_MSEC - 1) / KIST_NSEC_PER_MSEC;
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* Without a pidfd: before Linux 5.3, or where a seccomp filter refuses it. */
static bool has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

/* Until the hook itself ended; what it left in the background does not count. */
static int await_end(struct hook_process *p, const struct kist_hook_run *run, struct kist_error *err)
{
	int64_t seconds = run->hook->timeout.set ? run->hook->timeout.value : 0;
	int64_t end = seconds > 0 ? kist_now_boot() + seconds * KIST_NSEC_PER_SEC : 0;
	bool too_much = false;

	for (;;) {
		struct pollfd fds[4] = {
			{ .fd = p->pidfd, .events = POLLIN },
			{ .fd = p->in, .events = POLLOUT },
			{ .fd = p->out, .events = POLLIN },
			{ .fd = p->err, .events = POLLIN },
		};
		int left = time_left(end);
		if (p->pidfd < 0 && (left < 0 || left > LOOK_MSEC))
			left = LOOK_MSEC;
		bool ended = p->pidfd < 0 && has_ended(p->pid);
		int n = poll(fds, KIST_COUNT(fds), ended ? 0 : left);
		if (n < 0 && errno != EINTR)
			return kist_fail_errno(err, errno, "wait");
		if (n == 0 && ended)
			return 0;
		if (n == 0 && end && kist_now_boot() >= end)
			return kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT, "did not end within %lld s and was killed",
			                 (long long)seconds);
		if (n <= 0)
			continue;
		if (fds[1].revents)
			feed(p);
		if (fds[2].revents && !drain(p, p->out, run, &too_much))
			kist_close_fd(&p->out);
		if (fds[3].revents && !drain(p, p->err, run, &too_much))
			kist_close_fd(&p->err);
		if (too_much)
			return kist_fail(err, KIST_ERR_INVALID, EFBIG, "wrote more than %zu bytes", run->output_max);
		if (fds[0].revents && !(fds[2].revents & POLLIN) && !(fds[3].revents & POLLIN))
			return 0;
	}
}

int kist_hook_execute(const struct kist_hook_run *run, struct kist_error *err)
{
	struct hook_process p = { .pid = -1, .pidfd = -1, .in = -1, .out = -1, .err = -1 };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, saved;
	int code = -1;

	sigaction(SIGPIPE, &ignore, &saved);
	int r = process_start(run, &p, err);
	if (r == 0)
		r = await_end(&p, run, err);
	if (p.pid > 0) {
		if (r < 0)
			kill(-p.pid, SIGKILL); /* our child, not reaped yet: the group is its */
		code = kist_wait_pid(p.pid);
	}
	sigaction(SIGPIPE, &saved, NULL);
	kist_close_fd(&p.pidfd);
	kist_close_fd(&p.in);
	kist_close_fd(&p.out);
	kist_close_fd(&p.err);
	if (r == 0 && code != 0) {
		while (p.n_words && p.last_words[p.n_words - 1] == '\n')
			p.last_words[--p.n_words] = '\0';
		r = kist_fail(err, KIST_ERR_SYSTEM, EIO, "exit code %d%s%s", code, p.n_words ? ": " : "", p.last_words);
	}
	return r < 0 ? kist_context(err, "%s hook %s", run->stage, run->hook->path) : 0;
}

int kist_hooks_execute(const struct kist_spec_hook *hooks, size_t n, const char *stage, const char *state_json, int cwd,
                       bool keep_going, struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		struct kist_error problem = { 0 };
		struct kist_hook_run run = { .hook = &hooks[i], .stage = stage, .input = state_json, .cwd = cwd };
		int r = kist_hook_execute(&run, &problem);
		if (r == 0)
			continue;
		if (!keep_going) {
			if (err)
				*err = problem;
			return r;
		}
		kist_log(KIST_LOG_WARN, "%s", problem.text);
	}
	return 0;
}

int kist_hooks_precreate(const struct kist_spec_hook *hooks, size_t n, struct kist_spec **spec, struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *text = kist_spec_text(*spec);
		KIST_STR struct kist_str answer = { 0 };
		KIST_SPEC struct kist_spec *changed = NULL;
		struct kist_hook_run run = {
			.hook = &hooks[i],
			.stage = "precreate",
			.input = text,
			.output = &answer,
			.output_max = SPEC_MAX,
			.cwd = -1,
		};
		int r = kist_hook_execute(&run, err);
		if (r < 0)
			return r;
		r = kist_spec_parse(kist_str_get(&answer), answer.len, &changed, err);
		if (r == 0)
			r = kist_spec_check(changed, err);
		if (r < 0)
			return kist_context(err, "precreate hook %s: the plan it returned", hooks[i].path);
		kist_spec_free(*spec);
		*spec = kist_steal(&changed);
	}
	return 0;
}

char *kist_hooks_state(const char *id, const char *status, int pid, const char *bundle, char *const *annotations)
{
	KIST_JSON struct json_object *state = json_object_new_object();
	struct json_object *notes = json_object_new_object();

	json_object_object_add(state, "ociVersion", json_object_new_string("1.2.0"));
	json_object_object_add(state, "id", json_object_new_string(id));
	json_object_object_add(state, "status", json_object_new_string(status));
	if (pid > 0)
		json_object_object_add(state, "pid", json_object_new_int(pid));
	json_object_object_add(state, "bundle", json_object_new_string(bundle));
	for (size_t i = 0; annotations && annotations[i]; i++) {
		const char *value = strchr(annotations[i], '=');
		KIST_FREE char *key =
		        kist_strndup(annotations[i], value ? (size_t)(value - annotations[i]) : strlen(annotations[i]));
		json_object_object_add(notes, key, json_object_new_string(value ? value + 1 : ""));
	}
	json_object_object_add(state, "annotations", notes);
	return kist_json_text(state, false);
}
