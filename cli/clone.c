/* kist container clone, kist pod clone. */
#include "cli/pod_commands.h"

#include <errno.h>
#include <stdlib.h>

/* What stands in the way of removing it afterwards is said before anything is made. */
static int check_destroy(bool destroy, bool force, bool up, const char *name, struct kist_error *err)
{
	if (force && !destroy)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--force needs --destroy");
	if (!destroy || force || !up)
		return 0;
	kist_fail(err, KIST_ERR_STATE, EBUSY, "%s runs and cannot be destroyed", name);
	return kist_remedy(err, "stop it first, or use --force");
}

/* --- container ------------------------------------------------------------------------------------------------------
 */

struct clone_options {
	struct create_options create; /* of which only the limits are here */
	bool destroy, force, start;
	const char *name;
};

static const struct kist_option clone_rows[] = {
	KIST_OPTION(struct clone_options, FLAG, destroy, "destroy", 0, .help = "Remove the container that is cloned"),
	KIST_OPTION(struct clone_options, FLAG, force, "force", 'f', .help = "With --destroy: also when it runs"),
	KIST_OPTION(struct clone_options, STRING, name, "name", 0, .metavar = "name",
	            .help = "Name of the clone, instead of the other's with -clone"),
	KIST_OPTION(struct clone_options, FLAG, start, "run", 0, .help = "Start the clone"),
	{ 0 },
};

static bool has_process(const struct kist_container *c)
{
	int status = kist_container_state(c)->status;

	return status == KIST_RUNNING || status == KIST_PAUSED || status == KIST_STOPPING;
}

static int finish(struct kist_container *c, struct kist_container *clone, const struct clone_options *o,
                  struct kist_error *err)
{
	int r = o->destroy ? kist_container_remove(c, o->force ? KIST_REMOVE_FORCE : 0, -1, err) : 0;

	if (r == 0 && o->start)
		r = kist_container_start(clone, &(struct kist_start){ .recursive = true }, NULL, err);
	return r;
}

static int clone_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct clone_options *o = options;
	struct kist_container *c = NULL, *clone = NULL;
	struct kist_container_config limits;
	struct kist_image *image = NULL;
	struct kist_clone how = { .create_command = cli->argv };

	if (o->name && argc > 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the name is given twice");
	how.name = o->name ? o->name : argc > 2 ? argv[2] : NULL;
	kist_container_config_init(&limits);
	int r = create_limit_values(&o->create, &limits, err);
	how.resources = limits.resources;
	if (r == 0 && argc > 3)
		r = kist_image_open(cli->k, argv[3], &image, err);
	if (r == 0 && image) {
		how.image = image;
		how.image_name = create_image_name(image, argv[3]);
	}
	if (r == 0)
		r = kist_container_open(cli->k, argv[1], &c, err);
	if (r == 0)
		r = check_destroy(o->destroy, o->force, has_process(c), kist_container_name(c), err);
	if (r == 0)
		r = kist_container_clone(c, &how, &clone, err);
	if (r == 0) {
		printf("%s\n", kist_container_id(clone));
		r = finish(c, clone, o, err);
	}
	kist_container_free(clone);
	kist_container_free(c);
	kist_image_free(image);
	kist_container_config_clear(&limits);
	return r;
}

const struct kist_command kist_command_container_clone = {
	.name = "clone",
	.parent = "container",
	.synopsis = "[options] CONTAINER [NAME [IMAGE]]",
	.summary = "Make a container like another one",
	.description =
	        "Makes a container with the configuration of another one, but for the limits that are given, and "
	        "prints its id.",
	.examples = (const char *const[]){ "container clone --memory 1g web",
	                                   "container clone --destroy -f --run web web2 site:2", NULL },
	.options = (const struct kist_option_set[]){ { clone_rows, 0 },
	                                             { create_limit_rows, offsetof(struct clone_options, create) },
	                                             { create_own_limit_rows, offsetof(struct clone_options, create) },
	                                             { 0 } },
	.options_size = sizeof(struct clone_options),
	.min_args = 1,
	.max_args = 3,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = clone_run,
};

/* --- pod ------------------------------------------------------------------------------------------------------------
 */

struct pod_clone_options {
	struct create_options create; /* name, hostname, label, label_file, restart, and the limits */
	bool destroy, force, start;
};

#define OWN(type, member, name_, letter, ...)                                                                          \
	KIST_OPTION(struct pod_clone_options, type, member, name_, letter, ##__VA_ARGS__)

static const struct kist_option pod_clone_rows[] = {
	OWN(FLAG, destroy, "destroy", 0, .help = "Remove the pod that is cloned"),
	OWN(FLAG, force, "force", 'f', .help = "With --destroy: also when it runs"),
	OWN(STRING, create.hostname, "hostname", 0, .metavar = "name", .help = "Host name of the pod"),
	OWN(LIST, create.label, "label", 'l', .metavar = "key=value", .help = "Add a label, or change one"),
	OWN(LIST, create.label_file, "label-file", 0, .metavar = "file", .completes = KIST_COMPLETE_FILE,
	    .help = "Read labels from a file"),
	OWN(STRING, create.name, "name", 'n', .metavar = "name",
	    .help = "Name of the clone, instead of the other's with -clone"),
	OWN(STRING, create.restart, "restart", 0, .metavar = "policy",
	    .choices = (const char *const[]){ "no", "on-failure", "always", "unless-stopped", NULL },
	    .help = "Restart policy of containers that join without one of their own"),
	OWN(FLAG, start, "start", 0, .help = "Start the clone"),
	{ 0 },
};

static int pod_clone_config(const struct pod_clone_options *o, struct kist_container_config *limits, char ***labels,
                            char **policy, struct kist_pod_clone *how, struct kist_error *err)
{
	int r = create_limit_values(&o->create, limits, err);

	if (r == 0)
		r = create_labels(&o->create, labels, err);
	if (r == 0 && o->create.restart)
		r = kist_restart_parse(o->create.restart, policy, &how->restart_retries, err);
	how->resources = limits->resources;
	how->hostname = o->create.hostname;
	how->labels = *labels;
	how->restart_policy = *policy;
	return r;
}

static bool pod_is_up(struct kist_pod *pod)
{
	enum kist_pod_status status = cli_pod_status(pod);

	return status == KIST_POD_RUNNING || status == KIST_POD_DEGRADED || status == KIST_POD_PAUSED;
}

static int pod_clone_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct pod_clone_options *o = options;
	struct kist_pod *pod = NULL, *clone = NULL;
	struct kist_container_config limits;
	struct kist_pod_clone how = { .create_command = cli->argv };
	KIST_STRV char **labels = NULL;
	KIST_FREE char *policy = NULL;

	if (o->create.name && argc > 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the name is given twice");
	how.name = o->create.name ? o->create.name : argc > 2 ? argv[2] : NULL;
	kist_container_config_init(&limits);
	int r = pod_clone_config(o, &limits, &labels, &policy, &how, err);
	if (r == 0)
		r = kist_pod_open(cli->k, argv[1], &pod, err);
	if (r == 0)
		r = check_destroy(o->destroy, o->force, o->destroy && pod_is_up(pod), kist_pod_name(pod), err);
	if (r == 0)
		r = kist_pod_clone(pod, &how, &clone, err);
	if (r == 0) {
		printf("%s\n", kist_pod_id(clone));
		r = o->destroy ? kist_pod_remove(pod, o->force ? KIST_REMOVE_FORCE : 0, -1, err) : 0;
	}
	if (r == 0 && o->start)
		r = kist_pod_start(clone, err);
	kist_pod_free(clone);
	kist_pod_free(pod);
	kist_container_config_clear(&limits);
	return r;
}

const struct kist_command kist_command_pod_clone = {
	.name = "clone",
	.parent = "pod",
	.synopsis = "[options] POD [NAME]",
	.summary = "Make a pod like another one",
	.description =
	        "Makes a pod with the configuration of another one and clones of its containers, and prints its id.",
	.examples =
	        (const char *const[]){ "pod clone shop", "pod clone --destroy --start --memory 1g shop shop2", NULL },
	.options = (const struct kist_option_set[]){ { pod_clone_rows, 0 },
	                                             { create_limit_rows, offsetof(struct pod_clone_options, create) },
	                                             { 0 } },
	.options_size = sizeof(struct pod_clone_options),
	.min_args = 1,
	.max_args = 2,
	.completes_first = KIST_COMPLETE_POD,
	.needs = KIST_NEEDS_STORE,
	.run = pod_clone_run,
};
