/* Exec sessions as others see them: what is recorded of each, and what can be done to one from outside. */
#include "core/exec_session.h"

#include "core/attach.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/internal.h"
#include "core/monitor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY     "exec"
#define KEEP_NS       (300 * KIST_NSEC_PER_SEC) /* podman's exit_command delay */
#define KILL_WAIT_MS  10000
#define STOP_TIMEOUT  10
#define RECORD_WAIT_S 10 /* for the monitor to write an end down */

#define ROW(type, member, ...) KIST_FIELD(struct kist_exec_session, type, member, ##__VA_ARGS__)

static const struct kist_field session_fields[] = {
	ROW(STRING, id),
	ROW(STRV, args),
	ROW(STRV, env),
	ROW(STRING, user),
	ROW(STRING, workdir),
	ROW(STRING, detach_keys),
	ROW(BOOL, tty),
	{ .key = "stdin", .type = KIST_F_BOOL, .offset = offsetof(struct kist_exec_session, stdin_) },
	ROW(BOOL, privileged),
	ROW(BOOL, detached),
	ROW(BOOL, running),
	ROW(INT, pid),
	ROW(U64, pid_start),
	ROW(INT, exit_code),
	ROW(I64, started),
	ROW(I64, finished),
};
const struct kist_table kist_exec_session_table =
        KIST_TABLE("record of an exec session", struct kist_exec_session, session_fields);

void kist_exec_session_free(struct kist_exec_session *session)
{
	if (!session)
		return;
	kist_table_release(&kist_exec_session_table, session);
	free(session);
}

bool kist_exec_id_ok(const char *id)
{
	return id && strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;
}

static int directory_open(struct kist_container *c, bool make)
{
	int run = make ? kist_container_rundir(c, NULL) : c->run_dir;
	KIST_CLOSE int own = -1;

	/* Who only looks makes no run directory. */
	if (run < 0)
		run = own = openat(c->k->run_containers, c->config.id, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (run < 0)
		return -ENOENT;
	if (make && mkdirat(run, DIRECTORY, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(run, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int kist_exec_session_save(struct kist_container *c, const struct kist_exec_session *session, struct kist_error *err)
{
	KIST_CLOSE int dir = directory_open(c, true);

	if (dir < 0)
		return kist_fail_errno(err, -dir, "make the directory of exec sessions");
	return kist_record_write(dir, session->id, &kist_exec_session_table, session, NULL, false, err);
}

void kist_exec_session_drop(struct kist_container *c, const char *id)
{
	KIST_CLOSE int dir = directory_open(c, false);

	if (dir >= 0 && unlinkat(dir, id, 0) < 0 && errno != ENOENT)
		kist_debug("remove the record of exec session %.12s: %m", id);
}

static bool process_alive(const struct kist_exec_session *session)
{
	const struct kist_proc_id id = { session->pid, session->pid_start };

	return session->running && id.pid > 0 && kist_proc_alive(&id);
}

/* A session whose monitor was killed ended with nobody to tell how. */
static int session_read(struct kist_container *c, int dir, const char *id, struct kist_exec_session **out,
                        struct kist_error *err)
{
	struct kist_exec_session *session = kist_alloc(sizeof(*session));

	kist_table_init(&kist_exec_session_table, session);
	int r = kist_record_read(dir, id, &kist_exec_session_table, session, NULL, err);
	if (r < 0) {
		kist_exec_session_free(session);
		return kist_context(err, "exec session %.12s", id);
	}
	if (session->running && !process_alive(session) && !kist_container_monitor_alive(c)) {
		session->running = false;
		session->exit_code = -1;
	}
	session->container = c->config.id;
	*out = session;
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct kist_exec_session *const *x = a, *const *y = b;

	return ((*x)->started > (*y)->started) - ((*x)->started < (*y)->started);
}

int kist_exec_list(struct kist_container *c, struct kist_exec_session ***out, size_t *n, struct kist_error *err)
{
	struct kist_exec_session **list = NULL;
	size_t count = 0;
	int fd = directory_open(c, false);

	if (fd < 0 && fd != -ENOENT)
		return kist_fail_errno(err, -fd, "open the exec sessions of container %s", c->config.name);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		struct kist_exec_session *session;
		/* One that ends meanwhile takes its record with it. */
		if (!kist_exec_id_ok(e->d_name) || session_read(c, dirfd(dir), e->d_name, &session, NULL) < 0)
			continue;
		list = kist_grow(list, count + 1, sizeof(struct kist_exec_session *));
		list[count++] = session;
	}
	if (dir)
		closedir(dir);
	if (count)
		qsort(list, count, sizeof(struct kist_exec_session *), by_start);
	*out = list;
	*n = count;
	return 0;
}

void kist_exec_list_free(struct kist_exec_session **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_exec_session_free(list[i]);
	free(list);
}

/* The full id that a unique beginning of one means. 1: this container has it, 0: it has not. */
static int session_find(struct kist_container *c, const char *text, char id[65], struct kist_error *err)
{
	int fd = directory_open(c, false), found = 0;

	if (fd < 0 || !*text || strlen(text) > 64) {
		kist_close_fd(&fd);
		return 0;
	}
	DIR *dir = fdopendir(fd);
	for (struct dirent *e; dir && found < 2 && (e = readdir(dir));)
		if (kist_exec_id_ok(e->d_name) && kist_has_prefix(e->d_name, text)) {
			memcpy(id, e->d_name, 65);
			found++;
		}
	if (dir)
		closedir(dir);
	if (found > 1)
		return kist_fail(err, KIST_ERR_AMBIGUOUS, EEXIST, "several exec sessions begin with %s", text);
	return found;
}

int kist_exec_open(struct kist_container *c, const char *text, struct kist_exec_session **out, struct kist_error *err)
{
	char id[65];

	int r = session_find(c, text, id, err);
	if (r < 0)
		return r;
	if (r == 0)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "container %s has no exec session %s", c->config.name,
		                 text);
	KIST_CLOSE int dir = directory_open(c, false);
	return session_read(c, dir, id, out, err);
}

int kist_container_open_by_exec(struct kist *k, const char *text, struct kist_container **out, struct kist_error *err)
{
	struct kist_container **list = NULL, *found = NULL;
	char id[65];
	size_t n = 0;

	int r = kist_container_list(k, &list, &n, NULL, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = session_find(list[i], text, id, err);
		if (r == 1 && found)
			r = kist_fail(err, KIST_ERR_AMBIGUOUS, EEXIST, "several exec sessions begin with %s", text);
		if (r == 1)
			found = list[i];
	}
	if (r >= 0 && !found)
		r = kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no exec session %s", text);
	for (size_t i = 0; i < n; i++)
		if (r < 0 || list[i] != found)
			kist_container_free(list[i]);
	free(list);
	if (r < 0)
		return r;
	*out = found;
	return 0;
}

/* --- what is active -------------------------------------------------------------------------------------------------
 */

char **kist_exec_sessions_active(struct kist_container *c)
{
	struct kist_exec_session **list = NULL;
	char **ids = NULL;
	size_t n = 0;

	if (kist_exec_list(c, &list, &n, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (process_alive(list[i]))
			kist_strv_add(&ids, list[i]->id);
	kist_exec_list_free(list, n);
	return ids;
}

int kist_exec_sessions_check(struct kist_container *c, struct kist_error *err)
{
	KIST_STRV char **ids = kist_exec_sessions_active(c);

	if (!ids || !ids[0])
		return 0;
	return kist_fail(err, KIST_ERR_STATE, EBUSY, "it has active exec sessions: %.12s%s", ids[0],
	                 ids[1] ? " and others" : "");
}

int kist_exec_sessions_end(struct kist_container *c, struct kist_error *err)
{
	struct kist_exec_session **list = NULL;
	size_t n = 0;

	int r = kist_exec_list(c, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct kist_proc_id id = { list[i]->pid, list[i]->pid_start };
		KIST_CLOSE int pidfd = list[i]->running && id.pid > 0 ? kist_proc_open(&id) : -1;
		struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
		if (pidfd < 0)
			continue;
		kist_pidfd_signal(pidfd, SIGKILL);
		if (poll(&poll_fd, 1, KILL_WAIT_MS) == 0)
			r = kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT,
			              "exec session %.12s: process %d did not die within %d s of SIGKILL", list[i]->id,
			              id.pid, KILL_WAIT_MS / 1000);
	}
	kist_exec_list_free(list, n);
	return r;
}

void kist_exec_sessions_prune(struct kist_container *c)
{
	struct kist_exec_session **list = NULL;
	int64_t now = kist_now_wall();
	size_t n = 0;

	if (kist_exec_list(c, &list, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (!list[i]->running && (now - list[i]->finished > KEEP_NS || now < list[i]->finished))
			kist_exec_session_drop(c, list[i]->id);
	kist_exec_list_free(list, n);
}

/* --- what can be done to one ----------------------------------------------------------------------------------------
 */

static struct json_object *process_config(const struct kist_exec_session *session)
{
	struct json_object *process = json_object_new_object(), *arguments = json_object_new_array();

	for (size_t i = 1; session->args && session->args[0] && session->args[i]; i++)
		json_object_array_add(arguments, json_object_new_string(session->args[i]));
	json_object_object_add(process, "arguments", arguments);
	json_object_object_add(process, "entrypoint",
	                       json_object_new_string(session->args && session->args[0] ? session->args[0] : ""));
	json_object_object_add(process, "privileged", json_object_new_boolean(session->privileged));
	json_object_object_add(process, "tty", json_object_new_boolean(session->tty));
	json_object_object_add(process, "user", json_object_new_string(session->user ? session->user : ""));
	return process;
}

struct json_object *kist_exec_inspect(const struct kist_exec_session *session)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "CanRemove", json_object_new_boolean(!session->running));
	json_object_object_add(o, "ContainerID", json_object_new_string(session->container));
	json_object_object_add(o, "DetachKeys",
	                       json_object_new_string(session->detach_keys ? session->detach_keys : ""));
	json_object_object_add(o, "ExitCode", json_object_new_int(session->exit_code));
	json_object_object_add(o, "ID", json_object_new_string(session->id));
	json_object_object_add(o, "OpenStderr", json_object_new_boolean(!session->detached && !session->tty));
	json_object_object_add(o, "OpenStdin", json_object_new_boolean(session->stdin_));
	json_object_object_add(o, "OpenStdout", json_object_new_boolean(!session->detached));
	json_object_object_add(o, "Running", json_object_new_boolean(session->running));
	json_object_object_add(o, "Pid", json_object_new_int(session->running ? session->pid : 0));
	json_object_object_add(o, "ProcessConfig", process_config(session));
	return o;
}

int kist_exec_resize(struct kist_container *c, const char *id, unsigned rows, unsigned cols, struct kist_error *err)
{
	struct kist_exec_session *session = NULL;
	struct kist_msg_exec_size size = { .rows = (uint16_t)rows, .cols = (uint16_t)cols };

	int r = kist_exec_open(c, id, &session, err);
	if (r < 0)
		return r;
	memcpy(size.id, session->id, sizeof(size.id));
	if (!session->running || !session->tty)
		r = kist_fail(err, KIST_ERR_STATE, ENOTTY, "exec session %.12s %s", session->id,
		              session->running ? "has no terminal" : "has ended");
	kist_exec_session_free(session);
	if (r < 0)
		return r;
	KIST_CLOSE int sock = kist_attach_connect(c, err);
	if (sock < 0)
		return sock;
	r = kist_msg_send(sock, KIST_MSG_EXEC_SIZE, &size, sizeof(size));
	return r < 0 ? kist_fail_errno(err, -r, "resize exec session %.12s", id) : 0;
}

/* The process has ended; how, the monitor writes down at once, or drops the record of an attached session. */
static int await_record(struct kist_container *c, const char *id, int *code, struct kist_error *err)
{
	int64_t end = kist_now_boot() + RECORD_WAIT_S * KIST_NSEC_PER_SEC;

	for (;;) {
		struct kist_exec_session *session = NULL;
		int r = kist_exec_open(c, id, &session, err);
		if (r < 0)
			return r;
		bool running = session->running;
		*code = session->exit_code;
		kist_exec_session_free(session);
		if (!running)
			return 0;
		if (kist_now_boot() > end)
			return kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT,
			                 "exec session %.12s: its end is not recorded", id);
		kist_sleep_ns(KIST_NSEC_PER_MSEC);
	}
}

/* Its process: *pidfd is -1 once it has ended, full the whole id. */
static int open_process(struct kist_container *c, const char *id, struct kist_proc_id *process, int *pidfd, char **full,
                        struct kist_error *err)
{
	struct kist_exec_session *session = NULL;

	int r = kist_exec_open(c, id, &session, err);
	if (r < 0)
		return r;
	*process = (struct kist_proc_id){ session->pid, session->pid_start };
	*pidfd = session->running ? kist_proc_open(process) : -1;
	*full = kist_steal(&session->id);
	kist_exec_session_free(session);
	return 0;
}

int kist_exec_wait(struct kist_container *c, const char *id, int *code, struct kist_error *err)
{
	struct kist_proc_id process;
	KIST_CLOSE int pidfd = -1;
	KIST_FREE char *full = NULL;

	int r = open_process(c, id, &process, &pidfd, &full, err);
	if (r < 0)
		return r;
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	while (pidfd >= 0 && poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
		continue;
	return await_record(c, full, code, err);
}

int kist_exec_stop(struct kist_container *c, const char *id, int64_t timeout, struct kist_error *err)
{
	struct kist_proc_id process;
	KIST_CLOSE int pidfd = -1;
	KIST_FREE char *full = NULL;

	int r = open_process(c, id, &process, &pidfd, &full, err);
	if (r < 0)
		return r;
	if (pidfd < 0)
		return kist_fail(err, KIST_ERR_STOPPED, EALREADY, "exec session %.12s is already stopped", id);
	if (timeout != 0) {
		kist_pidfd_signal(pidfd, c->config.stop_signal);
		if (kist_pidfd_wait(pidfd, (timeout < 0 ? STOP_TIMEOUT : timeout) * 1000) == 0)
			return 0;
	}
	kist_pidfd_signal(pidfd, SIGKILL);
	if (kist_pidfd_wait(pidfd, KILL_WAIT_MS) == 0)
		return 0;
	return kist_fail(err, KIST_ERR_TIMEOUT, ETIMEDOUT, "exec session %.12s: process %d did not die", id,
	                 process.pid);
}

int kist_exec_remove(struct kist_container *c, const char *id, bool force, struct kist_error *err)
{
	struct kist_exec_session *session = NULL;

	int r = kist_exec_open(c, id, &session, err);
	if (r < 0)
		return r;
	if (session->running && !force)
		r = kist_fail(err, KIST_ERR_STATE, EBUSY, "exec session %.12s is running", session->id);
	else if (session->running)
		r = kist_exec_stop(c, session->id, 0, err);
	if (r == -EALREADY) {
		kist_error_clear(err);
		r = 0;
	}
	int code;
	/* The monitor's last word comes before the record goes; of an attached session it goes with it. */
	if (r == 0 && session->running && await_record(c, session->id, &code, NULL) < 0)
		kist_debug("exec session %.12s: removed with its end", session->id);
	if (r == 0)
		kist_exec_session_drop(c, session->id);
	kist_exec_session_free(session);
	return r;
}
