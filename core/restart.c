#include "core/restart.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define LONG_RUN (10 * KIST_NSEC_PER_SEC)

static const struct kist_name policies[] = {
	{ "no", KIST_RESTART_NO },
	{ "on-failure", KIST_RESTART_ON_FAILURE },
	{ "always", KIST_RESTART_ALWAYS },
	{ "unless-stopped", KIST_RESTART_UNLESS_STOPPED },
	{ NULL, 0 },
};

int kist_restart_parse(const char *text, char **policy, uint32_t *retries, struct kist_error *err)
{
	const char *colon = strchr(text, ':');
	KIST_FREE char *name = kist_strndup(text, colon ? (size_t)(colon - text) : strlen(text));
	uint32_t number = 0;
	int value;

	/* Kubernetes' word for the same. */
	if (kist_streq(name, "never")) {
		free(name);
		name = kist_strdup("no");
	}
	if (kist_value_of(policies, name, &value) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "restart policy '%s': expected no, on-failure[:N], always or unless-stopped", text);
	if (colon && value != KIST_RESTART_ON_FAILURE)
		return kist_fail(err, KIST_ERR_INVALID, 0, "restart policy '%s': only on-failure takes a number", text);
	if (colon && kist_parse_u32(colon + 1, &number) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "restart policy '%s': expected the number of restarts after on-failure:", text);
	free(*policy);
	*policy = kist_steal(&name);
	*retries = number;
	return 0;
}

enum kist_restart_policy kist_restart_policy_of(const struct kist_container_config *config)
{
	int value = KIST_RESTART_NO;

	if (config->restart_policy)
		kist_value_of(policies, config->restart_policy, &value);
	return (enum kist_restart_policy)value;
}

int kist_restart_check(const struct kist_container_config *config, struct kist_error *err)
{
	int value = KIST_RESTART_NO;

	if (config->restart_policy && kist_value_of(policies, config->restart_policy, &value) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "restart policy '%s' is not known", config->restart_policy);
	if (config->restart_retries && value != KIST_RESTART_ON_FAILURE)
		return kist_fail(err, KIST_ERR_INVALID, 0, "only restart policy on-failure takes a number of restarts");
	/* As podman: it would be gone before it could run again. */
	if (config->auto_remove && value != KIST_RESTART_NO)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--rm and --restart=%s exclude each other",
		                 config->restart_policy);
	return 0;
}

bool kist_restart_wanted(const struct kist_container *c)
{
	const struct kist_container_state *state = &c->state;

	if (!state->exited || state->stopped_by_user || state->stopped_by_host)
		return false;
	if (state->stopped_to_restart)
		return true;
	switch (kist_restart_policy_of(&c->config)) {
	case KIST_RESTART_ON_FAILURE:
		return state->exit_code != 0 &&
		       (c->config.restart_retries == 0 || state->restart_count < c->config.restart_retries);
	case KIST_RESTART_ALWAYS:
	case KIST_RESTART_UNLESS_STOPPED:
		return true;
	default:
		return false;
	}
}

bool kist_restart_at_boot(const struct kist_container *c)
{
	switch (kist_restart_policy_of(&c->config)) {
	case KIST_RESTART_ALWAYS:
		return true;
	case KIST_RESTART_UNLESS_STOPPED:
		return !c->state.stopped_by_user;
	default:
		return false;
	}
}

int64_t kist_restart_delay(const struct kist_container_config *config, int64_t last, int64_t ran)
{
	int64_t first = config->restart_delay * KIST_NSEC_PER_MSEC,
	        most = config->restart_delay_max * KIST_NSEC_PER_MSEC;
	int64_t next = last <= 0 || ran >= LONG_RUN ? first : last * 2;

	return next > most ? most : next;
}

int kist_restart_adopt(struct kist_container *c, struct kist_error *err)
{
	struct kist_spawn how = { .restart = true };
	struct kist_proc_id id;
	int control = -1;

	int r = kist_container_free_run(c, err);
	if (r < 0)
		return r;
	c->state.status = KIST_STOPPED;
	c->state.restarting = true;
	pid_t pid = 0;
	r = kist_spawn_monitor(c, &how, &control, &pid, err);
	if (r < 0)
		return r;
	/* Nothing is to be heard from it: it waits, and then takes the lock. */
	kist_close_fd(&control);
	if (kist_proc_identify(pid, &id) < 0)
		id = (struct kist_proc_id){ 0 };
	c->state.monitor_pid = id.pid;
	c->state.monitor_start = id.start;
	return kist_container_save(c, err);
}

bool kist_restart_pending(const struct kist_container *c)
{
	return c->state.status == KIST_STOPPED && kist_container_monitor_alive(c);
}

void kist_stop_note(struct kist_container *c, enum kist_stopper who)
{
	c->state.stopped_to_restart = who == KIST_STOPPED_TO_RESTART || who == KIST_STOPPED_BY_CHECK;
	if (who == KIST_STOPPED_BY_HOST)
		c->state.stopped_by_host = true;
	else if (who != KIST_STOPPED_BY_CHECK)
		c->state.stopped_by_user = true;
	if (kist_container_save(c, NULL) < 0)
		kist_debug("container %s: state could not be saved: %m", c->config.name);
	kist_container_unlock(c);
}

void kist_restart_cancel(struct kist_container *c, enum kist_stopper who)
{
	struct kist_proc_id id = { c->state.monitor_pid, c->state.monitor_start };
	KIST_CLOSE int monitor = kist_proc_open(&id);

	kist_stop_note(c, who);
	/* It would look by itself, but only when its time has come. */
	if (monitor >= 0)
		kist_pidfd_signal(monitor, SIGTERM);
}

bool kist_container_should_restart(struct kist_container *c)
{
	struct kist_error problem = { 0 };

	if (kist_container_sync(c, &problem) < 0)
		return false;
	bool dead = c->state.status == KIST_STOPPED || c->state.status == KIST_EXITED;
	return dead && kist_restart_wanted(c);
}
