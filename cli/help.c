/* Help texts in podman's layout, from the tables. */
#include "cli/command_internal.h"

#include "cli/columns.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

/* Each line of text behind so many blanks. */
static void add_indented(struct kist_str *out, const char *text, size_t indent)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		for (size_t i = 0; n > 0 && i < indent; i++)
			kist_str_addc(out, ' ');
		kist_str_addn(out, text, n);
		kist_str_addc(out, '\n');
		text += n + (text[n] == '\n');
	}
}

char *command_option_default(const struct kist_option *option)
{
	const char *value = option->fallback;

	if (kist_empty(value) || kist_streq(value, "false") || kist_streq(value, "0"))
		return NULL;
	switch (option->type) {
	case KIST_O_STRING:
	case KIST_O_CHOICE:
	case KIST_O_CALLBACK:
		return kist_asprintf("\"%s\"", value);
	default:
		return kist_strdup(value);
	}
}

/* "-e, --env string" */
static char *option_label(const struct kist_option *option)
{
	KIST_STR struct kist_str s = { 0 };
	const char *metavar = kist_option_metavar(option);

	if (option->letter)
		kist_str_addf(&s, "-%c%s", option->letter, option->name ? ", " : "");
	else
		kist_str_add(&s, "    ");
	if (option->name)
		kist_str_addf(&s, "--%s", option->name);
	if (*metavar)
		kist_str_addf(&s, " %s", metavar);
	if (option->implied)
		kist_str_addf(&s, "[=\"%s\"]", option->implied);
	return kist_str_take(&s);
}

static void add_options(struct kist_str *out, const struct kist_option_set *sets)
{
	size_t n, width = 0;
	KIST_FREE const struct kist_option **rows = command_options(sets, &n);

	if (n == 0)
		return;
	kist_str_add(out, "\nOptions:\n");
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *label = option_label(rows[i]);

		if (strlen(label) > width)
			width = strlen(label);
	}
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *label = option_label(rows[i]);
		KIST_FREE char *fallback = command_option_default(rows[i]);
		KIST_STR struct kist_str help = { 0 };

		kist_str_add(&help, rows[i]->help ? rows[i]->help : "");
		if (fallback)
			kist_str_addf(&help, " (default %s)", fallback);
		kist_str_addf(out, "  %-*s   ", (int)width, label);
		/* The first line stands behind the label, the others below it. */
		size_t first = strcspn(kist_str_get(&help), "\n");
		kist_str_addn(out, kist_str_get(&help), first);
		kist_str_addc(out, '\n');
		if (help.len > first)
			add_indented(out, help.data + first + 1, width + 5);
	}
}

static void add_commands(struct kist_str *out, const struct kist_program *program, const char *group)
{
	size_t n, width = 11; /* the least that podman pads to */
	KIST_FREE struct command_entry *entries = command_entries(program, group, &n);

	kist_str_add(out, "\nAvailable Commands:\n");
	for (size_t i = 0; i < n; i++)
		if (strlen(entries[i].name) > width)
			width = strlen(entries[i].name);
	for (size_t i = 0; i < n; i++)
		kist_str_addf(out, "  %-*s %s\n", (int)width, entries[i].name, entries[i].command->summary);
}

void kist_help_program(const struct kist_program *program, struct kist_str *out)
{
	kist_str_addf(out, "%s\n\nUsage:\n  %s [options] [command]\n", program->summary, program->name);
	add_commands(out, program, "");
	add_options(out, program->globals);
	kist_str_addf(out, "\nSee '%s COMMAND --help' for the options of a command.\n", program->name);
}

/* All other names of the command, each with its group. */
static void add_aliases(struct kist_str *out, const struct kist_program *program, const struct kist_command *command)
{
	KIST_STRV char **names = NULL;

	if (command->also_under)
		kist_strv_take(&names, kist_asprintf("%s %s %s", program->name, command->also_under, command->name));
	for (const struct kist_command_alias *a = command->aliases; a && a->name; a++) {
		const char *parent = a->parent ? a->parent : command->parent;

		kist_strv_take(&names, kist_asprintf("%s%s%s %s", program->name, *parent ? " " : "", parent, a->name));
	}
	if (!names)
		return;
	KIST_FREE char *joined = kist_strv_join(names, ", ");
	kist_str_addf(out, "\nAliases:\n  %s\n", joined);
}

void kist_help_command(const struct kist_program *program, const struct kist_command *command, struct kist_str *out)
{
	KIST_FREE char *path = kist_command_path(program, command, ' ');

	kist_str_addf(out, "%s\n\nDescription:\n", command->summary);
	add_indented(out, command->description ? command->description : command->summary, 2);
	kist_str_addf(out, "\nUsage:\n  %s", path);
	if (command->is_group)
		kist_str_add(out, " [command]");
	else if (!kist_empty(command->synopsis))
		kist_str_addf(out, " %s", command->synopsis);
	kist_str_addc(out, '\n');
	add_aliases(out, program, command);
	if (command->is_group)
		add_commands(out, program, command->name);
	if (command->examples && command->examples[0])
		kist_str_add(out, "\nExamples:\n");
	for (const char *const *e = command->examples; e && *e; e++)
		kist_str_addf(out, "  %s %s\n", program->name, *e);
	add_options(out, command->options);
}
