/* kist container clone, kist pod clone. */
#include "cli/pod_commands.h"

#include "core/base/str.h"

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
	KIST_OPTION_REFUSED("pod", "a clone is in no other pod: 'kist generate run' prints a command to give --pod to"),
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
	                                             { create_refused_limit_rows, 0 },
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
	struct pod_create_options pod; /* of which there are the options of podman's pod clone here */
	bool destroy, force, start;
};

#define OWN(type, member, name_, letter, ...)                                                                          \
	KIST_OPTION(struct pod_clone_options, type, member, name_, letter, ##__VA_ARGS__)

static const struct kist_option pod_clone_rows[] = {
	OWN(FLAG, destroy, "destroy", 0, .help = "Remove the pod that is cloned"),
	OWN(FLAG, force, "force", 'f', .help = "With --destroy: also when it runs"),
	OWN(STRING, pod.infra_conmon_pidfile, "infra-conmon-pidfile", 0, .metavar = "file",
	    .completes = KIST_COMPLETE_FILE, .help = "Write the process id of the infra container's monitor to a file"),
	OWN(STRING, pod.infra_name, "infra-name", 0, .metavar = "name", .help = "Name of the infra container"),
	OWN(STRING, pod.create.name, "name", 'n', .metavar = "name",
	    .help = "Name of the clone, instead of the other's with -clone"),
	OWN(FLAG, start, "start", 0, .help = "Start the clone"),
	KIST_OPTION_REFUSED("infra-command", POD_INFRA_REASON),
	{ 0 },
};

/* What the changes to a pod are made of, which how points into. */
struct pod_changes {
	struct kist_container_config limits, infra;
	char **labels, **share, *policy;
	struct kist_pod_clone how;
};

static void changes_clear(struct pod_changes *changes)
{
	kist_container_config_clear(&changes->limits);
	kist_container_config_clear(&changes->infra);
	kist_strv_free(changes->labels);
	kist_strv_free(changes->share);
	free(changes->policy);
}

static void unless(bool given, char **text)
{
	if (given)
		return;
	free(*text);
	*text = NULL;
}

/* As pod create has it; what is not given is to stay as it is. */
static int infra_changes(struct kist_cli *cli, const struct pod_create_options *own,
                         struct kist_container_config *infra, struct kist_error *err)
{
	const struct create_options *o = &own->create;

	int r = create_namespaces(cli, o, infra, err);
	if (r == 0)
		r = create_mounts(cli, o, NULL, infra, err);
	if (r == 0)
		r = create_security(o, infra, err);
	infra->conmon_pidfile = pod_absolute(own->infra_conmon_pidfile);
	unless(o->pid, &infra->pid_ns);
	unless(o->uts, &infra->uts_ns);
	unless(o->userns || pod_has_userns(o), &infra->user_ns);
	return r;
}

static int pod_changes(struct kist_cli *cli, const struct pod_clone_options *o, const struct kist_pod_config *pod,
                       struct pod_changes *changes, struct kist_error *err)
{
	const struct create_options *create = &o->pod.create;
	KIST_STRV char **shared = kist_strv_copy(pod->share);
	struct kist_pod_clone *how = &changes->how;

	if (!pod->infra) {
		int r = pod_check_no_infra(&o->pod, err);
		if (r < 0)
			return r;
	}
	if (create->pid)
		kist_strv_add(&changes->share, "pid");
	if (pod_has_userns(create))
		kist_strv_add(&changes->share, "user");
	for (size_t i = 0; changes->share && changes->share[i]; i++)
		kist_strv_add(&shared, changes->share[i]);
	int r = pod->infra ? pod_check_shared(create, shared, err) : 0;
	if (r == 0)
		r = create_limit_values(create, &changes->limits, err);
	if (r == 0)
		r = create_labels(create, &changes->labels, err);
	if (r == 0 && create->restart)
		r = kist_restart_parse(create->restart, &changes->policy, &how->restart_retries, err);
	if (r == 0 && pod->infra)
		r = infra_changes(cli, &o->pod, &changes->infra, err);
	how->resources = changes->limits.resources;
	how->hostname = create->hostname;
	how->cgroup_parent = create->cgroup_parent;
	how->infra_name = o->pod.infra_name;
	how->shm_size = create->shm_size;
	how->labels = changes->labels;
	how->share = changes->share;
	how->restart_policy = changes->policy;
	how->infra = pod->infra ? &changes->infra : NULL;
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
	struct pod_changes changes = { .how = { .create_command = cli->argv } };
	const char *name = o->pod.create.name;

	if (name && argc > 2)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the name is given twice");
	changes.how.name = name ? name : argc > 2 ? argv[2] : NULL;
	kist_container_config_init(&changes.limits);
	kist_container_config_init(&changes.infra);
	int r = kist_pod_open(cli->k, argv[1], &pod, err);
	if (r == 0)
		r = pod_changes(cli, o, kist_pod_config(pod), &changes, err);
	if (r == 0)
		r = check_destroy(o->destroy, o->force, o->destroy && pod_is_up(pod), kist_pod_name(pod), err);
	if (r == 0)
		r = kist_pod_clone(pod, &changes.how, &clone, err);
	if (r == 0) {
		printf("%s\n", kist_pod_id(clone));
		r = o->destroy ? kist_pod_remove(pod, o->force ? KIST_REMOVE_FORCE : 0, -1, err) : 0;
	}
	if (r == 0 && o->start)
		r = kist_pod_start(clone, err);
	kist_pod_free(clone);
	kist_pod_free(pod);
	changes_clear(&changes);
	return r;
}

const struct kist_command kist_command_pod_clone = {
	.name = "clone",
	.parent = "pod",
	.synopsis = "[options] POD [NAME]",
	.summary = "Make a pod like another one",
	.description = "Makes a pod with the configuration of another one, but for the options that are given, and "
	               "clones of its "
	               "containers, and prints its id.",
	.examples =
	        (const char *const[]){ "pod clone shop", "pod clone --destroy --start --memory 1g shop shop2", NULL },
	.options =
	        (const struct kist_option_set[]){
	                { pod_clone_rows, 0 },
	                { create_cloned_rows, offsetof(struct pod_clone_options, pod.create) },
	                { create_limit_rows, offsetof(struct pod_clone_options, pod.create) },
	                { 0 } },
	.options_size = sizeof(struct pod_clone_options),
	.min_args = 1,
	.max_args = 2,
	.completes_first = KIST_COMPLETE_POD,
	.needs = KIST_NEEDS_STORE,
	.run = pod_clone_run,
};
