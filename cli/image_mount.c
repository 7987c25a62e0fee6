/* kist image mount and kist image unmount. */
#include "cli/image_commands.h"

#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* --- mount ---------------------------------------------------------------------------------------------------------
 */

struct image_mount_options {
	bool all;
	const char *format;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct image_mount_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option mount_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Mount all images"),
	ROW(CHOICE, format, "format", 0, .metavar = "format", .choices = (const char *const[]){ "json", NULL },
	    .help = "Print the list of mounted images as: json"),
	{ 0 },
};

struct report {
	struct json_object *json;
	struct kist_str text;
	size_t n;
};

static void add_item(struct report *report, const struct kist_image *image, const char *path)
{
	struct json_object *item = json_object_new_object(), *digests = json_object_new_array(),
	                   *names = json_object_new_array();

	if (image->digest)
		json_object_array_add(digests, json_object_new_string(image->digest));
	for (char **name = image->names; name && *name; name++)
		json_object_array_add(names, json_object_new_string(*name));
	json_object_object_add(item, "id", json_object_new_string(image->id));
	json_object_object_add(item, "Names", digests);
	json_object_object_add(item, "Repositories", names);
	json_object_object_add(item, "mountpoint", json_object_new_string(path));
	json_object_array_add(report->json, item);
	kist_str_addf(&report->text, "%s  %s\n", image->names ? image->names[0] : image->id, path);
	report->n++;
}

static int mount_one(struct kist_cli *cli, struct report *report, const char *name, struct kist_error *err)
{
	struct kist_image *image = NULL;
	KIST_FREE char *path = NULL;
	char id[65];

	int r = kist_image_mount(cli->k, name, id, &path, err);
	if (r == 0)
		r = kist_image_open(cli->k, id, &image, err);
	if (r == 0)
		add_item(report, image, path);
	kist_image_free(image);
	return r;
}

/* Of all images, or those that are mounted. */
static int mount_listed(struct kist_cli *cli, struct report *report, bool all, struct kist_error *err)
{
	struct kist_image **list = NULL;
	size_t n = 0;

	int r = kist_image_list(cli->k, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		KIST_FREE char *path = all ? NULL : kist_image_mountpoint(cli->k, list[i]->id);
		if (all)
			r = mount_one(cli, report, list[i]->id, err);
		else if (path)
			add_item(report, list[i], path);
	}
	for (size_t i = 0; i < n; i++)
		kist_image_free(list[i]);
	free(list);
	return r;
}

static int mount_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct image_mount_options *o = options;

	(void)argv;
	if (o->all && argc > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--all and names of images exclude each other");
	return 0;
}

static int print(const struct report *report, const struct image_mount_options *o, int argc, struct kist_error *err)
{
	KIST_STR struct kist_str line = { 0 };

	if (o->format)
		return kist_cli_print_json(report->json, err);
	if (argc != 2 || report->n != 1)
		return kist_cli_print(&report->text, err);
	/* Of one image by name, as podman: the path alone, for scripts. */
	const char *text = kist_str_get(&report->text);
	kist_str_add(&line, strstr(text, "  ") + 2);
	return kist_cli_print(&line, err);
}

static int mount_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct image_mount_options *o = options;
	struct report report = { .json = json_object_new_array() };
	int r = 0;

	if (o->all || argc == 1)
		r = mount_listed(cli, &report, o->all, err);
	for (int i = 1; r == 0 && i < argc; i++)
		r = mount_one(cli, &report, argv[i], err);
	if (r == 0)
		r = print(&report, o, argc, err);
	json_object_put(report.json);
	kist_str_free(&report.text);
	return r;
}

const struct kist_command kist_command_image_mount = {
	.name = "mount",
	.parent = "image",
	.synopsis = "[options] [IMAGE...]",
	.summary = "Mount an image's root file system on the host",
	.description = "Prints where it is, read-only. Without a name, lists the images that are mounted.",
	.examples = (const char *const[]){ "image mount busybox", "image mount --format json", NULL },
	.options = (const struct kist_option_set[]){ { mount_rows, 0 }, { 0 } },
	.options_size = sizeof(struct image_mount_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = mount_check,
	.run = mount_run,
};

/* --- unmount -------------------------------------------------------------------------------------------------------
 */

struct image_unmount_options {
	bool all, force;
};

#undef ROW
#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct image_unmount_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option unmount_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Unmount all images that are mounted"),
	ROW(FLAG, force, "force", 'f', .help = "Unmount it however often it was mounted, and even while it is used"),
	{ 0 },
};

static int unmount_one(struct kist_cli *cli, const char *name, bool force, struct kist_str *out, struct kist_error *err)
{
	char id[65];

	int r = kist_image_unmount(cli->k, name, force, id, err);
	if (r > 0)
		kist_str_addf(out, "%s\n", id);
	return r < 0 ? r : 0;
}

static int unmount_all(struct kist_cli *cli, bool force, struct kist_str *out, struct kist_error *err)
{
	struct kist_image **list = NULL;
	size_t n = 0;

	int r = kist_image_list(cli->k, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = unmount_one(cli, list[i]->id, force, out, err);
	for (size_t i = 0; i < n; i++)
		kist_image_free(list[i]);
	free(list);
	return r;
}

static int unmount_check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct image_unmount_options *o = options;

	(void)argv;
	if (o->all && argc > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--all and names of images exclude each other");
	if (!o->all && argc == 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name at least one image, or use --all");
	return 0;
}

static int unmount_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct image_unmount_options *o = options;
	KIST_STR struct kist_str out = { 0 };
	int code = 0;

	if (o->all) {
		int r = unmount_all(cli, o->force, &out, err);
		return r < 0 ? r : kist_cli_print(&out, err);
	}
	for (int i = 1; i < argc; i++) {
		struct kist_error problem = { 0 };

		if (unmount_one(cli, argv[i], o->force, &out, &problem) < 0) {
			kist_complain(cli->program, &problem);
			code = KIST_EXIT_ENGINE;
		}
	}
	int r = kist_cli_print(&out, err);
	return r < 0 ? r : code;
}

const struct kist_command kist_command_image_unmount = {
	.name = "unmount",
	.parent = "image",
	.aliases = (const struct kist_command_alias[]){ { "image", "umount" }, { 0 } },
	.synopsis = "[options] IMAGE [IMAGE...]",
	.summary = "Take an image's root file system off the host",
	.description = "It stays mounted until it was unmounted as often as it was mounted.",
	.examples = (const char *const[]){ "image unmount busybox", "image unmount --all --force", NULL },
	.options = (const struct kist_option_set[]){ { unmount_rows, 0 }, { 0 } },
	.options_size = sizeof(struct image_unmount_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_IMAGE,
	.completes_rest = KIST_COMPLETE_IMAGE,
	.needs = KIST_NEEDS_STORE,
	.check = unmount_check,
	.run = unmount_run,
};
