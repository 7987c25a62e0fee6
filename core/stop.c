/* Stopping several containers at once: first those that none of the others needs, then those that these needed. */
#include "core/stop.h"
#include "core/depend.h"

#include "core/base/fs.h"
#include "core/base/log.h"

#include <stdlib.h>

/* How many have their files open at the same time. */
#define AT_ONCE 100

struct one {
	struct kist_container *c;
	char **needs;
	struct kist_stopping stopping;
	bool begun, done;
};

struct several {
	struct one *all;
	size_t n;
	int64_t timeout;
	enum kist_stopper who;
	kist_host_fn each;
	void *arg;
};

static bool is_needed(const struct several *s, const struct one *by)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->all[i].done && kist_strv_has(s->all[i].needs, by->c->config.id))
			return true;
	return false;
}

static void one_end(const struct several *s, struct one *one, int r, const struct kist_error *problem)
{
	one->done = true;
	s->each(s->arg, one->c, r < 0 ? problem : NULL);
	kist_close_fd(&one->c->dir);
	kist_close_fd(&one->c->run_dir);
}

static void one_begin(const struct several *s, struct one *one)
{
	struct kist_error problem = { 0 };

	/* What is frozen takes no signal. */
	if (s->who == KIST_STOPPED_BY_HOST && one->c->state.status == KIST_PAUSED &&
	    kist_container_unpause(one->c, &problem) < 0)
		kist_debug("%s", problem.text);
	kist_error_clear(&problem);
	int r = kist_stop_begin(one->c, s->timeout, s->who, &one->stopping, &problem);
	one->begun = r == 0;
	if (r < 0)
		one_end(s, one, r, &problem);
}

static void await_begun(const struct several *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct one *one = &s->all[i];
		struct kist_error problem = { 0 };
		if (!one->begun || one->done)
			continue;
		int r = kist_stop_end(one->c, &one->stopping, &problem);
		if (r < 0)
			kist_context(&problem, "stop %s", one->c->config.name);
		one_end(s, one, r, &problem);
	}
}

/* Some that no other needs any more; where the records say that all need each other, the first. False: none is left. */
static bool wave(const struct several *s)
{
	struct one *first = NULL;
	size_t begun = 0;

	for (size_t i = 0; i < s->n && begun < AT_ONCE; i++) {
		struct one *one = &s->all[i];
		if (one->done)
			continue;
		first = first ? first : one;
		if (is_needed(s, one))
			continue;
		one_begin(s, one);
		begun++;
	}
	if (first && begun == 0)
		one_begin(s, first);
	await_begun(s);
	return first;
}

void kist_stop_several(struct kist_container *const *list, size_t n, int64_t timeout, enum kist_stopper who,
                       kist_host_fn each, void *arg)
{
	struct several s = { kist_alloc((n + 1) * sizeof(*s.all)), n, timeout, who, each, arg };

	for (size_t i = 0; i < n; i++)
		s.all[i] = (struct one){ .c = list[i], .needs = n > 1 ? kist_container_dependencies(list[i]) : NULL };
	while (wave(&s))
		continue;
	for (size_t i = 0; i < n; i++)
		kist_strv_free(s.all[i].needs);
	free(s.all);
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
