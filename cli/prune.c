/* kist image prune, kist container prune, kist system prune. */
#include "cli/archive_commands.h"
#include "cli/filter.h"
#include "cli/pod_commands.h"
#include "cli/supervise_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct prune_options {
	bool all, force, volumes;
	char **filter;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct prune_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option prune_rows[] = {
	ROW(FLAG, all, "all", 'a', .help = "Remove all images that no container uses, not only those without a name"),
	ROW(LIST, filter, "filter", 0, .metavar = "key=value", .help = "Remove what matches only: label, until"),
	KIST_OPTION_REFUSED("external", "it is for what other engines have in the store, and it is kist's alone"),
	ROW(FLAG, force, "force", 'f', .help = "Do not ask"),
	{ 0 },
};

static const struct kist_option volume_rows[] = {
	ROW(FLAG, volumes, "volumes", 0, .help = "Remove volumes that no container uses too"),
	{ 0 },
};

enum { BY_LABEL, BY_UNTIL };

static const struct kist_filter_key keys[] = {
	{ .name = "label", .kind = KIST_FILTER_LABEL, .id = BY_LABEL },
	{ .name = "until", .kind = KIST_FILTER_UNTIL, .id = BY_UNTIL },
	{ 0 },
};

struct subject {
	char *const *labels;
	int64_t created;
};

static bool match(const struct kist_filter *filter, const void *object, void *context)
{
	const struct subject *subject = object;

	(void)context;
	return filter->key->id == BY_LABEL ? kist_filter_labels(filter, subject->labels)
	                                   : kist_filter_time(filter, subject->created);
}

static bool passes(const struct kist_filters *filters, char *const *labels, int64_t created)
{
	return kist_filters_match(filters, match, &(struct subject){ labels, created }, NULL);
}

/* Without a terminal nobody can answer: that is no. */
bool kist_cli_agreed(const char *warning)
{
	char answer[16] = "";

	fprintf(stdout, "%s\nAre you sure you want to continue? [y/N] ", warning);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* What others use, or have removed, is left without a word. */
static bool is_quiet(const struct kist_error *problem)
{
	return problem->kind == KIST_ERR_IN_USE || problem->kind == KIST_ERR_NOT_FOUND ||
	       problem->kind == KIST_ERR_REMOVED || problem->kind == KIST_ERR_STATE;
}

struct prune {
	struct kist_cli *cli;
	const struct prune_options *o;
	struct kist_filters filters;
	struct kist_str out;
	int failed;
};

static void failed(struct prune *prune, const struct kist_error *problem)
{
	if (is_quiet(problem))
		return;
	kist_complain(prune->cli->program, problem);
	prune->failed++;
}

static int prune_images(struct prune *prune, struct kist_error *err)
{
	struct kist_image **images = NULL;
	size_t n = 0;

	int r = kist_image_list(prune->cli->k, &images, &n, err);
	for (size_t i = 0; i < n; i++) {
		const struct kist_image *image = images[i];
		KIST_STRV char **removed = NULL;
		struct kist_error problem = { 0 };

		if (image->read_only || ((image->names || image->repo_digests) && !prune->o->all) ||
		    !passes(&prune->filters, image->config.labels, image->created))
			continue;
		if (kist_image_remove(prune->cli->k, image->id, KIST_IMAGE_ALL_NAMES, &removed, &problem) < 0)
			failed(prune, &problem);
		else
			kist_str_addf(&prune->out, "%s\n", image->id);
	}
	for (size_t i = 0; i < n; i++)
		kist_image_free(images[i]);
	free(images);
	return r;
}

static bool container_passes(const struct kist_container *c, void *arg)
{
	const struct kist_container_config *config = kist_container_config(c);

	return passes(arg, config->labels, config->created);
}

static int prune_containers(struct prune *prune, struct kist_error *err)
{
	const struct kist_container_filter filter = { container_passes, &prune->filters };
	KIST_FREE struct kist_prune_report *reports = NULL;
	size_t n = 0;

	int r = kist_container_prune(prune->cli->k, &filter, 1, &reports, &n, err);
	for (size_t i = 0; i < n; i++) {
		if (kist_error_is_set(&reports[i].error))
			failed(prune, &reports[i].error);
		else
			kist_str_addf(&prune->out, "%s\n", reports[i].id);
	}
	return r;
}

static bool pod_passes(void *arg, const struct kist_pod_config *config)
{
	return passes(arg, config->labels, config->created);
}

static int prune_pods(struct prune *prune, struct kist_error *err)
{
	int r = cli_pods_prune(prune->cli, pod_passes, &prune->filters, &prune->out, err);

	prune->failed += r > 0 ? r : 0;
	return r < 0 ? r : 0;
}

static int prune_volumes(struct prune *prune, struct kist_error *err)
{
	struct kist_volume **list = NULL;
	size_t n = 0;

	int r = kist_volume_list(prune->cli->k, &list, &n, NULL, err);
	for (size_t i = 0; i < n; i++) {
		KIST_STRV char **users = kist_volume_users(prune->cli->k, list[i]->name);
		struct kist_error problem = { 0 };

		if (!users && passes(&prune->filters, list[i]->labels, list[i]->created)) {
			if (kist_volume_remove(prune->cli->k, list[i]->name, 0, -1, &problem) < 0)
				failed(prune, &problem);
			else
				kist_str_addf(&prune->out, "%s\n", list[i]->name);
		}
		kist_volume_free(list[i]);
	}
	free(list);
	return r;
}

static void prune_clear(struct prune *prune)
{
	kist_filters_clear(&prune->filters);
	kist_str_free(&prune->out);
}
#define PRUNE __attribute__((cleanup(prune_clear)))

static int image_prune_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct prune_options *o = options;
	PRUNE struct prune prune = { .cli = cli, .o = o };

	(void)argc;
	(void)argv;
	int r = kist_filters_parse(o->filter, keys, &prune.filters, err);
	if (r < 0)
		return r;
	if (!o->force &&
	    !kist_cli_agreed(
	            o->all ? "WARNING! This command removes all images that no container uses."
	                   : "WARNING! This command removes all images without a name that no container uses."))
		return 0;
	r = prune_images(&prune, err);
	if (r == 0)
		r = kist_cli_print(&prune.out, err);
	return r < 0 ? r : prune.failed ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_image_prune = {
	.name = "prune",
	.parent = "image",
	.synopsis = "[options]",
	.summary = "Remove images that nothing uses",
	.description = "Removes the images that have no name and no container; with --all those with names too.",
	.examples = (const char *const[]){ "image prune", "image prune -af --filter until=24h", NULL },
	.options = (const struct kist_option_set[]){ { prune_rows, 0 }, { 0 } },
	.options_size = sizeof(struct prune_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = image_prune_run,
};

/* --- container prune --------------------------------------------------------------------------------------------- */

static int container_prune_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct prune_options *o = options;
	PRUNE struct prune prune = { .cli = cli, .o = o };

	(void)argc;
	(void)argv;
	int r = kist_filters_parse(o->filter, keys, &prune.filters, err);
	if (r < 0)
		return r;
	if (!o->force && !kist_cli_agreed("WARNING! This command removes all stopped containers."))
		return 0;
	r = prune_containers(&prune, err);
	if (r == 0)
		r = kist_cli_print(&prune.out, err);
	return r < 0 ? r : prune.failed ? KIST_EXIT_ENGINE : 0;
}

static const struct kist_option container_prune_rows[] = {
	ROW(LIST, filter, "filter", 0, .metavar = "key=value", .help = "Remove what matches only: label, until"),
	ROW(FLAG, force, "force", 'f', .help = "Do not ask"),
	{ 0 },
};

const struct kist_command kist_command_container_prune = {
	.name = "prune",
	.parent = "container",
	.synopsis = "[options]",
	.summary = "Remove all stopped containers",
	.description = "Removes the containers that do not run, and prints their ids. One that waits to be restarted "
	               "stays, and so do those of pods.",
	.options = (const struct kist_option_set[]){ { container_prune_rows, 0 }, { 0 } },
	.options_size = sizeof(struct prune_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = container_prune_run,
};

/* --- system prune ----------------------------------------------------------------------------------------------- */

static uint64_t number_at(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(json, key, &value) ? json_object_get_uint64(value) : 0;
}

/* All bytes of the store. 0 when they cannot be counted: the report is then wrong, and nothing else. */
static uint64_t store_size(struct kist *k)
{
	static const char *const lists[] = { "Containers", "Volumes" };
	KIST_JSON struct json_object *usage = NULL;

	if (kist_disk_usage(k, &usage, NULL) < 0)
		return 0;
	uint64_t total = number_at(usage, "LayersSize");
	for (size_t i = 0; i < KIST_COUNT(lists); i++) {
		struct json_object *list = NULL;

		json_object_object_get_ex(usage, lists[i], &list);
		for (size_t j = 0; j < json_object_array_length(list); j++)
			total += number_at(json_object_array_get_idx(list, j), "Size");
	}
	return total;
}

static int prune_kind(struct prune *prune, const char *title, int (*act)(struct prune *, struct kist_error *),
                      struct kist_error *err)
{
	size_t before = prune->out.len;

	kist_str_addf(&prune->out, "Deleted %s\n", title);
	size_t after = prune->out.len;
	int r = act(prune, err);
	if (prune->out.len == after) {
		prune->out.len = before;
		prune->out.data[before] = '\0';
	}
	return r;
}

static int system_prune_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct prune_options *o = options;
	PRUNE struct prune prune = { .cli = cli, .o = o };
	char size[24];

	(void)argc;
	(void)argv;
	int r = kist_filters_parse(o->filter, keys, &prune.filters, err);
	if (r < 0)
		return r;
	KIST_FREE char *warning =
	        kist_asprintf("WARNING! This command removes:\n\t- all stopped pods and containers\n%s\t- all %s\n",
	                      o->volumes ? "\t- all volumes that no container uses\n" : "",
	                      o->all ? "images that no container uses" : "images without a name");
	if (!o->force && !kist_cli_agreed(warning))
		return 0;
	uint64_t before = store_size(cli->k);
	r = prune_kind(&prune, "Pods", prune_pods, err);
	if (r == 0)
		r = prune_kind(&prune, "Containers", prune_containers, err);
	if (r == 0 && o->volumes)
		r = prune_kind(&prune, "Volumes", prune_volumes, err);
	if (r == 0)
		r = prune_kind(&prune, "Images", prune_images, err);
	if (r < 0)
		return r;
	uint64_t after = store_size(cli->k);
	kist_str_addf(&prune.out, "Total reclaimed space: %s\n",
	              kist_size_human(size, before > after ? before - after : 0));
	r = kist_cli_print(&prune.out, err);
	return r < 0 ? r : prune.failed ? KIST_EXIT_ENGINE : 0;
}

const struct kist_command kist_command_system_prune = {
	.name = "prune",
	.parent = "system",
	.synopsis = "[options]",
	.summary = "Remove pods, containers, images and volumes that nothing uses",
	.description =
	        "Removes all stopped pods and containers and the images without a name; with --all every image that no "
	        "container\n"
	        "uses, with --volumes the volumes too.",
	.examples = (const char *const[]){ "system prune", "system prune -af --volumes", NULL },
	.options = (const struct kist_option_set[]){ { prune_rows, 0 }, { volume_rows, 0 }, { 0 } },
	.options_size = sizeof(struct prune_options),
	.max_args = 0,
	.needs = KIST_NEEDS_STORE,
	.run = system_prune_run,
};
