/* Subcommands: one row each. Look-up, help, completions and the generated parts of the manual pages run on it.
 *
 * A file in cli/ defines its rows (`const struct kist_command kist_command_stop = { ... }`); the program's table lists
 * them. The dispatcher finds the command, parses its options into a zeroed struct of options_size bytes with the
 * defaults set, checks the number of arguments, calls run, frees the lists, and turns an error into one line and an
 * exit code. */
#ifndef KIST_COMMAND_H
#define KIST_COMMAND_H

#include "core/base/base.h"
#include "cli/options.h"

struct kist_cli; /* the front end's own: it holds the global options and the opened engine */
struct kist_error;
struct kist_str;
struct kist_program;

/* Exit codes of the engine itself, as podman has them. */
enum {
	KIST_EXIT_ENGINE = 125,     /* kist failed, or was called wrongly */
	KIST_EXIT_NO_INVOKE = 126,  /* the container's command cannot be invoked */
	KIST_EXIT_NO_COMMAND = 127, /* the container's command does not exist */
};

/* A further name of a command: "ls" of ps; under another parent when parent is set: { "container", "list" }. */
struct kist_command_alias {
	const char *parent; /* NULL: the command's own parents */
	const char *name;   /* NULL ends the array */
};

struct kist_command {
	const char *name;       /* "inspect" */
	const char *parent;     /* "": kist inspect; "image": kist image inspect */
	const char *also_under; /* reachable there too, same behaviour: "container" for kist container ps */
	const struct kist_command_alias *aliases; /* ended by { 0 } */
	const char *synopsis;                     /* what follows the name: "[options] CONTAINER [CONTAINER...]" */
	const char *summary;                      /* one line without a full stop; shown in lists of commands */
	const char *description;                  /* the help's paragraph; NULL: the summary. '\n' is kept */
	const char *const *examples;              /* NULL-terminated, each without "kist " in front */
	const struct kist_option_set *options;    /* ended by { 0 }; NULL: none */
	size_t options_size;                      /* sizeof the struct that the sets fill */
	int min_args;                             /* positional arguments */
	int max_args;                             /* -1: any number */
	bool stop_at_positional;                  /* the first positional argument ends the options */
	bool hidden;
	bool is_group;                      /* "image", "container": only holds others; run is NULL */
	enum kist_complete completes_first; /* the first positional argument */
	enum kist_complete completes_rest;  /* those after it; ignored with stop_at_positional and max_args 1 */
	unsigned needs;                     /* bits for program->before; the front end gives them their meaning */
	int exit_failure;                   /* in place of the program's; 0: that */

	/* argv[0] is the command's name as written, argv[1..argc-1] the positional arguments, argv[argc] NULL. Returns
	 * the exit code, or a negative errno with err set: it is then printed once and mapped by
	 * kist_command_exit_code. */
	int (*run)(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err);
	/* Optional: checks between options and arguments before anything is opened ('--latest' excludes names).
	 * Returns 0 or -EINVAL with err set; printed as a usage error. argc counts as for run. When set, the
	 * min_args test is left to it (max_args still holds). */
	int (*check)(const void *options, int argc, char **argv, struct kist_error *err);
};

/* A command that users of other engines look for: said in place of "unknown command". */
struct kist_command_missing {
	const char *group; /* "" for the top */
	const char *name;  /* NULL ends the array */
	const char *instead;
};

struct kist_program {
	const char *name;    /* "kist": for messages and help */
	const char *summary; /* "Run containers and pods without a daemon" */
	const char *version;
	const struct kist_command *const *commands; /* NULL-terminated; groups too */
	const struct kist_command_missing *missing; /* NULL: none */
	const struct kist_option_set *globals;      /* fill *cli; accepted before and after the command's name */
	const char *manual_section;                 /* "1"; NULL: "1" */
	/* Called after all options are parsed and the arguments counted, before run. Optional. */
	int (*before)(struct kist_cli *cli, const struct kist_command *command, struct kist_error *err);
	/* Called after run, also when it failed, and after a failed before. Optional. */
	void (*after)(struct kist_cli *cli, const struct kist_command *command);
	/* Appends names of that kind starting with prefix to *names, for the shells. Called after before() with the
	 * built-in __complete row. Optional. Must not fail loudly. */
	void (*complete)(struct kist_cli *cli, enum kist_complete kind, const char *prefix, char ***names);
	unsigned complete_needs; /* 'needs' of the built-in __complete command */
	int exit_failure;        /* the one exit code of every failure of the engine; 0: 125, 126 and 127 as podman */
	/* Prints the error of a command that was run, in place of the line on stderr. Called before after(). Optional.
	 */
	void (*complain)(struct kist_cli *cli, const struct kist_error *err);
};

/* The whole of main: returns the exit code. cli must be zeroed or set up by the caller; the globals' defaults are
 * applied by kist_options_init first. argv must be writable and end in NULL. Output goes to stdout and stderr.
 *
 * Built in, besides the table: help [COMMAND...], --help and -h everywhere, --version and -v at the top,
 * completion bash|zsh|fish, and the hidden __complete KIND PREFIX and __man [COMMAND [FILE]] (see man.h). */
int kist_program_main(const struct kist_program *program, struct kist_cli *cli, int argc, char **argv);

/* Finds the command that words[0] or words[0..1] name; *used is how many words that took. NULL: none; *used is then
 * how many words named a group (0 or 1). A group alone is found as itself. */
const struct kist_command *kist_command_find(const struct kist_program *program, int n_words, char *const *words,
                                             int *used);

/* "kist image inspect" for messages, help and pages. The caller frees. separator: ' ' or '-' (manual pages). */
char *kist_command_path(const struct kist_program *program, const struct kist_command *command, char separator);

/* Whether the command is listed under that group ("" is the top). *name: how it is called there. */
bool kist_command_is_under(const struct kist_command *command, const char *group, const char **name);

/* podman's layout. command NULL: the program's own help. */
void kist_help_program(const struct kist_program *program, struct kist_str *out);
void kist_help_command(const struct kist_program *program, const struct kist_command *command, struct kist_str *out);

/* Scripts for the shells, static but for names of containers, images and such, which they ask of 'kist __complete'.
 * -EINVAL with err set: not a shell we know. */
int kist_completion_script(const struct kist_program *program, const char *shell, struct kist_str *out,
                           struct kist_error *err);

/* 125, or 126 and 127 for the kinds EXEC_ACCESS and EXEC_MISSING. */
int kist_command_exit_code(const struct kist_error *err);
/* Prints "kist: TEXT" to stderr, control characters escaped: for commands that go on to their next argument. */
void kist_complain(const struct kist_program *program, const struct kist_error *err);

#endif
