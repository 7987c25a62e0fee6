#include "cli/template_internal.h"

#include "core/base/error.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

int kist_template_parse(const char *name, const char *text, struct kist_template **out, struct kist_error *err)
{
	return template_parse(name, text, false, out, err);
}

void kist_template_free(struct kist_template *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_literals; i++)
		json_object_put(t->literals[i]);
	while (t->blocks) {
		struct template_block *next = t->blocks->next;

		free(t->blocks);
		t->blocks = next;
	}
	free(t->literals);
	free(t->name);
	free(t->text);
	free(t);
}

void kist_template_cleanup(struct kist_template **t)
{
	kist_template_free(*t);
}

/* Whether something reads the field of that name of any object, or prints an object whole. "Any" because the dot moves
 * in range and with, and a variable may hold it: a field computed for nothing costs less than one that is missing. */
static bool pipe_uses(const struct template_pipe *pipe, const char *field)
{
	for (size_t i = 0; i < pipe->n; i++)
		for (size_t k = 0; k < pipe->commands[i].n; k++) {
			const struct template_operand *o = &pipe->commands[i].operands[k];

			if (o->kind == OPERAND_PIPE && pipe_uses(o->pipe, field))
				return true;
			if ((o->kind == OPERAND_DOT || o->kind == OPERAND_VARIABLE) && o->n_chain == 0)
				return true;
			for (size_t n = 0; n < o->n_chain; n++)
				if (kist_streq(o->chain[n], field))
					return true;
		}
	return false;
}

static bool nodes_use(const struct template_node *node, const char *field)
{
	for (; node; node = node->next)
		if ((node->pipe && pipe_uses(node->pipe, field)) || nodes_use(node->body, field) ||
		    nodes_use(node->otherwise, field))
			return true;
	return false;
}

bool kist_template_uses(const struct kist_template *t, const char *field)
{
	return nodes_use(t->nodes, field);
}
