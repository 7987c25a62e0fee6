/* The program 'kist-oci': its commands and its global options, as runc and crun have them. */
#include "cli/oci.h"

#include "cli/columns.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#define ROW(type, member, name, ...) KIST_OPTION(struct oci_cli, type, member, name, 0, ##__VA_ARGS__)
static const struct kist_option global_rows[] = {
	ROW(STRING, cgroup_manager, "cgroup-manager", .metavar = "name", .fallback = "cgroupfs",
	    .choices = (const char *const[]){ "cgroupfs", "disabled", NULL },
	    .help = "How groups are made: cgroupfs, or disabled for none"),
	ROW(FLAG, debug, "debug", .help = "Log what is done"),
	ROW(STRING, log, "log", .metavar = "file", .completes = KIST_COMPLETE_FILE,
	    .help = "Write the log to this file; errors go to stderr as well"),
	ROW(CHOICE, log_format, "log-format", .metavar = "format", .fallback = "text",
	    .choices = (const char *const[]){ "text", "json", NULL }, .help = "Form of log messages: text or json"),
	ROW(STRING, root, "root", .metavar = "directory", .completes = KIST_COMPLETE_DIRECTORY,
	    .help = "Where the state of containers is kept (default /run/kist-oci, or $XDG_RUNTIME_DIR/kist-oci)"),
	ROW(CHOICE, rootless, "rootless", .metavar = "choice", .fallback = "auto",
	    .choices = (const char *const[]){ "true", "false", "auto", NULL },
	    .help = "Keep the state below $XDG_RUNTIME_DIR; auto: unless run by root"),
	ROW(FLAG, systemd_cgroup, "systemd-cgroup", .help = "Refused: systemd is not driven"),
	{ 0 },
};

static const struct kist_command *const commands[] = {
	&oci_command_create,     &oci_command_run,           &oci_command_start,
	&oci_command_exec,       &oci_command_kill,          &oci_command_delete,
	&oci_command_state,      &oci_command_list,          &oci_command_ps,
	&oci_command_pause,      &oci_command_resume,        &oci_command_update,
	&oci_command_events,     &oci_command_spec,          &oci_command_features,
	&oci_command_checkpoint, &oci_command_restore,       &oci_command_mounts,
	&oci_command_mounts_add, &oci_command_mounts_remove, NULL,
};

/* The destination may begin with the word for its kind, as crun has it. */
static int open_log(struct oci_cli *cli, struct kist_error *err)
{
	enum kist_log_level level = cli->debug ? KIST_LOG_DEBUG : KIST_LOG_WARN;
	const char *path = cli->log && kist_has_prefix(cli->log, "file:") ? cli->log + strlen("file:") : cli->log;

	if (path && (kist_has_prefix(path, "journald:") || kist_has_prefix(path, "syslog:"))) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "--log '%.80s': the log is written to files alone", path);
		return kist_remedy(err, "name a file, or a pipe that is read by a log daemon");
	}
	if (path && !kist_streq(path, "/dev/stderr")) {
		cli->log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC, 0644);
		if (cli->log_fd < 0)
			return kist_fail_errno(err, errno, "open log %s", path);
	}
	kist_log_setup(level, kist_streq(cli->log_format, "json"), cli->log_fd >= 0 ? cli->log_fd : STDERR_FILENO);
	return 0;
}

static int check_globals(const struct oci_cli *cli, struct kist_error *err)
{
	if (cli->systemd_cgroup || kist_streq(cli->cgroup_manager, "systemd")) {
		kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		          "systemd is not driven: groups are made in the file system alone");
		return kist_remedy(err, "leave --systemd-cgroup out and set the caller's cgroup driver to cgroupfs");
	}
	if (!kist_streq(cli->cgroup_manager, "cgroupfs") && !kist_streq(cli->cgroup_manager, "disabled"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--cgroup-manager '%.40s': expected cgroupfs or disabled",
		                 cli->cgroup_manager);
	if (cli->root && cli->root[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0, "--root '%.200s': expected an absolute path", cli->root);
	return 0;
}

static int before(struct kist_cli *outer, const struct kist_command *command, struct kist_error *err)
{
	struct oci_cli *cli = oci_of(outer);
	int r = 0;

	if (command->needs & OCI_NEEDS_PROTECTED)
		r = kist_oci_protect(cli->argc, cli->argv, err);
	if (r == 0)
		r = open_log(cli, err);
	if (r == 0)
		r = check_globals(cli, err);
	if (r < 0 || !(command->needs & OCI_NEEDS_STATE))
		return r;
	bool rootless = kist_streq(cli->rootless, "true") || (kist_streq(cli->rootless, "auto") && geteuid() != 0);
	KIST_FREE char *root = cli->root ? kist_strdup(cli->root) : kist_oci_default_root(rootless);
	struct kist_oci_options options = { .root = root, .no_cgroups = kist_streq(cli->cgroup_manager, "disabled") };
	return kist_oci_open(&cli->oci, &options, err);
}

static void after(struct kist_cli *outer, const struct kist_command *command KIST_UNUSED)
{
	struct oci_cli *cli = oci_of(outer);

	kist_oci_close(cli->oci);
	cli->oci = NULL;
}

/* Callers read the last error of the log file; conmon and people read stderr. */
static void complain(struct kist_cli *outer, const struct kist_error *err)
{
	const struct oci_cli *cli = oci_of(outer);
	KIST_FREE char *text = kist_escape(err->text);

	if (cli->log_fd >= 0 || kist_streq(cli->log_format, "json"))
		kist_log(KIST_LOG_ERROR, "%s", err->text);
	if (cli->log_fd >= 0 || !kist_streq(cli->log_format, "json"))
		fprintf(stderr, "kist-oci: %s\n", text);
}

static const struct kist_program program = {
	.name = "kist-oci",
	.summary = "Run containers of bundles, as the OCI runtime specification has it",
	.version = KIST_VERSION "\nspec: 1.2.0",
	.commands = commands,
	.globals = (const struct kist_option_set[]){ { global_rows, 0 }, { 0 } },
	.manual_section = "1",
	.before = before,
	.after = after,
	.exit_failure = 1,
	.complain = complain,
};

/* A caller may have closed one of the three: then nothing of ours may land there. */
static void open_standard_fds(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
			_exit(1);
}

int kist_oci_main(int argc, char **argv)
{
	char **typed = NULL;

	open_standard_fds();
	/* The dispatcher moves arguments about; the protected copy gets what was typed. */
	for (int i = 0; i < argc; i++)
		kist_strv_add(&typed, argv[i]);
	struct oci_cli cli = { .argc = argc, .argv = typed, .log_fd = -1 };
	int code = kist_program_main(&program, (struct kist_cli *)(void *)&cli, argc, argv);
	kist_close_fd(&cli.log_fd);
	kist_strv_free(typed);
	return code;
}

int oci_print(const struct kist_str *text, struct kist_error *err)
{
	if (fwrite(kist_str_get(text), 1, text->len, stdout) != text->len || fflush(stdout))
		return kist_fail_errno(err, errno, "write");
	return 0;
}

int oci_print_json(struct json_object *json, bool pretty, struct kist_error *err)
{
	KIST_FREE char *text = kist_json_text(json, pretty);
	KIST_STR struct kist_str out = { 0 };

	json_object_put(json);
	kist_str_addf(&out, "%s\n", text);
	return oci_print(&out, err);
}
