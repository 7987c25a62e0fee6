/* kist-oci state, list, ps, spec, features, and what is refused by name. */
#include "cli/oci.h"

#include "cli/columns.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int state_run(struct kist_cli *cli, void *options KIST_UNUSED, int argc KIST_UNUSED, char **argv,
                     struct kist_error *err)
{
	struct kist_oci_container *c = NULL;
	int r = kist_oci_load(oci_of(cli)->oci, argv[1], &c, err);

	if (r == 0)
		r = oci_print_json(kist_oci_state_json(c), true, err);
	kist_oci_container_free(c);
	return r;
}

const struct kist_command oci_command_state = {
	.name = "state",
	.parent = "",
	.synopsis = "ID",
	.summary = "Print the state of a container as JSON",
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE,
	.run = state_run,
};

/* --- list -----------------------------------------------------------------------------------------------------------
 */

struct list_options {
	const char *format;
	bool quiet;
};
static const struct kist_option list_rows[] = {
	KIST_OPTION(struct list_options, CHOICE, format, "format", 'f', .fallback = "table", .choices = OCI_FORMATS,
	            .help = "table or json"),
	KIST_OPTION(struct list_options, FLAG, quiet, "quiet", 'q', .help = "Print ids alone"),
	{ 0 },
};

static void list_text(struct kist_oci_container **list, size_t n, bool quiet, struct kist_str *out)
{
	KIST_COLUMNS struct kist_columns columns = { 0 };
	char when[40];

	if (!quiet)
		kist_columns_row(&columns,
		                 (const char *const[]){ "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER", NULL });
	for (size_t i = 0; i < n; i++) {
		const struct kist_oci_state *s = &list[i]->state;
		bool alive = list[i]->status != KIST_OCI_STOPPED && list[i]->status != KIST_OCI_CREATING;
		if (quiet) {
			kist_str_addf(out, "%s\n", s->id);
			continue;
		}
		kist_columns_cell(&columns, s->id);
		kist_columns_cellf(&columns, "%d", alive ? s->pid : 0);
		kist_columns_cell(&columns, kist_oci_status_name(list[i]->status));
		kist_columns_cell(&columns, s->bundle);
		kist_columns_cell(&columns, kist_time_format(when, s->created, true));
		if (s->owner == 0)
			kist_columns_cell(&columns, "root");
		else
			kist_columns_cellf(&columns, "#%u", s->owner);
		kist_columns_end(&columns);
	}
	if (!quiet)
		kist_columns_print(&columns, out);
}

static int list_run(struct kist_cli *cli, void *options, int argc KIST_UNUSED, char **argv KIST_UNUSED,
                    struct kist_error *err)
{
	const struct list_options *o = options;
	struct kist_oci_container **list;
	KIST_STR struct kist_str out = { 0 };
	size_t n;
	int r = kist_oci_list(oci_of(cli)->oci, &list, &n, err);

	if (r < 0)
		return r;
	if (kist_streq(o->format, "json") && !o->quiet) {
		struct json_object *array = json_object_new_array();
		for (size_t i = 0; i < n; i++)
			json_object_array_add(array, kist_oci_state_json(list[i]));
		r = oci_print_json(array, false, err);
	} else {
		list_text(list, n, o->quiet, &out);
		r = oci_print(&out, err);
	}
	for (size_t i = 0; i < n; i++)
		kist_oci_container_free(list[i]);
	free(list);
	return r;
}

const struct kist_command oci_command_list = {
	.name = "list",
	.parent = "",
	.synopsis = "[options]",
	.summary = "List containers",
	.options = (const struct kist_option_set[]){ { list_rows, 0 }, { 0 } },
	.options_size = sizeof(struct list_options),
	.needs = OCI_NEEDS_STATE,
	.run = list_run,
};

/* --- ps -------------------------------------------------------------------------------------------------------------
 */

struct ps_options {
	const char *format;
};
static const struct kist_option ps_rows[] = {
	KIST_OPTION(struct ps_options, CHOICE, format, "format", 'f', .fallback = "table", .choices = OCI_FORMATS,
	            .help = "table, or json for the pids alone"),
	{ 0 },
};

static void ps_row(struct kist_columns *columns, pid_t pid)
{
	struct kist_proc_stat st;
	long ticks = sysconf(_SC_CLK_TCK);

	if (kist_proc_stat(pid, &st) < 0)
		return; /* gone meanwhile */
	uint64_t seconds = (st.utime + st.stime) / (uint64_t)(ticks > 0 ? ticks : 100);
	kist_columns_cellf(columns, "%d", pid);
	kist_columns_cellf(columns, "%d", st.ppid);
	kist_columns_cellf(columns, "%c", st.state);
	kist_columns_cellf(columns, "%02u:%02u:%02u", (unsigned)(seconds / 3600), (unsigned)(seconds / 60 % 60),
	                   (unsigned)(seconds % 60));
	kist_columns_cell(columns, st.comm);
	kist_columns_end(columns);
}

static int ps_run(struct kist_cli *cli, void *options, int argc KIST_UNUSED, char **argv, struct kist_error *err)
{
	const struct ps_options *o = options;
	struct kist_oci_container *c = NULL;
	KIST_FREE pid_t *pids = NULL;
	KIST_STR struct kist_str out = { 0 };
	KIST_COLUMNS struct kist_columns columns = { 0 };

	int r = kist_oci_load(oci_of(cli)->oci, argv[1], &c, err);
	if (r < 0)
		return r;
	ssize_t n = kist_oci_pids(c, &pids, err);
	kist_oci_container_free(c);
	if (n < 0)
		return (int)n;
	if (kist_streq(o->format, "json")) {
		struct json_object *array = json_object_new_array();
		for (ssize_t i = 0; i < n; i++)
			json_object_array_add(array, json_object_new_int(pids[i]));
		return oci_print_json(array, false, err);
	}
	kist_columns_row(&columns, (const char *const[]){ "PID", "PPID", "STATE", "TIME", "COMMAND", NULL });
	for (ssize_t i = 0; i < n; i++)
		ps_row(&columns, pids[i]);
	kist_columns_print(&columns, &out);
	return oci_print(&out, err);
}

const struct kist_command oci_command_ps = {
	.name = "ps",
	.parent = "",
	.synopsis = "[options] ID",
	.summary = "List the processes of a container",
	.options = (const struct kist_option_set[]){ { ps_rows, 0 }, { 0 } },
	.options_size = sizeof(struct ps_options),
	.min_args = 1,
	.max_args = 1,
	.needs = OCI_NEEDS_STATE,
	.run = ps_run,
};

/* --- spec and features ----------------------------------------------------------------------------------------------
 */

struct spec_options {
	const char *bundle;
	bool rootless;
};
static const struct kist_option spec_rows[] = {
	KIST_OPTION(struct spec_options, STRING, bundle, "bundle", 'b', .metavar = "directory", .fallback = ".",
	            .completes = KIST_COMPLETE_DIRECTORY, .help = "Where config.json is written"),
	KIST_OPTION(struct spec_options, FLAG, rootless, "rootless", 0,
	            .help = "For a user that is not root: with a user namespace"),
	{ 0 },
};

static int spec_run(struct kist_cli *cli KIST_UNUSED, void *options, int argc KIST_UNUSED, char **argv KIST_UNUSED,
                    struct kist_error *err)
{
	const struct spec_options *o = options;
	KIST_FREE char *text = kist_oci_spec_text(o->rootless);
	KIST_CLOSE int dir = open(o->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return kist_fail_errno(err, errno, "bundle %s", o->bundle);
	KIST_CLOSE int fd = openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return kist_fail_errno(err, errno, "%s/config.json", o->bundle);
	int r = kist_write_all(fd, text, strlen(text));
	if (r == 0)
		r = kist_write_all(fd, "\n", 1);
	return r < 0 ? kist_fail_errno(err, -r, "write %s/config.json", o->bundle) : 0;
}

const struct kist_command oci_command_spec = {
	.name = "spec",
	.parent = "",
	.synopsis = "[options]",
	.summary = "Write a config.json to begin with",
	.options = (const struct kist_option_set[]){ { spec_rows, 0 }, { 0 } },
	.options_size = sizeof(struct spec_options),
	.run = spec_run,
};

static int features_run(struct kist_cli *cli KIST_UNUSED, void *options KIST_UNUSED, int argc KIST_UNUSED,
                        char **argv KIST_UNUSED, struct kist_error *err)
{
	return oci_print_json(kist_oci_features(), true, err);
}

const struct kist_command oci_command_features = {
	.name = "features",
	.parent = "",
	.synopsis = "",
	.summary = "Print what this runtime can do as JSON",
	.run = features_run,
};

/* --- refused --------------------------------------------------------------------------------------------------------
 */

static int refuse(struct kist_cli *cli KIST_UNUSED, void *options KIST_UNUSED, int argc KIST_UNUSED, char **argv,
                  struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "%s: not supported", argv[0]);
}

const struct kist_command oci_command_checkpoint = {
	.name = "checkpoint",
	.parent = "",
	.synopsis = "ID",
	.summary = "Not supported",
	.max_args = -1,
	.stop_at_positional = true,
	.run = refuse,
};
const struct kist_command oci_command_restore = {
	.name = "restore",
	.parent = "",
	.synopsis = "ID",
	.summary = "Not supported",
	.max_args = -1,
	.stop_at_positional = true,
	.run = refuse,
};
