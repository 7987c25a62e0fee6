/* Command-line options from const tables.
 *
 * A row says how an option is spelt, what it takes, where the value goes, and what the help, the completions and
 * the manual page say about it. Spelling is GNU's and podman's: --name value, --name=value, -n value, -nvalue,
 * -n=value, bundles (-itd, -itename), "--" ends the options. Abbreviations are not accepted: a script written
 * today must not break when an option is added.
 *
 * Ownership: STRING and CHOICE store pointers into argv or into the row's default; nothing is copied. LIST and
 * COMMAS store a NULL-terminated array that kist_options_clear frees. */
#ifndef KIST_OPTIONS_H
#define KIST_OPTIONS_H

#include "core/base/base.h"

struct kist_error;
struct kist_option;

enum kist_option_type {
	KIST_O_END = 0,      /* ends a table */
	KIST_O_FLAG,         /* bool; --x, --x=false */
	KIST_O_STRING,       /* const char *; NULL when not given and without a default */
	KIST_O_CHOICE,       /* const char *; one of choices */
	KIST_O_LIST,         /* char **; each occurrence is one item (podman's stringArray) */
	KIST_O_COMMAS,       /* char **; each occurrence is a CSV record: a,b or a,"b,c" (podman's strings) */
	KIST_O_INT,          /* int */
	KIST_O_I64,          /* int64_t */
	KIST_O_U64,          /* uint64_t */
	KIST_O_SIZE,         /* uint64_t bytes; 64m, 1GiB */
	KIST_O_DURATION,     /* int64_t nanoseconds; 1h2m3.5s; a bare number is seconds */
	KIST_O_NANO,         /* int64_t; a decimal number times 10^9, exact: --cpus 1.5 */
	KIST_O_OPT_BOOL,     /* struct kist_opt: knows 'not given' from false */
	KIST_O_OPT_I64,      /* struct kist_opt */
	KIST_O_OPT_U64,      /* struct kist_opt */
	KIST_O_OPT_SIZE,     /* struct kist_opt; "-1" (unlimited) too where KIST_OPTION_UNLIMITED is set */
	KIST_O_OPT_DURATION, /* struct kist_opt */
	KIST_O_OPT_NANO,     /* struct kist_opt */
	KIST_O_CALLBACK,     /* set() takes it; a value is taken when metavar is set */
};

enum kist_option_flags {
	KIST_OPTION_HIDDEN = 1,     /* works, but is in no help, completion or manual page */
	KIST_OPTION_REPEATABLE = 2, /* documents that it may be given several times; LIST and COMMAS always may. A
	                             * single value given twice is not an error: the last one wins, as in podman */
	KIST_OPTION_UNLIMITED = 4,  /* OPT_SIZE: -1 is accepted */
	KIST_OPTION_NONEMPTY = 8,   /* STRING: "" is refused */
};

/* What a shell completes an argument with. Names of the dynamic kinds are asked of 'kist __complete KIND PREFIX'. */
enum kist_complete {
	KIST_COMPLETE_NONE = 0,
	KIST_COMPLETE_FILE,      /* by the shell */
	KIST_COMPLETE_DIRECTORY, /* by the shell */
	KIST_COMPLETE_CONTAINER, /* any container; the kinds from here on are dynamic */
	KIST_COMPLETE_RUNNING,   /* running containers */
	KIST_COMPLETE_PAUSED,
	KIST_COMPLETE_STOPPED, /* containers that may be started */
	KIST_COMPLETE_IMAGE,
	KIST_COMPLETE_VOLUME,
	KIST_COMPLETE_NETWORK,
	KIST_COMPLETE_POD,
	KIST_COMPLETE_SECRET,
	KIST_COMPLETE_COMMAND, /* kist's own subcommands */
};
/* "container", "running", ...; what follows __complete. kind_of: -EINVAL for an unknown name. */
const char *kist_complete_name(enum kist_complete kind);
int kist_complete_of(const char *name, enum kist_complete *out);

struct kist_option {
	const char *name;           /* without dashes; NULL: only the letter */
	const char *const *aliases; /* NULL-terminated further long names, not shown in the help */
	char letter;                /* 0: none */
	enum kist_option_type type;
	size_t offset;        /* of the value in the set's struct */
	const char *metavar;  /* as the help shows it; NULL: the type's own word (string, int, size ...) */
	const char *help;     /* one sentence without a full stop */
	const char *fallback; /* the default in text form, parsed by the same rules and shown in the help */
	const char *implied; /* the value when given without one (--pull as --pull=missing); the value then needs '=' */
	const char *const *choices; /* CHOICE: NULL-terminated; for other types completions only */
	enum kist_complete completes;
	/* CALLBACK. object: the set's struct; value: NULL when none is taken. Returns 0 or a negative errno with err
	 * set; the caller adds the option's name. */
	int (*set)(void *object, const struct kist_option *option, const char *value, struct kist_error *err);
	unsigned flags;
};

/* KIST_OPTION(struct run_options, COMMAS, cap_add, "cap-add", 0, .help = "Add capabilities"): struct, type, member,
 * long name, letter, and what else there is to say. */
#define KIST_OPTION(s, type_, member, name_, letter_, ...)                                                             \
	{                                                                                                              \
		.name = name_, .letter = letter_, .type = KIST_O_##type_, .offset = offsetof(s, member), ##__VA_ARGS__ \
	}

/* One of podman's that kist does not have, refused with the reason: not in the help. */
#define KIST_OPTION_REFUSED(name_, reason)                                                                             \
	{                                                                                                              \
		.name = name_, .type = KIST_O_CALLBACK, .metavar = "value", .implied = "", .help = reason,             \
		.set = kist_option_refuse, .flags = KIST_OPTION_HIDDEN                                                 \
	}
int kist_option_refuse(void *object, const struct kist_option *option, const char *value, struct kist_error *err);

/* Tables chain: a command has an array of sets ended by { 0 }; each set's rows apply to the struct that lies
 * 'offset' bytes into the command's own, so that run and create share rows and the struct behind them. */
struct kist_option_set {
	const struct kist_option *rows; /* ended by a row of type KIST_O_END, that is { 0 } */
	size_t offset;
};

/* How the scan ends. */
enum kist_options_mode {
	KIST_OPTIONS_PERMUTE = 0, /* options may follow positional arguments */
	KIST_OPTIONS_STOP = 1,    /* the first positional argument ends the options: run, exec */
};

struct kist_options_target {
	const struct kist_option_set *sets; /* NULL: none */
	void *object;                       /* the struct that the sets' offsets start from */
};

/* Sets the defaults of one target's rows on a zeroed object. A default that does not parse asserts: it is a defect of
 * the table. */
void kist_options_init(const struct kist_option_set *sets, void *object);
/* Frees LIST and COMMAS values and leaves them NULL. Callbacks free their own. */
void kist_options_clear(const struct kist_option_set *sets, void *object);

/* Parses argv[1..argc-1] against the targets, the first that knows the name wins (a command's own options before the
 * global ones). Returns how many positional arguments there are: they are moved to argv[1..], in order, followed by
 * NULL; argv[argc] must be NULL on entry and the array writable. "--help" and, unless a row takes the letter, "-h"
 * are not rows: they return -ECANCELED with no error set. A mistake: -EINVAL with err set (kind INVALID), e.g.
 * "unknown option '--foo'", "option '--time' needs a value", "option '--time': 'abc' is not a whole number".
 * The objects may then be partly filled and must still be cleared. */
int kist_options_parse(const struct kist_options_target *targets, size_t n_targets, enum kist_options_mode mode,
                       int argc, char **argv, struct kist_error *err);

/* Parses one value into one row, as the command line would: for configuration files and environment variables. */
int kist_option_set_value(const struct kist_option *option, void *object, const char *value, struct kist_error *err);

/* Whether the option takes a value (a FLAG does not, though it accepts =false). */
bool kist_option_takes_value(const struct kist_option *option);
/* The word for the value in the help: metavar or the type's own; "" when no value is taken. */
const char *kist_option_metavar(const struct kist_option *option);
/* Splits one CSV record as COMMAS does; appends to *items. -EINVAL: a stray or missing quote. */
int kist_split_commas(const char *text, char ***items);

#endif
