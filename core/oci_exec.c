/* A further process in a container of the OCI runtime. */
#include "core/oci_internal.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PROCESS_MAX (1u << 20)

/* --- the plan of the process ----------------------------------------------------------------------------------------
 */

static int read_process(const char *path, struct kist_spec_process *process, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	int r = kist_read_file(AT_FDCWD, path, PROCESS_MAX, &text);

	if (r < 0)
		return kist_fail_errno(err, -r, "read process file %s", path);
	r = kist_json_parse(kist_str_get(&text), text.len, &json, err);
	if (r == 0)
		r = kist_json_read(&kist_spec_process_table, json, process, "process", err);
	return r < 0 ? kist_context(err, "process file %s", path) : 0;
}

/* "UID[:GID]": numbers alone, strictly; names are the caller's business, who has the container's files. */
static int set_user(struct kist_spec_user *user, const char *text, struct kist_error *err)
{
	const char *colon = strchr(text, ':');
	KIST_FREE char *uid = colon ? kist_strndup(text, (size_t)(colon - text)) : kist_strdup(text);
	uint32_t u, g = user->gid;

	if (kist_parse_u32(uid, &u) < 0 || u == UINT32_MAX ||
	    (colon && (kist_parse_u32(colon + 1, &g) < 0 || g == UINT32_MAX)))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--user '%.40s': expected UID[:GID] in numbers", text);
	user->uid = u;
	user->gid = g;
	return 0;
}

static int add_gids(struct kist_spec_user *user, char *const *gids, struct kist_error *err)
{
	for (; gids && *gids; gids++) {
		uint32_t gid;
		if (kist_parse_u32(*gids, &gid) < 0 || gid == UINT32_MAX)
			return kist_fail(err, KIST_ERR_INVALID, 0, "--additional-gids '%.40s': expected a number",
			                 *gids);
		user->additional_gids = kist_grow(user->additional_gids, user->n_additional_gids + 1, sizeof(uint32_t));
		user->additional_gids[user->n_additional_gids++] = gid;
	}
	return 0;
}

static int add_caps(struct kist_spec_process *process, char *const *names, struct kist_error *err)
{
	if (!names || !names[0])
		return 0;
	if (!process->capabilities)
		process->capabilities = kist_alloc(sizeof(*process->capabilities));
	struct kist_spec_caps *caps = process->capabilities;
	/* Not the inheritable set, and so not the ambient one: a program's file capabilities must not grow
	 * (CVE-2022-29162).
	 */
	char ***const sets[] = { &caps->bounding, &caps->effective, &caps->permitted };
	for (; *names; names++) {
		uint64_t mask;
		char *const one[] = { *names, NULL };
		if (!kist_ns_cap_known(*names)) {
			kist_log(KIST_LOG_WARN, "--cap: '%s' is not a capability, and not granted", *names);
			continue;
		}
		int r = kist_ns_cap_mask(one, &mask, err);
		if (r < 0)
			return kist_context(err, "--cap");
		for (unsigned n = 0; n < 64; n++)
			for (size_t s = 0; mask & (1ULL << n) && kist_ns_cap_name(n) && s < KIST_COUNT(sets); s++)
				if (!kist_strv_has(*sets[s], kist_ns_cap_name(n)))
					kist_strv_add(sets[s], kist_ns_cap_name(n));
	}
	return 0;
}

static void replace(char **text, const char *with)
{
	if (!with)
		return;
	free(*text);
	*text = kist_strdup(with);
}

static int plan_process(const struct kist_oci_exec *exec, const struct kist_spec *spec,
                        struct kist_spec_process *process, struct kist_error *err)
{
	int r = 0;

	if (exec->process_file && exec->args && exec->args[0])
		return kist_fail(err, KIST_ERR_INVALID, 0, "give a command or --process, not both");
	if (exec->process_file) {
		r = read_process(exec->process_file, process, err);
	} else if (!spec->process) {
		return kist_fail(err, KIST_ERR_INVALID, 0, "config.json has no process to begin with: give --process");
	} else {
		kist_table_release(&kist_spec_process_table, process);
		kist_table_copy(&kist_spec_process_table, process, spec->process);
		process->terminal = false;
		kist_strv_free(process->args);
		process->args = kist_strv_copy(exec->args);
	}
	if (r < 0)
		return r;
	process->terminal |= exec->tty;
	process->no_new_privileges |= exec->no_new_privileges;
	replace(&process->cwd, exec->cwd);
	replace(&process->apparmor_profile, exec->apparmor);
	replace(&process->selinux_label, exec->selinux_label);
	for (char *const *entry = exec->env; entry && *entry; entry++) {
		if (!strchr(*entry, '=') || **entry == '=')
			return kist_fail(err, KIST_ERR_INVALID, 0, "--env '%.80s': expected NAME=value", *entry);
		kist_env_put(&process->env, *entry);
	}
	if (exec->user)
		r = set_user(&process->user, exec->user, err);
	if (r == 0)
		r = add_gids(&process->user, exec->additional_gids, err);
	if (r == 0)
		r = add_caps(process, exec->caps, err);
	return r < 0 ? r : kist_spec_check_process(process, "process", err);
}

/* --- where it starts ------------------------------------------------------------------------------------------------
 */

static int open_group(const struct kist_oci_container *c, const char *below, struct kist_error *err)
{
	if (!c->state.cgroup && !below)
		return -1;
	KIST_CLOSE int group = oci_cgroup_open(c, err);
	if (group < 0)
		return group;
	if (below) {
		below += strspn(below, "/");
		if (!*below)
			return kist_steal_fd(&group);
		KIST_FREE char *path = kist_asprintf("%s/%s", c->state.cgroup, below);
		return kist_cgroup_open(c->oci->cgroups, path, err);
	}
	/* A service manager runs in the container: the new process goes where the first one is. */
	if (kist_cgroup_gives(group))
		return kist_cgroup_open_of(c->oci->cgroups, c->state.pid, err);
	return kist_steal_fd(&group);
}

static int check_state(const struct kist_oci_container *c, bool ignore_paused, struct kist_error *err)
{
	if (c->status == KIST_OCI_PAUSED && !ignore_paused)
		return kist_fail(err, KIST_ERR_STATE, 0,
		                 "cannot exec in a paused container (use --ignore-paused to wait in it)");
	if (c->status != KIST_OCI_RUNNING && c->status != KIST_OCI_PAUSED && c->status != KIST_OCI_CREATED)
		return kist_fail(err, KIST_ERR_STATE, 0, "cannot exec in a %s container: container not running",
		                 kist_oci_status_name(c->status));
	return 0;
}

/* HOME, where the plan has none: from the container's passwd, as other runtimes do. */
static int fill_home(const struct kist_oci_container *c, struct kist_spec_process *process, struct kist_error *err)
{
	struct kist_spec_user user = { 0 };
	KIST_FREE char *home = NULL;
	char path[32], uid[16];

	if (kist_env_get(process->env, "HOME"))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/root", c->state.pid);
	KIST_CLOSE int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return kist_fail_errno(err, errno, "open the container's root");
	snprintf(uid, sizeof(uid), "%u", process->user.uid);
	int r = kist_ns_user_lookup(root, uid, NULL, &user, &home, NULL, err);
	free(user.additional_gids);
	if (r == 0)
		kist_env_set(&process->env, "HOME", home);
	return r;
}

/* --- the run --------------------------------------------------------------------------------------------------------
 */

static int publish(const struct kist_oci_exec *exec, const struct kist_ns_child *child, struct kist_error *err)
{
	const struct kist_oci_io *io = &exec->io;
	int r = io->pid_file ? oci_write_pid_file(io->pid_file, child->pid, err) : 0;

	if (r == 0 && io->console_socket && child->console >= 0)
		r = oci_send_fd(io->console_socket, child->console, "/dev/ptmx", "console socket", err);
	if (r == 0 && io->pidfd_socket)
		r = oci_send_fd(io->pidfd_socket, child->pidfd, "pidfd", "pidfd socket", err);
	return r;
}

static int start_in(const struct kist_oci_container *c, const struct kist_oci_exec *exec, const struct kist_spec *spec,
                    struct kist_spec_process *process, struct kist_ns_child *child, struct kist_error *err)
{
	const struct kist_proc_id id = { .pid = c->state.pid, .start = c->state.pid_start };
	struct winsize size = { 0 };
	KIST_CLOSE int pidfd = kist_proc_open(&id);
	struct kist_error problem = { 0 };

	if (pidfd < 0)
		return kist_fail(err, KIST_ERR_STATE, ESRCH,
		                 "cannot exec in a stopped container: container not running");
	int r = fill_home(c, process, err);
	if (r < 0)
		return r;
	KIST_CLOSE int group = open_group(c, exec->cgroup, &problem);
	if (kist_error_is_set(&problem)) {
		*err = problem;
		return group;
	}
	if (process->terminal && !exec->io.console_socket)
		ioctl(0, TIOCGWINSZ, &size);
	struct kist_ns_exec plan = {
		.process = process,
		.spec = spec,
		.pidfd = pidfd,
		.cgroup_fd = group,
		.stdio = { 0, 1, 2 },
		.rows = size.ws_row,
		.cols = size.ws_col,
		.listen_fds = (int)exec->io.preserve_fds,
		.keep_groups = oci_keeps_groups(spec),
		.seccomp_cache = c->oci->dir,
		.id = c->state.id,
		.bundle = c->state.bundle,
	};
	return kist_ns_exec(&plan, child, err);
}

static int exec_in(const struct kist_oci_container *c, const struct kist_oci_exec *exec, struct oci_foreground *f,
                   int *code, struct kist_error *err)
{
	KIST_SPEC struct kist_spec *spec = NULL;
	struct kist_spec_process process;
	struct kist_ns_child child = KIST_NS_CHILD_INIT;
	int r = check_state(c, exec->ignore_paused, err);

	if (r == 0)
		r = oci_check_preserved(exec->io.preserve_fds, err);
	if (r == 0)
		r = oci_spec_read(c, &spec, err);
	if (r < 0)
		return r;
	kist_table_init(&kist_spec_process_table, &process);
	r = plan_process(exec, spec, &process, err);
	if (r == 0)
		r = oci_check_terminal(process.terminal, exec->detach, exec->io.console_socket, err);
	if (r == 0)
		r = start_in(c, exec, spec, &process, &child, err);
	if (r == 0) {
		r = publish(exec, &child, err);
		if (r < 0)
			kist_ns_child_destroy(&child);
	}
	*code = 0;
	if (r == 0 && !exec->detach) {
		if (exec->io.console_socket)
			kist_close_fd(&child.console);
		r = oci_foreground_wait(f, &child, err);
		*code = r;
	}
	kist_ns_child_close(&child);
	kist_table_release(&kist_spec_process_table, &process);
	return r < 0 ? r : 0;
}

int kist_oci_exec(struct kist_oci *oci, const struct kist_oci_exec *exec, int *code, struct kist_error *err)
{
	struct kist_oci_container *c = NULL;
	struct oci_foreground f = { .signals = -1 };
	int r = kist_oci_load(oci, exec->id, &c, err);

	if (r == 0 && !exec->detach)
		r = oci_foreground_begin(&f, err);
	if (r == 0)
		r = exec_in(c, exec, &f, code, err);
	oci_foreground_end(&f);
	kist_oci_container_free(c);
	return r;
}
