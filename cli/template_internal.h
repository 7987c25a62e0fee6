/* What the parser of templates, the evaluator and the functions share; nobody else includes it. */
#ifndef KIST_TEMPLATE_INTERNAL_H
#define KIST_TEMPLATE_INTERNAL_H

#include "cli/template.h"

struct json_object;
struct kist_error;
struct kist_str;

enum {
	TEMPLATE_MAX_TEXT = 1 << 20,
	TEMPLATE_MAX_DEPTH = 100,
	TEMPLATE_MAX_OUTPUT = 64 << 20,
	TEMPLATE_MAX_STEPS = 10000000,
	TEMPLATE_MAX_WIDTH = 1000000, /* of printf, as in Go */
};

/* A value: null and missing are both j == NULL. Owned unless said otherwise. */
struct template_value {
	struct json_object *j;
	bool map;     /* an object that stands for a map, not for a struct */
	bool missing; /* the key of a map that is not there; its fields are missing too, those of null are an error */
};

struct template_function {
	const char *name;
	int min_args;
	int max_args; /* -1: any */
	/* args are borrowed. The message needs no position: the evaluator adds it. */
	int (*call)(const struct template_value *args, size_t n, struct template_value *out, struct kist_error *err);
	bool lazy; /* and, or: the evaluator does them, call is NULL */
};
const struct template_function *template_function_find(const char *name, size_t len);

enum operand_kind {
	OPERAND_DOT,      /* . and .A.B */
	OPERAND_VARIABLE, /* $x and $x.A */
	OPERAND_PIPE,     /* (...) and (...).A */
	OPERAND_LITERAL,
	OPERAND_NIL,
	OPERAND_FUNCTION,
};

struct template_operand {
	enum operand_kind kind;
	size_t position;
	const char *name; /* VARIABLE, with the dollar */
	struct template_pipe *pipe;
	struct json_object *literal;
	const struct template_function *function;
	const char **chain; /* field names */
	size_t n_chain;
};

struct template_command {
	struct template_operand *operands;
	size_t n;
};

struct template_pipe {
	size_t position;
	const char *variables[2]; /* $i, $e */
	size_t n_variables;
	bool assign; /* '=' */
	struct template_command *commands;
	size_t n;
};

enum node_kind { NODE_TEXT, NODE_ACTION, NODE_IF, NODE_RANGE, NODE_WITH, NODE_BREAK, NODE_CONTINUE };

struct template_node {
	enum node_kind kind;
	size_t position;
	const char *text;
	size_t len;
	struct template_pipe *pipe;
	struct template_node *body, *otherwise;
	struct template_node *next;
};

struct template_block {
	struct template_block *next;
	max_align_t data[];
};

struct kist_template {
	char *name;
	char *text; /* as given: positions count in it */
	struct template_node *nodes;
	struct template_block *blocks;
	struct json_object **literals;
	size_t n_literals;
	bool ends_line; /* the last character is a newline */
};

/* unescape: "\t" and "\n" in the text between actions are what they mean. */
int template_parse(const char *name, const char *text, bool unescape, struct kist_template **out,
                   struct kist_error *err);
void template_position(const struct kist_template *t, size_t offset, unsigned *line, unsigned *column);

void template_value_put(struct template_value *v);
struct template_value template_value_get(const struct template_value *v);
bool template_is_true(const struct template_value *v);
const char *template_type_name(const struct json_object *j); /* as Go names it */

/* The keys of an object in the order of their bytes, as Go goes over maps. The caller frees the array. */
const char **template_keys(struct json_object *j, size_t *n);

/* As Go's fmt.Fprint prints one value. */
void template_print(struct kist_str *out, struct json_object *j);
/* As fmt.Sprint, Sprintln, Sprintf. -E2BIG with err set past the limits. */
int template_sprint(struct kist_str *out, const struct template_value *args, size_t n, bool line,
                    struct kist_error *err);
int template_sprintf(struct kist_str *out, const char *format, size_t len, const struct template_value *args, size_t n,
                     struct kist_error *err);

#endif
