#include "cli/man.h"

#include "cli/command_internal.h"
#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *section(const struct kist_program *program)
{
	return program->manual_section ? program->manual_section : "1";
}

/* Text for roff: backslashes, and quotes for use in macro arguments. */
static void add_roff(struct kist_str *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\')
			kist_str_add(out, "\\e");
		else if (*text == '"')
			kist_str_add(out, "\\(dq");
		else
			kist_str_addc(out, *text);
	}
}

/* Lines of text: a leading dot or quote would be a request; empty lines are paragraphs. */
static void add_text(struct kist_str *out, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n"), blanks = strspn(text, " \t");
		KIST_FREE char *line = kist_strndup(text + (blanks < n ? blanks : n), n - (blanks < n ? blanks : n));

		if (!*line)
			kist_str_add(out, ".Pp");
		else if (*line == '.' || *line == '\'')
			kist_str_add(out, "\\&");
		add_roff(out, line);
		kist_str_addc(out, '\n');
		text += n + (text[n] == '\n');
	}
}

static bool is_name_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || c == '_';
}

/* "[options] IMAGE [COMMAND [ARG...]]": words in capitals are what the user replaces. */
static void add_synopsis(struct kist_str *out, const char *synopsis)
{
	for (const char *p = synopsis; *p;) {
		size_t n = 0;

		while (is_name_letter(p[n]))
			n++;
		if (n > 1) {
			kist_str_addf(out, "\\fI%.*s\\fP", (int)n, p);
			p += n;
			continue;
		}
		KIST_FREE char *one = kist_strndup(p, n ? n : 1);
		add_roff(out, one);
		p += n ? n : 1;
	}
	kist_str_addc(out, '\n');
}

void kist_man_synopsis(const struct kist_program *program, const struct kist_command *command, struct kist_str *out)
{
	KIST_FREE char *path = kist_command_path(program, command, ' ');
	const char *synopsis = !command            ? "[options] COMMAND [ARG...]"
	                       : command->is_group ? "COMMAND [ARG...]"
	                                           : command->synopsis;

	kist_str_addf(out, ".Sh SYNOPSIS\n.Nm %s\n", path);
	if (!kist_empty(synopsis))
		add_synopsis(out, synopsis);
}

static void add_items(struct kist_str *out, const struct kist_option_set *sets)
{
	size_t n;
	KIST_FREE const struct kist_option **rows = command_options(sets, &n);

	kist_str_add(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < n; i++) {
		const struct kist_option *o = rows[i];
		const char *metavar = kist_option_metavar(o);
		KIST_FREE char *fallback = command_option_default(o);

		kist_str_add(out, ".It");
		if (o->letter)
			kist_str_addf(out, " Fl %c%s", o->letter, o->name ? " ," : "");
		if (o->name)
			kist_str_addf(out, " Fl -%s", o->name);
		if (*metavar) {
			kist_str_addf(out, "%s Ar \"", o->implied ? " Ns Op Ns = Ns" : o->name ? " Ns = Ns" : "");
			add_roff(out, metavar);
			kist_str_addc(out, '"');
		}
		kist_str_addc(out, '\n');
		KIST_STR struct kist_str text = { 0 };
		kist_str_addf(&text, "%s.", o->help ? o->help : "");
		if (fallback)
			kist_str_addf(&text, "\nThe default is %s.", fallback);
		if (o->implied)
			kist_str_addf(&text, "\nWithout a value it is %s.", o->implied);
		if (o->type == KIST_O_LIST || o->type == KIST_O_COMMAS || (o->flags & KIST_OPTION_REPEATABLE))
			kist_str_add(&text, "\nMay be given several times.");
		add_text(out, kist_str_get(&text));
	}
	kist_str_add(out, ".El\n");
}

void kist_man_options(const struct kist_program *program, const struct kist_command *command, struct kist_str *out)
{
	const struct kist_option_set *sets = command ? command->options : program->globals;
	size_t n;
	KIST_FREE const struct kist_option **rows = command_options(sets, &n);

	if (n == 0)
		return;
	kist_str_add(out, ".Sh OPTIONS\n");
	add_items(out, sets);
}

void kist_man_globals(const struct kist_program *program, struct kist_str *out)
{
	size_t n;
	KIST_FREE const struct kist_option **rows = command_options(program->globals, &n);

	if (n > 0)
		add_items(out, program->globals);
}

void kist_man_commands(const struct kist_program *program, const struct kist_command *group, struct kist_str *out)
{
	size_t n;
	KIST_FREE struct command_entry *entries = command_entries(program, group ? group->name : "", &n);

	if (n == 0)
		return;
	kist_str_add(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *page = kist_command_path(program, entries[i].command, '-');
		KIST_FREE char *text = kist_asprintf("%s.", entries[i].command->summary);

		kist_str_addf(out, ".It Cm %s\n", entries[i].name);
		add_text(out, text);
		kist_str_addf(out, "See\n.Xr %s %s .\n", page, section(program));
	}
	kist_str_add(out, ".El\n");
}

void kist_man_pages(const struct kist_program *program, struct kist_str *out)
{
	const struct kist_command *c;

	kist_str_addf(out, "%s\n", program->name);
	for (size_t i = 0; (c = command_at(program, i)); i++) {
		KIST_FREE char *page = kist_command_path(program, c, '-');

		if (!c->hidden)
			kist_str_addf(out, "%s\n", page);
	}
}

int kist_man_fill(const struct kist_program *program, const struct kist_command *command, const char *text,
                  struct kist_str *out, struct kist_error *err)
{
	static const char *const words[] = { "@SYNOPSIS@", "@OPTIONS@", "@COMMANDS@", "@GLOBALS@" };
	bool seen[KIST_COUNT(words)] = { false };

	while (*text) {
		size_t n = strcspn(text, "\n"), w;
		KIST_FREE char *line = kist_strndup(text, n);

		text += n + (text[n] == '\n');
		if (*line != '@' || n < 3 || line[n - 1] != '@') {
			kist_str_addf(out, "%s\n", line);
			continue;
		}
		for (w = 0; w < KIST_COUNT(words) && !kist_streq(words[w], line); w++)
			;
		if (w == KIST_COUNT(words))
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "unknown line %s", line);
		if (seen[w])
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s stands twice", line);
		seen[w] = true;
		if (w == 0)
			kist_man_synopsis(program, command, out);
		else if (w == 1)
			kist_man_options(program, command, out);
		else if (w == 2)
			kist_man_commands(program, command, out);
		else
			kist_man_globals(program, out);
	}
	return 0;
}
