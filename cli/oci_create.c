/* kist-oci create, run, start, exec, kill, delete. */
#include "cli/oci.h"

#include "core/base/log.h"

#include <errno.h>
#include <json-c/json.h>
#include <regex.h>
#include <signal.h>
#include <stdlib.h>

/* --- create and run -------------------------------------------------------------------------------------------------
 */

struct create_options {
	const char *bundle, *config, *pid_file, *console_socket, *pidfd_socket;
	bool no_pivot, no_new_keyring, no_subreaper, detach, keep;
	int preserve_fds;
};
#define CREATE(type, member, name, letter, ...)                                                                        \
	KIST_OPTION(struct create_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option create_rows[] = {
	CREATE(STRING, bundle, "bundle", 'b', .metavar = "directory", .completes = KIST_COMPLETE_DIRECTORY,
	       .help = "The bundle instead of the working directory"),
	CREATE(STRING, config, "config", 'f', .metavar = "file", .completes = KIST_COMPLETE_FILE,
	       .help = "The plan instead of the bundle's config.json"),
	CREATE(STRING, console_socket, "console-socket", 0, .metavar = "path", .completes = KIST_COMPLETE_FILE,
	       .help = "Send the terminal's master over this unix socket"),
	CREATE(FLAG, no_new_keyring, "no-new-keyring", 0, .help = "Keep the caller's session keyring"),
	CREATE(FLAG, no_subreaper, "no-subreaper", 0,
	       .help = "Nothing changes: orphans of a container are never taken in"),
	CREATE(FLAG, no_pivot, "no-pivot", 0, .help = "Move the root into place and chroot instead of pivot_root"),
	CREATE(STRING, pid_file, "pid-file", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,
	       .help = "Write the pid of the container's first process to this file"),
	CREATE(STRING, pidfd_socket, "pidfd-socket", 0, .metavar = "path", .completes = KIST_COMPLETE_FILE,
	       .help = "Send a pidfd of the first process over this unix socket"),
	CREATE(INT, preserve_fds, "preserve-fds", 0, .metavar = "n", .fallback = "0",
	       .help = "Pass file descriptors 3 to 3+n-1 on"),
	{ 0 },
};
static const struct kist_option run_rows[] = {
	CREATE(FLAG, detach, "detach", 'd', .help = "Return once the program runs"),
	CREATE(FLAG, keep, "keep", 0, .help = "Do not delete the container when it ends"),
	{ 0 },
};

static int check_preserve(int n, struct kist_error *err)
{
	return n < 0 || n > 4096 ? kist_fail(err, KIST_ERR_INVALID, 0, "--preserve-fds %d: is not in 0 to 4096", n) : 0;
}

static struct kist_oci_create create_of(const struct create_options *o, const char *id)
{
	return (struct kist_oci_create){
		.id = id,
		.bundle = o->bundle,
		.config = o->config,
		.no_pivot = o->no_pivot,
		.no_new_keyring = o->no_new_keyring,
		.io = { .pid_file = o->pid_file,
		        .console_socket = o->console_socket,
		        .pidfd_socket = o->pidfd_socket,
		        .preserve_fds = (unsigned)o->preserve_fds },
	};
}

static int create_run(struct kist_cli *cli, void *options, int argc KIST_UNUSED, char **argv, struct kist_error *err)
{
	const struct create_options *o = options;
	struct kist_oci_create create = create_of(o, argv[1]);
	int r = check_preserve(o->preserve_fds, err);

	return r < 0 ? r : kist_oci_create(oci_of(cli)->oci, &create, err);
}

static int run_run(struct kist_cli *cli, void *options, int argc KIST_UNUSED, char **argv, struct kist_error *err)
{
	const struct create_options *o = options;
	struct kist_oci_create create = create_of(o, argv[1]);
	int code = 0, r = check_preserve(o->preserve_fds, err);

	if (r == 0)
		r = kist_oci_run(oci_of(cli)->oci, &create, o->detach, o->keep, &code, err);
	return r < 0 ? r : code;
}

const struct kist_command oci_command_create = {
	.name = "create",
	.parent = "",
	.synopsis = "[options] ID",
	.summary = "Create a container from a bundle; its program waits for start",
	.options = (const struct kist_option_set[]){ { create_rows, 0 }, { 0 } },
	.options_size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE | OCI_NEEDS_PROTECTED,
	.run = create_run,
};

const struct kist_command oci_command_run = {
	.name = "run",
	.parent = "",
	.synopsis = "[options] ID",
	.summary = "Create and start a container, wait for it and delete it",
	.description = "The exit code is the program's, 128+n when signal n ended it, 1 when it could not be started.",
	.options = (const struct kist_option_set[]){ { create_rows, 0 }, { run_rows, 0 }, { 0 } },
	.options_size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE | OCI_NEEDS_PROTECTED,
	.run = run_run,
};

/* --- start ----------------------------------------------------------------------------------------------------------
 */

static int start_run(struct kist_cli *cli, void *options KIST_UNUSED, int argc KIST_UNUSED, char **argv,
                     struct kist_error *err)
{
	return kist_oci_start(oci_of(cli)->oci, argv[1], err);
}

const struct kist_command oci_command_start = {
	.name = "start",
	.parent = "",
	.synopsis = "ID",
	.summary = "Run the program of a created container",
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE,
	.run = start_run,
};

/* --- exec -----------------------------------------------------------------------------------------------------------
 */

struct exec_options {
	const char *process, *cwd, *user, *apparmor, *label, *pid_file, *console_socket, *pidfd_socket, *cgroup;
	char **env, **gids, **caps;
	bool tty, detach, no_new_privs, ignore_paused;
	int preserve_fds;
};
#define EXEC(type, member, name, letter, ...)                                                                          \
	KIST_OPTION(struct exec_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option exec_rows[] = {
	EXEC(COMMAS, gids, "additional-gids", 'g', .metavar = "gid", .help = "Add supplementary groups"),
	EXEC(STRING, apparmor, "apparmor", 0, .metavar = "profile", .help = "Run under this AppArmor profile"),
	EXEC(LIST, caps, "cap", 'c', .metavar = "capability", .help = "Add a capability"),
	EXEC(STRING, cgroup, "cgroup", 0, .metavar = "path", .help = "Start in this group below the container's"),
	EXEC(STRING, console_socket, "console-socket", 0, .metavar = "path", .completes = KIST_COMPLETE_FILE,
	     .help = "Send the terminal's master over this unix socket"),
	EXEC(STRING, cwd, "cwd", 0, .metavar = "directory", .help = "Working directory in the container"),
	EXEC(FLAG, detach, "detach", 'd', .help = "Return once the program runs"),
	EXEC(LIST, env, "env", 'e', .metavar = "name=value", .help = "Set an environment variable"),
	EXEC(FLAG, ignore_paused, "ignore-paused", 0, .help = "Exec in a paused container: the process waits in it"),
	EXEC(FLAG, no_new_privs, "no-new-privs", 0, .help = "Set no_new_privs"),
	EXEC(STRING, pid_file, "pid-file", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,
	     .help = "Write the pid of the process to this file"),
	EXEC(STRING, pidfd_socket, "pidfd-socket", 0, .metavar = "path", .completes = KIST_COMPLETE_FILE,
	     .help = "Send a pidfd of the process over this unix socket"),
	EXEC(INT, preserve_fds, "preserve-fds", 0, .metavar = "n", .fallback = "0",
	     .help = "Pass file descriptors 3 to 3+n-1 on"),
	EXEC(STRING, label, "process-label", 0, .metavar = "label", .help = "Run under this label of SELinux"),
	EXEC(STRING, process, "process", 'p', .metavar = "file", .completes = KIST_COMPLETE_FILE,
	     .help = "The plan of the process, as 'process' of config.json"),
	EXEC(FLAG, tty, "tty", 't', .help = "Give the process a terminal"),
	EXEC(STRING, user, "user", 'u', .metavar = "uid[:gid]", .help = "User of the process, by number"),
	{ 0 },
};

static int exec_check(const void *options, int argc, char **argv KIST_UNUSED, struct kist_error *err)
{
	const struct exec_options *o = options;

	if (argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name a container");
	if (!o->process && argc < 3)
		return kist_fail(err, KIST_ERR_INVALID, 0, "give a command or --process");
	return check_preserve(o->preserve_fds, err);
}

static int exec_run(struct kist_cli *cli, void *options, int argc KIST_UNUSED, char **argv, struct kist_error *err)
{
	const struct exec_options *o = options;
	struct kist_oci_exec exec = {
		.id = argv[1],
		.process_file = o->process,
		.args = argv + 2,
		.env = o->env,
		.cwd = o->cwd,
		.apparmor = o->apparmor,
		.selinux_label = o->label,
		.user = o->user,
		.additional_gids = o->gids,
		.caps = o->caps,
		.no_new_privileges = o->no_new_privs,
		.tty = o->tty,
		.detach = o->detach,
		.ignore_paused = o->ignore_paused,
		.cgroup = o->cgroup,
		.io = { .pid_file = o->pid_file,
		        .console_socket = o->console_socket,
		        .pidfd_socket = o->pidfd_socket,
		        .preserve_fds = (unsigned)o->preserve_fds },
	};
	int code = 0, r = kist_oci_exec(oci_of(cli)->oci, &exec, &code, err);

	return r < 0 ? r : code;
}

const struct kist_command oci_command_exec = {
	.name = "exec",
	.parent = "",
	.synopsis = "[options] ID [COMMAND [ARG...]]",
	.summary = "Run a further process in a container",
	.description =
	        "The exit code is the program's, 128+n when signal n ended it, 255 when it could not be started.",
	.options = (const struct kist_option_set[]){ { exec_rows, 0 }, { 0 } },
	.options_size = sizeof(struct exec_options),
	.max_args = -1,
	.stop_at_positional = true,
	.needs = OCI_NEEDS_STATE | OCI_NEEDS_PROTECTED,
	.exit_failure = 255,
	.check = exec_check,
	.run = exec_run,
};

/* --- kill and delete ------------------------------------------------------------------------------------------------
 */

/* What is done to one container, or to all whose ids match. */
typedef int oci_action(struct kist_oci *oci, const char *id, const void *options, struct kist_error *err);

static int each_matching(struct kist_oci *oci, const char *pattern, oci_action *action, const void *options,
                         struct kist_error *err)
{
	struct kist_oci_container **list;
	size_t n;
	regex_t regex;

	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%.80s' is not a regular expression", pattern);
	int r = kist_oci_list(oci, &list, &n, err);
	if (r < 0) {
		regfree(&regex);
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		struct kist_error problem = { 0 };
		if (regexec(&regex, list[i]->state.id, 0, NULL, 0) == 0 &&
		    action(oci, list[i]->state.id, options, &problem) < 0) {
			/* The others have their turn all the same. */
			if (r == 0)
				r = kist_fail(err, problem.kind, problem.errnum, "%s", problem.text);
			else
				kist_log(KIST_LOG_ERROR, "%s", problem.text);
		}
		kist_oci_container_free(list[i]);
	}
	free(list);
	regfree(&regex);
	return r;
}

struct kill_options {
	bool all, regex;
};
static const struct kist_option kill_rows[] = {
	KIST_OPTION(struct kill_options, FLAG, all, "all", 'a', .help = "Send it to every process of the container"),
	KIST_OPTION(struct kill_options, FLAG, regex, "regex", 'r',
	            .help = "Send it to all containers whose ids match this extended regular expression"),
	{ 0 },
};

struct kill_action {
	int number;
	bool all;
};

static int kill_one(struct kist_oci *oci, const char *id, const void *options, struct kist_error *err)
{
	const struct kill_action *action = options;

	return kist_oci_kill(oci, id, action->number, action->all, err);
}

static int kill_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct kill_options *o = options;
	struct kist_oci *oci = oci_of(cli)->oci;
	/* 0 asks whether it is there, as kill(2) has it. */
	const struct kill_action action = {
		.number = argc <= 2                  ? SIGTERM
		          : kist_streq(argv[2], "0") ? 0
		                                     : kist_parse_signal(argv[2]),
		.all = o->all,
	};

	if (action.number < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%.40s' is not a signal", argv[2]);
	return o->regex ? each_matching(oci, argv[1], kill_one, &action, err) : kill_one(oci, argv[1], &action, err);
}

const struct kist_command oci_command_kill = {
	.name = "kill",
	.parent = "",
	.synopsis = "[options] ID [SIGNAL]",
	.summary = "Send a signal to a container: SIGTERM unless another is named",
	.options = (const struct kist_option_set[]){ { kill_rows, 0 }, { 0 } },
	.options_size = sizeof(struct kill_options),
	.min_args = 1,
	.max_args = 2,
	.needs = OCI_NEEDS_STATE,
	.run = kill_run,
};

struct delete_options {
	bool force, regex;
};
static const struct kist_option delete_rows[] = {
	KIST_OPTION(struct delete_options, FLAG, force, "force", 'f',
	            .help = "Kill it first if it runs; a container that does not exist is no error"),
	KIST_OPTION(struct delete_options, FLAG, regex, "regex", 'r',
	            .help = "Delete all containers whose ids match this extended regular expression"),
	{ 0 },
};

static int delete_one(struct kist_oci *oci, const char *id, const void *options, struct kist_error *err)
{
	return kist_oci_delete(oci, id, ((const struct delete_options *)options)->force, err);
}

static int delete_run(struct kist_cli *cli, void *options, int argc KIST_UNUSED, char **argv, struct kist_error *err)
{
	const struct delete_options *o = options;
	struct kist_oci *oci = oci_of(cli)->oci;

	return o->regex ? each_matching(oci, argv[1], delete_one, o, err) : delete_one(oci, argv[1], o, err);
}

const struct kist_command oci_command_delete = {
	.name = "delete",
	.parent = "",
	.synopsis = "[options] ID",
	.summary = "Delete a container that has stopped or was never started",
	.options = (const struct kist_option_set[]){ { delete_rows, 0 }, { 0 } },
	.options_size = sizeof(struct delete_options),
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE,
	.run = delete_run,
};
