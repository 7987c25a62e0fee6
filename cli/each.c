/* Commands that take several containers: all of them, the latest, or those named; one failure does not stop the rest.
 */
#include "cli/cli.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One to act on, as the user wrote it. */
struct chosen {
	struct kist_container *c;
	char *shown;
	bool listed;
	int then; /* its state when it was listed */
};

struct each {
	struct kist_cli *cli;
	const struct kist_cli_targets *targets;
	kist_cli_act act;
	kist_cli_act_all act_all;
	void *arg;
	int code;
	struct chosen *chosen; /* for act_all */
	size_t n;
};

static void failed(struct each *e, const struct kist_error *err)
{
	kist_complain(e->cli->program, err);
	if (e->code == 0)
		e->code = KIST_EXIT_ENGINE;
}

/* It was in the list, and is no longer what it was then. */
static bool has_changed(const struct each *e, const struct chosen *one, const struct kist_error *err)
{
	if (err->kind == KIST_ERR_REMOVED)
		return true;
	return e->targets->passes_over && (err->errnum == ESRCH || (err->kind == KIST_ERR_STATE &&
	                                                            kist_container_state(one->c)->status != one->then));
}

/* problem: NULL, or why it failed. */
static void outcome(struct each *e, const struct chosen *one, const struct kist_error *problem)
{
	if (!problem)
		printf("%s\n", one->shown);
	else if (!(one->listed && has_changed(e, one, problem)))
		failed(e, problem);
}

/* Takes over c. shown: NULL, the id. */
static void act_on(struct each *e, struct kist_container *c, const char *shown, bool listed)
{
	struct kist_error err = { 0 };
	/* The handle's own string may go with a removal. */
	struct chosen one = { c, kist_strdup(shown ? shown : kist_container_id(c)), listed,
		              kist_container_state(c)->status };

	/* Who names one twice means it once. */
	for (size_t i = 0; e->act_all && !listed && i < e->n; i++)
		if (kist_streq(kist_container_id(e->chosen[i].c), kist_container_id(c))) {
			free(one.shown);
			kist_container_free(c);
			return;
		}
	if (e->act_all) {
		e->chosen = kist_grow(e->chosen, e->n + 1, sizeof(*e->chosen));
		e->chosen[e->n++] = one;
		return;
	}
	int r = e->act(e->cli, c, e->arg, &err);
	if (r <= 0)
		outcome(e, &one, r < 0 ? &err : NULL);
	free(one.shown);
	kist_container_free(c);
}

static void told(void *arg, struct kist_container *c, const struct kist_error *problem)
{
	struct each *e = arg;

	for (size_t i = 0; i < e->n; i++)
		if (e->chosen[i].c == c)
			outcome(e, &e->chosen[i], problem);
}

static void act_together(struct each *e)
{
	KIST_FREE struct kist_container **list = kist_alloc((e->n + 1) * sizeof(struct kist_container *));

	for (size_t i = 0; i < e->n; i++)
		list[i] = e->chosen[i].c;
	e->act_all(list, e->n, e->arg, told, e);
	for (size_t i = 0; i < e->n; i++) {
		free(e->chosen[i].shown);
		kist_container_free(e->chosen[i].c);
	}
	free(e->chosen);
}

static void act_on_name(struct each *e, const char *name)
{
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	if (kist_container_open(e->cli->k, name, &c, &err) < 0) {
		bool fine = err.kind == KIST_ERR_NOT_FOUND && e->targets->ignore_missing;
		if (!fine && e->targets->unopened)
			fine = e->targets->unopened(e->cli, e->arg, name, &err);
		if (!fine)
			failed(e, &err);
		return;
	}
	act_on(e, c, e->targets->print_input ? name : NULL, false);
}

static bool is_wanted(const struct each *e, const struct kist_filters *filters, struct kist_container *c)
{
	unsigned mask = e->targets->status_mask;

	return (!mask || mask & (1u << kist_container_state(c)->status)) &&
	       (!filters->n || kist_container_passes(e->cli, filters, c));
}

static int act_on_all(struct each *e, const struct kist_filters *filters, struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	int r = kist_container_list(e->cli->k, &list, &n, NULL, err);
	if (r < 0)
		return r;
	if (e->targets->order != KIST_ORDER_CREATED)
		kist_container_sort(list, n);
	for (size_t i = 0; i < n; i++)
		if (is_wanted(e, filters, list[i]))
			act_on(e, list[i], NULL, true);
		else
			kist_container_free(list[i]);
	free(list);
	return r;
}

static int act_on_latest(struct each *e, struct kist_error *err)
{
	struct kist_container *c = NULL;

	int r = kist_container_latest(e->cli->k, &c, err);
	if (r < 0)
		return r;
	act_on(e, c, NULL, false);
	return 0;
}

static void act_on_cidfile(struct each *e, const char *path)
{
	char id[65] = "";
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, id, sizeof(id) - 1);

	if (n < 0) {
		struct kist_error err = { 0 };
		int e_ = errno;
		if (e_ == ENOENT && e->targets->ignore_missing)
			return;
		kist_fail_errno(&err, e_, "read container id file %s", path);
		failed(e, &err);
		return;
	}
	id[strcspn(id, "\n")] = '\0';
	act_on_name(e, id);
}

static int each(struct each *e, int argc, char **argv, struct kist_error *err)
{
	const struct kist_cli_targets *targets = e->targets;
	KIST_FILTERS struct kist_filters filters = { 0 };
	int r = 0;

	if (targets->filters)
		r = kist_filters_parse(targets->filters, kist_container_filter_keys, &filters, err);
	if (r < 0)
		return r;
	if (targets->all || targets->filters)
		r = act_on_all(e, &filters, err);
	else if (targets->latest)
		r = act_on_latest(e, err);
	for (int i = 1; r == 0 && i < argc; i++)
		act_on_name(e, argv[i]);
	for (size_t i = 0; r == 0 && targets->cidfiles && targets->cidfiles[i]; i++)
		act_on_cidfile(e, targets->cidfiles[i]);
	if (e->act_all)
		act_together(e);
	return r < 0 ? r : e->code;
}

int kist_cli_each(struct kist_cli *cli, const struct kist_cli_targets *targets, int argc, char **argv, kist_cli_act act,
                  void *arg, struct kist_error *err)
{
	struct each e = { .cli = cli, .targets = targets, .act = act, .arg = arg };

	return each(&e, argc, argv, err);
}

int kist_cli_together(struct kist_cli *cli, const struct kist_cli_targets *targets, int argc, char **argv,
                      kist_cli_act_all act, void *arg, struct kist_error *err)
{
	struct each e = { .cli = cli, .targets = targets, .act_all = act, .arg = arg };

	return each(&e, argc, argv, err);
}

int kist_cli_check_targets(bool all, bool latest, int argc, struct kist_error *err)
{
	int given = (all ? 1 : 0) + (latest ? 1 : 0) + (argc > 1 ? 1 : 0);

	if (given > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "container names, --all and --latest exclude each other");
	if (given == 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name at least one container, or use --all or --latest");
	return 0;
}

int kist_cli_exists(int r, struct kist_error *err)
{
	if (r >= 0 || err->kind != KIST_ERR_NOT_FOUND)
		return r;
	kist_error_clear(err);
	return 1;
}

int kist_cli_print(const struct kist_str *text, struct kist_error *err)
{
	fflush(stdout);
	int r = kist_write_all(1, kist_str_get(text), text->len);

	return r < 0 ? kist_fail_errno(err, -r, "write output") : 0;
}

int kist_cli_print_json(struct json_object *json, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_FREE char *pretty = kist_json_text(json, true);

	kist_str_add(&text, pretty);
	kist_str_addc(&text, '\n');
	return kist_cli_print(&text, err);
}
