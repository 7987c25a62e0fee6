/* kist pod start, stop, restart, kill, pause, unpause, rm, prune, exists, and the group they belong to. */
#include "cli/pod_commands.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

const struct kist_command kist_command_pod = {
	.name = "pod",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Commands on pods",
	.is_group = true,
};

struct pod_options {
	bool all, latest, ignore, force;
	char **id_files;
	struct kist_opt time;
	const char *signal;
	int missing, running, other; /* failures by kind, for the exit code of rm */
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct pod_options, type, member, name, letter, ##__VA_ARGS__)
#define ALL_ROW(help_)                       ROW(FLAG, all, "all", 'a', .help = help_)
#define LATEST_ROW                           ROW(FLAG, latest, "latest", 'l', .help = "The pod created last")
#define IGNORE_ROW                           ROW(FLAG, ignore, "ignore", 'i', .help = "A missing pod is no error")
#define FILE_ROW                                                                                                       \
	ROW(LIST, id_files, "pod-id-file", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,                      \
	    .help = "Read the pod's id from a file")
#define TIME_ROW(help_) ROW(OPT_I64, time, "time", 't', .metavar = "seconds", .help = help_)

int cli_pod_open(struct kist_cli *cli, bool latest, const char *name, struct kist_pod **out, struct kist_error *err)
{
	return latest ? kist_pod_latest(cli->k, out, err) : kist_pod_open(cli->k, name, out, err);
}

int cli_pod_id_read(const char *path, char **id, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };

	int r = kist_read_file(AT_FDCWD, path, 4096, &text);
	if (r < 0)
		return kist_fail_errno(err, -r, "read pod id file %s", path);
	*id = kist_strndup(kist_str_get(&text), strcspn(kist_str_get(&text), " \t\r\n"));
	return 0;
}

void kist_complete_pods(struct kist_cli *cli, const char *prefix, char ***names)
{
	struct kist_pod **list = NULL;
	size_t n = 0;

	if (kist_pod_list(cli->k, &list, &n, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (kist_has_prefix(kist_pod_name(list[i]), prefix))
			kist_strv_add(names, kist_pod_name(list[i]));
	kist_pod_list_free(list, n);
}

/* --- many -----------------------------------------------------------------------------------------------------------
 */

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct pod_options *o = options;
	int given = (o->all ? 1 : 0) + (o->latest ? 1 : 0) + (argc > 1 ? 1 : 0);

	(void)argv;
	if (given > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "pod names, --all and --latest exclude each other");
	if (given == 0 && !o->id_files)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name at least one pod, or use --all or --latest");
	return 0;
}

typedef int (*act_fn)(struct kist_pod *pod, struct pod_options *o, struct kist_error *err);

struct each {
	struct kist_cli *cli;
	struct pod_options *o;
	act_fn act;
};

static void failed(struct each *e, const struct kist_error *problem)
{
	if (problem->kind == KIST_ERR_NOT_FOUND)
		e->o->missing++;
	else if (problem->kind == KIST_ERR_STATE || problem->kind == KIST_ERR_IN_USE)
		e->o->running++;
	else
		e->o->other++;
	kist_complain(e->cli->program, problem);
}

static void act_on(struct each *e, struct kist_pod *pod)
{
	KIST_FREE char *id = kist_strdup(kist_pod_id(pod));
	struct kist_error problem = { 0 };

	if (e->act(pod, e->o, &problem) < 0)
		failed(e, &problem);
	else
		printf("%s\n", id);
}

static void act_on_name(struct each *e, const char *name)
{
	struct kist_error problem = { 0 };
	struct kist_pod *pod = NULL;

	if (kist_pod_open(e->cli->k, name, &pod, &problem) == 0)
		act_on(e, pod);
	else if (problem.kind != KIST_ERR_NOT_FOUND || !(e->o->ignore || e->o->force))
		failed(e, &problem);
	kist_pod_free(pod);
}

static int act_on_all(struct each *e, struct kist_error *err)
{
	struct kist_pod **list = NULL;
	size_t n = 0;

	int r = kist_pod_list(e->cli->k, &list, &n, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		act_on(e, list[i]);
	kist_pod_list_free(list, n);
	return 0;
}

static int each(struct kist_cli *cli, struct pod_options *o, int argc, char **argv, act_fn act, struct kist_error *err)
{
	struct each e = { .cli = cli, .o = o, .act = act };
	struct kist_pod *pod = NULL;
	int r = 0;

	if (o->all) {
		r = act_on_all(&e, err);
	} else if (o->latest) {
		r = kist_pod_latest(cli->k, &pod, err);
		if (r == 0)
			act_on(&e, pod);
		kist_pod_free(pod);
	}
	for (size_t i = 0; r == 0 && o->id_files && o->id_files[i]; i++) {
		KIST_FREE char *id = NULL;
		struct kist_error problem = { 0 };
		if (cli_pod_id_read(o->id_files[i], &id, &problem) == 0)
			act_on_name(&e, id);
		else if (problem.errnum != ENOENT || !o->ignore)
			failed(&e, &problem);
	}
	for (int i = 1; r == 0 && i < argc; i++)
		act_on_name(&e, argv[i]);
	return r < 0 ? r : o->missing || o->running || o->other ? KIST_EXIT_ENGINE : 0;
}

/* What the commands on many have in common. */
#define POD_COMMAND(rows_)                                                                                             \
	.parent = "pod", .synopsis = "[options] POD [POD...]",                                                         \
	.options = (const struct kist_option_set[]){ { rows_, 0 }, { 0 } },                                            \
	.options_size = sizeof(struct pod_options), .max_args = -1, .completes_first = KIST_COMPLETE_POD,              \
	.completes_rest = KIST_COMPLETE_POD, .needs = KIST_NEEDS_STORE

/* --- start ----------------------------------------------------------------------------------------------------------
 */

static const struct kist_option start_rows[] = { ALL_ROW("Start all pods"), LATEST_ROW, FILE_ROW, { 0 } };

static int start_one(struct kist_pod *pod, struct pod_options *o, struct kist_error *err)
{
	(void)o;
	return kist_pod_start(pod, err);
}

static int start_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	return each(cli, options, argc, argv, start_one, err);
}

const struct kist_command kist_command_pod_start = {
	POD_COMMAND(start_rows),
	.name = "start",
	.summary = "Start the containers of pods",
	.description = "The infra container starts first, then the init containers, one after the other to their end, "
	               "then all others.",
	.run = start_run,
	.check = check,
};

/* --- stop, restart --------------------------------------------------------------------------------------------------
 */

#define GRACE "Time between the stop signal and SIGKILL; each container's own by default"

static const struct kist_option stop_rows[] = { ALL_ROW("Stop all pods"), IGNORE_ROW, LATEST_ROW, FILE_ROW,
	                                        TIME_ROW(GRACE),          { 0 } };

static int stop_one(struct kist_pod *pod, struct pod_options *o, struct kist_error *err)
{
	return kist_pod_stop(pod, o->time.set ? o->time.value : -1, err);
}

static int stop_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	return each(cli, options, argc, argv, stop_one, err);
}

const struct kist_command kist_command_pod_stop = {
	POD_COMMAND(stop_rows),
	.name = "stop",
	.summary = "Stop the containers of pods",
	.description = "All containers get their stop signal at once; the infra container is stopped when they have "
	               "ended.",
	.run = stop_run,
	.check = check,
};

static const struct kist_option restart_rows[] = { ALL_ROW("Restart all pods"), LATEST_ROW, { 0 } };

static int restart_one(struct kist_pod *pod, struct pod_options *o, struct kist_error *err)
{
	(void)o;
	return kist_pod_restart(pod, -1, err);
}

static int restart_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	return each(cli, options, argc, argv, restart_one, err);
}

const struct kist_command kist_command_pod_restart = {
	POD_COMMAND(restart_rows),
	.name = "restart",
	.summary = "Stop and start the containers of pods",
	.description = "Stops what runs, and starts all containers, also those that did not run.",
	.run = restart_run,
	.check = check,
};

/* --- kill, pause, unpause -------------------------------------------------------------------------------------------
 */

static const struct kist_option kill_rows[] = {
	ALL_ROW("Send the signal to all pods"),
	LATEST_ROW,
	ROW(STRING, signal, "signal", 's', .metavar = "signal", .fallback = "KILL",
	    .help = "Name or number of the signal"),
	{ 0 },
};

static int kill_one(struct kist_pod *pod, struct pod_options *o, struct kist_error *err)
{
	int number = kist_parse_signal(o->signal);

	return number <= 0 ? kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not a signal", o->signal)
	                   : kist_pod_kill(pod, number, err);
}

static int kill_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	return each(cli, options, argc, argv, kill_one, err);
}

const struct kist_command kist_command_pod_kill = {
	POD_COMMAND(kill_rows),
	.name = "kill",
	.summary = "Send a signal to the containers of pods",
	.description = "The signal goes to the first process of each running container, the infra container too.",
	.run = kill_run,
	.check = check,
};

static const struct kist_option pause_rows[] = { ALL_ROW("Pause all pods"), LATEST_ROW, { 0 } };

static int pause_one(struct kist_pod *pod, struct pod_options *o, struct kist_error *err)
{
	(void)o;
	return kist_pod_pause(pod, err);
}

static int pause_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	return each(cli, options, argc, argv, pause_one, err);
}

const struct kist_command kist_command_pod_pause = {
	POD_COMMAND(pause_rows), .name = "pause", .summary = "Freeze the processes of pods",
	.run = pause_run,        .check = check,
};

static const struct kist_option unpause_rows[] = { ALL_ROW("Unpause all pods"), LATEST_ROW, { 0 } };

static int unpause_one(struct kist_pod *pod, struct pod_options *o, struct kist_error *err)
{
	(void)o;
	return kist_pod_unpause(pod, err);
}

static int unpause_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	return each(cli, options, argc, argv, unpause_one, err);
}

const struct kist_command kist_command_pod_unpause = {
	POD_COMMAND(unpause_rows), .name = "unpause", .summary = "Let frozen pods go on",
	.run = unpause_run,        .check = check,
};

/* --- rm -------------------------------------------------------------------------------------------------------------
 */

static const struct kist_option rm_rows[] = {
	ALL_ROW("Remove all pods"),
	ROW(FLAG, force, "force", 'f', .help = "Stop what runs first; a missing pod is no error"),
	IGNORE_ROW,
	LATEST_ROW,
	FILE_ROW,
	TIME_ROW("With --force: time between the stop signal and SIGKILL"),
	{ 0 },
};

static int rm_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct pod_options *o = options;

	if (o->time.set && !o->force)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--time needs --force");
	return check(options, argc, argv, err);
}

static int rm_one(struct kist_pod *pod, struct pod_options *o, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	int r = kist_pod_remove(pod, o->force ? KIST_REMOVE_FORCE : 0, o->time.set ? o->time.value : -1, &problem);
	/* Someone else was faster: what was asked for is so. */
	if (r < 0 && problem.kind == KIST_ERR_REMOVED)
		return 0;
	if (r < 0)
		*err = problem;
	return r;
}

/* A record that cannot be loaded can still be removed with --force. True: it is done with. */
static bool rm_broken(struct kist_cli *cli, struct pod_options *o, const char *name)
{
	struct kist_error problem = { 0 };
	struct kist_pod *pod = NULL;
	char id[65];

	int r = kist_pod_open(cli->k, name, &pod, &problem);
	kist_pod_free(pod);
	if (!o->force || r == 0 || problem.kind != KIST_ERR_CORRUPT)
		return false;
	kist_error_clear(&problem);
	if (kist_pod_evict(cli->k, name, id, &problem) < 0) {
		kist_complain(cli->program, &problem);
		o->other++;
	} else {
		printf("%s\n", id);
	}
	return true;
}

/* podman-pod-rm(1): 1 when a pod was missing, 2 when one runs or is depended upon, 125 otherwise. */
static int rm_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct pod_options *o = options;
	int kept = 1;

	for (int i = 1; i < argc; i++)
		if (!rm_broken(cli, o, argv[i]))
			argv[kept++] = argv[i];
	int r = each(cli, o, kept, argv, rm_one, err);
	if (r < 0)
		return r;
	if (o->other)
		return KIST_EXIT_ENGINE;
	return o->running ? 2 : o->missing ? 1 : 0;
}

const struct kist_command kist_command_pod_rm = {
	POD_COMMAND(rm_rows),
	.name = "rm",
	.summary = "Remove pods with their containers",
	.description = "Removes pods whose containers, besides the infra container, have ended; with --force all.\n"
	               "Exit code 1: a pod did not exist; 2: one has running containers and --force was not given.",
	.run = rm_run,
	.check = rm_check,
};

/* --- prune ----------------------------------------------------------------------------------------------------------
 */

static const struct kist_option prune_rows[] = { ROW(FLAG, force, "force", 'f', .help = "Do not ask"), { 0 } };

enum kist_pod_status cli_pod_status(struct kist_pod *pod)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	if (kist_pod_containers(pod, &list, &n, NULL) < 0)
		return KIST_POD_ERROR;
	enum kist_pod_status status = kist_pod_status(list, n);
	kist_container_list_free(list, n);
	return status;
}

static bool has_ended(struct kist_pod *pod)
{
	enum kist_pod_status status = cli_pod_status(pod);

	return status == KIST_POD_STOPPED || status == KIST_POD_EXITED;
}

int cli_pods_prune(struct kist_cli *cli, bool (*passes)(void *arg, const struct kist_pod_config *config), void *arg,
                   struct kist_str *out, struct kist_error *err)
{
	struct kist_pod **list = NULL;
	int problems = 0;
	size_t n = 0;

	int r = kist_pod_list(cli->k, &list, &n, NULL, err);
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *id = kist_strdup(kist_pod_id(list[i]));
		struct kist_error problem = { 0 };
		if ((passes && !passes(arg, kist_pod_config(list[i]))) || !has_ended(list[i]))
			continue;
		if (kist_pod_remove(list[i], 0, -1, &problem) == 0) {
			kist_str_addf(out, "%s\n", id);
		} else if (problem.kind != KIST_ERR_REMOVED && problem.kind != KIST_ERR_STATE) {
			kist_complain(cli->program, &problem);
			problems++;
		}
	}
	kist_pod_list_free(list, n);
	return r < 0 ? r : problems;
}

static int prune_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct pod_options *o = options;
	KIST_STR struct kist_str out = { 0 };
	char answer[16] = "";

	(void)argc;
	(void)argv;
	if (!o->force) {
		/* Without a terminal nobody can answer: that is no. */
		printf("WARNING! This command removes all stopped pods with their containers.\n"
		       "Are you sure you want to continue? [y/N] ");
		fflush(stdout);
		if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
			return 0;
	}
	int r = cli_pods_prune(cli, NULL, NULL, &out, err);
	int printed = r < 0 ? r : kist_cli_print(&out, err);
	return printed < 0 ? printed : r > 0 ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_pod_prune = {
	.name = "prune",
	.parent = "pod",
	.synopsis = "[options]",
	.summary = "Remove all stopped pods",
	.description = "Removes the pods of which some containers have ended and none runs, with all their containers.",
	.options = (const struct kist_option_set[]){ { prune_rows, 0 }, { 0 } },
	.options_size = sizeof(struct pod_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = prune_run,
};

/* --- exists ---------------------------------------------------------------------------------------------------------
 */

static int exists_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_pod *pod = NULL;

	(void)options;
	(void)argc;
	int r = kist_pod_open(cli->k, argv[1], &pod, err);
	kist_pod_free(pod);
	return kist_cli_exists(r, err);
}

const struct kist_command kist_command_pod_exists = {
	.name = "exists",
	.parent = "pod",
	.synopsis = "POD",
	.summary = "Check whether a pod exists",
	.description = "Exit code 0 when it does, 1 when it does not.",
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_POD,
	.needs = KIST_NEEDS_STORE,
	.run = exists_run,
};
