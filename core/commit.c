/* commit: a container's writable layer becomes a layer, and with the layers below it an image. */
#include "core/container_root.h"
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "overlay/overlay.h"
#include "overlay/tar_write.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct commit {
	struct kist_container *c;
	const struct kist_commit *what;
	struct kist_overlay *store;
	struct kist_image_draft draft;
	struct kist_image *base; /* its config is changed to what the new image's will be */
	char *name;
	char layer[65];
};

/* --- the layer -------------------------------------------------------------------------------------------------- */

static _Noreturn void write_tar(int upper, int to, int report)
{
	struct kist_tar_create_options options = { .flags = KIST_TAR_CREATE_TOP | KIST_TAR_CREATE_WHITEOUTS };
	struct kist_error problem = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int r = kist_tar_create(upper, to, &options, NULL, &problem);
	if (r < 0)
		kist_write_all(report, &problem, sizeof(problem));
	_exit(r < 0);
}

/* The writer's own error says more than that its stream ended too early. */
static int take_report(int report, struct kist_error *err)
{
	char bytes[sizeof(struct kist_error)] = "";
	struct kist_error problem;
	size_t have = 0;

	while (have < sizeof(bytes)) {
		ssize_t n = read(report, bytes + have, sizeof(bytes) - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		have += (size_t)n;
	}
	memcpy(&problem, bytes, sizeof(problem));
	if (err) {
		kist_error_clear(err);
		*err = problem;
	}
	return problem.errnum ? -problem.errnum : -EIO;
}

/* One process writes the stream, this one unpacks it: the layer is what a load of the saved image would make. */
static int copy_layer(struct commit *commit, int upper, struct kist_error *err)
{
	int stream[2], report[2];

	if (pipe2(stream, O_CLOEXEC) < 0)
		return kist_fail_errno(err, errno, "make a pipe");
	KIST_CLOSE int from = stream[0], to = stream[1];
	if (pipe2(report, O_CLOEXEC) < 0)
		return kist_fail_errno(err, errno, "make a pipe");
	KIST_CLOSE int report_from = report[0], report_to = report[1];
	pid_t pid = fork();
	if (pid < 0)
		return kist_fail_errno(err, errno, "start the copy");
	if (pid == 0) {
		close(stream[0]);
		write_tar(upper, stream[1], report[1]);
	}
	kist_close_fd(&to);
	kist_close_fd(&report_to);
	int r = kist_overlay_import(commit->store, from, commit->layer, NULL, err);
	/* Its end, should it still write. */
	kist_close_fd(&from);
	int code = kist_wait_pid(pid);
	int reported = take_report(report_from, r < 0 ? err : NULL);
	if (r == 0 && (reported < 0 || code != 0))
		return kist_fail(err, KIST_ERR_SYSTEM, EIO, "the copy of the writable layer ended with code %d", code);
	return r;
}

/* Never started, it has none: then the layer is empty. */
static int open_upper(struct commit *commit, struct kist_error *err)
{
	int dir = kist_container_dir(commit->c);
	int upper = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (upper >= 0 || errno != ENOENT)
		return upper >= 0 ? upper : kist_fail_errno(err, errno, "open the writable layer");
	if (mkdirat(commit->draft.dir, "empty", 0755) < 0)
		return kist_fail_errno(err, errno, "make an empty layer");
	upper = openat(commit->draft.dir, "empty", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Of all empty layers the same one. */
	if (upper < 0 || fchmod(upper, 0755) < 0 ||
	    futimens(upper, (struct timespec[2]){ { .tv_sec = 0 }, { .tv_sec = 0 } }) < 0) {
		int error = errno;

		kist_close_fd(&upper);
		return kist_fail_errno(err, error, "make an empty layer");
	}
	return upper;
}

static int make_layer(struct commit *commit, struct kist_error *err)
{
	struct kist_container *c = commit->c;
	bool paused = false;
	int r = 0;

	KIST_CLOSE int host = open_upper(commit, err);
	if (host < 0)
		return host;
	KIST_CLOSE int upper = kist_container_unmap(c, host, err);
	if (upper < 0)
		return upper;
	if (commit->what->pause && c->state.status == KIST_RUNNING) {
		r = kist_container_pause(c, err);
		paused = r == 0;
	}
	if (r == 0)
		r = copy_layer(commit, upper, err);
	if (r == 0)
		commit->draft.layer = true;
	if (paused) {
		struct kist_error problem = { 0 };

		/* Removed, or unpaused by somebody else: not ours to complain about. */
		if (kist_container_unpause(c, &problem) < 0)
			kist_debug("%s", problem.text);
	}
	/* The draft's directory becomes the image's. */
	int removed = kist_remove_tree(commit->draft.dir, "empty");
	if (r == 0 && removed < 0)
		r = kist_fail_errno(err, -removed, "remove the empty directory");
	return r;
}

/* --- the configuration ------------------------------------------------------------------------------------------ */

static void replace(char ***field, char *const *value)
{
	kist_strv_free(*field);
	*field = kist_strv_copy(value);
}

static void replace_text(char **field, const char *value)
{
	free(*field);
	*field = kist_strdup(value);
}

/* What the container was made with; the rest is the image's. */
static void take_config(struct kist_image_config *image, const struct kist_container_config *config)
{
	replace(&image->env, config->env);
	/* It says which engine runs it, not what it is. */
	kist_env_unset(&image->env, "container");
	replace(&image->cmd, config->cmd);
	replace(&image->entrypoint, config->entrypoint);
	replace(&image->labels, config->labels);
	replace_text(&image->workdir, config->workdir);
	replace_text(&image->user, config->user);
	if (config->stop_signal != SIGTERM || image->stop_signal) {
		const char *name = kist_signal_name(config->stop_signal);

		free(image->stop_signal);
		image->stop_signal = name ? kist_asprintf("SIG%s", name) : kist_asprintf("%d", config->stop_signal);
	}
}

/* As podman: where it has volumes the image has some; by default only those that were made for it. */
static void take_volumes(struct kist_image_config *image, const struct kist_container_config *config, bool all)
{
	for (size_t i = 0; i < config->n_named_volumes; i++)
		if ((all || config->named_volumes[i].anonymous) &&
		    !kist_strv_has(image->volumes, config->named_volumes[i].destination))
			kist_strv_add(&image->volumes, config->named_volumes[i].destination);
	for (size_t i = 0; all && i < config->n_mounts; i++)
		if (kist_streq(config->mounts[i].type, "bind") &&
		    !kist_strv_has(image->volumes, config->mounts[i].destination))
			kist_strv_add(&image->volumes, config->mounts[i].destination);
}

static int prepare_config(struct commit *commit, struct kist_error *err)
{
	const struct kist_container_config *config = &commit->c->config;

	if (!config->image || config->rootfs)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "it was not made from an image, but from a directory");
	int r = kist_image_load(commit->c->k, config->image, NULL, &commit->base, err);
	if (r < 0)
		return r;
	if (kist_strv_len(commit->base->layers) >= KIST_IMAGE_LAYERS)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "its image has %u layers, and more cannot be mounted",
		                 KIST_IMAGE_LAYERS);
	take_config(&commit->base->config, config);
	take_volumes(&commit->base->config, config, commit->what->volumes);
	for (char *const *change = commit->what->changes; r == 0 && change && *change; change++)
		r = kist_image_change(&commit->base->config, *change, err);
	if (r == 0 && commit->what->name)
		r = kist_image_reference(commit->what->name, &commit->name, err);
	return r;
}

static int document_text(struct commit *commit, const char *layer, int64_t created, char **out, struct kist_error *err)
{
	KIST_FREE char *command = kist_strv_join(commit->c->config.command, " ");
	struct kist_image_step step = { .config = &commit->base->config,
		                        .diff_id = layer,
		                        .author = commit->what->author,
		                        .created_by = command,
		                        .message = commit->what->message,
		                        .created = created };
	KIST_JSON struct json_object *json = kist_image_document_derive(commit->base->document, &step);
	KIST_JSON struct json_object *back = NULL;
	KIST_FREE char *text = kist_json_text(json, false);

	/* The writer mends broken UTF-8: what comes back would not be what was asked for. */
	if (kist_json_parse(text, strlen(text), &back, NULL) < 0 || !json_object_equal(json, back))
		return kist_fail(
		        err, KIST_ERR_INVALID, 0,
		        "a variable, a label, the message or a change cannot be stored: it is not valid UTF-8");
	if (strlen(text) > KIST_RECORD_MAX / 2)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the image configuration is too large");
	*out = kist_steal(&text);
	return 0;
}

/* --- the image -------------------------------------------------------------------------------------------------- */

static int write_image(struct commit *commit, struct kist_error *err)
{
	int64_t now = kist_now_wall();
	KIST_STRV char **layers = NULL;
	KIST_STRV char **names = NULL;
	KIST_FREE char *text = NULL;

	int r = document_text(commit, commit->layer, now, &text, err);
	if (r < 0)
		return r;
	kist_strv_add(&layers, commit->layer);
	for (char **layer = commit->base->layers; layer && *layer; layer++)
		kist_strv_add(&layers, *layer);
	r = kist_image_draft_write(&commit->draft,
	                           &(struct kist_image_parts){ .config = text,
	                                                       .config_len = strlen(text),
	                                                       .layers = layers,
	                                                       .docker = commit->what->docker,
	                                                       .created = now },
	                           err);
	if (r < 0)
		return r;
	if (commit->name)
		kist_strv_add(&names, commit->name);
	return kist_image_draft_publish(&commit->draft, names, err);
}

static int commit_all(struct commit *commit, struct kist_error *err)
{
	struct kist_container *c = commit->c;
	KIST_FREE char *text = NULL;

	int r = kist_container_sync(c, err);
	if (r < 0)
		return r;
	if (c->state.status == KIST_REMOVING || c->state.status == KIST_UNKNOWN)
		return kist_fail(err, KIST_ERR_STATE, 0, "it is %s", kist_status_name(c->state.status));
	r = kist_images_open(c->k, true, err);
	if (r == 0)
		r = prepare_config(commit, err);
	/* Everything that can be wrong with what the user wrote, before a layer is made. */
	if (r == 0)
		r = document_text(commit, c->config.id, 0, &text, err);
	if (r == 0)
		r = kist_store_overlay(c->k, &commit->store, err);
	if (r == 0)
		r = kist_image_draft_make(c->k, &commit->draft, err);
	if (r == 0)
		r = make_layer(commit, err);
	return r == 0 ? write_image(commit, err) : r;
}

int kist_container_commit(struct kist_container *c, const struct kist_commit *what, char id[65], struct kist_error *err)
{
	struct commit commit = { .c = c, .what = what, .draft.dir = -1 };

	int r = commit_all(&commit, err);
	if (r < 0)
		kist_image_draft_drop(&commit.draft);
	else
		memcpy(id, commit.draft.id, sizeof(commit.draft.id));
	if (r == 0)
		kist_container_event(c, "commit");
	kist_image_free(commit.base);
	free(commit.name);
	return r < 0 ? kist_context(err, "commit %s", c->config.name) : 0;
}
