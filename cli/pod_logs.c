/* kist pod logs: the logs of its containers, by the command that shows those. */
#include "cli/logs.h"
#include "cli/pod_commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pod_logs_options {
	struct logs_options logs;
	char **containers;
};

static const struct kist_option own_rows[] = {
	KIST_OPTION(struct pod_logs_options, LIST, containers, "container", 'c', .metavar = "container",
	            .completes = KIST_COMPLETE_CONTAINER, .help = "Show the logs of this container alone"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct pod_logs_options *o = options;

	(void)argv;
	if (o->logs.latest == (argc > 1))
		return kist_fail(err, KIST_ERR_INVALID, 0, "name a pod, or use --latest");
	return kist_logs_check(&o->logs, err);
}

static struct kist_container *find(struct kist_container *const *list, size_t n, const char *wanted)
{
	for (size_t i = 0; i < n; i++)
		if (kist_streq(kist_container_name(list[i]), wanted) ||
		    (strlen(wanted) >= 3 && kist_has_prefix(kist_container_id(list[i]), wanted)))
			return list[i];
	return NULL;
}

/* Those that are wanted, borrowed from the list. */
static int choose(const struct pod_logs_options *o, struct kist_pod *pod, struct kist_container *const *list, size_t n,
                  struct kist_container **chosen, size_t *n_chosen, struct kist_error *err)
{
	for (size_t i = 0; o->containers && o->containers[i]; i++) {
		struct kist_container *c = find(list, n, o->containers[i]);
		if (!c)
			return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "pod %s has no container %s",
			                 kist_pod_name(pod), o->containers[i]);
		chosen[(*n_chosen)++] = c;
	}
	/* The infra container says nothing. */
	for (size_t i = 0; !o->containers && i < n; i++)
		if (!kist_container_config(list[i])->infra)
			chosen[(*n_chosen)++] = list[i];
	return 0;
}

static int show(struct kist_cli *cli, const struct pod_logs_options *o, struct kist_pod *pod, struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t n = 0, n_chosen = 0, n_wanted = kist_strv_len(o->containers);

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0)
		return r;
	KIST_FREE struct kist_container **chosen = kist_alloc((n + n_wanted + 1) * sizeof(struct kist_container *));
	r = choose(o, pod, list, n, chosen, &n_chosen, err);
	if (r == 0 && n_chosen)
		r = kist_logs_print(cli, chosen, n_chosen, &o->logs, err);
	kist_container_list_free(list, n);
	return r;
}

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct pod_logs_options *o = options;
	struct kist_pod *pod = NULL;

	(void)argc;
	int r = cli_pod_open(cli, o->logs.latest, argv[1], &pod, err);
	if (r == 0)
		r = show(cli, o, pod, err);
	kist_pod_free(pod);
	return r;
}

const struct kist_command kist_command_pod_logs = {
	.name = "logs",
	.parent = "pod",
	.synopsis = "[options] POD",
	.summary = "Show what the containers of a pod have printed",
	.description = "Prints the logs of all its containers, or of those that --container names. With several, each "
	               "line begins with the\n"
	               "container's id. A container that joins later is not followed.",
	.examples = (const char *const[]){ "pod logs -f web", "pod logs --names --since 10m -c db web", NULL },
	.options = (const struct kist_option_set[]){ { own_rows, 0 },
	                                             { kist_logs_rows, offsetof(struct pod_logs_options, logs) },
	                                             { 0 } },
	.options_size = sizeof(struct pod_logs_options),
	.max_args = 1,
	.completes_first = KIST_COMPLETE_POD,
	.needs = KIST_NEEDS_STORE,
	.run = run,
	.check = check,
};
