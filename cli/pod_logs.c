/* kist pod logs: the logs of its containers, by the command that shows those. */
#include "cli/pod_commands.h"
#include "cli/view_commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct logs_options {
	bool color, follow, latest, names, timestamps;
	char **containers;
	const char *since, *until;
	int64_t tail;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct logs_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option logs_rows[] = {
	ROW(FLAG, color, "color", 0, .help = "Show each container in a colour of its own"),
	ROW(LIST, containers, "container", 'c', .metavar = "container", .completes = KIST_COMPLETE_CONTAINER,
	    .help = "Show the logs of this container alone"),
	ROW(FLAG, follow, "follow", 'f', .help = "Go on until the containers have ended"),
	ROW(FLAG, latest, "latest", 'l', .help = "Of the pod created last"),
	ROW(FLAG, names, "names", 'n', .help = "Begin each line with the container's name"),
	ROW(STRING, since, "since", 0, .metavar = "time",
	    .help = "Leave out what is older: a date, unix seconds, or 10m for ten minutes ago"),
	ROW(I64, tail, "tail", 0, .fallback = "-1", .metavar = "lines",
	    .help = "Show the last lines of each alone; -1 for all"),
	ROW(FLAG, timestamps, "timestamps", 't', .help = "Begin each line with its time"),
	ROW(STRING, until, "until", 0, .metavar = "time", .help = "Leave out what is newer"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct logs_options *o = options;

	(void)argv;
	return o->latest == (argc > 1) ? kist_fail(err, KIST_ERR_INVALID, 0, "name a pod, or use --latest") : 0;
}

/* The ids of those that are wanted, in the order of their creation. */
static int choose(const struct logs_options *o, struct kist_pod *pod, char ***ids, struct kist_error *err)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; o->containers && o->containers[i] && r == 0; i++) {
		const char *wanted = o->containers[i], *id = NULL;
		for (size_t j = 0; j < n && !id; j++)
			if (kist_streq(kist_container_name(list[j]), wanted) ||
			    (strlen(wanted) >= 3 && kist_has_prefix(kist_container_id(list[j]), wanted)))
				id = kist_container_id(list[j]);
		if (id)
			kist_strv_add(ids, id);
		else
			r = kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "pod %s has no container %s", kist_pod_name(pod),
			              wanted);
	}
	/* The infra container says nothing. */
	for (size_t i = 0; !o->containers && i < n; i++)
		if (!kist_container_config(list[i])->infra)
			kist_strv_add(ids, kist_container_id(list[i]));
	kist_container_list_free(list, n);
	return r;
}

static void add_value(char ***words, const char *option, const char *value)
{
	if (value)
		kist_strv_take(words, kist_asprintf("--%s=%s", option, value));
}

static char **words_of(const struct logs_options *o, char *const *ids)
{
	const struct {
		const char *word;
		bool given;
	} flags[] = {
		{ "--color", o->color },
		{ "--follow", o->follow },
		{ "--names", o->names },
		{ "--timestamps", o->timestamps },
	};
	char **words = NULL;

	kist_strv_add(&words, "logs");
	for (size_t i = 0; i < KIST_COUNT(flags); i++)
		if (flags[i].given)
			kist_strv_add(&words, flags[i].word);
	add_value(&words, "since", o->since);
	add_value(&words, "until", o->until);
	kist_strv_take(&words, kist_asprintf("--tail=%lld", (long long)o->tail));
	kist_strv_add(&words, "--");
	for (size_t i = 0; ids[i]; i++)
		kist_strv_add(&words, ids[i]);
	return words;
}

static int show(struct kist_cli *cli, char **words, struct kist_error *err)
{
	const struct kist_command *logs = &kist_command_logs;
	KIST_FREE void *options = kist_alloc(logs->options_size + 1);
	struct kist_options_target target = { logs->options, options };
	/* Parsing moves the words about; they belong to the list. */
	size_t n_words = kist_strv_len(words);
	KIST_FREE char **argv = kist_grow(NULL, n_words + 1, sizeof(*argv));

	memcpy(argv, words, (n_words + 1) * sizeof(*argv));
	kist_options_init(logs->options, options);
	int n = kist_options_parse(&target, 1, KIST_OPTIONS_PERMUTE, (int)n_words, argv, err);
	int r = n < 0 ? n : logs->check(options, n + 1, argv, err);
	if (r >= 0)
		r = logs->run(cli, options, n + 1, argv, err);
	kist_options_clear(logs->options, options);
	return r;
}

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct logs_options *o = options;
	KIST_STRV char **ids = NULL, **words = NULL;
	struct kist_pod *pod = NULL;

	(void)argc;
	int r = cli_pod_open(cli, o->latest, argv[1], &pod, err);
	if (r == 0)
		r = choose(o, pod, &ids, err);
	kist_pod_free(pod);
	if (r < 0 || !ids)
		return r;
	words = words_of(o, ids);
	return show(cli, words, err);
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
	.options = (const struct kist_option_set[]){ { logs_rows, 0 }, { 0 } },
	.options_size = sizeof(struct logs_options),
	.max_args = 1,
	.completes_first = KIST_COMPLETE_POD,
	.needs = KIST_NEEDS_STORE,
	.run = run,
	.check = check,
};
