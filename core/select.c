/* Look-ups of several containers, and their removal when nobody needs them. */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kist_container_select(struct kist *k, const struct kist_container_filter *filters, size_t n_filters,
                          struct kist_container ***out, size_t *n, struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t count = 0, kept = 0;

	int r = kist_container_list(k, &list, &count, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		bool passes = true;
		for (size_t f = 0; passes && f < n_filters; f++)
			passes = filters[f].match(list[i], filters[f].arg);
		if (passes)
			list[kept++] = list[i];
		else
			kist_container_free(list[i]);
	}
	*out = list;
	*n = kept;
	return 0;
}

static bool is_running(const struct kist_container *c, void *arg)
{
	(void)arg;
	return c->state.status == KIST_RUNNING;
}

int kist_container_running(struct kist *k, struct kist_container ***out, size_t *n, struct kist_error *err)
{
	const struct kist_container_filter running = { is_running, NULL };

	return kist_container_select(k, &running, 1, out, n, err);
}

int kist_container_by_names(struct kist *k, char *const *names, struct kist_container ***out, size_t *n,
                            struct kist_error *err)
{
	size_t count = kist_strv_len(names), opened = 0;
	struct kist_container **list = kist_alloc((count + 1) * sizeof(struct kist_container *));
	int r = 0;

	for (; r == 0 && opened < count; opened += r == 0)
		r = kist_container_open(k, names[opened], &list[opened], err);
	if (r < 0) {
		kist_container_list_free(list, opened);
		return r;
	}
	*out = list;
	*n = count;
	return 0;
}

/* The list was made without waiting for locks: what a container is now is asked again by its removal, which refuses
 * those that run. */
static bool is_prunable(const struct kist_container *c, void *arg)
{
	int status = c->state.status;

	(void)arg;
	/* What waits for its next run is up as far as its user is concerned. */
	return !c->config.pod && !c->state.restarting &&
	       (status == KIST_CONFIGURED || status == KIST_CREATED || status == KIST_STOPPED || status == KIST_EXITED);
}

/* False: it runs again, or is about to, or somebody else has removed it. */
static bool prune_one(struct kist_container *c, struct kist_prune_report *report)
{
	uint64_t rw = 0, rootfs = 0;

	memcpy(report->id, c->config.id, sizeof(report->id));
	if (kist_container_size(c, &rw, &rootfs, NULL) == 0)
		report->size = rw;
	int r = kist_container_sync(c, &report->error);
	if (r == 0)
		r = kist_call_check(KIST_CALL_PRUNE, (enum kist_status)c->state.status, &report->error);
	if (r == 0)
		r = kist_container_remove(c, KIST_REMOVE_PRUNE, 0, &report->error);
	if (r < 0)
		report->size = 0;
	return r == 0 || (report->error.kind != KIST_ERR_STATE && report->error.kind != KIST_ERR_REMOVED);
}

int kist_container_prune(struct kist *k, const struct kist_container_filter *filters, size_t n_filters,
                         struct kist_prune_report **out, size_t *n, struct kist_error *err)
{
	struct kist_container_filter *all = kist_alloc((n_filters + 1) * sizeof(*all));
	struct kist_container **list = NULL;
	size_t count = 0;

	for (size_t i = 0; i < n_filters; i++)
		all[i + 1] = filters[i];
	all[0] = (struct kist_container_filter){ is_prunable, NULL };
	int r = kist_container_select(k, all, n_filters + 1, &list, &count, err);
	free(all);
	if (r < 0)
		return r;
	struct kist_prune_report *reports = kist_alloc((count + 1) * sizeof(*reports));
	*n = 0;
	for (size_t i = 0; i < count; i++) {
		reports[*n] = (struct kist_prune_report){ 0 };
		*n += prune_one(list[i], &reports[*n]);
	}
	kist_container_list_free(list, count);
	*out = reports;
	return 0;
}
