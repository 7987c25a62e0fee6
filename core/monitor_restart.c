/* The monitor between two runs: the back-off, and the next start. It holds no lock meanwhile, and the container holds
 * nothing: a command that wants it stopped, removed or started changes the state and sends SIGTERM. */
#include "core/monitor_internal.h"
#include "core/network.h"
#include "core/restart.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/depend.h"

#include <stdlib.h>

void monitor_terminate(struct monitor *m)
{
	m->host_stops = true;
	if (m->phase == MONITOR_RUNNING)
		kist_pidfd_signal(m->launch.child.pidfd, m->c->config.stop_signal);
}

bool monitor_restart_begin(struct monitor *m)
{
	struct kist_container *c = m->c;
	struct kist_error problem = { 0 };

	/* 'update' may have changed the policy. */
	if (kist_container_reload_config(c, &problem) < 0)
		kist_debug("%s", problem.text);
	if (m->host_stops && !c->state.stopped_by_user)
		c->state.stopped_by_host = true;
	if (!kist_restart_wanted(c))
		return false;
	kist_error_clear(&problem);
	if (kist_container_free_run(c, &problem) < 0) {
		kist_log(KIST_LOG_ERROR, "%s", problem.text);
		return false;
	}
	c->state.status = KIST_STOPPED;
	c->state.restarting = true;
	c->state.pid = 0;
	c->state.pid_start = 0;
	if (kist_container_save(c, NULL) < 0)
		kist_debug("container %.12s: state could not be saved: %m", c->config.id);
	return true;
}

void monitor_restart_adopt(struct monitor *m)
{
	const struct kist_container_state *state = &m->c->state;

	m->phase = MONITOR_DEAD;
	m->end = (struct kist_exit){
		.run = state->run,
		.code = state->exit_code,
		.oom = state->oom_killed,
		.finished = state->finished,
	};
}

static void rest(struct monitor *m, int64_t delay)
{
	int64_t end = kist_now_boot() + delay, left;

	while (!m->host_stops && (left = end - kist_now_boot()) > 0) {
		int ms = (int)(left / KIST_NSEC_PER_MSEC) + 1, timeout = monitor_clients_timeout(m);
		monitor_round(m, timeout >= 0 && timeout < ms ? timeout : ms);
	}
}

/* The stdin of the last run is gone. What its foreground command had to say is said once: the end of it holds. */
static void input_reset(struct monitor *m)
{
	kist_str_clear(&m->input);
	monitor_clients_credit(m);
	m->input_ends = m->input_ends && m->control && m->control->owner;
	m->hung = false;
}

static int run_again(struct monitor *m, struct kist_error *err)
{
	int r = kist_dependencies_check(m->c, err);
	if (r == 0)
		r = kist_network_check_host(m->c, err);
	if (r == 0)
		r = monitor_launch(m, true, 0, err);
	return r;
}

static void run_failed(struct monitor *m, const struct kist_error *err)
{
	struct kist_container *c = m->c;

	kist_log(KIST_LOG_ERROR, "restart of container %.12s: %s", c->config.id, err->text);
	m->phase = MONITOR_DEAD;
	monitor_child_kill(m);
	monitor_run_close(m);
	kist_container_free_run(c, NULL);
	/* The last run that ended is still the one before. */
	kist_container_take_exit(c, &m->end);
	c->state.pid = 0;
	c->state.pid_start = 0;
	c->state.restarting = true;
	/* From here on it is the policy's. */
	c->state.stopped_to_restart = false;
	free(c->state.error);
	c->state.error = kist_strdup(err->text);
	if (kist_container_save(c, NULL) < 0)
		kist_debug("container %.12s: state could not be saved: %m", c->config.id);
}

enum again { AGAIN_RUNS, AGAIN_LATER, AGAIN_NEVER };

static enum again restart(struct monitor *m)
{
	struct kist_container *c = m->c;
	struct kist_error err = { 0 };

	if (monitor_lock(m, &err) < 0) {
		kist_debug("%s", err.text);
		return AGAIN_NEVER;
	}
	if (!monitor_owns(m) || c->state.status != KIST_STOPPED) {
		kist_container_unlock(c);
		return AGAIN_NEVER;
	}
	if (m->host_stops && !c->state.stopped_by_user)
		c->state.stopped_by_host = true;
	if (kist_container_reload_config(c, &err) < 0 || !kist_restart_wanted(c)) {
		monitor_run_over(m);
		return AGAIN_NEVER;
	}
	if (!c->state.stopped_to_restart)
		c->state.restart_count++;
	kist_container_event(c, "restart");
	input_reset(m);
	int r = run_again(m, &err);
	kist_strv_free(c->warnings); /* they were told at its start */
	c->warnings = NULL;
	if (r < 0)
		run_failed(m, &err);
	else if (m->input_ends)
		monitor_stdio_input_end(m);
	if (r == 0)
		monitor_stdio_pace(m);
	kist_container_unlock(c);
	return r < 0 ? AGAIN_LATER : AGAIN_RUNS;
}

bool monitor_restart_await(struct monitor *m)
{
	int64_t ran = m->began ? kist_now_boot() - m->began : 0;

	for (;;) {
		if (!m->c->state.stopped_to_restart) {
			monitor_clients_end(m, m->end.code);
			m->delay = kist_restart_delay(&m->c->config, m->delay, ran);
			rest(m, m->delay);
		}
		enum again next = restart(m);
		if (next != AGAIN_LATER)
			return next == AGAIN_RUNS;
		ran = 0;
	}
}
