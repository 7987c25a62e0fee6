/* From the resources of the OCI specification to files of cgroup v2, as a plan that names every write.
 *
 * The specification speaks cgroup v1; what v2 cannot do is refused by name. Kernel: admin-guide/cgroup-v2.rst.
 * A value of 0 means "not set" where v1 has no use for 0, as other runtimes read it. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD_DEFAULT_US 100000

/* log2 by repeated squaring: the engine does without libm. */
static double log2_of(double x)
{
	double result = 0, bit = 0.5;

	for (; x >= 2; x /= 2)
		result += 1;
	for (int i = 0; i < 48; i++, bit /= 2) {
		x *= x;
		if (x >= 2) {
			x /= 2;
			result += bit;
		}
	}
	return result;
}

/* weight = ceil(10^((l^2 + 125 l) / 612 - 7/34)), l = log2(shares): the curve through (2, 1), (1024, 100) and
 * (262144, 10000) that Kubernetes, crun (since 1.23) and runc (since 1.3.2) agreed on. The smallest weight whose
 * logarithm reaches the exponent is looked for instead of calling pow(). */
uint64_t kist_cgroup_weight_of_shares(uint64_t shares)
{
	const double log2_10 = 3.321928094887362, tolerance = 1e-9;

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	double l = log2_of((double)shares);
	double target = ((l * l + 125 * l) / 612 - 7.0 / 34) * log2_10 - tolerance;
	uint64_t low = 1, high = 10000;

	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (log2_of((double)middle) >= target)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

uint64_t kist_cgroup_io_weight(uint64_t weight)
{
	return 1 + (weight - 10) * 9999 / 990;
}

void kist_cgroup_plan_clear(struct kist_cgroup_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct kist_cgroup_setting *s = &plan->settings[i];

		free(s->what);
		free(s->controller);
		free(s->file);
		free(s->value);
		free(s->other_file);
		free(s->other_value);
	}
	free(plan->settings);
	*plan = (struct kist_cgroup_plan){ 0 };
}

/* Takes value over; copies the rest. The result is valid until the next one is added. */
static struct kist_cgroup_setting *add(struct kist_cgroup_plan *plan, const char *what, const char *controller,
                                       const char *file, char *value)
{
	plan->settings = kist_grow(plan->settings, plan->n + 1, sizeof(*plan->settings));
	struct kist_cgroup_setting *s = &plan->settings[plan->n++];

	*s = (struct kist_cgroup_setting){
		.what = kist_strdup(what),
		.controller = kist_strdup(controller),
		.file = kist_strdup(file),
		.value = value,
		/* memory.low and memory.min begin at 0: there "max" says something. */
		.unlimited =
		        kist_streq(value, "max") && (kist_has_suffix(file, ".max") || kist_has_suffix(file, ".high")),
	};
	return s;
}

/* --- single values ------------------------------------------------------------------------------------------------ */

struct limit;
/* Sets *value (the caller frees) and returns 0; leaves it NULL when there is nothing to write. */
typedef int convert_fn(const struct limit *limit, const struct kist_spec_resources *r, struct kist_opt opt,
                       char **value, struct kist_error *err);

enum where { IN_MEMORY, IN_CPU, IN_BLOCK_IO, IN_RESOURCES };

struct limit {
	const char *key;  /* the specification's name below linux.resources */
	const char *what; /* for messages; NULL: refused */
	const char *controller, *file;
	convert_fn *convert;
	enum where where;
	size_t offset;
	unsigned soft;
	bool unset_too; /* convert is asked even when the value is absent */
	bool no_swap;   /* "0" and "max" need no file: a kernel without swap accounting never swaps groups apart */
};

static int refuse(const struct limit *limit, const char *reason, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "linux.resources.%s: %s", limit->key, reason);
}

static int invalid(const struct limit *limit, int64_t value, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.%s: %" PRId64 " is out of range", limit->key,
	                 value);
}

static char *number(uint64_t value)
{
	return kist_asprintf("%" PRIu64, value);
}

static int convert_bytes(const struct limit *limit, const struct kist_spec_resources *r KIST_UNUSED,
                         struct kist_opt opt, char **value, struct kist_error *err)
{
	if (opt.value < -1)
		return invalid(limit, opt.value, err);
	if (opt.value != 0)
		*value = opt.value == -1 ? kist_strdup("max") : number((uint64_t)opt.value);
	return 0;
}

/* "Unlimited" is v1's word for no protection, which is 0 in memory.low: "max" there would protect everything. */
static int convert_reservation(const struct limit *limit, const struct kist_spec_resources *r KIST_UNUSED,
                               struct kist_opt opt, char **value, struct kist_error *err)
{
	if (opt.value < -1)
		return invalid(limit, opt.value, err);
	if (opt.value != 0)
		*value = number(opt.value == -1 ? 0 : (uint64_t)opt.value);
	return 0;
}

/* v1 counts memory and swap together, v2 swap alone. Memory made unlimited takes swap along unless it is set. */
static int convert_swap(const struct limit *limit, const struct kist_spec_resources *r, struct kist_opt opt,
                        char **value, struct kist_error *err)
{
	const struct kist_opt *memory = &r->memory->limit;
	int64_t bytes = memory->set ? memory->value : 0;

	if (!opt.set || opt.value == 0) {
		if (bytes == -1)
			*value = kist_strdup("max");
		return 0;
	}
	if (opt.value == -1) {
		*value = kist_strdup("max");
		return 0;
	}
	if (opt.value < -1)
		return invalid(limit, opt.value, err);
	if (bytes <= 0)
		return kist_fail(
		        err, KIST_ERR_INVALID, 0,
		        "linux.resources.memory.swap: a limit of memory and swap together needs memory.limit too");
	if (opt.value < bytes)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "linux.resources.memory.swap: %" PRId64 " is less than memory.limit %" PRId64
		                 " (it counts memory and swap together)",
		                 opt.value, bytes);
	*value = number((uint64_t)(opt.value - bytes));
	return 0;
}

static int convert_shares(const struct limit *limit KIST_UNUSED, const struct kist_spec_resources *r KIST_UNUSED,
                          struct kist_opt opt, char **value, struct kist_error *err KIST_UNUSED)
{
	if (opt.value != 0)
		*value = number(kist_cgroup_weight_of_shares((uint64_t)opt.value));
	return 0;
}

static int check_period(struct kist_opt period, struct kist_error *err)
{
	if (period.set && (period.value < 0 || period.value > 1000000))
		return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.cpu.period: %" PRId64 " is out of range",
		                 period.value);
	return 0;
}

static int convert_quota(const struct limit *limit KIST_UNUSED, const struct kist_spec_resources *r,
                         struct kist_opt opt, char **value, struct kist_error *err)
{
	struct kist_opt period = r->cpu->period;
	int res = check_period(period, err);

	if (res < 0)
		return res;
	if (!opt.set || opt.value == 0) {
		/* The period alone; kist_cgroup_update puts the group's own quota before it. */
		if (period.set && period.value != 0)
			*value = kist_asprintf("max %" PRId64, period.value);
		return 0;
	}
	int64_t us = period.set && period.value ? period.value : PERIOD_DEFAULT_US;
	if (opt.value < 0)
		*value = period.set ? kist_asprintf("max %" PRId64, us) : kist_strdup("max");
	else
		*value = kist_asprintf("%" PRId64 " %" PRId64, opt.value, us);
	return 0;
}

static int convert_number(const struct limit *limit, const struct kist_spec_resources *r KIST_UNUSED,
                          struct kist_opt opt, char **value, struct kist_error *err)
{
	if (opt.value < 0)
		return invalid(limit, opt.value, err);
	*value = number((uint64_t)opt.value);
	return 0;
}

static int convert_idle(const struct limit *limit, const struct kist_spec_resources *r KIST_UNUSED, struct kist_opt opt,
                        char **value, struct kist_error *err)
{
	if (opt.value != 0 && opt.value != 1)
		return invalid(limit, opt.value, err);
	*value = number((uint64_t)opt.value);
	return 0;
}

static int convert_pids(const struct limit *limit KIST_UNUSED, const struct kist_spec_resources *r KIST_UNUSED,
                        struct kist_opt opt, char **value, struct kist_error *err KIST_UNUSED)
{
	*value = opt.value <= 0 ? kist_strdup("max") : number((uint64_t)opt.value);
	return 0;
}

/* Refused when it asks for something; unlimited or off is what v2 does. */
static int refuse_above_zero(const struct limit *limit, const struct kist_spec_resources *r KIST_UNUSED,
                             struct kist_opt opt, char **value KIST_UNUSED, struct kist_error *err)
{
	return opt.value > 0 ? refuse(limit, "cgroup v2 has no such limit", err) : 0;
}

static int refuse_any(const struct limit *limit, const struct kist_spec_resources *r KIST_UNUSED,
                      struct kist_opt opt KIST_UNUSED, char **value KIST_UNUSED, struct kist_error *err)
{
	return refuse(limit, "cgroup v2 has no such setting", err);
}

static int refuse_not_hierarchy(const struct limit *limit, const struct kist_spec_resources *r KIST_UNUSED,
                                struct kist_opt opt, char **value KIST_UNUSED, struct kist_error *err)
{
	return opt.value ? 0 : refuse(limit, "cgroup v2 always counts sub-groups", err);
}

#define MEMORY(member) .where = IN_MEMORY, .offset = offsetof(struct kist_spec_memory, member)
#define CPU(member)    .where = IN_CPU, .offset = offsetof(struct kist_spec_cpu, member)

/* The order is that of the writes. */
static const struct limit limits[] = {
	{ "memory.limit", "memory limit", "memory", "memory.max", convert_bytes, MEMORY(limit) },
	{ "memory.reservation", "memory reservation", "memory", "memory.low", convert_reservation,
	  MEMORY(reservation) },
	{ "memory.swap", "swap limit", "memory", "memory.swap.max", convert_swap, MEMORY(swap), .unset_too = true,
	  .no_swap = true },
	{ "memory.kernel", NULL, NULL, NULL, refuse_above_zero, MEMORY(kernel) },
	{ "memory.kernelTCP", NULL, NULL, NULL, refuse_above_zero, MEMORY(kernel_tcp) },
	{ "memory.swappiness", NULL, NULL, NULL, refuse_any, MEMORY(swappiness) },
	{ "memory.disableOOMKiller", NULL, NULL, NULL, refuse_above_zero, MEMORY(disable_oom_killer) },
	{ "memory.useHierarchy", NULL, NULL, NULL, refuse_not_hierarchy, MEMORY(use_hierarchy) },
	{ "cpu.shares", "CPU shares", "cpu", "cpu.weight", convert_shares, CPU(shares) },
	{ "cpu.quota", "CPU quota", "cpu", "cpu.max", convert_quota, CPU(quota), .unset_too = true },
	{ "cpu.burst", "CPU burst", "cpu", "cpu.max.burst", convert_number, CPU(burst) },
	{ "cpu.idle", "CPU idle", "cpu", "cpu.idle", convert_idle, CPU(idle) },
	{ "cpu.realtimeRuntime", NULL, NULL, NULL, refuse_above_zero, CPU(realtime_runtime) },
	{ "cpu.realtimePeriod", NULL, NULL, NULL, refuse_above_zero, CPU(realtime_period) },
	{ "pids.limit", "process limit", "pids", "pids.max", convert_pids, .where = IN_RESOURCES,
	  .offset = offsetof(struct kist_spec_resources, pids_limit), .soft = KIST_CGROUP_SOFT_PIDS },
	{ "blockIO.leafWeight", NULL, NULL, NULL, refuse_above_zero, .where = IN_BLOCK_IO,
	  .offset = offsetof(struct kist_spec_blkio, leaf_weight) },
};

static const void *section(const struct kist_spec_resources *r, enum where where)
{
	switch (where) {
	case IN_MEMORY:
		return r->memory;
	case IN_CPU:
		return r->cpu;
	case IN_BLOCK_IO:
		return r->block_io;
	case IN_RESOURCES:
		return r;
	}
	return NULL;
}

static int add_limit(struct kist_cgroup_plan *plan, const struct limit *limit, const struct kist_spec_resources *r,
                     struct kist_error *err)
{
	const char *base = section(r, limit->where);

	if (!base)
		return 0;
	const struct kist_opt *opt = (const void *)(base + limit->offset);
	char *value = NULL;
	if (!opt->set && !limit->unset_too)
		return 0;
	int res = limit->convert(limit, r, *opt, &value, err);
	if (res < 0 || !value)
		return res;
	struct kist_cgroup_setting *s = add(plan, limit->what, limit->controller, limit->file, value);
	s->soft = limit->soft;
	s->optional = limit->no_swap && (s->unlimited || kist_streq(value, "0"));
	return 0;
}

static int add_cpusets(struct kist_cgroup_plan *plan, const struct kist_spec_cpu *cpu)
{
	if (cpu && !kist_empty(cpu->cpus))
		add(plan, "CPU set", "cpuset", "cpuset.cpus", kist_strdup(cpu->cpus));
	if (cpu && !kist_empty(cpu->mems))
		add(plan, "memory node set", "cpuset", "cpuset.mems", kist_strdup(cpu->mems));
	return 0;
}

/* --- block io ----------------------------------------------------------------------------------------------------- */

/* The BFQ scheduler has a file of its own, with v1's range; io.weight (the io.cost controller) has 1-10000. */
static int add_weight(struct kist_cgroup_plan *plan, const char *key, const char *device, struct kist_opt weight,
                      struct kist_error *err)
{
	if (!weight.set || weight.value == 0)
		return 0;
	if (weight.value < 10 || weight.value > 1000)
		return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.%s: %" PRId64 " is not between 10 and 1000",
		                 key, weight.value);
	uint64_t w = (uint64_t)weight.value;
	struct kist_cgroup_setting *s = add(plan, "block io weight", "io", "io.bfq.weight",
	                                    kist_asprintf("%s%s%" PRIu64, device, *device ? " " : "", w));
	s->other_file = kist_strdup("io.weight");
	s->other_value = kist_asprintf("%s %" PRIu64, *device ? device : "default", kist_cgroup_io_weight(w));
	return 0;
}

struct throttle {
	const char *key, *name;
	size_t list, count;
};

#define THROTTLE(key_, name_, member)                                                                                  \
	{                                                                                                              \
		key_, name_, offsetof(struct kist_spec_blkio, member), offsetof(struct kist_spec_blkio, n_##member)    \
	}

static const struct throttle throttles[] = {
	THROTTLE("throttleReadBpsDevice", "rbps", throttle_read_bps_device),
	THROTTLE("throttleWriteBpsDevice", "wbps", throttle_write_bps_device),
	THROTTLE("throttleReadIOPSDevice", "riops", throttle_read_iops_device),
	THROTTLE("throttleWriteIOPSDevice", "wiops", throttle_write_iops_device),
};

static void add_throttles(struct kist_cgroup_plan *plan, const struct kist_spec_blkio *io, const struct throttle *t)
{
	const struct kist_spec_throttle_device *list =
	        *(struct kist_spec_throttle_device *const *)((const char *)io + t->list);
	size_t n = *(const size_t *)((const char *)io + t->count);

	for (size_t i = 0; i < n; i++) {
		/* In v1 a rate of 0 lifts the limit. */
		KIST_FREE char *rate = list[i].rate ? number(list[i].rate) : kist_strdup("max");

		add(plan, "block io throttle", "io", "io.max",
		    kist_asprintf("%" PRId64 ":%" PRId64 " %s=%s", list[i].major, list[i].minor, t->name, rate));
	}
}

static int add_block_io(struct kist_cgroup_plan *plan, const struct kist_spec_blkio *io, struct kist_error *err)
{
	if (!io)
		return 0;
	int r = add_weight(plan, "blockIO.weight", "", io->weight, err);
	for (size_t i = 0; r == 0 && i < io->n_weight_device; i++) {
		const struct kist_spec_weight_device *d = &io->weight_device[i];
		KIST_FREE char *device = kist_asprintf("%" PRId64 ":%" PRId64, d->major, d->minor);
		KIST_FREE char *key = kist_asprintf("blockIO.weightDevice[%zu]", i);

		if (d->leaf_weight.set && d->leaf_weight.value > 0)
			return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
			                 "linux.resources.%s.leafWeight: cgroup v2 has no such limit", key);
		r = add_weight(plan, key, device, d->weight, err);
	}
	for (size_t i = 0; r == 0 && i < KIST_COUNT(throttles); i++)
		add_throttles(plan, io, &throttles[i]);
	return r;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

/* "2MB", "1GB", "64KB": the kernel's own names of the sizes. */
static bool is_page_size(const char *text)
{
	size_t digits = text ? strspn(text, "0123456789") : 0;

	return digits > 0 && digits < 8 &&
	       (kist_streq(text + digits, "KB") || kist_streq(text + digits, "MB") || kist_streq(text + digits, "GB"));
}

static int add_hugepages(struct kist_cgroup_plan *plan, const struct kist_spec_resources *r, struct kist_error *err)
{
	for (size_t i = 0; i < r->n_hugepage_limits; i++) {
		const struct kist_spec_hugepage *page = &r->hugepage_limits[i];

		if (!is_page_size(page->page_size))
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "linux.resources.hugepageLimits[%zu].pageSize: '%s' is not a size such as 2MB",
			                 i, page->page_size ? page->page_size : "");
		KIST_FREE char *what = kist_asprintf("%s huge page limit", page->page_size);
		KIST_FREE char *usage = kist_asprintf("hugetlb.%s.max", page->page_size);
		KIST_FREE char *reserved = kist_asprintf("hugetlb.%s.rsvd.max", page->page_size);
		KIST_FREE char *value = page->limit == UINT64_MAX ? kist_strdup("max") : number(page->limit);

		add(plan, what, "hugetlb", usage, kist_strdup(value));
		/* Reservations have their own count since 5.7. */
		add(plan, what, "hugetlb", reserved, kist_strdup(value))->optional = true;
	}
	return 0;
}

static int add_rdma(struct kist_cgroup_plan *plan, const struct kist_spec_resources *r, struct kist_error *err)
{
	for (size_t i = 0; i < r->n_rdma; i++) {
		const struct kist_spec_rdma *rdma = &r->rdma[i];

		if (kist_empty(rdma->device) || strpbrk(rdma->device, " \t\n"))
			return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.rdma: '%s' is not a device",
			                 rdma->device ? rdma->device : "");
		KIST_STR struct kist_str value = { 0 };
		kist_str_add(&value, rdma->device);
		if (rdma->hca_handles.set)
			kist_str_addf(&value, " hca_handle=%" PRId64, rdma->hca_handles.value);
		if (rdma->hca_objects.set)
			kist_str_addf(&value, " hca_object=%" PRId64, rdma->hca_objects.value);
		if (rdma->hca_handles.set || rdma->hca_objects.set)
			add(plan, "RDMA limit", "rdma", "rdma.max", kist_str_take(&value));
	}
	return 0;
}

/* Files of the kernel's own that are limits; the others of cgroup.* move processes, kill them or delegate. */
static const char *const core_files[] = { "cgroup.max.depth", "cgroup.max.descendants" };

static bool is_core_file(const char *name)
{
	for (size_t i = 0; i < KIST_COUNT(core_files); i++) {
		if (kist_streq(name, core_files[i]))
			return true;
	}
	return false;
}

static int check_unified(const char *name, size_t controller_len, struct kist_error *err)
{
	if (strchr(name, '/'))
		return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.unified: '%s' is not a file name", name);
	if (controller_len == 0 || !name[controller_len] || !name[controller_len + 1])
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "linux.resources.unified: the specified key has not the form CONTROLLER.VALUE `%s`",
		                 name);
	for (const char *c = name; *c; c++) {
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') &&
		    !strchr("._-", *c))
			return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.unified: '%s' is not a file name",
			                 name);
	}
	if (kist_has_prefix(name, "cgroup.") && !is_core_file(name))
		return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.unified: '%s' is not a limit", name);
	return 0;
}

static int add_unified(struct kist_cgroup_plan *plan, char *const *unified, struct kist_error *err)
{
	for (; unified && *unified; unified++) {
		KIST_FREE char *name = kist_strndup(*unified, strcspn(*unified, "="));
		size_t controller_len = strcspn(name, ".");
		int r = check_unified(name, controller_len, err);

		if (r < 0)
			return r;
		if (!(*unified)[strlen(name)] || !(*unified)[strlen(name) + 1])
			return kist_fail(err, KIST_ERR_INVALID, 0, "linux.resources.unified: '%s' has no value", name);
		KIST_FREE char *what = kist_asprintf("unified %s", name);
		KIST_FREE char *controller = kist_strndup(name, controller_len);
		/* One write holds one line: io.max takes one device at a time. */
		KIST_STRV char **lines = kist_strv_split(*unified + strlen(name) + 1, '\n');
		for (char **line = lines; line && *line; line++) {
			if (**line)
				add(plan, what, kist_streq(controller, "cgroup") ? NULL : controller, name,
				    kist_strdup(*line));
		}
	}
	return 0;
}

static int refuse_network(const struct kist_spec_network_resources *network, struct kist_error *err)
{
	if (!network)
		return 0;
	if (network->class_id.set && network->class_id.value != 0)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		                 "linux.resources.network.classID: cgroup v2 has no net_cls controller");
	if (network->n_priorities > 0)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		                 "linux.resources.network.priorities: cgroup v2 has no net_prio controller");
	return 0;
}

int kist_cgroup_plan_make(const struct kist_spec_resources *resources, struct kist_cgroup_plan *out,
                          struct kist_error *err)
{
	KIST_CGROUP_PLAN struct kist_cgroup_plan plan = { 0 };
	int r = refuse_network(resources->network, err);

	for (size_t i = 0; r == 0 && i < KIST_COUNT(limits); i++)
		r = add_limit(&plan, &limits[i], resources, err);
	if (r == 0)
		r = add_cpusets(&plan, resources->cpu);
	if (r == 0)
		r = add_block_io(&plan, resources->block_io, err);
	if (r == 0)
		r = add_hugepages(&plan, resources, err);
	if (r == 0)
		r = add_rdma(&plan, resources, err);
	/* Last, so that it overrides. */
	if (r == 0)
		r = add_unified(&plan, resources->unified, err);
	if (r < 0)
		return r;
	*out = plan;
	plan = (struct kist_cgroup_plan){ 0 };
	return 0;
}
