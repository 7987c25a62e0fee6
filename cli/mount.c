/* kist mount and kist unmount. */
#include "cli/copy_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>

/* --- mount ---------------------------------------------------------------------------------------------------------
 */

struct mount_options {
	bool all, latest, no_trunc;
	const char *format;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct mount_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option mount_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Mount all containers"),
	ROW(CHOICE, format, "format", 0, .metavar = "format", .choices = (const char *const[]){ "json", NULL },
	    .help = "Print the list of mounted containers as: json"),
	ROW(FLAG, latest, "latest", 'l', .help = "Mount the container created last"),
	ROW(FLAG, no_trunc, "no-trunc", 0, .aliases = (const char *const[]){ "notruncate", NULL },
	    .help = "Do not shorten ids"),
	{ 0 },
};

static void add_json(struct json_object *list, struct kist_container *c, const char *path)
{
	struct json_object *item = json_object_new_object(), *names = json_object_new_array();

	json_object_array_add(names, json_object_new_string(kist_container_name(c)));
	json_object_object_add(item, "id", json_object_new_string(kist_container_id(c)));
	json_object_object_add(item, "Names", names);
	json_object_object_add(item, "mountpoint", json_object_new_string(path));
	json_object_array_add(list, item);
}

static int list_mounts(struct kist_cli *cli, const struct mount_options *o, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	struct kist_container **list = NULL;
	struct json_object *json = json_object_new_array();
	size_t n = 0;

	int r = kist_container_list(cli->k, &list, &n, NULL, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		KIST_FREE char *path = kist_container_mountpoint(list[i]);
		if (!path)
			continue;
		kist_str_addf(&text, "%.*s  %s\n", o->no_trunc ? 64 : 12, kist_container_id(list[i]), path);
		add_json(json, list[i], path);
	}
	kist_container_list_free(list, n);
	if (r == 0)
		r = o->format ? kist_cli_print_json(json, err) : kist_cli_print(&text, err);
	json_object_put(json);
	return r;
}

/* A writable layer without a record can be looked at too, one at a time. 1: it is none. */
static int mount_storage(struct kist_cli *cli, const char *name, struct kist_error *err)
{
	struct kist_container *c = NULL;
	KIST_FREE char *path = NULL;
	char id[65];

	int r = kist_container_open(cli->k, name, &c, NULL);
	kist_container_free(c);
	r = r == 0 ? 1 : cli_storage_find(cli, name, id, err);
	if (r == 0)
		r = kist_storage_container_mount(cli->k, id, &path, err);
	if (r == 0)
		printf("%s\n", path);
	return r;
}

static int unmount_storage(struct kist_cli *cli, const char *name, bool force, struct kist_error *err)
{
	struct kist_container *c = NULL;
	char id[65];

	int r = kist_container_open(cli->k, name, &c, NULL);
	kist_container_free(c);
	r = r == 0 ? 1 : cli_storage_find(cli, name, id, err);
	if (r)
		return r;
	r = kist_storage_container_unmount(cli->k, id, force, err);
	if (r >= 0)
		printf("%s\n", id);
	return r < 0 ? r : 0;
}

/* 1: it prints its line itself. */
static int mount_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	KIST_FREE char *path = NULL;

	(void)cli;
	(void)arg;
	int r = kist_container_mount(c, &path, err);
	if (r < 0)
		return r;
	printf("%s\n", path);
	return 1;
}

static int mount_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct mount_options *o = options;

	(void)argv;
	if (!o->all && !o->latest && argc == 1)
		return 0;
	return kist_cli_check_targets(o->all, o->latest, argc, err);
}

static int mount_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct mount_options *o = options;
	struct kist_cli_targets targets = { .all = o->all, .latest = o->latest };

	if (!o->all && !o->latest && argc == 1)
		return list_mounts(cli, o, err);
	int r = argc == 2 ? mount_storage(cli, argv[1], err) : 1;
	return r != 1 ? r : kist_cli_each(cli, &targets, argc, argv, mount_one, NULL, err);
}

const struct kist_command kist_command_mount = {
	.name = "mount",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] [CONTAINER...]",
	.summary = "Mount a container's root file system on the host",
	.description = "Prints where it is. Without a name, lists the containers that are mounted.",
	.examples = (const char *const[]){ "mount web", "mount --format json", NULL },
	.options = (const struct kist_option_set[]){ { mount_rows, 0 }, { 0 } },
	.options_size = sizeof(struct mount_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.check = mount_check,
	.run = mount_run,
};

/* --- unmount -------------------------------------------------------------------------------------------------------
 */

struct unmount_options {
	bool all, latest, force;
};

#undef ROW
#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct unmount_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option unmount_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Unmount all containers that are mounted"),
	ROW(FLAG, force, "force", 'f', .help = "Unmount it however often it was mounted, and even while it is used"),
	ROW(FLAG, latest, "latest", 'l', .help = "Unmount the container created last"),
	{ 0 },
};

static int unmount_one(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err)
{
	const struct unmount_options *o = arg;

	(void)cli;
	/* Of all, those that are not mounted are no news. */
	if (o->all && kist_container_state(c)->mounts == 0)
		return 1;
	return kist_container_unmount(c, o->force, err);
}

static int unmount_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct unmount_options *o = options;

	(void)argv;
	return kist_cli_check_targets(o->all, o->latest, argc, err);
}

static int unmount_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct unmount_options *o = options;
	struct kist_cli_targets targets = { .all = o->all, .latest = o->latest, .print_input = true };
	int r = argc == 2 ? unmount_storage(cli, argv[1], o->force, err) : 1;

	return r != 1 ? r : kist_cli_each(cli, &targets, argc, argv, unmount_one, o, err);
}

const struct kist_command kist_command_unmount = {
	.name = "unmount",
	.parent = "",
	.also_under = "container",
	.aliases = (const struct kist_command_alias[]){ { NULL, "umount" }, { 0 } },
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Take a container's root file system off the host",
	.description = "It stays mounted until it was unmounted as often as it was mounted.",
	.examples = (const char *const[]){ "unmount web", "unmount --all --force", NULL },
	.options = (const struct kist_option_set[]){ { unmount_rows, 0 }, { 0 } },
	.options_size = sizeof(struct unmount_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.check = unmount_check,
	.run = unmount_run,
};
