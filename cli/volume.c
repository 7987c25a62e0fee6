/* kist volume create, rm, prune, exists, reload, and the group they belong to. */
#include "cli/volume_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct kist_command kist_command_volume = {
	.name = "volume",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Commands on volumes",
	.is_group = true,
};

int cli_add_pairs(const char *option, char *const *items, char ***to, struct kist_error *err)
{
	for (; items && *items; items++) {
		if (!**items || **items == '=')
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s '%s': expected KEY=value", option, *items);
		kist_env_put(to, *items);
	}
	return 0;
}

/* --- create --------------------------------------------------------------------------------------------------------
 */

struct create_options {
	const char *driver;
	char **labels, **options;
	struct kist_opt uid, gid;
	bool ignore;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct create_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option create_rows[] = {
	ROW(STRING, driver, "driver", 'd', .metavar = "name", .fallback = "local",
	    .help = "Driver of the volume: local"),
	ROW(OPT_U64, gid, "gid", 0, .metavar = "id", .help = "Group of its directory"),
	ROW(FLAG, ignore, "ignore", 0, .help = "A volume of that name is no error"),
	ROW(LIST, labels, "label", 'l', .metavar = "key=value", .help = "Add a label"),
	ROW(LIST, options, "opt", 'o', .metavar = "key=value",
	    .help = "Set an option: type=, device=, o=, copy, nocopy"),
	ROW(OPT_U64, uid, "uid", 0, .metavar = "id", .help = "Owner of its directory"),
	{ 0 },
};

static int print_name(const char *name, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };

	kist_str_addf(&out, "%s\n", name);
	return kist_cli_print(&out, err);
}

static int create(struct kist_cli *cli, const struct create_options *o, struct kist_volume *config,
                  struct kist_error *err)
{
	struct kist_error problem = { 0 };
	struct kist_volume *v = NULL;

	int r = kist_volume_create(cli->k, config, &v, &problem);
	if (r < 0 && problem.kind == KIST_ERR_EXISTS && o->ignore)
		return print_name(config->name, err);
	if (r < 0)
		*err = problem;
	else
		r = print_name(v->name, err);
	kist_volume_free(v);
	return r;
}

static int create_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct create_options *o = options;
	struct kist_volume config = {
		.name = argc > 1 ? argv[1] : NULL, .driver = (char *)o->driver, .uid = o->uid, .gid = o->gid
	};

	if ((o->uid.set && (uint64_t)o->uid.value >= UINT32_MAX) ||
	    (o->gid.set && (uint64_t)o->gid.value >= UINT32_MAX))
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "uid and gid must be below 4294967295");
	int r = cli_add_pairs("label", o->labels, &config.labels, err);
	if (r == 0)
		r = cli_add_pairs("opt", o->options, &config.options, err);
	if (r == 0)
		r = create(cli, o, &config, err);
	kist_strv_free(config.labels);
	kist_strv_free(config.options);
	return r;
}

const struct kist_command kist_command_volume_create = {
	.name = "create",
	.parent = "volume",
	.synopsis = "[options] [NAME]",
	.summary = "Create a volume",
	.description =
	        "Creates a volume and prints its name; without a name, one of 64 random digits.\n"
	        "With --opt type= and device= the volume is a file system of its own, mounted for the containers that "
	        "use it: a tmpfs, a directory of the host (o=bind), or any device. o= has the mount options.",
	.examples =
	        (const char *const[]){ "volume create data", "volume create --opt type=tmpfs --opt o=size=64m scratch",
	                               "volume create --opt type=ext4 --opt device=/dev/sdb1 disk",
	                               "volume create --opt o=bind --opt device=/srv/www www", NULL },
	.options = (const struct kist_option_set[]){ { create_rows, 0 }, { 0 } },
	.options_size = sizeof(struct create_options),
	.max_args = 1,
	.needs = KIST_NEEDS_STORE,
	.run = create_run,
};

/* --- rm ------------------------------------------------------------------------------------------------------------
 */

struct rm_options {
	bool all, force;
	struct kist_opt time;
	int missing, in_use, other; /* failures by kind, for the exit code */
};

static const struct kist_option rm_rows[] = {
	KIST_OPTION(struct rm_options, FLAG, all, "all", 'a', .help = "Remove all volumes"),
	KIST_OPTION(struct rm_options, FLAG, force, "force", 'f',
	            .help = "Remove the containers that use it first; a missing volume is no error"),
	KIST_OPTION(struct rm_options, OPT_I64, time, "time", 't', .metavar = "seconds",
	            .help = "With --force: time between the stop signal and SIGKILL"),
	{ 0 },
};

static int rm_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct rm_options *o = options;

	(void)argv;
	if (o->all == (argc > 1))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 o->all ? "--all and names of volumes exclude each other"
		                        : "name at least one volume, or use --all");
	return o->time.set && !o->force ? kist_fail(err, KIST_ERR_INVALID, 0, "--time needs --force") : 0;
}

static int rm_one(struct kist_cli *cli, struct rm_options *o, const char *name, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	int r = kist_volume_remove(cli->k, name, o->force ? KIST_REMOVE_FORCE : 0, o->time.set ? o->time.value : -1,
	                           &problem);
	if (r == 0)
		return print_name(name, err);
	if (problem.kind == KIST_ERR_NOT_FOUND && (o->force || o->all))
		return 0;
	o->missing += problem.kind == KIST_ERR_NOT_FOUND;
	o->in_use += problem.kind == KIST_ERR_IN_USE;
	o->other += problem.kind != KIST_ERR_NOT_FOUND && problem.kind != KIST_ERR_IN_USE;
	kist_complain(cli->program, &problem);
	return 0;
}

static int rm_all(struct kist_cli *cli, struct rm_options *o, struct kist_error *err)
{
	struct cli_volumes all = { 0 };
	KIST_STRV char **broken = NULL;

	int r = kist_volume_list(cli->k, &all.items, &all.n, &broken, err);
	for (size_t i = 0; r == 0 && i < all.n; i++)
		r = rm_one(cli, o, all.items[i]->name, err);
	for (char **name = broken; r == 0 && name && *name; name++)
		r = rm_one(cli, o, *name, err);
	cli_volumes_clear(&all);
	return r;
}

/* podman-volume-rm(1): 1 when a volume was missing, 2 when one was in use, 125 otherwise. */
static int rm_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct rm_options *o = options;
	int r = o->all ? rm_all(cli, o, err) : 0;

	for (int i = 1; r == 0 && i < argc; i++)
		r = rm_one(cli, o, argv[i], err);
	if (r < 0)
		return r;
	return o->other ? KIST_EXIT_ENGINE : o->in_use ? 2 : o->missing ? 1 : 0;
}

const struct kist_command kist_command_volume_rm = {
	.name = "rm",
	.parent = "volume",
	.aliases = (const struct kist_command_alias[]){ { NULL, "remove" }, { 0 } },
	.synopsis = "[options] VOLUME [VOLUME...]",
	.summary = "Remove volumes",
	.description = "Exit code 1: a volume did not exist; 2: one is in use by containers.",
	.examples = (const char *const[]){ "volume rm data", "volume rm --force data", NULL },
	.options = (const struct kist_option_set[]){ { rm_rows, 0 }, { 0 } },
	.options_size = sizeof(struct rm_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_VOLUME,
	.completes_rest = KIST_COMPLETE_VOLUME,
	.needs = KIST_NEEDS_STORE,
	.check = rm_check,
	.run = rm_run,
};

/* --- prune ---------------------------------------------------------------------------------------------------------
 */

struct prune_options {
	char **filter;
	bool force;
};

static const struct kist_option prune_rows[] = {
	KIST_OPTION(
	        struct prune_options, LIST, filter, "filter", 0, .metavar = "key=value",
	        .help = "Remove the unused volumes that match: after, driver, label, name, opt, scope, since, until"),
	KIST_OPTION(struct prune_options, FLAG, force, "force", 'f', .help = "Do not ask"),
	{ 0 },
};

static bool confirmed(const struct cli_volumes *volumes)
{
	char line[16];

	fprintf(stderr,
	        "WARNING! This will remove all volumes not used by at least one container. The following volumes will "
	        "be removed:\n");
	for (size_t i = 0; i < volumes->n; i++)
		fprintf(stderr, "%s\n", volumes->items[i]->name);
	fprintf(stderr, "Are you sure you want to continue? [y/N] ");
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int prune_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct prune_options *o = options;
	CLI_VOLUMES struct cli_volumes volumes = { 0 };
	KIST_STRV char **filters = kist_strv_copy(o->filter);
	int code = 0;

	(void)argc;
	(void)argv;
	kist_strv_add(&filters, "dangling=true");
	int r = kist_volume_reload(cli->k, err);
	if (r == 0)
		r = cli_volumes_select(cli, filters, &volumes, err);
	if (r < 0 || volumes.n == 0 || (!o->force && !confirmed(&volumes)))
		return r;
	for (size_t i = 0; r == 0 && i < volumes.n; i++) {
		struct kist_error problem = { 0 };
		if (kist_volume_remove(cli->k, volumes.items[i]->name, 0, 0, &problem) == 0) {
			r = print_name(volumes.items[i]->name, err);
		} else if (problem.kind != KIST_ERR_IN_USE && problem.kind != KIST_ERR_NOT_FOUND) {
			/* One that was taken into use meanwhile is no failure. */
			kist_complain(cli->program, &problem);
			code = KIST_EXIT_ENGINE;
		}
	}
	return r < 0 ? r : code;
}

const struct kist_command kist_command_volume_prune = {
	.name = "prune",
	.parent = "volume",
	.synopsis = "[options]",
	.summary = "Remove the volumes that no container uses",
	.examples = (const char *const[]){ "volume prune --force", "volume prune --filter label=tmp", NULL },
	.options = (const struct kist_option_set[]){ { prune_rows, 0 }, { 0 } },
	.options_size = sizeof(struct prune_options),
	.needs = KIST_NEEDS_STORE,
	.run = prune_run,
};

/* --- exists, reload ------------------------------------------------------------------------------------------------
 */

static int exists_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct kist_volume *v = NULL;

	(void)options;
	(void)argc;
	int r = kist_volume_open(cli->k, argv[1], &v, err);
	kist_volume_free(v);
	return kist_cli_exists(r, err);
}

const struct kist_command kist_command_volume_exists = {
	.name = "exists",
	.parent = "volume",
	.synopsis = "VOLUME",
	.summary = "Whether a volume is there",
	.description = "Exit code 0: it is there; 1: it is not; 125: another failure. Prints nothing.",
	.examples = (const char *const[]){ "volume exists data || kist volume create data", NULL },
	.min_args = 1,
	.max_args = 1,
	.completes_first = KIST_COMPLETE_VOLUME,
	.needs = KIST_NEEDS_STORE,
	.run = exists_run,
};

static int reload_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	(void)options;
	(void)argc;
	(void)argv;
	return kist_volume_reload(cli->k, err);
}

const struct kist_command kist_command_volume_reload = {
	.name = "reload",
	.parent = "volume",
	.synopsis = "",
	.summary = "Bring the store of volumes up to date",
	.description =
	        "There are no plugins whose volumes could change: what crashes left behind is swept, half-made volumes "
	        "and marks of containers that are gone.",
	.needs = KIST_NEEDS_STORE,
	.run = reload_run,
};
