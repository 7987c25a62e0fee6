cli-sources := \
	cli/columns.c \
	cli/command.c \
	cli/completion.c \
	cli/filter.c \
	cli/format.c \
	cli/help.c \
	cli/man.c \
	cli/options.c \
	cli/template.c \
	cli/template_eval.c \
	cli/template_functions.c \
	cli/template_parse.c \
	cli/template_print.c
