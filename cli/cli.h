/* What the subcommands share: the global options and the opened engine. */
#ifndef KIST_CLI_H
#define KIST_CLI_H

#include "cli/command.h"
#include "cli/filter.h"
#include "core/kist.h"

struct kist_cli {
	/* global options */
	const char *root, *runroot, *config_file, *log_level, *log_format;
	char **set, **imagestore;
	/* opened by before() for commands with KIST_NEEDS_STORE */
	struct kist *k;
	const struct kist_program *program;
	char *const *argv; /* the whole command line as given, for create_command; NULL-terminated */
};

enum {
	KIST_NEEDS_STORE = 1, /* the engine is opened before run() */
};

extern const struct kist_program kist_program;

/* Runs act on each named container (and with latest on the newest, with all on every one, as the caller's options say);
 * complains about each failure and goes on. Returns the exit code: 0, or 125 when any failed. Prints what act leaves in
 * *printed (one line each; NULL: nothing). */
struct kist_cli_targets {
	bool all, latest;
	bool ignore_missing;   /* --ignore */
	char *const *filters;  /* --filter, NULL: none */
	char *const *cidfiles; /* --cidfile, NULL: none */
	unsigned status_mask;  /* with all: only these states (1 << enum kist_status); 0: every one */
	enum {
		KIST_ORDER_CREATED,
		KIST_ORDER_NEEDED_FIRST, /* what others depend on before them: start */
	} order;                         /* with all and filters */
	bool passes_over; /* with all and filters: what another command brought into another state meanwhile */
	/* A name that could not be opened: true, and it is done with; false: err, which it may change, is complained
	 * of. */
	bool (*unopened)(struct kist_cli *cli, void *arg, const char *name, struct kist_error *err);
	bool print_input; /* print what the user wrote rather than the id, as podman does */
};
typedef int (*kist_cli_act)(struct kist_cli *cli, struct kist_container *c, void *arg, struct kist_error *err);
int kist_cli_each(struct kist_cli *cli, const struct kist_cli_targets *targets, int argc, char **argv, kist_cli_act act,
                  void *arg, struct kist_error *err);
/* The same for an act on all of them at once, which tells each of the outcome for every one in the list. */
typedef void (*kist_cli_act_all)(struct kist_container *const *list, size_t n, void *arg, kist_host_fn each,
                                 void *each_arg);
int kist_cli_together(struct kist_cli *cli, const struct kist_cli_targets *targets, int argc, char **argv,
                      kist_cli_act_all act, void *arg, struct kist_error *err);
/* For check(): names, --all and --latest exclude each other, and one of them must be given. */
int kist_cli_check_targets(bool all, bool latest, int argc, struct kist_error *err);

/* A storage container by its name or the beginning of its id: 0, or 1 when there is none. (cli/select.c) */
int cli_storage_find(struct kist_cli *cli, const char *name_or_id, char id[65], struct kist_error *err);

/* Filters of ps, and of the commands that take --filter (cli/select.c). */
struct kist_filter_key;
struct kist_filters;
extern const struct kist_filter_key kist_container_filter_keys[];
/* Whether the container passes. */
bool kist_container_passes(struct kist_cli *cli, const struct kist_filters *filters, struct kist_container *c);

/* What 'exists' answers to r, what opening the object gave: 0; 1 without an error where there is none; else r. */
int kist_cli_exists(int r, struct kist_error *err);

/* Writes to stdout; a closed reader ends the program quietly with 141's meaning left to the shell. 0 or a negative
 * errno with err. */
struct kist_str;
int kist_cli_print(const struct kist_str *text, struct kist_error *err);
/* Pretty JSON and a newline. */
int kist_cli_print_json(struct json_object *json, struct kist_error *err);

#endif
