/* kist-oci mounts add, mounts remove. */
#include "cli/oci.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

struct mount_list {
	struct kist_spec_mount *mounts;
	size_t n_mounts;
};
static const struct kist_field list_rows[] = {
	KIST_FIELD_LIST(struct mount_list, LIST, mounts, n_mounts, .table = &kist_spec_mount_table),
};
static const struct kist_table list_table = KIST_TABLE("mounts", struct mount_list, list_rows);

/* An array of mounts, as 'mounts' of config.json is. */
static int read_mounts(const char *path, struct mount_list *out, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	bool from_stdin = kist_streq(path, "-");
	int r = from_stdin ? kist_read_fd(STDIN_FILENO, FILE_MAX, &text)
	                   : kist_read_file(AT_FDCWD, path, FILE_MAX, &text);

	if (r < 0)
		return kist_fail_errno(err, -r, "read %s", from_stdin ? "stdin" : path);
	r = kist_json_parse(kist_str_get(&text), text.len, &json, err);
	if (r < 0)
		return kist_context(err, "%s", from_stdin ? "stdin" : path);
	if (!json_object_is_type(json, json_type_array))
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s: expected an array of mounts",
		                 from_stdin ? "stdin" : path);
	KIST_JSON struct json_object *whole = json_object_new_object();
	json_object_object_add(whole, "mounts", json_object_get(json));
	return kist_json_read(&list_table, whole, out, "", err);
}

static int change(struct kist_cli *cli, char **argv, bool add, struct kist_error *err)
{
	struct mount_list list = { 0 };
	int r = read_mounts(argv[2], &list, err);

	if (r == 0)
		r = kist_oci_mounts(oci_of(cli)->oci, argv[1], list.mounts, list.n_mounts, add, err);
	kist_table_release(&list_table, &list);
	return r;
}

static int add_run(struct kist_cli *cli, void *options KIST_UNUSED, int argc KIST_UNUSED, char **argv,
                   struct kist_error *err)
{
	return change(cli, argv, true, err);
}

static int remove_run(struct kist_cli *cli, void *options KIST_UNUSED, int argc KIST_UNUSED, char **argv,
                      struct kist_error *err)
{
	return change(cli, argv, false, err);
}

const struct kist_command oci_command_mounts = {
	.name = "mounts",
	.parent = "",
	.synopsis = "COMMAND",
	.summary = "Mounts of a running container",
	.is_group = true,
};
const struct kist_command oci_command_mounts_add = {
	.name = "add",
	.parent = "mounts",
	.synopsis = "ID FILE",
	.summary = "Mount what FILE lists, an array as 'mounts' of config.json",
	.min_args = 2,
	.max_args = 2,
	.needs = OCI_NEEDS_STATE,
	.run = add_run,
};
const struct kist_command oci_command_mounts_remove = {
	.name = "remove",
	.parent = "mounts",
	.synopsis = "ID FILE",
	.summary = "Unmount the destinations that FILE lists",
	.min_args = 2,
	.max_args = 2,
	.needs = OCI_NEEDS_STATE,
	.run = remove_run,
};
