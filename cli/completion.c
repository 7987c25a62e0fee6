/* Completion scripts: static tables of commands and options, and one call of 'kist __complete KIND PREFIX' where names
 * of containers, images and such are wanted. Names are read line by line and never expanded by the shell. */
#include "cli/command_internal.h"

#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* All paths of a command: "/run", "/container/run", aliases too. */
static char **command_paths(const struct kist_command *command)
{
	const char *parents[2] = { command->parent, command->also_under };
	char **paths = NULL;

	for (size_t i = 0; i < KIST_COUNT(parents); i++) {
		const char *slash = kist_empty(parents[i]) ? "" : "/";

		if (!parents[i])
			continue;
		kist_strv_take(&paths, kist_asprintf("%s%s/%s", slash, parents[i], command->name));
		for (const struct kist_command_alias *a = command->aliases; a && a->name; a++)
			if (!a->parent)
				kist_strv_take(&paths, kist_asprintf("%s%s/%s", slash, parents[i], a->name));
	}
	for (const struct kist_command_alias *a = command->aliases; a && a->name; a++)
		if (a->parent)
			kist_strv_take(&paths, kist_asprintf("%s%s/%s", *a->parent ? "/" : "", a->parent, a->name));
	return paths;
}

/* Words that may follow a group, aliases too. */
static void add_words(struct kist_str *out, const struct kist_program *program, const char *group)
{
	KIST_FREE char *prefix = kist_asprintf("%s%s/", *group ? "/" : "", group);
	const struct kist_command *c;
	bool first = true;

	for (size_t i = 0; (c = command_at(program, i)); i++) {
		KIST_STRV char **paths = c->hidden ? NULL : command_paths(c);

		for (size_t k = 0; paths && paths[k]; k++) {
			if (!kist_has_prefix(paths[k], prefix) || strchr(paths[k] + strlen(prefix), '/'))
				continue;
			kist_str_addf(out, "%s%s", first ? "" : " ", paths[k] + strlen(prefix));
			first = false;
		}
	}
}

static void add_spellings(struct kist_str *out, const struct kist_option *o)
{
	if (o->name)
		kist_str_addf(out, " --%s", o->name);
	for (const char *const *a = o->aliases; a && *a; a++)
		kist_str_addf(out, " --%s", *a);
	if (o->letter)
		kist_str_addf(out, " -%c", o->letter);
}

/* What completes the option's value: a kind, "choice:a b c", or "". The caller frees. */
static char *option_kind(const struct kist_option *o)
{
	KIST_FREE char *choices = o->choices ? kist_strv_join((char *const *)o->choices, " ") : NULL;

	if (choices)
		return kist_asprintf("choice:%s", choices);
	return kist_strdup(o->completes == KIST_COMPLETE_NONE ? "" : kist_complete_name(o->completes));
}

/* --- bash and zsh ---------------------------------------------------------------------------------------------------
 */

static void add_case(struct kist_str *out, const struct kist_program *program, const struct kist_command *command,
                     const struct kist_option_set *sets)
{
	size_t n;
	KIST_FREE const struct kist_option **rows = command_options(sets, &n);

	kist_str_add(out, "\t\toptions=\"--help");
	for (size_t i = 0; i < n; i++)
		add_spellings(out, rows[i]);
	kist_str_add(out, "\" valued=\"");
	for (size_t i = 0; i < n; i++)
		if (kist_option_takes_value(rows[i]) && !rows[i]->implied)
			add_spellings(out, rows[i]);
	kist_str_add(out, "\" words=\"");
	if (!command || command->is_group)
		add_words(out, program, command ? command->name : "");
	kist_str_addf(out, "\" first=%s rest=%s stop=%d\n",
	              command && command->completes_first ? kist_complete_name(command->completes_first) : "",
	              command && command->completes_rest ? kist_complete_name(command->completes_rest) : "",
	              command && command->stop_at_positional);
}

static void add_value_cases(struct kist_str *out, const struct kist_option_set *sets, char *const *paths)
{
	size_t n;
	KIST_FREE const struct kist_option **rows = command_options(sets, &n);

	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *kind = option_kind(rows[i]);
		KIST_STR struct kist_str names = { 0 };
		KIST_STRV char **spelt = NULL;
		const char *separator = "\t";

		if (!*kind)
			continue;
		add_spellings(&names, rows[i]);
		spelt = kist_strv_split(names.data + 1, ' ');
		for (size_t p = 0; p < (paths ? kist_strv_len(paths) : 1); p++)
			for (size_t s = 0; spelt[s]; s++) {
				kist_str_addf(out, "%s\"%s %s\"", separator, paths ? paths[p] : "", spelt[s]);
				separator = " | ";
			}
		kist_str_addf(out, ") kind=\"%s\" ;;\n", kind);
	}
}

static const char bash_functions[] =
        "_@_reply() {\n"
        "\tlocal word\n"
        "\tcase $1 in\n"
        "\t'') ;;\n"
        "\tfile | directory)\n"
        "\t\tlocal how=-f\n"
        "\t\t[[ $1 == directory ]] && how=-d\n"
        "\t\twhile IFS= read -r word; do COMPREPLY+=(\"$lead$word\"); done < <(compgen $how -- \"$cur\")\n"
        "\t\tcompopt -o filenames 2>/dev/null ;;\n"
        "\tchoice:*)\n"
        "\t\tfor word in ${1#choice:}; do [[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$lead$word\"); done ;;\n"
        "\t*)\n"
        "\t\twhile IFS= read -r word; do\n"
        "\t\t\t[[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$lead$word\")\n"
        "\t\tdone < <(@ __complete \"$1\" -- \"$cur\" 2>/dev/null) ;;\n"
        "\tesac\n"
        "\treturn 0\n"
        "}\n"
        "_@() {\n"
        "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev='' lead='' path='' word='' kind='' count=0 i\n"
        "\tlocal options='' valued='' words='' first='' rest='' stop=0\n"
        "\tCOMPREPLY=()\n"
        "\t_@_describe ''\n"
        "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
        "\t\tword=${COMP_WORDS[i]}\n"
        "\t\tif [[ $word == -* ]]; then\n"
        "\t\t\tif [[ ${COMP_WORDS[i + 1]} == '=' ]]; then ((i += 2))\n"
        "\t\t\telif [[ \" $valued \" == *\" $word \"* ]]; then ((i += 1)); fi\n"
        "\t\telif [[ $count == 0 && \" $words \" == *\" $word \"* ]]; then\n"
        "\t\t\tpath=$path/$word\n"
        "\t\t\t_@_describe \"$path\"\n"
        "\t\telse\n"
        "\t\t\t((count += 1))\n"
        "\t\t\t[[ $stop == 1 ]] && { compopt -o default 2>/dev/null; return 0; }\n"
        "\t\tfi\n"
        "\tdone\n"
        "\tprev=${COMP_WORDS[COMP_CWORD - 1]}\n"
        "\tif [[ $cur == '=' ]]; then cur=''\n"
        "\telif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
        "\telif [[ $cur == --*=* ]]; then prev=${cur%%=*} lead=${cur%%=*}= cur=${cur#*=}; fi\n"
        "\tif [[ $prev == -* && \" $valued \" == *\" $prev \"* ]]; then\n"
        "\t\t_@_value \"$path\" \"$prev\"\n"
        "\t\t_@_reply \"$kind\"\n"
        "\telif [[ $cur == -* ]]; then\n"
        "\t\t_@_reply \"choice:$options\"\n"
        "\telif [[ -n $words ]]; then\n"
        "\t\t_@_reply \"choice:$words\"\n"
        "\telif [[ $count == 0 ]]; then\n"
        "\t\t_@_reply \"$first\"\n"
        "\telse\n"
        "\t\t_@_reply \"$rest\"\n"
        "\tfi\n"
        "}\n"
        "complete -F _@ @\n";

/* '@' is the program's name. */
static void add_for_program(struct kist_str *out, const char *text, const char *name)
{
	/* A name such as kist-oci is fine in a function's name, in bash and in zsh. */
	for (; *text; text++) {
		/* COMP_WORDS[@] and the like do not occur in the scripts. */
		if (*text == '@')
			kist_str_add(out, name);
		else
			kist_str_addc(out, *text);
	}
}

static void add_bash(struct kist_str *out, const struct kist_program *program)
{
	const struct kist_command *c;

	kist_str_addf(out, "_%s_describe() {\n\tcase $1 in\n\t'')\n", program->name);
	add_case(out, program, NULL, program->globals);
	kist_str_add(out, "\t\t;;\n");
	for (size_t i = 0; (c = command_at(program, i)); i++) {
		KIST_STRV char **paths = c->hidden ? NULL : command_paths(c);
		KIST_FREE char *pattern = paths ? kist_strv_join(paths, " | ") : NULL;

		if (!pattern)
			continue;
		kist_str_addf(out, "\t%s)\n", pattern);
		add_case(out, program, c, c->options);
		kist_str_add(out, "\t\t;;\n");
	}
	kist_str_addf(out, "\tesac\n}\n_%s_value() {\n\tcase \"$1 $2\" in\n", program->name);
	add_value_cases(out, program->globals, NULL);
	for (size_t i = 0; (c = command_at(program, i)); i++) {
		KIST_STRV char **paths = c->hidden ? NULL : command_paths(c);

		if (paths)
			add_value_cases(out, c->options, paths);
	}
	kist_str_add(out, "\t*) kind='' ;;\n\tesac\n}\n");
	add_for_program(out, bash_functions, program->name);
}

/* --- fish
 * ------------------------------------------------------------------------------------------------------------- */

/* Inside single quotes. */
static void add_fish_quoted(struct kist_str *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			kist_str_addc(out, '\\');
		kist_str_addc(out, *text == '\n' ? ' ' : *text);
	}
}

/* The arguments of 'complete' for what a kind stands for. */
static void add_fish_kind(struct kist_str *out, const struct kist_program *program, const char *kind)
{
	if (kist_streq(kind, "file"))
		kist_str_add(out, " -F");
	else if (kist_streq(kind, "directory"))
		kist_str_add(out, " -f -a '(__fish_complete_directories (commandline -ct))'");
	else if (kist_has_prefix(kind, "choice:"))
		kist_str_addf(out, " -f -a '%s'", kind + 7);
	else if (*kind)
		kist_str_addf(out, " -f -a '(%s __complete %s -- (commandline -ct) 2>/dev/null)'", program->name, kind);
	else
		kist_str_add(out, " -f");
}

static void add_fish_options(struct kist_str *out, const struct kist_program *program,
                             const struct kist_option_set *sets, const char *condition)
{
	size_t n;
	KIST_FREE const struct kist_option **rows = command_options(sets, &n);

	for (size_t i = 0; i < n; i++) {
		const struct kist_option *o = rows[i];
		KIST_FREE char *kind = option_kind(o);

		kist_str_addf(out, "complete -c %s -n '%s'", program->name, condition);
		if (o->name)
			kist_str_addf(out, " -l %s", o->name);
		if (o->letter)
			kist_str_addf(out, " -s %c", o->letter);
		if (kist_option_takes_value(o)) {
			kist_str_add(out, o->implied ? "" : " -r");
			add_fish_kind(out, program, kind);
		}
		kist_str_add(out, " -d '");
		add_fish_quoted(out, o->help ? o->help : "");
		kist_str_add(out, "'\n");
	}
}

static void add_fish_commands(struct kist_str *out, const struct kist_program *program, const char *group,
                              const char *condition)
{
	size_t n;
	KIST_FREE struct command_entry *entries = command_entries(program, group, &n);

	for (size_t i = 0; i < n; i++) {
		kist_str_addf(out, "complete -c %s -n '%s' -f -a %s -d '", program->name, condition, entries[i].name);
		add_fish_quoted(out, entries[i].command->summary);
		kist_str_add(out, "'\n");
	}
}

static const char fish_functions[] = "function __@_path\n"
                                     "\tset -l path ''\n"
                                     "\tset -l count 0\n"
                                     "\tset -l known PATHS\n"
                                     "\tfor word in (commandline -opc)[2..-1]\n"
                                     "\t\tif string match -q -- '-*' $word\n"
                                     "\t\t\tcontinue\n"
                                     "\t\tend\n"
                                     "\t\tif test $count -eq 0; and contains -- \"$path/$word\" $known\n"
                                     "\t\t\tset path \"$path/$word\"\n"
                                     "\t\telse\n"
                                     "\t\t\tset count (math $count + 1)\n"
                                     "\t\tend\n"
                                     "\tend\n"
                                     "\techo \"$path\"\n"
                                     "\techo $count\n"
                                     "end\n"
                                     "function __@_at\n"
                                     "\tset -l here (__@_path)\n"
                                     "\tcontains -- \"$here[1]\" $argv\n"
                                     "end\n"
                                     "function __@_first\n"
                                     "\tset -l here (__@_path)\n"
                                     "\ttest \"$here[2]\" = 0\n"
                                     "end\n";

static void add_fish_command(struct kist_str *out, const struct kist_program *program,
                             const struct kist_command *command)
{
	KIST_STRV char **paths = command_paths(command);
	KIST_FREE char *list = kist_strv_join(paths, " ");
	KIST_FREE char *condition = kist_asprintf("__%s_at %s", program->name, list);

	add_fish_options(out, program, command->options, condition);
	if (command->is_group)
		add_fish_commands(out, program, command->name, condition);
	if (command->completes_first) {
		kist_str_addf(out, "complete -c %s -n '%s; and __%s_first'", program->name, condition, program->name);
		add_fish_kind(out, program, kist_complete_name(command->completes_first));
		kist_str_addc(out, '\n');
	}
	if (command->completes_rest) {
		kist_str_addf(out, "complete -c %s -n '%s; and not __%s_first'", program->name, condition,
		              program->name);
		add_fish_kind(out, program, kist_complete_name(command->completes_rest));
		kist_str_addc(out, '\n');
	}
}

static void add_fish(struct kist_str *out, const struct kist_program *program)
{
	KIST_FREE char *top = kist_asprintf("__%s_at \"\"", program->name);
	KIST_STR struct kist_str known = { 0 };
	const struct kist_command *c;
	const char *mark = strstr(fish_functions, "PATHS");
	KIST_FREE char *head = kist_strndup(fish_functions, (size_t)(mark - fish_functions));

	for (size_t i = 0; (c = command_at(program, i)); i++) {
		KIST_STRV char **paths = c->hidden ? NULL : command_paths(c);

		for (size_t k = 0; paths && paths[k]; k++)
			kist_str_addf(&known, "%s%s", known.len ? " " : "", paths[k]);
	}
	add_for_program(out, head, program->name);
	kist_str_add(out, kist_str_get(&known));
	add_for_program(out, mark + 5, program->name);
	kist_str_addf(out, "complete -c %s -f\ncomplete -c %s -l help -d 'Help for the command'\n", program->name,
	              program->name);
	add_fish_commands(out, program, "", top);
	add_fish_options(out, program, program->globals, top);
	for (size_t i = 0; (c = command_at(program, i)); i++)
		if (!c->hidden)
			add_fish_command(out, program, c);
}

int kist_completion_script(const struct kist_program *program, const char *shell, struct kist_str *out,
                           struct kist_error *err)
{
	bool zsh = kist_streq(shell, "zsh");

	if (kist_streq(shell, "fish")) {
		kist_str_addf(out, "# fish completion for %s, printed by '%s completion fish'\n", program->name,
		              program->name);
		add_fish(out, program);
		return 0;
	}
	if (!zsh && !kist_streq(shell, "bash"))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "no completion for the shell '%s'; there is one for bash, zsh and fish", shell);
	if (zsh)
		kist_str_addf(out, "#compdef %s\n", program->name);
	kist_str_addf(out, "# %s completion for %s, printed by '%s completion %s'\n", shell, program->name,
	              program->name, shell);
	/* zsh runs the functions of bash, with bash's arrays, through its own bashcompinit. */
	if (zsh)
		kist_str_add(out, "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n");
	add_bash(out, program);
	return 0;
}
