#include "core/depend.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_up(const struct kist_container *c)
{
	return c->state.status == KIST_RUNNING && kist_container_monitor_alive(c);
}

int kist_requires_resolve(struct kist_container *c, struct kist_error *err)
{
	char **ids = NULL;

	for (size_t i = 0; c->config.required && c->config.required[i]; i++) {
		struct kist_container *other = NULL;
		int r = kist_container_open(c->k, c->config.required[i], &other, err);
		if (r < 0) {
			kist_strv_free(ids);
			return kist_context(err, "requires");
		}
		if (!kist_strv_has(ids, other->config.id))
			kist_strv_add(&ids, other->config.id);
		kist_container_free(other);
	}
	kist_strv_free(c->config.required);
	c->config.required = ids;
	return 0;
}

int kist_dependencies_check(struct kist_container *c, struct kist_error *err)
{
	KIST_STRV char **ids = kist_container_dependencies(c);
	KIST_STR struct kist_str down = { 0 };

	for (size_t i = 0; ids && ids[i]; i++) {
		struct kist_container *other = NULL;
		int r = kist_container_load(c->k, ids[i], &other, err);
		if (r < 0)
			return kist_context(err, "a container it depends on");
		/* A pod's is started whenever one of its others is. */
		if (!is_up(other) && !other->config.infra)
			kist_str_addf(&down, "%s%s", down.len ? ", " : "", other->config.name);
		kist_container_free(other);
	}
	if (!down.len)
		return 0;
	kist_fail(err, KIST_ERR_STATE, EBUSY, "containers it depends on are not running: %s", kist_str_get(&down));
	return kist_remedy(err, "start them first");
}

bool kist_dependencies_up(struct kist_container *c, bool infra)
{
	KIST_STRV char **ids = kist_container_dependencies(c);
	bool up = true;

	for (size_t i = 0; up && ids && ids[i]; i++) {
		struct kist_container *other = NULL;
		up = kist_container_load(c->k, ids[i], &other, NULL) == 0 &&
		     (is_up(other) || (infra && !other->config.infra));
		kist_container_free(other);
	}
	return up;
}

/* --- the graph ------------------------------------------------------------------------------------------------------
 */

/* A walk, deepest first. Each container is open once: its way down to it is 'path', what is finished is in 'done'. */
struct walk {
	struct kist *k;
	char **path, **done;
	int (*visit)(struct kist_container *c, struct kist_error *err); /* NULL: only circles are looked for */
};

static int walk_cycle(const struct walk *w, const char *id, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	bool in = false;

	for (size_t i = 0; w->path[i]; i++) {
		in = in || kist_streq(w->path[i], id);
		if (in)
			kist_str_addf(&text, "%.12s needs ", w->path[i]);
	}
	return kist_fail(err, KIST_ERR_INVALID, ELOOP, "containers depend on each other in a circle: %s%.12s",
	                 kist_str_get(&text), id);
}

static int walk_all(struct walk *w, struct kist_container *c, struct kist_error *err);

static int walk_one(struct walk *w, const char *id, struct kist_error *err)
{
	struct kist_container *c = NULL;
	int r;

	if (kist_strv_has(w->done, id))
		return 0;
	if (kist_strv_has(w->path, id))
		return walk_cycle(w, id, err);
	r = kist_container_load(w->k, id, &c, err);
	if (r < 0)
		return kist_context(err, "a container it depends on");
	/* What runs has had its own dependencies. */
	if (!w->visit || !is_up(c)) {
		r = walk_all(w, c, err);
		if (r == 0 && w->visit)
			r = w->visit(c, err);
	}
	if (r == 0 && w->visit)
		r = kist_wait_healthy(c, err);
	kist_strv_add(&w->done, id);
	kist_container_free(c);
	return r;
}

static int walk_all(struct walk *w, struct kist_container *c, struct kist_error *err)
{
	KIST_STRV char **ids = kist_container_dependencies(c);
	int r = 0;

	kist_strv_add(&w->path, c->config.id);
	for (size_t i = 0; r == 0 && ids && ids[i]; i++)
		r = walk_one(w, ids[i], err);
	size_t n = kist_strv_len(w->path);
	free(w->path[n - 1]);
	w->path[n - 1] = NULL;
	return r;
}

static int start_one(struct kist_container *c, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	int r = kist_container_start(c, NULL, NULL, &problem);
	/* Another command was faster. */
	if (r < 0 && problem.kind == KIST_ERR_STATE && kist_container_sync(c, NULL) == 0 && is_up(c))
		return 0;
	if (r < 0 && err)
		*err = problem;
	return r;
}

int kist_dependencies_start(struct kist_container *c, struct kist_error *err)
{
	struct walk w = { .k = c->k, .visit = start_one };

	int r = walk_all(&w, c, err);
	kist_strv_free(w.path);
	kist_strv_free(w.done);
	return r;
}

int kist_dependencies_circle(struct kist_container *c, struct kist_error *err)
{
	struct walk w = { .k = c->k };
	struct kist_error problem = { 0 };

	int r = walk_all(&w, c, &problem);
	kist_strv_free(w.path);
	kist_strv_free(w.done);
	/* One that is missing is no circle. */
	if (r != -ELOOP)
		return 0;
	if (err)
		*err = problem;
	return r;
}

/* --- order of a list ------------------------------------------------------------------------------------------------
 */

struct sort {
	struct kist_container **list, **sorted;
	bool *marks;
	size_t n, done;
};

/* A circle is left in the order in which it was found: who starts one of it says so. */
static void sort_visit(struct sort *s, size_t at)
{
	KIST_STRV char **ids = s->marks[at] ? NULL : kist_container_dependencies(s->list[at]);

	if (s->marks[at])
		return;
	s->marks[at] = true;
	for (size_t i = 0; ids && ids[i]; i++)
		for (size_t j = 0; j < s->n; j++)
			if (kist_streq(s->list[j]->config.id, ids[i]))
				sort_visit(s, j);
	s->sorted[s->done++] = s->list[at];
}

void kist_container_sort(struct kist_container **list, size_t n)
{
	KIST_FREE struct kist_container **sorted = kist_alloc((n + 1) * sizeof(*sorted));
	KIST_FREE bool *marks = kist_alloc((n + 1) * sizeof(*marks));
	struct sort s = { .list = list, .sorted = sorted, .marks = marks, .n = n };

	for (size_t i = 0; i < n; i++)
		sort_visit(&s, i);
	if (n)
		memcpy(list, sorted, n * sizeof(struct kist_container *));
}
