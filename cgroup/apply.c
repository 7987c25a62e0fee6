/* Writes a plan of limits, and enables the controllers it needs on the way.
 *
 * The common case must be cheap: a group is made under a parent that has the controllers enabled already. So nothing
 * is read first. The first limit whose file does not exist shows that controllers are missing; then, once, the groups
 * from the top down are read and changed. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* cgroupfs has had trusted.* attributes since 3.7, and user.* ones, which need no privilege, since 5.7. */
static const char *const mark_names[] = { "trusted.kist", "user.kist" };

void kist_cgroup_mark(int cgroup_fd)
{
	for (size_t i = 0; i < KIST_COUNT(mark_names); i++) {
		if (fsetxattr(cgroup_fd, mark_names[i], "1", 1, 0) == 0)
			return;
	}
}

bool kist_cgroup_marked(int cgroup_fd)
{
	for (size_t i = 0; i < KIST_COUNT(mark_names); i++) {
		if (fgetxattr(cgroup_fd, mark_names[i], NULL, 0) >= 0)
			return true;
	}
	return false;
}

/* --- the groups above --------------------------------------------------------------------------------------------- */

struct chain {
	int *fds; /* from the group's parent up to the top */
	size_t n;
};

static void chain_close(struct chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
		kist_close_fd(&chain->fds[i]);
	free(chain->fds);
}

/* Up by "..", until the root we know, or else until the file system ends. */
static int chain_open(int cgroup_fd, struct kist_cgroup_root *root, struct chain *chain)
{
	struct stat top = { 0 }, here;

	if (root && fstat(root->fd, &top) < 0)
		return -errno;
	for (int fd = cgroup_fd;; fd = chain->fds[chain->n - 1]) {
		if (fstat(fd, &here) < 0)
			return -errno;
		if (root && here.st_dev == top.st_dev && here.st_ino == top.st_ino)
			return 0;
		KIST_CLOSE int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			return -errno;
		if (!root && !kist_is_fs(up, CGROUP2_SUPER_MAGIC))
			return 0;
		chain->fds = kist_grow(chain->fds, chain->n + 1, sizeof(*chain->fds));
		chain->fds[chain->n++] = kist_steal_fd(&up);
		/* "/.." is "/": only a group outside the root it came with gets here. */
		if (chain->n > 4096)
			return -ELOOP;
	}
}

/* --- "no internal processes" -------------------------------------------------------------------------------------- */

/* One round: every process of the group itself into the leaf. Returns how many there were. */
static ssize_t move_round(int dir, int leaf)
{
	KIST_STR struct kist_str text = { 0 };
	int r = kist_cgroup_read(dir, "cgroup.procs", &text);

	if (r < 0)
		return r;
	KIST_STRV char **pids = kist_cgroup_words(kist_str_get(&text));
	for (size_t i = 0; pids && pids[i]; i++) {
		/* "0" is a process our pid namespace does not show; written, it would mean ourselves. */
		if (kist_streq(pids[i], "0"))
			return -EPERM;
		r = kist_write_kernel(leaf, "cgroup.procs", pids[i]);
		if (r < 0 && r != -ESRCH)
			return r;
	}
	return (ssize_t)kist_strv_len(pids);
}

/* Forks race with the moving, hence rounds; a process that forks faster than this is left to the error message. */
static int move_processes(int dir)
{
	if (mkdirat(dir, KIST_CGROUP_INTERNAL_LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	KIST_CLOSE int leaf = openat(dir, KIST_CGROUP_INTERNAL_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (leaf < 0)
		return -errno;
	for (int round = 0; round < 64; round++) {
		ssize_t n = move_round(dir, leaf);

		if (n <= 0)
			return (int)n;
	}
	return -EBUSY;
}

static int enable_write(int dir, char *const *wanted)
{
	KIST_STR struct kist_str text = { 0 };

	for (size_t i = 0; wanted[i]; i++)
		kist_str_addf(&text, "%s+%s", i ? " " : "", wanted[i]);
	return kist_write_kernel(dir, "cgroup.subtree_control", kist_str_get(&text));
}

static int enable_failed(int dir, char *const *wanted, int r, struct kist_error *err)
{
	KIST_FREE char *where = kist_cgroup_fd_name(dir);
	KIST_FREE char *names = kist_strv_join(wanted, ", ");

	if (r != -EBUSY) {
		kist_fail_errno(err, -r, "enable controllers (%s) in %s", names, where);
		/* CONFIG_RT_GROUP_SCHED: the kernel has no real-time budget to give to a group. */
		if (r == -EINVAL && kist_strv_has(wanted, "cpu"))
			return kist_remedy(err, "the 'cpu' controller needs all real-time processes in the root group");
		return r;
	}
	kist_fail(err, KIST_ERR_IN_USE, EBUSY,
	          "enable controllers (%s) in %s: the group holds processes and kist did not make it", names, where);
	return kist_remedy(
	        err, "move its processes to a sub-group first, or choose another parent with --cgroup-parent; see 'no "
	             "internal process constraint' in the kernel's cgroup-v2 document");
}

static int enable_in(int dir, char *const *controllers, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	int r = kist_cgroup_read(dir, "cgroup.subtree_control", &text);

	if (r < 0)
		return enable_failed(dir, controllers, r, err);
	KIST_STRV char **enabled = kist_cgroup_words(kist_str_get(&text));
	KIST_STRV char **wanted = NULL;
	for (size_t i = 0; controllers[i]; i++) {
		if (!kist_strv_has(enabled, controllers[i]))
			kist_strv_add(&wanted, controllers[i]);
	}
	if (!wanted)
		return 0;
	r = enable_write(dir, wanted);
	if (r == -EBUSY && kist_cgroup_marked(dir)) {
		r = move_processes(dir);
		if (r == 0)
			r = enable_write(dir, wanted);
	}
	return r < 0 ? enable_failed(dir, wanted, r, err) : 0;
}

/* --- controllers that are not there ------------------------------------------------------------------------------- */

/* What /proc/cgroups knows about the controller: why v2 does not have it, and what helps. */
static int controller_remedy(const char *controller, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	const char *v1_name = kist_streq(controller, "io") ? "blkio" : controller;

	if (kist_read_file(AT_FDCWD, "/proc/cgroups", 65536, &text) < 0)
		return kist_remedy(err, "boot with cgroup_no_v1=all");
	KIST_STRV char **lines = kist_strv_split(kist_str_get(&text), '\n');
	for (char **line = lines; line && *line; line++) {
		KIST_STRV char **words = kist_cgroup_words(*line); /* name, hierarchy, groups, enabled */

		if (kist_strv_len(words) < 4 || !kist_streq(words[0], v1_name))
			continue;
		if (kist_streq(words[3], "0"))
			return kist_remedy(err, "it is switched off: boot with cgroup_enable=%s", v1_name);
		if (!kist_streq(words[1], "0"))
			return kist_remedy(err,
			                   "a cgroup v1 mount uses it: boot with cgroup_no_v1=%s or cgroup_no_v1=all",
			                   v1_name);
		return kist_remedy(err,
		                   "the kernel has it: enable it in the cgroup.subtree_control of the groups above");
	}
	return kist_remedy(err, "the kernel was built without it, or boot with cgroup_no_v1=all");
}

static int missing_controller(const struct kist_cgroup_setting *s, const char *where, struct kist_error *err)
{
	if (kist_has_prefix(s->what, "unified "))
		kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		          "%s: the requested cgroup controller `%s` is not available in %s", s->what, s->controller,
		          where);
	else
		kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "%s: the cgroup v2 hierarchy at %s has no '%s' controller",
		          s->what, where, s->controller);
	return controller_remedy(s->controller, err);
}

static void skip_controller(struct kist_cgroup_plan *plan, const char *controller, unsigned soft)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct kist_cgroup_setting *s = &plan->settings[i];

		if (kist_streq(s->controller, controller) && (s->unlimited || (s->soft & soft))) {
			kist_debug("%s left out: no '%s' controller", s->what, controller);
			s->skip = true;
		}
	}
}

/* Splits what the plan needs by whether it may be left out. A controller that is needed for sure is in hard only. */
static int wanted_controllers(struct kist_cgroup_plan *plan, char *const *available, const char *where, unsigned soft,
                              char ***hard, char ***easy, struct kist_error *err)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct kist_cgroup_setting *s = &plan->settings[i];

		if (s->skip || !s->controller)
			continue;
		bool may_miss = s->unlimited || (s->soft & soft);
		if (kist_strv_has(available, s->controller)) {
			char ***list = may_miss ? easy : hard;

			if (!kist_strv_has(*list, s->controller))
				kist_strv_add(list, s->controller);
		} else if (may_miss) {
			skip_controller(plan, s->controller, soft);
		} else {
			return missing_controller(s, where, err);
		}
	}
	return 0;
}

static int enable_along(const struct chain *chain, char *const *controllers, struct kist_error *err)
{
	for (size_t i = chain->n; controllers && i-- > 0;) {
		int r = enable_in(chain->fds[i], controllers, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* One by one where they cannot be had together: real-time processes forbid 'cpu', and a kernel may refuse others. */
void kist_cgroup_enable_all(int cgroup_fd, struct kist_cgroup_root *root)
{
	__attribute__((cleanup(chain_close))) struct chain chain = { 0 };
	char *const *all = kist_cgroup_root_controllers(root);
	struct kist_error problem = { 0 };

	if (!all || !all[0] || chain_open(cgroup_fd, root, &chain) < 0 || enable_along(&chain, all, &problem) == 0)
		return;
	for (size_t i = 0; all[i]; i++) {
		char *one[] = { all[i], NULL };

		kist_error_clear(&problem);
		if (enable_along(&chain, one, &problem) < 0)
			kist_debug("%s", problem.text);
	}
}

static int enable_with(const struct chain *chain, struct kist_cgroup_plan *plan, char *const *available,
                       const char *where, unsigned soft, struct kist_error *err)
{
	KIST_STRV char **hard = NULL, **easy = NULL;
	int r = wanted_controllers(plan, available, where, soft, &hard, &easy, err);

	if (r == 0)
		r = enable_along(chain, hard, err);
	/* One by one: what a default asks for may not stop the container. */
	for (size_t i = 0; r == 0 && easy && easy[i]; i++) {
		char *one[] = { easy[i], NULL };
		struct kist_error ignored = { 0 };

		if (enable_along(chain, one, &ignored) < 0) {
			kist_debug("%s", ignored.text);
			if (!kist_strv_has(hard, easy[i]))
				skip_controller(plan, easy[i], soft);
		}
	}
	return r;
}

static int enable(struct kist_cgroup_plan *plan, int cgroup_fd, struct kist_cgroup_root *root, unsigned soft,
                  struct kist_error *err)
{
	__attribute__((cleanup(chain_close))) struct chain chain = { 0 };

	/* A default on a host without its controller is the one frequent case: it costs one read. */
	if (root) {
		bool any = false;

		for (size_t i = 0; i < plan->n; i++) {
			const struct kist_cgroup_setting *s = &plan->settings[i];

			any |= s->controller && !s->skip &&
			       (!((s->soft & soft) || s->unlimited) ||
			        kist_strv_has(kist_cgroup_root_controllers(root), s->controller));
		}
		if (!any)
			return enable_with(&chain, plan, kist_cgroup_root_controllers(root), root->path, soft, err);
	}
	int r = chain_open(cgroup_fd, root, &chain);
	if (r < 0)
		return kist_fail_errno(err, -r, "open the groups above");
	if (root)
		return enable_with(&chain, plan, kist_cgroup_root_controllers(root), root->path, soft, err);

	int top = chain.n ? chain.fds[chain.n - 1] : cgroup_fd;
	KIST_FREE char *where = kist_cgroup_fd_name(top);
	KIST_STR struct kist_str text = { 0 };
	if (kist_cgroup_read(top, "cgroup.controllers", &text) < 0)
		kist_str_clear(&text);
	KIST_STRV char **available = kist_cgroup_words(kist_str_get(&text));
	return enable_with(&chain, plan, available, where, soft, err);
}

/* --- the writes --------------------------------------------------------------------------------------------------- */

static int write_setting(int cgroup_fd, const struct kist_cgroup_setting *s)
{
	int r = kist_write_kernel(cgroup_fd, s->file, s->value);

	if (r == -ENOENT && s->other_file)
		r = kist_write_kernel(cgroup_fd, s->other_file, s->other_value);
	return r;
}

static int write_failed(const struct kist_cgroup_setting *s, int r, struct kist_error *err)
{
	/* The name of one of linux.resources.unified is the caller's. */
	if (r == -ENOENT && !kist_has_prefix(s->what, "unified "))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, ENOENT, "%s: this kernel has no %s%s%s", s->what, s->file,
		                 s->other_file ? " and no " : "", s->other_file ? s->other_file : "");
	return kist_fail_errno(err, -r, "%s: write '%s' to %s", s->what, s->value, s->file);
}

int kist_cgroup_apply(struct kist_cgroup_plan *plan, int cgroup_fd, struct kist_cgroup_root *root, unsigned soft,
                      bool fresh, struct kist_error *err)
{
	bool enabled = false;

	for (size_t i = 0; fresh && i < plan->n; i++)
		plan->settings[i].skip = plan->settings[i].unlimited;
	for (size_t i = 0; i < plan->n; i++) {
		struct kist_cgroup_setting *s = &plan->settings[i];
		int r = s->skip ? 0 : write_setting(cgroup_fd, s);

		if (r == -ENOENT && !enabled) {
			r = enable(plan, cgroup_fd, root, soft, err);
			if (r < 0)
				return r;
			enabled = true;
			r = s->skip ? 0 : write_setting(cgroup_fd, s);
		}
		if (r == -ENOENT && s->optional)
			continue;
		/* Some limits bound each other (cpu.max and its burst, cpu.idle and cpu.weight): which one must go
		 * first depends on what is in force, so what is refused gets a second try after the others. */
		if (r == -EINVAL || r == -EBUSY)
			s->again = true;
		else if (r < 0)
			return write_failed(s, r, err);
	}
	for (size_t i = 0; i < plan->n; i++) {
		struct kist_cgroup_setting *s = &plan->settings[i];
		int r = s->again ? write_setting(cgroup_fd, s) : 0;

		if (r < 0)
			return write_failed(s, r, err);
	}
	return 0;
}

/* --- update ------------------------------------------------------------------------------------------------------- */

/* cpu.max takes quota and period together: a new period keeps the group's own quota, and a new quota its period, which
 * the kernel leaves as it is where one number is written. */
static void keep_quota(struct kist_cgroup_plan *plan, int cgroup_fd, const struct kist_spec_cpu *cpu)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_STRV char **words = NULL;
	bool quota = cpu && cpu->quota.set && cpu->quota.value != 0;
	bool period = cpu && cpu->period.set && cpu->period.value != 0;

	if (quota == period)
		return;
	if (period && kist_cgroup_read(cgroup_fd, "cpu.max", &text) == 0)
		words = kist_cgroup_words(kist_str_get(&text));
	for (size_t i = 0; i < plan->n; i++) {
		struct kist_cgroup_setting *s = &plan->settings[i];

		if (!kist_streq(s->what, "CPU quota") || (period && (!words || !words[0])))
			continue;
		free(s->value);
		s->value = period                 ? kist_asprintf("%s %" PRId64, words[0], cpu->period.value)
		           : cpu->quota.value < 0 ? kist_strdup("max")
		                                  : kist_asprintf("%" PRId64, cpu->quota.value);
	}
}

/* memory.checkBeforeUpdate: rather no change than a limit below what is in use, which would kill. */
static int check_memory(int cgroup_fd, const struct kist_spec_memory *memory, struct kist_error *err)
{
	uint64_t usage;

	if (!memory || !memory->check_before_update.set || !memory->check_before_update.value || !memory->limit.set ||
	    memory->limit.value <= 0 || kist_cgroup_read_u64(cgroup_fd, "memory.current", &usage) < 0)
		return 0;
	if (usage < (uint64_t)memory->limit.value)
		return 0;
	return kist_fail(err, KIST_ERR_INVALID, EBUSY,
	                 "memory limit: %" PRId64 " is not above the %" PRIu64 " bytes in use", memory->limit.value,
	                 usage);
}

int kist_cgroup_check(struct kist_cgroup_root *root, const struct kist_spec_resources *resources,
                      struct kist_error *err)
{
	KIST_CGROUP_PLAN struct kist_cgroup_plan plan = { 0 };
	KIST_STRV char **hard = NULL, **easy = NULL;
	int r = kist_cgroup_plan_make(resources, &plan, err);

	return r < 0 ? r
	             : wanted_controllers(&plan, kist_cgroup_root_controllers(root), root->path, 0, &hard, &easy, err);
}

int kist_cgroup_update(int cgroup_fd, const struct kist_spec_resources *resources, struct kist_error *err)
{
	KIST_CGROUP_PLAN struct kist_cgroup_plan plan = { 0 };
	int r = kist_cgroup_plan_make(resources, &plan, err);

	if (r == 0)
		r = check_memory(cgroup_fd, resources->memory, err);
	if (r < 0)
		return r;
	keep_quota(&plan, cgroup_fd, resources->cpu);
	r = kist_cgroup_apply(&plan, cgroup_fd, NULL, 0, false, err);
	if (r == 0 && resources->n_devices)
		r = kist_cgroup_device_apply(cgroup_fd, resources->devices, resources->n_devices, false, err);
	return r;
}
