#include "cli/template_internal.h"

#include "cli/columns.h"
#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct variable {
	const char *name;
	struct template_value value;
};

struct eval {
	const struct kist_template *t;
	const struct kist_template_view *view;
	struct kist_str *out;
	struct template_value dot; /* borrowed */
	struct variable *variables;
	size_t n_variables;
	unsigned steps;
	struct kist_error *err;
};

/* How a list of nodes ended. */
enum flow { FLOW_ON = 0, FLOW_BREAK = 1, FLOW_CONTINUE = 2 };

#define VALUE __attribute__((cleanup(template_value_put)))

static int eval_pipe(struct eval *e, const struct template_pipe *pipe, struct template_value *out);
static int eval_list(struct eval *e, const struct template_node *node);

void template_value_put(struct template_value *v)
{
	json_object_put(v->j);
	v->j = NULL;
}

struct template_value template_value_get(const struct template_value *v)
{
	return (struct template_value){ .j = json_object_get(v->j), .map = v->map, .missing = v->missing };
}

bool template_is_true(const struct template_value *v)
{
	double d;

	switch (json_object_get_type(v->j)) {
	case json_type_boolean:
		return json_object_get_boolean(v->j);
	case json_type_int:
		return json_object_get_int64(v->j) != 0;
	case json_type_double:
		d = json_object_get_double(v->j);
		return d < 0 || d > 0 || isnan(d);
	case json_type_string:
		return json_object_get_string_len(v->j) > 0;
	case json_type_array:
		return json_object_array_length(v->j) > 0;
	case json_type_object:
		/* A struct of Go's is always true. */
		return !v->map || json_object_object_length(v->j) > 0;
	default:
		return false;
	}
}

static int fail_at(struct eval *e, size_t position, const char *fmt, ...) KIST_PRINTF(3, 4);
static int fail_at(struct eval *e, size_t position, const char *fmt, ...)
{
	unsigned line, column;
	va_list ap;

	template_position(e->t, position, &line, &column);
	va_start(ap, fmt);
	kist_vfail(e->err, KIST_ERR_INVALID, EINVAL, fmt, ap);
	va_end(ap);
	return kist_context(e->err, "template: %s:%u:%u", e->t->name, line, column);
}

/* Puts the position before a message that a function or a method left. */
static int context_at(struct eval *e, size_t position, const char *what)
{
	unsigned line, column;

	template_position(e->t, position, &line, &column);
	return kist_context(e->err, "template: %s:%u:%u: %s", e->t->name, line, column, what);
}

static int count_step(struct eval *e, size_t position)
{
	if (++e->steps > TEMPLATE_MAX_STEPS)
		return fail_at(e, position, "more than %d steps", TEMPLATE_MAX_STEPS);
	if (e->out->len > TEMPLATE_MAX_OUTPUT)
		return fail_at(e, position, "more than 64 MiB of output");
	return 0;
}

/* --- fields --------------------------------------------------------------------------------------------------- */

static bool is_map_key(const struct kist_template_view *view, const char *key)
{
	for (const char *const *m = view->maps; m && *m; m++)
		if (kist_streq(*m, "*") || kist_streq(*m, key))
			return true;
	return false;
}

static bool find_key(const struct kist_template_view *view, struct json_object *object, const char **key,
                     struct json_object **out)
{
	if (json_object_object_get_ex(object, *key, out))
		return true;
	for (const struct kist_template_alias *a = view->aliases; a && a->name; a++)
		if (kist_streq(a->name, *key) && json_object_object_get_ex(object, a->key, out)) {
			*key = a->key;
			return true;
		}
	return false;
}

/* One name of a chain. args: what follows the last name of a command's head. */
static int eval_field(struct eval *e, size_t position, const struct template_value *receiver, const char *name,
                      const struct template_value *args, size_t n_args, struct template_value *out)
{
	const char *key = name;
	struct json_object *found = NULL;

	if (receiver->missing) {
		*out = (struct template_value){ .missing = true };
		return 0;
	}
	if (e->view->field && json_object_is_type(receiver->j, json_type_object) && !receiver->map) {
		KIST_FREE struct json_object **list = kist_grow(NULL, n_args + 1, sizeof(*list));
		int r;

		for (size_t i = 0; i < n_args; i++)
			list[i] = args[i].j;
		r = e->view->field(e->view->context, receiver->j, name, list, n_args, &found, e->err);
		if (r < 0)
			return context_at(e, position, name);
		if (r > 0) {
			*out = (struct template_value){ .j = found, .map = is_map_key(e->view, name) };
			return 0;
		}
	}
	if (n_args > 0)
		return fail_at(e, position, "field .%s takes no arguments", name);
	if (!receiver->j)
		return fail_at(e, position, "no field .%s: the value is null", name);
	if (!json_object_is_type(receiver->j, json_type_object))
		return fail_at(e, position, "no field .%s in a value of type %s", name,
		               template_type_name(receiver->j));
	if (find_key(e->view, receiver->j, &key, &found)) {
		*out = (struct template_value){ .j = json_object_get(found), .map = is_map_key(e->view, key) };
		return 0;
	}
	if (!receiver->map)
		return fail_at(e, position, "unknown field .%s", name);
	*out = (struct template_value){ .missing = true };
	return 0;
}

/* Follows the operand's fields from *value, which is replaced. */
static int eval_chain(struct eval *e, const struct template_operand *o, const struct template_value *args,
                      size_t n_args, struct template_value *value)
{
	for (size_t i = 0; i < o->n_chain; i++) {
		struct template_value next = { 0 };
		bool last = i + 1 == o->n_chain;
		int r;

		r = eval_field(e, o->position, value, o->chain[i], last ? args : NULL, last ? n_args : 0, &next);
		if (r < 0)
			return r;
		template_value_put(value);
		*value = next;
	}
	return 0;
}

/* --- operands, commands, pipelines ---------------------------------------------------------------------------- */

static struct variable *find_variable(struct eval *e, const char *name)
{
	for (size_t i = e->n_variables; i > 0; i--)
		if (kist_streq(e->variables[i - 1].name, name))
			return &e->variables[i - 1];
	return NULL;
}

static void push_variable(struct eval *e, const char *name, const struct template_value *value)
{
	if ((e->n_variables & (e->n_variables - 1)) == 0)
		e->variables = kist_grow(e->variables, e->n_variables ? e->n_variables * 2 : 1, sizeof(*e->variables));
	e->variables[e->n_variables++] = (struct variable){ .name = name, .value = template_value_get(value) };
}

static void pop_variables(struct eval *e, size_t keep)
{
	while (e->n_variables > keep)
		template_value_put(&e->variables[--e->n_variables].value);
}

static void set_variable(struct eval *e, const char *name, const struct template_value *value)
{
	struct variable *v = find_variable(e, name);

	if (!v)
		return;
	template_value_put(&v->value);
	v->value = template_value_get(value);
}

static int call_function(struct eval *e, const struct template_operand *o, const struct template_value *args, size_t n,
                         struct template_value *out)
{
	int r = o->function->call(args, n, out, e->err);

	return r < 0 ? context_at(e, o->position, o->function->name) : 0;
}

/* A value that is not the head of a command. */
static int eval_operand(struct eval *e, const struct template_operand *o, const struct template_value *args,
                        size_t n_args, struct template_value *out)
{
	VALUE struct template_value value = { 0 };
	int r = 0;

	switch (o->kind) {
	case OPERAND_DOT:
		value = template_value_get(&e->dot);
		break;
	case OPERAND_VARIABLE:
		value = template_value_get(&find_variable(e, o->name)->value);
		break;
	case OPERAND_LITERAL:
		value.j = json_object_get(o->literal);
		break;
	case OPERAND_NIL:
		break;
	case OPERAND_PIPE:
		r = eval_pipe(e, o->pipe, &value);
		break;
	case OPERAND_FUNCTION:
		r = call_function(e, o, args, n_args, &value);
		break;
	}
	if (r == 0)
		r = eval_chain(e, o, args, n_args, &value);
	if (r < 0)
		return r;
	*out = value;
	value.j = NULL;
	return 0;
}

/* and, or: the first argument that decides is the result; those after it are not evaluated. */
static int eval_lazy(struct eval *e, const struct template_command *c, const struct template_value *final,
                     struct template_value *out)
{
	bool until = kist_streq(c->operands[0].function->name, "or");
	struct template_value value = { 0 };

	for (size_t i = 1; i < c->n + (final ? 1 : 0); i++) {
		template_value_put(&value);
		if (i == c->n) {
			value = template_value_get(final);
		} else {
			int r = eval_operand(e, &c->operands[i], NULL, 0, &value);

			if (r < 0)
				return r;
		}
		if (template_is_true(&value) == until)
			break;
	}
	*out = value;
	return 0;
}

/* final: the value of the command before, borrowed; NULL for the first. */
static int eval_command(struct eval *e, const struct template_command *c, const struct template_value *final,
                        struct template_value *out)
{
	const struct template_operand *head = &c->operands[0];
	struct template_value *args;
	size_t n = 0;
	int r = count_step(e, head->position);

	if (r < 0)
		return r;
	if (head->kind == OPERAND_FUNCTION && head->function->lazy)
		return eval_lazy(e, c, final, out);
	args = kist_grow(NULL, c->n + 1, sizeof(*args));
	for (size_t i = 1; i < c->n && r == 0; i++) {
		args[n] = (struct template_value){ 0 };
		r = eval_operand(e, &c->operands[i], NULL, 0, &args[n]);
		if (r == 0)
			n++;
	}
	if (r == 0 && final)
		args[n++] = template_value_get(final);
	if (r == 0)
		r = eval_operand(e, head, args, n, out);
	for (size_t i = 0; i < n; i++)
		template_value_put(&args[i]);
	free(args);
	return r;
}

/* Declares and assigns too; range does that itself, for each element. */
static int eval_pipe(struct eval *e, const struct template_pipe *pipe, struct template_value *out)
{
	VALUE struct template_value value = { 0 };

	for (size_t i = 0; i < pipe->n; i++) {
		struct template_value next = { 0 };
		int r = eval_command(e, &pipe->commands[i], i > 0 ? &value : NULL, &next);

		if (r < 0)
			return r;
		template_value_put(&value);
		value = next;
	}
	*out = value;
	value.j = NULL;
	return 0;
}

static void bind_pipe(struct eval *e, const struct template_pipe *pipe, const struct template_value *value)
{
	for (size_t i = 0; i < pipe->n_variables; i++) {
		if (pipe->assign)
			set_variable(e, pipe->variables[i], value);
		else
			push_variable(e, pipe->variables[i], value);
	}
}

/* --- nodes ---------------------------------------------------------------------------------------------------- */

/* Newlines and tabs pass: println and "\t" make them, and they drive no terminal. */
static void add_escaped(struct kist_str *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = 0;

		while (i + n < len && text[i + n] != '\n' && text[i + n] != '\t')
			n++;
		kist_escape_add(out, text + i, n);
		i += n;
		if (i < len)
			kist_str_addc(out, text[i++]);
	}
}

static void print_value(struct eval *e, const struct template_value *value)
{
	KIST_STR struct kist_str text = { 0 };

	if (!value->j) {
		kist_str_add(e->out, "<no value>");
	} else if (!e->view->escape) {
		template_print(e->out, value->j);
	} else {
		template_print(&text, value->j);
		add_escaped(e->out, kist_str_get(&text), text.len);
	}
}

static int eval_action(struct eval *e, const struct template_node *node)
{
	VALUE struct template_value value = { 0 };
	int r = eval_pipe(e, node->pipe, &value);

	if (r < 0)
		return r;
	bind_pipe(e, node->pipe, &value);
	/* A declaration prints nothing. */
	if (node->pipe->n_variables == 0)
		print_value(e, &value);
	return 0;
}

static int eval_if_or_with(struct eval *e, const struct template_node *node)
{
	VALUE struct template_value value = { 0 };
	size_t keep = e->n_variables;
	struct template_value dot = e->dot;
	int r = eval_pipe(e, node->pipe, &value);

	if (r < 0)
		return r;
	bind_pipe(e, node->pipe, &value);
	if (template_is_true(&value)) {
		if (node->kind == NODE_WITH)
			e->dot = value;
		r = eval_list(e, node->body);
	} else {
		r = eval_list(e, node->otherwise);
	}
	e->dot = dot;
	pop_variables(e, keep);
	return r;
}

/* One turn of a range. key and element are borrowed. */
static int eval_turn(struct eval *e, const struct template_node *node, const struct template_value *key,
                     const struct template_value *element)
{
	const struct template_pipe *pipe = node->pipe;
	size_t keep = e->n_variables;
	struct template_value dot = e->dot;
	int r = count_step(e, node->position);

	if (r < 0)
		return r;
	for (size_t i = 0; i < pipe->n_variables; i++) {
		/* One variable is the element, two are key and element. */
		const struct template_value *v = pipe->n_variables == 2 && i == 0 ? key : element;

		if (pipe->assign)
			set_variable(e, pipe->variables[i], v);
		else
			push_variable(e, pipe->variables[i], v);
	}
	e->dot = *element;
	r = eval_list(e, node->body);
	e->dot = dot;
	pop_variables(e, keep);
	return r;
}

static int range_object(struct eval *e, const struct template_node *node, const struct template_value *value)
{
	size_t n;
	KIST_FREE const char **keys = template_keys(value->j, &n);
	int r = FLOW_ON;

	for (size_t i = 0; i < n && r >= 0 && r != FLOW_BREAK; i++) {
		VALUE struct template_value key = { .j = json_object_new_string(keys[i]) };
		struct template_value element = { .map = is_map_key(e->view, keys[i]) };

		json_object_object_get_ex(value->j, keys[i], &element.j);
		r = eval_turn(e, node, &key, &element);
	}
	return r < 0 ? r : FLOW_ON;
}

static int range_array(struct eval *e, const struct template_node *node, const struct template_value *value)
{
	int r = FLOW_ON;

	for (size_t i = 0; i < json_object_array_length(value->j) && r >= 0 && r != FLOW_BREAK; i++) {
		VALUE struct template_value key = { .j = json_object_new_int64((int64_t)i) };
		struct template_value element = { .j = json_object_array_get_idx(value->j, i),
			                          .map = is_map_key(e->view, "*") };

		r = eval_turn(e, node, &key, &element);
	}
	return r < 0 ? r : FLOW_ON;
}

static int eval_range(struct eval *e, const struct template_node *node)
{
	VALUE struct template_value value = { 0 };
	int r = eval_pipe(e, node->pipe, &value);

	if (r < 0)
		return r;
	switch (json_object_get_type(value.j)) {
	case json_type_null:
		break;
	case json_type_array:
		if (json_object_array_length(value.j) > 0)
			return range_array(e, node, &value);
		break;
	case json_type_object:
		if (json_object_object_length(value.j) > 0)
			return range_object(e, node, &value);
		break;
	default:
		return fail_at(e, node->pipe->position, "cannot range over a value of type %s",
		               template_type_name(value.j));
	}
	return eval_list(e, node->otherwise);
}

/* Returns enum flow or a negative errno. */
static int eval_list(struct eval *e, const struct template_node *node)
{
	int r = FLOW_ON;

	for (; node && r == FLOW_ON; node = node->next) {
		switch (node->kind) {
		case NODE_TEXT:
			kist_str_addn(e->out, node->text, node->len);
			break;
		case NODE_ACTION:
			r = eval_action(e, node);
			break;
		case NODE_IF:
		case NODE_WITH:
			r = eval_if_or_with(e, node);
			break;
		case NODE_RANGE:
			r = eval_range(e, node);
			break;
		case NODE_BREAK:
			return FLOW_BREAK;
		case NODE_CONTINUE:
			return FLOW_CONTINUE;
		}
	}
	return r;
}

int kist_template_run(const struct kist_template *t, struct json_object *document,
                      const struct kist_template_view *view, struct kist_str *out, struct kist_error *err)
{
	static const struct kist_template_view plain;
	struct eval e = { .t = t, .view = view ? view : &plain, .out = out, .err = err };
	int r;

	e.dot = (struct template_value){ .j = document, .map = is_map_key(e.view, "*") };
	push_variable(&e, "$", &e.dot);
	r = eval_list(&e, t->nodes);
	pop_variables(&e, 0);
	free(e.variables);
	return r < 0 ? r : 0;
}
