/* Doing something inside another network namespace. Only net/ includes this. */
#ifndef KIST_NETNS_H
#define KIST_NETNS_H

struct kist_error;

/* Calls work inside the namespace (an fd, borrowed; -1: right here) and comes back; what it opens stays of that
 * namespace. Single-threaded processes only. If the way back fails for good, the process aborts: see kist_net_open. */
int kist_net_run_in(int netns, int (*work)(void *arg, struct kist_error *err), void *arg, struct kist_error *err);

#endif
