/* The program: its commands, its global options, and the doors by which the binary executes itself. */
#include "cli/archive_commands.h"
#include "cli/commands.h"
#include "cli/copy_commands.h"
#include "cli/image_commands.h"
#include "cli/supervise_commands.h"
#include "cli/tables.h"
#include "cli/network_commands.h"
#include "cli/oci.h"
#include "cli/pod_commands.h"
#include "cli/registry_commands.h"
#include "cli/view_commands.h"
#include "cli/volume_commands.h"

#include "core/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_SERVICE "there is no service to connect to"

static const struct kist_option global_rows[] = {
	KIST_OPTION(struct kist_cli, STRING, config_file, "config", 0, .metavar = "file",
	            .completes = KIST_COMPLETE_FILE, .help = "Settings file instead of /etc/kist.conf"),
	KIST_OPTION(struct kist_cli, LIST, imagestore, "imagestore", 0, .metavar = "directory",
	            .completes = KIST_COMPLETE_DIRECTORY, .help = "A further store of images, which is only read"),
	KIST_OPTION(struct kist_cli, STRING, log_format, "log-format", 0, .metavar = "format", .fallback = "text",
	            .choices = (const char *const[]){ "text", "json", NULL },
	            .help = "Form of log messages: text or json"),
	KIST_OPTION(struct kist_cli, STRING, log_level, "log-level", 0, .metavar = "level", .fallback = "warn",
	            .choices = (const char *const[]){ "debug", "info", "warn", "error", "fatal", NULL },
	            .help = "Log messages above this level"),
	KIST_OPTION(struct kist_cli, STRING, root, "root", 0, .metavar = "directory",
	            .completes = KIST_COMPLETE_DIRECTORY, .help = "Where containers and images are kept"),
	KIST_OPTION(struct kist_cli, STRING, runroot, "runroot", 0, .metavar = "directory",
	            .completes = KIST_COMPLETE_DIRECTORY, .help = "Where the state of this boot is kept"),
	KIST_OPTION(struct kist_cli, LIST, set, "set", 0, .metavar = "key=value",
	            .help = "Set a value of kist.conf for this call"),
	KIST_OPTION_REFUSED("cgroup-manager", "cgroups are made without one"),
	KIST_OPTION_REFUSED("connection", NO_SERVICE),
	KIST_OPTION_REFUSED("conmon", "the monitor is kist itself"),
	KIST_OPTION_REFUSED("events-backend", "events are kept in a file: --set events=none turns them off"),
	KIST_OPTION_REFUSED("identity", NO_SERVICE),
	KIST_OPTION_REFUSED("network-config-dir", "networks are kept below --root"),
	KIST_OPTION_REFUSED("remote", NO_SERVICE),
	KIST_OPTION_REFUSED("runtime", "kist is the runtime itself; kist-oci is it for others"),
	KIST_OPTION_REFUSED("storage-driver", "it is overlay"),
	KIST_OPTION_REFUSED("storage-opt", "--set overlay_options= has those of the mounts"),
	KIST_OPTION_REFUSED("tmpdir", "there are no other directories than --root and --runroot"),
	KIST_OPTION_REFUSED("url", NO_SERVICE),
	KIST_OPTION_REFUSED("volumepath", "volumes are kept below --root"),
	{ 0 },
};

const struct kist_command kist_command_container = {
	.name = "container",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Commands on containers",
	.is_group = true,
};

static const struct kist_command *const commands[] = {
	&kist_command_attach,
	&kist_command_container,
	&kist_command_create,
	&kist_command_exec,
	&kist_command_exists,
	&kist_command_kill,
	&kist_command_pause,
	&kist_command_rename,
	&kist_command_restart,
	&kist_command_rm,
	&kist_command_run,
	&kist_command_start,
	&kist_command_stop,
	&kist_command_unpause,
	&kist_command_wait,
	KIST_IMAGE_COMMANDS KIST_ARCHIVE_COMMANDS KIST_REGISTRY_COMMANDS KIST_VOLUME_COMMANDS KIST_NETWORK_COMMANDS
	        KIST_COPY_COMMANDS KIST_VIEW_COMMANDS KIST_POD_COMMANDS KIST_SUPERVISE_COMMANDS NULL,
};

#define BUILD                                                                                                          \
	"images are built by other programs, such as buildah; 'kist load' and 'kist import' bring them, 'kist "        \
	"commit' makes one of a container"
#define KUBE     "'kist pod create' and 'kist create --pod' make pods; 'kist generate run' tells how a container was made"
#define UNIT     "'kist boot' starts what --restart says; service files for init systems are in contrib/init of the source"
#define REGISTRY "'kist pull NAME' asks the registries of kist.conf; to look into one use skopeo"
#define FREEZE   "a container's processes cannot be saved; 'kist pause' freezes them, 'kist commit' saves its files"
#define ROOT     "kist runs as root"
#define SIGN     "kist neither makes nor checks signatures"

static const struct kist_command_missing missing[] = {
	{ "", "auto-update", "'kist pull' and 'kist container clone --destroy' replace a container" },
	{ "", "build", BUILD },
	{ "", "buildx", BUILD },
	{ "", "checkpoint", FREEZE },
	{ "", "compose", "there is none; pods, networks and volumes are made by their own commands" },
	{ "", "kube", KUBE },
	{ "", "machine", "kist runs on the Linux that it is on" },
	{ "", "manifest", "'kist pull' and 'kist load' choose from indexes; to make one use buildah" },
	{ "", "play", KUBE },
	{ "", "quadlet", UNIT },
	{ "", "search", REGISTRY },
	{ "", "unshare", ROOT },
	{ "container", "checkpoint", FREEZE },
	{ "container", "restore", FREEZE },
	{ "container", "runlabel", "'kist inspect' shows the image's labels, whose commands a shell runs" },
	{ "generate", "kube", KUBE },
	{ "generate", "spec", "'kist generate run' tells how a container was made" },
	{ "generate", "systemd", UNIT },
	{ "image", "build", BUILD },
	{ "image", "scp", "'kist save IMAGE | ssh HOST kist load' copies one" },
	{ "image", "search", REGISTRY },
	{ "image", "sign", SIGN },
	{ "image", "trust", SIGN },
	{ "system", "connection", NO_SERVICE },
	{ "system", "migrate", "there is nothing to migrate" },
	{ "system", "renumber", "locks are files and have no numbers" },
	{ "system", "service", "every command does its work itself, and there is none" },
	{ 0 },
};

static int before(struct kist_cli *cli, const struct kist_command *command, struct kist_error *err)
{
	enum kist_log_level level;

	if (kist_log_level_parse(cli->log_level, &level) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "log-level '%s': expected debug, info, warn, error or fatal",
		                 cli->log_level);
	bool json = kist_streq(cli->log_format, "json");
	if (!json && !kist_streq(cli->log_format, "text"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "log-format '%s': expected text or json", cli->log_format);
	kist_log_setup(level, json, 2);
	if (!(command->needs & KIST_NEEDS_STORE))
		return 0;
	struct kist_options options = { .root = cli->root,
		                        .runroot = cli->runroot,
		                        .config_file = cli->config_file,
		                        .imagestore = cli->imagestore,
		                        .set = (const char *const *)cli->set,
		                        .binary = "/proc/self/exe" };
	return kist_open(&cli->k, &options, err);
}

static void after(struct kist_cli *cli, const struct kist_command *command)
{
	(void)command;
	kist_close(cli->k);
	cli->k = NULL;
}

static void complete_containers(struct kist_cli *cli, enum kist_complete kind, const char *prefix, char ***names)
{
	static const unsigned masks[] = {
		[KIST_COMPLETE_RUNNING] = 1u << KIST_RUNNING | 1u << KIST_STOPPING,
		[KIST_COMPLETE_PAUSED] = 1u << KIST_PAUSED,
		[KIST_COMPLETE_STOPPED] =
		        1u << KIST_CONFIGURED | 1u << KIST_CREATED | 1u << KIST_STOPPED | 1u << KIST_EXITED,
	};
	unsigned mask = kind < KIST_COUNT(masks) ? masks[kind] : 0;
	struct kist_container **list = NULL;
	size_t n = 0;

	if (kist_container_list(cli->k, &list, &n, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if ((!mask || mask & (1u << kist_container_state(list[i])->status)) &&
		    kist_has_prefix(kist_container_name(list[i]), prefix))
			kist_strv_add(names, kist_container_name(list[i]));
	kist_container_list_free(list, n);
}

static void complete_images(struct kist_cli *cli, const char *prefix, char ***names)
{
	struct kist_image **list = NULL;
	size_t n = 0;

	if (kist_image_list(cli->k, &list, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; list[i]->names && list[i]->names[j]; j++) {
			const char *name = list[i]->names[j], *slash = strchr(name, '/');
			if (kist_has_prefix(name, prefix))
				kist_strv_add(names, name);
			else if (slash && kist_has_prefix(slash + 1, prefix))
				kist_strv_add(names, slash + 1);
		}
		kist_image_free(list[i]);
	}
	free(list);
}

static void complete(struct kist_cli *cli, enum kist_complete kind, const char *prefix, char ***names)
{
	if (kind == KIST_COMPLETE_IMAGE)
		complete_images(cli, prefix, names);
	else if (kind == KIST_COMPLETE_VOLUME)
		kist_complete_volumes(cli, prefix, names);
	else if (kind == KIST_COMPLETE_NETWORK)
		kist_complete_networks(cli, prefix, names);
	else if (kind == KIST_COMPLETE_POD)
		kist_complete_pods(cli, prefix, names);
	else if (kind == KIST_COMPLETE_SECRET)
		kist_complete_secrets(cli, prefix, names);
	else if (kind >= KIST_COMPLETE_CONTAINER && kind <= KIST_COMPLETE_STOPPED)
		complete_containers(cli, kind, prefix, names);
}

const struct kist_program kist_program = {
	.name = "kist",
	.summary = "Run containers without a daemon",
	.version = KIST_VERSION,
	.commands = commands,
	.missing = missing,
	.globals = (const struct kist_option_set[]){ { global_rows, 0 }, { 0 } },
	.before = before,
	.after = after,
	.complete = complete,
	.complete_needs = KIST_NEEDS_STORE,
};

static bool is_oci(const char *name)
{
	const char *slash = strrchr(name, '/');

	return kist_streq(name, KIST_OCI_PROTECTED) || kist_streq(slash ? slash + 1 : name, "kist-oci");
}

int main(int argc, char **argv)
{
	if (argc > 0 && is_oci(argv[0]))
		return kist_oci_main(argc, argv);
	if (argc > 1 && kist_streq(argv[1], "oci"))
		return kist_oci_main(argc - 1, argv + 1);
	if (argc > 0 && kist_streq(argv[0], "kist-monitor"))
		return kist_monitor_main(argc, argv, kist_tables_drop);
	if (argc > 0 && (kist_streq(argv[0], "kist-init") || kist_streq(argv[0], "kist-pause")))
		return kist_init_main(argc, argv);

	/* The dispatcher moves arguments about: what was typed is kept for the record. */
	char **typed = NULL;
	for (int i = 0; i < argc; i++)
		kist_strv_add(&typed, argv[i]);
	struct kist_cli cli = { .program = &kist_program, .argv = typed };
	int code = kist_program_main(&kist_program, &cli, argc, argv);
	kist_strv_free(typed);
	return code;
}
