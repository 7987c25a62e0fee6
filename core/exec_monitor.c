/* The monitor's side of exec: it starts the process in the container's namespaces and tells the command of its end. */
#include "core/exec_session.h"
#include "core/monitor_internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EXEC_MAX_FDS 63
#define HIGH_FD      200 /* above all that can be preserved, below every limit of open files */

static int plan_read(struct monitor *m, struct kist_spec **spec, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	int r = kist_read_file(kist_container_plan_dir(m->c), "config.json", KIST_RECORD_MAX, &text);
	if (r < 0)
		return kist_fail_errno(err, -r, "read config.json");
	return kist_spec_parse(kist_str_get(&text), text.len, spec, err);
}

static int container_root(struct monitor *m, struct kist_error *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/root", m->launch.child.pid);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? kist_fail_errno(err, errno, "open the container's root") : fd;
}

/* Preserved fds take their numbers for the time of the clone: the process inherits them by number. */
static int place_preserved(const int *fds, size_t n, int saved[], struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		saved[i] = fcntl(3 + (int)i, F_DUPFD_CLOEXEC, HIGH_FD);
		if (saved[i] < 0 && errno != EBADF) {
			int r = kist_fail_errno(err, errno, "set file descriptor %zu aside", i + 3);
			while (i-- > 0)
				kist_close_fd(&saved[i]);
			return r;
		}
	}
	/* Cannot fail: both are open, or the number is free. */
	for (size_t i = 0; i < n; i++)
		dup2(fds[i], 3 + (int)i);
	return 0;
}

static void replace_preserved(const int saved[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (saved[i] < 0) {
			close(3 + (int)i);
			continue;
		}
		dup3(saved[i], 3 + (int)i, O_CLOEXEC);
		close(saved[i]);
	}
}

static void fds_move_high(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int high = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
		if (high >= 0) {
			close(fds[i]);
			fds[i] = high;
		}
	}
}

/* Starts with preserved fds at their numbers, where descriptors of ours may be that the start needs: those are copied.
 */
static int exec_preserving(struct kist_ns_exec *plan, int *fds, size_t n_fds, struct kist_ns_child *child,
                           struct kist_error *err)
{
	int saved[EXEC_MAX_FDS];
	size_t preserved = n_fds - 3;
	KIST_CLOSE int pidfd = fcntl(plan->pidfd, F_DUPFD_CLOEXEC, HIGH_FD);
	KIST_CLOSE int cgroup = plan->cgroup_fd < 0 ? -1 : fcntl(plan->cgroup_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	KIST_CLOSE int cache = fcntl(plan->seccomp_cache, F_DUPFD_CLOEXEC, HIGH_FD);

	if (pidfd < 0 || cache < 0 || (plan->cgroup_fd >= 0 && cgroup < 0))
		return kist_fail_errno(err, errno, "copy file descriptors");
	plan->pidfd = pidfd;
	plan->cgroup_fd = cgroup;
	plan->seccomp_cache = cache;
	fds_move_high(fds, n_fds);
	memcpy(plan->stdio, fds, sizeof(plan->stdio));
	int r = place_preserved(fds + 3, preserved, saved, err);
	if (r < 0)
		return r;
	r = kist_ns_exec(plan, child, err);
	/* What the child brought back may lie nowhere near: its numbers were free, so above the preserved ones. */
	replace_preserved(saved, preserved);
	return r;
}

int monitor_exec_start(struct monitor *m, const struct kist_msg_exec *request, int cgroup, int *fds, size_t n_fds,
                       struct kist_ns_child *child, struct kist_error *err)
{
	KIST_SPEC struct kist_spec *spec = NULL;
	struct kist_spec_process *process = NULL;

	KIST_CLOSE int root = container_root(m, err);
	if (root < 0)
		return root;
	int r = plan_read(m, &spec, err);
	if (r < 0)
		return r;
	struct kist_exec exec = { .args = request->args,
		                  .env = request->env,
		                  .user = request->user,
		                  .workdir = request->workdir,
		                  .tty = request->tty,
		                  .privileged = request->privileged };
	r = kist_plan_exec(m->c, root, &exec, spec, &process, err);
	if (r < 0)
		return r;
	uint64_t caps;
	bool built_in = !request->privileged && kist_plan_seccomp_caps(&m->c->config, process, &caps);
	struct kist_ns_exec plan = {
		.process = process,
		.spec = spec,
		.pidfd = m->launch.child.pidfd,
		.cgroup_fd = cgroup,
		.stdio = { fds[0], fds[1], fds[2] },
		.rows = request->rows,
		.cols = request->cols,
		.listen_fds = (int)n_fds - 3,
		.privileged = request->privileged,
		.seccomp_cache = m->k->runroot,
		.default_seccomp_caps = built_in ? &caps : NULL,
		.id = m->c->config.id,
	};
	r = n_fds > 3 ? exec_preserving(&plan, fds, n_fds, child, err) : kist_ns_exec(&plan, child, err);
	kist_table_release(&kist_spec_process_table, process);
	free(process);
	return r;
}

static void announce(struct client *client, struct kist_ns_child *child)
{
	char packet[1 + sizeof(int32_t)] = { KIST_MSG_RUNNING };
	int32_t pid = child->pid;

	memcpy(packet + 1, &pid, sizeof(pid));
	kist_send_fds(client->watch.fd, packet, sizeof(packet), &child->console, child->console >= 0 ? 1 : 0);
}

/* What is written to the terminal of a detached session is read, so that its process never blocks, and forgotten. */
static void console_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	char bytes[4096];

	(void)events;
	ssize_t n = read(w->fd, bytes, sizeof(bytes));
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		monitor_unwatch(m, w);
}

static void console_listen(struct monitor *m, struct exec_session *session)
{
	if (session->console < 0)
		return;
	fcntl(session->console, F_SETFL, O_NONBLOCK);
	monitor_watch(m, &session->listen, kist_steal_fd(&session->console), EPOLLIN, console_ready);
}

/* --- its record ------------------------------------------------------------------------------------------------------
 */

static int record_begin(struct monitor *m, struct exec_session *session, const struct kist_msg_exec *request,
                        struct kist_error *err)
{
	struct kist_exec_session *record = session->record = kist_alloc(sizeof(*record));
	struct kist_proc_id id = { 0 };

	kist_table_init(&kist_exec_session_table, record);
	record->id = kist_strdup(request->session);
	record->args = kist_strv_copy(request->args);
	record->env = kist_strv_copy(request->env);
	record->user = kist_strdup(request->user);
	record->workdir = kist_strdup(request->workdir);
	record->detach_keys = request->tty ? kist_strdup(request->detach_keys) : NULL;
	record->tty = request->tty;
	record->stdin_ = request->stdin_;
	record->privileged = request->privileged;
	record->detached = request->detach;
	record->running = true;
	record->pid = session->pid;
	record->started = kist_now_wall();
	/* One that ended already is a zombie of ours until it is reaped, and has no start time to tell. */
	if (kist_proc_identify(session->pid, &id) == 0)
		record->pid_start = id.start;
	kist_exec_sessions_prune(m->c);
	return kist_exec_session_save(m->c, record, err);
}

/* The one who waited knows the code: nothing is left to tell. Others can ask for a while. */
static void record_end(struct monitor *m, struct exec_session *session, int code)
{
	struct kist_exec_session *record = session->record;
	struct kist_error err = { 0 };

	if (session->client) {
		kist_exec_session_drop(m->c, record->id);
		return;
	}
	record->running = false;
	record->detached = true;
	record->exit_code = code;
	record->finished = kist_now_wall();
	if (kist_exec_session_save(m->c, record, &err) < 0)
		kist_debug("%s", err.text);
}

static void session_free(struct monitor *m, struct exec_session *session)
{
	monitor_unwatch(m, &session->listen);
	kist_close_fd(&session->console);
	kist_exec_session_free(session->record);
	free(session);
}

void monitor_exec_resize(struct monitor *m, const char id[64], unsigned rows, unsigned cols)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };

	for (struct exec_session *session = m->execs; session; session = session->next) {
		int console = session->listen.added ? session->listen.fd : session->console;
		if (memcmp(session->record->id, id, 64) == 0 && console >= 0 && ioctl(console, TIOCSWINSZ, &size) < 0)
			kist_debug("resize exec session %.12s: %m", session->record->id);
	}
}

void monitor_exec_keep(struct monitor *m, struct client *client)
{
	for (struct exec_session *session = m->execs; session; session = session->next)
		if (session->client == client) {
			session->client = NULL;
			session->record->detached = true;
			if (kist_exec_session_save(m->c, session->record, NULL) < 0)
				kist_debug("exec session %.12s: its record stays as it was", session->record->id);
			console_listen(m, session);
		}
}

void monitor_exec_leave(struct monitor *m, struct client *client)
{
	for (struct exec_session *session = m->execs; session; session = session->next)
		if (session->client == client) {
			session->client = NULL;
			kist_close_fd(&session->console);
		}
}

void monitor_exec(struct monitor *m, struct client *client, const char *text, size_t len, int *fds, size_t n_fds)
{
	struct kist_msg_exec request;
	struct kist_error err = { 0 };
	struct kist_ns_child child = KIST_NS_CHILD_INIT;
	KIST_FREE char *copy = kist_strndup(text, len);

	kist_table_init(&kist_msg_exec_table, &request);
	int r = kist_kv_read(&kist_msg_exec_table, copy, &request, NULL, &err);
	if (r == 0 && (n_fds < 3 || n_fds - 3 != request.preserve_fds || n_fds > EXEC_MAX_FDS))
		r = kist_fail(&err, KIST_ERR_INVALID, 0, "exec request: %zu file descriptors", n_fds);
	if (r == 0 && !kist_exec_id_ok(request.session))
		r = kist_fail(&err, KIST_ERR_INVALID, 0, "exec request without a session's id");
	if (r == 0 && m->phase != MONITOR_RUNNING)
		r = kist_fail(&err, KIST_ERR_STATE, EBUSY, "the container is not running");
	/* A service manager runs in the container: the new process goes where the first one is. */
	KIST_CLOSE int below = -1;
	if (r == 0 && m->launch.cgroup >= 0 && kist_cgroup_gives(m->launch.cgroup)) {
		below = kist_cgroup_open_of(NULL, m->launch.child.pid, &err);
		r = below < 0 ? below : 0;
	}
	if (r == 0)
		r = monitor_exec_start(m, &request, below >= 0 ? below : m->launch.cgroup, fds, n_fds, &child, &err);
	struct exec_session *session = kist_alloc(sizeof(*session));
	session->pid = child.pid;
	session->console = -1;
	if (r == 0) {
		r = record_begin(m, session, &request, &err);
		/* Nobody could find it: it ends. Reaped as an orphan is. */
		if (r < 0)
			kill(child.pid, SIGKILL);
	}
	if (r < 0) {
		monitor_client_send(m, client, KIST_MSG_FAILED, &err, sizeof(err));
		session_free(m, session);
	} else {
		session->client = request.detach ? NULL : client;
		session->next = m->execs;
		m->execs = session;
		announce(client, &child);
		kist_container_event(m->c, "exec");
		session->console = kist_steal_fd(&child.console);
		if (request.detach)
			console_listen(m, session);
	}
	kist_ns_child_close(&child);
	kist_table_release(&kist_msg_exec_table, &request);
	malloc_trim(0);
}

struct exec_session *monitor_exec_of(struct monitor *m, const struct client *client)
{
	struct exec_session *session = m->execs;

	while (session && session->client != client)
		session = session->next;
	return session;
}

void monitor_exec_end_all(struct monitor *m)
{
	/* Our own children, not reaped yet: the pids are theirs. */
	for (struct exec_session *e = m->execs; e; e = e->next)
		kill(e->pid, SIGKILL);
}

bool monitor_exec_ended(struct monitor *m, pid_t pid, int code)
{
	for (struct exec_session **at = &m->execs; *at; at = &(*at)->next) {
		struct exec_session *session = *at;
		if (session->pid != pid)
			continue;
		int32_t value = code;
		kist_container_event_code(m->c, "exec_died", code, false);
		record_end(m, session, code);
		if (session->client)
			monitor_client_send(m, session->client, KIST_MSG_EXITED, &value, sizeof(value));
		*at = session->next;
		session_free(m, session);
		return true;
	}
	return false;
}
