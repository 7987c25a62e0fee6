/* The calls that move a pod through its states: each acts on the containers one by one, by their own calls and locks.
 */
#include "core/pod.h"
#include "core/restart.h"

#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- state ----------------------------------------------------------------------------------------------------------
 */

static const struct kist_name status_names[] = {
	{ "Created", KIST_POD_CREATED },   { "Running", KIST_POD_RUNNING },
	{ "Degraded", KIST_POD_DEGRADED }, { "Paused", KIST_POD_PAUSED },
	{ "Stopped", KIST_POD_STOPPED },   { "Exited", KIST_POD_EXITED },
	{ "Error", KIST_POD_ERROR },       { NULL, 0 },
};

const char *kist_pod_status_name(enum kist_pod_status status)
{
	return kist_name_of(status_names, status);
}

static bool runs(const struct kist_container *c)
{
	return c->state.status == KIST_RUNNING || c->state.status == KIST_STOPPING;
}

enum kist_pod_status kist_pod_status(struct kist_container *const *containers, size_t n)
{
	size_t counted = 0, running = 0, paused = 0, ended = 0, errors = 0;

	for (size_t i = 0; i < n; i++) {
		int status = containers[i]->state.status;
		if (containers[i]->config.init_ctr)
			continue;
		counted++;
		running += runs(containers[i]);
		paused += status == KIST_PAUSED;
		ended += status == KIST_STOPPED || status == KIST_EXITED;
		errors += status == KIST_UNKNOWN || status == KIST_REMOVING;
	}
	if (counted == 0)
		return KIST_POD_CREATED;
	if (running == counted)
		return KIST_POD_RUNNING;
	if (running > 0)
		return KIST_POD_DEGRADED;
	if (paused == counted)
		return KIST_POD_PAUSED;
	if (ended == counted)
		return KIST_POD_EXITED;
	if (ended > 0)
		return KIST_POD_STOPPED;
	return errors > 0 ? KIST_POD_ERROR : KIST_POD_CREATED;
}

/* --- all of them ----------------------------------------------------------------------------------------------------
 */

/* All failures are told in one message; the rest is done all the same. */
static void take(struct kist_error *first, const struct kist_error *problem)
{
	size_t len = strlen(first->text);

	if (!kist_error_is_set(first))
		*first = *problem;
	else if (strlen(problem->text) + sizeof("; ") <= sizeof(first->text) - len)
		snprintf(first->text + len, sizeof(first->text) - len, "; %s", problem->text);
	else
		kist_log(KIST_LOG_WARN, "%s", problem->text);
}

static int done(const struct kist_pod *pod, const char *event, const struct kist_error *first, struct kist_error *err)
{
	if (!kist_error_is_set(first)) {
		kist_pod_event(pod, event);
		return 0;
	}
	if (err)
		*err = *first;
	kist_context(err, "pod %s", pod->config.name);
	return first->errnum > 0 ? -first->errnum : -EIO;
}

typedef int (*act_fn)(struct kist_container *c, void *arg, struct kist_error *err);

/* Another command, or its end, was faster. */
static bool has_changed(const struct kist_container *c, int then, const struct kist_error *problem)
{
	return problem->kind == KIST_ERR_REMOVED || problem->errnum == ESRCH ||
	       (problem->kind == KIST_ERR_STATE && c->state.status != then);
}

/* On all whose state is in the mask. */
static int act_on(struct kist_pod *pod, const char *event, unsigned mask, act_fn act, void *arg, struct kist_error *err)
{
	struct kist_container **list = NULL;
	struct kist_error first = { 0 };
	size_t n = 0;

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct kist_error problem = { 0 };
		int then = list[i]->state.status;
		if (mask & 1u << then && act(list[i], arg, &problem) < 0 && !has_changed(list[i], then, &problem))
			take(&first, &problem);
	}
	kist_container_list_free(list, n);
	return done(pod, event, &first, err);
}

/* --- start ----------------------------------------------------------------------------------------------------------
 */

#define STARTABLE (1u << KIST_CONFIGURED | 1u << KIST_CREATED | 1u << KIST_STOPPED | 1u << KIST_EXITED)

static int start_one(struct kist_container *c, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	if (!(STARTABLE & 1u << c->state.status))
		return 0;
	int r = kist_container_start(c, NULL, NULL, &problem);
	/* Somebody else was faster. */
	if (r < 0 && problem.kind == KIST_ERR_STATE && c->state.status == KIST_RUNNING)
		return 0;
	if (r < 0 && err)
		*err = problem;
	return r;
}

/* To its end: what comes after it relies on what it did. */
static int run_init(struct kist_container *c, struct kist_error *err)
{
	KIST_FREE char *id = kist_strdup(c->config.id);
	bool once = kist_streq(c->config.init_ctr, "once");
	int code = 0;

	int r = start_one(c, err);
	if (r == 0)
		r = kist_container_wait(c->k, id, 0, &code, err);
	if (r < 0)
		return r;
	if (code != 0)
		return kist_fail(err, KIST_ERR_STATE, EIO, "init container %s ended with exit code %d", c->config.name,
		                 code);
	return once ? kist_container_remove(c, KIST_REMOVE_FORCE | KIST_REMOVE_VOLUMES, 0, err) : 0;
}

static int start_all(struct kist_container **list, size_t n, struct kist_error *first)
{
	/* The infra container is the oldest. */
	for (size_t i = 0; i < n; i++) {
		int r = 0;
		if (list[i]->config.infra)
			r = start_one(list[i], first);
		else if (list[i]->config.init_ctr)
			r = run_init(list[i], first);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < n; i++) {
		struct kist_error problem = { 0 };
		if (!list[i]->config.infra && !list[i]->config.init_ctr && start_one(list[i], &problem) < 0)
			take(first, &problem);
	}
	return 0;
}

/* Who starts something holds this, shared, and applies the exit policy afterwards: meanwhile nobody else does. */
static int starting_lock(struct kist *k, const char *id, bool policy)
{
	KIST_FREE char *path = kist_asprintf("%s/starting", id);

	return kist_pods_open(k, false, NULL) < 0 ? -ENOENT : kist_lock(k->pods, path, policy, policy);
}

/* With exit policy stop: ends the infra container when nothing else runs. */
static void apply_policy(struct kist_pod *pod)
{
	struct kist_container **list = NULL, *infra = NULL;
	struct kist_error problem = { 0 };
	bool others = false;
	size_t n = 0;

	if (!kist_streq(pod->config.exit_policy, "stop"))
		return;
	/* Two that end at once wait for each other: the later one sees that both have ended. */
	KIST_CLOSE int turn = kist_lock(pod->dir, "policy", true, false);
	KIST_CLOSE int starting = starting_lock(pod->k, pod->config.id, true);
	if (starting < 0 || kist_pod_containers(pod, &list, &n, NULL) < 0)
		return; /* somebody is starting it: then it is not the end */
	for (size_t i = 0; i < n; i++) {
		if (list[i]->config.infra)
			infra = list[i];
		else
			others = others || kist_status_has_process(list[i]->state.status) ||
			         kist_restart_pending(list[i]);
	}
	if (infra && !others && kist_container_stop(infra, -1, &problem) < 0 && problem.kind != KIST_ERR_STOPPED)
		kist_debug("exit policy of pod %s: %s", pod->config.name, problem.text);
	kist_container_list_free(list, n);
}

int kist_pod_start(struct kist_pod *pod, struct kist_error *err)
{
	KIST_CLOSE int starting = starting_lock(pod->k, pod->config.id, false);
	struct kist_container **list = NULL;
	struct kist_error first = { 0 };
	size_t n = 0;

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0)
		return r;
	if (n == 0)
		kist_fail(&first, KIST_ERR_STATE, ENOENT, "it has no containers to start");
	else
		start_all(list, n, &first);
	kist_container_list_free(list, n);
	kist_close_fd(&starting);
	apply_policy(pod);
	return done(pod, "start", &first, err);
}

static bool is_up(const struct kist_container *c)
{
	return kist_status_has_process(c->state.status) && kist_container_monitor_alive(c);
}

/* One that runs on without it is in namespaces that a new one does not have. but: it is about to end, or to start. */
static int infra_check(struct kist_container *infra, const char *but, struct kist_error *err)
{
	struct kist_container **list = NULL;
	struct kist_pod *pod = NULL;
	size_t n = 0;

	if (is_up(infra) || kist_pod_load(infra->k, infra->config.pod, &pod, NULL) < 0)
		return 0;
	int r = kist_pod_containers(pod, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		KIST_STRV char **ids = kist_container_dependencies(list[i]);
		if (!is_up(list[i]) || kist_streq(list[i]->config.id, but) || !kist_strv_has(ids, infra->config.id))
			continue;
		kist_fail(err, KIST_ERR_STATE, EBUSY,
		          "the infra container of pod %s has ended, and container %s goes on with what it left",
		          pod->config.name, list[i]->config.name);
		r = kist_remedy(err, "'kist pod restart %s' gives all of them the same namespaces again",
		                pod->config.name);
	}
	kist_container_list_free(list, n);
	kist_pod_free(pod);
	return r;
}

int kist_pod_infra_check(struct kist_container *c, struct kist_error *err)
{
	KIST_STRV char **ids = c->config.pod && !c->config.infra ? kist_container_dependencies(c) : NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && ids && ids[i]; i++) {
		struct kist_container *infra = NULL;
		r = kist_container_load(c->k, ids[i], &infra, err);
		if (r == 0 && infra->config.infra)
			r = infra_check(infra, c->config.id, err);
		kist_container_free(infra);
	}
	return r;
}

int kist_pod_infra_start(struct kist_container *c, int *starting, struct kist_error *err)
{
	KIST_STRV char **ids = c->config.pod && !c->config.infra ? kist_container_dependencies(c) : NULL;
	int r = c->config.infra ? infra_check(c, NULL, err) : 0;

	if (ids)
		*starting = starting_lock(c->k, c->config.pod, false);

	for (size_t i = 0; r == 0 && ids && ids[i]; i++) {
		struct kist_container *infra = NULL;
		r = kist_container_load(c->k, ids[i], &infra, err);
		if (r == 0 && infra->config.infra)
			r = kist_container_sync(infra, err);
		if (r == 0 && infra->config.infra)
			r = infra_check(infra, c->config.id, err);
		if (r == 0 && infra->config.infra)
			r = start_one(infra, err);
		kist_container_free(infra);
	}
	return r < 0 ? kist_context(err, "infra container of %s", c->config.name) : 0;
}

/* --- stop -----------------------------------------------------------------------------------------------------------
 */

int kist_pod_stop(struct kist_pod *pod, int64_t timeout, struct kist_error *err)
{
	struct kist_container **list = NULL;
	struct kist_error first = { 0 }, problem = { 0 };
	size_t n = 0, others = 0;

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0)
		return r;
	KIST_FREE struct kist_container **rest = kist_grow(NULL, n + 1, sizeof(struct kist_container *));
	for (size_t i = 0; i < n; i++)
		if (!list[i]->config.infra)
			rest[others++] = list[i];
	if (kist_container_stop_all(rest, others, timeout, &problem) < 0)
		take(&first, &problem);
	for (size_t i = 0; i < n; i++) {
		kist_error_clear(&problem);
		if (list[i]->config.infra && kist_container_stop_all(&list[i], 1, timeout, &problem) < 0)
			take(&first, &problem);
	}
	kist_container_list_free(list, n);
	return done(pod, "stop", &first, err);
}

int kist_pod_restart(struct kist_pod *pod, int64_t timeout, struct kist_error *err)
{
	int r = kist_pod_stop(pod, timeout, err);

	return r < 0 ? r : kist_pod_start(pod, err);
}

void kist_pod_started(struct kist_container *c, int *starting)
{
	if (*starting < 0)
		return;
	kist_close_fd(starting);
	kist_pod_after_exit(c);
}

void kist_pod_after_exit(struct kist_container *c)
{
	struct kist_pod *pod = NULL;

	if (!c->config.pod || c->config.infra || kist_pod_load(c->k, c->config.pod, &pod, NULL) < 0)
		return;
	apply_policy(pod);
	kist_pod_free(pod);
}

/* --- signals and freezing -------------------------------------------------------------------------------------------
 */

static int kill_one(struct kist_container *c, void *arg, struct kist_error *err)
{
	return kist_container_kill(c, *(const int *)arg, err);
}

int kist_pod_kill(struct kist_pod *pod, int signal_number, struct kist_error *err)
{
	return act_on(pod, "kill", 1u << KIST_RUNNING | 1u << KIST_STOPPING | 1u << KIST_PAUSED, kill_one,
	              &signal_number, err);
}

static int pause_one(struct kist_container *c, void *arg, struct kist_error *err)
{
	(void)arg;
	return kist_container_pause(c, err);
}

int kist_pod_pause(struct kist_pod *pod, struct kist_error *err)
{
	return act_on(pod, "pause", 1u << KIST_RUNNING, pause_one, NULL, err);
}

static int unpause_one(struct kist_container *c, void *arg, struct kist_error *err)
{
	(void)arg;
	return kist_container_unpause(c, err);
}

int kist_pod_unpause(struct kist_pod *pod, struct kist_error *err)
{
	return act_on(pod, "unpause", 1u << KIST_PAUSED, unpause_one, NULL, err);
}
