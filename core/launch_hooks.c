#include "core/launch_hooks.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/volume.h"
#include "hooks/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNNING  "poststop" /* there: the process that runs poststop hooks */
#define NOTE     "hooks"    /* in the run directory while poststart or poststop hooks are to come */
#define PLAN_MAX (16u << 20)

static const char *const default_directories[] = {
	"/usr/share/containers/oci/hooks.d",
	"/etc/containers/oci/hooks.d",
	NULL,
};

static bool has_bind_mounts(const struct kist_container_config *config)
{
	for (size_t i = 0; i < config->n_mounts; i++)
		if (kist_streq(config->mounts[i].type, "bind"))
			return true;
	return config->n_named_volumes > 0;
}

/* --- precreate ------------------------------------------------------------------------------------------------------
 */

static bool same_maps(const struct kist_spec_id_map *a, size_t n_a, const struct kist_spec_id_map *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (a[i].container_id != b[i].container_id || a[i].host_id != b[i].host_id || a[i].size != b[i].size)
			return false;
	return true;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? kist_streq(a, b) : a == b;
}

/* What was made, or is made by other means than the plan, is no longer the plan's to change. */
static int check_kept(const struct kist_spec *old, const struct kist_spec *new, struct kist_error *err)
{
	const struct kist_spec_linux *a = &old->linux_, *b = &new->linux_;
	const struct {
		const char *name;
		bool same;
	} kept[] = {
		{ "process", new->process != NULL },
		{ "root.path", same_text(old->root_path, new->root_path) },
		{ "process.terminal", !new->process || old->process->terminal == new->process->terminal },
		{ "linux.cgroupsPath", same_text(a->cgroups_path, b->cgroups_path) },
		{ "linux.uidMappings",
		  same_maps(a->uid_mappings, a->n_uid_mappings, b->uid_mappings, b->n_uid_mappings) },
		{ "linux.gidMappings",
		  same_maps(a->gid_mappings, a->n_gid_mappings, b->gid_mappings, b->n_gid_mappings) },
	};

	for (size_t i = 0; i < KIST_COUNT(kept); i++)
		if (!kept[i].same)
			return kist_fail(err, KIST_ERR_INVALID, 0, "precreate hooks: they must not change %s",
			                 kept[i].name);
	return 0;
}

/* Hooks see no secrets, as config.json has none: they might write down what they see. */
static int filter(struct kist_container *c, const struct kist_spec_hook *hooks, size_t n, struct kist_spec **spec,
                  struct kist_error *err)
{
	KIST_FREE char *before = NULL;
	KIST_SPEC struct kist_spec *old = NULL;

	kist_secrets_strip(&c->config, &(*spec)->process->env);
	before = kist_spec_text(*spec);
	int r = kist_spec_parse(before, strlen(before), &old, err);
	if (r == 0)
		r = kist_hooks_precreate(hooks, n, spec, err);
	if (r == 0)
		r = check_kept(old, *spec, err);
	return r < 0 ? r : kist_secrets_env(c, &(*spec)->process->env, err);
}

int kist_launch_hooks_add(struct kist_container *c, struct kist_spec **spec, struct kist_error *err)
{
	char *const *own = c->config.hooks_dir;
	struct kist_hooks *hooks = NULL;
	struct kist_spec_hook *precreate = NULL;
	size_t n_precreate = 0;

	/* An empty name alone is the word for none. */
	if (own && own[0] && !own[0][0] && !own[1])
		return 0;
	int r = kist_hooks_read(own ? (const char *const *)own : default_directories, &hooks, err);
	if (r < 0 || kist_hooks_count(hooks) == 0) {
		kist_hooks_free(hooks);
		return r;
	}
	const struct kist_hooks_subject subject = {
		.annotations = c->config.annotations,
		.command = (*spec)->process->args[0],
		.has_bind_mounts = has_bind_mounts(&c->config),
	};
	r = kist_hooks_apply(hooks, &subject, *spec, &precreate, &n_precreate, err);
	if (r == 0 && n_precreate)
		r = filter(c, precreate, n_precreate, spec, err);
	kist_spec_hook_list_free(precreate, n_precreate);
	kist_hooks_free(hooks);
	return r;
}

/* --- around the process ---------------------------------------------------------------------------------------------
 */

int kist_launch_hooks_note(struct kist_container *c, const struct kist_spec *spec, struct kist_error *err)
{
	const struct kist_spec_hooks *hooks = spec->hooks;

	if (!hooks || hooks->n_poststart + hooks->n_poststop == 0)
		return 0;
	int r = kist_container_rundir(c, err);
	if (r < 0)
		return r;
	KIST_CLOSE int fd = openat(c->run_dir, NOTE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? kist_fail_errno(err, errno, "note the hooks of the container") : 0;
}

bool kist_launch_hooks_of_create(const struct kist_spec *spec)
{
	const struct kist_spec_hooks *h = spec ? spec->hooks : NULL;

	return h && h->n_prestart + h->n_create_runtime + h->n_create_container > 0;
}

int kist_launch_hooks_root(struct kist_container *c, const struct kist_spec *spec, const char **root,
                           struct kist_error *err)
{
	*root = NULL;
	if (!kist_launch_hooks_of_create(spec) || spec->linux_.n_uid_mappings)
		return 0;
	if (!c->config.rootfs && mkdirat(c->run_dir, "rootfs", 0700) < 0 && errno != EEXIST)
		return kist_fail_errno(err, errno, "make the directory of the root for hooks");
	*root = spec->root_path;
	return 0;
}

static int run(struct kist_container *c, const struct kist_spec_hook *hooks, size_t n, const char *stage,
               const char *status, pid_t pid, bool keep_going, struct kist_error *err)
{
	KIST_FREE char *bundle = kist_container_plan_path(c, NULL);
	KIST_FREE char *state = kist_hooks_state(c->config.id, status, (int)pid, bundle, c->config.annotations);

	return kist_hooks_execute(hooks, n, stage, state, -1, keep_going, err);
}

int kist_launch_hooks_runner(void *arg, const struct kist_spec_hook *hooks, size_t n, const char *stage, pid_t pid,
                             struct kist_error *err)
{
	const char *status = kist_streq(stage, "startContainer") ? "created" : "creating";

	return run(arg, hooks, n, stage, status, pid, false, err);
}

/* The saved plan, if the run has hooks to come; else NULL. */
static struct kist_spec *noted_plan(struct kist_container *c)
{
	KIST_STR struct kist_str text = { 0 };
	struct kist_spec *spec = NULL;
	struct kist_error err = { 0 };

	if (kist_container_rundir(c, NULL) < 0 || faccessat(c->run_dir, NOTE, F_OK, 0) < 0)
		return NULL;
	int r = kist_read_file(kist_container_plan_dir(c), "config.json", PLAN_MAX, &text);
	if (r < 0)
		kist_fail_errno(&err, -r, "read config.json");
	else
		r = kist_spec_parse(kist_str_get(&text), text.len, &spec, &err);
	if (r < 0)
		kist_log(KIST_LOG_WARN, "container %.12s: its hooks are not known: %s", c->config.id, err.text);
	return spec;
}

void kist_launch_hooks_poststart(struct kist_container *c, pid_t pid)
{
	KIST_SPEC struct kist_spec *spec = noted_plan(c);

	if (spec && spec->hooks)
		run(c, spec->hooks->poststart, spec->hooks->n_poststart, "poststart", "running", pid, true, NULL);
}

/* For those who wait for the end of the container, and are not its hooks' parent. */
static void note_running(struct kist_container *c, pid_t pid)
{
	struct kist_proc_id id;
	char text[64];

	c->hooks = pid;
	if (kist_proc_identify(pid, &id) < 0)
		return; /* they have ended */
	int n = snprintf(text, sizeof(text), "%d %llu", (int)pid, (unsigned long long)id.start);
	if (kist_replace_file(c->run_dir, RUNNING, text, (size_t)n, 0600, 0) < 0)
		kist_debug("container %.12s: nobody will wait for its poststop hooks", c->config.id);
}

/* Hooks take their time, and the caller holds the container's lock, which would go with any descriptor that they
 * inherit: they are run by a child without it. Who gives the lock up waits for that child then. */
void kist_launch_hooks_poststop(struct kist_container *c)
{
	KIST_SPEC struct kist_spec *spec = noted_plan(c);

	if (!spec)
		return;
	/* Nobody else shall run them. */
	unlinkat(c->run_dir, NOTE, 0);
	if (!spec->hooks || spec->hooks->n_poststop == 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		kist_close_from(3, -1);
		run(c, spec->hooks->poststop, spec->hooks->n_poststop, "poststop", "stopped", 0, true, NULL);
		_exit(0);
	}
	if (pid < 0)
		kist_log(KIST_LOG_WARN, "container %.12s: its poststop hooks were not run: fork: %m", c->config.id);
	else
		note_running(c, pid);
}

void kist_launch_hooks_await(struct kist_container *c)
{
	pid_t pid = c->hooks;

	c->hooks = 0;
	if (pid <= 0)
		return;
	kist_wait_pid(pid);
	if (c->run_dir >= 0)
		unlinkat(c->run_dir, RUNNING, 0);
}

void kist_launch_hooks_join(const struct kist_container *c, int timeout_ms)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_FREE char *path = kist_container_runpath(c, RUNNING);
	struct kist_proc_id id = { 0 };

	if (kist_read_file(AT_FDCWD, path, 64, &text) < 0)
		return;
	char *space = strchr(text.data, ' ');
	if (!space)
		return;
	id.pid = (pid_t)strtol(text.data, NULL, 10);
	id.start = strtoull(space + 1, NULL, 10);
	KIST_CLOSE int pidfd = kist_proc_open(&id);
	if (pidfd >= 0)
		kist_pidfd_wait(pidfd, timeout_ms);
}
