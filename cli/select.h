/* Filters of containers. */
#ifndef KIST_SELECT_H
#define KIST_SELECT_H

#include "cli/cli.h"

/* Parses --filter; a container that 'before' or 'since' names must exist; networks and pods may be named by
 * their ids, too. */
int kist_container_filters(struct kist_cli *cli, char *const *arguments, struct kist_filters *out,
                           struct kist_error *err);

enum {
	KIST_FILTER_BY_ANCESTOR,
	KIST_FILTER_BY_BEFORE,
	KIST_FILTER_BY_BOOT,
	KIST_FILTER_BY_COMMAND,
	KIST_FILTER_BY_EXITED,
	KIST_FILTER_BY_HEALTH,
	KIST_FILTER_BY_ID,
	KIST_FILTER_BY_LABEL,
	KIST_FILTER_BY_NAME,
	KIST_FILTER_BY_NETWORK,
	KIST_FILTER_BY_POD,
	KIST_FILTER_BY_RESTART,
	KIST_FILTER_BY_SINCE,
	KIST_FILTER_BY_STATUS,
	KIST_FILTER_BY_UNTIL,
	KIST_FILTER_BY_VOLUME,
};

#endif
