/* Values below /proc/sys/net, of the namespace the process is in. Only net/ includes this. */
#ifndef KIST_NET_SYSCTL_H
#define KIST_NET_SYSCTL_H

#include "core/base/base.h"

struct kist_error;

struct kist_net_sysctl {
	const char *name; /* below /proc/sys/net: "ipv4/ip_forward" */
	const char *value;
};
/* A missing file is fine (a kernel without IPv6, IPv6 off). Where they cannot be written, a value that
 * is right already is fine. */
int kist_net_sysctl_write(const struct kist_net_sysctl *values, size_t n, struct kist_error *err);
/* The same for the values of one link: names below ipv6/conf/LINK. */
int kist_net_sysctl_write_link6(const char *link, const struct kist_net_sysctl *values, size_t n,
                                struct kist_error *err);
/* The value as a number; negative when it cannot be read. */
int kist_net_sysctl_read(const char *name);

#endif
