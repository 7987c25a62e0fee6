/* The monitor's health checks. A timer on the clock that no step moves; one check at a time; a check that hangs is
 * killed with all that it started; its output is kept up to a bound, and the rest is read and thrown away. */
#include "core/monitor_internal.h"
#include "core/restart.h"

#include "cgroup/cgroup.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BUSY_RETRY   (50 * KIST_NSEC_PER_MSEC) /* somebody holds the container's lock */
#define PAUSED_RETRY (KIST_NSEC_PER_SEC)
#define OUTPUT_MAX   (64u << 10)
#define GROUP        "health-%u" /* below the container's cgroup, one for each check */

struct monitor_health {
	struct watch timer, out;
	pid_t pid;        /* of the check that runs; 0: none */
	bool given_up;    /* it was killed, its outcome is recorded, and it is not reaped yet */
	int group;        /* cgroup of the check that runs; -1 */
	unsigned number;  /* of that group */
	int64_t begun;    /* wall */
	int64_t deadline; /* boot; of the one that runs */
	int64_t started;  /* boot; of the container */
	int due;          /* enum kist_health_action that the last outcome asks for */
	struct kist_str output;
	struct kist_health record;
};

static const struct kist_health_config *config_of(const struct monitor *m)
{
	return &m->c->config.health;
}

static bool in_startup(const struct monitor *m)
{
	return kist_health_test(config_of(m), &m->health->record) == config_of(m)->startup_test;
}

/* 0: never. */
static void timer_set(struct monitor_health *h, int64_t boot)
{
	struct itimerspec when = { .it_value = { boot / KIST_NSEC_PER_SEC, boot % KIST_NSEC_PER_SEC } };

	if (timerfd_settime(h->timer.fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		kist_debug("health check: set timer: %m");
}

static void schedule(struct monitor *m)
{
	int64_t interval = in_startup(m) ? config_of(m)->startup_interval : config_of(m)->interval;

	/* The timer may still be set to the end of the check that has just ended. */
	timer_set(m->health, interval > 0 ? kist_now_boot() + interval : 0);
}

/* --- the record -----------------------------------------------------------------------------------------------------
 */

/* A file for each container, a JSON object a line, for those who want one outside of the run directory. */
static void log_append(struct monitor *m, const struct kist_health_log *log)
{
	const char *to = config_of(m)->log_destination;
	char start[40], end[40];

	if (to[0] != '/')
		return;
	KIST_FREE char *path = kist_asprintf("%s/%s-healthcheck.log", to, m->c->config.id);
	KIST_JSON struct json_object *json = json_object_new_object();
	json_object_object_add(json, "Start", json_object_new_string(kist_time_format(start, log->start, true)));
	json_object_object_add(json, "End", json_object_new_string(kist_time_format(end, log->end, true)));
	json_object_object_add(json, "ExitCode", json_object_new_int(log->exit_code));
	json_object_object_add(json, "Output", json_object_new_string(log->output ? log->output : ""));
	KIST_FREE char *text = kist_json_text(json, false);
	KIST_FREE char *line = kist_asprintf("%s\n", text);
	KIST_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		kist_debug("health check: write %s: %m", path);
}

static void record_save(struct monitor *m)
{
	int run = kist_container_rundir(m->c, NULL);

	if (run < 0 ||
	    kist_record_write(run, KIST_HEALTH_RECORD, &kist_health_table, &m->health->record, NULL, false, NULL) < 0)
		kist_debug("container %.12s: its health could not be recorded", m->c->config.id);
}

static void tell(struct monitor *m, const char *output)
{
	const struct kist_health *record = &m->health->record;
	struct kist_container_config *config = &m->c->config;
	KIST_FREE char *text = kist_asprintf("health_log=%s", output ? output : "");
	KIST_STRV char **attributes = kist_strv_copy(config->labels);
	struct kist_event event = { .type = "container",
		                    .status = "health_status",
		                    .id = config->id,
		                    .name = config->name,
		                    .image = config->image_name,
		                    .health_status = kist_health_status_name((enum kist_health_status)record->status),
		                    .failing_streak = record->failing_streak };

	if (kist_streq(config->health.log_destination, "events_logger"))
		kist_strv_add(&attributes, text);
	event.attributes = attributes;
	kist_event_write(m->k, &event);
}

/* Tells the commands that asked for this check, or (2 and 1) all that asked for one. */
static void answer(struct monitor *m, int32_t code, unsigned least)
{
	for (struct client *client = m->clients; client; client = client->next)
		if (client->health >= least) {
			client->health = 0;
			monitor_client_send(m, client, KIST_MSG_EXITED, &code, sizeof(code));
		}
}

/* --- consequences ---------------------------------------------------------------------------------------------------
 */

/* As a command stops it, but that nobody needs to wait: the loop does. Needs the lock; gives it up. */
static void stop(struct monitor *m, enum kist_stopper who)
{
	struct kist_container *c = m->c;

	c->state.status = KIST_STOPPING;
	kist_stop_note(c, who);
	m->stops_itself = true;
	monitor_stop_by(m, kist_now_boot() + c->config.stop_timeout * KIST_NSEC_PER_SEC);
	if (c->config.stop_timeout > 0)
		kist_pidfd_signal(m->launch.child.pidfd, c->config.stop_signal);
}

/* Does what is due, or sets the timer for another try: whoever has the lock may be about to stop it. */
static void act(struct monitor *m)
{
	struct monitor_health *h = m->health;
	struct kist_container *c = m->c;
	int due = h->due;

	h->due = KIST_HEALTH_NONE;
	if (due == KIST_HEALTH_KILL)
		kist_pidfd_signal(m->launch.child.pidfd, SIGKILL);
	/* A check fails too when the container ends beside it. */
	if ((due != KIST_HEALTH_RESTART && due != KIST_HEALTH_STOP) || kist_pidfd_wait(m->launch.child.pidfd, 0) == 0)
		return;
	int r = kist_container_trylock(c);
	bool busy = r == -EWOULDBLOCK;
	if (r == 0)
		r = kist_container_locked(c, 0, NULL);
	bool paused = r == 0 && c->state.status == KIST_PAUSED;
	if (busy || paused) {
		h->due = due;
		timer_set(h, kist_now_boot() + (busy ? BUSY_RETRY : PAUSED_RETRY));
	}
	if (r == 0 && c->state.status == KIST_RUNNING)
		stop(m, due == KIST_HEALTH_RESTART ? KIST_STOPPED_BY_CHECK : KIST_STOPPED_BY_USER);
	else if (r == 0)
		kist_container_unlock(c);
}

static void conclude(struct monitor *m, int code, const char *output, size_t len)
{
	struct monitor_health *h = m->health;
	const struct kist_health_config *config = config_of(m);
	int before = h->record.status;
	bool early = kist_now_boot() < h->started + config->start_period;
	struct kist_health_log log = {
		.start = h->begun,
		.end = kist_now_wall(),
		.exit_code = code,
		.output = kist_health_output(output, len, config->log_size),
	};

	log_append(m, &log);
	enum kist_health_step step = kist_health_take(config, &h->record, &log, early);
	record_save(m);
	if (h->record.status == KIST_HEALTH_HEALTHY)
		monitor_notify_healthy(m);
	/* Not of each success: a check a second would leave nothing else in the bounded record of events. */
	if (code != 0 || h->record.status != before)
		tell(m, h->record.n_log ? h->record.log[h->record.n_log - 1].output : "");
	answer(m, code != 0, 2);
	kist_str_free(&h->output);
	malloc_trim(0);
	schedule(m);
	if (h->record.status == KIST_HEALTH_HEALTHY)
		h->due = KIST_HEALTH_NONE;
	if (step == KIST_HEALTH_FAILING && before != KIST_HEALTH_UNHEALTHY)
		h->due = config->on_failure;
	else if (step == KIST_HEALTH_HOPELESS)
		h->due = KIST_HEALTH_RESTART;
	act(m);
}

/* --- one check ------------------------------------------------------------------------------------------------------
 */

static void output_take(struct monitor_health *h, const char *bytes, size_t n)
{
	size_t room = OUTPUT_MAX - h->output.len;

	kist_str_addn(&h->output, bytes, n < room ? n : room);
}

static void output_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	char bytes[4096];
	ssize_t n = read(w->fd, bytes, sizeof(bytes));

	(void)events;
	if (n > 0)
		output_take(m->health, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		monitor_unwatch(m, w);
}

/* What is in the pipe when the check has ended; a process that it left behind may hold it open. */
static void output_finish(struct monitor *m)
{
	struct monitor_health *h = m->health;
	char bytes[4096];
	ssize_t n;

	for (size_t total = 0; h->out.added && total < OUTPUT_MAX; total += (size_t)n) {
		n = read(h->out.fd, bytes, sizeof(bytes));
		if (n <= 0)
			break;
		output_take(h, bytes, (size_t)n);
	}
	monitor_unwatch(m, &h->out);
}

static bool is_frozen(const struct monitor *m)
{
	return m->launch.cgroup >= 0 && kist_cgroup_is_frozen(m->launch.cgroup) == 1;
}

/* --- its cgroup: a process that makes a session of its own, or a child's child, is still the check's -----------------
 */

static void group_drop(struct monitor *m)
{
	struct monitor_health *h = m->health;
	char name[32];

	kist_close_fd(&h->group);
	if (!h->number || m->launch.cgroup < 0)
		return;
	/* Not while something is left in it: that goes on, and the group goes with the container's. */
	snprintf(name, sizeof(name), GROUP, h->number);
	unlinkat(m->launch.cgroup, name, AT_REMOVEDIR);
}

static void group_make(struct monitor *m)
{
	struct monitor_health *h = m->health;
	char name[32];

	/* Of the last one, whose killed processes were not gone yet. */
	group_drop(m);
	if (m->launch.cgroup < 0)
		return;
	snprintf(name, sizeof(name), GROUP, ++h->number);
	if (mkdirat(m->launch.cgroup, name, 0755) < 0 && errno != EEXIST)
		kist_debug("container %.12s: health check: make a cgroup: %m", m->c->config.id);
	h->group = openat(m->launch.cgroup, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int start(struct monitor *m, struct kist_error *err)
{
	struct monitor_health *h = m->health;
	char *const *test = kist_health_test(config_of(m), &h->record);
	struct kist_msg_exec request = { 0 };
	struct kist_ns_child child = KIST_NS_CHILD_INIT;
	KIST_STRV char **args = NULL;
	int ends[2] = { -1, -1 };

	if (kist_streq(test[0], "CMD-SHELL")) {
		kist_strv_add(&args, "/bin/sh");
		kist_strv_add(&args, "-c");
	}
	for (size_t i = 1; test[i]; i++)
		kist_strv_add(&args, test[i]);
	request.args = args;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return kist_fail_errno(err, errno, "make pipe");
	KIST_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	KIST_CLOSE int theirs = ends[1];
	/* Nonblocking is ours alone: the check writes as to any pipe. */
	fcntl(theirs, F_SETFL, 0);
	int fds[3] = { null, theirs, theirs };
	group_make(m);
	int r = monitor_exec_start(m, &request, h->group >= 0 ? h->group : m->launch.cgroup, fds, 3, &child, err);
	if (r < 0) {
		group_drop(m);
		kist_close_fd(&ends[0]);
	} else {
		h->pid = child.pid;
		monitor_watch(m, &h->out, ends[0], EPOLLIN, output_ready);
	}
	kist_ns_child_close(&child);
	return r;
}

static int failure_code(const struct kist_error *err)
{
	return err->kind == KIST_ERR_EXEC_MISSING ? 127 : err->kind == KIST_ERR_EXEC_ACCESS ? 126 : 125;
}

static void begin(struct monitor *m)
{
	struct monitor_health *h = m->health;
	struct kist_error err = { 0 };

	/* Nobody may freeze the container while the process is on its way in, which would freeze the monitor too. */
	int r = kist_container_trylock(m->c);
	if (r == -ESTALE)
		return;
	if (r < 0 || is_frozen(m)) {
		timer_set(h, kist_now_boot() + (r < 0 ? BUSY_RETRY : PAUSED_RETRY));
		if (r == 0)
			kist_container_unlock(m->c);
		return;
	}
	h->begun = kist_now_wall();
	for (struct client *client = m->clients; client; client = client->next)
		if (client->health == 1)
			client->health = 2;
	int64_t timeout = in_startup(m) ? config_of(m)->startup_timeout : config_of(m)->timeout;
	r = start(m, &err);
	kist_container_unlock(m->c);
	if (r < 0) {
		conclude(m, failure_code(&err), err.text, strlen(err.text));
		return;
	}
	h->given_up = false;
	h->deadline = kist_now_boot() + timeout;
	timer_set(h, h->deadline);
}

static void kill_check(struct monitor *m)
{
	struct monitor_health *h = m->health;

	if (h->group >= 0)
		kist_cgroup_kill(h->group, NULL);
	/* Our own child, not reaped yet: the pid is its, and it leads its session and group. */
	kill(-h->pid, SIGKILL);
	kill(h->pid, SIGKILL);
}

static void overdue(struct monitor *m)
{
	struct monitor_health *h = m->health;
	int64_t timeout = in_startup(m) ? config_of(m)->startup_timeout : config_of(m)->timeout;

	/* Paused while it ran: that is no fault of it. */
	if (is_frozen(m) && !h->given_up) {
		h->deadline = kist_now_boot() + timeout;
		timer_set(h, h->deadline);
		return;
	}
	kill_check(m);
	monitor_unwatch(m, &h->out);
	h->given_up = true;
	KIST_FREE char *text = kist_asprintf("the health check took longer than %lld s and was killed",
	                                     (long long)(timeout / KIST_NSEC_PER_SEC));
	conclude(m, -1, text, strlen(text));
}

static void timer_ready(struct monitor *m, struct watch *w, uint32_t events)
{
	uint64_t ticks;

	(void)events;
	if (read(w->fd, &ticks, sizeof(ticks)) != (ssize_t)sizeof(ticks) || m->phase != MONITOR_RUNNING)
		return;
	if (m->health->pid)
		overdue(m);
	else if (m->health->due)
		act(m);
	else
		begin(m);
}

/* --- doors ----------------------------------------------------------------------------------------------------------
 */

void monitor_health_reset(struct monitor *m)
{
	/* Who sees the new run must not see the health of the last. */
	if (kist_health_is_checked(config_of(m)) && kist_container_rundir(m->c, NULL) >= 0)
		unlinkat(m->c->run_dir, KIST_HEALTH_RECORD, 0);
}

void monitor_health_begin(struct monitor *m)
{
	if (!kist_health_is_checked(config_of(m)))
		return;
	int timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (timer < 0) {
		kist_log(KIST_LOG_ERROR, "container %.12s: health checks: %m", m->c->config.id);
		return;
	}
	/* Of an earlier run, when it is started again by policy. */
	if (m->health) {
		kist_close_fd(&m->health->group);
		kist_health_clear(&m->health->record);
	}
	unsigned number = m->health ? m->health->number : 0;
	free(m->health);
	struct monitor_health *h = kist_alloc(sizeof(*h));
	m->health = h;
	h->started = m->began;
	h->group = -1;
	h->number = number;
	h->out.fd = -1;
	kist_table_init(&kist_health_table, &h->record);
	record_save(m);
	monitor_watch(m, &h->timer, timer, EPOLLIN, timer_ready);
	/* The first one at once. */
	if ((in_startup(m) ? config_of(m)->startup_interval : config_of(m)->interval) > 0)
		timer_set(h, kist_now_boot());
}

/* What the check has found out so far holds on. */
static void retime(struct monitor *m)
{
	/* One that runs ends by the time that it had. */
	if (!m->health->pid)
		schedule(m);
}

void monitor_health_changed(struct monitor *m, struct client *client)
{
	struct kist_error err = { 0 };
	bool had = m->health && m->health->timer.added;

	int r = kist_container_reload_config(m->c, &err);
	if (r == 0 && m->phase == MONITOR_RUNNING) {
		bool has = kist_health_is_checked(config_of(m));
		if (had && has)
			retime(m);
		else if (has)
			monitor_health_begin(m);
		else if (had)
			monitor_health_end(m);
	}
	monitor_client_send(m, client, r < 0 ? KIST_MSG_FAILED : KIST_MSG_CONFIG, r < 0 ? &err : NULL,
	                    r < 0 ? sizeof(err) : 0);
}

void monitor_health_end(struct monitor *m)
{
	struct monitor_health *h = m->health;

	if (!h)
		return;
	if (h->pid)
		kill_check(m);
	monitor_unwatch(m, &h->out);
	monitor_unwatch(m, &h->timer);
	answer(m, 1, 1);
}

bool monitor_health_ended(struct monitor *m, pid_t pid, int code)
{
	struct monitor_health *h = m->health;

	if (!h || !h->pid || h->pid != pid)
		return false;
	h->pid = 0;
	group_drop(m);
	/* Or the check was taken away. */
	if (m->phase == MONITOR_DEAD || !h->timer.added)
		return true;
	if (h->given_up) {
		/* A kernel that held it back; now the next can begin. */
		h->given_up = false;
	} else {
		output_finish(m);
		conclude(m, code, kist_str_get(&h->output), h->output.len);
	}
	for (struct client *client = m->clients; client; client = client->next)
		if (client->health == 1) {
			begin(m);
			break;
		}
	return true;
}

void monitor_health_ask(struct monitor *m, struct client *client)
{
	struct kist_error err = { 0 };

	if (!m->health || !m->health->timer.added || m->phase != MONITOR_RUNNING) {
		kist_fail(&err, KIST_ERR_STATE, EBUSY, "the container does not run");
		monitor_client_send(m, client, KIST_MSG_FAILED, &err, sizeof(err));
		return;
	}
	client->health = 1;
	if (!m->health->pid)
		begin(m);
}
