/* kist pod top. */
#include "cli/columns.h"
#include "cli/pod_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

struct top_options {
	bool latest;
};

static const struct kist_option top_rows[] = {
	KIST_OPTION(struct top_options, FLAG, latest, "latest", 'l', .help = "Of the pod created last"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct top_options *o = options;

	(void)argv;
	return o->latest || argc > 1 ? 0 : kist_fail(err, KIST_ERR_INVALID, 0, "name a pod, or use --latest");
}

static bool is_up(const struct kist_container *c)
{
	int status = kist_container_state(c)->status;

	return status == KIST_RUNNING || status == KIST_PAUSED || status == KIST_STOPPING;
}

/* The titles once. */
static void add_rows(struct kist_columns *columns, struct json_object *table, bool titles)
{
	for (size_t i = titles ? 0 : 1; i < json_object_array_length(table); i++) {
		struct json_object *row = json_object_array_get_idx(table, i);
		for (size_t j = 0; j < json_object_array_length(row); j++)
			kist_columns_cell(columns, json_object_get_string(json_object_array_get_idx(row, j)));
		kist_columns_end(columns);
	}
}

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct top_options *o = options;
	KIST_COLUMNS struct kist_columns columns = { 0 };
	KIST_STR struct kist_str out = { 0 };
	struct kist_container **list = NULL;
	struct kist_pod *pod = NULL;
	size_t n = 0, shown = 0;

	(void)argc;
	int r = cli_pod_open(cli, o->latest, argv[1], &pod, err);
	if (r == 0)
		r = kist_pod_containers(pod, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct json_object *table = NULL;
		struct kist_error problem = { 0 };
		if (!is_up(list[i]))
			continue;
		if (kist_container_top(list[i], argv + (o->latest ? 1 : 2), &table, &problem) == 0) {
			add_rows(&columns, table, shown++ == 0);
			json_object_put(table);
		} else if (problem.kind != KIST_ERR_STATE && problem.kind != KIST_ERR_REMOVED) {
			*err = problem;
			r = -EIO;
		}
	}
	if (r == 0 && shown == 0)
		r = kist_fail(err, KIST_ERR_STATE, ESRCH, "pod %s has no running containers", kist_pod_name(pod));
	kist_container_list_free(list, n);
	kist_pod_free(pod);
	if (r < 0)
		return r;
	kist_columns_print(&columns, &out);
	return kist_cli_print(&out, err);
}

const struct kist_command kist_command_pod_top = {
	.name = "top",
	.parent = "pod",
	.synopsis = "[options] POD [COLUMN...]",
	.summary = "Show the processes of a pod",
	.description = "The processes of all its running containers, as 'kist top' shows those of one, with the same "
	               "columns.",
	.examples = (const char *const[]){ "pod top web", "pod top web pid,user,args", NULL },
	.options = (const struct kist_option_set[]){ { top_rows, 0 }, { 0 } },
	.options_size = sizeof(struct top_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_POD,
	.needs = KIST_NEEDS_STORE,
	.run = run,
	.check = check,
};
