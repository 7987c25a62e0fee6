#include "net/netns.h"

#include "core/base/base.h"
#include "core/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

/* setns can lack memory for a moment, in both directions. */
static int enter(int netns)
{
	for (unsigned tries = 0;; tries++) {
		if (setns(netns, CLONE_NEWNET) == 0)
			return 0;
		if (errno != ENOMEM || tries == 100)
			return -errno;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
}

int kist_net_run_in(int netns, int (*work)(void *arg, struct kist_error *err), void *arg, struct kist_error *err)
{
	if (netns < 0)
		return work(arg, err);
	KIST_CLOSE int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return kist_fail_errno(err, errno, "open /proc/self/ns/net");
	int r = enter(netns);
	if (r < 0)
		return kist_fail_errno(err, -r, "enter the network namespace");
	r = work(arg, err);
	if (enter(home) < 0)
		abort();
	return r;
}
