/* kist exec. */
#include "cli/create.h"
#include "cli/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct exec_options {
	bool detach, interactive, latest, privileged, tty;
	const char *detach_keys, *user, *workdir;
	char **env, **env_file;
	struct kist_opt preserve_fds;
};

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct exec_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option exec_rows[] = {
	ROW(FLAG, detach, "detach", 'd', .help = "Run in the background and print the session's id"),
	ROW(STRING, detach_keys, "detach-keys", 0, .metavar = "keys", .help = "Keys that detach"),
	ROW(LIST, env, "env", 'e', .metavar = "name=value", .help = "Set an environment variable"),
	ROW(LIST, env_file, "env-file", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,
	    .help = "Read environment variables from a file"),
	ROW(FLAG, interactive, "interactive", 'i', .help = "Pass stdin on"),
	ROW(FLAG, latest, "latest", 'l', .help = "In the container created last"),
	ROW(OPT_U64, preserve_fds, "preserve-fds", 0, .metavar = "n", .help = "Pass file descriptors 3 to 3+n-1 on"),
	ROW(FLAG, privileged, "privileged", 0, .help = "Give the process all capabilities, and no seccomp filter"),
	ROW(FLAG, tty, "tty", 't', .help = "Give the process a terminal"),
	ROW(STRING, user, "user", 'u', .metavar = "user[:group]",
	    .help = "User of the process, by the container's own files or by number"),
	ROW(STRING, workdir, "workdir", 'w', .metavar = "directory", .help = "Working directory in the container"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct exec_options *o = options;

	(void)argv;
	if (argc < (o->latest ? 2 : 3))
		return kist_fail(err, KIST_ERR_INVALID, 0, "name a container and a command");
	return 0;
}

static int collect_env(const struct exec_options *o, char ***env, struct kist_error *err)
{
	for (size_t i = 0; o->env_file && o->env_file[i]; i++) {
		int r = create_read_lines("env-file", o->env_file[i], env, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; o->env && o->env[i]; i++)
		kist_strv_add(env, o->env[i]);
	for (size_t i = 0; *env && (*env)[i]; i++) {
		char *entry = (*env)[i];
		const char *value = strchr(entry, '=') ? NULL : getenv(entry);
		if (entry[0] == '=' || !*entry)
			return kist_fail(err, KIST_ERR_INVALID, 0, "environment entry '%s': expected NAME=value",
			                 entry);
		if (strchr(entry, '='))
			continue;
		(*env)[i] = kist_asprintf("%s=%s", entry, value ? value : "");
		free(entry);
	}
	return 0;
}

static int exec_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct exec_options *o = options;
	struct kist_container *c = NULL;
	KIST_STRV char **env = NULL;
	char session[65];
	int code = 0;

	(void)argc;
	if (o->preserve_fds.set && o->preserve_fds.value > 60)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--preserve-fds: at most 60");
	int r = collect_env(o, &env, err);
	if (r == 0)
		r = o->latest ? kist_container_latest(cli->k, &c, err) : kist_container_open(cli->k, argv[1], &c, err);
	if (r < 0)
		return r;
	struct kist_exec exec = {
		.args = argv + (o->latest ? 1 : 2),
		.env = env,
		.user = o->user,
		.workdir = o->workdir,
		.tty = o->tty,
		.stdin_ = o->interactive,
		.privileged = o->privileged,
		.detach = o->detach,
		.preserve_fds = (unsigned)o->preserve_fds.value,
		.detach_keys = o->detach_keys,
	};
	r = kist_container_exec(c, &exec, session, &code, err);
	kist_container_free(c);
	if (r == 0 && o->detach)
		printf("%s\n", session);
	return r < 0 ? r : code;
}

const struct kist_command kist_command_exec = {
	.name = "exec",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER COMMAND [ARG...]",
	.summary = "Run a process in a running container",
	.description = "The exit code is the process's; 125: kist failed, 126: the command cannot be invoked, 127: it "
	               "does not exist.",
	.examples = (const char *const[]){ "exec -it web sh", "exec -u 1000 web id", NULL },
	.options = (const struct kist_option_set[]){ { exec_rows, 0 }, { 0 } },
	.options_size = sizeof(struct exec_options),
	.max_args = -1,
	.stop_at_positional = true,
	.completes_first = KIST_COMPLETE_RUNNING,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = exec_run,
};
