/* What a group uses. Files that a kernel or a group does not have leave their numbers at 0. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <string.h>

static void read_cpu(int cgroup_fd, struct kist_cgroup_stats *out)
{
	KIST_STR struct kist_str text = { 0 };

	if (kist_cgroup_read(cgroup_fd, "cpu.stat", &text) < 0)
		return;
	const char *s = kist_str_get(&text);
	kist_cgroup_keyed(s, "usage_usec", &out->cpu_usage_us);
	kist_cgroup_keyed(s, "user_usec", &out->cpu_user_us);
	kist_cgroup_keyed(s, "system_usec", &out->cpu_system_us);
	/* Only the controller counts periods. */
	out->has_cpu_controller = kist_cgroup_keyed(s, "nr_periods", &out->cpu_periods);
	kist_cgroup_keyed(s, "nr_throttled", &out->cpu_throttled);
	kist_cgroup_keyed(s, "throttled_usec", &out->cpu_throttled_us);
}

static void read_memory(int cgroup_fd, struct kist_cgroup_stats *out)
{
	KIST_STR struct kist_str text = { 0 };

	out->memory_limit = UINT64_MAX;
	out->has_memory = kist_cgroup_read_u64(cgroup_fd, "memory.current", &out->memory_usage) == 0;
	if (!out->has_memory)
		return;
	kist_cgroup_read_u64(cgroup_fd, "memory.max", &out->memory_limit);
	kist_cgroup_read_u64(cgroup_fd, "memory.swap.current", &out->memory_swap);
	kist_cgroup_read_u64(cgroup_fd, "memory.peak", &out->memory_peak); /* since 5.19 */
	if (kist_cgroup_read(cgroup_fd, "memory.stat", &text) < 0)
		return;
	kist_cgroup_keyed(kist_str_get(&text), "file", &out->memory_file);
	kist_cgroup_keyed(kist_str_get(&text), "inactive_file", &out->memory_inactive_file);
	kist_cgroup_keyed(kist_str_get(&text), "anon", &out->memory_anon);
}

static void read_pids(int cgroup_fd, struct kist_cgroup_stats *out)
{
	out->pids_limit = UINT64_MAX;
	out->has_pids = kist_cgroup_read_u64(cgroup_fd, "pids.current", &out->pids) == 0;
	if (out->has_pids) {
		kist_cgroup_read_u64(cgroup_fd, "pids.max", &out->pids_limit);
		return;
	}
	/* Without the controller the processes can be counted, though not their threads. */
	pid_t *pids = NULL;
	ssize_t n = kist_cgroup_pids(cgroup_fd, &pids, NULL);
	KIST_FREE void *owned KIST_UNUSED = pids;
	if (n > 0)
		out->pids = (uint64_t)n;
}

/* "8:0 rbytes=1 wbytes=2 rios=3 ...", a line for each device. */
static void read_io(int cgroup_fd, struct kist_cgroup_stats *out)
{
	KIST_STR struct kist_str text = { 0 };

	out->has_io = kist_cgroup_read(cgroup_fd, "io.stat", &text) == 0;
	KIST_STRV char **words = out->has_io ? kist_cgroup_words(kist_str_get(&text)) : NULL;
	for (size_t i = 0; words && words[i]; i++) {
		uint64_t bytes;

		if (kist_has_prefix(words[i], "rbytes=") && kist_parse_u64(words[i] + 7, &bytes) == 0)
			out->io_read += bytes;
		else if (kist_has_prefix(words[i], "wbytes=") && kist_parse_u64(words[i] + 7, &bytes) == 0)
			out->io_write += bytes;
	}
}

int kist_cgroup_stats(int cgroup_fd, struct kist_cgroup_stats *out, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	struct kist_cgroup_stats stats = { 0 };
	/* Reading what every group has tells a removed group from one without controllers. */
	int r = kist_cgroup_read(cgroup_fd, "cgroup.controllers", &text);

	if (r == -ENODEV || r == -ENOENT)
		return kist_fail(err, KIST_ERR_NOT_FOUND, -r, "the cgroup was removed");
	if (r < 0)
		return kist_fail_errno(err, -r, "read the statistics of a cgroup");
	read_cpu(cgroup_fd, &stats);
	read_memory(cgroup_fd, &stats);
	read_pids(cgroup_fd, &stats);
	read_io(cgroup_fd, &stats);
	*out = stats;
	return 0;
}
