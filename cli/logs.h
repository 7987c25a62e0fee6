/* Showing logs, of containers and of pods. */
#ifndef KIST_LOGS_H
#define KIST_LOGS_H

#include "cli/cli.h"

struct logs_options {
	bool color, follow, latest, names, timestamps;
	const char *since, *until;
	int64_t tail;
};
extern const struct kist_option kist_logs_rows[];

/* The value of an option that is a point in time; NULL: left as it is. */
int cli_parse_time(const char *option, const char *text, int64_t *out, struct kist_error *err);
/* For check(): the times. */
int kist_logs_check(const struct logs_options *o, struct kist_error *err);
/* Prints the logs of these containers; with several each line begins with its container. The exit code, or a negative
 * errno. */
int kist_logs_print(struct kist_cli *cli, struct kist_container **list, size_t n, const struct logs_options *o,
                    struct kist_error *err);

#endif
