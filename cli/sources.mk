cli-sources := \
	cli/columns.c \
	cli/format.c \
	cli/options.c \
	cli/template.c \
	cli/template_eval.c \
	cli/template_functions.c \
	cli/template_parse.c \
	cli/template_print.c
