/* kist inspect, kist container inspect; and what the commands that show containers share. */
#include "cli/image_commands.h"
#include "cli/pod_commands.h"
#include "cli/view_commands.h"

#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const kist_container_maps[] = { "Annotations",  "CgroupConf", "Data",  "Labels",
	                                    "PortBindings", "Ports",      "Tmpfs", NULL };
const struct kist_template_alias kist_container_aliases[] = {
	{ "ID", "Id" }, { "ImageID", "Image" }, { "Healthcheck", "Health" }, { 0 }
};

int kist_cli_open(struct kist_cli *cli, bool latest, const char *name, struct kist_container **out,
                  struct kist_error *err)
{
	return latest ? kist_container_latest(cli->k, out, err) : kist_container_open(cli->k, name, out, err);
}

int kist_cli_check_one(bool latest, int argc, int more, struct kist_error *err)
{
	if (!latest && argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name a container, or use --latest");
	if (more >= 0 && argc - (latest ? 1 : 2) > more)
		return kist_fail(err, KIST_ERR_INVALID, 0, "too many arguments: one container at a time");
	return 0;
}

int kist_cli_print_documents(const struct kist_format *format, struct json_object *const *documents, size_t n,
                             const struct kist_template_view *view, bool noheading, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };

	int r = kist_format_run(format, documents, n, view, noheading, &out, err);
	/* On failure what was printed until then is shown, as Go's templates do. */
	int printed = kist_cli_print(&out, r < 0 ? NULL : err);
	return r < 0 ? r : printed;
}

struct inspect_options {
	bool latest, size;
	const char *format, *type;
};

#define ROW(type_, member, name, letter, ...)                                                                          \
	KIST_OPTION(struct inspect_options, type_, member, name, letter, ##__VA_ARGS__)
#define COMMON_ROWS                                                                                                    \
	ROW(STRING, format, "format", 'f', .metavar = "template", .fallback = "json",                                  \
	    .help = "Print by a Go template, or as json"),                                                             \
	        ROW(FLAG, latest, "latest", 'l', .help = "Inspect the container created last"),                        \
	        ROW(FLAG, size, "size", 's', .help = "Add the sizes of a container's layers")

static const char *const types[] = { "all", "container", "image", "volume", "network", "pod", "exec", NULL };

static const struct kist_option inspect_rows[] = {
	COMMON_ROWS,
	ROW(CHOICE, type, "type", 't', .choices = types, .fallback = "all",
	    .help = "What the names are of: container, image, volume, network, pod, exec (a session) or all"),
	{ 0 },
};

static const struct kist_option container_rows[] = { COMMON_ROWS, { 0 } };

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct inspect_options *o = options;

	(void)argv;
	if (o->latest && !kist_streq(o->type, "all") && !kist_streq(o->type, "container") &&
	    !kist_streq(o->type, "pod"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--latest is for containers and pods");
	if (!o->latest && argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "name at least one object, or use --latest");
	return kist_cli_check_targets(false, o->latest, argc, err);
}

static int inspect_container(struct kist_cli *cli, const struct inspect_options *o, const char *name,
                             struct json_object **out, struct kist_error *err)
{
	struct kist_container *c = NULL;

	int r = kist_cli_open(cli, o->latest, name, &c, err);
	if (r == 0)
		r = kist_container_inspect(c, o->size, out, err);
	kist_container_free(c);
	return r;
}

static int inspect_pod(struct kist_cli *cli, const struct inspect_options *o, const char *name,
                       struct json_object **out, struct kist_error *err)
{
	struct kist_pod *pod = NULL;

	int r = cli_pod_open(cli, o->latest, name, &pod, err);
	if (r == 0)
		r = kist_pod_inspect(pod, out, err);
	kist_pod_free(pod);
	return r;
}

static int inspect_image(struct kist_cli *cli, const struct inspect_options *o, const char *name,
                         struct json_object **out, struct kist_error *err)
{
	(void)o;
	return kist_image_inspect(cli->k, name, out, err);
}

static int inspect_volume(struct kist_cli *cli, const struct inspect_options *o, const char *name,
                          struct json_object **out, struct kist_error *err)
{
	struct kist_volume *volume = NULL;

	(void)o;
	int r = kist_volume_open(cli->k, name, &volume, err);
	if (r == 0)
		r = kist_volume_inspect(cli->k, volume, out, err);
	kist_volume_free(volume);
	return r;
}

static int inspect_network(struct kist_cli *cli, const struct inspect_options *o, const char *name,
                           struct json_object **out, struct kist_error *err)
{
	(void)o;
	return kist_network_inspect(cli->k, name, out, err);
}

static int inspect_exec(struct kist_cli *cli, const struct inspect_options *o, const char *name,
                        struct json_object **out, struct kist_error *err)
{
	struct kist_exec_session *session = NULL;
	struct kist_container *c = NULL;

	(void)o;
	int r = kist_container_open_by_exec(cli->k, name, &c, err);
	if (r == 0)
		r = kist_exec_open(c, name, &session, err);
	if (r == 0)
		*out = kist_exec_inspect(session);
	kist_exec_session_free(session);
	kist_container_free(c);
	return r;
}

/* In this order where a name can mean several. */
static const struct {
	const char *type;
	int (*inspect)(struct kist_cli *cli, const struct inspect_options *o, const char *name,
	               struct json_object **out, struct kist_error *err);
} kinds[] = {
	{ "container", inspect_container }, { "image", inspect_image }, { "volume", inspect_volume },
	{ "network", inspect_network },     { "pod", inspect_pod },     { "exec", inspect_exec },
};

static int inspect_one(struct kist_cli *cli, const struct inspect_options *o, const char *name,
                       struct json_object **out, struct kist_error *err)
{
	const char *type = o->latest && kist_streq(o->type, "all") ? "container" : o->type;

	for (size_t i = 0; i < KIST_COUNT(kinds); i++)
		if (kist_streq(kinds[i].type, type))
			return kinds[i].inspect(cli, o, name, out, err);
	for (size_t i = 0; i < KIST_COUNT(kinds); i++) {
		struct kist_error problem = { 0 };
		int r = kinds[i].inspect(cli, o, name, out, &problem);
		if (r == 0)
			return 0;
		if (problem.kind != KIST_ERR_NOT_FOUND) {
			*err = problem;
			return r;
		}
	}
	return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT,
	                 "no such container, image, volume, network, pod or session: %s", name);
}

struct results {
	struct json_object *documents; /* array */
	struct kist_error *problems;
	size_t n_problems;
};

static void gather(struct kist_cli *cli, const struct inspect_options *o, const char *name, struct results *results)
{
	struct json_object *document = NULL;
	struct kist_error problem = { 0 };

	if (inspect_one(cli, o, name, &document, &problem) == 0) {
		json_object_array_add(results->documents, document);
		return;
	}
	results->problems = kist_grow(results->problems, results->n_problems + 1, sizeof(problem));
	results->problems[results->n_problems++] = problem;
}

/* Without networks the key is left out of the JSON, as podman has it; the field is there. */
static int field(void *context, struct json_object *receiver, const char *name, struct json_object *const *args,
                 size_t n_args, struct json_object **out, struct kist_error *err)
{
	(void)context;
	(void)args;
	(void)err;
	if (n_args || !kist_streq(name, "Networks") || !json_object_object_get_ex(receiver, "SandboxKey", NULL) ||
	    json_object_object_get_ex(receiver, name, NULL))
		return 0;
	*out = json_object_new_object();
	return 1;
}

static int print(const struct kist_format *format, struct json_object *all, struct kist_error *err)
{
	static const char *const maps[] = { "Annotations",  "CgroupConf", "Data",  "ExposedPorts", "Labels",
		                            "PortBindings", "Ports",      "Tmpfs", "Volumes",      NULL };
	struct kist_template_view view = {
		.maps = maps, .aliases = kist_container_aliases, .field = field, .escape = isatty(1)
	};
	size_t n = json_object_array_length(all);
	KIST_FREE struct json_object **documents = kist_grow(NULL, n + 1, sizeof(*documents));

	for (size_t i = 0; i < n; i++)
		documents[i] = json_object_array_get_idx(all, i);
	return kist_cli_print_documents(format, documents, n, &view, false, err);
}

static int inspect(struct kist_cli *cli, const struct inspect_options *o, int argc, char **argv, struct kist_error *err)
{
	KIST_JSON struct json_object *documents = json_object_new_array();
	struct results results = { .documents = documents };
	struct kist_format format = { 0 };

	int r = kist_format_parse("inspect", o->format, NULL, &format, err);
	if (r < 0)
		return r;
	if (o->latest)
		gather(cli, o, NULL, &results);
	for (int i = 1; i < argc; i++)
		gather(cli, o, argv[i], &results);
	r = print(&format, documents, err);
	kist_format_clear(&format);
	for (size_t i = 0; i < results.n_problems; i++)
		kist_complain(cli->program, &results.problems[i]);
	free(results.problems);
	return r < 0 ? r : results.n_problems ? KIST_EXIT_ENGINE : 0;
}

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	return inspect(cli, options, argc, argv, err);
}

static int run_container(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct inspect_options *o = options;

	o->type = "container";
	return inspect(cli, o, argc, argv, err);
}

const struct kist_command kist_command_inspect = {
	.name = "inspect",
	.parent = "",
	.synopsis = "[options] NAME [NAME...]",
	.summary = "Show all that is known about containers, images, volumes, networks and pods",
	.description = "Prints a JSON document with podman's keys for each name. A container comes before an image of "
	               "that name, and so on: volume, network, pod, exec session.\n"
	               "Names that are not found are complained about at the end, and make the exit code 125.",
	.examples = (const char *const[]){ "inspect web", "inspect --format '{{.State.Status}} {{.State.Pid}}' web",
	                                   "inspect --type image busybox", NULL },
	.options = (const struct kist_option_set[]){ { inspect_rows, 0 }, { 0 } },
	.options_size = sizeof(struct inspect_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = run,
	.check = check,
};

const struct kist_command kist_command_container_inspect = {
	.name = "inspect",
	.parent = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Show all that is known about containers",
	.examples = (const char *const[]){ "container inspect web", NULL },
	.options = (const struct kist_option_set[]){ { container_rows, 0 }, { 0 } },
	.options_size = sizeof(struct inspect_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = run_container,
	.check = check,
};
