/* Out-of-memory events: memory.events, which counts the group and all below it. */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <unistd.h>

int kist_cgroup_oom_fd(int cgroup_fd)
{
	return openat(cgroup_fd, "memory.events", O_RDONLY | O_CLOEXEC);
}

uint64_t kist_cgroup_oom_kills(int cgroup_fd)
{
	KIST_STR struct kist_str text = { 0 };
	uint64_t kills = 0;

	if (kist_cgroup_read(cgroup_fd, "memory.events", &text) < 0)
		return 0;
	kist_cgroup_keyed(kist_str_get(&text), "oom_kill", &kills);
	return kills;
}
