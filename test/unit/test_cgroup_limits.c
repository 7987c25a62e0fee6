#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cgroup/internal.h"
#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/str.h"

#define SET(v)                                                                                                         \
	{                                                                                                              \
		.set = true, .value = (int64_t)(v)                                                                     \
	}

/* The plan as text, a line a write: "memory memory.max=5". */
static char *plan_text(const struct kist_spec_resources *resources)
{
	struct kist_cgroup_plan plan = { 0 };
	struct kist_error err = { 0 };
	struct kist_str out = { 0 };

	if (kist_cgroup_plan_make(resources, &plan, &err) < 0) {
		assert_int_equal(plan.n, 0);
		return kist_strdup(err.text);
	}
	for (size_t i = 0; i < plan.n; i++) {
		const struct kist_cgroup_setting *s = &plan.settings[i];

		kist_str_addf(&out, "%s%s %s=%s", i ? "\n" : "", s->controller ? s->controller : "-", s->file,
		              s->value);
		if (s->other_file)
			kist_str_addf(&out, "|%s=%s", s->other_file, s->other_value);
		kist_str_addf(&out, "%s%s%s", s->unlimited ? " U" : "", s->optional ? " O" : "", s->soft ? " S" : "");
	}
	kist_cgroup_plan_clear(&plan);
	return kist_str_take(&out);
}

static void assert_plan(const struct kist_spec_resources *resources, const char *expected)
{
	KIST_FREE char *text = plan_text(resources);

	assert_string_equal(text, expected);
}

static void assert_memory(struct kist_spec_memory memory, const char *expected)
{
	assert_plan(&(struct kist_spec_resources){ .memory = &memory }, expected);
}

static void assert_cpu(struct kist_spec_cpu cpu, const char *expected)
{
	assert_plan(&(struct kist_spec_resources){ .cpu = &cpu }, expected);
}

static void nothing_asked_is_nothing_planned(void **state KIST_UNUSED)
{
	struct kist_spec_memory memory = { 0 };
	struct kist_spec_cpu cpu = { 0 };
	struct kist_spec_blkio io = { 0 };
	struct kist_spec_network_resources network = { .class_id = SET(0) };

	assert_plan(&(struct kist_spec_resources){ 0 }, "");
	assert_plan(
	        &(struct kist_spec_resources){ .memory = &memory, .cpu = &cpu, .block_io = &io, .network = &network },
	        "");
}

static void memory(void **state KIST_UNUSED)
{
	assert_memory((struct kist_spec_memory){ .limit = SET(5 << 20) }, "memory memory.max=5242880");
	assert_memory((struct kist_spec_memory){ .limit = SET(0) }, "");
	assert_memory((struct kist_spec_memory){ .limit = SET(-1) },
	              "memory memory.max=max U\nmemory memory.swap.max=max U O");
	assert_memory((struct kist_spec_memory){ .limit = SET(-2) },
	              "linux.resources.memory.limit: -2 is out of range");
	assert_memory((struct kist_spec_memory){ .reservation = SET(7) }, "memory memory.low=7");
	assert_memory((struct kist_spec_memory){ .reservation = SET(-1) }, "memory memory.low=0");
}

static void swap_is_without_memory(void **state KIST_UNUSED)
{
	assert_memory((struct kist_spec_memory){ .limit = SET(100), .swap = SET(150) },
	              "memory memory.max=100\nmemory memory.swap.max=50");
	assert_memory((struct kist_spec_memory){ .limit = SET(100), .swap = SET(100) },
	              "memory memory.max=100\nmemory memory.swap.max=0 O");
	assert_memory((struct kist_spec_memory){ .limit = SET(100), .swap = SET(-1) },
	              "memory memory.max=100\nmemory memory.swap.max=max U O");
	assert_memory((struct kist_spec_memory){ .limit = SET(100), .swap = SET(0) }, "memory memory.max=100");
	assert_memory((struct kist_spec_memory){ .swap = SET(-1) }, "memory memory.swap.max=max U O");
	assert_memory((struct kist_spec_memory){ .swap = SET(9) },
	              "linux.resources.memory.swap: a limit of memory and swap "
	              "together needs memory.limit too");
	assert_memory(
	        (struct kist_spec_memory){ .limit = SET(100), .swap = SET(99) },
	        "linux.resources.memory.swap: 99 is less than memory.limit 100 (it counts memory and swap together)");
}

static void what_v2_lacks_is_refused_by_name(void **state KIST_UNUSED)
{
	struct kist_spec_network_resources network = { .class_id = SET(1) };
	struct kist_spec_blkio leaf = { .leaf_weight = SET(10) };

	assert_memory((struct kist_spec_memory){ .swappiness = SET(0) },
	              "linux.resources.memory.swappiness: cgroup v2 has no such setting");
	assert_memory((struct kist_spec_memory){ .kernel = SET(1) },
	              "linux.resources.memory.kernel: cgroup v2 has no such limit");
	assert_memory((struct kist_spec_memory){ .kernel = SET(-1), .kernel_tcp = SET(0) }, "");
	assert_memory((struct kist_spec_memory){ .disable_oom_killer = SET(1) },
	              "linux.resources.memory.disableOOMKiller: cgroup v2 has no such limit");
	assert_memory((struct kist_spec_memory){ .disable_oom_killer = SET(0), .use_hierarchy = SET(1) }, "");
	assert_memory((struct kist_spec_memory){ .use_hierarchy = SET(0) },
	              "linux.resources.memory.useHierarchy: cgroup v2 always counts sub-groups");
	assert_cpu((struct kist_spec_cpu){ .realtime_runtime = SET(5) },
	           "linux.resources.cpu.realtimeRuntime: cgroup v2 has no such limit");
	assert_plan(&(struct kist_spec_resources){ .network = &network },
	            "linux.resources.network.classID: cgroup v2 has no net_cls controller");
	assert_plan(&(struct kist_spec_resources){ .block_io = &leaf },
	            "linux.resources.blockIO.leafWeight: cgroup v2 has no such limit");
}

/* Reference values: the formula in Python's double arithmetic. */
static void shares_to_weight(void **state KIST_UNUSED)
{
	static const uint64_t pairs[][2] = { { 0, 1 },
		                             { 1, 1 },
		                             { 2, 1 },
		                             { 3, 2 },
		                             { 100, 17 },
		                             { 512, 59 },
		                             { 1024, 100 },
		                             { 2000, 170 },
		                             { 2048, 174 },
		                             { 10000, 627 },
		                             { 262143, 10000 },
		                             { 262144, 10000 },
		                             { UINT64_MAX, 10000 } };

	for (size_t i = 0; i < KIST_COUNT(pairs); i++)
		assert_int_equal(kist_cgroup_weight_of_shares(pairs[i][0]), pairs[i][1]);
	uint64_t last = 1;
	for (uint64_t shares = 2; shares <= 262144; shares += 97) {
		uint64_t weight = kist_cgroup_weight_of_shares(shares);

		assert_true(weight >= last && weight <= 10000);
		last = weight;
	}
}

static void cpu(void **state KIST_UNUSED)
{
	assert_cpu((struct kist_spec_cpu){ .shares = SET(1024) }, "cpu cpu.weight=100");
	assert_cpu((struct kist_spec_cpu){ .shares = SET(0) }, "");
	assert_cpu((struct kist_spec_cpu){ .quota = SET(50000) }, "cpu cpu.max=50000 100000");
	assert_cpu((struct kist_spec_cpu){ .quota = SET(50000), .period = SET(20000), .burst = SET(10) },
	           "cpu cpu.max=50000 20000\ncpu cpu.max.burst=10");
	assert_cpu((struct kist_spec_cpu){ .period = SET(20000) }, "cpu cpu.max=max 20000");
	assert_cpu((struct kist_spec_cpu){ .quota = SET(-1) }, "cpu cpu.max=max U");
	assert_cpu((struct kist_spec_cpu){ .quota = SET(-1), .period = SET(5000) }, "cpu cpu.max=max 5000");
	assert_cpu((struct kist_spec_cpu){ .quota = SET(1), .period = SET(2000000) },
	           "linux.resources.cpu.period: 2000000 is out of range");
	assert_cpu((struct kist_spec_cpu){ .idle = SET(1) }, "cpu cpu.idle=1");
	assert_cpu((struct kist_spec_cpu){ .idle = SET(2) }, "linux.resources.cpu.idle: 2 is out of range");
	assert_cpu((struct kist_spec_cpu){ .cpus = (char *)"0-1", .mems = (char *)"0" },
	           "cpuset cpuset.cpus=0-1\ncpuset cpuset.mems=0");
	assert_cpu((struct kist_spec_cpu){ .cpus = (char *)"" }, "");
}

static void pids(void **state KIST_UNUSED)
{
	assert_plan(&(struct kist_spec_resources){ .pids_limit = SET(2048) }, "pids pids.max=2048 S");
	assert_plan(&(struct kist_spec_resources){ .pids_limit = SET(0) }, "pids pids.max=max U S");
	assert_plan(&(struct kist_spec_resources){ .pids_limit = SET(-1) }, "pids pids.max=max U S");
}

static void block_io(void **state KIST_UNUSED)
{
	struct kist_spec_weight_device weights[] = { { .major = 8, .minor = 16, .weight = SET(1000) } };
	struct kist_spec_throttle_device bps[] = { { 8, 0, 1048576 }, { 8, 16, 0 } };
	struct kist_spec_throttle_device iops[] = { { 8, 0, UINT64_MAX } };
	struct kist_spec_blkio io = {
		.weight = SET(10),
		.weight_device = weights,
		.n_weight_device = 1,
		.throttle_read_bps_device = bps,
		.n_throttle_read_bps_device = 2,
		.throttle_write_iops_device = iops,
		.n_throttle_write_iops_device = 1,
	};

	assert_plan(&(struct kist_spec_resources){ .block_io = &io },
	            "io io.bfq.weight=10|io.weight=default 1\n"
	            "io io.bfq.weight=8:16 1000|io.weight=8:16 10000\n"
	            "io io.max=8:0 rbps=1048576\n"
	            "io io.max=8:16 rbps=max\n"
	            "io io.max=8:0 wiops=18446744073709551615");
	io = (struct kist_spec_blkio){ .weight = SET(1001) };
	assert_plan(&(struct kist_spec_resources){ .block_io = &io },
	            "linux.resources.blockIO.weight: 1001 is not between 10 and 1000");
	weights[0].weight.value = 5;
	io = (struct kist_spec_blkio){ .weight_device = weights, .n_weight_device = 1 };
	assert_plan(&(struct kist_spec_resources){ .block_io = &io },
	            "linux.resources.blockIO.weightDevice[0]: 5 is not between 10 and 1000");
	assert_int_equal(kist_cgroup_io_weight(500), 4950);
}

static void huge_pages_and_rdma(void **state KIST_UNUSED)
{
	struct kist_spec_hugepage pages[] = { { (char *)"2MB", 4194304 }, { (char *)"1GB", UINT64_MAX } };
	struct kist_spec_rdma rdma[] = { { (char *)"mlx5_1", SET(3), SET(10000) },
		                         { (char *)"mlx4_0", .hca_objects = SET(1) } };

	assert_plan(&(struct kist_spec_resources){ .hugepage_limits = pages, .n_hugepage_limits = 2 },
	            "hugetlb hugetlb.2MB.max=4194304\nhugetlb hugetlb.2MB.rsvd.max=4194304 O\n"
	            "hugetlb hugetlb.1GB.max=max U\nhugetlb hugetlb.1GB.rsvd.max=max U O");
	assert_plan(&(struct kist_spec_resources){ .rdma = rdma, .n_rdma = 2 },
	            "rdma rdma.max=mlx5_1 hca_handle=3 hca_object=10000\nrdma rdma.max=mlx4_0 hca_object=1");

	static const char *const bad[] = { "2M", "MB", "", "../2MB", "2MB.rsvd", "2mb", "123456789MB" };
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_spec_hugepage page = { (char *)bad[i], 1 };
		KIST_FREE char *expected = kist_asprintf(
		        "linux.resources.hugepageLimits[0].pageSize: '%s' is not a size such as 2MB", bad[i]);

		assert_plan(&(struct kist_spec_resources){ .hugepage_limits = &page, .n_hugepage_limits = 1 },
		            expected);
	}
	rdma[0].device = (char *)"a b";
	assert_plan(&(struct kist_spec_resources){ .rdma = rdma, .n_rdma = 1 },
	            "linux.resources.rdma: 'a b' is not a device");
}

static void unified(void **state KIST_UNUSED)
{
	char *good[] = { (char *)"memory.high=1000",
		         (char *)"memory.oom.group=1",
		         (char *)"io.max=8:0 rbps=1\n8:16 wbps=2\n",
		         (char *)"cgroup.max.depth=3",
		         (char *)"memory.low=max",
		         (char *)"pids.max=max",
		         NULL };
	static const char *const bad[] = {
		"memory/x=1",           "../memory.max=1", "memory=1",   ".max=1",      "memory.=1", "cgroup.procs=1",
		"cgroup.kill=1",        "cgroup.freeze=1", "memory.max", "memory.max=", "=1",        "",
		"cgroup.type=threaded", "memory max.x=1"
	};

	assert_plan(&(struct kist_spec_resources){ .unified = good },
	            "memory memory.high=1000\nmemory memory.oom.group=1\nio io.max=8:0 rbps=1\nio io.max=8:16 wbps=2\n"
	            "- cgroup.max.depth=3\nmemory memory.low=max\npids pids.max=max U");
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		char *list[] = { (char *)bad[i], NULL };
		struct kist_cgroup_plan plan = { 0 };
		struct kist_error err = { 0 };

		assert_true(kist_cgroup_plan_make(&(struct kist_spec_resources){ .unified = list }, &plan, &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
		assert_non_null(strstr(err.text, "linux.resources.unified: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked_is_nothing_planned),
		cmocka_unit_test(memory),
		cmocka_unit_test(swap_is_without_memory),
		cmocka_unit_test(what_v2_lacks_is_refused_by_name),
		cmocka_unit_test(shares_to_weight),
		cmocka_unit_test(cpu),
		cmocka_unit_test(pids),
		cmocka_unit_test(block_io),
		cmocka_unit_test(huge_pages_and_rdma),
		cmocka_unit_test(unified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
