/* From a bundle to a container that waits at its gate, and on to its start. */
#include "core/oci_internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/internal.h"
#include "core/launch_hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_MAX     (16u << 20)
#define CGROUP_PARENT  "/kist-oci"
#define DEFAULT_SHARES 1024

/* What is under construction. */
struct making {
	const struct kist_oci_create *create;
	struct kist_oci_container *c;
	struct kist_spec *spec;
	struct kist_str text; /* config.json as it was read */
	char *pid_file, *console_socket, *pidfd_socket;
	int rootfs, cgroup, gate;
	struct kist_ns_child child;
	bool no_program; /* the plan has no process */
	bool launched;   /* hooks may have been run */
	bool created;
};

static void making_close(struct making *m)
{
	kist_spec_free(m->spec);
	kist_str_free(&m->text);
	free(m->pid_file);
	free(m->console_socket);
	free(m->pidfd_socket);
	kist_close_fd(&m->rootfs);
	kist_close_fd(&m->cgroup);
	kist_close_fd(&m->gate);
	kist_ns_child_close(&m->child);
	kist_oci_container_free(m->c);
}

/* --- the plan -------------------------------------------------------------------------------------------------------
 */

/* What a process needs that was denied all devices: runtimes have always added these to the rules of a plan
 * (config-linux, Allowed Device list; the nodes are those of Default Devices). */
static const struct {
	char type;
	int64_t major, minor; /* -1: any */
	const char *access;
} device_rules[] = {
	{ 'c', -1, -1, "m" }, { 'b', -1, -1, "m" }, { 'c', 1, 3, "rwm" },    { 'c', 1, 5, "rwm" },
	{ 'c', 1, 7, "rwm" }, { 'c', 1, 8, "rwm" }, { 'c', 1, 9, "rwm" },    { 'c', 5, 0, "rwm" },
	{ 'c', 5, 1, "rwm" }, { 'c', 5, 2, "rwm" }, { 'c', 136, -1, "rwm" },
};

static void add_device_rules(struct kist_spec *spec)
{
	if (!spec->linux_.resources || !spec->linux_.resources->n_devices)
		return;
	for (size_t i = 0; i < KIST_COUNT(device_rules); i++)
		kist_spec_add_device_rule(spec, true, device_rules[i].type, device_rules[i].major,
		                          device_rules[i].minor, device_rules[i].access);
}

/* Sockets that a service manager handed over are passed on, as sd_listen_fds(3) has it. */
static int take_listen_fds(struct making *m, unsigned *n_fds, struct kist_error *err)
{
	const char *text = getenv("LISTEN_FDS");
	uint32_t n = 0;

	*n_fds = m->create->io.preserve_fds;
	if (kist_empty(text))
		return 0;
	if (kist_parse_u32(text, &n) < 0 || n > 1000)
		return kist_fail(err, KIST_ERR_INVALID, 0, "LISTEN_FDS in the environment: '%.20s' is not a count",
		                 text);
	if (n == 0)
		return 0;
	*n_fds += n;
	kist_env_set(&m->spec->process->env, "LISTEN_FDS", text);
	kist_env_set(&m->spec->process->env, "LISTEN_PID", "1");
	return 0;
}

/* process is required by start (config.md, Process): that refuses, and until then the first process waits. */
static void stand_in(struct kist_spec *spec)
{
	spec->process = kist_alloc(sizeof(*spec->process));
	kist_table_init(&kist_spec_process_table, spec->process);
	spec->process->cwd = kist_strdup("/");
	spec->process->no_new_privileges = true;
	kist_strv_add(&spec->process->args, "none");
}

static int read_plan(struct making *m, bool gated, struct kist_error *err)
{
	const char *bundle = m->create->bundle ? m->create->bundle : ".";
	KIST_FREE char *config = oci_absolute(m->create->config);
	char path[PATH_MAX];

	if (!realpath(bundle, path))
		return kist_fail_errno(err, errno, "bundle %s", bundle);
	m->c->state.bundle = kist_strdup(path);
	m->pid_file = oci_absolute(m->create->io.pid_file);
	m->console_socket = oci_absolute(m->create->io.console_socket);
	m->pidfd_socket = oci_absolute(m->create->io.pidfd_socket);
	/* Sources of bind mounts are relative to the bundle (config.md, Mounts). */
	if (chdir(path) < 0)
		return kist_fail_errno(err, errno, "bundle %s", path);
	const char *name = config ? config : "config.json";
	int r = kist_read_file(AT_FDCWD, name, CONFIG_MAX, &m->text);
	if (r < 0)
		return kist_fail_errno(err, -r, "read %s/%s", config ? "" : path, name);
	r = kist_spec_parse(kist_str_get(&m->text), m->text.len, &m->spec, err);
	m->no_program = r == 0 && gated && !m->spec->process;
	if (m->no_program)
		stand_in(m->spec);
	if (r == 0)
		r = kist_spec_check(m->spec, err);
	if (r < 0)
		return kist_context(err, "%s", name);
	add_device_rules(m->spec);
	return 0;
}

static int open_rootfs(struct making *m, struct kist_error *err)
{
	const char *root = m->spec->root_path;
	char path[PATH_MAX];

	m->rootfs = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (m->rootfs < 0 || !realpath(root, path))
		return kist_fail_errno(err, errno, "root.path: %s", root);
	m->c->state.rootfs = kist_strdup(path);
	return 0;
}

/* --- the group ------------------------------------------------------------------------------------------------------
 */

static char *cgroup_path(const struct making *m, bool *own_parent)
{
	const char *given = m->spec->linux_.cgroups_path;

	*own_parent = kist_empty(given);
	if (kist_empty(given))
		return kist_asprintf(CGROUP_PARENT "/%s", m->create->id);
	/* A relative path begins where the runtime says (config-linux, Cgroups Path): at the top. */
	return given[0] == '/' ? kist_strdup(given) : kist_asprintf("/%s", given);
}

static int write_state(struct making *m, struct kist_error *err)
{
	return kist_record_write(m->c->dir, "state", &kist_oci_state_table, &m->c->state, NULL, false, err);
}

static bool has_limits(const struct kist_spec_resources *r)
{
	return r && (r->memory || r->cpu || r->pids_limit.set || r->block_io || r->n_hugepage_limits || r->network ||
	             r->n_rdma || (r->unified && r->unified[0]));
}

/* containerd always asks for the share that every group of version 1 had: that is no limit which a host without the
 * controller fails to keep. */
static void drop_default_shares(const struct kist_oci *oci, const struct kist_spec_resources *resources)
{
	if (resources && resources->cpu && resources->cpu->shares.set &&
	    resources->cpu->shares.value == DEFAULT_SHARES &&
	    !kist_strv_has(kist_cgroup_root_controllers(oci->cgroups), "cpu"))
		resources->cpu->shares.set = false;
}

static int make_cgroup(struct making *m, struct kist_error *err)
{
	const struct kist_spec_resources *resources = m->spec->linux_.resources;

	if (m->c->oci->no_cgroups) {
		if (has_limits(resources))
			return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
			                 "linux.resources: limits need a cgroup, and --cgroup-manager is disabled");
		if (resources && resources->n_devices)
			kist_log(KIST_LOG_WARN,
			         "without a cgroup the rules of linux.resources.devices are not in force");
		return 0;
	}
	int r = oci_cgroups(m->c->oci, err);
	if (r < 0)
		return r;
	drop_default_shares(m->c->oci, resources);
	m->c->state.cgroup = cgroup_path(m, &m->c->state.cgroup_own_parent);
	/* Recorded first: delete finds it after this process was killed. */
	r = write_state(m, err);
	if (r < 0)
		return r;
	m->cgroup = kist_cgroup_create(m->c->oci->cgroups, m->c->state.cgroup, resources, KIST_CGROUP_ALL, err);
	if (m->cgroup >= 0)
		return 0;
	/* It made nothing that stays; what is there is another's. */
	free(m->c->state.cgroup);
	m->c->state.cgroup = NULL;
	return m->cgroup;
}

/* --- making ---------------------------------------------------------------------------------------------------------
 */

/* The id is taken by the directory. */
static int take_id(struct making *m, struct kist_error *err)
{
	struct kist_oci *oci = m->c->oci;
	const char *id = m->create->id;
	int r = oci_dir_make(oci, err);

	if (r < 0)
		return r;
	if (mkdirat(oci->dir, id, 0700) < 0)
		return errno == EEXIST
		               ? kist_fail(err, KIST_ERR_EXISTS, EEXIST, "container with id \"%s\" already exists", id)
		               : kist_fail_errno(err, errno, "make %s/%s", oci->root, id);
	m->c->dir = openat(oci->dir, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->c->dir < 0)
		return kist_fail_errno(err, errno, "open %s/%s", oci->root, id);
	m->c->lock = kist_lock(m->c->dir, "lock", true, true);
	if (m->c->lock < 0)
		return kist_fail_errno(err, -m->c->lock, "lock %s/%s", oci->root, id);
	r = kist_replace_file(m->c->dir, "config.json", m->text.data, m->text.len, 0600, 0);
	return r < 0 ? kist_fail_errno(err, -r, "write config.json") : 0;
}

static int launch(struct making *m, bool gated, struct kist_error *err)
{
	struct winsize size = { 0 };
	unsigned preserve = 0;
	bool relayed = m->spec->process->terminal && !m->console_socket;
	int r = take_listen_fds(m, &preserve, err);

	if (r < 0)
		return r;
	if (relayed)
		ioctl(0, TIOCGWINSZ, &size);
	if (gated) {
		m->gate = kist_ns_gate_listen(m->c->dir, "gate", err);
		if (m->gate < 0)
			return m->gate;
	}
	struct kist_ns_launch plan = {
		.spec = m->spec,
		.rootfs_fd = m->rootfs,
		/* Hooks mount below root.path: it has to be the container's root for them. */
		.rootfs_target = kist_launch_hooks_of_create(m->spec) ? m->c->state.rootfs : NULL,
		.cgroup_fd = m->cgroup,
		.stdio = { 0, 1, 2 },
		.rows = size.ws_row,
		.cols = size.ws_col,
		.listen_fds = (int)preserve,
		.init_fd = -1,
		.pause = m->no_program,
		.no_pivot = m->create->no_pivot,
		.new_keyring = !m->create->no_new_keyring,
		.complete = true,
		.keep_groups = oci_keeps_groups(m->spec),
		.gate_fd = gated ? m->gate : 0,
		.seccomp_cache = m->c->oci->dir,
		.id = m->create->id,
		.bundle = m->c->state.bundle,
		.hooks = { .run = oci_hooks_runner, .arg = &m->c->state },
	};
	m->launched = true;
	return kist_ns_create(&plan, &m->child, err);
}

/* All that others may look for, before the child is let go. */
static int publish(struct making *m, struct kist_error *err)
{
	struct kist_oci_state *s = &m->c->state;
	struct kist_proc_id id;

	s->pid = m->child.pid;
	if (kist_proc_identify(m->child.pid, &id) == 0)
		s->pid_start = id.start;
	int r = write_state(m, err);
	if (r == 0 && m->pid_file)
		r = oci_write_pid_file(m->pid_file, m->child.pid, err);
	if (r == 0 && m->console_socket && m->child.console >= 0) {
		r = oci_send_fd(m->console_socket, m->child.console, "/dev/ptmx", "console socket", err);
		kist_close_fd(&m->child.console); /* the other side's alone from here */
	}
	if (r == 0 && m->pidfd_socket)
		r = oci_send_fd(m->pidfd_socket, m->child.pidfd, "pidfd", "pidfd socket", err);
	return r;
}

/* What was made is undone: the process, the group, the directory. The poststop hooks answer a container that was
 * created, and those of its hooks that may have been run (runtime.md, Lifecycle: a failing hook leads there). */
static void undo(struct making *m)
{
	struct kist_oci *oci = m->c->oci;
	const struct kist_oci_state *s = &m->c->state;

	kist_ns_child_destroy(&m->child);
	kist_close_fd(&m->cgroup);
	if (s->cgroup) {
		struct kist_error problem = { 0 };
		if (kist_cgroup_remove(oci->cgroups, s->cgroup, &problem) < 0)
			kist_log(KIST_LOG_WARN, "%s", problem.text);
		if (s->cgroup_own_parent)
			kist_cgroup_prune(oci->cgroups, s->cgroup, "/");
	}
	if (m->c->dir >= 0)
		kist_remove_tree(oci->dir, m->create->id);
	if (m->created ? m->spec->hooks != NULL : m->launched && kist_launch_hooks_of_create(m->spec))
		oci_hooks_run(s, m->spec->hooks->poststop, m->spec->hooks->n_poststop, "poststop", "stopped", 0, true,
		              NULL);
}

/* The lock is held until making_close. */
static int make(struct kist_oci *oci, struct making *m, bool gated, bool detach, struct kist_error *err)
{
	struct kist_oci_container *c = m->c = kist_alloc(sizeof(*c));

	kist_table_init(&kist_oci_state_table, &c->state);
	c->oci = oci;
	c->dir = c->lock = -1;
	int r = oci_id_check(m->create->id, err);
	if (r == 0)
		r = oci_check_preserved(m->create->io.preserve_fds, err);
	if (r == 0)
		r = read_plan(m, gated, err);
	if (r == 0)
		r = oci_check_terminal(m->spec->process->terminal, detach, m->console_socket, err);
	if (r == 0)
		r = open_rootfs(m, err);
	if (r < 0)
		return r;
	c->state.id = kist_strdup(m->create->id);
	c->state.oci_version = kist_strdup(m->spec->oci_version);
	c->state.created = kist_now_wall();
	c->state.owner = (uint32_t)geteuid();
	c->state.annotations = kist_strv_copy(m->spec->annotations);
	r = take_id(m, err);
	if (r == 0)
		r = make_cgroup(m, err);
	if (r == 0)
		r = launch(m, gated, err);
	if (r == 0)
		r = publish(m, err);
	if (r < 0)
		undo(m);
	m->created = r == 0;
	return r;
}

#define MAKING(options)                                                                                                \
	{                                                                                                              \
		.create = options, .rootfs = -1, .cgroup = -1, .gate = -1, .child = KIST_NS_CHILD_INIT                 \
	}

int kist_oci_create(struct kist_oci *oci, const struct kist_oci_create *create, struct kist_error *err)
{
	struct making m = MAKING(create);
	int r = make(oci, &m, true, true, err);

	if (r == 0) {
		r = kist_ns_release(&m.child, err);
		if (r < 0)
			undo(&m);
	}
	making_close(&m);
	return r;
}

/* --- start ----------------------------------------------------------------------------------------------------------
 */

static void run_poststart(const struct kist_oci_container *c, const struct kist_spec *spec)
{
	if (spec->hooks)
		oci_hooks_run(&c->state, spec->hooks->poststart, spec->hooks->n_poststart, "poststart", "running",
		              c->state.pid, true, NULL);
}

static int open_gate(struct kist_oci_container *c, struct kist_error *err)
{
	int connection = kist_ns_gate_connect(c->dir, "gate");

	if (connection < 0)
		return kist_fail_errno(err, -connection, "container \"%s\": connect to its gate", c->state.id);
	int r = kist_ns_gate_start(connection, err);
	/* Whatever came of it: nobody waits there any more. */
	unlinkat(c->dir, "gate", 0);
	return r;
}

/* A failing startContainer hook is the container's end (runtime.md, Lifecycle). Without one a program that could not be
 * executed leaves a stopped container, as with runc. */
static void destroy_failed(struct kist_oci_container *c)
{
	struct kist_error problem = { 0 };

	if (oci_destroy(c, &problem) < 0)
		kist_log(KIST_LOG_WARN, "container %s stays: %s", c->state.id, problem.text);
}

int kist_oci_start(struct kist_oci *oci, const char *id, struct kist_error *err)
{
	KIST_SPEC struct kist_spec *spec = NULL;
	struct kist_oci_container *c = NULL;
	int r = oci_load_locked(oci, id, &c, err);

	if (r < 0)
		return r;
	if (c->status != KIST_OCI_CREATED)
		r = c->status == KIST_OCI_STOPPED
		            ? kist_fail(err, KIST_ERR_STATE, 0, "cannot start a container that has stopped")
		            : kist_fail(err, KIST_ERR_STATE, 0, "cannot start container \"%s\": it is %s already", id,
		                        kist_oci_status_name(c->status));
	if (r == 0)
		r = oci_spec_read(c, &spec, err);
	if (r == 0 && !spec->process) {
		oci_end_init(c, NULL);
		r = kist_fail(err, KIST_ERR_INVALID, 0, "config.json: process: is required to start");
	} else if (r == 0) {
		r = open_gate(c, err);
		if (r == 0)
			run_poststart(c, spec);
		else if (spec->hooks && spec->hooks->n_start_container)
			destroy_failed(c);
	}
	kist_oci_container_free(c);
	return r;
}

/* --- run ------------------------------------------------------------------------------------------------------------
 */

static int run_made(struct making *m, bool detach, bool keep, struct oci_foreground *f, int *code,
                    struct kist_error *err)
{
	int r = kist_ns_start(&m->child, err);

	if (r < 0) {
		undo(m);
		return r;
	}
	run_poststart(m->c, m->spec);
	*code = 0;
	if (detach)
		return 0;
	/* Others may look at it, signal it and enter it meanwhile. */
	kist_close_fd(&m->c->lock);
	r = oci_foreground_wait(f, &m->child, err);
	if (r < 0)
		return r;
	*code = r;
	if (keep)
		return 0;
	r = kist_oci_delete(m->c->oci, m->create->id, true, err);
	return r < 0 ? r : 0;
}

int kist_oci_run(struct kist_oci *oci, const struct kist_oci_create *create, bool detach, bool keep, int *code,
                 struct kist_error *err)
{
	struct making m = MAKING(create);
	struct oci_foreground f = { .signals = -1 };
	int r = detach ? 0 : oci_foreground_begin(&f, err);

	if (r == 0)
		r = make(oci, &m, false, detach, err);
	if (r == 0)
		r = run_made(&m, detach, keep, &f, code, err);
	making_close(&m);
	oci_foreground_end(&f);
	return r;
}
