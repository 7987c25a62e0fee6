#include "cli/command_internal.h"
#include "cli/nearest.h"

#include "cli/columns.h"
#include "cli/man.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- built-in rows ------------------------------------------------------------------------------------------------ */

struct man_options {
	const char *page;
};
static const struct kist_option man_rows[] = {
	KIST_OPTION(struct man_options, STRING, page, "page", 0, .help = "The page to fill in",
	            .completes = KIST_COMPLETE_FILE),
	{ 0 },
};
static const struct kist_option_set man_sets[] = { { man_rows, 0 }, { 0 } };

static const struct kist_command command_help = {
	.name = "help",
	.parent = "",
	.synopsis = "[COMMAND [COMMAND]]",
	.summary = "Help about a command",
	.max_args = 2,
	.completes_first = KIST_COMPLETE_COMMAND,
};
static const struct kist_command command_completion = {
	.name = "completion",
	.parent = "",
	.synopsis = "bash|zsh|fish",
	.summary = "Print a completion script for a shell",
	.description = "Prints a script that completes commands, options, and names of containers, images and volumes.",
	.examples = (const char *const[]){ "completion bash > /etc/bash_completion.d/kist", NULL },
	.min_args = 1,
	.max_args = 1,
};
static const struct kist_command command_complete = {
	.name = "__complete",
	.parent = "",
	.synopsis = "KIND [PREFIX]",
	.summary = "Names for the shells",
	.min_args = 1,
	.max_args = 2,
	.hidden = true,
};
static const struct kist_command command_man = {
	.name = "__man",
	.parent = "",
	.synopsis = "[options] [COMMAND [COMMAND]]",
	.summary = "Sections of manual pages",
	.options = man_sets,
	.options_size = sizeof(struct man_options),
	.max_args = 2,
	.hidden = true,
};
const struct kist_command *const command_builtins[] = { &command_help, &command_completion, &command_complete,
	                                                &command_man, NULL };

/* --- look-up ------------------------------------------------------------------------------------------------------ */

const struct kist_command *command_at(const struct kist_program *program, size_t at)
{
	size_t n = 0;

	while (program->commands[n])
		n++;
	return at < n ? program->commands[at] : command_builtins[at - n];
}

static bool lives_under(const struct kist_command *command, const char *group)
{
	return kist_streq(command->parent, group) || kist_streq(command->also_under, group);
}

bool kist_command_is_under(const struct kist_command *command, const char *group, const char **name)
{
	if (lives_under(command, group)) {
		*name = command->name;
		return true;
	}
	for (const struct kist_command_alias *a = command->aliases; a && a->name; a++)
		if (a->parent && kist_streq(a->parent, group)) {
			*name = a->name;
			return true;
		}
	return false;
}

static bool answers_to(const struct kist_command *command, const char *group, const char *word)
{
	if (lives_under(command, group) && kist_streq(command->name, word))
		return true;
	for (const struct kist_command_alias *a = command->aliases; a && a->name; a++)
		if (kist_streq(a->name, word) &&
		    (a->parent ? kist_streq(a->parent, group) : lives_under(command, group)))
			return true;
	return false;
}

static const struct kist_command *find_under(const struct kist_program *program, const char *group, const char *word)
{
	const struct kist_command *c;

	for (size_t i = 0; (c = command_at(program, i)); i++)
		if (answers_to(c, group, word))
			return c;
	return NULL;
}

const struct kist_command *kist_command_find(const struct kist_program *program, int n_words, char *const *words,
                                             int *used)
{
	const struct kist_command *first, *second;

	*used = 0;
	if (n_words < 1)
		return NULL;
	first = find_under(program, "", words[0]);
	if (!first)
		return NULL;
	*used = 1;
	if (!first->is_group || n_words < 2 || words[1][0] == '-')
		return first;
	second = find_under(program, first->name, words[1]);
	if (second)
		*used = 2;
	return second;
}

char *kist_command_path(const struct kist_program *program, const struct kist_command *command, char separator)
{
	if (!command)
		return kist_strdup(program->name);
	if (kist_empty(command->parent))
		return kist_asprintf("%s%c%s", program->name, separator, command->name);
	return kist_asprintf("%s%c%s%c%s", program->name, separator, command->parent, separator, command->name);
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct command_entry *)a)->name, ((const struct command_entry *)b)->name);
}

struct command_entry *command_entries(const struct kist_program *program, const char *group, size_t *n)
{
	struct command_entry *entries = NULL;
	const struct kist_command *c;
	const char *name;

	*n = 0;
	for (size_t i = 0; (c = command_at(program, i)); i++) {
		if (c->hidden || !kist_command_is_under(c, group, &name))
			continue;
		entries = kist_grow(entries, *n + 1, sizeof(*entries));
		entries[(*n)++] = (struct command_entry){ .command = c, .name = name };
	}
	if (entries)
		qsort(entries, *n, sizeof(*entries), compare_entries);
	return entries;
}

static int compare_options(const void *a, const void *b)
{
	const struct kist_option *x = *(const struct kist_option *const *)a, *y = *(const struct kist_option *const *)b;
	char letter_x[2] = { x->letter, 0 }, letter_y[2] = { y->letter, 0 };

	return strcmp(x->name ? x->name : letter_x, y->name ? y->name : letter_y);
}

const struct kist_option **command_options(const struct kist_option_set *sets, size_t *n)
{
	const struct kist_option **rows = NULL;

	*n = 0;
	for (; sets && sets->rows; sets++)
		for (const struct kist_option *o = sets->rows; o->type != KIST_O_END; o++) {
			if (o->flags & KIST_OPTION_HIDDEN)
				continue;
			rows = kist_grow(rows, *n + 1, sizeof(*rows));
			rows[(*n)++] = o;
		}
	if (rows)
		qsort(rows, *n, sizeof(*rows), compare_options);
	return rows;
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

int kist_command_exit_code(const struct kist_error *err)
{
	switch (err->kind) {
	case KIST_ERR_EXEC_ACCESS:
		return KIST_EXIT_NO_INVOKE;
	case KIST_ERR_EXEC_MISSING:
		return KIST_EXIT_NO_COMMAND;
	default:
		return KIST_EXIT_ENGINE;
	}
}

void kist_complain(const struct kist_program *program, const struct kist_error *err)
{
	KIST_FREE char *text = kist_escape(err->text);

	fprintf(stderr, "%s: %s\n", program->name, text);
}

/* The command line is wrong: where, what, and where to read on. path: "kist run". */
static int complain_usage(const struct kist_program *program, const char *path, const struct kist_error *err)
{
	const char *below = path + strlen(program->name);
	KIST_FREE char *text = kist_escape(err->text);

	fprintf(stderr, "%s:%s%s %s\nSee '%s --help'\n", program->name, below, *below ? ":" : "", text, path);
	return program->exit_failure ? program->exit_failure : KIST_EXIT_ENGINE;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static int print_and_free(struct kist_str *text)
{
	bool failed = fwrite(kist_str_get(text), 1, text->len, stdout) != text->len || fflush(stdout) != 0;

	if (failed)
		fprintf(stderr, "kist: write output: %s\n", strerror(errno));
	kist_str_free(text);
	return failed ? KIST_EXIT_ENGINE : 0;
}

static int show_help(const struct kist_program *program, const struct kist_command *command)
{
	struct kist_str text = { 0 };

	if (command)
		kist_help_command(program, command, &text);
	else
		kist_help_program(program, &text);
	return print_and_free(&text);
}

/* One entry that words name whole; NULL with err set otherwise. The program's own name, or no words: *whole. */
/* group: "" for the program itself. */
static int fail_unknown(const struct kist_program *program, const char *group, const char *word, struct kist_error *err)
{
	struct kist_nearest nearest = { .word = word };

	for (const struct kist_command_missing *m = program->missing; m && m->name; m++)
		if (kist_streq(m->group, group) && kist_streq(m->name, word))
			return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "there is no command '%s': %s", word,
			                 m->instead);
	for (size_t i = 0; program->commands[i]; i++) {
		const char *name = NULL;
		if (kist_command_is_under(program->commands[i], group, &name))
			kist_nearest_offer(&nearest, name);
	}
	kist_fail(err, KIST_ERR_INVALID, EINVAL, "unknown command '%s'", word);
	return nearest.best ? kist_remedy(err, "did you mean '%s'?", nearest.best) : -EINVAL;
}

static const struct kist_command *find_exactly(const struct kist_program *program, int n, char **words, bool *whole,
                                               struct kist_error *err)
{
	const struct kist_command *command;
	int used;

	*whole = n == 0 || (n == 1 && kist_streq(words[0], program->name));
	if (*whole)
		return NULL;
	command = kist_command_find(program, n, words, &used);
	if (command && used == n)
		return command;
	fail_unknown(program, used ? words[0] : "", words[used < n ? used : n - 1], err);
	return NULL;
}

static int run_help(const struct kist_program *program, int argc, char **argv, struct kist_error *err)
{
	bool whole;
	const struct kist_command *command = find_exactly(program, argc - 1, argv + 1, &whole, err);

	return command || whole ? show_help(program, command) : -EINVAL;
}

static int run_completion(const struct kist_program *program, char **argv, struct kist_error *err)
{
	struct kist_str text = { 0 };
	int r = kist_completion_script(program, argv[1], &text, err);

	if (r < 0) {
		kist_str_free(&text);
		return r;
	}
	return print_and_free(&text);
}

/* An unknown kind and a failing engine print nothing: a shell that completes must not be disturbed. */
static int run_complete(const struct kist_program *program, struct kist_cli *cli, int argc, char **argv)
{
	const char *prefix = argc > 2 ? argv[2] : "";
	KIST_STRV char **names = NULL;
	KIST_FREE struct command_entry *entries = NULL;
	enum kist_complete kind;
	size_t n;

	if (kist_complete_of(argv[1], &kind) < 0)
		return 0;
	if (kind == KIST_COMPLETE_COMMAND) {
		entries = command_entries(program, "", &n);
		for (size_t i = 0; i < n; i++)
			kist_strv_add(&names, entries[i].name);
	} else if (kind >= KIST_COMPLETE_CONTAINER && program->complete) {
		program->complete(cli, kind, prefix, &names);
	}
	for (size_t i = 0; names && names[i]; i++)
		if (kist_has_prefix(names[i], prefix) && kist_is_printable(names[i]))
			puts(names[i]);
	return 0;
}

static int run_man(const struct kist_program *program, const struct man_options *options, int argc, char **argv,
                   struct kist_error *err)
{
	bool whole;
	const struct kist_command *command = find_exactly(program, argc - 1, argv + 1, &whole, err);
	KIST_STR struct kist_str page = { 0 };
	struct kist_str text = { 0 };
	int r;

	if (!command && !whole)
		return -EINVAL;
	if (options->page) {
		r = kist_read_file(AT_FDCWD, options->page, 1 << 20, &page);
		if (r < 0)
			return kist_fail_errno(err, -r, "read %s", options->page);
		r = kist_man_fill(program, command, kist_str_get(&page), &text, err);
		if (r < 0) {
			kist_str_free(&text);
			return kist_context(err, "%s", options->page);
		}
	} else if (argc == 1) {
		kist_man_pages(program, &text);
	} else {
		kist_man_synopsis(program, command, &text);
		kist_man_options(program, command, &text);
	}
	return print_and_free(&text);
}

static int run_row(const struct kist_program *program, struct kist_cli *cli, const struct kist_command *command,
                   void *options, int argc, char **argv, struct kist_error *err)
{
	if (command == &command_help)
		return run_help(program, argc, argv, err);
	if (command == &command_completion)
		return run_completion(program, argv, err);
	if (command == &command_complete)
		return run_complete(program, cli, argc, argv);
	if (command == &command_man)
		return run_man(program, options, argc, argv, err);
	return command->run(cli, options, argc, argv, err);
}

/* n: positional arguments. */
static int check_count(const struct kist_command *command, const void *options, int n, char **argv,
                       struct kist_error *err)
{
	if (command->max_args == 0 && n > 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "takes no arguments, but was given '%s'", argv[1]);
	if (command->max_args > 0 && n > command->max_args)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "takes at most %d argument%s, but was given %d",
		                 command->max_args, command->max_args == 1 ? "" : "s", n);
	if (command->check)
		return command->check(options, n + 1, argv, err);
	if (n < command->min_args)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "needs at least %d argument%s, but was given %d",
		                 command->min_args, command->min_args == 1 ? "" : "s", n);
	return 0;
}

/* Options parsed and checked: opens, runs, closes. */
static int run_checked(const struct kist_program *program, struct kist_cli *cli, const struct kist_command *command,
                       void *options, int n, char **argv)
{
	/* The engine is opened for __complete with the needs that the program gives it. */
	struct kist_command completer = *command;
	const struct kist_command *shown = command;
	struct kist_error err = { 0 };
	int r = 0;

	if (command == &command_complete) {
		completer.needs = program->complete_needs;
		shown = &completer;
	}
	if (program->before)
		r = program->before(cli, shown, &err);
	if (r < 0 && command == &command_complete) {
		kist_error_clear(&err);
		r = 0;
	} else if (r >= 0) {
		r = run_row(program, cli, command, options, n + 1, argv, &err);
	}
	if (r < 0 && kist_error_is_set(&err) && program->complain)
		program->complain(cli, &err);
	if (program->after)
		program->after(cli, shown);
	if (r >= 0)
		return r;
	if (kist_error_is_set(&err) && !program->complain)
		kist_complain(program, &err);
	if (command->exit_failure)
		return command->exit_failure;
	return program->exit_failure ? program->exit_failure : kist_command_exit_code(&err);
}

static int run_command(const struct kist_program *program, struct kist_cli *cli, const struct kist_command *command,
                       int argc, char **argv)
{
	KIST_FREE char *path = kist_command_path(program, command, ' ');
	KIST_FREE void *options = kist_alloc(command->options_size + 1);
	struct kist_options_target targets[] = { { command->options, options }, { program->globals, cli } };
	enum kist_options_mode mode = command->stop_at_positional ? KIST_OPTIONS_STOP : KIST_OPTIONS_PERMUTE;
	struct kist_error err = { 0 };
	int n, r;

	kist_options_init(command->options, options);
	n = kist_options_parse(targets, KIST_COUNT(targets), mode, argc, argv, &err);
	if (n == -ECANCELED) {
		r = show_help(program, command);
	} else if (n < 0) {
		r = complain_usage(program, path, &err);
	} else if (command->is_group) {
		kist_fail(&err, KIST_ERR_INVALID, EINVAL, "a command is missing");
		r = complain_usage(program, path, &err);
	} else if (check_count(command, options, n, argv, &err) < 0) {
		r = complain_usage(program, path, &err);
	} else {
		r = run_checked(program, cli, command, options, n, argv);
	}
	kist_options_clear(command->options, options);
	return r;
}

/* The words in front of the command: global options. */
static int run_words(const struct kist_program *program, struct kist_cli *cli, int argc, char **argv)
{
	struct {
		bool version;
	} own = { 0 };
	static const struct kist_option own_rows[] = { { .name = "version", .letter = 'v', .type = KIST_O_FLAG },
		                                       { 0 } };
	static const struct kist_option_set own_sets[] = { { own_rows, 0 }, { 0 } };
	struct kist_options_target targets[] = { { program->globals, cli }, { own_sets, &own } };
	struct kist_error err = { 0 };
	const struct kist_command *command;
	KIST_FREE char *group = NULL;
	int used, n;

	n = kist_options_parse(targets, KIST_COUNT(targets), KIST_OPTIONS_STOP, argc, argv, &err);
	if (n == -ECANCELED)
		return show_help(program, NULL);
	if (n < 0)
		return complain_usage(program, program->name, &err);
	if (own.version) {
		printf("%s version %s\n", program->name, program->version);
		return fflush(stdout) ? KIST_EXIT_ENGINE : 0;
	}
	command = kist_command_find(program, n, argv + 1, &used);
	if (command)
		return run_command(program, cli, command, n + 1 - used, argv + used);
	if (n == 0)
		kist_fail(&err, KIST_ERR_INVALID, EINVAL, "a command is missing");
	else
		fail_unknown(program, used ? argv[1] : "", argv[1 + used], &err);
	group = used ? kist_asprintf("%s %s", program->name, argv[1]) : kist_strdup(program->name);
	return complain_usage(program, group, &err);
}

int kist_program_main(const struct kist_program *program, struct kist_cli *cli, int argc, char **argv)
{
	int code;

	kist_options_init(program->globals, cli);
	code = run_words(program, cli, argc, argv);
	kist_options_clear(program->globals, cli);
	return code;
}
