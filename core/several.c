/* Stopping, restarting and removing several containers at once: first those that none of the others needs, then those
 * that these needed. */
#include "core/stop.h"
#include "core/depend.h"
#include "core/pod.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

/* How many have their files open at the same time. */
#define AT_ONCE 100

enum phase {
	WAITING, /* for its turn */
	ENDING,  /* it was begun with: its process has until the deadline */
	ENDED,   /* and then is to go on, once those that it needs are DONE */
	DONE,
};

struct one {
	struct kist_container *c;
	char **needs;
	enum phase phase;
	struct kist_stopping stopping;
	struct kist_removing removing;
	struct kist_restarting restarting;
};

struct several;
typedef int (*step_fn)(const struct several *s, struct one *one, struct kist_error *err);

struct several {
	step_fn begin, end;
	step_fn go_on; /* NULL: it is DONE with its end */
	struct one *all;
	size_t n, n_more; /* the last are such that nobody named, and are not told of */
	bool any_needs;
	int64_t timeout;
	enum kist_stopper who;
	unsigned flags;
	kist_host_fn each;
	void *arg;
};

/* --- the order ------------------------------------------------------------------------------------------------------
 */

/* Whether one of the list that has not ended yet needs it. */
static bool is_needed(const struct several *s, const struct one *by)
{
	for (size_t i = 0; s->any_needs && i < s->n; i++)
		if (s->all[i].phase < ENDED && kist_strv_has(s->all[i].needs, by->c->config.id))
			return true;
	return false;
}

/* Whether it needs one of the list that is not through. */
static bool needs_others(const struct several *s, const struct one *one)
{
	for (size_t i = 0; s->any_needs && i < s->n; i++)
		if (s->all[i].phase != DONE && kist_strv_has(one->needs, s->all[i].c->config.id))
			return true;
	return false;
}

static void one_done(const struct several *s, struct one *one, int r, const struct kist_error *problem)
{
	one->phase = DONE;
	if ((size_t)(one - s->all) < s->n - s->n_more)
		s->each(s->arg, one->c, r < 0 ? problem : NULL);
	kist_close_fd(&one->c->dir);
	kist_close_fd(&one->c->run_dir);
}

static void one_begin(const struct several *s, struct one *one)
{
	struct kist_error problem = { 0 };

	one->phase = ENDING;
	one->stopping.pidfd = -1;
	int r = s->begin(s, one, &problem);
	if (r < 0)
		one_done(s, one, r, &problem);
}

static void one_end(const struct several *s, struct one *one)
{
	struct kist_error problem = { 0 };

	int r = s->end(s, one, &problem);
	if (r < 0 || !s->go_on)
		one_done(s, one, r, &problem);
	else
		one->phase = ENDED;
}

static void one_go_on(const struct several *s, struct one *one)
{
	struct kist_error problem = { 0 };

	one_done(s, one, s->go_on(s, one, &problem), &problem);
}

/* How many are on their way to their end. */
static size_t begin_some(const struct several *s)
{
	size_t ending = 0;
	bool failed;

	for (size_t i = 0; i < s->n; i++)
		ending += s->all[i].phase == ENDING;
	do {
		failed = false;
		for (size_t i = 0; i < s->n && ending < AT_ONCE; i++) {
			struct one *one = &s->all[i];
			if (one->phase != WAITING || is_needed(s, one))
				continue;
			one_begin(s, one);
			ending += one->phase == ENDING;
			failed = failed || one->phase == DONE;
		}
	} while (failed && ending == 0); /* what that one needed may have been before it in the list */
	return ending;
}

/* Until one has ended or had its time. */
static void end_some(const struct several *s)
{
	struct pollfd fds[AT_ONCE];
	struct one *ending[AT_ONCE];
	int64_t now = kist_now_boot(), left = 60 * KIST_NSEC_PER_SEC;
	nfds_t n = 0;

	for (size_t i = 0; i < s->n && n < AT_ONCE; i++) {
		const struct kist_stopping *stopping = &s->all[i].stopping;
		if (s->all[i].phase != ENDING)
			continue;
		int64_t its = stopping->pidfd < 0 ? 0 : stopping->deadline - now;
		left = its < left ? its : left;
		ending[n] = &s->all[i];
		fds[n++] = (struct pollfd){ .fd = stopping->pidfd, .events = POLLIN };
	}
	if (poll(fds, n, left <= 0 ? 0 : (int)((left + KIST_NSEC_PER_MSEC - 1) / KIST_NSEC_PER_MSEC)) < 0)
		return; /* a signal */
	now = kist_now_boot();
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].fd < 0 || fds[i].revents || ending[i]->stopping.deadline <= now)
			one_end(s, ending[i]);
}

/* True: some could. any: where the records say that all need each other, the first. */
static bool go_on_some(const struct several *s, bool any)
{
	bool some = false;

	for (size_t i = 0; i < s->n && !(any && some); i++)
		if (s->all[i].phase == ENDED && (any || !needs_others(s, &s->all[i]))) {
			one_go_on(s, &s->all[i]);
			some = true;
		}
	return some;
}

/* The first that was not begun with, in such a case. */
static bool begin_any(const struct several *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->all[i].phase == WAITING) {
			one_begin(s, &s->all[i]);
			return true;
		}
	return false;
}

static void act(struct several *s, struct kist_container *const *list, size_t n)
{
	s->n = n;
	s->all = kist_alloc((n + 1) * sizeof(*s->all));
	for (size_t i = 0; i < n; i++) {
		s->all[i] = (struct one){ .c = list[i], .needs = n > 1 ? kist_container_dependencies(list[i]) : NULL };
		s->any_needs = s->any_needs || (s->all[i].needs && s->all[i].needs[0]);
	}
	for (;;) {
		if (begin_some(s) > 0)
			end_some(s);
		else if (!go_on_some(s, false) && !begin_any(s) && !go_on_some(s, true))
			break;
		while (go_on_some(s, false))
			continue;
	}
	for (size_t i = 0; i < n; i++) {
		kist_strv_free(s->all[i].needs);
		kist_strv_free(s->all[i].removing.links);
	}
	free(s->all);
}

/* --- stop -----------------------------------------------------------------------------------------------------------
 */

static int stop_begin(const struct several *s, struct one *one, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	/* What is frozen takes no signal. */
	if (s->who == KIST_STOPPED_BY_HOST && one->c->state.status == KIST_PAUSED &&
	    kist_container_unpause(one->c, &problem) < 0)
		kist_debug("%s", problem.text);
	return kist_stop_begin(one->c, s->timeout, s->who, &one->stopping, err);
}

static int stop_end(const struct several *s, struct one *one, struct kist_error *err)
{
	(void)s;
	int r = kist_stop_end(one->c, &one->stopping, err);
	return r < 0 ? kist_context(err, "stop %s", one->c->config.name) : 0;
}

void kist_stop_several(struct kist_container *const *list, size_t n, int64_t timeout, enum kist_stopper who,
                       kist_host_fn each, void *arg)
{
	struct several s = {
		.begin = stop_begin, .end = stop_end, .timeout = timeout, .who = who, .each = each, .arg = arg
	};

	act(&s, list, n);
}

void kist_container_stop_several(struct kist_container *const *list, size_t n, int64_t timeout, kist_host_fn each,
                                 void *arg)
{
	kist_stop_several(list, n, timeout, KIST_STOPPED_BY_USER, each, arg);
}

static void take_first(void *arg, struct kist_container *c, const struct kist_error *problem)
{
	struct kist_error *first = arg;

	if (!problem || problem->kind == KIST_ERR_STOPPED || problem->kind == KIST_ERR_REMOVED ||
	    (problem->kind == KIST_ERR_STATE && c->state.status == KIST_CONFIGURED))
		return;
	if (!kist_error_is_set(first))
		*first = *problem;
}

int kist_container_stop_all(struct kist_container *const *list, size_t n, int64_t timeout, struct kist_error *err)
{
	struct kist_error first = { 0 };

	kist_container_stop_several(list, n, timeout, take_first, &first);
	if (kist_error_is_set(&first) && err)
		*err = first;
	return kist_error_is_set(&first) ? -first.errnum : 0;
}

/* --- restart --------------------------------------------------------------------------------------------------------
 */

static int restart_begin(const struct several *s, struct one *one, struct kist_error *err)
{
	/* What is started again before it need not run yet: its start will ask. */
	return kist_restart_begin(one->c, s->timeout, !needs_others(s, one), &one->restarting, &one->stopping, err);
}

static int restart_end(const struct several *s, struct one *one, struct kist_error *err)
{
	(void)s;
	return kist_restart_end(one->c, &one->restarting, &one->stopping, err);
}

static int restart_go_on(const struct several *s, struct one *one, struct kist_error *err)
{
	(void)s;
	return kist_restart_again(one->c, &one->restarting, err);
}

void kist_container_restart_several(struct kist_container *const *list, size_t n, int64_t timeout, kist_host_fn each,
                                    void *arg)
{
	struct several s = { .begin = restart_begin,
		             .end = restart_end,
		             .go_on = restart_go_on,
		             .timeout = timeout,
		             .each = each,
		             .arg = arg };

	act(&s, list, n);
}

/* --- remove ---------------------------------------------------------------------------------------------------------
 */

static bool takes_pod(const struct several *s, const struct one *one)
{
	return one->c->config.infra && s->flags & KIST_REMOVE_POD;
}

static int remove_begin(const struct several *s, struct one *one, struct kist_error *err)
{
	if (takes_pod(s, one))
		return 0;
	return kist_remove_begin(one->c, s->flags, s->timeout, &one->removing, &one->stopping, err);
}

static int remove_pod(const struct several *s, const struct kist_container *infra, struct kist_error *err)
{
	struct kist_pod *pod = NULL;

	int r = kist_pod_open(infra->k, infra->config.pod, &pod, err);
	if (r == 0)
		r = kist_pod_remove(pod, s->flags & ~(unsigned)KIST_REMOVE_POD, s->timeout, err);
	kist_pod_free(pod);
	return r;
}

static int remove_end(const struct several *s, struct one *one, struct kist_error *err)
{
	if (takes_pod(s, one))
		return remove_pod(s, one->c, err);
	return kist_remove_end(one->c, s->flags, s->timeout, &one->removing, &one->stopping, err);
}

/* Those in the list and, behind them, those that depend on them, each once. A pod takes its own along. */
static struct kist_container **with_dependents(struct kist_container *const *list, size_t n, unsigned flags,
                                               size_t *n_more)
{
	struct kist_container **all = kist_alloc((n + 1) * sizeof(struct kist_container *));
	KIST_STRV char **known = NULL;
	size_t n_all = n;

	for (size_t i = 0; i < n; i++) {
		all[i] = list[i];
		kist_strv_add(&known, list[i]->config.id);
	}
	for (size_t i = 0; i < n_all; i++) {
		KIST_STRV char **ids = NULL;
		if (!(all[i]->config.infra && flags & KIST_REMOVE_POD))
			ids = kist_container_dependents(all[i]);
		for (char **id = ids; id && *id; id++) {
			struct kist_container *other = NULL;
			if (kist_strv_has(known, *id) || kist_container_load(all[i]->k, *id, &other, NULL) < 0)
				continue;
			all = kist_grow(all, n_all + 1, sizeof(*all));
			all[n_all++] = other;
			kist_strv_add(&known, *id);
		}
	}
	*n_more = n_all - n;
	return all;
}

void kist_container_remove_several(struct kist_container *const *list, size_t n, unsigned flags, int64_t timeout,
                                   kist_host_fn each, void *arg)
{
	struct several s = {
		.begin = remove_begin, .end = remove_end, .timeout = timeout, .flags = flags, .each = each, .arg = arg
	};
	KIST_FREE struct kist_container **all = NULL;

	/* What one of these comes to is told by the one that it depends on, which finds it still there. */
	if (flags & KIST_REMOVE_DEPEND)
		all = with_dependents(list, n, flags, &s.n_more);
	act(&s, all ? all : list, n + s.n_more);
	for (size_t i = 0; i < s.n_more; i++)
		kist_container_free(all[n + i]);
}

int kist_remove_all(struct kist *k, char *const *ids, unsigned flags, int64_t timeout, struct kist_error *err)
{
	KIST_FREE struct kist_container **list = kist_alloc((kist_strv_len(ids) + 1) * sizeof(struct kist_container *));
	struct kist_error first = { 0 };
	size_t n = 0;

	for (size_t i = 0; ids && ids[i]; i++) {
		struct kist_error problem = { 0 };

		if (kist_container_open(k, ids[i], &list[n], &problem) == 0)
			n++;
		else if (problem.kind != KIST_ERR_NOT_FOUND && !kist_error_is_set(&first))
			first = problem;
	}
	kist_container_remove_several(list, n, flags, timeout, take_first, &first);
	for (size_t i = 0; i < n; i++)
		kist_container_free(list[i]);
	if (kist_error_is_set(&first) && err)
		*err = first;
	return kist_error_is_set(&first) ? (first.errnum > 0 ? -first.errnum : -EIO) : 0;
}
